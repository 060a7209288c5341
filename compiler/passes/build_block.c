/*
 * build_block.c — statements. `if` and `for` run while the graph is built: their
 * conditions and bounds are constants, their bodies are evaluated into the same scope.
 */
#include "passes/build_room.h"

bool block_assigns(Block block, const char *name, bool primed)
{
    for (int i = 0; i < block.n_stmt; i++) {
        const Stmt *stmt = block.stmt[i];
        for (int t = 0; t < stmt->n_target && stmt->kind == STMT_ASSIGN; t++)
            if (stmt->target[t]->primed == primed && str_eq(stmt->target[t]->text, name))
                return true;
        for (int a = 0; a < stmt->n_arm && stmt->kind != STMT_ASSIGN; a++)
            if (block_assigns(stmt->arm[a].body, name, primed))
                return true;
    }
    return false;
}

/* ---- assignments ---- */

/* The value as the state's next: of its shape and width. */
static Value fit_state(Scope *s, const Expr *target, const Binding *state, Value v)
{
    Graph *g = s->b->g;
    const Node *leaf = &g->node[state->value.node];
    Shape want = leaf->shape, got;
    bool wide = leaf->wide;
    if (v.kind == VALUE_NUMBER && v.shape.rank == 0)
        v.shape = want;
    NodeId node = wide ? value_real(s, &v) : value_narrow(s, &v);
    if (node == NO_NODE)
        return NOTHING;
    got = g->node[node].shape;
    if (!shape_equal(&got, &want))
        return build_error(s, target->loc, "%s' has shape %s; the state %s has %s",
                           target->text, shape_print(s->b->arena, &got), target->text,
                           shape_print(s->b->arena, &want));
    if (wide && !g->node[node].wide && g->node[node].op != OP_CONSTANT)
        node = graph_map1(g, OP_WIDEN, node);
    return value_node(node);
}

static void assign_next(Scope *s, const Expr *target, Value v)
{
    Binding *state = scope_find_in(s, PLACE_STATE, target->text);
    if (!state) {
        const char *known[16];
        int n = 0;
        for (int i = 0; i < s->n_binding && n < COUNT(known); i++)
            if (s->binding[i].place == PLACE_STATE)
                known[n++] = s->binding[i].name;
        build_error(s, target->loc, "%s' is assigned, but there is no state '%s'%s",
                    target->text, target->text, build_hint(s->b, target->text, known, n));
        return;
    }
    if (scope_find_in(s, PLACE_NEXT, target->text)) {
        build_error(s, target->loc, "%s' is assigned twice", target->text);
        return;
    }
    if (state->value.kind == VALUE_ERROR)
        v = NOTHING;
    if (v.kind != VALUE_ERROR)
        v = fit_state(s, target, state, v);
    if (state->owner == OWNER_MODEL && v.kind == VALUE_NODE)
        v = value_node(tbptt_leave_state(s->b, state->index, v.node));
    scope_bind(s, PLACE_NEXT, target->text, v);
}

static void assign_line(Scope *s, const Expr *target, Value v, bool is_instance)
{
    const Binding *before = scope_find_in(s, PLACE_LINE, target->text);
    if (scope_find_in(s, PLACE_STATE, target->text)) {
        build_error(s, target->loc,
                    "'%s' is a state: write %s' for what the step leaves in it",
                    target->text, target->text);
        return;
    }
    if (before && before->is_instance) {
        build_error(
            s, target->loc,
            "'%s' is an instance and is assigned once; give this value a name of its "
            "own",
            target->text);
        return;
    }
    scope_bind(s, PLACE_LINE, target->text, v)->is_instance = is_instance;
}

static void assign(Scope *s, const Expr *target, Value v, bool is_instance)
{
    s->last = target->text;
    if (target->primed)
        assign_next(s, target, v);
    else
        assign_line(s, target, v, is_instance);
}

/* Several names take the parts of a split, or the elements of a list. */
static void assign_parts(Scope *s, const Stmt *stmt, const Value *v)
{
    bool fits = v->kind == VALUE_LIST && v->n == stmt->n_target;
    if (v->kind == VALUE_LIST && !fits)
        build_error(s, stmt->loc, "%d names for %d values", stmt->n_target, v->n);
    else if (!fits && v->kind != VALUE_ERROR)
        build_error(s, stmt->loc, "%d names need as many values: split(v, %d)",
                    stmt->n_target, stmt->n_target);
    for (int i = 0; i < stmt->n_target; i++)
        assign(s, stmt->target[i], fits ? v->item[i] : NOTHING, false);
}

static bool has_as(const Expr *call)
{
    for (int i = 0; i < call->n_arg; i++)
        if (str_eq(call->name[i], "as"))
            return true;
    return false;
}

static void run_assign(Scope *s, const Stmt *stmt)
{
    const Expr *e = stmt->value;
    if (stmt->n_target > 1) {
        Value v = expr_value(s, e);
        Loc outer = s->b->g->loc;
        s->b->g->loc = stmt->loc;
        assign_parts(s, stmt, &v);
        s->b->g->loc = outer;
        return;
    }
    const Expr *target = stmt->target[0];
    bool named = e->kind == EXPR_CALL && !target->primed;
    int owned = s->n_owned;
    Value v = named ? expr_call(s, e, target->text) : expr_value(s, e);
    bool is_instance = named && s->n_owned > owned && !has_as(e);
    Loc outer = s->b->g->loc;
    s->b->g->loc = e->loc;
    assign(s, target, v, is_instance);
    s->b->g->loc = outer;
}

/* ---- if and for ---- */

static void run_if(Scope *s, const Stmt *stmt)
{
    for (int i = 0; i < stmt->n_arm; i++) {
        bool yes = true;
        const Expr *condition = stmt->arm[i].condition;
        if (condition && !expr_truth(s, condition, "if", &yes))
            return;
        if (yes) {
            block_run(s, stmt->arm[i].body);
            return;
        }
    }
}

typedef struct {
    int64_t from, to, step;
} Range;

static bool range_of(Scope *s, const Expr *e, Range *out)
{
    int64_t bound[3] = {0, 0, 1};
    if (e->kind != EXPR_CALL || !str_eq(e->text, "range") || e->n_arg < 1 || e->n_arg > 3) {
        build_error(s, e->loc,
                    "for goes over range(n), range(from, to) or range(from, to, "
                    "step)");
        return false;
    }
    int first = e->n_arg == 1;
    for (int i = 0; i < e->n_arg; i++)
        if (!expr_whole(s, e->arg[i], "a bound of range", &bound[first + i]))
            return false;
    *out = (Range){bound[0], bound[1], bound[2]};
    if (out->step)
        return true;
    build_error(s, e->loc, "the step of range is 0");
    return false;
}

static void run_for(Scope *s, const Stmt *stmt)
{
    Range r;
    if (!range_of(s, stmt->value, &r))
        return;
    int64_t n = 0;
    for (int64_t i = r.from; r.step > 0 ? i < r.to : i > r.to; i += r.step) {
        if (++n > BUILD_MAX_LOOP) {
            build_error(s, stmt->loc, "a for of more than %d turns", (int)BUILD_MAX_LOOP);
            return;
        }
        if (!build_go_on(s, stmt->loc))
            return;
        scope_bind(s, PLACE_LOOP, stmt->target[0]->text, value_number((double)i));
        block_run(s, stmt->arm[0].body);
    }
}

static void (*const by_kind[])(Scope *, const Stmt *) = {
    [STMT_ASSIGN] = run_assign,
    [STMT_IF] = run_if,
    [STMT_FOR] = run_for,
};

void block_run(Scope *s, Block block)
{
    for (int i = 0; i < block.n_stmt && !s->b->stopped; i++)
        by_kind[block.stmt[i]->kind](s, block.stmt[i]);
}
