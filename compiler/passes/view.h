/* view.h — where a value stands, seen through moves. See view.c. */
#ifndef RNNC_VIEW_H
#define RNNC_VIEW_H

#include "graph/ops.h"

bool op_is_view(
    OpCode op); /* spread broadcast reshape transpose slice: an access, never code */
bool op_is_inline(
    OpCode op); /* constant iota random step extent training: made wherever they are used */

/* A value as an affine view of its base (a node that is no view): element index ->
   offset + Σ index[d] * stride[d] in the base's row-major numbering. */
typedef struct {
    NodeId base;
    int64_t offset;
    int64_t stride[MAX_RANK];
    bool direct; /* the base itself, element for element */
} View;

/* false when some reshape on the way cannot be said with strides: settle has seen to it
   that this never happens behind it. */
bool view_of(const Graph *g, NodeId id, View *out);
NodeId view_base(const Graph *g, NodeId id);
/* Flags of nodes, by node: what a step leaves in a state, and what states start from. Who
   reads the state reads these, though they are no operands of its. */
bool *view_state_values(Arena *arena, const Graph *g);

#endif
