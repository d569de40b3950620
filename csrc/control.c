/* control.c: see control.h. */
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char MAGIC[8] = {'q', 'u', 'p', 'l', 'o', 'g', 'C', 1};

/* So often a number is read again whose writer was seen between its two halves. */
enum { TRIES = 1000 };
/* No write of a number that grows moves it by more. */
#define STEP_MOST ((uint64_t)1 << 40)

/* ---- the page ---- */

/* The file has its block before it is mapped: a full disk must be an error, not a SIGBUS. */
static int fill(const struct io *io, int fd)
{
    struct io_stat stat;
    int status = io->stat(io->world, fd, &stat);
    if (status || stat.size >= CONTROL_PAGE)
        return status;
    static const unsigned char zeros[CONTROL_PAGE];
    struct iovec part = {(void *)(uintptr_t)zeros, sizeof zeros};
    return io_write_full(io, fd, &part, 1, 0);
}

int control_open(struct control *control, const struct io *io, int dir)
{
    void *memory = NULL;
    *control = (struct control){.io = io};
    int fd = io->open(io->world, dir, "control", IO_WRITE | IO_CREATE);
    if (fd < 0)
        return fd;
    int status = fill(io, fd);
    if (status == 0)
        status = io->map(io->world, fd, CONTROL_PAGE, &memory);
    io->close(io->world, fd); /* the mapping stays */
    if (status)
        return status;
    control->page = memory;
    control->mapped = true;
    return 0;
}

int control_open_private(struct control *control, const struct io *io)
{
    *control = (struct control){.io = io, .page = aligned_alloc(CONTROL_PAGE, CONTROL_PAGE)};
    return control->page ? control_reset(control) : -ENOMEM;
}

void control_close(struct control *control)
{
    if (control->page && control->mapped)
        control->io->unmap(control->io->world, control->page, CONTROL_PAGE);
    else
        free(control->page);
    control->page = NULL;
}

/* What was seen of another epoch says nothing about this one. */
static void begin_view(struct control *control, uint64_t epoch)
{
    control->epoch = epoch;
    atomic_store(&control->seen_tail, 0);
    atomic_store(&control->seen_synced, 0);
    atomic_store(&control->failed, 0);
}

/* Whoever still comes out of a sleep that began before is not counted out here. */
static void begin_counts(struct control_page *page, uint64_t epoch)
{
    uint64_t none = epoch << 32;
    struct control_word *words[] = {&page->durable,   &page->append, &page->work,
                                    &page->attention, &page->flush,  &page->finished};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        atomic_store(&words[i]->sleepers, none);
    for (size_t i = 0; i < CONTROL_RESULTS; i++)
        atomic_store(&page->results[i].sleepers, none);
}

int control_reset(struct control *control)
{
    const struct io *io = control->io;
    struct control_page *page = control->page;
    uint64_t epoch = 0;
    int status = io->random(io->world, &epoch, sizeof epoch);
    if (status)
        return status;
    atomic_store(&page->ready, 0);
    memset((void *)page, 0, sizeof *page);
    memcpy(page->magic, MAGIC, sizeof MAGIC);
    io->boot_id(io->world, page->boot_id);
    struct control_number *numbers[] = {&page->tail,      &page->next_id,      &page->head,
                                        &page->zeroed,    &page->first_lsn,    &page->synced,
                                        &page->next_due,  &page->segment_size};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        control_write_number(numbers[i], 0);
    begin_counts(page, epoch);
    begin_view(control, epoch);
    atomic_store(&page->epoch, epoch);
    return 0;
}

void control_make_ready(struct control *control)
{
    atomic_store_explicit(&control->page->ready, 1, memory_order_release);
}

void control_end_epoch(struct control *control)
{
    atomic_store_explicit(&control->page->ready, 0, memory_order_release);
}

bool control_join(struct control *control)
{
    struct control_page *page = control->page;
    unsigned char boot_id[16];
    control->io->boot_id(control->io->world, boot_id);
    bool ready = atomic_load_explicit(&page->ready, memory_order_acquire) == 1 &&
                 memcmp(page->magic, MAGIC, sizeof MAGIC) == 0 &&
                 memcmp(page->boot_id, boot_id, sizeof boot_id) == 0;
    begin_view(control, atomic_load(&page->epoch));
    return ready && !control_poisoned(control);
}

void control_fail(struct control *control)
{
    atomic_store(&control->failed, 1);
    if (atomic_load(&control->page->epoch) == control->epoch)
        atomic_store(&control->page->poisoned, 1);
    control_wake_all(control);
}

bool control_poisoned(struct control *control)
{
    struct control_page *page = control->page;
    if (atomic_load_explicit(&control->failed, memory_order_relaxed))
        return true;
    if (atomic_load_explicit(&page->poisoned, memory_order_acquire) == 0 &&
        atomic_load_explicit(&page->epoch, memory_order_relaxed) == control->epoch)
        return false;
    atomic_store(&control->failed, 1);
    return true;
}

/* ---- the numbers ---- */

uint64_t control_older(const struct control_number *number)
{
    uint64_t value = atomic_load(&number->value), check = ~atomic_load(&number->check);
    return value < check ? value : check;
}

bool control_read_number(const struct control_number *number, uint64_t *out)
{
    uint64_t check = ~atomic_load_explicit(&number->check, memory_order_acquire);
    *out = atomic_load_explicit(&number->value, memory_order_relaxed);
    return *out == check;
}

void control_write_number(struct control_number *number, uint64_t value)
{
    atomic_store_explicit(&number->value, value, memory_order_release);
    atomic_store_explicit(&number->check, ~value, memory_order_release);
}

/* A writer that died between the two halves has left a larger value and the complement of the
 * number before it. Other halves that don't match are garbage. */
static bool half_written(const struct control_number *number, uint64_t *older)
{
    *older = ~atomic_load(&number->check);
    uint64_t value = atomic_load(&number->value);
    return value >= *older && value - *older <= STEP_MOST;
}

bool control_read_growing(const struct control_number *number, uint64_t *out)
{
    for (int i = 0; i < TRIES; i++)
        if (control_read_number(number, out))
            return true;
    return half_written(number, out);
}

static uint64_t read_growing(struct control *control, const struct control_number *number,
                             _Atomic uint64_t *seen)
{
    uint64_t before = atomic_load(seen), value;
    if (!control_read_growing(number, &value) || value < before) {
        control_fail(control);
        return before;
    }
    while (before < value && !atomic_compare_exchange_weak(seen, &before, value))
        continue;
    return value;
}

uint64_t control_tail(struct control *control)
{
    return read_growing(control, &control->page->tail, &control->seen_tail);
}

uint64_t control_synced(struct control *control)
{
    return read_growing(control, &control->page->synced, &control->seen_synced);
}

/* ---- the words ---- */

/* Whoever the count knows of or not: what counts is spoiled with the rest of a page. */
static void wake_surely(const struct io *io, struct control_word *word)
{
    atomic_fetch_add(&word->value, 1);
    io->futex_wake(io->world, (uint32_t *)&word->value, CONTROL_ALL, IO_FUTEX_SHARED, IO_ALL_BITS);
}

void control_wake_all(struct control *control)
{
    const struct io *io = control->io;
    struct control_page *page = control->page;
    struct control_word *words[] = {&page->work,  &page->attention, &page->durable,
                                    &page->flush, &page->finished,  &page->append};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        wake_surely(io, words[i]);
    for (size_t i = 0; i < CONTROL_RESULTS; i++)
        wake_surely(io, &page->results[i]);
}
