/* keep.c: see keep.h. */
#include "keep.h"

#include <errno.h>

#include "compact.h"

enum { SECOND_US = 1000000, FORGET_AT_ONCE = 16 };
enum { KEPT_MOST = 100000, KEPT_LEAST_US = 60 * SECOND_US };

static void sooner(int64_t *next, int64_t candidate)
{
    if (candidate > 0 && (*next == KEEP_NEVER || candidate < *next))
        *next = candidate;
}

/* ---- durability ---- */

int keep_flush(struct core *q)
{
    if (!atomic_exchange(&q->unflushed, 0))
        return QUPLOG_OK;
    int status = commit_sync(q, atomic_load(&q->control.tail));
    if (status)
        return status;
    status = commit_begin(q);
    if (status)
        return status;
    /* Frames that came meanwhile say `synced` themselves: only a quiet log needs a witness. */
    if (!atomic_load(&q->unflushed))
        status = commit_witness(q, false);
    commit_end(q);
    return status;
}

static void flusher(void *context)
{
    struct core *q = context;
    const struct io *io = q->io;
    while (!atomic_load(&q->control.closed) && !control_poisoned(&q->control)) {
        uint32_t seen = control_read(&q->control.flush);
        bool work = atomic_load(&q->unflushed) != 0;
        int64_t deadline = work ? io->monotonic_us(io->world) + q->flush_interval_us : -1;
        if (atomic_load(&q->control.closed))
            break;
        int woken = control_sleep(io, &q->control.flush, seen, deadline, IO_FUTEX_MONOTONIC);
        if (work && woken == -ETIMEDOUT)
            (void)keep_flush(q); /* a failed sync is told to all by the poison; a full disk is
                                    told by the next append, and the witness can wait */
    }
}

int keep_start_flusher(struct core *q)
{
    int status = q->io->thread_start(q->io->world, &q->flusher, flusher, q);
    q->flusher_started = status == 0;
    return status;
}

void keep_stop_flusher(struct core *q)
{
    if (q->flusher_started)
        q->io->thread_join(q->io->world, &q->flusher);
    q->flusher_started = false;
}

/* ---- due times ---- */

int keep_due(struct core *q)
{
    int status = commit_begin(q);
    if (status)
        return status;
    status = commit_due(q);
    commit_end(q);
    return status;
}

bool keep_tick_due(struct core *q)
{
    bool due = false;
    int64_t now = commit_now(q);
    q->io->mutex_lock(q->io->world, &q->view);
    for (size_t i = 0; i < q->table.schedule_count; i++) {
        struct table_schedule *s = &q->table.schedules[i];
        bool asked = now >= s->asked_us && now - s->asked_us < SECOND_US;
        if (s->paused || s->next_us > now || asked)
            continue;
        s->asked_us = now;
        due = true;
    }
    q->io->mutex_unlock(q->io->world, &q->view);
    return due;
}

/* ---- retention ---- */

struct retention {
    const struct core *q;
    int64_t before_us; /* what finished before this can go */
};

static bool kept_long_enough(const void *context, uint64_t id)
{
    const struct retention *r = context;
    return jobs_get(&r->q->table.jobs, id)->finished_us <= r->before_us;
}

/* When the first finished job of one heap can go. */
static int64_t forget_time(const struct core *q, const struct heap *heap, int64_t keep_us)
{
    if (heap->count == 0)
        return KEEP_NEVER;
    int64_t finished_us = jobs_get(&q->table.jobs, heap_top(heap)->id)->finished_us;
    return keep_us < INT64_MAX - finished_us ? finished_us + keep_us : KEEP_NEVER;
}

/* Retention is lazy: it comes at most once a second. */
static void sooner_forget(struct core *q, int64_t *next)
{
    const struct op_settings *settings = &q->table.settings;
    int64_t soonest = KEEP_NEVER, earliest = commit_now(q) + SECOND_US;
    sooner(&soonest, forget_time(q, &q->table.succeeded, settings->keep_succeeded_us));
    sooner(&soonest, forget_time(q, &q->table.failed, settings->keep_failed_us));
    if (soonest != KEEP_NEVER)
        sooner(next, soonest > earliest ? soonest : earliest);
}

/* Below which LSN the finished jobs of one heap can go now; 0: none can. */
static uint64_t forget_bound(const struct core *q, const struct heap *heap, int64_t keep_us)
{
    int64_t now = q->io->now_us(q->io->world);
    bool many = heap->count > KEPT_MOST;
    struct retention retention = {q, now - (many && keep_us > KEPT_LEAST_US ? KEPT_LEAST_US
                                                                            : keep_us)};
    size_t most = many ? heap->count - KEPT_MOST : heap->count;
    return heap_prefix(heap, most, kept_long_enough, &retention);
}

static int forget_some(struct core *q, bool *more)
{
    const struct op_settings *settings = &q->table.settings;
    struct buffer ops = {0};
    uint64_t succeeded = forget_bound(q, &q->table.succeeded, settings->keep_succeeded_us);
    uint64_t failed = forget_bound(q, &q->table.failed, settings->keep_failed_us);
    int status = QUPLOG_OK;
    *more = succeeded || failed;
    if (*more) {
        status = op_encode_forget(&ops, succeeded, failed, (struct span){NULL, 0});
        if (status == QUPLOG_OK)
            status = commit_ops(q, 1, &ops, NULL);
    }
    buffer_free(&ops);
    return status;
}

int keep_forget(struct core *q, int64_t *next)
{
    bool more = true;
    int status = QUPLOG_OK;
    for (int i = 0; more && status == QUPLOG_OK && i < FORGET_AT_ONCE; i++) {
        status = commit_begin(q);
        if (status)
            return status;
        status = forget_some(q, &more);
        if (!more)
            sooner_forget(q, next);
        commit_end(q);
    }
    if (more && status == QUPLOG_OK)
        sooner(next, commit_now(q)); /* look at the other duties, then go on at once */
    return status;
}

/* ---- the helper ---- */

/* A full disk is no reason to give up, and none to spin: come again in a second. */
static int tolerate(struct core *q, int status, int64_t *next)
{
    if (status != QUPLOG_FULL)
        return status;
    sooner(next, commit_now(q) + SECOND_US);
    return QUPLOG_OK;
}

/* When the next duty is, as the table stands now. */
static int64_t look_again(struct core *q)
{
    int64_t next = KEEP_NEVER, now = commit_now(q);
    q->io->mutex_lock(q->io->world, &q->view);
    if (q->table.due.count)
        sooner(&next, (int64_t)heap_top(&q->table.due)->key);
    for (size_t i = 0; i < q->table.schedule_count; i++) {
        const struct table_schedule *s = &q->table.schedules[i];
        if (!s->paused)
            sooner(&next, s->next_us > now ? s->next_us : s->asked_us + SECOND_US);
    }
    sooner_forget(q, &next);
    q->io->mutex_unlock(q->io->world, &q->view);
    return next;
}

int quplog_keep(quplog *log)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    for (;;) {
        int64_t next = KEEP_NEVER;
        uint32_t seen = control_read(&q->control.attention); /* before looking at anything */
        if (!core_of(log))
            return QUPLOG_CLOSED;
        if (atomic_load(&log->stopping))
            return QUPLOG_STOPPED;
        atomic_store(&q->helper_until, 0); /* awake: nobody needs to wake it */
        if (keep_tick_due(q))
            return QUPLOG_TICK;
        int status = tolerate(q, keep_due(q), &next);
        if (status == QUPLOG_OK)
            status = tolerate(q, keep_forget(q, &next), &next);
        if (status == QUPLOG_OK)
            status = compact_step(q, &next);
        if (status)
            return status;
        atomic_store(&q->helper_until, next == KEEP_NEVER ? INT64_MAX : next);
        /* Something may have been added before that was said: look once more, then sleep. From
           here on, whoever adds something earlier changes the word. */
        sooner(&next, look_again(q));
        if (next != KEEP_NEVER)
            atomic_store(&q->helper_until, next);
        if (control_sleep(q->io, &q->control.attention, seen, next, 0) == -EINTR)
            return QUPLOG_INTERRUPTED;
    }
}
