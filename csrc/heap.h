/* heap.h: a binary heap of (key, id), smallest key first (ties: smallest id), kept in pages.
 *
 * Pages instead of one array: growing never copies, so a push under the append lock costs the same
 * in an empty heap and in one of ten millions. Whoever is moved is told its new position, so that
 * it can be removed later in O(log n). heap_reserve() gets memory; the other calls cannot fail.
 */
#ifndef QUPLOG_HEAP_H
#define QUPLOG_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_entry {
    uint64_t key;
    uint64_t id;
};

/* Told after `id` has come to stand at `position`. */
typedef void (*heap_moved)(void *context, uint64_t id, uint32_t position);

struct heap {
    struct heap_entry **pages;
    size_t page_count;
    size_t page_room;
    size_t count;
};

/* Room for `more` further entries; memory that has long been too much is given back here, so that
 * what was reserved for a frame stays while it is applied. False: no memory. */
bool heap_reserve(struct heap *heap, size_t more);
void heap_free(struct heap *heap);
size_t heap_bytes(const struct heap *heap);
/* The smallest; only if count > 0. */
const struct heap_entry *heap_top(const struct heap *heap);
void heap_push(struct heap *heap, struct heap_entry entry, heap_moved moved, void *context);
void heap_remove(struct heap *heap, size_t position, heap_moved moved, void *context);
/* A key such that every entry below it is `wanted`, as many as there are but at most `most` of the
 * smallest; 0: none. For entries that are wanted in order of their keys. */
uint64_t heap_prefix(const struct heap *heap, size_t most,
                     bool (*wanted)(const void *context, uint64_t id), const void *context);
enum { HEAP_PREFIX_MOST = 256 };
/* How many entries have a key below `key`. */
size_t heap_count_below(const struct heap *heap, uint64_t key);

#endif
