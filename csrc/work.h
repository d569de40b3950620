/* work.h: what the pool's floor needs of the workers beyond quplog.h. */
#ifndef QUPLOG_WORK_H
#define QUPLOG_WORK_H

#include "commit.h"

/* Some lane has a ready job that this process could claim. With `append` or `view` held. */
bool work_claimable(quplog *q);

#endif
