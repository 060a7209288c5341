/*
 * test_build_values.c — what built graphs compute, by the reference interpreter in double
 * precision, against the same equations written in plain C.
 *
 * Both sides are doubles and sum in at most 32 terms: 1e-12 relative is some thousand
 * roundings.
 */
#include "check.h"
#include "from_text.h"
#include "graph/interp.h"

enum { STEPS = 3, ROWS = 2 };

static Arena *arena;

static bool is_near(double a, double b)
{
    return a == b || fabs(a - b) <= 1e-12 * (1 + fabs(b)) || (isnan(a) && isnan(b));
}

#define CHECK_NEAR(got, expected, what)                                               \
    CHECK(is_near((got), (expected)), "%s: got %.17g, expected %.17g", (what), (got), \
          (expected))

/* Numbers between -1 and 1 that look like nothing in particular. */
static double noise(int seed, int64_t i)
{
    uint32_t x = (uint32_t)seed * 2654435761u + (uint32_t)i * 40503u + 12345u;
    x ^= x >> 15, x *= 2246822519u, x ^= x >> 13;
    return (double)(x & 0xffff) / 32768 - 1;
}

static double *noises(int seed, int64_t n)
{
    double *v = NEW_ARRAY(arena, double, n);
    for (int64_t i = 0; i < n; i++)
        v[i] = noise(seed, i);
    return v;
}

/* An interpreter whose parameters and inputs hold noise: parameter i of seed 100 + i,
   input i of seed 200 + i (classes: 0, 1, 2 … in turn). All rows start with the chunk. */
static Interp *prepare(const Graph *g, bool training)
{
    Interp *p = interp_new(arena, g, INTERP_F64, STEPS, ROWS);
    interp_begin(p, STEPS, ROWS, training, (struct rnn_rng){.seed = 7});
    for (int i = 0; i < g->n_param; i++)
        interp_set(p, g->param[i].leaf, noises(100 + i, shape_size(&g->param[i].shape)),
                   NULL);
    for (int i = 0; i < g->n_input; i++) {
        int64_t n = STEPS * ROWS * shape_size(&g->input[i].shape);
        double *v = noises(200 + i, n);
        for (int64_t k = 0; g->input[i].classes && k < n; k++)
            v[k] = (double)(k % g->input[i].classes);
        interp_set(p, g->input[i].leaf, v, NULL);
    }
    for (int i = 0; i < g->n_node; i++)
        if (g->node[i].op == OP_START)
            interp_set(p, i, (double[]){1, 1}, NULL);
    for (int i = 0; i < g->n_state; i++)
        interp_set(p, g->state[i].carried,
                   noises(300 + i, ROWS * shape_size(&g->state[i].shape)), NULL);
    return p;
}

static double chunk_value(Interp *p, NodeId node) { return interp_re(p, node, 0, 0)[0]; }

/* ---- LSTM ---- */

enum { I = 3, H = 4 };

static double logistic(double v) { return 1 / (1 + exp(-v)); }

/* One step of torch.nn.LSTM of one row: gates i f g o. */
static void lstm_step(const double *Wi, const double *Wh, const double *bi,
                      const double *bh, const double *x, double *h, double *c)
{
    double a[4 * H];
    for (int k = 0; k < 4 * H; k++) {
        a[k] = bi[k] + bh[k];
        for (int j = 0; j < I; j++)
            a[k] += Wi[k * I + j] * x[j];
        for (int j = 0; j < H; j++)
            a[k] += Wh[k * H + j] * h[j];
    }
    for (int k = 0; k < H; k++) {
        c[k] = logistic(a[H + k]) * c[k] + logistic(a[k]) * tanh(a[2 * H + k]);
        h[k] = logistic(a[3 * H + k]) * tanh(c[k]);
    }
}

static void check_lstm(const Graph *g, Interp *p, bool starts)
{
    double *x = noises(200, STEPS * ROWS * I);
    for (int b = 0; b < ROWS; b++) {
        double h[H] = {0}, c[H] = {0};
        for (int k = 0; k < H && !starts; k++)
            h[k] = noise(300, b * H + k), c[k] = noise(301, b * H + k);
        for (int t = 0; t < STEPS; t++) {
            lstm_step(noises(100, 4 * H * I), noises(101, 4 * H * H), noises(102, 4 * H),
                      noises(103, 4 * H), x + (t * ROWS + b) * I, h, c);
            for (int k = 0; k < H; k++)
                CHECK_NEAR(interp_re(p, g->output, t, b)[k], h[k], "lstm");
        }
    }
}

static void test_the_librarys_lstm_is_pytorchs(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [3]}\n"
                                 "model: |\n"
                                 "  rnn = lstm(x, hidden=4)\n" DATA);
    Interp *p = prepare(g, false);
    check_lstm(g, p, true);
    for (int i = 0; i < g->n_node; i++)
        if (g->node[i].op == OP_START)
            interp_set(p, i, (double[]){0, 0}, NULL);
    interp_begin(p, STEPS, ROWS, false, (struct rnn_rng){.seed = 7});
    check_lstm(g, p, false);
}

/* ---- functions and expressions ---- */

static const double xs[] = {-30, -2.5, -1, 0, 0.5, 3, 40};

static double ref_relu(double v) { return v > 0 ? v : 0; }
static double ref_softplus(double v) { return v > 20 ? v : log1p(exp(v)); }
static double ref_gelu(double v) { return v * (1 + erf(v / sqrt(2))) / 2; }
static double ref_silu(double v) { return v * logistic(v); }
static double ref_elu(double v) { return v > 0 ? v : expm1(v); }
static double ref_hard(double v) { return fmin(fmax(v / 6 + 0.5, 0), 1); }
static double ref_cube(double v) { return v * v * v; }
static double ref_inverse(double v) { return 1 / (v * v); }
static double ref_mod(double v) { return v - 4 * floor(v / 4); }
static double ref_root(double v) { return sqrt(fabs(v)); }
static double ref_two(double v) { return pow(2, -v); }
static double ref_steps(double v) { return v == 0 ? 5 : v < 0 ? -1 : 1; }
static double ref_middle(double v) { return fmax(-1, fmin(v, 2)); }

static const struct {
    const char *text;
    double (*ref)(double);
} functions[] = {
    {"sigmoid(v)", logistic},
    {"relu(v)", ref_relu},
    {"softplus(v)", ref_softplus},
    {"gelu(v)", ref_gelu},
    {"silu(v)", ref_silu},
    {"elu(v)", ref_elu},
    {"hardsigmoid(v)", ref_hard},
    {"v^3", ref_cube},
    {"v^-2", ref_inverse},
    {"mod(v, 4)", ref_mod},
    {"abs(v)^0.5", ref_root},
    {"2^-v", ref_two},
    {"where(v == 0, 5, sign(v))", ref_steps},
    {"max(-1, min(v, 2))", ref_middle},
};

static void test_functions_compute_their_formulas(void)
{
    for (int f = 0; f < COUNT(functions); f++) {
        Graph *g = build_good(arena, arena_print(arena,
                                                 "rnnc: 1\n"
                                                 "inputs: {v: [%d]}\n"
                                                 "model: |\n"
                                                 "  y = %s\n" DATA,
                                                 COUNT(xs), functions[f].text));
        Interp *p = interp_new(arena, g, INTERP_F64, 1, 1);
        interp_begin(p, 1, 1, false, (struct rnn_rng){.seed = 7});
        interp_set(p, g->input[0].leaf, xs, NULL);
        const double *y = interp_re(p, g->output, 0, 0);
        for (int i = 0; i < COUNT(xs); i++)
            CHECK_NEAR(y[i], functions[f].ref(xs[i]), functions[f].text);
    }
}

/* Expressions whose value is 1 in every case. */
static const char *const truths[] = {
    "sum(v[::-1][0:2] == [v[2], v[1]]) == 2",
    "v[-1] == v[2]",
    "sum(concat(v[:1], v[1:]) == v) == 3",
    "sum(split(v, 3)[1]) == v[1]",
    "sum(reshape(reshape(v, [3, 1]), [3]) == v) == 3",
    "abs(sum(softmax(v)) - 1) < 1e-12",
    "abs(sum(exp(log_softmax(v))) - 1) < 1e-12",
    "abs(logsumexp(v) - log(sum(exp(v)))) < 1e-12",
    "abs(norm(v)^2 - dot(v, v)) < 1e-12",
    "norm(v - v) == 0",
    "abs(mean(v) - sum(v) / 3) < 1e-12",
    "argmax([v[0], max(v) + 1, v[1]]) == 1",
    "sum(outer(v, v)[1] == v[1] * v) == 3",
    "sum(einsum(\"i,j->ji\", v, arange(3))[2] == 2 * v) == 3",
    "sum(transpose(outer(v, arange(3)))[2] == 2 * v) == 3",
    "sum(einsum(\"i,ij->j\", v, outer(v, v)) - dot(v, v) * v) < 1e-12",
    "sum(one_hot(c)) == 1 and one_hot(c)[c] == 1",
    "sum(arange(4)[c] == c) == 1",
    "max(v) >= min(v) and not (max(v) < v[0])",
    "prod([2, 3, v[0] / v[0]]) == 6",
    "where(3 > 2, v[0], v[1]) == v[0] and 7 // 2 == 3 and mod(-1, 4) == 3",
    "sum(sum(outer(v, v), axis=-1) - v * sum(v)) < 1e-12",
    "abs(sum(one_hot(argmax(outer(v, v), axis=1)) * outer(v, v)) - sum(max(outer(v, v), "
    "axis=1))) < 1e-12",
    "round(2.5) == 2 and floor(-0.5) == -1 and -2^2 == -4",
};

static void test_expressions_mean_what_the_language_says(void)
{
    for (int i = 0; i < COUNT(truths); i++) {
        Graph *g = build_good(arena, arena_print(arena,
                                                 "rnnc: 1\n"
                                                 "inputs: {v: [3], c: class(4)}\n"
                                                 "model: |\n"
                                                 "  y = %s\n" DATA,
                                                 truths[i]));
        Interp *p = prepare(g, false);
        for (int t = 0; t < STEPS; t++)
            CHECK_NEAR(interp_re(p, g->output, t, 1)[0], 1.0, truths[i]);
    }
}

/* ---- losses ---- */

static void test_cross_entropy_weighs_and_ignores_as_pytorch(void)
{
    Graph *g =
        build_good(arena, "rnnc: 1\n"
                          "inputs: {x: [3], y: {class: 3, ignore: 0}}\n"
                          "model: |\n"
                          "  head = x * 2\n"
                          "loss: cross_entropy(head, y, weight=[1, 2, 4], ignore_index=0, "
                          "label_smoothing=0.1)\n" DATA);
    static const double weight[] = {1, 2, 4};
    Interp *p = prepare(g, false);
    double value = 0, sum = 0;
    for (int i = 0; i < STEPS * ROWS; i++) {
        double z = 0, smooth = 0;
        int y = i % 3;
        for (int k = 0; k < 3; k++)
            z += exp(2 * noise(200, i * 3 + k));
        for (int k = 0; k < 3; k++)
            smooth += weight[k] * (log(z) - 2 * noise(200, i * 3 + k));
        if (y == 0)
            continue;
        value += 0.9 * weight[y] * (log(z) - 2 * noise(200, i * 3 + y)) + 0.1 / 3 * smooth;
        sum += weight[y];
    }
    CHECK_NEAR(chunk_value(p, g->loss), value / sum, "loss");
    CHECK_NEAR(chunk_value(p, g->weight), sum, "weight");
}

static void test_a_chunk_without_weight_has_loss_zero(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [3], y: {class: 3, ignore: 9}}\n"
                                 "model: |\n"
                                 "  head = x * 2\n"
                                 "loss: cross_entropy(head, y, ignore_index=9)\n" DATA);
    Interp *p = prepare(g, false);
    interp_set(p, g->input[1].leaf, (double[]){9, 9, 9, 9, 9, 9}, NULL);
    interp_begin(p, STEPS, ROWS, false, (struct rnn_rng){.seed = 7});
    CHECK_NEAR(chunk_value(p, g->loss), 0.0, "loss");
    CHECK_NEAR(chunk_value(p, g->weight), 0.0, "weight");
}

static void test_a_loss_is_a_sum_of_averages(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [3], y: [3]}\n"
                                 "model:\n"
                                 "  params: {w: [3]}\n"
                                 "  step: |\n"
                                 "    head = w * x\n"
                                 "loss: mse(head, y) + 0.5 * sum(w^2) + 2 * max(x)\n"
                                 "metrics:\n"
                                 "  e: average(abs(x[0]))\n"
                                 "  n: total(x[0] == x[0])\n" DATA);
    Interp *p = prepare(g, false);
    double squares = 0, most = 0, first = 0, decay = 0;
    for (int i = 0; i < STEPS * ROWS; i++) {
        double best = -2;
        for (int k = 0; k < 3; k++) {
            double x = noise(200, i * 3 + k), d = noise(100, k) * x - noise(201, i * 3 + k);
            squares += d * d / 3, best = fmax(best, x);
        }
        most += best, first += fabs(noise(200, i * 3));
    }
    for (int k = 0; k < 3; k++)
        decay += noise(100, k) * noise(100, k);
    int n = STEPS * ROWS;
    CHECK_NEAR(chunk_value(p, g->loss), squares / n + 0.5 * decay + 2 * most / n, "loss");
    CHECK_NEAR(chunk_value(p, g->weight), (double)n, "weight");
    CHECK_NEAR(chunk_value(p, g->metric[0].value), first / n, "average");
    CHECK_NEAR(chunk_value(p, g->metric[1].value), (double)n, "total");
}

/* ---- dropout ---- */

static void test_dropout_is_inverted_and_off_outside_training(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [500]}\n"
                                 "model: |\n"
                                 "  y = dropout(1 + 0 * x, 0.25)\n" DATA);
    int zero = 0, other = 0;
    Interp *p = prepare(g, true);
    const double *y = interp_re(p, g->output, 1, 1);
    for (int i = 0; i < 500; i++)
        zero += y[i] == 0, other += y[i] != 0 && !is_near(y[i], 1 / 0.75);
    CHECK(zero > 90 && zero < 160 && other == 0, "%d zeros, %d others", zero, other);
    p = prepare(g, false);
    y = interp_re(p, g->output, 1, 1);
    for (int i = 0; i < 500; i++)
        CHECK(y[i] == 1, "got %g", y[i]);
}

/* ---- first values ---- */

static void test_first_values_are_what_init_says(void)
{
    Graph *g = build_good(
        arena, "rnnc: 1\n"
               "inputs: {x: [2]}\n"
               "model:\n"
               "  params:\n"
               "    a: {shape: [400], init: \"uniform(2, 3)\"}\n"
               "    b: {shape: [400], init: 2 * a}\n"
               "    c: {shape: [2, 2], init: identity}\n"
               "    d: {shape: [4], init: \"concat(zeros([2]), 3 + arange(2))\"}\n"
               "    e: {shape: [4000], init: normal(0.5)}\n"
               "    f: {shape: [3, 3], init: orthogonal}\n"
               "    h: [100]\n"
               "  step: |\n"
               "    y = x\n" DATA);
    static const double d[] = {0, 0, 3, 4}, eye[] = {1, 0, 0, 1};
    Interp *p = prepare(g, false);
    const double *v[7], *f;
    double mean = 0, squares = 0;
    for (int i = 0; i < 7; i++)
        v[i] = interp_re(p, g->param[i].init, 0, 0);
    for (int i = 0; i < 400; i++) {
        CHECK(v[0][i] >= 2 && v[0][i] < 3, "uniform gave %g", v[0][i]);
        CHECK_NEAR(v[1][i], 2 * v[0][i], "the values above");
    }
    for (int i = 0; i < 4; i++) {
        CHECK_NEAR(v[2][i], eye[i], "identity");
        CHECK_NEAR(v[3][i], d[i], "concat");
    }
    for (int i = 0; i < 4000; i++)
        mean += v[4][i] / 4000, squares += v[4][i] * v[4][i] / 4000;
    CHECK(fabs(mean) < 0.04 && fabs(sqrt(squares) - 0.5) < 0.03, "normal: %g, %g", mean,
          sqrt(squares));
    f = v[5];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double dot = f[i * 3] * f[j * 3] + f[i * 3 + 1] * f[j * 3 + 1] +
                         f[i * 3 + 2] * f[j * 3 + 2];
            CHECK(fabs(dot - (i == j)) < 1e-6, "orthogonal: %g at %d, %d", dot, i, j);
        }
    for (int i = 0; i < 100; i++)
        CHECK(fabs(v[6][i]) <= 0.1, "a bare shape's bound is 1 / sqrt(n): %g", v[6][i]);
}

/* ---- the update ---- */

static NodeId gradient_leaf(const Graph *g, int param)
{
    for (int i = 0; i < g->n_node; i++)
        if (g->node[i].op == OP_GRADIENT && g->node[i].attr.index == param)
            return i;
    return NO_NODE;
}

static double optimizer_value(Interp *p, const Graph *g, const char *name)
{
    return chunk_value(p, g->optimizer[find_optimizer(g, name)].next);
}

/* Kingma and Ba 2014, third update, gradients clipped to norm 1 beforehand. */
static void test_adam_updates_as_the_paper(void)
{
    Graph *g = build_good(
        arena, "rnnc: 1\n"
               "inputs: {x: [1], y: [1]}\n"
               "model:\n"
               "  params: {w: [1]}\n"
               "  step: |\n"
               "    y2 = w * x\n"
               "loss: mse(y2, y)\n"
               "optimizer: adam(lr=0.1 / k, clip_norm=1, weight_decay=0.5)\n" DATA);
    Interp *p = prepare(g, false);
    double w = noise(100, 0), m = 0.25, v = 0.125, raw = 3, k = 2;
    interp_set(p, gradient_leaf(g, 0), &raw, NULL);
    interp_set(p, g->optimizer[find_optimizer(g, "k")].leaf, &k, NULL);
    interp_set(p, g->optimizer[find_optimizer(g, "m.w")].leaf, &m, NULL);
    interp_set(p, g->optimizer[find_optimizer(g, "v.w")].leaf, &v, NULL);
    double grad = raw * fmin(1, 1 / (raw + 1e-6)) + 0.5 * w;
    m = 0.9 * m + 0.1 * grad, v = 0.999 * v + 0.001 * grad * grad;
    double step =
        0.1 / 3 / (1 - pow(0.9, 3)) * m / (sqrt(v) / sqrt(1 - pow(0.999, 3)) + 1e-8);
    CHECK_NEAR(optimizer_value(p, g, "m.w"), m, "m");
    CHECK_NEAR(optimizer_value(p, g, "v.w"), v, "v");
    CHECK_NEAR(optimizer_value(p, g, "k"), 3.0, "k");
    CHECK_NEAR(chunk_value(p, g->param[0].next), w - step, "w");
    CHECK_NEAR(chunk_value(p, g->gradient_norm), raw, "norm");
}

/* A schedule by the norm of the gradients, and clipping by the same norm. */
static void test_arguments_may_use_the_gradients_norm(void)
{
    Graph *g =
        build_good(arena, "rnnc: 1\n"
                          "inputs: {x: [1], y: [1]}\n"
                          "model:\n"
                          "  params: {w: [1]}\n"
                          "  step: |\n"
                          "    y2 = w * x\n"
                          "loss: mse(y2, y)\n"
                          "optimizer: sgd(lr=0.1 * gradient_norm, clip_norm=1)\n" DATA);
    Interp *p = prepare(g, false);
    double raw = -3;
    interp_set(p, gradient_leaf(g, 0), &raw, NULL);
    CHECK_NEAR(chunk_value(p, g->gradient_norm), 3.0, "norm");
    CHECK_NEAR(chunk_value(p, g->param[0].next),
               noise(100, 0) + 0.1 * 3 * 3 * fmin(1, 1 / (3 + 1e-6)), "w");
}

static void test_a_start_that_no_row_used_is_left_alone(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [1], y: [1]}\n"
                                 "model:\n"
                                 "  params: {h0: [1]}\n"
                                 "  step: |\n"
                                 "    cell = rnn(x, hidden=1, h=h0)\n"
                                 "loss: mse(cell, y)\n"
                                 "optimizer: sgd(lr=0.5, momentum=0.9)\n" DATA);
    double one = 1;
    for (int starts = 0; starts < 2; starts++) {
        Interp *p = prepare(g, false);
        for (int i = 0; i < g->n_node; i++)
            if (g->node[i].op == OP_START)
                interp_set(p, i, (double[]){0, starts}, NULL);
        for (int i = 0; i < g->n_param; i++)
            interp_set(p, gradient_leaf(g, i), &one, NULL);
        double h0 = noise(100, 0), w = noise(101, 0);
        CHECK_NEAR(chunk_value(p, g->param[0].next), starts ? h0 - 0.5 : h0, "h0");
        CHECK_NEAR(optimizer_value(p, g, "k.h0"), (double)starts, "k of h0");
        CHECK_NEAR(optimizer_value(p, g, "b.h0"), (double)starts, "b of h0");
        CHECK_NEAR(chunk_value(p, g->param[1].next), w - 0.5, "the others");
        CHECK_NEAR(optimizer_value(p, g, "k"), 1.0, "k");
    }
}

int main(void)
{
    arena = arena_new();
    test_the_librarys_lstm_is_pytorchs();
    test_functions_compute_their_formulas();
    test_expressions_mean_what_the_language_says();
    test_cross_entropy_weighs_and_ignores_as_pytorch();
    test_a_chunk_without_weight_has_loss_zero();
    test_a_loss_is_a_sum_of_averages();
    test_dropout_is_inverted_and_off_outside_training();
    test_first_values_are_what_init_says();
    test_adam_updates_as_the_paper();
    test_arguments_may_use_the_gradients_norm();
    test_a_start_that_no_row_used_is_left_alone();
    arena_free(arena);
    return check_result();
}
