/* process_lab.h: what the tests of several processes share: children that do what they are told.
 *
 * A mate is a forked child which opens the log itself, over an io table of its own that can be told
 * to stop, to die or to fail at a certain call. The test is the director: it sends a deed (a
 * function; it stands at the same place in the child) and reads the reply, or sends it, looks at
 * what others do meanwhile, and reads the reply later. Nothing here waits for time to pass.
 *
 *     gather();                                 first of all in a test: nobody is left of the last
 *     struct mate *a = enlist(), *b = enlist();  before the test opens a log or starts a thread
 *     tell(a, deed_open, 0);
 *     CHECK_EQUAL(tell(a, deed_put, 1).status, QUPLOG_OK);
 *     begin(b, deed_wait_for_work, 0); ... reply = await(b);
 */
#ifndef QUPLOG_PROCESS_LAB_H
#define QUPLOG_PROCESS_LAB_H

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "log_lab.h"
#include "slot.h"

enum { MATES = 8, REPLY_GUARD_MS = 100 * 1000 };

struct reply {
    int status;
    uint64_t id, token, value;
    quplog_claim claim;
};

struct wish {
    struct reply (*deed)(const struct wish *wish);
    uint64_t number;
    int64_t us;
    uint64_t size;
    bool sync;
    char text[32];
};

struct mate {
    pid_t pid; /* 0: it has ended */
    int wishes, replies;         /* the director's ends */
    int wishes_read, replies_write; /* the mate's */
};

/* Of the director. */
static struct mate mates[MATES];
static size_t mate_count;
static pid_t director;

/* ---- in the mate: its world ---- */

enum trap {
    TRAP_NONE,
    TRAP_STOP,    /* SIGSTOP to itself, then go on */
    TRAP_KILL,
    TRAP_HALF,    /* write half of it, then SIGKILL */
    TRAP_FAIL,    /* -EIO */
    TRAP_FULL,    /* -ENOSPC wherever a file would grow */
    TRAP_HOLD     /* block until it is killed */
};

static struct {
    struct io io;
    struct io_registry registry;
    quplog *q;
    quplog_worker *worker;
    pthread_t helper;
    bool helping;
    int helper_status;
    _Atomic int at_write, at_sync; /* enum trap */
    _Atomic bool held;
    _Atomic uint64_t wakes; /* futex_wake calls */
} mine;

static inline int spring(_Atomic int *trap)
{
    int which = atomic_load(trap);
    if (which == TRAP_NONE || which == TRAP_FULL || which == TRAP_HALF)
        return 0;
    atomic_store(trap, TRAP_NONE);
    if (which == TRAP_STOP)
        raise(SIGSTOP);
    if (which == TRAP_KILL)
        raise(SIGKILL);
    if (which == TRAP_HOLD)
        for (;;)
            pause();
    return which == TRAP_FAIL ? -EIO : 0;
}

static inline ssize_t mate_pwritev(void *w, int fd, const struct iovec *parts, int count,
                                   uint64_t offset)
{
    const struct io *io = io_system();
    struct io_stat stat;
    int status = spring(&mine.at_write);
    if (status)
        return status;
    if (atomic_load(&mine.at_write) == TRAP_HALF && count == 2) { /* a frame: header and body */
        struct iovec half[2] = {parts[0], parts[1]};
        half[1].iov_len /= 2;
        (void)!io->pwritev(w, fd, half, 2, offset);
        raise(SIGKILL);
    }
    if (atomic_load(&mine.at_write) == TRAP_FULL && io->stat(w, fd, &stat) == 0) {
        uint64_t end = offset;
        for (int i = 0; i < count; i++)
            end += parts[i].iov_len;
        if (end > stat.size)
            return -ENOSPC;
    }
    return io->pwritev(w, fd, parts, count, offset);
}

static inline int mate_fdatasync(void *w, int fd)
{
    int status = spring(&mine.at_sync);
    return status ? status : io_system()->fdatasync(w, fd);
}

static inline int mate_futex_wake(void *w, uint32_t *word, int count, int flags, uint32_t bits)
{
    atomic_fetch_add(&mine.wakes, 1);
    return io_system()->futex_wake(w, word, count, flags, bits);
}

static inline void make_world(void)
{
    const struct io *io = io_system();
    memset(&mine, 0, sizeof mine);
    mine.io = *io;
    mine.io.registry = &mine.registry;
    io->mutex_init(io->world, &mine.registry.mutex);
    io->mutex_init(io->world, &mine.registry.opening);
    mine.io.pwritev = mate_pwritev;
    mine.io.fdatasync = mate_fdatasync;
    mine.io.futex_wake = mate_futex_wake;
}

/* A signal that only ends a wait. */
static inline void do_nothing(int signal)
{
    (void)signal;
}

static inline void serve(struct mate *self)
{
    struct sigaction action = {.sa_handler = do_nothing};
    struct wish wish;
    if (getppid() == director)
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test itself be killed */
    sigaction(SIGUSR1, &action, NULL);
    close(self->wishes);
    close(self->replies);
    if (setjmp(test_now.end))
        _exit(99);
    while (read(self->wishes_read, &wish, sizeof wish) == (ssize_t)sizeof wish) {
        struct reply reply = wish.deed(&wish);
        if (write(self->replies_write, &reply, sizeof reply) != (ssize_t)sizeof reply)
            _exit(98);
    }
    _exit(test_now.failures ? 97 : 0);
}

/* ---- the director ---- */

static inline void dismiss(struct mate *mate)
{
    if (mate->pid > 0) {
        (void)kill(mate->pid, SIGKILL);
        (void)waitpid(mate->pid, NULL, 0);
    }
    mate->pid = 0;
    int *ends[] = {&mate->wishes, &mate->replies, &mate->wishes_read, &mate->replies_write};
    for (size_t i = 0; i < 4; i++) {
        if (*ends[i] >= 0)
            close(*ends[i]);
        *ends[i] = -1;
    }
}

static inline void gather(void)
{
    static bool prepared;
    if (!prepared) {
        prctl(PR_SET_CHILD_SUBREAPER, 1); /* a mate's child that outlives it is ours to end */
        signal(SIGPIPE, SIG_IGN);
    }
    prepared = true;
    director = getpid();
    for (size_t i = 0; i < mate_count; i++)
        dismiss(&mates[i]);
    mate_count = 0;
    (void)test_directory(); /* the same for all */
}

/* The pipes of a mate that somebody else will fork. */
static inline struct mate *prepare(void)
{
    int wishes[2], replies[2];
    REQUIRE(mate_count < MATES);
    REQUIRE(pipe2(wishes, O_CLOEXEC) == 0 && pipe2(replies, O_CLOEXEC) == 0);
    mates[mate_count] = (struct mate){.wishes = wishes[1],
                                      .wishes_read = wishes[0],
                                      .replies = replies[0],
                                      .replies_write = replies[1]};
    return &mates[mate_count++];
}

static inline struct mate *enlist(void)
{
    struct mate *mate = prepare();
    fflush(stdout);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        make_world();
        for (size_t i = 0; i + 1 < mate_count; i++) { /* so that each one's death is its EOF */
            if (mates[i].pid == 0)
                continue; /* prepared, not forked: this one may be who forks it */
            close(mates[i].wishes);
            close(mates[i].replies);
        }
        serve(mate);
    }
    mate->pid = pid;
    close(mate->wishes_read);
    close(mate->replies_write);
    mate->wishes_read = mate->replies_write = -1;
    return mate;
}

static inline void begin_wish(struct mate *mate, struct wish wish)
{
    REQUIRE(write(mate->wishes, &wish, sizeof wish) == (ssize_t)sizeof wish);
}

static inline void begin(struct mate *mate, struct reply (*deed)(const struct wish *),
                         uint64_t number)
{
    begin_wish(mate, (struct wish){.deed = deed, .number = number});
}

/* Its reply; false if it died instead. */
static inline bool hear(struct mate *mate, struct reply *reply)
{
    struct pollfd ready = {.fd = mate->replies, .events = POLLIN};
    int n;
    do
        n = poll(&ready, 1, REPLY_GUARD_MS);
    while (n < 0 && errno == EINTR);
    REQUIRE(n == 1); /* else it hangs */
    return read(mate->replies, reply, sizeof *reply) == (ssize_t)sizeof *reply;
}

static inline struct reply await(struct mate *mate)
{
    struct reply reply = {0};
    REQUIRE(hear(mate, &reply));
    return reply;
}

static inline struct reply tell_wish(struct mate *mate, struct wish wish)
{
    begin_wish(mate, wish);
    return await(mate);
}

static inline struct reply tell(struct mate *mate, struct reply (*deed)(const struct wish *),
                                uint64_t number)
{
    begin(mate, deed, number);
    return await(mate);
}

static inline void reap(struct mate *mate)
{
    int status = 0;
    REQUIRE(waitpid(mate->pid, &status, 0) == mate->pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    mate->pid = 0;
}

/* It has died of what it was told to do, or does now, by SIGKILL. */
static inline void await_death(struct mate *mate)
{
    struct reply reply;
    CHECK(!hear(mate, &reply));
    reap(mate);
}

static inline void strike(struct mate *mate)
{
    REQUIRE(kill(mate->pid, SIGKILL) == 0);
    reap(mate);
}

static inline void await_stop(struct mate *mate)
{
    int status = 0;
    REQUIRE(waitpid(mate->pid, &status, WUNTRACED) == mate->pid);
    REQUIRE(WIFSTOPPED(status));
}

/* ---- deeds ---- */

enum { LOCK_TIMEOUT_US = 30 * 1000000 };

/* us: lock_timeout, 0: a long one. size: flush_interval in us, 0: an hour. */
static inline struct reply deed_open(const struct wish *wish)
{
    quplog_options options = lab_options();
    quplog_report report = {0};
    options.lock_timeout_us = wish->us ? wish->us : LOCK_TIMEOUT_US;
    if (wish->size)
        options.flush_interval_us = (int64_t)wish->size;
    struct reply reply = {0};
    reply.status = open_with(&mine.io, lab_path("log"), &options, &mine.q, &report);
    reply.value = (uint64_t)report.ending;
    return reply;
}

/* The same through quplog_open(), which watches forks; its flusher comes as in real life. */
static inline struct reply deed_open_system(const struct wish *wish)
{
    quplog_options options = lab_options();
    quplog_report report = {0};
    options.lock_timeout_us = wish->us ? wish->us : LOCK_TIMEOUT_US;
    options.flush_interval_us = 0;
    struct reply reply = {0};
    reply.status = quplog_open(lab_path("log"), &options, &mine.q, &report);
    reply.value = (uint64_t)report.ending;
    return reply;
}

static inline struct reply deed_close(const struct wish *wish)
{
    (void)wish;
    struct reply reply = {.status = quplog_close(mine.q)};
    if (mine.helping)
        pthread_join(mine.helper, NULL);
    mine.helping = false;
    quplog_worker_free(mine.worker);
    mine.worker = NULL;
    quplog_free(mine.q);
    mine.q = NULL;
    return reply;
}

/* The job `number`, due at `us`. */
static inline struct reply deed_put(const struct wish *wish)
{
    struct reply reply = {0};
    size_t size = wish->size ? wish->size : 100;
    char *payload = malloc(size);
    if (!payload)
        abort();
    lab_payload(payload, size, (unsigned)wish->number);
    reply.status = quplog_put(mine.q, &LAB_SPEC, payload, size, wish->us, wish->sync, &reply.id);
    free(payload);
    return reply;
}

/* The jobs [number, number + size), each of another length, every 50th synced. */
static inline struct reply deed_put_many(const struct wish *wish)
{
    struct reply reply = {0};
    for (uint64_t n = wish->number; reply.status == 0 && n < wish->number + wish->size; n++) {
        struct wish one = {.number = n, .size = 50 + n * 7919 % 3000, .sync = n % 50 == 0};
        reply = deed_put(&one);
    }
    return reply;
}

static inline struct reply deed_sync(const struct wish *wish)
{
    (void)wish;
    return (struct reply){.status = quplog_sync(mine.q)};
}

static inline struct reply deed_worker(const struct wish *wish)
{
    const char *task = wish->text[0] ? wish->text : "work";
    struct reply reply = {0};
    uint32_t number;
    reply.status = quplog_register(mine.q, task, strlen(task), &number);
    if (reply.status == QUPLOG_OK)
        reply.status = quplog_worker_new(mine.q, &mine.worker);
    return reply;
}

static inline struct reply work(int outcome, int64_t due_us, int flags)
{
    struct reply reply = {0};
    reply.status = quplog_work(mine.worker, outcome, due_us, "data", 4, flags);
    reply.claim = *quplog_worker_claim(mine.worker);
    reply.id = reply.status == QUPLOG_OK ? reply.claim.id : 0;
    reply.token = reply.claim.token;
    return reply;
}

static inline struct reply deed_claim(const struct wish *wish)
{
    (void)wish;
    return work(QUPLOG_NO_OUTCOME, 0, QUPLOG_CLAIM_NEXT);
}

static inline struct reply deed_wait_for_work(const struct wish *wish)
{
    (void)wish;
    return work(QUPLOG_NO_OUTCOME, 0, QUPLOG_CLAIM_NEXT | QUPLOG_WAIT);
}

/* End the run as `number` (enum quplog_outcome) says. */
static inline struct reply deed_finish(const struct wish *wish)
{
    struct reply reply = work((int)wish->number, wish->us, wish->sync ? QUPLOG_SYNC : 0);
    reply.status = reply.claim.finish_status;
    return reply;
}

static inline struct reply deed_wait_job(const struct wish *wish)
{
    return (struct reply){.status = quplog_wait_job(mine.q, wish->number, 0)};
}

static inline struct reply deed_cancel(const struct wish *wish)
{
    uint64_t lsn;
    return (struct reply){.status = quplog_cancel(mine.q, wish->number, &lsn)};
}

static inline void *help(void *context)
{
    (void)context;
    mine.helper_status = quplog_keep(mine.q);
    return NULL;
}

static inline struct reply deed_keep(const struct wish *wish)
{
    (void)wish;
    mine.helping = pthread_create(&mine.helper, NULL, help, NULL) == 0;
    return (struct reply){.status = mine.helping ? QUPLOG_OK : -EAGAIN};
}

static inline struct reply deed_loaded(const struct wish *wish)
{
    (void)wish;
    return (struct reply){.value = mine.q->core->loaded};
}

/* Set a trap at the next write (number 0) or sync (1): size is an enum trap. */
static inline struct reply deed_trap(const struct wish *wish)
{
    atomic_store(wish->number ? &mine.at_sync : &mine.at_write, (int)wish->size);
    return (struct reply){0};
}

static inline void set_trap(struct mate *mate, bool at_sync, enum trap trap)
{
    tell_wish(mate, (struct wish){.deed = deed_trap, .number = at_sync, .size = trap});
}

/* A number that stands for everything that the table says of all jobs. */
static inline uint64_t digest_of(quplog *q)
{
    quplog_job_info info[64];
    size_t count = 1;
    uint64_t after = 0, digest = UINT64_C(14695981039346656037);
    while (count) {
        if (quplog_find(q, 0, NULL, 0, NULL, 0, 0, 0, after, false, info, 64, &count))
            return 0;
        for (size_t i = 0; i < count; i++) {
            const quplog_job_info *n = &info[i];
            const uint64_t all[] = {n->id,
                                    n->put_lsn,
                                    n->token,
                                    (uint64_t)n->created_us,
                                    (uint64_t)n->due_us,
                                    (uint64_t)n->started_us,
                                    (uint64_t)n->finished_us,
                                    n->attempt,
                                    n->crashes,
                                    (uint64_t)n->state,
                                    n->cancel_requested};
            for (size_t k = 0; k < sizeof all / sizeof *all; k++)
                digest = (digest ^ all[k]) * UINT64_C(1099511628211);
        }
        after = count ? info[count - 1].id : 0;
    }
    return digest;
}

static inline struct reply deed_digest(const struct wish *wish)
{
    (void)wish;
    return (struct reply){.value = digest_of(mine.q)};
}

/* status: the job's state. */
static inline struct reply deed_info(const struct wish *wish)
{
    quplog_job_info info = {0};
    int status = quplog_info(mine.q, wish->number, &info);
    return (struct reply){
        .status = status ? -status : info.state, .token = info.token, .value = info.crashes};
}

/* ---- looking ---- */

/* The test itself as one more process. */
static inline quplog *join(void)
{
    quplog *q = NULL;
    quplog_options options = lab_options();
    quplog_report report = {0};
    options.lock_timeout_us = LOCK_TIMEOUT_US;
    int status = open_with(io_system(), lab_path("log"), &options, &q, &report);
    if (status)
        printf("    opening says %d: %s\n", status, report.message);
    REQUIRE(status == QUPLOG_OK);
    return q;
}

static inline uint64_t count_state(quplog *q, int state)
{
    uint64_t counts[QUPLOG_STATE_COUNT];
    CHECK_EQUAL(quplog_counts(q, NULL, 0, counts), QUPLOG_OK);
    return counts[state];
}

static inline int64_t monotonic(void)
{
    return io_system()->monotonic_us(NULL);
}

static inline void await_sleeping(struct control_word *word, uint32_t sleepers)
{
    int64_t end = monotonic() + 60 * INT64_C(1000000);
    while (control_counted(&word->sleepers) < sleepers && monotonic() < end)
        sched_yield();
    REQUIRE(control_counted(&word->sleepers) >= sleepers);
}

/* Every frame of the log is whole, to its end. */
static inline void check_frames(void)
{
    quplog_reader *reader = NULL;
    quplog_report report = {0};
    uint64_t size;
    REQUIRE(quplog_reader_open(lab_path("log"), 0, &reader, &report) == QUPLOG_OK);
    int status = QUPLOG_OK;
    while (status == QUPLOG_OK)
        status = quplog_reader_skip(reader, 1000);
    quplog_reader_report(reader, &report, &size);
    CHECK_EQUAL(status, QUPLOG_EMPTY);
    CHECK_EQUAL(report.damage_lsn, 0);
    quplog_reader_close(reader);
}

/* ThreadSanitizer refuses threads in a child that was forked beside threads, unless it is told. */
__attribute__((used, visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}

#endif
