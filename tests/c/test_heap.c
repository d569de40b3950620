/* The heap against a dumb model: a list that is searched from end to end. */
#include "heap.h"

#include "random.h"
#include "test.h"

enum { IDS = 4000, STEPS = 40000 };

/* What the heap should hold: the key of each id in it, and where it was told to stand. */
struct model {
    struct heap heap;
    uint64_t keys[IDS];
    uint32_t positions[IDS];
    bool in[IDS];
    size_t count;
};

static void note_move(void *context, uint64_t id, uint32_t position)
{
    struct model *model = context;
    model->positions[id] = position;
}

static struct model *new_model(void)
{
    struct model *model = calloc(1, sizeof *model);
    REQUIRE(model);
    return model;
}

static void free_model(struct model *model)
{
    heap_free(&model->heap);
    free(model);
}

static void push(struct model *model, uint64_t key, uint64_t id)
{
    REQUIRE(heap_reserve(&model->heap, 1));
    heap_push(&model->heap, (struct heap_entry){key, id}, note_move, model);
    model->keys[id] = key;
    model->in[id] = true;
    model->count++;
}

static void take_out(struct model *model, uint64_t id)
{
    heap_remove(&model->heap, model->positions[id], note_move, model);
    model->in[id] = false;
    model->count--;
}

static bool sooner(const struct model *model, uint64_t a, uint64_t b)
{
    return model->keys[a] != model->keys[b] ? model->keys[a] < model->keys[b] : a < b;
}

/* The first by (key, id), found by looking at all; IDS: none. */
static uint64_t first_of(const struct model *model)
{
    uint64_t first = IDS;
    for (uint64_t id = 0; id < IDS; id++)
        if (model->in[id] && (first == IDS || sooner(model, id, first)))
            first = id;
    return first;
}

static void check_top(const struct model *model)
{
    CHECK_EQUAL(model->heap.count, model->count);
    if (model->count == 0)
        return;
    uint64_t first = first_of(model);
    CHECK_EQUAL(heap_top(&model->heap)->id, first);
    CHECK_EQUAL(heap_top(&model->heap)->key, model->keys[first]);
}

/* Push and remove at random, more of the one or of the other by turns. Few different keys: ties. */
static void churn(struct model *model, uint64_t seed, uint64_t keys)
{
    for (int step = 0; step < STEPS; step++) {
        uint64_t id = random_below(&seed, IDS);
        bool growing = step / 10000 % 2 == 0;
        if (!model->in[id] && (growing || random_below(&seed, 4) == 0))
            push(model, random_below(&seed, keys), id);
        else if (model->in[id] && (!growing || random_below(&seed, 4) == 0))
            take_out(model, id);
        if (step % 16 == 0)
            check_top(model);
    }
}

static void drain(struct model *model)
{
    while (model->heap.count) {
        struct heap_entry top = *heap_top(&model->heap);
        CHECK_EQUAL(model->positions[top.id], 0);
        CHECK(model->in[top.id]);
        take_out(model, top.id);
        if (model->heap.count) {
            const struct heap_entry *next = heap_top(&model->heap);
            CHECK(top.key < next->key || (top.key == next->key && top.id < next->id));
        }
    }
    CHECK_EQUAL(model->count, 0);
}

TEST(the_first_is_always_the_models_first)
{
    struct model *model = new_model();
    churn(model, 1, UINT64_MAX >> 12);
    drain(model);
    free_model(model);
}

TEST(ties_go_by_id)
{
    struct model *model = new_model();
    churn(model, 2, 7);
    drain(model);
    free_model(model);
}

TEST(extreme_keys_keep_their_order)
{
    struct model *model = new_model();
    push(model, UINT64_MAX, 0);
    push(model, 0, 1);
    push(model, UINT64_MAX, 2);
    push(model, UINT64_MAX - 1, 3);
    push(model, 0, 4);
    static const uint64_t order[] = {1, 4, 3, 0, 2};
    for (int i = 0; i < 5; i++) {
        CHECK_EQUAL(heap_top(&model->heap)->id, order[i]);
        take_out(model, order[i]);
    }
    free_model(model);
}

TEST(memory_is_given_back_but_never_what_was_reserved)
{
    struct model *model = new_model();
    REQUIRE(heap_reserve(&model->heap, IDS));
    size_t full = heap_bytes(&model->heap);
    CHECK(full >= IDS * sizeof(struct heap_entry));
    for (uint64_t id = 0; id < IDS; id++) /* no reserve in between: it was all reserved */
        heap_push(&model->heap, (struct heap_entry){id, id}, note_move, model);
    CHECK_EQUAL(heap_bytes(&model->heap), full);
    for (uint64_t id = IDS; id > 0; id--)
        heap_remove(&model->heap, model->positions[id - 1], note_move, model);
    REQUIRE(heap_reserve(&model->heap, 1));
    CHECK(heap_bytes(&model->heap) < full);
    free_model(model);
}

/* ---- heap_prefix ---- */

static bool below_line(const void *context, uint64_t id)
{
    const struct model *model = context;
    return model->keys[id] < 5000;
}

static size_t count_below(const struct model *model, uint64_t bound)
{
    size_t count = 0;
    for (uint64_t id = 0; id < IDS; id++)
        count += model->in[id] && model->keys[id] < bound;
    return count;
}

/* Different keys, in random order: id * 7 is unique and spread over both sides of the line. */
static void fill_unique(struct model *model, uint64_t ids, uint64_t seed)
{
    while (model->count < ids) {
        uint64_t id = random_below(&seed, ids);
        if (!model->in[id])
            push(model, id * 7, id);
    }
}

TEST(a_prefix_is_exactly_the_wanted_ones)
{
    struct model *model = new_model();
    uint64_t wanted = 5000 / 7 + 1; /* the ids below the line */
    fill_unique(model, 1000, 3);
    for (size_t most = 0; most <= HEAP_PREFIX_MOST + 10; most++) {
        uint64_t bound = heap_prefix(&model->heap, most, below_line, model);
        size_t should = most < HEAP_PREFIX_MOST ? most : HEAP_PREFIX_MOST;
        CHECK_EQUAL(count_below(model, bound), should);
        CHECK(most > 0 || bound == 0);
    }
    for (uint64_t left = wanted; left > 0; left--) { /* it ends where the wanted ones end */
        uint64_t bound = heap_prefix(&model->heap, HEAP_PREFIX_MOST, below_line, model);
        CHECK(bound <= 5000);
        CHECK_EQUAL(count_below(model, bound),
                    left < HEAP_PREFIX_MOST ? left : HEAP_PREFIX_MOST);
        take_out(model, wanted - left);
    }
    CHECK_EQUAL(heap_prefix(&model->heap, HEAP_PREFIX_MOST, below_line, model), 0);
    free_model(model);
}

TEST(a_prefix_of_all_is_all_and_of_nothing_nothing)
{
    struct model *model = new_model();
    CHECK_EQUAL(heap_prefix(&model->heap, 10, below_line, model), 0);
    fill_unique(model, 20, 4);
    CHECK_EQUAL(heap_prefix(&model->heap, 100, below_line, model), 19 * 7 + 1);
    free_model(model);
}

/* Jobs that one op finished have one key: they go together. */
TEST(a_prefix_never_parts_equal_keys)
{
    struct model *model = new_model();
    for (uint64_t id = 0; id < 30; id++)
        push(model, id / 3 * 100, id);
    for (size_t most = 1; most <= 30; most++) {
        uint64_t bound = heap_prefix(&model->heap, most, below_line, model);
        CHECK_EQUAL(count_below(model, bound), (most + 2) / 3 * 3);
    }
    free_model(model);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(the_first_is_always_the_models_first),
        LISTED(ties_go_by_id),
        LISTED(extreme_keys_keep_their_order),
        LISTED(memory_is_given_back_but_never_what_was_reserved),
        LISTED(a_prefix_is_exactly_the_wanted_ones),
        LISTED(a_prefix_of_all_is_all_and_of_nothing_nothing),
        LISTED(a_prefix_never_parts_equal_keys),
    };
    return RUN(tests, argc, argv);
}
