/* Durability: one sync for many, none that promises too much, and what a failed one does. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "commit.h"
#include "log_lab.h"

enum { SMALL = 200, BIG = 6000 };

/* ---- group commit ---- */

enum { THREADS = 8, EACH = 60 };

struct putter {
    quplog *q;
    struct faulty *f;
    unsigned first;
    unsigned count;
    size_t size;
    _Atomic int failed;  /* the first status that was not QUPLOG_OK */
    _Atomic int not_yet; /* acknowledged, and not flushed */
};

static void *put_synced(void *context)
{
    struct putter *p = context;
    for (unsigned i = 0; i < p->count; i++) {
        int status = lab_try_put(p->q, p->first + i, p->size, true);
        if (status) {
            atomic_store(&p->failed, status);
            return NULL;
        }
        if (!faulty_durable(p->f, control_synced(&p->q->core->control)))
            atomic_fetch_add(&p->not_yet, 1);
    }
    return NULL;
}

TEST(eight_threads_share_syncs_and_none_returns_before_its_own)
{
    struct faulty *f = faulty_new();
    static struct putter putters[THREADS];
    pthread_t threads[THREADS];
    quplog *q = lab_open(f, lab_path("log"));
    faulty_behave(f);
    for (unsigned i = 0; i < THREADS; i++) {
        putters[i] = (struct putter){.q = q, .f = f, .first = i * EACH, .count = EACH, .size = 900};
        REQUIRE(pthread_create(&threads[i], NULL, put_synced, &putters[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_EQUAL(atomic_load(&putters[i].failed), QUPLOG_OK);
        CHECK_EQUAL(atomic_load(&putters[i].not_yet), 0);
    }
    CHECK(faulty_count(f, FAULTY_SYNC) < THREADS * EACH);
    CHECK(faulty_durable(f, lab_stats(q).synced_lsn));
    CHECK(lab_segments(lab_path("log")).count > 3);
    lab_expect(q, THREADS * EACH);
    lab_close(q);
    CHECK_EQUAL(faulty_lies(f), 0);
    faulty_free(f);
}

/* While a sync is under way more is appended: it is not covered by that sync. */
struct during {
    quplog *q;
    _Atomic int times;
    _Atomic int failed;
};

static void put_during_the_sync(void *context)
{
    struct during *d = context;
    if (atomic_fetch_add(&d->times, 1) == 0)
        atomic_store(&d->failed, lab_try_put(d->q, 1, SMALL, false));
}

TEST(what_is_appended_during_a_sync_is_not_called_synced)
{
    struct faulty *f = faulty_new();
    struct during during = {.q = lab_open(f, lab_path("log"))};
    faulty_before_sync(f, put_during_the_sync, &during);
    lab_put(during.q, 0, SMALL, true);
    faulty_before_sync(f, NULL, NULL);
    CHECK_EQUAL(atomic_load(&during.failed), QUPLOG_OK);
    CHECK(lab_stats(during.q).synced_lsn < lab_stats(during.q).tail_lsn);
    CHECK(faulty_durable(f, lab_stats(during.q).synced_lsn));
    lab_put(during.q, 2, SMALL, false); /* a frame that says what is synced */
    lab_expect(during.q, 3);
    lab_close(during.q);
    CHECK_EQUAL(faulty_lies(f), 0);
    faulty_free(f);
}

static void put_much_during_the_sync(void *context)
{
    struct during *d = context;
    if (atomic_fetch_add(&d->times, 1) == 0)
        for (unsigned i = 1; i < 25; i++) /* over two rotations */
            if (lab_try_put(d->q, i, BIG, false))
                atomic_store(&d->failed, 1);
}

TEST(a_rotation_during_a_sync_is_owed_to_the_next)
{
    struct faulty *f = faulty_new();
    struct during during = {.q = lab_open(f, lab_path("log"))};
    faulty_before_sync(f, put_much_during_the_sync, &during);
    lab_put(during.q, 0, SMALL, true);
    faulty_before_sync(f, NULL, NULL);
    CHECK_EQUAL(atomic_load(&during.failed), 0);
    REQUIRE(quplog_sync(during.q) == QUPLOG_OK);
    CHECK(faulty_durable(f, lab_stats(during.q).tail_lsn));
    lab_expect(during.q, 25);
    lab_close(during.q);
    CHECK_EQUAL(faulty_lies(f), 0);
    faulty_free(f);
}

TEST(a_synced_batch_and_a_synced_outcome_are_durable_when_they_return)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("log"));
    quplog_batch *batch = quplog_batch_new();
    quplog_worker *worker = NULL;
    uint64_t first, lsn;
    uint32_t number;
    REQUIRE(quplog_batch_put(batch, &LAB_SPEC, "job 0.", 6, 0) == QUPLOG_OK);
    REQUIRE(quplog_batch_put(batch, &LAB_SPEC, "job 1.", 6, 0) == QUPLOG_OK);
    CHECK_EQUAL(quplog_commit(q, batch, QUPLOG_SYNC, &first, &lsn), QUPLOG_OK);
    CHECK(faulty_durable(f, lsn));
    REQUIRE(quplog_register(q, "work", 4, &number) == QUPLOG_OK);
    REQUIRE(quplog_worker_new(q, &worker) == QUPLOG_OK);
    REQUIRE(quplog_work(worker, QUPLOG_NO_OUTCOME, 0, "", 0, QUPLOG_CLAIM_NEXT) == QUPLOG_OK);
    CHECK(!faulty_durable(f, lab_stats(q).tail_lsn)); /* a claim is not waited for */
    int flags = QUPLOG_CLAIM_NEXT | QUPLOG_SYNC;
    CHECK_EQUAL(quplog_work(worker, QUPLOG_RUN_SUCCEEDED, 0, "", 0, flags), QUPLOG_OK);
    CHECK(faulty_durable(f, lab_stats(q).tail_lsn));
    CHECK_EQUAL(quplog_worker_claim(worker)->finish_status, QUPLOG_OK);
    quplog_worker_free(worker);
    quplog_batch_free(batch);
    lab_close(q);
    faulty_free(f);
}

TEST(a_close_makes_durable_what_it_leaves_alone_or_not)
{
    struct faulty *one = faulty_new(), *two = faulty_new();
    quplog *first = lab_open(one, lab_path("log")), *second = lab_open(two, lab_path("log"));
    lab_put(first, 0, SMALL, false);
    uint64_t tail = lab_stats(first).tail_lsn;
    CHECK(!faulty_durable(one, tail));
    lab_close(first);
    CHECK(faulty_durable(one, tail));
    lab_put(second, 1, SMALL, false);
    lab_close(second);
    CHECK(faulty_durable(two, UINT64_MAX)); /* and the witness that it was closed */
    faulty_free(one);
    faulty_free(two);
}

/* The words through which those who wait are woken, as they are woken. */
static struct {
    struct io io;
    uint32_t *durable;
    int count; /* of those who were to be woken at once */
    uint32_t bits;
} woken;

static int note_wake(void *w, uint32_t *word, int count, int flags, uint32_t bits)
{
    if (word == woken.durable && count > woken.count) {
        woken.count = count;
        woken.bits = bits;
    }
    return io_system()->futex_wake(w, word, count, flags, bits);
}

/* Who is not woken comes by himself after a while: so it is seen by nothing else. */
TEST(the_end_of_a_sync_wakes_all_whom_it_has_served)
{
    woken.io = *io_system();
    woken.io.futex_wake = note_wake;
    quplog *q;
    quplog_report report;
    quplog_options options = lab_options();
    REQUIRE(open_with(&woken.io, lab_path("log"), &options, &q, &report) == QUPLOG_OK);
    struct control_page *page = q->core->control.page;
    woken.durable = (uint32_t *)&page->durable.value;
    uint32_t tag = control_count_in(&page->durable.sleepers); /* as if somebody slept */
    for (unsigned i = 0; i < 20; i++) {
        woken.count = 0;
        lab_put(q, i, SMALL, true);
        CHECK_EQUAL(woken.count, CONTROL_ALL);
        CHECK(woken.bits >> (atomic_load(&page->round) & 7) & 1); /* this round's */
    }
    control_count_out(&page->durable.sleepers, tag);
    woken.durable = NULL;
    lab_close(q);
}

/* Another process has the lock, and ends its round if told to. */
static bool round_ends;

static int refuse_lock(void *w, int fd, uint64_t byte, int mode)
{
    if (byte != LOCK_SYNC || mode != IO_EXCLUSIVE_LOCK || !woken.durable)
        return io_system()->lock(w, fd, byte, mode);
    if (round_ends)
        __atomic_fetch_add(woken.durable, 1, __ATOMIC_SEQ_CST);
    return -EAGAIN;
}

TEST(who_missed_the_mutex_of_one_who_could_not_lead_is_woken)
{
    woken.io = *io_system();
    woken.io.futex_wake = note_wake;
    woken.io.lock = refuse_lock;
    quplog *q;
    quplog_report report;
    quplog_options options = lab_options();
    REQUIRE(open_with(&woken.io, lab_path("log"), &options, &q, &report) == QUPLOG_OK);
    struct control_page *page = q->core->control.page;
    uint32_t tag = control_count_in(&page->durable.sleepers); /* as if somebody slept */
    for (int i = 0; i < 2; i++) {
        round_ends = i == 1;
        woken.count = 0;
        woken.durable = (uint32_t *)&page->durable.value;
        CHECK_EQUAL(sync_try(&q->core->sync), QUPLOG_OK);
        woken.durable = NULL;
        CHECK_EQUAL(woken.count, round_ends ? CONTROL_ALL : 0);
    }
    control_count_out(&page->durable.sleepers, tag);
    lab_close(q);
}

/* ---- the flusher ---- */

TEST(an_unsynced_job_becomes_durable_by_itself_and_then_the_log_is_quiet)
{
    struct faulty *f = faulty_new();
    quplog *q;
    quplog_report report;
    quplog_options options = lab_options();
    options.flush_interval_us = 1000;
    REQUIRE(open_with(faulty_io(f), lab_path("log"), &options, &q, &report) == QUPLOG_OK);
    lab_put(q, 0, SMALL, false);
    uint64_t tail = lab_stats(q).tail_lsn;
    for (int i = 0; i < 60000 && lab_stats(q).tail_lsn == tail; i++)
        usleep(1000); /* until the witness stands there; a guard of a minute */
    CHECK(lab_stats(q).synced_lsn >= tail);
    CHECK(lab_stats(q).tail_lsn > tail);
    CHECK(faulty_durable(f, tail));
    /* The witness alone is no reason for another flush: nobody armed the flusher again. */
    CHECK_EQUAL(atomic_load(&q->core->unflushed), 0);
    lab_close(q);
    CHECK_EQUAL(faulty_lies(f), 0);
    faulty_free(f);
}

/* ---- poison ---- */

static bool is_frame(const struct faulty_event *e)
{
    return e->kind == FAULTY_WRITE && strstr(e->name, ".log") && e->offset > 0 &&
           e->length < SEGMENT_HEADER;
}

TEST(a_failed_sync_poisons_and_reopening_heals)
{
    struct faulty *f = faulty_new();
    const struct faulty_event *e;
    quplog *q = lab_open(f, lab_path("log"));
    lab_put_many(q, 0, 10, BIG);
    REQUIRE(quplog_sync(q) == QUPLOG_OK);
    uint64_t durable = lab_stats(q).synced_lsn;
    lab_put_many(q, 10, 30, BIG);
    faulty_fail(f, FAULTY_SYNC, 1, -EIO);
    CHECK_EQUAL(quplog_sync(q), QUPLOG_FAILED);
    uint64_t syncs = faulty_count(f, FAULTY_SYNC); /* the failed one, and the marker's */
    CHECK_EQUAL(quplog_sync(q), QUPLOG_FAILED);
    CHECK_EQUAL(lab_try_put(q, 30, SMALL, false), QUPLOG_FAILED);
    CHECK_EQUAL(lab_try_put(q, 30, SMALL, true), QUPLOG_FAILED);
    CHECK_EQUAL(faulty_count(f, FAULTY_SYNC), syncs); /* never tried again */
    CHECK_EQUAL(control_synced(&q->core->control), durable);
    quplog_stats stats;
    CHECK_EQUAL(quplog_read_stats(q, &stats), QUPLOG_FAILED); /* somebody may recover it by now */
    CHECK_EQUAL(quplog_close(q), QUPLOG_FAILED);
    quplog_free(q);
    faulty_record(f);
    q = lab_open(f, lab_path("log"));
    size_t count = faulty_events(f, &e), again = 0, synced = 0;
    for (size_t i = 0; i < count && !is_frame(&e[i]); i++) {
        again += e[i].kind == FAULTY_WRITE && strstr(e[i].name, ".log") && e[i].offset == 0 &&
                 e[i].length > SEGMENT_HEADER;
        synced += e[i].kind == FAULTY_SYNC && strstr(e[i].name, ".log");
    }
    struct lab_list list = lab_segments(lab_path("log"));
    size_t behind = 0; /* segments that reach beyond D */
    for (size_t i = 0; i < list.count; i++)
        behind += i + 1 == list.count || list.base[i + 1] > durable;
    CHECK(behind >= 2);
    CHECK_EQUAL(again, behind);
    CHECK_EQUAL(synced, behind); /* before the OPEN nothing else was, least of all called so */
    lab_expect(q, 30);
    lab_put(q, 30, SMALL, true);
    lab_close(q);
    CHECK_EQUAL(faulty_lies(f), 0);
    faulty_free(f);
    struct lab_file marker = lab_load(lab_path("log/poison"));
    REQUIRE(marker.length == 8);
    CHECK_BYTES(marker.data, "\0\0\0\0\0\0\0\0", 8);
    free(marker.data);
}

TEST(a_log_that_failed_is_opened_anew_beside_its_old_handle)
{
    struct faulty *f = faulty_new();
    quplog *old = lab_open(f, lab_path("log"));
    lab_put(old, 0, SMALL, true);
    faulty_fail(f, FAULTY_SYNC, 1, -EIO);
    CHECK_EQUAL(quplog_sync(old), QUPLOG_OK); /* there is nothing to sync */
    CHECK_EQUAL(lab_try_put(old, 1, SMALL, true), QUPLOG_FAILED);
    quplog *q = lab_open(f, lab_path("log"));
    lab_put(q, 2, SMALL, true);
    lab_expect(q, 3);
    CHECK_EQUAL(lab_try_put(old, 3, SMALL, false), QUPLOG_FAILED);
    lab_leave(old);
    lab_close(q);
    faulty_free(f);
}

TEST(an_id_that_a_failed_sync_has_lost_is_not_given_again)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("log"));
    uint64_t lost, next;
    lab_put(q, 0, SMALL, true);
    uint64_t begin = lab_stats(q).tail_lsn;
    REQUIRE(quplog_put(q, &LAB_SPEC, "job 1.", 6, 0, false, &lost) == QUPLOG_OK);
    uint64_t end = lab_stats(q).tail_lsn;
    faulty_fail(f, FAULTY_SYNC, 1, -EIO);
    CHECK_EQUAL(quplog_sync(q), QUPLOG_FAILED);
    lab_leave(q);
    lab_lose(lab_path("log"), 0, begin, end - begin); /* what the kernel has dropped is zeros */
    q = lab_open(f, lab_path("log"));
    REQUIRE(quplog_put(q, &LAB_SPEC, "job 1.", 6, 0, false, &next) == QUPLOG_OK);
    CHECK(next > lost);
    lab_expect(q, 2);
    lab_close(q);
    faulty_free(f);
}

/* Another process's sync failed while this one's was under way: what the kernel says to this one
 * is not true any more. */
static void fail_the_log(void *context)
{
    quplog *q = context;
    control_fail(&q->core->control);
}

TEST(a_sync_that_ends_well_after_the_log_has_failed_acknowledges_nothing)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("log"));
    lab_put(q, 0, SMALL, true);
    uint64_t synced = control_older(&q->core->control.page->synced);
    faulty_before_sync(f, fail_the_log, q);
    CHECK_EQUAL(lab_try_put(q, 1, SMALL, true), QUPLOG_FAILED);
    faulty_before_sync(f, NULL, NULL);
    CHECK_EQUAL(control_older(&q->core->control.page->synced), synced);
    lab_leave(q);
    faulty_free(f);
}

/* The log fails while somebody waits for a lock of it. */
static struct {
    struct io io;
    const struct io *real;
    uint64_t byte;
    quplog *q; /* NULL: not now */
} late;

static int fail_then_lock(void *w, int fd, uint64_t byte, int mode)
{
    if (late.q && byte == late.byte && mode == IO_EXCLUSIVE_LOCK)
        fail_the_log(late.q);
    return late.real->lock(w, fd, byte, mode);
}

static quplog *open_late(struct faulty *f, uint64_t byte)
{
    quplog *q = NULL;
    quplog_report report;
    quplog_options options = lab_options();
    late.real = faulty_io(f);
    late.io = *late.real;
    late.io.lock = fail_then_lock;
    late.byte = byte;
    late.q = NULL;
    REQUIRE(open_with(&late.io, lab_path("log"), &options, &q, &report) == QUPLOG_OK);
    lab_put(q, 0, SMALL, false);
    faulty_behave(f); /* counts from here */
    late.q = q;
    return q;
}

TEST(who_gets_the_lock_to_sync_after_a_sync_has_failed_syncs_nothing)
{
    struct faulty *f = faulty_new();
    quplog *q = open_late(f, LOCK_SYNC);
    CHECK_EQUAL(quplog_sync(q), QUPLOG_FAILED);
    CHECK_EQUAL(faulty_count(f, FAULTY_SYNC), 0);
    late.q = NULL;
    lab_leave(q);
    faulty_free(f);
}

TEST(who_gets_the_turn_after_a_sync_has_failed_writes_nothing)
{
    struct faulty *f = faulty_new();
    quplog *q = open_late(f, LOCK_APPEND);
    CHECK_EQUAL(lab_try_put(q, 1, SMALL, false), QUPLOG_FAILED);
    CHECK_EQUAL(faulty_count(f, FAULTY_WRITE), 0);
    late.q = NULL;
    lab_leave(q);
    faulty_free(f);
}

/* The first write after the failed sync is the marker's. */
static void note_poison(void *context)
{
    struct during *d = context;
    if (atomic_fetch_add(&d->times, 1) == 0)
        atomic_store(&d->failed, control_poisoned(&d->q->core->control));
}

TEST(a_failed_sync_is_marked_before_anybody_is_told)
{
    struct faulty *f = faulty_new();
    struct during during = {.q = lab_open(f, lab_path("log"))};
    lab_put(during.q, 0, SMALL, false);
    faulty_fail(f, FAULTY_SYNC, 1, -EIO);
    faulty_before(f, FAULTY_WRITE, note_poison, &during);
    CHECK_EQUAL(quplog_sync(during.q), QUPLOG_FAILED);
    faulty_before(f, FAULTY_WRITE, NULL, NULL);
    CHECK(atomic_load(&during.times) > 0);
    CHECK(!atomic_load(&during.failed));
    lab_leave(during.q);
    faulty_free(f);
}

TEST(a_heal_that_fails_is_tried_again_by_the_next_opener)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("log"));
    quplog_report report;
    lab_put_many(q, 0, 3, BIG);
    faulty_fail(f, FAULTY_SYNC, 1, -EIO);
    CHECK_EQUAL(quplog_sync(q), QUPLOG_FAILED);
    lab_leave(q);
    faulty_fail(f, FAULTY_SYNC, 1, -EIO);
    CHECK(lab_try(f, lab_path("log"), &q, &report) != QUPLOG_OK);
    struct lab_file marker = lab_load(lab_path("log/poison"));
    REQUIRE(marker.length == 8);
    CHECK_BYTES(marker.data, "poisoned", 8);
    free(marker.data);
    faulty_behave(f);
    q = lab_open(f, lab_path("log"));
    lab_expect(q, 3);
    lab_close(q);
    faulty_free(f);
}

/* All who wait for a sync that fails are told, and all who come later. */
TEST(everybody_who_waits_for_a_failed_sync_is_told)
{
    struct faulty *f = faulty_new();
    static struct putter putters[THREADS];
    pthread_t threads[THREADS];
    quplog *q = lab_open(f, lab_path("log"));
    faulty_fail(f, FAULTY_SYNC, 20, -EIO);
    for (unsigned i = 0; i < THREADS; i++) {
        putters[i] = (struct putter){
            .q = q, .f = f, .first = i * LAB_JOBS / THREADS, .count = 400, .size = 100};
        REQUIRE(pthread_create(&threads[i], NULL, put_synced, &putters[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_EQUAL(atomic_load(&putters[i].failed), QUPLOG_FAILED);
        CHECK_EQUAL(atomic_load(&putters[i].not_yet), 0);
    }
    lab_leave(q);
    CHECK_EQUAL(faulty_lies(f), 0);
    faulty_free(f);
}

TEST(a_log_deleted_under_its_owner_fails_at_the_next_sync)
{
    quplog *q = lab_open(NULL, lab_path("log"));
    lab_put(q, 0, SMALL, true);
    lab_remove(lab_path("log"));
    CHECK_EQUAL(lab_try_put(q, 1, SMALL, true), QUPLOG_FAILED);
    CHECK_EQUAL(lab_try_put(q, 2, SMALL, false), QUPLOG_FAILED);
    lab_leave(q);
}

/* Whoever opens it now makes a lock file of his own, and believes that he is alone. */
TEST(a_log_whose_lock_file_is_gone_fails_at_the_next_sync)
{
    quplog *q = lab_open(NULL, lab_path("log"));
    lab_put(q, 0, SMALL, true);
    REQUIRE(unlink(lab_path("log/lock")) == 0);
    CHECK_EQUAL(lab_try_put(q, 1, SMALL, true), QUPLOG_FAILED);
    CHECK_EQUAL(lab_try_put(q, 2, SMALL, false), QUPLOG_FAILED);
    lab_leave(q);
}

TEST(a_segment_deleted_under_its_owner_fails_at_the_next_sync)
{
    char name[LAB_PATH];
    quplog *q = lab_open(NULL, lab_path("log"));
    lab_put(q, 0, SMALL, true);
    lab_segment_path(lab_path("log"), 0, name);
    REQUIRE(unlink(name) == 0);
    CHECK_EQUAL(lab_try_put(q, 1, SMALL, true), QUPLOG_FAILED);
    lab_leave(q);
}

/* ---- closing under others ---- */

static void *put_until_closed(void *context)
{
    struct putter *p = context;
    int status = QUPLOG_OK;
    for (unsigned i = 0; i < p->count && status == QUPLOG_OK; i++)
        status = lab_try_put(p->q, p->first + i, p->size, true);
    atomic_store(&p->failed, status);
    return NULL;
}

TEST(a_close_ends_synced_puts_with_closed_and_never_with_failed)
{
    for (int round = 0; round < 20; round++) {
        struct putter putters[4];
        pthread_t threads[4];
        quplog *q = lab_open(NULL, lab_path("log"));
        for (unsigned i = 0; i < 4; i++) {
            putters[i] = (struct putter){.q = q, .first = 0, .count = 1000000, .size = 100};
            REQUIRE(pthread_create(&threads[i], NULL, put_until_closed, &putters[i]) == 0);
        }
        while (lab_stats(q).next_id < 20) /* all are at it */
            sched_yield();
        CHECK_EQUAL(quplog_close(q), QUPLOG_OK);
        for (unsigned i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            CHECK_EQUAL(atomic_load(&putters[i].failed), QUPLOG_CLOSED);
        }
        quplog_free(q);
        lab_remove(lab_path("log"));
    }
}

/* ---- a real kill ---- */

/* Puts unsynced jobs and tells the number of each that returned, until it is killed. */
static void put_until_killed(int told)
{
    quplog *q;
    quplog_report report;
    if (lab_try(NULL, lab_path("log"), &q, &report))
        _exit(1);
    for (unsigned i = 0; i < LAB_JOBS; i++)
        if (lab_try_put(q, i, 100 + i % 3000, false) ||
            write(told, &i, sizeof i) != (ssize_t)sizeof i)
            _exit(1);
    _exit(2);
}

static void kill_after(unsigned most)
{
    static struct lab_jobs jobs;
    int ends[2];
    unsigned number = 0, last = 0;
    bool any = false, killed = false;
    (void)test_directory(); /* made before the fork, so that both have the same */
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        put_until_killed(ends[1]);
    close(ends[1]);
    while (read(ends[0], &number, sizeof number) == (ssize_t)sizeof number) {
        last = number;
        any = true;
        if (!killed && number >= most)
            killed = kill(child, SIGKILL) == 0;
    }
    close(ends[0]);
    REQUIRE(waitpid(child, NULL, 0) == child);
    quplog *q = lab_open(NULL, lab_path("log"));
    lab_read(q, &jobs);
    CHECK(any && killed && !jobs.wrong);
    unsigned lost = 0;
    for (unsigned i = 0; i <= last; i++)
        lost += jobs.state[i] != QUPLOG_READY;
    CHECK_EQUAL(lost, 0);
    CHECK(jobs.count <= last + 2u); /* one more may have been put and not told */
    lab_close(q);
    lab_remove(lab_path("log"));
}

TEST(a_sigkill_loses_no_unsynced_job_that_returned)
{
    for (unsigned i = 0; i < 20; i++)
        kill_after(i * 53);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(eight_threads_share_syncs_and_none_returns_before_its_own),
        LISTED(what_is_appended_during_a_sync_is_not_called_synced),
        LISTED(a_rotation_during_a_sync_is_owed_to_the_next),
        LISTED(a_synced_batch_and_a_synced_outcome_are_durable_when_they_return),
        LISTED(a_close_makes_durable_what_it_leaves_alone_or_not),
        LISTED(the_end_of_a_sync_wakes_all_whom_it_has_served),
        LISTED(who_missed_the_mutex_of_one_who_could_not_lead_is_woken),
        LISTED(an_unsynced_job_becomes_durable_by_itself_and_then_the_log_is_quiet),
        LISTED(a_failed_sync_poisons_and_reopening_heals),
        LISTED(a_log_that_failed_is_opened_anew_beside_its_old_handle),
        LISTED(an_id_that_a_failed_sync_has_lost_is_not_given_again),
        LISTED(a_sync_that_ends_well_after_the_log_has_failed_acknowledges_nothing),
        LISTED(who_gets_the_lock_to_sync_after_a_sync_has_failed_syncs_nothing),
        LISTED(who_gets_the_turn_after_a_sync_has_failed_writes_nothing),
        LISTED(a_failed_sync_is_marked_before_anybody_is_told),
        LISTED(a_heal_that_fails_is_tried_again_by_the_next_opener),
        LISTED(everybody_who_waits_for_a_failed_sync_is_told),
        LISTED(a_log_deleted_under_its_owner_fails_at_the_next_sync),
        LISTED(a_log_whose_lock_file_is_gone_fails_at_the_next_sync),
        LISTED(a_segment_deleted_under_its_owner_fails_at_the_next_sync),
        LISTED(a_close_ends_synced_puts_with_closed_and_never_with_failed),
        LISTED(a_sigkill_loses_no_unsynced_job_that_returned),
    };
    return RUN(tests, argc, argv);
}
