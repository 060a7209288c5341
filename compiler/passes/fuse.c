/*
 * fuse.c — from schedule to plan: the procedures.
 *
 * What a procedure owes (its roots) is scheduled, placed (fuse_place.c) and made into
 * stages (fuse_nest.c) of nests (fuse_sweep.c); then what goes back to tables is copied.
 *
 * Values of parameters alone are persistent: they are computed by `pack`, which
 * runs when parameters were written, and stand for all other procedures.
 */
#include "passes/fuse.h"

#include "passes/fuse_room.h"

/* ---- what goes back to its tables ---- */

/* A sweep that copies one place to another, for values that go back to their tables. */
static void add_copy(Fuse *f, Nest *nest, Access from, Access to, const Shape *shape,
                     bool wide, int stage)
{
    Sweep *s = sweep_add(f, nest, shape);
    shape_strides(shape, from.stride), shape_strides(shape, to.stride);
    Instr load = {.kind = I_LOAD, .access = from, .wide = wide, .node = NO_NODE};
    int reg = instr_add(f, s, load, NULL);
    Instr store = {
        .kind = I_STORE, .access = to, .n_arg = 1, .wide = wide, .node = NO_NODE};
    instr_add(f, s, store, &reg);
    buffer_touch(f, from.buffer, stage);
    sweep_flatten(s);
}

/* From the slots of the states to a block: as the chunk leaves them, or finds them at
   save_at. */
static void copy_states(Fuse *f, Procedure *proc, When when, Home home)
{
    int id = proc->n_stage;
    Stage *stage = NULL;
    for (int i = 0; i < f->g->n_state; i++) {
        const State *s = &f->g->state[i];
        if (s->backward || s->next == NO_NODE || !f->s->needed[s->next])
            continue;
        if (!stage)
            stage = stage_add(f->p, proc, STAGE_ROWS);
        Buffer b = {.name = s->name,
                    .home = home,
                    .axes = AXIS_ROW,
                    .shape = s->shape,
                    .row_stride = shape_size(&s->shape),
                    .offset = block_offset(f->g, OP_CARRIED, i)};
        Access from = {.buffer = state_buffer_of(f, i), .when = when};
        Access to = {.buffer = buffer_add(f->p, b)};
        add_copy(f, nest_add(f->p, &stage->group[0]), from, to, &s->shape, false, id);
    }
}

/* Updates that could not be made in place go to their places when all else has been
   read. */
static void copy_update(Fuse *f, Procedure *proc, Stage **stage, NodeId leaf, NodeId next)
{
    if (next == NO_NODE || !f->s->needed[next] ||
        f->place[next].buffer == leaf_buffer_of(f, leaf))
        return;
    if (!*stage)
        *stage = stage_add(f->p, proc, STAGE_ONCE);
    const Node *n = &f->g->node[next];
    Access from = {.buffer = f->place[next].buffer},
           to = {.buffer = leaf_buffer_of(f, leaf)};
    Nest *nest = nest_add(f->p, &(*stage)->group[0]);
    add_copy(f, nest, from, to, &n->shape, n->wide, proc->n_stage - 1);
}

static void copy_updates(Fuse *f, Procedure *proc)
{
    Stage *stage = NULL;
    for (int i = 0; i < f->g->n_param; i++)
        copy_update(f, proc, &stage, f->g->param[i].leaf, f->g->param[i].next);
    for (int i = 0; i < f->g->n_optimizer; i++)
        copy_update(f, proc, &stage, f->g->optimizer[i].leaf, f->g->optimizer[i].next);
}

/* Tensor states of the optimizer begin filled with one value; its scalars are in the
   tables. */
static void fill_optimizer(Fuse *f, Procedure *proc)
{
    Stage *stage = NULL;
    for (int i = 0; i < f->g->n_optimizer; i++) {
        const OptimizerState *o = &f->g->optimizer[i];
        if (o->wide || o->leaf == NO_NODE)
            continue;
        if (!stage)
            stage = stage_add(f->p, proc, STAGE_ONCE);
        Nest *nest = nest_add(f->p, &stage->group[0]);
        Sweep *s = sweep_add(f, nest, &o->shape);
        Instr value = {.kind = I_CONSTANT,
                       .value = o->value,
                       .access = {.buffer = -1},
                       .node = NO_NODE};
        int reg = instr_add(f, s, value, NULL);
        Instr store = {.kind = I_STORE, .n_arg = 1, .node = NO_NODE};
        store.access = (Access){.buffer = leaf_buffer_of(f, o->leaf)};
        shape_strides(&o->shape, store.access.stride);
        instr_add(f, s, store, &reg);
        sweep_flatten(s);
    }
}

static Access result(Fuse *f, NodeId id, int stage)
{
    if (id == NO_NODE || !f->s->needed[id])
        return (Access){.buffer = -1};
    return access_of(f, id, stage);
}

/* A metric or running sum of this procedure: an evaluation's are all, training's some. */
static NodeId told(const Fuse *f, NodeId id, bool in_training)
{
    return f->id == PROC_EVAL || (f->id == PROC_GRAD && in_training) ? id : NO_NODE;
}

static void find_results(Fuse *f, Procedure *proc)
{
    int last = proc->n_stage;
    proc->loss = result(f, f->g->loss, last);
    proc->weight = result(f, f->g->weight, last);
    proc->gradient_norm = result(f, f->g->gradient_norm, last);
    proc->metric = NEW_ARRAY(f->p->arena, Access, f->g->n_metric + 1);
    for (int i = 0; i < f->g->n_metric; i++) {
        const Metric *m = &f->g->metric[i];
        proc->metric[i] = result(f, told(f, m->value, m->in_training), last);
        proc->n_metric = proc->metric[i].buffer < 0 ? proc->n_metric : i + 1;
    }
    proc->running = NEW_ARRAY(f->p->arena, Access, f->g->n_running + 1);
    for (int i = 0; i < f->g->n_running; i++) {
        const Running *sum = &f->g->running[i];
        proc->running[i] = result(f, told(f, sum->next, sum->in_training), last);
        proc->n_running = proc->running[i].buffer < 0 ? proc->n_running : i + 1;
    }
}

typedef struct {
    NodeId *id;
    int n, capacity;
} Roots;

/* What the procedure owes it computes, of parameters or not. */
static void owe(Fuse *f, Roots *r, NodeId id)
{
    if (id == NO_NODE || f->is_root[id])
        return;
    f->is_root[id] = true;
    f->given[id] = false;
    *PUSH(f->p->arena, r->id, r->n, r->capacity) = id;
}

static void owe_of_tables(Fuse *f, Roots *r)
{
    const Graph *g = f->g;
    for (int i = 0; i < g->n_param; i++)
        owe(f, r,
            f->id == PROC_GRAD     ? g->param[i].gradient
            : f->id == PROC_UPDATE ? g->param[i].next
            : f->id == PROC_INIT   ? g->param[i].init
                                   : NO_NODE);
    for (int i = 0; f->id == PROC_UPDATE && i < g->n_optimizer; i++)
        owe(f, r, g->optimizer[i].next);
    if (f->id == PROC_UPDATE)
        owe(f, r, g->gradient_norm);
    for (NodeId id = 0; f->packing && id < g->n_node; id++)
        if (f->root_of_pack[id])
            owe(f, r, id);
}

static Roots find_roots(Fuse *f)
{
    const Graph *g = f->g;
    Roots r = {0};
    bool steps = f->id == PROC_GRAD || f->id == PROC_EVAL || f->id == PROC_STEP;
    for (int i = 0; steps && i < g->n_state; i++)
        if (!g->state[i].backward)
            owe(f, &r, g->state[i].next), owe(f, &r, g->state[i].entry);
    if (f->id == PROC_GRAD || f->id == PROC_EVAL)
        owe(f, &r, g->loss), owe(f, &r, g->weight);
    if (f->id == PROC_STEP)
        owe(f, &r, g->output);
    for (int i = 0; i < g->n_metric; i++)
        owe(f, &r, told(f, g->metric[i].value, g->metric[i].in_training));
    for (int i = 0; i < g->n_running; i++)
        owe(f, &r, told(f, g->running[i].next, g->running[i].in_training));
    owe_of_tables(f, &r);
    return r;
}

/* Persistent values that this procedure reads get their places now; `pack` computes
   them. */
static void note_persistent(Fuse *f)
{
    const Schedule *s = f->s;
    for (int i = 0; i < s->n_order; i++) {
        const Node *n = &f->g->node[s->order[i]];
        for (int k = 0; k < n->n_arg; k++) {
            NodeId base = view_base(f->g, n->arg[k]);
            if (!f->given[base] || f->root_of_pack[base])
                continue;
            f->root_of_pack[base] = true;
            Buffer b = {.name = value_name(f, base),
                        .loc = f->g->node[base].loc,
                        .home = HOME_WORKSPACE,
                        .persistent = true,
                        .shape = f->g->node[base].shape,
                        .element = value_element(f, base)};
            f->lasting[base] = (Place){.buffer = buffer_add(f->p, b), .dense = true};
        }
    }
}

static void begin_procedure(Fuse *f, ProcId id)
{
    Arena *arena = f->p->arena;
    int n = f->g->n_node + 1;
    f->id = id, f->packing = id == PROC_PACK;
    f->given = NEW_ARRAY(arena, bool, n);
    bool reads = id == PROC_GRAD || id == PROC_EVAL || id == PROC_STEP;
    for (NodeId i = 0; reads && i < f->g->n_node; i++)
        f->given[i] = f->of_params[i] && op_defs[f->g->node[i].op]->family != FAMILY_LEAF &&
                      !op_is_view(f->g->node[i].op);
    f->place = NEW_ARRAY(arena, Place, n);
    f->leaf = NEW_ARRAY(arena, int, n);
    f->reg = NEW_ARRAY(arena, int, n);
    f->state_buffer = NEW_ARRAY(arena, int, f->g->n_state + 1);
    f->is_root = NEW_ARRAY(arena, bool, n);
    Roots root = find_roots(f);
    f->s = schedule_make(arena, f->p, f->g, f->stages, root.id, root.n, f->given);
}

static void make_procedure(Fuse *f, ProcId id)
{
    begin_procedure(f, id);
    Procedure *proc = &f->p->proc[id];
    if (!f->packing)
        note_persistent(f);
    places_make(f);
    stages_make(f, proc);
    copy_states(f, proc, AT_END, HOME_STATE_OUT);
    if (id == PROC_GRAD && f->g->tbptt_step)
        copy_states(f, proc, AT_SAVE, HOME_STATE_SAVED);
    if (id == PROC_UPDATE)
        copy_updates(f, proc);
    if (id == PROC_INIT)
        fill_optimizer(f, proc);
    find_results(f, proc);
}

/* ---- which values are of parameters alone ---- */

static void find_of_params(Fuse *f)
{
    const Graph *g = f->g;
    f->of_params = NEW_ARRAY(f->p->arena, bool, g->n_node + 1);
    for (NodeId id = 0; id < g->n_node; id++) {
        const Node *n = &g->node[id];
        bool leaf = n->op == OP_PARAM || n->op == OP_CONSTANT || n->op == OP_IOTA;
        bool phase = n->phase == PHASE_FORWARD || n->phase == PHASE_BACKWARD;
        bool all = n->n_arg > 0 && n->axes == 0 && phase;
        for (int i = 0; all && i < n->n_arg; i++)
            all = f->of_params[n->arg[i]];
        f->of_params[id] = leaf || all;
    }
    /* The parts of a concatenation stand where it stands: they are made where it is. A part
       that others read too is made once more for them: `pack` leaves the whole. */
    for (NodeId id = 0; id < g->n_node; id++)
        for (int i = 0; g->node[id].op == OP_CONCAT && i < g->node[id].n_arg; i++)
            f->of_params[g->node[id].arg[i]] = false;
}

/* ---- the pass ---- */

Plan *fuse_pass(Arena *arena, const Graph *g, const Stages *stages,
                const PlanTarget *target, bool fuse, int64_t steps_max, int64_t rows_max)
{
    Plan *p = NEW(arena, Plan);
    *p = (Plan){.arena = arena,
                .graph = g,
                .target = *target,
                .fuse = fuse,
                .steps_max = steps_max,
                .rows_max = rows_max,
                .threads_max = PLAN_MAX_THREADS};
    Fuse f = {.p = p, .g = g, .stages = stages};
    f.lasting = NEW_ARRAY(arena, Place, g->n_node + 1);
    f.root_of_pack = NEW_ARRAY(arena, bool, g->n_node + 1);
    find_of_params(&f);
    static const ProcId order[] = {PROC_GRAD,   PROC_EVAL, PROC_STEP,
                                   PROC_UPDATE, PROC_INIT, PROC_PACK};
    for (int i = 0; i < COUNT(order); i++)
        make_procedure(&f, order[i]);
    plan_size(p);
    return p;
}
