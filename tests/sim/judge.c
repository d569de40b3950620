/* judge.c: see judge.h. */
#include "judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "open.h"
#include "random.h"

enum { JOBS_MOST = 4096, SHARE = 4 /* each of the costly questions is asked once in so many */ };

void judge_accuse(struct judge *judge, const char *format, ...)
{
    va_list arguments;
    if (judge->wrong[0])
        return;
    va_start(arguments, format);
    vsnprintf(judge->wrong, sizeof judge->wrong, format, arguments);
    va_end(arguments);
    if (judge->trace)
        fprintf(stderr, "VIOLATION: %s\n", judge->wrong);
}

quplog_options judge_options(void)
{
    return (quplog_options){.segment_size = JUDGE_SEGMENT,
                            .keep_succeeded_us = -1,
                            .keep_failed_us = -1,
                            .lock_timeout_us = INT64_C(3600) * 1000000};
}

void judge_payload(char *out, size_t length, uint64_t number)
{
    char text[32];
    int used = snprintf(text, sizeof text, "job %llu.", (unsigned long long)number);
    for (size_t i = 0; i < length; i++)
        out[i] = i < (size_t)used ? text[i] : (char)(1 + (number * 31 + i * 7) % 251);
}

bool judge_is_payload(const void *bytes, size_t length)
{
    unsigned long long number;
    char head[32] = {0};
    static char should[JUDGE_PAYLOAD];
    memcpy(head, bytes, length < sizeof head - 1 ? length : sizeof head - 1);
    if (length > JUDGE_PAYLOAD || sscanf(head, "job %llu.", &number) != 1)
        return false;
    judge_payload(should, length, number);
    return memcmp(should, bytes, length) == 0;
}

/* ---- what was found ---- */

/* A log that was opened after a crash, and what it should be. */
struct found {
    struct judge *judge;
    quplog *log;
    quplog_report report;
    struct model should;
    const char *how;
};

static void accuse_job(struct found *found, uint64_t id, const char *what)
{
    judge_accuse(found->judge, "%s: job %llu: %s", found->how, (unsigned long long)id, what);
}

static bool same(struct span should, quplog_bytes is)
{
    return should.length == is.length &&
           (is.length == 0 || memcmp(should.data, is.data, is.length) == 0);
}

static bool same_name(struct found *found, uint32_t number, struct span should)
{
    return same(should, quplog_name(found->log, number));
}

static void compare_info(struct found *found, const struct model_job *job,
                         const quplog_job_info *info)
{
    const char *what = NULL;
    if (info->id != job->id)
        what = info->id < job->id ? "it is there and should not be" : "it is lost";
    else if (info->state != job->state)
        what = "its state is another";
    else if (info->attempt != job->attempt || info->crashes != job->crashes)
        what = "its attempts or crashes are others";
    else if (info->retries != job->retries || info->priority != job->priority)
        what = "its options are others";
    else if (info->due_us != job->due_us || info->created_us != job->created_us ||
             info->started_us != job->started_us ||
             (!job->finished_open && info->finished_us != job->finished_us))
        what = "its times are others";
    else if (info->cancel_requested != job->cancel_requested)
        what = "its request to be cancelled is another";
    else if (!same_name(found, info->task, job->task) || !same_name(found, info->queue, job->queue))
        what = "its task or queue is another";
    if (what)
        accuse_job(found, info->id < job->id ? info->id : job->id, what);
}

static bool same_errors(const struct model_job *should, const quplog_job *is)
{
    size_t first = should->error_count > OP_ATTEMPTS_KEPT ? should->error_count - OP_ATTEMPTS_KEPT
                                                          : 0;
    if (is->error_count != should->error_count - first)
        return false;
    for (size_t i = 0; i < is->error_count; i++)
        if (!same(should->errors[first + i], is->errors[i]))
            return false;
    return true;
}

static void compare_bytes(struct found *found, const struct model_job *job)
{
    quplog_job *is;
    const char *what = NULL;
    int status = quplog_load(found->log, job->id, &is);
    if (status) {
        accuse_job(found, job->id, "it can't be read");
        return;
    }
    if (!(job->payload_gone && is->payload.length == 0) && !same(job->payload, is->payload))
        what = "its payload is another";
    else if (!same(op_field(job->fields, OP_FIELD_TAGS), is->tags) ||
             !same(op_field(job->fields, OP_FIELD_SCHEDULE), is->schedule))
        what = "its tags or its schedule are others";
    else if (!same(job->result, is->result))
        what = "its result is another";
    else if (!same_errors(job, is))
        what = "its errors are others";
    if (what)
        accuse_job(found, job->id, what);
    quplog_job_free(is);
}

static void compare_jobs(struct found *found)
{
    static quplog_job_info infos[JOBS_MOST];
    const struct model *should = &found->should;
    size_t count = 0;
    uint64_t draw = random_next(&found->judge->chance);
    if (quplog_find(found->log, 0, NULL, 0, NULL, 0, 0, 0, 0, false, infos, JOBS_MOST, &count)) {
        judge_accuse(found->judge, "%s: the jobs can't be listed", found->how);
        return;
    }
    for (size_t i = 0; i < count && i < should->count; i++)
        compare_info(found, &should->jobs[i], &infos[i]);
    if (count < should->count)
        accuse_job(found, should->jobs[count].id, "it is lost");
    else if (count > should->count)
        accuse_job(found, infos[should->count].id, "it is there and should not be");
    for (size_t i = 0; i < should->count && !found->judge->wrong[0]; i++)
        if ((i + draw) % SHARE == 0)
            compare_bytes(found, &should->jobs[i]);
}

static const struct model_schedule *find_schedule(const struct model *model, quplog_bytes id)
{
    for (size_t i = 0; i < model->schedule_count; i++)
        if (same(model->schedules[i].id, id))
            return &model->schedules[i];
    return NULL;
}

static void compare_schedules(struct found *found)
{
    quplog_schedule *list = NULL;
    size_t count = 0;
    bool good = quplog_schedules(found->log, false, &list, &count) == QUPLOG_OK &&
                count == found->should.schedule_count;
    for (size_t i = 0; good && i < count; i++) {
        const struct model_schedule *s = find_schedule(&found->should, list[i].id);
        good = s && same(s->rule, list[i].rule) && s->next_us == list[i].next_us &&
               s->last_us == list[i].last_us && s->paused == list[i].paused;
    }
    quplog_schedules_free(list);
    if (!good)
        judge_accuse(found->judge, "%s: the schedules are others", found->how);
}

static void compare_queues(struct found *found)
{
    for (size_t i = 0; i < found->should.queue_count; i++) {
        const struct model_queue *queue = &found->should.queues[i];
        bool paused;
        int status = quplog_paused(found->log, (const char *)queue->name.data, queue->name.length,
                                   &paused);
        if (status || paused != queue->paused)
            judge_accuse(found->judge, "%s: a queue is paused or not, as it was not", found->how);
    }
}

static void compare(struct found *found)
{
    compare_jobs(found);
    compare_schedules(found);
    compare_queues(found);
}

/* ---- opening and closing ---- */

static bool open_log(struct found *found, struct disk *disk)
{
    quplog_options options = judge_options();
    memset(&found->report, 0, sizeof found->report);
    int status = open_with(disk_io(disk), "log", &options, &found->log, &found->report);
    if (status)
        judge_accuse(found->judge, "%s: opening it says %d: %s", found->how, status,
                     found->report.message);
    return status == QUPLOG_OK;
}

static void close_log(struct found *found)
{
    int status = quplog_close(found->log);
    if (status)
        judge_accuse(found->judge, "%s: closing it says %d", found->how, status);
    quplog_free(found->log);
}

/* Open, compare, close; the model is there already. */
static void look_again(struct found *found, struct disk *disk, const char *how)
{
    const char *before = found->how;
    found->how = how;
    if (open_log(found, disk)) {
        compare(found);
        close_log(found);
    }
    found->how = before;
}

/* ---- life goes on ---- */

static const quplog_spec AFTER = {
    .task = "after", .queue = "after", .task_length = 5, .queue_length = 5, .retries = 1};

static bool run_one(quplog *log, uint64_t *finished)
{
    quplog_worker *worker;
    uint32_t number;
    if (quplog_register(log, AFTER.task, AFTER.task_length, &number) ||
        quplog_worker_new(log, &worker))
        return false;
    bool good =
        quplog_work(worker, QUPLOG_NO_OUTCOME, 0, NULL, 0, QUPLOG_CLAIM_NEXT) == QUPLOG_OK;
    *finished = quplog_worker_claim(worker)->id;
    good = good && quplog_work(worker, QUPLOG_RUN_SUCCEEDED, 0, "done", 4, QUPLOG_SYNC) ==
                       QUPLOG_EMPTY &&
           quplog_worker_claim(worker)->finish_status == QUPLOG_OK;
    quplog_worker_free(worker);
    return good;
}

static bool is_in_state(quplog *log, uint64_t id, int state)
{
    quplog_job_info info;
    return quplog_info(log, id, &info) == QUPLOG_OK && info.state == state;
}

/* Two jobs, one of which is run; both are there after the next cut. */
static void go_on(struct found *found, struct disk *disk)
{
    struct judge *judge = found->judge;
    uint64_t first = 0, second = 0, finished = 0;
    bool good = quplog_put(found->log, &AFTER, "one", 3, 0, true, &first) == QUPLOG_OK &&
                quplog_put(found->log, &AFTER, "two", 3, 0, true, &second) == QUPLOG_OK;
    if (good && (first <= judge->history->highest_id || second <= first))
        judge_accuse(judge, "%s: the id %llu was given again", found->how,
                     (unsigned long long)first);
    good = good && run_one(found->log, &finished) && finished == first;
    if (!good)
        judge_accuse(judge, "%s: it can't be gone on with", found->how);
    struct disk *after = disk_cut(disk, DISK_MIX, &judge->chance);
    close_log(found);
    if (judge->wrong[0] || !open_log(found, after)) {
        disk_free(after);
        return;
    }
    if (!is_in_state(found->log, first, QUPLOG_SUCCEEDED) ||
        !is_in_state(found->log, second, QUPLOG_READY))
        judge_accuse(judge, "%s: what was done after it is lost by the next cut", found->how);
    close_log(found);
    disk_free(after);
}

/* ---- a state ---- */

/* Takes a snapshot before the n-th change. */
struct trap {
    struct disk *disk;
    uint64_t left;
    struct disk *caught;
};

static void spring(void *context, const struct disk_call *call)
{
    struct trap *trap = context;
    if (disk_changes(call->kind) && --trap->left == 0)
        trap->caught = disk_snapshot(trap->disk);
}

/* What a crash left, and what is known of it. */
struct state {
    struct disk *disk;
    size_t least;  /* so many frames must be there */
    size_t frames; /* so many are; found by the first recovery */
    bool known;    /* they were found already */
    int depth;
    const char *how;
};

static void judge_state(struct judge *judge, struct state *state);

static void cut_recovery(struct judge *judge, const struct state *state, struct disk *caught)
{
    struct state next = *state;
    next.disk = disk_cut(caught, DISK_MIX, &judge->chance);
    next.known = true;
    next.depth++;
    next.how = "after a power cut during recovery";
    judge->deep[next.depth]++;
    judge_state(judge, &next);
    disk_free(next.disk);
}

static void ask(struct found *found, struct state *state, unsigned question)
{
    struct disk *copy = NULL;
    if (question == 1)
        copy = disk_copy(state->disk);
    if (question == 2) {
        go_on(found, state->disk);
        return;
    }
    close_log(found);
    if (copy) {
        look_again(found, copy, "after a kill right after recovery");
        disk_free(copy);
    }
}

static bool count_frames(struct judge *judge, const struct found *found, struct state *state)
{
    if (!state->known)
        state->frames = history_below(judge->history, found->report.end_lsn);
    state->known = true;
    if (state->frames >= state->least)
        return true;
    judge_accuse(judge, "%s: the log ends at LSN %llu, with %zu of %zu frames, of which %zu had "
                        "been acknowledged",
                 state->how, (unsigned long long)found->report.end_lsn, state->frames,
                 judge->history->count, state->least);
    return false;
}

static void judge_state(struct judge *judge, struct state *state)
{
    static const struct disk_watch nobody;
    struct found found = {.judge = judge, .how = state->how};
    unsigned question = (unsigned)random_below(&judge->chance, SHARE);
    struct trap trap = {state->disk, 1 + random_below(&judge->chance, 12), NULL};
    struct disk_watch watch = {.before = spring, .context = &trap};
    judge->states++;
    if (question == 0 && state->depth < JUDGE_DEPTH)
        disk_look_on(state->disk, &watch);
    if (!open_log(&found, state->disk))
        return;
    if (count_frames(judge, &found, state)) {
        history_model(judge->history, state->frames, &found.should);
        model_reopen(&found.should);
        compare(&found);
        ask(&found, state, question);
        model_free(&found.should);
    } else {
        close_log(&found);
    }
    disk_look_on(state->disk, &nobody);
    if (trap.caught) {
        if (!judge->wrong[0])
            cut_recovery(judge, state, trap.caught);
        disk_free(trap.caught);
    }
}

/* ---- crashes ---- */

void judge_cut(struct judge *judge, const struct disk *disk, enum disk_fate fate)
{
    if (judge->wrong[0])
        return;
    struct state state = {.disk = disk_cut(disk, fate, &judge->chance),
                          .least = judge->history->durable,
                          .how = "after a power cut"};
    judge->deep[0]++;
    judge_state(judge, &state);
    disk_free(state.disk);
}

void judge_kill(struct judge *judge, const struct disk *disk)
{
    if (judge->wrong[0])
        return;
    struct state state = {.disk = disk_copy(disk),
                          .least = judge->history->count,
                          .depth = JUDGE_DEPTH,
                          .how = "after a kill of all"};
    judge->kills++;
    judge_state(judge, &state);
    disk_free(state.disk);
}

size_t judge_found(struct judge *judge, const struct disk *cut)
{
    struct state state = {
        .disk = disk_copy(cut), .least = judge->history->durable, .how = "after a power cut"};
    judge->deep[0]++;
    judge_state(judge, &state);
    disk_free(state.disk);
    return state.frames;
}
