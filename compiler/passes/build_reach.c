/*
 * build_reach.c — what nodes depend on, by a walk over operands. A state is followed to
 * what the step leaves in it, one step back, and, when asked, to its value at the start, be
 * it the chunk's or a reset's. Nearer steps are walked first, so each node is met as few
 * steps back as there are ways to it.
 */
#include "graph/ops.h"
#include "passes/build_room.h"

typedef struct {
    const Graph *g;
    const NodeId *resets; /* [n_node]: a state's leaf, where this node starts it anew */
    ReachRule rule;
    int *steps;     /* by node: how many steps back it was met first; NOT_MET */
    NodeId *stack;  /* of this step */
    NodeId *before; /* met one step further back */
    int n, n_before, step;
} Walk;

enum { NOT_MET = -1 };

static void visit(Walk *w, NodeId node)
{
    if (node == NO_NODE || w->steps[node] != NOT_MET)
        return;
    w->steps[node] = w->step;
    w->stack[w->n++] = node;
}

static void visit_operands(Walk *w, const Node *n)
{
    if (n->op == OP_STATE) {
        w->before[w->n_before++] = w->g->state[n->attr.index].next;
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

/* All of this step, then what the step before left. */
static void walk(Walk *w)
{
    while (w->n > 0 || w->n_before > 0) {
        while (w->n > 0)
            visit_operands(w, &w->g->node[w->stack[--w->n]]);
        const int n = w->n_before;
        w->n_before = 0;
        w->step++;
        for (int i = 0; i < n; i++)
            visit(w, w->before[i]);
    }
}

int *reach_steps(Build *b, const NodeId *root, int n_root, ReachRule rule)
{
    const Graph *g = b->g;
    Walk w = {.g = g, .rule = rule, .resets = find_resets(b)};
    w.steps = NEW_ARRAY(b->arena, int, g->n_node);
    w.stack = NEW_ARRAY(b->arena, NodeId, g->n_node);
    w.before = NEW_ARRAY(b->arena, NodeId, g->n_node);
    for (NodeId id = 0; id < g->n_node; id++)
        w.steps[id] = NOT_MET;
    for (int i = 0; i < n_root; i++)
        visit(&w, root[i]);
    walk(&w);
    return w.steps;
}

bool *reach_from(Build *b, const NodeId *root, int n_root, ReachRule rule)
{
    const int *steps = reach_steps(b, root, n_root, rule);
    bool *met = NEW_ARRAY(b->arena, bool, b->g->n_node);
    for (NodeId id = 0; id < b->g->n_node; id++)
        met[id] = steps[id] != NOT_MET;
    return met;
}
