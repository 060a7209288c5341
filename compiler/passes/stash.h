/* stash.h — what the backward pass reads: kept or recomputed. See stash.c. */
#ifndef RNNC_STASH_H
#define RNNC_STASH_H

#include "graph/graph.h"

void stash_pass(Graph *g);

#endif
