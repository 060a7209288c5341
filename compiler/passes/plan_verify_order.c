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
#include "passes/plan.h"

/* An access with the loops around it. */
typedef struct {
    const Access *access;
    bool write;
    int n;
    int64_t extent[MAX_RANK + 1], stride[MAX_RANK + 1];
    NodeId node;
    int before; /* the one before it of the same buffer; -1: none */
} Reached;

typedef struct {
    int n, capacity;
    Reached *at;
    int *last; /* by buffer, then of writes alone; -1: none. NULL: in order, all */
} ReachedList;

/* ---- what a group reaches ---- */

static Reached reached(const Access *a, bool write, NodeId node)
{
    return (Reached){.access = a, .write = write, .node = node};
}

static void add_loop(Reached *r, int64_t extent, int64_t stride)
{
    r->extent[r->n] = extent;
    r->stride[r->n++] = stride;
}

/* What moves with the step alone; of a list by buffer, what is written. */
static void add(const Plan *p, ReachedList *l, Reached *r)
{
    const Buffer *b = &p->buffer[r->access->buffer];
    if (r->access->when != AT_STEP || !(b->axes & AXIS_TIME) || (l->last && !r->write))
        return;
    if (l->last) {
        r->before = l->last[r->access->buffer];
        l->last[r->access->buffer] = l->n;
    }
    *PUSH(p->arena, l->at, l->n, l->capacity) = *r;
}

static void add_matrix(const Plan *p, ReachedList *l, const Contraction *c, const Access *a,
                       bool write, int64_t rows, int64_t columns)
{
    Reached r = reached(a, write, c->node);
    add_loop(&r, c->n_batch, a->stride[0]);
    add_loop(&r, rows, a->stride[1]);
    add_loop(&r, columns, a->stride[2]);
    add(p, l, &r);
}

static void add_product(const Plan *p, ReachedList *l, const Contraction *c)
{
    add_matrix(p, l, c, &c->a, false, c->m, c->k);
    if (c->packed < 0)
        add_matrix(p, l, c, &c->b, false, c->n, c->k);
    if (c->has_init)
        add_matrix(p, l, c, &c->init, false, c->m, c->n);
    add_matrix(p, l, c, &c->c, true, c->m, c->n);
}

static void add_instr(const Plan *p, ReachedList *l, const Sweep *s, const Instr *in)
{
    if (!instr_touches(in->kind))
        return;
    Reached r = reached(&in->access, instr_writes(in), in->node);
    if (in->kind == I_GATHER || in->kind == I_SCATTER)
        add_loop(&r, in->gather_n, in->gather_stride);
    for (int d = 0; d < s->rank; d++)
        add_loop(&r, s->extent[d], in->access.stride[d]);
    add(p, l, &r);
}

static void add_group(const Plan *p, ReachedList *l, const Group *g)
{
    for (int i = 0; i < g->n_nest; i++) {
        const Nest *n = &g->nest[i];
        if (n->contraction)
            add_product(p, l, n->contraction);
        for (int k = 0; k < n->n_sweep; k++)
            for (int j = 0; j < n->sweep[k].n_instr; j++)
                add_instr(p, l, &n->sweep[k], &n->sweep[k].instr[j]);
    }
}

/* ---- whether two reach the same ---- */

static void range_of(const Reached *r, int64_t *first, int64_t *last)
{
    *first = *last = r->access->offset;
    for (int d = 0; d < r->n; d++)
        *(r->stride[d] < 0 ? first : last) += (r->extent[d] - 1) * r->stride[d];
}

/* Flags of a buffer's elements; all are false between two questions. */
typedef struct {
    bool *of;
    int64_t n;
} Marks;

static void mark_elements(const Reached *r, int d, int64_t at, bool *marked, bool mark)
{
    if (d == r->n)
        marked[at] = mark;
    for (int64_t i = 0; d < r->n && i < (r->stride[d] == 0 ? 1 : r->extent[d]); i++)
        mark_elements(r, d + 1, at + i * r->stride[d], marked, mark);
}

static bool has_marked(const Reached *r, int d, int64_t at, const bool *marked)
{
    bool met = d == r->n && marked[at];
    for (int64_t i = 0; d < r->n && !met && i < (r->stride[d] == 0 ? 1 : r->extent[d]); i++)
        met = has_marked(r, d + 1, at + i * r->stride[d], marked);
    return met;
}

static bool elements_meet(const Plan *p, Marks *marks, const Reached *a, const Reached *b)
{
    int64_t first_a, last_a, first_b, last_b;
    range_of(a, &first_a, &last_a), range_of(b, &first_b, &last_b);
    if (last_a < first_b || last_b < first_a)
        return false;
    int64_t size = shape_size(&p->buffer[a->access->buffer].shape);
    if (size > marks->n)
        *marks = (Marks){NEW_ARRAY(p->arena, bool, size), size};
    mark_elements(a, 0, a->access->offset, marks->of, true);
    bool meet = has_marked(b, 0, b->access->offset, marks->of);
    mark_elements(a, 0, a->access->offset, marks->of, false);
    return meet;
}

static bool in_one_block(const Stage *s, const Reached *a, const Reached *b)
{
    int64_t apart = (int64_t)a->access->shift - b->access->shift;
    return (apart < 0 ? -apart : apart) < s->block;
}

static void verify_read(const Plan *p, const Stage *s, const Reached *read,
                        const ReachedList *later, Marks *marks)
{
    const int buffer = read->access->buffer;
    for (int k = later->last[buffer]; k >= 0; k = later->at[k].before)
        if (in_one_block(s, read, &later->at[k]) &&
            elements_meet(p, marks, read, &later->at[k]))
            BUG("node %d reads %s of a block of steps before node %d has written it",
                read->node, p->buffer[buffer].name, later->at[k].node);
}

void plan_verify_order(const Plan *p, const Stage *s)
{
    Marks marks = {0};
    ReachedList own = {0}, later = {.last = NEW_ARRAY(p->arena, int, p->n_buffer)};
    for (int i = 0; i < p->n_buffer; i++)
        later.last[i] = -1;
    for (int g = s->n_group - 1; g >= 0; g--) {
        own.n = 0;
        add_group(p, &own, &s->group[g]);
        for (int i = 0; i < own.n; i++)
            if (!own.at[i].write)
                verify_read(p, s, &own.at[i], &later, &marks);
        add_group(p, &later, &s->group[g]);
    }
}
