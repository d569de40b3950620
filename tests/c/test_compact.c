/* Compaction: nothing is lost, nothing comes back, and it ends. */
#include "compact_lab.h"

/* ---- everything stays as it is ---- */

TEST(everything_in_the_table_survives_laps_unchanged)
{
    const char *path = lab_path("log");
    quplog *q = lab_open(NULL, path);
    struct everything e;
    make_everything(&e, q);
    for (int lap = 0; lap < 3; lap++) {
        fill_up(q, 40);
        char *before = tell(q);
        uint64_t first = lab_segments(path).base[0];
        CHECK_EQUAL(quplog_compact(q), QUPLOG_OK);
        CHECK(lab_segments(path).base[0] > first);
        CHECK(lab_segments(path).count <= 3);
        char *after = tell(q);
        check_told(after, before, "after a lap the table says the same");
        check_killed(path, before);
        free(before);
        free(after);
    }
    leave_everything(&e);
    lab_close(q);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        LISTED(everything_in_the_table_survives_laps_unchanged),
    };
    return RUN(tests, argc, argv);
}
