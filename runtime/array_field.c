/*
 * array_field.c — an array against the input that it feeds: its dtype and shape, and its
 * values, which are read and checked; what is bad is told with file, row and step.
 */
#include "source_arrays.h"

#include <stdlib.h>
#include <string.h>

enum { SCAN_ELEMENTS = 16384 };

bool rnn__time_first(const struct rnn__arrays *s, const struct rnn_input *input)
{
    return !s->series && s->time_axis == 0 && !input->per_sequence;
}

int rnn__lead_of(const struct rnn__arrays *s, const struct rnn_input *input)
{
    return s->series || input->per_sequence ? 1 : 2;
}

/* ---- an array against its input ---- */

/* Reals take floats, samples of sound and the integers that a real holds exactly; all
   columns of a table are of one dtype, so there each number is looked at. */
static int check_dtype(const struct rnn__arrays *s, const struct rnn__field *field,
                       struct rnn__fault *f)
{
    const struct rnn__ndarray *a = &field->array;
    enum rnn_kind kind = field->input->kind;
    bool is_float = a->kind == 'f' || a->kind == 'h';
    bool is_whole = (a->kind == 'i' || a->kind == 'u') && a->scale == 0;
    int digits = s->dtype == RNN_F64 ? 4 : 2; /* bytes of a whole number that is exact */
    bool exact = is_float || a->scale != 0 || a->width <= digits;
    bool fits = s->container->table || (kind == RNN_REAL   ? exact && a->kind != 'b'
                                        : kind == RNN_FLAG ? a->scale == 0
                                                           : is_whole);
    if (fits)
        return 0;
    return rnn__fault(f, RNN_EDATA, "%s: holds %s, but input '%s' is %s: %s", a->name,
                      rnn__ndarray_dtype(a), field->input->name, rnn__kind_word(kind),
                      kind != RNN_REAL      ? "save a.astype('int32')"
                      : s->dtype == RNN_F64 ? "save a.astype('float64')"
                                            : "save a.astype('float32')");
}

static void add_shape(struct rnn__fault *f, const int64_t *dim, int rank)
{
    for (int i = 0; i < rank; i++)
        rnn__fault_add(f, "%s%lld", i ? ", " : "", (long long)dim[i]);
}

int rnn__field_bad_shape(const struct rnn__arrays *s, const struct rnn__field *field,
                         struct rnn__fault *f)
{
    const struct rnn_input *input = field->input;
    rnn__fault(f, RNN_EDATA, "%s: has shape [", field->array.name);
    add_shape(f, field->array.dim, field->array.rank);
    rnn__fault_add(f, "], but input '%s' needs [%s", input->name,
                   rnn__lead_of(s, input) == 1 ? (input->per_sequence ? "N" : "T")
                   : s->time_axis              ? "N, T"
                                               : "T, N");
    if (input->rank)
        rnn__fault_add(f, ", ");
    add_shape(f, input->dim, input->rank);
    rnn__fault_add(f, "]");
    if (s->series && field->array.rank == rnn__lead_of(s, input) + 1 + input->rank)
        rnn__fault_add(f, "; without 'streams' it would be read as sequences");
    return f->code;
}

/* A file of one number a step may have a last dimension of 1 too many. */
static bool features_fit(const struct rnn__ndarray *a, int lead,
                         const struct rnn_input *input)
{
    int rank = a->rank - lead;
    if (input->size == 1 && rank <= 1)
        return rank == 0 || (rank == 1 && a->dim[lead] == 1);
    if (rank != input->rank)
        return false;
    return memcmp(a->dim + lead, input->dim, (size_t)rank * sizeof *input->dim) == 0;
}

int rnn__field_check(const struct rnn__arrays *s, struct rnn__field *field,
                     struct rnn__fault *f)
{
    int code = check_dtype(s, field, f);
    if (code || s->container->table)
        return code;
    int lead = rnn__lead_of(s, field->input);
    field->record = field->input->size;
    return field->array.rank >= lead && features_fit(&field->array, lead, field->input)
               ? 0
               : rnn__field_bad_shape(s, field, f);
}

/* ---- values ---- */

/* "FILE: row 3, step 1: ", of a value that is bad; `element` counts from the file's
   beginning. */
static void name_place(const struct rnn__arrays *s, const struct rnn__field *field,
                       int64_t element, struct rnn__fault *f)
{
    const struct rnn_input *input = field->input;
    int64_t at = element / field->record, row = at, step = at;
    if (rnn__time_first(s, input))
        row = at % s->lead[0], step = at / s->lead[0];
    else if (rnn__lead_of(s, input) == 2)
        row = at / s->lead[1], step = at % s->lead[1];
    rnn__fault(f, RNN_EDATA, "%s: ", field->array.name);
    if (!s->series || input->per_sequence)
        rnn__fault_add(f, "row %lld%s", (long long)row, input->per_sequence ? "" : ", ");
    if (!input->per_sequence)
        rnn__fault_add(f, "step %lld", (long long)step);
    if (field->record > 1)
        rnn__fault_add(f, ", feature %lld", (long long)(element % field->record));
    rnn__fault_add(f, ": ");
}

static int bad_value(const struct rnn__arrays *s, const struct rnn__field *field,
                     int64_t element, struct rnn__fault *f)
{
    char text[RNN__ELEMENT_BYTES];
    name_place(s, field, element, f);
    return rnn__describe_bad_value(field->input,
                                   rnn__ndarray_text(&field->array, element, text), f);
}

/* Whether its values count steps of a sequence, which then has as many in the file: with
   targets ahead more than are gone through. */
static bool counts_steps(const struct rnn__arrays *s, const struct rnn__field *field)
{
    return s->setup.lengths && field->input->kind == RNN_INTEGER &&
           strcmp(s->setup.lengths, field->input->name) == 0;
}

/* Checks lengths and makes them those that the model counts: the targets of a row's last
   `ahead` steps lie behind its end. */
static int take_lengths(const struct rnn__arrays *s, const struct rnn__field *field,
                        const struct rnn__run *run, int32_t *values, struct rnn__fault *f)
{
    int64_t n = run->n * run->take, steps = s->grid.steps + s->ahead, i = 0;
    for (; i < n && values[i] <= steps; i++)
        values[i] = values[i] > s->ahead ? (int32_t)(values[i] - s->ahead) : 0;
    if (i == n)
        return 0;
    name_place(s, field, run->first + i / run->take * run->stride + i % run->take, f);
    return rnn__fault_add(f, "%d steps count, of a sequence of %lld", (int)values[i],
                          (long long)steps);
}

static bool needs_check(const struct rnn__arrays *s, const struct rnn__field *field)
{
    return field->input->kind != RNN_REAL || !s->any_real;
}

int rnn__field_read(const struct rnn__arrays *s, const struct rnn__field *field,
                    const struct rnn__run *run, void *out, struct rnn__fault *f)
{
    int code = rnn__is_whole(field->input)
                   ? rnn__ndarray_read_int(&field->array, run, out, f)
                   : rnn__ndarray_read_real(&field->array, run, s->dtype, out, f);
    if (code || !needs_check(s, field))
        return code;
    int64_t n = run->n * run->take;
    int64_t bad = rnn__first_bad_value(field->input, s->dtype, out, n);
    if (bad == n)
        return counts_steps(s, field) ? take_lengths(s, field, run, out, f) : 0;
    return bad_value(s, field, run->first + bad / run->take * run->stride + bad % run->take,
                     f);
}

int rnn__field_scan(const struct rnn__arrays *s, const struct rnn__field *field,
                    struct rnn__fault *f)
{
    int64_t size = field->input->size, n = field->array.size / field->record;
    int64_t most = size < SCAN_ELEMENTS ? SCAN_ELEMENTS / size : 1;
    if (!needs_check(s, field))
        return 0;
    void *block = calloc((size_t)(most * size), rnn_input_bytes(field->input, s->dtype));
    int code = block ? 0 : rnn__fault_memory(f);
    for (int64_t at = 0; at < n && !code; at += most) {
        struct rnn__run run = {.first = at * field->record + field->column,
                               .take = size,
                               .stride = field->record,
                               .n = n - at < most ? n - at : most};
        code = rnn__field_read(s, field, &run, block, f);
    }
    free(block);
    return code;
}
