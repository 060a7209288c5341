/* simplify.h — algebra on the whole graph, behind grad. See simplify.c. */
#ifndef RNNC_SIMPLIFY_H
#define RNNC_SIMPLIFY_H

#include "graph/graph.h"

void simplify_pass(Graph *g);
#endif
