/*
 * handler_ema.c — a moving average of the parameters (ema.c), from a trainer's settings.
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
