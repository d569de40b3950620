/* faulty_io.h: the operating system with a mind to fail: a struct io around io_system().
 *
 * It counts the calls that change or sync files, makes the n-th of them fail or write only a part,
 * keeps the order in which they came, has a boot id of its own, and watches one promise all the
 * time: whatever a frame or a segment header calls synced was flushed before, its bytes and its
 * name. A breach is counted in `lies`; the test looks at it at the end.
 *
 *     struct faulty *f = faulty_new();
 *     faulty_fail(f, FAULTY_WRITE, 3, -EIO);
 *     open_with(faulty_io(f), ...);
 *
 * Each has its own registry, so two of them are like two processes (the locks are real). All
 * functions may be called from any thread.
 */
#ifndef QUPLOG_FAULTY_IO_H
#define QUPLOG_FAULTY_IO_H

#include "io.h"

enum faulty_kind {
    FAULTY_OPEN,
    FAULTY_READ,
    FAULTY_WRITE,
    FAULTY_SYNC,      /* fdatasync */
    FAULTY_DIRECTORY, /* fsync of a directory */
    FAULTY_RENAME,
    FAULTY_UNLINK,
    FAULTY_MKDIR,
    FAULTY_STAT,
    FAULTY_LIST,
    FAULTY_KINDS,
    FAULTY_ANY = FAULTY_KINDS, /* counts all of them together */
};

/* One call that changed or synced something, in the order of their ends. */
struct faulty_event {
    enum faulty_kind kind;
    char name[64];   /* the file, or the new name of a rename */
    uint64_t offset; /* of a write */
    uint64_t length;
    int status;
    bool frame; /* a write that begins with a frame */
};

struct faulty;

struct faulty *faulty_new(void);
void faulty_free(struct faulty *f);
const struct io *faulty_io(struct faulty *f);

/* From now on count `kind` from 1, and let the n-th call return `status` (< 0), nothing done. */
void faulty_fail(struct faulty *f, enum faulty_kind kind, uint64_t n, int status);
/* The n-th call and all after it. */
void faulty_fail_from(struct faulty *f, enum faulty_kind kind, uint64_t n, int status);
/* The n-th write from now on writes `length` bytes at most; what its caller does next fails with
 * `then` (0: nothing fails, it is only short). */
void faulty_short(struct faulty *f, uint64_t n, size_t length, int then);
/* No more failures. */
void faulty_behave(struct faulty *f);
/* Calls of `kind` since the last faulty_fail() or faulty_behave(). */
uint64_t faulty_count(struct faulty *f, enum faulty_kind kind);
/* Whether the failure that was ordered has happened. */
bool faulty_failed(struct faulty *f);

/* Another boot of the machine: boot ids are sixteen times this byte. */
void faulty_boot(struct faulty *f, unsigned char boot);

/* Forget the events so far and keep those to come (at most a few thousand). */
void faulty_record(struct faulty *f);
size_t faulty_events(struct faulty *f, const struct faulty_event **out);

/* Frames or headers that said more was synced than had been flushed. */
uint64_t faulty_lies(struct faulty *f);
/* Whether all frames below `lsn` that were written through here have been flushed. */
bool faulty_durable(struct faulty *f, uint64_t lsn);

/* Called before each fdatasync of a segment, outside every lock of this table; NULL: nothing. */
void faulty_before_sync(struct faulty *f, void (*call)(void *context), void *context);
/* Called after each read of a segment's frames, when its bytes are in the reader's hands. */
void faulty_after_read(struct faulty *f, void (*call)(void *context), void *context);
/* Called before each call of `kind` is made. */
void faulty_before(struct faulty *f, enum faulty_kind kind, void (*call)(void *context),
                   void *context);

#endif
