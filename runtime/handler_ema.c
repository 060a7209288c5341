/*
 * handler_ema.c — an exponential moving average of the parameters, as Ignite's EMAHandler:
 *
 *     average = (1 - momentum) * average + momentum * parameter
 *
 * at each ITERATION_COMPLETED. With a warm-up the momentum goes in a line from
 * momentum_warmup to momentum over the first updates (Ignite's EMAWarmUp).
 *
 * Validation, and with it early stopping and the best checkpoint, sees the averages: the
 * blocks are exchanged around it. A checkpoint holds the parameters that training goes on
 * with, and the averages as handler.ema.NAME; the run ends with ema.safetensors, the
 * averages under the parameters' own names, for --init, eval and PyTorch.
 */
#include "engine.h"
#include "trainer.h"

#include <stdlib.h>
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
    rnn_ema_options options = *o;
    rnn_blocks blocks;
    if (options.momentum == 0)
        options.momentum = 0.0002;
    if (!m || e->ema || rnn_get_blocks(e, &blocks) != 0)
        return rnn__fail(e, RNN_EINVAL,
                         "moving averages are a trainer's, and one is enough");
    if (!(options.momentum > 0 && options.momentum < 1) || options.warmup < 0 ||
        !(options.momentum_warmup >= 0 && options.momentum_warmup <= 1))
        return rnn__fail(e, RNN_EINVAL, "a momentum is between 0 and 1");
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
        code = rnn_on(e, RNN_STARTED, NULL, begin, ema);
    if (code > 0)
        code = rnn_on(e, event, filter, update, ema);
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

/* ---- of a trainer ---- */

static void *average_at(const struct rnn__trainer *t, const struct rnn_tensor *p)
{
    return rnn_real_place(rnn__ema_block(t->engine), t->model->dtype, p->offset);
}

static int keep_averages(struct rnn__trainer *t, struct rnn__fault *f)
{
    int code = 0;
    for (int i = 0; i < t->model->n_param && !code; i++) {
        const struct rnn_tensor *p = &t->model->param[i];
        struct rnn__string name = {0};
        rnn__put(&name, "ema.%s", p->name);
        code = name.failed ? rnn__fault_memory(f)
                           : rnn__keep(t, name.text, rnn__dtype_of(t->model->dtype),
                                       p->rank, p->dim, average_at(t, p), f);
        free(name.text);
    }
    return code;
}

int rnn__add_ema(struct rnn__trainer *t, const json_t *options, const char *where,
                 struct rnn__fault *f)
{
    struct rnn__when when = {.event = RNN_ITERATION_COMPLETED};
    rnn_ema_options o = {.momentum = 0.0002};
    int code = rnn__get_number(options, where, "momentum", &o.momentum, f);
    o.momentum_warmup = o.momentum;
    if (!code)
        code = rnn__get_number(options, where, "momentum_warmup", &o.momentum_warmup, f);
    if (!code)
        code = rnn__get_integer(options, where, "warmup", 1, &o.warmup, f);
    if (!code && !(o.momentum > 0 && o.momentum < 1))
        code = rnn__fault(f, RNN__ESPEC, "%s.momentum: %g is not between 0 and 1", where,
                          o.momentum);
    bool half =
        !json_object_get(options, "warmup") != !json_object_get(options, "momentum_warmup");
    if (!code && half)
        code =
            rnn__fault(f, RNN__ESPEC, "%s: momentum_warmup and warmup go together", where);
    if (!code)
        code = rnn__read_when(t, options, where, &when, f);
    if (code)
        return code;
    int handle = rnn_ema(t->engine, when.event, when.filtered ? &when.filter : NULL, &o);
    return handle > 0 ? keep_averages(t, f) : rnn__trainer_failed(t, t->engine, handle, f);
}

int rnn__save_ema(struct rnn__trainer *t, struct rnn__fault *f)
{
    if (!rnn__ema_block(t->engine))
        return 0;
    const struct rnn_model *m = t->model;
    struct rnn__tensor *list = calloc((size_t)m->n_param + 1, sizeof *list);
    char *path = rnn__path_join(t->out, "ema.safetensors");
    json_t *metadata = json_object();
    int code = list && path && metadata ? 0 : rnn__fault_memory(f);
    for (int i = 0; i < m->n_param && !code; i++) {
        const struct rnn_tensor *p = &m->param[i];
        list[i] = (struct rnn__tensor){.name = p->name,
                                       .dtype = rnn__dtype_of(m->dtype),
                                       .rank = p->rank,
                                       .size = p->size,
                                       .data = average_at(t, p)};
        memcpy(list[i].dim, p->dim, (size_t)p->rank * sizeof *p->dim);
    }
    if (!code)
        code = rnn__safetensors_write(path, list, m->n_param, metadata, f);
    json_decref(metadata);
    free(path);
    free(list);
    return code;
}
