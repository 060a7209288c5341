/*
 * cost.c — what a plan computes and moves, counted from its loops.
 *
 * A product of m × n × k is 2 m n k operations at every point where it runs; an
 * elementwise operation is one for each turn of its sweep's loops. A point is one step of
 * one row. Counted is the largest chunk that the plan is for.
 *
 * Bytes are those of the places that a nest names, each place once a nest: panels of a
 * weight once for every time that the product is begun (each step of a scan, each block of
 * a map), everything else once for each point. Scratch does not count: one row of it stays
 * in the first-level cache.
 */
#include "report.h"

#include <string.h>

/* ---- operations ---- */

static bool counts(const Plan *p, NodeId node, int phase)
{
    return phase == ANY_PHASE || (int)p->graph->node[node].phase == phase;
}

static bool computes(InstrKind kind)
{
    return kind == I_MAP || kind == I_REDUCE || kind == I_ACCUMULATE || kind == I_SCATTER;
}

static void add_operations(const Plan *p, const Stage *stage, const Nest *n, int phase,
                           Cost *cost)
{
    const Contraction *c = n->contraction;
    if (c && counts(p, c->node, phase))
        cost->product += plan_points(p, stage, n->sum) * contraction_flops(c);
    for (int i = 0; i < n->n_sweep; i++) {
        const Sweep *s = &n->sweep[i];
        double turns = plan_points(p, stage, s->each_point ? n->sum : 0);
        for (int d = 0; d < s->rank; d++)
            turns *= (double)s->extent[d];
        for (int k = 0; k < s->n_instr; k++)
            if (computes(s->instr[k].kind) && counts(p, s->instr[k].node, phase))
                cost->elementwise += turns;
    }
}

/* ---- bytes ---- */

/* Every place of a nest once: the first meeting counts. */
typedef struct {
    const Plan *p;
    Cost *cost;
    int n_seen;
    struct Seen {
        const Access *access;
        bool write;
    } seen[256];
} Traffic;

static bool seen_before(Traffic *t, const Access *a, bool write)
{
    for (int i = 0; i < t->n_seen; i++) {
        const Access *o = t->seen[i].access;
        bool place = o->buffer == a->buffer && o->when == a->when && o->shift == a->shift;
        bool made_here = t->seen[i].write && !write;
        if (place && (made_here || (o->offset == a->offset && t->seen[i].write == write)))
            return true;
    }
    if (t->n_seen < COUNT(t->seen))
        t->seen[t->n_seen++] = (struct Seen){a, write};
    return false;
}

static double times_of(const Plan *p, const Buffer *b, const Access *a)
{
    return plan_extent(p, a->when == AT_STEP ? b->axes : b->axes & AXIS_ROW);
}

/* `elements` at each point of the buffer. What this nest has written is in cache when it is
   read again, and does not count. */
static void add_access(Traffic *t, const Access *a, double elements, bool write)
{
    const Buffer *b = a->buffer >= 0 ? &t->p->buffer[a->buffer] : NULL;
    if (!b || b->home == HOME_SCRATCH || seen_before(t, a, write))
        return;
    double bytes =
        elements * times_of(t->p, b, a) * (double)element_bytes(t->p, b->element);
    *(write ? &t->cost->written_bytes : &t->cost->read_bytes) += bytes;
}

static void add_sweep_bytes(Traffic *t, const Sweep *s)
{
    for (int i = 0; i < s->n_instr; i++) {
        double elements = 1;
        for (int d = 0; d < s->rank; d++)
            if (s->instr[i].access.stride[d])
                elements *= (double)s->extent[d];
        add_access(t, &s->instr[i].access, elements, instr_writes(&s->instr[i]));
    }
}

/* How often a thread's part of a product is begun, and the panels streamed. */
static double passes_over_panels(const Plan *p, const Stage *s, const Group *group)
{
    if (s->kind != STAGE_TIME)
        return 1;
    return (double)(group->scan ? p->steps_max : (p->steps_max + s->block - 1) / s->block);
}

static void add_product_bytes(Traffic *t, const Stage *s, const Group *group,
                              const Contraction *c)
{
    double batch = (double)c->n_batch, m = (double)c->m, n = (double)c->n, k = (double)c->k;
    add_access(t, &c->a, batch * m * k, false);
    if (c->packed >= 0)
        t->cost->read_bytes +=
            (double)t->p->buffer[c->packed].bytes * passes_over_panels(t->p, s, group);
    else
        add_access(t, &c->b, batch * n * k, false);
    if (c->has_init)
        add_access(t, &c->init, batch * m * (c->init.stride[2] ? n : 1), false);
    add_access(t, &c->c, batch * m * n, true);
}

static void add_bytes(const Plan *p, const Stage *s, const Group *group, const Nest *n,
                      Cost *cost)
{
    Traffic t = {.p = p, .cost = cost};
    if (n->contraction)
        add_product_bytes(&t, s, group, n->contraction);
    for (int i = 0; i < n->n_sweep; i++)
        add_sweep_bytes(&t, &n->sweep[i]);
    if (n->pack >= 0) {
        const Buffer *b = &p->buffer[n->pack];
        cost->read_bytes += (double)element_bytes(p, b->element) * (double)b->pack_batch *
                            (double)b->pack_n * (double)b->pack_k;
        cost->written_bytes += (double)b->bytes;
    }
}

/* ---- sums ---- */

Cost cost_of_nest(const Plan *p, const Stage *s, const Group *group, const Nest *n,
                  int phase)
{
    Cost cost = {0};
    add_operations(p, s, n, phase, &cost);
    if (phase == ANY_PHASE)
        add_bytes(p, s, group, n, &cost);
    return cost;
}

void cost_add(Cost *to, Cost more)
{
    to->product += more.product;
    to->elementwise += more.elementwise;
    to->read_bytes += more.read_bytes;
    to->written_bytes += more.written_bytes;
}

Cost cost_of_stage(const Plan *p, const Stage *s, int phase)
{
    Cost cost = {0};
    for (int i = 0; i < s->n_group; i++)
        for (int k = 0; k < s->group[i].n_nest; k++)
            cost_add(&cost, cost_of_nest(p, s, &s->group[i], &s->group[i].nest[k], phase));
    return cost;
}

Cost cost_of_procedure(const Plan *p, ProcId proc, int phase)
{
    Cost cost = {0};
    for (int i = 0; i < p->proc[proc].n_stage; i++)
        cost_add(&cost, cost_of_stage(p, &p->proc[proc].stage[i], phase));
    return cost;
}

/* ---- expected time ---- */

/*
 * Products run at the peak. An elementwise operation takes as long as eight operations of a
 * product: it is one instruction where a product's two are one, it loads or stores about
 * as often as it computes, and some (exp, tanh, division) are a dozen instructions. Memory
 * is taken to keep up; where it does not, the time measured says so.
 */
double cost_seconds(Cost cost, double peak)
{
    enum { AS_PRODUCT = 8 };
    return (cost.product + AS_PRODUCT * cost.elementwise) / peak;
}

/* ---- numbers for people ---- */

static const char *scaled(Arena *arena, double n, double by, const char *const *unit,
                          int n_unit)
{
    int i = 0;
    for (; n >= by && i < n_unit - 1; i++)
        n /= by;
    if (i == 0)
        return arena_print(arena, "%.0f%s", n, unit[0]);
    return arena_print(arena, "%.*f%s", n < 10 ? 2 : n < 100 ? 1 : 0, n, unit[i]);
}

const char *count_print(Arena *arena, double n)
{
    static const char *const unit[] = {"", " k", " M", " G", " T", " P"};
    return scaled(arena, n, 1000, unit, COUNT(unit));
}

const char *bytes_print(Arena *arena, double n)
{
    static const char *const unit[] = {" bytes", " KiB", " MiB", " GiB", " TiB", " PiB"};
    return scaled(arena, n, 1024, unit, COUNT(unit));
}
