/*
 * nest.c — a nest as a function: its contraction, then its sweeps.
 *
 *     void nest(struct rnn_chunk *chunk, i64 thread, i64 t0, i64 t1, i64 row0, i64 row1,
 * i64 slot0)
 *
 * covers the steps t0 … t1 - 1 and the rows row0 … row1 - 1 of its stage; slot0 is the
 * first step of the time block. Nests without axes and scans by features split those over
 * threads themselves: parts are found from the thread's number, whole panels where a
 * contraction has columns, so that its sweeps see the same part.
 *
 * Where a nest sums over points, the sweeps that the plan says run for every point; those
 * ahead of them run once and set the sums to zero, those behind find them complete.
 */
#include "emit/nest.h"

#include "emit/product.h"

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

/* ---- parts of threads ---- */

Part nest_part(const NestCode *n, int dimension, int64_t extent)
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

bool nest_is_split(const NestCode *n)
{
    return n->by_features && n->nest->split != SPLIT_NONE;
}

/* The part of a sweep that is this thread's: with a contraction in the nest the part of c
   that the thread has computed. */
static Part sweep_part(const NestCode *n, const Sweep *s)
{
    if (!nest_is_split(n) || s->rank == 0)
        return (Part){.dimension = -1};
    int dimension = n->nest->split == SPLIT_N ? s->rank - 1 : 0;
    return nest_part(n, dimension, s->extent[dimension]);
}

/* ---- loops over points ---- */

typedef struct {
    IrLoop steps, rows;
    bool time, row;
} Points;

static Points points_begin(const NestCode *n, bool time, bool row)
{
    Frame *f = &n->e->frame;
    Points p = {.time = time && !n->one_step, .row = row && !n->one_row};
    f->t = time ? f->t0 : f->t;
    f->row = row ? f->row0 : f->row;
    if (p.time) {
        p.steps = ir_loop(n->ir, f->t0, f->t1, 1, 0, NULL);
        f->t = p.steps.i;
    }
    if (p.row) {
        p.rows = ir_loop(n->ir, f->row0, f->row1, 1, 0, NULL);
        f->row = p.rows.i;
    }
    return p;
}

static void points_end(const NestCode *n, Points *p)
{
    Frame *f = &n->e->frame;
    if (p->row)
        ir_loop_end(n->ir, &p->rows, NULL);
    if (p->time)
        ir_loop_end(n->ir, &p->steps, NULL);
    f->row = f->t = NULL;
}

/* ---- sweeps ---- */

/* A sweep as a function of its own, called at the frame's point. */
static void emit_apart(const NestCode *n, const Sweep *s)
{
    Emitter *e = n->e;
    Frame here = e->frame;
    LLVMValueRef f =
        ir_declare(n->ir, "sweep", n->ir->none, COUNT(e->nest_param), e->nest_param);
    LLVMSetLinkage(f, LLVMInternalLinkage);
    IrPlace place = frame_begin(e, f);
    e->frame.direction = here.direction;
    e->frame.t = here.t ? e->frame.t0 : NULL;
    e->frame.row = here.row ? e->frame.row0 : NULL;
    sweep_emit(e, s, sweep_part(n, s));
    ir_end(n->ir, place, NULL);
    e->frame = here;
    LLVMValueRef arg[] = {here.chunk,
                          here.thread,
                          here.t ? here.t : here.t0,
                          here.t1,
                          here.row ? here.row : here.row0,
                          here.row1,
                          here.slot0};
    ir_call(n->ir, f, COUNT(arg), arg);
}

/* LLVM orders the instructions of a block, and finds them registers, in time that grows
   with the square of their number: the many sweeps of a large nest, often without loops of
   their own, would become one block. */
enum { MANY_INSTRUCTIONS = 1024 };

static bool is_large(const Nest *nest)
{
    int n = 0;
    for (int i = 0; i < nest->n_sweep; i++)
        n += nest->sweep[i].n_instr;
    return nest->n_sweep > 1 && n > MANY_INSTRUCTIONS;
}

static void emit_sweeps(const NestCode *n, int first, int end)
{
    const bool apart = is_large(n->nest);
    for (int i = first; i < end; i++)
        if (apart)
            emit_apart(n, &n->nest->sweep[i]);
        else
            sweep_emit(n->e, &n->nest->sweep[i], sweep_part(n, &n->nest->sweep[i]));
}

/* All sweeps of a nest that runs once, or once a row; those of its sums for each point: in
   a ROWS stage for each step of the frame's row. */
static void emit_all_sweeps(const NestCode *n)
{
    PointSweeps sums = nest_point_sweeps(n->nest);
    bool time = n->nest->sum & AXIS_TIME;
    bool row = n->kind == STAGE_SUM && (n->nest->sum & AXIS_ROW);
    LLVMValueRef kept = n->e->frame.row;
    emit_sweeps(n, 0, sums.first);
    if (sums.end > 0) {
        Points p = points_begin(n, time, row);
        emit_sweeps(n, sums.first, sums.end);
        points_end(n, &p);
    }
    n->e->frame.row = kept;
    emit_sweeps(n, sums.end, n->nest->n_sweep);
}

/* ---- nests ---- */

static void emit_pack(const NestCode *n)
{
    Emitter *e = n->e;
    const Buffer *b = &e->plan->buffer[n->nest->pack];
    const Access *from = &n->nest->pack_from;
    int64_t panels = pack_panels(b->pack_batch, b->pack_n, b->panel);
    Part part = {.dimension = -1};
    if (nest_is_split(n))
        part = nest_part(n, 0, panels);
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

static void emit_without_axes(const NestCode *n)
{
    const Contraction *c = n->nest->contraction;
    if (c && c->packed >= 0)
        nest_product(n, c);
    else if (c)
        nest_product_sum(n, c);
    emit_all_sweeps(n);
}

static void emit_rows(const NestCode *n)
{
    if (n->nest->contraction)
        nest_product(n, n->nest->contraction);
    Points p = points_begin(n, false, true);
    emit_all_sweeps(n);
    points_end(n, &p);
}

static void emit_points(const NestCode *n)
{
    if (n->nest->contraction)
        nest_product(n, n->nest->contraction);
    if (n->nest->n_sweep == 0)
        return;
    Points p = points_begin(n, true, true);
    emit_sweeps(n, 0, n->nest->n_sweep);
    points_end(n, &p);
}

LLVMValueRef nest_function(Emitter *e, const Stage *stage, const Group *group,
                           const Nest *nest, const char *name)
{
    LLVMValueRef f =
        ir_declare(&e->ir, name, e->ir.none, COUNT(e->nest_param), e->nest_param);
    LLVMSetLinkage(f, LLVMInternalLinkage);
    Frame outer = e->frame;
    IrPlace place = frame_begin(e, f);
    bool time = stage->kind == STAGE_TIME;
    NestCode n = {.e = e,
                  .ir = &e->ir,
                  .kind = stage->kind,
                  .nest = nest,
                  .by_features = !stage_by_rows(stage),
                  .one_step = time && group->scan,
                  .one_row = time && e->plan->rows_max == 1};
    if (n.one_row)
        e->frame.row0 = ir_int(&e->ir, 0), e->frame.row1 = ir_int(&e->ir, 1);
    e->frame.direction = stage->backward && group->scan ? -1 : 1;
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
