/* damage.c: see damage.h. */
#include "damage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "random.h"

enum { SECTOR = 512, COPY_AT = 2048, COPY_SIZE = 128, FILLS = 6, HALF = SECTOR / 2 };

static void say(struct exhibit *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct exhibit *e, const char *format, ...)
{
    va_list arguments;
    size_t used = strlen(e->text);
    va_start(arguments, format);
    vsnprintf(e->text + used, sizeof e->text - used, format, arguments);
    va_end(arguments);
}

/* ---- places ---- */

static uint64_t all_bytes(const struct reference *r)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < r->file_count; i++)
        bytes += r->files[i].size;
    return bytes;
}

static uint64_t all_sectors(const struct reference *r)
{
    return all_bytes(r) / SECTOR;
}

struct place {
    size_t file;
    size_t at;
};

/* The n-th byte of all files. */
static struct place place_of(const struct reference *r, uint64_t n)
{
    struct place place = {0};
    while (n >= r->files[place.file].size)
        n -= r->files[place.file++].size;
    place.at = (size_t)n;
    return place;
}

static struct place sector_of(const struct reference *r, uint64_t n)
{
    return place_of(r, n * SECTOR);
}

static const char *name_of(const struct exhibit *e, size_t file)
{
    return e->reference->files[file].path;
}

/* ---- changing files ---- */

/* The bytes of a file, to be written to. */
static unsigned char *own(struct exhibit *e, size_t file)
{
    const struct reference_file *as_was = &e->reference->files[file];
    if (!e->own[file]) {
        e->own[file] = malloc(as_was->size);
        if (!e->own[file])
            abort();
        memcpy(e->own[file], as_was->bytes, as_was->size);
        e->files[file] = (struct exhibit_file){
            .bytes = e->own[file], .size = as_was->size, .changed = true};
    }
    return e->own[file];
}

static void put_sector(struct exhibit *e, struct place to, const unsigned char *bytes)
{
    memcpy(own(e, to.file) + to.at, bytes, SECTOR);
}

static const unsigned char *sector_at(const struct exhibit *e, struct place at)
{
    return e->reference->files[at.file].bytes + at.at;
}

static void lose_file(struct exhibit *e, size_t file)
{
    e->files[file] = (struct exhibit_file){.changed = true};
}

/* Give a file other bytes; up to its old size. */
static void replace_file(struct exhibit *e, size_t file, const unsigned char *bytes, size_t size)
{
    unsigned char *to = own(e, file);
    if (size > e->files[file].size)
        size = e->files[file].size;
    if (size)
        memcpy(to, bytes, size);
    e->files[file].size = size;
}

static void randomize(unsigned char *bytes, size_t length, uint64_t *chance)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(random_next(chance) >> 40);
}

/* ---- bits and lengths ---- */

static uint64_t count_bits(const struct reference *r)
{
    return all_bytes(r) * 8;
}

static void flip_bit(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    (void)chance;
    struct place p = place_of(e->reference, index / 8);
    own(e, p.file)[p.at] ^= (unsigned char)(1U << index % 8);
    say(e, "%s byte %zu bit %u", name_of(e, p.file), p.at, (unsigned)(index % 8));
}

static void cut_file(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    (void)chance;
    struct place p = place_of(e->reference, index);
    (void)own(e, p.file);
    e->files[p.file].size = p.at;
    say(e, "%s cut to %zu bytes", name_of(e, p.file), p.at);
}

/* ---- sectors ---- */

static uint64_t count_fills(const struct reference *r)
{
    return all_sectors(r) * FILLS;
}

static void fill_sector(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    static const char *const how[FILLS] = {"zeros",        "ones",       "garbage",
                                           "half garbage", "half zeros", "another"};
    struct place p = sector_of(e->reference, index / FILLS);
    unsigned char *to = own(e, p.file) + p.at;
    struct place other = sector_of(e->reference, random_below(chance, all_sectors(e->reference)));
    switch (index % FILLS) {
    case 0: memset(to, 0, SECTOR); break;
    case 1: memset(to, 0xff, SECTOR); break;
    case 2: randomize(to, SECTOR, chance); break;
    case 3: randomize(to + HALF, HALF, chance); break;
    case 4: memset(to, 0, HALF); break;
    default: put_sector(e, p, sector_at(e, other));
    }
    say(e, "%s sector at %zu: %s", name_of(e, p.file), p.at, how[index % FILLS]);
}

static uint64_t count_pairs(const struct reference *r)
{
    return all_sectors(r) * all_sectors(r);
}

static void swap_sectors(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    (void)chance;
    uint64_t sectors = all_sectors(e->reference);
    struct place a = sector_of(e->reference, index / sectors);
    struct place b = sector_of(e->reference, index % sectors);
    put_sector(e, a, sector_at(e, b));
    put_sector(e, b, sector_at(e, a));
    say(e, "sectors swapped: %s at %zu, %s at %zu", name_of(e, a.file), a.at, name_of(e, b.file),
        b.at);
}

static void double_sector(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    (void)chance;
    uint64_t sectors = all_sectors(e->reference);
    struct place a = sector_of(e->reference, index / sectors);
    struct place b = sector_of(e->reference, index % sectors);
    put_sector(e, b, sector_at(e, a));
    say(e, "the sector of %s at %zu also in %s at %zu", name_of(e, a.file), a.at,
        name_of(e, b.file), b.at);
}

/* The bytes of a file in another disk; zeros from its end on. To be freed. */
static unsigned char *load_as(const struct disk *disk, const char *path, size_t size)
{
    size_t length;
    unsigned char *bytes = disk_load(disk, path, &length);
    unsigned char *whole = calloc(1, size);
    if (!whole)
        abort();
    if (bytes)
        memcpy(whole, bytes, length < size ? length : size);
    free(bytes);
    return whole;
}

static uint64_t count_stale(const struct reference *r)
{
    return all_sectors(r) * r->age_count;
}

static void make_stale(struct exhibit *e, uint64_t index, size_t length)
{
    const struct reference *r = e->reference;
    struct place p = sector_of(r, index / r->age_count);
    size_t size = r->files[p.file].size;
    unsigned char *old = load_as(r->ages[index % r->age_count], name_of(e, p.file), size);
    memcpy(own(e, p.file) + p.at, old + p.at, length ? length : size - p.at);
    free(old);
    say(e, "%s from %zu (%s) as it was at age %u", name_of(e, p.file), p.at,
        length ? "one sector" : "all", (unsigned)(index % r->age_count));
}

static void age_sector(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    (void)chance;
    make_stale(e, index, SECTOR);
}

static void age_rest(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    (void)chance;
    make_stale(e, index, 0);
}

static void mix_foreign(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    (void)chance;
    struct place p = sector_of(e->reference, index);
    const struct reference_file *other = &e->foreign->files[p.file % e->foreign->file_count];
    put_sector(e, p, other->bytes + p.at);
    say(e, "%s sector at %zu: that of another log", name_of(e, p.file), p.at);
}

/* ---- headers: both copies ---- */

static uint64_t count_headers(const struct reference *r)
{
    return r->file_count * FILLS;
}

static void spoil_headers(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    static const char *const how[FILLS] = {"zeros", "ones", "garbage", "another segment's",
                                           "another log's", "a page of zeros"};
    const struct reference *r = e->reference;
    size_t file = (size_t)(index / FILLS), next = (file + 1) % r->file_count;
    for (size_t at = 0; at <= COPY_AT; at += COPY_AT) {
        unsigned char *to = own(e, file) + at;
        switch (index % FILLS) {
        case 0: memset(to, 0, COPY_SIZE); break;
        case 1: memset(to, 0xff, COPY_SIZE); break;
        case 2: randomize(to, COPY_SIZE, chance); break;
        case 3: memcpy(to, r->files[next].bytes, COPY_SIZE); break;
        case 4: memcpy(to, e->foreign->files[0].bytes, COPY_SIZE); break;
        default: memset(to, 0, COPY_AT); break;
        }
    }
    e->strange = index % FILLS == 4;
    say(e, "both headers of %s: %s", name_of(e, file), how[index % FILLS]);
}

/* ---- files ---- */

static uint64_t count_sets(const struct reference *r)
{
    return (UINT64_C(1) << r->file_count) - 1;
}

static void lose_files(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    (void)chance;
    say(e, "missing:");
    for (size_t i = 0; i < e->reference->file_count; i++)
        if ((index + 1) >> i & 1) {
            lose_file(e, i);
            say(e, " %s", name_of(e, i));
        }
}

/* A log of one file, if that is another log's, is another log. */
static uint64_t count_foreign(const struct reference *r)
{
    return r->file_count > 1 ? r->file_count * r->file_count : 0;
}

/* A segment of another log in the place of one. */
static void take_foreign(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    (void)chance;
    size_t file = (size_t)index / e->reference->file_count;
    size_t other = (size_t)index % e->reference->file_count % e->foreign->file_count;
    replace_file(e, file, e->foreign->files[other].bytes, e->foreign->files[other].size);
    e->strange = true;
    say(e, "%s: segment %zu of another log", name_of(e, file), other);
}

static void segment_path(uint64_t base, char out[SEGMENT_NAME + sizeof REFERENCE_PATH])
{
    char name[SEGMENT_NAME];
    segment_name(base, name);
    snprintf(out, SEGMENT_NAME + sizeof REFERENCE_PATH, REFERENCE_PATH "%.*s", SEGMENT_NAME - 1,
             name);
}

enum { BASES = 7 };

/* Where a file may come to stand that does not belong there; false: one of the log stands there. */
static bool draw_base(const struct exhibit *e, uint64_t way, uint64_t *chance, uint64_t *base)
{
    const struct reference *r = e->reference;
    const struct reference_file *last = &r->files[r->file_count - 1];
    const uint64_t bases[BASES] = {last->base + last->size,
                                   last->base + SEGMENT_HEADER,
                                   last->base + (UINT64_C(1) << 36),
                                   r->files[0].base + 24 * SECTOR,
                                   0,
                                   random_next(chance) >> 16,
                                   SEGMENT_BASE_END - SEGMENT_HEADER};
    *base = bases[way];
    for (size_t i = 0; i < r->file_count; i++)
        if (r->files[i].base == *base)
            return false;
    return true;
}

static uint64_t count_renames(const struct reference *r)
{
    return r->file_count * BASES;
}

static void place_copy(struct exhibit *e, uint64_t index, uint64_t *chance, bool away)
{
    const struct reference *r = e->reference;
    size_t file = (size_t)(index / BASES);
    char path[SEGMENT_NAME + sizeof REFERENCE_PATH];
    uint64_t base;
    if (!draw_base(e, index % BASES, chance, &base))
        return;
    segment_path(base, path);
    disk_store(e->disk, path, r->files[file].bytes, r->files[file].size);
    if (away)
        e->files[file] = (struct exhibit_file){.changed = true, .moved = true};
    e->strange = true;
    say(e, "%s %s %s", name_of(e, file), away ? "is named" : "also as", path);
}

static void rename_file(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    place_copy(e, index, chance, true);
}

static void double_file(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    place_copy(e, index, chance, false);
}

static uint64_t count_exchanges(const struct reference *r)
{
    return r->file_count * (r->file_count - 1) / 2;
}

static void exchange_names(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    (void)chance;
    size_t second = 1;
    for (; index >= second; second++)
        index -= second;
    size_t pair[2] = {(size_t)index, second};
    for (int i = 0; i < 2; i++) {
        const struct reference_file *other = &e->reference->files[pair[1 - i]];
        e->files[pair[i]] = (struct exhibit_file){
            .bytes = other->bytes, .size = other->size, .changed = true, .moved = true};
    }
    e->strange = true;
    say(e, "%s and %s have exchanged their names", name_of(e, pair[0]), name_of(e, pair[1]));
}

/* A segment that is no longer there, or as it was. */
static uint64_t count_returns(const struct reference *r)
{
    return r->age_count * r->history->segment_count;
}

static void bring_back(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    (void)chance;
    const struct reference *r = e->reference;
    char path[SEGMENT_NAME + sizeof REFERENCE_PATH];
    uint64_t base = r->history->segments[index / r->age_count].base;
    size_t length, file = 0;
    segment_path(base, path);
    unsigned char *bytes = disk_load(r->ages[index % r->age_count], path, &length);
    while (file < r->file_count && r->files[file].base != base)
        file++;
    if (bytes && file < r->file_count)
        replace_file(e, file, bytes, length);
    else if (bytes)
        disk_store(e->disk, path, bytes, length);
    e->strange = bytes && file == r->file_count;
    free(bytes);
    say(e, "%s is back from age %u", path, (unsigned)(index % r->age_count));
}

static const char *const JUNK[] = {
    "log/0000000000000000.log.tmp", "log/spare.tmp",        "log/some text",
    "log/FFFFFFFFFFFFFFFF.log",     "log/ffffffffffffffff.log", "log/00000000000fffff.log",
    "log/0000000000003000.log",     "log/0080000000000000.log", "log/.log"};
enum { JUNKS = sizeof JUNK / sizeof *JUNK, JUNK_SIZES = 4 };

static uint64_t count_junk(const struct reference *r)
{
    (void)r;
    return JUNKS * JUNK_SIZES * 2;
}

static void add_junk(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    static const size_t sizes[JUNK_SIZES] = {0, 7, SEGMENT_HEADER, 20000};
    static unsigned char bytes[20000];
    const char *path = JUNK[index % JUNKS];
    size_t size = sizes[index / JUNKS % JUNK_SIZES];
    bool zeros = index / JUNKS / JUNK_SIZES;
    if (zeros)
        memset(bytes, 0, sizeof bytes);
    else
        randomize(bytes, sizeof bytes, chance);
    disk_store(e->disk, path, bytes, size);
    e->strange = true;
    say(e, "%s: %zu bytes of %s", path, size, zeros ? "zeros" : "garbage");
}

/* ---- the small files, and what is no file ---- */

static const char *const SMALL[] = {"log/control", "log/lock", "log/poison", "log/spare",
                                    "log/quarantine"};
enum { SMALLS = sizeof SMALL / sizeof *SMALL, SMALL_WAYS = 8 };

static uint64_t count_small(const struct reference *r)
{
    (void)r;
    return SMALLS * SMALL_WAYS;
}

static void make_directory(struct exhibit *e, const char *path)
{
    const struct io *io = disk_process(e->disk);
    (void)disk_remove(e->disk, path);
    if (io->mkdir(io->world, IO_CWD, path))
        abort();
    e->hindered = true;
}

static void spoil_small(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    static const char *const how[SMALL_WAYS] = {"missing", "empty", "7 bytes", "ones", "garbage",
                                                "more garbage", "a directory", "'poisoned'"};
    static unsigned char bytes[70000];
    const char *path = SMALL[index / SMALL_WAYS];
    uint64_t way = index % SMALL_WAYS;
    memset(bytes, 0xff, sizeof bytes);
    (void)disk_remove(e->disk, path);
    if (way >= 4)
        randomize(bytes, sizeof bytes, chance);
    if (way == 6)
        make_directory(e, path);
    else if (way == 7)
        disk_store(e->disk, path, "poisoned", 8);
    else if (way > 0)
        disk_store(e->disk, path, bytes,
                   way == 1 ? 0 : way == 2 ? 7 : way == 5 ? sizeof bytes : SEGMENT_HEADER);
    e->hindered = e->hindered || (way > 0 && strcmp(path, "log/quarantine") == 0);
    say(e, "%s: %s", path, how[way]);
}

static uint64_t count_files(const struct reference *r)
{
    return r->file_count;
}

static void file_is_directory(struct exhibit *e, uint64_t index, uint64_t *chance)
{
    (void)chance;
    lose_file(e, (size_t)index);
    make_directory(e, name_of(e, (size_t)index));
    say(e, "%s is a directory", name_of(e, (size_t)index));
}

/* ---- all of them ---- */

const struct damage_family DAMAGE_FAMILIES[] = {
    {"bits flipped", count_bits, flip_bit},
    {"files cut short", all_bytes, cut_file},
    {"sectors filled", count_fills, fill_sector},
    {"sectors swapped", count_pairs, swap_sectors},
    {"sectors duplicated", count_pairs, double_sector},
    {"sectors stale", count_stale, age_sector},
    {"ends stale", count_stale, age_rest},
    {"sectors foreign", all_sectors, mix_foreign},
    {"headers lost", count_headers, spoil_headers},
    {"segments missing", count_sets, lose_files},
    {"segments foreign", count_foreign, take_foreign},
    {"segments renamed", count_renames, rename_file},
    {"names exchanged", count_exchanges, exchange_names},
    {"segments doubled", count_renames, double_file},
    {"segments back", count_returns, bring_back},
    {"files added", count_junk, add_junk},
    {"small files", count_small, spoil_small},
    {"directories", count_files, file_is_directory},
};
const size_t DAMAGE_FAMILY_COUNT = sizeof DAMAGE_FAMILIES / sizeof *DAMAGE_FAMILIES;

/* ---- the copy ---- */

void exhibit_make(struct exhibit *out, const struct reference *reference,
                  const struct reference *foreign, const struct damage_family *family,
                  uint64_t index, uint64_t chance)
{
    *out = (struct exhibit){.reference = reference,
                            .foreign = foreign,
                            .disk = disk_copy(reference->disk)};
    for (size_t i = 0; i < reference->file_count; i++)
        out->files[i] = (struct exhibit_file){.bytes = reference->files[i].bytes,
                                              .size = reference->files[i].size};
    family->apply(out, index, &chance);
    for (size_t i = 0; i < reference->file_count; i++) {
        const struct exhibit_file *file = &out->files[i];
        if (file->changed && file->bytes)
            disk_store(out->disk, reference->files[i].path, file->bytes, file->size);
        else if (file->changed && !out->hindered)
            (void)disk_remove(out->disk, reference->files[i].path);
    }
}

void exhibit_free(struct exhibit *exhibit)
{
    disk_free(exhibit->disk);
    for (size_t i = 0; i < REFERENCE_FILES; i++)
        free(exhibit->own[i]);
}
