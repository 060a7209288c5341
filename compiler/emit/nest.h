/*
 * nest.h — a nest being emitted: shared by nest.c (the function, its sweeps) and
 * nest_product.c (its contraction).
 */
#ifndef RNNC_EMIT_NEST_H
#define RNNC_EMIT_NEST_H

#include "emit/kernel.h"

/* What a nest is emitted with: its stage tells the loops around it. */
typedef struct {
    Emitter *e;
    Ir *ir;
    StageKind kind;
    const Nest *nest;
    bool by_features;       /* threads do not keep to their rows */
    bool one_step, one_row; /* in time: all that a call is ever for */
} NestCode;

/* Do threads take parts of its features? */
bool nest_is_split(const NestCode *n);
/* This thread's part of `extent` in whole units, sizes differing by at most one unit. */
Part nest_part(const NestCode *n, int dimension, int64_t extent);

/* A product with packed operand, for all points of the call. */
void nest_product(const NestCode *n, const Contraction *c);
/* A sum over points. */
void nest_product_sum(const NestCode *n, const Contraction *c);

#endif
