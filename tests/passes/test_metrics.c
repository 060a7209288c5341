/*
 * test_metrics.c — a metric is of all chunks of an epoch, however they were cut.
 *
 * One sequence is evaluated whole, then in chunks of several lengths, with the state and
 * the running sums carried on. All is in double but for the state, which each cut rounds to
 * float: T roundings of 2^-24 bound what may differ. A mean over chunks is away by 1e-2.
 */
#include "chunk_of.h"
#include "from_text.h"
#include "passes/grad.h"

#include <string.h>

enum { T = 7, B = 2, X = 2, CLASSES = 3 };

static const char spec[] =
    "rnnc: 1\n"
    "inputs: {x: [2], y: {class: 3, ignore: -1}, z: [2]}\n"
    "model: |\n"
    "  r = gru(x, hidden=4)\n"
    "  head = linear(r, size=3)\n"
    "  other = linear(r, size=2)\n"
    "loss: cross_entropy(head, y, ignore_index=-1) + 0.5 * mse(other, z) + 1e-2 * "
    "sum(head.weight^2)\n"
    "metrics:\n"
    "  accuracy: average(argmax(head) == y)\n"
    "  perplexity: exp(average(cross_entropy(head, y, ignore_index=-1)))\n"
    "  steps: total(1 + 0 * z[0])\n"
    "  often: max(total(one_hot(argmax(head)))) / total(1 + 0 * z[0])\n" DATA;

static float x[T * B * X], z[T * B * 2], grads[CHUNK_MOST], saved[CHUNK_MOST];
static int32_t y[T * B];
static double metrics[16], running[32];

static void fill(void)
{
    chunk_numbers(x, T * B * X, 5);
    chunk_numbers(z, T * B * 2, 0);
    for (int i = 0; i < T * B; i++)
        y[i] =
            i % 5 == 0 ? -1 : i % CLASSES; /* some are ignored: weights differ by chunk */
    chunk_fill();
}

/* All steps in chunks of `length`; the gradients are looked at by nobody. */
static void run(const struct rnn_model *m, rnn_procedure *procedure, int length)
{
    memset(running, 0, sizeof running);
    memset(metrics, 0, sizeof metrics);
    for (int t = 0; t < T; t += length) {
        const void *input[] = {x + t * B * X, y + t * B, z + t * B * 2};
        uint8_t start[B] = {t == 0, t == 0};
        struct rnn_chunk c = chunk_of(m, t + length < T ? length : T - t, B, input, start);
        c.metrics = metrics;
        c.running = running;
        c.grads = grads;
        CHECK(procedure(&c, 0) == 0, "a procedure failed");
    }
}

static void test_metrics_do_not_depend_on_how_a_sequence_is_cut(void)
{
    Arena *arena = arena_new();
    Graph *g = build_good(arena, spec);
    const struct rnn_model *m = interp_model(arena, g, INTERP_F64, T, B);
    double whole[16];
    fill();
    CHECK(m->n_metric == 5 && m->n_running <= 32, "sizes");
    CHECK_TEXT(m->metric[4].name, "loss");
    run(m, m->eval, T);
    memcpy(whole, metrics, sizeof whole);
    CHECK(whole[2] == T * B, "got %g steps", whole[2]);
    for (int length = 1; length < T; length++) {
        run(m, m->eval, length);
        for (int i = 0; i < m->n_metric; i++)
            CHECK(fabs(metrics[i] - whole[i]) <= T * 0x1p-24 * fabs(whole[i]),
                  "%s in chunks of %d: %.17g, at once %.17g", m->metric[i].name, length,
                  metrics[i], whole[i]);
    }
    arena_free(arena);
}

/* Nothing is random and nothing is updated in between: an epoch of training has the
   figures of an evaluation, but for the loss, which is the evaluation's own. */
static void test_training_tells_the_metrics_of_the_spec(void)
{
    Arena *arena = arena_new();
    Graph *g = build_good(arena, spec);
    double evaluated[16];
    grad_pass(g);
    const struct rnn_model *m = interp_model(arena, g, INTERP_F64, T, B);
    fill();
    run(m, m->eval, 3);
    memcpy(evaluated, metrics, sizeof evaluated);
    run(m, m->grad, 3);
    for (int i = 0; i < m->n_metric; i++) {
        bool of_loss = i == m->n_metric - 1;
        CHECK(m->metric[i].in_training == !of_loss, "%s", m->metric[i].name);
        CHECK(metrics[i] == (of_loss ? 0 : evaluated[i]),
              "%s in training: %.17g, not %.17g", m->metric[i].name, metrics[i],
              evaluated[i]);
    }
    arena_free(arena);
}

/* A loss of whole windows meets a step several times; a metric counts it once. */
static void test_a_metric_counts_the_new_steps_of_a_window(void)
{
    Arena *arena = arena_new();
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [2], y: [1]}\n"
                                 "model: |\n"
                                 "  r = gru(x, hidden=4)\n"
                                 "  head = linear(r, size=1)\n"
                                 "loss: mse(head, y)\n"
                                 "metrics:\n  steps: total(1 + 0 * y[0])\n"
                                 "tbptt: {step: 2, window: 4, loss_window: all}\n" DATA);
    grad_pass(g);
    const struct rnn_model *m = interp_model(arena, g, INTERP_F64, 4, B);
    fill();
    const void *input[] = {x, z};
    uint8_t start[B] = {1, 1};
    struct rnn_chunk c = chunk_of(m, 4, B, input, start);
    memset(running, 0, sizeof running);
    c.loss_from = c.save_at = 2, c.state_saved = saved, c.metrics = metrics,
    c.running = running, c.grads = grads;
    CHECK(m->grad(&c, 0) == 0, "grad");
    CHECK(metrics[0] == 2 * B, "%g steps of 2 x %d", metrics[0], B);
    CHECK(c.weight == 4 * B, "a loss of %g steps", c.weight);
    arena_free(arena);
}

/* 1500 averages are more than are kept from chunk to chunk: training goes on, the
   evaluation says that it has no loss and keeps nothing of it. */
static void test_a_loss_that_cannot_be_kept_is_told(void)
{
    Arena *arena = arena_new();
    char text[2048] = "";
    FILE *out = tmpfile();
    Graph *g = build_text(arena,
                          "rnnc: 1\n"
                          "inputs: {x: [2], y: [1]}\n"
                          "model: |\n"
                          "  wide = linear(x, size=1500)\n"
                          "  head = linear(wide, size=1)\n"
                          "loss: mse(head, y) + 1e-3 * sum(average(wide)^2)\n"
                          "metrics:\n  steps: total(1 + 0 * y[0])\n" DATA,
                          NULL, out);
    rewind(out);
    CHECK(fread(text, 1, sizeof text - 1, out) > 0, "nothing is said");
    fclose(out);
    CHECK(strstr(text, "warning: an evaluation will have no loss"), "%s", text);
    CHECK(g && g->loss != NO_NODE, "%s", text);
    CHECK(g && g->n_metric == 1 && g->n_running == 1, "%d metrics, %d running sums",
          g ? g->n_metric : 0, g ? g->n_running : 0);
    arena_free(arena);
}

int main(void)
{
    test_a_loss_that_cannot_be_kept_is_told();
    test_metrics_do_not_depend_on_how_a_sequence_is_cut();
    test_training_tells_the_metrics_of_the_spec();
    test_a_metric_counts_the_new_steps_of_a_window();
    return check_result();
}
