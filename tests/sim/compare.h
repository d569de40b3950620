/* compare.h: whether an open log holds just what a model says. */
#ifndef QUPLOG_SIM_COMPARE_H
#define QUPLOG_SIM_COMPARE_H

#include "model.h"
#include "quplog.h"

enum { COMPARE_TEXT = 200 };

/* Compare all jobs, schedules and queues. What a job's bytes are (payload, tags, result, errors) is
 * read of one job in `share`, chosen by `draw`. False: `wrong` says what differs first. */
bool compare_log(quplog *log, const struct model *should, uint64_t draw, uint64_t share,
                 char wrong[COMPARE_TEXT]);

#endif
