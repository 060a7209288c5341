/*
 * sources.h — models with inputs and nothing else, and sources opened from settings in a
 * test's folder.
 */
#ifndef RNNC_SOURCES_H
#define RNNC_SOURCES_H

#include "check.h"
#include "scratch.h"
#include "source.h"

static const struct rnn_input xy_inputs[] = {
    {.name = "x", .kind = RNN_REAL, .rank = 1, .dim = {2}, .size = 2},
    {.name = "y", .kind = RNN_CLASS, .size = 1, .classes = 10, .for_loss_only = true},
};
/* x: two reals, y: a class of ten, a target. */
static const struct rnn_model xy_model = {
    .name = "xy", .steps_max = 4, .rows_max = 8, .n_input = 2, .input = xy_inputs};
/* x alone. */
static const struct rnn_model sound_model = {
    .name = "sound", .steps_max = 4, .rows_max = 8, .n_input = 1, .input = xy_inputs};

static struct rnn__vocabulary vocabulary; /* a text's; empty else */
static json_t *settings;

static const char *lengths; /* tbptt.lengths of the runs that are opened */

/* Opens the source of the settings' text (ours until the next). */
static inline int open_run(rnn_source_run *run, const struct rnn_model *model,
                           const char *json)
{
    struct rnn__fault f = {0};
    rnn_source source;
    json_error_t error;
    json_decref(settings);
    settings = json_loads(json, 0, &error);
    CHECK(settings != NULL, "%s: %s", json, error.text);
    struct rnn__source_setup setup = {.json = settings,
                                      .where = "data.train",
                                      .folder = scratch_folder,
                                      .seed = 3,
                                      .lengths = lengths,
                                      .vocabulary = &vocabulary};
    int code = rnn__source_make(&source, &setup, &f);
    CHECK(code == 0, "%s", f.sentence);
    return rnn_source_open(run, &source, model);
}

static inline void close_settings(void) { json_decref(settings); }

static inline rnn_batch *next_batch(rnn_source_run *run)
{
    void *batch = NULL;
    CHECK(run->iterable.next(run->iterable.user, &batch) == 0, "%s", run->sentence);
    return batch;
}

static inline float real_at(const rnn_batch *b, int input, int64_t t, int64_t row,
                            int feature)
{
    const rnn_array *a = &b->input[input];
    return ((const float *)a->data)[t * a->step_stride + row * a->row_stride + feature];
}

static inline int class_at(const rnn_batch *b, int input, int64_t t, int64_t row)
{
    const rnn_array *a = &b->input[input];
    return ((const int32_t *)a->data)[t * a->step_stride + row * a->row_stride];
}

/* Opening fails, as the data's or the settings' fault, with that in the sentence. */
static inline void refuse(const struct rnn_model *model, const char *json,
                          const char *expected)
{
    rnn_source_run run;
    int code = open_run(&run, model, json);
    CHECK(code == RNN_EDATA || code == RNN__ESPEC || code == RNN_EIO, "%s: code %d", json,
          code);
    CHECK(strstr(run.sentence, expected), "\"%s\" lacks \"%s\"", run.sentence, expected);
    if (code == 0)
        rnn_source_close(&run);
}

#endif
