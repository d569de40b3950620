/* replay.c: runs a fuzz target on inputs that are stored: each file that is named, and each file of
 * each directory that is named. So a build without a fuzzer guards what fuzzing has found. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { PATH_SIZE = 4096 };

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat stat;
    if (!file || fstat(fileno(file), &stat)) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(2);
    }
    size_t size = (size_t)stat.st_size;
    unsigned char *bytes = malloc(size + 1);
    MUST(bytes && fread(bytes, 1, size, file) == size);
    fclose(file);
    fprintf(stderr, "%s\n", path); /* the last one that is named is the one that fails */
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
    return 1;
}

static int run(const char *path)
{
    char inside[PATH_SIZE];
    int count = 0;
    DIR *directory = opendir(path);
    if (!directory)
        return run_file(path);
    for (const struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        count += run_file(inside);
    }
    closedir(directory);
    return count;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++)
        count += run(argv[i]);
    printf("%d inputs\n", count);
    return count == 0; /* a corpus that is not found guards nothing */
}
