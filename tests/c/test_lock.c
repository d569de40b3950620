/* The byte locks: they exclude, they end with their holder, and waiting for them ends in time. */
#include "lock.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

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

static int try_take(struct lock_file *lock, enum lock_byte byte, int mode)
{
    return lock_take(lock, byte, mode, 0);
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
            lock_take(&lock, LOCK_OPEN, IO_EXCLUSIVE_LOCK, 0) == 0 && write(ready[1], "x", 1) == 1)
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
    CHECK_EQUAL(try_take(&lock, LOCK_OPEN, IO_EXCLUSIVE_LOCK), -EAGAIN);
    CHECK_EQUAL(try_take(&lock, LOCK_OPEN, IO_SHARED), -EAGAIN);
    CHECK_EQUAL(try_take(&lock, LOCK_KEEP, IO_EXCLUSIVE_LOCK), 0); /* another byte is free */
    end_holder(holder);
    CHECK_EQUAL(lock_take(&lock, LOCK_OPEN, IO_EXCLUSIVE_LOCK, LONG_US), 0);
    lock_file_close(&lock);
    close(dir);
}

TEST(two_descriptors_of_one_process_exclude_each_other)
{
    int dir = open_directory();
    struct lock_file first = open_lock(dir), second = open_lock(dir);
    CHECK_EQUAL(try_take(&first, LOCK_APPEND, IO_EXCLUSIVE_LOCK), 0);
    CHECK_EQUAL(try_take(&second, LOCK_APPEND, IO_EXCLUSIVE_LOCK), -EAGAIN);
    CHECK_EQUAL(lock_release(&first, LOCK_APPEND), 0);
    CHECK_EQUAL(try_take(&second, LOCK_APPEND, IO_EXCLUSIVE_LOCK), 0);
    lock_file_close(&second);
    CHECK_EQUAL(try_take(&first, LOCK_APPEND, IO_EXCLUSIVE_LOCK), 0);
    lock_file_close(&first);
    close(dir);
}

TEST(shared_holders_share_and_keep_an_exclusive_one_out)
{
    int dir = open_directory();
    struct lock_file first = open_lock(dir), second = open_lock(dir);
    CHECK_EQUAL(try_take(&first, LOCK_OPEN, IO_SHARED), 0);
    CHECK_EQUAL(try_take(&second, LOCK_OPEN, IO_SHARED), 0);
    CHECK_EQUAL(try_take(&second, LOCK_OPEN, IO_EXCLUSIVE_LOCK), -EAGAIN);
    lock_file_close(&first);
    CHECK_EQUAL(try_take(&second, LOCK_OPEN, IO_EXCLUSIVE_LOCK), 0);
    lock_file_close(&second);
    close(dir);
}

TEST(closing_another_descriptor_of_the_file_gives_nothing_up)
{
    int dir = open_directory();
    struct lock_file holder = open_lock(dir), passer_by = open_lock(dir), other = open_lock(dir);
    CHECK_EQUAL(try_take(&holder, LOCK_OPEN, IO_EXCLUSIVE_LOCK), 0);
    lock_file_close(&passer_by);
    CHECK_EQUAL(try_take(&other, LOCK_OPEN, IO_EXCLUSIVE_LOCK), -EAGAIN);
    lock_file_close(&holder);
    lock_file_close(&other);
    close(dir);
}

TEST(a_forked_child_that_closes_its_copy_gives_nothing_up)
{
    int dir = open_directory();
    struct lock_file holder = open_lock(dir), other = open_lock(dir);
    CHECK_EQUAL(try_take(&holder, LOCK_OPEN, IO_EXCLUSIVE_LOCK), 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        lock_file_close(&holder);
        _exit(0);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK_EQUAL(status, 0);
    CHECK_EQUAL(try_take(&other, LOCK_OPEN, IO_EXCLUSIVE_LOCK), -EAGAIN);
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

/* ---- waiting, in a world where time passes only while somebody sleeps ---- */

struct world {
    struct io io;
    int64_t now_us;
    int64_t monotonic_us;
    int64_t wall_step_us; /* what the wall clock jumps by at the end of every sleep */
    int refusals;         /* how often the lock is still refused */
    int refusal;
    int attempts;
    int sleeps;
    int64_t slept_us[32];
    int interrupt_at; /* the sleep that a signal ends; -1: none */
};

static int fake_lock(void *w, int fd, uint64_t byte, int mode)
{
    struct world *world = w;
    (void)fd, (void)byte, (void)mode;
    world->attempts++;
    return world->refusals-- > 0 ? world->refusal : 0;
}

static int fake_wait(void *w, uint32_t *word, uint32_t expected, int64_t deadline_us, int flags)
{
    struct world *world = w;
    REQUIRE(flags == IO_FUTEX_MONOTONIC);
    REQUIRE(*word == expected);
    REQUIRE(world->sleeps < 32);
    int64_t us = deadline_us - world->monotonic_us;
    world->slept_us[world->sleeps] = us;
    world->now_us += us + world->wall_step_us;
    world->monotonic_us += us;
    return world->sleeps++ == world->interrupt_at ? -EINTR : -ETIMEDOUT;
}

static int64_t fake_now(void *w)
{
    return ((struct world *)w)->now_us;
}

static int64_t fake_monotonic(void *w)
{
    return ((struct world *)w)->monotonic_us;
}

static struct lock_file enter(struct world *world, int refusals)
{
    *world = (struct world){
        .io = {.world = world,
               .lock = fake_lock,
               .futex_wait = fake_wait,
               .now_us = fake_now,
               .monotonic_us = fake_monotonic},
        .now_us = 1700000000000000,
        .refusals = refusals,
        .refusal = -EAGAIN,
        .interrupt_at = -1,
    };
    return (struct lock_file){.io = &world->io, .fd = 7};
}

TEST(a_free_lock_is_taken_without_sleeping)
{
    struct world world;
    struct lock_file lock = enter(&world, 0);
    CHECK_EQUAL(lock_take(&lock, LOCK_OPEN, IO_SHARED, LONG_US), 0);
    CHECK_EQUAL(world.attempts, 1);
    CHECK_EQUAL(world.sleeps, 0);
}

TEST(slices_double_from_1_to_50_milliseconds)
{
    static const int64_t expected[] = {1000, 2000, 4000, 8000, 16000, 32000, 50000, 50000};
    struct world world;
    struct lock_file lock = enter(&world, 8);
    CHECK_EQUAL(lock_take(&lock, LOCK_OPEN, IO_SHARED, LONG_US), 0);
    CHECK_EQUAL(world.attempts, 9);
    REQUIRE(world.sleeps == 8);
    for (int i = 0; i < 8; i++)
        CHECK_EQUAL(world.slept_us[i], expected[i]);
}

TEST(waiting_ends_at_the_time_out_after_a_last_try)
{
    struct world world;
    struct lock_file lock = enter(&world, 1000);
    CHECK_EQUAL(lock_take(&lock, LOCK_OPEN, IO_SHARED, 20000), -EAGAIN);
    CHECK_EQUAL(world.monotonic_us, 20000);
    CHECK_EQUAL(world.sleeps, 5); /* 1 + 2 + 4 + 8 ms, then the 5 that are left */
    CHECK_EQUAL(world.attempts, 6);
}

TEST(the_wall_clock_may_step_between_two_sleeps)
{
    static const int64_t steps[] = {-3600000000, 3600000000};
    for (int i = 0; i < 2; i++) {
        struct world world;
        struct lock_file lock = enter(&world, 1000);
        world.wall_step_us = steps[i];
        CHECK_EQUAL(lock_take(&lock, LOCK_OPEN, IO_SHARED, 20000), -EAGAIN);
        CHECK_EQUAL(world.monotonic_us, 20000);
    }
}

TEST(a_signal_ends_the_wait)
{
    struct world world;
    struct lock_file lock = enter(&world, 1000);
    world.interrupt_at = 2;
    CHECK_EQUAL(lock_take(&lock, LOCK_OPEN, IO_SHARED, LONG_US), -EINTR);
    CHECK_EQUAL(world.sleeps, 3);
}

TEST(a_failure_of_the_lock_is_told_at_once)
{
    struct world world;
    struct lock_file lock = enter(&world, 1000);
    world.refusal = -ENOLCK;
    CHECK_EQUAL(lock_take(&lock, LOCK_OPEN, IO_SHARED, LONG_US), -ENOLCK);
    CHECK_EQUAL(world.sleeps, 0);
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
        LISTED(a_free_lock_is_taken_without_sleeping),
        LISTED(slices_double_from_1_to_50_milliseconds),
        LISTED(waiting_ends_at_the_time_out_after_a_last_try),
        LISTED(the_wall_clock_may_step_between_two_sleeps),
        LISTED(a_signal_ends_the_wait),
        LISTED(a_failure_of_the_lock_is_told_at_once),
    };
    return RUN(tests, argc, argv);
}
