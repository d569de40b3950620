/* core.h: an open log of this process, and the openings that share it.
 *
 * Order of what a thread may hold: open < compact < keep < append < view < sync. `append` is a gate
 * of the process and then the byte APPEND of the log (turn.h); `view` guards the table, for readers
 * and for whoever applies. A producer never waits for `view`; a query never for the disk, but for
 * the moment that a frame takes to be written.
 */
#ifndef QUPLOG_CORE_H
#define QUPLOG_CORE_H

#include "lock.h"
#include "log.h"
#include "sync.h"
#include "table.h"

/* A worker slot of the log that this process (or a child of it) holds: its byte in `lock`. */
struct slot {
    struct lock_file lock; /* an open file description of its own; fd -1: none taken */
    uint16_t number;
    uint32_t generation;
};

/* How far compaction has come (compact.c). A lap copies what still counts of every segment that is
 * older than `lap_end`. */
struct compaction {
    uint64_t lap_end; /* 0: no lap is under way */
    uint64_t written; /* bytes that this lap has appended */
    bool whole;       /* it was asked for: it does not end early */
    uint64_t base;    /* of the segment that is being copied */
    uint64_t at;      /* of its next frame to look at */
    int64_t not_before_us; /* something failed: not before this time of the monotonic clock */
};

struct core {
    const struct io *io;
    struct core *next; /* in the registry */
    uint64_t device, inode;
    uint32_t users;      /* openings that were not closed */
    uint32_t references; /* openings that were not freed */
    uint32_t mark;       /* of the process that opened it: a forked child has another */
    int dir;
    bool read_only;
    int64_t lock_timeout_us;
    int64_t flush_interval_us;
    struct lock_file lock;
    struct lock_file probe; /* asks whether others live: our own locks are not free to it */
    struct control control;
    struct log log;
    struct sync sync;

    struct gate append;
    int64_t waiting_since_us; /* guarded by it: for another process that appends ... */
    int64_t waited_until_us;  /* ... with pauses of a second at most; 0: no more */
    bool viewing; /* whoever holds `append` holds `view` too, and the table is caught up */

    struct io_mutex view; /* guards what follows */
    struct table table;
    bool loaded;              /* the table holds the log up to `applied` */
    _Atomic uint64_t applied;
    uint32_t builds;          /* how often it was built anew: numbers of lanes have changed then */
    struct segment_cursor cursor;

    /* guarded by `append` */
    struct names offered; /* the tasks of all openings of this process */
    size_t announced;     /* so many of them stand in the log */
    struct slot slot;     /* of this process's threads */

    struct io_mutex compacting; /* guards `compaction`; taken before the byte COMPACT */
    struct compaction compaction;
    struct io_mutex keeping;    /* one helper of this process does what is due */
    int64_t unsynced_since_us;  /* guarded by it: since when it has seen frames unsynced; 0 */
    int64_t kept_out_since_us;  /* guarded by it: since when it did not get the lock KEEP; 0 */
    _Atomic int64_t held_up_until_us; /* what is due could not be done: it is tried again then */
    _Atomic uint32_t drops; /* how often turn_drop() was called */
    _Atomic uint32_t has_written; /* this process has appended something */
    _Atomic uint32_t unflushed;   /* and that by frames which no flush has covered yet */
    void (*start_flusher)(struct core *q); /* of a higher floor */
    uint32_t flush_bit; /* of the word `flush`, for this process */
    struct io_thread flusher;
    _Atomic uint32_t flusher_state; /* of flush.c; 0: not started */
};

/* What an opening serves: the tasks that it can run and the queues that it claims from. */
struct roster {
    struct names tasks;
    struct names queues; /* none: all */
    uint32_t *runners;   /* by lane: the number of its task, or ROSTER_NOT_HERE; as far as known */
    size_t runner_count;
    size_t runner_room;
    uint32_t builds; /* of the table that the lanes are of */
    _Atomic uint32_t bits; /* of the lanes that its workers wait for: core_bit() of each task */
};

enum { ROSTER_NOT_HERE = 0xffffffff };

/* One opening of a log: what the public functions take. */
struct quplog {
    struct core *core;
    struct roster roster;
    _Atomic uint32_t stopping;
    _Atomic uint32_t closed;
};

/* This is a forked child's copy: not to be used, only dropped. */
static inline bool core_is_copy(const struct core *q)
{
    return q->io->process_mark(q->io->world) != q->mark;
}

/* QUPLOG_OK, _CLOSED, _READ_ONLY, _FAILED: whether one may try to write. */
static inline int core_usable(struct core *q)
{
    if (core_is_copy(q) || atomic_load(&q->control.closed))
        return QUPLOG_CLOSED;
    if (q->read_only)
        return QUPLOG_READ_ONLY;
    return control_poisoned(&q->control) ? QUPLOG_FAILED : QUPLOG_OK;
}

/* The log of an opening; NULL if either was closed, or came through a fork. */
static inline struct core *core_of(quplog *log)
{
    struct core *q = log->core;
    return atomic_load(&log->closed) || core_is_copy(q) || atomic_load(&q->control.closed) ? NULL
                                                                                          : q;
}

static inline int64_t core_now(const struct core *q)
{
    return q->io->now_us(q->io->world);
}

static inline int64_t core_monotonic(const struct core *q)
{
    return q->io->monotonic_us(q->io->world);
}

/* The bit of `work` that a job of this task wakes: of all lanes of the task, since a worker may
 * serve queues whose names it does not know yet. */
static inline uint32_t core_bit(struct span task)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < task.length; i++)
        hash = (hash ^ task.data[i]) * 16777619U;
    return 1U << ((hash ^ hash >> 15) & 31);
}

#endif
