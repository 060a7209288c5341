/*
 * plan_verify_tile.c — what emitters rely on in how a plan is cut.
 *
 * A tile that does not fit the registers would only be slow; chains that do not cover k,
 * or halves of different lengths, would be wrong.
 */
#include "passes/plan.h"

/* Registers for the accumulators, b's operands and one of a; with several chains, whose
   operands are wanted at once, the accumulators alone. */
static int registers_of(const Tiling *g, int rows, int panels)
{
    int columns = panels * g->vectors, sums = g->chains * rows * columns;
    return g->chains > 1 ? sums : sums + (rows == 1 ? 1 : columns) + 1;
}

static void verify_tile(const Plan *p, const Contraction *c, int rows, int panels)
{
    int registers = registers_of(&c->tiling, rows, panels);
    if (rows < 1 || rows > TILE_MAX_ROWS || panels < 1 || panels > TILE_MAX_PANELS ||
        c->tiling.vectors < 1)
        BUG("product %d has a tile of %d rows, %d panels of %d vectors", c->node, rows,
            panels, c->tiling.vectors);
    if (registers > p->target.registers)
        BUG("a tile of product %d takes %d registers of %d", c->node, registers,
            p->target.registers);
}

static void verify_chains(const Contraction *c, const Group *group)
{
    const Tiling *g = &c->tiling;
    if (g->chains < 1 || g->chains > TILE_MAX_CHAINS || (g->chains & (g->chains - 1)) ||
        (g->chains - 1) * tile_chain(c->k, g->chains) > c->k)
        BUG("product %d has %d chains over %lld", c->node, g->chains, (long long)c->k);
    if (g->alternate && !group->scan)
        BUG("product %d goes back and forth by step outside of a scan", c->node);
    if (g->halves && (!g->alternate || g->chains == 1 || c->k % g->chains != 0))
        BUG("product %d has halves of %d chains over %lld", c->node, g->chains,
            (long long)c->k);
}

/* Whatever number of panels there is, the widths add up to it: they fall to 1. */
static void verify_widths(const Contraction *c, const int *widths)
{
    for (int i = 0; widths[i] != 1; i++)
        if (i == TILE_WIDTHS - 1 || widths[i + 1] >= widths[i] || widths[i + 1] < 1)
            BUG("product %d has tiles of %d panels, then of %d", c->node, widths[i],
                i == TILE_WIDTHS - 1 ? 0 : widths[i + 1]);
}

/* Tiles cover all columns: whole panels, and those behind them. */
static void verify_rest(const Plan *p, const Contraction *c)
{
    const Tiling *g = &c->tiling;
    int64_t lanes = p->target.vector, columns = c->n % (g->vectors * lanes);
    if ((columns + lanes - 1) / lanes != g->rest)
        BUG("product %d has %d vectors over its last %lld columns", c->node, g->rest,
            (long long)columns);
}

/* The rows of a product that tiles go down are all of them, but for loops around. */
static void verify_along(const Plan *p, const Contraction *c, const Stage *stage,
                         const Group *group)
{
    Along along = c->tiling.along;
    bool map = stage->kind == STAGE_TIME && !group->scan;
    if ((along == ALONG_STEPS && (!map || p->rows_max > 1 || c->m > 1)) ||
        (along == ALONG_ROWS &&
         ((stage->kind != STAGE_TIME && stage->kind != STAGE_ROWS) || c->m > 1)))
        BUG("tiles of product %d go down %s alone", c->node,
            along == ALONG_STEPS ? "steps" : "rows");
}

static void verify_product(const Plan *p, const Contraction *c, const Stage *stage,
                           const Group *group)
{
    const Tiling *g = &c->tiling;
    int panel = p->buffer[c->packed].panel;
    verify_chains(c, group);
    verify_along(p, c, stage, group);
    if (g->vectors * p->target.vector != panel)
        BUG("product %d has tiles of %d vectors, panels of %d", c->node, g->vectors, panel);
    if (g->block < 1 && c->k > 0)
        BUG("product %d has blocks of %lld k", c->node, (long long)g->block);
    if (g->block < c->k && g->chains > 1)
        BUG("product %d has several chains in several blocks", c->node);
    if (g->ahead && g->chains > 1)
        BUG("product %d fetches ahead of several chains", c->node);
    if (g->alternate && g->halves != (c->n <= panel))
        BUG("product %d goes back and forth by halves with several panels, or by panels "
            "with one",
            c->node);
    for (int i = 0; i < COUNT(g->panels); i++) {
        if (g->panels[i][0] > 1 && (g->chains > 1 || g->alternate))
            BUG("product %d has tiles of %d panels beside its chains", c->node,
                g->panels[i][0]);
        verify_widths(c, g->panels[i]);
        if (i < g->rows)
            verify_tile(p, c, i + 1, g->panels[i][0]);
    }
}

/* Tiles do not reach over the end of a panel, nor panels over that of the array on the
   stack. */
static void verify_gathered(const Plan *p, const Contraction *c)
{
    const Tiling *g = &c->tiling;
    if (g->a_panel == 0)
        return;
    if (g->a_panel < 0 || g->a_panel % g->rows != 0 || g->a_panel % p->target.vector != 0)
        BUG("sum %d has panels of %d rows of a, tiles of %d rows, vectors of %d", c->node,
            g->a_panel, g->rows, p->target.vector);
    if (g->a_rows < 1 || g->a_rows % g->a_panel != 0)
        BUG("sum %d copies %lld rows of a into panels of %d", c->node, (long long)g->a_rows,
            g->a_panel);
    if (g->ahead)
        BUG("sum %d fetches ahead where a is not read", c->node);
    if (c->a.stride[1] != 1)
        BUG("sum %d copies rows of a that stand %lld apart", c->node,
            (long long)c->a.stride[1]);
}

static void verify_sum(const Contraction *c)
{
    if (c->tiling.chains != 1)
        BUG("sum %d is %d chains", c->node, c->tiling.chains);
    if (c->tiling.block < 1)
        BUG("sum %d has blocks of %lld points", c->node, (long long)c->tiling.block);
    if (c->tiling.c_ahead && !c->tiling.ahead)
        BUG("sum %d fetches c ahead but not a", c->node);
    if (c->tiling.ahead && c->a.stride[1] != 1)
        BUG("sum %d fetches ahead along rows that stand %lld apart", c->node,
            (long long)c->a.stride[1]);
}

/* ---- sweeps, threads ---- */

static void verify_lanes(const Plan *p, const Sweep *s, NodeId node)
{
    bool scalar = s->rank == 0 || sweep_is_wide(p->arena, s);
    if (s->lanes != 1 && (scalar || s->lanes != p->target.vector))
        BUG("a sweep of node %d takes %d lanes", node, s->lanes);
}

/* Only where points follow each other by rows is there one some rows on. */
static void verify_ahead(const Stage *s, const Nest *n, const Sweep *w, NodeId node)
{
    bool points = s->kind == STAGE_TIME ||
                  (s->kind == STAGE_SUM && w->each_point && (n->sum & AXIS_ROW));
    if (w->ahead < 0 || (w->ahead > 0 && !points))
        BUG("a sweep of node %d fetches %d rows ahead", node, w->ahead);
}

/* What one thread does of a sweep is its own: parts of a dimension that is neither reduced
   nor summed, and behind a product or other sweeps the very part that the thread has
   computed. */
static void verify_split_sweep(const Nest *n, const Sweep *s, NodeId node)
{
    const Contraction *c = n->contraction;
    bool columns = n->split == SPLIT_N;
    int d = columns ? s->rank - 1 : 0;
    if (s->rank == 0)
        BUG("threads split node %d, a sweep of which is one number", node);
    if (s->extent[d] != n->sweep[0].extent[columns ? n->sweep[0].rank - 1 : 0])
        BUG("threads split the sweeps of node %d by %lld and by %lld elements", node,
            (long long)n->sweep[0].extent[columns ? n->sweep[0].rank - 1 : 0],
            (long long)s->extent[d]);
    if (c && s->extent[d] != (columns ? c->n : c->m))
        BUG("threads split product %d by %lld and its sweep by %lld elements", c->node,
            (long long)(columns ? c->n : c->m), (long long)s->extent[d]);
    if (s->reduced >> d & 1)
        BUG("threads split a dimension that node %d reduces", node);
    if (columns && s->lanes > 0 && n->unit % s->lanes != 0)
        BUG("threads split a sweep of node %d by %lld, vectors of %d", node,
            (long long)n->unit, s->lanes);
    for (int i = 0; i < s->n_instr; i++) {
        const Instr *in = &s->instr[i];
        if (instr_sums(in) && s->extent[d] > 1 && in->access.stride[d] == 0)
            BUG("threads split a dimension that node %d sums", in->node);
    }
}

static void verify_parts(const Plan *p, const Nest *n, NodeId node)
{
    const Contraction *c = n->contraction;
    if (n->unit < 1 || n->turn < 0)
        BUG("a nest of node %d has parts of %lld, turn %d", node, (long long)n->unit,
            n->turn);
    if (n->split == SPLIT_NONE)
        return;
    if (c && n->split == SPLIT_N && n->unit % (c->tiling.vectors * p->target.vector) != 0)
        BUG("threads split product %d by %lld columns", c->node, (long long)n->unit);
    for (int i = 0; i < n->n_sweep; i++)
        verify_split_sweep(n, &n->sweep[i], node);
}

/* ---- the plan ---- */

/* A node to name the nest by. */
static NodeId node_of(const Nest *n)
{
    return n->contraction ? n->contraction->node
           : n->n_sweep > 0 && n->sweep[0].n_instr > 0
               ? n->sweep[0].instr[n->sweep[0].n_instr - 1].node
               : NO_NODE;
}

static void verify_nest(const Plan *p, const Stage *s, const Group *g, const Nest *n)
{
    const Contraction *c = n->contraction;
    if (c && c->packed >= 0)
        verify_product(p, c, s, g);
    else if (c)
        verify_sum(c);
    if (c) {
        verify_tile(p, c, c->tiling.rows, 1);
        verify_rest(p, c);
        verify_gathered(p, c);
    }
    for (int i = 0; i < n->n_sweep; i++) {
        verify_lanes(p, &n->sweep[i], node_of(n));
        verify_ahead(s, n, &n->sweep[i], node_of(n));
    }
    bool map = s->kind == STAGE_TIME && !g->scan;
    if (!stage_by_rows(s) && !map)
        verify_parts(p, n, node_of(n));
}

void plan_verify_tiles(const Plan *p)
{
    for (int id = 0; id < PROC_COUNT; id++)
        for (int i = 0; i < p->proc[id].n_stage; i++) {
            const Stage *s = &p->proc[id].stage[i];
            for (int g = 0; g < s->n_group; g++)
                for (int n = 0; n < s->group[g].n_nest; n++)
                    verify_nest(p, s, &s->group[g], &s->group[g].nest[n]);
        }
}
