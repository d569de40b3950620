/* The log as it grows: rotation and the order of what it does, and every call that can fail. */
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>

#include "commit.h"
#include "log_lab.h"
#include "turn.h"

enum { SMALL = 200, BIG = 6000 };

/* ---- numbers that are used up ---- */

TEST(an_id_or_a_segment_that_nobody_would_read_again_is_not_given)
{
    uint64_t id;
    quplog *q = lab_open(NULL, lab_path("log"));
    lab_put_many(q, 0, 3, SMALL);
    REQUIRE(commit_begin(q->core, COMMIT_DECIDE) == QUPLOG_OK);
    CHECK_EQUAL(log_add_head(&q->core->log, SEGMENT_BASE_END, SEGMENT_BASE_END, 0, false),
                QUPLOG_FULL);
    control_write_number(&q->core->control.page->next_id, UINT64_C(1) << OP_ID_BITS);
    commit_end(q->core);
    CHECK_EQUAL(quplog_put(q, &LAB_SPEC, "x", 1, 0, true, &id), QUPLOG_FULL);
    lab_close(q);
    q = lab_open(NULL, lab_path("log"));
    lab_expect(q, 3);
    lab_close(q);
}

/* ---- rotation ---- */

/* The index of the first event from `from` on that is this; `count` if there is none. */
static size_t find(const struct faulty_event *events, size_t count, size_t from,
                   enum faulty_kind kind, const char *name, bool frame)
{
    for (; from < count; from++)
        if (events[from].kind == kind && events[from].frame == frame &&
            strcmp(events[from].name, name) == 0)
            return from;
    return count;
}

TEST(a_new_segment_is_written_under_a_temporary_name_and_synced_before_it_is_promised)
{
    struct faulty *f = faulty_new();
    const struct faulty_event *e;
    char name[SEGMENT_NAME], temporary[SEGMENT_NAME + 4];
    quplog *q = lab_open(f, lab_path("log"));
    lab_put_many(q, 0, 5, BIG);
    faulty_record(f);
    lab_put_many(q, 5, 15, BIG);
    REQUIRE(quplog_sync(q) == QUPLOG_OK);
    lab_put(q, 15, BIG, false);
    size_t count = faulty_events(f, &e);
    struct lab_list list = lab_segments(lab_path("log"));
    REQUIRE(list.count == 2);
    segment_name(list.base[1], name);
    snprintf(temporary, sizeof temporary, "%s.tmp", name);
    size_t header = find(e, count, 0, FAULTY_WRITE, temporary, false);
    size_t rename = find(e, count, 0, FAULTY_RENAME, name, false);
    /* The descriptor was opened under the temporary name, and goes by it in the record. */
    size_t frame = find(e, count, 0, FAULTY_WRITE, temporary, true);
    size_t old = find(e, count, 0, FAULTY_SYNC, "0000000000000000.log", false);
    size_t new = find(e, count, 0, FAULTY_SYNC, name, false);
    size_t directory = find(e, count, 0, FAULTY_DIRECTORY, lab_path("log"), false);
    CHECK(header < rename && rename < frame);
    CHECK_EQUAL(e[header].offset, 0);
    CHECK_EQUAL(e[header].length, SEGMENT_HEADER);
    CHECK(frame < old && old < new); /* no sync at the rotation itself */
    CHECK(new < directory && directory < count);
    CHECK(find(e, count, directory, FAULTY_WRITE, temporary, true) < count);
    lab_expect(q, 16);
    lab_close(q);
    CHECK_EQUAL(faulty_lies(f), 0);
    faulty_free(f);
}

TEST(a_new_directory_is_durable_in_its_parent_before_it_has_a_segment)
{
    struct faulty *f = faulty_new();
    const struct faulty_event *e;
    faulty_record(f);
    quplog *q = lab_open(f, lab_path("log"));
    size_t count = faulty_events(f, &e), synced = 0, written = 0;
    while (synced < count && e[synced].kind != FAULTY_DIRECTORY)
        synced++;
    while (written < count && !strstr(e[written].name, ".log"))
        written++;
    CHECK(synced < written);
    CHECK(written < count);
    CHECK_TEXT(e[synced].name, "..");
    lab_close(q);
    faulty_free(f);
}

TEST(a_sync_covers_every_segment_since_the_last_one)
{
    struct faulty *f = faulty_new();
    const struct faulty_event *e;
    quplog *q = lab_open(f, lab_path("log"));
    REQUIRE(quplog_sync(q) == QUPLOG_OK);
    lab_put_many(q, 0, 50, BIG);
    size_t segments = lab_segments(lab_path("log")).count;
    REQUIRE(segments >= 5);
    faulty_record(f);
    REQUIRE(quplog_sync(q) == QUPLOG_OK);
    size_t count = faulty_events(f, &e);
    CHECK_EQUAL(count, segments + 1); /* each file once, then the directory */
    CHECK_EQUAL(e[count - 1].kind, FAULTY_DIRECTORY);
    CHECK(faulty_durable(f, lab_stats(q).tail_lsn));
    faulty_record(f);
    lab_put(q, 50, SMALL, true);
    count = faulty_events(f, &e);
    size_t syncs = 0;
    for (size_t i = 0; i < count; i++)
        syncs += e[i].kind == FAULTY_SYNC || e[i].kind == FAULTY_DIRECTORY;
    CHECK_EQUAL(syncs, 1); /* nothing is owed any more */
    lab_close(q);
    CHECK_EQUAL(faulty_lies(f), 0);
    faulty_free(f);
}

TEST(a_frame_larger_than_a_segment_gets_its_own)
{
    const char *path = lab_path("log");
    struct stat stat;
    char file[LAB_PATH];
    quplog *q = lab_open(NULL, path);
    lab_put(q, 0, SMALL, false);
    lab_put(q, 1, 3 * LAB_SEGMENT, true);
    lab_put(q, 2, SMALL, true);
    struct lab_list list = lab_segments(path);
    REQUIRE(list.count == 3);
    lab_segment_path(path, list.base[1], file);
    REQUIRE(lstat(file, &stat) == 0);
    CHECK_EQUAL(list.base[2] - list.base[1], stat.st_size);
    lab_expect(q, 3);
    lab_close(q);
    q = lab_open(NULL, path);
    lab_expect(q, 3);
    lab_close(q);
}

TEST(a_segment_that_is_being_read_stays_open_however_many_others_are_read)
{
    quplog *q = lab_open(NULL, lab_path("log"));
    const struct io *io = io_system();
    struct files *files = &q->core->log.files;
    struct file_use use;
    struct io_stat before, after;
    lab_put_many(q, 0, 400, BIG);
    struct lab_list list = lab_segments(lab_path("log"));
    REQUIRE(list.count > 36); /* more than are kept open */
    uint64_t head = list.base[list.count - 1];
    REQUIRE(files_borrow(files, SEGMENT_HEADER, head, &use) == QUPLOG_OK);
    REQUIRE(io->stat(io->world, use.fd, &before) == 0);
    for (size_t i = 1; i < list.count; i++) {
        char frame[FRAME_HEADER];
        CHECK_EQUAL(files_read(files, list.base[i] + SEGMENT_HEADER, head, frame, sizeof frame),
                    QUPLOG_OK);
    }
    CHECK_EQUAL(io->stat(io->world, use.fd, &after), 0);
    CHECK_EQUAL(after.inode, before.inode);
    files_give_back(files, &use);
    lab_close(q);
}

TEST(a_new_segment_says_what_was_durable_when_it_was_made)
{
    const struct io *io = io_system();
    quplog *q = lab_open(NULL, lab_path("log"));
    lab_put_many(q, 0, 5, BIG);
    REQUIRE(quplog_sync(q) == QUPLOG_OK);
    uint64_t synced = lab_stats(q).synced_lsn;
    lab_put_many(q, 5, 15, BIG);
    struct lab_list list = lab_segments(lab_path("log"));
    struct segment_header header;
    enum segment_verdict verdict;
    REQUIRE(list.count == 2);
    int fd = segment_open(io, q->core->dir, list.base[1], IO_READ);
    REQUIRE(fd >= 0);
    CHECK_EQUAL(segment_read_header(io, fd, &header, &verdict), 0);
    CHECK_EQUAL(verdict, SEGMENT_VALID);
    CHECK_EQUAL(header.synced_lsn, synced);
    CHECK_EQUAL(header.prev_end, list.base[1]);
    close(fd);
    lab_close(q);
}

TEST(a_segment_is_zero_to_its_end)
{
    quplog *q = lab_open(NULL, lab_path("log"));
    lab_put(q, 0, SMALL, false);
    struct lab_file file = lab_load(lab_path("log/0000000000000000.log"));
    CHECK_EQUAL(file.length, LAB_SEGMENT);
    for (size_t i = lab_stats(q).tail_lsn; i < file.length; i++)
        REQUIRE(file.data[i] == 0);
    free(file.data);
    lab_close(q);
}

/* ---- every call fails once ---- */

enum { PUTS = 14, DONE = PUTS / 2 };

/* What a caller was told of each thing that it did: 0 not tried, 1 done, 2 nothing happened,
 * 3 unknown. */
enum told { NOT_TRIED, DONE_IT, NOTHING, UNKNOWN };

struct story {
    enum told put[PUTS];
    enum told finish[PUTS];
    int failures;
    int after; /* failures of verbs after the first one */
};

static enum told tell(struct story *s, int status)
{
    if (status != QUPLOG_OK && s->failures++ > 0)
        s->after++;
    if (status == QUPLOG_OK)
        return DONE_IT;
    return status == QUPLOG_FAILED ? UNKNOWN : NOTHING;
}

/* Which job a claim is of. */
static unsigned number_of(const quplog_claim *claim)
{
    char text[32] = {0};
    unsigned number = PUTS;
    memcpy(text, claim->payload.data, claim->payload.length < 31 ? claim->payload.length : 31);
    return sscanf(text, "job %u.", &number) == 1 && number < PUTS ? number : PUTS;
}

static void finish_some(quplog *q, struct story *s)
{
    quplog_worker *worker;
    uint32_t task;
    if (quplog_register(q, "work", 4, &task) || quplog_worker_new(q, &worker))
        return;
    for (int i = 0; i < DONE + 1; i++) {
        int status = quplog_work(worker, QUPLOG_NO_OUTCOME, 0, "", 0, QUPLOG_CLAIM_NEXT);
        const quplog_claim *claim = quplog_worker_claim(worker);
        if (tell(s, status == QUPLOG_EMPTY ? QUPLOG_OK : status) != DONE_IT || status)
            continue;
        unsigned number = claim->payload_status ? PUTS : number_of(claim);
        int flags = i % 3 == 0 ? QUPLOG_SYNC : 0;
        (void)quplog_work(worker, QUPLOG_RUN_SUCCEEDED, 0, "well", 4, flags);
        status = claim->finish_status;
        enum told told = tell(s, status);
        if (told == NOTHING) { /* the worker keeps its claim: say it again */
            (void)quplog_work(worker, QUPLOG_RUN_SUCCEEDED, 0, "well", 4, flags);
            told = tell(s, claim->finish_status);
        }
        if (number < PUTS)
            s->finish[number] = told;
    }
    quplog_worker_free(worker);
}

static void live(quplog *q, struct story *s)
{
    for (unsigned i = 0; i < PUTS; i++)
        s->put[i] = tell(s, lab_try_put(q, i, i % 2 ? BIG : 4 * BIG, i % 4 == 0));
    finish_some(q, s);
}

static void compare(const char *path, const struct story *s)
{
    static struct lab_jobs jobs;
    quplog *q = lab_open(NULL, path);
    lab_read(q, &jobs);
    CHECK(!jobs.wrong);
    for (unsigned i = 0; i < PUTS; i++) {
        if (s->put[i] == DONE_IT)
            CHECK(jobs.state[i]);
        if (s->put[i] == NOTHING || s->put[i] == NOT_TRIED)
            CHECK(!jobs.state[i]);
        if (s->finish[i] == DONE_IT)
            CHECK_EQUAL(jobs.state[i], QUPLOG_SUCCEEDED);
        else if (s->finish[i] != UNKNOWN && jobs.state[i])
            CHECK_EQUAL(jobs.state[i], QUPLOG_READY);
    }
    lab_put(q, PUTS, SMALL, true); /* it lives */
    lab_close(q);
}

enum way { FAIL_ONCE, SHORT_THEN_FAIL, SHORT_ONLY, FAIL_ONWARDS };

static void order(struct faulty *f, enum faulty_kind kind, uint64_t n, int error, enum way way)
{
    if (way == FAIL_ONCE)
        faulty_fail(f, kind, n, error);
    else if (way == FAIL_ONWARDS)
        faulty_fail_from(f, kind, n, error);
    else
        faulty_short(f, n, 100, way == SHORT_ONLY ? 0 : error);
}

/* The story with the n-th call failing; false when there was no n-th call. */
static bool fail_at(enum faulty_kind kind, uint64_t n, int error, enum way way)
{
    struct faulty *f = faulty_new();
    struct story s = {.failures = 0};
    quplog *q = NULL;
    quplog_report report;
    lab_remove(lab_path("log"));
    order(f, kind, n, error, way);
    int status = lab_try(f, lab_path("log"), &q, &report);
    bool opened = status == QUPLOG_OK;
    if (opened) {
        live(q, &s);
        /* What a kill leaves, and what a close leaves. */
        lab_photograph(lab_path("log"), lab_path("killed"));
        lab_leave(q);
    }
    bool happened = faulty_failed(f);
    CHECK_EQUAL(faulty_lies(f), 0);
    /* A failed write is over when it has failed; a failed sync is not. */
    bool poisons = kind == FAULTY_SYNC || kind == FAULTY_DIRECTORY || kind == FAULTY_STAT;
    if (way == FAIL_ONCE && !poisons)
        CHECK(s.after == 0);
    if (way == SHORT_ONLY)
        CHECK(opened && s.failures == 0);
    faulty_free(f);
    if (opened)
        compare(lab_path("killed"), &s);
    compare(lab_path("log"), &s);
    return happened;
}

static void fail_everywhere(enum faulty_kind kind, int error, enum way way, uint64_t least)
{
    uint64_t n = 1;
    while (test_now.failures == 0 && fail_at(kind, n, error, way))
        n++;
    if (test_now.failures)
        printf("    call %" PRIu64 " of kind %d, errno %d, way %d\n", n, (int)kind, -error, way);
    CHECK(n > least);
}

TEST(every_write_that_fails_leaves_the_log_whole)
{
    fail_everywhere(FAULTY_WRITE, -EIO, FAIL_ONCE, 30);
}

TEST(every_write_on_a_full_disk_leaves_the_log_whole)
{
    fail_everywhere(FAULTY_WRITE, -ENOSPC, FAIL_ONCE, 30);
}

TEST(a_disk_that_stays_full_loses_nothing_that_was_promised)
{
    fail_everywhere(FAULTY_WRITE, -ENOSPC, FAIL_ONWARDS, 30);
}

TEST(every_short_write_is_continued)
{
    fail_everywhere(FAULTY_WRITE, 0, SHORT_ONLY, 30);
}

TEST(every_half_written_frame_is_cleaned_up)
{
    fail_everywhere(FAULTY_WRITE, -ENOSPC, SHORT_THEN_FAIL, 30);
}

TEST(every_failed_sync_keeps_what_was_acknowledged)
{
    fail_everywhere(FAULTY_SYNC, -EIO, FAIL_ONCE, 4);
}

TEST(every_failed_sync_of_the_directory_keeps_what_was_acknowledged)
{
    fail_everywhere(FAULTY_DIRECTORY, -EIO, FAIL_ONCE, 2);
}

TEST(every_failed_rename_leaves_the_log_whole)
{
    fail_everywhere(FAULTY_RENAME, -ENOSPC, FAIL_ONCE, 3);
}

TEST(every_failed_open_leaves_the_log_whole)
{
    fail_everywhere(FAULTY_OPEN, -EMFILE, FAIL_ONCE, 6);
}

TEST(every_failed_stat_is_like_a_failed_sync)
{
    fail_everywhere(FAULTY_STAT, -EIO, FAIL_ONCE, 4);
}

TEST(a_full_disk_is_told_as_full_and_the_log_works_again_when_there_is_room)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("log"));
    lab_put_many(q, 0, 5, BIG);
    quplog_stats before = lab_stats(q);
    faulty_fail_from(f, FAULTY_WRITE, 1, -ENOSPC);
    for (int i = 0; i < 20; i++)
        CHECK_EQUAL(lab_try_put(q, 5, BIG, i % 2), QUPLOG_FULL);
    lab_expect(q, 5);
    CHECK_EQUAL(lab_stats(q).tail_lsn, before.tail_lsn);
    CHECK_EQUAL(lab_stats(q).next_id, before.next_id);
    faulty_behave(f);
    lab_put_many(q, 5, 25, BIG);
    lab_expect(q, 25);
    lab_close(q);
    q = lab_open(NULL, lab_path("log"));
    lab_expect(q, 25);
    lab_close(q);
    faulty_free(f);
}

TEST(a_batch_that_could_not_be_written_is_tried_again_as_a_whole)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("log"));
    quplog_batch *batch = quplog_batch_new();
    uint64_t first, lsn;
    REQUIRE(batch);
    REQUIRE(quplog_batch_put(batch, &LAB_SPEC, "job 0.", 6, 0) == QUPLOG_OK);
    REQUIRE(quplog_batch_put(batch, &LAB_SPEC, "job 1.", 6, 0) == QUPLOG_OK);
    faulty_fail_from(f, FAULTY_WRITE, 1, -ENOSPC);
    CHECK_EQUAL(quplog_commit(q, batch, 0, &first, &lsn), QUPLOG_FULL);
    faulty_behave(f);
    lab_expect(q, 0);
    CHECK_EQUAL(quplog_commit(q, batch, 0, &first, &lsn), QUPLOG_OK);
    lab_expect(q, 2);
    CHECK_EQUAL(quplog_commit(q, batch, 0, &first, &lsn), QUPLOG_OK); /* it is empty now */
    lab_expect(q, 2);
    lab_put(q, 2, SMALL, false); /* its id is none of theirs */
    lab_expect(q, 3);
    quplog_batch_free(batch);
    lab_close(q);
    faulty_free(f);
}

TEST(each_job_of_a_batch_is_told_with_its_own_id)
{
    enum { JOBS = 3 };
    quplog *q = lab_open(NULL, lab_path("log"));
    quplog_batch *batch = quplog_batch_new();
    quplog_reader *reader = NULL;
    quplog_report report;
    quplog_record record;
    uint64_t first, lsn, told = 0;
    REQUIRE(batch);
    for (int i = 0; i < JOBS; i++)
        REQUIRE(quplog_batch_put(batch, &LAB_SPEC, "job", 3, 0) == QUPLOG_OK);
    REQUIRE(quplog_commit(q, batch, 0, &first, &lsn) == QUPLOG_OK);
    REQUIRE(quplog_reader_open(lab_path("log"), 0, &reader, &report) == QUPLOG_OK);
    while (quplog_reader_next(reader, &record) == QUPLOG_OK)
        if (record.type == QUPLOG_OP_PUT)
            CHECK_EQUAL(record.id, first + told++);
    CHECK_EQUAL(told, JOBS);
    quplog_reader_close(reader);
    quplog_batch_free(batch);
    lab_close(q);
}

TEST(a_half_written_frame_never_shows_behind_a_shorter_one)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("log"));
    lab_put(q, 0, SMALL, false);
    faulty_short(f, 1, 4000, -EIO);
    CHECK_EQUAL(lab_try_put(q, 1, BIG, false), -EIO);
    faulty_behave(f);
    lab_put(q, 1, SMALL, false);
    lab_photograph(lab_path("log"), lab_path("killed"));
    struct lab_file file = lab_load(lab_path("killed/0000000000000000.log"));
    for (size_t i = lab_stats(q).tail_lsn; i < file.length; i++)
        REQUIRE(file.data[i] == 0);
    free(file.data);
    lab_close(q);
    q = lab_open(NULL, lab_path("killed"));
    lab_expect(q, 2);
    CHECK(!lab_exists(lab_path("killed"), "quarantine"));
    lab_close(q);
    faulty_free(f);
}

TEST(a_log_that_stops_in_its_past_cannot_be_opened_for_writing)
{
    quplog *q;
    quplog_report report;
    quplog_options options = lab_options();
    options.until_lsn = 5000;
    CHECK_EQUAL(open_with(io_system(), lab_path("log"), &options, &q, &report), QUPLOG_INVALID);
    options.until_lsn = 0;
    options.until_us = 1;
    CHECK_EQUAL(open_with(io_system(), lab_path("log"), &options, &q, &report), QUPLOG_INVALID);
    CHECK(!lab_exists(test_directory(), "log"));
}

TEST(a_descriptor_is_never_mistaken_for_a_status)
{
    int held[24];
    quplog_report report;
    lab_close(lab_open(NULL, lab_path("log")));
    for (int i = 0; i < 24; i++) { /* the directory's is one higher each time */
        quplog *q;
        CHECK_EQUAL(lab_try(NULL, lab_path("log"), &q, &report), QUPLOG_OK);
        lab_close(q);
        held[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        REQUIRE(held[i] >= 0);
    }
    for (int i = 0; i < 24; i++)
        close(held[i]);
}

/* ---- who comes second ---- */

static int try_at_once(struct faulty *f, quplog **out, quplog_report *report)
{
    quplog_options options = lab_options();
    options.lock_timeout_us = 0;
    memset(report, 0, sizeof *report);
    return open_with(faulty_io(f), lab_path("log"), &options, out, report);
}

TEST(a_second_process_joins_and_sees_what_the_first_has_put)
{
    struct faulty *one = faulty_new(), *two = faulty_new();
    quplog *q = lab_open(one, lab_path("log")), *other = NULL;
    quplog_report report;
    lab_put(q, 0, SMALL, false);
    CHECK_EQUAL(lab_try(two, lab_path("log"), &other, &report), QUPLOG_OK);
    CHECK_EQUAL(report.ending, QUPLOG_SHARED);
    lab_put(other, 1, SMALL, true);
    lab_expect(q, 2);
    lab_expect(other, 2);
    CHECK_EQUAL(lab_stats(q).epoch, 1);
    lab_close(q); /* it is not the last: no goodbye */
    lab_put(other, 2, SMALL, false);
    lab_close(other);
    CHECK_EQUAL(lab_try(one, lab_path("log"), &q, &report), QUPLOG_OK);
    CHECK_EQUAL(report.ending, QUPLOG_CLEAN);
    lab_expect(q, 3);
    lab_close(q);
    faulty_free(one);
    faulty_free(two);
}

struct latecomer {
    struct faulty *f;
    int status;
    quplog_report report;
};

static void try_to_join(void *context)
{
    struct latecomer *late = context;
    quplog *q;
    if (late->status == QUPLOG_OK) /* else it has been told already */
        late->status = try_at_once(late->f, &q, &late->report);
}

/* The page is put back to where its writer would have left it, had he died after the write. */
TEST(a_trim_that_a_dead_writer_left_whole_says_where_the_log_begins)
{
    struct faulty *one = faulty_new(), *two = faulty_new();
    quplog *writer = lab_open(one, lab_path("log")), *next = lab_open(two, lab_path("log"));
    struct control_page *page = writer->core->control.page;
    lab_put_many(writer, 0, 15, BIG);
    lab_put(next, 15, SMALL, true); /* it has seen this much */
    uint64_t begins = lab_segments(lab_path("log")).base[1];
    REQUIRE(commit_begin(writer->core, COMMIT_DECIDE) == QUPLOG_OK);
    uint64_t before = control_older(&page->tail);
    CHECK_EQUAL(commit_trim(writer->core, begins), QUPLOG_OK);
    uint64_t after = control_older(&page->tail);
    control_write_number(&page->first_lsn, 0);
    control_write_number(&page->tail, before);
    atomic_store(&page->dirty, after);
    CHECK_EQUAL(lock_release(&writer->core->lock, LOCK_APPEND), 0); /* as his death does */
    lab_put(next, 16, SMALL, false);
    CHECK_EQUAL(control_older(&page->first_lsn), begins);
    CHECK(control_older(&page->tail) > after);
    commit_end(writer->core);
    lab_leave(writer);
    lab_leave(next);
    faulty_free(one);
    faulty_free(two);
}

TEST(nobody_joins_while_the_first_recovers)
{
    struct faulty *one = faulty_new();
    struct latecomer late = {.f = faulty_new()};
    lab_close(lab_open(one, lab_path("log")));
    faulty_before(one, FAULTY_WRITE, try_to_join, &late);
    quplog *q = lab_open(one, lab_path("log"));
    faulty_before(one, FAULTY_WRITE, NULL, NULL);
    CHECK_EQUAL(late.status, QUPLOG_LOCKED);
    CHECK(strstr(late.report.message, "process"));
    lab_close(q);
    faulty_free(one);
    faulty_free(late.f);
}

TEST(nobody_joins_a_log_that_failed_until_all_have_let_go)
{
    struct faulty *one = faulty_new(), *two = faulty_new(), *three = faulty_new();
    quplog *q = lab_open(one, lab_path("log")), *idle = lab_open(two, lab_path("log")), *new;
    quplog_report report;
    lab_put(q, 0, SMALL, true);
    faulty_fail(one, FAULTY_SYNC, 1, -EIO);
    CHECK_EQUAL(lab_try_put(q, 1, SMALL, true), QUPLOG_FAILED);
    int status; /* both let go by themselves, as soon as their threads have seen it */
    while ((status = lab_try(three, lab_path("log"), &new, &report)) == QUPLOG_LOCKED)
        sched_yield();
    REQUIRE(status == QUPLOG_OK);
    CHECK_EQUAL(lab_try_put(idle, 2, SMALL, false), QUPLOG_FAILED);
    lab_expect(new, 2);
    lab_close(new);
    lab_leave(q);
    lab_leave(idle);
    faulty_free(one);
    faulty_free(two);
    faulty_free(three);
}

/* Two threads let go of a failed log: the one finds `sync` in use, and while it gives back what it
 * has, the other comes, who had been using it. */
static struct {
    struct io io;
    quplog *q;
    _Atomic bool in_use; /* `sync`, until somebody tries it */
} crossing;

static bool try_and_cross(void *w, struct io_mutex *m)
{
    if (!atomic_load(&crossing.in_use) || m != &crossing.q->core->sync.mutex)
        return io_system()->mutex_trylock(w, m);
    atomic_store(&crossing.in_use, false);
    turn_drop(crossing.q->core);
    return false;
}

/* A flusher would be a third who lets go, at a time of its own. */
static int no_thread(void *w, struct io_thread *thread, void (*run)(void *arg), void *arg)
{
    (void)w, (void)thread, (void)run, (void)arg;
    return -EAGAIN;
}

TEST(two_who_let_go_of_a_failed_log_at_once_do_not_both_leave_it_to_the_other)
{
    crossing.io = *io_system();
    crossing.io.thread_start = no_thread;
    crossing.io.mutex_trylock = try_and_cross;
    quplog_options options = lab_options();
    quplog_report report;
    REQUIRE(open_with(&crossing.io, lab_path("log"), &options, &crossing.q, &report) == QUPLOG_OK);
    atomic_store(&crossing.in_use, true);
    control_fail(&crossing.q->core->control);
    turn_drop(crossing.q->core);
    CHECK(!atomic_load(&crossing.in_use));
    CHECK_EQUAL(crossing.q->core->lock.fd, -1);
    lab_leave(crossing.q);
}

/* The failure is seen, then the others let go, then this one recovers: all in one opening. */
static struct {
    struct io io;
    _Atomic(quplog *) idle; /* lets go at the first pause */
} patient;

static void let_go(void)
{
    quplog *idle = atomic_exchange(&patient.idle, NULL);
    if (idle)
        lab_leave(idle);
}

static int pause_and_let_go(void *w, uint32_t *word, uint32_t expected, int64_t deadline_us,
                            int flags, uint32_t bits)
{
    let_go();
    return io_system()->futex_wait(w, word, expected, deadline_us, flags, bits);
}

TEST(who_waits_for_a_failed_log_recovers_it_when_it_is_free)
{
    struct faulty *one = faulty_new(), *two = faulty_new(), *three = faulty_new();
    quplog *q = lab_open(one, lab_path("log")), *new;
    quplog_options options = lab_options();
    quplog_report report;
    options.lock_timeout_us = 5 * INT64_C(1000000);
    patient.io = *faulty_io(three);
    patient.io.futex_wait = pause_and_let_go;
    patient.idle = lab_open(two, lab_path("log"));
    lab_put(q, 0, SMALL, true);
    faulty_fail(one, FAULTY_SYNC, 1, -EIO);
    CHECK_EQUAL(lab_try_put(q, 1, SMALL, true), QUPLOG_FAILED);
    REQUIRE(open_with(&patient.io, lab_path("log"), &options, &new, &report) == QUPLOG_OK);
    let_go(); /* if it had done so by itself before the first pause */
    lab_put(new, 2, SMALL, true);
    lab_expect(new, 3);
    lab_close(new);
    lab_leave(q);
    faulty_free(one);
    faulty_free(two);
    faulty_free(three);
}

/* Two make the log at once: the page that the one fills must not be one that the other uses. */
struct rival {
    struct faulty *f;
    quplog *q;
    int status;
    bool tried;
};

static void open_and_put(void *context)
{
    struct rival *rival = context;
    quplog_report report;
    if (rival->tried)
        return;
    rival->tried = true;
    rival->status = try_at_once(rival->f, &rival->q, &report);
    if (rival->status == QUPLOG_OK)
        rival->status = lab_try_put(rival->q, 0, SMALL, true);
}

TEST(a_page_is_never_emptied_under_those_who_use_it)
{
    struct faulty *one = faulty_new();
    struct rival rival = {.f = faulty_new()};
    quplog_report report;
    quplog *q = NULL;
    faulty_before(one, FAULTY_WRITE, open_and_put, &rival); /* the first write fills the page */
    int status = lab_try(one, lab_path("log"), &q, &report);
    faulty_before(one, FAULTY_WRITE, NULL, NULL);
    CHECK(rival.tried);
    CHECK(status == QUPLOG_OK && (rival.status == QUPLOG_OK || rival.status == QUPLOG_LOCKED));
    if (status == QUPLOG_OK)
        CHECK_EQUAL(lab_try_put(q, 1, SMALL, true), QUPLOG_OK);
    if (rival.q) {
        CHECK_EQUAL(lab_try_put(rival.q, 2, SMALL, true), QUPLOG_OK);
        lab_leave(rival.q);
    }
    if (status == QUPLOG_OK)
        lab_close(q);
    faulty_free(one);
    faulty_free(rival.f);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(an_id_or_a_segment_that_nobody_would_read_again_is_not_given),
        LISTED(a_new_segment_is_written_under_a_temporary_name_and_synced_before_it_is_promised),
        LISTED(a_new_directory_is_durable_in_its_parent_before_it_has_a_segment),
        LISTED(a_sync_covers_every_segment_since_the_last_one),
        LISTED(a_frame_larger_than_a_segment_gets_its_own),
        LISTED(a_segment_that_is_being_read_stays_open_however_many_others_are_read),
        LISTED(a_new_segment_says_what_was_durable_when_it_was_made),
        LISTED(a_segment_is_zero_to_its_end),
        LISTED(every_write_that_fails_leaves_the_log_whole),
        LISTED(every_write_on_a_full_disk_leaves_the_log_whole),
        LISTED(a_disk_that_stays_full_loses_nothing_that_was_promised),
        LISTED(every_short_write_is_continued),
        LISTED(every_half_written_frame_is_cleaned_up),
        LISTED(every_failed_sync_keeps_what_was_acknowledged),
        LISTED(every_failed_sync_of_the_directory_keeps_what_was_acknowledged),
        LISTED(every_failed_rename_leaves_the_log_whole),
        LISTED(every_failed_open_leaves_the_log_whole),
        LISTED(every_failed_stat_is_like_a_failed_sync),
        LISTED(a_full_disk_is_told_as_full_and_the_log_works_again_when_there_is_room),
        LISTED(a_batch_that_could_not_be_written_is_tried_again_as_a_whole),
        LISTED(each_job_of_a_batch_is_told_with_its_own_id),
        LISTED(a_half_written_frame_never_shows_behind_a_shorter_one),
        LISTED(a_log_that_stops_in_its_past_cannot_be_opened_for_writing),
        LISTED(a_descriptor_is_never_mistaken_for_a_status),
        LISTED(a_second_process_joins_and_sees_what_the_first_has_put),
        LISTED(a_trim_that_a_dead_writer_left_whole_says_where_the_log_begins),
        LISTED(nobody_joins_while_the_first_recovers),
        LISTED(nobody_joins_a_log_that_failed_until_all_have_let_go),
        LISTED(two_who_let_go_of_a_failed_log_at_once_do_not_both_leave_it_to_the_other),
        LISTED(who_waits_for_a_failed_log_recovers_it_when_it_is_free),
        LISTED(a_page_is_never_emptied_under_those_who_use_it),
    };
    return RUN(tests, argc, argv);
}
