/* search.c — see search.h. Depth first, with a stack of its own. */
#include "passes/search.h"

Search search_new(Arena *arena, const Node *node, int n_node)
{
    return (Search){.node = node,
                    .seen = NEW_ARRAY(arena, int, n_node + 1),
                    .stack = NEW_ARRAY(arena, NodeId, n_node + 1)};
}

bool search_needs(Search *w, NodeId from, NodeId floor, SearchEnd *is_end, const void *user)
{
    int n = 0;
    w->n_search++;
    w->stack[n++] = from;
    while (n > 0) {
        NodeId id = w->stack[--n];
        if (is_end(id, user))
            return true;
        for (int i = 0; i < w->node[id].n_arg; i++) {
            NodeId arg = w->node[id].arg[i];
            if (arg >= floor && w->seen[arg] != w->n_search)
                w->stack[n++] = arg;
            w->seen[arg] = w->n_search;
        }
    }
    return false;
}
