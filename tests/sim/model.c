/* model.c: see model.h. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

static void wrong(struct model *model, uint64_t lsn, const char *what, uint64_t id)
{
    if (!model->wrong[0])
        snprintf(model->wrong, sizeof model->wrong, "at LSN %llu: %s (job %llu)",
                 (unsigned long long)lsn, what, (unsigned long long)id);
}

static bool same(struct span a, struct span b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

void model_free(struct model *model)
{
    free(model->jobs);
    *model = (struct model){.jobs = NULL};
}

void model_copy(struct model *out, const struct model *model)
{
    *out = *model;
    out->room = model->count + 16;
    out->jobs = malloc(out->room * sizeof *out->jobs);
    if (!out->jobs)
        abort();
    if (model->count)
        memcpy(out->jobs, model->jobs, model->count * sizeof *out->jobs);
}

/* Where the job is, or would be. */
static size_t place_of(const struct model *model, uint64_t id)
{
    size_t low = 0, high = model->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (model->jobs[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct model_job *model_find(const struct model *model, uint64_t id)
{
    size_t at = place_of(model, id);
    return at < model->count && model->jobs[at].id == id ? &model->jobs[at] : NULL;
}

static bool is_final(const struct model_job *job)
{
    return job->state >= QUPLOG_SUCCEEDED;
}

/* ---- the life of a job ---- */

static void put(struct model *model, const struct op_put *op, uint64_t id, int64_t time_us,
                uint64_t lsn)
{
    if (model->count && model->jobs[model->count - 1].id >= id) {
        wrong(model, lsn, "an id was given that is not new", id);
        return;
    }
    if (model->count == model->room) {
        model->room = model->room ? model->room * 2 : 64;
        model->jobs = realloc(model->jobs, model->room * sizeof *model->jobs);
        if (!model->jobs)
            abort();
    }
    model->jobs[model->count++] =
        (struct model_job){.id = id,
                           .due_us = op->due_us,
                           .created_us = time_us,
                           .task = op->job.task,
                           .queue = op->job.queue,
                           .fields = op->job.fields,
                           .payload = op->job.payload,
                           .retries = op->job.retries,
                           .priority = op->job.priority,
                           .state = op->due_us ? QUPLOG_SCHEDULED : QUPLOG_READY};
}

static void finish(struct model_job *job, uint8_t state, uint64_t lsn, int64_t time_us)
{
    job->state = state;
    job->finish_lsn = lsn;
    job->finished_us = time_us;
    job->token = 0;
    job->due_us = 0;
    job->payload_gone = state != QUPLOG_JOB_FAILED;
}

static void release(struct model_job *job, bool crashed, uint64_t lsn, int64_t time_us)
{
    job->attempt--;
    job->crashes = (uint8_t)(job->crashes + crashed);
    job->token = 0;
    job->state = QUPLOG_READY;
    if (job->cancel_requested)
        finish(job, QUPLOG_CANCELLED, lsn, time_us);
}

static void claim(struct model *model, const struct op *op, uint64_t lsn, int64_t time_us)
{
    struct model_job *job = model_find(model, op->as.claim.id);
    if (!job || job->state != QUPLOG_READY) {
        wrong(model, lsn, job ? "a job was claimed that is not ready" : "no such job was claimed",
              op->as.claim.id);
        return;
    }
    job->state = QUPLOG_RUNNING;
    job->attempt++;
    job->token = lsn;
    job->slot = op->as.claim.slot;
    job->generation = op->as.claim.generation;
    job->started_us = time_us;
}

/* The run that an outcome is of. */
static struct model_job *run_of(struct model *model, uint64_t id, uint64_t token, uint64_t lsn)
{
    struct model_job *job = model_find(model, id);
    if (job && job->state == QUPLOG_RUNNING && job->token == token)
        return job;
    wrong(model, lsn, "an outcome was written of a run that is not the present one", id);
    return NULL;
}

static void add_error(struct model_job *job, struct span error)
{
    if (job->error_count < MODEL_ERRORS)
        job->errors[job->error_count++] = error;
}

static void outcome(struct model *model, const struct op_finish *op, uint64_t lsn, int64_t time_us)
{
    struct model_job *job = run_of(model, op->id, op->token, lsn);
    if (!job)
        return;
    if (op->state == QUPLOG_JOB_FAILED)
        add_error(job, op->data);
    else
        job->result = op->data;
    finish(job, op->state, lsn, time_us);
}

static void retry(struct model *model, const struct op_retry *op, uint64_t lsn)
{
    struct model_job *job = run_of(model, op->id, op->token, lsn);
    if (!job)
        return;
    if (op->state == QUPLOG_SCHEDULED)
        job->attempt--;
    else
        add_error(job, op->data);
    job->state = op->state;
    job->due_us = op->due_us;
    job->token = 0;
}

static void cancel(struct model *model, uint64_t id, uint64_t lsn, int64_t time_us)
{
    struct model_job *job = model_find(model, id);
    if (!job || is_final(job))
        return;
    if (job->state == QUPLOG_RUNNING)
        job->cancel_requested = true;
    else
        finish(job, QUPLOG_CANCELLED, lsn, time_us);
}

static void come_due(struct model *model, int64_t until_us, uint64_t most, uint64_t lsn)
{
    uint64_t count = 0;
    for (size_t i = 0; i < model->count; i++) {
        struct model_job *job = &model->jobs[i];
        bool waits = job->state == QUPLOG_SCHEDULED || job->state == QUPLOG_RETRYING;
        if (!waits || job->due_us > until_us)
            continue;
        job->state = QUPLOG_READY;
        job->due_us = 0;
        count++;
    }
    if (count != most)
        wrong(model, lsn, "not all that are due came due", count);
}

/* ---- all jobs ---- */

static void release_all(struct model *model, uint64_t lsn, int64_t time_us)
{
    for (size_t i = 0; i < model->count; i++)
        if (model->jobs[i].state == QUPLOG_RUNNING)
            release(&model->jobs[i], false, lsn, time_us);
}

static void release_slot(struct model *model, const struct op_worker *op, uint64_t lsn,
                         int64_t time_us)
{
    for (size_t i = 0; i < model->count; i++) {
        struct model_job *job = &model->jobs[i];
        if (job->state == QUPLOG_RUNNING && job->slot == op->slot &&
            job->generation < op->generation)
            release(job, true, lsn, time_us);
    }
}

static bool is_below(const struct model_job *job, const struct op *op)
{
    if (!is_final(job))
        return false;
    uint64_t below = job->state == QUPLOG_JOB_FAILED ? op->as.forget.failed_below
                                                     : op->as.forget.succeeded_below;
    return job->finish_lsn < below;
}

static void forget(struct model *model, const struct op *op)
{
    size_t left = 0;
    for (size_t i = 0; i < model->count; i++)
        if (!is_below(&model->jobs[i], op))
            model->jobs[left++] = model->jobs[i];
    model->count = left;
}

/* ---- copies ---- */

static bool same_errors(const struct model_job *job, const struct op_copy *copy)
{
    size_t position = 0, first = 0;
    uint64_t lsn;
    struct span text;
    if (job->error_count > OP_ATTEMPTS_KEPT)
        first = job->error_count - OP_ATTEMPTS_KEPT;
    for (size_t i = first; i < job->error_count; i++)
        if (!op_copy_error(copy->errors, &position, &lsn, &text) || !same(text, job->errors[i]))
            return false;
    return !op_copy_error(copy->errors, &position, &lsn, &text);
}

static bool same_job(const struct model_job *job, const struct op_copy *copy)
{
    bool running = job->state == QUPLOG_RUNNING;
    return copy->state == job->state && copy->token == job->token &&
           copy->due_us == job->due_us && copy->attempt == job->attempt &&
           copy->crashes == job->crashes && copy->job.retries == job->retries &&
           copy->job.priority == job->priority &&
           copy->cancel_requested == job->cancel_requested &&
           copy->created_us == job->created_us && copy->started_us == job->started_us &&
           copy->finished_us == job->finished_us &&
           (!running || (copy->slot == job->slot && copy->generation == job->generation)) &&
           (!is_final(job) || copy->finish_lsn == job->finish_lsn) &&
           same(copy->job.task, job->task) && same(copy->job.queue, job->queue) &&
           same(copy->job.fields, job->fields) && same(copy->result, job->result) &&
           (job->payload_gone || same(copy->job.payload, job->payload)) && same_errors(job, copy);
}

static void copy_job(struct model *model, const struct op_copy *copy, uint64_t lsn)
{
    struct model_job *job = model_find(model, copy->id);
    if (!job)
        wrong(model, lsn, "a job was copied that is not there", copy->id);
    else if (!same_job(job, copy))
        wrong(model, lsn, "a copy differs from its job", copy->id);
}

/* ---- schedules and queues ---- */

static struct model_schedule *find_schedule(struct model *model, struct span id)
{
    for (size_t i = 0; i < model->schedule_count; i++)
        if (same(model->schedules[i].id, id))
            return &model->schedules[i];
    return NULL;
}

static void set_schedule(struct model *model, const struct op_schedule *op)
{
    struct model_schedule *s = find_schedule(model, op->id);
    if (op->removed) {
        if (s)
            *s = model->schedules[--model->schedule_count];
        return;
    }
    if (!s) {
        if (model->schedule_count == MODEL_SCHEDULES)
            abort();
        s = &model->schedules[model->schedule_count++];
        *s = (struct model_schedule){.id = op->id};
    }
    if (op->rule.length)
        s->rule = op->rule;
    s->next_us = op->next_us;
    s->last_us = op->last_us;
    s->paused = op->paused;
}

static void set_queue(struct model *model, const struct op_queue *op)
{
    size_t at = 0;
    while (at < model->queue_count && !same(model->queues[at].name, op->name))
        at++;
    if (at == MODEL_QUEUES)
        abort();
    if (at == model->queue_count)
        model->queue_count++;
    model->queues[at] = (struct model_queue){op->name, op->paused};
}

/* ---- ops and frames ---- */

struct place {
    uint64_t lsn;
    int64_t time_us;
    uint64_t next_id;
};

static void apply_op(struct model *model, const struct op *op, struct place *at)
{
    switch (op->type) {
    case QUPLOG_OP_PUT: put(model, &op->as.put, at->next_id++, at->time_us, at->lsn); break;
    case QUPLOG_OP_CLAIM: claim(model, op, at->lsn, at->time_us); break;
    case QUPLOG_OP_FINISH: outcome(model, &op->as.finish, at->lsn, at->time_us); break;
    case QUPLOG_OP_RETRY: retry(model, &op->as.retry, at->lsn); break;
    case QUPLOG_OP_RELEASE: {
        struct model_job *job =
            run_of(model, op->as.release.id, op->as.release.token, at->lsn);
        if (job)
            release(job, op->as.release.reason == OP_RELEASE_CRASH, at->lsn, at->time_us);
        break;
    }
    case QUPLOG_OP_CANCEL: cancel(model, op->as.cancel.id, at->lsn, at->time_us); break;
    case QUPLOG_OP_COPY: copy_job(model, &op->as.copy, at->lsn); break;
    case QUPLOG_OP_FORGET: forget(model, op); break;
    case QUPLOG_OP_QUEUE: set_queue(model, &op->as.queue); break;
    case QUPLOG_OP_SCHEDULE: set_schedule(model, &op->as.schedule); break;
    case QUPLOG_OP_DUE: come_due(model, op->as.due.until_us, op->as.due.most, at->lsn); break;
    case QUPLOG_OP_OPEN: release_all(model, at->lsn, at->time_us); break;
    case QUPLOG_OP_WORKER: release_slot(model, &op->as.worker, at->lsn, at->time_us); break;
    default: break;
    }
}

void model_apply(struct model *model, const struct frame *frame, uint64_t lsn)
{
    struct place at = {.time_us = frame->time_us, .next_id = frame->first_id};
    struct op op;
    struct op_job names = {0};
    size_t position = 0;
    if (frame->kind != FRAME_OPS)
        return;
    for (;;) {
        at.lsn = lsn + FRAME_HEADER + position;
        enum op_verdict verdict = op_next(frame->body, &position, &op, &names);
        if (verdict == OP_END)
            return;
        if (verdict != OP_VALID) {
            wrong(model, at.lsn, "an op can't be read", 0);
            return;
        }
        apply_op(model, &op, &at);
    }
}

void model_reopen(struct model *model)
{
    for (size_t i = 0; i < model->count; i++) {
        struct model_job *job = &model->jobs[i];
        if (job->state != QUPLOG_RUNNING)
            continue;
        release(job, false, 0, 0);
        job->finished_open = is_final(job);
    }
}
