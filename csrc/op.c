/* op.c: see op.h. One decoder and one encoder for each type, side by side. */
#include "op.h"

#include "crc32c.h"

/* ---- the common parts ---- */

/* Take `n` bytes off the front of `rest`; false if there are fewer. */
static bool take(struct span *rest, size_t n, struct span *out)
{
    if (rest->length < n)
        return false;
    out->data = rest->data;
    out->length = n;
    rest->data += n;
    rest->length -= n;
    return true;
}

/* Room for a whole op with its header written and everything else zero. */
static unsigned char *op_begin(struct buffer *b, enum quplog_op_type type, size_t length)
{
    size_t padded = align8(length);
    unsigned char *p = buffer_room(b, padded);
    if (!p)
        return NULL;
    memset(p, 0, padded);
    p[0] = (unsigned char)type;
    put_u32(p + 4, (uint32_t)length);
    b->length += padded;
    return p;
}

static unsigned char *put_span(unsigned char *p, struct span s)
{
    if (s.length)
        memcpy(p, s.data, s.length);
    return p + s.length;
}

/* ---- tagged fields: tag u8, flags u8 (OP_SKIPPABLE), length u16, value ---- */

enum { FIELD_HEADER = 4 };

static bool next_field(struct span *rest, unsigned char *tag, bool *skippable, struct span *value)
{
    struct span head;
    if (!take(rest, FIELD_HEADER, &head))
        return false;
    *tag = head.data[0];
    *skippable = head.data[1] & OP_SKIPPABLE;
    return take(rest, get_u16(head.data + 2), value);
}

static enum op_verdict check_fields(struct span fields, unsigned char last_known)
{
    while (fields.length) {
        unsigned char tag;
        bool skippable;
        struct span value;
        if (!next_field(&fields, &tag, &skippable, &value) || tag == 0)
            return OP_MALFORMED;
        if (tag > last_known && !skippable)
            return OP_UNSUPPORTED;
    }
    return OP_VALID;
}

static struct span find_field(struct span fields, unsigned char wanted)
{
    while (fields.length) {
        unsigned char tag;
        bool skippable;
        struct span value;
        if (!next_field(&fields, &tag, &skippable, &value))
            break;
        if (tag == wanted)
            return value;
    }
    return (struct span){NULL, 0};
}

static int add_field(struct buffer *fields, unsigned char tag, struct span value)
{
    if (value.length > UINT16_MAX)
        return QUPLOG_TOO_LARGE;
    unsigned char *p = buffer_room(fields, FIELD_HEADER + value.length);
    if (!p)
        return QUPLOG_NO_MEMORY;
    p[0] = tag;
    p[1] = 0;
    put_u16(p + 2, (uint16_t)value.length);
    put_span(p + FIELD_HEADER, value);
    fields->length += FIELD_HEADER + value.length;
    return QUPLOG_OK;
}

struct span op_field(struct span fields, enum op_field_tag tag)
{
    return find_field(fields, (unsigned char)tag);
}

int op_add_field(struct buffer *fields, enum op_field_tag tag, struct span value)
{
    return add_field(fields, (unsigned char)tag, value);
}

/* ---- PUT:  8 due_us  16 payload u32  20 fields u16  22 task u8  23 queue u8
 *           24 retries u16  26 priority i8  27 zero  32 task, queue, fields, payload ---- */

enum { PUT_FIXED = OP_PUT_NAMES };

static enum op_verdict check_job(const struct op_job *job)
{
    if (job->priority < -QUPLOG_PRIORITY_MAX || job->priority > QUPLOG_PRIORITY_MAX)
        return OP_MALFORMED;
    return check_fields(job->fields, OP_FIELD_SCHEDULE);
}

static enum op_verdict decode_put(struct span rest, const unsigned char *p, struct op_put *put,
                                  struct op_job *names)
{
    struct op_job *job = &put->job;
    put->due_us = get_i64(p + 8);
    job->retries = get_u16(p + 24);
    job->priority = (int8_t)p[26];
    if (!take(&rest, p[22], &job->task) || !take(&rest, p[23], &job->queue) ||
        !take(&rest, get_u16(p + 20), &job->fields) ||
        !take(&rest, get_u32(p + 16), &job->payload) || rest.length)
        return OP_MALFORMED;
    if (names) {
        if (job->task.length == 0) {
            job->task = names->task;
            job->queue = names->queue;
        }
        if (job->task.length == 0 || job->queue.length == 0)
            return OP_MALFORMED;
        *names = *job;
    }
    return check_job(job);
}

static int check_sizes(const struct op_job *job)
{
    if (job->task.length > QUPLOG_NAME_MAX || job->queue.length > QUPLOG_NAME_MAX ||
        job->fields.length > UINT16_MAX)
        return QUPLOG_INVALID;
    return job->payload.length > QUPLOG_PAYLOAD_MAX ? QUPLOG_TOO_LARGE : QUPLOG_OK;
}

int op_encode_put(struct buffer *b, const struct op_put *put)
{
    const struct op_job *job = &put->job;
    int status = check_sizes(job);
    if (status)
        return status;
    size_t names = job->task.length + job->queue.length;
    unsigned char *p =
        op_begin(b, QUPLOG_OP_PUT, PUT_FIXED + names + job->fields.length + job->payload.length);
    if (!p)
        return QUPLOG_NO_MEMORY;
    put_i64(p + 8, put->due_us);
    put_u32(p + 16, (uint32_t)job->payload.length);
    put_u16(p + 20, (uint16_t)job->fields.length);
    p[22] = (unsigned char)job->task.length;
    p[23] = (unsigned char)job->queue.length;
    put_u16(p + 24, job->retries);
    p[26] = (unsigned char)job->priority;
    p = put_span(p + PUT_FIXED, job->task);
    p = put_span(p, job->queue);
    p = put_span(p, job->fields);
    put_span(p, job->payload);
    return QUPLOG_OK;
}

/* ---- COPY:  8 id  16 token  24 due_us  32 created_us  40 ready_us  48 started_us
 *            56 finished_us  64 created_lsn  72 ready_lsn  80 finish_lsn  88 generation u32
 *            92 slot u16  94 attempt u16  96 retries u16  98 state u8  99 crashes u8
 *           100 priority i8  101 flags u8 (1: cancel requested)  102 fields u16  104 payload u32
 *           108 result u32  112 errors u32  116 task u8  117 queue u8  118 zero
 *           120 task, queue, fields, errors, result, payload ---- */

enum { COPY_FIXED = OP_COPY_SIZE, COPY_CANCEL_REQUESTED = 1, COPY_RESULT_DROPPED = 2 };

static enum op_verdict decode_copy(struct span rest, const unsigned char *p, struct op_copy *copy)
{
    struct op_job *job = &copy->job;
    copy->id = get_u64(p + 8);
    copy->token = get_u64(p + 16);
    copy->due_us = get_i64(p + 24);
    copy->created_us = get_i64(p + 32);
    copy->ready_us = get_i64(p + 40);
    copy->started_us = get_i64(p + 48);
    copy->finished_us = get_i64(p + 56);
    copy->created_lsn = get_u64(p + 64);
    copy->ready_lsn = get_u64(p + 72);
    copy->finish_lsn = get_u64(p + 80);
    copy->generation = get_u32(p + 88);
    copy->slot = get_u16(p + 92);
    copy->attempt = get_u16(p + 94);
    job->retries = get_u16(p + 96);
    copy->state = p[98];
    copy->crashes = p[99];
    job->priority = (int8_t)p[100];
    copy->cancel_requested = p[101] & COPY_CANCEL_REQUESTED;
    copy->result_dropped = p[101] & COPY_RESULT_DROPPED;
    if (!take(&rest, p[116], &job->task) || !take(&rest, p[117], &job->queue) ||
        !take(&rest, get_u16(p + 102), &job->fields) ||
        !take(&rest, get_u32(p + 112), &copy->errors) ||
        !take(&rest, get_u32(p + 108), &copy->result) ||
        !take(&rest, get_u32(p + 104), &job->payload) || rest.length)
        return OP_MALFORMED;
    if (copy->id == 0 || copy->id >> OP_ID_BITS || !job->task.length || !job->queue.length ||
        copy->state < QUPLOG_WAITING || copy->state >= QUPLOG_STATE_COUNT)
        return OP_MALFORMED;
    size_t position = 0;
    uint64_t lsn;
    struct span error;
    while (op_copy_error(copy->errors, &position, &lsn, &error))
        continue;
    return position == copy->errors.length ? check_job(job) : OP_MALFORMED;
}

int op_encode_copy(struct buffer *b, const struct op_copy *copy)
{
    const struct op_job *job = &copy->job;
    int status = check_sizes(job);
    if (status)
        return status;
    size_t names = job->task.length + job->queue.length;
    unsigned char *p = op_begin(b, QUPLOG_OP_COPY,
                                COPY_FIXED + names + job->fields.length + copy->errors.length +
                                    copy->result.length + job->payload.length);
    if (!p)
        return QUPLOG_NO_MEMORY;
    put_u64(p + 8, copy->id);
    put_u64(p + 16, copy->token);
    put_i64(p + 24, copy->due_us);
    put_i64(p + 32, copy->created_us);
    put_i64(p + 40, copy->ready_us);
    put_i64(p + 48, copy->started_us);
    put_i64(p + 56, copy->finished_us);
    put_u64(p + 64, copy->created_lsn);
    put_u64(p + 72, copy->ready_lsn);
    put_u64(p + 80, copy->finish_lsn);
    put_u32(p + 88, copy->generation);
    put_u16(p + 92, copy->slot);
    put_u16(p + 94, copy->attempt);
    put_u16(p + 96, job->retries);
    p[98] = copy->state;
    p[99] = copy->crashes;
    p[100] = (unsigned char)job->priority;
    p[101] = (unsigned char)((copy->cancel_requested ? COPY_CANCEL_REQUESTED : 0) |
                             (copy->result_dropped ? COPY_RESULT_DROPPED : 0));
    put_u16(p + 102, (uint16_t)job->fields.length);
    put_u32(p + 104, (uint32_t)job->payload.length);
    put_u32(p + 108, (uint32_t)copy->result.length);
    put_u32(p + 112, (uint32_t)copy->errors.length);
    p[116] = (unsigned char)job->task.length;
    p[117] = (unsigned char)job->queue.length;
    p = put_span(p + COPY_FIXED, job->task);
    p = put_span(p, job->queue);
    p = put_span(p, job->fields);
    p = put_span(p, copy->errors);
    p = put_span(p, copy->result);
    put_span(p, job->payload);
    return QUPLOG_OK;
}

/* Errors in a COPY: lsn u64, length u32, zero u32, text; padded to 8. */
bool op_copy_error(struct span errors, size_t *position, uint64_t *lsn, struct span *error)
{
    if (errors.length - *position < 16)
        return false;
    const unsigned char *p = errors.data + *position;
    size_t length = get_u32(p + 8);
    if (errors.length - *position - 16 < align8(length))
        return false;
    *lsn = get_u64(p);
    *error = (struct span){p + 16, length};
    *position += 16 + align8(length);
    return true;
}

struct span op_copy_kept(struct span text)
{
    if (text.length <= OP_ERROR_KEPT)
        return text;
    const unsigned char *from = text.data + (text.length - OP_ERROR_KEPT);
    const unsigned char *end = text.data + text.length;
    while (from < end && (*from & 0xc0) == 0x80)
        from++;
    return (struct span){from, (size_t)(end - from)};
}

int op_copy_add_error(struct buffer *errors, uint64_t lsn, struct span error)
{
    size_t length = 16 + align8(error.length);
    unsigned char *p = buffer_room(errors, length);
    if (!p)
        return QUPLOG_NO_MEMORY;
    memset(p, 0, length);
    put_u64(p, lsn);
    put_u32(p + 8, (uint32_t)error.length);
    put_span(p + 16, error);
    errors->length += length;
    return QUPLOG_OK;
}

/* ---- OPEN:  8 epoch  16 boot_id 16 B  32 ending u8  33 flags u8 (1: lost) ---- */

enum { OPEN_FIXED = 40, OPEN_LOST = 1 };

int op_encode_open(struct buffer *b, uint64_t epoch, const unsigned char boot_id[16],
                   enum quplog_ending ending, bool lost)
{
    unsigned char *p = op_begin(b, QUPLOG_OP_OPEN, OPEN_FIXED);
    if (!p)
        return QUPLOG_NO_MEMORY;
    put_u64(p + 8, epoch);
    memcpy(p + 16, boot_id, 16);
    p[32] = (unsigned char)ending;
    p[33] = lost ? OPEN_LOST : 0;
    return QUPLOG_OK;
}

static enum op_verdict decode_open(const unsigned char *p, struct op *op)
{
    op->as.open.epoch = get_u64(p + 8);
    memcpy(op->as.open.boot_id, p + 16, 16);
    op->as.open.ending = p[32];
    op->as.open.lost = p[33] & OPEN_LOST;
    return p[32] <= QUPLOG_REBOOT ? OP_VALID : OP_MALFORMED;
}

/* ---- WORKER:  8 slot u16  10 host u16  12 generation u32  16 process_id u32  20 tasks u32
 *              24 started_us  32 host, tasks ---- */

enum { WORKER_FIXED = 32 };

static enum op_verdict decode_worker(struct span rest, const unsigned char *p, struct op_worker *w)
{
    w->slot = get_u16(p + 8);
    w->generation = get_u32(p + 12);
    w->process_id = get_u32(p + 16);
    w->started_us = get_i64(p + 24);
    bool whole = take(&rest, get_u16(p + 10), &w->host) && take(&rest, get_u32(p + 20), &w->tasks);
    return whole && !rest.length ? OP_VALID : OP_MALFORMED;
}

int op_encode_worker(struct buffer *b, const struct op_worker *w)
{
    unsigned char *p =
        op_begin(b, QUPLOG_OP_WORKER, WORKER_FIXED + w->host.length + w->tasks.length);
    if (!p)
        return QUPLOG_NO_MEMORY;
    put_u16(p + 8, w->slot);
    put_u16(p + 10, (uint16_t)w->host.length);
    put_u32(p + 12, w->generation);
    put_u32(p + 16, w->process_id);
    put_u32(p + 20, (uint32_t)w->tasks.length);
    put_i64(p + 24, w->started_us);
    put_span(put_span(p + WORKER_FIXED, w->host), w->tasks);
    return QUPLOG_OK;
}

/* ---- CLAIM:  8 id  16 slot u16  20 generation u32 ---- */

enum { CLAIM_FIXED = 24 };

int op_encode_claim(struct buffer *b, uint64_t id, uint16_t slot, uint32_t generation)
{
    unsigned char *p = op_begin(b, QUPLOG_OP_CLAIM, CLAIM_FIXED);
    if (!p)
        return QUPLOG_NO_MEMORY;
    put_u64(p + 8, id);
    put_u16(p + 16, slot);
    put_u32(p + 20, generation);
    return QUPLOG_OK;
}

/* ---- FINISH:  8 id  16 token  24 state u8  25 flags u8 (1: result dropped)  28 data u32
 *              32 [failed: previous_error u64]  data ---- */

enum { FINISH_FIXED = 32, FINISH_DROPPED = 1 };

static enum op_verdict decode_finish(struct span rest, const unsigned char *p, struct op_finish *f)
{
    struct span previous;
    f->id = get_u64(p + 8);
    f->token = get_u64(p + 16);
    f->state = p[24];
    f->dropped = p[25] & FINISH_DROPPED;
    f->previous_error = 0;
    if (f->state != QUPLOG_SUCCEEDED && f->state != QUPLOG_JOB_FAILED &&
        f->state != QUPLOG_CANCELLED)
        return OP_MALFORMED;
    if (f->state == QUPLOG_JOB_FAILED) {
        if (!take(&rest, 8, &previous))
            return OP_MALFORMED;
        f->previous_error = get_u64(previous.data);
    }
    return take(&rest, get_u32(p + 28), &f->data) && !rest.length ? OP_VALID : OP_MALFORMED;
}

int op_encode_finish(struct buffer *b, const struct op_finish *f)
{
    if (f->data.length > QUPLOG_PAYLOAD_MAX)
        return QUPLOG_TOO_LARGE;
    size_t link = f->state == QUPLOG_JOB_FAILED ? 8 : 0;
    unsigned char *p = op_begin(b, QUPLOG_OP_FINISH, FINISH_FIXED + link + f->data.length);
    if (!p)
        return QUPLOG_NO_MEMORY;
    put_u64(p + 8, f->id);
    put_u64(p + 16, f->token);
    p[24] = f->state;
    p[25] = f->dropped ? FINISH_DROPPED : 0;
    put_u32(p + 28, (uint32_t)f->data.length);
    if (link)
        put_u64(p + FINISH_FIXED, f->previous_error);
    put_span(p + FINISH_FIXED + link, f->data);
    return QUPLOG_OK;
}

/* ---- RETRY:  8 id  16 token  24 due_us  32 previous_error  40 state u8  44 data u32
 *             48 data ---- */

enum { RETRY_FIXED = 48 };

static enum op_verdict decode_retry(struct span rest, const unsigned char *p, struct op_retry *r)
{
    r->id = get_u64(p + 8);
    r->token = get_u64(p + 16);
    r->due_us = get_i64(p + 24);
    r->previous_error = get_u64(p + 32);
    r->state = p[40];
    if (r->state != QUPLOG_RETRYING && r->state != QUPLOG_SCHEDULED)
        return OP_MALFORMED;
    return take(&rest, get_u32(p + 44), &r->data) && !rest.length ? OP_VALID : OP_MALFORMED;
}

int op_encode_retry(struct buffer *b, const struct op_retry *r)
{
    if (r->data.length > QUPLOG_PAYLOAD_MAX)
        return QUPLOG_TOO_LARGE;
    unsigned char *p = op_begin(b, QUPLOG_OP_RETRY, RETRY_FIXED + r->data.length);
    if (!p)
        return QUPLOG_NO_MEMORY;
    put_u64(p + 8, r->id);
    put_u64(p + 16, r->token);
    put_i64(p + 24, r->due_us);
    put_u64(p + 32, r->previous_error);
    p[40] = r->state;
    put_u32(p + 44, (uint32_t)r->data.length);
    put_span(p + RETRY_FIXED, r->data);
    return QUPLOG_OK;
}

/* ---- RELEASE:  8 id  16 token  24 reason u8
 *      CANCEL:  8 id
 *      DUE:  8 until_us  16 most ---- */

enum { RELEASE_FIXED = 32, CANCEL_FIXED = 16, DUE_FIXED = 24 };

int op_encode_release(struct buffer *b, uint64_t id, uint64_t token, enum op_release_reason reason)
{
    unsigned char *p = op_begin(b, QUPLOG_OP_RELEASE, RELEASE_FIXED);
    if (!p)
        return QUPLOG_NO_MEMORY;
    put_u64(p + 8, id);
    put_u64(p + 16, token);
    p[24] = (unsigned char)reason;
    return QUPLOG_OK;
}

static enum op_verdict decode_release(const unsigned char *p, struct op *op)
{
    op->as.release.id = get_u64(p + 8);
    op->as.release.token = get_u64(p + 16);
    op->as.release.reason = p[24];
    return p[24] >= OP_RELEASE_STOP && p[24] <= OP_RELEASE_CANCEL ? OP_VALID : OP_MALFORMED;
}

int op_encode_cancel(struct buffer *b, uint64_t id)
{
    unsigned char *p = op_begin(b, QUPLOG_OP_CANCEL, CANCEL_FIXED);
    if (!p)
        return QUPLOG_NO_MEMORY;
    put_u64(p + 8, id);
    return QUPLOG_OK;
}

int op_encode_due(struct buffer *b, int64_t until_us, uint64_t most)
{
    unsigned char *p = op_begin(b, QUPLOG_OP_DUE, DUE_FIXED);
    if (!p)
        return QUPLOG_NO_MEMORY;
    put_i64(p + 8, until_us);
    put_u64(p + 16, most);
    return QUPLOG_OK;
}

/* ---- FORGET:  8 succeeded_below  16 failed_below  24 ids u64 ... ---- */

enum { FORGET_FIXED = 24 };

int op_encode_forget(struct buffer *b, uint64_t succeeded_below, uint64_t failed_below,
                     struct span ids)
{
    unsigned char *p = op_begin(b, QUPLOG_OP_FORGET, FORGET_FIXED + ids.length);
    if (!p)
        return QUPLOG_NO_MEMORY;
    put_u64(p + 8, succeeded_below);
    put_u64(p + 16, failed_below);
    put_span(p + FORGET_FIXED, ids);
    return QUPLOG_OK;
}

static enum op_verdict decode_forget(struct span rest, const unsigned char *p, struct op *op)
{
    op->as.forget.succeeded_below = get_u64(p + 8);
    op->as.forget.failed_below = get_u64(p + 16);
    op->as.forget.ids = rest;
    return rest.length % 8 == 0 ? OP_VALID : OP_MALFORMED;
}

/* ---- SETTINGS: tagged fields: 1 segment_size u64, 2 keep_succeeded_us i64, 3 keep_failed_us i64,
 *                4 archive (a path) ---- */

enum { SETTINGS_FIXED = 8 };
enum { SETTING_SEGMENT_SIZE = 1, SETTING_KEEP_SUCCEEDED, SETTING_KEEP_FAILED, SETTING_ARCHIVE };

static bool number_field(struct span fields, unsigned char tag, uint64_t *out, bool *has)
{
    struct span value = find_field(fields, tag);
    *has = value.data != NULL;
    if (!*has)
        return true;
    if (value.length != 8)
        return false;
    *out = get_u64(value.data);
    return true;
}

static enum op_verdict decode_settings(struct span rest, struct op_settings *s)
{
    uint64_t succeeded = 0, failed = 0;
    enum op_verdict verdict = check_fields(rest, SETTING_ARCHIVE);
    if (verdict != OP_VALID)
        return verdict;
    if (!number_field(rest, SETTING_SEGMENT_SIZE, &s->segment_size, &s->has_segment_size) ||
        !number_field(rest, SETTING_KEEP_SUCCEEDED, &succeeded, &s->has_keep_succeeded) ||
        !number_field(rest, SETTING_KEEP_FAILED, &failed, &s->has_keep_failed))
        return OP_MALFORMED;
    s->keep_succeeded_us = (int64_t)succeeded;
    s->keep_failed_us = (int64_t)failed;
    s->archive = find_field(rest, SETTING_ARCHIVE);
    s->has_archive = s->archive.data != NULL;
    return OP_VALID;
}

static int add_number(struct buffer *fields, unsigned char tag, bool has, uint64_t value)
{
    unsigned char bytes[8];
    put_u64(bytes, value);
    return has ? add_field(fields, tag, (struct span){bytes, sizeof bytes}) : QUPLOG_OK;
}

int op_encode_settings(struct buffer *b, const struct op_settings *s)
{
    struct buffer fields = {0};
    int status =
        add_number(&fields, SETTING_SEGMENT_SIZE, s->has_segment_size, s->segment_size);
    if (!status)
        status = add_number(&fields, SETTING_KEEP_SUCCEEDED, s->has_keep_succeeded,
                            (uint64_t)s->keep_succeeded_us);
    if (!status)
        status = add_number(&fields, SETTING_KEEP_FAILED, s->has_keep_failed,
                            (uint64_t)s->keep_failed_us);
    if (!status && s->has_archive)
        status = add_field(&fields, SETTING_ARCHIVE, s->archive);
    unsigned char *p =
        status ? NULL : op_begin(b, QUPLOG_OP_SETTINGS, SETTINGS_FIXED + fields.length);
    if (p)
        put_span(p + SETTINGS_FIXED, (struct span){fields.data, fields.length});
    else if (!status)
        status = QUPLOG_NO_MEMORY;
    buffer_free(&fields);
    return status;
}

/* ---- QUEUE:  8 paused u8  9 name u8  12 max_running u32  16 rate u32  24 rate_us  32 name ---- */

enum { QUEUE_FIXED = OP_QUEUE_SIZE };

static enum op_verdict decode_queue(struct span rest, const unsigned char *p, struct op_queue *q)
{
    q->paused = p[8] != 0;
    q->max_running = get_u32(p + 12);
    q->rate = get_u32(p + 16);
    q->rate_us = get_i64(p + 24);
    q->name = rest;
    return p[9] && p[9] == rest.length && q->rate_us >= 0 ? OP_VALID : OP_MALFORMED;
}

int op_encode_queue(struct buffer *b, const struct op_queue *q)
{
    if (q->name.length == 0 || q->name.length > QUPLOG_NAME_MAX)
        return QUPLOG_INVALID;
    unsigned char *p = op_begin(b, QUPLOG_OP_QUEUE, QUEUE_FIXED + q->name.length);
    if (!p)
        return QUPLOG_NO_MEMORY;
    p[8] = q->paused;
    p[9] = (unsigned char)q->name.length;
    put_u32(p + 12, q->max_running);
    put_u32(p + 16, q->rate);
    put_i64(p + 24, q->rate_us);
    put_span(p + QUEUE_FIXED, q->name);
    return QUPLOG_OK;
}

/* ---- SCHEDULE:  8 flags u8 (1 paused, 2 removed)  9 id u8  12 rule u32  16 next_us  24 last_us
 *                32 id, rule ---- */

enum { SCHEDULE_FIXED = OP_SCHEDULE_SIZE, SCHEDULE_PAUSED = 1, SCHEDULE_REMOVED = 2 };

static enum op_verdict decode_schedule(struct span rest, const unsigned char *p,
                                       struct op_schedule *s)
{
    s->paused = p[8] & SCHEDULE_PAUSED;
    s->removed = p[8] & SCHEDULE_REMOVED;
    s->next_us = get_i64(p + 16);
    s->last_us = get_i64(p + 24);
    bool whole = take(&rest, p[9], &s->id) && take(&rest, get_u32(p + 12), &s->rule);
    return whole && !rest.length && s->id.length ? OP_VALID : OP_MALFORMED;
}

int op_encode_schedule(struct buffer *b, const struct op_schedule *s)
{
    if (s->id.length == 0 || s->id.length > QUPLOG_NAME_MAX)
        return QUPLOG_INVALID;
    if (s->rule.length > QUPLOG_PAYLOAD_MAX)
        return QUPLOG_TOO_LARGE;
    unsigned char *p =
        op_begin(b, QUPLOG_OP_SCHEDULE, SCHEDULE_FIXED + s->id.length + s->rule.length);
    if (!p)
        return QUPLOG_NO_MEMORY;
    p[8] = (unsigned char)((s->paused ? SCHEDULE_PAUSED : 0) | (s->removed ? SCHEDULE_REMOVED : 0));
    p[9] = (unsigned char)s->id.length;
    put_u32(p + 12, (uint32_t)s->rule.length);
    put_i64(p + 16, s->next_us);
    put_i64(p + 24, s->last_us);
    put_span(put_span(p + SCHEDULE_FIXED, s->id), s->rule);
    return QUPLOG_OK;
}

/* ---- any op ---- */

/* The fixed size of each known type, header included; 0: unknown. */
static size_t fixed_size(unsigned char type)
{
    switch (type) {
    case QUPLOG_OP_OPEN: return OPEN_FIXED;
    case QUPLOG_OP_WORKER: return WORKER_FIXED;
    case QUPLOG_OP_PUT: return PUT_FIXED;
    case QUPLOG_OP_CLAIM: return CLAIM_FIXED;
    case QUPLOG_OP_FINISH: return FINISH_FIXED;
    case QUPLOG_OP_RETRY: return RETRY_FIXED;
    case QUPLOG_OP_RELEASE: return RELEASE_FIXED;
    case QUPLOG_OP_CANCEL: return CANCEL_FIXED;
    case QUPLOG_OP_COPY: return COPY_FIXED;
    case QUPLOG_OP_FORGET: return FORGET_FIXED;
    case QUPLOG_OP_SETTINGS: return SETTINGS_FIXED;
    case QUPLOG_OP_QUEUE: return QUEUE_FIXED;
    case QUPLOG_OP_SCHEDULE: return SCHEDULE_FIXED;
    case QUPLOG_OP_DUE: return DUE_FIXED;
    default: return 0;
    }
}

static enum op_verdict decode(const unsigned char *p, struct span rest, struct op *op,
                              struct op_job *names)
{
    switch (op->type) {
    case QUPLOG_OP_OPEN: return decode_open(p, op);
    case QUPLOG_OP_WORKER: return decode_worker(rest, p, &op->as.worker);
    case QUPLOG_OP_PUT: return decode_put(rest, p, &op->as.put, names);
    case QUPLOG_OP_CLAIM:
        op->as.claim.id = get_u64(p + 8);
        op->as.claim.slot = get_u16(p + 16);
        op->as.claim.generation = get_u32(p + 20);
        return OP_VALID;
    case QUPLOG_OP_FINISH: return decode_finish(rest, p, &op->as.finish);
    case QUPLOG_OP_RETRY: return decode_retry(rest, p, &op->as.retry);
    case QUPLOG_OP_RELEASE: return decode_release(p, op);
    case QUPLOG_OP_CANCEL:
        op->as.cancel.id = get_u64(p + 8);
        return OP_VALID;
    case QUPLOG_OP_COPY: return decode_copy(rest, p, &op->as.copy);
    case QUPLOG_OP_FORGET: return decode_forget(rest, p, op);
    case QUPLOG_OP_SETTINGS: return decode_settings(rest, &op->as.settings);
    case QUPLOG_OP_QUEUE: return decode_queue(rest, p, &op->as.queue);
    case QUPLOG_OP_SCHEDULE: return decode_schedule(rest, p, &op->as.schedule);
    default:
        op->as.due.until_us = get_i64(p + 8);
        op->as.due.most = get_u64(p + 16);
        return OP_VALID;
    }
}

enum op_verdict op_next(struct span body, size_t *position, struct op *out, struct op_job *names)
{
    if (*position == body.length)
        return OP_END;
    const unsigned char *p = body.data + *position;
    size_t left = body.length - *position;
    if (left < OP_HEADER)
        return OP_MALFORMED;
    size_t length = get_u32(p + 4);
    if (length < OP_HEADER || length > left || align8(length) > left)
        return OP_MALFORMED;
    *position += align8(length);
    out->type = p[0];
    out->length = (uint32_t)length;
    size_t fixed = fixed_size(p[0]);
    if (fixed == 0)
        return p[1] & OP_SKIPPABLE ? OP_SKIPPED : OP_UNSUPPORTED;
    if (length < fixed)
        return OP_MALFORMED;
    return decode(p, (struct span){p + fixed, length - fixed}, out, names);
}

/* ---- the check of an op that is read alone ---- */

enum { CHECK_AT = 2 };

/* Of all bytes but its own. */
static uint16_t check_of(const unsigned char *op, size_t length)
{
    uint32_t sum = crc32c(0, op, CHECK_AT);
    return (uint16_t)crc32c(sum, op + CHECK_AT + 2, length - CHECK_AT - 2);
}

uint32_t op_seal(struct buffer *ops, size_t from, uint32_t sum)
{
    size_t at = from;
    while (at < ops->length) {
        unsigned char *op = ops->data + at;
        size_t length = align8(get_u32(op + 4));
        put_u16(op + CHECK_AT, check_of(op, length));
        at += length;
    }
    return crc32c(sum, ops->data + from, ops->length - from);
}

bool op_intact(struct span op)
{
    return op.length >= OP_HEADER && get_u16(op.data + CHECK_AT) == check_of(op.data, op.length);
}
