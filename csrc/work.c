/* work.c: the verbs of a worker: finish the last job and claim the next, in one frame.
 *
 * The claim is recorded in the worker before the append lock is given back, so that a claim is
 * never held by nobody: the worker's next call ends it, or its close, or the pool from another
 * thread. A finish names the claim by its LSN; if the table knows another run of the job by now,
 * the finish is refused (QUPLOG_STALE) and nothing is written.
 */
#include <errno.h>

#include "failpoint.h"
#include "fetch.h"
#include "roster.h"

struct quplog_worker {
    quplog *log;
    struct slot *slot; /* the process's, or `own` */
    struct slot own;
    quplog_claim claim;
    bool has;          /* a claim whose outcome is not written yet */
    bool idle;         /* and which nobody runs: it could not be given back yet */
    uint32_t passed_on; /* the last change of `work` that it could do nothing with */
    struct buffer ops;
    struct buffer payload;
};

/* ---- what this opening serves ---- */

int quplog_register(quplog *log, const char *task, size_t length, uint32_t *number)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    if (length == 0 || length > QUPLOG_NAME_MAX)
        return QUPLOG_INVALID;
    int status = commit_begin(q, COMMIT_DECIDE);
    if (status)
        return status;
    struct span name = {(const unsigned char *)task, length};
    status = roster_add_task(log, name, number);
    commit_end(q);
    commit_wake_workers(q, CONTROL_ALL, IO_ALL_BITS); /* jobs may have waited for just this task */
    return status;
}

/* A length byte and a name, again and again, to the very end. */
static bool well_formed(const unsigned char *names, size_t length)
{
    size_t at = 0;
    while (at < length && names[at])
        at += 1U + names[at];
    return at == length;
}

int quplog_serve(quplog *log, const char *queues, size_t length)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    const unsigned char *p = (const unsigned char *)queues;
    if (!well_formed(p, length))
        return QUPLOG_INVALID;
    int status = commit_begin(q, COMMIT_DECIDE);
    if (status)
        return status;
    status = roster_set_queues(log, p, length);
    commit_end(q);
    commit_wake_workers(q, CONTROL_ALL, IO_ALL_BITS);
    return status;
}

/* ---- seats ---- */

int quplog_worker_new(quplog *log, quplog_worker **out)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    quplog_worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return QUPLOG_NO_MEMORY;
    worker->log = log;
    worker->slot = &q->slot;
    worker->own.lock.fd = -1;
    *out = worker;
    return QUPLOG_OK;
}

int quplog_worker_split(quplog_worker *worker, int *fd)
{
    struct core *q = core_of(worker->log);
    if (!q)
        return QUPLOG_CLOSED;
    if (worker->has || worker->slot == &worker->own)
        return QUPLOG_INVALID;
    int status = commit_begin(q, COMMIT_DECIDE);
    if (status)
        return status;
    status = slot_announce(q, &worker->own);
    commit_end(q);
    if (status)
        return status;
    worker->slot = &worker->own;
    *fd = worker->own.lock.fd;
    return QUPLOG_OK;
}

const quplog_claim *quplog_worker_claim(const quplog_worker *worker)
{
    return &worker->claim;
}

/* ---- the outcome of a run ---- */

static struct job *claimed_job(struct core *q, const quplog_worker *worker)
{
    struct job *job = jobs_get(&q->table.jobs, worker->claim.id);
    bool current = job && job->state == QUPLOG_RUNNING &&
                   table_run(&q->table, job)->token == worker->claim.token;
    return current ? job : NULL;
}

/* What the caller says of the run. */
struct outcome {
    int kind; /* enum quplog_outcome */
    int64_t due_us;
    struct span data;
    bool dropped; /* a full disk has no room for its result */
};

static int encode_finish(struct buffer *ops, const quplog_claim *claim, const struct job *job,
                         uint8_t state, const struct outcome *outcome)
{
    struct op_finish finish = {.id = claim->id,
                               .token = claim->token,
                               .previous_error = job->error_lsn,
                               .data = outcome->data,
                               .state = state,
                               .dropped = outcome->dropped};
    return op_encode_finish(ops, &finish);
}

static int encode_retry(struct buffer *ops, const quplog_claim *claim, const struct job *job,
                        uint8_t state, const struct outcome *outcome)
{
    struct op_retry retry = {.id = claim->id,
                             .token = claim->token,
                             .previous_error = job->error_lsn,
                             .due_us = outcome->due_us,
                             .data = outcome->data,
                             .state = state};
    return op_encode_retry(ops, &retry);
}

static bool runs_again(const struct outcome *outcome)
{
    return outcome->kind == QUPLOG_RUN_RETRY || outcome->kind == QUPLOG_RUN_SNOOZE;
}

static int encode_outcome(quplog_worker *worker, const struct outcome *outcome)
{
    static const struct outcome nothing = {.kind = QUPLOG_RUN_CANCELLED};
    const quplog_claim *claim = &worker->claim;
    const struct job *job = claimed_job(worker->log->core, worker);
    struct buffer *ops = &worker->ops;
    if (!job)
        return QUPLOG_STALE;
    if (runs_again(outcome) && outcome->due_us <= 0)
        return QUPLOG_INVALID; /* without a time it would never be due */
    /* Whoever was asked to stop and did not succeed has stopped: it is not tried again. */
    if (runs_again(outcome) && (job->flags & JOB_CANCEL_REQUESTED))
        return encode_finish(ops, claim, job, QUPLOG_CANCELLED, &nothing);
    switch (outcome->kind) {
    case QUPLOG_RUN_SUCCEEDED: return encode_finish(ops, claim, job, QUPLOG_SUCCEEDED, outcome);
    case QUPLOG_RUN_FAILED: return encode_finish(ops, claim, job, QUPLOG_JOB_FAILED, outcome);
    case QUPLOG_RUN_CANCELLED: return encode_finish(ops, claim, job, QUPLOG_CANCELLED, outcome);
    case QUPLOG_RUN_RETRY: return encode_retry(ops, claim, job, QUPLOG_RETRYING, outcome);
    case QUPLOG_RUN_SNOOZE: return encode_retry(ops, claim, job, QUPLOG_SCHEDULED, outcome);
    case QUPLOG_RUN_RELEASE:
        return op_encode_release(ops, claim->id, claim->token, OP_RELEASE_STOP);
    default: return QUPLOG_INVALID;
    }
}

/* ---- claiming ---- */

/* What was chosen, before it is in the log. */
struct choice {
    uint64_t id;   /* 0: nothing */
    size_t op_at;  /* where its CLAIM stands in the frame's body */
    uint32_t task; /* its number in the roster */
};

static int choose(quplog_worker *worker, struct choice *choice)
{
    struct core *q = worker->log->core;
    choice->id = 0;
    int status = slot_announce(q, worker->slot); /* also who finds nothing is counted on */
    struct lane *lane = status ? NULL : roster_best_lane(worker->log, &choice->task);
    if (!lane)
        return status;
    uint64_t id = heap_top(&lane->ready)->id;
    choice->op_at = worker->ops.length;
    status = op_encode_claim(&worker->ops, id, worker->slot->number, worker->slot->generation);
    choice->id = status ? 0 : id;
    return status;
}

static void take(quplog_worker *worker, const struct choice *choice, uint64_t frame_lsn)
{
    struct core *q = worker->log->core;
    const struct job *job = jobs_get(&q->table.jobs, choice->id);
    const struct lane *lane = &q->table.lanes[job->lane];
    worker->claim = (quplog_claim){.id = choice->id,
                                   .token = frame_lsn + FRAME_HEADER + choice->op_at,
                                   .created_us = job->created_us,
                                   .started_us = job->started_us,
                                   .task = choice->task,
                                   .queue = q->table.queues[lane->queue].name,
                                   .attempt = job->attempt,
                                   .retries = job->retries,
                                   .crashes = job->crashes};
    worker->has = true;
}

/* One frame: the outcome (if there is one) and the next claim (if there is one). */
static int append_turn(quplog_worker *worker, const struct choice *choice, uint32_t count,
                       const struct outcome *outcome)
{
    bool released = worker->has && outcome->kind == QUPLOG_RUN_RELEASE;
    bool later = worker->has && runs_again(outcome);
    struct commit commit = {.body = {worker->ops.data, worker->ops.length},
                            .body_crc = op_seal(&worker->ops, 0, 0),
                            .op_count = count,
                            .wake_count = released,
                            .wake_bits = released ? IO_ALL_BITS : 0,
                            .earliest_us = later ? outcome->due_us : 0,
                            .urgent = true};
    int status = commit_frame(worker->log->core, &commit);
    if (status)
        return status;
    worker->has = false;
    if (choice->id)
        take(worker, choice, commit.lsn);
    FAILPOINT("claimed");
    return QUPLOG_OK;
}

static int turn(quplog_worker *worker, const struct outcome *outcome, int flags,
                uint64_t *put_lsn)
{
    struct core *q = worker->log->core;
    struct choice choice = {0};
    bool claiming = (flags & QUPLOG_CLAIM_NEXT) && !atomic_load(&worker->log->stopping);
    int status = claiming ? commit_due(q) : QUPLOG_OK;
    if (status)
        return status;
    worker->ops.length = 0;
    uint32_t count = 0;
    if (worker->has) {
        status = encode_outcome(worker, outcome);
        if (status == QUPLOG_STALE)
            worker->has = false;
        if (status)
            return status;
        count++;
    }
    if (claiming && (status = choose(worker, &choice)) != QUPLOG_OK)
        return status;
    count += choice.id != 0;
    if (count && (status = append_turn(worker, &choice, count, outcome)) != QUPLOG_OK)
        return status;
    if (choice.id) {
        *put_lsn = jobs_get(&q->table.jobs, choice.id)->put_lsn;
        return QUPLOG_OK;
    }
    return claiming || !(flags & QUPLOG_CLAIM_NEXT) ? QUPLOG_EMPTY : QUPLOG_STOPPED;
}

/* For what must be written although a signal came. */
static int begin_surely(struct core *q)
{
    int status;
    do
        status = commit_begin(q, COMMIT_DECIDE);
    while (status == QUPLOG_INTERRUPTED);
    return status;
}

/* Give the worker's claim back, as if its run had been interrupted. */
static int release(quplog_worker *worker)
{
    struct core *q = worker->log->core;
    struct buffer ops = {0};
    int status = begin_surely(q);
    if (status)
        return status;
    if (worker->has && claimed_job(q, worker)) {
        status =
            op_encode_release(&ops, worker->claim.id, worker->claim.token, OP_RELEASE_STOP);
        if (status == QUPLOG_OK)
            status = commit_ops(q, 1, &ops, NULL);
    }
    commit_end(q);
    buffer_free(&ops);
    control_bump(q->io, &q->control.page->finished, CONTROL_ALL, IO_ALL_BITS);
    commit_wake_workers(q, 1, IO_ALL_BITS);
    return status;
}

/* A claim of which the caller was never told is given back before anything else is done. */
static int give_back(quplog_worker *worker)
{
    int status = release(worker);
    worker->has = worker->idle = status != QUPLOG_OK;
    return status;
}

/* A payload that can't be read back is this job's misfortune: its runner is told, and fails it.
 * Without memory nothing can be run: the job goes back. */
static int load_payload(quplog_worker *worker, uint64_t put_lsn)
{
    struct op op;
    int status = fetch_put(worker->log->core, worker->claim.id, put_lsn, &worker->payload, &op);
    if (status == QUPLOG_NO_MEMORY) {
        (void)give_back(worker); /* or with the next call */
        return status;
    }
    worker->claim.payload_status = status;
    if (status)
        return QUPLOG_OK;
    struct span payload =
        op.type == QUPLOG_OP_COPY ? op.as.copy.job.payload : op.as.put.job.payload;
    worker->claim.payload = (quplog_bytes){(const char *)payload.data, payload.length};
    return QUPLOG_OK;
}

/* How one turn went, and what is to be done when it is over. */
struct round {
    int status;
    uint32_t seen; /* of the word `work`, before this looked */
    bool had;      /* an outcome to write */
    bool more;     /* there is more for another worker */
    bool released;
    uint64_t end;
    uint64_t put_lsn;
};

/* A full disk may have room for the outcome without its result. */
static int turn_in_any_case(quplog_worker *worker, const struct outcome *outcome, int flags,
                            uint64_t *put_lsn)
{
    static const struct outcome mark = {.kind = QUPLOG_RUN_SUCCEEDED, .dropped = true};
    int status = turn(worker, outcome, flags, put_lsn);
    bool droppable = outcome->kind == QUPLOG_RUN_SUCCEEDED && outcome->data.length > 0;
    if (status != QUPLOG_FULL || !worker->has || !droppable)
        return status;
    return turn(worker, &mark, flags, put_lsn);
}

static struct round take_turn(quplog_worker *worker, const struct outcome *outcome, int flags)
{
    struct core *q = worker->log->core;
    struct control_word *work = &q->control.page->work;
    struct round r = {.had = worker->has};
    r.status = core_of(worker->log) ? commit_begin(q, COMMIT_DECIDE) : QUPLOG_CLOSED;
    if (r.status)
        return r;
    r.seen = control_read(work);
    r.status = turn_in_any_case(worker, outcome, flags, &r.put_lsn);
    r.end = commit_end_lsn(q);
    r.released = r.had && r.status == QUPLOG_EMPTY && outcome->kind == QUPLOG_RUN_RELEASE;
    uint32_t sleepers = control_counted(&work->sleepers);
    uint32_t left = sleepers || r.released ? roster_open_bits(worker->log) : 0;
    if (r.status == QUPLOG_OK || r.had)
        r.more = left != 0;
    else if (r.status == QUPLOG_EMPTY && left && worker->passed_on != r.seen) {
        /* Once for each change, so that two who can't take a job don't wake each other for ever. */
        worker->passed_on = r.seen;
        r.more = true;
    }
    commit_end(q);
    if (r.more)
        control_wake(q->io, work, 1, left);
    if (r.had)
        control_bump(q->io, &q->control.page->finished, CONTROL_ALL, IO_ALL_BITS);
    return r;
}

int quplog_work(quplog_worker *worker, int outcome, int64_t due_us, const char *data,
                size_t length, int flags)
{
    struct core *q = worker->log->core;
    const struct outcome said = {outcome, due_us, {(const unsigned char *)data, length}, false};
    worker->claim.finish_status = QUPLOG_OK;
    int idle = worker->idle ? give_back(worker) : QUPLOG_OK;
    if (idle)
        return idle;
    if (worker->has && outcome == QUPLOG_NO_OUTCOME)
        return QUPLOG_INVALID;
    for (;;) {
        struct round r = take_turn(worker, &said, flags);
        bool unwritten = r.had && worker->has && r.status != QUPLOG_OK;
        if (unwritten || (r.had && r.status == QUPLOG_STALE))
            return worker->claim.finish_status = r.status;
        if (r.had && (flags & QUPLOG_SYNC)) /* it is written: its caller must learn how it went */
            worker->claim.finish_status = commit_sync_surely(q, r.end);
        if (r.status == QUPLOG_OK)
            return load_payload(worker, r.put_lsn);
        if (r.status != QUPLOG_EMPTY || !(flags & QUPLOG_CLAIM_NEXT))
            return r.status;
        /* What was given back, or is to be tried again at once, can be claimed now. */
        if ((r.released && r.more) || (r.had && due_us && due_us <= core_now(q)))
            continue;
        if (!(flags & QUPLOG_WAIT))
            return r.status;
        uint32_t bits = atomic_load(&worker->log->roster.bits);
        if (core_of(worker->log) &&
            control_sleep(q->io, &q->control.page->work, r.seen, -1, 0,
                          bits ? bits : IO_ALL_BITS) == -EINTR)
            return QUPLOG_INTERRUPTED;
    }
}

/* ---- giving back ---- */

int quplog_worker_release(quplog_worker *worker)
{
    return release(worker);
}

void quplog_worker_free(quplog_worker *worker)
{
    if (!worker)
        return;
    if (worker->has)
        (void)release(worker); /* if it can't be written, whoever finds us gone releases it */
    slot_leave(&worker->own);
    buffer_free(&worker->ops);
    buffer_free(&worker->payload);
    free(worker);
}

void quplog_stop(quplog *log)
{
    struct core *q = log->core;
    if (core_is_copy(q))
        return; /* its page is not mapped here */
    atomic_store(&log->stopping, 1);
    commit_wake_workers(q, CONTROL_ALL, IO_ALL_BITS);
    commit_wake_helpers(q);
}

void quplog_start(quplog *log)
{
    struct core *q = log->core;
    if (core_is_copy(q))
        return; /* its page is not mapped here */
    atomic_store(&log->stopping, 0);
    commit_wake_workers(q, CONTROL_ALL, IO_ALL_BITS);
}
