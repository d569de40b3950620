/* commit.c: see commit.h. */
#include "commit.h"

#include "crc32c.h"

int64_t commit_now(struct core *q)
{
    return q->io->now_us(q->io->world);
}

static bool closed(const struct core *q)
{
    return atomic_load(&q->abandoned) || atomic_load(&q->control.closed);
}

struct core *core_of(quplog *log)
{
    return atomic_load(&log->closed) || closed(log->core) ? NULL : log->core;
}

static int usable(struct core *q)
{
    if (closed(q))
        return QUPLOG_CLOSED;
    if (q->read_only)
        return QUPLOG_READ_ONLY;
    return control_poisoned(&q->control) ? QUPLOG_FAILED : QUPLOG_OK;
}

int commit_begin(struct core *q)
{
    int status = usable(q);
    if (status)
        return status;
    q->io->mutex_lock(q->io->world, &q->append);
    status = usable(q); /* it may have failed while this thread waited */
    if (status)
        commit_end(q);
    return status;
}

void commit_end(struct core *q)
{
    q->io->mutex_unlock(q->io->world, &q->append);
}

static void tell_finished(void *context, uint64_t id)
{
    struct core *q = context;
    control_bump(q->io, &q->control.results[id % CONTROL_RESULTS], CONTROL_ALL);
}

/* The first frame after quiet wakes the flusher; the others find it awake. */
static void arm_flusher(struct core *q)
{
    if (!atomic_exchange_explicit(&q->unflushed, 1, memory_order_acq_rel))
        control_bump(q->io, &q->control.flush, 1);
}

static int append_and_apply(struct core *q, struct frame *frame, uint32_t body_crc, uint64_t *lsn)
{
    uint64_t at;
    q->io->mutex_lock(q->io->world, &q->view);
    int status = table_reserve(&q->table, frame);
    q->io->mutex_unlock(q->io->world, &q->view);
    if (status == QUPLOG_OK)
        status = log_append(&q->log, frame, body_crc, &at);
    if (status)
        return status;
    q->io->mutex_lock(q->io->world, &q->view);
    table_apply(&q->table, frame, at, tell_finished, q);
    q->io->mutex_unlock(q->io->world, &q->view);
    if (lsn)
        *lsn = at;
    /* A segment has been filled: there may be something to compact. */
    if (at == q->log.head.header.base + SEGMENT_HEADER)
        control_bump(q->io, &q->control.attention, CONTROL_ALL);
    return QUPLOG_OK;
}

int commit_frame(struct core *q, uint32_t op_count, struct span body, uint32_t body_crc,
                 uint64_t first_id, uint64_t *lsn)
{
    struct frame frame = {.kind = FRAME_OPS,
                          .op_count = op_count,
                          .time_us = commit_now(q),
                          .first_id = first_id,
                          .body = body};
    int status = append_and_apply(q, &frame, body_crc, lsn);
    if (status == QUPLOG_OK)
        arm_flusher(q);
    return status;
}

int commit_ops(struct core *q, uint32_t op_count, const struct buffer *ops, uint64_t *lsn)
{
    struct span body = {ops->data, ops->length};
    return commit_frame(q, op_count, body, crc32c(0, body.data, body.length), 0, lsn);
}

int commit_witness(struct core *q, bool closing)
{
    unsigned char flags[8];
    put_u64(flags, closing ? FRAME_CLOSING : 0);
    struct frame frame = {
        .kind = FRAME_SYNCED, .time_us = commit_now(q), .body = {flags, sizeof flags}};
    return append_and_apply(q, &frame, crc32c(0, flags, sizeof flags), NULL);
}

int commit_trim(struct core *q, uint64_t first_lsn)
{
    unsigned char body[FRAME_TRIM_BODY];
    struct frame_trim trim = {first_lsn, q->table.next_id, q->table.epoch};
    frame_trim_encode(body, &trim);
    struct frame frame = {
        .kind = FRAME_TRIM, .time_us = commit_now(q), .body = {body, sizeof body}};
    return append_and_apply(q, &frame, crc32c(0, body, sizeof body), NULL);
}

int commit_sync(struct core *q, uint64_t lsn)
{
    if (atomic_load(&q->abandoned))
        return QUPLOG_CLOSED;
    return sync_to(&q->sync, lsn);
}

struct due_now {
    const struct core *q;
    int64_t now;
};

static bool has_come_due(const void *context, uint64_t id)
{
    const struct due_now *due = context;
    return (int64_t)jobs_get(&due->q->table.jobs, id)->when <= due->now;
}

/* The op must mean the same to every table, also to one that began in a later segment and does not
 * know jobs that are copied further on: so it is the time alone that says which jobs come due, and
 * the number in it is all that there are. */
int commit_due(struct core *q)
{
    struct due_now due = {q, commit_now(q)};
    uint64_t until = heap_prefix(&q->table.due, HEAP_PREFIX_MOST, has_come_due, &due);
    if (until == 0)
        return QUPLOG_OK;
    struct buffer ops = {0};
    size_t count = heap_count_below(&q->table.due, until);
    int status = op_encode_due(&ops, (int64_t)until - 1, count);
    if (status == QUPLOG_OK)
        status = commit_ops(q, 1, &ops, NULL);
    buffer_free(&ops);
    if (status == QUPLOG_OK)
        commit_wake_workers(q, (int)count);
    return status;
}

void commit_wake_workers(struct core *q, int count)
{
    control_bump(q->io, &q->control.work, count);
}

void commit_wake_helper(struct core *q, int64_t due_us)
{
    if (due_us < atomic_load(&q->helper_until))
        control_bump(q->io, &q->control.attention, CONTROL_ALL);
}
