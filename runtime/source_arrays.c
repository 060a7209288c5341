/*
 * source_arrays.c — batches from arrays in files: sequences, or one long series in
 * parallel streams.
 *
 *     data:
 *       train: {x: a.npy, y: b.npy, batch: 32, shuffle: true}     sequences
 *       train: {csv: f.csv, columns: {x: a, y: b}, streams: 4}    a series
 *
 * Whatever holds the arrays (container.h), a batch is a rectangle of a grid of rows and
 * steps (array_grid.c). Sequences are rows, a batch is some of them with all their steps;
 * of a series each stream is a row, a batch is all rows and `length` of their steps.
 * Targets (inputs that only the loss reads) stand `ahead` steps later.
 *
 * Everything is read and checked once when opened; while training, windows of batches are
 * in memory (window.c).
 */
#include "source_arrays.h"

#include "permute.h"
#include "settings.h"
#include "window.h"

#include <stdlib.h>
#include <string.h>

/* ---- settings ---- */

static const char *const option_list[] = {"batch",     "time_axis", "shuffle",
                                          "drop_last", "part",      "streams",
                                          "length",    "ahead",     "nan"};
enum { N_OPTION = sizeof option_list / sizeof *option_list };

static int n_word(const char *const *list)
{
    int n = 0;
    while (list[n])
        n++;
    return n;
}

/* The options, the container's own, and where files are named by input the inputs. */
static int check_keys(const struct rnn__arrays *s, struct rnn__fault *f)
{
    const char *const *own = s->container->options;
    int n_own = n_word(own), n_name = own[0] ? 0 : s->n_input;
    const char **keys = calloc((size_t)(n_name + n_own + N_OPTION) + 1, sizeof *keys);
    if (!keys)
        return rnn__fault_memory(f);
    for (int i = 0; i < n_name; i++)
        keys[i] = s->input[i].name;
    memcpy(keys + n_name, own, (size_t)n_own * sizeof *keys);
    memcpy(keys + n_name + n_own, option_list, sizeof option_list);
    int code = rnn__check_keys(s->setup.json, s->setup.where, keys, f);
    free(keys);
    return code;
}

static int read_settings(struct rnn__arrays *s, struct rnn__fault *f)
{
    static const char *const words[] = {"error", "allow", "mask"};
    const json_t *json = s->setup.json;
    const char *where = s->setup.where;
    int nan_word = 0;
    s->time_axis = 1;
    int code = check_keys(s, f);
    if (!code)
        code = rnn__get_integer(json, where, "time_axis", 0, &s->time_axis, f);
    if (!code && s->time_axis > 1)
        code = rnn__fault(f, RNN__ESPEC, "%s.time_axis: %lld is not 0 or 1", where,
                          (long long)s->time_axis);
    if (!code)
        code = rnn__get_integer(json, where, "streams", 1, &s->streams, f);
    if (!code)
        code = rnn__get_integer(json, where, "length", 1, &s->length, f);
    if (!code)
        code = rnn__get_integer(json, where, "ahead", 0, &s->ahead, f);
    if (!code)
        code = rnn__get_flag(json, where, "shuffle", &s->shuffle, f);
    if (!code)
        code = rnn__get_flag(json, where, "drop_last", &s->grid.drop_last, f);
    if (!code)
        code = rnn__get_word(json, where, "nan", words, 3, &nan_word, f);
    s->any_real = nan_word > 0;
    s->masks = nan_word == 2;
    return code ? code : rnn__source_part(&s->setup, &s->begin, &s->end, f);
}

/* ---- reading ---- */

static int64_t row_at(const struct rnn__arrays *s, int64_t pass, int64_t row)
{
    uint64_t key = rnn__mix(s->setup.seed ^ rnn__mix((uint64_t)pass));
    return s->shuffle ? rnn__permute(key, s->grid.rows, row) : row;
}

/* One of the input's rows; `row` and `step` of the grid. */
static int read_row(const struct rnn__arrays *s, const struct rnn__field *field,
                    int64_t row, int64_t step, int64_t steps, void *out,
                    struct rnn__fault *f)
{
    int64_t place = s->first + row * s->row_stride + (step + field->ahead) * s->step_stride;
    int64_t stride = s->step_stride;
    if (field->input->per_sequence)
        place = s->first / s->row_stride + row, stride = 1, steps = 1;
    if (field->input->per_sequence && s->series)
        place = row;
    return rnn__field_read(
        s, field,
        &(struct rnn__run){.first = place * field->record + field->column,
                           .take = field->input->size,
                           .stride = stride * field->record,
                           .n = steps},
        out, f);
}

/* All rows of each step, which lie beside each other in the file as in memory. */
static int read_steps(const struct rnn__arrays *s, const struct rnn__field *field,
                      const struct rnn__window_part *part, void *out, struct rnn__fault *f)
{
    int64_t size = field->input->size;
    int64_t step = part->batch.step + part->from.step0 + field->ahead;
    return rnn__field_read(
        s, field,
        &(struct rnn__run){.first =
                               (s->first + part->batch.row + step * s->step_stride) * size,
                           .take = part->batch.rows * size,
                           .stride = s->step_stride * size,
                           .n = part->steps},
        out, f);
}

static int read_field(const struct rnn__arrays *s, int i,
                      const struct rnn__window_part *part, struct rnn__fault *f)
{
    const struct rnn__field *field = &s->field[i];
    const struct rnn_input *input = field->input;
    int64_t row_size = input->per_sequence ? input->size : part->room * input->size;
    int64_t row_bytes = row_size * (int64_t)rnn_input_bytes(input, s->dtype);
    if (s->by_step[i])
        return read_steps(s, field, part, part->out[i], f);
    int code = 0;
    for (int64_t b = 0; b < part->batch.rows && !code; b++)
        code = read_row(s, field, row_at(s, part->from.pass, part->batch.row + b),
                        part->batch.step + part->from.step0, part->steps,
                        part->out[i] + b * row_bytes, f);
    return code;
}

static int fill(void *user, const struct rnn__window_part *part, struct rnn__fault *f)
{
    const struct rnn__arrays *s = user;
    int code = 0;
    for (int i = 0; i < s->n_input && !code; i++) {
        code = read_field(s, i, part, f);
        if (!code)
            code = rnn__ndarray_unchanged(&s->field[i].array, f);
    }
    return code;
}

/* ---- opening ---- */

static int open_fields(struct rnn__arrays *s, struct rnn__fault *f)
{
    int code = s->container->table ? rnn__grid_share_columns(s, f) : 0;
    for (int i = 0; i < s->n_input && !code; i++)
        code = rnn__field_scan(s, &s->field[i], f);
    return code;
}

static int open_windows(struct rnn__arrays *s, const struct rnn_model *model,
                        struct rnn__fault *f)
{
    int code = rnn__grid_size_batches(s, f);
    if (code)
        return code;
    s->by_step = calloc((size_t)s->n_input + 1, sizeof *s->by_step);
    s->start = malloc((size_t)s->grid.batch_rows);
    if (!s->by_step || !s->start)
        return rnn__fault_memory(f);
    memset(s->start, 1, (size_t)s->grid.batch_rows);
    for (int i = 0; i < s->n_input; i++)
        s->by_step[i] = rnn__time_first(s, &s->input[i]) && !s->shuffle;
    return rnn__windows_open(&s->windows,
                             &(struct rnn__windowed){.where = s->setup.where,
                                                     .model = model,
                                                     .grid = s->grid,
                                                     .passes_differ = s->shuffle,
                                                     .by_step = s->by_step,
                                                     .fill = fill,
                                                     .user = s},
                             f);
}

/* A step whose numbers are missing is passed over by the model's code. */
static int check_masks(const struct rnn__arrays *s, struct rnn__fault *f)
{
    bool masked = true;
    for (int i = 0; i < s->n_input; i++)
        masked = masked && (s->input[i].kind != RNN_REAL || s->input[i].masked);
    return masked || !s->masks
               ? 0
               : rnn__fault(f, RNN__ESPEC,
                            "%s.nan: mask is compiled into a program, and this one has it "
                            "not; build another: rnnc build SPEC --set %s.nan=mask -o PATH",
                            s->setup.where, s->setup.where);
}

static int source_open(void *user, const struct rnn_model *model, char *sentence,
                       size_t capacity)
{
    struct rnn__arrays *s = user;
    struct rnn__fault f = {0};
    s->input = model->input;
    s->n_input = model->n_input;
    s->dtype = model->dtype;
    int code = read_settings(s, &f);
    if (!code)
        code = check_masks(s, &f);
    if (!code)
        code = rnn__source_rows(&s->setup, "batch", model, &s->batch, &f);
    if (!code && s->streams)
        code = rnn__source_rows(&s->setup, "streams", model, &s->streams, &f);
    if (!code)
        code = rnn__grid_find(s, false, &f);
    if (!code)
        code = open_fields(s, &f);
    if (!code)
        code = open_windows(s, model, &f);
    return code ? rnn__source_failed(&f, sentence, capacity) : 0;
}

static int source_describe(void *user, rnn_source_info *out, char *sentence,
                           size_t capacity)
{
    const struct rnn__arrays *s = user;
    (void)sentence, (void)capacity;
    *out = (rnn_source_info){.batches = rnn__grid_batches(&s->grid),
                             .rows = s->grid.batch_rows,
                             .steps = s->grid.batch_steps,
                             .streams = s->series,
                             .continues = s->series && s->length > 0};
    return 0;
}

static int source_read(void *user, int64_t pass, int64_t position, rnn_batch *out,
                       char *sentence, size_t capacity)
{
    struct rnn__arrays *s = user;
    out->start = s->series && position == 0 ? s->start : NULL;
    return rnn__windows_read(s->windows, pass, position, out, sentence, capacity);
}

static void source_close(void *user)
{
    struct rnn__arrays *s = user;
    rnn__windows_close(s->windows);
    for (int i = 0; s->field && i < s->n_input; i++)
        rnn__ndarray_close(&s->field[i].array);
    free(s->field);
    free(s->by_step);
    free(s->start);
    free(s);
}

static struct rnn__arrays *make(const struct rnn__source_setup *setup,
                                const struct rnn__container *container)
{
    struct rnn__arrays *s = calloc(1, sizeof *s);
    if (s) {
        s->setup = *setup;
        s->container = container;
    }
    return s;
}

int rnn__arrays_source(rnn_source *out, const struct rnn__source_setup *setup,
                       const struct rnn__container *container, struct rnn__fault *f)
{
    struct rnn__arrays *s = make(setup, container);
    if (!s)
        return rnn__fault_memory(f);
    *out = (rnn_source){source_open, source_describe, source_read, source_close, s};
    return 0;
}

int rnn__arrays_measure(const struct rnn__source_setup *setup,
                        const struct rnn__container *container,
                        const struct rnn_input *input, int n_input, struct rnn__extent *out,
                        struct rnn__fault *f)
{
    struct rnn__arrays *s = make(setup, container);
    if (!s)
        return rnn__fault_memory(f);
    s->input = input;
    s->n_input = n_input;
    int code = read_settings(s, f);
    if (!code)
        code = rnn__grid_find(s, true, f);
    if (!code)
        *out = (struct rnn__extent){.rows = s->series ? s->grid.rows : 0,
                                    .steps = s->grid.steps,
                                    .streams = s->series};
    source_close(s);
    return code;
}
