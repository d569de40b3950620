/* fuzz_errors.c: a directory of segments, opened, read and scanned while one call fails.
 *
 *   Who meets the failure says so, or comes to what he would have come to without it.
 *   When nothing fails any more, the log opens as it would have, with the same jobs.
 *
 * The directory is made as make_log.h says, so the failure strikes recoveries of every kind.
 */
#include <errno.h>

#include "core.h"
#include "make_log.h"
#include "must_table.h"
#include "reader.h"
#include "scan.h"

/* ---- the failing world: the disk's own table, with a fault in front of some calls ---- */

enum kind { OPEN, READ, WRITE, SYNC, STAT, LIST, RENAME, UNLINK, MKDIR, RANDOM, KINDS };

static struct {
    struct io inner;
    enum kind kind;
    unsigned after; /* so many calls go well */
    int status;
    bool happened;
} fault;

static bool strikes(enum kind kind)
{
    if (fault.happened || kind != fault.kind || fault.after-- > 0)
        return false;
    fault.happened = true;
    return true;
}

static int failing_open(void *w, int dir, const char *name, int flags)
{
    return strikes(OPEN) ? fault.status : fault.inner.open(w, dir, name, flags);
}

static ssize_t failing_pread(void *w, int fd, void *buffer, size_t length, uint64_t offset)
{
    return strikes(READ) ? fault.status : fault.inner.pread(w, fd, buffer, length, offset);
}

static ssize_t failing_pwritev(void *w, int fd, const struct iovec *parts, int count,
                               uint64_t offset)
{
    return strikes(WRITE) ? fault.status : fault.inner.pwritev(w, fd, parts, count, offset);
}

static int failing_fdatasync(void *w, int fd)
{
    return strikes(SYNC) ? fault.status : fault.inner.fdatasync(w, fd);
}

static int failing_fsync(void *w, int fd)
{
    return strikes(SYNC) ? fault.status : fault.inner.fsync(w, fd);
}

static int failing_stat(void *w, int fd, struct io_stat *out)
{
    return strikes(STAT) ? fault.status : fault.inner.stat(w, fd, out);
}

static int failing_list(void *w, int dir, int (*each)(void *, const char *), void *context)
{
    return strikes(LIST) ? fault.status : fault.inner.list(w, dir, each, context);
}

static int failing_rename(void *w, int dir, const char *from, int to_dir, const char *to)
{
    return strikes(RENAME) ? fault.status : fault.inner.rename(w, dir, from, to_dir, to);
}

static int failing_unlink(void *w, int dir, const char *name)
{
    return strikes(UNLINK) ? fault.status : fault.inner.unlink(w, dir, name);
}

static int failing_mkdir(void *w, int dir, const char *name)
{
    return strikes(MKDIR) ? fault.status : fault.inner.mkdir(w, dir, name);
}

static int failing_random(void *w, void *buffer, size_t length)
{
    return strikes(RANDOM) ? fault.status : fault.inner.random(w, buffer, length);
}

/* A table in front of the disk's; good until the next one is made. */
static const struct io *failing(struct disk *disk)
{
    static struct io table;
    fault.inner = table = *disk_io(disk);
    table.open = failing_open;
    table.pread = failing_pread;
    table.pwritev = failing_pwritev;
    table.fdatasync = failing_fdatasync;
    table.fsync = failing_fsync;
    table.stat = failing_stat;
    table.list = failing_list;
    table.rename = failing_rename;
    table.unlink = failing_unlink;
    table.mkdir = failing_mkdir;
    table.random = failing_random;
    return &table;
}

/* ---- who meets it ---- */

static int open_as(const struct io *io, bool read_only, quplog **log)
{
    quplog_report report;
    return open_made(io, read_only, log, &report);
}

static void leave(quplog *log)
{
    (void)quplog_close(log);
    quplog_free(log);
}

static int read_all(const struct io *io)
{
    quplog_reader *reader;
    quplog_record record;
    quplog_report report;
    int status = reader_open_with(io, MAKE_LOG, 0, &reader, &report);
    if (status)
        return status;
    while ((status = quplog_reader_skip(reader, 1)) == QUPLOG_OK)
        status = quplog_reader_next(reader, &record);
    quplog_reader_close(reader);
    return status;
}

static int scan_all(const struct io *io)
{
    quplog_scan *scan;
    quplog_damage damage;
    int status = scan_open_with(io, MAKE_LOG, true, &scan, NULL);
    if (status)
        return status;
    while ((status = quplog_scan_damage(scan, 7, &damage)) == QUPLOG_OK)
        fuzz_show("scanning", damage.kind, damage.file);
    quplog_scan_close(scan);
    return status;
}

enum who { OPENER, LOOKER, READER, SCANNER, PEOPLE };

static int meet(const struct io *io, enum who who, const struct table *should)
{
    quplog *log = NULL;
    if (who == READER)
        return read_all(io);
    if (who == SCANNER)
        return scan_all(io);
    int status = open_as(io, who == LOOKER, &log);
    if (status)
        return status;
    MUST(should && log->core->table.jobs.count == should->jobs.count);
    leave(log);
    return status;
}

/* Of a failure, or of the log. */
static bool meant(int status)
{
    bool of_log = status == QUPLOG_OK || status == QUPLOG_EMPTY || status == QUPLOG_CORRUPT ||
                  status == QUPLOG_UNSUPPORTED || status == QUPLOG_NOT_A_LOG;
    return of_log || status == QUPLOG_FAILED || status == QUPLOG_FULL || status == fault.status;
}

/* As it would have been. */
static void check_afterwards(struct disk *disk, int should_status, const struct table *should)
{
    quplog *log = NULL;
    int status = open_as(disk_io(disk), false, &log);
    MUST(status == should_status);
    if (status)
        return;
    must_agree(&log->core->table);
    uint64_t id = 0;
    const struct job *job;
    MUST(log->core->table.jobs.count == should->jobs.count);
    while ((job = jobs_next(&should->jobs, id, false, &id))) {
        const struct job *is = jobs_get(&log->core->table.jobs, id);
        MUST(is && is->put_lsn == job->put_lsn && is->state == job->state);
    }
    leave(log);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const int statuses[] = {-EIO, -ENOSPC, -EMFILE, -EACCES};
    struct span input = {data, size};
    enum who who = (enum who)input_below(&input, PEOPLE);
    fault.happened = true; /* until it is to strike */
    fault.kind = (enum kind)input_below(&input, KINDS);
    fault.after = input_byte(&input);
    fault.status = statuses[input_below(&input, 4)];
    struct disk *disk = disk_new();
    (void)make_log(disk, &input);
    struct disk *well = disk_copy(disk);
    quplog *log = NULL;
    int should = open_as(disk_io(well), false, &log);
    const struct table *table = log ? &log->core->table : NULL;
    fault.happened = false;
    int status = meet(failing(disk), who, table);
    fuzz_show(fault.happened ? "failing" : "succeeding", status, "");
    MUST(meant(status));
    struct disk *after = disk_copy(disk);
    fault.happened = true;
    check_afterwards(after, should, table);
    if (log)
        leave(log);
    disk_free(well);
    disk_free(after);
    disk_free(disk);
    return 0;
}
