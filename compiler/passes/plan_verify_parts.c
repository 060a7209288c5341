/*
 * plan_verify_parts.c — what threads rely on that share the features of a scan, or the
 * steps of a map: no element that one of them writes is another one's before a barrier.
 *
 * Told element by element: whose part of its nest reads or writes each element of a row, of
 * everything touched since the last barrier, a few steps of a scan one after another. Not
 * from the periods that share.c and barrier.c go by.
 */
#include "passes/plan.h"

enum { NOBODY = 0, ANYBODY = -1, STEPS = 5 };

/* One access of a nest at one step: by element of a row, the unit of the nest's features
   that touches it, counted from 1, and of how many. */
typedef struct {
    const Access *access;
    bool write;
    int64_t step, units;
    int *unit; /* [size] */
} Mark;

typedef struct {
    const Plan *p;
    bool scan;
    Touched in_group; /* by any of its nests */
    int n, capacity;
    Mark *mark;
} Marks;

/* ---- who touches an element ---- */

/* The loops around an access, the innermost last: its units are those of the features. */
typedef struct {
    int rank;
    int64_t extent[MAX_RANK + 1], stride[MAX_RANK + 1];
    int64_t unit, size;
} Walk;

static void mark_element(const Walk *w, int *unit, int64_t at, int64_t index)
{
    int whose = w->unit > 0 ? (int)(index / w->unit) + 1 : ANYBODY;
    if (at < 0 || at >= w->size)
        BUG("a part touches element %lld of %lld", (long long)at, (long long)w->size);
    unit[at] = unit[at] == NOBODY || unit[at] == whose ? whose : ANYBODY;
}

static void mark_walk(const Walk *w, int *unit, int64_t at, int d)
{
    if (w->rank == 0)
        mark_element(w, unit, at, 0);
    for (int64_t i = 0; d < w->rank && i < w->extent[d]; i++, at += w->stride[d])
        if (d == w->rank - 1)
            mark_element(w, unit, at, i);
        else
            mark_walk(w, unit, at, d + 1);
}

static int64_t row_size(const Buffer *b)
{
    return b->home == HOME_START ? 1 : shape_size(&b->shape);
}

static bool moves(const Plan *p, const Access *a)
{
    const Buffer *b = &p->buffer[a->buffer];
    bool one = b->home == HOME_WORKSPACE && b->span == SPAN_ONE;
    return a->when == AT_STEP && b->axes & AXIS_TIME && !one;
}

/* ---- against what was touched before ---- */

static bool share_an_element(const Plan *p, const Mark *a, const Mark *b)
{
    int64_t size = row_size(&p->buffer[a->access->buffer]);
    for (int64_t i = 0; i < size; i++)
        if (a->unit[i] != NOBODY && b->unit[i] != NOBODY &&
            (a->unit[i] == ANYBODY || a->unit[i] != b->unit[i] || a->units != b->units))
            return true;
    return false;
}

static bool meet(const Marks *m, const Mark *a, const Mark *b)
{
    const Access *x = a->access, *y = b->access;
    if (x->buffer != y->buffer || !(a->write || b->write))
        return false;
    bool step = moves(m->p, x) && moves(m->p, y);
    bool same = a->step + x->shift == b->step + y->shift;
    if (m->scan)
        return (!step || same) && share_an_element(m->p, a, b);
    return !(step && same);
}

/* Scratch is the thread's own; in a scan it must hold what is read there at this step. */
static bool counts(const Marks *m, const Mark *a, const Mark *b)
{
    bool scratch = m->p->buffer[a->access->buffer].home == HOME_SCRATCH;
    return !scratch || (m->scan && a->step == b->step);
}

/* Of a map the steps alone tell. */
static void mark_elements(const Marks *m, Mark *mark, Walk *w, NodeId node)
{
    const Buffer *b = &m->p->buffer[mark->access->buffer];
    w->size = row_size(b);
    mark->units = w->unit > 0 ? (w->extent[w->rank - 1] + w->unit - 1) / w->unit : 0;
    mark->unit = NEW_ARRAY(m->p->arena, int, w->size + 1);
    mark_walk(w, mark->unit, mark->access->offset, 0);
    for (int64_t i = 0; mark->write && i < w->size; i++)
        if (mark->unit[i] == ANYBODY)
            BUG("several threads write one element of %s of node %d", b->name, node);
}

/* What no nest of the group writes, the tables of gathers above all, nobody waits for. */
static bool is_written(const Marks *m, const Access *a)
{
    return m->p->buffer[a->buffer].home == HOME_SCRATCH ||
           m->in_group.how[a->buffer] & TOUCH_WRITE;
}

static void add_mark(Marks *m, Mark mark, Walk w, NodeId node)
{
    const Buffer *b = &m->p->buffer[mark.access->buffer];
    if (!is_written(m, mark.access))
        return;
    if (m->scan)
        mark_elements(m, &mark, &w, node);
    for (int i = 0; i < m->n; i++)
        if (counts(m, &m->mark[i], &mark) && meet(m, &m->mark[i], &mark))
            BUG("threads share %s of node %d without a barrier", b->name, node);
    *PUSH(m->p->arena, m->mark, m->n, m->capacity) = mark;
}

/* ---- a nest ---- */

static void add_loop(Walk *w, int64_t extent, int64_t stride)
{
    w->extent[w->rank] = extent;
    w->stride[w->rank++] = stride;
}

static void add_matrix(Marks *m, Mark mark, int64_t unit, const int64_t extent[3],
                       NodeId node)
{
    Walk w = {.unit = unit};
    for (int d = 0; d < 3; d++)
        add_loop(&w, extent[d], mark.access->stride[d]);
    add_mark(m, mark, w, node);
}

/* Not the panels of its second operand: no nest of such a stage packs, and plan_verify.c
   sees that nothing else writes panels. */
static void add_product(Marks *m, const Nest *n, int64_t step)
{
    const Contraction *c = n->contraction;
    const int64_t first[] = {c->n_batch, c->m, c->k}, own[] = {c->n_batch, c->m, c->n};
    add_matrix(m, (Mark){.access = &c->a, .step = step}, 0, first, c->node);
    if (c->has_init)
        add_matrix(m, (Mark){.access = &c->init, .step = step}, n->unit, own, c->node);
    add_matrix(m, (Mark){.access = &c->c, .write = true, .step = step}, n->unit, own,
               c->node);
}

/* A gather reads where any of its classes would have it read. */
static void add_sweep(Marks *m, const Nest *n, const Sweep *s, int64_t step)
{
    for (int i = 0; i < s->n_instr; i++) {
        const Instr *in = &s->instr[i];
        int how = instr_touches(in->kind);
        if (!how || in->access.buffer < 0)
            continue;
        Walk w = {.unit = n->unit};
        if (in->kind == I_GATHER || in->kind == I_SCATTER)
            add_loop(&w, in->gather_n, in->gather_stride);
        for (int d = 0; d < s->rank; d++)
            add_loop(&w, s->extent[d], in->access.stride[d]);
        Mark mark = {.access = &in->access, .write = how & TOUCH_WRITE, .step = step};
        add_mark(m, mark, w, in->node);
    }
}

static void verify_group(const Plan *p, const Stage *s, const Group *g)
{
    Marks m = {.p = p, .scan = g->scan, .in_group = touched_new(p)};
    for (int i = 0; i < g->n_nest; i++)
        nest_touches(p, &g->nest[i], &m.in_group);
    for (int step = 0; step < (g->scan ? STEPS : 1); step++)
        for (int i = 0; i < g->n_nest; i++) {
            const Nest *n = &g->nest[i];
            if ((n->split == SPLIT_N) != g->scan || n->pack >= 0)
                BUG("a nest of a stage by features is not split as its group is");
            m.n = n->barrier ? 0 : m.n;
            if (n->contraction)
                add_product(&m, n, s->backward ? -step : step);
            for (int k = 0; k < n->n_sweep; k++)
                add_sweep(&m, n, &n->sweep[k], s->backward ? -step : step);
        }
}

void plan_verify_parts(const Plan *p, bool first, const Stage *s, const Stage *next)
{
    if (!s->features)
        return;
    if ((!s->barrier && !first) || (next && !next->barrier))
        BUG("no barrier on a side of a stage by features");
    for (int g = 0; g < s->n_group; g++) {
        if (!s->group[g].barrier && (g > 0 || s->block < p->steps_max))
            BUG("no barrier before group %d of a stage by features", g);
        verify_group(p, s, &s->group[g]);
    }
}
