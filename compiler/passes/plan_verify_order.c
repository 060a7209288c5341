/*
 * plan_verify_order.c — inside a block of steps no group reads what a later group writes.
 *
 * The groups of a stage take their turns block by block, each with all steps of the block.
 * What a group reads of a step in it was written by an earlier group, or by itself; if a
 * later one writes it, the reader finds what the last block or the last chunk has left
 * there. A state of some steps before is read behind its writer too, unless so many steps
 * lie between them as a block has. Elements are compared one by one where their ranges
 * overlap: the parts of a concatenation share a buffer.
 */
#include "passes/plan_verify_room.h"

typedef struct {
    const Access *access;
    Loops loops;
    NodeId node;
    int before; /* the one before it of the same buffer; -1: none */
} Write;

/* What groups behind the one at hand write. */
typedef struct {
    const Plan *p;
    const Stage *stage;
    int n, capacity;
    Write *write;
    int *last;    /* by buffer; -1: none */
    bool *marked; /* a buffer's elements; all are false between two questions */
    int64_t n_marked;
} Later;

/* ---- what a group reaches ---- */

typedef void Visit(Later *l, const Access *a, Loops loops, NodeId node);

static void visit_product(Later *l, const Contraction *c, bool writes, Visit *visit)
{
    if (writes) {
        visit(l, &c->c, loops_of_matrix(&c->c, c->n_batch, c->m, c->n), c->node);
        return;
    }
    visit(l, &c->a, loops_of_matrix(&c->a, c->n_batch, c->m, c->k), c->node);
    if (c->packed < 0)
        visit(l, &c->b, loops_of_matrix(&c->b, c->n_batch, c->n, c->k), c->node);
    if (c->has_init)
        visit(l, &c->init, loops_of_matrix(&c->init, c->n_batch, c->m, c->n), c->node);
}

static void visit_sweep(Later *l, const Sweep *s, bool writes, Visit *visit)
{
    for (int i = 0; i < s->n_instr; i++) {
        const Instr *in = &s->instr[i];
        if (instr_touches(in->kind) && instr_writes(in) == writes)
            visit(l, &in->access, loops_of_instr(s, in), in->node);
    }
}

/* All that its nests write, or read and leave as it is. */
static void visit_group(Later *l, const Group *g, bool writes, Visit *visit)
{
    for (int i = 0; i < g->n_nest; i++) {
        if (g->nest[i].contraction)
            visit_product(l, g->nest[i].contraction, writes, visit);
        for (int k = 0; k < g->nest[i].n_sweep; k++)
            visit_sweep(l, &g->nest[i].sweep[k], writes, visit);
    }
}

static bool moves_with_step(const Plan *p, const Access *a)
{
    return a->when == AT_STEP && p->buffer[a->buffer].axes & AXIS_TIME;
}

static void add_write(Later *l, const Access *a, Loops loops, NodeId node)
{
    if (!moves_with_step(l->p, a))
        return;
    int before = l->last[a->buffer];
    l->last[a->buffer] = l->n;
    *PUSH(l->p->arena, l->write, l->n, l->capacity) = (Write){a, loops, node, before};
}

/* ---- whether two reach the same ---- */

static void mark_elements(const Loops *l, int d, int64_t at, bool *marked, bool mark)
{
    if (d == l->n)
        marked[at] = mark;
    for (int64_t i = 0; d < l->n && i < (l->stride[d] == 0 ? 1 : l->extent[d]); i++)
        mark_elements(l, d + 1, at + i * l->stride[d], marked, mark);
}

static bool has_marked(const Loops *l, int d, int64_t at, const bool *marked)
{
    bool met = d == l->n && marked[at];
    for (int64_t i = 0; d < l->n && !met && i < (l->stride[d] == 0 ? 1 : l->extent[d]); i++)
        met = has_marked(l, d + 1, at + i * l->stride[d], marked);
    return met;
}

static bool elements_meet(Later *l, const Access *a, const Loops *loops, const Write *w)
{
    int64_t first, last, first_written, last_written;
    loops_range(loops, a->offset, &first, &last);
    loops_range(&w->loops, w->access->offset, &first_written, &last_written);
    if (last < first_written || last_written < first)
        return false;
    int64_t size = shape_size(&l->p->buffer[a->buffer].shape);
    if (size > l->n_marked)
        l->marked = NEW_ARRAY(l->p->arena, bool, size), l->n_marked = size;
    mark_elements(loops, 0, a->offset, l->marked, true);
    bool meet = has_marked(&w->loops, 0, w->access->offset, l->marked);
    mark_elements(loops, 0, a->offset, l->marked, false);
    return meet;
}

static bool in_one_block(const Stage *s, const Access *a, const Access *b)
{
    int64_t apart = (int64_t)a->shift - b->shift;
    return (apart < 0 ? -apart : apart) < s->block;
}

static void verify_read(Later *l, const Access *a, Loops loops, NodeId node)
{
    int k = moves_with_step(l->p, a) ? l->last[a->buffer] : -1;
    for (; k >= 0; k = l->write[k].before)
        if (in_one_block(l->stage, a, l->write[k].access) &&
            elements_meet(l, a, &loops, &l->write[k]))
            BUG("node %d reads %s of a block of steps before node %d has written it", node,
                l->p->buffer[a->buffer].name, l->write[k].node);
}

void plan_verify_order(const Plan *p, const Stage *s)
{
    Later l = {.p = p, .stage = s, .last = NEW_ARRAY(p->arena, int, p->n_buffer)};
    for (int i = 0; i < p->n_buffer; i++)
        l.last[i] = -1;
    for (int g = s->n_group - 1; g >= 0; g--) {
        visit_group(&l, &s->group[g], false, verify_read);
        visit_group(&l, &s->group[g], true, add_write);
    }
}
