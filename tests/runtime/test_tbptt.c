/*
 * test_tbptt.c — the trainer: its events, losses, options, and that a run stopped
 * anywhere goes on with the same bits.
 */
#include "fake_model.h"
#include "harness.h"

enum { N_BATCH = 2 };

static struct series series[N_BATCH];
static struct series_source source;
static rnn_iterable data;

static void make_data(int64_t steps, int64_t rows)
{
    for (int i = 0; i < N_BATCH; i++)
        series_make(&series[i], i, steps, rows);
    source = (struct series_source){.series = series, .n = N_BATCH};
    data = series_iterable(&source);
}

static struct trace seen;

static rnn_engine *trainer(const rnn_tbptt_options *options)
{
    rnn_engine *e = NULL;
    int status = rnn_tbptt_trainer(&e, &fake_model, options);
    CHECK(status == 0, "%d %s", status, rnn_engine_error(NULL));
    return e;
}

static void run(rnn_engine *e, int64_t epochs)
{
    int status = rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = epochs});
    CHECK(status == 0, "%d %s", status, rnn_engine_error(e));
}

/* ---- events ---- */

static int name_event(rnn_engine *e, int event, void *user)
{
    struct trace *t = user;
    (void)e;
    append(t->text, sizeof t->text, short_name[event]);
    return 0;
}

static void test_chunk_events_nest_in_iterations(void)
{
    struct trace t = {{0}, {0}};
    make_data(8, 2);
    rnn_engine *e = trainer(&(rnn_tbptt_options){.tbptt_step = 3});
    for (int event = RNN_STARTED; event <= RNN_TIME_ITERATION_COMPLETED; event++)
        rnn_on(e, event, NULL, name_event, &t);
    run(e, 1);
    CHECK_TEXT(t.text,
               "S ES GS GC IS TS TC TS TC TS TC IC GS GC IS TS TC TS TC TS TC IC EC C");
    rnn_close(e);
}

static void test_own_events_stand_between_those_of_ignite(void)
{
    struct trace t = {{0}, {0}};
    make_data(4, 2);
    rnn_engine *e = trainer(&(rnn_tbptt_options){.tbptt_step = 2});
    for (int event = RNN_ITERATION_STARTED; event < RNN_EVENT_COUNT; event++)
        rnn_on(e, event, NULL, name_event, &t);
    rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 1});
    CHECK_TEXT(t.text, "IS RESET TS BC OC TC TS BC OC TC IC TERM C");
    rnn_close(e);
}

static void note_output(rnn_engine *e, struct trace *t, const char *name, double *loss)
{
    const rnn_output *o = &rnn_state_of(e)->output;
    append(t->text, sizeof t->text, name);
    append(t->text, sizeof t->text, o->null ? "null" : o->value == *loss ? "last" : "new");
    if (!o->null)
        *loss = o->value;
}

static double last_seen;

static int note_time(rnn_engine *e, int event, void *user)
{
    note_output(e, user, short_name[event], &last_seen);
    return 0;
}

/* TS sees nothing in chunk 1, then the chunk before; TC its own; IC the mean. */
static void test_output_is_the_last_loss_at_each_event(void)
{
    struct trace t = {{0}, {0}};
    make_data(8, 2);
    rnn_engine *e = trainer(&(rnn_tbptt_options){.tbptt_step = 3});
    rnn_on(e, RNN_TIME_ITERATION_STARTED, NULL, note_time, &t);
    rnn_on(e, RNN_TIME_ITERATION_COMPLETED, NULL, note_time, &t);
    rnn_on(e, RNN_ITERATION_COMPLETED, NULL, note_time, &t);
    rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 1});
    CHECK_TEXT(t.text, "TS null TC new TS last TC new TS last TC new IC new");
    rnn_close(e);
}

static int note_counters(rnn_engine *e, int event, void *user)
{
    struct trace *t = user;
    const rnn_engine_state *s = rnn_state_of(e);
    char entry[48];
    (void)event;
    snprintf(entry, sizeof entry, "%d:%d.%d", (int)s->time_iteration, (int)s->iteration,
             (int)s->chunk);
    append(t->text, sizeof t->text, entry);
    return 0;
}

static void test_time_iteration_counts_on_and_chunk_begins_anew(void)
{
    struct trace t = {{0}, {0}}, every_third = {{0}, {0}}, once = {{0}, {0}};
    make_data(6, 2);
    rnn_engine *e = trainer(&(rnn_tbptt_options){.tbptt_step = 3});
    rnn_on(e, RNN_TIME_ITERATION_STARTED, NULL, note_counters, &t);
    rnn_on(e, RNN_TIME_ITERATION_COMPLETED, &(rnn_filter){.every = 3}, note_counters,
           &every_third);
    rnn_on(e, RNN_TIME_ITERATION_STARTED, &(rnn_filter){.once = 4}, note_counters, &once);
    run(e, 2);
    CHECK_TEXT(t.text, "1:1.0 2:1.1 3:2.0 4:2.1 5:3.0 6:3.1 7:4.0 8:4.1");
    CHECK_TEXT(every_third.text, "3:2.0 6:3.1");
    CHECK_TEXT(once.text, "4:2.1");
    rnn_close(e);
}

/* ---- losses ---- */

struct losses {
    int n;
    double loss[64], output[16];
    int n_output;
};

static int record(rnn_engine *e, int event, void *user)
{
    struct losses *l = user;
    double value = rnn_state_of(e)->output.value;
    if (event == RNN_TIME_ITERATION_COMPLETED)
        l->loss[l->n++ % 64] = value;
    else
        l->output[l->n_output++ % 16] = value;
    return 0;
}

static void record_on(rnn_engine *e, struct losses *l)
{
    rnn_on(e, RNN_TIME_ITERATION_COMPLETED, NULL, record, l);
    rnn_on(e, RNN_ITERATION_COMPLETED, NULL, record, l);
}

/* The seed's loop written out in double: forward, loss, backward in time, step. */
static void reference(double *losses, int64_t steps, int64_t rows, int64_t k)
{
    double a = 0.5, w = 1, h[FAKE_ROWS];
    for (int batch = 0; batch < N_BATCH; batch++) {
        memset(h, 0, sizeof h);
        for (int64_t t0 = 0; t0 < steps; t0 += k) {
            int64_t n = steps - t0 < k ? steps - t0 : k;
            double da = 0, dw = 0, loss = 0, count = (double)(n * rows);
            for (int64_t row = 0; row < rows; row++) {
                double hs[FAKE_STEPS + 1] = {h[row]}, dh = 0;
                const float *x = &series[batch].x[t0 * rows + row];
                const float *y = &series[batch].y[t0 * rows + row];
                for (int64_t t = 0; t < n; t++) {
                    hs[t + 1] = a * hs[t] + w * (double)x[t * rows];
                    loss += pow(hs[t + 1] - (double)y[t * rows], 2) / count;
                }
                for (int64_t t = n; t-- > 0;) {
                    dh = dh * (t == n - 1 ? 0 : a) +
                         2 * (hs[t + 1] - (double)y[t * rows]) / count;
                    da += dh * hs[t];
                    dw += dh * (double)x[t * rows];
                }
                h[row] = hs[n];
            }
            a -= 0.01 * da;
            w -= 0.01 * dw;
            *losses++ = loss;
        }
    }
}

static void test_losses_are_those_of_the_loop_written_out(void)
{
    struct losses l = {0};
    double expected[6];
    make_data(8, 3);
    rnn_engine *e = trainer(&(rnn_tbptt_options){.tbptt_step = 3});
    record_on(e, &l);
    run(e, 1);
    reference(expected, 8, 3, 3);
    CHECK(l.n == 6 && l.n_output == 2, "%d chunks", l.n);
    for (int i = 0; i < 6; i++) /* parameters and states are kept in float */
        CHECK(fabs(l.loss[i] - expected[i]) < 1e-6, "chunk %d: %.9g, expected %.9g", i,
              l.loss[i], expected[i]);
    double mean = (l.loss[0] + l.loss[1] + l.loss[2]) / 3;
    CHECK(l.output[0] == mean, "%.17g, expected %.17g", l.output[0], mean);
    rnn_close(e);
}

static void test_a_weighted_report_counts_steps(void)
{
    struct losses l = {0};
    make_data(8, 3);
    rnn_engine *e =
        trainer(&(rnn_tbptt_options){.tbptt_step = 3, .report = RNN_REPORT_WEIGHTED});
    record_on(e, &l);
    run(e, 1);
    double mean = (9 * l.loss[0] + 9 * l.loss[1] + 6 * l.loss[2]) / 24;
    CHECK(l.output[0] == mean, "%.17g, expected %.17g", l.output[0], mean);
    rnn_close(e);
}

static void train_with(rnn_tbptt_options options, struct losses *l, float params[2])
{
    rnn_engine *e = trainer(&options);
    record_on(e, l);
    run(e, 2);
    rnn_get_parameter(e, "a", &params[0], 1);
    rnn_get_parameter(e, "w", &params[1], 1);
    rnn_close(e);
}

static void test_bits_do_not_depend_on_threads_or_layout(void)
{
    struct losses one = {0}, other = {0};
    float p[2], q[2];
    make_data(8, 4);
    train_with((rnn_tbptt_options){.tbptt_step = 3, .threads = 1}, &one, p);
    train_with((rnn_tbptt_options){.tbptt_step = 3, .threads = 3}, &other, q);
    CHECK(memcmp(&one, &other, sizeof one) == 0, "losses differ with 3 threads");
    CHECK(memcmp(p, q, sizeof p) == 0, "parameters differ with 3 threads");

    for (int i = 0; i < N_BATCH; i++) { /* [rows][steps] */
        struct series plain = series[i];
        for (int row = 0; row < 4; row++)
            for (int step = 0; step < 8; step++) {
                series[i].x[row * 8 + step] = plain.x[step * 4 + row];
                series[i].y[row * 8 + step] = plain.y[step * 4 + row];
            }
    }
    other = (struct losses){0};
    train_with((rnn_tbptt_options){.tbptt_step = 3, .dim = 1}, &other, q);
    CHECK(memcmp(&one, &other, sizeof one) == 0, "losses differ with dim 1");
    for (int i = 0; i < N_BATCH; i++)
        for (int j = 0; j < 2; j++)
            series[i].array[j].step_stride = 1, series[i].array[j].row_stride = 8;
    other = (struct losses){0};
    train_with((rnn_tbptt_options){.tbptt_step = 3}, &other, q);
    CHECK(memcmp(&one, &other, sizeof one) == 0, "losses differ with strides");
}

static int nothing(rnn_engine *e, int event, void *user)
{
    (void)e, (void)event, (void)user;
    return 0;
}

static int halve(rnn_engine *e, int event, void *user)
{
    int64_t n = 0;
    float *gradient = rnn_gradient(e, "a", &n);
    (void)event, (void)user;
    CHECK(gradient && n == 1, "no gradient");
    *gradient *= 0.5f;
    return 0;
}

/* `train`, and `grad` with `update`, give the same bits; a handler may change gradients. */
static void test_a_handler_between_backward_and_step(void)
{
    float params[3];
    make_data(8, 4);
    for (int i = 0; i < 3; i++) {
        rnn_engine *e = trainer(&(rnn_tbptt_options){.tbptt_step = 8});
        if (i > 0)
            rnn_on(e, RNN_BACKWARD_COMPLETED, NULL, i == 1 ? nothing : halve, NULL);
        rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 1});
        rnn_get_parameter(e, "a", &params[i], 1);
        rnn_close(e);
    }
    CHECK(params[0] == params[1], "%.9g, expected %.9g", (double)params[1],
          (double)params[0]);
    double step = (double)params[0] - 0.5, half = (double)params[2] - 0.5;
    CHECK(fabs(half - step / 2) < 1e-7, "%.9g, expected half of %.9g", half, step);
}

/* ---- what is refused ---- */

static void test_options_are_checked_when_the_trainer_is_made(void)
{
    static const struct {
        rnn_tbptt_options options;
        int status;
    } bad[] = {
        {{.tbptt_step = -1}, RNN_EINVAL},
        {{.tbptt_step = FAKE_STEPS + 1}, RNN_EINVAL},
        {{.tbptt_step = 2, .tbptt_window = 4}, RNN_EINVAL}, /* compiled without one */
        {{.dim = 2}, RNN_EINVAL},
        {{.report = 2}, RNN_EINVAL},
        {{.threads = -1}, RNN_EINVAL},
        {{.device = "tpu"}, RNN_EDEVICE},
        {{.optimizer = &fake_model}, RNN_EINVAL},
        {{.loss_fn = &fake_model}, RNN_EINVAL},
    };
    rnn_engine *e = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int status = rnn_tbptt_trainer(&e, &fake_model, &bad[i].options);
        CHECK(status == bad[i].status && !e, "row %d: %d", (int)i, status);
        CHECK(rnn_engine_error(NULL)[0], "row %d: no sentence", (int)i);
    }
    struct rnn_model old = fake_model;
    old.abi_version = RNN_ABI_VERSION + 1;
    CHECK(rnn_tbptt_trainer(&e, &old, NULL) == RNN_EABI, "another ABI");
    CHECK(rnn_tbptt_trainer(&e, NULL, NULL) == RNN_EINVAL, "no model");
}

static void refuse_batch(const char *what)
{
    rnn_engine *e = trainer(NULL);
    int status = rnn_engine_run(e, &data, NULL);
    CHECK(status == RNN_EDATA, "%s: %d", what, status);
    CHECK(rnn_engine_error(e)[0], "%s: no sentence", what);
    rnn_close(e);
}

/* Ignite drops the tail of x silently. */
static void test_batches_that_do_not_fit_are_refused(void)
{
    make_data(8, 2);
    series[0].array[1].steps = 6;
    refuse_batch("y is shorter than x");
    make_data(8, 2);
    series[0].batch.steps = 0;
    refuse_batch("no steps");
    make_data(8, 2);
    series[0].batch.rows = FAKE_ROWS + 1;
    refuse_batch("too many rows");
    make_data(8, 2);
    series[0].batch.n_input = 3;
    refuse_batch("three inputs");
    make_data(8, 2);
    series[0].array[0].data = NULL;
    refuse_batch("no data");
    rnn_engine *e = trainer(NULL);
    CHECK(rnn_engine_run(e, NULL, &(rnn_run_options){.epoch_length = 1}) == RNN_EDATA,
          "a null batch");
    rnn_close(e);
}

/* ---- ends ---- */

static int terminate(rnn_engine *e, int event, void *user)
{
    (void)event, (void)user;
    rnn_terminate(e, false);
    return 0;
}

static void trace_terminate(rnn_tbptt_options options, const char *expected)
{
    struct trace t = {{0}, {0}};
    options.tbptt_step = 3;
    rnn_engine *e = trainer(&options);
    for (int event = 0; event <= RNN_TIME_ITERATION_COMPLETED; event++)
        rnn_on(e, event, NULL, name_event, &t);
    rnn_on(e, RNN_TIME_ITERATION_COMPLETED, &(rnn_filter){.once = 1}, terminate, NULL);
    run(e, 1);
    CHECK_TEXT(t.text, expected);
    rnn_close(e);
}

static void test_terminate_waits_for_the_batch_unless_told_or_not_finite(void)
{
    make_data(8, 2);
    trace_terminate((rnn_tbptt_options){0}, "S ES GS GC IS TS TC TS TC TS TC IC TERM C");
    trace_terminate((rnn_tbptt_options){.terminate_at_chunk = true},
                    "S ES GS GC IS TS TC TERM C");
    series[0].x[0] = NAN;
    trace_terminate((rnn_tbptt_options){0}, "S ES GS GC IS TS TC TERM C");
}

static void test_a_loss_that_is_not_finite_updates_nothing(void)
{
    struct trace t = {{0}, {0}};
    make_data(3, 2);
    series[0].x[0] = INFINITY;
    rnn_engine *e = trainer(&(rnn_tbptt_options){.tbptt_step = 3});
    rnn_on(e, RNN_BACKWARD_COMPLETED, NULL, name_event, &t);
    rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 1});
    float a = 0;
    rnn_get_parameter(e, "a", &a, 1);
    CHECK(a == 0.5f, "a is %g", (double)a);
    CHECK_TEXT(t.text, "");
    rnn_chunk_result chunk;
    CHECK(rnn_last_chunk(e, &chunk) == 0 && !chunk.finite, "finite");
    rnn_close(e);
}

/* ---- interrupt and resume ---- */

struct stop {
    int event, after;
};

static int interrupt_later(rnn_engine *e, int event, void *user)
{
    struct stop *s = user;
    (void)event;
    if (--s->after == 0)
        rnn_interrupt(e);
    return 0;
}

/* Stopped behind the last epoch, there is nothing left to do, and a notice says so. */
static void ignore_notice(void *user, const char *sentence) { (void)user, (void)sentence; }

static void finish(rnn_engine *e, rnn_tbptt_options *options, struct losses *l)
{
    rnn_state_dict d;
    rnn_blocks from, to;
    CHECK(rnn_state_save(e, &d) == 0, "save");
    rnn_get_blocks(e, &from);
    rnn_engine *second = trainer(options);
    rnn_set_notice(second, ignore_notice, NULL);
    rnn_get_blocks(second, &to);
    memcpy(to.params, from.params, 2 * sizeof *to.params);
    memcpy(to.state, from.state, FAKE_ROWS * sizeof *to.state);
    memcpy(to.optimizer_scalars, from.optimizer_scalars, sizeof *to.optimizer_scalars);
    rnn_pack(second);
    CHECK(rnn_state_load(second, &d) == 0, "%s", rnn_engine_error(second));
    rnn_close(e);
    record_on(second, l);
    source.at = 0;
    CHECK(rnn_engine_run(second, &data, NULL) == 0, "%s", rnn_engine_error(second));
    CHECK(rnn_state_of(second)->time_iteration == 12, "time_iteration %d",
          (int)rnn_state_of(second)->time_iteration);
    rnn_close(second);
}

/* in_place: the same engine goes on; else another one, from a saved state. */
static void resume_after(struct stop stop, bool carry, bool in_place,
                         const struct losses *whole)
{
    struct losses l = {0};
    rnn_tbptt_options options = {.tbptt_step = 3, .carry = carry};
    struct stop at = stop;
    rnn_engine *e = trainer(&options);
    record_on(e, &l);
    rnn_on(e, stop.event, NULL, interrupt_later, &at);
    source.at = 0;
    int status = rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = 2});
    if (status != RNN_PAUSED) {
        rnn_close(e);
    } else if (in_place) {
        CHECK(rnn_engine_run(e, &data, NULL) == 0, "%s", rnn_engine_error(e));
        rnn_close(e);
    } else {
        finish(e, &options, &l);
    }
    CHECK(l.n == whole->n && memcmp(l.loss, whole->loss, sizeof l.loss) == 0,
          "chunk losses differ: %s, firing %d, carry %d, in place %d",
          short_name[stop.event], stop.after, carry, in_place);
    CHECK(l.n_output == whole->n_output &&
              memcmp(l.output, whole->output, sizeof l.output) == 0,
          "outputs differ: %s, firing %d, carry %d, in place %d", short_name[stop.event],
          stop.after, carry, in_place);
}

static void test_a_run_stopped_at_any_event_goes_on_with_the_same_bits(void)
{
    static const int events[] = {RNN_STARTED,
                                 RNN_EPOCH_STARTED,
                                 RNN_GET_BATCH_STARTED,
                                 RNN_GET_BATCH_COMPLETED,
                                 RNN_ITERATION_STARTED,
                                 RNN_TIME_ITERATION_STARTED,
                                 RNN_STATE_RESET,
                                 RNN_TIME_ITERATION_COMPLETED,
                                 RNN_ITERATION_COMPLETED,
                                 RNN_EPOCH_COMPLETED,
                                 RNN_DATALOADER_STOP_ITERATION,
                                 RNN_BACKWARD_COMPLETED};
    make_data(8, 4);
    for (int carry = 0; carry < 2; carry++) {
        struct losses whole = {0};
        float params[2];
        source.at = 0;
        train_with((rnn_tbptt_options){.tbptt_step = 3, .carry = carry}, &whole, params);
        for (size_t i = 0; i < sizeof events / sizeof *events; i++)
            for (int after = 1; after <= 12; after++)
                for (int in_place = 0; in_place < 2; in_place++)
                    resume_after((struct stop){events[i], after}, carry, in_place, &whole);
    }
}

/* Interrupted, the trainer stops behind the event, not behind the batch. */
static void test_an_interrupt_is_honoured_between_chunks(void)
{
    struct trace t = {{0}, {0}};
    make_data(8, 2);
    rnn_engine *e = trainer(&(rnn_tbptt_options){.tbptt_step = 3});
    struct stop s = {RNN_TIME_ITERATION_COMPLETED, 2};
    rnn_on(e, RNN_TIME_ITERATION_COMPLETED, NULL, interrupt_later, &s);
    for (int event = RNN_ITERATION_STARTED; event <= RNN_TIME_ITERATION_COMPLETED; event++)
        rnn_on(e, event, NULL, name_event, &t);
    int status = rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 1});
    CHECK(status == RNN_PAUSED, "%d", status);
    CHECK_TEXT(t.text, "IS TS TC TS TC INT");
    rnn_state_dict d;
    rnn_state_save(e, &d);
    CHECK(d.iteration == 0 && d.time_iteration == 2, "iteration %d, time_iteration %d",
          (int)d.iteration, (int)d.time_iteration);
    rnn_engine_run(e, &data, NULL);
    CHECK_TEXT(t.text, "IS TS TC TS TC INT TS TC IC TERM C");
    rnn_close(e);
}

/* ---- states ---- */

static void test_the_state_starts_anew_unless_carried(void)
{
    struct trace reset = {{0}, {0}};
    float h[FAKE_ROWS], carried[FAKE_ROWS];
    make_data(3, 2);
    static const uint8_t second_row[] = {0, 1};
    series[1].batch.start = second_row;
    for (int carry = 0; carry < 2; carry++) {
        rnn_engine *e = trainer(&(rnn_tbptt_options){.tbptt_step = 3, .carry = carry});
        rnn_set_scalar(e, "optimizer.lr", 0);
        rnn_on(e, RNN_STATE_RESET, NULL, trace_event, &reset);
        run(e, 1);
        rnn_get_state(e, 0, carry ? carried : h, FAKE_ROWS);
        CHECK(rnn_get_state(e, 1, h, FAKE_ROWS) == RNN_EINVAL, "state 1");
        CHECK(rnn_get_state(e, 0, h, FAKE_ROWS - 1) == RNN_EINVAL, "too small");
        rnn_close(e);
    }
    CHECK_TEXT(reset.text, "RESET1.1 RESET1.2 RESET1.1 RESET1.2");
    CHECK(h[0] != carried[0], "row 0 was not carried");
    CHECK(h[1] == carried[1], "row 1 was carried: its start flag is set");
}

static void test_a_state_set_from_outside_is_gone_on_with(void)
{
    float h[FAKE_ROWS] = {1000, 1000}, after[FAKE_ROWS];
    make_data(3, 2);
    rnn_engine *e = trainer(&(rnn_tbptt_options){.carry = true});
    rnn_set_scalar(e, "optimizer.lr", 0);
    rnn_set_state(e, 0, h, FAKE_ROWS);
    rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 1});
    rnn_get_state(e, 0, after, FAKE_ROWS);
    CHECK(after[0] > 100, "%g", (double)after[0]);
    rnn_reset_state(e);
    rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 1, .restart = true});
    rnn_get_state(e, 0, after, FAKE_ROWS);
    CHECK(after[0] < 100, "%g", (double)after[0]);
    rnn_close(e);
}

/* ---- numbers ---- */

static int check_scalars(rnn_engine *e, int event, void *user)
{
    static const char *const names[] = {"epoch", "iteration", "time_iteration", "chunk"};
    (void)event;
    for (size_t i = 0; i < 4; i++) {
        double scalar = -1, attribute = -2;
        rnn_get_scalar(e, names[i], &scalar);
        rnn_attribute_get(e, names[i], &attribute);
        CHECK(scalar == attribute, "%s: %g, expected %g", names[i], scalar, attribute);
    }
    double epochs = 0, loss = 0;
    rnn_get_scalar(e, "epochs", &epochs);
    rnn_get_scalar(e, "loss", &loss);
    CHECK(epochs == 2, "epochs %g", epochs);
    CHECK(loss == *(double *)user, "loss %g, expected %g", loss, *(double *)user);
    *(double *)user = rnn_state_of(e)->output.value;
    return 0;
}

static void test_counters_are_set_before_each_chunk(void)
{
    double last = 0;
    make_data(8, 2);
    rnn_engine *e = trainer(&(rnn_tbptt_options){.tbptt_step = 3});
    rnn_on(e, RNN_TIME_ITERATION_COMPLETED, NULL, check_scalars, &last);
    run(e, 2);
    CHECK(rnn_set_scalar(e, "epoch", 1) == RNN_EINVAL, "a counter was set");
    CHECK(rnn_set_scalar(e, "nothing", 1) == RNN_EINVAL, "unknown");
    CHECK(rnn_set_scalar(e, "optimizer.lr", NAN) == RNN_EINVAL, "no number");
    CHECK(rnn_get_scalar(e, "nothing", &last) == RNN_EINVAL, "unknown");
    CHECK(rnn_set_parameter(e, "a", (float[]){1, 2}, 2) == RNN_EINVAL, "wrong size");
    CHECK(rnn_set_parameter(e, "b", (float[]){1}, 1) == RNN_EINVAL, "unknown");
    CHECK(rnn_gradient(e, "b", NULL) == NULL, "unknown");
    rnn_close(e);
}

static void test_the_seed_makes_the_parameters(void)
{
    float w = 0;
    rnn_engine *e = trainer(&(rnn_tbptt_options){.seed = 4});
    rnn_get_parameter(e, "w", &w, 1);
    CHECK(w == 5 && rnn_get_seed(e) == 4, "w is %g", (double)w);
    rnn_init(e, 7);
    rnn_get_parameter(e, "w", &w, 1);
    CHECK(w == 8 && rnn_get_seed(e) == 7, "w is %g", (double)w);
    rnn_close(e);
}

/* ---- evaluation and forward ---- */

static void test_an_evaluator_shares_parameters_and_changes_none(void)
{
    make_data(8, 2);
    rnn_engine *e = trainer(&(rnn_tbptt_options){.tbptt_step = 3}), *evaluator = NULL;
    CHECK(rnn_tbptt_evaluator(&evaluator, e, &(rnn_tbptt_options){.tbptt_step = 4}) == 0,
          "%s", rnn_engine_error(NULL));
    float before = 0, after = 0;
    rnn_get_parameter(e, "a", &before, 1);
    double first = 0, second = 0, ten = 0;
    for (int i = 0; i < 2; i++) {
        int status = rnn_engine_run(evaluator, &data, &(rnn_run_options){.restart = true});
        CHECK(status == 0, "%s", rnn_engine_error(evaluator));
        CHECK(rnn_metric_get(evaluator, "loss", i ? &second : &first) == 0, "no loss");
        CHECK(rnn_metric_get(evaluator, "ten_losses", &ten) == 0, "no metric");
        CHECK(fabs(ten - 10 * (i ? second : first)) < 1e-12, "ten_losses %g", ten);
        CHECK_TEXT(rnn_metric_at(evaluator, 1, NULL), "ten_losses");
        rnn_get_parameter(e, "a", &after, 1);
        CHECK(after == before, "a is %g", (double)after);
        if (i == 0)
            CHECK(rnn_set_parameter(e, "w", (float[]){0.25f}, 1) == 0, "set");
    }
    CHECK(second < first, "%g, then %g: the parameter was not seen", first, second);
    rnn_close(evaluator);
    rnn_close(e);
}

static bool nothing_counts;

static int eval_or_nothing(struct rnn_chunk *c, int thread)
{
    int status = fake_eval(c, thread);
    if (nothing_counts && thread == 0)
        c->weight = c->loss = 0;
    return status;
}

static void test_a_run_in_which_nothing_counts_has_no_figures(void)
{
    struct rnn_model m = fake_model;
    m.eval = eval_or_nothing;
    make_data(8, 2);
    rnn_engine *e = NULL, *evaluator = NULL;
    CHECK(rnn_tbptt_trainer(&e, &m, NULL) == 0, "%s", rnn_engine_error(NULL));
    rnn_tbptt_evaluator(&evaluator, e, NULL);
    for (int i = 0; i < 2; i++) {
        double loss = -1, ten = -1;
        nothing_counts = i;
        rnn_engine_run(evaluator, &data, &(rnn_run_options){.restart = true});
        rnn_metric_get(evaluator, "loss", &loss);
        rnn_metric_get(evaluator, "ten_losses", &ten);
        CHECK(isnan(loss) == nothing_counts && isnan(ten) == nothing_counts,
              "run %d: loss %g, ten_losses %g", i, loss, ten);
    }
    nothing_counts = false;
    rnn_close(evaluator);
    rnn_close(e);
}

static int train_or_nothing(struct rnn_chunk *c, int thread)
{
    fake_train(c, thread);
    if (thread)
        return 0;
    if (nothing_counts) {
        c->weight = c->loss = 0;
    } else {
        c->running[0] += c->loss * c->weight;
        c->running[1] += c->weight;
    }
    c->metrics[0] = 10 * c->running[0] / c->running[1];
    return 0;
}

static int interrupt_and_count_no_more(rnn_engine *e, int event, void *user)
{
    (void)event;
    nothing_counts = true;
    if (*(bool *)user)
        rnn_interrupt(e);
    return 0;
}

/* The metric of an epoch of whose one batch the first chunk counts; interrupted behind that
   chunk and gone on with, or not. */
static double metric_of_first_chunk(const struct rnn_model *m, bool interrupted)
{
    double metric = -1;
    rnn_state_dict d;
    rnn_blocks from, to;
    rnn_engine *e[2];
    nothing_counts = false;
    source.at = 0, source.n = 1;
    for (int i = 0; i < 2; i++)
        rnn_tbptt_trainer(&e[i], m, &(rnn_tbptt_options){.tbptt_step = 4});
    rnn_on(e[0], RNN_TIME_ITERATION_COMPLETED, NULL, interrupt_and_count_no_more,
           &interrupted);
    int status = rnn_engine_run(e[0], &data, &(rnn_run_options){.max_epochs = 1});
    CHECK(status == (interrupted ? RNN_PAUSED : 0), "%s", rnn_engine_error(e[0]));
    if (interrupted) {
        rnn_get_blocks(e[0], &from), rnn_get_blocks(e[1], &to);
        memcpy(to.params, from.params, 2 * sizeof(float));
        memcpy(to.running, from.running, 2 * sizeof(double));
        CHECK(rnn_state_save(e[0], &d) == 0 && rnn_state_load(e[1], &d) == 0, "%s",
              rnn_engine_error(e[1]));
        run(e[1], 1);
    }
    CHECK(rnn_metric_get(e[interrupted], "ten_losses", &metric) == 0, "no metric");
    rnn_close(e[0]), rnn_close(e[1]);
    nothing_counts = false, source.n = N_BATCH;
    return metric;
}

static void test_what_counted_before_a_stop_has_figures(void)
{
    const struct rnn_metric in_training = {.name = "ten_losses", .in_training = true};
    struct rnn_model m = fake_model;
    m.train = train_or_nothing, m.metric = &in_training;
    make_data(8, 2);
    double whole = metric_of_first_chunk(&m, false),
           resumed = metric_of_first_chunk(&m, true);
    CHECK(whole > 0 && resumed == whole, "%.17g, resumed %.17g", whole, resumed);
}

static int train_or_lose(struct rnn_chunk *c, int thread)
{
    int status = train_or_nothing(c, thread);
    if (thread == 0 && c->scalars[FAKE_EPOCH] > 1)
        c->finite = false;
    return status;
}

static void test_an_epoch_whose_chunks_are_all_lost_has_no_figures(void)
{
    const struct rnn_metric in_training = {.name = "ten_losses", .in_training = true};
    struct rnn_model m = fake_model;
    double metric[2] = {-1, -1};
    rnn_engine *e = NULL;
    m.train = train_or_lose, m.metric = &in_training;
    make_data(8, 2);
    rnn_tbptt_trainer(&e, &m, NULL);
    for (int i = 0; i < 2; i++) {
        run(e, i + 1);
        rnn_metric_get(e, "ten_losses", &metric[i]);
    }
    CHECK(metric[0] > 0 && isnan(metric[1]), "%g, then %g", metric[0], metric[1]);
    rnn_close(e);
}

/* Rows continue from batch to batch, but not from run to run. */
static void test_a_restarted_run_carries_no_state_in(void)
{
    double losses[2] = {0};
    make_data(8, 2);
    rnn_engine *e = trainer(NULL), *evaluator = NULL;
    rnn_tbptt_evaluator(&evaluator, e, &(rnn_tbptt_options){.carry = true});
    for (int i = 0; i < 2; i++) {
        rnn_engine_run(evaluator, &data, &(rnn_run_options){.restart = true});
        rnn_metric_get(evaluator, "loss", &losses[i]);
    }
    CHECK(losses[0] == losses[1], "%.17g, then %.17g", losses[0], losses[1]);
    rnn_close(evaluator);
    rnn_close(e);
}

static void test_forward_carries_its_state_over_calls(void)
{
    float whole[SERIES_STEPS * 2], parts[SERIES_STEPS * 2];
    make_data(SERIES_STEPS, 2);
    rnn_engine *e = trainer(NULL);
    series[0].array[1].data = NULL; /* for the loss only */
    CHECK(rnn_forward(e, &series[0].batch, whole) == 0, "%s", rnn_engine_error(e));
    rnn_reset_state(e);
    for (int step = 0; step < SERIES_STEPS; step++) {
        rnn_array array[2] = {{.data = series[0].x + 2 * step, .steps = 1}};
        rnn_batch one = {.steps = 1, .rows = 2, .n_input = 2, .input = array};
        CHECK(rnn_forward(e, &one, parts + 2 * step) == 0, "%s", rnn_engine_error(e));
    }
    for (int i = 0; i < SERIES_STEPS * 2; i++) /* the state is float between calls */
        CHECK(fabsf(whole[i] - parts[i]) < 1e-6f, "output %d: %.9g, then %.9g", i,
              (double)whole[i], (double)parts[i]);
    CHECK(whole[1] != 0, "outputs are zero");
    rnn_close(e);
}

/* Interrupted within a batch, at either end of a chunk, a trainer goes on as if nobody had
   asked it for outputs. */
static void test_forward_leaves_a_batch_in_progress_alone(void)
{
    static const int events[] = {RNN_TIME_ITERATION_STARTED, RNN_TIME_ITERATION_COMPLETED};
    float outputs[SERIES_STEPS * FAKE_ROWS], params[2];
    rnn_tbptt_options options = {.tbptt_step = 3};
    make_data(8, 4);
    struct losses whole = {0};
    train_with(options, &whole, params);
    for (int i = 0; i < 4; i++) {
        struct losses l = {0};
        struct stop s = {events[i % 2], 1 + i / 2};
        rnn_engine *e = trainer(&options);
        record_on(e, &l);
        rnn_on(e, s.event, NULL, interrupt_later, &s);
        source.at = 0;
        int status = rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = 2});
        CHECK(status == RNN_PAUSED, "%d", status);
        CHECK(rnn_forward(e, &series[1].batch, outputs) == 0, "%s", rnn_engine_error(e));
        CHECK(rnn_engine_run(e, &data, NULL) == 0, "%s", rnn_engine_error(e));
        CHECK(l.n == whole.n && memcmp(l.loss, whole.loss, sizeof l.loss) == 0,
              "losses differ: forward at %s %d", short_name[events[i % 2]], 1 + i / 2);
        rnn_close(e);
    }
}

/* ---- batches made on the way ---- */

static int prepare(rnn_engine *e, void *batch, rnn_batch *out, void *user)
{
    const rnn_batch *from = batch;
    ++*(int *)user;
    (void)e;
    CHECK(out->n_input == 2 && out->input, "no room for the inputs");
    out->steps = from->steps;
    out->rows = from->rows;
    memcpy(out->input, from->input, 2 * sizeof *out->input);
    return 0;
}

/* Steps in a window of 3, as if the sequence did not fit into memory. */
static float window[2][3 * FAKE_ROWS];

static int load(struct rnn_batch *batch, int64_t step0, int64_t steps)
{
    const struct series *s = batch->user;
    size_t rows = (size_t)batch->rows, n = (size_t)steps * rows * sizeof(float);
    memcpy(window[0], s->x + (size_t)step0 * rows, n);
    memcpy(window[1], s->y + (size_t)step0 * rows, n);
    batch->input[0].data = window[0];
    batch->input[1].data = window[1];
    return 0;
}

static void test_batches_may_be_prepared_and_loaded_by_chunks(void)
{
    struct losses plain = {0}, prepared = {0}, loaded = {0};
    float params[2];
    int n = 0;
    make_data(8, 4);
    train_with((rnn_tbptt_options){.tbptt_step = 3}, &plain, params);
    train_with(
        (rnn_tbptt_options){.tbptt_step = 3, .prepare_batch = prepare, .prepare_user = &n},
        &prepared, params);
    CHECK(n == 4, "prepared %d batches", n);
    CHECK(memcmp(&plain, &prepared, sizeof plain) == 0, "prepared losses differ");
    for (int i = 0; i < N_BATCH; i++) {
        series[i].batch.load = load;
        series[i].batch.user = &series[i];
    }
    train_with((rnn_tbptt_options){.tbptt_step = 3}, &loaded, params);
    CHECK(memcmp(&plain, &loaded, sizeof plain) == 0, "loaded losses differ");
}

/* ---- windows ---- */

/* Writes down what a chunk is given; a state of as many steps as it is left by. */
static int note_window(struct rnn_chunk *c, int thread)
{
    char entry[64];
    if (thread != 0)
        return 0;
    snprintf(entry, sizeof entry, "%d+%d:%d:%d:%c%d", (int)c->rng.step0, (int)c->steps,
             (int)c->loss_from, (int)c->save_at, c->start[0] ? 's' : '-',
             c->start[0] ? 0 : (int)fake_get(c, c->state_in, 0));
    append(seen.text, sizeof seen.text, entry);
    double first = c->start[0] ? 0 : fake_get(c, c->state_in, 0);
    fake_set(c, c->state_saved, 0, first + (double)c->save_at);
    fake_set(c, c->state_out, 0, first + (double)c->steps);
    c->loss = 1, c->weight = (double)(c->steps - c->loss_from), c->finite = true;
    return 0;
}

static rnn_engine *windowed(const rnn_tbptt_options *options)
{
    static struct rnn_model m;
    m = fake_model;
    m.tbptt_step = 2, m.train = note_window;
    seen = (struct trace){{0}, {0}};
    rnn_engine *e = NULL;
    int status = rnn_tbptt_trainer(&e, &m, options);
    CHECK(status == 0, "%d %s", status, rnn_engine_error(NULL));
    make_data(7, 1);
    return e;
}

/* FIRST+STEPS:LOSS_FROM:SAVE_AT:STATE of each chunk; s: the row starts. */
static void test_windows_look_back_as_far_as_told(void)
{
    rnn_engine *e = windowed(&(rnn_tbptt_options){.tbptt_window = 6, .threads = 1});
    rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 1});
    CHECK_TEXT(seen.text, "0+2:0:0:s0 0+4:2:0:s0 0+6:4:2:s0 2+5:4:1:-2");
    rnn_close(e);
    e = windowed(&(rnn_tbptt_options){.threads = 1, .carry = true}); /* steps_max, 8 */
    rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 2});
    CHECK_TEXT(seen.text, "0+2:0:0:s0 0+4:2:0:s0 0+6:4:0:s0 0+7:6:1:s0 "
                          "0+2:0:0:-7 0+4:2:0:-7 0+6:4:0:-7 0+7:6:1:-7");
    rnn_close(e);
    e = windowed(&(rnn_tbptt_options){.tbptt_step = 1, .tbptt_window = 2, .threads = 1});
    rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 1});
    CHECK_TEXT(seen.text, "0+1:0:0:s0 0+2:1:1:s0 1+2:1:1:-1 2+2:1:1:-2 3+2:1:1:-3 "
                          "4+2:1:1:-4 5+2:1:1:-5");
    rnn_close(e);
}

static int reset_after_second(rnn_engine *e, int event, void *user)
{
    (void)event, (void)user;
    if (rnn_state_of(e)->chunk == 1)
        rnn_reset_state(e);
    return 0;
}

static void test_no_window_looks_back_on_what_a_reset_has_ended(void)
{
    rnn_engine *e = windowed(&(rnn_tbptt_options){.tbptt_window = 4, .threads = 1});
    rnn_on(e, RNN_TIME_ITERATION_COMPLETED, NULL, reset_after_second, NULL);
    rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 1});
    CHECK_TEXT(seen.text, "0+2:0:0:s0 0+4:2:2:s0 4+2:0:0:s0 4+3:2:1:s0");
    rnn_close(e);
}

static void test_windows_are_checked_when_the_trainer_is_made(void)
{
    struct rnn_model m = fake_model;
    rnn_engine *e = NULL;
    m.tbptt_step = 2;
    static const rnn_tbptt_options wrong[] = {
        {.tbptt_step = 3}, {.tbptt_step = 2, .tbptt_window = 3}, {.tbptt_window = 10}};
    for (int i = 0; i < (int)(sizeof wrong / sizeof *wrong); i++)
        CHECK(rnn_tbptt_trainer(&e, &m, &wrong[i]) == RNN_EINVAL && !e, "options %d", i);
}

/* A run of one batch, interrupted behind chunk `after`; its engine holds the names. */
static rnn_engine *interrupted(const rnn_tbptt_options *options, int after,
                               rnn_state_dict *d)
{
    rnn_engine *e = windowed(options);
    struct stop s = {RNN_TIME_ITERATION_COMPLETED, after};
    rnn_on(e, s.event, NULL, interrupt_later, &s);
    int status = rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 1});
    CHECK(status == RNN_PAUSED, "%d", status);
    CHECK(rnn_state_save(e, d) == 0, "save");
    return e;
}

static void resume_windowed(const rnn_state_dict *d, const rnn_tbptt_options *options,
                            int expected, const char *what)
{
    rnn_engine *e = windowed(options);
    seen.text[0] = '\0';
    int status = rnn_state_load(e, d);
    bool is_state = status == 0;
    if (is_state)
        status = rnn_engine_run(e, &data, NULL);
    CHECK(expected ? !is_state || status == expected : status == 0, "%s: %d %s", what,
          status, rnn_engine_error(e));
    if (is_state && status == RNN_EFORMAT)
        CHECK(strstr(rnn_engine_error(e), "resume with the same tbptt.step"), "%s: %s",
              what, rnn_engine_error(e));
    rnn_close(e);
}

/* Chunks of 1 look back by 5; chunks of 2 in a window of 6 have room for 4. */
static void test_a_run_is_not_resumed_with_a_window_that_does_not_fit(void)
{
    rnn_tbptt_options saved = {.tbptt_step = 1, .tbptt_window = 6, .threads = 1};
    rnn_tbptt_options other = {.tbptt_step = 2, .tbptt_window = 6, .threads = 1};
    rnn_state_dict d;
    rnn_engine *e = interrupted(&saved, 5, &d);
    resume_windowed(&d, &saved, 0, "as saved");
    CHECK_TEXT(seen.text, "0+6:5:1:s0 1+6:5:1:-1");
    resume_windowed(&d, &other, RNN_EFORMAT, "a longer step");
    CHECK_TEXT(seen.text, "");
    rnn_close(e);
    e = interrupted(&saved, 4, &d);
    resume_windowed(&d, &other, 0, "a longer step that fits");
    rnn_close(e);
}

static void set_entry(rnn_state_dict *d, const char *name, double value)
{
    for (int i = 0; i < d->n_entry; i++)
        if (strcmp(d->entry[i].name, name) == 0)
            d->entry[i].value = value;
}

/* Behind two chunks of 2 in a batch of 7 a state is at step 4, its window at step 2. */
static void test_a_place_that_no_run_has_left_is_refused(void)
{
    static const struct {
        const char *name;
        double value;
    } wrong[] = {
        {"tbptt.window", NAN}, {"tbptt.window", -1},     {"tbptt.window", 2.5},
        {"tbptt.window", 5},   {"tbptt.window", 1},      {"tbptt.window", -INFINITY},
        {"tbptt.step", NAN},   {"tbptt.step", -2},       {"tbptt.step", 3.5},
        {"tbptt.step", 8},     {"tbptt.step", INFINITY}, {"tbptt.starts", NAN},
        {"tbptt.starts", 3},   {"tbptt.starts", -1},     {"tbptt.starts", 0.5},
        {"tbptt.chunk", NAN},  {"tbptt.chunk", -1},      {"tbptt.chunk", 1e300},
    };
    rnn_tbptt_options options = {.tbptt_window = 4, .threads = 1};
    rnn_state_dict good;
    rnn_engine *e = interrupted(&options, 2, &good);
    for (int i = 0; i < (int)(sizeof wrong / sizeof *wrong); i++) {
        char what[64];
        rnn_state_dict d = good;
        set_entry(&d, wrong[i].name, wrong[i].value);
        snprintf(what, sizeof what, "%s %g", wrong[i].name, wrong[i].value);
        resume_windowed(&d, &options, RNN_EFORMAT, what);
        CHECK_TEXT(seen.text, "");
    }
    resume_windowed(&good, &options, 0, "as saved");
    rnn_close(e);
}

int main(void)
{
    test_a_run_is_not_resumed_with_a_window_that_does_not_fit();
    test_a_place_that_no_run_has_left_is_refused();
    test_windows_look_back_as_far_as_told();
    test_no_window_looks_back_on_what_a_reset_has_ended();
    test_windows_are_checked_when_the_trainer_is_made();
    test_chunk_events_nest_in_iterations();
    test_own_events_stand_between_those_of_ignite();
    test_output_is_the_last_loss_at_each_event();
    test_time_iteration_counts_on_and_chunk_begins_anew();
    test_losses_are_those_of_the_loop_written_out();
    test_a_weighted_report_counts_steps();
    test_bits_do_not_depend_on_threads_or_layout();
    test_a_handler_between_backward_and_step();
    test_options_are_checked_when_the_trainer_is_made();
    test_batches_that_do_not_fit_are_refused();
    test_terminate_waits_for_the_batch_unless_told_or_not_finite();
    test_a_loss_that_is_not_finite_updates_nothing();
    test_a_run_stopped_at_any_event_goes_on_with_the_same_bits();
    test_an_interrupt_is_honoured_between_chunks();
    test_the_state_starts_anew_unless_carried();
    test_a_state_set_from_outside_is_gone_on_with();
    test_counters_are_set_before_each_chunk();
    test_the_seed_makes_the_parameters();
    test_an_evaluator_shares_parameters_and_changes_none();
    test_a_run_in_which_nothing_counts_has_no_figures();
    test_what_counted_before_a_stop_has_figures();
    test_an_epoch_whose_chunks_are_all_lost_has_no_figures();
    test_a_restarted_run_carries_no_state_in();
    test_forward_carries_its_state_over_calls();
    test_forward_leaves_a_batch_in_progress_alone();
    test_batches_may_be_prepared_and_loaded_by_chunks();
    return check_result();
}
