/*
 * fake_model.h — a model written by hand: a linear recurrence with a squared error.
 *
 *     h' = a * h + w * x        loss: mean over (time, row) of (h' - y)²
 *
 * Gradients by hand through the chunk, plain gradient descent. Rows are divided
 * among the threads; partial sums stand in the workspace and thread 0 adds them in
 * order, so the bits do not depend on the number of threads.
 */
#ifndef RNN_TEST_FAKE_MODEL_H
#define RNN_TEST_FAKE_MODEL_H

#include "rnn.h"

#include <math.h>
#include <string.h>

enum { FAKE_STEPS = 8, FAKE_ROWS = 4, FAKE_THREADS = 3 };
enum {
    FAKE_LR,
    FAKE_EPOCH,
    FAKE_EPOCHS,
    FAKE_ITERATION,
    FAKE_TIME_ITERATION,
    FAKE_CHUNK,
    FAKE_LOSS
};

struct fake_space {
    double loss[FAKE_ROWS], da[FAKE_ROWS], dw[FAKE_ROWS];
    double packed[2]; /* proves that `pack` was called */
};

static inline double fake_get(const struct rnn_chunk *c, const void *block, int64_t i)
{
    return rnn_real_at(block, c->model->dtype, i);
}

static inline void fake_set(const struct rnn_chunk *c, void *block, int64_t i, double v)
{
    rnn_real_set(block, c->model->dtype, i, v);
}

static inline double fake_at(const struct rnn_chunk *c, int input, int64_t t, int64_t row)
{
    return fake_get(c, c->input[input],
                    t * c->step_stride[input] + row * c->row_stride[input]);
}

/* Forward and backward through one row; hs[t] is the state after step t. */
static inline void fake_row(struct rnn_chunk *c, int64_t row, bool backward)
{
    struct fake_space *space = c->workspace;
    double a = space->packed[0], w = space->packed[1];
    double h0 = c->start[row] ? 0 : fake_get(c, c->state_in, row), h = h0, hs[FAKE_STEPS],
           loss = 0;
    for (int64_t t = 0; t < c->steps; t++) {
        h = a * h + w * fake_at(c, 0, t, row);
        hs[t] = h;
        if (c->outputs)
            fake_set(c, c->outputs, t * c->rows + row, h);
        if (c->input[1])
            loss += (h - fake_at(c, 1, t, row)) * (h - fake_at(c, 1, t, row));
    }
    fake_set(c, c->state_out, row, h);
    space->loss[row] = loss;
    space->da[row] = space->dw[row] = 0;
    double scale = 2 / (double)(c->steps * c->rows), dh = 0;
    for (int64_t t = c->steps - 1; backward && t >= 0; t--) {
        dh += scale * (hs[t] - fake_at(c, 1, t, row));
        space->da[row] += dh * (t > 0 ? hs[t - 1] : h0);
        space->dw[row] += dh * fake_at(c, 0, t, row);
        dh *= a;
    }
}

static inline void fake_rows(struct rnn_chunk *c, int thread, bool backward)
{
    for (int64_t row = thread; row < c->rows; row += c->team->n_thread)
        fake_row(c, row, backward);
    c->team->wait(c->team, thread);
}

static inline void fake_result(struct rnn_chunk *c)
{
    const struct fake_space *space = c->workspace;
    double loss = 0, da = 0, dw = 0;
    for (int64_t row = 0; row < c->rows; row++) {
        loss += space->loss[row];
        da += space->da[row];
        dw += space->dw[row];
    }
    c->weight = (double)(c->steps * c->rows);
    c->loss = loss / c->weight;
    c->finite = isfinite(c->loss);
    fake_set(c, c->grads, 0, da);
    fake_set(c, c->grads, 1, dw);
    c->gradient_norm = sqrt(da * da + dw * dw);
}

static inline int fake_pack(struct rnn_chunk *c, int thread)
{
    struct fake_space *space = c->workspace;
    for (int i = 0; i < 2 && thread == 0; i++)
        space->packed[i] = fake_get(c, c->params, i);
    return 0;
}

static inline int fake_init(struct rnn_chunk *c, int thread)
{
    if (thread == 0) {
        fake_set(c, c->params, 0, 0.5);
        fake_set(c, c->params, 1, 1 + (double)c->rng.seed);
    }
    return 0;
}

static inline int fake_grad(struct rnn_chunk *c, int thread)
{
    fake_rows(c, thread, true);
    if (thread == 0)
        fake_result(c);
    return 0;
}

/* As a model in float would have it: the rate is rounded. */
static inline double fake_rate(const struct rnn_chunk *c)
{
    double lr = c->scalars[FAKE_LR];
    return c->model->dtype == RNN_F32 ? (double)(float)lr : lr;
}

static inline int fake_update(struct rnn_chunk *c, int thread)
{
    for (int i = 0; i < 2 && thread == 0; i++)
        fake_set(c, c->params, i,
                 fake_get(c, c->params, i) - fake_rate(c) * fake_get(c, c->grads, i));
    if (thread == 0)
        c->optimizer_scalars[0]++;
    return fake_pack(c, thread);
}

static inline int fake_train(struct rnn_chunk *c, int thread)
{
    fake_grad(c, thread);
    return thread == 0 && c->finite ? fake_update(c, thread) : 0;
}

static inline int fake_eval(struct rnn_chunk *c, int thread)
{
    fake_rows(c, thread, false);
    if (thread == 0) {
        fake_result(c);
        c->running[0] += c->loss * c->weight;
        c->running[1] += c->weight;
        c->metrics[0] = 10 * c->running[0] / c->running[1];
    }
    return 0;
}

static inline int fake_step(struct rnn_chunk *c, int thread)
{
    fake_rows(c, thread, false);
    return 0;
}

static const struct rnn_input fake_inputs[] = {
    {.name = "x", .kind = RNN_REAL, .size = 1},
    {.name = "y", .kind = RNN_REAL, .size = 1, .for_loss_only = true},
};
static const struct rnn_tensor fake_params[] = {
    {.name = "a", .size = 1, .offset = 0, .trained = true},
    {.name = "w", .size = 1, .offset = 1, .trained = true},
};
static const struct rnn_state fake_states[] = {{.name = "h", .size = 1}};
static const struct rnn_scalar fake_scalars[] = {
    [FAKE_LR] = {.name = "optimizer.lr", .value = 0.01},
    [FAKE_EPOCH] = {.name = "epoch", .counter = true},
    [FAKE_EPOCHS] = {.name = "epochs", .counter = true},
    [FAKE_ITERATION] = {.name = "iteration", .counter = true},
    [FAKE_TIME_ITERATION] = {.name = "time_iteration", .counter = true},
    [FAKE_CHUNK] = {.name = "chunk", .counter = true},
    [FAKE_LOSS] = {.name = "loss", .counter = true},
};
static const struct rnn_scalar fake_optimizer_scalars[] = {{.name = "k"}};
static const struct rnn_metric fake_metrics[] = {{.name = "ten_losses"}};

static const struct rnn_model fake_model = {
    .abi_version = RNN_ABI_VERSION,
    .name = "fake",
    .spec_hash = "00",
    .target = "C",
    .steps_max = FAKE_STEPS,
    .rows_max = FAKE_ROWS,
    .n_input = 2,
    .n_param = 2,
    .n_state = 1,
    .n_scalar = FAKE_LOSS + 1,
    .n_optimizer_scalar = 1,
    .n_metric = 1,
    .n_running = 2,
    .input = fake_inputs,
    .param = fake_params,
    .state = fake_states,
    .scalar = fake_scalars,
    .optimizer_scalar = fake_optimizer_scalars,
    .metric = fake_metrics,
    .params_size = 2,
    .state_size = 1,
    .output_size = 1,
    .workspace_bytes = sizeof(struct fake_space),
    .threads_max = FAKE_THREADS,
    .init = fake_init,
    .pack = fake_pack,
    .train = fake_train,
    .grad = fake_grad,
    .update = fake_update,
    .eval = fake_eval,
    .step = fake_step,
};

/* ---- batches for it ---- */

enum { SERIES_STEPS = 20 };

struct series {
    float x[SERIES_STEPS * FAKE_ROWS], y[SERIES_STEPS * FAKE_ROWS];
    rnn_array array[2];
    rnn_batch batch;
};

/* Plain arrays [steps][rows], different for each `number`. */
static inline void series_make(struct series *s, int number, int64_t steps, int64_t rows)
{
    for (int i = 0; i < SERIES_STEPS * FAKE_ROWS; i++) {
        s->x[i] = sinf(0.7f * (float)i + (float)number);
        s->y[i] = cosf(0.3f * (float)i - (float)number);
    }
    s->array[0] = (rnn_array){.data = s->x, .steps = steps};
    s->array[1] = (rnn_array){.data = s->y, .steps = steps};
    s->batch = (rnn_batch){.steps = steps, .rows = rows, .n_input = 2, .input = s->array};
}

struct series_source {
    struct series *series;
    int n, at;
};

static inline int series_restart(void *user, int64_t pass)
{
    (void)pass;
    ((struct series_source *)user)->at = 0;
    return 0;
}

static inline int series_next(void *user, void **batch)
{
    struct series_source *s = user;
    *batch = s->at < s->n ? &s->series[s->at++].batch : NULL;
    return 0;
}

static inline rnn_iterable series_iterable(struct series_source *s)
{
    return (rnn_iterable){
        .length = s->n, .restart = series_restart, .next = series_next, .user = s};
}

#endif
