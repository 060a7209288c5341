/* einsum.h — the forms of contractions that plans know, and sums of parts. See einsum.c. */
#ifndef RNNC_EINSUM_H
#define RNNC_EINSUM_H

#include "graph/graph.h"

/*
 * The einsum of a and b in plan form, or NO_NODE when it is in that form already:
 *   - labels are single b (in both and the result), m (first operand and result), n (second
 * and result), k (both, summed), the result in the order b m n;
 *   - not summed over points: the first operand has axes, the second none (a weight);
 *   - summed over points: the result has no axes and both operands have all that is summed.
 * Anything else becomes a product of broadcasts and a sum.
 */
NodeId einsum_canonical(Graph *g, const Attr *attr, NodeId a, NodeId b, Axes axes);

/* a + b as one concatenation when both are zero but for parts that fit together, else
 * NO_NODE. */
NodeId add_parts(Graph *g, NodeId a, NodeId b);

#endif
