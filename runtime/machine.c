/*
 * machine.c — whether this machine can run a model: the instructions that a level's code
 * uses, asked of the processor (and of the system, which must save their registers)
 * before any of it runs. And how many threads are worth starting: one for each core, since
 * two on one core share the units that products keep busy.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include "machine.h"
#include "io.h"

#include <errno.h>
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
    bool *seen = calloc((size_t)n + 1, sizeof *seen); /* by a core's first processor */
    int n_core = 0;
    for (int i = 0; seen && i < n; i++) {
        int core = may[i] ? first_sibling(folder, i) : i;
        n_core += may[i] && !seen[core];
        seen[core] = seen[core] || may[i];
    }
    free(seen);
    return n_core > 0 ? n_core : 1;
}

static int ask_system(size_t bytes, void *set) { return sched_getaffinity(0, bytes, set); }

/* How many there may be only the system knows: it refuses (EINVAL) a set too small. */
bool *rnn__processors(rnn__affinity *ask, int *n)
{
    enum { MOST = 1 << 20 };
    for (int room = CPU_SETSIZE; room <= MOST; room *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)room);
        bool *may = calloc((size_t)room, sizeof *may);
        size_t bytes = CPU_ALLOC_SIZE((size_t)room);
        bool good = set && may && ask(bytes, set) == 0;
        bool more = set && may && !good && errno == EINVAL;
        for (int i = 0; good && i < room; i++)
            may[i] = CPU_ISSET_S((size_t)i, bytes, set);
        CPU_FREE(set);
        *n = room;
        if (good)
            return may;
        free(may);
        if (!more)
            break;
    }
    return NULL;
}

int rnn__core_count(void)
{
    int n = 0;
    bool *may = rnn__processors(ask_system, &n);
    int cores = may ? rnn__cores_of("/sys/devices/system/cpu", may, n) : 1;
    free(may);
    return cores;
}
