/*
 * graph.c — the array of nodes, its tables, and the constructors that everyone uses.
 *
 * graph_try is the one place where a node comes to be: the op's type rule decides.
 * The constructors above it only make operands fit: a map of several operands takes
 * NumPy's common shape and the union of the axes, and each operand is brought there
 * by `broadcast` (features) and then `spread` (time, rows), in this order, so that
 * the broadcast of something without axes is done once a chunk.
 *
 * A wide scalar that meets an ordinary value is narrowed; a constant fits both.
 */
#include "graph/graph.h"

#include <string.h>

#include "graph/ops.h"

Graph *graph_new(Arena *arena, const char *name)
{
    Graph *g = NEW(arena, Graph);
    g->arena = arena;
    g->name = name;
    g->phase = PHASE_FORWARD;
    g->output = g->loss = g->weight = g->gradient_norm = NO_NODE;
    return g;
}

/* ---- one node ---- */

static const char *check_args(const Graph *g, const OpDef *def, int n_arg,
                              const NodeId *arg)
{
    if (def->arity >= 0 && n_arg != def->arity)
        return arena_print(g->arena, "%s takes %d operands, not %d", def->name, def->arity,
                           n_arg);
    for (int i = 0; i < n_arg; i++)
        if (arg[i] < 0 || arg[i] >= g->n_node)
            BUG("operand %d of %s is node %d of %d", i, def->name, (int)arg[i], g->n_node);
    return NULL;
}

NodeId graph_try(Graph *g, OpCode op, int n_arg, const NodeId *arg, const Attr *attr,
                 const char **why)
{
    const OpDef *def = op_defs[op];
    Node n = {.op = op, .phase = g->phase, .n_arg = n_arg, .loc = g->loc};
    if (attr)
        n.attr = *attr;
    *why = check_args(g, def, n_arg, arg);
    if (!*why)
        *why = def->infer(g, n_arg, arg, &n.attr, &n);
    if (*why)
        return NO_NODE;
    n.arg = NEW_ARRAY(g->arena, NodeId, n_arg);
    if (n_arg)
        memcpy(n.arg, arg, (size_t)n_arg * sizeof *arg);
    *PUSH(g->arena, g->node, g->n_node, g->node_capacity) = n;
    return g->n_node - 1;
}

NodeId graph_add(Graph *g, OpCode op, int n_arg, const NodeId *arg, const Attr *attr)
{
    const char *why;
    NodeId id = graph_try(g, op, n_arg, arg, attr, &why);
    if (id == NO_NODE)
        BUG("%s: %s", op_defs[op]->name, why);
    return id;
}

static NodeId add1(Graph *g, OpCode op, NodeId a, const Attr *attr)
{
    return graph_add(g, op, 1, &a, attr);
}

NodeId graph_constant(Graph *g, double value)
{
    return graph_add(g, OP_CONSTANT, 0, NULL, &(Attr){.value = value});
}

NodeId graph_full(Graph *g, double value, Shape shape)
{
    return graph_broadcast(g, graph_constant(g, value), shape);
}

/* ---- moves: nothing is added where nothing would move ---- */

static NodeId ordinary(Graph *g, NodeId a)
{
    return g->node[a].wide ? add1(g, OP_NARROW, a, NULL) : a;
}

NodeId graph_spread(Graph *g, NodeId a, Axes axes)
{
    Axes added = (Axes)(axes & ~g->node[a].axes);
    return added ? add1(g, OP_SPREAD, ordinary(g, a), &(Attr){.axes = added}) : a;
}

NodeId graph_extent(Graph *g, Axes axes)
{
    NodeId wide = graph_add(g, OP_EXTENT, 0, NULL, &(Attr){.axes = axes, .wide = true});
    return graph_map1(g, OP_NARROW, wide);
}

/* A product that is then summed is one einsum that sums those axes as well: a gradient of
   a weight never stands in memory once for every step and row. */
NodeId graph_total(Graph *g, NodeId a, Axes axes)
{
    Axes summed = (Axes)(axes & g->node[a].axes);
    if (!summed)
        return a;
    const Node *n = &g->node[a];
    if (n->op == OP_EINSUM || n->op == OP_SCATTER) { /* they sum as they go */
        Attr attr = n->attr;
        attr.axes = (Axes)(attr.axes | summed);
        return graph_add(g, n->op, n->n_arg, n->arg, &attr);
    }
    return add1(g, OP_TOTAL, a, &(Attr){.axes = summed});
}

NodeId graph_broadcast(Graph *g, NodeId a, Shape shape)
{
    if (shape_equal(&g->node[a].shape, &shape))
        return a;
    return add1(g, OP_BROADCAST, ordinary(g, a), &(Attr){.shape = shape});
}

NodeId graph_reshape(Graph *g, NodeId a, Shape shape)
{
    if (shape_equal(&g->node[a].shape, &shape))
        return a;
    return add1(g, OP_RESHAPE, ordinary(g, a), &(Attr){.shape = shape});
}

NodeId graph_transpose(Graph *g, NodeId a, const int8_t *permutation)
{
    Attr attr = {0};
    bool moves = false;
    for (int i = 0; i < g->node[a].shape.rank; i++) {
        attr.permutation[i] = permutation[i];
        moves = moves || permutation[i] != i;
    }
    return moves ? add1(g, OP_TRANSPOSE, a, &attr) : a;
}

static NodeId add_strided(Graph *g, OpCode op, NodeId a, const int64_t *start,
                          const int64_t *step, Shape shape)
{
    if (shape_equal(&g->node[a].shape, &shape)) {
        bool whole = true;
        for (int i = 0; i < shape.rank; i++)
            whole = whole && start[i] == 0 && step[i] == 1;
        if (whole)
            return a;
    }
    Attr attr = {.shape = shape};
    memcpy(attr.start, start, (size_t)shape.rank * sizeof *start);
    memcpy(attr.step, step, (size_t)shape.rank * sizeof *step);
    return add1(g, op, a, &attr);
}

NodeId graph_slice(Graph *g, NodeId a, const int64_t *start, const int64_t *step,
                   Shape shape)
{
    return add_strided(g, OP_SLICE, a, start, step, shape);
}

NodeId graph_pad(Graph *g, NodeId a, const int64_t *start, const int64_t *step, Shape shape)
{
    return add_strided(g, OP_PAD, a, start, step, shape);
}

static Axes union_axes(const Graph *g, int n, const NodeId *arg)
{
    Axes all = 0;
    for (int i = 0; i < n; i++)
        all = (Axes)(all | g->node[arg[i]].axes);
    return all;
}

NodeId graph_concat(Graph *g, int axis, int n, const NodeId *arg)
{
    if (n == 1)
        return arg[0];
    Axes axes = union_axes(g, n, arg);
    NodeId *fit = NEW_ARRAY(g->arena, NodeId, n);
    for (int i = 0; i < n; i++)
        fit[i] = graph_spread(g, ordinary(g, arg[i]), axes);
    return graph_add(g, OP_CONCAT, n, fit, &(Attr){.axis = axis});
}

NodeId graph_gather(Graph *g, NodeId table, NodeId class_id)
{
    NodeId arg[2] = {table, graph_spread(g, class_id, g->node[table].axes)};
    return graph_add(g, OP_GATHER, 2, arg, NULL);
}

NodeId graph_reduce(Graph *g, OpCode op, NodeId a, uint32_t mask)
{
    if (mask == 0 && op != OP_ARGMAX)
        return a;
    return add1(g, op, ordinary(g, a), &(Attr){.reduce = mask});
}

/* ---- maps ---- */

static bool is_constant(const Graph *g, NodeId a) { return g->node[a].op == OP_CONSTANT; }

/* Wide when nothing ordinary takes part. */
static bool map_is_wide(const Graph *g, int n, const NodeId *arg)
{
    bool wide = false;
    for (int i = 0; i < n; i++) {
        if (!g->node[arg[i]].wide && !is_constant(g, arg[i]))
            return false;
        wide = wide || g->node[arg[i]].wide;
    }
    return wide;
}

static const char *map_shape(const Graph *g, int n, const NodeId *arg, Shape *out)
{
    *out = (Shape){0};
    for (int i = 0; i < n; i++) {
        Shape sofar = *out, next = g->node[arg[i]].shape;
        if (!shape_broadcast(&sofar, &next, out))
            return arena_print(g->arena, "shapes %s and %s do not fit together",
                               shape_print(g->arena, &sofar), shape_print(g->arena, &next));
    }
    return NULL;
}

NodeId graph_try_map(Graph *g, OpCode op, int n_arg, const NodeId *arg, const char **why)
{
    Shape shape;
    *why = map_shape(g, n_arg, arg, &shape);
    if (*why)
        return NO_NODE;
    bool wide = map_is_wide(g, n_arg, arg);
    Axes axes = union_axes(g, n_arg, arg);
    NodeId *fit = NEW_ARRAY(g->arena, NodeId, n_arg);
    for (int i = 0; i < n_arg; i++) {
        NodeId a = wide ? arg[i] : ordinary(g, arg[i]);
        fit[i] = graph_spread(g, graph_broadcast(g, a, shape), axes);
    }
    return graph_try(g, op, n_arg, fit, NULL, why);
}

static NodeId add_map(Graph *g, OpCode op, int n_arg, const NodeId *arg)
{
    const char *why;
    NodeId id = graph_try_map(g, op, n_arg, arg, &why);
    if (id == NO_NODE)
        BUG("%s: %s", op_defs[op]->name, why);
    return id;
}

NodeId graph_map1(Graph *g, OpCode op, NodeId a) { return add_map(g, op, 1, &a); }

NodeId graph_map2(Graph *g, OpCode op, NodeId a, NodeId b)
{
    return add_map(g, op, 2, (NodeId[]){a, b});
}

NodeId graph_map3(Graph *g, OpCode op, NodeId a, NodeId b, NodeId c)
{
    return add_map(g, op, 3, (NodeId[]){a, b, c});
}

/* ---- einsum ---- */

/* "ij,j->i" into its three parts. */
static const char *read_labels(const Graph *g, const char *labels, Attr *attr)
{
    int part = 0, n = 0;
    for (const char *c = labels; *c; c++) {
        bool arrow = c[0] == '-' && c[1] == '>';
        if (*c == ' ')
            continue;
        if ((*c == ',' && part == 0) || (arrow && part == 1)) {
            part++, n = 0;
            c += arrow;
            continue;
        }
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
        if (!letter || n == MAX_RANK)
            return arena_print(g->arena, "labels \"%s\" are not of the form \"ij,j->i\"",
                               labels);
        attr->label[part][n++] = *c;
    }
    return part == 2 ? NULL
                     : arena_print(g->arena, "labels \"%s\" want one comma and one arrow",
                                   labels);
}

NodeId graph_try_einsum(Graph *g, const char *labels, NodeId a, NodeId b, const char **why)
{
    Attr attr = {0};
    *why = read_labels(g, labels, &attr);
    if (*why)
        return NO_NODE;
    Axes axes = (Axes)(g->node[a].axes | g->node[b].axes);
    NodeId arg[2] = {graph_spread(g, ordinary(g, a), axes),
                     graph_spread(g, ordinary(g, b), axes)};
    return graph_try(g, OP_EINSUM, 2, arg, &attr, why);
}

NodeId graph_einsum(Graph *g, const char *labels, NodeId a, NodeId b)
{
    return graph_einsum_to(g, labels, a, b, AXES_ALL);
}

NodeId graph_einsum_to(Graph *g, const char *labels, NodeId a, NodeId b, Axes axes)
{
    Attr attr = {0};
    const char *why = read_labels(g, labels, &attr);
    if (why)
        BUG("%s", why);
    Axes all = (Axes)(g->node[a].axes | g->node[b].axes);
    NodeId arg[2] = {graph_spread(g, ordinary(g, a), all),
                     graph_spread(g, ordinary(g, b), all)};
    attr.axes = (Axes)(all & ~axes);
    return graph_add(g, OP_EINSUM, 2, arg, &attr);
}
