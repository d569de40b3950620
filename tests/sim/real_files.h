/* real_files.h: a simulated process whose files are real ones, in the working directory.
 *
 * All else (time, waiting, chance, who it is) stays simulated, so a life is the same in each run;
 * but each call about files and locks goes through csrc/io.c to the system. In a program that is
 * linked with --wrap for openat, close, pread, pwritev, statx, renameat, unlinkat, mkdirat, fcntl
 * and getrandom, a signal comes during those of these calls that inject_interrupts() names.
 */
#ifndef QUPLOG_SIM_REAL_FILES_H
#define QUPLOG_SIM_REAL_FILES_H

#include "disk.h"

/* `simulated`, with the files and locks of the system; `out` is to live as long. */
void real_files_over(const struct io *simulated, struct io *out);
/* Write the directory "log" of the disk to the working directory, in place of what is there. NULL:
 * nothing is to be there. */
void real_files_write(const struct disk *disk);
/* A disk with what is there now. */
struct disk *real_files_read(void);

#endif
