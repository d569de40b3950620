/* open.c: opening and closing a log: the directory, the lock, recovery, and who shares.
 *
 * One open log (struct core) per directory (device and inode) and process: opening it again shares
 * it. Each opening (struct quplog) has its own roster, and stops and closes by itself. The first
 * one takes the lock `open` exclusively, lets log_open() recover, applying every frame to the table
 * on the way, and then appends an OPEN op: it says how the log had been left, and applying it gives
 * back every claim of the process that had it before.
 */
#include <errno.h>
#include <stdio.h>

#include "crc32c.h"
#include "keep.h"
#include "open.h"
#include "roster.h"

enum { DEFAULT_FLUSH_US = 100000 };

static const int64_t DEFAULT_KEEP_SUCCEEDED_US = INT64_C(3600) * 1000000;
static const int64_t DEFAULT_KEEP_FAILED_US = INT64_C(7) * 86400 * 1000000;

/* ---- the directory ---- */

static int sync_parent(const struct io *io, const char *path)
{
    const char *slash = strrchr(path, '/');
    char parent[4096] = ".";
    if (slash == path)
        snprintf(parent, sizeof parent, "/");
    else if (slash)
        snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
    int fd = io->open(io->world, IO_CWD, parent, IO_DIRECTORY);
    if (fd < 0)
        return fd;
    int status = io->fsync(io->world, fd);
    io->close(io->world, fd);
    return status;
}

/* Its descriptor, or -errno. */
static int open_directory(const struct io *io, const char *path, bool create)
{
    int fd = io->open(io->world, IO_CWD, path, IO_DIRECTORY);
    if (fd != -ENOENT || !create)
        return fd;
    int status = io->mkdir(io->world, IO_CWD, path);
    if (status && status != -EEXIST)
        return status;
    status = sync_parent(io, path);
    return status ? status : io->open(io->world, IO_CWD, path, IO_DIRECTORY);
}

struct contents {
    bool ours;    /* a segment */
    bool foreign; /* something that quplog does not make */
};

static int look_at_entry(void *context, const char *name)
{
    static const char *const own[] = {"lock", "poison", "control", "quarantine"};
    struct contents *contents = context;
    uint64_t base;
    if (segment_parse_name(name, &base)) {
        contents->ours = true;
        return 0;
    }
    bool known = segment_is_temporary(name);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        known = known || strcmp(name, own[i]) == 0;
    contents->foreign = contents->foreign || !known;
    return 0;
}

/* Nothing is created in a directory that holds something else. */
static int check_contents(struct core *q, quplog_report *report)
{
    struct contents contents = {0};
    int status = q->io->list(q->io->world, q->dir, look_at_entry, &contents);
    if (status)
        return status;
    if (q->io->is_network(q->io->world, q->dir)) {
        snprintf(report->message, sizeof report->message,
                 "It is on a network file system, whose locks and syncs can't be trusted: use a "
                 "local disk.");
        return -ENOTSUP;
    }
    if (contents.foreign && !contents.ours) {
        snprintf(report->message, sizeof report->message,
                 "The directory holds something else: name an empty or a new one.");
        return QUPLOG_NOT_A_LOG;
    }
    return QUPLOG_OK;
}

/* ---- the lock ---- */

enum { OWNER_TEXT = 300 };

/* Who holds the lock, for people: the lock itself is the kernel's. */
static void write_owner(struct core *q)
{
    char host[256], text[OWNER_TEXT] = {0};
    q->io->host_name(q->io->world, host, sizeof host);
    snprintf(text, sizeof text, "process %u on %s", q->io->process_id(q->io->world), host);
    struct iovec part = {text, sizeof text};
    (void)io_write_full(q->io, q->lock.fd, &part, 1, 0); /* nothing depends on it */
}

static void name_owner(struct core *q, quplog_report *report)
{
    char text[OWNER_TEXT + 1] = {0};
    ssize_t n = io_read_full(q->io, q->lock.fd, text, OWNER_TEXT, 0);
    for (ssize_t i = 0; i < n && text[i]; i++)
        if (text[i] < ' ' || text[i] > '~')
            text[i] = '?';
    snprintf(report->message, sizeof report->message,
             "%.250s has it open; in this version one process at a time can.",
             n > 0 && text[0] ? text : "Another process");
}

static int take_lock(struct core *q, const quplog_options *options, quplog_report *report)
{
    int status = lock_file_open(&q->lock, q->io, q->dir);
    if (status)
        return status == -ENOSPC ? QUPLOG_FULL : status;
    status = lock_take(&q->lock, LOCK_OPEN, IO_EXCLUSIVE_LOCK, options->lock_timeout_us);
    if (status == -EAGAIN) {
        name_owner(q, report);
        return QUPLOG_LOCKED;
    }
    if (status == 0)
        write_owner(q);
    return status == -EINTR ? QUPLOG_INTERRUPTED : status;
}

/* ---- recovery ---- */

static int apply_recovered(void *context, const struct frame *frame, uint64_t lsn)
{
    struct core *q = context;
    int status = table_reserve(&q->table, frame);
    if (status == QUPLOG_OK)
        table_apply(&q->table, frame, lsn, NULL, NULL);
    return status;
}

static enum quplog_ending judge_ending(const struct core *q, const struct log_opening *opening)
{
    if (q->table.epoch == 0) /* its maker may have been killed before it had said so */
        return QUPLOG_NEW;
    /* An OPEN that was trimmed says nothing; the segments that came after it were of its boot. */
    const unsigned char *boot_id = q->table.opened ? q->table.boot_id : opening->boot_id;
    if (memcmp(boot_id, q->log.boot_id, sizeof q->log.boot_id) != 0)
        return opening->closing && !opening->torn ? QUPLOG_CLEAN : QUPLOG_REBOOT;
    return opening->closing && !opening->torn ? QUPLOG_CLEAN : QUPLOG_KILL;
}

static void use_defaults(struct core *q)
{
    struct op_settings *s = &q->table.settings;
    if (!s->has_segment_size)
        s->segment_size = LOG_DEFAULT_SEGMENT;
    if (!s->has_keep_succeeded)
        s->keep_succeeded_us = DEFAULT_KEEP_SUCCEEDED_US;
    if (!s->has_keep_failed)
        s->keep_failed_us = DEFAULT_KEEP_FAILED_US;
    q->log.segment_size = s->segment_size;
}

/* Options that were given and differ from what is stored are stored. */
static int apply_settings(struct core *q, const quplog_options *options)
{
    const struct op_settings *stored = &q->table.settings;
    struct op_settings change = {.segment_size = options->segment_size,
                                 .keep_succeeded_us = options->keep_succeeded_us,
                                 .keep_failed_us = options->keep_failed_us};
    change.has_segment_size =
        options->segment_size && options->segment_size != stored->segment_size;
    change.has_keep_succeeded = options->keep_succeeded_us >= 0 &&
                                options->keep_succeeded_us != stored->keep_succeeded_us;
    change.has_keep_failed =
        options->keep_failed_us >= 0 && options->keep_failed_us != stored->keep_failed_us;
    if (!change.has_segment_size && !change.has_keep_succeeded && !change.has_keep_failed)
        return QUPLOG_OK;
    struct buffer ops = {0};
    int status = op_encode_settings(&ops, &change);
    if (status == QUPLOG_OK)
        status = commit_ops(q, 1, &ops, NULL);
    buffer_free(&ops);
    if (status == QUPLOG_OK)
        q->log.segment_size = q->table.settings.segment_size;
    return status;
}

/* `lost`: something that was appended, but not known to be durable, may be gone. */
static int append_open(struct core *q, enum quplog_ending ending, bool lost)
{
    struct buffer ops = {0};
    int status = op_encode_open(&ops, q->table.epoch + 1, q->log.boot_id, ending, lost);
    if (status == QUPLOG_OK)
        status = commit_ops(q, 1, &ops, NULL);
    buffer_free(&ops);
    return status;
}

static int check_options(const quplog_options *options)
{
    bool size_good = options->segment_size == 0 || (options->segment_size >= LOG_MIN_SEGMENT &&
                                                    options->segment_size <= UINT32_MAX);
    /* A log that stops in its past cannot be written to: the rest of it would be written over. */
    bool past_good = options->read_only || (options->until_lsn == 0 && options->until_us == 0);
    return size_good && past_good && options->flush_interval_us >= 0 &&
                   options->lock_timeout_us >= 0
               ? QUPLOG_OK
               : QUPLOG_INVALID;
}

static int recover(struct core *q, const quplog_options *options, bool poisoned,
                   quplog_report *report)
{
    struct log_opening opening = {.segment_size = options->segment_size ? options->segment_size
                                                                        : LOG_DEFAULT_SEGMENT,
                                  .until_lsn = options->until_lsn,
                                  .until_us = options->until_us,
                                  .read_only = options->read_only,
                                  .poisoned = poisoned,
                                  .visit = apply_recovered,
                                  .context = q};
    int status = log_open(&q->log, q->io, &q->control, q->dir, &opening, report);
    /* Beside a live owner segments may be removed before we come to them: what counted in them
     * stands further on, and without what stood before it: begin anew. */
    for (int i = 0; status == -ENOENT && options->read_only && i < CHAIN_TRIES; i++) {
        log_close(&q->log);
        log_free(&q->log);
        table_free(&q->table);
        table_init(&q->table);
        status = log_open(&q->log, q->io, &q->control, q->dir, &opening, report);
    }
    q->sync.log = &q->log;
    q->sync.flush = log_flush;
    if (status)
        return status;
    q->table.live = true;
    use_defaults(q);
    enum quplog_ending ending = judge_ending(q, &opening);
    report->ending = ending;
    if (options->read_only)
        return QUPLOG_OK;
    status = poisoned ? sync_heal(&q->sync) : QUPLOG_OK;
    if (status == QUPLOG_OK)
        status = append_open(q, ending, ending == QUPLOG_REBOOT || opening.torn || poisoned);
    return status ? status : apply_settings(q, options);
}

/* ---- the open log ---- */

static struct core *new_core(const struct io *io, int dir, const quplog_options *options)
{
    struct core *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->io = io;
    q->dir = dir;
    q->users = q->references = 1;
    q->read_only = options->read_only;
    q->lock.fd = -1;
    q->sync.marker = -1;
    q->flush_interval_us =
        options->flush_interval_us ? options->flush_interval_us : DEFAULT_FLUSH_US;
    atomic_store(&q->helper_until, INT64_MAX);
    table_init(&q->table);
    io->mutex_init(io->world, &q->append);
    io->mutex_init(io->world, &q->view);
    io->mutex_init(io->world, &q->compacting);
    return q;
}

static void free_core(struct core *q)
{
    if (q->log.io)
        log_free(&q->log);
    table_free(&q->table);
    if (q->sync.io)
        q->io->mutex_destroy(q->io->world, &q->sync.mutex);
    q->io->mutex_destroy(q->io->world, &q->append);
    q->io->mutex_destroy(q->io->world, &q->view);
    q->io->mutex_destroy(q->io->world, &q->compacting);
    free(q);
}

static void close_files(struct core *q)
{
    if (q->log.io)
        log_close(&q->log);
    sync_close(&q->sync);
    lock_file_close(&q->lock);
    q->io->close(q->io->world, q->dir);
}

static int open_core(struct core *q, const quplog_options *options, quplog_report *report)
{
    bool poisoned = false;
    int status = check_contents(q, report);
    if (status == QUPLOG_OK && !q->read_only) {
        status = take_lock(q, options, report);
        if (status == QUPLOG_OK)
            status = sync_open(&q->sync, q->io, &q->control, q->dir, &poisoned);
    }
    if (status == QUPLOG_OK)
        status = recover(q, options, poisoned, report);
    if (status == QUPLOG_OK && !q->read_only)
        status = keep_start_flusher(q);
    return status;
}

static struct core *find_open(const struct io *io, const struct io_stat *stat)
{
    struct core *q = io->registry->first;
    while (q && !(q->device == stat->device && q->inode == stat->inode))
        q = q->next;
    return q;
}

/* The log is open in this process already: count up, and store what options are new. */
static int share(struct core *q, const quplog_options *options)
{
    int status = commit_begin(q);
    if (status)
        return status;
    status = apply_settings(q, options);
    if (status == QUPLOG_OK) {
        q->users++;
        q->references++;
    }
    commit_end(q);
    return status;
}

static int open_new(const struct io *io, int dir, const struct io_stat *stat,
                    const quplog_options *options, struct core **out, quplog_report *report)
{
    struct core *q = new_core(io, dir, options);
    if (!q) {
        io->close(io->world, dir);
        return QUPLOG_NO_MEMORY;
    }
    int status = open_core(q, options, report);
    if (status) {
        close_files(q);
        free_core(q);
        return status;
    }
    q->device = stat->device;
    q->inode = stat->inode;
    if (!q->read_only) {
        q->next = io->registry->first;
        io->registry->first = q;
    }
    *out = q;
    return QUPLOG_OK;
}

/* The open log of the directory: this process's own, or a new one. `dir` is used up. */
static int find_or_open(const struct io *io, int dir, const quplog_options *options,
                        struct core **out, quplog_report *report)
{
    struct io_stat stat;
    int status = io->stat(io->world, dir, &stat);
    if (status) {
        io->close(io->world, dir);
        return status;
    }
    io->mutex_lock(io->world, &io->registry->mutex);
    *out = options->read_only ? NULL : find_open(io, &stat);
    if (*out) {
        io->close(io->world, dir);
        status = share(*out, options);
    } else {
        status = open_new(io, dir, &stat, options, out, report);
    }
    io->mutex_unlock(io->world, &io->registry->mutex);
    return status;
}

int open_with(const struct io *io, const char *path, const quplog_options *options, quplog **out,
              quplog_report *report)
{
    int status = check_options(options);
    if (status)
        return status;
    quplog *log = calloc(1, sizeof *log);
    if (!log)
        return QUPLOG_NO_MEMORY;
    int dir = open_directory(io, path, !options->read_only);
    if (dir < 0)
        status = dir == -ENOSPC ? QUPLOG_FULL : dir;
    else
        status = find_or_open(io, dir, options, &log->core, report);
    if (status == QUPLOG_OK)
        *out = log;
    else
        free(log);
    return status;
}

int quplog_open(const char *path, const quplog_options *options, quplog **out,
                quplog_report *report)
{
    quplog_report unused;
    if (!report)
        report = &unused;
    memset(report, 0, sizeof *report);
    if (!crc32c_self_test())
        return QUPLOG_INVALID;
    return open_with(io_system(), path, options, out, report);
}

/* ---- closing ---- */

static void unlink_core(struct core *q)
{
    struct core **link = (struct core **)&q->io->registry->first;
    while (*link && *link != q)
        link = &(*link)->next;
    if (*link)
        *link = q->next;
}

/* Make everything durable; a signal does not end it. */
static int sync_all(struct core *q)
{
    int status;
    do
        status = commit_sync(q, atomic_load(&q->control.tail));
    while (status == QUPLOG_INTERRUPTED);
    return status;
}

/* Everything durable, then a witness that says so and that the end is no accident. Nobody appends
 * any more: what was accepted before is in it, and nothing comes behind the witness. */
static int say_goodbye(struct core *q)
{
    int status = sync_all(q);
    if (status == QUPLOG_OK && control_poisoned(&q->control))
        status = QUPLOG_FAILED;
    if (status == QUPLOG_OK) {
        q->io->mutex_lock(q->io->world, &q->append);
        status = commit_witness(q, true);
        q->io->mutex_unlock(q->io->world, &q->append);
    }
    return status ? status : sync_all(q);
}

static int close_core(struct core *q)
{
    const struct io *io = q->io;
    io->mutex_lock(io->world, &q->append); /* whoever is appending ends first */
    atomic_store(&q->control.closed, 1);
    io->mutex_unlock(io->world, &q->append);
    int status = q->read_only ? QUPLOG_OK : say_goodbye(q);
    control_wake_all(io, &q->control);
    keep_stop_flusher(q);
    if (q->sync.io)
        io->mutex_lock(io->world, &q->sync.mutex); /* whoever is syncing ends first */
    close_files(q);
    if (q->sync.io)
        io->mutex_unlock(io->world, &q->sync.mutex);
    return status;
}

int quplog_close(quplog *log)
{
    struct core *q = log->core;
    const struct io *io = q->io;
    if (atomic_load(&q->abandoned) || atomic_exchange(&log->closed, 1))
        return QUPLOG_OK;
    control_wake_all(io, &q->control); /* whoever waits by this opening */
    io->mutex_lock(io->world, &io->registry->mutex);
    int status = QUPLOG_OK;
    if (--q->users == 0) {
        unlink_core(q);
        status = close_core(q);
    }
    io->mutex_unlock(io->world, &io->registry->mutex);
    return status;
}

void quplog_free(quplog *log)
{
    struct core *q = log->core;
    const struct io *io = q->io;
    if (atomic_load(&q->abandoned))
        return; /* its mutexes may be in the hands of threads that the fork left behind */
    io->mutex_lock(io->world, &io->registry->mutex);
    bool last = --q->references == 0;
    io->mutex_unlock(io->world, &io->registry->mutex);
    if (last)
        free_core(q);
    roster_free(&log->roster);
    free(log);
}

void quplog_abandon(quplog *log)
{
    struct core *q = log->core;
    if (atomic_exchange(&q->abandoned, 1) || atomic_load(&q->control.closed))
        return;
    const struct io *io = q->io;
    atomic_store(&q->control.closed, 1);
    for (size_t i = 0; i < q->log.count; i++)
        if (q->log.segments[i].fd >= 0)
            io->close(io->world, q->log.segments[i].fd);
    if (q->sync.marker >= 0)
        io->close(io->world, q->sync.marker);
    lock_file_close(&q->lock);
    io->close(io->world, q->dir);
    unlink_core(q);
}
