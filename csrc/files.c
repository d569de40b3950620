/* files.c: see files.h. */
#include "files.h"

#include <errno.h>

#include "lock.h"
#include "quplog.h"

enum { OPEN_MOST = 32 };

void files_init(struct files *files, const struct io *io, int dir)
{
    *files = (struct files){.io = io, .dir = dir};
    io->mutex_init(io->world, &files->mutex);
}

void files_free(struct files *files)
{
    free(files->list);
    files->io->mutex_destroy(files->io->world, &files->mutex);
    files->list = NULL;
}

static void lock(struct files *files)
{
    files->io->mutex_lock(files->io->world, &files->mutex);
}

static void unlock(struct files *files)
{
    files->io->mutex_unlock(files->io->world, &files->mutex);
}

/* ---- the list; with the mutex held ---- */

/* The index of the newest segment that begins at or before `lsn`; count if none does. */
static size_t find(const struct files *files, uint64_t lsn)
{
    size_t low = files->gone, high = files->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (files->list[middle].base <= lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low == files->gone ? files->count : low - 1;
}

static void close_file(struct files *files, struct file *file)
{
    if (file->fd < 0)
        return;
    io_close(files->io, &file->fd);
    files->open--;
}

static int note(void *context, const char *name)
{
    struct files *files = context;
    uint64_t base;
    if (!segment_parse_name(name, &base))
        return 0;
    size_t at = find(files, base);
    if (at < files->count && files->list[at].base == base) {
        files->list[at].present = true;
        return 0;
    }
    if (files->count == files->capacity) {
        size_t capacity = files->capacity ? files->capacity * 2 : 16;
        struct file *list = realloc(files->list, capacity * sizeof *list);
        if (!list)
            return QUPLOG_NO_MEMORY;
        files->list = list;
        files->capacity = capacity;
    }
    at = files->count++;
    for (; at > files->gone && files->list[at - 1].base > base; at--)
        files->list[at] = files->list[at - 1];
    files->list[at] = (struct file){.base = base, .fd = -1, .present = true};
    return 0;
}

/* Those that were not listed are gone: the unused ones at once, the others go before the rest. */
static void sort_out(struct files *files)
{
    size_t kept = 0, gone = 0;
    for (size_t i = 0; i < files->count; i++) {
        struct file file = files->list[i];
        if (!file.present && file.users == 0) {
            close_file(files, &file);
            continue;
        }
        size_t at = kept++;
        for (; !file.present && at > gone; at--)
            files->list[at] = files->list[at - 1];
        files->list[at] = file;
        gone += !file.present;
    }
    files->count = kept;
    files->gone = gone;
}

/* The oldest goes first: if it is there, so is all that follows it. */
static bool oldest_is_gone(struct files *files)
{
    if (files->gone == files->count)
        return false;
    int fd = segment_open(files->io, files->dir, files->list[files->gone].base, IO_READ);
    if (fd >= 0)
        files->io->close(files->io->world, fd);
    return fd == -ENOENT;
}

/* List the directory; again, if others removed segments while it was listed, since it may have been
 * read past one and not yet come to another that was removed too. QUPLOG_OK, _NO_MEMORY, -errno. */
static int refresh(struct files *files)
{
    int status;
    do {
        for (size_t i = 0; i < files->count; i++)
            files->list[i].present = false;
        status = files->io->list(files->io->world, files->dir, note, files);
        if (status)
            return status;
        sort_out(files);
    } while (oldest_is_gone(files));
    return QUPLOG_OK;
}

/* ---- reading ---- */

static void close_oldest(struct files *files)
{
    struct file *oldest = NULL;
    for (size_t i = 0; i < files->count; i++) {
        struct file *file = &files->list[i];
        if (file->fd >= 0 && file->users == 0 && (!oldest || file->used < oldest->used))
            oldest = file;
    }
    if (oldest)
        close_file(files, oldest);
}

/* Its descriptor and salt are known, or why they can't be. */
static int open_file(struct files *files, struct file *file)
{
    const struct io *io = files->io;
    struct segment_header header;
    enum segment_verdict verdict;
    if (file->fd >= 0)
        return QUPLOG_OK;
    if (files->open >= OPEN_MOST)
        close_oldest(files);
    int fd = segment_open(io, files->dir, file->base, IO_READ);
    if (fd < 0)
        return fd == -ENOENT ? QUPLOG_NOT_FOUND : fd;
    int status = file->salt ? QUPLOG_OK : segment_read_header(io, fd, &header, &verdict);
    if (status == QUPLOG_OK && file->salt == 0) {
        status = verdict == SEGMENT_VALID ? QUPLOG_OK : QUPLOG_CORRUPT;
        file->salt = header.salt;
    }
    if (status) {
        io->close(io->world, fd);
        return status;
    }
    file->fd = fd;
    files->open++;
    return QUPLOG_OK;
}

int files_borrow(struct files *files, uint64_t lsn, uint64_t head, struct file_use *use)
{
    lock(files);
    int status = files->closed ? QUPLOG_NOT_FOUND : QUPLOG_OK;
    bool any = files->count > files->gone;
    uint64_t newest = any ? files->list[files->count - 1].base : 0;
    if (status == QUPLOG_OK && (!any || (newest < head && lsn >= newest)))
        status = refresh(files);
    size_t at = find(files, lsn);
    if (status == QUPLOG_OK)
        status = at < files->count ? open_file(files, &files->list[at]) : QUPLOG_NOT_FOUND;
    if (status == QUPLOG_OK) {
        struct file *file = &files->list[at];
        file->users++;
        file->used = ++files->uses;
        *use = (struct file_use){.base = file->base,
                                 .salt = file->salt,
                                 .next = at + 1 < files->count ? files->list[at + 1].base : 0,
                                 .fd = file->fd};
    }
    unlock(files);
    return status;
}

void files_give_back(struct files *files, const struct file_use *use)
{
    lock(files);
    size_t at = find(files, use->base);
    if (at == files->count || files->list[at].base != use->base)
        for (at = 0; files->list[at].base != use->base;) /* it is gone */
            at++;
    files->list[at].users--;
    unlock(files);
}

int files_read(struct files *files, uint64_t lsn, uint64_t head, void *out, size_t length)
{
    struct file_use use;
    int status = files_borrow(files, lsn, head, &use);
    if (status)
        return status;
    ssize_t n = io_read_full(files->io, use.fd, out, length, lsn - use.base);
    files_give_back(files, &use);
    if (n < 0)
        return (int)n;
    return (size_t)n == length ? QUPLOG_OK : QUPLOG_CORRUPT;
}

/* ---- the old end ---- */

/* With the mutex held: what the header of the segment after the first says of where that ends. */
static int read_end(struct files *files, uint64_t *end)
{
    struct segment_header header;
    enum segment_verdict verdict;
    struct file *second = &files->list[files->gone + 1];
    int status = open_file(files, second);
    if (status == QUPLOG_OK)
        status = segment_read_header(files->io, second->fd, &header, &verdict);
    if (status == QUPLOG_OK && verdict != SEGMENT_VALID)
        status = QUPLOG_CORRUPT;
    *end = header.prev_end;
    return status;
}

int files_oldest(struct files *files, uint64_t head, uint64_t *base, uint64_t *end,
                 uint64_t *next_base)
{
    lock(files);
    int status = files->closed ? QUPLOG_NOT_FOUND : QUPLOG_OK;
    bool two = files->count - files->gone >= 2;
    if (status == QUPLOG_OK && (!two || files->list[files->count - 1].base < head))
        status = refresh(files);
    if (status == QUPLOG_OK)
        status = files->count - files->gone < 2 ? QUPLOG_NOT_FOUND : read_end(files, end);
    if (status == QUPLOG_OK) {
        *base = files->list[files->gone].base;
        *next_base = files->list[files->gone + 1].base;
    }
    unlock(files);
    return status;
}

/* ---- removing, measuring, closing ---- */

int files_trim(struct files *files, uint64_t first_lsn)
{
    lock(files);
    int status = files->closed ? QUPLOG_NOT_FOUND : refresh(files);
    for (size_t i = files->gone; status == QUPLOG_OK && i + 1 < files->count; i++) {
        if (files->list[i + 1].base > first_lsn)
            break;
        status = segment_remove(files->io, files->dir, files->list[i].base);
        if (status == -ENOENT)
            status = QUPLOG_OK;
    }
    if (status == QUPLOG_OK)
        status = refresh(files);
    unlock(files);
    return status;
}

void files_let_go(struct files *files, uint64_t first_lsn)
{
    lock(files);
    size_t i = files->gone;
    for (; i + 1 < files->count && files->list[i + 1].base <= first_lsn; i++)
        if (files->list[i].users == 0)
            close_file(files, &files->list[i]);
    unlock(files);
}

static int size_of(struct files *files, uint64_t base, uint64_t *size)
{
    const struct io *io = files->io;
    struct io_stat stat = {0};
    int fd = segment_open(io, files->dir, base, IO_READ);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int status = io->stat(io->world, fd, &stat);
    io->close(io->world, fd);
    *size = stat.size;
    return status;
}

int files_span(struct files *files, uint64_t zeroed, uint64_t *count, uint64_t *bytes)
{
    int status = QUPLOG_OK;
    lock(files);
    *count = files->count - files->gone;
    *bytes = 0;
    for (size_t i = files->gone; status == QUPLOG_OK && i < files->count; i++) {
        struct file *file = &files->list[i];
        bool newest = i + 1 == files->count;
        if (!newest && file->size == 0)
            status = size_of(files, file->base, &file->size);
        if (newest)
            *bytes += zeroed > file->base ? zeroed - file->base : 0;
        else
            *bytes += file->size;
    }
    unlock(files);
    return status;
}

struct measure {
    struct files *files;
    uint64_t count, bytes;
};

static int measure(void *context, const char *name)
{
    struct measure *m = context;
    uint64_t base, size = 0;
    if (!segment_parse_name(name, &base))
        return 0;
    int status = size_of(m->files, base, &size);
    m->count += size > 0;
    m->bytes += size;
    return status;
}

int files_measure(struct files *files, uint64_t *count, uint64_t *bytes)
{
    struct measure m = {.files = files};
    int status = files->io->list(files->io->world, files->dir, measure, &m);
    *count = m.count;
    *bytes = m.bytes;
    return status;
}

void files_close(struct files *files)
{
    bool busy = true;
    while (busy) {
        busy = false;
        lock(files);
        files->closed = true;
        for (size_t i = 0; i < files->count; i++)
            busy = busy || files->list[i].users > 0;
        for (size_t i = 0; !busy && i < files->count; i++)
            close_file(files, &files->list[i]);
        files->count = busy ? files->count : 0;
        files->gone = busy ? files->gone : 0;
        unlock(files);
        if (busy) /* a read or a sync is under way: it ends by itself */
            (void)lock_pause(files->io, 1000);
    }
}

void files_abandon(struct files *files)
{
    for (size_t i = 0; i < files->count; i++)
        if (files->list[i].fd >= 0)
            files->io->close(files->io->world, files->list[i].fd);
}
