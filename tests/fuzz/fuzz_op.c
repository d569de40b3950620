/* fuzz_op.c: ops, bytes to structs and back.
 *
 *   Whatever the body, op_next() reads none behind it, ends, and hands out parts of the body only.
 *   An op that it calls valid comes back byte for byte when it is encoded again, but for what no
 *   writer writes: bits that mean nothing, and fixed parts that are longer than they need be.
 *   op_seal() makes every op of a body intact, and changes nothing but the checks.
 *
 * Lengths keep a fuzzer out: in one half of the inputs those of the ops are made to fit.
 */
#include "crc32c.h"
#include "fuzz.h"
#include "op.h"

enum { CHECK_AT = 2, COPY_FLAGS = 3, SCHEDULE_FLAGS = 3 };

static bool inside(struct span part, struct span whole)
{
    return part.length == 0 || (part.data >= whole.data && part.length <= whole.length &&
                                (size_t)(part.data - whole.data) <= whole.length - part.length);
}

/* ---- what a decoded op points to ---- */

static void check_job(const struct op_job *job, struct span body)
{
    MUST(inside(job->task, body) && inside(job->queue, body));
    MUST(inside(job->fields, body) && inside(job->payload, body));
    for (int tag = OP_FIELD_TIMEOUT; tag <= OP_FIELD_SCHEDULE; tag++)
        MUST(inside(op_field(job->fields, (enum op_field_tag)tag), job->fields));
}

static void check_errors(struct span errors)
{
    size_t position = 0;
    uint64_t lsn;
    struct span error;
    struct buffer again = {0};
    while (op_copy_error(errors, &position, &lsn, &error)) {
        MUST(inside(error, errors));
        MUST(op_copy_add_error(&again, lsn, error) == QUPLOG_OK);
    }
    MUST(position == errors.length && again.length == errors.length);
    buffer_free(&again);
}

static void check_parts(const struct op *op, struct span body)
{
    switch (op->type) {
    case QUPLOG_OP_PUT: check_job(&op->as.put.job, body); break;
    case QUPLOG_OP_COPY:
        check_job(&op->as.copy.job, body);
        MUST(inside(op->as.copy.errors, body) && inside(op->as.copy.result, body));
        check_errors(op->as.copy.errors);
        break;
    case QUPLOG_OP_WORKER:
        MUST(inside(op->as.worker.host, body) && inside(op->as.worker.tasks, body));
        break;
    case QUPLOG_OP_FINISH: MUST(inside(op->as.finish.data, body)); break;
    case QUPLOG_OP_RETRY: MUST(inside(op->as.retry.data, body)); break;
    case QUPLOG_OP_FORGET: MUST(inside(op->as.forget.ids, body)); break;
    case QUPLOG_OP_SETTINGS: MUST(inside(op->as.settings.archive, body)); break;
    case QUPLOG_OP_QUEUE: MUST(inside(op->as.queue.name, body)); break;
    case QUPLOG_OP_SCHEDULE:
        MUST(inside(op->as.schedule.id, body) && inside(op->as.schedule.rule, body));
        break;
    default: break;
    }
}

/* ---- back to bytes ---- */

static int encode(struct buffer *b, const struct op *op)
{
    switch (op->type) {
    case QUPLOG_OP_OPEN:
        return op_encode_open(b, op->as.open.epoch, op->as.open.boot_id,
                              (enum quplog_ending)op->as.open.ending, op->as.open.lost);
    case QUPLOG_OP_WORKER: return op_encode_worker(b, &op->as.worker);
    case QUPLOG_OP_PUT: return op_encode_put(b, &op->as.put);
    case QUPLOG_OP_CLAIM:
        return op_encode_claim(b, op->as.claim.id, op->as.claim.slot, op->as.claim.generation);
    case QUPLOG_OP_FINISH: return op_encode_finish(b, &op->as.finish);
    case QUPLOG_OP_RETRY: return op_encode_retry(b, &op->as.retry);
    case QUPLOG_OP_RELEASE:
        return op_encode_release(b, op->as.release.id, op->as.release.token,
                                 (enum op_release_reason)op->as.release.reason);
    case QUPLOG_OP_CANCEL: return op_encode_cancel(b, op->as.cancel.id);
    case QUPLOG_OP_COPY: return op_encode_copy(b, &op->as.copy);
    case QUPLOG_OP_FORGET:
        return op_encode_forget(b, op->as.forget.succeeded_below, op->as.forget.failed_below,
                                op->as.forget.ids);
    case QUPLOG_OP_SETTINGS: return op_encode_settings(b, &op->as.settings);
    case QUPLOG_OP_QUEUE: return op_encode_queue(b, &op->as.queue);
    case QUPLOG_OP_SCHEDULE: return op_encode_schedule(b, &op->as.schedule);
    case QUPLOG_OP_DUE: return op_encode_due(b, op->as.due.until_us, op->as.due.most);
    default: return QUPLOG_INVALID;
    }
}

/* The size of a type that is all fixed; 0: of the others. */
static size_t only_fixed(uint8_t type)
{
    switch (type) {
    case QUPLOG_OP_OPEN: return 40;
    case QUPLOG_OP_CLAIM: return 24;
    case QUPLOG_OP_RELEASE: return 32;
    case QUPLOG_OP_CANCEL: return 16;
    case QUPLOG_OP_DUE: return 24;
    default: return 0;
    }
}

/* Make of a valid op what a writer writes: zero where docs/FORMAT.md says zero. */
static void tidy(unsigned char *p, const struct op *op)
{
    memset(p + 1, 0, 3);
    switch (op->type) {
    case QUPLOG_OP_OPEN:
        p[33] &= 1;
        memset(p + 34, 0, 6);
        break;
    case QUPLOG_OP_PUT: memset(p + 27, 0, 5); break;
    case QUPLOG_OP_CLAIM: memset(p + 18, 0, 2); break;
    case QUPLOG_OP_FINISH:
        p[25] &= 1;
        memset(p + 26, 0, 2);
        break;
    case QUPLOG_OP_RETRY: memset(p + 41, 0, 3); break;
    case QUPLOG_OP_RELEASE: memset(p + 25, 0, 7); break;
    case QUPLOG_OP_COPY:
        p[101] &= COPY_FLAGS;
        memset(p + 118, 0, 2);
        break;
    case QUPLOG_OP_QUEUE:
        p[8] = p[8] != 0;
        memset(p + 10, 0, 2);
        memset(p + 20, 0, 4);
        break;
    case QUPLOG_OP_SCHEDULE:
        p[8] &= SCHEDULE_FLAGS;
        memset(p + 10, 0, 2);
        break;
    default: break;
    }
}

static void check_settings(const struct op_settings *is, const struct buffer *encoded)
{
    struct op again;
    size_t position = 0;
    struct span body = {encoded->data, encoded->length};
    MUST(op_next(body, &position, &again, NULL) == OP_VALID);
    const struct op_settings *s = &again.as.settings;
    MUST(s->has_segment_size == is->has_segment_size && s->has_archive == is->has_archive);
    MUST(s->has_keep_succeeded == is->has_keep_succeeded);
    MUST(s->has_keep_failed == is->has_keep_failed);
    MUST(!s->has_segment_size || s->segment_size == is->segment_size);
    MUST(s->keep_succeeded_us == is->keep_succeeded_us);
    MUST(s->keep_failed_us == is->keep_failed_us && span_equal(s->archive, is->archive));
}

/* `bytes` are the op's, padding not included. */
static void check_comes_back(const struct op *op, struct span bytes)
{
    struct buffer b = {0};
    MUST(encode(&b, op) == QUPLOG_OK);
    MUST(b.length % 8 == 0);
    if (op->type == QUPLOG_OP_SETTINGS) { /* the order of fields is free, and some are skipped */
        check_settings(&op->as.settings, &b);
    } else {
        size_t fixed = only_fixed(op->type), length = fixed ? fixed : bytes.length;
        unsigned char *should = fuzz_copy(bytes);
        tidy(should, op);
        put_u32(should + 4, (uint32_t)length);
        MUST(align8(length) == b.length && memcmp(b.data, should, length) == 0);
        for (size_t i = length; i < b.length; i++)
            MUST(b.data[i] == 0);
        free(should);
    }
    buffer_free(&b);
}

/* ---- a body ---- */

/* Take it apart; true if a frame may have it. With names, a PUT may leave out its own. */
static bool take_apart(struct span body, bool with_names)
{
    struct op op;
    struct op_job names = {0};
    size_t position = 0;
    for (;;) {
        size_t at = position;
        enum op_verdict verdict = op_next(body, &position, &op, with_names ? &names : NULL);
        if (verdict == OP_END) {
            MUST(at == body.length && position == at);
            return true;
        }
        if (verdict == OP_MALFORMED || verdict == OP_UNSUPPORTED)
            return false;
        MUST(position > at && position <= body.length && (position - at) % 8 == 0);
        if (verdict == OP_SKIPPED)
            continue;
        MUST(align8(op.length) == position - at);
        check_parts(&op, body);
        if (with_names && op.type == QUPLOG_OP_PUT)
            MUST(op.as.put.job.task.length && op.as.put.job.queue.length);
        else
            check_comes_back(&op, (struct span){body.data + at, op.length});
    }
}

static void check_seals(struct span body)
{
    struct buffer ops = {fuzz_copy(body), body.length, body.length};
    uint32_t sum = op_seal(&ops, 0, 0);
    MUST(sum == crc32c(0, ops.data, ops.length));
    for (size_t at = 0; at < ops.length;) {
        size_t length = align8(get_u32(ops.data + at + 4));
        MUST(op_intact((struct span){ops.data + at, length}));
        put_u16(ops.data + at + CHECK_AT, get_u16(body.data + at + CHECK_AT));
        at += length;
    }
    MUST(body.length == 0 || memcmp(ops.data, body.data, body.length) == 0);
    buffer_free(&ops);
}

/* A row of ops whose own lengths fit: for each its type, its flags, its length and its bytes. */
static void make_fit(struct span *input, struct buffer *body)
{
    while (input->length) {
        unsigned type = input_below(input, QUPLOG_OP_DUE + 2), flags = input_byte(input);
        struct span rest = input_bytes(input, (size_t)input_number(input, 2));
        unsigned char *p = buffer_room(body, OP_HEADER + align8(rest.length));
        MUST(p);
        memset(p, 0, OP_HEADER + align8(rest.length));
        p[0] = (unsigned char)type;
        p[1] = (unsigned char)flags;
        put_u32(p + 4, (uint32_t)(OP_HEADER + rest.length));
        if (rest.length)
            memcpy(p + OP_HEADER, rest.data, rest.length);
        body->length += OP_HEADER + align8(rest.length);
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct span input = {data, size};
    struct buffer fitting = {0};
    bool fit = input_below(&input, 2);
    if (fit)
        make_fit(&input, &fitting);
    struct span body = fit ? (struct span){fitting.data, fitting.length} : input;
    unsigned char *bytes = fuzz_copy(body); /* of just this size */
    body.data = bytes;
    (void)take_apart(body, true);
    if (take_apart(body, false))
        check_seals(body);
    free(bytes);
    buffer_free(&fitting);
    return 0;
}
