/*
 * differential.h — one spec, many ways to run it, one result.
 *
 * A trial compiles a spec fused, for each level of instruction set that this machine has,
 * and without fusing for one of them, which the spec's text draws (all: with
 * RNNC_TRIAL_UNFUSED in the environment), and runs several chunks of a sequence: states
 * carried, some rows starting anew, the last chunk shorter and with fewer rows. Losses,
 * outputs, states, gradients and updates must be those of the interpreter in f64, within a
 * bound that is computed (differential.c says how); threads, `train` against `grad` +
 * `update` and a repacked, poisoned workspace must not change a bit.
 *
 * All blocks that generated code is given end at a page that may not be touched.
 */
#ifndef RNNC_DIFFERENTIAL_H
#define RNNC_DIFFERENTIAL_H

#include "pipeline.h"

typedef struct {
    const char *name;    /* for messages */
    const char *text;    /* the spec */
    int64_t steps, rows; /* compiled for */
    uint64_t seed;
    bool cramped; /* for caches that hold next to nothing: the plan of a large model */
} Trial;

typedef enum {
    TRIAL_PASSED,
    TRIAL_FAILED,     /* messages were printed: a difference, a crash, a bug of ours */
    TRIAL_REFUSED,    /* the spec has mistakes; they are printed when RNNC_VERBOSE is set */
    TRIAL_UNSUITABLE, /* no inputs were found on which it is finite and well-conditioned */
    TRIAL_OUTCOMES
} Outcome;

/* Runs the trial in a process of its own: what crashes there is one failed trial. */
Outcome differential_run(const Trial *t);
/* The same for any body; what it returns is the outcome. */
Outcome trial_isolated(const Trial *t, Outcome (*body)(const Trial *t));

/* Prints which levels of instruction set trials run here, and which are skipped and why.
   RNNC_TRIAL_LEVELS in the environment: no more than so many, the best first. */
void differential_print_levels(void);

/* The spec through the passes up to `last` (NULL: all); NULL when it has mistakes. target
   NULL: one that only names a vector of 8. */
Unit *trial_unit(Arena *arena, const Trial *t, const Target *target, bool fuse,
                 const char *last);

/* The level as the trial would have it. */
Target *trial_target(Arena *arena, const Trial *t, const Target *level);

/* ---- draws: the same on every machine ---- */

typedef struct {
    uint64_t state;
} Draw;

uint64_t draw_bits(Draw *d);
double draw_unit(Draw *d);              /* [0, 1) */
int64_t draw_whole(Draw *d, int64_t n); /* 0 … n - 1 */

#endif
