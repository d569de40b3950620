/* verdict.c: see verdict.h. */
#include "verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "compare.h"
#include "crc32c.h"
#include "judge.h"
#include "open.h"
#include "random.h"
#include "reader.h"
#include "scan.h"

enum { CALLS_MOST = 20000, DAMAGES_MOST = 256, COPY_AT = 2048, COPY_SIZE = 128 };

const char *const VERDICT_NAMES[VERDICT_ANSWERS] = {"same jobs", "corrupt", "torn",
                                                    "lost with every witness", "new log",
                                                    "refused"};

/* What is left, as the bytes show it. */
struct evidence {
    struct exhibit *e;
    struct reference *r;
    struct verdict *verdict;
    bool *intact;      /* each frame of the history, at its place */
    bool *there;       /* a scan must find it: there, or in a file with another name */
    unsigned *seen;    /* ops of it that a scan has handed out */
    unsigned headers[REFERENCE_FILES]; /* intact copies */
    bool disguised[REFERENCE_FILES];
    unsigned headed;   /* files with one */
    bool any_file, all;
    size_t count;      /* intact frames from the first on: X is behind them */
    uint64_t end;      /* X */
    uint64_t durable;  /* D */
    bool corrupt;      /* it must be refused */
    uint64_t chance, calls;
};

static void accuse(struct evidence *v, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void accuse(struct evidence *v, const char *format, ...)
{
    va_list arguments;
    if (v->verdict->wrong[0])
        return;
    va_start(arguments, format);
    vsnprintf(v->verdict->wrong, sizeof v->verdict->wrong, format, arguments);
    va_end(arguments);
}

/* ---- what is intact ---- */

static bool copy_is_intact(const struct evidence *v, size_t file, size_t at)
{
    const struct exhibit_file *now = &v->e->files[file];
    return now->bytes && now->size >= at + COPY_SIZE &&
           memcmp(now->bytes + at, v->r->files[file].bytes + at, COPY_SIZE) == 0;
}

/* Both are gone, and one of another segment, or of another log, stands there. */
static bool is_disguised(const struct evidence *v, size_t file)
{
    const struct exhibit_file *now = &v->e->files[file];
    for (size_t at = 0; at <= COPY_AT && !v->headers[file]; at += COPY_AT)
        if (now->bytes && now->size >= at + COPY_SIZE &&
            crc32c(0, now->bytes + at, COPY_SIZE - 4) == get_u32(now->bytes + at + COPY_SIZE - 4))
            return true;
    return false;
}

static void look_at_file(struct evidence *v, size_t file)
{
    const struct reference_file *as_was = &v->r->files[file];
    const struct exhibit_file *now = &v->e->files[file];
    v->any_file = v->any_file || now->bytes;
    v->headers[file] = copy_is_intact(v, file, 0) + copy_is_intact(v, file, COPY_AT);
    v->headed += v->headers[file] > 0 || now->moved;
    v->disguised[file] = is_disguised(v, file);
    if ((v->headers[file] || now->moved) && as_was->header.synced_lsn > v->durable)
        v->durable = as_was->header.synced_lsn;
    for (size_t i = as_was->first; i < as_was->end; i++) {
        const struct history_frame *frame = &v->r->history->frames[i];
        uint64_t at = frame->lsn - as_was->base, length = frame->frame.length;
        v->intact[i] = now->bytes && now->size >= at + length &&
                       (!now->changed || memcmp(now->bytes + at, frame->bytes, length) == 0);
        v->there[i] = (v->intact[i] && !v->disguised[file]) || now->moved;
        v->all = v->all && v->intact[i];
        if ((v->intact[i] || now->moved) && frame->frame.synced_lsn > v->durable)
            v->durable = frame->frame.synced_lsn;
    }
}

/* X: the frames from the first on, as far as they and the headers before them are intact. */
static void find_end(struct evidence *v)
{
    v->count = v->r->files[0].first;
    v->end = v->r->files[0].base;
    for (size_t file = 0; file < v->r->file_count; file++) {
        const struct reference_file *f = &v->r->files[file];
        if (v->headers[file] == 0)
            return;
        v->end = f->base + SEGMENT_HEADER;
        for (; v->count < f->end && v->intact[v->count]; v->count++)
            v->end = v->r->history->frames[v->count].end;
        if (v->count < f->end)
            return;
    }
}

static void gather(struct evidence *v)
{
    v->all = true;
    for (size_t i = 0; i < v->r->file_count; i++)
        look_at_file(v, i);
    find_end(v);
    bool beheaded = v->headers[0] == 0;
    v->corrupt = v->end < v->durable || v->count < v->r->whole || beheaded;
}

/* ---- no hang ---- */

static void count_call(void *context, const struct disk_call *call)
{
    struct evidence *v = context;
    (void)call;
    if (++v->calls < CALLS_MOST)
        return;
    fprintf(stderr, "a hang: %s\n", v->e->text);
    abort(); /* whoever is told of crashes says which damage it was */
}

static void watch(struct evidence *v)
{
    struct disk_watch guard = {.before = count_call, .context = v};
    v->calls = 0;
    disk_look_on(v->e->disk, &guard);
}

/* ---- scanning ---- */

/* What a recovery gave up may be found by who does not find the header that says so. */
static bool was_given_up(const struct evidence *v, const quplog_scanned *found)
{
    const struct reference *r = v->r;
    uint64_t offset = found->record.lsn - found->record.frame_lsn;
    for (size_t i = 0; i < r->given_up_count && v->headers[r->file_count - 1] == 0; i++) {
        const struct history_frame *frame = &r->given_up[i];
        if (frame->lsn == found->record.frame_lsn)
            return offset + found->op.length <= frame->frame.length &&
                   memcmp(frame->bytes + offset, found->op.data, found->op.length) == 0;
    }
    return false;
}

/* Of one file of each of two logs nobody can say which is meant. */
static bool is_outnumbered(const struct evidence *v)
{
    return v->e->strange && v->headed <= 1;
}

static void note_op(struct evidence *v, const quplog_scanned *found)
{
    const struct history *h = v->r->history;
    size_t at = history_below(h, found->record.frame_lsn);
    uint64_t offset = found->record.lsn - found->record.frame_lsn;
    bool same = at < h->count && h->frames[at].lsn == found->record.frame_lsn &&
                offset + found->op.length <= h->frames[at].frame.length &&
                memcmp(h->frames[at].bytes + offset, found->op.data, found->op.length) == 0;
    if (same)
        v->seen[at]++;
    else if (!was_given_up(v, found) && !is_outnumbered(v))
        accuse(v, "a scan hands out an op at LSN %" PRIu64 " that was not written so",
               found->record.lsn);
}

/* Whether something that is not zero stands behind the frames of a file, and this is over it. */
static bool is_behind(const struct evidence *v, const quplog_damage *damage)
{
    for (size_t file = 0; file < v->r->file_count; file++) {
        const struct reference_file *f = &v->r->files[file];
        const struct exhibit_file *now = &v->e->files[file];
        uint64_t at = SEGMENT_HEADER;
        if (f->end > f->first)
            at = v->r->history->frames[f->end - 1].end - f->base;
        while (now->bytes && at < now->size && now->bytes[at] == 0)
            at++;
        if (now->bytes && at < now->size && f->base + at < damage->end_lsn &&
            damage->lsn < f->base + now->size)
            return true;
    }
    return false;
}

/* Whether there was something to tell. */
static bool is_damage(const struct evidence *v, const quplog_damage *damage)
{
    bool of_file = damage->kind >= QUPLOG_DAMAGE_UNCHECKED;
    if (of_file || v->e->strange)
        return true;
    for (size_t i = v->r->files[0].first; i < v->r->history->count; i++) {
        const struct history_frame *frame = &v->r->history->frames[i];
        if (!v->there[i] && frame->lsn < damage->end_lsn && damage->lsn < frame->end)
            return true;
    }
    return is_behind(v, damage) || damage->kind == QUPLOG_DAMAGE_MISSING; /* no frames in it */
}

/* A damage is named by its place, or by the file that is not read. */
static bool is_named(const struct evidence *v, size_t frame, const quplog_damage *damage)
{
    const struct history_frame *f = &v->r->history->frames[frame];
    size_t file = 0;
    while (frame >= v->r->files[file].end)
        file++;
    const char *name = v->r->files[file].path + strlen(REFERENCE_PATH);
    return (damage->lsn < f->end && f->lsn < damage->end_lsn) ||
           (v->disguised[file] && strcmp(damage->file, name) == 0);
}

static void check_named(struct evidence *v, const quplog_damage *damages, size_t count)
{
    bool follows = false;
    for (size_t i = v->r->history->count; i-- > v->r->files[0].first;) {
        const struct history_frame *frame = &v->r->history->frames[i];
        bool told = v->there[i] || !(follows || frame->lsn < v->durable);
        for (size_t j = 0; j < count && !told; j++)
            told = is_named(v, i, &damages[j]);
        if (!told)
            accuse(v, "a scan does not name the damage at LSN %" PRIu64, frame->lsn);
        follows = follows || v->there[i];
    }
}

static void check_scanned(struct evidence *v)
{
    for (size_t i = v->r->files[0].first; i < v->r->history->count; i++) {
        const struct history_frame *frame = &v->r->history->frames[i];
        if (v->there[i] && v->seen[i] != frame->frame.op_count && !is_outnumbered(v))
            accuse(v, "a scan hands out %u of the %u ops of the frame at LSN %" PRIu64,
                   v->seen[i], frame->frame.op_count, frame->lsn);
        if (!v->intact[i] && !v->there[i] && v->seen[i] && !is_outnumbered(v))
            accuse(v, "a scan hands out a damaged frame at LSN %" PRIu64, frame->lsn);
    }
}

static void scan_all(struct evidence *v)
{
    static quplog_damage damages[DAMAGES_MOST];
    quplog_scan *scan = NULL;
    quplog_scanned found;
    quplog_report report = {0};
    size_t count = 0;
    watch(v);
    int status = scan_open_with(disk_io(v->e->disk), "log", false, &scan, &report);
    if (!v->any_file && !v->e->strange && status == QUPLOG_NOT_A_LOG)
        return;
    while (status == QUPLOG_OK && (status = quplog_scan_next(scan, &found)) == QUPLOG_OK) {
        if (found.kind == QUPLOG_SCAN_OP)
            note_op(v, &found);
        if (found.kind == QUPLOG_SCAN_DAMAGE && count < DAMAGES_MOST)
            damages[count++] = found.damage;
    }
    for (size_t i = 0; status == QUPLOG_EMPTY && i < count; i++)
        if (!is_damage(v, &damages[i]))
            accuse(v, "a scan names a damage of kind %d at LSN %" PRIu64 " that is none",
                   damages[i].kind, damages[i].lsn);
    if (status == QUPLOG_EMPTY) {
        check_scanned(v);
        check_named(v, damages, count);
    } else if (status > 0 || !v->e->hindered) {
        accuse(v, "a scan says %d: %s", status, report.message);
    }
    quplog_scan_close(scan);
}

/* ---- reading ---- */

/* The place that it names is where the first frame is missing. */
static void check_place(struct evidence *v, const quplog_report *report)
{
    uint64_t base = strtoull(report->file, NULL, 16);
    bool named = report->file[0] && base + report->damage_offset == report->damage_lsn;
    bool right = report->damage_lsn == v->end || v->count < v->r->whole || v->headers[0] == 0 ||
                 v->e->strange;
    if (!named || !right || !report->message[0])
        accuse(v, "it is called damaged at LSN %" PRIu64 " (%s, %" PRIu64 "), but is at %" PRIu64,
               report->damage_lsn, report->file, report->damage_offset, v->end);
}

/* QUPLOG_OK, or why it ends. */
static int read_all(struct evidence *v)
{
    quplog_reader *reader = NULL;
    quplog_record record;
    quplog_report report = {0};
    watch(v);
    int status = reader_open_with(disk_io(v->e->disk), "log", 0, &reader, &report);
    if (status == QUPLOG_OK) {
        while ((status = quplog_reader_next(reader, &record)) == QUPLOG_OK)
            continue;
        quplog_reader_report(reader, &report, NULL);
        quplog_reader_close(reader);
    }
    if (status == QUPLOG_CORRUPT)
        check_place(v, &report);
    return status == QUPLOG_EMPTY ? QUPLOG_OK : status;
}

/* ---- opening ---- */

static void check_jobs(struct evidence *v, quplog *log, const char *when)
{
    char wrong[COMPARE_TEXT];
    if (!compare_log(log, reference_model(v->r, v->count), 0, 1, wrong))
        accuse(v, "%s: %s", when, wrong);
}

static void check_unchanged(struct evidence *v)
{
    for (size_t i = 0; i < v->r->file_count; i++) {
        size_t length = 0;
        const struct exhibit_file *file = &v->e->files[i];
        if (!file->bytes)
            continue;
        unsigned char *bytes = disk_load(v->e->disk, v->r->files[i].path, &length);
        if (!bytes || length != file->size || memcmp(bytes, file->bytes, length) != 0)
            accuse(v, "%s was changed though the log was refused", v->r->files[i].path);
        free(bytes);
    }
}

static int try_open(struct evidence *v, quplog **log, quplog_report *report)
{
    quplog_options options = judge_options();
    memset(report, 0, sizeof *report);
    watch(v);
    return open_with(disk_io(v->e->disk), "log", &options, log, report);
}

static void close_log(struct evidence *v, quplog *log)
{
    int status = quplog_close(log);
    if (status)
        accuse(v, "closing it says %d", status);
    quplog_free(log);
}

/* It was opened. */
static enum verdict_answer check_opened(struct evidence *v, quplog *log,
                                        const quplog_report *report)
{
    const struct history *h = v->r->history;
    size_t count = history_below(h, report->end_lsn);
    if (!v->any_file && report->ending == QUPLOG_NEW)
        return VERDICT_EMPTY;
    if (v->corrupt || count != v->count)
        accuse(v, "it is opened with %zu of %zu frames, of which %zu are intact (X %" PRIu64
                  ", D %" PRIu64 ")",
               count, h->count, v->count, v->end, v->durable);
    else
        check_jobs(v, log, "opened");
    if (v->count == h->count)
        return VERDICT_SAME;
    return h->frames[v->count].lsn >= v->r->acknowledged ? VERDICT_TORN : VERDICT_UNNOTICED;
}

static void open_again(struct evidence *v)
{
    quplog *log;
    quplog_report report;
    int status = try_open(v, &log, &report);
    if (status) {
        accuse(v, "opened once more, it says %d: %s", status, report.message);
        return;
    }
    check_jobs(v, log, "opened once more");
    close_log(v, log);
}

static void open_it(struct evidence *v, int read)
{
    quplog *log;
    quplog_report report;
    int status = try_open(v, &log, &report);
    if (status == QUPLOG_OK) {
        v->verdict->answer = check_opened(v, log, &report);
        close_log(v, log);
        if (v->verdict->answer != VERDICT_EMPTY && random_below(&v->chance, 8) == 0)
            open_again(v);
    } else if (status == QUPLOG_CORRUPT) {
        v->verdict->answer = VERDICT_CORRUPT;
        if (!v->corrupt && !v->e->strange)
            accuse(v, "it is refused, and is whole: %s", report.message);
        check_unchanged(v);
    } else {
        bool used_up = v->e->strange && status == QUPLOG_FULL; /* a file at the end of all LSNs */
        v->verdict->answer = VERDICT_REFUSED;
        if (!used_up && (!v->e->hindered || status > 0))
            accuse(v, "opening it says %d: %s", status, report.message);
    }
    bool new = status == QUPLOG_OK && read == QUPLOG_NOT_A_LOG && !v->any_file;
    if (status != read && !new && !v->e->hindered && v->verdict->answer != VERDICT_REFUSED)
        accuse(v, "opening it says %d, and reading it %d", status, read);
}

void verdict_of(struct exhibit *exhibit, struct reference *reference, uint64_t chance,
                struct verdict *out)
{
    static const struct disk_watch nobody;
    struct evidence v = {.e = exhibit, .r = reference, .verdict = out, .chance = chance | 1};
    size_t frames = reference->history->count;
    *out = (struct verdict){.answer = VERDICT_SAME};
    v.intact = calloc(frames, sizeof *v.intact);
    v.there = calloc(frames, sizeof *v.there);
    v.seen = calloc(frames, sizeof *v.seen);
    if (!v.intact || !v.there || !v.seen)
        abort();
    gather(&v);
    scan_all(&v);
    int read = read_all(&v);
    open_it(&v, read);
    disk_look_on(exhibit->disk, &nobody);
    free(v.intact);
    free(v.there);
    free(v.seen);
}
