/* log.h: the log of a directory: append frames, read bytes, make them durable.
 *
 * The log knows bytes and frame kinds, never a job. Whoever appends holds the append lock (turn.h);
 * reads and flushes may come from any thread of any process at any time.
 *
 * One append: room for the frame is zeroed ahead if need be (here a full disk shows, before
 * anything is promised), the frame is written into zeros with one call, then the tail is published.
 * A segment that is full is followed by a new one that begins where it ends. Whoever appends finds
 * in the control page where the last one, perhaps of another process, has stopped; `dirty` stands
 * there while a write is under way, so that the next one finds out if its writer died: a frame that
 * is whole is accepted (its writer was never answered), what is not becomes zeros again.
 *
 * A full disk: what only takes in (PUT) is refused, and what must go on (CLAIM, FINISH, compaction:
 * `urgent`) gets the spare as its next segment, once, until there is room for a new spare.
 */
#ifndef QUPLOG_LOG_H
#define QUPLOG_LOG_H

#include "control.h"
#include "files.h"

enum { LOG_MIN_SEGMENT = 64 << 10, LOG_SPARE_MOST = 1 << 20 };

struct log {
    const struct io *io;
    struct control *control;
    int dir;
    unsigned char log_id[16];
    unsigned char boot_id[16];
    struct segment head; /* as of the last append of this process; fd -1: never */
    struct files files;
    int64_t spare_tried_us;
};

typedef int (*log_visit)(void *context, const struct frame *frame, uint64_t lsn);

/* A log of which nothing is known yet. */
void log_init(struct log *log, const struct io *io, struct control *control, int dir);
/* Learn what a process must know that joins others. The control page is ready. */
int log_join(struct log *log);
/* Close the files as soon as nobody reads or syncs them; later reads are QUPLOG_NOT_FOUND. */
void log_close(struct log *log);
/* Give back the memory of a closed log. */
void log_free(struct log *log);

/* ---- with the append lock held ---- */

/* Before anything else: know the head and the tail as they are now. If the last writer died, accept
 * or undo what it wrote; `visit` is told of every frame that is accepted, before the tail is
 * published, and *repaired is set. QUPLOG_OK, _FAILED (the page can't be believed), -errno. */
int log_begin(struct log *log, log_visit visit, void *context, bool *repaired);
/* Append one frame; its body sums to body_crc; it gives `ids` new ids from frame->first_id on.
 * *lsn is where it stands. The frame's length and synced_lsn are set here. QUPLOG_OK, _TOO_LARGE,
 * _FULL, _FAILED, -errno: nothing is in the log. */
int log_append(struct log *log, struct frame *frame, uint32_t body_crc, uint64_t ids, bool urgent,
               uint64_t *lsn);
/* Make a segment the head; `durable`: it is synced, and nobody else uses the log yet. */
int log_add_head(struct log *log, uint64_t base, uint64_t prev_end, uint64_t frame, bool durable);
/* Take up an existing segment as the head, its zeros reaching up to `zeroed`. */
int log_open_head(struct log *log, uint64_t base, uint64_t zeroed);

/* ---- at any time ---- */

/* Read exactly `length` bytes at `lsn`. QUPLOG_NOT_FOUND: trimmed. QUPLOG_CORRUPT: too short. */
int log_read(struct log *log, uint64_t lsn, void *out, size_t length);
/* Give `visit` the frames in [*at, end), at most `most` of them; *at moves behind the last that it
 * took. `end` is a tail. QUPLOG_OK, _NOT_FOUND (trimmed), _CORRUPT, -errno, or what visit said. */
int log_follow(struct log *log, struct segment_cursor *cursor, uint64_t *at, uint64_t end,
               size_t most, log_visit visit, void *context);
/* Sync the files that hold [from, to), and the directory if a segment begins there. 0; -EMFILE,
 * QUPLOG_NO_MEMORY: this process can't open them now; or a failure after which nothing about them
 * is known. For sync.c. */
int log_flush(void *log, uint64_t from, uint64_t to);
/* See that there is a spare. QUPLOG_FULL: there is no room for one. */
int log_make_spare(struct log *log);

#endif
