/*
 * recorded.h — for tests: what a trainer left, against a recorded run of PyTorch.
 *
 * Both sides compute in float32 and differ in the order of their sums alone. A loss is a
 * mean of some hundred terms of a depth of a few dozen operations: (100 + 64) half units in
 * the last place are 1e-5, and some dozen updates in between double it. Parameters gather
 * the differences of gradients, and Adam divides by their size: an element with next to no
 * gradient moves by lr whatever its sign is, so parameters are held to 1e-4 of the largest
 * of the tensor. Where the recorded run was one in float64, both are smaller by as much as
 * its unit in the last place is, 2^-29, but parameters may be away by as much as PyTorch's
 * own are when its first ones are moved by such a unit (make_f64.py).
 */
#ifndef RNNC_RECORDED_H
#define RNNC_RECORDED_H

#include "trained.h"

/* Of the run being compared: read_expected sets it. */
static double loss_tolerance, parameter_tolerance;

static inline json_t *read_expected(const char *folder)
{
    char path[1024];
    json_error_t error;
    snprintf(path, sizeof path, "%s/expected.json", folder);
    json_t *expected = json_load_file(path, 0, &error);
    CHECK(expected, "%s: %s", path, error.text);
    const char *dtype = json_string_value(json_object_get(expected, "dtype"));
    double unit = dtype && strcmp(dtype, "torch.float64") == 0 ? 0x1p-29 : 1;
    const json_t *sway = json_object_get(expected, "parameter_sway");
    loss_tolerance = 2e-5 * unit;
    parameter_tolerance = fmax(1e-4 * unit, json_number_value(sway));
    return expected;
}

/* ---- losses ---- */

/* The numbers under `key` of all lines of the event, in the order of the log; the caller's
   to release. */
static inline json_t *read_numbers(const char *path, const char *wanted, const char *key)
{
    json_t *losses = json_array(), *line;
    json_error_t error;
    FILE *file = fopen(path, "r");
    CHECK(file, "%s cannot be read", path);
    while (file && (line = json_loadf(file, JSON_DISABLE_EOF_CHECK, &error))) {
        const char *event = json_string_value(json_object_get(line, "event"));
        if (event && strcmp(event, wanted) == 0)
            json_array_append(losses, json_object_get(line, key));
        json_decref(line);
    }
    if (file)
        fclose(file);
    return losses;
}

/* Those of all chunks. */
static inline json_t *read_losses(const char *path)
{
    return read_numbers(path, "time_iteration_completed", "loss");
}

/* Relative; 0 where both are null. */
static inline double difference_of(const json_t *got, const json_t *expected)
{
    if (json_is_null(expected) || !json_is_number(got))
        return json_is_null(expected) && json_is_null(got) ? 0 : (double)INFINITY;
    double e = json_number_value(expected);
    return fabs(json_number_value(got) - e) / fabs(e);
}

static inline void compare_losses(const char *what, const json_t *losses,
                                  const json_t *recorded)
{
    size_t n = json_array_size(recorded), worst = 0;
    double most = 0;
    CHECK(n > 0 && json_array_size(losses) == n, "%s: %zu, expected %zu", what,
          json_array_size(losses), n);
    for (size_t i = 0; i < n && i < json_array_size(losses); i++) {
        double d = difference_of(json_array_get(losses, i), json_array_get(recorded, i));
        if (!(d <= most))
            most = d, worst = i;
    }
    CHECK(most <= loss_tolerance, "%s %zu: %.9g, expected %.9g, relative %.2g", what, worst,
          json_number_value(json_array_get(losses, worst)),
          json_number_value(json_array_get(recorded, worst)), most);
    printf("%s differ by %.2g relative at most\n", what, most);
}

static inline void test_every_chunk_has_the_recorded_loss(const struct trained *t,
                                                          const json_t *expected)
{
    json_t *losses = read_losses(t->log);
    compare_losses("losses of chunks", losses, json_object_get(expected, "chunk_losses"));
    json_decref(losses);
}

static inline void test_every_batch_has_the_recorded_mean(const struct trained *t,
                                                          const json_t *expected)
{
    json_t *means = read_numbers(t->log, "iteration_completed", "output");
    compare_losses("means of batches", means,
                   json_object_get(expected, "iteration_outputs"));
    json_decref(means);
}

/* ---- parameters ---- */

static inline double *read_tensor(const struct rnn__safetensors *s,
                                  const struct rnn__tensor *t)
{
    struct rnn__fault f = {0};
    double *data = calloc((size_t)t->size + 1, sizeof *data);
    CHECK(data && rnn__safetensors_read_double(s, t, data, &f) == 0, "%s", f.sentence);
    return data;
}

/* The largest difference in one parameter, of its largest element. */
static inline double compare_tensor(const struct rnn__tensor *t, const double *got,
                                    const double *expected)
{
    double largest = 0, most = 0;
    int64_t worst = 0;
    for (int64_t i = 0; i < t->size; i++)
        largest = fmax(largest, fabs(expected[i]));
    for (int64_t i = 0; i < t->size; i++) {
        double difference = fabs(got[i] - expected[i]) / largest;
        if (!(difference <= most))
            most = difference, worst = i;
    }
    CHECK(most <= parameter_tolerance,
          "%s[%lld] = %.9g, expected %.9g: %.2g of the largest", t->name, (long long)worst,
          got[worst], expected[worst], most);
    return most;
}

static inline double compare_files(const struct rnn__safetensors *got,
                                   const struct rnn__safetensors *expected)
{
    double most = 0;
    for (int i = 0; i < expected->n_tensor; i++) {
        const struct rnn__tensor *e = &expected->tensor[i];
        const struct rnn__tensor *g = rnn__safetensors_find(got, e->name);
        CHECK(g && g->size == e->size, "parameter %s is missing or of another size",
              e->name);
        if (!g || g->size != e->size)
            continue;
        double *a = read_tensor(got, g), *b = read_tensor(expected, e);
        most = fmax(most, compare_tensor(e, a, b));
        free(a);
        free(b);
    }
    return most;
}

static inline void test_training_ends_at_the_recorded_parameters(const struct trained *t,
                                                                 const char *folder)
{
    struct rnn__fault f = {0};
    struct rnn__safetensors got, expected;
    char path[1024];
    snprintf(path, sizeof path, "%s/final.safetensors", folder);
    bool opened = rnn__safetensors_open(&got, t->checkpoint, &f) == 0;
    CHECK(opened, "%s", f.sentence);
    if (!opened)
        return;
    opened = rnn__safetensors_open(&expected, path, &f) == 0;
    CHECK(opened, "%s", f.sentence);
    if (opened) {
        printf("parameters differ by %.2g of the largest at most\n",
               compare_files(&got, &expected));
        rnn__safetensors_close(&expected);
    }
    rnn__safetensors_close(&got);
}

#endif
