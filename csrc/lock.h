/* lock.h: who may do what to a log directory: byte locks on its file `lock`, and the gate that the
 * threads of one process pass before they ask for one.
 *
 * The kernel owns the byte locks (open-file-description locks): they end with the process that
 * holds them, however it dies, and can't be broken by anyone. All threads of a process share them,
 * so whoever takes one also takes something of the process: a gate, or a mutex. Order, lowest
 * first:
 *     open < compact < keep < append < sync
 * Nobody takes `append` while holding `sync`, and nothing calls back into Python under a lock.
 *
 *     open     shared by every process that has the log open; exclusively by the one that recovers
 *     compact  whoever copies and trims
 *     keep     the helper that does what is due, of one process at a time
 *     append   whoever appends
 *     sync     the leader of a group commit
 *     LOCK_SLOTS + n   held for life by the process (or child) that has the worker slot n
 */
#ifndef QUPLOG_LOCK_H
#define QUPLOG_LOCK_H

#include <stdatomic.h>

#include "io.h"

enum lock_byte { LOCK_OPEN = 0, LOCK_COMPACT = 1, LOCK_KEEP = 2, LOCK_APPEND = 3, LOCK_SYNC = 4 };
enum { LOCK_SLOTS = 1024, LOCK_SLOT_COUNT = 4096 };

struct lock_file {
    const struct io *io;
    int fd; /* -1: closed */
};

/* Open (create) the file `lock` in `dir`. 0 or -errno. */
int lock_file_open(struct lock_file *lock, const struct io *io, int dir);
/* Closing gives back every lock that this open file description holds. */
void lock_file_close(struct lock_file *lock);
/* It was deleted: who opens the log by its name gets another file, and other locks. */
bool lock_file_gone(const struct lock_file *lock);
/* Take `byte` (enum lock_byte, or a slot's) if it is free. 0, -EAGAIN, or -errno. */
int lock_try(const struct lock_file *lock, uint64_t byte, int mode);
int lock_release(const struct lock_file *lock, uint64_t byte);

/* Sleep for a while. 0, or -EINTR: a signal came. */
int lock_pause(const struct io *io, int64_t us);

/* A lock of the threads of one process whose waiting ends in time, and for a signal; a mutex of the
 * system can do neither. All zero: free. */
struct gate {
    _Atomic uint32_t state;
};

bool gate_try(struct gate *gate);
/* 0, -EAGAIN at the deadline (of the monotonic clock), -EINTR. */
int gate_take(struct gate *gate, const struct io *io, int64_t deadline_us);
void gate_give(struct gate *gate, const struct io *io);

#endif
