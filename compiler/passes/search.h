/*
 * search.h — does a node need another, by any way within the step?
 */
#ifndef RNNC_SEARCH_H
#define RNNC_SEARCH_H

#include "graph/graph.h"

typedef struct {
    const Node *node;
    int *seen, n_search; /* by node: the number of the last search that met it */
    NodeId *stack;
} Search;

Search search_new(Arena *arena, const Node *node, int n_node);

/* What a search looks for. */
typedef bool SearchEnd(NodeId id, const void *user);

/* Whether `from`, or what it needs, is one that is looked for. Operands stand before users,
   so nothing before `floor` is gone through: the first that may be looked for. */
bool search_needs(Search *w, NodeId from, NodeId floor, SearchEnd *is_end,
                  const void *user);

#endif
