/* promises.c: see promises.h. */
#include "promises.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "payload.h"

enum { LENGTH_MOST = 64 << 10 };

/* ---- what was told ---- */

void promises_step(struct promises_thing *thing, int64_t value, int64_t due_us, bool certain)
{
    if (thing->count == 0)
        thing->durable = -1;
    if (thing->count == PROMISES_STEPS)
        abort();
    thing->steps[thing->count++] = (struct promises_step){value, due_us, certain};
}

/* The last step that is certain; -1: none is. */
static int last_certain(const struct promises_thing *thing)
{
    int at = thing->count - 1;
    while (at >= 0 && !thing->steps[at].certain)
        at--;
    return at;
}

static void thing_synced(struct promises_thing *thing, const struct promises_thing *before)
{
    int at = last_certain(before);
    if (at > thing->durable)
        thing->durable = at;
}

void promises_synced(struct promises *promises, const struct promises *before)
{
    for (size_t i = 0; i < before->count; i++)
        thing_synced(&promises->jobs[i].states, &before->jobs[i].states);
    thing_synced(&promises->next, &before->next);
    thing_synced(&promises->paused, &before->paused);
}

static void thing_cut(struct promises_thing *thing)
{
    for (int i = thing->count - 1; i >= 0 && i > thing->durable; i--)
        thing->steps[i].certain = false;
}

void promises_cut(struct promises *promises)
{
    for (size_t i = 0; i < promises->count; i++)
        thing_cut(&promises->jobs[i].states);
    thing_cut(&promises->next);
    thing_cut(&promises->paused);
}

static bool may_run(const struct promises_thing *states)
{
    int first = last_certain(states);
    for (int i = first < 0 ? 0 : first; i < states->count; i++)
        if (states->steps[i].value == QUPLOG_RUNNING)
            return true;
    return false;
}

void promises_give_back(struct promises *promises, uint64_t id)
{
    for (size_t i = 0; i < promises->count; i++) {
        struct promises_job *job = &promises->jobs[i];
        if ((id == 0 || job->id == id) && may_run(&job->states))
            promises_step(&job->states, QUPLOG_READY, 0, false);
    }
}

struct promises_job *promises_add(struct promises *promises, size_t length)
{
    if (promises->count == PROMISES_JOBS || length > LENGTH_MOST)
        abort();
    struct promises_job *job = &promises->jobs[promises->count++];
    *job = (struct promises_job){.number = ++promises->numbers, .length = length};
    return job;
}

struct promises_job *promises_find(struct promises *promises, uint64_t id)
{
    for (size_t i = 0; id && i < promises->count; i++)
        if (promises->jobs[i].id == id)
            return &promises->jobs[i];
    return NULL;
}

size_t promises_result(char out[64], uint64_t number)
{
    return (size_t)snprintf(out, 64, "what came of job %llu", (unsigned long long)number);
}

/* ---- what is there ---- */

struct check {
    const struct promises *promises;
    quplog *log;
    enum promises_end end;
    bool shared;
    char *wrong;
    bool seen[PROMISES_JOBS];
};

static void accuse(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void accuse(struct check *check, const char *format, ...)
{
    va_list arguments;
    if (check->wrong[0])
        return;
    va_start(arguments, format);
    vsnprintf(check->wrong, PROMISES_TEXT, format, arguments);
    va_end(arguments);
}

static bool holds(quplog_bytes bytes, const void *should, size_t length)
{
    return bytes.length == length && (length == 0 || memcmp(bytes.data, should, length) == 0);
}

static bool is_payload(const struct promises_job *job, quplog_bytes is)
{
    static char should[LENGTH_MOST];
    payload_make(should, job->length, job->number);
    return holds(is, should, job->length);
}

/* The first step that it may be at; -1: it need not be there. */
static int earliest(const struct check *check, const struct promises_thing *thing)
{
    if (thing->count == 0)
        return -1;
    return check->end == AFTER_KILL ? last_certain(thing) : thing->durable;
}

/* The step that a job in `state` is at; -1: at none that it may be at. */
static int step_of(const struct check *check, const struct promises_job *job, int state)
{
    int first = earliest(check, &job->states);
    int64_t now = quplog_now(check->log);
    for (int i = first < 0 ? 0 : first; i < job->states.count; i++) {
        const struct promises_step *step = &job->states.steps[i];
        bool due = step->due_us && step->due_us <= now;
        bool given_back = step->value == QUPLOG_RUNNING && !check->shared;
        if (state == (given_back ? QUPLOG_READY : step->value) || (due && state == QUPLOG_READY))
            return i;
    }
    return -1;
}

static void check_bytes(struct check *check, const struct promises_job *job, const quplog_job *is)
{
    char text[64];
    unsigned long long id = is->info.id;
    size_t length = promises_result(text, job->number);
    bool done = is->info.state == QUPLOG_SUCCEEDED;
    bool over = done || is->info.state == QUPLOG_CANCELLED;
    if (!is_payload(job, is->payload) && !(over && is->payload.length == 0))
        accuse(check, "job %llu has another payload", id);
    if (done && !holds(is->result, text, length) &&
        !(check->promises->dropped && is->result_dropped && is->result.length == 0))
        accuse(check, "job %llu has another result", id);
    bool failed = is->info.state == QUPLOG_RETRYING || is->info.state == QUPLOG_JOB_FAILED;
    if (failed && (is->error_count == 0 || !holds(is->errors[is->error_count - 1], text, length)))
        accuse(check, "job %llu has another error", id);
}

/* Whose job this is, by its id or, if nobody was told that, its payload. */
static const struct promises_job *owner_of(struct check *check, const quplog_job *is)
{
    const struct promises *promises = check->promises;
    for (size_t i = 0; i < promises->count; i++) {
        const struct promises_job *job = &promises->jobs[i];
        bool own = job->id ? job->id == is->info.id : is_payload(job, is->payload);
        if (own && check->seen[i]) {
            accuse(check, "job %llu is there twice", (unsigned long long)is->info.id);
        } else if (own) {
            check->seen[i] = true;
            return job;
        }
    }
    accuse(check, "job %llu is there, and nobody put it", (unsigned long long)is->info.id);
    return NULL;
}

static void check_job(struct check *check, uint64_t id)
{
    quplog_job *is;
    int status = quplog_load(check->log, id, &is);
    if (status) {
        accuse(check, "job %llu can't be read: %d", (unsigned long long)id, status);
        return;
    }
    const struct promises_job *job = owner_of(check, is);
    if (job && job->states.count == 0)
        accuse(check, "job %llu was refused, and is there", (unsigned long long)id);
    else if (job && step_of(check, job, is->info.state) < 0)
        accuse(check, "job %llu is in state %d, and was led to %d (step %d)",
               (unsigned long long)id, is->info.state,
               (int)job->states.steps[job->states.count - 1].value,
               earliest(check, &job->states));
    if (job)
        check_bytes(check, job, is);
    quplog_job_free(is);
}

/* It may be gone since it succeeded, or was cancelled. */
static bool may_be_forgotten(const struct check *check, const struct promises_job *job)
{
    bool over = false;
    for (int i = 0; i < job->states.count; i++)
        over = over || job->states.steps[i].value == QUPLOG_SUCCEEDED ||
               job->states.steps[i].value == QUPLOG_CANCELLED;
    return check->promises->forgets && over;
}

static void check_missing(struct check *check)
{
    const struct promises *promises = check->promises;
    for (size_t i = 0; i < promises->count; i++) {
        const struct promises_job *job = &promises->jobs[i];
        bool there = check->seen[i] || may_be_forgotten(check, job);
        if (!there && earliest(check, &job->states) >= 0)
            accuse(check, "job %llu is lost (number %llu)", (unsigned long long)job->id,
                   (unsigned long long)job->number);
        for (size_t k = 0; job->group && k < i; k++) {
            const struct promises_job *other = &promises->jobs[k];
            bool also = check->seen[k] || may_be_forgotten(check, other);
            if (other->group == job->group && there != also)
                accuse(check, "of the jobs of one frame some are there (number %llu)",
                       (unsigned long long)job->number);
        }
    }
}

static void check_thing(struct check *check, const struct promises_thing *thing, int64_t is,
                        const char *what)
{
    int first = earliest(check, thing);
    bool good = first < 0 && is == 0;
    for (int i = first < 0 ? 0 : first; i < thing->count; i++)
        good = good || thing->steps[i].value == is;
    if (!good)
        accuse(check, "%s is %lld, and was led to %lld", what, (long long)is,
               thing->count ? (long long)thing->steps[thing->count - 1].value : 0);
}

/* The next time of schedule "s"; 0: there is none; -1: it can't be read. */
static int64_t read_next(quplog *log)
{
    quplog_schedule *list;
    size_t count;
    if (quplog_schedules(log, false, &list, &count))
        return -1;
    int64_t next = count == 0 ? 0 : count == 1 && holds(list[0].rule, "rule", 4) ? list[0].next_us
                                                                                  : -1;
    quplog_schedules_free(list);
    return next;
}

static bool read_paused(quplog *log)
{
    bool paused = false;
    return quplog_paused(log, "q", 1, &paused) == QUPLOG_OK && paused;
}

void promises_check(const struct promises *promises, quplog *log, enum promises_end end,
                    bool shared, char wrong[PROMISES_TEXT])
{
    static quplog_job_info infos[PROMISES_JOBS * 2];
    struct check check = {
        .promises = promises, .log = log, .end = end, .shared = shared, .wrong = wrong};
    size_t count = 0;
    int status = quplog_find(log, 0, NULL, 0, NULL, 0, 0, 0, 0, false, infos, PROMISES_JOBS * 2,
                             &count);
    if (status)
        accuse(&check, "the jobs can't be listed: %d", status);
    for (size_t i = 0; i < count && !wrong[0]; i++)
        check_job(&check, infos[i].id);
    check_missing(&check);
    check_thing(&check, &promises->next, read_next(log), "the schedule's next time");
    check_thing(&check, &promises->paused, read_paused(log), "the queue's pause");
}
