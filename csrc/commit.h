/* commit.h: the one place where a change becomes part of the log and of the table.
 *
 *     commit_begin()   take the turn; nobody else, in any process, can change anything now
 *       decide         by looking at the table (q->table), which is caught up
 *       commit_frame() get the memory, wake whom it concerns, append the frame, apply it
 *     commit_end()     give the turn back
 *     commit_sync()    if the caller wants it durable: outside the lock
 *
 * A frame that could not be appended has changed nothing, and one that was appended cannot fail to
 * be applied, since its memory was there before. Whoever decides holds `view` from begin to end and
 * has a table that holds all of the log. Whoever only puts (COMMIT_BLIND) needs no table: if this
 * process has one that is caught up and free, it is kept so, else it is caught up later.
 *
 * Whoever is to be woken is woken before the frame is written: he queues for the turn, and so finds
 * the frame even if its writer dies on the way, since the next turn begins with a repair.
 */
#ifndef QUPLOG_COMMIT_H
#define QUPLOG_COMMIT_H

#include "core.h"

enum commit_mode {
    COMMIT_BLIND,   /* without a table, if there is none that is caught up and free */
    COMMIT_AT_ONCE, /* the same, but QUPLOG_LOCKED rather than sleep for the turn */
    COMMIT_DECIDE,  /* with a table that is caught up */
};

/* A frame to be, and what it will mean to others. */
struct commit {
    struct span body;
    uint32_t body_crc;
    uint32_t op_count;
    uint32_t put_count;  /* jobs that are new: they get the next ids */
    uint32_t wake_bits;  /* lanes that get something to claim: core_bit() */
    uint32_t wake_count; /* how many workers have something to claim by it */
    int64_t earliest_us; /* what it makes due first; 0: nothing */
    bool urgent;         /* it must go on on a full disk */
    bool quiet;          /* no helper needs to know */
    uint64_t first_id;   /* out: of the new jobs */
    uint64_t lsn;        /* out: where it stands */
};

/* QUPLOG_OK with the turn taken; without it: _CLOSED, _READ_ONLY, _FAILED, _LOCKED, _INTERRUPTED,
 * or why the table can't be caught up. */
int commit_begin(struct core *q, enum commit_mode mode);
void commit_end(struct core *q);
/* In between: append and apply. What it made finished is told to those who wait for it. */
int commit_frame(struct core *q, struct commit *commit);
/* The same for urgent ops in a buffer, summed here; they wake nobody. *lsn (may be NULL). */
int commit_ops(struct core *q, uint32_t op_count, struct buffer *ops, uint64_t *lsn);
/* A SYNCED frame: the witness of what is durable now. */
int commit_witness(struct core *q, bool closing);
/* A TRIM frame: all below `first_lsn` has been copied forward, and that is durable. */
int commit_trim(struct core *q, uint64_t first_lsn);
/* Where the log ends; in between only. */
uint64_t commit_end_lsn(const struct core *q);
/* Wait until everything up to `lsn` is durable. _OK, _FAILED, _CLOSED, _INTERRUPTED. */
int commit_sync(struct core *q, uint64_t lsn);
/* The same, for what relies on it: a signal does not end the wait. */
int commit_sync_surely(struct core *q, uint64_t lsn);
/* That, up to where the log ends now. */
int commit_sync_all(struct core *q);
/* Move the first of the jobs that have come due to their lanes: HEAP_PREFIX_MOST, and those due at
 * the same time as the last of them. In between only. */
int commit_due(struct core *q);
/* Some jobs became claimable, or may be by now: wake workers. */
void commit_wake_workers(struct core *q, int count, uint32_t bits);
/* Helpers have to look at the log. */
void commit_wake_helpers(struct core *q);

#endif
