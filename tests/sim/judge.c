/* judge.c: see judge.h. */
#include "judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "open.h"
#include "payload.h"
#include "random.h"

enum { SHARE = 4 /* each of the costly questions is asked once in so many */ };

void judge_accuse(struct judge *judge, const char *format, ...)
{
    va_list arguments;
    if (judge->wrong[0])
        return;
    va_start(arguments, format);
    vsnprintf(judge->wrong, sizeof judge->wrong, format, arguments);
    va_end(arguments);
    if (judge->trace)
        fprintf(stderr, "VIOLATION: %s\n", judge->wrong);
}

quplog_options judge_options(void)
{
    return (quplog_options){.segment_size = JUDGE_SEGMENT,
                            .keep_succeeded_us = -1,
                            .keep_failed_us = -1,
                            .lock_timeout_us = INT64_C(3600) * 1000000};
}

bool judge_is_payload(const void *bytes, size_t length)
{
    unsigned long long number;
    char head[32] = {0};
    static char should[JUDGE_PAYLOAD];
    memcpy(head, bytes, length < sizeof head - 1 ? length : sizeof head - 1);
    if (length > JUDGE_PAYLOAD || sscanf(head, "job %llu.", &number) != 1)
        return false;
    payload_make(should, length, number);
    return memcmp(should, bytes, length) == 0;
}

/* ---- what was found ---- */

/* A log that was opened after a crash, and what it should be. */
struct found {
    struct judge *judge;
    quplog *log;
    quplog_report report;
    struct model should;
    const char *how;
};

static void compare(struct found *found)
{
    char wrong[COMPARE_TEXT];
    uint64_t draw = random_next(&found->judge->chance);
    if (!compare_log(found->log, &found->should, draw, SHARE, wrong))
        judge_accuse(found->judge, "%s: %s", found->how, wrong);
}

/* ---- opening and closing ---- */

static bool open_log(struct found *found, struct disk *disk)
{
    quplog_options options = judge_options();
    memset(&found->report, 0, sizeof found->report);
    int status = open_with(disk_io(disk), "log", &options, &found->log, &found->report);
    if (status)
        judge_accuse(found->judge, "%s: opening it says %d: %s", found->how, status,
                     found->report.message);
    return status == QUPLOG_OK;
}

static void close_log(struct found *found)
{
    int status = quplog_close(found->log);
    if (status)
        judge_accuse(found->judge, "%s: closing it says %d", found->how, status);
    quplog_free(found->log);
}

/* Open, compare, close; the model is there already. */
static void look_again(struct found *found, struct disk *disk, const char *how)
{
    const char *before = found->how;
    found->how = how;
    if (open_log(found, disk)) {
        compare(found);
        close_log(found);
    }
    found->how = before;
}

/* ---- life goes on ---- */

static const quplog_spec AFTER = {
    .task = "after", .queue = "after", .task_length = 5, .queue_length = 5, .retries = 1};

static bool run_one(quplog *log, uint64_t *finished)
{
    quplog_worker *worker;
    uint32_t number;
    if (quplog_register(log, AFTER.task, AFTER.task_length, &number) ||
        quplog_worker_new(log, &worker))
        return false;
    bool good =
        quplog_work(worker, QUPLOG_NO_OUTCOME, 0, NULL, 0, QUPLOG_CLAIM_NEXT) == QUPLOG_OK;
    *finished = quplog_worker_claim(worker)->id;
    good = good && quplog_work(worker, QUPLOG_RUN_SUCCEEDED, 0, "done", 4, QUPLOG_SYNC) ==
                       QUPLOG_EMPTY &&
           quplog_worker_claim(worker)->finish_status == QUPLOG_OK;
    quplog_worker_free(worker);
    return good;
}

static bool is_in_state(quplog *log, uint64_t id, int state)
{
    quplog_job_info info;
    return quplog_info(log, id, &info) == QUPLOG_OK && info.state == state;
}

/* Two jobs, one of which is run; both are there after the next cut. */
static void go_on(struct found *found, struct disk *disk)
{
    struct judge *judge = found->judge;
    uint64_t first = 0, second = 0, finished = 0;
    bool good = quplog_put(found->log, &AFTER, "one", 3, 0, true, &first) == QUPLOG_OK &&
                quplog_put(found->log, &AFTER, "two", 3, 0, true, &second) == QUPLOG_OK;
    if (good && (first <= judge->history->highest_id || second <= first))
        judge_accuse(judge, "%s: the id %llu was given again", found->how,
                     (unsigned long long)first);
    good = good && run_one(found->log, &finished) && finished == first;
    if (!good)
        judge_accuse(judge, "%s: it can't be gone on with", found->how);
    struct disk *after = disk_cut(disk, DISK_MIX, &judge->chance);
    close_log(found);
    if (judge->wrong[0] || !open_log(found, after)) {
        disk_free(after);
        return;
    }
    if (!is_in_state(found->log, first, QUPLOG_SUCCEEDED) ||
        !is_in_state(found->log, second, QUPLOG_READY))
        judge_accuse(judge, "%s: what was done after it is lost by the next cut", found->how);
    close_log(found);
    disk_free(after);
}

/* ---- a state ---- */

/* Takes a snapshot before the n-th change. */
struct trap {
    struct disk *disk;
    uint64_t left;
    struct disk *caught;
};

static void spring(void *context, const struct disk_call *call)
{
    struct trap *trap = context;
    if (disk_changes(call->kind) && --trap->left == 0)
        trap->caught = disk_snapshot(trap->disk);
}

/* What a crash left, and what is known of it. */
struct state {
    struct disk *disk;
    size_t least;  /* so many frames must be there */
    size_t frames; /* so many are; found by the first recovery */
    bool known;    /* they were found already */
    int depth;
    const char *how;
};

static void judge_state(struct judge *judge, struct state *state);

static void cut_recovery(struct judge *judge, const struct state *state, struct disk *caught)
{
    struct state next = *state;
    next.disk = disk_cut(caught, DISK_MIX, &judge->chance);
    next.known = true;
    next.depth++;
    next.how = "after a power cut during recovery";
    judge->deep[next.depth]++;
    judge_state(judge, &next);
    disk_free(next.disk);
}

static void ask(struct found *found, struct state *state, unsigned question)
{
    struct disk *copy = NULL;
    if (question == 1)
        copy = disk_copy(state->disk);
    if (question == 2) {
        go_on(found, state->disk);
        return;
    }
    close_log(found);
    if (copy) {
        look_again(found, copy, "after a kill right after recovery");
        disk_free(copy);
    }
}

static bool count_frames(struct judge *judge, const struct found *found, struct state *state)
{
    if (!state->known)
        state->frames = history_below(judge->history, found->report.end_lsn);
    state->known = true;
    if (state->frames >= state->least)
        return true;
    judge_accuse(judge, "%s: the log ends at LSN %llu, with %zu of %zu frames, of which %zu had "
                        "been acknowledged",
                 state->how, (unsigned long long)found->report.end_lsn, state->frames,
                 judge->history->count, state->least);
    return false;
}

static void judge_state(struct judge *judge, struct state *state)
{
    static const struct disk_watch nobody;
    struct found found = {.judge = judge, .how = state->how};
    unsigned question = (unsigned)random_below(&judge->chance, SHARE);
    struct trap trap = {state->disk, 1 + random_below(&judge->chance, 12), NULL};
    struct disk_watch watch = {.before = spring, .context = &trap};
    judge->states++;
    if (question == 0 && state->depth < JUDGE_DEPTH)
        disk_look_on(state->disk, &watch);
    if (!open_log(&found, state->disk))
        return;
    if (count_frames(judge, &found, state)) {
        history_model(judge->history, state->frames, &found.should);
        model_reopen(&found.should);
        compare(&found);
        ask(&found, state, question);
        model_free(&found.should);
    } else {
        close_log(&found);
    }
    disk_look_on(state->disk, &nobody);
    if (trap.caught) {
        if (!judge->wrong[0])
            cut_recovery(judge, state, trap.caught);
        disk_free(trap.caught);
    }
}

/* ---- crashes ---- */

void judge_cut(struct judge *judge, const struct disk *disk, enum disk_fate fate)
{
    if (judge->wrong[0])
        return;
    struct state state = {.disk = disk_cut(disk, fate, &judge->chance),
                          .least = judge->history->durable,
                          .how = "after a power cut"};
    judge->deep[0]++;
    judge_state(judge, &state);
    disk_free(state.disk);
}

void judge_kill(struct judge *judge, const struct disk *disk)
{
    if (judge->wrong[0])
        return;
    struct state state = {.disk = disk_copy(disk),
                          .least = judge->history->count,
                          .depth = JUDGE_DEPTH,
                          .how = "after a kill of all"};
    judge->kills++;
    judge_state(judge, &state);
    disk_free(state.disk);
}

size_t judge_found(struct judge *judge, const struct disk *cut)
{
    struct state state = {
        .disk = disk_copy(cut), .least = judge->history->durable, .how = "after a power cut"};
    judge->deep[0]++;
    judge_state(judge, &state);
    disk_free(state.disk);
    return state.frames;
}
