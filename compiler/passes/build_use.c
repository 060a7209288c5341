/*
 * build_use.c — which arguments of a definition are structural, told from its text.
 *
 * An argument in a shape, a `for`, an index, a first value, or compared under an `if` is a
 * constant when the spec is compiled. Alone under `if` or `when` (or as the probability of
 * dropout) only its being the constant 0 counts. Everything else may change while
 * running. What a definition hands on to another counts as it is used there.
 *
 * In cells and losses flags and whole numbers are constants too: they choose forms, and a
 * kernel is better for knowing them. Optimizers' numbers are read once an update, so
 * there `weight_decay: 0` stays a number like any other.
 */
#include "passes/build_room.h"

typedef struct {
    Scope *s;
    const Def *def;
    const char *name; /* of the argument looked for */
    Use found;
} Search;

static void search(Search *u, const Expr *e, Use context);

static bool is_search_name(const Search *u, const Expr *e)
{
    return e->kind == EXPR_NAME && !e->primed && str_eq(e->text, u->name);
}

static void search_all(Search *u, const Expr *e, int first, Use context)
{
    for (int i = first; i < e->n_arg; i++)
        if (e->arg[i])
            search(u, e->arg[i], context);
}

/* ---- calls ---- */

static void search_builtin(Search *u, const Expr *e, const Builtin *f)
{
    bool dropout = str_eq(f->name, "dropout");
    for (int i = 0, n = 0; i < e->n_arg; i++) {
        bool option = e->name[i] != NULL;
        bool constant = option ? !dropout : (f->constant >> n & 1) != 0;
        bool probability = dropout && (option || n == 1);
        n += !option;
        search(u, e->arg[i],
               constant      ? USE_CONSTANT
               : probability ? USE_TRUTH
                             : USE_NUMBER);
    }
}

static int arg_index(const Def *def, const char *name, int position)
{
    if (!name)
        return def->kind == DEF_FUNCTION && position < def->n_arg ? position : -1;
    for (int i = 0; i < def->n_arg; i++)
        if (str_eq(def->arg[i].name, name))
            return i;
    return -1;
}

static void search_def(Search *u, const Expr *e, const Def *callee)
{
    for (int i = 0, n = 0; i < e->n_arg; i++) {
        int arg = arg_index(callee, e->name[i], n);
        n += !e->name[i];
        search(u, e->arg[i], arg < 0 ? USE_NUMBER : use_of(u->s, callee, arg));
    }
}

static const Def *find_callee(const Search *u, const char *name)
{
    static const DefKind kinds[] = {DEF_CELL, DEF_FUNCTION, DEF_LOSS};
    for (int i = 0; i < COUNT(kinds); i++) {
        const Def *def = spec_find(u->s->b->spec, kinds[i], name, u->def->library);
        if (def)
            return def;
    }
    return NULL;
}

static const Builtin *find_builtin(const char *name)
{
    for (int i = 0; i < n_builtin; i++)
        if (str_eq(builtins[i].name, name))
            return &builtins[i];
    return NULL;
}

static void search_call(Search *u, const Expr *e, Use context)
{
    const Def *callee = find_callee(u, e->text);
    const Builtin *f = callee ? NULL : find_builtin(e->text);
    if (context != USE_NUMBER || str_eq(e->text, "range"))
        search_all(u, e, 0, USE_CONSTANT);
    else if (callee)
        search_def(u, e, callee);
    else if (f)
        search_builtin(u, e, f);
    else
        search_all(u, e, 0, USE_NUMBER);
}

/* ---- expressions ---- */

static bool keeps_truth(const Expr *e)
{
    return (e->kind == EXPR_UNARY && e->op == TOKEN_NOT) ||
           (e->kind == EXPR_BINARY && (e->op == TOKEN_AND || e->op == TOKEN_OR));
}

static void search(Search *u, const Expr *e, Use context)
{
    if (is_search_name(u, e)) {
        if (context > u->found)
            u->found = context;
        return;
    }
    if (e->kind == EXPR_CALL) {
        search_call(u, e, context);
        return;
    }
    if (e->kind == EXPR_INDEX) {
        search(u, e->arg[0], context);
        search_all(u, e, 1, USE_CONSTANT);
        return;
    }
    bool compared = context == USE_TRUTH && !keeps_truth(e);
    search_all(u, e, 0, compared || e->kind == EXPR_SLICE ? USE_CONSTANT : context);
}

static void search_block(Search *u, Block block)
{
    for (int i = 0; i < block.n_stmt; i++) {
        const Stmt *stmt = block.stmt[i];
        if (stmt->value)
            search(u, stmt->value, stmt->kind == STMT_FOR ? USE_CONSTANT : USE_NUMBER);
        for (int a = 0; a < stmt->n_arm; a++) {
            if (stmt->arm[a].condition)
                search(u, stmt->arm[a].condition, USE_TRUTH);
            search_block(u, stmt->arm[a].body);
        }
    }
}

static void search_shape(Search *u, const ShapeExpr *shape)
{
    for (int i = 0; i < shape->n; i++)
        search(u, shape->dim[i], USE_CONSTANT);
}

static void search_vars(Search *u, int n, const VarDecl *var, Use init)
{
    for (int i = 0; i < n; i++) {
        search_shape(u, &var[i].shape);
        if (var[i].when)
            search(u, var[i].when, USE_TRUTH);
        if (var[i].init)
            search(u, var[i].init, init);
    }
}

static void search_optional(Search *u, const Expr *e)
{
    if (e)
        search(u, e, USE_NUMBER);
}

static Use searched(Scope *s, const Def *def, const char *name)
{
    Search u = {.s = s, .def = def, .name = name};
    search_vars(&u, def->n_param, def->param, USE_CONSTANT);
    search_vars(&u, def->n_start, def->start, USE_CONSTANT);
    search_vars(&u, def->n_state, def->state,
                def->kind == DEF_OPTIMIZER ? USE_CONSTANT : USE_NUMBER);
    for (int i = 0; i < def->n_input; i++) {
        search_shape(&u, &def->input[i].shape);
        if (def->input[i].classes)
            search(&u, def->input[i].classes, USE_CONSTANT);
    }
    for (int i = 0; i < def->n_arg; i++)
        if (def->arg[i].value && !str_eq(def->arg[i].name, name))
            search(&u, def->arg[i].value, USE_CONSTANT);
    search_block(&u, def->step);
    search_optional(&u, def->output);
    search_optional(&u, def->value);
    search_optional(&u, def->weight);
    for (int i = 0; i < def->n_derivative; i++)
        search(&u, def->derivative[i], USE_NUMBER);
    return u.found;
}

/* ---- arguments ---- */

bool arg_is_function(Scope *s, const Def *def, const ArgDecl *arg)
{
    const Expr *e = arg->value;
    if (arg->required || !e)
        return arg->kind == KIND_FUNCTION;
    if (e->kind != EXPR_NAME)
        return false;
    for (int i = 0; i < def->n_arg; i++)
        if (str_eq(def->arg[i].name, e->text))
            return false;
    return spec_find(s->b->spec, DEF_FUNCTION, e->text, def->library) ||
           find_builtin(e->text);
}

static bool is_whole(const Expr *e)
{
    if (e->kind == EXPR_UNARY)
        return e->op != TOKEN_NOT && is_whole(e->arg[0]);
    return e->kind == EXPR_NUMBER && e->is_integer;
}

/* Constants by their declaration alone. */
static bool is_declared_constant(const Def *def, const ArgDecl *arg)
{
    const Expr *e = arg->value;
    if (arg->required || !e)
        return arg->kind == KIND_INTEGER || arg->kind == KIND_FLAG;
    if (e->kind == EXPR_NAME && (str_eq(e->text, "true") || str_eq(e->text, "false")))
        return true;
    return (def->kind == DEF_CELL || def->kind == DEF_LOSS) && is_whole(e);
}

/* The model is no entry of the spec's list of definitions and has no arguments. */
Use use_of(Scope *s, const Def *def, int arg)
{
    Build *b = s->b;
    int64_t id = def - b->spec->def;
    if (!b->use[id])
        b->use[id] = NEW_ARRAY(b->arena, uint8_t, def->n_arg);
    uint8_t *known = &b->use[id][arg];
    if (!*known) {
        *known = USE_NUMBER + 1; /* what a recursion meets: it is refused elsewhere */
        bool constant = is_declared_constant(def, &def->arg[arg]);
        Use use = constant ? USE_CONSTANT : searched(s, def, def->arg[arg].name);
        *known = (uint8_t)(use + 1);
    }
    return (Use)(*known - 1);
}
