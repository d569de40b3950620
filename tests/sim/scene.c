/* scene.c: see scene.h. What the processes do is in actor.c. */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor.h"
#include "random.h"

enum { LIVES = 3, VARIANTS = 6 };

static uint64_t draw(struct scene *scene, uint64_t n)
{
    return random_below(&scene->judge->chance, n);
}

/* ---- while it runs ---- */

static void stop(struct scene *scene)
{
    machine_halt(scene->machine);
}

static void cut_in_many_ways(struct scene *scene)
{
    struct disk *disk = machine_disk(scene->machine);
    uint64_t ways = 1 + draw(scene, VARIANTS);
    for (uint64_t i = 0; i < ways; i++) {
        uint64_t lot = draw(scene, 12);
        judge_cut(scene->judge, disk, lot == 0 ? DISK_LOSE : lot == 1 ? DISK_KEEP : DISK_MIX);
    }
    if (draw(scene, 4) == 0)
        judge_kill(scene->judge, disk);
}

static void before_change(void *context, const struct disk_call *call)
{
    struct scene *scene = context;
    scene->changes++;
    scene->last = call->kind;
    snprintf(scene->last_name, sizeof scene->last_name, "%s", call->name);
    if (scene->power_left && --scene->power_left == 0) {
        stop(scene);
        return;
    }
    if (draw(scene, scene->cut_once_in) == 0)
        cut_in_many_ways(scene);
    if (scene->judge->wrong[0])
        stop(scene);
}

static void sum_up(struct scene *scene, const struct disk_call *call, ssize_t status)
{
    const uint64_t parts[] = {machine_process(scene->machine), call->kind, call->offset,
                              call->length, (uint64_t)status};
    uint64_t sum = scene->judge->calls;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        sum = (sum ^ parts[i]) * UINT64_C(0x9e3779b97f4a7c15);
    scene->judge->calls = sum ^ sum >> 32;
}

static void after_call(void *context, const struct disk_call *call, ssize_t status)
{
    struct scene *scene = context;
    struct history *history = scene->judge->history;
    sum_up(scene, call, status);
    history_note(history, call, status);
    if (!history->wrong[0])
        return;
    judge_accuse(scene->judge, "%s", history->wrong);
    stop(scene);
}

static void after_kill(void *context, unsigned process)
{
    struct scene *scene = context;
    actor_died(scene, process);
    if (scene->actor_count < ACTORS && scene->replacements) {
        scene->replacements--;
        actor_enter(scene);
    }
}

/* ---- a life: from one boot to the next ---- */

static struct machine_plan draw_plan(struct scene *scene)
{
    static const unsigned switches[] = {2, 4, 16, 60};
    static const unsigned kills[] = {0, 0, 400, 1500};
    return (struct machine_plan){.seed = random_next(&scene->chance) | 1,
                                 .switches = switches[random_below(&scene->chance, 4)],
                                 .kills = kills[random_below(&scene->chance, 4)],
                                 .signals = random_below(&scene->chance, 3) ? 0 : 40,
                                 .leaps = 400,
                                 .leap_us = 1500000,
                                 .write_back = random_below(&scene->chance, 2) ? 300 : 0,
                                 .steps_most = 2000000,
                                 .trace = scene->judge->trace};
}

static void judge_end(struct scene *scene, enum machine_end end)
{
    struct judge *judge = scene->judge;
    if (end == MACHINE_STUCK)
        judge_accuse(judge, "a deadlock: nobody can go on");
    else if (end == MACHINE_ENDLESS)
        judge_accuse(judge, "it does not come to an end");
    else if (end == MACHINE_DONE)
        judge_kill(judge, machine_disk(scene->machine));
}

/* The power fails: the disk that it leaves, judged. The history goes on from there. */
static struct disk *lose_power(struct scene *scene, struct disk *disk)
{
    struct judge *judge = scene->judge;
    struct disk *left = disk_cut(disk, DISK_MIX, &judge->chance);
    size_t frames = judge_found(judge, left);
    if (!judge->wrong[0])
        history_cut(judge->history, frames);
    return left;
}

/* The disk to go on with. */
static struct disk *live(struct scene *scene, struct disk *disk, bool last)
{
    struct machine_watch watch = {before_change, after_call, after_kill, scene};
    struct machine_plan plan = draw_plan(scene);
    unsigned processes = 1 + (unsigned)random_below(&scene->chance, 4);
    scene->machine = machine_new(disk, &plan, &watch);
    scene->actor_count = 0;
    scene->replacements = 2;
    scene->power_left = last ? 0 : 20 + random_below(&scene->chance, 400);
    memset(scene->runs, 0, sizeof scene->runs);
    for (unsigned i = 0; i < processes; i++)
        actor_enter(scene);
    enum machine_end end = machine_run(scene->machine);
    judge_end(scene, end);
    struct disk *next = disk;
    if (end == MACHINE_HALTED && !scene->judge->wrong[0])
        next = lose_power(scene, disk);
    machine_free(scene->machine);
    if (next != disk)
        disk_free(disk);
    return next;
}

/* ---- the scene ---- */

static void draw_scene(struct scene *scene, uint64_t seed)
{
    static const int64_t keeps[] = {-1, -1, 0, 200000};
    static const unsigned verbs[] = {20, 40, 80};
    scene->chance = seed;
    scene->cut_once_in = 4;
    scene->options = judge_options();
    scene->options.keep_succeeded_us = keeps[random_below(&scene->chance, 4)];
    scene->options.keep_failed_us = scene->options.keep_succeeded_us;
    scene->verbs = verbs[random_below(&scene->chance, 3)];
    scene->large = (unsigned)random_below(&scene->chance, 3) * 20;
    scene->synced = (unsigned)random_below(&scene->chance, 4) * 33;
    scene->next_number = 1;
}

void scene_play(struct judge *judge, uint64_t seed)
{
    struct scene *scene = calloc(1, sizeof *scene);
    struct disk *disk = disk_new();
    if (!scene)
        abort();
    scene->judge = judge;
    judge->chance = seed * 2 + 1;
    judge->history = history_new();
    draw_scene(scene, seed);
    if (judge->lie != DISK_KINDS)
        disk_lie(disk, judge->lie, DISK_ALWAYS);
    uint64_t lives = 1 + random_below(&scene->chance, LIVES);
    for (uint64_t i = 0; i < lives && !judge->wrong[0]; i++)
        disk = live(scene, disk, i + 1 == lives);
    if (judge->wrong[0]) {
        size_t used = strlen(judge->wrong);
        snprintf(judge->wrong + used, sizeof judge->wrong - used, " [change %llu: %s %s]",
                 (unsigned long long)scene->changes, disk_kind_name(scene->last),
                 scene->last_name);
    }
    disk_free(disk);
    history_free(judge->history);
    judge->history = NULL;
    free(scene);
}
