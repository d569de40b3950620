/* life_judge.c: what must hold at the end of a life. See life.h. */
#include <stdio.h>

#include "core.h"
#include "life.h"
#include "open.h"
#include "real_files.h"

enum { CUTS = 3, AFTERWARDS_US = 3000000, ROUNDS = 200 };

/* ---- a log that is opened where nothing fails ---- */

static void check(struct life *life, quplog *log, enum promises_end end, bool shared,
                  const char *when)
{
    char wrong[PROMISES_TEXT] = "";
    promises_check(&life->promises, log, end, shared, wrong);
    if (wrong[0])
        life_accuse(life, "%s: %s", when, wrong);
}

static void check_disk(struct life *life, struct disk *disk, enum promises_end end,
                       const char *when)
{
    quplog_report report = {0};
    quplog *log;
    int status = open_with(disk_io(disk), "log", &life->options, &log, &report);
    if (status) {
        life_accuse(life, "%s: opening says %d: %s", when, status, report.message);
        return;
    }
    check(life, log, end, false, when);
    status = quplog_close(log);
    quplog_free(log);
    if (status)
        life_accuse(life, "%s: closing says %d", when, status);
}

void life_crash(struct life *life)
{
    struct disk *copy = life->real ? real_files_read() : disk_copy(life->disk);
    disk_pass_time(copy, disk_time(life->disk) - disk_time(copy));
    check_disk(life, copy, AFTER_KILL, "after a kill");
    disk_free(copy);
    for (int i = 0; !life->real && i < CUTS && !life->wrong[0]; i++) {
        static const enum disk_fate fates[CUTS] = {DISK_LOSE, DISK_MIX, DISK_MIX};
        copy = disk_cut(life->disk, fates[i], &life->chance);
        check_disk(life, copy, AFTER_CUT, "after a power cut");
        disk_free(copy);
    }
}

/* ---- those who are still there ---- */

static int first_open(const struct life *life)
{
    for (int p = 0; p < LIFE_PROCESSES; p++)
        if (life->processes[p].log)
            return p;
    return -1;
}

/* Each learns of it by a verb, and lets go; then another opens, though none of them was closed. */
static void succeed_the_failed(struct life *life)
{
    for (int p = 0; p < LIFE_PROCESSES; p++)
        life_put(life, p, 10, true, 0);
    int next = LIFE_PROCESSES - 2;
    bool shared = false; /* with one who has opened it since */
    for (int p = 0; p < LIFE_PROCESSES; p++)
        shared = shared || (life->processes[p].log && !life_has_failed(life, p));
    if (life->wrong[0] || !life_open(life, next))
        return;
    check(life, life->processes[next].log, AFTER_KILL, shared, "after the log has failed");
    life_put(life, next, 10, true, 0);
    life_close(life, next);
}

/* All that can run is run: no claim is held by nobody, and nothing is left over. */
static void run_all(struct life *life, int p)
{
    uint64_t counts[QUPLOG_STATE_COUNT];
    life_keep(life, p); /* what the dead had been running */
    life_pause(life, p, false);
    if (life->processes[p].running)
        life_work(life, p, QUPLOG_RUN_SUCCEEDED, 0, QUPLOG_CLAIM_NEXT);
    else
        life_work(life, p, 0, 0, QUPLOG_CLAIM_NEXT);
    for (int i = 0; i < ROUNDS && life->processes[p].running && !life->wrong[0]; i++)
        life_work(life, p, QUPLOG_RUN_SUCCEEDED, 0, QUPLOG_CLAIM_NEXT);
    if (quplog_counts(life->processes[p].log, NULL, 0, counts) != QUPLOG_OK)
        life_accuse(life, "the jobs can't be counted when all is well again");
    else if (counts[QUPLOG_READY] || counts[QUPLOG_RUNNING])
        life_accuse(life, "%llu jobs are ready and %llu running, and can't be run",
                    (unsigned long long)counts[QUPLOG_READY],
                    (unsigned long long)counts[QUPLOG_RUNNING]);
}

/* One of them gives up what it runs, and goes; the last goes on alone. */
static void go_on(struct life *life)
{
    int p = first_open(life);
    life_put(life, p, 10, true, 0);
    check(life, life->processes[p].log, AFTER_KILL, true, "in the log that is open");
    for (int other = p + 1; other < LIFE_PROCESSES; other++)
        life_close(life, other);
    run_all(life, p);
    life_compact(life, p);
    check(life, life->processes[p].log, AFTER_KILL, true, "after all was run");
}

static bool anybody_has_failed(const struct life *life)
{
    bool failed = false;
    for (int p = 0; p < LIFE_PROCESSES; p++)
        failed = failed || life_has_failed(life, p);
    return failed;
}

void life_judge(struct life *life)
{
    inject_disarm(life->inject);
    if (life->wrong[0])
        return;
    life_crash(life);
    life_pass(life, AFTERWARDS_US);
    if (!life->wrong[0] && anybody_has_failed(life)) {
        succeed_the_failed(life);
    } else if (!life->wrong[0] && first_open(life) >= 0) {
        go_on(life);
    }
    for (int p = 0; p < LIFE_PROCESSES; p++)
        life_close(life, p);
    if (life->wrong[0])
        return;
    life_crash(life);
    if (!life->wrong[0] && life_open(life, 0)) {
        life_put(life, 0, 10, true, 0);
        life_close(life, 0);
    }
}
