/* heap.c: see heap.h. */
#include "heap.h"

#include <stdlib.h>

enum { PAGE_BITS = 10, PAGE_ENTRIES = 1 << PAGE_BITS };

static struct heap_entry *at(const struct heap *heap, size_t i)
{
    return &heap->pages[i >> PAGE_BITS][i & (PAGE_ENTRIES - 1)];
}

static bool before(const struct heap_entry *a, const struct heap_entry *b)
{
    return a->key != b->key ? a->key < b->key : a->id < b->id;
}

bool heap_reserve(struct heap *heap, size_t more)
{
    size_t pages = (heap->count + more + PAGE_ENTRIES - 1) >> PAGE_BITS;
    while (heap->page_count > pages + 2)
        free(heap->pages[--heap->page_count]);
    if (pages > heap->page_room) {
        size_t room = heap->page_room ? heap->page_room : 4;
        while (room < pages)
            room *= 2;
        struct heap_entry **list = realloc(heap->pages, room * sizeof *list);
        if (!list)
            return false;
        heap->pages = list;
        heap->page_room = room;
    }
    while (heap->page_count < pages) {
        struct heap_entry *page = malloc(PAGE_ENTRIES * sizeof *page);
        if (!page)
            return false;
        heap->pages[heap->page_count++] = page;
    }
    return true;
}

void heap_free(struct heap *heap)
{
    for (size_t i = 0; i < heap->page_count; i++)
        free(heap->pages[i]);
    free(heap->pages);
    *heap = (struct heap){0};
}

size_t heap_bytes(const struct heap *heap)
{
    return heap->page_count * PAGE_ENTRIES * sizeof(struct heap_entry) +
           heap->page_room * sizeof(struct heap_entry *);
}

const struct heap_entry *heap_top(const struct heap *heap)
{
    return at(heap, 0);
}

static void place(struct heap *heap, size_t i, struct heap_entry entry, heap_moved moved,
                  void *context)
{
    *at(heap, i) = entry;
    moved(context, entry.id, (uint32_t)i);
}

static void sift_up(struct heap *heap, size_t i, struct heap_entry entry, heap_moved moved,
                    void *context)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (!before(&entry, at(heap, parent)))
            break;
        place(heap, i, *at(heap, parent), moved, context);
        i = parent;
    }
    place(heap, i, entry, moved, context);
}

static void sift_down(struct heap *heap, size_t i, struct heap_entry entry, heap_moved moved,
                      void *context)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && before(at(heap, child + 1), at(heap, child)))
            child++;
        if (!before(at(heap, child), &entry))
            break;
        place(heap, i, *at(heap, child), moved, context);
        i = child;
    }
    place(heap, i, entry, moved, context);
}

void heap_push(struct heap *heap, struct heap_entry entry, heap_moved moved, void *context)
{
    sift_up(heap, heap->count++, entry, moved, context);
}

void heap_remove(struct heap *heap, size_t position, heap_moved moved, void *context)
{
    struct heap_entry last = *at(heap, --heap->count);
    if (position == heap->count)
        return;
    if (position > 0 && before(&last, at(heap, (position - 1) / 2)))
        sift_up(heap, position, last, moved, context);
    else
        sift_down(heap, position, last, moved, context);
}

/* The smallest of the frontier, taken out of it. */
static size_t take_smallest(const struct heap *heap, size_t *frontier, size_t *count)
{
    size_t best = 0;
    for (size_t i = 1; i < *count; i++)
        if (before(at(heap, frontier[i]), at(heap, frontier[best])))
            best = i;
    size_t position = frontier[best];
    frontier[best] = frontier[--*count];
    return position;
}

/* Of the part of the heap that begins at `position`; it is as deep as the heap, 32 at most. */
static size_t count_from(const struct heap *heap, size_t position, uint64_t key)
{
    if (position >= heap->count || at(heap, position)->key >= key)
        return 0;
    return 1 + count_from(heap, 2 * position + 1, key) + count_from(heap, 2 * position + 2, key);
}

size_t heap_count_below(const struct heap *heap, uint64_t key)
{
    return count_from(heap, 0, key);
}

uint64_t heap_prefix(const struct heap *heap, size_t most,
                     bool (*wanted)(const void *context, uint64_t id), const void *context)
{
    size_t frontier[HEAP_PREFIX_MOST + 1] = {0};
    size_t count = heap->count ? 1 : 0;
    uint64_t bound = 0;
    for (size_t taken = 0; count && taken < most && taken < HEAP_PREFIX_MOST; taken++) {
        size_t position = take_smallest(heap, frontier, &count);
        if (!wanted(context, at(heap, position)->id))
            break;
        bound = at(heap, position)->key + 1;
        for (size_t child = 2 * position + 1; child <= 2 * position + 2; child++)
            if (child < heap->count)
                frontier[count++] = child;
    }
    return bound;
}
