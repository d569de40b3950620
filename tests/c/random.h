/* random.h: pseudo-random numbers that are the same in every run (xorshift64*). */
#ifndef QUPLOG_TEST_RANDOM_H
#define QUPLOG_TEST_RANDOM_H

#include <stdint.h>

/* `state` is the seed at first; not zero. */
static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static inline uint64_t random_below(uint64_t *state, uint64_t n)
{
    return (random_next(state) >> 11) % n;
}

#endif
