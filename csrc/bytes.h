/* bytes.h: little-endian numbers in byte buffers, and a buffer that grows.
 *
 * The log is little-endian whatever the machine; memcpy makes every access legal at any alignment.
 */
#ifndef QUPLOG_BYTES_H
#define QUPLOG_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "quplog's readers assume a little-endian machine"
#endif

/* Bytes that belong to somebody else. */
struct span {
    const unsigned char *data;
    size_t length;
};

static inline uint16_t get_u16(const unsigned char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t get_u32(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t get_u64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline int64_t get_i64(const unsigned char *p)
{
    return (int64_t)get_u64(p);
}

static inline void put_u16(unsigned char *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void put_u32(unsigned char *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void put_u64(unsigned char *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void put_i64(unsigned char *p, int64_t v)
{
    put_u64(p, (uint64_t)v);
}

static inline size_t align8(size_t n)
{
    return (n + 7U) & ~(size_t)7U;
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* A byte buffer that grows. All zero is an empty one. */
struct buffer {
    unsigned char *data;
    size_t length;
    size_t capacity;
};

/* Room for `more` bytes behind the present end; NULL: no memory, and nothing has changed. */
static inline unsigned char *buffer_room(struct buffer *b, size_t more)
{
    if (b->capacity - b->length < more) {
        size_t capacity = b->capacity ? b->capacity : 256;
        while (capacity - b->length < more)
            capacity *= 2;
        unsigned char *data = realloc(b->data, capacity);
        if (!data)
            return NULL;
        b->data = data;
        b->capacity = capacity;
    }
    return b->data + b->length;
}

/* A part of what is in it. Nothing may have no place: an empty buffer has none. */
static inline struct span buffer_part(const struct buffer *b, size_t at, size_t length)
{
    return length ? (struct span){b->data + at, length} : (struct span){NULL, 0};
}

static inline void buffer_free(struct buffer *b)
{
    free(b->data);
    memset(b, 0, sizeof *b);
}

#endif
