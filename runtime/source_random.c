/*
 * source_random.c — random inputs of the right kinds, for trying and timing.
 *
 *     data:
 *       train: {random: true, batch: 32, steps: 128, sequences: 320}
 *
 * Reals are standard normal, classes and flags uniform, integers from 1 to `steps`. A
 * value is a function of seed, sequence, input and place: each epoch has the same data.
 *
 * A batch of up to WINDOW_BYTES is drawn once. Of a longer one as many whole chunks are in
 * memory, drawn anew whenever a chunk lies outside: memory does not grow with the sequence.
 */
#include "settings.h"
#include "source.h"

#include <math.h>
#include <stdlib.h>

enum { WINDOW_BYTES = 4 << 20 };

struct random_source {
    struct rnn__source_setup setup;
    const struct rnn_model *model;
    int64_t batch, steps, sequences;
    int64_t window_steps;    /* in memory at a time */
    void **buffer;           /* [n_input], each [batch][window_steps][size], reals or
                                int32; [batch][size] of an input per sequence */
    bool filled;             /* they hold … */
    int64_t position, step0; /* … this batch from this step on */
};

static const char *const option_list[] = {"random", "batch", "steps", "sequences", NULL};

static int read_settings(struct random_source *s, struct rnn__fault *f)
{
    const json_t *json = s->setup.json;
    const char *where = s->setup.where;
    bool random = true;
    int code = rnn__check_keys(json, where, option_list, f);
    if (!code)
        code = rnn__get_flag(json, where, "random", &random, f);
    if (!code && !random)
        code = rnn__fault(f, RNN__ESPEC, "%s.random: false is no data source", where);
    if (!code)
        code = rnn__source_rows(&s->setup, "batch", s->model, &s->batch, f);
    s->steps = s->model->steps_max;
    s->sequences = s->batch;
    if (!code)
        code = rnn__get_integer(json, where, "steps", 1, &s->steps, f);
    if (!code)
        code = rnn__get_integer(json, where, "sequences", 1, &s->sequences, f);
    if (s->batch > s->sequences)
        s->batch = s->sequences;
    return code;
}

/* Steps of an input that are in memory. */
static int64_t kept_steps(const struct random_source *s, const struct rnn_input *input)
{
    return input->per_sequence ? 1 : s->window_steps;
}

static int size_window(struct random_source *s, struct rnn__fault *f)
{
    int64_t step_bytes = 1, bytes;
    for (int i = 0; i < s->model->n_input; i++) {
        const struct rnn_input *input = &s->model->input[i];
        int64_t element = (int64_t)rnn_input_bytes(input, s->model->dtype);
        if (__builtin_mul_overflow(input->size, element * s->batch, &bytes) ||
            __builtin_add_overflow(step_bytes, input->per_sequence ? 0 : bytes,
                                   &step_bytes))
            return rnn__fault_memory(f);
    }
    int64_t chunk = s->model->steps_max > 0 ? s->model->steps_max : 1;
    int64_t n_chunk = WINDOW_BYTES / step_bytes / chunk;
    s->window_steps = (n_chunk ? n_chunk : 1) * chunk;
    if (s->window_steps > s->steps)
        s->window_steps = s->steps;
    return 0;
}

static int make_buffers(struct random_source *s, struct rnn__fault *f)
{
    int code = size_window(s, f);
    if (code)
        return code;
    s->buffer = calloc((size_t)s->model->n_input + 1, sizeof *s->buffer);
    if (!s->buffer)
        return rnn__fault_memory(f);
    for (int i = 0; i < s->model->n_input; i++) {
        const struct rnn_input *input = &s->model->input[i];
        int64_t size;
        if (__builtin_mul_overflow(kept_steps(s, input), input->size, &size) ||
            __builtin_mul_overflow(size, s->batch, &size) ||
            __builtin_mul_overflow(size, (int64_t)rnn_input_bytes(input, s->model->dtype),
                                   &size))
            return rnn__fault_memory(f);
        s->buffer[i] = malloc((size_t)size);
        if (!s->buffer[i])
            return rnn__fault_memory(f);
    }
    return 0;
}

static int source_open(void *user, const struct rnn_model *model, char *sentence,
                       size_t capacity)
{
    struct random_source *s = user;
    struct rnn__fault f = {0};
    s->model = model;
    int code = read_settings(s, &f);
    if (!code)
        code = make_buffers(s, &f);
    return code ? rnn__source_failed(&f, sentence, capacity) : 0;
}

static int source_describe(void *user, rnn_source_info *out, char *sentence,
                           size_t capacity)
{
    const struct random_source *s = user;
    (void)sentence, (void)capacity;
    *out = (rnn_source_info){
        .batches = (s->sequences - 1) / s->batch + 1, .rows = s->batch, .steps = s->steps};
    return 0;
}

/* In (0, 1). */
static double uniform(uint64_t bits) { return ((double)(bits >> 11) + 0.5) * 0x1p-53; }

/* Box and Muller's normal. */
static double normal(uint64_t key)
{
    double radius = sqrt(-2 * log(uniform(rnn__mix(key)))), turn = uniform(rnn__mix(~key));
    return radius * cos(6.283185307179586 * turn);
}

static void draw(const struct random_source *s, const struct rnn_input *input, uint64_t key,
                 void *out, int64_t i)
{
    uint64_t bits = rnn__mix(key);
    enum rnn_dtype dtype = s->model->dtype;
    switch (input->kind) {
    case RNN_REAL: rnn_real_set(out, dtype, i, normal(key)); break;
    case RNN_FLAG: rnn_real_set(out, dtype, i, (double)(bits & 1)); break;
    case RNN_CLASS: ((int32_t *)out)[i] = (int32_t)(bits % (uint64_t)input->classes); break;
    case RNN_INTEGER: ((int32_t *)out)[i] = (int32_t)(1 + bits % (uint64_t)s->steps); break;
    }
}

static int64_t rows_of(const struct random_source *s, int64_t position)
{
    int64_t left = s->sequences - position * s->batch;
    return left < s->batch ? left : s->batch;
}

/* What is drawn for an element depends on its place in the whole sequence alone. */
static void fill_input(const struct random_source *s, int i)
{
    const struct rnn_input *input = &s->model->input[i];
    int64_t whole = (input->per_sequence ? 1 : s->steps) * input->size;
    int64_t first = input->per_sequence ? 0 : s->step0 * input->size;
    int64_t stride = kept_steps(s, input) * input->size, kept = stride;
    if (kept > whole - first)
        kept = whole - first;
    uint64_t key = rnn__mix(s->setup.seed ^ rnn__mix((uint64_t)i));
    for (int64_t row = 0; row < rows_of(s, s->position); row++) {
        uint64_t place =
            (uint64_t)(s->position * s->batch + row) * (uint64_t)whole + (uint64_t)first;
        for (int64_t j = 0; j < kept; j++)
            draw(s, input, rnn__mix(key + place + (uint64_t)j), s->buffer[i],
                 row * stride + j);
    }
}

static bool holds(const struct random_source *s, int64_t position, int64_t step0,
                  int64_t end)
{
    return s->filled && s->position == position && s->step0 <= step0 &&
           end <= s->step0 + s->window_steps;
}

static void hold(struct random_source *s, int64_t position, int64_t step0, int64_t end)
{
    if (holds(s, position, step0, end))
        return;
    s->filled = true;
    s->position = position;
    s->step0 = step0;
    for (int i = 0; i < s->model->n_input; i++)
        fill_input(s, i);
}

static void point_at(const struct random_source *s, rnn_array *input, int64_t step0)
{
    for (int i = 0; i < s->model->n_input; i++) {
        const struct rnn_input *in = &s->model->input[i];
        int64_t steps = in->per_sequence ? 0 : step0 - s->step0;
        input[i].data =
            (const char *)s->buffer[i] +
            (int64_t)rnn_input_bytes(in, s->model->dtype) * steps * input[i].step_stride;
    }
}

static int load(rnn_batch *batch, int64_t step0, int64_t steps)
{
    struct random_source *s = batch->user;
    int64_t end = step0 + steps < s->steps ? step0 + steps : s->steps;
    hold(s, batch->row0 / s->batch, step0, end);
    point_at(s, batch->input, step0);
    return 0;
}

static int source_read(void *user, int64_t pass, int64_t position, rnn_batch *out,
                       char *sentence, size_t capacity)
{
    struct random_source *s = user;
    (void)pass, (void)sentence, (void)capacity;
    out->steps = s->steps;
    out->rows = rows_of(s, position);
    out->row0 = position * s->batch;
    out->load = s->window_steps < s->steps ? load : NULL;
    out->user = s;
    for (int i = 0; i < s->model->n_input; i++) {
        const struct rnn_input *input = &s->model->input[i];
        out->input[i] = (rnn_array){.steps = s->steps,
                                    .step_stride = input->size,
                                    .row_stride = kept_steps(s, input) * input->size};
    }
    hold(s, position, 0, s->window_steps);
    point_at(s, out->input, 0);
    return 0;
}

static void source_close(void *user)
{
    struct random_source *s = user;
    for (int i = 0; s->buffer && i < s->model->n_input; i++)
        free(s->buffer[i]);
    free(s->buffer);
    free(s);
}

int rnn__random_source(rnn_source *out, const struct rnn__source_setup *setup,
                       const struct rnn__container *container, struct rnn__fault *f)
{
    (void)container;
    struct random_source *s = calloc(1, sizeof *s);
    if (!s)
        return rnn__fault_memory(f);
    s->setup = *setup;
    *out = (rnn_source){source_open, source_describe, source_read, source_close, s};
    return 0;
}

int rnn__random_measure(const struct rnn__source_setup *setup,
                        const struct rnn__container *container,
                        const struct rnn_input *input, int n_input, struct rnn__extent *out,
                        struct rnn__fault *f)
{
    (void)setup, (void)container, (void)input, (void)n_input, (void)f;
    *out = (struct rnn__extent){0};
    return 0;
}
