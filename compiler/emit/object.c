/*
 * object.c — a module as text, assembly or an object, in a file or in memory.
 *
 * The JIT gets the very object that would be written: made by our own target machine
 * for the named level, not for the CPU at hand. No pass pipeline runs before; code
 * generation at its usual level. A file is made from a copy of the module, since code
 * generation rewrites what it is given.
 */
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

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
    LLVMParseCommandLineOptions(COUNT(options), options, NULL);
}

/* LLVM has abort() called where it gets no memory, and ends the process itself where it
   finds that it cannot go on; both become documented exit statuses. */
static void on_abort(int number)
{
    static const char said[] =
        "rnnc: error: LLVM has given up, most likely for want of memory\n";
    (void)number;
    ssize_t told = write(STDERR_FILENO, said, sizeof said - 1);
    (void)told;
    _exit(EXIT_MEMORY);
}

static void on_fatal(const char *why)
{
    fprintf(stderr, "rnnc: internal error: LLVM says: %s; please report it\n", why);
    _exit(EXIT_BUG);
}

static void initialize(void)
{
    LLVMInstallFatalErrorHandler(on_fatal);
    initialize_targets();
    set_options();
}

/* Between is LLVM at work, in as many places at once as `n_within`; all other time abort()
   is what it was: a program that has a trainer in it may listen itself. */
static pthread_mutex_t within = PTHREAD_MUTEX_INITIALIZER;
static int n_within;
static struct sigaction abort_before;

void llvm_begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT; /* whichever thread comes first */
    struct sigaction action = {.sa_handler = on_abort};
    sigemptyset(&action.sa_mask);
    pthread_mutex_lock(&within);
    if (n_within++ == 0)
        sigaction(SIGABRT, &action, &abort_before);
    pthread_mutex_unlock(&within);
    pthread_once(&once, initialize);
}

void llvm_end(void)
{
    pthread_mutex_lock(&within);
    if (--n_within == 0)
        sigaction(SIGABRT, &abort_before, NULL);
    pthread_mutex_unlock(&within);
}

/* Takes LLVM's message into d; always false. */
static bool report(Diag *d, const char *doing, char *why)
{
    diag_error(d, (Loc){.source = NULL}, "%s: LLVM says: %s", doing, why ? why : "nothing");
    LLVMDisposeMessage(why);
    return false;
}

bool machine_open(EmitModule *m, Diag *d)
{
    const Target *t = m->e.target;
    LLVMModuleRef module = m->e.ir.module;
    LLVMTargetRef target;
    char *why = NULL;
    llvm_begin();
    if (LLVMGetTargetFromTriple(t->triple, &target, &why)) {
        llvm_end();
        return report(d, t->name, why);
    }
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
    llvm_end();
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
