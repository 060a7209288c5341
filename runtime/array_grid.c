/*
 * array_grid.c — a grid of rows and steps over arrays in files: sequences are rows, of a
 * series each stream is one; a batch is a rectangle of it.
 *
 *     sequences   [N, T, …]   row r, step t  at  r T + t;  time_axis 0: t N + r
 *     series      [T, …]      stream r, step t  at  first + r steps + t
 */
#include "source_arrays.h"
#include "window.h"

#include <math.h>
#include <stdlib.h>

/* ---- files that agree ---- */

/* Options of sequences and of series do not mix. */
static int check_mode(const struct rnn__arrays *s, struct rnn__fault *f)
{
    static const char *const of_sequences[] = {"batch", "shuffle", "time_axis"};
    const json_t *json = s->setup.json;
    for (int i = 0; i < 3 && s->series; i++)
        if (json_object_get(json, of_sequences[i]))
            return rnn__fault(f, RNN__ESPEC,
                              "%s.%s: is for sequences, but this is one long series; "
                              "'streams' and 'length' cut it",
                              s->setup.where, of_sequences[i]);
    if (!s->series && s->length)
        return rnn__fault(f, RNN__ESPEC,
                          "%s.length: cuts streams of one long series; give 'streams' too",
                          s->setup.where);
    return 0;
}

int rnn__grid_share_columns(struct rnn__arrays *s, struct rnn__fault *f)
{
    const struct rnn__ndarray *a = &s->field[0].array;
    int64_t there = 1, column = 0;
    for (int i = 2 - s->series; i < a->rank; i++)
        there *= a->dim[i];
    for (int i = 0; i < s->n_input; i++) {
        if (s->input[i].per_sequence)
            return rnn__fault(f, RNN_EDATA,
                              "%s: holds numbers of steps, but input '%s' is given once a "
                              "sequence",
                              a->name, s->input[i].name);
        s->field[i].record = there;
        s->field[i].column = column;
        column += s->input[i].size;
    }
    if (column == there)
        return 0;
    return rnn__fault(f, RNN_EDATA, "%s: has %lld numbers a step, the inputs need %lld",
                      a->name, (long long)there, (long long)column);
}

static int check_agreement(const struct rnn__field *field, const char *what, int64_t got,
                           int64_t *expected, struct rnn__fault *f)
{
    if (*expected < 0)
        *expected = got;
    if (got == *expected)
        return 0;
    return rnn__fault(f, RNN_EDATA, "%s: has %lld %s, the files before it have %lld",
                      field->array.name, (long long)got, what, (long long)*expected);
}

/* The dimensions before the inputs' own: rows and steps, or those of a series. */
static int check_lead(struct rnn__arrays *s, const struct rnn__field *field,
                      struct rnn__fault *f)
{
    const struct rnn__ndarray *a = &field->array;
    int lead = rnn__lead_of(s, field->input), rows_at = rnn__time_first(s, field->input);
    if (a->rank < lead)
        return rnn__field_bad_shape(s, field, f);
    if (s->series && !field->input->per_sequence)
        return check_agreement(field, "steps", a->dim[0], &s->lead[1], f);
    int code = check_agreement(field, s->series ? "values" : "sequences", a->dim[rows_at],
                               &s->lead[0], f);
    if (!code && lead == 2)
        code = check_agreement(field, "steps", a->dim[1 - rows_at], &s->lead[1], f);
    return code;
}

/* ---- the grid ---- */

/* used: the steps that the settings choose. */
static int too_few(const struct rnn__arrays *s, int64_t used, struct rnn__fault *f)
{
    rnn__fault(f, RNN_EDATA, "%s: %lld steps are too few for %lld streams (%s)",
               s->field[0].array.name, (long long)used, (long long)s->grid.rows,
               s->setup.where);
    return s->ahead
               ? rnn__fault_add(f, ", %lld of them ahead of the rest", (long long)s->ahead)
               : f->code;
}

/* Of `n` things the part that the settings choose. */
static int64_t part_of(const struct rnn__arrays *s, int64_t n, int64_t *first)
{
    *first = (int64_t)floor(s->begin * (double)n);
    return (int64_t)floor(s->end * (double)n) - *first;
}

static int lay_series(struct rnn__arrays *s, struct rnn__fault *f)
{
    s->grid.rows = s->streams ? s->streams : 1;
    int64_t used = part_of(s, s->lead[1], &s->first);
    if (s->lead[0] >= 0 && s->lead[0] != s->grid.rows)
        return rnn__fault(f, RNN_EDATA,
                          "%s: %lld values are given once a sequence, but there are %lld "
                          "streams",
                          s->setup.where, (long long)s->lead[0], (long long)s->grid.rows);
    s->grid.steps = used > s->ahead ? (used - s->ahead) / s->grid.rows : 0;
    s->row_stride = s->grid.steps;
    s->step_stride = 1;
    return s->grid.steps < 1 ? too_few(s, used, f) : 0;
}

static int no_steps(const struct rnn__arrays *s, struct rnn__fault *f)
{
    rnn__fault(f, RNN_EDATA, "%s: its sequences have %lld steps", s->field[0].array.name,
               (long long)s->lead[1]);
    return s->ahead ? rnn__fault_add(f, ", too few for %s.ahead %lld", s->setup.where,
                                     (long long)s->ahead)
                    : f->code;
}

static int no_sequences(const struct rnn__arrays *s, struct rnn__fault *f)
{
    rnn__fault(f, RNN_EDATA, "%s: holds %lld sequences", s->field[0].array.name,
               (long long)s->lead[0]);
    return s->lead[0] ? rnn__fault_add(f, ", of which %s.part takes none", s->setup.where)
                      : f->code;
}

static int lay_sequences(struct rnn__arrays *s, struct rnn__fault *f)
{
    int64_t first;
    s->grid.rows = part_of(s, s->lead[0], &first);
    s->grid.steps = s->lead[1] - s->ahead;
    if (s->grid.steps < 1)
        return no_steps(s, f);
    if (s->grid.rows < 1)
        return no_sequences(s, f);
    s->row_stride = s->time_axis ? s->lead[1] : 1;
    s->step_stride = s->time_axis ? 1 : s->lead[0];
    s->first = first * s->row_stride;
    return 0;
}

int rnn__grid_find(struct rnn__arrays *s, bool measuring, struct rnn__fault *f)
{
    const struct rnn__opening opening = {.setup = &s->setup,
                                         .dtype = s->dtype,
                                         .input = s->input,
                                         .n_input = s->n_input,
                                         .measuring = measuring,
                                         .any_real = s->any_real};
    struct rnn__ndarray *array = calloc((size_t)s->n_input + 1, sizeof *array);
    s->field = calloc((size_t)s->n_input + 1, sizeof *s->field);
    if (!array || !s->field) {
        free(array);
        return rnn__fault_memory(f);
    }
    for (int i = 0; i < s->n_input; i++)
        array[i].fd = -1;
    int code = s->container->open(&opening, array, f);
    s->series = s->container->series || s->streams > 0;
    for (int i = 0; i < s->n_input; i++) {
        s->field[i] = (struct rnn__field){.input = &s->input[i], .array = array[i]};
        s->field[i].ahead = s->input[i].for_loss_only ? s->ahead : 0;
        s->series = s->series || array[i].series;
    }
    free(array);
    if (!code)
        code = check_mode(s, f);
    s->lead[0] = s->lead[1] = -1;
    for (int i = 0; i < s->n_input && !code; i++) {
        code = measuring ? 0 : rnn__field_check(s, &s->field[i], f);
        if (!code)
            code = check_lead(s, &s->field[i], f);
    }
    if (!code && s->lead[1] < 0)
        code = rnn__fault(f, RNN_EDATA, "%s: no input has steps", s->setup.where);
    if (!code)
        code = s->series ? lay_series(s, f) : lay_sequences(s, f);
    return code;
}

/* ---- batches ---- */

int rnn__grid_size_batches(struct rnn__arrays *s, struct rnn__fault *f)
{
    s->grid.batch_rows = s->series ? s->grid.rows : s->batch;
    if (!s->series && s->batch > s->grid.rows && !s->grid.drop_last)
        s->grid.batch_rows = s->grid.rows;
    s->grid.batch_steps =
        s->series && s->length && s->length < s->grid.steps ? s->length : s->grid.steps;
    if (rnn__grid_batches(&s->grid) > 0)
        return 0;
    return rnn__fault(f, RNN_EDATA,
                      "%s: holds %lld sequences, no batch of %lld, and %s.drop_last leaves "
                      "smaller ones out",
                      s->field[0].array.name, (long long)s->grid.rows,
                      (long long)s->grid.batch_rows, s->setup.where);
}
