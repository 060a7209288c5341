/*
 * tile_body.c — one register tile: the innermost loops of every product.
 *
 * The accumulators are values carried by the loop over k. Whole vectors of b are
 * loaded (its panels are padded), elements of a are spread over a vector, and nothing
 * else stands in the loop. Tiles are the plan's (passes/tile.c), chosen so that all of it
 * fits the registers: rows * vectors accumulators, `vectors` of b, one of a.
 *
 * Strides are arguments and not constants: measured, that costs nothing, since
 * addresses of rows are kept in registers anyway, and a module needs one set of tiles
 * instead of one a product. A product of one row that is begun at each step is another
 * matter: its tiles stand in its own code, and what they are told is known there.
 */
#include "emit/tile.h"

enum { MAX_ACCUMULATORS = IR_MAX_CARRIED - 1 };

/* A tile while its function is built. */
typedef struct {
    Tile tile;
    LLVMValueRef field[TILE_FIELDS];
    LLVMValueRef mask, reversed;
    LLVMValueRef next_panel; /* the line of its first k that this tile fetches */
    LLVMValueRef c_ahead;    /* the line of its first row that this tile fetches */
    int n; /* accumulators of a chain: [rows][panels][vectors]; chain stands behind chain */
} Body;

static bool is_masked(const Body *y, int accumulator)
{
    return y->tile.masked && accumulator % y->tile.vectors == y->tile.vectors - 1;
}

/* Where accumulator i stands in an array with this distance between rows. */
static LLVMValueRef place_of(Ir *ir, const Body *y, LLVMValueRef p, TileField stride, int i)
{
    int columns = y->tile.panels * y->tile.vectors;
    LLVMValueRef row = ir_mul(ir, y->field[stride], ir_int(ir, i / columns));
    p = ir_real_at(ir, p, row);
    return ir_real_at(ir, p, ir_int(ir, (int64_t)(i % columns) * ir->vector));
}

static void add_init(Ir *ir, const Body *y, LLVMValueRef init, LLVMValueRef *acc)
{
    for (int i = 0; i < y->n; i++) {
        LLVMValueRef p = place_of(ir, y, init, TILE_INIT_ROW, i);
        LLVMValueRef v = is_masked(y, i) ? ir_load_masked(ir, ir->vreal, p, y->mask)
                                         : ir_load(ir, ir->vreal, p);
        acc[i] = LLVMBuildFAdd(ir->builder, v, acc[i], "");
    }
}

static void store_c(Ir *ir, const Body *y, LLVMValueRef c, LLVMValueRef *acc)
{
    for (int i = 0; i < y->n; i++) {
        LLVMValueRef p = place_of(ir, y, c, TILE_C_ROW, i);
        if (is_masked(y, i))
            ir_store_masked(ir, acc[i], p, y->mask);
        else
            ir_store(ir, acc[i], p);
    }
}

/* Where a chain begins. */
typedef struct {
    LLVMValueRef a[TILE_MAX_ROWS], b[TILE_MAX_PANELS];
} ChainStart;

static int64_t reals_of_line(const Ir *ir)
{
    enum { LINE_BYTES = 64 };
    return LINE_BYTES / (ir->real == ir->f64 ? 8 : 4);
}

/* What k number i of the run fetches. */
static void fetch_ahead(Ir *ir, const Body *y, const ChainStart *s, LLVMValueRef i,
                        LLVMValueRef a_index, LLVMValueRef b_index)
{
    enum { FIRST_LEVEL = 3, SECOND_LEVEL = 2 };
    if (y->tile.c_ahead) {
        LLVMValueRef row = ir_mul(ir, i, y->field[TILE_C_ROW]);
        ir_prefetch(ir, ir_real_at(ir, y->c_ahead, row), SECOND_LEVEL);
    }
    LLVMValueRef line = ir_int(ir, reals_of_line(ir));
    if (y->tile.a == TILE_A_ALONG_ROWS)
        ir_prefetch(ir, ir_real_at(ir, ir_real_at(ir, s->a[0], a_index), line),
                    FIRST_LEVEL);
    else
        ir_prefetch(ir, ir_real_at(ir, y->next_panel, b_index), SECOND_LEVEL);
}

/* The line that tile number i fetches of each row of a panel's width that begins at p. */
static LLVMValueRef line_in_turn(Ir *ir, const Body *y, LLVMValueRef p, LLVMValueRef i)
{
    int64_t pitch = (int64_t)y->tile.pitch * ir->vector, line = reals_of_line(ir);
    int64_t lines = (pitch + line - 1) / line;
    LLVMValueRef which = LLVMBuildURem(ir->builder, i, ir_int(ir, lines), "");
    return ir_real_at(ir, p, ir_mul(ir, which, ir_int(ir, line)));
}

/* Sets which lines tile number i fetches of the next panel of b and of c. */
static void set_ahead(Ir *ir, Body *y, TileAt at, LLVMValueRef i)
{
    if (!y->tile.ahead)
        return;
    int64_t pitch = (int64_t)y->tile.pitch * ir->vector;
    LLVMValueRef panel = ir_mul(ir, y->field[TILE_K], ir_int(ir, pitch));
    y->next_panel = line_in_turn(ir, y, ir_real_at(ir, at.b, panel), i);
    y->c_ahead = line_in_turn(ir, y, at.c, i);
}

/* k number i of the run: acc[r][j] += a[r][a_index] * b[j][i]. */
static void multiply(Ir *ir, const Body *y, const ChainStart *s, LLVMValueRef i,
                     LLVMValueRef a_index, LLVMValueRef *acc)
{
    LLVMValueRef b_index = ir_mul(ir, i, ir_int(ir, (int64_t)y->tile.pitch * ir->vector));
    int columns = y->tile.panels * y->tile.vectors;
    LLVMValueRef vector[MAX_ACCUMULATORS];
    if (y->tile.ahead)
        fetch_ahead(ir, y, s, i, a_index, b_index);
    for (int j = 0; j < columns; j++) {
        LLVMValueRef p = ir_real_at(ir, s->b[j / y->tile.vectors], b_index);
        int64_t column = (int64_t)(j % y->tile.vectors) * ir->vector;
        vector[j] = ir_load(ir, ir->vreal, ir_real_at(ir, p, ir_int(ir, column)));
    }
    for (int r = 0; r < y->tile.rows; r++) {
        LLVMValueRef x = ir_load(ir, ir->real, ir_real_at(ir, s->a[r], a_index));
        x = ir_splat(ir, x, ir->vector);
        for (int j = 0; j < columns; j++)
            acc[r * columns + j] = ir_fma(ir, x, vector[j], acc[r * columns + j]);
    }
}

static void addresses_of_a(Ir *ir, const Body *y, LLVMValueRef p, LLVMValueRef *a)
{
    bool unit = y->tile.a == TILE_A_ALONG_ROWS;
    for (int r = 0; r < y->tile.rows; r++)
        a[r] = ir_real_at(
            ir, p, unit ? ir_int(ir, r) : ir_mul(ir, y->field[TILE_A_ROW], ir_int(ir, r)));
}

static void copy(LLVMValueRef *to, const LLVMValueRef *from, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = from[i];
}

static ChainStart chain_start(Ir *ir, const Body *y, LLVMValueRef a, LLVMValueRef b,
                              int chain)
{
    ChainStart s;
    LLVMValueRef number = ir_int(ir, chain);
    if (y->tile.halves)
        number = ir_select(ir, y->reversed, ir_int(ir, chain ^ y->tile.chains / 2), number);
    LLVMValueRef skipped = ir_mul(ir, y->field[TILE_K], number);
    int64_t pitch = (int64_t)y->tile.pitch * ir->vector;
    a = ir_real_at(ir, a, ir_mul(ir, skipped, y->field[TILE_A_K]));
    b = ir_real_at(ir, b, ir_mul(ir, skipped, ir_int(ir, pitch)));
    addresses_of_a(ir, y, a, s.a);
    for (int j = 0; j < y->tile.panels; j++)
        s.b[j] = ir_real_at(ir, b, ir_mul(ir, y->field[TILE_B_PANEL], ir_int(ir, j)));
    return s;
}

/* The k from `first` to `end` of the chains that start there. */
static void run_chains(Ir *ir, const Body *y, const ChainStart *start, int chains,
                       LLVMValueRef first, LLVMValueRef end, LLVMValueRef *acc)
{
    LLVMValueRef next[IR_MAX_CARRIED];
    int n = y->n * chains;
    bool unit = y->tile.a == TILE_A_ALONG_K;

    copy(next, acc, n);
    next[n] = ir_mul(ir, first, y->field[TILE_A_K]);
    IrLoop l = ir_loop(ir, first, end, 1, n + !unit, next);
    copy(next, l.carried, n);
    LLVMValueRef index = unit ? l.i : l.carried[n];
    for (int i = 0; i < chains; i++)
        multiply(ir, y, &start[i], l.i, index, next + i * y->n);
    next[n] = unit ? NULL : ir_add(ir, index, y->field[TILE_A_K]);
    ir_loop_end(ir, &l, next);
    copy(acc, l.carried, n);
}

/* The run of k that starts at a and b. */
static void inner_run(Ir *ir, const Body *y, LLVMValueRef a, LLVMValueRef b,
                      LLVMValueRef *acc)
{
    ChainStart start[TILE_MAX_CHAINS] = {0};
    LLVMValueRef zero = ir_int(ir, 0), k = y->field[TILE_K];
    int chains = y->tile.chains, half = chains / 2;
    for (int i = 0; i < chains; i++)
        start[i] = chain_start(ir, y, a, b, i);
    if (chains == 1) {
        run_chains(ir, y, start, 1, zero, k, acc);
        return;
    }
    if (y->tile.halves) {
        run_chains(ir, y, start, half, zero, k, acc);
        run_chains(ir, y, start + half, half, zero, k, acc + half * y->n);
    } else {
        run_chains(ir, y, start, chains, zero, y->field[TILE_K_LAST], acc);
        run_chains(ir, y, start, chains - 1, y->field[TILE_K_LAST], k, acc);
    }
    for (; half > 0; half /= 2)
        for (int i = 0; i < half * y->n; i++)
            acc[i] = LLVMBuildFAdd(ir->builder, acc[i], acc[i + half * y->n], "");
}

/* All k: one run, or several with a of its own stride between them. */
static void all_runs(Ir *ir, const Body *y, LLVMValueRef a, LLVMValueRef b,
                     LLVMValueRef *acc)
{
    if (y->tile.a == TILE_A_ALONG_K || y->tile.chains > 1) {
        inner_run(ir, y, a, b, acc);
        return;
    }
    LLVMValueRef next[IR_MAX_CARRIED];
    LLVMValueRef b_run =
        ir_mul(ir, y->field[TILE_K], ir_int(ir, (int64_t)y->tile.pitch * ir->vector));
    copy(next, acc, y->n);
    IrLoop l = ir_loop(ir, ir_int(ir, 0), y->field[TILE_K_OUTER], 1, y->n, next);
    copy(next, l.carried, y->n);
    inner_run(ir, y, ir_real_at(ir, a, ir_mul(ir, l.i, y->field[TILE_A_OUTER])),
              ir_real_at(ir, b, ir_mul(ir, l.i, b_run)), next);
    ir_loop_end(ir, &l, next);
    copy(acc, l.carried, y->n);
}

static LLVMValueRef below(Ir *ir, const Body *y, LLVMValueRef p, TileField stride)
{
    return ir_real_at(ir, p, ir_mul(ir, y->field[stride], ir_int(ir, y->tile.rows)));
}

static void require_fits(const Ir *ir, const Body *y)
{
    const Tile *t = &y->tile;
    if (y->n * t->chains > MAX_ACCUMULATORS || t->rows > TILE_MAX_ROWS ||
        t->panels > TILE_MAX_PANELS || t->chains > TILE_MAX_CHAINS ||
        t->panels * t->vectors * ir->vector > TILE_ZEROS)
        BUG("a tile of %d x %d x %d, %d chains", t->rows, t->panels, t->vectors, t->chains);
}

/* A tile with its fields. */
static Body body_of(Ir *ir, Tile tile, const LLVMValueRef *field)
{
    Body y = {.tile = tile, .n = tile.rows * tile.panels * tile.vectors};
    require_fits(ir, &y);
    copy(y.field, field, TILE_FIELDS);
    if (tile.masked)
        y.mask = ir_mask_below(ir, ir->vector, y.field[TILE_COLUMNS]);
    y.reversed = LLVMBuildTrunc(ir->builder, y.field[TILE_REVERSED], ir->i1, "");
    return y;
}

static void emit_tile(Ir *ir, const Body *y, TileAt at)
{
    LLVMValueRef acc[IR_MAX_CARRIED];
    for (int i = 0; i < y->n * y->tile.chains; i++)
        acc[i] = LLVMConstNull(ir->vreal);
    all_runs(ir, y, at.a, at.b, acc);
    add_init(ir, y, at.init, acc);
    store_c(ir, y, at.c, acc);
}

void tile_here(Ir *ir, Tile tile, const LLVMValueRef *field, TileAt at)
{
    Body y = body_of(ir, tile, field);
    set_ahead(ir, &y, at, ir_int(ir, 0));
    emit_tile(ir, &y, at);
}

void tile_build(Ir *ir, Tile tile, LLVMValueRef f)
{
    LLVMValueRef field[TILE_FIELDS];
    IrPlace place = ir_begin(ir, f);
    LLVMValueRef b = ir_param(ir, 2);
    for (int i = 0; i < TILE_FIELDS; i++)
        field[i] = tile_get(ir, ir_param(ir, 0), (TileField)i);
    Body y = body_of(ir, tile, field);
    LLVMValueRef at[] = {ir_param(ir, 1), ir_param(ir, 3), ir_param(ir, 4)};
    IrLoop l = ir_loop(ir, ir_int(ir, 0), ir_param(ir, 5), 1, 3, at);
    copy(at, l.carried, 3);
    TileAt here = {at[0], b, at[1], at[2]};
    set_ahead(ir, &y, here, l.i);
    emit_tile(ir, &y, here);
    LLVMValueRef next[] = {below(ir, &y, at[0], TILE_A_ROW),
                           below(ir, &y, at[1], TILE_C_ROW),
                           below(ir, &y, at[2], TILE_INIT_ROW)};
    ir_loop_end(ir, &l, next);
    ir_end(ir, place, NULL);
}
