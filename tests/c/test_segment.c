/* One segment file: its name, its header block, its zeros, and looking for frames in it. */
#include "log_builder.h"

static const struct segment_header HEADER = {.base = 0x10000,
                                             .prev_end = 0xf000,
                                             .first_lsn = 77,
                                             .synced_lsn = 0xe000,
                                             .salt = 0x1234567890abcdef,
                                             .created_us = 99,
                                             .log_id = "a log of its own",
                                             .boot_id = "and of this boot"};

/* ---- names ---- */

TEST(a_name_says_the_base_and_nothing_else_is_a_segment)
{
    static const char *const others[] = {
        "",                      "lock",
        "0000000000000000",      "0000000000000000.log.tmp", "000000000000000.log",
        "00000000000000000.log", "000000000000000G.log",    "ABCDEFABCDEFABCD.log",
        "0000000000000000.LOG",  "x000000000000000.log",
        "0100000000000000.log"}; /* no LSN comes so far */
    char name[SEGMENT_NAME];
    uint64_t base;
    segment_name(0x0012ab6789abcdef, name);
    CHECK_TEXT(name, "0012ab6789abcdef.log");
    CHECK(segment_parse_name(name, &base));
    CHECK_EQUAL(base, 0x0012ab6789abcdef);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        CHECK(!segment_parse_name(others[i], &base));
    CHECK(segment_is_temporary("0012ab6789abcdef.log.tmp"));
    CHECK(!segment_is_temporary("0012ab6789abcdef.log"));
    CHECK(!segment_is_temporary(".tmp"));
    CHECK(segment_is_temporary("spare.tmp"));
    CHECK(!segment_is_temporary("spare"));
    CHECK(!segment_parse_name("spare", &base));
}

/* ---- the header ---- */

static int open_test_directory(void)
{
    int dir = open(test_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(dir >= 0);
    return dir;
}

/* A segment with HEADER, and its descriptor. */
static struct segment create(void)
{
    struct segment segment;
    int dir = open_test_directory();
    REQUIRE(segment_create(io_system(), dir, &HEADER, LAB_SEGMENT, true, &segment) == QUPLOG_OK);
    close(dir);
    return segment;
}

static enum segment_verdict judge(int fd, struct segment_header *out)
{
    enum segment_verdict verdict = SEGMENT_UNSUPPORTED;
    CHECK_EQUAL(segment_read_header(io_system(), fd, out, &verdict), QUPLOG_OK);
    return verdict;
}

static void spoil(int fd, off_t at)
{
    unsigned char byte;
    REQUIRE(pread(fd, &byte, 1, at) == 1);
    byte ^= 0x40;
    REQUIRE(pwrite(fd, &byte, 1, at) == 1);
}

TEST(every_field_of_the_header_comes_back)
{
    struct segment_header got;
    struct segment segment = create();
    CHECK_EQUAL(judge(segment.fd, &got), SEGMENT_VALID);
    CHECK_BYTES(&got, &HEADER, sizeof got);
    close(segment.fd);
}

TEST(any_damage_to_one_copy_is_survived_and_to_both_is_not)
{
    struct segment_header got;
    struct segment segment = create();
    for (off_t at = 0; at < 128; at++) {
        spoil(segment.fd, at);
        CHECK_EQUAL(judge(segment.fd, &got), SEGMENT_VALID);
        CHECK_BYTES(&got, &HEADER, sizeof got);
        spoil(segment.fd, 2048 + (at + 64) % 128);
        CHECK_EQUAL(judge(segment.fd, &got), SEGMENT_BROKEN);
        spoil(segment.fd, at); /* as it was: only the second is damaged */
        CHECK_EQUAL(judge(segment.fd, &got), SEGMENT_VALID);
        spoil(segment.fd, 2048 + (at + 64) % 128);
    }
    close(segment.fd);
}

TEST(a_header_that_says_it_stands_before_what_was_before_it_is_none)
{
    struct segment_header got, header = HEADER;
    struct segment segment;
    uint64_t *fields[] = {&header.prev_end, &header.first_lsn, &header.prev_end};
    const uint64_t values[] = {HEADER.base + 1, HEADER.base + 1, 0};
    for (size_t i = 0; i < 3; i++) {
        header = HEADER;
        *fields[i] = values[i];
        int dir = open_test_directory();
        REQUIRE(segment_create(io_system(), dir, &header, LAB_SEGMENT, false, &segment) == 0);
        CHECK_EQUAL(judge(segment.fd, &got), SEGMENT_BROKEN);
        close(segment.fd);
        close(dir);
    }
}

TEST(a_short_file_is_broken_and_nothing_is_read_behind_its_end)
{
    struct segment_header got;
    struct segment segment = create();
    static const off_t lengths[] = {0, 1, 127, 128, 2048, 2175};
    for (size_t i = sizeof lengths / sizeof *lengths; i-- > 0;) {
        REQUIRE(ftruncate(segment.fd, lengths[i]) == 0);
        CHECK_EQUAL(judge(segment.fd, &got), lengths[i] < 128 ? SEGMENT_BROKEN : SEGMENT_VALID);
    }
    close(segment.fd);
}

static void change(int fd, size_t at, uint32_t to)
{
    unsigned char copy[128];
    REQUIRE(pread(fd, copy, sizeof copy, 0) == (ssize_t)sizeof copy);
    put_u32(copy + at, to);
    put_u32(copy + 124, crc32c(0, copy, 124));
    REQUIRE(pwrite(fd, copy, sizeof copy, 0) == (ssize_t)sizeof copy);
}

TEST(another_version_or_an_unknown_feature_is_unsupported)
{
    struct segment_header got;
    struct segment segment = create();
    change(segment.fd, 8, 2);
    CHECK_EQUAL(judge(segment.fd, &got), SEGMENT_UNSUPPORTED);
    change(segment.fd, 8, SEGMENT_VERSION);
    CHECK_EQUAL(judge(segment.fd, &got), SEGMENT_VALID);
    change(segment.fd, 12, 1U << 31);
    CHECK_EQUAL(judge(segment.fd, &got), SEGMENT_UNSUPPORTED);
    close(segment.fd);
}

/* ---- creating ---- */

TEST(a_durable_segment_is_synced_before_its_name_and_its_name_before_it_is_used)
{
    struct faulty *f = faulty_new();
    const struct faulty_event *e;
    struct segment segment;
    int dir = open_test_directory();
    faulty_record(f);
    CHECK_EQUAL(segment_create(faulty_io(f), dir, &HEADER, LAB_SEGMENT, true, &segment), 0);
    REQUIRE(faulty_events(f, &e) == 5);
    static const enum faulty_kind order[] = {FAULTY_OPEN, FAULTY_WRITE, FAULTY_SYNC,
                                             FAULTY_RENAME, FAULTY_DIRECTORY};
    for (int i = 0; i < 5; i++)
        CHECK_EQUAL(e[i].kind, order[i]);
    CHECK_TEXT(e[0].name, "0000000000010000.log.tmp");
    CHECK_TEXT(e[3].name, "0000000000010000.log");
    close(segment.fd);
    close(dir);
    faulty_free(f);
}

TEST(a_failed_creation_leaves_nothing_and_can_be_repeated)
{
    static const enum faulty_kind kinds[] = {FAULTY_OPEN, FAULTY_WRITE, FAULTY_SYNC,
                                             FAULTY_RENAME};
    struct faulty *f = faulty_new();
    struct segment segment;
    const struct io *io = faulty_io(f);
    int dir = open_test_directory();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        faulty_fail(f, kinds[i], 1, -ENOSPC);
        CHECK_EQUAL(segment_create(io, dir, &HEADER, LAB_SEGMENT, true, &segment), QUPLOG_FULL);
        faulty_fail(f, kinds[i], 1, -EIO);
        CHECK_EQUAL(segment_create(io, dir, &HEADER, LAB_SEGMENT, true, &segment), -EIO);
        CHECK(!lab_exists(test_directory(), "0000000000010000.log"));
        CHECK(!lab_exists(test_directory(), "0000000000010000.log.tmp"));
    }
    faulty_behave(f);
    CHECK_EQUAL(segment_create(io, dir, &HEADER, LAB_SEGMENT, true, &segment), QUPLOG_OK);
    close(segment.fd);
    close(dir);
    faulty_free(f);
}

TEST(space_is_zeroed_in_steps_up_to_the_limit_and_as_far_as_asked)
{
    struct segment segment = create();
    struct stat stat;
    segment.limit = 3 * (uint64_t)SEGMENT_STEP + 4096;
    static const struct {
        uint64_t asked, gets;
    } cases[] = {{5000, SEGMENT_STEP},
                 {SEGMENT_STEP, SEGMENT_STEP},
                 {SEGMENT_STEP + 1, 2 * SEGMENT_STEP},
                 {3 * SEGMENT_STEP + 1, 3 * SEGMENT_STEP + 4096},
                 {4 * SEGMENT_STEP + 8, 4 * SEGMENT_STEP + 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_EQUAL(segment_zero_ahead(io_system(), &segment, cases[i].asked), QUPLOG_OK);
        REQUIRE(fstat(segment.fd, &stat) == 0);
        CHECK_EQUAL(stat.st_size, cases[i].gets);
        CHECK_EQUAL(segment.size, cases[i].gets);
    }
    close(segment.fd);
}

TEST(zeros_that_do_not_fit_are_told_as_full_and_asked_for_again)
{
    struct faulty *f = faulty_new();
    struct segment segment = create();
    faulty_fail(f, FAULTY_WRITE, 1, -ENOSPC);
    CHECK_EQUAL(segment_zero_ahead(faulty_io(f), &segment, LAB_SEGMENT), QUPLOG_FULL);
    CHECK_EQUAL(segment.size, SEGMENT_HEADER);
    faulty_behave(f);
    CHECK_EQUAL(segment_zero_ahead(faulty_io(f), &segment, LAB_SEGMENT), QUPLOG_OK);
    CHECK_EQUAL(segment.size, LAB_SEGMENT);
    close(segment.fd);
    faulty_free(f);
}

/* ---- the spare ---- */

enum { SPARE = 256 << 10 };

static struct lab_file load_spare(void)
{
    return lab_load(lab_path("spare"));
}

static uint64_t spare_size(void)
{
    struct lab_file file = load_spare();
    free(file.data);
    return file.length;
}

static bool all_zero(struct lab_file file, size_t from)
{
    for (size_t i = from; i < file.length; i++)
        if (file.data[i])
            return false;
    return true;
}

static void store_spare(const char *name, size_t length)
{
    struct lab_file file = {calloc(1, length + 1), length};
    REQUIRE(file.data);
    lab_store(lab_path(name), file);
    free(file.data);
}

static const char SEGMENT_FILE[] = "0000000000010000.log";

TEST(a_spare_is_full_of_zeros_and_made_once)
{
    struct faulty *f = faulty_new();
    int dir = open_test_directory();
    CHECK_EQUAL(segment_make_spare(faulty_io(f), dir, SPARE), QUPLOG_OK);
    struct lab_file file = load_spare();
    CHECK_EQUAL(file.length, SPARE);
    CHECK(all_zero(file, 0));
    free(file.data);
    CHECK(!lab_exists(test_directory(), "spare.tmp"));
    faulty_behave(f);
    CHECK_EQUAL(segment_make_spare(faulty_io(f), dir, 2 * SPARE), QUPLOG_OK);
    CHECK_EQUAL(faulty_count(f, FAULTY_WRITE), 0);
    CHECK_EQUAL(spare_size(), SPARE);
    close(dir);
    faulty_free(f);
}

TEST(a_spare_that_a_power_cut_left_short_is_made_anew_and_never_adopted)
{
    struct segment segment;
    int dir = open_test_directory();
    store_spare("spare", SEGMENT_SPARE_MIN - 1);
    store_spare("spare.tmp", 2 * SPARE); /* of a larger one */
    CHECK_EQUAL(segment_adopt_spare(io_system(), dir, &HEADER, &segment), QUPLOG_FULL);
    CHECK_EQUAL(segment_make_spare(io_system(), dir, SPARE), QUPLOG_OK);
    CHECK_EQUAL(spare_size(), SPARE);
    CHECK_EQUAL(segment_drop_spare(io_system(), dir), QUPLOG_OK);
    CHECK(!lab_exists(test_directory(), "spare"));
    CHECK_EQUAL(segment_drop_spare(io_system(), dir), QUPLOG_OK);
    close(dir);
}

TEST(a_spare_for_which_there_is_no_room_is_halved_and_the_smallest_is_told_as_full)
{
    struct faulty *f = faulty_new();
    int dir = open_test_directory();
    faulty_fail(f, FAULTY_WRITE, 3, -ENOSPC); /* the third piece of four */
    CHECK_EQUAL(segment_make_spare(faulty_io(f), dir, SPARE), QUPLOG_OK);
    CHECK_EQUAL(spare_size(), SPARE / 2);
    CHECK_EQUAL(segment_drop_spare(faulty_io(f), dir), QUPLOG_OK);
    faulty_fail_from(f, FAULTY_WRITE, 1, -ENOSPC);
    CHECK_EQUAL(segment_make_spare(faulty_io(f), dir, SPARE), QUPLOG_FULL);
    CHECK_EQUAL(faulty_count(f, FAULTY_WRITE), 3); /* 256, 128 and 64 KiB */
    CHECK(!lab_exists(test_directory(), "spare"));
    CHECK(!lab_exists(test_directory(), "spare.tmp"));
    close(dir);
    faulty_free(f);
}

/* Each call of the making fails once: what is left is a whole spare or none, and no rest of it. */
TEST(a_spare_whose_making_fails_anywhere_is_whole_or_none)
{
    struct faulty *f = faulty_new();
    int dir = open_test_directory();
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        faulty_fail(f, FAULTY_ANY, n, -EIO);
        int status = segment_make_spare(faulty_io(f), dir, SPARE);
        failed = faulty_failed(f);
        CHECK_EQUAL(status, failed ? -EIO : QUPLOG_OK);
        CHECK_EQUAL(spare_size(), failed ? 0 : SPARE);
        CHECK(!lab_exists(test_directory(), "spare.tmp"));
    }
    close(dir);
    faulty_free(f);
}

TEST(a_spare_becomes_a_segment_of_zeros_that_does_not_grow)
{
    struct faulty *f = faulty_new();
    struct segment segment;
    struct segment_header got;
    int dir = open_test_directory();
    CHECK_EQUAL(segment_adopt_spare(faulty_io(f), dir, &HEADER, &segment), QUPLOG_FULL);
    REQUIRE(segment_make_spare(faulty_io(f), dir, SPARE) == QUPLOG_OK);
    faulty_behave(f);
    REQUIRE(segment_adopt_spare(faulty_io(f), dir, &HEADER, &segment) == QUPLOG_OK);
    CHECK_EQUAL(faulty_count(f, FAULTY_WRITE), 1); /* into a block that it has */
    CHECK_EQUAL(segment.size, SPARE);
    CHECK_EQUAL(segment.limit, SPARE);
    CHECK_EQUAL(judge(segment.fd, &got), SEGMENT_VALID);
    CHECK_BYTES(&got, &HEADER, sizeof got);
    struct lab_file file = lab_load(lab_path(SEGMENT_FILE));
    CHECK_EQUAL(file.length, SPARE);
    CHECK(all_zero(file, SEGMENT_HEADER));
    free(file.data);
    CHECK(!lab_exists(test_directory(), "spare"));
    close(segment.fd);
    close(dir);
    faulty_free(f);
}

/* A kill between the header and the name leaves a spare with another's header in it. */
TEST(a_spare_whose_adoption_fails_anywhere_stays_one_and_can_be_adopted_later)
{
    struct faulty *f = faulty_new();
    struct segment segment = {.fd = -1};
    struct segment_header got, other = HEADER;
    int dir = open_test_directory();
    other.base = 0x20000;
    other.salt = 5;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        REQUIRE(segment_make_spare(io_system(), dir, SPARE) == QUPLOG_OK);
        faulty_fail(f, FAULTY_ANY, n, -EIO);
        int status = segment_adopt_spare(faulty_io(f), dir, &other, &segment);
        failed = faulty_failed(f);
        CHECK_EQUAL(status, failed ? -EIO : QUPLOG_OK);
        if (!failed)
            close(segment.fd);
        CHECK_EQUAL(spare_size(), failed ? SPARE : 0);
        CHECK(!failed || lab_segments(test_directory()).count == 0);
    }
    REQUIRE(segment_make_spare(io_system(), dir, SPARE) == QUPLOG_OK);
    faulty_fail(f, FAULTY_RENAME, 1, -EIO);
    CHECK_EQUAL(segment_adopt_spare(faulty_io(f), dir, &other, &segment), -EIO);
    CHECK_EQUAL(segment_make_spare(io_system(), dir, SPARE), QUPLOG_OK);
    REQUIRE(segment_adopt_spare(faulty_io(f), dir, &HEADER, &segment) == QUPLOG_OK);
    CHECK_EQUAL(judge(segment.fd, &got), SEGMENT_VALID);
    CHECK_BYTES(&got, &HEADER, sizeof got);
    close(segment.fd);
    close(dir);
    faulty_free(f);
}

/* ---- looking ---- */

static uint64_t search(const struct builder *b, uint64_t from)
{
    struct segment_cursor cursor = {0};
    uint64_t synced = 0;
    segment_cursor_open(&cursor, io_system(), b->segment.fd, &b->segment.header, LAB_SEGMENT);
    CHECK_EQUAL(segment_search_synced(&cursor, from, &synced), QUPLOG_OK);
    segment_cursor_close(&cursor);
    return synced;
}

TEST(the_search_finds_a_witness_behind_any_damage)
{
    struct builder b;
    build_begin(&b);
    uint64_t first = build_frame(&b, FRAME_OPS, 200, 0);
    uint64_t second = build_frame(&b, FRAME_OPS, 96, 0);
    build_frame(&b, FRAME_OPS, 64, second);
    for (uint64_t at = first; at < second; at++) {
        lab_spoil(test_directory(), 0, at);
        CHECK_EQUAL(search(&b, first), second);
        lab_spoil(test_directory(), 0, at);
    }
    build_end(&b);
}

TEST(the_search_counts_a_newer_writers_frame_as_a_witness)
{
    struct builder b;
    build_begin(&b);
    build_frame(&b, 9, 64, 4096);
    CHECK_EQUAL(search(&b, SEGMENT_HEADER), 4096);
    build_end(&b);
}

TEST(the_search_ends_where_it_is_told_to)
{
    struct builder b;
    struct segment_cursor cursor = {0};
    uint64_t synced = 0;
    build_begin(&b);
    uint64_t first = build_ops(&b, 5), second = build_ops(&b, 4100);
    segment_cursor_open(&cursor, io_system(), b.segment.fd, &b.segment.header, second);
    CHECK_EQUAL(segment_search_synced(&cursor, first, &synced), QUPLOG_OK);
    CHECK_EQUAL(synced, 5);
    segment_cursor_close(&cursor);
    build_end(&b);
}

TEST(the_last_byte_that_is_not_zero_is_found_across_windows)
{
    struct builder b;
    struct segment_cursor cursor = {0};
    uint64_t used = 0, length = 5 * (uint64_t)SEGMENT_STEP;
    build_begin(&b);
    REQUIRE(ftruncate(b.segment.fd, (off_t)length) == 0);
    static const uint64_t places[] = {SEGMENT_HEADER, SEGMENT_STEP - 1, SEGMENT_STEP,
                                      SEGMENT_STEP + SEGMENT_HEADER - 1,
                                      SEGMENT_STEP + SEGMENT_HEADER, 5 * SEGMENT_STEP - 1};
    segment_cursor_open(&cursor, io_system(), b.segment.fd, &b.segment.header, length);
    CHECK_EQUAL(segment_used(&cursor, SEGMENT_HEADER, &used), QUPLOG_OK);
    CHECK_EQUAL(used, SEGMENT_HEADER);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        REQUIRE(pwrite(b.segment.fd, "x", 1, (off_t)places[i]) == 1);
        segment_cursor_drop(&cursor);
        CHECK_EQUAL(segment_used(&cursor, SEGMENT_HEADER, &used), QUPLOG_OK);
        CHECK_EQUAL(used, places[i] + 1);
    }
    segment_cursor_close(&cursor);
    build_end(&b);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(a_name_says_the_base_and_nothing_else_is_a_segment),
        LISTED(every_field_of_the_header_comes_back),
        LISTED(any_damage_to_one_copy_is_survived_and_to_both_is_not),
        LISTED(a_header_that_says_it_stands_before_what_was_before_it_is_none),
        LISTED(a_short_file_is_broken_and_nothing_is_read_behind_its_end),
        LISTED(another_version_or_an_unknown_feature_is_unsupported),
        LISTED(a_durable_segment_is_synced_before_its_name_and_its_name_before_it_is_used),
        LISTED(a_failed_creation_leaves_nothing_and_can_be_repeated),
        LISTED(space_is_zeroed_in_steps_up_to_the_limit_and_as_far_as_asked),
        LISTED(zeros_that_do_not_fit_are_told_as_full_and_asked_for_again),
        LISTED(a_spare_is_full_of_zeros_and_made_once),
        LISTED(a_spare_that_a_power_cut_left_short_is_made_anew_and_never_adopted),
        LISTED(a_spare_for_which_there_is_no_room_is_halved_and_the_smallest_is_told_as_full),
        LISTED(a_spare_whose_making_fails_anywhere_is_whole_or_none),
        LISTED(a_spare_becomes_a_segment_of_zeros_that_does_not_grow),
        LISTED(a_spare_whose_adoption_fails_anywhere_stays_one_and_can_be_adopted_later),
        LISTED(the_search_finds_a_witness_behind_any_damage),
        LISTED(the_search_counts_a_newer_writers_frame_as_a_witness),
        LISTED(the_search_ends_where_it_is_told_to),
        LISTED(the_last_byte_that_is_not_zero_is_found_across_windows),
    };
    return RUN(tests, argc, argv);
}
