/* recover.c: see recover.h. */
#include "recover.h"

#include <errno.h>
#include <stdio.h>

/* Read every frame and judge the end. Beside live processes (read-only) a frame may have been half
 * written when it was read: look again before calling it damaged. */
static int replay(struct chain *chain, struct recovery *recovery, enum chain_end *end)
{
    struct frame frame;
    uint64_t lsn;
    chain->until_lsn = recovery->until_lsn;
    chain->until_us = recovery->until_us;
    for (;;) {
        int status = chain_next(chain, &frame, &lsn);
        if (status == QUPLOG_OK) {
            const struct segment_header *header = &chain->files[chain->current].header;
            memcpy(recovery->boot_id, header->boot_id, sizeof recovery->boot_id);
            status = recovery->visit(recovery->context, &frame, lsn);
            if (status == QUPLOG_CORRUPT)
                chain_blame(chain, lsn);
        }
        if (status == QUPLOG_OK)
            continue;
        if (status != QUPLOG_EMPTY)
            return status;
        status = chain_judge(chain, end);
        if (status)
            return status;
        if (*end != CHAIN_CORRUPT || !recovery->read_only || !chain_recheck(chain))
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
        int fd = segment_open(io, log->dir, file->base, IO_WRITE);
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
    if (status == QUPLOG_OK)
        status = io->fsync(io->world, log->dir);
    else if (status == -EEXIST)
        status = QUPLOG_OK;
    if (status)
        return status;
    int into = io->open(io->world, log->dir, "quarantine", IO_DIRECTORY);
    return into == -ENOTDIR ? IO_NOT_ORDINARY : into;
}

/* Copy what stands behind X in its segment, byte for byte. Repeating this after a cut does no
 * harm. */
static int set_rest_aside(struct log *log, struct chain *chain, int into)
{
    uint64_t used, offset = chain->lsn - chain->files[chain->current].base;
    char name[SEGMENT_NAME];
    int status = segment_used(&chain->cursor, offset, &used);
    if (status || used <= offset)
        return status;
    snprintf(name, sizeof name, "%016llx.torn", (unsigned long long)chain->lsn);
    return segment_copy(log->io, chain->fd, offset, used, into, name);
}

/* Move the segments that are no part of the log. Any of them may be moved when this is cut short:
 * the segment that goes on at X says that they do not count. */
static int set_segments_aside(struct log *log, const struct chain *chain, int into)
{
    const struct io *io = log->io;
    char name[SEGMENT_NAME];
    int status = QUPLOG_OK;
    for (size_t i = 0; status == QUPLOG_OK && i < chain->count; i++) {
        if (!chain->files[i].superseded && i <= chain->current)
            continue;
        segment_name(chain->files[i].base, name);
        status = io->rename(io->world, log->dir, name, into, name);
    }
    if (status == QUPLOG_OK)
        status = io->fsync(io->world, into);
    return status == QUPLOG_OK ? io->fsync(io->world, log->dir) : status;
}

/* A base that no LSN handed out before can reach, whatever was lost. */
static uint64_t unused_base(const struct chain *chain)
{
    const struct chain_file *last = &chain->files[chain->count - 1]; /* X is in it, or before it */
    return (last->base + last->size + SEGMENT_JUMP) / SEGMENT_HEADER * SEGMENT_HEADER;
}

static bool any_superseded(const struct chain *chain)
{
    for (size_t i = 0; i < chain->count; i++)
        if (chain->files[i].superseded)
            return true;
    return false;
}

/* Nothing but zeros follows X: go on in its segment. */
static int reopen_head(struct log *log, const struct chain *chain)
{
    const struct chain_file *file = &chain->files[chain->current];
    uint64_t size = file->size > SEGMENT_HEADER ? file->size : SEGMENT_HEADER;
    int status = log_open_head(log, file->base, file->base + size);
    if (status == QUPLOG_OK) {
        control_write_number(&log->control->page->head, file->base);
        control_write_number(&log->control->page->zeroed, file->base + size);
    }
    return status;
}

static int drop_temporary(void *context, const char *name)
{
    struct log *log = context;
    if (segment_is_temporary(name))
        log->io->unlink(log->io->world, log->dir, name);
    return 0;
}

/* What a trimming had begun to remove; quarantine is for what was never said to be gone. */
static int remove_trimmed(struct log *log, const struct chain *chain)
{
    int status = QUPLOG_OK;
    for (size_t i = 0; status == QUPLOG_OK && i < chain->count; i++)
        if (chain->files[i].trimmed)
            status = segment_remove(log->io, log->dir, chain->files[i].base);
    return status;
}

/* Go on behind X in a new segment, whose making is what decides that the log ends there; without
 * anything torn it exists already. */
static int quarantine(struct log *log, struct chain *chain, bool torn)
{
    int into = open_quarantine(log);
    int status = into < 0 ? into : QUPLOG_OK;
    if (status == QUPLOG_OK && torn) {
        status = set_rest_aside(log, chain, into);
        if (status == QUPLOG_OK)
            status = log->io->fsync(log->io->world, into);
        if (status == QUPLOG_OK)
            status = log_add_head(log, unused_base(chain), chain->lsn, 0, true);
    }
    if (status == QUPLOG_OK)
        status = set_segments_aside(log, chain, into);
    if (into >= 0)
        log->io->close(log->io->world, into);
    return io_disk_full(status) ? QUPLOG_FULL : status;
}

/* What was read becomes what can be appended to. */
static int take_over(struct log *log, struct chain *chain, struct recovery *recovery,
                     enum chain_end end)
{
    const struct io *io = log->io;
    int status = io->list(io->world, log->dir, drop_temporary, log);
    if (status == QUPLOG_OK && recovery->poisoned)
        status = write_again(log, chain);
    if (recovery->poisoned && status < 0)
        status = QUPLOG_FAILED; /* the device still fails */
    recovery->torn = end == CHAIN_TORN;
    if (status == QUPLOG_OK)
        status = remove_trimmed(log, chain);
    if (status == QUPLOG_OK && (recovery->torn || any_superseded(chain)))
        status = quarantine(log, chain, recovery->torn);
    if (status == QUPLOG_OK && !recovery->torn)
        status = reopen_head(log, chain);
    return status;
}

/* Let the directory's own name be durable: whoever made it, we or somebody else, may not have come
 * to that. Who may not look into the directory above has to trust it. */
static int sync_name(const struct log *log)
{
    const struct io *io = log->io;
    int above = io->open(io->world, log->dir, "..", IO_DIRECTORY);
    if (above == -EACCES)
        return 0;
    if (above < 0)
        return above;
    int status = io->fsync(io->world, above);
    io->close(io->world, above);
    return status == -EINVAL || status == -EROFS ? 0 : status; /* not a place that is synced */
}

/* Its first segment comes last: without one, whoever opens it does all of this again. */
static int create_log(struct log *log)
{
    const struct io *io = log->io;
    struct control_page *page = log->control->page;
    int status = io->random(io->world, log->log_id, sizeof log->log_id);
    if (status == 0)
        status = io->list(io->world, log->dir, drop_temporary, log);
    if (status == 0)
        status = sync_name(log);
    if (status == 0)
        status = log_add_head(log, 0, 0, 0, true);
    if (status)
        return status;
    control_write_number(&page->tail, SEGMENT_HEADER);
    control_write_number(&page->synced, SEGMENT_HEADER);
    return QUPLOG_OK;
}

static int no_log(quplog_report *report)
{
    snprintf(report->message, sizeof report->message, "There is no log in it.");
    return QUPLOG_NOT_A_LOG;
}

/* Every frame was read: say so in the control page, and see that one can go on from there. */
static int finish(struct log *log, struct chain *chain, struct recovery *recovery,
                  enum chain_end end)
{
    struct control_page *page = log->control->page;
    const struct segment_header *newest = &chain->files[chain->current].header;
    memcpy(log->log_id, newest->log_id, sizeof log->log_id);
    recovery->closing = chain->closing;
    control_write_number(&page->first_lsn, chain->first_lsn);
    control_write_number(&page->tail, chain->lsn);
    /* What is before the oldest segment is gone, so there is nothing of it to be synced. */
    control_write_number(&page->synced,
                         chain->durable > chain->origin ? chain->durable : chain->origin);
    return recovery->read_only ? QUPLOG_OK : take_over(log, chain, recovery, end);
}

int recover(struct log *log, struct recovery *recovery, quplog_report *report)
{
    struct chain chain;
    enum chain_end end = CHAIN_CLEAN;
    control_write_number(&log->control->page->segment_size, recovery->segment_size);
    int status = chain_open(&chain, log->io, log->dir);
    if (status == QUPLOG_OK && chain.count == 0) {
        status = recovery->read_only ? no_log(&chain.report) : create_log(log);
    } else if (status == QUPLOG_OK) {
        status = replay(&chain, recovery, &end);
        if (status == QUPLOG_OK)
            status = finish(log, &chain, recovery, end);
    }
    *report = chain.report;
    chain_close(&chain);
    return status;
}
