/* record.h: an op as the public API shows it: for those who read a log op by op. Pure. */
#ifndef QUPLOG_RECORD_H
#define QUPLOG_RECORD_H

#include "frame.h"
#include "op.h"

/* Fill in all but `frame_lsn`, and a PUT's `id`, which is counted by whoever takes the frame apart.
 * What the record points to stands in the op. */
void record_fill(quplog_record *out, const struct op *op, const struct frame *frame, uint64_t lsn);

/* Whether a frame of ops is one that a writer writes: QUPLOG_OK, QUPLOG_CORRUPT although its sum
 * holds, or QUPLOG_UNSUPPORTED. */
int record_check(const struct frame *frame);

#endif
