/*
 * sweep.c — a sweep as loops.
 *
 * There is no pass behind us that moves code out of loops, so each instruction is
 * placed where it belongs: it depends on some of the dimensions, and stands right
 * inside of the deepest of their loops. Addresses likewise: opening a loop advances
 * the places of the accesses that its dimension moves.
 *
 * The vector dimension runs in whole vectors, then once more for what is left, with
 * a mask that is known now: nothing is read or written outside of the extents. A sweep
 * of one lane has none.
 */
#include "emit/sweep.h"

#include <string.h>

/* ---- where each instruction stands ---- */

static uint32_t access_dims(const Loops *l, const Instr *i)
{
    uint32_t dims = 0;
    for (int d = 0; d < l->rank; d++)
        if (i->access.stride[d] != 0)
            dims |= 1U << d;
    return dims;
}

/* The dimensions on which an instruction depends. */
static uint32_t instr_dims(const Loops *l, const Instr *i, const uint32_t *dims)
{
    uint32_t all = (1U << l->rank) - 1;
    if (instr_is_reduction(i))
        return all;
    uint32_t result = instr_has_access(i) ? access_dims(l, i) : 0;
    for (int a = 0; a < i->n_arg; a++)
        result |= dims[i->arg[a]];
    return result;
}

static void order_loops(Loops *l)
{
    int n = 0;
    for (int reduced = 0; reduced < 2; reduced++) {
        for (int d = 0; d < l->rank; d++)
            if (((l->reduced >> d) & 1U) == (uint32_t)reduced)
                l->order[n++] = d;
        if (!reduced)
            l->n_outer = n;
    }
}

static int level_of(const Loops *l, uint32_t dims)
{
    for (int position = l->rank; position > 0; position--)
        if ((dims >> l->order[position - 1]) & 1)
            return position;
    return 0;
}

static bool dim_in(uint32_t dims, int d) { return d >= 0 && ((dims >> d) & 1); }

static void place_instructions(Loops *l)
{
    uint32_t *dims = NEW_ARRAY(l->e->arena, uint32_t, l->n_instr);
    for (int i = 0; i < l->n_instr; i++)
        dims[i] = instr_dims(l, &l->instr[i], dims);
    for (int i = 0; i < l->n_instr; i++) {
        l->state[i].level = level_of(l, dims[i]);
        l->state[i].varies = dim_in(dims[i], l->vector_dim);
        for (int a = 0; a < l->instr[i].n_arg; a++)
            l->state[l->instr[i].arg[a]].splat_needed |= l->state[i].varies;
    }
}

static Loops loops_of(Emitter *e, const Sweep *sweep, Part part)
{
    Loops l = {
        .e = e,
        .ir = &e->ir,
        .rank = sweep->rank,
        .reduced = sweep->reduced,
        .part = part,
        .n_instr = sweep->n_instr,
        .instr = sweep->instr,
        .state = NEW_ARRAY(e->arena, InstrState, sweep->n_instr),
        .vector_dim = sweep->lanes > 1 ? sweep->rank - 1 : -1,
        .lanes = sweep->lanes,
    };
    memcpy(l.extent, sweep->extent, sizeof l.extent);
    order_loops(&l);
    place_instructions(&l);
    return l;
}

/* ---- the point that is fetched for ---- */

/* So many rows on; behind the thread's last row the next step begins, of which at most the
   last row is taken. */
static void find_ahead(Loops *l, int rows)
{
    Ir *ir = l->ir;
    const Frame *f = &l->e->frame;
    LLVMValueRef on = ir_add(ir, f->row, ir_int(ir, rows)),
                 n = ir_sub(ir, f->row1, f->row0);
    LLVMValueRef next = ir_min(ir, ir_sub(ir, on, n), ir_sub(ir, f->row1, ir_int(ir, 1)));
    LLVMValueRef inside = ir_less(ir, on, f->row1);
    l->rows_ahead = ir_sub(ir, ir_select(ir, inside, on, next), f->row);
    l->steps_ahead = ir_select(ir, inside, ir_int(ir, 0), ir_int(ir, f->direction));
}

/* ---- the loops ---- */

static void emit_inside(Loops *l, int position);

/* What depends on the loops opened so far and no others. */
static void emit_level(Loops *l, int level)
{
    for (int i = 0; i < l->n_instr; i++) {
        if (level == 0 && instr_has_access(&l->instr[i])) {
            l->state[i].place[0] = instr_base(l, i);
            l->state[i].ahead = instr_ahead(l, i);
        }
        if (l->state[i].level == level)
            instr_emit(l, i);
    }
}

static bool is_reduce(const Loops *l, int i) { return l->instr[i].kind == I_REDUCE; }

/* Moves the accesses that stand deeper than `position` along the dimension just opened. */
static void advance_places(Loops *l, int position)
{
    int d = l->order[position];
    for (int i = 0; i < l->n_instr; i++) {
        const Instr *instr = &l->instr[i];
        InstrState *s = &l->state[i];
        if (!instr_has_access(instr) || s->level <= position || !s->place[position])
            continue;
        LLVMTypeRef type =
            element_type(l->ir, access_buffer(l->e, &instr->access)->element);
        LLVMValueRef far =
            ir_mul(l->ir, l->index[d], ir_int(l->ir, instr->access.stride[d]));
        s->place[position + 1] = ir_at(l->ir, type, s->place[position], far);
    }
}

/* Accumulators of reductions, as a list that a loop carries. */
static int collect(const Loops *l, LLVMValueRef *carried)
{
    _Static_assert(2 * SWEEP_MAX_REDUCTIONS <= IR_MAX_CARRIED,
                   "a sweep's sums are carried");
    int n = 0;
    for (int i = 0; i < l->n_instr; i++) {
        if (!is_reduce(l, i))
            continue;
        if (n + 2 > IR_MAX_CARRIED)
            BUG("a sweep of more than %d reductions", IR_MAX_CARRIED / 2);
        carried[n++] = l->state[i].sum;
        if (l->state[i].beside)
            carried[n++] = l->state[i].beside;
    }
    return n;
}

static void distribute(Loops *l, LLVMValueRef *carried)
{
    int n = 0;
    for (int i = 0; i < l->n_instr; i++) {
        if (!is_reduce(l, i))
            continue;
        l->state[i].sum = carried[n++];
        if (l->state[i].beside)
            l->state[i].beside = carried[n++];
    }
}

/* One trip's body at l->index. */
static void emit_trip(Loops *l, int position, LLVMValueRef index)
{
    l->index[l->order[position]] = index;
    advance_places(l, position);
    emit_inside(l, position + 1);
}

static void emit_loop(Loops *l, int position, LLVMValueRef first, LLVMValueRef end,
                      int step)
{
    LLVMValueRef carried[IR_MAX_CARRIED];
    int64_t begin_at, end_at;
    if (ir_constant(first, &begin_at) && ir_constant(end, &end_at)) {
        if (begin_at >= end_at)
            return;
        if (end_at - begin_at <= step) {
            emit_trip(l, position, first);
            return;
        }
    }
    int n = position >= l->n_outer ? collect(l, carried) : 0;
    IrLoop loop = ir_loop(l->ir, first, end, step, n, carried);
    if (n > 0)
        distribute(l, loop.carried);
    emit_trip(l, position, loop.i);
    if (n > 0)
        collect(l, carried);
    ir_loop_end(l->ir, &loop, carried);
    if (n > 0)
        distribute(l, loop.carried);
}

/* The elements behind the last whole vector. */
static void emit_rest(Loops *l, int position, int64_t full, int n)
{
    l->active = n;
    l->mask = ir_mask_first(l->ir, l->lanes, n);
    emit_trip(l, position, ir_int(l->ir, full));
    l->active = l->lanes;
    l->mask = NULL;
}

static void emit_vector_loop(Loops *l, int position, LLVMValueRef first, LLVMValueRef end)
{
    int64_t extent = l->extent[l->vector_dim], full = extent / l->lanes * l->lanes;
    int rest = (int)(extent - full);
    int64_t known;
    emit_loop(l, position, first, ir_min(l->ir, end, ir_int(l->ir, full)), l->lanes);
    if (rest == 0)
        return;
    if (ir_constant(end, &known)) {
        emit_rest(l, position, full, rest);
        return;
    }
    IrIf has_rest =
        ir_if(l->ir, LLVMBuildAnd(l->ir->builder, ir_less(l->ir, ir_int(l->ir, full), end),
                                  ir_less(l->ir, first, end), ""));
    emit_rest(l, position, full, rest);
    ir_endif(l->ir, &has_rest);
}

static void emit_dimension(Loops *l, int position)
{
    int d = l->order[position];
    bool parted = d == l->part.dimension;
    LLVMValueRef first = parted ? l->part.first : ir_int(l->ir, 0);
    LLVMValueRef end = parted ? l->part.end : ir_int(l->ir, l->extent[d]);
    if (d == l->vector_dim)
        emit_vector_loop(l, position, first, end);
    else
        emit_loop(l, position, first, end, 1);
}

static void each_reduce(Loops *l, void (*what)(Loops *, int))
{
    for (int i = 0; i < l->n_instr; i++)
        if (is_reduce(l, i))
            what(l, i);
}

/* Everything inside of the first `position` loops. */
static void emit_inside(Loops *l, int position)
{
    if (position == l->n_outer)
        each_reduce(l, reduce_begin);
    emit_level(l, position);
    if (position < l->rank)
        emit_dimension(l, position);
    if (position == l->n_outer)
        each_reduce(l, reduce_end);
}

void sweep_emit(Emitter *e, const Sweep *sweep, Part part)
{
    Loops l = loops_of(e, sweep, part);
    l.active = l.lanes;
    if (sweep->ahead > 0)
        find_ahead(&l, sweep->ahead);
    emit_inside(&l, 0);
}
