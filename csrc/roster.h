/* roster.h: what an opening serves: the tasks that it can run and the queues that it claims from.
 *
 * It is this process's own and stands in no log (but for the WORKER op that announces the tasks of
 * all its openings). Two openings of one log have a roster each, so that neither is handed what
 * only the other knows.
 * Everything here is called with the append lock held.
 */
#ifndef QUPLOG_ROSTER_H
#define QUPLOG_ROSTER_H

#include "slot.h"

/* The number of `task`, added if it is new. QUPLOG_NO_MEMORY. */
int roster_add_task(quplog *log, struct span task, uint32_t *number);
/* From now on claim from these queues only (a length byte and a name each; none: from all).
 * QUPLOG_NO_MEMORY: nothing has changed. */
int roster_set_queues(quplog *log, const unsigned char *queues, size_t length);
/* The lane with the first job that this opening may claim: by priority, then by age; *task is the
 * number of its task. NULL: there is none. */
struct lane *roster_best_lane(quplog *log, uint32_t *task);
bool roster_claimable(quplog *log);
/* The bits of the lanes that have a job to claim, for whoever may: 0 if none has. */
uint32_t roster_open_bits(const quplog *log);
/* Some lane has a job that a live worker of any process knows how to run, or this opening. */
bool roster_somebody_may(quplog *log);
void roster_free(struct roster *roster);

#endif
