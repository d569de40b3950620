/* fuzz_salvage.c: a scan of a damaged directory, and a new log made of what it found.
 *
 *   A scan ends, in a status that is meant for it, and changes nothing.
 *   What it hands out stands where it says: read again, it is the same.
 *   Of a log that can be opened it hands out every op, and calls nothing lost that was durable,
 *   unless there are files that opening does not read, or frames of a newer version behind its end.
 *   Of a log that is corrupt it names some damage, if the headers say what a writer could.
 *   What is stored in a new log is stored as it was, or refused.
 *
 * The directory is made as make_log.h says.
 */
#include "core.h"
#include "make_log.h"
#include "must_table.h"
#include "open.h"
#include "reader.h"
#include "scan.h"

enum { FOUND_MOST = 4096, DAMAGES_MOST = 256, SALVAGED_MOST = 16 };

struct found {
    uint64_t ops[FOUND_MOST]; /* LSNs */
    size_t count;
    quplog_damage damages[DAMAGES_MOST];
    size_t damage_count;
    bool durable_lost;
    bool strange; /* a file that opening does not read may know more than the others */
    int status;
};

/* ---- into a new log ---- */

static quplog *begin_new(struct disk *disk)
{
    quplog_options options = {
        .segment_size = 64 << 10, .keep_succeeded_us = -1, .keep_failed_us = -1};
    quplog_report report;
    quplog *log = NULL;
    MUST(open_with(disk_io(disk), "new", &options, &log, &report) == QUPLOG_OK);
    return log;
}

static void salvage_job(quplog *log, const quplog_scanned *s)
{
    quplog_saved saved = {.id = s->record.id,
                          .put_lsn = s->record.lsn,
                          .ready_lsn = s->record.lsn,
                          .state = QUPLOG_READY,
                          .task = s->record.task,
                          .queue = s->record.queue,
                          .put = s->op};
    quplog_job *job;
    int status = quplog_restore(log, &saved);
    MUST(status == QUPLOG_OK || status == QUPLOG_INVALID);
    if (status)
        return;
    MUST(quplog_load(log, saved.id, &job) == QUPLOG_OK);
    MUST(job->payload.length == s->record.data.length);
    MUST(job->payload.length == 0 ||
         memcmp(job->payload.data, s->record.data.data, job->payload.length) == 0);
    MUST(job->info.retries == s->record.retries && job->info.priority == s->record.priority);
    quplog_job_free(job);
}

static void salvage_op(quplog *log, const quplog_scanned *s)
{
    bool near = s->record.id < 1 << 16; /* pages of jobs far away cost much memory */
    if ((s->record.type == QUPLOG_OP_PUT || s->record.type == QUPLOG_OP_COPY) && near)
        salvage_job(log, s);
    int status = quplog_restore_op(log, s->op.data, s->op.length);
    bool stored = s->record.type == QUPLOG_OP_QUEUE || s->record.type == QUPLOG_OP_SETTINGS;
    MUST(status == (stored ? QUPLOG_OK : QUPLOG_INVALID));
}

/* ---- a scan ---- */

static void check_stands(quplog_scan *scan, const quplog_scanned *s)
{
    quplog_bytes again;
    MUST(quplog_scan_load(scan, s->record.lsn, s->op.length, s->check, &again) == QUPLOG_OK);
    MUST(again.length == s->op.length && memcmp(again.data, s->op.data, again.length) == 0);
}

static void take(quplog_scan *scan, const quplog_scanned *s, struct found *found, quplog *log)
{
    if (s->kind == QUPLOG_SCAN_DAMAGE && found->damage_count < DAMAGES_MOST) {
        MUST(memchr(s->damage.file, 0, sizeof s->damage.file));
        MUST(s->damage.lsn <= s->damage.end_lsn);
        found->strange = found->strange || s->damage.kind >= QUPLOG_DAMAGE_UNCHECKED;
        found->damages[found->damage_count++] = s->damage;
    }
    if (s->kind != QUPLOG_SCAN_OP || found->count == FOUND_MOST)
        return;
    if (found->count < SALVAGED_MOST)
        salvage_op(log, s);
    check_stands(scan, s);
    found->ops[found->count++] = s->record.lsn;
}

static void show_damage(const quplog_damage *damage, int loss)
{
    char text[200];
    snprintf(text, sizeof text, "kind %d, [%llx, %llx) %s", damage->kind,
             (unsigned long long)damage->lsn, (unsigned long long)damage->end_lsn, damage->file);
    fuzz_show("losing", loss, text);
}

static void scan_all(struct disk *disk, struct found *found, quplog *log)
{
    quplog_scan *scan;
    quplog_scanned scanned;
    quplog_report report;
    found->status = scan_open_with(disk_io(disk), MAKE_LOG, true, &scan, &report);
    fuzz_show("scanning", found->status, report.message);
    if (found->status)
        return;
    while ((found->status = quplog_scan_next(scan, &scanned)) == QUPLOG_OK)
        take(scan, &scanned, found, log);
    for (size_t i = 0; i < found->damage_count; i++) {
        int loss = quplog_scan_judge(scan, &found->damages[i]);
        show_damage(&found->damages[i], loss);
        found->durable_lost = found->durable_lost || loss == QUPLOG_LOSS_DURABLE;
    }
    quplog_scan_close(scan);
}

/* ---- beside the others ---- */

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void must_have_all(const struct disk *disk, struct found *found)
{
    struct disk *copy = disk_copy(disk);
    quplog_reader *reader;
    quplog_record record;
    qsort(found->ops, found->count, sizeof *found->ops, by_number);
    MUST(reader_open_with(disk_io(copy), MAKE_LOG, 0, &reader, NULL) == QUPLOG_OK);
    while (quplog_reader_next(reader, &record) == QUPLOG_OK)
        MUST(bsearch(&record.lsn, found->ops, found->count, sizeof record.lsn, by_number));
    quplog_reader_close(reader);
    disk_free(copy);
}

static void compare(const struct disk *disk, struct found *found, bool proper)
{
    struct disk *copy = disk_copy(disk);
    quplog_report report;
    quplog *log;
    int status = open_made(disk_io(copy), true, &log, &report);
    if (status == QUPLOG_OK) {
        MUST(found->strange || found->status == QUPLOG_UNSUPPORTED || !found->durable_lost);
        if (!found->strange && found->status == QUPLOG_EMPTY)
            must_have_all(disk, found);
        MUST(quplog_close(log) == QUPLOG_OK);
        quplog_free(log);
    }
    if (status == QUPLOG_CORRUPT && proper)
        MUST(found->damage_count || found->status == QUPLOG_UNSUPPORTED);
    disk_free(copy);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct found found;
    struct span input = {data, size};
    struct disk *disk = disk_new(), *other = disk_new();
    bool proper = make_log(disk, &input);
    quplog *log = begin_new(other);
    found = (struct found){.status = QUPLOG_OK};
    struct disk *scanned = disk_copy(disk);
    scan_all(scanned, &found, log);
    MUST(found.status == QUPLOG_EMPTY || found.status == QUPLOG_UNSUPPORTED ||
         found.status == QUPLOG_NOT_A_LOG);
    must_be_untouched(scanned, disk);
    compare(disk, &found, proper);
    must_agree(&log->core->table);
    MUST(quplog_close(log) == QUPLOG_OK);
    quplog_free(log);
    disk_free(scanned);
    disk_free(disk);
    disk_free(other);
    return 0;
}
