/* describe.h — a graph's tables as the runtime sees them. See describe.c. */
#ifndef RNNC_DESCRIBE_H
#define RNNC_DESCRIBE_H

#include "graph/graph.h"
#include "rnn_abi.h"

/*
 * The tables of a compiled model: inputs, parameters, states, scalars, metrics with their
 * offsets, and the sizes of all blocks. Not set: procedures, target, spec_hash (""),
 * workspace (0 bytes), threads_max (1), context. Lives in the arena.
 */
struct rnn_model *graph_describe(Arena *arena, const Graph *g, int64_t steps_max,
                                 int64_t rows_max);

#endif
