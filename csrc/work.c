/* work.c: the verbs of a worker: finish the last job and claim the next, in one frame.
 *
 * The claim is recorded in the worker before the append lock is given back, so that a claim is
 * never held by nobody: the worker's next call ends it, or its close, or the pool from another
 * thread. A finish names the claim by its LSN; if the table knows another run of the job by now,
 * the finish is refused (QUPLOG_STALE) and nothing is written.
 */
#include <errno.h>

#include "fetch.h"
#include "roster.h"

enum { RETENTION_CHECK_US = 60 * 1000000 };

struct quplog_worker {
    quplog *log;
    quplog_claim claim;
    bool has;          /* a claim whose outcome is not written yet */
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
    int status = commit_begin(q);
    if (status)
        return status;
    struct span name = {(const unsigned char *)task, length};
    status = roster_add_task(log, name, number);
    commit_end(q);
    commit_wake_workers(q, CONTROL_ALL); /* jobs may have waited for just this task */
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
    int status = commit_begin(q);
    if (status)
        return status;
    status = roster_set_queues(log, p, length);
    commit_end(q);
    commit_wake_workers(q, CONTROL_ALL);
    return status;
}

/* ---- the process's seat in the log ---- */

/* Before the first claim, and after tasks were added: say who this is and what it can run. */
static int announce(quplog *log)
{
    struct core *q = log->core;
    char host[256];
    struct buffer tasks = {0}, ops = {0};
    if (log->roster.announced)
        return QUPLOG_OK;
    const struct worker_slot *slot = table_slot(&q->table, COMMIT_SLOT);
    if (q->generation == 0)
        q->generation = (slot ? slot->generation : 0) + 1;
    q->io->host_name(q->io->world, host, sizeof host);
    int status = roster_encode_tasks(&log->roster, &tasks);
    struct op_worker worker = {.host = {(const unsigned char *)host, strlen(host)},
                               .tasks = {tasks.data, tasks.length},
                               .slot = COMMIT_SLOT,
                               .generation = q->generation,
                               .process_id = q->io->process_id(q->io->world),
                               .started_us = commit_now(q)};
    if (status == QUPLOG_OK)
        status = op_encode_worker(&ops, &worker);
    if (status == QUPLOG_OK)
        status = commit_ops(q, 1, &ops, NULL);
    log->roster.announced = status == QUPLOG_OK;
    buffer_free(&tasks);
    buffer_free(&ops);
    return status;
}

int quplog_worker_new(quplog *log, quplog_worker **out)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    quplog_worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return QUPLOG_NO_MEMORY;
    worker->log = log;
    *out = worker;
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

static int encode_finish(struct buffer *ops, const quplog_claim *claim, const struct job *job,
                         uint8_t state, struct span data)
{
    struct op_finish finish = {.id = claim->id,
                               .token = claim->token,
                               .previous_error = job->error_lsn,
                               .data = data,
                               .state = state};
    return op_encode_finish(ops, &finish);
}

static int encode_retry(struct buffer *ops, const quplog_claim *claim, const struct job *job,
                        uint8_t state, int64_t due_us, struct span data)
{
    struct op_retry retry = {.id = claim->id,
                             .token = claim->token,
                             .previous_error = job->error_lsn,
                             .due_us = due_us,
                             .data = data,
                             .state = state};
    return op_encode_retry(ops, &retry);
}

static int encode_outcome(quplog_worker *worker, int outcome, int64_t due_us, struct span data)
{
    const quplog_claim *claim = &worker->claim;
    const struct job *job = claimed_job(worker->log->core, worker);
    if (!job)
        return QUPLOG_STALE;
    /* Whoever was asked to stop and did not succeed has stopped: it is not tried again. */
    bool again = outcome == QUPLOG_RUN_RETRY || outcome == QUPLOG_RUN_SNOOZE;
    if (again && due_us <= 0)
        return QUPLOG_INVALID; /* without a time it would never be due */
    if (again && (job->flags & JOB_CANCEL_REQUESTED))
        return encode_finish(&worker->ops, claim, job, QUPLOG_CANCELLED, (struct span){NULL, 0});
    switch (outcome) {
    case QUPLOG_RUN_SUCCEEDED:
        return encode_finish(&worker->ops, claim, job, QUPLOG_SUCCEEDED, data);
    case QUPLOG_RUN_FAILED:
        return encode_finish(&worker->ops, claim, job, QUPLOG_JOB_FAILED, data);
    case QUPLOG_RUN_CANCELLED:
        return encode_finish(&worker->ops, claim, job, QUPLOG_CANCELLED, data);
    case QUPLOG_RUN_RETRY:
        return encode_retry(&worker->ops, claim, job, QUPLOG_RETRYING, due_us, data);
    case QUPLOG_RUN_SNOOZE:
        return encode_retry(&worker->ops, claim, job, QUPLOG_SCHEDULED, due_us, data);
    case QUPLOG_RUN_RELEASE:
        return op_encode_release(&worker->ops, claim->id, claim->token, OP_RELEASE_STOP);
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
    struct lane *lane = roster_best_lane(worker->log, &choice->task);
    if (!lane)
        return QUPLOG_OK;
    int status = announce(worker->log);
    if (status)
        return status;
    uint64_t id = heap_top(&lane->ready)->id;
    choice->op_at = worker->ops.length;
    status = op_encode_claim(&worker->ops, id, COMMIT_SLOT, q->generation);
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
static int turn(quplog_worker *worker, int outcome, int64_t due_us, struct span data, int flags,
                uint64_t *put_lsn)
{
    struct core *q = worker->log->core;
    struct choice choice = {0};
    uint64_t lsn = 0;
    bool claiming = (flags & QUPLOG_CLAIM_NEXT) && !atomic_load(&worker->log->stopping);
    int status = claiming ? commit_due(q) : QUPLOG_OK;
    if (status)
        return status;
    worker->ops.length = 0;
    uint32_t count = 0;
    if (worker->has) {
        status = encode_outcome(worker, outcome, due_us, data);
        if (status == QUPLOG_STALE)
            worker->has = false;
        if (status)
            return status;
        count++;
    }
    if (claiming && (status = choose(worker, &choice)) != QUPLOG_OK)
        return status;
    count += choice.id != 0;
    if (count && (status = commit_ops(q, count, &worker->ops, &lsn)) != QUPLOG_OK)
        return status;
    worker->has = false;
    if (choice.id) {
        take(worker, &choice, lsn);
        *put_lsn = jobs_get(&q->table.jobs, choice.id)->put_lsn;
        return QUPLOG_OK;
    }
    return claiming || !(flags & QUPLOG_CLAIM_NEXT) ? QUPLOG_EMPTY : QUPLOG_STOPPED;
}

/* Give the worker's claim back, as if its run had been interrupted. */
static int release(quplog_worker *worker)
{
    struct core *q = worker->log->core;
    struct buffer ops = {0};
    int status = commit_begin(q);
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
    control_bump(q->io, &q->control.finished, CONTROL_ALL);
    commit_wake_workers(q, 1);
    return status;
}

/* A payload that can't be read back is this job's misfortune: its runner is told, and fails it.
 * Without memory nothing can be run: the job goes back. */
static int load_payload(quplog_worker *worker, uint64_t put_lsn)
{
    struct op op;
    uint64_t id = worker->claim.id;
    int status = fetch_put(worker->log->core, id, put_lsn, &worker->payload, &op);
    if (status == QUPLOG_NO_MEMORY) {
        (void)release(worker);
        worker->has = false;
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

/* A signal does not end this wait: the outcome is written, and its caller must learn how. */
static int sync_outcome(struct core *q, uint64_t lsn)
{
    int status;
    do
        status = commit_sync(q, lsn);
    while (status == QUPLOG_INTERRUPTED);
    return status;
}

/* A job that will be tried again has a time; one that finished will be forgotten one day, and if
 * there are very many, after a minute. */
static void wake_helper(struct core *q, int64_t due_us)
{
    commit_wake_helper(q, due_us ? due_us : commit_now(q) + RETENTION_CHECK_US);
}

int quplog_work(quplog_worker *worker, int outcome, int64_t due_us, const char *data,
                size_t length, int flags)
{
    struct core *q = worker->log->core;
    struct span bytes = {(const unsigned char *)data, length};
    if (worker->has && outcome == QUPLOG_NO_OUTCOME)
        return QUPLOG_INVALID;
    worker->claim.finish_status = QUPLOG_OK;
    for (;;) {
        uint64_t put_lsn = 0;
        bool had = worker->has;
        int status = core_of(worker->log) ? commit_begin(q) : QUPLOG_CLOSED;
        if (status)
            return worker->claim.finish_status = status;
        uint32_t seen = control_read(&q->control.work);
        status = turn(worker, outcome, due_us, bytes, flags, &put_lsn);
        uint64_t end = q->log.next;
        bool turned = status == QUPLOG_OK || status == QUPLOG_EMPTY;
        bool released = had && status == QUPLOG_EMPTY && outcome == QUPLOG_RUN_RELEASE;
        bool pass_on = status == QUPLOG_EMPTY && !had && worker->passed_on != seen &&
                       roster_others_may(worker->log);
        bool more = turned && (released || atomic_load(&q->control.work.sleepers)) &&
                    roster_claimable(worker->log);
        commit_end(q);
        if (had) {
            control_bump(q->io, &q->control.finished, CONTROL_ALL);
            wake_helper(q, due_us);
        }
        if (pass_on) { /* once for each change, so that two who can't take a job don't wake each
                          other for ever */
            worker->passed_on = seen;
            control_pass_on(q->io, &q->control.work);
        }
        if (had && worker->has && status != QUPLOG_OK)
            return worker->claim.finish_status = status; /* the outcome was not written */
        if (had && status == QUPLOG_STALE)
            return worker->claim.finish_status = status;
        if (more)
            commit_wake_workers(q, 1);
        if (had && (flags & QUPLOG_SYNC))
            worker->claim.finish_status = sync_outcome(q, end);
        if (status == QUPLOG_OK)
            return load_payload(worker, put_lsn);
        /* What was given back, or is to be tried again at once, can be claimed now. */
        bool again = (released && more) || (had && due_us && due_us <= commit_now(q));
        if (status == QUPLOG_EMPTY && again && (flags & QUPLOG_CLAIM_NEXT))
            continue;
        if (status != QUPLOG_EMPTY || !(flags & QUPLOG_WAIT) || !(flags & QUPLOG_CLAIM_NEXT))
            return status;
        if (core_of(worker->log) && control_sleep(q->io, &q->control.work, seen, -1, 0) == -EINTR)
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
        (void)release(worker); /* if it can't be written, the next opener releases it */
    buffer_free(&worker->ops);
    buffer_free(&worker->payload);
    free(worker);
}

void quplog_stop(quplog *log)
{
    struct core *q = log->core;
    atomic_store(&log->stopping, 1);
    control_bump(q->io, &q->control.work, CONTROL_ALL);
    control_bump(q->io, &q->control.attention, CONTROL_ALL);
}

void quplog_start(quplog *log)
{
    struct core *q = log->core;
    atomic_store(&log->stopping, 0);
    commit_wake_workers(q, CONTROL_ALL);
}
