/* control.h: the page that all processes share which have a log open: how far it goes, who waits,
 * whether it failed.
 *
 * It is a file of one page, `control`, mapped by each of them. It is never the truth: whoever
 * recovers a log ignores it and writes it anew, and `ready` says that somebody has. The numbers
 * steer where the next frame goes, so none is believed blindly: each stands beside its complement,
 * and what may only grow is compared with the largest that this process has seen. A number that
 * fails is treated as a failed sync is: this log is poisoned, and has to be opened again.
 *
 * Who may write what: the holder of `append` writes the numbers of the tail; a value first, its
 * complement after it, so that the complement tells which number stood before when a writer died in
 * between. While it writes, `dirty` says up to where: the next holder finds it set only if the
 * writer died, and repairs (log.h). The holder of `sync` writes `synced`. The words that wake may
 * be touched by anyone.
 *
 * Waiting is by words: a waiter reads the word's value, checks what it waits for, and sleeps while
 * the value stands; whoever changes something bumps the word. A word is only woken through the
 * kernel if somebody sleeps on it. A sleeper that is killed stays counted: that costs a system call
 * at each bump until the page is made anew, and nothing else. One that wakes up when the page was
 * made anew is not counted out, since it was not counted in there.
 *
 * A log that is only read has a page of its own, in memory.
 */
#ifndef QUPLOG_CONTROL_H
#define QUPLOG_CONTROL_H

#include <stdalign.h>
#include <stdatomic.h>

#include "io.h"

/* How many do something: a tag that each epoch has its own of, and 32 bits of count. */
typedef _Atomic uint64_t control_count;

struct control_word {
    _Atomic uint32_t value;
    control_count sleepers;
};

/* A number and its complement. */
struct control_number {
    _Atomic uint64_t value;
    _Atomic uint64_t check;
};

enum { CONTROL_RESULTS = 64, CONTROL_PAGE = 4096 };

struct control_page {
    unsigned char magic[8];
    unsigned char boot_id[16];
    _Atomic uint64_t epoch;    /* random, of the recovery that made this page */
    _Atomic uint32_t ready;    /* that recovery is complete */
    _Atomic uint32_t poisoned; /* nobody may write any more */

    /* of the holder of `append` */
    alignas(64) struct control_number tail; /* the log's end */
    struct control_number next_id;          /* of the next job */
    struct control_number head;             /* the base of the segment that is written to */
    struct control_number zeroed;           /* up to this LSN the head's file has zeros */
    struct control_number first_lsn;        /* of the last TRIM */
    struct control_number segment_size;
    struct control_number next_due; /* when something comes due; CONTROL_NEVER: nothing does */
    _Atomic uint64_t dirty;         /* a write is under way, up to this LSN; 0: none */
    _Atomic uint64_t witness;       /* the end of the last SYNCED frame: clean up to there */
    _Atomic uint64_t spare_used;    /* the head that was the spare, until there is a new one; 0 */
    _Atomic uint64_t rest_until;    /* no lap of compaction begins before the tail has come here */

    alignas(64) struct control_number synced; /* all before it is durable */
    struct control_word durable;              /* a round of syncing ended */
    _Atomic uint64_t round;                   /* what it makes durable, and its number: sync.c */

    alignas(64) struct control_word append; /* the append lock was given back */
    struct control_word work;               /* a job became claimable, or workers must stop */
    alignas(64) struct control_word attention; /* helpers have something earlier to do */
    _Atomic uint32_t quiet;                    /* a helper sleeps until it is woken */
    struct control_word flush;    /* an unsynced frame after quiet; a bit for each process */
    struct control_word finished; /* some job finished, was released or became unclaimable */
    /* A job with this id mod 64 finished. */
    alignas(64) struct control_word results[CONTROL_RESULTS];
};

_Static_assert(sizeof(struct control_page) <= CONTROL_PAGE, "control is one page");

#define CONTROL_NEVER ((uint64_t)INT64_MAX)

/* A process's view of the page. */
struct control {
    const struct io *io;
    struct control_page *page;
    bool mapped;
    uint64_t epoch;               /* which it must have: a page made anew is for others */
    _Atomic uint64_t seen_tail;   /* the largest that was read */
    _Atomic uint64_t seen_synced;
    _Atomic uint32_t failed;      /* this process knows that the log is poisoned */
    _Atomic uint32_t closed;
};

/* ---- the page ---- */

/* Map the page in `dir`, making the file if need be. 0 or -errno. */
int control_open(struct control *control, const struct io *io, int dir);
/* A page of this process alone. 0 or -ENOMEM. */
int control_open_private(struct control *control, const struct io *io);
/* Nobody uses it any more. */
void control_close(struct control *control);
/* Begin a new epoch: the page is empty and not ready. 0 or -errno. */
int control_reset(struct control *control);
void control_make_ready(struct control *control);
/* Nobody joins this epoch any more: it comes to its end. */
void control_end_epoch(struct control *control);
/* Join the epoch of a page that is ready; false if it is not, or is from before this boot. */
bool control_join(struct control *control);

/* This log can't be written to any more, by anyone: say so to all. */
void control_fail(struct control *control);
/* It was said to this process, or is so by now. */
bool control_poisoned(struct control *control);

/* ---- the numbers ---- */

/* As anybody may read them at any time. A page that can't be believed is poisoned, and what was
 * read before is returned. */
uint64_t control_tail(struct control *control);
uint64_t control_synced(struct control *control);
/* For the holder of the lock that guards it: the number as last completed. False: it can't be
 * believed. */
bool control_read_number(const struct control_number *number, uint64_t *out);
/* A number that only grows, as a process without the lock sees it. Its writer may be between the
 * two halves, or may have died there: then the older one stands. False: it can't be believed. */
bool control_read_growing(const struct control_number *number, uint64_t *out);
/* The same after a writer died: the older of the two. */
uint64_t control_older(const struct control_number *number);
void control_write_number(struct control_number *number, uint64_t value);

/* ---- the words ---- */

static inline uint32_t control_counted(const control_count *count)
{
    return (uint32_t)atomic_load(count);
}

/* Returns what to count out with. */
static inline uint32_t control_count_in(control_count *count)
{
    return (uint32_t)(atomic_fetch_add(count, 1) >> 32);
}

static inline void control_count_out(control_count *count, uint32_t tag)
{
    uint64_t now = atomic_load(count);
    while (now >> 32 == tag && (uint32_t)now > 0 &&
           !atomic_compare_exchange_weak(count, &now, now - 1))
        continue;
}

static inline uint32_t control_read(struct control_word *word)
{
    return atomic_load_explicit(&word->value, memory_order_acquire);
}

/* Sleep while the word has the value `seen`, to be woken for one of `bits`. 0, -ETIMEDOUT or
 * -EINTR. deadline_us < 0: no limit; else on the wall clock, or with IO_FUTEX_MONOTONIC on the
 * monotonic one. */
static inline int control_sleep(const struct io *io, struct control_word *word, uint32_t seen,
                                int64_t deadline_us, int clock, uint32_t bits)
{
    uint32_t tag = control_count_in(&word->sleepers);
    int status = io->futex_wait(io->world, (uint32_t *)&word->value, seen, deadline_us,
                                clock | IO_FUTEX_SHARED, bits);
    control_count_out(&word->sleepers, tag);
    return status;
}

/* Wake up to `count` sleepers for a change that was made already. */
static inline void control_wake(const struct io *io, struct control_word *word, int count,
                                uint32_t bits)
{
    if (count > 0 && bits && control_counted(&word->sleepers))
        io->futex_wake(io->world, (uint32_t *)&word->value, count, IO_FUTEX_SHARED, bits);
}

/* Change the word and wake up to `count` sleepers. */
static inline void control_bump(const struct io *io, struct control_word *word, int count,
                                uint32_t bits)
{
    atomic_fetch_add(&word->value, 1);
    control_wake(io, word, count, bits);
}

enum { CONTROL_ALL = 0x7fffffff };

/* Wake everybody who waits for anything, in every process. */
void control_wake_all(struct control *control);

#endif
