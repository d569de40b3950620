/* inject.c: see inject.h. */
#include "inject.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"

enum { HELD_MOST = 64, CALLS_MOST = 400000 };

struct process {
    struct io table;
    struct inject *inject;
    const struct io *inner;
    struct process *next;
    bool dead, dying;
    int files[HELD_MOST];
    size_t file_count;
    struct {
        void *memory;
        size_t size;
    } maps[HELD_MOST];
    size_t map_count;
    unsigned waits; /* until a signal comes; 0: none does */
    void (*before_sync)(void *context);
    void *context;
};

struct inject {
    struct process *processes;
    struct inject_plan plan;
    bool armed;
    uint64_t counts[INJECT_KINDS];
    uint64_t fired, calls;
    unsigned depth; /* of calls of the core */
};

/* Whose core runs now; NULL: nobody's. Allocations know no world. */
static struct inject *current;
/* Whose calls of the system are interrupted. */
static struct inject *interrupted;

static int errno_of(enum inject_error error)
{
    static const int numbers[INJECT_ERRORS] = {
        [INJECT_EIO] = EIO,       [INJECT_ENOSPC] = ENOSPC,   [INJECT_ENOMEM] = ENOMEM,
        [INJECT_EMFILE] = EMFILE, [INJECT_EINTR] = EINTR,     [INJECT_SHORT] = 0,
        [INJECT_HALF_EIO] = EIO,  [INJECT_HALF_ENOSPC] = ENOSPC};
    return numbers[error];
}

bool inject_fits(enum inject_kind kind, enum inject_error error)
{
    enum { E = 1 << INJECT_EIO, S = 1 << INJECT_ENOSPC, M = 1 << INJECT_ENOMEM };
    enum { F = 1 << INJECT_EMFILE, I = 1 << INJECT_EINTR, P = 1 << INJECT_SHORT };
    enum { H = 1 << INJECT_HALF_EIO | 1 << INJECT_HALF_ENOSPC };
    /* The world repeats what a signal interrupts, but for a wait and a sync (io.h, io.c). */
    static const unsigned fitting[INJECT_KINDS] = {[INJECT_OPEN] = E | S | M | F,
                                                   [INJECT_CLOSE] = E,
                                                   [INJECT_READ] = E | M | P,
                                                   [INJECT_WRITE] = E | S | M | P | H,
                                                   [INJECT_DATA_SYNC] = E | S | M | I,
                                                   [INJECT_NAME_SYNC] = E | S | M | I,
                                                   [INJECT_STAT] = E | M,
                                                   [INJECT_RENAME] = E | S | M,
                                                   [INJECT_UNLINK] = E | S | M,
                                                   [INJECT_MKDIR] = E | S | M,
                                                   [INJECT_LIST] = E | M | F,
                                                   [INJECT_LOCK] = E | M,
                                                   [INJECT_MAP] = M | F,
                                                   [INJECT_WAIT] = I,
                                                   [INJECT_RANDOM] = E,
                                                   [INJECT_MEMORY] = M};
    return fitting[kind] >> error & 1;
}

const char *inject_kind_name(enum inject_kind kind)
{
    static const char *const names[INJECT_KINDS] = {
        "open",   "close", "read", "write", "fdatasync", "fsync", "stat",   "rename",
        "unlink", "mkdir", "list", "lock",  "map",       "wait",  "random", "memory"};
    return names[kind];
}

const char *inject_error_name(enum inject_error error)
{
    static const char *const names[INJECT_ERRORS] = {"EIO",   "ENOSPC", "ENOMEM",   "EMFILE",
                                                     "EINTR", "short",  "half-EIO", "half-ENOSPC",
                                                     "lie"};
    return names[error];
}

/* ---- counting ---- */

/* Whether this call is one that fails. */
static bool fails(struct inject *inject, enum inject_kind kind)
{
    const struct inject_plan *plan = &inject->plan;
    if (!inject->armed)
        return false;
    uint64_t n = ++inject->counts[kind];
    if (plan->n == 0 || plan->kind != kind || (plan->lasting ? n < plan->n : n != plan->n))
        return false;
    inject->fired++;
    return true;
}

bool inject_repeats(enum inject_kind kind)
{
    static const bool repeats[INJECT_KINDS] = {
        [INJECT_OPEN] = true,   [INJECT_CLOSE] = true,  [INJECT_READ] = true,
        [INJECT_WRITE] = true,  [INJECT_STAT] = true,   [INJECT_RENAME] = true,
        [INJECT_UNLINK] = true, [INJECT_MKDIR] = true,  [INJECT_LOCK] = true,
        [INJECT_RANDOM] = true};
    return repeats[kind];
}

bool inject_interrupts(enum inject_kind kind)
{
    enum { SIGNALS = 2 };
    struct inject *inject = interrupted;
    uint64_t before = inject ? inject->counts[kind] : 0;
    if (!inject || !fails(inject, kind))
        return false;
    return (before + 1 - inject->plan.n) % (SIGNALS + 1) != SIGNALS;
}

bool inject_memory_fails(void)
{
    return current && !current->plan.system && fails(current, INJECT_MEMORY);
}

void inject_enter(struct inject *inject)
{
    inject->depth++;
    current = inject;
}

void inject_leave(struct inject *inject)
{
    current = --inject->depth ? inject : NULL;
}

/* The core calls its world: what that allocates is not the core's. */
static struct process *come(void *w)
{
    struct process *process = w;
    current = NULL;
    if (++process->inject->calls > CALLS_MOST)
        inject_hung();
    return process;
}

static void go(struct process *process)
{
    current = process->inject->depth ? process->inject : NULL;
}

static ssize_t went(struct process *process, ssize_t status)
{
    go(process);
    return status;
}

/* -errno if the call is to fail, 0 if it is to be made. */
static int failure(struct process *process, enum inject_kind kind)
{
    if (process->dead)
        return -EIO;
    if (process->inject->plan.system)
        return 0;
    return fails(process->inject, kind) ? -errno_of(process->inject->plan.error) : 0;
}

/* ---- the dead ---- */

static struct process *find(const struct inject *inject, const struct io *process)
{
    struct process *p = inject->processes;
    while (&p->table != process)
        p = p->next;
    return p;
}

/* Its mappings stay until it is gone for good: it comes back from the call in which it died. */
static void die(struct process *p)
{
    while (p->file_count)
        p->inner->close(p->inner->world, p->files[--p->file_count]);
    p->dead = true;
}

void inject_kill(struct inject *inject, const struct io *process)
{
    struct process *p = find(inject, process);
    die(p);
    while (p->map_count) {
        p->map_count--;
        p->inner->unmap(p->inner->world, p->maps[p->map_count].memory,
                        p->maps[p->map_count].size);
    }
}

void inject_kill_in_write(struct inject *inject, const struct io *process)
{
    find(inject, process)->dying = true;
}

/* Whether this call is said to be done, and is not made. */
static bool lies(const struct process *process, uint64_t fired)
{
    const struct inject *inject = process->inject;
    return inject->fired != fired && inject->plan.error == INJECT_LIE;
}

/* ---- files ---- */

static int inject_open(void *w, int dir, const char *name, int flags)
{
    struct process *p = come(w);
    int status = failure(p, INJECT_OPEN);
    if (status == 0)
        status = p->inner->open(p->inner->world, dir, name, flags);
    if (status >= 0) {
        if (p->file_count == HELD_MOST)
            abort();
        p->files[p->file_count++] = status;
    }
    return (int)went(p, status);
}

static void forget_file(struct process *p, int fd)
{
    for (size_t i = 0; i < p->file_count; i++)
        if (p->files[i] == fd) {
            p->files[i] = p->files[--p->file_count];
            return;
        }
}

/* A close that fails has closed all the same. */
static int inject_close(void *w, int fd)
{
    struct process *p = come(w);
    int status = failure(p, INJECT_CLOSE);
    int closed = p->dead ? 0 : p->inner->close(p->inner->world, fd);
    forget_file(p, fd);
    return (int)went(p, status ? status : closed);
}

static size_t part_of(size_t length)
{
    return length > 1 ? length / 2 : length;
}

static ssize_t inject_pread(void *w, int fd, void *buffer, size_t length, uint64_t offset)
{
    struct process *p = come(w);
    uint64_t fired = p->inject->fired;
    int status = failure(p, INJECT_READ);
    if (status)
        return went(p, status);
    if (p->inject->fired != fired)
        length = part_of(length);
    return went(p, p->inner->pread(p->inner->world, fd, buffer, length, offset));
}

static size_t length_of(const struct iovec *parts, int count)
{
    size_t length = 0;
    for (int i = 0; i < count; i++)
        length += parts[i].iov_len;
    return length;
}

/* The first half of what was to be written. */
static ssize_t write_part(struct process *p, int fd, const struct iovec *parts, int count,
                          uint64_t offset)
{
    struct iovec some[64];
    size_t left = part_of(length_of(parts, count));
    int used = 0;
    for (; used < count && used < 64 && left > 0; used++) {
        some[used] = parts[used];
        if (some[used].iov_len > left)
            some[used].iov_len = left;
        left -= some[used].iov_len;
    }
    return p->inner->pwritev(p->inner->world, fd, some, used, offset);
}

static ssize_t inject_pwritev(void *w, int fd, const struct iovec *parts, int count,
                              uint64_t offset)
{
    struct process *p = come(w);
    if (p->dying) {
        (void)write_part(p, fd, parts, count, offset);
        die(p);
        return went(p, -EIO);
    }
    uint64_t fired = p->inject->fired;
    int status = failure(p, INJECT_WRITE);
    enum inject_error error = p->inject->plan.error;
    bool half = error == INJECT_SHORT || error == INJECT_HALF_EIO || error == INJECT_HALF_ENOSPC;
    if (lies(p, fired))
        return went(p, (ssize_t)length_of(parts, count));
    if (p->inject->fired != fired && half) {
        ssize_t written = write_part(p, fd, parts, count, offset);
        return went(p, status ? status : written);
    }
    if (status)
        return went(p, status);
    return went(p, p->inner->pwritev(p->inner->world, fd, parts, count, offset));
}

static int inject_fdatasync(void *w, int fd)
{
    struct process *p = come(w);
    void (*call)(void *context) = p->before_sync;
    p->before_sync = NULL;
    if (call) {
        go(p);
        call(p->context);
        (void)come(w);
    }
    uint64_t fired = p->inject->fired;
    int status = failure(p, INJECT_DATA_SYNC);
    if (lies(p, fired))
        return (int)went(p, 0);
    if (status && !p->dead)
        disk_fail_sync(p->inner, fd);
    return (int)went(p, status ? status : p->inner->fdatasync(p->inner->world, fd));
}

static int inject_fsync(void *w, int fd)
{
    struct process *p = come(w);
    uint64_t fired = p->inject->fired;
    int status = failure(p, INJECT_NAME_SYNC);
    if (lies(p, fired))
        return (int)went(p, 0);
    return (int)went(p, status ? status : p->inner->fsync(p->inner->world, fd));
}

static int inject_stat(void *w, int fd, struct io_stat *out)
{
    struct process *p = come(w);
    int status = failure(p, INJECT_STAT);
    return (int)went(p, status ? status : p->inner->stat(p->inner->world, fd, out));
}

/* ---- names ---- */

static int inject_rename(void *w, int dir, const char *from, int to_dir, const char *to)
{
    struct process *p = come(w);
    int status = failure(p, INJECT_RENAME);
    if (status == 0)
        status = p->inner->rename(p->inner->world, dir, from, to_dir, to);
    return (int)went(p, status);
}

static int inject_unlink(void *w, int dir, const char *name)
{
    struct process *p = come(w);
    int status = failure(p, INJECT_UNLINK);
    return (int)went(p, status ? status : p->inner->unlink(p->inner->world, dir, name));
}

static int inject_mkdir(void *w, int dir, const char *name)
{
    struct process *p = come(w);
    int status = failure(p, INJECT_MKDIR);
    return (int)went(p, status ? status : p->inner->mkdir(p->inner->world, dir, name));
}

/* What is called for each entry is the core's. */
struct listing {
    struct process *process;
    int (*each)(void *context, const char *name);
    void *context;
};

static int tell_entry(void *context, const char *name)
{
    struct listing *listing = context;
    go(listing->process);
    int status = listing->each(listing->context, name);
    (void)come(listing->process);
    return status;
}

static int inject_list(void *w, int dir, int (*each)(void *context, const char *name),
                       void *context)
{
    struct process *p = come(w);
    struct listing listing = {p, each, context};
    int status = failure(p, INJECT_LIST);
    if (status == 0)
        status = p->inner->list(p->inner->world, dir, tell_entry, &listing);
    return (int)went(p, status);
}

static bool inject_is_network(void *w, int dir)
{
    const struct process *p = w;
    return !p->dead && p->inner->is_network(p->inner->world, dir);
}

/* ---- locks, memory, waiting ---- */

static int inject_lock(void *w, int fd, uint64_t byte, int mode)
{
    struct process *p = come(w);
    int status = p->dead ? -EIO : mode == IO_UNLOCK ? 0 : failure(p, INJECT_LOCK);
    return (int)went(p, status ? status : p->inner->lock(p->inner->world, fd, byte, mode));
}

static int inject_map(void *w, int fd, size_t size, void **out)
{
    struct process *p = come(w);
    int status = failure(p, INJECT_MAP);
    if (status == 0)
        status = p->inner->map(p->inner->world, fd, size, out);
    if (status == 0) {
        if (p->map_count == HELD_MOST)
            abort();
        p->maps[p->map_count].memory = *out;
        p->maps[p->map_count++].size = size;
    }
    return (int)went(p, status);
}

static void inject_unmap(void *w, void *memory, size_t size)
{
    struct process *p = come(w);
    for (size_t i = 0; i < p->map_count; i++)
        if (p->maps[i].memory == memory) {
            p->maps[i] = p->maps[--p->map_count];
            break;
        }
    if (!p->dead)
        p->inner->unmap(p->inner->world, memory, size);
    go(p);
}

static int inject_futex_wait(void *w, uint32_t *word, uint32_t expected, int64_t deadline_us,
                             int flags, uint32_t bits)
{
    struct process *p = come(w);
    int status = p->dead ? -ETIMEDOUT : failure(p, INJECT_WAIT);
    if (status == 0 && p->waits && --p->waits == 0)
        status = -EINTR;
    if (status == 0)
        status =
            p->inner->futex_wait(p->inner->world, word, expected, deadline_us, flags, bits);
    return (int)went(p, status);
}

static int inject_futex_wake(void *w, uint32_t *word, int count, int flags, uint32_t bits)
{
    struct process *p = come(w);
    return (int)went(p, p->inner->futex_wake(p->inner->world, word, count, flags, bits));
}

/* ---- the rest never fails ---- */

static int64_t inject_now_us(void *w)
{
    struct process *p = come(w);
    return went(p, p->inner->now_us(p->inner->world));
}

static int64_t inject_monotonic_us(void *w)
{
    struct process *p = come(w);
    return went(p, p->inner->monotonic_us(p->inner->world));
}

static int inject_random(void *w, void *buffer, size_t length)
{
    struct process *p = come(w);
    int status = failure(p, INJECT_RANDOM);
    return (int)went(p, status ? status : p->inner->random(p->inner->world, buffer, length));
}

static void inject_boot_id(void *w, unsigned char out[16])
{
    const struct process *p = w;
    p->inner->boot_id(p->inner->world, out);
}

static uint32_t inject_process_id(void *w)
{
    const struct process *p = w;
    return p->inner->process_id(p->inner->world);
}

static uint32_t inject_process_mark(void *w)
{
    const struct process *p = w;
    return p->inner->process_mark(p->inner->world);
}

static void inject_host_name(void *w, char *out, size_t size)
{
    const struct process *p = w;
    p->inner->host_name(p->inner->world, out, size);
}

static void no_mutex(void *w, struct io_mutex *m)
{
    (void)w, (void)m;
}

static bool no_mutex_trylock(void *w, struct io_mutex *m)
{
    (void)w, (void)m;
    return true;
}

static int no_thread_start(void *w, struct io_thread *out, void (*run)(void *arg), void *arg)
{
    (void)w, (void)out, (void)run, (void)arg;
    return -EAGAIN;
}

static void no_thread_join(void *w, struct io_thread *thread)
{
    (void)w, (void)thread;
}

static int no_at_fork(void *w, void (*before)(void), void (*parent)(void), void (*child)(void))
{
    (void)w, (void)before, (void)parent, (void)child;
    return 0;
}

static const struct io TABLE = {
    .open = inject_open,
    .close = inject_close,
    .pread = inject_pread,
    .pwritev = inject_pwritev,
    .fdatasync = inject_fdatasync,
    .fsync = inject_fsync,
    .stat = inject_stat,
    .rename = inject_rename,
    .unlink = inject_unlink,
    .mkdir = inject_mkdir,
    .list = inject_list,
    .is_network = inject_is_network,
    .lock = inject_lock,
    .map = inject_map,
    .unmap = inject_unmap,
    .futex_wait = inject_futex_wait,
    .futex_wake = inject_futex_wake,
    .now_us = inject_now_us,
    .monotonic_us = inject_monotonic_us,
    .random = inject_random,
    .boot_id = inject_boot_id,
    .process_id = inject_process_id,
    .process_mark = inject_process_mark,
    .host_name = inject_host_name,
    .mutex_init = no_mutex,
    .mutex_destroy = no_mutex,
    .mutex_lock = no_mutex,
    .mutex_trylock = no_mutex_trylock,
    .mutex_unlock = no_mutex,
    .thread_start = no_thread_start,
    .thread_join = no_thread_join,
    .at_fork = no_at_fork,
};

/* ---- injectors and processes ---- */

struct inject *inject_new(void)
{
    struct inject *inject = calloc(1, sizeof *inject);
    if (!inject)
        abort();
    return inject;
}

void inject_free(struct inject *inject)
{
    while (inject->processes) {
        struct process *next = inject->processes->next;
        free(inject->processes);
        inject->processes = next;
    }
    free(inject);
}

const struct io *inject_process(struct inject *inject, const struct io *inner)
{
    struct process *p = calloc(1, sizeof *p);
    if (!p)
        abort();
    *p = (struct process){
        .table = TABLE, .inject = inject, .inner = inner, .next = inject->processes};
    p->table.world = p;
    p->table.registry = inner->registry;
    inject->processes = p;
    return &p->table;
}

void inject_arm(struct inject *inject, const struct inject_plan *plan)
{
    inject->plan = *plan;
    inject->armed = true;
    interrupted = plan->system ? inject : NULL;
    inject->fired = 0;
    memset(inject->counts, 0, sizeof inject->counts);
}

void inject_disarm(struct inject *inject)
{
    inject->armed = false;
    interrupted = NULL;
}

uint64_t inject_count(const struct inject *inject, enum inject_kind kind)
{
    return inject->counts[kind];
}

uint64_t inject_fired(const struct inject *inject)
{
    return inject->fired;
}

int inject_errno(const struct inject *inject)
{
    return errno_of(inject->plan.error);
}

const struct inject_plan *inject_plan(const struct inject *inject)
{
    return &inject->plan;
}

size_t inject_left(const struct inject *inject, const struct io *process)
{
    const struct process *p = find(inject, process);
    return p->file_count + p->map_count;
}

void inject_signal(struct inject *inject, const struct io *process, unsigned waits)
{
    find(inject, process)->waits = waits;
}

void inject_before_sync(struct inject *inject, const struct io *process,
                        void (*call)(void *context), void *context)
{
    struct process *p = find(inject, process);
    p->before_sync = call;
    p->context = context;
}
