/* The segment files of an open log, while others add some and remove some. */
#include "files.h"

#include "log_builder.h"

enum { STEP = 0x10000 };

static int open_test_directory(void)
{
    int dir = open(test_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(dir >= 0);
    return dir;
}

/* What another process does: the n-th segment. */
static void add(int dir, unsigned n)
{
    struct segment segment;
    struct segment_header header = {.base = (uint64_t)n * STEP,
                                    .prev_end = (uint64_t)n * STEP - 8,
                                    .salt = n + 1,
                                    .log_id = "a log of its own",
                                    .boot_id = "and of this boot"};
    REQUIRE(segment_create(io_system(), dir, &header, LAB_SEGMENT, false, &segment) == QUPLOG_OK);
    close(segment.fd);
}

static void take_away(int dir, unsigned n)
{
    REQUIRE(segment_remove(io_system(), dir, (uint64_t)n * STEP) == 0);
}

static uint64_t in(unsigned n)
{
    return (uint64_t)n * STEP + SEGMENT_HEADER;
}

TEST(what_came_and_went_is_not_looked_for_in_a_removed_segment_still_read)
{
    struct files files;
    struct file_use use, other;
    uint64_t base, end, next_base, count, bytes;
    unsigned char byte;
    int dir = open_test_directory();
    files_init(&files, io_system(), dir);
    add(dir, 1);
    add(dir, 2);
    REQUIRE(files_borrow(&files, in(2), in(2), &use) == QUPLOG_OK);
    for (unsigned n = 3; n <= 6; n++)
        add(dir, n);
    for (unsigned n = 1; n <= 4; n++)
        take_away(dir, n);
    uint64_t head = (uint64_t)6 * STEP;
    for (unsigned n = 1; n <= 4; n++) {
        CHECK_EQUAL(files_borrow(&files, in(n), head, &other), QUPLOG_NOT_FOUND);
        CHECK_EQUAL(files_read(&files, in(n), head, &byte, 1), QUPLOG_NOT_FOUND);
    }
    CHECK_EQUAL(files_oldest(&files, head, &base, &end, &next_base), QUPLOG_OK);
    CHECK_EQUAL(base, (uint64_t)5 * STEP);
    CHECK_EQUAL(next_base, head);
    CHECK_EQUAL(end, head - 8);
    CHECK_EQUAL(files_span(&files, head + STEP, &count, &bytes), QUPLOG_OK);
    CHECK_EQUAL(count, 2);
    CHECK(io_read_full(io_system(), use.fd, &byte, 1, 0) == 1); /* who has it reads on */
    CHECK_EQUAL(files_borrow(&files, in(5), head, &other), QUPLOG_OK);
    CHECK_EQUAL(other.next, head);
    files_give_back(&files, &other);
    files_give_back(&files, &use);
    CHECK_EQUAL(files_trim(&files, 0), QUPLOG_OK); /* the directory is looked at anew */
    CHECK_EQUAL(files.gone, 0);
    CHECK_EQUAL(files.count, 2);
    CHECK_EQUAL(files.open, 2);
    files_close(&files);
    CHECK_EQUAL(files.open, 0);
    files_free(&files);
    close(dir);
}

/* ---- a listing that others overtake ---- */

static struct {
    struct io io;
    int dir;
    int listings;
} overtaken;

/* It has come past 1; then 1 and 2 are removed, and 3 is made, which it still comes to. */
static int list_overtaken(void *w, int dir, int (*each)(void *ctx, const char *name), void *ctx)
{
    char name[SEGMENT_NAME];
    if (overtaken.listings++)
        return io_system()->list(w, dir, each, ctx);
    segment_name((uint64_t)1 * STEP, name);
    int status = each(ctx, name);
    take_away(overtaken.dir, 1);
    take_away(overtaken.dir, 2);
    segment_name((uint64_t)3 * STEP, name);
    return status ? status : each(ctx, name);
}

TEST(a_listing_that_others_overtake_is_made_again)
{
    struct files files;
    struct file_use use;
    overtaken.dir = open_test_directory();
    overtaken.io = *io_system();
    overtaken.io.list = list_overtaken;
    files_init(&files, &overtaken.io, overtaken.dir);
    for (unsigned n = 1; n <= 3; n++)
        add(overtaken.dir, n);
    CHECK_EQUAL(files_borrow(&files, in(2), in(3), &use), QUPLOG_NOT_FOUND);
    CHECK_EQUAL(overtaken.listings, 2);
    CHECK_EQUAL(files_borrow(&files, in(3), in(3), &use), QUPLOG_OK);
    files_give_back(&files, &use);
    files_close(&files);
    files_free(&files);
    close(overtaken.dir);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(what_came_and_went_is_not_looked_for_in_a_removed_segment_still_read),
        LISTED(a_listing_that_others_overtake_is_made_again),
    };
    return RUN(tests, argc, argv);
}
