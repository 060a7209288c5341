/*
 * product_sum.c — sums over points: gradients of weights.
 *
 *     c[m][n] = init + Σ over points of a[point][m] · b[point][n]
 *
 * Both operands are as the network left them, a row for each point. Points are taken in
 * blocks (Tiling): for each of them and each tile's width of columns the rows of b are
 * copied into a panel on the stack, which then stays in the nearest cache while the tiles
 * go down all of m. Each block is a chain from zero that is then added to c: sums of sums
 * err less than one long chain does. Where the plan says so, a block of a is copied into
 * panels as well, before b's first, for so many m at a time; b is then copied for each of
 * these.
 *
 * Points are a grid of up to three dimensions. The tile runs over the inner two; where
 * rows follow each other without a gap these are one run, which only the run time knows.
 */
#include "emit/product.h"

#include "emit/panel.h"
#include "emit/tile.h"

/* A sum while it is emitted. */
typedef struct {
    const ProductSum *p;
    int width;              /* columns of a tile */
    LLVMValueRef arguments; /* on the stack, as are: */
    LLVMValueRef panel;     /* b's, */
    LLVMValueRef a_panels;  /* a's, one behind another; NULL: none */
    LLVMValueRef a, b, c;   /* of the batch; a and c: of its first row to do */
    LLVMValueRef m;         /* how many rows */
    ProductPoints far, outer, inner;
    LLVMValueRef n_begin, n_end; /* columns to do */
    LLVMValueRef outer_block;    /* outer points of a block */
} Emission;

/* A block of points. */
typedef struct {
    LLVMValueRef a, b;
    LLVMValueRef n_outer, n_inner;
    LLVMValueRef first; /* i1: nothing in c yet */
} Block;

/* ---- points ---- */

static LLVMValueRef both(Ir *ir, LLVMValueRef x, LLVMValueRef y)
{
    return LLVMBuildAnd(ir->builder, x, y, "");
}

static LLVMValueRef equal(Ir *ir, LLVMValueRef x, LLVMValueRef y)
{
    return LLVMBuildICmp(ir->builder, LLVMIntEQ, x, y, "");
}

/* Makes outer x inner one run where they are one: the inner one a single point, or
   the outer one going on where the inner ends. */
static void join_points(Ir *ir, ProductPoints *outer, ProductPoints *inner)
{
    LLVMValueRef one = ir_int(ir, 1), single = equal(ir, inner->count, one);
    LLVMValueRef follows = both(ir, equal(ir, outer->a, ir_mul(ir, inner->count, inner->a)),
                                equal(ir, outer->b, ir_mul(ir, inner->count, inner->b)));
    LLVMValueRef run = LLVMBuildOr(ir->builder, single, follows, "");
    LLVMValueRef total = ir_mul(ir, outer->count, inner->count);
    inner->a = ir_select(ir, single, outer->a, inner->a);
    inner->b = ir_select(ir, single, outer->b, inner->b);
    inner->count = ir_select(ir, run, total, inner->count);
    outer->count = ir_select(ir, run, one, outer->count);
}

/* Sets far, outer and inner from the dimensions that are not one point. */
static void set_points(Ir *ir, Emission *e)
{
    LLVMValueRef zero = ir_int(ir, 0);
    const ProductPoints none = {ir_int(ir, 1), zero, zero};
    ProductPoints d[PRODUCT_MAX_DIM] = {none, none, none};
    int n = PRODUCT_MAX_DIM;
    for (int i = e->p->n_dim - 1; i >= 0; i--) {
        int64_t count;
        if (!ir_constant(e->p->dim[i].count, &count) || count != 1)
            d[--n] = e->p->dim[i];
    }
    e->far = d[0], e->outer = d[1], e->inner = d[2];
    join_points(ir, &e->outer, &e->inner);
    LLVMValueRef fit = ir_div(ir, ir_int(ir, e->p->tiling.block),
                              ir_max(ir, e->inner.count, ir_int(ir, 1)));
    e->outer_block = ir_max(ir, fit, ir_int(ir, 1));
}

/* ---- one block ---- */

/* The points of a block as a panel of a or b: p.from is at its first point, `outer` the
   stride between outer ones. */
static void emit_copy(Ir *ir, const Block *k, LLVMValueRef outer, Panel p)
{
    LLVMValueRef run = ir_mul(ir, k->n_inner, ir_int(ir, p.panel));
    IrLoop l = ir_loop(ir, ir_int(ir, 0), k->n_outer, 1, 0, NULL);
    p.k = k->n_inner;
    p.to = ir_real_at(ir, p.to, ir_mul(ir, l.i, run));
    p.from = ir_real_at(ir, p.from, ir_mul(ir, l.i, outer));
    panel_emit(ir, &p);
    ir_loop_end(ir, &l, NULL);
}

static void emit_panel_of_b(Ir *ir, const Emission *e, const Block *k, LLVMValueRef column,
                            LLVMValueRef columns)
{
    LLVMValueRef from = ir_real_at(ir, k->b, ir_mul(ir, column, ir_int(ir, e->p->b_n)));
    emit_copy(ir, k, e->outer.b,
              (Panel){.panel = e->width,
                      .to = e->panel,
                      .from = from,
                      .from_n = ir_int(ir, e->p->b_n),
                      .from_k = e->inner.b,
                      .columns = columns});
}

/* ---- panels of a ---- */

/* A panel of a: its first row, how many it has, where it stands in a_panels. */
typedef struct {
    IrLoop loop;
    LLVMValueRef row, rows, at;
} PanelOfA;

static PanelOfA panel_of_a_begin(Ir *ir, const Emission *e, const Block *k)
{
    int panel = e->p->tiling.a_panel;
    PanelOfA a = {.loop = ir_loop(ir, ir_int(ir, 0), e->m, panel, 0, NULL)};
    LLVMValueRef points = ir_mul(ir, k->n_outer, k->n_inner);
    a.row = a.loop.i;
    a.rows = ir_min(ir, ir_int(ir, panel), ir_sub(ir, e->m, a.row));
    a.at = ir_real_at(ir, e->a_panels, ir_mul(ir, a.row, points));
    return a;
}

static void emit_panels_of_a(Ir *ir, const Emission *e, const Block *k)
{
    PanelOfA a = panel_of_a_begin(ir, e, k);
    LLVMValueRef a_m = ir_int(ir, e->p->a_m);
    emit_copy(ir, k, e->outer.a,
              (Panel){.panel = e->p->tiling.a_panel,
                      .to = a.at,
                      .from = ir_real_at(ir, k->a, ir_mul(ir, a.row, a_m)),
                      .from_n = a_m,
                      .from_k = e->inner.a,
                      .columns = a.rows});
    ir_loop_end(ir, &a.loop, NULL);
}

/* ---- tiles ---- */

/* So many rows, divided already, of a tile's width of columns; c is at their first. */
static void emit_tiles(Ir *ir, const Emission *e, const Block *k, Tile tile, LLVMValueRef a,
                       LLVMValueRef c, LLVMValueRef rows)
{
    LLVMValueRef init = e->p->init ? c : ir_select(ir, k->first, tile_zeros(ir), c);
    tile_rows_call(ir, e->p->tiling.rows, tile, e->arguments,
                   (TileAt){a, e->panel, c, init}, rows);
}

static void emit_panel(Ir *ir, const Emission *e, const Block *k, LLVMValueRef column,
                       LLVMValueRef columns, Tile tile)
{
    emit_panel_of_b(ir, e, k, column, columns);
    LLVMValueRef c = ir_real_at(ir, e->c, column);
    if (!e->a_panels) {
        emit_tiles(ir, e, k, tile, k->a, c, e->m);
        return;
    }
    PanelOfA a = panel_of_a_begin(ir, e, k);
    c = ir_real_at(ir, c, ir_mul(ir, a.row, ir_int(ir, e->p->c_m)));
    tile_split(ir, e->p->tiling.rows, e->arguments, a.rows);
    emit_tiles(ir, e, k, tile, a.at, c, a.rows);
    ir_loop_end(ir, &a.loop, NULL);
}

/* All columns, all rows. */
static void emit_block(Ir *ir, const Emission *e, const Block *k)
{
    int width = e->width, rest = (int)(e->p->n % width);
    LLVMValueRef whole = ir_int(ir, e->p->n - rest), c_row = ir_int(ir, e->p->c_m);
    Tile tile = {.panels = 1,
                 .chains = 1,
                 .vectors = e->p->tiling.vectors,
                 .pitch = e->p->tiling.vectors,
                 .ahead = e->p->tiling.ahead,
                 .c_ahead = e->p->tiling.c_ahead,
                 .a = e->p->a_m == 1 ? TILE_A_ALONG_ROWS : TILE_A_ANY};

    tile_set(ir, e->arguments, TILE_K, k->n_inner);
    tile_set(ir, e->arguments, TILE_K_OUTER, k->n_outer);
    tile_set(ir, e->arguments, TILE_INIT_ROW,
             e->p->init ? c_row : ir_select(ir, k->first, ir_int(ir, 0), c_row));
    tile_set(ir, e->arguments, TILE_A_OUTER,
             e->a_panels ? ir_mul(ir, k->n_inner, ir_int(ir, e->p->tiling.a_panel))
                         : e->outer.a);
    if (e->a_panels)
        emit_panels_of_a(ir, e, k);
    if (e->p->n >= width) {
        IrLoop l = ir_loop(ir, e->n_begin, ir_min(ir, e->n_end, whole), width, 0, NULL);
        emit_panel(ir, e, k, l.i, ir_int(ir, width), tile);
        ir_loop_end(ir, &l, NULL);
    }
    if (rest == 0)
        return;
    tile.vectors = e->p->tiling.rest;
    tile.masked = rest % ir->vector != 0;
    tile_set(ir, e->arguments, TILE_COLUMNS, ir_int(ir, rest % ir->vector));
    IrIf mine = ir_if(ir, ir_less(ir, whole, e->n_end));
    emit_panel(ir, e, k, whole, ir_int(ir, rest), tile);
    ir_endif(ir, &mine);
}

/* ---- all blocks ---- */

static LLVMValueRef blocks_of(Ir *ir, LLVMValueRef count, LLVMValueRef block)
{
    LLVMValueRef up = ir_add(ir, count, ir_sub(ir, block, ir_int(ir, 1)));
    return ir_div(ir, up, block);
}

static void emit_blocks(Ir *ir, const Emission *e)
{
    LLVMValueRef zero = ir_int(ir, 0), inner_block = ir_int(ir, e->p->tiling.block);
    LLVMValueRef n_outer = blocks_of(ir, e->outer.count, e->outer_block),
                 n_inner = blocks_of(ir, e->inner.count, inner_block);

    IrLoop far = ir_loop(ir, zero, e->far.count, 1, 0, NULL);
    LLVMValueRef a = ir_real_at(ir, e->a, ir_mul(ir, far.i, e->far.a)),
                 b = ir_real_at(ir, e->b, ir_mul(ir, far.i, e->far.b));
    IrLoop outer = ir_loop(ir, zero, n_outer, 1, 0, NULL);
    LLVMValueRef o = ir_mul(ir, outer.i, e->outer_block);
    a = ir_real_at(ir, a, ir_mul(ir, o, e->outer.a));
    b = ir_real_at(ir, b, ir_mul(ir, o, e->outer.b));
    IrLoop inner = ir_loop(ir, zero, n_inner, 1, 0, NULL);
    LLVMValueRef i = ir_mul(ir, inner.i, inner_block);
    LLVMValueRef before = LLVMBuildOr(ir->builder, far.i, o, "");
    before = LLVMBuildOr(ir->builder, before, i, "");
    Block block = {
        .a = ir_real_at(ir, a, ir_mul(ir, i, e->inner.a)),
        .b = ir_real_at(ir, b, ir_mul(ir, i, e->inner.b)),
        .n_outer = ir_min(ir, e->outer_block, ir_sub(ir, e->outer.count, o)),
        .n_inner = ir_min(ir, inner_block, ir_sub(ir, e->inner.count, i)),
        .first = equal(ir, before, zero),
    };
    emit_block(ir, e, &block);
    ir_loop_end(ir, &inner, NULL);
    ir_loop_end(ir, &outer, NULL);
    ir_loop_end(ir, &far, NULL);
}

/* c = init, for all to start from. */
static void copy_init(Ir *ir, const Emission *e, LLVMValueRef init)
{
    const ProductSum *p = e->p;
    IrLoop m = ir_loop(ir, ir_int(ir, 0), e->m, 1, 0, NULL);
    LLVMValueRef from = ir_real_at(ir, init, ir_mul(ir, m.i, ir_int(ir, p->init_m))),
                 to = ir_real_at(ir, e->c, ir_mul(ir, m.i, ir_int(ir, p->c_m)));
    IrLoop n = ir_loop(ir, e->n_begin, e->n_end, 1, 0, NULL);
    LLVMValueRef at = ir_real_at(ir, from, ir_mul(ir, n.i, ir_int(ir, p->init_n)));
    ir_store(ir, ir_load(ir, ir->real, at), ir_real_at(ir, to, n.i));
    ir_loop_end(ir, &n, NULL);
    ir_loop_end(ir, &m, NULL);
}

/* What all blocks have in common: rows of panels of a are divided panel by panel. */
static void set_arguments(Ir *ir, const Emission *e)
{
    LLVMValueRef panel = ir_int(ir, e->p->tiling.a_panel);
    const struct {
        TileField field;
        LLVMValueRef value;
    } set[] = {
        {TILE_A_ROW, ir_int(ir, e->p->a_m)},
        {TILE_A_K, e->a_panels ? panel : e->inner.a},
        {TILE_B_PANEL, ir_int(ir, 0)},
        {TILE_C_ROW, ir_int(ir, e->p->c_m)},
    };
    for (int i = 0; i < COUNT(set); i++)
        tile_set(ir, e->arguments, set[i].field, set[i].value);
    if (!e->a_panels)
        tile_split(ir, e->p->tiling.rows, e->arguments, e->m);
}

/* All rows: at once, or as many as a_panels holds. */
static void emit_rows(Ir *ir, const Emission *whole)
{
    const ProductSum *p = whole->p;
    if (!whole->a_panels) {
        emit_blocks(ir, whole);
        return;
    }
    Emission e = *whole;
    LLVMValueRef most = ir_int(ir, p->tiling.a_rows);
    IrLoop l = ir_loop(ir, ir_int(ir, 0), whole->m, p->tiling.a_rows, 0, NULL);
    e.a = ir_real_at(ir, whole->a, ir_mul(ir, l.i, ir_int(ir, p->a_m)));
    e.c = ir_real_at(ir, whole->c, ir_mul(ir, l.i, ir_int(ir, p->c_m)));
    e.m = ir_min(ir, most, ir_sub(ir, whole->m, l.i));
    emit_blocks(ir, &e);
    ir_loop_end(ir, &l, NULL);
}

/* Panels on the stack: b's, then those of a, a quarter of the second level or one. */
static void set_panels(Ir *ir, Emission *e)
{
    const Tiling *g = &e->p->tiling;
    int64_t of_b = g->block * e->width, of_a = g->a_panel > 0 ? g->block * g->a_rows : 0;
    e->panel = tile_stack(ir, ir->real, of_b + of_a);
    e->a_panels = of_a > 0 ? ir_real_at(ir, e->panel, ir_int(ir, of_b)) : NULL;
}

/* p[batch][m] of an array with these strides. */
static LLVMValueRef part(Ir *ir, LLVMValueRef p, LLVMValueRef batch, int64_t batch_stride,
                         LLVMValueRef m, int64_t m_stride)
{
    p = ir_real_at(ir, p, ir_mul(ir, batch, ir_int(ir, batch_stride)));
    return ir_real_at(ir, p, ir_mul(ir, m, ir_int(ir, m_stride)));
}

void product_sum_emit(Ir *ir, const ProductSum *p)
{
    LLVMValueRef zero = ir_int(ir, 0), m_begin = p->m_begin ? p->m_begin : zero;
    LLVMValueRef m_end = p->m_end ? p->m_end : ir_int(ir, p->m);
    Emission e = {
        .p = p,
        .width = p->tiling.vectors * ir->vector,
        .arguments = tile_arguments(ir),
        .m = ir_sub(ir, m_end, m_begin),
        .n_begin = p->n_begin ? p->n_begin : zero,
        .n_end = p->n_end ? p->n_end : ir_int(ir, p->n),
    };
    set_panels(ir, &e);
    set_points(ir, &e);
    IrIf any = ir_if(ir, ir_less(ir, zero, e.m));
    set_arguments(ir, &e);
    IrLoop batch = ir_loop(ir, zero, ir_int(ir, p->n_batch), 1, 0, NULL);
    e.a = part(ir, p->a, batch.i, p->a_batch, m_begin, p->a_m);
    e.b = ir_real_at(ir, p->b, ir_mul(ir, batch.i, ir_int(ir, p->b_batch)));
    e.c = part(ir, p->c, batch.i, p->c_batch, m_begin, p->c_m);
    if (p->init && p->init != p->c)
        copy_init(ir, &e, part(ir, p->init, batch.i, p->init_batch, m_begin, p->init_m));
    emit_rows(ir, &e);
    ir_loop_end(ir, &batch, NULL);
    ir_endif(ir, &any);
}
