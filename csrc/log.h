/* log.h: the log of a directory: recover it, append frames, read bytes, make them durable.
 *
 * The log knows bytes and frame kinds, never a job. Callers serialise appends (commit.c holds the
 * append lock); reads and flushes may come from any thread at any time.
 *
 * One append: room for the frame is zeroed ahead if need be (here a full disk shows, before
 * anything is promised), the frame is written into zeros with one call, then `tail` is published. A
 * segment that is full is followed by a new one that begins where it ends; the next sync owes both
 * files and the directory. A write that fails half-way leaves the tail where it was, and its bytes
 * are zeroed before the next append.
 */
#ifndef QUPLOG_LOG_H
#define QUPLOG_LOG_H

#include "chain.h"
#include "control.h"

enum { LOG_DEFAULT_SEGMENT = 16 << 20, LOG_MIN_SEGMENT = 64 << 10 };

/* A torn end makes the log jump by this: LSNs up to it may have been given out and lost. */
#define LOG_JUMP ((uint64_t)1 << 36)

struct log_segment {
    uint64_t base;
    uint64_t size;  /* readable bytes */
    int fd;         /* -1: not open */
    uint32_t users; /* who is reading or syncing it */
    uint64_t used;  /* when it was last used, in log.uses */
};

struct log {
    const struct io *io;
    struct control *control;
    int dir;
    unsigned char log_id[16];
    unsigned char boot_id[16];
    uint64_t segment_size;
    uint64_t first_lsn;
    uint64_t next; /* where the next frame goes */
    uint64_t dirty_end; /* bytes from `next` to here were touched by a failed append; 0: none */
    struct segment head;
    struct io_mutex files; /* guards what follows */
    struct log_segment *segments; /* oldest first; the last is the head */
    size_t count;
    size_t capacity;
    uint64_t uses;
    size_t open_files;
    _Atomic uint32_t directory_owed;
};

typedef int (*log_visit)(void *context, const struct frame *frame, uint64_t lsn);

struct log_opening {
    uint64_t segment_size; /* of a new log */
    uint64_t until_lsn;
    int64_t until_us;
    bool read_only;
    bool poisoned; /* the last owner's sync failed: write the bytes behind D again */
    log_visit visit; /* called for every valid frame, in order; not QUPLOG_OK stops */
    void *context;
    /* out */
    bool closing; /* the last owner closed it cleanly */
    bool torn;
    unsigned char boot_id[16]; /* of the system when the last segment that counts was created */
};

/* Open the log in directory `dir` and bring it to a state that can be appended to. Fills in
 * `report` on success and failure. QUPLOG_CORRUPT, _UNSUPPORTED, _FULL, _FAILED, _NO_MEMORY,
 * -errno, or what `visit` returned. To be closed and freed whatever it returned. */
int log_open(struct log *log, const struct io *io, struct control *control, int dir,
             struct log_opening *opening, quplog_report *report);
/* Close the files as soon as nobody reads or syncs them; later reads are QUPLOG_NOT_FOUND. */
void log_close(struct log *log);
/* Give back the memory of a closed log. */
void log_free(struct log *log);
/* Append one frame; its body sums to body_crc. *lsn is where it stands. The frame's length and
 * synced_lsn are set here. QUPLOG_OK, _TOO_LARGE, _FULL, _FAILED, -errno: nothing is in the log. */
int log_append(struct log *log, struct frame *frame, uint32_t body_crc, uint64_t *lsn);
/* Read exactly `length` bytes at `lsn`. QUPLOG_NOT_FOUND: trimmed. QUPLOG_CORRUPT: too short. */
int log_read(struct log *log, uint64_t lsn, void *out, size_t length);
/* Sync the files that hold [from, to), and the directory if it is owed. 0, or a failure after
 * which nothing about them is known. For sync.c. */
int log_flush(void *log, uint64_t from, uint64_t to);
/* How many segment files there are, and their bytes. */
void log_measure(struct log *log, uint64_t *segments, uint64_t *bytes);
/* The oldest segment's base, where its frames end, and where the next one begins; false if it is
 * the head, which never goes. */
bool log_oldest(struct log *log, uint64_t *base, uint64_t *end, uint64_t *next_base);
/* Remove the segments below `lsn`, oldest first, as soon as nobody reads them. A TRIM with this
 * first_lsn, and all below it, must be durable. 0 or -errno: the rest is still there. */
int log_trim(struct log *log, uint64_t lsn);

#endif
