/*
 * ops_move.c — operations that put the same numbers at other places.
 *
 * All are linear and come in pairs, each the other's derivative: broadcast and sum,
 * spread and total, slice and pad, concat and slices, gather and scatter; reshape and
 * transpose are undone by their own kind.
 */
#include "graph/ops_room.h"

static const char *same_place(const Graph *g, NodeId a, Node *out)
{
    const Node *n = &g->node[a];
    if (n->wide)
        return "a wide number has no features to move";
    out->axes = n->axes;
    out->shape = n->shape;
    return NULL;
}

/* ---- broadcast: features, NumPy's rule ---- */

static const char *infer_broadcast(const Graph *g, int n_arg, const NodeId *arg,
                                   const Attr *attr, Node *out)
{
    (void)n_arg;
    Shape joint, to = attr->shape;
    const char *why = same_place(g, arg[0], out);
    if (why)
        return why;
    if (!shape_broadcast(&out->shape, &to, &joint) || !shape_equal(&joint, &to))
        return REFUSE(g, "%s does not broadcast to %s", SHAPE(g, arg[0]),
                      shape_print(g->arena, &to));
    out->shape = to;
    return NULL;
}

/* Sums over what was repeated. */
static void grad_broadcast(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    Shape from = g->node[g->node[y].arg[0]].shape, to = g->node[y].shape;
    uint32_t repeated = 0;
    for (int i = 0; i < to.rank; i++) {
        int at = i - (to.rank - from.rank);
        if (to.dim[i] != (at < 0 ? 1 : from.dim[at]))
            repeated |= 1u << i;
    }
    dx[0] = graph_reshape(g, graph_reduce(g, OP_SUM, dy, repeated), from);
}

const OpDef op_broadcast = {
    .name = "broadcast",
    .family = FAMILY_MOVE,
    .arity = 1,
    .uses = USES_SHAPE,
    .infer = infer_broadcast,
    .grad = grad_broadcast,
};

/* ---- spread: the same for every step and/or row ---- */

static const char *infer_spread(const Graph *g, int n_arg, const NodeId *arg,
                                const Attr *attr, Node *out)
{
    (void)n_arg;
    const char *why = same_place(g, arg[0], out);
    if (why)
        return why;
    if (!attr->axes || (attr->axes & out->axes))
        return "spread adds axes that are not there yet";
    out->axes = (Axes)(out->axes | attr->axes);
    return NULL;
}

static void grad_spread(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    dx[0] = graph_total(g, dy, g->node[y].attr.axes);
}

const OpDef op_spread = {
    .name = "spread",
    .family = FAMILY_MOVE,
    .arity = 1,
    .uses = USES_AXES,
    .infer = infer_spread,
    .grad = grad_spread,
};

/* ---- reshape ---- */

static const char *infer_reshape(const Graph *g, int n_arg, const NodeId *arg,
                                 const Attr *attr, Node *out)
{
    (void)n_arg;
    const char *why = same_place(g, arg[0], out);
    if (why)
        return why;
    if (shape_size(&out->shape) != shape_size(&attr->shape))
        return REFUSE(g, "%s cannot become %s: other sizes", SHAPE(g, arg[0]),
                      shape_print(g->arena, &attr->shape));
    out->shape = attr->shape;
    return NULL;
}

static void grad_reshape(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    dx[0] = graph_reshape(g, dy, g->node[g->node[y].arg[0]].shape);
}

const OpDef op_reshape = {
    .name = "reshape",
    .family = FAMILY_MOVE,
    .arity = 1,
    .uses = USES_SHAPE,
    .infer = infer_reshape,
    .grad = grad_reshape,
};

/* ---- transpose: result dimension i is operand dimension permutation[i] ---- */

static const char *infer_transpose(const Graph *g, int n_arg, const NodeId *arg,
                                   const Attr *attr, Node *out)
{
    (void)n_arg;
    const char *why = same_place(g, arg[0], out);
    if (why)
        return why;
    Shape from = out->shape;
    uint32_t seen = 0;
    for (int i = 0; i < from.rank; i++) {
        int p = attr->permutation[i];
        if (p < 0 || p >= from.rank || (seen >> p & 1))
            return REFUSE(g, "not a permutation of the dimensions of %s", SHAPE(g, arg[0]));
        seen |= 1u << p;
        out->shape.dim[i] = from.dim[p];
    }
    return NULL;
}

static void grad_transpose(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    int8_t back[MAX_RANK] = {0};
    for (int i = 0; i < g->node[y].shape.rank; i++)
        back[g->node[y].attr.permutation[i]] = (int8_t)i;
    dx[0] = graph_transpose(g, dy, back);
}

const OpDef op_transpose = {
    .name = "transpose",
    .family = FAMILY_MOVE,
    .arity = 1,
    .uses = USES_PERMUTATION,
    .infer = infer_transpose,
    .grad = grad_transpose,
};

/* ---- slice and pad -----------------------------------------------------------------
 * Element i of the small one is element start + i * step of the large one. */

static bool strides_fit(const Shape *small, const Shape *large, const Attr *attr)
{
    if (small->rank != large->rank)
        return false;
    for (int i = 0; i < small->rank; i++) {
        int64_t n = small->dim[i], first = attr->start[i];
        int64_t last = first + (n > 0 ? n - 1 : 0) * attr->step[i];
        if (attr->step[i] == 0 || first < 0 || last < 0)
            return false;
        if (n > 0 && (first >= large->dim[i] || last >= large->dim[i]))
            return false;
    }
    return true;
}

static const char *infer_slice(const Graph *g, int n_arg, const NodeId *arg,
                               const Attr *attr, Node *out)
{
    (void)n_arg;
    const char *why = same_place(g, arg[0], out);
    if (why)
        return why;
    if (!strides_fit(&attr->shape, &out->shape, attr))
        return REFUSE(g, "a slice of %s reaches beyond it", SHAPE(g, arg[0]));
    out->shape = attr->shape;
    return NULL;
}

static const char *infer_pad(const Graph *g, int n_arg, const NodeId *arg, const Attr *attr,
                             Node *out)
{
    (void)n_arg;
    const char *why = same_place(g, arg[0], out);
    if (why)
        return why;
    if (!strides_fit(&out->shape, &attr->shape, attr))
        return REFUSE(g, "%s does not fit into %s", SHAPE(g, arg[0]),
                      shape_print(g->arena, &attr->shape));
    out->shape = attr->shape;
    return NULL;
}

static void grad_slice(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    const Attr a = g->node[y].attr;
    dx[0] = graph_pad(g, dy, a.start, a.step, g->node[g->node[y].arg[0]].shape);
}

static void grad_pad(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    const Attr a = g->node[y].attr;
    dx[0] = graph_slice(g, dy, a.start, a.step, g->node[g->node[y].arg[0]].shape);
}

const OpDef op_slice = {
    .name = "slice",
    .family = FAMILY_MOVE,
    .arity = 1,
    .uses = USES_START | USES_STEP | USES_SHAPE,
    .infer = infer_slice,
    .grad = grad_slice,
};

const OpDef op_pad = {
    .name = "pad",
    .family = FAMILY_MOVE,
    .arity = 1,
    .uses = USES_START | USES_STEP | USES_SHAPE,
    .infer = infer_pad,
    .grad = grad_pad,
};

/* ---- concat ---- */

static const char *infer_concat(const Graph *g, int n_arg, const NodeId *arg,
                                const Attr *attr, Node *out)
{
    if (n_arg < 1)
        return "concat of nothing";
    const char *why = same_place(g, arg[0], out);
    int axis = attr->axis;
    if (why)
        return why;
    if (axis < 0 || axis >= out->shape.rank)
        return REFUSE(g, "%s has no axis %d to concatenate along", SHAPE(g, arg[0]), axis);
    for (int i = 1; i < n_arg; i++) {
        Shape next = g->node[arg[i]].shape;
        if (g->node[arg[i]].wide || g->node[arg[i]].axes != out->axes)
            return "concat of parts of several kinds";
        if (next.rank != out->shape.rank)
            return REFUSE(g, "%s and %s do not concatenate: other ranks", SHAPE(g, arg[0]),
                          SHAPE(g, arg[i]));
        int64_t grown = out->shape.dim[axis];
        if (!size_add(grown, next.dim[axis], &grown))
            return "a concatenation too large to count";
        out->shape.dim[axis] = next.dim[axis] = grown;
        if (!shape_equal(&out->shape, &next))
            return REFUSE(g, "%s and %s do not concatenate along axis %d", SHAPE(g, arg[0]),
                          SHAPE(g, arg[i]), axis);
    }
    return NULL;
}

static void grad_concat(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    int64_t start[MAX_RANK] = {0}, step[MAX_RANK];
    int axis = g->node[y].attr.axis;
    for (int i = 0; i < MAX_RANK; i++)
        step[i] = 1;
    for (int i = 0; i < g->node[y].n_arg; i++) {
        Shape part = g->node[g->node[y].arg[i]].shape;
        dx[i] = graph_slice(g, dy, start, step, part);
        start[axis] += part.dim[axis];
    }
}

const OpDef op_concat = {
    .name = "concat",
    .family = FAMILY_MOVE,
    .arity = -1,
    .uses = USES_AXIS,
    .infer = infer_concat,
    .grad = grad_concat,
};

/* ---- gather: table[class] along axis 0 ---------------------------------------------
 * The table may have fewer axes than the class (a parameter: one table for all rows);
 * its gradient is then summed over the axes that only the class has. */

static const char *check_class(const Graph *g, NodeId class_id)
{
    const Node *c = &g->node[class_id];
    return c->wide || c->shape.rank > 0
               ? REFUSE(g, "an index is one class, not %s", SHAPE(g, class_id))
               : NULL;
}

static const char *infer_gather(const Graph *g, int n_arg, const NodeId *arg,
                                const Attr *attr, Node *out)
{
    (void)n_arg, (void)attr;
    const Node *table = &g->node[arg[0]], *which = &g->node[arg[1]];
    const char *why = check_class(g, arg[1]);
    if (why)
        return why;
    if (table->wide || table->shape.rank == 0 || table->shape.dim[0] == 0)
        return "there is nothing to index in one number";
    if (table->axes & ~which->axes)
        return "a class with fewer axes than its table";
    out->shape = shape_without(&table->shape, 1);
    out->axes = which->axes;
    return NULL;
}

static void grad_gather(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    NodeId table = g->node[y].arg[0], which = g->node[y].arg[1];
    Axes summed = (Axes)(g->node[which].axes & ~g->node[table].axes);
    Attr attr = {.axes = summed, .shape = g->node[table].shape};
    dx[0] = graph_add(g, OP_SCATTER, 2, (NodeId[]){dy, which}, &attr);
}

const OpDef op_gather = {
    .name = "gather",
    .family = FAMILY_MOVE,
    .arity = 2,
    .infer = infer_gather,
    .grad = grad_gather,
};

/* ---- scatter: zeros but for the value at [class] ---- */

static const char *infer_scatter(const Graph *g, int n_arg, const NodeId *arg,
                                 const Attr *attr, Node *out)
{
    (void)n_arg;
    const Node *value = &g->node[arg[0]], *which = &g->node[arg[1]];
    const char *why = check_class(g, arg[1]);
    if (why)
        return why;
    if (value->wide || attr->shape.rank == 0)
        return "scatter makes a table of rows";
    Shape row = shape_without(&attr->shape, 1);
    if (!shape_equal(&row, &value->shape))
        return REFUSE(g, "%s is no row of %s", SHAPE(g, arg[0]),
                      shape_print(g->arena, &attr->shape));
    if (value->axes != which->axes || (attr->axes & ~value->axes))
        return "scatter of a value and a class with other axes";
    out->shape = attr->shape;
    out->axes = (Axes)(value->axes & ~attr->axes);
    return NULL;
}

/* The row that was written, if one was. */
static void grad_scatter(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    NodeId which = g->node[y].arg[1], zero = graph_constant(g, 0);
    NodeId last = graph_constant(g, (double)(g->node[y].shape.dim[0] - 1));
    NodeId inside = graph_map2(g, OP_AND, graph_map2(g, OP_LE, zero, which),
                               graph_map2(g, OP_LE, which, last));
    dx[0] = graph_map3(g, OP_WHERE, inside, graph_gather(g, dy, which), zero);
}

const OpDef op_scatter = {
    .name = "scatter",
    .family = FAMILY_MOVE,
    .arity = 2,
    .uses = USES_SHAPE | USES_AXES,
    .infer = infer_scatter,
    .grad = grad_scatter,
};
