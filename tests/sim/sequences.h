/* sequences.h: every short sequence of operations, with a crash at every change of the disk.
 *
 * One process does up to four operations of eight: put with sync, put without, claim, finish, sync,
 * compact, be killed and open anew, close and open anew; on a new log, and on one of some segments
 * with jobs of all kinds. Since a sequence begins like a shorter one, the power is cut only during
 * its last operation, before each call that changes the disk and at the end: each such state once
 * with nothing unsynced left, once with all of it, and as chance has it.
 */
#ifndef QUPLOG_SIM_SEQUENCES_H
#define QUPLOG_SIM_SEQUENCES_H

#include "judge.h"

struct sequences {
    unsigned most;        /* operations in one */
    uint64_t first, step; /* which of them to play */
    bool has_only;
    uint64_t only;
    void (*shown)(const struct judge *judge); /* called now and then */
    uint64_t played; /* out */
};

/* Until something is wrong. The number of the last that was played. */
uint64_t sequences_play(struct judge *judge, struct sequences *sequences);

#endif
