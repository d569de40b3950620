/* real_files.c: see real_files.h. */
#include "real_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "inject.h"

enum { PATH = 600 };

/* ---- calls during which a signal comes ---- */

/* The linker's names. */
int __real_openat(int dir, const char *name, int flags, ...);
int __real_close(int fd);
ssize_t __real_pread(int fd, void *buffer, size_t length, off_t offset);
ssize_t __real_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
int __real_statx(int fd, const char *name, int flags, unsigned mask, struct statx *out);
int __real_renameat(int dir, const char *from, int to_dir, const char *to);
int __real_unlinkat(int dir, const char *name, int flags);
int __real_mkdirat(int dir, const char *name, mode_t mode);
int __real_fcntl(int fd, int command, ...);
ssize_t __real_getrandom(void *buffer, size_t length, unsigned flags);
int __wrap_openat(int dir, const char *name, int flags, ...);
int __wrap_close(int fd);
ssize_t __wrap_pread(int fd, void *buffer, size_t length, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *out);
int __wrap_renameat(int dir, const char *from, int to_dir, const char *to);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __wrap_mkdirat(int dir, const char *name, mode_t mode);
int __wrap_fcntl(int fd, int command, ...);
ssize_t __wrap_getrandom(void *buffer, size_t length, unsigned flags);

static int interrupted(void)
{
    errno = EINTR;
    return -1;
}

int __wrap_openat(int dir, const char *name, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    unsigned mode = flags & O_CREAT ? va_arg(rest, unsigned) : 0;
    va_end(rest);
    return inject_interrupts(INJECT_OPEN) ? interrupted() : __real_openat(dir, name, flags, mode);
}

/* Linux has closed it then. */
int __wrap_close(int fd)
{
    int status = __real_close(fd);
    return inject_interrupts(INJECT_CLOSE) ? interrupted() : status;
}

ssize_t __wrap_pread(int fd, void *buffer, size_t length, off_t offset)
{
    return inject_interrupts(INJECT_READ) ? interrupted()
                                          : __real_pread(fd, buffer, length, offset);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return inject_interrupts(INJECT_WRITE) ? interrupted()
                                           : __real_pwritev(fd, parts, count, offset);
}

int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *out)
{
    return inject_interrupts(INJECT_STAT) ? interrupted()
                                          : __real_statx(fd, name, flags, mask, out);
}

int __wrap_renameat(int dir, const char *from, int to_dir, const char *to)
{
    return inject_interrupts(INJECT_RENAME) ? interrupted()
                                            : __real_renameat(dir, from, to_dir, to);
}

int __wrap_unlinkat(int dir, const char *name, int flags)
{
    return inject_interrupts(INJECT_UNLINK) ? interrupted() : __real_unlinkat(dir, name, flags);
}

int __wrap_mkdirat(int dir, const char *name, mode_t mode)
{
    return inject_interrupts(INJECT_MKDIR) ? interrupted() : __real_mkdirat(dir, name, mode);
}

/* The core uses it for locks only. */
int __wrap_fcntl(int fd, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    struct flock *lock = va_arg(rest, struct flock *);
    va_end(rest);
    return inject_interrupts(INJECT_LOCK) ? interrupted() : __real_fcntl(fd, command, lock);
}

ssize_t __wrap_getrandom(void *buffer, size_t length, unsigned flags)
{
    return inject_interrupts(INJECT_RANDOM) ? interrupted()
                                            : __real_getrandom(buffer, length, flags);
}

/* ---- the world ---- */

/* The system's functions do not look at their world: it stays the simulated one. */
void real_files_over(const struct io *simulated, struct io *out)
{
    const struct io *real = io_system();
    *out = *simulated;
    out->open = real->open;
    out->close = real->close;
    out->pread = real->pread;
    out->pwritev = real->pwritev;
    out->fdatasync = real->fdatasync;
    out->fsync = real->fsync;
    out->stat = real->stat;
    out->rename = real->rename;
    out->unlink = real->unlink;
    out->mkdir = real->mkdir;
    out->list = real->list;
    out->lock = real->lock;
    out->map = real->map;
    out->unmap = real->unmap;
    out->random = real->random;
}

/* ---- from disk to disk ---- */

static void must(bool good, const char *path)
{
    if (good)
        return;
    perror(path);
    exit(2);
}

static void remove_all(const char *path)
{
    char inner[PATH];
    DIR *entries = opendir(path);
    if (!entries)
        return;
    for (const struct dirent *entry; (entry = readdir(entries));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof inner, "%.300s/%.255s", path, entry->d_name);
        if (unlink(inner) != 0)
            remove_all(inner);
    }
    closedir(entries);
    must(rmdir(path) == 0, path);
}

struct writing {
    const struct disk *disk;
    const char *path;
};

/* What can't be loaded is a directory. */
static int write_entry(void *context, const char *name)
{
    const struct writing *writing = context;
    char path[PATH];
    size_t length;
    snprintf(path, sizeof path, "%.300s/%.255s", writing->path, name);
    unsigned char *bytes = disk_load(writing->disk, path, &length);
    if (!bytes) {
        struct writing within = {writing->disk, path};
        must(mkdir(path, 0700) == 0, path);
        return disk_list(writing->disk, path, write_entry, &within);
    }
    FILE *file = fopen(path, "wb");
    must(file && fwrite(bytes, 1, length, file) == length && fclose(file) == 0, path);
    free(bytes);
    return 0;
}

static int nothing(void *context, const char *name)
{
    (void)context, (void)name;
    return 0;
}

void real_files_write(const struct disk *disk)
{
    struct writing writing = {disk, "log"};
    remove_all("log");
    if (!disk || disk_list(disk, "log", nothing, NULL) == -ENOENT)
        return;
    must(mkdir("log", 0700) == 0, "log");
    (void)disk_list(disk, "log", write_entry, &writing);
}

static void read_file(struct disk *disk, const char *path, size_t length)
{
    unsigned char *bytes = malloc(length + 1);
    FILE *file = fopen(path, "rb");
    must(bytes && file && fread(bytes, 1, length, file) == length && fclose(file) == 0, path);
    disk_store(disk, path, bytes, length);
    free(bytes);
}

static void read_directory(struct disk *disk, const char *path)
{
    const struct io *io = disk_io(disk);
    char inner[PATH];
    DIR *entries = opendir(path);
    if (!entries)
        return;
    must(io->mkdir(io->world, IO_CWD, path) == 0, path);
    for (const struct dirent *entry; (entry = readdir(entries));) {
        struct stat stat;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof inner, "%.300s/%.255s", path, entry->d_name);
        must(lstat(inner, &stat) == 0, inner);
        if (S_ISDIR(stat.st_mode))
            read_directory(disk, inner);
        else
            read_file(disk, inner, (size_t)stat.st_size);
    }
    closedir(entries);
}

struct disk *real_files_read(void)
{
    struct disk *disk = disk_new();
    read_directory(disk, "log");
    return disk;
}
