/* fuzz_table.c: the job table, made of whatever frames pass their sums.
 *
 *   A frame is refused or applied as a whole: one that is refused changes nothing that counts.
 *   After each frame the table agrees with itself (table_check.h).
 *   The same frames make the same table, also in one that is emptied and built anew.
 *   What table_apply() tells to have finished is finished.
 */
#include "table.h"

#include "fuzz.h"
#include "make_ops.h"
#include "must_table.h"

enum { FRAMES_MOST = 64, FIRST_LSN = 4096, FAR_ID = 1 << 16 };

struct told {
    struct frame frame;
    unsigned char *body;
    uint64_t lsn;
};

struct history {
    struct told frames[FRAMES_MOST];
    size_t count;
    uint64_t end;
};

static void told_to_be_finished(void *context, uint64_t id)
{
    const struct job *job = jobs_get(&((const struct table *)context)->jobs, id);
    MUST(job && job->state >= QUPLOG_SUCCEEDED);
}

/* Pages of jobs are found by number: an id far away costs a long list of them, and much time. */
static bool far_away(const struct frame *frame)
{
    struct op op;
    size_t position = 0;
    enum op_verdict verdict = OP_SKIPPED;
    bool far = (uint32_t)frame->first_id > FAR_ID;
    while (verdict == OP_VALID || verdict == OP_SKIPPED) {
        verdict = op_next(frame->body, &position, &op, NULL);
        far = far || (verdict == OP_VALID && op.type == QUPLOG_OP_COPY &&
                      (uint32_t)op.as.copy.id > FAR_ID);
    }
    return far;
}

static bool apply(struct table *table, const struct told *told)
{
    size_t jobs = table->jobs.count;
    uint64_t live = table->live_bytes, next_id = table->next_id;
    bool good = table_reserve(table, &told->frame) == QUPLOG_OK;
    if (good)
        table_apply(table, &told->frame, told->lsn, told_to_be_finished, table);
    else
        MUST(table->jobs.count == jobs && table->live_bytes == live && table->next_id == next_id);
    must_agree(table);
    return good;
}

/* ---- frames as the input says ---- */

/* The body of a frame: ops that fit, or any bytes. */
static void take_body(struct told *told, struct maker *maker, struct span *input, bool any)
{
    struct buffer ops = {0};
    struct span body = input_bytes(input, any ? 8U * input_below(input, 32) : 0);
    if (!any)
        told->frame.op_count = make_ops(maker, input, told->lsn, &ops);
    else
        told->frame.op_count = input_below(input, 8);
    body.length &= ~(size_t)7;
    if (ops.length)
        body = (struct span){ops.data, ops.length};
    told->body = fuzz_copy(body);
    told->frame.body = (struct span){told->body, body.length};
    buffer_free(&ops);
}

static void take_frame(struct history *history, struct maker *maker, struct span *input)
{
    struct told *told = &history->frames[history->count++];
    unsigned kind = input_below(input, 8);
    *told = (struct told){.lsn = history->end};
    told->frame.kind = kind == 0 ? FRAME_TRIM : kind == 1 ? FRAME_SYNCED : FRAME_OPS;
    told->frame.time_us = (int64_t)input_below(input, 16) * 500;
    told->frame.first_id = kind == 2 ? input_number(input, 8) : 1 + input_below(input, MAKER_IDS);
    take_body(told, maker, input, kind <= 2);
    told->frame.length = (uint32_t)(FRAME_HEADER + told->frame.body.length);
    history->end += told->frame.length;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct history history;
    struct span input = {data, size};
    struct maker maker = {0};
    struct table table, twin;
    bool refused[FRAMES_MOST] = {0};
    history = (struct history){.end = FIRST_LSN};
    table_init(&table);
    table_init(&twin);
    while (input.length && history.count < FRAMES_MOST) {
        take_frame(&history, &maker, &input);
        size_t last = history.count - 1;
        refused[last] =
            far_away(&history.frames[last].frame) || !apply(&table, &history.frames[last]);
    }
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < history.count; i++)
            MUST(refused[i] || apply(&twin, &history.frames[i]));
        must_be_same(&table, &twin);
        MUST(table.epoch == twin.epoch);
        table_reset(&twin);
        must_agree(&twin);
    }
    for (size_t i = 0; i < history.count; i++)
        free(history.frames[i].body);
    table_free(&table);
    table_free(&twin);
    return 0;
}
