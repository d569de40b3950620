/* follow.c: see follow.h. */
#include "follow.h"

#include <errno.h>

#include "chain.h"
#include "turn.h"

enum { FRAMES_AT_ONCE = 1000, BUILDS_MOST = 10 };

int follow_apply(void *core, const struct frame *frame, uint64_t lsn)
{
    struct core *q = core;
    int status = table_reserve(&q->table, frame);
    if (status == QUPLOG_OK)
        table_apply(&q->table, frame, lsn, NULL, NULL);
    return status;
}

static void view(struct core *q)
{
    q->io->mutex_lock(q->io->world, &q->view);
}

void follow_unview(struct core *q)
{
    q->io->mutex_unlock(q->io->world, &q->view);
}

/* ---- from the oldest segment ---- */

static int build_once(struct core *q)
{
    struct chain chain;
    struct frame frame;
    uint64_t lsn, end = control_tail(&q->control);
    table_reset(&q->table);
    int status = chain_open(&chain, q->io, q->dir);
    while (status == QUPLOG_OK && chain.lsn < end) {
        status = chain_next(&chain, &frame, &lsn);
        if (status == QUPLOG_OK)
            status = follow_apply(q, &frame, lsn);
    }
    if (status == QUPLOG_OK && !chain_whole(&chain))
        status = QUPLOG_NOT_FOUND; /* it is being trimmed: `end` is out of date by now */
    atomic_store(&q->applied, chain.lsn);
    chain_close(&chain);
    return status == QUPLOG_EMPTY ? QUPLOG_CORRUPT : status; /* it ends before the tail */
}

/* A segment that was listed may be trimmed before it is read: then the next listing is another. */
static int build(struct core *q)
{
    int status = QUPLOG_NOT_FOUND;
    q->loaded = false;
    q->builds++;
    segment_cursor_close(&q->cursor);
    for (int i = 0; i < BUILDS_MOST && (status == QUPLOG_NOT_FOUND || status == -ENOENT); i++)
        status = build_once(q);
    q->loaded = q->table.live = status == QUPLOG_OK;
    return status == QUPLOG_NOT_FOUND ? QUPLOG_CORRUPT : status;
}

/* ---- going on ---- */

static int follow_some(struct core *q, uint64_t end)
{
    uint64_t at = atomic_load(&q->applied);
    int status = log_follow(&q->log, &q->cursor, &at, end, FRAMES_AT_ONCE, follow_apply, q);
    atomic_store(&q->applied, at);
    return status;
}

int follow_to(struct core *q, uint64_t end)
{
    int status = q->loaded ? QUPLOG_OK : QUPLOG_NOT_FOUND;
    while (status == QUPLOG_OK && atomic_load(&q->applied) < end)
        status = follow_some(q, end);
    if (status == QUPLOG_NOT_FOUND) {
        q->loaded = false;
        atomic_store(&q->applied, 0);
    }
    return status;
}

int follow_view(struct core *q)
{
    if (!q->read_only && control_poisoned(&q->control)) {
        turn_drop(q); /* the page may be another epoch's by now */
        return QUPLOG_FAILED;
    }
    view(q);
    if (q->read_only)
        return QUPLOG_OK; /* the log as it was when it was opened */
    uint64_t end = control_tail(&q->control);
    int status = q->loaded ? QUPLOG_OK : build(q);
    while (status == QUPLOG_OK && atomic_load(&q->applied) < end) {
        status = follow_some(q, end);
        if (status == QUPLOG_NOT_FOUND)
            status = build(q);
        if (status == QUPLOG_OK && atomic_load(&q->applied) < end) {
            follow_unview(q); /* others want to look meanwhile */
            view(q);
        }
    }
    if (status)
        follow_unview(q);
    return status;
}
