/* disk_inside.h: how the disk in memory is made; for its own files only.
 *
 * A file is a node: a row of cells of 4 KiB, each with the page that processes see and the page
 * that is durable, and for each of its sectors what was written since the last sync. Pages are
 * shared by all disks that were copied from one another, and never change while they are shared,
 * so that a copy costs a few pointers. No page: zeros.
 *
 * The names of all directories stand in one table, and in another one as they are durable. A change
 * of names that is not durable is a list of what it assigns: name := node, or name := nothing. It
 * is made durable when each directory that it touches was synced, together with earlier changes of
 * the same names.
 */
#ifndef QUPLOG_SIM_DISK_INSIDE_H
#define QUPLOG_SIM_DISK_INSIDE_H

#include "disk.h"

enum {
    DISK_PAGE = 4096,
    DISK_SECTOR = 512,
    DISK_SECTORS = DISK_PAGE / DISK_SECTOR, /* of a page */
    DISK_NAME = 64,
    DISK_WRITES = 8, /* so many of the last writes to a file are remembered */
    DISK_ROOT = 0,   /* the node of the root directory */
};

struct disk_page {
    unsigned references;
    unsigned char bytes[DISK_PAGE];
};

/* What was written of a sector and is not durable: [from, to). */
struct disk_dirt {
    uint16_t from, to;
};

struct disk_cell {
    struct disk_page *now;
    struct disk_page *safe;
    struct disk_dirt dirt[DISK_SECTORS];
};

struct disk_node {
    bool used;
    bool is_directory;
    uint64_t number; /* of the inode */
    uint64_t size;
    uint64_t safe_size;
    struct disk_cell *cells;
    size_t cell_count;
    unsigned char *memory; /* the first page while it is mapped */
    uint64_t writes[DISK_WRITES]; /* offsets */
    unsigned write_count;
    bool lost; /* a sync failed: what is neither dirty nor durable may never be */
};

struct disk_entry {
    uint32_t directory;
    uint32_t node;
    char name[DISK_NAME];
};

struct disk_names {
    struct disk_entry *list;
    size_t count, room;
};

enum { DISK_NO_NODE = 0xffffffff };

/* A change of names that is not durable; `node` may be DISK_NO_NODE. */
struct disk_change {
    struct disk_entry parts[2];
    int count;
    bool synced[2]; /* the directory of this part */
};

struct disk_file {
    const struct io *process; /* NULL: free */
    uint32_t node;
    bool writable;
};

struct disk_lock {
    int fd;
    uint32_t node;
    uint64_t byte;
    int mode;
};

struct disk_map {
    const struct io *process;
    uint32_t node;
};

struct disk_process {
    struct io table;
    struct io_registry registry;
    struct disk *disk;
    struct disk_process *next;
    uint32_t number;
};

struct disk {
    struct disk_node *nodes;
    size_t node_count;
    uint64_t next_number;
    struct disk_names now, safe;
    struct disk_change *changes;
    size_t change_count, change_room;
    struct disk_file *files;
    size_t file_count;
    struct disk_lock *locks;
    size_t lock_count, lock_room;
    struct disk_map *maps;
    size_t map_count, map_room;
    struct disk_process *processes;
    uint32_t process_count;
    struct disk_watch watch;
    uint64_t chance; /* of random() */
    uint64_t boots;
    uint64_t lies[DISK_KINDS]; /* the n-th from here does nothing; 0: none */
    int64_t time_us;
};

/* realloc() that does not fail. */
void *disk_grow(void *memory, size_t count, size_t size);

/* ---- pages and cells (disk_nodes.c) ---- */

void disk_page_drop(struct disk_page *page);
struct disk_page *disk_page_share(struct disk_page *page);
/* A page of one's own to write to, in place of *page. */
unsigned char *disk_page_own(struct disk_page **page);
/* Forget a page that holds only zeros. */
void disk_page_tidy(struct disk_page **page);
/* See that the node has a cell for each page of `size` bytes. */
void disk_node_reach(struct disk_node *node, uint64_t size);
void disk_node_empty(struct disk_node *node);
void disk_node_write(struct disk_node *node, const unsigned char *bytes, size_t length,
                     uint64_t offset);
size_t disk_node_read(const struct disk_node *node, unsigned char *out, size_t length,
                      uint64_t offset);
void disk_node_sync(struct disk_node *node);
/* The same failed. */
void disk_node_lose(struct disk_node *node);
/* What was mapped is to be seen in the pages, as written just now. */
void disk_node_take_in(struct disk_node *node);

/* ---- names (disk_names.c) ---- */

uint32_t disk_find(const struct disk_names *names, uint32_t directory, const char *name);
void disk_assign(struct disk_names *names, const struct disk_entry *entry);
uint32_t disk_new_node(struct disk *disk, bool is_directory);
/* The directory that `path` stands in and its last part; DISK_NO_NODE: there is none. */
uint32_t disk_walk(const struct disk *disk, uint32_t from, const char *path, char last[DISK_NAME]);
/* The node at `path`. */
uint32_t disk_resolve(const struct disk *disk, uint32_t from, const char *path);
/* Carry out a change, which is not durable. */
void disk_change_names(struct disk *disk, const struct disk_change *change);
void disk_sync_names(struct disk *disk, uint32_t directory);
/* Make changes[i] durable if `chosen[i]`, with those that it depends on; the others stay. */
void disk_settle(struct disk *disk, bool *chosen);
uint64_t disk_links(const struct disk *disk, uint32_t node);
/* Free the nodes that nothing leads to any more. */
void disk_sweep(struct disk *disk);

#endif
