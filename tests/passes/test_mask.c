/*
 * test_mask.c — with `nan: mask` a step of a row with a missing number counts nowhere.
 *
 * The other model is told which steps are whole, by a flag, and has zeros in the place of
 * what is missing: its loss has that flag for a weight. Loss, gradients and metrics of the
 * two are the same bits, since the same numbers are added in the same order.
 */
#include "chunk_of.h"
#include "from_text.h"
#include "passes/grad.h"

#include <math.h>
#include <string.h>

enum { T = 5, B = 2, X = 3 };

static const char masked[] = "rnnc: 1\n"
                             "inputs: {x: [3], y: real, there: flag}\n"
                             "model: |\n"
                             "  r = gru(x, hidden=4)\n"
                             "  head = linear(r, size=1)\n"
                             "loss: mse(head[0], y) + 0.5 * l1(head[0], y)\n"
                             "metrics:\n"
                             "  steps: total(1 + 0 * there)\n"
                             "  mean: average(head[0] * y)\n"
                             "data: {train: {x: x.npy, y: y.npy, there: there.npy, "
                             "nan: mask, batch: 2}}\n"
                             "tbptt: {step: 5}\n";
static const char told[] =
    "rnnc: 1\n"
    "inputs: {x: [3], y: real, there: flag}\n"
    "losses:\n"
    "  square: {input: {p: real, y: real, t: flag}, value: \"where(t, (p - y)^2, 0)\", "
    "weight: t}\n"
    "  size: {input: {p: real, y: real, t: flag}, value: \"where(t, abs(p - y), 0)\", "
    "weight: t}\n"
    "model: |\n"
    "  r = gru(x, hidden=4)\n"
    "  head = linear(r, size=1)\n"
    "loss: square(head[0], y, there) + 0.5 * size(head[0], y, there)\n"
    "metrics:\n"
    "  steps: total(there)\n"
    "  mean: average(head[0] * y)\n"
    "data: {train: {random: true, batch: 2, steps: 5}}\n";

typedef struct {
    double loss, weight, metric[4];
    float grads[CHUNK_MOST];
} Result;

static float x[T * B * X], y[T * B], there[T * B];

static void run(const char *spec, Result *out)
{
    Arena *arena = arena_new();
    Graph *g = build_good(arena, spec);
    double running[8] = {0};
    uint8_t start[B] = {1, 1};
    const void *input[] = {x, y, there};
    grad_pass(g);
    const struct rnn_model *m = interp_model(arena, g, INTERP_F64, T, B);
    CHECK(m->n_metric <= 4 && m->n_running <= 8, "%d metrics", (int)m->n_metric);
    chunk_fill();
    *out = (Result){0};
    struct rnn_chunk c = chunk_of(m, T, B, input, start);
    c.grads = out->grads, c.metrics = out->metric, c.running = running;
    CHECK(m->grad(&c, 0) == 0 && c.finite, "grad: %g", c.loss);
    out->loss = c.loss, out->weight = c.weight;
    arena_free(arena);
}

/* What is missing is NaN for the one model, 0 for the other. */
static void spoil(double x_missing, double y_missing)
{
    x[1 * B * X + 0 * X + 2] = (float)x_missing;
    y[3 * B + 1] = (float)y_missing;
    x[4 * B * X + 1 * X + 0] = (float)x_missing;
    y[4 * B + 1] = (float)y_missing;
}

static void test_missing_steps_count_nowhere(void)
{
    static const struct {
        double x, y;
    } missing[] = {{NAN, NAN}, {INFINITY, NAN}, {NAN, -INFINITY}};
    Result expected, got;
    chunk_numbers(x, T * B * X, 5);
    chunk_numbers(y, T * B, 3);
    for (int i = 0; i < T * B; i++)
        there[i] = i != 1 * B + 0 && i != 3 * B + 1 && i != 4 * B + 1;
    spoil(0, 0);
    run(told, &expected);
    CHECK(expected.weight == 2 * (T * B - 3), "weight %g", expected.weight);
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        spoil(missing[i].x, missing[i].y);
        run(masked, &got);
        CHECK(memcmp(&got, &expected, sizeof got) == 0,
              "loss %.17g, not %.17g; weight %g, not %g; %g steps, not %g", got.loss,
              expected.loss, got.weight, expected.weight, got.metric[0],
              expected.metric[0]);
    }
}

int main(void)
{
    test_missing_steps_count_nowhere();
    return check_result();
}
