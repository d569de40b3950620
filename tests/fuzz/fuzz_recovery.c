/* fuzz_recovery.c: a directory of segments, opened.
 *
 *   Opening succeeds, or says why not in a status that is meant for it; and then it has changed no
 *   segment. Who only reads, in one go or op by op, comes to the same judgement.
 *   What was opened agrees with itself (table_check.h).
 *   Opening again after a kill finds the same jobs, and so does opening after a power cut: nothing
 *   is recovered twice, and what was read stays.
 *   A job that is put and finished is so when the log is opened again, compacted or not.
 *
 * The directory is made as make_log.h says.
 */
#include "core.h"
#include "make_log.h"
#include "must_table.h"
#include "reader.h"

/* A log that is open on a disk of its own. */
struct opened {
    struct disk *disk;
    quplog *log; /* NULL: it is not */
    quplog_report report;
    int status;
};

static const struct table *table_of(const struct opened *opened)
{
    return &opened->log->core->table;
}

static struct opened open_on(struct disk *disk, bool read_only)
{
    struct opened opened = {.disk = disk};
    opened.status = open_made(disk_io(disk), read_only, &opened.log, &opened.report);
    if (opened.log)
        must_agree(table_of(&opened));
    return opened;
}

/* End it, with its disk. */
static int leave(struct opened *opened)
{
    int status = QUPLOG_OK;
    if (opened->log) {
        status = quplog_close(opened->log);
        fuzz_show("closing", status, "");
        quplog_free(opened->log);
    }
    disk_free(opened->disk);
    return status;
}

/* ---- the judgement of those who only read ---- */

/* What was running is ready again, or cancelled if that was asked for. */
static bool follows(uint8_t before, uint8_t after)
{
    return before == after ||
           (before == QUPLOG_RUNNING && (after == QUPLOG_READY || after == QUPLOG_CANCELLED));
}

static void must_have_jobs_of(const struct table *now, const struct table *before)
{
    uint64_t id = 0;
    const struct job *was;
    MUST(now->jobs.count == before->jobs.count);
    while ((was = jobs_next(&before->jobs, id, false, &id))) {
        const struct job *is = jobs_get(&now->jobs, id);
        MUST(is && follows(was->state, is->state) && is->put_lsn == was->put_lsn);
    }
}

static void check_readers(const struct disk *untouched, const struct opened *opened)
{
    struct opened reading = open_on(disk_copy(untouched), true);
    must_be_untouched(reading.disk, untouched);
    bool no_log = reading.status == QUPLOG_NOT_A_LOG && opened->report.frames == 0;
    MUST(reading.status == opened->status || no_log);
    if (reading.log)
        must_have_jobs_of(table_of(opened), table_of(&reading));
    quplog_reader *reader;
    quplog_record record;
    quplog_report report;
    int status = reader_open_with(disk_io(reading.disk), MAKE_LOG, 0, &reader, NULL);
    if (status == QUPLOG_OK) {
        do
            status = quplog_reader_next(reader, &record);
        while (status == QUPLOG_OK);
        quplog_reader_report(reader, &report, NULL);
        quplog_reader_close(reader);
        MUST(opened->status || (status == QUPLOG_EMPTY && report.frames == opened->report.frames &&
                                report.end_lsn == opened->report.end_lsn));
    }
    MUST(status == QUPLOG_EMPTY || opened->status || no_log);
    (void)leave(&reading);
}

/* ---- using it ---- */

static const quplog_spec SPEC = {
    .task = "fuzzed", .queue = "fuzzed", .task_length = 6, .queue_length = 6};

/* Put a job, run it. Its id. */
static uint64_t run_one(quplog *log)
{
    quplog_worker *worker;
    uint64_t id;
    uint32_t number;
    MUST(quplog_put(log, &SPEC, "payload", 7, 0, true, &id) == QUPLOG_OK);
    MUST(quplog_register(log, SPEC.task, SPEC.task_length, &number) == QUPLOG_OK);
    MUST(quplog_worker_new(log, &worker) == QUPLOG_OK);
    MUST(quplog_work(worker, QUPLOG_NO_OUTCOME, 0, NULL, 0, QUPLOG_CLAIM_NEXT) == QUPLOG_OK);
    const quplog_claim *claim = quplog_worker_claim(worker);
    MUST(claim->id == id && claim->payload.length == 7);
    (void)quplog_work(worker, QUPLOG_RUN_SUCCEEDED, 0, "result", 6, QUPLOG_SYNC);
    MUST(claim->finish_status == QUPLOG_OK);
    quplog_worker_free(worker);
    return id;
}

/* A job may refer to ops that are not there: then it can't be read, or copied forward. */
static bool meant_for_reading(int status)
{
    return status == QUPLOG_OK || status == QUPLOG_CORRUPT || status == QUPLOG_NOT_FOUND;
}

static void load_all(quplog *log)
{
    uint64_t id = 0;
    while (jobs_next(&log->core->table.jobs, id, false, &id)) {
        quplog_job *job = NULL;
        int status = quplog_load(log, id, &job);
        MUST(meant_for_reading(status));
        quplog_job_free(job);
    }
}

static void use(struct opened *opened, bool compact)
{
    size_t jobs = table_of(opened)->jobs.count;
    load_all(opened->log);
    uint64_t id = run_one(opened->log);
    if (compact) {
        int status = quplog_compact(opened->log);
        fuzz_show("compacting", status, "");
        MUST(meant_for_reading(status));
        id = run_one(opened->log);
    }
    MUST(quplog_close(opened->log) == QUPLOG_OK);
    struct opened again = open_on(disk_copy(opened->disk), false);
    MUST(again.status == QUPLOG_OK && again.report.ending == QUPLOG_CLEAN);
    const struct job *job = jobs_get(&table_of(&again)->jobs, id);
    fuzz_show("finding the job", job ? job->state : 0, "");
    MUST(job && job->state == QUPLOG_SUCCEEDED);
    /* Where an id was given twice, compaction may bring to light the second job that had it. */
    MUST(compact || table_of(&again)->jobs.count == jobs + 1);
    MUST(leave(&again) == QUPLOG_OK);
}

/* ---- one directory ---- */

static bool meant_for_opening(int status)
{
    return status == QUPLOG_OK || status == QUPLOG_CORRUPT || status == QUPLOG_UNSUPPORTED ||
           status == QUPLOG_NOT_A_LOG;
}

static void check_again(const struct opened *first, uint64_t chance, bool compact)
{
    struct opened killed = open_on(disk_copy(first->disk), false);
    MUST(killed.status == QUPLOG_OK && killed.report.ending == QUPLOG_KILL);
    MUST(killed.report.torn_bytes == 0);
    must_be_same(table_of(&killed), table_of(first));
    struct opened cut = open_on(disk_cut(first->disk, DISK_MIX, &chance), false);
    MUST(cut.status == QUPLOG_OK);
    must_have_jobs_of(table_of(&cut), table_of(first));
    MUST(leave(&cut) == QUPLOG_OK);
    use(&killed, compact);
    (void)leave(&killed);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct span input = {data, size};
    unsigned how = input_byte(&input);
    struct disk *disk = disk_new();
    (void)make_log(disk, &input);
    struct disk *untouched = disk_copy(disk);
    struct opened first = open_on(disk, false);
    MUST(meant_for_opening(first.status));
    if (first.status)
        must_be_untouched(disk, untouched);
    check_readers(untouched, &first);
    if (first.log)
        check_again(&first, 1 + how, how & 1);
    MUST(leave(&first) == QUPLOG_OK);
    disk_free(untouched);
    return 0;
}
