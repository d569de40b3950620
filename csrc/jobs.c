/* jobs.c: see jobs.h. */
#include "jobs.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE_BITS = 8, PAGE_JOBS = 1 << PAGE_BITS };

struct page {
    uint64_t round; /* when it was last reserved */
    uint32_t live;
    struct job jobs[PAGE_JOBS];
};

struct jobs_region {
    uint64_t high;
    struct page **pages;
    size_t room;
};

static struct jobs_region *find_region(const struct jobs *jobs, uint64_t high)
{
    for (size_t i = jobs->region_count; i > 0; i--) /* the newest is asked for most */
        if (jobs->regions[i - 1].high == high)
            return &jobs->regions[i - 1];
    return NULL;
}

static struct jobs_region *add_region(struct jobs *jobs, uint64_t high)
{
    struct jobs_region *regions =
        realloc(jobs->regions, (jobs->region_count + 1) * sizeof *regions);
    if (!regions)
        return NULL;
    jobs->regions = regions;
    size_t at = jobs->region_count++;
    while (at > 0 && regions[at - 1].high > high) {
        regions[at] = regions[at - 1];
        at--;
    }
    regions[at] = (struct jobs_region){.high = high};
    return &regions[at];
}

static bool reserve_page(struct jobs *jobs, uint64_t id)
{
    struct jobs_region *region = find_region(jobs, id >> 32);
    if (!region && !(region = add_region(jobs, id >> 32)))
        return false;
    size_t index = (uint32_t)id >> PAGE_BITS;
    if (index >= region->room) {
        size_t room = region->room ? region->room : 64;
        while (room <= index)
            room *= 2;
        struct page **pages = realloc(region->pages, room * sizeof *pages);
        if (!pages)
            return false;
        memset(pages + region->room, 0, (room - region->room) * sizeof *pages);
        jobs->bytes += (room - region->room) * sizeof *pages;
        region->pages = pages;
        region->room = room;
    }
    if (!region->pages[index]) {
        region->pages[index] = calloc(1, sizeof **region->pages);
        if (!region->pages[index])
            return false;
        jobs->bytes += sizeof **region->pages;
    }
    region->pages[index]->round = jobs->round;
    return true;
}

void jobs_begin(struct jobs *jobs)
{
    jobs->round++;
}

bool jobs_reserve(struct jobs *jobs, uint64_t first, uint64_t n)
{
    for (uint64_t id = first; id < first + n; id = (id | (PAGE_JOBS - 1)) + 1)
        if (!reserve_page(jobs, id))
            return false;
    return true;
}

static struct page *page_of(const struct jobs *jobs, uint64_t id)
{
    const struct jobs_region *region = find_region(jobs, id >> 32);
    size_t index = (uint32_t)id >> PAGE_BITS;
    return region && index < region->room ? region->pages[index] : NULL;
}

struct job *jobs_get(const struct jobs *jobs, uint64_t id)
{
    struct page *page = page_of(jobs, id);
    struct job *job = page ? &page->jobs[id & (PAGE_JOBS - 1)] : NULL;
    return job && job->state ? job : NULL;
}

struct job *jobs_add(struct jobs *jobs, uint64_t id)
{
    struct page *page = page_of(jobs, id);
    struct job *job = &page->jobs[id & (PAGE_JOBS - 1)];
    memset(job, 0, sizeof *job);
    page->live++;
    jobs->count++;
    return job;
}

void jobs_remove(struct jobs *jobs, uint64_t id)
{
    struct page *page = page_of(jobs, id);
    page->jobs[id & (PAGE_JOBS - 1)].state = 0;
    jobs->count--;
    if (--page->live == 0 && page->round != jobs->round) {
        find_region(jobs, id >> 32)->pages[(uint32_t)id >> PAGE_BITS] = NULL;
        jobs->bytes -= sizeof *page;
        free(page);
    }
}

/* The first (last) live job of a page at or behind (before) `slot`. */
static struct job *scan_page(struct page *page, int slot, int step, int *found)
{
    for (; slot >= 0 && slot < PAGE_JOBS; slot += step)
        if (page->jobs[slot].state) {
            *found = slot;
            return &page->jobs[slot];
        }
    return NULL;
}

static struct job *scan_region(const struct jobs_region *region, uint64_t from, int step,
                               uint64_t *id)
{
    if (region->room == 0)
        return NULL;
    uint64_t last = (uint64_t)region->room * PAGE_JOBS - 1;
    if (from > last) {
        if (step > 0)
            return NULL;
        from = last;
    }
    int slot = (int)(from & (PAGE_JOBS - 1));
    for (ptrdiff_t i = (ptrdiff_t)(from >> PAGE_BITS); i >= 0 && i < (ptrdiff_t)region->room;
         i += step) {
        int found;
        struct job *job = region->pages[i] ? scan_page(region->pages[i], slot, step, &found) : NULL;
        if (job) {
            *id = region->high << 32 | (uint64_t)i << PAGE_BITS | (uint64_t)found;
            return job;
        }
        slot = step > 0 ? 0 : PAGE_JOBS - 1;
    }
    return NULL;
}

struct job *jobs_next(const struct jobs *jobs, uint64_t after, bool backwards, uint64_t *id)
{
    if (backwards ? after == 0 : after == UINT64_MAX)
        return NULL;
    uint64_t from = backwards ? after - 1 : after + 1;
    uint64_t high = from >> 32;
    for (size_t n = 0; n < jobs->region_count; n++) {
        const struct jobs_region *region =
            &jobs->regions[backwards ? jobs->region_count - 1 - n : n];
        if (backwards ? region->high > high : region->high < high)
            continue;
        uint64_t start = region->high == high ? from & UINT32_MAX : backwards ? UINT32_MAX : 0;
        struct job *job = scan_region(region, start, backwards ? -1 : 1, id);
        if (job)
            return job;
    }
    return NULL;
}

void jobs_free(struct jobs *jobs)
{
    for (size_t r = 0; r < jobs->region_count; r++) {
        for (size_t i = 0; i < jobs->regions[r].room; i++)
            free(jobs->regions[r].pages[i]);
        free(jobs->regions[r].pages);
    }
    free(jobs->regions);
    *jobs = (struct jobs){0};
}
