/* prove_crash.c: play scenes of many processes, crash them everywhere, and judge what is left.
 *
 *     prove_crash --seed 1 --states 20000           until so many states were judged
 *     prove_crash --seed 1 --only 17 --trace        one scene again, with everything that happens
 *     prove_crash --exhaustive 4                    all sequences of up to 4 operations
 *     prove_crash --lie data                        on a disk that does not sync: must not pass
 *
 * Otherwise as proof.h says; its cases are scenes, or sequences, and its unit is "states". The
 * first violation ends it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "proof.h"
#include "random.h"
#include "scene.h"
#include "sequences.h"

struct orders {
    uint64_t seed, states, first, step, only;
    unsigned exhaustive;
    enum disk_kind lie;
    bool has_only, trace;
};

static void usage(void)
{
    fputs("usage: prove_crash [--seed N] [--states N] [--first N] [--step N] [--only N] [--trace]\n"
          "                   [--exhaustive LENGTH] [--lie data|names]\n",
          stderr);
    exit(2);
}

static enum disk_kind read_lie(const char *word)
{
    if (word && strcmp(word, "data") == 0)
        return DISK_DATA_SYNC;
    if (!word || strcmp(word, "names") != 0)
        usage();
    return DISK_NAME_SYNC;
}

static struct orders read_orders(int argc, char **argv)
{
    struct orders o = {.seed = 1, .states = 20000, .step = 1, .lie = DISK_KINDS};
    uint64_t exhaustive = 0;
    const struct proof_number numbers[] = {
        {"--seed", &o.seed},   {"--states", &o.states}, {"--first", &o.first},
        {"--step", &o.step},   {"--only", &o.only},     {"--exhaustive", &exhaustive}};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            o.trace = true;
            continue;
        }
        if (strcmp(argv[i], "--lie") == 0) {
            o.lie = read_lie(argv[++i]);
            continue;
        }
        const uint64_t *read =
            proof_read_number(numbers, sizeof numbers / sizeof *numbers, argc, argv, &i);
        if (!read)
            usage();
        o.has_only = o.has_only || read == &o.only;
    }
    o.exhaustive = (unsigned)exhaustive;
    if (o.step == 0)
        usage();
    return o;
}

/* ---- the way, and the answer ---- */

static void show_way(const struct judge *judge)
{
    proof_show_way("states", judge->states);
}

static int conclude(const struct judge *judge, uint64_t tried, const char *unit,
                    const char *again)
{
    printf("{\"states\": %" PRIu64 ", \"%s\": %" PRIu64 ", \"power cuts\": [", judge->states, unit,
           tried);
    for (int i = 0; i <= JUDGE_DEPTH; i++)
        printf("%s%" PRIu64, i ? ", " : "", judge->deep[i]);
    printf("], \"kills\": %" PRIu64 ", \"violations\": [", judge->kills);
    if (judge->wrong[0]) {
        char text[sizeof judge->wrong + 128];
        snprintf(text, sizeof text, "%s; again by: %s", judge->wrong, again);
        proof_print_text(text);
    }
    puts("]}");
    return judge->wrong[0] ? 1 : 0;
}

/* ---- scenes ---- */

static uint64_t scene_seed(uint64_t seed, uint64_t number)
{
    uint64_t state = proof_chance(seed, number);
    return random_next(&state) | 1;
}

static int play_scenes(const struct orders *orders)
{
    static struct judge judge;
    uint64_t scenes = 0, number = orders->has_only ? orders->only : orders->first, shown = 0;
    char again[96] = "";
    judge.trace = orders->trace;
    judge.lie = orders->lie;
    while (!judge.wrong[0] && judge.states < orders->states && !(orders->has_only && scenes)) {
        snprintf(again, sizeof again, "prove_crash --seed %" PRIu64 " --only %" PRIu64 " --trace",
                 orders->seed, number);
        scene_play(&judge, scene_seed(orders->seed, number));
        scenes++;
        number += orders->step;
        if (judge.states - shown > orders->states / 100) {
            shown = judge.states;
            show_way(&judge);
        }
    }
    return conclude(&judge, scenes, "scenes", again);
}

static int play_sequences(const struct orders *orders)
{
    static struct judge judge;
    char again[96];
    judge.trace = orders->trace;
    struct sequences all = {.most = orders->exhaustive,
                            .first = orders->first,
                            .step = orders->step,
                            .has_only = orders->has_only,
                            .only = orders->only,
                            .shown = show_way};
    uint64_t last = sequences_play(&judge, &all);
    snprintf(again, sizeof again, "prove_crash --exhaustive %u --only %" PRIu64 " --trace",
             orders->exhaustive, last);
    return conclude(&judge, all.played, "sequences", again);
}

int main(int argc, char **argv)
{
    struct orders orders = read_orders(argc, argv);
    proof_begin();
    return orders.exhaustive ? play_sequences(&orders) : play_scenes(&orders);
}
