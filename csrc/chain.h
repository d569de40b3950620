/* chain.h: the segments of a directory as one history, and where that history ends.
 *
 * chain_open() lists the segments and finds those that form the log: from the newest one back, each
 * is the one that holds its successor's prev_end. Between prev_end and the successor's base lie
 * bytes that an earlier recovery gave up: they are never looked at again. chain_next() gives the
 * valid frames in order. When it has come to the end, chain_judge() says what the end is:
 *
 *   Let X be where the next frame would begin, and D the largest synced_lsn in any valid frame or
 *   segment header, those behind X included, and those of segments that stand under the name of
 *   another. If nothing but zeros and no segment follow X, the
 *   log ends cleanly there. Else, if X >= D, what stands at X is torn: it was never known to be
 *   durable, so nobody was told that it is. If X < D, acknowledged bytes are damaged: corrupt.
 *
 * A trimming unlinks the oldest segments, and a power cut may leave any of them. If an older one
 * does not reach the one behind it, and a TRIM says that the log begins behind the gap, then the
 * chain begins at the segment that holds the TRIM's first_lsn, and what is older is `trimmed`.
 * Leftovers without a gap are read like the rest. From first_lsn on nothing may be missing.
 *
 * Nothing here writes. Used by recovery and by those who read a log while others append to it,
 * rotate and trim. A listing may lack what was created while it ran, and name what is gone by
 * now. So the directory is listed again when a file is gone, and before an end is told; a frame
 * that was half written is then looked at once more. Who reads too slowly and finds that what
 * follows was trimmed is told so by QUPLOG_NOT_FOUND.
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
    bool misnamed;   /* no: it is that of another segment of this log */
    bool superseded; /* no part of the log: between a prev_end and the base of its segment */
    bool trimmed;    /* older than the log: to be removed once the end was not called corrupt */
};

enum chain_end { CHAIN_CLEAN, CHAIN_TORN, CHAIN_CORRUPT };

struct chain {
    const struct io *io;
    int dir;
    struct chain_file *files; /* every segment, by base */
    size_t count;
    size_t start;   /* the oldest that belongs to the log: all before are trimmed, superseded */
    size_t current; /* the one being read */
    int fd;         /* its descriptor; -1: not open yet */
    struct segment_cursor cursor;
    uint64_t lsn;       /* X so far */
    uint64_t durable;   /* D so far */
    uint64_t first_lsn; /* of the highest TRIM so far */
    uint64_t origin;    /* base of the segment that reading began with; 0 after chain_seek() ... */
    uint64_t unread;    /* ... and where the log before that ended: nothing counts between them */
    int64_t until_us;   /* stop before a frame later than this; 0: no limit */
    uint64_t until_lsn; /* stop before this LSN; 0: no limit */
    bool cut;           /* stopped by one of the two */
    bool moved;         /* chain_next() has yet to tell that the place was trimmed */
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
/* The next valid frame and its LSN; its body is good until the next call. QUPLOG_EMPTY at X: the
 * directory was listed once more and nothing follows yet; it may be called again.
 * QUPLOG_NOT_FOUND: what came next was trimmed, and the chain now stands at the oldest segment
 * behind it. Who tells what is there goes on; who builds a state must throw it away and begin
 * again, since what it holds may have ended in the part that it did not see. */
int chain_next(struct chain *chain, struct frame *frame, uint64_t *lsn);
/* List the directory again and keep the place: chain_next() goes on there, or says that it was
 * trimmed. -ENOENT if no later segment exists either. */
int chain_refresh(struct chain *chain);
/* At X, called corrupt: look once more, at the directory too. True if the history goes on there by
 * now: go on with chain_next(). */
bool chain_recheck(struct chain *chain);
/* At X: find D, name the end, and fill in the report. QUPLOG_NOT_FOUND: as chain_next(), which is
 * to be called to go on. */
int chain_judge(struct chain *chain, enum chain_end *end);
/* The frame at `lsn` is whole, but makes no sense to who applied it: fill in the report. */
void chain_blame(struct chain *chain, uint64_t lsn);
/* At X: whether the frames read make the whole state. If not, the log was trimmed, and X stands
 * before the TRIM: only a chain that was cut may end there. */
bool chain_whole(const struct chain *chain);

#endif
