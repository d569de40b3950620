/* chain.c: see chain.h. */
#include "chain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static void say(struct chain *chain, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct chain *chain, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(chain->report.message, sizeof chain->report.message, format, arguments);
    va_end(arguments);
}

static void point_at(struct chain *chain, uint64_t base, uint64_t lsn)
{
    segment_name(base, chain->report.file);
    chain->report.damage_lsn = lsn;
    chain->report.damage_offset = lsn - base;
}

/* ---- the files ---- */

struct listing {
    struct chain *chain;
    size_t capacity;
};

static int add_file(void *context, const char *name)
{
    struct listing *listing = context;
    struct chain *chain = listing->chain;
    uint64_t base;
    if (!segment_parse_name(name, &base))
        return 0;
    if (chain->count == listing->capacity) {
        size_t capacity = listing->capacity ? listing->capacity * 2 : 16;
        struct chain_file *files = realloc(chain->files, capacity * sizeof *files);
        if (!files)
            return QUPLOG_NO_MEMORY;
        chain->files = files;
        listing->capacity = capacity;
    }
    chain->files[chain->count++] = (struct chain_file){.base = base};
    return 0;
}

static int by_base(const void *a, const void *b)
{
    uint64_t x = ((const struct chain_file *)a)->base, y = ((const struct chain_file *)b)->base;
    return x < y ? -1 : x > y;
}

static int open_file(struct chain *chain, const struct chain_file *file)
{
    char name[SEGMENT_NAME];
    segment_name(file->base, name);
    return chain->io->open(chain->io->world, chain->dir, name, IO_READ);
}

static int read_header(struct chain *chain, struct chain_file *file)
{
    const struct io *io = chain->io;
    enum segment_verdict verdict = SEGMENT_BROKEN;
    struct io_stat stat = {0};
    int fd = open_file(chain, file);
    if (fd < 0)
        return fd;
    int status = io->stat(io->world, fd, &stat);
    if (status == 0)
        status = segment_read_header(io, fd, &file->header, &verdict);
    io->close(io->world, fd);
    if (status)
        return status;
    if (verdict == SEGMENT_UNSUPPORTED) {
        point_at(chain, file->base, file->base);
        say(chain, "%s was written by a newer version of quplog: use that version or a newer one.",
            chain->report.file);
        return QUPLOG_UNSUPPORTED;
    }
    file->size = file->end = stat.size;
    file->valid = verdict == SEGMENT_VALID && file->header.base == file->base;
    return QUPLOG_OK;
}

/* ---- the chain ---- */

/* The file that holds the byte before `prev_end`, or begins there; -1: none. */
static ptrdiff_t holder_of(const struct chain *chain, size_t before, uint64_t prev_end)
{
    for (size_t i = before; i > 0; i--)
        if (chain->files[i - 1].base < prev_end)
            return (ptrdiff_t)i - 1;
    return -1;
}

/* Where the log before this file ends. One that lost its header cannot say: it counts as made by a
 * rotation, so that what it held decides with X and D whether it is torn or corrupt. */
static uint64_t end_before(const struct chain_file *file)
{
    return file->valid ? file->header.prev_end : file->base;
}

/* Whether a TRIM in this file says that all below `lsn` is gone. */
static int find_trim(struct chain *chain, const struct chain_file *file, uint64_t lsn, bool *found)
{
    struct segment_cursor cursor = {0};
    struct frame_trim trim;
    uint64_t offset = SEGMENT_HEADER;
    int fd = open_file(chain, file);
    if (fd < 0)
        return fd;
    segment_cursor_open(&cursor, chain->io, fd, &file->header, file->end);
    int status = QUPLOG_OK;
    while (status == QUPLOG_OK && !*found) {
        struct frame frame = {0};
        enum frame_verdict verdict;
        status = segment_frame(&cursor, offset, &frame, &verdict);
        if (status || verdict != FRAME_VALID)
            break;
        offset += frame.length;
        *found = frame.kind == FRAME_TRIM && frame_trim_decode(frame.body, &trim) &&
                 trim.first_lsn >= lsn;
    }
    segment_cursor_close(&cursor);
    chain->io->close(chain->io->world, fd);
    return status;
}

/* The bytes before file `at` are missing. That is no damage if the log begins there: of segments
 * that were removed, a power cut may have brought back any, and left out others. */
static int begins_at(struct chain *chain, size_t at, bool *begins)
{
    uint64_t base = chain->files[at].base;
    int status = QUPLOG_OK;
    for (size_t i = at; i < chain->count; i++)
        *begins = *begins || (chain->files[i].valid && chain->files[i].header.first_lsn >= base);
    for (size_t i = at; status == QUPLOG_OK && !*begins && i < chain->count; i++)
        if (chain->files[i].valid)
            status = find_trim(chain, &chain->files[i], base, begins);
    return status;
}

/* From the newest valid file back to the oldest; mark what a recovery has superseded. */
static int link_files(struct chain *chain)
{
    size_t at = chain->count;
    while (at > 0 && !chain->files[at - 1].valid)
        at--;
    if (at > 0)
        at--;
    for (;;) {
        uint64_t prev_end = end_before(&chain->files[at]);
        ptrdiff_t holder = prev_end ? holder_of(chain, at, prev_end) : -1;
        for (size_t i = (size_t)(holder + 1); prev_end && i < at; i++)
            chain->files[i].superseded = true;
        chain->start = chain->current = at;
        if (holder < 0)
            return QUPLOG_OK;
        struct chain_file *previous = &chain->files[holder];
        bool begins = false;
        int status = previous->size < prev_end - previous->base ? begins_at(chain, at, &begins)
                                                                : QUPLOG_OK;
        if (status || begins)
            return status;
        if (previous->end > prev_end - previous->base)
            previous->end = prev_end - previous->base;
        at = (size_t)holder;
    }
}

static size_t next_file(const struct chain *chain, size_t at)
{
    do
        at++;
    while (at < chain->count && chain->files[at].superseded);
    return at;
}

/* What the headers say: D, the last TRIM, and that all belong to one log. */
static int read_claims(struct chain *chain)
{
    const struct chain_file *first = NULL;
    for (size_t i = chain->start; i < chain->count; i = next_file(chain, i)) {
        const struct chain_file *file = &chain->files[i];
        chain->total += file->end;
        if (!file->valid)
            continue;
        if (!first)
            first = file;
        if (memcmp(file->header.log_id, first->header.log_id, 16) != 0) {
            point_at(chain, file->base, file->base);
            say(chain, "%s belongs to another log: move it out of this directory.",
                chain->report.file);
            return QUPLOG_CORRUPT;
        }
        if (file->header.synced_lsn > chain->durable)
            chain->durable = file->header.synced_lsn;
        if (file->header.first_lsn > chain->first_lsn)
            chain->first_lsn = file->header.first_lsn;
    }
    return QUPLOG_OK;
}

static int list_files(struct chain *chain, struct listing *listing)
{
    chain->count = 0;
    int status = chain->io->list(chain->io->world, chain->dir, add_file, listing);
    if (status == QUPLOG_OK && chain->count)
        qsort(chain->files, chain->count, sizeof *chain->files, by_base);
    for (size_t i = 0; status == QUPLOG_OK && i < chain->count; i++)
        status = read_header(chain, &chain->files[i]);
    return status;
}

int chain_open(struct chain *chain, const struct io *io, int dir)
{
    *chain = (struct chain){.io = io, .dir = dir, .fd = -1};
    struct listing listing = {chain, 0};
    int status = -ENOENT;
    /* Beside a live owner a segment may be removed before we come to it. */
    for (int i = 0; status == -ENOENT && i < CHAIN_TRIES; i++)
        status = list_files(chain, &listing);
    if (status || chain->count == 0)
        return status;
    status = link_files(chain);
    chain->lsn = chain->files[chain->start].base + SEGMENT_HEADER;
    return status ? status : read_claims(chain);
}

void chain_close(struct chain *chain)
{
    if (chain->fd >= 0)
        chain->io->close(chain->io->world, chain->fd);
    segment_cursor_close(&chain->cursor);
    free(chain->files);
    chain->files = NULL;
    chain->fd = -1;
}

/* ---- reading on ---- */

static int enter_file(struct chain *chain, size_t index)
{
    struct chain_file *file = &chain->files[index];
    if (chain->fd >= 0)
        chain->io->close(chain->io->world, chain->fd);
    chain->current = index;
    chain->fd = open_file(chain, file);
    if (chain->fd < 0)
        return chain->fd;
    segment_cursor_open(&chain->cursor, chain->io, chain->fd, &file->header, file->end);
    chain->report.bytes += SEGMENT_HEADER;
    return QUPLOG_OK;
}

int chain_seek(struct chain *chain, uint64_t lsn)
{
    for (size_t i = chain->start; i < chain->count; i = next_file(chain, i)) {
        const struct chain_file *file = &chain->files[i];
        if (!file->valid || lsn < file->base + SEGMENT_HEADER || lsn >= file->base + file->end)
            continue;
        int status = enter_file(chain, i);
        chain->lsn = lsn;
        return status;
    }
    return QUPLOG_NOT_FOUND;
}

/* The history goes on in the next file if that says it begins just here. */
static bool continues(const struct chain *chain, size_t *next)
{
    *next = next_file(chain, chain->current);
    return *next < chain->count && chain->files[*next].valid &&
           chain->files[*next].header.prev_end == chain->lsn;
}

static int count_frame(struct chain *chain, const struct frame *frame)
{
    struct frame_trim trim;
    if (frame->synced_lsn > chain->durable)
        chain->durable = frame->synced_lsn;
    if (frame->kind == FRAME_TRIM) {
        if (!frame_trim_decode(frame->body, &trim))
            return QUPLOG_CORRUPT;
        if (trim.first_lsn > chain->first_lsn)
            chain->first_lsn = trim.first_lsn;
    }
    chain->closing = frame->kind == FRAME_SYNCED && frame->body.length >= 8 &&
                     (get_u64(frame->body.data) & FRAME_CLOSING);
    chain->report.frames++;
    chain->report.ops += frame->op_count;
    chain->report.bytes += frame->length;
    return QUPLOG_OK;
}

int chain_next(struct chain *chain, struct frame *frame, uint64_t *lsn)
{
    size_t next;
    enum frame_verdict verdict;
    if (chain->count == 0 || !chain->files[chain->current].valid)
        return QUPLOG_EMPTY;
    if (chain->fd < 0) {
        int status = enter_file(chain, chain->current);
        if (status)
            return status;
    }
    while (continues(chain, &next)) {
        int status = enter_file(chain, next);
        if (status)
            return status;
        chain->lsn = chain->files[next].base + SEGMENT_HEADER;
    }
    uint64_t offset = chain->lsn - chain->files[chain->current].base;
    int status = segment_frame(&chain->cursor, offset, frame, &verdict);
    if (status)
        return status;
    if (verdict == FRAME_UNSUPPORTED) {
        point_at(chain, chain->files[chain->current].base, chain->lsn);
        say(chain, "The record at LSN %llu was written by a newer version of quplog: use that.",
            (unsigned long long)chain->lsn);
        return QUPLOG_UNSUPPORTED;
    }
    if (verdict != FRAME_VALID)
        return QUPLOG_EMPTY;
    chain->cut = (chain->until_us && frame->time_us > chain->until_us) ||
                 (chain->until_lsn && chain->lsn >= chain->until_lsn);
    if (chain->cut)
        return QUPLOG_EMPTY;
    *lsn = chain->lsn;
    chain->lsn += frame->length;
    return count_frame(chain, frame);
}

bool chain_recheck(struct chain *chain)
{
    struct frame frame;
    enum frame_verdict verdict;
    if (chain->fd < 0)
        return false;
    segment_cursor_drop(&chain->cursor);
    uint64_t offset = chain->lsn - chain->files[chain->current].base;
    return segment_frame(&chain->cursor, offset, &frame, &verdict) == QUPLOG_OK &&
           verdict == FRAME_VALID;
}

/* ---- the end ---- */

/* D goes on behind X: in the rest of this file, then in all that follow. */
static int search_behind(struct chain *chain)
{
    uint64_t offset = chain->lsn - chain->files[chain->current].base;
    int status = segment_search_synced(&chain->cursor, offset, &chain->durable);
    size_t i = next_file(chain, chain->current);
    for (; status == QUPLOG_OK && i < chain->count; i = next_file(chain, i)) {
        const struct chain_file *file = &chain->files[i];
        if (!file->valid)
            continue;
        struct segment_cursor cursor = {0};
        int fd = open_file(chain, file);
        if (fd < 0)
            return fd;
        segment_cursor_open(&cursor, chain->io, fd, &file->header, file->end);
        status = segment_search_synced(&cursor, SEGMENT_HEADER, &chain->durable);
        segment_cursor_close(&cursor);
        chain->io->close(chain->io->world, fd);
    }
    return status;
}

static int count_torn(struct chain *chain, uint64_t *torn)
{
    const struct chain_file *file = &chain->files[chain->current];
    uint64_t offset = chain->lsn - file->base, used;
    int status = segment_used(&chain->cursor, offset, &used);
    *torn = status ? 0 : used - offset;
    size_t i = next_file(chain, chain->current);
    for (; i < chain->count; i = next_file(chain, i))
        *torn += chain->files[i].size;
    return status;
}

static void describe_corrupt(struct chain *chain)
{
    size_t next = next_file(chain, chain->current);
    bool beheaded = next < chain->count && chain->files[next].base == chain->lsn;
    point_at(chain, chain->files[beheaded ? next : chain->current].base, chain->lsn);
    say(chain,
        "%s is damaged at offset %llu (LSN %llu): what stood there had been acknowledged as synced "
        "(up to LSN %llu). Nothing was changed. Restore a backup, or keep the "
        "directory as it is: the undamaged jobs can still be read.",
        chain->report.file, (unsigned long long)chain->report.damage_offset,
        (unsigned long long)chain->lsn, (unsigned long long)chain->durable);
}

static void describe_missing(struct chain *chain)
{
    uint64_t base = chain->files[chain->start].base;
    point_at(chain, base, base);
    say(chain,
        "The log begins at LSN %llu, but its oldest segment is %s: the one before it is missing. "
        "Put it back, or restore a backup.",
        (unsigned long long)chain->first_lsn, chain->report.file);
}

int chain_judge(struct chain *chain, enum chain_end *end)
{
    uint64_t torn = 0;
    *end = CHAIN_CLEAN;
    chain->report.end_lsn = chain->lsn;
    if (chain->count == 0 || chain->cut)
        return QUPLOG_OK;
    int status = QUPLOG_OK;
    if (chain->fd >= 0)
        status = search_behind(chain);
    if (status == QUPLOG_OK && chain->fd >= 0)
        status = count_torn(chain, &torn);
    if (status)
        return status;
    chain->report.durable_lsn = chain->durable;
    bool headless = !chain->files[chain->current].valid;
    if (chain->files[chain->start].base > chain->first_lsn && !headless) {
        *end = CHAIN_CORRUPT;
        describe_missing(chain);
    } else if (chain->lsn < chain->durable || headless) {
        *end = CHAIN_CORRUPT;
        describe_corrupt(chain);
    } else if (torn) {
        *end = CHAIN_TORN;
        point_at(chain, chain->files[chain->current].base, chain->lsn);
        chain->report.torn_bytes = torn;
    }
    return QUPLOG_OK;
}
