/* turn.c: see turn.h. */
#include "turn.h"

#include <errno.h>

#include "failpoint.h"

enum { SPIN_US = 50, SLICE_FIRST_US = 1000, SLICE_LAST_US = 50000, LOOK_US = 1000000 };

/* ---- the byte APPEND ---- */

static int try_byte(struct core *q)
{
    return lock_try(&q->lock, LOCK_APPEND, IO_EXCLUSIVE_LOCK);
}

/* Sleep until it is given back, for a slice at most. The word is counted in before the last try:
 * whoever gives the lock back after that try finds a sleeper. */
static int sleep_for_byte(struct core *q, int64_t until_us)
{
    struct control_word *word = &q->control.page->append;
    uint32_t tag = control_count_in(&word->sleepers);
    uint32_t seen = control_read(word);
    int status = try_byte(q);
    if (status == -EAGAIN) {
        int woken = q->io->futex_wait(q->io->world, (uint32_t *)&word->value, seen, until_us,
                                      IO_FUTEX_MONOTONIC | IO_FUTEX_SHARED, IO_ALL_BITS);
        if (woken == -EINTR)
            status = -EINTR;
    }
    control_count_out(&word->sleepers, tag);
    return status;
}

static int wait_for_byte(struct core *q, int64_t deadline_us)
{
    int64_t now = core_monotonic(q), spin_end = now + SPIN_US, slice_us = SLICE_FIRST_US;
    int status = -EAGAIN;
    while (status == -EAGAIN && now < spin_end) {
        status = try_byte(q);
        now = core_monotonic(q);
    }
    while (status == -EAGAIN && now < deadline_us && !control_poisoned(&q->control)) {
        int64_t until = now + slice_us < deadline_us ? now + slice_us : deadline_us;
        status = sleep_for_byte(q, until);
        slice_us = slice_us * 2 < SLICE_LAST_US ? slice_us * 2 : SLICE_LAST_US;
        now = core_monotonic(q);
    }
    return status;
}

/* ---- what a dead writer left ---- */

/* A frame that is accepted may have given ids that nobody knows of yet, or say where the log
 * begins. */
static int accept(void *context, const struct frame *frame, uint64_t lsn)
{
    struct core *q = context;
    struct control_number *next_id = &q->control.page->next_id;
    uint64_t ids = frame->first_id;
    size_t position = 0;
    struct op op;
    struct op_job names = {0};
    enum op_verdict verdict = OP_VALID;
    struct frame_trim trim;
    if (frame_trim_decode(frame, lsn, &trim))
        control_write_number(&q->control.page->first_lsn, trim.first_lsn);
    if (frame->kind != FRAME_OPS)
        return QUPLOG_OK;
    while (verdict == OP_VALID || verdict == OP_SKIPPED) {
        verdict = op_next(frame->body, &position, &op, &names);
        ids += verdict == OP_VALID && op.type == QUPLOG_OP_PUT;
    }
    uint64_t known = control_older(next_id);
    control_write_number(next_id, ids > known ? ids : known);
    return QUPLOG_OK;
}

static int begin(struct core *q)
{
    bool repaired;
    int status = log_begin(&q->log, accept, q, &repaired);
    if (status == QUPLOG_OK && repaired) {
        /* Whom it would have woken, and what it made due, is not known: everybody looks. */
        control_write_number(&q->control.page->next_due, 1);
        control_wake_all(&q->control);
    }
    return status;
}

/* ---- the turn ---- */

static int in_words(int status)
{
    if (status == -EAGAIN)
        return QUPLOG_LOCKED;
    return status == -EINTR ? QUPLOG_INTERRUPTED : status;
}

/* A signal that comes between two sleeps shows in none of them. So who waits for long is sent to
 * look for it now and then, and comes again; how long this process has waited is kept meanwhile. */
static int wait_patiently(struct core *q)
{
    int64_t now = core_monotonic(q);
    if (q->waited_until_us == 0 || now - q->waited_until_us > LOOK_US)
        q->waiting_since_us = now;
    bool limited = q->lock_timeout_us < INT64_MAX - q->waiting_since_us;
    int64_t deadline_us = limited ? q->waiting_since_us + q->lock_timeout_us : INT64_MAX;
    bool last = deadline_us <= now + LOOK_US;
    int status = wait_for_byte(q, last ? deadline_us : now + LOOK_US);
    if (status == -EAGAIN && !last)
        status = -EINTR;
    q->waited_until_us = status == -EINTR ? core_monotonic(q) : 0;
    return status;
}

/* With the gate held. */
static int take_byte(struct core *q, bool at_once, int (*usable)(struct core *q))
{
    int status = usable(q); /* it may have failed while this thread waited */
    if (status)
        return status;
    status = try_byte(q);
    if (status == -EAGAIN)
        status = at_once ? wait_for_byte(q, 0) : wait_patiently(q);
    if (status)
        return control_poisoned(&q->control) ? QUPLOG_FAILED : in_words(status);
    status = begin(q);
    if (status == QUPLOG_OK)
        status = usable(q);
    if (status)
        (void)lock_release(&q->lock, LOCK_APPEND);
    return status;
}

/* Pass the gate. Its holder waits for other processes for all threads of this one. */
static int take_gate(struct core *q, bool at_once)
{
    if (gate_try(&q->append))
        return QUPLOG_OK;
    if (at_once)
        return QUPLOG_LOCKED;
    int status = gate_take(&q->append, q->io, core_monotonic(q) + LOOK_US);
    return status ? QUPLOG_INTERRUPTED : QUPLOG_OK;
}

static int take(struct core *q, bool at_once, int (*usable)(struct core *q))
{
    int status = usable(q);
    if (status == QUPLOG_OK)
        status = take_gate(q, at_once);
    if (status == QUPLOG_OK) {
        status = take_byte(q, at_once, usable);
        if (status)
            gate_give(&q->append, q->io);
    }
    if (status && control_poisoned(&q->control))
        turn_drop(q); /* also for who came to drop while this one was in the gate */
    FAILPOINT("taken");
    return status;
}

int turn_take(struct core *q)
{
    return take(q, false, core_usable);
}

int turn_try(struct core *q)
{
    return take(q, true, core_usable);
}

static int writable(struct core *q)
{
    return control_poisoned(&q->control) ? QUPLOG_FAILED : QUPLOG_OK;
}

int turn_take_last(struct core *q)
{
    return take(q, false, writable);
}

void turn_give(struct core *q)
{
    struct control_word *word = &q->control.page->append;
    FAILPOINT("given");
    (void)lock_release(&q->lock, LOCK_APPEND);
    if (control_counted(&word->sleepers))
        control_bump(q->io, word, 1, IO_ALL_BITS);
    gate_give(&q->append, q->io);
    if (control_poisoned(&q->control))
        turn_drop(q);
}

/* False: some of the locks are in use. Whoever uses one of them has one of these, and comes to
 * turn_drop() when he gives it back. */
static bool try_to_drop(struct core *q)
{
    const struct io *io = q->io;
    bool compacting = io->mutex_trylock(io->world, &q->compacting);
    bool keeping = compacting && io->mutex_trylock(io->world, &q->keeping);
    bool appending = keeping && gate_try(&q->append);
    bool syncing = appending && io->mutex_trylock(io->world, &q->sync.mutex);
    if (syncing) {
        lock_file_close(&q->slot.lock);
        lock_file_close(&q->probe);
        lock_file_close(&q->lock);
        io->mutex_unlock(io->world, &q->sync.mutex);
    }
    if (appending)
        gate_give(&q->append, io);
    if (keeping)
        io->mutex_unlock(io->world, &q->keeping);
    if (compacting)
        io->mutex_unlock(io->world, &q->compacting);
    return syncing;
}

/* Two who come at once may each find something in the hands of the other: so each is counted, and
 * who could not drop the locks tries again if another has come meanwhile. */
void turn_drop(struct core *q)
{
    uint32_t came;
    if (core_is_copy(q) || !control_poisoned(&q->control))
        return;
    atomic_fetch_add(&q->drops, 1);
    do
        came = atomic_load(&q->drops);
    while (!try_to_drop(q) && atomic_load(&q->drops) != came);
}
