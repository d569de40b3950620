/* disk.h: a disk in memory as a `struct io`, which can lose its power.
 *
 *     struct disk *disk = disk_new();
 *     open_with(disk_io(disk), "log", ...);
 *     struct disk *after = disk_cut(disk, DISK_MIX, &chance);
 *     open_with(disk_io(after), "log", ...);
 *
 * For each file and directory it keeps two things: what processes see, and what is durable. A power
 * cut makes a disk of the second and of any part of the first that a file system might have written
 * by then. The rules, which are those under which quplog promises anything:
 *
 *   Sectors   each sector of 512 bytes that was written since the file's last fdatasync is old, new
 *             or garbage, by itself. Garbage is random bytes, zeros, half old and half new, or what
 *             was written to another place of the file. It reaches as far as the writes since then
 *             did, and spares the other bytes of the sector: a disk without that property
 *             ("powersafe overwrite", as SQLite calls it) keeps no file that is appended to.
 *   Sizes     a file that grew is as long as it was, as it became, or anything in between. What was
 *             never written within its size is zeros.
 *   Names     creating, renaming, unlinking and mkdir are changes of a directory. Each is all or
 *             nothing, also a rename from one directory to another, and any of them may be missing
 *             while a later one is there, but for changes of the same name, which keep their order.
 *   Syncs     fdatasync makes a file's bytes and size durable, and not its name. fsync of a
 *             directory makes all changes of its names durable, and nothing of what they name.
 *             One that fails (disk_fail_sync) may have lost what it should have written: the system
 *             takes that for clean, and only what is written again is ever made durable.
 *   Memory    a mapped page may reach its file at any time: after a cut its sectors are like those
 *             that were written just now.
 *
 * A process that is killed (disk_kill) leaves all that it wrote; its descriptors and locks go. Each
 * process has a registry of its own, and locks belong to open files, as they do in Linux.
 *
 * disk_io() and disk_process() give a lone thread a world: mutexes are always free, no thread can
 * be started (-EAGAIN), and a wait goes on to its deadline by moving the clock (without one it is
 * interrupted). machine.h runs many at a time on the same disk. Everything is the same in each run.
 */
#ifndef QUPLOG_SIM_DISK_H
#define QUPLOG_SIM_DISK_H

#include "io.h"

struct disk;

struct disk *disk_new(void);
void disk_free(struct disk *disk);
/* The same files, all of them durable and none open. */
struct disk *disk_copy(const struct disk *disk);
/* The same files as they are, with what is durable of them and what is not; none open. */
struct disk *disk_snapshot(const struct disk *disk);

/* ---- processes ---- */

/* The first process. */
const struct io *disk_io(struct disk *disk);
/* One more. */
const struct io *disk_process(struct disk *disk);
/* It dies: its descriptors are closed, its locks are free, its table is gone. */
void disk_kill(struct disk *disk, const struct io *process);

/* An fdatasync of this file by this process fails. */
void disk_fail_sync(const struct io *process, int fd);

/* ---- files, as processes see them; "log/0000000000000000.log" ---- */

/* The whole content, to be freed; NULL: there is no such file. */
unsigned char *disk_load(const struct disk *disk, const char *path, size_t *length);
/* Replace the file, or make it (its directory must exist), and let that be durable. */
void disk_store(struct disk *disk, const char *path, const void *bytes, size_t length);
/* False: there is no such file. */
bool disk_remove(struct disk *disk, const char *path);
/* Call `each` for every entry, until it returns non-zero; that is returned. -ENOENT. */
int disk_list(const struct disk *disk, const char *path,
              int (*each)(void *context, const char *name), void *context);

/* ---- power ---- */

enum disk_fate {
    DISK_LOSE, /* nothing that was not synced is there */
    DISK_KEEP, /* everything is */
    DISK_MIX   /* chance decides, for each cut also how it decides */
};

/* The disk as it is found after a cut: another boot, everything durable, nothing open. `disk` stays
 * as it is. `chance` is as in random.h; not zero. */
struct disk *disk_cut(const struct disk *disk, enum disk_fate fate, uint64_t *chance);
/* The system writes back some of what is not durable, as it may at any time. */
void disk_write_back(struct disk *disk, uint64_t *chance);
/* How much could be lost now: sectors and changes of names. */
size_t disk_at_stake(const struct disk *disk);

/* ---- looking on ---- */

enum disk_kind {
    DISK_OPEN, /* without IO_CREATE, or of a file that there is */
    DISK_CREATE,
    DISK_CLOSE,
    DISK_READ,
    DISK_WRITE,
    DISK_DATA_SYNC,
    DISK_NAME_SYNC,
    DISK_STAT,
    DISK_RENAME,
    DISK_UNLINK,
    DISK_MKDIR,
    DISK_LIST,
    DISK_LOCK,
    DISK_MAP,
    DISK_UNMAP,
    DISK_KINDS
};

/* One call of a process. */
struct disk_call {
    const struct io *process;
    enum disk_kind kind;
    const char *name;          /* of the file; of a rename the new one */
    uint64_t offset;           /* READ, WRITE; LOCK: the byte */
    uint64_t length;           /* READ, WRITE; LOCK: the mode */
    const struct iovec *parts; /* WRITE */
    int count;
};

/* `after` comes when the call is done, or, of a LIST, before the first entry is handed out. */
struct disk_watch {
    void (*before)(void *context, const struct disk_call *call); /* NULL: nobody */
    void (*after)(void *context, const struct disk_call *call, ssize_t status);
    void *context;
};

/* Have each call told before it is made, and after it. `before` may make a snapshot, and may let
 * other processes run. A copy is watched by nobody. */
void disk_look_on(struct disk *disk, const struct disk_watch *watch);
/* Whether a call of this kind changes what a power cut leaves. */
bool disk_changes(enum disk_kind kind);
const char *disk_kind_name(enum disk_kind kind);

/* The n-th call of this kind from here, DATA_SYNC or NAME_SYNC, says that it is done and does
 * nothing; DISK_ALWAYS: every one. No log survives that, and no proof may pass. */
void disk_lie(struct disk *disk, enum disk_kind kind, uint64_t n);
#define DISK_ALWAYS UINT64_MAX

/* Let the clocks go on. */
void disk_pass_time(struct disk *disk, int64_t us);
/* The monotonic clock; the wall clock is ahead of it by DISK_BEGINNING_US, since a day in November
 * 2026. */
int64_t disk_time(const struct disk *disk);
#define DISK_BEGINNING_US INT64_C(1795000000000000)

#endif
