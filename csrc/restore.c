/* restore.c: a new log, made of what a scan found in another.
 *
 * The new log looks like one that was compacted just now: it begins at an LSN behind all of the old
 * log's, a TRIM says that this is so and which ids were given out, and each job is a COPY. So ids
 * stay what they were, no LSN that the old log has given out is given out again, and whatever a job
 * refers to by LSN stands before it, as it should.
 */
#include "commit.h"
#include "crc32c.h"
#include "segment.h"

/* ---- the beginning of a log ---- */

/* The one frame that an empty log has. */
static int write_trim(const struct io *io, struct segment *segment, uint64_t next_id)
{
    unsigned char bytes[FRAME_HEADER + FRAME_TRIM_BODY];
    unsigned char *body = bytes + FRAME_HEADER;
    uint64_t base = segment->header.base;
    struct frame_trim trim = {.first_lsn = base, .next_id = next_id};
    frame_trim_encode(body, &trim);
    struct frame frame = {.kind = FRAME_TRIM,
                          .length = sizeof bytes,
                          .time_us = io->now_us(io->world),
                          .synced_lsn = base + SEGMENT_HEADER};
    frame_seal(bytes, &frame, crc32c(0, body, FRAME_TRIM_BODY), base + SEGMENT_HEADER,
               segment->header.salt);
    struct iovec part = {bytes, sizeof bytes};
    int status = io_write_full(io, segment->fd, &part, 1, SEGMENT_HEADER);
    return status ? status : io->fdatasync(io->world, segment->fd);
}

static int begin_log(const struct io *io, int dir, uint64_t base, uint64_t next_id)
{
    struct segment_header header = {.base = base,
                                    .first_lsn = base,
                                    .synced_lsn = base + SEGMENT_HEADER,
                                    .created_us = io->now_us(io->world)};
    struct segment segment;
    io->boot_id(io->world, header.boot_id);
    int status = io->random(io->world, header.log_id, sizeof header.log_id);
    if (status == 0)
        status = io->random(io->world, &header.salt, sizeof header.salt);
    if (status == 0)
        status = segment_create(io, dir, &header, TABLE_SEGMENT_SIZE, true, &segment);
    if (status)
        return status;
    status = write_trim(io, &segment, next_id);
    io->close(io->world, segment.fd);
    return io_disk_full(status) ? QUPLOG_FULL : status;
}

int quplog_seed(const char *path, uint64_t end_lsn, uint64_t next_id)
{
    const struct io *io = io_system();
    if (end_lsn >= SEGMENT_BASE_END - 2 * SEGMENT_JUMP || next_id == 0 || next_id >> OP_ID_BITS)
        return QUPLOG_INVALID;
    uint64_t base = (end_lsn + SEGMENT_JUMP) / SEGMENT_HEADER * SEGMENT_HEADER;
    int dir = io->open(io->world, IO_CWD, path, IO_DIRECTORY);
    if (dir < 0)
        return dir;
    int status = begin_log(io, dir, base, next_id);
    io->close(io->world, dir);
    return status;
}

/* ---- jobs ---- */

static struct span span_of(quplog_bytes bytes)
{
    return (struct span){(const unsigned char *)bytes.data, bytes.length};
}

/* The op that these bytes are. They may lack the padding. */
static bool decode(quplog_bytes bytes, struct buffer *padded, struct op *op)
{
    size_t position = 0, length = align8(bytes.length);
    padded->length = 0;
    unsigned char *p = buffer_room(padded, length);
    if (!p || !bytes.length)
        return false;
    memset(p, 0, length);
    memcpy(p, bytes.data, bytes.length);
    padded->length = length;
    return op_next((struct span){p, length}, &position, op, NULL) == OP_VALID &&
           position == length;
}

/* What of the op is an error; data NULL: it has none. */
static struct span error_in(const struct op *op)
{
    if (op->type == QUPLOG_OP_RETRY)
        return op->as.retry.data;
    bool failed = op->type == QUPLOG_OP_FINISH && op->as.finish.state == QUPLOG_JOB_FAILED;
    return failed ? op->as.finish.data : (struct span){NULL, 0};
}

/* The last errors of the job, those from its COPY first. */
static int gather_errors(const quplog_saved *job, const struct op *put, struct buffer *out)
{
    struct span copied = put->type == QUPLOG_OP_COPY ? put->as.copy.errors : (struct span){0};
    struct buffer bytes = {0};
    struct span error;
    struct op op;
    uint64_t lsn;
    size_t count = 0, position = 0;
    int status = QUPLOG_OK;
    while (copied.length && op_copy_error(copied, &position, &lsn, &error))
        count++;
    size_t all = count + job->error_count;
    size_t skip = all > OP_ATTEMPTS_KEPT ? all - OP_ATTEMPTS_KEPT : 0;
    position = 0;
    for (size_t i = 0; status == QUPLOG_OK && i < all; i++) {
        if (i < count) {
            (void)op_copy_error(copied, &position, &lsn, &error);
        } else if (decode(job->errors[i - count], &bytes, &op) && error_in(&op).data) {
            lsn = job->error_lsns[i - count];
            error = error_in(&op);
        } else {
            status = QUPLOG_INVALID;
        }
        if (status == QUPLOG_OK && i >= skip)
            status = op_copy_add_error(out, lsn, op_copy_kept(error));
    }
    buffer_free(&bytes);
    return status;
}

static void fill_copy(struct op_copy *copy, const quplog_saved *job, const struct op *put)
{
    bool copied = put->type == QUPLOG_OP_COPY;
    *copy = copied ? put->as.copy
                   : (struct op_copy){.job = put->as.put.job,
                                      .created_lsn = job->put_lsn,
                                      .ready_us = put->as.put.due_us ? 0 : job->created_us,
                                      .ready_lsn = put->as.put.due_us ? 0 : job->put_lsn};
    bool final = job->state >= QUPLOG_SUCCEEDED;
    copy->id = job->id;
    copy->token = copy->generation = copy->slot = 0; /* nobody runs it */
    copy->due_us = job->due_us;
    copy->created_us = job->created_us;
    copy->started_us = job->started_us;
    copy->finished_us = job->finished_us;
    copy->ready_lsn = job->state == QUPLOG_READY ? job->ready_lsn : copy->ready_lsn;
    copy->finish_lsn = final ? job->finish_lsn : 0;
    copy->attempt = (uint16_t)job->attempt;
    copy->crashes = (uint8_t)job->crashes;
    copy->state = (uint8_t)job->state;
    copy->cancel_requested = false;
    copy->job.task = span_of(job->task);
    copy->job.queue = span_of(job->queue);
    if (final && job->state != QUPLOG_JOB_FAILED)
        copy->job.payload = (struct span){NULL, 0}; /* it can't run again */
}

/* What the job came to, if another op than its COPY says so. */
static int fill_outcome(struct op_copy *copy, const quplog_saved *job, struct buffer *bytes)
{
    struct op op;
    if (job->finish.length == 0)
        return QUPLOG_OK;
    if (!decode(job->finish, bytes, &op) || op.type != QUPLOG_OP_FINISH)
        return QUPLOG_INVALID;
    copy->result = error_in(&op).data ? (struct span){NULL, 0} : op.as.finish.data;
    copy->result_dropped = op.as.finish.dropped;
    return QUPLOG_OK;
}

static int append(struct core *q, struct buffer *ops)
{
    int status = commit_begin(q, COMMIT_DECIDE);
    if (status)
        return status;
    status = commit_ops(q, 1, ops, NULL);
    commit_end(q);
    return status;
}

static bool can_be(const quplog_saved *job)
{
    return job->id && job->id >> OP_ID_BITS == 0 && job->attempt <= UINT16_MAX &&
           job->crashes <= UINT8_MAX && job->task.length && job->queue.length &&
           job->state >= QUPLOG_WAITING && job->state < QUPLOG_STATE_COUNT &&
           job->state != QUPLOG_RUNNING;
}

int quplog_restore(quplog *log, const quplog_saved *job)
{
    struct core *q = core_of(log);
    struct buffer put = {0}, finish = {0}, errors = {0}, ops = {0};
    struct op op;
    struct op_copy copy;
    if (!q)
        return QUPLOG_CLOSED;
    bool good = can_be(job) && decode(job->put, &put, &op) &&
                (op.type == QUPLOG_OP_PUT || op.type == QUPLOG_OP_COPY);
    int status = good ? gather_errors(job, &op, &errors) : QUPLOG_INVALID;
    if (status == QUPLOG_OK) {
        fill_copy(&copy, job, &op);
        copy.errors = (struct span){errors.data, errors.length};
        status = fill_outcome(&copy, job, &finish);
    }
    if (status == QUPLOG_OK)
        status = op_encode_copy(&ops, &copy);
    if (status == QUPLOG_OK)
        status = append(q, &ops);
    struct buffer *all[] = {&put, &finish, &errors, &ops};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        buffer_free(all[i]);
    return status;
}

/* ---- what is not a job ---- */

int quplog_restore_op(quplog *log, const char *bytes, size_t length)
{
    struct core *q = core_of(log);
    struct buffer ops = {0};
    struct op op;
    if (!q)
        return QUPLOG_CLOSED;
    bool good = decode((quplog_bytes){bytes, length}, &ops, &op) &&
                (op.type == QUPLOG_OP_QUEUE || op.type == QUPLOG_OP_SETTINGS);
    int status = good ? append(q, &ops) : QUPLOG_INVALID;
    if (status == QUPLOG_OK && op.type == QUPLOG_OP_SETTINGS && op.as.settings.has_segment_size)
        control_write_number(&q->control.page->segment_size, op.as.settings.segment_size);
    buffer_free(&ops);
    return status;
}
