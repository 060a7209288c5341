/*
 * jit.h — functions built with emit/ir.h, compiled and called: for tests and benchmarks
 * of the pieces of emit. Ends the program when LLVM refuses something.
 *
 * A module is opened, functions are built, jit_link compiles all of them; jit_address
 * then finds each by name. Memory lives until the program ends.
 */
#ifndef RNNC_TESTS_JIT_H
#define RNNC_TESTS_JIT_H

#include <llvm-c/Analysis.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <stdio.h>
#include <stdlib.h>

#include "emit/ir.h"

static void jit_stop(const char *doing, const char *why)
{
    fprintf(stderr, "%s: %s\n", doing, why ? why : "failed");
    exit(1);
}

static void jit_check(const char *doing, LLVMErrorRef error)
{
    if (error)
        jit_stop(doing, LLVMGetErrorMessage(error));
}

/* A module for the target, of reals of this width; its builder stands nowhere. */
static inline LLVMTargetMachineRef jit_open(Ir *ir, const Target *t, enum rnn_dtype dtype)
{
    LLVMTargetRef target;
    char *why = NULL;
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    ir_open(ir, "jit", t, dtype);
    if (LLVMGetTargetFromTriple(t->triple, &target, &why))
        jit_stop(t->name, why);
    LLVMTargetMachineRef machine = LLVMCreateTargetMachine(
        target, t->triple, t->cpu, t->features, LLVMCodeGenLevelDefault, LLVMRelocPIC,
        LLVMCodeModelDefault);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(ir->module, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(ir->module, t->triple);
    return machine;
}

static inline void jit_verify(Ir *ir)
{
    char *why = NULL;
    if (LLVMVerifyModule(ir->module, LLVMReturnStatusAction, &why))
        jit_stop("verify", why);
    LLVMDisposeMessage(why);
}

static inline void jit_write_assembly(Ir *ir, LLVMTargetMachineRef machine,
                                      const char *path)
{
    char *why = NULL;
    LLVMModuleRef copy = LLVMCloneModule(ir->module);
    if (LLVMTargetMachineEmitToFile(machine, copy, path, LLVMAssemblyFile, &why))
        jit_stop(path, why);
    LLVMDisposeModule(copy);
}

/* Compiles the module and ends it. *n_bytes: size of the object. */
static inline LLVMOrcLLJITRef jit_link(Ir *ir, LLVMTargetMachineRef machine,
                                       size_t *n_bytes)
{
    char *why = NULL;
    LLVMMemoryBufferRef object;
    LLVMOrcLLJITRef jit;
    LLVMOrcDefinitionGeneratorRef process;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, ir->module, LLVMObjectFile, &why,
                                            &object))
        jit_stop("code generation", why);
    *n_bytes = LLVMGetBufferSize(object);
    jit_check("LLJIT", LLVMOrcCreateLLJIT(&jit, NULL));
    LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(jit);
    jit_check("symbols", LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(
                             &process, LLVMOrcLLJITGetGlobalPrefix(jit), NULL, NULL));
    LLVMOrcJITDylibAddGenerator(library, process);
    jit_check("link", LLVMOrcLLJITAddObjectFile(jit, library, object));
    LLVMDisposeTargetMachine(machine);
    ir_close(ir);
    return jit;
}

static inline void *jit_address(LLVMOrcLLJITRef jit, const char *name)
{
    LLVMOrcExecutorAddress address = 0;
    jit_check(name, LLVMOrcLLJITLookup(jit, &address, name));
    return (void *)(uintptr_t)address;
}

#endif
