/*
 * simplify.c — algebra that pays everywhere, as rules on one node at a time.
 *
 * Each rule is an identity of real numbers (rounding may differ, meaning may
 * not): constants fold; neutral operands go; moves of moves become one; what does
 * not vary with time or row is computed before it is spread; sums over time and
 * rows move to where they are products; zeros around a part, added up, are a
 * concatenation; an einsum takes the one form that plans know.
 *
 * The passes that need to know the recurrence (products with a common operand,
 * long sums) are in merge.c. Rules run until nothing changes.
 */
#include "passes/simplify.h"

#include <string.h>

#include "passes/einsum.h"
#include "passes/rewrite.h"

typedef NodeId Rule(Rewrite *r, const Node *n, const NodeId *arg);

static const Node *node_of(Rewrite *r, NodeId id) { return &rewrite_graph(r)->node[id]; }

static NodeId again(Rewrite *r, const Node *n, const NodeId *arg)
{
    return rewrite_add(r, n->op, n->n_arg, arg, &n->attr);
}

static bool is_number(Rewrite *r, NodeId id, double value)
{
    double v;
    return graph_constant_of(rewrite_graph(r), id, &v) && v == value;
}

/* The constant with the shape and axes of n. */
static NodeId full_like(Rewrite *r, const Node *n, double value)
{
    Graph *g = rewrite_graph(r);
    return n->wide ? graph_constant(g, value)
                   : graph_spread(g, graph_full(g, value, n->shape), n->axes);
}

/* ---- spreads sink: f(spread(a), spread(b)) is spread(f(a, b)) ---- */

static Axes axes_of(Rewrite *r, NodeId id)
{
    return node_of(r, graph_unspread(rewrite_graph(r), id))->axes;
}

static bool sinks(const OpDef *def, OpCode op)
{
    return (def->family == FAMILY_MAP || def->family == FAMILY_MOVE ||
            def->family == FAMILY_REDUCE) &&
           op != OP_SPREAD && op != OP_TOTAL && op != OP_SCATTER;
}

/* NO_NODE when some operand has all the axes of the result. */
static NodeId sink_spread(Rewrite *r, const Node *n, const NodeId *arg)
{
    Graph *g = rewrite_graph(r);
    Axes kept = 0;
    NodeId inner[64];
    if (!sinks(op_defs[n->op], n->op) || n->n_arg == 0 || n->n_arg > COUNT(inner))
        return NO_NODE;
    for (int i = 0; i < n->n_arg; i++)
        kept |= axes_of(r, arg[i]);
    if (kept == n->axes)
        return NO_NODE;
    for (int i = 0; i < n->n_arg; i++)
        inner[i] = graph_spread(g, graph_unspread(g, arg[i]), kept);
    NodeId f = rewrite_add(r, n->op, n->n_arg, inner, &n->attr);
    return graph_spread(g, f, n->axes);
}

/* ---- constants ---- */

static NodeId fold_map(Rewrite *r, const Node *n, const NodeId *arg)
{
    double v[3];
    const OpDef *def = op_defs[n->op];
    if (def->family != FAMILY_MAP || !def->ref || n->n_arg > COUNT(v) ||
        n->op == OP_SURROGATE)
        return NO_NODE;
    for (int i = 0; i < n->n_arg; i++)
        if (!graph_constant_of(rewrite_graph(r), arg[i], &v[i]))
            return NO_NODE;
    return full_like(r, n, def->ref(v));
}

/* ---- arithmetic ---- */

static NodeId rule_add(Rewrite *r, const Node *n, const NodeId *arg)
{
    Graph *g = rewrite_graph(r);
    if (is_number(r, arg[0], 0))
        return arg[1];
    if (is_number(r, arg[1], 0))
        return arg[0];
    if (node_of(r, arg[1])->op == OP_NEG)
        return graph_map2(g, OP_SUB, arg[0], node_of(r, arg[1])->arg[0]);
    NodeId joined = add_parts(g, arg[0], arg[1]);
    return joined != NO_NODE ? joined : again(r, n, arg);
}

static NodeId rule_sub(Rewrite *r, const Node *n, const NodeId *arg)
{
    if (is_number(r, arg[1], 0))
        return arg[0];
    if (is_number(r, arg[0], 0))
        return graph_map1(rewrite_graph(r), OP_NEG, arg[1]);
    if (node_of(r, arg[1])->op == OP_NEG)
        return graph_map2(rewrite_graph(r), OP_ADD, arg[0], node_of(r, arg[1])->arg[0]);
    return again(r, n, arg);
}

static NodeId rule_mul(Rewrite *r, const Node *n, const NodeId *arg)
{
    for (int i = 0; i < 2; i++) {
        if (is_number(r, arg[i], 1))
            return arg[1 - i];
        if (is_number(r, arg[i], -1))
            return graph_map1(rewrite_graph(r), OP_NEG, arg[1 - i]);
    }
    return again(r, n, arg);
}

static NodeId rule_div(Rewrite *r, const Node *n, const NodeId *arg)
{
    return is_number(r, arg[1], 1) ? arg[0] : again(r, n, arg);
}

static NodeId rule_neg(Rewrite *r, const Node *n, const NodeId *arg)
{
    return node_of(r, arg[0])->op == OP_NEG ? node_of(r, arg[0])->arg[0] : again(r, n, arg);
}

static NodeId rule_where(Rewrite *r, const Node *n, const NodeId *arg)
{
    double c;
    if (graph_constant_of(rewrite_graph(r), arg[0], &c))
        return c != 0 ? arg[1] : arg[2];
    return arg[1] == arg[2] ? arg[1] : again(r, n, arg);
}

/* Behind grad a declared derivative, or its absence, has done its work: the value is left.
 */
static NodeId rule_first(Rewrite *r, const Node *n, const NodeId *arg)
{
    (void)r, (void)n;
    return arg[0];
}

/* ---- moves ---- */

static bool same_shape(Rewrite *r, const Node *n, NodeId arg)
{
    return shape_equal(&n->shape, &node_of(r, arg)->shape);
}

static NodeId rule_broadcast(Rewrite *r, const Node *n, const NodeId *arg)
{
    if (same_shape(r, n, arg[0]))
        return arg[0];
    if (node_of(r, arg[0])->op == OP_BROADCAST)
        return rewrite_add(r, OP_BROADCAST, 1, node_of(r, arg[0])->arg, &n->attr);
    return again(r, n, arg);
}

static NodeId rule_reshape(Rewrite *r, const Node *n, const NodeId *arg)
{
    double v;
    if (same_shape(r, n, arg[0]))
        return arg[0];
    if (graph_constant_of(rewrite_graph(r), arg[0], &v))
        return full_like(r, n, v);
    if (node_of(r, arg[0])->op == OP_RESHAPE)
        return rewrite_add(r, OP_RESHAPE, 1, node_of(r, arg[0])->arg, &n->attr);
    return again(r, n, arg);
}

static NodeId rule_transpose(Rewrite *r, const Node *n, const NodeId *arg)
{
    const Node *inner = node_of(r, arg[0]);
    Attr a = n->attr;
    bool identity = true;
    if (inner->op == OP_TRANSPOSE)
        for (int i = 0; i < n->shape.rank; i++)
            a.permutation[i] = inner->attr.permutation[n->attr.permutation[i]];
    for (int i = 0; i < n->shape.rank; i++)
        identity = identity && a.permutation[i] == i;
    NodeId from = inner->op == OP_TRANSPOSE ? inner->arg[0] : arg[0];
    return identity ? from : rewrite_add(r, OP_TRANSPOSE, 1, &from, &a);
}

/* A slice that lies within one part of a concatenation is a slice of that part. */
static NodeId slice_of_concat(Rewrite *r, const Node *n, const Node *concat)
{
    int axis = concat->attr.axis;
    int64_t at = 0, first = n->attr.start[axis];
    int64_t last = first + (n->shape.dim[axis] - 1) * n->attr.step[axis];
    for (int i = 0; i < concat->n_arg; i++) {
        int64_t size = node_of(r, concat->arg[i])->shape.dim[axis];
        if (first >= at && first < at + size && last >= at && last < at + size) {
            Attr a = n->attr;
            a.start[axis] -= at;
            return rewrite_add(r, OP_SLICE, 1, &concat->arg[i], &a);
        }
        at += size;
    }
    return NO_NODE;
}

static NodeId rule_slice(Rewrite *r, const Node *n, const NodeId *arg)
{
    const Node *inner = node_of(r, arg[0]);
    bool whole = same_shape(r, n, arg[0]);
    for (int i = 0; whole && i < n->shape.rank; i++)
        whole = n->attr.start[i] == 0 && n->attr.step[i] == 1;
    if (whole)
        return arg[0];
    NodeId part = inner->op == OP_CONCAT ? slice_of_concat(r, n, inner) : NO_NODE;
    return part != NO_NODE ? part : again(r, n, arg);
}

/* Elements of v with step - 1 zeros behind each of them along the axis, none behind the
   last: seen as [before, dim, behind], so that there is room for one more dimension. */
static NodeId stretch(Graph *g, NodeId v, int axis, int64_t step)
{
    Shape s = g->node[v].shape;
    Axes axes = g->node[v].axes;
    int64_t before = 1, behind = 1, dim = s.dim[axis];
    int64_t start[MAX_RANK] = {0}, one[MAX_RANK] = {1, 1, 1, 1, 1, 1};
    for (int d = 0; d < s.rank; d++)
        *(d < axis ? &before : &behind) *= d == axis ? 1 : s.dim[d];
    Shape split = {4, {before, dim, 1, behind}}, gap = {4, {before, dim, step - 1, behind}};
    Shape whole = {3, {before, dim * step, behind}},
          cut = {3, {before, dim * step - step + 1, behind}};
    NodeId part[2] = {graph_reshape(g, v, split),
                      graph_spread(g, graph_full(g, 0, gap), axes)};
    NodeId wide = graph_reshape(g, graph_concat(g, 2, 2, part), whole);
    s.dim[axis] = cut.dim[1];
    return graph_reshape(g, graph_slice(g, wide, start, one, cut), s);
}

static NodeId reverse(Graph *g, NodeId v, int axis)
{
    int64_t start[MAX_RANK] = {0}, step[MAX_RANK] = {1, 1, 1, 1, 1, 1};
    start[axis] = g->node[v].shape.dim[axis] - 1;
    step[axis] = -1;
    return graph_slice(g, v, start, step, g->node[v].shape);
}

/* v with zeros around it along one axis: `before` elements, then v, up to `size`. */
static NodeId surround(Graph *g, NodeId v, int axis, int64_t before, int64_t size)
{
    NodeId part[3];
    int n = 0;
    Shape s = g->node[v].shape;
    Axes axes = g->node[v].axes;
    int64_t behind = size - before - s.dim[axis];
    s.dim[axis] = before;
    if (before > 0)
        part[n++] = graph_spread(g, graph_full(g, 0, s), axes);
    part[n++] = v;
    s.dim[axis] = behind;
    if (behind > 0)
        part[n++] = graph_spread(g, graph_full(g, 0, s), axes);
    return n == 1 ? v : graph_concat(g, axis, n, part);
}

/* Zeros around a part, axis by axis, are a concatenation with zeros. */
static NodeId rule_pad(Rewrite *r, const Node *n, const NodeId *arg)
{
    Graph *g = rewrite_graph(r);
    NodeId v = arg[0];
    for (int axis = 0; axis < n->shape.rank; axis++) {
        int64_t start = n->attr.start[axis], step = n->attr.step[axis];
        if (step < 0) {
            start += (g->node[v].shape.dim[axis] - 1) * step;
            step = -step;
            v = reverse(g, v, axis);
        }
        if (step > 1 && g->node[v].shape.dim[axis] > 1)
            v = stretch(g, v, axis, step);
        v = surround(g, v, axis, start, n->shape.dim[axis]);
    }
    return v;
}

/* By old id: others than one read it, so it stands anyway. */
static bool used_elsewhere(Rewrite *r, NodeId old)
{
    const int *uses = rewrite_user(r);
    return uses[old] > 1;
}

/* Is the table one number everywhere? Then *one is that number. */
static bool is_one_number(Rewrite *r, NodeId table, NodeId *one)
{
    Graph *g = rewrite_graph(r);
    const Node *n = node_of(r, graph_unspread(g, table));
    if (n->op != OP_BROADCAST || shape_size(&node_of(r, n->arg[0])->shape) != 1)
        return false;
    *one = graph_reshape(g, n->arg[0], (Shape){0});
    return true;
}

/* One element of an elementwise result is that operation on one element of each operand. */
static NodeId rule_gather(Rewrite *r, const Node *n, const NodeId *arg)
{
    const Node *table = node_of(r, arg[0]);
    const OpDef *def = op_defs[table->op];
    NodeId part[3];
    if (def->family != FAMILY_MAP || !def->cheap || table->n_arg > COUNT(part) ||
        table->n_arg == 0 || !(table->axes & AXIS_TIME) || used_elsewhere(r, n->arg[0]))
        return again(r, n, arg);
    OpCode op = table->op;
    int n_arg = table->n_arg;
    for (int i = 0; i < n_arg; i++) {
        NodeId pair[2] = {node_of(r, arg[0])->arg[i], arg[1]}, one;
        part[i] = n->shape.rank == 0 && is_one_number(r, pair[0], &one)
                      ? graph_spread(rewrite_graph(r), one, n->axes)
                      : rewrite_add(r, OP_GATHER, 2, pair, &n->attr);
    }
    return rewrite_add(r, op, n_arg, part, NULL);
}

static NodeId rule_concat(Rewrite *r, const Node *n, const NodeId *arg)
{
    return n->n_arg == 1 ? arg[0] : again(r, n, arg);
}

/* Zeros but for a value at a class, when not summed: a comparison with 0, 1, 2 … */
static NodeId rule_scatter(Rewrite *r, const Node *n, const NodeId *arg)
{
    Graph *g = rewrite_graph(r);
    if (n->attr.axes != 0)
        return again(r, n, arg);
    Shape column = {n->shape.rank, {n->shape.dim[0]}};
    for (int i = 1; i < column.rank; i++)
        column.dim[i] = 1;
    Attr iota = {.shape = {1, {n->shape.dim[0]}}};
    NodeId index = graph_reshape(g, graph_add(g, OP_IOTA, 0, NULL, &iota), column);
    NodeId hit = graph_map2(g, OP_EQ, index, arg[1]);
    return graph_map3(g, OP_WHERE, hit, arg[0], graph_constant(g, 0));
}

/* ---- reductions ---- */

static NodeId rule_reduce(Rewrite *r, const Node *n, const NodeId *arg)
{
    const Shape *s = &node_of(r, arg[0])->shape;
    int64_t reduced = 1;
    for (int i = 0; i < s->rank; i++)
        if (n->attr.reduce >> i & 1)
            reduced *= s->dim[i];
    if (reduced == 1 && n->op != OP_ARGMAX)
        return graph_reshape(rewrite_graph(r), arg[0], n->shape);
    double v;
    if (n->op == OP_SUM && graph_constant_of(rewrite_graph(r), arg[0], &v))
        return full_like(r, n, v * (double)reduced);
    return again(r, n, arg);
}

/* The sum of a spread is a multiple. */
static NodeId total_of_spread(Rewrite *r, const Node *n, NodeId arg)
{
    Graph *g = rewrite_graph(r);
    NodeId inner = graph_unspread(g, arg);
    Axes has = node_of(r, inner)->axes;
    Axes constant = (Axes)(n->attr.axes & ~has), left = (Axes)(n->attr.axes & has);
    if (constant == 0)
        return NO_NODE;
    NodeId sum = left ? graph_total(g, inner, left) : inner;
    NodeId times = graph_map2(g, OP_MUL, sum, graph_extent(g, constant));
    return graph_spread(g, times, n->axes);
}

/* A sum over points of a move is the move of the sum. */
static NodeId total_of_move(Rewrite *r, const Node *n, const Node *move)
{
    NodeId inner = graph_total(rewrite_graph(r), move->arg[0], n->attr.axes);
    return rewrite_add(r, move->op, 1, &inner, &move->attr);
}

static NodeId rule_total(Rewrite *r, const Node *n, const NodeId *arg)
{
    const Node *inner = node_of(r, arg[0]);
    NodeId spread = total_of_spread(r, n, arg[0]);
    if (spread != NO_NODE)
        return spread;
    if (inner->op == OP_RESHAPE || inner->op == OP_TRANSPOSE || inner->op == OP_BROADCAST)
        return total_of_move(r, n, inner);
    if (inner->op == OP_EINSUM || inner->op == OP_SCATTER) {
        Attr a = inner->attr;
        a.axes |= n->attr.axes;
        return rewrite_add(r, inner->op, inner->n_arg, inner->arg, &a);
    }
    return again(r, n, arg);
}

static NodeId rule_einsum(Rewrite *r, const Node *n, const NodeId *arg)
{
    NodeId made = einsum_canonical(rewrite_graph(r), &n->attr, arg[0], arg[1], n->axes);
    return made != NO_NODE ? made : again(r, n, arg);
}

static NodeId rule_spread(Rewrite *r, const Node *n, const NodeId *arg)
{
    return graph_spread(rewrite_graph(r), graph_unspread(rewrite_graph(r), arg[0]),
                        n->axes);
}

/* Ordinary to wide and back loses nothing that an ordinary number had. */
static NodeId rule_narrow(Rewrite *r, const Node *n, const NodeId *arg)
{
    const Node *inner = node_of(r, arg[0]);
    if (inner->op == OP_CONSTANT)
        return arg[0];
    return inner->op == OP_WIDEN ? inner->arg[0] : again(r, n, arg);
}

static Rule *const rules[OP_COUNT] = {
    [OP_ADD] = rule_add,
    [OP_SUB] = rule_sub,
    [OP_MUL] = rule_mul,
    [OP_DIV] = rule_div,
    [OP_NEG] = rule_neg,
    [OP_WHERE] = rule_where,
    [OP_BROADCAST] = rule_broadcast,
    [OP_RESHAPE] = rule_reshape,
    [OP_TRANSPOSE] = rule_transpose,
    [OP_SLICE] = rule_slice,
    [OP_PAD] = rule_pad,
    [OP_CONCAT] = rule_concat,
    [OP_GATHER] = rule_gather,

    [OP_SCATTER] = rule_scatter,
    [OP_SUM] = rule_reduce,
    [OP_PROD] = rule_reduce,
    [OP_MAX_OF] = rule_reduce,
    [OP_MIN_OF] = rule_reduce,
    [OP_TOTAL] = rule_total,
    [OP_EINSUM] = rule_einsum,
    [OP_SPREAD] = rule_spread,
    [OP_NARROW] = rule_narrow,
    [OP_SURROGATE] = rule_first,
    [OP_DETACH] = rule_first,
};

static NodeId simplify_node(Rewrite *r, const Node *n, const NodeId *arg)
{
    NodeId made = fold_map(r, n, arg);
    if (made == NO_NODE)
        made = sink_spread(r, n, arg);
    if (made != NO_NODE)
        return made;
    return rules[n->op] ? rules[n->op](r, n, arg) : again(r, n, arg);
}

/* Enough for every chain of rules that was seen; a rule that another one undoes would not
 * end. */
enum { MAX_ROUNDS = 12 };

void simplify_pass(Graph *g)
{
    int before = -1;
    for (int i = 0; i < MAX_ROUNDS && g->n_node != before; i++) {
        before = g->n_node;
        graph_rewrite(g, simplify_node, graph_uses(g));
    }
    graph_rewrite(g, simplify_node, graph_uses(g));
}
