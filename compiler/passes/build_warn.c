/*
 * build_warn.c — a warning of derivatives that are not finite in a branch of `where` that
 * is not taken.
 *
 * where(c, log(v), 0) hands log(v) a cotangent of 0 where c is false; its derivative there
 * is 0 / v, NaN when v is 0: the gradient is lost although the value is right. PyTorch does
 * the same. The remedy is to choose the operand: log(where(c, v, 1)).
 *
 * Which operand of an operation has values without a finite derivative stands in its OpDef.
 * It is let pass when a trained parameter has no way to it, when it is a `where` itself, or
 * when its sign can be seen to be plus.
 */
#include "graph/ops.h"
#include "passes/build_room.h"

/* ---- signs ---- */

static bool is_positive(const Graph *g, NodeId id);

static bool is_not_negative(const Graph *g, NodeId id)
{
    const Node *n = &g->node[id];
    if (n->op == OP_ABS || n->op == OP_SQRT || is_positive(g, id))
        return true;
    if (n->op == OP_MUL && n->arg[0] == n->arg[1])
        return true;
    bool keeps = n->op == OP_ADD || n->op == OP_MUL || n->op == OP_DIV || n->op == OP_SUM ||
                 n->op == OP_TOTAL || n->op == OP_NARROW ||
                 op_defs[n->op]->family == FAMILY_MOVE;
    for (int i = 0; i < n->n_arg && keeps; i++)
        keeps = is_not_negative(g, n->arg[i]);
    return keeps && n->n_arg > 0 && n->op != OP_GATHER && n->op != OP_SCATTER;
}

/* Above 0 whatever the data: what has been chosen by `where` is taken to be. */
static bool is_positive(const Graph *g, NodeId id)
{
    const Node *n = &g->node[id];
    const NodeId *arg = n->arg;
    if (n->op == OP_CONSTANT)
        return n->attr.value > 0;
    if (n->op == OP_MAX)
        return is_positive(g, arg[0]) || is_positive(g, arg[1]);
    if (n->op == OP_ADD)
        return (is_positive(g, arg[0]) && is_not_negative(g, arg[1])) ||
               (is_positive(g, arg[1]) && is_not_negative(g, arg[0]));
    if (n->op == OP_MUL || n->op == OP_DIV)
        return is_positive(g, arg[0]) && is_positive(g, arg[1]);
    if (n->op == OP_NARROW || n->op == OP_BROADCAST || n->op == OP_SPREAD ||
        n->op == OP_RESHAPE || n->op == OP_SUM || n->op == OP_SQRT || n->op == OP_RSQRT)
        return is_positive(g, arg[0]);
    return n->op == OP_SCALAR || n->op == OP_EXTENT || n->op == OP_EXP || n->op == OP_WHERE;
}

/* ---- branches ---- */

typedef struct {
    Build *b;
    bool *seen; /* [n_node] */
} Branches;

static bool learns(Build *b, NodeId id)
{
    const Graph *g = b->g;
    bool *reached = reach_from(b, &id, 1, (ReachRule){.entry = true, .gradient = true});
    for (int i = 0; i < g->n_param; i++)
        if (g->param[i].trained && reached[g->param[i].leaf])
            return true;
    return false;
}

static void look_at(Branches *w, NodeId id)
{
    const Graph *g = w->b->g;
    const Node *n = &g->node[id];
    const OpDef *op = op_defs[n->op];
    bool elementwise = op->family == FAMILY_MAP || op->family == FAMILY_MOVE;
    if (w->seen[id] || !op->grad || !elementwise || n->op == OP_SURROGATE)
        return;
    w->seen[id] = true;
    NodeId operand = op->partial ? n->arg[op->partial - 1] : NO_NODE;
    if (operand != NO_NODE && !is_positive(g, operand) && learns(w->b, operand))
        diag_warning(w->b->d, n->loc,
                     "where this branch of `where` is not taken, the derivative of %s may "
                     "not be finite, and times 0 is NaN; choose its operand by where as "
                     "well: where(c, v, 1)",
                     op->name);
    for (int i = 0; i < n->n_arg; i++)
        look_at(w, n->arg[i]);
}

void warn_of_untaken_branches(Build *b)
{
    const Graph *g = b->g;
    bool *learnt = reach_from(b, &g->loss, 1, (ReachRule){.entry = true, .gradient = true});
    Branches w = {.b = b, .seen = NEW_ARRAY(b->arena, bool, g->n_node)};
    for (NodeId id = 0; id < g->n_node; id++) {
        const Node *n = &g->node[id];
        if (n->op != OP_WHERE || n->phase != PHASE_FORWARD || !learnt[id])
            continue;
        look_at(&w, n->arg[1]);
        look_at(&w, n->arg[2]);
    }
}
