/* work.c: the verbs of a worker: finish the last job and claim the next, in one frame.
 *
 * The claim is recorded in the worker before the append lock is given back, so that a claim is
 * never held by nobody: the worker's next call ends it, or its close, or the pool from another
 * thread. A finish names the claim by its LSN; if the table knows another run of the job by now,
 * the finish is refused (QUPLOG_STALE) and nothing is written.
 */
#include "work.h"

#include <errno.h>

#include "fetch.h"

enum { RETENTION_CHECK_US = 60 * 1000000 };

struct quplog_worker {
    quplog *log;
    quplog_claim claim;
    bool has; /* a claim whose outcome is not written yet */
    struct buffer ops;
    struct buffer payload;
};

/* ---- what this process serves ---- */

static int add_name(quplog *q, struct names *names, struct span name, uint32_t *number)
{
    size_t before = names->count;
    *number = names_add(names, name);
    if (*number == NAMES_NONE)
        return QUPLOG_NO_MEMORY;
    if (names->count > before) {
        for (size_t i = 0; i < q->table.lane_count; i++)
            q->table.lanes[i].runner = TABLE_NOT_ASKED;
        q->roster.announced = false;
    }
    return QUPLOG_OK;
}

int quplog_register(quplog *q, const char *task, size_t length, uint32_t *number)
{
    if (length == 0 || length > QUPLOG_NAME_MAX)
        return QUPLOG_INVALID;
    int status = commit_begin(q);
    if (status)
        return status;
    struct span name = {(const unsigned char *)task, length};
    status = add_name(q, &q->roster.tasks, name, number);
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

int quplog_serve(quplog *q, const char *queues, size_t length)
{
    const unsigned char *p = (const unsigned char *)queues;
    if (!well_formed(p, length))
        return QUPLOG_INVALID;
    int status = commit_begin(q);
    if (status)
        return status;
    for (size_t at = 0; status == QUPLOG_OK && at < length; at += 1U + p[at]) {
        uint32_t number;
        status = add_name(q, &q->roster.queues, (struct span){p + at + 1, p[at]}, &number);
    }
    commit_end(q);
    commit_wake_workers(q, CONTROL_ALL);
    return status;
}

/* This process's number for the lane's task; TABLE_NOT_HERE if it can't or won't run it. */
static uint32_t runner_of(quplog *q, struct lane *lane)
{
    if (lane->runner == TABLE_NOT_ASKED) {
        const struct table *table = &q->table;
        struct span queue = table->names.spans[table->queues[lane->queue].name];
        bool served = q->roster.queues.count == 0 ||
                      names_find(&q->roster.queues, queue) != NAMES_NONE;
        uint32_t task = names_find(&q->roster.tasks, table->names.spans[lane->task]);
        lane->runner = served && task != NAMES_NONE ? task : TABLE_NOT_HERE;
    }
    return lane->runner;
}

/* The lane with the first job to run: by priority, then by age. NULL: none. */
static struct lane *best_lane(quplog *q)
{
    struct lane *best = NULL;
    for (size_t i = 0; i < q->table.lane_count; i++) {
        struct lane *lane = &q->table.lanes[i];
        if (!table_lane_open(&q->table, lane) || runner_of(q, lane) == TABLE_NOT_HERE)
            continue;
        const struct heap_entry *top = heap_top(&lane->ready);
        const struct heap_entry *first = best ? heap_top(&best->ready) : NULL;
        if (!first || top->key < first->key || (top->key == first->key && top->id < first->id))
            best = lane;
    }
    return best;
}

bool work_claimable(quplog *q)
{
    return best_lane(q) != NULL;
}

/* ---- the process's seat in the log ---- */

static int encode_tasks(quplog *q, struct buffer *tasks)
{
    for (size_t i = 0; i < q->roster.tasks.count; i++) {
        struct span name = q->roster.tasks.spans[i];
        unsigned char *p = buffer_room(tasks, 1 + name.length);
        if (!p)
            return QUPLOG_NO_MEMORY;
        p[0] = (unsigned char)name.length;
        memcpy(p + 1, name.data, name.length);
        tasks->length += 1 + name.length;
    }
    return QUPLOG_OK;
}

/* Before the first claim, and after tasks were added: say who this is and what it can run. */
static int announce(quplog *q)
{
    char host[256];
    struct buffer tasks = {0}, ops = {0};
    if (q->roster.announced)
        return QUPLOG_OK;
    if (q->generation == 0)
        q->generation = (q->table.slot_count ? q->table.generations[COMMIT_SLOT] : 0) + 1;
    q->io->host_name(q->io->world, host, sizeof host);
    int status = encode_tasks(q, &tasks);
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
    q->roster.announced = status == QUPLOG_OK;
    buffer_free(&tasks);
    buffer_free(&ops);
    return status;
}

int quplog_worker_new(quplog *q, quplog_worker **out)
{
    quplog_worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return QUPLOG_NO_MEMORY;
    worker->log = q;
    *out = worker;
    return QUPLOG_OK;
}

const quplog_claim *quplog_worker_claim(const quplog_worker *worker)
{
    return &worker->claim;
}

/* ---- the outcome of a run ---- */

static struct job *claimed_job(quplog *q, const quplog_worker *worker)
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
    const struct job *job = claimed_job(worker->log, worker);
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
    uint64_t id; /* 0: nothing */
    size_t op_at; /* where its CLAIM stands in the frame's body */
};

static int choose(quplog_worker *worker, struct choice *choice)
{
    quplog *q = worker->log;
    choice->id = 0;
    struct lane *lane = best_lane(q);
    if (!lane)
        return QUPLOG_OK;
    int status = announce(q);
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
    quplog *q = worker->log;
    const struct job *job = jobs_get(&q->table.jobs, choice->id);
    const struct lane *lane = &q->table.lanes[job->lane];
    worker->claim = (quplog_claim){.id = choice->id,
                                   .token = frame_lsn + FRAME_HEADER + choice->op_at,
                                   .created_us = job->created_us,
                                   .started_us = job->started_us,
                                   .task = lane->runner,
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
    quplog *q = worker->log;
    struct choice choice = {0, 0};
    uint64_t lsn = 0;
    bool claiming = (flags & QUPLOG_CLAIM_NEXT) && !atomic_load(&q->stopping);
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
    quplog *q = worker->log;
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
    int status = fetch_op(worker->log, put_lsn, &worker->payload, &op);
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
static int sync_outcome(quplog *q, uint64_t lsn)
{
    int status;
    do
        status = commit_sync(q, lsn);
    while (status == QUPLOG_INTERRUPTED);
    return status;
}

/* A job that will be tried again has a time; one that finished will be forgotten one day, and if
 * there are very many, after a minute. */
static void wake_helper(quplog *q, int64_t due_us)
{
    commit_wake_helper(q, due_us ? due_us : commit_now(q) + RETENTION_CHECK_US);
}

int quplog_work(quplog_worker *worker, int outcome, int64_t due_us, const char *data,
                size_t length, int flags)
{
    quplog *q = worker->log;
    struct span bytes = {(const unsigned char *)data, length};
    if (worker->has && outcome == QUPLOG_NO_OUTCOME)
        return QUPLOG_INVALID;
    worker->claim.finish_status = QUPLOG_OK;
    for (;;) {
        uint64_t put_lsn = 0;
        bool had = worker->has;
        int status = commit_begin(q);
        if (status)
            return worker->claim.finish_status = status;
        uint32_t seen = control_read(&q->control.work);
        status = turn(worker, outcome, due_us, bytes, flags, &put_lsn);
        uint64_t end = q->log.next;
        bool turned = status == QUPLOG_OK || status == QUPLOG_EMPTY;
        bool released = had && status == QUPLOG_EMPTY && outcome == QUPLOG_RUN_RELEASE;
        bool more = turned && (released || atomic_load(&q->control.work.sleepers)) &&
                    work_claimable(q);
        commit_end(q);
        if (had)
            control_bump(q->io, &q->control.finished, CONTROL_ALL);
        if (had)
            wake_helper(q, due_us);
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
        if (released && more && (flags & QUPLOG_CLAIM_NEXT))
            continue; /* what was given back can be claimed now, by whoever gave it back too */
        if (status != QUPLOG_EMPTY || !(flags & QUPLOG_WAIT) || !(flags & QUPLOG_CLAIM_NEXT))
            return status;
        if (control_sleep(q->io, &q->control.work, seen, -1, 0) == -EINTR)
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

void quplog_stop(quplog *q)
{
    atomic_store(&q->stopping, 1);
    control_bump(q->io, &q->control.work, CONTROL_ALL);
    control_bump(q->io, &q->control.attention, CONTROL_ALL);
}

void quplog_start(quplog *q)
{
    atomic_store(&q->stopping, 0);
    commit_wake_workers(q, CONTROL_ALL);
}
