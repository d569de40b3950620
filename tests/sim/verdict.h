/* verdict.h: what must be said of a damaged log, and whether it is.
 *
 * What is intact is known without the core: the bytes of each frame and of each header are compared
 * with what was written. Let X be the end of the intact frames from the first on, and D what an
 * intact frame or header says was durable. Then
 *
 *   Opening      finds just the jobs of the frames before X if X >= D, and is refused as corrupt,
 *                with nothing changed, if X < D. After it, once more: the same.
 *   Reading      ends the same way, and names the segment and the offset of X.
 *   Scanning     hands out every op of every intact frame, no other, and names every frame that
 *                is not intact and had been durable or is followed by one that is intact.
 *
 * and nothing takes more than so many calls of the system.
 */
#ifndef QUPLOG_SIM_VERDICT_H
#define QUPLOG_SIM_VERDICT_H

#include "damage.h"

enum verdict_answer {
    VERDICT_SAME,      /* all jobs */
    VERDICT_CORRUPT,   /* refused */
    VERDICT_TORN,      /* all but what nobody was told is durable */
    VERDICT_UNNOTICED, /* something durable is gone with every witness of it */
    VERDICT_EMPTY,     /* no segment is left: a new log */
    VERDICT_REFUSED,   /* by an error of the system */
    VERDICT_ANSWERS
};

struct verdict {
    enum verdict_answer answer;
    char wrong[512]; /* empty: nothing */
};

extern const char *const VERDICT_NAMES[VERDICT_ANSWERS];

/* `reference` is that of the exhibit. `chance` decides what is asked besides. */
void verdict_of(struct exhibit *exhibit, struct reference *reference, uint64_t chance,
                struct verdict *out);

#endif
