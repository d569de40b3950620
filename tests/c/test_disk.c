/* The disk in memory, which proves quplog, loses what a real one may lose, and nothing else. */
#include "disk.h"
#include "open.h"
#include "random.h"
#include "test.h"

enum { CUTS = 400 };

static int open_in(const struct io *io, int dir, const char *name)
{
    int fd = io->open(io->world, dir, name, IO_WRITE | IO_CREATE);
    REQUIRE(fd >= 0);
    return fd;
}

static void write_at(const struct io *io, int fd, uint64_t offset, unsigned char value,
                     size_t length)
{
    unsigned char *bytes = malloc(length);
    REQUIRE(bytes != NULL);
    memset(bytes, value, length);
    struct iovec part = {bytes, length};
    REQUIRE(io->pwritev(io->world, fd, &part, 1, offset) == (ssize_t)length);
    free(bytes);
}

/* A file `name` with `length` times `value`, durable with its name. */
static int durable_file(const struct io *io, const char *name, unsigned char value, size_t length)
{
    int fd = open_in(io, IO_CWD, name);
    write_at(io, fd, 0, value, length);
    REQUIRE(io->fdatasync(io->world, fd) == 0);
    REQUIRE(io->fsync(io->world, IO_CWD) == 0);
    return fd;
}

static bool exists(const struct disk *disk, const char *name)
{
    size_t length;
    unsigned char *bytes = disk_load(disk, name, &length);
    free(bytes);
    return bytes != NULL;
}

/* ---- bytes ---- */

/* What the cuts made of the bytes [from, to) that had been `old` and became `now`. */
struct seen {
    int old, now, garbage;
};

static void look(struct seen *seen, const unsigned char *bytes, size_t length, unsigned char old,
                 unsigned char now)
{
    size_t olds = 0, nows = 0;
    for (size_t i = 0; i < length; i++) {
        olds += bytes[i] == old;
        nows += bytes[i] == now;
    }
    seen->old += olds == length;
    seen->now += nows == length;
    seen->garbage += olds != length && nows != length;
}

TEST(each_unsynced_sector_is_old_or_new_or_garbage_by_itself)
{
    struct disk *disk = disk_new();
    const struct io *io = disk_io(disk);
    uint64_t chance = 1;
    struct seen sectors[2] = {{0, 0, 0}, {0, 0, 0}};
    int apart = 0;
    int fd = durable_file(io, "a", 'o', 2048);
    write_at(io, fd, 512, 'n', 1024);
    CHECK_EQUAL(disk_at_stake(disk), 2);
    for (int i = 0; i < CUTS; i++) {
        size_t length;
        struct disk *after = disk_cut(disk, DISK_MIX, &chance);
        unsigned char *bytes = disk_load(after, "a", &length);
        REQUIRE(bytes && length == 2048);
        look(&sectors[0], bytes + 512, 512, 'o', 'n');
        look(&sectors[1], bytes + 1024, 512, 'o', 'n');
        apart += (bytes[512] == 'n') != (bytes[1024] == 'n');
        CHECK(bytes[511] == 'o' && bytes[1536] == 'o');
        free(bytes);
        disk_free(after);
    }
    for (int i = 0; i < 2; i++)
        CHECK(sectors[i].old > 10 && sectors[i].now > 10 && sectors[i].garbage > 10);
    CHECK(apart > 10);
    disk_free(disk);
}

TEST(what_was_synced_stays_and_so_do_the_other_bytes_of_a_sector)
{
    struct disk *disk = disk_new();
    const struct io *io = disk_io(disk);
    uint64_t chance = 2;
    int fd = durable_file(io, "a", 'o', 1024);
    write_at(io, fd, 100, 'n', 300);
    for (int i = 0; i < CUTS; i++) {
        size_t length;
        struct disk *after = disk_cut(disk, DISK_MIX, &chance);
        unsigned char *bytes = disk_load(after, "a", &length);
        REQUIRE(bytes && length == 1024);
        for (size_t at = 0; at < 1024; at++)
            CHECK((at >= 100 && at < 400) || bytes[at] == 'o');
        free(bytes);
        disk_free(after);
    }
    REQUIRE(io->fdatasync(io->world, fd) == 0);
    CHECK_EQUAL(disk_at_stake(disk), 0);
    struct disk *after = disk_cut(disk, DISK_LOSE, &chance);
    size_t length;
    unsigned char *bytes = disk_load(after, "a", &length);
    REQUIRE(bytes != NULL);
    CHECK(bytes[99] == 'o' && bytes[100] == 'n' && bytes[399] == 'n' && bytes[400] == 'o');
    free(bytes);
    disk_free(after);
    disk_free(disk);
}

/* As after a failed fsync in Linux: the next one has nothing to write, and succeeds. */
TEST(what_a_failed_sync_has_lost_is_durable_only_if_it_is_written_again)
{
    struct disk *disk = disk_new();
    const struct io *io = disk_io(disk);
    uint64_t chance = 3;
    int fd = durable_file(io, "a", 'o', 1536);
    write_at(io, fd, 0, 'n', 1024);
    disk_fail_sync(io, fd);
    write_at(io, fd, 512, 'n', 512); /* this again, and the next for the first time */
    write_at(io, fd, 1024, 'n', 512);
    unsigned char now[1536];
    REQUIRE(io->pread(io->world, fd, now, sizeof now, 0) == sizeof now && now[0] == 'n');
    REQUIRE(io->fdatasync(io->world, fd) == 0);
    size_t length;
    struct disk *after = disk_cut(disk, DISK_KEEP, &chance);
    unsigned char *bytes = disk_load(after, "a", &length);
    REQUIRE(bytes && length == sizeof now);
    CHECK(bytes[0] == 'o' && bytes[511] == 'o' && bytes[512] == 'n' && bytes[1535] == 'n');
    free(bytes);
    disk_free(after);
    disk_free(disk);
}

TEST(a_size_that_was_not_synced_is_old_or_new_or_between)
{
    struct disk *disk = disk_new();
    const struct io *io = disk_io(disk);
    uint64_t chance = 3;
    int old = 0, new = 0, between = 0;
    int fd = durable_file(io, "a", 'o', 1000);
    write_at(io, fd, 1000, 'n', 5000);
    for (int i = 0; i < CUTS; i++) {
        size_t length;
        struct disk *after = disk_cut(disk, DISK_MIX, &chance);
        unsigned char *bytes = disk_load(after, "a", &length);
        REQUIRE(bytes && length >= 1000 && length <= 6000);
        old += length == 1000;
        new += length == 6000;
        between += length > 1000 && length < 6000;
        CHECK(bytes[0] == 'o' && bytes[999] == 'o');
        free(bytes);
        disk_free(after);
    }
    CHECK(old > 10 && new > 10 && between > 10);
    disk_free(disk);
}

TEST(a_mapped_page_is_shared_and_reaches_its_file_in_any_state)
{
    struct disk *disk = disk_new();
    const struct io *one = disk_io(disk), *two = disk_process(disk);
    void *first, *second;
    uint64_t chance = 4;
    struct seen seen = {0, 0, 0};
    int fd = durable_file(one, "control", 0, 4096);
    int other = open_in(two, IO_CWD, "control");
    REQUIRE(one->map(one->world, fd, 4096, &first) == 0);
    REQUIRE(two->map(two->world, other, 4096, &second) == 0);
    memset(first, 'n', 512);
    CHECK_EQUAL(((unsigned char *)second)[511], 'n');
    for (int i = 0; i < CUTS; i++) {
        size_t length;
        struct disk *after = disk_cut(disk, DISK_MIX, &chance);
        unsigned char *bytes = disk_load(after, "control", &length);
        REQUIRE(bytes && length == 4096);
        look(&seen, bytes, 512, 0, 'n');
        free(bytes);
        disk_free(after);
    }
    CHECK(seen.old > 10 && seen.now > 10 && seen.garbage > 10);
    disk_kill(disk, one);
    CHECK_EQUAL(((unsigned char *)second)[511], 'n');
    disk_free(disk);
}

/* ---- names ---- */

TEST(a_synced_file_may_lose_its_name_until_its_directory_is_synced)
{
    struct disk *disk = disk_new();
    const struct io *io = disk_io(disk);
    uint64_t chance = 5;
    int fd = open_in(io, IO_CWD, "a");
    write_at(io, fd, 0, 'n', 10);
    REQUIRE(io->fdatasync(io->world, fd) == 0);
    int found = 0;
    for (int i = 0; i < CUTS; i++) {
        struct disk *after = disk_cut(disk, DISK_MIX, &chance);
        found += exists(after, "a");
        disk_free(after);
    }
    CHECK(found > 10 && found < CUTS - 10);
    REQUIRE(io->fsync(io->world, IO_CWD) == 0);
    struct disk *after = disk_cut(disk, DISK_LOSE, &chance);
    CHECK(exists(after, "a"));
    disk_free(after);
    disk_free(disk);
}

TEST(a_rename_is_whole_or_not_at_all_and_names_may_persist_out_of_order)
{
    struct disk *disk = disk_new();
    const struct io *io = disk_io(disk);
    void *w = io->world;
    uint64_t chance = 6;
    durable_file(io, "old", 'o', 10);
    REQUIRE(io->mkdir(w, IO_CWD, "there") == 0);
    REQUIRE(io->fsync(w, IO_CWD) == 0);
    int dir = io->open(w, IO_CWD, "there", IO_DIRECTORY);
    REQUIRE(dir >= 0);
    (void)open_in(io, IO_CWD, "first");
    REQUIRE(io->rename(w, IO_CWD, "old", dir, "new") == 0);
    int moved = 0, out_of_order = 0;
    for (int i = 0; i < CUTS; i++) {
        struct disk *after = disk_cut(disk, DISK_MIX, &chance);
        CHECK(exists(after, "old") != exists(after, "there/new"));
        moved += exists(after, "there/new");
        out_of_order += exists(after, "there/new") && !exists(after, "first");
        disk_free(after);
    }
    CHECK(moved > 10 && moved < CUTS - 10);
    CHECK(out_of_order > 10);
    disk_free(disk);
}

TEST(changes_of_one_name_keep_their_order)
{
    struct disk *disk = disk_new();
    const struct io *io = disk_io(disk);
    void *w = io->world;
    uint64_t chance = 7;
    durable_file(io, "a", 'o', 10);
    REQUIRE(io->rename(w, IO_CWD, "a", IO_CWD, "b") == 0);
    (void)open_in(io, IO_CWD, "a");
    for (int i = 0; i < CUTS; i++) {
        size_t length;
        struct disk *after = disk_cut(disk, DISK_MIX, &chance);
        unsigned char *bytes = disk_load(after, "a", &length);
        CHECK(exists(after, "b") || (bytes && length == 10));
        free(bytes);
        disk_free(after);
    }
    disk_free(disk);
}

TEST(an_unlinked_file_may_come_back_until_its_directory_is_synced)
{
    struct disk *disk = disk_new();
    const struct io *io = disk_io(disk);
    uint64_t chance = 8;
    durable_file(io, "a", 'o', 10);
    REQUIRE(io->unlink(io->world, IO_CWD, "a") == 0);
    CHECK(!exists(disk, "a"));
    struct disk *after = disk_cut(disk, DISK_LOSE, &chance);
    CHECK(exists(after, "a"));
    disk_free(after);
    REQUIRE(io->fsync(io->world, IO_CWD) == 0);
    after = disk_cut(disk, DISK_LOSE, &chance);
    CHECK(!exists(after, "a"));
    disk_free(after);
    disk_free(disk);
}

TEST(what_stands_in_a_lost_directory_is_lost)
{
    struct disk *disk = disk_new();
    const struct io *io = disk_io(disk);
    uint64_t chance = 9;
    REQUIRE(io->mkdir(io->world, IO_CWD, "d") == 0);
    int dir = io->open(io->world, IO_CWD, "d", IO_DIRECTORY);
    REQUIRE(dir >= 0);
    (void)open_in(io, dir, "a");
    REQUIRE(io->fsync(io->world, dir) == 0);
    struct disk *after = disk_cut(disk, DISK_LOSE, &chance);
    CHECK(disk_list(after, "d", NULL, NULL) == -ENOENT && !exists(after, "d/a"));
    disk_free(after);
    disk_free(disk);
}

/* ---- processes ---- */

TEST(a_kill_keeps_all_that_was_written_and_frees_the_locks)
{
    struct disk *disk = disk_new();
    const struct io *one = disk_io(disk), *two = disk_process(disk);
    int fd = open_in(one, IO_CWD, "lock"), other = open_in(two, IO_CWD, "lock");
    write_at(one, fd, 0, 'n', 10);
    CHECK_EQUAL(one->lock(one->world, fd, 3, IO_EXCLUSIVE_LOCK), 0);
    CHECK_EQUAL(two->lock(two->world, other, 3, IO_SHARED), -EAGAIN);
    CHECK_EQUAL(two->lock(two->world, other, 4, IO_SHARED), 0);
    disk_kill(disk, one);
    CHECK_EQUAL(two->lock(two->world, other, 3, IO_EXCLUSIVE_LOCK), 0);
    size_t length;
    unsigned char *bytes = disk_load(disk, "lock", &length);
    CHECK(bytes && length == 10 && bytes[9] == 'n');
    free(bytes);
    disk_free(disk);
}

TEST(a_log_that_was_synced_is_there_after_a_cut_and_every_cut_is_another_boot)
{
    static const quplog_spec spec = {
        .task = "work", .queue = "default", .task_length = 4, .queue_length = 7};
    quplog_options options = {.keep_succeeded_us = -1, .keep_failed_us = -1};
    struct disk *disk = disk_new();
    quplog *log;
    quplog_report report = {0};
    uint64_t id, lost, chance = 10;
    REQUIRE(open_with(disk_io(disk), "log", &options, &log, &report) == QUPLOG_OK);
    REQUIRE(quplog_put(log, &spec, "x", 1, 0, true, &id) == QUPLOG_OK);
    REQUIRE(quplog_put(log, &spec, "y", 1, 0, false, &lost) == QUPLOG_OK);
    struct disk *after = disk_cut(disk, DISK_LOSE, &chance);
    CHECK_EQUAL(quplog_close(log), QUPLOG_OK);
    quplog_free(log);
    disk_free(disk);
    REQUIRE(open_with(disk_io(after), "log", &options, &log, &report) == QUPLOG_OK);
    CHECK_EQUAL(report.ending, QUPLOG_REBOOT);
    quplog_job_info info;
    CHECK_EQUAL(quplog_info(log, id, &info), QUPLOG_OK);
    CHECK_EQUAL(quplog_info(log, lost, &info), QUPLOG_NOT_FOUND);
    CHECK_EQUAL(quplog_close(log), QUPLOG_OK);
    quplog_free(log);
    disk_free(after);
}

/* Two that are asked the same answer the same, also one that is a copy. */
TEST(everything_is_the_same_in_each_run)
{
    struct disk *disk = disk_new();
    const struct io *io = disk_io(disk);
    int fd = durable_file(io, "a", 'o', 4096);
    write_at(io, fd, 0, 'n', 4096);
    struct disk *copy = disk_snapshot(disk);
    uint64_t chance = 11, same = 11;
    for (int i = 0; i < 20; i++) {
        size_t length;
        struct disk *one = disk_cut(disk, DISK_MIX, &chance);
        struct disk *two = disk_cut(copy, DISK_MIX, &same);
        unsigned char *bytes = disk_load(one, "a", &length);
        unsigned char *others = disk_load(two, "a", &length);
        REQUIRE(bytes && others);
        CHECK_BYTES(bytes, others, 4096);
        free(bytes);
        free(others);
        disk_free(one);
        disk_free(two);
    }
    disk_free(copy);
    disk_free(disk);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(each_unsynced_sector_is_old_or_new_or_garbage_by_itself),
        LISTED(what_was_synced_stays_and_so_do_the_other_bytes_of_a_sector),
        LISTED(what_a_failed_sync_has_lost_is_durable_only_if_it_is_written_again),
        LISTED(a_size_that_was_not_synced_is_old_or_new_or_between),
        LISTED(a_mapped_page_is_shared_and_reaches_its_file_in_any_state),
        LISTED(a_synced_file_may_lose_its_name_until_its_directory_is_synced),
        LISTED(a_rename_is_whole_or_not_at_all_and_names_may_persist_out_of_order),
        LISTED(changes_of_one_name_keep_their_order),
        LISTED(an_unlinked_file_may_come_back_until_its_directory_is_synced),
        LISTED(what_stands_in_a_lost_directory_is_lost),
        LISTED(a_kill_keeps_all_that_was_written_and_frees_the_locks),
        LISTED(a_log_that_was_synced_is_there_after_a_cut_and_every_cut_is_another_boot),
        LISTED(everything_is_the_same_in_each_run),
    };
    return RUN(tests, argc, argv);
}
