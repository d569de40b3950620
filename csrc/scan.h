/* scan.h: what can still be read of a log that is damaged: for `verify`, `salvage` and proofs.
 *
 * A scan needs no chain. It goes over the segment files in the order of their bases, and over each
 * file frame by frame. Behind what is no valid frame it goes on by the length, if the length's own
 * check holds, else at every 8 bytes. A frame is taken whole or not at all: its sum, which is bound
 * to its place and its segment, must hold, and every op in it be one that a writer writes. So an op
 * that is handed out is one that was written, where it was written.
 *
 * A segment is known by its header and not by its name. Its header also says where the log before
 * it ended: what stands behind that in the older file was given up by a recovery, and is not read
 * again. Of two files of one segment the one with the right name is read. Files of another log than
 * the one that most of them are of are not read.
 *
 * A segment that has lost both copies of its header has lost its salt, but no more of a salt than
 * 32 bits has ever gone into a sum. They are found from the length check of any frame that is left,
 * and then hold for all others: see segment_find_salt(). That the file stands at its place in
 * this log is then to be shown by its neighbours, or by what was synced when it was written.
 *
 * Bytes that the device refuses to read (EIO) count as zeros, which are never a frame.
 *
 * What was durable and where the log begins is only known at the end: quplog_scan_judge(). To be
 * used by one thread; over any `struct io`, of which it needs open, close, list, stat, pread and,
 * to be alone, lock.
 */
#ifndef QUPLOG_SCAN_H
#define QUPLOG_SCAN_H

#include "io.h"
#include "quplog.h"

/* quplog_scan_open() over another world than the operating system's: for tests and simulators. */
int scan_open_with(const struct io *io, const char *path, bool alone, quplog_scan **out,
                   quplog_report *report);

#endif
