/* prove_errors.c: in every scenario let the n-th call of every kind fail in every way, for every n,
 * once and from then on, and judge what comes of it.
 *
 *     prove_errors                            all of it
 *     prove_errors --every 50 --seed 3        one in 50, by chance
 *     prove_errors --only put:write:3:EIO     one again, with everything that happens
 *     prove_errors --only put:write:3:EIO:lasting
 *     prove_errors --only put:system-read:3:EINTR
 *
 * Otherwise as proof.h says; its unit is "runs".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proof.h"
#include "random.h"
#include "real_files.h"
#include "scenarios.h"

/* ---- memory ---- */

/* The linker's names. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
    return inject_memory_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return inject_memory_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return inject_memory_fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return inject_memory_fails() ? NULL : __real_aligned_alloc(alignment, size);
}

/* ---- orders, and the answer ---- */

enum { SHOWN_EACH = 200, VIOLATIONS_MOST = 20 };

struct orders {
    uint64_t seed, every, first, step;
    const char *only;
};

static struct {
    uint64_t runs, failed;
    uint64_t by[2][INJECT_KINDS][INJECT_ERRORS]; /* in the world; below io.c */
    char violations[VIOLATIONS_MOST][LIFE_WRONG + 400];
    uint64_t violated;
    char now[160]; /* what is being tried */
} tally;

static void note_violation(const char *wrong)
{
    uint64_t at = tally.violated++;
    if (at < VIOLATIONS_MOST)
        snprintf(tally.violations[at], sizeof tally.violations[at],
                 "%s: %s; again by: prove_errors --only %s", tally.now, wrong, tally.now);
}

static void print_counts(void)
{
    bool first = true;
    for (int i = 0; i < 2 * INJECT_KINDS * INJECT_ERRORS; i++) {
        int system = i / (INJECT_KINDS * INJECT_ERRORS), error = i % INJECT_ERRORS;
        enum inject_kind kind = (enum inject_kind)(i / INJECT_ERRORS % INJECT_KINDS);
        if (tally.by[system][kind][error] == 0)
            continue;
        printf("%s\"%s%s %s\": %" PRIu64, first ? "" : ", ", system ? "system-" : "",
               inject_kind_name(kind), inject_error_name(error), tally.by[system][kind][error]);
        first = false;
    }
}

static int conclude(void)
{
    printf("{\"runs\": %" PRIu64 ", \"scenarios\": %zu, \"the log failed\": %" PRIu64
           ", \"failures\": {",
           tally.runs, SCENARIO_COUNT, tally.failed);
    print_counts();
    printf("}, \"violated\": %" PRIu64 ", \"violations\": [", tally.violated);
    for (uint64_t i = 0; i < tally.violated && i < VIOLATIONS_MOST; i++) {
        fputs(i ? ", " : "", stdout);
        proof_print_text(tally.violations[i]);
    }
    puts("]}");
    fflush(stdout);
    return tally.violated ? 1 : 0;
}

_Noreturn void inject_hung(void)
{
    note_violation("it does not come to an end");
    _exit(conclude());
}

/* ---- one run ---- */

/* What each run of a scenario begins with. */
struct beginning {
    const struct scenario *scenario;
    struct life life;
    bool trace;
};

static void prepare(struct beginning *b, const struct scenario *scenario)
{
    b->scenario = scenario;
    life_begin(&b->life, disk_new());
    b->life.trace = b->trace;
    if (scenario->prepare)
        scenario->prepare(&b->life);
    if (b->life.wrong[0])
        note_violation(b->life.wrong);
}

/* Play the scenario; `life` is still there. */
static void play(struct beginning *b, const struct inject_plan *plan, struct life *life)
{
    life_begin(life, disk_snapshot(b->life.disk));
    life->promises = b->life.promises;
    life->chance = b->life.chance;
    life->heals = b->life.heals;
    life->trace = b->trace;
    life->real = plan->system;
    if (life->real)
        real_files_write(life->disk);
    inject_arm(life->inject, plan);
    if (b->trace)
        fprintf(stderr, "---- %s\n", b->scenario->name);
    b->scenario->play(life);
    if (b->trace)
        fprintf(stderr, "---- judged\n");
}

static void run(struct beginning *b, const struct inject_plan *plan)
{
    static struct life life;
    snprintf(tally.now, sizeof tally.now, "%s:%s%s:%" PRIu64 ":%s%s", b->scenario->name,
             plan->system ? "system-" : "", inject_kind_name(plan->kind), plan->n,
             inject_error_name(plan->error), plan->lasting ? ":lasting" : "");
    play(b, plan, &life);
    if (inject_fired(life.inject) == 0)
        life_accuse(&life, "nothing failed: this run differs from the one that was counted");
    life_judge(&life);
    tally.runs++;
    tally.failed += life.failed;
    tally.by[plan->system][plan->kind][plan->error]++;
    if (life.wrong[0])
        note_violation(life.wrong);
    life_end(&life);
    if (tally.runs % SHOWN_EACH == 0)
        proof_show_way("runs", tally.runs);
}

/* ---- all runs of a scenario ---- */

/* How often each kind is called when nothing fails. */
static void count_calls(struct beginning *b, bool system, uint64_t counts[INJECT_KINDS])
{
    static struct life life;
    struct inject_plan nothing = {.system = system};
    snprintf(tally.now, sizeof tally.now, "%s", b->scenario->name);
    play(b, &nothing, &life);
    for (int kind = 0; kind < INJECT_KINDS; kind++)
        counts[kind] = inject_count(life.inject, kind);
    life_judge(&life);
    if (life.wrong[0])
        note_violation(life.wrong);
    life_end(&life);
}

static bool is_wanted(const struct orders *orders, uint64_t number)
{
    uint64_t state = proof_chance(orders->seed, number);
    if (number % orders->step != orders->first % orders->step)
        return false;
    return random_below(&state, orders->every) == 0;
}

/* Every n for this kind and error. */
static void run_each(const struct orders *orders, struct beginning *b, struct inject_plan plan,
                     uint64_t count, uint64_t *number)
{
    for (uint64_t i = 0; i < 2 * count; i++) {
        plan.n = 1 + i / 2;
        plan.lasting = i % 2;
        if (is_wanted(orders, (*number)++))
            run(b, &plan);
    }
}

static void run_all(const struct orders *orders, const struct scenario *scenario, uint64_t *number)
{
    static struct beginning b;
    uint64_t counts[INJECT_KINDS];
    b.trace = false;
    prepare(&b, scenario);
    count_calls(&b, false, counts);
    for (int kind = 0; kind < INJECT_KINDS; kind++)
        for (int error = 0; error < INJECT_ERRORS; error++)
            if (inject_fits(kind, error))
                run_each(orders, &b, (struct inject_plan){.kind = kind, .error = error},
                         counts[kind], number);
    count_calls(&b, true, counts);
    for (int kind = 0; kind < INJECT_KINDS; kind++)
        if (inject_repeats(kind))
            run_each(orders, &b,
                     (struct inject_plan){.kind = kind, .error = INJECT_EINTR, .system = true},
                     counts[kind], number);
    life_end(&b.life);
}

static void usage(void)
{
    fputs("usage: prove_errors [--seed N] [--every N] [--first N] [--step N]\n"
          "                    [--only SCENARIO:[system-]KIND:N:ERROR[:lasting]]\n",
          stderr);
    exit(2);
}

/* scenario:[system-]kind:n:error[:lasting] */
static void run_only(const char *only)
{
    static struct beginning b;
    char name[32], kind[32], error[32], lasting[32] = "";
    struct inject_plan plan = {0};
    int parts = sscanf(only, "%31[^:]:%31[^:]:%" SCNu64 ":%31[^:]:%31s", name, kind, &plan.n,
                       error, lasting);
    size_t at = 0, prefix = strncmp(kind, "system-", 7) == 0 ? 7 : 0;
    plan.system = prefix > 0;
    while (at < SCENARIO_COUNT && strcmp(SCENARIOS[at].name, name) != 0)
        at++;
    while (plan.kind < INJECT_KINDS && strcmp(inject_kind_name(plan.kind), kind + prefix) != 0)
        plan.kind++;
    while (plan.error < INJECT_ERRORS && strcmp(inject_error_name(plan.error), error) != 0)
        plan.error++;
    if (parts < 4 || at == SCENARIO_COUNT || plan.kind == INJECT_KINDS ||
        plan.error == INJECT_ERRORS)
        usage();
    plan.lasting = parts == 5;
    b.trace = true;
    prepare(&b, &SCENARIOS[at]);
    run(&b, &plan);
    life_end(&b.life);
}

static struct orders read_orders(int argc, char **argv)
{
    struct orders o = {.seed = 1, .every = 1, .step = 1};
    const struct proof_number numbers[] = {
        {"--seed", &o.seed}, {"--every", &o.every}, {"--first", &o.first}, {"--step", &o.step}};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            o.only = argv[++i];
        else if (!proof_read_number(numbers, sizeof numbers / sizeof *numbers, argc, argv, &i))
            usage();
    }
    if (o.step == 0 || o.every == 0)
        usage();
    return o;
}

/* A directory of its own for real files. */
static void enter_directory(char path[64])
{
    const char *parent = getenv("TMPDIR");
    snprintf(path, 64, "%.40s/quplog-errors-XXXXXX", parent ? parent : P_tmpdir);
    if (!mkdtemp(path) || chdir(path) != 0) {
        perror(path);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct orders orders = read_orders(argc, argv);
    char directory[64];
    uint64_t number = 0;
    proof_begin();
    enter_directory(directory);
    if (orders.only)
        run_only(orders.only);
    for (size_t i = 0; !orders.only && i < SCENARIO_COUNT; i++)
        run_all(&orders, &SCENARIOS[i], &number);
    real_files_write(NULL);
    (void)rmdir(directory);
    return conclude();
}
