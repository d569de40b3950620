/* reference.h: logs whose every byte is known, made to be damaged.
 *
 * Each is written by the core, on a disk in memory, by a seed, and is left in another way:
 *
 *   CLOSED      one segment of 64 KiB, closed cleanly
 *   KILLED      several segments, synced up to a place before the last; the process was killed
 *   COMPACTED   jobs were forgotten and copied forward, segments trimmed; killed
 *   TORN        a power cut took some of the end, and a recovery went on in a new segment
 *
 * All of them hold jobs in every state, batches, small and large payloads, results, errors, a
 * schedule and a paused queue. What each frame says is in the history; what the jobs are after any
 * number of frames, in a model of it.
 */
#ifndef QUPLOG_SIM_REFERENCE_H
#define QUPLOG_SIM_REFERENCE_H

#include "disk.h"
#include "history.h"
#include "segment.h"

enum reference_kind {
    REFERENCE_CLOSED,
    REFERENCE_KILLED,
    REFERENCE_COMPACTED,
    REFERENCE_TORN,
    REFERENCE_KINDS
};

enum { REFERENCE_FILES = 8, REFERENCE_AGES = 6, REFERENCE_SEGMENT = 64 << 10 };
#define REFERENCE_PATH "log/"

struct reference_file {
    char path[SEGMENT_NAME + sizeof REFERENCE_PATH];
    uint64_t base;
    unsigned char *bytes;
    size_t size;
    struct segment_header header;
    size_t first, end; /* its frames in the history */
};

struct reference {
    enum reference_kind kind;
    struct disk *disk; /* all durable, nothing open */
    struct history *history;
    struct reference_file files[REFERENCE_FILES]; /* by base */
    size_t file_count;
    size_t whole;          /* with fewer frames than so many the log does not hold all jobs */
    uint64_t acknowledged; /* all before this LSN was durable, and somebody may know */
    struct history_frame *given_up; /* by a recovery: no part of the history */
    size_t given_up_count;
    struct disk *ages[REFERENCE_AGES]; /* as it was at earlier times */
    size_t age_count;
    struct model full, part; /* after all frames, after `part_count` */
    size_t part_count;
};

struct reference *reference_new(enum reference_kind kind, uint64_t seed);
void reference_free(struct reference *reference);
const char *reference_name(enum reference_kind kind);
/* The jobs that an opening must find after the first `count` frames. Good until the next call. */
const struct model *reference_model(struct reference *reference, size_t count);

#endif
