/* actor.c: see actor.h.
 *
 * Every answer is checked when it comes: what is said to be stored is in the history with the bytes
 * that were given, a claim is of a job that nobody else runs, and no call may fail, since nothing
 * fails here but the power. What a synced call says is a promise from then on.
 */
#include "actor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "open.h"
#include "payload.h"

/* ---- what was said ---- */

static uint64_t draw(struct actor *a, uint64_t n)
{
    return machine_draw(a->scene->machine, n);
}

static bool percent(struct actor *a, unsigned share)
{
    return draw(a, 100) < share;
}

static struct history *history_of(struct actor *a)
{
    return a->scene->judge->history;
}

static void accuse(struct actor *a, const char *what, int64_t value)
{
    judge_accuse(a->scene->judge, "process %u: %s (%lld)", a->process, what, (long long)value);
    machine_halt(a->scene->machine);
    machine_pause(a->scene->machine);
}

/* A call may succeed, be interrupted, or say one of the other answers. */
static bool went_well(struct actor *a, const char *verb, int status, int other, int another)
{
    machine_tell(a->scene->machine, "%s: %d", verb, status);
    if (status != QUPLOG_OK && status != QUPLOG_INTERRUPTED && status != other &&
        status != another)
        accuse(a, verb, status);
    return status == QUPLOG_OK;
}

/* Job `id` was said to be put with this payload. */
static void was_put(struct actor *a, uint64_t id, const char *payload, size_t length, bool synced)
{
    struct history *history = history_of(a);
    const struct model_job *job = model_find(&history->now, id);
    size_t frames = history_put(history, id);
    a->has_written = true;
    machine_tell(a->scene->machine, "put job %llu, synced: %d", (unsigned long long)id, synced);
    if (frames == 0)
        accuse(a, "a job was said to be put and is not in the log", (int64_t)id);
    if (job && !job->payload_gone &&
        (job->payload.length != length || memcmp(job->payload.data, payload, length) != 0))
        accuse(a, "a job was put with another payload", (int64_t)id);
    history_tell(history, frames, synced);
}

/* ---- runs ---- */

static void begin_run(struct actor *a, const quplog_claim *claim)
{
    struct scene *scene = a->scene;
    struct run *place = NULL;
    for (size_t i = 0; i < RUNS; i++) {
        if (scene->runs[i].id == claim->id)
            accuse(a, "a job was claimed that another process is running", (int64_t)claim->id);
        if (scene->runs[i].id == 0)
            place = &scene->runs[i];
    }
    if (!place)
        abort();
    *place = (struct run){claim->id, a->process};
    machine_tell(scene->machine, "claimed job %llu", (unsigned long long)claim->id);
    if (claim->payload_status ||
        !judge_is_payload(claim->payload.data, claim->payload.length))
        accuse(a, "a claim has no payload, or another", (int64_t)claim->id);
}

static void end_run(struct actor *a, uint64_t id)
{
    for (size_t i = 0; i < RUNS; i++)
        if (a->scene->runs[i].id == id)
            a->scene->runs[i].id = 0;
}

void actor_died(struct scene *scene, unsigned process)
{
    for (size_t i = 0; i < RUNS; i++)
        if (scene->runs[i].process == process)
            scene->runs[i].id = 0;
}

/* ---- putting ---- */

static const quplog_spec SPECS[] = {
    {.task = "work", .queue = "q0", .task_length = 4, .queue_length = 2, .retries = 2},
    {.task = "work", .queue = "q1", .task_length = 4, .queue_length = 2, .priority = 5},
    {.task = "more", .queue = "q0", .task_length = 4, .queue_length = 2, .tags = "\3red",
     .tags_length = 4},
};

static const quplog_spec *draw_spec(struct actor *a)
{
    return &SPECS[draw(a, sizeof SPECS / sizeof *SPECS)];
}

/* Most frames are of one of few sizes, so that one may stand where another was. */
static size_t draw_length(struct actor *a)
{
    static const size_t small[] = {16, 16, 16, 152, 408, 920, 2000};
    return percent(a, a->scene->large) ? 8000 + draw(a, JUDGE_PAYLOAD - 8000)
                                       : small[draw(a, sizeof small / sizeof *small)];
}

static char *draw_payload(struct actor *a, size_t *length)
{
    *length = draw_length(a);
    char *payload = malloc(*length);
    if (!payload)
        abort();
    payload_make(payload, *length, a->scene->next_number++);
    return payload;
}

static int64_t draw_due(struct actor *a)
{
    return percent(a, 80) ? 0 : quplog_now(a->log) + 1 + (int64_t)draw(a, 500000);
}

static void put_one(struct actor *a)
{
    size_t length;
    uint64_t id;
    bool sync = percent(a, a->scene->synced);
    char *payload = draw_payload(a, &length);
    int status = quplog_put(a->log, draw_spec(a), payload, length, draw_due(a), sync, &id);
    went_well(a, "put", status, QUPLOG_OK, QUPLOG_OK);
    if (id)
        was_put(a, id, payload, length, sync && status == QUPLOG_OK);
    free(payload);
}

static void put_batch(struct actor *a)
{
    enum { MOST = 4 };
    char *payloads[MOST];
    size_t lengths[MOST], count = 1 + (size_t)draw(a, MOST);
    uint64_t first = 0, lsn = 0;
    bool sync = percent(a, a->scene->synced);
    quplog_batch *batch = quplog_batch_new();
    for (size_t i = 0; i < count; i++) {
        payloads[i] = draw_payload(a, &lengths[i]);
        int added = quplog_batch_put(batch, draw_spec(a), payloads[i], lengths[i], draw_due(a));
        went_well(a, "batch_put", added, QUPLOG_OK, QUPLOG_OK);
    }
    int status = quplog_commit(a->log, batch, sync ? QUPLOG_SYNC : 0, &first, &lsn);
    went_well(a, "commit", status, QUPLOG_OK, QUPLOG_OK);
    for (size_t i = 0; i < count; i++) {
        if (lsn)
            was_put(a, first + i, payloads[i], lengths[i], sync && status == QUPLOG_OK);
        free(payloads[i]);
    }
    quplog_batch_free(batch);
}

/* Make a schedule, tick it with a job, or remove it. */
static void tick(struct actor *a)
{
    quplog_schedule *list = NULL;
    size_t count = 0, length;
    uint64_t first, lsn = 0;
    if (!went_well(a, "schedules", quplog_schedules(a->log, false, &list, &count), QUPLOG_OK,
                   QUPLOG_OK))
        return;
    uint64_t expected = count ? list[0].version : 0;
    quplog_schedules_free(list);
    quplog_batch *batch = quplog_batch_new();
    char *payload = draw_payload(a, &length);
    int64_t now = quplog_now(a->log);
    if (count && percent(a, 20)) {
        (void)quplog_batch_unschedule(batch, "s", 1);
        length = 0;
    } else {
        (void)quplog_batch_schedule(batch, "s", 1, expected ? "" : "rule", expected ? 0 : 4,
                                    now + 1000, expected ? now : 0, false, expected);
        (void)quplog_batch_put(batch, &SPECS[0], payload, length, 0);
    }
    int status = quplog_commit(a->log, batch, 0, &first, &lsn);
    went_well(a, "tick", status, QUPLOG_STALE, QUPLOG_OK);
    if (lsn && length)
        was_put(a, first, payload, length, false);
    a->has_written = a->has_written || lsn;
    free(payload);
    quplog_batch_free(batch);
}

/* ---- running ---- */

struct outcome {
    int kind;
    int64_t due_us;
    char data[64];
};

static struct outcome draw_outcome(struct actor *a, uint64_t id)
{
    static const int kinds[] = {QUPLOG_RUN_SUCCEEDED, QUPLOG_RUN_SUCCEEDED, QUPLOG_RUN_SUCCEEDED,
                                QUPLOG_RUN_FAILED,    QUPLOG_RUN_CANCELLED, QUPLOG_RUN_RETRY,
                                QUPLOG_RUN_SNOOZE,    QUPLOG_RUN_RELEASE};
    struct outcome o = {.kind = kinds[draw(a, sizeof kinds / sizeof *kinds)]};
    o.due_us = quplog_now(a->log) + 1 + (int64_t)draw(a, 300000);
    snprintf(o.data, sizeof o.data, "what came of job %llu", (unsigned long long)id);
    return o;
}

/* The outcome of run `token` of job `id` was said to be written. */
static void was_ended(struct actor *a, uint64_t id, uint64_t token, bool synced)
{
    struct history *history = history_of(a);
    size_t frames = history_outcome(history, id, token);
    a->has_written = true;
    machine_tell(a->scene->machine, "ended job %llu, synced: %d", (unsigned long long)id, synced);
    if (frames == 0)
        accuse(a, "an outcome was said to be written and is not in the log", (int64_t)id);
    history_tell(history, frames, synced);
}

/* One call of quplog_work: end the job that the seat runs, if there is one, and perhaps claim. */
static int work(struct actor *a, quplog_worker *seat, uint64_t *job, int flags)
{
    struct outcome o = {.kind = QUPLOG_NO_OUTCOME};
    const quplog_claim *claim = quplog_worker_claim(seat);
    uint64_t ended = *job, token = claim->token;
    bool sync = percent(a, a->scene->synced);
    if (ended)
        o = draw_outcome(a, ended);
    end_run(a, ended);
    int status = quplog_work(seat, o.kind, o.due_us, o.data, strlen(o.data),
                             flags | (sync ? QUPLOG_SYNC : 0));
    went_well(a, "work", status, QUPLOG_EMPTY, QUPLOG_STOPPED);
    if (ended && claim->finish_status == QUPLOG_INTERRUPTED)
        return status; /* the claim stays: again with an outcome */
    if (ended) {
        went_well(a, "finish", claim->finish_status, QUPLOG_OK, QUPLOG_OK);
        was_ended(a, ended, token, sync);
    }
    *job = status == QUPLOG_OK ? claim->id : 0;
    if (*job)
        begin_run(a, claim);
    return status;
}

static void serve(struct actor *a)
{
    static const char *const tasks[] = {"work", "more"};
    for (size_t i = 0; i < 2; i++) {
        uint32_t number;
        int status;
        do
            status = quplog_register(a->log, tasks[i], 4, &number);
        while (status == QUPLOG_INTERRUPTED);
        went_well(a, "register", status, QUPLOG_OK, QUPLOG_OK);
    }
}

static void use_seat(struct actor *a)
{
    size_t i = (size_t)draw(a, SEATS);
    if (!a->seats[i]) {
        serve(a);
        went_well(a, "worker_new", quplog_worker_new(a->log, &a->seats[i]), QUPLOG_OK, QUPLOG_OK);
    }
    (void)work(a, a->seats[i], &a->jobs[i], percent(a, 70) ? QUPLOG_CLAIM_NEXT : 0);
}

static void leave_seat(struct actor *a)
{
    size_t i = (size_t)draw(a, SEATS);
    end_run(a, a->jobs[i]);
    quplog_worker_free(a->seats[i]);
    a->seats[i] = NULL;
    a->jobs[i] = 0;
}

/* ---- other verbs ---- */

static uint64_t draw_id(struct actor *a)
{
    const struct model *model = &history_of(a)->now;
    return model->count ? model->jobs[draw(a, model->count)].id : 1;
}

static void cancel(struct actor *a)
{
    uint64_t lsn;
    int status = quplog_cancel(a->log, draw_id(a), &lsn);
    if (went_well(a, "cancel", status, QUPLOG_STALE, QUPLOG_NOT_FOUND))
        a->has_written = true;
}

static void pause_queue(struct actor *a)
{
    uint64_t lsn;
    int status = quplog_pause(a->log, "q1", 2, percent(a, 50), &lsn);
    if (went_well(a, "pause", status, QUPLOG_OK, QUPLOG_OK))
        a->has_written = true;
}

static void sync_log(struct actor *a)
{
    size_t frames = history_of(a)->told;
    if (went_well(a, "sync", quplog_sync(a->log), QUPLOG_OK, QUPLOG_OK))
        history_tell(history_of(a), frames, true);
}

static void compact(struct actor *a)
{
    went_well(a, "compact", quplog_compact(a->log), QUPLOG_OK, QUPLOG_OK);
}

static void look(struct actor *a)
{
    quplog_job *job;
    if (!went_well(a, "load", quplog_load(a->log, draw_id(a), &job), QUPLOG_NOT_FOUND, QUPLOG_OK))
        return;
    if (job->payload.length && !judge_is_payload(job->payload.data, job->payload.length))
        accuse(a, "a job was read with another payload", (int64_t)job->info.id);
    quplog_job_free(job);
}

static void rest(struct actor *a)
{
    const struct io *io = machine_io(a->scene->machine);
    uint32_t word = 0;
    int64_t until = io->monotonic_us(io->world) + (int64_t)draw(a, 300000);
    (void)io->futex_wait(io->world, &word, 0, until, IO_FUTEX_MONOTONIC, IO_ALL_BITS);
}

/* ---- threads of a process ---- */

static void help(void *argument)
{
    struct actor *a = argument;
    int status;
    do
        status = quplog_keep(a->log);
    while (status == QUPLOG_TICK || status == QUPLOG_INTERRUPTED);
    went_well(a, "keep", status, QUPLOG_STOPPED, QUPLOG_CLOSED);
}

static void wait_and_work(void *argument)
{
    struct actor *a = argument;
    uint64_t job = 0;
    int status;
    do
        status = work(a, a->waiting_seat, &job, QUPLOG_CLAIM_NEXT | QUPLOG_WAIT);
    while (status == QUPLOG_OK || status == QUPLOG_INTERRUPTED || status == QUPLOG_EMPTY);
}

static void begin_threads(struct actor *a)
{
    const struct io *io = machine_io(a->scene->machine);
    a->helps = percent(a, 40);
    a->works = percent(a, 30);
    if (a->helps)
        (void)io->thread_start(io->world, &a->helper, help, a);
    if (!a->works)
        return;
    serve(a);
    went_well(a, "worker_new", quplog_worker_new(a->log, &a->waiting_seat), QUPLOG_OK,
              QUPLOG_OK);
    (void)io->thread_start(io->world, &a->worker, wait_and_work, a);
}

static void end_threads(struct actor *a)
{
    const struct io *io = machine_io(a->scene->machine);
    quplog_stop(a->log);
    if (a->helps)
        io->thread_join(io->world, &a->helper);
    if (a->works)
        io->thread_join(io->world, &a->worker);
    if (a->works)
        quplog_worker_free(a->waiting_seat);
}

/* ---- a process ---- */

static void open_log(struct actor *a)
{
    quplog_report report = {0};
    int status;
    do
        status = open_with(machine_io(a->scene->machine), "log", &a->scene->options, &a->log,
                           &report);
    while (status == QUPLOG_INTERRUPTED);
    if (!went_well(a, "open", status, QUPLOG_OK, QUPLOG_OK))
        accuse(a, report.message, status);
    a->has_written = false;
    begin_threads(a);
}

/* What this process has written is durable then. */
static void close_log(struct actor *a)
{
    for (size_t i = 0; i < SEATS; i++) {
        end_run(a, a->jobs[i]);
        quplog_worker_free(a->seats[i]);
        a->seats[i] = NULL;
        a->jobs[i] = 0;
    }
    end_threads(a);
    size_t frames = history_of(a)->told;
    if (went_well(a, "close", quplog_close(a->log), QUPLOG_OK, QUPLOG_OK) && a->has_written)
        history_tell(history_of(a), frames, true);
    quplog_free(a->log);
    a->log = NULL;
}

static void reopen(struct actor *a)
{
    close_log(a);
    open_log(a);
}

static void act(struct actor *a)
{
    static const struct {
        unsigned share;
        void (*run)(struct actor *a);
    } verbs[] = {{30, put_one},     {6, put_batch}, {35, use_seat}, {2, leave_seat},
                 {4, cancel},       {2, pause_queue}, {5, sync_log}, {3, compact},
                 {3, tick},         {5, look},       {3, rest},     {2, reopen}};
    unsigned lot = (unsigned)draw(a, 100);
    size_t i = 0;
    while (lot >= verbs[i].share)
        lot -= verbs[i++].share;
    verbs[i].run(a);
}

static void live(void *argument)
{
    struct actor *a = argument;
    a->process = machine_process(a->scene->machine);
    open_log(a);
    while (a->verbs-- > 0)
        act(a);
    close_log(a);
}

void actor_enter(struct scene *scene)
{
    struct actor *a = &scene->actors[scene->actor_count++];
    *a = (struct actor){.scene = scene, .verbs = scene->verbs};
    a->process = machine_start(scene->machine, live, a);
}
