/* compact.c: see compact.h. */
#include "compact.h"

#include <errno.h>

#include "follow.h"
#include "turn.h"

enum { PIECE = 64 << 10, READ_AHEAD = 256 << 10, SECOND_US = 1000000 };
/* A log of fewer segments is left alone, and one of more files than this, if they are small ones
 * (each torn end begins a new file), is brought together. */
enum { SEGMENTS_LEAST = 3, FILES_MOST = 64 };
enum { PAUSE_US = 1000, PAUSES_MOST = 100 };
enum { RETRY_US = 60 * SECOND_US /* after what is hardly over in a second */ };

/* ---- what still counts ---- */

/* An op of the oldest segment that the table points to. */
struct candidate {
    struct op op;
    uint64_t lsn;
    uint64_t id;                /* of the job, if it is one */
    struct fetch_places places; /* where its result and errors were read */
    size_t result_at, result_length, errors_at, errors_length; /* in the pass's `outcomes` */
    bool result_dropped;
};

/* One read of the oldest segment. */
struct pass {
    struct core *q;
    struct buffer frames;     /* as read; what the ops point into */
    struct buffer candidates; /* of struct candidate: to be copied at the next hold of the lock */
    struct buffer outcomes;   /* their results and errors */
    struct fetched fetched;
    size_t size; /* about what the copies will take */
    size_t piece; /* and what they may, in one frame */
};

static bool table_points_at(const struct table *table, const struct op *op, uint64_t id,
                            uint64_t lsn)
{
    switch (op->type) {
    case QUPLOG_OP_PUT:
    case QUPLOG_OP_COPY: {
        const struct job *job = jobs_get(&table->jobs, id);
        return job && job->put_lsn == lsn;
    }
    case QUPLOG_OP_SCHEDULE: {
        const struct table_schedule *s = table_find_schedule(table, op->as.schedule.id);
        return s && (s->rule_length ? s->rule_lsn : s->version) == lsn;
    }
    case QUPLOG_OP_QUEUE: {
        const struct queue_state *queue = table_find_queue(table, op->as.queue.name);
        return queue && queue->put_lsn == lsn;
    }
    case QUPLOG_OP_WORKER: {
        const struct worker_slot *slot = table_slot(table, op->as.worker.slot);
        return slot && slot->put_lsn == lsn;
    }
    case QUPLOG_OP_SETTINGS: return table->settings_lsn == lsn;
    default: return false;
    }
}

static bool is_job(const struct op *op)
{
    return op->type == QUPLOG_OP_PUT || op->type == QUPLOG_OP_COPY;
}

/* Read a job's result and errors, and put them with the outcomes. */
static int read_outcome(struct pass *pass, struct candidate *c)
{
    struct buffer *b = &pass->outcomes;
    int status = fetch_outcome(pass->q, &c->places, &c->op, &pass->fetched);
    if (status)
        return status;
    struct span result = pass->fetched.result;
    if (result.length) {
        unsigned char *p = buffer_room(b, result.length);
        if (!p)
            return QUPLOG_NO_MEMORY;
        memcpy(p, result.data, result.length);
    }
    c->result_at = b->length;
    c->result_length = result.length;
    c->result_dropped = pass->fetched.result_dropped;
    c->errors_at = b->length += result.length;
    for (size_t i = 0; status == QUPLOG_OK && i < pass->fetched.error_count; i++)
        status = op_copy_add_error(b, pass->fetched.errors[i].lsn,
                                   op_copy_kept(pass->fetched.errors[i].text));
    c->errors_length = b->length - c->errors_at;
    return status;
}

/* Look at one op; keep it as a candidate if the table points to it. */
static int consider(struct pass *pass, const struct op *op, uint64_t id, uint64_t lsn)
{
    struct core *q = pass->q;
    struct candidate c = {.op = *op, .lsn = lsn, .id = id};
    int status = follow_view(q);
    if (status)
        return status;
    bool counts = table_points_at(&q->table, op, id, lsn);
    if (counts && is_job(op))
        c.places = fetch_places(jobs_get(&q->table.jobs, id));
    follow_unview(q);
    if (!counts)
        return QUPLOG_OK;
    status = is_job(op) ? read_outcome(pass, &c) : QUPLOG_OK;
    if (status)
        return status;
    unsigned char *p = buffer_room(&pass->candidates, sizeof c);
    if (!p)
        return QUPLOG_NO_MEMORY;
    memcpy(p, &c, sizeof c);
    pass->candidates.length += sizeof c;
    pass->size += OP_COPY_SIZE + op->length + c.result_length + c.errors_length;
    return QUPLOG_OK;
}

/* ---- copying, under the append lock ---- */

static void fill_copy(const struct pass *pass, const struct candidate *c, const struct job *job,
                      struct op_copy *copy)
{
    const struct table *table = &pass->q->table;
    bool runs = job->state == QUPLOG_RUNNING, final = job->state >= QUPLOG_SUCCEEDED;
    if (c->op.type == QUPLOG_OP_COPY)
        *copy = c->op.as.copy;
    else
        *copy = (struct op_copy){.job = c->op.as.put.job,
                                 .created_lsn = c->lsn,
                                 .ready_us = c->op.as.put.due_us ? 0 : job->created_us,
                                 .ready_lsn = c->op.as.put.due_us ? 0 : c->lsn};
    const struct run *run = runs ? table_run(table, job) : NULL;
    copy->id = c->id;
    copy->token = run ? run->token : 0;
    copy->slot = run ? run->slot : 0;
    copy->generation = run ? run->generation : 0;
    copy->due_us = !runs && !final && job->state != QUPLOG_READY ? (int64_t)job->when : 0;
    copy->ready_lsn = run                           ? run->order
                      : job->state == QUPLOG_READY ? job->when
                                                   : copy->ready_lsn;
    copy->finish_lsn = final ? job->when : 0;
    copy->created_us = job->created_us;
    copy->started_us = job->started_us;
    copy->finished_us = job->finished_us;
    copy->job.retries = job->retries;
    copy->job.priority = job->priority;
    copy->state = job->state;
    copy->attempt = job->attempt;
    copy->crashes = job->crashes;
    copy->cancel_requested = job->flags & JOB_CANCEL_REQUESTED;
    copy->result_dropped = c->result_dropped;
    copy->result = buffer_part(&pass->outcomes, c->result_at, c->result_length);
    copy->errors = buffer_part(&pass->outcomes, c->errors_at, c->errors_length);
    if (final && job->state != QUPLOG_JOB_FAILED)
        copy->job.payload = (struct span){NULL, 0}; /* it can't run again */
}

static int encode_job(struct pass *pass, struct candidate *c, struct buffer *ops)
{
    const struct job *job = jobs_get(&pass->q->table.jobs, c->id);
    struct fetch_places now = fetch_places(job);
    struct op_copy copy;
    if (now.error_lsn != c->places.error_lsn || now.finish_lsn != c->places.finish_lsn) {
        c->places = now; /* it ran since it was read: rare enough to read that under the lock */
        int status = read_outcome(pass, c);
        if (status)
            return status;
    }
    fill_copy(pass, c, job, &copy);
    return op_encode_copy(ops, &copy);
}

static int encode_schedule(const struct table *table, const struct op_schedule *op,
                           struct buffer *ops)
{
    const struct table_schedule *s = table_find_schedule(table, op->id);
    struct op_schedule copy = {.id = op->id,
                               .rule = op->rule,
                               .next_us = s->next_us,
                               .last_us = s->last_us,
                               .paused = s->paused};
    return op_encode_schedule(ops, &copy);
}

static int encode_queue(const struct table *table, struct span name, struct buffer *ops)
{
    const struct queue_state *queue = table_find_queue(table, name);
    struct op_queue copy = {.name = name,
                            .paused = queue->paused,
                            .max_running = queue->max_running,
                            .rate = queue->rate,
                            .rate_us = queue->rate_us};
    return op_encode_queue(ops, &copy);
}

static int encode(struct pass *pass, struct candidate *c, struct buffer *ops)
{
    const struct table *table = &pass->q->table;
    switch (c->op.type) {
    case QUPLOG_OP_SCHEDULE: return encode_schedule(table, &c->op.as.schedule, ops);
    case QUPLOG_OP_QUEUE: return encode_queue(table, c->op.as.queue.name, ops);
    case QUPLOG_OP_SETTINGS: return op_encode_settings(ops, &table->settings);
    case QUPLOG_OP_WORKER: return op_encode_worker(ops, &c->op.as.worker);
    default: return encode_job(pass, c, ops);
    }
}

static int encode_all(struct pass *pass, struct buffer *ops, uint32_t *count)
{
    size_t size = sizeof(struct candidate);
    int status = QUPLOG_OK;
    for (size_t at = 0; status == QUPLOG_OK && at < pass->candidates.length; at += size) {
        struct candidate c;
        memcpy(&c, pass->candidates.data + at, size);
        if (!table_points_at(&pass->q->table, &c.op, c.id, c.lsn))
            continue;
        status = encode(pass, &c, ops);
        ++*count;
    }
    return status;
}

/* Copy the candidates, as they stand now, with one frame. */
static int copy_candidates(struct pass *pass)
{
    struct core *q = pass->q;
    struct buffer ops = {0};
    uint32_t count = 0;
    if (pass->candidates.length == 0)
        return QUPLOG_OK;
    int status = commit_begin(q, COMMIT_DECIDE);
    if (status)
        return status;
    uint64_t before = commit_end_lsn(q);
    status = encode_all(pass, &ops, &count);
    if (status == QUPLOG_OK && count)
        status = commit_ops(q, count, &ops, NULL);
    q->compaction.written += commit_end_lsn(q) - before;
    commit_end(q);
    buffer_free(&ops);
    pass->candidates.length = pass->outcomes.length = 0;
    pass->size = 0;
    return status;
}

/* ---- reading the oldest segment ---- */

static int look_at_ops(struct pass *pass, const struct frame *frame, uint64_t frame_lsn)
{
    struct op op;
    struct op_job names = {0};
    size_t position = 0;
    uint64_t puts = 0;
    for (;;) {
        uint64_t lsn = frame_lsn + FRAME_HEADER + position;
        enum op_verdict verdict = op_next(frame->body, &position, &op, &names);
        if (verdict == OP_END)
            return QUPLOG_OK;
        if (verdict == OP_SKIPPED)
            continue;
        if (verdict != OP_VALID)
            return QUPLOG_CORRUPT;
        uint64_t id = op.type == QUPLOG_OP_PUT    ? frame->first_id + puts++
                      : op.type == QUPLOG_OP_COPY ? op.as.copy.id
                                                  : 0;
        int status = consider(pass, &op, id, lsn);
        if (status == QUPLOG_OK && pass->size >= pass->piece)
            status = copy_candidates(pass);
        if (status)
            return status;
    }
}

/* Read `length` bytes of the segment, from where we are. */
static int read_frames(struct pass *pass, const struct file_use *use, size_t length)
{
    const struct core *q = pass->q;
    uint64_t offset = q->compaction.at - use->base;
    pass->frames.length = 0;
    if (!buffer_room(&pass->frames, length))
        return QUPLOG_NO_MEMORY;
    ssize_t n = io_read_full(q->io, use->fd, pass->frames.data, length, offset);
    if (n < 0)
        return (int)n;
    pass->frames.length = length;
    return (size_t)n == length ? QUPLOG_OK : QUPLOG_CORRUPT;
}

/* The first frame of those read is whole, and what is not valid is damaged: it would be lost with
 * the segment, so the segment stays. */
static int read_first(struct pass *pass, const struct file_use *use, uint64_t end,
                      struct frame *frame)
{
    const struct compaction *c = &pass->q->compaction;
    uint64_t left = end - c->at;
    size_t length = left < READ_AHEAD ? (size_t)left : READ_AHEAD;
    for (;;) {
        int status = read_frames(pass, use, length);
        if (status)
            return status;
        enum frame_verdict verdict =
            frame_parse(pass->frames.data, length, c->at, use->salt, frame);
        if (verdict == FRAME_VALID)
            return QUPLOG_OK;
        if (verdict != FRAME_INCOMPLETE || frame->length > left || frame->length <= length)
            return QUPLOG_CORRUPT;
        length = frame->length;
    }
}

/* Copy what counts of the next frames, as many as one read brings. */
static int copy_frames(struct pass *pass, const struct file_use *use, uint64_t end)
{
    struct compaction *c = &pass->q->compaction;
    struct frame frame;
    size_t done = 0;
    int status = read_first(pass, use, end, &frame);
    while (status == QUPLOG_OK) {
        if (frame.kind == FRAME_OPS)
            status = look_at_ops(pass, &frame, c->at + done);
        done += frame.length;
        if (frame_parse(pass->frames.data + done, pass->frames.length - done, c->at + done,
                        use->salt, &frame) != FRAME_VALID)
            break; /* there is no more of it here: the next read begins with it */
    }
    if (status == QUPLOG_OK)
        status = copy_candidates(pass);
    if (status == QUPLOG_OK)
        c->at += done;
    return status;
}

/* ---- segment by segment ---- */

/* All below `lsn` was copied: let it go. Each step is durable before the next. */
static int leave_segment(struct core *q, uint64_t lsn)
{
    int status = commit_sync_all(q);
    if (status)
        return status;
    status = commit_begin(q, COMMIT_DECIDE);
    if (status)
        return status;
    uint64_t before = commit_end_lsn(q);
    if (q->table.first_lsn < lsn)
        status = commit_trim(q, lsn);
    q->compaction.written += commit_end_lsn(q) - before;
    commit_end(q);
    if (status == QUPLOG_OK)
        status = commit_sync_all(q);
    if (status == QUPLOG_OK)
        status = files_trim(&q->log.files, lsn);
    /* Only when no process has it open any more is its room free. */
    control_bump(q->io, &q->control.page->flush, CONTROL_ALL, IO_ALL_BITS);
    return status;
}

struct measure {
    uint64_t files, bytes, live, segment_size, first_lsn;
};

static int measure(struct core *q, struct measure *m)
{
    int status = follow_view(q);
    if (status)
        return status;
    m->live = q->table.live_bytes;
    m->segment_size = q->table.settings.segment_size;
    m->first_lsn = q->table.first_lsn;
    follow_unview(q);
    return files_span(&q->log.files, control_older(&q->control.page->zeroed), &m->files,
                      &m->bytes);
}

/* ---- when ---- */

/* How large the log may be. It is to settle below four segments, or three times what counts; two
 * segments are for what comes while one is copied, and for the zeros of the newest. */
static uint64_t largest(const struct measure *m)
{
    uint64_t most = m->live / 5 * 12, slack = 2 * m->segment_size;
    if (3 * m->live > slack && 3 * m->live - slack > most)
        most = 3 * m->live - slack;
    uint64_t least = SEGMENTS_LEAST * m->segment_size;
    return most > least ? most : least;
}

/* Many small files: each torn end begins a new one. */
static bool scattered(const struct measure *m)
{
    return m->files > FILES_MOST && m->bytes < m->files * m->segment_size / 2;
}

static void begin_lap(struct core *q, bool whole)
{
    q->compaction.lap_end = control_tail(&q->control);
    q->compaction.written = 0;
    q->compaction.whole = whole;
}

/* The log lives from its spare: whatever can be given back is needed now. */
static bool disk_is_full(struct core *q)
{
    return atomic_load(&q->control.page->spare_used) != 0;
}

/* A lap that nobody asked for ends early: what counts is copied each time that the whole log has
 * been written anew, so the larger it may stay, the less is copied. */
static bool small_enough(struct core *q, const struct measure *m)
{
    return !q->compaction.whole && !disk_is_full(q) && !scattered(m) &&
           m->bytes <= largest(m) - m->segment_size;
}

/* If it has not become small enough, there is not so much to give up: then the next lap waits until
 * others have written a good part since this one began. */
static void end_lap(struct core *q, const struct measure *m)
{
    struct compaction *c = &q->compaction;
    uint64_t growth = m->live / 2 > m->segment_size ? m->live / 2 : m->segment_size;
    bool small = m->bytes <= largest(m) && !scattered(m);
    atomic_store(&q->control.page->rest_until, small ? 0 : c->lap_end + c->written + growth);
    c->lap_end = 0;
}

static int look_whether_wanted(struct core *q, bool *wanted)
{
    struct measure m;
    uint64_t base, end, next_base, head = control_older(&q->control.page->head);
    int status = files_oldest(&q->log.files, head, &base, &end, &next_base);
    *wanted = false;
    if (status)
        return status == QUPLOG_NOT_FOUND ? QUPLOG_OK : status;
    status = measure(q, &m);
    if (status)
        return status;
    bool rested = control_tail(&q->control) >= atomic_load(&q->control.page->rest_until);
    bool helps = disk_is_full(q) && m.bytes > m.live / 5 * 6 + m.segment_size;
    *wanted = m.first_lsn >= next_base || helps || /* or there are files that can go at once */
              (rested && (m.bytes > largest(&m) || scattered(&m)));
    return QUPLOG_OK;
}

/* ---- a lap, step by step ---- */

/* Copy what counts of the next frames of the oldest segment. */
static int copy_some(struct core *q, uint64_t end, uint64_t segment_size)
{
    /* In small segments large frames would leave much room unused. */
    uint64_t quarter = segment_size / 4;
    struct pass pass = {.q = q, .piece = quarter < PIECE ? (size_t)quarter : PIECE};
    struct file_use use;
    uint64_t at = q->compaction.at;
    int status = files_borrow(&q->log.files, at, at, &use);
    if (status)
        return status;
    status = copy_frames(&pass, &use, end);
    files_give_back(&q->log.files, &use);
    buffer_free(&pass.frames);
    buffer_free(&pass.candidates);
    buffer_free(&pass.outcomes);
    fetch_free(&pass.fetched);
    return status;
}

/* A part of the lap: one read of the oldest segment, or its end. */
static int go_on(struct core *q)
{
    struct compaction *c = &q->compaction;
    struct measure m;
    uint64_t base, end, next_base, head = control_older(&q->control.page->head);
    int status = measure(q, &m);
    if (status)
        return status;
    status = files_oldest(&q->log.files, head, &base, &end, &next_base);
    bool over = status == QUPLOG_NOT_FOUND || next_base > c->lap_end ||
                (m.first_lsn < next_base && small_enough(q, &m));
    if (status && status != QUPLOG_NOT_FOUND)
        return status;
    if (over) {
        end_lap(q, &m);
        return QUPLOG_OK;
    }
    if (m.first_lsn >= next_base) /* its removal failed, or was undone by a cut */
        return leave_segment(q, next_base);
    if (c->base != base || c->at <= base) {
        c->base = base;
        c->at = base + SEGMENT_HEADER;
    }
    return c->at >= end ? leave_segment(q, next_base) : copy_some(q, end, m.segment_size);
}

static void come_again(struct core *q, int64_t *next, int64_t wait_us)
{
    int64_t then = core_now(q) + wait_us;
    if (*next < 0 || then < *next)
        *next = then;
}

/* A full disk may be over in a second, a failing one hardly, a damaged segment never. */
static int put_off(struct core *q, int status)
{
    bool soon = status == QUPLOG_FULL || status == QUPLOG_LOCKED || status == QUPLOG_NOT_FOUND ||
                status == QUPLOG_INTERRUPTED;
    int64_t wait_us = soon ? SECOND_US : RETRY_US;
    if (status == QUPLOG_CLOSED || status == QUPLOG_FAILED)
        return status;
    q->compaction.not_before_us = status == QUPLOG_CORRUPT
                                      ? INT64_MAX
                                      : core_monotonic(q) + wait_us;
    return QUPLOG_OK;
}

/* With the locks: begin a lap if one is wanted, and do a part of it. *more: there is more to do. */
static int do_part(struct core *q, bool *more)
{
    struct compaction *c = &q->compaction;
    bool wanted = c->lap_end != 0;
    int status = wanted ? QUPLOG_OK : look_whether_wanted(q, &wanted);
    *more = wanted;
    if (status || !wanted)
        return status;
    if (!c->lap_end)
        begin_lap(q, false);
    status = go_on(q);
    if (status || c->lap_end)
        return status;
    if (disk_is_full(q)) /* another lap may not help either */
        c->not_before_us = core_monotonic(q) + SECOND_US;
    return look_whether_wanted(q, more); /* the log may have grown meanwhile */
}

static int step(struct core *q, int64_t *next)
{
    struct compaction *c = &q->compaction;
    bool more = true;
    int status = QUPLOG_OK;
    if (c->not_before_us == INT64_MAX)
        return QUPLOG_OK;
    if (core_monotonic(q) >= c->not_before_us)
        status = do_part(q, &more);
    if (status)
        status = put_off(q, status);
    int64_t wait_us = c->not_before_us - core_monotonic(q);
    if (more && c->not_before_us != INT64_MAX)
        come_again(q, next, wait_us > 0 ? wait_us : 0);
    return status;
}

int compact_step(struct core *q, int64_t *next)
{
    const struct io *io = q->io;
    if (!io->mutex_trylock(io->world, &q->compacting))
        return QUPLOG_OK; /* somebody does it by hand */
    int status = lock_try(&q->lock, LOCK_COMPACT, IO_EXCLUSIVE_LOCK);
    if (status == 0) {
        status = step(q, next);
        (void)lock_release(&q->lock, LOCK_COMPACT);
    } else if (status == -EAGAIN) {
        q->compaction.lap_end = 0; /* another process does it */
        status = QUPLOG_OK;
    }
    io->mutex_unlock(io->world, &q->compacting);
    turn_drop(q);
    return status;
}

/* Wait until nobody else compacts; a signal ends it. One that comes between two pauses shows in
 * neither of them: so the caller is sent to look for it now and then. */
static int take_byte(struct core *q)
{
    int status = lock_try(&q->lock, LOCK_COMPACT, IO_EXCLUSIVE_LOCK);
    for (int pauses = 0; status == -EAGAIN; pauses++) {
        if (pauses == PAUSES_MOST)
            return QUPLOG_INTERRUPTED;
        status = core_usable(q);
        if (status == QUPLOG_OK)
            status = lock_pause(q->io, PAUSE_US);
        if (status == -EINTR)
            return QUPLOG_INTERRUPTED;
        if (status == QUPLOG_OK)
            status = lock_try(&q->lock, LOCK_COMPACT, IO_EXCLUSIVE_LOCK);
    }
    return status;
}

int quplog_compact(quplog *log)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    int status = core_usable(q);
    if (status)
        return status;
    q->io->mutex_lock(q->io->world, &q->compacting);
    status = take_byte(q);
    if (status == 0) {
        begin_lap(q, true);
        while (status == QUPLOG_OK && q->compaction.lap_end)
            status = core_of(log) ? go_on(q) : QUPLOG_CLOSED;
        q->compaction.not_before_us = 0;
        (void)lock_release(&q->lock, LOCK_COMPACT);
    }
    q->io->mutex_unlock(q->io->world, &q->compacting);
    turn_drop(q);
    commit_wake_helpers(q); /* this one's was kept out */
    return core_of(log) ? status : QUPLOG_CLOSED; /* its files may have gone meanwhile */
}
