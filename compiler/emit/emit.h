/*
 * emit.h — a plan as machine code, through LLVM's C API. llvm-c headers stay in this room.
 *
 * One path for both ways to run: the plan becomes one LLVM module with the
 * procedures and the constant tables of `struct rnn_model` (symbol
 * rnn_model_NAME), the module becomes an object in memory, and the object is
 * either written out or handed to the JIT; a plan for the JIT becomes several, by
 * procedures.
 */
#ifndef RNNC_EMIT_H
#define RNNC_EMIT_H

#include "passes/plan.h"
#include "rnn_abi.h"

/* A level of instruction set that rnnc names; one table, no #ifdef on architectures. */
typedef struct {
    const char *name;                    /* "x86-64-v3", "x86-64-v4", "aarch64" */
    const char *triple, *cpu, *features; /* for LLVM */
    int vector_bytes;                    /* of a register */
    int registers;                       /* vector registers */
    int tile_rows, tile_vectors;         /* MR, NV; MR * NV + NV + 1 <= registers */
    int64_t l1_bytes, l2_bytes;          /* of each core's caches, what code may count on */
    int64_t tlb_bytes;                   /* that its first TLB reaches in pages of 4 KB: a
                                            virtual machine splits larger ones */
    bool scalef;                         /* has vscalefps */
} Target;

/* NULL when unknown. name NULL: the host's best level; NULL with *why when the host is
 * below x86-64-v3. */
const Target *target_find(const char *name, const char **why);
extern const Target targets[];
extern const int n_target;
/* Reals in a register. */
int target_lanes(const Target *t, enum rnn_dtype dtype);
/* What a plan needs to know of it, for reals of that width. */
PlanTarget target_facts(const Target *t, enum rnn_dtype dtype);

typedef struct EmitModule EmitModule;

/* Builds the module. `tables` describes the model (graph_describe), all procedures NULL in
   it. Errors of LLVM go to d; then NULL. */
EmitModule *emit_plan(Arena *arena, Diag *d, const Plan *plan,
                      const struct rnn_model *tables, const Target *target);
void emit_free(EmitModule *m);
/* rnn_model_NAME: the model's symbol, NAME made a C identifier. */
const char *emit_symbol(Arena *arena, const char *name);
struct rnn_config;
/* Adds what makes the module a standalone trainer. */
void emit_trainer(EmitModule *m, const struct rnn_config *config);
/* A model whose procedures do chunk->steps rounds of independent fma, output_size
   floating-point operations each, and leave a real in chunk->params[thread]. */
EmitModule *emit_peak(Arena *arena, Diag *d, const Target *target, enum rnn_dtype dtype);
/* Textual IR or assembly, or the object, to a file. false after an error in d. */
bool emit_write_ir(EmitModule *m, Diag *d, const char *path);
bool emit_write_asm(EmitModule *m, Diag *d, const char *path);
bool emit_write_object(EmitModule *m, Diag *d, const char *path);

typedef struct Jit Jit;
/* Compiles and links in memory; the model stays valid until jit_free. NULL after an error.
 */
Jit *jit_new(EmitModule *m, Diag *d);
/* The same of a plan, in parts: what training calls at once when the model trains now, all
   else when it is first called, so everything given must outlive the Jit, and the arena and
   d are then its. */
Jit *jit_plan(Arena *arena, Diag *d, const Plan *plan, const struct rnn_model *tables,
              const Target *target, bool trains_now);
const struct rnn_model *jit_model(const Jit *jit);
void jit_free(Jit *jit);

#endif
