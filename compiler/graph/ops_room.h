/*
 * ops_room.h — what the files that define operations share; nobody else includes it.
 */
#ifndef RNNC_OPS_ROOM_H
#define RNNC_OPS_ROOM_H

#include "graph/ops.h"

#define OP(NAME, name) extern const OpDef op_##name;
#include "graph/ops.def"
#undef OP

/* "operand is [3], not [4]" and the like, in the graph's arena. */
#define REFUSE(g, ...) arena_print((g)->arena, __VA_ARGS__)
#define SHAPE(g, id)   shape_print((g)->arena, &(g)->node[id].shape)

/* The shape without the dimensions of `mask`. */
Shape shape_without(const Shape *s, uint32_t mask);
/* A node over what is left of `shape` without `mask`, brought back to `shape`, each value
   repeated along the dimensions that were gone. */
NodeId graph_unreduce(Graph *g, NodeId a, Shape shape, uint32_t mask);

/* recipe.c: elementary functions out of scalar instructions. */
Val recipe_exp(ScalarEmitter *s, const Val *arg);
Val recipe_expm1(ScalarEmitter *s, const Val *arg);
Val recipe_log(ScalarEmitter *s, const Val *arg);
Val recipe_log1p(ScalarEmitter *s, const Val *arg);
Val recipe_tanh(ScalarEmitter *s, const Val *arg);
Val recipe_erf(ScalarEmitter *s, const Val *arg);
Val recipe_sin(ScalarEmitter *s, const Val *arg);
Val recipe_cos(ScalarEmitter *s, const Val *arg);
Val recipe_pow(ScalarEmitter *s, const Val *arg);
Val recipe_mod(ScalarEmitter *s, const Val *arg);

#endif
