/*
 * procedure.c — procedures: stages in order, threads, time blocks, results.
 *
 * Every thread runs every procedure; which rows or features are its own follows from
 * its number alone. Barriers stand where the plan says so and at the end. Results are
 * thread 0's, between two barriers, so that all threads find them and everything else
 * complete when a procedure returns.
 */
#include "emit/kernel.h"

#include <math.h>
#include <stddef.h>

static const Call calls[PROC_COUNT] = {
    [PROC_INIT] = CALL_INIT,     [PROC_PACK] = CALL_PACK, [PROC_GRAD] = CALL_GRAD,
    [PROC_UPDATE] = CALL_UPDATE, [PROC_EVAL] = CALL_EVAL, [PROC_STEP] = CALL_STEP,
};

static const char *call_name(Call call)
{
    for (int i = 0; i < PROC_COUNT; i++)
        if (calls[i] == call)
            return proc_names[i];
    return "train"; /* of grad and update: no procedure of the plan */
}

const char *procedure_symbol(Arena *arena, Call call)
{
    return arena_print(arena, "rnnc_%s", call_name(call));
}

/* ---- the barrier ---- */

/* team->wait(team, thread) when there are others to wait for. */
static LLVMValueRef barrier_function(Emitter *e)
{
    Ir *ir = &e->ir;
    LLVMValueRef f = ir_declare(ir, "barrier", ir->none, 2, e->procedure_param);
    LLVMSetLinkage(f, LLVMInternalLinkage);
    IrPlace place = frame_begin(e, f);
    LLVMValueRef team = chunk_field(e, offsetof(struct rnn_chunk, team), ir->ptr);
    IrIf several = ir_if(ir, ir_less(ir, ir_int(ir, 1), chunk_threads(e)));
    LLVMValueRef at = ir_at(ir, ir->i8, team, ir_int(ir, offsetof(struct rnn_team, wait)));
    LLVMTypeRef param[] = {ir->ptr, ir->i32};
    LLVMValueRef arg[] = {team, LLVMBuildTrunc(ir->builder, e->frame.thread, ir->i32, "")};
    LLVMBuildCall2(ir->builder, LLVMFunctionType(ir->none, param, 2, false),
                   ir_load(ir, ir->ptr, at), arg, 2, "");
    ir_endif(ir, &several);
    ir_end(ir, place, NULL);
    return f;
}

static void barrier(Emitter *e)
{
    LLVMValueRef arg[] = {e->frame.chunk, e->frame.thread};
    ir_call(&e->ir, e->wait, 2, arg);
}

static LLVMValueRef is_thread(Emitter *e, LLVMValueRef number)
{
    return LLVMBuildICmp(e->ir.builder, LLVMIntEQ, e->frame.thread, number, "");
}

/* ---- stages without axes ---- */

typedef struct {
    LLVMValueRef t0, t1, row0, row1, slot0;
} Ranges;

static Ranges all_of(Emitter *e)
{
    LLVMValueRef zero = ir_int(&e->ir, 0);
    return (Ranges){zero, chunk_steps(e), zero, chunk_rows(e), zero};
}

static void call_nest(Emitter *e, LLVMValueRef f, Ranges r)
{
    LLVMValueRef arg[] = {e->frame.chunk, e->frame.thread, r.t0,   r.t1,
                          r.row0,         r.row1,          r.slot0};
    ir_call(&e->ir, f, COUNT(arg), arg);
}

static void call_kernel(Emitter *e, int kernel, LLVMValueRef f, Ranges r)
{
    kernel_mark(e, kernel);
    call_nest(e, f, r);
    kernel_mark(e, -1);
}

/* Nests in order: split by features, or one thread's. */
static void emit_features_stage(Emitter *e, const Stage *s, const char *name)
{
    Ir *ir = &e->ir;
    Ranges all = all_of(e);
    for (int g = 0; g < s->n_group; g++)
        for (int i = 0; i < s->group[g].n_nest; i++) {
            const Nest *nest = &s->group[g].nest[i];
            if (nest->barrier)
                barrier(e);
            LLVMValueRef f = nest_function(e, s, &s->group[g], nest,
                                           arena_print(e->arena, "%s_%d", name, i));
            int kernel = kernel_number(e, &s->group[g], nest);
            if (nest->split != SPLIT_NONE) {
                call_kernel(e, kernel, f, all);
                continue;
            }
            LLVMValueRef turn =
                LLVMBuildURem(ir->builder, ir_int(ir, nest->turn), chunk_threads(e), "");
            IrIf mine = ir_if(ir, is_thread(e, turn));
            call_kernel(e, kernel, f, all);
            ir_endif(ir, &mine);
        }
}

/* ---- stages split by rows ---- */

/* This thread's rows. */
static Ranges rows_of(Emitter *e)
{
    Ir *ir = &e->ir;
    LLVMValueRef rows = chunk_rows(e), threads = chunk_threads(e), zero = ir_int(ir, 0);
    LLVMValueRef after = ir_add(ir, e->frame.thread, ir_int(ir, 1));
    return (Ranges){zero, chunk_steps(e),
                    ir_div(ir, ir_mul(ir, rows, e->frame.thread), threads),
                    ir_div(ir, ir_mul(ir, rows, after), threads), zero};
}

static void emit_rows_stage(Emitter *e, const Stage *s, const char *name)
{
    Ranges r = rows_of(e);
    for (int g = 0; g < s->n_group; g++)
        for (int i = 0; i < s->group[g].n_nest; i++)
            call_kernel(e, kernel_number(e, &s->group[g], &s->group[g].nest[i]),
                        nest_function(e, s, &s->group[g], &s->group[g].nest[i],
                                      arena_print(e->arena, "%s_%d_%d", name, g, i)),
                        r);
}

/* All nests of the group, step after step in time's direction. */
static void emit_scan(Emitter *e, const Stage *s, const Group *g, LLVMValueRef *nest,
                      Ranges r)
{
    Ir *ir = &e->ir;
    LLVMValueRef one = ir_int(ir, 1);
    IrLoop steps = ir_loop(ir, ir_int(ir, 0), ir_sub(ir, r.t1, r.t0), 1, 0, NULL);
    LLVMValueRef t = s->backward ? ir_sub(ir, ir_sub(ir, r.t1, one), steps.i)
                                 : ir_add(ir, r.t0, steps.i);
    Ranges now = {t, ir_add(ir, t, one), r.row0, r.row1, r.slot0};
    for (int i = 0; i < g->n_nest; i++) {
        if (g->nest[i].barrier)
            barrier(e);
        call_nest(e, nest[i], now);
    }
    ir_loop_end(ir, &steps, NULL);
}

/* Of a map by features: this thread's steps. */
static Ranges steps_of(Emitter *e, Ranges r)
{
    Ir *ir = &e->ir;
    LLVMValueRef steps = ir_sub(ir, r.t1, r.t0), threads = chunk_threads(e);
    LLVMValueRef after = ir_add(ir, e->frame.thread, ir_int(ir, 1)), t0 = r.t0;
    r.t0 = ir_add(ir, t0, ir_div(ir, ir_mul(ir, steps, e->frame.thread), threads));
    r.t1 = ir_add(ir, t0, ir_div(ir, ir_mul(ir, steps, after), threads));
    return r;
}

static void emit_map(Emitter *e, const Group *group, LLVMValueRef *nest, Ranges r)
{
    for (int i = 0; i < group->n_nest; i++) {
        if (group->nest[i].barrier)
            barrier(e);
        call_kernel(e, kernel_number(e, group, &group->nest[i]), nest[i], r);
    }
}

static void emit_block(Emitter *e, const Stage *s, LLVMValueRef **nest, Ranges r)
{
    for (int g = 0; g < s->n_group; g++) {
        const Group *group = &s->group[g];
        if (group->barrier)
            barrier(e);
        if (group->scan) {
            kernel_mark(e, kernel_number(e, group, NULL));
            emit_scan(e, s, group, nest[g], r);
            kernel_mark(e, -1);
            continue;
        }
        emit_map(e, group, nest[g], s->features ? steps_of(e, r) : r);
    }
}

static LLVMValueRef **time_nests(Emitter *e, const Stage *s, const char *name)
{
    LLVMValueRef **nest = NEW_ARRAY(e->arena, LLVMValueRef *, s->n_group);
    for (int g = 0; g < s->n_group; g++) {
        nest[g] = NEW_ARRAY(e->arena, LLVMValueRef, s->group[g].n_nest);
        for (int i = 0; i < s->group[g].n_nest; i++)
            nest[g][i] = nest_function(e, s, &s->group[g], &s->group[g].nest[i],
                                       arena_print(e->arena, "%s_%d_%d", name, g, i));
    }
    return nest;
}

/* Blocks [0, block), [block, 2 block) …, the last one shorter; backward: the last one
 * first. */
static void emit_time_stage(Emitter *e, const Stage *s, const char *name)
{
    Ir *ir = &e->ir;
    if (s->block < 1)
        BUG("%s: blocks of %d steps", name, (int)s->block);
    LLVMValueRef **nest = time_nests(e, s, name);
    LLVMValueRef steps = chunk_steps(e), block = ir_int(ir, s->block), one = ir_int(ir, 1);
    LLVMValueRef padded = ir_add(ir, steps, ir_int(ir, s->block - 1));
    LLVMValueRef n_block = ir_div(ir, padded, block);
    Ranges r = s->features ? all_of(e) : rows_of(e);
    IrIf any = ir_if(ir, ir_less(ir, r.row0, r.row1));
    IrLoop blocks = ir_loop(ir, ir_int(ir, 0), n_block, 1, 0, NULL);
    LLVMValueRef number =
        s->backward ? ir_sub(ir, ir_sub(ir, n_block, one), blocks.i) : blocks.i;
    r.t0 = r.slot0 = ir_mul(ir, number, block);
    r.t1 = ir_min(ir, ir_add(ir, r.t0, block), steps);
    emit_block(e, s, nest, r);
    ir_loop_end(ir, &blocks, NULL);
    ir_endif(ir, &any);
}

static void emit_stage(Emitter *e, const Stage *s, const char *name)
{
    switch (s->kind) {
    case STAGE_ONCE:
    case STAGE_SUM: emit_features_stage(e, s, name); return;
    case STAGE_ROWS: emit_rows_stage(e, s, name); return;
    case STAGE_TIME: emit_time_stage(e, s, name); return;
    }
    BUG("stage %d", (int)s->kind);
}

static void emit_stages(Emitter *e, const Procedure *p, const char *name)
{
    for (int i = 0; i < p->n_stage; i++) {
        if (p->stage[i].barrier)
            barrier(e);
        emit_stage(e, &p->stage[i], arena_print(e->arena, "%s_%d", name, i));
    }
    barrier(e);
}

/* ---- results ---- */

static void set_field(Emitter *e, size_t offset_bytes, LLVMValueRef v)
{
    Ir *ir = &e->ir;
    ir_store(ir, v, ir_at(ir, ir->i8, e->frame.chunk, ir_int(ir, (int64_t)offset_bytes)));
}

/* A value of rank 0 without axes, as a double. */
static LLVMValueRef read_result(Emitter *e, const Access *a)
{
    const Buffer *b = access_buffer(e, a);
    LLVMTypeRef type = element_type(&e->ir, b->element);
    LLVMValueRef v = ir_load(&e->ir, type, access_address(e, a, NULL, NULL));
    if (b->element != ELEMENT_REAL && b->element != ELEMENT_F64)
        BUG("the result %s is not a real", b->name);
    return type == e->ir.f64 ? v : LLVMBuildFPExt(e->ir.builder, v, e->ir.f64, "");
}

/* loss (NaN without weight), weight, finite: not false for want of weight. */
static void emit_loss(Emitter *e, const Procedure *p)
{
    Ir *ir = &e->ir;
    LLVMBuilderRef b = ir->builder;
    LLVMValueRef loss = read_result(e, &p->loss), zero = ir_real(ir->f64, 0);
    LLVMValueRef size = ir_intrinsic(ir, "llvm.fabs", ir->f64, 1, &loss);
    LLVMValueRef finite =
        LLVMBuildFCmp(b, LLVMRealOLT, size, ir_real(ir->f64, (double)INFINITY), "");
    if (p->weight.buffer >= 0) {
        LLVMValueRef weight = read_result(e, &p->weight);
        LLVMValueRef none = LLVMBuildFCmp(b, LLVMRealOEQ, weight, zero, "");
        loss = ir_select(ir, none, ir_real(ir->f64, (double)NAN), loss);
        finite = LLVMBuildOr(b, finite, none, "");
        set_field(e, offsetof(struct rnn_chunk, weight), weight);
    }
    set_field(e, offsetof(struct rnn_chunk, loss), loss);
    set_field(e, offsetof(struct rnn_chunk, finite), LLVMBuildZExt(b, finite, ir->i8, ""));
}

/* Those that the procedure makes, each at its number. */
static void store_numbers(Emitter *e, LLVMValueRef to, int n, const Access *from)
{
    Ir *ir = &e->ir;
    for (int i = 0; i < n; i++)
        if (from[i].buffer >= 0)
            ir_store(ir, read_result(e, &from[i]), ir_at(ir, ir->f64, to, ir_int(ir, i)));
}

static void emit_metrics(Emitter *e, const Procedure *p)
{
    Ir *ir = &e->ir;
    LLVMValueRef metrics = chunk_field(e, offsetof(struct rnn_chunk, metrics), ir->ptr);
    IrIf wanted = ir_if(ir, LLVMBuildIsNotNull(ir->builder, metrics, ""));
    store_numbers(e, metrics, p->n_metric, p->metric);
    ir_endif(ir, &wanted);
}

/* Metrics are made of the running sums, whose places are read no more. */
static void emit_running(Emitter *e, const Procedure *p)
{
    Ir *ir = &e->ir;
    LLVMValueRef running = chunk_field(e, offsetof(struct rnn_chunk, running), ir->ptr);
    store_numbers(e, running, p->n_running, p->running);
}

static void emit_results(Emitter *e, const Procedure *p)
{
    if (p->loss.buffer < 0 && p->gradient_norm.buffer < 0 && p->n_metric == 0 &&
        p->n_running == 0)
        return;
    IrIf first = ir_if(&e->ir, is_thread(e, ir_int(&e->ir, 0)));
    if (p->loss.buffer >= 0)
        emit_loss(e, p);
    if (p->gradient_norm.buffer >= 0)
        set_field(e, offsetof(struct rnn_chunk, gradient_norm),
                  read_result(e, &p->gradient_norm));
    if (p->n_metric > 0)
        emit_metrics(e, p);
    if (p->n_running > 0)
        emit_running(e, p);
    ir_endif(&e->ir, &first);
    barrier(e);
}

/* ---- procedures ---- */

/* int name(struct rnn_chunk *chunk, int thread), around body(e, chunk, i64 thread). */
static LLVMValueRef declare_procedure(Emitter *e, Call call)
{
    LLVMTypeRef param[] = {e->ir.ptr, e->ir.i32};
    const char *name = e->apart ? procedure_symbol(e->arena, call) : call_name(call);
    LLVMValueRef f = ir_declare(&e->ir, name, e->ir.i32, 2, param);
    LLVMSetLinkage(f, e->apart ? LLVMExternalLinkage : LLVMInternalLinkage);
    return f;
}

static IrPlace procedure_begin(Emitter *e, LLVMValueRef f)
{
    IrPlace place = frame_begin(e, f);
    LLVMBasicBlockRef back = ir_enter_entry(&e->ir);
    e->frame.thread = LLVMBuildSExt(e->ir.builder, ir_param(&e->ir, 1), e->ir.i64, "");
    ir_leave_entry(&e->ir, back);
    return place;
}

static LLVMValueRef emit_procedure(Emitter *e, ProcId id)
{
    const Procedure *p = &e->plan->proc[id];
    LLVMValueRef f = declare_procedure(e, calls[id]);
    IrPlace place = procedure_begin(e, f);
    emit_stages(e, p, proc_names[id]);
    emit_results(e, p);
    ir_end(&e->ir, place, ir_int_of(e->ir.i32, 0));
    return f;
}

/* A field of the chunk as it stands now, not when the function was entered. */
static LLVMValueRef field_now(Emitter *e, size_t offset_bytes, LLVMTypeRef type)
{
    Ir *ir = &e->ir;
    LLVMValueRef at = ir_at(ir, ir->i8, e->frame.chunk, ir_int(ir, (int64_t)offset_bytes));
    return ir_load(ir, type, at);
}

/* grad, then update, unless there is nothing to learn from. All threads read one result. */
static LLVMValueRef emit_train(Emitter *e, LLVMValueRef grad, LLVMValueRef update)
{
    Ir *ir = &e->ir;
    const Procedure *p = &e->plan->proc[PROC_GRAD];
    LLVMValueRef f = declare_procedure(e, CALL_TRAIN);
    IrPlace place = procedure_begin(e, f);
    LLVMValueRef arg[] = {ir_param(ir, 0), ir_param(ir, 1)};
    ir_call(ir, grad, 2, arg);
    LLVMValueRef learn = ir_int_of(ir->i1, 1);
    if (p->loss.buffer >= 0) {
        LLVMValueRef finite = field_now(e, offsetof(struct rnn_chunk, finite), ir->i8);
        learn = LLVMBuildICmp(ir->builder, LLVMIntNE, finite, ir_int_of(ir->i8, 0), "");
    }
    if (p->weight.buffer >= 0) {
        LLVMValueRef weight = field_now(e, offsetof(struct rnn_chunk, weight), ir->f64);
        LLVMValueRef some =
            LLVMBuildFCmp(ir->builder, LLVMRealUNE, weight, ir_real(ir->f64, 0), "");
        learn = LLVMBuildAnd(ir->builder, learn, some, "");
    }
    IrIf ok = ir_if(ir, learn);
    ir_call(ir, update, 2, arg);
    ir_endif(ir, &ok);
    ir_end(ir, place, ir_int_of(ir->i32, 0));
    return f;
}

/* One that this module has, or that another one will have. */
static LLVMValueRef procedure_for(Emitter *e, LLVMValueRef *procedure, Call call)
{
    return procedure[call] ? procedure[call] : declare_procedure(e, call);
}

void procedures_emit(Emitter *e, unsigned set, LLVMValueRef procedure[N_PROCEDURE])
{
    Ir *ir = &e->ir;
    LLVMTypeRef param[] = {ir->ptr, ir->i64, ir->i64, ir->i64, ir->i64, ir->i64, ir->i64};
    for (int i = 0; i < COUNT(param); i++)
        e->nest_param[i] = param[i];
    e->procedure_param[0] = ir->ptr;
    e->procedure_param[1] = ir->i64;
    e->wait = barrier_function(e);
    for (int i = 0; i < N_PROCEDURE; i++)
        procedure[i] = NULL;
    for (int id = 0; id < PROC_COUNT; id++) {
        Call call = calls[id];
        ir->cold = id == PROC_INIT;
        if (set & 1u << call)
            procedure[call] = emit_procedure(e, (ProcId)id);
    }
    ir->cold = false;
    if (set & 1u << CALL_TRAIN)
        procedure[CALL_TRAIN] = emit_train(e, procedure_for(e, procedure, CALL_GRAD),
                                           procedure_for(e, procedure, CALL_UPDATE));
}
