/* commute.h — products in front of gathers, ahead of grad. See commute.c. */
#ifndef RNNC_COMMUTE_H
#define RNNC_COMMUTE_H

#include "graph/graph.h"

/* points: steps and rows of a chunk; a table of fewer classes is multiplied as a whole. */
void commute_pass(Graph *g, int64_t points);

#endif
