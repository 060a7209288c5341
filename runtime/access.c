/*
 * access.c — a trainer's parameters, states and scalars, from outside.
 *
 * Everything lies in blocks laid out as rnn_abi.h says. What is written into the
 * parameters must be packed again before the next chunk: rnn_set_parameter does so,
 * writers through rnn_get_blocks call rnn_pack.
 */
#include "tbptt.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static int need_trainer(rnn_engine *e, struct rnn__tbptt **t)
{
    *t = rnn__tbptt_of(e);
    return *t ? 0 : rnn__fail(e, RNN_EINVAL, "this engine has no model");
}

const struct rnn_model *rnn_model_of(const rnn_engine *e)
{
    const struct rnn__tbptt *t = rnn__tbptt_of(e);
    return t ? t->model : NULL;
}

/* ---- initialisation ---- */

/* A procedure that works on parameters alone: one step of one row that is not read. A
   handler may ask for it in the middle of a chunk, which is put back. */
static int run_on_parameters(rnn_engine *e, struct rnn__tbptt *t, rnn_procedure *procedure)
{
    struct rnn_chunk *c = &t->chunk, in_progress = *c;
    c->steps = c->rows = 1;
    c->rng = (struct rnn_rng){.seed = t->shared->seed};
    c->state_in = t->state[0];
    c->state_out = t->state[1];
    int status = rnn__tbptt_run(e, t, procedure);
    *c = in_progress;
    return status;
}

int rnn_pack(rnn_engine *e)
{
    struct rnn__tbptt *t;
    int status = need_trainer(e, &t);
    return status < 0 ? status : run_on_parameters(e, t, t->model->pack);
}

int rnn_init(rnn_engine *e, uint64_t seed)
{
    struct rnn__tbptt *t;
    int status = need_trainer(e, &t);
    if (status < 0)
        return status;
    const struct rnn_model *m = t->model;
    struct rnn__shared *s = t->shared;
    s->seed = seed;
    size_t real = rnn_dtype_bytes(m->dtype);
    memset(s->params, 0, (size_t)m->params_size * real);
    memset(s->optimizer, 0, (size_t)m->optimizer_size * real);
    for (int32_t i = 0; i < m->n_optimizer_scalar; i++)
        s->optimizer_scalars[i] = m->optimizer_scalar[i].value;
    status = run_on_parameters(e, t, m->init);
    return status < 0 ? status : rnn_pack(e);
}

int rnn_seed(rnn_engine *e, uint64_t seed)
{
    struct rnn__tbptt *t;
    int status = need_trainer(e, &t);
    if (status == 0)
        t->shared->seed = seed;
    return status;
}

uint64_t rnn_get_seed(const rnn_engine *e)
{
    const struct rnn__tbptt *t = rnn__tbptt_of(e);
    return t ? t->shared->seed : 0;
}

/* ---- parameters ---- */

static const struct rnn_tensor *find_parameter(const struct rnn_model *m, const char *name)
{
    for (int32_t i = 0; i < m->n_param; i++)
        if (strcmp(m->param[i].name, name) == 0)
            return &m->param[i];
    return NULL;
}

static int need_parameter(rnn_engine *e, const char *name, int64_t n, struct rnn__tbptt **t,
                          const struct rnn_tensor **tensor)
{
    int status = need_trainer(e, t);
    if (status < 0)
        return status;
    *tensor = find_parameter((*t)->model, name);
    if (!*tensor)
        return rnn__fail(e, RNN_EINVAL, "model %s has no parameter '%s'", (*t)->model->name,
                         name);
    if ((*tensor)->size != n)
        return rnn__fail(e, RNN_EINVAL, "%s has %" PRId64 " elements, not %" PRId64, name,
                         (*tensor)->size, n);
    return 0;
}

/* n reals, of whatever width on either side. */
static void copy_reals(void *to, enum rnn_dtype to_dtype, const void *from,
                       enum rnn_dtype from_dtype, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        rnn_real_set(to, to_dtype, i, rnn_real_at(from, from_dtype, i));
}

static int get_parameter(rnn_engine *e, const char *name, void *out, enum rnn_dtype dtype,
                         int64_t n)
{
    struct rnn__tbptt *t;
    const struct rnn_tensor *tensor;
    int status = need_parameter(e, name, n, &t, &tensor);
    if (status < 0)
        return status;
    enum rnn_dtype own = t->model->dtype;
    copy_reals(out, dtype, rnn_real_place(t->shared->params, own, tensor->offset), own, n);
    return 0;
}

int rnn_get_parameter(rnn_engine *e, const char *name, float *out, int64_t n)
{
    return get_parameter(e, name, out, RNN_F32, n);
}

int rnn_get_parameter_f64(rnn_engine *e, const char *name, double *out, int64_t n)
{
    return get_parameter(e, name, out, RNN_F64, n);
}

static int set_parameter(rnn_engine *e, const char *name, const void *in,
                         enum rnn_dtype dtype, int64_t n)
{
    struct rnn__tbptt *t;
    const struct rnn_tensor *tensor;
    int status = need_parameter(e, name, n, &t, &tensor);
    if (status < 0)
        return status;
    enum rnn_dtype own = t->model->dtype;
    copy_reals(rnn_real_place(t->shared->params, own, tensor->offset), own, in, dtype, n);
    return rnn_pack(e);
}

int rnn_set_parameter(rnn_engine *e, const char *name, const float *in, int64_t n)
{
    return set_parameter(e, name, in, RNN_F32, n);
}

int rnn_set_parameter_f64(rnn_engine *e, const char *name, const double *in, int64_t n)
{
    return set_parameter(e, name, in, RNN_F64, n);
}

/* NULL as well where the model's reals are of the other width. */
static void *gradient_of(const rnn_engine *e, const char *name, enum rnn_dtype dtype,
                         int64_t *n)
{
    struct rnn__tbptt *t = rnn__tbptt_of(e);
    const struct rnn_tensor *tensor = t ? find_parameter(t->model, name) : NULL;
    if (!tensor || !tensor->trained || t->model->dtype != dtype)
        return NULL;
    if (n)
        *n = tensor->size;
    return rnn_real_place(t->shared->grads, dtype, tensor->offset);
}

float *rnn_gradient(rnn_engine *e, const char *name, int64_t *n)
{
    return gradient_of(e, name, RNN_F32, n);
}

double *rnn_gradient_f64(rnn_engine *e, const char *name, int64_t *n)
{
    return gradient_of(e, name, RNN_F64, n);
}

int rnn_get_blocks(rnn_engine *e, rnn_blocks *out)
{
    struct rnn__tbptt *t;
    int status = need_trainer(e, &t);
    if (status < 0)
        return status;
    struct rnn__shared *s = t->shared;
    *out = (rnn_blocks){.params = s->params,
                        .grads = s->grads,
                        .optimizer = s->optimizer,
                        .state = t->state[0],
                        .gathered = s->gathered,
                        .window = t->window[0],
                        .optimizer_scalars = s->optimizer_scalars,
                        .scalars = s->scalars,
                        .running = t->running};
    return 0;
}

/* ---- the carried state ---- */

static int need_state(rnn_engine *e, int state, int64_t n, struct rnn__tbptt **t, void **at,
                      int64_t *size)
{
    int status = need_trainer(e, t);
    if (status < 0)
        return status;
    const struct rnn_model *m = (*t)->model;
    if (state < 0 || state >= m->n_state)
        return rnn__fail(e, RNN_EINVAL, "state %d of %d", state, (int)m->n_state);
    *size = m->state[state].size * m->rows_max;
    if (n < *size)
        return rnn__fail(e, RNN_EINVAL,
                         "state %s has %" PRId64 " elements, more than %" PRId64,
                         m->state[state].name, *size, n);
    int64_t offset = m->state[state].offset * m->rows_max;
    *at = rnn_real_place((*t)->state[0], m->dtype, offset);
    return 0;
}

static int get_state(rnn_engine *e, int state, void *out, enum rnn_dtype dtype, int64_t n)
{
    struct rnn__tbptt *t;
    void *at;
    int64_t size;
    int status = need_state(e, state, n, &t, &at, &size);
    if (status == 0)
        copy_reals(out, dtype, at, t->model->dtype, size);
    return status;
}

int rnn_get_state(rnn_engine *e, int state, float *out, int64_t n)
{
    return get_state(e, state, out, RNN_F32, n);
}

int rnn_get_state_f64(rnn_engine *e, int state, double *out, int64_t n)
{
    return get_state(e, state, out, RNN_F64, n);
}

static void set_carried(rnn_engine *e, struct rnn__tbptt *t, bool carried)
{
    e->attributes.number[t->kept[RNN__KEPT_CARRIED]].value = carried;
    t->given = carried;
    t->fresh = !carried;
}

static int set_state(rnn_engine *e, int state, const void *in, enum rnn_dtype dtype,
                     int64_t n)
{
    struct rnn__tbptt *t;
    void *at;
    int64_t size;
    int status = need_state(e, state, n, &t, &at, &size);
    if (status < 0)
        return status;
    copy_reals(at, t->model->dtype, in, dtype, size);
    set_carried(e, t, true);
    return 0;
}

int rnn_set_state(rnn_engine *e, int state, const float *in, int64_t n)
{
    return set_state(e, state, in, RNN_F32, n);
}

int rnn_set_state_f64(rnn_engine *e, int state, const double *in, int64_t n)
{
    return set_state(e, state, in, RNN_F64, n);
}

int rnn_reset_state(rnn_engine *e)
{
    struct rnn__tbptt *t;
    int status = need_trainer(e, &t);
    if (status < 0)
        return status;
    set_carried(e, t, false);
    t->forward_fresh = true;
    return 0;
}

/* ---- scalars and results ---- */

static int find_scalar(const struct rnn_model *m, const char *name)
{
    for (int32_t i = 0; i < m->n_scalar; i++)
        if (strcmp(m->scalar[i].name, name) == 0)
            return i;
    return -1;
}

bool rnn__scalar_takes(const struct rnn_scalar *s, double value, char wanted[128])
{
    bool whole = !s->whole || value == floor(value);
    bool within = !s->limited || (value >= s->least && value <= s->most);
    snprintf(wanted, 128, "%s", s->whole ? "a whole number" : "a number");
    if (s->limited && isinf(s->most))
        snprintf(wanted + strlen(wanted), 128 - strlen(wanted), " of %.17g or more",
                 s->least);
    else if (s->limited)
        snprintf(wanted + strlen(wanted), 128 - strlen(wanted), " from %.17g to %.17g",
                 s->least, s->most);
    return whole && within && !isnan(value);
}

int rnn_set_scalar(rnn_engine *e, const char *name, double value)
{
    struct rnn__tbptt *t;
    int status = need_trainer(e, &t);
    if (status < 0)
        return status;
    int i = find_scalar(t->model, name);
    if (i < 0)
        return rnn__fail(e, RNN_EINVAL, "model %s has no number '%s'", t->model->name,
                         name);
    if (t->model->scalar[i].counter)
        return rnn__fail(e, RNN_EINVAL, "'%s' is a counter: the engine sets it", name);
    char wanted[128];
    if (!rnn__scalar_takes(&t->model->scalar[i], value, wanted))
        return rnn__fail(e, RNN_EINVAL, "'%s' takes %s, not %g", name, wanted, value);
    t->shared->scalars[i] = value;
    return 0;
}

int rnn_get_scalar(const rnn_engine *e, const char *name, double *value)
{
    const struct rnn__tbptt *t = rnn__tbptt_of(e);
    int i = t ? find_scalar(t->model, name) : -1;
    if (i < 0)
        return RNN_EINVAL;
    *value = t->shared->scalars[i];
    return 0;
}

int rnn_last_chunk(const rnn_engine *e, rnn_chunk_result *out)
{
    const struct rnn__tbptt *t = rnn__tbptt_of(e);
    if (!t)
        return RNN_EINVAL;
    const struct rnn_chunk *c = &t->chunk;
    *out = (rnn_chunk_result){.loss = c->loss,
                              .weight = c->weight,
                              .gradient_norm = c->gradient_norm,
                              .finite = c->finite,
                              .step0 = c->rng.step0 + c->loss_from,
                              .steps = c->steps - c->loss_from,
                              .rows = c->rows};
    return 0;
}

/* ---- forward alone ---- */

/* One chunk of it, in a state block and with starts of its own. */
static int forward_chunk(rnn_engine *e, struct rnn__tbptt *t, int64_t step0, void *outputs)
{
    const struct rnn_model *m = t->model;
    int64_t left = t->batch.steps - step0;
    int status =
        rnn__tbptt_fill_chunk(e, t, step0, left < m->steps_max ? left : m->steps_max);
    if (status < 0)
        return status;
    memset(t->forward_start, t->forward_fresh, (size_t)m->rows_max);
    if (!t->forward_fresh && step0 == 0 && t->batch.start)
        memcpy(t->forward_start, t->batch.start, (size_t)t->batch.rows);
    t->chunk.start = t->forward_start;
    t->chunk.state_in = t->chunk.state_out = t->forward_state;
    t->chunk.outputs =
        rnn_real_place(outputs, m->dtype, step0 * t->batch.rows * m->output_size);
    t->chunk.training = false;
    status = rnn__tbptt_run(e, t, m->step);
    t->forward_fresh = t->forward_fresh && status < 0;
    return status;
}

static int forward(rnn_engine *e, struct rnn__tbptt *t, const rnn_batch *batch,
                   void *outputs)
{
    t->batch = *batch;
    int status = rnn__tbptt_take_batch(e, t, false);
    int64_t step0 = 0;
    while (status == 0 && step0 < batch->steps) {
        status = forward_chunk(e, t, step0, outputs);
        step0 += t->model->steps_max;
    }
    return status;
}

int rnn__forward(rnn_engine *e, const rnn_batch *batch, void *outputs)
{
    struct rnn__tbptt *t;
    int status = need_trainer(e, &t);
    if (status < 0)
        return status;
    if (!batch || !outputs)
        return rnn__fail(e, RNN_EINVAL,
                         "rnn_forward needs a batch and room for its outputs");
    if (atomic_load(&e->running))
        return rnn__fail(e, RNN_EBUSY, "rnn_forward in a running engine; use an evaluator");
    struct rnn_chunk chunk = t->chunk;
    rnn_batch in_progress = t->batch;
    status = forward(e, t, batch, outputs);
    t->chunk = chunk;
    t->batch = in_progress;
    if (e->phase == RNN__PROCESS && !e->new_batch) /* paused within a batch */
        rnn__tbptt_take_batch(e, t, true);
    return status;
}

/* As rnn__forward, where the model's reals are of the caller's width. */
static int forward_as(rnn_engine *e, const rnn_batch *batch, void *outputs,
                      enum rnn_dtype dtype)
{
    struct rnn__tbptt *t;
    int status = need_trainer(e, &t);
    if (status == 0 && t->model->dtype != dtype)
        return rnn__fail(e, RNN_EINVAL, "model %s computes in %s: its outputs come from %s",
                         t->model->name, dtype == RNN_F64 ? "float" : "double",
                         dtype == RNN_F64 ? "rnn_forward" : "rnn_forward_f64");
    return status < 0 ? status : rnn__forward(e, batch, outputs);
}

int rnn_forward(rnn_engine *e, const rnn_batch *batch, float *outputs)
{
    return forward_as(e, batch, outputs, RNN_F32);
}

int rnn_forward_f64(rnn_engine *e, const rnn_batch *batch, double *outputs)
{
    return forward_as(e, batch, outputs, RNN_F64);
}
