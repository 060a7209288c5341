/*
 * build_optimizer.c — the update: the optimizer's equations for every trained parameter.
 *
 * Arguments are evaluated once for all parameters (schedules and bias corrections read
 * counters, which are wide: doubles, once an update), then overridden parameter by
 * parameter. `k` counts updates from 1: in arguments all of them, in the equations the
 * parameter's.
 *
 * A parameter that the loss reaches only through states' values at the start gets a
 * gradient only from chunks in which a row starts; one that it reaches only n steps later,
 * from chunks of more than n steps (behind a burn-in, whose steps pass no gradient on). In
 * other chunks such a parameter keeps its value and all of its states, its own `k` among
 * them, as PyTorch skips parameters whose gradient is None; a schedule goes on, as
 * PyTorch's do. After a burn-in what states start from never has a gradient.
 */
#include "passes/build_room.h"

#include <math.h>

/* When a parameter is updated. */
typedef struct {
    Value k;        /* its updates, from 1 */
    NodeId touched; /* flag, narrow; NO_NODE: in every chunk */
} Course;

typedef struct {
    Build *b;
    const Def *def;
    const Expr *e;
    Scope *outer; /* of arguments: k, here of all updates, and the run's counters */
    Scope *base;  /* the definition's arguments */
    Value clip;   /* factor of gradients; kind VALUE_NUMBER 1: none */
    bool gathers; /* an update may be of several chunks */
} Update;

/* ---- which parameters ---- */

/* By how many steps the loss that a parameter is in comes later, at least; -1: never. */
typedef struct {
    int step;  /* from a step */
    int start; /* from what states start from, where that is sooner */
} Reach;

/* No chunk is long enough. */
static void warn_of_untrained(Build *b, const Param *p, Reach r)
{
    int64_t longest = b->spec->tbptt_window; /* 0: a chunk is a sequence */
    bool by_step = r.step >= 0 && r.step < longest;
    bool by_start = r.start >= 0 && r.start < longest;
    int later = r.start >= 0 ? r.start : r.step; /* the sooner of both */
    if (p->trained && longest > 0 && !by_step && !by_start)
        diag_warning(
            b->d, p->loc,
            "parameter '%s' is never trained: the loss sees what it does %d %s later, "
            "behind the end of any chunk; raise tbptt.step or tbptt.window",
            p->name, later, later == 1 ? "step" : "steps");
}

/* Leaves without an update what no gradient reaches. */
static Reach *classify(Build *b)
{
    Graph *g = b->g;
    int *step = reach_steps(b, &g->loss, 1, (ReachRule){.gradient = true});
    int *any = reach_steps(b, &g->loss, 1, (ReachRule){.entry = true, .gradient = true});
    Reach *reach = NEW_ARRAY(b->arena, Reach, g->n_param);
    for (int i = 0; i < g->n_param; i++) {
        Param *p = &g->param[i];
        int from_step = step[p->leaf], from_any = any[p->leaf];
        bool sooner = from_step < 0 || from_any < from_step;
        reach[i] = (Reach){from_step, sooner && b->tbptt.warm == NO_NODE ? from_any : -1};
        p->trained = p->trained && (reach[i].step >= 0 || reach[i].start >= 0);
        warn_of_untrained(b, p, reach[i]);
    }
    return reach;
}

/* Flag: the chunk is one that gives it a gradient; NO_NODE: every chunk is. */
static NodeId touches(Build *b, Reach r)
{
    NodeId later = r.step > 0 ? tbptt_more_steps(b, r.step) : NO_NODE;
    if (r.step == 0 || r.start < 0)
        return later;
    NodeId start = tbptt_any_start(b);
    if (r.start > 0)
        start = graph_map2(b->g, OP_AND, start, tbptt_more_steps(b, r.start));
    return later == NO_NODE ? start : graph_map2(b->g, OP_OR, start, later);
}

/* ---- states ---- */

static NodeId add_state(Graph *g, const char *name, Shape shape, bool wide, double value)
{
    int index = g->n_optimizer;
    Attr attr = {.index = index, .shape = shape, .wide = wide};
    NodeId leaf = graph_add(g, OP_OPTIMIZER, 0, NULL, &attr);
    *PUSH(g->arena, g->optimizer, g->n_optimizer, g->optimizer_capacity) =
        (OptimizerState){.name = name,
                         .shape = shape,
                         .wide = wide,
                         .value = value,
                         .leaf = leaf,
                         .next = leaf};
    return leaf;
}

/* What the update leaves: the new value, or the old one in a chunk that did not touch it.
 */
static NodeId kept_unless_touched(Graph *g, NodeId touched, NodeId fresh, NodeId old)
{
    if (touched == NO_NODE)
        return fresh;
    if (g->node[old].wide)
        touched = graph_map1(g, OP_WIDEN, touched);
    return graph_map3(g, OP_WHERE, touched, fresh, old);
}

/* The counter of updates, from 1: its node for this update. */
static NodeId add_counter(Graph *g, const char *name, NodeId touched)
{
    NodeId old = add_state(g, name, (Shape){0}, true, 0);
    NodeId now = graph_map2(g, OP_ADD, old, graph_constant(g, 1));
    g->optimizer[g->n_optimizer - 1].next = kept_unless_touched(g, touched, now, old);
    return now;
}

/* ---- arguments ---- */

static const char *const common_args[] = {"clip_norm", "clip_value", "accumulate"};

static Course course_new(Update *u, const char *counter, NodeId touched)
{
    return (Course){value_node(add_counter(u->b->g, counter, touched)), touched};
}

static void open_arguments(Update *u, const Course *all)
{
    u->outer = scope_new(u->b, NULL, NULL, u->e->loc);
    u->outer->update = true;
    scope_bind(u->outer, PLACE_INPUT, "k", all->k);
}

/* The definition's arguments; they may use gradient_norm, so gradients stand before. */
static void bind_arguments(Update *u)
{
    static const Naming names = {.prefix = "optimizer"};
    u->base = scope_new(u->b, u->outer, u->def, u->e->loc);
    u->base->scalars = &names;
    u->base->scalar_defaults = true;
    u->base->update = true;
    Call call = call_begin(u->outer, u->e);
    for (int i = 0; i < COUNT(common_args); i++)
        call_skip(&call, common_args[i]);
    if (call.n_positional)
        build_error(u->outer, u->e->loc, "arguments of '%s' go by name: lr=…",
                    u->def->name);
    call_bind_given(u->base, &call);
    call_bind_defaults(u->base, false);
    call_end(u->base, &call);
}

static void copy_bindings(Scope *to, const Scope *from)
{
    for (int i = 0; i < from->n_binding; i++) {
        Binding copy = from->binding[i];
        *scope_bind(to, copy.place, copy.name, copy.value) = copy;
    }
}

static int find_arg(const Def *def, const char *name)
{
    for (int i = 0; i < def->n_arg; i++)
        if (str_eq(def->arg[i].name, name))
            return i;
    return -1;
}

/* One argument's other value; the expression may use the optimizer's own arguments. */
static void override(Update *u, Scope *s, const char *prefix, const char *name,
                     const Expr *e)
{
    Build *b = u->b;
    int arg = find_arg(u->def, name);
    if (arg < 0) {
        const char **known = NEW_ARRAY(b->arena, const char *, u->def->n_arg);
        for (int i = 0; i < u->def->n_arg; i++)
            known[i] = u->def->arg[i].name;
        build_error(u->outer, e->loc, "'%s' has no argument '%s'%s", u->def->name, name,
                    build_hint(b, name, known, u->def->n_arg));
        return;
    }
    Scope *where = scope_new(b, NULL, NULL, e->loc);
    where->update = true;
    copy_bindings(where, u->outer);
    copy_bindings(where, u->base);
    Naming *names = NEW(b->arena, Naming);
    names->prefix = prefix;
    s->scalars = names;
    call_bind_arg(s, arg, expr_value(where, e), e, where);
    s->scalars = NULL;
}

static void override_all(Update *u, Scope *s, int param)
{
    Build *b = u->b;
    const Spec *spec = b->spec;
    const char *name = b->g->param[param].name;
    for (int i = 0; i < spec->n_group; i++) {
        const ParamGroup *group = &spec->group[i];
        for (int k = 0; k < group->n && str_match(group->match, name); k++)
            override(u, s, arena_print(b->arena, "groups.%d", i), group->name[k],
                     group->value[k]);
    }
    const VarDecl *decl = b->decl[param];
    for (int i = 0; i < decl->n_override; i++)
        override(u, s, arena_print(b->arena, "optimizer.%s", name), decl->override_name[i],
                 decl->override_value[i]);
}

/* ---- gradients ---- */

NodeId optimizer_gradient_norm(Build *b)
{
    Graph *g = b->g;
    if (b->gradient_norm != NO_NODE)
        return b->gradient_norm;
    NodeId sum = NO_NODE;
    for (int i = 0; i < g->n_param; i++) {
        NodeId one = b->gradient[i];
        if (one == NO_NODE)
            continue;
        uint32_t all = (1u << g->node[one].shape.rank) - 1;
        NodeId squares = graph_reduce(g, OP_SUM, graph_map2(g, OP_MUL, one, one), all);
        squares = graph_map1(g, OP_WIDEN, squares);
        sum = sum == NO_NODE ? squares : graph_map2(g, OP_ADD, sum, squares);
    }
    if (sum == NO_NODE)
        sum = build_scalar(b, "zero", 0, false).node;
    g->gradient_norm = b->gradient_norm = graph_map1(g, OP_SQRT, sum);
    return b->gradient_norm;
}

/* A bound of gradients: a run-time scalar when it is a number. */
static Value bound_arg(Update *u, const char *name, bool *given)
{
    Call call = call_begin(u->outer, u->e);
    const Expr *e = call_take(&call, name);
    *given = e != NULL;
    if (!e)
        return NOTHING;
    Value v = expr_value(u->outer, e);
    if (!value_is_number(&v))
        return v;
    if (!(v.number >= 0)) /* it would turn gradients round */
        return build_error(u->outer, e->loc, "%s is %g; it must be 0 or more", name,
                           v.number);
    const char *full = arena_print(u->b->arena, "optimizer.%s", name);
    Value scalar = build_scalar(u->b, full, v.number, false);
    build_limit(u->b, &scalar, 0, INFINITY, false);
    return scalar;
}

static void make_gradients(Update *u)
{
    Graph *g = u->b->g;
    bool clips;
    Value limit = bound_arg(u, "clip_value", &clips);
    Scope *s = u->outer;
    if (u->b->gradient_norm != NO_NODE)
        build_error(s, u->e->loc,
                    "clip_value comes before gradient_norm is taken: it cannot "
                    "depend on it");
    for (int i = 0; i < g->n_param; i++) {
        Attr attr = {.index = i, .shape = g->param[i].shape};
        if (!g->param[i].trained)
            continue;
        u->b->gradient[i] = graph_add(g, OP_GRADIENT, 0, NULL, &attr);
        if (!clips || limit.kind == VALUE_ERROR)
            continue;
        Value raw = value_node(u->b->gradient[i]);
        Value below = value_map(s, OP_MIN, 2, (Value[]){raw, limit});
        Value low = value_map(s, OP_NEG, 1, &limit);
        u->b->gradient[i] = value_map(s, OP_MAX, 2, (Value[]){below, low}).node;
    }
}

/* min(1, c / (‖g‖ + 1e-6)), torch.nn.utils.clip_grad_norm_'s. */
static void make_clip(Update *u)
{
    bool clips;
    Scope *s = u->outer;
    Value limit = bound_arg(u, "clip_norm", &clips);
    u->clip = value_number(1);
    if (!clips || limit.kind == VALUE_ERROR)
        return;
    Value norm = value_node(optimizer_gradient_norm(u->b)), one = value_number(1);
    Value over = value_map(s, OP_ADD, 2, (Value[]){norm, value_number(1e-6)});
    Value part = value_map(s, OP_DIV, 2, (Value[]){limit, over});
    u->clip = value_map(s, OP_MIN, 2, (Value[]){one, part});
}

/* ---- one parameter ---- */

static bool state_value(Scope *s, const VarDecl *decl, double *out)
{
    *out = 0;
    if (!decl->init)
        return true;
    Value v = expr_value(s, decl->init);
    if (value_is_number(&v))
        return *out = v.number, true;
    if (v.kind != VALUE_ERROR)
        build_error(s, decl->init->loc, "the first value of '%s' must be a constant number",
                    decl->name);
    return false;
}

static void declare_state(Scope *s, const VarDecl *decl, const Param *p)
{
    Graph *g = s->b->g;
    double value;
    bool yes = true;
    if (decl->when && (!expr_truth(s, decl->when, "when", &yes) || !yes))
        return;
    Binding *state = scope_bind(s, PLACE_STATE, decl->name, NOTHING);
    if (!decl->like_w && decl->shape.n) {
        build_error(
            s, decl->loc,
            "an optimizer's state is like(w), or a scalar: {shape: [], initial: 0}");
        return;
    }
    if (!state_value(s, decl, &value))
        return;
    const char *name = arena_print(g->arena, "%s.%s", decl->name, p->name);
    Shape shape = decl->like_w ? p->shape : (Shape){0};
    int index = g->n_optimizer;
    NodeId leaf = add_state(g, name, shape, !decl->like_w, value);
    state->value = value_node(leaf);
    state->owner = OWNER_UPDATE, state->index = index;
}

static void close_states(Scope *s, const Course *c, Param *p)
{
    Graph *g = s->b->g;
    for (int i = 0; i < s->n_binding; i++) {
        const Binding *state = &s->binding[i];
        if (state->place != PLACE_STATE || state->value.kind == VALUE_ERROR)
            continue;
        const Binding *next = scope_find_in(s, PLACE_NEXT, state->name);
        if (!next) {
            build_error(s, s->def->loc, "'%s' never assigns %s'", s->def->name,
                        state->name);
            continue;
        }
        if (next->value.kind == VALUE_ERROR)
            continue;
        NodeId kept =
            kept_unless_touched(g, c->touched, next->value.node, state->value.node);
        if (state->owner == OWNER_UPDATE)
            g->optimizer[state->index].next = kept;
        else
            p->next = kept; /* w' */
    }
}

static void update_param(Update *u, const Course *c, int param)
{
    Graph *g = u->b->g;
    Param p = g->param[param];
    Scope *s = scope_new(u->b, u->outer, u->def, u->e->loc);
    s->update = true;
    copy_bindings(s, u->base);
    override_all(u, s, param);
    scope_bind(s, PLACE_INPUT, "k", c->k);
    Value gradient = value_node(u->b->gradient[param]);
    gradient = value_map(s, OP_MUL, 2, (Value[]){gradient, u->clip});
    scope_bind(s, PLACE_INPUT, "g", gradient);
    scope_bind(s, PLACE_STATE, "w", value_node(p.leaf));
    for (int i = 0; i < u->def->n_state; i++)
        declare_state(s, &u->def->state[i], &p);
    block_run(s, u->def->step);
    close_states(s, c, &p);
    g->param[param].next = p.next;
}

/* ---- all of them ---- */

static const Def *find_optimizer(Scope *model, const Expr *e)
{
    const Spec *spec = model->b->spec;
    const char *name = e->text;
    if (e->kind != EXPR_CALL && e->kind != EXPR_NAME) {
        build_error(model, e->loc, "an optimizer is a call: adam(lr = 1e-3)");
        return NULL;
    }
    const Def *def = spec_find(spec, DEF_OPTIMIZER, name, false);
    if (def)
        return def;
    const char **known = NEW_ARRAY(model->b->arena, const char *, spec->n_def);
    int n = 0;
    for (int i = 0; i < spec->n_def; i++)
        if (spec->def[i].kind == DEF_OPTIMIZER)
            known[n++] = spec->def[i].name;
    build_error(model, e->loc, "unknown optimizer '%s'%s", name,
                build_hint(model->b, name, known, n));
    return NULL;
}

/* How many chunks one update is made of. The runtime adds their gradients up, so it is a
   number that nothing in the graph reads. */
static void make_accumulate(Update *u)
{
    Call call = call_begin(u->outer, u->e);
    const Expr *e = call_take(&call, "accumulate");
    if (!e)
        return;
    Value v = expr_value(u->outer, e);
    if (value_is_number(&v) && v.number >= 1 && v.number == floor(v.number)) {
        v = build_scalar(u->b, "optimizer.accumulate", v.number, false);
        build_limit(u->b, &v, 1, 0x1p53, true);
        u->gathers = true;
    } else if (v.kind != VALUE_ERROR)
        build_error(u->outer, e->loc,
                    "accumulate is how many chunks make an update: a constant whole number "
                    "of 1 or more");
}

static void warn_of_groups(Build *b)
{
    for (int i = 0; i < b->spec->n_group; i++) {
        bool found = false;
        for (int p = 0; p < b->g->n_param; p++)
            found = found || str_match(b->spec->group[i].match, b->g->param[p].name);
        if (!found)
            diag_warning(b->d, b->spec->group[i].loc, "no parameter's name matches '%s'",
                         b->spec->group[i].match);
    }
}

/* Of the chunks of an update only the last one's steps and resets are seen: that another
   touched the parameter is known by the gradient that it left, which is 0 without. */
static NodeId touch_of_any_chunk(Update *u, int param, NodeId last)
{
    Graph *g = u->b->g;
    NodeId gradient = u->b->gradient[param];
    uint32_t all = (1u << g->node[gradient].shape.rank) - 1;
    NodeId most = graph_reduce(g, OP_MAX_OF, graph_map1(g, OP_ABS, gradient), all);
    NodeId is_moved = graph_map2(g, OP_LT, graph_constant(g, 0), most);
    return graph_map2(g, OP_OR, last, is_moved);
}

static void update_all(Update *u, const Course *all, const Reach *reach)
{
    Build *b = u->b;
    for (int i = 0; i < b->g->n_param; i++) {
        if (!b->g->param[i].trained)
            continue;
        int errors = diag_errors(b->d);
        Course own = *all;
        NodeId touched = touches(b, reach[i]);
        if (touched != NO_NODE) {
            NodeId its = u->gathers ? touch_of_any_chunk(u, i, touched) : touched;
            own = course_new(u, arena_print(b->arena, "k.%s", b->g->param[i].name), its);
        }
        update_param(u, &own, i);
        if (diag_errors(b->d) > errors || b->stopped)
            return; /* the next parameter would say the same */
    }
}

void optimizer_build(Scope *model)
{
    Build *b = model->b;
    const Expr *e = b->spec->optimizer;
    if (!e || !b->spec->loss)
        return;
    const Def *def = find_optimizer(model, e);
    if (!def)
        return;
    call_note(b, def);
    Phase phase = b->g->phase;
    Reach *reach = classify(b);
    b->g->phase = PHASE_UPDATE;
    b->g->loc = e->loc;
    b->gradient = NEW_ARRAY(b->arena, NodeId, b->g->n_param);
    for (int i = 0; i < b->g->n_param; i++)
        b->gradient[i] = NO_NODE;
    Update u = {.b = b, .def = def, .e = e};
    int errors = diag_errors(b->d);
    Course all = course_new(&u, "k", NO_NODE);
    open_arguments(&u, &all);
    make_gradients(&u);
    bind_arguments(&u);
    make_accumulate(&u);
    make_clip(&u);
    warn_of_groups(b);
    if (diag_errors(b->d) == errors)
        update_all(&u, &all, reach);
    b->g->phase = phase;
}
