/*
 * test_grad.c — the backward phase of whole recurrent cells against complex step.
 *
 * Three cells built by hand, several steps of several rows, rows that start and rows that
 * carry on: a tanh network over an embedding with a learned initial state and a weight used
 * twice, an LSTM, a matrix memory. Each element of each parameter is moved by complex step
 * through the forward phase; the gradient of the backward phase must agree to 1e-9 of the
 * largest of its parameter. Then the same graphs as models of the ABI.
 */
#include "check.h"
#include "graph/interp.h"
#include "passes/grad.h"

enum { T = 5, B = 3, I = 3, H = 4, CLASSES = 6, MOST = 512 };

/* ---- building ---- */

static Shape vector(int64_t n) { return (Shape){1, {n}}; }
static Shape matrix(int64_t n, int64_t m) { return (Shape){2, {n, m}}; }

static NodeId input(Graph *g, const char *name, Shape s, InputKind kind)
{
    Attr attr = {.index = g->n_input, .axes = AXES_ALL, .shape = s};
    NodeId leaf = graph_add(g, OP_INPUT, 0, NULL, &attr);
    *PUSH(g->arena, g->input, g->n_input, g->input_capacity) = (Input){
        .name = name, .shape = s, .kind = (int)kind, .classes = CLASSES, .leaf = leaf};
    return leaf;
}

/* First values are uniform in ±½. */
static NodeId param(Graph *g, const char *name, Shape s)
{
    Attr attr = {.index = g->n_param, .shape = s};
    NodeId leaf = graph_add(g, OP_PARAM, 0, NULL, &attr);
    g->phase = PHASE_INIT;
    Attr draw = {.index = g->n_site++, .shape = s};
    NodeId init = graph_map2(g, OP_SUB, graph_add(g, OP_RANDOM, 0, NULL, &draw),
                             graph_constant(g, 0.5));
    g->phase = PHASE_FORWARD;
    *PUSH(g->arena, g->param, g->n_param, g->param_capacity) = (Param){.name = name,
                                                                       .shape = s,
                                                                       .trained = true,
                                                                       .leaf = leaf,
                                                                       .init = init,
                                                                       .gradient = NO_NODE,
                                                                       .next = NO_NODE};
    return leaf;
}

/* `initial`: {row} or fewer. The leaf; state_next closes the loop. */
static NodeId state_leaf(Graph *g, const char *name, NodeId initial)
{
    Shape s = g->node[initial].shape;
    int i = g->n_state;
    Attr attr = {.index = i, .shape = s};
    NodeId carried = graph_add(g, OP_CARRIED, 0, NULL, &attr);
    NodeId start = graph_add(g, OP_START, 0, NULL, NULL);
    NodeId entry = graph_map3(g, OP_WHERE, start, initial, carried);
    NodeId leaf = graph_add(g, OP_STATE, 0, NULL, &attr);
    *PUSH(g->arena, g->state, g->n_state, g->state_capacity) = (State){.name = name,
                                                                       .shape = s,
                                                                       .leaf = leaf,
                                                                       .entry = entry,
                                                                       .carried = carried,
                                                                       .next = NO_NODE};
    return leaf;
}

static void state_next(Graph *g, int i, NodeId next)
{
    g->state[i].next = graph_spread(g, next, AXES_ALL);
}

static NodeId sigmoid(Graph *g, NodeId v)
{
    NodeId one = graph_constant(g, 1);
    NodeId e = graph_map1(g, OP_EXP, graph_map1(g, OP_NEG, v));
    return graph_map2(g, OP_DIV, one, graph_map2(g, OP_ADD, one, e));
}

static NodeId add(Graph *g, NodeId a, NodeId b) { return graph_map2(g, OP_ADD, a, b); }
static NodeId mul(Graph *g, NodeId a, NodeId b) { return graph_map2(g, OP_MUL, a, b); }
static NodeId apply(Graph *g, NodeId w, NodeId x)
{
    return graph_einsum(g, "ij,j->i", w, x);
}

/* Mean squared distance to y over all steps and rows, and plain SGD for all parameters. */
static void finish(Graph *g, NodeId out, NodeId y)
{
    NodeId d = graph_map2(g, OP_SUB, out, y);
    NodeId each = graph_reduce(g, OP_SUM, mul(g, d, d), 1);
    NodeId ones = graph_spread(g, graph_constant(g, 1), AXES_ALL);
    g->output = out;
    g->weight = graph_total(g, ones, AXES_ALL);
    g->loss = graph_map2(g, OP_DIV, graph_total(g, each, AXES_ALL), g->weight);
    g->phase = PHASE_UPDATE;
    Attr lr = {.index = g->n_scalar};
    *PUSH(g->arena, g->scalar, g->n_scalar, g->scalar_capacity) =
        (Scalar){.name = "optimizer.lr", .value = 0.1};
    g->scalar[0].leaf = graph_add(g, OP_SCALAR, 0, NULL, &lr);
    for (int i = 0; i < g->n_param; i++) {
        Attr attr = {.index = i, .shape = g->param[i].shape};
        NodeId grad = graph_add(g, OP_GRADIENT, 0, NULL, &attr);
        NodeId step = mul(g, g->scalar[0].leaf, grad);
        g->param[i].next = graph_map2(g, OP_SUB, g->param[i].leaf, step);
    }
    g->phase = PHASE_FORWARD;
}

/* h' = tanh(E[x] + U h + detach(h) u0 + b), y = U h', h at first h0. */
static void build_rnn(Graph *g)
{
    NodeId x = input(g, "x", (Shape){0}, INPUT_CLASS),
           y = input(g, "y", vector(H), INPUT_REAL);
    NodeId e = param(g, "emb", matrix(CLASSES, H)), u = param(g, "U", matrix(H, H));
    NodeId b = param(g, "b", vector(H)), h0 = param(g, "h0", vector(H));
    NodeId h = state_leaf(g, "h", h0);
    NodeId a = add(g, add(g, graph_gather(g, e, x), apply(g, u, h)), b);
    NodeId next = graph_map1(g, OP_TANH, add(g, a, mul(g, graph_map1(g, OP_DETACH, h), b)));
    state_next(g, 0, next);
    finish(g, apply(g, u, next), y);
}

static NodeId part(Graph *g, NodeId v, int i)
{
    int64_t start[] = {i * H}, step[] = {1};
    return graph_slice(g, v, start, step, vector(H));
}

static void build_lstm(Graph *g)
{
    NodeId x = input(g, "x", vector(I), INPUT_REAL),
           y = input(g, "y", vector(H), INPUT_REAL);
    NodeId w = param(g, "W", matrix(4 * H, I)), u = param(g, "U", matrix(4 * H, H));
    NodeId b = param(g, "b", vector(4 * H)), zero = graph_full(g, 0, vector(H));
    NodeId h = state_leaf(g, "h", zero), c = state_leaf(g, "c", zero);
    NodeId a = add(g, add(g, apply(g, w, x), apply(g, u, h)), b);
    NodeId in = sigmoid(g, part(g, a, 0)), forget = sigmoid(g, part(g, a, 1));
    NodeId new = graph_map1(g, OP_TANH, part(g, a, 2)), out = sigmoid(g, part(g, a, 3));
    NodeId c1 = add(g, mul(g, forget, c), mul(g, in, new));
    NodeId h1 = mul(g, out, graph_map1(g, OP_TANH, c1));
    state_next(g, 0, h1), state_next(g, 1, c1);
    finish(g, h1, y);
}

/* C' = f C + outer(v, k), read by C' q; f has no features. */
static void build_memory(Graph *g)
{
    NodeId x = input(g, "x", vector(I), INPUT_REAL),
           y = input(g, "y", vector(H), INPUT_REAL);
    NodeId wv = param(g, "Wv", matrix(H, I)), wk = param(g, "Wk", matrix(H, I));
    NodeId wq = param(g, "Wq", matrix(H, I)), wf = param(g, "wf", vector(I));
    NodeId c = state_leaf(g, "C", graph_full(g, 0, matrix(H, H)));
    NodeId f = sigmoid(g, graph_einsum(g, "i,i->", wf, x));
    NodeId outer = graph_einsum(g, "i,j->ij", apply(g, wv, x), apply(g, wk, x));
    NodeId c1 = add(g, mul(g, f, c), outer);
    state_next(g, 0, c1);
    NodeId read = apply(g, c1, apply(g, wq, x));
    NodeId size = graph_reduce(g, OP_MAX_OF, graph_map1(g, OP_ABS, read), 1);
    finish(g,
           graph_map2(g, OP_DIV, read, graph_map2(g, OP_MAX, size, graph_constant(g, 0.1))),
           y);
}

static const struct {
    const char *name;
    void (*build)(Graph *g);
} cells[] = {{"rnn", build_rnn}, {"lstm", build_lstm}, {"memory", build_memory}};

static Graph *build(Arena *arena, int cell)
{
    Graph *g = graph_new(arena, cells[cell].name);
    cells[cell].build(g);
    graph_verify(g);
    grad_pass(g);
    graph_verify(g);
    return g;
}

/* ---- data ---- */

static uint64_t random_state = 3;

static double uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53 - 0.5;
}

static void give_data(Interp *p, const Graph *g, double (*value)[MOST])
{
    double v[T * B * H * H];
    interp_begin(p, T, B, true, (struct rnn_rng){0});
    for (NodeId id = 0; id < g->n_node; id++) {
        const Node *n = &g->node[id];
        int64_t size = shape_size(&n->shape) * (n->axes & AXIS_TIME ? T : 1) * B;
        bool is_class = n->op == OP_INPUT && g->input[n->attr.index].kind == INPUT_CLASS;
        for (int64_t i = 0; i < size && op_defs[n->op]->family == FAMILY_LEAF; i++)
            v[i] = is_class ? floor((uniform() + 0.5) * CLASSES) : uniform();
        if (n->op == OP_START)
            interp_set(p, id, (double[B]){1, 0, 1}, NULL);
        else if (n->op == OP_INPUT || n->op == OP_CARRIED)
            interp_set(p, id, v, NULL);
    }
    for (int i = 0; i < g->n_param; i++) {
        for (int64_t k = 0; k < shape_size(&g->param[i].shape); k++)
            value[i][k] = 2 * uniform();
        interp_set(p, g->param[i].leaf, value[i], NULL);
    }
}

static double slope(Interp *p, const Graph *g, int i, int64_t k, double (*value)[MOST])
{
    double direction[MOST] = {0};
    direction[k] = 1;
    interp_begin(p, T, B, true, (struct rnn_rng){0});
    interp_set(p, g->param[i].leaf, value[i], direction);
    double s = *interp_im(p, g->loss, 0, 0);
    interp_set(p, g->param[i].leaf, value[i], NULL);
    return s;
}

static void check_param(Interp *p, const Graph *g, int i, double (*value)[MOST])
{
    int64_t n = shape_size(&g->param[i].shape), worst = 0;
    double expected[MOST], got[MOST], scale = 0, error = 0;
    for (int64_t k = 0; k < n; k++) {
        expected[k] = slope(p, g, i, k, value);
        scale = fmax(scale, fabs(expected[k]));
    }
    interp_begin(p, T, B, true, (struct rnn_rng){0});
    for (int64_t k = 0; k < n; k++) {
        got[k] = interp_re(p, g->param[i].gradient, 0, 0)[k];
        if (!(fabs(got[k] - expected[k]) <= error))
            error = fabs(got[k] - expected[k]), worst = k;
    }
    CHECK(scale > 1e-3 && error <= 1e-9 * scale,
          "%s, %s[%d]: got %.12g, expected %.12g (%g)", g->name, g->param[i].name,
          (int)worst, got[worst], expected[worst], scale);
}

static void test_gradients_agree_with_complex_step(void)
{
    for (int c = 0; c < COUNT(cells); c++) {
        Arena *arena = arena_new();
        Graph *g = build(arena, c);
        Interp *p = interp_new(arena, g, INTERP_COMPLEX, T, B);
        double value[8][MOST];
        give_data(p, g, value);
        for (int i = 0; i < g->n_param; i++) {
            CHECK(g->param[i].gradient != NO_NODE, "%s has no gradient", g->param[i].name);
            if (g->param[i].gradient != NO_NODE)
                check_param(p, g, i, value);
        }
        arena_free(arena);
    }
}

static void test_what_no_loss_needs_has_no_gradient(void)
{
    Arena *arena = arena_new();
    Graph *g = graph_new(arena, "t");
    NodeId x = input(g, "x", vector(H), INPUT_REAL);
    NodeId used = param(g, "used", vector(H)), cut = param(g, "cut", vector(H));
    param(g, "unused", vector(H));
    NodeId v = add(g, mul(g, used, x), graph_map1(g, OP_DETACH, mul(g, cut, x)));
    finish(g, v, x);
    int before = g->n_node;
    grad_pass(g);
    graph_verify(g);
    CHECK(g->param[0].gradient != NO_NODE, "no gradient");
    CHECK(g->param[1].gradient == NO_NODE, "a gradient through detach");
    CHECK(g->param[2].gradient == NO_NODE, "a gradient from nowhere");
    for (NodeId id = before; id < g->n_node; id++)
        CHECK(g->node[id].phase == PHASE_BACKWARD, "%%%d is not backward", (int)id);
    arena_free(arena);
}

/* ---- the same as models ---- */

typedef struct {
    float params[512], grads[512], states[B * H * H], x[T * B * H], y[T * B * H],
        outputs[T * B * H];
    int32_t classes[T * B];
    const void *input[2];
    int64_t step_stride[2], row_stride[2];
    uint8_t start[B];
    struct rnn_chunk chunk;
} Run;

static void run_begin(Run *r, const struct rnn_model *m)
{
    memset(r, 0, sizeof *r);
    for (int i = 0; i < T * B * H; i++)
        r->x[i] = (float)uniform(), r->y[i] = (float)uniform();
    for (int i = 0; i < T * B; i++)
        r->classes[i] = i % CLASSES;
    for (int i = 0; i < m->n_input; i++) {
        r->row_stride[i] = m->input[i].size;
        r->step_stride[i] = B * m->input[i].size;
        r->input[i] = i                               ? (void *)r->y
                      : m->input[i].kind == RNN_CLASS ? (void *)r->classes
                                                      : r->x;
    }
    r->start[1] = 1;
    r->chunk = (struct rnn_chunk){.model = m,
                                  .steps = T,
                                  .rows = B,
                                  .start = r->start,
                                  .rng = {.seed = 5},
                                  .input = r->input,
                                  .step_stride = r->step_stride,
                                  .row_stride = r->row_stride,
                                  .params = r->params,
                                  .grads = r->grads,
                                  .state_in = r->states,
                                  .state_out = r->states,
                                  .outputs = r->outputs};
    m->init(&r->chunk, 0);
}

static void test_grad_and_update_are_train(void)
{
    for (int c = 0; c < COUNT(cells); c++) {
        Arena *arena = arena_new();
        Graph *g = build(arena, c);
        const struct rnn_model *m = interp_model(arena, g, INTERP_F32, T, B);
        static Run a, b;
        random_state = 11;
        run_begin(&a, m);
        random_state = 11;
        run_begin(&b, m);
        double first = NAN;
        for (int i = 0; i < 20; i++) {
            m->train(&a.chunk, 0);
            m->grad(&b.chunk, 0);
            m->update(&b.chunk, 0);
            first = i == 0 ? a.chunk.loss : first;
        }
        CHECK(memcmp(a.params, b.params, sizeof a.params) == 0, "%s: other parameters",
              g->name);
        CHECK(memcmp(a.states, b.states, sizeof a.states) == 0, "%s: other states",
              g->name);
        CHECK(a.chunk.loss < first && a.chunk.weight == T * B, "%s: loss from %g to %g",
              g->name, first, a.chunk.loss);
        arena_free(arena);
    }
}

static void test_a_loss_that_is_not_finite_updates_nothing(void)
{
    Arena *arena = arena_new();
    Graph *g = build(arena, 1);
    const struct rnn_model *m = interp_model(arena, g, INTERP_F32, T, B);
    static Run a, b;
    run_begin(&a, m);
    a.x[3] = INFINITY, a.y[2] = NAN;
    b = a;
    m->train(&a.chunk, 0);
    CHECK(!a.chunk.finite, "finite loss %g", a.chunk.loss);
    CHECK(memcmp(a.params, b.params, sizeof a.params) == 0, "parameters changed");
    arena_free(arena);
}

static void test_step_runs_without_targets(void)
{
    Arena *arena = arena_new();
    Graph *g = build(arena, 1);
    const struct rnn_model *m = interp_model(arena, g, INTERP_F32, T, B);
    static Run a, b;
    run_begin(&a, m);
    b = a;
    b.chunk.input = b.input, b.chunk.params = b.params, b.chunk.outputs = b.outputs;
    b.chunk.state_in = b.chunk.state_out = b.states;
    b.input[0] = b.x, b.input[1] = NULL;
    m->eval(&a.chunk, 0);
    m->step(&b.chunk, 0);
    CHECK(memcmp(a.outputs, b.outputs, sizeof a.outputs) == 0, "other outputs");
    CHECK(memcmp(a.states, b.states, sizeof a.states) == 0, "other states");
    arena_free(arena);
}

int main(void)
{
    test_gradients_agree_with_complex_step();
    test_what_no_loss_needs_has_no_gradient();
    test_grad_and_update_are_train();
    test_a_loss_that_is_not_finite_updates_nothing();
    test_step_runs_without_targets();
    return check_result();
}
