/* disk.c: see disk.h. The table of functions: descriptors, locks, maps, clocks, processes. */
#include "disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk_inside.h"
#include "random.h"

enum { FIRST_FD = 3 };

/* ---- who looks on ---- */

static struct disk *disk_of(void *w)
{
    return ((struct disk_process *)w)->disk;
}

static void tell_before(struct disk *disk, const struct disk_call *call)
{
    disk->time_us++;
    if (disk->watch.before)
        disk->watch.before(disk->watch.context, call);
}

static ssize_t tell_after(struct disk *disk, const struct disk_call *call, ssize_t status)
{
    if (disk->watch.after)
        disk->watch.after(disk->watch.context, call, status);
    return status;
}

void disk_look_on(struct disk *disk, const struct disk_watch *watch)
{
    disk->watch = *watch;
}

void disk_lie(struct disk *disk, enum disk_kind kind, uint64_t n)
{
    disk->lies[kind] = n;
}

/* Whether this call is to do nothing. */
static bool is_lie(struct disk *disk, enum disk_kind kind)
{
    uint64_t *left = &disk->lies[kind];
    return *left == DISK_ALWAYS || (*left && --*left == 0);
}

bool disk_changes(enum disk_kind kind)
{
    static const bool changes[DISK_KINDS] = {
        [DISK_CREATE] = true,    [DISK_WRITE] = true,  [DISK_DATA_SYNC] = true,
        [DISK_NAME_SYNC] = true, [DISK_RENAME] = true, [DISK_UNLINK] = true,
        [DISK_MKDIR] = true};
    return changes[kind];
}

const char *disk_kind_name(enum disk_kind kind)
{
    static const char *const names[DISK_KINDS] = {
        "open",   "create", "close", "read", "write", "fdatasync", "fsync", "stat",
        "rename", "unlink", "mkdir", "list", "lock",  "map",       "unmap"};
    return names[kind];
}

/* ---- descriptors ---- */

static struct disk_file *file_of(struct disk *disk, int fd)
{
    size_t at = (size_t)(fd - FIRST_FD);
    return fd >= FIRST_FD && at < disk->file_count && disk->files[at].process ? &disk->files[at]
                                                                             : NULL;
}

static struct disk_node *node_of(struct disk *disk, int fd)
{
    const struct disk_file *file = file_of(disk, fd);
    return file ? &disk->nodes[file->node] : NULL;
}

/* The node of a directory that is open, or of the root for IO_CWD. */
static uint32_t directory_of(struct disk *disk, int fd)
{
    if (fd == IO_CWD)
        return DISK_ROOT;
    const struct disk_file *file = file_of(disk, fd);
    return file && disk->nodes[file->node].is_directory ? file->node : DISK_NO_NODE;
}

static const char *name_of(const struct disk *disk, uint32_t node)
{
    for (size_t i = 0; i < disk->now.count; i++)
        if (disk->now.list[i].node == node)
            return disk->now.list[i].name;
    return "";
}

/* A call about an open file; its name costs a search, so only if somebody looks on. */
static struct disk_call call_of(void *w, enum disk_kind kind, int fd)
{
    struct disk_process *process = w;
    struct disk_call call = {.process = &process->table, .kind = kind, .name = ""};
    const struct disk_file *file = file_of(process->disk, fd);
    if (file && (process->disk->watch.before || process->disk->watch.after))
        call.name = name_of(process->disk, file->node);
    return call;
}

static int new_file(struct disk *disk, const struct io *process, uint32_t node, bool writable)
{
    size_t at = 0;
    while (at < disk->file_count && disk->files[at].process)
        at++;
    if (at == disk->file_count)
        disk->files = disk_grow(disk->files, ++disk->file_count, sizeof *disk->files);
    disk->files[at] = (struct disk_file){process, node, writable};
    return (int)at + FIRST_FD;
}

static void drop_locks(struct disk *disk, int fd)
{
    size_t left = 0;
    for (size_t i = 0; i < disk->lock_count; i++)
        if (disk->locks[i].fd != fd)
            disk->locks[left++] = disk->locks[i];
    disk->lock_count = left;
}

static void close_file(struct disk *disk, int fd)
{
    drop_locks(disk, fd);
    file_of(disk, fd)->process = NULL;
}

/* ---- opening ---- */

/* A change of one name. */
static struct disk_change change_of(uint32_t directory, const char *name, uint32_t node)
{
    struct disk_change change = {.count = 1, .parts = {{.directory = directory, .node = node}}};
    memcpy(change.parts[0].name, name, strnlen(name, DISK_NAME - 1));
    return change;
}

static int open_node(struct disk *disk, const struct io *process, uint32_t node, int flags)
{
    bool is_directory = disk->nodes[node].is_directory;
    if ((flags & IO_DIRECTORY) && !is_directory)
        return -ENOTDIR;
    if (is_directory && (flags & IO_WRITE))
        return -EISDIR;
    return new_file(disk, process, node, flags & IO_WRITE);
}

static int open_path(struct disk *disk, const struct disk_call *call, int dir, int flags)
{
    char last[DISK_NAME];
    uint32_t from = directory_of(disk, dir);
    if (from == DISK_NO_NODE)
        return -EBADF;
    uint32_t parent = disk_walk(disk, from, call->name, last);
    if (parent == DISK_NO_NODE)
        return -ENOENT;
    uint32_t node = last[0] ? disk_find(&disk->now, parent, last) : parent;
    if (node != DISK_NO_NODE && (flags & IO_CREATE) && (flags & IO_EXCLUSIVE))
        return -EEXIST;
    if (node == DISK_NO_NODE) {
        if (!(flags & IO_CREATE))
            return -ENOENT;
        node = disk_new_node(disk, false);
        struct disk_change change = change_of(parent, last, node);
        disk_change_names(disk, &change);
    }
    return open_node(disk, call->process, node, flags);
}

static int sim_open(void *w, int dir, const char *name, int flags)
{
    struct disk *disk = disk_of(w);
    struct disk_call call = call_of(w, DISK_OPEN, -1);
    call.name = name;
    bool exists = !(flags & IO_CREATE) ||
                  disk_resolve(disk, directory_of(disk, dir), name) != DISK_NO_NODE;
    call.kind = exists ? DISK_OPEN : DISK_CREATE;
    tell_before(disk, &call);
    return (int)tell_after(disk, &call, open_path(disk, &call, dir, flags));
}

static int sim_close(void *w, int fd)
{
    struct disk *disk = disk_of(w);
    struct disk_call call = call_of(w, DISK_CLOSE, fd);
    tell_before(disk, &call);
    if (!file_of(disk, fd))
        return (int)tell_after(disk, &call, -EBADF);
    close_file(disk, fd);
    return (int)tell_after(disk, &call, 0);
}

/* ---- bytes ---- */

static ssize_t sim_pread(void *w, int fd, void *buffer, size_t length, uint64_t offset)
{
    struct disk *disk = disk_of(w);
    struct disk_call call = call_of(w, DISK_READ, fd);
    call.offset = offset;
    call.length = length;
    tell_before(disk, &call);
    const struct disk_node *node = node_of(disk, fd);
    ssize_t n = !node                ? -EBADF
                : node->is_directory ? -EISDIR
                                     : (ssize_t)disk_node_read(node, buffer, length, offset);
    return tell_after(disk, &call, n);
}

/* The parts as one block, so that a sector of several parts is written once. */
static ssize_t write_parts(struct disk *disk, int fd, const struct disk_call *call)
{
    const struct disk_file *file = file_of(disk, fd);
    if (!file || !file->writable)
        return -EBADF;
    unsigned char *block = disk_grow(NULL, call->length + 1, 1);
    size_t length = 0;
    for (int i = 0; i < call->count; i++) {
        memcpy(block + length, call->parts[i].iov_base, call->parts[i].iov_len);
        length += call->parts[i].iov_len;
    }
    if (length)
        disk_node_write(&disk->nodes[file->node], block, length, call->offset);
    free(block);
    return (ssize_t)length;
}

static ssize_t sim_pwritev(void *w, int fd, const struct iovec *parts, int count, uint64_t offset)
{
    struct disk *disk = disk_of(w);
    struct disk_call call = call_of(w, DISK_WRITE, fd);
    call.offset = offset;
    call.parts = parts;
    call.count = count;
    for (int i = 0; i < count; i++)
        call.length += parts[i].iov_len;
    tell_before(disk, &call);
    return tell_after(disk, &call, write_parts(disk, fd, &call));
}

static int sim_fdatasync(void *w, int fd)
{
    struct disk *disk = disk_of(w);
    struct disk_call call = call_of(w, DISK_DATA_SYNC, fd);
    tell_before(disk, &call);
    struct disk_node *node = node_of(disk, fd);
    if (node && !is_lie(disk, DISK_DATA_SYNC))
        disk_node_sync(node);
    return (int)tell_after(disk, &call, node ? 0 : -EBADF);
}

void disk_fail_sync(const struct io *process, int fd)
{
    struct disk_node *node = node_of(disk_of(process->world), fd);
    if (node)
        disk_node_lose(node);
}

static int sim_fsync(void *w, int fd)
{
    struct disk *disk = disk_of(w);
    struct disk_call call = call_of(w, DISK_NAME_SYNC, fd);
    tell_before(disk, &call);
    uint32_t directory = directory_of(disk, fd);
    if (directory != DISK_NO_NODE && !is_lie(disk, DISK_NAME_SYNC))
        disk_sync_names(disk, directory);
    return (int)tell_after(disk, &call, directory != DISK_NO_NODE ? 0 : -EBADF);
}

static int sim_stat(void *w, int fd, struct io_stat *out)
{
    struct disk *disk = disk_of(w);
    struct disk_call call = call_of(w, DISK_STAT, fd);
    tell_before(disk, &call);
    const struct disk_file *file = file_of(disk, fd);
    if (!file)
        return (int)tell_after(disk, &call, -EBADF);
    const struct disk_node *node = &disk->nodes[file->node];
    *out = (struct io_stat){.size = node->size,
                            .device = 1,
                            .inode = node->number,
                            .links = disk_links(disk, file->node),
                            .is_directory = node->is_directory};
    return (int)tell_after(disk, &call, 0);
}

/* ---- names ---- */

/* Where `name` stands, of which no directory may be missing. */
static int find_place(struct disk *disk, int dir, const char *name, struct disk_entry *out)
{
    uint32_t from = directory_of(disk, dir);
    if (from == DISK_NO_NODE)
        return -EBADF;
    out->directory = disk_walk(disk, from, name, out->name);
    if (out->directory == DISK_NO_NODE || !out->name[0])
        return -ENOENT;
    out->node = disk_find(&disk->now, out->directory, out->name);
    return 0;
}

static int rename_entry(struct disk *disk, int dir, const char *from, int to_dir, const char *to)
{
    struct disk_entry source, target;
    int status = find_place(disk, dir, from, &source);
    if (status == 0 && source.node == DISK_NO_NODE)
        status = -ENOENT;
    if (status == 0)
        status = find_place(disk, to_dir, to, &target);
    if (status || target.node == source.node)
        return status;
    target.node = source.node;
    source.node = DISK_NO_NODE;
    struct disk_change change = {.parts = {source, target}, .count = 2};
    disk_change_names(disk, &change);
    return 0;
}

static int sim_rename(void *w, int dir, const char *from, int to_dir, const char *to)
{
    struct disk *disk = disk_of(w);
    struct disk_call call = call_of(w, DISK_RENAME, -1);
    call.name = to;
    tell_before(disk, &call);
    return (int)tell_after(disk, &call, rename_entry(disk, dir, from, to_dir, to));
}

static int unlink_entry(struct disk *disk, int dir, const char *name)
{
    struct disk_entry entry;
    int status = find_place(disk, dir, name, &entry);
    if (status || entry.node == DISK_NO_NODE)
        return status ? status : -ENOENT;
    if (disk->nodes[entry.node].is_directory)
        return -EISDIR;
    struct disk_change change = change_of(entry.directory, entry.name, DISK_NO_NODE);
    disk_change_names(disk, &change);
    return 0;
}

static int sim_unlink(void *w, int dir, const char *name)
{
    struct disk *disk = disk_of(w);
    struct disk_call call = call_of(w, DISK_UNLINK, -1);
    call.name = name;
    tell_before(disk, &call);
    return (int)tell_after(disk, &call, unlink_entry(disk, dir, name));
}

static int make_directory(struct disk *disk, int dir, const char *name)
{
    struct disk_entry entry;
    int status = find_place(disk, dir, name, &entry);
    if (status || entry.node != DISK_NO_NODE)
        return status ? status : -EEXIST;
    struct disk_change change =
        change_of(entry.directory, entry.name, disk_new_node(disk, true));
    disk_change_names(disk, &change);
    return 0;
}

static int sim_mkdir(void *w, int dir, const char *name)
{
    struct disk *disk = disk_of(w);
    struct disk_call call = call_of(w, DISK_MKDIR, -1);
    call.name = name;
    tell_before(disk, &call);
    return (int)tell_after(disk, &call, make_directory(disk, dir, name));
}

/* The names as they are now; `each` may change the directory. */
static int list_node(const struct disk *disk, uint32_t directory,
                     int (*each)(void *context, const char *name), void *context)
{
    struct disk_entry *list = disk_grow(NULL, disk->now.count + 1, sizeof *list);
    size_t count = disk->now.count;
    int status = 0;
    memcpy(list, disk->now.list, count * sizeof *list);
    for (size_t i = 0; status == 0 && i < count; i++)
        if (list[i].directory == directory)
            status = each(context, list[i].name);
    free(list);
    return status;
}

static int sim_list(void *w, int dir, int (*each)(void *context, const char *name), void *context)
{
    struct disk *disk = disk_of(w);
    struct disk_call call = call_of(w, DISK_LIST, dir);
    tell_before(disk, &call);
    uint32_t directory = directory_of(disk, dir);
    int status = (int)tell_after(disk, &call, directory == DISK_NO_NODE ? -EBADF : 0);
    return status ? status : list_node(disk, directory, each, context);
}

static bool sim_is_network(void *w, int dir)
{
    (void)w, (void)dir;
    return false;
}

/* ---- locks ---- */

static bool conflicts(const struct disk_lock *lock, int fd, uint32_t node, uint64_t byte, int mode)
{
    return lock->node == node && lock->byte == byte && lock->fd != fd &&
           (mode == IO_EXCLUSIVE_LOCK || lock->mode == IO_EXCLUSIVE_LOCK);
}

static void set_lock(struct disk *disk, int fd, uint32_t node, uint64_t byte, int mode)
{
    size_t at = 0;
    while (at < disk->lock_count && (disk->locks[at].fd != fd || disk->locks[at].byte != byte))
        at++;
    if (mode == IO_UNLOCK) {
        if (at < disk->lock_count)
            disk->locks[at] = disk->locks[--disk->lock_count];
        return;
    }
    if (at == disk->lock_room) {
        disk->lock_room = disk->lock_room ? disk->lock_room * 2 : 16;
        disk->locks = disk_grow(disk->locks, disk->lock_room, sizeof *disk->locks);
    }
    if (at == disk->lock_count)
        disk->lock_count++;
    disk->locks[at] = (struct disk_lock){fd, node, byte, mode};
}

static int take_lock(struct disk *disk, int fd, uint64_t byte, int mode)
{
    const struct disk_file *file = file_of(disk, fd);
    if (!file)
        return -EBADF;
    for (size_t i = 0; mode != IO_UNLOCK && i < disk->lock_count; i++)
        if (conflicts(&disk->locks[i], fd, file->node, byte, mode))
            return -EAGAIN;
    set_lock(disk, fd, file->node, byte, mode);
    return 0;
}

static int sim_lock(void *w, int fd, uint64_t byte, int mode)
{
    struct disk *disk = disk_of(w);
    struct disk_call call = call_of(w, DISK_LOCK, fd);
    call.offset = byte;
    call.length = (uint64_t)mode;
    tell_before(disk, &call);
    return (int)tell_after(disk, &call, take_lock(disk, fd, byte, mode));
}

/* ---- memory ---- */

static int map_file(struct disk *disk, const struct io *process, int fd, size_t size, void **out)
{
    const struct disk_file *file = file_of(disk, fd);
    if (!file || size > DISK_PAGE)
        return -EINVAL;
    struct disk_node *node = &disk->nodes[file->node];
    if (node->size < size) /* a program would get a SIGBUS */
        return -ENXIO;
    if (!node->memory) {
        unsigned char *memory = aligned_alloc(DISK_PAGE, DISK_PAGE);
        if (!memory)
            abort();
        memset(memory, 0, DISK_PAGE);
        (void)disk_node_read(node, memory, DISK_PAGE, 0);
        node->memory = memory;
    }
    if (disk->map_count == disk->map_room) {
        disk->map_room = disk->map_room ? disk->map_room * 2 : 4;
        disk->maps = disk_grow(disk->maps, disk->map_room, sizeof *disk->maps);
    }
    disk->maps[disk->map_count++] = (struct disk_map){process, file->node};
    *out = node->memory;
    return 0;
}

static void drop_map(struct disk *disk, size_t at)
{
    uint32_t number = disk->maps[at].node;
    struct disk_node *node = &disk->nodes[number];
    disk->maps[at] = disk->maps[--disk->map_count];
    for (size_t i = 0; i < disk->map_count; i++)
        if (disk->maps[i].node == number)
            return;
    disk_node_take_in(node);
    free(node->memory);
    node->memory = NULL;
}

static int sim_map(void *w, int fd, size_t size, void **out)
{
    struct disk *disk = disk_of(w);
    struct disk_call call = call_of(w, DISK_MAP, fd);
    tell_before(disk, &call);
    return (int)tell_after(disk, &call, map_file(disk, call.process, fd, size, out));
}

static void sim_unmap(void *w, void *memory, size_t size)
{
    struct disk *disk = disk_of(w);
    struct disk_call call = call_of(w, DISK_UNMAP, -1);
    (void)size;
    tell_before(disk, &call);
    for (size_t i = 0; i < disk->map_count; i++)
        if (disk->maps[i].process == call.process &&
            disk->nodes[disk->maps[i].node].memory == memory) {
            drop_map(disk, i);
            break;
        }
    (void)tell_after(disk, &call, 0);
}

/* ---- a world for one thread ---- */

static int lone_futex_wait(void *w, uint32_t *word, uint32_t expected, int64_t deadline_us,
                           int flags, uint32_t bits)
{
    struct disk *disk = disk_of(w);
    (void)bits;
    disk->time_us++;
    if (*word != expected)
        return 0;
    if (deadline_us < 0)
        return -EINTR; /* nobody will ever wake it */
    if (!(flags & IO_FUTEX_MONOTONIC))
        deadline_us -= DISK_BEGINNING_US;
    if (disk->time_us < deadline_us)
        disk->time_us = deadline_us;
    return -ETIMEDOUT;
}

static int lone_futex_wake(void *w, uint32_t *word, int count, int flags, uint32_t bits)
{
    (void)w, (void)word, (void)count, (void)flags, (void)bits;
    return 0;
}

static int64_t sim_monotonic_us(void *w)
{
    return ++disk_of(w)->time_us;
}

static int64_t sim_now_us(void *w)
{
    return DISK_BEGINNING_US + sim_monotonic_us(w);
}

static int sim_random(void *w, void *buffer, size_t length)
{
    struct disk *disk = disk_of(w);
    for (size_t i = 0; i < length; i++)
        ((unsigned char *)buffer)[i] = (unsigned char)(random_next(&disk->chance) >> 24);
    return 0;
}

static void sim_boot_id(void *w, unsigned char out[16])
{
    uint64_t state = disk_of(w)->boots * 2 + 1;
    for (int i = 0; i < 16; i++)
        out[i] = (unsigned char)(random_next(&state) >> 24);
}

static uint32_t sim_process_number(void *w)
{
    return ((struct disk_process *)w)->number;
}

static void sim_host_name(void *w, char *out, size_t size)
{
    static const char name[] = "simulated";
    (void)w;
    size_t length = size > sizeof name ? sizeof name : size;
    memcpy(out, name, length);
    if (length)
        out[length - 1] = '\0';
}

static void lone_mutex(void *w, struct io_mutex *m)
{
    (void)w, (void)m;
}

static bool lone_mutex_trylock(void *w, struct io_mutex *m)
{
    (void)w, (void)m;
    return true;
}

static int lone_thread_start(void *w, struct io_thread *out, void (*run)(void *arg), void *arg)
{
    (void)w, (void)out, (void)run, (void)arg;
    return -EAGAIN;
}

static void lone_thread_join(void *w, struct io_thread *thread)
{
    (void)w, (void)thread;
}

static int sim_at_fork(void *w, void (*before)(void), void (*parent)(void), void (*child)(void))
{
    (void)w, (void)before, (void)parent, (void)child;
    return 0;
}

static const struct io TABLE = {
    .open = sim_open,
    .close = sim_close,
    .pread = sim_pread,
    .pwritev = sim_pwritev,
    .fdatasync = sim_fdatasync,
    .fsync = sim_fsync,
    .stat = sim_stat,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .mkdir = sim_mkdir,
    .list = sim_list,
    .is_network = sim_is_network,
    .lock = sim_lock,
    .map = sim_map,
    .unmap = sim_unmap,
    .futex_wait = lone_futex_wait,
    .futex_wake = lone_futex_wake,
    .now_us = sim_now_us,
    .monotonic_us = sim_monotonic_us,
    .random = sim_random,
    .boot_id = sim_boot_id,
    .process_id = sim_process_number,
    .process_mark = sim_process_number,
    .host_name = sim_host_name,
    .mutex_init = lone_mutex,
    .mutex_destroy = lone_mutex,
    .mutex_lock = lone_mutex,
    .mutex_trylock = lone_mutex_trylock,
    .mutex_unlock = lone_mutex,
    .thread_start = lone_thread_start,
    .thread_join = lone_thread_join,
    .at_fork = sim_at_fork,
};

/* ---- disks and processes ---- */

struct disk *disk_new(void)
{
    struct disk *disk = calloc(1, sizeof *disk);
    if (!disk)
        abort();
    disk->chance = UINT64_C(0x9e3779b97f4a7c15);
    disk->time_us = 1000000;
    (void)disk_new_node(disk, true);
    return disk;
}

void disk_free(struct disk *disk)
{
    for (size_t i = 0; i < disk->node_count; i++)
        disk_node_empty(&disk->nodes[i]);
    while (disk->processes) {
        struct disk_process *next = disk->processes->next;
        free(disk->processes);
        disk->processes = next;
    }
    free(disk->nodes);
    free(disk->now.list);
    free(disk->safe.list);
    free(disk->changes);
    free(disk->files);
    free(disk->locks);
    free(disk->maps);
    free(disk);
}

const struct io *disk_process(struct disk *disk)
{
    struct disk_process *process = calloc(1, sizeof *process);
    if (!process)
        abort();
    process->table = TABLE;
    process->table.world = process;
    process->table.registry = &process->registry;
    process->disk = disk;
    process->number = ++disk->process_count;
    process->next = disk->processes;
    disk->processes = process;
    return &process->table;
}

const struct io *disk_io(struct disk *disk)
{
    struct disk_process *process = disk->processes;
    while (process && process->next)
        process = process->next;
    return process ? &process->table : disk_process(disk);
}

void disk_kill(struct disk *disk, const struct io *process)
{
    for (size_t i = 0; i < disk->file_count; i++)
        if (disk->files[i].process == process)
            close_file(disk, (int)i + FIRST_FD);
    for (size_t i = disk->map_count; i-- > 0;)
        if (disk->maps[i].process == process)
            drop_map(disk, i);
    struct disk_process **link = &disk->processes;
    while (&(*link)->table != process)
        link = &(*link)->next;
    struct disk_process *dead = *link;
    *link = dead->next;
    free(dead);
}

void disk_pass_time(struct disk *disk, int64_t us)
{
    disk->time_us += us;
}

int64_t disk_time(const struct disk *disk)
{
    return disk->time_us;
}

/* ---- files from outside ---- */

unsigned char *disk_load(const struct disk *disk, const char *path, size_t *length)
{
    uint32_t node = disk_resolve(disk, DISK_ROOT, path);
    if (node == DISK_NO_NODE || disk->nodes[node].is_directory)
        return NULL;
    unsigned char *bytes = disk_grow(NULL, (size_t)disk->nodes[node].size + 1, 1);
    *length = disk_node_read(&disk->nodes[node], bytes, (size_t)disk->nodes[node].size, 0);
    return bytes;
}

static void name_durably(struct disk *disk, const struct disk_entry *entry)
{
    disk_assign(&disk->now, entry);
    disk_assign(&disk->safe, entry);
}

void disk_store(struct disk *disk, const char *path, const void *bytes, size_t length)
{
    struct disk_entry entry = {.node = DISK_NO_NODE};
    entry.directory = disk_walk(disk, DISK_ROOT, path, entry.name);
    if (entry.directory == DISK_NO_NODE || !entry.name[0])
        abort();
    (void)disk_remove(disk, path);
    entry.node = disk_new_node(disk, false);
    name_durably(disk, &entry);
    struct disk_node *node = &disk->nodes[entry.node];
    if (length)
        disk_node_write(node, bytes, length, 0);
    disk_node_sync(node);
    node->write_count = 0;
}

bool disk_remove(struct disk *disk, const char *path)
{
    struct disk_entry entry;
    entry.directory = disk_walk(disk, DISK_ROOT, path, entry.name);
    if (entry.directory == DISK_NO_NODE ||
        disk_find(&disk->now, entry.directory, entry.name) == DISK_NO_NODE)
        return false;
    entry.node = DISK_NO_NODE;
    name_durably(disk, &entry);
    disk_sweep(disk);
    return true;
}

int disk_list(const struct disk *disk, const char *path,
              int (*each)(void *context, const char *name), void *context)
{
    uint32_t node = disk_resolve(disk, DISK_ROOT, path);
    return node == DISK_NO_NODE ? -ENOENT : list_node(disk, node, each, context);
}
