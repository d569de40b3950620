/* actor.h: what one simulated process of a scene does, and what it is told. See scene.h. */
#ifndef QUPLOG_SIM_ACTOR_H
#define QUPLOG_SIM_ACTOR_H

#include "judge.h"
#include "machine.h"

enum { ACTORS = 16, RUNS = 64, SEATS = 2 };

struct scene;

struct actor {
    struct scene *scene;
    unsigned process;
    unsigned verbs; /* left to do */
    quplog *log;    /* NULL: closed */
    bool has_written;
    quplog_worker *seats[SEATS];
    uint64_t jobs[SEATS]; /* which each is running; 0: none */
    bool helps, works;    /* by threads of their own */
    struct io_thread helper, worker;
    quplog_worker *waiting_seat;
};

/* A job that a live process is running. */
struct run {
    uint64_t id; /* 0: not used */
    unsigned process;
};

struct scene {
    struct judge *judge;
    struct machine *machine;
    uint64_t chance;
    uint64_t changes;    /* of the disk, so far */
    uint64_t power_left; /* the power fails at so many changes from here; 0: it does not */
    unsigned cut_once_in;
    enum disk_kind last; /* the last of them */
    char last_name[64];
    quplog_options options;
    unsigned verbs;
    unsigned large;  /* percent of the jobs */
    unsigned synced; /* percent of what can be */
    unsigned replacements;
    uint64_t next_number;
    struct actor actors[ACTORS];
    unsigned actor_count;
    struct run runs[RUNS];
};

/* Start one more process. */
void actor_enter(struct scene *scene);
/* The process was killed: what it ran, it runs no more. */
void actor_died(struct scene *scene, unsigned process);

#endif
