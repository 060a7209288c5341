/*
 * source.c — choosing a data source, and checking values.
 */
#include "source.h"

#include "container.h"
#include "settings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- which source ---- */

/* The first whose key the settings have; the last has none and takes the rest. */
static const struct kind {
    const char *key;
    int (*make)(rnn_source *out, const struct rnn__source_setup *setup,
                const struct rnn__container *container, struct rnn__fault *f);
    int (*measure)(const struct rnn__source_setup *setup,
                   const struct rnn__container *container, const struct rnn_input *input,
                   int n_input, struct rnn__extent *out, struct rnn__fault *f);
    const struct rnn__container *container;
} kind_list[] = {
    {"text", rnn__text_source, rnn__text_measure, NULL},
    {"random", rnn__random_source, rnn__random_measure, NULL},
    {"csv", rnn__arrays_source, rnn__arrays_measure, &rnn__csv},
    {"npz", rnn__arrays_source, rnn__arrays_measure, &rnn__npz},
    {"safetensors", rnn__arrays_source, rnn__arrays_measure, &rnn__tensors},
    {"raw", rnn__arrays_source, rnn__arrays_measure, &rnn__raw},
    {NULL, rnn__arrays_source, rnn__arrays_measure, &rnn__files},
};

static const struct kind *kind_of(const json_t *json)
{
    int i = 0;
    while (kind_list[i].key && !json_object_get(json, kind_list[i].key))
        i++;
    return &kind_list[i];
}

int rnn__source_make(rnn_source *out, const struct rnn__source_setup *setup,
                     struct rnn__fault *f)
{
    if (!json_is_object(setup->json) || json_object_size(setup->json) == 0)
        return rnn__fault(f, RNN__ESPEC, "%s: is no data source", setup->where);
    const struct kind *kind = kind_of(setup->json);
    return kind->make(out, setup, kind->container, f);
}

int rnn__source_measure(const struct rnn__source_setup *setup,
                        const struct rnn_input *input, int n_input, struct rnn__extent *out,
                        struct rnn__fault *f)
{
    const struct kind *kind = kind_of(setup->json);
    *out = (struct rnn__extent){0};
    return kind->measure(setup, kind->container, input, n_input, out, f);
}

bool rnn__source_is_text(const json_t *json)
{
    return json_object_get(json, "text") != NULL;
}

/* ---- shared by the sources ---- */

int rnn__source_uses(const struct rnn__source_setup *setup, const char *path,
                     struct rnn__fault *f)
{
    return setup->used ? rnn__used_add(setup->used, setup->where, path, f) : 0;
}

int rnn__source_failed(const struct rnn__fault *f, char *sentence, size_t capacity)
{
    snprintf(sentence, capacity, "%s", f->sentence);
    return f->code;
}

int rnn__source_rows(const struct rnn__source_setup *setup, const char *key,
                     const struct rnn_model *model, int64_t *rows, struct rnn__fault *f)
{
    *rows = model->rows_max;
    int code = rnn__get_integer(setup->json, setup->where, key, 1, rows, f);
    if (!code && *rows > model->rows_max)
        code = rnn__fault(f, RNN__ESPEC,
                          "%s.%s: %lld rows, but the model was compiled for %lld at most; "
                          "build it again with the larger number",
                          setup->where, key, (long long)*rows, (long long)model->rows_max);
    return code;
}

int rnn__source_part(const struct rnn__source_setup *setup, double *begin, double *end,
                     struct rnn__fault *f)
{
    const json_t *part = json_object_get(setup->json, "part");
    *begin = 0, *end = 1;
    if (!part)
        return 0;
    if (json_array_size(part) == 2 && rnn__is_number(json_array_get(part, 0), begin) &&
        rnn__is_number(json_array_get(part, 1), end) && *begin >= 0 && *begin < *end &&
        *end <= 1)
        return 0;
    return rnn__fault(f, RNN__ESPEC, "%s.part: is not [from, to] with 0 <= from < to <= 1",
                      setup->where);
}

const char *rnn__kind_word(enum rnn_kind kind)
{
    static const char *const words[] = {[RNN_REAL] = "real",
                                        [RNN_CLASS] = "class",
                                        [RNN_FLAG] = "flag",
                                        [RNN_INTEGER] = "integer"};
    return words[kind];
}

bool rnn__is_whole(const struct rnn_input *input)
{
    return input->kind == RNN_CLASS || input->kind == RNN_INTEGER;
}

static bool good_value(const struct rnn_input *input, enum rnn_dtype dtype,
                       const void *value)
{
    double real = rnn__is_whole(input) ? 0 : rnn_real_at(value, dtype, 0);
    switch (input->kind) {
    case RNN_REAL: return isfinite(real);
    case RNN_FLAG: return real == 0 || real == 1;
    case RNN_INTEGER:
        return *(const int32_t *)value >= 0 && *(const int32_t *)value < INT32_MAX;
    case RNN_CLASS: {
        int32_t class = *(const int32_t *)value;
        return (class >= 0 && class < input->classes) ||
               (input->has_ignore && class == input->ignore);
    }
    }
    return false;
}

int64_t rnn__first_bad_value(const struct rnn_input *input, enum rnn_dtype dtype,
                             const void *values, int64_t n)
{
    const char *at = values;
    int64_t i = 0, bytes = (int64_t)rnn_input_bytes(input, dtype);
    while (i < n && good_value(input, dtype, at + bytes * i))
        i++;
    return i;
}

int rnn__describe_bad_value(const struct rnn_input *input, const char *value,
                            struct rnn__fault *f)
{
    switch (input->kind) {
    case RNN_REAL:
        return rnn__fault_add(f,
                              "is %s; reals must be finite ('nan: allow' lets a file's in, "
                              "'nan: mask' passes over them, in predict too)",
                              value);
    case RNN_FLAG: return rnn__fault_add(f, "is %s; flags are 0 or 1", value);
    case RNN_INTEGER:
        return rnn__fault_add(f, "is %s; integers must be 0 to 2147483646", value);
    case RNN_CLASS:
        rnn__fault_add(f, "is %s; classes are 0 to %lld", value,
                       (long long)input->classes - 1);
        return input->has_ignore ? rnn__fault_add(f, ", or %lld", (long long)input->ignore)
                                 : f->code;
    }
    return f->code;
}

uint64_t rnn__mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}
