/* fetch.h: read ops back from the log by their LSN: payloads, results, errors; whole jobs.
 *
 * Nothing is locked while bytes are read, so compaction may move a job meanwhile and remove the
 * segment that it stood in: that is QUPLOG_NOT_FOUND. Whoever meets it looks the job up again; it
 * stands elsewhere then. What was read is good even if the job has moved since.
 */
#ifndef QUPLOG_FETCH_H
#define QUPLOG_FETCH_H

#include "commit.h"

/* Read the op at `lsn` into `bytes` (emptied; its memory is reused) and take it apart; its spans
 * point into `bytes`. QUPLOG_OK, _NOT_FOUND (trimmed), _CORRUPT, _NO_MEMORY, -errno. */
int fetch_op(struct core *q, uint64_t lsn, struct buffer *bytes, struct op *op);

/* The PUT or COPY of job `id`, which stood at put_lsn a moment ago, or, if it has moved, where it
 * stands now. As fetch_op(). */
int fetch_put(struct core *q, uint64_t id, uint64_t put_lsn, struct buffer *bytes, struct op *op);

/* Where the parts of a job stand, as the table says. */
struct fetch_places {
    uint64_t put_lsn;
    uint64_t error_lsn;
    uint64_t finish_lsn; /* 0: not finished */
};

struct fetched_error {
    uint64_t lsn; /* of the op that it was first written in */
    struct span text;
};

/* A whole job. All zero at first; reused by one call after the other, then freed. */
struct fetched {
    struct op put; /* or COPY */
    struct span result; /* or the reason; data NULL: none */
    bool result_dropped; /* there was one, but no room for it */
    struct fetched_error errors[OP_ATTEMPTS_KEPT]; /* the last ones, oldest first */
    size_t error_count;
    struct buffer put_bytes, finish_bytes, error_bytes[OP_ATTEMPTS_KEPT];
};

struct fetch_places fetch_places(const struct job *job);
/* Read all of a job, or, if its PUT or COPY is at hand, the rest of it. As fetch_op(). */
int fetch_job(struct core *q, const struct fetch_places *places, struct fetched *out);
int fetch_outcome(struct core *q, const struct fetch_places *places, const struct op *put,
                  struct fetched *out);
void fetch_free(struct fetched *fetched);

#endif
