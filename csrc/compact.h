/* compact.h: give the disk back: copy forward what still counts of the oldest segment, remove it.
 *
 * Each thing in the table (job, schedule, queue, settings, worker slot) has a put_lsn. What stands
 * in the oldest segment is appended again: a job as a COPY with all that is known of it, the others
 * as they are. When nothing in the table points into the segment any more, and the copies are
 * durable, a TRIM frame says where the log begins now; when that is durable, the file goes. A cut
 * between any two steps leaves copies of what is still there, or a segment that nobody needs.
 *
 * The segment is read without the lock. What was read is checked under it: an op that the table
 * does not point to any more is not copied, and a job's state is encoded there and then. One hold
 * of the lock is for 64 KiB of ops, or for one job that is larger. The segment in which frames are
 * written now never goes.
 *
 * A lap takes every segment that is full when the lap begins. It begins when the log is larger than
 * it needs to be. It ends where the log ended at its beginning, so that it ends although jobs keep
 * coming; before the next one the log has to grow by a good part, so that a log whose bytes all
 * count is not copied for ever.
 */
#ifndef QUPLOG_COMPACT_H
#define QUPLOG_COMPACT_H

#include "fetch.h"

/* Do a small part of what there is to compact, if there is something. *next becomes the time to
 * come again, if that is sooner (-1: never). What ails one file or the disk is tried again later;
 * what ails the log (QUPLOG_CLOSED, _FAILED) is returned. */
int compact_step(struct core *q, int64_t *next);

#endif
