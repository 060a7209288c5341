/*
 * build_cell.c — what a cell owns: start values, parameters, states.
 *
 * A state is a leaf, what the step finds: at a chunk's first step `entry`, which is the
 * value at the start where the row starts a sequence and else what the chunk before left;
 * after it the step's own `next`. What the chunk before left is a leaf as well, through
 * which no gradient flows: that is detach. build_tbptt.c makes these nodes.
 */
#include "passes/build_room.h"

/* ---- names ---- */

static bool is_taken(const Graph *g, const char *name)
{
    for (int i = 0; i < g->n_param; i++)
        if (str_eq(g->param[i].name, name))
            return true;
    for (int i = 0; i < g->n_state; i++)
        if (str_eq(g->state[i].name, name))
            return true;
    return false;
}

/* The full name of something the scope owns; NULL after a mistake. */
static const char *own_name(Scope *s, const VarDecl *decl, const char *what)
{
    Build *b = s->b;
    if (!s->naming) {
        build_error(s->caller, s->call,
                    "'%s' owns %ss, so its call is bound to a name: NAME = %s(…)",
                    s->def->name, what, s->def->name);
        return NULL;
    }
    const char *name = naming_full(b, s->naming, decl->name);
    if (is_taken(b->g, name)) {
        Scope *said_by = s->caller ? s->caller : s;
        build_error(
            said_by, s->caller ? s->call : decl->loc,
            "there is a '%s' already; instances are bound once, in a for with a name "
            "of their own: as=\"{name}_{i}\"",
            name);
        return NULL;
    }
    for (Scope *up = s; up; up = up->caller)
        up->n_owned++;
    return name;
}

/* Is the variable there, and of which shape? */
static bool exists(Scope *s, const VarDecl *decl)
{
    bool yes = true;
    return !decl->when || (expr_truth(s, decl->when, "when", &yes) && yes);
}

/* ---- start values that a call may give ---- */

static Value fit_start(Scope *s, const VarDecl *decl, Value v, Shape shape)
{
    Shape from, both;
    Graph *g = s->b->g;
    if (v.kind == VALUE_ERROR)
        return v;
    if (!value_shape(s, &v, &from) || !shape_broadcast(&from, &shape, &both) ||
        !shape_equal(&both, &shape))
        return build_error(s->caller ? s->caller : s, g->loc,
                           "the value of '%s' at the start is %s; the state has shape %s",
                           decl->name, value_print(s, &v),
                           shape_print(s->b->arena, &shape));
    if (value_axes(s, &v) & AXIS_TIME)
        return build_error(s->caller ? s->caller : s, g->loc,
                           "the value of '%s' at the start depends on what changes with "
                           "time; it may use parameters and inputs given once a sequence",
                           decl->name);
    if (v.kind == VALUE_NUMBER)
        return value_fill(v.number, shape);
    NodeId node = value_narrow(s, &v);
    return node == NO_NODE ? NOTHING : value_node(graph_broadcast(g, node, shape));
}

/* What the call gives for `decl`, fitted; *given tells whether it does. */
static Value start_given(Scope *s, const VarDecl *decl, Call *call, Shape shape,
                         bool *given)
{
    Graph *g = s->b->g;
    const Expr *e = call ? call_take(call, decl->name) : NULL;
    *given = e != NULL;
    if (!e)
        return value_fill(0, shape);
    Loc outer = g->loc;
    Value v = expr_value(call->from, e);
    g->loc = e->loc;
    v = fit_start(s, decl, v, shape);
    g->loc = outer;
    return v;
}

void cell_bind_starts(Scope *s, Call *call)
{
    for (int i = 0; i < s->def->n_start; i++) {
        const VarDecl *decl = &s->def->start[i];
        Shape shape;
        bool given;
        Value v = NOTHING;
        if (!exists(s, decl))
            continue;
        if (expr_shape(s, &decl->shape, &shape))
            v = start_given(s, decl, call, shape, &given);
        else
            call_skip(call, decl->name);
        scope_bind(s, PLACE_ARG, decl->name, v);
    }
}

/* ---- parameters ---- */

/* False when the instance has no name: then nothing of it has one. */
static bool declare_param(Scope *s, const VarDecl *decl)
{
    Build *b = s->b;
    Graph *g = b->g;
    Shape shape;
    if (!expr_shape(s, &decl->shape, &shape)) {
        scope_bind(s, PLACE_PARAM, decl->name, NOTHING)->init = NOTHING;
        return true;
    }
    const char *name = own_name(s, decl, "parameter");
    if (!name) {
        scope_bind(s, PLACE_PARAM, decl->name, NOTHING)->init = NOTHING;
        return false;
    }
    NodeId init = init_value(s, decl, shape);
    Attr attr = {.index = g->n_param, .shape = shape};
    NodeId leaf = graph_add(g, OP_PARAM, 0, NULL, &attr);
    *PUSH(g->arena, g->param, g->n_param, g->param_capacity) =
        (Param){.name = name,
                .shape = shape,
                .trained = !decl->has_grad || decl->grad,
                .leaf = leaf,
                .init = init,
                .gradient = NO_NODE,
                .next = NO_NODE,
                .loc = decl->loc};
    *PUSH(b->arena, b->decl, b->n_decl, b->decl_capacity) = decl;
    scope_bind(s, PLACE_PARAM, decl->name, value_node(leaf))->init = value_node(init);
    return true;
}

void cell_declare_params(Scope *s)
{
    Graph *g = s->b->g;
    Loc outer = g->loc;
    for (int i = 0; i < s->def->n_param; i++) {
        g->loc = s->def->param[i].loc;
        if (exists(s, &s->def->param[i]) && !declare_param(s, &s->def->param[i]))
            break;
    }
    g->loc = outer;
}

/* ---- states ---- */

/* The value at the start: given by the call, else `initial`, else zero. */
static Value state_start(Scope *s, const VarDecl *decl, Call *call, Shape shape)
{
    Graph *g = s->b->g;
    bool given;
    Value v = start_given(s, decl, call, shape, &given);
    if (given || !decl->init)
        return v;
    Loc outer = g->loc;
    v = expr_value(s, decl->init);
    g->loc = decl->init->loc;
    v = fit_start(s, decl, v, shape);
    g->loc = outer;
    return v;
}

static void declare_state(Scope *s, const VarDecl *decl, const char *name, Shape shape,
                          const Value *start)
{
    Build *b = s->b;
    int index = tbptt_add_state(b, name, shape, value_narrow(s, start));
    Binding *state = scope_bind(s, PLACE_STATE, decl->name, value_node(b->found[index]));
    state->owner = OWNER_MODEL, state->index = index;
}

void cell_declare_states(Scope *s, Call *call)
{
    Graph *g = s->b->g;
    Loc outer = g->loc;
    Value *start = NEW_ARRAY(s->b->arena, Value, s->def->n_state);
    Shape *shape = NEW_ARRAY(s->b->arena, Shape, s->def->n_state);
    for (int i = 0; i < s->def->n_state;
         i++) { /* before any is there: none may use another */
        const VarDecl *decl = &s->def->state[i];
        g->loc = decl->loc;
        start[i] = NOTHING;
        if (exists(s, decl) && expr_shape(s, &decl->shape, &shape[i]))
            start[i] = state_start(s, decl, call, shape[i]);
        else if (call)
            call_skip(call, decl->name);
    }
    for (int i = 0; i < s->def->n_state; i++) {
        const VarDecl *decl = &s->def->state[i];
        g->loc = decl->loc;
        if (!exists(s, decl))
            continue;
        const char *name = start[i].kind == VALUE_ERROR ? NULL : own_name(s, decl, "state");
        if (name)
            declare_state(s, decl, name, shape[i], &start[i]);
        else
            scope_bind(s, PLACE_STATE, decl->name, NOTHING);
    }
    g->loc = outer;
}

void cell_close_states(Scope *s)
{
    for (int i = 0; i < s->def->n_state && !s->b->stopped; i++) {
        const VarDecl *decl = &s->def->state[i];
        const Binding *state = scope_find_in(s, PLACE_STATE, decl->name);
        if (state && state->value.kind != VALUE_ERROR &&
            !scope_find_in(s, PLACE_NEXT, decl->name))
            build_error(s, decl->loc, "state '%s' is never assigned: no line says %s' = …",
                        decl->name, decl->name);
    }
}
