/* promises.h: what a log's callers were told, and what of it a log that is opened later must show.
 *
 * Of each job it keeps the states that it was led through, in order, each either certain (a call
 * said so) or not (a call failed and could not say whether it took place), and which of them is
 * known to be durable. The same for a schedule's next time and a queue's pause. Then, whatever
 * failed in between:
 *
 *   After a kill       a job is in the state that was the last certain one, or in one behind it.
 *   After a power cut  in the last durable one, or in one behind it; or gone, if none was.
 *   Always             what a call refused is not there; what is there has the bytes that were
 *                      given; jobs of one frame are all there, or none is; and nothing is there
 *                      that nobody put.
 *
 * It knows only what callers know, and reads only what they can read.
 */
#ifndef QUPLOG_SIM_PROMISES_H
#define QUPLOG_SIM_PROMISES_H

#include "quplog.h"

enum { PROMISES_JOBS = 96, PROMISES_STEPS = 24, PROMISES_TEXT = 300 };

struct promises_step {
    int64_t value;  /* of a job: enum quplog_job_state; else what was set */
    int64_t due_us; /* SCHEDULED, RETRYING */
    bool certain;
};

/* Something that changes, step by step. */
struct promises_thing {
    struct promises_step steps[PROMISES_STEPS];
    int count;
    int durable; /* the last step that is known to be; -1: none */
};

struct promises_job {
    struct promises_thing states;
    uint64_t id;     /* 0: not told */
    uint64_t number; /* what its payload is made of */
    size_t length;
    uint64_t group;  /* of the frame that put it */
};

struct promises {
    struct promises_job jobs[PROMISES_JOBS];
    size_t count;
    struct promises_thing next; /* of schedule "s"; 0: there is none */
    struct promises_thing paused; /* queue "q" */
    uint64_t numbers, groups;
    bool forgets;  /* jobs that succeeded may be gone */
    bool dropped;  /* the disk was full: a result may be missing */
};

enum promises_end { AFTER_KILL, AFTER_CUT };

/* A thing was led on. */
void promises_step(struct promises_thing *thing, int64_t value, int64_t due_us, bool certain);
/* Everything that was certain before is durable. */
void promises_synced(struct promises *promises, const struct promises *before);
/* The power was cut: what is not known to be durable is not certain any more. */
void promises_cut(struct promises *promises);
/* Job `id`, or (0) every job, is ready again if it runs: it may be any moment now. */
void promises_give_back(struct promises *promises, uint64_t id);
/* One more job, that nothing was told of yet. */
struct promises_job *promises_add(struct promises *promises, size_t length);
struct promises_job *promises_find(struct promises *promises, uint64_t id);
/* What comes of a job; its payload is that of payload.h. */
size_t promises_result(char out[64], uint64_t number);

/* Compare with a log that was opened; `wrong` stays empty if all is as promised. `shared`: it was
 * not recovered, so what runs still runs. */
void promises_check(const struct promises *promises, quplog *log, enum promises_end end,
                    bool shared, char wrong[PROMISES_TEXT]);

#endif
