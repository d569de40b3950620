/* proof.c: see proof.h. */
#include "proof.h"

#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "random.h"

/* The core reads through windows of 1 MiB: to give them back each time costs page faults. And who
 * started it, and is to add up what it finds, may be killed. */
void proof_begin(void)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)mallopt(M_MMAP_THRESHOLD, 256 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 512 << 20);
}

uint64_t *proof_read_number(const struct proof_number *options, size_t count, int argc, char **argv,
                            int *i)
{
    size_t k = 0;
    char *end = NULL;
    while (k < count && strcmp(argv[*i], options[k].name) != 0)
        k++;
    if (k == count || *i + 1 == argc)
        return NULL;
    const char *word = argv[++*i];
    *options[k].value = strtoull(word, &end, 10);
    return end == word || *end ? NULL : options[k].value;
}

uint64_t proof_chance(uint64_t seed, uint64_t number)
{
    uint64_t state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) ^
                     (number + 1) * UINT64_C(0xd1b54a32d192ed03);
    if (state == 0)
        state = 1;
    (void)random_next(&state);
    return state;
}

void proof_show_way(const char *unit, uint64_t done)
{
    printf("%s %" PRIu64 "\n", unit, done);
    fflush(stdout);
}

void proof_print_text(const char *text)
{
    putchar('"');
    for (; *text; text++)
        putchar(*text == '"' || *text == '\\' || (unsigned char)*text < ' ' ? '\'' : *text);
    putchar('"');
}
