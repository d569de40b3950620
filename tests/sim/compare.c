/* compare.c: see compare.h. */
#include "compare.h"

#include <stdarg.h>
#include <stdio.h>

enum { JOBS_MOST = 4096 };

struct comparison {
    quplog *log;
    const struct model *should;
    uint64_t draw, share; /* which jobs are read */
    char *wrong;
};

static void accuse(struct comparison *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void accuse(struct comparison *c, const char *format, ...)
{
    va_list arguments;
    if (c->wrong[0])
        return;
    va_start(arguments, format);
    vsnprintf(c->wrong, COMPARE_TEXT, format, arguments);
    va_end(arguments);
}

static void accuse_job(struct comparison *c, uint64_t id, const char *what)
{
    accuse(c, "job %llu: %s", (unsigned long long)id, what);
}

static bool same(struct span should, quplog_bytes is)
{
    return should.length == is.length &&
           (is.length == 0 || memcmp(should.data, is.data, is.length) == 0);
}

static bool same_name(struct comparison *c, uint32_t number, struct span should)
{
    return same(should, quplog_name(c->log, number));
}

static void compare_info(struct comparison *c, const struct model_job *job,
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
    else if (!same_name(c, info->task, job->task) || !same_name(c, info->queue, job->queue))
        what = "its task or queue is another";
    if (what)
        accuse_job(c, info->id < job->id ? info->id : job->id, what);
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

static void compare_bytes(struct comparison *c, const struct model_job *job)
{
    quplog_job *is;
    const char *what = NULL;
    int status = quplog_load(c->log, job->id, &is);
    if (status) {
        accuse_job(c, job->id, "it can't be read");
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
        accuse_job(c, job->id, what);
    quplog_job_free(is);
}

static void compare_jobs(struct comparison *c)
{
    static quplog_job_info infos[JOBS_MOST];
    const struct model *should = c->should;
    size_t count = 0;
    if (quplog_find(c->log, 0, NULL, 0, NULL, 0, 0, 0, 0, false, infos, JOBS_MOST, &count)) {
        accuse(c, "the jobs can't be listed");
        return;
    }
    for (size_t i = 0; i < count && i < should->count; i++)
        compare_info(c, &should->jobs[i], &infos[i]);
    if (count < should->count)
        accuse_job(c, should->jobs[count].id, "it is lost");
    else if (count > should->count)
        accuse_job(c, infos[should->count].id, "it is there and should not be");
    for (size_t i = 0; i < should->count && !c->wrong[0]; i++)
        if ((i + c->draw) % c->share == 0)
            compare_bytes(c, &should->jobs[i]);
}

static const struct model_schedule *find_schedule(const struct model *model, quplog_bytes id)
{
    for (size_t i = 0; i < model->schedule_count; i++)
        if (same(model->schedules[i].id, id))
            return &model->schedules[i];
    return NULL;
}

static void compare_schedules(struct comparison *c)
{
    quplog_schedule *list = NULL;
    size_t count = 0;
    bool good = quplog_schedules(c->log, false, &list, &count) == QUPLOG_OK &&
                count == c->should->schedule_count;
    for (size_t i = 0; good && i < count; i++) {
        const struct model_schedule *s = find_schedule(c->should, list[i].id);
        good = s && same(s->rule, list[i].rule) && s->next_us == list[i].next_us &&
               s->last_us == list[i].last_us && s->paused == list[i].paused;
    }
    quplog_schedules_free(list);
    if (!good)
        accuse(c, "the schedules are others");
}

static void compare_queues(struct comparison *c)
{
    for (size_t i = 0; i < c->should->queue_count; i++) {
        const struct model_queue *queue = &c->should->queues[i];
        bool paused;
        int status = quplog_paused(c->log, (const char *)queue->name.data, queue->name.length,
                                   &paused);
        if (status || paused != queue->paused)
            accuse(c, "a queue is paused or not, as it was not");
    }
}

bool compare_log(quplog *log, const struct model *should, uint64_t draw, uint64_t share,
                 char wrong[COMPARE_TEXT])
{
    struct comparison c = {log, should, draw, share, wrong};
    wrong[0] = '\0';
    compare_jobs(&c);
    compare_schedules(&c);
    compare_queues(&c);
    return !wrong[0];
}
