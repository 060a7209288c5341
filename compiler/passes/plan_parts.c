/*
 * plan_parts.c — what the threads' parts of a nest touch, where they share features.
 *
 * A nest in a scan by features has a period, the extent of what its threads share: columns
 * of its product, the innermost dimension of its sweeps. Where an access goes along it one
 * by one and all else moves by whole periods, element e of a row belongs to the part that
 * e modulo the period falls into, in every nest of that period: two such accesses never
 * meet in different threads. All other accesses may touch any thread's elements.
 */
#include "passes/plan.h"

static int64_t period_of_nest(const Nest *n)
{
    const Sweep *s = n->n_sweep > 0 ? &n->sweep[0] : NULL;
    return n->contraction     ? n->contraction->n
           : s && s->rank > 0 ? s->extent[s->rank - 1]
                              : 0;
}

/* The period by which an access with these extents around it keeps to its part; 0: none. */
static int64_t period_kept(const Access *a, int rank, const int64_t *extent, int64_t period)
{
    if (period == 0 || rank == 0 || a->stride[rank - 1] != 1 || a->offset % period != 0)
        return 0;
    for (int d = 0; d < rank - 1; d++)
        if (extent[d] > 1 && a->stride[d] % period != 0)
            return 0;
    return period;
}

static void add_touch(const Plan *p, PartTouches *t, const Access *a, bool write,
                      int64_t step, int64_t period)
{
    const Buffer *b = &p->buffer[a->buffer];
    bool moves = a->when == AT_STEP && b->axes & AXIS_TIME &&
                 !(b->home == HOME_WORKSPACE && b->span == SPAN_ONE);
    *PUSH(p->arena, t->touch, t->n, t->capacity) =
        (PartTouch){a->buffer, write, moves, moves ? step + a->shift : 0, period};
}

static void add_product(const Plan *p, PartTouches *t, const Contraction *c, int64_t step)
{
    const int64_t extent[] = {c->n_batch, c->m, c->n};
    add_touch(p, t, &c->a, false, step, 0);
    add_touch(
        p, t,
        &(Access){.buffer = c->packed >= 0 ? c->packed : c->b.buffer, .when = AT_FIRST},
        false, step, 0);
    add_touch(p, t, &c->c, true, step, period_kept(&c->c, 3, extent, c->n));
    if (c->has_init)
        add_touch(p, t, &c->init, false, step, period_kept(&c->init, 3, extent, c->n));
}

static void add_instr(const Plan *p, PartTouches *t, const Sweep *s, const Instr *in,
                      int64_t step, int64_t period)
{
    int how = instr_touches(in->kind);
    bool by_class = in->kind == I_GATHER && in->gather_stride % (period ? period : 1) != 0;
    if (how && in->access.buffer >= 0)
        add_touch(p, t, &in->access, how & TOUCH_WRITE, step,
                  by_class ? 0 : period_kept(&in->access, s->rank, s->extent, period));
}

void nest_part_touches(const Plan *p, const Nest *n, int64_t step, PartTouches *t)
{
    int64_t period = period_of_nest(n);
    if (n->contraction)
        add_product(p, t, n->contraction, step);
    for (int i = 0; i < n->n_sweep; i++)
        for (int k = 0; k < n->sweep[i].n_instr; k++)
            add_instr(p, t, &n->sweep[i], &n->sweep[i].instr[k], step, period);
}

static bool same_memory(const PartTouch *a, const PartTouch *b)
{
    return a->buffer == b->buffer && (a->write || b->write) &&
           !(a->moves && b->moves && a->slot != b->slot);
}

bool parts_meet(const PartTouch *a, const PartTouch *b)
{
    return same_memory(a, b) && (a->period == 0 || a->period != b->period);
}

bool steps_meet(const PartTouch *a, const PartTouch *b)
{
    bool shared = a->buffer == b->buffer && (a->write || b->write);
    return shared && !(a->moves && b->moves && a->slot == b->slot);
}

bool nest_parts_meet(const Plan *p, const Nest *n)
{
    PartTouches t = {0};
    nest_part_touches(p, n, 0, &t);
    for (int i = 0; i < t.n; i++)
        for (int k = 0; k < i; k++)
            if (parts_meet(&t.touch[k], &t.touch[i]))
                return true;
    return false;
}
