/* roster.c: see roster.h. */
#include "roster.h"

int roster_add_task(quplog *log, struct span task, uint32_t *number)
{
    struct roster *roster = &log->roster;
    size_t before = roster->tasks.count;
    if (names_add(&log->core->offered, task) == NAMES_NONE)
        return QUPLOG_NO_MEMORY;
    *number = names_add(&roster->tasks, task);
    if (*number == NAMES_NONE)
        return QUPLOG_NO_MEMORY;
    if (roster->tasks.count > before)
        roster->runner_count = 0; /* what was not here may be now */
    atomic_fetch_or(&roster->bits, core_bit(task));
    return QUPLOG_OK;
}

int roster_set_queues(quplog *log, const unsigned char *queues, size_t length)
{
    struct names names = {0};
    for (size_t at = 0; at < length; at += 1U + queues[at])
        if (names_add(&names, (struct span){queues + at + 1, queues[at]}) == NAMES_NONE) {
            names_free(&names);
            return QUPLOG_NO_MEMORY;
        }
    names_free(&log->roster.queues);
    log->roster.queues = names;
    log->roster.runner_count = 0;
    return QUPLOG_OK;
}

/* The number of the lane's task, or ROSTER_NOT_HERE. */
static uint32_t ask_runner(const quplog *log, const struct lane *lane)
{
    const struct table *table = &log->core->table;
    struct span queue = table->names.spans[table->queues[lane->queue].name];
    if (log->roster.queues.count && names_find(&log->roster.queues, queue) == NAMES_NONE)
        return ROSTER_NOT_HERE;
    uint32_t task = names_find(&log->roster.tasks, table->names.spans[lane->task]);
    return task == NAMES_NONE ? ROSTER_NOT_HERE : task;
}

/* Remember the answers for all lanes. Without memory each claim asks anew: slower, not wrong. */
static void remember_runners(quplog *log)
{
    struct roster *roster = &log->roster;
    size_t lanes = log->core->table.lane_count;
    if (roster->builds != log->core->builds)
        roster->runner_count = 0; /* the table was built anew: lanes have other numbers */
    roster->builds = log->core->builds;
    if (lanes > roster->runner_room) {
        uint32_t *runners = realloc(roster->runners, 2 * lanes * sizeof *runners);
        if (!runners)
            return;
        roster->runners = runners;
        roster->runner_room = 2 * lanes;
    }
    for (size_t i = roster->runner_count; i < lanes; i++)
        roster->runners[i] = ask_runner(log, &log->core->table.lanes[i]);
    roster->runner_count = lanes;
}

static uint32_t runner_of(const quplog *log, size_t lane)
{
    const struct roster *roster = &log->roster;
    return lane < roster->runner_count ? roster->runners[lane]
                                       : ask_runner(log, &log->core->table.lanes[lane]);
}

struct lane *roster_best_lane(quplog *log, uint32_t *task)
{
    struct table *table = &log->core->table;
    struct lane *best = NULL;
    if (log->roster.runner_count < table->lane_count || log->roster.builds != log->core->builds)
        remember_runners(log);
    for (size_t i = 0; i < table->lane_count; i++) {
        struct lane *lane = &table->lanes[i];
        uint32_t runner = runner_of(log, i);
        if (runner == ROSTER_NOT_HERE || !table_lane_open(table, lane))
            continue;
        const struct heap_entry *top = heap_top(&lane->ready);
        const struct heap_entry *first = best ? heap_top(&best->ready) : NULL;
        if (!first || top->key < first->key || (top->key == first->key && top->id < first->id)) {
            best = lane;
            *task = runner;
        }
    }
    return best;
}

bool roster_claimable(quplog *log)
{
    uint32_t task;
    return roster_best_lane(log, &task) != NULL;
}

uint32_t roster_open_bits(const quplog *log)
{
    const struct table *table = &log->core->table;
    uint32_t bits = 0;
    for (size_t i = 0; i < table->lane_count; i++)
        if (table_lane_open(table, &table->lanes[i]))
            bits |= core_bit(table->names.spans[table->lanes[i].task]);
    return bits;
}

/* A live worker of another process has the task; which queues it serves is not known. */
static bool others_know(struct core *q, uint32_t task)
{
    for (size_t n = 0; n < q->table.slot_count; n++) {
        const struct worker_slot *slot = table_slot(&q->table, (uint16_t)n);
        bool known = false;
        for (size_t i = 0; slot && i < slot->task_count && !known; i++)
            known = slot->tasks[i] == task;
        bool ours = q->slot.lock.fd >= 0 && q->slot.number == n;
        if (known && !ours && slot_lives(q, (uint16_t)n))
            return true;
    }
    return false;
}

bool roster_somebody_may(quplog *log)
{
    struct core *q = log->core;
    if (roster_claimable(log))
        return true;
    for (size_t i = 0; i < q->table.lane_count; i++) {
        const struct lane *lane = &q->table.lanes[i];
        if (table_lane_open(&q->table, lane) && others_know(q, lane->task))
            return true;
    }
    return false;
}

void roster_free(struct roster *roster)
{
    names_free(&roster->tasks);
    names_free(&roster->queues);
    free(roster->runners);
}
