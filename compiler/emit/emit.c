/*
 * emit.c — the plan as a module.
 *
 * Constant tables and procedures, nothing else: the one symbol that leaves it is
 * rnn_model_NAME. The workspace the tables ask for holds the shared part and each
 * thread's scratch. For the JIT some of the procedures in a module of their own: a
 * procedure's code is the same in any company.
 */
#include <ctype.h>
#include <llvm-c/Analysis.h>
#include <string.h>

#include "emit/kernel.h"

const char *emit_symbol(Arena *arena, const char *name)
{
    char *symbol = arena_print(arena, "rnn_model_%s", name);
    for (char *c = symbol; *c; c++)
        if (!isalnum((unsigned char)*c) || (unsigned char)*c >= 128)
            *c = '_';
    return symbol;
}

static void verify(const Ir *ir)
{
    char *why = NULL;
    if (LLVMVerifyModule(ir->module, LLVMReturnStatusAction, &why))
        BUG("the module is broken: %s", why);
    LLVMDisposeMessage(why);
}

struct rnn_model emit_describe(Arena *arena, const Plan *plan,
                               const struct rnn_model *tables, const Target *target)
{
    struct rnn_model described = *tables;
    described.target = target->name;
    described.threads_max = plan->threads_max;
    described.workspace_bytes =
        plan->workspace_bytes + (int64_t)plan->threads_max * plan->scratch_bytes;
    kernels_describe(arena, plan, &described);
    return described;
}

static EmitModule *module_open(Arena *arena, Diag *d, const Plan *plan,
                               const struct rnn_model *tables, const Target *target)
{
    EmitModule *m = NEW(arena, EmitModule);
    m->e = (Emitter){.arena = arena, .plan = plan, .target = target};
    ir_open(&m->e.ir, tables->name, target, tables->dtype);
    if (machine_open(m, d))
        return m;
    ir_close(&m->e.ir);
    return NULL;
}

EmitModule *emit_plan(Arena *arena, Diag *d, const Plan *plan,
                      const struct rnn_model *tables, const Target *target)
{
    LLVMValueRef procedure[N_PROCEDURE];
    EmitModule *m = module_open(arena, d, plan, tables, target);
    if (!m)
        return NULL;
    m->symbol = emit_symbol(arena, tables->name);
    struct rnn_model described = emit_describe(arena, plan, tables, target);
    procedures_emit(&m->e, CALL_ALL, procedure);
    model_emit(&m->e, &described, procedure, m->symbol);
    verify(&m->e.ir);
    return m;
}

EmitModule *emit_procedures(Arena *arena, Diag *d, const Plan *plan,
                            const struct rnn_model *tables, const Target *target,
                            unsigned set)
{
    LLVMValueRef procedure[N_PROCEDURE];
    EmitModule *m = module_open(arena, d, plan, tables, target);
    if (!m)
        return NULL;
    m->e.apart = true;
    procedures_emit(&m->e, set, procedure);
    verify(&m->e.ir);
    return m;
}
