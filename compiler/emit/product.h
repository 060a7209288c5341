/*
 * product.h — contractions as register tiles, and the packing of their right operands.
 *
 *     c[batch][row][n] = init[batch][row][n] + Σ_k a[batch][row][k] · b[batch][n][k]
 *
 * Every element is a sum in the order that its contraction's tiling says, whatever tile it
 * stands in: bits depend neither on the number of rows of a call nor on how rows or columns
 * are split over threads.
 *
 * Code goes to the builder's place; the tiles themselves are internal functions of the
 * module, made when first needed and shared by all products (strides are arguments).
 * Strides are in elements, reals of the model. Constants among the LLVM values are made use
 * of.
 */
#ifndef RNNC_EMIT_PRODUCT_H
#define RNNC_EMIT_PRODUCT_H

#include "emit/ir.h"

/* One dimension of the grid of a product's rows: how many, and what one more adds. */
typedef struct {
    LLVMValueRef count; /* i64, >= 1 */
    LLVMValueRef a, c, init;
} ProductRows;

enum { PRODUCT_MAX_DIM = 3 };

/* b is packed in panels: [batch][ceil(n / panel)][k][panel], padded with zeros. */
typedef struct {
    int64_t n_batch, n, k;
    int panel; /* columns: tiling.vectors */
    Tiling tiling;
    /* i1, NULL: no. Panels, or with tiling.halves halves of the chains, from the last to
       the first: the bits are the same. */
    LLVMValueRef reversed;
    bool one_row; /* that is all, and it is begun often: tiles stand in its code */
    LLVMValueRef a, b, c;
    LLVMValueRef init; /* NULL: 0. May be c itself (with the same strides) */
    int64_t a_batch, a_k, c_batch;
    int64_t init_batch, init_n; /* init_n: 0 or 1 */
    /* The rows, outermost first: tiles go down the last of more than one row, or down
       another where the tiling says the longest. */
    int n_dim;
    ProductRows dim[PRODUCT_MAX_DIM];
    /* Columns to compute, NULL: all. Multiples of the panel, but for an end at n. a, c,
       init and b are the addresses of column 0 all the same. */
    LLVMValueRef n_begin, n_end;
} Product;

void product_emit(Ir *ir, const Product *p);

/* One dimension of the points that a sum runs over. */
typedef struct {
    LLVMValueRef count; /* i64, >= 1 */
    LLVMValueRef a, b;
} ProductPoints;

/* c[batch][m][n] = init + Σ over points of a[batch][point][m] · b[batch][point][n], in
   order of the points. c is contiguous in n. */
typedef struct {
    int64_t n_batch, m, n;
    LLVMValueRef a, b, c;
    LLVMValueRef init; /* NULL: 0. May be c itself */
    int64_t a_batch, b_batch, c_batch, init_batch;
    int64_t a_m, b_n, c_m, init_m, init_n;
    Tiling tiling;
    /* Outermost first: steps, rows, k. */
    int n_dim;
    ProductPoints dim[PRODUCT_MAX_DIM];
    /* Part of c to compute; NULL: all. Columns in whole tiles, but for an end at n. */
    LLVMValueRef m_begin, m_end, n_begin, n_end;
} ProductSum;

void product_sum_emit(Ir *ir, const ProductSum *p);

/* Fills panels from b[batch][n][k] at its strides. */
typedef struct {
    int64_t n_batch, n, k;
    int panel;
    LLVMValueRef from, to;
    int64_t from_batch, from_n, from_k;
    /* Which of the n_batch * ceil(n / panel) panels; NULL: all. */
    LLVMValueRef begin, end;
} Pack;

void pack_emit(Ir *ir, const Pack *p);

/* The number of panels of a packed buffer, in all batches, and its elements. */
int64_t pack_panels(int64_t n_batch, int64_t n, int panel);
int64_t pack_elements(int64_t n_batch, int64_t n, int64_t k, int panel);

#endif
