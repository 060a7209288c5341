/*
 * grad.c — reverse mode over the graph of one step.
 *
 * Walking the forward nodes backwards, each node's cotangent (the loss's derivative by it)
 * is complete when the walk gets there, for all its users stand behind it; its
 * operation's rule then gives the operands theirs. Seeded with 1 at the loss.
 *
 * Time. What step t + 1 found in a state is what step t left in it, so the cotangent of
 * the leaf at t + 1 belongs to `next` at t: it is a state itself, of the backward
 * direction, zero behind the last step. Its leaf is added to the cotangent of the forward
 * `next`; its own `next` is the total cotangent of the forward leaf. What it holds after
 * the first step goes to the forward `entry`: so a learned initial state gets its
 * gradient, and a carried one, a leaf without a rule, drops it.
 *
 *     forward    entry → leaf … next → leaf … next          →  time
 *     backward   final ← next … leaf ← next … leaf ← zeros
 *
 * Only nodes between a trained parameter and the loss take part. Rules answer for all
 * operands, so some nodes are for nobody: they are dropped at the end.
 *
 * Needs: forward phase, loss.  Makes: backward phase, backward states, Param.gradient.
 */
#include "passes/grad.h"

#include <string.h>

#include "graph/ops.h"

typedef struct {
    Graph *g;
    int n_forward;     /* nodes there were before */
    int n_state;       /* states likewise */
    bool *active;      /* [n_forward]: on a way from a trained parameter to the loss */
    NodeId *cotangent; /* [n_forward] */
    int *back;         /* [n_state]: the backward state of a forward one, or -1 */
} Grad;

/* ---- which nodes take part ---- */

static bool is_trained(const Graph *g, const Node *n)
{
    return n->op == OP_PARAM && g->param[n->attr.index].trained;
}

static bool passes_gradient(const Node *n)
{
    return n->phase == PHASE_FORWARD && (op_defs[n->op]->grad || n->op == OP_STATE);
}

/* depends[id]: a trained parameter stands before it, through states as well. */
static bool *find_dependent(const Graph *g)
{
    bool *depends = NEW_ARRAY(g->arena, bool, g->n_node);
    for (bool changed = true; changed;) {
        changed = false;
        for (NodeId id = 0; id < g->n_node; id++) {
            const Node *n = &g->node[id];
            bool d = is_trained(g, n);
            for (int i = 0; passes_gradient(n) && i < n->n_arg; i++)
                d = d || depends[n->arg[i]];
            if (n->op == OP_STATE)
                d = depends[g->state[n->attr.index].entry] ||
                    depends[g->state[n->attr.index].next];
            changed = changed || d != depends[id];
            depends[id] = d;
        }
    }
    return depends;
}

/* reaches[id]: the loss stands behind it. */
static bool *find_reaching(const Graph *g)
{
    bool *reaches = NEW_ARRAY(g->arena, bool, g->n_node);
    reaches[g->loss] = true;
    for (bool changed = true; changed;) {
        changed = false;
        for (NodeId id = g->n_node - 1; id >= 0; id--) {
            const Node *n = &g->node[id];
            if (!reaches[id] || !passes_gradient(n))
                continue;
            for (int i = 0; i < n->n_arg; i++)
                reaches[n->arg[i]] = true;
            if (n->op != OP_STATE)
                continue;
            const State *s = &g->state[n->attr.index];
            changed = changed || !reaches[s->entry] || !reaches[s->next];
            reaches[s->entry] = reaches[s->next] = true;
        }
    }
    return reaches;
}

static void find_active(Grad *p)
{
    bool *depends = find_dependent(p->g), *reaches = find_reaching(p->g);
    p->active = depends;
    for (NodeId id = 0; id < p->n_forward; id++)
        p->active[id] = depends[id] && reaches[id];
}

/* ---- cotangents ---- */

/* In the order of the walk, so that sums are the same every time. */
static void receive(Grad *p, NodeId to, NodeId part)
{
    if (part == NO_NODE || !p->active[to])
        return;
    NodeId *sum = &p->cotangent[to];
    *sum = *sum == NO_NODE ? part : graph_map2(p->g, OP_ADD, *sum, part);
}

static void back_state(Grad *p, int forward)
{
    Graph *g = p->g;
    int back = g->n_state;
    State *b = PUSH(g->arena, g->state, g->n_state, g->state_capacity);
    const State f = g->state[forward];
    Attr attr = {.index = back, .shape = f.shape};
    *b = (State){.name = arena_print(g->arena, "d.%s", f.name),
                 .shape = f.shape,
                 .backward = true,
                 .leaf = graph_add(g, OP_STATE, 0, NULL, &attr),
                 .entry = graph_spread(g, graph_full(g, 0, f.shape), AXIS_ROW),
                 .next = NO_NODE,
                 .carried = NO_NODE};
    p->back[forward] = back;
    receive(p, f.next, b->leaf);
    receive(p, f.entry, graph_add(g, OP_FINAL, 0, NULL, &attr));
}

static void open_states(Grad *p)
{
    for (int i = 0; i < p->n_state; i++) {
        p->back[i] = -1;
        if (p->active[p->g->state[i].leaf])
            back_state(p, i);
    }
}

static void close_states(Grad *p)
{
    Graph *g = p->g;
    for (int i = 0; i < p->n_state; i++) {
        if (p->back[i] < 0)
            continue;
        State *b = &g->state[p->back[i]];
        NodeId total = p->cotangent[g->state[i].leaf];
        b->next = total != NO_NODE ? total : graph_spread(g, b->entry, AXES_ALL);
    }
}

static void walk(Grad *p)
{
    Graph *g = p->g;
    for (NodeId id = p->n_forward - 1; id >= 0; id--) {
        const Node n = g->node[id];
        if (p->cotangent[id] == NO_NODE || !passes_gradient(&n) || n.n_arg == 0)
            continue;
        NodeId *dx = NEW_ARRAY(g->arena, NodeId, n.n_arg);
        for (int i = 0; i < n.n_arg; i++)
            dx[i] = NO_NODE;
        g->loc = n.loc;
        op_defs[n.op]->grad(g, id, p->cotangent[id], dx);
        for (int i = 0; i < n.n_arg; i++)
            receive(p, n.arg[i], dx[i]);
    }
}

/* ---- what nobody reads ---- */

/* Marks the new nodes that a kept one needs. Backward states are kept whole. */
static bool *find_live(const Grad *p)
{
    const Graph *g = p->g;
    bool *live = NEW_ARRAY(g->arena, bool, g->n_node);
    for (int i = 0; i < g->n_param; i++)
        if (g->param[i].gradient != NO_NODE)
            live[g->param[i].gradient] = true;
    for (int i = p->n_state; i < g->n_state; i++)
        live[g->state[i].leaf] = live[g->state[i].entry] = live[g->state[i].next] = true;
    for (NodeId id = g->n_node - 1; id >= p->n_forward; id--)
        for (int i = 0; live[id] && i < g->node[id].n_arg; i++)
            live[g->node[id].arg[i]] = true;
    return live;
}

static void drop_dead(Grad *p)
{
    Graph *g = p->g;
    const bool *live = find_live(p);
    NodeId *now = NEW_ARRAY(g->arena, NodeId, g->n_node), kept = p->n_forward;
    for (NodeId id = 0; id < g->n_node; id++) {
        now[id] = id < p->n_forward ? id : kept;
        if (id < p->n_forward || !live[id])
            continue;
        g->node[kept] = g->node[id];
        for (int i = 0; i < g->node[kept].n_arg; i++)
            g->node[kept].arg[i] = now[g->node[kept].arg[i]];
        kept++;
    }
    g->n_node = kept;
    for (int i = 0; i < g->n_param; i++)
        if (g->param[i].gradient != NO_NODE)
            g->param[i].gradient = now[g->param[i].gradient];
    for (int i = p->n_state; i < g->n_state; i++) {
        State *s = &g->state[i];
        s->leaf = now[s->leaf], s->entry = now[s->entry], s->next = now[s->next];
    }
}

/* ---- the pass ---- */

static void note_gradients(Grad *p)
{
    for (int i = 0; i < p->g->n_param; i++) {
        Param *param = &p->g->param[i];
        param->gradient = NO_NODE;
        if (param->trained && param->leaf != NO_NODE)
            param->gradient = p->cotangent[param->leaf];
    }
}

void grad_pass(Graph *g)
{
    if (g->loss == NO_NODE)
        return;
    Grad p = {.g = g, .n_forward = g->n_node, .n_state = g->n_state};
    Phase phase = g->phase;
    Loc loc = g->loc;
    g->phase = PHASE_BACKWARD;
    find_active(&p);
    p.back = NEW_ARRAY(g->arena, int, g->n_state);
    p.cotangent = NEW_ARRAY(g->arena, NodeId, g->n_node);
    for (NodeId id = 0; id < g->n_node; id++)
        p.cotangent[id] = NO_NODE;
    open_states(&p);
    receive(&p, g->loss, graph_constant(g, 1));
    walk(&p);
    close_states(&p);
    note_gradients(&p);
    drop_dead(&p);
    g->phase = phase;
    g->loc = loc;
}
