/* turn.h: the right to append, which one thread of one process has at a time.
 *
 * It is a gate of the process, and behind it the byte APPEND of the log's lock file. Waiting ends
 * after lock_timeout, since the holder may be stopped, and for a signal; who waits first tries,
 * then spins a little, then counts himself in the control page and sleeps, to be woken by whoever
 * gives the lock back, in slices, because a holder that is killed wakes nobody.
 *
 * Taking it includes what a dead holder left to do: see log_begin(). When the log is poisoned, this
 * process lets go of all its locks, so that somebody can recover; a handle of that epoch can only
 * be closed.
 */
#ifndef QUPLOG_TURN_H
#define QUPLOG_TURN_H

#include "core.h"

/* QUPLOG_OK; else without it: _CLOSED, _READ_ONLY, _FAILED, _LOCKED, _INTERRUPTED, -errno. */
int turn_take(struct core *q);
/* The same without sleeping: QUPLOG_LOCKED if somebody else has it. */
int turn_try(struct core *q);
/* The same for the one who has closed the log, when nobody else can take it any more. */
int turn_take_last(struct core *q);
void turn_give(struct core *q);
/* If the log is poisoned: give up every lock that this process has on it. */
void turn_drop(struct core *q);

#endif
