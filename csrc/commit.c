/* commit.c: see commit.h. */
#include "commit.h"

#include "crc32c.h"
#include "failpoint.h"
#include "follow.h"
#include "turn.h"

/* More than this is caught up before the turn is taken, not in it. */
enum { BEHIND_MOST = 256 << 10, TRIES = 4 };

/* ---- begin and end ---- */

static bool far_behind(struct core *q)
{
    uint64_t applied = atomic_load(&q->applied);
    return applied == 0 || control_tail(&q->control) > applied + BEHIND_MOST;
}

/* What was appended between catching up and the turn; and who has waited long enough for others to
 * pause catches up in the turn. */
static int catch_up_rest(struct core *q, bool last)
{
    if (!last && far_behind(q))
        return QUPLOG_NOT_FOUND;
    q->io->mutex_lock(q->io->world, &q->view);
    int status = follow_to(q, control_older(&q->control.page->tail));
    q->viewing = status == QUPLOG_OK;
    if (status)
        follow_unview(q);
    return status;
}

static int begin_to_decide(struct core *q)
{
    int status = QUPLOG_NOT_FOUND;
    for (int i = 1; i <= TRIES && status == QUPLOG_NOT_FOUND; i++) {
        status = core_usable(q);
        if (status == QUPLOG_FAILED)
            turn_drop(q);
        if (status == QUPLOG_OK && far_behind(q)) {
            status = follow_view(q);
            if (status == QUPLOG_OK)
                follow_unview(q);
        }
        if (status == QUPLOG_OK)
            status = turn_take(q);
        if (status)
            return status == QUPLOG_NOT_FOUND ? QUPLOG_CORRUPT : status;
        status = catch_up_rest(q, i == TRIES);
        if (status)
            turn_give(q);
    }
    return status == QUPLOG_NOT_FOUND ? QUPLOG_CORRUPT : status;
}

int commit_begin(struct core *q, enum commit_mode mode)
{
    if (mode == COMMIT_DECIDE)
        return begin_to_decide(q);
    int status = mode == COMMIT_AT_ONCE ? turn_try(q) : turn_take(q);
    if (status || !q->io->mutex_trylock(q->io->world, &q->view))
        return status;
    q->viewing = q->loaded && atomic_load(&q->applied) == control_older(&q->control.page->tail);
    if (!q->viewing)
        follow_unview(q);
    return QUPLOG_OK;
}

static void stop_viewing(struct core *q)
{
    if (q->viewing)
        follow_unview(q);
    q->viewing = false;
}

void commit_end(struct core *q)
{
    stop_viewing(q);
    turn_give(q);
    if (atomic_load(&q->unflushed) && atomic_load(&q->flusher_state) == 0)
        q->start_flusher(q); /* if it can't be, a helper or the end makes things durable */
}

uint64_t commit_end_lsn(const struct core *q)
{
    return control_older(&q->control.page->tail);
}

/* ---- waking ---- */

void commit_wake_workers(struct core *q, int count, uint32_t bits)
{
    control_bump(q->io, &q->control.page->work, count, bits);
}

void commit_wake_helpers(struct core *q)
{
    control_bump(q->io, &q->control.page->attention, CONTROL_ALL, IO_ALL_BITS);
}

/* Something is due at `due_us` (0: nothing). True: sooner than all that the helpers know. */
static bool lower_due(struct core *q, int64_t due_us)
{
    struct control_number *next_due = &q->control.page->next_due;
    if (due_us <= 0 || (uint64_t)due_us >= control_older(next_due))
        return false;
    control_write_number(next_due, (uint64_t)due_us);
    return true;
}

static void tell_finished(void *context, uint64_t id)
{
    struct core *q = context;
    struct control_word *word = &q->control.page->results[id % CONTROL_RESULTS];
    control_bump(q->io, word, CONTROL_ALL, IO_ALL_BITS);
}

/* Before the frame is written: see commit.h. */
static void tell_others(struct core *q, const struct commit *commit)
{
    struct control_page *page = q->control.page;
    if (commit->wake_bits)
        commit_wake_workers(q, (int)commit->wake_count, commit->wake_bits);
    bool sooner = lower_due(q, commit->earliest_us);
    bool noticed = !commit->quiet && atomic_load(&page->quiet);
    if (sooner || noticed) /* once: a second time would end the second in which they only note it */
        commit_wake_helpers(q);
    if (noticed) /* so that one who was killed costs no more; if we are killed before, they sleep */
        atomic_store(&page->quiet, 0);
    FAILPOINT("woken");
}

/* The first frame after quiet wakes the flusher of this process; the others find it awake. */
static void arm_flusher(struct core *q)
{
    atomic_store_explicit(&q->has_written, 1, memory_order_relaxed);
    if (!atomic_exchange_explicit(&q->unflushed, 1, memory_order_acq_rel))
        control_bump(q->io, &q->control.page->flush, CONTROL_ALL, q->flush_bit);
}

/* ---- append, then apply ---- */

static int append_and_apply(struct core *q, struct frame *frame, const struct commit *commit,
                            uint64_t *at)
{
    int status = q->viewing ? table_reserve(&q->table, frame) : QUPLOG_OK;
    if (status == QUPLOG_OK) {
        tell_others(q, commit);
        status = log_append(&q->log, frame, commit->body_crc, commit->put_count, commit->urgent,
                            at);
    }
    /* A segment has been filled: there may be something to compact. */
    if (status == QUPLOG_OK && *at == q->log.head.header.base + SEGMENT_HEADER)
        commit_wake_helpers(q);
    if (status || !q->viewing)
        return status;
    table_apply(&q->table, frame, *at, tell_finished, q);
    atomic_store(&q->applied, *at + frame->length);
    FAILPOINT("applied");
    return QUPLOG_OK;
}

int commit_frame(struct core *q, struct commit *commit)
{
    struct frame frame = {.kind = FRAME_OPS,
                          .op_count = commit->op_count,
                          .time_us = core_now(q),
                          .body = commit->body};
    commit->first_id = control_older(&q->control.page->next_id);
    if (commit->put_count)
        frame.first_id = commit->first_id;
    if (frame.first_id >> OP_ID_BITS)
        return QUPLOG_FULL; /* ids are used up: a frame with larger ones would not be read again */
    int status = append_and_apply(q, &frame, commit, &commit->lsn);
    if (status == QUPLOG_OK)
        arm_flusher(q);
    return status;
}

int commit_ops(struct core *q, uint32_t op_count, struct buffer *ops, uint64_t *lsn)
{
    struct commit commit = {.body = {ops->data, ops->length},
                            .body_crc = op_seal(ops, 0, 0),
                            .op_count = op_count,
                            .urgent = true};
    int status = commit_frame(q, &commit);
    if (status == QUPLOG_OK && lsn)
        *lsn = commit.lsn;
    return status;
}

int commit_witness(struct core *q, bool closing)
{
    unsigned char flags[8];
    uint64_t at;
    put_u64(flags, closing ? FRAME_CLOSING : 0);
    struct frame frame = {
        .kind = FRAME_SYNCED, .time_us = core_now(q), .body = {flags, sizeof flags}};
    struct commit commit = {
        .body_crc = crc32c(0, flags, sizeof flags), .urgent = true, .quiet = true};
    int status = append_and_apply(q, &frame, &commit, &at);
    if (status == QUPLOG_OK)
        atomic_store(&q->control.page->witness, at + frame.length);
    return status;
}

int commit_trim(struct core *q, uint64_t first_lsn)
{
    unsigned char body[FRAME_TRIM_BODY];
    uint64_t at;
    struct frame_trim trim = {first_lsn, q->table.next_id, q->table.epoch};
    frame_trim_encode(body, &trim);
    struct frame frame = {
        .kind = FRAME_TRIM, .time_us = core_now(q), .body = {body, sizeof body}};
    struct commit commit = {
        .body_crc = crc32c(0, body, sizeof body), .urgent = true, .quiet = true};
    int status = append_and_apply(q, &frame, &commit, &at);
    if (status == QUPLOG_OK)
        control_write_number(&q->control.page->first_lsn, first_lsn);
    return status;
}

int commit_sync(struct core *q, uint64_t lsn)
{
    if (core_is_copy(q))
        return QUPLOG_CLOSED;
    int status = sync_to(&q->sync, lsn);
    if (status == QUPLOG_FAILED)
        turn_drop(q);
    return status;
}

int commit_sync_surely(struct core *q, uint64_t lsn)
{
    int status;
    do
        status = commit_sync(q, lsn);
    while (status == QUPLOG_INTERRUPTED);
    return status;
}

int commit_sync_all(struct core *q)
{
    return commit_sync_surely(q, control_tail(&q->control));
}

/* ---- due times ---- */

struct due_now {
    const struct core *q;
    int64_t now;
};

static bool has_come_due(const void *context, uint64_t id)
{
    const struct due_now *due = context;
    return (int64_t)jobs_get(&due->q->table.jobs, id)->when <= due->now;
}

/* The op must mean the same to every table, also to one that began in a later segment and does not
 * know jobs that are copied further on: so it is the time alone that says which jobs come due, and
 * the number in it is all that there are. */
int commit_due(struct core *q)
{
    struct due_now due = {q, core_now(q)};
    uint64_t until = heap_prefix(&q->table.due, HEAP_PREFIX_MOST, has_come_due, &due);
    if (until == 0)
        return QUPLOG_OK;
    struct buffer ops = {0};
    size_t count = heap_count_below(&q->table.due, until);
    int status = op_encode_due(&ops, (int64_t)until - 1, count);
    if (status == QUPLOG_OK)
        status = commit_ops(q, 1, &ops, NULL);
    buffer_free(&ops);
    if (status == QUPLOG_OK)
        commit_wake_workers(q, (int)count, IO_ALL_BITS);
    return status;
}
