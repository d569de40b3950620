/* Compaction: nothing is lost, nothing comes back, and it ends. */
#include "compact_lab.h"

/* ---- everything stays as it is ---- */

TEST(everything_in_the_table_survives_laps_unchanged)
{
    const char *path = lab_path("log");
    quplog *q = lab_open(NULL, path);
    struct everything e;
    make_everything(&e, q);
    for (int lap = 0; lap < 3; lap++) {
        fill_up(q, 40);
        char *before = tell(q);
        uint64_t first = lab_segments(path).base[0];
        CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
        CHECK(lab_segments(path).base[0] > first);
        CHECK(lab_segments(path).count <= 3);
        char *after = tell(q);
        check_told(after, before, "after a lap the table says the same");
        check_killed(path, before);
        free(before);
        free(after);
    }
    leave_everything(&e);
    lab_close(q);
}

TEST(a_copied_claim_still_finishes_and_a_stale_one_is_still_refused)
{
    quplog *q = lab_open(NULL, lab_path("log"));
    struct everything e;
    make_everything(&e, q);
    fill_up(q, 40);
    uint64_t ids[3];
    for (int i = 0; i < 3; i++)
        ids[i] = quplog_worker_claim(e.running[i])->id;
    REQUIRE(quplog_compact(q) == QUPLOG_OK);
    CHECK_EQUAL(end_run(e.stale, QUPLOG_RUN_SUCCEEDED, 0, "too late"), QUPLOG_STALE);
    CHECK_EQUAL(end_run(e.running[0], QUPLOG_RUN_SUCCEEDED, 0, "done"), QUPLOG_OK);
    CHECK_EQUAL(end_run(e.running[1], QUPLOG_RUN_RETRY, quplog_now(q) + SECOND_US, "again"), 0);
    CHECK_EQUAL(end_run(e.running[2], QUPLOG_RUN_RETRY, 1, "was to be cancelled"), QUPLOG_OK);
    quplog_job *job = load(q, ids[0]);
    CHECK_EQUAL(job->info.state, QUPLOG_SUCCEEDED);
    check_bytes(job->result, "done");
    quplog_job_free(job);
    CHECK_EQUAL(info(q, ids[1]).state, QUPLOG_RETRYING);
    CHECK_EQUAL(info(q, ids[2]).state, QUPLOG_CANCELLED);
    leave_everything(&e);
    lab_close(q);
}

TEST(a_job_that_can_not_run_again_leaves_its_payload_behind)
{
    quplog *q = lab_open(NULL, lab_path("log"));
    struct everything e;
    make_everything(&e, q);
    uint64_t counted = q->core->table.live_bytes;
    fill_up(q, 40);
    REQUIRE(quplog_compact(q) == QUPLOG_OK);
    quplog_job *job = load(q, 2); /* behind the one that waits comes the schedule's */
    for (uint64_t id = 2; job->info.state != QUPLOG_SUCCEEDED; id++) {
        quplog_job_free(job);
        job = load(q, id);
    }
    CHECK_EQUAL(job->payload.length, 0);
    check_bytes(job->result, "a result");
    quplog_job_free(job);
    /* What copying would write was counted right all the time: but for the fillers. */
    uint64_t fillers = 40 * align8(OP_COPY_SIZE + 8);
    CHECK_EQUAL(q->core->table.live_bytes, counted + fillers);
    leave_everything(&e);
    lab_close(q);
}

TEST(ids_are_never_given_again_after_everything_was_trimmed)
{
    const char *path = lab_path("log");
    quplog *q = lab_open(NULL, path);
    fill_up(q, 60);
    uint64_t last = q->core->table.next_id - 1;
    for (int i = 0; i < 2; i++) { /* the TRIM that says so is trimmed itself */
        struct buffer ops = {0};
        REQUIRE(op_encode_forget(&ops, UINT64_MAX, UINT64_MAX, (struct span){NULL, 0}) == 0);
        commit_one(q, &ops);
        CHECK_EQUAL(q->core->table.jobs.count, 0);
        uint64_t id = 0;
        for (int n = 0; n < 400; n++) { /* no jobs: the segment fills with schedules */
            quplog_batch *batch = quplog_batch_new();
            uint64_t lsn;
            char rule[400] = {0};
            REQUIRE(quplog_batch_unschedule(batch, rule + 1, 1) == QUPLOG_OK);
            REQUIRE(quplog_commit(q, batch, false, &id, &lsn) == QUPLOG_OK);
            quplog_batch_free(batch);
        }
        REQUIRE(quplog_compact(q) == QUPLOG_OK);
        lab_close(q);
        q = lab_open(NULL, path);
        CHECK_EQUAL(q->core->table.epoch, i + 2);
    }
    uint64_t id = put(q);
    CHECK_EQUAL(id, last + 1);
    lab_close(q);
}

static void put_due(quplog *q, int64_t from, int64_t count)
{
    quplog_batch *batch = quplog_batch_new();
    uint64_t first, lsn;
    REQUIRE(batch);
    for (int64_t due = from; due < from + count; due++)
        REQUIRE(quplog_batch_put(batch, &LAB_SPEC, "due", 3, due) == QUPLOG_OK);
    REQUIRE(quplog_commit(q, batch, false, &first, &lsn) == QUPLOG_OK);
    quplog_batch_free(batch);
}

/* Whoever starts behind the trimmed part meets the DUE before the copies of the jobs it was for. */
TEST(a_due_op_means_the_same_to_whoever_begins_behind_it)
{
    const char *path = lab_path("log");
    quplog *q = lab_open(NULL, path);
    put_due(q, 1, 1500);
    fill_up(q, 12);
    put_due(q, 2001, 300);
    REQUIRE(commit_begin(q->core, COMMIT_DECIDE) == QUPLOG_OK);
    CHECK_EQUAL(commit_due(q->core), QUPLOG_OK);
    commit_end(q->core);
    CHECK(count(q, QUPLOG_READY) > 0 && count(q, QUPLOG_READY) < 1500);
    char *before = tell(q);
    CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
    CHECK(lab_segments(path).base[0] > 0);
    check_killed(path, before);
    free(before);
    lab_close(q);
}

TEST(all_that_are_due_at_one_time_come_due_together)
{
    quplog *q = lab_open(NULL, lab_path("log"));
    quplog_batch *batch = quplog_batch_new();
    uint64_t first, lsn;
    for (int i = 0; i < 1000; i++)
        REQUIRE(quplog_batch_put(batch, &LAB_SPEC, "due", 3, i < 999 ? 5 : 6) == QUPLOG_OK);
    REQUIRE(quplog_commit(q, batch, false, &first, &lsn) == QUPLOG_OK);
    quplog_batch_free(batch);
    REQUIRE(commit_begin(q->core, COMMIT_DECIDE) == QUPLOG_OK);
    CHECK_EQUAL(commit_due(q->core), QUPLOG_OK);
    CHECK_EQUAL(q->core->table.due.count, 1);
    CHECK_EQUAL(commit_due(q->core), QUPLOG_OK);
    CHECK_EQUAL(commit_due(q->core), QUPLOG_OK);
    commit_end(q->core);
    CHECK_EQUAL(count(q, QUPLOG_READY), 1000);
    lab_close(q);
}

/* ---- cuts and failures ---- */

/* A log to be compacted, as the second of two kills leaves it (so that nothing runs), and what it
 * says. */
static char *make_subject(const char *path)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("living"));
    struct everything e;
    make_everything(&e, q);
    fill_up(q, 35);
    lab_photograph(lab_path("living"), lab_path("killed"));
    leave_everything(&e);
    lab_close(q);
    q = lab_open(f, lab_path("killed"));
    char *says = tell(q);
    lab_photograph(lab_path("killed"), path);
    lab_close(q);
    faulty_free(f);
    return says;
}

/* A lap in which the n-th call fails, and with `onwards` all after it: a cut. */
static bool fail_lap_at(uint64_t n, int with, bool onwards, const char *should)
{
    struct faulty *f = faulty_new();
    const char *path = lab_path("log");
    lab_photograph(lab_path("subject"), path);
    quplog *q = lab_open(f, path);
    if (onwards)
        faulty_fail_from(f, FAULTY_ANY, n, with);
    else
        faulty_fail(f, FAULTY_ANY, n, with);
    int status = quplog_compact(q);
    bool reached = faulty_failed(f);
    CHECK(reached || status == QUPLOG_OK);
    check_killed(path, should);
    faulty_behave(f);
    bool poisoned = control_poisoned(&q->core->control);
    if (!poisoned)
        CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
    lab_leave(q);
    q = lab_open(f, path);
    char *is = tell(q);
    bool lost = q->core->table.next_id >> 32; /* ids jump when a sync has failed */
    if (lost)
        q->core->table.next_id = (uint64_t)strtoull(strstr(should, "next id ") + 8, NULL, 10);
    free(is);
    is = tell(q);
    check_told(is, should, "opened again, it says the same");
    CHECK(!lost || poisoned);
    free(is);
    put(q);
    CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
    CHECK(lab_segments(path).count <= 3);
    lab_leave(q);
    CHECK_EQUAL(faulty_lies(f), 0);
    faulty_free(f);
    if (test_now.failures)
        printf("    call %" PRIu64 " of the lap\n", n);
    return reached;
}

static void fail_everywhere(int with, bool onwards)
{
    char *should = make_subject(lab_path("subject"));
    uint64_t n = 1;
    while (test_now.failures == 0 && fail_lap_at(n, with, onwards, should))
        n++;
    CHECK(n > 40);
    free(should);
}

TEST(a_cut_at_any_call_of_a_lap_loses_nothing_and_brings_nothing_back)
{
    fail_everywhere(-EIO, true);
}

TEST(a_call_that_fails_once_does_not_harm_a_lap)
{
    fail_everywhere(-EIO, false);
}

TEST(a_full_disk_does_not_harm_a_lap)
{
    fail_everywhere(-ENOSPC, false);
}

TEST(a_write_that_stops_half_way_does_not_harm_a_lap)
{
    char *should = make_subject(lab_path("subject"));
    bool reached = true;
    for (uint64_t n = 1; reached && test_now.failures == 0; n++) {
        struct faulty *f = faulty_new();
        lab_photograph(lab_path("subject"), lab_path("log"));
        quplog *q = lab_open(f, lab_path("log"));
        faulty_short(f, n, 100, -EIO);
        (void)quplog_compact(q);
        reached = faulty_failed(f);
        check_killed(lab_path("log"), should);
        faulty_behave(f);
        CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
        check_killed(lab_path("log"), should);
        lab_close(q);
        CHECK_EQUAL(faulty_lies(f), 0);
        faulty_free(f);
    }
    free(should);
}

/* Not what came of it, but the order: a cut may keep of unsynced writes what it likes. */
TEST(each_step_of_leaving_a_segment_is_durable_before_the_next)
{
    enum { TRIM = FRAME_HEADER + FRAME_TRIM_BODY };
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("log"));
    const struct faulty_event *events;
    int trims = 0, removed = 0;
    bool unsynced = true;
    lab_put_many(q, 0, 5, 200); /* to be copied */
    fill_up(q, 40);
    faulty_record(f);
    CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
    size_t count = faulty_events(f, &events);
    for (size_t i = 0; i < count; i++) {
        const struct faulty_event *e = &events[i];
        bool trim = e->kind == FAULTY_WRITE && e->frame && e->length == TRIM;
        bool gone = e->kind == FAULTY_UNLINK && strstr(e->name, ".log");
        CHECK(!unsynced || (!trim && !gone));
        unsynced = (unsynced && e->kind != FAULTY_SYNC) || (e->kind == FAULTY_WRITE && e->frame);
        trims += trim;
        removed += gone;
    }
    CHECK(trims > 2);
    CHECK(removed > 2);
    lab_close(q);
    faulty_free(f);
}

TEST(segments_that_begin_after_a_trim_repeat_where_the_log_begins)
{
    const char *path = lab_path("log");
    quplog *q = lab_open(NULL, path);
    fill_up(q, 40);
    CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
    fill_up(q, 20); /* over a rotation */
    struct lab_list segments = lab_segments(path);
    struct segment_header header;
    enum segment_verdict verdict;
    int fd = segment_open(io_system(), q->core->dir, segments.base[segments.count - 1], IO_READ);
    REQUIRE(fd >= 0);
    CHECK_EQUAL(segment_read_header(io_system(), fd, &header, &verdict), 0);
    CHECK_EQUAL(verdict, SEGMENT_VALID);
    CHECK(header.first_lsn > 0);
    CHECK_EQUAL(header.first_lsn, q->core->table.first_lsn);
    close(fd);
    lab_close(q);
}

static void copy_segment(const char *from, const char *to, uint64_t base)
{
    char source[LAB_PATH], target[LAB_PATH];
    lab_segment_path(from, base, source);
    lab_segment_path(to, base, target);
    struct lab_file file = lab_load(source);
    REQUIRE(file.data);
    lab_store(target, file);
    free(file.data);
}

TEST(segments_that_a_cut_brings_back_in_any_choice_resurrect_nothing)
{
    struct faulty *f = faulty_new();
    char *should = make_subject(lab_path("subject"));
    lab_photograph(lab_path("subject"), lab_path("after"));
    quplog *q = lab_open(f, lab_path("after"));
    REQUIRE(quplog_compact(q) == QUPLOG_OK);
    lab_photograph(lab_path("after"), lab_path("trimmed"));
    lab_close(q);
    struct lab_list old = lab_segments(lab_path("subject"));
    uint64_t first = lab_segments(lab_path("trimmed")).base[0];
    size_t gone = 0;
    while (gone < old.count && old.base[gone] < first)
        gone++;
    REQUIRE(gone >= 3);
    for (unsigned choice = 0; choice < 1U << gone; choice++) {
        lab_photograph(lab_path("trimmed"), lab_path("log"));
        for (size_t i = 0; i < gone; i++)
            if (choice >> i & 1)
                copy_segment(lab_path("subject"), lab_path("log"), old.base[i]);
        check_killed(lab_path("log"), should);
        q = lab_open(f, lab_path("log"));
        int64_t next = -1;
        while (compact_step(q->core, &next) == QUPLOG_OK && next >= 0)
            next = -1;
        CHECK_EQUAL(lab_segments(lab_path("log")).base[0], first); /* they went at once */
        check_killed(lab_path("log"), should);
        lab_close(q);
        if (test_now.failures) {
            printf("    with choice 0x%x of %zu\n", choice, gone);
            break;
        }
    }
    faulty_free(f);
    free(should);
}

/* Its lanes have other numbers then: that of what it serves was another's before. */
TEST(a_worker_whose_table_was_built_anew_finds_its_jobs_in_their_new_lane)
{
    static const quplog_spec others[] = {
        {.task = "first", .task_length = 5, .queue = "default", .queue_length = 7},
        {.task = "second", .task_length = 6, .queue = "default", .queue_length = 7}};
    struct faulty *one = faulty_new(), *two = faulty_new();
    quplog *q = lab_open(one, lab_path("log")), *follower = lab_open(two, lab_path("log"));
    struct buffer ops = {0};
    for (int i = 0; i < 2; i++)
        REQUIRE(cancel(q, put_as(q, &others[i], "", 0)) == QUPLOG_OK);
    put(q);
    quplog_worker *worker = new_worker(follower);
    run_one(worker, QUPLOG_RUN_SUCCEEDED, "");
    REQUIRE(op_encode_forget(&ops, UINT64_MAX, UINT64_MAX, text("")) == QUPLOG_OK);
    commit_one(q, &ops); /* nothing is left of them */
    uint64_t id = put(q);
    fill_up(q, 40);
    CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
    uint64_t builds = follower->core->builds;
    CHECK_EQUAL(claim(worker), id);
    CHECK(follower->core->builds > builds);
    quplog_worker_free(worker);
    lab_close(follower);
    lab_close(q);
    faulty_free(one);
    faulty_free(two);
}

TEST(a_damaged_segment_is_never_removed)
{
    const char *path = lab_path("log");
    quplog *q = lab_open(NULL, path);
    lab_put_many(q, 0, 40, FILLER);
    lab_spoil(path, 0, 20000);
    CHECK_EQUAL(quplog_compact(q), QUPLOG_CORRUPT);
    CHECK_EQUAL(lab_segments(path).base[0], 0);
    int64_t next = -1;
    CHECK_EQUAL(compact_step(q->core, &next), QUPLOG_OK);
    CHECK_EQUAL(next, -1); /* and nobody tries without end */
    lab_close(q);
}

TEST(a_log_whose_open_was_trimmed_is_not_taken_for_a_rebooted_one)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("log"));
    quplog_report report;
    fill_up(q, 40);
    REQUIRE(quplog_compact(q) == QUPLOG_OK);
    lab_photograph(lab_path("log"), lab_path("same"));
    lab_photograph(lab_path("log"), lab_path("other"));
    lab_close(q);
    REQUIRE(lab_try(f, lab_path("same"), &q, &report) == QUPLOG_OK);
    CHECK_EQUAL(report.ending, QUPLOG_KILL);
    lab_close(q);
    faulty_boot(f, 2);
    REQUIRE(lab_try(f, lab_path("other"), &q, &report) == QUPLOG_OK);
    CHECK_EQUAL(report.ending, QUPLOG_REBOOT);
    lab_close(q);
    faulty_free(f);
}

/* ---- while others work ---- */

/* What happens when the n-th read of frames is in the reader's hands. */
struct meanwhile {
    quplog *q;
    quplog_worker *worker;
    int reads, at;
    bool busy; /* what it does reads, too */
    void (*act)(struct meanwhile *m);
};

static void on_read(void *context)
{
    struct meanwhile *m = context;
    if (m->busy || m->reads++ < m->at)
        return;
    m->busy = true;
    m->act(m);
    m->busy = false;
}

static void keep_filling(struct meanwhile *m)
{
    fill_up(m->q, 12);
}

TEST(a_lap_ends_although_jobs_keep_coming)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("log"));
    struct meanwhile m = {.q = q, .act = keep_filling};
    fill_up(q, 40);
    uint64_t tail = lab_stats(q).tail_lsn;
    faulty_after_read(f, on_read, &m); /* more comes with each read than it takes away */
    CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
    faulty_after_read(f, NULL, NULL);
    CHECK(m.reads > 3);
    CHECK(lab_stats(q).tail_lsn > tail + LAB_SEGMENT);
    CHECK(lab_segments(lab_path("log")).base[0] > tail - 2 * LAB_SEGMENT);
    lab_close(q);
    faulty_free(f);
}

static void end_its_run(struct meanwhile *m)
{
    if (m->reads == m->at + 1)
        CHECK_EQUAL(end_run(m->worker, QUPLOG_RUN_FAILED, 0, "failed meanwhile"), QUPLOG_OK);
}

TEST(a_job_that_ends_between_reading_and_locking_is_copied_as_it_is_then)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("log"));
    quplog_worker *other = new_worker(q);
    struct meanwhile m = {.q = q, .worker = new_worker(q), .at = 1, .act = end_its_run};
    uint64_t id = put(q);
    REQUIRE(claim(m.worker) == id);
    put(q);
    run_one(other, QUPLOG_RUN_SUCCEEDED, "a result that is read when the first job is chosen");
    fill_up(q, 20);
    faulty_after_read(f, on_read, &m);
    CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
    faulty_after_read(f, NULL, NULL);
    CHECK(m.reads > 1);
    quplog_job *job = load(q, id);
    CHECK_EQUAL(job->info.state, QUPLOG_JOB_FAILED);
    CHECK(job->info.put_lsn > LAB_SEGMENT); /* copied */
    REQUIRE(job->error_count == 1);
    check_bytes(job->errors[0], "failed meanwhile");
    check_bytes(job->payload, "payload");
    quplog_job_free(job);
    char *now = tell(q);
    check_killed(lab_path("log"), now);
    free(now);
    quplog_worker_free(other);
    quplog_worker_free(m.worker);
    lab_close(q);
    faulty_free(f);
}

static void forget_all(struct meanwhile *m)
{
    struct buffer ops = {0};
    if (m->reads != m->at + 1)
        return;
    REQUIRE(op_encode_forget(&ops, UINT64_MAX, UINT64_MAX, (struct span){NULL, 0}) == 0);
    commit_one(m->q, &ops);
}

TEST(a_job_that_is_forgotten_between_reading_and_locking_does_not_come_back)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("log"));
    struct meanwhile m = {.q = q, .worker = new_worker(q), .at = 1, .act = forget_all};
    uint64_t first = put(q), second = put(q);
    run_one(m.worker, QUPLOG_RUN_SUCCEEDED, "a result");
    run_one(m.worker, QUPLOG_RUN_SUCCEEDED, "one that is read when the first job was chosen");
    fill_up(q, 20);
    faulty_after_read(f, on_read, &m);
    CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
    faulty_after_read(f, NULL, NULL);
    CHECK(m.reads > 1);
    quplog_worker_free(m.worker);
    for (int opened = 0; opened < 2; opened++) { /* as it is in memory, and on the disk */
        CHECK(!jobs_get(&q->core->table.jobs, first));
        CHECK(!jobs_get(&q->core->table.jobs, second));
        lab_close(q);
        q = lab_open(f, lab_path("log"));
    }
    lab_close(q);
    faulty_free(f);
}

static void compact_now(struct meanwhile *m)
{
    if (m->reads == m->at + 1)
        CHECK_EQUAL(quplog_compact(m->q), QUPLOG_OK);
}

TEST(a_job_that_moves_while_it_is_read_is_read_where_it_stands_then)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("log"));
    struct meanwhile m = {.q = q, .worker = new_worker(q), .at = 1, .act = compact_now};
    uint64_t id = put(q);
    REQUIRE(claim(m.worker) == id);
    fill_up(q, 20);
    CHECK_EQUAL(end_run(m.worker, QUPLOG_RUN_RETRY, quplog_now(q), "an error"), QUPLOG_OK);
    REQUIRE(claim(m.worker) == id);
    fill_up(q, 20);
    CHECK_EQUAL(end_run(m.worker, QUPLOG_RUN_SUCCEEDED, 0, "result"), QUPLOG_OK);
    uint64_t before = info(q, id).put_lsn;
    faulty_after_read(f, on_read, &m); /* PUT and result were read; the error goes */
    quplog_job *job = load(q, id);
    faulty_after_read(f, NULL, NULL);
    CHECK(job->info.put_lsn > before);
    check_bytes(job->result, "result");
    REQUIRE(job->error_count == 1);
    check_bytes(job->errors[0], "an error");
    quplog_job_free(job);
    quplog_worker_free(m.worker);
    lab_close(q);
    faulty_free(f);
}

TEST(a_payload_that_moved_before_it_was_read_is_found)
{
    quplog *q = lab_open(NULL, lab_path("log"));
    struct buffer bytes = {0};
    struct op op;
    uint64_t id = put(q), before = info(q, id).put_lsn;
    fill_up(q, 20);
    REQUIRE(quplog_compact(q) == QUPLOG_OK);
    CHECK_EQUAL(fetch_op(q->core, before, &bytes, &op), QUPLOG_NOT_FOUND);
    REQUIRE(fetch_put(q->core, id, before, &bytes, &op) == QUPLOG_OK);
    REQUIRE(op.type == QUPLOG_OP_COPY);
    CHECK(span_equal(op.as.copy.job.payload, text("payload")));
    CHECK_EQUAL(fetch_put(q->core, id + 1000, before, &bytes, &op), QUPLOG_NOT_FOUND);
    buffer_free(&bytes);
    lab_close(q);
}

/* ---- threads ---- */

struct reader {
    pthread_t thread;
    quplog *q;
    _Atomic bool stop;
    uint64_t loads;
    bool wrong;
};

static void *load_all_the_time(void *context)
{
    struct reader *r = context;
    while (!atomic_load(&r->stop) && !r->wrong)
        for (uint64_t id = 1; id <= 30 && !r->wrong; id++) {
            quplog_job *job;
            quplog_schedule *schedules;
            size_t n = 0;
            char expected[200];
            r->wrong = quplog_load(r->q, id, &job) != QUPLOG_OK;
            if (r->wrong)
                break;
            lab_payload(expected, sizeof expected, (unsigned)id - 1);
            r->wrong = job->payload.length != sizeof expected ||
                       memcmp(job->payload.data, expected, sizeof expected) != 0;
            quplog_job_free(job);
            r->wrong = r->wrong || quplog_schedules(r->q, false, &schedules, &n) != QUPLOG_OK ||
                       n != 3;
            if (!r->wrong)
                quplog_schedules_free(schedules);
            r->loads++;
        }
    return NULL;
}

TEST(jobs_and_schedules_can_be_read_all_the_time)
{
    quplog *q = lab_open(NULL, lab_path("log"));
    struct reader readers[2] = {{.q = q}, {.q = q}};
    lab_put_many(q, 0, 30, 200);
    put_schedules(q);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&readers[i].thread, NULL, load_all_the_time, &readers[i]) == 0);
    for (int lap = 0; lap < 25; lap++) {
        fill_up(q, 20);
        CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&readers[i].stop, true);
        REQUIRE(pthread_join(readers[i].thread, NULL) == 0);
        CHECK(!readers[i].wrong);
        CHECK(readers[i].loads > 0);
    }
    lab_close(q);
}

TEST(the_helper_compacts_when_the_log_has_grown_and_then_sleeps)
{
    const char *path = lab_path("log");
    quplog *q = lab_open(NULL, path);
    struct waiter helper = {.log = q};
    start_waiter(&helper, keep);
    await_sleepers(q, &q->core->control.page->attention, 1);
    fill_up(q, 200); /* 20 segments */
    int64_t end = guard(q);
    while (lab_segments(path).count > 4 && after(q, 0) < end)
        sched_yield();
    CHECK(lab_segments(path).count <= 4);
    await_sleepers(q, &q->core->control.page->attention, 1);
    quplog_stop(q);
    CHECK_EQUAL(end_waiter(&helper), QUPLOG_STOPPED);
    lab_close(q);
}

static void *compact_on_and_on(void *argument)
{
    struct waiter *w = argument;
    do
        w->status = quplog_compact(w->log);
    while (w->status == QUPLOG_OK);
    return NULL;
}

TEST(who_waits_for_another_process_to_compact_comes_back_to_look_for_signals)
{
    quplog *q = lab_open(NULL, lab_path("log"));
    struct lock_file other;
    REQUIRE(lock_file_open(&other, io_system(), q->core->dir) == 0);
    REQUIRE(lock_try(&other, LOCK_COMPACT, IO_EXCLUSIVE_LOCK) == 0);
    CHECK_EQUAL(quplog_compact(q), QUPLOG_INTERRUPTED); /* although none came */
    lock_file_close(&other);
    CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
    lab_close(q);
}

TEST(a_log_that_is_closed_meanwhile_ends_the_lap_and_stays_whole)
{
    for (int i = 0; i < 10; i++) {
        const char *path = lab_path("log");
        lab_remove(path);
        quplog *q = lab_open(NULL, path);
        struct waiter waiter = {.log = q};
        lab_put_many(q, 0, 30, 500);
        fill_up(q, 60);
        start_waiter(&waiter, compact_on_and_on);
        int64_t until = after(q, i * 1000);
        while (after(q, 0) < until)
            sched_yield();
        CHECK_EQUAL(quplog_close(q), QUPLOG_OK);
        CHECK_EQUAL(end_waiter(&waiter), QUPLOG_CLOSED);
        quplog_free(q);
        q = lab_open(NULL, path);
        CHECK_EQUAL(count(q, QUPLOG_READY), 30);
        CHECK_EQUAL(count(q, QUPLOG_CANCELLED), 60);
        lab_close(q);
    }
}

/* ---- when ---- */

/* Steps until there is nothing to do; how many there were. */
static unsigned step_on(quplog *q)
{
    unsigned steps = 0;
    int64_t next = 0;
    for (; next >= 0 && steps < 10000; steps++) {
        next = -1;
        CHECK_EQUAL(compact_step(q->core, &next), QUPLOG_OK);
    }
    return steps;
}

TEST(a_log_whose_bytes_all_count_is_left_alone)
{
    const char *path = lab_path("log");
    quplog *q = lab_open(NULL, path);
    lab_put_many(q, 0, 200, FILLER);
    uint64_t tail = lab_stats(q).tail_lsn;
    CHECK_EQUAL(step_on(q), 1);
    CHECK_EQUAL(lab_stats(q).tail_lsn, tail);
    CHECK_EQUAL(lab_segments(path).base[0], 0);
    lab_close(q);
}

TEST(a_log_of_many_small_files_is_brought_together_once)
{
    quplog_options options = default_options();
    options.segment_size = 1 << 20;
    const char *path = lab_path("log");
    quplog *q = lab_open(NULL, path); /* its segments are small */
    lab_put_many(q, 0, 700, FILLER);
    CHECK_EQUAL(step_on(q), 1);
    lab_close(q);
    quplog_report report;
    REQUIRE(open_with(io_system(), path, &options, &q, &report) == QUPLOG_OK);
    CHECK(lab_segments(path).count > 64);
    step_on(q);
    CHECK(lab_segments(path).count <= 64);
    CHECK_EQUAL(step_on(q), 1);
    lab_close(q);
    REQUIRE(open_with(io_system(), path, &options, &q, &report) == QUPLOG_OK);
    CHECK_EQUAL(q->core->table.jobs.count, 700);
    lab_close(q);
}

TEST(after_a_lap_the_log_rests_until_it_has_grown)
{
    const char *path = lab_path("log");
    quplog *q = lab_open(NULL, path);
    lab_put_many(q, 0, 100, FILLER);
    fill_up(q, 200);
    CHECK(step_on(q) > 10);
    uint64_t tail = lab_stats(q).tail_lsn, live = q->core->table.live_bytes;
    CHECK(lab_stats(q).disk_bytes < 3 * live);
    CHECK_EQUAL(step_on(q), 1);
    CHECK_EQUAL(lab_stats(q).tail_lsn, tail);
    for (int i = 0; i < 40; i++) {
        fill_up(q, 10);
        step_on(q);
        CHECK(lab_stats(q).disk_bytes < 3 * live + 4 * LAB_SEGMENT);
    }
    lab_close(q);
}

TEST(a_full_disk_is_tried_again_after_a_second)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("log"));
    lab_put_many(q, 0, 8, FILLER);
    fill_up(q, 60);
    faulty_fail_from(f, FAULTY_WRITE, 1, -ENOSPC);
    int64_t next = 0, now = quplog_now(q);
    for (int i = 0; i < 100 && next <= quplog_now(q); i++) {
        next = -1;
        CHECK_EQUAL(compact_step(q->core, &next), QUPLOG_OK);
    }
    CHECK(next > now + SECOND_US / 2);
    uint64_t writes = faulty_count(f, FAULTY_WRITE);
    for (int i = 0; i < 10; i++)
        CHECK_EQUAL(compact_step(q->core, &next), QUPLOG_OK); /* woken for something else */
    CHECK_EQUAL(faulty_count(f, FAULTY_WRITE), writes);
    faulty_behave(f);
    CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
    lab_close(q);
    faulty_free(f);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(everything_in_the_table_survives_laps_unchanged),
        LISTED(a_copied_claim_still_finishes_and_a_stale_one_is_still_refused),
        LISTED(a_job_that_can_not_run_again_leaves_its_payload_behind),
        LISTED(ids_are_never_given_again_after_everything_was_trimmed),
        LISTED(a_due_op_means_the_same_to_whoever_begins_behind_it),
        LISTED(all_that_are_due_at_one_time_come_due_together),
        LISTED(a_cut_at_any_call_of_a_lap_loses_nothing_and_brings_nothing_back),
        LISTED(a_call_that_fails_once_does_not_harm_a_lap),
        LISTED(a_full_disk_does_not_harm_a_lap),
        LISTED(a_write_that_stops_half_way_does_not_harm_a_lap),
        LISTED(each_step_of_leaving_a_segment_is_durable_before_the_next),
        LISTED(segments_that_begin_after_a_trim_repeat_where_the_log_begins),
        LISTED(segments_that_a_cut_brings_back_in_any_choice_resurrect_nothing),
        LISTED(a_worker_whose_table_was_built_anew_finds_its_jobs_in_their_new_lane),
        LISTED(a_damaged_segment_is_never_removed),
        LISTED(a_log_whose_open_was_trimmed_is_not_taken_for_a_rebooted_one),
        LISTED(a_lap_ends_although_jobs_keep_coming),
        LISTED(a_job_that_ends_between_reading_and_locking_is_copied_as_it_is_then),
        LISTED(a_job_that_is_forgotten_between_reading_and_locking_does_not_come_back),
        LISTED(a_job_that_moves_while_it_is_read_is_read_where_it_stands_then),
        LISTED(a_payload_that_moved_before_it_was_read_is_found),
        LISTED(jobs_and_schedules_can_be_read_all_the_time),
        LISTED(the_helper_compacts_when_the_log_has_grown_and_then_sleeps),
        LISTED(who_waits_for_another_process_to_compact_comes_back_to_look_for_signals),
        LISTED(a_log_that_is_closed_meanwhile_ends_the_lap_and_stays_whole),
        LISTED(a_log_whose_bytes_all_count_is_left_alone),
        LISTED(a_log_of_many_small_files_is_brought_together_once),
        LISTED(after_a_lap_the_log_rests_until_it_has_grown),
        LISTED(a_full_disk_is_tried_again_after_a_second),
    };
    return RUN(tests, argc, argv);
}
