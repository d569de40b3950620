/* Where a log begins and ends, for directories written by hand, also while others change them. */
#include "chain.h"

#include <sys/wait.h>

#include "log_builder.h"

struct verdict {
    int status;
    enum chain_end end;
    uint64_t x, d;
    size_t frames;
    uint64_t first, last; /* LSNs of the first and the last frame */
    size_t trimmed, superseded;
    bool whole;
    quplog_report report;
};

/* As recovery reads it, through any table, up to `until` if that is not 0. */
static struct verdict judge_through(const struct io *io, uint64_t until)
{
    struct verdict v = {.end = CHAIN_CLEAN};
    struct chain chain;
    struct frame frame;
    int dir = open(test_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(dir >= 0);
    v.status = chain_open(&chain, io, dir);
    chain.until_lsn = until;
    while (v.status == QUPLOG_OK) {
        v.status = chain_next(&chain, &frame, &v.last);
        if (v.status == QUPLOG_OK && v.frames++ == 0)
            v.first = v.last;
    }
    if (v.status == QUPLOG_EMPTY)
        v.status = chain_judge(&chain, &v.end);
    for (size_t i = 0; i < chain.count; i++) {
        v.trimmed += chain.files[i].trimmed;
        v.superseded += chain.files[i].superseded;
    }
    v.x = chain.lsn;
    v.d = chain.durable;
    v.whole = chain_whole(&chain);
    v.report = chain.report;
    chain_close(&chain);
    close(dir);
    return v;
}

static struct verdict judge(void)
{
    return judge_through(io_system(), 0);
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

/* ---- wrong names ---- */

static void give_name(const struct builder *b, uint64_t base, uint64_t to)
{
    char from_name[SEGMENT_NAME], to_name[SEGMENT_NAME];
    segment_name(base, from_name);
    segment_name(to, to_name);
    REQUIRE(renameat(b->dir, from_name, b->dir, to_name) == 0);
}

static void begin_anew(void)
{
    lab_remove(test_directory());
    REQUIRE(mkdir(test_directory(), 0700) == 0);
}

/* A segment, and two more behind it, of which the frames say what is synced; the bases of these. */
static uint64_t build_three(struct builder *b, uint64_t bases[2], bool synced)
{
    uint64_t last = 0, end = 0;
    build_begin(b);
    build_ops(b, 0);
    for (int i = 0; i < 2; i++) {
        end = i ? end : b->next;
        build_segment(b, b->next, b->next, 0);
        bases[i] = b->segment.header.base;
        last = build_ops(b, synced ? last : 0);
        last = build_ops(b, synced ? last : 0);
    }
    return end;
}

TEST(segments_that_exchanged_their_names_are_corrupt_if_they_were_synced)
{
    for (int synced = 0; synced < 2; synced++) {
        struct builder b;
        uint64_t bases[2], x = build_three(&b, bases, synced);
        give_name(&b, bases[0], 1 << 30);
        give_name(&b, bases[1], bases[0]);
        give_name(&b, 1 << 30, bases[1]);
        struct verdict v = judge();
        CHECK_EQUAL(v.end, synced ? CHAIN_CORRUPT : CHAIN_TORN);
        CHECK_EQUAL(v.x, x);
        CHECK(!synced || strstr(v.report.message, "its own name"));
        build_end(&b);
        begin_anew();
    }
}

TEST(a_synced_segment_with_any_other_name_is_corrupt)
{
    static const uint64_t names[] = {1 << 30, (uint64_t)1 << 50, 24 * 512};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct builder b;
        uint64_t bases[2];
        (void)build_three(&b, bases, true);
        give_name(&b, bases[1], names[i]);
        struct verdict v = judge();
        CHECK_EQUAL(v.end, CHAIN_CORRUPT);
        CHECK(strstr(v.report.message, "its own name"));
        build_end(&b);
        begin_anew();
    }
}

TEST(an_older_segment_that_also_has_another_name_is_no_witness_of_a_loss)
{
    struct builder b;
    char from[SEGMENT_NAME], to[SEGMENT_NAME];
    uint64_t bases[2];
    (void)build_three(&b, bases, true);
    segment_name(bases[0], from);
    segment_name(1 << 30, to);
    REQUIRE(linkat(b.dir, from, b.dir, to, 0) == 0);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_TORN); /* what has the wrong name is set aside */
    CHECK_EQUAL(v.frames, 5);
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

/* ---- what a trimming left ---- */

enum { SEGMENTS = 6, FIRST = 3, PER_SEGMENT = 3 };

TEST(a_log_may_begin_in_the_gap_that_a_recovery_left)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    uint64_t end = b.next;
    build_segment(&b, end + (1 << 20), end, end);
    REQUIRE(unlinkat(b.dir, "0000000000000000.log", 0) == 0);
    build_ops(&b, 0);
    CHECK_EQUAL(judge().end, CHAIN_CORRUPT);
    build_trim(&b, end, 0); /* all that is missing */
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_CLEAN);
    CHECK(v.whole);
    build_end(&b);
}

TEST(a_trim_that_gives_up_itself_is_none_that_a_writer_writes)
{
    struct builder b;
    build_begin(&b);
    build_trim(&b, b.next, 0);
    CHECK_EQUAL(judge().status, QUPLOG_OK);
    build_trim(&b, b.next + 1, 0);
    CHECK_EQUAL(judge().status, QUPLOG_CORRUPT);
    build_end(&b);
}

/* Six segments of three frames; all before the fourth is trimmed. The TRIM stands in the last one,
 * or in the fifth, is synced, and is repeated by the last one's header. */
static void build_trimmed(struct builder *b, uint64_t bases[SEGMENTS], bool repeated)
{
    build_begin(b);
    for (int i = 0; i < SEGMENTS; i++) {
        if (i > 0)
            build_segment(b, b->next, b->next, b->first_lsn ? b->next : 0);
        bases[i] = b->segment.header.base;
        build_ops(b, 0);
        build_ops(b, 0);
        if (i == (repeated ? SEGMENTS - 2 : SEGMENTS - 1))
            build_trim(b, bases[FIRST], b->next);
        else
            build_ops(b, 0);
    }
}

/* Its file ends where its frames end, as that of a segment whose limit was met exactly. */
static void shorten(uint64_t base, uint64_t end)
{
    char path[LAB_PATH];
    lab_segment_path(test_directory(), base, path);
    REQUIRE(truncate(path, (off_t)(end - base)) == 0);
}

/* Whatever of the three trimmed segments exists: a gap is seen by the sizes, or, if zeros reach
 * over it, by the zeros. Bits of `exist`: the segments. */
static void check_leftovers(unsigned exist, bool repeated, bool exact)
{
    struct builder b;
    uint64_t bases[SEGMENTS];
    build_trimmed(&b, bases, repeated);
    unsigned gap = 0; /* all below it is cut off from the log */
    for (unsigned i = 0; i < FIRST; i++) {
        if (exact)
            shorten(bases[i], bases[i + 1]);
        if (!(exist >> i & 1)) {
            remove_segment(bases[i]);
            gap = i + 1;
        }
    }
    bool cut_off = gap && (exist & ((1U << gap) - 1));
    unsigned start = cut_off ? FIRST : gap;
    struct verdict v = judge();
    CHECK_EQUAL(v.status, QUPLOG_OK);
    CHECK_EQUAL(v.end, CHAIN_CLEAN);
    CHECK_EQUAL(v.first, bases[start] + SEGMENT_HEADER);
    CHECK_EQUAL(v.frames, (SEGMENTS - start) * PER_SEGMENT);
    CHECK_EQUAL(v.x, b.next);
    CHECK_EQUAL(v.superseded, 0);
    CHECK_EQUAL(v.trimmed, cut_off ? __builtin_popcount(exist) : 0);
    for (int i = 0; i < SEGMENTS; i++)
        if (i >= FIRST || exist >> i & 1)
            remove_segment(bases[i]);
    build_end(&b);
}

TEST(a_trimming_cut_short_may_have_left_any_of_the_old_segments)
{
    for (unsigned exist = 0; exist < 1U << FIRST; exist++)
        for (int how = 0; how < 4; how++)
            check_leftovers(exist, how & 1, how & 2);
}

TEST(a_segment_missing_behind_first_lsn_is_corrupt_with_or_without_leftovers)
{
    for (int gone = FIRST; gone < SEGMENTS - 1; gone++)
        for (int oldest = 0; oldest < 3; oldest++) { /* 0: all, 1: with a gap, 2: none */
            struct builder b;
            uint64_t bases[SEGMENTS];
            build_trimmed(&b, bases, true);
            for (int i = 0; i < FIRST; i++)
                if (oldest == 2 || (oldest == 1 && i == 1))
                    remove_segment(bases[i]);
            remove_segment(bases[gone]);
            struct verdict v = judge();
            CHECK_EQUAL(v.status, QUPLOG_OK);
            CHECK_EQUAL(v.end, CHAIN_CORRUPT);
            CHECK(strstr(v.report.message, "missing"));
            begin_anew();
            build_end(&b);
        }
}

TEST(a_leftover_that_lost_its_last_bytes_is_cut_off)
{
    struct builder b;
    uint64_t bases[SEGMENTS];
    build_trimmed(&b, bases, true);
    shorten(bases[1], bases[2] - 8);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_CLEAN);
    CHECK_EQUAL(v.first, bases[FIRST] + SEGMENT_HEADER);
    CHECK_EQUAL(v.trimmed, FIRST);
    build_end(&b);
}

/* A power cut took the end of the last segment but one, and left the last with the next TRIM. */
TEST(an_unsynced_end_that_is_lost_behind_a_trim_is_torn_as_ever)
{
    struct builder b;
    uint64_t bases[SEGMENTS];
    build_trimmed(&b, bases, false);
    uint64_t x = build_ops(&b, 0), last = b.segment.header.base;
    build_segment(&b, b.next, b.next, 0);
    build_trim(&b, bases[FIRST + 1], x);
    shorten(last, x);
    struct verdict v = judge();
    CHECK_EQUAL(v.status, QUPLOG_OK);
    CHECK_EQUAL(v.end, CHAIN_TORN);
    CHECK_EQUAL(v.x, x);
    CHECK_EQUAL(v.trimmed, 0);
    build_end(&b);
}

TEST(a_gap_that_no_trim_explains_is_corrupt)
{
    struct builder b;
    uint64_t bases[SEGMENTS];
    build_trimmed(&b, bases, true);
    remove_segment(bases[1]);
    lab_spoil(test_directory(), bases[4], bases[5] - 10); /* the TRIM */
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_CORRUPT);
    CHECK_EQUAL(v.trimmed, 0);
    build_end(&b);
}

TEST(what_is_not_proved_to_be_trimmed_is_set_aside_and_not_removed)
{
    struct builder b;
    uint64_t bases[SEGMENTS];
    struct segment foreign;
    struct segment_header header = {.base = 8, .salt = 5, .log_id = "not of this log"};
    build_trimmed(&b, bases, true);
    remove_segment(bases[2]);
    behead(bases[1]);
    REQUIRE(segment_create(io_system(), b.dir, &header, LAB_SEGMENT, false, &foreign) == 0);
    close(foreign.fd);
    struct verdict v = judge();
    CHECK_EQUAL(v.status, QUPLOG_OK);
    CHECK_EQUAL(v.end, CHAIN_CLEAN);
    CHECK_EQUAL(v.first, bases[FIRST] + SEGMENT_HEADER);
    CHECK_EQUAL(v.trimmed, 1);
    CHECK_EQUAL(v.superseded, 2);
    build_end(&b);
}

/* Its own neighbour was removed already: a trimming that stopped there must still open. */
TEST(a_leftover_of_another_log_that_would_join_is_set_aside)
{
    for (int neighbour = 0; neighbour < 2; neighbour++) {
        struct builder b;
        uint64_t bases[SEGMENTS];
        struct segment foreign;
        build_trimmed(&b, bases, true);
        struct segment_header header = {
            .base = bases[2], .prev_end = bases[2], .salt = 5, .log_id = "not of this log"};
        off_t end = (off_t)(bases[3] - bases[2]);
        remove_segment(bases[2]);
        if (!neighbour)
            remove_segment(bases[1]);
        REQUIRE(segment_create(io_system(), b.dir, &header, LAB_SEGMENT, false, &foreign) == 0);
        REQUIRE(pwrite(foreign.fd, "its end", 7, end - 8) == 7 && !ftruncate(foreign.fd, end));
        close(foreign.fd);
        struct verdict v = judge();
        CHECK_EQUAL(v.status, QUPLOG_OK);
        CHECK_EQUAL(v.end, CHAIN_CLEAN);
        CHECK_EQUAL(v.first, bases[FIRST] + SEGMENT_HEADER);
        CHECK_EQUAL(v.superseded, 1);
        CHECK_EQUAL(v.trimmed, neighbour ? 2 : 1);
        begin_anew();
        build_end(&b);
    }
}

/* The TRIM was not synced and is lost, the header behind it was not: nothing was unlinked, and
 * only the old segments still have the counters. */
TEST(a_trim_that_was_lost_trims_nothing_although_a_later_header_repeats_it)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    uint64_t second = b.next;
    build_segment(&b, second, second, 0);
    build_ops(&b, 0);
    uint64_t trim = build_trim(&b, second, b.next);
    build_segment(&b, b.next, b.next, trim);
    build_ops(&b, trim);
    lab_lose(test_directory(), second, trim, FRAME_HEADER + FRAME_TRIM_BODY);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_TORN);
    CHECK_EQUAL(v.x, trim);
    CHECK_EQUAL(v.first, SEGMENT_HEADER);
    CHECK_EQUAL(v.trimmed, 0);
    CHECK(v.whole);
    build_end(&b);
}

TEST(a_segment_that_ends_in_a_payload_of_zeros_is_no_gap)
{
    struct builder b;
    unsigned char *zeros = calloc(1, FRAME_HEADER + 3 * SEGMENT_HEADER);
    REQUIRE(zeros);
    build_begin(&b);
    build_ops(&b, 0);
    build_body(&b, FRAME_OPS, zeros, 3 * SEGMENT_HEADER, 0);
    free(zeros);
    build_segment(&b, b.next, b.next, 0);
    build_ops(&b, 0);
    build_trim(&b, b.segment.header.base, b.next);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_CLEAN);
    CHECK_EQUAL(v.frames, 4);
    CHECK_EQUAL(v.trimmed, 0);
    build_end(&b);
}

TEST(a_gap_before_a_segment_that_a_recovery_began_is_seen)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    uint64_t second = b.next;
    build_segment(&b, second, second, 0);
    build_ops(&b, 0);
    uint64_t end = b.next;
    build_ops(&b, 0); /* given up */
    build_segment(&b, UINT64_C(1) << 36, end, 0);
    build_ops(&b, 0);
    build_trim(&b, UINT64_C(1) << 36, b.next);
    remove_segment(second);
    struct verdict v = judge();
    CHECK_EQUAL(v.end, CHAIN_CLEAN);
    CHECK_EQUAL(v.first, (UINT64_C(1) << 36) + SEGMENT_HEADER);
    CHECK_EQUAL(v.trimmed, 1);
    build_end(&b);
}

TEST(a_look_at_the_past_before_the_trim_is_no_damage_but_not_whole)
{
    struct builder b;
    uint64_t bases[SEGMENTS];
    for (int oldest = 0; oldest < 2; oldest++) {
        build_trimmed(&b, bases, true);
        remove_segment(bases[1]);
        remove_segment(bases[oldest ? 0 : 2]);
        struct verdict v = judge_through(io_system(), bases[4] + SEGMENT_HEADER);
        CHECK_EQUAL(v.status, QUPLOG_OK);
        CHECK_EQUAL(v.end, CHAIN_CLEAN);
        CHECK(!v.whole);
        v = judge_through(io_system(), bases[5] + SEGMENT_HEADER);
        CHECK_EQUAL(v.status, QUPLOG_OK);
        CHECK(v.whole);
        for (int i = FIRST; i < SEGMENTS; i++)
            remove_segment(bases[i]);
        remove_segment(bases[oldest ? 2 : 0]);
        build_end(&b);
    }
}

TEST(reading_from_behind_the_trim_does_not_miss_what_is_before_it)
{
    struct builder b;
    struct chain chain;
    struct frame frame;
    enum chain_end end;
    uint64_t bases[SEGMENTS], lsn;
    build_trimmed(&b, bases, false);
    uint64_t last = build_ops(&b, 0);
    for (int i = 0; i < FIRST; i++)
        remove_segment(bases[i]);
    REQUIRE(chain_open(&chain, io_system(), b.dir) == QUPLOG_OK);
    CHECK_EQUAL(chain_seek(&chain, bases[1] + SEGMENT_HEADER), QUPLOG_NOT_FOUND);
    CHECK_EQUAL(chain_seek(&chain, last), QUPLOG_OK);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_OK);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_EMPTY);
    CHECK_EQUAL(chain_judge(&chain, &end), QUPLOG_OK);
    CHECK_EQUAL(end, CHAIN_CLEAN);
    chain_close(&chain);
    build_end(&b);
}

/* ---- beside others who append, rotate and trim ---- */

/* What the others do, at the n-th call of a kind that a reader makes. */
struct others {
    unsigned calls;
    unsigned at; /* counts from 1 */
    void (*act)(struct others *others);
    struct builder *b;
    const uint64_t *bases;
};

static void others_act(void *context)
{
    struct others *others = context;
    if (++others->calls == others->at)
        others->act(others);
}

static void trim_the_old(struct others *others)
{
    for (int i = 0; i < FIRST; i++)
        remove_segment(others->bases[i]);
}

TEST(segments_that_are_unlinked_between_the_listing_and_their_opening_were_trimmed)
{
    struct faulty *f = faulty_new();
    for (unsigned at = 1; at < 40; at++) {
        struct builder b;
        uint64_t bases[SEGMENTS];
        build_trimmed(&b, bases, at % 2);
        struct others others = {.at = at, .act = trim_the_old, .bases = bases};
        faulty_before(f, FAULTY_OPEN, others_act, &others);
        struct verdict v = judge_through(faulty_io(f), 0);
        /* Who has begun to read the old ones is told; who has not never knows. */
        bool told = v.status == QUPLOG_NOT_FOUND;
        CHECK(told || (v.status == QUPLOG_OK && v.end == CHAIN_CLEAN && v.x == b.next));
        CHECK(!told || (v.frames > 0 && v.first < bases[FIRST]));
        faulty_before(f, FAULTY_OPEN, NULL, NULL);
        if (others.calls < at) /* it has read all without */
            trim_the_old(&others);
        for (int i = FIRST; i < SEGMENTS; i++)
            remove_segment(bases[i]);
        build_end(&b);
    }
    faulty_free(f);
}

TEST(a_segment_that_is_listed_but_never_there_is_told_and_no_endless_search)
{
    struct builder b;
    build_begin(&b);
    build_ops(&b, 0);
    struct faulty *f = faulty_new();
    faulty_fail_from(f, FAULTY_OPEN, 1, -ENOENT);
    CHECK_EQUAL(judge_through(faulty_io(f), 0).status, -ENOENT);
    faulty_free(f);
    build_end(&b);
}

static struct chain open_and_read(struct builder *b, unsigned frames)
{
    struct chain chain;
    struct frame frame;
    uint64_t lsn;
    REQUIRE(chain_open(&chain, io_system(), b->dir) == QUPLOG_OK);
    for (unsigned i = 0; i < frames; i++)
        CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_OK);
    return chain;
}

TEST(who_reads_what_is_trimmed_meanwhile_is_told_and_goes_on_behind_it)
{
    for (unsigned read = 0; read <= 3 * PER_SEGMENT; read++) {
        struct builder b;
        struct frame frame;
        uint64_t bases[SEGMENTS], lsn = 0, before = 0;
        build_trimmed(&b, bases, true);
        struct chain chain = open_and_read(&b, read);
        trim_the_old(&(struct others){.bases = bases});
        unsigned told = 0, frames = 0;
        int status = QUPLOG_OK;
        while (status == QUPLOG_OK || status == QUPLOG_NOT_FOUND) {
            status = chain_next(&chain, &frame, &lsn);
            told += status == QUPLOG_NOT_FOUND;
            frames += status == QUPLOG_OK;
            CHECK(status != QUPLOG_OK || lsn > before);
            before = lsn;
        }
        CHECK_EQUAL(status, QUPLOG_EMPTY);
        CHECK_EQUAL(told, read > 0 && read <= 2 * PER_SEGMENT); /* then it misses nothing */
        CHECK(frames >= (SEGMENTS - FIRST) * PER_SEGMENT);
        CHECK_EQUAL(chain.lsn, b.next);
        enum chain_end end;
        CHECK_EQUAL(chain_judge(&chain, &end), QUPLOG_OK);
        CHECK_EQUAL(end, CHAIN_CLEAN);
        chain_close(&chain);
        for (int i = FIRST; i < SEGMENTS; i++)
            remove_segment(bases[i]);
        build_end(&b);
    }
}

TEST(a_reader_who_stands_at_the_tail_follows_into_segments_made_since)
{
    struct builder b;
    struct frame frame;
    enum chain_end end;
    uint64_t lsn;
    build_begin(&b);
    build_ops(&b, 0);
    struct chain chain = open_and_read(&b, 1);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_EMPTY);
    CHECK_EQUAL(chain_judge(&chain, &end), QUPLOG_OK);
    build_segment(&b, b.next, b.next, 0);
    uint64_t second = build_ops(&b, 0);
    build_segment(&b, b.next, b.next, 0);
    uint64_t third = build_ops(&b, 0);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_OK);
    CHECK_EQUAL(lsn, second);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_OK);
    CHECK_EQUAL(lsn, third);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_EMPTY);
    chain_close(&chain);
    build_end(&b);
}

/* Trimmed up to the tail at which the reader stands, or far beyond it. */
TEST(a_reader_who_slept_at_the_tail_while_it_was_trimmed_away_goes_on_behind_it)
{
    for (int beyond = 0; beyond < 2; beyond++) {
        struct builder b;
        struct frame frame;
        uint64_t lsn;
        build_begin(&b);
        build_ops(&b, 0);
        struct chain chain = open_and_read(&b, 1);
        CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_EMPTY);
        if (beyond)
            build_ops(&b, 0);
        uint64_t second = b.next;
        build_segment(&b, second, second, 0);
        uint64_t trim = build_trim(&b, second, b.next);
        remove_segment(0);
        if (beyond)
            CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_NOT_FOUND);
        CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_OK);
        CHECK_EQUAL(lsn, trim);
        CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_EMPTY);
        CHECK(chain_whole(&chain));
        chain_close(&chain);
        remove_segment(second);
        build_end(&b);
    }
}

static void rename_segment(struct others *others, const char *from, const char *to)
{
    (void)others;
    REQUIRE(rename(lab_path(from), lab_path(to)) == 0);
}

static void show_the_hidden(struct others *others)
{
    char name[SEGMENT_NAME];
    segment_name(others->bases[4], name);
    rename_segment(others, "hidden", name);
}

/* A listing may miss what is created while it runs, and have what was created after that. */
TEST(a_listing_that_misses_a_new_segment_in_the_middle_is_made_again)
{
    struct faulty *f = faulty_new();
    struct builder b;
    uint64_t bases[SEGMENTS];
    char name[SEGMENT_NAME];
    build_trimmed(&b, bases, true);
    segment_name(bases[4], name);
    struct others others = {.at = 2, .act = show_the_hidden, .bases = bases};
    rename_segment(&others, name, "hidden");
    faulty_before(f, FAULTY_LIST, others_act, &others);
    struct verdict v = judge_through(faulty_io(f), 0);
    CHECK_EQUAL(v.status, QUPLOG_OK);
    CHECK_EQUAL(v.end, CHAIN_CLEAN);
    CHECK_EQUAL(v.frames, SEGMENTS * PER_SEGMENT);
    build_end(&b);
    faulty_free(f);
}

/* The same while the end is judged: recheck says to go on. */
TEST(a_gap_that_closes_while_it_is_called_corrupt_is_none)
{
    struct builder b;
    struct frame frame;
    enum chain_end end;
    uint64_t bases[SEGMENTS], lsn;
    char name[SEGMENT_NAME];
    build_trimmed(&b, bases, true);
    segment_name(bases[4], name);
    struct others others = {.bases = bases};
    rename_segment(&others, name, "hidden");
    struct chain chain = open_and_read(&b, 4 * PER_SEGMENT);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_EMPTY);
    CHECK_EQUAL(chain_judge(&chain, &end), QUPLOG_OK);
    CHECK_EQUAL(end, CHAIN_CORRUPT);
    CHECK(!chain_recheck(&chain));
    show_the_hidden(&others);
    CHECK(chain_recheck(&chain));
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_OK);
    CHECK_EQUAL(lsn, bases[4] + SEGMENT_HEADER);
    chain_close(&chain);
    build_end(&b);
}

static void remove_the_last_but_one(struct others *others)
{
    for (int i = 0; i < SEGMENTS - 1; i++)
        remove_segment(others->bases[i]);
    build_trim(others->b, others->bases[SEGMENTS - 1], others->b->next);
}

/* The frame at X is half written, and by the time that D is looked for all of it was trimmed. */
TEST(a_segment_that_is_unlinked_while_the_end_is_judged_was_trimmed)
{
    struct faulty *f = faulty_new();
    struct builder b;
    struct chain chain;
    struct frame frame;
    enum chain_end end;
    uint64_t bases[SEGMENTS], lsn;
    build_trimmed(&b, bases, true);
    lab_spoil(test_directory(), bases[2], bases[2] + SEGMENT_HEADER);
    struct others others = {.at = 1, .act = remove_the_last_but_one, .b = &b, .bases = bases};
    REQUIRE(chain_open(&chain, faulty_io(f), b.dir) == QUPLOG_OK);
    for (int i = 0; i < 2 * PER_SEGMENT; i++)
        CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_OK);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_EMPTY);
    faulty_before(f, FAULTY_OPEN, others_act, &others);
    CHECK_EQUAL(chain_judge(&chain, &end), QUPLOG_NOT_FOUND);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_NOT_FOUND);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_OK);
    CHECK_EQUAL(lsn, bases[SEGMENTS - 1] + SEGMENT_HEADER);
    chain_close(&chain);
    build_end(&b);
    faulty_free(f);
}

/* The file has grown since it was listed, in the midst of the frame at X. */
TEST(a_frame_half_written_at_the_end_of_a_file_that_grows_is_read_when_it_is_whole)
{
    struct builder b;
    struct frame frame;
    uint64_t lsn;
    build_begin(&b);
    build_ops(&b, 0);
    uint64_t second = build_ops(&b, SEGMENT_HEADER);
    struct lab_file whole = lab_load(lab_path("0000000000000000.log"));
    REQUIRE(ftruncate(b.segment.fd, (off_t)second + 60) == 0);
    struct chain chain = open_and_read(&b, 1);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_EMPTY);
    REQUIRE(pwrite(b.segment.fd, whole.data, whole.length, 0) == (ssize_t)whole.length);
    free(whole.data);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_OK);
    CHECK_EQUAL(lsn, second);
    chain_close(&chain);
    build_end(&b);
}

/* A creation that failed behind its rename is undone, and done again with another salt. */
TEST(a_segment_that_was_undone_and_made_again_under_its_name_is_read_anew)
{
    struct builder b;
    struct frame frame;
    uint64_t lsn;
    build_begin(&b);
    build_ops(&b, 0);
    uint64_t base = b.next;
    build_segment(&b, base, base, 0);
    struct chain chain = open_and_read(&b, 1);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_EMPTY);
    remove_segment(base);
    struct segment_header header = b.segment.header;
    header.salt++;
    close(b.segment.fd);
    REQUIRE(segment_create(io_system(), b.dir, &header, LAB_SEGMENT, false, &b.segment) == 0);
    uint64_t second = build_ops(&b, 0);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), QUPLOG_OK);
    CHECK_EQUAL(lsn, second);
    chain_close(&chain);
    build_end(&b);
}

TEST(a_directory_that_is_removed_under_a_reader_is_told)
{
    struct builder b;
    struct frame frame;
    uint64_t lsn;
    build_begin(&b);
    build_ops(&b, 0);
    struct chain chain = open_and_read(&b, 1);
    remove_segment(0);
    CHECK_EQUAL(chain_next(&chain, &frame, &lsn), -ENOENT);
    CHECK_EQUAL(chain_refresh(&chain), -ENOENT);
    chain_close(&chain);
    build_end(&b);
}

TEST(a_call_that_fails_is_told_and_never_taken_for_an_end)
{
    struct faulty *f = faulty_new();
    struct builder b;
    uint64_t bases[SEGMENTS];
    build_trimmed(&b, bases, true);
    remove_segment(bases[1]);
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        faulty_fail(f, FAULTY_ANY, n, -EIO);
        struct verdict v = judge_through(faulty_io(f), 0);
        failed = faulty_failed(f);
        CHECK_EQUAL(v.status, failed ? -EIO : QUPLOG_OK);
        CHECK_EQUAL(v.end, CHAIN_CLEAN);
    }
    build_end(&b);
    faulty_free(f);
}

TEST(a_segment_that_cannot_be_opened_is_named)
{
    struct faulty *f = faulty_new();
    struct builder b;
    uint64_t bases[SEGMENTS];
    char name[SEGMENT_NAME];
    build_trimmed(&b, bases, true);
    for (int i = 0; i < SEGMENTS; i++) {
        faulty_fail(f, FAULTY_OPEN, (uint64_t)i + 1, -EACCES);
        struct verdict v = judge_through(faulty_io(f), 0);
        segment_name(bases[i], name);
        CHECK_EQUAL(v.status, -EACCES);
        CHECK_TEXT(v.report.file, name);
    }
    build_end(&b);
    faulty_free(f);
}

/* ---- the tools' reader ---- */

/* A frame with one op that has a number: a CANCEL of that job. */
static void build_number(struct builder *b, uint64_t number)
{
    unsigned char bytes[FRAME_HEADER + 16] = {0}, *op = bytes + FRAME_HEADER;
    op[0] = QUPLOG_OP_CANCEL;
    put_u32(op + 4, 16);
    put_u64(op + 8, number);
    build_body(b, FRAME_OPS, bytes, 16, 0);
}

static uint64_t read_number(quplog_reader *reader)
{
    quplog_record record = {0};
    int status = quplog_reader_next(reader, &record);
    CHECK(status == QUPLOG_OK || status == QUPLOG_EMPTY);
    return status == QUPLOG_OK ? record.id : 0;
}

TEST(the_reader_hands_out_nothing_twice_and_goes_on_over_what_is_trimmed_and_made)
{
    struct builder b;
    quplog_reader *reader;
    uint64_t bases[4];
    build_begin(&b);
    for (unsigned i = 0; i < 4; i++) {
        if (i > 0)
            build_segment(&b, b.next, b.next, 0);
        bases[i] = b.segment.header.base;
        build_number(&b, i * 10 + 1);
        build_number(&b, i * 10 + 2);
    }
    REQUIRE(quplog_reader_open(test_directory(), 0, &reader, NULL) == QUPLOG_OK);
    CHECK_EQUAL(read_number(reader), 1);
    build_trim(&b, bases[3], b.next);
    for (int i = 0; i < 3; i++)
        remove_segment(bases[i]);
    CHECK_EQUAL(read_number(reader), 2); /* it has that file open */
    CHECK_EQUAL(read_number(reader), 31);
    CHECK_EQUAL(read_number(reader), 32);
    CHECK_EQUAL(read_number(reader), 0);
    build_segment(&b, b.next, b.next, 0);
    build_number(&b, 41);
    CHECK_EQUAL(read_number(reader), 41);
    CHECK_EQUAL(read_number(reader), 0);
    quplog_reader_close(reader);
    build_end(&b);
}

/* ---- all at once ---- */

enum { ROUNDS = 300, KEPT = 3 };

/* In a process of its own: small segments of numbered frames, of which the last few are kept. */
static void write_and_trim(void)
{
    struct builder b;
    uint64_t bases[ROUNDS], number = 0;
    unsigned oldest = 0;
    build_begin(&b);
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i > 0)
            build_segment(&b, b.next, b.next, b.next);
        bases[i] = b.segment.header.base;
        for (int k = 0; k < 20; k++)
            build_number(&b, ++number);
        if (i % KEPT || i < KEPT)
            continue;
        build_trim(&b, bases[i - KEPT], b.next);
        while (oldest < i - KEPT)
            remove_segment(bases[oldest++]);
    }
    build_end(&b);
}

static pid_t start_writer(void)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    if (setjmp(test_now.end) == 0) {
        write_and_trim();
        _exit(0);
    }
    _exit(1);
}

/* One reading from the oldest to the tail as it then is: the last number; 0: nothing was there. No
 * number may be missed between two, unless it is told. */
static uint64_t read_beside(int dir, unsigned *told)
{
    struct chain chain;
    struct frame frame;
    enum chain_end end = CHAIN_CLEAN;
    uint64_t lsn, before = 0;
    int status = chain_open(&chain, io_system(), dir);
    while (status == QUPLOG_OK && chain.count) {
        status = chain_next(&chain, &frame, &lsn);
        if (status == QUPLOG_OK && frame.kind == FRAME_OPS) {
            uint64_t number = get_u64(frame.body.data + 8);
            CHECK(before == 0 || number == before + 1);
            before = number;
        } else if (status == QUPLOG_NOT_FOUND) {
            before = 0;
            (*told)++;
            status = QUPLOG_OK;
        } else if (status == QUPLOG_EMPTY) {
            status = chain_judge(&chain, &end);
            bool again = status == QUPLOG_OK && end == CHAIN_CORRUPT && chain_recheck(&chain);
            if (status == QUPLOG_OK && !again)
                break;
            status = QUPLOG_OK;
        }
    }
    CHECK_EQUAL(status, QUPLOG_OK);
    CHECK(end != CHAIN_CORRUPT);
    if (end == CHAIN_CORRUPT)
        printf("    %s\n", chain.report.message);
    chain_close(&chain);
    return before;
}

TEST(a_reader_beside_a_writer_who_trims_sees_no_damage_and_misses_nothing_untold)
{
    uint64_t last = 0;
    unsigned told = 0, readings = 0;
    int dir = open(test_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), code = -1;
    REQUIRE(dir >= 0);
    pid_t child = start_writer();
    REQUIRE(child > 0);
    while (waitpid(child, &code, WNOHANG) == 0) {
        uint64_t now = read_beside(dir, &told);
        CHECK(now >= last);
        last = now;
        readings++;
    }
    CHECK_EQUAL(code, 0);
    CHECK_EQUAL(read_beside(dir, &told), ROUNDS * 20);
    CHECK(readings > 0);
    close(dir);
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
        LISTED(segments_that_exchanged_their_names_are_corrupt_if_they_were_synced),
        LISTED(a_synced_segment_with_any_other_name_is_corrupt),
        LISTED(an_older_segment_that_also_has_another_name_is_no_witness_of_a_loss),
        LISTED(a_segment_of_a_newer_version_is_unsupported),
        LISTED(a_beheaded_last_segment_is_torn_before_d_and_corrupt_behind_it),
        LISTED(a_beheaded_unsynced_segment_in_the_middle_is_torn),
        LISTED(a_beheaded_synced_segment_in_the_middle_is_corrupt),
        LISTED(a_beheaded_only_segment_is_corrupt_and_never_an_empty_log),
        LISTED(a_beheaded_first_segment_is_corrupt_and_never_dropped),
        LISTED(a_recheck_sees_what_was_written_meanwhile),
        LISTED(a_log_may_begin_in_the_gap_that_a_recovery_left),
        LISTED(a_trim_that_gives_up_itself_is_none_that_a_writer_writes),
        LISTED(a_trimming_cut_short_may_have_left_any_of_the_old_segments),
        LISTED(a_segment_missing_behind_first_lsn_is_corrupt_with_or_without_leftovers),
        LISTED(a_leftover_that_lost_its_last_bytes_is_cut_off),
        LISTED(an_unsynced_end_that_is_lost_behind_a_trim_is_torn_as_ever),
        LISTED(a_gap_that_no_trim_explains_is_corrupt),
        LISTED(what_is_not_proved_to_be_trimmed_is_set_aside_and_not_removed),
        LISTED(a_leftover_of_another_log_that_would_join_is_set_aside),
        LISTED(a_trim_that_was_lost_trims_nothing_although_a_later_header_repeats_it),
        LISTED(a_segment_that_ends_in_a_payload_of_zeros_is_no_gap),
        LISTED(a_gap_before_a_segment_that_a_recovery_began_is_seen),
        LISTED(a_look_at_the_past_before_the_trim_is_no_damage_but_not_whole),
        LISTED(reading_from_behind_the_trim_does_not_miss_what_is_before_it),
        LISTED(segments_that_are_unlinked_between_the_listing_and_their_opening_were_trimmed),
        LISTED(a_segment_that_is_listed_but_never_there_is_told_and_no_endless_search),
        LISTED(who_reads_what_is_trimmed_meanwhile_is_told_and_goes_on_behind_it),
        LISTED(a_reader_who_stands_at_the_tail_follows_into_segments_made_since),
        LISTED(a_reader_who_slept_at_the_tail_while_it_was_trimmed_away_goes_on_behind_it),
        LISTED(a_listing_that_misses_a_new_segment_in_the_middle_is_made_again),
        LISTED(a_gap_that_closes_while_it_is_called_corrupt_is_none),
        LISTED(a_segment_that_is_unlinked_while_the_end_is_judged_was_trimmed),
        LISTED(a_frame_half_written_at_the_end_of_a_file_that_grows_is_read_when_it_is_whole),
        LISTED(a_segment_that_was_undone_and_made_again_under_its_name_is_read_anew),
        LISTED(a_directory_that_is_removed_under_a_reader_is_told),
        LISTED(a_call_that_fails_is_told_and_never_taken_for_an_end),
        LISTED(a_segment_that_cannot_be_opened_is_named),
        LISTED(the_reader_hands_out_nothing_twice_and_goes_on_over_what_is_trimmed_and_made),
        LISTED(a_reader_beside_a_writer_who_trims_sees_no_damage_and_misses_nothing_untold),
    };
    return RUN(tests, argc, argv);
}
