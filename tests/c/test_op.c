/* Ops: what is written comes back, and no byte of a body is trusted. */
#include "crc32c.h"
#include "op.h"

#include "random.h"
#include "test.h"

enum { TYPES = 14, MUTANTS = 20000 };

static const unsigned char BOOT[16] = {0, 1, 2, 253, 254, 255};

static struct span text(const char *s)
{
    return (struct span){(const unsigned char *)s, strlen(s)};
}

static struct span of(const struct buffer *b)
{
    return (struct span){b->data, b->length};
}

static struct span longest_name(void)
{
    static unsigned char name[QUPLOG_NAME_MAX];
    memset(name, 'n', sizeof name);
    return (struct span){name, sizeof name};
}

static void check_span(struct span is, struct span should)
{
    CHECK_EQUAL(is.length, should.length);
    CHECK(span_equal(is, should));
}

/* The only op in `b`, which is emptied of nothing: its spans point into it. */
static struct op only_op(const struct buffer *b)
{
    struct op op;
    size_t position = 0;
    memset(&op, 0xee, sizeof op);
    REQUIRE(op_next(of(b), &position, &op, NULL) == OP_VALID);
    CHECK_EQUAL(position, b->length);
    CHECK_EQUAL(b->length % 8, 0);
    CHECK_EQUAL(align8(op.length), b->length);
    CHECK_EQUAL(op_next(of(b), &position, &op, NULL), OP_END);
    return op;
}

/* ---- round trips ---- */

static struct op_job full_job(struct buffer *fields)
{
    REQUIRE(op_add_field(fields, OP_FIELD_TAGS, text("\003one\003two")) == QUPLOG_OK);
    REQUIRE(op_add_field(fields, OP_FIELD_SCHEDULE, text("nightly")) == QUPLOG_OK);
    return (struct op_job){.task = longest_name(),
                           .queue = text("q"),
                           .fields = of(fields),
                           .payload = text("payload"),
                           .retries = UINT16_MAX,
                           .priority = -QUPLOG_PRIORITY_MAX};
}

static void check_job(const struct op_job *is, const struct op_job *should)
{
    check_span(is->task, should->task);
    check_span(is->queue, should->queue);
    check_span(is->fields, should->fields);
    check_span(is->payload, should->payload);
    CHECK_EQUAL(is->retries, should->retries);
    CHECK_EQUAL(is->priority, should->priority);
}

TEST(a_put_comes_back)
{
    struct buffer b = {0}, fields = {0};
    struct op_put put = {.job = full_job(&fields), .due_us = INT64_MAX};
    REQUIRE(op_encode_put(&b, &put) == QUPLOG_OK);
    struct op op = only_op(&b);
    CHECK_EQUAL(op.type, QUPLOG_OP_PUT);
    CHECK_EQUAL(op.as.put.due_us, INT64_MAX);
    check_job(&op.as.put.job, &put.job);
    check_span(op_field(op.as.put.job.fields, OP_FIELD_TAGS), text("\003one\003two"));
    check_span(op_field(op.as.put.job.fields, OP_FIELD_SCHEDULE), text("nightly"));
    CHECK(op_field(op.as.put.job.fields, OP_FIELD_KEY).data == NULL);
    buffer_free(&b);
    buffer_free(&fields);
}

TEST(a_put_of_nothing_comes_back)
{
    struct buffer b = {0};
    struct op_put put = {.job = {.task = text("t"), .queue = longest_name(), .priority = 100},
                         .due_us = INT64_MIN};
    REQUIRE(op_encode_put(&b, &put) == QUPLOG_OK);
    struct op op = only_op(&b);
    check_job(&op.as.put.job, &put.job);
    CHECK_EQUAL(op.as.put.due_us, INT64_MIN);
    buffer_free(&b);
}

static struct op_copy full_copy(const struct op_job *job, const struct buffer *errors)
{
    return (struct op_copy){.job = *job,
                            .id = UINT64_MAX >> 2,
                            .token = UINT64_MAX - 1,
                            .due_us = INT64_MIN,
                            .created_us = INT64_MAX,
                            .ready_us = -1,
                            .started_us = 1,
                            .finished_us = INT64_MIN + 1,
                            .created_lsn = UINT64_MAX - 2,
                            .ready_lsn = UINT64_MAX - 3,
                            .finish_lsn = UINT64_MAX - 4,
                            .generation = UINT32_MAX,
                            .slot = UINT16_MAX,
                            .attempt = UINT16_MAX - 1,
                            .state = QUPLOG_CANCELLED,
                            .crashes = UINT8_MAX,
                            .cancel_requested = true,
                            .errors = of(errors),
                            .result = text("result")};
}

static void check_copy(const struct op_copy *is, const struct op_copy *should)
{
    check_job(&is->job, &should->job);
    CHECK_EQUAL(is->id, should->id);
    CHECK_EQUAL(is->token, should->token);
    CHECK_EQUAL(is->due_us, should->due_us);
    CHECK_EQUAL(is->created_us, should->created_us);
    CHECK_EQUAL(is->ready_us, should->ready_us);
    CHECK_EQUAL(is->started_us, should->started_us);
    CHECK_EQUAL(is->finished_us, should->finished_us);
    CHECK_EQUAL(is->created_lsn, should->created_lsn);
    CHECK_EQUAL(is->ready_lsn, should->ready_lsn);
    CHECK_EQUAL(is->finish_lsn, should->finish_lsn);
    CHECK_EQUAL(is->generation, should->generation);
    CHECK_EQUAL(is->slot, should->slot);
    CHECK_EQUAL(is->attempt, should->attempt);
    CHECK_EQUAL(is->state, should->state);
    CHECK_EQUAL(is->crashes, should->crashes);
    CHECK_EQUAL(is->cancel_requested, should->cancel_requested);
    check_span(is->errors, should->errors);
    check_span(is->result, should->result);
}

TEST(a_copy_comes_back_with_its_errors_in_order)
{
    struct buffer b = {0}, fields = {0}, errors = {0};
    struct op_job job = full_job(&fields);
    REQUIRE(op_copy_add_error(&errors, 11, text("first")) == QUPLOG_OK);
    REQUIRE(op_copy_add_error(&errors, UINT64_MAX, text("")) == QUPLOG_OK);
    REQUIRE(op_copy_add_error(&errors, 13, text("third wide")) == QUPLOG_OK);
    struct op_copy copy = full_copy(&job, &errors);
    REQUIRE(op_encode_copy(&b, &copy) == QUPLOG_OK);
    struct op op = only_op(&b);
    CHECK_EQUAL(op.type, QUPLOG_OP_COPY);
    check_copy(&op.as.copy, &copy);
    static const char *const texts[] = {"first", "", "third wide"};
    static const uint64_t lsns[] = {11, UINT64_MAX, 13};
    size_t position = 0;
    uint64_t lsn;
    struct span error;
    for (int i = 0; i < 3; i++) {
        REQUIRE(op_copy_error(op.as.copy.errors, &position, &lsn, &error));
        CHECK_EQUAL(lsn, lsns[i]);
        check_span(error, text(texts[i]));
    }
    CHECK(!op_copy_error(op.as.copy.errors, &position, &lsn, &error));
    buffer_free(&b);
    buffer_free(&fields);
    buffer_free(&errors);
}

TEST(an_open_and_a_worker_come_back)
{
    struct buffer b = {0};
    REQUIRE(op_encode_open(&b, UINT64_MAX, BOOT, QUPLOG_REBOOT, true) == QUPLOG_OK);
    struct op op = only_op(&b);
    CHECK_EQUAL(op.type, QUPLOG_OP_OPEN);
    CHECK_EQUAL(op.as.open.epoch, UINT64_MAX);
    CHECK_BYTES(op.as.open.boot_id, BOOT, sizeof BOOT);
    CHECK_EQUAL(op.as.open.ending, QUPLOG_REBOOT);
    CHECK(op.as.open.lost);
    b.length = 0;
    struct op_worker worker = {.host = text("host"),
                               .tasks = text("\001a\002bc"),
                               .slot = UINT16_MAX,
                               .generation = UINT32_MAX,
                               .process_id = UINT32_MAX - 1,
                               .started_us = INT64_MIN};
    REQUIRE(op_encode_worker(&b, &worker) == QUPLOG_OK);
    op = only_op(&b);
    CHECK_EQUAL(op.type, QUPLOG_OP_WORKER);
    check_span(op.as.worker.host, worker.host);
    check_span(op.as.worker.tasks, worker.tasks);
    CHECK_EQUAL(op.as.worker.slot, UINT16_MAX);
    CHECK_EQUAL(op.as.worker.generation, UINT32_MAX);
    CHECK_EQUAL(op.as.worker.process_id, UINT32_MAX - 1);
    CHECK_EQUAL(op.as.worker.started_us, INT64_MIN);
    buffer_free(&b);
}

TEST(a_claim_a_release_and_a_cancel_come_back)
{
    struct buffer b = {0};
    REQUIRE(op_encode_claim(&b, UINT64_MAX, UINT16_MAX, UINT32_MAX) == QUPLOG_OK);
    struct op op = only_op(&b);
    CHECK_EQUAL(op.type, QUPLOG_OP_CLAIM);
    CHECK_EQUAL(op.as.claim.id, UINT64_MAX);
    CHECK_EQUAL(op.as.claim.slot, UINT16_MAX);
    CHECK_EQUAL(op.as.claim.generation, UINT32_MAX);
    for (int reason = OP_RELEASE_STOP; reason <= OP_RELEASE_CANCEL; reason++) {
        b.length = 0;
        REQUIRE(op_encode_release(&b, 1, UINT64_MAX, (enum op_release_reason)reason) == 0);
        op = only_op(&b);
        CHECK_EQUAL(op.type, QUPLOG_OP_RELEASE);
        CHECK_EQUAL(op.as.release.id, 1);
        CHECK_EQUAL(op.as.release.token, UINT64_MAX);
        CHECK_EQUAL(op.as.release.reason, reason);
    }
    b.length = 0;
    REQUIRE(op_encode_cancel(&b, UINT64_MAX - 1) == QUPLOG_OK);
    op = only_op(&b);
    CHECK_EQUAL(op.type, QUPLOG_OP_CANCEL);
    CHECK_EQUAL(op.as.cancel.id, UINT64_MAX - 1);
    buffer_free(&b);
}

TEST(a_finish_comes_back_and_only_a_failed_one_has_a_link)
{
    struct buffer b = {0};
    for (int state = QUPLOG_SUCCEEDED; state <= QUPLOG_CANCELLED; state++) {
        bool failed = state == QUPLOG_JOB_FAILED;
        struct op_finish finish = {.id = UINT64_MAX,
                                   .token = UINT64_MAX - 1,
                                   .previous_error = failed ? UINT64_MAX - 2 : 0,
                                   .data = text("the result"),
                                   .state = (uint8_t)state};
        b.length = 0;
        REQUIRE(op_encode_finish(&b, &finish) == QUPLOG_OK);
        struct op op = only_op(&b);
        CHECK_EQUAL(op.type, QUPLOG_OP_FINISH);
        CHECK_EQUAL(op.as.finish.id, finish.id);
        CHECK_EQUAL(op.as.finish.token, finish.token);
        CHECK_EQUAL(op.as.finish.state, state);
        CHECK_EQUAL(op.as.finish.previous_error, finish.previous_error);
        check_span(op.as.finish.data, finish.data);
    }
    buffer_free(&b);
}

TEST(a_retry_and_a_snooze_come_back)
{
    static const uint8_t states[] = {QUPLOG_RETRYING, QUPLOG_SCHEDULED};
    struct buffer b = {0};
    for (int i = 0; i < 2; i++) {
        struct op_retry retry = {.id = UINT64_MAX,
                                 .token = 1,
                                 .previous_error = UINT64_MAX - 2,
                                 .due_us = INT64_MIN,
                                 .data = text(i ? "" : "Traceback"),
                                 .state = states[i]};
        b.length = 0;
        REQUIRE(op_encode_retry(&b, &retry) == QUPLOG_OK);
        struct op op = only_op(&b);
        CHECK_EQUAL(op.type, QUPLOG_OP_RETRY);
        CHECK_EQUAL(op.as.retry.id, retry.id);
        CHECK_EQUAL(op.as.retry.token, 1);
        CHECK_EQUAL(op.as.retry.previous_error, retry.previous_error);
        CHECK_EQUAL(op.as.retry.due_us, INT64_MIN);
        CHECK_EQUAL(op.as.retry.state, states[i]);
        check_span(op.as.retry.data, retry.data);
    }
    buffer_free(&b);
}

TEST(a_forget_and_a_due_come_back)
{
    unsigned char ids[16];
    struct buffer b = {0};
    put_u64(ids, UINT64_MAX);
    put_u64(ids + 8, 1);
    struct span both = {ids, sizeof ids};
    REQUIRE(op_encode_forget(&b, UINT64_MAX, 0, both) == QUPLOG_OK);
    struct op op = only_op(&b);
    CHECK_EQUAL(op.type, QUPLOG_OP_FORGET);
    CHECK_EQUAL(op.as.forget.succeeded_below, UINT64_MAX);
    CHECK_EQUAL(op.as.forget.failed_below, 0);
    check_span(op.as.forget.ids, both);
    b.length = 0;
    REQUIRE(op_encode_due(&b, INT64_MIN, UINT64_MAX) == QUPLOG_OK);
    op = only_op(&b);
    CHECK_EQUAL(op.type, QUPLOG_OP_DUE);
    CHECK_EQUAL(op.as.due.until_us, INT64_MIN);
    CHECK_EQUAL(op.as.due.most, UINT64_MAX);
    buffer_free(&b);
}

TEST(settings_come_back_and_what_is_absent_stays_absent)
{
    struct buffer b = {0};
    for (unsigned mask = 0; mask < 16; mask++) {
        struct op_settings s = {.has_segment_size = mask & 1,
                                .has_keep_succeeded = mask & 2,
                                .has_keep_failed = mask & 4,
                                .has_archive = mask & 8,
                                .segment_size = UINT64_MAX,
                                .keep_succeeded_us = INT64_MIN,
                                .keep_failed_us = INT64_MAX,
                                .archive = text("/a/b")};
        b.length = 0;
        REQUIRE(op_encode_settings(&b, &s) == QUPLOG_OK);
        struct op op = only_op(&b);
        const struct op_settings *is = &op.as.settings;
        CHECK_EQUAL(is->has_segment_size, s.has_segment_size);
        CHECK_EQUAL(is->has_keep_succeeded, s.has_keep_succeeded);
        CHECK_EQUAL(is->has_keep_failed, s.has_keep_failed);
        CHECK_EQUAL(is->has_archive, s.has_archive);
        CHECK(!s.has_segment_size || is->segment_size == s.segment_size);
        CHECK(!s.has_keep_succeeded || is->keep_succeeded_us == s.keep_succeeded_us);
        CHECK(!s.has_keep_failed || is->keep_failed_us == s.keep_failed_us);
        check_span(is->archive, s.has_archive ? s.archive : text(""));
    }
    buffer_free(&b);
}

TEST(a_queue_and_a_schedule_come_back)
{
    struct buffer b = {0};
    struct op_queue queue = {longest_name(), true, UINT32_MAX, UINT32_MAX - 1, INT64_MAX};
    REQUIRE(op_encode_queue(&b, &queue) == QUPLOG_OK);
    struct op op = only_op(&b);
    CHECK_EQUAL(op.type, QUPLOG_OP_QUEUE);
    check_span(op.as.queue.name, queue.name);
    CHECK(op.as.queue.paused);
    CHECK_EQUAL(op.as.queue.max_running, UINT32_MAX);
    CHECK_EQUAL(op.as.queue.rate, UINT32_MAX - 1);
    CHECK_EQUAL(op.as.queue.rate_us, INT64_MAX);
    for (unsigned mask = 0; mask < 4; mask++) {
        struct op_schedule schedule = {.id = longest_name(),
                                       .rule = text(mask ? "a rule" : ""),
                                       .next_us = INT64_MAX,
                                       .last_us = INT64_MIN,
                                       .paused = mask & 1,
                                       .removed = mask & 2};
        b.length = 0;
        REQUIRE(op_encode_schedule(&b, &schedule) == QUPLOG_OK);
        op = only_op(&b);
        CHECK_EQUAL(op.type, QUPLOG_OP_SCHEDULE);
        check_span(op.as.schedule.id, schedule.id);
        check_span(op.as.schedule.rule, schedule.rule);
        CHECK_EQUAL(op.as.schedule.next_us, INT64_MAX);
        CHECK_EQUAL(op.as.schedule.last_us, INT64_MIN);
        CHECK_EQUAL(op.as.schedule.paused, schedule.paused);
        CHECK_EQUAL(op.as.schedule.removed, schedule.removed);
    }
    buffer_free(&b);
}

/* ---- sizes and limits ---- */

TEST(a_claim_and_a_finish_cost_32_bytes_at_most)
{
    struct buffer b = {0};
    REQUIRE(op_encode_claim(&b, UINT64_MAX, UINT16_MAX, UINT32_MAX) == QUPLOG_OK);
    CHECK(b.length <= 32);
    b.length = 0;
    struct op_finish finish = {.id = UINT64_MAX, .token = UINT64_MAX, .state = QUPLOG_SUCCEEDED};
    REQUIRE(op_encode_finish(&b, &finish) == QUPLOG_OK);
    CHECK(b.length <= 32);
    buffer_free(&b);
}

static void check_refused(int status, int should, struct buffer *b, size_t before)
{
    CHECK_EQUAL(status, should);
    CHECK_EQUAL(b->length, before);
    CHECK_EQUAL(b->data[0], QUPLOG_OP_CANCEL);
}

TEST(what_is_too_large_is_refused_and_the_buffer_is_as_it_was)
{
    static unsigned char bytes[QUPLOG_PAYLOAD_MAX + 1];
    struct span too_large = {bytes, sizeof bytes};
    struct span long_name = {bytes, QUPLOG_NAME_MAX + 1}, long_fields = {bytes, UINT16_MAX + 1};
    struct buffer b = {0};
    REQUIRE(op_encode_cancel(&b, 1) == QUPLOG_OK);
    size_t before = b.length;
    struct op_put put = {.job = {.task = text("t"), .queue = text("q"), .payload = too_large}};
    check_refused(op_encode_put(&b, &put), QUPLOG_TOO_LARGE, &b, before);
    put.job.payload = text("");
    put.job.queue = long_name;
    check_refused(op_encode_put(&b, &put), QUPLOG_INVALID, &b, before);
    put.job.queue = text("q");
    put.job.fields = long_fields;
    check_refused(op_encode_put(&b, &put), QUPLOG_INVALID, &b, before);
    struct op_finish finish = {.data = too_large, .state = QUPLOG_SUCCEEDED};
    check_refused(op_encode_finish(&b, &finish), QUPLOG_TOO_LARGE, &b, before);
    struct op_retry retry = {.data = too_large, .state = QUPLOG_RETRYING};
    check_refused(op_encode_retry(&b, &retry), QUPLOG_TOO_LARGE, &b, before);
    struct op_queue queue = {.name = long_name};
    check_refused(op_encode_queue(&b, &queue), QUPLOG_INVALID, &b, before);
    queue.name = text("");
    check_refused(op_encode_queue(&b, &queue), QUPLOG_INVALID, &b, before);
    struct op_schedule schedule = {.id = long_name};
    check_refused(op_encode_schedule(&b, &schedule), QUPLOG_INVALID, &b, before);
    schedule = (struct op_schedule){.id = text("s"), .rule = too_large};
    check_refused(op_encode_schedule(&b, &schedule), QUPLOG_TOO_LARGE, &b, before);
    struct buffer fields = b;
    check_refused(op_add_field(&fields, OP_FIELD_TAGS, long_fields), QUPLOG_TOO_LARGE, &fields,
                  before);
    buffer_free(&b);
}

TEST(a_schedule_needs_an_id_and_a_copy_no_names_that_are_too_long)
{
    static unsigned char bytes[QUPLOG_NAME_MAX + 1];
    struct span long_name = {bytes, sizeof bytes};
    struct buffer b = {0};
    REQUIRE(op_encode_cancel(&b, 1) == QUPLOG_OK);
    size_t before = b.length;
    struct op_schedule schedule = {.id = text("")};
    check_refused(op_encode_schedule(&b, &schedule), QUPLOG_INVALID, &b, before);
    struct op_copy copy = {.job = {.task = long_name, .queue = text("q")}, .id = 1};
    check_refused(op_encode_copy(&b, &copy), QUPLOG_INVALID, &b, before);
    CHECK(!op_intact((struct span){bytes, OP_HEADER - 1}));
    buffer_free(&b);
}

TEST(the_end_of_a_long_error_is_kept_from_a_whole_character_on)
{
    static unsigned char error[OP_ERROR_KEPT + 9];
    struct span whole = {error, sizeof error}, short_one = {error, OP_ERROR_KEPT};
    CHECK_EQUAL(op_copy_kept(short_one).length, OP_ERROR_KEPT);
    memset(error, 'e', sizeof error);
    CHECK_EQUAL(op_copy_kept(whole).length, OP_ERROR_KEPT);
    memset(error + 8, 0x80, 4); /* the first byte that is kept is inside a character */
    CHECK_EQUAL(op_copy_kept(whole).length, OP_ERROR_KEPT - 3);
    memset(error, 0x80, sizeof error); /* no text at all */
    CHECK_EQUAL(op_copy_kept(whole).length, 0);
}

/* ---- the names of the PUT before ---- */

static void add_put(struct buffer *b, const char *task, const char *queue)
{
    struct op_put put = {
        .job = {.task = text(task), .queue = text(queue), .payload = text("payload")}};
    REQUIRE(op_encode_put(b, &put) == QUPLOG_OK);
}

TEST(a_put_without_names_has_those_of_the_put_before)
{
    static const char *const tasks[] = {"one", "one", "two", "two", "two"};
    static const char *const queues[] = {"a", "a", "b", "b", "b"};
    struct buffer b = {0};
    add_put(&b, "one", "a");
    add_put(&b, "", "");
    add_put(&b, "two", "b");
    REQUIRE(op_encode_cancel(&b, 1) == QUPLOG_OK); /* an op between them changes nothing */
    add_put(&b, "", "");
    add_put(&b, "", "");
    struct op op;
    struct op_job names = {0};
    size_t position = 0, puts = 0;
    while (op_next(of(&b), &position, &op, &names) == OP_VALID) {
        if (op.type != QUPLOG_OP_PUT)
            continue;
        REQUIRE(puts < 5);
        check_span(op.as.put.job.task, text(tasks[puts]));
        check_span(op.as.put.job.queue, text(queues[puts]));
        check_span(op.as.put.job.payload, text("payload"));
        puts++;
    }
    CHECK_EQUAL(puts, 5);
    CHECK_EQUAL(position, b.length);
    buffer_free(&b);
}

TEST(a_first_put_without_names_is_malformed)
{
    struct buffer b = {0};
    struct op op;
    struct op_job names = {0};
    size_t position = 0;
    add_put(&b, "", "");
    CHECK_EQUAL(op_next(of(&b), &position, &op, &names), OP_MALFORMED);
    b.length = position = 0;
    add_put(&b, "task", ""); /* a task needs its queue */
    CHECK_EQUAL(op_next(of(&b), &position, &op, &names), OP_MALFORMED);
    buffer_free(&b);
}

/* ---- what a newer version may have written ---- */

TEST(an_unknown_type_is_skipped_only_if_it_says_so)
{
    struct buffer b = {0};
    struct op op;
    REQUIRE(op_encode_cancel(&b, 1) == QUPLOG_OK);
    size_t second = b.length;
    REQUIRE(op_encode_cancel(&b, 2) == QUPLOG_OK);
    for (unsigned type = 0; type < 256; type++) {
        if (type >= 1 && type <= TYPES)
            continue;
        size_t position = 0;
        b.data[0] = (unsigned char)type;
        b.data[1] = 0;
        CHECK_EQUAL(op_next(of(&b), &position, &op, NULL), OP_UNSUPPORTED);
        position = 0;
        b.data[1] = OP_SKIPPABLE;
        CHECK_EQUAL(op_next(of(&b), &position, &op, NULL), OP_SKIPPED);
        CHECK_EQUAL(position, second);
        CHECK_EQUAL(op_next(of(&b), &position, &op, NULL), OP_VALID);
        CHECK_EQUAL(op.as.cancel.id, 2);
    }
    buffer_free(&b);
}

TEST(an_unknown_field_is_skipped_only_if_it_says_so)
{
    unsigned char fields[] = {200, 0, 1, 0, 'x', OP_FIELD_TAGS, 0, 2, 0, 1, 't'};
    struct buffer b = {0};
    struct op op;
    struct op_put put = {.job = {.task = text("t"), .queue = text("q")}};
    for (unsigned char flag = 0; flag <= OP_SKIPPABLE; flag++) {
        size_t position = 0;
        b.length = 0;
        fields[1] = flag;
        put.job.fields = (struct span){fields, sizeof fields};
        REQUIRE(op_encode_put(&b, &put) == QUPLOG_OK);
        CHECK_EQUAL(op_next(of(&b), &position, &op, NULL), flag ? OP_VALID : OP_UNSUPPORTED);
    }
    check_span(op_field(op.as.put.job.fields, OP_FIELD_TAGS), text("\001t"));
    buffer_free(&b);
}

/* ---- damage ---- */

static void encode_jobs(struct buffer *b)
{
    struct buffer fields = {0}, errors = {0};
    struct op_job job = full_job(&fields);
    struct op_put put = {.job = job, .due_us = 7};
    REQUIRE(op_encode_put(b, &put) == QUPLOG_OK);
    add_put(b, "", "");
    REQUIRE(op_copy_add_error(&errors, 1, text("error")) == QUPLOG_OK);
    REQUIRE(op_copy_add_error(&errors, 2, text("and another")) == QUPLOG_OK);
    struct op_copy copy = full_copy(&job, &errors);
    REQUIRE(op_encode_copy(b, &copy) == QUPLOG_OK);
    buffer_free(&fields);
    buffer_free(&errors);
}

/* One op of each type, at least. */
static void encode_all(struct buffer *b)
{
    static const unsigned char ids[24] = {1};
    struct op_worker worker = {.host = text("host"), .tasks = text("\001a"), .generation = 1};
    struct op_finish finish = {.id = 1, .data = text("error"), .state = QUPLOG_JOB_FAILED};
    struct op_retry retry = {.id = 1, .data = text("error"), .state = QUPLOG_RETRYING};
    struct op_settings settings = {.has_segment_size = true, .has_archive = true,
                                   .archive = text("dir")};
    struct op_queue queue = {.name = text("queue")};
    struct op_schedule schedule = {.id = text("id"), .rule = text("rule")};
    encode_jobs(b);
    int failed = op_encode_open(b, 1, BOOT, QUPLOG_KILL, false) || op_encode_worker(b, &worker)
                 || op_encode_claim(b, 1, 2, 3) || op_encode_finish(b, &finish)
                 || op_encode_retry(b, &retry) || op_encode_release(b, 1, 2, OP_RELEASE_CRASH)
                 || op_encode_cancel(b, 1)
                 || op_encode_forget(b, 1, 2, (struct span){ids, sizeof ids})
                 || op_encode_settings(b, &settings) || op_encode_queue(b, &queue)
                 || op_encode_schedule(b, &schedule) || op_encode_due(b, 5, 6);
    REQUIRE(!failed);
}

TEST(the_check_of_an_op_notices_each_bit_that_has_changed)
{
    struct buffer b = {0};
    size_t ops = 0;
    encode_all(&b);
    size_t half = b.length;
    uint32_t sum = op_seal(&b, 0, 0);
    CHECK_EQUAL(sum, crc32c(0, b.data, half));
    encode_all(&b);
    sum = op_seal(&b, half, sum); /* it goes on from there */
    CHECK_EQUAL(sum, crc32c(0, b.data, b.length));
    for (size_t at = 0, length; at < b.length; at += length, ops++) {
        length = align8(get_u32(b.data + at + 4));
        struct span op = {b.data + at, length};
        CHECK(op_intact(op));
        for (size_t bit = 0; bit < 8 * length; bit++) {
            b.data[at + bit / 8] ^= (unsigned char)(1 << bit % 8);
            CHECK(!op_intact(op));
            b.data[at + bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
    }
    CHECK(ops > TYPES);
    CHECK(!op_intact((struct span){b.data, OP_HEADER - 1}));
    buffer_free(&b);
}

static bool inside(struct span body, struct span s)
{
    return s.length == 0
           || (s.data >= body.data && s.data + s.length <= body.data + body.length);
}

static unsigned touched; /* so that the bytes of a span are read */

static bool job_inside(struct span body, const struct op_job *job)
{
    bool good = inside(body, job->task) && inside(body, job->queue) && inside(body, job->fields)
                && inside(body, job->payload);
    for (int tag = OP_FIELD_TIMEOUT; good && tag <= OP_FIELD_SCHEDULE; tag++) {
        struct span value = op_field(job->fields, (enum op_field_tag)tag);
        good = inside(job->fields, value);
        for (size_t i = 0; good && i < value.length; i++)
            touched += value.data[i];
    }
    return good;
}

static bool errors_inside(struct span errors)
{
    size_t position = 0;
    uint64_t lsn;
    struct span error;
    while (op_copy_error(errors, &position, &lsn, &error))
        if (!inside(errors, error))
            return false;
    return position == errors.length;
}

static bool op_inside(struct span body, const struct op *op)
{
    switch (op->type) {
    case QUPLOG_OP_PUT: return job_inside(body, &op->as.put.job);
    case QUPLOG_OP_COPY:
        return job_inside(body, &op->as.copy.job) && inside(body, op->as.copy.errors)
               && inside(body, op->as.copy.result) && errors_inside(op->as.copy.errors);
    case QUPLOG_OP_WORKER:
        return inside(body, op->as.worker.host) && inside(body, op->as.worker.tasks);
    case QUPLOG_OP_FINISH: return inside(body, op->as.finish.data);
    case QUPLOG_OP_RETRY: return inside(body, op->as.retry.data);
    case QUPLOG_OP_FORGET:
        return inside(body, op->as.forget.ids) && op->as.forget.ids.length % 8 == 0;
    case QUPLOG_OP_SETTINGS: return inside(body, op->as.settings.archive);
    case QUPLOG_OP_QUEUE: return inside(body, op->as.queue.name) && op->as.queue.name.length;
    case QUPLOG_OP_SCHEDULE:
        return inside(body, op->as.schedule.id) && inside(body, op->as.schedule.rule)
               && op->as.schedule.id.length;
    default: return op->type >= 1 && op->type <= TYPES;
    }
}

/* Take a body apart from memory of exactly its size, so that a byte beyond it is found out. */
static enum op_verdict walk(const unsigned char *bytes, size_t length, int *valid)
{
    unsigned char *copy = malloc(length ? length : 1);
    REQUIRE(copy);
    memcpy(copy, bytes, length);
    struct span body = {copy, length};
    struct op op;
    struct op_job names = {0};
    enum op_verdict verdict = OP_SKIPPED;
    size_t position = 0, before = 0;
    *valid = 0;
    while (verdict == OP_VALID || verdict == OP_SKIPPED) {
        before = position;
        verdict = op_next(body, &position, &op, &names);
        CHECK(position <= length);
        if (verdict == OP_VALID || verdict == OP_SKIPPED)
            CHECK(position > before);
        if (verdict == OP_VALID) {
            CHECK(op_inside(body, &op));
            ++*valid;
        }
    }
    free(copy);
    return verdict;
}

TEST(every_cut_of_a_body_is_an_end_or_malformed)
{
    struct buffer b = {0};
    int valid, whole;
    encode_all(&b);
    CHECK_EQUAL(walk(b.data, b.length, &whole), OP_END);
    CHECK_EQUAL(whole, TYPES + 1);
    for (size_t length = 0; length < b.length; length++) {
        enum op_verdict verdict = walk(b.data, length, &valid);
        CHECK(verdict == OP_END || verdict == OP_MALFORMED);
        CHECK(valid < whole);
        CHECK(length % 8 == 0 || verdict == OP_MALFORMED);
    }
    buffer_free(&b);
}

/* Each op cut short inside a length that was made to fit: what it says of its parts is too much. */
TEST(an_op_shorter_than_its_parts_is_malformed)
{
    struct buffer b = {0};
    encode_all(&b);
    for (size_t at = 0; at < b.length;) {
        size_t length = get_u32(b.data + at + 4);
        for (size_t cut = 0; cut < length; cut++) {
            unsigned char op[2048] = {0};
            int valid;
            REQUIRE(align8(length) <= sizeof op);
            memcpy(op, b.data + at, cut < OP_HEADER ? OP_HEADER : cut);
            put_u32(op + 4, (uint32_t)cut);
            enum op_verdict verdict = walk(op, align8(cut), &valid);
            bool ids_fewer = op[0] == QUPLOG_OP_FORGET && cut >= 24 && cut % 8 == 0;
            bool fields_fewer = op[0] == QUPLOG_OP_SETTINGS && (cut == 8 || cut == 20);
            bool nothing = cut == 0;
            CHECK_EQUAL(verdict, ids_fewer || fields_fewer || nothing ? OP_END : OP_MALFORMED);
        }
        at += align8(length);
    }
    buffer_free(&b);
}

TEST(every_byte_changed_never_leads_outside)
{
    static const unsigned char values[] = {0, 1, 2, 7, 8, 15, 127, 128, 254, 255};
    struct buffer b = {0};
    int valid;
    encode_all(&b);
    for (size_t i = 0; i < b.length; i++) {
        unsigned char old = b.data[i];
        for (size_t v = 0; v < sizeof values; v++) {
            b.data[i] = values[v];
            (void)walk(b.data, b.length, &valid);
        }
        b.data[i] = old;
    }
    buffer_free(&b);
}

TEST(random_damage_never_leads_outside)
{
    struct buffer b = {0};
    uint64_t seed = 20240;
    int valid, passed = 0;
    encode_all(&b);
    unsigned char *bytes = malloc(b.length);
    REQUIRE(bytes);
    for (int i = 0; i < MUTANTS; i++) {
        size_t length = b.length - random_below(&seed, 3) * 8;
        memcpy(bytes, b.data, length);
        for (uint64_t n = 1 + random_below(&seed, 6); n > 0; n--)
            bytes[random_below(&seed, length)] = (unsigned char)random_next(&seed);
        passed += walk(bytes, length, &valid) == OP_END;
    }
    CHECK(passed > 0 && passed < MUTANTS); /* both ways were gone */
    free(bytes);
    buffer_free(&b);
}

TEST(random_bytes_never_lead_outside)
{
    unsigned char bytes[256];
    uint64_t seed = 7;
    int valid;
    for (int i = 0; i < MUTANTS; i++) {
        size_t length = random_below(&seed, sizeof bytes + 1);
        for (size_t n = 0; n < length; n++)
            bytes[n] = (unsigned char)random_next(&seed);
        if (length >= OP_HEADER) { /* a header that is believed */
            bytes[0] = (unsigned char)(1 + random_below(&seed, TYPES));
            put_u32(bytes + 4, (uint32_t)(length - random_below(&seed, 8) % (length - 7)));
        }
        (void)walk(bytes, length, &valid);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(a_put_comes_back),
        LISTED(a_put_of_nothing_comes_back),
        LISTED(a_copy_comes_back_with_its_errors_in_order),
        LISTED(an_open_and_a_worker_come_back),
        LISTED(a_claim_a_release_and_a_cancel_come_back),
        LISTED(a_finish_comes_back_and_only_a_failed_one_has_a_link),
        LISTED(a_retry_and_a_snooze_come_back),
        LISTED(a_forget_and_a_due_come_back),
        LISTED(settings_come_back_and_what_is_absent_stays_absent),
        LISTED(a_queue_and_a_schedule_come_back),
        LISTED(a_claim_and_a_finish_cost_32_bytes_at_most),
        LISTED(what_is_too_large_is_refused_and_the_buffer_is_as_it_was),
        LISTED(a_schedule_needs_an_id_and_a_copy_no_names_that_are_too_long),
        LISTED(the_end_of_a_long_error_is_kept_from_a_whole_character_on),
        LISTED(a_put_without_names_has_those_of_the_put_before),
        LISTED(a_first_put_without_names_is_malformed),
        LISTED(an_unknown_type_is_skipped_only_if_it_says_so),
        LISTED(an_unknown_field_is_skipped_only_if_it_says_so),
        LISTED(the_check_of_an_op_notices_each_bit_that_has_changed),
        LISTED(every_cut_of_a_body_is_an_end_or_malformed),
        LISTED(an_op_shorter_than_its_parts_is_malformed),
        LISTED(every_byte_changed_never_leads_outside),
        LISTED(random_damage_never_leads_outside),
        LISTED(random_bytes_never_lead_outside),
    };
    return RUN(tests, argc, argv);
}
