/*
 * pack.c — right operands of products rearranged into panels.
 *
 * A panel is a few vectors of columns, k after k: what a register tile reads in order.
 * Where the source is contiguous along n a panel's rows are copied; where it is
 * contiguous along k, squares of vector x vector elements are transposed in registers:
 * first in squares within pieces of 128 bits (4 x 4 floats, 2 x 2 doubles), which every
 * target shuffles in one instruction, then by exchanging whole pieces.
 */
#include "emit/panel.h"
#include "emit/product.h"

#include <stdio.h>

enum { MAX_VECTOR = 16 };

int64_t pack_panels(int64_t n_batch, int64_t n, int panel)
{
    return n_batch * ((n + panel - 1) / panel);
}

int64_t pack_elements(int64_t n_batch, int64_t n, int64_t k, int panel)
{
    return pack_panels(n_batch, n, panel) * k * panel;
}

/* ---- one panel ---- */

/* Parameters of the functions below: (to, from, k, columns, from_n, from_k). */
typedef enum { P_TO, P_FROM, P_K, P_COLUMNS, P_FROM_N, P_FROM_K, P_COUNT } PanelParam;

/* One element after another: columns [begin, panel) of the k's [k_begin, k). */
static void by_elements(Ir *ir, int panel, LLVMValueRef begin, LLVMValueRef k_begin)
{
    LLVMValueRef zero = ir_real(ir->real, 0), pitch = ir_int(ir, panel);
    IrLoop k = ir_loop(ir, k_begin, ir_param(ir, P_K), 1, 0, NULL);
    LLVMValueRef to = ir_real_at(ir, ir_param(ir, P_TO), ir_mul(ir, k.i, pitch));
    LLVMValueRef from =
        ir_real_at(ir, ir_param(ir, P_FROM), ir_mul(ir, k.i, ir_param(ir, P_FROM_K)));
    IrLoop n = ir_loop(ir, begin, ir_max(ir, begin, ir_param(ir, P_COLUMNS)), 1, 0, NULL);
    LLVMValueRef index = ir_mul(ir, n.i, ir_param(ir, P_FROM_N));
    ir_store(ir, ir_load(ir, ir->real, ir_real_at(ir, from, index)),
             ir_real_at(ir, to, n.i));
    ir_loop_end(ir, &n, NULL);
    IrLoop pad = ir_loop(ir, ir_max(ir, begin, ir_param(ir, P_COLUMNS)), pitch, 1, 0, NULL);
    ir_store(ir, zero, ir_real_at(ir, to, pad.i));
    ir_loop_end(ir, &pad, NULL);
    ir_loop_end(ir, &k, NULL);
}

static void build_any(Ir *ir, int panel)
{
    by_elements(ir, panel, ir_int(ir, 0), ir_int(ir, 0));
}

/* Rows of a panel as vectors; masked: where columns are missing. */
static void copy_rows(Ir *ir, int panel, bool masked)
{
    enum { MAX_VECTORS = 16 };
    LLVMValueRef mask[MAX_VECTORS];
    int n = panel / ir->vector;
    if (n > MAX_VECTORS)
        BUG("a panel of %d vectors", n);
    for (int j = 0; masked && j < n; j++) {
        LLVMValueRef left = ir_sub(ir, ir_param(ir, P_COLUMNS), ir_int(ir, j * ir->vector));
        mask[j] = ir_mask_below(ir, ir->vector, ir_max(ir, left, ir_int(ir, 0)));
    }
    IrLoop k = ir_loop(ir, ir_int(ir, 0), ir_param(ir, P_K), 1, 0, NULL);
    LLVMValueRef to =
        ir_real_at(ir, ir_param(ir, P_TO), ir_mul(ir, k.i, ir_int(ir, panel)));
    LLVMValueRef from =
        ir_real_at(ir, ir_param(ir, P_FROM), ir_mul(ir, k.i, ir_param(ir, P_FROM_K)));
    for (int j = 0; j < n; j++) {
        LLVMValueRef at = ir_int(ir, j * ir->vector), p = ir_real_at(ir, from, at);
        LLVMValueRef v =
            masked ? ir_load_masked(ir, ir->vreal, p, mask[j]) : ir_load(ir, ir->vreal, p);
        ir_store(ir, v, ir_real_at(ir, to, at));
    }
    ir_loop_end(ir, &k, NULL);
}

static void build_copy(Ir *ir, int panel)
{
    LLVMValueRef some = ir_less(ir, ir_param(ir, P_COLUMNS), ir_int(ir, panel));
    IrIf c = ir_if(ir, some);
    copy_rows(ir, panel, true);
    ir_else(ir, &c);
    copy_rows(ir, panel, false);
    ir_endif(ir, &c);
}

/* Lanes of two vectors chosen by lane_of(lane, which), counting b's after a's. */
typedef int LaneOf(int lane, int which, int lanes);

static LLVMValueRef shuffle(Ir *ir, LLVMValueRef a, LLVMValueRef b, LaneOf *lane_of,
                            int which)
{
    LLVMValueRef lane[MAX_VECTOR];
    for (int i = 0; i < ir->vector; i++)
        lane[i] = ir_int_of(ir->i32, lane_of(i, which, ir->vector));
    return LLVMBuildShuffleVector(ir->builder, a, b,
                                  LLVMConstVector(lane, (unsigned)ir->vector), "");
}

/* In each quarter: a0 b0 a1 b1, or a2 b2 a3 b3. */
static int lane_of_pairs(int lane, int high, int lanes)
{
    int within = lane % 4;
    return lane / 4 * 4 + within / 2 + 2 * high + within % 2 * lanes;
}

/* In each quarter: a0 a1 b0 b1, or a2 a3 b2 b3. */
static int lane_of_halves(int lane, int high, int lanes)
{
    int within = lane % 4;
    return lane / 4 * 4 + within % 2 + 2 * high + within / 2 * lanes;
}

/* Blocks of `which` / 2 lanes: the even ones of a and b in turn, or the odd ones. */
static int lane_of_blocks(int lane, int which, int lanes)
{
    int size = which / 2, odd = which % 2, block = lane / size;
    int from = (block & ~1) | odd;
    return from * size + lane % size + block % 2 * lanes;
}

static void transpose_quarters(Ir *ir, LLVMValueRef *row)
{
    LLVMValueRef t[4] = {shuffle(ir, row[0], row[1], lane_of_pairs, 0),
                         shuffle(ir, row[0], row[1], lane_of_pairs, 1),
                         shuffle(ir, row[2], row[3], lane_of_pairs, 0),
                         shuffle(ir, row[2], row[3], lane_of_pairs, 1)};
    for (int i = 0; i < 4; i++)
        row[i] = shuffle(ir, t[i / 2], t[i / 2 + 2], lane_of_halves, i % 2);
}

/* row[i][j] and row[j][i] change places; `vector` rows. */
static void transpose(Ir *ir, LLVMValueRef *row)
{
    bool floats = ir->real != ir->f64;
    for (int i = 0; floats && i < ir->vector; i += 4)
        transpose_quarters(ir, row + i);
    for (int size = floats ? 4 : 1; size < ir->vector; size *= 2)
        for (int i = 0; i < ir->vector; i++) {
            if (i & size)
                continue;
            LLVMValueRef a = row[i], b = row[i + size];
            row[i] = shuffle(ir, a, b, lane_of_blocks, 2 * size);
            row[i + size] = shuffle(ir, a, b, lane_of_blocks, 2 * size + 1);
        }
}

/* Squares: whole vectors of columns by whole vectors of k; the rest by elements. */
static void build_transpose(Ir *ir, int panel)
{
    LLVMValueRef row[MAX_VECTOR], lanes = ir_int(ir, ir->vector);
    LLVMValueRef columns = ir_param(ir, P_COLUMNS), k = ir_param(ir, P_K);
    LLVMValueRef whole_n = ir_mul(ir, ir_div(ir, columns, lanes), lanes),
                 whole_k = ir_mul(ir, ir_div(ir, k, lanes), lanes);
    if (ir->vector > MAX_VECTOR)
        BUG("vectors of %d lanes", ir->vector);

    IrLoop n = ir_loop(ir, ir_int(ir, 0), whole_n, ir->vector, 0, NULL);
    LLVMValueRef to = ir_real_at(ir, ir_param(ir, P_TO), n.i);
    LLVMValueRef from =
        ir_real_at(ir, ir_param(ir, P_FROM), ir_mul(ir, n.i, ir_param(ir, P_FROM_N)));
    IrLoop l = ir_loop(ir, ir_int(ir, 0), whole_k, ir->vector, 0, NULL);
    LLVMValueRef corner = ir_real_at(ir, from, l.i);
    for (int i = 0; i < ir->vector; i++) {
        LLVMValueRef down = ir_mul(ir, ir_param(ir, P_FROM_N), ir_int(ir, i));
        row[i] = ir_load(ir, ir->vreal, ir_real_at(ir, corner, down));
    }
    transpose(ir, row);
    LLVMValueRef first = ir_real_at(ir, to, ir_mul(ir, l.i, ir_int(ir, panel)));
    for (int i = 0; i < ir->vector; i++)
        ir_store(ir, row[i], ir_real_at(ir, first, ir_int(ir, (int64_t)i * panel)));
    ir_loop_end(ir, &l, NULL);
    ir_loop_end(ir, &n, NULL);
    IrIf narrow = ir_if(ir, ir_less(ir, whole_n, ir_int(ir, panel)));
    by_elements(ir, panel, whole_n, ir_int(ir, 0)); /* columns that fill no vector */
    ir_endif(ir, &narrow);
    IrIf left = ir_if(ir, ir_less(ir, whole_k, k));
    by_elements(ir, panel, ir_int(ir, 0), whole_k);
    ir_endif(ir, &left);
}

typedef struct {
    const char *name;
    void (*build)(Ir *ir, int panel);
} PanelWay;

static const PanelWay way_copy = {"panel_copy", build_copy},
                      way_transpose = {"panel_transpose", build_transpose},
                      way_any = {"panel_any", build_any};

static LLVMValueRef panel_function(Ir *ir, const PanelWay *way, int panel)
{
    char name[64];
    snprintf(name, sizeof name, "%s_%d", way->name, panel);
    LLVMValueRef f = LLVMGetNamedFunction(ir->module, name);
    if (f)
        return f;
    LLVMTypeRef type[P_COUNT];
    for (int i = 0; i < P_COUNT; i++)
        type[i] = i == P_TO || i == P_FROM ? ir->ptr : ir->i64;
    f = ir_declare(ir, name, ir->none, P_COUNT, type);
    LLVMSetLinkage(f, LLVMInternalLinkage);
    IrPlace place = ir_begin(ir, f);
    way->build(ir, panel);
    ir_end(ir, place, NULL);
    return f;
}

void panel_emit(Ir *ir, const Panel *p)
{
    const PanelWay *way = ir_is(p->from_n, 1)   ? &way_copy
                          : ir_is(p->from_k, 1) ? &way_transpose
                                                : &way_any;
    LLVMValueRef arg[P_COUNT] = {p->to, p->from, p->k, p->columns, p->from_n, p->from_k};
    ir_call(ir, panel_function(ir, way, p->panel), P_COUNT, arg);
}

/* ---- all panels ---- */

void pack_emit(Ir *ir, const Pack *p)
{
    int64_t each = pack_panels(1, p->n, p->panel);
    LLVMValueRef width = ir_int(ir, p->panel), n_panel = ir_int(ir, each);
    LLVMValueRef begin = p->begin ? p->begin : ir_int(ir, 0);
    LLVMValueRef end = p->end ? p->end : ir_int(ir, p->n_batch * each);

    IrLoop l = ir_loop(ir, begin, end, 1, 0, NULL);
    LLVMValueRef batch = p->n_batch == 1 ? ir_int(ir, 0) : ir_div(ir, l.i, n_panel);
    LLVMValueRef panel = ir_sub(ir, l.i, ir_mul(ir, batch, n_panel));
    LLVMValueRef column = ir_mul(ir, panel, width);
    LLVMValueRef from =
        ir_real_at(ir, p->from, ir_mul(ir, batch, ir_int(ir, p->from_batch)));
    panel_emit(
        ir, &(Panel){
                .panel = p->panel,
                .to = ir_real_at(ir, p->to, ir_mul(ir, l.i, ir_int(ir, p->k * p->panel))),
                .from = ir_real_at(ir, from, ir_mul(ir, column, ir_int(ir, p->from_n))),
                .k = ir_int(ir, p->k),
                .from_n = ir_int(ir, p->from_n),
                .from_k = ir_int(ir, p->from_k),
                .columns = ir_min(ir, width, ir_sub(ir, ir_int(ir, p->n), column)),
            });
    ir_loop_end(ir, &l, NULL);
}
