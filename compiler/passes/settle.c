/*
 * settle.c — every value that must stand in memory of its own gets a node of its own.
 *
 * Behind this pass a plan can be made without second thoughts: the next value of
 * each state, the parts of each concatenation, gradients, updates, outputs and
 * results are each a computed node that no one else has claimed; operands of
 * products stand in memory with the strides that products need; every reshape is
 * a view. A copy is OP_DETACH, which has no other use behind grad.
 *
 * No simplification may follow: it would take the copies away again.
 */
#include "passes/settle.h"

#include "passes/rewrite.h"
#include "passes/view.h"

typedef struct {
    Graph *g;
    bool *claimed; /* by new node: someone's own place */
    int capacity;
} Settle;

static NodeId copy_of(Graph *g, NodeId id)
{
    return graph_add(g, OP_DETACH, 1, &id, &(Attr){0});
}

static bool computed(const Graph *g, NodeId id)
{
    OpCode op = g->node[id].op;
    return !op_is_view(op) && op_defs[op]->family != FAMILY_LEAF;
}

static bool claim(Settle *s, NodeId id)
{
    if (id >= s->capacity) {
        int capacity = 2 * id + 64;
        s->claimed =
            arena_grow(s->g->arena, s->claimed, (size_t)s->capacity, (size_t)capacity);
        s->capacity = capacity;
    }
    bool taken = s->claimed[id];
    s->claimed[id] = true;
    return !taken;
}

/* A node of its own for this value. */
static NodeId own(Settle *s, NodeId id)
{
    bool joined =
        s->g->node[id].op == OP_CONCAT; /* stands in a place that its parts made */
    if (computed(s->g, id) && !joined && claim(s, id))
        return id;
    NodeId copy = copy_of(s->g, id);
    claim(s, copy);
    return copy;
}

/* Products read reals of the model's precision. */
static bool is_real_in_memory(const Graph *g, const Node *base)
{
    int kind = base->op == OP_INPUT ? g->input[base->attr.index].kind : INPUT_REAL;
    bool total = base->op == OP_TOTAL && base->shape.rank == 0; /* summed in double */
    return !op_is_inline(base->op) && !base->wide && !total && base->op != OP_START &&
           kind != INPUT_CLASS && kind != INPUT_INTEGER;
}

/* A copy of what is spread: a constant operand is one of all steps and rows still. */
static NodeId copy_unspread(Graph *g, NodeId id)
{
    return graph_spread(g, copy_of(g, graph_unspread(g, id)), g->node[id].axes);
}

static NodeId in_memory(Graph *g, NodeId id)
{
    View v;
    bool fits = view_of(g, id, &v) && is_real_in_memory(g, &g->node[v.base]);
    return fits ? id : copy_unspread(g, id);
}

/* The parts of a concatenation along its first dimension lie one behind the other, and
   whoever computes a part may leave it there; others are put together by copies with
   strides. */
static NodeId part_of_concat(Settle *s, const Node *concat, NodeId arg)
{
    int64_t before = 1;
    for (int d = 0; d < concat->attr.axis; d++)
        before *= concat->shape.dim[d];
    if (before == 1)
        return own(s, arg);
    NodeId copy = copy_of(s->g, arg);
    claim(s, copy);
    return copy;
}

static NodeId settle_reshape(Graph *g, const Node *n, NodeId arg)
{
    NodeId made = graph_reshape(g, arg, n->shape);
    View v;
    return view_of(g, made, &v) ? made : graph_reshape(g, copy_of(g, arg), n->shape);
}

/* Sums over points need their operands contiguous along the last feature. */
static NodeId contiguous(Graph *g, NodeId id)
{
    View v;
    const Shape *s = &g->node[id].shape;
    bool fits = view_of(g, id, &v) &&
                (s->rank == 0 || v.stride[s->rank - 1] == 1 || s->dim[s->rank - 1] == 1);
    return fits ? in_memory(g, id) : copy_unspread(g, id);
}

static NodeId settle_node(Rewrite *r, const Node *n, const NodeId *arg)
{
    Settle *s = rewrite_user(r);
    Graph *g = s->g;
    NodeId *own_arg = NEW_ARRAY(g->arena, NodeId, n->n_arg + 1);
    if (n->op == OP_RESHAPE)
        return settle_reshape(g, n, arg[0]);
    for (int i = 0; i < n->n_arg; i++) {
        own_arg[i] = arg[i];
        if (n->op == OP_CONCAT)
            own_arg[i] = part_of_concat(s, n, arg[i]);
        else if (n->op == OP_EINSUM)
            own_arg[i] = n->attr.axes ? contiguous(g, arg[i]) : in_memory(g, arg[i]);
        else if (n->op == OP_GATHER && i == 0)
            own_arg[i] = in_memory(g, arg[i]);
    }
    return graph_add(g, n->op, n->n_arg, own_arg, &n->attr);
}

static void settle_state(Settle *s, State *state)
{
    if (state->next == NO_NODE || state->leaf == NO_NODE)
        return;
    s->g->phase = state->backward ? PHASE_BACKWARD : PHASE_FORWARD;
    NodeId next = graph_spread(s->g, state->next, AXES_ALL);
    state->next = own(s, next);
    if (state->entry != NO_NODE)
        state->entry = own(s, graph_spread(s->g, state->entry, AXIS_ROW));
}

static void settle_param(Settle *s, Param *p)
{
    s->g->phase = PHASE_INIT;
    if (p->init != NO_NODE)
        p->init = own(s, p->init);
    s->g->phase = PHASE_BACKWARD;
    if (p->gradient != NO_NODE)
        p->gradient = own(s, p->gradient);
    s->g->phase = PHASE_UPDATE;
    if (p->next != NO_NODE)
        p->next = own(s, p->next);
}

static void settle_results(Settle *s)
{
    Graph *g = s->g;
    g->phase = PHASE_FORWARD;
    if (g->loss != NO_NODE) {
        g->loss = own(s, g->loss);
        g->weight = own(s, g->weight);
    }
    for (int i = 0; i < g->n_metric; i++)
        g->metric[i].value = own(s, g->metric[i].value);
    for (int i = 0; i < g->n_running; i++)
        g->running[i].next = own(s, g->running[i].next);
    if (g->output != NO_NODE)
        g->output =
            copy_of(g, graph_spread(g, g->output, AXES_ALL)); /* nobody reads it there */
    g->phase = PHASE_UPDATE;
    if (g->gradient_norm != NO_NODE)
        g->gradient_norm = own(s, g->gradient_norm);
}

void settle_pass(Graph *g)
{
    Settle s = {.g = g};
    graph_rewrite(g, settle_node, &s);
    for (int i = 0; i < g->n_state; i++)
        settle_state(&s, &g->state[i]);
    for (int i = 0; i < g->n_param; i++)
        settle_param(&s, &g->param[i]);
    g->phase = PHASE_UPDATE;
    for (int i = 0; i < g->n_optimizer; i++)
        if (g->optimizer[i].next != NO_NODE)
            g->optimizer[i].next = own(&s, g->optimizer[i].next);
    settle_results(&s);
}

/* ---- what must hold behind it ---- */

/* The node has a place of its own, and only one owner. */
static void verify_own(const Graph *g, bool *claimed, const char *whose, NodeId id)
{
    if (id == NO_NODE)
        return;
    if (!computed(g, id) || g->node[id].op == OP_CONCAT)
        BUG("%%%d, %s, is %s: it has no place of its own", id, whose,
            op_defs[g->node[id].op]->name);
    if (claimed[id])
        BUG("%%%d, %s, is someone else's too", id, whose);
    claimed[id] = true;
}

static void verify_operand(const Graph *g, NodeId user, NodeId id)
{
    View v;
    const Shape *s = &g->node[id].shape;
    bool sum = g->node[user].op == OP_EINSUM && g->node[user].attr.axes;
    if (!view_of(g, id, &v) || !is_real_in_memory(g, &g->node[v.base]))
        BUG("%%%d reads %%%d, which does not stand in memory as reals", user, id);
    if (sum && s->rank > 0 && s->dim[s->rank - 1] > 1 && v.stride[s->rank - 1] != 1)
        BUG("%%%d sums %%%d, which is not contiguous", user, id);
}

static void verify_settled(const Graph *g, bool *claimed, NodeId id)
{
    View v;
    const Node *n = &g->node[id];
    if (n->op == OP_RESHAPE && !view_of(g, id, &v))
        BUG("%%%d, a reshape, is no view", id);
    for (int i = 0; i < n->n_arg; i++) {
        if (n->op == OP_CONCAT)
            verify_own(g, claimed, "a part of a concatenation", n->arg[i]);
        if (n->op == OP_EINSUM || (n->op == OP_GATHER && i == 0))
            verify_operand(g, id, n->arg[i]);
    }
}

static void verify_tables(const Graph *g, bool *claimed)
{
    for (int i = 0; i < g->n_state; i++)
        if (g->state[i].leaf != NO_NODE) {
            verify_own(g, claimed, "a state's next value", g->state[i].next);
            verify_own(g, claimed, "a state's first value", g->state[i].entry);
        }
    for (int i = 0; i < g->n_param; i++) {
        verify_own(g, claimed, "a parameter's first value", g->param[i].init);
        verify_own(g, claimed, "a gradient", g->param[i].gradient);
        verify_own(g, claimed, "a parameter's update", g->param[i].next);
    }
    for (int i = 0; i < g->n_optimizer; i++)
        verify_own(g, claimed, "an optimizer's state", g->optimizer[i].next);
    for (int i = 0; i < g->n_metric; i++)
        verify_own(g, claimed, "a metric", g->metric[i].value);
    for (int i = 0; i < g->n_running; i++)
        verify_own(g, claimed, "a running sum", g->running[i].next);
    verify_own(g, claimed, "the loss", g->loss);
    verify_own(g, claimed, "the loss's weight", g->weight);
    verify_own(g, claimed, "the output", g->output);
    verify_own(g, claimed, "the gradient's norm", g->gradient_norm);
}

void settle_verify(const Graph *g)
{
    bool *claimed = NEW_ARRAY(g->arena, bool, g->n_node + 1);
    bool *live = graph_live(g);
    for (NodeId id = 0; id < g->n_node; id++)
        if (live[id])
            verify_settled(g, claimed, id);
    verify_tables(g, claimed);
}
