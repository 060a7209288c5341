/*
 * build_loss.c — the loss and the metrics: per-step values become numbers of the chunk.
 *
 * A loss gives a value and a weight for one step of one row; its number is Σ value / Σ
 * weight, 0 where no weight counts. In `loss:` every largest part that holds no loss is a
 * per-step value too and counts with its plain average. Weights that are known make Σ
 * weight an extent of the chunk. Sums go over the steps that count (build_tbptt.c).
 */
#include "passes/build_room.h"

#include <string.h>

bool loss_is_called(Scope *s, const Expr *e)
{
    if (!e)
        return false;
    if (e->kind == EXPR_CALL) {
        Callee callee = callee_find(s, e->text);
        if (callee.kind == CALLEE_DEF && callee.def->kind == DEF_LOSS)
            return true;
    }
    for (int i = 0; i < e->n_arg; i++)
        if (loss_is_called(s, e->arg[i]))
            return true;
    return false;
}

/* ---- sums over the chunk ---- */

static Value summed(Scope *s, const Value *v)
{
    Graph *g = s->b->g;
    NodeId node = value_narrow(s, v);
    if (node == NO_NODE)
        return NOTHING;
    return value_node(graph_total(g, tbptt_counted(s->b, node), AXES_ALL));
}

static bool all_count(const Scope *s) { return s->b->tbptt.counts == NO_NODE; }

/* How many steps of rows the chunk has, of those that count. */
static Value extent(Scope *s)
{
    Value one = value_number(1);
    if (!all_count(s))
        return summed(s, &one);
    return value_node(
        graph_add(s->b->g, OP_EXTENT, 0, NULL, &(Attr){.axes = AXES_ALL, .wide = true}));
}

static Value weight_total(Scope *s, const Value *weight)
{
    if (weight->kind != VALUE_NUMBER)
        return summed(s, weight);
    return value_map(s, OP_MUL, 2, (Value[]){extent(s), *weight});
}

/* total / weight, and 0 (with no gradient) where the weight is 0. */
static Value guarded(Scope *s, Value total, Value weight, bool may_be_zero)
{
    Value zero = value_number(0), one = value_number(1);
    if (!may_be_zero)
        return value_map(s, OP_DIV, 2, (Value[]){total, weight});
    Value none = value_map(s, OP_EQ, 2, (Value[]){weight, zero});
    Value safe = value_where(s, &none, &one, &weight);
    Value ratio = value_map(s, OP_DIV, 2, (Value[]){total, safe});
    return value_where(s, &none, &zero, &ratio);
}

Value loss_average(Scope *s, const Value *v)
{
    if (v->kind == VALUE_ERROR || !value_axes(s, v))
        return *v;
    return guarded(s, summed(s, v), extent(s), !all_count(s));
}

/* ---- a loss ---- */

static Value single_number(Scope *s, const Expr *e, Value v, const char *what)
{
    Shape shape;
    if (v.kind == VALUE_ERROR || (value_shape(s, &v, &shape) && shape.rank == 0))
        return v;
    return build_error(s, e->loc,
                       "the %s of '%s' is %s; it must be a single number: mean(…)", what,
                       s->def->name, value_print(s, &v));
}

/* Value and weight of one step of one row. */
static bool evaluate(Scope *s, Call *call, Value *value, Value *weight)
{
    const Def *def = s->def;
    if (!call_has_inputs_only(s, call))
        return false;
    call_bind_given(s, call);
    call_bind_defaults(s, false);
    call_bind_inputs(s, call);
    if (!scope_has_error(s)) /* else dimensions may be missing */
        call_bind_defaults(s, true);
    call_end(s, call);
    if (scope_has_error(s))
        return false;
    block_run(s, def->step);
    if (!def->value) {
        build_error(s, def->loc, "loss '%s' has no value", def->name);
        return false;
    }
    *value = single_number(s, def->value, expr_value(s, def->value), "value");
    *weight = def->weight
                  ? single_number(s, def->weight, expr_value(s, def->weight), "weight")
                  : value_number(1);
    return value->kind != VALUE_ERROR && weight->kind != VALUE_ERROR;
}

static void check_weight(Scope *s, const Value *weight)
{
    Build *b = s->b;
    if (weight->kind != VALUE_NODE)
        return;
    bool *used =
        reach_from(b, &weight->node, 1, (ReachRule){.entry = true, .gradient = true});
    for (int i = 0; i < b->g->n_param; i++)
        if (used[b->g->param[i].leaf]) {
            build_error(s, s->def->weight->loc,
                        "the weight of '%s' depends on parameter '%s'; weights depend on "
                        "inputs alone",
                        s->def->name, b->g->param[i].name);
            return;
        }
}

/* Adds to the Σ weight of the whole loss. */
static void count_weight(Scope *s, const Value *weight, const Value *total)
{
    Build *b = s->b;
    if (!b->has_loss_weight)
        b->loss_weight = *weight, b->has_loss_weight = true;
    b->weight_sum = b->has_weight_sum
                        ? value_map(s, OP_ADD, 2, (Value[]){b->weight_sum, *total})
                        : *total;
    b->has_weight_sum = true;
}

Value loss_call(Scope *s, const Expr *e, const Def *def)
{
    static const Naming names = {.prefix = "loss"};
    Value value, weight;
    bool averages = s->averages;
    Scope *callee = scope_new(s->b, s, def, e->loc);
    callee->scalars = averages ? &names : NULL;
    s->averages = false;
    Call call = call_begin(s, e);
    bool ok =
        !call_is_recursive(s, def, e->loc) && evaluate(callee, &call, &value, &weight);
    s->averages = averages;
    if (!ok)
        return NOTHING;
    check_weight(callee, &weight);
    Value total = weight_total(s, &weight);
    if (averages)
        count_weight(s, &weight, &total);
    bool may_be_zero = weight.kind != VALUE_NUMBER || !all_count(s);
    return guarded(s, summed(s, &value), total, may_be_zero);
}

/* ---- the loss expression ---- */

static NodeId chunk_number(Scope *s, const char *what, const Expr *e, const Value *v)
{
    Shape shape;
    Graph *g = s->b->g;
    NodeId node = value_narrow(s, v);
    if (node == NO_NODE)
        return NO_NODE;
    shape = g->node[node].shape;
    if (shape.rank) {
        build_error(s, e->loc, "%s is %s; it must be a single number: mean(…)", what,
                    shape_print(s->b->arena, &shape));
        return NO_NODE;
    }
    if (!g->node[node].axes)
        return node;
    build_error(s, e->loc, "%s is still one for each step: average(…) or total(…)", what);
    return NO_NODE;
}

void loss_build(Scope *model)
{
    Build *b = model->b;
    Graph *g = b->g;
    const Expr *e = b->spec->loss;
    if (!e)
        return;
    model->losses = model->averages = true;
    Value v = expr_value(model, e);
    model->losses = model->averages = false;
    g->loc = e->loc;
    if (v.kind == VALUE_NUMBER)
        v = build_error(model, e->loc, "the loss is the constant %g", v.number);
    g->loss = chunk_number(model, "the loss", e, &v);
    Value weight = b->has_weight_sum ? b->weight_sum : extent(model);
    g->weight = value_narrow(model, &weight);
}

/* ---- metrics ---- */

/* average(v): of metrics, weighted as the loss is; in the loss itself that would hang on
   which of its terms stand before. */
Value loss_average_call(const Builtin *f, const BuiltinCall *call)
{
    Scope *s = call->s;
    const Value *v = call->v;
    (void)f;
    const Build *b = s->b;
    bool in_loss = b->g->loss == NO_NODE;
    bool plain = in_loss || !b->has_loss_weight || b->loss_weight.kind == VALUE_NUMBER;
    NodeId node = value_narrow(s, v);
    if (node == NO_NODE || !b->g->node[node].axes)
        return node == NO_NODE ? NOTHING : *v;
    if (plain)
        return loss_average(s, &(Value){.kind = VALUE_NODE, .node = node});
    const Value *weight = &b->loss_weight;
    Value part = value_map(s, OP_MUL, 2, (Value[]){value_node(node), *weight});
    return guarded(s, summed(s, &part), weight_total(s, weight), true);
}

/* total(v): Σ over steps and rows. */
Value loss_total_call(const Builtin *f, const BuiltinCall *call)
{
    (void)f;
    if (loss_is_called(call->s, call->e))
        return build_error(call->s, call->e->loc,
                           "total of a loss: a loss is averaged, average(…)");
    return summed(call->s, call->v);
}

static void add_metric(Graph *g, const char *name, NodeId value, bool in_training)
{
    *PUSH(g->arena, g->metric, g->n_metric, g->metric_capacity) =
        (Metric){.name = name, .value = value, .in_training = in_training};
}

static void build_metric(Scope *model, const Named *metric)
{
    Graph *g = model->b->g;
    Value v = expr_value(model, metric->value);
    g->loc = metric->value->loc;
    NodeId chunk = chunk_number(model, "the metric", metric->value, &v);
    NodeId node = chunk == NO_NODE ? NO_NODE : metric_of_all_chunks(g, chunk);
    if (node == NO_NODE && chunk != NO_NODE)
        build_error(model, metric->value->loc,
                    "the metric sums tensors of more numbers than are kept from chunk to "
                    "chunk; sum over features first: total(sum(…))");
    add_metric(g, metric->name, node, true);
}

/* An evaluation's loss is that of all its steps, as a metric is. Training needs none. */
static void evaluate_loss(Build *b)
{
    Graph *g = b->g;
    for (int i = 0; i < g->n_metric; i++)
        if (strcmp(g->metric[i].name, "loss") == 0)
            return;
    if (g->loss == NO_NODE)
        return;
    g->loc = b->spec->loss->loc;
    NodeId node = metric_of_all_chunks(g, g->loss);
    if (node != NO_NODE)
        add_metric(g, "loss", node, false);
    else
        diag_warning(b->d, g->loc,
                     "an evaluation will have no loss: this one sums tensors of more "
                     "numbers than are kept from chunk to chunk; sum over features first, "
                     "or write a metric 'loss'");
}

void metrics_build(Scope *model)
{
    const Spec *spec = model->b->spec;
    if (spec->n_metric) /* a step is in several windows, in an epoch once */
        tbptt_count_new(model->b);
    model->losses = true;
    for (int i = 0; i < spec->n_metric; i++)
        build_metric(model, &spec->metric[i]);
    for (int i = 0; i < model->b->g->n_running; i++)
        model->b->g->running[i].in_training = true;
    model->losses = false;
    evaluate_loss(model->b);
}
