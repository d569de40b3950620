/* fuzz.h: what the fuzz targets share.
 *
 * A target is one function, in the form that libFuzzer calls and AFL++ understands. It makes of its
 * input whatever it tries, looks whether the promises hold, and MUST() ends the process if one does
 * not. With QUPLOG_FUZZ the targets are fuzzers; without it, replay.c runs them on stored inputs.
 *
 * A target takes its input apart from the front by input_...(). Behind the end of the input stand
 * zeros, so any input means something, and one that is cut short means nearly the same.
 */
#ifndef QUPLOG_FUZZ_H
#define QUPLOG_FUZZ_H

#include <stdio.h>

#include "bytes.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#define MUST(condition)                                                                            \
    ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, "not true: " #condition))

static inline void fuzz_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

/* With FUZZ_SHOW in the environment, say what came of a step: for who looks into one input. */
static inline void fuzz_show(const char *what, int status, const char *more)
{
    if (getenv("FUZZ_SHOW"))
        fprintf(stderr, "%s: %d %s\n", what, status, more);
}

/* A block of just this size, so that a read behind its end is seen. */
static inline unsigned char *fuzz_copy(struct span bytes)
{
    unsigned char *copy = malloc(bytes.length ? bytes.length : 1);
    MUST(copy);
    if (bytes.length)
        memcpy(copy, bytes.data, bytes.length);
    return copy;
}

/* A number of `bytes` bytes. */
static inline uint64_t input_number(struct span *input, size_t bytes)
{
    unsigned char number[8] = {0};
    size_t there = bytes < input->length ? bytes : input->length;
    if (there)
        memcpy(number, input->data, there);
    input->data += there;
    input->length -= there;
    return get_u64(number);
}

static inline unsigned input_byte(struct span *input)
{
    return (unsigned)input_number(input, 1);
}

/* A number below `n`, which is at most 256. */
static inline unsigned input_below(struct span *input, unsigned n)
{
    return input_byte(input) % n;
}

/* The next `length` bytes, or as many as there are. */
static inline struct span input_bytes(struct span *input, size_t length)
{
    struct span bytes = {input->data, length < input->length ? length : input->length};
    input->data += bytes.length;
    input->length -= bytes.length;
    return bytes;
}

#endif
