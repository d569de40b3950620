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
    return segment_open(chain->io, chain->dir, file->base, IO_READ);
}

static int read_header(struct chain *chain, struct chain_file *file)
{
    const struct io *io = chain->io;
    enum segment_verdict verdict = SEGMENT_BROKEN;
    struct io_stat stat = {0};
    int fd = open_file(chain, file);
    int status = fd < 0 ? fd : io->stat(io->world, fd, &stat);
    if (status == 0)
        status = segment_read_header(io, fd, &file->header, &verdict);
    if (fd >= 0)
        io->close(io->world, fd);
    if (status) {
        segment_name(file->base, chain->report.file); /* of which the caller tells */
        return status;
    }
    if (verdict == SEGMENT_UNSUPPORTED) {
        point_at(chain, file->base, file->base);
        say(chain, "%s was written by a newer version of quplog: use that version or a newer one.",
            chain->report.file);
        return QUPLOG_UNSUPPORTED;
    }
    file->size = file->end = stat.size;
    file->valid = verdict == SEGMENT_VALID && file->header.base == file->base;
    file->misnamed = verdict == SEGMENT_VALID && !file->valid;
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

static bool of_one_log(const struct chain_file *a, const struct chain_file *b)
{
    return memcmp(a->header.log_id, b->header.log_id, sizeof a->header.log_id) == 0;
}

static size_t next_file(const struct chain *chain, size_t at)
{
    do
        at++;
    while (at < chain->count && chain->files[at].superseded);
    return at;
}

/* The chain's own cursor over [0, end) of a file; its descriptor, or -errno. */
static int look_into(struct chain *chain, const struct chain_file *file, uint64_t end)
{
    int fd = open_file(chain, file);
    if (fd >= 0)
        segment_cursor_open(&chain->cursor, chain->io, fd, &file->header, end);
    return fd;
}

/* Go through the valid frames of the file under the cursor: where they end, and the highest
 * first_lsn that a TRIM among them says. */
static int walk(struct chain *chain, uint64_t *end, uint64_t *first_lsn)
{
    struct frame frame;
    struct frame_trim trim;
    enum frame_verdict verdict = FRAME_VALID;
    *end = SEGMENT_HEADER;
    for (;;) {
        int status = segment_frame(&chain->cursor, *end, &frame, &verdict);
        if (status)
            return status;
        if (verdict != FRAME_VALID && verdict != FRAME_UNSUPPORTED)
            return QUPLOG_OK;
        if (verdict == FRAME_VALID &&
            frame_trim_decode(&frame, chain->cursor.base + *end, &trim) &&
            trim.first_lsn > *first_lsn)
            *first_lsn = trim.first_lsn;
        *end += frame.length;
    }
}

/* Whether the frames of a file go on to where `next` begins. If they do not, a segment is missing
 * behind it, or its end was lost, or it belongs to another log. Its size alone does not tell: space
 * is zeroed ahead, further than a small segment behind it may reach. So before that place no zeros
 * must stand, or frames up to it. */
static int joins(struct chain *chain, const struct chain_file *file, const struct chain_file *next,
                 bool *joined)
{
    uint64_t end = end_before(next) - file->base, used, stopped = 0, unused = 0;
    uint64_t from = end > 2 * SEGMENT_HEADER ? end - SEGMENT_HEADER : SEGMENT_HEADER;
    *joined = false;
    if (!file->valid || file->size < end || (next->valid && !of_one_log(file, next)))
        return QUPLOG_OK;
    int fd = look_into(chain, file, end);
    if (fd < 0)
        return fd;
    int status = segment_used(&chain->cursor, from, &used);
    if (status == QUPLOG_OK && used <= from)
        status = walk(chain, &stopped, &unused);
    *joined = status == QUPLOG_OK && (used > from || stopped == end);
    chain->io->close(chain->io->world, fd);
    return status;
}

/* The highest first_lsn of a TRIM that stands in the files from `oldest` on. Each header repeats
 * it, so the TRIM is in the newest file, or in the last one whose successor's header says more. */
static int find_trim(struct chain *chain, size_t oldest, uint64_t *first_lsn)
{
    uint64_t repeated = UINT64_MAX;
    *first_lsn = 0;
    for (size_t i = chain->count; i-- > oldest && *first_lsn == 0;) {
        const struct chain_file *file = &chain->files[i];
        if (file->superseded || !file->valid)
            continue;
        if (file->header.first_lsn != repeated) {
            uint64_t end;
            int fd = look_into(chain, file, file->end);
            int status = fd < 0 ? fd : walk(chain, &end, first_lsn);
            if (fd >= 0)
                chain->io->close(chain->io->world, fd);
            if (status)
                return status;
        }
        repeated = file->header.first_lsn;
    }
    return QUPLOG_OK;
}

/* All before the file that holds `first_lsn` is left over from a trimming that was cut short. What
 * cannot be proved to be that is not to be removed. */
static void begin_at_trim(struct chain *chain, size_t at, uint64_t first_lsn)
{
    size_t next = at;
    for (; next < chain->count && chain->files[next].base <= first_lsn;
         next = next_file(chain, next))
        chain->start = next;
    const struct chain_file *start = &chain->files[chain->start];
    for (size_t i = 0; i < chain->start; i++) {
        struct chain_file *file = &chain->files[i];
        file->trimmed = file->valid && !file->superseded && of_one_log(file, start);
        file->superseded = !file->trimmed;
    }
}

/* From the newest valid file back to the oldest, or to a gap that a TRIM explains; mark what a
 * recovery has superseded. A gap without a TRIM is for the reading to run into. */
static int link_files(struct chain *chain)
{
    size_t at = chain->count;
    while (at > 0 && !chain->files[at - 1].valid)
        at--;
    at -= at > 0;
    for (;;) {
        uint64_t first_lsn, prev_end = end_before(&chain->files[at]);
        bool joined;
        chain->start = at;
        ptrdiff_t holder = prev_end ? holder_of(chain, at, prev_end) : -1;
        for (size_t i = (size_t)(holder + 1); prev_end && i < at; i++)
            chain->files[i].superseded = true;
        if (holder < 0)
            return QUPLOG_OK;
        struct chain_file *previous = &chain->files[holder];
        int status = joins(chain, previous, &chain->files[at], &joined);
        if (status == QUPLOG_OK && !joined) {
            status = find_trim(chain, at, &first_lsn);
            if (status == QUPLOG_OK && first_lsn >= chain->files[at].base) {
                begin_at_trim(chain, at, first_lsn);
                return QUPLOG_OK;
            }
        }
        if (status)
            return status;
        if (previous->end > prev_end - previous->base)
            previous->end = prev_end - previous->base;
        at = (size_t)holder;
    }
}

/* Of another log nothing counts. */
static void read_wrong_names(struct chain *chain, const struct chain_file *first)
{
    for (size_t i = 0; i < chain->count; i++) {
        struct chain_file *file = &chain->files[i];
        if (file->misnamed && !of_one_log(file, first))
            file->misnamed = false;
        if (file->misnamed && file->header.synced_lsn > chain->durable)
            chain->durable = file->header.synced_lsn;
    }
}

/* What the headers say: D, and that all belong to one log. */
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
        if (!of_one_log(file, first)) {
            point_at(chain, file->base, file->base);
            say(chain, "%s belongs to another log: move it out of this directory.",
                chain->report.file);
            return QUPLOG_CORRUPT;
        }
        if (file->header.synced_lsn > chain->durable)
            chain->durable = file->header.synced_lsn;
    }
    if (first)
        read_wrong_names(chain, first);
    return QUPLOG_OK;
}

static int list_once(struct chain *chain)
{
    struct listing listing = {chain, 0};
    free(chain->files);
    chain->files = NULL;
    chain->count = 0;
    int status = chain->io->list(chain->io->world, chain->dir, add_file, &listing);
    if (status || chain->count == 0)
        return status;
    qsort(chain->files, chain->count, sizeof *chain->files, by_base);
    for (size_t i = 0; status == QUPLOG_OK && i < chain->count; i++)
        status = read_header(chain, &chain->files[i]);
    return status ? status : link_files(chain);
}

/* List and link. What is gone when it is to be opened was trimmed by others meanwhile: that needs
 * a new list. */
static int survey(struct chain *chain)
{
    enum { MOST_LISTINGS = 100 }; /* else a name without a file would keep us for ever */
    int status = -ENOENT;
    for (int i = 0; i < MOST_LISTINGS && status == -ENOENT; i++)
        status = list_once(chain);
    return status ? status : read_claims(chain);
}

static void close_file(struct chain *chain)
{
    io_close(chain->io, &chain->fd);
}

/* Stand before the first frame of a file. */
static void begin_file(struct chain *chain, size_t index)
{
    const struct chain_file *file = &chain->files[index];
    close_file(chain);
    chain->current = index;
    chain->lsn = file->base + SEGMENT_HEADER;
    chain->report.bytes += SEGMENT_HEADER;
    if (file->valid && file->header.first_lsn > chain->first_lsn)
        chain->first_lsn = file->header.first_lsn;
}

/* Let all that is read from here on be the history. */
static void begin_history(struct chain *chain, size_t index)
{
    begin_file(chain, index);
    chain->origin = chain->files[index].base;
    chain->unread = end_before(&chain->files[index]);
    if (chain->unread == 0)
        chain->unread = chain->origin; /* there was none */
}

int chain_open(struct chain *chain, const struct io *io, int dir)
{
    *chain = (struct chain){.io = io, .dir = dir, .fd = -1};
    int status = survey(chain);
    if (status == QUPLOG_OK && chain->count)
        begin_history(chain, chain->start);
    return status;
}

void chain_close(struct chain *chain)
{
    close_file(chain);
    segment_cursor_close(&chain->cursor);
    free(chain->files);
    chain->files = NULL;
}

/* ---- reading on ---- */

/* Have the present file open, with the cursor over it. */
static int enter_file(struct chain *chain)
{
    const struct chain_file *file = &chain->files[chain->current];
    if (chain->fd < 0)
        chain->fd = look_into(chain, file, file->end);
    return chain->fd < 0 ? chain->fd : QUPLOG_OK;
}

int chain_seek(struct chain *chain, uint64_t lsn)
{
    for (size_t i = chain->start; i < chain->count; i = next_file(chain, i)) {
        const struct chain_file *file = &chain->files[i];
        if (!file->valid || lsn < file->base + SEGMENT_HEADER || lsn >= file->base + file->end)
            continue;
        begin_file(chain, i);
        chain->lsn = lsn;
        chain->origin = chain->unread = 0;
        return QUPLOG_OK;
    }
    return QUPLOG_NOT_FOUND;
}

/* Find the place at chain->lsn, once in the file at `base`, in a new list of files. */
static int find_place(struct chain *chain, uint64_t base)
{
    uint64_t lsn = chain->lsn;
    for (size_t i = chain->start; i < chain->count; i = next_file(chain, i)) {
        const struct chain_file *file = &chain->files[i];
        bool inside = lsn == file->base + SEGMENT_HEADER || lsn <= file->base + file->end;
        if (file->base == base && inside) {
            chain->current = i;
            return QUPLOG_OK;
        }
        if (file->valid && file->header.prev_end == lsn) {
            begin_file(chain, i);
            return QUPLOG_OK;
        }
    }
    for (size_t i = chain->start; i < chain->count; i = next_file(chain, i))
        if (chain->files[i].valid && chain->files[i].base >= lsn) {
            begin_history(chain, i);
            chain->moved = chain->report.frames > 0; /* else nobody has missed anything */
            return QUPLOG_OK;
        }
    return -ENOENT;
}

int chain_refresh(struct chain *chain)
{
    struct chain now = {.io = chain->io, .dir = chain->dir, .fd = -1, .report = chain->report};
    if (chain->count == 0)
        return QUPLOG_OK;
    int status = survey(&now);
    segment_cursor_close(&now.cursor);
    if (status == QUPLOG_OK && now.count == 0)
        status = -ENOENT;
    if (status) {
        free(now.files);
        if (status > 0)
            chain->report = now.report;
        return status;
    }
    uint64_t base = chain->files[chain->current].base;
    close_file(chain);
    free(chain->files);
    chain->files = now.files;
    chain->count = now.count;
    chain->start = now.start;
    chain->total = now.total;
    chain->current = now.start;
    if (now.durable > chain->durable)
        chain->durable = now.durable;
    return find_place(chain, base);
}

/* The history goes on in the next file if that says it begins just here. */
static bool continues(const struct chain *chain, size_t *next)
{
    *next = next_file(chain, chain->current);
    return *next < chain->count && chain->files[*next].valid &&
           chain->files[*next].header.prev_end == chain->lsn;
}

static int count_frame(struct chain *chain, const struct frame *frame, uint64_t lsn)
{
    struct frame_trim trim;
    if (frame->synced_lsn > chain->durable)
        chain->durable = frame->synced_lsn;
    if (frame->kind == FRAME_TRIM) {
        if (!frame_trim_decode(frame, lsn, &trim))
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

/* chain_next() by the list of files as it is. */
static int read_next(struct chain *chain, struct frame *frame, uint64_t *lsn)
{
    size_t next;
    enum frame_verdict verdict;
    if (!chain->files[chain->current].valid)
        return QUPLOG_EMPTY;
    while (continues(chain, &next))
        begin_file(chain, next);
    int status = enter_file(chain);
    if (status)
        return status;
    uint64_t offset = chain->lsn - chain->files[chain->current].base;
    status = segment_frame(&chain->cursor, offset, frame, &verdict);
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
    return count_frame(chain, frame, *lsn);
}

int chain_next(struct chain *chain, struct frame *frame, uint64_t *lsn)
{
    bool looked_again = false;
    if (chain->count == 0)
        return QUPLOG_EMPTY;
    for (;;) {
        if (chain->moved) {
            chain->moved = false;
            return QUPLOG_NOT_FOUND;
        }
        int status = read_next(chain, frame, lsn);
        bool end = status == QUPLOG_EMPTY && !chain->cut && !looked_again;
        if (!end && status != -ENOENT)
            return status;
        looked_again = end;
        status = chain_refresh(chain);
        if (status)
            return status;
    }
}

bool chain_recheck(struct chain *chain)
{
    struct frame frame;
    enum frame_verdict verdict;
    size_t next;
    if (chain->fd < 0 || chain_refresh(chain))
        return false;
    if (chain->moved || continues(chain, &next) || enter_file(chain))
        return true; /* also if it cannot be opened: chain_next() tells why */
    uint64_t offset = chain->lsn - chain->files[chain->current].base;
    return segment_frame(&chain->cursor, offset, &frame, &verdict) == QUPLOG_OK &&
           verdict == FRAME_VALID;
}

/* ---- the end ---- */

/* A header that was lost, or that no frame agrees with, must not let pass for torn what the frames
 * behind it know to have been durable. */
static int search_headless(struct chain *chain, const struct chain_file *file, int fd)
{
    struct segment_cursor cursor = {0};
    struct segment_header header = {.base = file->base};
    segment_cursor_open(&cursor, chain->io, fd, &header, file->end);
    int status = segment_search_headless(&cursor, &chain->durable);
    segment_cursor_close(&cursor);
    return status;
}

/* D goes on in a file: as its header says, or as its name does. */
static int search_file(struct chain *chain, const struct chain_file *file, bool headed)
{
    struct segment_cursor cursor = {0};
    int fd = open_file(chain, file);
    if (fd < 0)
        return fd == -ENOENT ? QUPLOG_NOT_FOUND : fd;
    int status = QUPLOG_OK;
    if (headed) {
        segment_cursor_open(&cursor, chain->io, fd, &file->header, file->end);
        status = segment_search_synced(&cursor, SEGMENT_HEADER, &chain->durable);
        segment_cursor_close(&cursor);
    } else {
        status = search_headless(chain, file, fd);
    }
    chain->io->close(chain->io->world, fd);
    return status;
}

/* D goes on behind X: in the rest of this file, in all that follow, and in those that by their
 * header are elsewhere: either may be wrong, header or name. */
static int search_behind(struct chain *chain)
{
    const struct chain_file *file = &chain->files[chain->current];
    uint64_t offset = chain->lsn - file->base;
    int status = segment_search_synced(&chain->cursor, offset, &chain->durable);
    if (status == QUPLOG_OK && offset == SEGMENT_HEADER)
        status = search_headless(chain, file, chain->fd);
    size_t i = next_file(chain, chain->current);
    for (; status == QUPLOG_OK && i < chain->count; i = next_file(chain, i))
        status = search_file(chain, &chain->files[i], chain->files[i].valid);
    for (i = 0; status == QUPLOG_OK && i < chain->count; i++)
        if (chain->files[i].misnamed)
            status = search_file(chain, &chain->files[i], true);
    return status;
}

/* The bytes that count for nothing if the log ends at X: in its file, and in those behind. */
static int count_torn(struct chain *chain, uint64_t *here, uint64_t *behind)
{
    const struct chain_file *file = &chain->files[chain->current];
    uint64_t offset = chain->lsn - file->base, used;
    int status = segment_used(&chain->cursor, offset, &used);
    *here = status ? 0 : used - offset;
    size_t i = next_file(chain, chain->current);
    for (; i < chain->count; i = next_file(chain, i))
        *behind += chain->files[i].size;
    return status;
}

static void describe_corrupt(struct chain *chain)
{
    size_t next = next_file(chain, chain->current);
    bool beheaded = next < chain->count && chain->files[next].base == chain->lsn;
    point_at(chain, chain->files[beheaded ? next : chain->current].base, chain->lsn);
    say(chain,
        "%s is damaged at offset %llu (LSN %llu): what stood there had been acknowledged as synced "
        "(up to LSN %llu). Nothing was changed. Restore a backup, or write a new log with the "
        "undamaged jobs: quplog salvage.",
        chain->report.file, (unsigned long long)chain->report.damage_offset,
        (unsigned long long)chain->lsn, (unsigned long long)chain->durable);
}

/* The place is that of X all the same: what is to stand there has another name. */
static void describe_misnamed(struct chain *chain, const struct chain_file *file)
{
    char has[SEGMENT_NAME], needs[SEGMENT_NAME];
    segment_name(file->base, has);
    segment_name(file->header.base, needs);
    point_at(chain, chain->files[chain->current].base, chain->lsn);
    say(chain,
        "The log breaks off in %s at LSN %llu, and %s is by its header the segment %s. Give each "
        "segment its own name back, or write a new log with the undamaged jobs: quplog salvage.",
        chain->report.file, (unsigned long long)chain->lsn, has, needs);
}

/* The first that would go on at X or behind it. */
static const struct chain_file *find_misnamed(const struct chain *chain)
{
    const struct chain_file *found = NULL;
    for (size_t i = 0; i < chain->count; i++) {
        const struct chain_file *file = &chain->files[i];
        if (file->misnamed && file->header.base + file->size > chain->lsn &&
            (!found || file->header.base < found->header.base))
            found = file;
    }
    return found;
}

/* Nothing stands at X, but the log goes on elsewhere. */
static void describe_gap(struct chain *chain, const struct chain_file *next)
{
    point_at(chain, chain->files[chain->current].base, chain->lsn);
    say(chain,
        "The log breaks off in %s at LSN %llu and goes on at LSN %llu: what stood between is "
        "missing. Put the missing segment back, or restore a backup.",
        chain->report.file, (unsigned long long)chain->lsn, (unsigned long long)end_before(next));
}

static void describe_missing(struct chain *chain)
{
    point_at(chain, chain->origin, chain->origin);
    say(chain,
        "The log begins at LSN %llu, but its oldest segment is %s: the one before it is missing. "
        "Put it back, or restore a backup.",
        (unsigned long long)chain->first_lsn, chain->report.file);
}

void chain_blame(struct chain *chain, uint64_t lsn)
{
    point_at(chain, chain->files[chain->current].base, lsn);
    say(chain,
        "The record in %s at offset %llu (LSN %llu) has a sum that holds, but makes no sense: it "
        "was not quplog that wrote it. Nothing was changed. Restore a backup, or write a new log "
        "with the other jobs: quplog salvage.",
        chain->report.file, (unsigned long long)chain->report.damage_offset,
        (unsigned long long)lsn);
}

bool chain_whole(const struct chain *chain)
{
    return chain->unread <= chain->first_lsn;
}

int chain_judge(struct chain *chain, enum chain_end *end)
{
    uint64_t here = 0, behind = 0;
    *end = CHAIN_CLEAN;
    chain->report.end_lsn = chain->lsn;
    chain->report.message[0] = chain->report.file[0] = '\0'; /* of a judgement before this one */
    chain->report.damage_lsn = chain->report.damage_offset = 0;
    if (chain->count == 0 || chain->cut)
        return QUPLOG_OK;
    int status = QUPLOG_OK;
    if (chain->fd >= 0)
        status = search_behind(chain);
    if (status == QUPLOG_OK && chain->fd >= 0)
        status = count_torn(chain, &here, &behind);
    if (status)
        return status;
    chain->report.durable_lsn = chain->durable;
    size_t next = next_file(chain, chain->current);
    bool headless = !chain->files[chain->current].valid;
    if (chain->lsn < chain->durable || headless) {
        const struct chain_file *misnamed = find_misnamed(chain);
        *end = CHAIN_CORRUPT;
        if (misnamed)
            describe_misnamed(chain, misnamed);
        else if (!headless && !here && next < chain->count && chain->files[next].base > chain->lsn)
            describe_gap(chain, &chain->files[next]);
        else
            describe_corrupt(chain);
    } else if (!chain_whole(chain)) {
        *end = CHAIN_CORRUPT;
        describe_missing(chain);
    } else if (here || next < chain->count) { /* also a file of no bytes, that lost its header */
        *end = CHAIN_TORN;
        point_at(chain, chain->files[chain->current].base, chain->lsn);
        chain->report.torn_bytes = here + behind;
    }
    return QUPLOG_OK;
}
