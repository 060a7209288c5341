/*
 * fuse_size.c — how long the blocks of steps are, and how many threads pay.
 */
#include "passes/fuse_room.h"

/* ---- blocks ---- */

/* Steps of a block: what passes between groups of one stage stays in half of the second
   level. */
static void size_blocks(Plan *p)
{
    for (int i = 0; i < PROC_COUNT; i++)
        for (int k = 0; k < p->proc[i].n_stage; k++) {
            int64_t bytes = 0, block = p->steps_max;
            for (int b = 0; b < p->n_buffer; b++)
                if (p->buffer[b].span == SPAN_BLOCK && p->buffer[b].axes & AXIS_TIME &&
                    p->buffer[b].home == HOME_WORKSPACE && (int)p->buffer[b].proc == i &&
                    p->buffer[b].first_stage == k)
                    bytes +=
                        p->buffer[b].slot_stride * element_bytes(p, p->buffer[b].element);
            if (bytes > 0 && block > p->target.l2_bytes / 2 / bytes)
                block = p->target.l2_bytes / 2 / bytes;
            p->proc[i].stage[k].block =
                block < 4 ? (p->steps_max < 4 ? p->steps_max : 4) : block;
        }
}

static int64_t longest_block(const Plan *p)
{
    int64_t block = 1;
    for (int i = 0; i < PROC_COUNT; i++)
        for (int k = 0; k < p->proc[i].n_stage; k++)
            if (p->proc[i].stage[k].block > block)
                block = p->proc[i].stage[k].block;
    return block;
}

static void size_slots(Plan *p)
{
    int64_t block = longest_block(p);
    for (int b = 0; b < p->n_buffer; b++) {
        Buffer *of = &p->buffer[b];
        if (of->span != SPAN_BLOCK || !(of->axes & AXIS_TIME) || of->home != HOME_WORKSPACE)
            continue;
        of->n_slot = block;
        of->bytes = capped((double)of->n_slot * (double)of->slot_stride *
                           (double)element_bytes(p, of->element));
    }
}

/* ---- how many threads pay ---- */

/* A chunk below some 20 microseconds loses more at barriers than a second thread gains;
   with 100 GFLOP/s on one core that is this many multiplications and additions. */
static const double FLOPS_OF_ONE_THREAD = 2e6;

static double flops_of(const Plan *p, const Stage *s)
{
    double flops = 0;
    double points = s->kind == STAGE_TIME || s->kind == STAGE_SUM
                        ? (double)p->steps_max * (double)p->rows_max
                        : (double)p->rows_max;
    for (int i = 0; i < s->n_group; i++)
        for (int k = 0; k < s->group[i].n_nest; k++) {
            const Contraction *c = s->group[i].nest[k].contraction;
            if (c)
                flops += 2 * points * (double)c->n_batch * (double)c->m * (double)c->n *
                         (double)c->k;
        }
    return flops;
}

/* Rows are what threads share; one row has no share to give. */
static int32_t threads_that_pay(const Plan *p)
{
    double flops = 0;
    for (int i = 0; i < p->proc[PROC_GRAD].n_stage; i++)
        flops += flops_of(p, &p->proc[PROC_GRAD].stage[i]);
    if (flops < FLOPS_OF_ONE_THREAD)
        return 1;
    return p->rows_max < PLAN_MAX_THREADS ? (int32_t)p->rows_max : PLAN_MAX_THREADS;
}

void plan_size(Plan *p)
{
    size_blocks(p);
    size_slots(p);
    p->threads_max = threads_that_pay(p);
}
