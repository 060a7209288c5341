/*
 * fuse_sweep.c — sweeps: a loop over an index space, its instructions one for each node.
 *
 * A sweep reads what it needs first, computes in registers, stores at its end. Views become
 * the strides of loads. Sums over points begin in sweeps of their own, which store zeros.
 */
#include "passes/fuse_room.h"

#include <string.h>

/* ---- instructions ---- */

int instr_add(Fuse *f, Sweep *sweep, Instr instr, const int *arg)
{
    instr.arg = NEW_ARRAY(f->p->arena, int, instr.n_arg + 1);
    for (int i = 0; i < instr.n_arg; i++)
        instr.arg[i] = arg[i];
    *PUSH(f->p->arena, sweep->instr, sweep->n_instr, sweep->instr_capacity) = instr;
    return sweep->n_instr - 1;
}

static bool same_access(const Access *a, const Access *b)
{
    return a->buffer == b->buffer && a->when == b->when && a->shift == b->shift &&
           a->offset == b->offset && memcmp(a->stride, b->stride, sizeof a->stride) == 0;
}

/* The same value read twice is read once, unless something was stored between: a sweep's
   stores stand at its end. */
static int add_read(Fuse *f, Sweep *sweep, Instr instr)
{
    for (int i = 0; i < sweep->n_instr; i++) {
        const Instr *o = &sweep->instr[i];
        if (o->kind == instr.kind && o->value == instr.value && o->index == instr.index &&
            o->axes == instr.axes && o->wide == instr.wide && o->n_arg == 0 &&
            same_access(&o->access, &instr.access))
            return i;
    }
    return instr_add(f, sweep, instr, NULL);
}

static int read_inline(Fuse *f, Sweep *sweep, const View *v, bool wide)
{
    const Node *n = &f->g->node[v->base];
    Instr in = {.index = n->attr.index,
                .value = n->attr.value,
                .axes = n->attr.axes,
                .wide = wide,
                .node = v->base};
    in.access = (Access){.buffer = -1, .offset = v->offset};
    memcpy(in.access.stride, v->stride, sizeof v->stride);
    if (n->op == OP_CONSTANT) {
        in.kind = I_CONSTANT;
        in.access = (Access){.buffer = -1};
    } else if (n->op == OP_STEP) {
        in.kind = I_STEP;
        in.access = (Access){.buffer = -1};
    } else if (n->op == OP_EXTENT || n->op == OP_TRAINING) {
        in.kind = n->op == OP_EXTENT ? I_EXTENT : I_TRAINING;
        in.access = (Access){.buffer = -1};
        in.wide = true;
    } else {
        in.kind = n->op == OP_IOTA ? I_IOTA : I_RANDOM;
        in.value = 0;
        in.axes = n->axes;
    }
    return add_read(f, sweep, in);
}

/* The instruction that holds operand `id` of `user` in the user's sweep. */
static int read_value(Fuse *f, Sweep *sweep, NodeId user, NodeId id, int stage)
{
    View v;
    NodeId base = graph_unspread(f->g, id);
    if (schedule_in_register(f->s, user, id)) {
        if (!f->reg[base])
            BUG("node %d is read before it is computed", base);
        return f->reg[base] - 1;
    }
    if (!view_of(f->g, id, &v))
        BUG("node %d is no view", id);
    bool wide = f->g->node[user].wide;
    if (op_is_inline(f->g->node[v.base].op))
        return read_inline(f, sweep, &v, wide);
    bool load_wide = f->g->node[v.base].wide;
    Instr in = {
        .kind = I_LOAD, .wide = load_wide, .access = access_of(f, id, stage), .node = id};
    return add_read(f, sweep, in);
}

static void store_value(Fuse *f, Sweep *sweep, NodeId id, int reg, int stage)
{
    if (f->place[id].buffer < 0)
        return;
    Place *p = &f->place[id];
    Access a = {
        .buffer = p->buffer, .when = p->when, .shift = p->shift, .offset = p->offset};
    int64_t own[MAX_RANK];
    shape_strides(&f->g->node[id].shape, own);
    memcpy(a.stride, p->dense ? own : p->stride, sizeof a.stride);
    Instr in = {
        .kind = I_STORE, .n_arg = 1, .access = a, .node = id, .wide = f->g->node[id].wide};
    buffer_touch(f, a.buffer, stage);
    instr_add(f, sweep, in, &reg);
}

/* Strides of a result that lacks the reduced dimensions, in the loops that have them. */
static Access reduced_access(Fuse *f, NodeId id, uint32_t mask, int rank, int stage)
{
    Access a = access_of(f, id, stage);
    int64_t stride[MAX_RANK] = {0};
    for (int d = 0, k = 0; d < rank; d++)
        if (!(mask >> d & 1))
            stride[d] = a.stride[k++];
    memcpy(a.stride, stride, sizeof stride);
    return a;
}

static void emit_reduce(Fuse *f, Sweep *sweep, NodeId id, int stage)
{
    const Node *n = &f->g->node[id];
    int arg = read_value(f, sweep, id, n->arg[0], stage);
    sweep->reduced = n->attr.reduce;
    Instr in = {.kind = I_REDUCE, .op = n->op, .n_arg = 1, .node = id};
    in.access = reduced_access(f, id, n->attr.reduce, sweep->rank, stage);
    instr_add(f, sweep, in, &arg);
}

static void emit_gather(Fuse *f, Sweep *sweep, NodeId id, int stage)
{
    const Node *n = &f->g->node[id];
    const Shape *table = &f->g->node[n->arg[0]].shape;
    int class = read_value(f, sweep, id, n->arg[1], stage);
    Access a = access_of(f, n->arg[0], stage);
    Instr in = {.kind = I_GATHER, .n_arg = 1, .access = a, .node = id};
    in.gather_n = table->dim[0], in.gather_stride = a.stride[0];
    memmove(in.access.stride, in.access.stride + 1,
            (MAX_RANK - 1) * sizeof *in.access.stride);
    in.access.stride[MAX_RANK - 1] = 0;
    f->reg[id] = instr_add(f, sweep, in, &class) + 1;
}

static void emit_scatter(Fuse *f, Sweep *sweep, NodeId id, int stage)
{
    const Node *n = &f->g->node[id];
    int arg[2] = {read_value(f, sweep, id, n->arg[0], stage),
                  read_value(f, sweep, id, n->arg[1], stage)};
    Access a = access_of(f, id, stage);
    Instr in = {.kind = I_SCATTER, .n_arg = 2, .access = a, .node = id};
    in.gather_n = n->shape.dim[0], in.gather_stride = a.stride[0];
    memmove(in.access.stride, in.access.stride + 1,
            (MAX_RANK - 1) * sizeof *in.access.stride);
    in.access.stride[MAX_RANK - 1] = 0;
    instr_add(f, sweep, in, arg);
}

static void emit_total(Fuse *f, Sweep *sweep, NodeId id, int stage)
{
    int arg = read_value(f, sweep, id, f->g->node[id].arg[0], stage);
    Instr in = {
        .kind = I_ACCUMULATE, .n_arg = 1, .access = access_of(f, id, stage), .node = id};
    instr_add(f, sweep, in, &arg);
}

static void emit_map(Fuse *f, Sweep *sweep, NodeId id, int stage)
{
    const Node *n = &f->g->node[id];
    int arg[8];
    if (n->n_arg > COUNT(arg))
        BUG("%s has %d operands", op_defs[n->op]->name, n->n_arg);
    for (int i = 0; i < n->n_arg; i++)
        arg[i] = read_value(f, sweep, id, n->arg[i], stage);
    Instr in = {.kind = I_MAP, .op = n->op, .n_arg = n->n_arg, .wide = n->wide, .node = id};
    f->reg[id] = instr_add(f, sweep, in, arg) + 1;
}

static void emit_orthogonal(Fuse *f, Sweep *copy, Sweep *call, NodeId id, int stage)
{
    int arg = read_value(f, copy, id, f->g->node[id].arg[0], stage);
    store_value(f, copy, id, arg, stage);
    Instr in = {.kind = I_ORTHOGONAL, .access = access_of(f, id, stage), .node = id};
    memset(in.access.stride, 0, sizeof in.access.stride);
    instr_add(f, call, in, NULL);
}

static void emit_node(Fuse *f, Sweep *sweep, NodeId id, int stage)
{
    switch (op_defs[f->g->node[id].op]->family) {
    case FAMILY_MAP: emit_map(f, sweep, id, stage); break;
    case FAMILY_MOVE:
        if (f->g->node[id].op == OP_GATHER)
            emit_gather(f, sweep, id, stage);
        else
            emit_scatter(f, sweep, id, stage);
        break;
    case FAMILY_REDUCE:
        if (f->g->node[id].op == OP_TOTAL)
            emit_total(f, sweep, id, stage);
        else
            emit_reduce(f, sweep, id, stage);
        break;
    case FAMILY_LEAF:
    case FAMILY_CONTRACT:
    case FAMILY_MAKER: BUG("%s in a sweep", op_defs[f->g->node[id].op]->name);
    }
}

/* ---- sweeps ---- */

Sweep *sweep_add(Fuse *f, Nest *nest, const Shape *space)
{
    Sweep *s = PUSH(f->p->arena, nest->sweep, nest->n_sweep, nest->sweep_capacity);
    s->rank = space->rank;
    memcpy(s->extent, space->dim, sizeof space->dim);
    return s;
}

void sweep_make(Fuse *f, Nest *nest, const NodeId *node, int n_node, int stage)
{
    Shape space = schedule_space(f->g, node[0]), none = {0, {0}};
    if (op_defs[f->g->node[node[0]].op]->family == FAMILY_MAKER) {
        Sweep *copy = sweep_add(f, nest, &space);
        Sweep call = {0};
        emit_orthogonal(f, copy, &call, node[0], stage);
        sweep_flatten(copy);
        *sweep_add(f, nest, &none) = call;
        return;
    }
    Sweep *sweep = sweep_add(f, nest, &space);
    for (int i = 0; i < n_node; i++)
        emit_node(f, sweep, node[i], stage);
    for (int i = 0; i < n_node; i++)
        if (f->reg[node[i]])
            store_value(f, sweep, node[i], f->reg[node[i]] - 1, stage);
    sweep_flatten(sweep);
}

/* ---- sums over points ---- */

/* What a sum leaves: the classes of a scatter, then the dimensions along which it moves.
   The target's strides there go to `to`. */
static Shape sum_space(const Sweep *s, const Instr *sum, Access *to)
{
    Shape space = {0, {0}};
    *to = sum->access;
    memset(to->stride, 0, sizeof to->stride);
    if (sum->kind == I_SCATTER) {
        to->stride[space.rank] = sum->gather_stride;
        space.dim[space.rank++] = sum->gather_n;
    }
    for (int d = 0; d < s->rank; d++) {
        if (sum->access.stride[d] == 0)
            continue;
        to->stride[space.rank] = sum->access.stride[d];
        space.dim[space.rank++] = s->extent[d];
    }
    return space;
}

/* The sweep that stores zeros over this space; its first instruction is the zero. */
static Sweep *sweep_of_zeros(Fuse *f, Nest *nest, const Shape *space)
{
    for (int i = 0; i < nest->n_sweep; i++) {
        Shape its = {.rank = nest->sweep[i].rank};
        memcpy(its.dim, nest->sweep[i].extent, sizeof its.dim);
        if (shape_equal(&its, space))
            return &nest->sweep[i];
    }
    Sweep *s = sweep_add(f, nest, space);
    Instr zero = {.kind = I_CONSTANT, .access = {.buffer = -1}, .node = NO_NODE};
    instr_add(f, s, zero, NULL);
    return s;
}

static void store_zeros(Fuse *f, Nest *nest, const Sweep *s, const Instr *sum)
{
    Access to;
    Shape space = sum_space(s, sum, &to);
    Instr store = {.kind = I_STORE, .n_arg = 1, .access = to, .node = NO_NODE};
    instr_add(f, sweep_of_zeros(f, nest, &space), store, &(int){0});
}

void sums_begin(Fuse *f, Nest *nest)
{
    Nest all = {0}; /* its sweeps: zeros, then the nest's */
    int end = 0;
    for (int i = 0; i < nest->n_sweep; i++) {
        const Sweep *s = &nest->sweep[i];
        for (int k = 0; k < s->n_instr; k++)
            if (instr_sums(&s->instr[k]))
                store_zeros(f, &all, s, &s->instr[k]);
        end = sweep_has_sums(s) ? i + 1 : end;
    }
    for (int i = 0; i < nest->n_sweep; i++) {
        Sweep *s = PUSH(f->p->arena, all.sweep, all.n_sweep, all.sweep_capacity);
        *s = nest->sweep[i];
        s->each_point = i < end;
    }
    nest->sweep = all.sweep;
    nest->n_sweep = all.n_sweep, nest->sweep_capacity = all.sweep_capacity;
}
