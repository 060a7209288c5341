/*
 * nest.c — a nest as a function: its contraction, then its sweeps.
 *
 *     void nest(struct rnn_chunk *chunk, i64 thread, i64 t0, i64 t1, i64 row0, i64 row1,
 * i64 slot0)
 *
 * covers the steps t0 … t1 - 1 and the rows row0 … row1 - 1 of its stage; slot0 is the
 * first step of the time block. Nests without axes split their features over threads
 * themselves: parts are found from the thread's number, whole panels where a
 * contraction has columns, so that its sweeps see the same part.
 *
 * Where a nest sums over points, its sweeps up to the last that sums run for every
 * point; those behind it run once and find the sums complete.
 */
#include "emit/kernel.h"
#include "emit/product.h"

#include <stddef.h>

/* ---- the frame ---- */

IrPlace frame_begin(Emitter *e, LLVMValueRef function)
{
    IrPlace place = ir_begin(&e->ir, function);
    Ir *ir = &e->ir;
    e->frame = (Frame){.chunk = ir_param(ir, 0), .thread = ir_param(ir, 1)};
    if (LLVMCountParams(function) == COUNT(e->nest_param)) {
        e->frame.t0 = ir_param(ir, 2);
        e->frame.t1 = ir_param(ir, 3);
        e->frame.row0 = ir_param(ir, 4);
        e->frame.row1 = ir_param(ir, 5);
        e->frame.slot0 = ir_param(ir, 6);
    }
    return place;
}

/* What a nest is emitted with: its stage tells the loops around it. */
typedef struct {
    Emitter *e;
    Ir *ir;
    StageKind kind;
    const Nest *nest;
} NestCode;

static bool has_time(const NestCode *n)
{
    return n->kind == STAGE_TIME || (n->kind == STAGE_SUM && (n->nest->sum & AXIS_TIME));
}

static bool has_rows(const NestCode *n)
{
    return n->kind == STAGE_TIME || n->kind == STAGE_ROWS ||
           (n->kind == STAGE_SUM && (n->nest->sum & AXIS_ROW));
}

/* ---- parts of threads ---- */

/* This thread's part of `extent` in whole units, sizes differing by at most one unit. */
static Part part_of(const NestCode *n, int dimension, int64_t extent)
{
    Ir *ir = n->ir;
    int64_t unit = n->nest->unit;
    LLVMValueRef threads = chunk_threads(n->e), thread = n->e->frame.thread;
    LLVMValueRef units = ir_int(ir, (extent + unit - 1) / unit), size = ir_int(ir, unit);
    LLVMValueRef after = ir_add(ir, thread, ir_int(ir, 1));
    LLVMValueRef first = ir_div(ir, ir_mul(ir, units, thread), threads);
    LLVMValueRef end = ir_div(ir, ir_mul(ir, units, after), threads);
    return (Part){dimension, ir_mul(ir, first, size),
                  ir_min(ir, ir_mul(ir, end, size), ir_int(ir, extent))};
}

static bool is_split(const NestCode *n)
{
    bool by_features = n->kind == STAGE_ONCE || n->kind == STAGE_SUM;
    return by_features && n->nest->split != SPLIT_NONE;
}

/* The part of a sweep that is this thread's: with a contraction in the nest the part of c
   that the thread has computed. */
static Part sweep_part(const NestCode *n, const Sweep *s)
{
    if (!is_split(n) || s->rank == 0)
        return (Part){.dimension = -1};
    int dimension = n->nest->split == SPLIT_N ? s->rank - 1 : 0;
    return part_of(n, dimension, s->extent[dimension]);
}

/* ---- loops over points ---- */

typedef struct {
    IrLoop steps, rows;
    bool time, row;
} Points;

static Points points_begin(const NestCode *n, bool time, bool row)
{
    Frame *f = &n->e->frame;
    Points p = {.time = time, .row = row};
    if (time) {
        p.steps = ir_loop(n->ir, f->t0, f->t1, 1, 0, NULL);
        f->t = p.steps.i;
    }
    if (row) {
        p.rows = ir_loop(n->ir, f->row0, f->row1, 1, 0, NULL);
        f->row = p.rows.i;
    }
    return p;
}

static void points_end(const NestCode *n, Points *p)
{
    Frame *f = &n->e->frame;
    if (p->row) {
        ir_loop_end(n->ir, &p->rows, NULL);
        f->row = NULL;
    }
    if (p->time) {
        ir_loop_end(n->ir, &p->steps, NULL);
        f->t = NULL;
    }
}

/* ---- contractions ---- */

static LLVMValueRef step_stride(const NestCode *n, const Access *a)
{
    return a->when == AT_STEP ? buffer_step_stride(n->e, access_buffer(n->e, a))
                              : ir_int(n->ir, 0);
}

static LLVMValueRef row_stride(const NestCode *n, const Access *a)
{
    return buffer_row_stride(n->e, access_buffer(n->e, a));
}

static const Access *init_of(const Contraction *c)
{
    return c->has_init ? &c->init : &c->c;
}

static LLVMValueRef extent_of(const NestCode *n, LLVMValueRef first, LLVMValueRef end)
{
    return ir_sub(n->ir, end, first);
}

static void require_reals(const NestCode *n, const Access *a)
{
    const Buffer *b = access_buffer(n->e, a);
    if (b->element != ELEMENT_REAL)
        BUG("a contraction uses buffer %s, which holds no reals of the model", b->name);
}

/* The rows of a product: steps, rows of the thread, m. */
static void product_rows(const NestCode *n, const Contraction *c, Product *p)
{
    Ir *ir = n->ir;
    const Frame *f = &n->e->frame;
    const Access *init = init_of(c);
    if (has_time(n))
        p->dim[p->n_dim++] =
            (ProductRows){extent_of(n, f->t0, f->t1), step_stride(n, &c->a),
                          step_stride(n, &c->c), step_stride(n, init)};
    if (has_rows(n))
        p->dim[p->n_dim++] =
            (ProductRows){extent_of(n, f->row0, f->row1), row_stride(n, &c->a),
                          row_stride(n, &c->c), row_stride(n, init)};
    if (c->tiling.along == ALONG_STEPS) {
        ProductRows steps = p->dim[0];
        p->dim[0] = p->dim[1], p->dim[1] = steps;
    }
    p->dim[p->n_dim++] =
        (ProductRows){ir_int(ir, c->m), ir_int(ir, c->a.stride[1]),
                      ir_int(ir, c->c.stride[1]), ir_int(ir, init->stride[1])};
}

/* This thread's part of the rows m: addresses move, the count shrinks. */
static void split_rows(const NestCode *n, const Contraction *c, Product *p)
{
    Ir *ir = n->ir;
    Part part = part_of(n, 0, c->m);
    ProductRows *rows = &p->dim[p->n_dim - 1];
    p->a = ir_at(ir, ir->real, p->a, ir_mul(ir, part.first, rows->a));
    p->c = ir_at(ir, ir->real, p->c, ir_mul(ir, part.first, rows->c));
    if (p->init)
        p->init = ir_at(ir, ir->real, p->init, ir_mul(ir, part.first, rows->init));
    rows->count = extent_of(n, part.first, part.end);
}

/* No product where one of its counts is 0, or into outputs that nobody wants. */
static void emit_product_if_any(const NestCode *n, const Product *p, Home home)
{
    Ir *ir = n->ir;
    LLVMValueRef any = ir_int_of(ir->i1, 1);
    if (home == HOME_OUTPUTS)
        any = LLVMBuildIsNotNull(
            ir->builder, chunk_field(n->e, offsetof(struct rnn_chunk, outputs), ir->ptr),
            "");
    for (int d = 0; d < p->n_dim; d++) {
        LLVMValueRef some = ir_less(ir, ir_int(ir, 0), p->dim[d].count);
        any = LLVMIsAConstantInt(some) ? any : LLVMBuildAnd(ir->builder, any, some, "");
    }
    if (p->n_begin)
        any = LLVMBuildAnd(ir->builder, any, ir_less(ir, p->n_begin, p->n_end), "");
    IrIf some = ir_if(ir, any);
    product_emit(ir, p);
    ir_endif(ir, &some);
}

static void emit_product(const NestCode *n, const Contraction *c)
{
    Emitter *e = n->e;
    const Frame *f = &e->frame;
    const Buffer *packed = &e->plan->buffer[c->packed];
    LLVMValueRef row = has_rows(n) ? f->row0 : NULL, t = has_time(n) ? f->t0 : NULL;
    Product p = {
        .n_batch = c->n_batch,
        .n = c->n,
        .k = c->k,
        .panel = packed->panel,
        .tiling = c->tiling,
        .reversed =
            c->tiling.alternate ? LLVMBuildTrunc(e->ir.builder, f->t0, e->ir.i1, "") : NULL,
        .a = access_address(e, &c->a, t, row),
        .b = buffer_address(e, packed),
        .c = access_address(e, &c->c, t, row),
        .init = c->has_init ? access_address(e, &c->init, t, row) : NULL,
        .a_batch = c->a.stride[0],
        .a_k = c->a.stride[2],
        .c_batch = c->c.stride[0],
        .init_batch = c->init.stride[0],
        .init_n = c->init.stride[2],
    };
    require_reals(n, &c->a);
    require_reals(n, &c->c);
    product_rows(n, c, &p);
    if (is_split(n) && n->nest->split == SPLIT_M)
        split_rows(n, c, &p);
    if (is_split(n) && n->nest->split == SPLIT_N) {
        Part part = part_of(n, 0, c->n);
        p.n_begin = part.first;
        p.n_end = part.end;
    }
    emit_product_if_any(n, &p, access_buffer(e, &c->c)->home);
}

/* ---- sums over points of products ---- */

/* The points: steps, rows (unless the nest stands in a row already), k. */
static void product_points(const NestCode *n, const Contraction *c, ProductSum *p)
{
    Ir *ir = n->ir;
    if (n->nest->sum & AXIS_TIME)
        p->dim[p->n_dim++] = (ProductPoints){chunk_steps(n->e), step_stride(n, &c->a),
                                             step_stride(n, &c->b)};
    if (n->kind == STAGE_SUM && (n->nest->sum & AXIS_ROW))
        p->dim[p->n_dim++] =
            (ProductPoints){chunk_rows(n->e), row_stride(n, &c->a), row_stride(n, &c->b)};
    if (c->k > 1 || p->n_dim == 0)
        p->dim[p->n_dim++] = (ProductPoints){ir_int(ir, c->k), ir_int(ir, c->a.stride[2]),
                                             ir_int(ir, c->b.stride[2])};
}

static void split_sum(const NestCode *n, const Contraction *c, ProductSum *p)
{
    if (!is_split(n))
        return;
    bool columns = n->nest->split == SPLIT_N;
    Part part = part_of(n, 0, columns ? c->n : c->m);
    *(columns ? &p->n_begin : &p->m_begin) = part.first;
    *(columns ? &p->n_end : &p->m_end) = part.end;
}

static void emit_product_sum(const NestCode *n, const Contraction *c)
{
    Emitter *e = n->e;
    LLVMValueRef zero = ir_int(n->ir, 0), row = e->frame.row ? e->frame.row : zero;
    ProductSum p = {
        .n_batch = c->n_batch,
        .m = c->m,
        .n = c->n,
        .a = access_address(e, &c->a, zero, row),
        .b = access_address(e, &c->b, zero, row),
        .c = access_address(e, &c->c, NULL, row),
        .init = c->has_init ? access_address(e, &c->init, NULL, row) : NULL,
        .a_batch = c->a.stride[0],
        .b_batch = c->b.stride[0],
        .c_batch = c->c.stride[0],
        .init_batch = c->init.stride[0],
        .a_m = c->a.stride[1],
        .b_n = c->b.stride[1],
        .c_m = c->c.stride[1],
        .init_m = c->init.stride[1],
        .init_n = c->init.stride[2],
        .tiling = c->tiling,
    };
    require_reals(n, &c->a);
    require_reals(n, &c->b);
    require_reals(n, &c->c);
    product_points(n, c, &p);
    split_sum(n, c, &p);
    if (!is_split(n)) {
        product_sum_emit(n->ir, &p);
        return;
    }
    bool columns = p.n_begin != NULL;
    IrIf any = ir_if(n->ir, ir_less(n->ir, columns ? p.n_begin : p.m_begin,
                                    columns ? p.n_end : p.m_end));
    product_sum_emit(n->ir, &p);
    ir_endif(n->ir, &any);
}

/* ---- sweeps ---- */

/* How many of the nest's sweeps run for every point of a sum. */
static int summing_sweeps(const Nest *nest)
{
    int n = 0;
    for (int i = 0; i < nest->n_sweep; i++)
        if (sweep_has_sums(&nest->sweep[i]))
            n = i + 1;
    return n;
}

/* Emits this thread's part of a sweep, or of the zeros of its sums. Where features are
   split, a sweep that has none is the first thread's. */
static void emit_part(const NestCode *n, const Sweep *s,
                      void (*emit)(Emitter *, const Sweep *, Part))
{
    if (!is_split(n) || s->rank > 0) {
        emit(n->e, s, sweep_part(n, s));
        return;
    }
    IrIf first = ir_if(n->ir, LLVMBuildICmp(n->ir->builder, LLVMIntEQ, n->e->frame.thread,
                                            ir_int(n->ir, 0), ""));
    emit(n->e, s, sweep_part(n, s));
    ir_endif(n->ir, &first);
}

static void emit_sweeps(const NestCode *n, int first, int end)
{
    for (int i = first; i < end; i++)
        emit_part(n, &n->nest->sweep[i], sweep_emit);
}

/* Sums over the nest's axes; in a ROWS stage of the frame's row, over its steps. */
static void emit_sums(const NestCode *n, int n_sum)
{
    bool time = n->nest->sum & AXIS_TIME;
    bool row = n->kind == STAGE_SUM && (n->nest->sum & AXIS_ROW);
    for (int i = 0; i < n_sum; i++)
        emit_part(n, &n->nest->sweep[i], sweep_zero);
    LLVMValueRef kept = n->e->frame.row;
    Points p = points_begin(n, time, row);
    emit_sweeps(n, 0, n_sum);
    points_end(n, &p);
    n->e->frame.row = kept;
}

/* ---- nests ---- */

static void emit_pack(const NestCode *n)
{
    Emitter *e = n->e;
    const Buffer *b = &e->plan->buffer[n->nest->pack];
    const Access *from = &n->nest->pack_from;
    int64_t panels = pack_panels(b->pack_batch, b->pack_n, b->panel);
    Part part = {.dimension = -1};
    if (is_split(n))
        part = part_of(n, 0, panels);
    pack_emit(n->ir, &(Pack){
                         .n_batch = b->pack_batch,
                         .n = b->pack_n,
                         .k = b->pack_k,
                         .panel = b->panel,
                         .from = access_address(e, from, NULL, NULL),
                         .to = buffer_address(e, b),
                         .from_batch = from->stride[0],
                         .from_n = from->stride[1],
                         .from_k = from->stride[2],
                         .begin = part.first,
                         .end = part.end,
                     });
}

/* ONCE and SUM: sums first, then what runs once. */
static void emit_without_axes(const NestCode *n)
{
    const Contraction *c = n->nest->contraction;
    if (c && c->packed >= 0)
        emit_product(n, c);
    else if (c)
        emit_product_sum(n, c);
    int n_sum = summing_sweeps(n->nest);
    if (n_sum > 0)
        emit_sums(n, n_sum);
    emit_sweeps(n, n_sum, n->nest->n_sweep);
}

/* ROWS: each row's sums over time, then its other sweeps. */
static void emit_rows(const NestCode *n)
{
    const Contraction *c = n->nest->contraction;
    bool sums = n->nest->sum & AXIS_TIME;
    if (c && c->packed >= 0)
        emit_product(n, c);
    Points p = points_begin(n, false, true);
    if (c && c->packed < 0)
        emit_product_sum(n, c);
    int n_sum = sums ? summing_sweeps(n->nest) : 0;
    if (n_sum > 0)
        emit_sums(n, n_sum);
    emit_sweeps(n, n_sum, n->nest->n_sweep);
    points_end(n, &p);
}

static void emit_points(const NestCode *n)
{
    if (n->nest->contraction)
        emit_product(n, n->nest->contraction);
    if (n->nest->n_sweep == 0)
        return;
    Points p = points_begin(n, true, true);
    emit_sweeps(n, 0, n->nest->n_sweep);
    points_end(n, &p);
}

LLVMValueRef nest_function(Emitter *e, const Stage *stage, const Nest *nest,
                           const char *name)
{
    LLVMValueRef f =
        ir_declare(&e->ir, name, e->ir.none, COUNT(e->nest_param), e->nest_param);
    LLVMSetLinkage(f, LLVMInternalLinkage);
    Frame outer = e->frame;
    IrPlace place = frame_begin(e, f);
    NestCode n = {e, &e->ir, stage->kind, nest};
    if (nest->pack >= 0)
        emit_pack(&n);
    else if (stage->kind == STAGE_TIME)
        emit_points(&n);
    else if (stage->kind == STAGE_ROWS)
        emit_rows(&n);
    else
        emit_without_axes(&n);
    ir_end(&e->ir, place, NULL);
    e->frame = outer;
    return f;
}
