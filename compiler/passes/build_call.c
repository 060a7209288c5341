/*
 * build_call.c — calls of definitions: arguments and inputs bound, bodies evaluated in a
 * scope of their own. That is all of inlining.
 *
 * A function with a declared derivative becomes a SURROGATE: its value, and for each
 * argument named by a derivative the factor that its gradient gets. Gradients of arguments
 * that no derivative names go through the value itself, in which the named ones are
 * detached.
 */
#include "passes/build_room.h"

#include <ctype.h>
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

/* Does the expression hold a name that the definition's inputs bind as a dimension? */
static bool holds_dimension(const Def *def, const Expr *e)
{
    if (!e)
        return false;
    for (int i = 0; e->kind == EXPR_NAME && i < def->n_input; i++) {
        const InputDecl *input = &def->input[i];
        if (input->classes && input->classes->kind == EXPR_NAME &&
            str_eq(input->classes->text, e->text))
            return true;
        for (int k = 0; k < input->shape.n; k++)
            if (input->shape.dim[k]->kind == EXPR_NAME &&
                str_eq(input->shape.dim[k]->text, e->text))
                return true;
    }
    for (int i = 0; i < e->n_arg; i++)
        if (holds_dimension(def, e->arg[i]))
            return true;
    return false;
}

/* `n: int`: a default, for want of a kind of that name, and none that means anything. */
static bool is_no_kind(Scope *callee, const ArgDecl *arg)
{
    const Expr *e = arg->value;
    if (e->kind != EXPR_NAME || scope_knows(callee, e->text))
        return false;
    for (int i = 0; i < callee->def->n_arg; i++)
        if (str_eq(callee->def->arg[i].name, e->text)) {
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

static void bind_default(Scope *callee, int i, bool after_inputs)
{
    const Def *def = callee->def;
    const ArgDecl *arg = &def->arg[i];
    if (arg->required || !arg->value) {
        build_error(callee->caller, callee->call, "'%s' needs argument '%s'", def->name,
                    arg->name);
        scope_bind(callee, PLACE_ARG, arg->name, NOTHING);
    } else if (holds_dimension(def, arg->value) == after_inputs) {
        bool function = arg_is_function(callee, def, arg);
        Value v = NOTHING;
        if (!is_no_kind(callee, arg))
            v = function ? expr_function(callee, arg->value)
                         : expr_value(callee, arg->value);
        call_bind_arg(callee, i, v, arg->value, callee);
    }
}

/* What is given is fitted last: its own default may use what stands behind it, since nobody
   asks for its value. */
void call_bind_defaults(Scope *callee, bool after_inputs)
{
    const Def *def = callee->def;
    const Naming *scalars = callee->scalars;
    bool *given = NEW_ARRAY(callee->b->arena, bool, def->n_arg);
    if (!callee->scalar_defaults)
        callee->scalars = NULL;
    for (int i = 0; i < def->n_arg; i++) {
        given[i] = scope_find_in(callee, PLACE_ARG, def->arg[i].name) != NULL;
        if (!given[i])
            bind_default(callee, i, after_inputs);
    }
    for (int i = 0; i < def->n_arg; i++)
        if (given[i] && holds_dimension(def, def->arg[i].value) == after_inputs)
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

/* ---- cells ---- */

/* Letters, digits and _, in parts between dots, as a module's names in PyTorch; {name}
   stands for a letter. */
static bool is_instance_name(const char *text)
{
    bool part = false;
    for (const char *c = text; *c; c++) {
        bool hole = !strncmp(c, "{name}", strlen("{name}"));
        if (*c == '.' ? !part : !hole && !isalnum((unsigned char)*c) && *c != '_')
            return false;
        part = *c != '.';
        c += hole ? strlen("{name}") - 1 : 0;
    }
    return part;
}

/* `as="{name}_l{l}"`: loop counters, arguments and dimensions filled in, {name} left. */
static const char *as_pattern(Scope *s, const Expr *e)
{
    Text out = {.arena = s->b->arena};
    if (e->kind != EXPR_TEXT) {
        build_error(s, e->loc, "as= takes a text: as=\"{name}_l{l}\"");
        return NULL;
    }
    for (const char *c = e->text; *c;) {
        const char *end = *c == '{' ? strchr(c, '}') : NULL;
        if (!end || !strncmp(c, "{name}", strlen("{name}"))) {
            int n = end ? (int)strlen("{name}") : 1;
            text_add(&out, "%.*s", n, c);
            c += n;
            continue;
        }
        int64_t number;
        Expr name = {.kind = EXPR_NAME, .loc = e->loc};
        name.text = arena_copy(s->b->arena, c + 1, (size_t)(end - c - 1));
        if (!expr_whole(s, &name, name.text, &number))
            return NULL;
        text_add(&out, "%lld", (long long)number);
        c = end + 1;
    }
    if (out.text && is_instance_name(out.text))
        return out.text;
    build_error(s, e->loc,
                "as= names an instance: letters, digits and _, with dots between them; "
                "\"%s\" does not",
                e->text);
    return NULL;
}

/* How the call's instance is named: by `as`, by the name it is bound to, or not at all. */
static bool naming_of(Scope *s, Call *call, const char *bind, const Naming **out)
{
    const Expr *as = call_take(call, "as");
    *out = NULL;
    if (!as && !bind)
        return true;
    Naming *naming = NEW(s->b->arena, Naming);
    naming->outer = s->naming;
    if (as)
        naming->pattern = as_pattern(s, as);
    else
        naming->prefix = bind;
    *out = s->naming ? naming : NULL;
    return !as || naming->pattern;
}

static Value cell_output(Scope *s)
{
    const Def *def = s->def;
    if (def->output)
        return expr_value(s, def->output);
    if (!s->last)
        return build_error(s, def->loc, "'%s' has no output: it assigns nothing",
                           def->name);
    const Binding *last = scope_find_in(s, PLACE_LINE, s->last);
    if (!last)
        last = scope_find_in(s, PLACE_NEXT, s->last);
    return last ? last->value : NOTHING;
}

Value call_cell(Scope *s, const Expr *e, const Def *def, const char *bind)
{
    if (!s->def || s->def->kind != DEF_CELL)
        return build_error(s, e->loc, "'%s' is a cell: only models and cells call cells",
                           def->name);
    if (call_is_recursive(s, def, e->loc))
        return NOTHING;
    Scope *callee = scope_new(s->b, s, def, e->loc);
    Call call = call_begin(s, e);
    if (!naming_of(s, &call, bind, &callee->naming) || !call_has_inputs_only(callee, &call))
        return NOTHING;
    if (s->def == s->b->spec->model)
        callee->scalars = callee->naming;
    call_bind_given(callee, &call);
    call_bind_defaults(callee, false);
    call_bind_inputs(callee, &call);
    bool ok = !scope_has_error(callee);
    if (ok) {
        call_bind_defaults(callee, true);
        cell_bind_starts(callee, &call);
        cell_declare_params(callee);
        cell_declare_states(callee, &call);
    }
    for (int i = 0; !ok && i < def->n_state + def->n_start; i++)
        call_skip(&call, i < def->n_state ? def->state[i].name
                                          : def->start[i - def->n_state].name);
    call_end(callee, &call);
    if (!ok || scope_has_error(callee))
        return NOTHING;
    block_run(callee, def->step);
    cell_close_states(callee);
    return cell_output(callee);
}

/* ---- functions ---- */

static bool bind_function_args(Scope *callee, int n, const Value *positional_value,
                               Call *call)
{
    const Def *def = callee->def;
    if (n > def->n_arg) {
        build_error(callee->caller, callee->call, "'%s' takes %d argument%s, got %d",
                    def->name, def->n_arg, def->n_arg == 1 ? "" : "s", n);
        return false;
    }
    for (int i = 0; i < n; i++)
        call_bind_arg(callee, i, positional_value[i], NULL, NULL);
    for (int i = n; i < def->n_arg; i++) {
        const Expr *e = call_take(call, def->arg[i].name);
        if (!e)
            continue;
        bool function = arg_is_function(callee, def, &def->arg[i]);
        call_bind_arg(callee, i,
                      function ? expr_function(call->from, e) : expr_value(call->from, e),
                      NULL, NULL);
    }
    call_bind_defaults(callee, false);
    call_end(callee, call);
    return !scope_has_error(callee);
}

/* May a gradient go to this value? */
static bool is_tensor(const Scope *s, const Value *v)
{
    return v->kind == VALUE_NODE && !s->b->g->node[v->node].wide;
}

static const char *derived_name(const Def *def, int i)
{
    return def->derivative_name[i] ? def->derivative_name[i] : def->arg[0].name;
}

static bool is_derived(const Def *def, const char *name)
{
    for (int i = 0; i < def->n_derivative; i++)
        if (str_eq(derived_name(def, i), name))
            return true;
    return false;
}

/* Does an argument take a gradient that no derivative names? */
static bool has_free_tensor(Scope *s)
{
    for (int i = 0; i < s->def->n_arg; i++) {
        const Binding *arg = scope_find_in(s, PLACE_ARG, s->def->arg[i].name);
        if (is_tensor(s, &arg->value) && !is_derived(s->def, arg->name))
            return true;
    }
    return false;
}

static Value body_value(Scope *s)
{
    block_run(s, s->def->step);
    return s->def->value
               ? expr_value(s, s->def->value)
               : build_error(s, s->def->loc, "function '%s' has no value", s->def->name);
}

/* The body with every argument that a derivative names detached. */
static Value detached_body(Scope *s, Value *kept)
{
    const Def *def = s->def;
    for (int i = 0; i < def->n_derivative; i++) {
        Binding *arg = scope_find_in(s, PLACE_ARG, derived_name(def, i));
        kept[i] = arg->value;
        if (is_tensor(s, &arg->value))
            arg->value = value_typed(graph_map1(s->b->g, OP_DETACH, arg->value.node),
                                     arg->value.type);
    }
    Value v = body_value(s);
    for (int i = 0; i < def->n_derivative; i++)
        scope_find_in(s, PLACE_ARG, derived_name(def, i))->value = kept[i];
    return v;
}

static Value surrogate(Scope *s, Value v, bool free_tensor)
{
    const Def *def = s->def;
    Graph *g = s->b->g;
    NodeId *arg = NEW_ARRAY(s->b->arena, NodeId, 2 * def->n_derivative + 3);
    int n = 0;
    arg[n++] = value_narrow(s, &v);
    v.type = KIND_REAL;
    scope_bind(s, PLACE_LINE, "value", v);
    for (int i = 0; i < def->n_derivative; i++) {
        const Binding *x = scope_find_in(s, PLACE_ARG, derived_name(def, i));
        if (!is_tensor(s, &x->value))
            continue;
        arg[n++] = x->value.node;
        Value d = expr_value(s, def->derivative[i]);
        arg[n] = value_narrow(s, &d);
        if (arg[n++] == NO_NODE)
            return NOTHING;
    }
    if (n == 1)
        return v;
    if (free_tensor)
        arg[n++] = arg[0], arg[n++] = graph_constant(g, 1);
    const char *why = NULL;
    Shape shape = g->node[arg[0]].shape;
    NodeId node = graph_try_map(g, OP_SURROGATE, n, arg, &why);
    if (node == NO_NODE)
        return build_error(s, def->loc, "derivative of '%s': %s", def->name, why);
    if (!shape_equal(&g->node[node].shape, &shape))
        return build_error(
            s, def->loc,
            "derivative of '%s' has shape %s, the value %s: only elementwise "
            "functions have one",
            def->name, shape_print(s->b->arena, &g->node[node].shape),
            shape_print(s->b->arena, &shape));
    return value_node(node);
}

static bool derivatives_are_sound(Scope *s)
{
    const Def *def = s->def;
    for (int i = 0; i < def->n_derivative; i++) {
        bool known = false;
        for (int k = 0; k < def->n_arg; k++)
            known = known || str_eq(def->arg[k].name, derived_name(def, i));
        if (known)
            continue;
        build_error(s, def->derivative[i]->loc, "'%s' has no argument '%s' to derive by",
                    def->name, derived_name(def, i));
        return false;
    }
    return true;
}

Value call_function(Scope *s, const Def *def, int n, const Value *positional_value,
                    const Expr *e)
{
    if (call_is_recursive(s, def, e->loc))
        return NOTHING;
    Scope *callee = scope_new(s->b, s, def, e->loc);
    callee->maker = s->maker;
    callee->update = s->update;
    Call call = call_begin(s, e);
    if (!bind_function_args(callee, n, positional_value, &call) ||
        !derivatives_are_sound(callee))
        return NOTHING;
    bool derived = def->n_derivative && s->b->g->phase == PHASE_FORWARD;
    bool free_tensor = derived && has_free_tensor(callee);
    Value *kept = NEW_ARRAY(s->b->arena, Value, def->n_derivative);
    Value v = free_tensor ? detached_body(callee, kept) : body_value(callee);
    if (!derived || !is_tensor(callee, &v))
        return v;
    return surrogate(callee, v, free_tensor);
}
