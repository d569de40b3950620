/* segment.c: see segment.h.
 *
 * The header is 128 bytes, and stands twice in its block, at 0 and at 2048: without its salt no
 * frame of the segment can be checked, so one bad sector must not cost all of them.
 *     0  magic 8 B         32  boot_id 16 B       72  synced_lsn u64
 *     8  version u32       48  base u64           80  salt u64
 *    12  features u32      56  prev_end u64       88  created_us i64
 *    16  log_id 16 B       64  first_lsn u64      96  zero         124  crc32c of all before
 */
#include "segment.h"

#include <errno.h>
#include <stdio.h>

#include "crc32c.h"
#include "quplog.h"

static const unsigned char MAGIC[8] = {0x89, 'q', 'u', 'p', 'l', 'o', 'g', '\n'};

enum { NAME_DIGITS = 16, COPY_SIZE = 128, COPY_AT = 2048, CRC_AT = COPY_SIZE - 4 };
enum { WINDOW = 1 << 20, ZERO_PIECE = 1 << 16, ZERO_BLOCK = 512 };
enum { TRIES_MOST = 1000 }; /* at finding a salt */

static int status_of(int negative_errno)
{
    return io_disk_full(negative_errno) ? QUPLOG_FULL : negative_errno;
}

/* ---- names ---- */

void segment_name(uint64_t base, char out[SEGMENT_NAME])
{
    snprintf(out, SEGMENT_NAME, "%016llx.log", (unsigned long long)base);
}

bool segment_parse_name(const char *name, uint64_t *base)
{
    uint64_t value = 0;
    for (int i = 0; i < NAME_DIGITS; i++) {
        char c = name[i];
        if (c >= '0' && c <= '9')
            value = value * 16 + (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *base = value;
    if (value >= SEGMENT_BASE_END)
        return false; /* no writer comes so far: a sum with it could overflow */
    return strcmp(name + NAME_DIGITS, ".log") == 0;
}

bool segment_is_temporary(const char *name)
{
    size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".tmp") == 0;
}

int segment_open(const struct io *io, int dir, uint64_t base, int flags)
{
    char name[SEGMENT_NAME];
    segment_name(base, name);
    return io->open(io->world, dir, name, flags);
}

int segment_remove(const struct io *io, int dir, uint64_t base)
{
    char name[SEGMENT_NAME];
    segment_name(base, name);
    return io->unlink(io->world, dir, name);
}

/* ---- the header block ---- */

static void encode_header(unsigned char block[SEGMENT_HEADER], const struct segment_header *h)
{
    memset(block, 0, SEGMENT_HEADER);
    memcpy(block, MAGIC, sizeof MAGIC);
    put_u32(block + 8, SEGMENT_VERSION);
    memcpy(block + 16, h->log_id, 16);
    memcpy(block + 32, h->boot_id, 16);
    put_u64(block + 48, h->base);
    put_u64(block + 56, h->prev_end);
    put_u64(block + 64, h->first_lsn);
    put_u64(block + 72, h->synced_lsn);
    put_u64(block + 80, h->salt);
    put_i64(block + 88, h->created_us);
    put_u32(block + CRC_AT, crc32c(0, block, CRC_AT));
    memcpy(block + COPY_AT, block, COPY_SIZE);
}

static enum segment_verdict decode_copy(const unsigned char *block, struct segment_header *h)
{
    if (memcmp(block, MAGIC, sizeof MAGIC) != 0 ||
        get_u32(block + CRC_AT) != crc32c(0, block, CRC_AT))
        return SEGMENT_BROKEN;
    if (get_u32(block + 8) != SEGMENT_VERSION || get_u32(block + 12) != 0)
        return SEGMENT_UNSUPPORTED;
    memcpy(h->log_id, block + 16, 16);
    memcpy(h->boot_id, block + 32, 16);
    h->base = get_u64(block + 48);
    h->prev_end = get_u64(block + 56);
    h->first_lsn = get_u64(block + 64);
    h->synced_lsn = get_u64(block + 72);
    h->salt = get_u64(block + 80);
    h->created_us = get_i64(block + 88);
    /* What was before a segment stands before it, and if nothing was, the log begins with it: no
       writer says otherwise. */
    bool before = h->prev_end <= h->base && h->first_lsn <= h->base;
    bool first = h->prev_end > 0 || h->first_lsn == h->base;
    return before && first ? SEGMENT_VALID : SEGMENT_BROKEN;
}

/* Whether a frame of the file can be checked by this header. */
static int checks_frames(const struct io *io, int fd, const struct segment_header *header,
                         bool *checks)
{
    struct segment_cursor cursor = {0};
    struct frame frame;
    enum frame_verdict verdict;
    uint64_t offset = SEGMENT_HEADER;
    segment_cursor_open(&cursor, io, fd, header, SEGMENT_BASE_END);
    int status = segment_find_frame(&cursor, &offset, &frame, &verdict);
    *checks = verdict != FRAME_BROKEN;
    segment_cursor_close(&cursor);
    return status;
}

/* Of two good copies that differ one was written elsewhere and went astray: the frames tell. */
int segment_read_header(const struct io *io, int fd, struct segment_header *out,
                        enum segment_verdict *verdict)
{
    unsigned char block[SEGMENT_HEADER];
    struct segment_header second = {.base = 0};
    enum segment_verdict other = SEGMENT_BROKEN;
    ssize_t n = io_read_full(io, fd, block, sizeof block, 0);
    if (n < 0)
        return (int)n;
    memset(out, 0, sizeof *out);
    *verdict = SEGMENT_BROKEN;
    if (n >= COPY_SIZE)
        *verdict = decode_copy(block, out);
    if (n >= COPY_AT + COPY_SIZE)
        other = decode_copy(block + COPY_AT, &second);
    bool better = *verdict == SEGMENT_BROKEN && other != SEGMENT_BROKEN;
    if (*verdict == SEGMENT_VALID && other == SEGMENT_VALID &&
        memcmp(block, block + COPY_AT, COPY_SIZE) != 0) {
        int status = checks_frames(io, fd, &second, &better);
        if (status)
            return status;
    }
    if (better) {
        *verdict = other;
        *out = second;
    }
    return QUPLOG_OK;
}

/* ---- creating and growing ---- */

static int write_header(const struct io *io, int fd, const struct segment_header *header,
                        bool durable)
{
    unsigned char block[SEGMENT_HEADER];
    encode_header(block, header);
    struct iovec part = {block, sizeof block};
    int status = io_write_full(io, fd, &part, 1, 0);
    if (status == 0 && durable)
        status = io->fdatasync(io->world, fd);
    return status;
}

int segment_create(const struct io *io, int dir, const struct segment_header *header,
                   uint64_t limit, bool durable, struct segment *out)
{
    char name[SEGMENT_NAME], temporary[SEGMENT_NAME + 4];
    segment_name(header->base, name);
    snprintf(temporary, sizeof temporary, "%s.tmp", name);
    int fd = io->open(io->world, dir, temporary, IO_WRITE | IO_CREATE);
    if (fd < 0)
        return status_of(fd);
    int status = write_header(io, fd, header, durable);
    if (status == 0)
        status = io->rename(io->world, dir, temporary, dir, name);
    if (status == 0 && durable)
        status = io->fsync(io->world, dir);
    if (status != 0) {
        io->close(io->world, fd);
        io->unlink(io->world, dir, temporary);
        return status_of(status);
    }
    *out = (struct segment){.header = *header, .fd = fd, .size = SEGMENT_HEADER, .limit = limit};
    return QUPLOG_OK;
}

/* One call for each 64 KiB: the page cache keeps what one write brought as one large folio, and a
 * later small write into a folio costs time in proportion to its size. Measured on ext4 (kernel
 * 6.18): 184-byte writes into space zeroed by 1 MiB writes take 3.1 us, by 64 KiB writes 1.1 us. */
int segment_zero(const struct io *io, int fd, uint64_t from, uint64_t to)
{
    static const unsigned char zeros[ZERO_PIECE];
    while (from < to) {
        size_t n = to - from < ZERO_PIECE ? (size_t)(to - from) : ZERO_PIECE;
        struct iovec part = {(void *)(uintptr_t)zeros, n};
        int status = io_write_full(io, fd, &part, 1, from);
        if (status)
            return status_of(status);
        from += n;
    }
    return QUPLOG_OK;
}

int segment_zero_ahead(const struct io *io, struct segment *segment, uint64_t size)
{
    if (size <= segment->size)
        return QUPLOG_OK;
    uint64_t target = (size + SEGMENT_STEP - 1) / SEGMENT_STEP * SEGMENT_STEP;
    if (target > segment->limit)
        target = segment->limit > size ? segment->limit : size;
    int status = segment_zero(io, segment->fd, segment->size, target);
    if (status == QUPLOG_OK)
        segment->size = target;
    return status;
}

/* ---- the spare ---- */

/* Open it; -ENOENT if there is none that is large enough. */
static int open_spare(const struct io *io, int dir, int flags, uint64_t *size)
{
    struct io_stat stat;
    int fd = io->open(io->world, dir, SEGMENT_SPARE, flags);
    if (fd < 0)
        return fd;
    int status = io->stat(io->world, fd, &stat);
    if (status == 0 && stat.size < SEGMENT_SPARE_MIN)
        status = -ENOENT;
    if (status) {
        io->close(io->world, fd);
        return status;
    }
    *size = stat.size;
    return fd;
}

/* What is there under the temporary name was cut short, and may be longer than what is to be. */
static int write_spare(const struct io *io, int dir, uint64_t size)
{
    static const char temporary[] = SEGMENT_SPARE ".tmp";
    int status = io->unlink(io->world, dir, temporary);
    if (status && status != -ENOENT)
        return status;
    int fd = io->open(io->world, dir, temporary, IO_WRITE | IO_CREATE);
    if (fd < 0)
        return status_of(fd);
    status = segment_zero(io, fd, 0, size);
    io->close(io->world, fd);
    if (status == QUPLOG_OK)
        status = io->rename(io->world, dir, temporary, dir, SEGMENT_SPARE);
    if (status)
        io->unlink(io->world, dir, temporary);
    return status_of(status);
}

int segment_make_spare(const struct io *io, int dir, uint64_t size)
{
    uint64_t present;
    int fd = open_spare(io, dir, IO_READ, &present);
    if (fd >= 0) {
        io->close(io->world, fd);
        return QUPLOG_OK;
    }
    int status = fd == -ENOENT ? QUPLOG_FULL : fd;
    if (size < SEGMENT_SPARE_MIN)
        size = SEGMENT_SPARE_MIN;
    for (; status == QUPLOG_FULL && size >= SEGMENT_SPARE_MIN; size /= 2)
        status = write_spare(io, dir, size / SEGMENT_HEADER * SEGMENT_HEADER);
    return status;
}

int segment_drop_spare(const struct io *io, int dir)
{
    int status = io->unlink(io->world, dir, SEGMENT_SPARE);
    return status == -ENOENT ? QUPLOG_OK : status;
}

int segment_adopt_spare(const struct io *io, int dir, const struct segment_header *header,
                        struct segment *out)
{
    char name[SEGMENT_NAME];
    uint64_t size;
    int fd = open_spare(io, dir, IO_WRITE, &size);
    if (fd < 0)
        return fd == -ENOENT ? QUPLOG_FULL : fd;
    segment_name(header->base, name);
    int status = write_header(io, fd, header, false);
    if (status == 0)
        status = io->rename(io->world, dir, SEGMENT_SPARE, dir, name);
    if (status) {
        io->close(io->world, fd);
        return status_of(status);
    }
    *out = (struct segment){.header = *header, .fd = fd, .size = size, .limit = size};
    return QUPLOG_OK;
}

int segment_copy(const struct io *io, int fd, uint64_t from, uint64_t to, int into,
                 const char *name)
{
    unsigned char *block = malloc(WINDOW);
    if (!block)
        return QUPLOG_NO_MEMORY;
    int copy = io->open(io->world, into, name, IO_WRITE | IO_CREATE);
    int status = copy < 0 ? copy : 0;
    for (uint64_t at = from; status == 0 && at < to;) {
        size_t want = to - at < WINDOW ? (size_t)(to - at) : WINDOW;
        ssize_t n = io_read_full(io, fd, block, want, at);
        if (n <= 0) {
            status = (int)n;
            break;
        }
        struct iovec part = {block, (size_t)n};
        status = io_write_full(io, copy, &part, 1, at - from);
        at += (uint64_t)n;
    }
    if (status == 0)
        status = io->fdatasync(io->world, copy);
    if (copy >= 0)
        io->close(io->world, copy);
    free(block);
    return status_of(status);
}

/* ---- reading ---- */

void segment_cursor_open(struct segment_cursor *cursor, const struct io *io, int fd,
                         const struct segment_header *header, uint64_t end)
{
    segment_cursor_drop(cursor); /* keeps the window's memory from the segment before */
    cursor->io = io;
    cursor->fd = fd;
    cursor->base = header->base;
    cursor->salt = header->salt;
    cursor->end = end;
}

void segment_cursor_drop(struct segment_cursor *cursor)
{
    cursor->window_at = 0;
    cursor->window_length = 0;
}

void segment_cursor_close(struct segment_cursor *cursor)
{
    free(cursor->window);
    memset(cursor, 0, sizeof *cursor);
}

/* Have the bytes from `offset` in the window: `want` of them, or fewer before the end. */
static int look(struct segment_cursor *c, uint64_t offset, size_t want, const unsigned char **bytes,
                size_t *available)
{
    uint64_t left = offset < c->end ? c->end - offset : 0;
    if (want > left)
        want = (size_t)left;
    bool inside = offset >= c->window_at && offset + want <= c->window_at + c->window_length;
    if (!inside) {
        size_t size = want < WINDOW ? WINDOW : want;
        if (size > c->capacity) {
            unsigned char *window = realloc(c->window, size);
            if (!window)
                return QUPLOG_NO_MEMORY;
            c->window = window;
            c->capacity = size;
        }
        c->window_length = 0;
        size_t ask = left < c->capacity ? (size_t)left : c->capacity;
        ssize_t n = io_read_full(c->io, c->fd, c->window, ask, offset);
        if (n < 0)
            return (int)n;
        c->window_at = offset;
        c->window_length = (size_t)n;
    }
    *bytes = c->window + (offset - c->window_at);
    *available = (size_t)(c->window_at + c->window_length - offset);
    return QUPLOG_OK;
}

int segment_frame(struct segment_cursor *c, uint64_t offset, struct frame *frame,
                  enum frame_verdict *verdict)
{
    const unsigned char *bytes;
    size_t available;
    size_t want = FRAME_HEADER;
    for (;;) {
        int status = look(c, offset, want, &bytes, &available);
        if (status)
            return status;
        *verdict = frame_parse(bytes, available, c->base + offset, c->salt, frame);
        if (*verdict != FRAME_INCOMPLETE || want == frame->length)
            return QUPLOG_OK;
        want = frame->length; /* the length is known to be its own: get all of it */
    }
}

/* The next offset from `offset` on, in steps of 8, where a frame could begin; `end` if none. */
static int next_candidate(struct segment_cursor *c, uint64_t offset, uint64_t *found)
{
    for (;;) {
        const unsigned char *bytes;
        size_t available;
        int status = look(c, offset, FRAME_HEADER, &bytes, &available);
        if (status)
            return status;
        if (available < FRAME_HEADER) {
            *found = c->end;
            return QUPLOG_OK;
        }
        for (size_t i = 0; i + FRAME_HEADER <= available; i += 8, offset += 8)
            if (get_u16(bytes + i) == FRAME_MAGIC) {
                *found = offset;
                return QUPLOG_OK;
            }
    }
}

int segment_find_frame(struct segment_cursor *c, uint64_t *offset, struct frame *frame,
                       enum frame_verdict *verdict)
{
    for (;; *offset += 8) {
        *verdict = FRAME_BROKEN;
        int status = next_candidate(c, *offset, offset);
        if (status || *offset >= c->end)
            return status;
        status = segment_frame(c, *offset, frame, verdict);
        if (status || *verdict != FRAME_BROKEN)
            return status;
    }
}

int segment_search_synced(struct segment_cursor *c, uint64_t offset, uint64_t *synced)
{
    while (offset < c->end) {
        struct frame frame;
        enum frame_verdict verdict;
        int status = segment_find_frame(c, &offset, &frame, &verdict);
        if (status || verdict == FRAME_BROKEN)
            return status;
        bool valid = verdict == FRAME_VALID || verdict == FRAME_UNSUPPORTED;
        if (valid && frame.synced_lsn > *synced)
            *synced = frame.synced_lsn;
        offset += verdict == FRAME_INCOMPLETE ? 8 : frame.length;
    }
    return QUPLOG_OK;
}

/* How many bytes there are up to the last that is not zero. Nearly all are: whole blocks first. */
static size_t used_of(const unsigned char *bytes, size_t length)
{
    static const unsigned char zeros[ZERO_BLOCK];
    while (length >= ZERO_BLOCK && memcmp(bytes + length - ZERO_BLOCK, zeros, ZERO_BLOCK) == 0)
        length -= ZERO_BLOCK;
    while (length > 0 && bytes[length - 1] == 0)
        length--;
    return length;
}

int segment_used(struct segment_cursor *c, uint64_t offset, uint64_t *used)
{
    *used = offset;
    while (offset < c->end) {
        const unsigned char *bytes;
        size_t available;
        int status = look(c, offset, 1, &bytes, &available);
        if (status)
            return status;
        if (available == 0)
            return QUPLOG_OK;
        size_t n = used_of(bytes, available);
        if (n)
            *used = offset + n;
        offset += available;
    }
    return QUPLOG_OK;
}

/* ---- a segment without a header ---- */

/* A CRC-32C register as it was 32 zero bits ago. */
static uint32_t step_back(uint32_t reg)
{
    for (int i = 0; i < 32; i++)
        reg = reg >> 31 ? (reg ^ 0x82f63b78) << 1 | 1 : reg << 1;
    return reg;
}

/* A salt under which this header's length check holds at `lsn`.
 *
 * A CRC is linear: whatever comes before, 8 bytes of salt change its register by some 32 bits that
 * depend on them alone. So of all salts there are 2^32 classes, and a salt of the same class is as
 * good as the one that was lost. The one whose first 4 bytes are zero is found by taking the last
 * step of the sum back. */
static uint64_t restore_salt(const unsigned char header[FRAME_HEADER], uint64_t lsn)
{
    unsigned char rest[12] = {0};
    put_u64(rest, lsn);
    uint32_t before = crc32c(crc32c(0, header, 12), rest, sizeof rest);
    return (uint64_t)(step_back(~get_u32(header + 12)) ^ ~before) << 32;
}

static bool looks_like_frame(const unsigned char *header, uint64_t left)
{
    uint64_t length = get_u32(header + 4);
    return get_u16(header) == FRAME_MAGIC && header[3] == 0 && header[2] >= FRAME_OPS &&
           header[2] <= FRAME_SYNCED && length >= FRAME_HEADER && length % 8 == 0 && length <= left;
}

int segment_find_salt(struct segment_cursor *c, uint64_t *salt)
{
    uint64_t offset = SEGMENT_HEADER;
    for (int tries = 0; tries < TRIES_MOST; tries++, offset += 8) {
        const unsigned char *header;
        size_t available;
        struct frame frame;
        enum frame_verdict verdict;
        int status = next_candidate(c, offset, &offset);
        if (status == QUPLOG_OK && offset >= c->end)
            return QUPLOG_EMPTY;
        if (status == QUPLOG_OK)
            status = look(c, offset, FRAME_HEADER, &header, &available);
        if (status)
            return status;
        if (!looks_like_frame(header, c->end - offset))
            continue;
        c->salt = restore_salt(header, c->base + offset);
        status = segment_frame(c, offset, &frame, &verdict); /* its other sum tells */
        if (status)
            return status;
        if (verdict == FRAME_VALID) {
            *salt = c->salt;
            return QUPLOG_OK;
        }
    }
    return QUPLOG_EMPTY;
}

int segment_search_headless(struct segment_cursor *c, uint64_t *synced)
{
    uint64_t salt, offset = SEGMENT_HEADER;
    int status = segment_find_salt(c, &salt);
    while (status == QUPLOG_OK && offset < c->end) {
        struct frame frame;
        enum frame_verdict verdict;
        status = segment_find_frame(c, &offset, &frame, &verdict);
        if (status || verdict == FRAME_BROKEN)
            return status;
        bool here = frame.synced_lsn > c->base && frame.synced_lsn <= c->base + offset;
        if (verdict == FRAME_VALID && here && frame.synced_lsn > *synced)
            *synced = frame.synced_lsn;
        offset += verdict == FRAME_INCOMPLETE ? 8 : frame.length;
    }
    return status == QUPLOG_EMPTY ? QUPLOG_OK : status;
}
