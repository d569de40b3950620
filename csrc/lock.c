/* lock.c: see lock.h. */
#include "lock.h"

#include <errno.h>

/* A fork copies the descriptors first and the memory later. What is closed in between, the child
 * has open and does not know of, and its locks would live as long as the child: so no lock file is
 * opened or closed while this process forks. */
static void keep_forks_out(const struct io *io)
{
    io->mutex_lock(io->world, &io->registry->mutex);
}

static void let_forks_in(const struct io *io)
{
    io->mutex_unlock(io->world, &io->registry->mutex);
}

int lock_file_open(struct lock_file *lock, const struct io *io, int dir)
{
    lock->io = io;
    lock->fd = -1;
    keep_forks_out(io);
    int fd = io->open(io->world, dir, "lock", IO_WRITE | IO_CREATE);
    if (fd >= 0)
        lock->fd = fd;
    let_forks_in(io);
    return fd < 0 ? fd : 0;
}

void lock_file_close(struct lock_file *lock)
{
    if (lock->fd < 0)
        return;
    keep_forks_out(lock->io);
    io_close(lock->io, &lock->fd);
    let_forks_in(lock->io);
}

bool lock_file_gone(const struct lock_file *lock)
{
    struct io_stat stat;
    return lock->io->stat(lock->io->world, lock->fd, &stat) == 0 && stat.links == 0;
}

int lock_try(const struct lock_file *lock, uint64_t byte, int mode)
{
    return lock->io->lock(lock->io->world, lock->fd, byte, mode);
}

int lock_release(const struct lock_file *lock, uint64_t byte)
{
    return lock_try(lock, byte, IO_UNLOCK);
}

/* It sleeps on a word of its own that nobody wakes. */
int lock_pause(const struct io *io, int64_t us)
{
    uint32_t word = 0;
    int status = io->futex_wait(io->world, &word, 0, io->monotonic_us(io->world) + us,
                                IO_FUTEX_MONOTONIC, IO_ALL_BITS);
    return status == -EINTR ? status : 0;
}

/* ---- the gate ---- */

enum { FREE = 0, HELD = 1, WAITED_FOR = 2 /* held, and somebody may sleep */ };

bool gate_try(struct gate *gate)
{
    uint32_t free = FREE;
    return atomic_compare_exchange_strong_explicit(&gate->state, &free, HELD, memory_order_acquire,
                                                   memory_order_relaxed);
}

int gate_take(struct gate *gate, const struct io *io, int64_t deadline_us)
{
    if (gate_try(gate))
        return 0;
    while (atomic_exchange_explicit(&gate->state, WAITED_FOR, memory_order_acquire) != FREE) {
        int status = io->futex_wait(io->world, (uint32_t *)&gate->state, WAITED_FOR, deadline_us,
                                    IO_FUTEX_MONOTONIC, IO_ALL_BITS);
        if (status == -ETIMEDOUT)
            return -EAGAIN;
        if (status)
            return status;
    }
    return 0;
}

void gate_give(struct gate *gate, const struct io *io)
{
    if (atomic_exchange_explicit(&gate->state, FREE, memory_order_release) == WAITED_FOR)
        io->futex_wake(io->world, (uint32_t *)&gate->state, 1, 0, IO_ALL_BITS);
}
