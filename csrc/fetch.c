/* fetch.c: see fetch.h. */
#include "fetch.h"

#include "follow.h"

enum { FIRST_READ = 256 };

/* Most ops are small: one read gets the header and, nearly always, the rest. Near the tail there
 * may be fewer bytes than that, so the second try asks for the header alone. */
static int read_start(struct core *q, uint64_t lsn, struct buffer *bytes)
{
    uint64_t tail = control_tail(&q->control);
    if (lsn + OP_HEADER > tail)
        return QUPLOG_NOT_FOUND;
    size_t want = tail - lsn < FIRST_READ ? (size_t)(tail - lsn) : FIRST_READ;
    bytes->length = 0;
    if (!buffer_room(bytes, want))
        return QUPLOG_NO_MEMORY;
    int status = log_read(&q->log, lsn, bytes->data, want);
    if (status == QUPLOG_CORRUPT && want > OP_HEADER) {
        want = OP_HEADER; /* the segment ends here */
        status = log_read(&q->log, lsn, bytes->data, want);
    }
    bytes->length = status ? 0 : want;
    return status;
}

int fetch_op(struct core *q, uint64_t lsn, struct buffer *bytes, struct op *op)
{
    int status = read_start(q, lsn, bytes);
    if (status)
        return status;
    size_t length = align8(get_u32(bytes->data + 4));
    if (length < OP_HEADER || length > QUPLOG_FRAME_MAX)
        return QUPLOG_CORRUPT;
    if (length > bytes->length) {
        size_t have = bytes->length;
        if (!buffer_room(bytes, length - have))
            return QUPLOG_NO_MEMORY;
        status = log_read(&q->log, lsn + have, bytes->data + have, length - have);
        if (status)
            return status;
    }
    bytes->length = length;
    size_t position = 0;
    struct span body = {bytes->data, length};
    bool good = op_intact(body) && op_next(body, &position, op, NULL) == OP_VALID;
    return good ? QUPLOG_OK : QUPLOG_CORRUPT;
}

int fetch_put(struct core *q, uint64_t id, uint64_t put_lsn, struct buffer *bytes, struct op *op)
{
    uint64_t before = 0;
    int status = fetch_op(q, put_lsn, bytes, op);
    while (status == QUPLOG_NOT_FOUND && put_lsn != before) {
        before = put_lsn;
        int followed = follow_view(q);
        if (followed)
            return followed;
        const struct job *job = jobs_get(&q->table.jobs, id);
        put_lsn = job ? job->put_lsn : before;
        follow_unview(q);
        status = fetch_op(q, put_lsn, bytes, op);
    }
    return status;
}

/* ---- whole jobs ---- */

/* The result (or reason) in the FINISH that ended a job; data NULL if there is none. */
static struct span result_of(const struct op *op)
{
    if (op->type == QUPLOG_OP_FINISH && op->as.finish.state != QUPLOG_JOB_FAILED)
        return op->as.finish.data;
    return (struct span){NULL, 0};
}

/* The error in a RETRY or FINISH op and the LSN of the op with the one before it. */
static struct span error_of(const struct op *op, uint64_t *previous)
{
    *previous = 0;
    if (op->type == QUPLOG_OP_RETRY) {
        *previous = op->as.retry.previous_error;
        return op->as.retry.data;
    }
    if (op->type == QUPLOG_OP_FINISH && op->as.finish.state == QUPLOG_JOB_FAILED) {
        *previous = op->as.finish.previous_error;
        return op->as.finish.data;
    }
    return (struct span){NULL, 0};
}

struct fetch_places fetch_places(const struct job *job)
{
    bool final = job->state >= QUPLOG_SUCCEEDED;
    return (struct fetch_places){job->put_lsn, job->error_lsn, final ? job->when : 0};
}

/* The errors of a COPY, oldest first, before those that came after it. */
static void add_copied_errors(struct fetched *out, const struct op *copy)
{
    struct fetched_error copied[OP_ATTEMPTS_KEPT];
    size_t count = 0, position = 0, later = out->error_count;
    struct fetched_error *e = copied;
    while (count < OP_ATTEMPTS_KEPT &&
           op_copy_error(copy->as.copy.errors, &position, &e->lsn, &e->text))
        e = &copied[++count % OP_ATTEMPTS_KEPT];
    size_t kept = count + later <= OP_ATTEMPTS_KEPT ? count : OP_ATTEMPTS_KEPT - later;
    memmove(out->errors + kept, out->errors, later * sizeof *copied);
    memcpy(out->errors, copied + (count - kept), kept * sizeof *copied);
    out->error_count = kept + later;
}

/* Errors are a chain from the last back to the first; they are wanted oldest first. */
static int fetch_errors(struct core *q, const struct fetch_places *places, const struct op *put,
                        struct fetched *out)
{
    uint64_t lsn = places->error_lsn;
    while (lsn > places->put_lsn && out->error_count < OP_ATTEMPTS_KEPT) {
        struct op op;
        struct fetched_error error = {.lsn = lsn};
        int status = fetch_op(q, lsn, &out->error_bytes[out->error_count], &op);
        if (status)
            return status;
        error.text = error_of(&op, &lsn);
        memmove(out->errors + 1, out->errors, out->error_count * sizeof error);
        out->errors[0] = error;
        out->error_count++;
    }
    if (put->type == QUPLOG_OP_COPY)
        add_copied_errors(out, put);
    return QUPLOG_OK;
}

int fetch_outcome(struct core *q, const struct fetch_places *places, const struct op *put,
                  struct fetched *out)
{
    struct op op;
    int status = QUPLOG_OK;
    out->error_count = 0;
    out->result = put->type == QUPLOG_OP_COPY ? put->as.copy.result : (struct span){NULL, 0};
    out->result_dropped = put->type == QUPLOG_OP_COPY && put->as.copy.result_dropped;
    if (places->finish_lsn > places->put_lsn) {
        status = fetch_op(q, places->finish_lsn, &out->finish_bytes, &op);
        if (status == QUPLOG_OK) {
            out->result = result_of(&op);
            out->result_dropped = op.type == QUPLOG_OP_FINISH && op.as.finish.dropped;
        }
    }
    return status ? status : fetch_errors(q, places, put, out);
}

int fetch_job(struct core *q, const struct fetch_places *places, struct fetched *out)
{
    int status = fetch_op(q, places->put_lsn, &out->put_bytes, &out->put);
    return status ? status : fetch_outcome(q, places, &out->put, out);
}

void fetch_free(struct fetched *fetched)
{
    buffer_free(&fetched->put_bytes);
    buffer_free(&fetched->finish_bytes);
    for (size_t i = 0; i < OP_ATTEMPTS_KEPT; i++)
        buffer_free(&fetched->error_bytes[i]);
}
