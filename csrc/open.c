/* open.c: opening and closing a log: the directory, the lock, recovery, and who shares.
 *
 * One open log (struct core) per directory (device and inode) and process: opening it again shares
 * it. Each opening (struct quplog) has its own roster, and stops and closes by itself.
 *
 * Of the processes that have a log open, each holds the byte OPEN shared. Who gets it exclusively
 * knows that nobody else is there, and recovers: the control page is made anew, every frame is
 * applied to the table on the way, and an OPEN op says how the log had been left and gives back
 * what had been running. Then the page is ready, the lock becomes a shared one, and others join:
 * they believe the page, and read the log when they first need a table.
 *
 * A forked child owns nothing: it closes what it has copies of, so that no lock outlives its owner,
 * and the log can be opened anew.
 */
#include <errno.h>
#include <stdio.h>

#include "crc32c.h"
#include "flush.h"
#include "follow.h"
#include "open.h"
#include "recover.h"
#include "roster.h"
#include "turn.h"

enum { DEFAULT_FLUSH_US = 100000, SLICE_FIRST_US = 1000, SLICE_LAST_US = 50000, READS_MOST = 10 };

/* ---- the directory ---- */

/* Its descriptor, or -errno. */
static int open_directory(const struct io *io, const char *path, bool create)
{
    int fd = io->open(io->world, IO_CWD, path, IO_DIRECTORY);
    if (fd != -ENOENT || !create)
        return fd;
    int status = io->mkdir(io->world, IO_CWD, path); /* recover() makes its name durable */
    if (status && status != -EEXIST)
        return status;
    return io->open(io->world, IO_CWD, path, IO_DIRECTORY);
}

struct contents {
    bool ours;    /* a segment */
    bool foreign; /* something that quplog does not make */
};

static int look_at_entry(void *context, const char *name)
{
    static const char *const own[] = {"lock", "poison", "control", "quarantine", SEGMENT_SPARE};
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

/* Who recovers the log, for people: the lock itself is the kernel's. */
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
    bool named = n > 0 && text[0]; /* who recovered it last: it may be somebody else who holds it */
    snprintf(report->message, sizeof report->message,
             "%.150s%s is opening it, or has to close it because a sync failed: let it do so, or "
             "end it.",
             named ? text : "Another process", named ? " (or another process)" : "");
}

enum standing { ALONE, JOINED };

/* With OPEN held, so that a page that is made and filled here is not in use by anybody. */
static int map_page(struct core *q)
{
    return q->control.page ? 0 : control_open(&q->control, q->io, q->dir);
}

/* Be alone, or join those who are there. -EAGAIN: neither, for now: somebody recovers, or the log
 * is poisoned and not everybody has let go. */
static int try_to_stand(struct core *q, enum standing *standing)
{
    int status = lock_try(&q->lock, LOCK_OPEN, IO_EXCLUSIVE_LOCK);
    *standing = ALONE;
    if (status == 0)
        return map_page(q);
    if (status != -EAGAIN)
        return status;
    status = lock_try(&q->lock, LOCK_OPEN, IO_SHARED);
    *standing = JOINED;
    if (status == 0)
        status = map_page(q);
    if (status || control_join(&q->control))
        return status;
    (void)lock_release(&q->lock, LOCK_OPEN);
    return -EAGAIN;
}

static int stand(struct core *q, enum standing *standing, quplog_report *report)
{
    int64_t begin_us = core_monotonic(q), slice_us = SLICE_FIRST_US;
    int status = try_to_stand(q, standing);
    while (status == -EAGAIN && core_monotonic(q) - begin_us < q->lock_timeout_us) {
        status = lock_pause(q->io, slice_us);
        if (status == 0)
            status = try_to_stand(q, standing);
        slice_us = slice_us * 2 < SLICE_LAST_US ? slice_us * 2 : SLICE_LAST_US;
    }
    if (status == -EAGAIN) {
        name_owner(q, report);
        return QUPLOG_LOCKED;
    }
    if (status == 0 && *standing == ALONE)
        write_owner(q);
    return status == -EINTR ? QUPLOG_INTERRUPTED : status;
}

/* ---- recovery ---- */

/* The last OPEN may have been trimmed; then the newest segment says of which boot it is. */
static bool same_boot(const struct core *q, const struct recovery *recovery)
{
    const unsigned char *now = q->log.boot_id;
    return memcmp(q->table.boot_id, now, sizeof q->table.boot_id) == 0 ||
           (!q->table.opened && memcmp(recovery->boot_id, now, sizeof recovery->boot_id) == 0);
}

static enum quplog_ending judge_ending(const struct core *q, const struct recovery *recovery)
{
    if (q->table.epoch == 0) /* its maker may have been killed before it had said so */
        return QUPLOG_NEW;
    if (recovery->closing && !recovery->torn)
        return QUPLOG_CLEAN;
    return same_boot(q, recovery) ? QUPLOG_KILL : QUPLOG_REBOOT;
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
        control_write_number(&q->control.page->segment_size, q->table.settings.segment_size);
    return status;
}

static bool differs_from_page(struct core *q, const quplog_options *options)
{
    return (options->segment_size &&
            options->segment_size != control_older(&q->control.page->segment_size)) ||
           options->keep_succeeded_us >= 0 || options->keep_failed_us >= 0;
}

/* The same by somebody who shares the log with others; without a table, if none is needed. */
static int store_settings(struct core *q, const quplog_options *options)
{
    if (!differs_from_page(q, options))
        return QUPLOG_OK;
    int status = commit_begin(q, COMMIT_DECIDE);
    if (status)
        return status;
    status = apply_settings(q, options);
    commit_end(q);
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

/* By the one who recovered: say so in the log, durably, before anything is given out. Else a power
 * cut could take the OPEN with all that came after it: the log would look as if it had been left
 * before, cleanly perhaps, and the ids of the jobs that were lost would be given again. */
static int begin_epoch(struct core *q, const quplog_options *options, enum quplog_ending ending,
                       bool lost)
{
    int status = commit_begin(q, COMMIT_DECIDE);
    if (status)
        return status;
    status = append_open(q, ending, lost);
    control_write_number(&q->control.page->next_id, q->table.next_id);
    if (status == QUPLOG_OK)
        status = apply_settings(q, options);
    commit_end(q);
    return status ? status : commit_sync_all(q);
}

/* What the log says, for those who steer by the page alone. */
static void fill_page(struct core *q, const quplog_options *options)
{
    struct control_page *page = q->control.page;
    uint64_t segment_size = options->segment_size;
    if (segment_size == 0)
        segment_size = q->table.settings.segment_size;
    control_write_number(&page->next_id, q->table.next_id);
    control_write_number(&page->segment_size, segment_size);
    control_write_number(&page->next_due, 1); /* the first helper finds out */
    atomic_store(&q->applied, control_older(&page->tail));
    q->loaded = true;
    q->table.live = true;
}

/* A spare that a power cut may have emptied is made anew. A disk without room for one has none. */
static int have_spare(struct core *q, enum quplog_ending ending)
{
    int status = ending == QUPLOG_REBOOT ? segment_drop_spare(q->io, q->dir) : QUPLOG_OK;
    if (status == QUPLOG_OK)
        status = log_make_spare(&q->log);
    return status == QUPLOG_FULL ? QUPLOG_OK : status;
}

static int recover_core(struct core *q, const quplog_options *options, quplog_report *report)
{
    bool poisoned = false;
    int status = q->read_only ? QUPLOG_OK : sync_open(&q->sync, q->dir, &poisoned);
    if (status == QUPLOG_OK)
        status = control_reset(&q->control);
    if (status)
        return status;
    struct recovery recovery = {.segment_size = options->segment_size ? options->segment_size
                                                                      : TABLE_SEGMENT_SIZE,
                                .until_lsn = options->until_lsn,
                                .until_us = options->until_us,
                                .read_only = q->read_only,
                                .poisoned = poisoned,
                                .visit = follow_apply,
                                .context = q};
    status = recover(&q->log, &recovery, report);
    if (status)
        return status;
    enum quplog_ending ending = judge_ending(q, &recovery);
    report->ending = ending;
    fill_page(q, options);
    if (q->read_only)
        return QUPLOG_OK;
    status = poisoned ? sync_heal(&q->sync) : QUPLOG_OK;
    if (status == QUPLOG_OK)
        status = have_spare(q, ending);
    if (status == QUPLOG_OK)
        status = begin_epoch(q, options, ending,
                             ending == QUPLOG_REBOOT || recovery.torn || poisoned);
    if (status)
        return status;
    control_make_ready(&q->control);
    return lock_try(&q->lock, LOCK_OPEN, IO_SHARED); /* from now on others may join */
}

static int join_core(struct core *q, const quplog_options *options, quplog_report *report)
{
    bool poisoned = false;
    report->ending = QUPLOG_SHARED;
    int status = sync_open(&q->sync, q->dir, &poisoned);
    if (status == QUPLOG_OK)
        status = log_join(&q->log);
    if (status == -ENOENT) /* the head was followed by another, and trimmed: find it at the turn */
        status = QUPLOG_OK;
    if (status == QUPLOG_OK)
        status = store_settings(q, options);
    if (status == QUPLOG_OK)
        q->start_flusher(q); /* also for who writes nothing: see flush.h */
    return status;
}

/* ---- the open log ---- */

static struct core *new_core(const struct io *io, int dir, const quplog_options *options)
{
    struct core *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->io = io;
    q->mark = io->process_mark(io->world);
    q->dir = dir;
    q->users = q->references = 1;
    q->read_only = options->read_only;
    q->lock.fd = q->probe.fd = q->slot.lock.fd = -1;
    q->lock_timeout_us = options->lock_timeout_us;
    q->flush_interval_us =
        options->flush_interval_us ? options->flush_interval_us : DEFAULT_FLUSH_US;
    q->flush_bit = 1U << (io->process_id(io->world) & 31);
    q->start_flusher = flush_start;
    table_init(&q->table);
    io->mutex_init(io->world, &q->view);
    io->mutex_init(io->world, &q->keeping);
    io->mutex_init(io->world, &q->compacting);
    log_init(&q->log, io, &q->control, dir);
    sync_init(&q->sync, io, &q->control, &q->lock);
    q->sync.log = &q->log;
    q->sync.flush = log_flush;
    return q;
}

static void free_core(struct core *q)
{
    const struct io *io = q->io;
    flush_join(q);
    log_free(&q->log);
    table_free(&q->table);
    names_free(&q->offered);
    segment_cursor_close(&q->cursor);
    control_close(&q->control);
    io->mutex_destroy(io->world, &q->sync.mutex);
    io->mutex_destroy(io->world, &q->view);
    io->mutex_destroy(io->world, &q->keeping);
    io->mutex_destroy(io->world, &q->compacting);
    free(q);
}

static void close_files(struct core *q)
{
    log_close(&q->log);
    sync_close(&q->sync);
    lock_file_close(&q->slot.lock);
    lock_file_close(&q->probe);
    lock_file_close(&q->lock);
    io_close(q->io, &q->dir);
}

/* Read without a lock. What was listed may be trimmed before it is read: then once more. */
static int open_reader(struct core *q, const quplog_options *options, quplog_report *report)
{
    int status = control_open_private(&q->control, q->io);
    if (status)
        return status == -ENOMEM ? QUPLOG_NO_MEMORY : status;
    status = recover_core(q, options, report);
    for (int i = 1; i < READS_MOST && (status == QUPLOG_NOT_FOUND || status == -ENOENT); i++) {
        table_reset(&q->table);
        status = recover_core(q, options, report);
    }
    return status == QUPLOG_NOT_FOUND ? QUPLOG_CORRUPT : status;
}

static int open_core(struct core *q, const quplog_options *options, quplog_report *report)
{
    enum standing standing;
    int status = check_contents(q, report);
    if (status)
        return status;
    if (q->read_only)
        return open_reader(q, options, report);
    status = lock_file_open(&q->lock, q->io, q->dir);
    if (status == 0)
        status = lock_file_open(&q->probe, q->io, q->dir);
    if (status == 0)
        status = stand(q, &standing, report);
    if (status)
        return io_disk_full(status) ? QUPLOG_FULL : status;
    return standing == ALONE ? recover_core(q, options, report) : join_core(q, options, report);
}

/* A log that failed is no log to share: who opens it again recovers it. */
static struct core *find_open(const struct io *io, const struct io_stat *stat)
{
    io->mutex_lock(io->world, &io->registry->mutex);
    struct core *q = io->registry->first;
    while (q && (q->device != stat->device || q->inode != stat->inode ||
                 control_poisoned(&q->control)))
        q = q->next;
    io->mutex_unlock(io->world, &io->registry->mutex);
    return q;
}

static void link_core(struct core *q)
{
    const struct io *io = q->io;
    io->mutex_lock(io->world, &io->registry->mutex);
    q->next = io->registry->first;
    io->registry->first = q;
    io->mutex_unlock(io->world, &io->registry->mutex);
}

static void unlink_core(struct core *q)
{
    const struct io *io = q->io;
    io->mutex_lock(io->world, &io->registry->mutex);
    struct core **link = (struct core **)&io->registry->first;
    while (*link && *link != q)
        link = &(*link)->next;
    if (*link)
        *link = q->next;
    io->mutex_unlock(io->world, &io->registry->mutex);
}

/* The log is open in this process already: count up, and store what options are new. */
static int share(struct core *q, const quplog_options *options)
{
    int status = store_settings(q, options);
    if (status == QUPLOG_OK) {
        q->users++;
        q->references++;
    }
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
    q->device = stat->device;
    q->inode = stat->inode;
    if (!q->read_only)
        link_core(q); /* before anything is opened: a child that is forked meanwhile closes it */
    int status = open_core(q, options, report);
    if (status) {
        unlink_core(q);
        atomic_store(&q->control.closed, 1);
        if (q->control.page)
            control_wake_all(&q->control); /* a flusher may have begun */
        flush_join(q);
        close_files(q);
        free_core(q);
        return status;
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
    io->mutex_lock(io->world, &io->registry->opening);
    *out = options->read_only ? NULL : find_open(io, &stat);
    if (*out) {
        io->close(io->world, dir);
        status = share(*out, options);
    } else {
        status = open_new(io, dir, &stat, options, out, report);
    }
    io->mutex_unlock(io->world, &io->registry->opening);
    return status;
}

/* ---- fork ---- */

static void before_fork(void)
{
    const struct io *io = io_system();
    io->mutex_lock(io->world, &io->registry->mutex);
}

static void after_fork(void)
{
    const struct io *io = io_system();
    io->mutex_unlock(io->world, &io->registry->mutex);
}

/* The threads that were at work in these logs are not here: nothing is unlocked, written or freed,
 * only closed, so that the parent's locks end with the parent. */
static void in_forked_child(void)
{
    const struct io *io = io_system();
    struct io_registry *registry = io->registry;
    for (struct core *q = registry->first; q; q = q->next) {
        files_abandon(&q->log.files);
        const int fds[] = {q->log.head.fd, q->sync.marker,  q->lock.fd,
                           q->probe.fd,    q->slot.lock.fd, q->dir};
        for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
            if (fds[i] >= 0)
                io->close(io->world, fds[i]);
        if (q->control.mapped && q->control.page)
            io->unmap(io->world, q->control.page, CONTROL_PAGE);
    }
    registry->first = NULL;
    io->mutex_init(io->world, &registry->mutex);
    io->mutex_init(io->world, &registry->opening);
}

static int watch_forks(const struct io *io)
{
    int status = 0;
    io->mutex_lock(io->world, &io->registry->opening);
    if (!io->registry->watches_forks)
        status = io->at_fork(io->world, before_fork, after_fork, in_forked_child);
    io->registry->watches_forks = status == 0;
    io->mutex_unlock(io->world, &io->registry->opening);
    return status;
}

/* ---- opening ---- */

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
        status = io_disk_full(dir) ? QUPLOG_FULL : dir;
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
    int status = watch_forks(io_system());
    return status ? status : open_with(io_system(), path, options, out, report);
}

/* ---- closing ---- */

/* Who has written nothing does not wait for somebody else's sync, which may stand still. */
static int sync_for_close(struct core *q)
{
    return atomic_load(&q->has_written) ? commit_sync_all(q) : sync_try(&q->sync);
}

/* What nothing else can end: a signal does not either. */
static int take_last_turn(struct core *q)
{
    int status;
    do
        status = turn_take_last(q);
    while (status == QUPLOG_INTERRUPTED);
    return status;
}

/* A witness that the end is no accident; only the last process of all can say so. Whoever fails to
 * be alone now, and comes to share the lock when this one has let go of it, must not go on with
 * this epoch: if a power cut took just what he appends, the log would look as if nobody had come.
 */
static int say_goodbye(struct core *q)
{
    if (lock_try(&q->lock, LOCK_OPEN, IO_EXCLUSIVE_LOCK) != 0)
        return QUPLOG_OK;
    control_end_epoch(&q->control);
    int status = commit_sync_all(q);
    if (status == QUPLOG_OK)
        status = take_last_turn(q);
    if (status)
        return status;
    status = commit_witness(q, true);
    turn_give(q);
    return status ? status : commit_sync_all(q);
}

/* Whoever is appending ends first; a signal does not end this wait. */
static void let_appenders_end(struct core *q)
{
    while (gate_take(&q->append, q->io, -1) != 0)
        continue;
    atomic_store(&q->control.closed, 1);
    gate_give(&q->append, q->io);
}

static int close_core(struct core *q)
{
    const struct io *io = q->io;
    int status = q->read_only ? QUPLOG_OK : sync_for_close(q);
    if (status == QUPLOG_OK && control_poisoned(&q->control))
        status = QUPLOG_FAILED;
    let_appenders_end(q);
    control_wake_all(&q->control);
    flush_join(q);
    if (status == QUPLOG_OK && !q->read_only)
        status = say_goodbye(q);
    struct io_mutex *busy[] = {&q->compacting, &q->keeping, &q->sync.mutex};
    for (size_t i = 0; i < 3; i++)
        io->mutex_lock(io->world, busy[i]); /* whoever uses a lock or a file ends first */
    close_files(q);
    for (size_t i = 3; i > 0; i--)
        io->mutex_unlock(io->world, busy[i - 1]);
    return status;
}

int quplog_close(quplog *log)
{
    struct core *q = log->core;
    const struct io *io = q->io;
    if (core_is_copy(q) || atomic_exchange(&log->closed, 1))
        return QUPLOG_OK;
    control_wake_all(&q->control); /* whoever waits by this opening */
    io->mutex_lock(io->world, &io->registry->opening);
    int status = QUPLOG_OK;
    if (--q->users == 0) {
        status = close_core(q);
        unlink_core(q);
    }
    io->mutex_unlock(io->world, &io->registry->opening);
    return status;
}

void quplog_free(quplog *log)
{
    struct core *q = log->core;
    const struct io *io = q->io;
    if (core_is_copy(q))
        return; /* its mutexes may be in the hands of threads that the fork left behind */
    io->mutex_lock(io->world, &io->registry->opening);
    bool last = --q->references == 0;
    io->mutex_unlock(io->world, &io->registry->opening);
    if (last)
        free_core(q);
    roster_free(&log->roster);
    free(log);
}
