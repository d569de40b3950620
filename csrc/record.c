/* record.c: see record.h. */
#include "record.h"

static quplog_bytes bytes_of(struct span span)
{
    return (quplog_bytes){(const char *)span.data, span.length};
}

static void fill_job(quplog_record *r, const struct op_job *job)
{
    r->task = bytes_of(job->task);
    r->queue = bytes_of(job->queue);
    r->data = bytes_of(job->payload);
    r->retries = job->retries;
    r->priority = job->priority;
}

static void fill_finish(quplog_record *r, const struct op_finish *finish)
{
    r->id = finish->id;
    r->token = finish->token;
    r->state = finish->state;
    r->data = bytes_of(finish->data);
}

static void fill_retry(quplog_record *r, const struct op_retry *retry)
{
    r->id = retry->id;
    r->token = retry->token;
    r->state = retry->state;
    r->due_us = retry->due_us;
    r->data = bytes_of(retry->data);
}

static void fill_copy(quplog_record *r, const struct op_copy *copy)
{
    fill_job(r, &copy->job);
    r->id = copy->id;
    r->token = copy->token;
    r->state = copy->state;
    r->attempt = copy->attempt;
    r->due_us = copy->due_us;
    r->slot = copy->slot;
    r->generation = copy->generation;
}

static void fill_worker(quplog_record *r, const struct op_worker *worker)
{
    r->slot = worker->slot;
    r->generation = worker->generation;
    r->number = worker->process_id;
    r->name = bytes_of(worker->host);
    r->data = bytes_of(worker->tasks);
}

static void fill_schedule(quplog_record *r, const struct op_schedule *schedule)
{
    r->name = bytes_of(schedule->id);
    r->data = bytes_of(schedule->rule);
    r->due_us = schedule->next_us;
    r->state = schedule->removed ? QUPLOG_CANCELLED : 0;
}

static void fill(quplog_record *r, const struct op *op)
{
    switch (op->type) {
    case QUPLOG_OP_OPEN:
        r->number = op->as.open.epoch;
        r->reason = op->as.open.ending;
        break;
    case QUPLOG_OP_WORKER: fill_worker(r, &op->as.worker); break;
    case QUPLOG_OP_PUT:
        fill_job(r, &op->as.put.job);
        r->due_us = op->as.put.due_us;
        break;
    case QUPLOG_OP_CLAIM:
        r->id = op->as.claim.id;
        r->token = r->lsn;
        r->slot = op->as.claim.slot;
        r->generation = op->as.claim.generation;
        break;
    case QUPLOG_OP_FINISH: fill_finish(r, &op->as.finish); break;
    case QUPLOG_OP_RETRY: fill_retry(r, &op->as.retry); break;
    case QUPLOG_OP_RELEASE:
        r->id = op->as.release.id;
        r->token = op->as.release.token;
        r->reason = op->as.release.reason;
        break;
    case QUPLOG_OP_CANCEL: r->id = op->as.cancel.id; break;
    case QUPLOG_OP_COPY: fill_copy(r, &op->as.copy); break;
    case QUPLOG_OP_QUEUE:
        r->queue = bytes_of(op->as.queue.name);
        r->state = op->as.queue.paused;
        break;
    case QUPLOG_OP_SCHEDULE: fill_schedule(r, &op->as.schedule); break;
    case QUPLOG_OP_DUE:
        r->due_us = op->as.due.until_us;
        r->number = op->as.due.most;
        break;
    default: break; /* FORGET, SETTINGS: the type says it */
    }
}

void record_fill(quplog_record *out, const struct op *op, const struct frame *frame, uint64_t lsn)
{
    *out = (quplog_record){.lsn = lsn, .time_us = frame->time_us, .type = op->type};
    fill(out, op);
}

int record_check(const struct frame *frame)
{
    struct op op;
    struct op_job names = {0};
    size_t position = 0;
    uint32_t seen = 0;
    uint64_t puts = 0;
    for (;; seen++) {
        enum op_verdict verdict = op_next(frame->body, &position, &op, &names);
        if (verdict == OP_UNSUPPORTED)
            return QUPLOG_UNSUPPORTED;
        if (verdict == OP_MALFORMED)
            return QUPLOG_CORRUPT;
        if (verdict == OP_END)
            break;
        puts += verdict == OP_VALID && op.type == QUPLOG_OP_PUT;
    }
    bool ids = puts == 0 || (frame->first_id && frame->first_id >> OP_ID_BITS == 0);
    return seen == frame->op_count && ids ? QUPLOG_OK : QUPLOG_CORRUPT;
}
