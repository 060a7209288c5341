/*
 * test_double.c — a model whose reals are double, through rnn.h: whatever goes in and out
 * keeps all its digits, and who asks in float is answered in float or refused.
 */
#include "array_file.h"
#include "fake_model.h"
#include "harness.h"
#include "npy_bytes.h"

enum { STEPS = 5, ROWS = 2 };

static const double third = 1.0 / 3, tenth = 0.1;
static double x[STEPS * ROWS], y[STEPS * ROWS];
static rnn_array array[2] = {{.data = x, .steps = STEPS}, {.data = y, .steps = STEPS}};
static rnn_batch batch = {.steps = STEPS, .rows = ROWS, .n_input = 2, .input = array};

static rnn_engine *trainer(enum rnn_dtype dtype)
{
    static struct rnn_model m;
    rnn_engine *e = NULL;
    m = fake_model;
    m.dtype = dtype;
    for (int i = 0; i < STEPS * ROWS; i++)
        x[i] = sin(0.7 * i), y[i] = cos(0.3 * i);
    int status = rnn_tbptt_trainer(&e, &m, &(rnn_tbptt_options){.tbptt_step = 3});
    CHECK(status == 0, "%d %s", status, rnn_engine_error(NULL));
    CHECK(rnn_set_parameter_f64(e, "a", &third, 1) == 0, "%s", rnn_engine_error(e));
    CHECK(rnn_set_parameter_f64(e, "w", &tenth, 1) == 0, "%s", rnn_engine_error(e));
    return e;
}

static void test_parameters_go_in_and_out_in_either_width(void)
{
    double d = 0;
    float f = 0;
    rnn_engine *e = trainer(RNN_F64);
    CHECK(rnn_get_parameter_f64(e, "a", &d, 1) == 0 && d == third, "a is %.17g", d);
    CHECK(rnn_get_parameter(e, "a", &f, 1) == 0 && f == (float)third, "a is %.9g",
          (double)f);
    CHECK(rnn_set_parameter(e, "w", &f, 1) == 0, "%s", rnn_engine_error(e));
    CHECK(rnn_get_parameter_f64(e, "w", &d, 1) == 0 && d == (double)f, "w is %.17g", d);
    rnn_close(e);
    e = trainer(RNN_F32);
    CHECK(rnn_get_parameter_f64(e, "a", &d, 1) == 0 && d == (double)(float)third,
          "a is %.17g", d);
    rnn_close(e);
}

static void test_states_go_in_and_out_in_either_width(void)
{
    double in[FAKE_ROWS] = {third, tenth, -third}, out[FAKE_ROWS] = {0};
    float single[FAKE_ROWS] = {0};
    rnn_engine *e = trainer(RNN_F64);
    CHECK(rnn_set_state_f64(e, 0, in, FAKE_ROWS) == 0, "%s", rnn_engine_error(e));
    CHECK(rnn_get_state_f64(e, 0, out, FAKE_ROWS) == 0, "%s", rnn_engine_error(e));
    CHECK(memcmp(in, out, sizeof in) == 0, "%.17g, then %.17g", in[0], out[0]);
    CHECK(rnn_get_state(e, 0, single, FAKE_ROWS) == 0, "%s", rnn_engine_error(e));
    CHECK(single[0] == (float)third, "%.9g", (double)single[0]);
    rnn_close(e);
}

static void test_outputs_have_all_digits_and_are_refused_as_float(void)
{
    double out[STEPS * ROWS] = {0}, h = 0;
    float single[STEPS * ROWS];
    rnn_engine *e = trainer(RNN_F64);
    CHECK(rnn_forward_f64(e, &batch, out) == 0, "%s", rnn_engine_error(e));
    for (int t = 0; t < STEPS; t++) {
        h = third * h + tenth * x[t * ROWS];
        CHECK(out[t * ROWS] == h, "step %d: %.17g, expected %.17g", t, out[t * ROWS], h);
    }
    CHECK(rnn_forward(e, &batch, single) == RNN_EINVAL, "floats were taken");
    CHECK(strstr(rnn_engine_error(e), "rnn_forward_f64"), "%s", rnn_engine_error(e));
    rnn_close(e);
    e = trainer(RNN_F32);
    CHECK(rnn_forward_f64(e, &batch, out) == RNN_EINVAL, "doubles were taken");
    rnn_close(e);
}

/* The gradient of w, whole, as the loop written out has it at the first chunk. */
static int check_gradient(rnn_engine *e, int event, void *user)
{
    int64_t n = 0;
    (void)event;
    const double *dw = rnn_gradient_f64(e, "w", &n);
    CHECK(dw && n == 1, "no gradient of double");
    CHECK(rnn_gradient(e, "w", &n) == NULL, "a gradient of float");
    if (dw && rnn_state_of(e)->chunk == 0)
        *(double *)user = *dw;
    return 0;
}

static double gradient_of_w(int steps)
{
    double dw = 0;
    for (int row = 0; row < ROWS; row++) {
        double h = 0, dh_dw = 0;
        for (int t = 0; t < steps; t++) {
            dh_dw = third * dh_dw + x[t * ROWS + row];
            h = third * h + tenth * x[t * ROWS + row];
            dw += 2.0 / (steps * ROWS) * (h - y[t * ROWS + row]) * dh_dw;
        }
    }
    return dw;
}

static int one_batch(void *user, void **out)
{
    int *given = user;
    *out = (*given)++ ? NULL : &batch;
    return 0;
}

static int restart(void *user, int64_t pass)
{
    (void)pass;
    *(int *)user = 0;
    return 0;
}

static void test_gradients_and_updates_have_all_digits(void)
{
    double dw = 0, w = 0;
    int given = 0;
    rnn_iterable data = {
        .length = 1, .restart = restart, .next = one_batch, .user = &given};
    rnn_engine *e = trainer(RNN_F64);
    rnn_on(e, RNN_BACKWARD_COMPLETED, NULL, check_gradient, &dw);
    int status = rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = 1});
    CHECK(status == 0, "%d %s", status, rnn_engine_error(e));
    double expected = gradient_of_w(3);
    CHECK(fabs(dw - expected) < 1e-15 * fabs(expected) * 16, "%.17g, expected %.17g", dw,
          expected);
    rnn_get_parameter_f64(e, "w", &w, 1);
    CHECK(w != tenth && w != (double)(float)w, "w is a float: %.17g", w);
    rnn_close(e);
}

/* ---- files ---- */

static void test_npy_keeps_all_digits(void)
{
    const double wide[] = {third, tenth};
    const float narrow[] = {0.1f, -2};
    const struct {
        const char *descr;
        const void *data;
        size_t bytes;
        double expected[2];
    } list[] = {{"<f8", wide, sizeof wide, {third, tenth}},
                {"<f4", narrow, sizeof narrow, {(double)0.1f, -2}}};
    for (int i = 0; i < 2; i++) {
        struct rnn__fault f = {0};
        struct rnn__ndarray a;
        double got[2] = {0};
        const char *path = npy_write("d.npy", 1, npy_header(list[i].descr, "(2,)"),
                                     list[i].data, list[i].bytes);
        CHECK(rnn__array_file_open(&a, path, &f) == 0, "%s", f.sentence);
        CHECK(rnn__ndarray_read_real(&a, &(struct rnn__run){0, 2, 2, 1}, RNN_F64, got,
                                     &f) == 0,
              "%s", f.sentence);
        CHECK(memcmp(got, list[i].expected, sizeof got) == 0, "%s: %.17g %.17g",
              list[i].descr, got[0], got[1]);
        rnn__ndarray_close(&a);
    }
}

int main(void)
{
    scratch_open();
    test_parameters_go_in_and_out_in_either_width();
    test_states_go_in_and_out_in_either_width();
    test_outputs_have_all_digits_and_are_refused_as_float();
    test_gradients_and_updates_have_all_digits();
    test_npy_keeps_all_digits();
    scratch_close();
    return check_result();
}
