/* fetch.c: see fetch.h. */
#include "fetch.h"

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
    return op_next(body, &position, op, NULL) == OP_VALID ? QUPLOG_OK : QUPLOG_CORRUPT;
}

struct span fetch_result(const struct op *op)
{
    if (op->type == QUPLOG_OP_COPY)
        return op->as.copy.result;
    if (op->type == QUPLOG_OP_FINISH && op->as.finish.state != QUPLOG_JOB_FAILED)
        return op->as.finish.data;
    return (struct span){NULL, 0};
}

struct span fetch_error(const struct op *op, uint64_t *previous)
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
