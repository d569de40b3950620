/* follow.h: the table of this process, brought up to where the log is now.
 *
 * A process that only puts jobs never builds one. Whoever decides or looks has the frames applied
 * that others appended since: read from the files, checked, and given to the same table_apply() as
 * everywhere. If what comes next was trimmed meanwhile, the table is built anew from the oldest
 * segment; names keep their numbers.
 */
#ifndef QUPLOG_FOLLOW_H
#define QUPLOG_FOLLOW_H

#include "core.h"

/* Apply a frame that stands in the log, a log_visit: also for who recovers. QUPLOG_NO_MEMORY,
 * _CORRUPT, _UNSUPPORTED: nothing has changed. */
int follow_apply(void *core, const struct frame *frame, uint64_t lsn);
/* Take `view` with a table that is as new as the tail was when this was called. QUPLOG_OK; without
 * it: _FAILED, _CORRUPT, _UNSUPPORTED, _NO_MEMORY, -errno. */
int follow_view(struct core *q);
void follow_unview(struct core *q);
/* With `view` held: apply what comes up to `end`, which is a tail. QUPLOG_NOT_FOUND: it was
 * trimmed, and the table has to be built anew. */
int follow_to(struct core *q, uint64_t end);

#endif
