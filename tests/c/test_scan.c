/* Whatever is done to the files of a log: a scan hands out every op that was not touched, no other,
 * and names what is gone. */
#include "scan.h"

#include "crc32c.h"
#include "log_lab.h"
#include "op.h"

enum { OPS_MOST = 2048, DAMAGES_MOST = 64 };

/* All that a scan came upon. */
struct seen {
    int status;
    size_t ops, jobs, trims, count;
    struct {
        uint64_t lsn, frame_lsn, id;
        size_t length;
        uint32_t check;
    } op[OPS_MOST];
    quplog_damage damage[DAMAGES_MOST];
    int loss[DAMAGES_MOST];
    size_t durable; /* damages that cost what had been acknowledged */
    quplog_report report;
    uint64_t size;
};

static void note_op(struct seen *seen, const quplog_scanned *found)
{
    size_t i = seen->ops++;
    REQUIRE(i < OPS_MOST);
    CHECK_EQUAL(found->check, crc32c(0, found->op.data, found->op.length));
    CHECK_EQUAL(found->op.data[0], found->record.type);
    seen->op[i].lsn = found->record.lsn;
    seen->op[i].frame_lsn = found->record.frame_lsn;
    seen->op[i].id = found->record.id;
    seen->op[i].length = found->op.length;
    seen->op[i].check = found->check;
    seen->jobs += found->record.type == QUPLOG_OP_PUT;
}

static void look(quplog_scan *scan, struct seen *seen)
{
    quplog_scanned found;
    while ((seen->status = quplog_scan_next(scan, &found)) == QUPLOG_OK) {
        if (found.kind == QUPLOG_SCAN_OP)
            note_op(seen, &found);
        seen->trims += found.kind == QUPLOG_SCAN_TRIM;
        if (found.kind != QUPLOG_SCAN_DAMAGE)
            continue;
        REQUIRE(seen->count < DAMAGES_MOST);
        seen->damage[seen->count++] = found.damage;
    }
    CHECK_EQUAL(quplog_scan_next(scan, &found), seen->status); /* the end stays the end */
    for (size_t i = 0; i < seen->count; i++) {
        seen->loss[i] = quplog_scan_judge(scan, &seen->damage[i]);
        seen->durable += seen->loss[i] == QUPLOG_LOSS_DURABLE;
    }
    quplog_scan_report(scan, &seen->report, &seen->size);
}

/* It stays good until the next scan. */
static struct seen *scan_through(const struct io *io, const char *path)
{
    static struct seen now;
    struct seen *seen = &now;
    quplog_scan *scan = NULL;
    memset(seen, 0, sizeof *seen);
    seen->status = scan_open_with(io, path, false, &scan, &seen->report);
    if (seen->status == QUPLOG_OK)
        look(scan, seen);
    quplog_scan_close(scan);
    return seen;
}

static struct seen *scan_all(const char *path)
{
    return scan_through(io_system(), path);
}

/* The log before something is done to it. It stays good until the next of these. */
static const struct seen *scan_whole(const char *path)
{
    static struct seen whole;
    whole = *scan_all(path);
    CHECK_EQUAL(whole.count, 0);
    return &whole;
}

static bool has_op(const struct seen *seen, uint64_t lsn, uint32_t check)
{
    for (size_t i = 0; i < seen->ops; i++)
        if (seen->op[i].lsn == lsn && seen->op[i].check == check)
            return true;
    return false;
}

/* `now` is what `before` was, but for the ops of frames in [lsn, end). */
static bool lost_just(const struct seen *before, const struct seen *now, uint64_t lsn, uint64_t end)
{
    size_t left = 0;
    for (size_t i = 0; i < before->ops; i++) {
        if (before->op[i].frame_lsn >= lsn && before->op[i].frame_lsn < end)
            continue;
        left++;
        if (!has_op(now, before->op[i].lsn, before->op[i].check))
            return false;
    }
    return left == now->ops;
}

/* Where the frame behind the n-th op's frame begins. */
static uint64_t frame_behind(const struct seen *seen, size_t n)
{
    size_t i = n;
    while (i + 1 < seen->ops && seen->op[i].frame_lsn == seen->op[n].frame_lsn)
        i++;
    return seen->op[i].frame_lsn;
}

/* A log of so many jobs, closed cleanly. Its path. */
static const char *make_log(const char *name, unsigned jobs, size_t size)
{
    const char *path = lab_path(name);
    quplog *q = lab_open(NULL, path);
    lab_put_many(q, 0, jobs, size);
    lab_close(q);
    return path;
}

static void check_damage(const quplog_damage *damage, int kind, uint64_t lsn, uint64_t end)
{
    CHECK_EQUAL(damage->kind, kind);
    CHECK_EQUAL(damage->lsn, lsn);
    CHECK_EQUAL(damage->end_lsn, end);
}

static void spoil_header(const char *path, uint64_t base)
{
    static const unsigned char zeros[SEGMENT_HEADER];
    lab_poke(path, base, base, zeros, sizeof zeros);
}

static void rename_segment(const char *path, uint64_t from, uint64_t to)
{
    char old[LAB_PATH], new[LAB_PATH];
    lab_segment_path(path, from, old);
    lab_segment_path(path, to, new);
    REQUIRE(rename(old, new) == 0);
}

static void remove_one(const char *path, uint64_t base)
{
    char file[LAB_PATH];
    lab_segment_path(path, base, file);
    REQUIRE(unlink(file) == 0);
}

/* ---- whole logs ---- */

TEST(a_whole_log_comes_out_whole)
{
    const char *path = make_log("log", 200, 1000);
    struct seen *seen = scan_all(path);
    CHECK_EQUAL(seen->status, QUPLOG_EMPTY);
    CHECK_EQUAL(seen->jobs, 200);
    CHECK_EQUAL(seen->count, 0);
    CHECK(lab_segments(path).count >= 3);
    quplog_reader *reader = NULL;
    quplog_record record;
    quplog_report report;
    uint64_t size;
    size_t i = 0;
    REQUIRE(quplog_reader_open(path, 0, &reader, NULL) == QUPLOG_OK);
    for (; quplog_reader_next(reader, &record) == QUPLOG_OK; i++) {
        CHECK_EQUAL(seen->op[i].lsn, record.lsn);
        CHECK_EQUAL(seen->op[i].id, record.id);
    }
    CHECK_EQUAL(i, seen->ops);
    quplog_reader_report(reader, &report, &size);
    CHECK_EQUAL(seen->report.frames, report.frames);
    CHECK_EQUAL(seen->report.bytes, report.bytes);
    CHECK_EQUAL(seen->report.end_lsn, report.end_lsn);
    CHECK_EQUAL(seen->report.durable_lsn, report.durable_lsn);
    quplog_reader_close(reader);
}

TEST(a_directory_without_a_segment_is_no_log)
{
    struct seen *seen = scan_all(test_directory());
    CHECK_EQUAL(seen->status, QUPLOG_NOT_A_LOG);
    CHECK(seen->report.message[0]);
}

TEST(what_a_recovery_gave_up_does_not_come_back)
{
    const char *path = make_log("log", 20, 1000);
    quplog *q = lab_open(NULL, path);
    uint64_t torn = lab_stats(q).tail_lsn;
    lab_put_many(q, 20, 23, 1000); /* behind what opening has made durable */
    lab_photograph(path, lab_path("copy"));
    lab_close(q);
    path = lab_path("copy");
    const struct seen *before = scan_whole(path);
    lab_spoil(path, 0, torn + 60); /* valid frames follow it */
    CHECK_EQUAL(scan_all(path)->durable, 0);
    CHECK_EQUAL(scan_all(path)->jobs, 22);
    lab_close(lab_open(NULL, path));
    struct seen *seen = scan_all(path);
    CHECK_EQUAL(before->jobs, 23);
    CHECK_EQUAL(seen->jobs, 20);
    CHECK_EQUAL(seen->count, 0);
}

/* ---- damaged frames ---- */

TEST(a_damaged_body_costs_its_frame_alone)
{
    const char *path = make_log("log", 50, 100);
    const struct seen *before = scan_whole(path);
    uint64_t lsn = before->op[20].frame_lsn, end = frame_behind(before, 20);
    lab_spoil(path, 0, lsn + 100);
    struct seen *seen = scan_all(path);
    CHECK(lost_just(before, seen, lsn, end));
    REQUIRE(seen->count == 1);
    check_damage(&seen->damage[0], QUPLOG_DAMAGE_FRAME, lsn, end);
    CHECK_EQUAL(seen->damage[0].offset, lsn);
    CHECK_EQUAL(seen->damage[0].op_count, 1);
    CHECK_TEXT(seen->damage[0].file, "0000000000000000.log");
    CHECK_EQUAL(seen->loss[0], QUPLOG_LOSS_DURABLE);
}

TEST(a_damaged_length_costs_its_frame_alone)
{
    const char *path = make_log("log", 50, 100);
    const struct seen *before = scan_whole(path);
    uint64_t lsn = before->op[20].frame_lsn, end = frame_behind(before, 20);
    lab_spoil(path, 0, lsn + 5);
    struct seen *seen = scan_all(path);
    CHECK(lost_just(before, seen, lsn, end));
    REQUIRE(seen->count == 1);
    check_damage(&seen->damage[0], QUPLOG_DAMAGE_BYTES, lsn, end);
}

TEST(a_sector_of_zeros_costs_what_it_touched)
{
    const char *path = make_log("log", 50, 100);
    const struct seen *before = scan_whole(path);
    lab_lose(path, 0, 8192, 512);
    struct seen *seen = scan_all(path);
    REQUIRE(seen->count >= 1 && seen->count <= 2); /* what reaches into it, and the rest */
    uint64_t lsn = seen->damage[0].lsn, end = seen->damage[seen->count - 1].end_lsn;
    CHECK(lsn <= 8192 && end >= 8192 + 512 && end < 8192 + 512 + 300);
    CHECK(lost_just(before, seen, lsn, end));
    CHECK_EQUAL(seen->durable, seen->count);
}

TEST(each_byte_in_turn_costs_its_frame_and_nothing_else)
{
    const char *path = make_log("log", 6, 40);
    const struct seen *before = scan_whole(path);
    uint64_t end = before->report.end_lsn;
    for (uint64_t at = 0; at < end; at += at < SEGMENT_HEADER ? 61 : 1) {
        lab_spoil(path, 0, at);
        struct seen *seen = scan_all(path);
        lab_spoil(path, 0, at); /* as it was */
        uint64_t from = seen->count ? seen->damage[0].lsn : 0;
        uint64_t to = seen->count ? seen->damage[seen->count - 1].end_lsn : 0;
        bool named = from <= at && at < to;
        bool good = lost_just(before, seen, from, to) && (at < SEGMENT_HEADER || named);
        if (!good || seen->status != QUPLOG_EMPTY) {
            CHECK(good && seen->status == QUPLOG_EMPTY);
            printf("    byte %llu\n", (unsigned long long)at);
        }
    }
}

TEST(a_page_that_cannot_be_read_is_zeros)
{
    const char *path = make_log("log", 50, 100);
    const struct seen *before = scan_whole(path);
    struct faulty *f = faulty_new();
    faulty_fail(f, FAULTY_READ, 2, -EIO); /* the first is the header's; the next reads by pages */
    struct seen *seen = scan_through(faulty_io(f), path);
    CHECK(faulty_failed(f));
    CHECK_EQUAL(seen->status, QUPLOG_EMPTY);
    CHECK(lost_just(before, seen, 0, 0));
    faulty_fail_from(f, FAULTY_READ, 2, -EIO);
    seen = scan_through(faulty_io(f), path);
    CHECK_EQUAL(seen->status, QUPLOG_EMPTY);
    CHECK_EQUAL(seen->ops, 0);
    faulty_free(f);
}

/* ---- headers ---- */

TEST(one_copy_of_a_header_is_enough)
{
    const char *path = make_log("log", 10, 100);
    const struct seen *before = scan_whole(path);
    lab_spoil(path, 0, 20);
    struct seen *seen = scan_all(path);
    CHECK(lost_just(before, seen, 0, 0));
    CHECK_EQUAL(seen->count, 0);
}

TEST(without_a_header_the_frames_say_what_their_salt_was)
{
    const char *path = make_log("log", 200, 1000);
    const struct seen *before = scan_whole(path);
    struct lab_list list = lab_segments(path);
    for (size_t i = 0; i < list.count; i++) {
        spoil_header(path, list.base[i]);
        struct seen *seen = scan_all(path);
        CHECK(lost_just(before, seen, 0, 0));
        CHECK_EQUAL(seen->count, i + 1);
        CHECK_EQUAL(seen->damage[i].kind, QUPLOG_DAMAGE_HEADER);
        CHECK_EQUAL(seen->durable, 0);
    }
}

/* A recovery that found a torn end leaves a gap: what is behind it joins nothing. */
TEST(without_a_header_what_a_recovery_began_is_read_too)
{
    const char *path = make_log("log", 20, 1000);
    static const unsigned char torn[] = {0xa7, 0xb5, 1, 0, 88};
    lab_poke(path, 0, scan_all(path)->report.end_lsn, torn, sizeof torn);
    quplog *q = lab_open(NULL, path);
    lab_put(q, 20, 1000, true);
    lab_put(q, 21, 1000, true);
    lab_close(q);
    const struct seen *before = scan_whole(path);
    struct lab_list list = lab_segments(path);
    REQUIRE(list.count == 2 && list.base[1] >> 36);
    spoil_header(path, list.base[1]);
    struct seen *seen = scan_all(path);
    CHECK(lost_just(before, seen, 0, 0));
    CHECK_EQUAL(seen->damage[seen->count - 1].kind, QUPLOG_DAMAGE_HEADER);
}

TEST(without_a_header_a_file_must_show_that_it_stands_at_its_place)
{
    const char *path = make_log("log", 20, 1000);
    struct lab_list list = lab_segments(path);
    REQUIRE(list.count == 1);
    spoil_header(path, 0);
    rename_segment(path, 0, (uint64_t)1 << 40);
    struct seen *seen = scan_all(path);
    CHECK_EQUAL(seen->ops, 0);
    REQUIRE(seen->count >= 1);
    CHECK_EQUAL(seen->damage[0].kind, QUPLOG_DAMAGE_UNCHECKED);
    CHECK(seen->damage[0].length > 20000);
}

TEST(without_a_header_and_a_whole_frame_nothing_can_be_checked)
{
    const char *path = make_log("log", 2, 100);
    const struct seen *before = scan_whole(path);
    for (size_t i = 0; i < before->ops; i++)
        lab_spoil(path, 0, before->op[i].lsn);
    spoil_header(path, 0);
    lab_spoil(path, 0, before->report.end_lsn - 4); /* the witness of the close */
    struct seen *seen = scan_all(path);
    CHECK_EQUAL(seen->ops, 0);
    REQUIRE(seen->count == 1);
    CHECK_EQUAL(seen->damage[0].kind, QUPLOG_DAMAGE_UNCHECKED);
    CHECK_EQUAL(seen->damage[0].offset, SEGMENT_HEADER);
}

TEST(a_header_of_a_newer_version_is_not_called_damaged)
{
    const char *path = make_log("log", 2, 100);
    unsigned char copy[128];
    lab_peek(path, 0, 0, copy, sizeof copy);
    put_u32(copy + 8, SEGMENT_VERSION + 1);
    put_u32(copy + 124, crc32c(0, copy, 124));
    lab_poke(path, 0, 0, copy, sizeof copy);
    struct seen *seen = scan_all(path);
    CHECK_EQUAL(seen->status, QUPLOG_UNSUPPORTED);
    CHECK(strstr(seen->report.message, "0000000000000000.log"));
}

/* ---- files ---- */

TEST(a_missing_segment_is_a_part_of_the_log_that_is_missing)
{
    const char *path = make_log("log", 200, 1000);
    const struct seen *before = scan_whole(path);
    struct lab_list list = lab_segments(path);
    for (size_t i = 0; i + 1 < list.count; i++) {
        const char *copy = lab_path("copy");
        lab_photograph(path, copy);
        remove_one(copy, list.base[i]);
        struct seen *seen = scan_all(copy);
        CHECK(lost_just(before, seen, list.base[i], list.base[i + 1]));
        REQUIRE(seen->count == 1);
        check_damage(&seen->damage[0], QUPLOG_DAMAGE_MISSING, list.base[i], list.base[i + 1]);
        CHECK_EQUAL(seen->loss[0], QUPLOG_LOSS_DURABLE);
    }
}

TEST(what_was_acknowledged_and_cut_off_is_missing)
{
    const char *path = make_log("log", 20, 1000);
    const struct seen *before = scan_whole(path);
    uint64_t lsn = before->op[11].frame_lsn, end = frame_behind(before, 11);
    char file[LAB_PATH];
    lab_segment_path(path, 0, file);
    REQUIRE(truncate(file, (off_t)lsn + 200) == 0);
    struct seen *seen = scan_all(path);
    CHECK(lost_just(before, seen, lsn, UINT64_MAX));
    REQUIRE(seen->count == 1); /* who knew that more was durable is gone with it */
    check_damage(&seen->damage[0], QUPLOG_DAMAGE_FRAME, lsn, end);
    CHECK_EQUAL(seen->damage[0].length, 200);
    CHECK_EQUAL(seen->loss[0], QUPLOG_LOSS_TORN);
}

TEST(a_segment_whose_end_was_cut_off_is_missed_by_the_next)
{
    const char *path = make_log("log", 200, 1000);
    const struct seen *before = scan_whole(path);
    struct lab_list list = lab_segments(path);
    char file[LAB_PATH];
    size_t n = 30;
    lab_segment_path(path, 0, file);
    REQUIRE(truncate(file, (off_t)before->op[n].frame_lsn) == 0);
    struct seen *seen = scan_all(path);
    CHECK(lost_just(before, seen, before->op[n].frame_lsn, list.base[1]));
    REQUIRE(seen->count == 1);
    check_damage(&seen->damage[0], QUPLOG_DAMAGE_MISSING, before->op[n].frame_lsn, list.base[1]);
    CHECK_EQUAL(seen->loss[0], QUPLOG_LOSS_DURABLE);
}

TEST(zeros_up_to_where_the_next_segment_begins_are_named)
{
    const char *path = make_log("log", 200, 1000);
    const struct seen *before = scan_whole(path);
    struct lab_list list = lab_segments(path);
    uint64_t from = before->op[30].frame_lsn;
    lab_lose(path, 0, from, list.base[1] - from);
    struct seen *seen = scan_all(path);
    CHECK(lost_just(before, seen, from, list.base[1]));
    REQUIRE(seen->count == 1);
    check_damage(&seen->damage[0], QUPLOG_DAMAGE_ZEROS, from, list.base[1]);
}

TEST(a_segment_of_another_log_is_not_read)
{
    const char *path = make_log("log", 200, 1000), *other = make_log("other", 30, 200);
    const struct seen *before = scan_whole(path);
    char from[LAB_PATH], to[LAB_PATH];
    lab_segment_path(other, 0, from);
    lab_segment_path(path, (uint64_t)1 << 30, to);
    REQUIRE(rename(from, to) == 0);
    struct seen *seen = scan_all(path);
    CHECK(lost_just(before, seen, 0, 0));
    REQUIRE(seen->count == 1);
    CHECK_EQUAL(seen->damage[0].kind, QUPLOG_DAMAGE_FOREIGN);
    CHECK_TEXT(seen->damage[0].file, "0000000040000000.log");
    CHECK_EQUAL(seen->durable, 0);
}

TEST(a_second_copy_of_a_segment_is_not_read)
{
    const char *path = make_log("log", 200, 1000);
    const struct seen *before = scan_whole(path);
    uint64_t base = lab_segments(path).base[1];
    char from[LAB_PATH], to[LAB_PATH];
    lab_segment_path(path, base, from);
    lab_segment_path(path, base + 8, to);
    struct lab_file file = lab_load(from);
    lab_store(to, file);
    free(file.data);
    struct seen *seen = scan_all(path);
    CHECK(lost_just(before, seen, 0, 0));
    REQUIRE(seen->count == 1);
    CHECK_EQUAL(seen->damage[0].kind, QUPLOG_DAMAGE_DUPLICATE);
    CHECK(strstr(to, seen->damage[0].file));
}

TEST(a_renamed_segment_is_read_as_what_its_header_says)
{
    const char *path = make_log("log", 200, 1000);
    const struct seen *before = scan_whole(path);
    uint64_t base = lab_segments(path).base[1];
    rename_segment(path, base, (uint64_t)1 << 33);
    struct seen *seen = scan_all(path);
    CHECK(lost_just(before, seen, 0, 0));
    REQUIRE(seen->count == 1);
    CHECK_EQUAL(seen->damage[0].kind, QUPLOG_DAMAGE_MISNAMED);
    CHECK_EQUAL(seen->durable, 0);
}

TEST(a_trimming_that_was_cut_short_is_no_damage)
{
    const char *path = lab_path("log"), *copy = lab_path("copy");
    quplog *q = lab_open(NULL, path);
    lab_put_many(q, 0, 200, 1000);
    REQUIRE(quplog_sync(q) == QUPLOG_OK);
    lab_photograph(path, copy);
    struct lab_list list = lab_segments(path);
    REQUIRE(list.count >= 4 && quplog_compact(q) == QUPLOG_OK);
    lab_close(q);
    const struct seen *before = scan_whole(path);
    char from[LAB_PATH], to[LAB_PATH];
    for (size_t i = 0; i < list.count - 1; i += 2) { /* every other one comes back */
        lab_segment_path(copy, list.base[i], from);
        lab_segment_path(path, list.base[i], to);
        REQUIRE(rename(from, to) == 0);
    }
    struct seen *seen = scan_all(path);
    CHECK_EQUAL(seen->trims, before->trims);
    CHECK(seen->count >= 1);
    CHECK_EQUAL(seen->durable, 0);
    for (size_t i = 0; i < before->ops; i++)
        CHECK(has_op(seen, before->op[i].lsn, before->op[i].check));
}

/* ---- other things ---- */

TEST(an_op_is_loaded_again_or_found_to_be_changed)
{
    const char *path = make_log("log", 200, 1000);
    const struct seen *seen = scan_whole(path);
    quplog_scan *scan = NULL;
    quplog_bytes op;
    REQUIRE(quplog_scan_open(path, false, &scan, NULL) == QUPLOG_OK);
    for (size_t i = 0; i < seen->ops; i++) {
        int status = quplog_scan_load(scan, seen->op[i].lsn, seen->op[i].length,
                                      seen->op[i].check, &op);
        CHECK_EQUAL(status, QUPLOG_OK);
        CHECK_EQUAL(crc32c(0, op.data, op.length), seen->op[i].check);
    }
    lab_spoil(path, 0, seen->op[5].lsn + 60);
    CHECK_EQUAL(quplog_scan_load(scan, seen->op[5].lsn, seen->op[5].length, seen->op[5].check,
                                 &op),
                QUPLOG_CORRUPT);
    quplog_scan_close(scan);
}

TEST(an_op_is_loaded_from_where_it_was_read_beside_a_file_that_is_none)
{
    static const unsigned char nothing[SEGMENT_HEADER];
    const char *path = make_log("log", 30, 1000);
    char name[LAB_PATH];
    lab_segment_path(path, 0x2000, name);
    FILE *file = fopen(name, "w");
    REQUIRE(file && fwrite(nothing, sizeof nothing, 1, file) == 1 && fclose(file) == 0);
    const struct seen *seen = scan_all(path);
    quplog_scan *scan = NULL;
    quplog_bytes op;
    REQUIRE(quplog_scan_open(path, false, &scan, NULL) == QUPLOG_OK);
    CHECK_EQUAL(seen->jobs, 30);
    for (size_t i = 0; i < seen->ops; i++)
        CHECK_EQUAL(quplog_scan_load(scan, seen->op[i].lsn, seen->op[i].length,
                                     seen->op[i].check, &op), QUPLOG_OK);
    quplog_scan_close(scan);
}

TEST(who_wants_to_be_alone_is_refused_beside_an_owner)
{
    const char *path = make_log("log", 2, 100);
    struct faulty *f = faulty_new();
    quplog_scan *scan = NULL;
    quplog_report report;
    quplog *q = lab_open(f, path);
    CHECK_EQUAL(quplog_scan_open(path, true, &scan, &report), QUPLOG_LOCKED);
    CHECK(report.message[0]);
    REQUIRE(quplog_scan_open(path, false, &scan, NULL) == QUPLOG_OK);
    quplog_scan_close(scan);
    lab_close(q);
    REQUIRE(quplog_scan_open(path, true, &scan, NULL) == QUPLOG_OK);
    quplog_options options = lab_options();
    CHECK_EQUAL(open_with(faulty_io(f), path, &options, &q, &report), QUPLOG_LOCKED);
    quplog_scan_close(scan);
    lab_close(lab_open(f, path));
    faulty_free(f);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(a_whole_log_comes_out_whole),
        LISTED(a_directory_without_a_segment_is_no_log),
        LISTED(what_a_recovery_gave_up_does_not_come_back),
        LISTED(a_damaged_body_costs_its_frame_alone),
        LISTED(a_damaged_length_costs_its_frame_alone),
        LISTED(a_sector_of_zeros_costs_what_it_touched),
        LISTED(each_byte_in_turn_costs_its_frame_and_nothing_else),
        LISTED(a_page_that_cannot_be_read_is_zeros),
        LISTED(one_copy_of_a_header_is_enough),
        LISTED(without_a_header_the_frames_say_what_their_salt_was),
        LISTED(without_a_header_what_a_recovery_began_is_read_too),
        LISTED(without_a_header_a_file_must_show_that_it_stands_at_its_place),
        LISTED(without_a_header_and_a_whole_frame_nothing_can_be_checked),
        LISTED(a_header_of_a_newer_version_is_not_called_damaged),
        LISTED(a_missing_segment_is_a_part_of_the_log_that_is_missing),
        LISTED(what_was_acknowledged_and_cut_off_is_missing),
        LISTED(a_segment_whose_end_was_cut_off_is_missed_by_the_next),
        LISTED(zeros_up_to_where_the_next_segment_begins_are_named),
        LISTED(a_segment_of_another_log_is_not_read),
        LISTED(a_second_copy_of_a_segment_is_not_read),
        LISTED(a_renamed_segment_is_read_as_what_its_header_says),
        LISTED(a_trimming_that_was_cut_short_is_no_damage),
        LISTED(an_op_is_loaded_again_or_found_to_be_changed),
        LISTED(an_op_is_loaded_from_where_it_was_read_beside_a_file_that_is_none),
        LISTED(who_wants_to_be_alone_is_refused_beside_an_owner),
    };
    return RUN(tests, argc, argv);
}
