/* roster.h: what an opening serves: the tasks that it can run and the queues that it claims from.
 *
 * It is this process's own and stands in no log (but for the WORKER op that announces the tasks).
 * Two openings of one log have a roster each, so that neither is handed what only the other knows.
 * Everything here is called with the append lock held.
 */
#ifndef QUPLOG_ROSTER_H
#define QUPLOG_ROSTER_H

#include "commit.h"

/* The number of `task`, added if it is new. QUPLOG_NO_MEMORY. */
int roster_add_task(quplog *log, struct span task, uint32_t *number);
/* From now on claim from these queues only (a length byte and a name each; none: from all).
 * QUPLOG_NO_MEMORY: nothing has changed. */
int roster_set_queues(quplog *log, const unsigned char *queues, size_t length);
/* The lane with the first job that this opening may claim: by priority, then by age; *task is the
 * number of its task. NULL: there is none. */
struct lane *roster_best_lane(quplog *log, uint32_t *task);
bool roster_claimable(quplog *log);
/* Some lane has a job that somebody may claim, if not this opening. */
bool roster_others_may(quplog *log);
/* The names of all tasks, as a WORKER op has them. */
int roster_encode_tasks(const struct roster *roster, struct buffer *tasks);
void roster_free(struct roster *roster);

#endif
