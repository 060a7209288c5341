/*
 * level.h — which level of instruction set a test of machine code runs: the host's best, or
 * the one that RNNC_TRIAL_TARGET in the environment names.
 */
#ifndef RNNC_TESTS_LEVEL_H
#define RNNC_TESTS_LEVEL_H

#include <stdlib.h>

#include "emit/emit.h"

/* Levels stand best first; those of the host's kind behind its best it has too. */
static inline bool level_is_here(const Target *host, const Target *t)
{
    return host && t && t >= host && str_eq(t->triple, host->triple);
}

/* NULL with *why: this machine has no such level. */
static inline const Target *level_to_run(const char **why)
{
    const char *name = getenv("RNNC_TRIAL_TARGET");
    const Target *host = target_find(NULL, why), *t = target_find(name, why);
    if (level_is_here(host, t))
        return t;
    *why = host ? "this machine has no such level" : *why;
    return NULL;
}

#endif
