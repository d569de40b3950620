/* No memory: every allocation of the core fails once, and no call crashes, lies or loses a job.
 *
 * The linker sends the core's malloc, calloc and realloc here (--wrap, see CMakeLists.txt), so that
 * the n-th of them can fail, for every n, over a whole life of a log: opening, putting, running,
 * looking, compacting, closing, and opening again.
 */
#include <pthread.h>

#include "log_lab.h"
#include "op.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

/* Only the thread of the test fails: others are not told apart from run to run. */
static _Thread_local uint64_t calls, fail_at;
static _Thread_local bool for_good; /* all after it fail too */

static bool fails(void)
{
    return fail_at && (++calls == fail_at || (for_good && calls > fail_at));
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

/* ---- a life ---- */

enum { JOBS = 12, BIG = 9000 };

struct life {
    quplog *q;
    unsigned put;      /* so many were acknowledged */
    unsigned finished; /* so many outcomes were */
    bool wrong;        /* a status that no lack of memory explains */
};

static bool went_well(struct life *life, int status)
{
    if (status != QUPLOG_OK && status != QUPLOG_EMPTY && status != QUPLOG_NO_MEMORY) {
        printf("    status %d at allocation %ju\n", status, (uintmax_t)fail_at);
        life->wrong = true;
    }
    return status == QUPLOG_OK;
}

static void put_some(struct life *life)
{
    static char payload[BIG];
    for (unsigned i = 0; i < JOBS; i++) {
        uint64_t id = 0;
        lab_payload(payload, sizeof payload, life->put);
        int status = quplog_put(life->q, &LAB_SPEC, payload, sizeof payload, 0, false, &id);
        life->put += went_well(life, status);
    }
    quplog_batch *batch = quplog_batch_new();
    uint64_t first = 0, lsn = 0;
    if (!batch)
        return;
    lab_payload(payload, 40, life->put);
    int status = quplog_batch_put(batch, &LAB_SPEC, payload, 40, 0);
    if (status == QUPLOG_OK)
        status = quplog_batch_schedule(batch, "s", 1, "rule", 4, INT64_MAX / 2, 0, false, 0);
    if (status == QUPLOG_OK)
        status = quplog_commit(life->q, batch, QUPLOG_SYNC, &first, &lsn);
    life->put += went_well(life, status);
    quplog_batch_free(batch);
}

static void run_some(struct life *life)
{
    quplog_worker *worker = NULL;
    uint32_t number;
    if (!went_well(life, quplog_register(life->q, "work", 4, &number)) ||
        !went_well(life, quplog_worker_new(life->q, &worker)))
        return;
    int outcome = QUPLOG_NO_OUTCOME;
    for (int i = 0; i < JOBS / 2; i++) {
        int status = quplog_work(worker, outcome, 0, "result", outcome ? 6 : 0, QUPLOG_CLAIM_NEXT);
        life->finished += outcome && quplog_worker_claim(worker)->finish_status == QUPLOG_OK;
        if (!went_well(life, status) && outcome)
            continue; /* the outcome is still to be written, or there is nothing more */
        outcome = status == QUPLOG_OK ? QUPLOG_RUN_SUCCEEDED : QUPLOG_NO_OUTCOME;
    }
    quplog_worker_free(worker);
}

static void look(struct life *life)
{
    quplog_job *job;
    quplog_schedule *schedules;
    quplog_job_info info[4];
    size_t count;
    uint64_t lsn;
    if (went_well(life, quplog_load(life->q, 1, &job)))
        quplog_job_free(job);
    if (went_well(life, quplog_schedules(life->q, false, &schedules, &count)))
        quplog_schedules_free(schedules);
    went_well(life, quplog_find(life->q, 0, NULL, 0, NULL, 0, 0, 0, 0, false, info, 4, &count));
    went_well(life, quplog_pause(life->q, "other", 5, true, &lsn));
    went_well(life, quplog_compact(life->q));
}

/* Returns whether an allocation failed. */
static bool live_once(const char *path, uint64_t n)
{
    struct life life = {0};
    quplog_report report;
    calls = 0;
    fail_at = n;
    int status = lab_try(NULL, path, &life.q, &report);
    if (went_well(&life, status)) {
        put_some(&life);
        run_some(&life);
        look(&life);
        lab_leave(life.q);
    }
    bool failed = calls >= fail_at;
    fail_at = 0;
    CHECK(!life.wrong);
    quplog *q = lab_open(NULL, path); /* with memory all is there */
    uint64_t counts[QUPLOG_STATE_COUNT];
    REQUIRE(quplog_counts(q, NULL, 0, counts) == QUPLOG_OK);
    CHECK_EQUAL(counts[QUPLOG_READY] + counts[QUPLOG_SUCCEEDED], life.put);
    CHECK(counts[QUPLOG_SUCCEEDED] >= life.finished);
    CHECK_EQUAL(counts[QUPLOG_RUNNING], 0);
    lab_close(q);
    return failed;
}

TEST(every_allocation_may_fail_and_nothing_crashes_or_is_lost)
{
    uint64_t n = 1;
    for (bool failed = true; failed && test_now.failures == 0; n++) {
        const char *path = lab_path("log");
        lab_remove(path);
        failed = live_once(path, n);
    }
    CHECK(n > 40);
}

TEST(a_log_that_there_is_no_memory_to_read_is_opened_when_there_is)
{
    const char *path = lab_path("log");
    quplog *q = lab_open(NULL, path);
    lab_put_many(q, 0, 400, 200);
    lab_close(q);
    for (uint64_t n = 1;; n++) {
        quplog_report report;
        calls = 0;
        fail_at = n;
        int status = lab_try(NULL, path, &q, &report);
        bool failed = calls >= fail_at;
        fail_at = 0;
        if (status == QUPLOG_OK)
            lab_leave(q);
        else
            CHECK_EQUAL(status, QUPLOG_NO_MEMORY);
        if (!failed)
            break;
    }
    q = lab_open(NULL, path);
    lab_expect(q, 400);
    lab_close(q);
}

/* It makes nothing durable by itself for an hour. */
static quplog *open_lazily(const struct io *io)
{
    quplog *q = NULL;
    quplog_report report = {0};
    quplog_options options = lab_options();
    options.flush_interval_us = INT64_C(3600) * 1000000;
    REQUIRE(open_with(io, lab_path("log"), &options, &q, &report) == QUPLOG_OK);
    return q;
}

TEST(a_sync_that_there_is_no_memory_for_says_so_and_is_made_when_there_is)
{
    struct faulty *f = faulty_new(), *g = faulty_new(); /* two processes */
    quplog *q = open_lazily(faulty_io(f)), *other = open_lazily(faulty_io(g));
    lab_put_many(other, 0, 300, 6000); /* into more segments than the first has room to list */
    calls = 0;
    fail_at = 1;
    for_good = true;
    int status = quplog_sync(q);
    fail_at = 0;
    for_good = false;
    CHECK_EQUAL(status, QUPLOG_NO_MEMORY);
    CHECK_EQUAL(quplog_sync(q), QUPLOG_OK);
    lab_expect(q, 300);
    lab_close(other);
    lab_close(q);
    faulty_free(f);
    faulty_free(g);
}

/* Its claim stands in the log, but nobody runs it: it must not be held for as long as this process
 * lives. */
TEST(a_claim_whose_payload_there_is_no_memory_for_is_given_back_as_soon_as_it_can_be)
{
    for (uint64_t n = 1;; n++) {
        quplog_worker *worker;
        uint32_t number;
        lab_remove(lab_path("log"));
        quplog *q = lab_open(NULL, lab_path("log"));
        lab_put(q, 0, BIG, false);
        REQUIRE(quplog_register(q, "work", 4, &number) == QUPLOG_OK);
        REQUIRE(quplog_worker_new(q, &worker) == QUPLOG_OK);
        calls = 0;
        fail_at = n;
        for_good = true;
        int first = quplog_work(worker, QUPLOG_NO_OUTCOME, 0, NULL, 0, QUPLOG_CLAIM_NEXT);
        bool failed = calls >= fail_at;
        fail_at = 0;
        for_good = false;
        if (first != QUPLOG_OK) {
            CHECK_EQUAL(first, QUPLOG_NO_MEMORY);
            CHECK_EQUAL(quplog_work(worker, QUPLOG_NO_OUTCOME, 0, NULL, 0, QUPLOG_CLAIM_NEXT),
                        QUPLOG_OK);
        }
        CHECK_EQUAL(quplog_worker_claim(worker)->payload.length, BIG);
        quplog_worker_free(worker);
        lab_close(q);
        if (!failed || test_now.failures)
            return;
    }
}

/* ---- encoders ---- */

static int encode(struct buffer *b, int which)
{
    static const unsigned char boot[16];
    const struct span text = {(const unsigned char *)"text", 4};
    const struct op_put put = {.job = {.task = text, .queue = text}};
    const struct op_copy copy = {.job = put.job, .id = 1, .state = QUPLOG_READY};
    const struct op_worker worker = {.host = text};
    const struct op_finish finish = {.state = QUPLOG_SUCCEEDED, .data = text};
    const struct op_retry retry = {.state = QUPLOG_RETRYING, .data = text};
    const struct op_settings settings = {.has_archive = true, .archive = text};
    const struct op_queue queue = {.name = text};
    const struct op_schedule schedule = {.id = text, .rule = text};
    switch (which) {
    case 0: return op_encode_open(b, 1, boot, QUPLOG_CLEAN, false);
    case 1: return op_encode_worker(b, &worker);
    case 2: return op_encode_put(b, &put);
    case 3: return op_encode_claim(b, 1, 1, 1);
    case 4: return op_encode_finish(b, &finish);
    case 5: return op_encode_retry(b, &retry);
    case 6: return op_encode_release(b, 1, 1, OP_RELEASE_STOP);
    case 7: return op_encode_cancel(b, 1);
    case 8: return op_encode_copy(b, &copy);
    case 9: return op_encode_forget(b, 1, 1, text);
    case 10: return op_encode_settings(b, &settings);
    case 11: return op_encode_queue(b, &queue);
    case 12: return op_encode_schedule(b, &schedule);
    case 13: return op_encode_due(b, 1, 1);
    case 14: return op_copy_add_error(b, 1, text);
    default: return op_add_field(b, OP_FIELD_TAGS, text);
    }
}

TEST(an_op_that_there_is_no_memory_for_leaves_the_buffer_as_it_was)
{
    for (int which = 0; which < 16; which++)
        for (uint64_t n = 1; n < 3; n++) {
            struct buffer b = {0};
            calls = 0;
            fail_at = n;
            int status = encode(&b, which);
            bool failed = calls >= fail_at;
            fail_at = 0;
            CHECK_EQUAL(status, failed ? QUPLOG_NO_MEMORY : QUPLOG_OK);
            CHECK(!failed || b.length == 0);
            buffer_free(&b);
        }
}

/* ---- readers ---- */

static int read_all(const char *path)
{
    quplog_reader *reader;
    int status = quplog_reader_open(path, 0, &reader, NULL);
    if (status)
        return status;
    status = quplog_reader_skip(reader, LAB_JOBS);
    quplog_reader_close(reader);
    return status;
}

static int scan_all(const char *path)
{
    quplog_scan *scan;
    quplog_scanned found;
    quplog_bytes op;
    int status = quplog_scan_open(path, false, &scan, NULL);
    if (status)
        return status;
    while ((status = quplog_scan_next(scan, &found)) == QUPLOG_OK) {
        if (found.kind == QUPLOG_SCAN_OP)
            status = quplog_scan_load(scan, found.record.lsn, found.op.length, found.check, &op);
        if (status)
            break;
    }
    quplog_scan_close(scan);
    return status;
}

static int open_it(const char *path)
{
    quplog *q;
    quplog_report report;
    int status = lab_try(NULL, path, &q, &report);
    if (status == QUPLOG_OK)
        lab_leave(q);
    return status;
}

static void lack(const char *log, int (*read)(const char *path), int should)
{
    bool failed = true;
    for (uint64_t n = 1; failed && test_now.failures == 0; n++) {
        lab_photograph(log, lab_path("tried"));
        calls = 0;
        fail_at = n;
        int status = read(lab_path("tried"));
        failed = calls >= fail_at;
        fail_at = 0;
        CHECK(status == should || (failed && status == QUPLOG_NO_MEMORY));
    }
}

/* Its newest segment has lost its header, or its end is torn; and a sync had failed. */
static void make_damaged(const char *log, bool headless)
{
    quplog *q = lab_open(NULL, lab_path("living"));
    lab_put_many(q, 0, 12, BIG);
    uint64_t tail = lab_stats(q).tail_lsn;
    lab_photograph(lab_path("living"), log);
    lab_close(q);
    lab_remove(lab_path("living"));
    struct lab_list list = lab_segments(log);
    uint64_t head = list.base[list.count - 1];
    char poison[LAB_FULL];
    lab_join(poison, log, "poison");
    lab_store(poison, (struct lab_file){(unsigned char *)(uintptr_t) "poisoned", 8});
    if (headless)
        lab_lose(log, head, head, SEGMENT_HEADER);
    else
        lab_spoil(log, head, tail - 100);
}

TEST(whoever_reads_a_damaged_log_without_memory_says_so)
{
    for (int headless = 0; headless < 2; headless++) {
        const char *log = lab_path("log");
        make_damaged(log, headless);
        lack(log, read_all, QUPLOG_EMPTY);
        lack(log, scan_all, QUPLOG_EMPTY);
        lack(log, open_it, QUPLOG_OK);
        lab_remove(log);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(every_allocation_may_fail_and_nothing_crashes_or_is_lost),
        LISTED(a_log_that_there_is_no_memory_to_read_is_opened_when_there_is),
        LISTED(a_sync_that_there_is_no_memory_for_says_so_and_is_made_when_there_is),
        LISTED(a_claim_whose_payload_there_is_no_memory_for_is_given_back_as_soon_as_it_can_be),
        LISTED(an_op_that_there_is_no_memory_for_leaves_the_buffer_as_it_was),
        LISTED(whoever_reads_a_damaged_log_without_memory_says_so),
    };
    return RUN(tests, argc, argv);
}
