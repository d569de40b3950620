/* inject.h: a world that fails when it is told to: the n-th call of a kind, once or from then on.
 *
 *     struct inject *inject = inject_new();
 *     const struct io *io = inject_process(inject, disk_io(disk));
 *     inject_arm(inject, &(struct inject_plan){.kind = INJECT_WRITE, .n = 3, .error = INJECT_EIO});
 *
 * It counts the calls of all its processes together, so that n names one moment of a whole life.
 * Allocations are a kind as well, in a program whose malloc and its like ask inject_memory_fails();
 * only those that are made by the core count: between inject_enter() and inject_leave(), and not
 * within a call of the world.
 *
 * What a process has open, mapped and locked is counted too: inject_left() is 0 if all was given
 * back. A program that hangs is ended: after so many calls as no life needs, inject_hung() is
 * called, which does not return.
 */
#ifndef QUPLOG_SIM_INJECT_H
#define QUPLOG_SIM_INJECT_H

#include "io.h"

enum inject_kind {
    INJECT_OPEN,
    INJECT_CLOSE,
    INJECT_READ,
    INJECT_WRITE,
    INJECT_DATA_SYNC,
    INJECT_NAME_SYNC,
    INJECT_STAT,
    INJECT_RENAME,
    INJECT_UNLINK,
    INJECT_MKDIR,
    INJECT_LIST,
    INJECT_LOCK, /* taking one; giving one back can't fail */
    INJECT_MAP,
    INJECT_WAIT, /* on a futex */
    INJECT_RANDOM,
    INJECT_MEMORY,
    INJECT_KINDS
};

enum inject_error {
    INJECT_EIO,
    INJECT_ENOSPC,
    INJECT_ENOMEM,
    INJECT_EMFILE,
    INJECT_EINTR,
    INJECT_SHORT,       /* a part is read or written, and that is said */
    INJECT_HALF_EIO,    /* a part is written, then it fails */
    INJECT_HALF_ENOSPC,
    INJECT_LIE, /* it is said to be done, and is not: fits nowhere; to see whether that is found */
    INJECT_ERRORS
};

struct inject_plan {
    enum inject_kind kind;
    enum inject_error error;
    uint64_t n;   /* from 1; 0: nothing fails */
    bool lasting; /* and all calls of the kind after it */
    bool system;  /* it is the calls that io.c makes of the system which are counted, and a signal
                     comes during them: during the n-th one, or (lasting) two during each */
};

struct inject;

struct inject *inject_new(void);
void inject_free(struct inject *inject);
/* A process over `inner`, one of a disk in memory; it lives as long as `inject` does. A sync of its
 * that fails has lost what it should have written (disk.h). */
const struct io *inject_process(struct inject *inject, const struct io *inner);
/* It dies: what it had is closed and unmapped, and nothing it does from now on has an effect. */
void inject_kill(struct inject *inject, const struct io *process);
/* The same in the middle of its next write. */
void inject_kill_in_write(struct inject *inject, const struct io *process);

/* Whether such a failure can be. */
bool inject_fits(enum inject_kind kind, enum inject_error error);
/* Whether a signal can come during such a call of the system, which is then made again. */
bool inject_repeats(enum inject_kind kind);
/* Begin to count, and to fail. */
void inject_arm(struct inject *inject, const struct inject_plan *plan);
/* All is well from now on, and nothing is counted. */
void inject_disarm(struct inject *inject);
/* Calls of the kind since inject_arm(). */
uint64_t inject_count(const struct inject *inject, enum inject_kind kind);
/* How often something failed. */
uint64_t inject_fired(const struct inject *inject);
/* What the failing calls return; 0: no error at all, or no memory. */
int inject_errno(const struct inject *inject);
const struct inject_plan *inject_plan(const struct inject *inject);

/* Around each call of the core. */
void inject_enter(struct inject *inject);
void inject_leave(struct inject *inject);
bool inject_memory_fails(void);
/* Whether a signal comes during this call of the system. */
bool inject_interrupts(enum inject_kind kind);

/* Descriptors and mappings that were not given back. */
size_t inject_left(const struct inject *inject, const struct io *process);
/* Called before the next fdatasync of this process, once. */
void inject_before_sync(struct inject *inject, const struct io *process,
                        void (*call)(void *context), void *context);
/* A signal comes in the n-th wait of this process from now on. 0: none does. */
void inject_signal(struct inject *inject, const struct io *process, unsigned waits);
/* Provided by the program. */
_Noreturn void inject_hung(void);

const char *inject_kind_name(enum inject_kind kind);
const char *inject_error_name(enum inject_error error);

#endif
