/*
 * ops_reduce.c — operations that leave fewer numbers: over features, which then are gone
 * from the shape, or over time and rows.
 */
#include "graph/ops_room.h"

Shape shape_without(const Shape *s, uint32_t mask)
{
    Shape out = {0};
    for (int i = 0; i < s->rank; i++)
        if (!(mask >> i & 1))
            out.dim[out.rank++] = s->dim[i];
    return out;
}

NodeId graph_unreduce(Graph *g, NodeId a, Shape shape, uint32_t mask)
{
    Shape ones = shape;
    for (int i = 0; i < shape.rank; i++)
        if (mask >> i & 1)
            ones.dim[i] = 1;
    return graph_broadcast(g, graph_reshape(g, a, ones), shape);
}

/* The same, for the operand of the reduction y. */
static NodeId back(Graph *g, NodeId y, NodeId a)
{
    const Node *n = &g->node[y];
    return graph_unreduce(g, a, g->node[n->arg[0]].shape, n->attr.reduce);
}

static const char *infer_reduce(const Graph *g, int n_arg, const NodeId *arg,
                                const Attr *attr, Node *out)
{
    (void)n_arg;
    const Node *a = &g->node[arg[0]];
    if (a->wide)
        return "a wide number has no features to reduce";
    if (attr->reduce >> a->shape.rank)
        return REFUSE(g, "%s has not that many axes", SHAPE(g, arg[0]));
    out->shape = shape_without(&a->shape, attr->reduce);
    out->axes = a->axes;
    return NULL;
}

/* Of nothing there is no largest. */
static const char *infer_choose(const Graph *g, int n_arg, const NodeId *arg,
                                const Attr *attr, Node *out)
{
    const Shape *s = &g->node[arg[0]].shape;
    for (int i = 0; i < s->rank; i++)
        if ((attr->reduce >> i & 1) && s->dim[i] == 0)
            return REFUSE(g, "%s has no elements to choose from", SHAPE(g, arg[0]));
    return infer_reduce(g, n_arg, arg, attr, out);
}

/* ---- sum ---- */

static void grad_sum(Graph *g, NodeId y, NodeId dy, NodeId *dx) { dx[0] = back(g, y, dy); }

const OpDef op_sum = {
    .name = "sum",
    .family = FAMILY_REDUCE,
    .arity = 1,
    .uses = USES_REDUCE,
    .infer = infer_reduce,
    .grad = grad_sum,
};

/* ---- prod: the others' product, which is y / x but where zeros are -----------------
 * q is the product with zeros left out. No zero: q / x. One zero: q there, 0 elsewhere.
 * More: 0. */

static void grad_prod(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    NodeId x = g->node[y].arg[0];
    uint32_t mask = g->node[y].attr.reduce;
    NodeId zero = graph_constant(g, 0), one = graph_constant(g, 1);
    NodeId is_zero = graph_map2(g, OP_EQ, x, zero);
    NodeId factor = graph_map3(g, OP_WHERE, is_zero, one, x);
    NodeId q = back(g, y, graph_reduce(g, OP_PROD, factor, mask));
    NodeId n_zero = back(g, y, graph_reduce(g, OP_SUM, is_zero, mask));
    /* zeros elsewhere than here */
    NodeId others = graph_map2(g, OP_SUB, n_zero, is_zero);
    NodeId slope = graph_map3(g, OP_WHERE, others, zero, graph_map2(g, OP_DIV, q, factor));
    dx[0] = graph_map2(g, OP_MUL, back(g, y, dy), slope);
}

const OpDef op_prod = {
    .name = "prod",
    .family = FAMILY_REDUCE,
    .arity = 1,
    .uses = USES_REDUCE,
    .infer = infer_reduce,
    .grad = grad_prod,
};

/* ---- max_of, min_of: equals share evenly ---- */

static void grad_choose(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    NodeId x = g->node[y].arg[0];
    uint32_t mask = g->node[y].attr.reduce;
    NodeId chosen = graph_map2(g, OP_EQ, x, back(g, y, y));
    NodeId share = graph_map2(g, OP_DIV, dy, graph_reduce(g, OP_SUM, chosen, mask));
    dx[0] = graph_map3(g, OP_WHERE, chosen, back(g, y, share), graph_constant(g, 0));
}

const OpDef op_max_of = {
    .name = "max_of",
    .family = FAMILY_REDUCE,
    .arity = 1,
    .uses = USES_REDUCE,
    .infer = infer_choose,
    .grad = grad_choose,
};

const OpDef op_min_of = {
    .name = "min_of",
    .family = FAMILY_REDUCE,
    .arity = 1,
    .uses = USES_REDUCE,
    .infer = infer_choose,
    .grad = grad_choose,
};

/* ---- argmax: the first of equals ---- */

static const char *infer_argmax(const Graph *g, int n_arg, const NodeId *arg,
                                const Attr *attr, Node *out)
{
    if (attr->reduce == 0 || (attr->reduce & (attr->reduce - 1)))
        return "argmax goes along one axis";
    return infer_choose(g, n_arg, arg, attr, out);
}

const OpDef op_argmax = {
    .name = "argmax",
    .family = FAMILY_REDUCE,
    .arity = 1,
    .uses = USES_REDUCE,
    .infer = infer_argmax,
};

/* ---- total: over time and/or rows ---- */

static const char *infer_total(const Graph *g, int n_arg, const NodeId *arg,
                               const Attr *attr, Node *out)
{
    (void)n_arg;
    const Node *a = &g->node[arg[0]];
    if (!attr->axes || (attr->axes & ~a->axes))
        return "total goes over axes that the operand has";
    out->shape = a->shape;
    out->axes = (Axes)(a->axes & ~attr->axes);
    return NULL;
}

static void grad_total(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    dx[0] = graph_spread(g, dy, g->node[y].attr.axes);
}

const OpDef op_total = {
    .name = "total",
    .family = FAMILY_REDUCE,
    .arity = 1,
    .uses = USES_AXES,
    .infer = infer_total,
    .grad = grad_total,
};
