/* A frame counts only as a whole, at its own place, in its own segment. */
#include "frame.h"

#include "crc32c.h"
#include "quplog.h"
#include "test.h"

enum { BODY = 40, LENGTH = FRAME_HEADER + BODY };

static const uint64_t LSN = UINT64_C(0x123456789a8);
static const uint64_t SALT = UINT64_C(0xfedcba9876543210);

static void fill_body(unsigned char *bytes, unsigned first)
{
    for (unsigned i = 0; i < BODY; i++)
        bytes[FRAME_HEADER + i] = (unsigned char)(first + i);
}

static struct frame sample(void)
{
    return (struct frame){.kind = FRAME_OPS,
                          .length = LENGTH,
                          .op_count = 3,
                          .time_us = -5,
                          .synced_lsn = UINT64_MAX - 7,
                          .first_id = UINT64_C(0x8000000100000002)};
}

static void seal(unsigned char *bytes, const struct frame *frame)
{
    uint32_t crc = crc32c(0, bytes + FRAME_HEADER, BODY);
    frame_seal(bytes, frame, crc, LSN, SALT);
}

static void make(unsigned char *bytes)
{
    struct frame frame = sample();
    fill_body(bytes, 1);
    seal(bytes, &frame);
}

/* Both sums as docs/FORMAT.md says them, over a header that somebody has changed. */
static void sum_again(unsigned char *bytes, size_t length)
{
    unsigned char place[16];
    put_u64(place, LSN);
    put_u64(place + 8, SALT);
    put_u32(bytes + 12, crc32c(crc32c(0, bytes, 12), place, sizeof place));
    uint32_t crc = crc32c(0, bytes + FRAME_HEADER, length - FRAME_HEADER);
    crc = crc32c(crc, bytes, 44);
    put_u32(bytes + 44, crc32c(crc, place, sizeof place));
}

static enum frame_verdict judge(const unsigned char *bytes, size_t available)
{
    struct frame out;
    return frame_parse(bytes, available, LSN, SALT, &out);
}

TEST(a_sealed_frame_comes_back_as_it_was)
{
    unsigned char bytes[LENGTH];
    struct frame out, frame = sample();
    make(bytes);
    CHECK_EQUAL(frame_parse(bytes, LENGTH, LSN, SALT, &out), FRAME_VALID);
    CHECK_EQUAL(out.kind, FRAME_OPS);
    CHECK_EQUAL(out.length, LENGTH);
    CHECK_EQUAL(out.op_count, 3);
    CHECK_EQUAL(out.time_us, -5);
    CHECK_EQUAL(out.synced_lsn, frame.synced_lsn);
    CHECK_EQUAL(out.first_id, frame.first_id);
    CHECK(out.body.data == bytes + FRAME_HEADER);
    CHECK_EQUAL(out.body.length, BODY);
}

TEST(the_sums_are_those_of_the_format)
{
    unsigned char bytes[LENGTH], again[LENGTH];
    make(bytes);
    memcpy(again, bytes, LENGTH);
    put_u32(again + 12, 0);
    put_u32(again + 44, 0);
    sum_again(again, LENGTH);
    CHECK_BYTES(again, bytes, LENGTH);
}

TEST(bytes_behind_a_frame_do_not_matter)
{
    unsigned char bytes[LENGTH + 64];
    make(bytes);
    memset(bytes + LENGTH, 0xa7, 64);
    CHECK_EQUAL(judge(bytes, sizeof bytes), FRAME_VALID);
}

TEST(a_frame_that_was_moved_never_passes)
{
    unsigned char bytes[LENGTH];
    struct frame out;
    make(bytes);
    for (int bit = 0; bit < 64; bit++) {
        uint64_t elsewhere = LSN ^ UINT64_C(1) << bit;
        CHECK_EQUAL(frame_parse(bytes, LENGTH, elsewhere, SALT, &out), FRAME_BROKEN);
        CHECK_EQUAL(out.length, 0);
    }
    CHECK_EQUAL(frame_parse(bytes, LENGTH, LSN + 4096, SALT, &out), FRAME_BROKEN);
    CHECK_EQUAL(frame_parse(bytes, LENGTH, 0, SALT, &out), FRAME_BROKEN);
}

TEST(a_frame_of_another_segment_never_passes)
{
    unsigned char bytes[LENGTH];
    struct frame out;
    make(bytes);
    for (int bit = 0; bit < 64; bit++)
        CHECK_EQUAL(frame_parse(bytes, LENGTH, LSN, SALT ^ UINT64_C(1) << bit, &out),
                    FRAME_BROKEN);
    CHECK_EQUAL(frame_parse(bytes, LENGTH, SALT, LSN, &out), FRAME_BROKEN);
}

/* The same place was written twice: the disk has some sectors of each. */
TEST(a_new_header_over_a_stale_body_is_damaged)
{
    unsigned char bytes[LENGTH], stale[LENGTH];
    struct frame out;
    make(bytes);
    memcpy(stale, bytes, LENGTH);
    fill_body(stale, 2);
    CHECK_EQUAL(frame_parse(stale, LENGTH, LSN, SALT, &out), FRAME_DAMAGED);
    CHECK_EQUAL(out.length, LENGTH);
    memset(bytes + FRAME_HEADER + 8, 0, BODY - 8);
    CHECK_EQUAL(judge(bytes, LENGTH), FRAME_DAMAGED);
}

TEST(every_flipped_bit_is_caught)
{
    unsigned char bytes[LENGTH];
    make(bytes);
    for (size_t i = 0; i < LENGTH * 8; i++) {
        bytes[i / 8] ^= (unsigned char)(1 << i % 8);
        CHECK_EQUAL(judge(bytes, LENGTH), i / 8 < 16 ? FRAME_BROKEN : FRAME_DAMAGED);
        bytes[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    CHECK_EQUAL(judge(bytes, LENGTH), FRAME_VALID);
}

TEST(zeros_are_never_a_frame)
{
    static const unsigned char zeros[4096];
    struct frame out;
    for (size_t available = 0; available <= sizeof zeros; available += 8) {
        CHECK_EQUAL(frame_parse(zeros, available, 0, 0, &out), FRAME_BROKEN);
        CHECK_EQUAL(frame_parse(zeros, available, LSN, SALT, &out), FRAME_BROKEN);
    }
}

TEST(an_unknown_kind_is_unsupported_not_damaged)
{
    unsigned char bytes[LENGTH];
    struct frame frame = sample();
    fill_body(bytes, 1);
    for (unsigned kind = 0; kind < 256; kind++) {
        bool known = kind >= FRAME_OPS && kind <= FRAME_SYNCED;
        frame.kind = (uint8_t)kind;
        seal(bytes, &frame);
        CHECK_EQUAL(judge(bytes, LENGTH), known ? FRAME_VALID : FRAME_UNSUPPORTED);
    }
}

TEST(what_should_be_zero_and_is_not_is_unsupported)
{
    static const size_t places[] = {3, 40, 41, 42, 43};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        unsigned char bytes[LENGTH];
        make(bytes);
        bytes[places[i]] = 1;
        sum_again(bytes, LENGTH);
        CHECK_EQUAL(judge(bytes, LENGTH), FRAME_UNSUPPORTED);
    }
}

TEST(an_impossible_length_is_broken_even_with_a_good_check)
{
    static const uint32_t lengths[] = {
        0, 8, 40, 44, 47, 49, 52, LENGTH - 1, QUPLOG_FRAME_MAX + 8, UINT32_MAX - 7, UINT32_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        unsigned char bytes[LENGTH];
        struct frame out;
        make(bytes);
        put_u32(bytes + 4, lengths[i]);
        sum_again(bytes, LENGTH);
        CHECK_EQUAL(frame_parse(bytes, LENGTH, LSN, SALT, &out), FRAME_BROKEN);
        CHECK_EQUAL(out.length, 0); /* nobody may go on by it */
    }
}

TEST(a_frame_that_is_cut_short_says_how_long_it_should_be)
{
    unsigned char bytes[LENGTH];
    struct frame out, frame = sample();
    make(bytes);
    for (size_t available = 0; available < LENGTH; available++) {
        unsigned char *cut = malloc(available ? available : 1); /* as long: no byte behind it */
        REQUIRE(cut);
        memcpy(cut, bytes, available);
        bool header = available >= FRAME_HEADER;
        CHECK_EQUAL(frame_parse(cut, available, LSN, SALT, &out),
                    header ? FRAME_INCOMPLETE : FRAME_BROKEN);
        CHECK_EQUAL(out.length, header ? LENGTH : 0);
        free(cut);
    }
    frame.length = QUPLOG_FRAME_MAX;
    seal(bytes, &frame);
    CHECK_EQUAL(frame_parse(bytes, LENGTH, LSN, SALT, &out), FRAME_INCOMPLETE);
    CHECK_EQUAL(out.length, QUPLOG_FRAME_MAX);
}

TEST(a_frame_without_a_body_is_a_frame)
{
    unsigned char bytes[FRAME_HEADER];
    struct frame out, frame = {.kind = FRAME_OPS, .length = FRAME_HEADER};
    frame_seal(bytes, &frame, 0, LSN, SALT);
    CHECK_EQUAL(frame_parse(bytes, sizeof bytes, LSN, SALT, &out), FRAME_VALID);
    CHECK_EQUAL(out.body.length, 0);
}

TEST(a_trim_keeps_its_numbers_and_a_short_one_is_refused)
{
    unsigned char body[FRAME_TRIM_BODY];
    struct frame_trim out, trim = {LSN, UINT64_C(1) << 32 | 1, 7};
    struct frame frame = {.kind = FRAME_TRIM, .body = {body, sizeof body}};
    frame_trim_encode(body, &trim);
    REQUIRE(frame_trim_decode(&frame, LSN, &out));
    CHECK_EQUAL(out.first_lsn, trim.first_lsn);
    CHECK_EQUAL(out.next_id, trim.next_id);
    CHECK_EQUAL(out.epoch, trim.epoch);
    CHECK(!frame_trim_decode(&frame, LSN - 1, &out)); /* it says that it is gone itself */
    frame.kind = FRAME_OPS;
    CHECK(!frame_trim_decode(&frame, LSN, &out));
    frame.kind = FRAME_TRIM;
    for (frame.body.length = 0; frame.body.length < sizeof body; frame.body.length++)
        CHECK(!frame_trim_decode(&frame, LSN, &out));
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(a_sealed_frame_comes_back_as_it_was),
        LISTED(the_sums_are_those_of_the_format),
        LISTED(bytes_behind_a_frame_do_not_matter),
        LISTED(a_frame_that_was_moved_never_passes),
        LISTED(a_frame_of_another_segment_never_passes),
        LISTED(a_new_header_over_a_stale_body_is_damaged),
        LISTED(every_flipped_bit_is_caught),
        LISTED(zeros_are_never_a_frame),
        LISTED(an_unknown_kind_is_unsupported_not_damaged),
        LISTED(what_should_be_zero_and_is_not_is_unsupported),
        LISTED(an_impossible_length_is_broken_even_with_a_good_check),
        LISTED(a_frame_that_is_cut_short_says_how_long_it_should_be),
        LISTED(a_frame_without_a_body_is_a_frame),
        LISTED(a_trim_keeps_its_numbers_and_a_short_one_is_refused),
    };
    return RUN(tests, argc, argv);
}
