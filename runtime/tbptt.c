/*
 * tbptt.c — the trainer: truncated backpropagation through time as a process.
 *
 * For each batch: the state starts anew unless it is carried; for each chunk of
 * tbptt_step steps:
 *
 *     STATE_RESET             when a row starts anew
 *     TIME_ITERATION_STARTED
 *     train                   forward, loss, backward, update: one fused procedure, or
 *       grad                  … in two, when somebody listens in between
 *       BACKWARD_COMPLETED
 *       update
 *       OPTIM_STEP_COMPLETED
 *     TIME_ITERATION_COMPLETED   output = the chunk's loss
 *
 * and the batch's output is the mean. This is create_supervised_tbptt_trainer's
 * update, with what it lacks: counters on its events, a place for handlers between
 * backward and step (tbptt_update.c), and a stop between chunks. That stop is why the
 * process is resumable: it returns RNN_PAUSED, keeps `stage` and `step0`, and is called
 * again. What is needed to go on after a restart of the program lies in attributes that
 * the state dict keeps (enum rnn__kept).
 *
 * The state is double-buffered. A chunk reads one block and writes the other; they
 * are swapped once the update is through, so the carried state is whole at any event. A
 * chunk whose loss is not finite updates nothing, and its state is not carried either.
 *
 * Windows. With tbptt_window > tbptt_step the procedure gets the steps from window0 on, the
 * new ones from loss_from, and starts from a block of its own:
 *
 *     window0                step0       step0 + steps
 *        |---- old steps ------|-- new steps --|
 *        window[0]   ^ save_at: the next window begins here, window[1]
 *
 * The next chunk's window begins tbptt_window - tbptt_step before its new steps, unless
 * that is before the history that it may look back on: then the window stays where it
 * began, with the rows that start there.
 *
 * The loop allocates nothing: tbptt_make.c makes all arrays with the trainer.
 */
#include "tbptt.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

const char *const rnn__kept_names[RNN__KEPT_COUNT] = {
    [RNN__KEPT_ITERATION] = "tbptt.iteration",
    [RNN__KEPT_STEP] = "tbptt.step",
    [RNN__KEPT_CHUNK] = "tbptt.chunk",
    [RNN__KEPT_LOSS_SUM] = "tbptt.loss_sum",
    [RNN__KEPT_WEIGHT_SUM] = "tbptt.weight_sum",
    [RNN__KEPT_CARRIED] = "tbptt.carried",
    [RNN__KEPT_LOSS] = "tbptt.loss",
    [RNN__KEPT_GATHERED] = "tbptt.gathered",
    [RNN__KEPT_TOUCHED] = "tbptt.touched",
    [RNN__KEPT_WINDOW] = "tbptt.window",
    [RNN__KEPT_STARTS] = "tbptt.starts",
};

double *rnn__tbptt_kept(rnn_engine *e, enum rnn__kept what)
{
    const struct rnn__tbptt *t = e->trainer;
    return &e->attributes.number[t->kept[what]].value;
}

void rnn__set_marker(rnn_engine *e, struct rnn_marker *marker)
{
    struct rnn__tbptt *t = e->trainer;
    t->chunk.marker = marker;
}

struct rnn__tbptt *rnn__tbptt_of(const rnn_engine *e) { return e->trainer; }

/* ---- counters that schedules read ---- */

static double epoch_of(rnn_engine *e) { return (double)e->state.epoch; }
static double iteration_of(rnn_engine *e) { return (double)e->state.iteration; }
static double time_iteration_of(rnn_engine *e) { return (double)e->state.time_iteration; }
static double chunk_of(rnn_engine *e) { return (double)e->state.chunk; }
static double loss_of(rnn_engine *e) { return *rnn__tbptt_kept(e, RNN__KEPT_LOSS); }

static double epochs_of(rnn_engine *e)
{
    const rnn_engine_state *s = &e->state;
    if (s->max_epochs != RNN_NONE)
        return (double)s->max_epochs;
    return s->max_iters != RNN_NONE && s->epoch_length > 0
               ? ceil((double)s->max_iters / (double)s->epoch_length)
               : 0;
}

static const struct {
    const char *name;
    double (*value)(rnn_engine *e);
} counters[] = {
    {"epoch", epoch_of},         {"epochs", epochs_of},
    {"iteration", iteration_of}, {"time_iteration", time_iteration_of},
    {"chunk", chunk_of},         {"loss", loss_of},
};

enum { N_COUNTER = sizeof counters / sizeof *counters };

int rnn__tbptt_find_counters(struct rnn__tbptt *t)
{
    for (int i = 0; i < N_COUNTER; i++)
        t->scalar_of[i] = -1;
    for (int32_t s = 0; s < t->model->n_scalar; s++) {
        if (!t->model->scalar[s].counter)
            continue;
        int i = 0;
        while (i < N_COUNTER && strcmp(counters[i].name, t->model->scalar[s].name) != 0)
            i++;
        if (i == N_COUNTER)
            return rnn__fail(NULL, RNN_EABI,
                             "the model reads a counter '%s' that is not known",
                             t->model->scalar[s].name);
        t->scalar_of[i] = s;
    }
    return 0;
}

static void set_counters(rnn_engine *e, struct rnn__tbptt *t)
{
    for (int i = 0; i < N_COUNTER; i++)
        if (t->scalar_of[i] >= 0)
            t->shared->scalars[t->scalar_of[i]] = counters[i].value(e);
}

/* ---- the batch ---- */

static int check_array(rnn_engine *e, const struct rnn__tbptt *t, int32_t i,
                       bool with_targets)
{
    const struct rnn_input *input = &t->model->input[i];
    const rnn_array *array = &t->batch.input[i];
    if (input->for_loss_only && !with_targets)
        return 0;
    if (!input->per_sequence && array->steps != t->batch.steps)
        return rnn__fail(e, RNN_EDATA,
                         "%s has %" PRId64 " steps, but the batch has %" PRId64
                         ": all inputs of a batch must be of one length",
                         input->name, array->steps, t->batch.steps);
    if (!array->data && !t->batch.load)
        return rnn__fail(e, RNN_EDATA, "the batch has no data for %s", input->name);
    return 0;
}

/* Strides as given, else those of a plain array with time along `dim`. */
static void set_strides(struct rnn__tbptt *t, int32_t i)
{
    const struct rnn_input *input = &t->model->input[i];
    const rnn_array *array = &t->batch.input[i];
    int64_t size = input->size;
    t->step_stride[i] = array->step_stride;
    t->row_stride[i] = array->row_stride;
    if (array->step_stride || array->row_stride)
        return;
    bool row_major = t->options.dim == 1 || input->per_sequence;
    t->step_stride[i] = row_major ? size : size * t->batch.rows;
    t->row_stride[i] = row_major && !input->per_sequence ? size * array->steps : size;
}

int rnn__tbptt_take_batch(rnn_engine *e, struct rnn__tbptt *t, bool with_targets)
{
    const struct rnn_model *m = t->model;
    const rnn_batch *b = &t->batch;
    if (b->n_input != m->n_input || (!b->input && m->n_input > 0))
        return rnn__fail(e, RNN_EDATA, "the batch has %d inputs, the model %d",
                         (int)b->n_input, (int)m->n_input);
    if (b->steps < 1)
        return rnn__fail(e, RNN_EDATA, "the batch has no steps");
    if (b->rows < 1 || b->rows > m->rows_max)
        return rnn__fail(e, RNN_EDATA,
                         "the batch has %" PRId64
                         " rows, the model was compiled for 1 to %" PRId64,
                         b->rows, m->rows_max);
    for (int32_t i = 0; i < m->n_input; i++) {
        int status = check_array(e, t, i, with_targets);
        if (status < 0)
            return status;
        set_strides(t, i);
    }
    return 0;
}

static int prepare(rnn_engine *e, struct rnn__tbptt *t, void *batch)
{
    memset(t->array, 0, (size_t)t->model->n_input * sizeof *t->array);
    t->batch = (rnn_batch){.n_input = t->model->n_input, .input = t->array};
    int status = 0;
    if (t->options.prepare_batch)
        status = t->options.prepare_batch(e, batch, &t->batch, t->options.prepare_user);
    else if (batch)
        t->batch = *(const rnn_batch *)batch;
    else
        status = rnn__fail(e, RNN_EDATA, "there is no batch: a trainer needs data");
    return status < 0 ? status : rnn__tbptt_take_batch(e, t, true);
}

/* ---- a chunk ---- */

int rnn__tbptt_fill_chunk(rnn_engine *e, struct rnn__tbptt *t, int64_t step0, int64_t steps)
{
    if (t->batch.load) {
        e->raised = 0;
        int status = t->batch.load(&t->batch, step0, steps);
        if (status < 0 && e->raised != status)
            rnn__fail(e, status, "reading steps from %" PRId64 ": %s", step0,
                      rnn_error_text(status));
        if (status < 0)
            return status;
    }
    for (int32_t i = 0; i < t->model->n_input; i++) {
        const char *data = t->batch.input[i].data;
        bool whole = !t->batch.load && !t->model->input[i].per_sequence && data;
        int64_t bytes = (int64_t)rnn_input_bytes(&t->model->input[i], t->model->dtype);
        t->at[i] = whole ? data + step0 * t->step_stride[i] * bytes : data;
    }
    set_counters(e, t);
    struct rnn_chunk *c = &t->chunk;
    c->steps = steps;
    c->rows = t->batch.rows;
    c->rng = (struct rnn_rng){.seed = t->shared->seed,
                              .iteration = e->state.iteration,
                              .row0 = t->batch.row0,
                              .step0 = step0};
    c->loss_from = c->save_at = 0;
    c->state_in = t->state[0];
    c->state_out = t->state[1];
    c->outputs = NULL;
    c->metrics = t->metric;
    c->training = t->trains;
    c->loss = c->gradient_norm = NAN;
    c->weight = 0;
    c->finite = true;
    return 0;
}

int rnn__tbptt_run(rnn_engine *e, struct rnn__tbptt *t, rnn_procedure *procedure)
{
    if (!procedure)
        return 0;
    int status = rnn__team_run(t->shared->team, procedure, &t->chunk);
    if (status == 0)
        return 0;
    status = status < 0 ? status : RNN_EDEVICE;
    return rnn__fail(e, status, "model %s: %s", t->model->name, rnn_error_text(status));
}

/* ---- where windows begin ---- */

static size_t state_bytes(const struct rnn_model *m)
{
    return (size_t)(m->state_size * m->rows_max) * rnn_dtype_bytes(m->dtype);
}

static void set_starts(struct rnn__tbptt *t, enum rnn__starts which)
{
    memset(t->start, which == RNN__START_ALL, (size_t)t->model->rows_max);
    if (which == RNN__START_GIVEN)
        memcpy(t->start, t->batch.start, (size_t)t->batch.rows);
}

/* Nothing before this chunk is looked back on; whether some row starts with it. */
static bool begin_history(rnn_engine *e, struct rnn__tbptt *t)
{
    bool by_batch = t->first_chunk && t->batch.start;
    enum rnn__starts which = t->fresh   ? RNN__START_ALL
                             : by_batch ? RNN__START_GIVEN
                                        : RNN__START_NONE;
    set_starts(t, which);
    t->window0 = t->step0;
    t->given = false;
    if (t->window[0])
        memcpy(t->window[0], t->state[0], state_bytes(t->model));
    *rnn__tbptt_kept(e, RNN__KEPT_WINDOW) = (double)t->window0;
    *rnn__tbptt_kept(e, RNN__KEPT_STARTS) = which;
    return memchr(t->start, 1, (size_t)t->batch.rows) != NULL;
}

/* Where the window of the chunk behind this one begins. */
static int64_t next_window(const struct rnn__tbptt *t)
{
    int64_t back = t->options.tbptt_window - t->options.tbptt_step;
    int64_t next = t->step0 + t->steps - back;
    return next > t->window0 ? next : t->window0;
}

static void move_window(rnn_engine *e, struct rnn__tbptt *t)
{
    int64_t next = next_window(t);
    if (next == t->window0)
        return;
    if (t->window[0]) {
        void *left = t->window[0];
        t->window[0] = t->window[1];
        t->window[1] = left;
    }
    set_starts(t, RNN__START_NONE);
    *rnn__tbptt_kept(e, RNN__KEPT_WINDOW) = (double)(t->window0 = next);
    *rnn__tbptt_kept(e, RNN__KEPT_STARTS) = RNN__START_NONE;
}

/* Rows that this batch does not have keep their state. */
static void keep_absent_rows(struct rnn__tbptt *t)
{
    const struct rnn_model *m = t->model;
    if (!t->options.carry || t->batch.rows == m->rows_max)
        return;
    for (int32_t i = 0; i < m->n_state; i++) {
        const struct rnn_state *s = &m->state[i];
        int64_t from = s->offset * m->rows_max + t->batch.rows * s->size;
        size_t bytes =
            (size_t)((m->rows_max - t->batch.rows) * s->size) * rnn_dtype_bytes(m->dtype);
        memcpy(rnn_real_place(t->state[1], m->dtype, from),
               rnn_real_place(t->state[0], m->dtype, from), bytes);
    }
}

static void swap_states(struct rnn__tbptt *t)
{
    keep_absent_rows(t);
    void *left = t->state[1];
    t->state[1] = t->state[0];
    t->state[0] = left;
    t->fresh = false;
}

/* A chunk whose loss is not finite leaves nothing behind: the next one begins with the
   state that it found, and with the rows that started with it. */
static void pass_over(rnn_engine *e, struct rnn__tbptt *t)
{
    if (t->window0 < t->step0) { /* they started in older steps */
        set_starts(t, RNN__START_NONE);
        *rnn__tbptt_kept(e, RNN__KEPT_STARTS) = RNN__START_NONE;
    }
    if (t->window[0])
        memcpy(t->window[0], t->state[0], state_bytes(t->model));
    t->window0 = t->step0 + t->steps;
    *rnn__tbptt_kept(e, RNN__KEPT_WINDOW) = (double)t->window0;
}

/* ---- its loss, and in training its update ---- */

static int compute(rnn_engine *e, struct rnn__tbptt *t)
{
    int64_t old = t->step0 - t->window0;
    int status = rnn__tbptt_fill_chunk(e, t, t->window0, old + t->steps);
    if (status < 0)
        return status;
    t->chunk.loss_from = old;
    t->chunk.save_at = next_window(t) - t->window0;
    t->chunk.state_saved = t->window[1];
    if (t->window[0])
        t->chunk.state_in = t->window[0];
    if (!t->trains)
        return rnn__tbptt_run(e, t, t->model->eval);
    return rnn__tbptt_train(e, t);
}

/* ---- sums ---- */

/* Chunks without weight have no loss, and count in no mean. */
static void add_loss(rnn_engine *e, const struct rnn__tbptt *t)
{
    const struct rnn_chunk *c = &t->chunk;
    e->state.output = (rnn_output){.value = c->loss, .null = !(c->weight > 0)};
    if (e->state.output.null)
        return;
    double weight = t->options.report == RNN_REPORT_WEIGHTED ? c->weight : 1;
    *rnn__tbptt_kept(e, RNN__KEPT_LOSS_SUM) += c->loss * weight;
    *rnn__tbptt_kept(e, RNN__KEPT_WEIGHT_SUM) += weight;
    *rnn__tbptt_kept(e, RNN__KEPT_LOSS) = c->loss;
}

static rnn_output mean_loss(rnn_engine *e)
{
    double weight = *rnn__tbptt_kept(e, RNN__KEPT_WEIGHT_SUM);
    if (!(weight > 0))
        return (rnn_output){.null = true};
    return (rnn_output){.value = *rnn__tbptt_kept(e, RNN__KEPT_LOSS_SUM) / weight};
}

static void add_metrics(struct rnn__tbptt *t)
{
    const struct rnn_chunk *c = &t->chunk;
    if (!(c->weight > 0))
        return;
    t->epoch_loss_sum += c->loss * c->weight;
    t->epoch_weight_sum += c->weight;
}

/* The figures so far this epoch. A model whose metrics include its loss knows better than
   the weighted mean of the chunks': several parts may have weights each. */
static void publish_metrics(rnn_engine *e, struct rnn__tbptt *t)
{
    if (!(t->epoch_weight_sum > 0) || !t->has_figures)
        return;
    struct rnn__number *number = e->metrics.number;
    if (!t->trains)
        number[t->loss_number].value = t->epoch_loss_sum / t->epoch_weight_sum;
    for (int32_t i = 0; i < t->model->n_metric; i++)
        if (t->metric_number[i] >= 0)
            number[t->metric_number[i]].value = t->metric[i];
}

/* An epoch in which nothing counts has no figures, not those of the one before. */
static void clear_metrics(rnn_engine *e, struct rnn__tbptt *t)
{
    struct rnn__number *number = e->metrics.number;
    t->epoch_loss_sum = t->epoch_weight_sum = 0;
    t->has_figures = false;
    memset(t->running, 0, (size_t)t->model->n_running * sizeof *t->running);
    if (!t->trains)
        number[t->loss_number].value = NAN;
    for (int32_t i = 0; i < t->model->n_metric; i++)
        if (t->metric_number[i] >= 0)
            number[t->metric_number[i]].value = NAN;
}

/* ---- the process ---- */

/* The first batch after a loaded state may be one of which chunks are done already. */
static bool goes_on(rnn_engine *e)
{
    return e->loaded && *rnn__tbptt_kept(e, RNN__KEPT_STEP) != 0 &&
           *rnn__tbptt_kept(e, RNN__KEPT_ITERATION) == (double)e->state.iteration;
}

/* The place to go on from is a file's: it may be none, or leave no room in the workspace
   for the next chunk, when step and window were others in the run that left it. */
static int check_place(rnn_engine *e, const struct rnn__tbptt *t)
{
    double step = *rnn__tbptt_kept(e, RNN__KEPT_STEP),
           window = *rnn__tbptt_kept(e, RNN__KEPT_WINDOW);
    const rnn_tbptt_options *o = &t->options;
    if (!rnn__counts_to(step, (double)t->batch.steps) || !rnn__counts_to(window, step) ||
        !rnn__counts_to(*rnn__tbptt_kept(e, RNN__KEPT_CHUNK), step) ||
        !rnn__counts_to(*rnn__tbptt_kept(e, RNN__KEPT_STARTS), RNN__START_GIVEN))
        return rnn__fail(
            e, RNN_EFORMAT,
            "the state to go on from is at step %.15g, its window at step %.15g, of a "
            "batch of %" PRId64 " steps: it is damaged or was left by other "
            "data; resume with the same tbptt.step, tbptt.window and data, or "
            "from another checkpoint",
            step, window, t->batch.steps);
    if (step - window > (double)(o->tbptt_window - o->tbptt_step))
        return rnn__fail(
            e, RNN_EFORMAT,
            "the state to go on from looks back by %.15g steps, but tbptt.window %" PRId64
            " with tbptt.step %" PRId64 " has room for %" PRId64
            ": resume with the same tbptt.step and tbptt.window as before",
            step - window, o->tbptt_window, o->tbptt_step, o->tbptt_window - o->tbptt_step);
    return 0;
}

/* What a state says of the batch in progress, before the batch is known. */
int rnn__tbptt_check_state(rnn_engine *e, const rnn_state_dict *d)
{
    double step = rnn__state_entry(d, rnn__kept_names[RNN__KEPT_STEP])->value;
    double chunk = rnn__state_entry(d, rnn__kept_names[RNN__KEPT_CHUNK])->value;
    double window = rnn__state_entry(d, rnn__kept_names[RNN__KEPT_WINDOW])->value;
    double weight = rnn__state_entry(d, rnn__kept_names[RNN__KEPT_WEIGHT_SUM])->value;
    if (chunk <= step && (window <= step || step == 0) && weight >= 0)
        return 0;
    return rnn__fail(e, RNN_EINVAL,
                     "state is at step %g of a batch, after %g chunks of weight %g, its "
                     "window from step %g",
                     step, chunk, weight, window);
}

/* A state is carried from the batch before; at the head of a run, only one that came from a
   checkpoint or from outside. */
static bool continues_state(rnn_engine *e, const struct rnn__tbptt *t)
{
    bool has_before = e->state.iteration > 1 || e->loaded || t->given;
    return t->options.carry && has_before && *rnn__tbptt_kept(e, RNN__KEPT_CARRIED) != 0;
}

/* A file may say what the batch has not got. */
static enum rnn__starts resumed_starts(rnn_engine *e, const struct rnn__tbptt *t)
{
    int which = (int)*rnn__tbptt_kept(e, RNN__KEPT_STARTS);
    return which == RNN__START_GIVEN && !t->batch.start ? RNN__START_NONE
                                                        : (enum rnn__starts)which;
}

static int begin_batch(rnn_engine *e, struct rnn__tbptt *t, void *batch)
{
    int status = prepare(e, t, batch);
    if (status < 0)
        return status;
    if (e->state.iter_counter == 1 && !goes_on(e))
        clear_metrics(e, t);
    t->stage = RNN__CHUNK_NEXT;
    t->first_chunk = true;
    if (goes_on(e)) {
        status = check_place(e, t);
        if (status < 0)
            return status;
        t->step0 = (int64_t)*rnn__tbptt_kept(e, RNN__KEPT_STEP);
        t->window0 = (int64_t)*rnn__tbptt_kept(e, RNN__KEPT_WINDOW);
        t->has_figures = false; /* until a chunk makes them of the sums */
        if (t->trains) /* what the batch had before counts; all that is asked is whether */
            t->epoch_weight_sum += *rnn__tbptt_kept(e, RNN__KEPT_WEIGHT_SUM);
        set_starts(t, resumed_starts(e, t));
        t->fresh = t->given = false;
        t->first_chunk = false;
        return 0;
    }
    t->step0 = 0;
    t->fresh = !continues_state(e, t);
    *rnn__tbptt_kept(e, RNN__KEPT_ITERATION) = (double)e->state.iteration;
    *rnn__tbptt_kept(e, RNN__KEPT_STEP) = *rnn__tbptt_kept(e, RNN__KEPT_CHUNK) = 0;
    *rnn__tbptt_kept(e, RNN__KEPT_LOSS_SUM) = *rnn__tbptt_kept(e, RNN__KEPT_WEIGHT_SUM) = 0;
    return 0;
}

static int start_chunk(rnn_engine *e, struct rnn__tbptt *t)
{
    int64_t left = t->batch.steps - t->step0;
    t->steps = left < t->options.tbptt_step ? left : t->options.tbptt_step;
    e->state.chunk = (int64_t)*rnn__tbptt_kept(e, RNN__KEPT_CHUNK);
    bool begins = t->first_chunk || t->fresh || t->given;
    bool starts = begins && begin_history(e, t);
    int status = starts ? rnn__fire(e, RNN_STATE_RESET) : 0;
    if (status < 0)
        return status;
    e->state.time_iteration++;
    e->chunk_open = true;
    t->stage = RNN__CHUNK_STARTED;
    return rnn__fire(e, RNN_TIME_ITERATION_STARTED);
}

/* It has updated nothing: its loss is not finite. */
static bool is_lost(const struct rnn__tbptt *t)
{
    return t->trains && t->chunk.weight > 0 && !t->chunk.finite;
}

static int finish_chunk(rnn_engine *e, struct rnn__tbptt *t)
{
    size_t figures = (size_t)(t->model->n_running + t->model->n_metric) * sizeof(double);
    memcpy(t->figures_before, t->running, figures);
    int status = compute(e, t);
    if (status < 0)
        return status;
    add_loss(e, t);
    if (is_lost(t)) {
        memcpy(t->running, t->figures_before, figures);
        pass_over(e, t);
    } else {
        add_metrics(t);
        t->has_figures = true;
        swap_states(t);
        move_window(e, t);
        t->first_chunk = false;
        *rnn__tbptt_kept(e, RNN__KEPT_CARRIED) = 1;
    }
    t->step0 += t->steps;
    *rnn__tbptt_kept(e, RNN__KEPT_STEP) = (double)t->step0;
    *rnn__tbptt_kept(e, RNN__KEPT_CHUNK) += 1;
    e->chunk_open = false;
    t->stage = RNN__CHUNK_NEXT;
    return rnn__fire(e, RNN_TIME_ITERATION_COMPLETED);
}

/* A request to end waits for the batch's end, as in Ignite, unless the options or a loss
   that is not finite say otherwise; an interrupt does not wait. */
static bool stops_here(const rnn_engine *e, const struct rnn__tbptt *t)
{
    int requests = atomic_load(&e->requests);
    if (requests & (RNN__TERMINATE | RNN__TERMINATE_EPOCH))
        return t->stage == RNN__CHUNK_NEXT &&
               (t->options.terminate_at_chunk || (t->chunk.weight > 0 && !t->chunk.finite));
    return (requests & RNN__INTERRUPT) != 0;
}

int rnn__tbptt_process(rnn_engine *e, void *batch, rnn_output *output, void *user)
{
    struct rnn__tbptt *t = e->trainer;
    (void)user;
    int status = e->new_batch ? begin_batch(e, t, batch) : 0;
    while (status == 0 && t->step0 < t->batch.steps) {
        bool started = t->stage == RNN__CHUNK_STARTED;
        status = started ? finish_chunk(e, t) : start_chunk(e, t);
        if (status == 0 && t->step0 < t->batch.steps && stops_here(e, t))
            return RNN_PAUSED;
    }
    if (status < 0)
        return status;
    publish_metrics(e, t);
    *output = mean_loss(e);
    return 0;
}
