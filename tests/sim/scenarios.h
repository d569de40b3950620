/* scenarios.h: the lives in which things are to fail: each prepares a log, then does something. */
#ifndef QUPLOG_SIM_SCENARIOS_H
#define QUPLOG_SIM_SCENARIOS_H

#include "life.h"

struct scenario {
    const char *name;
    void (*prepare)(struct life *life); /* NULL: there is no log yet */
    void (*play)(struct life *life);
};

extern const struct scenario SCENARIOS[];
extern const size_t SCENARIO_COUNT;

#endif
