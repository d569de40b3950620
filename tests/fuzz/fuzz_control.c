/* fuzz_control.c: processes that share a log, and a page between them that is anything.
 *
 * Three processes put jobs, sync, claim, look and come and go, while the page `control` is written
 * over: single bytes, one number of a pair, an old page, a page that was there before anybody.
 *
 *   Nobody crashes or waits for ever, and every call ends in a status that is meant for it.
 *   A job that was acknowledged as synced is there unaltered after all were killed and the power
 *   was cut; and the log can be opened.
 *
 * The second holds as long as the page is not forged. Each number stands beside its complement, so
 * no accident makes one that is believed and wrong; when an edit does just that, only the first is
 * asked for from there on.
 */
#include <errno.h>

#include "core.h"
#include "disk.h"
#include "fuzz.h"
#include "open.h"

enum { PROCESSES = 3, STEPS_MOST = 40, ACKED_MOST = 64, NUMBERS = 8, SEGMENT_SIZE = 64 << 10 };
enum { PAYLOAD_MOST = 40000, PATIENCE_US = 2000000, HALF_STEP_BITS = 40 };

static const quplog_spec SPEC = {
    .task = "fuzzed", .queue = "fuzzed", .task_length = 6, .queue_length = 6};

struct acked {
    uint64_t id;
    size_t length;
    unsigned char fill;
};

struct scene {
    struct disk *disk;
    const struct io *ios[PROCESSES];
    quplog *logs[PROCESSES];
    struct acked acked[ACKED_MOST];
    size_t acked_count;
    unsigned puts;
    uint64_t truth[NUMBERS]; /* of the page, when it was last consistent */
    unsigned char old[CONTROL_PAGE];
    bool forged;
};

/* ---- what is believed ---- */

static struct control_number *number_of(struct control_page *page, unsigned which)
{
    struct control_number *numbers[NUMBERS] = {
        &page->tail,      &page->next_id,      &page->head,     &page->zeroed,
        &page->first_lsn, &page->segment_size, &page->next_due, &page->synced};
    return numbers[which % NUMBERS];
}

static struct control_page *page_of(const struct scene *scene)
{
    for (int i = 0; i < PROCESSES; i++)
        if (scene->logs[i] && scene->logs[i]->core->control.page)
            return scene->logs[i]->core->control.page;
    return NULL;
}

static void note_truth(struct scene *scene, struct control_page *page)
{
    for (unsigned i = 0; i < NUMBERS; i++) {
        uint64_t value;
        if (control_read_number(number_of(page, i), &value))
            scene->truth[i] = value;
    }
}

/* A pair that looks like a number, or like one that was half written. */
static bool is_forged(const struct scene *scene, struct control_page *page)
{
    for (unsigned i = 0; i < NUMBERS; i++) {
        const struct control_number *number = number_of(page, i);
        uint64_t value = atomic_load(&number->value), older = ~atomic_load(&number->check);
        bool believed = value >= older && value - older <= UINT64_C(1) << HALF_STEP_BITS;
        if (believed && older != scene->truth[i])
            return true;
    }
    return false;
}

/* ---- edits of the page ---- */

static uint64_t some_value(uint64_t truth, struct span *input)
{
    unsigned how = input_below(input, 4);
    if (how == 0)
        return input_number(input, 8);
    return how == 1 ? truth - 8U * input_byte(input) : truth + 8U * input_byte(input);
}

static void edit_number(struct scene *scene, struct control_page *page, struct span *input)
{
    unsigned which = input_below(input, NUMBERS), halves = input_below(input, 4);
    struct control_number *number = number_of(page, which);
    if (halves & 1)
        atomic_store(&number->value, some_value(scene->truth[which], input));
    if (halves & 2)
        atomic_store(&number->check, ~some_value(scene->truth[which], input));
    if (halves == 0)
        control_write_number(number, some_value(scene->truth[which], input));
}

static void edit(struct scene *scene, struct span *input)
{
    struct control_page *page = page_of(scene);
    if (!page)
        return;
    note_truth(scene, page);
    switch (input_below(input, 6)) {
    case 0: atomic_store(&page->dirty, some_value(scene->truth[0], input)); break;
    case 1: memcpy((void *)page, scene->old, sizeof *page); break;
    case 2: memset((void *)page, (int)input_byte(input), sizeof *page); break;
    case 3: {
        size_t at = input_number(input, 2) % sizeof *page;
        struct span bytes = input_bytes(input, input_below(input, 64));
        if (bytes.length && bytes.length <= sizeof *page - at)
            memcpy((unsigned char *)page + at, bytes.data, bytes.length);
        break;
    }
    default: edit_number(scene, page, input); break;
    }
    scene->forged = scene->forged || is_forged(scene, page);
}

/* ---- what processes do ---- */

static bool meant(int status)
{
    return status >= QUPLOG_OK && status <= QUPLOG_TICK && status != QUPLOG_INVALID &&
           status != QUPLOG_READ_ONLY;
}

static int come(struct scene *scene, unsigned who)
{
    quplog_options options = {.segment_size = SEGMENT_SIZE,
                              .keep_succeeded_us = -1,
                              .keep_failed_us = -1,
                              .flush_interval_us = INT64_C(3600) * 1000000,
                              .lock_timeout_us = PATIENCE_US};
    quplog_report report = {0};
    if (scene->logs[who])
        return QUPLOG_OK;
    int status =
        open_with(scene->ios[who], "log", &options, &scene->logs[who], &report);
    fuzz_show("opening", status, report.message);
    MUST(meant(status) || (scene->forged && status == -ENOENT));
    MUST(status == QUPLOG_OK || status == QUPLOG_LOCKED || status == QUPLOG_FAILED ||
         scene->forged);
    return status;
}

static void go(struct scene *scene, unsigned who)
{
    if (!scene->logs[who])
        return;
    int status = quplog_close(scene->logs[who]);
    fuzz_show("closing", status, "");
    MUST(meant(status) || scene->forged);
    quplog_free(scene->logs[who]);
    scene->logs[who] = NULL;
}

static void put(struct scene *scene, quplog *log, struct span *input)
{
    static char payload[PAYLOAD_MOST];
    unsigned how = input_byte(input);
    struct acked job = {.length = how & 2 ? PAYLOAD_MOST - how : how,
                        .fill = (unsigned char)++scene->puts};
    memset(payload, job.fill, job.length);
    int status = quplog_put(log, &SPEC, payload, job.length, 0, how & 1, &job.id);
    fuzz_show("putting", status, how & 1 ? "synced" : "");
    MUST(meant(status) || scene->forged);
    if (status == QUPLOG_OK && (how & 1) && scene->acked_count < ACKED_MOST)
        scene->acked[scene->acked_count++] = job;
}

static void look(struct scene *scene, quplog *log, struct span *input)
{
    uint64_t counts[QUPLOG_STATE_COUNT], id = 1 + input_below(input, 16);
    quplog_stats stats;
    quplog_job *job;
    int64_t deadline_us = disk_time(scene->disk) + 1000;
    int statuses[] = {quplog_counts(log, NULL, 0, counts), quplog_read_stats(log, &stats),
                      quplog_wait_job(log, id, deadline_us), quplog_load(log, id, &job)};
    if (statuses[3] == QUPLOG_OK)
        quplog_job_free(job);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        MUST(meant(statuses[i]) || scene->forged);
}

/* Claim a job and end its run, if there is one and that goes. */
static void work(struct scene *scene, quplog *log)
{
    uint32_t number;
    quplog_worker *worker;
    int status = quplog_register(log, SPEC.task, SPEC.task_length, &number);
    MUST(meant(status) || scene->forged);
    if (quplog_worker_new(log, &worker) != QUPLOG_OK)
        return;
    status = quplog_work(worker, QUPLOG_NO_OUTCOME, 0, NULL, 0, QUPLOG_CLAIM_NEXT);
    fuzz_show("claiming", status, "");
    MUST(meant(status) || scene->forged);
    if (status == QUPLOG_OK)
        (void)quplog_work(worker, QUPLOG_RUN_RELEASE, 0, NULL, 0, 0);
    quplog_worker_free(worker);
}

static void sync(struct scene *scene, quplog *log)
{
    int status = quplog_sync(log);
    fuzz_show("syncing", status, "");
    MUST(meant(status) || scene->forged);
}

static void compact(struct scene *scene, quplog *log)
{
    int status = quplog_compact(log);
    fuzz_show("compacting", status, "");
    MUST(meant(status) || scene->forged);
}

static void step(struct scene *scene, struct span *input)
{
    unsigned what = input_below(input, 16), who = input_below(input, PROCESSES);
    quplog *log = scene->logs[who];
    if (what < 4)
        edit(scene, input);
    else if (what == 4 && page_of(scene))
        memcpy(scene->old, page_of(scene), sizeof(struct control_page));
    else if (what == 5)
        go(scene, who);
    else if (!log)
        (void)come(scene, who);
    else if (what < 10)
        put(scene, log, input);
    else if (what < 12)
        sync(scene, log);
    else if (what == 12)
        work(scene, log);
    else if (what == 13)
        compact(scene, log);
    else
        look(scene, log, input);
}

/* ---- afterwards ---- */

static void check_acked(quplog *log, const struct acked *acked)
{
    quplog_job *job;
    MUST(quplog_load(log, acked->id, &job) == QUPLOG_OK);
    MUST(job->payload.length == acked->length);
    for (size_t i = 0; i < acked->length; i++)
        MUST((unsigned char)job->payload.data[i] == acked->fill);
    quplog_job_free(job);
}

static void cut(const struct scene *scene, enum disk_fate fate, uint64_t chance)
{
    struct scene after = {.disk = disk_cut(scene->disk, fate, &chance), .forged = scene->forged};
    after.ios[0] = disk_io(after.disk);
    int status = come(&after, 0);
    MUST(status == QUPLOG_OK || scene->forged);
    for (size_t i = 0; status == QUPLOG_OK && !scene->forged && i < scene->acked_count; i++)
        check_acked(after.logs[0], &scene->acked[i]);
    go(&after, 0);
    disk_free(after.disk);
}

/* A page of whoever was here before. */
static void leave_a_page(struct scene *scene, struct span *input)
{
    const struct io *io = scene->ios[0];
    unsigned char page[CONTROL_PAGE] = {0};
    struct span bytes = input_bytes(input, input_byte(input));
    if (bytes.length)
        memcpy(page, bytes.data, bytes.length);
    MUST(io->mkdir(io->world, IO_CWD, "log") == 0 && io->fsync(io->world, IO_CWD) == 0);
    disk_store(scene->disk, "log/control", page, 16U * input_byte(input));
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct span input = {data, size};
    struct scene scene = {.disk = disk_new()};
    unsigned how = input_byte(&input);
    scene.ios[0] = disk_io(scene.disk);
    for (int i = 1; i < PROCESSES; i++)
        scene.ios[i] = disk_process(scene.disk);
    if (how & 1)
        leave_a_page(&scene, &input);
    MUST(come(&scene, 0) == QUPLOG_OK);
    MUST(come(&scene, 1) == QUPLOG_OK);
    for (int i = 0; i < STEPS_MOST && input.length; i++)
        step(&scene, &input);
    cut(&scene, DISK_LOSE, 1 + how);
    cut(&scene, DISK_MIX, 1 + how);
    for (unsigned i = 0; i < PROCESSES; i++)
        go(&scene, i);
    disk_free(scene.disk);
    return 0;
}
