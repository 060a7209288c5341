/*
 * instr.c — the instructions of a sweep, each where sweep.c has put it.
 *
 * A value that does not vary from lane to lane is a scalar, made once and copied to
 * all lanes when somebody needs it there. Elements that are not the model's reals are
 * converted where they are loaded and stored.
 */
#include "emit/sweep.h"

#include <stddef.h>

bool instr_has_access(const Instr *i)
{
    switch (i->kind) {
    case I_LOAD:
    case I_GATHER:
    case I_IOTA:
    case I_RANDOM:
    case I_REDUCE:
    case I_STORE:
    case I_ACCUMULATE:
    case I_SCATTER:
    case I_ORTHOGONAL: return true;
    case I_CONSTANT:
    case I_STEP:
    case I_EXTENT:
    case I_TRAINING:
    case I_MAP: return false;
    }
    BUG("instruction %d", (int)i->kind);
}

/* Does the access name memory? (Else strides alone, to count by.) */
static bool is_in_memory(const Instr *i)
{
    return instr_has_access(i) && i->kind != I_IOTA && i->kind != I_RANDOM;
}

bool instr_is_reduction(const Instr *i) { return i->kind == I_REDUCE || instr_sums(i); }

/* ---- elements in memory ---- */

/* An element, or a vector of them, as a real of the type `real` in as many lanes. */
static LLVMValueRef to_real(Ir *ir, Element element, LLVMValueRef v, LLVMTypeRef real)
{
    LLVMTypeRef type = ir_is_vector(v) ? ir_lanes(real, ir->vector) : real;
    switch (element) {
    case ELEMENT_REAL:
    case ELEMENT_F64:
        return real == ir->f64 ? LLVMBuildFPExt(ir->builder, v, type, "")
                               : LLVMBuildFPTrunc(ir->builder, v, type, "");
    case ELEMENT_I32: return LLVMBuildSIToFP(ir->builder, v, type, "");
    case ELEMENT_U8: return LLVMBuildUIToFP(ir->builder, v, type, "");
    }
    BUG("element %d", (int)element);
}

static LLVMTypeRef lane_type(LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(v);
    return ir_is_vector(v) ? LLVMGetElementType(type) : type;
}

static LLVMValueRef load_converted(Ir *ir, Element element, LLVMValueRef v,
                                   LLVMTypeRef real)
{
    return lane_type(v) == real ? v : to_real(ir, element, v, real);
}

/* The inverse: a real as an element. */
static LLVMValueRef to_element(Ir *ir, Element element, LLVMValueRef v)
{
    LLVMTypeRef type = element_type(ir, element);
    if (lane_type(v) == type)
        return v;
    if (ir_is_vector(v))
        type = ir_lanes(type, ir->vector);
    switch (element) {
    case ELEMENT_REAL: return LLVMBuildFPTrunc(ir->builder, v, type, "");
    case ELEMENT_F64: return LLVMBuildFPExt(ir->builder, v, type, "");
    case ELEMENT_I32: return LLVMBuildFPToSI(ir->builder, v, type, "");
    case ELEMENT_U8: return LLVMBuildFPToUI(ir->builder, v, type, "");
    }
    BUG("element %d", (int)element);
}

static LLVMValueRef lane_address(Ir *ir, LLVMTypeRef type, LLVMValueRef p, int lane,
                                 int64_t stride)
{
    return ir_at(ir, type, p, ir_int(ir, lane * stride));
}

static LLVMValueRef load_lanes(Loops *l, LLVMTypeRef type, LLVMValueRef p, int64_t stride)
{
    LLVMValueRef v = LLVMConstNull(ir_lanes(type, l->lanes));
    for (int k = 0; k < l->active; k++) {
        LLVMValueRef one = ir_load(l->ir, type, lane_address(l->ir, type, p, k, stride));
        v = ir_insert(l->ir, v, one, k);
    }
    return v;
}

LLVMValueRef element_load(Loops *l, const Buffer *b, LLVMValueRef p, int64_t stride,
                          bool vector, LLVMTypeRef real)
{
    Ir *ir = l->ir;
    LLVMTypeRef type = element_type(ir, b->element);
    LLVMTypeRef lanes = ir_lanes(type, l->lanes);
    LLVMValueRef v;
    if (!vector)
        v = ir_load(ir, type, p);
    else if (stride != 1)
        v = load_lanes(l, type, p, stride);
    else if (l->mask)
        v = ir_load_masked(ir, lanes, p, l->mask);
    else
        v = ir_load(ir, lanes, p);
    return load_converted(ir, b->element, v, real);
}

void element_store(Loops *l, const Buffer *b, LLVMValueRef p, int64_t stride,
                   LLVMValueRef value)
{
    Ir *ir = l->ir;
    LLVMTypeRef type = element_type(ir, b->element);
    LLVMValueRef v = to_element(ir, b->element, value);
    if (ir_is_vector(v) && stride != 1)
        for (int k = 0; k < l->active; k++)
            ir_store(ir, ir_extract(ir, v, k), lane_address(ir, type, p, k, stride));
    else if (ir_is_vector(v) && l->mask)
        ir_store_masked(ir, v, p, l->mask);
    else
        ir_store(ir, v, p);
}

/* ---- operands ---- */

static LLVMTypeRef real_type(const Loops *l, int i)
{
    return l->instr[i].wide ? l->ir->f64 : l->ir->real;
}

static Real operand(Loops *l, int i, int a, bool vector)
{
    int from = l->instr[i].arg[a];
    const InstrState *s = &l->state[from];
    Real v = s->value;
    if (!v.real)
        BUG("instruction %d of a sweep uses %d, which has no value", i, from);
    if (vector && !s->varies && l->lanes > 1)
        v = (Real){.real = s->splat ? s->splat : ir_splat(l->ir, s->value.real, l->lanes)};
    if (lane_type(v.real) != real_type(l, i))
        v.real = to_real(l->ir, l->instr[from].wide ? ELEMENT_F64 : ELEMENT_REAL, v.real,
                         real_type(l, i));
    return v;
}

LLVMValueRef instr_operand(Loops *l, int i, int a, bool vector)
{
    return operand(l, i, a, vector).real;
}

static void set_value(Loops *l, int i, Real value)
{
    InstrState *s = &l->state[i];
    s->value = value;
    bool splat = s->splat_needed && !s->varies && l->lanes > 1;
    s->splat = splat ? ir_splat(l->ir, value.real, l->lanes) : NULL;
}

/* ---- classes ---- */

/* The class as a whole number between 0 and n - 1; NaN becomes 0. */
static LLVMValueRef class_index(Loops *l, LLVMValueRef class, int64_t n)
{
    Ir *ir = l->ir;
    LLVMTypeRef type = LLVMTypeOf(class);
    LLVMValueRef zero = ir_real(type, 0), last = ir_real(type, (double)(n - 1));
    LLVMValueRef above = LLVMBuildFCmp(ir->builder, LLVMRealOGT, class, zero, "");
    class = ir_select(ir, above, class, zero);
    LLVMValueRef below = LLVMBuildFCmp(ir->builder, LLVMRealOLT, class, last, "");
    class = ir_select(ir, below, class, last);
    return LLVMBuildFPToSI(ir->builder, class, ir->i64, "");
}

/* 0 <= class <= n - 1, as i1. */
static LLVMValueRef class_valid(Loops *l, LLVMValueRef class, int64_t n)
{
    LLVMBuilderRef b = l->ir->builder;
    LLVMTypeRef type = LLVMTypeOf(class);
    LLVMValueRef last = ir_real(type, (double)(n - 1));
    return LLVMBuildAnd(b, LLVMBuildFCmp(b, LLVMRealOGE, class, ir_real(type, 0), ""),
                        LLVMBuildFCmp(b, LLVMRealOLE, class, last, ""), "");
}

/* ---- addresses ---- */

/* Which operand is the class; -1: none. */
static int class_operand(const Instr *i)
{
    return i->kind == I_GATHER ? 0 : i->kind == I_SCATTER ? 1 : -1;
}

LLVMValueRef instr_base(Loops *l, int i)
{
    const Instr *instr = &l->instr[i];
    if (!is_in_memory(instr))
        return NULL;
    Frame *f = &l->e->frame;
    LLVMValueRef p = access_address(l->e, &instr->access, f->t, f->row);
    int a = class_operand(instr);
    if (a < 0)
        return p;
    if (l->state[instr->arg[a]].level != 0)
        BUG("the class of a gather or scatter moves within its sweep");
    LLVMValueRef class = l->state[instr->arg[a]].value.real;
    LLVMValueRef index = class_index(l, class, instr->gather_n);
    if (instr->kind == I_SCATTER)
        l->state[i].valid = class_valid(l, class, instr->gather_n);
    LLVMTypeRef type = element_type(l->ir, access_buffer(l->e, &instr->access)->element);
    return ir_at(l->ir, type, p, ir_mul(l->ir, index, ir_int(l->ir, instr->gather_stride)));
}

LLVMValueRef instr_ahead(Loops *l, int i)
{
    Ir *ir = l->ir;
    const Instr *instr = &l->instr[i];
    if (!l->rows_ahead || instr->kind != I_LOAD)
        return NULL;
    const Buffer *b = access_buffer(l->e, &instr->access);
    if (!access_is_kept(b, &instr->access))
        return NULL;
    return ir_add(ir, ir_mul(ir, l->rows_ahead, buffer_row_stride(l->e, b)),
                  ir_mul(ir, l->steps_ahead, buffer_step_stride(l->e, b)));
}

static int64_t lane_stride(const Loops *l, int i)
{
    return l->vector_dim < 0 ? 0 : l->instr[i].access.stride[l->vector_dim];
}

/* ---- the instructions ---- */

static void emit_constant(Loops *l, int i)
{
    set_value(l, i, (Real){.real = ir_real(real_type(l, i), l->instr[i].value)});
}

/* Into the second level: the first holds what the points until then need. */
static void fetch_ahead(Loops *l, const Buffer *b, const InstrState *s)
{
    enum { SECOND_LEVEL = 2 };
    LLVMTypeRef type = element_type(l->ir, b->element);
    ir_prefetch(l->ir, ir_at(l->ir, type, s->place[s->level], s->ahead), SECOND_LEVEL);
}

static void emit_load(Loops *l, int i)
{
    InstrState *s = &l->state[i];
    const Buffer *b = access_buffer(l->e, &l->instr[i].access);
    LLVMValueRef v = element_load(l, b, s->place[s->level], lane_stride(l, i), s->varies,
                                  real_type(l, i));
    if (s->ahead && s->varies)
        fetch_ahead(l, b, s);
    set_value(l, i, (Real){.real = v});
}

/* access.offset + Σ index * stride, an i64; of a vector: its first lane's. */
static LLVMValueRef counted(Loops *l, int i)
{
    Ir *ir = l->ir;
    const Access *a = &l->instr[i].access;
    LLVMValueRef n = ir_int(ir, a->offset);
    for (int d = 0; d < l->rank; d++)
        if (a->stride[d] != 0)
            n = ir_add(ir, n, ir_mul(ir, l->index[d], ir_int(ir, a->stride[d])));
    return n;
}

static void emit_iota(Loops *l, int i)
{
    Ir *ir = l->ir;
    LLVMValueRef n = counted(l, i), lane[64];
    LLVMTypeRef type = real_type(l, i);
    if (l->state[i].varies) {
        for (int k = 0; k < l->lanes; k++)
            lane[k] = ir_int_of(ir->i32, k * lane_stride(l, i));
        n = ir_splat(ir, LLVMBuildTrunc(ir->builder, n, ir->i32, ""), l->lanes);
        n = LLVMBuildAdd(ir->builder, n, LLVMConstVector(lane, (unsigned)l->lanes), "");
        type = ir_lanes(type, l->lanes);
    }
    set_value(l, i, (Real){.real = LLVMBuildSIToFP(ir->builder, n, type, "")});
}

/* Is what counted() gives a multiple of 4 for every vector? */
static bool is_aligned(const Loops *l, int i)
{
    const Access *a = &l->instr[i].access;
    bool aligned = a->offset % 4 == 0 && l->lanes % 4 == 0;
    for (int d = 0; d < l->rank; d++)
        aligned = aligned && (d == l->vector_dim || a->stride[d] % 4 == 0);
    return aligned;
}

static void emit_random(Loops *l, int i)
{
    const Instr *instr = &l->instr[i];
    Draw d = {instr->index, instr->axes, is_aligned(l, i)};
    int lanes = l->state[i].varies ? l->lanes : 1;
    LLVMValueRef v = random_emit(l->e, d, counted(l, i), lanes, lane_stride(l, i));
    set_value(l, i,
              (Real){.real = load_converted(l->ir, ELEMENT_REAL, v, real_type(l, i))});
}

/* t + step0, or t - loss_from. */
static void emit_step(Loops *l, int i)
{
    LLVMBuilderRef b = l->ir->builder;
    LLVMValueRef t = l->e->frame.t, n;
    if (!t)
        BUG("the number of the step is asked for where there is none");
    if (l->instr[i].index == STEP_OF_LOSS)
        n = LLVMBuildSub(
            b, t, chunk_field(l->e, offsetof(struct rnn_chunk, loss_from), l->ir->i64), "");
    else
        n = LLVMBuildAdd(
            b, t, chunk_field(l->e, offsetof(struct rnn_chunk, rng.step0), l->ir->i64), "");
    set_value(l, i, (Real){.real = LLVMBuildSIToFP(b, n, real_type(l, i), "")});
}

static void emit_extent(Loops *l, int i)
{
    LLVMValueRef n = ir_int(l->ir, 1);
    if (l->instr[i].axes & AXIS_TIME)
        n = ir_mul(l->ir, n, chunk_steps(l->e));
    if (l->instr[i].axes & AXIS_ROW)
        n = ir_mul(l->ir, n, chunk_rows(l->e));
    LLVMValueRef v = LLVMBuildSIToFP(l->ir->builder, n, real_type(l, i), "");
    set_value(l, i, (Real){.real = v});
}

static void emit_training(Loops *l, int i)
{
    LLVMValueRef flag = chunk_field(l->e, offsetof(struct rnn_chunk, training), l->ir->i8);
    LLVMValueRef v = LLVMBuildUIToFP(l->ir->builder, flag, real_type(l, i), "");
    set_value(l, i, (Real){.real = v});
}

static void emit_map(Loops *l, int i)
{
    const Instr *instr = &l->instr[i];
    Real arg[8];
    if (instr->n_arg > COUNT(arg))
        BUG("a map of %d operands", instr->n_arg);
    for (int a = 0; a < instr->n_arg; a++)
        arg[a] = operand(l, i, a, l->state[i].varies);
    set_value(l, i, scalar_emit(l->e, instr->op, instr->wide, instr->n_arg, arg));
}

static void store_value(Loops *l, int i)
{
    InstrState *s = &l->state[i];
    LLVMValueRef v = l->state[l->instr[i].arg[0]].value.real;
    if (s->varies)
        v = instr_operand(l, i, 0, true);
    if (s->varies && lane_stride(l, i) == 0)
        BUG("a store does not move where its value does");
    const Buffer *b = access_buffer(l->e, &l->instr[i].access);
    element_store(l, b, s->place[s->level], lane_stride(l, i), v);
}

/* Outputs are stored when somebody wants them. */
static void emit_store(Loops *l, int i)
{
    if (access_buffer(l->e, &l->instr[i].access)->home != HOME_OUTPUTS) {
        store_value(l, i);
        return;
    }
    LLVMValueRef outputs =
        chunk_field(l->e, offsetof(struct rnn_chunk, outputs), l->ir->ptr);
    IrIf wanted = ir_if(l->ir, LLVMBuildIsNotNull(l->ir->builder, outputs, ""));
    store_value(l, i);
    ir_endif(l->ir, &wanted);
}

/* services->orthogonal(matrix, dtype, rows, columns, scratch). */
static void emit_orthogonal(Loops *l, int i)
{
    Ir *ir = l->ir;
    const Instr *instr = &l->instr[i];
    const Buffer *b = access_buffer(l->e, &instr->access);
    int64_t rows = b->shape.dim[0], columns = shape_size(&b->shape) / rows;
    LLVMValueRef services =
        chunk_field(l->e, offsetof(struct rnn_chunk, services), ir->ptr);
    LLVMValueRef at =
        ir_at(ir, ir->i8, services, ir_int(ir, offsetof(struct rnn_services, orthogonal)));
    LLVMTypeRef param[] = {ir->ptr, ir->i32, ir->i64, ir->i64, ir->ptr};
    LLVMValueRef arg[] = {l->state[i].place[0],
                          ir_int_of(ir->i32, l->e->plan->graph->dtype), ir_int(ir, rows),
                          ir_int(ir, columns), LLVMConstNull(ir->ptr)};
    LLVMBuildCall2(ir->builder, LLVMFunctionType(ir->none, param, COUNT(param), false),
                   ir_load(ir, ir->ptr, at), arg, COUNT(arg), "");
}

void instr_emit(Loops *l, int i)
{
    switch (l->instr[i].kind) {
    case I_CONSTANT: emit_constant(l, i); return;
    case I_LOAD:
    case I_GATHER: emit_load(l, i); return;
    case I_IOTA: emit_iota(l, i); return;
    case I_RANDOM: emit_random(l, i); return;
    case I_STEP: emit_step(l, i); return;
    case I_EXTENT: emit_extent(l, i); return;
    case I_TRAINING: emit_training(l, i); return;
    case I_MAP: emit_map(l, i); return;
    case I_REDUCE: reduce_update(l, i); return;
    case I_STORE: emit_store(l, i); return;
    case I_ACCUMULATE:
    case I_SCATTER: accumulate_emit(l, i); return;
    case I_ORTHOGONAL: emit_orthogonal(l, i); return;
    }
    BUG("instruction %d", (int)l->instr[i].kind);
}
