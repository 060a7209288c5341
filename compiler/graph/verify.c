/*
 * verify.c — what is always true of a graph, checked after every pass.
 *
 * Operands stand before their users; each node's type is what its operation's rule says;
 * a phase reads only phases that are over by then; tables and leaves name each other.
 */
#include "graph/ops.h"

static void verify_type(const Graph *g, NodeId id)
{
    const Node *n = &g->node[id];
    const OpDef *def = op_defs[n->op];
    if (def->arity >= 0 && def->arity != n->n_arg)
        BUG("%%%d = %s has %d operands", (int)id, def->name, n->n_arg);
    Node again = {0};
    const char *why = def->infer(g, n->n_arg, n->arg, &n->attr, &again);
    if (why)
        BUG("%%%d = %s: %s", (int)id, def->name, why);
    if (!shape_equal(&again.shape, &n->shape) || again.axes != n->axes ||
        again.wide != n->wide)
        BUG("%%%d = %s is not of the type that its operands give", (int)id, def->name);
}

/* Initial values are a world of their own. */
static void verify_phase(const Graph *g, NodeId id, NodeId arg)
{
    Phase user = g->node[id].phase, used = g->node[arg].phase;
    if (used > user || (used == PHASE_INIT && user != PHASE_INIT))
        BUG("%%%d reads %%%d of a phase that it cannot see", (int)id, (int)arg);
}

static int table_size(const Graph *g, OpCode op)
{
    if (op == OP_INPUT)
        return g->n_input;
    if (op == OP_PARAM || op == OP_GRADIENT)
        return g->n_param;
    if (op == OP_STATE || op == OP_CARRIED || op == OP_FINAL)
        return g->n_state;
    if (op == OP_SCALAR)
        return g->n_scalar;
    if (op == OP_SOFAR)
        return g->n_running;
    return op == OP_OPTIMIZER ? g->n_optimizer : INT32_MAX;
}

static void verify_node(const Graph *g, NodeId id)
{
    const Node *n = &g->node[id];
    for (int i = 0; i < n->n_arg; i++) {
        if (n->arg[i] < 0 || n->arg[i] >= id)
            BUG("%%%d uses %%%d, which does not stand before it", (int)id, (int)n->arg[i]);
        verify_phase(g, id, n->arg[i]);
    }
    if (n->attr.index < 0 || n->attr.index >= table_size(g, n->op))
        BUG("%%%d = %s names entry %d, which is not there", (int)id, op_defs[n->op]->name,
            n->attr.index);
    verify_type(g, id);
}

/* The table's node is there and of this type; NO_NODE passes where it may. */
static void verify_root(const Graph *g, const char *what, const char *name, NodeId id,
                        bool may_miss, const Shape *shape, Axes axes)
{
    if (id == NO_NODE && may_miss)
        return;
    if (id < 0 || id >= g->n_node)
        BUG("%s of %s is node %d", what, name, (int)id);
    const Node *n = &g->node[id];
    if ((shape && !shape_equal(shape, &n->shape)) || n->axes != axes)
        BUG("%s of %s, %%%d, has the wrong type", what, name, (int)id);
}

static void verify_leaf(const Graph *g, const char *name, NodeId id, OpCode op, int index)
{
    if (id != NO_NODE && (g->node[id].op != op || g->node[id].attr.index != index))
        BUG("%%%d is not the leaf of %s", (int)id, name);
}

static void verify_states(const Graph *g)
{
    for (int i = 0; i < g->n_state; i++) {
        const State *s = &g->state[i];
        verify_root(g, "leaf", s->name, s->leaf, s->backward, &s->shape, AXES_ALL);
        verify_root(g, "entry", s->name, s->entry, s->backward, &s->shape, AXIS_ROW);
        verify_root(g, "next", s->name, s->next, s->backward, &s->shape, AXES_ALL);
        verify_root(g, "carried", s->name, s->carried, true, &s->shape, AXIS_ROW);
        verify_leaf(g, s->name, s->leaf, OP_STATE, i);
        verify_leaf(g, s->name, s->carried, OP_CARRIED, i);
    }
}

static void verify_params(const Graph *g)
{
    for (int i = 0; i < g->n_param; i++) {
        const Param *p = &g->param[i];
        verify_root(g, "leaf", p->name, p->leaf, true, &p->shape, 0);
        verify_root(g, "init", p->name, p->init, true, &p->shape, 0);
        verify_root(g, "gradient", p->name, p->gradient, true, &p->shape, 0);
        verify_root(g, "next", p->name, p->next, true, &p->shape, 0);
        verify_leaf(g, p->name, p->leaf, OP_PARAM, i);
    }
}

static void verify_others(const Graph *g)
{
    const Shape real = {0};
    for (int i = 0; i < g->n_input; i++) {
        const Input *in = &g->input[i];
        verify_root(g, "leaf", in->name, in->leaf, true, &in->shape,
                    in->per_sequence ? AXIS_ROW : AXES_ALL);
        verify_leaf(g, in->name, in->leaf, OP_INPUT, i);
    }
    for (int i = 0; i < g->n_optimizer; i++) {
        const OptimizerState *s = &g->optimizer[i];
        verify_root(g, "leaf", s->name, s->leaf, true, &s->shape, 0);
        verify_root(g, "next", s->name, s->next, true, &s->shape, 0);
    }
    for (int i = 0; i < g->n_metric; i++)
        verify_root(g, "value", g->metric[i].name, g->metric[i].value, false, &real, 0);
    for (int i = 0; i < g->n_running; i++) {
        verify_root(g, "leaf", "a running sum", g->running[i].leaf, true, &real, 0);
        verify_root(g, "next", "a running sum", g->running[i].next, false, &real, 0);
        verify_leaf(g, "a running sum", g->running[i].leaf, OP_SOFAR, i);
    }
    verify_root(g, "loss", g->name, g->loss, true, &real, 0);
    verify_root(g, "weight", g->name, g->weight, true, &real, 0);
    verify_root(g, "gradient norm", g->name, g->gradient_norm, true, &real, 0);
}

void graph_verify(const Graph *g)
{
    for (NodeId id = 0; id < g->n_node; id++)
        verify_node(g, id);
    verify_states(g);
    verify_params(g);
    verify_others(g);
}
