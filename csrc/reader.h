/* reader.h: reading op by op over another world than the operating system's: for tests. */
#ifndef QUPLOG_READER_H
#define QUPLOG_READER_H

#include "io.h"
#include "quplog.h"

/* quplog_reader_open() over `io`. The reader is closed as usual. */
int reader_open_with(const struct io *io, const char *path, uint64_t lsn, quplog_reader **out,
                     quplog_report *report);

#endif
