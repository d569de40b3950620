/* segment.h: one file of the log: its header block, its zeroed space, and reading its frames.
 *
 * A segment's name is its base LSN in 16 hexadecimal digits and ".log"; the byte at offset o has
 * the LSN base + o. A 4 KiB header block comes first, then frames back to back, then zeros.
 *
 * A segment appears under its name only with its header written (a temporary name and a rename), so
 * a process that is killed while creating one leaves nothing but a file ending in ".tmp". Only a
 * power cut can leave a segment without a valid header.
 *
 * A full disk must still take what workers have to say. So one file full of zeros, the spare, is
 * kept beside the segments: its blocks are its own, and to become a segment it needs a header and a
 * new name. It is never synced: after a power cut it may be anything, so the opener drops it.
 */
#ifndef QUPLOG_SEGMENT_H
#define QUPLOG_SEGMENT_H

#include "frame.h"
#include "io.h"

enum {
    SEGMENT_HEADER = 4096,
    SEGMENT_NAME = 32,      /* room for a name */
    SEGMENT_STEP = 1 << 20, /* space is zeroed ahead in steps of this */
    SEGMENT_VERSION = 1,
    SEGMENT_SPARE_MIN = 64 << 10, /* a smaller spare is none */
};

#define SEGMENT_SPARE "spare"

struct segment_header {
    unsigned char log_id[16];
    unsigned char boot_id[16];
    uint64_t base;
    uint64_t prev_end;   /* where the log before this segment ends */
    uint64_t first_lsn;  /* of the last TRIM */
    uint64_t synced_lsn; /* known durable when it was created */
    uint64_t salt;       /* random: bytes of another segment never pass here */
    int64_t created_us;
};

struct segment {
    struct segment_header header;
    int fd;
    uint64_t size;  /* bytes of the file: header, frames and zeros */
    uint64_t limit; /* bytes it may grow to */
};

enum segment_verdict { SEGMENT_VALID, SEGMENT_BROKEN, SEGMENT_UNSUPPORTED };

/* LSNs stay below 2^56. */
#define SEGMENT_BASE_END ((uint64_t)1 << 56)
/* Whoever gives up the end of a log, or can't know it, goes on so much higher: LSNs up to there may
 * have been given out and lost. No segment is so large. */
#define SEGMENT_JUMP ((uint64_t)1 << 36)

void segment_name(uint64_t base, char out[SEGMENT_NAME]);
bool segment_parse_name(const char *name, uint64_t *base);
bool segment_is_temporary(const char *name);
/* The descriptor of the segment that begins at `base`, opened with IO_READ or IO_WRITE. -ENOENT:
 * there is none. -errno. */
int segment_open(const struct io *io, int dir, uint64_t base, int flags);
/* Remove its name. -errno. */
int segment_remove(const struct io *io, int dir, uint64_t base);

/* Create the file with its header, ready for frames. With `durable`, header and name are synced;
 * otherwise the next sync owes both. QUPLOG_OK, QUPLOG_FULL or -errno; a failure leaves nothing
 * under the segment's name, except that of the directory's sync: the empty segment stays. */
int segment_create(const struct io *io, int dir, const struct segment_header *header,
                   uint64_t limit, bool durable, struct segment *out);
/* Read and judge the header of an open file. 0 or -errno; *verdict says what was found. */
int segment_read_header(const struct io *io, int fd, struct segment_header *out,
                        enum segment_verdict *verdict);
/* Make sure that the file has at least `size` bytes, with zeros in steps. QUPLOG_FULL, -errno. */
int segment_zero_ahead(const struct io *io, struct segment *segment, uint64_t size);
/* Write zeros over [from, to). QUPLOG_FULL or -errno. */
int segment_zero(const struct io *io, int fd, uint64_t from, uint64_t to);

/* Have a spare of `size` bytes, or of a half, a quarter... of it if there is no room for more. One
 * that is there already stays as it is. QUPLOG_FULL: not even the smallest fits. -errno. */
int segment_make_spare(const struct io *io, int dir, uint64_t size);
/* Remove the spare, if there is one. */
int segment_drop_spare(const struct io *io, int dir);
/* Let the spare become the segment of this header; all of it is zeroed, and it cannot grow. The
 * next sync owes file and directory. QUPLOG_FULL: there is no spare. -errno. A failure leaves
 * nothing under the segment's name. */
int segment_adopt_spare(const struct io *io, int dir, const struct segment_header *header,
                        struct segment *out);

/* Copy the bytes [from, to) of an open file to `name` in directory `into` and sync them. */
int segment_copy(const struct io *io, int fd, uint64_t from, uint64_t to, int into,
                 const char *name);

/* ---- reading frames ---- */

/* A window that moves over a segment's bytes. */
struct segment_cursor {
    const struct io *io;
    int fd;
    uint64_t base;
    uint64_t salt;
    uint64_t end; /* offset behind the last byte to look at */
    unsigned char *window;
    size_t capacity;
    uint64_t window_at; /* offset of its first byte */
    size_t window_length;
};

void segment_cursor_open(struct segment_cursor *cursor, const struct io *io, int fd,
                         const struct segment_header *header, uint64_t end);
void segment_cursor_close(struct segment_cursor *cursor);
/* Forget what was read, so that it is read again. */
void segment_cursor_drop(struct segment_cursor *cursor);
/* Judge the frame at `offset`. 0 (see *verdict), QUPLOG_NO_MEMORY or -errno. The frame's body is
 * the cursor's until its next call. */
int segment_frame(struct segment_cursor *cursor, uint64_t offset, struct frame *frame,
                  enum frame_verdict *verdict);
/* The first frame at or behind *offset, at every 8 bytes: a valid one, or one whose length can be
 * believed (all but FRAME_BROKEN). FRAME_BROKEN with *offset at the end: there is none. */
int segment_find_frame(struct segment_cursor *cursor, uint64_t *offset, struct frame *frame,
                       enum frame_verdict *verdict);
/* Behind an invalid frame at `offset`: the largest synced_lsn in any valid frame up to the end. It
 * follows a length whose check holds, else it looks at every 8 bytes. */
int segment_search_synced(struct segment_cursor *cursor, uint64_t offset, uint64_t *synced);
/* For a segment that has lost its header, and with it its salt: a salt by which a frame of it is
 * valid, and then all of them. QUPLOG_EMPTY: no frame is left. It is also that of the cursor. */
int segment_find_salt(struct segment_cursor *cursor, uint64_t *salt);
/* The same as segment_search_synced() for all of such a segment. It counts only what says that
 * something in this very segment was durable: the file may hold what another one left there. */
int segment_search_headless(struct segment_cursor *cursor, uint64_t *synced);
/* The offset behind the last byte from `offset` on that is not zero; `offset` if all are. */
int segment_used(struct segment_cursor *cursor, uint64_t offset, uint64_t *used);

#endif
