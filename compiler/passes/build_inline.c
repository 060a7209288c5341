/*
 * build_inline.c — calls of cells and functions: the body is evaluated in a scope of its
 * own, into the nodes of the step. That is all of inlining.
 *
 * A function with a declared derivative becomes a SURROGATE: its value, and for each
 * argument named by a derivative the factor that its gradient gets. Gradients of arguments
 * that no derivative names go through the value itself, in which the named ones are
 * detached.
 */
#include "passes/build_room.h"

#include <ctype.h>
#include <string.h>

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

Value call_output(Scope *s)
{
    const Def *def = s->def;
    if (def->output)
        return expr_value(s, def->output);
    if (!s->last && def == s->b->spec->model)
        return build_error(s, def->loc, "the model has no output: it assigns no name");
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
    return call_output(callee);
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

/* A list of tensors is one tensor to a derivative. */
static bool stack_lists(Scope *s)
{
    for (int i = 0; i < s->def->n_arg; i++) {
        Binding *arg = scope_find_in(s, PLACE_ARG, s->def->arg[i].name);
        if (arg->value.kind != VALUE_LIST)
            continue;
        NodeId node = value_tensor(s, &arg->value);
        if (node == NO_NODE)
            return false;
        arg->value = value_node(node);
    }
    return true;
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
    if (derived && !stack_lists(callee))
        return NOTHING;
    bool free_tensor = derived && has_free_tensor(callee);
    Value *kept = NEW_ARRAY(s->b->arena, Value, def->n_derivative);
    Value v = free_tensor ? detached_body(callee, kept) : body_value(callee);
    if (!derived || !is_tensor(callee, &v))
        return v;
    return surrogate(callee, v, free_tensor);
}
