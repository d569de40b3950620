/* model.h: what the jobs of a log must be like after each frame: the log's meaning, once more.
 *
 * It is written against docs/FORMAT.md and not with table.c, and keeps everything in the simplest
 * form, since it has few jobs. It is stricter than a table, which passes over an op that does not
 * fit: nobody may write a claim of a job that is not ready, an outcome of a run that is not the
 * present one, an id a second time, or a copy that differs from what it copies. Then it is `wrong`.
 *
 * Spans point into the frames that were applied.
 */
#ifndef QUPLOG_SIM_MODEL_H
#define QUPLOG_SIM_MODEL_H

#include "frame.h"
#include "op.h"

enum { MODEL_ERRORS = 32, MODEL_SCHEDULES = 8, MODEL_QUEUES = 8 };

struct model_job {
    uint64_t id;
    uint64_t token; /* running */
    uint64_t finish_lsn;
    int64_t due_us, created_us, started_us, finished_us;
    struct span task, queue, fields, payload, result;
    struct span errors[MODEL_ERRORS];
    uint32_t error_count;
    uint32_t generation;
    uint16_t slot;
    uint16_t attempt, retries;
    int8_t priority;
    uint8_t state, crashes;
    bool cancel_requested;
    bool payload_gone;  /* it can't run again: a copy may have left the payload out */
    bool finished_open; /* by an OPEN that comes later: when is not known here */
};

struct model_schedule {
    struct span id, rule;
    int64_t next_us, last_us;
    bool paused;
};

struct model_queue {
    struct span name;
    bool paused;
};

struct model {
    struct model_job *jobs; /* by id */
    size_t count, room;
    struct model_schedule schedules[MODEL_SCHEDULES];
    size_t schedule_count;
    struct model_queue queues[MODEL_QUEUES];
    size_t queue_count;
    char wrong[160]; /* why; empty: nothing is */
};

void model_free(struct model *model);
void model_copy(struct model *out, const struct model *model);
void model_apply(struct model *model, const struct frame *frame, uint64_t lsn);
/* What the OPEN does that the next recovery writes. */
void model_reopen(struct model *model);
/* NULL: there is none. */
struct model_job *model_find(const struct model *model, uint64_t id);

#endif
