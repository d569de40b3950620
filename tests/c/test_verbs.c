/* The verbs by which jobs are put, run, looked at and changed, through quplog.h. */
#include <fcntl.h>

#include "verbs_lab.h"

/* ---- put and run ---- */

TEST(a_job_goes_from_put_to_result)
{
    quplog *q = open_log();
    quplog_spec spec = SPEC;
    spec.tags = "\003one\003two";
    spec.tags_length = 8;
    spec.schedule = "nightly";
    spec.schedule_length = 7;
    spec.priority = -100;
    uint64_t id = 0;
    CHECK_EQUAL(quplog_put(q, &spec, "payload", 7, 0, true, &id), QUPLOG_OK);
    CHECK_EQUAL(id, 1);
    quplog_worker *worker = new_worker(q);
    CHECK_EQUAL(claim(worker), id);
    const quplog_claim *c = quplog_worker_claim(worker);
    check_bytes(c->payload, "payload");
    CHECK_EQUAL(c->attempt, 1);
    CHECK_EQUAL(c->retries, 3);
    CHECK_EQUAL(info(q, id).state, QUPLOG_RUNNING);
    CHECK_EQUAL(info(q, id).token, c->token);
    CHECK_EQUAL(end_run(worker, QUPLOG_RUN_SUCCEEDED, 0, "result"), QUPLOG_OK);
    quplog_job *job = load(q, id);
    CHECK_EQUAL(job->info.state, QUPLOG_SUCCEEDED);
    CHECK_EQUAL(job->info.priority, -100);
    CHECK(job->info.finished_us >= job->info.started_us);
    check_bytes(quplog_name(q, job->info.task), "work");
    check_bytes(quplog_name(q, job->info.queue), "default");
    check_bytes(job->payload, "payload");
    check_bytes(job->tags, "\003one\003two");
    check_bytes(job->schedule, "nightly");
    check_bytes(job->result, "result");
    CHECK_EQUAL(job->error_count, 0);
    quplog_job_free(job);
    quplog_worker_free(worker);
    close_log(q);
}

/* Change a byte of what stands in the first segment, as a failing device does under a running
 * process. */
static void rot(const char *text)
{
    static unsigned char bytes[64 << 10];
    char path[4200];
    snprintf(path, sizeof path, "%s/log/0000000000000000.log", test_directory());
    int fd = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0);
    ssize_t length = pread(fd, bytes, sizeof bytes, 0);
    const unsigned char *at = memmem(bytes, (size_t)length, text, strlen(text));
    REQUIRE(at);
    unsigned char changed = *at ^ 1;
    REQUIRE(pwrite(fd, &changed, 1, at - bytes) == 1);
    close(fd);
}

TEST(a_payload_that_has_rotted_since_the_log_was_opened_is_not_run_and_the_next_one_is)
{
    quplog *q = open_log();
    uint64_t rotten = put_as(q, &SPEC, "to: ann", 0), sound = put_as(q, &SPEC, "to: bob", 0);
    rot("to: ann");
    quplog_worker *worker = new_worker(q);
    CHECK_EQUAL(claim(worker), rotten);
    const quplog_claim *c = quplog_worker_claim(worker);
    CHECK_EQUAL(c->payload_status, QUPLOG_CORRUPT);
    CHECK_EQUAL(c->payload.length, 0);
    CHECK_EQUAL(end_run(worker, QUPLOG_RUN_FAILED, 0, "rotten"), QUPLOG_OK);
    CHECK_EQUAL(claim(worker), sound);
    check_bytes(c->payload, "to: bob");
    rot("rotten");
    quplog_job *job = NULL;
    CHECK_EQUAL(quplog_load(q, rotten, &job), QUPLOG_CORRUPT);
    quplog_worker_free(worker);
    close_log(q);
}

TEST(what_breaks_the_rules_is_refused_and_puts_nothing)
{
    static char large[QUPLOG_PAYLOAD_MAX + 1];
    quplog *q = open_log();
    uint64_t id = 0;
    quplog_spec spec = SPEC;
    CHECK_EQUAL(quplog_put(q, &SPEC, large, sizeof large, 0, false, &id), QUPLOG_TOO_LARGE);
    CHECK_EQUAL(quplog_put(q, &SPEC, "", 0, -1, false, &id), QUPLOG_INVALID);
    spec.task_length = 0;
    CHECK_EQUAL(quplog_put(q, &spec, "", 0, 0, false, &id), QUPLOG_INVALID);
    spec = SPEC;
    spec.priority = QUPLOG_PRIORITY_MAX + 1;
    CHECK_EQUAL(quplog_put(q, &spec, "", 0, 0, false, &id), QUPLOG_INVALID);
    spec = SPEC;
    spec.retries = UINT16_MAX;
    CHECK_EQUAL(quplog_put(q, &spec, "", 0, 0, false, &id), QUPLOG_INVALID);
    uint64_t counts[QUPLOG_STATE_COUNT];
    quplog_counts(q, NULL, 0, counts);
    CHECK_EQUAL(counts[QUPLOG_READY], 0);
    CHECK_EQUAL(quplog_put(q, &SPEC, large, sizeof large - 1, 0, false, &id), QUPLOG_OK);
    CHECK_EQUAL(id, 1);
    close_log(q);
}

TEST(jobs_are_claimed_by_priority_then_age_over_all_lanes)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    quplog_spec other = SPEC, high = SPEC;
    other.queue = "another";
    high.queue = "another";
    high.priority = 1;
    uint64_t first = put(q), second = put_as(q, &other, "", 0), third = put(q);
    uint64_t best = put_as(q, &high, "", 0);
    uint64_t order[] = {best, first, second, third};
    for (int i = 0; i < 4; i++) {
        CHECK_EQUAL(claim(worker), order[i]);
        end_run(worker, QUPLOG_RUN_SUCCEEDED, 0, "");
    }
    CHECK_EQUAL(claim(worker), 0);
    quplog_worker_free(worker);
    close_log(q);
}

TEST(only_tasks_and_queues_that_are_served_are_claimed)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    quplog_spec unknown = SPEC, elsewhere = SPEC;
    uint32_t number;
    unknown.task = "what";
    elsewhere.queue = "another";
    uint64_t task = put_as(q, &unknown, "", 0), queue = put_as(q, &elsewhere, "", 0);
    CHECK_EQUAL(quplog_serve(q, "\007default\000", 9), QUPLOG_INVALID);
    CHECK_EQUAL(claim(worker), queue); /* what failed has changed nothing */
    CHECK_EQUAL(end_run(worker, QUPLOG_RUN_RELEASE, 0, ""), QUPLOG_OK);
    CHECK_EQUAL(quplog_serve(q, "\007default", 8), QUPLOG_OK);
    CHECK_EQUAL(claim(worker), 0);
    CHECK_EQUAL(quplog_wait_idle(q, guard(q)), QUPLOG_OK); /* nobody here could claim them */
    CHECK_EQUAL(quplog_register(q, "what", 4, &number), QUPLOG_OK);
    CHECK_EQUAL(claim(worker), task);
    CHECK_EQUAL(quplog_worker_claim(worker)->task, number);
    quplog_worker_free(worker);
    close_log(q);
}

TEST(an_outcome_and_the_next_claim_are_one_frame)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    quplog_stats before, after;
    uint64_t first = put(q), second = put(q);
    CHECK_EQUAL(claim(worker), first);
    quplog_read_stats(q, &before);
    CHECK_EQUAL(quplog_work(worker, QUPLOG_RUN_SUCCEEDED, 0, "", 0, QUPLOG_CLAIM_NEXT), 0);
    quplog_read_stats(q, &after);
    CHECK_EQUAL(quplog_worker_claim(worker)->id, second);
    CHECK_EQUAL(info(q, first).state, QUPLOG_SUCCEEDED);
    CHECK(after.tail_lsn - before.tail_lsn <= FRAME_HEADER + 64);
    CHECK_EQUAL(quplog_work(worker, QUPLOG_NO_OUTCOME, 0, "", 0, QUPLOG_CLAIM_NEXT),
                QUPLOG_INVALID); /* the second would be lost */
    CHECK_EQUAL(info(q, second).state, QUPLOG_RUNNING);
    quplog_worker_free(worker);
    CHECK_EQUAL(info(q, second).state, QUPLOG_READY);
    close_log(q);
}

/* ---- retry, snooze, release ---- */

TEST(errors_are_read_back_oldest_first)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    uint64_t id = put(q);
    char error[32];
    for (int i = 1; i <= 25; i++) {
        REQUIRE(claim(worker) == id);
        CHECK_EQUAL(quplog_worker_claim(worker)->attempt, i);
        snprintf(error, sizeof error, "error %d", i);
        int outcome = i == 25 ? QUPLOG_RUN_FAILED : QUPLOG_RUN_RETRY;
        CHECK_EQUAL(end_run(worker, outcome, i == 25 ? 0 : quplog_now(q), error), QUPLOG_OK);
        CHECK_EQUAL(info(q, id).state, i == 25 ? QUPLOG_JOB_FAILED : QUPLOG_RETRYING);
        if (i != 3)
            continue;
        quplog_job *young = load(q, id);
        CHECK_EQUAL(young->error_count, 3);
        check_bytes(young->errors[0], "error 1");
        check_bytes(young->errors[2], "error 3");
        quplog_job_free(young);
    }
    quplog_job *job = load(q, id);
    CHECK_EQUAL(job->error_count, 20);
    for (int i = 0; i < 20; i++) {
        snprintf(error, sizeof error, "error %d", i + 6);
        check_bytes(job->errors[i], error);
    }
    check_bytes(job->payload, "payload");
    CHECK_EQUAL(job->result.length, 0);
    quplog_job_free(job);
    quplog_worker_free(worker);
    close_log(q);
}

TEST(a_retry_comes_when_it_is_due_and_a_snooze_counts_nothing)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    uint64_t id = put(q);
    int64_t later = quplog_now(q) + 3600 * SECOND_US;
    CHECK_EQUAL(claim(worker), id);
    CHECK_EQUAL(end_run(worker, QUPLOG_RUN_SNOOZE, quplog_now(q), ""), QUPLOG_OK);
    CHECK_EQUAL(info(q, id).attempt, 0);
    CHECK_EQUAL(info(q, id).state, QUPLOG_SCHEDULED);
    CHECK_EQUAL(claim(worker), id);
    CHECK_EQUAL(quplog_worker_claim(worker)->attempt, 1);
    CHECK_EQUAL(end_run(worker, QUPLOG_RUN_RETRY, later, "error"), QUPLOG_OK);
    CHECK_EQUAL(info(q, id).attempt, 1);
    CHECK_EQUAL(info(q, id).state, QUPLOG_RETRYING);
    CHECK_EQUAL(info(q, id).due_us, later);
    CHECK_EQUAL(claim(worker), 0);
    quplog_worker_free(worker);
    close_log(q);
}

/* Time 0 means "none": the job would never be due. */
TEST(a_retry_without_a_time_is_refused_and_the_claim_stays)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    uint64_t id = put(q);
    CHECK_EQUAL(claim(worker), id);
    CHECK_EQUAL(end_run(worker, QUPLOG_RUN_RETRY, 0, "error"), QUPLOG_INVALID);
    CHECK_EQUAL(end_run(worker, QUPLOG_RUN_SNOOZE, -1, ""), QUPLOG_INVALID);
    CHECK_EQUAL(end_run(worker, 99, 0, ""), QUPLOG_INVALID);
    CHECK_EQUAL(info(q, id).state, QUPLOG_RUNNING);
    CHECK_EQUAL(end_run(worker, QUPLOG_RUN_SUCCEEDED, 0, ""), QUPLOG_OK);
    quplog_worker_free(worker);
    close_log(q);
}

TEST(a_released_job_is_first_again)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    uint64_t first = put(q);
    put(q);
    CHECK_EQUAL(claim(worker), first);
    CHECK_EQUAL(end_run(worker, QUPLOG_RUN_RELEASE, 0, ""), QUPLOG_OK);
    CHECK_EQUAL(info(q, first).attempt, 0);
    CHECK_EQUAL(claim(worker), first);
    CHECK_EQUAL(info(q, first).crashes, 0);
    quplog_worker_free(worker);
    close_log(q);
}

TEST(a_claim_taken_away_makes_its_outcome_stale)
{
    quplog *q = open_log();
    quplog_worker *slow = new_worker(q), *fast = new_worker(q);
    uint64_t id = put(q);
    CHECK_EQUAL(claim(slow), id);
    CHECK_EQUAL(quplog_worker_release(slow), QUPLOG_OK);
    CHECK_EQUAL(claim(fast), id);
    CHECK_EQUAL(end_run(slow, QUPLOG_RUN_SUCCEEDED, 0, "slow"), QUPLOG_STALE);
    CHECK_EQUAL(info(q, id).state, QUPLOG_RUNNING);
    CHECK_EQUAL(end_run(fast, QUPLOG_RUN_SUCCEEDED, 0, "fast"), QUPLOG_OK);
    quplog_job *job = load(q, id);
    check_bytes(job->result, "fast");
    quplog_job_free(job);
    put(q);
    CHECK_EQUAL(claim(slow), id + 1); /* it is free for the next */
    quplog_worker_free(slow);
    quplog_worker_free(fast);
    close_log(q);
}

TEST(a_job_that_is_released_wakes_a_waiting_worker)
{
    quplog *q = open_log();
    quplog_worker *mine = new_worker(q);
    struct waiter other = {.log = q, .worker = new_worker(q)};
    uint64_t id = put(q);
    CHECK_EQUAL(claim(mine), id);
    start_waiter(&other, wait_for_work);
    await_sleepers(q, &q->core->control.page->work, 1);
    CHECK_EQUAL(end_run(mine, QUPLOG_RUN_RELEASE, 0, ""), QUPLOG_OK);
    CHECK_EQUAL(end_waiter(&other), QUPLOG_OK);
    CHECK_EQUAL(other.id, id);
    quplog_worker_free(mine);
    quplog_worker_free(other.worker);
    close_log(q);
}

TEST(whoever_releases_the_only_job_and_waits_gets_it)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    uint64_t id = put(q);
    CHECK_EQUAL(claim(worker), id);
    CHECK_EQUAL(quplog_work(worker, QUPLOG_RUN_RELEASE, 0, NULL, 0,
                            QUPLOG_CLAIM_NEXT | QUPLOG_WAIT),
                QUPLOG_OK);
    CHECK_EQUAL(quplog_worker_claim(worker)->id, id);
    CHECK_EQUAL(quplog_worker_claim(worker)->attempt, 1);
    quplog_worker_free(worker);
    close_log(q);
}

/* ---- cancel and pause ---- */

TEST(a_pending_job_is_cancelled_and_a_finished_one_is_not)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    uint64_t pending = put(q), later = put_as(q, &SPEC, "", quplog_now(q) + 3600 * SECOND_US);
    uint64_t lsn = 0;
    CHECK_EQUAL(quplog_cancel(q, pending, &lsn), QUPLOG_OK);
    CHECK_EQUAL(quplog_sync_to(q, lsn), QUPLOG_OK);
    CHECK_EQUAL(control_synced(&q->core->control), lsn); /* it covers the CANCEL */
    CHECK_EQUAL(cancel(q, later), QUPLOG_OK);
    CHECK_EQUAL(info(q, pending).state, QUPLOG_CANCELLED);
    CHECK_EQUAL(info(q, later).state, QUPLOG_CANCELLED);
    CHECK_EQUAL(quplog_wait_job(q, later, guard(q)), QUPLOG_OK);
    CHECK_EQUAL(claim(worker), 0);
    CHECK_EQUAL(cancel(q, pending), QUPLOG_STALE);
    CHECK_EQUAL(cancel(q, 4711), QUPLOG_NOT_FOUND);
    quplog_worker_free(worker);
    close_log(q);
}

static int cancelled_then(quplog *q, quplog_worker *worker, int outcome, int64_t due_us)
{
    uint64_t id = put(q);
    CHECK_EQUAL(claim(worker), id);
    CHECK_EQUAL(cancel(q, id), QUPLOG_OK);
    CHECK_EQUAL(cancel(q, id), QUPLOG_OK);
    CHECK_EQUAL(info(q, id).state, QUPLOG_RUNNING);
    CHECK(info(q, id).cancel_requested);
    CHECK_EQUAL(end_run(worker, outcome, due_us, "data"), QUPLOG_OK);
    return info(q, id).state;
}

TEST(a_running_job_that_is_asked_to_stop_is_not_tried_again)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    int64_t now = quplog_now(q);
    CHECK_EQUAL(cancelled_then(q, worker, QUPLOG_RUN_RETRY, now), QUPLOG_CANCELLED);
    CHECK_EQUAL(cancelled_then(q, worker, QUPLOG_RUN_SNOOZE, now), QUPLOG_CANCELLED);
    CHECK_EQUAL(cancelled_then(q, worker, QUPLOG_RUN_RELEASE, 0), QUPLOG_CANCELLED);
    CHECK_EQUAL(cancelled_then(q, worker, QUPLOG_RUN_CANCELLED, 0), QUPLOG_CANCELLED);
    CHECK_EQUAL(cancelled_then(q, worker, QUPLOG_RUN_FAILED, 0), QUPLOG_JOB_FAILED);
    CHECK_EQUAL(cancelled_then(q, worker, QUPLOG_RUN_SUCCEEDED, 0), QUPLOG_SUCCEEDED);
    CHECK_EQUAL(claim(worker), 0);
    quplog_worker_free(worker);
    close_log(q);
}

TEST(a_paused_queue_stands_still_and_resuming_it_wakes)
{
    quplog *q = open_log();
    struct waiter waiter = {.log = q, .worker = new_worker(q)};
    bool paused = false;
    CHECK_EQUAL(pause_default(q, true), QUPLOG_OK);
    uint64_t id = put(q);
    CHECK_EQUAL(claim(waiter.worker), 0);
    CHECK_EQUAL(quplog_wait_idle(q, guard(q)), QUPLOG_OK);
    quplog_worker_free(waiter.worker);
    close_log(q);
    q = open_log(); /* it is in the log */
    waiter.log = q;
    waiter.worker = new_worker(q);
    CHECK_EQUAL(quplog_paused(q, "default", 7, &paused), QUPLOG_OK);
    CHECK(paused);
    start_waiter(&waiter, wait_for_work);
    await_sleepers(q, &q->core->control.page->work, 1);
    CHECK_EQUAL(pause_default(q, false), QUPLOG_OK);
    CHECK_EQUAL(end_waiter(&waiter), QUPLOG_OK);
    CHECK_EQUAL(waiter.id, id);
    CHECK_EQUAL(quplog_paused(q, "default", 7, &paused), QUPLOG_OK);
    CHECK(!paused);
    quplog_worker_free(waiter.worker);
    close_log(q);
}

/* ---- batches and schedules ---- */

static int commit(quplog *q, quplog_batch *batch, uint64_t *first_id)
{
    uint64_t lsn;
    return quplog_commit(q, batch, false, first_id, &lsn);
}

static int set_schedule(quplog *q, quplog_batch *batch, const char *rule, int64_t next_us,
                        uint64_t expected)
{
    uint64_t first_id;
    int status = quplog_batch_schedule(batch, "s", 1, rule, strlen(rule), next_us, 0, false,
                                       expected);
    return status ? status : commit(q, batch, &first_id);
}

static quplog_schedule only_schedule(quplog *q, bool due_only)
{
    quplog_schedule *all = NULL, found = {0};
    size_t n = 0;
    REQUIRE(quplog_schedules(q, due_only, &all, &n) == QUPLOG_OK);
    REQUIRE(n == 1);
    check_bytes(all->id, "s");
    found = *all;
    found.id = found.rule = (quplog_bytes){NULL, all->rule.length};
    quplog_schedules_free(all);
    return found;
}

TEST(a_batch_is_one_frame_with_ids_in_a_row)
{
    quplog *q = open_log();
    quplog_batch *batch = quplog_batch_new();
    quplog_spec other = SPEC;
    uint64_t first = 0;
    other.queue = "another";
    REQUIRE(batch);
    put(q);
    CHECK_EQUAL(quplog_batch_put(batch, &SPEC, "a", 1, 0), QUPLOG_OK);
    CHECK_EQUAL(quplog_batch_put(batch, &SPEC, "b", 1, 0), QUPLOG_OK);
    CHECK_EQUAL(quplog_batch_put(batch, &other, "c", 1, 0), QUPLOG_OK);
    CHECK_EQUAL(quplog_batch_put(batch, &SPEC, "d", 1, -1), QUPLOG_INVALID);
    CHECK_EQUAL(quplog_batch_put(batch, &other, "d", 1, 0), QUPLOG_OK);
    CHECK_EQUAL(commit(q, batch, &first), QUPLOG_OK);
    CHECK_EQUAL(first, 2);
    static const char *const payloads[] = {"a", "b", "c", "d"};
    for (uint64_t i = 0; i < 4; i++) {
        quplog_job *job = load(q, first + i);
        check_bytes(job->payload, payloads[i]);
        check_bytes(quplog_name(q, job->info.queue), i < 2 ? "default" : "another");
        quplog_job_free(job);
    }
    CHECK_EQUAL(commit(q, batch, &first), QUPLOG_OK); /* it is empty again */
    CHECK_EQUAL(count(q, QUPLOG_READY), 5);
    quplog_batch_free(batch);
    close_log(q);
}

TEST(a_schedule_changes_only_from_the_version_that_was_seen)
{
    quplog *q = open_log();
    quplog_batch *batch = quplog_batch_new();
    int64_t next = quplog_now(q) + 3600 * SECOND_US;
    CHECK_EQUAL(set_schedule(q, batch, "rule", next, 0), QUPLOG_OK);
    quplog_schedule s = only_schedule(q, false);
    CHECK_EQUAL(s.next_us, next);
    CHECK_EQUAL(set_schedule(q, batch, "other", next, 0), QUPLOG_STALE);
    quplog_batch_free(batch);
    batch = quplog_batch_new();
    CHECK_EQUAL(set_schedule(q, batch, "a new rule", next + 1, s.version), QUPLOG_OK);
    CHECK_EQUAL(only_schedule(q, false).rule.length, 10);
    CHECK(only_schedule(q, false).version > s.version);
    quplog_schedule *due;
    size_t n = 1;
    REQUIRE(quplog_schedules(q, true, &due, &n) == QUPLOG_OK);
    CHECK_EQUAL(n, 0);
    quplog_schedules_free(due);
    uint64_t first;
    CHECK_EQUAL(quplog_batch_unschedule(batch, "s", 1), QUPLOG_OK);
    CHECK_EQUAL(commit(q, batch, &first), QUPLOG_OK);
    REQUIRE(quplog_schedules(q, false, &due, &n) == QUPLOG_OK);
    CHECK_EQUAL(n, 0);
    quplog_schedules_free(due);
    quplog_batch_free(batch);
    close_log(q);
}

TEST(two_who_tick_put_one_job)
{
    quplog *q = open_log();
    quplog_batch *batch = quplog_batch_new();
    uint64_t first;
    CHECK_EQUAL(set_schedule(q, batch, "rule", 1, 0), QUPLOG_OK);
    uint64_t version = only_schedule(q, true).version;
    for (int i = 0; i < 2; i++) {
        quplog_batch *tick = quplog_batch_new();
        CHECK_EQUAL(quplog_batch_put(tick, &SPEC, "tick", 4, 0), QUPLOG_OK);
        CHECK_EQUAL(quplog_batch_schedule(tick, "s", 1, "", 0, 2, 1, false, version), 0);
        CHECK_EQUAL(commit(q, tick, &first), i ? QUPLOG_STALE : QUPLOG_OK);
        quplog_batch_free(tick);
    }
    CHECK_EQUAL(count(q, QUPLOG_READY), 1);
    quplog_schedule s = only_schedule(q, true);
    CHECK_EQUAL(s.rule.length, 4); /* a tick keeps the rule */
    CHECK_EQUAL(s.next_us, 2);
    CHECK_EQUAL(s.last_us, 1);
    quplog_batch_free(batch);
    close_log(q);
}

TEST(a_schedule_without_a_rule_can_be_listed)
{
    quplog *q = open_log();
    quplog_batch *batch = quplog_batch_new();
    CHECK_EQUAL(set_schedule(q, batch, "", 5, 0), QUPLOG_OK);
    CHECK_EQUAL(only_schedule(q, false).rule.length, 0);
    quplog_batch_free(batch);
    close_log(q);
}

/* docs/FORMAT.md, section 3: a frame's first_id is zero if it has no PUT. */
TEST(a_frame_without_a_job_names_no_id)
{
    quplog *q = open_log();
    quplog_batch *batch = quplog_batch_new();
    unsigned char header[FRAME_HEADER];
    uint64_t at = control_tail(&q->core->control);
    CHECK_EQUAL(set_schedule(q, batch, "rule", 5, 0), QUPLOG_OK);
    REQUIRE(log_read(&q->core->log, at, header, sizeof header) == QUPLOG_OK);
    CHECK_EQUAL(get_u16(header), FRAME_MAGIC);
    CHECK_EQUAL(get_u64(header + 32), 0);
    at = control_tail(&q->core->control);
    uint64_t id = put(q);
    REQUIRE(log_read(&q->core->log, at, header, sizeof header) == QUPLOG_OK);
    CHECK_EQUAL(get_u64(header + 32), id);
    quplog_batch_free(batch);
    close_log(q);
}

/* ---- looking ---- */

static size_t find(quplog *q, uint32_t states, const char *task, uint64_t after, bool descending,
                   size_t capacity, uint64_t *ids)
{
    quplog_job_info found[8];
    size_t n = 99;
    REQUIRE(capacity <= 8);
    CHECK_EQUAL(quplog_find(q, states, task, strlen(task), NULL, 0, 0, 0, after, descending, found,
                            capacity, &n),
                QUPLOG_OK);
    for (size_t i = 0; i < n; i++)
        ids[i] = found[i].id;
    return n;
}

TEST(jobs_are_found_by_state_and_name_and_page_both_ways)
{
    enum { MANY = 3000 }; /* more than one look of the query */
    quplog *q = open_log();
    quplog_batch *batch = quplog_batch_new();
    quplog_spec rare = SPEC;
    uint64_t first, ids[8];
    rare.task = "rare";
    for (int i = 1; i <= MANY; i++)
        CHECK_EQUAL(quplog_batch_put(batch, i % 1400 ? &SPEC : &rare, "", 0, 0), QUPLOG_OK);
    CHECK_EQUAL(commit(q, batch, &first), QUPLOG_OK);
    CHECK_EQUAL(cancel(q, 2999), QUPLOG_OK);
    CHECK_EQUAL(find(q, 0, "rare", 0, false, 8, ids), 2);
    CHECK(ids[0] == 1400 && ids[1] == 2800);
    CHECK_EQUAL(find(q, 0, "rare", 0, true, 1, ids), 1);
    CHECK_EQUAL(ids[0], 2800);
    CHECK_EQUAL(find(q, 0, "rare", 2800, true, 8, ids), 1);
    CHECK_EQUAL(ids[0], 1400);
    CHECK_EQUAL(find(q, 0, "rare", 1400, false, 8, ids), 1);
    CHECK_EQUAL(ids[0], 2800);
    CHECK_EQUAL(find(q, 1U << QUPLOG_CANCELLED, "", 0, false, 8, ids), 1);
    CHECK_EQUAL(ids[0], 2999);
    CHECK_EQUAL(find(q, 0, "", 2997, false, 2, ids), 2);
    CHECK(ids[0] == 2998 && ids[1] == 2999);
    CHECK_EQUAL(find(q, 0, "", 3000, false, 2, ids), 0);
    CHECK_EQUAL(find(q, 0, "never", 0, false, 2, ids), 0);
    CHECK_EQUAL(find(q, 0, "", 0, true, 0, ids), 0);
    quplog_batch_free(batch);
    close_log(q);
}

TEST(jobs_are_found_by_queue_and_time)
{
    quplog *q = open_log();
    quplog_spec other = SPEC;
    quplog_job_info found[4];
    size_t n;
    other.queue = "another";
    uint64_t first = put(q), second = put_as(q, &other, "", 0);
    CHECK_EQUAL(quplog_find(q, 0, NULL, 0, "another", 7, 0, 0, 0, false, found, 4, &n), 0);
    CHECK(n == 1 && found[0].id == second);
    int64_t created = info(q, first).created_us;
    CHECK_EQUAL(quplog_find(q, 0, NULL, 0, NULL, 0, 0, created, 0, false, found, 4, &n), 0);
    CHECK_EQUAL(n, 0);
    CHECK_EQUAL(quplog_find(q, 0, NULL, 0, NULL, 0, created, 0, 0, false, found, 4, &n), 0);
    CHECK_EQUAL(n, 2);
    int64_t after = info(q, second).created_us + 1;
    CHECK_EQUAL(quplog_find(q, 0, NULL, 0, NULL, 0, after, 0, 0, false, found, 4, &n), 0);
    CHECK_EQUAL(n, 0);
    close_log(q);
}

TEST(counts_are_by_state_and_queue)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    quplog_spec other = SPEC;
    uint64_t counts[QUPLOG_STATE_COUNT];
    other.queue = "another";
    for (int i = 0; i < 4; i++)
        put(q);
    put_as(q, &other, "", 0);
    put_as(q, &SPEC, "", quplog_now(q) + 3600 * SECOND_US);
    run_one(worker, QUPLOG_RUN_SUCCEEDED, "");
    run_one(worker, QUPLOG_RUN_FAILED, "");
    CHECK(claim(worker));
    CHECK_EQUAL(quplog_counts(q, "default", 7, counts), QUPLOG_OK);
    CHECK_BYTES(counts, ((const uint64_t[QUPLOG_STATE_COUNT]){0, 0, 1, 1, 1, 0, 1, 1, 0}),
                sizeof counts);
    CHECK_EQUAL(quplog_counts(q, "none", 4, counts), QUPLOG_OK);
    CHECK_EQUAL(counts[QUPLOG_READY], 0);
    CHECK_EQUAL(count(q, QUPLOG_READY), 2);
    quplog_worker_free(worker);
    close_log(q);
}

TEST(everything_is_there_again_after_a_close)
{
    quplog *q = open_log();
    quplog_worker *worker = new_worker(q);
    uint64_t done = put(q), running = put(q), ready = put(q);
    run_one(worker, QUPLOG_RUN_SUCCEEDED, "result");
    CHECK_EQUAL(claim(worker), running);
    CHECK_EQUAL(quplog_close(q), QUPLOG_OK);
    quplog_worker_free(worker); /* too late to release anything */
    quplog_free(q);
    q = open_log();
    quplog_job *job = load(q, done);
    check_bytes(job->result, "result");
    quplog_job_free(job);
    CHECK_EQUAL(info(q, running).state, QUPLOG_READY); /* its runner is gone */
    CHECK_EQUAL(info(q, running).crashes, 0);
    CHECK_EQUAL(info(q, ready).state, QUPLOG_READY);
    worker = new_worker(q);
    CHECK_EQUAL(claim(worker), running);
    CHECK_EQUAL(quplog_worker_claim(worker)->attempt, 1);
    quplog_worker_free(worker);
    CHECK_EQUAL(put(q), ready + 1);
    close_log(q);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(a_job_goes_from_put_to_result),
        LISTED(a_payload_that_has_rotted_since_the_log_was_opened_is_not_run_and_the_next_one_is),
        LISTED(what_breaks_the_rules_is_refused_and_puts_nothing),
        LISTED(jobs_are_claimed_by_priority_then_age_over_all_lanes),
        LISTED(only_tasks_and_queues_that_are_served_are_claimed),
        LISTED(an_outcome_and_the_next_claim_are_one_frame),
        LISTED(errors_are_read_back_oldest_first),
        LISTED(a_retry_comes_when_it_is_due_and_a_snooze_counts_nothing),
        LISTED(a_retry_without_a_time_is_refused_and_the_claim_stays),
        LISTED(a_released_job_is_first_again),
        LISTED(a_claim_taken_away_makes_its_outcome_stale),
        LISTED(a_job_that_is_released_wakes_a_waiting_worker),
        LISTED(whoever_releases_the_only_job_and_waits_gets_it),
        LISTED(a_pending_job_is_cancelled_and_a_finished_one_is_not),
        LISTED(a_running_job_that_is_asked_to_stop_is_not_tried_again),
        LISTED(a_paused_queue_stands_still_and_resuming_it_wakes),
        LISTED(a_batch_is_one_frame_with_ids_in_a_row),
        LISTED(a_schedule_changes_only_from_the_version_that_was_seen),
        LISTED(two_who_tick_put_one_job),
        LISTED(a_schedule_without_a_rule_can_be_listed),
        LISTED(a_frame_without_a_job_names_no_id),
        LISTED(jobs_are_found_by_state_and_name_and_page_both_ways),
        LISTED(jobs_are_found_by_queue_and_time),
        LISTED(counts_are_by_state_and_queue),
        LISTED(everything_is_there_again_after_a_close),
    };
    return RUN(tests, argc, argv);
}
