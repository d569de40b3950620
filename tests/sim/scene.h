/* scene.h: many simulated processes at work on one log, and crashes in between.
 *
 * A scene is drawn from a seed: how many processes, what they do and how often they are interleaved
 * and killed, how large the jobs are, what is kept how long. Each process opens the log, puts jobs
 * alone and in batches, with and without sync, claims and runs some to every outcome, cancels,
 * pauses, ticks schedules, syncs, compacts, looks, and closes; some have a helper and a worker that
 * waits. What they are told is checked at once, and noted as a promise.
 *
 * While they run, at many of the calls that change the disk the power is cut on a copy of it, in
 * several ways, and judged (judge.h). In some scenes the power then fails in earnest: the scene
 * goes on with other processes on what was left, up to three times.
 */
#ifndef QUPLOG_SIM_SCENE_H
#define QUPLOG_SIM_SCENE_H

#include "judge.h"

/* Play the scene of this seed (not zero), and judge. What is wrong is in the judge. */
void scene_play(struct judge *judge, uint64_t seed);

#endif
