/*
 * differential.c — the trial of differential.h.
 *
 * The reference is the interpreter in f64, on the graph as it was before the passes for
 * machine code. A situation is all that a chunk reads: data, parameters, the optimizer's
 * state, carried states, all of them reals of the model. Every way to run starts each chunk
 * from the reference's situation, and updates from the reference's gradients, so what is
 * compared is one chunk's arithmetic and nothing is compared twice.
 *
 * The bound. A value of a tensor may be away from the reference's by
 *
 *     4 * (u * L * max |reference| + s)
 *
 * u is 2^-24, or 2^-53 in a model of doubles, where the reference rounds as much itself. L
 * is the longest chain of roundings in one step forward and backward: over all paths of the
 * graph the sum of 1 for an elementwise operation (its promise in ulp if that is more) and
 * the number of terms for a sum or a product; any order of summation has at most as many
 * (Higham 2002, ch. 3: gamma_n). s is how much that tensor moves when the chunk is run in
 * f32 by the interpreter (a model of floats), or in f64 with all data moved by some units
 * of the last place: the conditioning of the chunk as a whole, through all its steps. Where
 * s is over a hundredth of the tensor (a kink, a spike, a cancellation nearby) other data
 * are drawn.
 */
#include "differential.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine.h"
#include "graph/describe.h"
#include "graph/interp.h"
#include "level.h"
#include "services.h"
#include "threads.h"

enum { CHUNKS = 4, DRAWS = 6, TRIAL_SECONDS = 60, THREADS_MOST = 3 };

/* ---- draws ---- */

/* splitmix64 (Steele, Lea and Flood 2014). */
uint64_t draw_bits(Draw *d)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

double draw_unit(Draw *d) { return (double)(draw_bits(d) >> 11) * 0x1p-53; }

int64_t draw_whole(Draw *d, int64_t n) { return (int64_t)(draw_bits(d) % (uint64_t)n); }

/* ---- units ---- */

static FILE *messages(void)
{
    FILE *nowhere = getenv("RNNC_VERBOSE") ? NULL : fopen("/dev/null", "w");
    return nowhere ? nowhere : stderr;
}

Unit *trial_unit(Arena *arena, const Trial *t, const Target *target, bool fuse,
                 const char *last)
{
    static const Target any = {.name = "any",
                               .vector_bytes = 32,
                               .registers = 16,
                               .tile_rows = 6,
                               .tile_vectors = 2,
                               .l1_bytes = 32 << 10,
                               .l2_bytes = 512 << 10,
                               .tlb_bytes = 256 << 10};
    char path[] = "/tmp/rnnc_trial_XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w"), *out = messages();
    if (!file) {
        fprintf(stderr, "no temporary file\n");
        exit(TRIAL_FAILED);
    }
    fputs(t->text, file);
    fclose(file);
    Unit *u = NEW(arena, Unit);
    *u = (Unit){.arena = arena, .diag = diag_new(arena, out)};
    u->options = (Options){
        .spec_path = path, .fuse = fuse, .steps_max = t->steps, .rows_max = t->rows};
    u->target = target ? target : &any;
    bool good = pipeline_run(u, last);
    unlink(path);
    if (out != stderr)
        fclose(out);
    u->options.spec_path = NULL;
    return good ? u : NULL;
}

/* ---- situations: what a chunk reads ---- */

typedef struct {
    int64_t steps, rows, loss_from, save_at;
    uint8_t *start;
    void **input; /* dense */
    void *params, *optimizer, *state, *grads;
    double *scalars, *optimizer_scalars, *running;
} Situation;

static size_t bytes_of(int64_t n, size_t size) { return (size_t)n * size; }

static size_t real_bytes(const struct rnn_model *m, int64_t n)
{
    return bytes_of(n, rnn_dtype_bytes(m->dtype));
}

static size_t state_bytes(const struct rnn_model *m)
{
    return real_bytes(m, m->state_size * m->rows_max);
}

static int64_t input_elements(const struct rnn_input *in, int64_t steps, int64_t rows)
{
    return (in->per_sequence ? 1 : steps) * rows * in->size;
}

/* Bytes of n elements of input i. */
static size_t input_bytes(const struct rnn_model *m, int i, int64_t n)
{
    return bytes_of(n, rnn_input_bytes(&m->input[i], m->dtype));
}

static Situation situation_new(Arena *a, const struct rnn_model *m)
{
    Situation s = {.start = NEW_ARRAY(a, uint8_t, m->rows_max),
                   .input = NEW_ARRAY(a, void *, m->n_input),
                   .params = NEW_ARRAY(a, double, m->params_size),
                   .grads = NEW_ARRAY(a, double, m->params_size),
                   .optimizer = NEW_ARRAY(a, double, m->optimizer_size),
                   .state = NEW_ARRAY(a, double, m->state_size * m->rows_max),
                   .scalars = NEW_ARRAY(a, double, m->n_scalar),
                   .optimizer_scalars = NEW_ARRAY(a, double, m->n_optimizer_scalar),
                   .running = NEW_ARRAY(a, double, m->n_running)};
    for (int i = 0; i < m->n_input; i++)
        s.input[i] =
            NEW_ARRAY(a, double, input_elements(&m->input[i], m->steps_max, m->rows_max));
    memset(s.state, 0, state_bytes(m));
    return s;
}

static void draw_element(Draw *d, enum rnn_dtype dtype, const struct rnn_input *in,
                         void *to, int64_t i)
{
    bool ignored = in->has_ignore && draw_whole(d, 5) == 0;
    switch (in->kind) {
    case RNN_REAL: rnn_real_set(to, dtype, i, 3 * draw_unit(d) - 1.5); return;
    case RNN_FLAG: rnn_real_set(to, dtype, i, draw_whole(d, 4) == 0); return;
    case RNN_INTEGER: ((int32_t *)to)[i] = (int32_t)draw_whole(d, 7); return;
    case RNN_CLASS:
        ((int32_t *)to)[i] = (int32_t)(ignored ? in->ignore : draw_whole(d, in->classes));
        return;
    }
}

/* The data of one chunk: the first is whole and starts all rows, the last is shorter and
   has fewer rows. */
static void draw_chunk(Draw *d, const struct rnn_model *m, int chunk, Situation *s)
{
    bool last = chunk == CHUNKS - 1;
    s->steps = last && m->steps_max > 1 ? m->steps_max - 1 : m->steps_max;
    s->rows = last && m->rows_max > 1 ? m->rows_max - 1 : m->rows_max;
    s->loss_from = draw_whole(d, (s->steps + 1) / 2);
    s->save_at = draw_whole(d, s->steps + 1);
    for (int64_t b = 0; b < s->rows; b++)
        s->start[b] = chunk == 0 || draw_whole(d, 3) == 0;
    for (int i = 0; i < m->n_input; i++)
        for (int64_t j = 0; j < input_elements(&m->input[i], s->steps, s->rows); j++)
            draw_element(d, m->dtype, &m->input[i], s->input[i], j);
    for (int i = 0; i < m->n_scalar; i++)
        s->scalars[i] = m->scalar[i].counter ? chunk + 1 : m->scalar[i].value;
}

/* Half a unit of the last place of 1. */
static double rounding_of(enum rnn_dtype dtype)
{
    return dtype == RNN_F64 ? 0x1p-53 : 0x1p-24;
}

/* Moves all real data by at most two units of the last place. */
static void nudge(Draw *d, enum rnn_dtype dtype, void *v, int64_t n)
{
    double most = 4 * rounding_of(dtype);
    for (int64_t i = 0; i < n; i++)
        rnn_real_set(v, dtype, i,
                     rnn_real_at(v, dtype, i) * (1 + most * (2 * draw_unit(d) - 1)));
}

static void situation_copy(const struct rnn_model *m, Situation *to, const Situation *from)
{
    to->steps = from->steps, to->rows = from->rows;
    to->loss_from = from->loss_from, to->save_at = from->save_at;
    memcpy(to->start, from->start, bytes_of(m->rows_max, 1));
    for (int i = 0; i < m->n_input; i++)
        memcpy(to->input[i], from->input[i],
               input_bytes(m, i, input_elements(&m->input[i], from->steps, from->rows)));
    memcpy(to->params, from->params, real_bytes(m, m->params_size));
    memcpy(to->grads, from->grads, real_bytes(m, m->params_size));
    memcpy(to->optimizer, from->optimizer, real_bytes(m, m->optimizer_size));
    memcpy(to->state, from->state, state_bytes(m));
    memcpy(to->scalars, from->scalars, bytes_of(m->n_scalar, 8));
    memcpy(to->running, from->running, bytes_of(m->n_running, 8));
    memcpy(to->optimizer_scalars, from->optimizer_scalars,
           bytes_of(m->n_optimizer_scalar, 8));
}

static void situation_nudge(Draw *d, const struct rnn_model *m, Situation *s)
{
    for (int i = 0; i < m->n_input; i++)
        if (m->input[i].kind == RNN_REAL)
            nudge(d, m->dtype, s->input[i],
                  input_elements(&m->input[i], s->steps, s->rows));
    nudge(d, m->dtype, s->params, m->params_size);
    nudge(d, m->dtype, s->grads, m->params_size);
    nudge(d, m->dtype, s->optimizer, m->optimizer_size);
    nudge(d, m->dtype, s->state, m->state_size * m->rows_max);
}

/* ---- runners: a model and its blocks ---- */

/* Memory whose last byte is before a page that may not be touched. */
typedef struct {
    char *end;
    size_t bytes;
} Guarded;

static Guarded guarded_new(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page) / page * page;
    int zeros = open("/dev/zero", O_RDWR);
    char *p = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE, zeros, 0);
    close(zeros);
    if (p == MAP_FAILED || mprotect(p + whole, page, PROT_NONE) != 0) {
        fprintf(stderr, "no memory for a guarded block of %zu bytes\n", bytes);
        exit(TRIAL_FAILED);
    }
    return (Guarded){p + whole, bytes};
}

static void *guarded_fit(const Guarded *g, size_t bytes) { return g->end - bytes; }

static void *guarded_array(int64_t n, size_t size)
{
    Guarded g = guarded_new(bytes_of(n, size));
    return guarded_fit(&g, g.bytes);
}

typedef struct {
    const struct rnn_model *m;
    struct rnn__team *team[THREADS_MOST + 1];
    struct rnn_chunk c;
    Guarded start, outputs, *input;
    const void **input_at;
    int64_t *step_stride, *row_stride;
    void *state_in;
} Runner;

static Runner *runner_new(Arena *a, const struct rnn_model *m)
{
    Runner *r = NEW(a, Runner);
    *r = (Runner){
        .m = m,
        .start = guarded_new(bytes_of(m->rows_max, 1)),
        .outputs = guarded_new(real_bytes(m, m->steps_max * m->rows_max * m->output_size)),
        .input = NEW_ARRAY(a, Guarded, m->n_input),
        .input_at = NEW_ARRAY(a, const void *, m->n_input),
        .step_stride = NEW_ARRAY(a, int64_t, m->n_input),
        .row_stride = NEW_ARRAY(a, int64_t, m->n_input),
        .state_in = guarded_array(m->state_size * m->rows_max, rnn_dtype_bytes(m->dtype))};
    size_t real = rnn_dtype_bytes(m->dtype);
    r->c = (struct rnn_chunk){
        .model = m,
        .training = true,
        .rng = {.seed = 11, .row0 = 3},
        .scalars = guarded_array(m->n_scalar, 8),
        .input = r->input_at,
        .step_stride = r->step_stride,
        .row_stride = r->row_stride,
        .params = guarded_array(m->params_size, real),
        .grads = guarded_array(m->params_size, real),
        .optimizer = guarded_array(m->optimizer_size, real),
        .optimizer_scalars = guarded_array(m->n_optimizer_scalar, 8),
        .state_in = r->state_in,
        .state_out = guarded_array(m->state_size * m->rows_max, real),
        .state_saved = guarded_array(m->state_size * m->rows_max, real),
        .workspace = guarded_array((m->workspace_bytes + 63) / 64 * 64, 1),
        .services = &rnn__services,
        .metrics = guarded_array(m->n_metric, 8),
        .running = guarded_array(m->n_running, 8),
    };
    for (int i = 0; i < m->n_input; i++)
        r->input[i] = guarded_new(
            input_bytes(m, i, input_elements(&m->input[i], m->steps_max, m->rows_max)));
    return r;
}

/* NaNs, as floats and as doubles, wherever a procedure may not read before it
   has written. */
static void poison(void *block, size_t bytes)
{
    static const uint32_t pattern = 0x7ff4dead;
    for (size_t i = 0; i + 4 <= bytes; i += 4)
        memcpy((char *)block + i, &pattern, 4);
}

/* Data of the chunk; odd chunks with rows outermost, as a data set would hold them. */
static void runner_feed(Runner *r, const Situation *s, int chunk)
{
    const struct rnn_model *m = r->m;
    struct rnn_chunk *c = &r->c;
    c->steps = s->steps, c->rows = s->rows;
    c->rng.iteration = 5 + chunk, c->rng.step0 = chunk;
    c->loss_from = s->loss_from, c->save_at = s->save_at;
    c->start = memcpy(guarded_fit(&r->start, (size_t)s->rows), s->start, (size_t)s->rows);
    c->outputs =
        guarded_fit(&r->outputs, real_bytes(m, s->steps * s->rows * m->output_size));
    memcpy((double *)(uintptr_t)c->scalars, s->scalars, bytes_of(m->n_scalar, 8));
    for (int i = 0; i < m->n_input; i++) {
        const struct rnn_input *in = &m->input[i];
        int64_t steps = in->per_sequence ? 1 : s->steps;
        size_t each = rnn_input_bytes(in, m->dtype);
        char *to = guarded_fit(&r->input[i], bytes_of(steps * s->rows * in->size, each));
        bool by_row = chunk % 2;
        r->input_at[i] = to;
        r->step_stride[i] = by_row ? in->size : s->rows * in->size;
        r->row_stride[i] = by_row ? steps * in->size : in->size;
        for (int64_t t = 0; t < steps; t++)
            for (int64_t b = 0; b < s->rows; b++)
                memcpy(to + bytes_of(t * r->step_stride[i] + b * r->row_stride[i], each),
                       (const char *)s->input[i] +
                           bytes_of((t * s->rows + b) * in->size, each),
                       bytes_of(in->size, each));
    }
}

static void runner_set_params(Runner *r, const Situation *s)
{
    const struct rnn_model *m = r->m;
    memcpy(r->c.params, s->params, real_bytes(m, m->params_size));
    memcpy(r->c.optimizer, s->optimizer, real_bytes(m, m->optimizer_size));
    memcpy(r->c.optimizer_scalars, s->optimizer_scalars,
           bytes_of(m->n_optimizer_scalar, 8));
}

static void runner_set_state(Runner *r, const Situation *s)
{
    memcpy(r->state_in, s->state, state_bytes(r->m));
}

static void runner_call(Runner *r, rnn_procedure *procedure, int n_thread)
{
    if (!r->team[n_thread] &&
        rnn__team_new(&r->team[n_thread], n_thread, rnn__allocator_or_default(NULL)) != 0) {
        fprintf(stderr, "no team of %d threads\n", n_thread);
        exit(TRIAL_FAILED);
    }
    r->c.team = rnn__team_base(r->team[n_thread]);
    int status = rnn__team_run(r->team[n_thread], procedure, &r->c);
    if (status != 0) {
        fprintf(stderr, "a procedure returned %d\n", status);
        exit(TRIAL_FAILED);
    }
}

static void runner_repack(Runner *r, int n_thread)
{
    poison(r->c.workspace, (size_t)r->m->workspace_bytes);
    runner_call(r, r->m->pack, n_thread);
}

/* ---- results ---- */

typedef struct {
    const char *what, *name;
    int64_t n;
    double *v;
} Value;

typedef struct {
    Arena *arena;
    int n, capacity;
    Value *value;
} Results;

/* n reals of a block, from element `first` on. */
static void put_reals(Results *to, const char *what, const char *name, const Runner *r,
                      const void *block, int64_t first, int64_t n)
{
    Value *x = PUSH(to->arena, to->value, to->n, to->capacity);
    *x = (Value){what, name, n, NEW_ARRAY(to->arena, double, n)};
    for (int64_t i = 0; i < n; i++)
        x->v[i] = rnn_real_at(block, r->m->dtype, first + i);
}

static void put_number(Results *to, const char *what, const char *name, double v)
{
    Value *x = PUSH(to->arena, to->value, to->n, to->capacity);
    *x = (Value){what, name, 1, NEW(to->arena, double)};
    *x->v = v;
}

static void put_state_block(Results *to, const Runner *r, const char *what,
                            const void *block)
{
    for (int i = 0; i < r->m->n_state; i++) {
        const struct rnn_state *s = &r->m->state[i];
        put_reals(to, what, s->name, r, block, s->offset * r->m->rows_max,
                  r->c.rows * s->size);
    }
}

static void put_states(Results *to, const Runner *r, const char *what)
{
    put_state_block(to, r, what, r->c.state_out);
}

/* What a window leaves for the next one. */
static void put_saved(Results *to, const Runner *r)
{
    if (r->m->tbptt_step < r->m->steps_max)
        put_state_block(to, r, "saved", r->c.state_saved);
}

static void put_forward(Results *to, const Runner *r, const char *what)
{
    put_reals(to, what, "output", r, r->c.outputs, 0,
              r->c.steps * r->c.rows * r->m->output_size);
    put_states(to, r, what);
}

static void put_tensors(Results *to, const char *what, const Runner *r, int n,
                        const struct rnn_tensor *t, const void *block)
{
    for (int i = 0; i < n; i++)
        put_reals(to, what, t[i].name, r, block, t[i].offset, t[i].size);
}

static void put_update(Results *to, const Runner *r)
{
    const struct rnn_model *m = r->m;
    put_tensors(to, "updated", r, m->n_param, m->param, r->c.params);
    put_tensors(to, "optimizer", r, m->n_optimizer, m->optimizer, r->c.optimizer);
    for (int i = 0; i < m->n_optimizer_scalar; i++)
        put_number(to, "optimizer", m->optimizer_scalar[i].name, r->c.optimizer_scalars[i]);
}

/* One chunk by each procedure, from the situation. own_gradients: the runner's go into the
   situation, for who comes after; else it updates from those that are there. */
static void run_chunk(Runner *r, Situation *s, int chunk, bool own_gradients, Results *to)
{
    const struct rnn_model *m = r->m;
    struct rnn_chunk *c = &r->c;
    runner_feed(r, s, chunk);
    runner_set_params(r, s);
    runner_set_state(r, s);
    memcpy(c->running, s->running, bytes_of(m->n_running, 8));
    runner_repack(r, 1);
    c->gradient_norm = 0;
    runner_call(r, m->grad, 1);
    put_number(to, "grad", "loss", c->loss);
    put_number(to, "grad", "weight", c->weight);
    put_states(to, r, "grad");
    put_saved(to, r);
    put_tensors(to, "gradient", r, m->n_param, m->param, c->grads);
    for (int i = 0; i < m->n_metric; i++)
        if (m->metric[i].in_training)
            put_number(to, "metric of training", m->metric[i].name, c->metrics[i]);
    if (own_gradients)
        memcpy(s->grads, c->grads, real_bytes(m, m->params_size));

    c->training = false;
    memcpy(c->running, s->running, bytes_of(m->n_running, 8));
    runner_call(r, m->eval, 1);
    put_number(to, "eval", "loss", c->loss);
    put_states(to, r, "eval");
    for (int i = 0; i < m->n_metric; i++)
        put_number(to, "metric", m->metric[i].name, c->metrics[i]);
    runner_call(r, m->step, 1);
    put_forward(to, r, "step");
    c->training = true;

    memcpy(c->grads, s->grads, real_bytes(m, m->params_size));
    runner_call(r, m->update, 1);
    put_number(to, "update", "gradient_norm", c->gradient_norm);
    put_update(to, r);
}

static bool finite(const Results *r)
{
    for (int i = 0; i < r->n; i++)
        for (int64_t j = 0; j < r->value[i].n; j++)
            if (!isfinite(r->value[i].v[j]))
                return false;
    return true;
}

static double largest(const Value *v)
{
    double most = 0;
    for (int64_t i = 0; i < v->n; i++)
        most = fmax(most, fabs(v->v[i]));
    return most;
}

static double distance(const Value *a, const Value *b, int64_t *worst)
{
    double most = -1;
    for (int64_t i = 0; i < a->n; i++) {
        double d = fabs(a->v[i] - b->v[i]);
        if (!(d <= most)) {
            most = isnan(d) ? INFINITY : d;
            *worst = i;
        }
    }
    return most;
}

/* ---- the bound ---- */

/* How many numbers an einsum, a reduction or a total adds up. */
static double terms(const Graph *g, const Node *n, double points)
{
    double in = 1, out = (double)shape_size(&n->shape);
    if (op_defs[n->op]->family == FAMILY_CONTRACT) {
        double extent[128] = {0};
        for (int a = 0; a < 2; a++)
            for (int i = 0; n->attr.label[a][i]; i++)
                extent[(int)n->attr.label[a][i]] = (double)g->node[n->arg[a]].shape.dim[i];
        for (int c = 0; c < 128; c++)
            in *= extent[c] > 0 ? extent[c] : 1;
    } else {
        in = (double)shape_size(&g->node[n->arg[0]].shape);
    }
    bool sums_points = n->attr.axes & (Axes)~n->axes;
    double t = in / fmax(out, 1);
    return fmax(t, 1) * (sums_points ? points : 1);
}

static double roundings(const Graph *g, const Node *n, double points)
{
    const OpDef *d = op_defs[n->op];
    switch (d->family) {
    case FAMILY_LEAF:
    case FAMILY_MAKER: return 1;
    case FAMILY_MAP: return fmax(1, d->ulp);
    case FAMILY_MOVE: return n->op == OP_SCATTER ? points : 0;
    case FAMILY_REDUCE:
    case FAMILY_CONTRACT: return terms(g, n, points);
    }
    return 1;
}

static double longest_chain(Arena *a, const Graph *g, int64_t steps, int64_t rows)
{
    double *length = NEW_ARRAY(a, double, g->n_node), most = 1;
    for (NodeId id = 0; id < g->n_node; id++) {
        const Node *n = &g->node[id];
        double before = 0;
        for (int i = 0; i < n->n_arg; i++)
            before = fmax(before, length[n->arg[i]]);
        length[id] = before + roundings(g, n, (double)(steps * rows));
        most = fmax(most, length[id]);
    }
    return most;
}

/* ---- the reference ---- */

typedef struct {
    Results exact;
    double *sway; /* by value: s of the bound */
} Expected;

typedef struct {
    const Trial *t;
    Arena *arena;
    double chain;
    Runner *f64, *f32; /* f32 NULL: the model's reals are double */
    Situation chunk[CHUNKS];
    Expected expected[CHUNKS];
} Course;

/* One direction of rounding errors may be nearly blind to a cancellation (a gradient of
   4e-6 that is left of terms of 1e-2); the largest of several is not. */
enum { NUDGES = 4 };

static void sway_of(Expected *e, const Results *other)
{
    int64_t worst;
    for (int i = 0; i < e->exact.n; i++)
        e->sway[i] =
            fmax(e->sway[i], distance(&e->exact.value[i], &other->value[i], &worst));
}

static bool well_conditioned(const Expected *e)
{
    for (int i = 0; i < e->exact.n; i++)
        if (!(e->sway[i] <= 0.01 * largest(&e->exact.value[i])))
            return false;
    return true;
}

/* The reference of chunk i, from its situation. false: other data, please. */
static bool expect(Course *c, Draw *d, int i)
{
    Expected *e = &c->expected[i];
    Results other = {.arena = c->arena};
    *e = (Expected){.exact = {.arena = c->arena}};
    run_chunk(c->f64, &c->chunk[i], i, true, &e->exact);
    if (!finite(&e->exact) || !(c->f64->c.weight > 0))
        return false;
    e->sway = NEW_ARRAY(c->arena, double, e->exact.n);
    if (c->f32) {
        run_chunk(c->f32, &c->chunk[i], i, false, &other);
        sway_of(e, &other);
    }
    for (int k = 0; k < NUDGES; k++) {
        Situation near = situation_new(c->arena, c->f64->m);
        situation_copy(c->f64->m, &near, &c->chunk[i]);
        situation_nudge(d, c->f64->m, &near);
        other = (Results){.arena = c->arena};
        run_chunk(c->f64, &near, i, false, &other);
        sway_of(e, &other);
    }
    /* the f64 runner ends as the next chunk begins */
    other = (Results){.arena = c->arena};
    run_chunk(c->f64, &c->chunk[i], i, false, &other);
    return well_conditioned(e);
}

/* Parameters: as the spec makes them, then moved, so that none is exactly 0 or 1. */
static void first_params(Course *c, Draw *d)
{
    Runner *r = c->f64;
    runner_call(r, r->m->init, 1);
    for (int64_t i = 0; i < r->m->params_size; i++)
        rnn_real_set(r->c.params, r->m->dtype, i,
                     rnn_real_at(r->c.params, r->m->dtype, i) + 0.4 * draw_unit(d) - 0.2);
    memset(r->c.state_out, 0, state_bytes(r->m));
}

static bool make_course(Course *c, uint64_t seed)
{
    const struct rnn_model *m = c->f64->m;
    Draw d = {seed};
    first_params(c, &d);
    for (int i = 0; i < CHUNKS; i++) {
        Situation *s = &c->chunk[i];
        *s = situation_new(c->arena, m);
        draw_chunk(&d, m, i, s);
        memcpy(s->params, c->f64->c.params, real_bytes(m, m->params_size));
        if (i > 0)
            memcpy(s->running, c->f64->c.running, bytes_of(m->n_running, 8));
        memcpy(s->optimizer, c->f64->c.optimizer, real_bytes(m, m->optimizer_size));
        memcpy(s->optimizer_scalars, c->f64->c.optimizer_scalars,
               bytes_of(m->n_optimizer_scalar, 8));
        memcpy(s->state, c->f64->c.state_out, state_bytes(m));
        if (!expect(c, &d, i))
            return false;
    }
    return true;
}

/* ---- comparing ---- */

static bool compare(const Course *c, const char *how, int chunk, const Results *got)
{
    const Expected *e = &c->expected[chunk];
    double u = rounding_of(c->f64->m->dtype);
    bool same = true;
    for (int i = 0; i < e->exact.n && same; i++) {
        const Value *x = &e->exact.value[i], *y = &got->value[i];
        int64_t worst = 0;
        double most = distance(y, x, &worst), big = largest(x);
        double bound = 4 * (u * c->chain * big + e->sway[i]);
        if (x->n == 0 || most <= bound)
            continue;
        same = false;
        fprintf(
            stderr,
            "%s: %s, chunk %d: %s %s[%lld] is %.9g, expected %.9g: away by %.3g, allowed "
            "%.3g (chain %g, largest %.3g, sway %.3g)\n",
            c->t->name, how, chunk, x->what, x->name, (long long)worst, y->v[worst],
            x->v[worst], most, bound, c->chain, big, e->sway[i]);
    }
    return same;
}

static bool same_numbers(const Course *c, Runner *r, const char *how)
{
    for (int i = 0; i < CHUNKS; i++) {
        Results got = {.arena = c->arena};
        Situation s = c->chunk[i];
        run_chunk(r, &s, i, false, &got);
        if (!compare(c, how, i, &got))
            return false;
    }
    return true;
}

/* First values of parameters and optimizer by both; the optimizer's numbers are in the
   tables, so that they are set as the runtime does before `init`. */
static bool same_start(const Course *c, Runner *r, const char *how)
{
    Results a = {.arena = c->arena}, b = {.arena = c->arena};
    double u = 4 * rounding_of(r->m->dtype);
    runner_call(c->f64, c->f64->m->init, 1);
    put_update(&a, c->f64);
    runner_repack(r, 1);
    for (int i = 0; i < r->m->n_optimizer_scalar; i++)
        r->c.optimizer_scalars[i] = r->m->optimizer_scalar[i].value;
    runner_call(r, r->m->init, 1);
    put_update(&b, r);
    for (int i = 0; i < a.n; i++) {
        int64_t worst = 0;
        double most = distance(&b.value[i], &a.value[i], &worst);
        if (a.value[i].n == 0 || most <= u * c->chain * largest(&a.value[i]))
            continue;
        fprintf(stderr, "%s: %s, init: %s[%lld] is %.9g, expected %.9g\n", c->t->name, how,
                a.value[i].name, (long long)worst, b.value[i].v[worst],
                a.value[i].v[worst]);
        return false;
    }
    return true;
}

/* ---- the same bits ---- */

typedef struct {
    const char *what;
    int threads;
    bool in_one; /* train, or grad then update */
    bool repack; /* the workspace is poisoned and packed again before each procedure */
} Manner;

static const Manner manners[] = {
    {"train, 1 thread", 1, true, false},
    {"train, 2 threads", 2, true, false},
    {"train, 3 threads", 3, true, false},
    {"grad + update, 1 thread", 1, false, false},
    {"grad + update, 2 threads", 2, false, false},
    {"grad + update, 3 threads", 3, false, false},
    {"grad + update, repacked", 2, false, true},
};

static int threads_of(const Runner *r, const Manner *how)
{
    int most = r->m->threads_max > 0 ? r->m->threads_max : 1;
    return how->threads < most ? how->threads : most;
}

/* A run of its own over the first and the last chunk: parameters and states are what it
   makes of them. */
static void run_along(const Course *c, Runner *r, const Manner *how, Results *to)
{
    int n = threads_of(r, how);
    struct rnn_chunk *k = &r->c;
    runner_set_params(r, &c->chunk[0]);
    runner_set_state(r, &c->chunk[0]);
    runner_repack(r, n);
    for (int i = 0; i < CHUNKS; i += CHUNKS - 1) {
        runner_feed(r, &c->chunk[i], i);
        if (how->repack)
            runner_repack(r, n);
        runner_call(r, how->in_one ? r->m->train : r->m->grad, n);
        put_number(to, "train", "loss", k->loss);
        put_states(to, r, "train");
        put_saved(to, r);
        if (how->repack)
            runner_repack(r, n);
        if (!how->in_one && k->weight != 0 && k->finite)
            runner_call(r, r->m->update, n);
        put_update(to, r);
        memcpy(r->state_in, k->state_out, state_bytes(r->m));
    }
}

static bool same_bits(const Course *c, Runner *r, const char *how)
{
    Results first = {.arena = c->arena};
    run_along(c, r, &manners[0], &first);
    for (int m = 1; m < COUNT(manners); m++) {
        Results other = {.arena = c->arena};
        run_along(c, r, &manners[m], &other);
        for (int i = 0; i < first.n; i++) {
            const Value *x = &first.value[i], *y = &other.value[i];
            int64_t j = 0;
            while (j < x->n && memcmp(&x->v[j], &y->v[j], sizeof *x->v) == 0)
                j++;
            if (j == x->n)
                continue;
            fprintf(stderr, "%s: %s: by %s %s %s[%lld] is %.9g, by %s %.9g\n", c->t->name,
                    how, manners[m].what, x->what, x->name, (long long)j, y->v[j],
                    manners[0].what, x->v[j]);
            return false;
        }
    }
    return true;
}

/* ---- the trial ---- */

Target *trial_target(Arena *arena, const Trial *t, const Target *level)
{
    Target *target = NEW(arena, Target);
    *target = *level;
    if (t->cramped)
        target->l1_bytes = 64, target->l2_bytes = 1024, target->tlb_bytes = 1;
    return target;
}

static Runner *compile(const Course *c, const Target *level, bool fuse)
{
    Target *target = trial_target(c->arena, c->t, level);
    Unit *u = trial_unit(c->arena, c->t, target, fuse, NULL);
    if (!u)
        return NULL;
    u->diag = diag_new(c->arena, stderr);
    if (u->plan->threads_max < THREADS_MOST) /* they would not pay; they must be right */
        u->plan->threads_max = THREADS_MOST;
    struct rnn_model *tables =
        graph_describe(c->arena, u->graph, u->steps_max, u->rows_max);
    Jit *jit = jit_plan(c->arena, u->diag, u->plan, tables, target, true);
    diag_flush(u->diag);
    return jit ? runner_new(c->arena, jit_model(jit)) : NULL;
}

static bool try_level(const Course *c, const Target *target, bool unfused)
{
    bool good = true;
    for (int fuse = !unfused; fuse < 2; fuse++) {
        char how[64];
        snprintf(how, sizeof how, "%s, %s", target->name, fuse ? "fused" : "not fused");
        Runner *r = compile(c, target, fuse);
        if (!r)
            fprintf(stderr, "%s: %s: not compiled\n", c->t->name, how);
        good = r && same_start(c, r, how) && same_numbers(c, r, how) && good;
        good = good && (!fuse || same_bits(c, r, how));
    }
    return good;
}

static int levels_most(void)
{
    const char *most = getenv("RNNC_TRIAL_LEVELS");
    return most ? atoi(most) : n_target;
}

void differential_print_levels(void)
{
    const char *why;
    const Target *host = target_find(NULL, &why);
    int n = 0;
    for (const Target *t = targets; host && t < targets + n_target; t++)
        if (!level_is_here(host, t))
            printf("%s: skipped, this machine is no %s\n", t->name, t->name);
        else if (n++ < levels_most())
            printf("%s: run\n", t->name);
        else
            printf("%s: skipped, RNNC_TRIAL_LEVELS is %d\n", t->name, levels_most());
    fflush(stdout); /* trials are processes of their own */
}

/* The levels to run, the best first. */
static int levels_to_run(const Target *host, const Target **level)
{
    int n = 0;
    for (const Target *t = host; t < targets + n_target; t++)
        if (level_is_here(host, t) && n < levels_most())
            level[n++] = t;
    return n;
}

/* Which of n levels runs the code that is not fused. */
static int unfused_level(const Trial *t, int n)
{
    uint64_t hash = 0;
    for (const char *c = t->text; *c; c++) {
        Draw d = {hash + (unsigned char)*c};
        hash = draw_bits(&d);
    }
    return (int)(hash % (uint64_t)n);
}

static bool try_levels(const Course *c)
{
    const char *why;
    const Target *host = target_find(NULL, &why);
    if (!host) {
        fprintf(stderr, "%s\n", why);
        return false;
    }
    const Target **level = NEW_ARRAY(c->arena, const Target *, n_target);
    int n = levels_to_run(host, level), unfused = n ? unfused_level(c->t, n) : 0;
    bool good = true, everywhere = getenv("RNNC_TRIAL_UNFUSED");
    for (int i = 0; i < n; i++)
        good = try_level(c, level[i], everywhere || i == unfused) && good;
    return good;
}

static Outcome run(const Trial *t)
{
    Arena *a = arena_new();
    Unit *u = trial_unit(a, t, NULL, false, "grad");
    if (!u)
        return TRIAL_REFUSED;
    Course c = {.t = t, .arena = a};
    c.chain = longest_chain(a, u->graph, t->steps, t->rows);
    c.f64 = runner_new(a, interp_model(a, u->graph, INTERP_F64, t->steps, t->rows));
    if (u->graph->dtype == RNN_F32)
        c.f32 = runner_new(a, interp_model(a, u->graph, INTERP_F32, t->steps, t->rows));
    for (uint64_t i = 0; i < DRAWS; i++)
        if (make_course(&c, t->seed + 1000 * i))
            return try_levels(&c) ? TRIAL_PASSED : TRIAL_FAILED;
    return TRIAL_UNSUITABLE;
}

Outcome trial_isolated(const Trial *t, Outcome (*body)(const Trial *t))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(TRIAL_SECONDS);
        _exit((int)body(t));
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return TRIAL_FAILED;
    if (WIFEXITED(status) && WEXITSTATUS(status) < TRIAL_OUTCOMES)
        return (Outcome)WEXITSTATUS(status);
    if (WIFSIGNALED(status))
        fprintf(stderr, "%s: ended by signal %d\n", t->name, WTERMSIG(status));
    else
        fprintf(stderr, "%s: ended with status %d\n", t->name, WEXITSTATUS(status));
    return TRIAL_FAILED;
}

Outcome differential_run(const Trial *t) { return trial_isolated(t, run); }
