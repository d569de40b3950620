/* failpoint.h: places at which a test lets a process die.
 *
 * Between "took the append lock" and "gave it back" each line between two writes is a place to be
 * killed at. A build with QUPLOG_FAILPOINTS asks at each whether it is this one's turn, and then
 * raises SIGKILL; any other build has nothing there.
 */
#ifndef QUPLOG_FAILPOINT_H
#define QUPLOG_FAILPOINT_H

#ifdef QUPLOG_FAILPOINTS

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* The place is named by the environment variable QUPLOG_FAILPOINT. */
static inline void failpoint(const char *place)
{
    const char *wanted = getenv("QUPLOG_FAILPOINT");
    if (wanted && strcmp(wanted, place) == 0)
        raise(SIGKILL);
}

#define FAILPOINT(place) failpoint(place)

#else

#define FAILPOINT(place) ((void)0)

#endif

#endif
