/* keep.h: the duties that nobody asks for: make durable, let come due, forget.
 *
 * Each duty is a step that does what is due now and returns when it is next due; the threads only
 * loop over steps and sleep in between. An idle log sleeps without end. The helper (a thread of the
 * caller's in quplog_keep()) has due times, schedules, retention and compaction (compact.h); the
 * flusher (a thread of ours) makes unsynced frames durable and then leaves a witness.
 */
#ifndef QUPLOG_KEEP_H
#define QUPLOG_KEEP_H

#include "commit.h"

enum { KEEP_NEVER = -1 };

/* Make everything durable if something has been appended since, and append a SYNCED frame. */
int keep_flush(struct core *q);
/* Let the jobs come due whose time has come. */
int keep_due(struct core *q);
/* Forget finished jobs that have been kept long enough. *next becomes the time to come again, if
 * that is sooner. */
int keep_forget(struct core *q, int64_t *next);
/* There is a schedule that is due and whose caller was not told of it within the last second: a
 * caller that can't tick it, or met a full disk, does not spin. */
bool keep_tick_due(struct core *q);

int keep_start_flusher(struct core *q);
void keep_stop_flusher(struct core *q);

#endif
