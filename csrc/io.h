/* io.h: the seam between quplog and the world.
 *
 * Every file, lock, futex, clock, random byte, mutex and thread that the core uses goes through one
 * table of functions, `struct io`. io_system() is the real world; the simulator and the fault
 * injector of the tests are other tables. Nothing above this floor calls the operating system.
 *
 * Conventions: `w` is always the table's own `world`. Functions that return int or ssize_t return
 * a value >= 0, or a negative errno; EINTR is handled inside, except by futex_wait. A short read
 * or write is possible and is the caller's to continue. All functions may be called from any
 * thread. Descriptors are close-on-exec.
 */
#ifndef QUPLOG_IO_H
#define QUPLOG_IO_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct io_stat {
    uint64_t size;
    uint64_t device;
    uint64_t inode;
    uint64_t links; /* 0: deleted while open */
    bool is_directory;
};

/* A mutex of the process; opaque so that a simulator can bring its own. */
struct io_mutex {
    union {
        unsigned char bytes[64];
        void *align;
        uint64_t align64;
    } as;
};

struct io_thread {
    uint64_t id;
};

enum io_open_flags {
    IO_READ = 0,
    IO_WRITE = 1,     /* read and write */
    IO_CREATE = 2,    /* with IO_WRITE: create it (mode 0600) if it does not exist */
    IO_EXCLUSIVE = 4, /* with IO_CREATE: -EEXIST if it exists */
    IO_DIRECTORY = 8
};

enum { IO_NOT_ORDINARY = -EBADFD };

enum io_lock_mode { IO_UNLOCK = 0, IO_SHARED = 1, IO_EXCLUSIVE_LOCK = 2 };

/* A due time is a time of the wall clock, and a step of that clock is to be honoured; an interval
 * is measured by the other, so that a step does not stretch it. */
enum io_futex_flags { IO_FUTEX_SHARED = 1, IO_FUTEX_MONOTONIC = 2 };

struct io {
    void *world;

    /* -- files: `dir` is a descriptor from open(IO_DIRECTORY), or IO_CWD for a path -- */
    /* -errno. Within a directory (not IO_CWD) no link is followed, and IO_NOT_ORDINARY tells that
       what has the name is no file. */
    int (*open)(void *w, int dir, const char *name, int flags);
    int (*close)(void *w, int fd);
    ssize_t (*pread)(void *w, int fd, void *buffer, size_t length, uint64_t offset);
    ssize_t (*pwritev)(void *w, int fd, const struct iovec *parts, int count, uint64_t offset);
    int (*fdatasync)(void *w, int fd);
    int (*fsync)(void *w, int fd); /* for directories */
    int (*stat)(void *w, int fd, struct io_stat *out);
    int (*rename)(void *w, int dir, const char *from, int to_dir, const char *to);
    int (*unlink)(void *w, int dir, const char *name);
    int (*mkdir)(void *w, int dir, const char *name); /* mode 0700; -EEXIST if it exists */
    /* Call `each` for every entry but . and .. until it returns non-zero; that is returned. */
    int (*list)(void *w, int dir, int (*each)(void *ctx, const char *name), void *ctx);
    bool (*is_network)(void *w, int dir); /* NFS, SMB and the like: no place for a log */

    /* -- locks on one byte of a file, owned by the open file description; never waits:
          -EAGAIN if somebody else holds it -- */
    int (*lock)(void *w, int fd, uint64_t byte, int mode);

    /* -- memory: `size` bytes of a file, shared with everybody who maps them -- */
    int (*map)(void *w, int fd, size_t size, void **out);
    void (*unmap)(void *w, void *memory, size_t size);

    /* -- futexes, private to the process and on the wall clock unless `flags` say otherwise. A wake
          reaches those who wait with one of its `bits`.
          wait: 0 woken or *word != expected, -ETIMEDOUT, -EINTR. deadline_us < 0: no limit -- */
    int (*futex_wait)(void *w, uint32_t *word, uint32_t expected, int64_t deadline_us, int flags,
                      uint32_t bits);
    int (*futex_wake)(void *w, uint32_t *word, int count, int flags, uint32_t bits);

    /* -- time, chance, identity -- */
    int64_t (*now_us)(void *w);       /* wall clock since 1970 */
    int64_t (*monotonic_us)(void *w); /* for intervals */
    int (*random)(void *w, void *buffer, size_t length);
    void (*boot_id)(void *w, unsigned char out[16]); /* one value per boot of the kernel */
    uint32_t (*process_id)(void *w);
    /* A number that this process has in common with none that it was forked from, and which stands
       for it alone; not 0. Cheap enough for every call. */
    uint32_t (*process_mark)(void *w);
    void (*host_name)(void *w, char *out, size_t size); /* NUL-terminated, cut if need be */

    /* -- threads of the process -- */
    void (*mutex_init)(void *w, struct io_mutex *m);
    void (*mutex_destroy)(void *w, struct io_mutex *m);
    void (*mutex_lock)(void *w, struct io_mutex *m);
    bool (*mutex_trylock)(void *w, struct io_mutex *m);
    void (*mutex_unlock)(void *w, struct io_mutex *m);
    /* Start a thread with all signals blocked. */
    int (*thread_start)(void *w, struct io_thread *out, void (*run)(void *arg), void *arg);
    void (*thread_join)(void *w, struct io_thread *thread);
    /* From now on call these around every fork(), in this process or, `child`, in the new one. */
    int (*at_fork)(void *w, void (*before)(void), void (*parent)(void), void (*child)(void));

    /* The logs that are open in this process (open.c keeps the list), and what guards them. */
    struct io_registry *registry;
};

struct io_registry {
    struct io_mutex mutex;   /* the list; held for moments only, also while this process forks */
    struct io_mutex opening; /* one log at a time is opened or closed */
    void *first;
    bool watches_forks;
};

enum { IO_CWD = -100 };
enum { IO_ALL_BITS = 0xffffffff };

/* The operating system itself. The table is constant; its registry is the core's only global. */
const struct io *io_system(void);

/* ---- loops over the table that everybody needs ---- */

/* Read exactly `length` bytes; fewer only at the end of the file. Bytes read, or -errno. */
ssize_t io_read_full(const struct io *io, int fd, void *buffer, size_t length, uint64_t offset);
/* Write all parts (any number: cut into pieces the system accepts). `parts` is used up.
 * 0, or -errno with an unknown prefix written. */
int io_write_full(const struct io *io, int fd, struct iovec *parts, int count, uint64_t offset);
/* A full disk, or a full quota: a state that callers handle, not an accident. */
bool io_disk_full(int negative_errno);
/* Close a descriptor that others may look for; -1: there is none. It is -1 before it is closed: a
 * child that is forked in between must not close whatever has that number next. */
void io_close(const struct io *io, int *fd);

#endif
