/*
 * build_index.c — v[...]: NumPy's basic indexing with constants, and gathers by class.
 *
 * A number takes one place of its axis, which goes; a slice keeps the axis. Both become
 * one OP_SLICE of all axes and a reshape that drops those that went. A class stands first
 * and picks a row (or an element) at run time: OP_GATHER, then the rest as usual.
 */
#include "passes/build_room.h"

typedef struct {
    int64_t start[MAX_RANK], step[MAX_RANK];
    Shape cut;  /* with dropped axes as 1 */
    Shape kept; /* without them */
    bool whole; /* nothing was cut */
} Window;

/* One bound of a slice; `otherwise` when it is left out. */
static bool slice_bound(Scope *s, const Expr *e, int64_t n, int64_t otherwise, int64_t *out)
{
    *out = otherwise;
    if (!e)
        return true;
    Value v = expr_value(s, e);
    if (!value_whole(s, &v, "a bound of a slice", out))
        return false;
    if (*out < 0)
        *out += n;
    return true;
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static bool slice_axis(Scope *s, const Expr *e, int axis, int64_t n, Window *w)
{
    int64_t step = 1, from, to;
    if (e->arg[2]) {
        Value v = expr_value(s, e->arg[2]);
        if (!value_whole(s, &v, "the step of a slice", &step))
            return false;
    }
    if (!step) {
        build_error(s, e->loc, "the step of a slice is 0");
        return false;
    }
    bool up = step > 0;
    if (!slice_bound(s, e->arg[0], n, up ? 0 : n - 1, &from) ||
        !slice_bound(s, e->arg[1], n, up ? n : -1, &to))
        return false;
    from = up ? clamp(from, 0, n) : clamp(from, -1, n - 1);
    to = up ? clamp(to, 0, n) : clamp(to, -1, n - 1);
    int64_t span = up ? to - from : from - to, size = up ? step : -step;
    if (span <= 0) {
        build_error(s, e->loc, "the slice of an axis of %lld is empty", (long long)n);
        return false;
    }
    int64_t count = (span - 1) / size + 1;
    w->start[axis] = from, w->step[axis] = count > 1 ? step : 1;
    w->whole = w->whole && count == n && step == 1;
    w->cut.dim[axis] = count;
    w->kept.dim[w->kept.rank++] = count;
    return true;
}

static bool element_axis(Scope *s, const Expr *e, const Value *v, int axis, int64_t n,
                         Window *w)
{
    int64_t at;
    if (v->kind == VALUE_NODE) {
        build_error(s, e->loc,
                    v->type == KIND_CLASS
                        ? "a class indexes the first axis only"
                        : "an index is a constant or a class; this is known while running");
        return false;
    }
    if (!value_whole(s, v, "an index", &at))
        return false;
    if (at < -n || at >= n) {
        build_error(s, e->loc, "index %lld is out of bounds for an axis of %lld",
                    (long long)at, (long long)n);
        return false;
    }
    w->start[axis] = at < 0 ? at + n : at, w->step[axis] = 1;
    w->cut.dim[axis] = 1;
    w->whole = false;
    return true;
}

/* Indices e[first..] of a value of this shape. */
static bool window_of(Scope *s, const Expr *e, int first, Shape shape, Window *w)
{
    *w = (Window){.whole = true, .cut = shape};
    int n_index = e->n_arg - first;
    if (n_index > shape.rank) {
        build_error(s, e->loc, "%d indices for shape %s", n_index,
                    shape_print(s->b->arena, &shape));
        return false;
    }
    for (int axis = 0; axis < shape.rank; axis++) {
        const Expr *index = axis < n_index ? e->arg[first + axis] : NULL;
        int64_t n = shape.dim[axis];
        if (!index) {
            w->step[axis] = 1;
            w->kept.dim[w->kept.rank++] = n;
        } else if (index->kind == EXPR_SLICE) {
            if (!slice_axis(s, index, axis, n, w))
                return false;
        } else {
            Value v = expr_value(s, index);
            if (v.kind == VALUE_ERROR || !element_axis(s, index, &v, axis, n, w))
                return false;
        }
    }
    return true;
}

static Value gather(Scope *s, const Expr *e, const Value *table, const Value *class)
{
    Shape shape;
    if (!value_shape(s, table, &shape) || !shape.rank)
        return build_error(s, e->loc, "%s has no elements to choose from",
                           value_print(s, table));
    if (shape.dim[0] != class->classes)
        diag_warning(s->b->d, e->loc, "a class of %lld gathers from %lld rows",
                     (long long)class->classes, (long long)shape.dim[0]);
    Shape row = {.rank = shape.rank - 1};
    for (int i = 1; i < shape.rank; i++)
        row.dim[i - 1] = shape.dim[i];
    if (table->kind == VALUE_NUMBER)
        return value_fill(table->number, row);
    NodeId arg[] = {value_real(s, table), class->node};
    if (arg[0] == NO_NODE)
        return NOTHING;
    const char *why = NULL;
    Graph *g =
        s->b->g; /* a class given once a sequence is the same for each of its steps */
    arg[1] = graph_spread(g, arg[1], (Axes)(g->node[arg[1]].axes | g->node[arg[0]].axes));
    NodeId node = graph_try(g, OP_GATHER, 2, arg, &(Attr){0}, &why);
    return node == NO_NODE ? build_error(s, e->loc, "%s", why) : value_node(node);
}

static Value cut(Scope *s, const Value *v, const Window *w)
{
    Graph *g = s->b->g;
    if (w->whole)
        return *v;
    if (v->kind == VALUE_NUMBER)
        return value_fill(v->number, w->kept);
    NodeId node = value_real(s, v);
    if (node == NO_NODE)
        return NOTHING;
    node = graph_slice(g, node, w->start, w->step, w->cut);
    return value_node(graph_reshape(g, node, w->kept));
}

/* One part of a list, when the index is one number. */
static bool list_element(Scope *s, const Expr *e, const Value *list, Value *out)
{
    if (list->kind != VALUE_LIST || e->n_arg != 2 || e->arg[1]->kind == EXPR_SLICE)
        return false;
    Value v = expr_value(s, e->arg[1]);
    Window w = {.whole = true};
    if (v.kind == VALUE_NODE && v.type == KIND_CLASS)
        return false;
    *out = NOTHING;
    if (v.kind != VALUE_ERROR && element_axis(s, e->arg[1], &v, 0, list->n, &w))
        *out = list->item[w.start[0]];
    return true;
}

Value index_value(Scope *s, const Expr *e)
{
    Value v = expr_value(s, e->arg[0]), part;
    if (v.kind == VALUE_ERROR)
        return v;
    if (list_element(s, e, &v, &part))
        return part;
    int first = 1;
    if (e->arg[1]->kind != EXPR_SLICE) {
        Value index = expr_value(s, e->arg[1]);
        if (index.kind == VALUE_ERROR)
            return NOTHING;
        if (index.kind == VALUE_NODE && index.type == KIND_CLASS) {
            v = gather(s, e, &v, &index);
            first = 2;
        }
    }
    Shape shape;
    Window w;
    if (v.kind == VALUE_ERROR || (first == 2 && e->n_arg == 2))
        return v;
    if (!value_shape(s, &v, &shape))
        return build_error(s, e->loc, "%s cannot be indexed", value_print(s, &v));
    return window_of(s, e, first, shape, &w) ? cut(s, &v, &w) : NOTHING;
}
