/* scan.c: see scan.h. */
#include "scan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "crc32c.h"
#include "lock.h"
#include "record.h"
#include "segment.h"

enum { PAGE = 4096, DAMAGES_AT_ONCE = 4 };

enum standing { READ, FOREIGN, DUPLICATE, SUPERSEDED };

struct scan_file {
    char name[SEGMENT_NAME];
    uint64_t named; /* the base that its name says */
    uint64_t size;
    uint64_t end;   /* offset behind the last byte that counts */
    struct segment_header header; /* `base` is also that of a file without a good header */
    enum standing standing;
    bool readable; /* its salt is known */
    bool doubtful; /* a recovery gave up its end, and nobody can say from where on */
};

struct quplog_scan {
    const struct io *io;
    struct io careful; /* what reads: see read_carefully() */
    int dir, lock, fd; /* -1: not open */
    struct scan_file *files; /* by base */
    size_t count, room;
    size_t first;    /* the oldest that is read; count: none was yet */
    size_t before;   /* the one read before the present; count: none */
    size_t current;
    bool entered;    /* the present file is */
    bool ended;      /* what is missing at both ends was told */
    struct segment_cursor cursor;
    uint64_t offset; /* of the next frame in the present file */
    uint64_t covered; /* all before this LSN was handed out, or called damaged */
    uint64_t durable, first_lsn, size;
    struct frame frame;
    uint64_t frame_lsn;
    size_t position; /* of the next op in the frame's body */
    uint64_t puts;
    struct op_job names;
    bool inside;     /* a frame is being taken apart */
    bool trimmed;    /* it is a TRIM, which is to be handed out */
    struct quplog_damage queue[DAMAGES_AT_ONCE]; /* found, to be handed out in this order */
    size_t queued, told;
    struct buffer loaded;
    quplog_report report;
};

static void say(struct quplog_scan *scan, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct quplog_scan *scan, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(scan->report.message, sizeof scan->report.message, format, arguments);
    va_end(arguments);
}

/* ---- damages ---- */

/* The part [lsn, end_lsn) of the log; `file` may be NULL. */
static void tell(struct quplog_scan *scan, enum quplog_damage_kind kind,
                 const struct scan_file *file, uint64_t lsn, uint64_t end_lsn)
{
    struct quplog_damage *damage = &scan->queue[scan->queued++];
    *damage = (struct quplog_damage){.kind = kind, .lsn = lsn, .end_lsn = end_lsn,
                                     .length = end_lsn - lsn};
    if (!file)
        return;
    memcpy(damage->file, file->name, sizeof file->name);
    damage->offset = lsn - file->header.base;
}

/* The same for a file as a whole. */
static void tell_file(struct quplog_scan *scan, enum quplog_damage_kind kind,
                      const struct scan_file *file)
{
    tell(scan, kind, file, 0, 0);
    scan->queue[scan->queued - 1].offset = 0;
    scan->queue[scan->queued - 1].length = file->size;
}

/* Nothing was found in [covered, end): are these bytes of the file before, or is there no file? */
static void tell_gap(struct quplog_scan *scan, uint64_t end)
{
    const struct scan_file *before =
        scan->before < scan->count ? &scan->files[scan->before] : NULL;
    if (before && end - before->header.base <= before->size)
        tell(scan, QUPLOG_DAMAGE_ZEROS, before, scan->covered, end);
    else
        tell(scan, QUPLOG_DAMAGE_MISSING, NULL, scan->covered, end);
    scan->covered = end;
}

/* ---- the files ---- */

/* What the device can't read is zeros. It may refuse a whole request for one bad page. */
static ssize_t read_carefully(void *w, int fd, void *buffer, size_t length, uint64_t offset)
{
    struct quplog_scan *scan = w;
    const struct io *io = scan->io;
    ssize_t n = io->pread(io->world, fd, buffer, length, offset);
    if (n != -EIO)
        return n;
    size_t piece = PAGE - (size_t)(offset % PAGE);
    if (length > piece)
        length = piece;
    n = io->pread(io->world, fd, buffer, length, offset);
    if (n != -EIO)
        return n;
    memset(buffer, 0, length);
    return (ssize_t)length;
}

static int add_file(void *context, const char *name)
{
    struct quplog_scan *scan = context;
    uint64_t base;
    if (!segment_parse_name(name, &base))
        return 0;
    if (scan->count == scan->room) {
        size_t room = scan->room ? scan->room * 2 : 16;
        struct scan_file *files = realloc(scan->files, room * sizeof *files);
        if (!files)
            return QUPLOG_NO_MEMORY;
        scan->files = files;
        scan->room = room;
    }
    struct scan_file *file = &scan->files[scan->count++];
    *file = (struct scan_file){.named = base};
    snprintf(file->name, sizeof file->name, "%.*s", SEGMENT_NAME - 1, name);
    return 0;
}

static int open_file(struct quplog_scan *scan, const struct scan_file *file)
{
    return segment_open(scan->io, scan->dir, file->named, IO_READ);
}

static int look_at_file(struct quplog_scan *scan, struct scan_file *file)
{
    const struct io *io = scan->io;
    enum segment_verdict verdict = SEGMENT_BROKEN;
    struct io_stat stat = {0};
    int fd = open_file(scan, file);
    if (fd < 0)
        return fd;
    int status = io->stat(io->world, fd, &stat);
    if (status == 0)
        status = segment_read_header(&scan->careful, fd, &file->header, &verdict);
    io->close(io->world, fd);
    if (status)
        return status;
    if (verdict == SEGMENT_UNSUPPORTED) {
        say(scan, "%s was written by a newer version of quplog: use that version or a newer one.",
            file->name);
        return QUPLOG_UNSUPPORTED;
    }
    file->size = file->end = stat.size;
    file->readable = verdict == SEGMENT_VALID;
    if (!file->readable)
        file->header.base = file->named;
    scan->size += stat.size;
    return QUPLOG_OK;
}

/* By base; of one segment's copies the one to be read first. */
static int by_base(const void *a, const void *b)
{
    const struct scan_file *x = a, *y = b;
    if (x->header.base != y->header.base)
        return x->header.base < y->header.base ? -1 : 1;
    if (x->readable != y->readable)
        return x->readable ? -1 : 1;
    bool x_right = x->named == x->header.base, y_right = y->named == y->header.base;
    if (x_right != y_right)
        return x_right ? -1 : 1;
    return strcmp(x->name, y->name);
}

static bool same_log(const struct scan_file *a, const struct scan_file *b)
{
    return memcmp(a->header.log_id, b->header.log_id, sizeof a->header.log_id) == 0;
}

/* The log that most of the files are of, and of these the one with most bytes, is the one meant. */
static void find_foreign(struct quplog_scan *scan)
{
    size_t best_files = 0;
    uint64_t best_bytes = 0;
    const struct scan_file *own = NULL;
    for (size_t i = 0; i < scan->count; i++) {
        const struct scan_file *file = &scan->files[i];
        size_t files = 0;
        uint64_t bytes = 0;
        for (size_t j = 0; file->readable && j < scan->count; j++) {
            bool same = scan->files[j].readable && same_log(file, &scan->files[j]);
            files += same;
            bytes += same ? scan->files[j].size : 0;
        }
        if (files > best_files || (files == best_files && bytes > best_bytes)) {
            own = file;
            best_files = files;
            best_bytes = bytes;
        }
    }
    for (size_t i = 0; own && i < scan->count; i++)
        if (scan->files[i].readable && !same_log(own, &scan->files[i]))
            scan->files[i].standing = FOREIGN;
}

static void find_duplicates(struct quplog_scan *scan)
{
    const struct scan_file *last = NULL;
    for (size_t i = 0; i < scan->count; i++) {
        struct scan_file *file = &scan->files[i];
        if (file->standing == FOREIGN)
            continue;
        if (last && last->header.base == file->header.base)
            file->standing = DUPLICATE;
        else
            last = file;
    }
}

/* Where the log before a file ends. One without a header counts as made by a rotation. */
static uint64_t end_before(const struct scan_file *file)
{
    return file->readable ? file->header.prev_end : file->header.base;
}

/* What the header of a file says of those before it: where the log had ended. */
static void find_given_up(struct quplog_scan *scan, size_t at)
{
    const struct scan_file *file = &scan->files[at];
    uint64_t prev_end = end_before(file);
    for (size_t i = prev_end ? at : 0; i > 0; i--) {
        struct scan_file *older = &scan->files[i - 1];
        if (older->standing != READ)
            continue;
        if (older->header.base >= prev_end) {
            older->standing = SUPERSEDED;
            continue;
        }
        uint64_t end = prev_end - older->header.base;
        if (file->readable && older->end > end)
            older->end = end;
        older->doubtful = !file->readable && end >= SEGMENT_JUMP;
        return;
    }
}

static int survey(struct quplog_scan *scan)
{
    const struct io *io = scan->io;
    int status = io->list(io->world, scan->dir, add_file, scan);
    if (status == QUPLOG_OK && scan->count == 0) {
        say(scan, "There is no log in it.");
        return QUPLOG_NOT_A_LOG;
    }
    for (size_t i = 0; status == QUPLOG_OK && i < scan->count; i++)
        status = look_at_file(scan, &scan->files[i]);
    if (status)
        return status;
    qsort(scan->files, scan->count, sizeof *scan->files, by_base);
    find_foreign(scan);
    find_duplicates(scan);
    for (size_t i = scan->count; i > 0; i--)
        if (scan->files[i - 1].standing == READ)
            find_given_up(scan, i - 1);
    scan->first = scan->before = scan->count;
    return QUPLOG_OK;
}

/* ---- a segment without a header ---- */

/* What the frames of a file say of its place. */
struct evidence {
    uint64_t end;   /* where the last of them ends */
    bool synced;    /* one knew of something durable in this file */
    bool impossible;
};

static int gather(struct quplog_scan *scan, const struct scan_file *file, struct evidence *e)
{
    uint64_t offset = SEGMENT_HEADER, base = file->header.base;
    *e = (struct evidence){0};
    for (;;) {
        struct frame frame;
        enum frame_verdict verdict;
        int status = segment_find_frame(&scan->cursor, &offset, &frame, &verdict);
        if (status || verdict == FRAME_BROKEN)
            return status;
        if (verdict == FRAME_VALID) {
            e->end = base + offset + frame.length;
            e->synced = e->synced || frame.synced_lsn > base;
            e->impossible = e->impossible || frame.synced_lsn > base + offset;
        }
        offset += verdict == FRAME_INCOMPLETE ? 8 : frame.length;
    }
}

/* Where the log before the next file to be read ends; 0: there is none. */
static uint64_t next_end_before(const struct quplog_scan *scan)
{
    for (size_t i = scan->current + 1; i < scan->count; i++)
        if (scan->files[i].standing == READ)
            return end_before(&scan->files[i]);
    return 0;
}

static bool any_readable(const struct quplog_scan *scan)
{
    for (size_t i = 0; i < scan->count; i++)
        if (scan->files[i].readable)
            return true;
    return false;
}

/* Make a file readable that has lost its header. QUPLOG_EMPTY: it can't be, or it can't be shown
 * that it stands at its place in this log. */
static int rescue(struct quplog_scan *scan, struct scan_file *file)
{
    struct evidence e;
    int status = segment_find_salt(&scan->cursor, &file->header.salt);
    if (status == QUPLOG_OK)
        status = gather(scan, file, &e);
    if (status)
        return status;
    bool joined = (scan->before < scan->count && scan->covered == file->header.base) ||
                  (e.end && e.end == next_end_before(scan));
    bool jumped = file->header.base > scan->covered + SEGMENT_JUMP; /* over what was given up */
    bool placed = (jumped || !any_readable(scan)) && e.synced;
    if (e.impossible || !(joined || placed))
        return QUPLOG_EMPTY;
    file->readable = true;
    segment_cursor_open(&scan->cursor, &scan->careful, scan->fd, &file->header, file->end);
    return QUPLOG_OK;
}

/* ---- going over the files ---- */

static void leave_file(struct quplog_scan *scan)
{
    if (scan->files[scan->current].standing == READ)
        scan->before = scan->current;
    io_close(scan->io, &scan->fd);
    scan->entered = false;
    scan->current++;
}

/* What is between the file before and this one. */
static void look_before(struct quplog_scan *scan, const struct scan_file *file, bool has_header)
{
    uint64_t begin = has_header ? file->header.prev_end : file->header.base;
    bool jumped = !has_header && begin > scan->covered && begin - scan->covered >= SEGMENT_JUMP;
    if (scan->before == scan->count)
        scan->first = scan->current;
    else if (scan->covered < begin && !jumped)
        tell_gap(scan, begin);
}

/* Nothing of it can be checked. */
static int give_up_file(struct quplog_scan *scan, struct scan_file *file)
{
    uint64_t used, base = file->header.base;
    segment_cursor_open(&scan->cursor, &scan->careful, scan->fd, &file->header, file->end);
    int status = segment_used(&scan->cursor, SEGMENT_HEADER, &used);
    if (status)
        return status;
    tell(scan, QUPLOG_DAMAGE_UNCHECKED, file, base + SEGMENT_HEADER, base + used);
    scan->covered = base + used;
    leave_file(scan);
    return QUPLOG_OK;
}

static int enter_file(struct quplog_scan *scan)
{
    struct scan_file *file = &scan->files[scan->current];
    bool has_header = file->readable;
    scan->entered = true;
    if (file->standing != READ) {
        if (file->standing != SUPERSEDED)
            tell_file(scan, file->standing == FOREIGN ? QUPLOG_DAMAGE_FOREIGN
                                                      : QUPLOG_DAMAGE_DUPLICATE, file);
        leave_file(scan);
        return QUPLOG_OK;
    }
    scan->fd = open_file(scan, file);
    if (scan->fd < 0)
        return scan->fd;
    segment_cursor_open(&scan->cursor, &scan->careful, scan->fd, &file->header, file->end);
    int status = has_header ? QUPLOG_OK : rescue(scan, file);
    if (status && status != QUPLOG_EMPTY)
        return status;
    if (file->named != file->header.base)
        tell_file(scan, QUPLOG_DAMAGE_MISNAMED, file);
    look_before(scan, file, has_header);
    if (status == QUPLOG_EMPTY)
        return give_up_file(scan, file);
    scan->offset = SEGMENT_HEADER;
    scan->covered = file->header.base + SEGMENT_HEADER;
    scan->report.bytes += SEGMENT_HEADER;
    if (!has_header)
        tell(scan, QUPLOG_DAMAGE_HEADER, file, file->header.base, scan->covered);
    if (file->header.synced_lsn > scan->durable)
        scan->durable = file->header.synced_lsn;
    if (file->header.first_lsn > scan->first_lsn)
        scan->first_lsn = file->header.first_lsn;
    return QUPLOG_OK;
}

/* What no file could show: acknowledged, but behind the last; part of the log, but before the
 * first. */
static void look_beyond(struct quplog_scan *scan)
{
    scan->ended = true;
    if (scan->before < scan->count && scan->covered < scan->durable)
        tell_gap(scan, scan->durable);
    if (scan->first == scan->count)
        return;
    const struct segment_header *first = &scan->files[scan->first].header;
    uint64_t begin = first->prev_end ? first->prev_end : first->base;
    if (first->base > scan->first_lsn && begin > scan->first_lsn)
        tell(scan, QUPLOG_DAMAGE_MISSING, NULL, scan->first_lsn, begin);
}

/* ---- frame by frame ---- */

/* Count the valid frame at scan->offset, and begin to take it apart. */
static int begin_frame(struct quplog_scan *scan)
{
    const struct frame *frame = &scan->frame;
    struct frame_trim trim;
    uint64_t lsn = scan->files[scan->current].header.base + scan->offset;
    int status = frame->kind == FRAME_OPS ? record_check(frame) : QUPLOG_OK;
    if (frame->kind == FRAME_TRIM && !frame_trim_decode(frame, lsn, &trim))
        status = QUPLOG_CORRUPT;
    if (status)
        return status;
    scan->frame_lsn = lsn;
    scan->offset += frame->length;
    scan->covered = scan->frame_lsn + frame->length;
    scan->report.frames++;
    scan->report.ops += frame->op_count;
    scan->report.bytes += frame->length;
    if (frame->synced_lsn > scan->durable)
        scan->durable = frame->synced_lsn;
    scan->trimmed = frame->kind == FRAME_TRIM;
    if (scan->trimmed && trim.first_lsn > scan->first_lsn)
        scan->first_lsn = trim.first_lsn;
    scan->inside = frame->kind == FRAME_OPS;
    scan->position = 0;
    scan->puts = 0;
    scan->names = (struct op_job){0};
    return QUPLOG_OK;
}

/* A frame that is not as it was written, but whose length is. */
static void skip_frame(struct quplog_scan *scan, const struct scan_file *file, bool whole)
{
    uint64_t lsn = file->header.base + scan->offset;
    tell(scan, QUPLOG_DAMAGE_FRAME, file, lsn, lsn + scan->frame.length);
    scan->queue[scan->queued - 1].op_count = scan->frame.op_count;
    if (!whole)
        scan->queue[scan->queued - 1].length = file->end - scan->offset;
    scan->offset = whole ? scan->offset + scan->frame.length : file->end;
    scan->covered = lsn + scan->frame.length;
}

/* To the next frame, or to the last byte that is not zero. */
static int skip_bytes(struct quplog_scan *scan, const struct scan_file *file)
{
    uint64_t from = scan->offset, to = from, used, base = file->header.base;
    struct frame frame;
    enum frame_verdict verdict = FRAME_BROKEN;
    int status = QUPLOG_OK;
    if (!file->doubtful)
        status = segment_find_frame(&scan->cursor, &to, &frame, &verdict);
    scan->offset = to;
    if (status == QUPLOG_OK && verdict == FRAME_BROKEN) { /* nothing follows */
        scan->offset = file->end;
        status = segment_used(&scan->cursor, from, &used);
        to = used;
    }
    if (status || to == from)
        return status;
    tell(scan, QUPLOG_DAMAGE_BYTES, file, base + from, base + to);
    scan->covered = base + to;
    return QUPLOG_OK;
}

static int read_frame(struct quplog_scan *scan)
{
    const struct scan_file *file = &scan->files[scan->current];
    enum frame_verdict verdict;
    if (scan->offset >= file->end) {
        leave_file(scan);
        return QUPLOG_OK;
    }
    int status = segment_frame(&scan->cursor, scan->offset, &scan->frame, &verdict);
    if (status)
        return status;
    if (verdict == FRAME_VALID)
        status = begin_frame(scan);
    if (verdict == FRAME_UNSUPPORTED || status == QUPLOG_UNSUPPORTED) {
        say(scan, "The record at offset %llu of %s was written by a newer version of quplog: use "
            "that.", (unsigned long long)scan->offset, file->name);
        return QUPLOG_UNSUPPORTED;
    }
    if (verdict == FRAME_VALID && status == QUPLOG_OK)
        return QUPLOG_OK;
    if (verdict == FRAME_BROKEN || file->doubtful)
        return skip_bytes(scan, file);
    skip_frame(scan, file, verdict != FRAME_INCOMPLETE);
    return QUPLOG_OK;
}

/* One step on: something is queued, or a frame begun, or not yet. QUPLOG_EMPTY at the end. */
static int go_on(struct quplog_scan *scan)
{
    if (scan->current < scan->count)
        return scan->entered ? read_frame(scan) : enter_file(scan);
    if (scan->ended)
        return QUPLOG_EMPTY;
    look_beyond(scan);
    return QUPLOG_OK;
}

/* ---- handing out ---- */

static void fill_more(quplog_scanned *out, const struct op *op)
{
    const struct op_copy *copy = &op->as.copy;
    if (op->type == QUPLOG_OP_FORGET) {
        out->succeeded_below = op->as.forget.succeeded_below;
        out->failed_below = op->as.forget.failed_below;
        out->record.data = (quplog_bytes){(const char *)op->as.forget.ids.data,
                                          op->as.forget.ids.length};
    }
    if (op->type == QUPLOG_OP_SCHEDULE) {
        out->last_us = op->as.schedule.last_us;
        out->paused = op->as.schedule.paused;
    }
    if (op->type != QUPLOG_OP_COPY)
        return;
    out->created_us = copy->created_us;
    out->started_us = copy->started_us;
    out->finished_us = copy->finished_us;
    out->ready_lsn = copy->ready_lsn;
    out->finish_lsn = copy->finish_lsn;
    out->crashes = copy->crashes;
    out->cancel_requested = copy->cancel_requested;
}

/* The next op of the frame. QUPLOG_EMPTY: there are no more. */
static int next_op(struct quplog_scan *scan, quplog_scanned *out)
{
    struct op op;
    size_t at;
    enum op_verdict verdict;
    do {
        at = scan->position;
        verdict = op_next(scan->frame.body, &scan->position, &op, &scan->names);
    } while (verdict == OP_SKIPPED);
    scan->inside = verdict == OP_VALID;
    if (!scan->inside)
        return QUPLOG_EMPTY;
    *out = (quplog_scanned){.kind = QUPLOG_SCAN_OP};
    record_fill(&out->record, &op, &scan->frame, scan->frame_lsn + FRAME_HEADER + at);
    out->record.frame_lsn = scan->frame_lsn;
    if (op.type == QUPLOG_OP_PUT)
        out->record.id = scan->frame.first_id + scan->puts++;
    fill_more(out, &op);
    out->op = (quplog_bytes){(const char *)scan->frame.body.data + at, op.length};
    out->check = crc32c(0, out->op.data, out->op.length);
    return QUPLOG_OK;
}

static void hand_out_trim(struct quplog_scan *scan, quplog_scanned *out)
{
    struct frame_trim trim = {0};
    (void)frame_trim_decode(&scan->frame, scan->frame_lsn, &trim); /* it was decoded before */
    *out = (quplog_scanned){.kind = QUPLOG_SCAN_TRIM,
                            .first_lsn = trim.first_lsn,
                            .next_id = trim.next_id};
    out->record.lsn = out->record.frame_lsn = scan->frame_lsn;
    out->record.time_us = scan->frame.time_us;
    scan->trimmed = false;
}

int quplog_scan_next(quplog_scan *scan, quplog_scanned *out)
{
    for (;;) {
        if (scan->told < scan->queued) {
            *out = (quplog_scanned){.kind = QUPLOG_SCAN_DAMAGE,
                                    .damage = scan->queue[scan->told++]};
            return QUPLOG_OK;
        }
        scan->told = scan->queued = 0;
        if (scan->trimmed) {
            hand_out_trim(scan, out);
            return QUPLOG_OK;
        }
        if (scan->inside && next_op(scan, out) == QUPLOG_OK)
            return QUPLOG_OK;
        int status = go_on(scan);
        if (status)
            return status;
    }
}

int quplog_scan_damage(quplog_scan *scan, size_t most, quplog_damage *out)
{
    quplog_scanned found;
    *out = (quplog_damage){0};
    for (size_t i = 0; i < most; i++) {
        int status = quplog_scan_next(scan, &found);
        if (status)
            return status;
        if (found.kind == QUPLOG_SCAN_DAMAGE) {
            *out = found.damage;
            return QUPLOG_OK;
        }
    }
    return QUPLOG_OK;
}

int quplog_scan_judge(const quplog_scan *scan, const quplog_damage *damage)
{
    bool of_file = damage->kind >= QUPLOG_DAMAGE_HEADER;
    bool no_ops = damage->kind == QUPLOG_DAMAGE_FRAME && damage->op_count == 0;
    if (of_file || no_ops || damage->lsn >= damage->end_lsn ||
        damage->end_lsn <= scan->first_lsn)
        return QUPLOG_LOSS_NOTHING;
    return damage->lsn < scan->durable ? QUPLOG_LOSS_DURABLE : QUPLOG_LOSS_TORN;
}

void quplog_scan_report(const quplog_scan *scan, quplog_report *out, uint64_t *size)
{
    *out = scan->report;
    out->end_lsn = scan->covered > scan->durable ? scan->covered : scan->durable;
    out->durable_lsn = scan->durable;
    if (size)
        *size = scan->size;
}

/* The bytes at `lsn` in one file, if they sum to `check`. */
static int load_from(struct quplog_scan *scan, const struct scan_file *file, uint64_t lsn,
                     size_t length, uint32_t check)
{
    const struct io *io = scan->io;
    int fd = open_file(scan, file);
    if (fd < 0)
        return fd;
    ssize_t n = io_read_full(&scan->careful, fd, scan->loaded.data, length,
                             lsn - file->header.base);
    io->close(io->world, fd);
    if (n < 0)
        return (int)n;
    bool same = (size_t)n == length && crc32c(0, scan->loaded.data, length) == check;
    return same ? QUPLOG_OK : QUPLOG_CORRUPT;
}

int quplog_scan_load(quplog_scan *scan, uint64_t lsn, size_t length, uint32_t check,
                     quplog_bytes *op)
{
    int status = QUPLOG_CORRUPT;
    scan->loaded.length = 0;
    if (length > QUPLOG_FRAME_MAX)
        return status;
    if (!buffer_room(&scan->loaded, length))
        return QUPLOG_NO_MEMORY;
    /* The last file that can hold it, as a rule: one that lost its header may reach into it. */
    for (size_t i = scan->count; status == QUPLOG_CORRUPT && i > 0; i--) {
        const struct scan_file *file = &scan->files[i - 1];
        if (file->standing == READ && file->header.base <= lsn)
            status = load_from(scan, file, lsn, length, check);
    }
    *op = (quplog_bytes){(const char *)scan->loaded.data, length};
    return status;
}

/* ---- opening and closing ---- */

/* Hold the byte OPEN, so that the log stands still. Without a lock file, or where nobody can write,
 * nobody has it open. */
static int keep_others_out(struct quplog_scan *scan)
{
    const struct io *io = scan->io;
    scan->lock = io->open(io->world, scan->dir, "lock", IO_WRITE);
    if (scan->lock < 0)
        return scan->lock == -ENOENT || scan->lock == -EROFS ? QUPLOG_OK : scan->lock;
    int status = io->lock(io->world, scan->lock, LOCK_OPEN, IO_EXCLUSIVE_LOCK);
    if (status != -EAGAIN)
        return status;
    say(scan, "A process has the log open: end it first.");
    return QUPLOG_LOCKED;
}

static int begin(struct quplog_scan *scan, const char *path, bool alone)
{
    const struct io *io = scan->io;
    scan->dir = io->open(io->world, IO_CWD, path, IO_DIRECTORY);
    if (scan->dir < 0)
        return scan->dir;
    int status = alone ? keep_others_out(scan) : QUPLOG_OK;
    return status ? status : survey(scan);
}

int scan_open_with(const struct io *io, const char *path, bool alone, quplog_scan **out,
                   quplog_report *report)
{
    struct quplog_scan *scan = calloc(1, sizeof *scan);
    if (!scan)
        return QUPLOG_NO_MEMORY;
    scan->io = io;
    scan->careful = (struct io){.world = scan, .pread = read_carefully};
    scan->dir = scan->lock = scan->fd = -1;
    int status = begin(scan, path, alone);
    if (report)
        *report = scan->report;
    if (status)
        quplog_scan_close(scan);
    else
        *out = scan;
    return status;
}

int quplog_scan_open(const char *path, bool alone, quplog_scan **out, quplog_report *report)
{
    return scan_open_with(io_system(), path, alone, out, report);
}

void quplog_scan_close(quplog_scan *scan)
{
    if (!scan)
        return;
    const struct io *io = scan->io;
    int *fds[] = {&scan->fd, &scan->lock, &scan->dir};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (*fds[i] >= 0)
            io_close(io, fds[i]);
    segment_cursor_close(&scan->cursor);
    buffer_free(&scan->loaded);
    free(scan->files);
    free(scan);
}
