/* keep.h: the duties that nobody asks for: make durable, let come due, forget.
 *
 * Each duty is a step that does what is due now and returns when it is next due; the threads only
 * loop over steps and sleep in between. An idle log sleeps without end. The helper (a thread of the
 * caller's in quplog_keep()) has due times, schedules and retention; the flusher (a thread of ours)
 * makes unsynced frames durable and then leaves a witness.
 */
#ifndef QUPLOG_KEEP_H
#define QUPLOG_KEEP_H

#include "commit.h"

enum { KEEP_NEVER = -1 };

/* Make everything durable if something has been appended since, and append a SYNCED frame. */
int keep_flush(quplog *q);
/* Let jobs come due. *next: when to come again, or KEEP_NEVER. */
int keep_due(quplog *q, int64_t *next);
/* Forget finished jobs that have been kept long enough. */
int keep_forget(quplog *q, int64_t *next);
/* A schedule that is due and whose caller was not told of it within the last second. */
bool keep_tick_due(quplog *q, int64_t *next);

int keep_start_flusher(quplog *q);
void keep_stop_flusher(quplog *q);

#endif
