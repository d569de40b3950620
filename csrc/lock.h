/* lock.h: who may do what to a log directory: byte locks on its file `lock`.
 *
 * The kernel owns the locks (open-file-description locks): they end with the process that holds
 * them, however it dies, and can't be broken by anyone. Order, lowest first:
 *     open < compact < keep < append < sync
 * Nobody takes `append` while holding `sync`, and nothing calls back into Python under a lock.
 * In this version one process at a time owns a log: it holds `open` exclusively.
 */
#ifndef QUPLOG_LOCK_H
#define QUPLOG_LOCK_H

#include "io.h"

enum lock_byte { LOCK_OPEN = 0, LOCK_COMPACT = 1, LOCK_KEEP = 2, LOCK_APPEND = 3, LOCK_SYNC = 4 };

struct lock_file {
    const struct io *io;
    int fd; /* -1: closed */
};

/* Open (create) the file `lock` in `dir`. 0 or -errno. */
int lock_file_open(struct lock_file *lock, const struct io *io, int dir);
/* Closing gives back every lock that this open file description holds. */
void lock_file_close(struct lock_file *lock);
/* Take `byte`, waiting at most timeout_us in slices of 1-50 ms. 0, -EAGAIN, or -errno. */
int lock_take(struct lock_file *lock, enum lock_byte byte, int mode, int64_t timeout_us);
int lock_release(struct lock_file *lock, enum lock_byte byte);

#endif
