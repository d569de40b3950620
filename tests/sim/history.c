/* history.c: see history.h. */
#include "history.h"

#include <stdio.h>
#include <stdlib.h>

#include "segment.h"

/* In a segment's header block (docs/FORMAT.md). */
enum { BASE_AT = 48, SALT_AT = 80 };

struct history *history_new(void)
{
    struct history *history = calloc(1, sizeof *history);
    if (!history)
        abort();
    return history;
}

void history_free(struct history *history)
{
    for (size_t i = 0; i < history->count; i++)
        free(history->frames[i].bytes);
    free(history->frames);
    free(history->segments);
    model_free(&history->now);
    model_free(&history->kept);
    free(history);
}

static void say(struct history *history, const char *what, uint64_t lsn)
{
    if (!history->wrong[0])
        snprintf(history->wrong, sizeof history->wrong, "%s (LSN %llu)", what,
                 (unsigned long long)lsn);
}

/* ---- segments ---- */

static void note_header(struct history *history, const unsigned char *block)
{
    if (history->segment_count == history->segment_room) {
        history->segment_room = history->segment_room ? history->segment_room * 2 : 16;
        history->segments =
            realloc(history->segments, history->segment_room * sizeof *history->segments);
        if (!history->segments)
            abort();
    }
    history->segments[history->segment_count++] =
        (struct history_segment){get_u64(block + BASE_AT), get_u64(block + SALT_AT)};
}

/* The last header that was written for this base counts. */
static bool salt_of(const struct history *history, uint64_t base, uint64_t *salt)
{
    for (size_t i = history->segment_count; i-- > 0;) {
        if (history->segments[i].base != base)
            continue;
        *salt = history->segments[i].salt;
        return true;
    }
    return false;
}

/* ---- frames ---- */

static void count_ids(struct history *history, const struct frame *frame, uint64_t lsn)
{
    struct op op;
    struct op_job names = {0};
    size_t position = 0;
    uint64_t id = frame->first_id;
    while (frame->kind == FRAME_OPS &&
           op_next(frame->body, &position, &op, &names) == OP_VALID) {
        if (op.type != QUPLOG_OP_PUT)
            continue;
        if (id <= history->highest_id)
            say(history, "an id was given again", lsn);
        history->highest_id = id++;
    }
}

static void add_frame(struct history *history, unsigned char *bytes, const struct frame *frame,
                      uint64_t lsn)
{
    if (history->count && lsn < history->frames[history->count - 1].end)
        say(history, "a frame was written over another", lsn);
    if (history->count == history->room) {
        history->room = history->room ? history->room * 2 : 256;
        history->frames = realloc(history->frames, history->room * sizeof *history->frames);
        if (!history->frames)
            abort();
    }
    history->frames[history->count++] =
        (struct history_frame){lsn, lsn + frame->length, bytes, *frame};
    count_ids(history, frame, lsn);
    model_apply(&history->now, frame, lsn);
    if (history->now.wrong[0] && !history->wrong[0])
        snprintf(history->wrong, sizeof history->wrong, "%s", history->now.wrong);
}

static bool all_zeros(const unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i])
            return false;
    return true;
}

/* What is no frame must be zeros, where no frame stands. */
static void note_zeros(struct history *history, const unsigned char *bytes, size_t length,
                       uint64_t lsn)
{
    if (!all_zeros(bytes, length))
        say(history, "neither a frame nor zeros were written", lsn);
    if (history->count && lsn < history->frames[history->count - 1].end)
        say(history, "a frame was zeroed", lsn);
}

static unsigned char *gather(const struct disk_call *call)
{
    unsigned char *bytes = malloc(call->length + 1);
    size_t done = 0;
    if (!bytes)
        abort();
    for (int i = 0; i < call->count; i++) {
        memcpy(bytes + done, call->parts[i].iov_base, call->parts[i].iov_len);
        done += call->parts[i].iov_len;
    }
    return bytes;
}

static bool is_header(const struct disk_call *call)
{
    return call->offset == 0 && call->length == SEGMENT_HEADER &&
           (segment_is_temporary(call->name) || strcmp(call->name, SEGMENT_SPARE) == 0);
}

void history_note(struct history *history, const struct disk_call *call, ssize_t status)
{
    uint64_t base, salt = 0;
    struct frame frame;
    if (call->kind != DISK_WRITE || status <= 0)
        return;
    bool segment = segment_parse_name(call->name, &base);
    if (!segment && !is_header(call))
        return;
    unsigned char *bytes = gather(call);
    if (!segment && bytes[0]) { /* else it is the spare, being filled with zeros */
        note_header(history, bytes);
    } else if (!segment) {
        free(bytes);
        return;
    } else if (!salt_of(history, base, &salt) || call->offset < SEGMENT_HEADER) {
        say(history, "a segment was written to that was not created", base);
    } else if (frame_parse(bytes, call->length, base + call->offset, salt, &frame) ==
                   FRAME_VALID &&
               frame.length == call->length) {
        add_frame(history, bytes, &frame, base + call->offset);
        return;
    } else {
        note_zeros(history, bytes, call->length, base + call->offset);
    }
    free(bytes);
}

/* ---- marks ---- */

void history_tell(struct history *history, size_t count, bool synced)
{
    if (count > history->told)
        history->told = count;
    if (synced && count > history->durable)
        history->durable = history->told = count;
}

/* What an op is about. */
struct about {
    uint64_t id;
    uint64_t token; /* of the run whose outcome it is; 0: it puts the job */
};

static struct about about_op(const struct op *op, uint64_t *put_id)
{
    switch (op->type) {
    case QUPLOG_OP_PUT: return (struct about){(*put_id)++, 0};
    case QUPLOG_OP_FINISH: return (struct about){op->as.finish.id, op->as.finish.token};
    case QUPLOG_OP_RETRY: return (struct about){op->as.retry.id, op->as.retry.token};
    case QUPLOG_OP_RELEASE: return (struct about){op->as.release.id, op->as.release.token};
    default: return (struct about){0, 0};
    }
}

static bool is_about(const struct frame *frame, const struct about *wanted)
{
    struct op op;
    struct op_job names = {0};
    size_t position = 0;
    uint64_t put_id = frame->first_id;
    while (frame->kind == FRAME_OPS &&
           op_next(frame->body, &position, &op, &names) == OP_VALID) {
        struct about about = about_op(&op, &put_id);
        if (about.id == wanted->id && about.token == wanted->token)
            return true;
    }
    return false;
}

static size_t find_about(const struct history *history, const struct about *wanted)
{
    for (size_t i = history->count; i > 0; i--)
        if (is_about(&history->frames[i - 1].frame, wanted))
            return i;
    return 0;
}

size_t history_put(const struct history *history, uint64_t id)
{
    const struct about put = {id, 0};
    return find_about(history, &put);
}

size_t history_outcome(const struct history *history, uint64_t id, uint64_t token)
{
    const struct about outcome = {id, token};
    return find_about(history, &outcome);
}

size_t history_below(const struct history *history, uint64_t lsn)
{
    size_t low = 0, high = history->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (history->frames[middle].lsn < lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- models ---- */

static void apply_up_to(const struct history *history, struct model *model, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        model_apply(model, &history->frames[i].frame, history->frames[i].lsn);
}

void history_model(struct history *history, size_t count, struct model *out)
{
    apply_up_to(history, &history->kept, history->kept_count, history->durable);
    history->kept_count = history->durable;
    model_copy(out, &history->kept);
    apply_up_to(history, out, history->kept_count, count);
}

void history_cut(struct history *history, size_t count)
{
    while (history->count > count)
        free(history->frames[--history->count].bytes);
    model_free(&history->now);
    history_model(history, count, &history->now);
    history->durable = history->told = count;
}
