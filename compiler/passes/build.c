/*
 * build.c — the build pass: a typed spec becomes the graph of one step.
 *
 *     inputs      leaves, one for each input of the spec
 *     model       evaluated like any cell: parameters and states come to be on the way
 *     output      the model's value
 *     loss        Σ value / Σ weight, axes none; then metrics
 *     optimizer   w' of every trained parameter, and the optimizer's states
 *
 * This order is the graph's: operands stand before users. Parameters are listed as they
 * are made, which is how PyTorch lists a module's.
 */
#include "passes/build_room.h"

/* ---- inputs ---- */

static bool class_count(Scope *s, const InputDecl *decl, int64_t *out)
{
    if (!decl->classes) {
        build_error(s, decl->loc, "class of input '%s' needs a number: class(n)",
                    decl->name);
        return false;
    }
    if (!expr_whole(s, decl->classes, "the number of classes", out))
        return false;
    if (*out >= 1 && *out <= 1 << 24) /* classes are held as floats: whole to 2^24 */
        return true;
    build_error(s, decl->classes->loc, "a class of %lld; it has 1 to 16777216 values",
                (long long)*out);
    return false;
}

static void add_input(Scope *s, const InputDecl *decl)
{
    Graph *g = s->b->g;
    Input input = {.name = decl->name,
                   .kind = (int)decl->kind,
                   .has_ignore = decl->has_ignore,
                   .ignore = decl->ignore,
                   .per_sequence = decl->per_sequence,
                   .masked = s->b->spec->data_masks && decl->kind == KIND_REAL};
    g->loc = decl->loc;
    bool ok = expr_shape(s, &decl->shape, &input.shape);
    if (decl->kind == KIND_CLASS)
        ok = class_count(s, decl, &input.classes) && ok;
    if (!ok) {
        scope_bind(s, PLACE_INPUT, decl->name, NOTHING);
        return;
    }
    Attr attr = {.index = g->n_input,
                 .shape = input.shape,
                 .axes = decl->per_sequence ? AXIS_ROW : AXES_ALL};
    input.leaf = graph_add(g, OP_INPUT, 0, NULL, &attr);
    *PUSH(g->arena, g->input, g->n_input, g->input_capacity) = input;
    NodeId node = input.masked ? tbptt_mask(s->b, input.leaf) : input.leaf;
    Value v = value_typed(node, decl->kind == KIND_INTEGER ? KIND_REAL : decl->kind);
    v.classes = input.classes;
    v.may_be_ignored = input.has_ignore;
    scope_bind(s, PLACE_INPUT, decl->name, v);
}

/* Inputs that neither the output nor a state needs are the loss's (and the metrics'). */
static void mark_loss_inputs(Build *b)
{
    Graph *g = b->g;
    NodeId *root = NEW_ARRAY(b->arena, NodeId, 2 * g->n_state + 1);
    int n = 0;
    root[n++] = g->output;
    for (int i = 0; i < g->n_state; i++)
        root[n++] = g->state[i].next, root[n++] = g->state[i].entry;
    bool *used = reach_from(b, root, n, (ReachRule){.entry = true});
    for (int i = 0; i < g->n_input; i++)
        g->input[i].for_loss_only = !used[g->input[i].leaf];
}

static void warn_of_unused_inputs(Build *b, const bool *used)
{
    const Graph *g = b->g;
    const Tree *asked[] = {b->spec->tbptt_reset, b->spec->tbptt_lengths};
    for (int i = 0; i < g->n_input; i++) {
        bool named = used[g->input[i].leaf];
        for (int k = 0; k < COUNT(asked); k++)
            named = named || (asked[k] && str_eq(asked[k]->text, g->input[i].name));
        if (!named)
            diag_warning(b->d, g->node[g->input[i].leaf].loc, "input '%s' is never used",
                         g->input[i].name);
    }
}

/* Nothing in them has been looked at but their keys. */
static void warn_of_uncalled(Build *b)
{
    static const char *const kinds[] = {[DEF_CELL] = "cell",
                                        [DEF_FUNCTION] = "function",
                                        [DEF_LOSS] = "loss",
                                        [DEF_OPTIMIZER] = "optimizer"};
    for (int i = 0; i < b->spec->n_def; i++) {
        const Def *def = &b->spec->def[i];
        if (!def->library && !b->called[i])
            diag_warning(b->d, def->loc,
                         "%s '%s' is never called: its lines were not "
                         "checked",
                         kinds[def->kind], def->name);
    }
}

/* What neither the output nor a loss or metric depends on; of a state, what the step before
   has left in it. */
static void warn_of_unused(Build *b)
{
    Graph *g = b->g;
    NodeId *root = NEW_ARRAY(b->arena, NodeId, g->n_metric + 2);
    int n = 0;
    root[n++] = g->output, root[n++] = g->loss;
    for (int i = 0; i < g->n_metric; i++)
        root[n++] = g->metric[i].value;
    bool *used = reach_from(b, root, n, (ReachRule){.entry = true});
    for (int i = 0; i < g->n_param; i++)
        if (!used[g->param[i].leaf])
            diag_warning(b->d, g->param[i].loc, "parameter '%s' is never used",
                         g->param[i].name);
    for (int i = 0; i < g->n_state; i++)
        if (!used[g->state[i].leaf])
            diag_warning(
                b->d, g->node[g->state[i].leaf].loc,
                "state '%s' is never used: no step reads what the step before left",
                g->state[i].name);
    warn_of_unused_inputs(b, used);
}

/* ---- the model ---- */

static NodeId model_output(Scope *s)
{
    const Def *model = s->def;
    Value v = call_output(s);
    s->b->g->loc = model->output ? model->output->loc : model->loc;
    if (v.kind == VALUE_LIST || v.kind == VALUE_NODE || v.kind == VALUE_NUMBER)
        return v.kind == VALUE_NODE && v.type == KIND_CLASS ? v.node : value_narrow(s, &v);
    return NO_NODE;
}

static void build_model(Scope *s)
{
    Build *b = s->b;
    for (int i = 0; i < b->spec->n_input; i++)
        add_input(s, &b->spec->input[i]);
    tbptt_build(s);
    cell_declare_params(s);
    cell_declare_states(s, NULL);
    block_run(s, s->def->step);
    cell_close_states(s);
    if (!b->stopped)
        b->g->output = model_output(s);
}

Graph *build_pass(Arena *arena, Diag *d, const Spec *spec)
{
    int errors = diag_errors(d);
    Naming *root = NEW(arena, Naming);
    Build b = {.arena = arena,
               .d = d,
               .spec = spec,
               .g = graph_new(arena, spec->name),
               .start = NO_NODE,
               .training = NO_NODE,
               .tbptt = {NO_NODE, NO_NODE, NO_NODE, NO_NODE, NO_NODE, false},
               .gradient_norm = NO_NODE};
    b.g->dtype = str_eq(spec_text(spec, "dtype", "f32"), "f64") ? RNN_F64 : RNN_F32;
    b.use = NEW_ARRAY(arena, uint8_t *, spec->n_def);
    b.called = NEW_ARRAY(arena, bool, spec->n_def);
    Scope *model = scope_new(&b, NULL, spec->model, (Loc){0});
    model->naming = root;
    build_model(model);
    if (!b.stopped)
        loss_build(model);
    if (!b.stopped)
        metrics_build(model);
    if (!b.stopped)
        optimizer_build(model);
    if (diag_errors(d) > errors)
        return NULL;
    refuse_bare_reads(&b);
    if (diag_errors(d) > errors)
        return NULL;
    mark_loss_inputs(&b);
    warn_of_unused(&b);
    warn_of_uncalled(&b);
    warn_of_untaken_branches(&b);
    return b.g;
}
