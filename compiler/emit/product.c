/*
 * product.c — products with packed right operands: loops around register tiles.
 *
 * Panels of b are the outer loop, so that one panel (k x panel elements) stays in the
 * nearest cache while all rows pass over it. A long k is taken in blocks: one of a panel
 * still fits that cache, and sums of sums err less than one long chain does; between
 * blocks they rest in c. Of the grid of rows one dimension is cut into tiles; the others
 * are loops around it. Rows are independent of each other, so their order is free, and one
 * sequence of 64 steps is as good as 64 sequences. How it is cut is the plan's: see Tiling.
 */
#include "emit/product.h"

#include "emit/tile.h"

/* A product while it is emitted. */
typedef struct {
    const Product *p;
    LLVMValueRef arguments;
    LLVMValueRef field[TILE_FIELDS]; /* the same */
    LLVMValueRef a, b, c, init;      /* of the batch */
    int64_t init_n;
    ProductRows dim[PRODUCT_MAX_DIM]; /* the last one is cut into tiles */
    int n_dim;
} Emission;

/* ---- the grid of rows ---- */

/* Does `outer` go on where n of `inner` end? Known only of constants. */
static bool follows(LLVMValueRef outer, LLVMValueRef inner, int64_t n)
{
    int64_t x, y;
    return ir_constant(outer, &x) && ir_constant(inner, &y) && x == y * n;
}

/* Is outer x inner one dimension? */
static bool is_one_run(const ProductRows *outer, const ProductRows *inner)
{
    int64_t n;
    return ir_constant(inner->count, &n) && follows(outer->a, inner->a, n) &&
           follows(outer->c, inner->c, n) && follows(outer->init, inner->init, n);
}

/* Copies the dimensions without those of one row, joining what is one run. */
static void join_rows(Ir *ir, Emission *e)
{
    LLVMValueRef zero = ir_int(ir, 0);
    for (int i = 0; i < e->p->n_dim; i++) {
        ProductRows d = e->p->dim[i];
        if (!e->p->init)
            d.init = zero;
        if (ir_is(d.count, 1))
            continue;
        if (e->n_dim > 0 && is_one_run(&e->dim[e->n_dim - 1], &d)) {
            d.count = ir_mul(ir, d.count, e->dim[e->n_dim - 1].count);
            e->n_dim--;
        }
        e->dim[e->n_dim++] = d;
    }
    if (e->n_dim == 0)
        e->dim[e->n_dim++] = (ProductRows){ir_int(ir, 1), zero, zero, zero};
}

static LLVMValueRef choose(Ir *ir, LLVMValueRef condition, LLVMValueRef yes,
                           LLVMValueRef no)
{
    if (LLVMIsAConstantInt(condition))
        return LLVMConstIntGetZExtValue(condition) ? yes : no;
    return ir_select(ir, condition, yes, no);
}

static ProductRows choose_rows(Ir *ir, LLVMValueRef condition, ProductRows yes,
                               ProductRows no)
{
    return (ProductRows){
        choose(ir, condition, yes.count, no.count), choose(ir, condition, yes.a, no.a),
        choose(ir, condition, yes.c, no.c), choose(ir, condition, yes.init, no.init)};
}

/* ALONG_LONGEST: a longer dimension goes last when the last one is shorter than a tile. */
static void put_longest_last(Ir *ir, Emission *e)
{
    ProductRows *last = &e->dim[e->n_dim - 1];
    LLVMValueRef most = ir_int(ir, e->p->tiling.rows);
    for (int i = 0; i < e->n_dim - 1; i++) {
        ProductRows d = e->dim[i], l = *last;
        LLVMValueRef swap = LLVMBuildAnd(ir->builder, ir_less(ir, l.count, most),
                                         ir_less(ir, l.count, d.count), "");
        e->dim[i] = choose_rows(ir, swap, l, d);
        *last = choose_rows(ir, swap, d, l);
    }
}

/* ---- loops over the dimensions in front of the tiled one ---- */

typedef struct {
    IrLoop loop[PRODUCT_MAX_DIM];
    TileAt at;
} Outer;

static void outer_open(Ir *ir, const Emission *e, Outer *o, TileAt at)
{
    for (int i = 0; i < e->n_dim - 1; i++) {
        const ProductRows *d = &e->dim[i];
        o->loop[i] = ir_loop(ir, ir_int(ir, 0), d->count, 1, 0, NULL);
        LLVMValueRef index = o->loop[i].i;
        at.a = ir_real_at(ir, at.a, ir_mul(ir, index, d->a));
        at.c = ir_real_at(ir, at.c, ir_mul(ir, index, d->c));
        at.init = ir_real_at(ir, at.init, ir_mul(ir, index, d->init));
    }
    o->at = at;
}

static void outer_close(Ir *ir, const Emission *e, Outer *o)
{
    for (int i = e->n_dim - 2; i >= 0; i--)
        ir_loop_end(ir, &o->loop[i], NULL);
}

/* ---- what tiles are told ---- */

static void set_field(Ir *ir, Emission *e, TileField field, LLVMValueRef value)
{
    e->field[field] = value;
    if (!e->p->one_row)
        tile_set(ir, e->arguments, field, value);
}

/* ---- panels ---- */

static TileAt at_panel(Ir *ir, const Emission *e, LLVMValueRef panel)
{
    LLVMValueRef column = ir_mul(ir, panel, ir_int(ir, e->p->panel));
    return (TileAt){e->a, ir_real_at(ir, e->b, ir_mul(ir, column, ir_int(ir, e->p->k))),
                    ir_real_at(ir, e->c, column),
                    ir_real_at(ir, e->init, ir_mul(ir, column, ir_int(ir, e->init_n)))};
}

/* All rows: in one tile where it has a number of rows, else in as many as it takes. */
static void emit_rows(Ir *ir, const Emission *e, TileAt at, Tile tile)
{
    Outer o;
    outer_open(ir, e, &o, at);
    if (e->p->one_row) {
        tile.rows = 1;
        tile_here(ir, tile, e->field, o.at);
    } else if (tile.rows > 0)
        tile_call(ir, tile, e->arguments, o.at, ir_int(ir, 1));
    else
        tile_rows_call(ir, e->p->tiling.rows, tile, e->arguments, o.at,
                       e->dim[e->n_dim - 1].count);
    outer_close(ir, e, &o);
}

/* From here on what is in c is what sums are added to. */
static void go_on_from_c(Ir *ir, Emission *e)
{
    e->init = e->c;
    e->init_n = 1;
    for (int i = 0; i < e->n_dim; i++)
        e->dim[i].init = e->dim[i].c;
    set_field(ir, e, TILE_INIT_ROW, e->dim[e->n_dim - 1].c);
}

/* The blocks of k behind the first one. */
static void emit_further_k(Ir *ir, Emission e, LLVMValueRef panel, Tile tile)
{
    int64_t block = e.p->tiling.block;
    go_on_from_c(ir, &e);
    IrLoop l = ir_loop(ir, ir_int(ir, block), ir_int(ir, e.p->k), block, 0, NULL);
    LLVMValueRef left = ir_sub(ir, ir_int(ir, e.p->k), l.i);
    set_field(ir, &e, TILE_K, ir_min(ir, left, ir_int(ir, block)));
    TileAt at = at_panel(ir, &e, panel);
    at.a = ir_real_at(ir, at.a, ir_mul(ir, l.i, ir_int(ir, e.p->a_k)));
    at.b = ir_real_at(ir, at.b, ir_mul(ir, l.i, ir_int(ir, e.p->panel)));
    emit_rows(ir, &e, at, tile);
    ir_loop_end(ir, &l, NULL);
}

/* All rows and k of the panel, or of tile.panels of them from this one on. */
static void emit_panel(Ir *ir, Emission *e, LLVMValueRef panel, Tile tile)
{
    bool blocks = e->p->tiling.block < e->p->k;
    if (blocks) {
        set_field(ir, e, TILE_K, ir_int(ir, e->p->tiling.block));
        set_field(ir, e, TILE_INIT_ROW, e->dim[e->n_dim - 1].init);
    }
    emit_rows(ir, e, at_panel(ir, e, panel), tile);
    if (blocks)
        emit_further_k(ir, *e, panel, tile);
}

/* With exactly tile.rows rows: groups of tile.panels panels from `begin` on, while they
   are whole. Returns the first panel left over. */
static LLVMValueRef emit_few_rows(Ir *ir, Emission *e, Tile tile, LLVMValueRef begin,
                                  LLVMValueRef end)
{
    LLVMValueRef count = e->dim[e->n_dim - 1].count, rows = ir_int(ir, tile.rows);
    LLVMValueRef is = LLVMBuildICmp(ir->builder, LLVMIntEQ, count, rows, "");
    if (choose(ir, is, begin, end) == end)
        return begin;
    IrIf few = ir_if(ir, is);
    LLVMValueRef wide = ir_int(ir, tile.panels);
    LLVMValueRef groups =
        ir_div(ir, ir_max(ir, ir_sub(ir, end, begin), ir_int(ir, 0)), wide);
    LLVMValueRef rest = ir_add(ir, begin, ir_mul(ir, groups, wide));
    IrLoop l = ir_loop(ir, begin, rest, tile.panels, 0, NULL);
    emit_panel(ir, e, l.i, tile);
    ir_loop_end(ir, &l, NULL);
    ir_endif(ir, &few);
    return ir_merge(ir, &few, rest, begin);
}

/* The panel at this place of the order of panels. */
static LLVMValueRef in_turn(Ir *ir, const Product *p, LLVMValueRef i, LLVMValueRef begin,
                            LLVMValueRef end)
{
    if (!p->reversed)
        return i;
    LLVMValueRef last = ir_sub(ir, end, ir_int(ir, 1));
    LLVMValueRef mirrored = ir_sub(ir, ir_add(ir, begin, last), i);
    return ir_select(ir, p->reversed, mirrored, i);
}

/* All columns of one batch. */
static void emit_columns(Ir *ir, Emission *e)
{
    const Product *p = e->p;
    LLVMValueRef panel = ir_int(ir, p->panel);
    LLVMValueRef whole = ir_int(ir, p->n / p->panel * p->panel);
    LLVMValueRef begin = ir_div(ir, p->n_begin ? p->n_begin : ir_int(ir, 0), panel);
    LLVMValueRef end = ir_div(ir, p->n_end ? ir_min(ir, p->n_end, whole) : whole, panel);
    Tile tile = {.vectors = p->panel / ir->vector,
                 .pitch = p->panel / ir->vector,
                 .panels = 1,
                 .chains = p->tiling.chains,
                 .halves = p->tiling.halves,
                 .ahead = p->tiling.ahead,
                 .a = p->a_k == 1 ? TILE_A_ALONG_K : TILE_A_ANY};

    if (p->n >= p->panel) {
        for (int rows = 1; rows <= COUNT(p->tiling.panels); rows++) {
            Tile wide = tile;
            wide.rows = rows;
            wide.ahead = false;
            for (const int *width = p->tiling.panels[rows - 1]; *width > 1; width++) {
                wide.panels = *width;
                begin = emit_few_rows(ir, e, wide, begin, end);
            }
        }
        IrLoop l = ir_loop(ir, begin, end, 1, 0, NULL);
        emit_panel(ir, e, in_turn(ir, p, l.i, begin, end), tile);
        ir_loop_end(ir, &l, NULL);
    }
    if (p->tiling.rest == 0)
        return;
    int last = (int)(p->n % ir->vector);
    tile.vectors = p->tiling.rest;
    tile.masked = last != 0;
    set_field(ir, e, TILE_COLUMNS, ir_int(ir, last));
    IrIf mine = ir_if(ir, p->n_end ? ir_less(ir, whole, p->n_end) : ir_int_of(ir->i1, 1));
    emit_panel(ir, e, ir_div(ir, whole, panel), tile);
    ir_endif(ir, &mine);
}

/* ---- the whole product ---- */

static void set_arguments(Ir *ir, Emission *e)
{
    const ProductRows *last = &e->dim[e->n_dim - 1];
    int chains = e->p->tiling.chains;
    int64_t chain = tile_chain(e->p->k, chains);
    LLVMValueRef reversed = e->p->reversed
                                ? LLVMBuildZExt(ir->builder, e->p->reversed, ir->i64, "")
                                : ir_int(ir, 0);
    const struct {
        TileField field;
        LLVMValueRef value;
    } set[] = {
        {TILE_K, ir_int(ir, chain)},
        {TILE_K_OUTER, ir_int(ir, 1)},
        {TILE_A_ROW, last->a},
        {TILE_A_K, ir_int(ir, e->p->a_k)},
        {TILE_A_OUTER, ir_int(ir, 0)},
        {TILE_B_PANEL, ir_int(ir, e->p->k * e->p->panel)},
        {TILE_C_ROW, last->c},
        {TILE_INIT_ROW, last->init},
        {TILE_REVERSED, reversed},
        {TILE_K_LAST, ir_int(ir, e->p->k - (chains - 1) * chain)},
    };
    for (int i = 0; i < TILE_FIELDS; i++)
        e->field[i] = ir_int(ir, 0);
    for (int i = 0; i < COUNT(set); i++)
        set_field(ir, e, set[i].field, set[i].value);
    if (!e->p->one_row)
        tile_split(ir, e->p->tiling.rows, e->arguments, last->count);
}

/* c = init, spread over n: what a tile cannot load. */
static void spread_init(Ir *ir, Emission *e)
{
    LLVMValueRef begin = e->p->n_begin ? e->p->n_begin : ir_int(ir, 0),
                 end = e->p->n_end ? e->p->n_end : ir_int(ir, e->p->n);
    ProductRows *last = &e->dim[e->n_dim - 1];
    Outer o;
    outer_open(ir, e, &o, (TileAt){e->a, e->b, e->c, e->init});
    IrLoop row = ir_loop(ir, ir_int(ir, 0), last->count, 1, 0, NULL);
    LLVMValueRef from = ir_real_at(ir, o.at.init, ir_mul(ir, row.i, last->init)),
                 to = ir_real_at(ir, o.at.c, ir_mul(ir, row.i, last->c));
    LLVMValueRef x = ir_load(ir, ir->real, from);
    IrLoop column = ir_loop(ir, begin, end, 1, 0, NULL);
    ir_store(ir, x, ir_real_at(ir, to, column.i));
    ir_loop_end(ir, &column, NULL);
    ir_loop_end(ir, &row, NULL);
    outer_close(ir, e, &o);
}

/* What sums are added to: init, c after spread_init, or zeros. */
static void emit_batch(Ir *ir, Emission *e)
{
    const Product *p = e->p;
    if (p->init && p->init_n == 0 && p->n > 1) {
        spread_init(ir, e);
        go_on_from_c(ir, e);
    }
    set_arguments(ir, e);
    emit_columns(ir, e);
}

void product_emit(Ir *ir, const Product *p)
{
    Emission e = {.p = p, .init_n = p->init ? 1 : 0};
    e.arguments = tile_arguments(ir);
    join_rows(ir, &e);
    if (p->tiling.along == ALONG_LONGEST)
        put_longest_last(ir, &e);

    IrLoop batch = ir_loop(ir, ir_int(ir, 0), ir_int(ir, p->n_batch), 1, 0, NULL);
    int64_t b_batch = pack_elements(1, p->n, p->k, p->panel);
    LLVMValueRef at = in_turn(ir, p, batch.i, ir_int(ir, 0), ir_int(ir, p->n_batch));
    e.a = ir_real_at(ir, p->a, ir_mul(ir, at, ir_int(ir, p->a_batch)));
    e.b = ir_real_at(ir, p->b, ir_mul(ir, at, ir_int(ir, b_batch)));
    e.c = ir_real_at(ir, p->c, ir_mul(ir, at, ir_int(ir, p->c_batch)));
    e.init = p->init ? ir_real_at(ir, p->init, ir_mul(ir, at, ir_int(ir, p->init_batch)))
                     : tile_zeros(ir);
    emit_batch(ir, &e);
    ir_loop_end(ir, &batch, NULL);
}
