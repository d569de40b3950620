/* The page that all processes share: what of it is believed, and who is woken through it. */
#include "control.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "core.h"
#include "faulty_io.h"
#include "log_lab.h"

enum { GUARD_US = 60 * 1000000 };

static int open_directory(void)
{
    const struct io *io = io_system();
    int dir = io->open(io->world, IO_CWD, test_directory(), IO_DIRECTORY);
    REQUIRE(dir >= 0);
    return dir;
}

/* The page of the test's directory, made anew and ready. */
static struct control make(void)
{
    struct control control;
    int dir = open_directory();
    REQUIRE(control_open(&control, io_system(), dir) == 0);
    close(dir);
    REQUIRE(control_reset(&control) == 0);
    control_make_ready(&control);
    return control;
}

/* One more mapping of the same file, as another process has it. */
static struct control map_again(const struct io *io)
{
    struct control control;
    int dir = open_directory();
    REQUIRE(control_open(&control, io, dir) == 0);
    close(dir);
    return control;
}

/* ---- numbers ---- */

TEST(a_writer_that_died_between_the_halves_leaves_the_older_number)
{
    struct control control = make();
    uint64_t value;
    control_write_number(&control.page->tail, 8192);
    CHECK(control_read_number(&control.page->tail, &value));
    CHECK_EQUAL(value, 8192);
    atomic_store(&control.page->tail.value, 9000); /* and its complement was never written */
    CHECK(!control_read_number(&control.page->tail, &value));
    CHECK_EQUAL(control_older(&control.page->tail), 8192);
    CHECK_EQUAL(control_tail(&control), 8192);
    CHECK(!control_poisoned(&control));
    control_write_number(&control.page->tail, 9000); /* who repairs completes it */
    CHECK_EQUAL(control_tail(&control), 9000);
    control_close(&control);
}

/* The halves stand in two pages, one of which is read-only: a child dies when it comes to that. */
static void write_and_die(struct control_number *number, uint64_t value, void *page)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const struct rlimit nothing = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &nothing);
        signal(SIGSEGV, SIG_DFL); /* and no report of a sanitizer */
        if (mprotect(page, (size_t)sysconf(_SC_PAGESIZE), PROT_READ) == 0)
            control_write_number(number, value);
        _exit(1);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

TEST(a_writer_that_dies_at_either_half_leaves_a_number_that_can_be_read)
{
    struct control control = make();
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(pages != MAP_FAILED);
    struct control_number *number =
        (void *)(pages + size - offsetof(struct control_number, check));
    for (int half = 0; half < 2; half++) {
        control_write_number(number, 8192);
        write_and_die(number, 9000, pages + (half ? size : 0));
        control_write_number(&control.page->tail, 8192);
        atomic_store(&control.page->tail.value, atomic_load(&number->value));
        atomic_store(&control.page->tail.check, atomic_load(&number->check));
        CHECK_EQUAL(atomic_load(&number->value), half ? 9000 : 8192); /* it comes first */
        CHECK_EQUAL(control_tail(&control), 8192);
        CHECK(!control_poisoned(&control));
    }
    REQUIRE(munmap(pages, 2 * size) == 0);
    control_close(&control);
}

TEST(a_number_that_goes_backwards_is_poison)
{
    struct control control = make();
    control_write_number(&control.page->synced, 9000);
    CHECK_EQUAL(control_synced(&control), 9000);
    control_write_number(&control.page->synced, 8999);
    CHECK_EQUAL(control_synced(&control), 9000); /* what was acknowledged stays so */
    CHECK(control_poisoned(&control));
    CHECK_EQUAL(atomic_load(&control.page->poisoned), 1);
    control_close(&control);
}

/* Garbage must never read as a number that is merely large: nothing would be synced any more. */
TEST(garbage_is_poison_and_never_a_number)
{
    static const uint64_t garbage[][2] = {
        {UINT64_C(0xa5a5a5a5a5a5a5a5), UINT64_C(0xa5a5a5a5a5a5a5a5)},
        {0, 0},
        {UINT64_MAX, UINT64_MAX},
        {9000, 9000},
        {UINT64_C(0x0123456789abcdef), ~UINT64_C(0x4123456789abcdef)},
        {UINT64_C(0x4123456789abcdef), ~UINT64_C(0x0123456789abcdef)},
        {8000, ~UINT64_C(9000)}, /* the halves in the wrong order */
    };
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        struct control control = make();
        control_write_number(&control.page->synced, 8192);
        CHECK_EQUAL(control_synced(&control), 8192);
        atomic_store(&control.page->synced.value, garbage[i][0]);
        atomic_store(&control.page->synced.check, garbage[i][1]);
        CHECK_EQUAL(control_synced(&control), 8192);
        CHECK(control_poisoned(&control));
        control_close(&control);
    }
}

/* ---- a log whose page is spoiled ---- */

enum spoil {
    TAIL_GARBAGE,
    TAIL_BACK,
    TAIL_AHEAD,
    HEAD_GARBAGE,
    ZEROED_GARBAGE,
    ZEROED_LOW,
    NEXT_ID_GARBAGE,
    FIRST_LSN_GARBAGE,
    FIRST_LSN_AHEAD,
    SYNCED_GARBAGE,
    SYNCED_AHEAD,
    DIRTY_GARBAGE,
    DIRTY_AND_TAIL_GARBAGE,
    DIRTY_AND_HEAD_GARBAGE,
    DIRTY_AND_TAIL_BACK,
    DIRTY_AND_TAIL_AHEAD,
    ALL_ZERO,
    ALL_GARBAGE,
    SPOILS
};

static void garble(struct control_number *number)
{
    atomic_store(&number->value, UINT64_C(0x1122334455667788));
    atomic_store(&number->check, UINT64_C(0x1122334455667788));
}

static void spoil(struct control_page *page, enum spoil how)
{
    uint64_t tail = control_older(&page->tail);
    switch (how) {
    case TAIL_GARBAGE: garble(&page->tail); break;
    case TAIL_BACK: control_write_number(&page->tail, tail - 64); break;
    case TAIL_AHEAD: control_write_number(&page->tail, UINT64_C(1) << 40); break;
    case HEAD_GARBAGE: garble(&page->head); break;
    case ZEROED_GARBAGE: garble(&page->zeroed); break;
    case ZEROED_LOW: control_write_number(&page->zeroed, tail - 64); break;
    case NEXT_ID_GARBAGE: garble(&page->next_id); break;
    case FIRST_LSN_GARBAGE: garble(&page->first_lsn); break;
    case FIRST_LSN_AHEAD: control_write_number(&page->first_lsn, tail + 8); break;
    case SYNCED_GARBAGE: garble(&page->synced); break;
    case SYNCED_AHEAD: control_write_number(&page->synced, tail + 8); break;
    case DIRTY_GARBAGE: atomic_store(&page->dirty, UINT64_C(0x1122334455667788)); break;
    case DIRTY_AND_TAIL_GARBAGE:
        atomic_store(&page->dirty, 1);
        garble(&page->tail);
        break;
    case DIRTY_AND_HEAD_GARBAGE:
        atomic_store(&page->dirty, 1);
        garble(&page->head);
        break;
    case DIRTY_AND_TAIL_BACK:
        atomic_store(&page->dirty, tail + 200);
        control_write_number(&page->tail, tail - 64);
        break;
    case DIRTY_AND_TAIL_AHEAD:
        atomic_store(&page->dirty, tail + (1 << 20) + 200);
        control_write_number(&page->tail, tail + (1 << 20));
        break;
    case ALL_ZERO: memset((void *)page, 0, sizeof *page); break;
    case ALL_GARBAGE: memset((void *)page, 0xa5, sizeof *page); break;
    case SPOILS: break;
    }
}

/* Whoever has failed lets go by himself, and soon: perhaps his flusher is just about to. */
static quplog *open_when_let_go(void)
{
    quplog *q = NULL;
    quplog_options options = lab_options();
    quplog_report report = {0};
    options.lock_timeout_us = GUARD_US;
    REQUIRE(open_with(io_system(), lab_path("log"), &options, &q, &report) == QUPLOG_OK);
    return q;
}

static void spoil_and_reopen(enum spoil how)
{
    struct faulty *one = faulty_new(), *two = faulty_new();
    quplog *q = lab_open(one, lab_path("log")), *other = lab_open(two, lab_path("log"));
    for (unsigned i = 0; i < 5; i++)
        lab_put(i % 2 ? other : q, i, 100, true);
    lab_put(q, 5, 100, false);
    spoil(q->core->control.page, how);
    /* Whoever is first may find it only at the sync. */
    CHECK_EQUAL(lab_try_put(q, 6, 100, true), QUPLOG_FAILED);
    CHECK_EQUAL(lab_try_put(other, 7, 100, true), QUPLOG_FAILED);
    CHECK_EQUAL(lab_try_put(q, 6, 100, false), QUPLOG_FAILED);
    static struct lab_jobs jobs;
    quplog *again = open_when_let_go();
    lab_read(again, &jobs);
    CHECK(!jobs.wrong);
    for (unsigned i = 0; i < 6; i++)
        CHECK_EQUAL(jobs.state[i], QUPLOG_READY);
    lab_put(again, 8, 100, true);
    lab_close(again);
    lab_leave(q);
    lab_leave(other);
    if (test_now.failures)
        printf("    spoiled in way %d\n", (int)how);
    faulty_free(one);
    faulty_free(two);
    lab_remove(lab_path("log"));
}

TEST(a_page_that_cannot_be_believed_fails_all_and_loses_nothing)
{
    for (int how = 0; how < SPOILS && test_now.failures == 0; how++)
        spoil_and_reopen((enum spoil)how);
}

/* What was trimmed needs no sync. Garbage must not say that of what does. */
TEST(a_first_lsn_that_is_garbage_keeps_no_segment_from_being_synced)
{
    quplog *q = lab_open(NULL, lab_path("log"));
    lab_put_many(q, 0, 15, 6000);
    struct lab_list list = lab_segments(lab_path("log"));
    REQUIRE(list.count == 2);
    atomic_store(&q->core->control.page->first_lsn.value, list.base[1]);
    atomic_store(&q->core->control.page->first_lsn.check, 0);
    CHECK_EQUAL(quplog_sync(q), QUPLOG_FAILED);
    lab_leave(q);
    q = lab_open(NULL, lab_path("log"));
    lab_expect(q, 15);
    lab_close(q);
}

/* ---- who may join ---- */

TEST(nobody_joins_a_page_that_is_not_ready_poisoned_or_of_another_boot)
{
    struct faulty *f = faulty_new();
    struct control maker = make(), other = map_again(io_system());
    CHECK(control_join(&other));
    CHECK_EQUAL(other.epoch, maker.epoch);
    struct control elsewhere = map_again(faulty_io(f)); /* it has another boot id */
    CHECK(!control_join(&elsewhere));
    REQUIRE(control_reset(&maker) == 0);
    CHECK(!control_join(&other)); /* the recovery is not complete */
    control_make_ready(&maker);
    CHECK(control_join(&other));
    control_fail(&maker);
    CHECK(!control_join(&other));
    REQUIRE(control_reset(&maker) == 0); /* recovered: what was seen before is forgotten */
    control_make_ready(&maker);
    CHECK(control_join(&other));
    CHECK(!control_poisoned(&other));
    control_close(&elsewhere);
    control_close(&other);
    control_close(&maker);
    faulty_free(f);
}

TEST(a_page_of_another_epoch_is_poison_for_those_of_the_old_one)
{
    struct control maker = make(), other = map_again(io_system());
    REQUIRE(control_join(&other));
    REQUIRE(control_reset(&maker) == 0);
    control_make_ready(&maker);
    CHECK(control_poisoned(&other));
    control_fail(&other); /* the old one's failure is not the new one's */
    CHECK(!control_poisoned(&maker));
    CHECK_EQUAL(atomic_load(&maker.page->poisoned), 0);
    control_close(&other);
    control_close(&maker);
}

TEST(a_page_of_an_earlier_format_is_not_joined)
{
    struct control maker = make(), other = map_again(io_system());
    maker.page->magic[7]++;
    CHECK(!control_join(&other));
    control_close(&other);
    control_close(&maker);
}

/* ---- two mappings ---- */

TEST(what_one_mapping_writes_the_other_reads)
{
    struct control a = make(), b = map_again(io_system());
    REQUIRE(control_join(&b));
    CHECK(a.page != b.page);
    control_write_number(&a.page->tail, 12345);
    CHECK_EQUAL(control_tail(&b), 12345);
    control_fail(&b);
    CHECK(control_poisoned(&a));
    control_close(&a);
    control_close(&b);
}

TEST(a_page_of_ones_own_is_nobody_elses)
{
    struct control shared = make(), a, b;
    REQUIRE(control_open_private(&a, io_system()) == 0);
    REQUIRE(control_open_private(&b, io_system()) == 0);
    control_write_number(&a.page->tail, 12345);
    CHECK_EQUAL(control_tail(&b), 0);
    control_fail(&a);
    CHECK(control_poisoned(&a));
    CHECK(!control_poisoned(&b));
    CHECK(!control_poisoned(&shared));
    control_close(&a);
    control_close(&b);
    control_close(&shared);
}

/* A page that is read a second time, since the log was trimmed meanwhile, may end earlier. */
TEST(a_page_that_is_made_anew_may_begin_lower)
{
    struct control control;
    REQUIRE(control_open_private(&control, io_system()) == 0);
    control_write_number(&control.page->tail, 12345);
    CHECK_EQUAL(control_tail(&control), 12345);
    REQUIRE(control_reset(&control) == 0);
    control_write_number(&control.page->tail, 8192);
    CHECK_EQUAL(control_tail(&control), 8192);
    CHECK(!control_poisoned(&control));
    control_close(&control);
}

/* ---- words ---- */

struct sleeper {
    pthread_t thread;
    struct control *control;
    uint32_t bits;
    _Atomic int status; /* 1: it sleeps */
};

static void *sleep_once(void *context)
{
    struct sleeper *s = context;
    struct control_word *word = &s->control->page->work;
    const struct io *io = io_system();
    uint32_t seen = control_read(word);
    int status = control_sleep(io, word, seen, io->monotonic_us(io->world) + GUARD_US,
                               IO_FUTEX_MONOTONIC, s->bits);
    atomic_store(&s->status, status);
    return NULL;
}

static void start(struct sleeper *s, struct control *control, uint32_t bits, uint32_t already)
{
    *s = (struct sleeper){.control = control, .bits = bits, .status = 1};
    REQUIRE(pthread_create(&s->thread, NULL, sleep_once, s) == 0);
    while (control_counted(&control->page->work.sleepers) <= already)
        sched_yield();
}

/* How many were woken; the word stays as it is, so that who comes late sleeps all the same. */
static int wake(struct control *control, uint32_t bits)
{
    const struct io *io = io_system();
    return io->futex_wake(io->world, (uint32_t *)&control->page->work.value, CONTROL_ALL,
                          IO_FUTEX_SHARED, bits);
}

static int join_sleeper(struct sleeper *s)
{
    REQUIRE(pthread_join(s->thread, NULL) == 0);
    return atomic_load(&s->status);
}

TEST(a_sleeper_of_one_mapping_is_woken_through_the_other)
{
    struct control a = make(), b = map_again(io_system());
    struct sleeper sleeper;
    start(&sleeper, &a, IO_ALL_BITS, 0);
    control_bump(io_system(), &b.page->work, 1, IO_ALL_BITS);
    CHECK_EQUAL(join_sleeper(&sleeper), 0);
    CHECK_EQUAL(control_counted(&b.page->work.sleepers), 0);
    control_close(&a);
    control_close(&b);
}

TEST(only_who_waits_for_the_bit_is_woken)
{
    struct control control = make();
    struct sleeper one, two;
    start(&one, &control, 1, 0);
    start(&two, &control, 2, 1);
    while (wake(&control, 2) == 0) /* until it is really asleep, and not just counted */
        sched_yield();
    CHECK_EQUAL(join_sleeper(&two), 0);
    CHECK_EQUAL(atomic_load(&one.status), 1);
    CHECK_EQUAL(wake(&control, 2), 0);
    while (wake(&control, 1) == 0)
        sched_yield();
    CHECK_EQUAL(join_sleeper(&one), 0);
    control_close(&control);
}

/* Its wake-up comes late: the page is another by then, on which somebody else sleeps. */
TEST(a_sleeper_of_an_old_epoch_does_not_count_out_one_of_the_new)
{
    struct control maker = make();
    control_count *count = &maker.page->work.sleepers;
    uint32_t old = control_count_in(count);
    REQUIRE(control_reset(&maker) == 0);
    CHECK_EQUAL(control_counted(count), 0);
    uint32_t new = control_count_in(count);
    control_count_out(count, old);
    CHECK_EQUAL(control_counted(count), 1);
    control_count_out(count, new);
    CHECK_EQUAL(control_counted(count), 0);
    control_count_out(count, old); /* nor can it be less than nobody */
    CHECK_EQUAL(control_counted(count), 0);
    control_close(&maker);
}

static _Atomic int wakes;

static int count_wakes(void *w, uint32_t *word, int count, int flags, uint32_t bits)
{
    (void)w, (void)word, (void)count, (void)flags, (void)bits;
    atomic_fetch_add(&wakes, 1);
    return 0;
}

TEST(a_word_on_which_nobody_sleeps_costs_no_system_call)
{
    struct control control = make();
    struct io io = *io_system();
    io.futex_wake = count_wakes;
    atomic_store(&wakes, 0);
    uint32_t before = control_read(&control.page->work);
    control_bump(&io, &control.page->work, CONTROL_ALL, IO_ALL_BITS);
    CHECK_EQUAL(control_read(&control.page->work), before + 1);
    CHECK_EQUAL(atomic_load(&wakes), 0);
    (void)control_count_in(&control.page->work.sleepers); /* one that was killed stays counted */
    control_bump(&io, &control.page->work, CONTROL_ALL, IO_ALL_BITS);
    CHECK_EQUAL(atomic_load(&wakes), 1);
    control_bump(&io, &control.page->work, 0, IO_ALL_BITS);
    control_bump(&io, &control.page->work, CONTROL_ALL, 0);
    CHECK_EQUAL(atomic_load(&wakes), 1); /* nobody is meant */
    control_close(&control);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(a_writer_that_died_between_the_halves_leaves_the_older_number),
        LISTED(a_writer_that_dies_at_either_half_leaves_a_number_that_can_be_read),
        LISTED(a_number_that_goes_backwards_is_poison),
        LISTED(garbage_is_poison_and_never_a_number),
        LISTED(a_page_that_cannot_be_believed_fails_all_and_loses_nothing),
        LISTED(a_first_lsn_that_is_garbage_keeps_no_segment_from_being_synced),
        LISTED(nobody_joins_a_page_that_is_not_ready_poisoned_or_of_another_boot),
        LISTED(a_page_of_another_epoch_is_poison_for_those_of_the_old_one),
        LISTED(a_page_of_an_earlier_format_is_not_joined),
        LISTED(what_one_mapping_writes_the_other_reads),
        LISTED(a_page_of_ones_own_is_nobody_elses),
        LISTED(a_page_that_is_made_anew_may_begin_lower),
        LISTED(a_sleeper_of_one_mapping_is_woken_through_the_other),
        LISTED(only_who_waits_for_the_bit_is_woken),
        LISTED(a_sleeper_of_an_old_epoch_does_not_count_out_one_of_the_new),
        LISTED(a_word_on_which_nobody_sleeps_costs_no_system_call),
    };
    return RUN(tests, argc, argv);
}
