/*
 * build_names.c — scopes: what a name means where it stands, and what to say when it
 * means nothing.
 *
 * A value's name is looked up innermost first: lines, loop counters, states, parameters,
 * arguments, inputs, dimensions; then the counters of the run and the constants. Shapes,
 * `for`, `if` and `when` see loop counters, arguments and dimensions only, so that an
 * argument and a parameter may share a name. What stands before ( is looked up apart:
 * arguments that are functions, the spec's definitions, the library's; inside the library
 * the library's alone, so a spec's function never changes a cell of the library.
 */
#include "passes/build_room.h"

#include <string.h>

/* ---- scopes ---- */

Scope *scope_new(Build *b, Scope *caller, const Def *def, Loc call)
{
    Scope *s = NEW(b->arena, Scope);
    s->b = b;
    s->caller = caller;
    s->def = def;
    s->call = call;
    s->library = def && def->library;
    return s;
}

Binding *scope_find_in(Scope *s, Place place, const char *name)
{
    for (int i = s->n_binding - 1; i >= 0; i--)
        if (s->binding[i].place == place && str_eq(s->binding[i].name, name))
            return &s->binding[i];
    return NULL;
}

/* A name bound again in the same place has the new value from here on. */
Binding *scope_bind(Scope *s, Place place, const char *name, Value value)
{
    Binding *found = scope_find_in(s, place, name);
    if (!found)
        found = PUSH(s->b->arena, s->binding, s->n_binding, s->capacity);
    *found = (Binding){.name = name, .place = place, .value = value};
    return found;
}

static const Place value_places[] = {PLACE_LINE, PLACE_LOOP,  PLACE_STATE, PLACE_PARAM,
                                     PLACE_ARG,  PLACE_INPUT, PLACE_DIM};
static const Place structural_places[] = {PLACE_LOOP, PLACE_ARG, PLACE_DIM};
static const Place init_places[] = {PLACE_PARAM, PLACE_LOOP, PLACE_ARG, PLACE_DIM};

Binding *scope_find(Scope *s, const char *name)
{
    const Place *place = value_places;
    int n = COUNT(value_places);
    if (s->structural)
        place = structural_places, n = COUNT(structural_places);
    else if (s->maker)
        place = init_places, n = COUNT(init_places);
    for (int i = 0; i < n; i++) {
        Binding *found = scope_find_in(s, place[i], name);
        if (found)
            return found;
    }
    return NULL;
}

bool scope_has_error(const Scope *s)
{
    for (int i = 0; i < s->n_binding; i++)
        if (s->binding[i].value.kind == VALUE_ERROR)
            return true;
    return false;
}

const char *naming_full(Build *b, const Naming *naming, const char *local)
{
    if (!naming)
        return local;
    if (naming->prefix)
        return naming_full(b, naming->outer,
                           arena_print(b->arena, "%s.%s", naming->prefix, local));
    if (!naming->pattern)
        return local;
    const char *hole = strstr(naming->pattern, "{name}");
    const char *name =
        hole ? arena_print(b->arena, "%.*s%s%s", (int)(hole - naming->pattern),
                           naming->pattern, local, hole + strlen("{name}"))
             : arena_print(b->arena, "%s.%s", naming->pattern, local);
    return naming_full(b, naming->outer, name);
}

/* ---- numbers of the run ---- */

/* What schedules may read; the engine sets them before each chunk. */
static const char *const counters[] = {"iteration", "epoch",          "epochs",
                                       "loss",      "time_iteration", "chunk"};

Value build_scalar(Build *b, const char *name, double value, bool counter)
{
    Graph *g = b->g;
    const char *wanted = name;
    for (int i = 0, n = 1; i < g->n_scalar; i++) {
        if (!str_eq(g->scalar[i].name, name))
            continue;
        if (counter || g->scalar[i].value == value)
            return value_node(g->scalar[i].leaf);
        name = arena_print(b->arena, "%s_%d", wanted, ++n);
        i = -1;
    }
    int index = g->n_scalar;
    Phase phase = g->phase;
    g->phase = PHASE_FORWARD; /* known before the chunk begins, whoever asks first */
    NodeId leaf = graph_add(g, OP_SCALAR, 0, NULL, &(Attr){.index = index, .wide = true});
    g->phase = phase;
    *PUSH(g->arena, g->scalar, g->n_scalar, g->scalar_capacity) =
        (Scalar){.name = name, .value = value, .counter = counter, .leaf = leaf};
    return value_node(leaf);
}

void build_limit(Build *b, const Value *v, double least, double most, bool whole)
{
    Graph *g = b->g;
    if (v->kind != VALUE_NODE || g->node[v->node].op != OP_SCALAR)
        return;
    Scalar *s = &g->scalar[g->node[v->node].attr.index];
    s->least = s->limited && s->least > least ? s->least : least;
    s->most = s->limited && s->most < most ? s->most : most;
    s->whole = s->whole || whole;
    s->limited = true;
}

static Value training_flag(Build *b)
{
    if (b->training == NO_NODE)
        b->training = tbptt_training(b);
    return value_typed(b->training, KIND_FLAG);
}

/* Names that every definition sees, after all of its own. */
static bool constant_value(Scope *s, const char *name, Value *out)
{
    if (str_eq(name, "pi"))
        return *out = value_number(3.14159265358979323846), true;
    if (str_eq(name, "true") || str_eq(name, "false"))
        return *out = value_flag(str_eq(name, "true")), true;
    if (s->structural || s->maker)
        return false;
    if (str_eq(name, "training") && !s->update)
        return *out = training_flag(s->b), true;
    if (str_eq(name, "gradient_norm") && s->update)
        return *out = value_node(optimizer_gradient_norm(s->b)), true;
    for (int i = 0; i < COUNT(counters); i++)
        if (str_eq(name, counters[i]))
            return *out = build_scalar(s->b, counters[i], 0, true), true;
    return false;
}

/* ---- messages ---- */

const char *build_hint(Build *b, const char *name, const char *const *candidate, int n)
{
    const char *nearest = diag_nearest(name, candidate, n);
    return nearest ? arena_print(b->arena, "; did you mean '%s'?", nearest) : "";
}

/* How the mistake was reached: the calls around it, as far as they are the spec's. */
static void note_callers(const Scope *s)
{
    int n = 0;
    for (; s && s->caller && n < 4; s = s->caller)
        if (s->def && s->call.source)
            diag_note(s->b->d, s->call, "in this call of '%s'", s->def->name), n++;
}

/* The writer of a spec can mend the spec, not the library: a mistake that shows inside
   a definition of the library is said at the spec's call, the inside as a note. */
Value build_error(Scope *s, Loc loc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = arena_vprint(s->b->arena, format, args);
    va_end(args);
    const Scope *outer = s, *inner = s;
    Loc at = loc;
    for (; outer->library && outer->caller; outer = outer->caller)
        at = outer->call;
    diag_error(s->b->d, at, "%s", text);
    if (outer != inner && inner->def)
        diag_note(s->b->d, loc, "found here, in '%s' of the library", inner->def->name);
    note_callers(outer);
    return NOTHING;
}

bool build_go_on(Scope *s, Loc loc)
{
    Build *b = s->b;
    if (b->stopped)
        return false;
    if (b->g->n_node > BUILD_MAX_NODES)
        build_error(s, loc, "the model unrolls to more than %d operations",
                    (int)BUILD_MAX_NODES);
    else if (b->n_call > BUILD_MAX_CALLS)
        build_error(s, loc, "the model makes more than %d calls", (int)BUILD_MAX_CALLS);
    else
        return true;
    b->stopped = true;
    return false;
}

typedef struct {
    Build *b;
    const char **name;
    int n, capacity;
} Names;

static void names_add(Names *names, const char *name)
{
    *PUSH(names->b->arena, names->name, names->n, names->capacity) = name;
}

static bool is_seen(const Scope *s, Place place)
{
    if (s->structural)
        return place == PLACE_LOOP || place == PLACE_ARG || place == PLACE_DIM;
    return place != PLACE_NEXT;
}

static const char *value_hint(Scope *s, const char *name)
{
    Names names = {.b = s->b};
    for (int i = 0; i < s->n_binding; i++)
        if (is_seen(s, s->binding[i].place))
            names_add(&names, s->binding[i].name);
    names_add(&names, "pi"), names_add(&names, "true"), names_add(&names, "false");
    for (int i = 0; i < COUNT(counters) && !s->structural && !s->maker; i++)
        names_add(&names, counters[i]);
    for (int i = 0; i < n_init_maker && s->maker; i++)
        names_add(&names, init_maker_names[i]);
    return build_hint(s->b, name, names.name, names.n);
}

/* `training` and the run's counters: names that mean something, but not in a shape. */
static bool is_of_run(const char *name)
{
    bool found = str_eq(name, "training");
    for (int i = 0; i < COUNT(counters); i++)
        found = found || str_eq(name, counters[i]);
    return found;
}

static Value unknown_name(Scope *s, const Expr *e)
{
    const char *name = e->text;
    bool elsewhere = is_of_run(name) && (s->structural || s->maker);
    for (int i = 0; i < COUNT(value_places) && !elsewhere; i++)
        elsewhere = scope_find_in(s, value_places[i], name) != NULL;
    if (s->structural && elsewhere)
        return build_error(
            s, e->loc,
            "'%s' is known only while running; a shape, for, if or when needs "
            "arguments, dimensions or loop counters; where(c, a, b) chooses "
            "while running",
            name);
    if (s->maker && elsewhere)
        return build_error(s, e->loc,
                           "'%s' is known only while running; init is an expression over "
                           "arguments, dimensions and parameters above it",
                           name);
    if (s->update && str_eq(name, "training"))
        return build_error(
            s, e->loc, "'training', and with it dropout, means nothing in an optimizer");
    if (s->def && block_assigns(s->def->step, name, false))
        return build_error(s, e->loc, "'%s' is used before the line that assigns it", name);
    if (callee_find(s, name).kind != CALLEE_NONE)
        return build_error(s, e->loc, "'%s' is a function; call it: %s(…)", name, name);
    return build_error(s, e->loc, "unknown name '%s'%s", name, value_hint(s, name));
}

static Value primed_value(Scope *s, const Expr *e)
{
    Binding *next = scope_find_in(s, PLACE_NEXT, e->text);
    if (next)
        return next->value;
    if (!scope_find_in(s, PLACE_STATE, e->text)) {
        Names names = {.b = s->b};
        for (int i = 0; i < s->n_binding; i++)
            if (s->binding[i].place == PLACE_STATE)
                names_add(&names, s->binding[i].name);
        return build_error(s, e->loc, "%s' needs a state '%s'; there is none%s", e->text,
                           e->text, build_hint(s->b, e->text, names.name, names.n));
    }
    if (s->def && block_assigns(s->def->step, e->text, true))
        return build_error(s, e->loc, "%s' is used before the line that assigns it",
                           e->text);
    return build_error(s, e->loc, "%s' is used, but no line assigns it", e->text);
}

/* An argument's value belongs to the phase in which it was made: for another phase it is
   made again. */
static Value argument_value(Scope *s, const Binding *found)
{
    bool node = found->value.kind == VALUE_NODE;
    if (!node || !s->maker || !found->expr || s->b->depth > BUILD_MAX_DEPTH)
        return found->value;
    const Shape *maker = found->from->maker;
    found->from->maker = s->maker;
    s->b->depth++;
    Value again = expr_value(found->from, found->expr);
    s->b->depth--;
    found->from->maker = maker;
    return again;
}

bool scope_knows(Scope *s, const char *name)
{
    Value constant;
    return scope_find(s, name) || callee_find(s, name).kind != CALLEE_NONE ||
           constant_value(s, name, &constant);
}

Value scope_value(Scope *s, const Expr *e)
{
    if (e->primed)
        return primed_value(s, e);
    Binding *found = scope_find(s, e->text);
    if (found && found->value.kind == VALUE_FUNCTION)
        return build_error(s, e->loc, "'%s' is a function; call it: %s(…)", e->text,
                           e->text);
    if (found && s->maker && found->place == PLACE_PARAM)
        return found->init;
    if (found && found->place == PLACE_ARG)
        return argument_value(s, found);
    if (found)
        return found->value;
    Value constant;
    if (constant_value(s, e->text, &constant))
        return constant;
    bool maker = false;
    if (s->maker)
        constant = init_named_maker(s, e->text, e->loc, &maker);
    return maker ? constant : unknown_name(s, e);
}

/* ---- callees ---- */

static Callee callee_def(const Scope *s, DefKind kind, const char *name, bool library)
{
    const Def *def = spec_find(s->b->spec, kind, name, library);
    return (Callee){.kind = def ? CALLEE_DEF : CALLEE_NONE, .def = def};
}

/* Kinds in the order in which they are tried; losses only where they may stand. */
static Callee callee_among(const Scope *s, const char *name, bool library)
{
    Callee found = {CALLEE_NONE, NULL, NULL};
    if (s->losses)
        found = callee_def(s, DEF_LOSS, name, library);
    if (!found.def)
        found = callee_def(s, DEF_CELL, name, library);
    if (!found.def)
        found = callee_def(s, DEF_FUNCTION, name, library);
    return found;
}

Callee callee_find(Scope *s, const char *name)
{
    Binding *arg = scope_find_in(s, PLACE_ARG, name);
    if (arg && arg->value.kind == VALUE_FUNCTION)
        return (Callee){arg->value.def ? CALLEE_DEF : CALLEE_BUILTIN, arg->value.def,
                        arg->value.builtin};
    Callee found = callee_among(s, name, s->library); /* the spec's own come first */
    if (found.kind != CALLEE_NONE)
        return found;
    const Builtin *builtin = builtin_find(s, name);
    return (Callee){builtin ? CALLEE_BUILTIN : CALLEE_NONE, NULL, builtin};
}

Value callee_unknown(Scope *s, const Expr *e, const char *name)
{
    const Spec *spec = s->b->spec;
    Names names = {.b = s->b};
    for (int i = 0; i < spec->n_def; i++) {
        const Def *def = &spec->def[i];
        bool callable = def->kind == DEF_CELL || def->kind == DEF_FUNCTION ||
                        (def->kind == DEF_LOSS && s->losses);
        if (callable && (def->library || !s->library))
            names_add(&names, def->name);
    }
    for (int i = 0; i < n_builtin; i++)
        names_add(&names, builtins[i].name);
    for (int i = 0; i < n_init_maker && s->maker; i++)
        if (str_eq(init_maker_names[i], name))
            return build_error(s, e->loc, "'%s' takes no arguments: write %s", name, name);
    if (spec_find(spec, DEF_LOSS, name, s->library))
        return build_error(s, e->loc,
                           "'%s' is a loss: it stands in loss: and metrics: only", name);
    if (spec_find(spec, DEF_OPTIMIZER, name, s->library))
        return build_error(s, e->loc, "'%s' is an optimizer: it stands in optimizer: only",
                           name);
    return build_error(s, e->loc, "unknown cell or function '%s'%s", name,
                       build_hint(s->b, name, names.name, names.n));
}
