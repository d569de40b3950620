/* machine.h: a computer with many processes on one disk, all of it in one thread of this program.
 *
 *     struct machine *machine = machine_new(disk, &plan, &watch);
 *     machine_start(machine, produce, argument);
 *     machine_run(machine);
 *
 * Each simulated process has a registry, descriptors, memory and threads of its own; its threads
 * are coroutines. A scheduler that draws from a seed may let another thread go on at every call of
 * the io table, and in a build with QUPLOG_FAILPOINTS at each of these places too. So a seed
 * replays an interleaving exactly. What is simulated beyond the disk (disk.h):
 *
 *   Mutexes, futexes   a thread that waits does not run; wake-ups reach it in the order of coming.
 *   Time               goes on with each call; if all threads wait, it jumps to the first deadline;
 *                      now and then it leaps, as for a machine that stood still.
 *   Signals            a wait ends with -EINTR now and then, if the plan says so.
 *   kill -9            of a process at any such place: its threads are gone, what it wrote stays,
 *                      its locks are free and its memory is given back.
 *
 * A machine on which nobody can go on and no deadline will come is stuck: that is a deadlock.
 */
#ifndef QUPLOG_SIM_MACHINE_H
#define QUPLOG_SIM_MACHINE_H

#include "disk.h"

struct machine;
struct machine_process;

/* What chance is allowed to do: once in so many places each; 0: never. */
struct machine_plan {
    uint64_t seed;       /* not zero */
    unsigned switches;   /* another thread goes on */
    unsigned kills;      /* a process is killed */
    unsigned signals;    /* a wait is interrupted */
    unsigned leaps;      /* time leaps by up to `leap_us` */
    unsigned write_back; /* the system writes back some of what is not durable */
    int64_t leap_us;
    uint64_t steps_most; /* then the machine is taken to run for ever */
    bool trace;          /* tell each call on the standard error */
};

struct machine_watch {
    /* Before a call that changes the disk; not on the stack of a simulated thread. */
    void (*change)(void *context, const struct disk_call *call);
    /* After each call that was made. */
    void (*called)(void *context, const struct disk_call *call, ssize_t status);
    /* A process was killed; it is gone. */
    void (*killed)(void *context, unsigned process);
    void *context;
};

enum machine_end {
    MACHINE_DONE,    /* every process has returned, or was killed */
    MACHINE_STUCK,   /* nobody can go on */
    MACHINE_ENDLESS, /* too many steps */
    MACHINE_HALTED   /* machine_halt() */
};

/* `disk` stays the caller's. */
struct machine *machine_new(struct disk *disk, const struct machine_plan *plan,
                            const struct machine_watch *watch);
void machine_free(struct machine *machine);
struct disk *machine_disk(struct machine *machine);

/* A process whose first thread runs `run`; it ends with it. Its number, from 1. */
unsigned machine_start(struct machine *machine, void (*run)(void *argument), void *argument);
enum machine_end machine_run(struct machine *machine);

/* ---- for whoever runs in a process ---- */

/* The world of the process that runs now. */
const struct io *machine_io(struct machine *machine);
/* Its number; 0: none runs now. */
unsigned machine_process(const struct machine *machine);
/* A place at which others may go on. */
void machine_pause(struct machine *machine);
/* A number below `n`, drawn from the seed. */
uint64_t machine_draw(struct machine *machine, uint64_t n);
/* The power is to fail now, or something is wrong: machine_run() returns. */
void machine_halt(struct machine *machine);

/* Say what happens, if this is a trace. */
void machine_tell(const struct machine *machine, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
