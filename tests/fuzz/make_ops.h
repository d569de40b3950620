/* make_ops.h: ops as an input says: such that they meet. Few jobs, few names, few times; a FINISH
 * mostly has the token of a claim that was made.
 */
#ifndef QUPLOG_MAKE_OPS_H
#define QUPLOG_MAKE_OPS_H

#include "fuzz.h"
#include "op.h"

enum { MAKER_CLAIMS = 8, MAKER_IDS = 24 };

/* What was made so far. All zero: nothing. */
struct maker {
    struct {
        uint64_t id, token;
    } claims[MAKER_CLAIMS]; /* the last of them */
    unsigned claim_count;
};

/* The ops of a frame at `lsn`, behind what stands in `ops`, which holds its body alone. Returns how
 * many were added. */
uint32_t make_ops(struct maker *maker, struct span *input, uint64_t lsn, struct buffer *ops);

#endif
