/* What upstream.c and load.c share: leave with a reason, stay on one core, tell the time, find a number in JSON text. */
#ifndef LOOP_H
#define LOOP_H

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline void fail(const char *what) {
    perror(what);
    exit(1);
}

static inline void stay_on(int core) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    if (sched_setaffinity(0, sizeof cores, &cores) < 0) fail("sched_setaffinity");
}

static inline double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The number behind the last "name": in text, or otherwise. Spaces behind the colon are allowed. */
static inline long number_in(const char *text, const char *name, long otherwise) {
    const char *found = NULL;
    for (const char *at = text; (at = strstr(at, name)) != NULL; at++) found = at;
    return found == NULL ? otherwise : strtol(found + strlen(name), NULL, 10);
}

#endif
