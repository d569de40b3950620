/* sequences.c: see sequences.h. */
#include "sequences.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "open.h"
#include "payload.h"
#include "random.h"

enum { LENGTH_MOST = 8, SHOWN_EACH = 50, BY_CHANCE = 2, FULL_JOBS = 9 };

/* One process, and what it does. */
struct player {
    struct judge *judge;
    struct disk *disk;
    const struct io *process;
    struct memory_owner memory;
    quplog *log;
    quplog_worker *seat;
    uint64_t job;
    uint64_t next_number;
    bool has_written;
    bool last; /* the operation whose crashes are judged */
};

static const quplog_spec SPEC = {
    .task = "work", .queue = "q0", .task_length = 4, .queue_length = 2, .retries = 1};

static void expect(struct player *p, const char *verb, int status, int other)
{
    if (status != QUPLOG_OK && status != other)
        judge_accuse(p->judge, "%s says %d", verb, status);
}

/* ---- looking on ---- */

static void judge_here(struct player *p)
{
    judge_cut(p->judge, p->disk, DISK_LOSE);
    judge_cut(p->judge, p->disk, DISK_KEEP);
    for (int i = 0; i < BY_CHANCE; i++)
        judge_cut(p->judge, p->disk, DISK_MIX);
    judge_kill(p->judge, p->disk);
}

static void before_call(void *context, const struct disk_call *call)
{
    struct player *p = context;
    (void)memory_for(NULL);
    if (p->last && disk_changes(call->kind))
        judge_here(p);
}

static void after_call(void *context, const struct disk_call *call, ssize_t status)
{
    struct player *p = context;
    history_note(p->judge->history, call, status);
    if (p->judge->history->wrong[0])
        judge_accuse(p->judge, "%s", p->judge->history->wrong);
    if (p->judge->trace)
        fprintf(stderr, "    %s %s %llu+%llu: %zd\n", disk_kind_name(call->kind), call->name,
                (unsigned long long)call->offset, (unsigned long long)call->length, status);
    (void)memory_for(&p->memory);
}

/* ---- the operations ---- */

static void open_log(struct player *p)
{
    quplog_options options = judge_options();
    quplog_report report = {0};
    (void)memory_for(NULL);
    p->process = disk_process(p->disk);
    (void)memory_for(&p->memory);
    expect(p, "open", open_with(p->process, "log", &options, &p->log, &report), QUPLOG_OK);
    p->has_written = false;
}

static void put(struct player *p, size_t length, bool sync)
{
    uint64_t id = 0;
    char payload[JUDGE_PAYLOAD];
    payload_make(payload, length, p->next_number++);
    expect(p, "put", quplog_put(p->log, &SPEC, payload, length, 0, sync, &id), QUPLOG_OK);
    p->has_written = true;
    size_t frames = history_put(p->judge->history, id);
    if (frames == 0)
        judge_accuse(p->judge, "a job was said to be put and is not in the log");
    history_tell(p->judge->history, frames, sync);
}

static void put_synced(struct player *p)
{
    put(p, 200, true);
}

static void put_unsynced(struct player *p)
{
    put(p, JUDGE_PAYLOAD, false);
}

static void claim(struct player *p)
{
    uint32_t number;
    if (p->job)
        return;
    if (!p->seat) {
        expect(p, "register", quplog_register(p->log, "work", 4, &number), QUPLOG_OK);
        expect(p, "worker_new", quplog_worker_new(p->log, &p->seat), QUPLOG_OK);
    }
    int status = quplog_work(p->seat, QUPLOG_NO_OUTCOME, 0, NULL, 0, QUPLOG_CLAIM_NEXT);
    expect(p, "claim", status, QUPLOG_EMPTY);
    p->has_written = true;
    p->job = status == QUPLOG_OK ? quplog_worker_claim(p->seat)->id : 0;
}

static void finish(struct player *p)
{
    if (!p->job)
        return;
    uint64_t token = quplog_worker_claim(p->seat)->token;
    int status = quplog_work(p->seat, QUPLOG_RUN_SUCCEEDED, 0, "done", 4, QUPLOG_SYNC);
    expect(p, "finish", status, QUPLOG_EMPTY);
    expect(p, "finish", quplog_worker_claim(p->seat)->finish_status, QUPLOG_OK);
    size_t frames = history_outcome(p->judge->history, p->job, token);
    if (frames == 0)
        judge_accuse(p->judge, "a job was said to be finished and is not in the log");
    history_tell(p->judge->history, frames, true);
    p->job = 0;
}

static void sync_log(struct player *p)
{
    size_t frames = p->judge->history->told;
    expect(p, "sync", quplog_sync(p->log), QUPLOG_OK);
    history_tell(p->judge->history, frames, true);
}

static void compact(struct player *p)
{
    expect(p, "compact", quplog_compact(p->log), QUPLOG_OK);
}

static void forget_process(struct player *p)
{
    struct memory_owner *owner = memory_for(NULL); /* what the disk allocates is the disk's */
    disk_kill(p->disk, p->process);
    memory_release(&p->memory);
    (void)memory_for(owner);
    p->log = NULL;
    p->seat = NULL;
    p->job = 0;
}

static void be_killed(struct player *p)
{
    forget_process(p);
    open_log(p);
}

static void close_log(struct player *p)
{
    quplog_worker_free(p->seat);
    size_t frames = p->judge->history->told;
    expect(p, "close", quplog_close(p->log), QUPLOG_OK);
    if (p->has_written)
        history_tell(p->judge->history, frames, true);
    quplog_free(p->log);
    forget_process(p);
}

static void reopen(struct player *p)
{
    close_log(p);
    open_log(p);
}

static const struct {
    const char *name;
    void (*run)(struct player *p);
} OPERATIONS[] = {{"put synced", put_synced}, {"put unsynced", put_unsynced},
                  {"claim", claim},           {"finish", finish},
                  {"sync", sync_log},         {"compact", compact},
                  {"kill", be_killed},        {"reopen", reopen}};

enum { COUNT = sizeof OPERATIONS / sizeof *OPERATIONS };

/* ---- one sequence ---- */

/* Some segments, with jobs that are finished, running, retried and waiting. */
static void fill(struct player *p)
{
    for (int i = 0; i < FULL_JOBS; i++)
        put(p, JUDGE_PAYLOAD - (size_t)i * 100, false);
    for (int i = 0; i < FULL_JOBS - 2; i++) {
        claim(p);
        finish(p);
    }
    claim(p);
    int64_t later = quplog_now(p->log) + 1000000;
    (void)quplog_work(p->seat, QUPLOG_RUN_RETRY, later, "not yet", 7, 0);
    p->job = 0;
}

/* Sequences are numbered by length, then as numbers of base COUNT; twice: on a new log, and on one
 * that is full. */
static unsigned decode(uint64_t number, unsigned operations[LENGTH_MOST], bool *full)
{
    uint64_t of_length = COUNT, rest = number / 2;
    unsigned length = 1;
    *full = number % 2;
    for (; rest >= of_length; length++) {
        rest -= of_length;
        of_length *= COUNT;
    }
    for (unsigned i = length; i-- > 0; rest /= COUNT)
        operations[i] = (unsigned)(rest % COUNT);
    return length;
}

static void play(struct player *p, const unsigned *operations, unsigned length)
{
    for (unsigned i = 0; i < length && !p->judge->wrong[0]; i++) {
        p->last = i + 1 == length;
        if (p->judge->trace)
            fprintf(stderr, "%s\n", OPERATIONS[operations[i]].name);
        OPERATIONS[operations[i]].run(p);
    }
    (void)memory_for(NULL);
    if (!p->judge->wrong[0])
        judge_here(p);
    (void)memory_for(&p->memory);
    p->last = false;
}

static void play_number(struct judge *judge, uint64_t number)
{
    unsigned operations[LENGTH_MOST];
    bool full;
    struct player p = {.judge = judge, .disk = disk_new(), .next_number = 1};
    struct disk_watch watch = {before_call, after_call, &p};
    unsigned length = decode(number, operations, &full);
    judge->history = history_new();
    judge->chance = number * 2 + 1;
    disk_look_on(p.disk, &watch);
    (void)memory_for(&p.memory);
    open_log(&p);
    if (full)
        fill(&p);
    play(&p, operations, length);
    (void)memory_for(NULL);
    forget_process(&p);
    if (judge->wrong[0]) {
        size_t used = strlen(judge->wrong);
        snprintf(judge->wrong + used, sizeof judge->wrong - used, " [%s log",
                 full ? "full" : "new");
        for (unsigned i = 0; i < length; i++) {
            used = strlen(judge->wrong);
            snprintf(judge->wrong + used, sizeof judge->wrong - used, ", %s",
                     OPERATIONS[operations[i]].name);
        }
        used = strlen(judge->wrong);
        snprintf(judge->wrong + used, sizeof judge->wrong - used, "]");
    }
    disk_free(p.disk);
    history_free(judge->history);
    judge->history = NULL;
}

uint64_t sequences_play(struct judge *judge, struct sequences *sequences)
{
    uint64_t total = 0, of_length = 2, number = sequences->first;
    for (unsigned i = 0; i < sequences->most && i < LENGTH_MOST; i++)
        total += of_length *= COUNT;
    if (sequences->has_only)
        number = sequences->only;
    for (; number < total; number += sequences->step) {
        play_number(judge, number);
        sequences->played++;
        if (judge->wrong[0] || sequences->has_only)
            break;
        if (sequences->played % SHOWN_EACH == 0)
            sequences->shown(judge);
    }
    return number;
}
