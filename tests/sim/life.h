/* life.h: a few processes at work on one log, in a world that may fail, and what they are told.
 *
 * Each verb makes one call of the core, judges its answer, and notes what it promises (promises.h).
 * An answer is good if it is the usual one. Another is only to be had while something fails:
 *
 *   in the call in which it fails    the error itself, as quplog.h names it
 *   within two seconds of it         QUPLOG_FULL, after a full disk, until there is a spare again
 *   ever after                       QUPLOG_FAILED, if what failed was a sync: then each verb that
 *                                    writes says so, to everybody
 *
 * What is only short, and a signal that comes while a call waits for the disk, no caller ever sees.
 * After the call in which something fails first, and at the end, every promise must hold for
 * whoever opens what a kill or a power cut would leave then. life_judge() is the rest: when all is
 * well again, who is still there goes on, or is told that the log has failed and lets go;
 * everything that was opened is closed; and the log can be opened again.
 */
#ifndef QUPLOG_SIM_LIFE_H
#define QUPLOG_SIM_LIFE_H

#include "disk.h"
#include "inject.h"
#include "promises.h"

enum { LIFE_PROCESSES = 4, LIFE_SEGMENT = 64 << 10, LIFE_WRONG = 600 };

struct life_process {
    const struct io *io; /* NULL: it was never started */
    struct io real;      /* what it is over, if its files are real */
    quplog *log;         /* NULL: closed */
    quplog_worker *seat;
    uint64_t running;    /* the job that the seat has; 0 */
    bool has_written;
    bool had_failed; /* its log had, before the present call */
};

struct life {
    struct disk *disk;
    struct inject *inject;
    struct promises promises;
    struct life_process processes[LIFE_PROCESSES];
    quplog_options options;
    uint64_t fired;    /* failures before the present call */
    int64_t failed_us; /* when something failed last */
    uint64_t chance;
    bool failed;       /* somebody was told that the log has failed */
    bool crashed;      /* it was looked what a crash after the first failure leaves */
    unsigned depth;    /* of calls of the core */
    bool heals;        /* it had failed before all this, and recovery writes again */
    bool real;         /* the files are real: see real_files.h */
    bool trace;
    char wrong[LIFE_WRONG]; /* what is not as it should be; empty: nothing is */
};

/* On a disk that is given away. */
void life_begin(struct life *life, struct disk *disk);
void life_end(struct life *life);

/* ---- verbs; `p` is the number of a process ---- */

/* False: it failed. */
bool life_open(struct life *life, int p);
void life_close(struct life *life, int p);
void life_kill(struct life *life, int p);
void life_put(struct life *life, int p, size_t length, bool sync, int64_t due_us);
/* `count` jobs in one frame. */
void life_batch(struct life *life, int p, int count, size_t length, bool sync);
/* Write the outcome of what runs, if anything does, and claim as `flags` say. */
void life_work(struct life *life, int p, int outcome, int64_t due_us, int flags);
void life_sync(struct life *life, int p);
/* Make the schedule, or let it tick with a job, in one frame. */
void life_tick(struct life *life, int p);
void life_pause(struct life *life, int p, bool paused);
/* Cancel the n-th job that was put, from 0. */
void life_cancel(struct life *life, int p, size_t n);
void life_compact(struct life *life, int p);
/* What a helper does, until it has slept a few times. */
void life_keep(struct life *life, int p);
/* Everything that can be looked at. */
void life_look(struct life *life, int p);
/* Open to read only, look, close. */
void life_read_only(struct life *life);
/* Read every record, as `verify` does. */
void life_verify(struct life *life);
/* Scan as `salvage` does. */
void life_scan(struct life *life);
void life_pass(struct life *life, int64_t us);
/* By the wall clock. */
int64_t life_now(struct life *life);
/* It dies in the middle of the write of a job. */
void life_kill_in_write(struct life *life, int p, size_t length);

/* ---- for verbs ---- */

/* Process p is there, if it was not. */
void life_start(struct life *life, int p);
/* Around a call of the core. */
void life_ask(struct life *life);
void life_answered(struct life *life);
/* Whether the log that process p has open has failed; there may be a newer one by now. */
bool life_has_failed(const struct life *life, int p);
/* Judge its answer: whether it went well; `other` is a usual answer too. */
bool life_told(struct life *life, int p, const char *verb, int status, int other);

/* ---- the judgement ---- */

void life_accuse(struct life *life, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What would be found after a kill of all, and after power cuts, now. */
void life_crash(struct life *life);
void life_judge(struct life *life);

#endif
