/* frame.c: see frame.h. */
#include "frame.h"

#include "crc32c.h"
#include "quplog.h"

static uint32_t bind_to_place(uint32_t crc, uint64_t lsn, uint64_t salt)
{
    unsigned char place[16];
    put_u64(place, lsn);
    put_u64(place + 8, salt);
    return crc32c(crc, place, sizeof place);
}

static uint32_t length_check(const unsigned char *header, uint64_t lsn, uint64_t salt)
{
    return bind_to_place(crc32c(0, header, 12), lsn, salt);
}

void frame_seal(unsigned char header[FRAME_HEADER], const struct frame *frame, uint32_t body_crc,
                uint64_t lsn, uint64_t salt)
{
    memset(header, 0, FRAME_HEADER);
    put_u16(header, FRAME_MAGIC);
    header[2] = frame->kind;
    put_u32(header + 4, frame->length);
    put_u32(header + 8, frame->op_count);
    put_u32(header + 12, length_check(header, lsn, salt));
    put_i64(header + 16, frame->time_us);
    put_u64(header + 24, frame->synced_lsn);
    put_u64(header + 32, frame->first_id);
    put_u32(header + 44, bind_to_place(crc32c(body_crc, header, 44), lsn, salt));
}

/* The header, once its length is known to be its own. */
static bool parse_header(const unsigned char *bytes, uint64_t lsn, uint64_t salt, struct frame *out)
{
    if (get_u16(bytes) != FRAME_MAGIC || get_u32(bytes + 12) != length_check(bytes, lsn, salt))
        return false;
    out->kind = bytes[2];
    out->length = get_u32(bytes + 4);
    out->op_count = get_u32(bytes + 8);
    out->time_us = get_i64(bytes + 16);
    out->synced_lsn = get_u64(bytes + 24);
    out->first_id = get_u64(bytes + 32);
    return out->length >= FRAME_HEADER && out->length <= QUPLOG_FRAME_MAX && out->length % 8 == 0;
}

enum frame_verdict frame_parse(const unsigned char *bytes, size_t available, uint64_t lsn,
                               uint64_t salt, struct frame *out)
{
    memset(out, 0, sizeof *out);
    if (available < FRAME_HEADER || !parse_header(bytes, lsn, salt, out)) {
        out->length = 0;
        return FRAME_BROKEN;
    }
    if (available < out->length)
        return FRAME_INCOMPLETE;
    out->body.data = bytes + FRAME_HEADER;
    out->body.length = out->length - FRAME_HEADER;
    uint32_t crc = crc32c(0, out->body.data, out->body.length);
    if (get_u32(bytes + 44) != bind_to_place(crc32c(crc, bytes, 44), lsn, salt))
        return FRAME_DAMAGED;
    /* What follows is bound by a good sum, so what is strange in it is new, not damaged. */
    if (bytes[3] != 0 || get_u32(bytes + 40) != 0)
        return FRAME_UNSUPPORTED;
    if (out->kind != FRAME_OPS && out->kind != FRAME_TRIM && out->kind != FRAME_SYNCED)
        return FRAME_UNSUPPORTED;
    return FRAME_VALID;
}

void frame_trim_encode(unsigned char out[FRAME_TRIM_BODY], const struct frame_trim *trim)
{
    put_u64(out, trim->first_lsn);
    put_u64(out + 8, trim->next_id);
    put_u64(out + 16, trim->epoch);
}

bool frame_trim_decode(const struct frame *frame, uint64_t lsn, struct frame_trim *out)
{
    if (frame->kind != FRAME_TRIM || frame->body.length < FRAME_TRIM_BODY)
        return false;
    out->first_lsn = get_u64(frame->body.data);
    out->next_id = get_u64(frame->body.data + 8);
    out->epoch = get_u64(frame->body.data + 16);
    return out->first_lsn <= lsn; /* the log does not begin behind itself */
}
