/*
 * bigram_model.h — a compiled model as one would write it by hand: the next symbol's
 * scores are a row of a table, which gradient descent with momentum learns. It has one
 * of everything that a model may have: a parameter, a tensor and a scalar of the
 * optimizer, a state (how many steps a row has seen), numbers, a counter, a metric.
 */
#ifndef RNNC_BIGRAM_MODEL_H
#define RNNC_BIGRAM_MODEL_H

#include "rnn_abi.h"

#include <math.h>
#include <string.h>

enum { BIGRAM_CLASSES = 5, BIGRAM_ROWS = 4, BIGRAM_STEPS = 8 };
enum { BIGRAM_LR, BIGRAM_BLOW_UP, BIGRAM_EPOCH };

static int bigram_class(const struct rnn_chunk *c, int input, int64_t t, int64_t b)
{
    const int32_t *data = c->input[input];
    return data[t * c->step_stride[input] + b * c->row_stride[input]];
}

static int bigram_init(struct rnn_chunk *c, int thread)
{
    float *params = c->params;
    (void)thread;
    for (int i = 0; i < BIGRAM_CLASSES * BIGRAM_CLASSES; i++)
        params[i] = 0.01f * (float)((c->rng.seed + 7 * (uint64_t)i) % 11);
    return 0;
}

static int bigram_nothing(struct rnn_chunk *c, int thread)
{
    (void)c, (void)thread;
    return 0;
}

static void bigram_count_steps(struct rnn_chunk *c)
{
    const float *found = c->state_in;
    float *left = c->state_out;
    for (int64_t b = 0; b < c->rows; b++)
        left[b] = (c->start[b] ? 0 : found[b]) + (float)c->steps;
}

/* Loss, and with `learn` gradients, of all steps and rows. */
static void bigram_walk(struct rnn_chunk *c, bool learn)
{
    double sum = 0, right = 0, n = (double)(c->steps * c->rows);
    const float *params = c->params;
    float *grads = c->grads;
    memset(grads, 0, sizeof(float) * BIGRAM_CLASSES * BIGRAM_CLASSES);
    for (int64_t t = 0; t < c->steps; t++)
        for (int64_t b = 0; b < c->rows; b++) {
            int x = bigram_class(c, 0, t, b), y = bigram_class(c, 1, t, b), best = 0;
            const float *score = params + x * BIGRAM_CLASSES;
            double all = 0;
            for (int k = 0; k < BIGRAM_CLASSES; k++) {
                all += exp((double)score[k]);
                best = score[k] > score[best] ? k : best;
            }
            sum += log(all) - (double)score[y];
            right += best == y;
            for (int k = 0; k < BIGRAM_CLASSES && learn; k++)
                grads[x * BIGRAM_CLASSES + k] +=
                    (float)((exp((double)score[k]) / all - (k == y)) / n);
        }
    c->weight = n;
    c->loss = sum / n;
    if (c->scalars[BIGRAM_BLOW_UP] > 0 &&
        c->scalars[BIGRAM_EPOCH] >= c->scalars[BIGRAM_BLOW_UP])
        c->loss = NAN;
    c->finite = isfinite(c->loss);
    c->running[0] += right;
    c->running[1] += n;
    c->metrics[0] = c->running[0] / c->running[1];
    bigram_count_steps(c);
    float *left = c->state_out;
    for (int64_t b = 0; b < c->rows && !c->finite; b++) /* what such a loss comes from */
        left[b] = NAN;
}

static int bigram_grad(struct rnn_chunk *c, int thread)
{
    (void)thread;
    bigram_walk(c, true);
    return 0;
}

static int bigram_update(struct rnn_chunk *c, int thread)
{
    float *params = c->params, *optimizer = c->optimizer;
    const float *grads = c->grads;
    (void)thread;
    c->optimizer_scalars[0] += 1;
    for (int i = 0; i < BIGRAM_CLASSES * BIGRAM_CLASSES; i++) {
        optimizer[i] = 0.5f * optimizer[i] + grads[i];
        params[i] -= (float)c->scalars[BIGRAM_LR] * optimizer[i];
    }
    return 0;
}

static int bigram_train(struct rnn_chunk *c, int thread)
{
    bigram_grad(c, thread);
    return c->finite ? bigram_update(c, thread) : 0;
}

static int bigram_eval(struct rnn_chunk *c, int thread)
{
    (void)thread;
    bigram_walk(c, false);
    return 0;
}

static int bigram_step(struct rnn_chunk *c, int thread)
{
    float *outputs = c->outputs;
    const float *params = c->params;
    (void)thread;
    for (int64_t t = 0; t < c->steps; t++)
        for (int64_t b = 0; b < c->rows; b++)
            memcpy(outputs + (t * c->rows + b) * BIGRAM_CLASSES,
                   params + bigram_class(c, 0, t, b) * BIGRAM_CLASSES,
                   sizeof(float) * BIGRAM_CLASSES);
    bigram_count_steps(c);
    return 0;
}

static const struct rnn_input bigram_inputs[] = {
    {.name = "x", .kind = RNN_CLASS, .size = 1, .classes = BIGRAM_CLASSES},
    {.name = "y",
     .kind = RNN_CLASS,
     .size = 1,
     .classes = BIGRAM_CLASSES,
     .for_loss_only = true},
};
static const struct rnn_tensor bigram_params[] = {
    {.name = "table",
     .rank = 2,
     .dim = {BIGRAM_CLASSES, BIGRAM_CLASSES},
     .size = BIGRAM_CLASSES * BIGRAM_CLASSES,
     .trained = true},
};
static const struct rnn_tensor bigram_optimizer[] = {
    {.name = "m.table",
     .rank = 2,
     .dim = {BIGRAM_CLASSES, BIGRAM_CLASSES},
     .size = BIGRAM_CLASSES * BIGRAM_CLASSES},
};
static const struct rnn_state bigram_states[] = {{.name = "seen", .size = 1}};
static const struct rnn_scalar bigram_scalars[] = {
    [BIGRAM_LR] = {.name = "optimizer.lr", .value = 1},
    [BIGRAM_BLOW_UP] = {.name = "blow_up", .whole = true},
    [BIGRAM_EPOCH] = {.name = "epoch", .counter = true},
};
static const struct rnn_scalar bigram_optimizer_scalars[] = {{.name = "k.table"}};
static const struct rnn_metric bigram_metrics[] = {{"accuracy", .in_training = true}};

static const struct rnn_model bigram = {
    .abi_version = RNN_ABI_VERSION,
    .name = "bigram",
    .spec_hash = "b16",
    .target = "by hand",
    .steps_max = BIGRAM_STEPS,
    .rows_max = BIGRAM_ROWS,
    .n_input = 2,
    .n_param = 1,
    .n_optimizer = 1,
    .n_state = 1,
    .n_scalar = 3,
    .n_optimizer_scalar = 1,
    .n_metric = 1,
    .n_running = 2,
    .input = bigram_inputs,
    .param = bigram_params,
    .optimizer = bigram_optimizer,
    .state = bigram_states,
    .scalar = bigram_scalars,
    .optimizer_scalar = bigram_optimizer_scalars,
    .metric = bigram_metrics,
    .params_size = BIGRAM_CLASSES * BIGRAM_CLASSES,
    .optimizer_size = BIGRAM_CLASSES * BIGRAM_CLASSES,
    .state_size = 1,
    .output_size = BIGRAM_CLASSES,
    .output_rank = 1,
    .output_dim = {BIGRAM_CLASSES},
    .workspace_bytes = 64,
    .threads_max = 1,
    .init = bigram_init,
    .pack = bigram_nothing,
    .train = bigram_train,
    .grad = bigram_grad,
    .update = bigram_update,
    .eval = bigram_eval,
    .step = bigram_step,
};

#endif
