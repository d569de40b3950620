/* table_check.h: whether a table agrees with itself: every count is that of a recount, every job
 * stands where it is looked for, and nothing else stands there. For tests of whatever makes tables.
 */
#ifndef QUPLOG_TABLE_CHECK_H
#define QUPLOG_TABLE_CHECK_H

#include "table.h"

/* NULL, or in words the first thing that is wrong. */
const char *table_fault(const struct table *table);

#endif
