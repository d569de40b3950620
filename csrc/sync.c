/* sync.c: see sync.h. */
#include "sync.h"

#include <errno.h>
#include <string.h>

#include "quplog.h"

enum { SLICE_FIRST_US = 2000, SLICE_LAST_US = 50000, LOOK_US = 1000000, TRIES_MOST = 200 };

static const char POISONED[8] = "poisoned";

void sync_init(struct sync *sync, const struct io *io, struct control *control,
               const struct lock_file *lock)
{
    *sync = (struct sync){.io = io, .control = control, .lock = lock, .marker = -1};
    io->mutex_init(io->world, &sync->mutex);
}

int sync_open(struct sync *sync, int dir, bool *poisoned)
{
    const struct io *io = sync->io;
    char content[sizeof POISONED] = {0};
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
            return io_disk_full(status) ? QUPLOG_FULL : status;
    }
    return QUPLOG_OK;
}

void sync_close(struct sync *sync)
{
    io_close(sync->io, &sync->marker);
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
    control_fail(sync->control);
}

/* A round of syncing makes durable what stands before its target. Who waits sleeps with the bit of
 * the round that will serve him: this one, or the next. So the end of a round wakes those who are
 * served and one who leads the next, and not everybody else, to sleep again. */
enum { ROUND_MASK = 7 }; /* rounds mod 8, in the bits of the target that are 0 in a frame's end */

static uint32_t bit_of(uint64_t round)
{
    return 1U << (round & ROUND_MASK);
}

/* With the sync locks held. */
static void begin_round(struct control_page *page, uint64_t target)
{
    uint64_t number = (atomic_load(&page->round) + 1) & ROUND_MASK;
    atomic_store(&page->round, target | number);
}

static uint32_t bit_to_wait_for(struct control_page *page, uint64_t lsn)
{
    uint64_t round = atomic_load(&page->round);
    return bit_of(lsn <= (round & ~(uint64_t)ROUND_MASK) ? round : round + 1);
}

/* Whose bit is older than the next round's was served, or by a leader who died. */
static void end_round(struct sync *sync)
{
    struct control_page *page = sync->control->page;
    struct control_word *durable = &page->durable;
    uint32_t next = bit_of(atomic_load(&page->round) + 1);
    control_bump(sync->io, durable, CONTROL_ALL, IO_ALL_BITS ^ next);
    control_wake(sync->io, durable, 1, next);
}

/* This process lacked something, and the disk was not asked: it can be tried again. */
static bool is_lack(int status)
{
    return status == -EMFILE || status == QUPLOG_NO_MEMORY;
}

/* With the sync locks held: make everything up to the tail durable. */
static int lead(struct sync *sync)
{
    struct control *control = sync->control;
    uint64_t from = control_older(&control->page->synced); /* a leader may have died publishing */
    uint64_t to = control_tail(control);
    if (control_poisoned(control))
        return QUPLOG_FAILED;
    if (from >= to)
        return QUPLOG_OK;
    begin_round(control->page, to);
    int status = sync->flush(sync->log, from, to);
    if (is_lack(status))
        return status;
    if (status || lock_file_gone(sync->lock))
        sync_poison(sync);
    if (control_poisoned(control))
        return QUPLOG_FAILED;
    control_write_number(&control->page->synced, to);
    return QUPLOG_OK;
}

/* Lead, if nobody else does: in this process, or in another. -EAGAIN: somebody does. While this one
 * holds the mutex, only to find that another process leads, a second thread may come, miss the
 * mutex, and sleep until that round ends. If it had ended already, nobody would wake it: so who
 * waits is woken once more. */
static int try_to_lead(struct sync *sync)
{
    const struct io *io = sync->io;
    uint32_t before = control_read(&sync->control->page->durable);
    if (!io->mutex_trylock(io->world, &sync->mutex))
        return -EAGAIN;
    int status = sync->marker < 0 ? QUPLOG_CLOSED /* sync_close(): which is no failing disk */
                                  : lock_try(sync->lock, LOCK_SYNC, IO_EXCLUSIVE_LOCK);
    if (status == 0) {
        status = lead(sync);
        (void)lock_release(sync->lock, LOCK_SYNC);
    }
    io->mutex_unlock(io->world, &sync->mutex);
    bool missed = status == -EAGAIN && control_read(&sync->control->page->durable) != before;
    if (missed || (status != -EAGAIN && !is_lack(status)))
        end_round(sync);
    return status;
}

/* Sleep until somebody else's round has ended, or for a slice of time. -EINTR if a signal came.
 * `seen` is from before one tried to lead: the one who did ends his round after that. */
static int follow(struct sync *sync, uint64_t lsn, uint32_t seen, int64_t slice_us)
{
    const struct io *io = sync->io;
    struct control_word *durable = &sync->control->page->durable;
    if (control_synced(sync->control) >= lsn || control_poisoned(sync->control))
        return 0;
    return control_sleep(io, durable, seen, io->monotonic_us(io->world) + slice_us,
                         IO_FUTEX_MONOTONIC, bit_to_wait_for(sync->control->page, lsn));
}

int sync_to(struct sync *sync, uint64_t lsn)
{
    int64_t slice_us = SLICE_FIRST_US, waited_us = 0;
    int tries = 0;
    while (control_synced(sync->control) < lsn) {
        if (control_poisoned(sync->control))
            return QUPLOG_FAILED;
        uint32_t seen = control_read(&sync->control->page->durable);
        int status = try_to_lead(sync);
        bool again = status == -EAGAIN || (is_lack(status) && ++tries < TRIES_MOST);
        if (status && !again)
            return status;
        if (again && follow(sync, lsn, seen, slice_us) == -EINTR)
            return QUPLOG_INTERRUPTED;
        waited_us += status == -EAGAIN ? slice_us : 0;
        if (waited_us > LOOK_US) /* a signal that came between two slices shows in none of them */
            return QUPLOG_INTERRUPTED;
        if (again && slice_us < SLICE_LAST_US)
            slice_us *= 2;
    }
    return QUPLOG_OK;
}

int sync_try(struct sync *sync)
{
    if (control_poisoned(sync->control))
        return QUPLOG_FAILED;
    int status = try_to_lead(sync);
    return status == -EAGAIN || is_lack(status) ? QUPLOG_OK : status;
}
