/* open.h: opening over another world than the operating system's: for tests and simulators. */
#ifndef QUPLOG_OPEN_H
#define QUPLOG_OPEN_H

#include "io.h"
#include "quplog.h"

/* quplog_open() over `io`. The handle is closed and freed as usual. */
int open_with(const struct io *io, const char *path, const quplog_options *options, quplog **out,
              quplog_report *report);

#endif
