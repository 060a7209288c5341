/* fuse.h — from a settled graph to a plan. See fuse.c; where threads wait comes from
   barrier.c, buffers' offsets come from place.c. */
#ifndef RNNC_FUSE_H
#define RNNC_FUSE_H

#include "passes/plan.h"
#include "passes/stage.h"

/* fuse false: one operation in each nest, everything through memory, the same products. */
Plan *fuse_pass(Arena *arena, const Graph *g, const Stages *stages,
                const PlanTarget *target, bool fuse, int64_t steps_max, int64_t rows_max);
void barrier_pass(Plan *p);
void place_pass(Plan *p);

#endif
