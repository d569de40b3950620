/* Several real processes on one log: what they see of each other, and what their deaths leave. */
#include "process_lab.h"

/* ---- appending side by side ---- */

TEST(four_processes_append_and_no_id_or_frame_is_lost_or_doubled)
{
    enum { EACH = 300 };
    static struct lab_jobs jobs;
    struct mate *m[4];
    gather();
    for (int i = 0; i < 4; i++)
        m[i] = enlist();
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(tell(m[i], deed_open, 0).status, QUPLOG_OK);
    for (unsigned i = 0; i < 4; i++)
        begin_wish(m[i], (struct wish){.deed = deed_put_many, .number = i * EACH, .size = EACH});
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(await(m[i]).status, QUPLOG_OK);
    quplog *q = join();
    lab_read(q, &jobs);
    CHECK(!jobs.wrong);
    CHECK_EQUAL(jobs.count, 4 * EACH);
    CHECK_EQUAL(lab_stats(q).next_id, 4 * EACH + 1);
    CHECK(lab_segments(lab_path("log")).count > 10); /* they rotated under each other */
    uint64_t digest = digest_of(q);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(tell(m[i], deed_digest, 0).value, digest);
    lab_close(q);
    check_frames();
    gather(); /* all killed */
    q = join();
    CHECK_EQUAL(digest_of(q), digest);
    lab_close(q);
}

TEST(a_process_joins_and_leaves_while_others_rotate)
{
    enum { EACH = 1000 };
    static struct lab_jobs jobs;
    gather();
    struct mate *a = enlist(), *b = enlist(), *guest = enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(b, deed_open, 0).status, QUPLOG_OK);
    begin_wish(a, (struct wish){.deed = deed_put_many, .size = EACH});
    begin_wish(b, (struct wish){.deed = deed_put_many, .number = EACH, .size = EACH});
    for (unsigned i = 0; i < 30; i++) {
        struct reply opened = tell(guest, deed_open, 0);
        CHECK_EQUAL(opened.status, QUPLOG_OK);
        CHECK_EQUAL(opened.value, QUPLOG_SHARED);
        CHECK_EQUAL(tell(guest, deed_put, 2 * EACH + i).status, QUPLOG_OK);
        CHECK(tell(guest, deed_digest, 0).value != 0);
        CHECK_EQUAL(tell(guest, deed_close, 0).status, QUPLOG_OK);
    }
    CHECK_EQUAL(await(a).status, QUPLOG_OK);
    CHECK_EQUAL(await(b).status, QUPLOG_OK);
    quplog *q = join();
    lab_read(q, &jobs);
    CHECK(!jobs.wrong);
    CHECK_EQUAL(jobs.count, 2 * EACH + 30);
    lab_close(q);
    check_frames();
    gather();
}

TEST(who_only_puts_never_builds_a_table)
{
    gather();
    struct mate *a = enlist(), *producer = enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    tell_wish(a, (struct wish){.deed = deed_put_many, .size = 50});
    CHECK_EQUAL(tell(producer, deed_open, 0).status, QUPLOG_OK);
    struct wish many = {.deed = deed_put_many, .number = 50, .size = 200};
    CHECK_EQUAL(tell_wish(producer, many).status, QUPLOG_OK);
    CHECK_EQUAL(tell(producer, deed_sync, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(producer, deed_loaded, 0).value, 0);
    CHECK(tell(producer, deed_digest, 0).value == tell(a, deed_digest, 0).value);
    CHECK_EQUAL(tell(producer, deed_loaded, 0).value, 1); /* who looks does */
    gather();
}

TEST(a_followers_table_equals_the_writers)
{
    gather();
    struct mate *a = enlist(), *b = enlist(), *c = enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(b, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(c, deed_open, 0).status, QUPLOG_OK);
    tell(a, deed_worker, 0);
    tell(b, deed_worker, 0);
    for (unsigned i = 0; i < 60; i++) {
        struct mate *runner = i % 2 ? a : b;
        static const int outcomes[] = {QUPLOG_RUN_SUCCEEDED, QUPLOG_RUN_FAILED, QUPLOG_RUN_RETRY,
                                       QUPLOG_RUN_SNOOZE, QUPLOG_RUN_CANCELLED};
        uint64_t id = tell(i % 3 ? b : a, deed_put, i).id;
        if (i % 7 == 0)
            CHECK_EQUAL(tell(c, deed_cancel, id).status, QUPLOG_OK);
        if (i % 4 == 0)
            continue;
        CHECK_EQUAL(tell(runner, deed_claim, 0).status, QUPLOG_OK);
        uint64_t outcome = (uint64_t)outcomes[i % 5];
        struct wish end = {.deed = deed_finish, .number = outcome, .us = INT64_MAX};
        CHECK_EQUAL(tell_wish(runner, end).status, QUPLOG_OK);
        if (i % 10 == 9)
            CHECK_EQUAL(tell(a, deed_digest, 0).value, tell(c, deed_digest, 0).value);
    }
    uint64_t digest = tell(a, deed_digest, 0).value;
    CHECK_EQUAL(tell(b, deed_digest, 0).value, digest);
    CHECK_EQUAL(tell(c, deed_digest, 0).value, digest);
    quplog *late = join(); /* from the oldest segment */
    CHECK_EQUAL(digest_of(late), digest);
    lab_close(late);
    gather();
}

static struct reply deed_compact(const struct wish *wish)
{
    (void)wish;
    return (struct reply){.status = quplog_compact(mine.q)};
}

TEST(a_follower_whose_next_segment_was_trimmed_builds_its_table_anew)
{
    gather();
    struct mate *a = enlist(), *viewer = enlist(), *decider = enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(viewer, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(decider, deed_open, 0).status, QUPLOG_OK);
    uint64_t id = tell(a, deed_put, 0).id;
    CHECK_EQUAL(tell(viewer, deed_info, id).status, QUPLOG_READY); /* both have tables now */
    CHECK_EQUAL(tell(decider, deed_info, id).status, QUPLOG_READY);
    CHECK_EQUAL(tell_wish(a, (struct wish){.deed = deed_put_many, .size = 150}).status, QUPLOG_OK);
    CHECK_EQUAL(tell(a, deed_compact, 0).status, QUPLOG_OK);
    CHECK(lab_segments(lab_path("log")).base[0] > LAB_SEGMENT);
    uint64_t digest = tell(a, deed_digest, 0).value;
    CHECK_EQUAL(tell(viewer, deed_digest, 0).value, digest);
    CHECK_EQUAL(tell(decider, deed_cancel, id).status, QUPLOG_OK);
    CHECK_EQUAL(tell(viewer, deed_info, id).status, QUPLOG_CANCELLED);
    gather();
}

/* ---- waking each other ---- */

TEST(a_job_put_by_one_process_wakes_the_worker_of_another)
{
    gather();
    struct mate *a = enlist(), *b = enlist();
    quplog *q = join();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(b, deed_open, 0).status, QUPLOG_OK);
    tell(a, deed_worker, 0);
    begin(a, deed_wait_for_work, 0);
    await_sleeping(&q->core->control.page->work, 1);
    uint64_t id = tell(b, deed_put, 0).id;
    struct reply claimed = await(a);
    CHECK_EQUAL(claimed.status, QUPLOG_OK);
    CHECK_EQUAL(claimed.id, id);
    lab_close(q);
    gather();
}

TEST(who_waits_for_a_result_hears_of_it_from_another_process)
{
    gather();
    struct mate *a = enlist(), *b = enlist();
    quplog *q = join();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(b, deed_open, 0).status, QUPLOG_OK);
    uint64_t id = tell(a, deed_put, 0).id;
    begin(a, deed_wait_job, id);
    await_sleeping(&q->core->control.page->results[id % CONTROL_RESULTS], 1);
    tell(b, deed_worker, 0);
    CHECK_EQUAL(tell(b, deed_claim, 0).id, id);
    CHECK_EQUAL(tell(b, deed_finish, QUPLOG_RUN_SUCCEEDED).status, QUPLOG_OK);
    CHECK_EQUAL(await(a).status, QUPLOG_OK);
    lab_close(q);
    gather();
}

/* ---- a worker's process dies ---- */

TEST(a_dead_process_s_job_goes_back_with_a_crash_by_who_takes_its_slot)
{
    gather();
    struct mate *a = enlist(), *b = enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(b, deed_open, 0).status, QUPLOG_OK);
    uint64_t id = tell(b, deed_put, 0).id;
    tell(a, deed_worker, 0);
    struct reply lost = tell(a, deed_claim, 0);
    CHECK_EQUAL(lost.id, id);
    strike(a);
    CHECK_EQUAL(tell(b, deed_info, id).status, QUPLOG_RUNNING);
    tell(b, deed_worker, 0);
    struct reply again = tell(b, deed_claim, 0);
    CHECK_EQUAL(again.id, id);
    CHECK_EQUAL(again.claim.crashes, 1);
    CHECK_EQUAL(again.claim.attempt, 1); /* a crash uses up none */
    CHECK(again.token > lost.token);
    gather();
}

TEST(a_dead_process_s_job_goes_back_with_a_crash_by_a_helper)
{
    gather();
    struct mate *a = enlist(), *b = enlist(), *c = enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(b, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(c, deed_open, 0).status, QUPLOG_OK);
    tell(a, deed_worker, 0);
    tell(b, deed_worker, 0);
    CHECK_EQUAL(tell(b, deed_claim, 0).status, QUPLOG_EMPTY); /* it has a slot of its own */
    uint64_t id = tell(a, deed_put, 0).id;
    CHECK_EQUAL(tell(a, deed_claim, 0).id, id);
    begin(b, deed_wait_for_work, 0);
    CHECK_EQUAL(tell(c, deed_keep, 0).status, QUPLOG_OK);
    strike(a);
    struct reply again = await(b); /* the helper looks within a second, and wakes it */
    CHECK_EQUAL(again.id, id);
    CHECK_EQUAL(again.claim.crashes, 1);
    gather();
}

/* As if the kernel had taken the process for dead: another run has begun meanwhile. */
static struct reply deed_lose_slot(const struct wish *wish)
{
    (void)wish;
    slot_leave(&mine.q->core->slot);
    return (struct reply){0};
}

TEST(the_finish_of_a_run_that_was_given_up_is_refused)
{
    gather();
    struct mate *a = enlist(), *b = enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(b, deed_open, 0).status, QUPLOG_OK);
    tell(a, deed_worker, 0);
    tell(b, deed_worker, 0);
    uint64_t id = tell(a, deed_put, 0).id;
    CHECK_EQUAL(tell(a, deed_claim, 0).id, id);
    tell(a, deed_lose_slot, 0);
    struct reply again = tell(b, deed_claim, 0);
    CHECK_EQUAL(again.id, id);
    CHECK_EQUAL(tell(a, deed_finish, QUPLOG_RUN_SUCCEEDED).status, QUPLOG_STALE);
    CHECK_EQUAL(tell(a, deed_info, id).token, again.token);
    CHECK_EQUAL(tell(b, deed_finish, QUPLOG_RUN_SUCCEEDED).status, QUPLOG_OK);
    CHECK_EQUAL(tell(a, deed_info, id).status, QUPLOG_SUCCEEDED);
    gather();
}

/* ---- a process is stopped ---- */

TEST(a_stopped_writer_locks_others_out_for_a_while_and_nothing_is_lost)
{
    static struct lab_jobs jobs;
    gather();
    struct mate *a = enlist(), *b = enlist(), *c = enlist();
    quplog *q = join();
    struct control_page *page = q->core->control.page;
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell_wish(b, (struct wish){.deed = deed_open, .us = 100000}).status, QUPLOG_OK);
    CHECK_EQUAL(tell(c, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(a, deed_put, 0).status, QUPLOG_OK);
    set_trap(a, false, TRAP_STOP);
    begin(a, deed_put, 1);
    await_stop(a);
    uint64_t tail = control_older(&page->tail);
    struct reply locked = tell(b, deed_put, 2);
    CHECK_EQUAL(locked.status, QUPLOG_LOCKED);
    CHECK_EQUAL(locked.id, 0);
    begin(c, deed_put, 3); /* it waits for long: a signal ends that */
    await_sleeping(&page->append, 1);
    struct reply told = {0};
    struct pollfd ready = {.fd = c->replies, .events = POLLIN};
    while (poll(&ready, 1, 1) == 0) /* a signal may come when it does not sleep */
        REQUIRE(kill(c->pid, SIGUSR1) == 0);
    told = await(c);
    CHECK_EQUAL(told.status, QUPLOG_INTERRUPTED);
    CHECK_EQUAL(told.id, 0);
    CHECK_EQUAL(control_older(&page->tail), tail);
    begin(c, deed_put, 2); /* whoever waits goes on when the stopped one does */
    await_sleeping(&page->append, 1);
    REQUIRE(kill(a->pid, SIGCONT) == 0);
    CHECK_EQUAL(await(a).status, QUPLOG_OK);
    CHECK_EQUAL(await(c).status, QUPLOG_OK);
    CHECK_EQUAL(tell(b, deed_put, 3).status, QUPLOG_OK);
    lab_read(q, &jobs);
    CHECK(!jobs.wrong);
    CHECK_EQUAL(jobs.count, 4);
    lab_close(q);
    check_frames();
    gather();
}

TEST(a_writer_killed_in_its_write_leaves_nothing_half_done)
{
    static struct lab_jobs jobs;
    gather();
    struct mate *a = enlist(), *b = enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(b, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(a, deed_put, 0).status, QUPLOG_OK);
    set_trap(a, false, TRAP_KILL);
    begin(a, deed_put, 1);
    await_death(a);
    struct reply next = tell(b, deed_put, 2);
    CHECK_EQUAL(next.status, QUPLOG_OK);
    CHECK_EQUAL(next.id, 2); /* nobody was given it */
    quplog *q = join();
    lab_read(q, &jobs);
    CHECK(!jobs.wrong);
    CHECK_EQUAL(jobs.count, 2);
    lab_close(q);
    check_frames();
    gather();
}

TEST(half_a_frame_becomes_zeros_again)
{
    gather();
    struct mate *a = enlist(), *b = enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(b, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(a, deed_put, 0).status, QUPLOG_OK);
    set_trap(a, false, TRAP_HALF);
    begin_wish(a, (struct wish){.deed = deed_put, .number = 1, .size = 9000});
    await_death(a);
    CHECK_EQUAL(tell(b, deed_put, 1).status, QUPLOG_OK); /* a shorter one at its place */
    quplog *q = join();
    uint64_t tail = lab_stats(q).tail_lsn;
    struct lab_file file = lab_load(lab_path("log/0000000000000000.log"));
    for (size_t i = tail; i < file.length; i++)
        REQUIRE(file.data[i] == 0);
    free(file.data);
    lab_expect(q, 2);
    lab_close(q);
    gather();
    q = join();
    lab_expect(q, 2);
    CHECK(!lab_exists(lab_path("log"), "quarantine"));
    lab_close(q);
}

TEST(the_spare_of_a_full_disk_is_for_what_runs_and_not_for_new_jobs)
{
    gather();
    struct mate *a = enlist();
    quplog *q = join();
    unsigned jobs = 0;
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    tell(a, deed_worker, 0);
    set_trap(a, false, TRAP_FULL);
    while (tell(a, deed_put, jobs).status == QUPLOG_OK)
        REQUIRE(++jobs < LAB_JOBS);
    while (!atomic_load(&q->core->control.page->spare_used)) {
        REQUIRE(tell(a, deed_claim, 0).status == QUPLOG_OK);
        REQUIRE(tell(a, deed_finish, QUPLOG_RUN_SUCCEEDED).status == QUPLOG_OK);
    }
    CHECK_EQUAL(tell(a, deed_put, jobs).status, QUPLOG_FULL); /* there is room in it */
    CHECK_EQUAL(tell(a, deed_claim, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(a, deed_finish, QUPLOG_RUN_SUCCEEDED).status, QUPLOG_OK);
    set_trap(a, false, TRAP_NONE);
    lab_put(q, jobs, 100, true); /* as soon as there is a spare again */
    CHECK_EQUAL(atomic_load(&q->core->control.page->spare_used), 0);
    lab_close(q);
    gather();
}

/* ---- fork ---- */

static struct mate *unborn; /* prepared by the director; its parent knows it too */

/* The mate forks: the child goes on as the unborn one, with copies of all that the mate has. */
static struct reply deed_fork(const struct wish *wish)
{
    (void)wish;
    pid_t pid = fork();
    if (pid == 0)
        serve(unborn);
    close(unborn->wishes_read);
    close(unborn->replies_write); /* so that the director hears of the child's death */
    return (struct reply){.status = pid < 0, .value = (uint64_t)pid};
}

static struct mate *fork_of(struct mate *parent)
{
    unborn->pid = (pid_t)tell(parent, deed_fork, 0).value;
    REQUIRE(unborn->pid > 0);
    close(unborn->wishes_read);
    close(unborn->replies_write);
    unborn->wishes_read = unborn->replies_write = -1;
    return unborn;
}

/* Every call on what came through the fork. */
static struct reply deed_use_copy(const struct wish *wish)
{
    quplog *q = mine.q;
    uint64_t id, lsn;
    uint32_t number, seen = 0;
    quplog_job_info info;
    quplog_stats stats;
    uint64_t counts[QUPLOG_STATE_COUNT];
    (void)wish;
    CHECK_EQUAL(quplog_put(q, &LAB_SPEC, "", 0, 0, true, &id), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_sync(q), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_info(q, 1, &info), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_counts(q, NULL, 0, counts), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_read_stats(q, &stats), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_register(q, "more", 4, &number), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_cancel(q, 1, &lsn), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_pause(q, "default", 7, true, &lsn), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_wait_job(q, 1, 0), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_wait_finished(q, &seen, 0), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_wait_idle(q, 0), QUPLOG_CLOSED);
    CHECK_EQUAL(quplog_keep(q), QUPLOG_CLOSED);
    quplog_stop(q);
    quplog_start(q);
    (void)quplog_name(q, 0);
    if (mine.worker) {
        CHECK_EQUAL(quplog_work(mine.worker, QUPLOG_RUN_SUCCEEDED, 0, "", 0, 0), QUPLOG_CLOSED);
        CHECK_EQUAL(quplog_worker_release(mine.worker), QUPLOG_CLOSED);
        quplog_worker_free(mine.worker);
    }
    CHECK_EQUAL(quplog_close(q), QUPLOG_OK);
    quplog_free(q);
    mine.worker = NULL;
    mine.q = NULL;
    return (struct reply){.status = test_now.failures};
}

TEST(a_forked_child_owns_nothing_and_outlives_its_parent_harmlessly)
{
    gather();
    struct mate *other = enlist();
    unborn = prepare();
    struct mate *parent = enlist();
    CHECK_EQUAL(tell(parent, deed_open_system, 0).status, QUPLOG_OK);
    tell(parent, deed_worker, 0);
    uint64_t id = tell(parent, deed_put, 0).id;
    CHECK_EQUAL(tell(parent, deed_claim, 0).id, id);
    struct mate *child = fork_of(parent);
    CHECK_EQUAL(tell(child, deed_use_copy, 0).status, 0);
    CHECK_EQUAL(tell(parent, deed_put, 1).status, QUPLOG_OK); /* it was not disturbed */
    CHECK_EQUAL(tell(parent, deed_info, id).status, QUPLOG_RUNNING);
    strike(parent);
    struct reply opened = tell(other, deed_open_system, 0);
    CHECK_EQUAL(opened.status, QUPLOG_OK);
    CHECK_EQUAL(opened.value, QUPLOG_KILL); /* alone: the child holds no lock of its parent's */
    CHECK_EQUAL(tell(other, deed_info, id).status, QUPLOG_READY);
    opened = tell(child, deed_open_system, 0);
    CHECK_EQUAL(opened.status, QUPLOG_OK);
    CHECK_EQUAL(opened.value, QUPLOG_SHARED);
    tell(child, deed_worker, 0);
    CHECK_EQUAL(tell(child, deed_claim, 0).id, id);
    CHECK_EQUAL(tell(child, deed_finish, QUPLOG_RUN_SUCCEEDED).status, QUPLOG_OK);
    CHECK_EQUAL(tell(other, deed_info, id).status, QUPLOG_SUCCEEDED);
    gather();
}

static struct reply deed_split(const struct wish *wish)
{
    int fd = -1;
    (void)wish;
    return (struct reply){.status = quplog_worker_split(mine.worker, &fd)};
}

static size_t release_dead(quplog *q)
{
    size_t released = 99;
    REQUIRE(commit_begin(q->core, COMMIT_DECIDE) == QUPLOG_OK);
    CHECK_EQUAL(slot_release_dead(q->core, &released), QUPLOG_OK);
    commit_end(q->core);
    return released;
}

TEST(a_job_is_not_given_up_while_the_child_lives_that_runs_it)
{
    gather();
    unborn = prepare();
    struct mate *parent = enlist();
    quplog *q = join();
    CHECK_EQUAL(tell(parent, deed_open_system, 0).status, QUPLOG_OK);
    tell(parent, deed_worker, 0);
    CHECK_EQUAL(tell(parent, deed_split, 0).status, QUPLOG_OK);
    uint64_t id = tell(parent, deed_put, 0).id;
    CHECK_EQUAL(tell(parent, deed_claim, 0).id, id);
    struct mate *child = fork_of(parent); /* it inherits the slot's descriptor */
    CHECK_EQUAL(release_dead(q), 0);
    strike(parent);
    CHECK_EQUAL(release_dead(q), 0);
    quplog_job_info info;
    CHECK_EQUAL(quplog_info(q, id, &info), QUPLOG_OK);
    CHECK_EQUAL(info.state, QUPLOG_RUNNING);
    strike(child);
    CHECK_EQUAL(release_dead(q), 1);
    CHECK_EQUAL(quplog_info(q, id, &info), QUPLOG_OK);
    CHECK_EQUAL(info.state, QUPLOG_READY);
    CHECK_EQUAL(info.crashes, 1);
    lab_close(q);
    gather();
}

/* Its own lock would not refuse it. */
TEST(a_process_does_not_give_up_what_it_runs_itself)
{
    gather();
    quplog *q = join();
    quplog_worker *worker;
    uint32_t number;
    lab_put(q, 0, 100, false);
    REQUIRE(quplog_register(q, "work", 4, &number) == QUPLOG_OK);
    REQUIRE(quplog_worker_new(q, &worker) == QUPLOG_OK);
    REQUIRE(quplog_work(worker, QUPLOG_NO_OUTCOME, 0, "", 0, QUPLOG_CLAIM_NEXT) == QUPLOG_OK);
    CHECK_EQUAL(release_dead(q), 0);
    CHECK_EQUAL(count_state(q, QUPLOG_RUNNING), 1);
    quplog_worker_free(worker);
    lab_close(q);
}

/* A child that does not run the job keeps nothing of it; nor does who has looked into the slot. */
TEST(the_slot_of_a_dead_process_is_free_although_its_child_lives)
{
    gather();
    struct mate *next = enlist();
    unborn = prepare();
    struct mate *parent = enlist();
    quplog *q = join();
    CHECK_EQUAL(tell(next, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(parent, deed_open_system, 0).status, QUPLOG_OK);
    tell(parent, deed_worker, 0);
    uint64_t id = tell(parent, deed_put, 0).id;
    CHECK_EQUAL(tell(parent, deed_claim, 0).id, id);
    CHECK_EQUAL(tell(fork_of(parent), deed_sync, 0).status, QUPLOG_CLOSED); /* it goes on by now */
    strike(parent);
    CHECK_EQUAL(release_dead(q), 1);
    tell(next, deed_worker, 0);
    CHECK_EQUAL(tell(next, deed_claim, 0).id, id);
    CHECK_EQUAL(release_dead(q), 0); /* which also follows */
    REQUIRE(table_slot(&q->core->table, 0));
    CHECK_EQUAL(table_slot(&q->core->table, 0)->generation, 2); /* not the one who died */
    CHECK(!table_slot(&q->core->table, 1));
    lab_close(q);
    gather();
}

static struct {
    struct io io;
    bool silent; /* who holds a slot cannot be found out */
} quiet;

static int lock_or_say_nothing(void *w, int fd, uint64_t byte, int mode)
{
    return quiet.silent && byte >= LOCK_SLOTS ? -ENOLCK : io_system()->lock(w, fd, byte, mode);
}

TEST(a_worker_of_whom_nothing_can_be_found_out_is_not_given_up)
{
    gather();
    struct mate *a = enlist();
    quplog *q = NULL;
    quplog_options options = lab_options();
    quplog_report report;
    quiet.io = *io_system();
    quiet.io.lock = lock_or_say_nothing;
    REQUIRE(open_with(&quiet.io, lab_path("log"), &options, &q, &report) == QUPLOG_OK);
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    tell(a, deed_worker, 0);
    uint64_t id = tell(a, deed_put, 0).id;
    CHECK_EQUAL(tell(a, deed_claim, 0).id, id);
    quiet.silent = true;
    CHECK_EQUAL(release_dead(q), 0);
    quiet.silent = false;
    CHECK_EQUAL(release_dead(q), 0);
    strike(a);
    uint32_t before = control_read(&q->core->control.page->work);
    CHECK_EQUAL(release_dead(q), 1);
    CHECK(control_read(&q->core->control.page->work) != before); /* somebody is told */
    lab_close(q);
    gather();
}

/* ---- syncing ---- */

TEST(a_sync_leader_that_is_killed_is_replaced_by_who_waits)
{
    gather();
    struct mate *a = enlist(), *b = enlist();
    quplog *q = join();
    struct control_page *page = q->core->control.page;
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(b, deed_open, 0).status, QUPLOG_OK);
    set_trap(a, true, TRAP_HOLD);
    begin_wish(a, (struct wish){.deed = deed_put, .number = 0, .sync = true});
    int64_t end = monotonic() + 60 * INT64_C(1000000);
    struct lock_file probe;
    REQUIRE(lock_file_open(&probe, io_system(), q->core->dir) == 0);
    while (lock_try(&probe, LOCK_SYNC, IO_EXCLUSIVE_LOCK) == 0 && monotonic() < end)
        (void)lock_release(&probe, LOCK_SYNC); /* until it leads */
    begin_wish(b, (struct wish){.deed = deed_put, .number = 1, .sync = true});
    await_sleeping(&page->durable, 1);
    strike(a);
    CHECK_EQUAL(await(b).status, QUPLOG_OK);
    CHECK_EQUAL(control_older(&page->synced), control_older(&page->tail));
    lab_expect(q, 2);
    lock_file_close(&probe);
    lab_close(q);
    gather();
}

static void check_reopened(unsigned acknowledged)
{
    static struct lab_jobs jobs;
    struct mate *fresh = &mates[mate_count - 1]; /* enlisted last, before any thread was */
    struct wish open = {.deed = deed_open, .us = 5000000}; /* all let go by themselves */
    CHECK_EQUAL(tell_wish(fresh, open).status, QUPLOG_OK);
    CHECK_EQUAL(tell(fresh, deed_put, 100).status, QUPLOG_OK);
    quplog *q = join();
    lab_read(q, &jobs);
    CHECK(!jobs.wrong);
    for (unsigned i = 0; i < acknowledged; i++)
        CHECK(jobs.state[i]);
    CHECK(jobs.state[100]);
    lab_close(q);
    check_frames();
}

TEST(a_failed_sync_fails_every_process_and_the_next_to_open_recovers)
{
    gather();
    struct mate *a = enlist(), *waiter = enlist(), *idle = enlist();
    (void)enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(waiter, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(idle, deed_open, 0).status, QUPLOG_OK);
    for (unsigned i = 0; i < 5; i++)
        CHECK_EQUAL(
            tell_wish(i % 2 ? a : idle, (struct wish){.deed = deed_put, .number = i, .sync = true})
                .status,
            QUPLOG_OK);
    struct wish other = {.deed = deed_worker, .text = "other"};
    CHECK_EQUAL(tell_wish(waiter, other).status, QUPLOG_OK);
    begin(waiter, deed_wait_for_work, 0);
    set_trap(a, true, TRAP_FAIL);
    struct reply failed =
        tell_wish(a, (struct wish){.deed = deed_put, .number = 5, .sync = true});
    CHECK_EQUAL(failed.status, QUPLOG_FAILED);
    CHECK_EQUAL(await(waiter).status, QUPLOG_FAILED);
    CHECK_EQUAL(tell(idle, deed_put, 6).status, QUPLOG_FAILED);
    check_reopened(5);
    CHECK_EQUAL(tell(a, deed_put, 7).status, QUPLOG_FAILED); /* older handles can only reopen */
    CHECK_EQUAL(tell(idle, deed_put, 7).status, QUPLOG_FAILED);
    (void)tell(idle, deed_close, 0);
    CHECK_EQUAL(tell(idle, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(idle, deed_put, 8).status, QUPLOG_OK);
    gather();
}

/* It does nothing, and is asked nothing: its flusher lets go. */
TEST(an_idle_process_lets_go_of_a_log_that_failed)
{
    gather();
    struct mate *a = enlist(), *idle = enlist();
    (void)enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(idle, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(idle, deed_put, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(a, deed_sync, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(a, deed_put, 1).status, QUPLOG_OK);
    set_trap(a, true, TRAP_FAIL);
    CHECK_EQUAL(tell(a, deed_sync, 0).status, QUPLOG_FAILED);
    struct mate *fresh = &mates[mate_count - 1];
    CHECK_EQUAL(tell(fresh, deed_open, 0).status, QUPLOG_OK); /* it waits a moment at most */
    CHECK_EQUAL(tell(fresh, deed_put, 2).status, QUPLOG_OK);
    gather();
}

/* It has a table and no thread of its own: it lets go when it looks again. */
TEST(a_process_that_only_looks_lets_go_of_a_log_that_failed)
{
    gather();
    struct mate *a = enlist(), *viewer = enlist(), *fresh = enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(viewer, deed_open, 0).status, QUPLOG_OK);
    uint64_t id = tell_wish(a, (struct wish){.deed = deed_put, .sync = true}).id;
    CHECK_EQUAL(tell(viewer, deed_info, id).status, QUPLOG_READY);
    CHECK_EQUAL(tell(a, deed_put, 1).status, QUPLOG_OK);
    set_trap(a, true, TRAP_FAIL);
    CHECK_EQUAL(tell(a, deed_sync, 0).status, QUPLOG_FAILED);
    CHECK_EQUAL(tell(viewer, deed_info, id).status, -QUPLOG_FAILED);
    CHECK_EQUAL(tell_wish(fresh, (struct wish){.deed = deed_open, .us = 5000000}).status,
                QUPLOG_OK);
    CHECK_EQUAL(tell(fresh, deed_put, 2).status, QUPLOG_OK);
    CHECK_EQUAL(tell(viewer, deed_info, id).status, -QUPLOG_FAILED); /* its page is another's */
    gather();
}

/* It has never appended, so there is no flusher to do it. */
TEST(a_process_that_only_decides_lets_go_of_a_log_that_failed)
{
    gather();
    struct mate *a = enlist(), *decider = enlist(), *fresh = enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(decider, deed_open, 0).status, QUPLOG_OK);
    uint64_t id = tell(a, deed_put, 0).id;
    set_trap(a, true, TRAP_FAIL);
    CHECK_EQUAL(tell(a, deed_sync, 0).status, QUPLOG_FAILED);
    CHECK_EQUAL(tell(decider, deed_cancel, id).status, QUPLOG_FAILED);
    CHECK_EQUAL(tell_wish(fresh, (struct wish){.deed = deed_open, .us = 5000000}).status,
                QUPLOG_OK);
    gather();
}

TEST(a_log_deleted_under_its_processes_fails_at_the_sync)
{
    gather();
    struct mate *a = enlist(), *b = enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    CHECK_EQUAL(tell(b, deed_open, 0).status, QUPLOG_OK);
    struct wish put = {.deed = deed_put, .number = 0, .sync = true};
    CHECK_EQUAL(tell_wish(a, put).status, QUPLOG_OK);
    CHECK_EQUAL(tell_wish(b, put).status, QUPLOG_OK);
    lab_remove(lab_path("log"));
    CHECK_EQUAL(tell_wish(a, put).status, QUPLOG_FAILED);
    CHECK_EQUAL(tell_wish(b, put).status, QUPLOG_FAILED);
    gather();
}

/* Its slot in another file of that name would tell nobody that it lives. */
TEST(a_worker_that_comes_when_the_lock_file_is_gone_fails_the_log)
{
    gather();
    struct mate *a = enlist();
    CHECK_EQUAL(tell(a, deed_open, 0).status, QUPLOG_OK);
    tell(a, deed_worker, 0);
    CHECK_EQUAL(tell(a, deed_put, 0).status, QUPLOG_OK);
    REQUIRE(unlink(lab_path("log/lock")) == 0);
    CHECK_EQUAL(tell(a, deed_claim, 0).status, QUPLOG_FAILED);
    CHECK_EQUAL(tell(a, deed_put, 1).status, QUPLOG_FAILED);
    gather();
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(four_processes_append_and_no_id_or_frame_is_lost_or_doubled),
        LISTED(a_process_joins_and_leaves_while_others_rotate),
        LISTED(who_only_puts_never_builds_a_table),
        LISTED(a_followers_table_equals_the_writers),
        LISTED(a_follower_whose_next_segment_was_trimmed_builds_its_table_anew),
        LISTED(a_job_put_by_one_process_wakes_the_worker_of_another),
        LISTED(who_waits_for_a_result_hears_of_it_from_another_process),
        LISTED(a_dead_process_s_job_goes_back_with_a_crash_by_who_takes_its_slot),
        LISTED(a_dead_process_s_job_goes_back_with_a_crash_by_a_helper),
        LISTED(the_finish_of_a_run_that_was_given_up_is_refused),
        LISTED(a_stopped_writer_locks_others_out_for_a_while_and_nothing_is_lost),
        LISTED(a_writer_killed_in_its_write_leaves_nothing_half_done),
        LISTED(half_a_frame_becomes_zeros_again),
        LISTED(the_spare_of_a_full_disk_is_for_what_runs_and_not_for_new_jobs),
        LISTED(a_forked_child_owns_nothing_and_outlives_its_parent_harmlessly),
        LISTED(a_job_is_not_given_up_while_the_child_lives_that_runs_it),
        LISTED(a_process_does_not_give_up_what_it_runs_itself),
        LISTED(the_slot_of_a_dead_process_is_free_although_its_child_lives),
        LISTED(a_worker_of_whom_nothing_can_be_found_out_is_not_given_up),
        LISTED(a_sync_leader_that_is_killed_is_replaced_by_who_waits),
        LISTED(a_failed_sync_fails_every_process_and_the_next_to_open_recovers),
        LISTED(an_idle_process_lets_go_of_a_log_that_failed),
        LISTED(a_process_that_only_looks_lets_go_of_a_log_that_failed),
        LISTED(a_process_that_only_decides_lets_go_of_a_log_that_failed),
        LISTED(a_log_deleted_under_its_processes_fails_at_the_sync),
        LISTED(a_worker_that_comes_when_the_lock_file_is_gone_fails_the_log),
    };
    return RUN(tests, argc, argv);
}
