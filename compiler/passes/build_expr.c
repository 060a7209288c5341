/*
 * build_expr.c — expressions: one function for each kind, found by a table.
 *
 * While an expression is evaluated, the graph's `loc` is its place: every node made on
 * the way, and every message, carries the innermost expression's line.
 */
#include "passes/build_room.h"

#include <math.h>
#include <string.h>

/* ---- names, numbers, lists ---- */

static Value number_value(Scope *s, const Expr *e)
{
    (void)s;
    return value_number(e->number);
}

static Value text_value(Scope *s, const Expr *e)
{
    (void)s;
    return (Value){.kind = VALUE_TEXT, .text = e->text, .node = NO_NODE};
}

static Value list_value(Scope *s, const Expr *e)
{
    Value list = {.kind = VALUE_LIST, .n = e->n_arg, .node = NO_NODE};
    list.item = NEW_ARRAY(s->b->arena, Value, e->n_arg);
    for (int i = 0; i < e->n_arg; i++) {
        list.item[i] = expr_value(s, e->arg[i]);
        if (list.item[i].kind == VALUE_ERROR)
            list.kind = VALUE_ERROR;
    }
    if (!e->n_arg)
        return build_error(s, e->loc, "an empty list has no shape");
    return list;
}

static Value slice_value(Scope *s, const Expr *e)
{
    return build_error(s, e->loc, "a slice stands inside [ ] only");
}

static Value ellipsis_value(Scope *s, const Expr *e)
{
    return build_error(s, e->loc, "'...' stands in shapes only");
}

/* ---- operators ---- */

typedef struct {
    OpCode op;
    bool swap;    /* a > b is b < a */
    bool logical; /* operands are asked whether they are true */
} Operator;

static const Operator operators[] = {
    [TOKEN_OR] = {OP_OR, false, true},    [TOKEN_AND] = {OP_AND, false, true},
    [TOKEN_NOT] = {OP_NOT, false, true},  [TOKEN_EQ] = {OP_EQ, false, false},
    [TOKEN_NE] = {OP_NE, false, false},   [TOKEN_LT] = {OP_LT, false, false},
    [TOKEN_LE] = {OP_LE, false, false},   [TOKEN_GT] = {OP_LT, true, false},
    [TOKEN_GE] = {OP_LE, true, false},    [TOKEN_ADD] = {OP_ADD, false, false},
    [TOKEN_SUB] = {OP_SUB, false, false}, [TOKEN_MUL] = {OP_MUL, false, false},
    [TOKEN_DIV] = {OP_DIV, false, false},
};

/* Under `if`, an argument that may change counts as true. */
static Value truth_operand(Scope *s, const Expr *e)
{
    Value v = expr_value(s, e);
    if (s->structural && v.kind == VALUE_NODE)
        return value_flag(true);
    return v;
}

static Value unary_value(Scope *s, const Expr *e)
{
    bool minus = e->op != TOKEN_NOT;
    Value v = minus ? expr_value(s, e->arg[0]) : truth_operand(s, e->arg[0]);
    return value_map(s, minus ? OP_NEG : OP_NOT, 1, &v);
}

static Value floor_divided(Scope *s, const Expr *e, const Value *a, const Value *b)
{
    int64_t over, under;
    if (!value_whole(s, a, "left of //", &over) ||
        !value_whole(s, b, "right of //", &under))
        return NOTHING;
    if (!under)
        return build_error(s, e->loc, "division of %lld by 0", (long long)over);
    return value_number(floor((double)over / (double)under));
}

/* Is one side of the product, left of @, a single number? Then brackets change nothing. */
static bool is_scaled(const Graph *g, const Value *v)
{
    if (v->kind != VALUE_NODE || g->node[v->node].op != OP_MUL)
        return true;
    for (int i = 0; i < 2; i++) {
        const Node *side = &g->node[g->node[v->node].arg[i]];
        while (side->op == OP_SPREAD || side->op == OP_BROADCAST || side->op == OP_NARROW)
            side = &g->node[side->arg[0]];
        if (side->shape.rank == 0)
            return true;
    }
    return false;
}

static const char *line_of(Loc loc)
{
    const char *line = loc.source ? loc.source->text : NULL;
    for (int n = 1; n < loc.line && line; n++) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return line;
}

/* f * U @ h is (f * U) @ h, which is rarely what was meant. The tree does not keep
   brackets, so the line is asked whether one closes before the @. */
static void warn_of_bare_product(Scope *s, const Expr *e, const Value *left)
{
    const Expr *product = e->arg[0];
    if (product->kind != EXPR_BINARY || product->op != TOKEN_MUL ||
        is_scaled(s->b->g, left))
        return;
    const char *line = line_of(e->loc);
    const char *at = line ? memchr(line, '@', strcspn(line, "\n#")) : NULL;
    while (at && at > line && at[-1] == ' ')
        at--;
    if (at && at > line && at[-1] != ')' && memchr(line, '*', (size_t)(at - line)))
        diag_warning(s->b->d, e->loc,
                     "an elementwise product left of @: this is (a * b) @ c; write the "
                     "brackets that are meant");
}

static Value binary_value(Scope *s, const Expr *e)
{
    bool logical = e->op == TOKEN_AND || e->op == TOKEN_OR;
    const Expr *right = e->arg[1];
    if (e->op == TOKEN_DIV && right->kind == EXPR_NUMBER && right->number == 0)
        return build_error(s, right->loc, "division by 0");
    Value a = logical ? truth_operand(s, e->arg[0]) : expr_value(s, e->arg[0]);
    Value b = logical ? truth_operand(s, e->arg[1]) : expr_value(s, e->arg[1]);
    if (a.kind == VALUE_ERROR || b.kind == VALUE_ERROR)
        return NOTHING;
    if (e->op == TOKEN_FLOORDIV)
        return floor_divided(s, e, &a, &b);
    if (e->op == TOKEN_POW)
        return value_power(s, &a, &b);
    if (e->op == TOKEN_MATMUL) {
        warn_of_bare_product(s, e, &a);
        return tensor_matmul(s, &a, &b);
    }
    const Operator *o = &operators[e->op];
    return value_map(s, o->op, 2, o->swap ? (Value[]){b, a} : (Value[]){a, b});
}

/* ---- members: emb.weight, rnn.c, rnn.c' ---- */

static const char *member_path(Scope *s, const Expr *e)
{
    if (e->kind == EXPR_NAME)
        return e->text;
    if (e->kind != EXPR_MEMBER)
        return NULL;
    const char *left = member_path(s, e->arg[0]);
    return left ? arena_print(s->b->arena, "%s.%s", left, e->text) : NULL;
}

/* As the step found it, behind a reset if there is one; as the step left it. */
static Value state_member(Scope *s, const Expr *e, int index)
{
    const State *state = &s->b->g->state[index];
    if (!e->primed)
        return value_node(s->b->found[index]);
    if (state->next == NO_NODE)
        return build_error(s, e->loc, "%s' is used before it is assigned", state->name);
    return value_node(state->next);
}

static Value unknown_member(Scope *s, const Expr *e, const char *path, const char *full)
{
    Graph *g = s->b->g;
    int n = 0;
    const char **known = NEW_ARRAY(s->b->arena, const char *, g->n_param + g->n_state);
    for (int i = 0; i < g->n_param; i++)
        known[n++] = g->param[i].name;
    for (int i = 0; i < g->n_state; i++)
        known[n++] = g->state[i].name;
    const Expr *root = e;
    while (root->kind == EXPR_MEMBER)
        root = root->arg[0];
    const Binding *found = scope_find(s, root->text);
    if (found && found->value.kind == VALUE_ERROR)
        return NOTHING;
    if (!found && s->def && block_assigns(s->def->step, root->text, false))
        return build_error(s, e->loc, "'%s' is used before the line that assigns it",
                           root->text);
    for (int i = 0; i < g->n_param && e->primed; i++)
        if (str_eq(g->param[i].name, full))
            return build_error(s, e->loc,
                               "'%s' is a parameter; only a state has a next value, %s'",
                               path, path);
    return build_error(s, e->loc, "there is no parameter or state '%s'%s", path,
                       build_hint(s->b, full, known, n));
}

static Value member_value(Scope *s, const Expr *e)
{
    Graph *g = s->b->g;
    const char *path = member_path(s, e);
    if (!path)
        return build_error(s, e->loc, "only an instance has members: NAME.%s", e->text);
    const char *full = naming_full(s->b, s->naming, path);
    for (int i = 0; i < g->n_param && !e->primed; i++)
        if (str_eq(g->param[i].name, full))
            return value_node(s->maker ? g->param[i].init : g->param[i].leaf);
    for (int i = 0; i < g->n_state && !s->maker; i++)
        if (str_eq(g->state[i].name, full))
            return state_member(s, e, i);
    return unknown_member(s, e, path, full);
}

/* ---- calls ---- */

/* Positional arguments, evaluated; no named ones but those of the definition. */
static Value function_call(Scope *s, const Expr *e, const Def *def)
{
    Value *positional = NEW_ARRAY(s->b->arena, Value, e->n_arg);
    int n = 0;
    bool ok = true;
    for (int i = 0; i < e->n_arg; i++) {
        if (e->name[i])
            continue;
        bool function = n < def->n_arg && arg_is_function(s, def, &def->arg[n]);
        positional[n] = function ? expr_function(s, e->arg[i]) : expr_value(s, e->arg[i]);
        ok = positional[n++].kind != VALUE_ERROR && ok;
    }
    return ok ? call_function(s, def, n, positional, e) : NOTHING;
}

Value expr_call(Scope *s, const Expr *e, const char *bind)
{
    Graph *g = s->b->g;
    if (!build_go_on(s, e->loc))
        return NOTHING;
    s->b->n_call++;
    Loc outer = g->loc;
    g->loc = e->loc;
    Callee callee = callee_find(s, e->text);
    Value v = NOTHING;
    if (callee.kind == CALLEE_NONE)
        v = callee_unknown(s, e, e->text);
    else if (callee.kind == CALLEE_BUILTIN)
        v = builtin_call(s, e, callee.builtin);
    else if (callee.def->kind == DEF_FUNCTION)
        v = function_call(s, e, callee.def);
    else if (callee.def->kind == DEF_LOSS)
        v = loss_call(s, e, callee.def);
    else
        v = call_cell(s, e, callee.def, bind);
    g->loc = outer;
    return v;
}

static Value call_value(Scope *s, const Expr *e) { return expr_call(s, e, NULL); }

Value expr_function(Scope *s, const Expr *e)
{
    if (e->kind != EXPR_NAME)
        return build_error(s, e->loc, "the name of a function is wanted here");
    Callee callee = callee_find(s, e->text);
    bool function = callee.kind == CALLEE_BUILTIN ||
                    (callee.kind == CALLEE_DEF && callee.def->kind == DEF_FUNCTION);
    if (callee.kind == CALLEE_NONE)
        return callee_unknown(s, e, e->text);
    if (!function)
        return build_error(s, e->loc, "'%s' is a cell; a function is wanted here", e->text);
    return (Value){.kind = VALUE_FUNCTION,
                   .def = callee.def,
                   .builtin = callee.builtin,
                   .node = NO_NODE};
}

/* ---- all of them ---- */

static Value (*const by_kind[])(Scope *, const Expr *) = {
    [EXPR_NUMBER] = number_value,     [EXPR_TEXT] = text_value,
    [EXPR_NAME] = scope_value,        [EXPR_UNARY] = unary_value,
    [EXPR_BINARY] = binary_value,     [EXPR_CALL] = call_value,
    [EXPR_INDEX] = index_value,       [EXPR_SLICE] = slice_value,
    [EXPR_MEMBER] = member_value,     [EXPR_LIST] = list_value,
    [EXPR_ELLIPSIS] = ellipsis_value,
};

/* In a loss expression whatever holds no loss is a per-step value: its average counts. */
static Value averaged(Scope *s, const Expr *e)
{
    s->averages = false;
    Value v = expr_value(s, e);
    s->averages = true;
    return v.kind == VALUE_NODE ? loss_average(s, &v) : v;
}

Value expr_value(Scope *s, const Expr *e)
{
    Graph *g = s->b->g;
    if (s->averages && !loss_is_called(s, e))
        return averaged(s, e);
    Loc outer = g->loc;
    g->loc = e->loc;
    Value v = by_kind[e->kind](s, e);
    g->loc = outer;
    return v;
}

/* ---- constants ---- */

Value expr_structural(Scope *s, const Expr *e)
{
    s->structural++;
    Value v = expr_value(s, e);
    s->structural--;
    return v;
}

bool expr_whole(Scope *s, const Expr *e, const char *what, int64_t *out)
{
    Value v = expr_structural(s, e);
    Loc outer = s->b->g->loc;
    s->b->g->loc = e->loc;
    bool ok = value_whole(s, &v, what, out);
    s->b->g->loc = outer;
    return ok;
}

bool expr_truth(Scope *s, const Expr *e, const char *where, bool *out)
{
    Value v = expr_structural(s, e);
    if (v.kind == VALUE_ERROR)
        return false;
    *out = v.kind == VALUE_NODE || v.number != 0;
    if (v.kind == VALUE_NODE || value_is_number(&v))
        return true;
    build_error(s, e->loc, "%s needs a number or a flag, not %s", where,
                value_print(s, &v));
    return false;
}

/* ---- shapes ---- */

bool shape_append(Scope *s, Loc loc, Shape *shape, int64_t dim)
{
    if (dim < 1) {
        build_error(s, loc, "size of a dimension is %lld; it must be 1 or more",
                    (long long)dim);
        return false;
    }
    if (shape->rank == MAX_RANK) {
        build_error(s, loc, "a shape has more than %d dimensions", MAX_RANK);
        return false;
    }
    shape->dim[shape->rank++] = dim;
    return true;
}

bool shape_is_sound(Scope *s, Loc loc, const Shape *shape)
{
    int64_t size, bytes;
    if (size_product(shape->dim, shape->rank, &size) && size_mul(size, 1 << 16, &bytes))
        return true;
    build_error(s, loc, "a tensor of shape %s has too many elements",
                shape_print(s->b->arena, shape));
    return false;
}

static bool append_ellipsis(Scope *s, Loc loc, Shape *shape)
{
    if (!s->has_ellipsis) {
        build_error(s, loc, "'...' is bound by no input");
        return false;
    }
    for (int i = 0; i < s->ellipsis.rank; i++)
        if (!shape_append(s, loc, shape, s->ellipsis.dim[i]))
            return false;
    return true;
}

bool expr_shape(Scope *s, const ShapeExpr *e, Shape *out)
{
    Shape shape = {0};
    bool ok = true;
    for (int i = 0; i < e->n; i++) {
        const Expr *dim = e->dim[i];
        int64_t n;
        if (dim->kind == EXPR_ELLIPSIS)
            ok = append_ellipsis(s, dim->loc, &shape) && ok;
        else
            ok = expr_whole(s, dim, "size of a dimension", &n) &&
                 shape_append(s, dim->loc, &shape, n) && ok;
    }
    *out = shape;
    return ok && shape_is_sound(s, e->loc, &shape);
}
