/* log.c: see log.h. */
#include "log.h"

#include <errno.h>

#include "failpoint.h"
#include "quplog.h"

enum { SECOND_US = 1000000 };

/* A write is under way, but no frame's bytes have been touched yet. */
enum { DIRTY_BEFORE_FRAME = 1 };

void log_init(struct log *log, const struct io *io, struct control *control, int dir)
{
    *log = (struct log){.io = io, .control = control, .dir = dir, .head = {.fd = -1}};
    io->boot_id(io->world, log->boot_id);
    files_init(&log->files, io, dir);
}

void log_close(struct log *log)
{
    files_close(&log->files);
    io_close(log->io, &log->head.fd);
}

void log_free(struct log *log)
{
    files_free(&log->files);
}

/* ---- the head ---- */

static uint64_t newest(const struct log *log)
{
    return control_older(&log->control->page->head);
}

/* Where the next frame will stand, unless it begins a new segment. */
static uint64_t next_lsn(const struct log *log)
{
    uint64_t tail = control_older(&log->control->page->tail), base = log->head.header.base;
    return tail <= base ? base + SEGMENT_HEADER : tail;
}

static void use_head(struct log *log, const struct segment *head)
{
    io_close(log->io, &log->head.fd);
    log->head = *head;
}

int log_open_head(struct log *log, uint64_t base, uint64_t zeroed)
{
    const struct io *io = log->io;
    struct segment head = {.fd = -1, .size = zeroed - base};
    enum segment_verdict verdict;
    head.fd = segment_open(io, log->dir, base, IO_WRITE);
    if (head.fd < 0)
        return head.fd;
    int status = segment_read_header(io, head.fd, &head.header, &verdict);
    if (status == QUPLOG_OK && verdict != SEGMENT_VALID)
        status = QUPLOG_CORRUPT;
    if (status) {
        io->close(io->world, head.fd);
        return status;
    }
    memcpy(log->log_id, head.header.log_id, sizeof log->log_id);
    use_head(log, &head);
    return QUPLOG_OK;
}

int log_join(struct log *log)
{
    const struct control_page *page = log->control->page;
    return log_open_head(log, control_older(&page->head), control_older(&page->zeroed));
}

static void begin_header(struct log *log, struct segment_header *header, uint64_t base,
                         uint64_t prev_end)
{
    const struct io *io = log->io;
    memset(header, 0, sizeof *header);
    memcpy(header->log_id, log->log_id, 16);
    memcpy(header->boot_id, log->boot_id, 16);
    header->base = base;
    header->prev_end = prev_end;
    header->first_lsn = control_older(&log->control->page->first_lsn);
    header->synced_lsn = control_synced(log->control);
    header->created_us = io->now_us(io->world);
}

static void publish_head(struct log *log, const struct segment *head)
{
    struct control_page *page = log->control->page;
    use_head(log, head);
    control_write_number(&page->head, head->header.base);
    control_write_number(&page->zeroed, head->header.base + head->size);
}

/* A frame that is larger than a segment gets one of its own size. */
int log_add_head(struct log *log, uint64_t base, uint64_t prev_end, uint64_t frame, bool durable)
{
    const struct io *io = log->io;
    struct segment_header header;
    struct segment head;
    if (base >= SEGMENT_BASE_END)
        return QUPLOG_FULL; /* LSNs are used up: such a segment would not be found again */
    begin_header(log, &header, base, prev_end);
    int status = io->random(io->world, &header.salt, sizeof header.salt);
    if (status)
        return status;
    uint64_t limit = control_older(&log->control->page->segment_size);
    if (limit < SEGMENT_HEADER + frame)
        limit = SEGMENT_HEADER + frame;
    status = segment_create(io, log->dir, &header, limit, durable, &head);
    FAILPOINT("segment created");
    if (status == QUPLOG_OK)
        publish_head(log, &head);
    return status;
}

/* The disk is full, but this has to go on. */
static int use_spare(struct log *log, uint64_t length)
{
    struct segment_header header;
    struct segment head;
    uint64_t base = next_lsn(log);
    begin_header(log, &header, base, base);
    int status = log->io->random(log->io->world, &header.salt, sizeof header.salt);
    if (status == QUPLOG_OK)
        status = segment_adopt_spare(log->io, log->dir, &header, &head);
    FAILPOINT("spare adopted");
    if (status)
        return status;
    atomic_store(&log->control->page->spare_used, base);
    publish_head(log, &head);
    control_write_number(&log->control->page->tail, base);
    return SEGMENT_HEADER + length <= head.size ? QUPLOG_OK : QUPLOG_FULL;
}

int log_make_spare(struct log *log)
{
    uint64_t size = control_older(&log->control->page->segment_size);
    int status = segment_make_spare(log->io, log->dir, size < LOG_SPARE_MOST ? size
                                                                             : LOG_SPARE_MOST);
    if (status == QUPLOG_OK)
        atomic_store(&log->control->page->spare_used, 0);
    return status;
}

/* ---- the last writer died ---- */

/* Take up the segment at `base` if the dead writer had just made it; else -ENOENT. */
static int find_new_head(struct log *log, uint64_t base)
{
    struct control_page *page = log->control->page;
    struct io_stat stat;
    int status = log_open_head(log, base, base + SEGMENT_HEADER);
    if (status == QUPLOG_OK)
        status = log->io->stat(log->io->world, log->head.fd, &stat);
    if (status)
        return status;
    if (stat.size > SEGMENT_HEADER) /* only the spare comes with zeros */
        atomic_store(&page->spare_used, base);
    control_write_number(&page->head, base);
    control_write_number(&page->zeroed, base + SEGMENT_HEADER);
    return QUPLOG_OK;
}

/* Know the head, which may be one that the dead writer had just made. */
static int find_head(struct log *log, uint64_t tail)
{
    uint64_t base = newest(log);
    int status = find_new_head(log, tail <= base ? base + SEGMENT_HEADER : tail);
    if (status != -ENOENT)
        return status;
    if (log->head.fd >= 0 && log->head.header.base == base)
        return QUPLOG_OK;
    return log_open_head(log, base, control_older(&log->control->page->zeroed));
}

/* Accept the frames from the tail on that are whole; *end is where they end. */
static int accept_frames(struct log *log, uint64_t *end, log_visit visit, void *context)
{
    struct segment_cursor cursor = {0};
    uint64_t base = log->head.header.base;
    struct io_stat stat;
    int status = log->io->stat(log->io->world, log->head.fd, &stat);
    segment_cursor_open(&cursor, log->io, log->head.fd, &log->head.header,
                        status ? 0 : stat.size);
    for (;;) {
        struct frame frame;
        enum frame_verdict verdict = FRAME_BROKEN;
        if (status == QUPLOG_OK)
            status = segment_frame(&cursor, *end - base, &frame, &verdict);
        if (status || verdict != FRAME_VALID)
            break;
        status = visit(context, &frame, *end);
        if (status)
            break;
        *end += frame.length;
    }
    segment_cursor_close(&cursor);
    return status;
}

/* The page, or the directory, is not what a writer can have left. */
static int fail(struct log *log)
{
    control_fail(log->control);
    return QUPLOG_FAILED;
}

static int repair(struct log *log, uint64_t dirty, log_visit visit, void *context)
{
    struct control_page *page = log->control->page;
    uint64_t tail = control_tail(log->control);
    int status = control_poisoned(log->control) ? QUPLOG_FAILED : find_head(log, tail);
    if (status == -ENOENT)
        return fail(log);
    if (status)
        return status;
    uint64_t base = log->head.header.base, end = next_lsn(log);
    uint64_t zeroed = control_older(&page->zeroed);
    if (zeroed < base + SEGMENT_HEADER)
        zeroed = base + SEGMENT_HEADER; /* it died while it published a new head */
    if (end > zeroed || (dirty > end && dirty - end > QUPLOG_FRAME_MAX))
        return fail(log);
    status = accept_frames(log, &end, visit, context);
    if (status == QUPLOG_OK && dirty > end)
        status = segment_zero(log->io, log->head.fd, end - base, dirty - base);
    if (status)
        return status;
    control_write_number(&page->head, base);
    control_write_number(&page->zeroed, zeroed);
    control_write_number(&page->tail, end > base + SEGMENT_HEADER ? end : tail);
    log->head.size = zeroed - base;
    FAILPOINT("repaired");
    atomic_store_explicit(&page->dirty, 0, memory_order_release);
    return QUPLOG_OK;
}

/* ---- appending ---- */

/* The page says what it can, of a log whose head and tail are these. */
static bool makes_sense(struct log *log, uint64_t head, uint64_t tail, uint64_t zeroed)
{
    uint64_t id, first;
    struct control_page *page = log->control->page;
    return control_read_number(&page->next_id, &id) &&
           control_read_growing(&page->first_lsn, &first) && first <= tail &&
           tail >= control_tail(log->control) && control_synced(log->control) <= tail &&
           zeroed >= tail && zeroed >= head + SEGMENT_HEADER;
}

int log_begin(struct log *log, log_visit visit, void *context, bool *repaired)
{
    struct control_page *page = log->control->page;
    uint64_t tail, head, zeroed, dirty = atomic_load(&page->dirty);
    *repaired = dirty != 0;
    if (dirty) {
        int status = repair(log, dirty, visit, context);
        if (status)
            return status;
    }
    bool good = control_read_number(&page->tail, &tail) &&
                control_read_number(&page->head, &head) &&
                control_read_number(&page->zeroed, &zeroed) &&
                makes_sense(log, head, tail, zeroed);
    if (!good)
        return fail(log);
    if (log->head.fd < 0 || log->head.header.base != head) {
        int status = log_open_head(log, head, zeroed);
        if (status)
            return status;
    }
    log->head.size = zeroed - head;
    log->head.limit = control_older(&page->segment_size);
    return QUPLOG_OK;
}

static bool head_is_empty(const struct log *log)
{
    return next_lsn(log) == log->head.header.base + SEGMENT_HEADER;
}

/* On a full disk, what only takes in waits until there is a spare again. Trying for one costs, so
 * that is done once a second. */
static int may_take_in(struct log *log)
{
    uint64_t used = atomic_load(&log->control->page->spare_used);
    if (used == 0 || used != log->head.header.base)
        return QUPLOG_OK;
    int64_t now = log->io->monotonic_us(log->io->world);
    if (log->spare_tried_us && now - log->spare_tried_us < SECOND_US)
        return QUPLOG_FULL;
    log->spare_tried_us = now;
    return log_make_spare(log);
}

static int zero_ahead(struct log *log, uint64_t length)
{
    uint64_t base = log->head.header.base, size = log->head.size;
    int status = segment_zero_ahead(log->io, &log->head, next_lsn(log) - base + length);
    if (log->head.size != size)
        control_write_number(&log->control->page->zeroed, base + log->head.size);
    return status;
}

static int make_room(struct log *log, uint64_t length, bool urgent)
{
    uint64_t base = log->head.header.base, next = next_lsn(log);
    int status = urgent ? QUPLOG_OK : may_take_in(log);
    uint64_t end = next - base + length;
    if (status == QUPLOG_OK && end > log->head.limit && end > log->head.size &&
        !head_is_empty(log)) {
        status = log_add_head(log, next, next, length, false);
        if (status == QUPLOG_OK)
            control_write_number(&log->control->page->tail, next);
    }
    if (status == QUPLOG_OK)
        status = zero_ahead(log, length);
    return status == QUPLOG_FULL && urgent ? use_spare(log, length) : status;
}

/* What a failed write may have left becomes zeros again, now or by the next who appends. */
static void undo(struct log *log, uint64_t next, uint64_t length)
{
    uint64_t at = next - log->head.header.base;
    if (segment_zero(log->io, log->head.fd, at, at + length) == QUPLOG_OK)
        atomic_store(&log->control->page->dirty, 0);
}

static int write_frame(struct log *log, struct frame *frame, uint32_t body_crc, uint64_t next)
{
    unsigned char header[FRAME_HEADER];
    struct control_page *page = log->control->page;
    frame->synced_lsn = control_synced(log->control);
    frame_seal(header, frame, body_crc, next, log->head.header.salt);
    struct iovec parts[2] = {{header, sizeof header},
                             {(void *)(uintptr_t)frame->body.data, frame->body.length}};
    atomic_store(&page->dirty, next + frame->length);
    FAILPOINT("before the write");
    int status = io_write_full(log->io, log->head.fd, parts, frame->body.length ? 2 : 1,
                               next - log->head.header.base);
    FAILPOINT("written");
    if (status)
        undo(log, next, frame->length);
    return io_disk_full(status) ? QUPLOG_FULL : status;
}

int log_append(struct log *log, struct frame *frame, uint32_t body_crc, uint64_t ids, bool urgent,
               uint64_t *lsn)
{
    struct control_page *page = log->control->page;
    uint64_t length = FRAME_HEADER + (uint64_t)frame->body.length;
    if (length > QUPLOG_FRAME_MAX)
        return QUPLOG_TOO_LARGE;
    if (control_poisoned(log->control))
        return QUPLOG_FAILED;
    frame->length = (uint32_t)length;
    atomic_store(&page->dirty, DIRTY_BEFORE_FRAME);
    FAILPOINT("dirty");
    int status = make_room(log, length, urgent);
    if (status) {
        atomic_store(&page->dirty, 0);
        return status;
    }
    *lsn = next_lsn(log);
    status = write_frame(log, frame, body_crc, *lsn);
    if (status)
        return status;
    if (ids)
        control_write_number(&page->next_id, frame->first_id + ids);
    FAILPOINT("ids published");
    control_write_number(&page->tail, *lsn + length);
    atomic_store(&log->control->seen_tail, *lsn + length); /* it is never behind this again */
    FAILPOINT("tail published");
    atomic_store_explicit(&page->dirty, 0, memory_order_release);
    return QUPLOG_OK;
}

/* ---- reading ---- */

int log_read(struct log *log, uint64_t lsn, void *out, size_t length)
{
    return files_read(&log->files, lsn, newest(log), out, length);
}

/* Give `visit` the frames of one segment; *at moves on, also to the next segment if this ends. */
static int follow_segment(struct log *log, struct segment_cursor *cursor,
                          const struct file_use *use, uint64_t *at, uint64_t end, size_t *most,
                          log_visit visit, void *context)
{
    struct segment_header header = {.base = use->base, .salt = use->salt};
    struct frame frame;
    enum frame_verdict verdict;
    if (*at <= use->base)
        *at = use->base + SEGMENT_HEADER;
    uint64_t stop = use->next && use->next < end ? use->next : end;
    if (cursor->io && cursor->base == use->base) {
        cursor->fd = use->fd; /* what is in its window is history: it does not change */
        cursor->end = stop - use->base;
    } else {
        segment_cursor_open(cursor, log->io, use->fd, &header, stop - use->base);
    }
    while (*at < stop && *most > 0) {
        int status = segment_frame(cursor, *at - use->base, &frame, &verdict);
        if (status)
            return status;
        if (verdict == FRAME_UNSUPPORTED)
            return QUPLOG_UNSUPPORTED;
        if (verdict != FRAME_VALID)
            return QUPLOG_CORRUPT;
        status = visit(context, &frame, *at);
        if (status)
            return status;
        *at += frame.length;
        --*most;
    }
    return QUPLOG_OK;
}

int log_follow(struct log *log, struct segment_cursor *cursor, uint64_t *at, uint64_t end,
               size_t most, log_visit visit, void *context)
{
    while (*at < end && most > 0) {
        struct file_use use;
        int status = files_borrow(&log->files, *at, newest(log), &use);
        if (status)
            return status;
        status = follow_segment(log, cursor, &use, at, end, &most, visit, context);
        files_give_back(&log->files, &use);
        if (status)
            return status;
    }
    return QUPLOG_OK;
}

/* ---- durability ---- */

/* Sync one file, unless it was deleted under us: then what is acknowledged goes nowhere. */
static int flush_file(struct log *log, int fd)
{
    struct io_stat stat;
    int status = log->io->stat(log->io->world, fd, &stat);
    if (status == 0 && stat.links == 0)
        return -ENOENT;
    return status ? status : log->io->fdatasync(log->io->world, fd);
}

int log_flush(void *context, uint64_t from, uint64_t to)
{
    struct log *log = context;
    int status = 0;
    bool created = false; /* a segment whose name may not be durable yet */
    for (uint64_t at = from; status == 0 && at < to;) {
        struct file_use use;
        uint64_t first;
        if (!control_read_growing(&log->control->page->first_lsn, &first))
            return -EIO; /* garbage: what it says was trimmed may be what is to be synced */
        if (at < first && first < to)
            at = first; /* what was trimmed had been synced */
        status = files_borrow(&log->files, at, newest(log), &use);
        if (status == -ENOMEM || status == QUPLOG_NO_MEMORY)
            return QUPLOG_NO_MEMORY; /* this process lacks something: the disk was not asked */
        if (status == -EMFILE || status == -ENFILE)
            return -EMFILE;
        if (status)
            break;
        created = created || use.base >= from;
        at = use.next && use.next < to ? use.next : to;
        status = flush_file(log, use.fd);
        files_give_back(&log->files, &use);
    }
    if (status == 0 && created)
        status = log->io->fsync(log->io->world, log->dir);
    return status;
}
