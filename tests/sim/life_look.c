/* life_look.c: the verbs of life.h that only look. They may fail, and keep nothing open. What they
 * show when nothing fails is checked by the judgement. */
#include "open.h"
#include "reader.h"
#include "scan.h"

#include "life.h"

static int look_at_jobs(quplog *log)
{
    quplog_job_info infos[8];
    quplog_job *job;
    size_t count = 0;
    int status = quplog_find(log, 0, "work", 4, "q", 1, 0, 0, 0, true, infos, 8, &count);
    for (size_t i = 0; status == QUPLOG_OK && i < count; i++) {
        status = quplog_load(log, infos[i].id, &job);
        if (status == QUPLOG_OK)
            quplog_job_free(job);
    }
    return status;
}

static int look_at_all(quplog *log)
{
    uint64_t counts[QUPLOG_STATE_COUNT];
    quplog_schedule *schedules;
    quplog_stats stats;
    size_t count;
    bool paused;
    int status = look_at_jobs(log);
    if (status == QUPLOG_OK)
        status = quplog_counts(log, "q", 1, counts);
    if (status == QUPLOG_OK)
        status = quplog_paused(log, "q", 1, &paused);
    if (status == QUPLOG_OK)
        status = quplog_read_stats(log, &stats);
    if (status == QUPLOG_OK) {
        status = quplog_schedules(log, false, &schedules, &count);
        if (status == QUPLOG_OK)
            quplog_schedules_free(schedules);
    }
    return status;
}

void life_look(struct life *life, int p)
{
    if (!life->processes[p].log)
        return;
    life_ask(life);
    int status = look_at_all(life->processes[p].log);
    life_answered(life);
    (void)life_told(life, p, "look", status, QUPLOG_OK);
}

/* It stands beside the processes that write. */
enum { READER = LIFE_PROCESSES - 1 };

static void expect_nothing_left(struct life *life)
{
    size_t left = inject_left(life->inject, life->processes[READER].io);
    if (left)
        life_accuse(life, "a reader has left %zu descriptors or mappings", left);
}

void life_read_only(struct life *life)
{
    quplog_options options = life->options;
    quplog_report report = {0};
    quplog *log = NULL;
    options = (quplog_options){.read_only = true, .keep_succeeded_us = -1, .keep_failed_us = -1};
    life_start(life, READER);
    life_ask(life);
    int status = open_with(life->processes[READER].io, "log", &options, &log, &report);
    bool opened = status == QUPLOG_OK;
    if (opened) {
        status = look_at_all(log);
        int closed = quplog_close(log);
        quplog_free(log);
        status = status ? status : closed;
    }
    life_answered(life);
    (void)life_told(life, READER, "read only", status, QUPLOG_OK);
    expect_nothing_left(life);
}

static int read_records(struct life *life)
{
    quplog_reader *reader;
    quplog_record record;
    quplog_report report = {0};
    int status = reader_open_with(life->processes[READER].io, "log", 0, &reader, &report);
    if (status)
        return status;
    while (status == QUPLOG_OK)
        status = quplog_reader_next(reader, &record);
    quplog_reader_close(reader);
    return status;
}

void life_verify(struct life *life)
{
    life_start(life, READER);
    life_ask(life);
    int status = read_records(life);
    life_answered(life);
    (void)life_told(life, READER, "verify", status, QUPLOG_EMPTY);
    expect_nothing_left(life);
}

static int scan_all(struct life *life)
{
    quplog_scan *scan;
    quplog_scanned found;
    quplog_report report = {0};
    int status = scan_open_with(life->processes[READER].io, "log", false, &scan, &report);
    if (status)
        return status;
    while (status == QUPLOG_OK)
        status = quplog_scan_next(scan, &found);
    quplog_scan_close(scan);
    return status;
}

void life_scan(struct life *life)
{
    life_start(life, READER);
    life_ask(life);
    int status = scan_all(life);
    life_answered(life);
    (void)life_told(life, READER, "scan", status, QUPLOG_EMPTY);
    expect_nothing_left(life);
}
