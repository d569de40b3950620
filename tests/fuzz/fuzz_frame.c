/* fuzz_frame.c: a frame's header and sums.
 *
 *   Whatever the bytes, frame_parse() reads none behind those that are at hand.
 *   What it calls valid is, header and all, what frame_seal() writes for what it says.
 *   A frame that is sealed comes back as it was.
 *   A frame is valid at its own place only, and not with any one bit changed.
 *
 * The sums keep a fuzzer out, so it is let in: as the input says, none, the first or both are made
 * to hold before the bytes are judged.
 */
#include "frame.h"

#include "crc32c.h"
#include "fuzz.h"
#include "quplog.h"

enum { RAW, LENGTH_HOLDS, BOTH_HOLD, SEALED, MODES };

struct place {
    uint64_t lsn, salt;
};

static uint32_t at_place(uint32_t crc, struct place place)
{
    unsigned char bytes[16];
    put_u64(bytes, place.lsn);
    put_u64(bytes + 8, place.salt);
    return crc32c(crc, bytes, sizeof bytes);
}

/* The sums as docs/FORMAT.md says them. */
static void sum(unsigned char *bytes, size_t length, struct place place, unsigned mode)
{
    put_u16(bytes, FRAME_MAGIC);
    if (mode == BOTH_HOLD)
        put_u32(bytes + 4, (uint32_t)length);
    put_u32(bytes + 12, at_place(crc32c(0, bytes, 12), place));
    if (mode == BOTH_HOLD) {
        uint32_t crc = crc32c(0, bytes + FRAME_HEADER, length - FRAME_HEADER);
        put_u32(bytes + 44, at_place(crc32c(crc, bytes, 44), place));
    }
}

static bool whole(enum frame_verdict verdict)
{
    return verdict == FRAME_VALID || verdict == FRAME_UNSUPPORTED;
}

/* Another place, or another bit: not this frame. */
static void check_bound(const unsigned char *bytes, uint32_t length, struct place place,
                        uint64_t bit)
{
    struct frame out;
    uint64_t one = UINT64_C(1) << (bit % 64);
    MUST(!whole(frame_parse(bytes, length, place.lsn ^ one, place.salt, &out)));
    MUST(!whole(frame_parse(bytes, length, place.lsn, place.salt ^ one, &out)));
    unsigned char *changed = fuzz_copy((struct span){bytes, length});
    changed[bit / 8 % length] ^= (unsigned char)(1U << (bit % 8));
    MUST(!whole(frame_parse(changed, length, place.lsn, place.salt, &out)));
    free(changed);
}

static void check_says_all(const unsigned char *bytes, const struct frame *frame,
                           struct place place)
{
    unsigned char header[FRAME_HEADER];
    MUST(frame->body.data == bytes + FRAME_HEADER);
    MUST(frame->body.length == frame->length - FRAME_HEADER);
    frame_seal(header, frame, crc32c(0, frame->body.data, frame->body.length), place.lsn,
               place.salt);
    MUST(memcmp(header, bytes, FRAME_HEADER) == 0);
}

static enum frame_verdict judge(const unsigned char *bytes, size_t available, struct place place,
                                uint64_t bit)
{
    struct frame out;
    enum frame_verdict verdict = frame_parse(bytes, available, place.lsn, place.salt, &out);
    if (verdict == FRAME_BROKEN) {
        MUST(out.length == 0);
        return verdict;
    }
    MUST(out.length >= FRAME_HEADER && out.length <= QUPLOG_FRAME_MAX && out.length % 8 == 0);
    MUST((verdict == FRAME_INCOMPLETE) == (out.length > available));
    if (whole(verdict))
        check_bound(bytes, out.length, place, bit);
    if (verdict == FRAME_VALID)
        check_says_all(bytes, &out, place);
    return verdict;
}

static void check_trim(struct span body, uint64_t lsn)
{
    struct frame_trim trim;
    struct frame frame = {.kind = FRAME_TRIM, .body = body};
    unsigned char encoded[FRAME_TRIM_BODY];
    bool good = frame_trim_decode(&frame, lsn, &trim);
    MUST(good == (body.length >= FRAME_TRIM_BODY && get_u64(body.data) <= lsn));
    if (!good)
        return;
    frame_trim_encode(encoded, &trim);
    MUST(memcmp(encoded, body.data, sizeof encoded) == 0);
}

/* A frame of the input's making. */
static void seal(struct span input, struct place place, uint64_t bit)
{
    struct frame frame = {.kind = (uint8_t)(1 + input_below(&input, 3)),
                          .op_count = (uint32_t)input_number(&input, 4),
                          .time_us = (int64_t)input_number(&input, 8),
                          .synced_lsn = input_number(&input, 8),
                          .first_id = input_number(&input, 8)};
    frame.body = (struct span){input.data, input.length & ~(size_t)7};
    frame.length = (uint32_t)(FRAME_HEADER + frame.body.length);
    unsigned char *bytes = malloc(frame.length);
    MUST(bytes);
    uint32_t crc = crc32c(0, frame.body.data, frame.body.length);
    frame_seal(bytes, &frame, crc, place.lsn, place.salt);
    if (frame.body.length)
        memcpy(bytes + FRAME_HEADER, frame.body.data, frame.body.length);
    MUST(judge(bytes, frame.length, place, bit) == FRAME_VALID);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct span input = {data, size};
    unsigned mode = input_below(&input, MODES);
    struct place place = {.lsn = input_number(&input, 8), .salt = input_number(&input, 8)};
    uint64_t bit = input_number(&input, 4);
    check_trim(input, place.lsn);
    if (mode == SEALED) {
        seal(input, place, bit);
        return 0;
    }
    if (mode == BOTH_HOLD)
        input.length &= ~(size_t)7;
    unsigned char *bytes = fuzz_copy(input);
    if (mode != RAW && input.length >= FRAME_HEADER)
        sum(bytes, input.length, place, mode);
    judge(bytes, input.length, place, bit);
    free(bytes);
    return 0;
}
