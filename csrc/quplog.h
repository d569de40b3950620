/* quplog.h: the public C API of the job log.
 *
 * One `quplog` is an open log: a directory of segments, and the job table that was built from them.
 * Everything a caller can do to jobs goes through here; every change is one frame of the log.
 *
 * Conventions
 *   Returns     0 (QUPLOG_OK), a positive enum quplog_status, or a negative errno of the operating
 *               system. A call that fails has changed nothing, unless its comment says otherwise.
 *   Threads     every function may be called from any thread at any time, except that one batch,
 *               worker or reader belongs to one thread at a time. No function calls back.
 *   Ownership   what a function hands out as `T **out` belongs to the caller, who frees it with the
 *               function named there. Bytes passed in are copied before the call returns.
 *   Units       times are microseconds since 1970-01-01 UTC (0: none), but the deadline of a wait
 *               is a time of the monotonic clock (CLOCK_MONOTONIC); lengths are bytes; an LSN is a
 *               byte position in the log; job ids start at 1.
 *   Text        names are UTF-8 with a length; nothing is NUL-terminated unless it says so.
 *   Waiting     a call that waits returns QUPLOG_INTERRUPTED when a signal arrives, so that the
 *               caller can run its handlers and call again. Nothing was done then, unless its
 *               comment says otherwise.
 *   Processes   any number of them may have a log open at a time. A handle does not come through a
 *               fork: in the child all its calls are QUPLOG_CLOSED, and the log can be opened anew.
 *
 * What stands between the two cffi markers is given to cffi as it is: plain declarations only.
 */
#ifndef QUPLOG_H
#define QUPLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* cffi: begin */

enum quplog_status {
    QUPLOG_OK = 0,
    QUPLOG_EMPTY = 1,        /* nothing to claim; no further record */
    QUPLOG_TIMEOUT = 2,      /* the deadline passed while waiting */
    QUPLOG_INTERRUPTED = 3,  /* a signal arrived while waiting: run handlers, call again */
    QUPLOG_STOPPED = 4,      /* quplog_stop() was called: nothing more will be claimed */
    QUPLOG_NOT_FOUND = 5,    /* no such job or schedule, or it was forgotten */
    QUPLOG_STALE = 6,        /* the claim (or schedule version) is no longer the current one */
    QUPLOG_TOO_LARGE = 7,    /* payload, result or frame over its limit */
    QUPLOG_CORRUPT = 8,      /* acknowledged bytes of the log are damaged */
    QUPLOG_FULL = 9,         /* no space left on the device; nothing was written */
    QUPLOG_FAILED = 10,      /* a sync failed (poison): the outcome of this write is unknown */
    QUPLOG_LOCKED = 11,      /* another process did not let go in time; nothing was written */
    QUPLOG_CLOSED = 12,      /* the handle was closed, or came through a fork */
    QUPLOG_NOT_A_LOG = 13,   /* the directory holds something else */
    QUPLOG_UNSUPPORTED = 14, /* written by a newer version of quplog */
    QUPLOG_NO_MEMORY = 15,
    QUPLOG_INVALID = 16,     /* an argument breaks the rules of its comment */
    QUPLOG_READ_ONLY = 17,   /* the handle was opened read-only */
    QUPLOG_TICK = 18         /* a schedule is due: quplog_schedules(), then tick it */
};

enum quplog_limits {
    QUPLOG_PAYLOAD_MAX = 4194304, /* one payload, result or error */
    QUPLOG_FRAME_MAX = 67108864,  /* one frame: a batch with its headers */
    QUPLOG_NAME_MAX = 255,        /* one task, queue, schedule or tag name */
    QUPLOG_PRIORITY_MAX = 100     /* priorities go from -100 to 100 */
};

enum quplog_job_state {
    QUPLOG_WAITING = 1,   /* for another job */
    QUPLOG_SCHEDULED = 2, /* due later */
    QUPLOG_READY = 3,
    QUPLOG_RUNNING = 4,
    QUPLOG_RETRYING = 5,  /* failed, due again later */
    QUPLOG_SUCCEEDED = 6,
    QUPLOG_JOB_FAILED = 7, /* attempts used up: the dead letter */
    QUPLOG_CANCELLED = 8,
    QUPLOG_STATE_COUNT = 9
};

/* What a log record is about. The numbers are those of the log format (docs/FORMAT.md). */
enum quplog_op_type {
    QUPLOG_OP_OPEN = 1,
    QUPLOG_OP_WORKER = 2,
    QUPLOG_OP_PUT = 3,
    QUPLOG_OP_CLAIM = 4,
    QUPLOG_OP_FINISH = 5,
    QUPLOG_OP_RETRY = 6,
    QUPLOG_OP_RELEASE = 7,
    QUPLOG_OP_CANCEL = 8,
    QUPLOG_OP_COPY = 9,
    QUPLOG_OP_FORGET = 10,
    QUPLOG_OP_SETTINGS = 11,
    QUPLOG_OP_QUEUE = 12,
    QUPLOG_OP_SCHEDULE = 13,
    QUPLOG_OP_DUE = 14
};

/* How a run of a job ended, as told to quplog_work(). */
enum quplog_outcome {
    QUPLOG_NO_OUTCOME = 0,      /* nothing ran yet: only claim */
    QUPLOG_RUN_SUCCEEDED = 1,   /* data: the result */
    QUPLOG_RUN_FAILED = 2,      /* data: the error; the job is finished as failed */
    QUPLOG_RUN_CANCELLED = 3,   /* data: the reason */
    QUPLOG_RUN_RETRY = 4,       /* data: the error; due again at due_us; uses an attempt */
    QUPLOG_RUN_SNOOZE = 5,      /* due again at due_us; uses no attempt */
    QUPLOG_RUN_RELEASE = 6      /* interrupted: ready again at its old place; uses no attempt */
};

/* For quplog_work() and quplog_commit(). */
enum quplog_flags {
    QUPLOG_CLAIM_NEXT = 1, /* claim a job after the outcome is written */
    QUPLOG_WAIT = 2,       /* sleep until there is one to claim */
    QUPLOG_SYNC = 4,       /* return only after what was written is durable */
    QUPLOG_AT_ONCE = 8     /* commit: QUPLOG_LOCKED rather than sleep behind another writer */
};

/* How the log that was opened had been left. */
enum quplog_ending {
    QUPLOG_NEW = 0,
    QUPLOG_CLEAN = 1,
    QUPLOG_KILL = 2,
    QUPLOG_REBOOT = 3,
    QUPLOG_SHARED = 4 /* it was not left: other processes have it open */
};

typedef struct quplog quplog;
typedef struct quplog_worker quplog_worker;
typedef struct quplog_batch quplog_batch;
typedef struct quplog_reader quplog_reader;
typedef struct quplog_scan quplog_scan;

typedef struct quplog_options {
    uint64_t segment_size;       /* bytes; 0: as stored in the log, at first 16 MiB */
    int64_t keep_succeeded_us;   /* -1: as stored, at first 1 h (cancelled jobs too) */
    int64_t keep_failed_us;      /* -1: as stored, at first 7 days */
    int64_t flush_interval_us;   /* an unsynced frame becomes durable within this time */
    int64_t lock_timeout_us;     /* how long to wait for another process to let go */
    uint64_t until_lsn;          /* read-only: stop before this LSN; 0: no limit */
    int64_t until_us;            /* read-only: stop before the first frame after it; 0: no limit */
    bool read_only;              /* take no lock, write nothing; the state as of now */
} quplog_options;

/* What opening, verifying or reading found. `message` is a NUL-terminated sentence. */
typedef struct quplog_report {
    uint64_t frames;
    uint64_t ops;
    uint64_t bytes;          /* of valid frames and segment headers */
    uint64_t end_lsn;        /* where the last valid frame ends */
    uint64_t durable_lsn;    /* D: all before it is known to have been synced */
    uint64_t damage_lsn;     /* where the torn or corrupt frame begins; 0: none */
    uint64_t damage_offset;  /* the same as an offset in `file` */
    uint64_t torn_bytes;     /* set aside in quarantine/ (or: that recovery would set aside) */
    int32_t ending;          /* enum quplog_ending */
    char file[80];           /* the segment that `damage_lsn` lies in */
    char message[320];       /* why opening failed; else empty */
} quplog_report;

/* A kind of job, prepared once and used for every job of it. */
typedef struct quplog_spec {
    const char *task;
    const char *queue;
    const char *tags;        /* per tag: a length byte, then its UTF-8 bytes */
    const char *schedule;    /* the id of the schedule that the job comes from */
    uint32_t task_length;    /* 1..QUPLOG_NAME_MAX */
    uint32_t queue_length;   /* 1..QUPLOG_NAME_MAX */
    uint32_t tags_length;    /* 0: none; at most 4096 */
    uint32_t schedule_length;/* 0: none */
    uint32_t retries;        /* counted runs after the first; at most 65534 */
    int32_t priority;        /* higher first */
} quplog_spec;

typedef struct quplog_job_info {
    uint64_t id;
    uint64_t put_lsn;        /* the op that holds the payload */
    uint64_t token;          /* running: the LSN of its claim */
    int64_t created_us;
    int64_t due_us;          /* scheduled, retrying: when; else 0 */
    int64_t started_us;      /* the last run's start; 0: never ran */
    int64_t finished_us;     /* 0: not finished */
    uint32_t task;           /* numbers for quplog_name() */
    uint32_t queue;
    uint32_t attempt;        /* 0 before the first run, 1 during it */
    uint32_t retries;
    uint32_t crashes;
    int32_t priority;
    int32_t state;           /* enum quplog_job_state */
    bool cancel_requested;
} quplog_job_info;

typedef struct quplog_bytes {
    const char *data;
    size_t length;
} quplog_bytes;

/* A whole job, read from the log. Freed with quplog_job_free(), which frees all it points to. */
typedef struct quplog_job {
    quplog_job_info info;
    quplog_bytes payload;
    quplog_bytes tags;       /* as in quplog_spec */
    quplog_bytes schedule;
    quplog_bytes result;     /* succeeded: the result; cancelled: the reason */
    bool result_dropped;     /* there was a result, but the disk was full */
    const quplog_bytes *errors; /* of the failed attempts, oldest first, at most 20 */
    size_t error_count;
} quplog_job;

/* What a worker is to run. The payload is the worker's until its next call. */
typedef struct quplog_claim {
    uint64_t id;
    uint64_t token;          /* the LSN of the claim: the fencing token */
    int64_t created_us;
    int64_t started_us;
    quplog_bytes payload;
    uint32_t task;           /* the number that quplog_register() gave */
    uint32_t queue;          /* a number for quplog_name() */
    uint32_t attempt;
    uint32_t retries;
    uint32_t crashes;
    int32_t finish_status;   /* how writing the outcome went: quplog_work()'s first half */
    int32_t payload_status;  /* not QUPLOG_OK: the payload can't be read back; there is none */
} quplog_claim;

typedef struct quplog_schedule {
    quplog_bytes id;
    quplog_bytes rule;       /* the caller's own bytes */
    uint64_t version;        /* the LSN of its last change */
    int64_t next_us;
    int64_t last_us;         /* the last tick; 0: none yet */
    bool paused;
} quplog_schedule;

/* One op as it stands in the log. Pointers are the reader's until its next call. Fields that an op
 * does not have are zero. */
typedef struct quplog_record {
    uint64_t lsn;
    uint64_t frame_lsn;
    int64_t time_us;         /* when its frame was written */
    uint64_t id;             /* the job */
    uint64_t token;
    int64_t due_us;          /* PUT, RETRY, DUE; SCHEDULE: the next tick */
    uint64_t number;         /* OPEN: epoch; WORKER: process id; DUE: at most so many */
    uint64_t generation;     /* WORKER, CLAIM */
    int32_t type;            /* enum quplog_op_type */
    int32_t state;           /* FINISH: the final state; RETRY: retrying or scheduled */
    int32_t reason;          /* RELEASE, OPEN (enum quplog_ending) */
    int32_t priority;
    uint32_t retries;
    uint32_t slot;           /* WORKER, CLAIM */
    uint32_t attempt;        /* COPY */
    quplog_bytes task;
    quplog_bytes queue;
    quplog_bytes name;       /* SCHEDULE: id; WORKER: host */
    quplog_bytes data;       /* PUT: payload; FINISH: result; RETRY: error; SCHEDULE: rule */
} quplog_record;

/* What is wrong with a part of a log or, from _HEADER on, with a file, at the cost of no record. */
enum quplog_damage_kind {
    QUPLOG_DAMAGE_NONE = 0,
    QUPLOG_DAMAGE_FRAME = 1,     /* one frame, whose length can be believed, is not as written */
    QUPLOG_DAMAGE_BYTES = 2,     /* bytes that are no frame; there is no telling of how many */
    QUPLOG_DAMAGE_ZEROS = 3,     /* zeros where something had stood */
    QUPLOG_DAMAGE_MISSING = 4,   /* no file holds this part: removed, or cut off a file's end */
    QUPLOG_DAMAGE_UNCHECKED = 5, /* no header, so what stands behind it can't be checked */
    QUPLOG_DAMAGE_HEADER = 6,    /* no header, but its frames could be checked all the same */
    QUPLOG_DAMAGE_FOREIGN = 7,   /* a file of another log: it was not read */
    QUPLOG_DAMAGE_DUPLICATE = 8, /* a copy of a segment that stands in another file: not read */
    QUPLOG_DAMAGE_MISNAMED = 9   /* named for another place than its header says: read as that */
};

/* What a damage cost. */
enum quplog_loss {
    QUPLOG_LOSS_NOTHING = 0, /* no record stood there, or it was copied forward before */
    QUPLOG_LOSS_TORN = 1,    /* nobody had been told that what stood there was durable */
    QUPLOG_LOSS_DURABLE = 2  /* it had been acknowledged as durable */
};

typedef struct quplog_damage {
    int32_t kind;            /* enum quplog_damage_kind */
    uint32_t op_count;       /* _FRAME: the ops in it */
    uint64_t lsn, end_lsn;   /* the part of the log; of a file that was not read: 0 */
    uint64_t offset, length; /* where in `file`; _MISSING: how many bytes are missing */
    char file[80];           /* empty: there is none */
} quplog_damage;

enum quplog_scan_kind { QUPLOG_SCAN_OP = 1, QUPLOG_SCAN_TRIM = 2, QUPLOG_SCAN_DAMAGE = 3 };

/* What a scan came upon. Pointers are the scan's until its next call. Fields that do not belong to
 * what it is are zero. */
typedef struct quplog_scanned {
    int32_t kind;            /* enum quplog_scan_kind */
    uint32_t check;          /* OP: the CRC-32C of `op`, for quplog_scan_load() */
    quplog_record record;    /* OP; TRIM: lsn, frame_lsn and time_us */
    quplog_bytes op;         /* OP: the whole op as it stands */
    int64_t created_us;      /* COPY ... */
    int64_t started_us;
    int64_t finished_us;
    uint64_t ready_lsn;
    uint64_t finish_lsn;
    uint32_t crashes;
    bool cancel_requested;   /* ... COPY */
    uint64_t succeeded_below;/* FORGET; the ids are in record.data, 8 bytes each */
    uint64_t failed_below;   /* FORGET */
    int64_t last_us;         /* SCHEDULE */
    bool paused;             /* SCHEDULE */
    uint64_t first_lsn;      /* TRIM: all before it is gone */
    uint64_t next_id;        /* TRIM */
    quplog_damage damage;    /* DAMAGE */
} quplog_scanned;

typedef struct quplog_stats {
    uint64_t tail_lsn;
    uint64_t synced_lsn;
    uint64_t first_lsn;
    uint64_t next_id;
    uint64_t epoch;          /* how often the log was opened for writing */
    uint64_t segments;
    uint64_t disk_bytes;
    uint64_t table_bytes;    /* memory that the job table holds */
    uint64_t jobs;           /* entries in the table */
    uint64_t segment_size;
    int64_t keep_succeeded_us;
    int64_t keep_failed_us;
    int64_t next_due_us;     /* the next job or schedule; 0: none */
} quplog_stats;

/* ---- opening and closing -------------------------------------------------------------------- */

/* Open the log in directory `path` (NUL-terminated), creating both if need be. A second open of the
 * same directory in this process shares the first's log; each needs its own close.
 * `report` may be NULL; it is filled on success and on failure.
 * QUPLOG_LOCKED, _NOT_A_LOG, _CORRUPT, _UNSUPPORTED, _FAILED, _FULL, _NO_MEMORY or -errno. */
int quplog_open(const char *path, const quplog_options *options, quplog **out,
                quplog_report *report);
/* End one opening. The last one of the process flushes and gives back locks and descriptors, and
 * the last process writes a witness; calls that are under way in other threads end with
 * QUPLOG_CLOSED, as does every later one. A failure says that the last frames may not be durable;
 * the log is closed all the same. */
int quplog_close(quplog *log);
/* Give back the memory: once for each open, after its close, when no call can be under way. */
void quplog_free(quplog *log);
int quplog_read_stats(quplog *log, quplog_stats *out);
/* The bytes of name number `n` (from quplog_job_info or quplog_claim); they live as long as `log`
 * does. In a forked child: none. */
quplog_bytes quplog_name(quplog *log, uint32_t n);

/* ---- putting jobs --------------------------------------------------------------------------- */

/* Append one job. due_us 0: ready now. QUPLOG_FAILED: whether the job exists is not known. After
 * any other failure (_INTERRUPTED, _TOO_LARGE, _FULL, _LOCKED, ...) with *id 0 nothing was done;
 * with *id set the job exists, but is not yet known to be durable: call quplog_sync(). */
int quplog_put(quplog *log, const quplog_spec *spec, const char *payload, size_t length,
               int64_t due_us, bool sync, uint64_t *id);

/* A batch is one frame in preparation: all of it is appended, or nothing. Pure memory until
 * quplog_commit(); freed with quplog_batch_free(). NULL: no memory. */
quplog_batch *quplog_batch_new(void);
void quplog_batch_free(quplog_batch *batch);
/* A failed add leaves the batch as it was. */
int quplog_batch_put(quplog_batch *batch, const quplog_spec *spec, const char *payload,
                     size_t length, int64_t due_us);
/* Create or replace a schedule, if its version is still `expected` (0: it must not exist).
 * QUPLOG_STALE at the commit if not. An empty rule keeps the stored one (a tick). */
int quplog_batch_schedule(quplog_batch *batch, const char *id, size_t id_length, const char *rule,
                          size_t rule_length, int64_t next_us, int64_t last_us, bool paused,
                          uint64_t expected);
int quplog_batch_unschedule(quplog_batch *batch, const char *id, size_t length);
/* Append the batch as one frame and empty it. *first_id: the id of its first job; the i-th has
 * first_id + i. *lsn: pass it to quplog_sync_to(). Interrupted: as in quplog_put(), by *lsn.
 * flags: QUPLOG_SYNC, QUPLOG_AT_ONCE. */
int quplog_commit(quplog *log, quplog_batch *batch, int flags, uint64_t *first_id, uint64_t *lsn);

/* Copy forward what still counts of all segments that are full, and remove them: what a pool's
 * helper does by itself when the log has grown. QUPLOG_FULL, _CORRUPT, ...: some of it was done.
 * QUPLOG_INTERRUPTED, also when another process compacts for long: call again. */
int quplog_compact(quplog *log);

/* Wait until everything appended so far (or: up to `lsn`) is durable. */
int quplog_sync(quplog *log);
int quplog_sync_to(quplog *log, uint64_t lsn);

/* ---- running jobs --------------------------------------------------------------------------- */

/* Tell that this process can run `task`; *number is what its claims will carry. */
int quplog_register(quplog *log, const char *task, size_t length, uint32_t *number);
/* From now on claim from these queues only; a length byte and a name each; empty: from all. */
int quplog_serve(quplog *log, const char *queues, size_t length);

/* A worker is the seat of one thread that runs jobs; it remembers its claim, so that none is lost
 * between C and the caller. Freeing it releases the claim it still has. */
int quplog_worker_new(quplog *log, quplog_worker **out);
void quplog_worker_free(quplog_worker *worker);
/* Before its first claim: give the worker a slot of its own, for a child process that will run its
 * jobs. The child inherits *fd, and keeps it open as long as it lives: what it runs is taken for
 * dead only when child and worker are gone. *fd belongs to the worker. */
int quplog_worker_split(quplog_worker *worker, int *fd);
/* Where quplog_work() puts what it claimed; lives as long as the worker. */
const quplog_claim *quplog_worker_claim(const quplog_worker *worker);
/* Write the outcome of the worker's present claim, then claim the next job as `flags` say, in one
 * frame where both happen. Returns the status of the claim (QUPLOG_OK, _EMPTY, _STOPPED,
 * _INTERRUPTED, ...); the outcome's own status is in claim->finish_status (_STALE: another run
 * has taken over, the outcome was not written). If an outcome could not be written (_FULL, _LOCKED,
 * _INTERRUPTED) the worker keeps its claim and claims nothing, and the call returns that status
 * too: call again with the outcome. If it returns another one, the outcome was written, but (with
 * QUPLOG_SYNC) could not be made durable: call quplog_sync(), and not again with the outcome. A
 * result for which a full disk has no room is dropped, if what is left of the outcome fits. */
int quplog_work(quplog_worker *worker, int outcome, int64_t due_us, const char *data, size_t length,
                int flags);
/* From another thread: release the claim that `worker` has, as if it had been interrupted. What
 * its thread writes later is QUPLOG_STALE. */
int quplog_worker_release(quplog_worker *worker);

/* Stop claiming by this opening: its waiting workers and quplog_keep() return QUPLOG_STOPPED. */
void quplog_stop(quplog *log);
/* Begin to claim (again). */
void quplog_start(quplog *log);
/* The helper's whole duty: sleep until something is due, do it, and so on. Returns QUPLOG_TICK when
 * a schedule is due, else QUPLOG_STOPPED, _CLOSED or a failure. */
int quplog_keep(quplog *log);
/* Wait until no job is running, in any process, and none is ready that a live worker or this
 * opening could claim. What a process that died had been running is given back first.
 * deadline_us: 0 waits without end. QUPLOG_TIMEOUT, _INTERRUPTED. */
int quplog_wait_idle(quplog *log, int64_t deadline_us);

/* ---- looking at jobs and changing them ------------------------------------------------------ */

int quplog_info(quplog *log, uint64_t id, quplog_job_info *out);
int quplog_load(quplog *log, uint64_t id, quplog_job **out);
void quplog_job_free(quplog_job *job);
/* Up to `capacity` jobs with id > after in order of id (descending: id < after, 0: from the end).
 * states: a bit (1 << state) each, 0: all. task, queue: exact names, length 0: all.
 * since_us, until_us: created in [since, until), 0: open. */
int quplog_find(quplog *log, uint32_t states, const char *task, size_t task_length,
                const char *queue, size_t queue_length, int64_t since_us, int64_t until_us,
                uint64_t after, bool descending, quplog_job_info *out, size_t capacity,
                size_t *count);
/* counts[state] for each state; queue length 0: the whole log. */
int quplog_counts(quplog *log, const char *queue, size_t length, uint64_t *counts);
/* Wait until the job is finished. deadline_us: 0 waits without end.
 * QUPLOG_NOT_FOUND, _TIMEOUT, _INTERRUPTED. */
int quplog_wait_job(quplog *log, uint64_t id, int64_t deadline_us);
/* Wait until any job has finished since `*seen` (a counter, start with 0), and update it. */
int quplog_wait_finished(quplog *log, uint32_t *seen, int64_t deadline_us);
/* A pending job is cancelled at once; a running one is asked to stop (its info says so). QUPLOG_OK,
 * or QUPLOG_STALE if it had already finished. *lsn: to be given to quplog_sync_to(). */
int quplog_cancel(quplog *log, uint64_t id, uint64_t *lsn);
int quplog_pause(quplog *log, const char *queue, size_t length, bool paused, uint64_t *lsn);
int quplog_paused(quplog *log, const char *queue, size_t length, bool *paused);

/* All schedules (due_only: those whose time has come and that are not paused), in one block that
 * quplog_schedules_free() frees. */
int quplog_schedules(quplog *log, bool due_only, quplog_schedule **out, size_t *count);
void quplog_schedules_free(quplog_schedule *schedules);

/* The log's clock. */
int64_t quplog_now(quplog *log);

/* ---- reading the log ------------------------------------------------------------------------ */

/* Read the ops of a directory one by one from `lsn` on (0: the oldest), without any lock. It ends
 * at the live tail, a torn end or at damage: quplog_reader_report() tells which. */
int quplog_reader_open(const char *path, uint64_t lsn, quplog_reader **out, quplog_report *report);
/* QUPLOG_OK, QUPLOG_EMPTY at the end, QUPLOG_CORRUPT, QUPLOG_UNSUPPORTED. */
int quplog_reader_next(quplog_reader *reader, quplog_record *out);
/* From now on hand out only what concerns this job, or every job (OPEN, WORKER, DUE). 0: all. */
void quplog_reader_about(quplog_reader *reader, uint64_t id);
/* Check the next ops, at most `most`, without handing them out. Returns as quplog_reader_next(). */
int quplog_reader_skip(quplog_reader *reader, size_t most);
/* The report so far; `size` is the total of bytes to read, for a progress bar. */
void quplog_reader_report(quplog_reader *reader, quplog_report *out, uint64_t *size);
void quplog_reader_close(quplog_reader *reader);

/* ---- reading a damaged log ------------------------------------------------------------------ */

/* Go over every segment file in a directory, each by itself, and hand out every op that stands in a
 * valid frame, in the order of the log, and in between, at their places, the parts that are damaged
 * or missing. Nothing is written. alone: keep others from opening the log meanwhile;
 * QUPLOG_LOCKED if somebody has it open. _NOT_A_LOG, _UNSUPPORTED, _NO_MEMORY, -errno; `report`
 * (may be NULL) says why. */
int quplog_scan_open(const char *path, bool alone, quplog_scan **out, quplog_report *report);
/* QUPLOG_OK; _EMPTY at the end; _UNSUPPORTED, _NO_MEMORY, -errno. */
int quplog_scan_next(quplog_scan *scan, quplog_scanned *out);
/* Go on to the next damage, over at most `most` ops. QUPLOG_OK, with a damage or one of kind _NONE:
 * go on; else as quplog_scan_next(). */
int quplog_scan_damage(quplog_scan *scan, size_t most, quplog_damage *out);
/* At the end, when it is known what had been durable and where the log begins: enum quplog_loss. */
int quplog_scan_judge(const quplog_scan *scan, const quplog_damage *damage);
/* What was found so far; end_lsn: all that is known of the log is before it. `size` as above. */
void quplog_scan_report(const quplog_scan *scan, quplog_report *out, uint64_t *size);
/* An op that was handed out, once more. QUPLOG_OK; _CORRUPT: it is not what it was. */
int quplog_scan_load(quplog_scan *scan, uint64_t lsn, size_t length, uint32_t check,
                     quplog_bytes *op);
void quplog_scan_close(quplog_scan *scan);

/* ---- a log made of what was read of another ------------------------------------------------- */

/* What a scan found of a job, to be stored in another log. */
typedef struct quplog_saved {
    uint64_t id;
    uint64_t put_lsn;        /* of `put` */
    uint64_t ready_lsn;      /* READY: its place among the ready */
    uint64_t finish_lsn;     /* finished: the op that did it */
    int64_t created_us;
    int64_t due_us;
    int64_t started_us;
    int64_t finished_us;
    uint32_t attempt;
    uint32_t crashes;
    int32_t state;           /* enum quplog_job_state, but not RUNNING */
    quplog_bytes task;
    quplog_bytes queue;
    quplog_bytes put;        /* the PUT, or the last COPY, as it stood */
    quplog_bytes finish;     /* the FINISH behind it; empty: none */
    const quplog_bytes *errors; /* the RETRY and FINISH ops behind it with errors, oldest first */
    const uint64_t *error_lsns;
    size_t error_count;
} quplog_saved;

/* Make a log without a job in the (existing, empty) directory `path`. Its LSNs and its job ids go
 * on behind those of another log. QUPLOG_FULL, _INVALID, -errno: throw the directory away. */
int quplog_seed(const char *path, uint64_t end_lsn, uint64_t next_id);
/* Store a job under the id that it had. Not synced. QUPLOG_INVALID: it is not what a scan found. */
int quplog_restore(quplog *log, const quplog_saved *job);
/* Store a QUEUE or SETTINGS op as it stood. Not synced. */
int quplog_restore_op(quplog *log, const char *op, size_t length);

/* cffi: end */

#endif
