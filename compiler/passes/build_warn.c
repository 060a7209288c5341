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

/* Whatever the data: in order, so that the lesser of two is what both are. */
typedef enum { SIGN_UNKNOWN, SIGN_NOT_NEGATIVE, SIGN_POSITIVE } Sign;

static Sign least(Sign a, Sign b) { return a < b ? a : b; }
static Sign most(Sign a, Sign b) { return a > b ? a : b; }

/* Of an operation that gives each sign that all its operands have. */
static Sign least_of_operands(const Node *n, const Sign *sign)
{
    Sign all = n->n_arg > 0 ? SIGN_POSITIVE : SIGN_UNKNOWN;
    for (int i = 0; i < n->n_arg; i++)
        all = least(all, sign[n->arg[i]]);
    return all;
}

/* Operations whose result has the sign that all operands have; a total may be of nothing.
 */
static Sign kept_sign(const Node *n, Sign all)
{
    if (n->op == OP_GATHER || n->op == OP_SCATTER)
        return SIGN_UNKNOWN;
    if (n->op == OP_MUL || n->op == OP_DIV || n->op == OP_NARROW || n->op == OP_BROADCAST ||
        n->op == OP_SPREAD || n->op == OP_RESHAPE || n->op == OP_SUM)
        return all;
    bool keeps = n->op == OP_TOTAL || op_defs[n->op]->family == FAMILY_MOVE;
    return keeps ? least(all, SIGN_NOT_NEGATIVE) : SIGN_UNKNOWN;
}

/* What has been chosen by `where` is taken to be above 0. sign: of the operands. */
static Sign sign_of(const Node *n, const Sign *sign)
{
    const NodeId *arg = n->arg;
    Sign all = least_of_operands(n, sign);
    if (n->op == OP_SCALAR || n->op == OP_EXTENT || n->op == OP_EXP || n->op == OP_WHERE)
        return SIGN_POSITIVE;
    if (n->op == OP_CONSTANT)
        return n->attr.value > 0 ? SIGN_POSITIVE : SIGN_UNKNOWN;
    if (n->op == OP_MAX)
        return most(sign[arg[0]], sign[arg[1]]);
    if (n->op == OP_ADD)
        return all == SIGN_UNKNOWN ? all : most(sign[arg[0]], sign[arg[1]]);
    if (n->op == OP_ABS || n->op == OP_SQRT)
        return n->op == OP_SQRT ? most(all, SIGN_NOT_NEGATIVE) : SIGN_NOT_NEGATIVE;
    if (n->op == OP_RSQRT)
        return all == SIGN_POSITIVE ? all : SIGN_UNKNOWN;
    if (n->op == OP_MUL && arg[0] == arg[1])
        return most(all, SIGN_NOT_NEGATIVE);
    return kept_sign(n, all);
}

/* By node, in one walk: operands stand before what is made of them. */
static Sign *signs_of(Build *b)
{
    Sign *sign = NEW_ARRAY(b->arena, Sign, b->g->n_node);
    for (NodeId id = 0; id < b->g->n_node; id++)
        sign[id] = sign_of(&b->g->node[id], sign);
    return sign;
}

/* ---- branches ---- */

typedef struct {
    Build *b;
    bool *seen;       /* [n_node] */
    const Sign *sign; /* [n_node] */
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
    if (operand != NO_NODE && w->sign[operand] != SIGN_POSITIVE && learns(w->b, operand))
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
    Branches w = {
        .b = b, .seen = NEW_ARRAY(b->arena, bool, g->n_node), .sign = signs_of(b)};
    for (NodeId id = 0; id < g->n_node; id++) {
        const Node *n = &g->node[id];
        if (n->op != OP_WHERE || n->phase != PHASE_FORWARD || !learnt[id])
            continue;
        look_at(&w, n->arg[1]);
        look_at(&w, n->arg[2]);
    }
}
