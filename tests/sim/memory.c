/* memory.c: see memory.h. In front of each block stands whose it is. */
#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct memory_block {
    struct memory_block *next, *previous; /* of the same owner */
    struct memory_owner *owner;
    void *start; /* what the system gave */
};

enum { HEAD = sizeof(struct memory_block) };

_Static_assert(HEAD % _Alignof(max_align_t) == 0, "what follows the head is aligned");

/* The linker's names. */
void *__real_malloc(size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *memory);

static struct memory_owner *owner_now;

static struct memory_block *block_of(void *memory)
{
    return (struct memory_block *)(void *)((unsigned char *)memory - HEAD);
}

static void link_block(struct memory_block *block)
{
    struct memory_owner *owner = owner_now;
    block->owner = owner;
    block->next = block->previous = NULL;
    if (!owner)
        return;
    block->next = owner->first;
    if (block->next)
        block->next->previous = block;
    owner->first = block;
}

static void unlink_block(struct memory_block *block)
{
    if (!block->owner)
        return;
    if (block->previous)
        block->previous->next = block->next;
    else
        block->owner->first = block->next;
    if (block->next)
        block->next->previous = block->previous;
}

/* The block of what the system gave, with the memory `ahead` bytes behind its start. */
static void *hand_out(unsigned char *start, size_t ahead)
{
    if (!start)
        return NULL;
    struct memory_block *block = block_of(start + ahead);
    block->start = start;
    link_block(block);
    return start + ahead;
}

void *__wrap_malloc(size_t size)
{
    return hand_out(__real_malloc(HEAD + size), HEAD);
}

void *__wrap_calloc(size_t count, size_t size)
{
    if (size && count > (SIZE_MAX - HEAD) / size)
        return NULL;
    void *memory = __wrap_malloc(count * size);
    if (memory)
        memset(memory, 0, count * size);
    return memory;
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (!memory)
        return __wrap_malloc(size);
    struct memory_block *block = block_of(memory);
    unlink_block(block);
    void *start = __real_realloc(block, HEAD + size);
    if (!start)
        link_block(block);
    return hand_out(start, HEAD);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    unsigned char *start = __real_malloc(HEAD + alignment + size);
    if (!start)
        return NULL;
    size_t ahead = HEAD + alignment - ((uintptr_t)start + HEAD) % alignment;
    return hand_out(start, ahead);
}

void __wrap_free(void *memory)
{
    if (!memory)
        return;
    unlink_block(block_of(memory));
    __real_free(block_of(memory)->start);
}

struct memory_owner *memory_for(struct memory_owner *owner)
{
    struct memory_owner *before = owner_now;
    owner_now = owner;
    return before;
}

void memory_release(struct memory_owner *owner)
{
    while (owner->first) {
        struct memory_block *block = owner->first;
        unlink_block(block);
        __real_free(block->start);
    }
}
