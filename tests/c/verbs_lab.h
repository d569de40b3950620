/* verbs_lab.h: what the tests of the public verbs share: a log of the test's own, jobs of one task,
 * workers, and threads that are known to wait. */
#ifndef QUPLOG_VERBS_LAB_H
#define QUPLOG_VERBS_LAB_H

#include <pthread.h>
#include <sched.h>

#include "commit.h"
#include "open.h"
#include "test.h"

/* A guard: whatever is waited for here comes at once, or never. */
enum { GUARD_US = 120 * 1000000 };

#define SECOND_US INT64_C(1000000)

static const quplog_spec SPEC = {
    .task = "work", .queue = "default", .task_length = 4, .queue_length = 7, .retries = 3};

static inline quplog_options default_options(void)
{
    return (quplog_options){.keep_succeeded_us = -1, .keep_failed_us = -1};
}

static inline quplog *open_over(const struct io *io, const quplog_options *options)
{
    quplog *q = NULL;
    quplog_report report = {0};
    char path[4200];
    snprintf(path, sizeof path, "%s/log", test_directory());
    int status = open_with(io, path, options, &q, &report);
    if (status)
        printf("    opening says %d: %s\n", status, report.message);
    REQUIRE(status == QUPLOG_OK);
    return q;
}

static inline quplog *open_log(void)
{
    quplog_options options = default_options();
    return open_over(io_system(), &options);
}

static inline void close_log(quplog *q)
{
    CHECK_EQUAL(quplog_close(q), QUPLOG_OK);
    quplog_free(q);
}

/* ---- jobs ---- */

static inline uint64_t put_as(quplog *q, const quplog_spec *spec, const char *payload,
                              int64_t due_us)
{
    uint64_t id = 0;
    REQUIRE(quplog_put(q, spec, payload, strlen(payload), due_us, false, &id) == QUPLOG_OK);
    return id;
}

static inline uint64_t put(quplog *q)
{
    return put_as(q, &SPEC, "payload", 0);
}

static inline quplog_job_info info(quplog *q, uint64_t id)
{
    quplog_job_info out = {0};
    CHECK_EQUAL(quplog_info(q, id, &out), QUPLOG_OK);
    return out;
}

static inline quplog_job *load(quplog *q, uint64_t id)
{
    quplog_job *job = NULL;
    REQUIRE(quplog_load(q, id, &job) == QUPLOG_OK);
    return job;
}

static inline void check_bytes(quplog_bytes is, const char *should)
{
    CHECK_EQUAL(is.length, strlen(should));
    CHECK(is.length == strlen(should) && memcmp(is.data, should, is.length) == 0);
}

static inline uint64_t count(quplog *q, int state)
{
    uint64_t counts[QUPLOG_STATE_COUNT];
    CHECK_EQUAL(quplog_counts(q, NULL, 0, counts), QUPLOG_OK);
    return counts[state];
}

static inline int cancel(quplog *q, uint64_t id)
{
    uint64_t lsn;
    return quplog_cancel(q, id, &lsn);
}

static inline int pause_default(quplog *q, bool paused)
{
    uint64_t lsn;
    return quplog_pause(q, "default", 7, paused, &lsn);
}

/* ---- workers ---- */

static inline quplog_worker *new_worker(quplog *q)
{
    quplog_worker *worker = NULL;
    uint32_t number;
    REQUIRE(quplog_register(q, "work", 4, &number) == QUPLOG_OK);
    REQUIRE(quplog_worker_new(q, &worker) == QUPLOG_OK);
    return worker;
}

/* Claim the next job, if there is one: its id, or 0. */
static inline uint64_t claim(quplog_worker *worker)
{
    int status = quplog_work(worker, QUPLOG_NO_OUTCOME, 0, NULL, 0, QUPLOG_CLAIM_NEXT);
    if (status == QUPLOG_EMPTY)
        return 0;
    CHECK_EQUAL(status, QUPLOG_OK);
    return quplog_worker_claim(worker)->id;
}

/* Write an outcome and claim nothing. How writing went. */
static inline int end_run(quplog_worker *worker, int outcome, int64_t due_us, const char *data)
{
    (void)quplog_work(worker, outcome, due_us, data, strlen(data), 0);
    return quplog_worker_claim(worker)->finish_status;
}

static inline void run_one(quplog_worker *worker, int outcome, const char *data)
{
    REQUIRE(claim(worker) != 0);
    CHECK_EQUAL(end_run(worker, outcome, 0, data), QUPLOG_OK);
}

/* ---- threads ---- */

/* A time on the clock of the deadlines. */
static inline int64_t after(quplog *q, int64_t us)
{
    return q->core->io->monotonic_us(q->core->io->world) + us;
}

static inline int64_t guard(quplog *q)
{
    return after(q, GUARD_US);
}

/* Until somebody sleeps on `word`: what comes next finds that thread waiting. */
static inline void await_sleepers(quplog *q, struct control_word *word, uint32_t sleepers)
{
    int64_t end = guard(q);
    while (control_counted(&word->sleepers) < sleepers && after(q, 0) < end)
        sched_yield();
    CHECK(control_counted(&word->sleepers) >= sleepers);
}

/* A call that waits, in a thread of its own. */
struct waiter {
    pthread_t thread;
    quplog *log;
    quplog_worker *worker;
    uint64_t id;
    int status;
};

static inline void start_waiter(struct waiter *waiter, void *(*run)(void *))
{
    REQUIRE(pthread_create(&waiter->thread, NULL, run, waiter) == 0);
}

static inline int end_waiter(struct waiter *waiter)
{
    REQUIRE(pthread_join(waiter->thread, NULL) == 0);
    return waiter->status;
}

static inline void *wait_for_work(void *argument)
{
    struct waiter *w = argument;
    w->status = quplog_work(w->worker, QUPLOG_NO_OUTCOME, 0, NULL, 0,
                            QUPLOG_CLAIM_NEXT | QUPLOG_WAIT);
    w->id = w->status == QUPLOG_OK ? quplog_worker_claim(w->worker)->id : 0;
    return NULL;
}

static inline void *wait_for_job(void *argument)
{
    struct waiter *w = argument;
    w->status = quplog_wait_job(w->log, w->id, 0);
    return NULL;
}

static inline void *wait_for_idle(void *argument)
{
    struct waiter *w = argument;
    w->status = quplog_wait_idle(w->log, 0);
    return NULL;
}

static inline void *wait_for_any(void *argument)
{
    struct waiter *w = argument;
    uint32_t seen = control_read(&w->log->core->control.page->finished);
    w->status = quplog_wait_finished(w->log, &seen, 0);
    return NULL;
}

static inline void *keep(void *argument)
{
    struct waiter *w = argument;
    w->status = quplog_keep(w->log);
    return NULL;
}

#endif
