/* log_builder.h: segments and frames written by hand, with any synced_lsn, as no log would. */
#ifndef QUPLOG_LOG_BUILDER_H
#define QUPLOG_LOG_BUILDER_H

#include "crc32c.h"
#include "log_lab.h"

struct builder {
    int dir;
    struct segment segment;
    uint64_t next; /* where the next frame goes */
    uint64_t first_lsn; /* what the headers to come repeat of the last TRIM */
};

/* A segment at `base` behind a log that ends at `prev_end`. */
static inline void build_segment(struct builder *b, uint64_t base, uint64_t prev_end,
                                 uint64_t synced)
{
    struct segment_header header = {.base = base,
                                    .prev_end = prev_end,
                                    .first_lsn = b->first_lsn,
                                    .synced_lsn = synced,
                                    .salt = base * 3 + 77,
                                    .log_id = "a log of its own"};
    if (b->segment.fd >= 0)
        close(b->segment.fd);
    const struct io *io = io_system();
    REQUIRE(segment_create(io, b->dir, &header, LAB_SEGMENT, false, &b->segment) == QUPLOG_OK);
    REQUIRE(segment_zero_ahead(io, &b->segment, LAB_SEGMENT) == QUPLOG_OK);
    b->next = base + SEGMENT_HEADER;
}

static inline void build_begin(struct builder *b)
{
    b->segment.fd = -1;
    b->first_lsn = 0;
    b->dir = open(test_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(b->dir >= 0);
    build_segment(b, 0, 0, 0);
}

static inline void build_end(struct builder *b)
{
    close(b->segment.fd);
    close(b->dir);
}

/* A frame of any kind with this body, and room for its header before it. Returns its LSN. */
static inline uint64_t build_body(struct builder *b, uint8_t kind, unsigned char *bytes,
                                  size_t length, uint64_t synced)
{
    const unsigned char *body = bytes + FRAME_HEADER;
    struct frame frame = {.kind = kind,
                          .length = (uint32_t)(FRAME_HEADER + length),
                          .op_count = kind == FRAME_OPS, /* as if it were one op */
                          .time_us = 1000,
                          .synced_lsn = synced,
                          .body = {body, length}};
    frame_seal(bytes, &frame, crc32c(0, body, length), b->next, b->segment.header.salt);
    uint64_t at = b->next, offset = at - b->segment.header.base;
    ssize_t n = pwrite(b->segment.fd, bytes, frame.length, (off_t)offset);
    REQUIRE(n == (ssize_t)frame.length);
    b->next += frame.length;
    return at;
}

/* A frame of any kind with a body of `length` bytes that are not zero. Returns its LSN. */
static inline uint64_t build_frame(struct builder *b, uint8_t kind, size_t length, uint64_t synced)
{
    unsigned char bytes[FRAME_HEADER + 1024];
    REQUIRE(length <= 1024);
    memset(bytes, 0x11, sizeof bytes);
    return build_body(b, kind, bytes, length, synced);
}

/* All before first_lsn is gone. */
static inline uint64_t build_trim(struct builder *b, uint64_t first_lsn, uint64_t synced)
{
    unsigned char bytes[FRAME_HEADER + FRAME_TRIM_BODY];
    struct frame_trim trim = {.first_lsn = first_lsn, .next_id = 1, .epoch = 1};
    frame_trim_encode(bytes + FRAME_HEADER, &trim);
    b->first_lsn = first_lsn;
    return build_body(b, FRAME_TRIM, bytes, FRAME_TRIM_BODY, synced);
}

/* The frame that a log writes most: one whose ops do not matter here. */
static inline uint64_t build_ops(struct builder *b, uint64_t synced)
{
    return build_frame(b, FRAME_OPS, 80, synced);
}

#endif
