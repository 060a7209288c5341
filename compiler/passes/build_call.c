/*
 * build_call.c — calls of definitions: what a call gives is bound to arguments and inputs,
 * in the scope in which the body is evaluated (build_inline.c).
 */
#include "passes/build_room.h"

#include <string.h>

/* ---- a call's named arguments ---- */

Call call_begin(Scope *from, const Expr *e)
{
    Call call = {.e = e, .from = from};
    int n = e ? e->n_arg : 0;
    call.taken = NEW_ARRAY(from->b->arena, bool, n);
    for (int i = 0; i < n; i++)
        call.n_positional += !e->name[i];
    return call;
}

const Expr *call_take(Call *call, const char *name)
{
    for (int i = 0; call->e && i < call->e->n_arg; i++)
        if (str_eq(call->e->name[i], name) && !call->taken[i]) {
            call->taken[i] = true;
            return call->e->arg[i];
        }
    return NULL;
}

void call_skip(Call *call, const char *name) { call_take(call, name); }

static int known_names(const Def *def, const char **out)
{
    int n = 0;
    for (int i = 0; i < def->n_arg; i++)
        out[n++] = def->arg[i].name;
    for (int i = 0; i < def->n_input; i++)
        out[n++] = def->input[i].name;
    for (int i = 0; i < def->n_state && def->kind == DEF_CELL; i++)
        out[n++] = def->state[i].name;
    for (int i = 0; i < def->n_start; i++)
        out[n++] = def->start[i].name;
    return n;
}

void call_end(Scope *callee, Call *call)
{
    const Def *def = callee->def;
    Build *b = callee->b;
    int room = def->n_arg + def->n_input + def->n_state + def->n_start;
    const char **known = NEW_ARRAY(b->arena, const char *, room);
    int n = known_names(def, known);
    for (int i = 0; call->e && i < call->e->n_arg; i++) {
        const char *name = call->e->name[i];
        if (!name || call->taken[i])
            continue;
        bool twice = false;
        for (int k = 0; k < n; k++)
            twice = twice || str_eq(known[k], name);
        Loc loc = call->e->begin[i];
        if (twice)
            build_error(call->from, loc, "argument '%s' of '%s' is given twice", name,
                        def->name);
        else
            build_error(call->from, loc, "'%s' has no argument '%s'%s", def->name, name,
                        build_hint(b, name, known, n));
    }
}

void call_note(Build *b, const Def *def)
{
    const Spec *spec = b->spec;
    if (def >= spec->def && def < spec->def + spec->n_def)
        b->called[def - spec->def] = true;
}

bool call_is_recursive(Scope *s, const Def *def, Loc loc)
{
    int depth = 0;
    call_note(s->b, def);
    for (const Scope *c = s; c; c = c->caller, depth++) {
        if (c->def != def)
            continue;
        Text path = {.arena = s->b->arena};
        for (const Scope *p = s;; p = p->caller) {
            text_add(&path, "%s <- ", p->def ? p->def->name : "");
            if (p == c)
                break;
        }
        build_error(s, loc, "'%s' calls itself (%s <- %.*s)", def->name, def->name,
                    (int)(path.length - strlen(" <- ")), path.text);
        return true;
    }
    if (depth > BUILD_MAX_DEPTH)
        build_error(s, loc, "calls are nested more than %d deep", (int)BUILD_MAX_DEPTH);
    return depth > BUILD_MAX_DEPTH;
}

/* ---- arguments ---- */

/* The kind that an argument's declaration asks for, or shows by its default. */
static Kind arg_kind(const ArgDecl *arg)
{
    const Expr *e = arg->value;
    if (arg->required || !e)
        return arg->kind;
    bool flag =
        e->kind == EXPR_NAME && (str_eq(e->text, "true") || str_eq(e->text, "false"));
    return flag ? KIND_FLAG : KIND_REAL;
}

static bool all_known(const Value *v)
{
    for (int i = 0; v->kind == VALUE_LIST && i < v->n; i++)
        if (!all_known(&v->item[i]))
            return false;
    return v->kind == VALUE_NUMBER || v->kind == VALUE_LIST;
}

static bool arg_fits(Scope *callee, const ArgDecl *arg, Use use, const Value *v)
{
    const char *def = callee->def->name;
    Loc loc = callee->b->g->loc;
    Scope *said_by = callee->caller ? callee->caller : callee;
    Kind kind = arg_kind(arg);
    int64_t whole;
    if (v->kind == VALUE_TEXT || v->kind == VALUE_FUNCTION) {
        build_error(said_by, loc, "argument '%s' of '%s' is a number, not %s", arg->name,
                    def, value_print(callee, v));
        return false;
    }
    if (use == USE_CONSTANT && !all_known(v)) {
        build_error(said_by, loc,
                    "argument '%s' of '%s' decides on the structure: it must be a constant",
                    arg->name, def);
        return false;
    }
    if (kind == KIND_INTEGER)
        return value_whole(
            said_by, v,
            arena_print(callee->b->arena, "argument '%s' of '%s'", arg->name, def), &whole);
    bool flag = value_is_number(v) && (v->number == 0 || v->number == 1);
    if (kind != KIND_FLAG || flag)
        return true;
    build_error(said_by, loc, "argument '%s' of '%s' is a flag: true or false, not %s",
                arg->name, def, value_print(callee, v));
    return false;
}

void call_bind_arg(Scope *callee, int arg, Value v, const Expr *e, Scope *from)
{
    const ArgDecl *decl = &callee->def->arg[arg];
    Graph *g = callee->b->g;
    Loc outer = g->loc;
    if (e)
        g->loc = e->loc;
    if (v.kind != VALUE_ERROR && !arg_is_function(callee, callee->def, decl)) {
        Use use = callee->def->kind == DEF_FUNCTION ? USE_NUMBER
                                                    : use_of(callee, callee->def, arg);
        bool changes = use != USE_CONSTANT && !(use == USE_TRUTH && v.number == 0);
        if (!arg_fits(callee, decl, use, &v))
            v = NOTHING;
        else if (callee->scalars && changes && value_is_number(&v) && v.type == KIND_REAL)
            v = build_scalar(callee->b, naming_full(callee->b, callee->scalars, decl->name),
                             v.number, false);
    }
    Binding *bound = scope_bind(callee, PLACE_ARG, decl->name, v);
    bound->expr = e, bound->from = from;
    g->loc = outer;
}

void call_bind_given(Scope *callee, Call *call)
{
    const Def *def = callee->def;
    for (int i = 0; i < def->n_arg; i++) {
        const Expr *e = call->e ? call_take(call, def->arg[i].name) : NULL;
        if (!e)
            continue;
        bool function = arg_is_function(callee, def, &def->arg[i]);
        Value v = function ? expr_function(call->from, e) : expr_value(call->from, e);
        call_bind_arg(callee, i, v, e, call->from);
    }
}

/* Is the name bound by the definition's inputs, as a dimension? */
static bool is_dimension(const Def *def, const char *name)
{
    for (int i = 0; i < def->n_input; i++) {
        const InputDecl *input = &def->input[i];
        if (input->classes && input->classes->kind == EXPR_NAME &&
            str_eq(input->classes->text, name))
            return true;
        for (int k = 0; k < input->shape.n; k++)
            if (input->shape.dim[k]->kind == EXPR_NAME &&
                str_eq(input->shape.dim[k]->text, name))
                return true;
    }
    return false;
}

/* Does the expression hold a name that inputs bind, or one of the first n_arg arguments
   whose default does, as the flags say? */
static bool holds_dimension(const Def *def, const Expr *e, const bool *of_inputs, int n_arg)
{
    if (!e)
        return false;
    if (e->kind == EXPR_NAME && is_dimension(def, e->text))
        return true;
    for (int i = 0; e->kind == EXPR_NAME && i < n_arg; i++)
        if (of_inputs[i] && str_eq(def->arg[i].name, e->text))
            return true;
    for (int i = 0; i < e->n_arg; i++)
        if (holds_dimension(def, e->arg[i], of_inputs, n_arg))
            return true;
    return false;
}

/* Flags of arguments: the default waits for the inputs. */
static const bool *defaults_of_inputs(Scope *callee)
{
    const Def *def = callee->def;
    bool *of_inputs = NEW_ARRAY(callee->b->arena, bool, def->n_arg);
    for (int i = 0; i < def->n_arg; i++)
        of_inputs[i] = holds_dimension(def, def->arg[i].value, of_inputs, i);
    return of_inputs;
}

/* Does the expression hold an argument that is not bound yet? */
static bool holds_unbound(Scope *callee, const Expr *e)
{
    const Def *def = callee->def;
    for (int i = 0; e->kind == EXPR_NAME && i < def->n_arg; i++)
        if (str_eq(def->arg[i].name, e->text) && !scope_find_in(callee, PLACE_ARG, e->text))
            return true;
    for (int i = 0; i < e->n_arg; i++)
        if (holds_unbound(callee, e->arg[i]))
            return true;
    return false;
}

/* `n: int`: a default, for want of a kind of that name, and none that means anything. */
static bool is_no_kind(Scope *callee, const ArgDecl *arg)
{
    const Expr *e = arg->value;
    if (e->kind != EXPR_NAME || scope_knows(callee, e->text))
        return false;
    const ArgDecl *end = callee->def->arg + callee->def->n_arg;
    for (const ArgDecl *below = arg + 1; below < end; below++)
        if (str_eq(below->name, e->text)) {
            build_error(callee, e->loc,
                        "a default uses arguments above it; '%s' stands below '%s'",
                        e->text, arg->name);
            return true;
        }
    build_error(callee, e->loc,
                "'%s' is neither a kind (real, integer, flag, function) nor a default for "
                "'%s'",
                e->text, arg->name);
    return true;
}

/* A default that is a tensor says the argument's shape: what a call gives is broadcast to
   it. */
static void fit_to_default(Scope *callee, const ArgDecl *arg, Binding *given)
{
    Graph *g = callee->b->g;
    Shape want, got, both;
    bool tensor = arg->value && arg->value->kind != EXPR_NUMBER &&
                  arg->value->kind != EXPR_NAME && !arg->required;
    if (!tensor || !value_shape(callee, &given->value, &got))
        return;
    Value otherwise = expr_value(callee, arg->value);
    if (!value_shape(callee, &otherwise, &want) || !want.rank || shape_equal(&got, &want))
        return;
    Loc outer = g->loc;
    g->loc = given->expr ? given->expr->loc : callee->call;
    if (!shape_broadcast(&got, &want, &both) || !shape_equal(&both, &want))
        given->value = build_error(callee->caller, g->loc,
                                   "argument '%s' of '%s' has shape %s, not %s", arg->name,
                                   callee->def->name, shape_print(callee->b->arena, &want),
                                   value_print(callee, &given->value));
    else if (given->value.kind == VALUE_NUMBER)
        given->value = value_fill(given->value.number, want);
    else
        given->value =
            value_node(graph_broadcast(g, value_narrow(callee, &given->value), want));
    g->loc = outer;
}

static void bind_default(Scope *callee, int i, bool is_due)
{
    const Def *def = callee->def;
    const ArgDecl *arg = &def->arg[i];
    if (arg->required || !arg->value) {
        build_error(callee->caller, callee->call, "'%s' needs argument '%s'", def->name,
                    arg->name);
        scope_bind(callee, PLACE_ARG, arg->name, NOTHING);
    } else if (is_due) {
        bool function = arg_is_function(callee, def, arg);
        Value v = NOTHING;
        if (!is_no_kind(callee, arg))
            v = function ? expr_function(callee, arg->value)
                         : expr_value(callee, arg->value);
        call_bind_arg(callee, i, v, arg->value, callee);
    }
}

/* In order, but that what is given waits for arguments below that its own default uses:
   nobody asks for that default's value. */
void call_bind_defaults(Scope *callee, bool after_inputs)
{
    const Def *def = callee->def;
    const Naming *scalars = callee->scalars;
    const bool *of_inputs = defaults_of_inputs(callee);
    bool *waits = NEW_ARRAY(callee->b->arena, bool, def->n_arg);
    if (!callee->scalar_defaults)
        callee->scalars = NULL;
    for (int i = 0; i < def->n_arg; i++) {
        const ArgDecl *arg = &def->arg[i];
        Binding *given = scope_find_in(callee, PLACE_ARG, arg->name);
        bool is_due = of_inputs[i] == after_inputs;
        waits[i] = given && is_due && arg->value && holds_unbound(callee, arg->value);
        if (!given)
            bind_default(callee, i, is_due);
        else if (is_due && !waits[i])
            fit_to_default(callee, arg, given);
    }
    for (int i = 0; i < def->n_arg; i++)
        if (waits[i])
            fit_to_default(callee, &def->arg[i],
                           scope_find_in(callee, PLACE_ARG, def->arg[i].name));
    callee->scalars = scalars;
}

/* ---- inputs ---- */

/* A name that nothing else binds is bound to the dimension; what is bound must agree. */
static bool bind_dimension(Scope *s, const InputDecl *input, const Expr *e, int64_t n,
                           const char *got)
{
    int64_t want;
    bool name = e->kind == EXPR_NAME && !e->primed;
    if (name && !scope_find_in(s, PLACE_DIM, e->text) &&
        !scope_find_in(s, PLACE_ARG, e->text)) {
        scope_bind(s, PLACE_DIM, e->text, value_number((double)n));
        return true;
    }
    if (!expr_whole(s, e, "size of a dimension", &want))
        return false;
    if (want == n)
        return true;
    build_error(s->caller, s->call, "input '%s' of '%s' is %s; %s is %lld, not %lld",
                input->name, s->def->name, got,
                e->kind == EXPR_NAME ? e->text : "a dimension", (long long)want,
                (long long)n);
    return false;
}

static bool bind_ellipsis(Scope *s, const InputDecl *input, Shape part)
{
    if (!s->has_ellipsis) {
        s->has_ellipsis = true;
        s->ellipsis = part;
        return true;
    }
    if (shape_equal(&s->ellipsis, &part))
        return true;
    build_error(s->caller, s->call,
                "input '%s' of '%s' has shape %s; the inputs before it have %s, and all of "
                "them must be the same",
                input->name, s->def->name, shape_print(s->b->arena, &part),
                shape_print(s->b->arena, &s->ellipsis));
    return false;
}

static int ellipsis_at(const ShapeExpr *e)
{
    for (int i = 0; i < e->n; i++)
        if (e->dim[i]->kind == EXPR_ELLIPSIS)
            return i;
    return -1;
}

static bool bind_shape(Scope *s, const InputDecl *input, Shape shape)
{
    const ShapeExpr *e = &input->shape;
    const char *got = shape_print(s->b->arena, &shape);
    int hole = ellipsis_at(e), hidden = shape.rank - (e->n - 1);
    if (hole < 0 ? shape.rank != e->n : hidden < 0) {
        build_error(s->caller, s->call, "input '%s' of '%s' has %d dimensions, not %s",
                    input->name, s->def->name, e->n - (hole >= 0), got);
        return false;
    }
    Shape part = {0};
    for (int i = 0, axis = 0; i < e->n; i++) {
        for (int k = 0; i == hole && k < hidden; k++)
            part.dim[part.rank++] = shape.dim[axis++];
        if (i != hole && !bind_dimension(s, input, e->dim[i], shape.dim[axis++], got))
            return false;
    }
    return hole < 0 || bind_ellipsis(s, input, part);
}

static bool bind_class(Scope *s, const InputDecl *input, const Value *v)
{
    const char *got = value_print(s, v);
    if (v->kind != VALUE_NODE || v->type != KIND_CLASS) {
        build_error(s->caller, s->call, "input '%s' of '%s' is a class, not %s",
                    input->name, s->def->name, got);
        return false;
    }
    return !input->classes || bind_dimension(s, input, input->classes, v->classes, got);
}

static bool bind_input(Scope *s, const InputDecl *input, const Value *v, Loc loc)
{
    Graph *g = s->b->g;
    Loc outer = g->loc;
    Value bound = *v;
    bool ok;
    g->loc = loc;
    if (input->kind == KIND_CLASS) {
        ok = bind_class(s, input, v);
    } else {
        NodeId node = value_narrow(s->caller, v);
        ok = node != NO_NODE && bind_shape(s, input, g->node[node].shape);
        if (ok && v->kind != VALUE_NUMBER)
            bound = value_typed(node, v->kind == VALUE_NODE ? v->type : KIND_REAL);
    }
    scope_bind(s, PLACE_INPUT, input->name, ok ? bound : NOTHING);
    g->loc = outer;
    return ok;
}

static const Expr *positional(const Call *call, int wanted)
{
    for (int i = 0, n = 0; call->e && i < call->e->n_arg; i++)
        if (!call->e->name[i] && n++ == wanted)
            return call->e->arg[i];
    return NULL;
}

/* An argument that the call does not name: the one that a value too many was meant for. */
static const char *unnamed_arg(const Def *def, const Expr *e)
{
    for (int i = 0; i < def->n_arg; i++) {
        bool named = false;
        for (int k = 0; k < e->n_arg; k++)
            named = named || str_eq(e->name[k], def->arg[i].name);
        if (!named)
            return def->arg[i].name;
    }
    return NULL;
}

bool call_has_inputs_only(Scope *s, const Call *call)
{
    const Def *def = s->def;
    if (call->n_positional <= def->n_input)
        return true;
    const char *arg = unnamed_arg(def, call->e);
    build_error(s->caller, s->call, "'%s' takes %d input%s, got %d%s%s%s", def->name,
                def->n_input, def->n_input == 1 ? "" : "s", call->n_positional,
                arg ? "; arguments go by name: " : "", arg ? arg : "", arg ? "=…" : "");
    return false;
}

void call_bind_inputs(Scope *s, Call *call)
{
    const Def *def = s->def;
    for (int i = 0; i < def->n_input; i++) {
        const InputDecl *input = &def->input[i];
        const Expr *e = positional(call, i);
        if (!e)
            e = call_take(call, input->name);
        Value v = e ? expr_value(call->from, e) : NOTHING;
        if (!e)
            build_error(s->caller, s->call, "input '%s' of '%s' is missing", input->name,
                        def->name);
        if (v.kind == VALUE_ERROR || !bind_input(s, input, &v, e->loc))
            scope_bind(s, PLACE_INPUT, input->name, NOTHING);
    }
}
