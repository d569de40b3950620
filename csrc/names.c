/* names.c: see names.h. */
#include "names.h"

#include "crc32c.h"

static size_t slot_of(const struct names *names, struct span name)
{
    size_t mask = names->slot_count - 1;
    size_t slot = crc32c(0, name.data, name.length) & mask;
    while (names->slots[slot] && !span_equal(names->spans[names->slots[slot] - 1], name))
        slot = (slot + 1) & mask;
    return slot;
}

uint32_t names_find(const struct names *names, struct span name)
{
    if (names->slot_count == 0)
        return NAMES_NONE;
    return names->slots[slot_of(names, name)] - 1; /* an empty slot gives NAMES_NONE */
}

static bool grow(struct names *names)
{
    size_t slot_count = names->slot_count ? names->slot_count * 2 : 64;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    struct span *spans = realloc(names->spans, slot_count / 2 * sizeof *spans);
    if (spans)
        names->spans = spans;
    if (!slots || !spans) {
        free(slots);
        return false;
    }
    free(names->slots);
    names->slots = slots;
    names->slot_count = slot_count;
    names->room = slot_count / 2;
    for (uint32_t i = 0; i < names->count; i++)
        slots[slot_of(names, names->spans[i])] = i + 1;
    return true;
}

uint32_t names_add(struct names *names, struct span name)
{
    uint32_t number = names_find(names, name);
    if (number != NAMES_NONE)
        return number;
    if (names->count == names->room && !grow(names))
        return NAMES_NONE;
    unsigned char *copy = malloc(name.length ? name.length : 1);
    if (!copy)
        return NAMES_NONE;
    memcpy(copy, name.data, name.length);
    size_t slot = slot_of(names, name);
    names->spans[names->count] = (struct span){copy, name.length};
    names->slots[slot] = (uint32_t)++names->count;
    names->bytes += name.length;
    return (uint32_t)names->count - 1;
}

void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free((void *)(uintptr_t)names->spans[i].data);
    free(names->spans);
    free(names->slots);
    *names = (struct names){0};
}
