/* commit.h: the one place where a change becomes part of the log and of the table.
 *
 *     commit_begin()   take the append lock; nobody else can change anything now
 *       decide         by looking at the table (q->table), which is caught up
 *       commit_frame() get the memory, append the frame, apply it
 *     commit_end()     give the lock back
 *     commit_sync()    if the caller wants it durable: outside the lock
 *
 * A frame that could not be appended has changed nothing, and one that was appended cannot fail to
 * be applied, since its memory was there before. Two mutexes: `append` for whoever changes
 * something, `view` for whoever reads or applies. A decider holds `append` and may read without
 * `view`, because only holders of `append` apply; a query takes `view` alone and is never behind a
 * write to the disk.
 */
#ifndef QUPLOG_COMMIT_H
#define QUPLOG_COMMIT_H

#include "control.h"
#include "lock.h"
#include "log.h"
#include "sync.h"
#include "table.h"

/* How far compaction has come (compact.c). A lap copies what still counts of every segment that is
 * older than `lap_end`. */
struct compaction {
    uint64_t lap_end;    /* 0: no lap is under way */
    uint64_t written;    /* bytes that this lap has appended */
    bool whole;          /* it was asked for: it does not end early */
    uint64_t rest_until; /* no lap begins before the tail has come here */
    uint64_t base;       /* of the segment that is being copied */
    uint64_t at;         /* of its next frame to look at */
    uint64_t salt;
    int64_t not_before_us; /* something failed: not before this time of the monotonic clock */
};

/* An open log of this process. */
struct core {
    const struct io *io;
    struct core *next; /* in the registry */
    uint64_t device, inode;
    uint32_t users;      /* openings that were not closed */
    uint32_t references; /* openings that were not freed */
    int dir;
    bool read_only;
    struct lock_file lock;
    struct control control;
    struct log log;
    struct sync sync;
    struct table table;
    struct io_mutex append;
    struct io_mutex view;
    struct io_mutex compacting; /* guards `compaction` */
    struct compaction compaction;
    int64_t flush_interval_us;
    uint32_t generation; /* of this process's worker slot; 0: not taken yet */
    _Atomic uint32_t abandoned; /* this is a forked child's copy */
    _Atomic uint32_t unflushed;   /* frames that no flush has covered yet */
    _Atomic int64_t helper_until; /* what the helper sleeps until; INT64_MAX: nothing */
    struct io_thread flusher;
    bool flusher_started;
};

/* What an opening serves: the tasks that it can run and the queues that it claims from. */
struct roster {
    struct names tasks;
    struct names queues; /* none: all */
    uint32_t *runners;   /* by lane: the number of its task, or ROSTER_NOT_HERE; as far as known */
    size_t runner_count;
    size_t runner_room;
    bool announced; /* the log has a WORKER op with these tasks */
};

enum { ROSTER_NOT_HERE = 0xffffffff };

/* One opening of a log: what the public functions take. */
struct quplog {
    struct core *core;
    struct roster roster;
    _Atomic uint32_t stopping;
    _Atomic uint32_t closed;
};

enum { COMMIT_SLOT = 0 }; /* one process owns the log: it has the first slot */

/* The log of an opening; NULL if either was closed, or came through a fork. */
struct core *core_of(quplog *log);
int64_t commit_now(struct core *q);
/* QUPLOG_OK with the append lock held; _CLOSED, _READ_ONLY, _FAILED without it. */
int commit_begin(struct core *q);
void commit_end(struct core *q);
/* With the append lock held: append and apply a frame of these ops. body_crc is crc32c of the body.
 * *lsn (may be NULL) is the frame's. What the frame made finished is told to those who wait. */
int commit_frame(struct core *q, uint32_t op_count, struct span body, uint32_t body_crc,
                 uint64_t first_id, uint64_t *lsn);
/* The same for ops in a buffer, summed here. */
int commit_ops(struct core *q, uint32_t op_count, const struct buffer *ops, uint64_t *lsn);
/* A SYNCED frame: the witness of what is durable now. */
int commit_witness(struct core *q, bool closing);
/* A TRIM frame: all below `first_lsn` has been copied forward, and that is durable. */
int commit_trim(struct core *q, uint64_t first_lsn);
/* Wait until everything up to `lsn` is durable. _OK, _FAILED, _CLOSED, _INTERRUPTED. */
int commit_sync(struct core *q, uint64_t lsn);
/* Move the first of the jobs that have come due to their lanes: HEAP_PREFIX_MOST, and those due at
 * the same time as the last of them. `append` is held. */
int commit_due(struct core *q);
/* Some job became claimable: wake up to `count` workers. */
void commit_wake_workers(struct core *q, int count);
/* Something will be due at `due_us`: see that the helper knows. 0: it must look again. */
void commit_wake_helper(struct core *q, int64_t due_us);

#endif
