/*
 * emit.c — the plan as a module.
 *
 * Constant tables and procedures, nothing else: the one symbol that leaves it is
 * rnn_model_NAME. The workspace the tables ask for holds the shared part and each
 * thread's scratch.
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

EmitModule *emit_plan(Arena *arena, Diag *d, const Plan *plan,
                      const struct rnn_model *tables, const Target *target)
{
    EmitModule *m = NEW(arena, EmitModule);
    LLVMValueRef procedure[N_PROCEDURE];
    m->symbol = emit_symbol(arena, tables->name);
    m->e = (Emitter){.arena = arena, .plan = plan, .target = target};
    ir_open(&m->e.ir, tables->name, target, tables->dtype);
    if (!machine_open(m, d)) {
        ir_close(&m->e.ir);
        return NULL;
    }
    procedures_emit(&m->e, procedure);
    struct rnn_model described = *tables;
    described.target = target->name;
    described.threads_max = plan->threads_max;
    described.workspace_bytes =
        plan->workspace_bytes + (int64_t)plan->threads_max * plan->scratch_bytes;
    kernels_describe(arena, plan, &described);
    model_emit(&m->e, &described, procedure, m->symbol);
    verify(&m->e.ir);
    return m;
}
