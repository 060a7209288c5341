/*
 * source_random.c — random inputs of the right kinds, for trying and timing.
 *
 *     data:
 *       train: {random: true, batch: 32, steps: 128, sequences: 320}
 *
 * Reals are standard normal, classes and flags uniform, integers from 1 to `steps`. A
 * value is a function of seed, sequence, input and place: each epoch has the same data.
 *
 * A batch of up to PERIOD_BYTES is drawn as a whole. A longer one repeats itself after as
 * many steps: memory does not grow with the sequence, and nothing is drawn while chunks are
 * timed. A chunk is contiguous wherever it begins, for the period's first steps stand once
 * more behind its last.
 */
#include "settings.h"
#include "source.h"

#include <math.h>
#include <stdlib.h>

enum { PERIOD_BYTES = 4 << 20 };

struct random_source {
    struct rnn__source_setup setup;
    const struct rnn_model *model;
    int64_t batch, steps, sequences;
    int64_t period;     /* steps after which a sequence repeats itself; at most all */
    int64_t kept_steps; /* in memory */
    void **buffer;      /* [n_input], each [batch][kept_steps][size], reals or int32;
                           [batch][size] of an input per sequence */
    int64_t filled;     /* the position that they hold, + 1 */
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

static int64_t kept_steps(const struct random_source *s, const struct rnn_input *input)
{
    return input->per_sequence ? 1 : s->kept_steps;
}

static int64_t period_of(const struct random_source *s, const struct rnn_input *input)
{
    return input->per_sequence ? 1 : s->period;
}

static int choose_period(struct random_source *s, struct rnn__fault *f)
{
    int64_t step_bytes = 1, bytes,
            chunk = s->model->steps_max > 0 ? s->model->steps_max : 1;
    for (int i = 0; i < s->model->n_input; i++) {
        const struct rnn_input *input = &s->model->input[i];
        int64_t element = (int64_t)rnn_input_bytes(input, s->model->dtype);
        if (__builtin_mul_overflow(input->size, element * s->batch, &bytes) ||
            __builtin_add_overflow(step_bytes, input->per_sequence ? 0 : bytes,
                                   &step_bytes))
            return rnn__fault_memory(f);
    }
    s->period = PERIOD_BYTES / step_bytes;
    if (s->period < chunk)
        s->period = chunk;
    if (s->period >= s->steps || __builtin_add_overflow(s->period, chunk, &s->kept_steps))
        s->period = s->kept_steps = s->steps;
    return 0;
}

static int make_buffers(struct random_source *s, struct rnn__fault *f)
{
    int code = choose_period(s, f);
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
    int64_t most = s->steps < INT32_MAX ? s->steps : INT32_MAX;
    enum rnn_dtype dtype = s->model->dtype;
    switch (input->kind) {
    case RNN_REAL: rnn_real_set(out, dtype, i, normal(key)); break;
    case RNN_FLAG: rnn_real_set(out, dtype, i, (double)(bits & 1)); break;
    case RNN_CLASS: ((int32_t *)out)[i] = (int32_t)(bits % (uint64_t)input->classes); break;
    case RNN_INTEGER: ((int32_t *)out)[i] = (int32_t)(1 + bits % (uint64_t)most); break;
    }
}

static int64_t rows_of(const struct random_source *s, int64_t position)
{
    int64_t left = s->sequences - position * s->batch;
    return left < s->batch ? left : s->batch;
}

/* What is drawn for an element depends on its place in the sequence, in a long one on that
   within the period, alone. */
static void fill_input(const struct random_source *s, int64_t position, int i)
{
    const struct rnn_input *input = &s->model->input[i];
    uint64_t whole = (uint64_t)(input->per_sequence ? 1 : s->steps) * (uint64_t)input->size;
    int64_t kept = kept_steps(s, input) * input->size;
    int64_t period = period_of(s, input) * input->size;
    uint64_t key = rnn__mix(s->setup.seed ^ rnn__mix((uint64_t)i));
    for (int64_t row = 0; row < rows_of(s, position); row++) {
        uint64_t first = (uint64_t)(position * s->batch + row) * whole;
        for (int64_t j = 0; j < kept; j++)
            draw(s, input, rnn__mix(key + first + (uint64_t)(j % period)), s->buffer[i],
                 row * kept + j);
    }
}

static void point_at(const struct random_source *s, rnn_array *input, int64_t step0)
{
    for (int i = 0; i < s->model->n_input; i++) {
        const struct rnn_input *in = &s->model->input[i];
        int64_t steps = step0 % period_of(s, in);
        input[i].data =
            (const char *)s->buffer[i] +
            (int64_t)rnn_input_bytes(in, s->model->dtype) * steps * input[i].step_stride;
    }
}

static int load(rnn_batch *batch, int64_t step0, int64_t steps)
{
    (void)steps;
    point_at(batch->user, batch->input, step0);
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
    out->load = s->period < s->steps ? load : NULL;
    out->user = s;
    for (int i = 0; i < s->model->n_input; i++) {
        const struct rnn_input *input = &s->model->input[i];
        out->input[i] = (rnn_array){.steps = s->steps,
                                    .step_stride = input->size,
                                    .row_stride = kept_steps(s, input) * input->size};
    }
    for (int i = 0; i < s->model->n_input && s->filled != position + 1; i++)
        fill_input(s, position, i);
    s->filled = position + 1;
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
