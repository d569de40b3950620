/* failpoint.h: places at which a test lets a process die.
 *
 * Between "took the append lock" and "gave it back" each line between two writes is a place to be
 * killed at. A build with QUPLOG_FAILPOINTS asks at each whether it is this one's turn, and then
 * raises SIGKILL; any other build has nothing there. A simulator of processes is told of each place
 * instead: it defines failpoint_reached().
 */
#ifndef QUPLOG_FAILPOINT_H
#define QUPLOG_FAILPOINT_H

#ifdef QUPLOG_FAILPOINTS

#include <signal.h>
#include <stdlib.h>
#include <string.h>

void failpoint_reached(const char *place) __attribute__((weak));

/* The place is named by the environment variable QUPLOG_FAILPOINT. */
static inline void failpoint(const char *place)
{
    if (failpoint_reached) {
        failpoint_reached(place);
        return;
    }
    const char *wanted = getenv("QUPLOG_FAILPOINT");
    if (wanted && strcmp(wanted, place) == 0)
        raise(SIGKILL);
}

#define FAILPOINT(place) failpoint(place)

#else

#define FAILPOINT(place) ((void)0)

#endif

#endif
