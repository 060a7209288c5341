/*
 * ema.c — an exponential moving average of the parameters, as Ignite's EMAHandler:
 *
 *     average = (1 - momentum) * average + momentum * parameter
 *
 * at each ITERATION_COMPLETED. With a warm-up the momentum goes in a line from
 * momentum_warmup to momentum over the first updates (Ignite's EMAWarmUp).
 * handler_ema.c hangs it as a trainer's settings say.
 */
#include "engine.h"

#include <string.h>

struct rnn__ema {
    rnn_ema_options o;
    enum rnn_dtype dtype;
    void *params, *average; /* [n] reals, the trainer's and ours */
    int64_t n;
    int updates, begun; /* among the attributes; begun: 1 once there are averages */
};

static double momentum_at(const struct rnn__ema *ema, double update)
{
    const rnn_ema_options *o = &ema->o;
    if (o->warmup < 1 || update > (double)o->warmup)
        return o->momentum;
    double steps = o->warmup > 1 ? (double)(o->warmup - 1) : 1;
    return o->momentum_warmup + (o->momentum - o->momentum_warmup) * (update - 1) / steps;
}

/* Begins with the parameters that the run begins with; a resumed one has averages, also
   where it was stopped before the first update. */
static int begin(rnn_engine *e, int event, void *user)
{
    struct rnn__ema *ema = user;
    (void)event;
    double *begun = &e->attributes.number[ema->begun].value;
    if (*begun == 0 && e->attributes.number[ema->updates].value == 0)
        memcpy(ema->average, ema->params, (size_t)ema->n * rnn_dtype_bytes(ema->dtype));
    *begun = 1;
    return 0;
}

static int update(rnn_engine *e, int event, void *user)
{
    struct rnn__ema *ema = user;
    double *n = &e->attributes.number[ema->updates].value;
    (void)event;
    double momentum = momentum_at(ema, ++*n), keep = 1 - momentum;
    for (int64_t i = 0; i < ema->n; i++)
        rnn_real_set(ema->average, ema->dtype, i,
                     keep * rnn_real_at(ema->average, ema->dtype, i) +
                         momentum * rnn_real_at(ema->params, ema->dtype, i));
    return 0;
}

int rnn_ema(rnn_engine *e, int event, const rnn_filter *filter, const rnn_ema_options *o)
{
    const struct rnn_model *m = rnn_model_of(e);
    rnn_ema_options options = o ? *o : (rnn_ema_options){0};
    rnn_blocks blocks;
    if (options.momentum == 0)
        options.momentum = 0.0002;
    if (!m || e->ema || rnn_get_blocks(e, &blocks) != 0)
        return rnn__fail(e, RNN_EINVAL,
                         "moving averages are a trainer's, and one is enough");
    if (!(options.momentum > 0 && options.momentum < 1) || options.warmup < 0 ||
        !(options.momentum_warmup >= 0 && options.momentum_warmup <= 1))
        return rnn__fail(e, RNN_EINVAL, "a momentum is between 0 and 1");
    if (options.momentum_warmup > 0 && !options.warmup)
        return rnn__fail(e, RNN_EINVAL, "momentum_warmup needs warmup, its length");
    size_t bytes = (size_t)m->params_size * rnn_dtype_bytes(m->dtype);
    struct rnn__ema *ema = rnn__own(e, sizeof *ema);
    void *average = rnn__own(e, bytes);
    if (!ema || !average)
        return rnn__fail(e, RNN_ENOMEM, "no memory for moving averages");
    *ema =
        (struct rnn__ema){options, m->dtype, blocks.params, average, m->params_size, 0, 0};
    int code = rnn__keep_count(e, "ema.updates", 0x1p53);
    if (!code)
        code = rnn__keep_count(e, "ema.begun", 1);
    ema->updates = rnn__number_find(&e->attributes, "ema.updates");
    ema->begun = rnn__number_find(&e->attributes, "ema.begun");
    if (!code)
        code = rnn__named(e, rnn_on(e, RNN_STARTED, NULL, begin, ema), "ema");
    if (code > 0)
        code = rnn__named(e, rnn_on(e, event, filter, update, ema), "ema");
    if (code > 0)
        e->ema = ema;
    return code;
}

void *rnn__ema_block(const rnn_engine *e) { return e->ema ? e->ema->average : NULL; }

int rnn_ema_swap(rnn_engine *e)
{
    struct rnn__ema *ema = e->ema;
    if (!ema)
        return rnn__fail(e, RNN_EINVAL, "this engine has no moving averages");
    for (int64_t i = 0; i < ema->n; i++) {
        double kept = rnn_real_at(ema->params, ema->dtype, i);
        rnn_real_set(ema->params, ema->dtype, i, rnn_real_at(ema->average, ema->dtype, i));
        rnn_real_set(ema->average, ema->dtype, i, kept);
    }
    return rnn_pack(e);
}
