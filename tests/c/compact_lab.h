/* compact_lab.h: what the tests of compaction share: a log with something of everything, and all
 * that its table says, as text.
 *
 * Two logs that say the same have the same text. Left out is what copying may change: where things
 * stand (LSNs of ops), a schedule's version, and the payload of a job that can't run again.
 */
#ifndef QUPLOG_COMPACT_LAB_H
#define QUPLOG_COMPACT_LAB_H

#include "compact.h"
#include "log_lab.h"
#include "verbs_lab.h"

enum { FILLER = 6000 };

/* ---- all that a log says ---- */

static inline void tell_bytes(FILE *out, const char *name, quplog_bytes bytes)
{
    fprintf(out, " %s=%zu:", name, bytes.length);
    for (size_t i = 0; i < bytes.length && i < 40; i++)
        fprintf(out, "%02x", (unsigned char)bytes.data[i]);
    uint32_t sum = 0;
    for (size_t i = 0; i < bytes.length; i++)
        sum = sum * 31 + (unsigned char)bytes.data[i];
    fprintf(out, "/%08x", sum);
}

static inline void tell_job(FILE *out, quplog *q, uint64_t id)
{
    quplog_job *job = load(q, id);
    const quplog_job_info *i = &job->info;
    const struct job *inner = jobs_get(&q->core->table.jobs, id);
    bool runs = i->state == QUPLOG_RUNNING, done = i->state >= QUPLOG_SUCCEEDED;
    const struct run *run = runs ? table_run(&q->core->table, inner) : NULL;
    fprintf(out, "job %" PRIu64 " state=%d token=%" PRIu64, id, i->state, i->token);
    fprintf(out, " created=%" PRId64 " due=%" PRId64, i->created_us, i->due_us);
    fprintf(out, " started=%" PRId64 " finished=%" PRId64, i->started_us, i->finished_us);
    fprintf(out, " attempt=%u retries=%u crashes=%u", i->attempt, i->retries, i->crashes);
    fprintf(out, " priority=%d cancel=%d", i->priority, i->cancel_requested);
    if (run)
        fprintf(out, " slot=%u.%u order=%" PRIu64, run->slot, run->generation, run->order);
    if (i->state == QUPLOG_READY || done)
        fprintf(out, " at=%" PRIu64, inner->when);
    tell_bytes(out, "task", quplog_name(q, i->task));
    tell_bytes(out, "queue", quplog_name(q, i->queue));
    tell_bytes(out, "tags", job->tags);
    tell_bytes(out, "schedule", job->schedule);
    if (i->state != QUPLOG_SUCCEEDED && i->state != QUPLOG_CANCELLED)
        tell_bytes(out, "payload", job->payload);
    tell_bytes(out, "result", job->result);
    for (size_t n = 0; n < job->error_count; n++)
        tell_bytes(out, "error", job->errors[n]);
    fprintf(out, "\n");
    quplog_job_free(job);
}

static inline void tell_schedules(FILE *out, quplog *q)
{
    quplog_schedule *all;
    size_t n = 0;
    REQUIRE(quplog_schedules(q, false, &all, &n) == QUPLOG_OK);
    for (size_t i = 0; i < n; i++) {
        tell_bytes(out, "schedule", all[i].id);
        tell_bytes(out, "rule", all[i].rule);
        fprintf(out, " next=%" PRId64 " last=%" PRId64 " paused=%d\n", all[i].next_us,
                all[i].last_us, all[i].paused);
    }
    quplog_schedules_free(all);
}

static inline int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What the table says of slots, in the order of their numbers; names by name. */
static inline void tell_slots(FILE *out, const struct table *t)
{
    for (uint16_t i = 0; i < t->slot_count; i++) {
        const struct worker_slot *slot = table_slot(t, i);
        if (!slot)
            continue;
        fprintf(out, "slot %u generation=%u", i, slot->generation);
        for (size_t n = 0; n < slot->task_count; n++) {
            struct span name = t->names.spans[slot->tasks[n]];
            tell_bytes(out, "task", (quplog_bytes){(const char *)name.data, name.length});
        }
        fprintf(out, "\n");
    }
}

static inline void tell_queues(FILE *out, const struct table *t)
{
    char *lines[16];
    size_t count = 0;
    for (size_t i = 0; i < t->queue_count && count < 16; i++) {
        const struct queue_state *s = &t->queues[i];
        struct span name = t->names.spans[s->name];
        char *line = malloc(400);
        REQUIRE(line);
        snprintf(line, 400, "queue %.*s paused=%d running=%u rate=%u/%" PRId64, (int)name.length,
                 (const char *)name.data, s->paused, s->max_running, s->rate, s->rate_us);
        lines[count++] = line;
    }
    qsort(lines, count, sizeof *lines, by_text);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%s\n", lines[i]);
        free(lines[i]);
    }
}

/* All that the log says; to be freed. */
static inline char *tell(quplog *q)
{
    const struct table *t = &q->core->table;
    char *text = NULL;
    size_t size = 0;
    uint64_t id = 0;
    FILE *out = open_memstream(&text, &size);
    REQUIRE(out);
    while (jobs_next(&t->jobs, id, false, &id))
        tell_job(out, q, id);
    tell_schedules(out, q);
    tell_queues(out, t);
    tell_slots(out, t);
    fprintf(out, "settings %d:%" PRIu64 " %d:%" PRId64 " %d:%" PRId64 "\n",
            t->settings.has_segment_size, t->settings.segment_size, t->settings.has_keep_succeeded,
            t->settings.keep_succeeded_us, t->settings.has_keep_failed, t->settings.keep_failed_us);
    fprintf(out, "next id %" PRIu64 "\n", t->next_id);
    fclose(out);
    return text;
}

/* The first line in which they differ is shown. */
static inline void check_told(const char *is, const char *should, const char *what)
{
    while (*is && *is == *should) {
        const char *end_is = strchr(is, '\n'), *end_should = strchr(should, '\n');
        if (!end_is || !end_should || end_is - is != end_should - should ||
            memcmp(is, should, (size_t)(end_is - is)) != 0)
            break;
        is = end_is + 1;
        should = end_should + 1;
    }
    if (strcmp(is, should) == 0)
        return;
    test_fail(__FILE__, __LINE__, what);
    printf("    is     %.*s\n    should %.*s\n", (int)strcspn(is, "\n"), is,
           (int)strcspn(should, "\n"), should);
}

/* What a kill at this moment leaves says `should`. */
static inline void check_killed(const char *path, const char *should)
{
    quplog *q;
    quplog_report report;
    lab_photograph(path, lab_path("killed"));
    REQUIRE(lab_try_reading(lab_path("killed"), &q, &report) == QUPLOG_OK);
    char *is = tell(q);
    check_told(is, should, "read again, it says the same");
    free(is);
    lab_leave(q);
}

/* ---- something of everything ---- */

struct everything {
    quplog *q;
    quplog_worker *running[3]; /* their claims run; the last was asked to cancel */
    quplog_worker *stale;      /* its claim was taken from it */
    uint64_t stale_id;
};

static inline void fill_up(quplog *q, unsigned jobs)
{
    static char filler[FILLER];
    static const quplog_spec spec = {
        .task = "fill", .queue = "fill", .task_length = 4, .queue_length = 4, .retries = 1};
    for (unsigned i = 0; i < jobs; i++) {
        uint64_t id;
        lab_payload(filler, sizeof filler, i);
        REQUIRE(quplog_put(q, &spec, filler, sizeof filler, 0, false, &id) == QUPLOG_OK);
        REQUIRE(cancel(q, id) == QUPLOG_OK);
    }
}

static inline void commit_one(quplog *q, struct buffer *ops)
{
    REQUIRE(commit_begin(q->core, COMMIT_DECIDE) == QUPLOG_OK);
    REQUIRE(commit_ops(q->core, 1, ops, NULL) == QUPLOG_OK);
    commit_end(q->core);
    buffer_free(ops);
}

static inline struct span text(const char *s)
{
    return (struct span){(const unsigned char *)s, strlen(s)};
}

/* What no verb makes yet, but the format knows. */
static inline void put_waiting(quplog *q)
{
    struct buffer ops = {0};
    struct op_copy copy = {.id = q->core->table.next_id,
                           .state = QUPLOG_WAITING,
                           .created_us = 12345,
                           .job = {.task = text("work"),
                                   .queue = text("default"),
                                   .payload = text("waits"),
                                   .retries = 7}};
    REQUIRE(op_encode_copy(&ops, &copy) == QUPLOG_OK);
    commit_one(q, &ops);
    struct op_queue queue = {
        .name = text("slow"), .max_running = 3, .rate = 100, .rate_us = 60 * SECOND_US};
    REQUIRE(op_encode_queue(&ops, &queue) == QUPLOG_OK);
    commit_one(q, &ops);
    struct op_worker other = {.host = text("elsewhere"),
                              .tasks = text("\4work\5other"),
                              .slot = 9,
                              .generation = 4,
                              .process_id = 77};
    REQUIRE(op_encode_worker(&ops, &other) == QUPLOG_OK);
    commit_one(q, &ops);
}

static inline void put_schedules(quplog *q)
{
    quplog_batch *batch = quplog_batch_new();
    quplog_schedule *all;
    uint64_t first, lsn;
    size_t n;
    int64_t next = quplog_now(q) + 3600 * SECOND_US;
    REQUIRE(batch);
    REQUIRE(quplog_batch_schedule(batch, "ticked", 6, "rule 1", 6, next, 0, false, 0) == 0);
    REQUIRE(quplog_batch_schedule(batch, "paused", 6, "rule 2", 6, next, 5, true, 0) == 0);
    REQUIRE(quplog_batch_schedule(batch, "bare", 4, "", 0, next, 0, false, 0) == 0);
    REQUIRE(quplog_commit(q, batch, false, &first, &lsn) == QUPLOG_OK);
    REQUIRE(quplog_schedules(q, false, &all, &n) == QUPLOG_OK);
    quplog_spec spec = LAB_SPEC;
    spec.schedule = "ticked";
    spec.schedule_length = 6;
    REQUIRE(quplog_batch_put(batch, &spec, "tick", 4, next) == QUPLOG_OK);
    REQUIRE(quplog_batch_schedule(batch, "ticked", 6, "", 0, next + 1, next, false,
                                  all[0].version) == 0);
    REQUIRE(quplog_commit(q, batch, false, &first, &lsn) == QUPLOG_OK);
    quplog_schedules_free(all);
    quplog_batch_free(batch);
}

/* As a helper gives up the run of a process that died. */
static inline void crash(quplog *q, const quplog_worker *worker)
{
    const quplog_claim *run = quplog_worker_claim(worker);
    struct buffer ops = {0};
    REQUIRE(op_encode_release(&ops, run->id, run->token, OP_RELEASE_CRASH) == QUPLOG_OK);
    commit_one(q, &ops);
}

/* Jobs that ran: each of the final states, one to be retried, one that crashed, errors, results. */
static inline void run_some(quplog *q)
{
    static char long_error[20000];
    quplog_worker *worker = new_worker(q);
    memset(long_error, 'e', sizeof long_error - 1);
    put_as(q, &SPEC, "will succeed", 0);
    run_one(worker, QUPLOG_RUN_SUCCEEDED, "a result");
    put_as(q, &SPEC, "will fail", 0);
    for (int i = 0; i < 3; i++) {
        REQUIRE(claim(worker) != 0);
        CHECK_EQUAL(end_run(worker, QUPLOG_RUN_RETRY, 1, "an error"), QUPLOG_OK);
    }
    run_one(worker, QUPLOG_RUN_FAILED, "the last error");
    put_as(q, &SPEC, "will be cancelled", 0);
    run_one(worker, QUPLOG_RUN_CANCELLED, "a reason");
    put_as(q, &SPEC, "will be retried", 0);
    REQUIRE(claim(worker) != 0);
    int64_t later = quplog_now(q) + 3600 * SECOND_US;
    CHECK_EQUAL(end_run(worker, QUPLOG_RUN_RETRY, later, "not yet"), QUPLOG_OK);
    put_as(q, &SPEC, "has crashed", 0);
    REQUIRE(claim(worker) != 0);
    crash(q, worker);
    quplog_worker_free(worker);
}

static inline void put_ready(quplog *q)
{
    quplog_spec spec = LAB_SPEC;
    spec.tags = "\3red\4blue";
    spec.tags_length = 9;
    for (int i = 0; i < 12; i++) {
        spec.priority = i * 7 % 5 - 2;
        put_as(q, &spec, "ready", i == 5 ? quplog_now(q) + 7200 * SECOND_US : 0);
    }
}

static inline void make_everything(struct everything *e, quplog *q)
{
    *e = (struct everything){.q = q};
    put_waiting(q);
    put_schedules(q);
    run_some(q);
    uint64_t lsn;
    REQUIRE(quplog_pause(q, "paused", 6, true, &lsn) == QUPLOG_OK);
    put_as(q, &SPEC, "taken away", 0);
    e->stale = new_worker(q);
    e->stale_id = claim(e->stale);
    REQUIRE(quplog_worker_release(e->stale) == QUPLOG_OK);
    for (int i = 0; i < 3; i++) {
        if (i)
            put_as(q, &SPEC, "runs", 0);
        e->running[i] = new_worker(q);
        REQUIRE(claim(e->running[i]) != 0);
    }
    uint64_t last = quplog_worker_claim(e->running[2])->id;
    REQUIRE(cancel(q, last) == QUPLOG_OK);
    put_ready(q);
}

static inline void leave_everything(struct everything *e)
{
    for (int i = 0; i < 3; i++)
        quplog_worker_free(e->running[i]);
    quplog_worker_free(e->stale);
}

#endif
