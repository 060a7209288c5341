/*
 * sweep.h — a sweep being emitted: shared by sweep.c (loops), instr.c (instructions) and
 * reduce.c (reductions and sums).
 */
#ifndef RNNC_EMIT_SWEEP_H
#define RNNC_EMIT_SWEEP_H

#include "emit/kernel.h"

/* What is known of an instruction, and its values where the builder stands. */
typedef struct {
    int level;         /* how many of the loops it stands in */
    bool varies;       /* from lane to lane: its value is a vector */
    bool splat_needed; /* does not vary, but a user does */
    Real value;
    LLVMValueRef splat;               /* value in each lane */
    LLVMValueRef place[MAX_RANK + 1]; /* its access inside of 0 … rank loops */
    LLVMValueRef ahead;       /* elements from there to what it fetches; NULL: nothing */
    LLVMValueRef valid;       /* I_SCATTER: i1, the class is one */
    LLVMValueRef sum, beside; /* I_REDUCE: accumulators, see reduce.c; beside may be NULL */
} InstrState;

/*
 * The loops stand in `order`: dimensions that are not reduced outside, reduced ones
 * inside. vector_dim (the innermost one as given; -1: none) goes in steps of `lanes`; in
 * its last trip only `active` lanes count, and mask tells them.
 */
typedef struct {
    Emitter *e;
    Ir *ir;
    int rank;
    int64_t extent[MAX_RANK];
    uint32_t reduced;
    Part part;
    int n_instr;
    const Instr *instr;
    InstrState *state;
    int order[MAX_RANK];
    int n_outer; /* loops that are not reduced */
    int vector_dim, lanes;
    LLVMValueRef index[MAX_RANK]; /* by dimension */
    int active;
    LLVMValueRef mask; /* NULL: all lanes count */
    /* Rows and steps to the point that is fetched for; NULL: none is. */
    LLVMValueRef rows_ahead, steps_ahead;
} Loops;

/* ---- instr.c ---- */

bool instr_has_access(const Instr *i);
bool instr_is_reduction(
    const Instr *i); /* I_REDUCE, I_ACCUMULATE, I_SCATTER: once a point of the space */
void instr_emit(Loops *l, int i);
/* The address of instruction i's access before any loop is open. */
LLVMValueRef instr_base(Loops *l, int i);
/* Elements from there to the same element of the point that is fetched for, or NULL. */
LLVMValueRef instr_ahead(Loops *l, int i);
/* Operand `a` of instruction i in i's width; a vector when `vector`. */
LLVMValueRef instr_operand(Loops *l, int i, int a, bool vector);
/* Loads or stores at p what stands `stride` elements apart; `vector`: the active lanes. */
LLVMValueRef element_load(Loops *l, const Buffer *b, LLVMValueRef p, int64_t stride,
                          bool vector, LLVMTypeRef real);
void element_store(Loops *l, const Buffer *b, LLVMValueRef p, int64_t stride,
                   LLVMValueRef value);

/* ---- reduce.c ---- */

void reduce_begin(Loops *l, int i);  /* before the reduced loops */
void reduce_update(Loops *l, int i); /* for each point */
void reduce_end(Loops *l, int i);    /* behind them: across lanes, and stored */
void accumulate_emit(Loops *l, int i);

#endif
