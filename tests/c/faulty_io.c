/* faulty_io.c: see faulty_io.h.
 *
 * `files` knows each segment that was written through the table by its base: how far its frames
 * go, how far they are flushed, and whether its name is. A write counts when it has ended, a flush
 * covers what had ended when it began: anything else could be lost with the power.
 */
#include "faulty_io.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "segment.h"

enum { FDS = 1024, FILES = 256, EVENTS = 8192, NAME = 64 };

struct known_file {
    uint64_t base;
    uint64_t written; /* offset behind the last frame */
    uint64_t flushed;
    uint64_t unfinished; /* where the rest of a short write goes; 0: none */
    uint64_t salt;
    bool named; /* its name is durable */
};

struct faulty {
    struct io table;
    const struct io *real;
    struct io_registry registry;
    pthread_mutex_t mutex; /* guards all below */
    uint64_t counts[FAULTY_KINDS + 1];
    enum faulty_kind kind; /* what to fail; FAULTY_ANY with at 0: nothing */
    uint64_t at;
    bool onwards;
    int status;
    bool shortened; /* the n-th write is short instead; then `status` */
    size_t length;
    bool happened;
    bool owed; /* the call after a short write fails */
    unsigned char boot;
    char names[FDS][NAME];
    struct known_file files[FILES];
    size_t file_count;
    struct faulty_event *events;
    size_t event_count;
    struct faulty_event unseen;
    bool recording;
    uint64_t lies;
    void (*before_sync)(void *context);
    void (*after_read)(void *context);
    void *context;
    enum faulty_kind before_kind;
    void (*before)(void *context);
    void *before_context;
};

static struct faulty *begin(void *w)
{
    struct faulty *f = w;
    pthread_mutex_lock(&f->mutex);
    return f;
}

static void end(struct faulty *f)
{
    pthread_mutex_unlock(&f->mutex);
}

/* Count a call; its failure if one was ordered. */
static int fate(void *w, enum faulty_kind kind)
{
    struct faulty *f = begin(w);
    int status = 0;
    uint64_t count = ++f->counts[kind];
    uint64_t total = ++f->counts[FAULTY_ANY];
    if (f->kind == FAULTY_ANY)
        count = total;
    bool meant = f->kind == kind || f->kind == FAULTY_ANY;
    if (f->at && !f->shortened && meant && (count == f->at || (f->onwards && count > f->at))) {
        f->happened = true;
        status = f->status;
    }
    void (*call)(void *) = f->before_kind == kind ? f->before : NULL;
    void *context = f->before_context;
    end(f);
    if (call)
        call(context);
    return status;
}

/* The new event; one that nobody sees if there is no recording. */
static struct faulty_event *note(struct faulty *f, enum faulty_kind kind, const char *name,
                                 int status)
{
    bool seen = f->recording && f->event_count < EVENTS;
    struct faulty_event *event = seen ? &f->events[f->event_count++] : &f->unseen;
    *event = (struct faulty_event){.kind = kind, .status = status};
    snprintf(event->name, sizeof event->name, "%s", name);
    return event;
}

static void note_call(void *w, enum faulty_kind kind, const char *name, int status)
{
    struct faulty *f = begin(w);
    note(f, kind, name, status);
    end(f);
}

static const char *name_of(const struct faulty *f, int fd)
{
    return fd >= 0 && fd < FDS ? f->names[fd] : "";
}

/* The segment behind a descriptor; NULL if it is something else. */
static struct known_file *file_of(struct faulty *f, int fd, bool add)
{
    char name[NAME];
    uint64_t base;
    snprintf(name, sizeof name, "%s", name_of(f, fd));
    char *temporary = strstr(name, ".tmp");
    if (temporary)
        *temporary = '\0';
    if (!segment_parse_name(name, &base))
        return NULL;
    for (size_t i = 0; i < f->file_count; i++)
        if (f->files[i].base == base)
            return &f->files[i];
    if (!add || f->file_count == FILES)
        return NULL;
    f->files[f->file_count] = (struct known_file){.base = base};
    return &f->files[f->file_count++];
}

/* ---- the promise ---- */

static bool durable(const struct faulty *f, uint64_t lsn)
{
    for (size_t i = 0; i < f->file_count; i++) {
        const struct known_file *file = &f->files[i];
        uint64_t needed = lsn > file->base ? lsn - file->base : 0;
        if (needed > file->written)
            needed = file->written;
        if (needed > file->flushed || (needed > SEGMENT_HEADER && !file->named))
            return false;
    }
    return true;
}

/* `first` is what a write begins with: does it claim something, and rightly? */
static bool look_at_claim(struct faulty *f, const struct known_file *file,
                          const struct iovec *first, uint64_t offset)
{
    const unsigned char *bytes = first->iov_base;
    struct frame frame;
    if (offset == 0 && first->iov_len >= SEGMENT_HEADER) {
        f->lies += !durable(f, get_u64(bytes + 72));
        return false;
    }
    /* Its length must be right for this place: a recovery's copies begin anywhere. */
    bool is_frame = first->iov_len == FRAME_HEADER &&
                    frame_parse(bytes, FRAME_HEADER, file->base + offset, file->salt, &frame) !=
                        FRAME_BROKEN;
    if (is_frame)
        f->lies += !durable(f, frame.synced_lsn);
    return is_frame;
}

/* ---- the table ---- */

static int faulty_open(void *w, int dir, const char *name, int flags)
{
    struct faulty *f = w;
    int fd = fate(w, FAULTY_OPEN);
    if (fd == 0)
        fd = f->real->open(f->real->world, dir, name, flags);
    begin(w);
    if (fd >= 0 && fd < FDS)
        snprintf(f->names[fd], NAME, "%s", name);
    if (flags & IO_CREATE)
        note(f, FAULTY_OPEN, name, fd < 0 ? fd : 0);
    end(f);
    return fd;
}

static int faulty_close(void *w, int fd)
{
    struct faulty *f = begin(w);
    if (fd >= 0 && fd < FDS)
        f->names[fd][0] = '\0';
    end(f);
    return f->real->close(f->real->world, fd);
}

static ssize_t faulty_pread(void *w, int fd, void *buffer, size_t length, uint64_t offset)
{
    struct faulty *f = w;
    int status = fate(w, FAULTY_READ);
    if (status)
        return status;
    ssize_t n = f->real->pread(f->real->world, fd, buffer, length, offset);
    begin(w);
    struct known_file *file = file_of(f, fd, true);
    if (file && offset == 0 && n >= SEGMENT_HEADER && file->salt == 0) {
        file->salt = get_u64((const unsigned char *)buffer + 80);
        file->named = true; /* from before this table's time */
    }
    void (*call)(void *) = file && offset >= SEGMENT_HEADER ? f->after_read : NULL;
    void *context = f->context;
    end(f);
    if (call)
        call(context);
    return n;
}

static size_t length_of(const struct iovec *parts, int count)
{
    size_t length = 0;
    for (int i = 0; i < count; i++)
        length += parts[i].iov_len;
    return length;
}

/* Whether this write is to be short, and how long it may be. */
static int cut_short(void *w, size_t *most)
{
    struct faulty *f = begin(w);
    int status = 0;
    if (f->owed) {
        f->owed = false;
        status = f->status;
    } else if (f->shortened && f->at && f->counts[FAULTY_WRITE] == f->at) {
        f->happened = true;
        f->owed = f->status != 0;
        *most = f->length;
    }
    end(f);
    return status;
}

static ssize_t write_some(struct faulty *f, int fd, const struct iovec *parts, int count,
                          uint64_t offset, size_t most)
{
    struct iovec cut[8];
    int used = 0;
    if (most >= length_of(parts, count) || count > 8)
        return f->real->pwritev(f->real->world, fd, parts, count, offset);
    for (; used < count && most > 0; used++) {
        cut[used] = parts[used];
        if (cut[used].iov_len > most)
            cut[used].iov_len = most;
        most -= cut[used].iov_len;
    }
    return f->real->pwritev(f->real->world, fd, cut, used, offset);
}

static ssize_t faulty_pwritev(void *w, int fd, const struct iovec *parts, int count,
                              uint64_t offset)
{
    struct faulty *f = w;
    size_t most = SIZE_MAX;
    ssize_t n = fate(w, FAULTY_WRITE);
    if (n == 0)
        n = cut_short(w, &most);
    begin(w);
    struct known_file *file = file_of(f, fd, true);
    bool frame = n == 0 && file && look_at_claim(f, file, parts, offset);
    if (file && offset == 0 && parts->iov_len >= SEGMENT_HEADER)
        file->salt = get_u64((const unsigned char *)parts->iov_base + 80);
    end(f);
    if (n == 0)
        n = write_some(f, fd, parts, count, offset, most);
    begin(w);
    struct faulty_event *event = note(f, FAULTY_WRITE, name_of(f, fd), n < 0 ? (int)n : 0);
    event->offset = offset;
    event->length = length_of(parts, count);
    event->frame = frame;
    if (file && n > 0 && (frame || offset == 0 || offset == file->unfinished)) {
        uint64_t ends = offset + (uint64_t)n;
        file->unfinished = (size_t)n < length_of(parts, count) ? ends : 0;
        file->written = file->written < ends ? ends : file->written;
    }
    end(f);
    return n;
}

static int faulty_fdatasync(void *w, int fd)
{
    struct faulty *f = w;
    int status = fate(w, FAULTY_SYNC);
    begin(w);
    struct known_file *file = file_of(f, fd, false);
    uint64_t covered = file ? file->written : 0;
    void (*call)(void *) = file ? f->before_sync : NULL;
    void *context = f->context;
    end(f);
    if (call)
        call(context);
    if (status == 0)
        status = f->real->fdatasync(f->real->world, fd);
    begin(w);
    if (file && status == 0 && file->flushed < covered)
        file->flushed = covered;
    note(f, FAULTY_SYNC, name_of(f, fd), status);
    end(f);
    return status;
}

static int faulty_fsync(void *w, int fd)
{
    struct faulty *f = begin(w);
    size_t count = f->file_count;
    end(f);
    int status = fate(w, FAULTY_DIRECTORY);
    if (status == 0)
        status = f->real->fsync(f->real->world, fd);
    begin(w);
    for (size_t i = 0; status == 0 && i < count; i++)
        f->files[i].named = true;
    note(f, FAULTY_DIRECTORY, name_of(f, fd), status);
    end(f);
    return status;
}

static int faulty_stat(void *w, int fd, struct io_stat *out)
{
    struct faulty *f = w;
    int status = fate(w, FAULTY_STAT);
    return status ? status : f->real->stat(f->real->world, fd, out);
}

/* A spare becomes a segment: what is written to it from now on is watched like any other's. */
static void follow_spare(struct faulty *f, const char *name)
{
    unsigned char block[SEGMENT_HEADER];
    for (int fd = 0; fd < FDS; fd++) {
        if (strcmp(f->names[fd], SEGMENT_SPARE) != 0)
            continue;
        snprintf(f->names[fd], NAME, "%s", name);
        struct known_file *file = file_of(f, fd, true);
        ssize_t n = f->real->pread(f->real->world, fd, block, sizeof block, 0);
        if (!file || n != (ssize_t)sizeof block)
            continue;
        struct iovec header = {block, sizeof block};
        look_at_claim(f, file, &header, 0);
        file->salt = get_u64(block + 80);
        file->written = SEGMENT_HEADER;
    }
}

static int faulty_rename(void *w, int dir, const char *from, int to_dir, const char *to)
{
    struct faulty *f = w;
    int status = fate(w, FAULTY_RENAME);
    if (status == 0)
        status = f->real->rename(f->real->world, dir, from, to_dir, to);
    begin(w);
    if (status == 0 && strcmp(from, SEGMENT_SPARE) == 0)
        follow_spare(f, to);
    note(f, FAULTY_RENAME, to, status);
    end(f);
    return status;
}

static int faulty_unlink(void *w, int dir, const char *name)
{
    struct faulty *f = w;
    int status = fate(w, FAULTY_UNLINK);
    if (status == 0)
        status = f->real->unlink(f->real->world, dir, name);
    note_call(w, FAULTY_UNLINK, name, status);
    return status;
}

static int faulty_mkdir(void *w, int dir, const char *name)
{
    struct faulty *f = w;
    int status = fate(w, FAULTY_MKDIR);
    return status ? status : f->real->mkdir(f->real->world, dir, name);
}

static int faulty_list(void *w, int dir, int (*each)(void *ctx, const char *name), void *ctx)
{
    struct faulty *f = w;
    int status = fate(w, FAULTY_LIST);
    return status ? status : f->real->list(f->real->world, dir, each, ctx);
}

static void faulty_boot_id(void *w, unsigned char out[16])
{
    struct faulty *f = begin(w);
    memset(out, f->boot, 16);
    end(f);
}

/* ---- for the test ---- */

struct faulty *faulty_new(void)
{
    struct faulty *f = calloc(1, sizeof *f);
    if (!f)
        abort();
    f->real = io_system();
    f->table = *f->real;
    f->boot = 1;
    f->kind = FAULTY_ANY;
    f->events = calloc(EVENTS, sizeof *f->events);
    if (!f->events)
        abort();
    pthread_mutex_init(&f->mutex, NULL);
    f->real->mutex_init(f->real->world, &f->registry.mutex);
    f->table.world = f;
    f->table.registry = &f->registry;
    f->table.open = faulty_open;
    f->table.close = faulty_close;
    f->table.pread = faulty_pread;
    f->table.pwritev = faulty_pwritev;
    f->table.fdatasync = faulty_fdatasync;
    f->table.fsync = faulty_fsync;
    f->table.stat = faulty_stat;
    f->table.rename = faulty_rename;
    f->table.unlink = faulty_unlink;
    f->table.mkdir = faulty_mkdir;
    f->table.list = faulty_list;
    f->table.boot_id = faulty_boot_id;
    return f;
}

void faulty_free(struct faulty *f)
{
    pthread_mutex_destroy(&f->mutex);
    f->real->mutex_destroy(f->real->world, &f->registry.mutex);
    free(f->events);
    free(f);
}

const struct io *faulty_io(struct faulty *f)
{
    return &f->table;
}

static void order(struct faulty *f, enum faulty_kind kind, uint64_t n, int status)
{
    memset(f->counts, 0, sizeof f->counts);
    f->kind = kind;
    f->at = n;
    f->status = status;
    f->onwards = f->shortened = f->happened = f->owed = false;
}

void faulty_fail(struct faulty *f, enum faulty_kind kind, uint64_t n, int status)
{
    begin(f);
    order(f, kind, n, status);
    end(f);
}

void faulty_fail_from(struct faulty *f, enum faulty_kind kind, uint64_t n, int status)
{
    begin(f);
    order(f, kind, n, status);
    f->onwards = true;
    end(f);
}

void faulty_short(struct faulty *f, uint64_t n, size_t length, int then)
{
    begin(f);
    order(f, FAULTY_WRITE, n, then);
    f->shortened = true;
    f->length = length;
    end(f);
}

void faulty_behave(struct faulty *f)
{
    faulty_fail(f, FAULTY_ANY, 0, 0);
}

uint64_t faulty_count(struct faulty *f, enum faulty_kind kind)
{
    begin(f);
    uint64_t count = f->counts[kind];
    end(f);
    return count;
}

bool faulty_failed(struct faulty *f)
{
    begin(f);
    bool happened = f->happened;
    end(f);
    return happened;
}

void faulty_boot(struct faulty *f, unsigned char boot)
{
    begin(f);
    f->boot = boot;
    end(f);
}

void faulty_record(struct faulty *f)
{
    begin(f);
    f->recording = true;
    f->event_count = 0;
    end(f);
}

size_t faulty_events(struct faulty *f, const struct faulty_event **out)
{
    begin(f);
    f->recording = false;
    *out = f->events;
    size_t count = f->event_count;
    end(f);
    return count;
}

uint64_t faulty_lies(struct faulty *f)
{
    begin(f);
    uint64_t lies = f->lies;
    end(f);
    return lies;
}

bool faulty_durable(struct faulty *f, uint64_t lsn)
{
    begin(f);
    bool is = durable(f, lsn);
    end(f);
    return is;
}

void faulty_before_sync(struct faulty *f, void (*call)(void *context), void *context)
{
    begin(f);
    f->before_sync = call;
    f->context = context;
    end(f);
}

void faulty_after_read(struct faulty *f, void (*call)(void *context), void *context)
{
    begin(f);
    f->after_read = call;
    f->context = context;
    end(f);
}

void faulty_before(struct faulty *f, enum faulty_kind kind, void (*call)(void *context),
                   void *context)
{
    begin(f);
    f->before_kind = kind;
    f->before = call;
    f->before_context = context;
    end(f);
}
