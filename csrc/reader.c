/* reader.c: the log's ops one by one, for people and tools: `log`, `show`, `verify`.
 *
 * It reads what is on the disk, takes no lock and keeps no table. Beside live processes its end is
 * the live tail, in segments that they created meanwhile too; a frame that was half written when it
 * was read is looked at again before it is called damaged. If they trim what it was about to read,
 * it goes on with the oldest that is left.
 */
#include <stdio.h>

#include "chain.h"
#include "op.h"

struct quplog_reader {
    const struct io *io;
    int dir;
    struct chain chain;
    struct frame frame;
    uint64_t frame_lsn;
    size_t position; /* of the next op in the frame's body */
    uint32_t puts;   /* so many of the frame's jobs were seen */
    struct op_job names;
    bool inside; /* a frame is being taken apart */
    uint64_t about; /* hand out what concerns this job only; 0: all */
};

static int begin(quplog_reader *reader, const char *path, uint64_t lsn)
{
    const struct io *io = reader->io;
    reader->dir = io->open(io->world, IO_CWD, path, IO_DIRECTORY);
    if (reader->dir < 0)
        return reader->dir;
    int status = chain_open(&reader->chain, io, reader->dir);
    if (status == QUPLOG_OK && reader->chain.count == 0) {
        snprintf(reader->chain.report.message, sizeof reader->chain.report.message,
                 "There is no log in it.");
        status = QUPLOG_NOT_A_LOG;
    }
    if (status == QUPLOG_OK && lsn)
        status = chain_seek(&reader->chain, lsn);
    return status;
}

int quplog_reader_open(const char *path, uint64_t lsn, quplog_reader **out, quplog_report *report)
{
    quplog_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return QUPLOG_NO_MEMORY;
    reader->io = io_system();
    reader->chain.fd = -1;
    int status = begin(reader, path, lsn);
    if (report)
        *report = reader->chain.report;
    if (status)
        quplog_reader_close(reader);
    else
        *out = reader;
    return status;
}

void quplog_reader_close(quplog_reader *reader)
{
    if (!reader)
        return;
    if (reader->chain.io)
        chain_close(&reader->chain);
    if (reader->dir >= 0)
        reader->io->close(reader->io->world, reader->dir);
    free(reader);
}

/* ---- from op to record ---- */

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

/* ---- going on ---- */

static int next_frame(quplog_reader *reader)
{
    for (;;) {
        int status = chain_next(&reader->chain, &reader->frame, &reader->frame_lsn);
        if (status == QUPLOG_OK && reader->frame.kind != FRAME_OPS)
            continue;
        if (status == QUPLOG_NOT_FOUND)
            continue;
        if (status == QUPLOG_EMPTY) {
            enum chain_end end;
            status = chain_judge(&reader->chain, &end);
            bool again = end == CHAIN_CORRUPT && chain_recheck(&reader->chain);
            if (status == QUPLOG_NOT_FOUND || (status == QUPLOG_OK && again))
                continue;
            if (status == QUPLOG_OK)
                status = end == CHAIN_CORRUPT ? QUPLOG_CORRUPT : QUPLOG_EMPTY;
        }
        reader->inside = status == QUPLOG_OK;
        reader->position = 0;
        reader->puts = 0;
        reader->names = (struct op_job){0};
        return status;
    }
}

static int next_op(quplog_reader *reader, quplog_record *out)
{
    struct op op;
    uint64_t lsn = reader->frame_lsn + FRAME_HEADER + reader->position;
    enum op_verdict verdict =
        op_next(reader->frame.body, &reader->position, &op, &reader->names);
    if (verdict == OP_END)
        reader->inside = false;
    if (verdict == OP_END || verdict == OP_SKIPPED)
        return QUPLOG_EMPTY;
    if (verdict != OP_VALID)
        return verdict == OP_UNSUPPORTED ? QUPLOG_UNSUPPORTED : QUPLOG_CORRUPT;
    *out = (quplog_record){.lsn = lsn,
                           .frame_lsn = reader->frame_lsn,
                           .time_us = reader->frame.time_us,
                           .type = op.type};
    fill(out, &op);
    if (op.type == QUPLOG_OP_PUT)
        out->id = reader->frame.first_id + reader->puts++;
    return QUPLOG_OK;
}

int quplog_reader_next(quplog_reader *reader, quplog_record *out)
{
    for (;;) {
        int status = reader->inside ? QUPLOG_OK : next_frame(reader);
        if (status)
            return status;
        status = next_op(reader, out);
        if (status == QUPLOG_OK && reader->about && out->id && out->id != reader->about)
            continue;
        if (status != QUPLOG_EMPTY) /* empty: the frame's ops are over */
            return status;
    }
}

void quplog_reader_about(quplog_reader *reader, uint64_t id)
{
    reader->about = id;
}

int quplog_reader_skip(quplog_reader *reader, size_t most)
{
    quplog_record unused;
    int status = QUPLOG_OK;
    for (size_t i = 0; status == QUPLOG_OK && i < most; i++)
        status = quplog_reader_next(reader, &unused);
    return status;
}

void quplog_reader_report(quplog_reader *reader, quplog_report *out, uint64_t *size)
{
    *out = reader->chain.report;
    if (size)
        *size = reader->chain.total;
}
