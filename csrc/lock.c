/* lock.c: see lock.h.
 *
 * The kernel does not tell when somebody else's lock is given back, so whoever waits looks again:
 * after 1 ms, then after twice as long each time, up to 50 ms. It sleeps on a word of its own that
 * nobody wakes; a signal ends the sleep.
 */
#include "lock.h"

#include <errno.h>

enum { SLICE_FIRST_US = 1000, SLICE_LAST_US = 50000 };

int lock_file_open(struct lock_file *lock, const struct io *io, int dir)
{
    lock->io = io;
    lock->fd = -1;
    int fd = io->open(io->world, dir, "lock", IO_WRITE | IO_CREATE);
    if (fd < 0)
        return fd;
    lock->fd = fd;
    return 0;
}

void lock_file_close(struct lock_file *lock)
{
    if (lock->fd >= 0)
        lock->io->close(lock->io->world, lock->fd);
    lock->fd = -1;
}

static int try_lock(struct lock_file *lock, enum lock_byte byte, int mode)
{
    return lock->io->lock(lock->io->world, lock->fd, (uint64_t)byte, mode);
}

/* 0, or -EINTR. */
static int pause_for(const struct io *io, int64_t us)
{
    uint32_t word = 0;
    int status = io->futex_wait(io->world, &word, 0, io->monotonic_us(io->world) + us,
                                IO_FUTEX_MONOTONIC);
    return status == -EINTR ? status : 0;
}

int lock_take(struct lock_file *lock, enum lock_byte byte, int mode, int64_t timeout_us)
{
    const struct io *io = lock->io;
    int64_t begin_us = io->monotonic_us(io->world);
    int64_t slice_us = SLICE_FIRST_US;
    for (;;) {
        int status = try_lock(lock, byte, mode);
        int64_t left_us = timeout_us - (io->monotonic_us(io->world) - begin_us);
        if (status != -EAGAIN || left_us <= 0)
            return status;
        status = pause_for(io, slice_us < left_us ? slice_us : left_us);
        if (status)
            return status;
        slice_us = slice_us * 2 < SLICE_LAST_US ? slice_us * 2 : SLICE_LAST_US;
    }
}

int lock_release(struct lock_file *lock, enum lock_byte byte)
{
    return try_lock(lock, byte, IO_UNLOCK);
}
