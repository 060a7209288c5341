/*
 * fuse_place.c — where every value of a procedure stands.
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
 */
#include "passes/fuse_room.h"

#include <string.h>

/* ---- where a value stands ---- */

static Place base_place(Fuse *f, NodeId base)
{
    const Node *n = &f->g->node[base];
    if (n->op == OP_STATE || n->op == OP_FINAL) {
        bool backward = f->g->state[n->attr.index].backward;
        Place p = {.buffer = state_buffer_of(f, n->attr.index), .dense = true};
        p.when = n->op == OP_FINAL ? AT_FIRST : AT_STEP;
        p.shift = n->op == OP_STATE && backward ? 1 : 0;
        return p;
    }
    if (op_defs[n->op]->family == FAMILY_LEAF)
        return (Place){.buffer = leaf_buffer_of(f, base), .dense = true};
    if (f->given[base])
        return f->lasting[base];
    return f->place[base];
}

Access access_of(Fuse *f, NodeId id, int stage)
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
    buffer_touch(f, a.buffer, stage);
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
    /* a contraction's result passes through memory */
    for (int i = 0; i < s->n_order; i++) {
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
        int b = state_buffer_of(f, i);
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
    const Schedule *s = f->s;
    for (int i = s->users_at[leaf]; i < s->users_at[leaf + 1]; i++) {
        NodeId user = s->user[i];
        const Node *n = &f->g->node[user];
        for (int k = 0; k < n->n_arg; k++)
            if (view_base(f->g, n->arg[k]) == leaf && !read_in_time(f, user, k, next))
                return true;
    }
    return false;
}

/* In place when nobody reads the old value later; else computed beside, copied at the
   end. */
static void place_update(Fuse *f, NodeId leaf, NodeId next)
{
    if (next != NO_NODE && f->s->needed[next] && !read_later(f, leaf, next))
        place_at(f, next, leaf_buffer_of(f, leaf), AT_STEP, 0);
}

static void place_tables(Fuse *f)
{
    const Graph *g = f->g;
    for (int i = 0; i < g->n_param; i++) {
        const Param *p = &g->param[i];
        if (f->id == PROC_UPDATE)
            place_update(f, p->leaf, p->next);
        if (f->id == PROC_INIT && p->init != NO_NODE)
            place_at(f, p->init, leaf_buffer_of(f, p->leaf), AT_STEP, 0);
        if (f->id == PROC_GRAD && p->gradient != NO_NODE) {
            Buffer b = {.name = gradient_name(g, i),
                        .home = HOME_GRADS,
                        .shape = p->shape,
                        .offset = block_offset(g, OP_GRADIENT, i)};
            place_at(f, p->gradient, buffer_add(f->p, b), AT_STEP, 0);
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
                    .slot_stride = capped((double)f->p->rows_max * (double)shape_size(&s))};
        place_at(f, g->output, buffer_add(f->p, b), AT_STEP, 0);
    }
}

static void place_value(Fuse *f, NodeId id, Reach r)
{
    const Node *n = &f->g->node[id];
    Class c = f->s->slot[id].class;
    Buffer b = {.name = value_name(f, id),
                .loc = n->loc,
                .home = HOME_WORKSPACE,
                .element = value_element(f, id),
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
    place_at(f, id, buffer_add(f->p, b), AT_STEP, 0);
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

void places_make(Fuse *f)
{
    const Schedule *s = f->s;
    Reach *r = NEW_ARRAY(f->p->arena, Reach, f->g->n_node + 1);
    for (NodeId id = 0; id < f->g->n_node; id++)
        f->place[id].buffer = -1;
    find_reaches(f, r);
    /* a concatenation's parts reach as far as it does */
    for (int i = 0; i < s->n_order; i++) {
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
