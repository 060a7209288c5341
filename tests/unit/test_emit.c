/*
 * test_emit.c — plans made by hand, compiled by the JIT, against the same in plain C.
 *
 * The extents are chosen around the vector length: below it, beside it, several of it.
 * Compiled once for models of floats, once for doubles.
 */
#include "check.h"
#include "emit/emit.h"
#include "level.h"
#include "passes/fuse.h"
#include "passes/tile.h"
#include "real.h"
#include "rnn.h"
#include "rnn_philox.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- a plan and the memory to run it in ---- */

enum { MAX_BUFFERS = 32, STEPS = 5, ROWS = 6, BLOCK = 2, WORKSPACE_BYTES = 1 << 20 };

typedef struct {
    Arena *arena;
    Diag *diag;
    Plan plan;
    struct rnn_model tables;
    EmitModule *module;
    Jit *jit;
    int64_t used_bytes;
    struct rnn_chunk chunk;
    const void *input[4];
    int64_t step_stride[4], row_stride[4];
    double scalars[4], optimizer_scalars[4];
    const Split *split; /* of all products, in place of what `tile` would choose; or NULL */
    Sweep *fetching;    /* likewise: this one so many rows ahead; or NULL */
    int rows_ahead;
    real *params, *grads, *state_in, *state_out, *outputs;
    pthread_barrier_t barrier;
} Fixture;

static real *reals(Fixture *f, int64_t n) { return NEW_ARRAY(f->arena, real, n); }

static void fixture_open(Fixture *f)
{
    *f = (Fixture){.arena = arena_new()};
    f->diag = diag_new(f->arena, stderr);
    f->plan =
        (Plan){.arena = f->arena, .steps_max = STEPS, .rows_max = ROWS, .threads_max = 4};
    f->tables = (struct rnn_model){.abi_version = RNN_ABI_VERSION,
                                   .name = "hand-made",
                                   .spec_hash = "0",
                                   .dtype = real_dtype,
                                   .steps_max = STEPS,
                                   .rows_max = ROWS};
    for (int i = 0; i < PROC_COUNT; i++) {
        Procedure *p = &f->plan.proc[i];
        p->loss.buffer = p->weight.buffer = p->gradient_norm.buffer = -1;
    }
    f->params = reals(f, 4096), f->grads = reals(f, 4096);
    f->state_in = reals(f, 4096), f->state_out = reals(f, 4096);
    f->outputs = reals(f, 65536);
}

static void fixture_close(Fixture *f)
{
    jit_free(f->jit);
    emit_free(f->module);
    diag_flush(f->diag);
    free(f->chunk.workspace);
    arena_free(f->arena);
}

static int add_buffer(Fixture *f, Buffer b)
{
    Plan *p = &f->plan;
    int64_t size = shape_size(&b.shape),
            element = b.element == ELEMENT_F64 ? 8 : (int64_t)sizeof(real);
    if (b.row_stride == 0 && (b.axes & AXIS_ROW))
        b.row_stride = size;
    if (b.n_slot == 0)
        b.n_slot = 1;
    if (b.axes & AXIS_TIME)
        b.slot_stride = (b.axes & AXIS_ROW) ? b.row_stride * ROWS : size;
    if (b.home == HOME_WORKSPACE) {
        b.offset = f->used_bytes;
        b.bytes = element * b.n_slot * ((b.axes & AXIS_ROW) ? b.row_stride * ROWS : size);
        f->used_bytes += (b.bytes + 127) / 64 * 64;
    }
    *PUSH(f->arena, p->buffer, p->n_buffer, p->buffer_capacity) = b;
    return p->n_buffer - 1;
}

static Stage *add_stage(Fixture *f, ProcId proc, Stage s)
{
    Procedure *p = &f->plan.proc[proc];
    Stage *stage = PUSH(f->arena, p->stage, p->n_stage, p->stage_capacity);
    *stage = s;
    return stage;
}

static Group *add_group(Fixture *f, Stage *s, bool scan)
{
    Group *g = PUSH(f->arena, s->group, s->n_group, s->group_capacity);
    g->scan = scan;
    return g;
}

static Nest *add_nest(Fixture *f, Group *g)
{
    Nest *n = PUSH(f->arena, g->nest, g->n_nest, g->nest_capacity);
    n->pack = -1;
    return n;
}

static Sweep *add_sweep(Fixture *f, Nest *n, int rank, const int64_t *extent,
                        uint32_t reduced)
{
    Sweep *s = PUSH(f->arena, n->sweep, n->n_sweep, n->sweep_capacity);
    s->rank = rank;
    s->reduced = reduced;
    for (int d = 0; d < rank; d++)
        s->extent[d] = extent[d];
    return s;
}

static int add_instr(Fixture *f, Sweep *s, Instr i, int n_arg, int a0, int a1, int a2)
{
    const int arg[] = {a0, a1, a2};
    i.n_arg = n_arg;
    i.arg = NEW_ARRAY(f->arena, int, 3);
    memcpy(i.arg, arg, sizeof arg);
    *PUSH(f->arena, s->instr, s->n_instr, s->instr_capacity) = i;
    return s->n_instr - 1;
}

static Access at(int buffer) { return (Access){.buffer = buffer}; }
static Access at1(int buffer, int64_t stride)
{
    return (Access){.buffer = buffer, .stride = {stride}};
}
static Access at2(int buffer, int64_t outer, int64_t inner)
{
    return (Access){.buffer = buffer, .stride = {outer, inner}};
}

static int load(Fixture *f, Sweep *s, Access a)
{
    return add_instr(f, s, (Instr){.kind = I_LOAD, .access = a}, 0, 0, 0, 0);
}

static int load_wide(Fixture *f, Sweep *s, Access a)
{
    return add_instr(f, s, (Instr){.kind = I_LOAD, .access = a, .wide = true}, 0, 0, 0, 0);
}

static int constant(Fixture *f, Sweep *s, double value)
{
    return add_instr(f, s, (Instr){.kind = I_CONSTANT, .value = value}, 0, 0, 0, 0);
}

static int map(Fixture *f, Sweep *s, OpCode op, int a, int b, int c)
{
    return add_instr(f, s, (Instr){.kind = I_MAP, .op = op}, op_defs[op]->arity, a, b, c);
}

static int map_wide(Fixture *f, Sweep *s, OpCode op, int a, int b)
{
    return add_instr(f, s, (Instr){.kind = I_MAP, .op = op, .wide = true},
                     op_defs[op]->arity, a, b, 0);
}

static void store(Fixture *f, Sweep *s, int value, Access a)
{
    add_instr(f, s, (Instr){.kind = I_STORE, .access = a}, 1, value, 0, 0);
}

static void reduce(Fixture *f, Sweep *s, OpCode op, int value, Access a)
{
    add_instr(f, s, (Instr){.kind = I_REDUCE, .op = op, .access = a}, 1, value, 0, 0);
}

static void accumulate(Fixture *f, Sweep *s, int value, Access a)
{
    add_instr(f, s, (Instr){.kind = I_ACCUMULATE, .access = a}, 1, value, 0, 0);
}

/* ---- running ---- */

static void split_products(Fixture *f, Procedure *p)
{
    for (int i = 0; i < p->n_stage; i++)
        for (int k = 0; k < p->stage[i].group[0].n_nest; k++) {
            Nest *nest = &p->stage[i].group[0].nest[k];
            if (nest->contraction)
                tile_set_split(&f->plan, nest, *f->split);
        }
}

static void compile(Fixture *f)
{
    const char *why;
    const Target *target = level_to_run(&why);
    CHECK(target != NULL, "%s", why);
    f->plan.workspace_bytes = WORKSPACE_BYTES / 2;
    f->plan.scratch_bytes = 8192;
    CHECK(f->used_bytes <= f->plan.workspace_bytes, "%d bytes", (int)f->used_bytes);
    f->plan.target = target_facts(target, real_dtype);
    tile_pass(&f->plan);
    for (int i = 0; f->split && i < PROC_COUNT; i++)
        split_products(f, &f->plan.proc[i]);
    if (f->fetching)
        f->fetching->ahead = f->rows_ahead;
    barrier_pass(&f->plan);
    f->module = emit_plan(f->arena, f->diag, &f->plan, &f->tables, target);
    f->jit = f->module ? jit_new(f->module, f->diag) : NULL;
    CHECK(f->jit != NULL, "not compiled");
    if (!f->jit)
        exit(check_result());
    f->chunk = (struct rnn_chunk){
        .model = jit_model(f->jit),
        .steps = STEPS,
        .rows = ROWS,
        .input = f->input,
        .step_stride = f->step_stride,
        .row_stride = f->row_stride,
        .scalars = f->scalars,
        .params = f->params,
        .grads = f->grads,
        .optimizer_scalars = f->optimizer_scalars,
        .state_in = f->state_in,
        .state_out = f->state_out,
        .outputs = f->outputs,
        .workspace = aligned_alloc(64, WORKSPACE_BYTES),
    };
    memset(f->chunk.workspace, 0x7f, WORKSPACE_BYTES);
}

typedef struct {
    struct rnn_team team; /* first */
    pthread_barrier_t barrier;
    rnn_procedure *procedure;
    struct rnn_chunk *chunk;
} Team;

typedef struct {
    Team *team;
    int thread;
} Worker;

static void wait_all(struct rnn_team *team, int thread)
{
    (void)thread;
    pthread_barrier_wait(&((Team *)team)->barrier);
}

static void *work(void *worker)
{
    Worker *w = worker;
    w->team->procedure(w->team->chunk, w->thread);
    return NULL;
}

static void run_threads(Fixture *f, rnn_procedure *procedure, int n)
{
    Team team = {{n, wait_all}, .procedure = procedure, .chunk = &f->chunk};
    Worker worker[4];
    pthread_t id[4];
    f->chunk.team = &team.team;
    pthread_barrier_init(&team.barrier, NULL, (unsigned)n);
    for (int i = 0; i < n; i++) {
        worker[i] = (Worker){&team, i};
        if (i > 0)
            pthread_create(&id[i], NULL, work, &worker[i]);
    }
    work(&worker[0]);
    for (int i = 1; i < n; i++)
        pthread_join(id[i], NULL);
    pthread_barrier_destroy(&team.barrier);
}

/* What a workspace buffer without axes holds. */
static real *values(Fixture *f, int buffer)
{
    return (real *)((char *)f->chunk.workspace + f->plan.buffer[buffer].offset);
}

/* Numbers around 0, always the same. */
static real number(int64_t i) { return (real)((i * 2654435761U) % 1000) / 250 - 2; }

static real *numbers(Fixture *f, int64_t n)
{
    real *v = reals(f, n);
    for (int64_t i = 0; i < n; i++)
        v[i] = number(i);
    return v;
}

/* Input `index` of n features, with a row of room between rows. */
static int add_input(Fixture *f, int index, int64_t n)
{
    f->row_stride[index] = n + 3;
    f->step_stride[index] = (n + 3) * ROWS;
    f->input[index] = numbers(f, STEPS * ROWS * (n + 3));
    return add_buffer(f, (Buffer){.name = "x",
                                  .home = HOME_INPUT,
                                  .index = index,
                                  .axes = AXES_ALL,
                                  .span = SPAN_CHUNK,
                                  .n_slot = STEPS,
                                  .shape = {1, {n}}});
}

static const real *input_row(const Fixture *f, int index, int t, int b)
{
    return (const real *)f->input[index] + t * f->step_stride[index] +
           b * f->row_stride[index];
}

static int add_outputs(Fixture *f, int64_t n)
{
    return add_buffer(f, (Buffer){.name = "y",
                                  .home = HOME_OUTPUTS,
                                  .axes = AXES_ALL,
                                  .span = SPAN_CHUNK,
                                  .n_slot = STEPS,
                                  .shape = {1, {n}}});
}

static int add_plain(Fixture *f, Home home, Element element, int64_t n)
{
    return add_buffer(
        f, (Buffer){.name = "v", .home = home, .element = element, .shape = {1, {n}}});
}

static Group *once(Fixture *f, ProcId proc)
{
    return add_group(f, add_stage(f, proc, (Stage){.kind = STAGE_ONCE}), false);
}

static Group *timed(Fixture *f, ProcId proc, bool scan)
{
    Stage s = {.kind = STAGE_TIME, .block = BLOCK};
    return add_group(f, add_stage(f, proc, s), scan);
}

/* ---- maps ---- */

/* y = x * w + 0.5 with w a parameter: [n] for every point; the last vector is partial. */
static void check_map(int64_t n, int threads)
{
    Fixture f;
    fixture_open(&f);
    int x = add_input(&f, 0, n), y = add_outputs(&f, n);
    int w = add_plain(&f, HOME_PARAMS, ELEMENT_REAL, n);
    Sweep *s = add_sweep(&f, add_nest(&f, timed(&f, PROC_STEP, false)), 1, &n, 0);
    int p = map(&f, s, OP_MUL, load(&f, s, at1(x, 1)), load(&f, s, at1(w, 1)), 0);
    store(&f, s, map(&f, s, OP_ADD, p, constant(&f, s, 0.5), 0), at1(y, 1));
    for (int64_t i = 0; i < n; i++)
        f.params[i] = number(i + 7);
    compile(&f);
    f.outputs[STEPS * ROWS * n] = 99;
    run_threads(&f, f.chunk.model->step, threads);
    for (int t = 0; t < STEPS; t++)
        for (int b = 0; b < ROWS; b++)
            for (int64_t i = 0; i < n; i++) {
                real expected = input_row(&f, 0, t, b)[i] * f.params[i] + (real)0.5;
                real got = f.outputs[(t * ROWS + b) * n + i];
                CHECK(got == expected, "n %d t %d b %d i %d: %g, expected %g", (int)n, t, b,
                      (int)i, (double)got, (double)expected);
            }
    CHECK(f.outputs[STEPS * ROWS * n] == 99, "written beyond the outputs");
    f.chunk.outputs = NULL; /* nobody wants them: nothing may be touched */
    run_threads(&f, f.chunk.model->step, threads);
    fixture_close(&f);
}

static void test_a_map_covers_all_points_and_partial_vectors(void)
{
    static const int64_t extents[] = {1, 3, 8, 13, 16, 40, 43};
    for (int i = 0; i < COUNT(extents); i++)
        check_map(extents[i], 1 + i % 3);
}

/* n reals of which the last one stands right before a page that nobody may touch. */
static real *before_a_wall(int64_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int zero = open("/dev/zero", O_RDWR);
    char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
    close(zero);
    CHECK(p != MAP_FAILED && mprotect(p + page, page, PROT_NONE) == 0, "no pages");
    return (real *)(p + page) - n;
}

/* p = 2 p, with nothing behind p: a crash is the failure. */
static void test_nothing_beyond_the_extents_is_touched(void)
{
    for (int64_t n = 1; n < 20; n += 3) {
        Fixture f;
        fixture_open(&f);
        int p = add_plain(&f, HOME_PARAMS, ELEMENT_REAL, n);
        Sweep *s = add_sweep(&f, add_nest(&f, once(&f, PROC_STEP)), 1, &n, 0);
        int v = load(&f, s, at1(p, 1));
        store(&f, s, map(&f, s, OP_ADD, v, v, 0), at1(p, 1));
        f.params = before_a_wall(n);
        f.params[n - 1] = 3;
        compile(&f);
        run_threads(&f, f.chunk.model->step, 1);
        CHECK(f.params[n - 1] == 6, "%g", (double)f.params[n - 1]);
        fixture_close(&f);
    }
}

/* A transpose, a flip and a broadcast are accesses: c[j][i] = a[i][j] - r[i]. */
static void test_strides_make_views(void)
{
    enum { M = 5, N = 11 };
    Fixture f;
    fixture_open(&f);
    int a = add_plain(&f, HOME_PARAMS, ELEMENT_REAL, M * N);
    int c = add_plain(&f, HOME_WORKSPACE, ELEMENT_REAL, M * N);
    int flip = add_plain(&f, HOME_WORKSPACE, ELEMENT_REAL, M * N);
    Sweep *s =
        add_sweep(&f, add_nest(&f, once(&f, PROC_STEP)), 2, (const int64_t[]){M, N}, 0);
    int v = load(&f, s, at2(a, N, 1));
    int first = load(&f, s, at2(a, N, 0));
    store(&f, s, map(&f, s, OP_SUB, v, first, 0), at2(c, 1, M));
    Access backwards = at2(flip, N, -1);
    backwards.offset = N - 1;
    store(&f, s, v, backwards);
    for (int i = 0; i < M * N; i++)
        f.params[i] = number(i);
    compile(&f);
    run_threads(&f, f.chunk.model->step, 1);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            real expected = f.params[i * N + j] - f.params[i * N];
            real got = values(&f, c)[j * M + i];
            CHECK(got == expected, "%d %d: %g, not %g", i, j, (double)got,
                  (double)expected);
            CHECK(values(&f, flip)[i * N + N - 1 - j] == f.params[i * N + j], "flipped");
        }
    fixture_close(&f);
}

/* ---- reductions ---- */

/* What a value of a softmax over n may be wrong by, relatively: x - max is of at most 4 and
   one rounding, exp within 2 ulp (4 units), over it and under it; a sum; a division. */
static long double softmax_error(int64_t n)
{
    return (2 * (4 + 4) + (long double)n + 1) * (long double)REAL_UNIT;
}

/* softmax(x) of every point in three sweeps, through scratch. */
static void check_softmax(int64_t n)
{
    Fixture f;
    fixture_open(&f);
    int x = add_input(&f, 0, n), y = add_outputs(&f, n);
    int e = add_plain(&f, HOME_SCRATCH, ELEMENT_REAL, n);
    int top = add_buffer(&f, (Buffer){.name = "max", .home = HOME_SCRATCH, .offset = 4096});
    int sum = add_buffer(&f, (Buffer){.name = "sum", .home = HOME_SCRATCH, .offset = 4160});
    Nest *nest = add_nest(&f, timed(&f, PROC_STEP, false));
    Sweep *s = add_sweep(&f, nest, 1, &n, 1);
    reduce(&f, s, OP_MAX_OF, load(&f, s, at1(x, 1)), at(top));
    s = add_sweep(&f, nest, 1, &n, 1);
    int d = map(&f, s, OP_SUB, load(&f, s, at1(x, 1)), load(&f, s, at(top)), 0);
    int v = map(&f, s, OP_EXP, d, 0, 0);
    store(&f, s, v, at1(e, 1));
    reduce(&f, s, OP_SUM, v, at(sum));
    s = add_sweep(&f, nest, 1, &n, 0);
    int q = map(&f, s, OP_DIV, load(&f, s, at1(e, 1)), load(&f, s, at(sum)), 0);
    store(&f, s, q, at1(y, 1));
    compile(&f);
    run_threads(&f, f.chunk.model->step, 2);
    for (int t = 0; t < STEPS; t++)
        for (int b = 0; b < ROWS; b++) {
            const real *row = input_row(&f, 0, t, b);
            long double total = 0;
            for (int64_t i = 0; i < n; i++)
                total += expl(row[i]);
            for (int64_t i = 0; i < n; i++) {
                long double expected = expl(row[i]) / total;
                real got = f.outputs[(t * ROWS + b) * n + i];
                CHECK(fabsl(got - expected) <= softmax_error(n) * expected,
                      "n %d: %.17g, expected %.17Lg", (int)n, (double)got, expected);
            }
        }
    fixture_close(&f);
}

static void test_sweeps_of_a_nest_see_what_earlier_ones_stored(void)
{
    check_softmax(5);
    check_softmax(8);
    check_softmax(37);
}

typedef struct {
    OpCode op;
    real (*combine)(real, real);
    real start;
} Reduction;

static real sum2(real a, real b) { return a + b; }
static real product2(real a, real b) { return a * b; }
static real max2(real a, real b) { return isnan(a) || a > b ? a : b; }
static real min2(real a, real b) { return isnan(a) || a < b ? a : b; }

static const Reduction reductions[] = {
    {OP_SUM, sum2, 0},
    {OP_PROD, product2, 1},
    {OP_MAX_OF, max2, -INFINITY},
    {OP_MIN_OF, min2, INFINITY},
};

/* Over the rows or the columns of [m, n]. Two orders of n_term roundings each, of numbers
   that are no larger than `size`; an extremum has none. */
static void check_reduction(const Reduction *r, int m, int n, bool columns, bool with_nan)
{
    Fixture f;
    fixture_open(&f);
    int a = add_plain(&f, HOME_PARAMS, ELEMENT_REAL, m * n);
    int c = add_plain(&f, HOME_WORKSPACE, ELEMENT_REAL, columns ? m : n);
    Sweep *s = add_sweep(&f, add_nest(&f, once(&f, PROC_STEP)), 2, (const int64_t[]){m, n},
                         columns ? 2 : 1);
    reduce(&f, s, r->op, load(&f, s, at2(a, n, 1)), columns ? at2(c, 1, 0) : at2(c, 0, 1));
    for (int i = 0; i < m * n; i++)
        f.params[i] = number(i) + (real)0.25;
    if (with_nan)
        f.params[m * n / 2] = NAN;
    compile(&f);
    run_threads(&f, f.chunk.model->step, 1);
    int n_term = columns ? n : m;
    for (int k = 0; k < (columns ? m : n); k++) {
        real expected = r->start;
        double size = 0;
        for (int j = 0; j < n_term; j++) {
            real v = f.params[columns ? k * n + j : j * n + k];
            expected = r->combine(expected, v), size += fabs((double)v);
        }
        if (r->op != OP_SUM)
            size = r->op == OP_PROD ? fabs((double)expected) : 0;
        real got = values(&f, c)[k];
        CHECK((isnan(got) && isnan(expected)) ||
                  fabs((double)(got - expected)) <= 2 * n_term * REAL_UNIT * size,
              "%s of %d x %d, %d: %g, expected %g", op_defs[r->op]->name, m, n, k,
              (double)got, (double)expected);
    }
    fixture_close(&f);
}

static void test_reductions_go_over_inner_and_outer_dimensions(void)
{
    for (int i = 0; i < COUNT(reductions); i++) {
        check_reduction(&reductions[i], 3, 21, true, false);
        check_reduction(&reductions[i], 3, 21, false, i % 2);
        check_reduction(&reductions[i], 2, 4, true, i % 2);
        check_reduction(&reductions[i], 4, 16, true, true);
    }
}

static int argmax_of(const real *v, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (v[i] > v[best] || (isnan(v[i]) && !isnan(v[best])))
            best = i;
    return best;
}

static void test_argmax_finds_the_first_of_equals_and_nan(void)
{
    enum { M = 6, N = 21 };
    Fixture f;
    fixture_open(&f);
    int a = add_plain(&f, HOME_PARAMS, ELEMENT_REAL, M * N);
    int c = add_plain(&f, HOME_WORKSPACE, ELEMENT_REAL, M);
    Sweep *s =
        add_sweep(&f, add_nest(&f, once(&f, PROC_STEP)), 2, (const int64_t[]){M, N}, 2);
    reduce(&f, s, OP_ARGMAX, load(&f, s, at2(a, N, 1)), at2(c, 1, 0));
    for (int i = 0; i < M * N; i++)
        f.params[i] = (real)((i * 7) % 5);
    f.params[2 * N + 17] = 9;
    f.params[3 * N + 9] = f.params[3 * N + 11] = NAN;
    for (int i = 0; i < N; i++)
        f.params[4 * N + i] = -INFINITY;
    compile(&f);
    run_threads(&f, f.chunk.model->step, 1);
    for (int i = 0; i < M; i++)
        CHECK(values(&f, c)[i] == (real)argmax_of(f.params + i * N, N), "row %d: %g", i,
              (double)values(&f, c)[i]);
    fixture_close(&f);
}

/* ---- scans ---- */

/* h' = 0.5 h + x; state slots over the whole chunk, entry from state_in unless a row
 * starts. */
static void check_scan(bool backward, int threads)
{
    enum { N = 11 };
    int64_t n = N;
    Fixture f;
    fixture_open(&f);
    int x = add_input(&f, 0, n);
    Buffer state = {.name = "h",
                    .home = HOME_WORKSPACE,
                    .axes = AXES_ALL,
                    .span = SPAN_CHUNK,
                    .n_slot = STEPS + 1,
                    .shape = {1, {N}},
                    .row_stride = 16};
    int h = add_buffer(&f, state);
    int carried = add_buffer(
        &f,
        (Buffer){.name = "in", .home = HOME_STATE_IN, .axes = AXIS_ROW, .shape = {1, {N}}});
    int left = add_buffer(&f, (Buffer){.name = "out",
                                       .home = HOME_STATE_OUT,
                                       .axes = AXIS_ROW,
                                       .shape = {1, {N}}});
    int start = add_buffer(&f, (Buffer){.name = "start",
                                        .home = HOME_START,
                                        .element = ELEMENT_U8,
                                        .axes = AXIS_ROW});
    Access before = at1(h, 1), after = at1(h, 1), entry = at1(h, 1), final = at1(h, 1);
    *(backward ? &before : &after) = (Access){.buffer = h, .shift = 1, .stride = {1}};
    entry.when = backward ? AT_END : AT_FIRST;
    final.when = backward ? AT_FIRST : AT_END;
    Group *g = add_group(&f, add_stage(&f, PROC_STEP, (Stage){.kind = STAGE_ROWS}), false);
    Sweep *s = add_sweep(&f, add_nest(&f, g), 1, &n, 0);
    int fresh = load(&f, s, at(start));
    store(&f, s,
          map(&f, s, OP_WHERE, fresh, constant(&f, s, 3), load(&f, s, at1(carried, 1))),
          entry);
    Stage time = {.kind = STAGE_TIME, .block = BLOCK, .backward = backward};
    g = add_group(&f, add_stage(&f, PROC_STEP, time), true);
    s = add_sweep(&f, add_nest(&f, g), 1, &n, 0);
    int half = map(&f, s, OP_MUL, load(&f, s, before), constant(&f, s, 0.5), 0);
    store(&f, s, map(&f, s, OP_ADD, half, load(&f, s, at1(x, 1)), 0), after);
    g = add_group(&f, add_stage(&f, PROC_STEP, (Stage){.kind = STAGE_ROWS}), false);
    s = add_sweep(&f, add_nest(&f, g), 1, &n, 0);
    store(&f, s, load(&f, s, final), at1(left, 1));
    compile(&f);
    static const uint8_t starts[ROWS] = {0, 1, 0, 0, 1, 0};
    f.chunk.start = starts;
    for (int i = 0; i < ROWS * N; i++)
        f.state_in[i] = number(i + 3);
    run_threads(&f, f.chunk.model->step, threads);
    for (int b = 0; b < ROWS; b++)
        for (int i = 0; i < N; i++) {
            real v = starts[b] ? 3 : f.state_in[b * N + i];
            for (int k = 0; k < STEPS; k++)
                v = (real)0.5 * v + input_row(&f, 0, backward ? STEPS - 1 - k : k, b)[i];
            CHECK(f.state_out[b * N + i] == v, "row %d, %d: %g, expected %g", b, i,
                  (double)f.state_out[b * N + i], (double)v);
        }
    fixture_close(&f);
}

static void test_scans_carry_states_through_blocks_both_ways(void)
{
    check_scan(false, 1);
    check_scan(true, 1);
    check_scan(false, 4);
    check_scan(true, 2);
}

enum { N_KEPT = 9 };

/* -x is kept, in a buffer of this span and so many slots, and a later group of the block
   copies it to y; returns the sweep that does. */
static Sweep *copy_kept(Fixture *f, Span span, int64_t n_slot, bool backward)
{
    int64_t n = N_KEPT;
    int x = add_input(f, 0, n), y = add_outputs(f, n);
    int kept = add_buffer(f, (Buffer){.name = "kept",
                                      .home = HOME_WORKSPACE,
                                      .axes = AXES_ALL,
                                      .span = span,
                                      .n_slot = n_slot,
                                      .shape = {1, {N_KEPT}}});
    Stage *time = add_stage(
        f, PROC_STEP, (Stage){.kind = STAGE_TIME, .block = BLOCK, .backward = backward});
    Sweep *s = add_sweep(f, add_nest(f, add_group(f, time, false)), 1, &n, 0);
    store(f, s, map(f, s, OP_NEG, load(f, s, at1(x, 1)), 0, 0), at1(kept, 1));
    s = add_sweep(f, add_nest(f, add_group(f, time, true)), 1, &n, 0);
    store(f, s, load(f, s, at1(kept, 1)), at1(y, 1));
    return s;
}

/* A value kept for one block only is found again by a later group of the block. */
static void test_groups_of_a_block_share_its_slots(void)
{
    Fixture f;
    fixture_open(&f);
    copy_kept(&f, SPAN_BLOCK, BLOCK, true);
    compile(&f);
    run_threads(&f, f.chunk.model->step, 2);
    for (int t = 0; t < STEPS; t++)
        for (int b = 0; b < ROWS; b++)
            for (int i = 0; i < N_KEPT; i++)
                CHECK(f.outputs[(t * ROWS + b) * N_KEPT + i] == -input_row(&f, 0, t, b)[i],
                      "t %d b %d i %d", t, b, i);
    fixture_close(&f);
}

/* Rows ahead: less than there are, as many, and more than the next step has. */
static void check_fetching(int ahead, bool backward)
{
    Fixture f;
    fixture_open(&f);
    f.fetching = copy_kept(&f, SPAN_CHUNK, STEPS, backward), f.rows_ahead = ahead;
    compile(&f);
    run_threads(&f, f.chunk.model->step, 2);
    for (int i = 0; i < STEPS * ROWS * N_KEPT; i++)
        CHECK(f.outputs[i] ==
                  -input_row(&f, 0, i / N_KEPT / ROWS, i / N_KEPT % ROWS)[i % N_KEPT],
              "%d rows ahead, element %d", ahead, i);
    fixture_close(&f);
}

static void test_fetching_ahead_changes_no_value(void)
{
    check_fetching(1, false);
    check_fetching(ROWS / 2, true);
    check_fetching(3 * ROWS, false);
    check_fetching(3 * ROWS, true);
}

/* ---- sums ---- */

enum { N_SUM = 19, N_CLASS = 7 };

/* Where a sum begins, ahead of its points. */
static void add_zeros(Fixture *f, Nest *n, int rank, const int64_t *extent, Access to)
{
    Sweep *s = add_sweep(f, n, rank, extent, 0);
    store(f, s, constant(f, s, 0), to);
}

typedef struct {
    real bias[N_SUM], table[N_CLASS * N_SUM];
    double total;
} Sums;

/* The sums over points of x by feature, by class (a table's gradient), and of x[0] in
 * double. */
static Sums run_sums(int threads, bool *right)
{
    int64_t n = N_SUM;
    Fixture f;
    fixture_open(&f);
    int x = add_input(&f, 0, n);
    int32_t *class = NEW_ARRAY(f.arena, int32_t, STEPS * ROWS);
    for (int i = 0; i < STEPS * ROWS; i++)
        class[i] = i % (N_CLASS + 2) - 1; /* -1 and N_CLASS go nowhere */
    f.input[1] = class, f.row_stride[1] = 1, f.step_stride[1] = ROWS;
    int word = add_buffer(&f, (Buffer){.name = "class",
                                       .home = HOME_INPUT,
                                       .element = ELEMENT_I32,
                                       .index = 1,
                                       .axes = AXES_ALL,
                                       .span = SPAN_CHUNK,
                                       .n_slot = STEPS});
    int bias = add_plain(&f, HOME_WORKSPACE, ELEMENT_REAL, n);
    int table = add_plain(&f, HOME_WORKSPACE, ELEMENT_REAL, N_CLASS * n);
    int total = add_buffer(
        &f, (Buffer){.name = "total", .home = HOME_WORKSPACE, .element = ELEMENT_F64});
    Group *g = add_group(&f, add_stage(&f, PROC_STEP, (Stage){.kind = STAGE_SUM}), false);
    Nest *nest = add_nest(&f, g);
    nest->sum = AXES_ALL;
    add_zeros(&f, nest, 1, &n, at1(bias, 1));
    add_zeros(&f, nest, 2, (const int64_t[]){N_CLASS, n}, at2(table, n, 1));
    Sweep *s = add_sweep(&f, nest, 1, &n, 0);
    s->each_point = true;
    int v = load(&f, s, at1(x, 1));
    accumulate(&f, s, v, at1(bias, 1));
    Instr scatter = {.kind = I_SCATTER,
                     .access = at1(table, 1),
                     .gather_n = N_CLASS,
                     .gather_stride = n};
    add_instr(&f, s, scatter, 2, v, load(&f, s, at(word)), 0);
    nest = add_nest(&f, g);
    nest->sum = AXES_ALL;
    add_zeros(&f, nest, 0, NULL, at(total));
    s = add_sweep(&f, nest, 0, NULL, 0);
    s->each_point = true;
    accumulate(&f, s, load(&f, s, at(x)), at(total));
    compile(&f);
    run_threads(&f, f.chunk.model->step, threads);
    Sums got, expected = {.total = 0};
    memcpy(got.bias, values(&f, bias), sizeof got.bias);
    memcpy(got.table, values(&f, table), sizeof got.table);
    memcpy(&got.total, values(&f, total), sizeof got.total);
    for (int t = 0; t < STEPS; t++)
        for (int b = 0; b < ROWS; b++) {
            int k = class[t * ROWS + b];
            expected.total += (double)input_row(&f, 0, t, b)[0];
            for (int i = 0; i < n; i++) {
                expected.bias[i] += input_row(&f, 0, t, b)[i];
                if (k >= 0 && k < N_CLASS)
                    expected.table[k * n + i] += input_row(&f, 0, t, b)[i];
            }
        }
    *right = memcmp(got.bias, expected.bias, sizeof got.bias) == 0 &&
             memcmp(got.table, expected.table, sizeof got.table) == 0 &&
             got.total == expected.total;
    fixture_close(&f);
    return got;
}

static void test_sums_are_chains_in_order_whatever_the_threads(void)
{
    for (int threads = 1; threads <= 4; threads++) {
        bool right;
        Sums got = run_sums(threads, &right);
        CHECK(right, "%d threads: total %g, bias[0] %g", threads, got.total,
              (double)got.bias[0]);
    }
}

/* ---- contractions: chains of fma in the order of k ---- */

static Access at3(int buffer, int64_t batch, int64_t outer, int64_t inner)
{
    return (Access){.buffer = buffer, .stride = {batch, outer, inner}};
}

/* A weight [n, k] in the block of parameters, packed by `pack` in two parts. */
static int add_packed(Fixture *f, int weight, int64_t n, int64_t k)
{
    const char *why;
    const Target *t = level_to_run(&why);
    int panel = target_lanes(t, real_dtype) * t->tile_vectors;
    int64_t size = (n + panel - 1) / panel * panel * k;
    int packed = add_buffer(f, (Buffer){.name = "panels",
                                        .home = HOME_WORKSPACE,
                                        .panel = panel,
                                        .pack_batch = 1,
                                        .pack_n = n,
                                        .pack_k = k,
                                        .shape = {1, {size}}});
    Nest *nest = add_nest(f, once(f, PROC_PACK));
    nest->pack = packed;
    nest->pack_from = at3(weight, 0, k, 1);
    return packed;
}

static real dot(const real *a, int64_t a_k, const real *b, int64_t b_k, int64_t k, real sum)
{
    for (int64_t i = 0; i < k; i++)
        sum = real_fma(a[i * a_k], b[i * b_k], sum);
    return sum;
}

/* The runs of k, a chain each, added up in pairs and then to `start`. */
static real dot_in_chains(const real *a, const real *b, int64_t k, real start, int chains)
{
    real sum[TILE_MAX_CHAINS];
    int64_t run = tile_chain(k, chains);
    for (int64_t i = 0; i < chains; i++)
        sum[i] = dot(a + i * run, 1, b + i * run, 1, i < chains - 1 ? run : k - i * run, 0);
    for (int half = chains / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            sum[i] += sum[i + half];
    return start + sum[0];
}

/* y = relu(bias + x Wᵀ) for all points; with n and k beside the sizes of tiles. */
static void check_product(int64_t n, int64_t k, bool scan, int threads)
{
    Fixture f;
    fixture_open(&f);
    int x = add_input(&f, 0, k), y = add_outputs(&f, n);
    int w = add_plain(&f, HOME_PARAMS, ELEMENT_REAL, n * k);
    int bias = add_buffer(
        &f,
        (Buffer){.name = "bias", .home = HOME_PARAMS, .offset = n * k, .shape = {1, {n}}});
    int sum = add_buffer(&f, (Buffer){.name = "sum",
                                      .home = HOME_WORKSPACE,
                                      .axes = AXES_ALL,
                                      .span = SPAN_BLOCK,
                                      .n_slot = BLOCK,
                                      .row_stride = n + 5,
                                      .shape = {1, {n}}});
    Nest *nest = add_nest(&f, timed(&f, PROC_STEP, scan));
    Contraction *c = NEW(f.arena, Contraction);
    *c = (Contraction){.n_batch = 1,
                       .m = 1,
                       .n = n,
                       .k = k,
                       .a = at3(x, 0, 0, 1),
                       .b = at3(w, 0, k, 1),
                       .c = at3(sum, 0, 0, 1),
                       .has_init = true,
                       .init = at3(bias, 0, 0, 1),
                       .packed = add_packed(&f, w, n, k)};
    nest->contraction = c;
    Sweep *s = add_sweep(&f, nest, 1, &n, 0);
    int top = map(&f, s, OP_MAX, load(&f, s, at1(sum, 1)), constant(&f, s, 0), 0);
    store(&f, s, top, at1(y, 1));
    compile(&f);
    for (int64_t i = 0; i < n * k + n; i++)
        f.params[i] = number(i);
    run_threads(&f, f.chunk.model->pack, threads);
    run_threads(&f, f.chunk.model->step, threads);
    for (int p = 0; p < STEPS * ROWS; p++)
        for (int64_t i = 0; i < n; i++) {
            const real *row = input_row(&f, 0, p / ROWS, p % ROWS);
            real v = dot_in_chains(row, f.params + i * k, k, f.params[n * k + i],
                                   c->tiling.chains);
            real got = f.outputs[p * n + i];
            CHECK(got == (v > 0 ? v : 0), "n %d k %d point %d, %d: %g, expected %g", (int)n,
                  (int)k, p, (int)i, (double)got, (double)v);
        }
    fixture_close(&f);
}

static void test_products_run_for_all_points_of_a_thread(void)
{
    check_product(24, 7, false, 1);
    check_product(24, 7, false, 3);
    check_product(5, 16, true, 2);
    check_product(40, 33, true, 4);
    check_product(1, 1, false, 1);
}

/* c = a Wᵀ, [m, n], without axes, split over threads; then c += 1 in a sweep. */
static void check_split_product(int64_t m, int64_t n, int64_t k, Split split, int threads)
{
    Fixture f;
    fixture_open(&f);
    int w = add_plain(&f, HOME_PARAMS, ELEMENT_REAL, n * k);
    int a = add_plain(&f, HOME_GRADS, ELEMENT_REAL, m * k);
    int r = add_plain(&f, HOME_WORKSPACE, ELEMENT_REAL, m * n);
    Nest *nest = add_nest(&f, once(&f, PROC_STEP));
    Contraction *c = NEW(f.arena, Contraction);
    *c = (Contraction){.n_batch = 1,
                       .m = m,
                       .n = n,
                       .k = k,
                       .a = at3(a, 0, k, 1),
                       .b = at3(w, 0, k, 1),
                       .c = at3(r, 0, n, 1),
                       .init.buffer = -1,
                       .packed = add_packed(&f, w, n, k)};
    nest->contraction = c;
    f.split = &split;
    Sweep *s = add_sweep(&f, nest, 2, (const int64_t[]){m, n}, 0);
    int v = load(&f, s, at2(r, n, 1));
    store(&f, s, map(&f, s, OP_ADD, v, constant(&f, s, 1), 0), at2(r, n, 1));
    compile(&f);
    for (int64_t i = 0; i < n * k; i++)
        f.params[i] = number(i);
    for (int64_t i = 0; i < m * k; i++)
        f.grads[i] = number(i + 5);
    run_threads(&f, f.chunk.model->pack, threads);
    run_threads(&f, f.chunk.model->step, threads);
    for (int64_t i = 0; i < m * n; i++) {
        real expected = dot(f.grads + i / n * k, 1, f.params + i % n * k, 1, k, 0) + 1;
        CHECK(values(&f, r)[i] == expected, "%d threads, %d: %g, expected %g", threads,
              (int)i, (double)values(&f, r)[i], (double)expected);
    }
    fixture_close(&f);
}

static void test_products_are_split_by_rows_or_columns(void)
{
    check_split_product(7, 45, 9, SPLIT_M, 3);
    check_split_product(7, 45, 9, SPLIT_N, 3);
    check_split_product(2, 3, 9, SPLIT_N, 4);
    check_split_product(2, 3, 9, SPLIT_M, 4);
    check_split_product(4, 16, 8, SPLIT_NONE, 2);
}

/* dW[m][n] = Σ over points of d[m] x[n]: a weight's gradient. */
static void check_outer_sum(int64_t m, int64_t n, Split split, int threads)
{
    Fixture f;
    fixture_open(&f);
    int d = add_input(&f, 0, m), x = add_input(&f, 1, n);
    int g = add_plain(&f, HOME_GRADS, ELEMENT_REAL, m * n);
    Stage sum = {.kind = STAGE_SUM};
    Nest *nest = add_nest(&f, add_group(&f, add_stage(&f, PROC_GRAD, sum), false));
    Contraction *c = NEW(f.arena, Contraction);
    *c = (Contraction){.n_batch = 1,
                       .m = m,
                       .n = n,
                       .k = 1,
                       .a = at3(d, 0, 1, 0),
                       .b = at3(x, 0, 1, 0),
                       .c = at3(g, 0, n, 1),
                       .init.buffer = -1,
                       .packed = -1};
    nest->contraction = c;
    f.split = &split;
    nest->sum = AXES_ALL;
    compile(&f);
    run_threads(&f, f.chunk.model->grad, threads);
    for (int64_t i = 0; i < m * n; i++) {
        real expected = 0;
        for (int p = 0; p < STEPS * ROWS; p++)
            expected = real_fma(input_row(&f, 0, p / ROWS, p % ROWS)[i / n],
                                input_row(&f, 1, p / ROWS, p % ROWS)[i % n], expected);
        CHECK(f.grads[i] == expected, "%d threads, %d: %g, expected %g", threads, (int)i,
              (double)f.grads[i], (double)expected);
    }
    fixture_close(&f);
}

static void test_sums_of_outer_products_are_one_chain_each(void)
{
    check_outer_sum(13, 37, SPLIT_M, 1);
    check_outer_sum(13, 37, SPLIT_M, 3);
    check_outer_sum(13, 37, SPLIT_N, 4);
    check_outer_sum(1, 5, SPLIT_NONE, 2);
}

/* ---- scalars, classes, results ---- */

/* p -= lr * 0.9^k / steps * p, with k a double of the optimizer that goes up by one. */
static void test_wide_scalars_are_computed_in_double(void)
{
    int64_t n = 21;
    Fixture f;
    fixture_open(&f);
    int p = add_plain(&f, HOME_PARAMS, ELEMENT_REAL, n);
    int lr = add_buffer(
        &f,
        (Buffer){.name = "lr", .home = HOME_SCALARS, .element = ELEMENT_F64, .index = 2});
    int k = add_buffer(
        &f, (Buffer){.name = "k", .home = HOME_OPTIMIZER_SCALARS, .element = ELEMENT_F64});
    int rate = add_buffer(
        &f, (Buffer){.name = "rate", .home = HOME_WORKSPACE, .element = ELEMENT_F64});
    Group *g = once(&f, PROC_UPDATE);
    Sweep *s = add_sweep(&f, add_nest(&f, g), 0, NULL, 0);
    int count = load_wide(&f, s, at(k));
    int base = add_instr(&f, s, (Instr){.kind = I_CONSTANT, .wide = true, .value = 0.9}, 0,
                         0, 0, 0);
    int power = map_wide(&f, s, OP_POW, base, count);
    int steps = add_instr(&f, s, (Instr){.kind = I_EXTENT, .wide = true, .axes = AXIS_TIME},
                          0, 0, 0, 0);
    int scaled = map_wide(&f, s, OP_MUL, load_wide(&f, s, at(lr)), power);
    store(&f, s, map_wide(&f, s, OP_DIV, scaled, steps), at(rate));
    int one =
        add_instr(&f, s, (Instr){.kind = I_CONSTANT, .wide = true, .value = 1}, 0, 0, 0, 0);
    store(&f, s, map_wide(&f, s, OP_ADD, count, one), at(k));
    Nest *nest = add_nest(&f, g);
    s = add_sweep(&f, nest, 1, &n, 0);
    int narrow = map(&f, s, OP_NARROW, load_wide(&f, s, at(rate)), 0, 0);
    int v = load(&f, s, at1(p, 1));
    int step = map(&f, s, OP_MUL, narrow, v, 0);
    store(&f, s, map(&f, s, OP_SUB, v, step, 0), at1(p, 1));
    f.plan.proc[PROC_UPDATE].gradient_norm = at(rate);
    compile(&f);
    f.scalars[2] = 0.1, f.optimizer_scalars[0] = 3;
    for (int i = 0; i < n; i++)
        f.params[i] = number(i);
    run_threads(&f, f.chunk.model->update, 2);
    double expected = 0.1 * pow(0.9, 3) / STEPS;
    CHECK(f.chunk.gradient_norm == expected, "%.17g, expected %.17g", f.chunk.gradient_norm,
          expected);
    CHECK(f.optimizer_scalars[0] == 4, "%g", f.optimizer_scalars[0]);
    for (int i = 0; i < n; i++) {
        real right = number(i) - (real)expected * number(i);
        CHECK(f.params[i] == right, "%d: %g, not %g", i, (double)f.params[i],
              (double)right);
    }
    fixture_close(&f);
}

/* y = table[class]; beyond the ends the first or the last row is read. */
static void test_gathers_stay_inside_of_the_table(void)
{
    int64_t n = 10;
    Fixture f;
    fixture_open(&f);
    static const int32_t class[STEPS * ROWS] = {-5, 0, 1, 2, 3, 4, 100, 2, 3};
    f.input[0] = class, f.row_stride[0] = 1, f.step_stride[0] = ROWS;
    int word = add_buffer(&f, (Buffer){.name = "class",
                                       .home = HOME_INPUT,
                                       .element = ELEMENT_I32,
                                       .axes = AXES_ALL,
                                       .span = SPAN_CHUNK,
                                       .n_slot = STEPS});
    int table = add_plain(&f, HOME_PARAMS, ELEMENT_REAL, 4 * n), y = add_outputs(&f, n);
    Sweep *s = add_sweep(&f, add_nest(&f, timed(&f, PROC_STEP, false)), 1, &n, 0);
    Instr gather = {
        .kind = I_GATHER, .access = at1(table, 1), .gather_n = 4, .gather_stride = n};
    int v = add_instr(&f, s, gather, 1, load(&f, s, at(word)), 0, 0);
    Instr iota = {.kind = I_IOTA, .access = {.stride = {2}, .offset = 5}};
    int number_of = add_instr(&f, s, iota, 0, 0, 0, 0);
    store(&f, s, map(&f, s, OP_ADD, v, number_of, 0), at1(y, 1));
    for (int i = 0; i < 4 * n; i++)
        f.params[i] = number(i);
    compile(&f);
    run_threads(&f, f.chunk.model->step, 1);
    for (int p = 0; p < STEPS * ROWS; p++)
        for (int i = 0; i < n; i++) {
            int k = class[p] < 0 ? 0 : class[p] > 3 ? 3 : class[p];
            real expected = f.params[k * n + i] + (real)(5 + 2 * i);
            CHECK(f.outputs[p * n + i] == expected, "point %d, %d: %g", p, i,
                  (double)f.outputs[p * n + i]);
        }
    fixture_close(&f);
}

/* Draws are those of rnn_philox.h at the point's step and row; without time, at step 0. */
static void check_random(bool time, int64_t n, int offset)
{
    Fixture f;
    fixture_open(&f);
    Buffer out = {.name = "u",
                  .home = time ? HOME_OUTPUTS : HOME_STATE_OUT,
                  .axes = time ? AXES_ALL : AXIS_ROW,
                  .span = SPAN_CHUNK,
                  .shape = {1, {n}}};
    int y = add_buffer(&f, out);
    Stage rows = {.kind = STAGE_ROWS};
    Group *g = time ? timed(&f, PROC_STEP, false)
                    : add_group(&f, add_stage(&f, PROC_STEP, rows), false);
    Sweep *s = add_sweep(&f, add_nest(&f, g), 1, &n, 0);
    Instr draw = {.kind = I_RANDOM,
                  .index = 5,
                  .axes = out.axes,
                  .access = {.stride = {1}, .offset = offset}};
    store(&f, s, add_instr(&f, s, draw, 0, 0, 0, 0), at1(y, 1));
    compile(&f);
    f.chunk.rng = (struct rnn_rng){0x123456789abcdef, (INT64_C(3) << 32) + 7, 1000, 50};
    run_threads(&f, f.chunk.model->step, 2);
    for (int p = 0; p < (time ? STEPS : 1) * ROWS; p++)
        for (int i = 0; i < n; i++) {
            real got = (time ? f.outputs : f.state_out)[p * n + i];
            real expected =
                rnn_uniform(f.chunk.rng.seed, 5, f.chunk.rng.iteration, 1000 + p % ROWS,
                            time ? 50 + p / ROWS : 0, offset + i);
            CHECK(got == expected, "point %d, %d: %g, expected %g", p, i, (double)got,
                  (double)expected);
        }
    fixture_close(&f);
}

static void test_draws_are_named_by_step_row_and_unit(void)
{
    check_random(true, 21, 0);
    check_random(true, 21, 2);
    check_random(false, 24, 8);
    check_random(true, 1, 5);
}

/* grad reports a loss from memory; update counts in the parameters how often it ran. */
static void check_train(double loss, double weight, bool updated)
{
    Fixture f;
    fixture_open(&f);
    int p = add_buffer(&f, (Buffer){.name = "p", .home = HOME_PARAMS});
    int s0 = add_buffer(
        &f,
        (Buffer){.name = "s0", .home = HOME_SCALARS, .element = ELEMENT_F64, .index = 0});
    int s1 = add_buffer(
        &f,
        (Buffer){.name = "s1", .home = HOME_SCALARS, .element = ELEMENT_F64, .index = 1});
    f.plan.proc[PROC_GRAD].loss = at(s0);
    f.plan.proc[PROC_GRAD].weight = at(s1);
    Sweep *s = add_sweep(&f, add_nest(&f, once(&f, PROC_UPDATE)), 0, NULL, 0);
    store(&f, s, map(&f, s, OP_ADD, load(&f, s, at(p)), constant(&f, s, 1), 0), at(p));
    compile(&f);
    f.scalars[0] = loss, f.scalars[1] = weight;
    run_threads(&f, f.chunk.model->train, 3);
    CHECK(f.params[0] == (real)updated, "loss %g weight %g: %g updates", loss, weight,
          (double)f.params[0]);
    CHECK(f.chunk.finite == (isfinite(loss) || weight == 0), "finite %d", f.chunk.finite);
    CHECK(f.chunk.weight == weight, "weight %g", f.chunk.weight);
    CHECK(weight != 0 ? f.chunk.loss == loss || isnan(loss) : isnan(f.chunk.loss),
          "loss %g", f.chunk.loss);
    fixture_close(&f);
}

static void test_train_updates_when_there_is_something_to_learn_from(void)
{
    check_train(1.5, 2, true);
    check_train(1.5, 0, false);
    check_train(NAN, 2, false);
    check_train(INFINITY, 2, false);
}

/* ---- tables ---- */

static void test_the_model_says_what_its_tables_said(void)
{
    static const struct rnn_input inputs[] = {
        {"x", RNN_REAL, .rank = 2, .dim = {3, 4}, .size = 12},
        {"c", RNN_CLASS, .per_sequence = true, .size = 1, .classes = 9, .has_ignore = true,
         .ignore = -100},
    };
    static const struct rnn_scalar scalars[] = {
        {.name = "lr", .value = 0.125, .limited = true, .least = -1, .most = 2},
        {.name = "epoch", .value = 1, .counter = true},
    };
    Fixture f;
    fixture_open(&f);
    f.tables.n_input = 2, f.tables.input = inputs;
    f.tables.n_scalar = 2, f.tables.scalar = scalars;
    f.tables.output_dim[5] = 77;
    compile(&f);
    const struct rnn_model *m = f.chunk.model;
    CHECK_TEXT(m->name, "hand-made");
    CHECK_TEXT(m->input[1].name, "c");
    CHECK(m->input[0].dim[1] == 4 && m->input[1].ignore == -100 &&
              m->input[1].per_sequence && !m->input[1].for_loss_only &&
              m->input[1].kind == RNN_CLASS,
          "inputs differ");
    CHECK(m->scalar[0].value == 0.125 && m->scalar[1].counter, "scalars differ");
    CHECK(m->scalar[0].limited && m->scalar[0].least == -1 && m->scalar[0].most == 2 &&
              !m->scalar[1].limited,
          "ranges differ");
    CHECK(m->output_dim[5] == 77 && m->rows_max == ROWS && m->param == NULL,
          "model differs");
    CHECK(m->workspace_bytes == WORKSPACE_BYTES / 2 + 4 * 8192, "%d bytes",
          (int)m->workspace_bytes);
    CHECK(m->context == NULL && m->train && m->step, "procedures");
    fixture_close(&f);
}

/* Of a plan in parts, `step` is made when a team's threads call it all at once; what they
   compute has the bits of the module whole. */
static void test_a_part_is_made_when_it_is_first_called(void)
{
    enum { THREADS = 4 };
    int64_t n = 23;
    const char *why;
    const Target *target = level_to_run(&why);
    real whole[STEPS * ROWS * 23];
    Fixture f;
    fixture_open(&f);
    int x = add_input(&f, 0, n), y = add_outputs(&f, n);
    Sweep *s = add_sweep(&f, add_nest(&f, timed(&f, PROC_STEP, false)), 1, &n, 0);
    store(&f, s, map(&f, s, OP_TANH, load(&f, s, at1(x, 1)), 0, 0), at1(y, 1));
    compile(&f);
    run_threads(&f, f.chunk.model->step, THREADS);
    memcpy(whole, f.outputs, sizeof whole);
    memset(f.outputs, 0, sizeof whole);
    Jit *parts = jit_plan(f.arena, f.diag, &f.plan, &f.tables, target, true);
    CHECK(parts != NULL, "not compiled");
    if (parts) {
        f.chunk.model = jit_model(parts);
        for (int i = 0; i < 2; i++)
            run_threads(&f, f.chunk.model->step, THREADS);
        CHECK(memcmp(whole, f.outputs, sizeof whole) == 0, "other bits");
        CHECK(f.chunk.model->workspace_bytes == jit_model(f.jit)->workspace_bytes,
              "tables");
    }
    jit_free(parts);
    fixture_close(&f);
}

/* A target that LLVM stops knowing after the first parts were made. */
static void test_a_part_that_cannot_be_made_fails_for_all_threads(void)
{
    const char *why;
    Target target = *level_to_run(&why);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    Fixture f;
    fixture_open(&f);
    compile(&f);
    Diag *diag = diag_new(f.arena, out);
    Jit *parts = jit_plan(f.arena, diag, &f.plan, &f.tables, &target, true);
    CHECK(parts != NULL, "not compiled");
    target.triple = "none-of-these";
    for (int thread = 0; parts && thread < 3; thread++) {
        f.chunk.model = jit_model(parts);
        int status = f.chunk.model->step(&f.chunk, thread);
        CHECK(status == RNN_EDEVICE, "status %d", status);
    }
    fclose(out);
    const char *first = strstr(text, "LLVM says: ");
    CHECK(first && !strstr(first + 1, "LLVM says: "), "not once: %s", text);
    free(text);
    jit_free(parts);
    fixture_close(&f);
}

/* Every level's code can be made here, if not run. */
static void test_all_targets_make_objects(void)
{
    for (int i = 0; i < n_target; i++) {
        Fixture f;
        int64_t n = 23;
        fixture_open(&f);
        int x = add_input(&f, 0, n), y = add_outputs(&f, n);
        Sweep *s = add_sweep(&f, add_nest(&f, timed(&f, PROC_STEP, false)), 1, &n, 0);
        store(&f, s, map(&f, s, OP_TANH, load(&f, s, at1(x, 1)), 0, 0), at1(y, 1));
        f.module = emit_plan(f.arena, f.diag, &f.plan, &f.tables, &targets[i]);
        CHECK(f.module && emit_write_object(f.module, f.diag, "/dev/null"), "%s",
              targets[i].name);
        fixture_close(&f);
    }
}

int main(void)
{
    const char *why;
    if (!level_to_run(&why))
        return check_skip(why);
    test_a_map_covers_all_points_and_partial_vectors();
    test_nothing_beyond_the_extents_is_touched();
    test_strides_make_views();
    test_sweeps_of_a_nest_see_what_earlier_ones_stored();
    test_reductions_go_over_inner_and_outer_dimensions();
    test_argmax_finds_the_first_of_equals_and_nan();
    test_scans_carry_states_through_blocks_both_ways();
    test_groups_of_a_block_share_its_slots();
    test_fetching_ahead_changes_no_value();
    test_sums_are_chains_in_order_whatever_the_threads();
    test_products_run_for_all_points_of_a_thread();
    test_products_are_split_by_rows_or_columns();
    test_sums_of_outer_products_are_one_chain_each();
    test_wide_scalars_are_computed_in_double();
    test_gathers_stay_inside_of_the_table();
    test_draws_are_named_by_step_row_and_unit();
    test_train_updates_when_there_is_something_to_learn_from();
    test_the_model_says_what_its_tables_said();
    test_a_part_is_made_when_it_is_first_called();
    test_a_part_that_cannot_be_made_fails_for_all_threads();
    test_all_targets_make_objects();
    return check_result();
}
