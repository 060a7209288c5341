/*
 * fuse_size.c — how long the blocks of steps are.
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

/* What is kept for a block lives in one stage; what no stage touches needs no more slots.
 */
static void size_slots(Plan *p)
{
    for (int b = 0; b < p->n_buffer; b++) {
        Buffer *of = &p->buffer[b];
        if (of->span != SPAN_BLOCK || !(of->axes & AXIS_TIME) ||
            of->home != HOME_WORKSPACE || of->first_stage >= p->proc[of->proc].n_stage)
            continue;
        of->n_slot = p->proc[of->proc].stage[of->first_stage].block;
        of->bytes = capped((double)of->n_slot * (double)of->slot_stride *
                           (double)element_bytes(p, of->element));
    }
}

void plan_size(Plan *p)
{
    size_blocks(p);
    size_slots(p);
}
