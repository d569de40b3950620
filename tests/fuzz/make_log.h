/* make_log.h: a directory of segments on a disk in memory, as an input says.
 *
 * The input is a list of edits, so that a fuzzer gets behind the sums: a segment begins here or
 * there, behind this or that LSN; a frame follows, sealed for its place; a few bytes are spoiled
 * after that, a file is cut, doubled, removed or put there. Numbers that stand for places in the
 * log are mostly chosen among those that mean something there.
 */
#ifndef QUPLOG_MAKE_LOG_H
#define QUPLOG_MAKE_LOG_H

#include "disk.h"
#include "fuzz.h"
#include "quplog.h"

#define MAKE_LOG "log"

/* Make the directory MAKE_LOG by the edits at the front of the input, up to their end mark or the
 * end of the input. What is made is durable. True: each segment has its name and says nothing that
 * no writer says of where it stands. */
bool make_log(struct disk *disk, struct span *input);
/* Open what was made, or whatever became of it, over `io`. */
int open_made(const struct io *io, bool read_only, quplog **log, quplog_report *report);
/* The directory has the same segments, byte for byte. */
void must_be_untouched(const struct disk *is, const struct disk *should);

#endif
