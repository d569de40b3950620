/* Whoever reads a log (to open it, to look at it, op by op, or to salvage it) while calls fail, or
 * where it holds what no writer of this version has written. */
#include "log_builder.h"
#include "op.h"
#include "reader.h"
#include "scan.h"

enum { BIG = 6000, JOBS = 12 };

/* ---- four who read ---- */

enum who { OPENER, LOOKER, READER, SCANNER, PEOPLE };

static int read_all(const struct io *io, const char *path, uint64_t about)
{
    quplog_reader *reader = NULL;
    quplog_record record;
    int status = reader_open_with(io, path, 0, &reader, NULL);
    if (status)
        return status;
    quplog_reader_about(reader, about);
    while ((status = quplog_reader_skip(reader, 3)) == QUPLOG_OK)
        if ((status = quplog_reader_next(reader, &record)))
            break;
    quplog_reader_close(reader);
    return status;
}

static int scan_all(const struct io *io, const char *path, size_t *damages)
{
    quplog_scan *scan = NULL;
    quplog_damage damage;
    quplog_report report;
    int status = scan_open_with(io, path, true, &scan, NULL);
    *damages = 0;
    if (status)
        return status;
    while ((status = quplog_scan_damage(scan, 5, &damage)) == QUPLOG_OK)
        *damages += damage.kind != QUPLOG_DAMAGE_NONE;
    quplog_scan_report(scan, &report, NULL);
    quplog_scan_close(scan);
    return status;
}

/* The number of jobs, or -1: it could not be opened. */
static int64_t count_jobs(const struct io *io, const char *path, bool read_only, int *status)
{
    quplog *q = NULL;
    quplog_report report = {0};
    quplog_options options = lab_options();
    uint64_t counts[QUPLOG_STATE_COUNT];
    options.read_only = read_only;
    if (read_only)
        options.segment_size = 0;
    *status = open_with(io, path, &options, &q, &report);
    if (*status)
        return -1;
    int64_t jobs = 0;
    bool counted = quplog_counts(q, NULL, 0, counts) == QUPLOG_OK;
    for (int state = 1; counted && state < QUPLOG_STATE_COUNT; state++)
        jobs += (int64_t)counts[state];
    lab_leave(q);
    return counted ? jobs : -1;
}

/* ---- logs of every kind ---- */

/* What a kill leaves of a few segments, of which nothing is known to be durable. */
static uint64_t kill_it(const char *path)
{
    quplog *q = lab_open(NULL, lab_path("living"));
    lab_put_many(q, 0, JOBS, BIG);
    uint64_t tail = lab_stats(q).tail_lsn;
    lab_photograph(lab_path("living"), path);
    lab_close(q);
    lab_remove(lab_path("living"));
    return tail;
}

static uint64_t newest_of(const char *path)
{
    struct lab_list list = lab_segments(path);
    return list.base[list.count - 1];
}

static void store(const char *path, const char *name, const char *bytes, size_t length)
{
    char full[LAB_FULL];
    lab_join(full, path, name);
    lab_store(full, (struct lab_file){(unsigned char *)(uintptr_t)bytes, length});
}

static void make_poisoned(const char *path)
{
    (void)kill_it(path);
    store(path, "poison", "poisoned", 8);
}

static void make_torn(const char *path)
{
    uint64_t tail = kill_it(path);
    lab_spoil(path, newest_of(path), tail - 100);
}

/* Torn, and recovered so; what was given up then stands there once more, and a file of nothing. */
static void make_superseded(const char *path)
{
    make_torn(path);
    uint64_t head = newest_of(path);
    lab_close(lab_open(NULL, path));
    char name[SEGMENT_NAME];
    segment_name(head + (1 << 20), name);
    store(path, name, "nothing", 7);
    segment_name(newest_of(path) + (1 << 20), name);
    store(path, name, "", 0);
    store(path, "poison", "poisoned", 8);
}

static void make_headless(const char *path)
{
    (void)kill_it(path);
    uint64_t head = newest_of(path);
    lab_lose(path, head, head, SEGMENT_HEADER);
}

static void make_corrupt(const char *path)
{
    quplog *q = lab_open(NULL, path);
    lab_put_many(q, 0, JOBS, BIG);
    lab_close(q);
    lab_spoil(path, 0, 20000);
}

/* ---- every call may fail ---- */

struct outcome {
    int status;
    int64_t jobs;
    size_t damages;
};

static struct outcome meet(const struct io *io, const char *path, enum who who)
{
    struct outcome outcome = {.jobs = -1};
    if (who == READER)
        outcome.status = read_all(io, path, 0);
    else if (who == SCANNER)
        outcome.status = scan_all(io, path, &outcome.damages);
    else
        outcome.jobs = count_jobs(io, path, who == LOOKER, &outcome.status);
    return outcome;
}

/* It says that it failed, or found what is there. A scan reads what can't be read as zeros. */
static void check_outcome(const struct outcome *is, const struct outcome *should, enum who who)
{
    if (is->status == -EIO || is->status == QUPLOG_FAILED)
        return;
    CHECK_EQUAL(is->status, should->status);
    if (is->jobs >= 0)
        CHECK_EQUAL(is->jobs, should->jobs);
    CHECK(who != SCANNER || is->damages >= should->damages);
}

static bool fail_once(enum who who, enum faulty_kind kind, uint64_t n, const struct outcome *should)
{
    const char *path = lab_path("tried");
    struct faulty *f = faulty_new();
    lab_photograph(lab_path("log"), path);
    faulty_fail(f, kind, n, -EIO);
    struct outcome outcome = meet(faulty_io(f), path, who);
    bool failed = faulty_failed(f);
    check_outcome(&outcome, &should[who], who);
    faulty_behave(f);
    outcome = meet(faulty_io(f), path, OPENER); /* and nothing is lost by it */
    CHECK_EQUAL(outcome.status, should[OPENER].status);
    CHECK_EQUAL(outcome.jobs, should[OPENER].jobs);
    faulty_free(f);
    lab_remove(path);
    return failed;
}

static void fail_everywhere(void (*make)(const char *path))
{
    struct outcome should[PEOPLE];
    make(lab_path("log"));
    for (int who = 0; who < PEOPLE; who++) {
        lab_photograph(lab_path("log"), lab_path("tried"));
        should[who] = meet(io_system(), lab_path("tried"), (enum who)who);
        lab_remove(lab_path("tried"));
    }
    for (int who = 0; who < PEOPLE; who++)
        for (int kind = 0; kind < FAULTY_KINDS; kind++)
            for (uint64_t n = 1; test_now.failures == 0; n++)
                if (!fail_once((enum who)who, (enum faulty_kind)kind, n, should))
                    break;
    lab_remove(lab_path("log"));
}

TEST(every_failure_while_a_poisoned_log_is_read_is_told_and_loses_nothing)
{
    fail_everywhere(make_poisoned);
}

TEST(every_failure_while_a_torn_log_is_read_is_told_and_loses_nothing)
{
    fail_everywhere(make_torn);
}

TEST(every_failure_while_what_was_given_up_is_set_aside_is_told_and_loses_nothing)
{
    fail_everywhere(make_superseded);
}

TEST(every_failure_while_a_log_without_a_header_is_read_is_told_and_loses_nothing)
{
    fail_everywhere(make_headless);
}

TEST(every_failure_while_a_corrupt_log_is_read_is_told_and_loses_nothing)
{
    fail_everywhere(make_corrupt);
}

/* ---- looked at once more ---- */

struct mender {
    struct faulty *f;
    uint64_t when; /* before which listing of the directory the damage goes */
};

static void mend(void *context)
{
    struct mender *mender = context;
    if (faulty_count(mender->f, FAULTY_LIST) + 1 == mender->when)
        lab_spoil(lab_path("log"), 0, 20000);
}

/* What was half written when it was read is whole when it is looked at again. */
TEST(who_only_reads_looks_again_before_he_calls_it_corrupt)
{
    struct faulty *f = faulty_new();
    int whole = 0, corrupt = 0;
    make_corrupt(lab_path("log"));
    for (uint64_t when = 2; when < 6; when++) {
        struct mender mender = {f, when};
        faulty_behave(f);
        faulty_before(f, FAULTY_LIST, mend, &mender);
        int status = read_all(faulty_io(f), lab_path("log"), 0);
        faulty_before(f, FAULTY_LIST, NULL, NULL);
        whole += status == QUPLOG_EMPTY;
        corrupt += status == QUPLOG_CORRUPT;
        if (status == QUPLOG_EMPTY)
            lab_spoil(lab_path("log"), 0, 20000);
    }
    CHECK(whole > 0 && whole + corrupt == 4); /* the last may come too late */
    faulty_free(f);
}

/* ---- what this version does not write ---- */

/* The ops of a frame, with good sums. */
static void build_bytes(struct builder *b, const struct buffer *ops, uint32_t count,
                        uint64_t first_id)
{
    unsigned char bytes[FRAME_HEADER + 1024];
    struct frame frame = {
        .kind = FRAME_OPS, .op_count = count, .time_us = 1000, .first_id = first_id};
    REQUIRE(ops->length <= 1024);
    memcpy(bytes + FRAME_HEADER, ops->data, ops->length);
    frame.length = (uint32_t)(FRAME_HEADER + ops->length);
    frame_seal(bytes, &frame, crc32c(0, ops->data, ops->length), b->next, b->segment.header.salt);
    REQUIRE(pwrite(b->segment.fd, bytes, frame.length, (off_t)b->next) == (ssize_t)frame.length);
    b->next += frame.length;
}

static void build_cancels(struct builder *b, unsigned char type, unsigned char flags,
                          uint32_t count)
{
    struct buffer ops = {0};
    REQUIRE(op_encode_cancel(&ops, 1) == QUPLOG_OK);
    REQUIRE(op_encode_cancel(&ops, 2) == QUPLOG_OK);
    ops.data[0] = type;
    ops.data[1] = flags;
    build_bytes(b, &ops, count, 0);
    buffer_free(&ops);
}

TEST(ops_of_a_newer_version_are_unsupported_or_skipped_and_never_damaged)
{
    struct builder b;
    size_t damages;
    build_begin(&b);
    build_cancels(&b, 99, OP_SKIPPABLE, 2);
    CHECK_EQUAL(read_all(io_system(), test_directory(), 0), QUPLOG_EMPTY);
    CHECK_EQUAL(read_all(io_system(), test_directory(), 1), QUPLOG_EMPTY);
    CHECK_EQUAL(scan_all(io_system(), test_directory(), &damages), QUPLOG_EMPTY);
    CHECK_EQUAL(damages, 0);
    build_cancels(&b, 99, 0, 2);
    CHECK_EQUAL(read_all(io_system(), test_directory(), 0), QUPLOG_UNSUPPORTED);
    CHECK_EQUAL(scan_all(io_system(), test_directory(), &damages), QUPLOG_UNSUPPORTED);
    build_end(&b);
}

TEST(ops_that_no_writer_writes_are_damage)
{
    struct builder b;
    size_t damages;
    struct buffer ops = {0};
    struct op_put put = {.job = {.task = {(const unsigned char *)"t", 1},
                                 .queue = {(const unsigned char *)"q", 1}}};
    build_begin(&b);
    build_cancels(&b, QUPLOG_OP_CANCEL, 0, 3); /* it says that there are more */
    REQUIRE(op_encode_put(&ops, &put) == QUPLOG_OK);
    build_bytes(&b, &ops, 1, 0); /* a job without an id */
    build_bytes(&b, &ops, 1, UINT64_C(1) << OP_ID_BITS); /* or with one that nobody can have */
    build_cancels(&b, QUPLOG_OP_COPY, 0, 2);
    CHECK_EQUAL(scan_all(io_system(), test_directory(), &damages), QUPLOG_EMPTY);
    CHECK_EQUAL(damages, 4);
    CHECK_EQUAL(read_all(io_system(), test_directory(), 0), QUPLOG_CORRUPT);
    buffer_free(&ops);
    build_end(&b);
}

/* ---- what may not be looked at ---- */

TEST(a_log_is_made_where_the_directory_above_can_be_neither_read_nor_synced)
{
    struct faulty *f = faulty_new();
    static const struct {
        enum faulty_kind kind;
        int status;
    } refused[] = {{FAULTY_OPEN, -EACCES}, {FAULTY_DIRECTORY, -EINVAL}, {FAULTY_DIRECTORY, -EROFS}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        size_t made = 0;
        for (uint64_t n = 1; n < 12; n++) {
            int status;
            faulty_fail(f, refused[i].kind, n, refused[i].status);
            made += count_jobs(faulty_io(f), lab_path("log"), false, &status) == 0 &&
                    faulty_failed(f);
            CHECK(status == QUPLOG_OK || status == refused[i].status || status == QUPLOG_FAILED);
            lab_remove(lab_path("log"));
        }
        CHECK(made > 0);
    }
    faulty_free(f);
}

TEST(a_scan_is_alone_where_nobody_can_write_and_asks_where_it_may_not)
{
    size_t damages;
    struct faulty *f = faulty_new();
    make_torn(lab_path("log"));
    faulty_fail(f, FAULTY_OPEN, 2, -EROFS);
    CHECK_EQUAL(scan_all(faulty_io(f), lab_path("log"), &damages), QUPLOG_EMPTY);
    CHECK(faulty_failed(f));
    faulty_fail(f, FAULTY_OPEN, 2, -EACCES);
    CHECK_EQUAL(scan_all(faulty_io(f), lab_path("log"), &damages), -EACCES);
    faulty_free(f);
}

TEST(an_op_that_can_not_be_loaded_again_is_said_to_be_so)
{
    struct faulty *f = faulty_new();
    quplog_scan *scan;
    quplog_scanned found;
    quplog_bytes op;
    make_torn(lab_path("log"));
    REQUIRE(scan_open_with(faulty_io(f), lab_path("log"), false, &scan, NULL) == QUPLOG_OK);
    REQUIRE(quplog_scan_next(scan, &found) == QUPLOG_OK);
    uint64_t lsn = found.record.lsn;
    size_t length = found.op.length;
    CHECK_EQUAL(quplog_scan_load(scan, lsn, QUPLOG_FRAME_MAX + 1, found.check, &op),
                QUPLOG_CORRUPT);
    faulty_fail(f, FAULTY_OPEN, 1, -EACCES);
    CHECK_EQUAL(quplog_scan_load(scan, lsn, length, found.check, &op), -EACCES);
    faulty_fail(f, FAULTY_READ, 1, -EACCES);
    CHECK_EQUAL(quplog_scan_load(scan, lsn, length, found.check, &op), -EACCES);
    faulty_behave(f);
    CHECK_EQUAL(quplog_scan_load(scan, lsn, length, found.check, &op), QUPLOG_OK);
    quplog_scan_close(scan);
    faulty_free(f);
}

/* ---- copies ---- */

TEST(of_the_copies_of_a_segment_one_is_read_whatever_their_names)
{
    static const char *const names[] = {"0000000000000000.log", "0000000000abc000.log",
                                        "0000000000001230.log", "00000000000fff00.log"};
    size_t damages;
    quplog *q = lab_open(NULL, lab_path("log"));
    lab_put_many(q, 0, 5, 100);
    lab_close(q);
    char from[LAB_FULL], to[LAB_FULL];
    lab_join(from, lab_path("log"), names[0]);
    struct lab_file file = lab_load(from);
    for (size_t i = 1; i < 4; i++) {
        lab_join(to, lab_path("log"), names[i]);
        lab_store(to, file);
    }
    CHECK_EQUAL(scan_all(io_system(), lab_path("log"), &damages), QUPLOG_EMPTY);
    CHECK_EQUAL(damages, 3); /* three copies */
    lab_join(to, lab_path("log"), names[1]);
    lab_lose(lab_path("log"), 0xabc000, 0xabc000, SEGMENT_HEADER); /* one of them is none */
    CHECK_EQUAL(scan_all(io_system(), lab_path("log"), &damages), QUPLOG_EMPTY);
    CHECK(damages >= 3);
    REQUIRE(unlink(from) == 0);
    CHECK_EQUAL(scan_all(io_system(), lab_path("log"), &damages), QUPLOG_EMPTY);
    CHECK(damages >= 2); /* a wrong name, and a copy */
    free(file.data);
}

/* ---- where nothing is, and where to begin ---- */

TEST(a_directory_that_is_not_there_or_empty_is_no_log)
{
    size_t damages;
    CHECK_EQUAL(read_all(io_system(), lab_path("none"), 0), -ENOENT);
    CHECK_EQUAL(scan_all(io_system(), lab_path("none"), &damages), -ENOENT);
    int status;
    CHECK_EQUAL(read_all(io_system(), test_directory(), 0), QUPLOG_NOT_A_LOG);
    CHECK_EQUAL(count_jobs(io_system(), test_directory(), true, &status), -1);
    CHECK_EQUAL(status, QUPLOG_NOT_A_LOG);
    CHECK_EQUAL(scan_all(io_system(), test_directory(), &damages), QUPLOG_NOT_A_LOG);
    quplog_reader_close(NULL);
    quplog_scan_close(NULL);
}

TEST(a_reader_begins_where_it_is_told_and_keeps_to_one_job)
{
    quplog_reader *reader;
    quplog_record record, first = {0};
    quplog_report report;
    uint64_t size;
    const char *path = lab_path("log");
    lab_close(lab_open(NULL, path));
    quplog *q = lab_open(NULL, path);
    lab_put_many(q, 0, JOBS, BIG);
    lab_close(q);
    REQUIRE(quplog_reader_open(path, 0, &reader, NULL) == QUPLOG_OK);
    quplog_reader_about(reader, 7);
    size_t found = 0;
    while (quplog_reader_next(reader, &record) == QUPLOG_OK) {
        CHECK(record.id == 0 || record.id == 7);
        if (record.id == 7) {
            first = record;
            found++;
        }
    }
    quplog_reader_report(reader, &report, &size);
    CHECK(size >= report.bytes);
    quplog_reader_close(reader);
    REQUIRE(found == 1);
    REQUIRE(quplog_reader_open(path, first.frame_lsn, &reader, &report) == QUPLOG_OK);
    REQUIRE(quplog_reader_next(reader, &record) == QUPLOG_OK);
    CHECK_EQUAL(record.lsn, first.lsn);
    quplog_reader_close(reader);
    CHECK_EQUAL(quplog_reader_open(path, 100, &reader, &report), QUPLOG_NOT_FOUND);
    CHECK_EQUAL(quplog_reader_open(path, UINT64_MAX, &reader, &report), QUPLOG_NOT_FOUND);
}

/* ---- salvage without a header ---- */

/* Bytes that begin like frames do, one by one, and are none. */
static void fill_with_lookalikes(const char *path, uint64_t base, size_t count)
{
    unsigned char header[FRAME_HEADER] = {0};
    for (size_t i = 0; i < count; i++) {
        memset(header, 0, sizeof header);
        put_u16(header, FRAME_MAGIC);
        header[2] = (unsigned char)(i % 5);
        header[3] = (unsigned char)(i % 7 == 6);
        put_u32(header + 4, (uint32_t)(i % 3 ? FRAME_HEADER : i % 60));
        lab_poke(path, base, base + SEGMENT_HEADER + i * FRAME_HEADER, header, sizeof header);
    }
}

TEST(what_only_looks_like_frames_gives_no_salt_and_costs_no_end_of_time)
{
    size_t damages;
    const char *path = lab_path("log");
    make_headless(path);
    fill_with_lookalikes(path, newest_of(path), 1100);
    CHECK_EQUAL(scan_all(io_system(), path, &damages), QUPLOG_EMPTY);
    CHECK(damages > 0);
}

TEST(a_log_of_many_segments_is_scanned_whole)
{
    size_t damages;
    const char *path = lab_path("log");
    quplog *q = lab_open(NULL, path);
    lab_put_many(q, 0, 20, 60000);
    lab_close(q);
    CHECK(lab_segments(path).count > 16);
    CHECK_EQUAL(scan_all(io_system(), path, &damages), QUPLOG_EMPTY);
    CHECK_EQUAL(damages, 0);
    char name[LAB_FULL];
    lab_join(name, path, "lock");
    REQUIRE(unlink(name) == 0); /* nobody has it open */
    CHECK_EQUAL(scan_all(io_system(), path, &damages), QUPLOG_EMPTY);
}

TEST(a_look_at_the_past_ends_before_the_first_frame_that_is_later)
{
    quplog_report report = {0};
    quplog *q = lab_open(NULL, lab_path("log"));
    lab_put_many(q, 0, 5, 100);
    lab_close(q);
    for (int after = 0; after < 2; after++) {
        quplog_options options = lab_options();
        options.segment_size = 0;
        options.read_only = true;
        options.until_us = after ? INT64_MAX : 1;
        REQUIRE(open_with(io_system(), lab_path("log"), &options, &q, &report) == QUPLOG_OK);
        CHECK_EQUAL(lab_stats(q).jobs, after ? 5 : 0);
        lab_leave(q);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(every_failure_while_a_poisoned_log_is_read_is_told_and_loses_nothing),
        LISTED(every_failure_while_a_torn_log_is_read_is_told_and_loses_nothing),
        LISTED(every_failure_while_what_was_given_up_is_set_aside_is_told_and_loses_nothing),
        LISTED(every_failure_while_a_log_without_a_header_is_read_is_told_and_loses_nothing),
        LISTED(every_failure_while_a_corrupt_log_is_read_is_told_and_loses_nothing),
        LISTED(who_only_reads_looks_again_before_he_calls_it_corrupt),
        LISTED(ops_of_a_newer_version_are_unsupported_or_skipped_and_never_damaged),
        LISTED(ops_that_no_writer_writes_are_damage),
        LISTED(a_log_is_made_where_the_directory_above_can_be_neither_read_nor_synced),
        LISTED(a_scan_is_alone_where_nobody_can_write_and_asks_where_it_may_not),
        LISTED(an_op_that_can_not_be_loaded_again_is_said_to_be_so),
        LISTED(of_the_copies_of_a_segment_one_is_read_whatever_their_names),
        LISTED(a_directory_that_is_not_there_or_empty_is_no_log),
        LISTED(a_reader_begins_where_it_is_told_and_keeps_to_one_job),
        LISTED(a_look_at_the_past_ends_before_the_first_frame_that_is_later),
        LISTED(what_only_looks_like_frames_gives_no_salt_and_costs_no_end_of_time),
        LISTED(a_log_of_many_segments_is_scanned_whole),
    };
    return RUN(tests, argc, argv);
}
