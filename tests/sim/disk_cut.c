/* disk_cut.c: copies of a disk, and what a power cut leaves of it. See disk.h for the rules.
 *
 * How a cut decides is itself chosen by chance, since a fair coin for each sector would hardly ever
 * lose just one of many, or all but one: each cut has its own odds for old, new and garbage.
 */
#include <stdlib.h>
#include <string.h>

#include "disk_inside.h"
#include "random.h"

/* ---- copies ---- */

static void copy_names(struct disk_names *out, const struct disk_names *names)
{
    out->count = out->room = names->count;
    out->list = disk_grow(NULL, names->count + 1, sizeof *out->list);
    if (names->count)
        memcpy(out->list, names->list, names->count * sizeof *names->list);
}

static void copy_node(struct disk_node *out, const struct disk_node *node)
{
    *out = *node;
    if (!node->used)
        return;
    out->memory = NULL;
    out->cells = disk_grow(NULL, node->cell_count + 1, sizeof *out->cells);
    if (node->cell_count)
        memcpy(out->cells, node->cells, node->cell_count * sizeof *node->cells);
    for (size_t i = 0; i < out->cell_count; i++) {
        disk_page_share(out->cells[i].now);
        disk_page_share(out->cells[i].safe);
    }
    if (node->memory) {
        out->memory = node->memory; /* to be looked at only */
        disk_node_take_in(out);
        out->memory = NULL;
    }
}

struct disk *disk_snapshot(const struct disk *disk)
{
    struct disk *out = disk_new();
    disk_node_empty(&out->nodes[DISK_ROOT]);
    out->nodes = disk_grow(out->nodes, disk->node_count, sizeof *out->nodes);
    out->node_count = disk->node_count;
    for (size_t i = 0; i < disk->node_count; i++)
        copy_node(&out->nodes[i], &disk->nodes[i]);
    copy_names(&out->now, &disk->now);
    copy_names(&out->safe, &disk->safe);
    out->change_count = out->change_room = disk->change_count;
    out->changes = disk_grow(NULL, disk->change_count + 1, sizeof *out->changes);
    if (disk->change_count)
        memcpy(out->changes, disk->changes, disk->change_count * sizeof *disk->changes);
    out->next_number = disk->next_number;
    out->chance = disk->chance;
    out->boots = disk->boots;
    out->time_us = disk->time_us;
    out->process_count = disk->process_count; /* no two have the same mark, in copies neither */
    return out;
}

/* All that processes see is durable. */
static void make_durable(struct disk *disk)
{
    for (size_t i = 0; i < disk->node_count; i++)
        if (disk->nodes[i].used)
            disk_node_sync(&disk->nodes[i]);
    free(disk->safe.list);
    copy_names(&disk->safe, &disk->now);
    disk->change_count = 0;
    disk_sweep(disk);
}

struct disk *disk_copy(const struct disk *disk)
{
    struct disk *out = disk_snapshot(disk);
    make_durable(out);
    return out;
}

/* ---- what a cut decides by ---- */

struct odds {
    enum disk_fate fate;
    uint64_t *chance;
    unsigned old, renewed, garbage; /* of so many sectors each */
    unsigned names, sizes;          /* so many of ODDS are there */
    bool in_order;                  /* of changes of names only the last are missing */
};

enum { ODDS = 16 };

static unsigned draw(const struct odds *odds, unsigned below)
{
    return (unsigned)random_below(odds->chance, below);
}

static struct odds draw_odds(enum disk_fate fate, uint64_t *chance)
{
    static const unsigned weights[][3] = {{1, 1, 0}, {1, 1, 1}, {7, 1, 0}, {1, 7, 0},
                                          {0, 7, 1}, {7, 0, 1}, {0, 0, 1}, {1, 3, 1}};
    static const unsigned shares[] = {0, ODDS, ODDS / 2, ODDS - 2, 2};
    struct odds odds = {.fate = fate, .chance = chance};
    const unsigned *weight = weights[draw(&odds, 8)];
    odds.old = weight[0];
    odds.renewed = weight[1];
    odds.garbage = weight[2];
    odds.names = shares[draw(&odds, 5)];
    odds.sizes = shares[draw(&odds, 5)];
    odds.in_order = draw(&odds, 2) == 0;
    return odds;
}

static bool happens(const struct odds *odds, unsigned share)
{
    if (odds->fate != DISK_MIX)
        return odds->fate == DISK_KEEP;
    return draw(odds, ODDS) < share;
}

/* ---- sectors ---- */

/* What was written to one place of a file stands at another. */
static void echo(const struct odds *odds, const struct disk_node *node, uint64_t offset,
                 unsigned char *out, size_t length)
{
    unsigned known = node->write_count < DISK_WRITES ? node->write_count : DISK_WRITES;
    uint64_t here = node->writes[draw(odds, known)], there = node->writes[draw(odds, known)];
    uint64_t from = offset + there - here; /* may wrap around, and then reads nothing */
    memset(out, 0, length);
    (void)disk_node_read(node, out, length, from);
}

static void spoil(const struct odds *odds, const struct disk_node *node, uint64_t offset,
                  const unsigned char *now, unsigned char *out, struct disk_dirt dirt)
{
    size_t length = (size_t)(dirt.to - dirt.from);
    switch (draw(odds, 4)) {
    case 0:
        for (size_t i = dirt.from; i < dirt.to; i++)
            out[i] = (unsigned char)random_next(odds->chance);
        return;
    case 1: memset(out + dirt.from, 0, length); return;
    case 2: {
        size_t half = draw(odds, (unsigned)length + 1);
        bool first = draw(odds, 2) == 0;
        size_t from = first ? dirt.from : dirt.from + half;
        memcpy(out + from, now + from, first ? half : length - half);
        return;
    }
    default:
        if (node->write_count)
            echo(odds, node, offset + dirt.from, out + dirt.from, length);
    }
}

/* One sector of the durable page becomes what the cut makes of it. */
static void decide_sector(const struct odds *odds, const struct disk_node *node, size_t index,
                          size_t sector)
{
    struct disk_cell *cell = &node->cells[index];
    struct disk_dirt dirt = cell->dirt[sector];
    size_t at = sector * DISK_SECTOR;
    unsigned lot = draw(odds, odds->old + odds->renewed + odds->garbage);
    static const unsigned char zeros[DISK_SECTOR];
    if (odds->fate == DISK_LOSE || (odds->fate == DISK_MIX && lot < odds->old))
        return;
    const unsigned char *now = cell->now ? cell->now->bytes + at : zeros;
    unsigned char *out = disk_page_own(&cell->safe) + at;
    if (odds->fate == DISK_KEEP || lot < odds->old + odds->renewed)
        memcpy(out, now, DISK_SECTOR);
    else
        spoil(odds, node, (uint64_t)index * DISK_PAGE + at, now, out, dirt);
}

static void decide_cell(const struct odds *odds, const struct disk_node *node, size_t index)
{
    struct disk_cell *cell = &node->cells[index];
    bool changed = false;
    for (size_t i = 0; i < DISK_SECTORS; i++) {
        if (cell->dirt[i].to == 0)
            continue;
        changed = true;
        decide_sector(odds, node, index, i);
    }
    if (changed)
        disk_page_tidy(&cell->safe);
}

static uint64_t decide_size(const struct odds *odds, const struct disk_node *node)
{
    uint64_t grown = node->size - node->safe_size;
    if (grown == 0 || !happens(odds, odds->sizes))
        return node->safe_size;
    if (odds->fate == DISK_KEEP || draw(odds, 2) == 0)
        return node->size;
    uint64_t size = node->safe_size + random_below(odds->chance, grown + 1);
    uint64_t whole = size / DISK_SECTOR * DISK_SECTOR;
    return draw(odds, 2) && whole > node->safe_size ? whole : size;
}

/* Behind its size a file has nothing, and zeros if it grows again. */
static void shorten(struct disk_node *node, uint64_t size)
{
    size_t count = (size_t)((size + DISK_PAGE - 1) / DISK_PAGE), rest = (size_t)(size % DISK_PAGE);
    for (size_t i = count; i < node->cell_count; i++) {
        disk_page_drop(node->cells[i].now);
        disk_page_drop(node->cells[i].safe);
    }
    if (count < node->cell_count)
        node->cell_count = count;
    if (rest && count <= node->cell_count && node->cells[count - 1].safe) {
        memset(disk_page_own(&node->cells[count - 1].safe) + rest, 0, DISK_PAGE - rest);
        disk_page_tidy(&node->cells[count - 1].safe);
    }
    node->size = node->safe_size = size;
}

static void decide_node(const struct odds *odds, struct disk_node *node)
{
    for (size_t i = 0; i < node->cell_count; i++)
        decide_cell(odds, node, i);
    shorten(node, decide_size(odds, node));
    for (size_t i = 0; i < node->cell_count; i++) {
        struct disk_cell *cell = &node->cells[i];
        if (cell->now != cell->safe) {
            disk_page_drop(cell->now);
            cell->now = disk_page_share(cell->safe);
        }
        memset(cell->dirt, 0, sizeof cell->dirt);
    }
    node->write_count = 0;
    node->lost = false;
}

/* ---- names ---- */

static bool is_named(const struct disk_names *names, uint32_t node)
{
    bool named = node == DISK_ROOT;
    for (size_t i = 0; i < names->count; i++)
        named = named || names->list[i].node == node;
    return named;
}

/* What stands in a directory that is lost is lost with it. */
static void drop_lost(struct disk_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (is_named(names, names->list[i].directory))
            continue;
        names->list[i] = names->list[--names->count];
        i = (size_t)-1; /* it may have been a directory: look at all of them again */
    }
}

static void decide_names(const struct odds *odds, struct disk *disk)
{
    bool chosen[disk->change_count + 1];
    size_t kept = draw(odds, (unsigned)disk->change_count + 1);
    for (size_t i = 0; i < disk->change_count; i++)
        chosen[i] = odds->fate == DISK_MIX && odds->in_order ? i < kept
                                                             : happens(odds, odds->names);
    disk_settle(disk, chosen);
    disk->change_count = 0;
    drop_lost(&disk->safe);
    free(disk->now.list);
    copy_names(&disk->now, &disk->safe);
}

/* ---- the cut ---- */

struct disk *disk_cut(const struct disk *disk, enum disk_fate fate, uint64_t *chance)
{
    struct odds odds = draw_odds(fate, chance);
    struct disk *out = disk_snapshot(disk);
    decide_names(&odds, out);
    disk_sweep(out);
    for (size_t i = 0; i < out->node_count; i++)
        if (out->nodes[i].used)
            decide_node(&odds, &out->nodes[i]);
    out->boots++;
    out->chance = random_next(chance) | 1;
    return out;
}

/* ---- writing back ---- */

static void write_back_cell(struct disk_node *node, size_t index, uint64_t *chance)
{
    struct disk_cell *cell = &node->cells[index];
    for (size_t i = 0; i < DISK_SECTORS; i++) {
        if (cell->dirt[i].to == 0 || random_below(chance, 2))
            continue;
        size_t at = i * DISK_SECTOR;
        unsigned char *out = disk_page_own(&cell->safe) + at;
        if (cell->now)
            memcpy(out, cell->now->bytes + at, DISK_SECTOR);
        else
            memset(out, 0, DISK_SECTOR);
        cell->dirt[i] = (struct disk_dirt){0};
    }
}

void disk_write_back(struct disk *disk, uint64_t *chance)
{
    for (size_t i = 0; i < disk->node_count; i++) {
        struct disk_node *node = &disk->nodes[i];
        if (!node->used || random_below(chance, 2))
            continue;
        disk_node_take_in(node);
        for (size_t k = 0; k < node->cell_count; k++)
            write_back_cell(node, k, chance);
        if (random_below(chance, 2))
            node->safe_size = node->size;
    }
    bool chosen[disk->change_count + 1];
    for (size_t i = 0; i < disk->change_count; i++)
        chosen[i] = random_below(chance, 2);
    disk_settle(disk, chosen);
}

size_t disk_at_stake(const struct disk *disk)
{
    size_t stake = disk->change_count;
    for (size_t i = 0; i < disk->node_count; i++)
        for (size_t k = 0; disk->nodes[i].used && k < disk->nodes[i].cell_count; k++)
            for (size_t s = 0; s < DISK_SECTORS; s++)
                stake += disk->nodes[i].cells[k].dirt[s].to != 0;
    return stake;
}
