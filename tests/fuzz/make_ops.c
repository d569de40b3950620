/* make_ops.c: see make_ops.h. */
#include "make_ops.h"

#include "frame.h"

enum { OPS_MOST = 12, TEXT_MOST = 40 };

static uint64_t some_id(struct span *input)
{
    return 1 + input_below(input, MAKER_IDS);
}

/* 0 means at once, or never. */
static int64_t some_time(struct span *input)
{
    return (int64_t)input_below(input, 8) * 1000;
}

static struct span some_name(struct span *input)
{
    static const unsigned char names[] = "abc";
    return (struct span){names + input_below(input, 3), 1};
}

static struct span some_text(struct span *input)
{
    return input_bytes(input, input_below(input, TEXT_MOST));
}

static bool one_in(struct span *input, unsigned n)
{
    return input_below(input, n) == n - 1;
}

/* ---- what a run is named by ---- */

static void some_claim(const struct maker *maker, struct span *input, uint64_t *id, uint64_t *token)
{
    unsigned known = maker->claim_count < MAKER_CLAIMS ? maker->claim_count : MAKER_CLAIMS;
    unsigned which = input_below(input, MAKER_CLAIMS + 1);
    bool made = which < known;
    *id = made ? maker->claims[which].id : some_id(input);
    *token = made ? maker->claims[which].token : input_number(input, 2);
}

static int make_claim(struct maker *maker, struct span *input, uint64_t lsn, struct buffer *ops)
{
    uint64_t id = some_id(input);
    unsigned at = maker->claim_count++ % MAKER_CLAIMS;
    maker->claims[at].id = id;
    maker->claims[at].token = lsn;
    return op_encode_claim(ops, id, (uint16_t)input_below(input, 3), input_below(input, 3));
}

/* ---- one op of each type ---- */

static void fill_job(struct op_job *job, struct span *input, struct buffer *fields)
{
    job->task = some_name(input);
    job->queue = some_name(input);
    job->retries = (uint16_t)input_below(input, 4);
    job->priority = (int8_t)((int)input_below(input, 3) - 1);
    job->payload = some_text(input);
    if (one_in(input, 3))
        MUST(op_add_field(fields, OP_FIELD_SCHEDULE, some_name(input)) == QUPLOG_OK);
    job->fields = (struct span){fields->data, fields->length};
}

static int make_put(struct span *input, struct buffer *ops, bool first)
{
    struct buffer fields = {0};
    struct op_put put = {0};
    fill_job(&put.job, input, &fields);
    put.due_us = some_time(input);
    if (!first && one_in(input, 2))
        put.job.task.length = put.job.queue.length = 0; /* those of the PUT before it */
    int status = op_encode_put(ops, &put);
    buffer_free(&fields);
    return status;
}

static int make_copy(const struct maker *maker, struct span *input, struct buffer *ops)
{
    struct buffer fields = {0}, errors = {0};
    struct op_copy copy = {.created_us = 5};
    fill_job(&copy.job, input, &fields);
    some_claim(maker, input, &copy.id, &copy.token);
    copy.due_us = some_time(input);
    copy.state = (uint8_t)(1 + input_below(input, QUPLOG_CANCELLED));
    copy.ready_lsn = input_number(input, 2);
    copy.finish_lsn = input_number(input, 2);
    copy.slot = (uint16_t)input_below(input, 3);
    copy.attempt = (uint16_t)input_below(input, 30);
    copy.cancel_requested = one_in(input, 2);
    copy.result_dropped = one_in(input, 3);
    if (one_in(input, 2))
        MUST(op_copy_add_error(&errors, input_number(input, 2), some_text(input)) == QUPLOG_OK);
    copy.errors = (struct span){errors.data, errors.length};
    copy.result = some_text(input);
    int status = op_encode_copy(ops, &copy);
    buffer_free(&errors);
    buffer_free(&fields);
    return status;
}

static int make_finish(const struct maker *maker, struct span *input, struct buffer *ops)
{
    struct op_finish finish = {0};
    some_claim(maker, input, &finish.id, &finish.token);
    finish.state = (uint8_t)(QUPLOG_SUCCEEDED + input_below(input, 3));
    finish.dropped = one_in(input, 4);
    finish.previous_error = input_number(input, 2);
    finish.data = some_text(input);
    return op_encode_finish(ops, &finish);
}

static int make_retry(const struct maker *maker, struct span *input, struct buffer *ops)
{
    struct op_retry retry = {0};
    some_claim(maker, input, &retry.id, &retry.token);
    retry.state = one_in(input, 2) ? QUPLOG_SCHEDULED : QUPLOG_RETRYING;
    retry.previous_error = input_number(input, 2);
    retry.due_us = some_time(input);
    retry.data = some_text(input);
    return op_encode_retry(ops, &retry);
}

static int make_release(const struct maker *maker, struct span *input, struct buffer *ops)
{
    uint64_t id, token;
    some_claim(maker, input, &id, &token);
    return op_encode_release(ops, id, token,
                             (enum op_release_reason)(OP_RELEASE_STOP + input_below(input, 3)));
}

static int make_worker(struct span *input, struct buffer *ops)
{
    static const unsigned char tasks[] = "\1a\1b\1a";
    struct op_worker worker = {.slot = (uint16_t)input_below(input, 3),
                               .generation = input_below(input, 3),
                               .host = some_name(input),
                               .tasks = {tasks, input_below(input, sizeof tasks)}};
    return op_encode_worker(ops, &worker);
}

static int make_forget(struct span *input, struct buffer *ops)
{
    unsigned char ids[16];
    put_u64(ids, some_id(input));
    put_u64(ids + 8, some_id(input));
    return op_encode_forget(ops, input_number(input, 2), input_number(input, 2),
                            (struct span){ids, 8U * input_below(input, 3)});
}

static int make_settings(struct span *input, struct buffer *ops)
{
    unsigned which = input_byte(input);
    struct op_settings settings = {.has_segment_size = which & 1,
                                   .has_keep_succeeded = which & 2,
                                   .has_keep_failed = which & 4,
                                   .has_archive = which & 8,
                                   .segment_size = 65536U << (which >> 7),
                                   .keep_succeeded_us = some_time(input),
                                   .keep_failed_us = some_time(input),
                                   .archive = some_name(input)};
    return op_encode_settings(ops, &settings);
}

static int make_queue(struct span *input, struct buffer *ops)
{
    struct op_queue queue = {.name = some_name(input),
                             .paused = one_in(input, 2),
                             .max_running = input_below(input, 3),
                             .rate = input_below(input, 3),
                             .rate_us = some_time(input)};
    return op_encode_queue(ops, &queue);
}

static int make_schedule(struct span *input, struct buffer *ops)
{
    struct op_schedule schedule = {.id = some_name(input),
                                   .rule = some_text(input),
                                   .next_us = some_time(input),
                                   .last_us = some_time(input),
                                   .paused = one_in(input, 2),
                                   .removed = one_in(input, 4)};
    return op_encode_schedule(ops, &schedule);
}

static int make_open(struct span *input, struct buffer *ops)
{
    static const unsigned char boot[16] = "some boot";
    bool lost = one_in(input, 8);
    return op_encode_open(ops, input_below(input, 8), boot,
                          (enum quplog_ending)input_below(input, QUPLOG_REBOOT + 1), lost);
}

/* What no encoder writes: unknown types, and lengths and checks that are anything. */
static int make_strange(struct span *input, struct buffer *ops)
{
    size_t length = 8U * (1 + input_below(input, 8));
    unsigned char *p = buffer_room(ops, length);
    if (!p)
        return QUPLOG_NO_MEMORY;
    for (size_t i = 0; i < length; i++)
        p[i] = (unsigned char)input_byte(input);
    ops->length += length;
    return QUPLOG_OK;
}

static int make_op(struct maker *maker, struct span *input, uint64_t lsn, struct buffer *ops,
                   bool first)
{
    switch (input_below(input, QUPLOG_OP_DUE + 4)) {
    case QUPLOG_OP_OPEN: return make_open(input, ops);
    case QUPLOG_OP_WORKER: return make_worker(input, ops);
    case QUPLOG_OP_CLAIM: return make_claim(maker, input, lsn, ops);
    case QUPLOG_OP_FINISH: return make_finish(maker, input, ops);
    case QUPLOG_OP_RETRY: return make_retry(maker, input, ops);
    case QUPLOG_OP_RELEASE: return make_release(maker, input, ops);
    case QUPLOG_OP_CANCEL: return op_encode_cancel(ops, some_id(input));
    case QUPLOG_OP_COPY: return make_copy(maker, input, ops);
    case QUPLOG_OP_FORGET: return make_forget(input, ops);
    case QUPLOG_OP_SETTINGS: return make_settings(input, ops);
    case QUPLOG_OP_QUEUE: return make_queue(input, ops);
    case QUPLOG_OP_SCHEDULE: return make_schedule(input, ops);
    case QUPLOG_OP_DUE: return op_encode_due(ops, some_time(input), input_below(input, 8));
    case QUPLOG_OP_DUE + 1: return make_strange(input, ops);
    default: return make_put(input, ops, first);
    }
}

uint32_t make_ops(struct maker *maker, struct span *input, uint64_t lsn, struct buffer *ops)
{
    uint32_t count = 1 + input_below(input, OPS_MOST);
    for (uint32_t i = 0; i < count; i++)
        MUST(make_op(maker, input, lsn + FRAME_HEADER + ops->length, ops, i == 0) == QUPLOG_OK);
    return count;
}
