/*
 * panel.c — second operands of products as panels: how wide, who fills them, and when.
 *
 * A product reads its second operand panel by panel, a few vectors of columns, k after k:
 * as wide as the register tile that the target names, or narrower where there are not so
 * many columns. Panels of parameters alone last: `pack` fills them, once for all who read
 * them, and `update` ends with what `pack` does. Other panels are filled by the procedure
 * itself, in a stage ahead of the one that reads them. And a parameter that is no wider
 * than a panel and lies as its panel would is read where it stands, by procedures that
 * write no parameters.
 *
 * Widths are not the pass `tile`'s, which cuts everything else: what nests and stages there
 * are depends on them.
 *
 * Needs: contractions with Contraction.b and of_params.
 * Makes: Contraction.packed, buffers with panels, nests that fill them.
 */
#include "passes/panel.h"

#include <string.h>

/* Columns of a panel: those of a tile, or fewer, in whole vectors, when there are no more.
 */
static int panel_width(const PlanTarget *t, int64_t n)
{
    int64_t most = (int64_t)t->vector * t->tile_vectors, all = round_up(n, t->vector);
    return (int)(all < most ? all : most);
}

/* What the pass `share` asks for, else the most. */
static int width_of(const Plan *p, const Contraction *c)
{
    return c->panel ? c->panel : panel_width(&p->target, c->n);
}

static int panels_add(Plan *p, const Contraction *c, Buffer b)
{
    b.n_slot = 1, b.pack_batch = c->n_batch, b.pack_n = c->n, b.pack_k = c->k;
    b.shape = (Shape){1, {c->n_batch * round_up(c->n, b.panel) * c->k}};
    b.bytes = capped((double)b.shape.dim[0] * (double)element_bytes(p, b.element));
    *PUSH(p->arena, p->buffer, p->n_buffer, p->buffer_capacity) = b;
    return p->n_buffer - 1;
}

/* ---- parameters read where they stand ---- */

static bool stands_as_panel(const Plan *p, ProcId id, const Contraction *c)
{
    bool reads = id == PROC_GRAD || id == PROC_EVAL || id == PROC_STEP;
    const int64_t *stride = c->b.stride;
    return reads && p->buffer[c->b.buffer].home == HOME_PARAMS && width_of(p, c) == c->n &&
           stride[1] == 1 && stride[2] == c->n &&
           (c->n_batch == 1 || stride[0] == c->n * c->k);
}

static int panel_in_place(Plan *p, const Contraction *c)
{
    const Buffer *weight = &p->buffer[c->b.buffer];
    return panels_add(p, c,
                      (Buffer){.name = weight->name,
                               .home = HOME_PARAMS,
                               .offset = weight->offset + c->b.offset,
                               .panel = (int)c->n});
}

/* ---- panels that are filled ---- */

static bool same_matrix(const Plan *p, const Access *a, const Access *b)
{
    const Buffer *x = &p->buffer[a->buffer], *y = &p->buffer[b->buffer];
    bool own = x->home == HOME_WORKSPACE;
    return x->home == y->home && (own ? a->buffer == b->buffer : x->offset == y->offset) &&
           a->offset == b->offset && memcmp(a->stride, b->stride, sizeof a->stride) == 0;
}

/* Panels that a nest of the stage fills from the product's second operand; -1: none. */
static int find_panels(const Plan *p, const Stage *fills, const Contraction *c)
{
    for (int i = 0; fills->n_group > 0 && i < fills->group[0].n_nest; i++) {
        const Nest *n = &fills->group[0].nest[i];
        const Buffer *b = &p->buffer[n->pack];
        if (same_matrix(p, &n->pack_from, &c->b) && b->pack_batch == c->n_batch &&
            b->pack_n == c->n && b->pack_k == c->k && b->panel == width_of(p, c))
            return n->pack;
    }
    return -1;
}

static int add_panels(Plan *p, ProcId id, Stage *fills, const Contraction *c)
{
    bool across = access_is_transposed(&c->b, c->n, c->k);
    Buffer b = {.name = arena_print(p->arena, "panels of %s%s", p->buffer[c->b.buffer].name,
                                    across ? "ᵀ" : ""),
                .home = HOME_WORKSPACE,
                .panel = width_of(p, c),
                .persistent = c->of_params,
                .proc = id};
    if (fills->n_group == 0)
        *PUSH(p->arena, fills->group, fills->n_group, fills->group_capacity) = (Group){0};
    Group *g = &fills->group[0];
    Nest *n = PUSH(p->arena, g->nest, g->n_nest, g->nest_capacity);
    n->pack = panels_add(p, c, b), n->pack_from = c->b;
    return n->pack;
}

/* lasting: the stage of `pack` that fills what lasts; own: the one ahead of the product. */
static int panels_of(Plan *p, ProcId id, const Contraction *c, Stage *lasting, Stage *own)
{
    Stage *fills = c->of_params ? lasting : own;
    int found = find_panels(p, fills, c);
    if (found >= 0)
        return found;
    if (c->of_params && stands_as_panel(p, id, c))
        return panel_in_place(p, c);
    return add_panels(p, id, fills, c);
}

/* ---- stages ---- */

/* Puts a stage ahead of number i: what lives from there on moves with it, what it fills
   lives in both. */
static void insert_stage(Plan *p, ProcId id, int i, const Stage *stage)
{
    Procedure *proc = &p->proc[id];
    PUSH(p->arena, proc->stage, proc->n_stage, proc->stage_capacity);
    memmove(&proc->stage[i + 1], &proc->stage[i],
            (size_t)(proc->n_stage - 1 - i) * sizeof *proc->stage);
    proc->stage[i] = *stage;
    for (int b = 0; b < p->n_buffer; b++) {
        Buffer *of = &p->buffer[b];
        if (of->proc != id || of->persistent || of->panel > 0)
            continue;
        of->first_stage += of->first_stage >= i && of->first_stage < INT32_MAX;
        of->last_stage += of->last_stage >= i;
    }
    for (int n = 0; n < stage->group[0].n_nest; n++) {
        Buffer *filled = &p->buffer[stage->group[0].nest[n].pack];
        filled->first_stage = i, filled->last_stage = i + 1;
    }
}

static void panels_of_stage(Plan *p, ProcId id, int *i, Stage *lasting)
{
    const Stage *s = &p->proc[id].stage[*i];
    Stage own = {.kind = STAGE_ONCE};
    for (int g = 0; s->kind != STAGE_SUM && g < s->n_group; g++)
        for (int n = 0; n < s->group[g].n_nest; n++) {
            Contraction *c = s->group[g].nest[n].contraction;
            if (c)
                c->packed = panels_of(p, id, c, lasting, &own);
        }
    if (own.n_group > 0)
        insert_stage(p, id, (*i)++, &own);
}

static void append_stage(Plan *p, ProcId id, const Stage *s)
{
    Procedure *proc = &p->proc[id];
    *PUSH(p->arena, proc->stage, proc->n_stage, proc->stage_capacity) = *s;
}

void panel_pass(Plan *p)
{
    static const ProcId order[] = {PROC_GRAD,   PROC_EVAL, PROC_STEP,
                                   PROC_UPDATE, PROC_INIT, PROC_PACK};
    Stage lasting = {.kind = STAGE_ONCE};
    for (int k = 0; k < COUNT(order); k++)
        for (int i = 0; i < p->proc[order[k]].n_stage; i++)
            panels_of_stage(p, order[k], &i, &lasting);
    if (lasting.n_group > 0)
        append_stage(p, PROC_PACK, &lasting);
    for (int i = 0; i < p->proc[PROC_PACK].n_stage; i++) /* new parameters, new panels */
        append_stage(p, PROC_UPDATE, &p->proc[PROC_PACK].stage[i]);
}
