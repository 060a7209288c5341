/*
 * source_random.c — random inputs of the right kinds, for trying and timing.
 *
 *     data:
 *       train: {random: true, batch: 32, steps: 128, sequences: 320}
 *
 * Reals are standard normal, classes and flags uniform, integers from 1 to `steps`. A
 * value is a function of seed, sequence, input and place: each epoch has the same data.
 */
#include "settings.h"
#include "source.h"

#include <math.h>
#include <stdlib.h>

struct random_source {
    struct rnn__source_setup setup;
    const struct rnn_model *model;
    int64_t batch, steps, sequences;
    void **buffer;  /* [n_input], each [batch][steps][size], reals or int32 */
    int64_t filled; /* the position that they hold, + 1 */
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

static int64_t sequence_size(const struct random_source *s, const struct rnn_input *input)
{
    return input->per_sequence ? input->size : s->steps * input->size;
}

static int make_buffers(struct random_source *s, struct rnn__fault *f)
{
    s->buffer = calloc((size_t)s->model->n_input + 1, sizeof *s->buffer);
    if (!s->buffer)
        return rnn__fault_memory(f);
    for (int i = 0; i < s->model->n_input; i++) {
        const struct rnn_input *input = &s->model->input[i];
        int64_t size = input->per_sequence ? 1 : s->steps;
        if (__builtin_mul_overflow(size, input->size, &size) ||
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

static int source_read(void *user, int64_t pass, int64_t position, rnn_batch *out,
                       char *sentence, size_t capacity)
{
    struct random_source *s = user;
    (void)pass, (void)sentence, (void)capacity;
    int64_t first = position * s->batch, left = s->sequences - first;
    out->steps = s->steps;
    out->rows = left < s->batch ? left : s->batch;
    out->row0 = first;
    for (int i = 0; i < s->model->n_input; i++) {
        const struct rnn_input *input = &s->model->input[i];
        int64_t size = sequence_size(s, input);
        uint64_t key = rnn__mix(s->setup.seed ^ rnn__mix((uint64_t)i));
        for (int64_t j = 0; j < out->rows * size && s->filled != position + 1; j++)
            draw(s, input, rnn__mix(key + (uint64_t)(first * size + j)), s->buffer[i], j);
        out->input[i] = (rnn_array){.data = s->buffer[i],
                                    .steps = s->steps,
                                    .step_stride = input->size,
                                    .row_stride = size};
    }
    s->filled = position + 1;
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
