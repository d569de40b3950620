/* All jobs by id, against a dumb model: a sorted list of the ids that should be there. */
#include "jobs.h"

#include "quplog.h"
#include "random.h"
#include "test.h"

enum { MOST = 8192, STEPS = 60000, PAGE = 256 };

#define JUMP (UINT64_C(1) << 32)

struct model {
    struct jobs jobs;
    uint64_t ids[MOST];
    size_t count;
};

static struct model *new_model(void)
{
    struct model *model = calloc(1, sizeof *model);
    REQUIRE(model);
    return model;
}

static void free_model(struct model *model)
{
    jobs_free(&model->jobs);
    free(model);
}

/* Where `id` is or would be. */
static size_t place_of(const struct model *model, uint64_t id)
{
    size_t low = 0, high = model->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (model->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool holds(const struct model *model, uint64_t id)
{
    size_t at = place_of(model, id);
    return at < model->count && model->ids[at] == id;
}

static void add(struct model *model, uint64_t id)
{
    size_t at = place_of(model, id);
    REQUIRE(model->count < MOST);
    jobs_begin(&model->jobs);
    REQUIRE(jobs_reserve(&model->jobs, id, 1));
    struct job *job = jobs_add(&model->jobs, id);
    CHECK_EQUAL(job->state, 0);
    CHECK_EQUAL(job->put_lsn, 0); /* nothing is left of who was here before */
    job->state = QUPLOG_READY;
    job->put_lsn = id;
    memmove(model->ids + at + 1, model->ids + at, (model->count - at) * sizeof *model->ids);
    model->ids[at] = id;
    model->count++;
}

static void take_out(struct model *model, uint64_t id)
{
    size_t at = place_of(model, id);
    jobs_begin(&model->jobs);
    jobs_remove(&model->jobs, id);
    model->count--;
    memmove(model->ids + at, model->ids + at + 1, (model->count - at) * sizeof *model->ids);
}

static void check_get(const struct model *model, uint64_t id)
{
    const struct job *job = jobs_get(&model->jobs, id);
    CHECK_EQUAL(job != NULL, holds(model, id));
    CHECK(!job || job->put_lsn == id);
}

static void check_next(const struct model *model, uint64_t after)
{
    uint64_t id = 0;
    size_t at = place_of(model, after);
    const struct job *job = jobs_next(&model->jobs, after, true, &id);
    CHECK_EQUAL(job != NULL, at > 0);
    CHECK(!job || id == model->ids[at - 1]);
    if (at < model->count && model->ids[at] == after)
        at++;
    job = jobs_next(&model->jobs, after, false, &id);
    CHECK_EQUAL(job != NULL, at < model->count);
    CHECK(!job || id == model->ids[at]);
}

static void check_walks(const struct model *model)
{
    uint64_t id = 0;
    size_t n = 0;
    while (jobs_next(&model->jobs, id, false, &id)) {
        REQUIRE(n < model->count);
        CHECK_EQUAL(id, model->ids[n++]);
    }
    CHECK_EQUAL(n, model->count);
    id = UINT64_MAX;
    while (jobs_next(&model->jobs, id, true, &id)) {
        REQUIRE(n > 0);
        CHECK_EQUAL(id, model->ids[--n]);
    }
    CHECK_EQUAL(n, 0);
    CHECK_EQUAL(model->jobs.count, model->count);
}

/* An id near the edges of pages and of five jumps, one of them far from the others. */
static uint64_t some_id(uint64_t *seed)
{
    static const uint64_t jumps[] = {0, 1, 2, 3, 1000000};
    uint64_t low = random_below(seed, 4 * PAGE);
    if (random_below(seed, 10) == 0)
        low += 300 * PAGE;
    uint64_t id = jumps[random_below(seed, 5)] * JUMP + low;
    return id ? id : 1;
}

TEST(every_id_is_found_across_jumps_and_no_other)
{
    struct model *model = new_model();
    uint64_t seed = 5;
    for (int step = 0; step < STEPS; step++) {
        uint64_t id = some_id(&seed);
        bool shrinking = step / 15000 % 2 == 1;
        if (!holds(model, id) && (!shrinking || random_below(&seed, 8) == 0))
            add(model, id);
        else if (holds(model, id) && (shrinking || random_below(&seed, 8) == 0))
            take_out(model, id);
        check_get(model, some_id(&seed));
        check_next(model, some_id(&seed));
        if (step % 5000 == 0)
            check_walks(model);
    }
    check_walks(model);
    free_model(model);
}

TEST(the_ends_of_a_jump_are_neighbours)
{
    struct model *model = new_model();
    uint64_t id;
    add(model, 1);
    add(model, 2 * JUMP + 1);
    REQUIRE(jobs_next(&model->jobs, 1, false, &id));
    CHECK_EQUAL(id, 2 * JUMP + 1);
    REQUIRE(jobs_next(&model->jobs, JUMP, false, &id));
    CHECK_EQUAL(id, 2 * JUMP + 1);
    REQUIRE(jobs_next(&model->jobs, 2 * JUMP + 1, true, &id));
    CHECK_EQUAL(id, 1);
    CHECK(!jobs_next(&model->jobs, 2 * JUMP + 1, false, &id));
    CHECK(!jobs_next(&model->jobs, 1, true, &id));
    CHECK(!jobs_next(&model->jobs, 0, true, &id));
    CHECK(!jobs_next(&model->jobs, UINT64_MAX, false, &id));
    free_model(model);
}

TEST(a_range_of_ids_is_reserved_whole)
{
    struct jobs jobs = {0};
    jobs_begin(&jobs);
    REQUIRE(jobs_reserve(&jobs, JUMP + 100, 3 * PAGE));
    for (uint64_t id = JUMP + 100; id < JUMP + 100 + 3 * PAGE; id++)
        jobs_add(&jobs, id)->state = QUPLOG_READY;
    CHECK_EQUAL(jobs.count, 3 * PAGE);
    jobs_free(&jobs);
}

TEST(pages_go_with_their_last_job)
{
    struct model *model = new_model();
    add(model, 1);
    size_t one_page = model->jobs.bytes;
    for (uint64_t id = 2; id < 8 * PAGE; id++)
        add(model, id);
    size_t full = model->jobs.bytes;
    CHECK(full >= one_page + 7 * PAGE * sizeof(struct job));
    for (uint64_t id = 8 * PAGE - 1; id > 1; id--)
        take_out(model, id);
    CHECK_EQUAL(model->jobs.bytes, one_page);
    check_walks(model);
    for (uint64_t id = 2; id < 8 * PAGE; id++) /* and come again */
        add(model, id);
    CHECK_EQUAL(model->jobs.bytes, full);
    check_walks(model);
    free_model(model);
}

/* A frame that forgets a page's last job and puts another into it. */
TEST(a_page_that_was_reserved_stays_when_it_becomes_empty)
{
    struct jobs jobs = {0};
    jobs_begin(&jobs);
    REQUIRE(jobs_reserve(&jobs, 1, 1));
    jobs_add(&jobs, 1)->state = QUPLOG_READY;
    jobs_begin(&jobs);
    REQUIRE(jobs_reserve(&jobs, 2, 1));
    jobs_remove(&jobs, 1);
    jobs_add(&jobs, 2)->state = QUPLOG_READY;
    CHECK(jobs_get(&jobs, 2) != NULL);
    CHECK(jobs_get(&jobs, 1) == NULL);
    jobs_free(&jobs);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(every_id_is_found_across_jumps_and_no_other),
        LISTED(the_ends_of_a_jump_are_neighbours),
        LISTED(a_range_of_ids_is_reserved_whole),
        LISTED(pages_go_with_their_last_job),
        LISTED(a_page_that_was_reserved_stays_when_it_becomes_empty),
    };
    return RUN(tests, argc, argv);
}
