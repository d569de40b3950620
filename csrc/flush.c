/* flush.c: see flush.h. */
#include "flush.h"

#include "turn.h"

enum { NOT_STARTED = 0, STARTING = 1, RUNNING = 2, ENDED = 3 /* and never again */ };

bool flush_is_due(struct core *q)
{
    uint64_t tail = control_tail(&q->control);
    return control_synced(&q->control) < tail && atomic_load(&q->control.page->witness) != tail;
}

/* Make everything durable if this process has appended since, and leave a witness. */
static int flush_now(struct core *q)
{
    if (!atomic_exchange(&q->unflushed, 0))
        return QUPLOG_OK;
    uint64_t tail = control_tail(&q->control);
    if (atomic_load(&q->control.page->witness) == tail)
        return QUPLOG_OK; /* another process has done it */
    int status = commit_sync_surely(q, tail);
    if (status == QUPLOG_OK)
        status = commit_begin(q, COMMIT_BLIND);
    if (status)
        return status;
    /* Frames that came meanwhile say `synced` themselves: only a quiet log needs a witness. */
    uint64_t end = commit_end_lsn(q);
    if (control_synced(&q->control) >= end && atomic_load(&q->control.page->witness) != end)
        status = commit_witness(q, false);
    commit_end(q);
    return status;
}

/* What another process has removed would take room for as long as this one has it open. */
static void let_go(struct core *q, uint64_t *first_lsn)
{
    uint64_t now = control_older(&q->control.page->first_lsn);
    if (now == *first_lsn)
        return;
    *first_lsn = now;
    files_let_go(&q->log.files, now);
    if (commit_begin(q, COMMIT_BLIND) == QUPLOG_OK) /* which leaves a head that is no more */
        commit_end(q);
}

static void flusher(void *context)
{
    struct core *q = context;
    const struct io *io = q->io;
    struct control_word *word = &q->control.page->flush;
    int64_t due_us = -1; /* when to flush; -1: there is nothing to */
    uint64_t first_lsn = 0;
    for (;;) {
        uint32_t seen = control_read(word); /* before anything else that a wake-up may be about */
        if (core_usable(q) != QUPLOG_OK)
            break;
        let_go(q, &first_lsn);
        if (due_us < 0 && atomic_load(&q->unflushed))
            due_us = core_monotonic(q) + q->flush_interval_us;
        if (due_us >= 0 && core_monotonic(q) >= due_us) {
            (void)flush_now(q); /* a failed sync is told to all by the poison; a full disk is told
                                   by the next append, and the witness can wait */
            due_us = -1;
        } else {
            (void)control_sleep(io, word, seen, due_us, IO_FUTEX_MONOTONIC, q->flush_bit);
        }
    }
    turn_drop(q);
}

void flush_start(struct core *q)
{
    uint32_t state = NOT_STARTED;
    if (!atomic_compare_exchange_strong(&q->flusher_state, &state, STARTING))
        return;
    int status = q->io->thread_start(q->io->world, &q->flusher, flusher, q);
    atomic_store(&q->flusher_state, status ? NOT_STARTED : RUNNING);
}

void flush_join(struct core *q)
{
    uint32_t state = atomic_load(&q->flusher_state);
    while (state == STARTING ||
           !atomic_compare_exchange_strong(&q->flusher_state, &state, ENDED)) {
        (void)lock_pause(q->io, 1000);
        state = atomic_load(&q->flusher_state);
    }
    if (state == RUNNING)
        q->io->thread_join(q->io->world, &q->flusher);
}
