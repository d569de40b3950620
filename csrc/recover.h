/* recover.h: bring the log of a directory to a state that can be appended to, or that can be read.
 *
 * Only whoever has the log for itself recovers (open.c holds the lock OPEN exclusively), or who
 * reads and changes nothing. What was read is not what is durable: `synced` becomes D, the largest
 * synced_lsn in anything valid, never the tail. A torn end is set aside, and the log goes on in a
 * new segment: creating it, synced with its directory, is the one commit point. Before it, nothing
 * was changed that a repetition would miss.
 */
#ifndef QUPLOG_RECOVER_H
#define QUPLOG_RECOVER_H

#include "chain.h"
#include "log.h"

struct recovery {
    uint64_t segment_size; /* of a new log */
    uint64_t until_lsn;
    int64_t until_us;
    bool read_only;
    bool poisoned; /* a sync had failed: write the bytes behind D again */
    log_visit visit; /* called for every valid frame, in order; not QUPLOG_OK stops */
    void *context;
    /* out */
    bool closing; /* the last process closed it cleanly */
    bool torn;
    /* Of the boot in which the newest segment was made that has a frame: one that has none may be
       of a recovery that came no further. */
    unsigned char boot_id[16];
};

/* Recover, and fill in the control page, but for what only the table knows. Fills in `report` on
 * success and failure. QUPLOG_CORRUPT, _UNSUPPORTED, _FULL, _FAILED, _NO_MEMORY, -errno, or what
 * `visit` returned. */
int recover(struct log *log, struct recovery *recovery, quplog_report *report);

#endif
