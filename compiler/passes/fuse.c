/*
 * fuse.c — from schedule to plan: buffers, accesses, instructions.
 *
 * A node's value passes in a register to users in its own sweep; whoever else
 * reads it finds it in memory, and how far away the reader is tells the buffer:
 *
 *     same nest              scratch, one row of it for each thread
 *     same scan, other nest  the current step
 *     same stage             the current block of steps
 *     another stage          all steps of the chunk
 *
 * What tables name has its place already: a state's next value goes into the
 * state's next slot, a gradient into the block of gradients, a parameter's update
 * onto the parameter (unless a later sweep still reads the old one).
 *
 * Values of parameters alone are persistent: they are computed by `pack`, which
 * runs when parameters were written, and stand for all other procedures.
 */
#include "passes/fuse.h"

#include <string.h>

#include "passes/rewrite.h"
#include "passes/schedule.h"

typedef struct {
    int buffer; /* -1: nowhere yet */
    When when;
    int shift;
    int64_t offset;
    bool dense; /* the node's own row-major strides; else: */
    int64_t stride[MAX_RANK];
} Place;

typedef struct {
    Plan *p;
    const Graph *g;
    const Stages *stages;
    bool *of_params; /* by node: depends on parameters and constants alone, not an update */
    Place *lasting;  /* by node: persistent places, the same in all procedures */
    bool *root_of_pack; /* by node: read by other procedures */
    bool *given;
    bool packing; /* the procedure at hand is `pack` */
    /* the procedure at hand */
    ProcId id;
    Schedule *s;
    Place *place;      /* by node */
    int *leaf;         /* by leaf node: buffer + 1 */
    int *state_buffer; /* by state: buffer + 1 */
    int *reg;          /* by node: instruction in its sweep + 1 */
    bool *is_root;     /* by node: the procedure must leave it in memory */
} Fuse;

/* ---- buffers ---- */

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* No row stride is a multiple of 2 KB: all rows would fall into the same cache sets. */
static int64_t padded_row(const Plan *p, int64_t size, int64_t element_bytes)
{
    if (size < p->target.vector)
        return size;
    int64_t stride = round_up(size, p->target.vector);
    return stride * element_bytes % 2048 == 0 ? stride + 64 / element_bytes : stride;
}

static int add_buffer(Plan *p, Buffer b)
{
    int64_t element = b.element == ELEMENT_F64 ? 8 : b.element == ELEMENT_U8 ? 1 : 4;
    int64_t size = shape_size(&b.shape);
    bool own = b.home == HOME_WORKSPACE || b.home == HOME_SCRATCH;
    if (own && b.axes & AXIS_ROW)
        b.row_stride = padded_row(p, size, element);
    if (own && b.axes & AXIS_TIME)
        b.slot_stride = round_up(p->rows_max * b.row_stride, 16);
    if (b.n_slot == 0)
        b.n_slot = 1;
    if (own && b.panel == 0) {
        int64_t one = b.axes & AXIS_ROW ? p->rows_max * b.row_stride : size;
        b.bytes = (b.axes & AXIS_TIME ? b.n_slot * b.slot_stride : one) * element;
    }
    *PUSH(p->arena, p->buffer, p->n_buffer, p->buffer_capacity) = b;
    return p->n_buffer - 1;
}

/* The name that stands left on the node's line of the spec: a person looks for it in dumps.
 */
static const char *name_of(const Fuse *f, NodeId id)
{
    const Node *n = &f->g->node[id];
    const char *text = n->loc.source ? n->loc.source->text : NULL;
    char name[40];
    int length = 0;
    for (int line = 1; text && line < n->loc.line; line++) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    while (text && (*text == ' ' || *text == '-'))
        text++;
    while (text && length < 30 &&
           (strchr("_'", text[length])
                ? text[length] != 0
                : (text[length] | 32) >= 'a' && (text[length] | 32) <= 'z'))
        name[length] = text[length], length++;
    name[length] = 0;
    return arena_print(f->p->arena, "%s%s.%d", n->phase == PHASE_BACKWARD ? "d_" : "",
                       length ? name : op_defs[n->op]->name, id);
}

static void touch(Fuse *f, int buffer, int stage)
{
    Buffer *b = &f->p->buffer[buffer];
    if (stage < b->first_stage)
        b->first_stage = stage;
    if (stage > b->last_stage)
        b->last_stage = stage;
}

/* ---- leaves ---- */

static const struct {
    Home home;
    Element element;
    bool in_memory;
} leaf_homes[OP_COUNT] = {
    [OP_INPUT] = {HOME_INPUT, ELEMENT_F32, true},
    [OP_PARAM] = {HOME_PARAMS, ELEMENT_F32, true},
    [OP_GRADIENT] = {HOME_GRADS, ELEMENT_F32, true},
    [OP_OPTIMIZER] = {HOME_OPTIMIZER, ELEMENT_F32, true},
    [OP_SCALAR] = {HOME_SCALARS, ELEMENT_F64, true},
    [OP_START] = {HOME_START, ELEMENT_U8, true},
    [OP_CARRIED] = {HOME_STATE_IN, ELEMENT_F32, true},
};

static const char *leaf_name(const Graph *g, const Node *n)
{
    int i = n->attr.index;
    return n->op == OP_INPUT                           ? g->input[i].name
           : n->op == OP_PARAM || n->op == OP_GRADIENT ? g->param[i].name
           : n->op == OP_OPTIMIZER                     ? g->optimizer[i].name
           : n->op == OP_SCALAR                        ? g->scalar[i].name
           : n->op == OP_CARRIED                       ? g->state[i].name
                                                       : op_defs[n->op]->name;
}

static Buffer leaf_buffer(const Fuse *f, const Node *n)
{
    if (!leaf_homes[n->op].in_memory)
        BUG("%s is no leaf in memory", op_defs[n->op]->name);
    Buffer b = {.name = leaf_name(f->g, n),
                .home = leaf_homes[n->op].home,
                .element = leaf_homes[n->op].element,
                .index = n->attr.index,
                .axes = n->axes,
                .shape = n->shape,
                .span = SPAN_CHUNK,
                .proc = f->id};
    int kind = n->op == OP_INPUT ? f->g->input[n->attr.index].kind : INPUT_REAL;
    if (kind == INPUT_CLASS || kind == INPUT_INTEGER)
        b.element = ELEMENT_I32;
    if (n->op == OP_OPTIMIZER && n->wide)
        b.home = HOME_OPTIMIZER_SCALARS, b.element = ELEMENT_F64;
    if (n->axes == AXIS_ROW && n->op != OP_INPUT)
        b.row_stride = shape_size(&n->shape);
    return b;
}

/* Where a parameter (or optimizer state) begins in its block. */
static int64_t block_offset(const Graph *g, OpCode op, int index)
{
    int64_t at = 0;
    bool wide = op == OP_OPTIMIZER && g->optimizer[index].wide;
    for (int i = 0; i < index; i++)
        if (op == OP_PARAM || op == OP_GRADIENT)
            at += shape_size(&g->param[i].shape);
        else if (op == OP_CARRIED)
            at += g->state[i].backward ? 0 : shape_size(&g->state[i].shape);
        else if (op == OP_OPTIMIZER && g->optimizer[i].wide == wide)
            at += wide ? 1 : shape_size(&g->optimizer[i].shape);
    return at;
}

static int leaf_place(Fuse *f, NodeId id)
{
    if (!f->leaf[id]) {
        const Node *n = &f->g->node[id];
        Buffer b = leaf_buffer(f, n);
        b.offset = block_offset(f->g, n->op, n->attr.index);
        f->leaf[id] = add_buffer(f->p, b) + 1;
    }
    return f->leaf[id] - 1;
}

static int state_buffer(Fuse *f, int state)
{
    if (!f->state_buffer[state]) {
        const State *s = &f->g->state[state];
        Buffer b = {.name = s->name,
                    .home = HOME_WORKSPACE,
                    .axes = AXES_ALL,
                    .shape = s->shape,
                    .span = SPAN_CHUNK,
                    .n_slot = f->p->steps_max + 1,
                    .first_stage = INT32_MAX,
                    .proc = f->id};
        f->state_buffer[state] = add_buffer(f->p, b) + 1;
    }
    return f->state_buffer[state] - 1;
}

/* ---- where a value stands ---- */

static Place base_place(Fuse *f, NodeId base)
{
    const Node *n = &f->g->node[base];
    if (n->op == OP_STATE || n->op == OP_FINAL) {
        bool backward = f->g->state[n->attr.index].backward;
        Place p = {.buffer = state_buffer(f, n->attr.index), .dense = true};
        p.when = n->op == OP_FINAL ? AT_FIRST : AT_STEP;
        p.shift = n->op == OP_STATE && backward ? 1 : 0;
        return p;
    }
    if (op_defs[n->op]->family == FAMILY_LEAF)
        return (Place){.buffer = leaf_place(f, base), .dense = true};
    if (f->given[base])
        return f->lasting[base];
    return f->place[base];
}

static Access access_of(Fuse *f, NodeId id, int stage)
{
    View v;
    if (!view_of(f->g, id, &v))
        BUG("node %d is no view", id);
    Place p = base_place(f, v.base);
    if (p.buffer < 0)
        BUG("node %d (%s) stands nowhere", v.base, op_defs[f->g->node[v.base].op]->name);
    Access a = {.buffer = p.buffer,
                .when = p.when,
                .shift = p.shift,
                .offset = p.offset + v.offset};
    memcpy(a.stride, p.dense ? v.stride : p.stride, sizeof a.stride);
    if (!p.dense && !v.direct)
        BUG("node %d is seen through a view of a part with gaps", id);
    touch(f, a.buffer, stage);
    return a;
}

/* ---- how far away the readers are ---- */

typedef enum { REACH_NONE, REACH_NEST, REACH_STEP, REACH_BLOCK, REACH_CHUNK } Reach;

static Reach reach(const Fuse *f, NodeId value, NodeId user)
{
    const Slot *a = &f->s->slot[value], *b = &f->s->slot[user];
    bool contraction = schedule_is_contraction(f->g, user);
    if (schedule_in_register(f->s, user, value))
        return REACH_NONE;
    if (a->stage != b->stage)
        return REACH_CHUNK;
    if (a->sub != b->sub)
        return REACH_BLOCK;
    if (a->nest == b->nest && !contraction && a->sweep >= 0)
        return REACH_NEST;
    return a->sub & 1 ? REACH_STEP : REACH_BLOCK;
}

/* Through a view a value never passes in a register. */
static void widen_reach(const Fuse *f, Reach *r, NodeId value, NodeId user)
{
    NodeId base = view_base(f->g, value);
    Reach now = reach(f, base, user);
    if (now == REACH_NONE && base != graph_unspread(f->g, value))
        now = REACH_NEST;
    r[base] = now > r[base] ? now : r[base];
}

static void find_reaches(Fuse *f, Reach *r)
{
    const Schedule *s = f->s;
    for (int i = 0; i < s->n_order; i++) {
        NodeId user = s->order[i];
        const Node *n = &f->g->node[user];
        for (int k = 0; k < n->n_arg; k++)
            if (s->slot[view_base(f->g, n->arg[k])].fused != user)
                widen_reach(f, r, n->arg[k], user);
    }
    for (int i = 0; i < s->n_order;
         i++) { /* a contraction's result passes through memory */
        NodeId id = s->order[i];
        const Slot *slot = &s->slot[id];
        bool result = schedule_is_contraction(f->g, id) || slot->init != NO_NODE;
        if (result && slot->fused == NO_NODE && r[id] < REACH_STEP)
            r[id] = slot->sub & 1 ? REACH_STEP : REACH_BLOCK;
    }
}

/* ---- places of the procedure's values ---- */

static void place_at(Fuse *f, NodeId id, int buffer, When when, int shift)
{
    f->place[id] = (Place){.buffer = buffer, .when = when, .shift = shift, .dense = true};
}

static void place_states(Fuse *f)
{
    for (int i = 0; i < f->g->n_state; i++) {
        const State *s = &f->g->state[i];
        if (s->next == NO_NODE || !f->s->needed[s->next])
            continue;
        int b = state_buffer(f, i);
        place_at(f, s->next, b, AT_STEP, s->backward ? 0 : 1);
        if (s->entry != NO_NODE)
            place_at(f, s->entry, b, s->backward ? AT_END : AT_FIRST, 0);
    }
}

/* Whether reading the old value by operand k of `user` is over when `next` is written: in
   an earlier sweep of the nest, or in the same one element for element. A product writes
   while it still reads, but for the value that it starts from. */
static bool read_in_time(const Fuse *f, NodeId user, int k, NodeId next)
{
    const Slot *u = &f->s->slot[user], *w = &f->s->slot[next];
    NodeId arg = f->g->node[user].arg[k];
    bool product = schedule_is_contraction(f->g, next) || w->init != NO_NODE;
    bool direct = graph_unspread(f->g, arg) == view_base(f->g, arg);
    if (u->stage != w->stage)
        return u->stage < w->stage;
    if (u->nest != w->nest)
        return false;
    if (product)
        return user == next && arg == w->init && direct;
    return u->sweep < w->sweep || (u->sweep == w->sweep && direct);
}

static bool read_later(const Fuse *f, NodeId leaf, NodeId next)
{
    for (int i = 0; i < f->s->n_order; i++) {
        NodeId user = f->s->order[i];
        const Node *n = &f->g->node[user];
        for (int k = 0; k < n->n_arg; k++)
            if (view_base(f->g, n->arg[k]) == leaf && !read_in_time(f, user, k, next))
                return true;
    }
    return false;
}

/* In place when nobody reads the old value later; else computed beside and copied at the
 * end. */
static void place_update(Fuse *f, NodeId leaf, NodeId next)
{
    if (next != NO_NODE && f->s->needed[next] && !read_later(f, leaf, next))
        place_at(f, next, leaf_place(f, leaf), AT_STEP, 0);
}

static void place_tables(Fuse *f)
{
    const Graph *g = f->g;
    for (int i = 0; i < g->n_param; i++) {
        const Param *p = &g->param[i];
        if (f->id == PROC_UPDATE)
            place_update(f, p->leaf, p->next);
        if (f->id == PROC_INIT && p->init != NO_NODE)
            place_at(f, p->init, leaf_place(f, p->leaf), AT_STEP, 0);
        if (f->id == PROC_GRAD && p->gradient != NO_NODE) {
            Buffer b = {.name = p->name,
                        .home = HOME_GRADS,
                        .shape = p->shape,
                        .offset = block_offset(g, OP_GRADIENT, i)};
            place_at(f, p->gradient, add_buffer(f->p, b), AT_STEP, 0);
        }
    }
    for (int i = 0; f->id == PROC_UPDATE && i < g->n_optimizer; i++)
        place_update(f, g->optimizer[i].leaf, g->optimizer[i].next);
    if (f->id == PROC_STEP && g->output != NO_NODE) {
        Shape s = g->node[g->output].shape;
        Buffer b = {.name = "output",
                    .home = HOME_OUTPUTS,
                    .axes = AXES_ALL,
                    .shape = s,
                    .span = SPAN_CHUNK,
                    .row_stride = shape_size(&s),
                    .slot_stride = f->p->rows_max * shape_size(&s)};
        place_at(f, g->output, add_buffer(f->p, b), AT_STEP, 0);
    }
}

static Element element_of(const Fuse *f, NodeId id)
{
    const Node *n = &f->g->node[id];
    bool total = n->op == OP_TOTAL && n->shape.rank == 0 && n->axes == 0;
    return n->wide || total ? ELEMENT_F64 : ELEMENT_F32;
}

static void place_value(Fuse *f, NodeId id, Reach r)
{
    const Node *n = &f->g->node[id];
    Class c = f->s->slot[id].class;
    Buffer b = {.name = name_of(f, id),
                .home = HOME_WORKSPACE,
                .element = element_of(f, id),
                .axes = n->axes,
                .shape = n->shape,
                .first_stage = INT32_MAX,
                .proc = f->id};
    if ((is_time(c) || c == CLASS_ROWS) && r == REACH_NEST)
        b.home = HOME_SCRATCH, b.axes = 0;
    else if (is_time(c))
        b.span = r == REACH_STEP ? SPAN_ONE : r == REACH_BLOCK ? SPAN_BLOCK : SPAN_CHUNK;
    b.n_slot = b.span == SPAN_CHUNK && b.axes & AXIS_TIME ? f->p->steps_max : 1;
    b.persistent = f->packing;
    place_at(f, id, add_buffer(f->p, b), AT_STEP, 0);
}

/* The parts of a concatenation stand where it stands. */
static void place_parts(Fuse *f, NodeId id)
{
    const Node *n = &f->g->node[id];
    int64_t stride[MAX_RANK], at = 0;
    int64_t before = 1; /* as settle asks: along the first dimension parts are contiguous */
    for (int d = 0; d < n->attr.axis; d++)
        before *= n->shape.dim[d];
    shape_strides(&n->shape, stride);
    for (int i = 0; i < n->n_arg; i++) {
        Place *p = &f->place[n->arg[i]];
        Shape s = f->g->node[n->arg[i]].shape;
        int64_t own[MAX_RANK];
        shape_strides(&s, own);
        *p = f->place[id];
        p->offset += at * stride[n->attr.axis];
        p->dense = memcmp(own, stride, sizeof own) == 0 || before == 1;
        memcpy(p->stride, stride, sizeof stride);
        at += s.dim[n->attr.axis];
    }
}

static void place_all(Fuse *f)
{
    const Schedule *s = f->s;
    Reach *r = NEW_ARRAY(f->p->arena, Reach, f->g->n_node + 1);
    for (NodeId id = 0; id < f->g->n_node; id++)
        f->place[id].buffer = -1;
    find_reaches(f, r);
    for (int i = 0; i < s->n_order;
         i++) { /* a concatenation's parts reach as far as it does */
        const Node *n = &f->g->node[s->order[i]];
        for (int k = 0; n->op == OP_CONCAT && k < n->n_arg; k++)
            if (r[s->order[i]] < r[n->arg[k]])
                r[s->order[i]] = r[n->arg[k]];
    }
    for (NodeId id = 0; f->packing && id < f->g->n_node; id++)
        if (f->root_of_pack[id])
            f->place[id] = f->lasting[id];
    place_states(f);
    place_tables(f);
    for (int i = s->n_order - 1; i >= 0; i--) {
        NodeId id = s->order[i];
        bool concat = f->g->node[id].op == OP_CONCAT;
        bool lone = r[id] == REACH_NONE && !f->is_root[id] && !concat;
        bool placed = f->place[id].buffer >= 0;
        if (!placed && !lone && s->slot[id].fused == NO_NODE)
            place_value(f, id, r[id] == REACH_NONE || f->is_root[id] ? REACH_CHUNK : r[id]);
        if (concat) /* ahead of its parts: users come first in this loop */
            place_parts(f, id);
    }
}

/* ---- instructions ---- */

static int add_instr(Fuse *f, Sweep *sweep, Instr instr, const int *arg)
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
    return add_instr(f, sweep, instr, NULL);
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
    touch(f, a.buffer, stage);
    add_instr(f, sweep, in, &reg);
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
    add_instr(f, sweep, in, &arg);
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
    f->reg[id] = add_instr(f, sweep, in, &class) + 1;
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
    add_instr(f, sweep, in, arg);
}

static void emit_total(Fuse *f, Sweep *sweep, NodeId id, int stage)
{
    int arg = read_value(f, sweep, id, f->g->node[id].arg[0], stage);
    Instr in = {
        .kind = I_ACCUMULATE, .n_arg = 1, .access = access_of(f, id, stage), .node = id};
    add_instr(f, sweep, in, &arg);
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
    f->reg[id] = add_instr(f, sweep, in, arg) + 1;
}

static void emit_orthogonal(Fuse *f, Sweep *copy, Sweep *call, NodeId id, int stage)
{
    int arg = read_value(f, copy, id, f->g->node[id].arg[0], stage);
    store_value(f, copy, id, arg, stage);
    Instr in = {.kind = I_ORTHOGONAL, .access = access_of(f, id, stage), .node = id};
    memset(in.access.stride, 0, sizeof in.access.stride);
    add_instr(f, call, in, NULL);
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

static Sweep *add_sweep(Fuse *f, Nest *nest, const Shape *space)
{
    Sweep *s = PUSH(f->p->arena, nest->sweep, nest->n_sweep, nest->sweep_capacity);
    s->rank = space->rank;
    memcpy(s->extent, space->dim, sizeof space->dim);
    return s;
}

/* Dimensions of size 1 go; neighbours that every access walks as one become one. */
static void drop_dim(Sweep *s, int d)
{
    for (int i = 0; i < s->n_instr; i++)
        memmove(&s->instr[i].access.stride[d], &s->instr[i].access.stride[d + 1],
                (size_t)(MAX_RANK - 1 - d) * sizeof(int64_t));
    memmove(&s->extent[d], &s->extent[d + 1], (size_t)(MAX_RANK - 1 - d) * sizeof(int64_t));
    uint32_t low = s->reduced & ((1u << d) - 1);
    s->reduced = low | (s->reduced >> (d + 1) << d);
    s->rank--;
}

static bool walks_as_one(const Sweep *s, int d)
{
    if ((s->reduced >> d & 1) != (s->reduced >> (d + 1) & 1))
        return false;
    for (int i = 0; i < s->n_instr; i++) {
        const int64_t *stride = s->instr[i].access.stride;
        if (stride[d] != stride[d + 1] * s->extent[d + 1])
            return false;
    }
    return true;
}

static void flatten(Sweep *s)
{
    for (int d = s->rank - 1; d >= 0; d--)
        if (s->extent[d] == 1 && s->rank > 0 && !(s->reduced >> d & 1))
            drop_dim(s, d);
    for (int d = s->rank - 2; d >= 0; d--)
        if (walks_as_one(s, d)) {
            s->extent[d + 1] *= s->extent[d];
            drop_dim(s, d);
        }
}

static void make_sweep(Fuse *f, Nest *nest, const NodeId *node, int n_node, int stage)
{
    Shape space = schedule_space(f->g, node[0]), none = {0, {0}};
    if (op_defs[f->g->node[node[0]].op]->family == FAMILY_MAKER) {
        Sweep *copy = add_sweep(f, nest, &space);
        Sweep call = {0};
        emit_orthogonal(f, copy, &call, node[0], stage);
        *add_sweep(f, nest, &none) = call;
        return;
    }
    Sweep *sweep = add_sweep(f, nest, &space);
    for (int i = 0; i < n_node; i++)
        emit_node(f, sweep, node[i], stage);
    for (int i = 0; i < n_node; i++)
        if (f->reg[node[i]])
            store_value(f, sweep, node[i], f->reg[node[i]] - 1, stage);
    flatten(sweep);
}

/* ---- contractions ---- */

/* The strides of the labels that are wanted, 0 where an operand lacks one. */
static void by_label(Access *a, const char *labels, const char *want)
{
    int64_t stride[MAX_RANK] = {0};
    for (int i = 0; want[i]; i++) {
        const char *at = strchr(labels, want[i]);
        stride[i] = at ? a->stride[at - labels] : 0;
    }
    memcpy(a->stride, stride, sizeof stride);
}

static int64_t label_size(const Fuse *f, const Node *n, char c)
{
    for (int i = 0; i < 2; i++) {
        const char *at = strchr(n->attr.label[i], c);
        if (at)
            return f->g->node[n->arg[i]].shape.dim[at - n->attr.label[i]];
    }
    return 1;
}

static int find_packed(Fuse *f, const Contraction *c, const Access *from)
{
    Plan *p = f->p;
    for (int i = 0; i < p->proc[PROC_PACK].n_stage; i++) {
        const Stage *s = &p->proc[PROC_PACK].stage[i];
        for (int k = 0; k < s->group[0].n_nest; k++) {
            const Nest *n = &s->group[0].nest[k];
            const Buffer *b = n->pack >= 0 ? &p->buffer[n->pack] : NULL;
            const Access *o = &n->pack_from;
            if (b && p->buffer[o->buffer].home == p->buffer[from->buffer].home &&
                p->buffer[o->buffer].offset == p->buffer[from->buffer].offset &&
                (p->buffer[from->buffer].home != HOME_WORKSPACE ||
                 o->buffer == from->buffer) &&
                o->offset == from->offset &&
                memcmp(o->stride, from->stride, sizeof o->stride) == 0 &&
                b->pack_batch == c->n_batch && b->pack_n == c->n && b->pack_k == c->k)
                return n->pack;
        }
    }
    return -1;
}

static Stage *add_stage(Plan *p, Procedure *proc, StageKind kind)
{
    Stage *s = PUSH(p->arena, proc->stage, proc->n_stage, proc->stage_capacity);
    s->kind = kind;
    *PUSH(p->arena, s->group, s->n_group, s->group_capacity) = (Group){0};
    return s;
}

static Nest *add_nest(Plan *p, Group *group)
{
    Nest *n = PUSH(p->arena, group->nest, group->n_nest, group->nest_capacity);
    n->pack = -1;
    return n;
}

/* Panels of a weight. Of parameters alone: made by `pack`, once for all who read them. Else
   by the procedure itself, in a stage ahead of the one that reads them. */
static int packed(Fuse *f, const Contraction *c, NodeId weight, Procedure *proc)
{
    Plan *p = f->p;
    NodeId base = view_base(f->g, weight);
    bool lasts = f->of_params[base] && !f->packing;
    int found = lasts ? find_packed(f, c, &c->b) : -1;
    if (found >= 0)
        return found;
    int panel = p->target.vector * p->target.panel_vectors;
    Buffer b = {.name = arena_print(p->arena, "panels of %s", p->buffer[c->b.buffer].name),
                .home = HOME_WORKSPACE,
                .panel = panel,
                .pack_batch = c->n_batch,
                .pack_n = c->n,
                .pack_k = c->k,
                .persistent = lasts,
                .first_stage = INT32_MAX,
                .proc = f->id,
                .shape = {1, {c->n_batch * round_up(c->n, panel) * c->k}}};
    b.bytes = b.shape.dim[0] * 4;
    int id = add_buffer(p, b);
    p->buffer[id].bytes = b.bytes;
    Procedure *maker = lasts ? &p->proc[PROC_PACK] : proc;
    Stage *stage = maker->n_stage > 0 ? &maker->stage[maker->n_stage - 1] : NULL;
    if (!stage || !(stage->kind == STAGE_ONCE && stage->group[0].n_nest > 0 &&
                    stage->group[0].nest[0].pack >= 0))
        stage = add_stage(p, maker, STAGE_ONCE);
    Nest *n = add_nest(p, &stage->group[0]);
    n->pack = id, n->pack_from = c->b;
    n->split = SPLIT_N;
    return id;
}

static Contraction *make_contraction(Fuse *f, NodeId id, int stage, Procedure *proc)
{
    const Node *n = &f->g->node[id];
    const Slot *slot = &f->s->slot[id];
    NodeId result = slot->fused != NO_NODE ? slot->fused : id;
    Contraction *c = NEW(f->p->arena, Contraction);
    c->n_batch = label_size(f, n, 'b'), c->m = label_size(f, n, 'm');
    c->n = label_size(f, n, 'n'), c->k = label_size(f, n, 'k');
    c->node = id;
    c->a = access_of(f, n->arg[0], stage);
    by_label(&c->a, n->attr.label[0], "bmk");
    c->b = access_of(f, n->arg[1], stage);
    by_label(&c->b, n->attr.label[1], "bnk");
    c->c = access_of(f, result, stage);
    by_label(&c->c, n->attr.label[2], "bmn");
    NodeId init = f->s->slot[result].init;
    c->init.buffer = -1;
    if (init != NO_NODE) {
        c->has_init = true;
        c->init = access_of(f, init, stage);
        by_label(&c->init, n->attr.label[2], "bmn");
    }
    c->packed = slot->class == CLASS_SUM ? -1 : packed(f, c, n->arg[1], proc);
    if (c->packed >= 0)
        touch(f, c->packed, stage);
    return c;
}

/* ---- procedures ---- */

static StageKind stage_kind(Class c)
{
    switch (c) {
    case CLASS_ROWS:
    case CLASS_ROW_SUM: return STAGE_ROWS;
    case CLASS_FORWARD:
    case CLASS_BACKWARD: return STAGE_TIME;
    case CLASS_SUM: return STAGE_SUM;
    case CLASS_SCALAR:
    case CLASS_TENSOR:
    case CLASS_PRODUCT: return STAGE_ONCE;
    case CLASS_NONE:
    case CLASS_COUNT: break;
    }
    BUG("class %d has no stage", c);
}

static Split split_of(const Nest *n, Class c)
{
    if (c == CLASS_SCALAR || (n->contraction && c != CLASS_SUM))
        return SPLIT_NONE;
    if (n->contraction)
        return n->contraction->m >= n->contraction->n ? SPLIT_M : SPLIT_N;
    if (n->n_sweep != 1 || n->sweep[0].rank == 0 || n->sweep[0].reduced)
        return SPLIT_NONE;
    bool sum = c == CLASS_SUM;
    return sum || n->sweep[0].rank == 1 ? SPLIT_N : SPLIT_M;
}

/* All nodes of one nest, in order: contractions first, each a nest; the last takes the
 * sweeps. */
static void make_nest(Fuse *f, Procedure *proc, int stage_id, int group_id, int at)
{
    const Schedule *s = f->s;
    const Slot key = s->slot[s->order[at]];
    NodeId *node = NEW_ARRAY(f->p->arena, NodeId, s->n_order + 1);
    Nest *nest = NULL;
    int n_sweep = 0;
    for (int i = at; i < s->n_order; i++) {
        const Slot *slot = &s->slot[s->order[i]];
        if (slot->stage != key.stage || slot->sub != key.sub || slot->nest != key.nest)
            continue;
        n_sweep = slot->sweep + 1 > n_sweep ? slot->sweep + 1 : n_sweep;
        if (schedule_is_contraction(f->g, s->order[i])) {
            Contraction *c = make_contraction(f, s->order[i], stage_id, proc);
            nest = add_nest(f->p, &proc->stage[stage_id].group[group_id]);
            nest->contraction = c;
        }
    }
    if (!nest && n_sweep > 0)
        nest = add_nest(f->p, &proc->stage[stage_id].group[group_id]);
    for (int k = 0; k < n_sweep; k++) {
        int n = 0;
        for (int i = at; i < s->n_order; i++) {
            const Slot *slot = &s->slot[s->order[i]];
            if (slot->stage == key.stage && slot->sub == key.sub &&
                slot->nest == key.nest && slot->sweep == k)
                node[n++] = s->order[i];
        }
        if (n > 0)
            make_sweep(f, nest, node, n, stage_id);
    }
    if (nest) {
        nest->split = split_of(nest, key.class);
        const Node *first = &f->g->node[s->order[at]];
        if (key.class == CLASS_SUM || key.class == CLASS_ROW_SUM)
            nest->sum = first->attr.axes;
    }
}

static bool has_group(const Schedule *s, int stage, int sub)
{
    for (int i = 0; i < s->n_order; i++)
        if (s->slot[s->order[i]].stage == stage && s->slot[s->order[i]].sub == sub)
            return true;
    return false;
}

static void make_group(Fuse *f, Procedure *proc, int stage, int stage_id, int group_id,
                       int sub)
{
    const Schedule *s = f->s;
    proc->stage[stage_id].group[group_id].scan = sub & 1;
    for (int last = -1;;) {
        int at = -1;
        for (int i = 0; i < s->n_order; i++) {
            const Slot *slot = &s->slot[s->order[i]];
            if (slot->stage == stage && slot->sub == sub && slot->nest > last &&
                (at < 0 || slot->nest < s->slot[s->order[at]].nest))
                at = i;
        }
        if (at < 0)
            break;
        last = s->slot[s->order[at]].nest;
        make_nest(f, proc, stage_id, group_id, at);
    }
}

static Class stage_class(const Schedule *s, int stage)
{
    for (int i = 0; i < s->n_order; i++)
        if (s->slot[s->order[i]].stage == stage)
            return s->slot[s->order[i]].class;
    BUG("stage %d is empty", stage);
}

/* Weights that only this procedure packs are packed ahead of the stage: make_nest then adds
   a stage behind the one being filled, so the two change places at the end. */
static void order_packs(Fuse *f, Procedure *proc, int stage_id)
{
    if (proc->n_stage - 1 == stage_id)
        return;
    Stage time = proc->stage[stage_id];
    proc->stage[stage_id] = proc->stage[stage_id + 1];
    proc->stage[stage_id + 1] = time;
    for (int i = 0; i < f->p->n_buffer;
         i++) { /* what lived in the stage has moved with it */
        Buffer *b = &f->p->buffer[i];
        if (b->proc != f->id || b->persistent)
            continue;
        b->first_stage += b->first_stage == stage_id && b->panel == 0;
        b->last_stage += b->last_stage == stage_id;
    }
}

/* A concatenation has no code: where its parts are made it is complete. */
static void drop_empty_groups(Stage *s)
{
    int n = 0;
    for (int i = 0; i < s->n_group; i++)
        if (s->group[i].n_nest > 0 || s->kind != STAGE_TIME)
            s->group[n++] = s->group[i];
    s->n_group = n;
}

static void make_stage(Fuse *f, Procedure *proc, int stage)
{
    Class c = stage_class(f->s, stage);
    int id = proc->n_stage, last_sub = 0, n_group = 0;
    Stage *s = add_stage(f->p, proc, stage_kind(c));
    s->backward = c == CLASS_BACKWARD;
    for (int i = 0; i < f->s->n_order; i++)
        if (f->s->slot[f->s->order[i]].stage == stage &&
            f->s->slot[f->s->order[i]].sub > last_sub)
            last_sub = f->s->slot[f->s->order[i]].sub;
    for (int sub = 0; sub <= last_sub; sub++) {
        if (!has_group(f->s, stage, sub))
            continue;
        s = &proc->stage[id];
        if (n_group++ > 0)
            *PUSH(f->p->arena, s->group, s->n_group, s->group_capacity) = (Group){0};
        make_group(f, proc, stage, id, n_group - 1, sub);
    }
    drop_empty_groups(&proc->stage[id]);
    order_packs(f, proc, id);
}

/* A sweep that copies one place to another, for values that go back to their tables. */
static void add_copy(Fuse *f, Nest *nest, Access from, Access to, const Shape *shape,
                     bool wide, int stage)
{
    Sweep *s = add_sweep(f, nest, shape);
    shape_strides(shape, from.stride), shape_strides(shape, to.stride);
    Instr load = {.kind = I_LOAD, .access = from, .wide = wide};
    int reg = add_instr(f, s, load, NULL);
    Instr store = {.kind = I_STORE, .access = to, .n_arg = 1, .wide = wide};
    add_instr(f, s, store, &reg);
    touch(f, from.buffer, stage);
    flatten(s);
}

static void copy_states_out(Fuse *f, Procedure *proc)
{
    int id = proc->n_stage;
    Stage *stage = NULL;
    for (int i = 0; i < f->g->n_state; i++) {
        const State *s = &f->g->state[i];
        if (s->backward || s->next == NO_NODE || !f->s->needed[s->next])
            continue;
        if (!stage)
            stage = add_stage(f->p, proc, STAGE_ROWS);
        Buffer b = {.name = s->name,
                    .home = HOME_STATE_OUT,
                    .axes = AXIS_ROW,
                    .shape = s->shape,
                    .row_stride = shape_size(&s->shape),
                    .offset = block_offset(f->g, OP_CARRIED, i)};
        Access from = {.buffer = state_buffer(f, i), .when = AT_END};
        Access to = {.buffer = add_buffer(f->p, b)};
        add_copy(f, add_nest(f->p, &stage->group[0]), from, to, &s->shape, false, id);
    }
}

/* Updates that could not be made in place go to their places when all else has been read.
 */
static void copy_update(Fuse *f, Procedure *proc, Stage **stage, NodeId leaf, NodeId next)
{
    if (next == NO_NODE || !f->s->needed[next] ||
        f->place[next].buffer == leaf_place(f, leaf))
        return;
    if (!*stage)
        *stage = add_stage(f->p, proc, STAGE_ONCE);
    const Node *n = &f->g->node[next];
    Access from = {.buffer = f->place[next].buffer}, to = {.buffer = leaf_place(f, leaf)};
    Nest *nest = add_nest(f->p, &(*stage)->group[0]);
    add_copy(f, nest, from, to, &n->shape, n->wide, proc->n_stage - 1);
    nest->split = split_of(nest, n->wide ? CLASS_SCALAR : CLASS_TENSOR);
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
 * tables. */
static void fill_optimizer(Fuse *f, Procedure *proc)
{
    Stage *stage = NULL;
    for (int i = 0; i < f->g->n_optimizer; i++) {
        const OptimizerState *o = &f->g->optimizer[i];
        if (o->wide || o->leaf == NO_NODE)
            continue;
        if (!stage)
            stage = add_stage(f->p, proc, STAGE_ONCE);
        Nest *nest = add_nest(f->p, &stage->group[0]);
        Sweep *s = add_sweep(f, nest, &o->shape);
        Instr value = {.kind = I_CONSTANT, .value = o->value, .access = {.buffer = -1}};
        int reg = add_instr(f, s, value, NULL);
        Instr store = {.kind = I_STORE, .n_arg = 1};
        store.access = (Access){.buffer = leaf_place(f, o->leaf)};
        shape_strides(&o->shape, store.access.stride);
        add_instr(f, s, store, &reg);
        flatten(s);
        nest->split = split_of(nest, CLASS_TENSOR);
    }
}

static Access result(Fuse *f, NodeId id, int stage)
{
    if (id == NO_NODE || !f->s->needed[id])
        return (Access){.buffer = -1};
    return access_of(f, id, stage);
}

static void find_results(Fuse *f, Procedure *proc)
{
    int last = proc->n_stage;
    proc->loss = result(f, f->g->loss, last);
    proc->weight = result(f, f->g->weight, last);
    proc->gradient_norm = result(f, f->g->gradient_norm, last);
    if (f->id != PROC_EVAL)
        return;
    proc->metric = NEW_ARRAY(f->p->arena, Access, f->g->n_metric + 1);
    for (int i = 0; i < f->g->n_metric; i++)
        proc->metric[proc->n_metric++] = result(f, f->g->metric[i].value, last);
}

static int find_roots(const Fuse *f, NodeId *root)
{
    const Graph *g = f->g;
    int n = 0;
    bool steps = f->id == PROC_GRAD || f->id == PROC_EVAL || f->id == PROC_STEP;
    for (int i = 0; steps && i < g->n_state; i++)
        if (!g->state[i].backward)
            root[n++] = g->state[i].next, root[n++] = g->state[i].entry;
    if (f->id == PROC_GRAD || f->id == PROC_EVAL)
        root[n++] = g->loss, root[n++] = g->weight;
    if (f->id == PROC_STEP)
        root[n++] = g->output;
    for (int i = 0; f->id == PROC_EVAL && i < g->n_metric; i++)
        root[n++] = g->metric[i].value;
    for (int i = 0; i < g->n_param; i++)
        root[n++] = f->id == PROC_GRAD     ? g->param[i].gradient
                    : f->id == PROC_UPDATE ? g->param[i].next
                    : f->id == PROC_INIT   ? g->param[i].init
                                           : NO_NODE;
    for (int i = 0; f->id == PROC_UPDATE && i < g->n_optimizer; i++)
        root[n++] = g->optimizer[i].next;
    if (f->id == PROC_UPDATE)
        root[n++] = g->gradient_norm;
    for (NodeId id = 0; f->packing && id < g->n_node; id++)
        if (f->root_of_pack[id])
            root[n++] = id;
    return n;
}

/* Persistent values that this procedure reads get their places now; `pack` computes them.
 */
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
            Buffer b = {.name = name_of(f, base),
                        .home = HOME_WORKSPACE,
                        .persistent = true,
                        .shape = f->g->node[base].shape,
                        .element = element_of(f, base)};
            f->lasting[base] = (Place){.buffer = add_buffer(f->p, b), .dense = true};
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
    NodeId *root = NEW_ARRAY(arena, NodeId, 3 * n + 2 * f->g->n_state + f->g->n_param + 64);
    int n_root = find_roots(f, root);
    f->is_root = NEW_ARRAY(arena, bool, n);
    for (int i = 0; i < n_root; i++)
        if (root[i] !=
            NO_NODE) { /* what the procedure owes it computes, of parameters or not */
            f->is_root[root[i]] = true;
            f->given[root[i]] = false;
        }
    f->s = schedule_make(arena, f->g, f->stages, f->p->fuse, root, n_root, f->given);
}

static void make_procedure(Fuse *f, ProcId id)
{
    begin_procedure(f, id);
    Procedure *proc = &f->p->proc[id];
    Procedure built = {0}; /* pack gets stages from the others while they are made */
    Procedure *to = id == PROC_PACK ? &built : proc;
    if (!f->packing)
        note_persistent(f);
    place_all(f);
    for (int stage = 0; stage < f->s->n_stage; stage++)
        make_stage(f, to, stage);
    copy_states_out(f, to);
    if (id == PROC_UPDATE)
        copy_updates(f, to);
    if (id == PROC_INIT)
        fill_optimizer(f, to);
    find_results(f, to);
    for (int i = 0; f->packing && i < proc->n_stage; i++)
        *PUSH(f->p->arena, built.stage, built.n_stage, built.stage_capacity) =
            proc->stage[i];
    if (f->packing)
        *proc = built;
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
    /* the parts of a concatenation stand where it stands, so they are made where it is made
     */
    for (NodeId id = 0; id < g->n_node; id++)
        for (int i = 0; g->node[id].op == OP_CONCAT && i < g->node[id].n_arg; i++)
            if (!f->of_params[id])
                f->of_params[g->node[id].arg[i]] = false;
}

/* Steps of a block: what passes between groups of one stage stays in half of the second
 * level. */
static void size_blocks(Plan *p)
{
    for (int i = 0; i < PROC_COUNT; i++)
        for (int k = 0; k < p->proc[i].n_stage; k++) {
            int64_t bytes = 0, block = p->steps_max;
            for (int b = 0; b < p->n_buffer; b++)
                if (p->buffer[b].span == SPAN_BLOCK && p->buffer[b].axes & AXIS_TIME &&
                    p->buffer[b].home == HOME_WORKSPACE && (int)p->buffer[b].proc == i &&
                    p->buffer[b].first_stage == k)
                    bytes += p->buffer[b].slot_stride * 4;
            if (bytes > 0 && bytes * block > p->target.l2_bytes / 2)
                block = p->target.l2_bytes / 2 / bytes;
            p->proc[i].stage[k].block =
                block < 4 ? (p->steps_max < 4 ? p->steps_max : 4) : block;
        }
}

static int64_t longest_block(const Plan *p)
{
    int64_t block = 1;
    for (int i = 0; i < PROC_COUNT; i++)
        for (int k = 0; k < p->proc[i].n_stage; k++)
            if (p->proc[i].stage[k].block > block)
                block = p->proc[i].stage[k].block;
    return block;
}

static void size_slots(Plan *p)
{
    int64_t block = longest_block(p);
    for (int b = 0; b < p->n_buffer; b++) {
        Buffer *of = &p->buffer[b];
        if (of->span != SPAN_BLOCK || !(of->axes & AXIS_TIME) || of->home != HOME_WORKSPACE)
            continue;
        of->n_slot = block;
        of->bytes = of->n_slot * of->slot_stride * 4;
    }
}

/* ---- how many threads pay ---- */

/* A chunk below some 20 microseconds loses more at barriers than a second thread gains;
   with 100 GFLOP/s on one core that is this many multiplications and additions. */
static const double FLOPS_OF_ONE_THREAD = 2e6;

static double flops_of(const Plan *p, const Stage *s)
{
    double flops = 0;
    double points = s->kind == STAGE_TIME || s->kind == STAGE_SUM
                        ? (double)p->steps_max * (double)p->rows_max
                        : (double)p->rows_max;
    for (int i = 0; i < s->n_group; i++)
        for (int k = 0; k < s->group[i].n_nest; k++) {
            const Contraction *c = s->group[i].nest[k].contraction;
            if (c)
                flops += 2 * points * (double)c->n_batch * (double)c->m * (double)c->n *
                         (double)c->k;
        }
    return flops;
}

/* Rows are what threads share; one row has no share to give. */
static int32_t threads_that_pay(const Plan *p)
{
    double flops = 0;
    for (int i = 0; i < p->proc[PROC_GRAD].n_stage; i++)
        flops += flops_of(p, &p->proc[PROC_GRAD].stage[i]);
    if (flops < FLOPS_OF_ONE_THREAD)
        return 1;
    return p->rows_max < PLAN_MAX_THREADS ? (int32_t)p->rows_max : PLAN_MAX_THREADS;
}

Plan *fuse_pass(Arena *arena, const Graph *g, const PlanTarget *target, bool fuse,
                int64_t steps_max, int64_t rows_max)
{
    Plan *p = NEW(arena, Plan);
    *p = (Plan){.arena = arena,
                .graph = g,
                .target = *target,
                .fuse = fuse,
                .steps_max = steps_max,
                .rows_max = rows_max,
                .threads_max = PLAN_MAX_THREADS};
    Fuse f = {.p = p, .g = g, .stages = stage_pass(g)};
    f.lasting = NEW_ARRAY(arena, Place, g->n_node + 1);
    f.root_of_pack = NEW_ARRAY(arena, bool, g->n_node + 1);
    find_of_params(&f);
    static const ProcId order[] = {PROC_GRAD,   PROC_EVAL, PROC_STEP,
                                   PROC_UPDATE, PROC_INIT, PROC_PACK};
    for (int i = 0; i < COUNT(order); i++)
        make_procedure(&f, order[i]);
    Procedure *update = &p->proc[PROC_UPDATE]; /* new parameters, new panels */
    for (int i = 0; i < p->proc[PROC_PACK].n_stage; i++)
        *PUSH(arena, update->stage, update->n_stage, update->stage_capacity) =
            p->proc[PROC_PACK].stage[i];
    size_blocks(p);
    size_slots(p);
    p->threads_max = threads_that_pay(p);
    return p;
}
