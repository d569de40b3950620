/* io.c: the operating system as a `struct io`, and the loops over any such table.
 *
 * Promises what io.h says, on Linux. How:
 *
 *   Signals   a call that a signal interrupted is repeated, with two exceptions. A sync is never
 *             repeated, since the first one may have taken the report of a lost write with it; it
 *             runs with all signals blocked instead. And futex_wait tells its caller, always: also
 *             for a signal whose handler was installed with SA_RESTART.
 *   Locks     open-file-description locks: two descriptors exclude each other in one process too,
 *             and closing another descriptor of the file does not give them up, as it does with
 *             the older locks of POSIX.
 *   State     none but the registry and the mark of this process. `world` is unused here.
 */
#include "io.h"

#ifndef __linux__
#error "io.c knows Linux only; another system needs open-file-description locks and futexes"
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

_Static_assert((int)IO_CWD == AT_FDCWD, "IO_CWD is passed on as it is");
_Static_assert(sizeof(pthread_mutex_t) <= sizeof(struct io_mutex), "io_mutex is too small");
_Static_assert(sizeof(pthread_t) <= sizeof(uint64_t), "io_thread is too small");
_Static_assert(sizeof(off_t) == sizeof(int64_t), "a segment may be larger than 2 GiB");

enum { SECOND_US = 1000000 };

/* The value of a system call, repeated while signals interrupt it; -errno if it failed. */
#define SYSTEM_CALL(call)                                                                          \
    __extension__({                                                                                \
        ssize_t value_;                                                                            \
        do                                                                                         \
            value_ = (call);                                                                       \
        while (value_ < 0 && errno == EINTR);                                                      \
        value_ < 0 ? -(ssize_t)errno : value_;                                                     \
    })

/* What can only fail if this program is wrong must not fail silently: it guards everything else. */
static void must(int error)
{
    if (error)
        abort();
}

static void block_signals(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, before));
}

static void restore_signals(const sigset_t *before)
{
    must(pthread_sigmask(SIG_SETMASK, before, NULL));
}

/* ---- files ---- */

/* What has the name of a file of a log need not be a file: a link would lead out of the directory,
 * and a FIFO make whoever opens or reads it wait for ever. */
static int open_within(int dir, const char *name, int how)
{
    bool wants_directory = how & O_DIRECTORY;
    if (!wants_directory)
        how |= O_NONBLOCK | O_NOCTTY; /* which mean nothing to an ordinary file */
    int fd = (int)SYSTEM_CALL(openat(dir, name, how | O_NOFOLLOW, S_IRUSR | S_IWUSR));
    if (fd == -ELOOP || fd == -EISDIR || fd == -ENXIO)
        return IO_NOT_ORDINARY;
    struct statx found;
    if (fd < 0 || wants_directory)
        return fd;
    int status = (int)SYSTEM_CALL(statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &found));
    if (status == 0 && S_ISREG(found.stx_mode))
        return fd;
    close(fd);
    return status ? status : IO_NOT_ORDINARY;
}

static int system_open(void *w, int dir, const char *name, int flags)
{
    (void)w;
    int how = O_CLOEXEC | (flags & IO_WRITE ? O_RDWR : O_RDONLY);
    if (flags & IO_CREATE)
        how |= O_CREAT;
    if (flags & IO_EXCLUSIVE)
        how |= O_EXCL;
    if (flags & IO_DIRECTORY)
        how |= O_DIRECTORY;
    if (dir != IO_CWD)
        return open_within(dir, name, how);
    return (int)SYSTEM_CALL(openat(dir, name, how, S_IRUSR | S_IWUSR));
}

static int system_close(void *w, int fd)
{
    (void)w;
    /* Interrupted or not, Linux has let go of the descriptor: closing again may hit another's. */
    return close(fd) == 0 || errno == EINTR ? 0 : -errno;
}

static ssize_t system_pread(void *w, int fd, void *buffer, size_t length, uint64_t offset)
{
    (void)w;
    return SYSTEM_CALL(pread(fd, buffer, length, (off_t)offset));
}

static ssize_t system_pwritev(void *w, int fd, const struct iovec *parts, int count,
                              uint64_t offset)
{
    (void)w;
    return SYSTEM_CALL(pwritev(fd, parts, count, (off_t)offset));
}

static int sync_once(int (*sync)(int fd), int fd)
{
    sigset_t before;
    block_signals(&before);
    int status = sync(fd) == 0 ? 0 : -errno;
    restore_signals(&before);
    return status;
}

static int system_fdatasync(void *w, int fd)
{
    (void)w;
    return sync_once(fdatasync, fd);
}

static int system_fsync(void *w, int fd)
{
    (void)w;
    return sync_once(fsync, fd);
}

/* Without the times, which fstat(2) asks for. A file whose times somebody has seen gets new ones
 * with its next write (multigrain timestamps, Linux 6.13), and where there is no journal the sync
 * after that writes the inode too: 150 us for a durable append became 105. */
static int system_stat(void *w, int fd, struct io_stat *out)
{
    (void)w;
    enum { WANTED = STATX_TYPE | STATX_NLINK | STATX_INO | STATX_SIZE };
    struct statx found;
    int status = (int)SYSTEM_CALL(statx(fd, "", AT_EMPTY_PATH, WANTED, &found));
    if (status)
        return status;
    *out = (struct io_stat){
        .size = found.stx_size,
        .device = makedev(found.stx_dev_major, found.stx_dev_minor),
        .inode = found.stx_ino,
        .links = found.stx_nlink,
        .is_directory = S_ISDIR(found.stx_mode),
    };
    return 0;
}

static int system_rename(void *w, int dir, const char *from, int to_dir, const char *to)
{
    (void)w;
    return (int)SYSTEM_CALL(renameat(dir, from, to_dir, to));
}

static int system_unlink(void *w, int dir, const char *name)
{
    (void)w;
    return (int)SYSTEM_CALL(unlinkat(dir, name, 0));
}

static int system_mkdir(void *w, int dir, const char *name)
{
    (void)w;
    return (int)SYSTEM_CALL(mkdirat(dir, name, S_IRWXU));
}

static int list_entries(DIR *entries, int (*each)(void *ctx, const char *name), void *ctx)
{
    for (;;) {
        errno = 0; /* the only thing that tells the end from a failure */
        const struct dirent *entry = readdir(entries);
        if (!entry)
            return -errno;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int status = each(ctx, entry->d_name);
        if (status)
            return status;
    }
}

static int system_list(void *w, int dir, int (*each)(void *ctx, const char *name), void *ctx)
{
    /* A descriptor of its own, since the position of the listing belongs to the open file. */
    int fd = system_open(w, dir, ".", IO_DIRECTORY);
    if (fd < 0)
        return fd;
    DIR *entries = fdopendir(fd);
    if (!entries) {
        int status = -errno;
        system_close(w, fd);
        return status;
    }
    int status = list_entries(entries, each, ctx);
    closedir(entries);
    return status;
}

/* File systems whose locks, or whose idea of what is on the disk, may not be shared by all who see
 * the same files. The numbers are the kernel's (statfs(2)). */
static bool is_network_type(uint32_t type)
{
    static const uint32_t types[] = {
        0x00006969, /* NFS */
        0x0000517b, /* SMB */
        0xff534d42, /* CIFS */
        0xfe534d42, /* SMB 2 and 3 */
        0x0000564c, /* NetWare */
        0x01021997, /* 9P: the files of a virtual machine's host */
        0x786f4256, /* VirtualBox: the same */
        0x5346414f, /* OpenAFS */
        0x6b414653, /* AFS */
        0x73757245, /* Coda */
        0x00c36400, /* Ceph */
        0x0bd00bd0, /* Lustre */
        0x47504653, /* GPFS */
        0x19830326, /* BeeGFS */
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (types[i] == type)
            return true;
    }
    return false;
}

static bool system_is_network(void *w, int dir)
{
    (void)w;
    struct statfs found;
    int status = (int)SYSTEM_CALL(dir == IO_CWD ? statfs(".", &found) : fstatfs(dir, &found));
    /* The type is signed on some machines; its 32 bits are the same on all. */
    return status == 0 && is_network_type((uint32_t)found.f_type);
}

static int system_lock(void *w, int fd, uint64_t byte, int mode)
{
    (void)w;
    static const short types[] = {
        [IO_UNLOCK] = F_UNLCK,
        [IO_SHARED] = F_RDLCK,
        [IO_EXCLUSIVE_LOCK] = F_WRLCK,
    };
    struct flock wanted = {
        .l_type = types[mode],
        .l_whence = SEEK_SET,
        .l_start = (off_t)byte,
        .l_len = 1,
    };
    int status = (int)SYSTEM_CALL(fcntl(fd, F_OFD_SETLK, &wanted));
    return status == -EACCES ? -EAGAIN : status;
}

/* ---- memory ---- */

static int system_map(void *w, int fd, size_t size, void **out)
{
    (void)w;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    *out = memory;
    return 0;
}

static void system_unmap(void *w, void *memory, size_t size)
{
    (void)w;
    must(munmap(memory, size) == 0 ? 0 : errno);
}

/* ---- futexes ---- */

/* The kernel's timespec with 64-bit times, and the call that takes it, on every machine. */
struct kernel_time {
    int64_t seconds;
    int64_t nanoseconds;
};

#ifdef SYS_futex_time64
enum { FUTEX_CALL = SYS_futex_time64 };
#else
enum { FUTEX_CALL = SYS_futex };
#endif

static int system_futex_wait(void *w, uint32_t *word, uint32_t expected, int64_t deadline_us,
                             int flags, uint32_t bits)
{
    (void)w;
    /* A wait without a deadline would be resumed behind our back after a handler with SA_RESTART;
       one with a deadline never is. So there always is one, if need be at the end of time. */
    if (deadline_us < 0)
        deadline_us = INT64_MAX;
    struct kernel_time deadline = {
        .seconds = deadline_us / SECOND_US,
        .nanoseconds = deadline_us % SECOND_US * 1000,
    };
    int how = FUTEX_WAIT_BITSET | (flags & IO_FUTEX_MONOTONIC ? 0 : FUTEX_CLOCK_REALTIME) |
              (flags & IO_FUTEX_SHARED ? 0 : FUTEX_PRIVATE_FLAG);
    long status = syscall(FUTEX_CALL, word, how, expected, &deadline, NULL, bits);
    return status == 0 || errno == EAGAIN ? 0 : -errno;
}

static int system_futex_wake(void *w, uint32_t *word, int count, int flags, uint32_t bits)
{
    (void)w;
    int how = FUTEX_WAKE_BITSET | (flags & IO_FUTEX_SHARED ? 0 : FUTEX_PRIVATE_FLAG);
    return (int)SYSTEM_CALL(syscall(FUTEX_CALL, word, how, count, NULL, NULL, bits));
}

/* ---- time, chance, identity ---- */

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;
    must(clock_gettime(clock, &now));
    return (int64_t)now.tv_sec * SECOND_US + now.tv_nsec / 1000;
}

static int64_t system_now_us(void *w)
{
    (void)w;
    return clock_us(CLOCK_REALTIME);
}

static int64_t system_monotonic_us(void *w)
{
    (void)w;
    return clock_us(CLOCK_MONOTONIC);
}

static int system_random(void *w, void *buffer, size_t length)
{
    (void)w;
    unsigned char *p = buffer;
    while (length > 0) {
        ssize_t n = SYSTEM_CALL(getrandom(p, length, 0));
        if (n < 0)
            return (int)n;
        p += n;
        length -= (size_t)n;
    }
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "01234567-89ab-cdef-0123-456789abcdef" -> 16 bytes. */
static bool parse_uuid(const char *text, size_t length, unsigned char out[16])
{
    size_t digits = 0;
    memset(out, 0, 16);
    for (size_t i = 0; i < length && digits < 32; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0 && text[i] != '-')
            return false;
        if (digit >= 0) {
            out[digits / 2] = (unsigned char)(out[digits / 2] << 4 | digit);
            digits++;
        }
    }
    return digits == 32;
}

static void system_boot_id(void *w, unsigned char out[16])
{
    char text[36];
    ssize_t length = -1;
    int fd = system_open(w, IO_CWD, "/proc/sys/kernel/random/boot_id", IO_READ);
    if (fd >= 0) {
        length = system_pread(w, fd, text, sizeof text, 0);
        system_close(w, fd);
    }
    if (length > 0 && parse_uuid(text, (size_t)length, out))
        return;
    /* Without /proc every call counts as after another boot, the careful guess: what was written
       before may be lost. */
    memset(out, 0, 16);
    (void)system_random(w, out, 16);
}

static uint32_t system_process_id(void *w)
{
    (void)w;
    return (uint32_t)getpid();
}

/* The mark stands in a page that the kernel empties in the child of a fork, however that was made:
 * also where no handler runs. What is counted beside it is copied, so the child's next mark is one
 * that none of its ancestors has. */
static _Atomic uint32_t *mark_page(void)
{
    static _Atomic(_Atomic uint32_t *) page;
    _Atomic uint32_t *mine = atomic_load(&page), *none = NULL;
    if (mine)
        return mine;
    long size = sysconf(_SC_PAGESIZE);
    void *memory = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    must(memory == MAP_FAILED ? errno : 0);
    (void)madvise(memory, (size_t)size, MADV_WIPEONFORK); /* without it the handler empties it */
    if (atomic_compare_exchange_strong(&page, &none, (_Atomic uint32_t *)memory))
        return memory;
    must(munmap(memory, (size_t)size) == 0 ? 0 : errno); /* another thread was faster */
    return none;
}

static uint32_t system_process_mark(void *w)
{
    (void)w;
    static _Atomic uint32_t marks;
    _Atomic uint32_t *mark = mark_page();
    uint32_t mine = atomic_load_explicit(mark, memory_order_relaxed), none = 0;
    if (mine)
        return mine;
    uint32_t next = atomic_fetch_add(&marks, 1) + 1;
    return atomic_compare_exchange_strong(mark, &none, next) ? next : none;
}

static void system_host_name(void *w, char *out, size_t size)
{
    (void)w;
    char name[HOST_NAME_MAX + 1] = "";
    (void)gethostname(name, HOST_NAME_MAX);
    if (size > 0) {
        size_t length = strnlen(name, size - 1);
        memcpy(out, name, length);
        out[length] = '\0';
    }
}

/* ---- threads ---- */

static pthread_mutex_t *native(struct io_mutex *m)
{
    return (pthread_mutex_t *)(void *)m;
}

static void system_mutex_init(void *w, struct io_mutex *m)
{
    (void)w;
    must(pthread_mutex_init(native(m), NULL));
}

static void system_mutex_destroy(void *w, struct io_mutex *m)
{
    (void)w;
    must(pthread_mutex_destroy(native(m)));
}

static void system_mutex_lock(void *w, struct io_mutex *m)
{
    (void)w;
    must(pthread_mutex_lock(native(m)));
}

static bool system_mutex_trylock(void *w, struct io_mutex *m)
{
    (void)w;
    return pthread_mutex_trylock(native(m)) == 0;
}

static void system_mutex_unlock(void *w, struct io_mutex *m)
{
    (void)w;
    must(pthread_mutex_unlock(native(m)));
}

struct start {
    void (*run)(void *arg);
    void *arg;
};

static void *run_thread(void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    start.run(start.arg);
    return NULL;
}

static int system_thread_start(void *w, struct io_thread *out, void (*run)(void *arg), void *arg)
{
    (void)w;
    struct start *start = malloc(sizeof *start);
    if (!start)
        return -ENOMEM;
    *start = (struct start){run, arg};
    /* The new thread inherits the mask: there is no moment at which a handler could run in it. */
    sigset_t before;
    pthread_t thread;
    block_signals(&before);
    int error = pthread_create(&thread, NULL, run_thread, start);
    restore_signals(&before);
    if (error) {
        free(start);
        return -error;
    }
    out->id = 0;
    memcpy(&out->id, &thread, sizeof thread);
    return 0;
}

static void system_thread_join(void *w, struct io_thread *thread)
{
    (void)w;
    pthread_t id;
    memcpy(&id, &thread->id, sizeof id);
    must(pthread_join(id, NULL));
}

static void empty_mark(void)
{
    atomic_store(mark_page(), 0);
}

static int system_at_fork(void *w, void (*before)(void), void (*parent)(void), void (*child)(void))
{
    (void)w;
    int error = pthread_atfork(NULL, NULL, empty_mark);
    return error ? -error : -pthread_atfork(before, parent, child);
}

/* ---- the table ---- */

/* A union, so that the registry's mutexes can be initialised as what they are. */
union initial_mutex {
    pthread_mutex_t mutex;
    struct io_mutex room;
};

static union {
    struct {
        union initial_mutex list, opening;
    } mutexes;
    struct io_registry registry;
} opened = {.mutexes = {{PTHREAD_MUTEX_INITIALIZER}, {PTHREAD_MUTEX_INITIALIZER}}};

_Static_assert(offsetof(struct io_registry, mutex) == 0, "see `opened`");
_Static_assert(offsetof(struct io_registry, opening) == sizeof(union initial_mutex),
               "see `opened`");

const struct io *io_system(void)
{
    static const struct io table = {
        .open = system_open,
        .close = system_close,
        .pread = system_pread,
        .pwritev = system_pwritev,
        .fdatasync = system_fdatasync,
        .fsync = system_fsync,
        .stat = system_stat,
        .rename = system_rename,
        .unlink = system_unlink,
        .mkdir = system_mkdir,
        .list = system_list,
        .is_network = system_is_network,
        .lock = system_lock,
        .map = system_map,
        .unmap = system_unmap,
        .futex_wait = system_futex_wait,
        .futex_wake = system_futex_wake,
        .now_us = system_now_us,
        .monotonic_us = system_monotonic_us,
        .random = system_random,
        .boot_id = system_boot_id,
        .process_id = system_process_id,
        .process_mark = system_process_mark,
        .host_name = system_host_name,
        .mutex_init = system_mutex_init,
        .mutex_destroy = system_mutex_destroy,
        .mutex_lock = system_mutex_lock,
        .mutex_trylock = system_mutex_trylock,
        .mutex_unlock = system_mutex_unlock,
        .thread_start = system_thread_start,
        .thread_join = system_thread_join,
        .at_fork = system_at_fork,
        .registry = &opened.registry,
    };
    return &table;
}

/* ---- loops over any table ---- */

ssize_t io_read_full(const struct io *io, int fd, void *buffer, size_t length, uint64_t offset)
{
    unsigned char *p = buffer;
    size_t done = 0;
    while (done < length) {
        ssize_t n = io->pread(io->world, fd, p + done, length - done, offset + done);
        if (n < 0)
            return n;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int io_write_full(const struct io *io, int fd, struct iovec *parts, int count, uint64_t offset)
{
    while (count > 0) {
        if (parts->iov_len == 0) {
            parts++;
            count--;
            continue;
        }
        ssize_t n = io->pwritev(io->world, fd, parts, count < IOV_MAX ? count : IOV_MAX, offset);
        if (n <= 0)
            return n < 0 ? (int)n : -EIO; /* nothing written and no reason given: not for ever */
        offset += (uint64_t)n;
        size_t written = (size_t)n;
        while (count > 0 && written >= parts->iov_len) {
            written -= parts->iov_len;
            parts++;
            count--;
        }
        if (written > 0) {
            parts->iov_base = (unsigned char *)parts->iov_base + written;
            parts->iov_len -= written;
        }
    }
    return 0;
}

bool io_disk_full(int negative_errno)
{
    return negative_errno == -ENOSPC || negative_errno == -EDQUOT;
}

void io_close(const struct io *io, int *fd)
{
    int closed = *fd;
    *fd = -1;
    if (closed >= 0)
        io->close(io->world, closed);
}
