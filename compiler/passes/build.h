/*
 * build.h — the build pass: a typed spec becomes the graph of one step.
 */
#ifndef RNNC_BUILD_H
#define RNNC_BUILD_H

#include "base/base.h"
#include "graph/graph.h"
#include "spec/spec.h"

/*
 * Makes the step graph of a spec: the model inlined, its parameters with their first
 * values, its states with their loops, loss, metrics, and the optimizer's equations for
 * each trained parameter. Gradients are not there yet: the update reads them through
 * OP_GRADIENT leaves.
 *
 * Mistakes go to `d`, as many in one run as can be told apart; NULL when there were any.
 * The graph lives in the arena and keeps places that point into the spec's sources.
 */
Graph *build_pass(Arena *arena, Diag *d, const Spec *spec);

/* For `rnnc list functions`: the compiler's own function i and, in words, what it takes;
   NULL behind the last. */
const char *build_function_name(Arena *arena, int i, const char **takes);

#endif
