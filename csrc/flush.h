/* flush.h: the thread that makes unsynced frames durable within flush_interval.
 *
 * Each process flushes what it wrote, by a thread of its own. When nothing else followed, it leaves
 * a SYNCED frame: the witness without which the last durable frame could not be told from a torn
 * one. A log that ends with a witness is clean: nobody flushes it, and nobody adds another.
 *
 * The same thread lets go of segments that another process has removed, and of all locks when the
 * log fails. So every process that has a log open has it, also one that only looks: while that does
 * nothing else, neither the disk would get its room back nor the log could be recovered.
 */
#ifndef QUPLOG_FLUSH_H
#define QUPLOG_FLUSH_H

#include "commit.h"

/* Frames of some process are not known to be durable. */
bool flush_is_due(struct core *q);
/* Start the thread, once; for core.start_flusher. */
void flush_start(struct core *q);
/* The log is closed: wait for the end of the thread. */
void flush_join(struct core *q);

#endif
