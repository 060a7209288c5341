/*
 * bench_product.c — what share of the multipliers' peak the products reach.
 *
 *     bench_product [TARGET [ROWS VECTORS]] [-S FILE]
 *
 * The peak is measured in the same run, before and after each product, by a loop of
 * independent fma. Times are those of the processor; what shares the core (another
 * hyperthread) still shows, so the best of many runs counts. ROWS x VECTORS is another tile
 * than the target's own. With -S the assembly is written and nothing is run: for targets
 * that this machine is not.
 */
#define _DEFAULT_SOURCE /* madvise */
#include "emit/product.h"
#include "passes/tile.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "jit.h"

typedef void Compiled(const float *a, const float *b, float *c);

typedef enum { KIND_PRODUCT, KIND_SUM, KIND_PACK } Kind;

typedef struct {
    const char *name;
    Kind kind;
    int64_t steps, rows, n, k; /* a sum's m is k; packing: from [n][k], or [k][n] */
    bool across;               /* packing: from [n][k] */
} Case;

static const Case cases[] = {
    {"W2 recurrent, a thread's rows", KIND_PRODUCT, 1, 16, 512, 128, false},
    {"W2 recurrent, all rows", KIND_PRODUCT, 1, 32, 512, 128, false},
    {"W5 recurrent", KIND_PRODUCT, 1, 16, 768, 256, false},
    {"W2 input projection", KIND_PRODUCT, 64, 32, 512, 64, false},
    {"W2 dx", KIND_PRODUCT, 64, 32, 64, 512, false},
    {"W4 recurrent", KIND_PRODUCT, 1, 64, 4096, 1024, false},
    {"one sequence, 64 steps", KIND_PRODUCT, 64, 1, 512, 128, false},
    {"7 rows", KIND_PRODUCT, 1, 7, 512, 128, false},
    {"3 rows", KIND_PRODUCT, 1, 3, 512, 128, false},
    {"2 rows", KIND_PRODUCT, 1, 2, 256, 64, false},
    {"one row", KIND_PRODUCT, 1, 1, 256, 64, false},
    {"one row", KIND_PRODUCT, 1, 1, 512, 128, false},
    {"narrow", KIND_PRODUCT, 1, 32, 20, 64, false},
    {"one column", KIND_PRODUCT, 1, 32, 1, 64, false},
    {"W2 dWh", KIND_SUM, 64, 32, 128, 512, false},
    {"W2 dWx", KIND_SUM, 64, 32, 64, 512, false},
    {"W2 dWh, roles exchanged", KIND_SUM, 64, 32, 512, 128, false},
    {"W3 dWh", KIND_SUM, 64, 64, 256, 1024, false},
    {"W4 dWh", KIND_SUM, 8, 64, 1024, 4096, false},
    {"narrow sum", KIND_SUM, 64, 32, 3, 20, false},
    {"pack, transposing", KIND_PACK, 1, 1, 512, 128, true},
    {"pack, copying", KIND_PACK, 1, 1, 512, 128, false},
};

/* Rows of buffers are padded so that their stride is no multiple of 1 KB. */
static int64_t padded(int64_t n) { return n % 256 == 0 ? n + 16 : n; }

/* ---- functions ---- */

static IrPlace begin_function(Ir *ir, const char *name)
{
    const LLVMTypeRef type[] = {ir->ptr, ir->ptr, ir->ptr};
    return ir_begin(ir, ir_declare(ir, name, ir->none, COUNT(type), type));
}

/* Columns of a whole tile. */
static int columns_of(const Target *t)
{
    return t->tile_vectors * target_lanes(t, RNN_F32);
}

/* A count that LLVM does not know. */
static LLVMValueRef hidden(Ir *ir, int64_t n)
{
    LLVMValueRef p = ir_stack(ir, ir->i64, 1);
    ir_store(ir, ir_int(ir, n), p);
    LLVMValueRef v = ir_load(ir, ir->i64, p);
    LLVMSetVolatile(v, true);
    return v;
}

static void build_product(Ir *ir, const Target *t, const Case *s)
{
    int64_t a = padded(s->k), c = padded(s->n);
    const PlanTarget facts = target_facts(t, RNN_F32);
    int panel = columns_of(t);
    product_emit(
        ir, &(Product){
                .n_batch = 1,
                .n = s->n,
                .k = s->k,
                .panel = panel,
                .tiling = tiling_of_product(&facts, panel, s->n, s->k, 1, false),
                .a = ir_param(ir, 0),
                .b = ir_param(ir, 1),
                .c = ir_param(ir, 2),
                .a_k = 1,
                .init_n = 1,
                .n_dim = 2,
                .dim = {{hidden(ir, s->steps), ir_int(ir, s->rows * a),
                         ir_int(ir, s->rows * c), ir_int(ir, 0)},
                        {hidden(ir, s->rows), ir_int(ir, a), ir_int(ir, c), ir_int(ir, 0)}},
            });
}

static void build_sum(Ir *ir, const Target *t, const Case *s)
{
    int64_t a = padded(s->k), b = padded(s->n);
    const PlanTarget facts = target_facts(t, RNN_F32);
    product_sum_emit(ir, &(ProductSum){
                             .n_batch = 1,
                             .m = s->k,
                             .n = s->n,
                             .a = ir_param(ir, 0),
                             .b = ir_param(ir, 1),
                             .c = ir_param(ir, 2),
                             .a_m = 1,
                             .b_n = 1,
                             .c_m = padded(s->n),
                             .tiling = tiling_of_sum(&facts, s->k, s->n, 1, padded(s->k)),
                             .n_dim = 2,
                             .dim = {{hidden(ir, s->steps), ir_int(ir, s->rows * a),
                                      ir_int(ir, s->rows * b)},
                                     {hidden(ir, s->rows), ir_int(ir, a), ir_int(ir, b)}},
                         });
}

static void build_pack(Ir *ir, const Target *t, const Case *s)
{
    pack_emit(ir, &(Pack){
                      .n_batch = 1,
                      .n = s->n,
                      .k = s->k,
                      .panel = columns_of(t),
                      .from = ir_param(ir, 0),
                      .to = ir_param(ir, 2),
                      .from_n = s->across ? s->k : 1,
                      .from_k = s->across ? 1 : s->n,
                  });
}

enum { PEAK_TRIPS = 20000, PEAK_CHAINS = 12 };

/* Independent chains of fma; the sums go to c. */
static void build_peak(Ir *ir)
{
    IrPlace place = begin_function(ir, "peak");
    LLVMValueRef acc[PEAK_CHAINS], x = ir_load(ir, ir->vreal, ir_param(ir, 0));
    for (int i = 0; i < PEAK_CHAINS; i++)
        acc[i] = ir_real(ir->vreal, i);
    IrLoop l = ir_loop(ir, ir_int(ir, 0), ir_int(ir, PEAK_TRIPS), 1, PEAK_CHAINS, acc);
    for (int i = 0; i < PEAK_CHAINS; i++)
        acc[i] = ir_fma(ir, l.carried[i], x, x);
    ir_loop_end(ir, &l, acc);
    for (int i = 0; i < PEAK_CHAINS; i++)
        ir_store(ir, l.carried[i],
                 ir_at(ir, ir->real, ir_param(ir, 2), ir_int(ir, i * ir->vector)));
    ir_end(ir, place, NULL);
}

static void build_all(Ir *ir, const Target *t)
{
    static void (*const build[])(Ir *, const Target *,
                                 const Case *) = {build_product, build_sum, build_pack};
    build_peak(ir);
    for (int i = 0; i < COUNT(cases); i++) {
        char name[32];
        snprintf(name, sizeof name, "f%d", i);
        IrPlace place = begin_function(ir, name);
        build[cases[i].kind](ir, t, &cases[i]);
        ir_end(ir, place, NULL);
    }
    jit_verify(ir);
}

/* ---- time ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct {
    double best, median;
} Seconds;

static Seconds time_of(Compiled *f, const float *a, const float *b, float *c)
{
    enum { RUNS = 101 };
    double seconds[RUNS], start = now();
    int64_t calls = 1, done = 0;
    for (; now() - start < 2e-3; done++)
        f(a, b, c);
    calls = done / 4 + 1;
    for (int i = 0; i < RUNS; i++) {
        double t = now();
        for (int64_t j = 0; j < calls; j++)
            f(a, b, c);
        seconds[i] = (now() - t) / (double)calls;
    }
    qsort(seconds, RUNS, sizeof *seconds, compare);
    return (Seconds){seconds[0], seconds[RUNS / 2]};
}

/* On huge pages where there are any. */
static float *new_floats(int64_t n)
{
    enum { HUGE = 2 << 20 };
    size_t bytes = ((size_t)n * sizeof(float) + HUGE - 1) / HUGE * HUGE;
    float *p = aligned_alloc(HUGE, bytes);
    madvise(p, bytes, MADV_HUGEPAGE);
    for (int64_t i = 0; i < n; i++)
        p[i] = (float)(i * 7919 % 1021) / 1021.0f - 0.5f;
    return p;
}

static double peak_flops(const Target *t, Compiled *peak, float *c)
{
    double flops = 2.0 * target_lanes(t, RNN_F32) * PEAK_CHAINS * PEAK_TRIPS;
    float x[64] = {0.5f};
    return flops / time_of(peak, x, NULL, c).best;
}

static void run_case(const Target *t, const Case *s, Compiled *f, Compiled *peak)
{
    int64_t points = s->steps * s->rows, width = columns_of(t);
    float *a = new_floats(points * padded(s->k) + s->k * s->n);
    float *b =
        new_floats((s->n + width) * (s->kind == KIND_SUM ? points : s->k) + 16 * points);
    float *c = new_floats((points + s->k + width) * padded(s->n) + 64 * PEAK_CHAINS +
                          s->k * width);
    double before = peak_flops(t, peak, c);
    Seconds took = time_of(f, a, b, c);
    double after = peak_flops(t, peak, c), most = before > after ? before : after;
    double flops = 2.0 * (double)points * (double)s->n * (double)s->k;
    printf("%-30s %4lld x %-5lld n %-5lld k %-5lld %9.2f us", s->name, (long long)s->steps,
           (long long)s->rows, (long long)s->n, (long long)s->k, 1e6 * took.median);
    if (s->kind != KIND_PACK)
        printf(" %6.1f GFLOP/s, share best %5.1f %% median %5.1f %%",
               1e-9 * flops / took.median, 100 * flops / took.best / most,
               100 * flops / took.median / most);
    printf("\n");
    fflush(stdout);
    free(a), free(b), free(c);
}

int main(int n_arg, char **arg)
{
    const char *why = "", *assembly = NULL;
    if (n_arg > 2 && strcmp(arg[n_arg - 2], "-S") == 0)
        assembly = arg[n_arg - 1], n_arg -= 2;
    const Target *found = target_find(n_arg > 1 ? arg[1] : NULL, &why);
    if (!found) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    Target t = *found;
    if (n_arg > 3)
        t.tile_rows = atoi(arg[2]), t.tile_vectors = atoi(arg[3]);

    Ir ir;
    size_t n_bytes;
    LLVMTargetMachineRef machine = jit_open(&ir, &t, RNN_F32);
    double start = now();
    build_all(&ir, &t);
    double built = now();
    if (assembly) {
        jit_write_assembly(&ir, machine, assembly);
        return 0;
    }
    LLVMOrcLLJITRef jit = jit_link(&ir, machine, &n_bytes);
    printf("%s, tile %d x %d: IR in %.1f ms, code in %.1f ms, %zu bytes\n", t.name,
           t.tile_rows, t.tile_vectors, 1e3 * (built - start), 1e3 * (now() - built),
           n_bytes);
    Compiled *peak = (Compiled *)jit_address(jit, "peak");
    float *c = new_floats(1024);
    printf("peak %.1f GFLOP/s\n", 1e-9 * peak_flops(&t, peak, c));
    free(c);
    for (int i = 0; i < COUNT(cases); i++) {
        char name[32];
        snprintf(name, sizeof name, "f%d", i);
        run_case(&t, &cases[i], (Compiled *)jit_address(jit, name), peak);
    }
    jit_check("end", LLVMOrcDisposeLLJIT(jit));
    return 0;
}
