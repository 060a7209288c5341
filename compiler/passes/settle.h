/* settle.h — what must stand in memory of its own gets a node of its own. See settle.c. */
#ifndef RNNC_SETTLE_H
#define RNNC_SETTLE_H

#include "graph/graph.h"

void settle_pass(Graph *g);
/* BUG with a sentence when the graph is not settled. */
void settle_verify(const Graph *g);

#endif
