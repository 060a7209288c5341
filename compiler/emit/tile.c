/*
 * tile.c — calls of register tiles: their functions, their arguments, all rows of a
 * product.
 *
 * A tile is an internal function of the module (tile_body.c), one for each Tile. Rows are
 * divided into tiles of two sizes, which only the run time knows where it knows the rows: a
 * function for each kind of tile then chooses among those of all sizes. Of a constant
 * number of rows only the sizes that there are exist.
 */
#include "emit/tile.h"

#include <stdio.h>

/* ---- arguments ---- */

LLVMValueRef tile_stack(Ir *ir, LLVMTypeRef element, int64_t n)
{
    LLVMTypeRef type = LLVMArrayType2(element, (uint64_t)n);
    LLVMValueRef v = LLVMGetFirstInstruction(ir->entry);
    for (; v; v = LLVMGetNextInstruction(v))
        if (LLVMIsAAllocaInst(v) && LLVMGetAllocatedType(v) == type)
            return v;
    return ir_stack(ir, type, 1);
}

LLVMValueRef tile_arguments(Ir *ir) { return tile_stack(ir, ir->i64, TILE_FIELDS); }

void tile_set(Ir *ir, LLVMValueRef arguments, TileField field, LLVMValueRef value)
{
    ir_store(ir, value, ir_at(ir, ir->i64, arguments, ir_int(ir, field)));
}

LLVMValueRef tile_get(Ir *ir, LLVMValueRef arguments, TileField field)
{
    return ir_load(ir, ir->i64, ir_at(ir, ir->i64, arguments, ir_int(ir, field)));
}

LLVMValueRef tile_zeros(Ir *ir)
{
    const char *name = "tile_zeros";
    LLVMValueRef zeros = LLVMGetNamedGlobal(ir->module, name);
    if (!zeros) {
        LLVMTypeRef type = LLVMArrayType2(ir->real, TILE_ZEROS);
        zeros = LLVMAddGlobal(ir->module, type, name);
        LLVMSetInitializer(zeros, LLVMConstNull(type));
        LLVMSetGlobalConstant(zeros, true);
        LLVMSetLinkage(zeros, LLVMInternalLinkage);
        LLVMSetAlignment(zeros, 64);
    }
    return zeros;
}

/* ---- functions of the module ---- */

static LLVMValueRef declare(Ir *ir, const char *name, int n_pointer, int n_int)
{
    LLVMTypeRef type[8];
    for (int i = 0; i < n_pointer + n_int; i++)
        type[i] = i < n_pointer ? ir->ptr : ir->i64;
    LLVMValueRef f = ir_declare(ir, name, ir->none, n_pointer + n_int, type);
    LLVMSetLinkage(f, LLVMInternalLinkage);
    return f;
}

static void name_of(char *name, size_t size, const char *prefix, Tile t)
{
    static const char *const operand[] = {"", "_rows", "_any"};
    snprintf(name, size, "%s_%dx%dx%dof%d_%d%s%s%s%s%s", prefix, t.rows, t.panels,
             t.vectors, t.pitch, t.chains, t.halves ? "_halves" : "", operand[t.a],
             t.masked ? "_masked" : "", t.ahead ? "_ahead" : "", t.c_ahead ? "_c" : "");
}

static LLVMValueRef tile_function(Ir *ir, Tile tile)
{
    char name[64];
    name_of(name, sizeof name, "tile", tile);
    LLVMValueRef f = LLVMGetNamedFunction(ir->module, name);
    if (!f) {
        f = declare(ir, name, 5, 1);
        tile_build(ir, tile, f);
    }
    return f;
}

void tile_call(Ir *ir, Tile tile, LLVMValueRef arguments, TileAt at, LLVMValueRef n)
{
    LLVMValueRef arg[] = {arguments, at.a, at.b, at.c, at.init, n};
    ir_call(ir, tile_function(ir, tile), COUNT(arg), arg);
}

/* ---- all rows ---- */

/* rows = n_big * (small + 1) + n_small * small */
typedef struct {
    LLVMValueRef small, n_big, n_small;
} Division;

static Division divide(Ir *ir, int most, LLVMValueRef rows)
{
    LLVMValueRef one = ir_int(ir, 1), up = ir_add(ir, rows, ir_int(ir, most - 1));
    LLVMValueRef tiles = ir_max(ir, ir_div(ir, up, ir_int(ir, most)), one);
    LLVMValueRef small = ir_div(ir, rows, tiles);
    LLVMValueRef big = ir_sub(ir, rows, ir_mul(ir, small, tiles));
    return (Division){small, big, ir_sub(ir, tiles, big)};
}

void tile_split(Ir *ir, int most, LLVMValueRef arguments, LLVMValueRef rows)
{
    Division d = divide(ir, most, rows);
    tile_set(ir, arguments, TILE_SMALL, d.small);
    tile_set(ir, arguments, TILE_N_BIG, d.n_big);
    tile_set(ir, arguments, TILE_N_SMALL, d.n_small);
}

static TileAt skip_rows(Ir *ir, LLVMValueRef arguments, TileAt at, LLVMValueRef rows)
{
    LLVMValueRef a = ir_mul(ir, rows, tile_get(ir, arguments, TILE_A_ROW)),
                 c = ir_mul(ir, rows, tile_get(ir, arguments, TILE_C_ROW)),
                 init = ir_mul(ir, rows, tile_get(ir, arguments, TILE_INIT_ROW));
    return (TileAt){ir_real_at(ir, at.a, a), at.b, ir_real_at(ir, at.c, c),
                    ir_real_at(ir, at.init, init)};
}

/* n tiles of `rows` rows, a number between 1 and most known at run time. */
static void call_by_size(Ir *ir, int most, Tile tile, LLVMValueRef arguments, TileAt at,
                         LLVMValueRef rows, LLVMValueRef n)
{
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(ir->context, ir->function, "");
    LLVMValueRef choose = LLVMBuildSwitch(ir->builder, rows, after, (unsigned)most);
    for (tile.rows = 1; tile.rows <= most; tile.rows++) {
        LLVMBasicBlockRef block =
            LLVMAppendBasicBlockInContext(ir->context, ir->function, "");
        LLVMAddCase(choose, ir_int(ir, tile.rows), block);
        LLVMPositionBuilderAtEnd(ir->builder, block);
        tile_call(ir, tile, arguments, at, n);
        LLVMBuildBr(ir->builder, after);
    }
    LLVMPositionBuilderAtEnd(ir->builder, after);
}

/* void (arguments, a, b, c, init): big tiles, then small ones. */
static void build_rows(Ir *ir, int most, Tile tile, LLVMValueRef f)
{
    IrPlace place = ir_begin(ir, f);
    LLVMValueRef arguments = ir_param(ir, 0), one = ir_int(ir, 1);
    TileAt at = {ir_param(ir, 1), ir_param(ir, 2), ir_param(ir, 3), ir_param(ir, 4)};
    LLVMValueRef small = tile_get(ir, arguments, TILE_SMALL),
                 n_big = tile_get(ir, arguments, TILE_N_BIG),
                 n_small = tile_get(ir, arguments, TILE_N_SMALL);
    LLVMValueRef big = ir_add(ir, small, one);
    IrIf any = ir_if(ir, ir_less(ir, ir_int(ir, 0), n_big));
    call_by_size(ir, most, tile, arguments, at, big, n_big);
    ir_endif(ir, &any);
    TileAt rest = skip_rows(ir, arguments, at, ir_mul(ir, n_big, big));
    call_by_size(ir, most, tile, arguments, rest, small, n_small);
    ir_end(ir, place, NULL);
}

/* The division is known: the tiles that there are, and no others. */
static void call_constant_rows(Ir *ir, int most, Tile tile, LLVMValueRef arguments,
                               TileAt at, LLVMValueRef rows)
{
    Division d = divide(ir, most, rows);
    int64_t small = 0, n_big = 0;
    ir_constant(d.small, &small), ir_constant(d.n_big, &n_big);
    tile.rows = (int)small + 1;
    if (n_big > 0)
        tile_call(ir, tile, arguments, at, d.n_big);
    if (small == 0)
        return;
    tile.rows = (int)small;
    at = skip_rows(ir, arguments, at, ir_int(ir, n_big * (small + 1)));
    tile_call(ir, tile, arguments, at, d.n_small);
}

void tile_rows_call(Ir *ir, int most, Tile tile, LLVMValueRef arguments, TileAt at,
                    LLVMValueRef rows)
{
    int64_t constant;
    if (ir_constant(rows, &constant)) {
        call_constant_rows(ir, most, tile, arguments, at, rows);
        return;
    }
    char name[64];
    tile.rows = most;
    name_of(name, sizeof name, "rows", tile);
    LLVMValueRef f = LLVMGetNamedFunction(ir->module, name);
    if (!f) {
        f = declare(ir, name, 5, 0);
        build_rows(ir, most, tile, f);
    }
    LLVMValueRef arg[] = {arguments, at.a, at.b, at.c, at.init};
    ir_call(ir, f, COUNT(arg), arg);
}
