/* sync.h: durability by group commit, across threads and processes, and what happens when it fails.
 *
 * Whoever needs an LSN to be durable calls sync_to(). One of them becomes the leader: it takes the
 * sync mutex of its process and the byte SYNC, reads the tail, syncs everything up to it, publishes
 * `synced` and wakes those whom that serves and one who leads next. The others sleep on the word
 * `durable`, each by the round that will serve it, in bounded slices after which they try to lead
 * themselves, so that nobody depends on a leader that was killed. There is no timer: a batch is
 * whatever arrived while the disk was busy. The append lock is never held during a sync.
 *
 * A sync that fails is never repeated: the kernel may have marked the pages clean. It poisons the
 * log: every later append and sync fails, and the marker file makes the next opener write the bytes
 * between D and the end again before it trusts them.
 */
#ifndef QUPLOG_SYNC_H
#define QUPLOG_SYNC_H

#include "control.h"
#include "lock.h"

struct sync {
    const struct io *io;
    struct control *control;
    const struct lock_file *lock;
    struct io_mutex mutex; /* of the process; held by who leads, or closes the files */
    int marker; /* descriptor of the file `poison`, made when the log is opened */
    /* Make the bytes [from, to) durable: files and directory. Set by the log. -EMFILE,
       QUPLOG_NO_MEMORY: it could not be tried, which is no failure: it, or another process, tries
       again. */
    int (*flush)(void *log, uint64_t from, uint64_t to);
    void *log;
};

/* Once, before anything else. */
void sync_init(struct sync *sync, const struct io *io, struct control *control,
               const struct lock_file *lock);
/* Open (create) the marker in `dir`; *poisoned says whether it is set. 0 or -errno. */
int sync_open(struct sync *sync, int dir, bool *poisoned);
/* Close the marker; the mutex stays for whoever still holds it, until the owner destroys it. */
void sync_close(struct sync *sync);
/* After a recovery has repaired what the failed sync left: clear the marker. */
int sync_heal(struct sync *sync);
/* Return when `synced` has reached `lsn`. QUPLOG_OK, _FAILED, _CLOSED, _INTERRUPTED; -EMFILE,
 * QUPLOG_NO_MEMORY: for ten seconds neither this process nor another could sync. */
int sync_to(struct sync *sync, uint64_t lsn);
/* Make everything durable, unless somebody is at it: he may stand still. */
int sync_try(struct sync *sync);
/* Fail this log from now on, for everybody who has it open. */
void sync_poison(struct sync *sync);

#endif
