/* chain.h: the segments of a directory as one history, and where that history ends.
 *
 * chain_open() lists the segments and finds those that form the log: from the newest one back, each
 * is the one that holds its successor's prev_end. Between prev_end and the successor's base lie
 * bytes that an earlier recovery gave up: they are never looked at again. It begins with the oldest
 * there is, or, if the segment before one is missing and a TRIM says so, there. chain_next() gives
 * the valid frames in order. When it has come to the end, chain_judge() says what the end is:
 *
 *   Let X be where the next frame would begin, and D the largest synced_lsn in any valid frame or
 *   segment header, those behind X included. If nothing but zeros and no segment follow X, the
 *   log ends cleanly there. Else, if X >= D, what stands at X is torn: it was never known to be
 *   durable, so nobody was told that it is. If X < D, acknowledged bytes are damaged: corrupt.
 *
 * Nothing here writes. Used by recovery and by the tools that read a log beside its owner: since
 * the owner may be appending, chain_recheck() looks at X once more before it is called corrupt.
 */
#ifndef QUPLOG_CHAIN_H
#define QUPLOG_CHAIN_H

#include "quplog.h"
#include "segment.h"

struct chain_file {
    uint64_t base;
    uint64_t size;
    uint64_t end; /* offset behind the last byte that counts */
    struct segment_header header;
    bool valid;      /* its header is */
    bool superseded; /* lies between a prev_end and the base of the segment that has it */
};

enum { CHAIN_TRIES = 16 }; /* to read a log whose owner removes segments meanwhile */

enum chain_end { CHAIN_CLEAN, CHAIN_TORN, CHAIN_CORRUPT };

struct chain {
    const struct io *io;
    int dir;
    struct chain_file *files; /* every segment, by base */
    size_t count;
    size_t start;   /* the oldest that belongs to the log */
    size_t current; /* the one being read */
    int fd;         /* its descriptor; -1: not open yet */
    struct segment_cursor cursor;
    uint64_t lsn;       /* X so far */
    uint64_t durable;   /* D so far */
    uint64_t first_lsn; /* of the highest TRIM so far */
    int64_t until_us;   /* stop before a frame later than this; 0: no limit */
    uint64_t until_lsn; /* stop before this LSN; 0: no limit */
    bool cut;           /* stopped by one of the two */
    bool closing;       /* the last frame was written by a clean close */
    uint64_t total;     /* bytes to read, for a progress bar */
    quplog_report report;
};

/* Returns QUPLOG_OK with count 0 if there is no segment at all. _CORRUPT (the report names what),
 * _UNSUPPORTED, _NO_MEMORY, -errno. To be closed whatever it returned. */
int chain_open(struct chain *chain, const struct io *io, int dir);
void chain_close(struct chain *chain);
/* Begin at the frame at `lsn` (a frame's LSN, or 0) instead of the oldest. QUPLOG_NOT_FOUND. */
int chain_seek(struct chain *chain, uint64_t lsn);
/* The next valid frame and its LSN; its body is good until the next call. QUPLOG_EMPTY at X. */
int chain_next(struct chain *chain, struct frame *frame, uint64_t *lsn);
/* At X: read it again. True if a valid frame stands there now: go on with chain_next(). */
bool chain_recheck(struct chain *chain);
/* At X: find D, name the end, and fill in the report. */
int chain_judge(struct chain *chain, enum chain_end *end);

#endif
