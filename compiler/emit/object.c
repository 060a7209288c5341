/*
 * object.c — a module as text, assembly or an object, in a file or in memory.
 *
 * The JIT gets the very object that would be written: made by our own target machine
 * for the named level, not for the CPU at hand. No pass pipeline runs before; code
 * generation at its usual level. Each output is made from a copy of the module, since
 * code generation rewrites what it is given.
 */
#include <llvm-c/LLJIT.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>

#include "emit/kernel.h"

static void initialize_targets(void)
{
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
}

/* Loops come with their addresses worked out (ir.h), so that LLVM's search for better ones
   finds nothing: W2's code is as fast without, on v3 a little faster, and takes a quarter
   less time to make. LLVM keeps the option for the process and takes it once. */
static void set_options(void)
{
    static const char *const options[] = {"rnnc", "-disable-lsr"};
    static bool set;
    if (!set)
        LLVMParseCommandLineOptions(COUNT(options), options, NULL);
    set = true;
}

/* Takes LLVM's message into d; always false. */
static bool report(Diag *d, const char *doing, char *why)
{
    diag_error(d, (Loc){.source = NULL}, "%s: LLVM says: %s", doing, why ? why : "nothing");
    LLVMDisposeMessage(why);
    return false;
}

static bool check(Diag *d, const char *doing, LLVMErrorRef error)
{
    if (!error)
        return true;
    char *why = LLVMGetErrorMessage(error);
    diag_error(d, (Loc){.source = NULL}, "%s: LLVM says: %s", doing, why);
    LLVMDisposeErrorMessage(why);
    return false;
}

bool machine_open(EmitModule *m, Diag *d)
{
    const Target *t = m->e.target;
    LLVMModuleRef module = m->e.ir.module;
    LLVMTargetRef target;
    char *why = NULL;
    initialize_targets();
    set_options();
    if (LLVMGetTargetFromTriple(t->triple, &target, &why))
        return report(d, t->name, why);
    m->machine =
        LLVMCreateTargetMachine(target, t->triple, t->cpu, t->features,
                                LLVMCodeGenLevelLess, LLVMRelocPIC, LLVMCodeModelDefault);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(m->machine);
    LLVMSetModuleDataLayout(module, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(module, t->triple);
    return true;
}

void emit_free(EmitModule *m)
{
    if (!m)
        return;
    LLVMDisposeTargetMachine(m->machine);
    ir_close(&m->e.ir);
}

/* ---- files ---- */

bool emit_write_ir(EmitModule *m, Diag *d, const char *path)
{
    char *why = NULL;
    if (LLVMPrintModuleToFile(m->e.ir.module, path, &why))
        return report(d, path, why);
    return true;
}

static bool write_code(EmitModule *m, Diag *d, const char *path, LLVMCodeGenFileType type)
{
    char *why = NULL;
    LLVMModuleRef copy = LLVMCloneModule(m->e.ir.module);
    bool failed = LLVMTargetMachineEmitToFile(m->machine, copy, path, type, &why);
    LLVMDisposeModule(copy);
    return failed ? report(d, path, why) : true;
}

bool emit_write_asm(EmitModule *m, Diag *d, const char *path)
{
    return write_code(m, d, path, LLVMAssemblyFile);
}

bool emit_write_object(EmitModule *m, Diag *d, const char *path)
{
    return write_code(m, d, path, LLVMObjectFile);
}

/* ---- in memory ---- */

struct Jit {
    LLVMOrcLLJITRef lljit;
    const struct rnn_model *model;
};

/* Lets generated code find libm in this process. */
static bool add_process_symbols(LLVMOrcLLJITRef lljit, Diag *d)
{
    LLVMOrcDefinitionGeneratorRef process;
    char prefix = LLVMOrcLLJITGetGlobalPrefix(lljit);
    LLVMErrorRef error =
        LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, prefix, NULL, NULL);
    if (!check(d, "symbols of the process", error))
        return false;
    LLVMOrcJITDylibAddGenerator(LLVMOrcLLJITGetMainJITDylib(lljit), process);
    return true;
}

static bool add_object(LLVMOrcLLJITRef lljit, EmitModule *m, Diag *d)
{
    char *why = NULL;
    LLVMMemoryBufferRef object;
    LLVMModuleRef copy = LLVMCloneModule(m->e.ir.module);
    bool failed = LLVMTargetMachineEmitToMemoryBuffer(m->machine, copy, LLVMObjectFile,
                                                      &why, &object);
    LLVMDisposeModule(copy);
    if (failed)
        return report(d, "code generation", why);
    LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(lljit);
    return check(d, "linking", LLVMOrcLLJITAddObjectFile(lljit, library, object));
}

static bool find_model(Jit *jit, EmitModule *m, Diag *d)
{
    LLVMOrcExecutorAddress address = 0;
    LLVMErrorRef error = LLVMOrcLLJITLookup(jit->lljit, &address, m->symbol);
    jit->model = (const struct rnn_model *)(uintptr_t)address;
    return check(d, m->symbol, error);
}

Jit *jit_new(EmitModule *m, Diag *d)
{
    Jit *jit = NEW(m->e.arena, Jit);
    if (!check(d, "just-in-time compiler", LLVMOrcCreateLLJIT(&jit->lljit, NULL)))
        return NULL;
    if (add_process_symbols(jit->lljit, d) && add_object(jit->lljit, m, d) &&
        find_model(jit, m, d))
        return jit;
    jit_free(jit);
    return NULL;
}

const struct rnn_model *jit_model(const Jit *jit) { return jit->model; }

void jit_free(Jit *jit)
{
    if (!jit || !jit->lljit)
        return;
    LLVMConsumeError(LLVMOrcDisposeLLJIT(jit->lljit));
    jit->lljit = NULL;
}
