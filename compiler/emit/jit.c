/*
 * jit.c — code in memory: a module whole, or a plan part by part.
 *
 * Of a plan that is to be trained, what training calls is compiled at once, in two parts on
 * two threads: most of the time goes to LLVM, which a module and its context have for
 * themselves. All else is compiled when it is first called, by the thread that came first;
 * the others of its team wait. Then the model's tables are those in memory, with
 * procedures that look for their code, and its context is the Jit. Where LLVM refuses, its
 * reason is printed once and a procedure that fails stands in for the code: the threads of
 * a team then all return, and the run ends in order.
 */
#include <llvm-c/LLJIT.h>
#include <llvm-c/TargetMachine.h>
#include <pthread.h>
#include <stdatomic.h>

#include "emit/kernel.h"
#include "rnn.h"

struct Jit {
    LLVMOrcLLJITRef lljit;
    Diag *diag;
    const struct rnn_model *model;
    /* of a plan: */
    Arena *arena;
    const Plan *plan;
    const Target *target;
    struct rnn_model own;
    pthread_mutex_t lock;
    _Atomic(rnn_procedure *) late[N_PROCEDURE]; /* NULL: not asked for yet */
};

static bool check(Diag *d, const char *doing, LLVMErrorRef error)
{
    if (!error)
        return true;
    char *why = LLVMGetErrorMessage(error);
    diag_error(d, (Loc){.source = NULL}, "%s: LLVM says: %s", doing, why);
    LLVMDisposeErrorMessage(why);
    return false;
}

/* ---- objects ---- */

/* A module on its way to an object, perhaps in a thread of its own. */
typedef struct {
    LLVMTargetMachineRef machine;
    LLVMModuleRef module;
    LLVMMemoryBufferRef object;
    char *why; /* not NULL: no object */
    pthread_t thread;
    bool threaded;
} Generation;

static void *generate(void *user)
{
    Generation *g = user;
    char *why = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(g->machine, g->module, LLVMObjectFile, &why,
                                            &g->object))
        g->why = why;
    return NULL;
}

static bool add_object(Jit *jit, const Generation *g)
{
    if (g->why) {
        diag_error(jit->diag, (Loc){.source = NULL}, "code generation: LLVM says: %s",
                   g->why);
        LLVMDisposeMessage(g->why);
        LLVMDisposeMemoryBuffer(g->object); /* made all the same */
        return false;
    }
    LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(jit->lljit);
    return check(jit->diag, "linking",
                 LLVMOrcLLJITAddObjectFile(jit->lljit, library, g->object));
}

static const void *find(Jit *jit, const char *symbol)
{
    LLVMOrcExecutorAddress address = 0;
    LLVMErrorRef error = LLVMOrcLLJITLookup(jit->lljit, &address, symbol);
    return check(jit->diag, symbol, error) ? (const void *)(uintptr_t)address : NULL;
}

/* Lets generated code find libm in this process. */
static bool add_process_symbols(Jit *jit)
{
    LLVMOrcDefinitionGeneratorRef process;
    char prefix = LLVMOrcLLJITGetGlobalPrefix(jit->lljit);
    LLVMErrorRef error =
        LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, prefix, NULL, NULL);
    if (!check(jit->diag, "symbols of the process", error))
        return false;
    LLVMOrcJITDylibAddGenerator(LLVMOrcLLJITGetMainJITDylib(jit->lljit), process);
    return true;
}

static bool jit_open(Jit *jit)
{
    return check(jit->diag, "just-in-time compiler",
                 LLVMOrcCreateLLJIT(&jit->lljit, NULL)) &&
           add_process_symbols(jit);
}

/* ---- a module whole ---- */

static bool add_module(Jit *jit, EmitModule *m)
{
    Generation g = {.machine = m->machine, .module = LLVMCloneModule(m->e.ir.module)};
    generate(&g);
    LLVMDisposeModule(g.module);
    return add_object(jit, &g);
}

Jit *jit_new(EmitModule *m, Diag *d)
{
    Jit *jit = NEW(m->e.arena, Jit);
    jit->diag = d;
    llvm_begin();
    bool good = jit_open(jit) && add_module(jit, m) && (jit->model = find(jit, m->symbol));
    llvm_end();
    if (good)
        return jit;
    jit_free(jit);
    return NULL;
}

/* ---- parts of a plan ---- */

static const unsigned trains[] = {1u << CALL_GRAD, 1u << CALL_INIT | 1u << CALL_PACK |
                                                       1u << CALL_TRAIN |
                                                       1u << CALL_UPDATE};

/* Generates beside this thread, but for the last. */
static void begin(Generation *g, bool last)
{
    g->threaded = !last && pthread_create(&g->thread, NULL, generate, g) == 0;
    if (!g->threaded)
        generate(g);
}

/* Modules of these sets of procedures, linked. */
static bool add_parts(Jit *jit, int n, const unsigned *set)
{
    enum { MOST = COUNT(trains) };
    EmitModule *part[MOST] = {NULL};
    Generation work[MOST] = {0};
    bool good = true;
    for (int i = 0; i < n; i++) {
        part[i] = emit_procedures(jit->arena, jit->diag, jit->plan, &jit->own, jit->target,
                                  set[i]);
        if (!part[i])
            continue;
        work[i].machine = part[i]->machine, work[i].module = part[i]->e.ir.module;
        begin(&work[i], i == n - 1);
    }
    for (int i = 0; i < n; i++) {
        if (work[i].threaded)
            pthread_join(work[i].thread, NULL);
        good = part[i] && add_object(jit, &work[i]) && good;
        emit_free(part[i]);
    }
    return good;
}

static rnn_procedure *procedure(Jit *jit, Call call)
{
    const void *address = find(jit, procedure_symbol(jit->arena, call));
    return (rnn_procedure *)(uintptr_t)address;
}

/* Stands for code that could not be made. */
static int not_compiled(struct rnn_chunk *chunk, int thread)
{
    (void)chunk, (void)thread;
    return RNN_EDEVICE;
}

/* What is compiled with a procedure that is called before it is compiled. */
static unsigned late_set(Call call)
{
    const unsigned begins = 1u << CALL_INIT | 1u << CALL_PACK;
    const unsigned learns = 1u << CALL_TRAIN | 1u << CALL_GRAD | 1u << CALL_UPDATE;
    unsigned own = 1u << call;
    return own & begins ? begins : own & learns ? learns : own;
}

/* Compiles the set and keeps its procedures; where that fails, one that fails for each. */
static void compile_late(Jit *jit, unsigned set)
{
    llvm_begin();
    bool good = add_parts(jit, 1, &set);
    for (int call = 0; call < N_PROCEDURE; call++) {
        if (!(set & 1u << call))
            continue;
        rnn_procedure *f = good ? procedure(jit, (Call)call) : NULL;
        atomic_store_explicit(&jit->late[call], f ? f : not_compiled, memory_order_release);
    }
    llvm_end();
    diag_flush(jit->diag);
}

/* The code of a procedure that is compiled when it is first asked for. */
static rnn_procedure *late(const struct rnn_chunk *chunk, Call call)
{
    Jit *jit = (Jit *)(uintptr_t)chunk->model->context;
    rnn_procedure *f = atomic_load_explicit(&jit->late[call], memory_order_acquire);
    if (f)
        return f;
    pthread_mutex_lock(&jit->lock);
    if (!atomic_load_explicit(&jit->late[call], memory_order_relaxed))
        compile_late(jit, late_set(call));
    pthread_mutex_unlock(&jit->lock);
    return atomic_load_explicit(&jit->late[call], memory_order_acquire);
}

static int late_init(struct rnn_chunk *c, int thread)
{
    return late(c, CALL_INIT)(c, thread);
}

static int late_pack(struct rnn_chunk *c, int thread)
{
    return late(c, CALL_PACK)(c, thread);
}

static int late_train(struct rnn_chunk *c, int thread)
{
    return late(c, CALL_TRAIN)(c, thread);
}

static int late_grad(struct rnn_chunk *c, int thread)
{
    return late(c, CALL_GRAD)(c, thread);
}

static int late_update(struct rnn_chunk *c, int thread)
{
    return late(c, CALL_UPDATE)(c, thread);
}

static int late_eval(struct rnn_chunk *c, int thread)
{
    return late(c, CALL_EVAL)(c, thread);
}

static int late_step(struct rnn_chunk *c, int thread)
{
    return late(c, CALL_STEP)(c, thread);
}

static void set_procedures(Jit *jit)
{
    struct rnn_model *m = &jit->own;
    m->init = late_init, m->pack = late_pack, m->train = late_train;
    m->grad = late_grad, m->update = late_update;
    m->eval = late_eval, m->step = late_step;
    m->context = jit;
}

/* All that training calls. */
static bool compile_training(Jit *jit)
{
    struct rnn_model *m = &jit->own;
    if (!add_parts(jit, COUNT(trains), trains))
        return false;
    m->init = procedure(jit, CALL_INIT), m->pack = procedure(jit, CALL_PACK);
    m->train = procedure(jit, CALL_TRAIN), m->grad = procedure(jit, CALL_GRAD);
    m->update = procedure(jit, CALL_UPDATE);
    return m->init && m->pack && m->train && m->grad && m->update;
}

Jit *jit_plan(Arena *arena, Diag *d, const Plan *plan, const struct rnn_model *tables,
              const Target *target, bool trains_now)
{
    Jit *jit = NEW(arena, Jit);
    jit->diag = d, jit->arena = arena, jit->plan = plan, jit->target = target;
    jit->own = emit_describe(arena, plan, tables, target);
    jit->model = &jit->own;
    pthread_mutex_init(&jit->lock, NULL);
    set_procedures(jit);
    llvm_begin();
    bool good = jit_open(jit) && (!trains_now || compile_training(jit));
    llvm_end();
    if (good)
        return jit;
    jit_free(jit);
    return NULL;
}

const struct rnn_model *jit_model(const Jit *jit) { return jit->model; }

void jit_free(Jit *jit)
{
    if (!jit)
        return;
    if (jit->lljit) {
        llvm_begin();
        LLVMConsumeError(LLVMOrcDisposeLLJIT(jit->lljit));
        llvm_end();
    }
    if (jit->plan)
        pthread_mutex_destroy(&jit->lock);
    jit->lljit = NULL;
    jit->plan = NULL;
}
