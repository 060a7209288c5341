/*
 * machine.c — whether this machine can run a model: the instructions that a level's code
 * uses, asked of the processor (and of the system, which must save their registers)
 * before any of it runs.
 */
#include "machine.h"

#include <stdbool.h>
#include <stddef.h>
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
