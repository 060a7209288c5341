/*
 * interp.h — the reference interpreter: what a graph means, computed node by node.
 *
 * Slow and plain: every node has its values for every step and row; a value is
 * found on demand (state at t asks for `next` at t - 1, a total asks for all
 * steps), with a stack of its own, so there is no schedule that could be wrong in
 * the same way as the compiler's. Three precisions: f32 (each operation rounded to
 * float; wide nodes stay double), f64, and complex, whose imaginary part carries a
 * derivative through every operation (complex step; Squire and Trapp 1998).
 */
#ifndef RNNC_INTERP_H
#define RNNC_INTERP_H

#include "graph/ops.h"
#include "rnn_abi.h"

typedef enum { INTERP_F32, INTERP_F64, INTERP_COMPLEX } Precision;

typedef struct Interp Interp;

/* In f32 sums are added in double and rounded once. For chunks of at most `steps` and
 * `rows`. Memory is of the arena. */
Interp *interp_new(Arena *arena, const Graph *g, Precision precision, int64_t steps,
                   int64_t rows);
/* Forgets all values; the chunk to come has these extents. Data set by interp_set stays. */
void interp_begin(Interp *p, int64_t steps, int64_t rows, bool training,
                  struct rnn_rng rng);
/* The steps of this chunk before it are a window's old ones; interp_begin makes it 0. */
void interp_loss_from(Interp *p, int64_t loss_from);
/* Gives a leaf its values: [steps][rows][features], [rows][features] or [features] by its
   axes, outermost first, with the extents of the last interp_begin. im NULL: zeros. Copied.
   re NULL takes the values back. What is not given: inputs, parameters, start and carried
   are a bug of the caller's when they are read; scalars and the optimizer's states have
   their values at the start; a gradient is that of the backward phase. */
void interp_set(Interp *p, NodeId leaf, const double *re, const double *im);
/* The node's values at step t of row b (ignored where it has no such axis): shape_size of
 * them. */
const double *interp_re(Interp *p, NodeId node, int64_t t, int64_t b);
const double *interp_im(Interp *p, NodeId node, int64_t t, int64_t b);

/*
 * A model whose procedures interpret the graph, in INTERP_F32 or INTERP_F64; it lives in
 * the arena. Thread 0 does all the work. `step` reads no input that only the loss uses.
 */
const struct rnn_model *interp_model(Arena *arena, const Graph *g, Precision precision,
                                     int64_t steps_max, int64_t rows_max);

#endif
