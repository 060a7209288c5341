/*
 * build_init.c — first values of parameters: expressions over arguments, dimensions, the
 * first values of parameters above, and makers, which draw a tensor of the parameter's
 * shape. All of it stands in PHASE_INIT and has no axes.
 *
 * Each draw has a site of its own in the random generator. Normal draws are Box and
 * Muller's (1958): sqrt(-2 ln(1 - u)) cos(2 pi v) of two uniform ones; 1 - u because a
 * draw may be 0 and is never 1.
 */
#include "passes/build_room.h"

#include <math.h>

static NodeId draw(Scope *s)
{
    Graph *g = s->b->g;
    Attr attr = {.index = g->n_site++, .shape = *s->maker};
    return graph_add(g, OP_RANDOM, 0, NULL, &attr);
}

static Value uniform(Scope *s, Value from, Value to)
{
    Value u = value_node(draw(s));
    Value width = value_map(s, OP_SUB, 2, (Value[]){to, from});
    Value part = value_map(s, OP_MUL, 2, (Value[]){u, width});
    return value_map(s, OP_ADD, 2, (Value[]){part, from});
}

static Value uniform_around_zero(Scope *s, Value bound)
{
    return uniform(s, value_map(s, OP_NEG, 1, &bound), bound);
}

static Value normal(Scope *s, Value deviation)
{
    Value u = value_node(draw(s)), v = value_node(draw(s));
    Value rest = value_map(s, OP_SUB, 2, (Value[]){value_number(1), u});
    Value log = value_map(s, OP_LOG, 1, &rest);
    Value square = value_map(s, OP_MUL, 2, (Value[]){log, value_number(-2)});
    Value radius = value_map(s, OP_SQRT, 1, &square);
    Value turn = value_number(2 * 3.14159265358979323846);
    Value angle = value_map(s, OP_MUL, 2, (Value[]){v, turn});
    Value cosine = value_map(s, OP_COS, 1, &angle);
    Value z = value_map(s, OP_MUL, 2, (Value[]){radius, cosine});
    return value_map(s, OP_MUL, 2, (Value[]){z, deviation});
}

/* Glorot and Bengio 2010, with the first and the last dimension as fans. */
static Value xavier(Scope *s, Loc loc)
{
    const Shape *shape = s->maker;
    if (!shape->rank)
        return build_error(s, loc, "xavier needs a shape, not a single number");
    double fans = (double)shape->dim[0] + (double)shape->dim[shape->rank - 1];
    return uniform_around_zero(s, value_number(sqrt(6 / fans)));
}

/* Of more than two dimensions: rows by everything else, as PyTorch does. */
static Value orthogonal(Scope *s, Loc loc)
{
    Graph *g = s->b->g;
    Shape shape = *s->maker;
    if (shape.rank < 2)
        return build_error(s, loc, "orthogonal needs a matrix, not %s",
                           shape_print(s->b->arena, &shape));
    Shape flat = {.rank = 2, .dim = {shape.dim[0], shape_size(&shape) / shape.dim[0]}};
    const Shape *outer = s->maker;
    s->maker = &flat;
    Value z = normal(s, value_number(1));
    s->maker = outer;
    NodeId q = graph_add(g, OP_ORTHOGONAL, 1, &z.node, NULL);
    return value_node(graph_reshape(g, q, shape));
}

static Value identity(Scope *s, Loc loc)
{
    Graph *g = s->b->g;
    const Shape *shape = s->maker;
    if (shape->rank != 2)
        return build_error(s, loc, "identity needs a matrix, not %s",
                           shape_print(s->b->arena, shape));
    Shape rows = {.rank = 1, .dim = {shape->dim[0]}};
    Shape columns = {.rank = 1, .dim = {shape->dim[1]}};
    Shape upright = {.rank = 2, .dim = {shape->dim[0], 1}};
    NodeId i = graph_add(g, OP_IOTA, 0, NULL, &(Attr){.shape = rows});
    NodeId j = graph_add(g, OP_IOTA, 0, NULL, &(Attr){.shape = columns});
    return value_node(graph_map2(g, OP_EQ, graph_reshape(g, i, upright), j));
}

/* ---- makers by name ---- */

static Value zeros(Scope *s, Loc loc)
{
    (void)loc;
    return value_fill(0, *s->maker);
}

static Value ones(Scope *s, Loc loc)
{
    (void)loc;
    return value_fill(1, *s->maker);
}

static const struct {
    const char *name;
    Value (*make)(Scope *s, Loc loc);
} named_makers[] = {
    {"zeros", zeros},           {"ones", ones},         {"xavier", xavier},
    {"orthogonal", orthogonal}, {"identity", identity},
};

const char *const init_maker_names[] = {"zeros",  "ones",   "constant",   "uniform",
                                        "normal", "xavier", "orthogonal", "identity"};
const int n_init_maker = COUNT(init_maker_names);

Value init_named_maker(Scope *s, const char *name, Loc loc, bool *found)
{
    for (int i = 0; i < COUNT(named_makers); i++)
        if (str_eq(named_makers[i].name, name)) {
            *found = true;
            return named_makers[i].make(s, loc);
        }
    return NOTHING;
}

/* constant(c), uniform(a), uniform(a, b), normal(s) */
Value init_maker(const Builtin *f, const BuiltinCall *call)
{
    Scope *s = call->s;
    if (call->n == 2)
        return uniform(s, call->v[0], call->v[1]);
    if (str_eq(f->name, "uniform"))
        return uniform_around_zero(s, call->v[0]);
    if (str_eq(f->name, "normal"))
        return normal(s, call->v[0]);
    if (!value_is_number(&call->v[0]))
        return build_error(s, call->e->loc, "constant takes a number");
    return value_fill(call->v[0].number, *s->maker);
}

/* ---- a parameter's ---- */

static Value default_value(Scope *s)
{
    const Shape *shape = s->maker;
    int64_t last = shape->rank ? shape->dim[shape->rank - 1] : 1;
    return uniform_around_zero(s, value_number(1 / sqrt((double)last)));
}

NodeId init_value(Scope *s, const VarDecl *decl, Shape shape)
{
    Graph *g = s->b->g;
    Phase phase = g->phase;
    Shape from, both;
    NodeId node = NO_NODE;
    g->phase = PHASE_INIT;
    s->maker = &shape;
    Value v = decl->init ? expr_value(s, decl->init) : default_value(s);
    Loc outer = g->loc;
    g->loc = decl->init ? decl->init->loc : decl->loc;
    bool fits = value_shape(s, &v, &from) && shape_broadcast(&from, &shape, &both) &&
                shape_equal(&both, &shape);
    if (fits)
        node = value_narrow(s, &v);
    else if (v.kind != VALUE_ERROR)
        build_error(s, g->loc, "the first value of '%s' is %s; the parameter has shape %s",
                    decl->name, value_print(s, &v), shape_print(s->b->arena, &shape));
    if (node != NO_NODE)
        node = graph_broadcast(g, node, shape);
    s->maker = NULL;
    g->loc = outer;
    g->phase = phase;
    return node;
}
