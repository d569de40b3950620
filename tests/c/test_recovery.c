/* Opening what a kill, a power cut, a bad disk or a half-done recovery left behind. */
#include <pthread.h>
#include <stdatomic.h>

#include "chain.h"
#include "log_builder.h"

enum { SMALL = 200, BIG = 6000 };

static bool long_run(void)
{
    const char *value = getenv("QUPLOG_LONG");
    return value && value[0] == '1';
}

/* What a kill leaves of a log that `fill` wrote: the photograph is taken before the log is closed.
 * Returns D and the tail as they were. */
static quplog_stats killed(const char *path, void (*fill)(quplog *q))
{
    quplog *q = lab_open(NULL, lab_path("living"));
    fill(q);
    quplog_stats stats = lab_stats(q);
    lab_photograph(lab_path("living"), path);
    lab_close(q);
    lab_remove(lab_path("living"));
    return stats;
}

static uint64_t last_base(const char *path)
{
    struct lab_list list = lab_segments(path);
    REQUIRE(list.count > 0);
    return list.base[list.count - 1];
}

static void ten_synced_ten_not(quplog *q)
{
    lab_put_many(q, 0, 10, SMALL);
    REQUIRE(quplog_sync(q) == QUPLOG_OK);
    lab_put_many(q, 10, 20, SMALL);
}

/* ---- the beginning ---- */

/* Of what was trimmed nothing is to be synced, wherever the first segment begins. */
TEST(a_log_that_begins_behind_all_that_was_known_to_be_durable_can_be_synced)
{
    struct builder b;
    build_begin(&b);
    build_frame(&b, FRAME_SYNCED, 8, 0);
    uint64_t end = b.next;
    build_segment(&b, end + (1 << 20), end, 0);
    build_trim(&b, end, 0);
    build_end(&b);
    char first[LAB_PATH];
    lab_segment_path(test_directory(), 0, first);
    REQUIRE(unlink(first) == 0);
    quplog *q = lab_open(NULL, test_directory());
    lab_put(q, 0, SMALL, true);
    lab_expect(q, 1);
    lab_close(q);
}

/* ---- a clean end ---- */

TEST(a_killed_log_goes_on_in_its_segment_without_a_new_file)
{
    const char *path = lab_path("log");
    quplog *q;
    quplog_report report;
    killed(path, ten_synced_ten_not);
    REQUIRE(lab_try(NULL, path, &q, &report) == QUPLOG_OK);
    CHECK_EQUAL(report.ending, QUPLOG_KILL);
    CHECK_EQUAL(lab_segments(path).count, 1);
    CHECK(!lab_exists(path, "quarantine"));
    lab_put(q, 20, SMALL, true);
    lab_expect(q, 21);
    lab_close(q);
}

static void unsynced_over_segments(quplog *q)
{
    lab_put_many(q, 0, 30, 6000);
}

TEST(each_segment_that_may_not_be_durable_is_synced_before_the_log_is_open)
{
    const char *path = lab_path("log");
    struct faulty *f = faulty_new();
    const struct faulty_event *e;
    (void)killed(path, unsynced_over_segments);
    struct lab_list list = lab_segments(path);
    CHECK(list.count >= 3);
    faulty_record(f);
    quplog *q = lab_open(f, path);
    size_t count = faulty_events(f, &e);
    for (size_t i = 0; i < list.count; i++) {
        char name[SEGMENT_NAME];
        bool synced = false;
        segment_name(list.base[i], name);
        for (size_t k = 0; k < count; k++)
            synced = synced || (e[k].kind == FAULTY_SYNC && strcmp(e[k].name, name) == 0);
        CHECK(synced);
    }
    lab_close(q);
    faulty_free(f);
}

TEST(what_was_read_is_called_durable_only_when_it_was_synced)
{
    const char *path = lab_path("log");
    struct faulty *f = faulty_new();
    quplog_stats before = killed(path, ten_synced_ten_not);
    faulty_fail(f, FAULTY_SYNC, 1, -EIO);
    quplog *q;
    quplog_report report;
    CHECK(lab_try(f, path, &q, &report) != QUPLOG_OK);
    q = lab_open(f, path);
    CHECK(lab_stats(q).synced_lsn >= before.tail_lsn);
    CHECK_EQUAL(faulty_lies(f), 0);
    lab_close(q);
    faulty_free(f);
}

/* What the first frame behind `lsn` says is durable. */
static uint64_t claimed_behind(const char *path, uint64_t lsn)
{
    struct chain chain;
    struct frame frame = {0};
    uint64_t at = 0;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(chain_open(&chain, io_system(), dir) == QUPLOG_OK);
    while (at <= lsn)
        REQUIRE(chain_next(&chain, &frame, &at) == QUPLOG_OK);
    chain_close(&chain);
    close(dir);
    return frame.synced_lsn;
}

/* Whoever wrote it may have been killed before he synced it. */
TEST(a_goodbye_that_was_read_is_no_sign_that_it_is_durable)
{
    quplog *q = lab_open(NULL, lab_path("log"));
    lab_put_many(q, 0, 10, SMALL);
    uint64_t goodbye = lab_stats(q).tail_lsn;
    lab_close(q);
    q = lab_open(NULL, lab_path("log"));
    CHECK(claimed_behind(lab_path("log"), goodbye) <= goodbye);
    lab_close(q);
}

TEST(a_clean_close_says_so_and_a_killed_one_does_not)
{
    const char *path = lab_path("log");
    quplog *q;
    quplog_report report;
    REQUIRE(lab_try(NULL, path, &q, &report) == QUPLOG_OK);
    CHECK_EQUAL(report.ending, QUPLOG_NEW);
    lab_close(q);
    REQUIRE(lab_try(NULL, path, &q, &report) == QUPLOG_OK);
    CHECK_EQUAL(report.ending, QUPLOG_CLEAN);
    lab_photograph(path, lab_path("killed"));
    lab_close(q);
    REQUIRE(lab_try(NULL, lab_path("killed"), &q, &report) == QUPLOG_OK);
    CHECK_EQUAL(report.ending, QUPLOG_KILL);
    lab_close(q);
}

/* ---- another boot ---- */

static uint64_t id_after(struct faulty *f, const char *path, int32_t ending)
{
    quplog *q;
    quplog_report report;
    uint64_t id = 0;
    REQUIRE(lab_try(f, path, &q, &report) == QUPLOG_OK);
    CHECK_EQUAL(report.ending, ending);
    CHECK_EQUAL(quplog_put(q, &LAB_SPEC, "x", 1, 0, false, &id), QUPLOG_OK);
    lab_photograph(path, lab_path("next"));
    lab_close(q);
    return id;
}

TEST(ids_jump_after_an_unclean_end_in_another_boot_only)
{
    struct faulty *f = faulty_new();
    CHECK_EQUAL(id_after(f, lab_path("log"), QUPLOG_NEW), 1);
    lab_photograph(lab_path("next"), lab_path("killed"));
    CHECK_EQUAL(id_after(f, lab_path("killed"), QUPLOG_KILL), 2);
    lab_photograph(lab_path("next"), lab_path("cut"));
    faulty_boot(f, 2);
    CHECK_EQUAL(id_after(f, lab_path("cut"), QUPLOG_REBOOT), (INT64_C(1) << 32) + 1);
    lab_photograph(lab_path("next"), lab_path("cut again"));
    faulty_boot(f, 3);
    CHECK_EQUAL(id_after(f, lab_path("cut again"), QUPLOG_REBOOT), (INT64_C(2) << 32) + 1);
    faulty_boot(f, 4); /* `log` itself was closed cleanly in boot 1 */
    CHECK_EQUAL(id_after(f, lab_path("log"), QUPLOG_CLEAN), 2);
    faulty_free(f);
}

/* It was never synced: it may hold anything, which would stand behind the frames of a full disk. */
TEST(a_spare_from_before_a_power_cut_is_made_anew)
{
    struct faulty *f = faulty_new();
    quplog *q = lab_open(f, lab_path("living"));
    lab_photograph(lab_path("living"), lab_path("log"));
    lab_close(q);
    struct lab_file spare = lab_load(lab_path("log/spare"));
    REQUIRE(spare.length >= SEGMENT_SPARE_MIN);
    memset(spare.data, 0xa7, spare.length);
    lab_store(lab_path("log/spare"), spare);
    free(spare.data);
    faulty_boot(f, 2);
    q = lab_open(f, lab_path("log"));
    spare = lab_load(lab_path("log/spare"));
    CHECK(spare.length >= SEGMENT_SPARE_MIN);
    for (size_t i = 0; i < spare.length; i++)
        REQUIRE(spare.data[i] == 0);
    free(spare.data);
    lab_close(q);
    faulty_free(f);
}

/* ---- a torn end ---- */

/* Make a log whose job 15 of 20 is torn, 10 were synced. Returns X. */
static uint64_t torn_log(const char *path)
{
    quplog *q = lab_open(NULL, lab_path("living"));
    lab_put_many(q, 0, 10, SMALL);
    REQUIRE(quplog_sync(q) == QUPLOG_OK);
    lab_put_many(q, 10, 15, SMALL);
    uint64_t x = lab_stats(q).tail_lsn;
    lab_put_many(q, 15, 20, SMALL);
    lab_photograph(lab_path("living"), path);
    lab_close(q);
    lab_remove(lab_path("living"));
    lab_spoil(path, 0, x + 100);
    return x;
}

TEST(a_torn_end_is_set_aside_and_the_log_goes_on_in_a_new_segment)
{
    const char *path = lab_path("log");
    char name[64];
    uint64_t x = torn_log(path);
    struct lab_file before = lab_load(lab_path("log/0000000000000000.log"));
    quplog *q;
    quplog_report report;
    REQUIRE(lab_try(NULL, path, &q, &report) == QUPLOG_OK);
    CHECK_EQUAL(report.damage_lsn, x);
    CHECK_EQUAL(report.end_lsn, x);
    lab_expect(q, 15);
    struct lab_list list = lab_segments(path);
    REQUIRE(list.count == 2);
    CHECK(list.base[1] >= x + (UINT64_C(1) << 36));
    snprintf(name, sizeof name, "log/quarantine/%016" PRIx64 ".torn", x);
    struct lab_file torn = lab_load(lab_path(name));
    CHECK_EQUAL(torn.length, report.torn_bytes);
    REQUIRE(torn.length && torn.length <= before.length - x);
    CHECK_BYTES(torn.data, before.data + x, torn.length);
    lab_put_many(q, 15, 30, SMALL);
    lab_close(q);
    struct lab_file after = lab_load(lab_path("log/0000000000000000.log"));
    REQUIRE(after.length == before.length);
    CHECK_BYTES(after.data, before.data, before.length); /* no recovery writes into old segments */
    q = lab_open(NULL, path);
    lab_expect(q, 30);
    CHECK_EQUAL(lab_segments(path).count, 2);
    lab_close(q);
    free(before.data), free(torn.data), free(after.data);
}

TEST(ids_that_a_torn_end_may_have_taken_along_are_not_given_again)
{
    torn_log(lab_path("log")); /* and it is opened in the same boot */
    CHECK_EQUAL(id_after(NULL, lab_path("log"), QUPLOG_KILL), (INT64_C(1) << 32) + 1);
}

TEST(a_kill_before_the_first_open_op_leaves_a_new_log)
{
    quplog *q = lab_open(NULL, lab_path("log"));
    lab_photograph(lab_path("log"), lab_path("killed"));
    lab_close(q);
    REQUIRE(truncate(lab_path("killed/0000000000000000.log"), SEGMENT_HEADER) == 0);
    CHECK_EQUAL(id_after(NULL, lab_path("killed"), QUPLOG_NEW), 1);
}

TEST(a_torn_end_twice_in_a_row_and_old_bytes_never_come_back)
{
    const char *path = lab_path("log");
    torn_log(path);
    quplog *q = lab_open(NULL, path);
    uint64_t first = last_base(path);
    lab_photograph(path, lab_path("second"));
    lab_close(q);
    lab_spoil(lab_path("second"), first, first + SEGMENT_HEADER + 60); /* its only frame */
    q = lab_open(NULL, lab_path("second"));
    uint64_t second = last_base(lab_path("second"));
    CHECK(second >= first + (UINT64_C(1) << 36));
    lab_expect(q, 15);
    lab_put_many(q, 15, 20, SMALL);
    lab_close(q);
    q = lab_open(NULL, lab_path("second"));
    lab_expect(q, 20);
    CHECK_EQUAL(lab_segments(lab_path("second")).count, 3);
    lab_close(q);
}

/* LSNs of a segment that was never synced were given out too. */
TEST(the_base_behind_a_torn_end_is_above_every_file_that_stands_there)
{
    struct builder b;
    uint64_t above = UINT64_C(3) << 36;
    build_begin(&b);
    uint64_t torn = build_ops(&b, 0);
    lab_spoil(test_directory(), 0, torn + 60);
    build_segment(&b, above, b.next, 0);
    build_end(&b);
    quplog *q = lab_open(NULL, test_directory());
    CHECK(last_base(test_directory()) > above);
    lab_close(q);
}

TEST(a_kill_between_the_new_segment_and_its_first_frame_goes_on_there)
{
    const char *path = lab_path("log");
    torn_log(path);
    quplog *q = lab_open(NULL, path);
    uint64_t base = last_base(path);
    lab_photograph(path, lab_path("cut"));
    lab_close(q);
    lab_lose(lab_path("cut"), base, base + SEGMENT_HEADER, LAB_SEGMENT - SEGMENT_HEADER);
    q = lab_open(NULL, lab_path("cut"));
    lab_expect(q, 15);
    CHECK_EQUAL(last_base(lab_path("cut")), base);
    lab_close(q);
}

/* Every call of a recovery fails once, as if it were cut there; the next one ends it. */
static void cut_recovery_at(uint64_t n, bool *reached)
{
    struct faulty *f = faulty_new();
    quplog *q = NULL;
    quplog_report report;
    lab_photograph(lab_path("torn"), lab_path("log"));
    faulty_fail_from(f, FAULTY_ANY, n, -EIO);
    int status = lab_try(f, lab_path("log"), &q, &report);
    *reached = faulty_failed(f);
    if (status == QUPLOG_OK)
        lab_leave(q);
    CHECK_EQUAL(faulty_lies(f), 0);
    faulty_free(f);
    q = lab_open(NULL, lab_path("log"));
    lab_expect(q, 15);
    lab_put(q, 15, SMALL, true);
    size_t count = lab_segments(lab_path("log")).count;
    if (count != 2)
        printf("    cut at call %" PRIu64 "\n", n);
    CHECK_EQUAL(count, 2);
    CHECK(lab_exists(lab_path("log"), "quarantine"));
    lab_close(q);
    q = lab_open(NULL, lab_path("log"));
    lab_expect(q, 16);
    lab_close(q);
}

TEST(a_recovery_cut_at_any_step_is_repeated_with_the_same_result)
{
    bool reached = true;
    uint64_t n = 0;
    torn_log(lab_path("torn"));
    while (reached && test_now.failures == 0)
        cut_recovery_at(++n, &reached);
    CHECK(n > 20);
}

TEST(what_is_set_aside_is_durable_before_the_new_segment_which_decides)
{
    struct faulty *f = faulty_new();
    const struct faulty_event *e;
    quplog *q = NULL;
    quplog_report report;
    char torn[64], fresh[SEGMENT_NAME];
    snprintf(torn, sizeof torn, "%016" PRIx64 ".torn", torn_log(lab_path("log")));
    faulty_record(f);
    REQUIRE(lab_try(f, lab_path("log"), &q, &report) == QUPLOG_OK);
    size_t count = faulty_events(f, &e), at = 0;
    segment_name(last_base(lab_path("log")), fresh);
    const struct {
        enum faulty_kind kind;
        const char *name;
    } steps[] = {{FAULTY_DIRECTORY, lab_path("log")},
                 {FAULTY_WRITE, torn},
                 {FAULTY_SYNC, torn},
                 {FAULTY_DIRECTORY, "quarantine"},
                 {FAULTY_RENAME, fresh},
                 {FAULTY_DIRECTORY, lab_path("log")}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++, at++) {
        while (at < count && !(e[at].kind == steps[i].kind &&
                               strncmp(e[at].name, steps[i].name, sizeof e->name - 1) == 0))
            at++;
        CHECK(at < count);
    }
    lab_close(q);
    faulty_free(f);
}

/* A frame, another that is said not to be of the log any more from its middle on, and a third. */
static uint64_t build_contradiction(void)
{
    struct builder b;
    build_begin(&b);
    build_trim(&b, 0, 0);
    uint64_t x = b.next;
    build_trim(&b, 0, 0);
    build_trim(&b, 0, 0);
    build_segment(&b, b.next, x + 16, 0);
    build_trim(&b, 0, 0);
    build_end(&b);
    return x;
}

static uint64_t prev_end_of_second(const char *path)
{
    struct segment_header header;
    enum segment_verdict verdict;
    struct lab_list list = lab_segments(path);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(dir >= 0 && list.count == 2);
    int fd = segment_open(io_system(), dir, list.base[1], IO_READ);
    REQUIRE(fd >= 0 && segment_read_header(io_system(), fd, &header, &verdict) == QUPLOG_OK);
    close(fd);
    close(dir);
    return header.prev_end;
}

/* The segment with the lie is set aside, and then nothing else would hold back the second frame. */
TEST(where_a_log_ends_is_decided_once_wherever_recovery_is_cut)
{
    bool reached = true;
    for (uint64_t n = 1; reached && test_now.failures == 0; n++) {
        struct faulty *f = faulty_new();
        quplog *q = NULL;
        quplog_report report;
        uint64_t x = build_contradiction();
        faulty_fail_from(f, FAULTY_ANY, n, -EIO);
        if (lab_try(f, test_directory(), &q, &report) == QUPLOG_OK)
            lab_leave(q);
        reached = faulty_failed(f);
        faulty_free(f);
        lab_close(lab_open(NULL, test_directory()));
        CHECK_EQUAL(prev_end_of_second(test_directory()), x);
        lab_remove(test_directory());
        REQUIRE(mkdir(test_directory(), 0700) == 0);
    }
}

static void quarantine_without_room(int error)
{
    struct faulty *f = faulty_new();
    quplog *q;
    quplog_report report;
    torn_log(lab_path("log"));
    faulty_fail(f, FAULTY_MKDIR, 1, error);
    CHECK_EQUAL(lab_try(f, lab_path("log"), &q, &report), QUPLOG_FULL);
    CHECK(faulty_failed(f));
    CHECK_EQUAL(lab_segments(lab_path("log")).count, 1);
    /* No status was taken for a descriptor: nothing was synced or moved by its number. */
    CHECK_EQUAL(faulty_count(f, FAULTY_DIRECTORY) + faulty_count(f, FAULTY_RENAME), 0);
    faulty_behave(f);
    q = lab_open(f, lab_path("log"));
    lab_expect(q, 15);
    lab_close(q);
    faulty_free(f);
    lab_remove(lab_path("log"));
}

TEST(a_quarantine_that_has_no_room_is_told_as_full_and_made_the_next_time)
{
    quarantine_without_room(-ENOSPC);
    quarantine_without_room(-EDQUOT);
}

/* ---- many segments ---- */

static void four_segments_unsynced(quplog *q)
{
    lab_put_many(q, 0, 5, BIG);
    REQUIRE(quplog_sync(q) == QUPLOG_OK);
    lab_put_many(q, 5, 40, BIG);
}

TEST(a_hole_with_later_unsynced_segments_is_torn_and_all_behind_it_set_aside)
{
    const char *path = lab_path("log");
    killed(path, four_segments_unsynced);
    struct lab_list list = lab_segments(path);
    REQUIRE(list.count >= 4);
    lab_lose(path, list.base[1], list.base[1] + SEGMENT_HEADER, 512);
    quplog *q = lab_open(NULL, path);
    static struct lab_jobs jobs;
    lab_read(q, &jobs);
    CHECK(!jobs.wrong);
    CHECK(jobs.count >= 5 && jobs.count < 20);
    for (unsigned i = 0; i < jobs.count; i++)
        CHECK_EQUAL(jobs.state[i], QUPLOG_READY); /* a prefix, nothing from behind the hole */
    unsigned count = (unsigned)jobs.count;
    CHECK_EQUAL(lab_segments(path).count, 3);
    CHECK(lab_segments(lab_path("log/quarantine")).count == list.count - 2);
    lab_put_many(q, count, count + 3, BIG);
    lab_close(q);
    q = lab_open(NULL, path);
    lab_expect(q, count + 3);
    lab_close(q);
}

/* Opening for writing and for reading both refuse, and leave every byte as it was. */
static void expect_refused(const char *path, int should)
{
    quplog *q;
    quplog_report report;
    /* The owner's text in `lock` is this process's already, or not there. */
    lab_photograph(path, lab_path("before"));
    CHECK_EQUAL(lab_try(NULL, path, &q, &report), should);
    CHECK(report.message[0]);
    CHECK(lab_same(path, lab_path("before")));
    CHECK_EQUAL(lab_try_reading(path, &q, &report), should);
    CHECK(lab_same(path, lab_path("before")));
}

TEST(a_hole_before_synced_segments_is_corrupt_and_nothing_is_changed)
{
    const char *path = lab_path("log");
    quplog *q = lab_open(NULL, lab_path("living"));
    lab_put_many(q, 0, 15, BIG);
    REQUIRE(quplog_sync(q) == QUPLOG_OK);
    lab_put_many(q, 15, 40, BIG);
    lab_photograph(lab_path("living"), path);
    lab_close(q);
    lab_lose(path, 0, 8192, 512);
    expect_refused(path, QUPLOG_CORRUPT);
}

TEST(damage_before_d_is_corrupt_and_nothing_is_changed)
{
    const char *path = lab_path("log");
    quplog_stats stats = killed(path, ten_synced_ten_not);
    lab_spoil(path, 0, stats.synced_lsn - 50);
    expect_refused(path, QUPLOG_CORRUPT);
}

TEST(a_log_without_its_first_segment_is_corrupt_and_nothing_is_changed)
{
    const char *path = lab_path("log");
    killed(path, four_segments_unsynced);
    REQUIRE(unlink(lab_path("log/0000000000000000.log")) == 0);
    expect_refused(path, QUPLOG_CORRUPT);
}

TEST(a_segment_without_header_copies_is_never_silently_dropped)
{
    const char *path = lab_path("log");
    killed(path, ten_synced_ten_not);
    lab_lose(path, 0, 0, 128);
    quplog *q;
    quplog_report report;
    REQUIRE(lab_try_reading(path, &q, &report) == QUPLOG_OK); /* one good copy is enough */
    lab_expect(q, 20);
    lab_leave(q);
    lab_lose(path, 0, 2048, 128);
    expect_refused(path, QUPLOG_CORRUPT);
}

/* The header of one log's segment is written into another's: a write that went astray. */
static void stray_header(const char *from, const char *to, uint64_t base, uint64_t at)
{
    unsigned char copy[128];
    lab_peek(from, 0, 0, copy, sizeof copy);
    lab_poke(to, base, base + at, copy, sizeof copy);
}

/* It is good in itself, but by its salt no frame could be checked: all of them looked torn. */
TEST(a_header_copy_that_went_astray_does_not_cost_a_segment)
{
    const char *path = lab_path("log");
    killed(path, ten_synced_ten_not);
    lab_close(lab_open(NULL, lab_path("other")));
    for (uint64_t at = 0; at <= 2048; at += 2048) {
        quplog *q;
        quplog_report report;
        lab_photograph(path, lab_path("copy"));
        stray_header(lab_path("other"), lab_path("copy"), 0, at);
        REQUIRE(lab_try(NULL, lab_path("copy"), &q, &report) == QUPLOG_OK);
        CHECK_EQUAL(report.torn_bytes, 0);
        lab_expect(q, 20);
        lab_close(q);
        lab_remove(lab_path("copy"));
    }
}

static void two_segments_synced(quplog *q)
{
    lab_put_many(q, 0, 20, BIG);
    REQUIRE(quplog_sync(q) == QUPLOG_OK);
    for (unsigned i = 20; i < 40; i++)
        lab_put(q, i, SMALL, true); /* each says that what is before it is durable */
}

/* Its frames can't be checked without it, but they can't be called torn: they say themselves that
 * they had been durable. */
TEST(a_newest_segment_without_header_is_corrupt_if_it_had_been_durable)
{
    static const char zeros[SEGMENT_HEADER];
    const char *path = lab_path("log");
    killed(path, two_segments_synced);
    uint64_t newest = last_base(path);
    REQUIRE(newest > 0);
    lab_poke(path, newest, newest, zeros, sizeof zeros);
    expect_refused(path, QUPLOG_CORRUPT);
}

TEST(a_segment_with_the_header_of_another_log_is_corrupt_if_it_had_been_durable)
{
    const char *path = lab_path("log");
    killed(path, ten_synced_ten_not);
    lab_close(lab_open(NULL, lab_path("other")));
    stray_header(lab_path("other"), path, 0, 0);
    stray_header(lab_path("other"), path, 0, 2048);
    expect_refused(path, QUPLOG_CORRUPT);
}

TEST(a_frame_of_a_newer_writer_is_unsupported_and_nothing_is_changed)
{
    struct builder b;
    build_begin(&b);
    build_frame(&b, 7, 80, 0);
    build_end(&b);
    REQUIRE(mkdir(lab_path("log"), 0700) == 0);
    REQUIRE(rename(lab_path("0000000000000000.log"), lab_path("log/0000000000000000.log")) == 0);
    quplog *q;
    quplog_report report;
    CHECK_EQUAL(lab_try(NULL, lab_path("log"), &q, &report), QUPLOG_UNSUPPORTED);
    CHECK_EQUAL(lab_try_reading(lab_path("log"), &q, &report), QUPLOG_UNSUPPORTED);
    CHECK(!lab_exists(lab_path("log"), "quarantine"));
}

TEST(an_op_of_a_newer_writer_is_unsupported)
{
    struct builder b;
    unsigned char bytes[FRAME_HEADER + 16] = {0};
    build_begin(&b);
    bytes[FRAME_HEADER] = 200; /* the op's type; not skippable */
    put_u32(bytes + FRAME_HEADER + 4, 16);
    struct frame frame = {.kind = FRAME_OPS, .length = sizeof bytes, .op_count = 1};
    frame_seal(bytes, &frame, crc32c(0, bytes + FRAME_HEADER, 16), b.next, b.segment.header.salt);
    lab_poke(test_directory(), 0, b.next, bytes, sizeof bytes);
    build_end(&b);
    quplog *q;
    quplog_report report;
    CHECK_EQUAL(lab_try(NULL, test_directory(), &q, &report), QUPLOG_UNSUPPORTED);
    CHECK_EQUAL(lab_try_reading(test_directory(), &q, &report), QUPLOG_UNSUPPORTED);
}

TEST(a_record_that_makes_no_sense_although_its_sum_holds_is_told_with_its_place)
{
    struct builder b;
    build_begin(&b);
    uint64_t lsn = build_frame(&b, FRAME_OPS, 80, 0); /* filled with what is no op */
    build_end(&b);
    quplog *q;
    quplog_report report;
    CHECK_EQUAL(lab_try(NULL, test_directory(), &q, &report), QUPLOG_CORRUPT);
    CHECK_EQUAL(report.damage_lsn, lsn);
    CHECK_TEXT(report.file, "0000000000000000.log");
    CHECK(strstr(report.message, "makes no sense"));
    quplog_reader *reader; /* of which verify is made */
    REQUIRE(quplog_reader_open(test_directory(), 0, &reader, &report) == QUPLOG_OK);
    CHECK_EQUAL(quplog_reader_skip(reader, 10), QUPLOG_CORRUPT);
    quplog_reader_report(reader, &report, NULL);
    CHECK_EQUAL(report.damage_lsn, lsn);
    CHECK(strstr(report.message, "makes no sense"));
    quplog_reader_close(reader);
}

TEST(leftover_temporary_segments_are_removed_by_the_owner_and_ignored_by_readers)
{
    const char *path = lab_path("log");
    quplog *q;
    quplog_report report;
    killed(path, ten_synced_ten_not);
    struct lab_file junk = {(unsigned char *)"half a header", 13};
    lab_store(lab_path("log/0000000000008000.log.tmp"), junk);
    REQUIRE(lab_try_reading(path, &q, &report) == QUPLOG_OK);
    lab_expect(q, 20);
    lab_leave(q);
    CHECK(lab_exists(path, "0000000000008000.log.tmp"));
    q = lab_open(NULL, path);
    CHECK(!lab_exists(path, "0000000000008000.log.tmp"));
    lab_expect(q, 20);
    lab_close(q);
}

TEST(a_directory_with_only_a_leftover_temporary_becomes_a_new_log)
{
    REQUIRE(mkdir(lab_path("log"), 0700) == 0);
    struct lab_file junk = {(unsigned char *)"half a header", 13};
    lab_store(lab_path("log/0000000000000000.log.tmp"), junk);
    quplog *q = lab_open(NULL, lab_path("log"));
    lab_put(q, 0, SMALL, true);
    lab_close(q);
    CHECK(!lab_exists(lab_path("log"), "0000000000000000.log.tmp"));
}

/* ---- every truncation, every flipped bit ---- */

enum { MARKS = 80 };

/* So many jobs were in the log when its tail was here. */
static struct {
    uint64_t tail[MARKS];
    uint64_t durable;
    unsigned count;
} history;

static void mark(quplog *q)
{
    history.tail[history.count++] = lab_stats(q).tail_lsn;
}

/* ~16 KiB; the jobs up to the middle are synced, and the later frames say so. */
static void forty_jobs(quplog *q)
{
    history.count = 0;
    mark(q); /* tail[i]: i jobs */
    for (unsigned i = 0; i < 40; i++) {
        lab_put(q, i, 300, i == 20);
        mark(q);
    }
}

/* How many jobs lie wholly before `lsn`. */
static unsigned jobs_before(uint64_t lsn)
{
    unsigned count = 0;
    while (count + 1 < history.count && history.tail[count + 1] <= lsn)
        count++;
    return count;
}

/* Open the damaged log for reading: -1 if it refuses, else its jobs, which must be a prefix. */
static int prefix_of(const char *path)
{
    static struct lab_jobs jobs;
    quplog *q;
    quplog_report report;
    int status = lab_try_reading(path, &q, &report);
    if (status) {
        CHECK_EQUAL(status, QUPLOG_CORRUPT);
        return -1;
    }
    lab_read(q, &jobs);
    CHECK(!jobs.wrong);
    for (unsigned i = 0; i < jobs.count; i++)
        CHECK(jobs.state[i] == QUPLOG_READY);
    lab_leave(q);
    return (int)jobs.count;
}

static void learn_history(const char *path)
{
    quplog *q;
    quplog_report report;
    killed(path, forty_jobs);
    REQUIRE(lab_try_reading(path, &q, &report) == QUPLOG_OK);
    history.durable = report.durable_lsn;
    lab_leave(q);
    CHECK(history.durable > history.tail[20] && history.durable < history.tail[30]);
}

/* The same verdict with all that recovery does, and the log works afterwards. */
static void recover_for_real(const char *path, int expected)
{
    quplog *q;
    quplog_report report;
    lab_photograph(path, lab_path("real"));
    int status = lab_try(NULL, lab_path("real"), &q, &report);
    CHECK_EQUAL(status, expected < 0 ? QUPLOG_CORRUPT : QUPLOG_OK);
    if (status)
        return;
    lab_put(q, (unsigned)expected, SMALL, true);
    lab_expect(q, (unsigned)expected + 1);
    lab_close(q);
}

TEST(every_truncation_gives_a_prefix_or_is_refused)
{
    const char *path = lab_path("log");
    learn_history(path);
    uint64_t tail = history.tail[history.count - 1];
    uint64_t stride = long_run() ? 1 : 7;
    char file[LAB_PATH];
    lab_segment_path(path, 0, file);
    for (uint64_t length = tail + 9; length-- > 0 && test_now.failures == 0;) {
        if (length % stride && length > 200)
            continue;
        REQUIRE(truncate(file, (off_t)length) == 0);
        int expected = length < 128 ? -1 : (int)jobs_before(length);
        CHECK_EQUAL(prefix_of(path), expected);
        if (length % (stride * 97) == 0 || length == 0)
            recover_for_real(path, expected);
        if (test_now.failures)
            printf("    at length %" PRIu64 "\n", length);
    }
}

/* What a flipped bit at this offset must give. */
static int expected_after_flip(uint64_t offset)
{
    int all = (int)history.count - 1;
    if (offset < SEGMENT_HEADER)
        return all; /* one copy of the header is enough, the rest means nothing */
    if (offset < history.durable)
        return -1;
    return (int)jobs_before(offset);
}

TEST(every_flipped_bit_gives_the_same_jobs_a_refusal_or_a_torn_unsynced_end)
{
    const char *path = lab_path("log");
    learn_history(path);
    uint64_t tail = history.tail[history.count - 1];
    uint64_t stride = long_run() ? 1 : 31;
    for (uint64_t bit = 0; bit < (tail + 64) * 8 && test_now.failures == 0; bit += stride) {
        unsigned char byte, spoiled;
        lab_peek(path, 0, bit / 8, &byte, 1);
        spoiled = (unsigned char)(byte ^ (1U << bit % 8));
        lab_poke(path, 0, bit / 8, &spoiled, 1);
        int expected = expected_after_flip(bit / 8);
        CHECK_EQUAL(prefix_of(path), expected);
        if (bit % (stride * 61) == 0)
            recover_for_real(path, expected);
        lab_poke(path, 0, bit / 8, &byte, 1);
        if (test_now.failures)
            printf("    at byte %" PRIu64 " bit %" PRIu64 "\n", bit / 8, bit % 8);
    }
}

/* ---- a reader beside a live writer ---- */

struct writer {
    quplog *q;
    unsigned jobs;
    _Atomic int status;
    _Atomic bool done;
};

static void *write_on(void *context)
{
    struct writer *w = context;
    char payload[700];
    uint64_t id;
    int status = QUPLOG_OK;
    for (unsigned i = 0; i < w->jobs && status == QUPLOG_OK; i++) {
        lab_payload(payload, sizeof payload, i);
        status = quplog_put(w->q, &LAB_SPEC, payload, 100 + i % 600, 0, i % 50 == 0, &id);
    }
    atomic_store(&w->status, status);
    atomic_store(&w->done, true);
    return NULL;
}

/* The writer ends its write just after the reader has looked. */
struct late_write {
    const char *path;
    uint64_t lsn;
    unsigned char bytes[64];
};

static void write_late(void *context)
{
    const struct late_write *late = context;
    lab_poke(late->path, 0, late->lsn, late->bytes, sizeof late->bytes);
}

TEST(a_reader_looks_again_at_a_frame_that_was_half_written_when_it_came)
{
    struct faulty *f = faulty_new();
    quplog *q = NULL;
    quplog_report report;
    quplog_options options = lab_options();
    options.segment_size = 0;
    options.read_only = true;
    struct late_write late = {.path = lab_path("log")};
    quplog_stats stats = killed(late.path, ten_synced_ten_not);
    late.lsn = stats.synced_lsn - 200;
    lab_peek(late.path, 0, late.lsn, late.bytes, sizeof late.bytes);
    lab_lose(late.path, 0, late.lsn, sizeof late.bytes);
    faulty_after_read(f, write_late, &late);
    CHECK_EQUAL(open_with(faulty_io(f), late.path, &options, &q, &report), QUPLOG_OK);
    REQUIRE(q);
    lab_expect(q, 20);
    lab_leave(q);
    faulty_free(f);
}

/* What a reader saw is a prefix of what was written, and never less than the time before. */
static void look_beside(const char *path, size_t *least)
{
    static struct lab_jobs jobs;
    quplog *q;
    quplog_report report;
    int status = lab_try_reading(path, &q, &report);
    CHECK_EQUAL(status, QUPLOG_OK); /* no REQUIRE: the writer is still at it */
    if (status) {
        printf("    reading says: %s\n", report.message);
        return;
    }
    lab_read(q, &jobs);
    lab_leave(q);
    CHECK(!jobs.wrong);
    for (unsigned i = 0; i < jobs.count && i < LAB_JOBS; i++)
        CHECK(jobs.state[i]);
    CHECK(jobs.count >= *least);
    *least = jobs.count;
}

TEST(a_reader_beside_a_live_writer_never_calls_it_corrupt)
{
    struct writer w = {.jobs = LAB_JOBS};
    pthread_t thread;
    size_t least = 0;
    unsigned looks = 0;
    w.q = lab_open(NULL, lab_path("log"));
    REQUIRE(pthread_create(&thread, NULL, write_on, &w) == 0);
    while (!atomic_load(&w.done) && test_now.failures == 0) {
        look_beside(lab_path("log"), &least);
        looks++;
    }
    pthread_join(thread, NULL);
    CHECK_EQUAL(atomic_load(&w.status), QUPLOG_OK);
    look_beside(lab_path("log"), &least);
    CHECK_EQUAL(least, LAB_JOBS);
    CHECK(looks > 0);
    lab_close(w.q);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(a_log_that_begins_behind_all_that_was_known_to_be_durable_can_be_synced),
        LISTED(a_killed_log_goes_on_in_its_segment_without_a_new_file),
        LISTED(each_segment_that_may_not_be_durable_is_synced_before_the_log_is_open),
        LISTED(what_was_read_is_called_durable_only_when_it_was_synced),
        LISTED(a_goodbye_that_was_read_is_no_sign_that_it_is_durable),
        LISTED(a_clean_close_says_so_and_a_killed_one_does_not),
        LISTED(ids_jump_after_an_unclean_end_in_another_boot_only),
        LISTED(a_spare_from_before_a_power_cut_is_made_anew),
        LISTED(a_torn_end_is_set_aside_and_the_log_goes_on_in_a_new_segment),
        LISTED(ids_that_a_torn_end_may_have_taken_along_are_not_given_again),
        LISTED(a_kill_before_the_first_open_op_leaves_a_new_log),
        LISTED(a_torn_end_twice_in_a_row_and_old_bytes_never_come_back),
        LISTED(the_base_behind_a_torn_end_is_above_every_file_that_stands_there),
        LISTED(a_kill_between_the_new_segment_and_its_first_frame_goes_on_there),
        LISTED(a_recovery_cut_at_any_step_is_repeated_with_the_same_result),
        LISTED(what_is_set_aside_is_durable_before_the_new_segment_which_decides),
        LISTED(where_a_log_ends_is_decided_once_wherever_recovery_is_cut),
        LISTED(a_quarantine_that_has_no_room_is_told_as_full_and_made_the_next_time),
        LISTED(a_hole_with_later_unsynced_segments_is_torn_and_all_behind_it_set_aside),
        LISTED(a_hole_before_synced_segments_is_corrupt_and_nothing_is_changed),
        LISTED(damage_before_d_is_corrupt_and_nothing_is_changed),
        LISTED(a_log_without_its_first_segment_is_corrupt_and_nothing_is_changed),
        LISTED(a_segment_without_header_copies_is_never_silently_dropped),
        LISTED(a_header_copy_that_went_astray_does_not_cost_a_segment),
        LISTED(a_newest_segment_without_header_is_corrupt_if_it_had_been_durable),
        LISTED(a_segment_with_the_header_of_another_log_is_corrupt_if_it_had_been_durable),
        LISTED(a_frame_of_a_newer_writer_is_unsupported_and_nothing_is_changed),
        LISTED(an_op_of_a_newer_writer_is_unsupported),
        LISTED(a_record_that_makes_no_sense_although_its_sum_holds_is_told_with_its_place),
        LISTED(leftover_temporary_segments_are_removed_by_the_owner_and_ignored_by_readers),
        LISTED(a_directory_with_only_a_leftover_temporary_becomes_a_new_log),
        LISTED(every_truncation_gives_a_prefix_or_is_refused),
        LISTED(every_flipped_bit_gives_the_same_jobs_a_refusal_or_a_torn_unsynced_end),
        LISTED(a_reader_looks_again_at_a_frame_that_was_half_written_when_it_came),
        LISTED(a_reader_beside_a_live_writer_never_calls_it_corrupt),
    };
    return RUN(tests, argc, argv);
}
