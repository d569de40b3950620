/* What a power cut takes in the moments in which a log is made, opened or recovered. */
#include "disk.h"
#include "open.h"
#include "segment.h"
#include "test.h"

enum { ID_JUMP_BITS = 32 /* see OPEN in docs/FORMAT.md */ };

static const quplog_spec SPEC = {
    .task = "work", .queue = "q", .task_length = 4, .queue_length = 1, .retries = 1};
static uint64_t chance = 1;

static quplog *open_in(const struct io *io, quplog_report *report)
{
    quplog_options options = {.segment_size = 65536, .keep_succeeded_us = -1,
                              .keep_failed_us = -1,
                              .lock_timeout_us = 10000000};
    quplog *log = NULL;
    memset(report, 0, sizeof *report);
    int status = open_with(io, "log", &options, &log, report);
    CHECK_EQUAL(status, QUPLOG_OK);
    REQUIRE(log != NULL);
    return log;
}

static uint64_t put(quplog *log, bool sync)
{
    uint64_t id = 0;
    CHECK_EQUAL(quplog_put(log, &SPEC, "x", 1, 0, sync, &id), QUPLOG_OK);
    return id;
}

static void close_log(quplog *log)
{
    CHECK_EQUAL(quplog_close(log), QUPLOG_OK);
    quplog_free(log);
}

/* Open the log on this disk, put a job, close. Its id. */
static uint64_t next_id(struct disk *disk, quplog_report *report)
{
    quplog *log = open_in(disk_io(disk), report);
    uint64_t id = put(log, true);
    close_log(log);
    return id;
}

/* Not if the OPEN could be lost with them: then the log would still look cleanly closed. */
TEST(ids_that_a_cut_took_from_a_log_that_had_been_closed_are_not_given_again)
{
    struct disk *disk = disk_new();
    quplog_report report;
    CHECK_EQUAL(next_id(disk, &report), 1);
    quplog *log = open_in(disk_process(disk), &report);
    CHECK_EQUAL(put(log, false), 2);
    struct disk *after = disk_cut(disk, DISK_LOSE, &chance);
    CHECK_EQUAL(next_id(after, &report), (INT64_C(1) << ID_JUMP_BITS) + 1);
    CHECK_EQUAL(report.ending, QUPLOG_REBOOT);
    close_log(log);
    disk_free(after);
    disk_free(disk);
}

/* A process that is about to find out whether it is alone on the log. */
struct visitor {
    const struct io *io;
    int fd;
};

/* It lets go as the next one is told that it is not alone, before that one would share the log. */
static void let_go(void *context, const struct disk_call *call, ssize_t status)
{
    struct visitor *visitor = context;
    if (call->kind != DISK_LOCK || status != -EAGAIN || visitor->fd < 0)
        return;
    int fd = visitor->fd;
    visitor->fd = -1;
    visitor->io->close(visitor->io->world, fd);
}

TEST(a_log_that_was_closed_is_recovered_by_who_comes_next_and_not_joined)
{
    struct disk *disk = disk_new();
    quplog_report report;
    CHECK_EQUAL(next_id(disk, &report), 1);
    struct visitor visitor = {.io = disk_process(disk)};
    visitor.fd = visitor.io->open(visitor.io->world, IO_CWD, "log/lock", IO_WRITE);
    REQUIRE(visitor.fd >= 0);
    REQUIRE(visitor.io->lock(visitor.io->world, visitor.fd, 0, IO_EXCLUSIVE_LOCK) == 0);
    const struct disk_watch watch = {.after = let_go, .context = &visitor};
    disk_look_on(disk, &watch);
    quplog *log = open_in(disk_process(disk), &report);
    CHECK_EQUAL(visitor.fd, -1);
    CHECK_EQUAL(report.ending, QUPLOG_CLEAN);
    CHECK_EQUAL(put(log, false), 2);
    struct disk *after = disk_cut(disk, DISK_LOSE, &chance);
    CHECK_EQUAL(next_id(after, &report), (INT64_C(1) << ID_JUMP_BITS) + 1);
    close_log(log);
    disk_free(after);
    disk_free(disk);
}

/* Who made the directory was killed before it could make that durable; whoever comes next must. */
TEST(a_job_in_a_directory_that_somebody_else_made_is_as_durable_as_any)
{
    struct disk *disk = disk_new();
    const struct io *dead = disk_process(disk);
    quplog_report report;
    CHECK_EQUAL(dead->mkdir(dead->world, IO_CWD, "log"), 0);
    disk_kill(disk, dead);
    quplog *log = open_in(disk_io(disk), &report);
    CHECK_EQUAL(put(log, true), 1);
    struct disk *after = disk_cut(disk, DISK_LOSE, &chance);
    CHECK_EQUAL(next_id(after, &report), (INT64_C(1) << ID_JUMP_BITS) + 1);
    CHECK_EQUAL(report.ops, 3); /* OPEN, SETTINGS, PUT */
    close_log(log);
    disk_free(after);
    disk_free(disk);
}

/* Jobs of some segments, and no OPEN: it has been compacted away. The end of the log. */
static uint64_t compacted(quplog *log)
{
    static char payload[24 << 10];
    quplog_stats stats;
    uint64_t id;
    for (int i = 0; i < 6; i++)
        CHECK_EQUAL(quplog_put(log, &SPEC, payload, sizeof payload, 0, true, &id), QUPLOG_OK);
    CHECK_EQUAL(quplog_compact(log), QUPLOG_OK);
    CHECK_EQUAL(quplog_read_stats(log, &stats), QUPLOG_OK);
    CHECK(stats.first_lsn > 0);
    return stats.tail_lsn;
}

static int note_name(void *context, const char *name)
{
    char *newest = context;
    if (strstr(name, ".log") && strcmp(name, newest) > 0)
        strcpy(newest, name);
    return 0;
}

/* The log ends at `end` with something that no write has finished. */
static void tear(struct disk *disk, uint64_t end)
{
    char path[64] = "log/", *newest = path + 4;
    size_t length;
    CHECK_EQUAL(disk_list(disk, "log", note_name, newest), 0);
    uint64_t offset = end - strtoull(newest, NULL, 16);
    unsigned char *bytes = disk_load(disk, path, &length);
    REQUIRE(bytes && offset + 64 < length);
    memset(bytes + offset, 0xa7, 64);
    disk_store(disk, path, bytes, length);
    free(bytes);
}

/* Photographs the disk before the first frame of a new segment. */
struct camera {
    struct disk *disk, *picture;
};

static void look(void *context, const struct disk_call *call)
{
    struct camera *camera = context;
    if (call->kind == DISK_WRITE && call->offset == SEGMENT_HEADER && !camera->picture)
        camera->picture = disk_copy(camera->disk);
}

/* The segment that it had just made is of this boot, and nothing else is. */
TEST(a_recovery_that_is_killed_before_its_first_frame_does_not_hide_the_power_cut)
{
    struct disk *disk = disk_new();
    quplog_report report;
    quplog *log = open_in(disk_process(disk), &report);
    uint64_t end = compacted(log);
    struct disk *after = disk_cut(disk, DISK_LOSE, &chance);
    tear(after, end);
    struct camera camera = {after, NULL};
    struct disk_watch watch = {.before = look, .context = &camera};
    disk_look_on(after, &watch);
    next_id(after, &report);
    CHECK_EQUAL(report.ending, QUPLOG_REBOOT);
    REQUIRE(camera.picture != NULL);
    next_id(camera.picture, &report);
    CHECK_EQUAL(report.ending, QUPLOG_REBOOT);
    close_log(log);
    disk_free(camera.picture);
    disk_free(after);
    disk_free(disk);
}

static int count_logs(void *context, const char *name)
{
    int *count = context;
    *count += strstr(name, ".log") != NULL;
    return 0;
}

/* A rotation may leave its name, and of its bytes none. */
TEST(an_empty_segment_behind_the_end_is_set_aside)
{
    struct disk *disk = disk_new();
    quplog_report report;
    quplog *log = open_in(disk_process(disk), &report);
    CHECK_EQUAL(put(log, true), 1);
    struct disk *after = disk_cut(disk, DISK_LOSE, &chance);
    disk_store(after, "log/0000000000010000.log", "", 0);
    uint64_t id = next_id(after, &report);
    CHECK(id > 1);
    int aside = 0;
    CHECK_EQUAL(disk_list(after, "log/quarantine", count_logs, &aside), 0);
    CHECK_EQUAL(aside, 1);
    CHECK_EQUAL(next_id(after, &report), id + 1);
    close_log(log);
    disk_free(after);
    disk_free(disk);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(ids_that_a_cut_took_from_a_log_that_had_been_closed_are_not_given_again),
        LISTED(a_log_that_was_closed_is_recovered_by_who_comes_next_and_not_joined),
        LISTED(a_job_in_a_directory_that_somebody_else_made_is_as_durable_as_any),
        LISTED(a_recovery_that_is_killed_before_its_first_frame_does_not_hide_the_power_cut),
        LISTED(an_empty_segment_behind_the_end_is_set_aside),
    };
    return RUN(tests, argc, argv);
}
