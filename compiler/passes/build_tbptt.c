/*
 * build_tbptt.c — the variants of truncated BPTT, rewritten into the step before it is
 * differentiated; nothing behind the build pass knows of them.
 *
 *     found   = where(reset, initial, leaf)             at a chunk's first step the leaf is
 *                                                       where(start, initial, carried)
 *     left    = where(within, next, leaf)               within: t < length of the row
 *     left    = where(warm, left, detach(left))         warm: age of the row ≥ burn_in
 *     counts  = within and warm and whole and new       new: no old step of the window
 *     x       = where(|x| ≤ largest, x, 0)              whole: true of all reals given
 *
 * A reset's `where` sends the cotangent to the initial value and none to the step before:
 * the cut is its derivative. `age` is a state of the model's own, the steps since the row
 * began, as far as burn_in: so a burn-in goes on over chunks and batches as the other
 * states do, and begins again with a reset. A step that does not count has value and
 * weight 0 in every loss and metric. Masks that a spec does not ask for are not there.
 */
#include "passes/build_room.h"

#include <float.h>

static NodeId both(Graph *g, NodeId a, NodeId b)
{
    return a == NO_NODE ? b : b == NO_NODE ? a : graph_map2(g, OP_AND, a, b);
}

static NodeId step_number(Graph *g, StepCount from)
{
    return graph_add(g, OP_STEP, 0, NULL, &(Attr){.index = (int)from});
}

/* ---- inputs that `tbptt:` names ---- */

static const Input *find_input(Scope *model, const char *key, const Tree *name)
{
    Build *b = model->b;
    Graph *g = b->g;
    const char **known = NEW_ARRAY(b->arena, const char *, g->n_input);
    for (int i = 0; i < g->n_input; i++) {
        known[i] = g->input[i].name;
        if (str_eq(known[i], name->text))
            return &g->input[i];
    }
    build_error(model, name->loc, "tbptt.%s: there is no input '%s'%s", key, name->text,
                build_hint(b, name->text, known, g->n_input));
    return NULL;
}

/* The leaf of the input that `tbptt.KEY` names, of one number of this kind; NO_NODE where
   none is named, and after a mistake. */
static NodeId named_input(Scope *model, const char *key, const Tree *name, InputKind kind,
                          bool per_sequence, const char *declared_so)
{
    const Input *in = name ? find_input(model, key, name) : NULL;
    if (!in)
        return NO_NODE;
    if (in->kind == (int)kind && in->per_sequence == per_sequence && in->shape.rank == 0)
        return in->leaf;
    build_error(model, name->loc, "tbptt.%s: input '%s' is %s%s, given %s; declare it %s",
                key, in->name, kind_word((Kind)in->kind),
                in->shape.rank ? shape_print(model->b->arena, &in->shape) : "",
                in->per_sequence ? "once a sequence" : "each step", declared_so);
    return NO_NODE;
}

/* ---- missing numbers ---- */

/* Comparisons with NaN are false, and infinity is more than the largest number. */
NodeId tbptt_mask(Build *b, NodeId reals)
{
    Graph *g = b->g;
    NodeId zero = graph_constant(g, 0), one = graph_constant(g, 1);
    NodeId largest = graph_constant(g, g->dtype == RNN_F64 ? DBL_MAX : (double)FLT_MAX);
    NodeId there = graph_map2(g, OP_LE, graph_map1(g, OP_ABS, reals), largest);
    NodeId missing = graph_map3(g, OP_WHERE, there, zero, one);
    int rank = g->node[reals].shape.rank;
    if (rank)
        missing = graph_reduce(g, OP_SUM, missing, (1u << rank) - 1);
    b->tbptt.whole = both(g, b->tbptt.whole, graph_map2(g, OP_LT, missing, one));
    return graph_map3(g, OP_WHERE, there, reals, zero);
}

/* ---- states ---- */

NodeId tbptt_start(Build *b)
{
    if (b->start == NO_NODE)
        b->start = graph_add(b->g, OP_START, 0, NULL, &(Attr){0});
    return b->start;
}

int tbptt_add_state(Build *b, const char *name, Shape shape, NodeId initial)
{
    Graph *g = b->g;
    int index = g->n_state;
    Attr attr = {.index = index, .shape = shape, .axes = AXES_ALL};
    NodeId carried = graph_add(g, OP_CARRIED, 0, NULL, &attr);
    NodeId entry = graph_map3(g, OP_WHERE, tbptt_start(b), initial, carried);
    NodeId leaf = graph_add(g, OP_STATE, 0, NULL, &attr);
    *PUSH(g->arena, g->state, g->n_state, g->state_capacity) = (State){.name = name,
                                                                       .shape = shape,
                                                                       .leaf = leaf,
                                                                       .entry = entry,
                                                                       .next = NO_NODE,
                                                                       .carried = carried};
    NodeId reset = b->tbptt.reset;
    *PUSH(b->arena, b->found, b->n_found, b->found_capacity) =
        reset == NO_NODE ? leaf : graph_map3(g, OP_WHERE, reset, initial, leaf);
    return index;
}

NodeId tbptt_leave_state(Build *b, int index, NodeId next)
{
    Graph *g = b->g;
    const Tbptt *t = &b->tbptt;
    if (t->within != NO_NODE)
        next = graph_map3(g, OP_WHERE, t->within, next, g->state[index].leaf);
    if (t->warm != NO_NODE)
        next = graph_map3(g, OP_WHERE, t->warm, next, graph_map1(g, OP_DETACH, next));
    return g->state[index].next = graph_spread(g, next, AXES_ALL);
}

/* The steps since the row began, at most burn_in; whether they are as many. */
static NodeId add_age(Build *b, int64_t burn_in)
{
    Graph *g = b->g;
    NodeId enough = graph_constant(g, (double)burn_in);
    int age = tbptt_add_state(b, "tbptt.age", (Shape){0}, graph_constant(g, 0));
    NodeId older = graph_map2(g, OP_ADD, b->found[age], graph_constant(g, 1));
    tbptt_leave_state(b, age, graph_map2(g, OP_MIN, older, enough));
    NodeId between = graph_constant(g, (double)burn_in - 0.5); /* no age is near it */
    return graph_map2(g, OP_LT, between, b->found[age]);
}

/* ---- the pass's questions ---- */

void tbptt_build(Scope *model)
{
    Build *b = model->b;
    Graph *g = b->g;
    const Spec *spec = b->spec;
    Tbptt *t = &b->tbptt;
    Loc outer = g->loc;
    if (spec->tbptt)
        g->loc = spec->tbptt->loc;
    t->reset = named_input(model, "reset", spec->tbptt_reset, INPUT_FLAG, false, "flag");
    NodeId length = named_input(model, "lengths", spec->tbptt_lengths, INPUT_INTEGER, true,
                                "{kind: integer, per: sequence}");
    if (length != NO_NODE)
        t->within = graph_map2(g, OP_LT, step_number(g, STEP_OF_BATCH), length);
    if (spec->tbptt_burn_in)
        t->warm = add_age(b, spec->tbptt_burn_in);
    t->counts = both(g, both(g, t->within, t->warm), t->whole);
    g->tbptt_step = spec->tbptt_window > spec->tbptt_step ? spec->tbptt_step : 0;
    if (!spec->tbptt_loss_all)
        tbptt_count_new(b);
    g->loc = outer;
}

void tbptt_count_new(Build *b)
{
    Graph *g = b->g;
    if (!g->tbptt_step || b->tbptt.counts_new)
        return;
    NodeId zero = graph_constant(g, 0);
    NodeId fresh = graph_map2(g, OP_LE, zero, step_number(g, STEP_OF_LOSS));
    b->tbptt.counts = both(g, b->tbptt.counts, fresh);
    b->tbptt.counts_new = true;
}

NodeId tbptt_training(Build *b)
{
    Graph *g = b->g;
    NodeId training = graph_add(g, OP_TRAINING, 0, NULL, &(Attr){.wide = true});
    return both(g, training, b->tbptt.warm);
}

NodeId tbptt_counted(Build *b, NodeId per_step)
{
    Graph *g = b->g;
    per_step = graph_spread(g, per_step, AXES_ALL);
    if (b->tbptt.counts == NO_NODE)
        return per_step;
    return graph_map3(g, OP_WHERE, b->tbptt.counts, per_step, graph_constant(g, 0));
}

NodeId tbptt_more_steps(Build *b, int n)
{
    Graph *g = b->g;
    NodeId wanted = graph_constant(g, n);
    if (b->tbptt.warm != NO_NODE) {
        NodeId steps = graph_total(g, b->tbptt.warm, AXIS_TIME);
        NodeId rows = graph_total(g, graph_map2(g, OP_LT, wanted, steps), AXIS_ROW);
        return graph_map2(g, OP_LT, graph_constant(g, 0), rows);
    }
    return graph_map2(g, OP_LT, wanted, graph_extent(g, AXIS_TIME));
}

NodeId tbptt_any_start(Build *b)
{
    Graph *g = b->g;
    NodeId count = graph_total(g, tbptt_start(b), AXIS_ROW);
    if (b->tbptt.reset != NO_NODE) {
        NodeId begins = both(g, b->tbptt.reset, b->tbptt.within);
        count = graph_map2(g, OP_ADD, count, graph_total(g, begins, AXES_ALL));
    }
    return graph_map2(g, OP_LT, graph_constant(g, 0), count);
}
