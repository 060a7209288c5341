/*
 * build_function.c — the compiler's own functions: one table, in which the language's
 * reference can be read. What is elementwise and not here is the library's.
 */
#include "passes/build_room.h"

#include <math.h>

/* ---- elementwise ---- */

static Value run_map(const Builtin *f, const BuiltinCall *call)
{
    return value_map(call->s, f->op, call->n, call->v);
}

static Value run_where(const Builtin *f, const BuiltinCall *call)
{
    (void)f;
    return value_where(call->s, &call->v[0], &call->v[1], &call->v[2]);
}

/* Of one argument a reduction, of several elementwise, pair by pair. */
static Value run_extreme(const Builtin *f, const BuiltinCall *call)
{
    bool alone = call->n == 1 && !value_is_number(call->v);
    if (alone || call->axis) {
        Builtin reduce = *f;
        reduce.op = f->op == OP_MIN ? OP_MIN_OF : OP_MAX_OF;
        return tensor_reduce(&reduce, call);
    }
    Value v = call->v[0];
    for (int i = 1; i < call->n; i++)
        v = value_map(call->s, f->op, 2, (Value[]){v, call->v[i]});
    return v;
}

/* A list stays one, of its parts detached. */
static Value detached(Scope *s, const Value *from)
{
    Value v = *from;
    if (v.kind != VALUE_LIST && value_tensor(s, &v) == NO_NODE)
        return NOTHING;
    if (v.kind == VALUE_NODE)
        v.node = graph_map1(s->b->g, OP_DETACH, v.node);
    if (v.kind != VALUE_LIST)
        return v;
    v.item = NEW_ARRAY(s->b->arena, Value, v.n);
    for (int i = 0; i < v.n; i++)
        if ((v.item[i] = detached(s, &from->item[i])).kind == VALUE_ERROR)
            return NOTHING;
    return v;
}

static Value run_detach(const Builtin *f, const BuiltinCall *call)
{
    (void)f;
    return detached(call->s, call->v);
}

/* ---- constants ---- */

/* A shape given as a value: a number, or a list of numbers. */
static bool shape_value(Scope *s, const Expr *e, const Value *v, Shape *out)
{
    int n = v->kind == VALUE_LIST ? v->n : 1;
    const Value *item = v->kind == VALUE_LIST ? v->item : v;
    *out = (Shape){0};
    for (int i = 0; i < n; i++) {
        int64_t dim;
        if (!value_whole(s, &item[i], "size of a dimension", &dim) ||
            !shape_append(s, e->loc, out, dim))
            return false;
    }
    return shape_is_sound(s, e->loc, out);
}

static Value run_fill(const Builtin *f, const BuiltinCall *call)
{
    Shape shape;
    if (!shape_value(call->s, call->e, call->v, &shape))
        return NOTHING;
    return value_fill(str_eq(f->name, "ones"), shape);
}

static Value run_arange(const Builtin *f, const BuiltinCall *call)
{
    Shape shape;
    (void)f;
    if (!shape_value(call->s, call->e, call->v, &shape))
        return NOTHING;
    if (shape.rank != 1)
        return build_error(call->s, call->e->loc, "arange takes one number");
    return value_node(graph_add(call->s->b->g, OP_IOTA, 0, NULL, &(Attr){.shape = shape}));
}

static Value run_one_hot(const Builtin *f, const BuiltinCall *call)
{
    Graph *g = call->s->b->g;
    const Value *v = call->v;
    (void)f;
    if (v->kind != VALUE_NODE || v->type != KIND_CLASS)
        return build_error(call->s, call->e->loc, "one_hot takes a class, not %s",
                           value_print(call->s, v));
    Shape shape = {.rank = 1, .dim = {v->classes}}, column = g->node[v->node].shape;
    if (!shape_append(call->s, call->e->loc, &column, 1))
        return NOTHING;
    NodeId class = column.rank > 1 ? graph_reshape(g, v->node, column) : v->node;
    NodeId iota = graph_add(g, OP_IOTA, 0, NULL, &(Attr){.shape = shape});
    return value_typed(graph_map2(g, OP_EQ, class, iota), KIND_FLAG);
}

/* ---- dropout ---- */

/*
 * torch.nn.functional.dropout: while training an element is 0 with probability p, else
 * v / (1 - p) (as v times the scale, the order of torch's rounding); else v. At p = 1 the
 * scale is 0, so that no infinity reaches the backward pass.
 */
static Value dropout(Scope *s, NodeId v, const Value *p)
{
    Graph *g = s->b->g;
    Value training = NOTHING, one = value_number(1), zero = value_number(0);
    training = expr_value(s, &(Expr){.kind = EXPR_NAME, .text = "training", .loc = g->loc});
    Value keep = value_map(s, OP_SUB, 2, (Value[]){one, *p});
    Value all = value_map(s, OP_EQ, 2, (Value[]){keep, zero});
    Value scale = value_map(s, OP_DIV, 2, (Value[]){one, keep});
    scale = value_where(s, &all, &zero, &scale);
    scale = value_where(s, &training, &scale, &one);
    Attr draw = {.index = g->n_site++, .axes = AXES_ALL, .shape = g->node[v].shape};
    Value u = value_node(graph_add(g, OP_RANDOM, 0, NULL, &draw));
    Value below = value_map(s, OP_LT, 2, (Value[]){u, *p});
    Value drop = value_map(s, OP_AND, 2, (Value[]){training, below});
    Value scaled = value_map(s, OP_MUL, 2, (Value[]){value_node(v), scale});
    return value_where(s, &drop, &zero, &scaled);
}

/* What it is, or begins as. */
static bool known_number(const Scope *s, const Value *v, double *out)
{
    const Graph *g = s->b->g;
    const Node *n = v->kind == VALUE_NODE ? &g->node[v->node] : NULL;
    bool scalar = n && n->op == OP_SCALAR && !g->scalar[n->attr.index].counter;
    if (v->kind == VALUE_NUMBER || scalar)
        *out = scalar ? g->scalar[n->attr.index].value : v->number;
    return v->kind == VALUE_NUMBER || scalar;
}

static Value run_dropout(const Builtin *f, const BuiltinCall *call)
{
    Scope *s = call->s;
    const Value *p = &call->v[1];
    double number = 0;
    (void)f;
    if (known_number(s, p, &number) && !(number >= 0 && number <= 1))
        return build_error(s, call->e->loc,
                           "dropout's probability is %g; it lies in [0, 1]", number);
    build_limit(s->b, p, 0, 1, false);
    if (p->kind == VALUE_NUMBER && p->number == 0)
        return call->v[0];
    NodeId v = value_narrow(s, &call->v[0]);
    return v == NO_NODE || value_real(s, p) == NO_NODE ? NOTHING : dropout(s, v, p);
}

/* ---- the table ---- */

#define MAP1(name, op)                                 \
    {                                                  \
        name, 1, 1, op, run_map, 0, NULL, false, false \
    }
#define ON_AXIS(name, n, m, op, run)                 \
    {                                                \
        name, n, m, op, run, 0, "axis", false, false \
    }
#define MOVE(name, n, m, run, fixed)                         \
    {                                                        \
        name, n, m, OP_COUNT, run, fixed, NULL, false, false \
    }
#define MAKER(name, n, m)                                      \
    {                                                          \
        name, n, m, OP_COUNT, init_maker, 0, NULL, true, false \
    }

enum { MANY = 1 << 12, SECOND = 2, FIRST = 1 };

const Builtin builtins[] = {
    MAP1("abs", OP_ABS),
    MAP1("sign", OP_SIGN),
    MAP1("floor", OP_FLOOR),
    MAP1("round", OP_ROUND),
    MAP1("exp", OP_EXP),
    MAP1("expm1", OP_EXPM1),
    MAP1("log", OP_LOG),
    MAP1("log1p", OP_LOG1P),
    MAP1("sqrt", OP_SQRT),
    MAP1("rsqrt", OP_RSQRT),
    MAP1("tanh", OP_TANH),
    MAP1("erf", OP_ERF),
    MAP1("sin", OP_SIN),
    MAP1("cos", OP_COS),
    {"mod", 2, 2, OP_MOD, run_map, 0, NULL, false, false},
    MOVE("where", 3, 3, run_where, 0),
    ON_AXIS("min", 1, MANY, OP_MIN, run_extreme),
    ON_AXIS("max", 1, MANY, OP_MAX, run_extreme),
    ON_AXIS("sum", 1, 1, OP_SUM, tensor_reduce),
    ON_AXIS("prod", 1, 1, OP_PROD, tensor_reduce),
    ON_AXIS("mean", 1, 1, OP_SUM, tensor_mean),
    ON_AXIS("norm", 1, 1, OP_SUM, tensor_norm),
    ON_AXIS("argmax", 1, 1, OP_ARGMAX, tensor_argmax),
    ON_AXIS("logsumexp", 1, 1, OP_COUNT, tensor_logsumexp),
    ON_AXIS("softmax", 1, 1, OP_COUNT, tensor_softmax),
    ON_AXIS("log_softmax", 1, 1, OP_COUNT, tensor_log_softmax),
    {"split", 2, 2, OP_COUNT, tensor_split, SECOND, "axis", false, false},
    ON_AXIS("concat", 1, MANY, OP_COUNT, tensor_concat),
    MOVE("reshape", 2, 2, tensor_reshape, SECOND),
    {"transpose", 1, 2, OP_COUNT, tensor_transpose, SECOND, "axes", false, false},
    MOVE("outer", 2, 2, tensor_outer, 0),
    MOVE("dot", 2, 2, tensor_dot, 0),
    MOVE("einsum", 3, 3, tensor_einsum, FIRST),
    MOVE("one_hot", 1, 1, run_one_hot, 0),
    MOVE("dropout", 2, 2, run_dropout, 0),
    MOVE("detach", 1, 1, run_detach, 0),
    MOVE("zeros", 1, 1, run_fill, FIRST),
    MOVE("ones", 1, 1, run_fill, FIRST),
    MOVE("arange", 1, 1, run_arange, FIRST),
    MAKER("constant", 1, 1),
    MAKER("uniform", 1, 2),
    MAKER("normal", 1, 1),
    {"average", 1, 1, OP_COUNT, loss_average_call, 0, NULL, false, true},
    {"total", 1, 1, OP_COUNT, loss_total_call, 0, NULL, false, true},
};
const int n_builtin = COUNT(builtins);

const Builtin *builtin_find(const Scope *s, const char *name)
{
    for (int i = 0; i < n_builtin; i++) {
        const Builtin *f = &builtins[i];
        bool here = (!f->in_init || s->maker) && (!f->in_loss || s->losses);
        if (here && str_eq(f->name, name))
            return f;
    }
    return NULL;
}

/* ---- calling ---- */

static const char *count_of(Arena *arena, int min, int max)
{
    if (min == max)
        return arena_print(arena, "%d argument%s", min, min == 1 ? "" : "s");
    if (max == MANY)
        return arena_print(arena, "%d or more arguments", min);
    return arena_print(arena, "%d or %d arguments", min, max);
}

const char *build_function_name(Arena *arena, int i, const char **takes)
{
    if (i >= n_builtin)
        return NULL;
    const Builtin *f = &builtins[i];
    *takes = arena_print(arena, "%s%s%s%s", count_of(arena, f->min_arg, f->max_arg),
                         f->option ? ", and " : "", f->option ? f->option : "",
                         f->in_init   ? "; for first values of parameters"
                         : f->in_loss ? "; for losses and metrics"
                                      : "");
    return f->name;
}

static bool option_value(Scope *s, const Expr *e, const Builtin *f, int i, Value *option)
{
    if (!str_eq(e->name[i], f->option) &&
        !(f->run == run_dropout && str_eq(e->name[i], "p"))) {
        build_error(s, e->begin[i], "'%s' has no argument '%s'%s", f->name, e->name[i],
                    f->option ? build_hint(s->b, e->name[i], &f->option, 1) : "");
        return false;
    }
    *option = expr_value(s, e->arg[i]);
    return option->kind != VALUE_ERROR;
}

Value builtin_call(Scope *s, const Expr *e, const Builtin *f)
{
    Value option = NOTHING;
    Value *v = NEW_ARRAY(s->b->arena, Value, e->n_arg + 1);
    int n = 0, n_option = 0;
    bool ok = true;
    for (int i = 0; i < e->n_arg; i++) {
        if (e->name[i]) {
            ok = option_value(s, e, f, i, &option) && ok;
            n_option++;
            continue;
        }
        v[n] = expr_value(s, e->arg[i]);
        ok = v[n++].kind != VALUE_ERROR && ok;
    }
    if (!ok)
        return NOTHING;
    if (n_option && f->run == run_dropout)
        v[n++] = option, n_option = 0;
    if (n < f->min_arg || n > f->max_arg)
        return build_error(s, e->loc, "'%s' takes %s, got %d", f->name,
                           count_of(s->b->arena, f->min_arg, f->max_arg), n);
    BuiltinCall call = {.s = s, .e = e, .n = n, .v = v, .axis = n_option ? &option : NULL};
    return f->run(f, &call);
}
