/* judge.h: what must be true of a log after a crash, and whether it is.
 *
 * A state is a disk as a crash left it. The judge opens the log that is on it and compares what it
 * finds with the history (history.h):
 *
 *   It opens            a power cut and kills are never corruption, poison or any other failure.
 *   A prefix            the jobs, with their payloads, results, errors, times and counts, and the
 *                       schedules and queues are those after the first k frames of the history,
 *                       with every run given back.
 *   Nothing is lost     k covers all that was acknowledged as synced; after kills alone, all.
 *   No id comes again   a new job's id is higher than any that was ever given.
 *   Again and again     a second recovery, after a kill or after a power cut in the middle of the
 *                       first one (up to JUDGE_DEPTH deep), finds the same.
 *   It goes on          what is put and finished after it, synced, survives the next cut.
 *
 * What it finds wrong first is kept as a sentence.
 */
#ifndef QUPLOG_SIM_JUDGE_H
#define QUPLOG_SIM_JUDGE_H

#include "history.h"
#include "quplog.h"

enum { JUDGE_DEPTH = 3, JUDGE_SEGMENT = 64 << 10, JUDGE_PAYLOAD = 24 << 10 };

struct judge {
    struct history *history;
    uint64_t chance;
    uint64_t states;                  /* judged */
    uint64_t kills;                   /* of them, without a power cut */
    uint64_t deep[JUDGE_DEPTH + 1];   /* power cuts by depth */
    enum disk_kind lie; /* the disk does so: see disk_lie(); DISK_KINDS: it does not */
    uint64_t calls; /* a sum over all calls of all processes of scenes: the same in each run */
    bool trace;
    char wrong[512]; /* empty: nothing */
};

/* Say what is wrong, if nothing was before. */
void judge_accuse(struct judge *judge, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Cut the power of this disk now, and judge. */
void judge_cut(struct judge *judge, const struct disk *disk, enum disk_fate fate);
/* Kill all processes at once, and judge. */
void judge_kill(struct judge *judge, const struct disk *disk);
/* Judge a disk that was cut already; it stays as it is. The number of frames that it holds. */
size_t judge_found(struct judge *judge, const struct disk *cut);

/* The options by which all logs here are opened. */
quplog_options judge_options(void);
/* Whether these bytes are the payload (payload.h) of some number. */
bool judge_is_payload(const void *bytes, size_t length);

#endif
