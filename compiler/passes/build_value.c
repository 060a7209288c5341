/*
 * build_value.c — values: numbers that are known now, nodes, lists; and elementwise
 * operations on them.
 *
 * Operations of numbers fold with the operation's own reference, so a folded value is
 * what the graph would have computed in double. A number has a shape (`ones([n])` is the
 * number 1 in n places): weights of ones, gathered by a class, are the number 1 still,
 * and fall out of products.
 */
#include "graph/ops.h"
#include "passes/build_room.h"

#include <math.h>
#include <string.h>

/* ---- making them ---- */

Value value_number(double number)
{
    return (Value){.kind = VALUE_NUMBER, .number = number, .node = NO_NODE};
}

Value value_flag(bool flag)
{
    Value v = value_number(flag);
    v.type = KIND_FLAG;
    return v;
}

Value value_fill(double number, Shape shape)
{
    Value v = value_number(number);
    v.shape = shape;
    return v;
}

Value value_node(NodeId node) { return value_typed(node, KIND_REAL); }

Value value_typed(NodeId node, Kind type)
{
    if (node == NO_NODE)
        return NOTHING;
    return (Value){.kind = VALUE_NODE, .node = node, .type = type};
}

/* ---- asking them ---- */

bool value_is_number(const Value *v)
{
    return v->kind == VALUE_NUMBER && v->shape.rank == 0;
}

static bool list_shape(Scope *s, const Value *v, Shape *out)
{
    Shape first = {0};
    for (int i = 0; i < v->n; i++) {
        Shape item;
        if (!value_shape(s, &v->item[i], &item) || (i && !shape_equal(&item, &first)))
            return false;
        first = item;
    }
    if (!v->n || first.rank == MAX_RANK)
        return false;
    *out = (Shape){.rank = first.rank + 1, .dim = {v->n}};
    memcpy(out->dim + 1, first.dim, (size_t)first.rank * sizeof first.dim[0]);
    return true;
}

bool value_shape(Scope *s, const Value *v, Shape *out)
{
    switch (v->kind) {
    case VALUE_NUMBER: *out = v->shape; return true;
    case VALUE_NODE: *out = s->b->g->node[v->node].shape; return true;
    case VALUE_LIST: return list_shape(s, v, out);
    case VALUE_ERROR:
    case VALUE_FUNCTION:
    case VALUE_TEXT: return false;
    }
    return false;
}

Axes value_axes(Scope *s, const Value *v)
{
    if (v->kind == VALUE_NODE)
        return s->b->g->node[v->node].axes;
    Axes axes = 0;
    for (int i = 0; v->kind == VALUE_LIST && i < v->n; i++)
        axes = (Axes)(axes | value_axes(s, &v->item[i]));
    return axes;
}

const char *value_print(Scope *s, const Value *v)
{
    Shape shape;
    Arena *arena = s->b->arena;
    if (v->kind == VALUE_FUNCTION)
        return "a function";
    if (v->kind == VALUE_TEXT)
        return "a text";
    if (v->type == KIND_CLASS)
        return arena_print(arena, "a class of %lld", (long long)v->classes);
    if (!value_shape(s, v, &shape))
        return v->kind == VALUE_LIST ? "a list of unequal parts" : "nothing";
    if (value_is_number(v))
        return arena_print(arena, "%.17g", v->number);
    return shape_print(arena, &shape);
}

bool value_whole(Scope *s, const Value *v, const char *what, int64_t *out)
{
    Loc loc = s->b->g->loc;
    if (v->kind == VALUE_ERROR)
        return false;
    if (!value_is_number(v)) {
        build_error(s, loc, "%s must be a constant number, not %s", what,
                    v->kind == VALUE_NODE ? "a value that is known while running"
                                          : value_print(s, v));
        return false;
    }
    if (!(fabs(v->number) <= 0x1p53) || v->number != floor(v->number)) {
        build_error(s, loc, "%s is %g; it must be a whole number", what, v->number);
        return false;
    }
    *out = (int64_t)v->number;
    return true;
}

/* ---- as nodes ---- */

NodeId value_tensor(Scope *s, const Value *v)
{
    Graph *g = s->b->g;
    switch (v->kind) {
    case VALUE_ERROR: return NO_NODE;
    case VALUE_NODE: return v->node;
    case VALUE_NUMBER:
        return v->shape.rank ? graph_full(g, v->number, v->shape)
                             : graph_constant(g, v->number);
    case VALUE_LIST: return tensor_stack(s, v);
    case VALUE_FUNCTION:
        build_error(s, g->loc, "a function stands where a value is wanted");
        return NO_NODE;
    case VALUE_TEXT:
        build_error(s, g->loc, "a text stands where a value is wanted");
        return NO_NODE;
    }
    return NO_NODE;
}

NodeId value_real(Scope *s, const Value *v)
{
    if (v->kind == VALUE_NODE && v->type == KIND_CLASS) {
        build_error(
            s, s->b->g->loc,
            "%s stands where a real is wanted; compare it, gather with it (W[x]), or "
            "spread it with one_hot(x)",
            value_print(s, v));
        return NO_NODE;
    }
    return value_tensor(s, v);
}

NodeId value_narrow(Scope *s, const Value *v)
{
    NodeId node = value_real(s, v);
    if (node != NO_NODE && s->b->g->node[node].wide)
        node = graph_map1(s->b->g, OP_NARROW, node);
    return node;
}

/* ---- elementwise ---- */

static bool gives_flag(OpCode op)
{
    return op == OP_LT || op == OP_LE || op == OP_EQ || op == OP_NE || op == OP_AND ||
           op == OP_OR || op == OP_NOT;
}

static bool takes_class(OpCode op)
{
    return op == OP_LT || op == OP_LE || op == OP_EQ || op == OP_NE;
}

static bool has_error(int n, const Value *v)
{
    for (int i = 0; i < n; i++)
        if (v[i].kind == VALUE_ERROR)
            return true;
    return false;
}

static bool all_numbers(int n, const Value *v)
{
    for (int i = 0; i < n; i++)
        if (v[i].kind != VALUE_NUMBER)
            return false;
    return true;
}

static Value fold(Scope *s, OpCode op, int n, const Value *v)
{
    double arg[3] = {0};
    Shape shape = v[0].shape;
    for (int i = 0; i < n; i++) {
        Shape before = shape;
        arg[i] = v[i].number;
        if (!shape_broadcast(&before, &v[i].shape, &shape))
            return build_error(s, s->b->g->loc, "%s: %s and %s do not broadcast",
                               op_defs[op]->name, shape_print(s->b->arena, &before),
                               shape_print(s->b->arena, &v[i].shape));
    }
    Value folded = value_fill(op_defs[op]->ref(arg), shape);
    folded.type = gives_flag(op) ? KIND_FLAG : KIND_REAL;
    return folded;
}

/* A class that cannot hold a value is never equal to it: without ignored classes in the
   data, `y != ignore_index` is true and the weights of a loss are known. */
static bool fold_class(OpCode op, const Value *a, const Value *b, Value *out)
{
    if (op != OP_EQ && op != OP_NE)
        return false;
    if (b->type == KIND_CLASS && b->kind == VALUE_NODE) {
        const Value *other = a;
        a = b, b = other;
    }
    if (a->kind != VALUE_NODE || a->type != KIND_CLASS || a->may_be_ignored ||
        !value_is_number(b))
        return false;
    double n = b->number;
    if (n >= 0 && n < (double)a->classes && n == floor(n))
        return false;
    *out = value_flag(op == OP_NE);
    return true;
}

static bool is_number(const Value *v, double number)
{
    return v->kind == VALUE_NUMBER && v->number == number;
}

/* x * 1, x / 1, x + 0, x - 0 are x, and x * 0, with a 0 that the spec itself says, is no
   term at all, where broadcasting does not change the shape. So what an argument such as
   label_smoothing=0 switches off is not computed. */
static bool fold_identity(Scope *s, OpCode op, const Value *v, Value *out)
{
    Shape a, b, both;
    if (op != OP_MUL && op != OP_ADD && op != OP_SUB && op != OP_DIV)
        return false;
    if (!value_shape(s, &v[0], &a) || !value_shape(s, &v[1], &b) ||
        !shape_broadcast(&a, &b, &both))
        return false;
    double neutral = op == OP_MUL || op == OP_DIV;
    bool swap = op == OP_MUL || op == OP_ADD;
    if (op == OP_MUL && (is_number(&v[0], 0) || is_number(&v[1], 0)))
        return *out = value_fill(0, both), true;
    if (is_number(&v[1], neutral) && shape_equal(&a, &both) && v[0].type == KIND_REAL)
        return *out = v[0], true;
    if (swap && is_number(&v[0], neutral) && shape_equal(&b, &both) &&
        v[1].type == KIND_REAL)
        return *out = v[1], true;
    return false;
}

Value value_map(Scope *s, OpCode op, int n, const Value *v)
{
    NodeId arg[3];
    Value folded;
    if (has_error(n, v))
        return NOTHING;
    if (all_numbers(n, v))
        return fold(s, op, n, v);
    for (int i = 0; i < n && !takes_class(op); i++)
        if (v[i].kind == VALUE_NODE && value_real(s, &v[i]) == NO_NODE)
            return NOTHING;
    if (n == 2 &&
        (fold_class(op, &v[0], &v[1], &folded) || fold_identity(s, op, v, &folded)))
        return folded;
    for (int i = 0; i < n; i++)
        if ((arg[i] = value_tensor(s, &v[i])) == NO_NODE)
            return NOTHING;
    const char *why = NULL;
    NodeId node = graph_try_map(s->b->g, op, n, arg, &why);
    if (node == NO_NODE)
        return build_error(s, s->b->g->loc, "%s", why);
    return value_typed(node, gives_flag(op) ? KIND_FLAG : KIND_REAL);
}

/* x^n by squaring: x^5 is (x^2)^2 * x. */
static Value whole_power(Scope *s, Value x, int n)
{
    if (n == 1)
        return x;
    Value half = whole_power(s, x, n / 2);
    Value square = value_map(s, OP_MUL, 2, (Value[]){half, half});
    return n % 2 ? value_map(s, OP_MUL, 2, (Value[]){square, x}) : square;
}

/* Small whole powers are products, whole and half roots sqrt: exact where pow is not, and
   with derivatives that hold at 0. */
Value value_power(Scope *s, const Value *base, const Value *exponent)
{
    Value both[] = {*base, *exponent};
    if (has_error(2, both))
        return NOTHING;
    if (base->kind != VALUE_NODE || !value_is_number(exponent))
        return value_map(s, OP_POW, 2, both);
    double n = exponent->number, size = fabs(n);
    if (value_real(s, base) == NO_NODE)
        return NOTHING;
    if (n == 0)
        return value_fill(1, s->b->g->node[base->node].shape);
    if (n == 0.5 || n == -0.5)
        return value_map(s, n > 0 ? OP_SQRT : OP_RSQRT, 1, base);
    if (size > 8 || size != floor(size))
        return value_map(s, OP_POW, 2, both);
    Value power = whole_power(s, *base, (int)size);
    if (n > 0)
        return power;
    return value_map(s, OP_DIV, 2, (Value[]){value_number(1), power});
}

/* A condition that is known chooses now; the other side gives its shape only. */
static Value where_known(Scope *s, bool yes, const Value *a, const Value *b)
{
    Shape left, right, both;
    const Value *taken = yes ? a : b;
    if (!value_shape(s, a, &left) || !value_shape(s, b, &right))
        return *taken;
    if (!shape_broadcast(&left, &right, &both))
        return build_error(s, s->b->g->loc, "where: %s and %s do not broadcast",
                           shape_print(s->b->arena, &left),
                           shape_print(s->b->arena, &right));
    if (shape_equal(yes ? &left : &right, &both))
        return *taken;
    if (taken->kind == VALUE_NUMBER)
        return value_fill(taken->number, both);
    NodeId node = value_narrow(s, taken);
    return node == NO_NODE ? NOTHING : value_node(graph_broadcast(s->b->g, node, both));
}

Value value_where(Scope *s, const Value *condition, const Value *a, const Value *b)
{
    Value all[] = {*condition, *a, *b};
    if (has_error(3, all))
        return NOTHING;
    if (value_is_number(condition))
        return where_known(s, condition->number != 0, a, b);
    if (a->type == KIND_CLASS && b->type == KIND_CLASS && a->classes == b->classes &&
        a->kind == VALUE_NODE && b->kind == VALUE_NODE) {
        NodeId arg[] = {value_real(s, condition), a->node, b->node};
        const char *why = NULL;
        if (arg[0] == NO_NODE)
            return NOTHING;
        Value chosen = *a;
        chosen.node = graph_try_map(s->b->g, OP_WHERE, 3, arg, &why);
        if (chosen.node == NO_NODE)
            return build_error(s, s->b->g->loc, "%s", why);
        chosen.may_be_ignored = a->may_be_ignored || b->may_be_ignored;
        return chosen;
    }
    return value_map(s, OP_WHERE, 3, all);
}
