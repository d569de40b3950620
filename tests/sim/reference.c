/* reference.c: see reference.h. */
#include "reference.h"

#include <stdio.h>
#include <stdlib.h>

#include "judge.h"
#include "open.h"
#include "payload.h"
#include "random.h"

enum { LARGE = 9000, AGE_BYTES = 20 << 10, SEATS = 2 };

#define SECOND_US INT64_C(1000000)

/* Who writes the log. */
struct author {
    struct reference *reference;
    struct disk *disk;
    quplog *log;
    quplog_worker *seats[SEATS];
    uint64_t chance;
    uint64_t number; /* of the next payload */
    uint64_t next_age;
    bool synced; /* it syncs now and then */
};

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "the reference log can't be made: %s\n", what);
    abort();
}

static uint64_t draw(struct author *a, uint64_t n)
{
    return random_below(&a->chance, n);
}

static uint64_t tail(struct author *a)
{
    quplog_stats stats;
    must(quplog_read_stats(a->log, &stats) == QUPLOG_OK, "stats");
    return stats.tail_lsn;
}

static uint64_t synced(struct author *a)
{
    quplog_stats stats;
    must(quplog_read_stats(a->log, &stats) == QUPLOG_OK, "stats");
    return stats.synced_lsn;
}

/* ---- verbs ---- */

static const quplog_spec SPECS[] = {
    {.task = "work", .queue = "mail", .task_length = 4, .queue_length = 4, .retries = 2},
    {.task = "work", .queue = "post", .task_length = 4, .queue_length = 4, .priority = 5},
    {.task = "more", .queue = "mail", .task_length = 4, .queue_length = 4, .tags = "\3red",
     .tags_length = 4},
    {.task = "other", .queue = "paused", .task_length = 5, .queue_length = 6},
};

static const quplog_spec *draw_spec(struct author *a)
{
    return &SPECS[draw(a, sizeof SPECS / sizeof *SPECS)];
}

static size_t draw_payload(struct author *a, char out[LARGE])
{
    static const size_t sizes[] = {0, 16, 16, 150, 400, 900, 2000};
    size_t length = draw(a, 40) == 0 ? LARGE : sizes[draw(a, sizeof sizes / sizeof *sizes)];
    payload_make(out, length, a->number++);
    return length;
}

static int64_t draw_due(struct author *a)
{
    return draw(a, 5) ? 0 : quplog_now(a->log) + (int64_t)draw(a, 4000) * SECOND_US;
}

static void put_some(struct author *a)
{
    static char payload[LARGE];
    uint64_t id, lsn, count = draw(a, 4) ? 1 : 2 + draw(a, 6);
    int flags = a->synced && draw(a, 3) == 0 ? QUPLOG_SYNC : 0;
    quplog_batch *batch = quplog_batch_new();
    for (uint64_t i = 0; i < count; i++) {
        size_t length = draw_payload(a, payload);
        must(quplog_batch_put(batch, draw_spec(a), payload, length, draw_due(a)) == QUPLOG_OK,
             "batch");
    }
    must(quplog_commit(a->log, batch, flags, &id, &lsn) == QUPLOG_OK, "commit");
    quplog_batch_free(batch);
}

/* One seat writes the outcome of what it runs, and claims the next. */
static void work(struct author *a)
{
    static const int outcomes[] = {QUPLOG_RUN_SUCCEEDED, QUPLOG_RUN_SUCCEEDED, QUPLOG_RUN_FAILED,
                                   QUPLOG_RUN_RETRY,     QUPLOG_RUN_CANCELLED, QUPLOG_RUN_SNOOZE,
                                   QUPLOG_RUN_RELEASE};
    quplog_worker *seat = a->seats[draw(a, SEATS)];
    char data[64];
    int outcome = quplog_worker_claim(seat)->id
                      ? outcomes[draw(a, sizeof outcomes / sizeof *outcomes)]
                      : QUPLOG_NO_OUTCOME;
    int length = snprintf(data, sizeof data, "what came of run %llu",
                          (unsigned long long)a->number++);
    int64_t due_us = quplog_now(a->log) + (int64_t)draw(a, 900) * SECOND_US;
    int flags = QUPLOG_CLAIM_NEXT | (a->synced && draw(a, 4) == 0 ? QUPLOG_SYNC : 0);
    int status = quplog_work(seat, outcome, due_us, data, (size_t)length, flags);
    must(status == QUPLOG_OK || status == QUPLOG_EMPTY, "work");
}

static void cancel_one(struct author *a)
{
    const struct model *now = &a->reference->history->now;
    uint64_t lsn;
    if (now->count == 0)
        return;
    int status = quplog_cancel(a->log, now->jobs[draw(a, now->count)].id, &lsn);
    must(status == QUPLOG_OK || status == QUPLOG_STALE, "cancel");
}

/* Set the schedule to be due at once, let the helper do what is due by then, and tick. */
static void let_come_due(struct author *a)
{
    quplog_schedule *list = NULL;
    size_t count = 0;
    uint64_t id, lsn;
    for (int i = 0; i < 2; i++) {
        must(quplog_schedules(a->log, false, &list, &count) == QUPLOG_OK, "schedules");
        uint64_t version = count ? list[0].version : 0;
        quplog_schedules_free(list);
        int64_t now = quplog_now(a->log);
        quplog_batch *batch = quplog_batch_new();
        (void)quplog_batch_schedule(batch, "hourly", 6, version ? "" : "a rule", version ? 0 : 6,
                                    i ? now + 100000 * SECOND_US : now, i ? now : 0, false,
                                    version);
        if (i)
            (void)quplog_batch_put(batch, &SPECS[0], "ticked", 6, 0);
        must(quplog_commit(a->log, batch, 0, &id, &lsn) == QUPLOG_OK, "tick");
        quplog_batch_free(batch);
        must(i || quplog_keep(a->log) == QUPLOG_TICK, "keep");
    }
}

/* ---- scripts ---- */

static void keep_age(struct author *a)
{
    struct reference *r = a->reference;
    if (tail(a) < a->next_age || r->age_count == REFERENCE_AGES)
        return;
    a->next_age = tail(a) + AGE_BYTES;
    r->ages[r->age_count++] = disk_copy(a->disk);
}

static void step(struct author *a)
{
    uint64_t lot = draw(a, 20);
    if (lot < 9)
        put_some(a);
    else if (lot < 18)
        work(a);
    else if (lot == 18)
        cancel_one(a);
    else
        disk_pass_time(a->disk, 200 * SECOND_US);
    keep_age(a);
}

/* Go on until the log is so long. */
static void write_until(struct author *a, uint64_t lsn)
{
    while (tail(a) < lsn)
        step(a);
}

static void look(void *context, const struct disk_call *call, ssize_t status)
{
    history_note(context, call, status);
}

static void open_log(struct author *a)
{
    quplog_options options = judge_options();
    quplog_report report = {0};
    struct disk_watch watch = {.after = look, .context = a->reference->history};
    uint32_t number;
    options.segment_size = REFERENCE_SEGMENT;
    disk_look_on(a->disk, &watch);
    must(open_with(disk_process(a->disk), "log", &options, &a->log, &report) == QUPLOG_OK, "open");
    must(quplog_register(a->log, "work", 4, &number) == QUPLOG_OK, "register");
    must(quplog_register(a->log, "more", 4, &number) == QUPLOG_OK, "register");
    for (int i = 0; i < SEATS; i++)
        must(quplog_worker_new(a->log, &a->seats[i]) == QUPLOG_OK, "worker");
    a->synced = true;
}

static void close_log(struct author *a)
{
    for (int i = 0; i < SEATS; i++)
        quplog_worker_free(a->seats[i]);
    must(quplog_close(a->log) == QUPLOG_OK, "close");
    quplog_free(a->log);
}

/* The process is killed: what the disk holds then stays, and the author lives on beside it. */
static struct disk *kill_now(struct author *a)
{
    static const struct disk_watch nobody;
    a->reference->acknowledged = synced(a);
    struct disk *left = disk_copy(a->disk);
    disk_look_on(a->disk, &nobody);
    close_log(a);
    return left;
}

static void begin(struct author *a)
{
    uint64_t lsn;
    open_log(a);
    must(quplog_pause(a->log, "paused", 6, true, &lsn) == QUPLOG_OK, "pause");
    let_come_due(a);
}

static struct disk *write_closed(struct author *a)
{
    begin(a);
    write_until(a, 40 << 10);
    let_come_due(a);
    while (tail(a) < 52 << 10)
        step(a);
    close_log(a);
    a->reference->acknowledged = UINT64_MAX;
    return disk_copy(a->disk);
}

/* The unsynced end reaches into a segment of its own. */
static struct disk *write_killed(struct author *a)
{
    begin(a);
    write_until(a, 2 * REFERENCE_SEGMENT + 44000);
    let_come_due(a);
    must(quplog_sync(a->log) == QUPLOG_OK, "sync");
    a->synced = false;
    write_until(a, 3 * REFERENCE_SEGMENT + 12000);
    return kill_now(a);
}

static struct disk *write_compacted(struct author *a)
{
    begin(a);
    write_until(a, 3 * REFERENCE_SEGMENT);
    disk_pass_time(a->disk, 7300 * SECOND_US);
    let_come_due(a);
    must(quplog_compact(a->log) == QUPLOG_OK, "compact");
    write_until(a, tail(a) + REFERENCE_SEGMENT);
    must(quplog_sync(a->log) == QUPLOG_OK, "sync");
    a->synced = false;
    write_until(a, tail(a) + 9000);
    return kill_now(a);
}

/* What recovery gives up is still there, for whoever does not know that it did. */
static void keep_given_up(struct reference *r, size_t left)
{
    struct history *h = r->history;
    r->given_up_count = h->count - left;
    r->given_up = calloc(r->given_up_count + 1, sizeof *r->given_up);
    must(r->given_up != NULL, "memory");
    for (size_t i = 0; i < r->given_up_count; i++) {
        struct history_frame *frame = &r->given_up[i];
        *frame = h->frames[left + i];
        frame->bytes = malloc(frame->frame.length);
        must(frame->bytes != NULL, "memory");
        memcpy(frame->bytes, h->frames[left + i].bytes, frame->frame.length);
    }
}

/* A power cut that tears the end of the log; the history goes on from what it left. */
static void lose_power(struct author *a)
{
    quplog_options options = {.keep_succeeded_us = -1, .keep_failed_us = -1, .read_only = true};
    struct history *history = a->reference->history;
    struct disk *left = NULL;
    quplog_report report = {0};
    for (int i = 0; report.torn_bytes == 0; i++) {
        quplog *log;
        must(i < 1000, "no power cut tears the end");
        if (left)
            disk_free(left);
        left = disk_cut(a->disk, DISK_MIX, &a->chance);
        must(open_with(disk_io(left), "log", &options, &log, &report) == QUPLOG_OK, "look");
        must(quplog_close(log) == QUPLOG_OK, "close");
        quplog_free(log);
    }
    struct disk *old = kill_now(a);
    disk_free(old);
    disk_free(a->disk);
    a->disk = left;
    size_t left_frames = history_below(history, report.end_lsn);
    keep_given_up(a->reference, left_frames);
    history->durable = 0; /* nobody asks whether the cut was right */
    history_cut(history, left_frames);
}

static struct disk *write_torn(struct author *a)
{
    begin(a);
    write_until(a, REFERENCE_SEGMENT + 9000);
    must(quplog_sync(a->log) == QUPLOG_OK, "sync");
    a->synced = false;
    write_until(a, REFERENCE_SEGMENT + 30000);
    lose_power(a);
    open_log(a);
    write_until(a, tail(a) + 30000);
    must(quplog_sync(a->log) == QUPLOG_OK, "sync");
    a->synced = false;
    write_until(a, tail(a) + 6000);
    return kill_now(a);
}

/* ---- what was written ---- */

static int add_file(void *context, const char *name)
{
    struct reference *r = context;
    uint64_t base;
    if (!segment_parse_name(name, &base))
        return 0;
    must(r->file_count < REFERENCE_FILES, "too many segments");
    size_t at = r->file_count++;
    for (; at > 0 && r->files[at - 1].base > base; at--)
        r->files[at] = r->files[at - 1];
    struct reference_file *file = &r->files[at];
    *file = (struct reference_file){.base = base};
    snprintf(file->path, sizeof file->path, REFERENCE_PATH "%.*s", SEGMENT_NAME - 1, name);
    file->bytes = disk_load(r->disk, file->path, &file->size);
    return 0;
}

static void know_file(struct reference *r, size_t at)
{
    struct reference_file *file = &r->files[at];
    uint64_t behind = at + 1 < r->file_count ? file[1].base : UINT64_MAX;
    enum segment_verdict verdict = SEGMENT_BROKEN;
    const struct io *io = disk_io(r->disk);
    int fd = io->open(io->world, IO_CWD, file->path, IO_READ);
    must(fd >= 0 && segment_read_header(io, fd, &file->header, &verdict) == QUPLOG_OK &&
             verdict == SEGMENT_VALID,
         "header");
    io->close(io->world, fd);
    file->first = history_below(r->history, file->base);
    file->end = history_below(r->history, behind);
    for (size_t i = file->first; i < file->end; i++) {
        const struct history_frame *frame = &r->history->frames[i];
        must(memcmp(file->bytes + (frame->lsn - file->base), frame->bytes, frame->frame.length) ==
                 0,
             "a frame is not where it was written");
    }
}

/* The frames that stand in no file have to be made up for by a TRIM. */
static void find_whole(struct reference *r)
{
    struct frame_trim trim;
    uint64_t oldest = r->files[0].base;
    r->whole = r->files[0].first;
    for (size_t i = 0; oldest > 0 && i < r->history->count; i++) {
        const struct frame *frame = &r->history->frames[i].frame;
        if (frame_trim_decode(frame, r->history->frames[i].lsn, &trim) &&
            trim.first_lsn >= oldest) {
            r->whole = i + 1;
            return;
        }
    }
}

/* Every new disk draws the same random numbers: let logs of different seeds have other ids. */
static void stir(struct disk *disk, uint64_t seed)
{
    const struct io *io = disk_io(disk);
    unsigned char bytes[256];
    must(io->random(io->world, bytes, 1 + seed % sizeof bytes) == 0, "random");
}

struct reference *reference_new(enum reference_kind kind, uint64_t seed)
{
    static struct disk *(*const scripts[])(struct author *) = {write_closed, write_killed,
                                                               write_compacted, write_torn};
    struct reference *r = calloc(1, sizeof *r);
    must(r != NULL, "memory");
    struct author author = {.reference = r,
                            .disk = disk_new(),
                            .chance = (seed * 8 + (uint64_t)kind) * 2 + 1,
                            .number = 1,
                            .next_age = AGE_BYTES};
    r->kind = kind;
    stir(author.disk, seed);
    r->history = history_new();
    r->disk = scripts[kind](&author);
    disk_free(author.disk);
    must(!r->history->wrong[0], r->history->wrong);
    must(disk_list(r->disk, "log", add_file, r) == 0, "list");
    for (size_t i = 0; i < r->file_count; i++)
        know_file(r, i);
    find_whole(r);
    r->history->durable = r->history->kept_count = 0; /* models are made from the first frame on */
    model_free(&r->history->kept);
    history_model(r->history, r->history->count, &r->full);
    model_reopen(&r->full);
    return r;
}

void reference_free(struct reference *r)
{
    for (size_t i = 0; i < r->file_count; i++)
        free(r->files[i].bytes);
    for (size_t i = 0; i < r->age_count; i++)
        disk_free(r->ages[i]);
    for (size_t i = 0; i < r->given_up_count; i++)
        free(r->given_up[i].bytes);
    free(r->given_up);
    disk_free(r->disk);
    model_free(&r->full);
    model_free(&r->part);
    history_free(r->history);
    free(r);
}

const char *reference_name(enum reference_kind kind)
{
    static const char *const names[] = {"closed", "killed", "compacted", "torn"};
    return names[kind];
}

const struct model *reference_model(struct reference *r, size_t count)
{
    if (count == r->history->count)
        return &r->full;
    if (!r->part.jobs || r->part_count != count) {
        model_free(&r->part);
        history_model(r->history, count, &r->part);
        model_reopen(&r->part);
        r->part_count = count;
    }
    return &r->part;
}
