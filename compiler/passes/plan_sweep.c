/*
 * plan_sweep.c — what is told of a sweep by its instructions: which dimensions it needs,
 * and what runs along the innermost of them.
 */
#include "passes/plan.h"

#include <string.h>

/* ---- dimensions ---- */

static void drop_dimension(Sweep *s, int d)
{
    size_t bytes = (size_t)(MAX_RANK - 1 - d) * sizeof(int64_t);
    for (int i = 0; i < s->n_instr; i++) {
        int64_t *stride = s->instr[i].access.stride;
        memmove(&stride[d], &stride[d + 1], bytes);
        stride[MAX_RANK - 1] = 0;
    }
    memmove(&s->extent[d], &s->extent[d + 1], bytes);
    uint32_t low = s->reduced & ((1u << d) - 1);
    s->reduced = low | (s->reduced >> (d + 1) << d);
    s->rank--;
}

static bool walks_as_one(const Sweep *s, int d)
{
    if ((s->reduced >> d & 1) != (s->reduced >> (d + 1) & 1))
        return false;
    for (int i = 0; i < s->n_instr; i++) {
        const int64_t *stride = s->instr[i].access.stride;
        if (stride[d] != stride[d + 1] * s->extent[d + 1])
            return false;
    }
    return true;
}

void sweep_flatten(Sweep *s)
{
    for (int d = s->rank - 1; d >= 0; d--)
        if (s->extent[d] == 1)
            drop_dimension(s, d);
    for (int d = s->rank - 2; d >= 0; d--)
        if (walks_as_one(s, d)) {
            s->extent[d + 1] *= s->extent[d];
            drop_dimension(s, d);
        }
}

/* ---- instructions ---- */

bool sweep_is_wide(Arena *arena, const Sweep *s)
{
    bool *varies = NEW_ARRAY(arena, bool, s->n_instr + 1);
    for (int i = 0; s->rank > 0 && i < s->n_instr; i++) {
        const Instr *in = &s->instr[i];
        varies[i] =
            in->kind == I_REDUCE || instr_sums(in) || in->access.stride[s->rank - 1] != 0;
        for (int k = 0; k < in->n_arg; k++)
            varies[i] |= varies[in->arg[k]];
        if (in->wide && varies[i])
            return true;
    }
    return false;
}

bool sweep_has_sums(const Sweep *s)
{
    for (int i = 0; i < s->n_instr; i++)
        if (instr_sums(&s->instr[i]))
            return true;
    return false;
}

PointSweeps nest_point_sweeps(const Nest *n)
{
    PointSweeps r = {0, 0};
    while (r.first < n->n_sweep && !n->sweep[r.first].each_point)
        r.first++;
    if (r.first == n->n_sweep)
        return (PointSweeps){0, 0};
    for (r.end = r.first; r.end < n->n_sweep && n->sweep[r.end].each_point;)
        r.end++;
    return r;
}
