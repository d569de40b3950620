/* make_log.c: see make_log.h. Segments are images in memory until they are stored. */
#include "make_log.h"

#include "crc32c.h"
#include "make_ops.h"
#include "open.h"
#include "segment.h"

enum { SEGMENTS = 6, EDITS_MOST = 64, MARKS = 16, PATH_SIZE = 64, GROWTH = 64 << 10 };

struct image {
    struct segment_header header;
    struct buffer bytes; /* zeros from `end` on */
    size_t end;          /* offset of the next frame */
    uint64_t named;      /* the base that its name says */
    bool removed;
};

struct maker_of_logs {
    struct disk *disk;
    struct image images[SEGMENTS];
    size_t count;
    struct image *now;
    uint64_t marks[MARKS]; /* LSNs that mean something */
    unsigned mark_count;
    struct maker ops;
};

/* ---- numbers ---- */

static void mark(struct maker_of_logs *m, uint64_t lsn)
{
    m->marks[m->mark_count++ % MARKS] = lsn;
}

static uint64_t end_of(const struct maker_of_logs *m)
{
    return m->now ? m->now->header.base + m->now->end : 0;
}

/* An LSN: one that was marked, near to one, the present end, none, or anything. */
static uint64_t some_lsn(const struct maker_of_logs *m, struct span *input)
{
    unsigned how = input_below(input, 6), which = input_below(input, MARKS);
    uint64_t marked = which < m->mark_count ? m->marks[which] : 0;
    switch (how) {
    case 0: return 0;
    case 1: return end_of(m);
    case 2: return marked + 8U * input_below(input, 8);
    case 3: return input_number(input, 8);
    default: return marked;
    }
}

/* So far from the last LSN that there is a log behind it. */
static uint64_t base_of(uint64_t lsn)
{
    return lsn & (SEGMENT_BASE_END / 16 - 1);
}

static uint64_t some_base(const struct maker_of_logs *m, struct span *input)
{
    return base_of(some_lsn(m, input));
}

/* ---- images ---- */

/* Have zeros up to `size`. */
static void reach(struct image *image, size_t size)
{
    if (size <= image->bytes.length)
        return;
    size_t more = size - image->bytes.length;
    unsigned char *p = buffer_room(&image->bytes, more);
    MUST(p);
    memset(p, 0, more);
    image->bytes.length += more;
}

/* A feature that no version knows, in both copies of the header. */
static void ask_for_more(unsigned char *block)
{
    enum { FEATURES_AT = 12, COPY = 128, COPY_AT = 2048, CRC_AT = COPY - 4 };
    block[FEATURES_AT] = 1;
    put_u32(block + CRC_AT, crc32c(0, block, CRC_AT));
    memcpy(block + COPY_AT, block, COPY);
}

/* The block as segment.c writes it. */
static void write_header(struct maker_of_logs *m, struct image *image)
{
    const struct io *io = disk_io(m->disk);
    char path[PATH_SIZE], name[SEGMENT_NAME];
    struct segment segment;
    size_t length;
    int dir = io->open(io->world, IO_CWD, MAKE_LOG, IO_DIRECTORY);
    MUST(segment_create(io, dir, &image->header, GROWTH, true, &segment) == QUPLOG_OK);
    io->close(io->world, segment.fd);
    io->close(io->world, dir);
    segment_name(image->header.base, name);
    snprintf(path, sizeof path, MAKE_LOG "/%s", name);
    image->bytes.data = disk_load(m->disk, path, &length);
    MUST(image->bytes.data && length == SEGMENT_HEADER && disk_remove(m->disk, path));
    image->bytes.length = image->bytes.capacity = length;
}

/* Where a log could end: in no header block. */
static uint64_t outside(const struct maker_of_logs *m, uint64_t end)
{
    for (size_t i = 0; i < m->count; i++) {
        uint64_t base = m->images[i].header.base;
        if (end > base && end < base + SEGMENT_HEADER)
            end = base;
    }
    return end;
}

/* Where a segment could begin: its header block is no part of another's. */
static uint64_t apart(const struct maker_of_logs *m, uint64_t base)
{
    for (size_t i = 0; i < m->count; i++) {
        uint64_t other = m->images[i].header.base;
        if (base + SEGMENT_HEADER > other && base < other + SEGMENT_HEADER)
            base = other;
    }
    return base;
}

static void begin_segment(struct maker_of_logs *m, struct span *input)
{
    if (m->count == SEGMENTS)
        return;
    unsigned how = input_byte(input);
    uint64_t end = end_of(m);
    struct image *image = &m->images[m->count];
    struct segment_header *h = &image->header;
    memcpy(h->log_id, how & 0x80 ? "another log" : "the log of this", 12);
    h->base = apart(m, how & 1 ? some_base(m, input) : base_of(end));
    h->prev_end = outside(m, how & 2 ? some_lsn(m, input) : end);
    if (h->prev_end == 0 && m->count) /* the first segment of a log stands alone in its directory */
        h->prev_end = h->base;
    h->first_lsn = how & 4 ? some_lsn(m, input) : 0;
    h->synced_lsn = how & 8 ? some_lsn(m, input) : 0;
    if (h->synced_lsn > h->base + SEGMENT_HEADER)
        h->synced_lsn = h->base;
    h->salt = h->base * 3 + 77;
    m->count++;
    image->end = SEGMENT_HEADER;
    image->named = h->base;
    write_header(m, image);
    if ((how & 0x70) == 0x70)
        ask_for_more(image->bytes.data);
    reach(image, how & 0x10 ? SEGMENT_HEADER : GROWTH);
    m->now = image;
    mark(m, h->base);
}

/* ---- frames ---- */

static void append_frame(struct maker_of_logs *m, struct frame *frame)
{
    struct image *image = m->now;
    uint64_t lsn = end_of(m);
    frame->length = (uint32_t)(FRAME_HEADER + frame->body.length);
    if (frame->synced_lsn > lsn) /* nobody knows that something is durable before it is written */
        frame->synced_lsn = lsn;
    reach(image, image->end + frame->length);
    unsigned char *p = image->bytes.data + image->end;
    uint32_t crc = crc32c(0, frame->body.data, frame->body.length);
    frame_seal(p, frame, crc, lsn, image->header.salt);
    if (frame->body.length)
        memcpy(p + FRAME_HEADER, frame->body.data, frame->body.length);
    image->end += frame->length;
    mark(m, lsn);
}

/* Give the ops their checks, if their lengths are such that they can have them. */
static void seal(struct buffer *ops)
{
    size_t at = 0;
    while (ops->length - at >= OP_HEADER) {
        size_t length = align8(get_u32(ops->data + at + 4));
        if (length < OP_HEADER || length > ops->length - at)
            return;
        at += length;
    }
    (void)op_seal(ops, 0, 0);
}

static void append_ops(struct maker_of_logs *m, struct span *input)
{
    struct buffer ops = {0};
    struct frame frame = {.kind = FRAME_OPS, .time_us = (int64_t)input_below(input, 16) * 500};
    frame.first_id = 1 + input_below(input, MAKER_IDS);
    frame.synced_lsn = some_lsn(m, input);
    frame.op_count = make_ops(&m->ops, input, end_of(m), &ops);
    seal(&ops);
    frame.body = (struct span){ops.data, ops.length};
    append_frame(m, &frame);
    buffer_free(&ops);
}

static void append_trim(struct maker_of_logs *m, struct span *input)
{
    unsigned char body[FRAME_TRIM_BODY];
    struct frame_trim trim = {.first_lsn = some_lsn(m, input),
                              .next_id = input_below(input, 64),
                              .epoch = input_below(input, 8)};
    frame_trim_encode(body, &trim);
    struct frame frame = {.kind = FRAME_TRIM, .synced_lsn = some_lsn(m, input)};
    frame.body = (struct span){body, sizeof body};
    append_frame(m, &frame);
}

static void append_witness(struct maker_of_logs *m, struct span *input)
{
    unsigned char body[8] = {(unsigned char)input_below(input, 2)};
    struct frame frame = {.kind = FRAME_SYNCED, .synced_lsn = some_lsn(m, input)};
    frame.body = (struct span){body, sizeof body};
    append_frame(m, &frame);
}

/* Its sums hold, and nothing else need be true of it. */
static void append_any(struct maker_of_logs *m, struct span *input)
{
    struct frame frame = {.kind = (uint8_t)input_below(input, 5),
                          .op_count = input_below(input, 8),
                          .synced_lsn = some_lsn(m, input),
                          .first_id = input_number(input, 8)};
    frame.body = input_bytes(input, 8U * input_below(input, 16));
    frame.body.length &= ~(size_t)7;
    append_frame(m, &frame);
}

/* ---- damage ---- */

static void spoil(struct maker_of_logs *m, struct span *input)
{
    struct image *image = &m->images[input_below(input, (unsigned)m->count)];
    uint64_t lsn = some_lsn(m, input) - image->header.base;
    size_t at = (size_t)(lsn + input_byte(input)) % (image->bytes.length + 1);
    struct span bytes = input_bytes(input, input_below(input, 32));
    reach(image, at + bytes.length);
    if (bytes.length)
        memcpy(image->bytes.data + at, bytes.data, bytes.length);
}

static void cut(struct maker_of_logs *m, struct span *input)
{
    struct image *image = &m->images[input_below(input, (unsigned)m->count)];
    size_t length = (size_t)(some_lsn(m, input) - image->header.base);
    if (length <= image->bytes.length)
        image->bytes.length = length;
    if (image->end > length)
        image->end = length;
}

/* Nothing stands there, and the log goes on behind it. */
static void skip(struct maker_of_logs *m, struct span *input)
{
    m->now->end += 8U * input_byte(input);
    reach(m->now, m->now->end);
}

/* A frame once more, at another place. */
static void copy_sector(struct maker_of_logs *m, struct span *input)
{
    struct image *image = m->now;
    size_t from = 512U * input_byte(input), to = 512U * input_byte(input);
    reach(image, (from > to ? from : to) + 512);
    memmove(image->bytes.data + to, image->bytes.data + from, 512);
}

/* ---- files ---- */

static void show_image(const struct image *image)
{
    const struct segment_header *h = &image->header;
    char text[200];
    snprintf(text, sizeof text, "base %llx prev_end %llx first_lsn %llx synced %llx end %llx",
             (unsigned long long)h->base, (unsigned long long)h->prev_end,
             (unsigned long long)h->first_lsn, (unsigned long long)h->synced_lsn,
             (unsigned long long)(h->base + image->end));
    fuzz_show("storing a segment of bytes", (int)image->bytes.length, text);
}

static void store(struct maker_of_logs *m, const char *name, struct span bytes)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, MAKE_LOG "/%s", name);
    disk_store(m->disk, path, bytes.data, bytes.length);
}

/* Something else in the directory. */
static void put_file(struct maker_of_logs *m, struct span *input)
{
    static const char *const names[] = {
        "control", "lock",    "poison",
        "spare",   "foreign", "0000000000001000.log.tmp",
        "spare.tmp", "fedcba9876543210.log", "0123456789ABCDEF.log"};
    const char *name = names[input_below(input, sizeof names / sizeof *names)];
    unsigned how = input_below(input, 4);
    struct span bytes = how == 0 ? (struct span){(const unsigned char *)"poisoned", 8}
                                 : input_bytes(input, input_byte(input));
    store(m, name, bytes);
}

static bool edit(struct maker_of_logs *m, struct span *input)
{
    unsigned what = input_below(input, 20);
    if (!m->now && what > 1)
        begin_segment(m, input);
    switch (what) {
    case 0: return false;
    case 1: put_file(m, input); break;
    case 2: append_trim(m, input); break;
    case 3: append_witness(m, input); break;
    case 4: append_any(m, input); break;
    case 5: spoil(m, input); break;
    case 6: cut(m, input); break;
    case 7: skip(m, input); break;
    case 8: copy_sector(m, input); break;
    case 9: m->images[input_below(input, (unsigned)m->count)].removed = true; break;
    case 10: m->images[input_below(input, (unsigned)m->count)].named = some_base(m, input); break;
    case 11:
    case 12: begin_segment(m, input); break;
    case 13: m->now = &m->images[input_below(input, (unsigned)m->count)]; break;
    default: append_ops(m, input); break;
    }
    return true;
}

/* As segment.c has it of a header; and no log ends in a header block, also of one that came later
 * or got that name. */
static bool is_proper(const struct maker_of_logs *m, const struct image *image)
{
    const struct segment_header *h = &image->header;
    return image->named == h->base && h->prev_end <= h->base && h->first_lsn <= h->base &&
           (h->prev_end || h->first_lsn == h->base) && outside(m, h->prev_end) == h->prev_end;
}

bool make_log(struct disk *disk, struct span *input)
{
    bool proper = true;
    const struct io *io = disk_io(disk);
    struct maker_of_logs m = {.disk = disk};
    char name[SEGMENT_NAME];
    MUST(io->mkdir(io->world, IO_CWD, MAKE_LOG) == 0);
    MUST(io->fsync(io->world, IO_CWD) == 0);
    for (int i = 0; i < EDITS_MOST && input->length && edit(&m, input); i++)
        continue;
    for (size_t i = 0; i < m.count; i++) {
        struct image *image = &m.images[i];
        segment_name(image->named, name);
        proper = proper && is_proper(&m, image);
        show_image(image);
        if (!image->removed)
            store(&m, name, (struct span){image->bytes.data, image->bytes.length});
        buffer_free(&image->bytes);
    }
    return proper;
}

int open_made(const struct io *io, bool read_only, quplog **log, quplog_report *report)
{
    quplog_options options = {.segment_size = read_only ? 0 : 64 << 10,
                              .keep_succeeded_us = -1,
                              .keep_failed_us = -1,
                              .flush_interval_us = INT64_C(3600) * 1000000,
                              .read_only = read_only};
    *report = (quplog_report){0};
    int status = open_with(io, MAKE_LOG, &options, log, report);
    fuzz_show(read_only ? "reading" : "opening", status, report->message);
    return status;
}

/* ---- nothing was changed ---- */

struct comparison {
    const struct disk *is, *should;
    size_t count;
};

static int compare_segment(void *context, const char *name)
{
    struct comparison *comparison = context;
    char path[PATH_SIZE];
    size_t is_length, should_length;
    if (!strstr(name, ".log") || strstr(name, ".tmp"))
        return 0;
    comparison->count++;
    snprintf(path, sizeof path, MAKE_LOG "/%s", name);
    unsigned char *is = disk_load(comparison->is, path, &is_length);
    unsigned char *should = disk_load(comparison->should, path, &should_length);
    MUST(is && should && is_length == should_length && memcmp(is, should, is_length) == 0);
    free(is);
    free(should);
    return 0;
}

void must_be_untouched(const struct disk *is, const struct disk *should)
{
    struct comparison there = {.is = is, .should = should}, here = there;
    disk_list(should, MAKE_LOG, compare_segment, &there);
    disk_list(is, MAKE_LOG, compare_segment, &here);
    MUST(there.count == here.count);
}
