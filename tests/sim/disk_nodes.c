/* disk_nodes.c: the content of files: pages that are shared until written to. See disk_inside.h. */
#include <stdlib.h>
#include <string.h>

#include "disk_inside.h"

static const unsigned char ZEROS[DISK_PAGE];

void *disk_grow(void *memory, size_t count, size_t size)
{
    void *grown = realloc(memory, count * size);
    if (!grown)
        abort();
    return grown;
}

/* ---- pages ---- */

void disk_page_drop(struct disk_page *page)
{
    if (page && --page->references == 0)
        free(page);
}

struct disk_page *disk_page_share(struct disk_page *page)
{
    if (page)
        page->references++;
    return page;
}

unsigned char *disk_page_own(struct disk_page **page)
{
    struct disk_page *old = *page;
    if (old && old->references == 1)
        return old->bytes;
    struct disk_page *own = disk_grow(NULL, 1, sizeof *own);
    own->references = 1;
    memcpy(own->bytes, old ? old->bytes : ZEROS, DISK_PAGE);
    disk_page_drop(old);
    *page = own;
    return own->bytes;
}

void disk_page_tidy(struct disk_page **page)
{
    if (*page && memcmp((*page)->bytes, ZEROS, DISK_PAGE) == 0) {
        disk_page_drop(*page);
        *page = NULL;
    }
}

/* ---- cells ---- */

void disk_node_reach(struct disk_node *node, uint64_t size)
{
    size_t count = (size_t)((size + DISK_PAGE - 1) / DISK_PAGE);
    if (count <= node->cell_count)
        return;
    node->cells = disk_grow(node->cells, count, sizeof *node->cells);
    memset(node->cells + node->cell_count, 0, (count - node->cell_count) * sizeof *node->cells);
    node->cell_count = count;
}

void disk_node_empty(struct disk_node *node)
{
    for (size_t i = 0; i < node->cell_count; i++) {
        disk_page_drop(node->cells[i].now);
        disk_page_drop(node->cells[i].safe);
    }
    free(node->cells);
    free(node->memory);
    *node = (struct disk_node){.used = false};
}

/* [from, to) of the page was written. */
static void soil(struct disk_cell *cell, size_t from, size_t to)
{
    for (size_t i = from / DISK_SECTOR; i * DISK_SECTOR < to; i++) {
        struct disk_dirt *dirt = &cell->dirt[i];
        size_t begin = i * DISK_SECTOR;
        uint16_t first = (uint16_t)(from > begin ? from - begin : 0);
        uint16_t last = (uint16_t)(to - begin < DISK_SECTOR ? to - begin : DISK_SECTOR);
        if (dirt->to == 0 || first < dirt->from)
            dirt->from = first;
        if (last > dirt->to)
            dirt->to = last;
    }
}

static void write_cell(struct disk_node *node, size_t index, const unsigned char *bytes,
                       size_t from, size_t to)
{
    struct disk_cell *cell = &node->cells[index];
    bool nothing = memcmp(bytes, ZEROS, to - from) == 0;
    if (cell->now || !nothing)
        memcpy(disk_page_own(&cell->now) + from, bytes, to - from);
    if (nothing)
        disk_page_tidy(&cell->now);
    if (index == 0 && node->memory)
        memcpy(node->memory + from, bytes, to - from);
    soil(cell, from, to);
}

void disk_node_write(struct disk_node *node, const unsigned char *bytes, size_t length,
                     uint64_t offset)
{
    uint64_t end = offset + length;
    disk_node_reach(node, end);
    node->writes[node->write_count++ % DISK_WRITES] = offset;
    while (offset < end) {
        size_t from = (size_t)(offset % DISK_PAGE);
        size_t to = end - offset < DISK_PAGE - from ? from + (size_t)(end - offset) : DISK_PAGE;
        write_cell(node, (size_t)(offset / DISK_PAGE), bytes, from, to);
        bytes += to - from;
        offset += to - from;
    }
    if (node->size < end)
        node->size = end;
}

size_t disk_node_read(const struct disk_node *node, unsigned char *out, size_t length,
                      uint64_t offset)
{
    if (offset >= node->size)
        return 0;
    if (length > node->size - offset)
        length = (size_t)(node->size - offset);
    for (size_t done = 0; done < length;) {
        size_t index = (size_t)((offset + done) / DISK_PAGE);
        size_t from = (size_t)((offset + done) % DISK_PAGE);
        size_t n = length - done < DISK_PAGE - from ? length - done : DISK_PAGE - from;
        const struct disk_page *page = node->cells[index].now;
        const unsigned char *bytes = page ? page->bytes : ZEROS;
        if (index == 0 && node->memory)
            bytes = node->memory;
        memcpy(out + done, bytes + from, n);
        done += n;
    }
    return length;
}

void disk_node_take_in(struct disk_node *node)
{
    if (!node->memory)
        return;
    memcpy(disk_page_own(&node->cells[0].now), node->memory, DISK_PAGE);
    soil(&node->cells[0], 0, DISK_PAGE);
}

/* Of a file of which a sync has failed, only what was written since then becomes durable. */
static void sync_dirt(struct disk_cell *cell)
{
    const unsigned char *now = cell->now ? cell->now->bytes : ZEROS;
    unsigned char *safe = disk_page_own(&cell->safe);
    for (size_t i = 0; i < DISK_SECTORS; i++)
        if (cell->dirt[i].to)
            memcpy(safe + i * DISK_SECTOR, now + i * DISK_SECTOR, DISK_SECTOR);
    disk_page_tidy(&cell->safe);
}

void disk_node_lose(struct disk_node *node)
{
    disk_node_take_in(node);
    for (size_t i = 0; i < node->cell_count; i++)
        memset(node->cells[i].dirt, 0, sizeof node->cells[i].dirt);
    node->lost = true;
}

void disk_node_sync(struct disk_node *node)
{
    disk_node_take_in(node);
    for (size_t i = 0; i < node->cell_count; i++) {
        struct disk_cell *cell = &node->cells[i];
        if (cell->safe != cell->now && node->lost) {
            sync_dirt(cell);
        } else if (cell->safe != cell->now) {
            disk_page_drop(cell->safe);
            cell->safe = disk_page_share(cell->now);
        }
        memset(cell->dirt, 0, sizeof cell->dirt);
    }
    node->safe_size = node->size;
}
