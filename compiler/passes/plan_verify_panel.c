/*
 * plan_verify_panel.c — what products rely on in the panels that they read.
 *
 * Told from the nests that fill them, not from how panel.c found them: panels hold the
 * product's second operand, as it stands when the product runs.
 */
#include "passes/plan.h"

#include <string.h>

/* A product, and the stage of its procedure that runs it. */
typedef struct {
    const Plan *p;
    ProcId proc;
    int stage;
    const Contraction *c;
} Reader;

static bool is_same(const Plan *p, const Access *a, const Access *b)
{
    const Buffer *x = &p->buffer[a->buffer], *y = &p->buffer[b->buffer];
    if (x->home == HOME_WORKSPACE || x->home == HOME_SCRATCH
            ? a->buffer != b->buffer
            : x->home != y->home || x->index != y->index || x->offset != y->offset)
        return false;
    return a->offset == b->offset && a->when == b->when && a->shift == b->shift &&
           memcmp(a->stride, b->stride, sizeof a->stride) == 0;
}

/* ---- where they come from ---- */

/* The first stage of the procedure that fills the panels; -1: none. */
static int stage_that_fills(const Procedure *proc, int panels, const Nest **nest)
{
    for (int i = 0; i < proc->n_stage; i++)
        for (int g = 0; g < proc->stage[i].n_group; g++)
            for (int n = 0; n < proc->stage[i].group[g].n_nest; n++) {
                *nest = &proc->stage[i].group[g].nest[n];
                if ((*nest)->pack == panels)
                    return i;
            }
    return -1;
}

/* A parameter that is its own panel: it lies so, and stays as it is meanwhile. */
static void verify_in_place(const Reader *r, const Buffer *panels)
{
    const Contraction *c = r->c;
    const Buffer *from = &r->p->buffer[c->b.buffer];
    bool lies = c->b.stride[1] == 1 && c->b.stride[2] == c->n &&
                (c->n_batch == 1 || c->b.stride[0] == c->n * c->k);
    if (from->home != panels->home || from->offset + c->b.offset != panels->offset ||
        panels->panel != c->n || !lies)
        BUG("%s does not lie as the panels of product %d", panels->name, c->node);
    if (r->proc != PROC_GRAD && r->proc != PROC_EVAL && r->proc != PROC_STEP)
        BUG("product %d reads %s in place, where %s writes it", c->node, panels->name,
            proc_names[r->proc]);
}

static void verify_filled(const Reader *r, const Buffer *panels)
{
    const Contraction *c = r->c;
    const Nest *nest = NULL;
    ProcId by = panels->persistent ? PROC_PACK : r->proc;
    int stage = stage_that_fills(&r->p->proc[by], c->packed, &nest);
    if (stage < 0)
        BUG("nobody fills %s of product %d", panels->name, c->node);
    if (by == r->proc && stage >= r->stage)
        BUG("product %d reads %s before they are filled", c->node, panels->name);
    if (!is_same(r->p, &nest->pack_from, &c->b))
        BUG("%s are not of what product %d takes", panels->name, c->node);
    if (panels->persistent && !c->of_params)
        BUG("%s last from chunk to chunk, and product %d takes what does not", panels->name,
            c->node);
}

static void verify_width(const Plan *p, const Buffer *b)
{
    int vector = p->target.vector, most = vector * p->target.tile_vectors;
    if (b->panel < vector || b->panel > most || b->panel % vector != 0)
        BUG("%s are %d columns wide, in vectors of %d, tiles of %d", b->name, b->panel,
            vector, most);
}

static void verify_reader(const Reader *r)
{
    const Contraction *c = r->c;
    bool sum = r->p->proc[r->proc].stage[r->stage].kind == STAGE_SUM;
    if (sum != (c->packed < 0))
        BUG("product %d has %s", c->node, sum ? "panels in a sum" : "no panels");
    if (sum)
        return;
    const Buffer *b = &r->p->buffer[c->packed];
    if (b->panel == 0 || b->pack_n != c->n || b->pack_k != c->k ||
        b->pack_batch != c->n_batch)
        BUG("panels of %s do not fit product %d", b->name, c->node);
    if (b->home == HOME_WORKSPACE)
        verify_filled(r, b);
    else
        verify_in_place(r, b);
}

/* ---- the plan ---- */

/* What `pack` does is the end of `update`: the parameters are new. */
static void verify_end_of_update(const Plan *p)
{
    const Procedure *pack = &p->proc[PROC_PACK], *update = &p->proc[PROC_UPDATE];
    for (int i = 1; i <= pack->n_stage; i++)
        if (update->n_stage < i || update->stage[update->n_stage - i].group !=
                                       pack->stage[pack->n_stage - i].group)
            BUG("update does not end with what pack does");
}

void plan_verify_panels(const Plan *p)
{
    for (int i = 0; i < p->n_buffer; i++)
        if (p->buffer[i].panel != 0)
            verify_width(p, &p->buffer[i]);
    for (int id = 0; id < PROC_COUNT; id++)
        for (int i = 0; i < p->proc[id].n_stage; i++) {
            const Stage *s = &p->proc[id].stage[i];
            for (int g = 0; g < s->n_group; g++)
                for (int n = 0; n < s->group[g].n_nest; n++) {
                    Reader r = {p, (ProcId)id, i, s->group[g].nest[n].contraction};
                    if (r.c)
                        verify_reader(&r);
                }
        }
    verify_end_of_update(p);
}
