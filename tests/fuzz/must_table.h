/* must_table.h: what must hold of tables: each agrees with itself, and two say the same of every
 * job, of schedules and of what is next. */
#ifndef QUPLOG_MUST_TABLE_H
#define QUPLOG_MUST_TABLE_H

#include "fuzz.h"
#include "table_check.h"

static inline void must_agree(const struct table *table)
{
    const char *fault = table_fault(table);
    if (fault)
        fuzz_fail(__FILE__, __LINE__, fault);
}

static inline void must_be_same_job(const struct table *a, const struct table *b, uint64_t id)
{
    const struct job *x = jobs_get(&a->jobs, id), *y = jobs_get(&b->jobs, id);
    MUST(x && y && x->put_lsn == y->put_lsn && x->error_lsn == y->error_lsn);
    MUST(x->created_us == y->created_us && x->started_us == y->started_us);
    MUST(x->finished_us == y->finished_us && x->live_length == y->live_length);
    MUST(x->attempt == y->attempt && x->retries == y->retries && x->priority == y->priority);
    MUST(x->state == y->state && x->crashes == y->crashes && x->flags == y->flags);
    MUST(span_equal(table_task(a, x), table_task(b, y)));
    MUST(span_equal(table_queue(a, x), table_queue(b, y)));
    if (x->state == QUPLOG_RUNNING)
        MUST(table_run(a, x)->token == table_run(b, y)->token);
    else
        MUST(x->when == y->when);
}

static inline void must_be_same_jobs(const struct table *a, const struct table *b)
{
    uint64_t id = 0;
    MUST(a->jobs.count == b->jobs.count);
    while (jobs_next(&a->jobs, id, false, &id))
        must_be_same_job(a, b, id);
}

static inline void must_be_same(const struct table *a, const struct table *b)
{
    must_be_same_jobs(a, b);
    MUST(a->next_id == b->next_id && a->live_bytes == b->live_bytes);
    MUST(a->first_lsn == b->first_lsn && a->schedule_count == b->schedule_count);
    MUST(table_next_due(a) == table_next_due(b));
}

#endif
