/* test.h: the smallest harness that the C tests need.
 *
 * A test is `TEST(name_of_the_danger) { ... }`. Each file lists its tests and runs them:
 *
 *     int main(int argc, char **argv)
 *     {
 *         static const struct test tests[] = {LISTED(a_short_write_is_continued), ...};
 *         return RUN(tests, argc, argv);
 *     }
 *
 * A test that is not listed is an unused function: a warning, and an error with QUPLOG_WERROR. With
 * arguments only the tests of these names run. CHECK... notes a failure, with place and values, and
 * goes on; REQUIRE ends the test, for what the lines after it rely on. Both belong to the process
 * and thread that run the test: a child or another thread reports by its exit code or a variable.
 */
#ifndef QUPLOG_TEST_H
#define QUPLOG_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct test {
    const char *name;
    void (*run)(void);
};

#define TEST(name) static void name(void)
#define LISTED(name) {#name, name}
#define RUN(tests, argc, argv) test_run((tests), sizeof(tests) / sizeof((tests)[0]), (argc), (argv))

/* Of the test that is running. */
static struct {
    int failures;
    jmp_buf end;
    char directory[4096];
} test_now;

static inline void test_fail(const char *file, int line, const char *what)
{
    printf("%s:%d: %s\n", file, line, what);
    test_now.failures++;
}

static inline void test_compare(const char *file, int line, const char *what, intmax_t is,
                                intmax_t should)
{
    if (is == should)
        return;
    test_fail(file, line, what);
    printf("    is     %jd (0x%jx)\n    should %jd (0x%jx)\n", is, (uintmax_t)is, should,
           (uintmax_t)should);
}

static inline void test_compare_bytes(const char *file, int line, const char *what, const void *is,
                                      const void *should, size_t length)
{
    const unsigned char *a = is, *b = should;
    for (size_t i = 0; i < length; i++) {
        if (a[i] == b[i])
            continue;
        test_fail(file, line, what);
        printf("    byte %zu of %zu is 0x%02x, should be 0x%02x\n", i, length, a[i], b[i]);
        return;
    }
}

#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, "not true: " #condition))
#define CHECK_EQUAL(is, should)                                                                    \
    test_compare(__FILE__, __LINE__, #is " == " #should, (intmax_t)(is), (intmax_t)(should))
#define CHECK_BYTES(is, should, length)                                                            \
    test_compare_bytes(__FILE__, __LINE__, #is " holds " #should, (is), (should), (length))
#define CHECK_TEXT(is, should)                                                                     \
    (strcmp((is), (should)) == 0                                                                   \
         ? (void)0                                                                                 \
         : (test_fail(__FILE__, __LINE__, #is " is " #should),                                     \
            (void)printf("    is     \"%s\"\n    should \"%s\"\n", (is), (should))))
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            test_fail(__FILE__, __LINE__, "not true, so the test ends: " #condition);              \
            longjmp(test_now.end, 1);                                                              \
        }                                                                                          \
    } while (0)

/* A directory of this test's own, empty at first; removed with all it holds when the test ends. */
static inline const char *test_directory(void)
{
    if (!test_now.directory[0]) {
        const char *parent = getenv("TMPDIR");
        snprintf(test_now.directory, sizeof test_now.directory, "%s/quplog-test-XXXXXX",
                 parent && parent[0] ? parent : P_tmpdir);
        if (!mkdtemp(test_now.directory)) {
            perror(test_now.directory);
            exit(1);
        }
    }
    return test_now.directory;
}

static inline int test_remove(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    (void)stat, (void)type, (void)walk;
    return remove(path);
}

static inline bool test_one(const struct test *test)
{
    test_now.failures = 0;
    test_now.directory[0] = '\0';
    if (setjmp(test_now.end) == 0)
        test->run();
    if (test_now.directory[0])
        (void)nftw(test_now.directory, test_remove, 16, FTW_DEPTH | FTW_PHYS);
    printf("%s %s\n", test_now.failures ? "FAILED" : "passed", test->name);
    return test_now.failures == 0;
}

static inline bool test_wanted(const struct test *test, int argc, char **argv)
{
    bool wanted = argc < 2;
    for (int i = 1; i < argc; i++)
        wanted = wanted || strcmp(argv[i], test->name) == 0;
    return wanted;
}

static inline int test_run(const struct test *tests, size_t count, int argc, char **argv)
{
    int passed = 0, failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0); /* a child that is forked must not print our lines again */
    for (size_t i = 0; i < count; i++) {
        if (!test_wanted(&tests[i], argc, argv))
            continue;
        if (test_one(&tests[i]))
            passed++;
        else
            failed++;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0 ? 1 : 0;
}

#endif
