/*
 * ir.h — a thin layer over LLVM's C API: types, constants, addresses, loads and
 * stores, intrinsics, loops and branches, one function after another.
 *
 * Values are LLVM's own (LLVMValueRef); "vector" means Ir.vector lanes, the
 * number of reals in one of the target's registers. Arithmetic that needs no thought is
 * called directly (LLVMBuildFAdd(ir->builder, …)). Nothing here sets a fast-math flag: what
 * is written is what runs, in that order.
 *
 * There is no optimizer behind this. Integer helpers fold constants and drop
 * additions of 0 and products with 1, so that addresses come out short; whoever
 * emits places invariant code outside of loops himself.
 */
#ifndef RNNC_EMIT_IR_H
#define RNNC_EMIT_IR_H

#include <llvm-c/Core.h>

#include "emit/emit.h"

enum { IR_MAX_CARRIED = 64 };

typedef struct {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMTypeRef none, i1, i8, i16, i32, i64, f64, ptr;
    enum rnn_dtype dtype;
    LLVMTypeRef real;             /* the model's: float or double */
    LLVMTypeRef vreal, vi32, vi1; /* `vector` lanes */
    int vector;
    LLVMValueRef function;   /* being built */
    LLVMBasicBlockRef entry; /* its first block: see ir_entry */
    bool cold; /* functions declared now run once a run: cheap to compile, not fast */
} Ir;

/* For a model whose reals are of this dtype. */
void ir_open(Ir *ir, const char *module, const Target *target, enum rnn_dtype dtype);
/* Ends builder, module and context. */
void ir_close(Ir *ir);

/* ---- functions ---- */

/* Declares a function with C's calling convention, nounwind. */
LLVMValueRef ir_declare(Ir *ir, const char *name, LLVMTypeRef result, int n_param,
                        const LLVMTypeRef *param);

/* Where building stood before a function was begun inside of another. */
typedef struct {
    LLVMValueRef function;
    LLVMBasicBlockRef entry, block;
} IrPlace;

/* Starts the body of f; the builder stands in its first block behind `entry`. */
IrPlace ir_begin(Ir *ir, LLVMValueRef f);
/* Returns (result NULL: nothing) and goes back to where ir_begin was called. */
void ir_end(Ir *ir, IrPlace place, LLVMValueRef result);
LLVMValueRef ir_param(const Ir *ir, int i);
LLVMValueRef ir_call(Ir *ir, LLVMValueRef f, int n, LLVMValueRef *arg);
/* Makes what is built until ir_leave_entry stand at the end of the function's entry
   block, where it dominates everything: for values loaded once, when first needed. */
LLVMBasicBlockRef ir_enter_entry(Ir *ir);
void ir_leave_entry(Ir *ir, LLVMBasicBlockRef back);
/* Room for n elements of the type on the function's stack, 64-byte aligned. */
LLVMValueRef ir_stack(Ir *ir, LLVMTypeRef type, int64_t n);

/* ---- types and constants ---- */

/* n lanes of the element; n = 1 gives the element itself. */
LLVMTypeRef ir_lanes(LLVMTypeRef element, int n);
bool ir_is_vector(LLVMValueRef v);
LLVMValueRef ir_int(Ir *ir, int64_t n); /* i64 */
LLVMValueRef ir_int_of(LLVMTypeRef type,
                       int64_t n); /* of any integer type; vectors: in each lane */
LLVMValueRef ir_real(LLVMTypeRef type,
                     double x); /* float, double, or vectors of them: in each lane */
bool ir_constant(LLVMValueRef v, int64_t *value); /* is it a constant integer? */
bool ir_is(LLVMValueRef v, int64_t value);        /* is it this one? */

/* ---- integers (i64) ---- */

LLVMValueRef ir_add(Ir *ir, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef ir_sub(Ir *ir, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef ir_mul(Ir *ir, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef ir_div(Ir *ir, LLVMValueRef a,
                    LLVMValueRef b); /* of numbers >= 0, rounded down */
LLVMValueRef ir_min(Ir *ir, LLVMValueRef a, LLVMValueRef b); /* signed */
LLVMValueRef ir_max(Ir *ir, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef ir_less(Ir *ir, LLVMValueRef a, LLVMValueRef b); /* i1, signed */
LLVMValueRef ir_select(Ir *ir, LLVMValueRef c, LLVMValueRef yes, LLVMValueRef no);

/* ---- memory ---- */

/* The address of element `index` (i64) of an array of `type` at p. */
LLVMValueRef ir_at(Ir *ir, LLVMTypeRef type, LLVMValueRef p, LLVMValueRef index);
/* … of the model's reals. */
LLVMValueRef ir_real_at(Ir *ir, LLVMValueRef p, LLVMValueRef index);
/* Scalars and vectors, aligned as their element only. */
LLVMValueRef ir_load(Ir *ir, LLVMTypeRef type, LLVMValueRef p);
void ir_store(Ir *ir, LLVMValueRef v, LLVMValueRef p);
/* Lanes where the mask (a vector of i1) is set; the others load as 0 and touch no memory.
 */
LLVMValueRef ir_load_masked(Ir *ir, LLVMTypeRef type, LLVMValueRef p, LLVMValueRef mask);
void ir_store_masked(Ir *ir, LLVMValueRef v, LLVMValueRef p, LLVMValueRef mask);
/* The first n lanes (a constant 0 … lanes), or the first `n` at run time (i64). */
LLVMValueRef ir_mask_first(Ir *ir, int lanes, int n);
LLVMValueRef ir_mask_below(Ir *ir, int lanes, LLVMValueRef n);
/* locality 3: first level … 1: third. */
void ir_prefetch(Ir *ir, LLVMValueRef p, int locality);
void ir_zero(Ir *ir, LLVMValueRef p, LLVMValueRef n_bytes); /* memset to 0 */

/* ---- reals ---- */

LLVMValueRef ir_splat(Ir *ir, LLVMValueRef scalar, int lanes);
LLVMValueRef ir_extract(Ir *ir, LLVMValueRef vector, int lane);
LLVMValueRef ir_insert(Ir *ir, LLVMValueRef vector, LLVMValueRef scalar, int lane);
/* a * b + c in one rounding. */
LLVMValueRef ir_fma(Ir *ir, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
/* An intrinsic by name; overload NULL: it has none. */
LLVMValueRef ir_intrinsic(Ir *ir, const char *name, LLVMTypeRef overload, int n,
                          LLVMValueRef *arg);

/* ---- loops and branches ---- */

/*
 * for (i = begin; i < end; i += step) with values carried from trip to trip:
 *
 *     IrLoop l = ir_loop(ir, begin, end, step, n, init);
 *     … l.i, l.carried[0 … n - 1] …
 *     ir_loop_end(ir, &l, next);           the final values are in l.carried
 *
 * May run no times; then the final values are the initial ones. step > 0.
 */
typedef struct {
    LLVMValueRef i, end;
    int64_t step;
    int n;
    LLVMValueRef carried[IR_MAX_CARRIED];
    LLVMValueRef init[IR_MAX_CARRIED];
    LLVMBasicBlockRef from, head, exit;
    bool guarded; /* tested before the first trip */
} IrLoop;

IrLoop ir_loop(Ir *ir, LLVMValueRef begin, LLVMValueRef end, int64_t step, int n,
               LLVMValueRef *init);
void ir_loop_end(Ir *ir, IrLoop *l, LLVMValueRef *next);

/*
 *     IrIf c = ir_if(ir, condition);  …  ir_else(ir, &c);  …  ir_endif(ir, &c);
 *
 * ir_else may be left out. ir_merge after ir_endif yields `yes` or `no` as the branch went;
 * all merges stand directly behind ir_endif.
 */
typedef struct {
    LLVMBasicBlockRef other, after, yes_end, no_end;
    bool has_else;
} IrIf;

IrIf ir_if(Ir *ir, LLVMValueRef condition);
void ir_else(Ir *ir, IrIf *c);
void ir_endif(Ir *ir, IrIf *c);
LLVMValueRef ir_merge(Ir *ir, const IrIf *c, LLVMValueRef yes, LLVMValueRef no);

#endif
