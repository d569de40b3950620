/* keep.c: the duties that nobody asks for: let come due, give up the dead, forget; and the helper.
 *
 * Each duty is a step that does what is due now and says when it is next due; the helper (a thread
 * of the caller's in quplog_keep()) only loops over them. There is one in each process that has
 * started workers, and one of them at a time has the lock KEEP and does what is due; one that does
 * not get it looks again after a second, and if it does not get it then either, whoever has it may
 * be standing still: what is decided under `append`, and so cannot be done twice, is done without.
 *
 * A helper looks each second while something runs, can be claimed here, or is not durable: its
 * owner may die. Else it sleeps until something is due, or without end, and says so by `quiet`:
 * whoever appends then wakes it, and it only notes that it has to look in a second, so as not to be
 * in the way of the worker that was woken too. Under `append` both are decided, so that no frame
 * falls between.
 */
#include <errno.h>

#include "compact.h"
#include "flush.h"
#include "follow.h"
#include "roster.h"
#include "turn.h"

enum { KEEP_NEVER = -1, SECOND_US = 1000000, FORGET_AT_ONCE = 16 };
enum { KEPT_MOST = 100000, KEPT_LEAST_US = 60 * SECOND_US, ANSWERED_US = 5 * SECOND_US };

static void sooner(int64_t *next, int64_t candidate)
{
    if (candidate > 0 && (*next == KEEP_NEVER || candidate < *next))
        *next = candidate;
}

/* ---- due times ---- */

static int let_come_due(struct core *q)
{
    int status = commit_begin(q, COMMIT_DECIDE);
    if (status)
        return status;
    status = commit_due(q);
    commit_end(q);
    return status;
}

/* There is a schedule that is due and whose caller was not told of it within the last second: a
 * caller that can't tick it, or met a full disk, does not spin. */
static int look_for_ticks(struct core *q, bool *due)
{
    int64_t now = core_now(q);
    int status = follow_view(q);
    if (status)
        return status;
    for (size_t i = 0; i < q->table.schedule_count; i++) {
        struct table_schedule *s = &q->table.schedules[i];
        bool asked = now >= s->asked_us && now - s->asked_us < SECOND_US;
        if (s->paused || s->next_us > now || asked)
            continue;
        s->asked_us = now;
        *due = true;
    }
    follow_unview(q);
    return QUPLOG_OK;
}

/* ---- the dead ---- */

static int give_up_the_dead(struct core *q)
{
    size_t released;
    int status = commit_begin(q, COMMIT_DECIDE);
    if (status)
        return status;
    status = slot_release_dead(q, &released);
    commit_end(q);
    return status;
}

/* Frames that stay unsynced for a second are of a process that is gone. */
static int flush_for_the_dead(struct core *q)
{
    int64_t now = core_monotonic(q);
    if (!flush_is_due(q)) {
        q->unsynced_since_us = 0;
        return QUPLOG_OK;
    }
    if (q->unsynced_since_us == 0)
        q->unsynced_since_us = now;
    if (now - q->unsynced_since_us < SECOND_US)
        return QUPLOG_OK;
    q->unsynced_since_us = 0;
    return commit_sync(q, control_tail(&q->control));
}

/* After a full disk: as soon as there is room, new jobs are taken in again. */
static int make_spare(struct core *q)
{
    if (!atomic_load(&q->control.page->spare_used))
        return QUPLOG_OK;
    int status = commit_begin(q, COMMIT_BLIND);
    if (status)
        return status;
    status = log_make_spare(&q->log);
    commit_end(q);
    return status;
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

/* On a full disk succeeded jobs are forgotten first, as soon as who waits for them has been
 * answered: what they take is needed. */
static int64_t keep_succeeded(const struct core *q)
{
    int64_t keep_us = q->table.settings.keep_succeeded_us;
    bool full = atomic_load(&q->control.page->spare_used) != 0;
    return full && keep_us > ANSWERED_US ? ANSWERED_US : keep_us;
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
    int64_t keep_failed_us = q->table.settings.keep_failed_us;
    int64_t soonest = KEEP_NEVER, earliest = core_now(q) + SECOND_US;
    sooner(&soonest, forget_time(q, &q->table.succeeded, keep_succeeded(q)));
    sooner(&soonest, forget_time(q, &q->table.failed, keep_failed_us));
    if (soonest != KEEP_NEVER)
        sooner(next, soonest > earliest ? soonest : earliest);
}

/* Below which LSN the finished jobs of one heap can go now; 0: none can. */
static uint64_t forget_bound(const struct core *q, const struct heap *heap, int64_t keep_us)
{
    int64_t now = core_now(q);
    bool many = heap->count > KEPT_MOST;
    struct retention retention = {q, now - (many && keep_us > KEPT_LEAST_US ? KEPT_LEAST_US
                                                                            : keep_us)};
    size_t most = many ? heap->count - KEPT_MOST : heap->count;
    return heap_prefix(heap, most, kept_long_enough, &retention);
}

static int forget_some(struct core *q, bool *more)
{
    int64_t keep_failed_us = q->table.settings.keep_failed_us;
    struct buffer ops = {0};
    uint64_t succeeded = forget_bound(q, &q->table.succeeded, keep_succeeded(q));
    uint64_t failed = forget_bound(q, &q->table.failed, keep_failed_us);
    int status = QUPLOG_OK;
    *more = succeeded || failed;
    if (*more) {
        status = op_encode_forget(&ops, succeeded, failed, (struct span){NULL, 0});
        struct commit commit = {.body = {ops.data, ops.length},
                                .body_crc = op_seal(&ops, 0, 0),
                                .op_count = 1,
                                .urgent = true,
                                .quiet = true};
        if (status == QUPLOG_OK)
            status = commit_frame(q, &commit);
    }
    buffer_free(&ops);
    return status;
}

static int forget(struct core *q, int64_t *next)
{
    bool more = true;
    int status = QUPLOG_OK;
    for (int i = 0; more && status == QUPLOG_OK && i < FORGET_AT_ONCE; i++) {
        status = commit_begin(q, COMMIT_DECIDE);
        if (status)
            return status;
        status = forget_some(q, &more);
        if (!more)
            sooner_forget(q, next);
        commit_end(q);
    }
    if (more && status == QUPLOG_OK)
        sooner(next, core_now(q)); /* look at the other duties, then go on at once */
    return status;
}

/* ---- the helper ---- */

/* A full disk is no reason to give up, and none to spin, nor is a holder of the lock that was
 * stopped: come again in a second. */
static int tolerate(struct core *q, int status, int64_t *next)
{
    if (status != QUPLOG_FULL && status != QUPLOG_LOCKED)
        return status;
    int64_t later = core_now(q) + SECOND_US;
    sooner(next, later);
    atomic_store(&q->held_up_until_us, later);
    return QUPLOG_OK;
}

/* For this others wait. It may be done by several at once. */
static int do_what_is_due(struct core *q, int64_t *next, bool *tick)
{
    int status = tolerate(q, let_come_due(q), next);
    if (status == QUPLOG_OK)
        status = tolerate(q, give_up_the_dead(q), next);
    return status == QUPLOG_OK ? look_for_ticks(q, tick) : status;
}

/* Another process has KEEP. */
static int do_without_keep(struct core *q, int64_t *next, bool *tick)
{
    int64_t now = core_monotonic(q);
    if (q->kept_out_since_us == 0)
        q->kept_out_since_us = now;
    int status = tolerate(q, QUPLOG_LOCKED, next);
    if (now - q->kept_out_since_us >= SECOND_US)
        status = do_what_is_due(q, next, tick);
    return status;
}

/* Everything that is due now, by whoever has the lock KEEP. */
static int do_duties(struct core *q, int64_t *next, bool *tick)
{
    const struct io *io = q->io;
    if (!io->mutex_trylock(io->world, &q->keeping))
        return tolerate(q, QUPLOG_LOCKED, next);
    int status = lock_try(&q->lock, LOCK_KEEP, IO_EXCLUSIVE_LOCK);
    if (status == 0) {
        q->kept_out_since_us = 0;
        status = do_what_is_due(q, next, tick);
        if (status == QUPLOG_OK)
            status = flush_for_the_dead(q);
        if (status == QUPLOG_OK)
            status = tolerate(q, forget(q, next), next);
        if (status == QUPLOG_OK)
            status = tolerate(q, make_spare(q), next);
        (void)lock_release(&q->lock, LOCK_KEEP);
    } else if (status == -EAGAIN) {
        status = do_without_keep(q, next, tick);
    }
    io->mutex_unlock(io->world, &q->keeping);
    turn_drop(q);
    return control_poisoned(&q->control) ? QUPLOG_FAILED : status;
}

/* When the next job or schedule is due, as the table stands now. */
static int64_t next_due(struct core *q)
{
    int64_t next = KEEP_NEVER, now = core_now(q);
    if (q->table.due.count)
        sooner(&next, (int64_t)heap_top(&q->table.due)->key);
    for (size_t i = 0; i < q->table.schedule_count; i++) {
        const struct table_schedule *s = &q->table.schedules[i];
        if (!s->paused)
            sooner(&next, s->next_us > now ? s->next_us : s->asked_us + SECOND_US);
    }
    return next;
}

/* With the turn taken: until when to sleep, and whether whoever appends has to wake us. */
static bool decide_sleep(quplog *log, int64_t *next)
{
    struct core *q = log->core;
    struct control_page *page = q->control.page;
    int64_t due = next_due(q);
    control_write_number(&page->next_due, due == KEEP_NEVER ? CONTROL_NEVER : (uint64_t)due);
    int64_t held_up_until = atomic_load(&q->held_up_until_us);
    bool overdue = due != KEEP_NEVER && due <= core_now(q);
    sooner(next, overdue && due < held_up_until ? held_up_until : due);
    sooner_forget(q, next);
    bool claimable = roster_claimable(log);
    if (claimable) /* whoever was woken for it may have died */
        control_wake(q->io, &page->work, 1, roster_open_bits(log));
    if (q->table.running || claimable || flush_is_due(q))
        sooner(next, core_now(q) + SECOND_US);
    bool deep = *next == KEEP_NEVER || *next > core_now(q) + SECOND_US;
    if (deep)
        atomic_store(&page->quiet, 1);
    return deep;
}

/* Look at everything once, then sleep. *note: something was appended after quiet. */
static int look_and_sleep(quplog *log, bool *note)
{
    struct core *q = log->core;
    struct control_page *page = q->control.page;
    int64_t next = KEEP_NEVER;
    bool tick = false, deep = false;
    uint32_t seen = control_read(&page->attention); /* before looking at anything */
    if (atomic_load(&log->stopping))
        return QUPLOG_STOPPED;
    if (*note) {
        next = core_now(q) + SECOND_US;
    } else {
        int status = do_duties(q, &next, &tick);
        if (status == QUPLOG_OK && tick)
            return QUPLOG_TICK;
        if (status == QUPLOG_OK)
            status = compact_step(q, &next);
        if (status == QUPLOG_OK)
            status = commit_begin(q, COMMIT_DECIDE);
        if (status == QUPLOG_OK) {
            deep = decide_sleep(log, &next);
            commit_end(q);
        }
        status = tolerate(q, status, &next);
        if (status)
            return status;
    }
    int woken = core_of(log) ? control_sleep(q->io, &page->attention, seen, next, 0, IO_ALL_BITS)
                             : QUPLOG_OK;
    *note = deep && woken == 0 &&
            (int64_t)control_older(&page->next_due) > core_now(q) + SECOND_US;
    return woken == -EINTR ? QUPLOG_INTERRUPTED : QUPLOG_OK;
}

int quplog_keep(quplog *log)
{
    bool note = false;
    int status = QUPLOG_OK;
    while (status == QUPLOG_OK)
        status = core_of(log) ? look_and_sleep(log, &note) : QUPLOG_CLOSED;
    return status;
}
