/* Byte locks and the gate: they exclude, they end with their holder, and waiting ends in time. */
#include "lock.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "core.h"
#include "open.h"
#include "test.h"

enum { LONG_US = 60 * 1000000 }; /* a guard: nothing here should take this long */

static int open_directory(void)
{
    const struct io *io = io_system();
    int dir = io->open(io->world, IO_CWD, test_directory(), IO_DIRECTORY);
    REQUIRE(dir >= 0);
    return dir;
}

static struct lock_file open_lock(int dir)
{
    struct lock_file lock;
    REQUIRE(lock_file_open(&lock, io_system(), dir) == 0);
    return lock;
}

/* ---- the real thing ---- */

/* A child that opens the lock file itself, takes `open`, says so, and lives until it is killed. */
static pid_t start_holder(int dir)
{
    int ready[2];
    char byte;
    REQUIRE(pipe(ready) == 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        struct lock_file lock;
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test itself be killed */
        if (lock_file_open(&lock, io_system(), dir) == 0 &&
            lock_try(&lock, LOCK_OPEN, IO_EXCLUSIVE_LOCK) == 0 && write(ready[1], "x", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    close(ready[1]);
    bool holds = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    REQUIRE(holds);
    return child;
}

static void end_holder(pid_t child)
{
    int status;
    REQUIRE(kill(child, SIGKILL) == 0);
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
}

TEST(a_lock_of_another_process_is_refused_until_that_is_killed)
{
    int dir = open_directory();
    struct lock_file lock = open_lock(dir);
    pid_t holder = start_holder(dir);
    CHECK_EQUAL(lock_try(&lock, LOCK_OPEN, IO_EXCLUSIVE_LOCK), -EAGAIN);
    CHECK_EQUAL(lock_try(&lock, LOCK_OPEN, IO_SHARED), -EAGAIN);
    CHECK_EQUAL(lock_try(&lock, LOCK_KEEP, IO_EXCLUSIVE_LOCK), 0); /* another byte is free */
    end_holder(holder);
    CHECK_EQUAL(lock_try(&lock, LOCK_OPEN, IO_EXCLUSIVE_LOCK), 0);
    lock_file_close(&lock);
    close(dir);
}

TEST(two_descriptors_of_one_process_exclude_each_other)
{
    int dir = open_directory();
    struct lock_file first = open_lock(dir), second = open_lock(dir);
    CHECK_EQUAL(lock_try(&first, LOCK_APPEND, IO_EXCLUSIVE_LOCK), 0);
    CHECK_EQUAL(lock_try(&second, LOCK_APPEND, IO_EXCLUSIVE_LOCK), -EAGAIN);
    CHECK_EQUAL(lock_release(&first, LOCK_APPEND), 0);
    CHECK_EQUAL(lock_try(&second, LOCK_APPEND, IO_EXCLUSIVE_LOCK), 0);
    lock_file_close(&second);
    CHECK_EQUAL(lock_try(&first, LOCK_APPEND, IO_EXCLUSIVE_LOCK), 0);
    lock_file_close(&first);
    close(dir);
}

TEST(shared_holders_share_and_keep_an_exclusive_one_out)
{
    int dir = open_directory();
    struct lock_file first = open_lock(dir), second = open_lock(dir);
    CHECK_EQUAL(lock_try(&first, LOCK_OPEN, IO_SHARED), 0);
    CHECK_EQUAL(lock_try(&second, LOCK_OPEN, IO_SHARED), 0);
    CHECK_EQUAL(lock_try(&second, LOCK_OPEN, IO_EXCLUSIVE_LOCK), -EAGAIN);
    lock_file_close(&first);
    CHECK_EQUAL(lock_try(&second, LOCK_OPEN, IO_EXCLUSIVE_LOCK), 0);
    lock_file_close(&second);
    close(dir);
}

TEST(closing_another_descriptor_of_the_file_gives_nothing_up)
{
    int dir = open_directory();
    struct lock_file holder = open_lock(dir), passer_by = open_lock(dir), other = open_lock(dir);
    CHECK_EQUAL(lock_try(&holder, LOCK_OPEN, IO_EXCLUSIVE_LOCK), 0);
    lock_file_close(&passer_by);
    CHECK_EQUAL(lock_try(&other, LOCK_OPEN, IO_EXCLUSIVE_LOCK), -EAGAIN);
    lock_file_close(&holder);
    lock_file_close(&other);
    close(dir);
}

TEST(a_forked_child_that_closes_its_copy_gives_nothing_up)
{
    int dir = open_directory();
    struct lock_file holder = open_lock(dir), other = open_lock(dir);
    CHECK_EQUAL(lock_try(&holder, LOCK_OPEN, IO_EXCLUSIVE_LOCK), 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        lock_file_close(&holder);
        _exit(0);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK_EQUAL(status, 0);
    CHECK_EQUAL(lock_try(&other, LOCK_OPEN, IO_EXCLUSIVE_LOCK), -EAGAIN);
    lock_file_close(&holder);
    lock_file_close(&other);
    close(dir);
}

TEST(a_lock_file_that_cannot_be_opened_says_why)
{
    struct lock_file lock;
    CHECK_EQUAL(lock_file_open(&lock, io_system(), -1), -EBADF);
    lock_file_close(&lock);
    CHECK_EQUAL(lock.fd, -1);
}

/* ---- beside a fork ---- */

static struct {
    struct io io;
    struct io_registry registry;
    bool held; /* the mutex that a fork takes */
    int guarded, unguarded;
} forkable;

static void forkable_lock(void *w, struct io_mutex *m)
{
    io_system()->mutex_lock(w, m);
    forkable.held = forkable.held || m == &forkable.registry.mutex;
}

static void forkable_unlock(void *w, struct io_mutex *m)
{
    forkable.held = forkable.held && m != &forkable.registry.mutex;
    io_system()->mutex_unlock(w, m);
}

static int forkable_open(void *w, int dir, const char *name, int flags)
{
    *(forkable.held ? &forkable.guarded : &forkable.unguarded) += 1;
    return io_system()->open(w, dir, name, flags);
}

static int forkable_close(void *w, int fd)
{
    *(forkable.held ? &forkable.guarded : &forkable.unguarded) += 1;
    return io_system()->close(w, fd);
}

/* Else the child has a lock of its parent's that it knows nothing of. */
TEST(no_lock_file_is_opened_or_closed_while_the_process_forks)
{
    const struct io *io = io_system();
    struct lock_file lock;
    int dir = open_directory();
    memset(&forkable, 0, sizeof forkable);
    forkable.io = *io;
    forkable.io.registry = &forkable.registry;
    io->mutex_init(io->world, &forkable.registry.mutex);
    forkable.io.mutex_lock = forkable_lock;
    forkable.io.mutex_unlock = forkable_unlock;
    forkable.io.open = forkable_open;
    forkable.io.close = forkable_close;
    REQUIRE(lock_file_open(&lock, &forkable.io, dir) == 0);
    lock_file_close(&lock);
    CHECK_EQUAL(forkable.guarded, 2);
    CHECK_EQUAL(forkable.unguarded, 0);
    CHECK(!forkable.held);
    close(dir);
}

/* ---- the gate ---- */

enum { THREADS = 8, ROUNDS = 20000 };

struct passer {
    pthread_t thread;
    struct gate *gate;
    uint64_t *counter; /* guarded by the gate */
    int failed;
};

static void *pass_often(void *context)
{
    struct passer *p = context;
    const struct io *io = io_system();
    for (int i = 0; i < ROUNDS; i++) {
        int status = gate_take(p->gate, io, io->monotonic_us(io->world) + LONG_US);
        p->failed += status != 0;
        if (status)
            break;
        ++*p->counter;
        gate_give(p->gate, io);
    }
    return NULL;
}

TEST(a_gate_lets_one_thread_in_and_loses_no_sleeper)
{
    struct gate gate = {0};
    uint64_t counter = 0;
    struct passer passers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        passers[i] = (struct passer){.gate = &gate, .counter = &counter};
        REQUIRE(pthread_create(&passers[i].thread, NULL, pass_often, &passers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        REQUIRE(pthread_join(passers[i].thread, NULL) == 0);
        CHECK_EQUAL(passers[i].failed, 0);
    }
    CHECK_EQUAL(counter, THREADS * ROUNDS);
    CHECK(gate_try(&gate));
}

static struct {
    struct gate gate;
    struct io io;
    int wakes;
} crowd;

static int give_meanwhile(void *w, uint32_t *word, uint32_t expected, int64_t deadline_us,
                          int flags, uint32_t bits)
{
    (void)w, (void)word, (void)expected, (void)deadline_us, (void)flags, (void)bits;
    gate_give(&crowd.gate, io_system());
    return 0;
}

static int count_wakes(void *w, uint32_t *word, int count, int flags, uint32_t bits)
{
    (void)w, (void)word, (void)count, (void)flags, (void)bits;
    crowd.wakes++;
    return 0;
}

/* He does not know of the others who sleep: he has to take it that there are some. */
TEST(who_has_slept_at_the_gate_wakes_the_next)
{
    memset(&crowd, 0, sizeof crowd);
    crowd.io = *io_system();
    crowd.io.futex_wait = give_meanwhile;
    crowd.io.futex_wake = count_wakes;
    REQUIRE(gate_try(&crowd.gate));
    CHECK_EQUAL(gate_take(&crowd.gate, &crowd.io, -1), 0);
    CHECK_EQUAL(crowd.wakes, 0);
    gate_give(&crowd.gate, &crowd.io);
    CHECK_EQUAL(crowd.wakes, 1);
    REQUIRE(gate_try(&crowd.gate));
    gate_give(&crowd.gate, &crowd.io); /* nobody has slept since */
    CHECK_EQUAL(crowd.wakes, 1);
}

static int always_interrupted(void *w, uint32_t *word, uint32_t expected, int64_t deadline_us,
                              int flags, uint32_t bits)
{
    (void)w, (void)word, (void)expected, (void)deadline_us, (void)flags, (void)bits;
    return -EINTR;
}

TEST(waiting_at_the_gate_ends_in_time_and_for_a_signal)
{
    struct gate gate = {0};
    struct io io = *io_system();
    io.futex_wait = always_interrupted;
    REQUIRE(gate_try(&gate));
    CHECK(!gate_try(&gate));
    CHECK_EQUAL(gate_take(&gate, io_system(), io.monotonic_us(io.world) + 1000), -EAGAIN);
    CHECK_EQUAL(gate_take(&gate, io_system(), 0), -EAGAIN);
    CHECK_EQUAL(gate_take(&gate, &io, io.monotonic_us(io.world) + LONG_US), -EINTR);
    gate_give(&gate, io_system()); /* those who gave up hold nothing */
    CHECK_EQUAL(gate_take(&gate, io_system(), 0), 0);
}

TEST(a_pause_ends_for_a_signal)
{
    struct io io = *io_system();
    CHECK_EQUAL(lock_pause(&io, 1000), 0);
    io.futex_wait = always_interrupted;
    CHECK_EQUAL(lock_pause(&io, LONG_US), -EINTR);
}

/* ---- waiting for a byte, in a world where time passes only while the test's thread sleeps ---- */

enum { SLEEPS = 64 };

static struct world {
    struct io io;
    struct io_registry registry;
    pthread_t thread; /* of the test: a flusher sleeps in the real world */
    uint64_t byte;    /* which is refused */
    int refusals;     /* how often it still is */
    int refusal;
    int attempts;
    int sleeps;
    int64_t slept_us[SLEEPS];
    int64_t wall_step_us; /* what the wall clock jumps by at the end of every sleep */
    int interrupt_at;     /* the sleep that a signal ends; -1: none */
    _Atomic int64_t wall_us;
    _Atomic int64_t monotonic_us;
} world;

static int refuse(void *w, int fd, uint64_t byte, int mode)
{
    bool ours = pthread_equal(pthread_self(), world.thread);
    if (!ours || byte != world.byte || mode == IO_UNLOCK)
        return io_system()->lock(w, fd, byte, mode);
    world.attempts += mode == IO_EXCLUSIVE_LOCK;
    if (world.refusals <= 0)
        return io_system()->lock(w, fd, byte, mode);
    bool last_of_try = world.byte != LOCK_OPEN || mode == IO_SHARED;
    world.refusals -= last_of_try;
    return world.refusal;
}

static int let_time_pass(void *w, uint32_t *word, uint32_t expected, int64_t deadline_us,
                         int flags, uint32_t bits)
{
    if (!pthread_equal(pthread_self(), world.thread))
        return io_system()->futex_wait(w, word, expected, deadline_us, flags, bits);
    REQUIRE(flags & IO_FUTEX_MONOTONIC);
    REQUIRE(*word == expected);
    REQUIRE(world.sleeps < SLEEPS);
    int64_t us = deadline_us - atomic_load(&world.monotonic_us);
    world.slept_us[world.sleeps] = us;
    atomic_fetch_add(&world.monotonic_us, us);
    atomic_fetch_add(&world.wall_us, us + world.wall_step_us);
    return world.sleeps++ == world.interrupt_at ? -EINTR : -ETIMEDOUT;
}

static int64_t world_now(void *w)
{
    (void)w;
    return atomic_load(&world.wall_us);
}

/* A microsecond for each look, so that whoever spins comes to an end. */
static int64_t world_monotonic(void *w)
{
    (void)w;
    return atomic_fetch_add(&world.monotonic_us, 1) + 1;
}

/* From now on `byte` is refused so many times. */
static void refuse_byte(uint64_t byte, int refusals)
{
    world.byte = byte;
    world.refusals = refusals;
    world.refusal = -EAGAIN;
    world.attempts = world.sleeps = 0;
    world.interrupt_at = -1;
    world.wall_step_us = 0;
}

static void enter_world(void)
{
    const struct io *io = io_system();
    memset(&world, 0, sizeof world);
    world.thread = pthread_self();
    world.io = *io;
    world.io.registry = &world.registry;
    io->mutex_init(io->world, &world.registry.mutex);
    io->mutex_init(io->world, &world.registry.opening);
    world.io.lock = refuse;
    world.io.futex_wait = let_time_pass;
    world.io.now_us = world_now;
    world.io.monotonic_us = world_monotonic;
    atomic_store(&world.wall_us, io->now_us(io->world));
    atomic_store(&world.monotonic_us, io->monotonic_us(io->world));
    refuse_byte(LOCK_OPEN, 0);
}

static int try_open(int64_t timeout_us, quplog **out)
{
    char path[4200];
    quplog_report report;
    quplog_options options = {.keep_succeeded_us = -1,
                              .keep_failed_us = -1,
                              .flush_interval_us = INT64_C(3600) * 1000000,
                              .lock_timeout_us = timeout_us};
    snprintf(path, sizeof path, "%s/log", test_directory());
    return open_with(&world.io, path, &options, out, &report);
}

static quplog *open_in_world(int64_t timeout_us)
{
    quplog *q = NULL;
    REQUIRE(try_open(timeout_us, &q) == QUPLOG_OK);
    return q;
}

static void leave(quplog *q)
{
    refuse_byte(LOCK_OPEN, 0);
    CHECK_EQUAL(quplog_close(q), QUPLOG_OK);
    quplog_free(q);
}

static int put(quplog *q)
{
    static const quplog_spec spec = {
        .task = "work", .queue = "default", .task_length = 4, .queue_length = 7};
    uint64_t id;
    return quplog_put(q, &spec, "", 0, 0, false, &id);
}

static uint64_t next_id(quplog *q)
{
    quplog_stats stats = {0};
    CHECK_EQUAL(quplog_read_stats(q, &stats), QUPLOG_OK);
    return stats.next_id;
}

static void check_slices(void)
{
    static const int64_t expected[] = {1000, 2000, 4000, 8000, 16000, 32000, 50000, 50000};
    REQUIRE(world.sleeps == 8);
    for (int i = 0; i < 8; i++)
        CHECK_EQUAL(world.slept_us[i], expected[i]);
}

TEST(opening_waits_in_slices_from_1_to_50_milliseconds)
{
    quplog *q = NULL;
    enter_world();
    refuse_byte(LOCK_OPEN, 8);
    CHECK_EQUAL(try_open(LONG_US, &q), QUPLOG_OK);
    check_slices();
    leave(q);
}

TEST(opening_a_free_log_does_not_sleep)
{
    enter_world();
    quplog *q = open_in_world(LONG_US);
    CHECK_EQUAL(world.sleeps, 0);
    CHECK_EQUAL(put(q), QUPLOG_OK);
    CHECK_EQUAL(world.sleeps, 0);
    leave(q);
}

TEST(opening_gives_up_at_its_time_out_after_a_last_try)
{
    quplog *q = NULL;
    enter_world();
    refuse_byte(LOCK_OPEN, 1000);
    int64_t before = atomic_load(&world.monotonic_us);
    CHECK_EQUAL(try_open(20000, &q), QUPLOG_LOCKED);
    CHECK(atomic_load(&world.monotonic_us) - before >= 20000);
    CHECK(atomic_load(&world.monotonic_us) - before < 20000 + 50000);
    CHECK_EQUAL(world.attempts, world.sleeps + 1);
    refuse_byte(LOCK_OPEN, 1000);
    CHECK_EQUAL(try_open(0, &q), QUPLOG_LOCKED);
    CHECK_EQUAL(world.sleeps, 0);
}

TEST(appending_waits_in_slices_from_1_to_50_milliseconds)
{
    enter_world();
    quplog *q = open_in_world(LONG_US);
    refuse_byte(LOCK_APPEND, 1000); /* more than anybody spins */
    world.interrupt_at = 7;
    CHECK_EQUAL(put(q), QUPLOG_INTERRUPTED);
    CHECK(world.attempts - world.sleeps > 10); /* it has spun before */
    CHECK(world.attempts - world.sleeps < 100);
    check_slices();
    leave(q);
}

TEST(appending_gives_up_at_its_time_out_and_has_written_nothing)
{
    enter_world();
    quplog *q = open_in_world(20000);
    CHECK_EQUAL(put(q), QUPLOG_OK);
    refuse_byte(LOCK_APPEND, 100000);
    int64_t before = atomic_load(&world.monotonic_us);
    CHECK_EQUAL(put(q), QUPLOG_LOCKED);
    int64_t waited = atomic_load(&world.monotonic_us) - before;
    CHECK(waited >= 20000 && waited < 20100); /* the last sleep is cut */
    refuse_byte(LOCK_APPEND, 0);
    CHECK_EQUAL(next_id(q), 2);
    CHECK_EQUAL(put(q), QUPLOG_OK); /* the gate is free again */
    CHECK_EQUAL(next_id(q), 3);
    leave(q);
}

/* Who waits for long is sent to look for signals now and then: the time goes on meanwhile. */
TEST(appending_gives_up_at_a_time_out_of_seconds_too)
{
    enum { TIME_OUT_US = 2200000 };
    enter_world();
    quplog *q = open_in_world(TIME_OUT_US);
    int64_t before = atomic_load(&world.monotonic_us);
    int status = QUPLOG_INTERRUPTED, calls = 0;
    for (; status == QUPLOG_INTERRUPTED && calls < 10; calls++) {
        refuse_byte(LOCK_APPEND, 100000);
        status = put(q);
    }
    CHECK_EQUAL(status, QUPLOG_LOCKED);
    CHECK_EQUAL(calls, 3);
    int64_t waited = atomic_load(&world.monotonic_us) - before;
    CHECK(waited >= TIME_OUT_US && waited < TIME_OUT_US + 1000);
    leave(q);
}

TEST(the_wall_clock_may_step_between_two_sleeps)
{
    static const int64_t steps[] = {-INT64_C(3600000000), INT64_C(3600000000)};
    enter_world();
    quplog *q = open_in_world(20000), *other = NULL;
    for (int i = 0; i < 2; i++) {
        refuse_byte(LOCK_APPEND, 100000);
        world.wall_step_us = steps[i];
        int64_t before = atomic_load(&world.monotonic_us);
        CHECK_EQUAL(put(q), QUPLOG_LOCKED);
        int64_t waited = atomic_load(&world.monotonic_us) - before;
        CHECK(waited >= 20000 && waited < 20100);
    }
    leave(q);
    for (int i = 0; i < 2; i++) {
        refuse_byte(LOCK_OPEN, 100000);
        world.wall_step_us = steps[i];
        CHECK_EQUAL(try_open(20000, &other), QUPLOG_LOCKED);
        CHECK_EQUAL(world.sleeps, 5); /* 1 + 2 + 4 + 8 + 16 ms */
    }
}

TEST(a_signal_ends_the_wait)
{
    quplog *q = NULL;
    enter_world();
    refuse_byte(LOCK_OPEN, 1000);
    world.interrupt_at = 2;
    CHECK_EQUAL(try_open(LONG_US, &q), QUPLOG_INTERRUPTED);
    CHECK_EQUAL(world.sleeps, 3);
    refuse_byte(LOCK_OPEN, 0);
    q = open_in_world(LONG_US);
    refuse_byte(LOCK_APPEND, 1000);
    world.interrupt_at = 2;
    CHECK_EQUAL(put(q), QUPLOG_INTERRUPTED);
    CHECK_EQUAL(world.sleeps, 3);
    refuse_byte(LOCK_APPEND, 0);
    CHECK_EQUAL(next_id(q), 1);
    leave(q);
}

TEST(a_failure_of_the_lock_is_told_at_once)
{
    quplog *q = NULL;
    enter_world();
    refuse_byte(LOCK_OPEN, 1000);
    world.refusal = -ENOLCK;
    CHECK_EQUAL(try_open(LONG_US, &q), -ENOLCK);
    CHECK_EQUAL(world.sleeps, 0);
    refuse_byte(LOCK_OPEN, 0);
    q = open_in_world(LONG_US);
    refuse_byte(LOCK_APPEND, 1000);
    world.refusal = -ENOLCK;
    CHECK_EQUAL(put(q), -ENOLCK);
    CHECK_EQUAL(world.sleeps, 0);
    refuse_byte(LOCK_APPEND, 0);
    CHECK_EQUAL(put(q), QUPLOG_OK);
    leave(q);
}

/* ---- giving the turn back ---- */

static struct {
    struct io io;
    quplog *q;
    int given;    /* how often the byte was given back */
    int too_late; /* the gate had been given back before it */
    int woken;    /* of those who sleep for the byte */
} giver;

static int note_giving(void *w, int fd, uint64_t byte, int mode)
{
    if (giver.q && byte == LOCK_APPEND && mode == IO_UNLOCK) {
        giver.given++;
        giver.too_late += atomic_load(&giver.q->core->append.state) == 0;
    }
    return io_system()->lock(w, fd, byte, mode);
}

static int note_waking(void *w, uint32_t *word, int count, int flags, uint32_t bits)
{
    if (giver.q && word == (uint32_t *)&giver.q->core->control.page->append.value)
        giver.woken += count;
    return io_system()->futex_wake(w, word, count, flags, bits);
}

/* A thread that passes the gate before that finds the byte taken, by its own process, and goes on
 * without it when that is given back. Who sleeps for the byte is woken, as if none would come. */
TEST(the_byte_is_given_back_before_the_gate_and_one_who_sleeps_for_it_is_woken)
{
    char path[4200];
    quplog_report report;
    quplog_options options = {.keep_succeeded_us = -1,
                              .keep_failed_us = -1,
                              .flush_interval_us = INT64_C(3600) * 1000000};
    static const quplog_spec spec = {
        .task = "work", .queue = "default", .task_length = 4, .queue_length = 7};
    uint64_t id;
    quplog *q = NULL;
    memset(&giver, 0, sizeof giver);
    giver.io = *io_system();
    giver.io.lock = note_giving;
    giver.io.futex_wake = note_waking;
    snprintf(path, sizeof path, "%s/log", test_directory());
    REQUIRE(open_with(&giver.io, path, &options, &q, &report) == QUPLOG_OK);
    giver.q = q;
    CHECK_EQUAL(quplog_put(q, &spec, "", 0, 0, false, &id), QUPLOG_OK);
    CHECK_EQUAL(giver.woken, 0); /* nobody sleeps */
    uint32_t tag = control_count_in(&q->core->control.page->append.sleepers);
    CHECK_EQUAL(quplog_put(q, &spec, "", 0, 0, false, &id), QUPLOG_OK);
    control_count_out(&q->core->control.page->append.sleepers, tag);
    CHECK_EQUAL(giver.woken, 1);
    CHECK(giver.given >= 2);
    CHECK_EQUAL(giver.too_late, 0);
    giver.q = NULL;
    CHECK_EQUAL(quplog_close(q), QUPLOG_OK);
    quplog_free(q);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(a_lock_of_another_process_is_refused_until_that_is_killed),
        LISTED(two_descriptors_of_one_process_exclude_each_other),
        LISTED(shared_holders_share_and_keep_an_exclusive_one_out),
        LISTED(closing_another_descriptor_of_the_file_gives_nothing_up),
        LISTED(a_forked_child_that_closes_its_copy_gives_nothing_up),
        LISTED(a_lock_file_that_cannot_be_opened_says_why),
        LISTED(no_lock_file_is_opened_or_closed_while_the_process_forks),
        LISTED(a_gate_lets_one_thread_in_and_loses_no_sleeper),
        LISTED(who_has_slept_at_the_gate_wakes_the_next),
        LISTED(waiting_at_the_gate_ends_in_time_and_for_a_signal),
        LISTED(a_pause_ends_for_a_signal),
        LISTED(opening_a_free_log_does_not_sleep),
        LISTED(opening_waits_in_slices_from_1_to_50_milliseconds),
        LISTED(opening_gives_up_at_its_time_out_after_a_last_try),
        LISTED(appending_waits_in_slices_from_1_to_50_milliseconds),
        LISTED(appending_gives_up_at_its_time_out_and_has_written_nothing),
        LISTED(appending_gives_up_at_a_time_out_of_seconds_too),
        LISTED(the_wall_clock_may_step_between_two_sleeps),
        LISTED(a_signal_ends_the_wait),
        LISTED(a_failure_of_the_lock_is_told_at_once),
        LISTED(the_byte_is_given_back_before_the_gate_and_one_who_sleeps_for_it_is_woken),
    };
    return RUN(tests, argc, argv);
}
