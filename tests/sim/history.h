/* history.h: every frame that was ever written to a simulated log, in its order, and what of it
 * must survive.
 *
 * It is told of each write to the disk. A frame is history as soon as its write has ended: from
 * then on a kill of any number of processes cannot undo it. What a caller was told moves two marks
 * over it: `durable`, below which nothing may be lost even by a power cut, and with each frame the
 * mark below which nothing may be lost by kills, which is simply its end.
 */
#ifndef QUPLOG_SIM_HISTORY_H
#define QUPLOG_SIM_HISTORY_H

#include "disk.h"
#include "model.h"

struct history_frame {
    uint64_t lsn, end;
    unsigned char *bytes;
    struct frame frame; /* its body points into `bytes` */
};

struct history_segment {
    uint64_t base, salt;
};

struct history {
    struct history_frame *frames;
    size_t count, room;
    struct history_segment *segments;
    size_t segment_count, segment_room;
    size_t told;         /* so many of the frames were acknowledged */
    size_t durable;      /* and so many as synced */
    uint64_t highest_id; /* of any job that was ever put, also of those that were lost */
    struct model now;    /* after all frames */
    struct model kept;   /* after the first `kept_count` of them, not more than `durable` */
    size_t kept_count;
    char wrong[200]; /* what no writer may do; empty: nothing */
};

struct history *history_new(void);
void history_free(struct history *history);
/* To be told of each call after it was made. */
void history_note(struct history *history, const struct disk_call *call, ssize_t status);
/* Somebody was told that the first `count` frames are written; `synced`: and durable. */
void history_tell(struct history *history, size_t count, bool synced);
/* The number of frames up to the one that put job `id`; 0: there is none. */
size_t history_put(const struct history *history, uint64_t id);
/* The same for the one with the outcome of its run `token`. */
size_t history_outcome(const struct history *history, uint64_t id, uint64_t token);
/* The number of frames that begin below `lsn`. */
size_t history_below(const struct history *history, uint64_t lsn);
/* The jobs after the first `count` frames, at least `durable` of them. To be freed. */
void history_model(struct history *history, size_t count, struct model *out);
/* A power cut has left the first `count` frames: the log goes on from there. */
void history_cut(struct history *history, size_t count);

#endif
