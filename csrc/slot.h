/* slot.h: who is alive: the worker slots of a log.
 *
 * A process that runs jobs holds the byte of a slot for life; the kernel frees it when the process
 * ends, however it does. Taking a slot appends WORKER (slot, generation, who, which tasks), and a
 * CLAIM names slot and generation, so that the jobs of a dead process are known by its slot: who
 * finds the byte free, or takes it, first appends RELEASE (crash) for them. There is no time-out: a
 * long job is never taken for dead. A child process that runs a job can have a slot of its own,
 * whose descriptor it inherits; then the job is given up when the child is gone, not its parent.
 *
 * Everything here is called between commit_begin(COMMIT_DECIDE) and commit_end().
 */
#ifndef QUPLOG_SLOT_H
#define QUPLOG_SLOT_H

#include "commit.h"

/* Have a slot: take one if `slot` has none, and say in the log which tasks this process knows.
 * QUPLOG_OK, _FULL, _NO_MEMORY, -errno. */
int slot_announce(struct core *q, struct slot *slot);
/* Give the byte back; its claims are to be written before. */
void slot_leave(struct slot *slot);
/* Release what runs in slots whose holders are dead; *released: how many jobs. */
int slot_release_dead(struct core *q, size_t *released);
/* The holder of this slot lives, here or elsewhere. */
bool slot_lives(struct core *q, uint16_t number);

#endif
