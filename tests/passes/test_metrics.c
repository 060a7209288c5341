/*
 * test_metrics.c — a metric is of all chunks of an epoch, however they were cut.
 *
 * One sequence is evaluated whole, then in chunks of several lengths, with the state and
 * the running sums carried on. All is in double but for the state, which each cut rounds to
 * float: T roundings of 2^-24 bound what may differ. A mean over chunks is away by 1e-2.
 */
#include "chunk_of.h"
#include "from_text.h"

#include <string.h>

enum { T = 7, B = 2, X = 2, CLASSES = 3 };

static const char spec[] =
    "rnnc: 1\n"
    "inputs: {x: [2], y: {class: 3, ignore: -1}, z: [2]}\n"
    "model: |\n"
    "  r = gru(x, hidden=4)\n"
    "  head = linear(r, size=3)\n"
    "  other = linear(r, size=2)\n"
    "loss: cross_entropy(head, y) + 0.5 * mse(other, z) + 1e-2 * sum(head.weight^2)\n"
    "metrics:\n"
    "  accuracy: average(argmax(head) == y)\n"
    "  perplexity: exp(average(cross_entropy(head, y)))\n"
    "  steps: total(1 + 0 * z[0])\n"
    "  often: max(total(one_hot(argmax(head)))) / total(1 + 0 * z[0])\n" DATA;

static float x[T * B * X], z[T * B * 2];
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

/* Evaluates all steps in chunks of `length`. */
static void evaluate(const struct rnn_model *m, int length)
{
    memset(running, 0, sizeof running);
    for (int t = 0; t < T; t += length) {
        const void *input[] = {x + t * B * X, y + t * B, z + t * B * 2};
        uint8_t start[B] = {t == 0, t == 0};
        struct rnn_chunk c = chunk_of(m, t + length < T ? length : T - t, B, input, start);
        c.metrics = metrics;
        c.running = running;
        CHECK(m->eval(&c, 0) == 0, "eval");
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
    evaluate(m, T);
    memcpy(whole, metrics, sizeof whole);
    CHECK(whole[2] == T * B, "got %g steps", whole[2]);
    for (int length = 1; length < T; length++) {
        evaluate(m, length);
        for (int i = 0; i < m->n_metric; i++)
            CHECK(fabs(metrics[i] - whole[i]) <= T * 0x1p-24 * fabs(whole[i]),
                  "%s in chunks of %d: %.17g, at once %.17g", m->metric[i].name, length,
                  metrics[i], whole[i]);
    }
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
    return check_result();
}
