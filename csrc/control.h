/* control.h: what all users of an open log share: how far it goes, who waits, whether it failed.
 *
 * It is never the truth: each value can be rebuilt from the log. `tail` is where the next frame
 * goes, `synced` what is known to be durable; both only grow. Waiting is by words: a waiter reads
 * the word's value, checks what it waits for, and sleeps while the value stands; whoever changes
 * something bumps the word. A word is only woken through the kernel if somebody sleeps on it.
 *
 * In this version one process owns a log and the page is its private memory. All fields are atomic,
 * so that the page can be mapped and shared as it is.
 */
#ifndef QUPLOG_CONTROL_H
#define QUPLOG_CONTROL_H

#include <stdatomic.h>

#include "io.h"

struct control_word {
    _Atomic uint32_t value;
    _Atomic uint32_t sleepers;
};

enum { CONTROL_RESULTS = 64 };

struct control {
    _Atomic uint64_t tail;
    _Atomic uint64_t synced;
    _Atomic uint32_t poisoned;
    _Atomic uint32_t closed;
    struct control_word work;      /* a job became claimable, or workers must stop */
    struct control_word attention; /* the helper has something earlier to do */
    struct control_word durable;   /* synced moved */
    struct control_word flush;     /* the first unsynced frame after quiet */
    struct control_word finished;  /* some job finished, was released or became unclaimable */
    struct control_word results[CONTROL_RESULTS]; /* a job with this id mod 64 finished */
};

static inline uint32_t control_read(struct control_word *word)
{
    return atomic_load_explicit(&word->value, memory_order_acquire);
}

/* Sleep while the word has the value `seen`. 0, -ETIMEDOUT or -EINTR. deadline_us < 0: no limit;
 * else on the wall clock, or with IO_FUTEX_MONOTONIC on the monotonic one. */
static inline int control_sleep(const struct io *io, struct control_word *word, uint32_t seen,
                                int64_t deadline_us, int clock)
{
    atomic_fetch_add(&word->sleepers, 1);
    int status = io->futex_wait(io->world, (uint32_t *)&word->value, seen, deadline_us, clock);
    atomic_fetch_sub(&word->sleepers, 1);
    return status;
}

/* Change the word and wake up to `count` sleepers. */
static inline void control_bump(const struct io *io, struct control_word *word, int count)
{
    atomic_fetch_add(&word->value, 1);
    if (count > 0 && atomic_load(&word->sleepers))
        io->futex_wake(io->world, (uint32_t *)&word->value, count, false);
}

/* Wake one more sleeper for the same change: who was woken could do nothing with it. */
static inline void control_pass_on(const struct io *io, struct control_word *word)
{
    if (atomic_load(&word->sleepers))
        io->futex_wake(io->world, (uint32_t *)&word->value, 1, false);
}

enum { CONTROL_ALL = 0x7fffffff };

/* Wake everybody who waits for anything. */
void control_wake_all(const struct io *io, struct control *control);

static inline bool control_poisoned(struct control *control)
{
    return atomic_load_explicit(&control->poisoned, memory_order_acquire) != 0;
}

#endif
