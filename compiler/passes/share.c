/*
 * share.c — how threads share what runs in time: by rows, or by features.
 *
 * By rows they need not wait for each other, and every thread reads all weights at each
 * step. With one row, or few and large weights, that leaves cores idle or waiting for their
 * second-level cache. By features a thread has a part of every row: of a product's columns
 * and of the sweeps behind it, so that its share of the weights stays near it; in each step
 * the threads wait for what the others made (barrier.c says where). In the maps of such a
 * stage each thread takes a part of the steps.
 *
 * For that all nests of a scan must fall into parts along their innermost dimension, its
 * period: nobody reduces over it, and within a nest nobody reads what another part writes.
 * A product whose columns are several periods (the gates of a cell) becomes a batch of as
 * many products with one first operand, so that its parts and those of the sweep over one
 * period are the same ones. Panels are then as wide as a part's unit, which is chosen so
 * that two threads have the same work, and no wider panel would do.
 *
 * Whether it pays: a step's products at the rate of multiplications or at that of reading
 * what does not fit the first level, its elementwise work, its barriers. None of it asks
 * for the number of threads at hand, so that bits do not depend on it.
 *
 * Needs: stages in time with all their nests, sizes.
 * Makes: Stage.features; of the nests in scans Nest.split and unit; contractions that fall
 * into batches, and the width of their panels; Plan.threads_max.
 */
#include "passes/share.h"

/* ---- periods and units ---- */

static int64_t innermost(const Sweep *s)
{
    return s->rank > 0 ? s->extent[s->rank - 1] : 0;
}

/* The longer of two threads' parts of so many elements in such units. */
static int64_t longer_half(int64_t period, int64_t unit)
{
    int64_t units = (period + unit - 1) / unit, first = units / 2 * unit;
    return first > period - first ? first : period - first;
}

static int64_t unit_of(const PlanTarget *t, int64_t period)
{
    int64_t best = (int64_t)t->tile_vectors * t->vector;
    for (int vectors = t->tile_vectors / 2; vectors > 0; vectors /= 2) {
        int64_t unit = (int64_t)vectors * t->vector;
        if (longer_half(period, unit) < longer_half(period, best))
            best = unit;
    }
    return best;
}

/* That of the sweeps of the group that read or write this buffer and cut n into whole
   periods; else n. */
static int64_t period_of_columns(const Group *g, int buffer, int64_t n)
{
    for (int i = 0; i < g->n_nest; i++)
        for (int k = 0; k < g->nest[i].n_sweep; k++) {
            const Sweep *s = &g->nest[i].sweep[k];
            int64_t period = innermost(s);
            for (int j = 0; period > 0 && n % period == 0 && j < s->n_instr; j++)
                if (s->instr[j].access.buffer == buffer && instr_touches(s->instr[j].kind))
                    return period;
        }
    return n;
}

static int64_t period_of(const Group *g, const Nest *n)
{
    const Contraction *c = n->contraction;
    return n->n_sweep > 0 ? innermost(&n->sweep[0])
           : c            ? period_of_columns(g, c->c.buffer, c->n)
                          : 0;
}

/* ---- products as batches of periods ---- */

static bool falls_into(const Contraction *c, int64_t period)
{
    return c->n % period == 0 && (c->n == period || c->n_batch == 1);
}

static Contraction batched(const Contraction *c, int64_t period)
{
    Contraction b = *c;
    if (c->n == period)
        return b;
    b.n_batch = c->n / period, b.n = period;
    b.a.stride[0] = 0;
    b.b.stride[0] = period * c->b.stride[1];
    b.c.stride[0] = period * c->c.stride[2];
    b.init.stride[0] = period * c->init.stride[2];
    return b;
}

/* ---- which stages can ---- */

static bool sweep_falls(const Sweep *s, int64_t period)
{
    if (innermost(s) != period || s->reduced >> (s->rank - 1) & 1)
        return false;
    for (int i = 0; i < s->n_instr; i++) {
        const Instr *in = &s->instr[i];
        if (instr_sums(in) || in->kind == I_ORTHOGONAL ||
            (instr_writes(in) && in->access.stride[s->rank - 1] == 0))
            return false;
    }
    return true;
}

static bool nest_falls(const Plan *p, const Group *g, const Nest *n)
{
    int64_t period = period_of(g, n);
    if (period == 0 || (n->contraction && !falls_into(n->contraction, period)))
        return false;
    for (int i = 0; i < n->n_sweep; i++)
        if (!sweep_falls(&n->sweep[i], period))
            return false;
    Nest trial = *n;
    Contraction c;
    if (n->contraction) {
        c = batched(n->contraction, period);
        trial.contraction = &c;
    }
    return !nest_parts_meet(p, &trial);
}

static bool stage_falls(const Plan *p, const Stage *s)
{
    int n_scan = 0;
    for (int g = 0; g < s->n_group; g++) {
        n_scan += s->group[g].scan;
        for (int i = 0; s->group[g].scan && i < s->group[g].n_nest; i++)
            if (!nest_falls(p, &s->group[g], &s->group[g].nest[i]))
                return false;
    }
    return n_scan > 0;
}

/* ---- whether it pays ---- */

/* Of one core, and of two that meet. */
static const double FLOPS_A_SECOND = 100e9, SECOND_LEVEL_BYTES_A_SECOND = 75e9,
                    BARRIER_SECONDS = 150e-9, PAYS = 0.85;
enum { ELEMENTWISE_AS_FLOPS = 8 };

/* A step of a scan: of one row, but for the panels. */
typedef struct {
    double product, elementwise, panel_bytes;
    int n_product;
} Step;

static void add_nest(const Plan *p, const Nest *n, Step *step)
{
    const Contraction *c = n->contraction;
    if (c) {
        step->product += contraction_flops(c);
        step->panel_bytes +=
            (double)c->n_batch * (double)c->n * (double)c->k * (double)p->target.real_bytes;
        step->n_product++;
    }
    for (int i = 0; i < n->n_sweep; i++) {
        double turns = 1;
        for (int d = 0; d < n->sweep[i].rank; d++)
            turns *= (double)n->sweep[i].extent[d];
        for (int k = 0; k < n->sweep[i].n_instr; k++)
            step->elementwise += n->sweep[i].instr[k].kind == I_MAP ? turns : 0;
    }
}

/* With so many rows and this part of the features. */
static double seconds_of(const Plan *p, const Step *s, double rows, double part)
{
    double bytes = s->panel_bytes * part - (double)p->target.l1_bytes;
    double multiplying = rows * part * s->product / FLOPS_A_SECOND;
    double reading = bytes > 0 ? bytes / SECOND_LEVEL_BYTES_A_SECOND : 0;
    return (multiplying > reading ? multiplying : reading) +
           rows * part * ELEMENTWISE_AS_FLOPS * s->elementwise / FLOPS_A_SECOND;
}

/* On two threads; each product waits once for what it reads. */
static bool scan_pays(const Plan *p, const Group *g)
{
    Step step = {0};
    double part = 0;
    for (int i = 0; i < g->n_nest; i++) {
        int64_t period = period_of(g, &g->nest[i]);
        if (period == 0)
            return false;
        double its = (double)longer_half(period, unit_of(&p->target, period));
        part = its / (double)period > part ? its / (double)period : part;
        add_nest(p, &g->nest[i], &step);
    }
    double rows = (double)((p->rows_max + 1) / 2);
    double by_features =
        seconds_of(p, &step, (double)p->rows_max, part) + step.n_product * BARRIER_SECONDS;
    return by_features < PAYS * seconds_of(p, &step, rows, 1);
}

static bool stage_pays(const Plan *p, const Stage *s)
{
    for (int g = 0; g < s->n_group; g++)
        if (s->group[g].scan && !scan_pays(p, &s->group[g]))
            return false;
    return true;
}

/* ---- how many threads pay ---- */

/* A chunk below some 20 microseconds loses more at barriers than a second thread gains;
   with 100 GFLOP/s on one core that is this many multiplications and additions. */
static const double FLOPS_OF_ONE_THREAD = 2e6;

static double flops_of(const Plan *p, const Stage *s)
{
    double flops = 0;
    for (int i = 0; i < s->n_group; i++)
        for (int k = 0; k < s->group[i].n_nest; k++) {
            const Nest *n = &s->group[i].nest[k];
            if (n->contraction)
                flops += plan_points(p, s, n->sum) * contraction_flops(n->contraction);
        }
    return flops;
}

/* The most parts that threads can share: rows; or features of a scan, by as many threads as
   scan_pays has judged, since more would wait longer at each step to save less. */
static int64_t parts_of(const Plan *p)
{
    enum { THREADS_JUDGED = 2 };
    for (int i = 0; i < p->proc[PROC_GRAD].n_stage; i++)
        if (p->proc[PROC_GRAD].stage[i].features)
            return THREADS_JUDGED;
    return p->rows_max;
}

static int32_t threads_that_pay(const Plan *p)
{
    double flops = 0;
    for (int i = 0; i < p->proc[PROC_GRAD].n_stage; i++)
        flops += flops_of(p, &p->proc[PROC_GRAD].stage[i]);
    if (flops < FLOPS_OF_ONE_THREAD)
        return 1;
    int64_t parts = parts_of(p);
    return parts < PLAN_MAX_THREADS ? (int32_t)parts : PLAN_MAX_THREADS;
}

/* ---- the pass ---- */

static void share_scan(Plan *p, Group *g)
{
    for (int i = 0; i < g->n_nest; i++) {
        Nest *n = &g->nest[i];
        int64_t period = period_of(g, n);
        n->unit = unit_of(&p->target, period);
        n->split = SPLIT_N;
        if (n->contraction) {
            *n->contraction = batched(n->contraction, period);
            n->contraction->panel = (int)n->unit;
        }
    }
}

static void share_stage(Plan *p, Stage *s)
{
    s->features = stage_pays(p, s) && stage_falls(p, s);
    for (int g = 0; s->features && g < s->n_group; g++)
        if (s->group[g].scan)
            share_scan(p, &s->group[g]);
}

void share_pass(Plan *p)
{
    for (int id = 0; id < PROC_COUNT; id++)
        for (int i = 0; i < p->proc[id].n_stage; i++)
            if (p->proc[id].stage[i].kind == STAGE_TIME)
                share_stage(p, &p->proc[id].stage[i]);
    p->threads_max = threads_that_pay(p);
}
