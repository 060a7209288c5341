/*
 * test_product.c — products, sums over points and packing, compiled and run.
 *
 * Each result must have the very bits of its chains of fma in the order of k, added up as
 * its tiling says, whatever the number of rows and however rows and columns are split; a
 * sum in long double says that they are right within their bound. Buffers end at a page
 * that may not be touched, then begin behind one; elements between rows must stay as they
 * were. Compiled once for floats, once for doubles.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "emit/product.h"
#include "passes/tile.h"

#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "jit.h"
#include "level.h"
#include "real.h"

enum { MAX_CASE = 64, N_ARGUMENT = 8 };
static const real untouched = 12345;

typedef void Compiled(const real *a, const real *b, real *c, const real *init,
                      const int64_t *argument);

/* ---- buffers between forbidden pages ---- */

typedef struct {
    char *map;
    size_t map_bytes;
    real *at;
    int64_t n;
} Guarded;

static Guarded guarded_new(int64_t n, bool at_end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (size_t)n * sizeof(real);
    size_t inside = (bytes + page - 1) / page * page;
    Guarded g = {.map_bytes = inside + 2 * page, .n = n};
    g.map = mmap(NULL, g.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map + page, inside, PROT_READ | PROT_WRITE) != 0)
        exit(1);
    g.at = (real *)(void *)(g.map + page + (at_end ? inside - bytes : 0));
    return g;
}

static void guarded_free(Guarded *g) { munmap(g->map, g->map_bytes); }

/* Between -1 and 1, of as many digits as a real has. */
static void fill_random(real *p, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        p[i] = (real)((double)(int64_t)seed * 0x1p-63);
    }
}

static Guarded guarded_random(int64_t n, bool at_end, uint64_t seed)
{
    Guarded g = guarded_new(n, at_end);
    fill_random(g.at, n, seed);
    return g;
}

/* ---- products ---- */

typedef enum { INIT_NONE, INIT_OWN, INIT_ALL_ROWS, INIT_SPREAD, INIT_C } InitKind;

typedef struct {
    int64_t n_batch, n, k;
    int vectors; /* of a panel */
    int64_t m, a_k;
    InitKind init;
    int64_t pad;   /* elements between rows, between steps, … */
    bool constant; /* counts known when compiled: those of the first run */
    int chains;    /* of each element; 0: one */
    bool turns;    /* odd numbers of steps from the last panel, or chain, to the first */
} ProductCase;

static const ProductCase product_cases[] = {
    {1, 32, 16, 2, 1, 1, INIT_NONE, 0, false, 0, false},
    {1, 512, 24, 2, 1, 1, INIT_ALL_ROWS, 3, false, 0, false},
    {1, 1, 1, 1, 1, 1, INIT_NONE, 0, false, 0, false},
    {1, 1, 3, 2, 1, 1, INIT_OWN, 1, false, 0, false},
    {1, 3, 20, 1, 1, 1, INIT_C, 2, false, 0, false},
    {1, 20, 3, 2, 1, 1, INIT_OWN, 0, false, 0, false},
    {1, 65, 17, 2, 1, 1, INIT_SPREAD, 5, false, 0, false},
    {1, 40, 7, 2, 1, 2, INIT_C, 1, false, 0, false},
    {3, 19, 5, 2, 1, 1, INIT_OWN, 1, false, 0, false},
    {2, 33, 9, 2, 7, 1, INIT_OWN, 2, false, 0, false},
    {1, 130, 11, 2, 3, 1, INIT_ALL_ROWS, 0, false, 0, false},
    {1, 72, 33, 1, 13, 3, INIT_C, 4, false, 0, false},
    {4, 8, 8, 1, 5, 1, INIT_SPREAD, 0, false, 0, false},
    {1, 1, 40, 1, 20, 1, INIT_SPREAD, 0, false, 0, false},
    {1, 70, 12, 2, 1, 1, INIT_OWN, 1, true, 0, false},
    {1, 100, 31, 2, 19, 1, INIT_NONE, 0, true, 0, false},
    {2, 17, 4, 1, 2, 1, INIT_C, 0, true, 0, false},
    {1, 5, 16, 1, 1, 1, INIT_OWN, 0, false, 2, false},
    {1, 20, 67, 2, 1, 1, INIT_ALL_ROWS, 1, false, 4, false},
    {2, 40, 33, 2, 3, 2, INIT_C, 1, false, 4, false},
    {1, 150, 19, 2, 1, 1, INIT_NONE, 0, false, 2, true},
    {1, 32, 64, 2, 1, 1, INIT_OWN, 2, false, 4, true},
    {2, 13, 48, 1, 1, 3, INIT_C, 1, true, 4, true},
    {1, 16, 51, 1, 1, 1, INIT_SPREAD, 0, false, 4, true},
    {1, 35, 257, 2, 1, 1, INIT_OWN, 1, false, 0, false},
    {1, 18, 515, 1, 1, 1, INIT_NONE, 0, false, 0, false},
    {2, 33, 257, 2, 2, 2, INIT_C, 0, true, 0, false},
    {1, 3, 700, 2, 1, 1, INIT_ALL_ROWS, 0, false, 0, false},
    {1, 5, 513, 1, 3, 1, INIT_SPREAD, 0, true, 0, false},
};

/* The grid as run: steps, rows, m. */
typedef struct {
    int64_t steps, rows;
} Grid;
static const Grid first_grid = {2, 3};
enum { MAX_ROWS = 20, MAX_STEPS = 9 };

/* Strides that every grid up to MAX_STEPS x MAX_ROWS fits into. */
typedef struct {
    int64_t a_m, a_row, a_step, a_batch;
    int64_t c_m, c_row, c_step, c_batch;
    int64_t init_m, init_row, init_step, init_batch, init_n;
} Strides;

static int64_t a_extent(const ProductCase *t) { return (t->k - 1) * t->a_k + 1; }

static Strides strides_of(const ProductCase *t)
{
    Strides s = {.a_m = a_extent(t) + t->pad, .c_m = t->n + t->pad, .init_n = 1};
    s.a_row = t->m * s.a_m + t->pad;
    s.a_step = MAX_ROWS * s.a_row + t->pad;
    s.a_batch = MAX_STEPS * s.a_step;
    s.c_row = t->m * s.c_m;
    s.c_step = MAX_ROWS * s.c_row + t->pad;
    s.c_batch = MAX_STEPS * s.c_step;
    if (t->init == INIT_ALL_ROWS) { /* a bias */
        s.init_batch = t->n;
        return s;
    }
    s.init_m = t->init == INIT_SPREAD ? 1 : s.c_m;
    s.init_row = t->init == INIT_SPREAD ? t->m : s.c_row;
    s.init_step = t->init == INIT_SPREAD ? t->m * MAX_ROWS : s.c_step;
    s.init_batch = t->init == INIT_SPREAD ? s.init_step * MAX_STEPS : s.c_batch;
    s.init_n = t->init == INIT_SPREAD ? 0 : 1;
    return s;
}

/* (steps, rows, n_begin, n_end) */
static LLVMValueRef argument(Ir *ir, int i)
{
    return ir_load(ir, ir->i64, ir_at(ir, ir->i64, ir_param(ir, 4), ir_int(ir, i)));
}

static IrPlace begin_function(Ir *ir, const char *name)
{
    const LLVMTypeRef type[] = {ir->ptr, ir->ptr, ir->ptr, ir->ptr, ir->ptr};
    return ir_begin(ir, ir_declare(ir, name, ir->none, COUNT(type), type));
}

static Tiling product_tiling(const ProductCase *t, const PlanTarget *facts)
{
    int chains = t->chains ? t->chains : 1;
    Tiling g =
        tiling_of_product(facts, t->vectors * facts->vector, t->n, t->k, chains, t->turns);
    g.ahead = chains == 1; /* of small panels too: it must change nothing */
    return g;
}

static void build_product(Ir *ir, const Target *target, const ProductCase *t,
                          const char *name)
{
    IrPlace place = begin_function(ir, name);
    Strides s = strides_of(t);
    bool init = t->init != INIT_NONE;
    const PlanTarget facts = target_facts(target, real_dtype);
    Product p = {
        .n_batch = t->n_batch,
        .n = t->n,
        .k = t->k,
        .panel = t->vectors * facts.vector,
        .tiling = product_tiling(t, &facts),
        .a = ir_param(ir, 0),
        .b = ir_param(ir, 1),
        .c = ir_param(ir, 2),
        .init = !init ? NULL : ir_param(ir, t->init == INIT_C ? 2 : 3),
        .a_batch = s.a_batch,
        .a_k = t->a_k,
        .c_batch = s.c_batch,
        .init_batch = s.init_batch,
        .init_n = s.init_n,
        .n_dim = 3,
        .dim = {{t->constant ? ir_int(ir, first_grid.steps) : argument(ir, 0),
                 ir_int(ir, s.a_step), ir_int(ir, s.c_step), ir_int(ir, s.init_step)},
                {t->constant ? ir_int(ir, first_grid.rows) : argument(ir, 1),
                 ir_int(ir, s.a_row), ir_int(ir, s.c_row), ir_int(ir, s.init_row)},
                {ir_int(ir, t->m), ir_int(ir, s.a_m), ir_int(ir, s.c_m),
                 ir_int(ir, s.init_m)}},
    };
    if (!t->constant)
        p.n_begin = argument(ir, 2), p.n_end = argument(ir, 3);
    if (t->turns)
        p.reversed = LLVMBuildTrunc(ir->builder, argument(ir, 0), ir->i1, "");
    product_emit(ir, &p);
    ir_end(ir, place, NULL);
}

/* Everything that one run of a product touches; init and c as they were before. */
typedef struct {
    Guarded a, b, c, init;
    real *before;
} Operands;

static int64_t size_for(int64_t batches, int64_t batch, Grid g, int64_t step, int64_t row,
                        int64_t m, int64_t m_stride, int64_t last)
{
    return (batches - 1) * batch + (g.steps - 1) * step + (g.rows - 1) * row +
           (m - 1) * m_stride + last;
}

static Operands operands_new(const ProductCase *t, int panel, Grid g, bool at_end)
{
    Strides s = strides_of(t);
    Operands o;
    o.a = guarded_random(
        size_for(t->n_batch, s.a_batch, g, s.a_step, s.a_row, t->m, s.a_m, a_extent(t)),
        at_end, 1);
    o.b = guarded_random(pack_elements(t->n_batch, t->n, t->k, panel), at_end, 2);
    o.c = guarded_random(
        size_for(t->n_batch, s.c_batch, g, s.c_step, s.c_row, t->m, s.c_m, t->n), at_end,
        3);
    o.init = guarded_random(size_for(t->n_batch, s.init_batch, g, s.init_step, s.init_row,
                                     t->m, s.init_m, s.init_n ? t->n : 1),
                            at_end, 4);
    o.before = malloc((size_t)o.c.n * sizeof(real));
    memcpy(o.before, o.c.at, (size_t)o.c.n * sizeof(real));
    return o;
}

static void operands_free(Operands *o)
{
    guarded_free(&o->a), guarded_free(&o->b), guarded_free(&o->c), guarded_free(&o->init);
    free(o->before);
}

/* One chain of reals, and what tells whether it is near enough to the exact sum. */
typedef struct {
    real value;
    long double exact, magnitude;
    int64_t n;
} Chain;

static void chain_add(Chain *x, real a, real b)
{
    x->value = real_fma(a, b, x->value);
    x->exact += (long double)a * b;
    x->magnitude += fabsl((long double)a * b);
    x->n++;
}

static Chain chain_of(real init) { return (Chain){init, init, fabsl(init), 0}; }

/* x += y, and y is to begin anew. */
static void chain_join(Chain *x, Chain *y)
{
    x->value += y->value;
    x->exact += y->exact;
    x->magnitude += y->magnitude;
    x->n += y->n + 1;
    *y = chain_of(0);
}

/* Each of n roundings is of a sum that is no larger than the magnitude. */
static bool chain_is_near(const Chain *x)
{
    return fabsl(x->value - x->exact) <=
           (long double)x->n * (long double)REAL_UNIT * x->magnitude;
}

/* The blocks of k, or the runs of chains added up in pairs: 0 + 4, 1 + 5 …, then 0 + 2,
   1 + 3 … */
static Chain product_element(const ProductCase *t, int64_t block, const real *a,
                             const real *b, int panel, real init)
{
    enum { MAX_CHAINS = 4 };
    Chain x[MAX_CHAINS] = {{0}}, sum = chain_of(init);
    int64_t chains = t->chains ? t->chains : 1, run = (t->k + chains - 1) / chains;
    for (int64_t k = 0; k < t->k; k++) {
        if (k > 0 && k % block == 0)
            chain_join(&sum, &x[0]);
        chain_add(&x[k / run], a[k * t->a_k], b[k * panel]);
    }
    for (int64_t half = chains / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            chain_join(&x[i], &x[i + half]);
    chain_join(&sum, &x[0]);
    return sum;
}

/* Puts what is expected into o->before and compares all of c with it. */
static void check_product(const ProductCase *t, int number, const PlanTarget *facts, Grid g,
                          Operands *o, const char *how)
{
    int panel = t->vectors * facts->vector;
    Strides s = strides_of(t);
    int64_t worst = -1;
    bool near = true;
    int64_t block = product_tiling(t, facts).block;
    for (int64_t i = 0; i < t->n_batch * g.steps * g.rows * t->m * t->n; i++) {
        int64_t n = i % t->n, m = i / t->n % t->m, row = i / t->n / t->m % g.rows,
                step = i / t->n / t->m / g.rows % g.steps,
                batch = i / t->n / t->m / g.rows / g.steps;
        const real *a =
            o->a.at + batch * s.a_batch + step * s.a_step + row * s.a_row + m * s.a_m;
        const real *b = o->b.at + pack_elements(batch, t->n, t->k, panel) +
                        n / panel * panel * t->k + n % panel;
        real *c =
            o->before + batch * s.c_batch + step * s.c_step + row * s.c_row + m * s.c_m + n;
        const real *init = t->init == INIT_C
                               ? c
                               : o->init.at + batch * s.init_batch + step * s.init_step +
                                     row * s.init_row + m * s.init_m + n * s.init_n;
        Chain x = product_element(t, block, a, b, panel, t->init == INIT_NONE ? 0 : *init);
        *c = x.value;
        near = near && chain_is_near(&x);
    }
    for (int64_t i = 0; i < o->c.n && worst < 0; i++)
        if (memcmp(&o->before[i], &o->c.at[i], sizeof(real)) != 0)
            worst = i;
    CHECK(near, "case %d: the chain is far from the sum", number);
    CHECK(worst < 0,
          "case %d, %s, %lld steps, %lld rows: element %lld is %.17g, expected %.17g",
          number, how, (long long)g.steps, (long long)g.rows, (long long)worst,
          (double)o->c.at[worst < 0 ? 0 : worst], (double)o->before[worst < 0 ? 0 : worst]);
}

/* Columns in as many parts as threads, rows in two. */
static void run_split(const ProductCase *t, Compiled *f, int panel, Grid g, Operands *o,
                      int parts)
{
    Strides s = strides_of(t);
    int64_t panels = (t->n + panel - 1) / panel, cut = parts > 1 ? g.rows / 2 : 0;
    for (int part = 0; part < parts; part++) {
        int64_t begin = panels * part / parts * panel,
                end = panels * (part + 1) / parts * panel;
        end = end < t->n ? end : t->n;
        if (begin >= end)
            continue;
        if (cut > 0)
            f(o->a.at, o->b.at, o->c.at, o->init.at,
              (int64_t[N_ARGUMENT]){g.steps, cut, begin, end});
        f(o->a.at + cut * s.a_row, o->b.at, o->c.at + cut * s.c_row,
          o->init.at + cut * s.init_row,
          (int64_t[N_ARGUMENT]){g.steps, g.rows - cut, begin, end});
    }
}

static void run_product(const ProductCase *t, int number, const Target *target, Compiled *f,
                        Grid g)
{
    const PlanTarget facts = target_facts(target, real_dtype);
    int panel = t->vectors * facts.vector;
    for (int at_end = 0; at_end < 2; at_end++)
        for (int parts = 1; parts <= (t->constant ? 1 : 3); parts++) {
            Operands o = operands_new(t, panel, g, at_end);
            run_split(t, f, panel, g, &o, parts);
            check_product(t, number, &facts, g, &o, parts == 1 ? "whole" : "split");
            operands_free(&o);
        }
}

static void test_products_are_chains_of_fma_for_every_number_of_rows(const Target *target,
                                                                     LLVMOrcLLJITRef jit)
{
    for (int i = 0; i < COUNT(product_cases); i++) {
        const ProductCase *t = &product_cases[i];
        char name[32];
        snprintf(name, sizeof name, "product%d", i);
        Compiled *f = (Compiled *)jit_address(jit, name);
        run_product(t, i, target, f, first_grid);
        for (int64_t rows = 1; !t->constant && rows <= MAX_ROWS; rows++) {
            run_product(t, i, target, f, (Grid){1, rows});
            run_product(t, i, target, f, (Grid){1 + rows * 5 % MAX_STEPS, rows});
        }
    }
}

/* ---- sums over points ---- */

typedef struct {
    int64_t n_batch, m, n, k;
    bool a_across, b_across; /* m, n not contiguous: the k features are */
    InitKind init;
    bool gaps; /* between steps */
    int64_t l2_bytes;
    int64_t point; /* how far apart the plan takes points for: if FAR, a goes into panels */
} SumCase;

/* TWO: a quarter of it holds two panels of a block of a, SMALL not one. */
enum { NEAR = 1, FAR = 1 << 16, SMALL = 4 << 10, TWO = 160 << 10 };

static const SumCase sum_cases[] = {
    {1, 16, 32, 1, false, false, INIT_NONE, false, SMALL, NEAR},
    {1, 50, 70, 1, false, false, INIT_C, true, SMALL, NEAR},
    {1, 1, 1, 1, false, false, INIT_NONE, true, SMALL, NEAR},
    {1, 7, 3, 1, false, false, INIT_OWN, false, SMALL, NEAR},
    {3, 5, 20, 1, false, false, INIT_NONE, true, SMALL, NEAR},
    {1, 9, 21, 4, true, true, INIT_C, true, SMALL, NEAR},
    {2, 6, 17, 3, false, false, INIT_OWN, false, SMALL, NEAR},
    {1, 13, 40, 5, true, false, INIT_NONE, true, SMALL, NEAR},
    {1, 20, 8, 2, false, true, INIT_SPREAD, false, SMALL, NEAR},
    {1, 150, 70, 1, false, false, INIT_C, true, TWO, FAR},
    {2, 49, 130, 1, false, true, INIT_OWN, false, SMALL, FAR},
    {1, 101, 66, 3, false, false, INIT_NONE, true, TWO, FAR},
};

/* Strides of an operand with `size` features, k features and batches inside a point. */
typedef struct {
    int64_t feature, k, batch, row, step;
} SumOperand;

static SumOperand sum_operand(const SumCase *t, int64_t size, bool across, int64_t rows_max)
{
    SumOperand o = {.feature = across ? t->k : 1, .k = across ? 1 : size};
    o.batch = size * t->k;
    o.row = o.batch * t->n_batch + (t->gaps ? 3 : 0);
    o.step = o.row * rows_max + (t->gaps ? 5 : 0);
    return o;
}

enum { SUM_ROWS_MAX = 300 };

static Tiling sum_tiling(const SumCase *t, const Target *target)
{
    PlanTarget facts = target_facts(target, real_dtype);
    facts.l2_bytes = t->l2_bytes; /* some results fill it and are fetched ahead */
    return tiling_of_sum(&facts, t->m, t->n,
                         sum_operand(t, t->m, t->a_across, SUM_ROWS_MAX).feature, t->point);
}

static void build_sum(Ir *ir, const Target *target, const SumCase *t, const char *name)
{
    IrPlace place = begin_function(ir, name);
    SumOperand a = sum_operand(t, t->m, t->a_across, SUM_ROWS_MAX),
               b = sum_operand(t, t->n, t->b_across, SUM_ROWS_MAX);
    ProductSum p = {
        .n_batch = t->n_batch,
        .m = t->m,
        .n = t->n,
        .a = ir_param(ir, 0),
        .b = ir_param(ir, 1),
        .c = ir_param(ir, 2),
        .init = t->init == INIT_NONE ? NULL : ir_param(ir, t->init == INIT_C ? 2 : 3),
        .a_batch = a.batch,
        .b_batch = b.batch,
        .c_batch = t->m * (t->n + 2),
        .init_batch = t->m * (t->n + 2),
        .a_m = a.feature,
        .b_n = b.feature,
        .c_m = t->n + 2,
        .init_m = t->n + 2,
        .init_n = t->init == INIT_SPREAD ? 0 : 1,
        .tiling = sum_tiling(t, target),
        .n_dim = 3,
        .dim = {{argument(ir, 0), ir_int(ir, a.step), ir_int(ir, b.step)},
                {argument(ir, 1), argument(ir, 6), argument(ir, 7)},
                {ir_int(ir, t->k), ir_int(ir, a.k), ir_int(ir, b.k)}},
        .m_begin = argument(ir, 2),
        .m_end = argument(ir, 3),
        .n_begin = argument(ir, 4),
        .n_end = argument(ir, 5),
    };
    product_sum_emit(ir, &p);
    ir_end(ir, place, NULL);
}

/* Does a block begin at this point? Blocks are of the inner two dimensions: of steps and
   rows, or rows and k; one run where they lie so. */
static bool begins_block(const SumCase *t, int64_t block, Grid g, int64_t step, int64_t row,
                         int64_t k)
{
    SumOperand a = sum_operand(t, t->m, t->a_across, SUM_ROWS_MAX),
               b = sum_operand(t, t->n, t->b_across, SUM_ROWS_MAX);
    int64_t outer = row, inner = k, n_inner = t->k;
    if (t->k == 1) {
        if (g.rows == 1 || (a.step == g.rows * a.row && b.step == g.rows * b.row))
            return (step * g.rows + row) % block == 0;
        outer = step, inner = row, n_inner = g.rows;
    }
    int64_t fit = n_inner < block ? block / n_inner : 1;
    return inner % block == 0 && (inner > 0 || outer % fit == 0);
}

static void check_sum(const SumCase *t, int number, int64_t block, Grid g, Operands *o,
                      const char *how)
{
    SumOperand a = sum_operand(t, t->m, t->a_across, SUM_ROWS_MAX),
               b = sum_operand(t, t->n, t->b_across, SUM_ROWS_MAX);
    int64_t worst = -1;
    bool near = true;
    for (int64_t i = 0; i < t->n_batch * t->m * t->n; i++) {
        int64_t n = i % t->n, m = i / t->n % t->m, batch = i / t->n / t->m;
        int64_t row = (batch * t->m + m) * (t->n + 2);
        real *c = o->before + row + n;
        const real *init = o->init.at + row + (t->init == INIT_SPREAD ? 0 : n);
        Chain sum = chain_of(t->init == INIT_NONE ? 0 : t->init == INIT_C ? *c : *init);
        Chain x = chain_of(0);
        for (int64_t j = 0; j < g.steps * g.rows * t->k; j++) {
            int64_t k = j % t->k, r = j / t->k % g.rows, step = j / t->k / g.rows;
            if (j > 0 && begins_block(t, block, g, step, r, k))
                chain_join(&sum, &x);
            chain_add(&x,
                      o->a.at[batch * a.batch + step * a.step + r * a.row + m * a.feature +
                              k * a.k],
                      o->b.at[batch * b.batch + step * b.step + r * b.row + n * b.feature +
                              k * b.k]);
        }
        chain_join(&sum, &x);
        *c = sum.value;
        near = near && chain_is_near(&sum);
    }
    for (int64_t i = 0; i < o->c.n && worst < 0; i++)
        if (memcmp(&o->before[i], &o->c.at[i], sizeof(real)) != 0)
            worst = i;
    CHECK(near, "case %d: the chain is far from the sum", number);
    CHECK(worst < 0,
          "sum %d, %s, %lld x %lld points: element %lld is %.17g, expected %.17g", number,
          how, (long long)g.steps, (long long)g.rows, (long long)worst,
          (double)o->c.at[worst < 0 ? 0 : worst], (double)o->before[worst < 0 ? 0 : worst]);
}

static Operands sum_operands_new(const SumCase *t, Grid g, bool at_end)
{
    SumOperand a = sum_operand(t, t->m, t->a_across, SUM_ROWS_MAX),
               b = sum_operand(t, t->n, t->b_across, SUM_ROWS_MAX);
    int64_t c_size = t->n_batch * t->m * (t->n + 2) - 2;
    Operands o = {
        .a = guarded_random((g.steps - 1) * a.step + (g.rows - 1) * a.row +
                                t->n_batch * a.batch,
                            at_end, 5),
        .b = guarded_random((g.steps - 1) * b.step + (g.rows - 1) * b.row +
                                t->n_batch * b.batch,
                            at_end, 6),
        .c = guarded_random(c_size, at_end, 7),
        .init = guarded_random(c_size, at_end, 8),
    };
    o.before = malloc((size_t)c_size * sizeof(real));
    memcpy(o.before, o.c.at, (size_t)c_size * sizeof(real));
    return o;
}

/* m in `m_parts`, n in `n_parts` whole tiles. */
static void run_sum(const SumCase *t, int number, const Target *target, Compiled *f, Grid g,
                    int m_parts, int n_parts)
{
    int64_t width = (int64_t)target->tile_vectors * target_lanes(target, real_dtype),
            tiles = (t->n + width - 1) / width;
    SumOperand a = sum_operand(t, t->m, t->a_across, SUM_ROWS_MAX),
               b = sum_operand(t, t->n, t->b_across, SUM_ROWS_MAX);
    Operands o = sum_operands_new(t, g, (m_parts + n_parts) % 2);
    for (int i = 0; i < m_parts * n_parts; i++) {
        int64_t mp = i / n_parts, np = i % n_parts,
                n_end = tiles * (np + 1) / n_parts * width;
        const int64_t argument_value[N_ARGUMENT] = {
            g.steps,
            g.rows,
            t->m * mp / m_parts,
            t->m * (mp + 1) / m_parts,
            tiles * np / n_parts * width,
            n_end < t->n ? n_end : t->n,
            a.row,
            b.row,
        };
        if (argument_value[4] < argument_value[5])
            f(o.a.at, o.b.at, o.c.at, o.init.at, argument_value);
    }
    check_sum(t, number, sum_tiling(t, target).block, g, &o,
              m_parts * n_parts == 1 ? "whole" : "split");
    operands_free(&o);
}

static void test_sums_over_points_are_chains_in_the_points_order(const Target *target,
                                                                 LLVMOrcLLJITRef jit)
{
    static const Grid grids[] = {{1, 1},   {1, 7},   {70, 1},  {5, 3},   {64, 5},
                                 {3, 130}, {2, 257}, {1, 300}, {2, 256}, {4, 300}};
    for (int i = 0; i < COUNT(sum_cases); i++) {
        char name[32];
        snprintf(name, sizeof name, "sum%d", i);
        Compiled *f = (Compiled *)jit_address(jit, name);
        for (int g = 0; g < COUNT(grids); g++)
            for (int parts = 1; parts <= 3; parts++) {
                run_sum(&sum_cases[i], i, target, f, grids[g], parts, 1);
                run_sum(&sum_cases[i], i, target, f, grids[g], 1, parts);
            }
    }
}

/* ---- packing ---- */

typedef struct {
    int64_t n_batch, n, k;
    int vectors;
    int64_t from_n, from_k, from_batch;
} PackCase;

static const PackCase pack_cases[] = {
    {1, 512, 128, 2, 128, 1, 0}, {1, 128, 64, 2, 1, 128, 0}, {1, 1, 1, 1, 1, 1, 0},
    {1, 65, 19, 2, 19, 1, 0},    {1, 65, 19, 2, 1, 67, 0},   {3, 20, 9, 1, 9, 1, 181},
    {3, 20, 9, 2, 1, 20, 180},   {2, 21, 5, 2, 10, 2, 211},  {1, 7, 40, 2, 41, 1, 0},
    {1, 16, 16, 1, 16, 1, 0},    {1, 33, 3, 2, 3, 1, 0},
};

static void build_pack(Ir *ir, const Target *target, const PackCase *t, const char *name)
{
    IrPlace place = begin_function(ir, name);
    pack_emit(ir, &(Pack){
                      .n_batch = t->n_batch,
                      .n = t->n,
                      .k = t->k,
                      .panel = t->vectors * target_lanes(target, real_dtype),
                      .from = ir_param(ir, 0),
                      .to = ir_param(ir, 2),
                      .from_batch = t->from_batch,
                      .from_n = t->from_n,
                      .from_k = t->from_k,
                      .begin = argument(ir, 0),
                      .end = argument(ir, 1),
                  });
    ir_end(ir, place, NULL);
}

static real packed_element(const PackCase *t, int panel, const real *from, int64_t i)
{
    int64_t panels = pack_panels(1, t->n, panel);
    int64_t k = i / panel % t->k, p = i / panel / t->k % panels,
            batch = i / panel / t->k / panels, n = p * panel + i % panel;
    return n < t->n ? from[batch * t->from_batch + n * t->from_n + k * t->from_k] : 0;
}

static void run_pack(const PackCase *t, int number, const Target *target, Compiled *f,
                     int parts, bool at_end)
{
    int panel = t->vectors * target_lanes(target, real_dtype);
    int64_t panels = pack_panels(t->n_batch, t->n, panel), wrong = -1;
    Guarded from = guarded_random((t->n_batch - 1) * t->from_batch +
                                      (t->n - 1) * t->from_n + (t->k - 1) * t->from_k + 1,
                                  at_end, 9);
    Guarded to = guarded_new(pack_elements(t->n_batch, t->n, t->k, panel), at_end);
    for (int64_t i = 0; i < to.n; i++)
        to.at[i] = untouched;
    for (int part = 0; part < parts; part++)
        f(from.at, NULL, to.at, NULL,
          (int64_t[N_ARGUMENT]){panels * part / parts, panels * (part + 1) / parts});
    for (int64_t i = 0; i < to.n && wrong < 0; i++)
        if (to.at[i] != packed_element(t, panel, from.at, i))
            wrong = i;
    CHECK(wrong < 0, "pack %d in %d parts: element %lld is %g, expected %g", number, parts,
          (long long)wrong, (double)to.at[wrong < 0 ? 0 : wrong],
          (double)packed_element(t, panel, from.at, wrong < 0 ? 0 : wrong));
    guarded_free(&from), guarded_free(&to);
}

static void test_packing_pads_panels_with_zeros(const Target *target, LLVMOrcLLJITRef jit)
{
    for (int i = 0; i < COUNT(pack_cases); i++) {
        char name[32];
        snprintf(name, sizeof name, "pack%d", i);
        Compiled *f = (Compiled *)jit_address(jit, name);
        for (int parts = 1; parts <= 3; parts++)
            for (int at_end = 0; at_end < 2; at_end++)
                run_pack(&pack_cases[i], i, target, f, parts, at_end);
    }
}

/* ---- all of them in one module ---- */

static void build_all(Ir *ir, const Target *target)
{
    char name[32];
    for (int i = 0; i < COUNT(product_cases); i++) {
        snprintf(name, sizeof name, "product%d", i);
        build_product(ir, target, &product_cases[i], name);
    }
    for (int i = 0; i < COUNT(sum_cases); i++) {
        snprintf(name, sizeof name, "sum%d", i);
        build_sum(ir, target, &sum_cases[i], name);
    }
    for (int i = 0; i < COUNT(pack_cases); i++) {
        snprintf(name, sizeof name, "pack%d", i);
        build_pack(ir, target, &pack_cases[i], name);
    }
    jit_verify(ir);
}

static bool has_word(const char *text, const char *const *word, int n)
{
    for (int i = 0; i < n; i++)
        if (strstr(text, word[i]))
            return true;
    return false;
}

/* What a basic block of assembly has. */
typedef struct {
    int n_spill;
    bool multiplies;
} Block;

/* A line of assembly with comments, which say what saves or fetches a register that did not
   find room. Returns the spills of a block that multiplies, at its end. */
static int take_line(Block *b, const char *line)
{
    static const char *const begins[] = {".LBB", "%bb."},
                             *const spill[] = {"Spill", "Reload"},
                             *const vector[] = {"%ymm", "%zmm", "\tq"},
                             *const multiply[] = {"vfmadd", "\tfmla"};
    if (line[0] != '\t' && has_word(line, begins, COUNT(begins))) {
        int n_spill = b->multiplies ? b->n_spill : 0;
        *b = (Block){0};
        return n_spill;
    }
    b->n_spill +=
        has_word(line, spill, COUNT(spill)) && has_word(line, vector, COUNT(vector));
    b->multiplies |= has_word(line, multiply, COUNT(multiply));
    return 0;
}

static int count_spills(const char *p, const char *end)
{
    Block block = {0};
    int n_spill = 0;
    while (p < end) {
        char line[256];
        const char *next = memchr(p, '\n', (size_t)(end - p));
        snprintf(line, sizeof line, "%.*s", (int)((next ? next : end) - p), p);
        n_spill += take_line(&block, line);
        p = next ? next + 1 : end;
    }
    return n_spill + take_line(&block, ".LBB");
}

/* One register too many costs half the speed: a target's tile must fit its registers. What
   is set aside around the sums, as the mask of the last columns is, costs nothing. */
static void check_no_spills(LLVMTargetMachineRef machine, const Ir *ir,
                            const Target *target)
{
    char *why = NULL;
    LLVMMemoryBufferRef text = NULL;
    LLVMModuleRef copy = LLVMCloneModule(ir->module);
    LLVMSetTargetMachineAsmVerbosity(machine, true);
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, copy, LLVMAssemblyFile, &why, &text))
        jit_stop(target->name, why);
    const char *p = LLVMGetBufferStart(text);
    int n_spill = count_spills(p, p + LLVMGetBufferSize(text));
    CHECK(n_spill == 0, "%s: %d vector registers spilled among multiplications",
          target->name, n_spill);
    LLVMDisposeMemoryBuffer(text);
    LLVMDisposeModule(copy);
}

/* Other levels than the host's can at least be compiled. */
static void test_products_compile_without_spills_for_every_target(void)
{
    for (int i = 0; i < n_target; i++) {
        Ir ir;
        char *why = NULL;
        LLVMMemoryBufferRef object = NULL;
        LLVMTargetMachineRef machine = jit_open(&ir, &targets[i], real_dtype);
        build_all(&ir, &targets[i]);
        check_no_spills(machine, &ir, &targets[i]);
        bool failed = LLVMTargetMachineEmitToMemoryBuffer(machine, ir.module,
                                                          LLVMObjectFile, &why, &object);
        CHECK(!failed, "%s: %s", targets[i].name, why);
        if (!failed)
            LLVMDisposeMemoryBuffer(object);
        LLVMDisposeTargetMachine(machine);
        ir_close(&ir);
    }
}

static void run_target(const Target *target)
{
    Ir ir;
    size_t n_bytes;
    LLVMTargetMachineRef machine = jit_open(&ir, target, real_dtype);
    build_all(&ir, target);
    LLVMOrcLLJITRef jit = jit_link(&ir, machine, &n_bytes);
    test_products_are_chains_of_fma_for_every_number_of_rows(target, jit);
    test_sums_over_points_are_chains_in_the_points_order(target, jit);
    test_packing_pads_panels_with_zeros(target, jit);
    jit_check("end", LLVMOrcDisposeLLJIT(jit));
}

int main(void)
{
    const char *why;
    const Target *target = level_to_run(&why);
    test_products_compile_without_spills_for_every_target();
    if (!target)
        return check_failed ? check_result() : check_skip(why);
    run_target(target);
    return check_result();
}
