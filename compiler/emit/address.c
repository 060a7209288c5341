/*
 * address.c — where a value lives, as an address.
 *
 * A home gives a base pointer; the buffer's offset, the slot of the step and the
 * row are added to it. Fields of the chunk are loaded in the entry of the function
 * that uses them, once, whatever the loops around the use.
 */
#include "emit/kernel.h"

#include <stddef.h>

/* ---- fields of the chunk ---- */

static LLVMValueRef load_at(Ir *ir, LLVMTypeRef type, LLVMValueRef p, int64_t offset_bytes)
{
    return ir_load(ir, type, ir_at(ir, ir->i8, p, ir_int(ir, offset_bytes)));
}

LLVMValueRef chunk_field(Emitter *e, size_t offset_bytes, LLVMTypeRef type)
{
    Frame *f = &e->frame;
    for (int i = 0; i < f->n_field; i++)
        if (f->field[i].offset_bytes == offset_bytes && f->field[i].type == type)
            return f->field[i].value;
    if (f->n_field == MAX_FIELDS)
        BUG("a function uses more than %d fields of the chunk", MAX_FIELDS);
    LLVMBasicBlockRef back = ir_enter_entry(&e->ir);
    LLVMValueRef value = load_at(&e->ir, type, f->chunk, (int64_t)offset_bytes);
    ir_leave_entry(&e->ir, back);
    f->field[f->n_field++] = (Field){offset_bytes, type, value};
    return value;
}

LLVMValueRef chunk_steps(Emitter *e)
{
    return chunk_field(e, offsetof(struct rnn_chunk, steps), e->ir.i64);
}

LLVMValueRef chunk_rows(Emitter *e)
{
    return chunk_field(e, offsetof(struct rnn_chunk, rows), e->ir.i64);
}

LLVMValueRef chunk_threads(Emitter *e)
{
    LLVMValueRef team = chunk_field(e, offsetof(struct rnn_chunk, team), e->ir.ptr);
    LLVMBasicBlockRef back = ir_enter_entry(&e->ir);
    LLVMValueRef n = load_at(&e->ir, e->ir.i32, team, offsetof(struct rnn_team, n_thread));
    n = LLVMBuildSExt(e->ir.builder, n, e->ir.i64, "");
    ir_leave_entry(&e->ir, back);
    return n;
}

/* Element `index` of an array that the chunk points to: input[i], row_stride[i] … */
static LLVMValueRef chunk_array(Emitter *e, size_t offset_bytes, LLVMTypeRef type,
                                int index)
{
    LLVMValueRef array = chunk_field(e, offset_bytes, e->ir.ptr);
    LLVMBasicBlockRef back = ir_enter_entry(&e->ir);
    LLVMValueRef v = load_at(&e->ir, type, array, 8 * (int64_t)index);
    ir_leave_entry(&e->ir, back);
    return v;
}

/* ---- homes ---- */

LLVMTypeRef element_type(const Ir *ir, Element element)
{
    switch (element) {
    case ELEMENT_REAL: return ir->real;
    case ELEMENT_F64: return ir->f64;
    case ELEMENT_I32: return ir->i32;
    case ELEMENT_U8: return ir->i8;
    }
    BUG("element %d", (int)element);
}

const Buffer *access_buffer(const Emitter *e, const Access *a)
{
    if (a->buffer < 0 || a->buffer >= e->plan->n_buffer)
        BUG("an access to buffer %d of %d", a->buffer, e->plan->n_buffer);
    return &e->plan->buffer[a->buffer];
}

/* This thread's scratch. */
static LLVMValueRef scratch(Emitter *e)
{
    Ir *ir = &e->ir;
    LLVMValueRef workspace = chunk_field(e, offsetof(struct rnn_chunk, workspace), ir->ptr);
    LLVMBasicBlockRef back = ir_enter_entry(ir);
    LLVMValueRef mine = ir_mul(ir, e->frame.thread, ir_int(ir, e->plan->scratch_bytes));
    mine = ir_add(ir, mine, ir_int(ir, e->plan->workspace_bytes));
    LLVMValueRef p = ir_at(ir, ir->i8, workspace, mine);
    ir_leave_entry(ir, back);
    return p;
}

static LLVMValueRef bytes_from(Emitter *e, LLVMValueRef base, int64_t offset_bytes)
{
    return ir_at(&e->ir, e->ir.i8, base, ir_int(&e->ir, offset_bytes));
}

/* A block of the chunk, and the buffer's offset in elements of its type. */
static LLVMValueRef block_at(Emitter *e, size_t field, const Buffer *b, int64_t scale)
{
    LLVMValueRef base = chunk_field(e, field, e->ir.ptr);
    LLVMTypeRef type = element_type(&e->ir, b->element);
    return ir_at(&e->ir, type, base, ir_int(&e->ir, b->offset * scale));
}

LLVMValueRef buffer_address(Emitter *e, const Buffer *b)
{
    int64_t rows_max = e->plan->rows_max;
    switch (b->home) {
    case HOME_WORKSPACE:
        return bytes_from(
            e, chunk_field(e, offsetof(struct rnn_chunk, workspace), e->ir.ptr), b->offset);
    case HOME_SCRATCH: return bytes_from(e, scratch(e), b->offset);
    case HOME_PARAMS: return block_at(e, offsetof(struct rnn_chunk, params), b, 1);
    case HOME_GRADS: return block_at(e, offsetof(struct rnn_chunk, grads), b, 1);
    case HOME_OPTIMIZER: return block_at(e, offsetof(struct rnn_chunk, optimizer), b, 1);
    case HOME_OPTIMIZER_SCALARS:
        return block_at(e, offsetof(struct rnn_chunk, optimizer_scalars), b, 1);
    case HOME_SCALARS:
        return bytes_from(e, chunk_field(e, offsetof(struct rnn_chunk, scalars), e->ir.ptr),
                          b->index * (int64_t)sizeof(double));
    case HOME_RUNNING:
        return bytes_from(e, chunk_field(e, offsetof(struct rnn_chunk, running), e->ir.ptr),
                          b->index * (int64_t)sizeof(double));
    case HOME_INPUT:
        return chunk_array(e, offsetof(struct rnn_chunk, input), e->ir.ptr, b->index);
    case HOME_START: return chunk_field(e, offsetof(struct rnn_chunk, start), e->ir.ptr);
    case HOME_STATE_IN:
        return block_at(e, offsetof(struct rnn_chunk, state_in), b, rows_max);
    case HOME_STATE_OUT:
        return block_at(e, offsetof(struct rnn_chunk, state_out), b, rows_max);
    case HOME_STATE_SAVED:
        return block_at(e, offsetof(struct rnn_chunk, state_saved), b, rows_max);
    case HOME_OUTPUTS:
        return chunk_field(e, offsetof(struct rnn_chunk, outputs), e->ir.ptr);
    }
    BUG("home %d", (int)b->home);
}

/* ---- axes ---- */

LLVMValueRef buffer_row_stride(Emitter *e, const Buffer *b)
{
    if (!(b->axes & AXIS_ROW))
        return ir_int(&e->ir, 0);
    switch (b->home) {
    case HOME_INPUT:
        return chunk_array(e, offsetof(struct rnn_chunk, row_stride), e->ir.i64, b->index);
    case HOME_START: return ir_int(&e->ir, 1);
    case HOME_STATE_IN:
    case HOME_STATE_OUT:
    case HOME_STATE_SAVED:
    case HOME_OUTPUTS: return ir_int(&e->ir, shape_size(&b->shape));
    case HOME_WORKSPACE:
    case HOME_SCRATCH:
    case HOME_PARAMS:
    case HOME_GRADS:
    case HOME_OPTIMIZER:
    case HOME_OPTIMIZER_SCALARS:
    case HOME_SCALARS:
    case HOME_RUNNING: break;
    }
    return ir_int(&e->ir, b->row_stride);
}

LLVMValueRef buffer_step_stride(Emitter *e, const Buffer *b)
{
    Ir *ir = &e->ir;
    if (!(b->axes & AXIS_TIME))
        return ir_int(ir, 0);
    if (b->home == HOME_INPUT)
        return chunk_array(e, offsetof(struct rnn_chunk, step_stride), ir->i64, b->index);
    if (b->home == HOME_OUTPUTS)
        return ir_mul(ir, chunk_rows(e), ir_int(ir, shape_size(&b->shape)));
    return ir_int(ir, b->span == SPAN_ONE ? 0 : b->slot_stride);
}

/* The slot that the access means at step t. */
static LLVMValueRef slot_of(Emitter *e, const Access *a, const Buffer *b, LLVMValueRef t)
{
    Ir *ir = &e->ir;
    LLVMValueRef step = t;
    switch (a->when) {
    case AT_STEP: break;
    case AT_FIRST: step = ir_int(ir, 0); break;
    case AT_END: step = chunk_steps(e); break;
    case AT_SAVE:
        step = chunk_field(e, offsetof(struct rnn_chunk, save_at), ir->i64);
        break;
    }
    if (!step)
        BUG("buffer %s is read at a step where there is none", b->name);
    step = ir_add(ir, step, ir_int(ir, a->shift));
    return b->span == SPAN_BLOCK ? ir_sub(ir, step, e->frame.slot0) : step;
}

LLVMValueRef access_address(Emitter *e, const Access *a, LLVMValueRef t, LLVMValueRef row)
{
    Ir *ir = &e->ir;
    const Buffer *b = access_buffer(e, a);
    LLVMTypeRef type = element_type(ir, b->element);
    LLVMValueRef index = ir_int(ir, a->offset);
    if ((b->axes & AXIS_TIME) && b->span != SPAN_ONE)
        index =
            ir_add(ir, index, ir_mul(ir, slot_of(e, a, b, t), buffer_step_stride(e, b)));
    if ((b->axes & AXIS_ROW) && row)
        index = ir_add(ir, index, ir_mul(ir, row, buffer_row_stride(e, b)));
    return ir_at(ir, type, buffer_address(e, b), index);
}
