/* scenarios.c: see scenarios.h. Between them they make every call of the core, on logs that were
 * left in every way: new, clean, killed, torn, cut, poisoned, half compacted, and in use by others.
 */
#include "scenarios.h"

#include <stdlib.h>
#include <string.h>

enum { SMALL = 100, LARGE = 20000, SECOND_US = 1000000 };

static int64_t in_a_while(struct life *life, int64_t us)
{
    return life_now(life) + us;
}

static void claim(struct life *life, int p)
{
    life_work(life, p, QUPLOG_NO_OUTCOME, 0, QUPLOG_CLAIM_NEXT);
}

static void finish(struct life *life, int p, int flags)
{
    life_work(life, p, QUPLOG_RUN_SUCCEEDED, 0, flags);
}

/* ---- logs to begin with ---- */

static void some_jobs(struct life *life)
{
    life_open(life, 0);
    for (int i = 0; i < 8; i++)
        life_put(life, 0, SMALL + (size_t)i, false, 0);
    life_close(life, 0);
}

/* Several segments, with jobs in all states. */
static void fill(struct life *life)
{
    life_open(life, 0);
    for (int i = 0; i < 10; i++)
        life_put(life, 0, LARGE - (size_t)i * 100, false, 0);
    life_tick(life, 0);
    life_pause(life, 0, true);
    life_pause(life, 0, false);
    claim(life, 0);
    for (int i = 0; i < 4; i++)
        finish(life, 0, QUPLOG_CLAIM_NEXT);
    life_work(life, 0, QUPLOG_RUN_RETRY, in_a_while(life, 3600 * (int64_t)SECOND_US),
              QUPLOG_CLAIM_NEXT);
    life_work(life, 0, QUPLOG_RUN_SNOOZE, in_a_while(life, SECOND_US), QUPLOG_CLAIM_NEXT);
    life_work(life, 0, QUPLOG_RUN_FAILED, 0, QUPLOG_CLAIM_NEXT);
    life_cancel(life, 0, 9);
    life_put(life, 0, LARGE, false, in_a_while(life, 2 * SECOND_US));
    life_put(life, 0, LARGE, true, 0);
}

static void several_segments(struct life *life)
{
    fill(life);
    life_close(life, 0);
}

static void killed(struct life *life)
{
    fill(life);
    claim(life, 0);
    life_kill(life, 0);
}

static void replace_disk(struct life *life, struct disk *disk)
{
    disk_free(life->disk);
    life->disk = disk;
}

static void cut(struct life *life)
{
    fill(life);
    for (int i = 0; i < 4; i++)
        life_put(life, 0, LARGE, false, 0);
    struct disk *left = disk_cut(life->disk, DISK_MIX, &life->chance);
    promises_cut(&life->promises);
    life_kill(life, 0);
    replace_disk(life, left);
}

/* The newest segment goes on with a frame that was never whole. */
struct newest {
    char name[64];
};

static int find_newest(void *context, const char *name)
{
    struct newest *newest = context;
    size_t length = strlen(name);
    if (length == 20 && strcmp(name + 16, ".log") == 0 && strcmp(name, newest->name) > 0)
        memcpy(newest->name, name, length + 1);
    return 0;
}

static void torn(struct life *life)
{
    several_segments(life);
    struct newest newest = {""};
    char path[80] = "log/";
    size_t length;
    (void)disk_list(life->disk, "log", find_newest, &newest);
    strcat(path, newest.name);
    unsigned char *bytes = disk_load(life->disk, path, &length);
    size_t end = length;
    while (end > 0 && bytes[end - 1] == 0)
        end--;
    end = (end + 7) / 8 * 8;
    memset(bytes + end, 0x5a, length - end < 200 ? length - end : 200);
    disk_store(life->disk, path, bytes, length);
    disk_store(life->disk, "log/0000000000abc000.log.tmp", "half", 4);
    free(bytes);
}

/* The TRIM is durable, and nothing was removed. */
static void half_compacted(struct life *life)
{
    struct inject_plan plan = {
        .kind = INJECT_UNLINK, .error = INJECT_EIO, .n = 1, .lasting = true};
    fill(life);
    inject_arm(life->inject, &plan);
    life_compact(life, 0);
    inject_disarm(life->inject);
    life_kill(life, 0);
}

static void poisoned(struct life *life)
{
    struct inject_plan plan = {.kind = INJECT_DATA_SYNC, .error = INJECT_EIO, .n = 1};
    fill(life);
    inject_arm(life->inject, &plan);
    life_put(life, 0, LARGE, true, 0);
    inject_disarm(life->inject);
    life_kill(life, 0);
    life->heals = true;
}

/* ---- what is done with them ---- */

static void open_and_close(struct life *life)
{
    life_open(life, 0);
    life_put(life, 0, SMALL, true, 0);
    life_close(life, 0);
}

static void go_on(struct life *life)
{
    life_open(life, 0);
    life_look(life, 0);
    life_put(life, 0, SMALL, true, 0);
    claim(life, 0);
    finish(life, 0, QUPLOG_SYNC);
}

static void put(struct life *life)
{
    life_open(life, 0);
    life_put(life, 0, SMALL, false, 0);
    life_put(life, 0, SMALL, true, 0);
    life_put(life, 0, LARGE, false, in_a_while(life, SECOND_US));
    life_batch(life, 0, 5, SMALL, false);
    life_batch(life, 0, 5, 3000, true);
    life_batch(life, 0, 4, LARGE, true); /* larger than a segment */
    life_sync(life, 0);
    life_put(life, 0, SMALL, true, 0);
}

static void rotate(struct life *life)
{
    life_open(life, 0);
    for (int i = 0; i < 8; i++)
        life_put(life, 0, LARGE, i % 2, 0);
    life_sync(life, 0);
    life_close(life, 0);
}

static void run(struct life *life)
{
    life_open(life, 0);
    claim(life, 0);
    finish(life, 0, QUPLOG_CLAIM_NEXT);
    finish(life, 0, QUPLOG_CLAIM_NEXT | QUPLOG_SYNC);
    life_work(life, 0, QUPLOG_RUN_RETRY, in_a_while(life, SECOND_US), QUPLOG_CLAIM_NEXT);
    life_work(life, 0, QUPLOG_RUN_SNOOZE, in_a_while(life, SECOND_US), QUPLOG_CLAIM_NEXT);
    life_work(life, 0, QUPLOG_RUN_RELEASE, 0, QUPLOG_CLAIM_NEXT);
    life_work(life, 0, QUPLOG_RUN_FAILED, 0, QUPLOG_CLAIM_NEXT);
    life_work(life, 0, QUPLOG_RUN_CANCELLED, 0, QUPLOG_CLAIM_NEXT);
    life_pass(life, 2 * SECOND_US);
    finish(life, 0, QUPLOG_CLAIM_NEXT | QUPLOG_SYNC);
    life_look(life, 0);
}

static void schedules(struct life *life)
{
    life_open(life, 0);
    life_tick(life, 0);
    life_keep(life, 0);
    life_pass(life, 2 * SECOND_US);
    life_keep(life, 0);
    life_tick(life, 0);
    life_pause(life, 0, true);
    claim(life, 0);
    life_pause(life, 0, false);
    life_cancel(life, 0, 1);
    life_sync(life, 0);
    life_close(life, 0);
}

static void compact(struct life *life)
{
    life_open(life, 0);
    claim(life, 0);
    life_compact(life, 0);
    finish(life, 0, 0);
    life_look(life, 0);
    life_close(life, 0);
}

/* A helper's duties: due times, forgetting, compaction. */
static void keep(struct life *life)
{
    life->options.keep_succeeded_us = 0;
    life->promises.forgets = true;
    life_open(life, 0);
    life_pass(life, 5 * SECOND_US);
    life_keep(life, 0);
    for (int i = 0; i < 4; i++)
        life_put(life, 0, LARGE, false, 0);
    life_keep(life, 0);
    claim(life, 0);
    finish(life, 0, 0);
}

/* Process 1 follows what process 0 writes, trims and removes. */
static void follow(struct life *life)
{
    life_open(life, 0);
    life_open(life, 1);
    life_look(life, 1);
    life_put(life, 0, SMALL, false, 0);
    claim(life, 1);
    life_put(life, 0, LARGE, false, 0);
    finish(life, 1, QUPLOG_CLAIM_NEXT);
    life_compact(life, 0);
    life_look(life, 1);
    finish(life, 1, QUPLOG_SYNC);
    life_put(life, 1, SMALL, true, 0);
    life_close(life, 0);
    life_put(life, 1, SMALL, false, 0);
    life_close(life, 1);
}

static void put_meanwhile(void *context)
{
    struct life *life = context;
    life_put(life, 1, SMALL, true, 0);
}

/* While process 0 syncs, process 1 waits for that; it comes again when it has waited for long. */
static void lead(struct life *life)
{
    life_open(life, 0);
    life_open(life, 1);
    for (int i = 0; i < 2; i++) {
        inject_before_sync(life->inject, life->processes[0].io, put_meanwhile, life);
        life_put(life, 0, SMALL, true, 0);
        life_sync(life, 1);
    }
    life_close(life, 1);
    life_close(life, 0);
}

/* Process 1 dies with a job that it runs, and in the middle of a write. */
static void bury(struct life *life)
{
    life_open(life, 0);
    life_put(life, 0, SMALL, false, 0);
    if (life_open(life, 1)) {
        claim(life, 1);
        life_kill_in_write(life, 1, SMALL);
    }
    life_put(life, 0, SMALL, true, 0);
    life_keep(life, 0);
    claim(life, 0);
    finish(life, 0, QUPLOG_SYNC | QUPLOG_CLAIM_NEXT);
}

static void read_all(struct life *life)
{
    life_read_only(life);
    life_verify(life);
    life_scan(life);
}

const struct scenario SCENARIOS[] = {
    {"new", NULL, open_and_close},
    {"clean", some_jobs, open_and_close},
    {"killed", killed, go_on},
    {"cut", cut, go_on},
    {"torn", torn, go_on},
    {"poisoned", poisoned, go_on},
    {"put", some_jobs, put},
    {"rotate", some_jobs, rotate},
    {"run", some_jobs, run},
    {"schedules", some_jobs, schedules},
    {"compact", several_segments, compact},
    {"half-compacted", half_compacted, compact},
    {"keep", several_segments, keep},
    {"follow", several_segments, follow},
    {"lead", some_jobs, lead},
    {"bury", some_jobs, bury},
    {"read", several_segments, read_all},
    {"read-torn", torn, read_all},
};

const size_t SCENARIO_COUNT = sizeof SCENARIOS / sizeof *SCENARIOS;
