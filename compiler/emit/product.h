/*
 * product.h — contractions as register tiles, and the packing of their right operands.
 *
 *     c[batch][row][n] = init[batch][row][n] + Σ_k a[batch][row][k] · b[batch][n][k]
 *
 * Every element is one chain of fma in the order of k, or as many as the product says,
 * whatever tile it stands in:
 * bits depend neither on the number of rows of a call nor on how rows or columns are
 * split over threads.
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
    int panel; /* columns; a multiple of the vector, at most the target's tile */
    /* Chains of each element, a power of two, at most k; 0 counts as 1. Several are for
       a few rows and columns, whose sums would wait for each other: see tile.h. */
    int chains;
    /* i1, NULL: no. Panels, or halves of the chains of a single one, from the last to the
       first: the bits are the same. */
    LLVMValueRef reversed;
    LLVMValueRef a, b, c;
    LLVMValueRef init; /* NULL: 0. May be c itself (with the same strides) */
    int64_t a_batch, a_k, c_batch;
    int64_t init_batch, init_n; /* init_n: 0 or 1 */
    /* The rows, outermost first: steps, rows, m. The last should be the longest to be near.
     */
    int n_dim;
    ProductRows dim[PRODUCT_MAX_DIM];
    /* Columns to compute, NULL: all. Multiples of the panel, but for an end at n. a, c,
       init and b are the addresses of column 0 all the same. */
    LLVMValueRef n_begin, n_end;
} Product;

void product_emit(Ir *ir, const Target *target, const Product *p);

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
    /* Outermost first: steps, rows, k. */
    int n_dim;
    ProductPoints dim[PRODUCT_MAX_DIM];
    /* Part of c to compute; NULL: all. Columns in multiples of product_columns, but for an
       end at n. */
    LLVMValueRef m_begin, m_end, n_begin, n_end;
} ProductSum;

void product_sum_emit(Ir *ir, const Target *target, const ProductSum *p);

/* Columns of a whole tile: what SPLIT_N of a sum splits by (a product: by its panel). */
int product_columns(const Target *target, enum rnn_dtype dtype);

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
