/*
 * machine.c — whether this machine can run a model: the instructions that a level's code
 * uses, asked of the processor (and of the system, which must save their registers)
 * before any of it runs. And how many threads are worth starting: one for each core, since
 * two on one core share the units that products keep busy.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include "machine.h"
#include "io.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)

struct need {
    const char *name;
    bool met;
};

static const char *first_unmet(const struct need *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!list[i].met)
            return list[i].name;
    return NULL;
}

/* The compiler's builtin takes literals only. */
#define NEED(name)                              \
    {                                           \
        name, __builtin_cpu_supports(name) != 0 \
    }

static const char *lacks_v3(void)
{
    const struct need list[] = {NEED("avx2"), NEED("fma"), NEED("bmi"), NEED("bmi2")};
    return first_unmet(list, sizeof list / sizeof *list);
}

static const char *lacks_v4(void)
{
    const struct need list[] = {NEED("avx512f"), NEED("avx512bw"), NEED("avx512cd"),
                                NEED("avx512dq"), NEED("avx512vl")};
    const char *lacks = lacks_v3();
    return lacks ? lacks : first_unmet(list, sizeof list / sizeof *list);
}

static const char *lacks_aarch64(void) { return "aarch64 processor"; }

#else

static const char *lacks_v3(void) { return "x86-64 processor"; }
static const char *lacks_v4(void) { return lacks_v3(); }
static const char *lacks_aarch64(void) { return NULL; }

#endif

const char *rnn__machine_lacks(const char *target)
{
    static const struct {
        const char *target;
        const char *(*lacks)(void);
    } levels[] = {
        {"x86-64-v3", lacks_v3}, {"x86-64-v4", lacks_v4}, {"aarch64", lacks_aarch64}};
    for (size_t i = 0; target && i < sizeof levels / sizeof *levels; i++)
        if (strcmp(levels[i].target, target) == 0)
            return levels[i].lacks();
    return NULL;
}

/* ---- cores ---- */

/* The first of the processors that share a core with this one; itself where the system does
   not say. */
static int first_sibling(const char *folder, int processor)
{
    char path[256], text[64];
    snprintf(path, sizeof path, "%s/cpu%d/topology/thread_siblings_list", folder,
             processor);
    int fd = rnn__io->open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return processor;
    ssize_t n = rnn__io->read(fd, text, sizeof text - 1);
    rnn__io->close(fd);
    text[n > 0 ? n : 0] = '\0';
    char *end;
    long first = strtol(text, &end, 10);
    return end == text || first < 0 || first > processor ? processor : (int)first;
}

int rnn__cores_of(const char *folder, const bool *may, int n)
{
    bool seen[CPU_SETSIZE] = {false}; /* by a core's first processor */
    int n_core = 0;
    for (int i = 0; i < n && i < CPU_SETSIZE; i++) {
        int core = may[i] ? first_sibling(folder, i) : i;
        n_core += may[i] && !seen[core];
        seen[core] = seen[core] || may[i];
    }
    return n_core > 0 ? n_core : 1;
}

int rnn__core_count(void)
{
    cpu_set_t set;
    bool may[CPU_SETSIZE] = {false};
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        may[i] = CPU_ISSET(i, &set);
    return rnn__cores_of("/sys/devices/system/cpu", may, CPU_SETSIZE);
}
