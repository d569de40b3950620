/* jobs.h: all jobs by id: an array in pages, so that nothing is ever copied to grow it.
 *
 * Ids are dense but for jumps of 2^32 after a power cut, so there are two levels: regions (the high
 * 32 bits of an id; few) and pages of 256 jobs. A page lives while a job in it does; 96 bytes per
 * pending job hold for ids in a row, and a lone survivor costs up to one page. jobs_reserve() gets
 * memory; adding and removing cannot fail.
 */
#ifndef QUPLOG_JOBS_H
#define QUPLOG_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JOB_CANCEL_REQUESTED = 1 };

struct job {
    uint64_t put_lsn;   /* the PUT or COPY with its payload */
    uint64_t error_lsn; /* the op with its last error; 0: none */
    uint64_t when;      /* scheduled, retrying: due time; ready: its order; running: index of its
                           run; final: LSN of the op that finished it */
    int64_t created_us;
    int64_t started_us;
    int64_t finished_us;
    uint32_t live_length;    /* bytes that copying the job now would write: see table.h */
    uint32_t payload_length; /* of these, the payload's; 0 once it can't run again */
    uint32_t lane;
    uint32_t heap; /* position in the heap that its state keeps it in */
    uint16_t attempt;
    uint16_t retries;
    int8_t priority;
    uint8_t state; /* enum quplog_job_state; 0: no such job */
    uint8_t crashes;
    uint8_t flags;
};

struct jobs_region;

struct jobs {
    struct jobs_region *regions; /* by their high bits */
    size_t region_count;
    size_t count;
    size_t bytes;
    uint64_t round; /* pages reserved in this round stay, even if they become empty */
};

/* What was reserved so far has been used: reserve for a new frame. */
void jobs_begin(struct jobs *jobs);
/* Memory for the ids [first, first + n). False: none. */
bool jobs_reserve(struct jobs *jobs, uint64_t first, uint64_t n);
/* The job, or NULL. */
struct job *jobs_get(const struct jobs *jobs, uint64_t id);
/* The (zeroed) place of a new job that was reserved; give it a state before the next call. */
struct job *jobs_add(struct jobs *jobs, uint64_t id);
void jobs_remove(struct jobs *jobs, uint64_t id);
/* The next job with an id > after (backwards: < after); NULL: none. *id is set. */
struct job *jobs_next(const struct jobs *jobs, uint64_t after, bool backwards, uint64_t *id);
void jobs_free(struct jobs *jobs);

#endif
