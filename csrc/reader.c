/* reader.c: the log's ops one by one, for people and tools: `log`, `show`, `verify`.
 *
 * It reads what is on the disk, takes no lock and keeps no table. Beside live processes its end is
 * the live tail, in segments that they created meanwhile too; a frame that was half written when it
 * was read is looked at again before it is called damaged. If they trim what it was about to read,
 * it goes on with the oldest that is left.
 */
#include "reader.h"

#include <stdio.h>

#include "chain.h"
#include "record.h"

struct quplog_reader {
    const struct io *io;
    int dir;
    struct chain chain;
    struct frame frame;
    uint64_t frame_lsn;
    size_t position; /* of the next op in the frame's body */
    uint32_t puts;   /* so many of the frame's jobs were seen */
    struct op_job names;
    bool inside; /* a frame is being taken apart */
    uint64_t about; /* hand out what concerns this job only; 0: all */
};

static int begin(quplog_reader *reader, const char *path, uint64_t lsn)
{
    const struct io *io = reader->io;
    reader->dir = io->open(io->world, IO_CWD, path, IO_DIRECTORY);
    if (reader->dir < 0)
        return reader->dir;
    int status = chain_open(&reader->chain, io, reader->dir);
    if (status == QUPLOG_OK && reader->chain.count == 0) {
        snprintf(reader->chain.report.message, sizeof reader->chain.report.message,
                 "There is no log in it.");
        status = QUPLOG_NOT_A_LOG;
    }
    if (status == QUPLOG_OK && lsn)
        status = chain_seek(&reader->chain, lsn);
    return status;
}

int reader_open_with(const struct io *io, const char *path, uint64_t lsn, quplog_reader **out,
                     quplog_report *report)
{
    quplog_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return QUPLOG_NO_MEMORY;
    reader->io = io;
    reader->chain.fd = -1;
    int status = begin(reader, path, lsn);
    if (report)
        *report = reader->chain.report;
    if (status)
        quplog_reader_close(reader);
    else
        *out = reader;
    return status;
}

int quplog_reader_open(const char *path, uint64_t lsn, quplog_reader **out, quplog_report *report)
{
    return reader_open_with(io_system(), path, lsn, out, report);
}

void quplog_reader_close(quplog_reader *reader)
{
    if (!reader)
        return;
    if (reader->chain.io)
        chain_close(&reader->chain);
    if (reader->dir >= 0)
        reader->io->close(reader->io->world, reader->dir);
    free(reader);
}

/* ---- going on ---- */

/* To the next frame of ops that can all be taken. */
static int next_frame(quplog_reader *reader)
{
    for (;;) {
        int status = chain_next(&reader->chain, &reader->frame, &reader->frame_lsn);
        if (status == QUPLOG_OK && reader->frame.kind != FRAME_OPS)
            continue;
        if (status == QUPLOG_NOT_FOUND)
            continue;
        if (status == QUPLOG_EMPTY) {
            enum chain_end end;
            status = chain_judge(&reader->chain, &end);
            bool again = end == CHAIN_CORRUPT && chain_recheck(&reader->chain);
            if (status == QUPLOG_NOT_FOUND || (status == QUPLOG_OK && again))
                continue;
            if (status == QUPLOG_OK)
                status = end == CHAIN_CORRUPT ? QUPLOG_CORRUPT : QUPLOG_EMPTY;
        }
        if (status == QUPLOG_OK) {
            status = record_check(&reader->frame);
            if (status == QUPLOG_CORRUPT)
                chain_blame(&reader->chain, reader->frame_lsn);
        }
        reader->inside = status == QUPLOG_OK;
        reader->position = 0;
        reader->puts = 0;
        reader->names = (struct op_job){0};
        return status;
    }
}

static int next_op(quplog_reader *reader, quplog_record *out)
{
    struct op op;
    uint64_t lsn = reader->frame_lsn + FRAME_HEADER + reader->position;
    enum op_verdict verdict =
        op_next(reader->frame.body, &reader->position, &op, &reader->names);
    if (verdict != OP_VALID && verdict != OP_SKIPPED) /* the end: the frame was checked */
        reader->inside = false;
    if (verdict != OP_VALID)
        return QUPLOG_EMPTY;
    record_fill(out, &op, &reader->frame, lsn);
    out->frame_lsn = reader->frame_lsn;
    if (op.type == QUPLOG_OP_PUT)
        out->id = reader->frame.first_id + reader->puts++;
    return QUPLOG_OK;
}

int quplog_reader_next(quplog_reader *reader, quplog_record *out)
{
    for (;;) {
        int status = reader->inside ? QUPLOG_OK : next_frame(reader);
        if (status)
            return status;
        status = next_op(reader, out);
        if (status == QUPLOG_OK && reader->about && out->id && out->id != reader->about)
            continue;
        if (status != QUPLOG_EMPTY) /* empty: the frame's ops are over */
            return status;
    }
}

void quplog_reader_about(quplog_reader *reader, uint64_t id)
{
    reader->about = id;
}

int quplog_reader_skip(quplog_reader *reader, size_t most)
{
    quplog_record unused;
    int status = QUPLOG_OK;
    for (size_t i = 0; status == QUPLOG_OK && i < most; i++)
        status = quplog_reader_next(reader, &unused);
    return status;
}

void quplog_reader_report(quplog_reader *reader, quplog_report *out, uint64_t *size)
{
    *out = reader->chain.report;
    if (size)
        *size = reader->chain.total;
}
