/* Who is woken, who is not woken for ever, and when a helper looks by itself. */
#include "commit.h"
#include "process_lab.h"

/* ---- the baton ---- */

static struct reply deed_wakes(const struct wish *wish)
{
    (void)wish;
    return (struct reply){.value = atomic_load(&mine.wakes)};
}

/* A task that is not "work", whose lanes wake with the same bit; the n-th of them. */
static void name_with_bit(char out[32], int n)
{
    uint32_t bit = core_bit((struct span){(const unsigned char *)"work", 4});
    for (int i = 0; n >= 0; i++) {
        int length = snprintf(out, 32, "other%d", i);
        n -= core_bit((struct span){(const unsigned char *)out, (size_t)length}) == bit;
    }
}

static void interrupt(struct mate *mate)
{
    struct pollfd ready = {.fd = mate->replies, .events = POLLIN};
    while (poll(&ready, 1, 1) == 0)
        REQUIRE(kill(mate->pid, SIGUSR1) == 0);
    CHECK_EQUAL(await(mate).status, QUPLOG_INTERRUPTED);
}

TEST(two_who_cannot_take_a_job_do_not_wake_each_other_for_ever)
{
    enum { PUTS = 100 };
    gather();
    struct mate *m[2] = {enlist(), enlist()};
    quplog *q = join();
    uint64_t before[2];
    for (int i = 0; i < 2; i++) {
        struct wish worker = {.deed = deed_worker};
        name_with_bit(worker.text, i);
        CHECK_EQUAL(tell(m[i], deed_open, 0).status, QUPLOG_OK);
        CHECK_EQUAL(tell_wish(m[i], worker).status, QUPLOG_OK);
        CHECK_EQUAL(tell(m[i], deed_claim, 0).status, QUPLOG_EMPTY);
        before[i] = tell(m[i], deed_wakes, 0).value;
        begin(m[i], deed_wait_for_work, 0);
        await_sleeping(&q->core->control.page->work, (uint32_t)i + 1);
    }
    for (unsigned i = 0; i < PUTS; i++)
        lab_put(q, i, 100, true); /* which gives them time to go on for ever */
    for (int i = 0; i < 2; i++) {
        interrupt(m[i]);
        /* For each job: the next worker, and perhaps somebody at the lock. */
        CHECK(tell(m[i], deed_wakes, 0).value - before[i] <= 3 * PUTS + 10);
    }
    lab_close(q);
    gather();
}

TEST(a_job_whose_woken_worker_died_is_found_by_a_helper)
{
    gather();
    struct mate *first = enlist(), *second = enlist();
    quplog *q = join();
    struct control_word *word = &q->core->control.page->work;
    CHECK_EQUAL(tell(first, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(second, deed_open, 0).status, QUPLOG_OK);
    tell(first, deed_worker, 0);
    tell(second, deed_worker, 0);
    CHECK_EQUAL(tell(first, deed_claim, 0).status, QUPLOG_EMPTY);
    CHECK_EQUAL(tell(second, deed_claim, 0).status, QUPLOG_EMPTY);
    begin(first, deed_wait_for_work, 0);
    await_sleeping(word, 1);
    REQUIRE(kill(first->pid, SIGSTOP) == 0); /* it is woken, and does not get to its claim */
    await_stop(first);
    CHECK_EQUAL(tell(second, deed_keep, 0).status, QUPLOG_OK);
    begin(second, deed_wait_for_work, 0);
    await_sleeping(word, 2);
    uint64_t id;
    REQUIRE(quplog_put(q, &LAB_SPEC, "job 0.", 6, 0, false, &id) == QUPLOG_OK);
    strike(first);
    CHECK_EQUAL(await(second).id, id);
    lab_close(q);
    gather();
}

/* The words that tell workers and helpers, as they were when the next frame was written. */
struct at_write {
    quplog *q;
    uint32_t work, attention;
    uint64_t next_due;
};

static void note_words(void *context)
{
    struct at_write *seen = context;
    struct control_page *page = seen->q->core->control.page;
    seen->work = control_read(&page->work);
    seen->attention = control_read(&page->attention);
    seen->next_due = control_older(&page->next_due);
}

TEST(whom_a_frame_concerns_is_told_before_it_is_written)
{
    struct faulty *f = faulty_new();
    struct at_write seen = {.q = lab_open(f, lab_path("log"))};
    struct control_page *page = seen.q->core->control.page;
    uint64_t id;
    control_write_number(&page->next_due, CONTROL_NEVER);
    lab_put(seen.q, 0, 100, false); /* space is zeroed ahead */
    uint32_t work = control_read(&page->work), attention = control_read(&page->attention);
    faulty_before(f, FAULTY_WRITE, note_words, &seen);
    lab_put(seen.q, 1, 100, false);
    CHECK(seen.work != work);
    REQUIRE(quplog_put(seen.q, &LAB_SPEC, "later", 5, 4711, false, &id) == QUPLOG_OK);
    CHECK_EQUAL(seen.next_due, 4711);
    CHECK(seen.attention != attention);
    faulty_before(f, FAULTY_WRITE, NULL, NULL);
    lab_close(seen.q);
    faulty_free(f);
}

/* How many workers are to be woken, and by which bits. */
static struct {
    struct io io;
    uint32_t *work;
    int count;
    uint32_t bits;
    struct control_page *page; /* of whose helpers' wakes are counted; NULL: nobody's */
    int helpers;
    uint32_t quiet; /* as it was then */
} woken;

static int note_wake(void *w, uint32_t *word, int count, int flags, uint32_t bits)
{
    if (word == woken.work) {
        woken.count += count;
        woken.bits |= bits;
    }
    if (woken.page && word == (uint32_t *)&woken.page->attention.value) {
        woken.helpers++;
        woken.quiet = atomic_load(&woken.page->quiet);
    }
    return io_system()->futex_wake(w, word, count, flags, bits);
}

static quplog *open_woken(quplog_worker **worker, const char *task)
{
    quplog_options options = lab_options();
    quplog_report report;
    quplog *q;
    uint32_t number;
    woken.io = *io_system();
    woken.io.futex_wake = note_wake;
    woken.work = NULL;
    REQUIRE(open_with(&woken.io, lab_path("log"), &options, &q, &report) == QUPLOG_OK);
    REQUIRE(quplog_register(q, task, strlen(task), &number) == QUPLOG_OK);
    REQUIRE(quplog_worker_new(q, worker) == QUPLOG_OK);
    return q;
}

/* From here on; *tag is for control_count_out(). As if somebody slept. */
static void count_wakes(quplog *q, uint32_t *tag)
{
    struct control_word *work = &q->core->control.page->work;
    *tag = control_count_in(&work->sleepers);
    woken.work = (uint32_t *)&work->value;
    woken.count = 0;
    woken.bits = 0;
}

static int claim_next(quplog_worker *worker)
{
    return quplog_work(worker, QUPLOG_NO_OUTCOME, 0, "", 0, QUPLOG_CLAIM_NEXT);
}

static void leave_woken(quplog *q, quplog_worker *worker, uint32_t tag)
{
    woken.work = NULL;
    control_count_out(&q->core->control.page->work.sleepers, tag);
    quplog_worker_free(worker);
    lab_close(q);
}

/* Who is not woken at once is woken by another worker, or by a helper: so it is seen here alone. */
TEST(a_batch_wakes_as_many_as_it_has_jobs_for_and_who_leaves_work_behind_one_more)
{
    quplog_spec other = LAB_SPEC;
    quplog_worker *worker;
    uint64_t first, lsn;
    uint32_t tag, bits = core_bit((struct span){(const unsigned char *)"work", 4});
    other.task = "walk";
    bits |= core_bit((struct span){(const unsigned char *)"walk", 4});
    quplog *q = open_woken(&worker, "work");
    quplog_batch *batch = quplog_batch_new();
    REQUIRE(batch);
    for (int i = 0; i < 4; i++)
        REQUIRE(quplog_batch_put(batch, i % 2 ? &other : &LAB_SPEC, "", 0, i / 3 * INT64_MAX) == 0);
    count_wakes(q, &tag);
    CHECK_EQUAL(quplog_commit(q, batch, 0, &first, &lsn), QUPLOG_OK);
    CHECK_EQUAL(woken.count, 3);
    CHECK_EQUAL(woken.bits, bits);
    woken.count = 0;
    CHECK_EQUAL(claim_next(worker), QUPLOG_OK);
    CHECK_EQUAL(woken.count, 1);
    quplog_batch_free(batch);
    leave_woken(q, worker, tag);
}

/* Who dies before it has woken them leaves quiet set, so that the next who appends does it. */
TEST(helpers_are_woken_once_for_a_frame_and_before_quiet_is_taken_back)
{
    quplog_worker *worker;
    uint64_t id;
    quplog *q = open_woken(&worker, "work");
    struct control_page *page = q->core->control.page;
    uint32_t tag = control_count_in(&page->attention.sleepers);
    atomic_store(&page->quiet, 1);
    control_write_number(&page->next_due, CONTROL_NEVER);
    woken.helpers = 0;
    woken.quiet = 0;
    woken.page = page;
    REQUIRE(quplog_put(q, &LAB_SPEC, "later", 5, 4711, false, &id) == QUPLOG_OK);
    CHECK_EQUAL(woken.helpers, 1);
    CHECK_EQUAL(woken.quiet, 1);
    CHECK_EQUAL(atomic_load(&page->quiet), 0);
    REQUIRE(quplog_put(q, &LAB_SPEC, "later", 5, 4712, false, &id) == QUPLOG_OK);
    CHECK_EQUAL(woken.helpers, 1);
    woken.page = NULL;
    control_count_out(&page->attention.sleepers, tag);
    quplog_worker_free(worker);
    lab_close(q);
}

TEST(who_cannot_take_a_job_passes_it_on_once_for_each_change)
{
    quplog_worker *worker;
    uint32_t tag;
    quplog *q = open_woken(&worker, "other");
    CHECK_EQUAL(claim_next(worker), QUPLOG_EMPTY); /* it has its slot */
    for (unsigned i = 0; i < 3; i++) {
        lab_put(q, i, 100, false);
        count_wakes(q, &tag);
        CHECK_EQUAL(claim_next(worker), QUPLOG_EMPTY);
        CHECK_EQUAL(woken.count, 1);
        CHECK_EQUAL(claim_next(worker), QUPLOG_EMPTY);
        CHECK_EQUAL(woken.count, 1);
        control_count_out(&q->core->control.page->work.sleepers, tag);
    }
    count_wakes(q, &tag);
    leave_woken(q, worker, tag);
}

/* ---- a clock of the test's own ---- */

enum { SECOND_US = 1000000, NOT_ASKED = -2 };

static struct {
    struct io io[2]; /* of two processes */
    struct io_registry registry[2];
    _Atomic int64_t now_us;
    _Atomic int64_t passed_us; /* by the test's will, on the other clock */
    uint32_t *_Atomic attention; /* NULL: nobody is asked */
    _Atomic int64_t deadline_us; /* until when the helper sleeps; -1: without end */
    _Atomic uint32_t sleeps;
} fake;

static int64_t fake_now(void *w)
{
    (void)w;
    return atomic_load(&fake.now_us);
}

static int64_t fake_monotonic(void *w)
{
    return io_system()->monotonic_us(w) + atomic_load(&fake.passed_us);
}

/* The helper sleeps until its word changes, or the test's clock has come to its deadline. */
static int fake_wait(void *w, uint32_t *word, uint32_t expected, int64_t deadline_us, int flags,
                     uint32_t bits)
{
    const struct io *io = io_system();
    if (word != atomic_load(&fake.attention))
        return io->futex_wait(w, word, expected, deadline_us, flags, bits);
    atomic_fetch_add(&fake.sleeps, 1); /* before what a test waits for */
    atomic_store(&fake.deadline_us, deadline_us);
    int status = 0;
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == expected && status == 0) {
        if (deadline_us >= 0 && deadline_us <= atomic_load(&fake.now_us))
            status = -ETIMEDOUT;
        else
            (void)io->futex_wait(w, word, expected, io->monotonic_us(w) + 1000,
                                 IO_FUTEX_MONOTONIC | IO_FUTEX_SHARED, bits);
    }
    atomic_store(&fake.deadline_us, NOT_ASKED);
    return status;
}

static quplog *open_fake(int process)
{
    quplog *q = NULL;
    quplog_report report = {0};
    quplog_options options = lab_options();
    const struct io *io = io_system();
    options.lock_timeout_us = LOCK_TIMEOUT_US;
    options.keep_succeeded_us = options.keep_failed_us = process ? -1 : INT64_MAX;
    fake.io[process] = *io;
    fake.io[process].registry = &fake.registry[process];
    memset(&fake.registry[process], 0, sizeof fake.registry[process]);
    io->mutex_init(io->world, &fake.registry[process].mutex);
    io->mutex_init(io->world, &fake.registry[process].opening);
    fake.io[process].now_us = fake_now;
    fake.io[process].monotonic_us = fake_monotonic;
    fake.io[process].futex_wait = fake_wait;
    REQUIRE(open_with(&fake.io[process], lab_path("log"), &options, &q, &report) == QUPLOG_OK);
    return q;
}

/* Until the helper sleeps until then. What it does before is its affair. */
static void await_deadline(int64_t least, int64_t most)
{
    int64_t end = monotonic() + 20 * INT64_C(1000000), is = NOT_ASKED;
    while (monotonic() < end) {
        is = atomic_load(&fake.deadline_us);
        if (is != NOT_ASKED && is >= least && is <= most)
            return;
        sched_yield();
    }
    CHECK(is >= least);
    CHECK(is <= most);
}

/* Only the wall clock may go back. */
static void pass(int64_t us)
{
    atomic_fetch_add(&fake.now_us, us);
    atomic_fetch_add(&fake.passed_us, us > 0 ? us : 0);
}

static void *keep_fake(void *context)
{
    static int status;
    status = quplog_keep(context);
    return &status;
}

struct watched {
    quplog *helper, *producer;
    pthread_t thread;
};

static struct watched begin_watch(void)
{
    struct watched w;
    atomic_store(&fake.attention, NULL);
    atomic_store(&fake.now_us, INT64_C(1800000000) * SECOND_US);
    atomic_store(&fake.deadline_us, NOT_ASKED);
    w.helper = open_fake(0);
    REQUIRE(quplog_sync(w.helper) == QUPLOG_OK);
    w.producer = open_fake(1);
    struct control_page *page = w.helper->core->control.page;
    atomic_store(&fake.attention, (uint32_t *)&page->attention.value);
    REQUIRE(pthread_create(&w.thread, NULL, keep_fake, w.helper) == 0);
    return w;
}

static void end_watch(struct watched *w)
{
    void *status;
    quplog_stop(w->helper);
    REQUIRE(pthread_join(w->thread, &status) == 0);
    CHECK_EQUAL(*(int *)status, QUPLOG_STOPPED);
    atomic_store(&fake.attention, NULL);
    lab_close(w->producer);
    lab_close(w->helper);
}

static uint64_t put_due(quplog *q, int64_t due_us)
{
    uint64_t id = 0;
    REQUIRE(quplog_put(q, &LAB_SPEC, "job 0.", 6, due_us, true, &id) == QUPLOG_OK);
    return id;
}

static void await_state(quplog *q, uint64_t id, int state)
{
    quplog_job_info info = {0};
    int64_t end = monotonic() + 20 * INT64_C(1000000);
    do
        CHECK_EQUAL(quplog_info(q, id, &info), QUPLOG_OK);
    while (info.state != state && monotonic() < end);
    CHECK_EQUAL(info.state, state);
}

TEST(a_helper_with_nothing_to_do_sleeps_without_end)
{
    struct watched w = begin_watch();
    await_deadline(-1, -1);
    uint32_t sleeps = atomic_load(&fake.sleeps);
    pass(INT64_C(3600) * SECOND_US); /* time alone wakes nobody */
    CHECK_EQUAL(atomic_load(&fake.deadline_us), -1);
    CHECK_EQUAL(atomic_load(&fake.sleeps), sleeps);
    end_watch(&w);
}

TEST(a_helper_looks_each_second_while_something_runs)
{
    quplog_worker *worker;
    uint32_t number;
    struct watched w = begin_watch();
    await_deadline(-1, -1);
    REQUIRE(quplog_register(w.producer, "work", 4, &number) == QUPLOG_OK);
    REQUIRE(quplog_worker_new(w.producer, &worker) == QUPLOG_OK);
    put_due(w.producer, 0);
    REQUIRE(quplog_work(worker, QUPLOG_NO_OUTCOME, 0, "", 0, QUPLOG_CLAIM_NEXT) == QUPLOG_OK);
    REQUIRE(quplog_sync(w.producer) == QUPLOG_OK); /* else that would be a reason to look */
    for (int i = 0; i < 5; i++) {
        int64_t now = atomic_load(&fake.now_us);
        await_deadline(now + 1, now + SECOND_US);
        pass(SECOND_US);
    }
    (void)quplog_work(worker, QUPLOG_RUN_SUCCEEDED, 0, "", 0, QUPLOG_SYNC);
    for (int i = 0; i < 3; i++) { /* once more to see that it is quiet */
        pass(SECOND_US);
        sched_yield();
    }
    int64_t end = monotonic() + 20 * INT64_C(1000000);
    while (atomic_load(&fake.deadline_us) != -1 && monotonic() < end)
        pass(SECOND_US);
    CHECK_EQUAL(atomic_load(&fake.deadline_us), -1);
    quplog_worker_free(worker);
    end_watch(&w);
}

/* Who has appended makes it durable by himself; if he is gone, a helper does. */
TEST(what_stays_unsynced_for_a_second_is_made_durable_by_a_helper)
{
    struct watched w = begin_watch();
    struct control_page *page = w.helper->core->control.page;
    uint64_t id;
    await_deadline(-1, -1);
    REQUIRE(quplog_put(w.producer, &LAB_SPEC, "job 0.", 6, 0, false, &id) == QUPLOG_OK);
    uint64_t tail = control_older(&page->tail);
    CHECK(control_older(&page->synced) < tail);
    for (int i = 0; i < 2; i++) { /* it was woken, and finds it; then a second is over */
        int64_t now = atomic_load(&fake.now_us);
        await_deadline(now + 1, now + SECOND_US);
        pass(SECOND_US);
    }
    await_deadline(-1, -1);
    CHECK_EQUAL(control_older(&page->synced), tail);
    CHECK_EQUAL(control_older(&page->tail), tail);
    end_watch(&w);
}

TEST(a_job_put_for_later_by_who_has_no_table_is_let_come_due)
{
    struct watched w = begin_watch();
    await_deadline(-1, -1);
    int64_t now = atomic_load(&fake.now_us), due = now + INT64_C(3600) * SECOND_US;
    uint64_t later = put_due(w.producer, due);
    CHECK_EQUAL(control_older(&w.producer->core->control.page->next_due), due);
    await_deadline(1, now + SECOND_US); /* it was woken, and looks soon */
    pass(SECOND_US);
    await_deadline(due, due);
    int64_t sooner = now + 60 * INT64_C(1000000);
    uint64_t soon = put_due(w.producer, sooner);
    CHECK(!w.producer->core->loaded);
    await_deadline(1, now + 2 * SECOND_US);
    pass(SECOND_US);
    await_deadline(sooner, sooner);
    pass(58 * INT64_C(1000000)); /* to the microsecond */
    await_state(w.helper, soon, QUPLOG_READY);
    await_state(w.helper, later, QUPLOG_SCHEDULED);
    end_watch(&w);
}

TEST(a_step_of_the_wall_clock_makes_due_what_it_passes)
{
    struct watched w = begin_watch();
    await_deadline(-1, -1);
    int64_t now = atomic_load(&fake.now_us);
    uint64_t id = put_due(w.producer, now + INT64_C(86400) * SECOND_US);
    await_deadline(1, now + SECOND_US);
    pass(-INT64_C(3600) * SECOND_US); /* backwards: nothing is lost by it */
    pass(INT64_C(3600) * SECOND_US + SECOND_US);
    await_deadline(now + INT64_C(86400) * SECOND_US, now + INT64_C(86400) * SECOND_US);
    pass(INT64_C(2) * 86400 * SECOND_US);
    await_state(w.producer, id, QUPLOG_READY);
    end_watch(&w);
}

TEST(a_job_that_is_due_within_the_second_is_not_slept_over)
{
    struct watched w = begin_watch();
    await_deadline(-1, -1);
    int64_t now = atomic_load(&fake.now_us);
    uint64_t id = put_due(w.producer, now + 5000);
    await_deadline(now + 5000, now + 5000);
    pass(5000);
    await_state(w.helper, id, QUPLOG_READY);
    end_watch(&w);
}

/* Its own worker may not know the task, and another process's waits for it. */
TEST(what_a_helper_lets_come_due_is_told_to_all_workers)
{
    struct watched w = begin_watch();
    struct control_word *work = &w.helper->core->control.page->work;
    await_deadline(-1, -1);
    int64_t now = atomic_load(&fake.now_us);
    uint64_t id = put_due(w.producer, now + 5000);
    await_deadline(now + 5000, now + 5000);
    uint32_t before = control_read(work);
    pass(5000);
    await_state(w.helper, id, QUPLOG_READY);
    CHECK(control_read(work) != before);
    end_watch(&w);
}

/* ---- retention, by the test's clock ---- */

/* The helper has done all its duties once more: it does them in an order, and this is the first. */
static void await_round(struct watched *w)
{
    for (int i = 0; i < 2; i++) {
        uint64_t id = put_due(w->producer, atomic_load(&fake.now_us) + 1);
        pass(SECOND_US);
        await_state(w->helper, id, QUPLOG_READY);
    }
}

TEST(a_finished_job_is_kept_to_its_time_and_not_less)
{
    struct watched w = begin_watch();
    quplog_options options = lab_options();
    quplog_report report;
    quplog_job_info info;
    quplog *q;
    uint64_t lsn;
    options.keep_succeeded_us = 3600 * INT64_C(1000000);
    REQUIRE(open_with(&fake.io[1], lab_path("log"), &options, &q, &report) == QUPLOG_OK);
    uint64_t id = put_due(q, 0);
    CHECK_EQUAL(quplog_cancel(q, id, &lsn), QUPLOG_OK);
    int64_t end = atomic_load(&fake.now_us) + options.keep_succeeded_us;
    await_round(&w);
    pass(end - atomic_load(&fake.now_us) - 5 * INT64_C(1000000));
    await_round(&w);
    CHECK_EQUAL(quplog_info(q, id, &info), QUPLOG_OK);
    pass(end - atomic_load(&fake.now_us));
    await_round(&w);
    CHECK_EQUAL(quplog_info(q, id, &info), QUPLOG_NOT_FOUND);
    lab_close(q);
    end_watch(&w);
}

/* All in two frames, as no caller does: what counts is how many there are. */
static void finish_many(quplog *q, uint64_t count)
{
    quplog_batch *batch = quplog_batch_new();
    struct buffer ops = {0};
    uint64_t first, lsn;
    REQUIRE(batch);
    for (uint64_t i = 0; i < count; i++)
        REQUIRE(quplog_batch_put(batch, &LAB_SPEC, "", 0, 0) == QUPLOG_OK);
    REQUIRE(quplog_commit(q, batch, 0, &first, &lsn) == QUPLOG_OK);
    quplog_batch_free(batch);
    for (uint64_t i = 0; i < count; i++)
        REQUIRE(op_encode_cancel(&ops, first + i) == QUPLOG_OK);
    REQUIRE(commit_begin(q->core, COMMIT_DECIDE) == QUPLOG_OK);
    CHECK_EQUAL(commit_ops(q->core, (uint32_t)count, &ops, NULL), QUPLOG_OK);
    commit_end(q->core);
    buffer_free(&ops);
}

TEST(of_too_many_finished_jobs_those_of_the_last_minute_are_kept)
{
    enum { KEPT = 100000, MORE = 20 };
    struct watched w = begin_watch();
    await_deadline(-1, -1);
    finish_many(w.producer, KEPT + MORE);
    await_round(&w);
    CHECK_EQUAL(count_state(w.producer, QUPLOG_CANCELLED), KEPT + MORE);
    pass(60 * INT64_C(1000000));
    await_round(&w);
    CHECK_EQUAL(count_state(w.producer, QUPLOG_CANCELLED), KEPT);
    end_watch(&w);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(two_who_cannot_take_a_job_do_not_wake_each_other_for_ever),
        LISTED(a_job_whose_woken_worker_died_is_found_by_a_helper),
        LISTED(whom_a_frame_concerns_is_told_before_it_is_written),
        LISTED(a_batch_wakes_as_many_as_it_has_jobs_for_and_who_leaves_work_behind_one_more),
        LISTED(helpers_are_woken_once_for_a_frame_and_before_quiet_is_taken_back),
        LISTED(who_cannot_take_a_job_passes_it_on_once_for_each_change),
        LISTED(a_helper_with_nothing_to_do_sleeps_without_end),
        LISTED(a_helper_looks_each_second_while_something_runs),
        LISTED(what_stays_unsynced_for_a_second_is_made_durable_by_a_helper),
        LISTED(a_job_put_for_later_by_who_has_no_table_is_let_come_due),
        LISTED(a_step_of_the_wall_clock_makes_due_what_it_passes),
        LISTED(a_job_that_is_due_within_the_second_is_not_slept_over),
        LISTED(what_a_helper_lets_come_due_is_told_to_all_workers),
        LISTED(a_finished_job_is_kept_to_its_time_and_not_less),
        LISTED(of_too_many_finished_jobs_those_of_the_last_minute_are_kept),
    };
    return RUN(tests, argc, argv);
}
