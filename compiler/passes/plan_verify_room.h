/*
 * plan_verify_room.h — inside the verifiers of plans: the elements that an access reaches.
 */
#ifndef RNNC_PLAN_VERIFY_ROOM_H
#define RNNC_PLAN_VERIFY_ROOM_H

#include "passes/plan.h"

/* The loops over features around an access. */
typedef struct {
    int n;
    int64_t extent[MAX_RANK + 1], stride[MAX_RANK + 1];
} Loops;

/* Around an instruction that touches memory, those of its classes first. */
Loops loops_of_instr(const Sweep *s, const Instr *in);
/* Around an operand or the result of a product. */
Loops loops_of_matrix(const Access *a, int64_t batch, int64_t rows, int64_t columns);
/* Elements of a row from first to last; all extents are 1 or more. */
void loops_range(const Loops *l, int64_t offset, int64_t *first, int64_t *last);

#endif
