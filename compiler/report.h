/*
 * report.h — what the commands that explain a compilation share: counts of a plan's work,
 * the plan in words, gradients checked.
 */
#ifndef RNNC_REPORT_H
#define RNNC_REPORT_H

#include "pipeline.h"

/* ---- cost.c: what a plan computes and moves ---- */

typedef struct {
    double product;     /* operations of products: 2 for each multiply-add */
    double elementwise; /* elementwise operations and terms of sums; an exp counts as one */
    double read_bytes,
        written_bytes; /* of buffers and blocks, in cache or not; no scratch */
} Cost;

enum { ANY_PHASE = -1 };

/* Of a chunk of steps_max and rows_max. phase: only nodes of this Phase count, or
   ANY_PHASE; bytes are counted for ANY_PHASE alone. */
Cost cost_of_nest(const Plan *p, const Stage *s, const Group *group, const Nest *n,
                  int phase);
Cost cost_of_stage(const Plan *p, const Stage *s, int phase);
Cost cost_of_procedure(const Plan *p, ProcId proc, int phase);

void cost_add(Cost *to, Cost more);
/* What the work should take on a machine with this peak of multiply-adds, in operations a
   second: see cost.c. */
double cost_seconds(Cost cost, double peak);

/* "12.3 k", "4.56 M": three digits. */
const char *count_print(Arena *arena, double n);
/* "128 bytes", "1.25 KiB". */
const char *bytes_print(Arena *arena, double n);

/* ---- explain.c ---- */

/* The chunk program in words. */
void explain_plan(const Plan *p, FILE *out);
/* What was refused in fusing and placing, and why, as notes at the spec's lines. */
void explain_notes(const Plan *p, Diag *d);

/* ---- summary.c, gradients.c ---- */

/* A compiled unit (all passes have run): shapes, parameters, memory, work, settings. */
void summary_print(const Unit *u, FILE *out);
/* How a unit is trained: the variant of truncated BPTT in words. */
void summary_variant(const Unit *u, FILE *out);
/* A unit up to the pass `grad`: every parameter's gradient against complex step in the
   interpreter. */
typedef enum {
    GRADIENTS_RIGHT,
    GRADIENTS_UNCHECKED, /* no step counts: said */
    GRADIENTS_NOT_FINITE,
    GRADIENTS_WRONG
} GradientsVerdict;
GradientsVerdict gradients_check(const Unit *u, FILE *out);

#endif
