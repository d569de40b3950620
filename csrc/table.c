/* table.c: see table.h. */
#include "table.h"

static const int64_t KEEP_SUCCEEDED_US = INT64_C(3600) * 1000000;
static const int64_t KEEP_FAILED_US = INT64_C(7) * 86400 * 1000000;

static bool is_final(uint8_t state)
{
    return state >= QUPLOG_SUCCEEDED;
}

/* ---- looking up ---- */

struct span table_task(const struct table *table, const struct job *job)
{
    return table->names.spans[table->lanes[job->lane].task];
}

struct span table_queue(const struct table *table, const struct job *job)
{
    return table->names.spans[table->queues[table->lanes[job->lane].queue].name];
}

struct run *table_run(const struct table *table, const struct job *job)
{
    return &table->runs[job->when];
}

bool table_lane_open(const struct table *table, const struct lane *lane)
{
    return lane->ready.count > 0 && !table->queues[lane->queue].paused;
}

struct table_schedule *table_find_schedule(const struct table *table, struct span id)
{
    for (size_t i = 0; i < table->schedule_count; i++) {
        struct table_schedule *s = &table->schedules[i];
        if (span_equal(id, (struct span){s->id, s->id_length}))
            return s;
    }
    return NULL;
}

struct queue_state *table_find_queue(const struct table *table, struct span name)
{
    uint32_t number = names_find(&table->names, name);
    for (size_t i = 0; number != NAMES_NONE && i < table->queue_count; i++)
        if (table->queues[i].name == number)
            return &table->queues[i];
    return NULL;
}

const struct worker_slot *table_slot(const struct table *table, uint16_t slot)
{
    const struct worker_slot *found = slot < table->slot_count ? &table->slots[slot] : NULL;
    return found && found->put_lsn ? found : NULL;
}

int64_t table_next_due(const struct table *table)
{
    int64_t next = table->due.count ? (int64_t)heap_top(&table->due)->key : 0;
    for (size_t i = 0; i < table->schedule_count; i++) {
        const struct table_schedule *s = &table->schedules[i];
        if (!s->paused && (next == 0 || s->next_us < next))
            next = s->next_us;
    }
    return next;
}

void table_init(struct table *table)
{
    memset(table, 0, sizeof *table);
    table->next_id = 1;
    table->settings = (struct op_settings){.segment_size = TABLE_SEGMENT_SIZE,
                                           .keep_succeeded_us = KEEP_SUCCEEDED_US,
                                           .keep_failed_us = KEEP_FAILED_US};
}

static void free_all_but_names(struct table *table)
{
    for (size_t i = 0; i < table->lane_count; i++)
        heap_free(&table->lanes[i].ready);
    jobs_free(&table->jobs);
    heap_free(&table->due);
    heap_free(&table->succeeded);
    heap_free(&table->failed);
    free(table->lanes);
    free(table->queues);
    free(table->runs);
    free(table->schedules);
    for (size_t i = 0; i < table->slot_count; i++)
        free(table->slots[i].tasks);
    free(table->slots);
}

void table_free(struct table *table)
{
    free_all_but_names(table);
    names_free(&table->names);
    memset(table, 0, sizeof *table);
}

void table_reset(struct table *table)
{
    struct names names = table->names;
    free_all_but_names(table);
    table_init(table);
    table->names = names;
}

size_t table_bytes(const struct table *table)
{
    size_t bytes = table->jobs.bytes + heap_bytes(&table->due) + heap_bytes(&table->succeeded) +
                   heap_bytes(&table->failed) + table->names.bytes +
                   table->names.slot_count * sizeof *table->names.slots +
                   table->names.room * sizeof *table->names.spans +
                   table->run_room * sizeof *table->runs +
                   table->lane_room * sizeof *table->lanes +
                   table->slot_count * sizeof *table->slots +
                   table->queue_room * sizeof *table->queues +
                   table->schedule_room * sizeof *table->schedules;
    for (size_t i = 0; i < table->lane_count; i++)
        bytes += heap_bytes(&table->lanes[i].ready);
    return bytes;
}

/* ---- reserving ---- */

/* Room for `wanted` elements in a growing array. */
static bool make_room(void *array, size_t *room, size_t wanted, size_t size)
{
    void **pointer = array;
    if (wanted <= *room)
        return true;
    size_t more = *room ? *room * 2 : 16;
    while (more < wanted)
        more *= 2;
    void *grown = realloc(*pointer, more * size);
    if (!grown)
        return false;
    *pointer = grown;
    *room = more;
    return true;
}

/* The queue called `name`, added if it is new; TABLE_NONE: no memory. An idle queue that is
 * only known by name changes nothing that anybody can see. */
static uint32_t reserve_queue(struct table *table, struct span name)
{
    uint32_t number = names_add(&table->names, name);
    if (number == NAMES_NONE)
        return TABLE_NONE;
    for (uint32_t i = 0; i < table->queue_count; i++)
        if (table->queues[i].name == number)
            return i;
    if (!make_room(&table->queues, &table->queue_room, table->queue_count + 1,
                   sizeof *table->queues))
        return TABLE_NONE;
    table->queues[table->queue_count] = (struct queue_state){.name = number};
    return (uint32_t)table->queue_count++;
}

static bool lane_is(const struct table *table, uint32_t i, const struct op_job *job)
{
    const struct lane *lane = &table->lanes[i];
    return span_equal(table->names.spans[lane->task], job->task) &&
           span_equal(table->names.spans[table->queues[lane->queue].name], job->queue);
}

static uint32_t find_lane(const struct table *table, const struct op_job *job)
{
    if (table->last_lane < table->lane_count && lane_is(table, table->last_lane, job))
        return table->last_lane;
    uint32_t task = names_find(&table->names, job->task);
    uint32_t queue = names_find(&table->names, job->queue);
    for (uint32_t i = 0; i < table->lane_count; i++)
        if (table->lanes[i].task == task && table->queues[table->lanes[i].queue].name == queue)
            return i;
    return TABLE_NONE;
}

static uint32_t reserve_lane(struct table *table, const struct op_job *job)
{
    uint32_t found = find_lane(table, job);
    if (found != TABLE_NONE)
        return found;
    uint32_t task = names_add(&table->names, job->task);
    uint32_t queue = reserve_queue(table, job->queue);
    if (task == NAMES_NONE || queue == TABLE_NONE ||
        !make_room(&table->lanes, &table->lane_room, table->lane_count + 1, sizeof *table->lanes))
        return TABLE_NONE;
    table->lanes[table->lane_count] =
        (struct lane){.task = task, .queue = queue};
    return (uint32_t)table->lane_count++;
}

/* What applying one frame may need at most. */
struct needs {
    size_t puts;  /* jobs that the frame's own ids count */
    size_t moves; /* jobs that may enter some heap, each named by an op */
    size_t claims;
    size_t schedules;
    uint64_t due; /* jobs that DUE ops may move */
    bool sweeps;  /* an op that moves jobs which it doesn't name: DUE, OPEN, WORKER, RELEASE */
};

static bool reserve_job(struct table *table, const struct op_job *job, struct needs *needs)
{
    uint32_t lane = reserve_lane(table, job);
    if (lane == TABLE_NONE)
        return false;
    table->last_lane = lane;
    needs->moves++;
    return heap_reserve(&table->lanes[lane].ready, needs->moves);
}

/* What comes due or comes back must find room in its lane. */
static bool reserve_sweep(struct table *table, const struct needs *needs)
{
    for (size_t i = 0; i < table->lane_count; i++) {
        struct lane *lane = &table->lanes[i];
        uint64_t due = lane->counts[QUPLOG_SCHEDULED] + lane->counts[QUPLOG_RETRYING];
        size_t back = (size_t)(due < needs->due ? due : needs->due) +
                      (size_t)lane->counts[QUPLOG_RUNNING];
        if (!heap_reserve(&lane->ready, needs->moves + needs->claims + back))
            return false;
    }
    return true;
}

static bool reserve_slot(struct table *table, uint16_t slot)
{
    size_t room = table->slot_count;
    if (!make_room(&table->slots, &room, (size_t)slot + 1, sizeof *table->slots))
        return false;
    if (room > table->slot_count)
        memset(table->slots + table->slot_count, 0,
               (room - table->slot_count) * sizeof *table->slots);
    table->slot_count = room;
    return true;
}

/* The name at `at` of a list of names, each with its length before it; moves on. False: the end. */
static bool next_name(struct span list, size_t *at, struct span *name)
{
    if (*at >= list.length || list.length - *at - 1 < list.data[*at])
        return false;
    *name = (struct span){list.data + *at + 1, list.data[*at]};
    *at += 1U + name->length;
    return true;
}

/* The slot, and numbers for the names of what its worker can run. */
static bool reserve_worker(struct table *table, const struct op_worker *w)
{
    size_t at = 0, count = 0;
    struct span name;
    if (!reserve_slot(table, w->slot))
        return false;
    for (; next_name(w->tasks, &at, &name); count++)
        if (names_add(&table->names, name) == NAMES_NONE)
            return false;
    struct worker_slot *slot = &table->slots[w->slot];
    return make_room(&slot->tasks, &slot->task_room, count, sizeof *slot->tasks);
}

static bool reserve_op(struct table *table, const struct op *op, struct needs *needs)
{
    switch (op->type) {
    case QUPLOG_OP_PUT:
        needs->puts++;
        return reserve_job(table, &op->as.put.job, needs);
    case QUPLOG_OP_COPY:
        needs->claims++;
        return jobs_reserve(&table->jobs, op->as.copy.id, 1) &&
               reserve_slot(table, op->as.copy.slot) &&
               reserve_job(table, &op->as.copy.job, needs);
    case QUPLOG_OP_CLAIM:
        needs->claims++;
        return reserve_slot(table, op->as.claim.slot);
    case QUPLOG_OP_WORKER:
        needs->sweeps = true;
        return reserve_worker(table, &op->as.worker);
    case QUPLOG_OP_DUE:
        needs->due += op->as.due.most < UINT32_MAX ? op->as.due.most : UINT32_MAX;
        needs->sweeps = true;
        return true;
    case QUPLOG_OP_RELEASE:
    case QUPLOG_OP_OPEN: needs->sweeps = true; return true;
    case QUPLOG_OP_FINISH:
    case QUPLOG_OP_RETRY:
    case QUPLOG_OP_CANCEL: needs->moves++; return true;
    case QUPLOG_OP_QUEUE: return reserve_queue(table, op->as.queue.name) != TABLE_NONE;
    case QUPLOG_OP_SCHEDULE: needs->schedules++; return true;
    default: return true;
    }
}

static bool reserve_totals(struct table *table, const struct frame *frame,
                           const struct needs *needs)
{
    if (needs->sweeps && !reserve_sweep(table, needs))
        return false;
    return jobs_reserve(&table->jobs, frame->first_id, needs->puts) &&
           heap_reserve(&table->due, needs->moves) &&
           heap_reserve(&table->succeeded, needs->moves + needs->claims + table->running) &&
           heap_reserve(&table->failed, needs->moves) &&
           make_room(&table->runs, &table->run_room, table->run_count + needs->claims,
                     sizeof *table->runs) &&
           make_room(&table->schedules, &table->schedule_room,
                     table->schedule_count + needs->schedules, sizeof *table->schedules);
}

static int reserve_frame(struct table *table, const struct frame *frame)
{
    struct op op;
    struct op_job names = {0};
    struct needs needs = {0};
    size_t position = 0;
    uint32_t seen = 0;
    for (;; seen++) {
        switch (op_next(frame->body, &position, &op, &names)) {
        case OP_VALID:
            if (!reserve_op(table, &op, &needs))
                return QUPLOG_NO_MEMORY;
            break;
        case OP_SKIPPED: break;
        case OP_UNSUPPORTED: return QUPLOG_UNSUPPORTED;
        case OP_MALFORMED: return QUPLOG_CORRUPT;
        case OP_END:
            if (seen != frame->op_count ||
                (needs.puts && (frame->first_id == 0 || frame->first_id >> OP_ID_BITS)))
                return QUPLOG_CORRUPT;
            return reserve_totals(table, frame, &needs) ? QUPLOG_OK : QUPLOG_NO_MEMORY;
        }
    }
}

int table_reserve(struct table *table, const struct frame *frame)
{
    jobs_begin(&table->jobs);
    return frame->kind == FRAME_OPS ? reserve_frame(table, frame) : QUPLOG_OK;
}

/* ---- applying: where a job stands ---- */

/* One frame being applied. */
struct change {
    struct table *table;
    uint64_t lsn; /* of the op at hand */
    int64_t time_us;
    uint64_t next_put_id;
    void (*finished)(void *context, uint64_t id);
    void *context;
};

static void moved(void *context, uint64_t id, uint32_t position)
{
    struct table *table = context;
    jobs_get(&table->jobs, id)->heap = position;
}

static struct heap *heap_of(struct table *table, const struct job *job)
{
    switch (job->state) {
    case QUPLOG_READY: return &table->lanes[job->lane].ready;
    case QUPLOG_SCHEDULED:
    case QUPLOG_RETRYING: return &table->due;
    case QUPLOG_SUCCEEDED:
    case QUPLOG_CANCELLED: return &table->succeeded;
    case QUPLOG_JOB_FAILED: return &table->failed;
    default: return NULL;
    }
}

/* Higher priorities first, then the earlier order. LSNs stay below 2^56: enough for 2^20 jumps. */
static uint64_t ready_key(const struct job *job)
{
    uint64_t rank = (uint64_t)(QUPLOG_PRIORITY_MAX - job->priority);
    return rank << 56 | (job->when & (UINT64_MAX >> 8));
}

/* ---- applying: what copying everything would write ---- */

static void set_live(struct table *table, struct job *job, size_t length)
{
    table->live_bytes += align8(length) - align8(job->live_length);
    job->live_length = (uint32_t)length;
}

/* A COPY of the job now carries an error, or a result, of `length` more bytes. */
static void add_live(struct table *table, struct job *job, size_t length)
{
    set_live(table, job, job->live_length + length);
}

/* A COPY carries the last OP_ATTEMPTS_KEPT errors, of each OP_ERROR_KEPT bytes. When there are more
 * (each used an attempt), one goes for each that comes: about as long, we suppose. */
static void add_error(struct table *table, struct job *job, size_t length)
{
    if (job->attempt <= OP_ATTEMPTS_KEPT)
        add_live(table, job,
                 OP_COPY_ERROR + align8(length < OP_ERROR_KEPT ? length : OP_ERROR_KEPT));
}

static size_t schedule_live(const struct table_schedule *s)
{
    return align8(OP_SCHEDULE_SIZE + s->id_length + (size_t)s->rule_length);
}

static size_t queue_live(const struct table *table, const struct queue_state *queue)
{
    return align8(OP_QUEUE_SIZE + table->names.spans[queue->name].length);
}

/* ---- applying: moving a job ---- */

/* Take the job out of its state; it must enter another before anybody looks. */
static void leave(struct table *table, struct job *job)
{
    struct heap *heap = heap_of(table, job);
    if (heap)
        heap_remove(heap, job->heap, moved, table);
    if (job->state == QUPLOG_RUNNING) {
        struct run *run = table_run(table, job);
        run->id = 0;
        table->running--;
        while (table->run_count && table->runs[table->run_count - 1].id == 0)
            table->run_count--;
    }
    table->lanes[job->lane].counts[job->state]--;
}

static void enter(struct table *table, uint64_t id, struct job *job, uint8_t state, uint64_t when)
{
    job->state = state;
    job->when = when;
    table->lanes[job->lane].counts[state]++;
    struct heap *heap = heap_of(table, job);
    uint64_t key = state == QUPLOG_READY ? ready_key(job) : when;
    if (heap)
        heap_push(heap, (struct heap_entry){key, id}, moved, table);
}

static void enter_running(struct table *table, uint64_t id, struct job *job, const struct run *run)
{
    size_t index = 0;
    while (index < table->run_count && table->runs[index].id)
        index++;
    if (index == table->run_count)
        table->run_count++;
    table->runs[index] = *run;
    table->runs[index].id = id;
    table->running++;
    enter(table, id, job, QUPLOG_RUNNING, index);
}

static void finish(struct change *c, uint64_t id, struct job *job, uint8_t state)
{
    leave(c->table, job);
    job->finished_us = c->time_us;
    if (state != QUPLOG_JOB_FAILED) { /* it can't be retried: its payload is not copied any more */
        set_live(c->table, job, job->live_length - job->payload_length);
        job->payload_length = 0;
    }
    enter(c->table, id, job, state, c->lsn);
    if (c->finished)
        c->finished(c->context, id);
}

static void forget(struct table *table, uint64_t id, struct job *job)
{
    leave(table, job);
    set_live(table, job, 0);
    jobs_remove(&table->jobs, id);
}

/* The running job, if `token` is its present claim. */
static struct job *running_job(struct table *table, uint64_t id, uint64_t token)
{
    struct job *job = jobs_get(&table->jobs, id);
    bool current =
        job && job->state == QUPLOG_RUNNING && table_run(table, job)->token == token;
    return current ? job : NULL;
}

/* ---- applying: one function for each op ---- */

static void apply_put(struct change *c, const struct op *op)
{
    struct table *table = c->table;
    const struct op_put *put = &op->as.put;
    uint64_t id = c->next_put_id++;
    if (jobs_get(&table->jobs, id))
        return; /* no writer gives an id twice; keep what stands */
    struct job *job = jobs_add(&table->jobs, id);
    job->put_lsn = c->lsn;
    job->payload_length = (uint32_t)put->job.payload.length;
    set_live(table, job,
             OP_COPY_SIZE + put->job.task.length + put->job.queue.length +
                 put->job.fields.length + put->job.payload.length);
    job->created_us = c->time_us;
    job->retries = put->job.retries;
    job->priority = put->job.priority;
    job->lane = table->last_lane = find_lane(table, &put->job);
    if (put->due_us)
        enter(table, id, job, QUPLOG_SCHEDULED, (uint64_t)put->due_us);
    else
        enter(table, id, job, QUPLOG_READY, c->lsn);
    if (id >= table->next_id)
        table->next_id = id + 1;
}

static void apply_claim(struct change *c, const struct op *op)
{
    struct table *table = c->table;
    uint64_t id = op->as.claim.id;
    struct job *job = jobs_get(&table->jobs, id);
    if (!job || job->state != QUPLOG_READY)
        return;
    struct run run = {.token = c->lsn,
                      .order = job->when,
                      .generation = op->as.claim.generation,
                      .slot = op->as.claim.slot};
    leave(table, job);
    job->attempt++;
    job->started_us = c->time_us;
    enter_running(table, id, job, &run);
}

static void apply_finish(struct change *c, const struct op *op)
{
    const struct op_finish *f = &op->as.finish;
    struct job *job = running_job(c->table, f->id, f->token);
    if (!job)
        return;
    if (f->state == QUPLOG_JOB_FAILED) {
        job->error_lsn = c->lsn;
        add_error(c->table, job, f->data.length);
    } else {
        add_live(c->table, job, f->data.length);
    }
    finish(c, f->id, job, f->state);
}

static void apply_retry(struct change *c, const struct op *op)
{
    const struct op_retry *r = &op->as.retry;
    struct job *job = running_job(c->table, r->id, r->token);
    if (!job)
        return;
    if (r->state == QUPLOG_SCHEDULED) {
        job->attempt--; /* snoozed: the run does not count */
    } else {
        job->error_lsn = c->lsn;
        add_error(c->table, job, r->data.length);
    }
    leave(c->table, job);
    enter(c->table, r->id, job, r->state, (uint64_t)r->due_us);
}

/* A run was interrupted: it does not count, and the job is ready again at its old place; unless
 * somebody has asked for it to be cancelled meanwhile. */
static void release(struct change *c, uint64_t id, struct job *job, bool crashed)
{
    uint64_t order = table_run(c->table, job)->order;
    job->attempt--;
    if (crashed && job->crashes < UINT8_MAX)
        job->crashes++;
    if (job->flags & JOB_CANCEL_REQUESTED) {
        finish(c, id, job, QUPLOG_CANCELLED);
        return;
    }
    leave(c->table, job);
    enter(c->table, id, job, QUPLOG_READY, order);
}

static void apply_release(struct change *c, const struct op *op)
{
    struct job *job = running_job(c->table, op->as.release.id, op->as.release.token);
    if (job)
        release(c, op->as.release.id, job, op->as.release.reason == OP_RELEASE_CRASH);
}

static void apply_cancel(struct change *c, const struct op *op)
{
    uint64_t id = op->as.cancel.id;
    struct job *job = jobs_get(&c->table->jobs, id);
    if (!job || is_final(job->state))
        return;
    if (job->state == QUPLOG_RUNNING)
        job->flags |= JOB_CANCEL_REQUESTED;
    else
        finish(c, id, job, QUPLOG_CANCELLED);
}

static void apply_open(struct change *c, const struct op *op)
{
    struct table *table = c->table;
    table->epoch = op->as.open.epoch;
    table->opened = true;
    memcpy(table->boot_id, op->as.open.boot_id, sizeof table->boot_id);
    /* Ids that were given out unsynced may be lost: never give them again. */
    if (op->as.open.lost)
        table->next_id = ((table->next_id >> 32) + 1) << 32 | 1U;
    for (size_t i = table->run_count; i > 0; i--) {
        uint64_t id = i <= table->run_count ? table->runs[i - 1].id : 0;
        if (id)
            release(c, id, jobs_get(&table->jobs, id), false);
    }
}

static void apply_worker(struct change *c, const struct op *op)
{
    struct table *table = c->table;
    const struct op_worker *w = &op->as.worker;
    for (size_t i = table->run_count; i > 0; i--) {
        const struct run *run = i <= table->run_count ? &table->runs[i - 1] : NULL;
        if (run && run->id && run->slot == w->slot && run->generation < w->generation)
            release(c, run->id, jobs_get(&table->jobs, run->id), true);
    }
    struct worker_slot *slot = &table->slots[w->slot];
    if (w->generation < slot->generation)
        return; /* of a worker that the slot's present one has followed */
    size_t live = align8(op->length), at = 0;
    struct span name;
    table->live_bytes += live - slot->live_length;
    slot->live_length = (uint32_t)live;
    slot->generation = w->generation;
    slot->put_lsn = c->lsn;
    slot->task_count = 0;
    while (next_name(w->tasks, &at, &name))
        slot->tasks[slot->task_count++] = names_find(&table->names, name);
}

/* A COPY says all that is known of a job: it replaces what stands, and adds nothing to it. */
static void apply_copy(struct change *c, const struct op *op)
{
    struct table *table = c->table;
    const struct op_copy *copy = &op->as.copy;
    struct job *job = jobs_get(&table->jobs, copy->id);
    if (job)
        leave(table, job);
    else
        job = jobs_add(&table->jobs, copy->id);
    set_live(table, job, op->length);
    *job = (struct job){.put_lsn = c->lsn,
                        .live_length = op->length,
                        .payload_length = (uint32_t)copy->job.payload.length,
                        .error_lsn = copy->errors.length ? c->lsn : 0,
                        .created_us = copy->created_us,
                        .started_us = copy->started_us,
                        .finished_us = copy->finished_us,
                        .lane = find_lane(table, &copy->job),
                        .attempt = copy->attempt,
                        .retries = copy->job.retries,
                        .priority = copy->job.priority,
                        .crashes = copy->crashes,
                        .flags = copy->cancel_requested ? JOB_CANCEL_REQUESTED : 0};
    struct run run = {.token = copy->token,
                      .order = copy->ready_lsn,
                      .generation = copy->generation,
                      .slot = copy->slot};
    if (copy->state == QUPLOG_RUNNING)
        enter_running(table, copy->id, job, &run);
    else if (copy->state == QUPLOG_READY)
        enter(table, copy->id, job, copy->state, copy->ready_lsn);
    else if (is_final(copy->state))
        enter(table, copy->id, job, copy->state, copy->finish_lsn);
    else
        enter(table, copy->id, job, copy->state, (uint64_t)copy->due_us);
    if (copy->id >= table->next_id)
        table->next_id = copy->id + 1;
}

static void forget_below(struct table *table, struct heap *heap, uint64_t lsn)
{
    while (heap->count && heap_top(heap)->key < lsn) {
        uint64_t id = heap_top(heap)->id;
        forget(table, id, jobs_get(&table->jobs, id));
    }
}

static void apply_forget(struct change *c, const struct op *op)
{
    struct table *table = c->table;
    forget_below(table, &table->succeeded, op->as.forget.succeeded_below);
    forget_below(table, &table->failed, op->as.forget.failed_below);
    for (size_t i = 0; i < op->as.forget.ids.length; i += 8) {
        uint64_t id = get_u64(op->as.forget.ids.data + i);
        struct job *job = jobs_get(&table->jobs, id);
        if (job && is_final(job->state))
            forget(table, id, job);
    }
}

static void apply_settings(struct change *c, const struct op *op)
{
    const struct op_settings *s = &op->as.settings;
    struct op_settings *kept = &c->table->settings;
    /* One that says all that is known takes the place of those before it. */
    if (!c->table->settings_lsn)
        c->table->live_bytes += OP_SETTINGS_MOST;
    if (!c->table->settings_lsn || (s->has_segment_size >= kept->has_segment_size &&
                                    s->has_keep_succeeded >= kept->has_keep_succeeded &&
                                    s->has_keep_failed >= kept->has_keep_failed))
        c->table->settings_lsn = c->lsn;
    if (s->has_segment_size) {
        kept->has_segment_size = true;
        kept->segment_size = s->segment_size;
    }
    if (s->has_keep_succeeded) {
        kept->has_keep_succeeded = true;
        kept->keep_succeeded_us = s->keep_succeeded_us;
    }
    if (s->has_keep_failed) {
        kept->has_keep_failed = true;
        kept->keep_failed_us = s->keep_failed_us;
    }
}

static void apply_queue(struct change *c, const struct op *op)
{
    struct queue_state *queue = table_find_queue(c->table, op->as.queue.name);
    queue->paused = op->as.queue.paused;
    queue->max_running = op->as.queue.max_running;
    queue->rate = op->as.queue.rate;
    queue->rate_us = op->as.queue.rate_us;
    if (!queue->put_lsn)
        c->table->live_bytes += queue_live(c->table, queue);
    queue->put_lsn = c->lsn;
}

static void remove_schedule(struct table *table, struct table_schedule *schedule)
{
    table->live_bytes -= schedule_live(schedule);
    *schedule = table->schedules[--table->schedule_count];
}

static void apply_schedule(struct change *c, const struct op *op)
{
    struct table *table = c->table;
    const struct op_schedule *s = &op->as.schedule;
    struct table_schedule *kept = table_find_schedule(table, s->id);
    if (s->removed) {
        if (kept)
            remove_schedule(table, kept);
        return;
    }
    if (!kept) {
        kept = &table->schedules[table->schedule_count++];
        *kept = (struct table_schedule){.id_length = (uint8_t)s->id.length};
        memcpy(kept->id, s->id.data, s->id.length);
        table->live_bytes += schedule_live(kept);
    }
    kept->version = c->lsn;
    kept->asked_us = 0;
    kept->next_us = s->next_us;
    kept->last_us = s->last_us;
    kept->paused = s->paused;
    if (s->rule.length) {
        table->live_bytes -= schedule_live(kept);
        kept->rule_lsn = c->lsn;
        kept->rule_length = (uint32_t)s->rule.length;
        table->live_bytes += schedule_live(kept);
    }
}

static void apply_due(struct change *c, const struct op *op)
{
    struct table *table = c->table;
    for (uint64_t n = 0; n < op->as.due.most && table->due.count; n++) {
        if ((int64_t)heap_top(&table->due)->key > op->as.due.until_us)
            break;
        uint64_t id = heap_top(&table->due)->id;
        struct job *job = jobs_get(&table->jobs, id);
        leave(table, job);
        enter(table, id, job, QUPLOG_READY, c->lsn);
    }
}

static void apply_op(struct change *c, const struct op *op)
{
    switch (op->type) {
    case QUPLOG_OP_PUT: apply_put(c, op); break;
    case QUPLOG_OP_CLAIM: apply_claim(c, op); break;
    case QUPLOG_OP_FINISH: apply_finish(c, op); break;
    case QUPLOG_OP_RETRY: apply_retry(c, op); break;
    case QUPLOG_OP_RELEASE: apply_release(c, op); break;
    case QUPLOG_OP_CANCEL: apply_cancel(c, op); break;
    case QUPLOG_OP_COPY: apply_copy(c, op); break;
    case QUPLOG_OP_FORGET: apply_forget(c, op); break;
    case QUPLOG_OP_SETTINGS: apply_settings(c, op); break;
    case QUPLOG_OP_QUEUE: apply_queue(c, op); break;
    case QUPLOG_OP_SCHEDULE: apply_schedule(c, op); break;
    case QUPLOG_OP_DUE: apply_due(c, op); break;
    case QUPLOG_OP_OPEN: apply_open(c, op); break;
    case QUPLOG_OP_WORKER: apply_worker(c, op); break;
    default: break;
    }
}

/* Drop what stands below `lsn`: it was copied forward or is gone, but what said so may have been in
 * a segment that is missing. */
static void drop_stale(struct table *table, uint64_t lsn)
{
    uint64_t id = 0;
    struct job *job;
    while ((job = jobs_next(&table->jobs, id, false, &id)))
        if (job->put_lsn < lsn)
            forget(table, id, job);
    for (size_t i = table->schedule_count; i > 0; i--)
        if (table->schedules[i - 1].version < lsn)
            remove_schedule(table, &table->schedules[i - 1]);
    for (size_t i = 0; i < table->queue_count; i++) {
        struct queue_state *queue = &table->queues[i];
        if (!queue->put_lsn || queue->put_lsn >= lsn)
            continue;
        table->live_bytes -= queue_live(table, queue);
        *queue = (struct queue_state){.name = queue->name};
    }
}

/* Whoever wrote it had copied forward all that stood below first_lsn, so a table that has applied
 * everything holds nothing there. Only a replay that began below first_lsn, in segments whose
 * removal was undone by a power cut, may hold what ended in a segment that is missing: it looks at
 * every job. A live table must not: that takes 20 ms for a million jobs, under the append lock. */
static void apply_trim(struct table *table, const struct frame *frame, uint64_t lsn)
{
    struct frame_trim trim;
    if (!frame_trim_decode(frame, lsn, &trim))
        return;
    if (!table->live && table->start_lsn < trim.first_lsn) {
        drop_stale(table, trim.first_lsn);
        table->start_lsn = trim.first_lsn; /* as if it had begun there */
    }
    table->first_lsn = trim.first_lsn;
    if (table->next_id < trim.next_id)
        table->next_id = trim.next_id;
    if (table->epoch < trim.epoch)
        table->epoch = trim.epoch;
}

void table_apply(struct table *table, const struct frame *frame, uint64_t lsn,
                 void (*finished)(void *context, uint64_t id), void *context)
{
    struct change c = {.table = table,
                       .time_us = frame->time_us,
                       .next_put_id = frame->first_id,
                       .finished = finished,
                       .context = context};
    struct op op;
    struct op_job names = {0};
    size_t position = 0;
    table->now_us = frame->time_us;
    if (table->start_lsn == 0)
        table->start_lsn = lsn;
    if (frame->kind == FRAME_TRIM)
        apply_trim(table, frame, lsn);
    if (frame->kind != FRAME_OPS)
        return;
    for (;;) {
        c.lsn = lsn + FRAME_HEADER + position;
        enum op_verdict verdict = op_next(frame->body, &position, &op, &names);
        if (verdict == OP_END)
            return;
        if (verdict == OP_VALID)
            apply_op(&c, &op);
    }
}
