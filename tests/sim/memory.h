/* memory.h: which simulated process owns which memory, so that a kill gives it back.
 *
 * In a program that is linked with --wrap for malloc, calloc, realloc, aligned_alloc and free, each
 * block belongs to the owner that was set when it was allocated, and is freed with it. What is
 * allocated without an owner is nobody's, as usual.
 */
#ifndef QUPLOG_SIM_MEMORY_H
#define QUPLOG_SIM_MEMORY_H

#include <stddef.h>

struct memory_block;

struct memory_owner {
    struct memory_block *first;
};

/* From now on allocate for `owner`; NULL: for nobody. Returns who it was. */
struct memory_owner *memory_for(struct memory_owner *owner);
/* Free all that it owns. */
void memory_release(struct memory_owner *owner);

#endif
