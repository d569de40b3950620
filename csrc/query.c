/* query.c: the verbs that look at jobs, wait for them, or change one by hand.
 *
 * A query holds `view` and nothing else, for at most QUERY_STEP jobs at a time, so that neither
 * producers nor workers wait for somebody who reads a long list. A wait registers on a word of the
 * control page, looks, and sleeps only while the word has not changed since before it looked.
 */
#include <errno.h>

#include "fetch.h"
#include "follow.h"
#include "roster.h"

enum { QUERY_STEP = 1000, SCHEDULE_TRIES = 8 };

/* ---- one job ---- */

static void fill_info(struct core *q, uint64_t id, const struct job *job, quplog_job_info *out)
{
    const struct lane *lane = &q->table.lanes[job->lane];
    bool due = job->state == QUPLOG_SCHEDULED || job->state == QUPLOG_RETRYING;
    *out = (quplog_job_info){
        .id = id,
        .put_lsn = job->put_lsn,
        .token = job->state == QUPLOG_RUNNING ? table_run(&q->table, job)->token : 0,
        .created_us = job->created_us,
        .due_us = due ? (int64_t)job->when : 0,
        .started_us = job->started_us,
        .finished_us = job->finished_us,
        .task = lane->task,
        .queue = q->table.queues[lane->queue].name,
        .attempt = job->attempt,
        .retries = job->retries,
        .crashes = job->crashes,
        .priority = job->priority,
        .state = job->state,
        .cancel_requested = job->flags & JOB_CANCEL_REQUESTED};
}

int quplog_info(quplog *log, uint64_t id, quplog_job_info *out)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    int status = follow_view(q);
    if (status)
        return status;
    const struct job *job = jobs_get(&q->table.jobs, id);
    if (job)
        fill_info(q, id, job, out);
    follow_unview(q);
    return job ? QUPLOG_OK : QUPLOG_NOT_FOUND;
}

quplog_bytes quplog_name(quplog *log, uint32_t n)
{
    struct core *q = log->core;
    quplog_bytes name = {NULL, 0};
    if (core_is_copy(q))
        return name; /* a thread that the fork left behind may hold the mutex */
    q->io->mutex_lock(q->io->world, &q->view); /* a name that was given out does not change */
    if (n < q->table.names.count) {
        struct span span = q->table.names.spans[n];
        name = (quplog_bytes){(const char *)span.data, span.length};
    }
    follow_unview(q);
    return name;
}

/* A quplog_job with the ops that it points into. */
struct loaded {
    quplog_job job;
    struct fetched fetched;
    quplog_bytes error_texts[OP_ATTEMPTS_KEPT];
};

static quplog_bytes bytes_of(struct span span)
{
    return (quplog_bytes){(const char *)span.data, span.length};
}

static void fill_job(struct loaded *loaded)
{
    quplog_job *job = &loaded->job;
    const struct op *op = &loaded->fetched.put;
    const struct op_job *put = op->type == QUPLOG_OP_COPY ? &op->as.copy.job : &op->as.put.job;
    job->payload = bytes_of(put->payload);
    job->tags = bytes_of(op_field(put->fields, OP_FIELD_TAGS));
    job->schedule = bytes_of(op_field(put->fields, OP_FIELD_SCHEDULE));
    job->result = bytes_of(loaded->fetched.result);
    job->result_dropped = loaded->fetched.result_dropped;
    for (size_t i = 0; i < loaded->fetched.error_count; i++)
        loaded->error_texts[i] = bytes_of(loaded->fetched.errors[i].text);
    job->errors = loaded->error_texts;
    job->error_count = loaded->fetched.error_count;
}

/* Compaction may move the job while it is read: then it is read again where it stands now. */
static int load(struct core *q, uint64_t id, struct loaded *loaded)
{
    quplog_job_info *info = &loaded->job.info;
    uint64_t before;
    int status;
    do {
        struct fetch_places places = {0};
        before = info->put_lsn;
        status = follow_view(q);
        if (status)
            return status;
        const struct job *job = jobs_get(&q->table.jobs, id);
        if (job) {
            fill_info(q, id, job, info);
            places = fetch_places(job);
        }
        follow_unview(q);
        if (!job)
            return QUPLOG_NOT_FOUND;
        status = fetch_job(q, &places, &loaded->fetched);
    } while (status == QUPLOG_NOT_FOUND && info->put_lsn != before);
    if (status == QUPLOG_OK)
        fill_job(loaded);
    return status;
}

int quplog_load(quplog *log, uint64_t id, quplog_job **out)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    struct loaded *loaded = calloc(1, sizeof *loaded);
    if (!loaded)
        return QUPLOG_NO_MEMORY;
    int status = load(q, id, loaded);
    if (status == QUPLOG_OK) {
        *out = &loaded->job;
        return QUPLOG_OK;
    }
    quplog_job_free(&loaded->job);
    return core_of(log) ? status : QUPLOG_CLOSED; /* its files may have gone meanwhile */
}

void quplog_job_free(quplog_job *job)
{
    struct loaded *loaded = (struct loaded *)job; /* its first member */
    if (!loaded)
        return;
    fetch_free(&loaded->fetched);
    free(loaded);
}

/* ---- many jobs ---- */

struct filter {
    uint32_t states;
    bool by_task, by_queue;
    uint32_t task, queue; /* names */
    int64_t since_us, until_us;
};

static bool matches(const struct core *q, const struct filter *f, const struct job *job)
{
    const struct lane *lane = &q->table.lanes[job->lane];
    return (f->states == 0 || f->states >> job->state & 1) &&
           (!f->by_task || lane->task == f->task) &&
           (!f->by_queue || q->table.queues[lane->queue].name == f->queue) &&
           (f->since_us == 0 || job->created_us >= f->since_us) &&
           (f->until_us == 0 || job->created_us < f->until_us);
}

/* Look at the next QUERY_STEP jobs; false when there are no more. */
static bool find_some(struct core *q, const struct filter *f, uint64_t *after, bool descending,
                      quplog_job_info *out, size_t capacity, size_t *count)
{
    for (int i = 0; i < QUERY_STEP && *count < capacity; i++) {
        const struct job *job = jobs_next(&q->table.jobs, *after, descending, after);
        if (!job)
            return false;
        if (matches(q, f, job))
            fill_info(q, *after, job, &out[(*count)++]);
    }
    return *count < capacity;
}

int quplog_find(quplog *log, uint32_t states, const char *task, size_t task_length,
                const char *queue, size_t queue_length, int64_t since_us, int64_t until_us,
                uint64_t after, bool descending, quplog_job_info *out, size_t capacity,
                size_t *count)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    struct span task_name = {(const unsigned char *)task, task_length};
    struct span queue_name = {(const unsigned char *)queue, queue_length};
    struct filter filter = {.states = states,
                            .by_task = task_length > 0,
                            .by_queue = queue_length > 0,
                            .since_us = since_us,
                            .until_us = until_us};
    bool more = true;
    *count = 0;
    if (descending && after == 0)
        after = UINT64_MAX;
    while (more) {
        int status = follow_view(q);
        if (status)
            return status;
        filter.task = task_length ? names_find(&q->table.names, task_name) : 0;
        filter.queue = queue_length ? names_find(&q->table.names, queue_name) : 0;
        more = find_some(q, &filter, &after, descending, out, capacity, count);
        follow_unview(q);
    }
    return QUPLOG_OK;
}

int quplog_counts(quplog *log, const char *queue, size_t length, uint64_t *counts)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    struct span name = {(const unsigned char *)queue, length};
    memset(counts, 0, QUPLOG_STATE_COUNT * sizeof *counts);
    int status = follow_view(q);
    if (status)
        return status;
    for (size_t i = 0; i < q->table.lane_count; i++) {
        const struct lane *lane = &q->table.lanes[i];
        struct span lane_queue = q->table.names.spans[q->table.queues[lane->queue].name];
        for (int state = 1; state < QUPLOG_STATE_COUNT; state++)
            if (length == 0 || span_equal(name, lane_queue))
                counts[state] += lane->counts[state];
    }
    follow_unview(q);
    return QUPLOG_OK;
}

/* ---- waiting ---- */

/* Who waits for something looks by himself now and then: whoever finished it may have been killed
 * before he could wake anybody. */
enum { LOOK_US = 1000000 };

static int wait_word(quplog *log, struct control_word *word, uint32_t seen, int64_t deadline_us)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    int64_t look_us = core_monotonic(q) + LOOK_US;
    bool last = deadline_us && deadline_us <= look_us;
    int status = control_sleep(q->io, word, seen, last ? deadline_us : look_us,
                               IO_FUTEX_MONOTONIC, IO_ALL_BITS);
    if (status == -EINTR)
        return QUPLOG_INTERRUPTED;
    if (status == -ETIMEDOUT && last)
        return QUPLOG_TIMEOUT;
    if (!core_of(log))
        return QUPLOG_CLOSED;
    return control_poisoned(&q->control) ? QUPLOG_FAILED : QUPLOG_OK;
}

int quplog_wait_job(quplog *log, uint64_t id, int64_t deadline_us)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    struct control_word *word = &q->control.page->results[id % CONTROL_RESULTS];
    for (;;) {
        quplog_job_info info;
        uint32_t seen = control_read(word);
        int status = quplog_info(log, id, &info);
        if (status || info.finished_us)
            return status;
        status = wait_word(log, word, seen, deadline_us);
        if (status)
            return status;
    }
}

int quplog_wait_finished(quplog *log, uint32_t *seen, int64_t deadline_us)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    int status = QUPLOG_OK;
    struct control_word *finished = &q->control.page->finished;
    if (control_read(finished) == *seen)
        status = wait_word(log, finished, *seen, deadline_us);
    *seen = control_read(finished);
    return status;
}

int quplog_wait_idle(quplog *log, int64_t deadline_us)
{
    struct core *q = core_of(log);
    size_t released;
    if (!q)
        return QUPLOG_CLOSED;
    for (bool first = true;; first = false) {
        uint32_t seen = control_read(&q->control.page->finished);
        int status = commit_begin(q, COMMIT_DECIDE);
        if (status)
            return status;
        status = commit_due(q);
        if (status == QUPLOG_OK && first) /* there may be no helper to find that somebody died */
            status = slot_release_dead(q, &released);
        bool idle = q->table.running == 0 && !roster_somebody_may(log);
        commit_end(q);
        if (status || idle)
            return status;
        status = wait_word(log, &q->control.page->finished, seen, deadline_us);
        if (status)
            return status;
    }
}

/* ---- changing by hand ---- */

static int cancel(struct core *q, uint64_t id)
{
    const struct job *job = jobs_get(&q->table.jobs, id);
    if (!job)
        return QUPLOG_NOT_FOUND;
    if (job->finished_us)
        return QUPLOG_STALE;
    if (job->flags & JOB_CANCEL_REQUESTED)
        return QUPLOG_OK;
    struct buffer ops = {0};
    int status = op_encode_cancel(&ops, id);
    if (status == QUPLOG_OK)
        status = commit_ops(q, 1, &ops, NULL);
    buffer_free(&ops);
    return status;
}

int quplog_cancel(quplog *log, uint64_t id, uint64_t *lsn)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    int status = commit_begin(q, COMMIT_DECIDE);
    if (status)
        return status;
    status = cancel(q, id);
    *lsn = commit_end_lsn(q);
    commit_end(q);
    control_bump(q->io, &q->control.page->finished, CONTROL_ALL, IO_ALL_BITS);
    commit_wake_helpers(q); /* of the process that runs it */
    return status;
}

int quplog_pause(quplog *log, const char *queue, size_t length, bool paused, uint64_t *lsn)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    struct op_queue change = {.name = {(const unsigned char *)queue, length}, .paused = paused};
    struct buffer ops = {0};
    int status = commit_begin(q, COMMIT_DECIDE);
    if (status)
        return status;
    const struct queue_state *known = table_find_queue(&q->table, change.name);
    if (known) {
        change.max_running = known->max_running;
        change.rate = known->rate;
        change.rate_us = known->rate_us;
    }
    if ((known && known->paused) != paused) {
        status = op_encode_queue(&ops, &change);
        if (status == QUPLOG_OK)
            status = commit_ops(q, 1, &ops, NULL);
    }
    *lsn = commit_end_lsn(q);
    commit_end(q);
    buffer_free(&ops);
    control_bump(q->io, &q->control.page->finished, CONTROL_ALL, IO_ALL_BITS);
    commit_wake_workers(q, CONTROL_ALL, IO_ALL_BITS);
    return status;
}

int quplog_paused(quplog *log, const char *queue, size_t length, bool *paused)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    struct span name = {(const unsigned char *)queue, length};
    int status = follow_view(q);
    if (status)
        return status;
    const struct queue_state *known = table_find_queue(&q->table, name);
    *paused = known && known->paused;
    follow_unview(q);
    return QUPLOG_OK;
}

/* ---- schedules ---- */

static bool schedule_due(const struct table_schedule *s, int64_t now)
{
    return !s->paused && s->next_us <= now;
}

/* Copy the numbers of all schedules, and where their rules stand (in rule.length and version). */
static int copy_schedules(struct core *q, bool due_only, struct table_schedule **copies,
                          size_t *count)
{
    int64_t now = core_now(q);
    int status = follow_view(q);
    if (status)
        return status;
    *count = 0;
    *copies = calloc(q->table.schedule_count + 1, sizeof **copies);
    for (size_t i = 0; *copies && i < q->table.schedule_count; i++)
        if (!due_only || schedule_due(&q->table.schedules[i], now))
            (*copies)[(*count)++] = q->table.schedules[i];
    follow_unview(q);
    return *copies ? QUPLOG_OK : QUPLOG_NO_MEMORY;
}

/* One schedule into the block: its struct at `index`, its id and rule at `*text`. */
static int fill_schedule(struct core *q, const struct table_schedule *s, quplog_schedule *out,
                         char **text)
{
    struct buffer bytes = {0};
    struct op op;
    int status = s->rule_length ? fetch_op(q, s->rule_lsn, &bytes, &op) : QUPLOG_OK;
    if (status == QUPLOG_OK && s->rule_length &&
        (op.type != QUPLOG_OP_SCHEDULE || op.as.schedule.rule.length != s->rule_length))
        status = QUPLOG_CORRUPT;
    if (status == QUPLOG_OK) {
        memcpy(*text, s->id, s->id_length);
        if (s->rule_length)
            memcpy(*text + s->id_length, op.as.schedule.rule.data, s->rule_length);
        *out = (quplog_schedule){.id = {*text, s->id_length},
                                 .rule = {*text + s->id_length, s->rule_length},
                                 .version = s->version,
                                 .next_us = s->next_us,
                                 .last_us = s->last_us,
                                 .paused = s->paused};
        *text += s->id_length + s->rule_length;
    }
    buffer_free(&bytes);
    return status;
}

static int read_schedules(struct core *q, bool due_only, quplog_schedule **out, size_t *count)
{
    struct table_schedule *copies;
    int status = copy_schedules(q, due_only, &copies, count);
    if (status)
        return status;
    size_t size = *count * sizeof **out + 1;
    for (size_t i = 0; i < *count; i++)
        size += copies[i].id_length + copies[i].rule_length;
    *out = malloc(size);
    if (!*out)
        status = QUPLOG_NO_MEMORY;
    char *text = *out ? (char *)(*out + *count) : NULL;
    for (size_t i = 0; status == QUPLOG_OK && i < *count; i++)
        status = fill_schedule(q, &copies[i], &(*out)[i], &text);
    free(copies);
    if (status == QUPLOG_OK)
        return QUPLOG_OK;
    free(*out);
    return status;
}

int quplog_schedules(quplog *log, bool due_only, quplog_schedule **out, size_t *count)
{
    struct core *q = core_of(log);
    int status = QUPLOG_NOT_FOUND;
    if (!q)
        return QUPLOG_CLOSED;
    /* Compaction may move a rule while it is read; it does not move them all again at once. */
    for (int i = 0; status == QUPLOG_NOT_FOUND && i < SCHEDULE_TRIES; i++)
        status = read_schedules(q, due_only, out, count);
    return status && !core_of(log) ? QUPLOG_CLOSED : status; /* its files may have gone meanwhile */
}

void quplog_schedules_free(quplog_schedule *schedules)
{
    free(schedules);
}

/* ---- the log as a whole ---- */

int64_t quplog_now(quplog *log)
{
    struct core *q = log->core;
    return core_now(q);
}

int quplog_read_stats(quplog *log, quplog_stats *out)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    uint64_t segments, disk;
    int status = files_measure(&q->log.files, &segments, &disk);
    if (status == QUPLOG_OK)
        status = follow_view(q);
    if (status)
        return status;
    const struct op_settings *settings = &q->table.settings;
    *out = (quplog_stats){.tail_lsn = control_tail(&q->control),
                          .synced_lsn = control_synced(&q->control),
                          .first_lsn = q->table.first_lsn,
                          .next_id = q->table.next_id,
                          .epoch = q->table.epoch,
                          .segments = segments,
                          .disk_bytes = disk,
                          .table_bytes = table_bytes(&q->table),
                          .jobs = q->table.jobs.count,
                          .segment_size = settings->segment_size,
                          .keep_succeeded_us = settings->keep_succeeded_us,
                          .keep_failed_us = settings->keep_failed_us,
                          .next_due_us = table_next_due(&q->table)};
    follow_unview(q);
    return QUPLOG_OK;
}
