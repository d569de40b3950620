/* prove_corruption.c: damage logs in every way, and see what is said of them.
 *
 *     prove_corruption --seed 1 --most 2000      at most so many damages of each family
 *     prove_corruption --seed 1 --all            every one
 *     prove_corruption --seed 1 --only 123456    one again
 *     prove_corruption --seed 1 --count          how many there are
 *
 * Otherwise as proof.h says; its unit is "damages". The first violation ends it. A crash is told
 * with the number of the damage.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proof.h"
#include "random.h"
#include "verdict.h"

enum { FAMILIES_MOST = 32 };

struct orders {
    uint64_t seed, most, first, step, only;
    bool has_only, all, count;
};

/* The work: all damages of all logs, numbered through. */
struct proof {
    struct orders orders;
    struct reference *reference[REFERENCE_KINDS], *foreign[REFERENCE_KINDS];
    uint64_t total, chosen; /* damages that there are, that are to be tried by all programs */
    uint64_t position;      /* among the chosen */
    uint64_t tried, shown;
    uint64_t by_family[FAMILIES_MOST];
    uint64_t by_answer[VERDICT_ANSWERS];
    char wrong[1024];
};

static char now_at[128]; /* for whoever is told of a crash */

static void usage(void)
{
    fputs("usage: prove_corruption [--seed N] [--most N | --all | --only N | --count]\n"
          "                        [--first N] [--step N]\n",
          stderr);
    exit(2);
}

static bool read_flag(struct orders *o, const char *word)
{
    o->all = o->all || strcmp(word, "--all") == 0;
    o->count = o->count || strcmp(word, "--count") == 0;
    return strcmp(word, "--all") == 0 || strcmp(word, "--count") == 0;
}

static struct orders read_orders(int argc, char **argv)
{
    struct orders o = {.seed = 1, .most = 500, .step = 1};
    const struct proof_number numbers[] = {{"--seed", &o.seed},
                                           {"--most", &o.most},
                                           {"--first", &o.first},
                                           {"--step", &o.step},
                                           {"--only", &o.only}};
    for (int i = 1; i < argc; i++) {
        if (read_flag(&o, argv[i]))
            continue;
        const uint64_t *read =
            proof_read_number(numbers, sizeof numbers / sizeof *numbers, argc, argv, &i);
        if (!read)
            usage();
        o.has_only = o.has_only || read == &o.only;
    }
    if (o.step == 0)
        usage();
    return o;
}

/* ---- a crash ---- */

static void tell_crash(int number)
{
    ssize_t unused = write(STDERR_FILENO, now_at, strlen(now_at));
    (void)unused;
    signal(number, SIG_DFL);
    raise(number);
}

static void be_told_of_crashes(void)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], tell_crash);
}

/* ---- one damage ---- */

/* The same for a damage whichever way it was chosen. */
static uint64_t chance_of(const struct proof *p, uint64_t number)
{
    return proof_chance(p->orders.seed, number) | 1;
}

static void try_one(struct proof *p, size_t kind, size_t family, uint64_t index, uint64_t number)
{
    struct exhibit exhibit;
    struct verdict verdict;
    uint64_t chance = chance_of(p, number);
    snprintf(now_at, sizeof now_at, "at: prove_corruption --seed %" PRIu64 " --only %" PRIu64 "\n",
             p->orders.seed, number);
    exhibit_make(&exhibit, p->reference[kind], p->foreign[kind], &DAMAGE_FAMILIES[family], index,
                 chance);
    verdict_of(&exhibit, p->reference[kind], chance, &verdict);
    p->tried++;
    p->by_family[family]++;
    p->by_answer[verdict.answer]++;
    if (p->orders.has_only)
        fprintf(stderr, "%s log, %s: %s: %s\n", reference_name(p->reference[kind]->kind),
                DAMAGE_FAMILIES[family].name, exhibit.text, VERDICT_NAMES[verdict.answer]);
    if (verdict.wrong[0])
        snprintf(p->wrong, sizeof p->wrong,
                 "%s log, %s: %s: %s; again by: prove_corruption --seed %" PRIu64
                 " --only %" PRIu64,
                 reference_name(p->reference[kind]->kind), DAMAGE_FAMILIES[family].name,
                 exhibit.text, verdict.wrong, p->orders.seed, number);
    exhibit_free(&exhibit);
}

/* ---- all damages ---- */

static bool is_mine(const struct proof *p)
{
    return p->position % p->orders.step == p->orders.first % p->orders.step;
}

static void show_way(struct proof *p)
{
    if (p->tried - p->shown <= p->chosen / p->orders.step / 100)
        return;
    p->shown = p->tried;
    proof_show_way("damages", p->tried);
}

/* So many of `count` are chosen: all, or one out of each of equal parts. */
static uint64_t chosen_of(const struct proof *p, uint64_t count)
{
    return p->orders.all || count < p->orders.most ? count : p->orders.most;
}

static void try_family(struct proof *p, size_t kind, size_t family, uint64_t begin)
{
    uint64_t count = DAMAGE_FAMILIES[family].count(p->reference[kind]);
    uint64_t chosen = chosen_of(p, count);
    for (uint64_t i = 0; i < chosen && !p->wrong[0]; i++, p->position++) {
        uint64_t from = i * count / chosen, to = (i + 1) * count / chosen;
        uint64_t chance = chance_of(p, begin + from);
        if (is_mine(p)) {
            uint64_t index = from + random_below(&chance, to - from);
            try_one(p, kind, family, index, begin + index);
        }
        show_way(p);
    }
}

/* Go through the families of all logs, and try what is to be tried of each; or only count it. */
static void go_through(struct proof *p, bool count_only)
{
    uint64_t begin = 0;
    for (size_t kind = 0; kind < REFERENCE_KINDS; kind++)
        for (size_t family = 0; family < DAMAGE_FAMILY_COUNT; family++) {
            uint64_t count = DAMAGE_FAMILIES[family].count(p->reference[kind]);
            bool here = p->orders.only >= begin && p->orders.only < begin + count;
            if (count_only)
                p->chosen += chosen_of(p, count);
            else if (!p->orders.has_only)
                try_family(p, kind, family, begin);
            else if (here)
                try_one(p, kind, family, p->orders.only - begin, p->orders.only);
            begin += count;
        }
    p->total = begin;
}

/* ---- the answer ---- */

static int conclude(const struct proof *p)
{
    printf("{\"damages\": %" PRIu64 ", \"families\": {", p->tried);
    for (size_t i = 0; i < DAMAGE_FAMILY_COUNT; i++)
        printf("%s\"%s\": %" PRIu64, i ? ", " : "", DAMAGE_FAMILIES[i].name, p->by_family[i]);
    printf("}, \"answers\": {");
    for (size_t i = 0; i < VERDICT_ANSWERS; i++)
        printf("%s\"%s\": %" PRIu64, i ? ", " : "", VERDICT_NAMES[i], p->by_answer[i]);
    printf("}, \"violations\": [");
    if (p->wrong[0])
        proof_print_text(p->wrong);
    puts("]}");
    return p->wrong[0] ? 1 : 0;
}

int main(int argc, char **argv)
{
    static struct proof proof;
    proof.orders = read_orders(argc, argv);
    proof_begin();
    be_told_of_crashes();
    for (int i = 0; i < REFERENCE_KINDS; i++) {
        proof.reference[i] = reference_new((enum reference_kind)i, proof.orders.seed);
        proof.foreign[i] = reference_new((enum reference_kind)i, proof.orders.seed + 1000);
    }
    go_through(&proof, true);
    if (proof.orders.count)
        printf("{\"damages\": %" PRIu64 ", \"chosen\": %" PRIu64 "}\n", proof.total, proof.chosen);
    else
        go_through(&proof, false);
    for (int i = 0; i < REFERENCE_KINDS; i++) {
        reference_free(proof.reference[i]);
        reference_free(proof.foreign[i]);
    }
    return proof.orders.count ? 0 : conclude(&proof);
}
