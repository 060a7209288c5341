/*
 * tbptt_update.c — the gradient of a chunk and the update that it makes, alone or with
 * those of the chunks before it.
 *
 * The model's `train` does both in one. They come apart, in `grad` and `update`, when a
 * handler listens in between, or when the optimizer's `accumulate` lets n chunks make one
 * update: their gradients are summed here, and the update gets the mean. An epoch ends with
 * an update of what is left. How many wait, and whether a row started in one of them, lies
 * in the state dict; the sum itself in the checkpoint ("gathered.NAME").
 */
#include "tbptt.h"

#include <string.h>

/* How many chunks make an update. */
static double chunks_wanted(const struct rnn__tbptt *t)
{
    double n = t->accumulate < 0 ? 1 : t->shared->scalars[t->accumulate];
    return n > 1 ? n : 1;
}

static void gather(rnn_engine *e, struct rnn__tbptt *t)
{
    void *sum = t->shared->gathered;
    enum rnn_dtype dtype = t->model->dtype;
    bool first = *rnn__tbptt_kept(e, RNN__KEPT_GATHERED) == 0;
    for (int64_t i = 0; i < t->model->params_size; i++) {
        double before = first ? 0 : rnn_real_at(sum, dtype, i);
        double added = rnn_real_at(t->shared->grads, dtype, i);
        rnn_real_set(sum, dtype, i, first ? added : before + added);
    }
    bool starts = memchr(t->start, 1, (size_t)t->batch.rows) != NULL;
    *rnn__tbptt_kept(e, RNN__KEPT_TOUCHED) =
        starts || (!first && *rnn__tbptt_kept(e, RNN__KEPT_TOUCHED) != 0);
    *rnn__tbptt_kept(e, RNN__KEPT_GATHERED) += 1;
}

static int update(rnn_engine *e, struct rnn__tbptt *t)
{
    int status = rnn__tbptt_run(e, t, t->model->update);
    return status < 0 ? status : rnn__fire(e, RNN_OPTIM_STEP_COMPLETED);
}

/* The update by the mean of the gradients that wait, as one of the last chunk; a row
   started in it if one did in any. */
static int update_gathered(rnn_engine *e, struct rnn__tbptt *t)
{
    double n = *rnn__tbptt_kept(e, RNN__KEPT_GATHERED);
    enum rnn_dtype dtype = t->model->dtype;
    for (int64_t i = 0; i < t->model->params_size; i++)
        rnn_real_set(t->shared->grads, dtype, i,
                     rnn_real_at(t->shared->gathered, dtype, i) / n);
    uint8_t start = t->start[0];
    t->start[0] = start || *rnn__tbptt_kept(e, RNN__KEPT_TOUCHED) != 0;
    *rnn__tbptt_kept(e, RNN__KEPT_GATHERED) = 0;
    int status = update(e, t);
    t->start[0] = start;
    return status;
}

static bool is_last_of_epoch(const rnn_engine *e, const struct rnn__tbptt *t)
{
    const rnn_engine_state *s = &e->state;
    return s->iter_counter == s->epoch_length && t->step0 + t->steps >= t->batch.steps;
}

/* An epoch that ended sooner than it was known to: what is left waits for nothing. */
int rnn__tbptt_end_epoch(rnn_engine *e)
{
    return *rnn__tbptt_kept(e, RNN__KEPT_GATHERED) > 0 ? update_gathered(e, e->trainer) : 0;
}

/* Gradient and update apart. A chunk without a loss, or with one that is not finite, has no
   gradient and counts as none of those that make an update. */
static int train_in_two(rnn_engine *e, struct rnn__tbptt *t)
{
    double wanted = chunks_wanted(t);
    int status = rnn__tbptt_run(e, t, t->model->grad);
    bool counts = t->chunk.finite && t->chunk.weight > 0;
    if (status == 0 && counts)
        status = rnn__fire(e, RNN_BACKWARD_COMPLETED);
    if (status < 0)
        return status;
    if (wanted <= 1 && *rnn__tbptt_kept(e, RNN__KEPT_GATHERED) == 0)
        return counts ? update(e, t) : 0;
    if (counts)
        gather(e, t);
    double gathered = *rnn__tbptt_kept(e, RNN__KEPT_GATHERED);
    bool due = gathered >= wanted || (gathered > 0 && is_last_of_epoch(e, t));
    return due ? update_gathered(e, t) : 0;
}

int rnn__tbptt_train(rnn_engine *e, struct rnn__tbptt *t)
{
    bool watched = rnn_has_handler(e, NULL, RNN_BACKWARD_COMPLETED) ||
                   rnn_has_handler(e, NULL, RNN_OPTIM_STEP_COMPLETED);
    bool gathers = chunks_wanted(t) > 1 || *rnn__tbptt_kept(e, RNN__KEPT_GATHERED) > 0;
    return watched || gathers ? train_in_two(e, t) : rnn__tbptt_run(e, t, t->model->train);
}
