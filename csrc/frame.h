/* frame.h: a frame's 48-byte header, and when a frame is valid. Pure.
 *
 * A frame is what one append writes: this header, then ops that fill it to a multiple of 8 bytes.
 *
 *     0  u16  magic            4  u32  length (all of it)      16  i64  time_us
 *     2  u8   kind             8  u32  op_count                24  u64  synced_lsn
 *     3  u8   0               12  u32  length_check            32  u64  first_id
 *                                                              40  u32  0
 *                                                              44  u32  crc
 *
 * length_check sums bytes 0..11, the LSN and the salt, so that a length which is not this frame's
 * own is known to be wrong before it is followed. crc sums the body, then bytes 0..43, then the LSN
 * and the segment's salt: the body first, so that it can be summed before the append lock is taken
 * and only 60 bytes remain under it; LSN and salt, so that bytes which stood here before, or stand
 * elsewhere, never pass. A run of zeros is never a frame, since the magic is not zero.
 */
#ifndef QUPLOG_FRAME_H
#define QUPLOG_FRAME_H

#include "bytes.h"

enum {
    FRAME_HEADER = 48,
    FRAME_MAGIC = 0xB5A7,
};

enum frame_kind {
    FRAME_OPS = 1,    /* 1..n ops */
    FRAME_TRIM = 2,   /* all before first_lsn is gone: struct frame_trim */
    FRAME_SYNCED = 3, /* a witness: nothing but its synced_lsn; flags in its 8-byte body */
};

enum { FRAME_CLOSING = 1 }; /* SYNCED: written by a clean close */

struct frame {
    uint8_t kind;
    uint32_t length;
    uint32_t op_count;
    int64_t time_us;
    uint64_t synced_lsn;
    uint64_t first_id;
    struct span body;
};

/* The body of a TRIM frame: where the log begins, and every counter that must outlive what went. */
struct frame_trim {
    uint64_t first_lsn;
    uint64_t next_id;
    uint64_t epoch;
};
enum { FRAME_TRIM_BODY = 24 };

enum frame_verdict {
    FRAME_VALID = 0,
    FRAME_BROKEN = 1,      /* not a frame, or a damaged one */
    FRAME_INCOMPLETE = 2,  /* the length is right, but there are fewer bytes than it says */
    FRAME_DAMAGED = 3,     /* the length is right, the sum is not */
    FRAME_UNSUPPORTED = 4, /* valid, but of a kind that this version does not know */
};

/* Fill in the header for `frame`, whose body sums to body_crc, as it will stand at `lsn`. */
void frame_seal(unsigned char header[FRAME_HEADER], const struct frame *frame, uint32_t body_crc,
                uint64_t lsn, uint64_t salt);

/* Judge the bytes at `lsn`, of which `available` are at hand, and take them apart. On INCOMPLETE
 * and DAMAGED `out->length` is set; on VALID everything. The body points into `bytes`. */
enum frame_verdict frame_parse(const unsigned char *bytes, size_t available, uint64_t lsn,
                               uint64_t salt, struct frame *out);

void frame_trim_encode(unsigned char out[FRAME_TRIM_BODY], const struct frame_trim *trim);
/* False: the frame at `lsn` is no TRIM, or one that no writer writes. */
bool frame_trim_decode(const struct frame *frame, uint64_t lsn, struct frame_trim *out);

#endif
