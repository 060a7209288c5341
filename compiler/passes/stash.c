/*
 * stash.c — what the backward pass reads of the forward pass: kept or recomputed.
 *
 * A forward value that the backward pass needs costs a trip through memory for
 * every step of the chunk. A cheap elementwise operation costs less than that when
 * its operands are there anyway: `1 - f` beside a kept f, `f * h` beside f and the
 * state. Such nodes get a copy in the backward phase; what is dear (exp, a
 * division, a product, a reduction) or has operands that no one else needs is
 * kept, which is nothing but being used from the other phase.
 *
 * Runs last: sharing equal nodes would undo it.
 */
#include "passes/stash.h"

#include "passes/rewrite.h"
#include "passes/view.h"

typedef struct {
    const Node *old;
    bool *needed;    /* forward nodes with time that backward nodes read */
    bool *operand;   /* … a product among them: it must stand in memory anyway */
    bool *available; /* reading it in the backward pass costs nothing more */
    bool *remade;    /* recomputed there */
    NodeId *copy;    /* by old node: its copy in the new graph, or NO_NODE */
    NodeId *map;
    NodeId *stack; /* of old nodes whose copies wait for copies */
} Stash;

static bool is_forward(const Node *n)
{
    return n->phase == PHASE_FORWARD && (n->axes & AXIS_TIME);
}

static bool cheap(const Node *n)
{
    const OpDef *def = op_defs[n->op];
    return op_is_view(n->op) || (def->family == FAMILY_MAP && def->cheap);
}

static void find_needed(const Graph *g, const bool *live, Stash *s)
{
    for (NodeId id = 0; id < g->n_node; id++)
        for (int i = 0; live[id] && i < g->node[id].n_arg; i++) {
            NodeId base = view_base(g, g->node[id].arg[i]);
            if (g->node[id].phase == PHASE_BACKWARD && is_forward(&g->node[base])) {
                s->needed[base] = true;
                if (op_defs[g->node[id].op]->family == FAMILY_CONTRACT)
                    s->operand[base] = true;
            }
        }
}

static void decide(const Graph *g, Stash *s)
{
    const bool *of_state = view_state_values(g->arena, g);
    for (NodeId id = 0; id < g->n_node; id++) {
        const Node *n = &g->node[id];
        bool leaf = op_defs[n->op]->family == FAMILY_LEAF;
        bool can = !leaf && is_forward(n) && cheap(n) && !of_state[id] && !s->operand[id];
        for (int i = 0; can && i < n->n_arg; i++)
            can = s->available[n->arg[i]];
        s->remade[id] = can;
        s->available[id] =
            can || leaf || !(n->axes & AXIS_TIME) || s->needed[id] || of_state[id];
    }
}

static NodeId in_backward(const Stash *s, NodeId old)
{
    return s->remade[old] ? s->copy[old] : s->map[old];
}

/* An operand that needs a copy first, or NO_NODE. */
static NodeId missing_operand(const Stash *s, const Node *n)
{
    for (int i = 0; i < n->n_arg; i++)
        if (s->remade[n->arg[i]] && s->copy[n->arg[i]] == NO_NODE)
            return n->arg[i];
    return NO_NODE;
}

static NodeId copy_node(Graph *g, const Stash *s, const Node *n)
{
    NodeId arg[8];
    if (n->n_arg > COUNT(arg))
        BUG("elementwise operation with %d operands", n->n_arg);
    for (int i = 0; i < n->n_arg; i++)
        arg[i] = in_backward(s, n->arg[i]);
    g->phase = PHASE_BACKWARD;
    return graph_add(g, n->op, n->n_arg, arg, &n->attr);
}

/* What stands for a forward node in the backward phase: with its copy made, operands
   first. */
static NodeId remake(Graph *g, Stash *s, NodeId old)
{
    int n = 0;
    if (s->remade[old] && s->copy[old] == NO_NODE)
        s->stack[n++] = old;
    while (n > 0) {
        NodeId id = s->stack[n - 1], first = missing_operand(s, &s->old[id]);
        if (first != NO_NODE) {
            s->stack[n++] = first;
            continue;
        }
        s->copy[id] = copy_node(g, s, &s->old[id]);
        n--;
    }
    return in_backward(s, old);
}

static NodeId stash_node(Rewrite *r, const Node *n, const NodeId *given)
{
    Stash *s = rewrite_user(r);
    Graph *g = rewrite_graph(r);
    NodeId *arg = NEW_ARRAY(g->arena, NodeId, n->n_arg + 1);
    for (int i = 0; i < n->n_arg; i++)
        arg[i] = n->phase == PHASE_BACKWARD ? remake(g, s, n->arg[i]) : given[i];
    g->phase = n->phase;
    return s->map[rewrite_old(r)] = graph_add(g, n->op, n->n_arg, arg, &n->attr);
}

void stash_pass(Graph *g)
{
    int n = g->n_node + 1;
    Stash s = {.old = g->node};
    s.needed = NEW_ARRAY(g->arena, bool, n);
    s.operand = NEW_ARRAY(g->arena, bool, n);
    s.available = NEW_ARRAY(g->arena, bool, n);
    s.remade = NEW_ARRAY(g->arena, bool, n);
    s.copy = NEW_ARRAY(g->arena, NodeId, n);
    s.map = NEW_ARRAY(g->arena, NodeId, n);
    s.stack = NEW_ARRAY(g->arena, NodeId, n);
    for (int i = 0; i < n; i++)
        s.copy[i] = s.map[i] = NO_NODE;
    find_needed(g, graph_live(g), &s);
    decide(g, &s);
    graph_rewrite(g, stash_node, &s);
}
