/* log.c: see log.h. */
#include "log.h"

#include <errno.h>
#include <stdio.h>

enum { OPEN_FILES_MAX = 32 };

/* ---- the list of segments and their descriptors ---- */

static int add_segment(struct log *log, uint64_t base, uint64_t size, int fd)
{
    if (log->count == log->capacity) {
        size_t capacity = log->capacity ? log->capacity * 2 : 16;
        struct log_segment *segments = realloc(log->segments, capacity * sizeof *segments);
        if (!segments)
            return QUPLOG_NO_MEMORY;
        log->segments = segments;
        log->capacity = capacity;
    }
    log->segments[log->count++] = (struct log_segment){.base = base, .size = size, .fd = fd};
    log->open_files += fd >= 0;
    return QUPLOG_OK;
}

/* The index of the segment that holds `lsn`; count if none does. */
static size_t segment_of(const struct log *log, uint64_t lsn)
{
    size_t low = 0, high = log->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (log->segments[middle].base <= lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? log->count : low - 1;
}

/* With `files` held: close the descriptor that was not used for longest; never the head's. */
static void close_oldest(struct log *log)
{
    struct log_segment *oldest = NULL;
    for (size_t i = 0; i + 1 < log->count; i++) {
        struct log_segment *s = &log->segments[i];
        if (s->fd >= 0 && s->users == 0 && (!oldest || s->used < oldest->used))
            oldest = s;
    }
    if (oldest) {
        log->io->close(log->io->world, oldest->fd);
        oldest->fd = -1;
        log->open_files--;
    }
}

/* With `files` held: the segment's descriptor, kept open until give_back(). */
static int borrow(struct log *log, struct log_segment *segment)
{
    if (segment->fd < 0) {
        char name[SEGMENT_NAME];
        segment_name(segment->base, name);
        if (log->open_files >= OPEN_FILES_MAX)
            close_oldest(log);
        int fd = log->io->open(log->io->world, log->dir, name, IO_READ);
        if (fd < 0)
            return fd;
        segment->fd = fd;
        log->open_files++;
    }
    segment->users++;
    segment->used = ++log->uses;
    return segment->fd;
}

static void give_back(struct log *log, uint64_t base)
{
    log->io->mutex_lock(log->io->world, &log->files);
    log->segments[segment_of(log, base)].users--;
    log->io->mutex_unlock(log->io->world, &log->files);
}

int log_read(struct log *log, uint64_t lsn, void *out, size_t length)
{
    const struct io *io = log->io;
    io->mutex_lock(io->world, &log->files);
    size_t index = segment_of(log, lsn);
    int fd = -ENOENT;
    uint64_t base = 0;
    if (index < log->count) {
        base = log->segments[index].base;
        fd = borrow(log, &log->segments[index]);
    }
    io->mutex_unlock(io->world, &log->files);
    if (fd < 0)
        return fd == -ENOENT ? QUPLOG_NOT_FOUND : fd;
    ssize_t n = io_read_full(io, fd, out, length, lsn - base);
    give_back(log, base);
    if (n < 0)
        return (int)n;
    return (size_t)n == length ? QUPLOG_OK : QUPLOG_CORRUPT;
}

void log_measure(struct log *log, uint64_t *segments, uint64_t *bytes)
{
    const struct io *io = log->io;
    io->mutex_lock(io->world, &log->files);
    *segments = log->count;
    *bytes = 0;
    for (size_t i = 0; i < log->count; i++)
        *bytes += log->segments[i].size;
    io->mutex_unlock(io->world, &log->files);
}

bool log_oldest(struct log *log, uint64_t *base, uint64_t *end, uint64_t *next_base)
{
    const struct io *io = log->io;
    io->mutex_lock(io->world, &log->files);
    bool found = log->count > 1;
    if (found) {
        *base = log->segments[0].base;
        *next_base = log->segments[1].base;
        *end = *base + log->segments[0].size;
        *end = *end < *next_base ? *end : *next_base; /* behind a rotation there may be zeros */
    }
    io->mutex_unlock(io->world, &log->files);
    return found;
}

/* Let others get on for a moment: what is waited for ends by itself. */
static void pause_briefly(const struct io *io)
{
    uint32_t never = 0;
    io->futex_wait(io->world, &never, 0, io->monotonic_us(io->world) + 1000, IO_FUTEX_MONOTONIC);
}

/* With `files` held: take the oldest segment off the list. */
static void drop_oldest(struct log *log)
{
    if (log->segments[0].fd >= 0) {
        log->io->close(log->io->world, log->segments[0].fd);
        log->open_files--;
    }
    log->count--;
    memmove(log->segments, log->segments + 1, log->count * sizeof *log->segments);
}

/* Remove the file of the oldest segment if it ends below `lsn`. It is used meanwhile, so that
 * log_close() waits: the next owner must not find files that are about to go. */
static int remove_oldest(struct log *log, uint64_t lsn, uint64_t *base, bool *more)
{
    const struct io *io = log->io;
    char name[SEGMENT_NAME];
    io->mutex_lock(io->world, &log->files);
    *more = log->count > 1 && log->segments[1].base <= lsn;
    if (*more) {
        *base = log->segments[0].base;
        log->segments[0].users++;
    }
    io->mutex_unlock(io->world, &log->files);
    if (!*more)
        return 0;
    segment_name(*base, name);
    int status = io->unlink(io->world, log->dir, name);
    return status == -ENOENT ? 0 : status; /* somebody else was faster */
}

int log_trim(struct log *log, uint64_t lsn)
{
    const struct io *io = log->io;
    for (;;) {
        uint64_t base;
        bool more;
        int status = remove_oldest(log, lsn, &base, &more);
        if (!more)
            return 0;
        for (bool busy = status == 0; busy;) {
            io->mutex_lock(io->world, &log->files);
            busy = log->segments[0].users > 1; /* somebody but us */
            if (!busy)
                drop_oldest(log);
            io->mutex_unlock(io->world, &log->files);
            if (busy)
                pause_briefly(io);
        }
        if (status) {
            give_back(log, base);
            return status;
        }
    }
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
    const struct io *io = log->io;
    int status = 0;
    /* Taken before the files are synced: a segment that is created meanwhile is owed again. */
    bool owed = atomic_exchange(&log->directory_owed, 0) != 0;
    for (uint64_t at = from; status == 0 && at < to;) {
        io->mutex_lock(io->world, &log->files);
        size_t index = segment_of(log, at);
        bool found = index < log->count;
        uint64_t base = found ? log->segments[index].base : 0;
        int fd = found ? borrow(log, &log->segments[index]) : -ENOENT;
        at = index + 1 < log->count ? log->segments[index + 1].base : to;
        io->mutex_unlock(io->world, &log->files);
        status = fd < 0 ? fd : flush_file(log, fd);
        if (fd >= 0)
            give_back(log, base);
    }
    if (status == 0 && owed)
        status = io->fsync(io->world, log->dir);
    return status;
}

/* ---- appending ---- */

static void begin_header(struct log *log, struct segment_header *header, uint64_t base,
                         uint64_t prev_end)
{
    const struct io *io = log->io;
    memset(header, 0, sizeof *header);
    memcpy(header->log_id, log->log_id, 16);
    memcpy(header->boot_id, log->boot_id, 16);
    header->base = base;
    header->prev_end = prev_end;
    header->first_lsn = log->first_lsn;
    header->synced_lsn = atomic_load(&log->control->synced);
    header->created_us = io->now_us(io->world);
}

/* Make a segment the head. A frame that is larger than a segment gets one of its own size. */
static int add_head(struct log *log, uint64_t base, uint64_t prev_end, uint64_t frame, bool durable)
{
    const struct io *io = log->io;
    struct segment_header header;
    struct segment head;
    begin_header(log, &header, base, prev_end);
    int status = io->random(io->world, &header.salt, sizeof header.salt);
    if (status)
        return status;
    uint64_t limit = log->segment_size;
    if (limit < SEGMENT_HEADER + frame)
        limit = SEGMENT_HEADER + frame;
    status = segment_create(io, log->dir, &header, limit, durable, &head);
    if (status)
        return status;
    io->mutex_lock(io->world, &log->files);
    status = add_segment(log, base, SEGMENT_HEADER, head.fd);
    io->mutex_unlock(io->world, &log->files);
    if (status) {
        char name[SEGMENT_NAME];
        segment_name(base, name);
        io->unlink(io->world, log->dir, name);
        io->close(io->world, head.fd);
        return status;
    }
    if (!durable)
        atomic_store(&log->directory_owed, 1);
    log->head = head;
    log->next = base + SEGMENT_HEADER;
    return QUPLOG_OK;
}

/* Zero what a failed append may have left where the next frame goes. */
static int clean_up(struct log *log)
{
    uint64_t base = log->head.header.base;
    int status = segment_zero(log->io, log->head.fd, log->next - base, log->dirty_end - base);
    if (status == QUPLOG_OK)
        log->dirty_end = 0;
    return status;
}

static int make_room(struct log *log, uint64_t length)
{
    int status = log->dirty_end ? clean_up(log) : QUPLOG_OK;
    if (status)
        return status;
    uint64_t base = log->head.header.base;
    if (log->next - base + length > log->head.limit && log->next != base + SEGMENT_HEADER) {
        status = add_head(log, log->next, log->next, length, false);
        if (status)
            return status;
        base = log->head.header.base;
    }
    uint64_t size = log->head.size;
    status = segment_zero_ahead(log->io, &log->head, log->next - base + length);
    if (log->head.size != size) {
        log->io->mutex_lock(log->io->world, &log->files);
        log->segments[log->count - 1].size = log->head.size;
        log->io->mutex_unlock(log->io->world, &log->files);
    }
    return status;
}

int log_append(struct log *log, struct frame *frame, uint32_t body_crc, uint64_t *lsn)
{
    unsigned char header[FRAME_HEADER];
    uint64_t length = FRAME_HEADER + (uint64_t)frame->body.length;
    if (length > QUPLOG_FRAME_MAX)
        return QUPLOG_TOO_LARGE;
    if (control_poisoned(log->control))
        return QUPLOG_FAILED;
    int status = make_room(log, length);
    if (status)
        return status;
    frame->length = (uint32_t)length;
    frame->synced_lsn = atomic_load_explicit(&log->control->synced, memory_order_acquire);
    frame_seal(header, frame, body_crc, log->next, log->head.header.salt);
    struct iovec parts[2] = {{header, sizeof header},
                             {(void *)(uintptr_t)frame->body.data, frame->body.length}};
    status = io_write_full(log->io, log->head.fd, parts, frame->body.length ? 2 : 1,
                           log->next - log->head.header.base);
    if (status) {
        log->dirty_end = log->next + length;
        return status == -ENOSPC || status == -EDQUOT ? QUPLOG_FULL : status;
    }
    struct frame_trim trim;
    if (frame->kind == FRAME_TRIM && frame_trim_decode(frame->body, &trim))
        log->first_lsn = trim.first_lsn;
    *lsn = log->next;
    log->next += length;
    atomic_store_explicit(&log->control->tail, log->next, memory_order_release);
    return QUPLOG_OK;
}

/* ---- recovery ---- */

/* Read every frame and judge the end. Beside a live owner (read-only) a frame may have been half
 * written when it was read: look again before calling it damaged. */
static int replay(struct chain *chain, struct log_opening *opening, enum chain_end *end)
{
    struct frame frame;
    uint64_t lsn;
    chain->until_lsn = opening->until_lsn;
    chain->until_us = opening->until_us;
    for (;;) {
        int status = chain_next(chain, &frame, &lsn);
        if (status == QUPLOG_OK)
            status = opening->visit(opening->context, &frame, lsn);
        if (status == QUPLOG_OK)
            continue;
        if (status != QUPLOG_EMPTY)
            return status;
        status = chain_judge(chain, end);
        if (status)
            return status;
        if (*end != CHAIN_CORRUPT || !opening->read_only || !chain_recheck(chain))
            return *end == CHAIN_CORRUPT ? QUPLOG_CORRUPT : QUPLOG_OK;
    }
}

/* A sync had failed: the kernel may hold these pages as clean although the disk has not got them.
 * Writing the same bytes again makes them dirty, so that the sync means something. */
static int write_again(struct log *log, const struct chain *chain)
{
    const struct io *io = log->io;
    unsigned char *block = malloc(SEGMENT_STEP);
    int status = block ? QUPLOG_OK : QUPLOG_NO_MEMORY;
    for (size_t i = chain->start; status == QUPLOG_OK && i <= chain->current; i++) {
        const struct chain_file *file = &chain->files[i];
        uint64_t end = i == chain->current ? chain->lsn : file->base + file->end;
        if (file->superseded || end <= chain->durable)
            continue;
        char name[SEGMENT_NAME];
        segment_name(file->base, name);
        int fd = io->open(io->world, log->dir, name, IO_WRITE);
        status = fd < 0 ? fd : QUPLOG_OK;
        for (uint64_t at = 0; status == QUPLOG_OK && at < end - file->base;) {
            uint64_t left = end - file->base - at;
            size_t want = left < SEGMENT_STEP ? (size_t)left : SEGMENT_STEP;
            ssize_t n = io_read_full(io, fd, block, want, at);
            if (n <= 0) {
                status = n < 0 ? (int)n : QUPLOG_FAILED;
                break;
            }
            struct iovec part = {block, (size_t)n};
            status = io_write_full(io, fd, &part, 1, at);
            at += (uint64_t)n;
        }
        if (status == QUPLOG_OK)
            status = io->fdatasync(io->world, fd);
        if (fd >= 0)
            io->close(io->world, fd);
    }
    free(block);
    if (status == QUPLOG_OK)
        status = io->fsync(io->world, log->dir);
    return status;
}

static int open_quarantine(struct log *log)
{
    const struct io *io = log->io;
    int status = io->mkdir(io->world, log->dir, "quarantine");
    if (status && status != -EEXIST)
        return status;
    return io->open(io->world, log->dir, "quarantine", IO_DIRECTORY);
}

/* Set aside what stands behind X, byte for byte: the rest of its segment is copied, whole segments
 * are moved. Repeating this after a cut does no harm. */
static int quarantine(struct log *log, struct chain *chain, bool torn)
{
    const struct io *io = log->io;
    const struct chain_file *file = &chain->files[chain->current];
    uint64_t used = 0, offset = chain->lsn - file->base;
    char name[SEGMENT_NAME];
    int into = open_quarantine(log);
    if (into < 0)
        return into == -ENOSPC ? QUPLOG_FULL : into;
    int status = torn ? segment_used(&chain->cursor, offset, &used) : QUPLOG_OK;
    if (status == QUPLOG_OK && torn && used > offset) {
        snprintf(name, sizeof name, "%016llx.torn", (unsigned long long)chain->lsn);
        status = segment_copy(io, chain->fd, offset, used, into, name);
    }
    for (size_t i = 0; status == QUPLOG_OK && i < chain->count; i++) {
        if (!chain->files[i].superseded && i <= chain->current)
            continue;
        segment_name(chain->files[i].base, name);
        status = io->rename(io->world, log->dir, name, into, name);
    }
    if (status == QUPLOG_OK)
        status = io->fsync(io->world, into);
    if (status == QUPLOG_OK)
        status = io->fsync(io->world, log->dir);
    io->close(io->world, into);
    return status;
}

/* A base that no LSN handed out before can reach, whatever was lost. */
static uint64_t unused_base(const struct chain *chain)
{
    const struct chain_file *last = &chain->files[chain->count - 1];
    uint64_t highest = last->base + last->size;
    if (chain->lsn > highest)
        highest = chain->lsn;
    return (highest + LOG_JUMP) / SEGMENT_HEADER * SEGMENT_HEADER;
}

static bool any_superseded(const struct chain *chain)
{
    for (size_t i = 0; i < chain->count; i++)
        if (chain->files[i].superseded)
            return true;
    return false;
}

/* The segments up to X are the log from now on, and those that were removed but came back, so that
 * they are removed again. Behind X there are zeros, or what is torn. */
static int adopt(struct log *log, const struct chain *chain, bool torn)
{
    int status = QUPLOG_OK;
    for (size_t i = 0; status == QUPLOG_OK && i <= chain->current; i++) {
        const struct chain_file *file = &chain->files[i];
        if (i < chain->start && file->base >= chain->first_lsn)
            continue;
        uint64_t size = torn && i == chain->current ? chain->lsn - file->base : file->end;
        if (!file->superseded)
            status = add_segment(log, file->base, size, -1);
    }
    return status;
}

/* Nothing but zeros follows X: go on in its segment. */
static int reopen_head(struct log *log, const struct chain *chain)
{
    const struct chain_file *file = &chain->files[chain->current];
    struct log_segment *last = &log->segments[log->count - 1];
    char name[SEGMENT_NAME];
    segment_name(file->base, name);
    last->fd = log->io->open(log->io->world, log->dir, name, IO_WRITE);
    if (last->fd < 0)
        return last->fd;
    log->open_files++;
    log->head = (struct segment){.header = file->header, .fd = last->fd, .size = file->size};
    log->head.limit = file->size > log->segment_size ? file->size : log->segment_size;
    log->next = chain->lsn;
    return QUPLOG_OK;
}

static int drop_temporary(void *context, const char *name)
{
    struct log *log = context;
    if (segment_is_temporary(name))
        log->io->unlink(log->io->world, log->dir, name);
    return 0;
}

/* What was read becomes what can be appended to. */
static int take_over(struct log *log, struct chain *chain, struct log_opening *opening,
                     enum chain_end end)
{
    const struct io *io = log->io;
    int status = io->list(io->world, log->dir, drop_temporary, log);
    if (status == QUPLOG_OK && opening->poisoned)
        status = write_again(log, chain);
    if (opening->poisoned && status < 0)
        status = QUPLOG_FAILED; /* the device still fails */
    opening->torn = end == CHAIN_TORN;
    if (status == QUPLOG_OK && (opening->torn || any_superseded(chain)))
        status = quarantine(log, chain, opening->torn);
    if (status)
        return status;
    /* What was read is not what is durable: synced is D, never the tail. */
    atomic_store(&log->control->synced, chain->durable);
    status = opening->torn ? add_head(log, unused_base(chain), chain->lsn, 0, true)
                           : reopen_head(log, chain);
    atomic_store(&log->control->tail, opening->torn ? chain->lsn : log->next);
    return status;
}

static int create_log(struct log *log)
{
    const struct io *io = log->io;
    int status = io->random(io->world, log->log_id, sizeof log->log_id);
    if (status == 0)
        status = io->list(io->world, log->dir, drop_temporary, log);
    if (status == 0)
        status = add_head(log, 0, 0, 0, true);
    if (status)
        return status;
    atomic_store(&log->control->tail, log->next);
    atomic_store(&log->control->synced, log->next);
    return QUPLOG_OK;
}

static int no_log(quplog_report *report)
{
    snprintf(report->message, sizeof report->message, "There is no log in it.");
    return QUPLOG_NOT_A_LOG;
}

int log_open(struct log *log, const struct io *io, struct control *control, int dir,
             struct log_opening *opening, quplog_report *report)
{
    *log = (struct log){.io = io, .control = control, .dir = dir, .head = {.fd = -1}};
    log->segment_size = opening->segment_size;
    io->mutex_init(io->world, &log->files);
    io->boot_id(io->world, log->boot_id);
    struct chain chain;
    enum chain_end end = CHAIN_CLEAN;
    int status = chain_open(&chain, io, dir);
    if (status == QUPLOG_OK && chain.count == 0) {
        status = opening->read_only ? no_log(&chain.report) : create_log(log);
    } else if (status == QUPLOG_OK) {
        status = replay(&chain, opening, &end);
        if (status == QUPLOG_OK)
            status = adopt(log, &chain, end == CHAIN_TORN);
        if (status == QUPLOG_OK) {
            const struct segment_header *last = &chain.files[chain.current].header;
            memcpy(log->log_id, last->log_id, sizeof log->log_id);
            memcpy(opening->boot_id, last->boot_id, sizeof opening->boot_id);
            log->first_lsn = chain.first_lsn;
            opening->closing = chain.closing;
            atomic_store(&control->tail, chain.lsn);
            atomic_store(&control->synced, chain.durable);
            if (!opening->read_only)
                status = take_over(log, &chain, opening, end);
        }
    }
    *report = chain.report;
    chain_close(&chain);
    return status;
}

void log_close(struct log *log)
{
    const struct io *io = log->io;
    bool busy = true;
    while (busy) {
        busy = false;
        io->mutex_lock(io->world, &log->files);
        for (size_t i = 0; i < log->count; i++)
            busy = busy || log->segments[i].users > 0;
        for (size_t i = 0; !busy && i < log->count; i++)
            if (log->segments[i].fd >= 0)
                io->close(io->world, log->segments[i].fd);
        log->count = busy ? log->count : 0;
        io->mutex_unlock(io->world, &log->files);
        if (busy) /* a read or a sync is under way */
            pause_briefly(io);
    }
}

void log_free(struct log *log)
{
    free(log->segments);
    log->io->mutex_destroy(log->io->world, &log->files);
    log->segments = NULL;
}
