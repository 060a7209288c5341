/*
 * build_ignored.c — a class that may hold a value to ignore is read only where that value
 * is hidden.
 *
 * y: {class: 10, ignore: -1} may be -1; then W[y] is row 0, which nobody meant. The loss
 * must not see it: where(y != -1, …W[y]…, 0). So what follows from y = -1 is worked out,
 * then the loss is walked from its end, and of a `where` whose condition is known only the
 * branch taken. What a condition tells that is not known may be as good a mask: both its
 * branches are let pass.
 */
#include "graph/ops.h"
#include "passes/build_room.h"

#include <math.h>

typedef struct {
    Build *b;
    const Input *input;
    const double *held; /* [n_node]: the value if the input is ignored; NAN: unknown */
    bool *seen;
    NodeId *stack;
    int n;
} Walk;

/* ---- what follows ---- */

static bool is_known(double v, bool truth) { return !isnan(v) && (v != 0) == truth; }

/* Of an operation with these operands. */
static double value_of(const Node *n, const double *arg)
{
    if (n->op == OP_SPREAD || n->op == OP_BROADCAST || n->op == OP_RESHAPE)
        return arg[0];
    if (n->op == OP_AND && (is_known(arg[0], false) || is_known(arg[1], false)))
        return 0;
    if (n->op == OP_OR && (is_known(arg[0], true) || is_known(arg[1], true)))
        return 1;
    bool maps = op_defs[n->op]->family == FAMILY_MAP && op_defs[n->op]->ref;
    bool known = maps && n->n_arg > 0;
    for (int i = 0; i < n->n_arg; i++)
        known = known && !isnan(arg[i]);
    return known ? op_defs[n->op]->ref(arg) : NAN;
}

static const double *values_of(Build *b, const Input *input)
{
    const Graph *g = b->g;
    double *held = NEW_ARRAY(b->arena, double, g->n_node);
    for (NodeId id = 0; id < g->n_node; id++) {
        const Node *n = &g->node[id];
        double arg[3] = {NAN, NAN, NAN};
        for (int i = 0; i < n->n_arg && i < COUNT(arg); i++)
            arg[i] = held[n->arg[i]];
        held[id] = id == input->leaf        ? (double)input->ignore
                   : n->op == OP_CONSTANT   ? n->attr.value
                   : n->n_arg <= COUNT(arg) ? value_of(n, arg)
                                            : NAN;
    }
    return held;
}

/* ---- what the loss sees of it ---- */

static void visit(Walk *w, NodeId id)
{
    if (id == NO_NODE || w->seen[id])
        return;
    w->seen[id] = true;
    w->stack[w->n++] = id;
}

/* What stands under moves that leave each element what it is. */
static NodeId unmoved(const Graph *g, NodeId id)
{
    OpCode op = g->node[id].op;
    bool moved = op == OP_SPREAD || op == OP_BROADCAST || op == OP_RESHAPE;
    return moved ? unmoved(g, g->node[id].arg[0]) : id;
}

/* May it tell ignored values from others? Not if it is one for all steps, nor of a burn-in,
   of a window, of a row that starts anew. */
static bool may_hide(const Walk *w, NodeId id)
{
    const Tbptt *t = &w->b->tbptt;
    NodeId condition = unmoved(w->b->g, id);
    const Node *n = &w->b->g->node[condition];
    bool rows = t->within != NO_NODE || t->whole != NO_NODE;
    return n->axes && n->op != OP_START && condition != t->reset && condition != t->warm &&
           (condition != t->counts || rows);
}

static void visit_operands(Walk *w, const Node *n)
{
    const Graph *g = w->b->g;
    if (n->op == OP_STATE)
        visit(w, g->state[n->attr.index].next);
    int first = 0, last = n->n_arg;
    if (n->op == OP_WHERE && may_hide(w, n->arg[0])) {
        double condition = w->held[n->arg[0]];
        first = isnan(condition) ? 0 : condition != 0 ? 1 : 2;
        last = first + 1;
    }
    for (int i = first; i < last; i++)
        visit(w, n->arg[i]);
}

static bool reads(const Walk *w, const Node *n)
{
    return n->op == OP_GATHER && unmoved(w->b->g, n->arg[1]) == w->input->leaf;
}

/* A read that nothing hides; NO_NODE: there is none. */
static NodeId bare_read(Build *b, const Input *input)
{
    const Graph *g = b->g;
    Walk w = {.b = b, .input = input, .held = values_of(b, input)};
    w.seen = NEW_ARRAY(b->arena, bool, g->n_node);
    w.stack = NEW_ARRAY(b->arena, NodeId, g->n_node);
    visit(&w, g->loss);
    while (w.n) {
        const Node *n = &g->node[w.stack[--w.n]];
        if (reads(&w, n))
            return (NodeId)(n - g->node);
        visit_operands(&w, n);
    }
    return NO_NODE;
}

void refuse_bare_reads(Build *b)
{
    const Graph *g = b->g;
    for (int i = 0; i < g->n_input; i++) {
        const Input *in = &g->input[i];
        NodeId read = in->has_ignore ? bare_read(b, in) : NO_NODE;
        if (read == NO_NODE)
            continue;
        diag_error(b->d, g->node[in->leaf].loc,
                   "input '%s' may be %lld, which the loss would take for a class; let the "
                   "loss ignore it, or hide what is read with it: where(%s != %lld, …, 0)",
                   in->name, (long long)in->ignore, in->name, (long long)in->ignore);
        diag_note(b->d, g->node[read].loc, "it is read here");
    }
}
