/*
 * build_tensor.c — functions that know of shapes: reductions over features, products, and
 * moves (split, concat, reshape, transpose).
 *
 * Softmax and its kin subtract the greatest element, detached: the value does not depend
 * on it, so neither does the gradient. An einsum that sums nothing is a product of
 * broadcasts and is built as one, so that it fuses with its neighbours.
 */
#include "passes/build_room.h"

#include <math.h>
#include <string.h>

/* ---- axes ---- */

bool tensor_axis(Scope *s, const Value *v, int rank, int *out)
{
    int64_t axis;
    if (!value_whole(s, v, "axis", &axis))
        return false;
    if (axis < -rank || axis >= rank) {
        build_error(s, s->b->g->loc, "axis %lld of a value of %d dimensions",
                    (long long)axis, rank);
        return false;
    }
    *out = (int)(axis < 0 ? axis + rank : axis);
    return true;
}

/* What a reduction goes over. */
typedef struct {
    NodeId node;
    Shape shape;
    uint32_t mask;
    int64_t count; /* elements reduced into one */
    int axis;      /* -1: all */
} Span;

static bool span_of(const BuiltinCall *call, Span *out)
{
    Graph *g = call->s->b->g;
    NodeId node = value_real(call->s, call->v);
    if (node == NO_NODE)
        return false;
    Span span = {.node = node, .shape = g->node[node].shape, .axis = -1};
    span.mask = (1u << span.shape.rank) - 1;
    if (call->axis) {
        if (!tensor_axis(call->s, call->axis, span.shape.rank, &span.axis))
            return false;
        span.mask = 1u << span.axis;
    }
    span.count = 1;
    for (int i = 0; i < span.shape.rank; i++)
        if (span.mask >> i & 1)
            span.count *= span.shape.dim[i];
    *out = span;
    return true;
}

static NodeId reduce(Graph *g, OpCode op, NodeId node, uint32_t mask)
{
    return mask ? graph_reduce(g, op, node, mask) : node;
}

/* The reduced value with its axes back as 1, to stand beside what it was made of. */
static NodeId keep_axes(Graph *g, NodeId reduced, const Span *span)
{
    Shape shape = span->shape;
    for (int i = 0; i < shape.rank; i++)
        if (span->mask >> i & 1)
            shape.dim[i] = 1;
    return graph_reshape(g, reduced, shape);
}

/* ---- reductions ---- */

Value tensor_reduce(const Builtin *f, const BuiltinCall *call)
{
    Span span;
    if (call->n > 1)
        return build_error(call->s, call->e->loc, "axis= goes with one argument");
    if (!span_of(call, &span))
        return NOTHING;
    return value_node(reduce(call->s->b->g, f->op, span.node, span.mask));
}

Value tensor_mean(const Builtin *f, const BuiltinCall *call)
{
    Span span;
    if (!span_of(call, &span))
        return NOTHING;
    Value sum = value_node(reduce(call->s->b->g, f->op, span.node, span.mask));
    Value part = value_number(1 / (double)span.count);
    return value_map(call->s, OP_MUL, 2, (Value[]){sum, part});
}

/* sqrt(Σ v²) with gradient 0 at 0: the derivative of the root is declared. */
Value tensor_norm(const Builtin *f, const BuiltinCall *call)
{
    Graph *g = call->s->b->g;
    Span span;
    if (!span_of(call, &span))
        return NOTHING;
    NodeId squares = graph_map2(g, OP_MUL, span.node, span.node);
    NodeId sum = reduce(g, f->op, squares, span.mask);
    NodeId root = graph_map1(g, OP_SQRT, sum);
    if (g->phase != PHASE_FORWARD)
        return value_node(root);
    NodeId zero = graph_constant(g, 0), half = graph_constant(g, 0.5);
    NodeId slope = graph_map3(g, OP_WHERE, graph_map2(g, OP_EQ, root, zero), zero,
                              graph_map2(g, OP_DIV, half, root));
    const char *why = NULL;
    NodeId all[] = {root, sum, slope};
    NodeId norm = graph_try_map(g, OP_SURROGATE, 3, all, &why);
    return norm == NO_NODE ? build_error(call->s, call->e->loc, "%s", why)
                           : value_node(norm);
}

Value tensor_argmax(const Builtin *f, const BuiltinCall *call)
{
    Graph *g = call->s->b->g;
    Span span;
    if (!span_of(call, &span))
        return NOTHING;
    if (!span.shape.rank)
        return build_error(call->s, call->e->loc, "argmax of a single number");
    if (span.axis < 0 && span.shape.rank > 1) {
        Shape flat = {.rank = 1, .dim = {span.count}};
        span.node = graph_reshape(g, span.node, flat);
        span.mask = 1;
    }
    Value best = value_typed(graph_reduce(g, f->op, span.node, span.mask), KIND_CLASS);
    best.classes = span.count;
    return best;
}

/* v minus its greatest element, which is detached. */
static NodeId centred(Graph *g, const Span *span, NodeId *greatest)
{
    NodeId most = reduce(g, OP_MAX_OF, span->node, span->mask);
    *greatest = graph_map1(g, OP_DETACH, most);
    return graph_map2(g, OP_SUB, span->node, keep_axes(g, *greatest, span));
}

/* All infinite: nothing to subtract, as PyTorch does. */
Value tensor_logsumexp(const Builtin *f, const BuiltinCall *call)
{
    Graph *g = call->s->b->g;
    Span span;
    (void)f;
    if (!span_of(call, &span))
        return NOTHING;
    NodeId most = graph_map1(g, OP_DETACH, reduce(g, OP_MAX_OF, span.node, span.mask));
    NodeId zero = graph_constant(g, 0);
    NodeId finite = graph_map2(g, OP_EQ, graph_map2(g, OP_SUB, most, most), zero);
    most = graph_map3(g, OP_WHERE, finite, most, zero);
    NodeId z = graph_map2(g, OP_SUB, span.node, keep_axes(g, most, &span));
    NodeId sum = reduce(g, OP_SUM, graph_map1(g, OP_EXP, z), span.mask);
    return value_node(graph_map2(g, OP_ADD, most, graph_map1(g, OP_LOG, sum)));
}

static bool softmax_span(const Builtin *f, const BuiltinCall *call, Span *span)
{
    if (!span_of(call, span))
        return false;
    if (span->axis >= 0 || span->shape.rank < 2)
        return true;
    build_error(call->s, call->e->loc, "'%s' of shape %s needs axis=", f->name,
                shape_print(call->s->b->arena, &span->shape));
    return false;
}

Value tensor_softmax(const Builtin *f, const BuiltinCall *call)
{
    Graph *g = call->s->b->g;
    Span span;
    NodeId greatest;
    if (!softmax_span(f, call, &span))
        return NOTHING;
    NodeId e = graph_map1(g, OP_EXP, centred(g, &span, &greatest));
    NodeId sum = keep_axes(g, reduce(g, OP_SUM, e, span.mask), &span);
    return value_node(graph_map2(g, OP_DIV, e, sum));
}

Value tensor_log_softmax(const Builtin *f, const BuiltinCall *call)
{
    Graph *g = call->s->b->g;
    Span span;
    NodeId greatest;
    if (!softmax_span(f, call, &span))
        return NOTHING;
    NodeId z = centred(g, &span, &greatest);
    NodeId sum = reduce(g, OP_SUM, graph_map1(g, OP_EXP, z), span.mask);
    NodeId log = keep_axes(g, graph_map1(g, OP_LOG, sum), &span);
    return value_node(graph_map2(g, OP_SUB, z, log));
}

/* ---- moves ---- */

Value tensor_split(const Builtin *f, const BuiltinCall *call)
{
    Scope *s = call->s;
    Graph *g = s->b->g;
    Shape shape;
    int64_t n;
    int axis = 0;
    (void)f;
    NodeId node = value_real(s, call->v);
    if (node == NO_NODE || !value_whole(s, &call->v[1], "the number of parts", &n))
        return NOTHING;
    shape = g->node[node].shape;
    if (!shape.rank)
        return build_error(s, call->e->loc, "split of a single number");
    if (call->axis && !tensor_axis(s, call->axis, shape.rank, &axis))
        return NOTHING;
    if (n < 1 || shape.dim[axis] % n)
        return build_error(s, call->e->loc, "split: axis %d of %s has no %lld equal parts",
                           axis, shape_print(s->b->arena, &shape), (long long)n);
    int64_t start[MAX_RANK] = {0}, step[MAX_RANK] = {1, 1, 1, 1, 1, 1};
    Value list = {.kind = VALUE_LIST, .n = (int)n, .node = NO_NODE};
    list.item = NEW_ARRAY(s->b->arena, Value, n);
    shape.dim[axis] /= n;
    for (int i = 0; i < n; i++) {
        start[axis] = i * shape.dim[axis];
        list.item[i] = value_node(n == 1 ? node : graph_slice(g, node, start, step, shape));
    }
    return list;
}

/* Nodes side by side have the same axes and width. */
static bool common_axes(Scope *s, int n, const Value *v, NodeId *out)
{
    Graph *g = s->b->g;
    Axes axes = 0;
    for (int i = 0; i < n; i++) {
        out[i] = value_narrow(s, &v[i]);
        if (out[i] == NO_NODE)
            return false;
        axes = (Axes)(axes | g->node[out[i]].axes);
    }
    for (int i = 0; i < n; i++)
        out[i] = graph_spread(g, out[i], axes);
    return true;
}

static bool fits_beside(const Shape *a, const Shape *b, int axis)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (i != axis && a->dim[i] != b->dim[i])
            return false;
    return true;
}

static Value concat_of(Scope *s, int axis, int n, const NodeId *arg)
{
    Graph *g = s->b->g;
    Shape first = g->node[arg[0]].shape, whole = first;
    for (int i = 1; i < n; i++) {
        const Shape *next = &g->node[arg[i]].shape;
        if (!fits_beside(&first, next, axis))
            return build_error(s, g->loc, "concat: %s and %s do not fit along axis %d",
                               shape_print(s->b->arena, &first),
                               shape_print(s->b->arena, next), axis);
        if (!size_add(whole.dim[axis], next->dim[axis], &whole.dim[axis]))
            return build_error(s, g->loc, "concat: too many elements");
    }
    if (!shape_is_sound(s, g->loc, &whole))
        return NOTHING;
    return value_node(n == 1 ? arg[0] : graph_concat(g, axis, n, arg));
}

Value tensor_concat(const Builtin *f, const BuiltinCall *call)
{
    Scope *s = call->s;
    NodeId *arg = NEW_ARRAY(s->b->arena, NodeId, call->n);
    int axis = 0;
    (void)f;
    if (!common_axes(s, call->n, call->v, arg))
        return NOTHING;
    int rank = s->b->g->node[arg[0]].shape.rank;
    if (!rank)
        return build_error(s, call->e->loc, "concat of single numbers: write [a, b]");
    if (call->axis && !tensor_axis(s, call->axis, rank, &axis))
        return NOTHING;
    return concat_of(s, axis, call->n, arg);
}

static bool equal_parts(Scope *s, int n, const NodeId *part)
{
    const Node *node = s->b->g->node;
    const Shape *first = &node[part[0]].shape;
    if (first->rank == MAX_RANK) {
        build_error(s, s->b->g->loc, "a list of values of %d dimensions", first->rank);
        return false;
    }
    for (int i = 1; i < n; i++) {
        if (shape_equal(first, &node[part[i]].shape))
            continue;
        build_error(s, s->b->g->loc, "a list of unequal parts: %s beside %s",
                    shape_print(s->b->arena, first),
                    shape_print(s->b->arena, &node[part[i]].shape));
        return false;
    }
    return true;
}

NodeId tensor_stack(Scope *s, const Value *list)
{
    Graph *g = s->b->g;
    NodeId *arg = NEW_ARRAY(s->b->arena, NodeId, list->n);
    if (!common_axes(s, list->n, list->item, arg) || !equal_parts(s, list->n, arg))
        return NO_NODE;
    Shape part = g->node[arg[0]].shape, shape = {.rank = part.rank + 1, .dim = {1}};
    memcpy(shape.dim + 1, part.dim, (size_t)part.rank * sizeof part.dim[0]);
    for (int i = 0; i < list->n; i++)
        arg[i] = graph_reshape(g, arg[i], shape);
    Value v = concat_of(s, 0, list->n, arg);
    return v.kind == VALUE_NODE ? v.node : NO_NODE;
}

Value tensor_reshape(const Builtin *f, const BuiltinCall *call)
{
    Scope *s = call->s;
    const Value *list = &call->v[1];
    Shape shape = {0}, from;
    int64_t size = 1;
    (void)f;
    if (list->kind != VALUE_LIST && list->kind != VALUE_NUMBER)
        return build_error(s, call->e->loc, "reshape wants a list of constants: [2, n]");
    int n = list->kind == VALUE_LIST ? list->n : 1;
    for (int i = 0; i < n; i++) {
        int64_t dim;
        const Value *item = list->kind == VALUE_LIST ? &list->item[i] : list;
        if (!value_whole(s, item, "size of a dimension", &dim) ||
            !shape_append(s, call->e->loc, &shape, dim))
            return NOTHING;
    }
    NodeId node = value_narrow(s, call->v);
    if (node == NO_NODE || !shape_is_sound(s, call->e->loc, &shape))
        return NOTHING;
    from = s->b->g->node[node].shape;
    size_product(shape.dim, shape.rank, &size);
    if (size != shape_size(&from))
        return build_error(s, call->e->loc, "reshape: %s has %lld elements, %s has %lld",
                           shape_print(s->b->arena, &from), (long long)shape_size(&from),
                           shape_print(s->b->arena, &shape), (long long)size);
    return value_node(graph_reshape(s->b->g, node, shape));
}

/* The order of axes asked for: reversed unless told. */
static bool permutation_of(const BuiltinCall *call, int rank, int8_t *out)
{
    Scope *s = call->s;
    const Value *axes = call->axis ? call->axis : call->n > 1 ? &call->v[1] : NULL;
    uint32_t seen = 0;
    for (int i = 0; i < rank; i++) {
        int axis = rank - 1 - i;
        if (axes && (axes->kind != VALUE_LIST || axes->n != rank)) {
            build_error(s, call->e->loc, "transpose: axes= lists all %d axes", rank);
            return false;
        }
        if (axes && !tensor_axis(s, &axes->item[i], rank, &axis))
            return false;
        if (seen >> axis & 1) {
            build_error(s, call->e->loc, "transpose: axis %d stands twice", axis);
            return false;
        }
        seen |= 1u << axis;
        out[i] = (int8_t)axis;
    }
    return true;
}

Value tensor_transpose(const Builtin *f, const BuiltinCall *call)
{
    int8_t permutation[MAX_RANK];
    (void)f;
    NodeId node = value_narrow(call->s, call->v);
    if (node == NO_NODE)
        return NOTHING;
    int rank = call->s->b->g->node[node].shape.rank;
    if (!permutation_of(call, rank, permutation))
        return NOTHING;
    return rank < 2 ? value_node(node)
                    : value_node(graph_transpose(call->s->b->g, node, permutation));
}

/* ---- products ---- */

static Value product(Scope *s, const char *what, const char *labels, NodeId a, NodeId b)
{
    const char *why = NULL;
    NodeId node = graph_try_einsum(s->b->g, labels, a, b, &why);
    if (node == NO_NODE)
        return build_error(s, s->b->g->loc, "%s: %s", what, why);
    return value_node(node);
}

Value tensor_matmul(Scope *s, const Value *a, const Value *b)
{
    static const char *const labels[3][3] = {
        {NULL, NULL, NULL}, {NULL, "i,i->", "i,ij->j"}, {NULL, "ij,j->i", "ij,jk->ik"}};
    Graph *g = s->b->g;
    NodeId left = value_narrow(s, a), right = value_narrow(s, b);
    if (left == NO_NODE || right == NO_NODE)
        return NOTHING;
    Shape l = g->node[left].shape, r = g->node[right].shape;
    const char *chosen = l.rank < 3 && r.rank < 3 ? labels[l.rank][r.rank] : NULL;
    if (!chosen)
        return build_error(s, g->loc,
                           "@ takes vectors and matrices, not %s and %s; einsum takes any",
                           shape_print(s->b->arena, &l), shape_print(s->b->arena, &r));
    if (l.dim[l.rank - 1] != r.dim[0])
        return build_error(s, g->loc, "@ of %s and %s: %lld and %lld differ",
                           shape_print(s->b->arena, &l), shape_print(s->b->arena, &r),
                           (long long)l.dim[l.rank - 1], (long long)r.dim[0]);
    return product(s, "@", chosen, left, right);
}

/* einsum's labels, taken apart. */
typedef struct {
    char label[3][MAX_RANK + 1]; /* of both operands and the result */
} Labels;

static bool labels_parse(const char *text, Labels *out)
{
    int part = 0, n = 0;
    *out = (Labels){0};
    for (const char *c = text; *c; c++) {
        if (*c == ' ')
            continue;
        bool comma = *c == ',' && part == 0, arrow = *c == '-' && c[1] == '>' && part == 1;
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
        if (comma || arrow) {
            part++, n = 0, c += arrow;
            continue;
        }
        if (!letter || n == MAX_RANK)
            return false;
        out->label[part][n++] = *c;
    }
    return part == 2;
}

/* Do all labels of both operands stand in the result, each once? Then nothing is summed. */
static bool sums_nothing(const Labels *l)
{
    for (int p = 0; p < 3; p++)
        for (const char *c = l->label[p]; *c; c++)
            if (strchr(c + 1, *c) || (p < 2 && !strchr(l->label[2], *c)))
                return false;
    for (const char *c = l->label[2]; *c; c++)
        if (!strchr(l->label[0], *c) && !strchr(l->label[1], *c))
            return false;
    return true;
}

/* The operand with its axes in the result's order, and 1 where it has none. */
static NodeId spread_labels(Graph *g, NodeId node, const char *from, const char *to)
{
    Shape shape = g->node[node].shape, wide = {0};
    int8_t permutation[MAX_RANK];
    int n = 0;
    bool moved = false;
    for (const char *c = to; *c; c++) {
        const char *at = strchr(from, *c);
        wide.dim[wide.rank++] = at ? shape.dim[at - from] : 1;
        if (at) {
            moved = moved || at - from != n;
            permutation[n++] = (int8_t)(at - from);
        }
    }
    if (moved)
        node = graph_transpose(g, node, permutation);
    return graph_reshape(g, node, wide);
}

static bool labels_fit(Scope *s, const char *text, const Labels *l, const NodeId *arg)
{
    Graph *g = s->b->g;
    int64_t size[128] = {0};
    for (int p = 0; p < 2; p++) {
        const Shape *shape = &g->node[arg[p]].shape;
        if ((int)strlen(l->label[p]) != shape->rank) {
            build_error(s, g->loc, "einsum \"%s\": '%s' for an operand of shape %s", text,
                        l->label[p], shape_print(s->b->arena, shape));
            return false;
        }
        for (int i = 0; i < shape->rank; i++) {
            int64_t *known = &size[(int)l->label[p][i]];
            if (*known && *known != shape->dim[i]) {
                build_error(s, g->loc, "einsum \"%s\": %c is %lld in %s and %lld in %s",
                            text, l->label[p][i], (long long)*known,
                            shape_print(s->b->arena, &g->node[arg[0]].shape),
                            (long long)shape->dim[i],
                            shape_print(s->b->arena, &g->node[arg[1]].shape));
                return false;
            }
            *known = shape->dim[i];
        }
    }
    return true;
}

static Value einsum(Scope *s, const char *text, NodeId a, NodeId b)
{
    Graph *g = s->b->g;
    Labels l;
    if (!labels_parse(text, &l))
        return build_error(
            s, g->loc,
            "einsum \"%s\": labels are letters, as \"ij,j->i\", for two operands", text);
    if (!labels_fit(s, text, &l, (NodeId[]){a, b}))
        return NOTHING;
    if (!sums_nothing(&l))
        return product(s, "einsum", text, a, b);
    NodeId both[] = {spread_labels(g, a, l.label[0], l.label[2]),
                     spread_labels(g, b, l.label[1], l.label[2])};
    return value_node(graph_map2(g, OP_MUL, both[0], both[1]));
}

static Value einsum_of_ranks(const BuiltinCall *call, const char *labels, int rank)
{
    Scope *s = call->s;
    NodeId a = value_narrow(s, &call->v[0]), b = value_narrow(s, &call->v[1]);
    if (a == NO_NODE || b == NO_NODE)
        return NOTHING;
    Shape l = s->b->g->node[a].shape, r = s->b->g->node[b].shape;
    if (l.rank != rank || r.rank != rank)
        return build_error(s, call->e->loc, "'%s' takes two vectors, not %s and %s",
                           call->e->text, shape_print(s->b->arena, &l),
                           shape_print(s->b->arena, &r));
    return einsum(s, labels, a, b);
}

Value tensor_outer(const Builtin *f, const BuiltinCall *call)
{
    (void)f;
    return einsum_of_ranks(call, "i,j->ij", 1);
}

Value tensor_dot(const Builtin *f, const BuiltinCall *call)
{
    (void)f;
    return einsum_of_ranks(call, "i,i->", 1);
}

Value tensor_einsum(const Builtin *f, const BuiltinCall *call)
{
    Scope *s = call->s;
    (void)f;
    if (call->v[0].kind != VALUE_TEXT)
        return build_error(
            s, call->e->loc,
            "einsum's first argument is its labels: einsum(\"ij,j->i\", W, x)");
    NodeId a = value_narrow(s, &call->v[1]), b = value_narrow(s, &call->v[2]);
    return a == NO_NODE || b == NO_NODE ? NOTHING : einsum(s, call->v[0].text, a, b);
}
