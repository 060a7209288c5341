/*
 * plan_verify.c — what emitters rely on, checked after every pass that makes or
 * changes a plan: operands before users, accesses within their buffers, packed
 * operands where products want them, no two buffers that live together sharing a byte.
 */
#include "passes/plan.h"

static int64_t access_end(const Access *a, const Sweep *s)
{
    int64_t end = a->offset;
    for (int d = 0; d < s->rank; d++)
        if (a->stride[d] > 0)
            end += (s->extent[d] - 1) * a->stride[d];
    return end;
}

static void verify_access(const Plan *p, const Access *a, const Sweep *s)
{
    if (a->buffer < 0 || a->buffer >= p->n_buffer)
        BUG("an access to buffer %d of %d", a->buffer, p->n_buffer);
    const Buffer *b = &p->buffer[a->buffer];
    if (a->offset < 0 || access_end(a, s) >= shape_size(&b->shape))
        BUG("an access ends at %lld of %s, which has %lld elements",
            (long long)access_end(a, s), b->name, (long long)shape_size(&b->shape));
}

static void verify_sweep(const Plan *p, const Sweep *s)
{
    for (int i = 0; i < s->n_instr; i++) {
        const Instr *in = &s->instr[i];
        for (int k = 0; k < in->n_arg; k++)
            if (in->arg[k] < 0 || in->arg[k] >= i)
                BUG("instruction %d uses %d", i, in->arg[k]);
        if (in->access.buffer >= 0)
            verify_access(p, &in->access, s);
        if (in->kind == I_REDUCE && s->reduced == 0)
            BUG("a reduction over nothing");
    }
}

static void verify_contraction(const Plan *p, const Stage *stage, const Contraction *c)
{
    if ((stage->kind == STAGE_SUM) != (c->packed < 0))
        BUG("product %d has %s", c->node, c->packed < 0 ? "no panels" : "panels in a sum");
    if (c->packed >= 0) {
        const Buffer *b = &p->buffer[c->packed];
        if (b->panel == 0 || b->pack_n != c->n || b->pack_k != c->k ||
            b->pack_batch != c->n_batch)
            BUG("panels of %s do not fit product %d", b->name, c->node);
    }
    if (c->c.stride[2] != 1 && c->n > 1)
        BUG("columns of product %d are not contiguous", c->node);
}

static void verify_stage(const Plan *p, const Stage *stage)
{
    if (stage->kind != STAGE_TIME && stage->n_group != 1)
        BUG("a stage without time has %d groups", stage->n_group);
    for (int i = 0; i < stage->n_group; i++)
        for (int k = 0; k < stage->group[i].n_nest; k++) {
            const Nest *n = &stage->group[i].nest[k];
            if (n->contraction)
                verify_contraction(p, stage, n->contraction);
            for (int w = 0; w < n->n_sweep; w++)
                verify_sweep(p, &n->sweep[w]);
        }
}

static bool share_bytes(const Buffer *a, const Buffer *b)
{
    bool together = a->persistent || b->persistent ||
                    (a->proc == b->proc && a->first_stage <= b->last_stage &&
                     b->first_stage <= a->last_stage);
    return together && a->bytes > 0 && b->bytes > 0 && a->offset < b->offset + b->bytes &&
           b->offset < a->offset + a->bytes;
}

static void verify_places(const Plan *p)
{
    for (int i = 0; i < p->n_buffer; i++)
        for (int k = 0; k < i; k++) {
            const Buffer *a = &p->buffer[i], *b = &p->buffer[k];
            if (a->home == HOME_WORKSPACE && b->home == HOME_WORKSPACE && share_bytes(a, b))
                BUG("%s and %s share bytes", a->name, b->name);
        }
}

void plan_verify(const Plan *p)
{
    for (int i = 0; i < PROC_COUNT; i++)
        for (int k = 0; k < p->proc[i].n_stage; k++)
            verify_stage(p, &p->proc[i].stage[k]);
    if (p->workspace_bytes > 0)
        verify_places(p);
}
