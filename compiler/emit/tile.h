/*
 * tile.h — the register tile: the innermost code of every product.
 *
 * A tile is `rows` rows by `panels` panels of `vectors` vectors of accumulators:
 *
 *     acc = init;   for k in order: acc[r][j] = fma(a[r][k], b[k][j], acc[r][j]);   c = acc
 *
 * With several chains the k are cut into as many runs side by side, the last one perhaps
 * shorter; the first starts from init, the others from 0, and their sums are added in
 * pairs at the end.
 *
 * One internal function of the module for each Tile, made when first called. What
 * differs between products of the same Tile stands in a block of integers that the
 * caller keeps on his stack (TILE_…).
 */
#ifndef RNNC_EMIT_TILE_H
#define RNNC_EMIT_TILE_H

#include "emit/ir.h"

/* Where constants let the addresses of a be short. */
typedef enum {
    TILE_A_ALONG_K,    /* k contiguous, in one run */
    TILE_A_ALONG_ROWS, /* rows contiguous, k in two levels */
    TILE_A_ANY         /* neither, k in two levels */
} TileOperand;

typedef struct {
    int rows, panels, vectors;
    int chains;  /* of each element: a power of two; more than one with a single run of k */
    bool halves; /* half of the chains after the other half, by TILE_REVERSED the second
                    one first; chains of equal length */
    int pitch;   /* vectors of b from k to k: those of its whole panel */
    bool ahead;  /* each k fetches a line of what comes next: with a along rows, of the rows
                    below, into the first level; else of the next panel of b, tiles in turn
                    a line each, into the second */
    bool c_ahead; /* and each k a line of a row of c, tiles in turn a line of it each, into
                     the second: of this row and those below, as many as there are k */
    bool masked;  /* of the last vector only the first TILE_COLUMNS lanes are read and
                     written */
    TileOperand a;
} Tile;

typedef enum {
    TILE_K,        /* the inner run of k: what each chain but the last has */
    TILE_K_LAST,   /* what the last of several chains has: at most TILE_K */
    TILE_K_OUTER,  /* how many such runs; b is contiguous over all of them */
    TILE_REVERSED, /* 0 or 1 */
    TILE_A_ROW,    /* strides of a: rows, … */
    TILE_A_K,      /* … k, … */
    TILE_A_OUTER,  /* … from run to run */
    TILE_B_PANEL,  /* from panel to panel of b */
    TILE_C_ROW,
    TILE_INIT_ROW,
    TILE_COLUMNS, /* columns of the last vector */
    TILE_SMALL,   /* rows of a small tile; a big one has one more: see tile_split */
    TILE_N_BIG,
    TILE_N_SMALL,
    TILE_FIELDS
} TileField;

/* Addresses of the first row and column. */
typedef struct {
    LLVMValueRef a, b, c, init;
} TileAt;

/* An array on the function's stack that all who ask for this type share: its content lasts
   for one product. */
LLVMValueRef tile_stack(Ir *ir, LLVMTypeRef element, int64_t n);
LLVMValueRef tile_arguments(Ir *ir);
void tile_set(Ir *ir, LLVMValueRef arguments, TileField field, LLVMValueRef value);
LLVMValueRef tile_get(Ir *ir, LLVMValueRef arguments, TileField field);

/* One tile, where the builder stands, of fields that are known now: for products that begin
   so often that a call counts. */
void tile_here(Ir *ir, Tile tile, const LLVMValueRef *field, TileAt at);

/* n tiles one below another. */
void tile_call(Ir *ir, Tile tile, LLVMValueRef arguments, TileAt at, LLVMValueRef n);

/* Divides the rows into tiles of at most `most` whose sizes differ by at most one, and
   writes the division to the arguments. No rows: no tiles. */
void tile_split(Ir *ir, int most, LLVMValueRef arguments, LLVMValueRef rows);

/* All rows as divided by at most `most`; tile.rows does not matter. `rows` only as a hint:
   a constant spares the sizes that cannot occur. */
void tile_rows_call(Ir *ir, int most, Tile tile, LLVMValueRef arguments, TileAt at,
                    LLVMValueRef rows);

/* An array of zeros, as long as a tile is wide: four panels of four vectors of 64 bytes, or
   more. */
enum { TILE_ZEROS = 256 };
LLVMValueRef tile_zeros(Ir *ir);

/* ---- tile_body.c ---- */

/* The body of void f(arguments, a, b, c, init, n): what tile_call calls. */
void tile_build(Ir *ir, Tile tile, LLVMValueRef f);

#endif
