/* names.h: each task and queue name once, by number. Numbers are never given back; the bytes of a
 * name do not move while the set lives. */
#ifndef QUPLOG_NAMES_H
#define QUPLOG_NAMES_H

#include "bytes.h"

enum { NAMES_NONE = 0xffffffff };

struct names {
    struct span *spans;
    uint32_t *slots; /* open addressing: number + 1, or 0 */
    size_t count;
    size_t room;
    size_t slot_count; /* a power of two, at most half full */
    size_t bytes;
};

/* The number of `name`, or NAMES_NONE. */
uint32_t names_find(const struct names *names, struct span name);
/* The same, adding it if it is new. NAMES_NONE: no memory. */
uint32_t names_add(struct names *names, struct span name);
void names_free(struct names *names);

#endif
