/* stage.h — map or scan: which nodes run for all steps at once. See stage.c. */
#ifndef RNNC_STAGE_H
#define RNNC_STAGE_H

#include "graph/graph.h"

typedef struct {
    int n_component;
    int *component;  /* by node; numbered so that what is needed has the smaller number */
    bool *recurrent; /* by node: in a cycle through a state */
} Stages;

Stages *stage_pass(const Graph *g);
/* BUG with a sentence when the order cannot be computed in, or a cycle is none. */
void stage_verify(const Graph *g, const Stages *s);

#endif
