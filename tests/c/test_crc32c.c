/* The checksum: what it must give, in every version, for every length, alignment and cut. */
#include "crc32c.h"

#include "test.h"

/* The definition, bit by bit: nothing to share a mistake with. */
static uint32_t by_definition(uint32_t crc, const unsigned char *data, size_t length)
{
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}

static void fill(unsigned char *bytes, size_t length)
{
    uint32_t state = 1;
    for (size_t i = 0; i < length; i++) {
        state = state * 1664525 + 1013904223;
        bytes[i] = (unsigned char)(state >> 24);
    }
}

static void check_both(const void *data, size_t length, uint32_t sum)
{
    CHECK_EQUAL(crc32c(0, data, length), sum);
    CHECK_EQUAL(crc32c_portable(0, data, length), sum);
}

TEST(known_sums_are_met)
{
    static const unsigned char read_command[48] = {
        0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
        0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    };
    check_both(read_command, sizeof read_command, 0xd9963a56); /* RFC 3720, B.4 */
    check_both("123456789", 9, 0xe3069283);
    check_both("a", 1, 0xc1d04330);
    check_both("", 0, 0);
}

TEST(every_single_byte_sums_as_defined)
{
    for (unsigned i = 0; i < 256; i++) {
        unsigned char byte = (unsigned char)i;
        check_both(&byte, 1, by_definition(0, &byte, 1));
    }
}

TEST(every_length_and_alignment_sums_as_defined)
{
    unsigned char bytes[320];
    fill(bytes, sizeof bytes);
    for (size_t at = 0; at < 16; at++)
        for (size_t length = 0; at + length <= sizeof bytes; length++)
            check_both(bytes + at, length, by_definition(0, bytes + at, length));
}

TEST(a_sum_continues_across_any_cut)
{
    unsigned char bytes[100];
    fill(bytes, sizeof bytes);
    uint32_t whole = by_definition(0, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        size_t rest = sizeof bytes - cut;
        CHECK_EQUAL(crc32c(crc32c(0, bytes, cut), bytes + cut, rest), whole);
        CHECK_EQUAL(crc32c_portable(crc32c_portable(0, bytes, cut), bytes + cut, rest), whole);
    }
}

TEST(nothing_to_sum_changes_nothing)
{
    CHECK_EQUAL(crc32c(0x12345678, NULL, 0), 0x12345678);
    CHECK_EQUAL(crc32c_portable(0x12345678, NULL, 0), 0x12345678);
}

TEST(no_flipped_bit_goes_unseen)
{
    unsigned char bytes[256];
    fill(bytes, sizeof bytes);
    uint32_t sum = crc32c(0, bytes, sizeof bytes);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
        CHECK(crc32c(0, bytes, sizeof bytes) != sum);
        bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
    }
}

TEST(a_processor_that_has_the_instruction_uses_it)
{
#if defined(__x86_64__)
    CHECK_TEXT(crc32c_name(), __builtin_cpu_supports("sse4.2") ? "sse4.2" : "table");
#elif defined(__aarch64__) && defined(__linux__)
    CHECK(strcmp(crc32c_name(), "armv8") == 0 || strcmp(crc32c_name(), "table") == 0);
#else
    CHECK_TEXT(crc32c_name(), "table");
#endif
    CHECK(crc32c_self_test());
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(known_sums_are_met),
        LISTED(every_single_byte_sums_as_defined),
        LISTED(every_length_and_alignment_sums_as_defined),
        LISTED(a_sum_continues_across_any_cut),
        LISTED(nothing_to_sum_changes_nothing),
        LISTED(no_flipped_bit_goes_unseen),
        LISTED(a_processor_that_has_the_instruction_uses_it),
    };
    return RUN(tests, argc, argv);
}
