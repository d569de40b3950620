/* The crash simulator, which proves quplog, sees each kind of damage that it is there for, and does
 * the same in each run. */
#include "history.h"
#include "judge.h"
#include "machine.h"
#include "open.h"
#include "payload.h"
#include "scene.h"
#include "test.h"

enum { TRIES = 60, SYNCS = 5 };

/* One process on one log, and the judge of it. */
struct lab {
    struct judge judge;
    struct disk *disk;
    quplog *log;
    bool deaf; /* the history is told of nothing */
};

static const quplog_spec SPEC = {
    .task = "work", .queue = "q", .task_length = 4, .queue_length = 1, .retries = 1};

static void after_call(void *context, const struct disk_call *call, ssize_t status)
{
    struct lab *lab = context;
    if (!lab->deaf)
        history_note(lab->judge.history, call, status);
}

static void begin(struct lab *lab)
{
    quplog_options options = judge_options();
    quplog_report report = {0};
    const struct disk_watch watch = {.after = after_call, .context = lab};
    *lab = (struct lab){.judge = {.history = history_new(), .chance = 1, .lie = DISK_KINDS},
                        .disk = disk_new()};
    disk_look_on(lab->disk, &watch);
    REQUIRE(open_with(disk_io(lab->disk), "log", &options, &lab->log, &report) == QUPLOG_OK);
}

static void end(struct lab *lab)
{
    CHECK_EQUAL(quplog_close(lab->log), QUPLOG_OK);
    quplog_free(lab->log);
    history_free(lab->judge.history);
    disk_free(lab->disk);
}

/* `told`: it is said to be durable, whether it was synced or not. */
static void put(struct lab *lab, size_t length, bool sync, bool told)
{
    static uint64_t number = 1;
    char payload[JUDGE_PAYLOAD];
    uint64_t id = 0;
    payload_make(payload, length, number++);
    CHECK_EQUAL(quplog_put(lab->log, &SPEC, payload, length, 0, sync, &id), QUPLOG_OK);
    history_tell(lab->judge.history, history_put(lab->judge.history, id), told);
}

/* Cut until the judge says something. */
static const char *judged(struct lab *lab)
{
    for (int i = 0; i < TRIES && !lab->judge.wrong[0]; i++)
        judge_cut(&lab->judge, lab->disk, i ? DISK_MIX : DISK_LOSE);
    return lab->judge.wrong;
}

#define CHECK_SAID(lab, words)                                                                     \
    (strstr(judged(lab), (words)) ? (void)0 : test_fail(__FILE__, __LINE__, (lab)->judge.wrong))

TEST(a_log_that_keeps_its_promises_is_found_good)
{
    struct lab lab;
    begin(&lab);
    put(&lab, 200, true, true);
    put(&lab, 200, false, false);
    CHECK_TEXT(judged(&lab), "");
    judge_kill(&lab.judge, lab.disk);
    CHECK_TEXT(lab.judge.wrong, "");
    CHECK(lab.judge.deep[0] == TRIES && lab.judge.deep[1] > 0 && lab.judge.kills == 1);
    end(&lab);
}

TEST(a_job_that_was_acknowledged_before_it_was_durable_is_missed)
{
    struct lab lab;
    begin(&lab);
    put(&lab, 200, false, true);
    CHECK_SAID(&lab, "had been acknowledged");
    end(&lab);
}

TEST(a_finish_that_was_acknowledged_before_it_was_durable_is_missed)
{
    struct lab lab;
    quplog_worker *worker;
    uint32_t number;
    begin(&lab);
    put(&lab, 200, true, true);
    REQUIRE(quplog_register(lab.log, "work", 4, &number) == QUPLOG_OK);
    REQUIRE(quplog_worker_new(lab.log, &worker) == QUPLOG_OK);
    REQUIRE(quplog_work(worker, QUPLOG_NO_OUTCOME, 0, NULL, 0, QUPLOG_CLAIM_NEXT) == QUPLOG_OK);
    uint64_t id = quplog_worker_claim(worker)->id, token = quplog_worker_claim(worker)->token;
    REQUIRE(quplog_work(worker, QUPLOG_RUN_SUCCEEDED, 0, "x", 1, 0) == QUPLOG_EMPTY);
    history_tell(lab.judge.history, history_outcome(lab.judge.history, id, token), true);
    CHECK_SAID(&lab, "had been acknowledged");
    quplog_worker_free(worker);
    end(&lab);
}

TEST(a_sync_that_the_disk_ignores_is_seen_whichever_it_is)
{
    for (uint64_t n = 1; n <= SYNCS; n++) {
        struct lab lab;
        begin(&lab);
        disk_lie(lab.disk, DISK_DATA_SYNC, n);
        for (uint64_t i = 1; i < n; i++)
            put(&lab, 200, true, true);
        CHECK_TEXT(judged(&lab), "");
        put(&lab, 200, true, true);
        CHECK_SAID(&lab, "had been acknowledged");
        end(&lab);
    }
}

TEST(a_sync_of_the_directory_that_the_disk_ignores_is_seen)
{
    struct lab lab;
    begin(&lab);
    disk_lie(lab.disk, DISK_NAME_SYNC, 1);
    for (int filled = 0; filled < JUDGE_SEGMENT; filled += JUDGE_PAYLOAD)
        put(&lab, JUDGE_PAYLOAD, true, true);
    CHECK(judged(&lab)[0] != '\0');
    end(&lab);
}

TEST(a_job_that_nobody_put_is_seen)
{
    struct lab lab;
    begin(&lab);
    put(&lab, 200, true, true);
    lab.deaf = true;
    uint64_t id;
    CHECK_EQUAL(quplog_put(lab.log, &SPEC, "x", 1, 0, true, &id), QUPLOG_OK);
    CHECK_SAID(&lab, "it is there and should not be");
    end(&lab);
}

TEST(a_job_with_another_payload_is_seen)
{
    struct lab lab;
    begin(&lab);
    put(&lab, 200, true, true);
    const struct history *history = lab.judge.history;
    struct span payload = history->now.jobs[0].payload;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_frame *frame = &history->frames[i];
        if (payload.data >= frame->bytes && payload.data < frame->bytes + frame->frame.length)
            frame->bytes[payload.data - frame->bytes] ^= 1;
    }
    CHECK_SAID(&lab, "its payload is another");
    end(&lab);
}

/* ---- many processes ---- */

TEST(the_same_seed_is_the_same_run_and_another_is_another)
{
    static struct judge judges[3];
    for (size_t i = 0; i < 3; i++) {
        judges[i].lie = DISK_KINDS;
        scene_play(&judges[i], i < 2 ? 7 : 8);
        CHECK_TEXT(judges[i].wrong, "");
        CHECK(judges[i].states > 0);
    }
    CHECK(judges[0].calls == judges[1].calls && judges[0].chance == judges[1].chance);
    CHECK_EQUAL(judges[0].states, judges[1].states);
    CHECK(judges[0].calls != judges[2].calls);
}

struct pair {
    struct machine *machine;
    struct io_mutex mutexes[2];
    int came;
};

static void take_both(void *argument)
{
    struct pair *pair = argument;
    const struct io *io = machine_io(pair->machine);
    int first = pair->came++;
    io->mutex_lock(io->world, &pair->mutexes[first]);
    while (pair->came < 2)
        machine_pause(pair->machine);
    io->mutex_lock(io->world, &pair->mutexes[1 - first]);
}

TEST(who_waits_for_one_another_is_a_deadlock)
{
    const struct machine_plan plan = {.seed = 1, .switches = 2, .steps_most = 100000};
    const struct machine_watch watch = {.context = NULL};
    struct disk *disk = disk_new();
    struct pair pair = {.machine = machine_new(disk, &plan, &watch)};
    machine_start(pair.machine, take_both, &pair);
    machine_start(pair.machine, take_both, &pair);
    CHECK_EQUAL(machine_run(pair.machine), MACHINE_STUCK);
    machine_free(pair.machine);
    disk_free(disk);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(a_log_that_keeps_its_promises_is_found_good),
        LISTED(a_job_that_was_acknowledged_before_it_was_durable_is_missed),
        LISTED(a_finish_that_was_acknowledged_before_it_was_durable_is_missed),
        LISTED(a_sync_that_the_disk_ignores_is_seen_whichever_it_is),
        LISTED(a_sync_of_the_directory_that_the_disk_ignores_is_seen),
        LISTED(a_job_that_nobody_put_is_seen),
        LISTED(a_job_with_another_payload_is_seen),
        LISTED(the_same_seed_is_the_same_run_and_another_is_another),
        LISTED(who_waits_for_one_another_is_a_deadlock),
    };
    return RUN(tests, argc, argv);
}
