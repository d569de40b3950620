/* files.h: the segment files of an open log: which there are, and descriptors to read them by.
 *
 * Other processes add segments at the one end and remove them at the other. So the list is one of
 * what was found: whoever needs an LSN says by `head` where the newest segment begins, and if that
 * is not known yet, the directory is listed again. Descriptors are a bounded cache; one that is in
 * use is not closed, and reads what it has always read even if its file was removed meanwhile; but
 * it is no part of the log any more, and nobody else gets it: segments that came and went after it
 * would be looked for in it.
 *
 * All functions may be called from any thread.
 */
#ifndef QUPLOG_FILES_H
#define QUPLOG_FILES_H

#include "segment.h"

struct file {
    uint64_t base;
    uint64_t salt; /* 0: not read yet */
    uint64_t used; /* when it was last used, in files.uses */
    uint64_t size; /* of one that nobody writes to any more; 0: not looked at yet */
    int fd;        /* -1: not open */
    uint32_t users;
    bool present; /* the listing that is under way has found it */
};

struct files {
    const struct io *io;
    int dir;
    struct io_mutex mutex; /* guards what follows */
    struct file *list;     /* oldest first; those that are gone before all others */
    size_t count;
    size_t gone; /* so many of them were removed, and are still in use */
    size_t capacity;
    size_t open;
    uint64_t uses;
    bool closed;
};

/* A segment that is being read. */
struct file_use {
    uint64_t base;
    uint64_t salt;
    uint64_t next; /* the base of the segment after it; 0: it is the newest that is known */
    int fd;
};

void files_init(struct files *files, const struct io *io, int dir);
void files_free(struct files *files);
/* Use the segment that holds `lsn`, where the newest there is begins at `head`; to be given back.
 * QUPLOG_OK, _NOT_FOUND (it was removed), _NO_MEMORY, -errno. */
int files_borrow(struct files *files, uint64_t lsn, uint64_t head, struct file_use *use);
void files_give_back(struct files *files, const struct file_use *use);
/* Read exactly `length` bytes at `lsn`. QUPLOG_NOT_FOUND: removed. QUPLOG_CORRUPT: too short. */
int files_read(struct files *files, uint64_t lsn, uint64_t head, void *out, size_t length);
/* The oldest segment where the newest begins at `head`: where it begins, where its frames end, and
 * where the next one begins. QUPLOG_NOT_FOUND: it is the newest, which never goes. */
int files_oldest(struct files *files, uint64_t head, uint64_t *base, uint64_t *end,
                 uint64_t *next_base);
/* The number of segments that are known and their bytes; the newest reaches up to `zeroed`. Cheap:
 * a size is looked at once. 0 or -errno. */
int files_span(struct files *files, uint64_t zeroed, uint64_t *count, uint64_t *bytes);
/* Remove the segments that end at or before `first_lsn`, the oldest first. 0 or -errno. */
int files_trim(struct files *files, uint64_t first_lsn);
/* Close those that end at or before `first_lsn`, unless they are in use: another process removes
 * them, and the disk gets their room back when nobody has them open. */
void files_let_go(struct files *files, uint64_t first_lsn);
/* Their number and bytes. 0 or -errno. */
int files_measure(struct files *files, uint64_t *count, uint64_t *bytes);
/* Close all descriptors as soon as nobody uses them; later reads are QUPLOG_NOT_FOUND. */
void files_close(struct files *files);
/* In the child of a fork: close what this process has a copy of. */
void files_abandon(struct files *files);

#endif
