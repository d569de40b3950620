/* sync.c: see sync.h. */
#include "sync.h"

#include <errno.h>
#include <string.h>

#include "quplog.h"

enum { SLICE_FIRST_US = 2000, SLICE_LAST_US = 50000 };

static const char POISONED[8] = "poisoned";

int sync_open(struct sync *sync, const struct io *io, struct control *control, int dir,
              bool *poisoned)
{
    char content[sizeof POISONED] = {0};
    sync->io = io;
    sync->control = control;
    sync->log = NULL;
    io->mutex_init(io->world, &sync->mutex);
    sync->marker = io->open(io->world, dir, "poison", IO_WRITE | IO_CREATE);
    if (sync->marker < 0)
        return sync->marker;
    ssize_t n = io_read_full(io, sync->marker, content, sizeof content, 0);
    if (n < 0)
        return (int)n;
    *poisoned = memcmp(content, POISONED, sizeof content) == 0;
    if (n < (ssize_t)sizeof content) {
        /* Its block is allocated now, so that it can be written when the disk is full. */
        struct iovec part = {content, sizeof content};
        memset(content, 0, sizeof content);
        int status = io_write_full(io, sync->marker, &part, 1, 0);
        if (status)
            return status == -ENOSPC ? QUPLOG_FULL : status;
    }
    return QUPLOG_OK;
}

void sync_close(struct sync *sync)
{
    if (sync->marker >= 0)
        sync->io->close(sync->io->world, sync->marker);
    sync->marker = -1;
}

static int write_marker(struct sync *sync, const char content[sizeof POISONED])
{
    struct iovec part = {(void *)(uintptr_t)content, sizeof POISONED};
    int status = io_write_full(sync->io, sync->marker, &part, 1, 0);
    return status ? status : sync->io->fdatasync(sync->io->world, sync->marker);
}

int sync_heal(struct sync *sync)
{
    static const char nothing[sizeof POISONED];
    return write_marker(sync, nothing);
}

void sync_poison(struct sync *sync)
{
    /* The marker first: whoever sees the flag may reopen the log at once. A marker that cannot be
       written is a stated limit; there is nobody left to tell. */
    (void)write_marker(sync, POISONED);
    atomic_store(&sync->control->poisoned, 1);
    control_wake_all(sync->io, sync->control);
}

static uint64_t synced_now(struct sync *sync)
{
    return atomic_load_explicit(&sync->control->synced, memory_order_acquire);
}

/* With the sync mutex held: make everything up to the tail durable. */
static int lead(struct sync *sync)
{
    uint64_t from = synced_now(sync);
    uint64_t to = atomic_load_explicit(&sync->control->tail, memory_order_acquire);
    if (control_poisoned(sync->control))
        return QUPLOG_FAILED;
    if (from >= to)
        return QUPLOG_OK;
    if (sync->marker < 0)
        return QUPLOG_CLOSED; /* sync_close(): the files are gone, which is no failing disk */
    if (sync->flush(sync->log, from, to) != 0)
        sync_poison(sync);
    if (control_poisoned(sync->control))
        return QUPLOG_FAILED;
    atomic_store_explicit(&sync->control->synced, to, memory_order_release);
    return QUPLOG_OK;
}

/* Sleep until `synced` moves, or for a slice of time. -EINTR if a signal came. */
static int follow(struct sync *sync, uint64_t lsn, int64_t slice_us)
{
    const struct io *io = sync->io;
    uint32_t seen = control_read(&sync->control->durable);
    if (synced_now(sync) >= lsn || control_poisoned(sync->control))
        return 0;
    return control_sleep(io, &sync->control->durable, seen,
                         io->monotonic_us(io->world) + slice_us, IO_FUTEX_MONOTONIC);
}

int sync_to(struct sync *sync, uint64_t lsn)
{
    const struct io *io = sync->io;
    int64_t slice_us = SLICE_FIRST_US;
    while (synced_now(sync) < lsn) {
        if (control_poisoned(sync->control))
            return QUPLOG_FAILED;
        if (io->mutex_trylock(io->world, &sync->mutex)) {
            int status = lead(sync);
            io->mutex_unlock(io->world, &sync->mutex);
            control_bump(io, &sync->control->durable, CONTROL_ALL);
            if (status)
                return status;
        } else if (follow(sync, lsn, slice_us) == -EINTR) {
            return QUPLOG_INTERRUPTED;
        } else if (slice_us < SLICE_LAST_US) {
            slice_us *= 2;
        }
    }
    return QUPLOG_OK;
}
