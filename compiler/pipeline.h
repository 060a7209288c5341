/*
 * pipeline.h — one compilation: what goes in, what comes out, and the passes between.
 */
#ifndef RNNC_PIPELINE_H
#define RNNC_PIPELINE_H

#include "emit/emit.h"
#include "passes/plan.h"
#include "passes/stage.h"
#include "spec/spec.h"

typedef struct {
    const char *spec_path;
    const char *library; /* a folder in place of the embedded library, or NULL */
    const Override *override;
    int n_override;
    const char *target; /* a level's name; NULL: the host's */
    bool fuse;
    bool marks;                  /* code for --profile: kernels tell of themselves */
    int64_t steps_max, rows_max; /* 0: as the spec's tbptt and data say */
} Options;

/* Everything that one compilation makes. Lives in the arena. */
typedef struct {
    Arena *arena;
    Diag *diag;
    Options options;
    const Target *target;
    Spec *spec;
    Graph *graph;
    Stages *stages; /* of the graph that fuse takes */
    Plan *plan;
    int data_code, n_data_error; /* of the runtime: why files failed first; mistakes that
                                    are the data's, not the spec's */
    const char
        *vocabulary; /* JSON: what a class without a number was sized by; NULL: none */
    int64_t steps_max, rows_max, points_max; /* of a chunk; points: steps × rows */
    Loc extent_loc;                          /* of the larger of steps and rows, … */
    const char *extent_key;                  /* … and its key */
} Unit;

/* One row of the table of passes. `run` leaves mistakes in unit->diag. */
typedef struct {
    const char *name, *what;
    void (*run)(Unit *u);
    void (*dump)(const Unit *u, FILE *out); /* NULL: nothing to show */
    void (*verify)(const Unit *u);          /* NULL: nothing to check */
} Pass;

extern const Pass passes[];
extern const int n_pass;

/* Runs the passes up to and with `last` (NULL: all). false after mistakes, which are
 * printed. */
bool pipeline_run(Unit *u, const char *last);

#endif
