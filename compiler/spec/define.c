/*
 * define.c — definitions: a mapping of the tree as a Def.
 *
 * Cells, losses, optimizers, functions and the model are read by the same lines: they
 * differ in which sections the schema lets them have. A value of a wrong type was
 * reported by the schema and is passed over here; what is reported here is what only the
 * parsed expressions show.
 */
#include "spec/schema.h"

#include <string.h>

/* ---- expressions, blocks, shapes ---- */

static const Expr *read_list(Reader *r, const Tree *t)
{
    Expr *e = NEW(r->arena, Expr);
    *e = (Expr){.kind = EXPR_LIST, .loc = t->loc};
    e->arg = NEW_ARRAY(r->arena, const Expr *, t->n);
    for (int i = 0; i < t->n; i++) {
        e->arg[e->n_arg] = read_expression(r, t->child[i]);
        if (!e->arg[e->n_arg++])
            return NULL;
    }
    return e;
}

const Expr *read_expression(Reader *r, const Tree *t)
{
    if (!t || t->kind == TREE_MAP)
        return NULL;
    if (t->kind == TREE_LIST)
        return read_list(r, t);
    return t->kind == TREE_SCALAR ? lang_expression(r->arena, r->d, t->text, t->place)
                                  : NULL;
}

Block read_block(Reader *r, const Tree *t)
{
    bool ok;
    if (!t || t->kind != TREE_SCALAR)
        return (Block){0};
    return lang_block(r->arena, r->d, t->text, t->place, &ok);
}

static ShapeExpr read_shape(Reader *r, const Tree *t)
{
    ShapeExpr shape = {.loc = t->loc};
    if (t->kind != TREE_LIST)
        return shape;
    shape.dim = NEW_ARRAY(r->arena, const Expr *, t->n);
    for (int i = 0; i < t->n; i++) {
        const Expr *dim = read_expression(r, t->child[i]);
        if (dim && dim->kind == EXPR_ELLIPSIS && t->n > 1)
            diag_error(r->d, dim->loc, "'...' is a whole shape: [...]");
        if (dim)
            shape.dim[shape.n++] = dim;
    }
    return shape;
}

/* ---- kinds ---- */

static const char *const kind_words[] = {
    [KIND_REAL] = "real",   [KIND_INTEGER] = "integer",   [KIND_FLAG] = "flag",
    [KIND_CLASS] = "class", [KIND_FUNCTION] = "function",
};

const char *kind_word(Kind kind) { return kind_words[kind]; }

static bool find_kind(const char *word, Kind *kind)
{
    for (int i = 0; i < COUNT(kind_words); i++)
        if (str_eq(word, kind_words[i])) {
            *kind = (Kind)i;
            return true;
        }
    return false;
}

/* `real`, `class(96)`, `class`: the vocabulary's. */
static void read_kind(Reader *r, const Tree *t, InputDecl *in)
{
    const Expr *e = read_expression(r, t);
    if (!e)
        return;
    bool is_word = (e->kind == EXPR_NAME && !e->primed) || e->kind == EXPR_CALL;
    if (!is_word || !find_kind(e->text, &in->kind) || in->kind == KIND_FUNCTION) {
        const char *nearest =
            is_word ? diag_nearest(e->text, kind_words, KIND_FUNCTION) : NULL;
        diag_error(r->d, e->loc,
                   "'%s' is no kind of an input: real, integer, flag, class(n) or a shape "
                   "[n]%s%s%s",
                   lang_print(r->arena, e), nearest ? "; did you mean '" : "",
                   nearest ? nearest : "", nearest ? "'?" : "");
        return;
    }
    if (e->kind != EXPR_CALL)
        return;
    if (in->kind == KIND_CLASS && e->n_arg == 1 && !e->name[0])
        in->classes = e->arg[0];
    else
        diag_error(r->d, e->loc, "expected class(n), n the number of classes");
}

/* ---- inputs ---- */

static void read_input_map(Reader *r, const Tree *t, InputDecl *in)
{
    const Tree *kind = tree_get(t, "kind"), *classes = tree_get(t, "class");
    const Tree *ignore = tree_get(t, "ignore"), *per = tree_get(t, "per");
    const Tree *shape = tree_get(t, "shape");
    if (kind)
        read_kind(r, kind, in);
    if (classes) {
        in->kind = KIND_CLASS;
        in->classes = read_expression(r, classes);
    }
    if (kind && classes)
        diag_error(r->d, classes->loc, "%s: 'kind' and 'class' both say what it is",
                   in->name);
    if (ignore)
        in->has_ignore = tree_integer(ignore, &in->ignore);
    if (ignore && in->kind != KIND_CLASS)
        diag_error(r->d, ignore->loc, "%s: only a class has an ignored value", in->name);
    if (shape)
        in->shape = read_shape(r, shape);
    if (shape && in->kind != KIND_REAL)
        diag_error(r->d, shape->loc, "%s: only a real has a shape, %s is one number",
                   in->name, kind_word(in->kind));
    in->per_sequence = per && str_eq(per->text, "sequence");
}

InputDecl *read_inputs(Reader *r, const Tree *names, int *n)
{
    *n = 0;
    if (!names || names->kind != TREE_MAP)
        return NULL;
    InputDecl *input = NEW_ARRAY(r->arena, InputDecl, names->n);
    for (int i = 0; i < names->n; i++) {
        const Tree *t = names->child[i];
        InputDecl *in = &input[(*n)++];
        *in = (InputDecl){.name = names->key[i], .loc = names->key_loc[i]};
        in->shape.loc = t->loc;
        if (t->kind == TREE_LIST)
            in->shape = read_shape(r, t);
        else if (t->kind == TREE_MAP)
            read_input_map(r, t, in);
        else
            read_kind(r, t, in);
    }
    return input;
}

/* ---- arguments ---- */

/* What kind a default is of. A name that is no constant is a function's. */
static Kind kind_of_default(const Expr *e)
{
    if (e->kind == EXPR_UNARY)
        return e->op == TOKEN_NOT ? KIND_FLAG : kind_of_default(e->arg[0]);
    if (e->kind == EXPR_NUMBER)
        return e->is_integer ? KIND_INTEGER : KIND_REAL;
    if (e->kind != EXPR_NAME || str_eq(e->text, "pi"))
        return KIND_REAL;
    bool is_flag = str_eq(e->text, "true") || str_eq(e->text, "false");
    return is_flag ? KIND_FLAG : KIND_FUNCTION;
}

static ArgDecl read_arg(Reader *r, const char *name, Loc loc, const Tree *t)
{
    ArgDecl arg = {.name = name, .loc = loc};
    const Expr *e = read_expression(r, t);
    if (!e)
        return arg;
    arg.required = e->kind == EXPR_NAME && find_kind(e->text, &arg.kind);
    if (arg.required && arg.kind == KIND_CLASS)
        diag_error(r->d, e->loc, "an argument is an integer, not a class");
    if (!arg.required) {
        arg.value = e;
        arg.kind = kind_of_default(e);
    }
    return arg;
}

/* A place some bytes further on in the same line. */
static TextPlace further(TextPlace place, int n_bytes)
{
    if (place.exact)
        place.start.column += n_bytes;
    return place;
}

/* Functions list their arguments: `v` or `slope = 0.01`. */
static ArgDecl read_listed_arg(Reader *r, const Tree *t)
{
    ArgDecl arg = {
        .name = t->text, .loc = t->place.start, .kind = KIND_REAL, .required = true};
    size_t length = strcspn(t->text, " =");
    const char *equals = t->text + length + strspn(t->text + length, " ");
    arg.name = arena_copy(r->arena, t->text, length);
    arg.loc.length = (int)length;
    if (!schema_is_name(arg.name) || (*equals && *equals != '=')) {
        diag_error(r->d, t->loc, "'%s' is no argument: expected NAME or NAME = default",
                   t->text);
        return arg;
    }
    if (*equals) {
        const char *value = equals + 1 + strspn(equals + 1, " ");
        Tree rest = {.kind = TREE_SCALAR, .text = value};
        rest.place = further(t->place, (int)(value - t->text));
        Loc loc = arg.loc;
        arg = read_arg(r, arg.name, loc, &rest);
    }
    return arg;
}

static void read_arg_list(Reader *r, const Tree *t, Def *def)
{
    def->arg = NEW_ARRAY(r->arena, ArgDecl, t->n);
    for (int i = 0; i < t->n; i++) {
        if (t->child[i]->kind != TREE_SCALAR)
            continue;
        ArgDecl arg = read_listed_arg(r, t->child[i]);
        for (int j = 0; j < def->n_arg; j++)
            if (str_eq(def->arg[j].name, arg.name))
                diag_error(r->d, arg.loc, "argument '%s' is there twice", arg.name);
        if (arg.required && def->n_arg && !def->arg[def->n_arg - 1].required)
            diag_error(r->d, arg.loc,
                       "argument '%s' without a default after one that has it", arg.name);
        def->arg[def->n_arg++] = arg;
    }
}

static void read_args(Reader *r, const Tree *t, Def *def)
{
    if (t && t->kind == TREE_LIST)
        read_arg_list(r, t, def);
    if (!t || t->kind != TREE_MAP)
        return;
    def->arg = NEW_ARRAY(r->arena, ArgDecl, t->n);
    for (int i = 0; i < t->n; i++)
        def->arg[def->n_arg++] = read_arg(r, t->key[i], t->key_loc[i], t->child[i]);
}

/* ---- variables ---- */

static bool is_w(const Expr *e) { return e->kind == EXPR_NAME && str_eq(e->text, "w"); }

/* `like(w)`, or the w of `{like: w}`. */
static void read_like(Reader *r, const Tree *t, bool is_call, VarDecl *var)
{
    const Expr *e = read_expression(r, t);
    if (!e)
        return;
    const Expr *whom = e;
    if (is_call)
        whom = e->kind == EXPR_CALL && str_eq(e->text, "like") && e->n_arg == 1 ? e->arg[0]
                                                                                : NULL;
    var->like_w = whom && is_w(whom);
    if (!var->like_w)
        diag_error(r->d, e->loc, "expected %s, found %s", is_call ? "like(w)" : "w",
                   lang_print(r->arena, e));
}

static void read_overrides(Reader *r, const Tree *t, VarDecl *var)
{
    if (!t || t->kind != TREE_MAP)
        return;
    var->override_name = NEW_ARRAY(r->arena, const char *, t->n);
    var->override_value = NEW_ARRAY(r->arena, const Expr *, t->n);
    for (int i = 0; i < t->n; i++) {
        var->override_name[var->n_override] = t->key[i];
        var->override_value[var->n_override++] = read_expression(r, t->child[i]);
    }
}

static void read_var_map(Reader *r, const Tree *t, VarDecl *var)
{
    const Tree *shape = tree_get(t, "shape"), *like = tree_get(t, "like");
    const Tree *init = tree_get(t, "init"), *grad = tree_get(t, "grad");
    if (shape)
        var->shape = read_shape(r, shape);
    if (like)
        read_like(r, like, false, var);
    if (shape && like)
        diag_error(r->d, like->loc, "%s: 'shape' and 'like' both say its shape", var->name);
    var->init = read_expression(r, init ? init : tree_get(t, "initial"));
    var->when = read_expression(r, tree_get(t, "when"));
    var->has_grad = grad && tree_flag(grad, &var->grad);
    read_overrides(r, tree_get(t, "optimizer"), var);
}

/* may_be_like: an optimizer's, which may say `like(w)` in place of a shape. */
static VarDecl *read_vars(Reader *r, const Tree *names, bool may_be_like, int *n)
{
    *n = 0;
    if (!names || names->kind != TREE_MAP)
        return NULL;
    VarDecl *var = NEW_ARRAY(r->arena, VarDecl, names->n);
    for (int i = 0; i < names->n; i++) {
        const Tree *t = names->child[i];
        VarDecl *v = &var[(*n)++];
        *v = (VarDecl){.name = names->key[i], .loc = names->key_loc[i]};
        v->shape.loc = t->loc;
        if (t->kind == TREE_LIST)
            v->shape = read_shape(r, t);
        else if (t->kind == TREE_MAP)
            read_var_map(r, t, v);
        else if (may_be_like)
            read_like(r, t, true, v);
        if (may_be_like && t->kind == TREE_MAP && !tree_get(t, "shape") &&
            !tree_get(t, "like"))
            diag_error(r->d, v->loc, "%s has neither 'shape' nor 'like'", v->name);
    }
    return var;
}

/* ---- definitions ---- */

static void check_arg_name(Reader *r, const Def *def, const char *name, Loc loc)
{
    for (int i = 0; i < def->n_arg; i++)
        if (str_eq(def->arg[i].name, name))
            return;
    diag_error(r->d, loc, "%s has no argument '%s'", def->name, name);
}

static void read_derivatives(Reader *r, const Tree *t, Def *def)
{
    if (!t)
        return;
    int n = t->kind == TREE_MAP ? t->n : 1;
    def->derivative_name = NEW_ARRAY(r->arena, const char *, n);
    def->derivative = NEW_ARRAY(r->arena, const Expr *, n);
    for (int i = 0; i < n; i++) {
        const Expr *e = read_expression(r, t->kind == TREE_MAP ? t->child[i] : t);
        if (t->kind == TREE_MAP)
            check_arg_name(r, def, t->key[i], t->key_loc[i]);
        if (!e)
            continue;
        def->derivative_name[def->n_derivative] = t->kind == TREE_MAP ? t->key[i] : NULL;
        def->derivative[def->n_derivative++] = e;
    }
}

Def read_definition(Reader *r, DefKind kind, const char *name, Loc loc, const Tree *t)
{
    Def def = {.kind = kind, .name = name, .loc = loc, .library = r->library};
    const Tree *step = tree_get(t, "step"), *output = tree_get(t, "output");
    read_args(r, tree_get(t, "args"), &def);
    def.input = read_inputs(r, tree_get(t, "input"), &def.n_input);
    def.state = read_vars(r, tree_get(t, "state"), kind == DEF_OPTIMIZER, &def.n_state);
    def.start = read_vars(r, tree_get(t, "starts"), false, &def.n_start);
    def.param = read_vars(r, tree_get(t, "params"), false, &def.n_param);
    def.step = read_block(r, step);
    def.output = read_expression(r, output);
    def.value = read_expression(r, tree_get(t, "value"));
    def.weight = read_expression(r, tree_get(t, "weight"));
    read_derivatives(r, tree_get(t, "derivative"), &def);
    if (kind == DEF_CELL && t->kind == TREE_MAP && !step && !output)
        diag_error(r->d, loc, "%s has neither 'step' nor 'output'", name);
    return def;
}

Def read_model(Reader *r, const Tree *t, Loc loc)
{
    if (t->kind == TREE_MAP)
        return read_definition(r, DEF_CELL, "model", loc, t);
    return (Def){.kind = DEF_CELL, .name = "model", .loc = loc, .step = read_block(r, t)};
}
