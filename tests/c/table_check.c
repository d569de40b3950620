/* table_check.c: see table_check.h. Everything is counted anew from the jobs, one by one. */
#include "table_check.h"

struct recount {
    uint64_t (*lanes)[QUPLOG_STATE_COUNT];
    uint64_t states[QUPLOG_STATE_COUNT];
    uint64_t jobs;
    uint64_t live;
};

/* The heap that holds jobs of this state; NULL: none does. */
static const struct heap *heap_for(const struct table *table, const struct job *job)
{
    switch (job->state) {
    case QUPLOG_READY: return &table->lanes[job->lane].ready;
    case QUPLOG_SCHEDULED:
    case QUPLOG_RETRYING: return &table->due;
    case QUPLOG_SUCCEEDED:
    case QUPLOG_CANCELLED: return &table->succeeded;
    case QUPLOG_JOB_FAILED: return &table->failed;
    default: return NULL;
    }
}

static const struct heap_entry *entry_at(const struct heap *heap, size_t position)
{
    enum { PAGE_BITS = 10 };
    return &heap->pages[position >> PAGE_BITS][position & ((1 << PAGE_BITS) - 1)];
}

static const char *job_fault(const struct table *table, uint64_t id, const struct job *job)
{
    if (job->state >= QUPLOG_STATE_COUNT || job->lane >= table->lane_count)
        return "a job has no such state or lane";
    const struct heap *heap = heap_for(table, job);
    if (heap && (job->heap >= heap->count || entry_at(heap, job->heap)->id != id))
        return "a job does not stand in its heap";
    if (job->state == QUPLOG_RUNNING &&
        (job->when >= table->run_count || table_run(table, job)->id != id))
        return "a running job has no run";
    return NULL;
}

static const char *count_jobs(const struct table *table, struct recount *recount)
{
    const struct job *job;
    uint64_t id = 0;
    while ((job = jobs_next(&table->jobs, id, false, &id))) {
        const char *fault = job_fault(table, id, job);
        if (fault)
            return fault;
        recount->lanes[job->lane][job->state]++;
        recount->states[job->state]++;
        recount->jobs++;
        recount->live += align8(job->live_length);
    }
    return recount->jobs == table->jobs.count ? NULL : "the number of jobs is wrong";
}

static const char *heap_fault(const struct heap *heap, uint64_t count)
{
    if (heap->count != count)
        return "a heap does not hold as many as there are jobs for it";
    for (size_t i = 1; i < heap->count; i++) {
        const struct heap_entry *parent = entry_at(heap, (i - 1) / 2), *entry = entry_at(heap, i);
        if (parent->key > entry->key || (parent->key == entry->key && parent->id >= entry->id))
            return "a heap is out of order";
    }
    return NULL;
}

static const char *lanes_fault(const struct table *table, const struct recount *recount)
{
    for (size_t i = 0; i < table->lane_count; i++) {
        const struct lane *lane = &table->lanes[i];
        if (memcmp(lane->counts, recount->lanes[i], sizeof lane->counts) != 0)
            return "a lane's counts are wrong";
        const char *fault = heap_fault(&lane->ready, recount->lanes[i][QUPLOG_READY]);
        if (fault)
            return fault;
    }
    return NULL;
}

static const char *heaps_fault(const struct table *table, const struct recount *recount)
{
    const uint64_t *n = recount->states;
    const char *fault = heap_fault(&table->due, n[QUPLOG_SCHEDULED] + n[QUPLOG_RETRYING]);
    if (!fault)
        fault = heap_fault(&table->succeeded, n[QUPLOG_SUCCEEDED] + n[QUPLOG_CANCELLED]);
    return fault ? fault : heap_fault(&table->failed, n[QUPLOG_JOB_FAILED]);
}

static const char *runs_fault(const struct table *table, const struct recount *recount)
{
    uint64_t runs = 0;
    for (size_t i = 0; i < table->run_count; i++)
        runs += table->runs[i].id != 0;
    return runs == recount->states[QUPLOG_RUNNING] && runs == table->running
               ? NULL
               : "the number of running jobs is wrong";
}

static const char *live_fault(const struct table *table, const struct recount *recount)
{
    uint64_t live = recount->live + (table->settings_lsn ? OP_SETTINGS_MOST : 0);
    for (size_t i = 0; i < table->schedule_count; i++)
        live += align8((size_t)OP_SCHEDULE_SIZE + table->schedules[i].id_length +
                       table->schedules[i].rule_length);
    for (size_t i = 0; i < table->queue_count; i++)
        if (table->queues[i].put_lsn)
            live += align8(OP_QUEUE_SIZE + table->names.spans[table->queues[i].name].length);
    for (size_t i = 0; i < table->slot_count; i++)
        live += table->slots[i].live_length;
    return live == table->live_bytes ? NULL : "the live bytes are not those of a recount";
}

const char *table_fault(const struct table *table)
{
    struct recount recount = {.lanes = calloc(table->lane_count + 1, sizeof *recount.lanes)};
    if (!recount.lanes)
        return "there is no memory to count it";
    const char *fault = count_jobs(table, &recount);
    if (!fault)
        fault = lanes_fault(table, &recount);
    if (!fault)
        fault = heaps_fault(table, &recount);
    if (!fault)
        fault = runs_fault(table, &recount);
    if (!fault)
        fault = live_fault(table, &recount);
    free(recount.lanes);
    return fault;
}
