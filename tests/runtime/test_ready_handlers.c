/*
 * test_ready_handlers.c — the handlers that rnn.h offers ready to hang, on an engine whose
 * process gives a sequence of numbers, and on a trainer of the fake model.
 */
#include "check.h"
#include "engine.h"
#include "fake_model.h"
#include "trainer.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* ---- early stopping ---- */

enum { N_SCORE = 12 };

/* Where PyTorch-Ignite 0.5.5's EarlyStopping stops on these sequences (0: nowhere). */
static const double scores[][N_SCORE] = {
    {1.43, 1.61, 1.69, 1.91, 1.61, 1.88, 0.54, 1.2, 1.92, 1.47, 1.85, 0.67},
    {1.2, 0.87, 1.32, 1.36, 0.52, 0.83, 0.92, 1.87, 1.65, 0.74, 1.7, 0.71},
    {1.43, 0.69, 0.5, 1.81, 0.81, 0.82, 1.97, 1.81, 0.93, 1.94, 1.31, 1.52},
    {2.0, 1.9, 1.8, 1.75, 1.72, 1.7, 1.69, 1.68, 1.675, 1.674, 1.6739, 1.6739},
};
static const struct {
    int sequence, larger;
    double threshold;
    int relative, cumulative;
    int64_t patience, stops;
} stops[] = {
    {0, 0, 0.0, 0, 0, 2, 3},   {0, 0, 0.0, 0, 0, 3, 4},   {0, 0, 0.06, 0, 0, 2, 3},
    {0, 0, 0.06, 0, 0, 3, 4},  {0, 0, 0.06, 0, 1, 2, 3},  {0, 0, 0.06, 0, 1, 3, 4},
    {0, 0, 0.06, 1, 0, 2, 3},  {0, 0, 0.06, 1, 0, 3, 4},  {0, 0, 0.06, 1, 1, 2, 3},
    {0, 0, 0.06, 1, 1, 3, 4},  {0, 1, 0.0, 0, 0, 2, 6},   {0, 1, 0.0, 0, 0, 3, 7},
    {0, 1, 0.06, 0, 0, 2, 6},  {0, 1, 0.06, 0, 0, 3, 7},  {0, 1, 0.06, 0, 1, 2, 6},
    {0, 1, 0.06, 0, 1, 3, 7},  {0, 1, 0.06, 1, 0, 2, 6},  {0, 1, 0.06, 1, 0, 3, 7},
    {0, 1, 0.06, 1, 1, 2, 6},  {0, 1, 0.06, 1, 1, 3, 7},  {1, 0, 0.0, 0, 0, 2, 4},
    {1, 0, 0.0, 0, 0, 3, 8},   {1, 0, 0.06, 0, 0, 2, 4},  {1, 0, 0.06, 0, 0, 3, 8},
    {1, 0, 0.06, 0, 1, 2, 4},  {1, 0, 0.06, 0, 1, 3, 8},  {1, 0, 0.06, 1, 0, 2, 4},
    {1, 0, 0.06, 1, 0, 3, 8},  {1, 0, 0.06, 1, 1, 2, 4},  {1, 0, 0.06, 1, 1, 3, 8},
    {1, 1, 0.0, 0, 0, 2, 6},   {1, 1, 0.0, 0, 0, 3, 7},   {1, 1, 0.06, 0, 0, 2, 5},
    {1, 1, 0.06, 0, 0, 3, 6},  {1, 1, 0.06, 0, 1, 2, 5},  {1, 1, 0.06, 0, 1, 3, 6},
    {1, 1, 0.06, 1, 0, 2, 5},  {1, 1, 0.06, 1, 0, 3, 6},  {1, 1, 0.06, 1, 1, 2, 5},
    {1, 1, 0.06, 1, 1, 3, 6},  {2, 0, 0.0, 0, 0, 2, 5},   {2, 0, 0.0, 0, 0, 3, 6},
    {2, 0, 0.06, 0, 0, 2, 5},  {2, 0, 0.06, 0, 0, 3, 6},  {2, 0, 0.06, 0, 1, 2, 5},
    {2, 0, 0.06, 0, 1, 3, 6},  {2, 0, 0.06, 1, 0, 2, 5},  {2, 0, 0.06, 1, 0, 3, 6},
    {2, 0, 0.06, 1, 1, 2, 5},  {2, 0, 0.06, 1, 1, 3, 6},  {2, 1, 0.0, 0, 0, 2, 3},
    {2, 1, 0.0, 0, 0, 3, 10},  {2, 1, 0.06, 0, 0, 2, 3},  {2, 1, 0.06, 0, 0, 3, 10},
    {2, 1, 0.06, 0, 1, 2, 3},  {2, 1, 0.06, 0, 1, 3, 10}, {2, 1, 0.06, 1, 0, 2, 3},
    {2, 1, 0.06, 1, 0, 3, 10}, {2, 1, 0.06, 1, 1, 2, 3},  {2, 1, 0.06, 1, 1, 3, 10},
    {3, 0, 0.0, 0, 0, 2, 0},   {3, 0, 0.0, 0, 0, 3, 0},   {3, 0, 0.06, 0, 0, 2, 5},
    {3, 0, 0.06, 0, 0, 3, 6},  {3, 0, 0.06, 0, 1, 2, 7},  {3, 0, 0.06, 0, 1, 3, 8},
    {3, 0, 0.06, 1, 0, 2, 3},  {3, 0, 0.06, 1, 0, 3, 4},  {3, 0, 0.06, 1, 1, 2, 5},
    {3, 0, 0.06, 1, 1, 3, 6},  {3, 1, 0.0, 0, 0, 2, 3},   {3, 1, 0.0, 0, 0, 3, 4},
    {3, 1, 0.06, 0, 0, 2, 3},  {3, 1, 0.06, 0, 0, 3, 4},  {3, 1, 0.06, 0, 1, 2, 3},
    {3, 1, 0.06, 0, 1, 3, 4},  {3, 1, 0.06, 1, 0, 2, 3},  {3, 1, 0.06, 1, 0, 3, 4},
    {3, 1, 0.06, 1, 1, 2, 3},  {3, 1, 0.06, 1, 1, 3, 4},
};

static const double *sequence;
static char said[256];

static int give_score(rnn_engine *e, void *batch, rnn_output *output, void *user)
{
    (void)batch, (void)user;
    *output = (rnn_output){.value = sequence[rnn_state_of(e)->iteration - 1]};
    return 0;
}

static void note(void *user, const char *sentence)
{
    (void)user;
    snprintf(said, sizeof said, "%s", sentence);
}

static rnn_engine *score_engine(void)
{
    rnn_engine *e = NULL;
    CHECK(rnn_engine_new(&e, give_score, NULL, NULL) == 0, "no engine");
    rnn_set_notice(e, note, NULL);
    said[0] = '\0';
    return e;
}

static int64_t run_scores(rnn_engine *e)
{
    rnn_run_options options = {.max_epochs = 1, .epoch_length = N_SCORE, .restart = true};
    CHECK(rnn_engine_run(e, NULL, &options) == 0, "%s", rnn_engine_error(e));
    return rnn_state_of(e)->iteration;
}

static rnn_early_stopping_options options_of_row(size_t i)
{
    return (rnn_early_stopping_options){.figure = "loss",
                                        .patience = stops[i].patience,
                                        .threshold = stops[i].threshold,
                                        .relative = stops[i].relative,
                                        .larger = stops[i].larger,
                                        .cumulative = stops[i].cumulative};
}

static void test_early_stopping_stops_where_ignites_does(void)
{
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        rnn_engine *e = score_engine();
        rnn_early_stopping_options o = options_of_row(i);
        sequence = scores[stops[i].sequence];
        CHECK(rnn_early_stopping(e, e, RNN_ITERATION_COMPLETED, NULL, &o) > 0, "%s",
              rnn_engine_error(e));
        int64_t at = run_scores(e);
        bool stopped = strstr(said, "early stopping") != NULL;
        CHECK((stopped ? at : 0) == stops[i].stops, "row %d: %lld, Ignite %lld", (int)i,
              (long long)(stopped ? at : 0), (long long)stops[i].stops);
        rnn_close(e);
    }
}

/* Each counts for itself: a patient one beside it changes nothing. */
static void test_two_early_stoppings_of_one_figure_do_not_meet(void)
{
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        rnn_engine *e = score_engine();
        rnn_early_stopping_options o = options_of_row(i);
        rnn_early_stopping_options patient = {.figure = "loss", .patience = 1000};
        sequence = scores[stops[i].sequence];
        CHECK(rnn_early_stopping(e, e, RNN_ITERATION_COMPLETED, NULL, &patient) > 0 &&
                  rnn_early_stopping(e, e, RNN_ITERATION_COMPLETED, NULL, &o) > 0,
              "%s", rnn_engine_error(e));
        int64_t at = run_scores(e);
        bool stopped = strstr(said, "early stopping") != NULL;
        CHECK((stopped ? at : 0) == stops[i].stops, "row %d: %lld, alone %lld", (int)i,
              (long long)(stopped ? at : 0), (long long)stops[i].stops);
        rnn_close(e);
    }
}

static void test_early_stopping_is_kept_in_the_state(void)
{
    rnn_engine *e = score_engine();
    rnn_early_stopping_options o = {.figure = "loss", .patience = 20};
    rnn_state_dict d;
    sequence = scores[3];
    CHECK(rnn_early_stopping(e, e, RNN_ITERATION_COMPLETED, NULL, &o) > 0, "refused");
    run_scores(e);
    CHECK(rnn_state_save(e, &d) == 0 && d.n_entry == 3, "%d entries", (int)d.n_entry);
    CHECK_TEXT(d.entry[0].name, "early_stopping.loss.best");
    CHECK(d.entry[0].value == 1.6739, "best %g", d.entry[0].value);
    o.patience = 0;
    CHECK(rnn_early_stopping(e, e, RNN_ITERATION_COMPLETED, NULL, &o) == RNN_EINVAL,
          "accepted no patience");
    rnn_close(e);
}

/* ---- time limit, not finite ---- */

static void test_a_time_limit_ends_the_run(void)
{
    rnn_engine *e = score_engine();
    sequence = scores[0];
    CHECK(rnn_time_limit(e, RNN_ITERATION_COMPLETED, NULL, 0) == RNN_EINVAL, "accepted 0");
    CHECK(rnn_time_limit(e, RNN_ITERATION_COMPLETED, NULL, 1e-9) > 0, "refused");
    CHECK(run_scores(e) == 1, "%lld iterations", (long long)rnn_state_of(e)->iteration);
    CHECK(strstr(said, "time limit") != NULL, "said '%s'", said);
    rnn_close(e);
}

static void test_an_output_that_is_not_finite_ends_the_run(void)
{
    static const double sick[N_SCORE] = {1, 2, INFINITY, 3};
    rnn_engine *e = score_engine();
    sequence = sick;
    CHECK(rnn_terminate_on_nan(e, RNN_ITERATION_COMPLETED, NULL, true) == RNN_EINVAL,
          "gradients of an engine that has none");
    CHECK(rnn_terminate_on_nan(e, RNN_ITERATION_COMPLETED, NULL, false) > 0, "refused");
    CHECK(run_scores(e) == 3, "%lld iterations", (long long)rnn_state_of(e)->iteration);
    rnn_close(e);
}

/* ---- moving averages ---- */

static rnn_engine *trainer;
static float x[FAKE_STEPS * FAKE_ROWS], y[FAKE_STEPS * FAKE_ROWS];

/* A batch of one chunk, over and over. */
static int restart(void *user, int64_t pass) { return (void)user, (void)pass, 0; }

static int next(void *user, void **batch)
{
    static rnn_array input[2] = {{.data = x, .steps = FAKE_STEPS},
                                 {.data = y, .steps = FAKE_STEPS}};
    static rnn_batch b = {
        .steps = FAKE_STEPS, .rows = FAKE_ROWS, .n_input = 2, .input = input};
    (void)user;
    *batch = &b;
    return 0;
}

static const rnn_iterable batches = {.length = 5, .restart = restart, .next = next};

static float weight(void)
{
    float w = 0;
    CHECK(rnn_get_parameter(trainer, "w", &w, 1) == 0, "no w");
    return w;
}

static float expected;
static int n_update;

/* What EMAHandler(momentum=0.5, momentum_warmup=0.1, warmup_iters=3) does; hung after it.
 */
static int follow(rnn_engine *e, int event, void *user)
{
    static const float momentum[] = {0.1f, 0.3f, 0.5f, 0.5f, 0.5f};
    (void)e, (void)event, (void)user;
    float m = momentum[n_update++];
    expected = (1 - m) * expected + m * weight();
    return 0;
}

static void test_averages_follow_the_parameters_and_are_exchanged(void)
{
    rnn_ema_options o = {.momentum = 0.5, .momentum_warmup = 0.1, .warmup = 3};
    for (int i = 0; i < FAKE_STEPS * FAKE_ROWS; i++)
        x[i] = (float)(i % 7) / 7, y[i] = (float)(i % 3);
    CHECK(rnn_tbptt_trainer(&trainer, &fake_model, NULL) == 0, "%s",
          rnn_engine_error(NULL));
    CHECK(rnn_ema_swap(trainer) == RNN_EINVAL, "exchanged nothing");
    CHECK(rnn_ema(trainer, RNN_ITERATION_COMPLETED, NULL, &o) > 0, "%s",
          rnn_engine_error(trainer));
    rnn_on(trainer, RNN_ITERATION_COMPLETED, NULL, follow, NULL);
    expected = weight();
    CHECK(rnn_engine_run(trainer, &batches, NULL) == 0, "%s", rnn_engine_error(trainer));
    float last = weight();
    CHECK(n_update == 5 && last != expected, "nothing was learned");
    CHECK(rnn_ema_swap(trainer) == 0, "%s", rnn_engine_error(trainer));
    /* two roundings a step of five */
    CHECK(fabsf(weight() - expected) <= 10 * 0x1p-24f * fabsf(expected),
          "%.9g, expected %.9g", (double)weight(), (double)expected);
    CHECK(rnn_ema_swap(trainer) == 0 && weight() == last, "not the way back");
    rnn_close(trainer);
}

static int interrupt(rnn_engine *e, int event, void *user)
{
    (void)event, (void)user;
    rnn_interrupt(e);
    return 0;
}

static rnn_engine *averaging(void)
{
    rnn_engine *e;
    CHECK(rnn_tbptt_trainer(&e, &fake_model, &(rnn_tbptt_options){.tbptt_step = 4}) == 0,
          "%s", rnn_engine_error(NULL));
    CHECK(rnn_ema(e, RNN_ITERATION_COMPLETED, NULL, &(rnn_ema_options){.momentum = 0.5}) >
              0,
          "%s", rnn_engine_error(e));
    return e;
}

/* Stopped behind the first chunk, before any update of the averages, and resumed in another
   engine, the averages still begin with the parameters that the run began with. */
static void test_averages_begin_once(void)
{
    float began, trained, average;
    rnn_blocks from, to;
    rnn_state_dict d;
    rnn_engine *first = averaging(), *second = averaging();
    rnn_get_parameter(first, "w", &began, 1);
    rnn_on(first, RNN_TIME_ITERATION_COMPLETED, NULL, interrupt, NULL);
    CHECK(rnn_engine_run(first, &batches, NULL) == RNN_PAUSED, "not interrupted");
    rnn_get_blocks(first, &from);
    rnn_get_blocks(second, &to);
    memcpy(to.params, from.params, 2 * sizeof(float));
    memcpy(rnn__ema_block(second), rnn__ema_block(first), 2 * sizeof(float));
    CHECK(rnn_state_save(first, &d) == 0 && rnn_state_load(second, &d) == 0, "%s",
          rnn_engine_error(second));
    rnn_on(second, RNN_ITERATION_COMPLETED, NULL, interrupt, NULL);
    CHECK(rnn_engine_run(second, &batches, NULL) == RNN_PAUSED, "not interrupted");
    rnn_get_parameter(second, "w", &trained, 1);
    average = ((const float *)rnn__ema_block(second))[1];
    CHECK(trained != began, "nothing was learned");
    float mean = (began + trained) / 2; /* one update by half, behind the second chunk */
    CHECK(fabsf(average - mean) <= 2 * 0x1p-24f * mean, "%.9g, expected %.9g",
          (double)average, (double)mean);
    rnn_close(first);
    rnn_close(second);
}

static void test_options_of_averages_are_checked(void)
{
    rnn_engine *e;
    CHECK(rnn_tbptt_trainer(&e, &fake_model, NULL) == 0, "%s", rnn_engine_error(NULL));
    CHECK(rnn_ema(e, RNN_ITERATION_COMPLETED, NULL,
                  &(rnn_ema_options){.momentum_warmup = 0.5}) == RNN_EINVAL,
          "no length of the warm-up");
    CHECK(rnn_ema(e, RNN_ITERATION_COMPLETED, NULL, &(rnn_ema_options){.momentum = 1}) ==
              RNN_EINVAL,
          "a momentum of 1");
    CHECK(rnn_ema(e, RNN_ITERATION_COMPLETED, NULL, NULL) > 0, "%s", rnn_engine_error(e));
    rnn_close(e);
}

/* ---- profile ---- */

static int doze(rnn_engine *e, int event, void *user)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    (void)e, (void)event, (void)user;
    nanosleep(&pause, NULL);
    return 0;
}

static void test_a_profile_counts_spans_and_events(void)
{
    rnn_engine *e = score_engine();
    rnn_profile_row r;
    bool batch = false, completed = false;
    sequence = scores[0];
    rnn_on(e, RNN_ITERATION_COMPLETED, NULL, doze, NULL);
    CHECK(rnn_profile_at(e, 0, &r) == RNN_EINVAL, "a profile that nobody asked for");
    CHECK(rnn_profile(e) == 0 && rnn_profile(e) == 0, "%s", rnn_engine_error(e));
    run_scores(e);
    for (int i = 0; rnn_profile_at(e, i, &r) == 0; i++) {
        CHECK(r.n == 0 || (r.min <= r.mean && r.mean <= r.max && r.std >= 0), "%s", r.name);
        if (strcmp(r.name, "batch") == 0)
            batch = r.n == N_SCORE && r.min_at >= 1 && r.max_at <= N_SCORE;
        if (strcmp(r.name, "ITERATION_COMPLETED") == 0)
            completed = r.n == N_SCORE && r.min >= 0.002;
    }
    CHECK(batch && completed, "batch %d, ITERATION_COMPLETED %d", batch, completed);
    rnn_close(e);
}

int main(void)
{
    test_early_stopping_stops_where_ignites_does();
    test_two_early_stoppings_of_one_figure_do_not_meet();
    test_early_stopping_is_kept_in_the_state();
    test_a_time_limit_ends_the_run();
    test_an_output_that_is_not_finite_ends_the_run();
    test_averages_follow_the_parameters_and_are_exchanged();
    test_averages_begin_once();
    test_options_of_averages_are_checked();
    test_a_profile_counts_spans_and_events();
    return check_result();
}
