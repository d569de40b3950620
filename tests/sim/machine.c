/* machine.c: see machine.h.
 *
 * The scheduler runs on the program's own stack. A thread comes back to it by swapcontext() when it
 * waits, when it is another's turn, and when something is to be done that its stack is too small
 * for. Whatever the disk allocates belongs to nobody: memory is the process's only between two
 * calls of the table.
 */
#include "machine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "memory.h"
#include "random.h"

enum { STACK = 128 << 10, GUARD = 4096, THREADS = 64, PROCESSES = 64 };

enum state { NOT_USED, CAN_RUN, WAITS, ENDED };

struct thread {
    enum state state;
    unsigned number; /* for thread_join */
    struct machine_process *process;
    ucontext_t context;
    unsigned char *stack;
    void (*run)(void *argument);
    void *argument;
    bool first; /* the process ends with it */
    /* while it waits */
    const void *word;    /* a futex, a mutex, or a thread */
    uint32_t bits;       /* 0: not for a futex */
    int64_t deadline_us; /* -1: none */
    int status;
    uint64_t since;
};

struct machine_process {
    unsigned number; /* 0: not used */
    struct io table;
    const struct io *disk_table;
    struct machine *machine;
    struct memory_owner memory;
};

struct machine {
    struct disk *disk;
    struct machine_plan plan;
    struct machine_watch watch;
    uint64_t chance;
    uint64_t steps;
    unsigned process_count, thread_count; /* ever */
    struct machine_process processes[PROCESSES];
    struct thread threads[THREADS];
    struct thread *current;
    ucontext_t scheduler;
    const struct disk_call *change; /* to be told, by the scheduler */
    struct machine_process *condemned;
    bool halted;
};

static struct machine *running; /* whose threads failpoint_reached() is called by */

/* ---- stacks ---- */

/* Those that are free are used again: a stack that is mapped anew costs page faults. */
static unsigned char *free_stacks[THREADS];
static unsigned free_stack_count;

static unsigned char *new_stack(void)
{
    if (free_stack_count)
        return free_stacks[--free_stack_count];
    void *stack = mmap(NULL, GUARD + STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);
    if (stack == MAP_FAILED || mprotect(stack, GUARD, PROT_NONE))
        abort();
    return stack;
}

static void drop_stack(unsigned char *stack)
{
    if (free_stack_count < THREADS)
        free_stacks[free_stack_count++] = stack;
    else
        (void)munmap(stack, GUARD + STACK);
}

/* ---- chance ---- */

uint64_t machine_draw(struct machine *machine, uint64_t n)
{
    return random_below(&machine->chance, n);
}

static bool lot(struct machine *machine, unsigned once_in)
{
    return once_in && machine_draw(machine, once_in) == 0;
}

void machine_tell(const struct machine *machine, const char *format, ...)
{
    va_list arguments;
    if (!machine->plan.trace)
        return;
    const struct thread *thread = machine->current;
    fprintf(stderr, "%8llu  %u.%u  ", (unsigned long long)machine->steps,
            thread ? thread->process->number : 0, thread ? thread->number : 0);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* ---- between a thread and the scheduler ---- */

static void to_scheduler(struct machine *machine)
{
    struct thread *thread = machine->current;
    (void)memory_for(NULL);
    if (swapcontext(&thread->context, &machine->scheduler))
        abort();
    (void)memory_for(&thread->process->memory);
}

static int wait_for(struct machine *machine, const void *word, uint32_t bits, int64_t deadline_us)
{
    struct thread *thread = machine->current;
    thread->state = WAITS;
    thread->word = word;
    thread->bits = bits;
    thread->deadline_us = deadline_us;
    thread->since = machine->steps;
    to_scheduler(machine);
    return thread->status;
}

static void wake(struct thread *thread, int status)
{
    thread->state = CAN_RUN;
    thread->word = NULL;
    thread->status = status;
}

/* Of those who wait for the word, the one who has waited longest. */
static struct thread *first_waiter(struct machine *machine, const void *word, uint32_t bits)
{
    struct thread *first = NULL;
    for (size_t i = 0; i < THREADS; i++) {
        struct thread *thread = &machine->threads[i];
        bool meant = thread->state == WAITS && thread->word == word &&
                     (thread->bits & bits || !thread->bits);
        if (meant && (!first || thread->since < first->since))
            first = thread;
    }
    return first;
}

/* Everything that chance may do at a place. */
void machine_pause(struct machine *machine)
{
    const struct machine_plan *plan = &machine->plan;
    machine->steps++;
    if (lot(machine, plan->leaps))
        disk_pass_time(machine->disk, (int64_t)machine_draw(machine, (uint64_t)plan->leap_us));
    if (lot(machine, plan->write_back)) {
        struct memory_owner *owner = memory_for(NULL);
        disk_write_back(machine->disk, &machine->chance);
        (void)memory_for(owner);
    }
    if (lot(machine, plan->kills))
        machine->condemned = machine->current->process;
    if (machine->condemned || machine->halted || machine->steps > plan->steps_most ||
        lot(machine, plan->switches))
        to_scheduler(machine);
}

#ifdef QUPLOG_FAILPOINTS
void failpoint_reached(const char *place);

void failpoint_reached(const char *place)
{
    (void)place;
    if (running && running->current)
        machine_pause(running);
}
#endif

/* ---- calls of the disk ---- */

static void before_call(void *context, const struct disk_call *call)
{
    struct machine *machine = context;
    machine_pause(machine);
    if (disk_changes(call->kind) && machine->watch.change) {
        machine->change = call;
        to_scheduler(machine);
    }
    (void)memory_for(NULL);
}

static void after_call(void *context, const struct disk_call *call, ssize_t status)
{
    struct machine *machine = context;
    if (machine->watch.called)
        machine->watch.called(machine->watch.context, call, status);
    machine_tell(machine, "%s %s %llu+%llu: %zd", disk_kind_name(call->kind), call->name,
                 (unsigned long long)call->offset, (unsigned long long)call->length, status);
    (void)memory_for(&machine->current->process->memory);
}

/* ---- the rest of the table ---- */

static struct machine *machine_of(void *w)
{
    (void)w; /* the disk's; all that runs now is of one machine */
    return running;
}

static int sim_futex_wait(void *w, uint32_t *word, uint32_t expected, int64_t deadline_us,
                          int flags, uint32_t bits)
{
    struct machine *machine = machine_of(w);
    machine_pause(machine);
    if (*word != expected)
        return 0;
    if (lot(machine, machine->plan.signals))
        return -EINTR;
    if (deadline_us >= 0 && !(flags & IO_FUTEX_MONOTONIC))
        deadline_us = deadline_us > DISK_BEGINNING_US ? deadline_us - DISK_BEGINNING_US : 0;
    machine_tell(machine, "waits until %lld", (long long)deadline_us);
    return wait_for(machine, word, bits, deadline_us);
}

static int sim_futex_wake(void *w, uint32_t *word, int count, int flags, uint32_t bits)
{
    struct machine *machine = machine_of(w);
    int woken = 0;
    (void)flags;
    machine_pause(machine);
    for (struct thread *t; woken < count && (t = first_waiter(machine, word, bits)); woken++)
        wake(t, 0);
    return woken;
}

/* The first byte of a mutex says whether it is held. */
static void sim_mutex_init(void *w, struct io_mutex *m)
{
    (void)w;
    memset(m, 0, sizeof *m);
}

static void sim_mutex_destroy(void *w, struct io_mutex *m)
{
    (void)w;
    if (m->as.bytes[0])
        abort(); /* somebody still holds it: a bug in the core */
}

static void sim_mutex_lock(void *w, struct io_mutex *m)
{
    struct machine *machine = machine_of(w);
    machine_pause(machine);
    while (m->as.bytes[0])
        (void)wait_for(machine, m, 0, -1);
    m->as.bytes[0] = 1;
}

static bool sim_mutex_trylock(void *w, struct io_mutex *m)
{
    machine_pause(machine_of(w));
    if (m->as.bytes[0])
        return false;
    m->as.bytes[0] = 1;
    return true;
}

static void sim_mutex_unlock(void *w, struct io_mutex *m)
{
    struct machine *machine = machine_of(w);
    m->as.bytes[0] = 0;
    for (struct thread *t; (t = first_waiter(machine, m, IO_ALL_BITS)) != NULL;)
        wake(t, 0);
    machine_pause(machine);
}

/* ---- threads and processes ---- */

static void thread_main(void)
{
    struct machine *machine = running;
    struct thread *thread = machine->current;
    (void)memory_for(&thread->process->memory);
    thread->run(thread->argument);
    (void)memory_for(NULL);
    thread->state = ENDED;
    setcontext(&machine->scheduler);
    abort();
}

static struct thread *free_thread(struct machine *machine)
{
    struct thread *thread = machine->threads;
    while (thread->state != NOT_USED)
        if (++thread == machine->threads + THREADS)
            abort();
    return thread;
}

static void prepare(ucontext_t *context, unsigned char *stack)
{
    if (getcontext(context))
        abort();
    context->uc_stack.ss_sp = stack + GUARD;
    context->uc_stack.ss_size = STACK;
    context->uc_link = NULL;
    makecontext(context, thread_main, 0);
}

static struct thread *new_thread(struct machine *machine, struct machine_process *process,
                                 void (*run)(void *argument), void *argument)
{
    struct thread *thread = free_thread(machine);
    *thread = (struct thread){.state = CAN_RUN,
                              .number = ++machine->thread_count,
                              .process = process,
                              .stack = new_stack(),
                              .run = run,
                              .argument = argument};
    prepare(&thread->context, thread->stack);
    return thread;
}

static int sim_thread_start(void *w, struct io_thread *out, void (*run)(void *arg), void *arg)
{
    struct machine *machine = machine_of(w);
    struct thread *thread = new_thread(machine, machine->current->process, run, arg);
    out->id = thread->number;
    machine_pause(machine);
    return 0;
}

static struct thread *find_thread(struct machine *machine, uint64_t number)
{
    for (size_t i = 0; i < THREADS; i++)
        if (machine->threads[i].state != NOT_USED && machine->threads[i].number == number)
            return &machine->threads[i];
    return NULL;
}

static void sim_thread_join(void *w, struct io_thread *out)
{
    struct machine *machine = machine_of(w);
    struct thread *thread;
    machine_pause(machine);
    while ((thread = find_thread(machine, out->id)) != NULL)
        (void)wait_for(machine, thread, 0, -1);
}

static void end_thread(struct machine *machine, struct thread *thread)
{
    drop_stack(thread->stack);
    *thread = (struct thread){.state = NOT_USED};
    for (struct thread *t; (t = first_waiter(machine, thread, IO_ALL_BITS)) != NULL;)
        wake(t, 0);
}

/* What it allocated and did not free goes with it, as in a real process. */
static void end_process(struct machine *machine, struct machine_process *process)
{
    for (size_t i = 0; i < THREADS; i++)
        if (machine->threads[i].state != NOT_USED && machine->threads[i].process == process)
            end_thread(machine, &machine->threads[i]);
    disk_kill(machine->disk, process->disk_table);
    memory_release(&process->memory);
    process->number = 0;
}

static void take_over(struct machine_process *process)
{
    struct io *table = &process->table;
    *table = *process->disk_table;
    table->futex_wait = sim_futex_wait;
    table->futex_wake = sim_futex_wake;
    table->mutex_init = sim_mutex_init;
    table->mutex_destroy = sim_mutex_destroy;
    table->mutex_lock = sim_mutex_lock;
    table->mutex_trylock = sim_mutex_trylock;
    table->mutex_unlock = sim_mutex_unlock;
    table->thread_start = sim_thread_start;
    table->thread_join = sim_thread_join;
}

unsigned machine_start(struct machine *machine, void (*run)(void *argument), void *argument)
{
    struct machine_process *process = machine->processes;
    while (process->number)
        if (++process == machine->processes + PROCESSES)
            abort();
    *process = (struct machine_process){.number = ++machine->process_count, .machine = machine};
    process->disk_table = disk_process(machine->disk);
    take_over(process);
    new_thread(machine, process, run, argument)->first = true;
    return process->number;
}

const struct io *machine_io(struct machine *machine)
{
    return &machine->current->process->table;
}

unsigned machine_process(const struct machine *machine)
{
    return machine->current ? machine->current->process->number : 0;
}

struct disk *machine_disk(struct machine *machine)
{
    return machine->disk;
}

void machine_halt(struct machine *machine)
{
    machine->halted = true;
}

/* ---- the scheduler ---- */

static struct thread *choose(struct machine *machine)
{
    struct thread *able[THREADS];
    size_t count = 0;
    for (size_t i = 0; i < THREADS; i++)
        if (machine->threads[i].state == CAN_RUN)
            able[count++] = &machine->threads[i];
    return count ? able[machine_draw(machine, count)] : NULL;
}

/* Let those go on whose time has come; if nobody could, let time come to the first. */
static void pass_deadlines(struct machine *machine, bool jump)
{
    int64_t first = -1;
    for (size_t i = 0; i < THREADS; i++) {
        const struct thread *t = &machine->threads[i];
        if (t->state == WAITS && t->deadline_us >= 0 && (first < 0 || t->deadline_us < first))
            first = t->deadline_us;
    }
    if (first < 0)
        return;
    if (jump && first > disk_time(machine->disk))
        disk_pass_time(machine->disk, first - disk_time(machine->disk));
    for (size_t i = 0; i < THREADS; i++) {
        struct thread *t = &machine->threads[i];
        if (t->state == WAITS && t->deadline_us >= 0 && t->deadline_us <= disk_time(machine->disk))
            wake(t, -ETIMEDOUT);
    }
}

static void kill_condemned(struct machine *machine)
{
    struct machine_process *process = machine->condemned;
    unsigned number = process->number;
    machine->condemned = NULL;
    machine->change = NULL;
    machine->current = NULL;
    machine_tell(machine, "process %u is killed", number);
    end_process(machine, process);
    if (machine->watch.killed)
        machine->watch.killed(machine->watch.context, number);
}

static void let_run(struct machine *machine, struct thread *thread)
{
    machine->current = thread;
    if (swapcontext(&machine->scheduler, &thread->context))
        abort();
    while (machine->change && !machine->condemned) {
        const struct disk_call *call = machine->change;
        machine->change = NULL;
        running = NULL; /* what is run now is no thread of this machine */
        machine->watch.change(machine->watch.context, call);
        running = machine;
        if (machine->halted)
            return;
        if (swapcontext(&machine->scheduler, &thread->context))
            abort();
    }
    if (machine->condemned)
        kill_condemned(machine);
    else if (thread->state == ENDED && thread->first)
        end_process(machine, thread->process);
    else if (thread->state == ENDED)
        end_thread(machine, thread);
    machine->current = NULL;
}

static bool anybody(const struct machine *machine)
{
    for (size_t i = 0; i < THREADS; i++)
        if (machine->threads[i].state != NOT_USED)
            return true;
    return false;
}

enum machine_end machine_run(struct machine *machine)
{
    enum machine_end end = MACHINE_DONE;
    running = machine;
    while (anybody(machine)) {
        pass_deadlines(machine, false);
        struct thread *thread = choose(machine);
        if (!thread) {
            pass_deadlines(machine, true);
            thread = choose(machine);
        }
        if (thread)
            let_run(machine, thread);
        end = machine->halted                               ? MACHINE_HALTED
              : !thread                                     ? MACHINE_STUCK
              : machine->steps > machine->plan.steps_most ? MACHINE_ENDLESS
                                                            : MACHINE_DONE;
        if (end != MACHINE_DONE)
            break;
    }
    machine->current = NULL;
    running = NULL;
    return end;
}

/* ---- the machine ---- */

struct machine *machine_new(struct disk *disk, const struct machine_plan *plan,
                            const struct machine_watch *watch)
{
    struct machine *machine = calloc(1, sizeof *machine);
    if (!machine)
        abort();
    machine->disk = disk;
    machine->plan = *plan;
    machine->watch = *watch;
    machine->chance = plan->seed;
    struct disk_watch looks = {before_call, after_call, machine};
    disk_look_on(disk, &looks);
    return machine;
}

void machine_free(struct machine *machine)
{
    static const struct disk_watch nobody;
    disk_look_on(machine->disk, &nobody);
    machine->current = NULL;
    for (size_t i = 0; i < PROCESSES; i++)
        if (machine->processes[i].number)
            end_process(machine, &machine->processes[i]);
    free(machine);
}
