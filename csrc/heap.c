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
    /* One spare page is kept, so that a heap at a page's edge does not allocate at every push. */
    size_t needed = (heap->count >> PAGE_BITS) + 2;
    while (heap->page_count > needed)
        free(heap->pages[--heap->page_count]);
    if (position == heap->count)
        return;
    if (position > 0 && before(&last, at(heap, (position - 1) / 2)))
        sift_up(heap, position, last, moved, context);
    else
        sift_down(heap, position, last, moved, context);
}
