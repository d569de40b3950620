/* The job table: what each op may change and what it must ignore (docs/FORMAT.md, section 5). */
#include "table.h"

#include "random.h"
#include "table_check.h"
#include "test.h"

/* A table and the log that made it: every frame that was applied, one behind the other. */
struct world {
    struct table table;
    struct buffer ops; /* of the frame in preparation */
    uint32_t op_count;
    uint64_t lsn; /* where the next frame goes */
    int64_t time_us;
    uint64_t finished[8]; /* the last jobs that were told to have finished */
    size_t finished_count;
};

static struct world w;

static void start(void)
{
    memset(&w, 0, sizeof w);
    table_init(&w.table);
    w.lsn = 4096;
    w.time_us = 1000;
}

static struct span text(const char *s)
{
    return (struct span){(const unsigned char *)s, strlen(s)};
}

static void check_counts(const struct table *table)
{
    const char *fault = table_fault(table);
    if (fault)
        test_fail(__FILE__, __LINE__, fault);
}

static void end(void)
{
    check_counts(&w.table);
    table_free(&w.table);
    buffer_free(&w.ops);
}

/* ---- frames ---- */

static void note_finished(void *context, uint64_t id)
{
    struct world *world = context;
    world->finished[world->finished_count++ % 8] = id;
}

/* The LSN that the next op will have. */
static uint64_t here(void)
{
    return w.lsn + FRAME_HEADER + w.ops.length;
}

static struct frame prepared(void)
{
    struct frame frame = {.kind = FRAME_OPS,
                          .op_count = w.op_count,
                          .time_us = w.time_us,
                          .first_id = w.table.next_id,
                          .body = {w.ops.data, w.ops.length}};
    frame.length = (uint32_t)(FRAME_HEADER + w.ops.length);
    return frame;
}

static void apply_frame(const struct frame *frame)
{
    REQUIRE(table_reserve(&w.table, frame) == QUPLOG_OK);
    table_apply(&w.table, frame, w.lsn, note_finished, &w);
    w.lsn += FRAME_HEADER + frame->body.length;
    w.ops.length = 0;
    w.op_count = 0;
}

static void apply(void)
{
    struct frame frame = prepared();
    apply_frame(&frame);
    check_counts(&w.table);
}

/* Count in an op that was encoded. */
static void added(int status)
{
    REQUIRE(status == QUPLOG_OK);
    w.op_count++;
}

/* ---- ops: `add_...` into the frame in preparation; the others as a frame of their own ---- */

static void add_put(const char *task, const char *queue, int priority, int64_t due_us)
{
    struct op_put put = {.job = {.task = text(task),
                                 .queue = text(queue),
                                 .payload = text("payload"),
                                 .retries = 3,
                                 .priority = (int8_t)priority},
                         .due_us = due_us};
    added(op_encode_put(&w.ops, &put));
}

static uint64_t put_due(int64_t due_us)
{
    uint64_t id = w.table.next_id;
    add_put("task", "queue", 0, due_us);
    apply();
    return id;
}

static uint64_t put(void)
{
    return put_due(0);
}

static uint64_t claim_as(uint64_t id, uint16_t slot, uint32_t generation)
{
    uint64_t token = here();
    added(op_encode_claim(&w.ops, id, slot, generation));
    apply();
    return token;
}

static uint64_t claim(uint64_t id)
{
    return claim_as(id, 0, 1);
}

static uint64_t finish(uint64_t id, uint64_t token, uint8_t state)
{
    uint64_t lsn = here();
    struct op_finish op = {.id = id, .token = token, .state = state};
    added(op_encode_finish(&w.ops, &op));
    apply();
    return lsn;
}

static uint64_t retry(uint64_t id, uint64_t token, uint8_t state, int64_t due_us)
{
    uint64_t lsn = here();
    struct op_retry op = {.id = id, .token = token, .due_us = due_us, .state = state};
    added(op_encode_retry(&w.ops, &op));
    apply();
    return lsn;
}

static void release(uint64_t id, uint64_t token, enum op_release_reason reason)
{
    added(op_encode_release(&w.ops, id, token, reason));
    apply();
}

static void cancel(uint64_t id)
{
    added(op_encode_cancel(&w.ops, id));
    apply();
}

static void due(int64_t until_us, uint64_t most)
{
    added(op_encode_due(&w.ops, until_us, most));
    apply();
}

static void open_as(uint64_t epoch, enum quplog_ending ending)
{
    static const unsigned char boot[16] = "a boot";
    added(op_encode_open(&w.ops, epoch, boot, ending, ending == QUPLOG_REBOOT));
    apply();
}

static void worker(uint16_t slot, uint32_t generation)
{
    struct op_worker op = {.host = text("host"), .slot = slot, .generation = generation};
    added(op_encode_worker(&w.ops, &op));
    apply();
}

static void forget(uint64_t succeeded_below, uint64_t failed_below, struct span ids)
{
    added(op_encode_forget(&w.ops, succeeded_below, failed_below, ids));
    apply();
}

static void queue_op(const char *name, bool paused)
{
    struct op_queue op = {.name = text(name), .paused = paused};
    added(op_encode_queue(&w.ops, &op));
    apply();
}

static uint64_t schedule(const char *id, const char *rule, int64_t next_us, bool removed)
{
    uint64_t lsn = here();
    struct op_schedule op = {
        .id = text(id), .rule = text(rule), .next_us = next_us, .removed = removed};
    added(op_encode_schedule(&w.ops, &op));
    apply();
    return lsn;
}

static void trim(uint64_t first_lsn, uint64_t next_id, uint64_t epoch)
{
    unsigned char body[FRAME_TRIM_BODY];
    struct frame_trim numbers = {first_lsn, next_id, epoch};
    frame_trim_encode(body, &numbers);
    struct frame frame = {.kind = FRAME_TRIM, .body = {body, sizeof body}};
    apply_frame(&frame);
    check_counts(&w.table);
}

/* ---- looking ---- */

static struct job *job(uint64_t id)
{
    struct job *found = jobs_get(&w.table.jobs, id);
    REQUIRE(found);
    return found;
}

static int state(uint64_t id)
{
    const struct job *found = jobs_get(&w.table.jobs, id);
    return found ? found->state : 0;
}

/* The next of the only lane, as a worker would claim it. */
static uint64_t first_ready(void)
{
    REQUIRE(w.table.lane_count > 0);
    const struct heap *ready = &w.table.lanes[0].ready;
    return ready->count ? heap_top(ready)->id : 0;
}

static void check_order(const uint64_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK_EQUAL(first_ready(), ids[i]);
        claim(ids[i]);
    }
    CHECK_EQUAL(first_ready(), 0);
}

/* ---- PUT, CLAIM, FINISH ---- */

TEST(a_frames_jobs_have_ids_in_a_row_and_its_names)
{
    start();
    add_put("one", "a", 0, 0);
    add_put("", "", 5, 0);
    added(op_encode_cancel(&w.ops, 99));
    add_put("two", "b", 0, 50);
    apply();
    CHECK_EQUAL(w.table.next_id, 4);
    CHECK(span_equal(table_task(&w.table, job(2)), text("one")));
    CHECK(span_equal(table_queue(&w.table, job(2)), text("a")));
    CHECK_EQUAL(job(2)->priority, 5);
    CHECK_EQUAL(job(2)->retries, 3);
    CHECK_EQUAL(job(2)->created_us, 1000);
    CHECK(span_equal(table_task(&w.table, job(3)), text("two")));
    CHECK_EQUAL(state(1), QUPLOG_READY);
    CHECK_EQUAL(state(3), QUPLOG_SCHEDULED);
    CHECK_EQUAL(table_next_due(&w.table), 50);
    end();
}

TEST(an_id_given_twice_keeps_what_stands)
{
    start();
    uint64_t id = put(), put_lsn = job(id)->put_lsn;
    claim(id);
    add_put("other", "queue", 0, 0);
    struct frame frame = prepared();
    frame.first_id = id;
    apply_frame(&frame);
    CHECK_EQUAL(state(id), QUPLOG_RUNNING);
    CHECK_EQUAL(job(id)->put_lsn, put_lsn);
    CHECK_EQUAL(w.table.jobs.count, 1);
    end();
}

TEST(a_claim_counts_an_attempt_and_is_known_by_its_lsn)
{
    start();
    uint64_t id = put();
    CHECK_EQUAL(job(id)->attempt, 0);
    w.time_us = 2000;
    uint64_t token = claim(id);
    CHECK_EQUAL(state(id), QUPLOG_RUNNING);
    CHECK_EQUAL(job(id)->attempt, 1);
    CHECK_EQUAL(job(id)->started_us, 2000);
    CHECK_EQUAL(table_run(&w.table, job(id))->token, token);
    end();
}

TEST(a_claim_of_what_is_not_ready_is_ignored)
{
    start();
    uint64_t later = put_due(50), running = put();
    uint64_t token = claim(running);
    claim(running);
    CHECK_EQUAL(table_run(&w.table, job(running))->token, token);
    CHECK_EQUAL(job(running)->attempt, 1);
    claim(later);
    CHECK_EQUAL(state(later), QUPLOG_SCHEDULED);
    finish(running, token, QUPLOG_SUCCEEDED);
    claim(running);
    CHECK_EQUAL(state(running), QUPLOG_SUCCEEDED);
    claim(12345); /* not known */
    end();
}

TEST(a_finish_needs_the_present_claim)
{
    start();
    uint64_t id = put();
    finish(id, 0, QUPLOG_SUCCEEDED);
    CHECK_EQUAL(state(id), QUPLOG_READY);
    uint64_t first = claim(id);
    release(id, first, OP_RELEASE_STOP);
    uint64_t second = claim(id);
    finish(id, first, QUPLOG_SUCCEEDED);
    retry(id, first, QUPLOG_RETRYING, 50);
    release(id, first, OP_RELEASE_STOP);
    CHECK_EQUAL(state(id), QUPLOG_RUNNING);
    CHECK_EQUAL(job(id)->attempt, 1);
    CHECK_EQUAL(w.finished_count, 0);
    w.time_us = 3000;
    uint64_t lsn = finish(id, second, QUPLOG_SUCCEEDED);
    CHECK_EQUAL(state(id), QUPLOG_SUCCEEDED);
    CHECK_EQUAL(job(id)->finished_us, 3000);
    CHECK_EQUAL(job(id)->when, lsn);
    finish(id, second, QUPLOG_JOB_FAILED); /* once is once */
    CHECK_EQUAL(state(id), QUPLOG_SUCCEEDED);
    CHECK_EQUAL(w.finished_count, 1);
    CHECK_EQUAL(w.finished[0], id);
    end();
}

TEST(a_failure_keeps_where_its_error_stands)
{
    start();
    uint64_t id = put();
    uint64_t error = retry(id, claim(id), QUPLOG_RETRYING, 50);
    CHECK_EQUAL(job(id)->error_lsn, error);
    due(50, 1);
    error = finish(id, claim(id), QUPLOG_JOB_FAILED);
    CHECK_EQUAL(state(id), QUPLOG_JOB_FAILED);
    CHECK_EQUAL(job(id)->error_lsn, error);
    CHECK_EQUAL(job(id)->attempt, 2);
    end();
}

/* ---- RETRY, RELEASE, CANCEL ---- */

TEST(a_retry_keeps_the_attempt_and_a_snooze_takes_it_back)
{
    start();
    uint64_t again = put(), snoozed = put();
    retry(again, claim(again), QUPLOG_RETRYING, 70);
    CHECK_EQUAL(state(again), QUPLOG_RETRYING);
    CHECK_EQUAL(job(again)->attempt, 1);
    retry(snoozed, claim(snoozed), QUPLOG_SCHEDULED, 60);
    CHECK_EQUAL(state(snoozed), QUPLOG_SCHEDULED);
    CHECK_EQUAL(job(snoozed)->attempt, 0);
    CHECK_EQUAL(job(snoozed)->error_lsn, 0);
    CHECK_EQUAL(table_next_due(&w.table), 60);
    end();
}

TEST(a_released_job_has_its_old_place_and_its_attempt_back)
{
    start();
    uint64_t first = put(), second = put();
    release(first, claim(first), OP_RELEASE_STOP);
    CHECK_EQUAL(job(first)->attempt, 0);
    CHECK_EQUAL(job(first)->crashes, 0);
    check_order((const uint64_t[]){first, second}, 2);
    end();
}

TEST(only_a_crash_counts_as_a_crash)
{
    start();
    uint64_t id = put();
    release(id, claim(id), OP_RELEASE_STOP);
    release(id, claim(id), OP_RELEASE_CANCEL);
    CHECK_EQUAL(job(id)->crashes, 0);
    release(id, claim(id), OP_RELEASE_CRASH);
    CHECK_EQUAL(job(id)->crashes, 1);
    for (int i = 0; i < 300; i++)
        release(id, claim(id), OP_RELEASE_CRASH);
    CHECK_EQUAL(job(id)->crashes, UINT8_MAX); /* it does not start again at 0 */
    CHECK_EQUAL(job(id)->attempt, 0);
    end();
}

TEST(a_pending_job_is_cancelled_at_once_and_a_running_one_marked)
{
    start();
    uint64_t ready = put(), later = put_due(50), running = put();
    uint64_t token = claim(running);
    cancel(ready);
    cancel(later);
    cancel(running);
    CHECK_EQUAL(state(ready), QUPLOG_CANCELLED);
    CHECK_EQUAL(state(later), QUPLOG_CANCELLED);
    CHECK_EQUAL(state(running), QUPLOG_RUNNING);
    CHECK(job(running)->flags & JOB_CANCEL_REQUESTED);
    CHECK_EQUAL(w.finished_count, 2);
    finish(running, token, QUPLOG_SUCCEEDED); /* it was done before it was asked */
    CHECK_EQUAL(state(running), QUPLOG_SUCCEEDED);
    cancel(running);
    cancel(ready);
    CHECK_EQUAL(state(running), QUPLOG_SUCCEEDED);
    CHECK_EQUAL(w.finished_count, 3);
    end();
}

TEST(a_job_asked_to_cancel_and_then_released_is_cancelled)
{
    start();
    uint64_t stopped = put(), reopened = put(), crashed = put();
    uint64_t token = claim_as(stopped, 0, 1);
    claim_as(crashed, 3, 1);
    cancel(stopped);
    cancel(crashed);
    release(stopped, token, OP_RELEASE_STOP);
    CHECK_EQUAL(state(stopped), QUPLOG_CANCELLED);
    worker(3, 2);
    CHECK_EQUAL(state(crashed), QUPLOG_CANCELLED);
    claim_as(reopened, 0, 1);
    cancel(reopened);
    open_as(2, QUPLOG_KILL);
    CHECK_EQUAL(state(reopened), QUPLOG_CANCELLED);
    CHECK_EQUAL(w.finished_count, 3);
    CHECK(job(reopened)->finished_us != 0);
    end();
}

/* ---- OPEN, WORKER ---- */

TEST(an_open_releases_all_and_counts_no_crash)
{
    start();
    for (uint16_t slot = 0; slot < 5; slot++)
        claim_as(put(), slot, 1);
    finish(3, table_run(&w.table, job(3))->token, QUPLOG_SUCCEEDED); /* a gap among the runs */
    open_as(7, QUPLOG_KILL);
    CHECK_EQUAL(w.table.epoch, 7);
    CHECK_EQUAL(w.table.running, 0);
    CHECK_EQUAL(state(3), QUPLOG_SUCCEEDED);
    for (uint64_t id = 1; id <= 5; id++) {
        CHECK(id == 3 || state(id) == QUPLOG_READY);
        CHECK_EQUAL(job(id)->crashes, 0);
        CHECK_EQUAL(job(id)->attempt, id == 3);
    }
    check_order((const uint64_t[]){1, 2, 4, 5}, 4);
    end();
}

TEST(only_a_newer_generation_of_the_slot_releases_and_counts_a_crash)
{
    start();
    uint64_t mine = put(), other_slot = put(), newer = put();
    claim_as(mine, 4, 7);
    claim_as(other_slot, 5, 7);
    claim_as(newer, 4, 9);
    worker(4, 7); /* the same worker again, with more tasks */
    CHECK_EQUAL(state(mine), QUPLOG_RUNNING);
    worker(4, 8);
    CHECK_EQUAL(state(mine), QUPLOG_READY);
    CHECK_EQUAL(job(mine)->crashes, 1);
    CHECK_EQUAL(job(mine)->attempt, 0);
    CHECK_EQUAL(state(other_slot), QUPLOG_RUNNING);
    CHECK_EQUAL(state(newer), QUPLOG_RUNNING);
    CHECK_EQUAL(table_slot(&w.table, 4)->generation, 8);
    worker(4, 3); /* an old frame does not turn the slot back */
    CHECK_EQUAL(table_slot(&w.table, 4)->generation, 8);
    end();
}

TEST(ids_jump_after_a_power_cut_and_only_then)
{
    start();
    put();
    open_as(2, QUPLOG_CLEAN);
    open_as(3, QUPLOG_KILL);
    CHECK_EQUAL(w.table.next_id, 2);
    open_as(4, QUPLOG_REBOOT);
    CHECK_EQUAL(w.table.next_id, (UINT64_C(1) << 32) + 1);
    open_as(5, QUPLOG_CLEAN); /* nothing was put meanwhile: still no way back */
    CHECK_EQUAL(w.table.next_id, (UINT64_C(1) << 32) + 1);
    CHECK_EQUAL(put(), (UINT64_C(1) << 32) + 1);
    open_as(6, QUPLOG_REBOOT);
    CHECK_EQUAL(put(), (UINT64_C(2) << 32) + 1);
    end();
}

/* ---- order and due times ---- */

TEST(ready_jobs_go_by_priority_then_age_then_id)
{
    start();
    add_put("task", "queue", 0, 0);
    add_put("task", "queue", -100, 0);
    add_put("task", "queue", 100, 0);
    apply();
    add_put("task", "queue", 0, 0);
    add_put("task", "queue", 1, 0);
    add_put("task", "queue", 100, 0);
    apply();
    check_order((const uint64_t[]){3, 6, 5, 1, 4, 2}, 6);
    end();
}

TEST(jobs_of_one_due_op_go_by_id)
{
    start();
    uint64_t a = put_due(90), b = put_due(50), c = put();
    due(90, 10);
    check_order((const uint64_t[]){c, a, b}, 3);
    end();
}

TEST(due_moves_what_is_due_then_and_at_most_so_many)
{
    start();
    uint64_t late = put_due(300), first = put_due(100), second = put_due(200);
    uint64_t same = put_due(200);
    due(99, 10);
    CHECK_EQUAL(w.table.due.count, 4);
    due(250, 2); /* the earliest first, then by id */
    CHECK_EQUAL(state(first), QUPLOG_READY);
    CHECK_EQUAL(state(second), QUPLOG_READY);
    CHECK_EQUAL(state(same), QUPLOG_SCHEDULED);
    due(250, 0);
    CHECK_EQUAL(state(same), QUPLOG_SCHEDULED);
    due(200, UINT64_MAX); /* at the time itself it is due */
    CHECK_EQUAL(state(same), QUPLOG_READY);
    CHECK_EQUAL(state(late), QUPLOG_SCHEDULED);
    CHECK_EQUAL(table_next_due(&w.table), 300);
    end();
}

TEST(a_frame_may_put_and_make_due_and_claim_and_finish)
{
    start();
    for (int i = 0; i < 3000; i++) /* more than a page of each heap */
        add_put("task", "queue", 0, 10 + i);
    added(op_encode_due(&w.ops, 5000, UINT64_MAX));
    for (uint64_t id = 1; id <= 3000; id++) {
        uint64_t token = here();
        struct op_finish op = {.id = id, .token = token, .state = QUPLOG_SUCCEEDED};
        added(op_encode_claim(&w.ops, id, 0, 1));
        if (id % 2)
            added(op_encode_finish(&w.ops, &op));
    }
    apply();
    CHECK_EQUAL(w.table.succeeded.count, 1500);
    CHECK_EQUAL(w.table.running, 1500);
    open_as(2, QUPLOG_KILL);
    CHECK_EQUAL(w.table.lanes[0].ready.count, 1500);
    end();
}

TEST(an_open_may_cancel_more_jobs_than_its_frame_names)
{
    start();
    for (int i = 0; i < 8000; i++)
        add_put("task", "queue", 0, 0);
    apply();
    for (uint64_t id = 1; id <= 8000; id++)
        added(op_encode_claim(&w.ops, id, 0, 1));
    apply();
    for (uint64_t id = 1; id <= 8000; id += 2)
        added(op_encode_cancel(&w.ops, id));
    apply();
    worker(1, 1); /* another's: it gives back what frames before had reserved */
    open_as(2, QUPLOG_KILL);
    CHECK_EQUAL(w.table.succeeded.count, 4000);
    CHECK_EQUAL(w.table.lanes[0].ready.count, 4000);
    end();
}

/* ---- COPY ---- */

static struct op_copy copy_of(uint64_t id, uint8_t to_state)
{
    return (struct op_copy){.job = {.task = text("task"), .queue = text("queue"), .retries = 9},
                            .id = id,
                            .token = 77,
                            .due_us = 500,
                            .created_us = 1,
                            .started_us = 2,
                            .finished_us = to_state >= QUPLOG_SUCCEEDED ? 3 : 0,
                            .created_lsn = 4096,
                            .ready_lsn = 4200,
                            .finish_lsn = 4300,
                            .generation = 5,
                            .slot = 6,
                            .attempt = 2,
                            .state = to_state,
                            .crashes = 1};
}

static uint64_t copy(uint64_t id, uint8_t to_state)
{
    uint64_t lsn = here();
    struct op_copy op = copy_of(id, to_state);
    added(op_encode_copy(&w.ops, &op));
    apply();
    return lsn;
}

TEST(a_copy_replaces_and_never_adds)
{
    start();
    uint64_t id = put();
    for (uint8_t from = QUPLOG_WAITING; from < QUPLOG_STATE_COUNT; from++)
        for (uint8_t to = QUPLOG_WAITING; to < QUPLOG_STATE_COUNT; to++) {
            copy(id, from);
            CHECK_EQUAL(state(id), from);
            uint64_t lsn = copy(id, to);
            CHECK_EQUAL(w.table.jobs.count, 1);
            CHECK_EQUAL(state(id), to);
            CHECK_EQUAL(job(id)->put_lsn, lsn);
            CHECK_EQUAL(job(id)->attempt, 2);
            CHECK_EQUAL(job(id)->crashes, 1);
            CHECK_EQUAL(job(id)->retries, 9);
        }
    CHECK_EQUAL(w.table.next_id, id + 1);
    end();
}

TEST(a_copy_keeps_the_claim_and_the_place)
{
    start();
    uint64_t old = put(), young = put();
    struct op_copy op = copy_of(old, QUPLOG_READY);
    op.ready_lsn = job(old)->when;
    added(op_encode_copy(&w.ops, &op));
    apply();
    CHECK_EQUAL(first_ready(), old); /* not at the back because it was copied */
    op.state = QUPLOG_RUNNING;
    added(op_encode_copy(&w.ops, &op));
    apply();
    finish(old, 76, QUPLOG_SUCCEEDED);
    CHECK_EQUAL(state(old), QUPLOG_RUNNING);
    release(old, 77, OP_RELEASE_STOP);
    CHECK_EQUAL(job(old)->attempt, 1);
    check_order((const uint64_t[]){old, young}, 2);
    end();
}

TEST(a_copy_of_an_unknown_job_makes_it_known)
{
    start();
    copy(41, QUPLOG_JOB_FAILED);
    CHECK_EQUAL(state(41), QUPLOG_JOB_FAILED);
    CHECK_EQUAL(w.table.next_id, 42);
    CHECK_EQUAL(job(41)->when, 4300); /* FORGET compares the LSN of its finish, not of its copy */
    end();
}

TEST(a_copy_of_an_id_that_no_writer_gives_is_corrupt)
{
    start();
    static const uint64_t ids[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 62};
    for (int i = 0; i < 3; i++) {
        struct op_copy op = copy_of(ids[i], QUPLOG_READY);
        added(op_encode_copy(&w.ops, &op));
        struct frame frame = prepared();
        CHECK_EQUAL(table_reserve(&w.table, &frame), QUPLOG_CORRUPT);
        w.ops.length = w.op_count = 0;
    }
    end();
}

/* ---- FORGET, TRIM ---- */

TEST(forget_drops_what_finished_before_and_nothing_else)
{
    start();
    uint64_t ids[6], lsns[6];
    static const uint8_t states[] = {QUPLOG_SUCCEEDED, QUPLOG_CANCELLED, QUPLOG_JOB_FAILED};
    for (int i = 0; i < 6; i++) {
        ids[i] = put();
        lsns[i] = finish(ids[i], claim(ids[i]), states[i % 3]);
    }
    uint64_t pending = put(), running = put();
    claim(running);
    forget(lsns[4], 0, text("")); /* succeeded and cancelled, below the second cancelled */
    static const bool left[] = {false, false, true, false, true, true};
    for (int i = 0; i < 6; i++)
        CHECK_EQUAL(state(ids[i]) != 0, left[i]);
    forget(0, lsns[5], text(""));
    CHECK_EQUAL(state(ids[2]), 0);
    CHECK_EQUAL(state(ids[5]), QUPLOG_JOB_FAILED);
    forget(UINT64_MAX, UINT64_MAX, text(""));
    CHECK_EQUAL(w.table.jobs.count, 2);
    CHECK_EQUAL(state(pending), QUPLOG_READY);
    CHECK_EQUAL(state(running), QUPLOG_RUNNING);
    CHECK_EQUAL(put(), 9); /* no id is given again */
    end();
}

TEST(forget_by_id_drops_finished_jobs_only)
{
    start();
    unsigned char ids[40];
    uint64_t done = put(), failed = put(), ready = put(), running = put();
    finish(done, claim(done), QUPLOG_SUCCEEDED);
    finish(failed, claim(failed), QUPLOG_JOB_FAILED);
    claim(running);
    put_u64(ids, done);
    put_u64(ids + 8, failed);
    put_u64(ids + 16, ready);
    put_u64(ids + 24, running);
    put_u64(ids + 32, 777); /* not known */
    forget(0, 0, (struct span){ids, sizeof ids});
    CHECK_EQUAL(state(done), 0);
    CHECK_EQUAL(state(failed), 0);
    CHECK_EQUAL(state(ready), QUPLOG_READY);
    CHECK_EQUAL(state(running), QUPLOG_RUNNING);
    end();
}

TEST(trim_drops_what_was_not_copied_and_keeps_the_counters)
{
    start();
    uint64_t gone = put(), copied = put(), running = put();
    claim(running);
    schedule("gone", "rule", 10, false);
    queue_op("queue", true);
    uint64_t first = w.lsn;
    copy(copied, QUPLOG_READY);
    schedule("kept", "rule", 20, false);
    queue_op("kept", true);
    uint64_t young = put();
    trim(first, 100, 7);
    CHECK_EQUAL(state(gone), 0);
    CHECK_EQUAL(state(running), 0);
    CHECK_EQUAL(state(copied), QUPLOG_READY);
    CHECK_EQUAL(state(young), QUPLOG_READY);
    CHECK_EQUAL(w.table.running, 0);
    CHECK(!table_find_schedule(&w.table, text("gone")));
    CHECK(table_find_schedule(&w.table, text("kept")));
    CHECK(!table_find_queue(&w.table, text("queue"))->paused);
    CHECK(table_find_queue(&w.table, text("kept"))->paused);
    CHECK_EQUAL(w.table.first_lsn, first);
    CHECK_EQUAL(w.table.epoch, 7);
    CHECK_EQUAL(put(), 100);
    trim(first, 5, 6); /* counters only grow */
    CHECK_EQUAL(w.table.next_id, 101);
    CHECK_EQUAL(w.table.epoch, 7);
    end();
}

TEST(a_live_table_is_not_swept_by_a_trim)
{
    start();
    uint64_t id = put();
    w.table.live = true;
    trim(w.lsn, 1, 1); /* no writer says so while the table points below */
    CHECK_EQUAL(state(id), QUPLOG_READY);
    CHECK_EQUAL(w.table.first_lsn > job(id)->put_lsn, true);
    end();
}

TEST(a_replay_that_began_behind_the_trimmed_part_is_not_swept_again)
{
    start();
    uint64_t first = w.lsn;
    uint64_t id = put();
    CHECK_EQUAL(w.table.start_lsn, first);
    trim(w.lsn, 1, 1);
    CHECK_EQUAL(state(id), 0);
    CHECK_EQUAL(w.table.start_lsn, w.table.first_lsn); /* as if it had begun there */
    end();
}

/* ---- what a copy would take ---- */

static uint64_t live(uint64_t id)
{
    return job(id)->live_length;
}

TEST(what_a_copy_of_a_job_would_take_follows_its_life)
{
    start();
    static unsigned char much[20000];
    uint64_t id = put(), bare = OP_COPY_SIZE + strlen("task") + strlen("queue");
    CHECK_EQUAL(live(id), bare + strlen("payload"));
    struct op_retry again = {.id = id, .token = claim(id), .due_us = 5, .state = QUPLOG_RETRYING,
                             .data = {much, 100}};
    added(op_encode_retry(&w.ops, &again));
    apply();
    CHECK_EQUAL(live(id), bare + 7 + OP_COPY_ERROR + 104);
    due(5, 1);
    struct op_finish failed = {.id = id, .token = claim(id), .state = QUPLOG_JOB_FAILED,
                               .data = {much, sizeof much}};
    added(op_encode_finish(&w.ops, &failed));
    apply(); /* it may be retried by hand: the payload stays */
    CHECK_EQUAL(live(id), bare + 7 + OP_COPY_ERROR + 104 + OP_COPY_ERROR + OP_ERROR_KEPT);
    uint64_t done = put();
    struct op_finish result = {.id = done, .token = claim(done), .state = QUPLOG_SUCCEEDED,
                               .data = {much, 50}};
    added(op_encode_finish(&w.ops, &result));
    apply();
    CHECK_EQUAL(live(done), bare + 50);
    uint64_t never = put();
    cancel(never);
    CHECK_EQUAL(live(never), bare);
    forget(UINT64_MAX, UINT64_MAX, (struct span){NULL, 0});
    CHECK_EQUAL(w.table.live_bytes, 0);
    end();
}

TEST(a_slot_knows_its_tasks_and_where_that_stands)
{
    start();
    CHECK(!table_slot(&w.table, 3));
    uint64_t lsn = here();
    struct op_worker op = {
        .host = text("h"), .tasks = text("\3one\3two"), .slot = 3, .generation = 2};
    added(op_encode_worker(&w.ops, &op));
    apply();
    const struct worker_slot *slot = table_slot(&w.table, 3);
    REQUIRE(slot && slot->task_count == 2);
    CHECK_EQUAL(slot->put_lsn, lsn);
    CHECK(span_equal(w.table.names.spans[slot->tasks[1]], text("two")));
    CHECK(!table_slot(&w.table, 2));
    op.tasks = text("\3one");
    added(op_encode_worker(&w.ops, &op));
    apply();
    CHECK_EQUAL(slot->task_count, 1);
    CHECK(slot->put_lsn > lsn);
    end();
}

/* ---- SETTINGS, QUEUE, SCHEDULE ---- */

TEST(settings_stand_at_the_oldest_op_that_still_says_something)
{
    start();
    struct op_settings size = {.has_segment_size = true, .segment_size = 65536};
    struct op_settings keep = {.has_keep_failed = true, .keep_failed_us = 6};
    struct op_settings all = {.has_segment_size = true, .has_keep_failed = true};
    uint64_t first = here();
    added(op_encode_settings(&w.ops, &size));
    apply();
    CHECK_EQUAL(w.table.settings_lsn, first);
    added(op_encode_settings(&w.ops, &keep));
    apply();
    CHECK_EQUAL(w.table.settings_lsn, first);
    uint64_t last = here();
    added(op_encode_settings(&w.ops, &all));
    apply();
    CHECK_EQUAL(w.table.settings_lsn, last);
    end();
}

TEST(a_setting_that_is_absent_stays)
{
    start();
    struct op_settings first = {.has_segment_size = true, .has_keep_failed = true,
                                .segment_size = 65536, .keep_failed_us = 5};
    struct op_settings second = {.has_keep_failed = true, .keep_failed_us = 6};
    added(op_encode_settings(&w.ops, &first));
    apply();
    added(op_encode_settings(&w.ops, &second));
    apply();
    CHECK_EQUAL(w.table.settings.segment_size, 65536);
    CHECK_EQUAL(w.table.settings.keep_failed_us, 6);
    CHECK(!w.table.settings.has_keep_succeeded);
    end();
}

TEST(a_paused_queue_has_no_open_lane_until_it_is_resumed)
{
    start();
    put();
    const struct lane *lane = &w.table.lanes[0];
    CHECK(table_lane_open(&w.table, lane));
    queue_op("another", true);
    CHECK(table_lane_open(&w.table, lane));
    queue_op("queue", true);
    CHECK(!table_lane_open(&w.table, lane));
    queue_op("queue", false);
    CHECK(table_lane_open(&w.table, lane));
    claim(1);
    CHECK(!table_lane_open(&w.table, lane)); /* empty */
    end();
}

TEST(a_tick_keeps_the_rule_and_moves_the_version)
{
    start();
    uint64_t made = schedule("s", "every hour", 40, false);
    schedule("t", "every day", 30, false);
    uint64_t ticked = schedule("s", "", 80, false);
    const struct table_schedule *s = table_find_schedule(&w.table, text("s"));
    REQUIRE(s);
    CHECK_EQUAL(s->rule_lsn, made);
    CHECK_EQUAL(s->rule_length, 10);
    CHECK_EQUAL(s->version, ticked);
    CHECK_EQUAL(s->next_us, 80);
    CHECK_EQUAL(table_next_due(&w.table), 30);
    schedule("t", "", 0, true);
    schedule("never was", "", 0, true);
    CHECK_EQUAL(w.table.schedule_count, 1);
    CHECK_EQUAL(table_next_due(&w.table), 80);
    end();
}

/* ---- frames that no writer writes ---- */

TEST(a_frame_that_miscounts_its_ops_or_has_no_ids_is_corrupt)
{
    start();
    add_put("task", "queue", 0, 0);
    struct frame frame = prepared();
    frame.op_count = 2;
    CHECK_EQUAL(table_reserve(&w.table, &frame), QUPLOG_CORRUPT);
    frame.op_count = 0;
    CHECK_EQUAL(table_reserve(&w.table, &frame), QUPLOG_CORRUPT);
    frame.op_count = 1;
    frame.first_id = 0;
    CHECK_EQUAL(table_reserve(&w.table, &frame), QUPLOG_CORRUPT);
    frame.first_id = UINT64_MAX;
    CHECK_EQUAL(table_reserve(&w.table, &frame), QUPLOG_CORRUPT);
    frame.first_id = 1;
    frame.body.length -= 8;
    CHECK_EQUAL(table_reserve(&w.table, &frame), QUPLOG_CORRUPT);
    CHECK_EQUAL(w.table.jobs.count, 0);
    frame.body.length += 8;
    apply_frame(&frame);
    CHECK_EQUAL(w.table.jobs.count, 1);
    end();
}

TEST(an_op_of_a_newer_version_is_unsupported_or_skipped)
{
    start();
    add_put("task", "queue", 0, 0);
    size_t at = w.ops.length;
    added(op_encode_cancel(&w.ops, 1));
    add_put("", "", 0, 0);
    w.ops.data[at] = 200;
    struct frame frame = prepared();
    CHECK_EQUAL(table_reserve(&w.table, &frame), QUPLOG_UNSUPPORTED);
    w.ops.data[at + 1] = OP_SKIPPABLE;
    apply();
    CHECK_EQUAL(w.table.jobs.count, 2);
    CHECK_EQUAL(state(1), QUPLOG_READY);
    end();
}

/* ---- random logs ---- */

enum { FUZZ_IDS = 40, FUZZ_FRAMES = 4000 };

static const char *const NAMES[] = {"a", "bb", "ccc"};

static uint64_t some_token(uint64_t *seed, uint64_t id)
{
    const struct job *found = jobs_get(&w.table.jobs, id);
    if (found && found->state == QUPLOG_RUNNING && random_below(seed, 8))
        return table_run(&w.table, found)->token;
    return 4096 + random_below(seed, 1000);
}

static void add_outcome(uint64_t *seed, uint64_t id)
{
    uint64_t token = some_token(seed, id);
    if (random_below(seed, 2)) {
        struct op_finish op = {.id = id, .token = token, .data = text("result"),
                               .state = (uint8_t)(QUPLOG_SUCCEEDED + random_below(seed, 3))};
        added(op_encode_finish(&w.ops, &op));
    } else {
        struct op_retry op = {.id = id, .token = token, .data = text("error"),
                              .due_us = (int64_t)random_below(seed, 200) - 5,
                              .state = random_below(seed, 2) ? QUPLOG_RETRYING : QUPLOG_SCHEDULED};
        added(op_encode_retry(&w.ops, &op));
    }
}

static void add_thing(uint64_t *seed)
{
    const char *name = NAMES[random_below(seed, 3)];
    struct op_queue queue = {.name = text(name), .paused = random_below(seed, 2)};
    struct op_schedule s = {.id = text(name), .rule = text(random_below(seed, 2) ? "rule" : ""),
                            .next_us = 50, .removed = random_below(seed, 3) == 0};
    struct op_settings settings = {.has_keep_failed = true, .keep_failed_us = 7};
    struct op_worker op = {.slot = (uint16_t)random_below(seed, 4),
                           .generation = (uint32_t)random_below(seed, 6)};
    switch (random_below(seed, 4)) {
    case 0: added(op_encode_queue(&w.ops, &queue)); break;
    case 1: added(op_encode_schedule(&w.ops, &s)); break;
    case 2: added(op_encode_settings(&w.ops, &settings)); break;
    default: added(op_encode_worker(&w.ops, &op)); break;
    }
}

static void add_sweep(uint64_t *seed)
{
    static const unsigned char boot[16];
    unsigned char ids[16];
    put_u64(ids, 1 + random_below(seed, FUZZ_IDS));
    put_u64(ids + 8, 1 + random_below(seed, FUZZ_IDS));
    switch (random_below(seed, 4)) {
    case 0: added(op_encode_open(&w.ops, random_below(seed, 9), boot, QUPLOG_KILL,
                                 random_below(seed, 2)));
        break;
    case 1:
        added(op_encode_forget(&w.ops, random_below(seed, w.lsn), random_below(seed, w.lsn),
                               (struct span){ids, sizeof ids}));
        break;
    default:
        added(op_encode_due(&w.ops, (int64_t)random_below(seed, 200), random_below(seed, 30)));
    }
}

static void add_random_op(uint64_t *seed)
{
    uint64_t id = 1 + random_below(seed, FUZZ_IDS);
    struct op_copy op = copy_of(id, (uint8_t)(1 + random_below(seed, 8)));
    op.job.task = text(NAMES[random_below(seed, 3)]);
    op.slot = (uint16_t)random_below(seed, 4);
    op.cancel_requested = random_below(seed, 4) == 0;
    switch (random_below(seed, 12)) {
    case 0:
    case 1:
        add_put(NAMES[random_below(seed, 3)], NAMES[random_below(seed, 3)],
                (int)random_below(seed, 201) - 100,
                random_below(seed, 2) ? (int64_t)random_below(seed, 200) : 0);
        break;
    case 2:
    case 3:
    case 4:
        added(op_encode_claim(&w.ops, id, (uint16_t)random_below(seed, 4),
                              (uint32_t)random_below(seed, 6)));
        break;
    case 5:
    case 6: add_outcome(seed, id); break;
    case 7:
        added(op_encode_release(&w.ops, id, some_token(seed, id),
                                (enum op_release_reason)(1 + random_below(seed, 3))));
        break;
    case 8: added(op_encode_cancel(&w.ops, id)); break;
    case 9: added(op_encode_copy(&w.ops, &op)); break;
    case 10: add_thing(seed); break;
    default: add_sweep(seed); break;
    }
}

/* A frame of random ops; its PUTs may give ids again. */
static struct frame random_frame(uint64_t *seed)
{
    for (uint64_t n = 1 + random_below(seed, 20); n > 0; n--)
        add_random_op(seed);
    w.time_us = 1 + (int64_t)random_below(seed, 1000);
    struct frame frame = prepared();
    frame.first_id = 1 + random_below(seed, FUZZ_IDS);
    return frame;
}

static void check_same_jobs(const struct table *a, const struct table *b)
{
    uint64_t id = 0, other = 0;
    const struct job *job_a, *job_b;
    CHECK_EQUAL(a->jobs.count, b->jobs.count);
    while ((job_a = jobs_next(&a->jobs, id, false, &id))) {
        job_b = jobs_next(&b->jobs, other, false, &other);
        REQUIRE(job_b && other == id);
        CHECK_BYTES(job_a, job_b, sizeof *job_a);
        CHECK(span_equal(table_task(a, job_a), table_task(b, job_b)));
        CHECK(span_equal(table_queue(a, job_a), table_queue(b, job_b)));
    }
}

static void check_same(const struct table *a, const struct table *b)
{
    check_same_jobs(a, b);
    CHECK_EQUAL(a->run_count, b->run_count);
    for (size_t i = 0; i < a->run_count; i++)
        CHECK(a->runs[i].id == b->runs[i].id && a->runs[i].token == b->runs[i].token);
    CHECK_EQUAL(a->next_id, b->next_id);
    CHECK_EQUAL(a->epoch, b->epoch);
    CHECK_EQUAL(a->queue_count, b->queue_count);
    CHECK_EQUAL(a->schedule_count, b->schedule_count);
    for (size_t i = 0; i < a->schedule_count; i++)
        CHECK(a->schedules[i].version == b->schedules[i].version
              && a->schedules[i].rule_lsn == b->schedules[i].rule_lsn);
    CHECK_EQUAL(table_next_due(a), table_next_due(b));
}

TEST(the_same_log_always_makes_the_same_table)
{
    start();
    uint64_t seed = 11;
    struct table twin;
    table_init(&twin);
    for (int i = 0; i < FUZZ_FRAMES; i++) {
        struct frame frame = random_frame(&seed);
        REQUIRE(table_reserve(&twin, &frame) == QUPLOG_OK);
        table_apply(&twin, &frame, w.lsn, NULL, NULL);
        if (random_below(&seed, 4) == 0) /* a frame that was reserved, but not appended */
            REQUIRE(table_reserve(&w.table, &frame) == QUPLOG_OK);
        apply_frame(&frame);
        check_counts(&w.table);
        if (i % 100 == 0) {
            check_same(&w.table, &twin);
            trim(w.lsn - random_below(&seed, 5000) % w.lsn, 1, 1);
            struct frame_trim numbers = {w.table.first_lsn, 1, 1};
            unsigned char body[FRAME_TRIM_BODY];
            frame_trim_encode(body, &numbers);
            frame = (struct frame){.kind = FRAME_TRIM, .body = {body, sizeof body}};
            REQUIRE(table_reserve(&twin, &frame) == QUPLOG_OK);
            table_apply(&twin, &frame, w.lsn, NULL, NULL);
        }
    }
    check_same(&w.table, &twin);
    CHECK(w.table.jobs.count > 5);
    table_free(&twin);
    end();
}

/* Ids in a row are cheap, and pages are found by number: one far away costs a long list of pages.
 * The fuzz leaves those out, since they would only cost time. */
static bool far_away(const struct frame *frame)
{
    struct op op;
    size_t position = 0;
    for (;;) {
        enum op_verdict verdict = op_next(frame->body, &position, &op, NULL);
        if (verdict != OP_VALID && verdict != OP_SKIPPED)
            return false;
        if (verdict == OP_VALID && op.type == QUPLOG_OP_COPY
            && (op.as.copy.id & UINT32_MAX) > 1000000)
            return true;
    }
}

static void damage(struct frame *frame, uint64_t *seed)
{
    for (uint64_t n = 1 + random_below(seed, 4); n > 0; n--)
        w.ops.data[random_below(seed, w.ops.length)] = (unsigned char)random_next(seed);
    if (random_below(seed, 4) == 0)
        frame->op_count += (uint32_t)random_below(seed, 3) - 1U;
    if (random_below(seed, 8) == 0)
        frame->first_id = random_next(seed) & UINT64_C(0xff000000000fffff);
}

TEST(a_damaged_frame_is_refused_or_applied_but_never_crashes)
{
    start();
    uint64_t seed = 12;
    int refused = 0, applied = 0;
    for (int i = 0; i < 5 * FUZZ_FRAMES; i++) {
        struct frame frame = random_frame(&seed);
        if (random_below(&seed, 3))
            damage(&frame, &seed);
        if (!far_away(&frame) && table_reserve(&w.table, &frame) == QUPLOG_OK) {
            apply_frame(&frame);
            applied++;
        } else {
            w.ops.length = w.op_count = 0;
            refused++;
        }
        if (i % 50 == 0)
            check_counts(&w.table);
        if (i % 1000 == 999) {
            end();
            start();
        }
    }
    CHECK(refused > FUZZ_FRAMES / 4 && applied > FUZZ_FRAMES);
    end();
}

/* ---- memory ---- */

enum { MILLION = 1000000, AT_ONCE = 1000 };

static void put_million(int64_t due_us)
{
    for (int i = 0; i < MILLION; i += AT_ONCE) {
        for (int n = 0; n < AT_ONCE; n++)
            add_put(n ? "" : "task", n ? "" : "queue", 0, due_us ? due_us + n : 0);
        struct frame frame = prepared();
        apply_frame(&frame);
    }
    REQUIRE(w.table.jobs.count == MILLION);
}

TEST(a_pending_job_costs_96_bytes_at_most)
{
    start();
    put_million(0);
    CHECK(table_bytes(&w.table) <= (size_t)96 * MILLION);
    CHECK(table_bytes(&w.table) >= (sizeof(struct job) + sizeof(struct heap_entry)) * MILLION);
    end();
    start();
    put_million(5);
    CHECK(table_bytes(&w.table) <= (size_t)96 * MILLION);
    end();
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(a_frames_jobs_have_ids_in_a_row_and_its_names),
        LISTED(an_id_given_twice_keeps_what_stands),
        LISTED(a_claim_counts_an_attempt_and_is_known_by_its_lsn),
        LISTED(a_claim_of_what_is_not_ready_is_ignored),
        LISTED(a_finish_needs_the_present_claim),
        LISTED(a_failure_keeps_where_its_error_stands),
        LISTED(a_retry_keeps_the_attempt_and_a_snooze_takes_it_back),
        LISTED(a_released_job_has_its_old_place_and_its_attempt_back),
        LISTED(only_a_crash_counts_as_a_crash),
        LISTED(a_pending_job_is_cancelled_at_once_and_a_running_one_marked),
        LISTED(a_job_asked_to_cancel_and_then_released_is_cancelled),
        LISTED(an_open_releases_all_and_counts_no_crash),
        LISTED(only_a_newer_generation_of_the_slot_releases_and_counts_a_crash),
        LISTED(ids_jump_after_a_power_cut_and_only_then),
        LISTED(ready_jobs_go_by_priority_then_age_then_id),
        LISTED(jobs_of_one_due_op_go_by_id),
        LISTED(due_moves_what_is_due_then_and_at_most_so_many),
        LISTED(a_frame_may_put_and_make_due_and_claim_and_finish),
        LISTED(an_open_may_cancel_more_jobs_than_its_frame_names),
        LISTED(a_copy_replaces_and_never_adds),
        LISTED(a_copy_keeps_the_claim_and_the_place),
        LISTED(a_copy_of_an_unknown_job_makes_it_known),
        LISTED(a_copy_of_an_id_that_no_writer_gives_is_corrupt),
        LISTED(forget_drops_what_finished_before_and_nothing_else),
        LISTED(forget_by_id_drops_finished_jobs_only),
        LISTED(trim_drops_what_was_not_copied_and_keeps_the_counters),
        LISTED(a_live_table_is_not_swept_by_a_trim),
        LISTED(a_replay_that_began_behind_the_trimmed_part_is_not_swept_again),
        LISTED(what_a_copy_of_a_job_would_take_follows_its_life),
        LISTED(a_slot_knows_its_tasks_and_where_that_stands),
        LISTED(settings_stand_at_the_oldest_op_that_still_says_something),
        LISTED(a_setting_that_is_absent_stays),
        LISTED(a_paused_queue_has_no_open_lane_until_it_is_resumed),
        LISTED(a_tick_keeps_the_rule_and_moves_the_version),
        LISTED(a_frame_that_miscounts_its_ops_or_has_no_ids_is_corrupt),
        LISTED(an_op_of_a_newer_version_is_unsupported_or_skipped),
        LISTED(the_same_log_always_makes_the_same_table),
        LISTED(a_damaged_frame_is_refused_or_applied_but_never_crashes),
        LISTED(a_pending_job_costs_96_bytes_at_most),
    };
    return RUN(tests, argc, argv);
}
