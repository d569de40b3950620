/* life.c: see life.h. The judgement is in life_judge.c. */
#include "life.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "open.h"
#include "payload.h"
#include "real_files.h"

enum { LENGTH_MOST = 64 << 10, FULL_US = 2000000, KEEP_WAITS = 8 };

static const quplog_spec SPEC = {
    .task = "work", .queue = "q", .task_length = 4, .queue_length = 1, .retries = 3};

void life_begin(struct life *life, struct disk *disk)
{
    *life = (struct life){.disk = disk, .inject = inject_new(), .chance = 1};
    life->options = (quplog_options){
        .segment_size = LIFE_SEGMENT, .keep_succeeded_us = -1, .keep_failed_us = -1,
        .lock_timeout_us = 10000000};
}

void life_end(struct life *life)
{
    inject_disarm(life->inject);
    for (int p = 0; p < LIFE_PROCESSES; p++)
        life_close(life, p); /* what went wrong has left it open */
    inject_free(life->inject);
    disk_free(life->disk);
}

void life_accuse(struct life *life, const char *format, ...)
{
    va_list arguments;
    if (life->wrong[0])
        return;
    va_start(arguments, format);
    vsnprintf(life->wrong, sizeof life->wrong, format, arguments);
    va_end(arguments);
    if (life->trace)
        fprintf(stderr, "VIOLATION: %s\n", life->wrong);
}

/* ---- answers ---- */

bool life_has_failed(const struct life *life, int p)
{
    quplog *log = life->processes[p].log;
    return log && control_poisoned(&log->core->control);
}

void life_ask(struct life *life)
{
    if (life->depth++ == 0 && !life->crashed && inject_fired(life->inject)) {
        life->crashed = true;
        life_crash(life); /* with all noted that the call before has said */
    }
    life->fired = inject_fired(life->inject);
    for (int p = 0; p < LIFE_PROCESSES; p++)
        life->processes[p].had_failed = life_has_failed(life, p);
    inject_enter(life->inject);
}

void life_answered(struct life *life)
{
    inject_leave(life->inject);
    life->depth--;
    if (inject_fired(life->inject) != life->fired)
        life->failed_us = disk_time(life->disk);
}

/* The error itself, as a caller sees it. */
static bool is_the_error(const struct life *life, int status)
{
    int number = inject_errno(life->inject);
    if (inject_fired(life->inject) == life->fired || number == 0)
        return false;
    if (inject_plan(life->inject)->system)
        return false; /* what a signal interrupts is repeated */
    return status == -number || (number == ENOSPC && status == QUPLOG_FULL) ||
           (number == ENOMEM && status == QUPLOG_NO_MEMORY) ||
           (number == EINTR && status == QUPLOG_INTERRUPTED);
}

/* Only what keeps bytes from the disk makes a log fail. */
static bool may_poison(const struct life *life)
{
    const struct inject_plan *plan = inject_plan(life->inject);
    bool asked = plan->kind == INJECT_DATA_SYNC || plan->kind == INJECT_NAME_SYNC ||
                 plan->kind == INJECT_OPEN || plan->kind == INJECT_READ ||
                 plan->kind == INJECT_STAT || plan->kind == INJECT_LIST;
    return inject_fired(life->inject) > 0 && asked && inject_errno(life->inject);
}

static bool is_excused(struct life *life, int status)
{
    if (is_the_error(life, status))
        return true;
    if (status == QUPLOG_FULL && inject_errno(life->inject) == ENOSPC && life->failed_us &&
        disk_time(life->disk) - life->failed_us < FULL_US)
        return true;
    if (status != QUPLOG_FAILED || !may_poison(life))
        return false;
    life->failed = true;
    return true;
}

bool life_told(struct life *life, int p, const char *verb, int status, int other)
{
    if (life->trace)
        fprintf(stderr, "process %d: %s: %d%s\n", p, verb, status,
                inject_fired(life->inject) != life->fired ? " (something failed)" : "");
    if (status != QUPLOG_OK && status != other && !is_excused(life, status))
        life_accuse(life, "%s says %d", verb, status);
    return status == QUPLOG_OK;
}

/* The same for a verb that writes: a log that has failed takes nothing. */
static bool told_of_write(struct life *life, int p, const char *verb, int status, int other)
{
    bool good = life_told(life, p, verb, status, other);
    if (life->processes[p].had_failed && status != QUPLOG_FAILED && status != QUPLOG_CLOSED)
        life_accuse(life, "%s says %d on a log that has failed", verb, status);
    return good;
}

/* ---- opening and closing ---- */

void life_start(struct life *life, int p)
{
    struct life_process *process = &life->processes[p];
    if (process->io)
        return;
    const struct io *io = p ? disk_process(life->disk) : disk_io(life->disk);
    if (life->real)
        real_files_over(io, &process->real);
    process->io = inject_process(life->inject, life->real ? &process->real : io);
}

bool life_open(struct life *life, int p)
{
    struct life_process *process = &life->processes[p];
    quplog_report report = {0};
    quplog *log = NULL;
    life_start(life, p);
    life_ask(life);
    int status = open_with(process->io, "log", &life->options, &log, &report);
    life_answered(life);
    if (status == QUPLOG_FAILED && life->heals && inject_fired(life->inject) != life->fired)
        return false; /* what had failed fails still */
    if (!life_told(life, p, "open", status, QUPLOG_OK)) {
        if (inject_left(life->inject, process->io))
            life_accuse(life, "an open that failed has left %zu descriptors or mappings",
                        inject_left(life->inject, process->io));
        return false;
    }
    process->log = log;
    process->has_written = false;
    if (report.ending != QUPLOG_SHARED)
        promises_give_back(&life->promises, 0);
    return true;
}

void life_close(struct life *life, int p)
{
    struct life_process *process = &life->processes[p];
    if (!process->log)
        return;
    struct promises before = life->promises;
    life_ask(life);
    quplog_worker_free(process->seat);
    int status = quplog_close(process->log);
    life_answered(life);
    quplog_free(process->log);
    if (process->running)
        promises_give_back(&life->promises, process->running);
    process->log = NULL;
    process->seat = NULL;
    process->running = 0;
    if (life_told(life, p, "close", status, QUPLOG_OK) && process->has_written)
        promises_synced(&life->promises, &before);
    if (inject_left(life->inject, process->io))
        life_accuse(life, "a close has left %zu descriptors or mappings",
                    inject_left(life->inject, process->io));
}

/* What it has in memory is freed by closing it where that has no effect on anybody. */
void life_kill(struct life *life, int p)
{
    struct life_process *process = &life->processes[p];
    struct control *control = &process->log->core->control;
    struct control_page *page = aligned_alloc(CONTROL_PAGE, CONTROL_PAGE);
    if (!page)
        abort();
    memcpy((void *)page, (const void *)control->page, CONTROL_PAGE);
    inject_kill(life->inject, process->io);
    control->page = page;
    control->mapped = false;
    quplog_worker_free(process->seat);
    (void)quplog_close(process->log);
    quplog_free(process->log);
    if (process->running)
        promises_give_back(&life->promises, process->running);
    process->io = NULL;
    process->log = NULL;
    process->seat = NULL;
    process->running = 0;
}

/* ---- putting ---- */

/* It was appended, or may have been, or was not. */
static void was_put(struct promises_job *job, uint64_t id, int64_t due_us, int status)
{
    bool unknown = status == QUPLOG_FAILED;
    job->id = id;
    if (id || unknown)
        promises_step(&job->states, due_us ? QUPLOG_SCHEDULED : QUPLOG_READY, due_us, !unknown);
}

void life_put(struct life *life, int p, size_t length, bool sync, int64_t due_us)
{
    static char payload[LENGTH_MOST];
    struct life_process *process = &life->processes[p];
    uint64_t id = 0;
    if (!process->log)
        return;
    struct promises before = life->promises;
    struct promises_job *job = promises_add(&life->promises, length);
    payload_make(payload, length, job->number);
    life_ask(life);
    int status = quplog_put(process->log, &SPEC, payload, length, due_us, sync, &id);
    life_answered(life);
    /* Who waits long for another's sync is sent to look for signals. */
    int waited = sync && id ? QUPLOG_INTERRUPTED : QUPLOG_OK;
    bool good = told_of_write(life, p, "put", status, waited);
    was_put(job, id, due_us, status);
    process->has_written = process->has_written || id;
    if (good && !id)
        life_accuse(life, "put says that it went well, and gives no id");
    if (!good || !sync)
        return;
    promises_synced(&life->promises, &before);
    job->states.durable = job->states.count - 1;
}

void life_kill_in_write(struct life *life, int p, size_t length)
{
    static char payload[LENGTH_MOST];
    uint64_t id;
    struct promises_job *job = promises_add(&life->promises, length);
    payload_make(payload, length, job->number);
    inject_kill_in_write(life->inject, life->processes[p].io);
    (void)quplog_put(life->processes[p].log, &SPEC, payload, length, 0, false, &id);
    life_kill(life, p);
}

/* Fill a batch; false: there was no memory for it, which is no more than that. */
static bool fill_batch(struct life *life, quplog_batch *batch, struct promises_job *jobs, int count)
{
    static char payload[LENGTH_MOST];
    for (int i = 0; i < count; i++) {
        jobs[i].group = life->promises.groups;
        payload_make(payload, jobs[i].length, jobs[i].number);
        int status = quplog_batch_put(batch, &SPEC, payload, jobs[i].length, 0);
        if (status) {
            (void)life_told(life, 0, "batch_put", status, QUPLOG_OK);
            return false;
        }
    }
    return true;
}

void life_batch(struct life *life, int p, int count, size_t length, bool sync)
{
    struct life_process *process = &life->processes[p];
    uint64_t first = 0, lsn = 0;
    if (!process->log)
        return;
    struct promises before = life->promises;
    struct promises_job *jobs = &life->promises.jobs[life->promises.count];
    life->promises.groups++;
    for (int i = 0; i < count; i++)
        (void)promises_add(&life->promises, length);
    life_ask(life);
    quplog_batch *batch = quplog_batch_new();
    bool filled = batch && fill_batch(life, batch, jobs, count);
    int status = filled ? quplog_commit(process->log, batch, sync ? QUPLOG_SYNC : 0, &first, &lsn)
                        : QUPLOG_NO_MEMORY;
    quplog_batch_free(batch);
    life_answered(life);
    bool good = filled ? told_of_write(life, p, "commit", status, QUPLOG_OK) : false;
    process->has_written = process->has_written || lsn;
    if (good && sync)
        promises_synced(&life->promises, &before);
    for (int i = 0; i < count; i++) {
        was_put(&jobs[i], lsn ? first + (uint64_t)i : 0, 0, status);
        if (good && sync)
            jobs[i].states.durable = 0;
    }
}

/* ---- running ---- */

static bool take_seat(struct life *life, int p)
{
    struct life_process *process = &life->processes[p];
    uint32_t number;
    if (process->seat)
        return true;
    life_ask(life);
    int status = quplog_register(process->log, "work", 4, &number);
    if (status == QUPLOG_OK)
        status = quplog_worker_new(process->log, &process->seat);
    life_answered(life);
    return life_told(life, p, "register", status, QUPLOG_OK);
}

static int state_after(int outcome)
{
    switch (outcome) {
    case QUPLOG_RUN_SUCCEEDED: return QUPLOG_SUCCEEDED;
    case QUPLOG_RUN_FAILED: return QUPLOG_JOB_FAILED;
    case QUPLOG_RUN_CANCELLED: return QUPLOG_CANCELLED;
    case QUPLOG_RUN_RETRY: return QUPLOG_RETRYING;
    case QUPLOG_RUN_SNOOZE: return QUPLOG_SCHEDULED;
    default: return QUPLOG_READY;
    }
}

/* How writing the outcome went. Returns whether it is written: it is, if the call has gone on and
 * answers for something else. */
static bool was_ended(struct life *life, int p, int outcome, int64_t due_us, int flags,
                      int answer, const struct promises *before)
{
    struct life_process *process = &life->processes[p];
    struct promises_job *job = promises_find(&life->promises, process->running);
    int status = quplog_worker_claim(process->seat)->finish_status;
    bool good = told_of_write(life, p, "finish", status, QUPLOG_OK);
    bool known = status != QUPLOG_FAILED;
    if (!good && known && answer == status)
        return false;
    if (inject_fired(life->inject) && inject_errno(life->inject) == ENOSPC)
        life->promises.dropped = true;
    promises_step(&job->states, state_after(outcome), due_us, known);
    if (good && (flags & QUPLOG_SYNC)) {
        promises_synced(&life->promises, before);
        job->states.durable = job->states.count - 1;
    }
    return known;
}

/* Nobody may be given a job that is not his to run. */
static void was_claimed(struct life *life, int p)
{
    static char payload[LENGTH_MOST];
    struct life_process *process = &life->processes[p];
    const quplog_claim *claim = quplog_worker_claim(process->seat);
    struct promises_job *job = promises_find(&life->promises, claim->id);
    for (int i = 0; i < LIFE_PROCESSES; i++)
        if (life->processes[i].running == claim->id)
            life_accuse(life, "job %llu runs twice", (unsigned long long)claim->id);
    process->running = claim->id;
    process->has_written = true;
    for (size_t i = 0; !job && i < life->promises.count; i++) {
        struct promises_job *other = &life->promises.jobs[i]; /* put, by a call that did not know */
        payload_make(payload, other->length, other->number);
        if (other->id == 0 && other->states.count && other->length == claim->payload.length &&
            memcmp(payload, claim->payload.data, other->length) == 0)
            job = other;
    }
    if (!job) {
        life_accuse(life, "job %llu is claimed, and nobody put it", (unsigned long long)claim->id);
        return;
    }
    job->id = claim->id;
    payload_make(payload, job->length, job->number);
    if (claim->payload_status)
        (void)life_told(life, p, "payload", claim->payload_status, QUPLOG_OK);
    else if (claim->payload.length != job->length ||
             memcmp(payload, claim->payload.data, job->length) != 0)
        life_accuse(life, "job %llu is claimed with another payload",
                    (unsigned long long)claim->id);
    promises_step(&job->states, QUPLOG_RUNNING, 0, true);
}

/* Without memory for its payload a job stays claimed until the next call gives it back. */
static void may_be_claimed(struct life *life, int p)
{
    uint64_t id = quplog_worker_claim(life->processes[p].seat)->id;
    struct promises_job *job = promises_find(&life->promises, id);
    if (job && job->states.steps[job->states.count - 1].value == QUPLOG_READY)
        promises_step(&job->states, QUPLOG_RUNNING, 0, false);
}

void life_work(struct life *life, int p, int outcome, int64_t due_us, int flags)
{
    struct life_process *process = &life->processes[p];
    uint64_t had = process->log ? process->running : 0;
    char text[64];
    if (!process->log || !take_seat(life, p) || (outcome && !had) || (!outcome && had))
        return;
    const struct promises_job *job = promises_find(&life->promises, had);
    size_t length = job ? promises_result(text, job->number) : 0;
    struct promises before = life->promises;
    life_ask(life);
    int status = quplog_work(process->seat, outcome, due_us, text, length, flags);
    life_answered(life);
    int finish = quplog_worker_claim(process->seat)->finish_status;
    if (had && !was_ended(life, p, outcome, due_us, flags, status, &before) && finish == status)
        return; /* it has the job as before */
    process->has_written = true;
    process->running = 0;
    if (told_of_write(life, p, "work", status, QUPLOG_EMPTY))
        was_claimed(life, p);
    else if (status == QUPLOG_NO_MEMORY)
        may_be_claimed(life, p);
}

void life_sync(struct life *life, int p)
{
    struct life_process *process = &life->processes[p];
    if (!process->log)
        return;
    struct promises before = life->promises;
    life_ask(life);
    int status = quplog_sync(process->log);
    life_answered(life);
    if (life_told(life, p, "sync", status, QUPLOG_OK))
        promises_synced(&life->promises, &before);
}

/* ---- schedules, pauses, cancelling ---- */

/* The present version of the schedule; 0: there is none. False: it can't be read. */
static bool read_version(struct life *life, int p, uint64_t *version)
{
    quplog_schedule *list = NULL;
    size_t count = 0;
    life_ask(life);
    int status = quplog_schedules(life->processes[p].log, false, &list, &count);
    life_answered(life);
    if (!life_told(life, p, "schedules", status, QUPLOG_OK))
        return false;
    *version = count ? list[0].version : 0;
    quplog_schedules_free(list);
    return true;
}

static int write_tick(struct life *life, int p, const struct promises_job *job, uint64_t version,
                      int64_t next_us, uint64_t *id)
{
    static char payload[LENGTH_MOST];
    uint64_t lsn = 0;
    payload_make(payload, job->length, job->number);
    quplog_batch *batch = quplog_batch_new();
    int status = batch ? QUPLOG_OK : QUPLOG_NO_MEMORY;
    if (status == QUPLOG_OK)
        status = quplog_batch_put(batch, &SPEC, payload, job->length, 0);
    if (status == QUPLOG_OK)
        status = quplog_batch_schedule(batch, "s", 1, "rule", version ? 0 : 4, next_us, 0, false,
                                       version);
    if (status == QUPLOG_OK)
        status = quplog_commit(life->processes[p].log, batch, 0, id, &lsn);
    *id = lsn ? *id : 0;
    quplog_batch_free(batch);
    return status;
}

void life_tick(struct life *life, int p)
{
    uint64_t version, id = 0;
    if (!life->processes[p].log || !read_version(life, p, &version))
        return;
    int64_t next_us = quplog_now(life->processes[p].log) + 1000000;
    struct promises_job *job = promises_add(&life->promises, 100);
    life_ask(life);
    int status = write_tick(life, p, job, version, next_us, &id);
    life_answered(life);
    bool good = told_of_write(life, p, "tick", status, QUPLOG_OK);
    was_put(job, id, 0, status);
    life->processes[p].has_written = life->processes[p].has_written || good;
    if (good || status == QUPLOG_FAILED)
        promises_step(&life->promises.next, next_us, 0, good);
}

void life_pause(struct life *life, int p, bool paused)
{
    struct life_process *process = &life->processes[p];
    uint64_t lsn = 0;
    if (!process->log)
        return;
    life_ask(life);
    int status = quplog_pause(process->log, "q", 1, paused, &lsn);
    life_answered(life);
    bool good = told_of_write(life, p, "pause", status, QUPLOG_OK);
    process->has_written = process->has_written || good;
    if (good || status == QUPLOG_FAILED)
        promises_step(&life->promises.paused, paused, 0, good);
}

void life_cancel(struct life *life, int p, size_t n)
{
    struct life_process *process = &life->processes[p];
    struct promises_job *job = &life->promises.jobs[n];
    uint64_t lsn = 0;
    if (!process->log || job->id == 0)
        return;
    life_ask(life);
    int status = quplog_cancel(process->log, job->id, &lsn);
    life_answered(life);
    bool good = told_of_write(life, p, "cancel", status, QUPLOG_STALE);
    process->has_written = process->has_written || good;
    if (good || status == QUPLOG_FAILED)
        promises_step(&job->states, QUPLOG_CANCELLED, 0, good);
}

/* ---- duties ---- */

void life_compact(struct life *life, int p)
{
    struct life_process *process = &life->processes[p];
    if (!process->log)
        return;
    life_ask(life);
    int status = quplog_compact(process->log);
    life_answered(life);
    process->has_written = true;
    (void)life_told(life, p, "compact", status, QUPLOG_OK);
}

void life_keep(struct life *life, int p)
{
    struct life_process *process = &life->processes[p];
    if (!process->log)
        return;
    inject_signal(life->inject, process->io, KEEP_WAITS);
    life_ask(life);
    int status = quplog_keep(process->log);
    life_answered(life);
    inject_signal(life->inject, process->io, 0);
    process->has_written = true;
    if (status != QUPLOG_TICK)
        (void)life_told(life, p, "keep", status, QUPLOG_INTERRUPTED);
}

void life_pass(struct life *life, int64_t us)
{
    disk_pass_time(life->disk, us);
}

int64_t life_now(struct life *life)
{
    const struct io *io = disk_io(life->disk);
    return io->now_us(io->world);
}
