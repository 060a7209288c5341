/*
 * test_accumulate.c — one update of several chunks: when it comes, of what, and that
 * nothing that waits for it is lost.
 *
 * Two batches of 8 steps in chunks of 3 are six chunks an epoch. The model is
 * fake_model.h's, with the number that says how many chunks make an update.
 */
#include "check.h"
#include "fake_model.h"

enum { N_BATCH = 2, ACCUMULATE = FAKE_LOSS + 1 };

static struct series series[N_BATCH];
static struct series_source source = {series, N_BATCH, 0};
static struct rnn_scalar scalars[ACCUMULATE + 1];
static struct rnn_model model;

static void make_model(double accumulate)
{
    memcpy(scalars, fake_scalars, sizeof fake_scalars);
    scalars[ACCUMULATE] =
        (struct rnn_scalar){.name = "optimizer.accumulate", .value = accumulate};
    model = fake_model;
    model.scalar = scalars;
    model.n_scalar = ACCUMULATE + 1;
}

static rnn_engine *trainer(double accumulate)
{
    rnn_engine *e = NULL;
    make_model(accumulate);
    source.at = 0;
    int status = rnn_tbptt_trainer(&e, &model, &(rnn_tbptt_options){.tbptt_step = 3});
    CHECK(status == 0, "%s", rnn_engine_error(NULL));
    return e;
}

static void train(rnn_engine *e, rnn_iterable *data, rnn_run_options options)
{
    CHECK(rnn_engine_run(e, data, &options) == 0, "%s", rnn_engine_error(e));
}

static void parameters(rnn_engine *e, float out[2])
{
    rnn_blocks b;
    rnn_get_blocks(e, &b);
    memcpy(out, b.params, 2 * sizeof *out);
}

/* ---- when ---- */

/* U stands for an update, | for the end of a chunk, E for the end of an epoch. */
static int append(rnn_engine *e, int event, void *text)
{
    (void)e;
    const char *mark = event == RNN_OPTIM_STEP_COMPLETED       ? "U"
                       : event == RNN_TIME_ITERATION_COMPLETED ? "|"
                                                               : "E";
    strcat(text, mark);
    return 0;
}

static void trace(double accumulate, bool known_length, char *text)
{
    rnn_iterable data = series_iterable(&source);
    rnn_engine *e = trainer(accumulate);
    if (!known_length)
        data.length = RNN_NONE;
    rnn_on(e, RNN_OPTIM_STEP_COMPLETED, NULL, append, text);
    rnn_on(e, RNN_TIME_ITERATION_COMPLETED, NULL, append, text);
    rnn_on(e, RNN_EPOCH_COMPLETED, NULL, append, text);
    train(e, &data, (rnn_run_options){.max_epochs = 2});
    rnn_close(e);
}

static void test_an_update_comes_after_so_many_chunks(void)
{
    char one[64] = "", two[64] = "", four[64] = "", unknown[64] = "";
    trace(1, true, one);
    CHECK(strcmp(one, "U|U|U|U|U|U|EU|U|U|U|U|U|E") == 0, "%s", one);
    trace(2, true, two);
    CHECK(strcmp(two, "|U||U||U|E|U||U||U|E") == 0, "%s", two);
    /* Two are left when the epoch ends, and are not lost; the next begins with none. */
    trace(4, true, four);
    CHECK(strcmp(four, "|||U||U|E|||U||U|E") == 0, "%s", four);
    /* An epoch that is not known to end: before its end is told. */
    trace(4, false, unknown);
    CHECK(strcmp(unknown, "|||U|||UE|||U||U|E") == 0, "%s", unknown);
}

static void test_one_chunk_an_update_has_the_bits_of_none_said(void)
{
    float with[2], without[2];
    rnn_iterable data = series_iterable(&source);
    rnn_engine *e = trainer(1);
    train(e, &data, (rnn_run_options){.max_epochs = 2});
    parameters(e, with);
    rnn_close(e);
    source.at = 0;
    rnn_tbptt_trainer(&e, &fake_model, &(rnn_tbptt_options){.tbptt_step = 3});
    train(e, &data, (rnn_run_options){.max_epochs = 2});
    parameters(e, without);
    rnn_close(e);
    CHECK(memcmp(with, without, sizeof with) == 0, "%.9g %.9g", (double)with[0],
          (double)without[0]);
}

/* ---- of what ---- */

struct sum {
    float grads[2];
    int n;
};

static int add_gradients(rnn_engine *e, int event, void *user)
{
    struct sum *s = user;
    rnn_blocks b;
    (void)event;
    rnn_get_blocks(e, &b);
    for (int i = 0; i < 2; i++)
        s->grads[i] += b.grads[i];
    s->n++;
    return 0;
}

/* A batch is three chunks; the update is by the mean of their gradients. */
static void test_an_update_is_by_the_mean(void)
{
    struct sum s = {.n = 0};
    float before[2], after[2];
    rnn_iterable data = series_iterable(&source);
    rnn_engine *e = trainer(3);
    parameters(e, before);
    rnn_on(e, RNN_BACKWARD_COMPLETED, NULL, add_gradients, &s);
    train(e, &data, (rnn_run_options){.max_iters = 1});
    parameters(e, after);
    CHECK(s.n == 3, "%d chunks had a gradient", s.n);
    for (int i = 0; i < 2; i++) {
        float expected = before[i] - 0.01f * (s.grads[i] / 3);
        CHECK(after[i] == expected, "%.9g, expected %.9g", (double)after[i],
              (double)expected);
    }
    rnn_close(e);
}

/* ---- a run that goes on ---- */

/* Everything that a checkpoint holds, from one engine to another. */
static void hand_over(rnn_engine *from, rnn_engine *to)
{
    rnn_state_dict d;
    rnn_blocks a, b;
    rnn_get_blocks(from, &a);
    rnn_get_blocks(to, &b);
    memcpy(b.params, a.params, 2 * sizeof *a.params);
    memcpy(b.gathered, a.gathered, 2 * sizeof *a.gathered);
    memcpy(b.state, a.state, FAKE_ROWS * sizeof *a.state);
    memcpy(b.optimizer_scalars, a.optimizer_scalars, sizeof *a.optimizer_scalars);
    rnn_pack(to);
    CHECK(rnn_state_save(from, &d) == 0, "save");
    CHECK(rnn_state_load(to, &d) == 0, "%s", rnn_engine_error(to));
}

static int interrupt_at(rnn_engine *e, int event, void *left)
{
    (void)event;
    if (--*(int *)left == 0)
        rnn_interrupt(e);
    return 0;
}

static void test_gradients_that_wait_outlive_the_run(void)
{
    rnn_iterable data = series_iterable(&source);
    rnn_engine *whole = trainer(4);
    train(whole, &data, (rnn_run_options){.max_epochs = 2});
    float expected[2];
    parameters(whole, expected);
    rnn_close(whole);
    for (int chunks = 1; chunks < 12; chunks++) {
        int left = chunks;
        float got[2];
        rnn_engine *first = trainer(4), *second;
        rnn_on(first, RNN_TIME_ITERATION_COMPLETED, NULL, interrupt_at, &left);
        int status = rnn_engine_run(first, &data, &(rnn_run_options){.max_epochs = 2});
        CHECK(status == RNN_PAUSED, "status %d", status);
        second = trainer(4);
        hand_over(first, second);
        rnn_close(first);
        CHECK(rnn_engine_run(second, &data, NULL) == 0, "%s", rnn_engine_error(second));
        parameters(second, got);
        rnn_close(second);
        CHECK(memcmp(got, expected, sizeof got) == 0,
              "stopped after %d chunks: %.9g, expected %.9g", chunks, (double)got[0],
              (double)expected[0]);
    }
}

int main(void)
{
    for (int i = 0; i < N_BATCH; i++)
        series_make(&series[i], i, 8, FAKE_ROWS);
    test_an_update_comes_after_so_many_chunks();
    test_one_chunk_an_update_has_the_bits_of_none_said();
    test_an_update_is_by_the_mean();
    test_gradients_that_wait_outlive_the_run();
    return check_result();
}
