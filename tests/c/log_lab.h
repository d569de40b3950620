/* log_lab.h: what the tests of the log share: jobs with a number in them, directories of logs that
 * are photographed, compared and damaged.
 *
 * A job's payload is made of its number alone, so that a job that is read back is either the one
 * that was put or visibly wrong. A photograph of a log's directory while nobody writes is what a
 * SIGKILL leaves behind: everything that was written, no goodbye.
 */
#ifndef QUPLOG_LOG_LAB_H
#define QUPLOG_LOG_LAB_H

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>

#include "faulty_io.h"
#include "open.h"
#include "segment.h"
#include "test.h"

enum { LAB_SEGMENT = 64 << 10, LAB_JOBS = 4096, LAB_PATH = 512, LAB_SEGMENTS = 128 };

static const quplog_spec LAB_SPEC = {
    .task = "work", .queue = "default", .task_length = 4, .queue_length = 7, .retries = 3};

/* ---- opening ---- */

/* Nothing is flushed but by the test: the flusher comes once an hour. */
static inline quplog_options lab_options(void)
{
    return (quplog_options){.segment_size = LAB_SEGMENT,
                            .lock_timeout_us = 10 * INT64_C(1000000),
                            .keep_succeeded_us = -1,
                            .keep_failed_us = -1,
                            .flush_interval_us = INT64_C(3600) * 1000000};
}

static inline int lab_try(struct faulty *f, const char *path, quplog **out, quplog_report *report)
{
    quplog_options options = lab_options();
    memset(report, 0, sizeof *report);
    return open_with(f ? faulty_io(f) : io_system(), path, &options, out, report);
}

static inline int lab_try_reading(const char *path, quplog **out, quplog_report *report)
{
    quplog_options options = lab_options();
    options.segment_size = 0;
    options.read_only = true;
    memset(report, 0, sizeof *report);
    return open_with(io_system(), path, &options, out, report);
}

static inline quplog *lab_open(struct faulty *f, const char *path)
{
    quplog *q = NULL;
    quplog_report report;
    int status = lab_try(f, path, &q, &report);
    if (status)
        printf("    opening says %d: %s\n", status, report.message);
    REQUIRE(status == QUPLOG_OK);
    return q;
}

static inline void lab_close(quplog *q)
{
    CHECK_EQUAL(quplog_close(q), QUPLOG_OK);
    quplog_free(q);
}

/* However it went. */
static inline void lab_leave(quplog *q)
{
    (void)quplog_close(q);
    quplog_free(q);
}

static inline quplog_stats lab_stats(quplog *q)
{
    quplog_stats stats = {0};
    CHECK_EQUAL(quplog_read_stats(q, &stats), QUPLOG_OK);
    return stats;
}

/* ---- jobs ---- */

static inline void lab_payload(char *out, size_t size, unsigned number)
{
    char text[32];
    int length = snprintf(text, sizeof text, "job %u.", number);
    for (size_t i = 0; i < size; i++)
        out[i] = i < (size_t)length ? text[i] : (char)(1 + (number * 31 + i * 7) % 251);
}

static inline int lab_try_put(quplog *q, unsigned number, size_t size, bool sync)
{
    uint64_t id;
    char *payload = malloc(size);
    if (!payload)
        abort();
    lab_payload(payload, size, number);
    int status = quplog_put(q, &LAB_SPEC, payload, size, 0, sync, &id);
    free(payload);
    return status;
}

static inline void lab_put(quplog *q, unsigned number, size_t size, bool sync)
{
    REQUIRE(lab_try_put(q, number, size, sync) == QUPLOG_OK);
}

static inline void lab_put_many(quplog *q, unsigned from, unsigned to, size_t size)
{
    for (unsigned i = from; i < to; i++)
        lab_put(q, i, size, false);
}

/* state[number]; 0: no such job. */
struct lab_jobs {
    unsigned char state[LAB_JOBS];
    uint64_t id[LAB_JOBS];
    size_t count;
    bool wrong; /* a job that nobody put, or one twice */
};

static inline void lab_read_one(quplog *q, const quplog_job_info *info, struct lab_jobs *jobs)
{
    quplog_job *job;
    unsigned number = LAB_JOBS;
    jobs->wrong = jobs->wrong || quplog_load(q, info->id, &job) != QUPLOG_OK;
    if (jobs->wrong)
        return;
    size_t size = job->payload.length;
    char text[32] = {0}, *expected = malloc(size + 1);
    if (!expected)
        abort();
    memcpy(text, job->payload.data, size < sizeof text - 1 ? size : sizeof text - 1);
    jobs->wrong = sscanf(text, "job %u.", &number) != 1 || number >= LAB_JOBS;
    if (!jobs->wrong) {
        lab_payload(expected, size, number);
        jobs->wrong = memcmp(expected, job->payload.data, size) != 0 || jobs->state[number];
        jobs->state[number] = (unsigned char)info->state;
        jobs->id[number] = info->id;
        jobs->count++;
    }
    free(expected);
    quplog_job_free(job);
}

static inline void lab_read(quplog *q, struct lab_jobs *jobs)
{
    quplog_job_info info[64];
    size_t count = 1;
    uint64_t after = 0;
    memset(jobs, 0, sizeof *jobs);
    while (count) {
        if (quplog_find(q, 0, NULL, 0, NULL, 0, 0, 0, after, false, info, 64, &count)) {
            jobs->wrong = true;
            return;
        }
        for (size_t i = 0; i < count; i++)
            lab_read_one(q, &info[i], jobs);
        after = count ? info[count - 1].id : 0;
    }
}

/* Exactly the jobs [0, count) are there, all ready. */
static inline void lab_expect(quplog *q, unsigned count)
{
    static struct lab_jobs jobs;
    lab_read(q, &jobs);
    CHECK(!jobs.wrong);
    CHECK_EQUAL(jobs.count, count);
    for (unsigned i = 0; i < count; i++)
        if (jobs.state[i] != QUPLOG_READY) {
            CHECK_EQUAL(jobs.state[i], QUPLOG_READY);
            printf("    of job %u\n", i);
            return;
        }
}

/* ---- directories and bytes ---- */

/* A path in the test's directory. It stays good as long as the test runs. */
static inline const char *lab_path(const char *name)
{
    static char paths[16][LAB_PATH];
    static size_t next;
    char path[LAB_PATH];
    snprintf(path, LAB_PATH, "%.400s/%.100s", test_directory(), name);
    for (size_t i = 0; i < 16; i++)
        if (strcmp(paths[i], path) == 0)
            return paths[i];
    char *mine = paths[next++ % 16];
    memcpy(mine, path, LAB_PATH);
    return mine;
}

struct lab_file {
    unsigned char *data;
    size_t length;
};

static inline struct lab_file lab_load(const char *path)
{
    struct lab_file file = {NULL, 0};
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return file;
    if (fstat(fd, &stat) == 0) {
        file.data = malloc((size_t)stat.st_size + 1);
        ssize_t n = file.data ? read(fd, file.data, (size_t)stat.st_size) : 0;
        file.length = n > 0 ? (size_t)n : 0;
    }
    close(fd);
    return file;
}

static inline void lab_store(const char *path, struct lab_file file)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    ssize_t n = write(fd, file.data, file.length);
    close(fd);
    REQUIRE(n == (ssize_t)file.length);
}

enum { LAB_FULL = LAB_PATH * 2 };

static inline void lab_join(char out[LAB_FULL], const char *directory, const char *name)
{
    snprintf(out, LAB_FULL, "%.500s/%.500s", directory, name);
}

/* Call `each` for every file of the two levels that a log has. */
static inline void lab_walk(const char *path, const char *under,
                            void (*each)(const char *name, void *context), void *context)
{
    char full[LAB_FULL], name[LAB_PATH];
    struct stat stat;
    lab_join(full, path, under);
    DIR *entries = opendir(full);
    REQUIRE(entries);
    for (const struct dirent *e = readdir(entries); e; e = readdir(entries)) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%.200s%.255s", under, e->d_name);
        lab_join(full, path, name);
        if (lstat(full, &stat) == 0 && S_ISDIR(stat.st_mode)) {
            snprintf(name, sizeof name, "%.255s/", e->d_name);
            lab_walk(path, name, each, context);
        } else {
            each(name, context);
        }
    }
    closedir(entries);
}

struct lab_two {
    const char *from, *to;
    bool same;
};

static inline void lab_copy_one(const char *name, void *context)
{
    const struct lab_two *two = context;
    char from[LAB_FULL], to[LAB_FULL];
    lab_join(from, two->from, name);
    lab_join(to, two->to, name);
    char *slash = strrchr(to, '/');
    *slash = '\0';
    (void)mkdir(to, 0700);
    *slash = '/';
    struct lab_file file = lab_load(from);
    lab_store(to, file);
    free(file.data);
}

static inline void lab_compare_one(const char *name, void *context)
{
    struct lab_two *two = context;
    char from[LAB_FULL], to[LAB_FULL];
    if (strcmp(name, "control") == 0)
        return; /* never the truth */
    lab_join(from, two->from, name);
    lab_join(to, two->to, name);
    struct lab_file a = lab_load(from), b = lab_load(to);
    bool same = a.data && b.data && a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
    if (!same)
        printf("    %s differs\n", name);
    two->same = two->same && same;
    free(a.data);
    free(b.data);
}

static inline void lab_remove(const char *path)
{
    (void)nftw(path, test_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* `to` becomes a copy of `from`, and nothing else. */
static inline void lab_photograph(const char *from, const char *to)
{
    struct lab_two two = {from, to, true};
    lab_remove(to);
    REQUIRE(mkdir(to, 0700) == 0);
    lab_walk(from, "", lab_copy_one, &two);
}

static inline bool lab_same(const char *a, const char *b)
{
    struct lab_two forth = {a, b, true}, back = {b, a, true};
    lab_walk(a, "", lab_compare_one, &forth);
    lab_walk(b, "", lab_compare_one, &back);
    return forth.same && back.same;
}

struct lab_list {
    uint64_t base[LAB_SEGMENTS];
    size_t count;
};

static inline void lab_list_one(const char *name, void *context)
{
    struct lab_list *list = context;
    uint64_t base;
    if (list->count == LAB_SEGMENTS || !segment_parse_name(name, &base))
        return;
    size_t at = list->count++;
    for (; at > 0 && list->base[at - 1] > base; at--)
        list->base[at] = list->base[at - 1];
    list->base[at] = base;
}

/* The segments of a log, oldest first. */
static inline struct lab_list lab_segments(const char *path)
{
    struct lab_list list = {.count = 0};
    lab_walk(path, "", lab_list_one, &list);
    return list;
}

static inline void lab_segment_path(const char *path, uint64_t base, char out[LAB_PATH])
{
    char name[SEGMENT_NAME];
    segment_name(base, name);
    snprintf(out, LAB_PATH, "%.400s/%s", path, name);
}

/* The bytes [lsn, lsn + length) of the segment at `base` become `with`. */
static inline void lab_poke(const char *path, uint64_t base, uint64_t lsn, const void *with,
                            size_t length)
{
    char file[LAB_PATH];
    lab_segment_path(path, base, file);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0);
    ssize_t n = pwrite(fd, with, length, (off_t)(lsn - base));
    close(fd);
    REQUIRE(n == (ssize_t)length);
}

static inline void lab_peek(const char *path, uint64_t base, uint64_t lsn, void *out,
                            size_t length)
{
    char file[LAB_PATH];
    lab_segment_path(path, base, file);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    ssize_t n = pread(fd, out, length, (off_t)(lsn - base));
    close(fd);
    REQUIRE(n == (ssize_t)length);
}

/* One byte becomes another. */
static inline void lab_spoil(const char *path, uint64_t base, uint64_t lsn)
{
    unsigned char byte;
    lab_peek(path, base, lsn, &byte, 1);
    byte ^= 0x5a;
    lab_poke(path, base, lsn, &byte, 1);
}

/* What a power cut may leave of a write that was not synced. */
static inline void lab_lose(const char *path, uint64_t base, uint64_t lsn, size_t length)
{
    void *zeros = calloc(1, length);
    if (!zeros)
        abort();
    lab_poke(path, base, lsn, zeros, length);
    free(zeros);
}

static inline bool lab_exists(const char *path, const char *name)
{
    char full[LAB_PATH];
    struct stat stat;
    snprintf(full, sizeof full, "%.400s/%.100s", path, name);
    return lstat(full, &stat) == 0;
}

#endif
