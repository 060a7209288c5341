/*
 * tbptt_make.c — a trainer or an evaluator made: its options checked, its memory laid out.
 *
 * All that the loop works on lies in one block, cut twice: once to measure, once for good.
 * An evaluator has states and sums of its own and shares the rest with its trainer:
 * parameters, optimizer, workspace, threads.
 */
#include "machine.h"
#include "services.h"
#include "tbptt.h"

#include <inttypes.h>
#include <string.h>

/* ---- options ---- */

static bool has_window(const struct rnn_model *m)
{
    return m->tbptt_step > 0 && m->tbptt_step < m->steps_max;
}

static int64_t new_steps(const struct rnn_model *m)
{
    return has_window(m) ? m->tbptt_step : m->steps_max;
}

/* Zeros become what they stand for. An evaluator carries its state on, without a window. */
static void settle_steps(const struct rnn_model *m, rnn_tbptt_options *o, bool trains)
{
    if (!o->tbptt_step)
        o->tbptt_step = new_steps(m);
    if (!o->tbptt_window)
        o->tbptt_window = has_window(m) ? m->steps_max : o->tbptt_step;
    if (!trains)
        o->tbptt_window = o->tbptt_step;
}

int rnn__tbptt_check_steps(const struct rnn_model *m, int64_t step, int64_t window)
{
    rnn_tbptt_options o = {.tbptt_step = step, .tbptt_window = window};
    settle_steps(m, &o, true);
    if (o.tbptt_step < 1 || o.tbptt_step > new_steps(m))
        return rnn__fail(NULL, RNN_EINVAL,
                         "tbptt_step is %" PRId64
                         ", model %s was compiled for 1 to %" PRId64 "%s",
                         o.tbptt_step, m->name, new_steps(m),
                         step > 0 ? "; build it again with a larger tbptt.step" : "");
    if (o.tbptt_window == o.tbptt_step)
        return 0;
    if (!has_window(m))
        return rnn__fail(NULL, RNN_EINVAL,
                         "tbptt_window is %" PRId64
                         ", but model %s was compiled without a window; build it with "
                         "tbptt.window",
                         o.tbptt_window, m->name);
    if (o.tbptt_window < 1 || o.tbptt_window > m->steps_max ||
        o.tbptt_window % o.tbptt_step)
        return rnn__fail(NULL, RNN_EINVAL,
                         "tbptt_window is %" PRId64
                         "; it must be a multiple of tbptt_step, "
                         "%" PRId64 ", and model %s was compiled for %" PRId64 " at most",
                         o.tbptt_window, o.tbptt_step, m->name, m->steps_max);
    return 0;
}

static int check_options(const struct rnn_model *m, const rnn_tbptt_options *o)
{
    if (m->abi_version != RNN_ABI_VERSION)
        return rnn__fail(NULL, RNN_EABI,
                         "model %s speaks version %d of the ABI, this is %d", m->name,
                         (int)m->abi_version, (int)RNN_ABI_VERSION);
    const char *lacks = rnn__machine_lacks(m->target);
    if (lacks)
        return rnn__fail(NULL, RNN_EDEVICE,
                         "model %s was compiled for %s, but this machine has no %s",
                         m->name, m->target, lacks);
    if (o->optimizer || o->loss_fn)
        return rnn__fail(NULL, RNN_EINVAL,
                         "optimizer and loss are compiled into model %s: give NULL",
                         m->name);
    int status = rnn__tbptt_check_steps(m, o->tbptt_step, o->tbptt_window);
    if (status < 0)
        return status;
    if (o->dim != 0 && o->dim != 1)
        return rnn__fail(NULL, RNN_EINVAL, "dim, the time axis, is %d; it can be 0 or 1",
                         o->dim);
    if (o->report != RNN_REPORT_UNWEIGHTED && o->report != RNN_REPORT_WEIGHTED)
        return rnn__fail(NULL, RNN_EINVAL, "report is %d; it can be 0 or 1",
                         (int)o->report);
    if (o->threads < 0)
        return rnn__fail(NULL, RNN_EINVAL, "threads is %d", o->threads);
    if (o->device && strcmp(o->device, "cpu") != 0)
        return rnn__fail(NULL, RNN_EDEVICE, "there is no device '%s' here; cpu is",
                         o->device);
    return 0;
}

/* ---- memory ---- */

static int find_accumulate(const struct rnn_model *m)
{
    int32_t i = 0;
    while (i < m->n_scalar && strcmp(m->scalar[i].name, "optimizer.accumulate") != 0)
        i++;
    return i < m->n_scalar ? i : -1;
}

/* One block cut into arrays. With base NULL it only measures. */
struct cutter {
    char *base;
    size_t used;
};

static void *cut(struct cutter *c, int64_t count, size_t element_bytes)
{
    enum { LINE = 64 };
    size_t at = c->used;
    size_t bytes = (size_t)count * element_bytes;
    c->used += (bytes + LINE - 1) / LINE * LINE;
    return c->base ? c->base + at : NULL;
}

static void cut_shared(struct cutter *c, const struct rnn_model *m, struct rnn__shared *s)
{
    size_t real = rnn_dtype_bytes(m->dtype);
    s->params = cut(c, m->params_size, real);
    s->grads = cut(c, m->params_size, real);
    s->optimizer = cut(c, m->optimizer_size, real);
    s->optimizer_scalars = cut(c, m->n_optimizer_scalar, sizeof(double));
    s->scalars = cut(c, m->n_scalar, sizeof(double));
    s->workspace = cut(c, m->workspace_bytes, 1);
    s->gathered = find_accumulate(m) < 0 ? NULL : cut(c, m->params_size, real);
}

static void cut_own(struct cutter *c, const struct rnn_model *m, struct rnn__tbptt *t)
{
    size_t real = rnn_dtype_bytes(m->dtype);
    for (int i = 0; i < 2; i++)
        t->state[i] = cut(c, m->state_size * m->rows_max, real);
    for (int i = 0; i < 2; i++)
        t->window[i] = has_window(m) ? cut(c, m->state_size * m->rows_max, real) : NULL;
    t->forward_state = cut(c, m->state_size * m->rows_max, real);
    t->start = cut(c, m->rows_max, 1);
    t->forward_start = cut(c, m->rows_max, 1);
    t->array = cut(c, m->n_input, sizeof *t->array);
    t->at = cut(c, m->n_input, sizeof *t->at);
    t->step_stride = cut(c, m->n_input, sizeof *t->step_stride);
    t->row_stride = cut(c, m->n_input, sizeof *t->row_stride);
    t->running = cut(c, m->n_running + m->n_metric, sizeof *t->running);
    t->figures_before = cut(c, m->n_running + m->n_metric, sizeof *t->running);
    t->metric = t->running ? t->running + m->n_running : NULL;
    t->metric_number = cut(c, m->n_metric, sizeof *t->metric_number);
}

/* Lays a trainer (or, without `shared`, an evaluator) out in one block. */
static struct rnn__tbptt *make_block(const rnn_allocator *a, const struct rnn_model *m,
                                     struct rnn__shared *shared)
{
    struct cutter measure = {NULL, 0};
    struct rnn__tbptt unused_t;
    struct rnn__shared unused_s;
    cut(&measure, 1, sizeof unused_t);
    cut(&measure, 1, sizeof unused_s);
    cut_own(&measure, m, &unused_t);
    if (!shared)
        cut_shared(&measure, m, &unused_s);

    struct cutter c = {rnn__alloc(a, measure.used, 64), 0};
    if (!c.base)
        return NULL;
    struct rnn__tbptt *t = cut(&c, 1, sizeof *t);
    struct rnn__shared *own = cut(&c, 1, sizeof *own);
    t->block = c.base;
    cut_own(&c, m, t);
    if (!shared)
        cut_shared(&c, m, own);
    t->shared = shared ? shared : own;
    t->trains = !shared;
    t->model = m;
    t->fresh = t->forward_fresh = true;
    t->accumulate = t->trains ? find_accumulate(m) : -1;
    return t;
}

static void destroy(rnn_engine *e)
{
    struct rnn__tbptt *t = e->trainer;
    if (t->trains)
        rnn__team_free(t->shared->team, &e->allocator);
    rnn__free(&e->allocator, t->block);
}

/* What a chunk holds unchanged from one to the next. */
static void fix_chunk(struct rnn__tbptt *t)
{
    struct rnn__shared *s = t->shared;
    t->chunk = (struct rnn_chunk){
        .model = t->model,
        .start = t->start,
        .scalars = s->scalars,
        .input = t->at,
        .step_stride = t->step_stride,
        .row_stride = t->row_stride,
        .params = s->params,
        .grads = s->grads,
        .optimizer = s->optimizer,
        .optimizer_scalars = s->optimizer_scalars,
        .running = t->running,
        .workspace = s->workspace,
        .team = rnn__team_base(s->team),
        .services = &rnn__services,
    };
}

/* ---- making one ---- */

static int team_size(const struct rnn_model *m, int wanted)
{
    int n = wanted ? wanted : rnn__core_count();
    int most = m->threads_max > 0 ? (int)m->threads_max : 1;
    return n < most ? n : most;
}

/* The largest that a count can be; -1: it is no count. */
static double most_of(const struct rnn__tbptt *t, enum rnn__kept what)
{
    switch (what) {
    case RNN__KEPT_ITERATION:
    case RNN__KEPT_STEP:
    case RNN__KEPT_CHUNK:
    case RNN__KEPT_WINDOW: return 0x1p53;
    case RNN__KEPT_GATHERED: return t->shared->gathered ? 0x1p53 : 0;
    case RNN__KEPT_CARRIED:
    case RNN__KEPT_TOUCHED: return 1;
    case RNN__KEPT_STARTS: return RNN__START_GIVEN;
    case RNN__KEPT_LOSS_SUM:
    case RNN__KEPT_WEIGHT_SUM:
    case RNN__KEPT_LOSS:
    case RNN__KEPT_COUNT: break;
    }
    return -1;
}

/* An evaluator's are all of the model, a trainer's those of training's epochs. */
static int make_metrics(rnn_engine *e, struct rnn__tbptt *t)
{
    int status = 0;
    if (!t->trains)
        status = t->loss_number = rnn__number_make(e, &e->metrics, "loss");
    for (int32_t i = 0; i < t->model->n_metric && status >= 0; i++) {
        const struct rnn_metric *m = &t->model->metric[i];
        t->metric_number[i] = -1;
        if (!t->trains || m->in_training)
            status = t->metric_number[i] = rnn__number_make(e, &e->metrics, m->name);
    }
    return status < 0 ? status : 0;
}

/* The named numbers: kept in the state dict, and metrics. */
static int make_numbers(rnn_engine *e, struct rnn__tbptt *t)
{
    for (int i = 0; i < RNN__KEPT_COUNT; i++) {
        double most = most_of(t, i);
        int status = most < 0 ? rnn_attribute_keep(e, rnn__kept_names[i])
                              : rnn__keep_count(e, rnn__kept_names[i], most);
        if (status < 0)
            return status;
        t->kept[i] = rnn__number_find(&e->attributes, rnn__kept_names[i]);
    }
    return make_metrics(e, t);
}

static int make_shared(rnn_engine *e, struct rnn__tbptt *t)
{
    const struct rnn_model *m = t->model;
    struct rnn__shared *s = t->shared;
    int n = team_size(m, t->options.threads);
    int status = rnn__team_new(&s->team, n, &e->allocator);
    if (status < 0)
        return rnn__fail(NULL, status, "starting %d threads: %s", n,
                         rnn_error_text(status));
    for (int32_t i = 0; i < m->n_scalar; i++)
        s->scalars[i] = m->scalar[i].value;
    return 0;
}

static int make(rnn_engine **out, const struct rnn_model *m, struct rnn__shared *shared,
                const rnn_tbptt_options *options, const rnn_allocator *a)
{
    rnn_engine *e;
    int status = rnn_engine_new(&e, rnn__tbptt_process, NULL, a);
    if (status < 0)
        return status;
    struct rnn__tbptt *t = make_block(&e->allocator, m, shared);
    if (!t) {
        rnn_close(e);
        return rnn__fail(NULL, RNN_ENOMEM, "no memory for model %s", m->name);
    }
    e->trainer = t;
    e->destroy = destroy;
    e->end_epoch = rnn__tbptt_end_epoch;
    e->check_state = rnn__tbptt_check_state;
    t->options = *options;
    settle_steps(m, &t->options, !shared);
    if (t->options.tbptt_window == t->options.tbptt_step)
        t->window[0] = NULL;
    status = rnn__tbptt_find_counters(t);
    if (status == 0 && make_numbers(e, t) < 0)
        status = rnn__fail(NULL, RNN_ENOMEM, "no memory for model %s", m->name);
    if (status == 0 && !shared)
        status = make_shared(e, t);
    if (status == 0)
        fix_chunk(t);
    if (status == 0 && !shared) {
        status = rnn_init(e, options->seed);
        if (status < 0)
            rnn__fail(NULL, status, "%s", rnn_engine_error(e));
    }
    if (status < 0) {
        rnn_close(e);
        return status;
    }
    *out = e;
    return 0;
}

int rnn_tbptt_trainer(rnn_engine **out, const struct rnn_model *model,
                      const rnn_tbptt_options *options)
{
    static const rnn_tbptt_options defaults;
    const rnn_tbptt_options *o = options ? options : &defaults;
    if (!out || !model)
        return rnn__fail(NULL, RNN_EINVAL, "a trainer needs a model");
    int status = check_options(model, o);
    return status < 0 ? status : make(out, model, NULL, o, o->allocator);
}

int rnn_tbptt_evaluator(rnn_engine **out, rnn_engine *trainer,
                        const rnn_tbptt_options *options)
{
    static const rnn_tbptt_options defaults;
    const rnn_tbptt_options *o = options ? options : &defaults;
    struct rnn__tbptt *t = trainer ? rnn__tbptt_of(trainer) : NULL;
    if (!out || !t)
        return rnn__fail(NULL, RNN_EINVAL, "an evaluator needs a trainer");
    int status = check_options(t->model, o);
    return status < 0 ? status : make(out, t->model, t->shared, o, &trainer->allocator);
}
