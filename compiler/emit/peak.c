/*
 * peak.c — a loop of nothing but fused multiply-adds: the most that a target's code can
 * do, for comparison.
 *
 * As many accumulators as the target's product tile has, none waiting for another, and
 * no memory: what remains is how many fma the core starts in a cycle.
 */
#include <stddef.h>

#include "emit/kernel.h"

static LLVMValueRef peak_procedure(Emitter *e)
{
    Ir *ir = &e->ir;
    const Target *t = e->target;
    int n = t->tile_rows * t->tile_vectors;
    LLVMTypeRef param[] = {ir->ptr, ir->i32};
    LLVMValueRef f = ir_declare(ir, "peak", ir->i32, COUNT(param), param);
    LLVMSetLinkage(f, LLVMInternalLinkage);
    IrPlace place = ir_begin(ir, f);
    LLVMValueRef chunk = ir_param(ir, 0);
    LLVMValueRef at = ir_int(ir, offsetof(struct rnn_chunk, steps));
    LLVMValueRef steps = ir_load(ir, ir->i64, ir_at(ir, ir->i8, chunk, at));
    LLVMValueRef value[IR_MAX_CARRIED];
    for (int i = 0; i < n; i++)
        value[i] = ir_real(ir->vreal, i);
    IrLoop loop = ir_loop(ir, ir_int(ir, 0), steps, 1, n, value);
    for (int i = 0; i < n; i++)
        value[i] = ir_fma(ir, loop.carried[i], ir_real(ir->vreal, 0.999),
                          ir_real(ir->vreal, 0.001));
    ir_loop_end(ir, &loop, value);

    /* the sum goes to the thread's own element of `params`, so that nothing is unused */
    LLVMValueRef sum = loop.carried[0];
    for (int i = 1; i < n; i++)
        sum = LLVMBuildFAdd(ir->builder, sum, loop.carried[i], "");
    at = ir_int(ir, offsetof(struct rnn_chunk, params));
    LLVMValueRef out = ir_load(ir, ir->ptr, ir_at(ir, ir->i8, chunk, at));
    LLVMValueRef thread = LLVMBuildZExt(ir->builder, ir_param(ir, 1), ir->i64, "");
    ir_store(ir, ir_extract(ir, sum, 0), ir_real_at(ir, out, thread));
    ir_end(ir, place, ir_int_of(ir->i32, 0));
    return f;
}

EmitModule *emit_peak(Arena *arena, Diag *d, const Target *target, enum rnn_dtype dtype)
{
    EmitModule *m = NEW(arena, EmitModule);
    m->symbol = "rnn_model_peak";
    m->e = (Emitter){.arena = arena, .target = target};
    ir_open(&m->e.ir, "peak", target, dtype);
    if (!machine_open(m, d)) {
        ir_close(&m->e.ir);
        return NULL;
    }
    LLVMValueRef f = peak_procedure(&m->e);
    LLVMValueRef procedure[N_PROCEDURE] = {f, f, f, f, f, f, f};
    int64_t flops = 2 * (int64_t)m->e.ir.vector * target->tile_rows * target->tile_vectors;
    struct rnn_model tables = {.abi_version = RNN_ABI_VERSION,
                               .name = "peak",
                               .spec_hash = "",
                               .target = target->name,
                               .dtype = dtype,
                               .output_size = flops};
    model_emit(&m->e, &tables, procedure, m->symbol);
    return m;
}
