/*
 * reduce.c — reductions over dimensions of a sweep, and sums over points.
 *
 * A reduction keeps one accumulator a lane, so element k of a vector dimension goes
 * to lane k mod lanes; at the end lanes are combined in pairs, halves onto halves: a
 * tree that the shape and the vector length fix.
 *
 * NaN wins every maximum and minimum. In the loop it is kept apart, beside a plain
 * maximum that never sees it: one instruction in the chain instead of four.
 */
#include "emit/sweep.h"

#include <math.h>

static bool is_reduced(const Loops *l, int d) { return d >= 0 && ((l->reduced >> d) & 1); }

static double identity(OpCode op)
{
    switch ((int)op) {
    case OP_SUM: return 0;
    case OP_PROD: return 1;
    case OP_MAX_OF:
    case OP_ARGMAX: return -INFINITY;
    case OP_MIN_OF: return INFINITY;
    default: BUG("%s is not a reduction", op_defs[op]->name);
    }
}

/* Does b take the place of a? b > a (MIN: b < a), or b is NaN where a is not. */
static LLVMValueRef takes_over(Ir *ir, OpCode op, LLVMValueRef a, LLVMValueRef b)
{
    LLVMRealPredicate better = op == OP_MIN_OF ? LLVMRealULT : LLVMRealUGT;
    return LLVMBuildAnd(ir->builder, LLVMBuildFCmp(ir->builder, better, b, a, ""),
                        LLVMBuildFCmp(ir->builder, LLVMRealORD, a, a, ""), "");
}

static LLVMValueRef combine(Ir *ir, OpCode op, LLVMValueRef a, LLVMValueRef b)
{
    if (op == OP_SUM)
        return LLVMBuildFAdd(ir->builder, a, b, "");
    if (op == OP_PROD)
        return LLVMBuildFMul(ir->builder, a, b, "");
    return LLVMBuildSelect(ir->builder, takes_over(ir, op, a, b), b, a, "");
}

/* ---- across lanes ---- */

/* The upper half of the lanes of v, or the lower. */
static LLVMValueRef half_of(Ir *ir, LLVMValueRef v, int n, bool upper)
{
    LLVMValueRef lane[32];
    for (int k = 0; k < n / 2; k++)
        lane[k] = ir_int_of(ir->i32, k + (upper ? n / 2 : 0));
    if (n == 2)
        return ir_extract(ir, v, upper);
    LLVMValueRef poison = LLVMGetPoison(LLVMTypeOf(v));
    return LLVMBuildShuffleVector(ir->builder, v, poison,
                                  LLVMConstVector(lane, (unsigned)n / 2), "");
}

static LLVMValueRef across(Ir *ir, OpCode op, LLVMValueRef v, int lanes)
{
    for (int n = lanes; n > 1; n /= 2)
        v = combine(ir, op, half_of(ir, v, n, false), half_of(ir, v, n, true));
    return v;
}

/* Of two (value, index): the better one, of equals the smaller index. */
static LLVMValueRef prefers(Ir *ir, LLVMValueRef a, LLVMValueRef ia, LLVMValueRef b,
                            LLVMValueRef ib)
{
    LLVMBuilderRef build = ir->builder;
    LLVMValueRef both_nan = LLVMBuildAnd(build, LLVMBuildFCmp(build, LLVMRealUNO, a, a, ""),
                                         LLVMBuildFCmp(build, LLVMRealUNO, b, b, ""), "");
    LLVMValueRef equal =
        LLVMBuildOr(build, LLVMBuildFCmp(build, LLVMRealOEQ, a, b, ""), both_nan, "");
    LLVMValueRef earlier = LLVMBuildICmp(build, LLVMIntSLT, ib, ia, "");
    return LLVMBuildOr(build, takes_over(ir, OP_ARGMAX, a, b),
                       LLVMBuildAnd(build, equal, earlier, ""), "");
}

static LLVMValueRef argmax_across(Ir *ir, LLVMValueRef v, LLVMValueRef index, int lanes)
{
    for (int n = lanes; n > 1; n /= 2) {
        LLVMValueRef a = half_of(ir, v, n, false), b = half_of(ir, v, n, true);
        LLVMValueRef ia = half_of(ir, index, n, false), ib = half_of(ir, index, n, true);
        LLVMValueRef second = prefers(ir, a, ia, b, ib);
        v = LLVMBuildSelect(ir->builder, second, b, a, "");
        index = LLVMBuildSelect(ir->builder, second, ib, ia, "");
    }
    return index;
}

/* ---- reductions ---- */

static LLVMTypeRef accumulator_type(const Loops *l, int i)
{
    return ir_lanes(l->instr[i].wide ? l->ir->f64 : l->ir->real, l->lanes);
}

static bool is_extremum(OpCode op) { return op == OP_MAX_OF || op == OP_MIN_OF; }

void reduce_begin(Loops *l, int i)
{
    OpCode op = l->instr[i].op;
    InstrState *s = &l->state[i];
    s->sum = ir_real(accumulator_type(l, i), identity(op));
    s->beside = NULL;
    if (op == OP_ARGMAX)
        s->beside = LLVMConstNull(ir_lanes(l->ir->i32, l->lanes));
    if (is_extremum(op))
        s->beside = LLVMConstNull(accumulator_type(l, i));
}

/* The element's number among those reduced, row-major, as i32 in each lane. */
static LLVMValueRef reduced_index(Loops *l)
{
    Ir *ir = l->ir;
    LLVMValueRef n = ir_int(ir, 0), lane[64];
    for (int position = l->n_outer; position < l->rank; position++) {
        int d = l->order[position];
        n = ir_add(ir, ir_mul(ir, n, ir_int(ir, l->extent[d])), l->index[d]);
    }
    n = LLVMBuildTrunc(ir->builder, n, ir->i32, "");
    if (l->lanes == 1)
        return n;
    for (int k = 0; k < l->lanes; k++)
        lane[k] = ir_int_of(ir->i32, is_reduced(l, l->vector_dim) ? k : 0);
    return LLVMBuildAdd(ir->builder, ir_splat(ir, n, l->lanes),
                        LLVMConstVector(lane, (unsigned)l->lanes), "");
}

/* sum: the best number so far; beside: the last NaN, or 0. */
static void update_extremum(Ir *ir, InstrState *s, OpCode op, LLVMValueRef v)
{
    LLVMRealPredicate better = op == OP_MIN_OF ? LLVMRealOLT : LLVMRealOGT;
    LLVMValueRef nan = LLVMBuildFCmp(ir->builder, LLVMRealUNO, v, v, "");
    s->beside = LLVMBuildSelect(ir->builder, nan, v, s->beside, "");
    s->sum = LLVMBuildSelect(ir->builder, LLVMBuildFCmp(ir->builder, better, v, s->sum, ""),
                             v, s->sum, "");
}

/* sum: the best number, NaN above all; beside: where it stands. */
static void update_argmax(Loops *l, InstrState *s, LLVMValueRef v)
{
    LLVMBuilderRef b = l->ir->builder;
    LLVMValueRef better = takes_over(l->ir, OP_ARGMAX, s->sum, v);
    s->beside = LLVMBuildSelect(b, better, reduced_index(l), s->beside, "");
    s->sum = LLVMBuildSelect(b, better, v, s->sum, "");
}

void reduce_update(Loops *l, int i)
{
    Ir *ir = l->ir;
    InstrState *s = &l->state[i];
    OpCode op = l->instr[i].op;
    LLVMValueRef v = instr_operand(l, i, 0, l->lanes > 1);
    if (l->mask && is_reduced(l, l->vector_dim))
        v = LLVMBuildSelect(ir->builder, l->mask, v, ir_real(LLVMTypeOf(v), identity(op)),
                            "");
    if (op == OP_ARGMAX)
        update_argmax(l, s, v);
    else if (is_extremum(op))
        update_extremum(ir, s, op, v);
    else
        s->sum = combine(ir, op, s->sum, v);
}

/* The accumulators as one number, or one for each lane that is not reduced. */
static LLVMValueRef result_of(Loops *l, int i)
{
    Ir *ir = l->ir;
    const InstrState *s = &l->state[i];
    OpCode op = l->instr[i].op;
    bool reduced = l->lanes > 1 && is_reduced(l, l->vector_dim);
    LLVMValueRef v = s->sum;
    if (op == OP_ARGMAX) {
        v = reduced ? argmax_across(ir, v, s->beside, l->lanes) : s->beside;
        LLVMTypeRef type = ir_lanes(ir->real, ir_is_vector(v) ? l->lanes : 1);
        return LLVMBuildSIToFP(ir->builder, v, type, "");
    }
    if (is_extremum(op)) {
        LLVMValueRef nan =
            LLVMBuildFCmp(ir->builder, LLVMRealUNO, s->beside, s->beside, "");
        v = LLVMBuildSelect(ir->builder, nan, s->beside, v, "");
    }
    return reduced ? across(ir, op, v, l->lanes) : v;
}

void reduce_end(Loops *l, int i)
{
    const Access *a = &l->instr[i].access;
    int64_t stride = l->vector_dim < 0 ? 0 : a->stride[l->vector_dim];
    LLVMValueRef place = l->state[i].place[l->n_outer];
    element_store(l, access_buffer(l->e, a), place, stride, result_of(l, i));
}

/* ---- sums over points ---- */

static LLVMTypeRef sum_type(const Ir *ir, const Buffer *b)
{
    if (b->element != ELEMENT_REAL && b->element != ELEMENT_F64)
        BUG("a sum in buffer %s, which holds no reals", b->name);
    return element_type(ir, b->element);
}

/* A real of the width in which the target sums. */
static LLVMValueRef as_type(Ir *ir, LLVMValueRef v, LLVMTypeRef type)
{
    LLVMTypeRef from = ir_is_vector(v) ? LLVMGetElementType(LLVMTypeOf(v)) : LLVMTypeOf(v);
    LLVMTypeRef to = ir_is_vector(v) ? ir_lanes(type, ir->vector) : type;
    if (from == type)
        return v;
    return type == ir->f64 ? LLVMBuildFPExt(ir->builder, v, to, "")
                           : LLVMBuildFPTrunc(ir->builder, v, to, "");
}

static void add_to(Loops *l, int i)
{
    Ir *ir = l->ir;
    InstrState *s = &l->state[i];
    const Access *a = &l->instr[i].access;
    const Buffer *b = access_buffer(l->e, a);
    int64_t stride = l->vector_dim < 0 ? 0 : a->stride[l->vector_dim];
    LLVMValueRef p = s->place[s->level];
    LLVMValueRef v = as_type(ir, instr_operand(l, i, 0, l->lanes > 1), sum_type(ir, b));
    bool vector = l->lanes > 1 && stride != 0;
    if (l->lanes > 1 && !vector) {
        if (l->mask)
            v = LLVMBuildSelect(ir->builder, l->mask, v, LLVMConstNull(LLVMTypeOf(v)), "");
        v = across(ir, OP_SUM, v, l->lanes);
    }
    LLVMValueRef old = element_load(l, b, p, stride, vector, sum_type(ir, b));
    element_store(l, b, p, stride, LLVMBuildFAdd(ir->builder, old, v, ""));
}

void accumulate_emit(Loops *l, int i)
{
    if (!l->state[i].valid) {
        add_to(l, i);
        return;
    }
    IrIf valid = ir_if(l->ir, l->state[i].valid);
    add_to(l, i);
    ir_endif(l->ir, &valid);
}
