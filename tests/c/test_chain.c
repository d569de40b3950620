/* Where a log ends: clean, torn or corrupt, for directories written by hand. */
#include "chain.h"

#include "log_builder.h"

struct verdict {
    int status;
    enum chain_end end;
    uint64_t x, d;
    size_t frames;
    quplog_report report;
};

static struct verdict judge(void)
{
    struct verdict v = {.end = CHAIN_CLEAN};
    struct chain chain;
    struct frame frame;
    uint64_t lsn;
    int dir = open(test_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(dir >= 0);
    v.status = chain_open(&chain, io_system(), dir);
    while (v.status == QUPLOG_OK) {
        v.status = chain_next(&chain, &frame, &lsn);
        v.frames += v.status == QUPLOG_OK;
    }
    if (v.status == QUPLOG_EMPTY)
        v.status = chain_judge(&chain, &v.end);
    v.x = chain.lsn;
    v.d = chain.durable;
    v.report = chain.report;
    chain_close(&chain);
    close(dir);
    return v;
}

static void flip(const struct builder *b, uint64_t lsn)
{
    lab_spoil(test_directory(), b->segment.header.base, lsn);
}

/* ---- one segment ---- */

TEST(zeros_behind_the_last_frame_are_a_clean_end)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    uint64_t last = build_ops(&b, 0);
    struct verdict v = judge();
    CHECK_EQUAL(v.status, QUPLOG_OK);
    CHECK_EQUAL(v.end, CHAIN_CLEAN);
    CHECK_EQUAL(v.frames, 2);
    CHECK_EQUAL(v.x, last + FRAME_HEADER + 80);
    build_end(&b);
}

TEST(a_damaged_last_frame_that_nobody_called_synced_is_torn)
{
    struct builder b;
    build_begin(&b);
    uint64_t first = build_ops(&b, 0), second = build_ops(&b, first);
    flip(&b, second + 60);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_TORN);
    CHECK_EQUAL(v.x, second);
    CHECK_EQUAL(v.report.torn_bytes, FRAME_HEADER + 80);
    CHECK_EQUAL(v.report.damage_lsn, second);
    build_end(&b);
}

TEST(x_equal_to_d_is_torn)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    uint64_t second = build_ops(&b, 0);
    build_ops(&b, second); /* all before `second` is synced, itself not */
    flip(&b, second + 60);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_TORN);
    CHECK_EQUAL(v.d, second);
    build_end(&b);
}

TEST(a_damaged_body_before_d_is_corrupt_found_by_its_length)
{
    struct builder b;
    build_begin(&b);
    uint64_t first = build_ops(&b, 0), second = build_ops(&b, 0);
    build_ops(&b, second);
    flip(&b, first + 100); /* the length check still holds: the search goes on by it */
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_CORRUPT);
    CHECK_EQUAL(v.x, first);
    CHECK_EQUAL(v.d, second);
    CHECK(strstr(v.report.message, "0000000000000000.log"));
    build_end(&b);
}

TEST(a_damaged_length_before_d_is_corrupt_found_at_every_eight_bytes)
{
    struct builder b;
    build_begin(&b);
    uint64_t first = build_ops(&b, 0);
    uint64_t second = build_frame(&b, FRAME_OPS, 88, 0);
    build_ops(&b, second);
    flip(&b, first + 5); /* the length itself */
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_CORRUPT);
    CHECK_EQUAL(v.d, second);
    build_end(&b);
}

TEST(a_damaged_magic_before_d_is_corrupt)
{
    struct builder b;
    build_begin(&b);
    uint64_t first = build_ops(&b, 0), second = build_ops(&b, 0);
    build_ops(&b, second);
    flip(&b, first);
    CHECK_EQUAL(judge().end, CHAIN_CORRUPT);
    build_end(&b);
}

TEST(frames_with_anothers_salt_or_place_are_no_witness)
{
    struct builder b;
    unsigned char bytes[FRAME_HEADER + 80];
    build_begin(&b);
    uint64_t first = build_ops(&b, 0), second = build_ops(&b, first + 8);
    lab_peek(test_directory(), 0, second, bytes, sizeof bytes);
    lab_poke(test_directory(), 0, b.next + 8, bytes, sizeof bytes); /* elsewhere: not valid */
    flip(&b, second + 60);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_TORN);
    CHECK_EQUAL(v.d, 0);
    build_end(&b);
}

TEST(a_frame_of_an_unknown_kind_is_unsupported_never_damaged)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    build_frame(&b, 9, 80, 0);
    struct verdict v = judge();
    CHECK_EQUAL(v.status, QUPLOG_UNSUPPORTED);
    CHECK(strstr(v.report.message, "newer version"));
    build_end(&b);
}

TEST(a_frame_that_the_file_is_too_short_for_is_torn)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    uint64_t second = build_ops(&b, 0);
    REQUIRE(ftruncate(b.segment.fd, (off_t)second + 60) == 0);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_TORN);
    CHECK_EQUAL(v.x, second);
    build_end(&b);
}

/* ---- several segments ---- */

TEST(d_in_a_later_segments_header_makes_a_hole_corrupt)
{
    struct builder b;
    build_begin(&b);
    uint64_t first = build_ops(&b, 0);
    build_ops(&b, 0);
    flip(&b, first + 60);
    build_segment(&b, b.next, b.next, first + 8);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_CORRUPT);
    CHECK_EQUAL(v.d, first + 8);
    build_end(&b);
}

TEST(d_in_a_later_segments_frame_makes_a_hole_corrupt)
{
    struct builder b;
    build_begin(&b);
    uint64_t first = build_ops(&b, 0);
    build_ops(&b, 0);
    flip(&b, first + 60);
    build_segment(&b, b.next, b.next, 0);
    build_ops(&b, 0);
    build_ops(&b, b.segment.header.base);
    CHECK_EQUAL(judge().end, CHAIN_CORRUPT);
    build_end(&b);
}

TEST(a_hole_with_unsynced_segments_behind_it_is_torn)
{
    struct builder b;
    build_begin(&b);
    uint64_t first = build_ops(&b, 0), second = build_ops(&b, first);
    flip(&b, second + 60);
    build_segment(&b, b.next, b.next, first);
    build_ops(&b, first);
    build_segment(&b, b.next, b.next, first);
    build_ops(&b, second);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_TORN);
    CHECK_EQUAL(v.x, second);
    CHECK(v.report.torn_bytes > 2 * LAB_SEGMENT);
    build_end(&b);
}

TEST(a_frame_end_with_a_segment_that_begins_there_is_clean_whatever_follows)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    uint64_t end = b.next;
    uint64_t lost = build_ops(&b, end); /* given up by an earlier recovery, with what it says */
    flip(&b, lost + 60);
    build_frame(&b, FRAME_OPS, 800, end + 500);
    build_segment(&b, UINT64_C(1) << 36, end, 0);
    build_ops(&b, 0);
    struct verdict v = judge();
    CHECK_EQUAL(v.status, QUPLOG_OK);
    CHECK_EQUAL(v.end, CHAIN_CLEAN);
    CHECK_EQUAL(v.frames, 2);
    CHECK_EQUAL(v.d, 0);
    build_end(&b);
}

TEST(valid_frames_behind_a_prev_end_never_come_back)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    uint64_t end = b.next;
    build_ops(&b, 0);
    build_segment(&b, UINT64_C(1) << 36, end, 0);
    struct verdict v = judge();
    CHECK_EQUAL(v.frames, 1);
    CHECK_EQUAL(v.end, CHAIN_CLEAN);
    build_end(&b);
}

TEST(segments_given_up_by_a_recovery_are_no_part_of_the_log)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    uint64_t end = b.next;
    build_ops(&b, 0);
    build_segment(&b, b.next, b.next, 0); /* was to be moved to quarantine */
    build_ops(&b, b.next);
    build_segment(&b, UINT64_C(1) << 36, end, 0);
    build_ops(&b, 0);
    struct verdict v = judge();
    CHECK_EQUAL(v.frames, 2);
    CHECK_EQUAL(v.end, CHAIN_CLEAN);
    CHECK_EQUAL(v.d, 0);
    build_end(&b);
}

static void remove_segment(uint64_t base)
{
    char path[LAB_PATH];
    lab_segment_path(test_directory(), base, path);
    REQUIRE(unlink(path) == 0);
}

TEST(a_missing_middle_segment_is_corrupt_if_it_was_synced)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    uint64_t middle = b.next;
    build_segment(&b, middle, middle, 0);
    build_ops(&b, 0);
    build_segment(&b, b.next, b.next, b.next);
    build_ops(&b, 0);
    remove_segment(middle);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_CORRUPT);
    CHECK_EQUAL(v.x, middle);
    build_end(&b);
}

TEST(a_missing_middle_segment_that_was_never_synced_is_torn)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    uint64_t middle = b.next;
    build_segment(&b, middle, middle, 0);
    build_ops(&b, 0);
    build_segment(&b, b.next, b.next, middle);
    remove_segment(middle);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_TORN);
    CHECK_EQUAL(v.x, middle);
    build_end(&b);
}

TEST(a_missing_first_segment_is_corrupt_and_never_an_empty_beginning)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    build_segment(&b, b.next, b.next, 0);
    build_ops(&b, 0);
    remove_segment(0);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_CORRUPT);
    CHECK(strstr(v.report.message, "missing"));
    build_end(&b);
}

TEST(a_segment_of_another_log_is_named_and_refused)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    struct segment_header header = {
        .base = b.next, .prev_end = b.next, .salt = 5, .log_id = "not of this log"};
    struct segment foreign;
    REQUIRE(segment_create(io_system(), b.dir, &header, LAB_SEGMENT, false, &foreign) == 0);
    close(foreign.fd);
    struct verdict v = judge();
    CHECK_EQUAL(v.status, QUPLOG_CORRUPT);
    CHECK(strstr(v.report.message, "another log"));
    build_end(&b);
}

TEST(a_segment_of_a_newer_version_is_unsupported)
{
    struct builder b;
    unsigned char block[128];
    build_begin(&b);
    build_segment(&b, b.next, b.next, 0);
    uint64_t base = b.segment.header.base;
    lab_peek(test_directory(), base, base, block, sizeof block);
    put_u32(block + 8, SEGMENT_VERSION + 1);
    put_u32(block + 124, crc32c(0, block, 124));
    lab_poke(test_directory(), base, base, block, sizeof block);
    struct verdict v = judge();
    CHECK_EQUAL(v.status, QUPLOG_UNSUPPORTED);
    CHECK(strstr(v.report.message, "newer version"));
    build_end(&b);
}

/* Both copies of the header. */
static void behead(uint64_t base)
{
    lab_spoil(test_directory(), base, base + 3);
    lab_spoil(test_directory(), base, base + 2048 + 3);
}

TEST(a_beheaded_last_segment_is_torn_before_d_and_corrupt_behind_it)
{
    struct builder b;
    build_begin(&b);
    uint64_t first = build_ops(&b, 0);
    build_ops(&b, first);
    build_segment(&b, b.next, b.next, 0);
    build_ops(&b, 0);
    behead(b.segment.header.base);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_TORN);
    CHECK_EQUAL(v.x, b.segment.header.base);
    CHECK_EQUAL(v.frames, 2);
    build_end(&b);
}

/* A power cut may take the header of an unsynced segment and leave a later one's. */
TEST(a_beheaded_unsynced_segment_in_the_middle_is_torn)
{
    struct builder b;
    build_begin(&b);
    uint64_t first = build_ops(&b, 0);
    build_ops(&b, first);
    uint64_t middle = b.next;
    build_segment(&b, middle, middle, first);
    build_ops(&b, 0);
    build_segment(&b, b.next, b.next, first);
    build_ops(&b, first);
    behead(middle);
    struct verdict v = judge();
    CHECK_EQUAL(v.status, QUPLOG_OK);
    CHECK_EQUAL(v.end, CHAIN_TORN);
    CHECK_EQUAL(v.x, middle);
    CHECK_EQUAL(v.frames, 2);
    build_end(&b);
}

TEST(a_beheaded_synced_segment_in_the_middle_is_corrupt)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    uint64_t middle = b.next;
    build_segment(&b, middle, middle, 0);
    build_ops(&b, 0);
    build_segment(&b, b.next, b.next, b.next);
    behead(middle);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_CORRUPT);
    CHECK(strstr(v.report.message, v.report.file));
    CHECK_EQUAL(v.report.damage_lsn, middle);
    CHECK_EQUAL(v.report.damage_offset, 0);
    build_end(&b);
}

TEST(a_beheaded_only_segment_is_corrupt_and_never_an_empty_log)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    behead(0);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_CORRUPT);
    CHECK_EQUAL(v.frames, 0);
    build_end(&b);
}

TEST(a_beheaded_first_segment_is_corrupt_and_never_dropped)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    build_segment(&b, b.next, b.next, 0);
    build_ops(&b, 0);
    behead(0);
    CHECK_EQUAL(judge().end, CHAIN_CORRUPT);
    build_end(&b);
}

TEST(a_recheck_sees_what_was_written_meanwhile)
{
    struct builder b;
    struct chain chain;
    struct frame frame;
    uint64_t lsn;
    build_begin(&b);
    build_ops(&b, 0);
    REQUIRE(chain_open(&chain, io_system(), b.dir) == QUPLOG_OK);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_OK);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_EMPTY);
    CHECK(!chain_recheck(&chain));
    uint64_t second = build_ops(&b, 0);
    CHECK(chain_recheck(&chain));
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_OK);
    CHECK_EQUAL(lsn, second);
    chain_close(&chain);
    build_end(&b);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(zeros_behind_the_last_frame_are_a_clean_end),
        LISTED(a_damaged_last_frame_that_nobody_called_synced_is_torn),
        LISTED(x_equal_to_d_is_torn),
        LISTED(a_damaged_body_before_d_is_corrupt_found_by_its_length),
        LISTED(a_damaged_length_before_d_is_corrupt_found_at_every_eight_bytes),
        LISTED(a_damaged_magic_before_d_is_corrupt),
        LISTED(frames_with_anothers_salt_or_place_are_no_witness),
        LISTED(a_frame_of_an_unknown_kind_is_unsupported_never_damaged),
        LISTED(a_frame_that_the_file_is_too_short_for_is_torn),
        LISTED(d_in_a_later_segments_header_makes_a_hole_corrupt),
        LISTED(d_in_a_later_segments_frame_makes_a_hole_corrupt),
        LISTED(a_hole_with_unsynced_segments_behind_it_is_torn),
        LISTED(a_frame_end_with_a_segment_that_begins_there_is_clean_whatever_follows),
        LISTED(valid_frames_behind_a_prev_end_never_come_back),
        LISTED(segments_given_up_by_a_recovery_are_no_part_of_the_log),
        LISTED(a_missing_middle_segment_is_corrupt_if_it_was_synced),
        LISTED(a_missing_middle_segment_that_was_never_synced_is_torn),
        LISTED(a_missing_first_segment_is_corrupt_and_never_an_empty_beginning),
        LISTED(a_segment_of_another_log_is_named_and_refused),
        LISTED(a_segment_of_a_newer_version_is_unsupported),
        LISTED(a_beheaded_last_segment_is_torn_before_d_and_corrupt_behind_it),
        LISTED(a_beheaded_unsynced_segment_in_the_middle_is_torn),
        LISTED(a_beheaded_synced_segment_in_the_middle_is_corrupt),
        LISTED(a_beheaded_only_segment_is_corrupt_and_never_an_empty_log),
        LISTED(a_beheaded_first_segment_is_corrupt_and_never_dropped),
        LISTED(a_recheck_sees_what_was_written_meanwhile),
    };
    return RUN(tests, argc, argv);
}
