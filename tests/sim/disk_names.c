/* disk_names.c: directories: what is named how, durably or not. See disk_inside.h. */
#include <stdlib.h>
#include <string.h>

#include "disk_inside.h"

/* ---- tables of names ---- */

static struct disk_entry *entry_of(const struct disk_names *names, uint32_t directory,
                                   const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (names->list[i].directory == directory && strcmp(names->list[i].name, name) == 0)
            return &names->list[i];
    return NULL;
}

uint32_t disk_find(const struct disk_names *names, uint32_t directory, const char *name)
{
    const struct disk_entry *entry = entry_of(names, directory, name);
    return entry ? entry->node : DISK_NO_NODE;
}

void disk_assign(struct disk_names *names, const struct disk_entry *entry)
{
    struct disk_entry *place = entry_of(names, entry->directory, entry->name);
    if (entry->node == DISK_NO_NODE) {
        if (place)
            *place = names->list[--names->count];
        return;
    }
    if (!place) {
        if (names->count == names->room) {
            names->room = names->room ? names->room * 2 : 16;
            names->list = disk_grow(names->list, names->room, sizeof *names->list);
        }
        place = &names->list[names->count++];
    }
    *place = *entry;
}

uint64_t disk_links(const struct disk *disk, uint32_t node)
{
    uint64_t links = node == DISK_ROOT;
    for (size_t i = 0; i < disk->now.count; i++)
        links += disk->now.list[i].node == node;
    return links;
}

/* ---- nodes ---- */

uint32_t disk_new_node(struct disk *disk, bool is_directory)
{
    size_t at = 0;
    while (at < disk->node_count && disk->nodes[at].used)
        at++;
    if (at == disk->node_count)
        disk->nodes = disk_grow(disk->nodes, ++disk->node_count, sizeof *disk->nodes);
    disk->nodes[at] = (struct disk_node){
        .used = true, .is_directory = is_directory, .number = ++disk->next_number};
    return (uint32_t)at;
}

static void mark_names(const struct disk_names *names, bool *reached)
{
    for (size_t i = 0; i < names->count; i++)
        reached[names->list[i].node] = true;
}

void disk_sweep(struct disk *disk)
{
    bool reached[disk->node_count];
    memset(reached, 0, sizeof reached);
    reached[DISK_ROOT] = true;
    mark_names(&disk->now, reached);
    mark_names(&disk->safe, reached);
    for (size_t i = 0; i < disk->change_count; i++)
        for (int k = 0; k < disk->changes[i].count; k++)
            if (disk->changes[i].parts[k].node != DISK_NO_NODE)
                reached[disk->changes[i].parts[k].node] = true;
    for (size_t i = 0; i < disk->file_count; i++)
        if (disk->files[i].process)
            reached[disk->files[i].node] = true;
    for (size_t i = 0; i < disk->map_count; i++)
        reached[disk->maps[i].node] = true;
    for (size_t i = 0; i < disk->node_count; i++)
        if (disk->nodes[i].used && !reached[i])
            disk_node_empty(&disk->nodes[i]);
}

/* ---- paths ---- */

static uint32_t above(const struct disk *disk, uint32_t node)
{
    for (size_t i = 0; i < disk->now.count; i++)
        if (disk->now.list[i].node == node)
            return disk->now.list[i].directory;
    return node;
}

uint32_t disk_walk(const struct disk *disk, uint32_t from, const char *path, char last[DISK_NAME])
{
    uint32_t at = path[0] == '/' ? DISK_ROOT : from;
    last[0] = '\0';
    while (*path) {
        size_t length = strcspn(path, "/");
        bool stays = length == 0 || (length == 1 && path[0] == '.');
        bool up = length == 2 && path[0] == '.' && path[1] == '.';
        if (up) {
            at = above(disk, last[0] ? disk_find(&disk->now, at, last) : at);
            last[0] = '\0';
        } else if (!stays) {
            if (last[0])
                at = disk_find(&disk->now, at, last);
            if (length >= DISK_NAME || at == DISK_NO_NODE || !disk->nodes[at].is_directory)
                return DISK_NO_NODE;
            memcpy(last, path, length);
            last[length] = '\0';
        }
        path += length;
        path += *path == '/';
    }
    return at;
}

uint32_t disk_resolve(const struct disk *disk, uint32_t from, const char *path)
{
    char last[DISK_NAME];
    uint32_t directory = disk_walk(disk, from, path, last);
    return directory == DISK_NO_NODE || !last[0] ? directory
                                                 : disk_find(&disk->now, directory, last);
}

/* ---- changes ---- */

void disk_change_names(struct disk *disk, const struct disk_change *change)
{
    for (int i = 0; i < change->count; i++)
        disk_assign(&disk->now, &change->parts[i]);
    if (disk->change_count == disk->change_room) {
        disk->change_room = disk->change_room ? disk->change_room * 2 : 16;
        disk->changes = disk_grow(disk->changes, disk->change_room, sizeof *disk->changes);
    }
    disk->changes[disk->change_count++] = *change;
}

static bool same_name(const struct disk_change *a, const struct disk_change *b)
{
    for (int i = 0; i < a->count; i++)
        for (int k = 0; k < b->count; k++)
            if (a->parts[i].directory == b->parts[k].directory &&
                strcmp(a->parts[i].name, b->parts[k].name) == 0)
                return true;
    return false;
}

void disk_settle(struct disk *disk, bool *chosen)
{
    for (size_t i = disk->change_count; i-- > 0;)
        for (size_t k = 0; chosen[i] && k < i; k++)
            chosen[k] = chosen[k] || same_name(&disk->changes[k], &disk->changes[i]);
    size_t left = 0;
    for (size_t i = 0; i < disk->change_count; i++) {
        const struct disk_change *change = &disk->changes[i];
        for (int k = 0; chosen[i] && k < change->count; k++)
            disk_assign(&disk->safe, &change->parts[k]);
        if (!chosen[i])
            disk->changes[left++] = *change;
    }
    disk->change_count = left;
}

void disk_sync_names(struct disk *disk, uint32_t directory)
{
    bool chosen[disk->change_count + 1];
    for (size_t i = 0; i < disk->change_count; i++) {
        struct disk_change *change = &disk->changes[i];
        chosen[i] = true;
        for (int k = 0; k < change->count; k++) {
            change->synced[k] = change->synced[k] || change->parts[k].directory == directory;
            chosen[i] = chosen[i] && change->synced[k];
        }
    }
    disk_settle(disk, chosen);
    disk_sweep(disk);
}
