/*
 * build_reach.c — what nodes depend on, by a walk over operands. A state is followed to
 * what the step leaves in it and, when asked, to its value at the start, be it the chunk's
 * or a reset's.
 */
#include "graph/ops.h"
#include "passes/build_room.h"

typedef struct {
    const Graph *g;
    const NodeId *resets; /* [n_node]: a state's leaf, where this node starts it anew */
    ReachRule rule;
    bool *seen;
    NodeId *stack;
    int n;
} Walk;

static void visit(Walk *w, NodeId node)
{
    if (node == NO_NODE || w->seen[node])
        return;
    w->seen[node] = true;
    w->stack[w->n++] = node;
}

static void visit_operands(Walk *w, const Node *n)
{
    if (n->op == OP_STATE) {
        visit(w, w->g->state[n->attr.index].next);
        if (w->rule.entry)
            visit(w, w->g->state[n->attr.index].entry);
        return;
    }
    NodeId leaf = w->resets[n - w->g->node];
    if (leaf != NO_NODE && !w->rule.entry) {
        visit(w, leaf);
        return;
    }
    if (w->rule.gradient && n->n_arg && !op_defs[n->op]->grad)
        return;
    bool declared = w->rule.gradient && n->op == OP_SURROGATE; /* its odd operands alone */
    for (int i = declared; i < n->n_arg; i += 1 + declared)
        visit(w, n->arg[i]);
}

static const NodeId *find_resets(const Build *b)
{
    const Graph *g = b->g;
    NodeId *resets = NEW_ARRAY(b->arena, NodeId, g->n_node);
    for (NodeId id = 0; id < g->n_node; id++)
        resets[id] = NO_NODE;
    for (int i = 0; i < b->n_found; i++)
        if (b->found[i] != g->state[i].leaf)
            resets[b->found[i]] = g->state[i].leaf;
    return resets;
}

bool *reach_from(Build *b, const NodeId *root, int n_root, ReachRule rule)
{
    const Graph *g = b->g;
    Walk w = {.g = g, .rule = rule, .resets = find_resets(b)};
    w.seen = NEW_ARRAY(b->arena, bool, g->n_node);
    w.stack = NEW_ARRAY(b->arena, NodeId, g->n_node);
    for (int i = 0; i < n_root; i++)
        visit(&w, root[i]);
    while (w.n)
        visit_operands(&w, &g->node[w.stack[--w.n]]);
    return w.seen;
}
