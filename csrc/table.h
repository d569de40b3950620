/* table.h: the job table: what the log says, in memory.
 *
 * It is built by applying frames in log order, by recovery and by the live path alike;
 * table_apply() is the only mutator. It reads no clock and makes no choice: whatever depends on
 * time or chance was decided by the writer and stands in the frame. table_reserve() parses a frame
 * and gets all memory that applying it will need, so that applying cannot fail.
 *
 * Jobs that are ready stand in lanes, one for each (queue, task), ordered by priority (higher
 * first), then by when they became ready (the LSN of that op; a job that comes back because its run
 * was interrupted keeps its place). Jobs that are due later stand in one heap by due time until a
 * DUE op says which have come due. Finished jobs stand in two heaps by the LSN that finished them,
 * for FORGET.
 *
 * Each thing in the table has a put_lsn: the op of the log with all of it that does not change.
 * Compaction moves that forward by copying. `live_bytes` is what copying everything now would
 * write: the ops, not the frames around them.
 *
 * Not synchronised: who reads or applies holds the mutex `view` (core.h).
 */
#ifndef QUPLOG_TABLE_H
#define QUPLOG_TABLE_H

#include "frame.h"
#include "heap.h"
#include "jobs.h"
#include "names.h"
#include "op.h"

enum { TABLE_NONE = 0xffffffff };
enum { TABLE_SEGMENT_SIZE = 16 << 20 }; /* of a log that was never told another */

struct lane {
    uint32_t task;  /* names */
    uint32_t queue; /* queues */
    struct heap ready;
    uint64_t counts[QUPLOG_STATE_COUNT];
};

struct queue_state {
    uint32_t name;
    bool paused;
    uint32_t max_running;
    uint32_t rate;
    int64_t rate_us;
    uint64_t put_lsn; /* the QUEUE op; 0: never changed */
};

/* A worker slot, as its last WORKER op says; put_lsn 0: never taken. */
struct worker_slot {
    uint64_t put_lsn;
    uint32_t live_length;
    uint32_t generation;
    uint32_t *tasks; /* names that its worker can run */
    size_t task_count, task_room;
};

/* A running job. */
struct run {
    uint64_t id; /* 0: this entry is free */
    uint64_t token;
    uint64_t order; /* its place among the ready, should it come back */
    uint32_t generation;
    uint16_t slot;
};

struct table_schedule {
    uint64_t version;  /* LSN of its last SCHEDULE op */
    uint64_t rule_lsn; /* of the op that holds the rule */
    uint32_t rule_length;
    uint8_t id_length;
    bool paused;
    int64_t next_us;
    int64_t last_us;
    int64_t asked_us; /* this process's own: when its caller was last told that it is due */
    unsigned char id[QUPLOG_NAME_MAX];
};

struct table {
    struct names names;
    struct jobs jobs;
    struct lane *lanes;
    size_t lane_count, lane_room;
    struct queue_state *queues;
    size_t queue_count, queue_room;
    struct run *runs;
    size_t run_count, run_room; /* entries in use are not contiguous: see free_run */
    size_t running;
    struct heap due;
    struct heap succeeded; /* and cancelled */
    struct heap failed;
    struct table_schedule *schedules;
    size_t schedule_count, schedule_room;
    struct worker_slot *slots;
    size_t slot_count;
    uint64_t next_id;
    uint64_t epoch;
    unsigned char boot_id[16]; /* of the last OPEN */
    bool opened;               /* an OPEN was among what was applied */
    bool live;                 /* the replay is over: nothing in it is stale (apply_trim) */
    uint64_t start_lsn;        /* of the first frame that was applied; 0: none yet */
    uint64_t first_lsn;
    uint64_t live_bytes;
    uint64_t settings_lsn;     /* the oldest SETTINGS op that still counts; 0: none */
    int64_t now_us; /* the time of the last frame */
    struct op_settings settings;
    uint32_t last_lane; /* where the last PUT went: the next goes there, nearly always */
};

void table_init(struct table *table);
void table_free(struct table *table);
/* Empty it, to be built anew; names keep their numbers. */
void table_reset(struct table *table);
size_t table_bytes(const struct table *table);

/* Parse the frame and get memory for it. QUPLOG_OK, _CORRUPT (no writer writes such a frame),
 * _UNSUPPORTED, _NO_MEMORY. Changes nothing that anybody can see. */
int table_reserve(struct table *table, const struct frame *frame);
/* Apply a frame that was reserved just before. `finished` (may be NULL) is told of every job that
 * reached a final state. */
void table_apply(struct table *table, const struct frame *frame, uint64_t lsn,
                 void (*finished)(void *context, uint64_t id), void *context);

/* Ready jobs of the lane could be claimed now, as far as the log says. */
bool table_lane_open(const struct table *table, const struct lane *lane);
/* The (existing) run of a running job. */
struct run *table_run(const struct table *table, const struct job *job);
struct span table_task(const struct table *table, const struct job *job);
struct span table_queue(const struct table *table, const struct job *job);
struct table_schedule *table_find_schedule(const struct table *table, struct span id);
struct queue_state *table_find_queue(const struct table *table, struct span name);
/* The slot as its last WORKER op left it; NULL: it was never taken. */
const struct worker_slot *table_slot(const struct table *table, uint16_t slot);
/* When the next job comes due, or the next schedule that is not paused; 0: nothing will. */
int64_t table_next_due(const struct table *table);

#endif
