/* put.c: the verbs that store jobs and schedules: quplog_put() and batches.
 *
 * A body is encoded and summed before any lock is taken; its jobs get their ids under it, from the
 * frame's first_id. A batch also keeps what its schedule ops expect, which is compared under the
 * lock: that is what makes a tick happen once.
 */
#include "commit.h"

/* ---- from a spec to a PUT op ---- */

static int check_spec(const quplog_spec *spec)
{
    bool good = spec->task_length > 0 && spec->task_length <= QUPLOG_NAME_MAX &&
                spec->queue_length > 0 && spec->queue_length <= QUPLOG_NAME_MAX &&
                spec->tags_length <= 4096 && spec->schedule_length <= QUPLOG_NAME_MAX &&
                spec->retries < UINT16_MAX && spec->priority >= -QUPLOG_PRIORITY_MAX &&
                spec->priority <= QUPLOG_PRIORITY_MAX;
    return good ? QUPLOG_OK : QUPLOG_INVALID;
}

static struct span span_of(const char *data, size_t length)
{
    return (struct span){(const unsigned char *)data, length};
}

static uint32_t task_bit(const quplog_spec *spec)
{
    return core_bit(span_of(spec->task, spec->task_length));
}

static int encode_fields(struct buffer *fields, const quplog_spec *spec)
{
    int status = QUPLOG_OK;
    if (spec->tags_length)
        status = op_add_field(fields, OP_FIELD_TAGS, span_of(spec->tags, spec->tags_length));
    if (!status && spec->schedule_length)
        status = op_add_field(fields, OP_FIELD_SCHEDULE,
                              span_of(spec->schedule, spec->schedule_length));
    return status;
}

/* `same_names`: the PUT before it in the frame has the same task and queue. */
static int encode(struct buffer *ops, const quplog_spec *spec, struct span payload, int64_t due_us,
                  bool same_names)
{
    struct buffer fields = {0};
    int status = check_spec(spec);
    if (status == QUPLOG_OK && due_us < 0)
        status = QUPLOG_INVALID;
    if (status == QUPLOG_OK)
        status = encode_fields(&fields, spec);
    struct op_put put = {.due_us = due_us};
    if (status == QUPLOG_OK) {
        if (!same_names) {
            put.job.task = span_of(spec->task, spec->task_length);
            put.job.queue = span_of(spec->queue, spec->queue_length);
        }
        put.job.fields = (struct span){fields.data, fields.length};
        put.job.payload = payload;
        put.job.retries = (uint16_t)spec->retries;
        put.job.priority = (int8_t)spec->priority;
        status = op_encode_put(ops, &put);
    }
    buffer_free(&fields);
    return status;
}

/* ---- one job ---- */

/* Append; *id and *end are set if that was done. */
static int put_one(struct core *q, struct commit *commit, uint64_t *id, uint64_t *end)
{
    int status = commit_begin(q, COMMIT_BLIND);
    if (status)
        return status;
    status = commit_frame(q, commit);
    if (status == QUPLOG_OK) {
        *id = commit->first_id;
        *end = commit_end_lsn(q);
    }
    commit_end(q);
    return status;
}

int quplog_put(quplog *log, const quplog_spec *spec, const char *payload, size_t length,
               int64_t due_us, bool sync, uint64_t *id)
{
    struct core *q = core_of(log);
    *id = 0;
    if (!q)
        return QUPLOG_CLOSED;
    unsigned char small[1024];
    struct buffer ops = {.data = small, .capacity = sizeof small};
    size_t most = OP_PUT_NAMES + spec->task_length + spec->queue_length + spec->tags_length +
                  spec->schedule_length + length + 16;
    bool large = most > sizeof small;
    if (large)
        ops = (struct buffer){0};
    uint64_t end = 0;
    int status = encode(&ops, spec, span_of(payload, length), due_us, false);
    if (status == QUPLOG_OK) {
        struct commit commit = {.body = {ops.data, ops.length},
                                .body_crc = op_seal(&ops, 0, 0),
                                .op_count = 1,
                                .put_count = 1,
                                .earliest_us = due_us,
                                .wake_count = due_us == 0,
                                .wake_bits = due_us ? 0 : task_bit(spec)};
        status = put_one(q, &commit, id, &end);
    }
    if (large)
        buffer_free(&ops);
    return status == QUPLOG_OK && sync ? commit_sync(q, end) : status;
}

/* ---- batches ---- */

/* What a schedule op of the batch expects. */
struct expectation {
    uint64_t version;
    size_t id_at; /* in `ids` */
    uint8_t id_length;
};

struct quplog_batch {
    struct buffer ops;
    struct buffer ids;
    struct buffer expected; /* of struct expectation */
    uint32_t op_count;
    uint32_t put_count;
    uint32_t ready_count;
    uint32_t ready_bits; /* of the lanes that they go to */
    uint32_t crc; /* of ops */
    bool schedules;
    int64_t earliest_us; /* the first due time of its jobs; 0: none is due later */
    size_t names_at;     /* the last PUT's task and queue, in ops */
    uint8_t task_length, queue_length;
};

quplog_batch *quplog_batch_new(void)
{
    return calloc(1, sizeof(quplog_batch));
}

void quplog_batch_free(quplog_batch *batch)
{
    if (!batch)
        return;
    buffer_free(&batch->ops);
    buffer_free(&batch->ids);
    buffer_free(&batch->expected);
    free(batch);
}

static void empty(quplog_batch *batch)
{
    struct buffer ops = batch->ops, ids = batch->ids, expected = batch->expected;
    ops.length = ids.length = expected.length = 0;
    *batch = (quplog_batch){.ops = ops, .ids = ids, .expected = expected};
}

/* Count in the ops from `before` on; give them up if the frame would be too large. */
static int accept(quplog_batch *batch, size_t before)
{
    if (FRAME_HEADER + batch->ops.length > QUPLOG_FRAME_MAX) {
        batch->ops.length = before;
        return QUPLOG_TOO_LARGE;
    }
    batch->crc = op_seal(&batch->ops, before, batch->crc);
    batch->op_count++;
    return QUPLOG_OK;
}

static bool same_names(const quplog_batch *batch, const quplog_spec *spec)
{
    const unsigned char *names = batch->ops.data + batch->names_at;
    return batch->put_count && batch->task_length == spec->task_length &&
           batch->queue_length == spec->queue_length &&
           memcmp(names, spec->task, spec->task_length) == 0 &&
           memcmp(names + spec->task_length, spec->queue, spec->queue_length) == 0;
}

int quplog_batch_put(quplog_batch *batch, const quplog_spec *spec, const char *payload,
                     size_t length, int64_t due_us)
{
    size_t before = batch->ops.length;
    bool same = same_names(batch, spec);
    int status = encode(&batch->ops, spec, span_of(payload, length), due_us, same);
    if (status == QUPLOG_OK)
        status = accept(batch, before);
    if (status)
        return status;
    if (!same) {
        batch->names_at = before + OP_PUT_NAMES;
        batch->task_length = (uint8_t)spec->task_length;
        batch->queue_length = (uint8_t)spec->queue_length;
    }
    batch->put_count++;
    batch->ready_count += due_us == 0;
    batch->ready_bits |= due_us ? 0 : task_bit(spec);
    if (due_us && (batch->earliest_us == 0 || due_us < batch->earliest_us))
        batch->earliest_us = due_us;
    return QUPLOG_OK;
}

static int add_schedule(quplog_batch *batch, const struct op_schedule *schedule)
{
    size_t before = batch->ops.length;
    int status = op_encode_schedule(&batch->ops, schedule);
    if (status == QUPLOG_OK)
        status = accept(batch, before);
    batch->schedules = batch->schedules || status == QUPLOG_OK;
    return status;
}

int quplog_batch_schedule(quplog_batch *batch, const char *id, size_t id_length, const char *rule,
                          size_t rule_length, int64_t next_us, int64_t last_us, bool paused,
                          uint64_t expected)
{
    if (id_length == 0 || id_length > QUPLOG_NAME_MAX || next_us < 0 || last_us < 0)
        return QUPLOG_INVALID;
    if (!buffer_room(&batch->ids, id_length) ||
        !buffer_room(&batch->expected, sizeof(struct expectation)))
        return QUPLOG_NO_MEMORY;
    struct op_schedule schedule = {.id = span_of(id, id_length),
                                   .rule = span_of(rule, rule_length),
                                   .next_us = next_us,
                                   .last_us = last_us,
                                   .paused = paused};
    int status = add_schedule(batch, &schedule);
    if (status)
        return status;
    struct expectation e = {expected, batch->ids.length, (uint8_t)id_length};
    memcpy(batch->ids.data + batch->ids.length, id, id_length);
    memcpy(batch->expected.data + batch->expected.length, &e, sizeof e);
    batch->ids.length += id_length;
    batch->expected.length += sizeof e;
    return QUPLOG_OK;
}

int quplog_batch_unschedule(quplog_batch *batch, const char *id, size_t length)
{
    struct op_schedule schedule = {.id = span_of(id, length), .removed = true};
    return add_schedule(batch, &schedule);
}

/* Every schedule still stands where the caller saw it. */
static bool expectations_hold(struct core *q, const quplog_batch *batch)
{
    for (size_t at = 0; at < batch->expected.length; at += sizeof(struct expectation)) {
        struct expectation e;
        memcpy(&e, batch->expected.data + at, sizeof e);
        struct span id = {batch->ids.data + e.id_at, e.id_length};
        const struct table_schedule *schedule = table_find_schedule(&q->table, id);
        if ((schedule ? schedule->version : 0) != e.version)
            return false;
    }
    return true;
}

/* With the turn taken. */
static int append_batch(struct core *q, const quplog_batch *batch, uint64_t *first_id)
{
    struct commit commit = {.body = {batch->ops.data, batch->ops.length},
                            .body_crc = batch->crc,
                            .op_count = batch->op_count,
                            .put_count = batch->put_count,
                            .wake_count = batch->ready_count,
                            .wake_bits = batch->ready_bits,
                            .earliest_us = batch->earliest_us};
    if (batch->schedules) {
        if (!expectations_hold(q, batch))
            return QUPLOG_STALE;
        commit.earliest_us = 1; /* the helpers look again */
    }
    int status = batch->op_count ? commit_frame(q, &commit) : QUPLOG_OK;
    *first_id = commit.first_id;
    return status;
}

int quplog_commit(quplog *log, quplog_batch *batch, int flags, uint64_t *first_id, uint64_t *lsn)
{
    struct core *q = core_of(log);
    enum commit_mode blind = flags & QUPLOG_AT_ONCE ? COMMIT_AT_ONCE : COMMIT_BLIND;
    *first_id = *lsn = 0;
    if (!q)
        return QUPLOG_CLOSED;
    int status = commit_begin(q, batch->schedules ? COMMIT_DECIDE : blind);
    if (status)
        return status;
    status = append_batch(q, batch, first_id);
    uint64_t end = commit_end_lsn(q);
    commit_end(q);
    if (status)
        return status;
    empty(batch);
    *lsn = end;
    return flags & QUPLOG_SYNC ? commit_sync(q, end) : QUPLOG_OK;
}

int quplog_sync_to(quplog *log, uint64_t lsn)
{
    struct core *q = core_of(log);
    if (!q)
        return QUPLOG_CLOSED;
    uint64_t tail = control_tail(&q->control);
    return q->read_only ? QUPLOG_READ_ONLY : commit_sync(q, lsn < tail ? lsn : tail);
}

int quplog_sync(quplog *log)
{
    return quplog_sync_to(log, UINT64_MAX);
}
