/* Waiting, stopping, closing, sharing and the helper's duties: what several threads do at once. */
#include "verbs_lab.h"

/* ---- waiting ---- */

TEST(a_put_wakes_a_waiting_worker)
{
    quplog *q = open_log();
    struct waiter waiter = {.log = q, .worker = new_worker(q)};
    start_waiter(&waiter, wait_for_work);
    await_sleepers(q, &q->core->control.page->work, 1);
    uint64_t id = put(q);
    CHECK_EQUAL(end_waiter(&waiter), QUPLOG_OK);
    CHECK_EQUAL(waiter.id, id);
    quplog_worker_free(waiter.worker);
    close_log(q);
}

TEST(each_waiting_worker_gets_one_job_of_a_batch)
{
    enum { WORKERS = 4 };
    quplog *q = open_log();
    quplog_batch *batch = quplog_batch_new();
    struct waiter waiters[WORKERS];
    uint64_t first, lsn, seen = 0;
    for (int i = 0; i < WORKERS; i++) {
        waiters[i] = (struct waiter){.log = q, .worker = new_worker(q)};
        start_waiter(&waiters[i], wait_for_work);
    }
    await_sleepers(q, &q->core->control.page->work, WORKERS);
    for (int i = 0; i < WORKERS; i++)
        CHECK_EQUAL(quplog_batch_put(batch, &SPEC, "", 0, 0), QUPLOG_OK);
    CHECK_EQUAL(quplog_commit(q, batch, false, &first, &lsn), QUPLOG_OK);
    for (int i = 0; i < WORKERS; i++) {
        CHECK_EQUAL(end_waiter(&waiters[i]), QUPLOG_OK);
        seen |= UINT64_C(1) << waiters[i].id;
    }
    for (int i = 0; i < WORKERS; i++) /* not before: it gives its claim back */
        quplog_worker_free(waiters[i].worker);
    CHECK_EQUAL(seen, 0x1e); /* 1 to 4, each once */
    quplog_batch_free(batch);
    close_log(q);
}

TEST(who_waits_for_a_job_hears_of_its_end)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    struct waiter waiter = {.log = q, .id = put(q)}, any = {.log = q};
    start_waiter(&waiter, wait_for_job);
    start_waiter(&any, wait_for_any);
    await_sleepers(q, &q->core->control.page->results[waiter.id], 1);
    await_sleepers(q, &q->core->control.page->finished, 1);
    run_one(worker, QUPLOG_RUN_FAILED, "error");
    CHECK_EQUAL(end_waiter(&waiter), QUPLOG_OK);
    CHECK_EQUAL(end_waiter(&any), QUPLOG_OK);
    CHECK_EQUAL(quplog_wait_job(q, waiter.id, 0), QUPLOG_OK);
    quplog_worker_free(worker);
    close_log(q);
}

/* Whoever waits looks by himself after a second: so the word is what tells whether he was woken. */
TEST(a_job_that_ends_changes_the_word_that_is_waited_on_for_it)
{
    static const int endings[] = {QUPLOG_RUN_SUCCEEDED, QUPLOG_RUN_FAILED, QUPLOG_RUN_CANCELLED};
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    struct control_word *results = q->core->control.page->results;
    for (size_t i = 0; i <= sizeof endings / sizeof *endings; i++) {
        uint32_t before[CONTROL_RESULTS];
        uint64_t id = put(q);
        for (size_t n = 0; n < CONTROL_RESULTS; n++)
            before[n] = control_read(&results[n]);
        if (i < sizeof endings / sizeof *endings)
            run_one(worker, endings[i], "said");
        else
            CHECK_EQUAL(cancel(q, id), QUPLOG_OK); /* before it has run */
        for (size_t n = 0; n < CONTROL_RESULTS; n++)
            CHECK_EQUAL(control_read(&results[n]), before[n] + (n == id % CONTROL_RESULTS));
    }
    quplog_worker_free(worker);
    close_log(q);
}

TEST(waiting_ends_at_its_deadline_and_for_the_unknown_at_once)
{
    quplog *q = open_log();
    uint32_t seen = control_read(&q->core->control.page->finished);
    uint64_t id = put(q);
    quplog_worker *worker = new_worker(q);
    CHECK_EQUAL(quplog_wait_job(q, 4711, 0), QUPLOG_NOT_FOUND);
    CHECK_EQUAL(quplog_wait_job(q, id, after(q, 1000)), QUPLOG_TIMEOUT);
    CHECK_EQUAL(quplog_wait_job(q, id, 1), QUPLOG_TIMEOUT); /* long past */
    CHECK_EQUAL(quplog_wait_idle(q, after(q, 1000)), QUPLOG_TIMEOUT);
    CHECK_EQUAL(quplog_wait_finished(q, &seen, after(q, 1000)), QUPLOG_TIMEOUT);
    quplog_worker_free(worker);
    close_log(q);
}

TEST(idle_is_when_the_last_run_has_ended)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    struct waiter waiter = {.log = q};
    CHECK_EQUAL(quplog_wait_idle(q, 0), QUPLOG_OK);
    put(q);
    CHECK(claim(worker));
    start_waiter(&waiter, wait_for_idle);
    await_sleepers(q, &q->core->control.page->finished, 1);
    CHECK_EQUAL(end_run(worker, QUPLOG_RUN_SUCCEEDED, 0, ""), QUPLOG_OK);
    CHECK_EQUAL(end_waiter(&waiter), QUPLOG_OK);
    quplog_worker_free(worker);
    close_log(q);
}

/* ---- stopping ---- */

TEST(stop_ends_the_waits_for_work_and_start_begins_again)
{
    quplog *q = open_log();
    struct waiter worker = {.log = q, .worker = new_worker(q)}, helper = {.log = q};
    start_waiter(&worker, wait_for_work);
    start_waiter(&helper, keep);
    await_sleepers(q, &q->core->control.page->work, 1);
    await_sleepers(q, &q->core->control.page->attention, 1);
    quplog_stop(q);
    quplog_stop(q);
    CHECK_EQUAL(end_waiter(&worker), QUPLOG_STOPPED);
    CHECK_EQUAL(end_waiter(&helper), QUPLOG_STOPPED);
    uint64_t id = put(q);
    CHECK_EQUAL(quplog_work(worker.worker, QUPLOG_NO_OUTCOME, 0, NULL, 0, QUPLOG_CLAIM_NEXT),
                QUPLOG_STOPPED);
    quplog_start(q);
    CHECK_EQUAL(claim(worker.worker), id);
    quplog_stop(q); /* what runs can still end */
    CHECK_EQUAL(end_run(worker.worker, QUPLOG_RUN_SUCCEEDED, 0, ""), QUPLOG_OK);
    quplog_worker_free(worker.worker);
    close_log(q);
}

/* A stop at any moment of the helper's round: a helper that sleeps through it hangs this test. */
TEST(a_stop_is_never_slept_through)
{
    quplog *q = open_log();
    for (int i = 0; i < 3000; i++) {
        struct waiter helper = {.log = q}, worker = {.log = q, .worker = new_worker(q)};
        start_waiter(&helper, keep);
        start_waiter(&worker, wait_for_work);
        for (int n = i % 50; n > 0; n--)
            sched_yield();
        quplog_stop(q);
        CHECK_EQUAL(end_waiter(&helper), QUPLOG_STOPPED);
        CHECK_EQUAL(end_waiter(&worker), QUPLOG_STOPPED);
        quplog_worker_free(worker.worker);
        quplog_start(q);
    }
    close_log(q);
}

/* ---- closing ---- */

TEST(close_ends_every_wait)
{
    quplog *q = open_log();
    uint64_t id = put_as(q, &SPEC, "", quplog_now(q) + 3600 * SECOND_US);
    struct waiter waiters[5] = {{.log = q, .worker = new_worker(q)}, {.log = q, .id = id}};
    waiters[2].log = waiters[3].log = waiters[4].log = q;
    quplog_worker *busy = new_worker(q);
    put(q);
    CHECK(claim(busy)); /* so that the log is not idle */
    start_waiter(&waiters[0], wait_for_work);
    start_waiter(&waiters[1], wait_for_job);
    start_waiter(&waiters[2], wait_for_idle);
    start_waiter(&waiters[3], wait_for_any);
    start_waiter(&waiters[4], keep);
    await_sleepers(q, &q->core->control.page->work, 1);
    await_sleepers(q, &q->core->control.page->results[id], 1);
    await_sleepers(q, &q->core->control.page->finished, 2);
    await_sleepers(q, &q->core->control.page->attention, 1);
    CHECK_EQUAL(quplog_close(q), QUPLOG_OK);
    for (int i = 0; i < 5; i++)
        CHECK_EQUAL(end_waiter(&waiters[i]), QUPLOG_CLOSED);
    quplog_worker_free(busy);
    quplog_worker_free(waiters[0].worker);
    quplog_free(q);
}

static void check_reads_closed(quplog *q, uint64_t id)
{
    quplog_job_info out;
    quplog_job *job;
    quplog_schedule *schedules;
    uint64_t counts[QUPLOG_STATE_COUNT];
    uint32_t seen = 12345;
    size_t n;
    bool paused;
    CHECK_EQUAL(quplog_info(q, id, &out), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_load(q, id, &job), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_find(q, 0, NULL, 0, NULL, 0, 0, 0, 0, false, &out, 1, &n),
                QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_counts(q, NULL, 0, counts), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_paused(q, "default", 7, &paused), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_schedules(q, false, &schedules, &n), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_wait_job(q, id, 0), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_wait_finished(q, &seen, 0), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_wait_idle(q, 0), QUPLOG_CLOSED);
}

TEST(after_the_close_every_call_says_so)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    quplog_batch *batch = quplog_batch_new();
    uint64_t id = put(q), other, lsn;
    uint32_t number;
    CHECK_EQUAL(quplog_batch_put(batch, &SPEC, "", 0, 0), QUPLOG_OK);
    CHECK_EQUAL(quplog_close(q), QUPLOG_OK);
    check_reads_closed(q, id);
    CHECK_EQUAL(quplog_put(q, &SPEC, "", 0, 0, false, &other), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_commit(q, batch, true, &other, &lsn), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_sync(q), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_sync_to(q, 1), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_register(q, "more", 4, &number), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_serve(q, "\001a", 2), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_work(worker, QUPLOG_NO_OUTCOME, 0, NULL, 0, QUPLOG_CLAIM_NEXT),
                QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_worker_release(worker), QUPLOG_CLOSED);
    CHECK_EQUAL(cancel(q, id), QUPLOG_CLOSED);
    CHECK_EQUAL(pause_default(q, true), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_keep(q), QUPLOG_CLOSED);
    quplog_batch_free(batch);
    quplog_worker_free(worker);
    quplog_free(q);
}

/* A world in which somebody puts a job whenever a close syncs. */
static struct {
    struct io io;
    quplog *log; /* NULL: nobody puts */
    int accepted;
} busy;

static int sync_while_somebody_puts(void *w, int fd)
{
    uint64_t id;
    quplog *q = busy.log;
    int status = q ? quplog_put(q, &SPEC, "late", 4, 0, false, &id) : QUPLOG_CLOSED;
    if (status != QUPLOG_CLOSED && status != QUPLOG_OK)
        test_fail(__FILE__, __LINE__, "a put beside a close is accepted or QUPLOG_CLOSED");
    busy.accepted += status == QUPLOG_OK;
    return io_system()->fdatasync(w, fd);
}

TEST(what_is_accepted_beside_a_close_is_durable)
{
    quplog_options options = default_options();
    options.flush_interval_us = 3600 * SECOND_US; /* only the close syncs */
    busy.io = *io_system();
    busy.io.fdatasync = sync_while_somebody_puts;
    busy.accepted = 0;
    quplog *q = open_over(&busy.io, &options);
    put(q);
    busy.log = q;
    CHECK_EQUAL(quplog_close(q), QUPLOG_OK);
    busy.log = NULL;
    CHECK_EQUAL(control_synced(&q->core->control), control_tail(&q->core->control));
    quplog_free(q);
    quplog_report report;
    char path[4200];
    snprintf(path, sizeof path, "%s/log", test_directory());
    REQUIRE(quplog_open(path, &options, &q, &report) == QUPLOG_OK);
    CHECK_EQUAL(report.ending, QUPLOG_CLEAN); /* nothing stands behind the goodbye */
    CHECK_EQUAL(count(q, QUPLOG_READY), (uint64_t)busy.accepted + 1);
    close_log(q);
}

/* The operating system, in which a close comes when the flusher has just seen that none had. */
static struct {
    struct io io;
    pthread_t closer;
    _Atomic(quplog *) log; /* NULL: nothing is up */
    _Atomic bool armed, inside;
} late;

static int64_t look_at_the_clock(void *w)
{
    if (!pthread_equal(pthread_self(), late.closer) && atomic_exchange(&late.armed, false)) {
        struct core *q = late.log->core;
        uint32_t seen = control_read(&q->control.page->flush);
        atomic_store(&late.inside, true);
        while (!atomic_load(&q->control.closed) || control_read(&q->control.page->flush) == seen)
            sched_yield();
    }
    return io_system()->monotonic_us(w);
}

TEST(a_close_is_never_slept_through_by_the_flusher)
{
    quplog_options options = default_options();
    options.flush_interval_us = 20 * SECOND_US; /* so long the close would take */
    late.io = *io_system();
    late.io.monotonic_us = look_at_the_clock;
    late.closer = pthread_self();
    quplog *q = late.log = open_over(&late.io, &options);
    struct control_word *word = &q->core->control.page->flush;
    put(q);
    await_sleepers(q, word, 1);
    atomic_store(&late.armed, true);
    while (!atomic_load(&late.inside)) {
        control_bump(&late.io, word, CONTROL_ALL, IO_ALL_BITS);
        sched_yield();
    }
    int64_t begin = after(q, 0);
    CHECK_EQUAL(quplog_close(q), QUPLOG_OK);
    CHECK(after(q, 0) - begin < 10 * SECOND_US);
    quplog_free(q);
}

/* The operating system, in which a write takes until the closer waits once more after a signal. */
static struct {
    struct io io;
    pthread_t closer;
    _Atomic(quplog *) log; /* NULL: nothing is up */
    _Atomic bool writing, closed;
    _Atomic int waits;
} interrupted;

static ssize_t write_for_long(void *w, int fd, const struct iovec *parts, int count,
                              uint64_t offset)
{
    if (interrupted.log && !pthread_equal(pthread_self(), interrupted.closer)) {
        atomic_store(&interrupted.writing, true);
        while (atomic_load(&interrupted.waits) < 2 && !atomic_load(&interrupted.closed))
            sched_yield();
    }
    return io_system()->pwritev(w, fd, parts, count, offset);
}

static int wait_with_a_signal(void *w, uint32_t *word, uint32_t expected, int64_t deadline_us,
                              int flags, uint32_t bits)
{
    quplog *q = interrupted.log;
    bool closing = q && word == (uint32_t *)&q->core->append.state &&
                   pthread_equal(pthread_self(), interrupted.closer);
    if (closing && atomic_fetch_add(&interrupted.waits, 1) == 0)
        return -EINTR;
    return io_system()->futex_wait(w, word, expected, deadline_us, flags, bits);
}

static void *put_slowly(void *context)
{
    uint64_t id;
    int *status = context;
    *status = quplog_put(interrupted.log, &SPEC, "slow", 4, 0, false, &id);
    return NULL;
}

TEST(a_signal_during_the_close_does_not_cut_off_who_is_writing)
{
    quplog_options options = default_options();
    options.flush_interval_us = 3600 * SECOND_US;
    interrupted.io = *io_system();
    interrupted.io.pwritev = write_for_long;
    interrupted.io.futex_wait = wait_with_a_signal;
    interrupted.closer = pthread_self();
    quplog *q = open_over(&interrupted.io, &options);
    interrupted.log = q;
    pthread_t writer;
    int put_status = -1;
    REQUIRE(pthread_create(&writer, NULL, put_slowly, &put_status) == 0);
    while (!atomic_load(&interrupted.writing))
        sched_yield();
    CHECK_EQUAL(quplog_close(q), QUPLOG_OK);
    atomic_store(&interrupted.closed, true);
    pthread_join(writer, NULL);
    CHECK_EQUAL(atomic_load(&interrupted.waits), 2);
    CHECK_EQUAL(put_status, QUPLOG_OK);
    interrupted.log = NULL;
    quplog_free(q);
    q = open_log();
    CHECK_EQUAL(count(q, QUPLOG_READY), 1);
    close_log(q);
}

/* ---- sharing ---- */

TEST(two_opens_of_a_directory_share_one_log)
{
    quplog *a = open_log(), *b = open_log();
    uint64_t id = put(a);
    CHECK_EQUAL(info(b, id).state, QUPLOG_READY);
    CHECK_EQUAL(quplog_close(a), QUPLOG_OK);
    CHECK_EQUAL(put(b), id + 1); /* the other is still open */
    quplog_free(a);
    CHECK_EQUAL(info(b, id).state, QUPLOG_READY);
    close_log(b);
    quplog *again = open_log();
    CHECK_EQUAL(count(again, QUPLOG_READY), 2);
    close_log(again);
}

TEST(each_opening_of_a_shared_log_serves_and_stops_by_itself)
{
    static const quplog_spec other = {
        .task = "other", .task_length = 5, .queue = "default", .queue_length = 7};
    quplog *a = open_log(), *b = open_log();
    quplog_worker *worker = new_worker(a), *waiting = new_worker(b);
    uint64_t id = put_as(a, &other, "", 0);
    CHECK_EQUAL(claim(worker), 0); /* neither knows the task */
    uint32_t number;
    REQUIRE(quplog_register(b, "other", 5, &number) == QUPLOG_OK);
    CHECK_EQUAL(claim(worker), 0); /* only the other does */
    CHECK_EQUAL(claim(waiting), id);
    CHECK_EQUAL(quplog_worker_claim(waiting)->task, number);
    CHECK_EQUAL(end_run(waiting, QUPLOG_RUN_SUCCEEDED, 0, ""), QUPLOG_OK);
    quplog_stop(a);
    CHECK_EQUAL(quplog_work(worker, QUPLOG_NO_OUTCOME, 0, NULL, 0, QUPLOG_CLAIM_NEXT),
                QUPLOG_STOPPED);
    id = put(b);
    CHECK_EQUAL(claim(waiting), id);
    quplog_worker_free(waiting);
    quplog_worker_free(worker);
    close_log(a);
    close_log(b);
}

TEST(closing_one_opening_ends_its_own_waits_only)
{
    quplog *a = open_log(), *b = open_log();
    struct waiter waiters[2] = {{.log = a, .worker = new_worker(a)},
                                {.log = b, .worker = new_worker(b)}};
    start_waiter(&waiters[0], wait_for_work);
    start_waiter(&waiters[1], wait_for_work);
    await_sleepers(a, &a->core->control.page->work, 2);
    CHECK_EQUAL(quplog_close(a), QUPLOG_OK);
    CHECK_EQUAL(end_waiter(&waiters[0]), QUPLOG_CLOSED);
    await_sleepers(b, &b->core->control.page->work, 1);
    quplog_stop(b);
    CHECK_EQUAL(end_waiter(&waiters[1]), QUPLOG_STOPPED);
    quplog_worker_free(waiters[0].worker);
    quplog_worker_free(waiters[1].worker);
    quplog_free(a);
    close_log(b);
}

TEST(a_wake_up_that_reaches_the_wrong_worker_is_passed_on)
{
    static const quplog_spec other = {
        .task = "other", .task_length = 5, .queue = "default", .queue_length = 7};
    quplog *a = open_log(), *b = open_log();
    uint32_t number;
    REQUIRE(quplog_register(b, "other", 5, &number) == QUPLOG_OK);
    struct waiter waiters[3] = {{.log = a, .worker = new_worker(a)},
                                {.log = a, .worker = new_worker(a)},
                                {.log = b, .worker = new_worker(b)}};
    for (uint32_t i = 0; i < 3; i++) { /* the one who can take it sleeps behind the others */
        start_waiter(&waiters[i], wait_for_work);
        await_sleepers(a, &a->core->control.page->work, i + 1);
    }
    uint64_t id = put_as(a, &other, "", 0);
    CHECK_EQUAL(end_waiter(&waiters[2]), QUPLOG_OK);
    CHECK_EQUAL(quplog_worker_claim(waiters[2].worker)->id, id);
    quplog_stop(a);
    CHECK_EQUAL(end_waiter(&waiters[0]), QUPLOG_STOPPED);
    CHECK_EQUAL(end_waiter(&waiters[1]), QUPLOG_STOPPED);
    for (int i = 0; i < 3; i++)
        quplog_worker_free(waiters[i].worker);
    close_log(a);
    close_log(b);
}

TEST(the_queues_that_are_served_are_the_last_that_were_named)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    uint64_t id = put(q); /* in the queue "default" */
    REQUIRE(quplog_serve(q, "\004mail", 5) == QUPLOG_OK);
    CHECK_EQUAL(claim(worker), 0);
    REQUIRE(quplog_serve(q, "\007default", 8) == QUPLOG_OK);
    REQUIRE(quplog_serve(q, "\004mail", 5) == QUPLOG_OK);
    CHECK_EQUAL(claim(worker), 0);
    REQUIRE(quplog_serve(q, "", 0) == QUPLOG_OK);
    CHECK_EQUAL(claim(worker), id);
    quplog_worker_free(worker);
    close_log(q);
}

TEST(a_retry_that_is_due_at_once_is_claimed_at_once)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    uint64_t id = put(q);
    CHECK_EQUAL(claim(worker), id);
    CHECK_EQUAL(quplog_work(worker, QUPLOG_RUN_RETRY, quplog_now(q), "error", 5,
                            QUPLOG_CLAIM_NEXT),
                QUPLOG_OK);
    CHECK_EQUAL(quplog_worker_claim(worker)->id, id);
    CHECK_EQUAL(quplog_worker_claim(worker)->attempt, 2);
    quplog_worker_free(worker);
    close_log(q);
}

TEST(a_read_only_handle_changes_nothing)
{
    quplog *q = open_log();
    uint64_t id = put(q), other;
    quplog_options options = default_options();
    options.read_only = true;
    CHECK_EQUAL(quplog_sync(q), QUPLOG_OK);
    quplog *reader = open_over(io_system(), &options);
    CHECK(reader != q);
    CHECK_EQUAL(info(reader, id).state, QUPLOG_READY);
    CHECK_EQUAL(quplog_put(reader, &SPEC, "", 0, 0, false, &other), QUPLOG_READ_ONLY);
    CHECK_EQUAL(cancel(reader, id), QUPLOG_READ_ONLY);
    CHECK_EQUAL(quplog_sync(reader), QUPLOG_READ_ONLY);
    close_log(reader);
    CHECK_EQUAL(put(q), id + 1);
    close_log(q);
}

/* ---- the helper ---- */

TEST(the_helper_makes_a_job_ready_when_it_is_due)
{
    quplog *q = open_log();
    struct waiter worker = {.log = q, .worker = new_worker(q)}, helper = {.log = q};
    start_waiter(&worker, wait_for_work);
    start_waiter(&helper, keep);
    await_sleepers(q, &q->core->control.page->work, 1);
    await_sleepers(q, &q->core->control.page->attention, 1); /* it sleeps without end */
    put_as(q, &SPEC, "", quplog_now(q) + 3600 * SECOND_US);
    int64_t due = quplog_now(q) + 20000;
    uint64_t id = put_as(q, &SPEC, "", due);
    CHECK_EQUAL(end_waiter(&worker), QUPLOG_OK);
    CHECK_EQUAL(worker.id, id);
    CHECK(quplog_worker_claim(worker.worker)->started_us >= due);
    quplog_stop(q);
    CHECK_EQUAL(end_waiter(&helper), QUPLOG_STOPPED);
    quplog_worker_free(worker.worker);
    close_log(q);
}

TEST(the_helper_tells_of_a_tick)
{
    quplog *q = open_log();
    quplog_batch *batch = quplog_batch_new();
    struct waiter helper = {.log = q};
    uint64_t first, lsn;
    start_waiter(&helper, keep);
    await_sleepers(q, &q->core->control.page->attention, 1);
    CHECK_EQUAL(quplog_batch_schedule(batch, "s", 1, "rule", 4, quplog_now(q) + 20000, 0, false, 0),
                QUPLOG_OK);
    CHECK_EQUAL(quplog_commit(q, batch, false, &first, &lsn), QUPLOG_OK);
    CHECK_EQUAL(end_waiter(&helper), QUPLOG_TICK);
    quplog_schedule *due;
    size_t n;
    REQUIRE(quplog_schedules(q, true, &due, &n) == QUPLOG_OK);
    CHECK_EQUAL(n, 1);
    uint64_t version = n ? due->version : 0;
    quplog_schedules_free(due);
    CHECK_EQUAL(quplog_batch_schedule(batch, "s", 1, "", 0, 1, 1, true, version), QUPLOG_OK);
    CHECK_EQUAL(quplog_commit(q, batch, false, &first, &lsn), QUPLOG_OK);
    start_waiter(&helper, keep); /* a paused one is never due */
    await_sleepers(q, &q->core->control.page->attention, 1);
    quplog_stop(q);
    CHECK_EQUAL(end_waiter(&helper), QUPLOG_STOPPED);
    quplog_batch_free(batch);
    close_log(q);
}

static quplog *open_keeping(int64_t succeeded_us, int64_t failed_us)
{
    quplog_options options = default_options();
    options.keep_succeeded_us = succeeded_us;
    options.keep_failed_us = failed_us;
    return open_over(io_system(), &options);
}

/* Retention is lazy and wakes nobody: there is no event, only an end. */
static void await_forgotten(quplog *q, int state)
{
    int64_t end = guard(q);
    while (count(q, state) && after(q, 0) < end)
        usleep(1000);
    CHECK_EQUAL(count(q, state), 0);
}

TEST(the_helper_forgets_what_was_kept_long_enough)
{
    quplog *q = open_keeping(0, INT64_MAX);
    quplog_worker *worker = new_worker(q);
    struct waiter helper = {.log = q};
    uint64_t done = put(q), failed = put(q), pending = put(q);
    run_one(worker, QUPLOG_RUN_SUCCEEDED, "");
    run_one(worker, QUPLOG_RUN_FAILED, "");
    start_waiter(&helper, keep);
    await_forgotten(q, QUPLOG_SUCCEEDED);
    run_one(worker, QUPLOG_RUN_CANCELLED, ""); /* and what ends while it sleeps */
    await_forgotten(q, QUPLOG_CANCELLED);
    quplog_stop(q);
    CHECK_EQUAL(end_waiter(&helper), QUPLOG_STOPPED);
    quplog_job_info out;
    CHECK_EQUAL(quplog_info(q, done, &out), QUPLOG_NOT_FOUND);
    CHECK_EQUAL(quplog_info(q, pending, &out), QUPLOG_NOT_FOUND);
    CHECK_EQUAL(info(q, failed).state, QUPLOG_JOB_FAILED); /* kept for ever */
    quplog_worker_free(worker);
    close_log(q);
}

/* The operating system, in which the naps of a helper are counted. */
static struct {
    struct io io;
    quplog *_Atomic log;
    _Atomic int rounds; /* it had more to do, and went on */
    _Atomic int naps;   /* it had more to do, and slept */
} forgetful;

static int nap(void *w, uint32_t *word, uint32_t expected, int64_t deadline_us, int flags,
               uint32_t bits)
{
    quplog *q = atomic_load(&forgetful.log);
    if (q && word == (uint32_t *)&q->core->control.page->attention.value &&
        count(q, QUPLOG_SUCCEEDED) > 0)
        atomic_fetch_add(deadline_us >= 0 && deadline_us <= quplog_now(q) ? &forgetful.rounds
                                                                           : &forgetful.naps,
                         1);
    return io_system()->futex_wait(w, word, expected, deadline_us, flags, bits);
}

/* The lock is given back again and again, but no second is lost: else finishing outruns it. */
TEST(a_long_list_is_forgotten_without_a_pause)
{
    enum { MANY = 50000 };
    quplog_options options = default_options();
    options.keep_succeeded_us = options.keep_failed_us = 0;
    forgetful.io = *io_system();
    forgetful.io.futex_wait = nap;
    quplog *q = open_over(&forgetful.io, &options);
    quplog_batch *batch = quplog_batch_new();
    quplog_worker *worker = new_worker(q);
    struct waiter helper = {.log = q};
    uint64_t first, lsn;
    for (int i = 0; i < MANY; i++)
        CHECK_EQUAL(quplog_batch_put(batch, &SPEC, "", 0, 0), QUPLOG_OK);
    CHECK_EQUAL(quplog_commit(q, batch, false, &first, &lsn), QUPLOG_OK);
    while (claim(worker))
        CHECK_EQUAL(end_run(worker, QUPLOG_RUN_SUCCEEDED, 0, ""), QUPLOG_OK);
    atomic_store(&forgetful.log, q);
    start_waiter(&helper, keep);
    await_forgotten(q, QUPLOG_SUCCEEDED);
    quplog_stop(q);
    CHECK_EQUAL(end_waiter(&helper), QUPLOG_STOPPED);
    atomic_store(&forgetful.log, NULL);
    CHECK(atomic_load(&forgetful.rounds) > 0);
    CHECK_EQUAL(atomic_load(&forgetful.naps), 0);
    quplog_worker_free(worker);
    quplog_batch_free(batch);
    close_log(q);
}

/* ---- many threads ---- */

enum { THREADS = 8, JOBS = 20000 };

struct runner {
    pthread_t thread;
    quplog_worker *worker;
    _Atomic uint8_t *runs; /* of each job */
    int status;
};

/* Run jobs until the log is stopped. */
static void *run_jobs(void *argument)
{
    struct runner *r = argument;
    int outcome = QUPLOG_NO_OUTCOME;
    for (;;) {
        r->status = quplog_work(r->worker, outcome, 0, "", 0, QUPLOG_CLAIM_NEXT | QUPLOG_WAIT);
        const quplog_claim *c = quplog_worker_claim(r->worker);
        if (r->status != QUPLOG_OK || c->finish_status != QUPLOG_OK || c->id > JOBS)
            return NULL;
        atomic_fetch_add(&r->runs[c->id], 1);
        outcome = QUPLOG_RUN_SUCCEEDED;
    }
}

static void put_all(quplog *q)
{
    quplog_batch *batch = quplog_batch_new();
    uint64_t first, lsn;
    for (int i = 0; i < JOBS / 2; i++)
        put(q);
    for (int i = JOBS / 2; i < JOBS; i++)
        CHECK_EQUAL(quplog_batch_put(batch, &SPEC, "", 0, 0), QUPLOG_OK);
    CHECK_EQUAL(quplog_commit(q, batch, true, &first, &lsn), QUPLOG_OK);
    quplog_batch_free(batch);
}

TEST(eight_threads_claim_each_job_exactly_once)
{
    static _Atomic uint8_t runs[JOBS + 1];
    quplog *q = open_log();
    struct runner runners[THREADS];
    for (int i = 0; i < THREADS; i++) {
        runners[i] = (struct runner){.worker = new_worker(q), .runs = runs};
        REQUIRE(pthread_create(&runners[i].thread, NULL, run_jobs, &runners[i]) == 0);
    }
    put_all(q);
    CHECK_EQUAL(quplog_wait_idle(q, guard(q)), QUPLOG_OK);
    quplog_stop(q);
    for (int i = 0; i < THREADS; i++) {
        REQUIRE(pthread_join(runners[i].thread, NULL) == 0);
        CHECK_EQUAL(runners[i].status, QUPLOG_STOPPED);
        quplog_worker_free(runners[i].worker);
    }
    int wrong = 0;
    for (uint64_t id = 1; id <= JOBS; id++)
        wrong += runs[id] != 1;
    CHECK_EQUAL(wrong, 0);
    CHECK_EQUAL(count(q, QUPLOG_SUCCEEDED), JOBS);
    close_log(q);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(a_put_wakes_a_waiting_worker),
        LISTED(each_waiting_worker_gets_one_job_of_a_batch),
        LISTED(who_waits_for_a_job_hears_of_its_end),
        LISTED(a_job_that_ends_changes_the_word_that_is_waited_on_for_it),
        LISTED(waiting_ends_at_its_deadline_and_for_the_unknown_at_once),
        LISTED(idle_is_when_the_last_run_has_ended),
        LISTED(stop_ends_the_waits_for_work_and_start_begins_again),
        LISTED(a_stop_is_never_slept_through),
        LISTED(close_ends_every_wait),
        LISTED(after_the_close_every_call_says_so),
        LISTED(what_is_accepted_beside_a_close_is_durable),
        LISTED(a_close_is_never_slept_through_by_the_flusher),
        LISTED(a_signal_during_the_close_does_not_cut_off_who_is_writing),
        LISTED(two_opens_of_a_directory_share_one_log),
        LISTED(each_opening_of_a_shared_log_serves_and_stops_by_itself),
        LISTED(closing_one_opening_ends_its_own_waits_only),
        LISTED(a_wake_up_that_reaches_the_wrong_worker_is_passed_on),
        LISTED(the_queues_that_are_served_are_the_last_that_were_named),
        LISTED(a_retry_that_is_due_at_once_is_claimed_at_once),
        LISTED(a_read_only_handle_changes_nothing),
        LISTED(the_helper_makes_a_job_ready_when_it_is_due),
        LISTED(the_helper_tells_of_a_tick),
        LISTED(the_helper_forgets_what_was_kept_long_enough),
        LISTED(a_long_list_is_forgotten_without_a_pause),
        LISTED(eight_threads_claim_each_job_exactly_once),
    };
    return RUN(tests, argc, argv);
}
