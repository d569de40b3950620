/* op.h: ops (one state change of one thing each) as bytes and as structs. Pure.
 *
 * An op is an 8-byte header (type u8, flags u8, check u16, length u32: all of it, unpadded), a
 * fixed part, then what varies; it is padded with zeros to 8 bytes. docs/FORMAT.md draws every
 * byte.
 *
 * A frame's sum covers its ops when a log is opened or verified. A payload is read long after that,
 * alone, from wherever its frame lies: the check is for then. Its 16 bits make no op longer.
 *
 * op_next() takes the ops of a frame's body apart one by one. It trusts nothing: each length is
 * checked against what encloses it. An unknown type that is not marked skippable, or an unknown
 * field of that kind, is OP_UNSUPPORTED; what no writer writes is OP_MALFORMED.
 *
 * The encoders append to a buffer: 0, or QUPLOG_NO_MEMORY / QUPLOG_INVALID / QUPLOG_TOO_LARGE with
 * the buffer as it was. Spans in a decoded op point into the body.
 */
#ifndef QUPLOG_OP_H
#define QUPLOG_OP_H

#include "bytes.h"
#include "quplog.h"

enum { OP_HEADER = 8, OP_PUT_NAMES = 32, OP_SKIPPABLE = 1 };

/* Bytes of an op before what varies. */
enum { OP_COPY_SIZE = 120, OP_QUEUE_SIZE = 32, OP_SCHEDULE_SIZE = 32, OP_SETTINGS_MOST = 48 };
/* An error in a COPY takes this and its text. */
enum { OP_COPY_ERROR = 16 };

enum { OP_ATTEMPTS_KEPT = 20 }; /* errors of a job that are shown, and that a COPY carries */
enum { OP_ERROR_KEPT = 16 << 10 }; /* of the text of an error that a COPY carries */

enum { OP_ID_BITS = 62 }; /* ids stay below 2^62: no sum with a count of jobs overflows */

enum op_release_reason { OP_RELEASE_STOP = 1, OP_RELEASE_CRASH = 2, OP_RELEASE_CANCEL = 3 };

/* What a job is made of, in PUT and COPY alike. */
struct op_job {
    struct span task, queue; /* queue and task empty in a PUT: those of the PUT before it */
    struct span fields;      /* tagged fields: op_field() */
    struct span payload;
    uint16_t retries;
    int8_t priority;
};

/* Tags of a job's optional fields. */
enum op_field_tag {
    OP_FIELD_TIMEOUT = 1,     /* u64 us */
    OP_FIELD_MAX_CRASHES = 2, /* u16 */
    OP_FIELD_KEY = 3,         /* u16 key_limit, then the key */
    OP_FIELD_UNIQUE = 4,      /* 16 B fingerprint, u64 end of its window in us, u16 state bits */
    OP_FIELD_IDEMPOTENCY = 5, /* the key */
    OP_FIELD_TAGS = 6,        /* per tag a length byte and its text */
    OP_FIELD_PARENT = 7,      /* u64: an id; with the top bit set, a PUT of this frame by number */
    OP_FIELD_SCHEDULE = 8,    /* the id of the schedule it comes from */
};

struct op_put {
    struct op_job job;
    int64_t due_us;
};

struct op_copy {
    struct op_job job;
    uint64_t id, token;
    int64_t due_us, created_us, ready_us, started_us, finished_us;
    uint64_t created_lsn, ready_lsn, finish_lsn;
    uint32_t generation;
    uint16_t slot, attempt;
    uint8_t state, crashes;
    bool cancel_requested, result_dropped;
    struct span errors; /* op_copy_error() */
    struct span result;
};

struct op_finish {
    uint64_t id, token;
    uint64_t previous_error; /* failed: the op with the job's error before this one; 0: none */
    struct span data;
    uint8_t state;
    bool dropped; /* there was a result, but no room for it */
};

struct op_retry {
    uint64_t id, token, previous_error;
    int64_t due_us;
    struct span data;
    uint8_t state; /* RETRYING, or SCHEDULED: snoozed, no attempt used */
};

struct op_schedule {
    struct span id, rule; /* an empty rule: as stored before */
    int64_t next_us, last_us;
    bool paused, removed;
};

struct op_settings {
    bool has_segment_size, has_keep_succeeded, has_keep_failed, has_archive;
    uint64_t segment_size;
    int64_t keep_succeeded_us, keep_failed_us;
    struct span archive;
};

struct op_queue {
    struct span name;
    bool paused;
    uint32_t max_running; /* 0: no limit */
    uint32_t rate;        /* so many starts ... */
    int64_t rate_us;      /* ... in this time; 0: no limit */
};

struct op_worker {
    struct span host, tasks; /* tasks: a length byte and a name each */
    uint16_t slot;
    uint32_t generation, process_id;
    int64_t started_us;
};

struct op {
    uint8_t type;
    uint32_t length; /* unpadded */
    union {
        struct { uint64_t epoch; unsigned char boot_id[16]; uint8_t ending; bool lost; } open;
        struct op_worker worker;
        struct op_put put;
        struct { uint64_t id; uint32_t generation; uint16_t slot; } claim;
        struct op_finish finish;
        struct op_retry retry;
        struct { uint64_t id, token; uint8_t reason; } release;
        struct { uint64_t id; } cancel;
        struct op_copy copy;
        struct { uint64_t succeeded_below, failed_below; struct span ids; } forget;
        struct op_settings settings;
        struct op_queue queue;
        struct op_schedule schedule;
        struct { int64_t until_us; uint64_t most; } due;
    } as;
};

enum op_verdict { OP_VALID = 0, OP_END = 1, OP_SKIPPED = 2, OP_MALFORMED = 3, OP_UNSUPPORTED = 4 };

/* Decode the op at *position of `body` and move on behind it. A PUT without names gets those of
 * the PUT before it from `names` (zeroed before a frame's first op; NULL: leave them empty). */
enum op_verdict op_next(struct span body, size_t *position, struct op *out, struct op_job *names);

/* Before they are appended: give the ops from `from` on their checks, and carry `sum`, the CRC of
 * the ops before them, on over them. */
uint32_t op_seal(struct buffer *ops, size_t from, uint32_t sum);
/* Whether these are the bytes of one op, padding included, as they were sealed. */
bool op_intact(struct span op);

/* The value of an optional field; data is NULL if there is none. */
struct span op_field(struct span fields, enum op_field_tag tag);

/* The n-th error kept in a COPY, and the LSN of the op that it was first written in. */
bool op_copy_error(struct span errors, size_t *position, uint64_t *lsn, struct span *error);
/* What a COPY carries of an error: its end says what went wrong; cut between two characters. */
struct span op_copy_kept(struct span text);
int op_copy_add_error(struct buffer *errors, uint64_t lsn, struct span error);
int op_add_field(struct buffer *fields, enum op_field_tag tag, struct span value);

int op_encode_put(struct buffer *b, const struct op_put *put);
int op_encode_copy(struct buffer *b, const struct op_copy *copy);
int op_encode_open(struct buffer *b, uint64_t epoch, const unsigned char boot_id[16],
                   enum quplog_ending ending, bool lost);
int op_encode_worker(struct buffer *b, const struct op_worker *worker);
int op_encode_claim(struct buffer *b, uint64_t id, uint16_t slot, uint32_t generation);
int op_encode_finish(struct buffer *b, const struct op_finish *finish);
int op_encode_retry(struct buffer *b, const struct op_retry *retry);
int op_encode_release(struct buffer *b, uint64_t id, uint64_t token, enum op_release_reason reason);
int op_encode_cancel(struct buffer *b, uint64_t id);
int op_encode_forget(struct buffer *b, uint64_t succeeded_below, uint64_t failed_below,
                     struct span ids);
int op_encode_settings(struct buffer *b, const struct op_settings *settings);
int op_encode_queue(struct buffer *b, const struct op_queue *queue);
int op_encode_schedule(struct buffer *b, const struct op_schedule *schedule);
int op_encode_due(struct buffer *b, int64_t until_us, uint64_t most);

#endif
