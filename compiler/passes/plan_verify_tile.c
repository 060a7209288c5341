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

static void verify_product(const Plan *p, const Contraction *c, const Group *group)
{
    const Tiling *g = &c->tiling;
    int panel = p->buffer[c->packed].panel;
    verify_chains(c, group);
    if (g->vectors * p->target.vector != panel)
        BUG("product %d has tiles of %d vectors, panels of %d", c->node, g->vectors, panel);
    if (g->ahead && g->chains > 1)
        BUG("product %d fetches ahead of several chains", c->node);
    if (g->halves && c->n > panel)
        BUG("product %d has halves of chains and several panels", c->node);
    for (int i = 0; i < COUNT(g->panels); i++) {
        if (g->panels[i] > 1 && (g->chains > 1 || g->alternate))
            BUG("product %d has tiles of %d panels beside its chains", c->node,
                g->panels[i]);
        if (i < g->rows)
            verify_tile(p, c, i + 1, g->panels[i]);
    }
}

static void verify_sum(const Contraction *c)
{
    if (c->tiling.chains != 1)
        BUG("sum %d is %d chains", c->node, c->tiling.chains);
    if (c->tiling.block < 1)
        BUG("sum %d has blocks of %lld points", c->node, (long long)c->tiling.block);
}

void plan_verify_tiles(const Plan *p)
{
    for (int id = 0; id < PROC_COUNT; id++)
        for (int i = 0; i < p->proc[id].n_stage; i++) {
            const Stage *s = &p->proc[id].stage[i];
            for (int g = 0; g < s->n_group; g++)
                for (int n = 0; n < s->group[g].n_nest; n++) {
                    const Contraction *c = s->group[g].nest[n].contraction;
                    if (!c)
                        continue;
                    if (c->packed >= 0)
                        verify_product(p, c, &s->group[g]);
                    else
                        verify_sum(c);
                    verify_tile(p, c, c->tiling.rows, 1);
                }
        }
}
