/* The io table of the real system: files, futexes, threads, and what signals do to each of them. */
#include "io.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "test.h"

enum { SECOND_US = 1000000, GUARD_US = 60 * SECOND_US };

/* The table, and its functions without the `world` that they do not use. */
#define IO(function, ...) (io_system()->function(io_system()->world, __VA_ARGS__))
#define IO_ASK(function) (io_system()->function(io_system()->world))

static int open_directory(void)
{
    int dir = IO(open, IO_CWD, test_directory(), IO_DIRECTORY);
    REQUIRE(dir >= 0);
    return dir;
}

static int create(int dir, const char *name)
{
    int fd = IO(open, dir, name, IO_WRITE | IO_CREATE | IO_EXCLUSIVE);
    REQUIRE(fd >= 0);
    return fd;
}

static struct io_stat look_at(int fd)
{
    struct io_stat stat;
    REQUIRE(IO(stat, fd, &stat) == 0);
    return stat;
}

/* ---- calls of the C library that this program makes fail: the static core calls these ---- */

static struct {
    int syncs;
    int sync_errno; /* 0: sync in earnest */
    bool signals_blocked;
    uint32_t fs_type;  /* 0: the true one */
    int interruptions; /* so often a signal comes first */
    int stat_errno;    /* what looking at a file says, once; 0: nothing */
} library;

static bool all_signals_blocked(void)
{
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGTERM) == 1 &&
           sigismember(&mask, SIGALRM) == 1 && sigismember(&mask, SIGUSR1) == 1 &&
           sigismember(&mask, SIGPROF) == 1;
}

static int sync_or_fail(long call, int fd)
{
    library.syncs++;
    library.signals_blocked = all_signals_blocked();
    if (library.sync_errno == 0)
        return (int)syscall(call, fd);
    errno = library.sync_errno;
    return -1;
}

int fdatasync(int fd)
{
    return sync_or_fail(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return sync_or_fail(SYS_fsync, fd);
}

int fstatfs(int fd, struct statfs *out)
{
    int status = (int)syscall(SYS_fstatfs, fd, out);
    if (library.fs_type)
        memcpy(&out->f_type, &library.fs_type, sizeof library.fs_type);
    return status;
}

int unlinkat(int dir, const char *name, int flags)
{
    if (library.interruptions == 0)
        return (int)syscall(SYS_unlinkat, dir, name, flags);
    library.interruptions--;
    errno = EINTR;
    return -1;
}

int statx(int fd, const char *restrict name, int flags, unsigned mask, struct statx *restrict out)
{
    errno = library.stat_errno;
    library.stat_errno = 0;
    return errno ? -1 : (int)syscall(SYS_statx, fd, name, flags, mask, out);
}

/* ---- files ---- */

TEST(open_does_what_its_flags_say)
{
    int dir = open_directory();
    CHECK_EQUAL(IO(open, dir, "file", IO_WRITE), -ENOENT);
    mode_t before = umask(0);
    int fd = create(dir, "file");
    umask(before);
    struct stat stat;
    REQUIRE(fstat(fd, &stat) == 0);
    CHECK_EQUAL(stat.st_mode & 07777, 0600);
    CHECK_EQUAL(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    CHECK_EQUAL(IO(close, fd), 0);
    CHECK_EQUAL(IO(open, dir, "file", IO_WRITE | IO_CREATE | IO_EXCLUSIVE), -EEXIST);
    CHECK_EQUAL(IO(open, dir, "file", IO_DIRECTORY), -ENOTDIR);
    int reader = IO(open, dir, "file", IO_READ);
    struct iovec part = {"x", 1};
    CHECK_EQUAL(IO(pwritev, reader, &part, 1, 0), -EBADF);
    CHECK_EQUAL(IO(close, reader), 0);
    CHECK_EQUAL(IO(close, reader), -EBADF);
    close(dir);
}

TEST(a_new_directory_is_its_owners_alone)
{
    int dir = open_directory();
    mode_t before = umask(0);
    CHECK_EQUAL(IO(mkdir, dir, "within"), 0);
    umask(before);
    struct stat stat;
    REQUIRE(fstatat(dir, "within", &stat, 0) == 0);
    CHECK_EQUAL(stat.st_mode & 07777, 0700);
    close(dir);
}

TEST(what_has_the_name_of_a_file_and_is_none_is_told_and_not_followed_or_waited_for)
{
    int dir = open_directory();
    CHECK_EQUAL(IO(close, create(dir, "file")), 0);
    REQUIRE(symlinkat("file", dir, "link") == 0 && symlinkat("nowhere", dir, "dangling") == 0);
    REQUIRE(symlinkat(".", dir, "elsewhere") == 0 && symlinkat("/dev/full", dir, "device") == 0);
    REQUIRE(mkfifoat(dir, "pipe", 0600) == 0 && mkdirat(dir, "directory", 0700) == 0);
    const char *const names[] = {"link", "dangling", "elsewhere", "device", "pipe", "directory"};
    const int flags[] = {IO_READ, IO_WRITE, IO_WRITE | IO_CREATE};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t j = 0; j < sizeof flags / sizeof *flags; j++)
            CHECK_EQUAL(IO(open, dir, names[i], flags[j]), IO_NOT_ORDINARY);
    CHECK_EQUAL(IO(open, dir, "nowhere", IO_READ), -ENOENT);
    CHECK_EQUAL(IO(open, dir, "elsewhere", IO_DIRECTORY), -ENOTDIR);
    close(dir);
}

TEST(a_call_that_a_signal_interrupts_is_repeated)
{
    int dir = open_directory();
    CHECK_EQUAL(IO(close, create(dir, "file")), 0);
    library.interruptions = 3;
    CHECK_EQUAL(IO(unlink, dir, "file"), 0);
    CHECK_EQUAL(library.interruptions, 0);
    CHECK_EQUAL(IO(unlink, dir, "file"), -ENOENT); /* that is not repeated, and told */
    close(dir);
}

TEST(a_file_that_cant_be_looked_at_is_not_taken_for_something_else)
{
    int dir = open_directory();
    CHECK_EQUAL(IO(close, create(dir, "file")), 0);
    library.stat_errno = EINTR;
    int fd = IO(open, dir, "file", IO_READ);
    CHECK(fd >= 0);
    CHECK_EQUAL(library.stat_errno, 0);
    CHECK_EQUAL(IO(close, fd), 0);
    library.stat_errno = EIO;
    CHECK_EQUAL(IO(open, dir, "file", IO_READ), -EIO);
    close(dir);
}

TEST(reading_at_the_end_of_a_file_gives_what_there_is)
{
    int dir = open_directory();
    int fd = create(dir, "file");
    char content[] = "0123456789", read[16] = "";
    struct iovec part = {content, 10};
    CHECK_EQUAL(io_write_full(io_system(), fd, &part, 1, 0), 0);
    CHECK_EQUAL(io_read_full(io_system(), fd, read, 16, 4), 6);
    CHECK_BYTES(read, "456789", 6);
    CHECK_EQUAL(io_read_full(io_system(), fd, read, 16, 10), 0);
    CHECK_EQUAL(io_read_full(io_system(), fd, read, 4, 2), 4);
    CHECK_BYTES(read, "2345", 4);
    CHECK_EQUAL(io_read_full(io_system(), dir, read, 4, 0), -EISDIR);
    close(fd);
    close(dir);
}

TEST(offsets_go_beyond_32_bits)
{
    int dir = open_directory();
    int fd = create(dir, "file");
    const uint64_t far = 5ULL << 32;
    char content[] = "far", read[4] = "";
    struct iovec part = {content, 3};
    CHECK_EQUAL(io_write_full(io_system(), fd, &part, 1, far), 0);
    CHECK_EQUAL(look_at(fd).size, far + 3);
    CHECK_EQUAL(io_read_full(io_system(), fd, read, 3, far), 3);
    CHECK_TEXT(read, "far");
    close(fd);
    close(dir);
}

TEST(stat_tells_a_deleted_file_and_a_directory)
{
    int dir = open_directory();
    int fd = create(dir, "file");
    struct io_stat file = look_at(fd), directory = look_at(dir);
    CHECK_EQUAL(file.links, 1);
    CHECK(!file.is_directory);
    CHECK(directory.is_directory);
    CHECK_EQUAL(file.device, directory.device);
    CHECK(file.inode != directory.inode);
    CHECK_EQUAL(IO(unlink, dir, "file"), 0);
    CHECK_EQUAL(look_at(fd).links, 0);
    CHECK_EQUAL(IO(unlink, dir, "file"), -ENOENT);
    close(fd);
    close(dir);
}

TEST(rename_replaces_and_crosses_directories)
{
    int dir = open_directory();
    CHECK_EQUAL(IO(mkdir, dir, "sub"), 0);
    CHECK_EQUAL(IO(mkdir, dir, "sub"), -EEXIST);
    int sub = IO(open, dir, "sub", IO_DIRECTORY);
    REQUIRE(sub >= 0);
    struct stat stat;
    REQUIRE(fstat(sub, &stat) == 0);
    CHECK_EQUAL(stat.st_mode & 0077, 0);
    int first = create(dir, "first"), second = create(sub, "second");
    CHECK_EQUAL(IO(rename, dir, "first", sub, "second"), 0);
    CHECK_EQUAL(look_at(first).links, 1);
    CHECK_EQUAL(look_at(second).links, 0);
    CHECK_EQUAL(IO(rename, dir, "first", sub, "second"), -ENOENT);
    close(first);
    close(second);
    close(sub);
    close(dir);
}

struct listing {
    int calls;
    int stop_at;
    char names[64];
};

static int add_name(void *ctx, const char *name)
{
    struct listing *listing = ctx;
    size_t used = strlen(listing->names);
    snprintf(listing->names + used, sizeof listing->names - used, "%s", name);
    return ++listing->calls == listing->stop_at ? 42 : 0;
}

TEST(a_listing_is_complete_repeatable_and_can_be_stopped)
{
    int dir = open_directory();
    close(create(dir, "a"));
    close(create(dir, "a-"));
    close(create(dir, ".hidden"));
    for (int i = 0; i < 2; i++) {
        struct listing all = {0};
        CHECK_EQUAL(IO(list, dir, add_name, &all), 0);
        CHECK_EQUAL(all.calls, 3);
        CHECK(strstr(all.names, ".hidden") && strstr(all.names, "a-"));
    }
    struct listing stopped = {.stop_at = 2};
    CHECK_EQUAL(IO(list, dir, add_name, &stopped), 42);
    CHECK_EQUAL(stopped.calls, 2);
    int file = IO(open, dir, "a", IO_READ);
    CHECK_EQUAL(IO(list, file, add_name, &stopped), -ENOTDIR);
    close(file);
    close(dir);
}

TEST(network_file_systems_are_known)
{
    static const struct {
        uint32_t type;
        bool network;
    } known[] = {
        {0x6969, true},      {0xff534d42, true},  {0xfe534d42, true},  {0x01021997, true},
        {0x0000ef53, false}, {0x58465342, false}, {0x9123683e, false}, {0x01021994, false},
    };
    int dir = open_directory();
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        library.fs_type = known[i].type;
        CHECK_EQUAL(IO(is_network, dir), known[i].network);
    }
    library.fs_type = 0;
    close(dir);
}

TEST(a_sync_that_fails_is_never_repeated)
{
    static const int failures[] = {EINTR, EIO, ENOSPC};
    int dir = open_directory();
    int fd = create(dir, "file");
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        library.sync_errno = failures[i];
        library.syncs = 0;
        CHECK_EQUAL(IO(fdatasync, fd), -failures[i]);
        CHECK_EQUAL(IO(fsync, dir), -failures[i]);
        CHECK_EQUAL(library.syncs, 2);
    }
    library.sync_errno = 0;
    close(fd);
    close(dir);
}

TEST(no_signal_arrives_during_a_sync)
{
    int dir = open_directory();
    int fd = create(dir, "file");
    library.signals_blocked = false;
    CHECK_EQUAL(IO(fdatasync, fd), 0);
    CHECK(library.signals_blocked);
    library.signals_blocked = false;
    CHECK_EQUAL(IO(fsync, dir), 0);
    CHECK(library.signals_blocked);
    CHECK(!all_signals_blocked());
    close(fd);
    close(dir);
}

/* ---- the loops, over a table that does less than it is asked ---- */

struct miser {
    struct io io;
    size_t at_most; /* bytes in one call */
    int calls;
    int fail_at; /* the call that fails; 0: none */
    ssize_t failure;
    int parts_max; /* the most parts it was ever given */
};

static ssize_t miserly_pwritev(void *w, int fd, const struct iovec *parts, int count,
                               uint64_t offset)
{
    struct miser *miser = w;
    if (count > miser->parts_max)
        miser->parts_max = count;
    if (++miser->calls == miser->fail_at)
        return miser->failure;
    if (count > IOV_MAX)
        return -EINVAL; /* as the system would */
    struct iovec some[IOV_MAX];
    size_t left = miser->at_most;
    int used = 0;
    for (; used < count && left > 0; used++) {
        some[used] = parts[used];
        if (some[used].iov_len > left)
            some[used].iov_len = left;
        left -= some[used].iov_len;
    }
    return IO(pwritev, fd, some, used, offset);
}

static ssize_t miserly_pread(void *w, int fd, void *buffer, size_t length, uint64_t offset)
{
    struct miser *miser = w;
    if (++miser->calls == miser->fail_at)
        return miser->failure;
    return IO(pread, fd, buffer, length < miser->at_most ? length : miser->at_most, offset);
}

static void make_miser(struct miser *miser, size_t at_most)
{
    *miser = (struct miser){.io = *io_system(), .at_most = at_most};
    miser->io.world = miser;
    miser->io.pwritev = miserly_pwritev;
    miser->io.pread = miserly_pread;
}

enum { MANY = 2 * IOV_MAX + 500 };

/* Many parts of 0 to 6 bytes; how many bytes they have together. */
static size_t make_parts(struct iovec parts[MANY], unsigned char *bytes)
{
    size_t total = 0;
    for (size_t i = 0; i < MANY; i++) {
        parts[i] = (struct iovec){bytes + total, i % 7};
        for (size_t j = 0; j < i % 7; j++, total++)
            bytes[total] = (unsigned char)(total % 251);
    }
    return total;
}

static void check_many_parts(struct miser *miser)
{
    static struct iovec parts[MANY];
    static unsigned char bytes[MANY * 7], read[MANY * 7];
    size_t total = make_parts(parts, bytes);
    int dir = open_directory();
    int fd = IO(open, dir, "file", IO_WRITE | IO_CREATE);
    memset(read, 0, sizeof read);
    CHECK_EQUAL(io_write_full(&miser->io, fd, parts, MANY, 100), 0);
    CHECK(miser->parts_max <= IOV_MAX);
    CHECK_EQUAL(look_at(fd).size, 100 + total);
    CHECK_EQUAL(io_read_full(&miser->io, fd, read, sizeof read, 100), (ssize_t)total);
    CHECK_BYTES(read, bytes, total);
    close(fd);
    close(dir);
}

TEST(more_parts_than_the_system_accepts_are_written_in_pieces)
{
    struct miser miser;
    make_miser(&miser, SIZE_MAX);
    check_many_parts(&miser);
}

TEST(short_writes_and_reads_are_continued_wherever_they_stop)
{
    static const size_t most[] = {1, 2, 3, 7, 64, 1000};
    for (size_t i = 0; i < sizeof most / sizeof most[0]; i++) {
        struct miser miser;
        make_miser(&miser, most[i]);
        check_many_parts(&miser);
    }
}

TEST(a_write_that_fails_half_way_says_so)
{
    char content[] = "0123456789";
    int dir = open_directory();
    int fd = create(dir, "file");
    struct miser miser;
    make_miser(&miser, 4);
    miser.fail_at = 2;
    miser.failure = -ENOSPC;
    struct iovec part = {content, 10};
    CHECK_EQUAL(io_write_full(&miser.io, fd, &part, 1, 0), -ENOSPC);
    CHECK_EQUAL(miser.calls, 2);
    close(fd);
    close(dir);
}

TEST(a_write_that_never_advances_ends)
{
    char content[] = "0123456789";
    struct miser miser;
    make_miser(&miser, 4);
    miser.fail_at = 1;
    miser.failure = 0;
    struct iovec part = {content, 10};
    CHECK_EQUAL(io_write_full(&miser.io, -1, &part, 1, 0), -EIO);
}

TEST(a_read_that_fails_half_way_says_so)
{
    char content[] = "0123456789", read[10];
    int dir = open_directory();
    int fd = create(dir, "file");
    struct iovec part = {content, 10};
    CHECK_EQUAL(io_write_full(io_system(), fd, &part, 1, 0), 0);
    struct miser miser;
    make_miser(&miser, 4);
    miser.fail_at = 2;
    miser.failure = -EIO;
    CHECK_EQUAL(io_read_full(&miser.io, fd, read, 10, 0), -EIO);
    close(fd);
    close(dir);
}

TEST(nothing_to_write_calls_nobody)
{
    struct miser miser;
    make_miser(&miser, 4);
    struct iovec parts[2] = {{NULL, 0}, {NULL, 0}};
    CHECK_EQUAL(io_write_full(&miser.io, -1, parts, 2, 0), 0);
    CHECK_EQUAL(io_write_full(&miser.io, -1, NULL, 0, 0), 0);
    CHECK_EQUAL(miser.calls, 0);
}

/* ---- futexes ---- */

TEST(a_futex_whose_word_has_changed_does_not_sleep)
{
    uint32_t word = 1;
    CHECK_EQUAL(IO(futex_wait, &word, 0, -1, 0, IO_ALL_BITS), 0);
    CHECK_EQUAL(IO(futex_wait, &word, 0, -1, IO_FUTEX_SHARED, IO_ALL_BITS), 0);
}

TEST(a_futex_deadline_is_wall_clock_time_and_is_not_early)
{
    uint32_t word = 0;
    int64_t deadline_us = IO_ASK(now_us) + 20000;
    CHECK_EQUAL(IO(futex_wait, &word, 0, deadline_us, 0, IO_ALL_BITS), -ETIMEDOUT);
    CHECK(IO_ASK(now_us) >= deadline_us);
    CHECK_EQUAL(IO(futex_wait, &word, 0, deadline_us, 0, IO_ALL_BITS), -ETIMEDOUT);
    CHECK_EQUAL(IO(futex_wait, &word, 0, 0, IO_FUTEX_SHARED, IO_ALL_BITS), -ETIMEDOUT);
}

TEST(a_futex_deadline_of_the_monotonic_clock_is_no_time_of_the_wall_clock)
{
    uint32_t word = 0;
    int64_t deadline_us = IO_ASK(monotonic_us) + 20000;
    CHECK_EQUAL(IO(futex_wait, &word, 0, deadline_us, IO_FUTEX_MONOTONIC, IO_ALL_BITS), -ETIMEDOUT);
    CHECK(IO_ASK(monotonic_us) >= deadline_us);
}

static void ignore_signal(int number)
{
    (void)number;
}

/* Wait while a timer sends signals without pause, so that one surely comes during the wait. */
static int wait_among_signals(int handler_flags, int64_t deadline_us)
{
    struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = handler_flags}, before;
    struct itimerval often = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
    uint32_t word = 0;
    REQUIRE(sigaction(SIGALRM, &action, &before) == 0);
    REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
    int status = IO(futex_wait, &word, 0, deadline_us, 0, IO_ALL_BITS);
    REQUIRE(setitimer(ITIMER_REAL, &never, NULL) == 0);
    REQUIRE(sigaction(SIGALRM, &before, NULL) == 0);
    return status;
}

TEST(a_signal_ends_a_futex_wait_however_its_handler_was_installed)
{
    int64_t guard_us = IO_ASK(now_us) + GUARD_US;
    CHECK_EQUAL(wait_among_signals(0, guard_us), -EINTR);
    CHECK_EQUAL(wait_among_signals(SA_RESTART, guard_us), -EINTR);
    CHECK_EQUAL(wait_among_signals(0, -1), -EINTR);
    CHECK_EQUAL(wait_among_signals(SA_RESTART, -1), -EINTR);
}

/* Wake until somebody was there to be woken. */
static bool wake_one(uint32_t *word, bool shared)
{
    int64_t guard_us = IO_ASK(monotonic_us) + GUARD_US;
    while (IO_ASK(monotonic_us) < guard_us) {
        int woken = IO(futex_wake, word, 1, shared ? IO_FUTEX_SHARED : 0, IO_ALL_BITS);
        if (woken != 0)
            return woken == 1;
        sched_yield();
    }
    return false;
}

static void wait_for_wake(void *arg)
{
    uint32_t *word = arg;
    *word = (uint32_t)IO(futex_wait, word, 0, IO_ASK(now_us) + GUARD_US, 0, IO_ALL_BITS);
}

TEST(a_thread_that_sleeps_is_woken)
{
    uint32_t word = 0;
    struct io_thread thread;
    CHECK_EQUAL(IO(futex_wake, &word, 1, 0, IO_ALL_BITS), 0); /* nobody there yet */
    REQUIRE(IO(thread_start, &thread, wait_for_wake, &word) == 0);
    CHECK(wake_one(&word, false));
    IO(thread_join, &thread);
    CHECK_EQUAL(word, 0);
}

TEST(a_shared_futex_reaches_another_process)
{
    uint32_t *word =
        mmap(NULL, sizeof *word, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(word != MAP_FAILED);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(IO(futex_wait, word, 0, IO_ASK(now_us) + GUARD_US, IO_FUTEX_SHARED, IO_ALL_BITS) !=
              0);
    CHECK(wake_one(word, true));
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK_EQUAL(status, 0);
    munmap(word, sizeof *word);
}

/* ---- time, chance, identity ---- */

TEST(the_clocks_count_microseconds)
{
    int64_t before_s = time(NULL), us = IO_ASK(now_us), after_s = time(NULL);
    CHECK(us / SECOND_US >= before_s - 1 && us / SECOND_US <= after_s + 1);
    int64_t first = IO_ASK(monotonic_us), second = IO_ASK(monotonic_us);
    CHECK(first > 0 && second >= first);
}

TEST(random_bytes_fill_any_length)
{
    static unsigned char many[100000];
    unsigned char first[16] = {0}, second[16] = {0};
    CHECK_EQUAL(IO(random, first, sizeof first), 0);
    CHECK_EQUAL(IO(random, second, sizeof second), 0);
    CHECK(memcmp(first, second, sizeof first) != 0);
    CHECK_EQUAL(IO(random, many, sizeof many - 1), 0);
    bool end_is_filled = false;
    for (size_t i = sizeof many - 33; i < sizeof many - 1; i++)
        end_is_filled = end_is_filled || many[i] != 0;
    CHECK(end_is_filled);
    CHECK_EQUAL(many[sizeof many - 1], 0);
}

TEST(the_boot_id_is_that_of_the_kernel)
{
    unsigned char id[16];
    char text[40] = "", expected[40] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    REQUIRE(file);
    CHECK(fgets(expected, 37, file));
    fclose(file);
    IO(boot_id, id);
    for (size_t i = 0, at = 0; i < 16; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;
        at += (size_t)snprintf(text + at, sizeof text - at, dash ? "-%02x" : "%02x", id[i]);
    }
    CHECK_TEXT(text, expected);
}

TEST(the_host_name_is_cut_to_its_room)
{
    char whole[256], cut[4] = "xxx", none = 'x';
    IO(host_name, whole, sizeof whole);
    CHECK(strlen(whole) > 0);
    IO(host_name, cut, 3);
    CHECK_EQUAL(strlen(cut), strlen(whole) < 2 ? strlen(whole) : 2);
    CHECK(strncmp(whole, cut, 2) == 0);
    IO(host_name, cut, 1);
    CHECK_TEXT(cut, "");
    IO(host_name, &none, 0);
    CHECK_EQUAL(none, 'x');
    CHECK_EQUAL(IO_ASK(process_id), (uint32_t)getpid());
}

/* ---- threads ---- */

static void note_mask(void *arg)
{
    *(bool *)arg = all_signals_blocked();
}

TEST(a_thread_starts_with_signals_blocked_and_leaves_the_starter_as_it_was)
{
    bool blocked = false;
    struct io_thread thread;
    REQUIRE(IO(thread_start, &thread, note_mask, &blocked) == 0);
    IO(thread_join, &thread);
    CHECK(blocked);
    CHECK(!all_signals_blocked());
}

enum { ROUNDS = 20000 };

struct counter {
    struct io_mutex mutex;
    int value;
};

static void count_up(void *arg)
{
    struct counter *counter = arg;
    for (int i = 0; i < ROUNDS; i++) {
        IO(mutex_lock, &counter->mutex);
        counter->value++;
        IO(mutex_unlock, &counter->mutex);
    }
}

TEST(a_mutex_lets_one_thread_in)
{
    struct counter counter = {.value = 0};
    struct io_thread threads[2];
    IO(mutex_init, &counter.mutex);
    for (int i = 0; i < 2; i++)
        REQUIRE(IO(thread_start, &threads[i], count_up, &counter) == 0);
    for (int i = 0; i < 2; i++)
        IO(thread_join, &threads[i]);
    CHECK_EQUAL(counter.value, 2 * ROUNDS);
    IO(mutex_destroy, &counter.mutex);
}

struct attempt {
    struct io_mutex *mutex;
    bool taken;
};

static void try_mutex(void *arg)
{
    struct attempt *attempt = arg;
    attempt->taken = IO(mutex_trylock, attempt->mutex);
    if (attempt->taken)
        IO(mutex_unlock, attempt->mutex);
}

static bool another_thread_can_take(struct io_mutex *mutex)
{
    struct attempt attempt = {mutex, false};
    struct io_thread thread;
    REQUIRE(IO(thread_start, &thread, try_mutex, &attempt) == 0);
    IO(thread_join, &thread);
    return attempt.taken;
}

TEST(the_registry_is_empty_and_its_mutex_ready)
{
    struct io_registry *registry = io_system()->registry;
    CHECK(registry->first == NULL);
    CHECK(another_thread_can_take(&registry->mutex));
    IO(mutex_lock, &registry->mutex);
    CHECK(!another_thread_can_take(&registry->mutex));
    IO(mutex_unlock, &registry->mutex);
    CHECK(another_thread_can_take(&registry->mutex));
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(open_does_what_its_flags_say),
        LISTED(a_new_directory_is_its_owners_alone),
        LISTED(what_has_the_name_of_a_file_and_is_none_is_told_and_not_followed_or_waited_for),
        LISTED(a_call_that_a_signal_interrupts_is_repeated),
        LISTED(a_file_that_cant_be_looked_at_is_not_taken_for_something_else),
        LISTED(reading_at_the_end_of_a_file_gives_what_there_is),
        LISTED(offsets_go_beyond_32_bits),
        LISTED(stat_tells_a_deleted_file_and_a_directory),
        LISTED(rename_replaces_and_crosses_directories),
        LISTED(a_listing_is_complete_repeatable_and_can_be_stopped),
        LISTED(network_file_systems_are_known),
        LISTED(a_sync_that_fails_is_never_repeated),
        LISTED(no_signal_arrives_during_a_sync),
        LISTED(more_parts_than_the_system_accepts_are_written_in_pieces),
        LISTED(short_writes_and_reads_are_continued_wherever_they_stop),
        LISTED(a_write_that_fails_half_way_says_so),
        LISTED(a_write_that_never_advances_ends),
        LISTED(a_read_that_fails_half_way_says_so),
        LISTED(nothing_to_write_calls_nobody),
        LISTED(a_futex_whose_word_has_changed_does_not_sleep),
        LISTED(a_futex_deadline_is_wall_clock_time_and_is_not_early),
        LISTED(a_futex_deadline_of_the_monotonic_clock_is_no_time_of_the_wall_clock),
        LISTED(a_signal_ends_a_futex_wait_however_its_handler_was_installed),
        LISTED(a_thread_that_sleeps_is_woken),
        LISTED(a_shared_futex_reaches_another_process),
        LISTED(the_clocks_count_microseconds),
        LISTED(random_bytes_fill_any_length),
        LISTED(the_boot_id_is_that_of_the_kernel),
        LISTED(the_host_name_is_cut_to_its_room),
        LISTED(a_thread_starts_with_signals_blocked_and_leaves_the_starter_as_it_was),
        LISTED(a_mutex_lets_one_thread_in),
        LISTED(the_registry_is_empty_and_its_mutex_ready),
    };
    return RUN(tests, argc, argv);
}
