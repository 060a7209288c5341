/*
 * nest_product.c — the contraction of a nest: what the plan says of it, told to product.c
 * and product_sum.c.
 *
 * The rows of a product are steps, rows of the thread and m; the points of a sum are
 * steps, rows and k. Where threads split the result, addresses and counts are this
 * thread's part of it.
 */
#include "emit/nest.h"

#include "emit/product.h"

#include <stddef.h>

static bool has_time(const NestCode *n)
{
    return n->kind == STAGE_TIME || (n->kind == STAGE_SUM && (n->nest->sum & AXIS_TIME));
}

static bool has_rows(const NestCode *n)
{
    return n->kind == STAGE_TIME || n->kind == STAGE_ROWS ||
           (n->kind == STAGE_SUM && (n->nest->sum & AXIS_ROW));
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
    LLVMValueRef one = ir_int(ir, 1);
    if (has_time(n))
        p->dim[p->n_dim++] = (ProductRows){n->one_step ? one : extent_of(n, f->t0, f->t1),
                                           step_stride(n, &c->a), step_stride(n, &c->c),
                                           step_stride(n, init)};
    if (has_rows(n))
        p->dim[p->n_dim++] =
            (ProductRows){n->one_row ? one : extent_of(n, f->row0, f->row1),
                          row_stride(n, &c->a), row_stride(n, &c->c), row_stride(n, init)};
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
    Part part = nest_part(n, 0, c->m);
    ProductRows *rows = &p->dim[p->n_dim - 1];
    p->a = ir_real_at(ir, p->a, ir_mul(ir, part.first, rows->a));
    p->c = ir_real_at(ir, p->c, ir_mul(ir, part.first, rows->c));
    if (p->init)
        p->init = ir_real_at(ir, p->init, ir_mul(ir, part.first, rows->init));
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

void nest_product(const NestCode *n, const Contraction *c)
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
        .one_row = n->one_step && n->one_row && c->m == 1,
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
    if (nest_is_split(n) && n->nest->split == SPLIT_M)
        split_rows(n, c, &p);
    if (nest_is_split(n) && n->nest->split == SPLIT_N) {
        Part part = nest_part(n, 0, c->n);
        p.n_begin = part.first;
        p.n_end = part.end;
    }
    emit_product_if_any(n, &p, access_buffer(e, &c->c)->home);
}

/* ---- sums over points of products ---- */

/* The points: steps, rows, k. */
static void product_points(const NestCode *n, const Contraction *c, ProductSum *p)
{
    Ir *ir = n->ir;
    if (n->nest->sum & AXIS_TIME)
        p->dim[p->n_dim++] = (ProductPoints){chunk_steps(n->e), step_stride(n, &c->a),
                                             step_stride(n, &c->b)};
    if (n->nest->sum & AXIS_ROW)
        p->dim[p->n_dim++] =
            (ProductPoints){chunk_rows(n->e), row_stride(n, &c->a), row_stride(n, &c->b)};
    if (c->k > 1 || p->n_dim == 0)
        p->dim[p->n_dim++] = (ProductPoints){ir_int(ir, c->k), ir_int(ir, c->a.stride[2]),
                                             ir_int(ir, c->b.stride[2])};
}

static void split_sum(const NestCode *n, const Contraction *c, ProductSum *p)
{
    if (!nest_is_split(n))
        return;
    bool columns = n->nest->split == SPLIT_N;
    Part part = nest_part(n, 0, columns ? c->n : c->m);
    *(columns ? &p->n_begin : &p->m_begin) = part.first;
    *(columns ? &p->n_end : &p->m_end) = part.end;
}

void nest_product_sum(const NestCode *n, const Contraction *c)
{
    Emitter *e = n->e;
    LLVMValueRef zero = ir_int(n->ir, 0);
    ProductSum p = {
        .n_batch = c->n_batch,
        .m = c->m,
        .n = c->n,
        .a = access_address(e, &c->a, zero, zero),
        .b = access_address(e, &c->b, zero, zero),
        .c = access_address(e, &c->c, NULL, NULL),
        .init = c->has_init ? access_address(e, &c->init, NULL, NULL) : NULL,
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
    if (!nest_is_split(n)) {
        product_sum_emit(n->ir, &p);
        return;
    }
    bool columns = p.n_begin != NULL;
    IrIf any = ir_if(n->ir, ir_less(n->ir, columns ? p.n_begin : p.m_begin,
                                    columns ? p.n_end : p.m_end));
    product_sum_emit(n->ir, &p);
    ir_endif(n->ir, &any);
}
