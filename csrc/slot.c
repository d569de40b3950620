/* slot.c: see slot.h. */
#include "slot.h"

#include <errno.h>

/* ---- the bytes ---- */

/* Another open file description asks: to it, our own slots are not free either. */
bool slot_lives(struct core *q, uint16_t number)
{
    uint64_t byte = LOCK_SLOTS + (uint64_t)number;
    int status = lock_try(&q->probe, byte, IO_EXCLUSIVE_LOCK);
    if (status == 0)
        (void)lock_release(&q->probe, byte);
    return status != 0; /* what can't be asked is not called dead */
}

static int take_free_byte(struct core *q, struct slot *slot)
{
    if (lock_file_gone(&q->lock)) { /* the bytes of another file would tell nobody that we live */
        sync_poison(&q->sync);
        return QUPLOG_FAILED;
    }
    int status = lock_file_open(&slot->lock, q->io, q->dir);
    if (status)
        return status;
    for (uint16_t n = 0; n < LOCK_SLOT_COUNT; n++) {
        status = lock_try(&slot->lock, LOCK_SLOTS + (uint64_t)n, IO_EXCLUSIVE_LOCK);
        if (status == 0)
            slot->number = n;
        if (status != -EAGAIN)
            break;
    }
    if (status)
        lock_file_close(&slot->lock);
    return status;
}

void slot_leave(struct slot *slot)
{
    lock_file_close(&slot->lock);
}

/* ---- what runs in them ---- */

/* A RELEASE for every job that runs in the slot; *count goes up by their number. */
static int encode_releases(struct core *q, uint16_t number, struct buffer *ops, size_t *count)
{
    int status = QUPLOG_OK;
    for (size_t i = 0; status == QUPLOG_OK && i < q->table.run_count; i++) {
        const struct run *run = &q->table.runs[i];
        if (run->id == 0 || run->slot != number)
            continue;
        status = op_encode_release(ops, run->id, run->token, OP_RELEASE_CRASH);
        ++*count;
    }
    return status;
}

/* The slots that run something, each once. */
static bool seen_before(const struct core *q, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (q->table.runs[i].id && q->table.runs[i].slot == q->table.runs[at].slot)
            return true;
    return false;
}

int slot_release_dead(struct core *q, size_t *released)
{
    struct buffer ops = {0};
    int status = QUPLOG_OK;
    *released = 0;
    for (size_t i = 0; status == QUPLOG_OK && i < q->table.run_count; i++) {
        const struct run *run = &q->table.runs[i];
        if (run->id && !seen_before(q, i) && !slot_lives(q, run->slot))
            status = encode_releases(q, run->slot, &ops, released);
    }
    if (status == QUPLOG_OK && *released)
        status = commit_ops(q, (uint32_t)*released, &ops, NULL);
    buffer_free(&ops);
    if (status == QUPLOG_OK && *released) {
        commit_wake_workers(q, (int)*released, IO_ALL_BITS);
        control_bump(q->io, &q->control.page->finished, CONTROL_ALL, IO_ALL_BITS);
    }
    return status;
}

/* ---- who this is ---- */

static int encode_tasks(const struct names *names, struct buffer *tasks)
{
    for (size_t i = 0; i < names->count; i++) {
        struct span name = names->spans[i];
        unsigned char *p = buffer_room(tasks, 1 + name.length);
        if (!p)
            return QUPLOG_NO_MEMORY;
        p[0] = (unsigned char)name.length;
        memcpy(p + 1, name.data, name.length);
        tasks->length += 1 + name.length;
    }
    return QUPLOG_OK;
}

static int encode_worker(struct core *q, const struct slot *slot, uint32_t generation,
                         struct buffer *ops)
{
    char host[256];
    struct buffer tasks = {0};
    q->io->host_name(q->io->world, host, sizeof host);
    int status = encode_tasks(&q->offered, &tasks);
    struct op_worker worker = {.host = {(const unsigned char *)host, strlen(host)},
                               .tasks = {tasks.data, tasks.length},
                               .slot = slot->number,
                               .generation = generation,
                               .process_id = q->io->process_id(q->io->world),
                               .started_us = core_now(q)};
    if (status == QUPLOG_OK)
        status = op_encode_worker(ops, &worker);
    buffer_free(&tasks);
    return status;
}

/* One frame: what the last holder left running goes back, then this one is there. */
static int append_worker(struct core *q, const struct slot *slot, uint32_t generation, bool first)
{
    struct buffer ops = {0};
    size_t count = 0;
    int status = first ? encode_releases(q, slot->number, &ops, &count) : QUPLOG_OK;
    if (status == QUPLOG_OK)
        status = encode_worker(q, slot, generation, &ops);
    if (status == QUPLOG_OK)
        status = commit_ops(q, (uint32_t)count + 1, &ops, NULL);
    buffer_free(&ops);
    if (status == QUPLOG_OK && count)
        commit_wake_workers(q, (int)count, IO_ALL_BITS);
    return status;
}

int slot_announce(struct core *q, struct slot *slot)
{
    bool first = slot->lock.fd < 0;
    if (!first && q->announced == q->offered.count)
        return QUPLOG_OK;
    int status = first ? take_free_byte(q, slot) : QUPLOG_OK;
    if (status)
        return status;
    const struct worker_slot *before = table_slot(&q->table, slot->number);
    uint32_t generation = slot->generation;
    if (first)
        generation = (before ? before->generation : 0) + 1;
    status = append_worker(q, slot, generation, first);
    if (status == QUPLOG_OK) {
        slot->generation = generation;
        q->announced = q->offered.count;
    } else if (first) {
        slot_leave(slot);
    }
    return status;
}
