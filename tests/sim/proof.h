/* proof.h: what the programs that prove something share: their orders, chance, way and answer.
 *
 * Each knows --seed N, and --first N and --step N, by which several programs share the work: one
 * tries the cases first, first + step, ... Now and then it writes a line "<unit> <so many so far>",
 * and at the end one line of JSON, whose list "violations" says what was violated, and by which
 * command it is seen again. The exit code is 1 on any violation, 2 on wrong usage.
 */
#ifndef QUPLOG_SIM_PROOF_H
#define QUPLOG_SIM_PROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An option with a number behind it. */
struct proof_number {
    const char *name;
    uint64_t *value;
};

/* To be called first. */
void proof_begin(void);
/* Take argv[*i] and the number behind it, if it is one of these options. What it was read to; NULL:
 * it is none of them, or no number follows. */
uint64_t *proof_read_number(const struct proof_number *options, size_t count, int argc, char **argv,
                            int *i);
/* What chance begins with in a case (random.h): the same in each run, whoever tries it. */
uint64_t proof_chance(uint64_t seed, uint64_t number);
/* Say how far it is. */
void proof_show_way(const char *unit, uint64_t done);
/* A string of JSON. */
void proof_print_text(const char *text);

#endif
