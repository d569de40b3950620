/* fetch.h: read ops back from the log by their LSN: payloads, results, errors. */
#ifndef QUPLOG_FETCH_H
#define QUPLOG_FETCH_H

#include "commit.h"

/* Read the op at `lsn` into `bytes` (emptied; its memory is reused) and take it apart; its spans
 * point into `bytes`. QUPLOG_OK, _NOT_FOUND (trimmed), _CORRUPT, _NO_MEMORY, -errno. */
int fetch_op(struct core *q, uint64_t lsn, struct buffer *bytes, struct op *op);

/* The result (or reason) in the op that finished a job; data NULL if that op has none. */
struct span fetch_result(const struct op *op);
/* The error in a RETRY or FINISH op and the LSN of the op with the one before it. */
struct span fetch_error(const struct op *op, uint64_t *previous);

#endif
