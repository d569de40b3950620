/* A process is killed at each named place between two writes, and another one goes on. */
#include "process_lab.h"

#ifdef QUPLOG_FAILPOINTS

static struct reply deed_failpoint(const struct wish *wish)
{
    setenv("QUPLOG_FAILPOINT", wish->text, 1);
    return (struct reply){0};
}

static void set_failpoint(struct mate *mate, const char *place)
{
    struct wish wish = {.deed = deed_failpoint};
    snprintf(wish.text, sizeof wish.text, "%s", place);
    tell_wish(mate, wish);
}

/* ---- what was promised ---- */

enum promise { NOT_ASKED, ASKED, PUT, FINISHED };

struct book {
    unsigned char promise[LAB_JOBS]; /* by number */
    uint64_t id[LAB_JOBS];
    unsigned count;
};

/* A job's number by its id: the director has put all of them through its mates. */
static unsigned number_of(const struct book *book, uint64_t id)
{
    for (unsigned i = 0; i < book->count; i++)
        if (book->id[i] == id)
            return i;
    return LAB_JOBS;
}

/* One deed of a mate that may die of it; false if it did. */
static bool dare(struct mate *mate, struct wish wish, struct reply *reply)
{
    begin_wish(mate, wish);
    if (hear(mate, reply))
        return true;
    reap(mate);
    return false;
}

static bool dare_put(struct mate *mate, struct book *book, uint64_t size)
{
    struct reply reply;
    unsigned number = book->count++;
    book->promise[number] = ASKED;
    if (!dare(mate, (struct wish){.deed = deed_put, .number = number, .size = size}, &reply))
        return false;
    CHECK(reply.status == QUPLOG_OK || reply.status == QUPLOG_FULL);
    if (reply.status == QUPLOG_OK) {
        CHECK_EQUAL(number_of(book, reply.id), LAB_JOBS); /* never given before */
        book->promise[number] = PUT;
        book->id[number] = reply.id;
    } else {
        book->promise[number] = NOT_ASKED;
    }
    return true;
}

/* A run from claim to finish. */
static bool dare_run(struct mate *mate, struct book *book)
{
    struct reply reply;
    if (!dare(mate, (struct wish){.deed = deed_claim}, &reply))
        return false;
    CHECK(reply.status == QUPLOG_OK || reply.status == QUPLOG_EMPTY);
    if (reply.status)
        return true;
    unsigned number = number_of(book, reply.id);
    if (!dare(mate, (struct wish){.deed = deed_finish, .number = QUPLOG_RUN_SUCCEEDED}, &reply))
        return false;
    CHECK_EQUAL(reply.status, QUPLOG_OK);
    if (number < LAB_JOBS) /* else one that was put, and whose putter was never told */
        book->promise[number] = FINISHED;
    return true;
}

static void check_book(quplog *q, const struct book *book)
{
    static struct lab_jobs jobs;
    lab_read(q, &jobs);
    CHECK(!jobs.wrong); /* no job twice, none that nobody put */
    for (unsigned i = 0; i < LAB_JOBS; i++) {
        if (book->promise[i] == PUT)
            CHECK(jobs.state[i] == QUPLOG_READY || jobs.state[i] == QUPLOG_RUNNING ||
                  jobs.state[i] == QUPLOG_SUCCEEDED);
        if (book->promise[i] == FINISHED)
            CHECK_EQUAL(jobs.state[i], QUPLOG_SUCCEEDED);
        if (book->promise[i] == NOT_ASKED)
            CHECK_EQUAL(jobs.state[i], 0);
        if (book->id[i])
            CHECK_EQUAL(jobs.id[i], book->id[i]);
    }
}

/* ---- the story ---- */

enum { BIG = 6000, MANY = 300 };

/* Until it dies: puts of many sizes, which rotate, and runs. */
static void live_dangerously(struct mate *mate, struct book *book)
{
    for (unsigned i = 0; i < MANY; i++)
        if (!dare_put(mate, book, i % 3 ? 100 : BIG) || !dare_run(mate, book))
            return;
    CHECK(!"it lives");
}

/* The survivors go on, and then whoever opens the log anew. */
static void go_on(struct mate *survivor, struct book *book, quplog *q)
{
    for (unsigned i = 0; i < 10; i++) /* the first would fit in before what the dead has made */
        CHECK(dare_put(survivor, book, i % 3 == 2 ? BIG : 100));
    check_book(q, book);
    CHECK_EQUAL(atomic_load(&q->core->control.page->dirty), 0);
    tell(survivor, deed_worker, 0);
    for (unsigned i = 0; i < 5; i++)
        CHECK(dare_run(survivor, book));
    CHECK_EQUAL(lab_try_put(q, book->count, 100, true), QUPLOG_OK); /* this process too */
    book->promise[book->count++] = PUT;
    check_book(q, book);
    CHECK_EQUAL(tell(survivor, deed_digest, 0).value, digest_of(q));
    check_frames();
    lab_close(q);
    strike(survivor);
    q = join();
    check_book(q, book);
    CHECK_EQUAL(count_state(q, QUPLOG_RUNNING), 0);
    CHECK_EQUAL(lab_try_put(q, book->count, 100, true), QUPLOG_OK);
    book->promise[book->count++] = PUT;
    check_book(q, book);
    lab_close(q);
    check_frames();
}

static void begin_story(struct mate *one, struct mate *two, struct mate *three, struct book *book)
{
    memset(book, 0, sizeof *book);
    struct mate *all[] = {one, two, three};
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQUAL(tell(all[i], deed_open, 0).status, QUPLOG_OK);
        for (unsigned k = 0; k < 5; k++)
            CHECK(dare_put(all[i], book, 200));
    }
    tell(one, deed_worker, 0);
    for (unsigned k = 0; k < 3; k++)
        CHECK(dare_run(one, book));
}

static struct book book;

static void die_at(const char *place)
{
    gather();
    struct mate *victim = enlist(), *second = enlist(), *survivor = enlist();
    begin_story(victim, second, survivor, &book);
    quplog *q = join();
    check_book(q, &book);
    set_failpoint(victim, place);
    live_dangerously(victim, &book);
    strike(second); /* it had the log open, and held nothing */
    go_on(survivor, &book, q);
    gather();
    lab_remove(lab_path("log"));
    if (test_now.failures)
        printf("    at the place \"%s\"\n", place);
}

TEST(a_death_at_any_place_of_an_append_loses_and_doubles_nothing)
{
    static const char *const places[] = {"taken",         "dirty",      "woken",
                                         "before the write", "written", "ids published",
                                         "tail published", "applied",   "claimed",
                                         "given",         "segment created"};
    for (size_t i = 0; i < sizeof places / sizeof *places && test_now.failures == 0; i++)
        die_at(places[i]);
}

/* The one dies in its write, the next while it repairs that, in each combination. */
TEST(a_death_while_another_s_death_is_repaired_loses_and_doubles_nothing)
{
    static const char *const places[] = {"dirty",          "before the write", "written",
                                         "ids published",  "tail published",   "segment created"};
    for (size_t i = 0; i < sizeof places / sizeof *places && test_now.failures == 0; i++) {
        gather();
        struct mate *victim = enlist(), *second = enlist(), *survivor = enlist();
        begin_story(victim, second, survivor, &book);
        quplog *q = join();
        set_failpoint(second, "repaired");
        set_failpoint(victim, places[i]);
        live_dangerously(victim, &book);
        CHECK(!dare_put(second, &book, BIG));
        go_on(survivor, &book, q);
        gather();
        lab_remove(lab_path("log"));
        if (test_now.failures)
            printf("    first at the place \"%s\"\n", places[i]);
    }
}

/* The disk is full: what runs can end in the spare segment, and its taker dies. */
TEST(a_death_at_the_taking_of_the_spare_loses_and_doubles_nothing)
{
    static const char *const places[] = {"spare adopted", "written", "tail published"};
    for (size_t i = 0; i < sizeof places / sizeof *places && test_now.failures == 0; i++) {
        gather();
        struct mate *victim = enlist(), *second = enlist(), *survivor = enlist();
        begin_story(victim, second, survivor, &book);
        quplog *q = join();
        for (unsigned k = 0; k < 8; k++)
            CHECK(dare_put(victim, &book, BIG));
        set_trap(victim, false, TRAP_FULL);
        while (count_state(q, QUPLOG_READY) < 600 && dare_put(victim, &book, 100) &&
               book.promise[book.count - 1] == PUT)
            continue;
        set_failpoint(victim, places[i]);
        bool lives = true;
        while (lives && count_state(q, QUPLOG_READY))
            lives = dare_run(victim, &book);
        CHECK(!lives);
        strike(second);
        go_on(survivor, &book, q);
        gather();
        lab_remove(lab_path("log"));
        if (test_now.failures)
            printf("    at the place \"%s\"\n", places[i]);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(a_death_at_any_place_of_an_append_loses_and_doubles_nothing),
        LISTED(a_death_while_another_s_death_is_repaired_loses_and_doubles_nothing),
        LISTED(a_death_at_the_taking_of_the_spare_loses_and_doubles_nothing),
    };
    return RUN(tests, argc, argv);
}

#else

int main(void)
{
    printf("skipped: this build has no failpoints (QUPLOG_FAILPOINTS)\n");
    return 0;
}

#endif
