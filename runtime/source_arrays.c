/*
 * source_arrays.c — batches from arrays in files: sequences, or one long series in
 * parallel streams.
 *
 *     data:
 *       train: {x: a.npy, y: b.npy, batch: 32, shuffle: true}     sequences
 *       train: {csv: f.csv, columns: {x: a, y: b}, streams: 4}    a series
 *
 * Whatever holds the arrays (container.h), a batch is a rectangle of a grid of rows and
 * steps. Sequences are rows, a batch is some of them with all their steps; of a series each
 * stream is a row, a batch is all rows and `length` of their steps:
 *
 *     sequences   [N, T, …]   row r, step t  at  r T + t;  time_axis 0: t N + r
 *     series      [T, …]      stream r, step t  at  first + r steps + t
 *
 * Targets (inputs that only the loss reads) stand `ahead` steps later.
 *
 * Everything is read and checked once when opened. While training, a window of a batch is
 * in memory, whole batches where they are small, and the next window is read by a thread
 * of its own while the kernel works on this one; so memory does not grow with sequences.
 * What a window holds depends on its place alone: which thread reads it, and when,
 * changes nothing.
 */
#include "container.h"
#include "permute.h"
#include "prefetch.h"
#include "settings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SCAN_ELEMENTS = 16384, WINDOW_BYTES = 1 << 24 };

struct field {
    const struct rnn_input *input;
    struct rnn__ndarray array;
    int64_t record, column; /* elements of a step in the file; where the input's begin */
    int64_t ahead;
    size_t offset; /* of a window's bytes */
};

/* Where a window stands. */
struct place {
    int64_t pass, position, step0;
};

/* Steps step0 … step0 + steps - 1 of a batch, of all inputs, reals or int32. */
struct window {
    bool filled;
    struct place at;
    int64_t steps;
    char *data;
    struct rnn__fault fault; /* code 0: all is well */
};

struct arrays_source {
    struct rnn__source_setup setup;
    const struct rnn__container *container;
    const struct rnn_input *input;
    int n_input;
    enum rnn_dtype dtype;
    struct field *field; /* [n_input] */

    /* settings; 0: not given */
    int64_t batch, time_axis, streams, length, ahead;
    double begin, end;
    bool shuffle, drop_last, any_real;

    /* the grid */
    bool series;
    int64_t lead[2];       /* the files' first dimensions; -1: not yet known */
    int64_t n_row, n_step; /* of the part that is used */
    int64_t first, row_stride, step_stride; /* in steps of the file */
    int64_t batch_rows, batch_steps;        /* of the largest batch */

    int64_t window_steps, steps_max;
    struct window window[2]; /* the one in use, the other */
    struct rnn__prefetch *prefetch;
    struct place next; /* what the thread reads into window[1] */
    uint8_t *start;    /* [batch_rows]: ones */

    struct place now; /* of the last load */
    char *sentence;   /* the caller's, for faults of load */
    size_t capacity;
};

static bool time_first(const struct arrays_source *s, const struct rnn_input *input)
{
    return !s->series && s->time_axis == 0 && !input->per_sequence;
}

/* Dimensions of the file before an input's own. */
static int n_lead(const struct arrays_source *s, const struct rnn_input *input)
{
    return s->series || input->per_sequence ? 1 : 2;
}

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
static int check_keys(const struct arrays_source *s, struct rnn__fault *f)
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

static int read_settings(struct arrays_source *s, struct rnn__fault *f)
{
    static const char *const words[] = {"error", "allow"};
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
        code = rnn__get_flag(json, where, "drop_last", &s->drop_last, f);
    if (!code)
        code = rnn__get_word(json, where, "nan", words, 2, &nan_word, f);
    s->any_real = nan_word == 1;
    return code ? code : rnn__source_part(&s->setup, &s->begin, &s->end, f);
}

/* Options of sequences and of series do not mix. */
static int check_mode(const struct arrays_source *s, struct rnn__fault *f)
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

/* ---- an array against its input ---- */

static const char *const kind_words[] = {[RNN_REAL] = "real",
                                         [RNN_CLASS] = "class",
                                         [RNN_FLAG] = "flag",
                                         [RNN_INTEGER] = "integer"};

/* Reals take floats, samples of sound and the integers that a real holds exactly; all
   columns of a table are of one dtype, so there each number is looked at. */
static int check_dtype(const struct arrays_source *s, const struct field *field,
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
                      rnn__ndarray_dtype(a), field->input->name, kind_words[kind],
                      kind != RNN_REAL      ? "save a.astype('int32')"
                      : s->dtype == RNN_F64 ? "save a.astype('float64')"
                                            : "save a.astype('float32')");
}

static void add_shape(struct rnn__fault *f, const int64_t *dim, int rank)
{
    for (int i = 0; i < rank; i++)
        rnn__fault_add(f, "%s%lld", i ? ", " : "", (long long)dim[i]);
}

static int bad_shape(const struct arrays_source *s, const struct field *field,
                     struct rnn__fault *f)
{
    const struct rnn_input *input = field->input;
    rnn__fault(f, RNN_EDATA, "%s: has shape [", field->array.name);
    add_shape(f, field->array.dim, field->array.rank);
    rnn__fault_add(f, "], but input '%s' needs [%s", input->name,
                   n_lead(s, input) == 1 ? (input->per_sequence ? "N" : "T")
                   : s->time_axis        ? "N, T"
                                         : "T, N");
    if (input->rank)
        rnn__fault_add(f, ", ");
    add_shape(f, input->dim, input->rank);
    rnn__fault_add(f, "]");
    if (s->series && field->array.rank == n_lead(s, input) + 1 + input->rank)
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

static int check_field(const struct arrays_source *s, struct field *field,
                       struct rnn__fault *f)
{
    int code = check_dtype(s, field, f);
    if (code || s->container->table)
        return code;
    int lead = n_lead(s, field->input);
    field->record = field->input->size;
    return field->array.rank >= lead && features_fit(&field->array, lead, field->input)
               ? 0
               : bad_shape(s, field, f);
}

/* The inputs' features lie beside each other in every step. */
static int share_columns(struct arrays_source *s, struct rnn__fault *f)
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

static int check_agreement(const struct field *field, const char *what, int64_t got,
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
static int check_lead(struct arrays_source *s, const struct field *field,
                      struct rnn__fault *f)
{
    const struct rnn__ndarray *a = &field->array;
    int lead = n_lead(s, field->input), rows_at = time_first(s, field->input);
    if (a->rank < lead)
        return bad_shape(s, field, f);
    if (s->series && !field->input->per_sequence)
        return check_agreement(field, "steps", a->dim[0], &s->lead[1], f);
    int code = check_agreement(field, s->series ? "values" : "sequences", a->dim[rows_at],
                               &s->lead[0], f);
    if (!code && lead == 2)
        code = check_agreement(field, "steps", a->dim[1 - rows_at], &s->lead[1], f);
    return code;
}

/* ---- the grid ---- */

static int too_few(const struct arrays_source *s, struct rnn__fault *f)
{
    return rnn__fault(f, RNN_EDATA, "%s: %lld steps are too few for %lld streams (%s)",
                      s->field[0].array.name, (long long)s->lead[1], (long long)s->n_row,
                      s->setup.where);
}

/* Of `n` things the part that the settings choose. */
static int64_t part_of(const struct arrays_source *s, int64_t n, int64_t *first)
{
    *first = (int64_t)floor(s->begin * (double)n);
    return (int64_t)floor(s->end * (double)n) - *first;
}

static int lay_series(struct arrays_source *s, struct rnn__fault *f)
{
    s->n_row = s->streams ? s->streams : 1;
    int64_t used = part_of(s, s->lead[1], &s->first);
    if (s->lead[0] >= 0 && s->lead[0] != s->n_row)
        return rnn__fault(f, RNN_EDATA,
                          "%s: %lld values are given once a sequence, but there are %lld "
                          "streams",
                          s->setup.where, (long long)s->lead[0], (long long)s->n_row);
    s->n_step = used > s->ahead ? (used - s->ahead) / s->n_row : 0;
    s->row_stride = s->n_step;
    s->step_stride = 1;
    return s->n_step < 1 ? too_few(s, f) : 0;
}

static int lay_sequences(struct arrays_source *s, struct rnn__fault *f)
{
    int64_t first;
    s->n_row = part_of(s, s->lead[0], &first);
    s->n_step = s->lead[1] - s->ahead;
    if (s->n_step < 1)
        return rnn__fault(f, RNN_EDATA, "%s: sequences without steps", s->setup.where);
    if (s->n_row < 1)
        return rnn__fault(f, RNN_EDATA, "%s: files without sequences", s->setup.where);
    s->row_stride = s->time_axis ? s->lead[1] : 1;
    s->step_stride = s->time_axis ? 1 : s->lead[0];
    s->first = first * s->row_stride;
    return 0;
}

/* Opens the arrays and finds the grid; `measuring` asks for no more. */
static int find_grid(struct arrays_source *s, bool measuring, struct rnn__fault *f)
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
        s->field[i] = (struct field){.input = &s->input[i], .array = array[i]};
        s->field[i].ahead = s->input[i].for_loss_only ? s->ahead : 0;
        s->series = s->series || array[i].series;
    }
    free(array);
    if (!code)
        code = check_mode(s, f);
    s->lead[0] = s->lead[1] = -1;
    for (int i = 0; i < s->n_input && !code; i++) {
        code = measuring ? 0 : check_field(s, &s->field[i], f);
        if (!code)
            code = check_lead(s, &s->field[i], f);
    }
    if (!code && s->lead[1] < 0)
        code = rnn__fault(f, RNN_EDATA, "%s: no input has steps", s->setup.where);
    if (!code)
        code = s->series ? lay_series(s, f) : lay_sequences(s, f);
    return code;
}

/* ---- values ---- */

/* Says which value of the file is bad; `element` counts from its beginning. */
static int bad_value(const struct arrays_source *s, const struct field *field,
                     int64_t element, struct rnn__fault *f)
{
    const struct rnn_input *input = field->input;
    char text[RNN__ELEMENT_BYTES];
    int64_t at = element / field->record, row = at, step = at;
    if (time_first(s, input))
        row = at % s->lead[0], step = at / s->lead[0];
    else if (n_lead(s, input) == 2)
        row = at / s->lead[1], step = at % s->lead[1];
    rnn__fault(f, RNN_EDATA, "%s: ", field->array.name);
    if (!s->series || input->per_sequence)
        rnn__fault_add(f, "row %lld%s", (long long)row, input->per_sequence ? "" : ", ");
    if (!input->per_sequence)
        rnn__fault_add(f, "step %lld", (long long)step);
    if (field->record > 1)
        rnn__fault_add(f, ", feature %lld", (long long)(element % field->record));
    rnn__fault_add(f, ": ");
    return rnn__describe_bad_value(input, rnn__ndarray_text(&field->array, element, text),
                                   f);
}

static bool needs_check(const struct arrays_source *s, const struct field *field)
{
    return field->input->kind != RNN_REAL || !s->any_real;
}

static size_t element_bytes(const struct arrays_source *s, const struct field *field)
{
    return rnn_input_bytes(field->input, s->dtype);
}

/* Reads the elements into `out` and checks them. */
static int read_values(const struct arrays_source *s, const struct field *field,
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
        return 0;
    return bad_value(s, field, run->first + bad / run->take * run->stride + bad % run->take,
                     f);
}

/* Every value of the input in the file. */
static int scan(const struct arrays_source *s, const struct field *field,
                struct rnn__fault *f)
{
    int64_t size = field->input->size, n = field->array.size / field->record;
    int64_t most = size < SCAN_ELEMENTS ? SCAN_ELEMENTS / size : 1;
    if (!needs_check(s, field))
        return 0;
    void *block = calloc((size_t)(most * size), element_bytes(s, field));
    int code = block ? 0 : rnn__fault_memory(f);
    for (int64_t at = 0; at < n && !code; at += most) {
        struct rnn__run run = {.first = at * field->record + field->column,
                               .take = size,
                               .stride = field->record,
                               .n = n - at < most ? n - at : most};
        code = read_values(s, field, &run, block, f);
    }
    free(block);
    return code;
}

/* ---- windows ---- */

static int64_t row_at(const struct arrays_source *s, int64_t pass, int64_t row)
{
    uint64_t key = rnn__mix(s->setup.seed ^ rnn__mix((uint64_t)pass));
    return s->shuffle ? rnn__permute(key, s->n_row, row) : row;
}

/* The batch at a position: rows from *row on, steps from *step on. */
static void batch_at(const struct arrays_source *s, int64_t position, int64_t *row,
                     int64_t *rows, int64_t *step, int64_t *steps)
{
    int64_t left = s->series ? s->n_step - position * s->batch_steps
                             : s->n_row - position * s->batch_rows;
    *row = s->series ? 0 : position * s->batch_rows;
    *step = s->series ? position * s->batch_steps : 0;
    *rows = s->series || left > s->batch_rows ? s->batch_rows : left;
    *steps = !s->series || left > s->batch_steps ? s->batch_steps : left;
}

static int64_t n_batch(const struct arrays_source *s)
{
    int64_t all = s->series ? s->n_step : s->n_row;
    int64_t one = s->series ? s->batch_steps : s->batch_rows;
    return all / one + (all % one && !s->drop_last);
}

/* [step][row] in the file and in memory, else [row][step] in memory. */
static bool stays_time_first(const struct arrays_source *s, const struct field *field)
{
    return time_first(s, field->input) && !s->shuffle;
}

/* One of the input's rows; `row` and `step` of the grid. */
static int read_row(const struct arrays_source *s, const struct field *field, int64_t row,
                    int64_t step, int64_t steps, void *out, struct rnn__fault *f)
{
    int64_t place = s->first + row * s->row_stride + (step + field->ahead) * s->step_stride;
    int64_t stride = s->step_stride;
    if (field->input->per_sequence)
        place = s->first / s->row_stride + row, stride = 1, steps = 1;
    if (field->input->per_sequence && s->series)
        place = row;
    return read_values(s, field,
                       &(struct rnn__run){.first = place * field->record + field->column,
                                          .take = field->input->size,
                                          .stride = stride * field->record,
                                          .n = steps},
                       out, f);
}

static int64_t row_size(const struct arrays_source *s, const struct field *field)
{
    return field->input->per_sequence ? field->input->size
                                      : s->window_steps * field->input->size;
}

static int read_field(const struct arrays_source *s, const struct field *field,
                      struct window *w, struct rnn__fault *f)
{
    int64_t row, rows, step, steps, size = field->input->size;
    char *out = w->data + field->offset;
    batch_at(s, w->at.position, &row, &rows, &step, &steps);
    step += w->at.step0;
    if (stays_time_first(s, field))
        return read_values(
            s, field,
            &(struct rnn__run){
                .first = (s->first + row + (step + field->ahead) * s->step_stride) * size,
                .take = rows * size,
                .stride = s->step_stride * size,
                .n = w->steps},
            out, f);
    int64_t bytes = (int64_t)element_bytes(s, field);
    int code = 0;
    for (int64_t b = 0; b < rows && !code; b++)
        code = read_row(s, field, row_at(s, w->at.pass, row + b), step, w->steps,
                        out + bytes * b * row_size(s, field), f);
    return code;
}

/* Fills the window from w->at on. A fault stays in it. */
static void fill(const struct arrays_source *s, struct window *w)
{
    int64_t row, rows, step, steps;
    batch_at(s, w->at.position, &row, &rows, &step, &steps);
    int64_t left = steps - w->at.step0;
    w->steps = left < s->window_steps ? left : s->window_steps;
    w->fault.code = 0;
    for (int i = 0; i < s->n_input && !w->fault.code; i++)
        if (read_field(s, &s->field[i], w, &w->fault) == 0)
            rnn__ndarray_unchanged(&s->field[i].array, &w->fault);
    w->filled = true;
}

/* Whether the window holds these steps. Without a shuffle, passes are alike. */
static bool holds(const struct arrays_source *s, const struct window *w,
                  const struct place *at, int64_t steps)
{
    return w->filled && w->at.position == at->position &&
           (!s->shuffle || w->at.pass == at->pass) && w->at.step0 <= at->step0 &&
           at->step0 + steps <= w->at.step0 + w->steps;
}

/* The thread's job. */
static void read_next(void *user)
{
    struct arrays_source *s = user;
    s->window[1].at = s->next;
    fill(s, &s->window[1]);
}

/* Makes window[0] hold the steps. */
static int need(struct arrays_source *s, const struct place *at, int64_t steps,
                struct rnn__fault *f)
{
    struct window *w = s->window;
    if (!holds(s, &w[0], at, steps)) {
        rnn__prefetch_wait(s->prefetch);
        struct window other = w[1];
        if (holds(s, &w[1], at, steps)) {
            w[1] = w[0];
            w[0] = other;
        } else {
            w[0].at = *at;
            fill(s, &w[0]);
        }
    }
    if (!w[0].fault.code)
        return 0;
    w[0].filled = false; /* asked again, it is read again */
    *f = w[0].fault;
    return f->code;
}

/* Has the steps at `next` read while the caller works. */
static void read_ahead(struct arrays_source *s, struct place next)
{
    if (next.position >= n_batch(s))
        next = (struct place){.pass = next.pass + 1};
    if (holds(s, &s->window[0], &next, 1))
        return;
    rnn__prefetch_wait(s->prefetch);
    if (holds(s, &s->window[1], &next, 1))
        return;
    s->window[1].filled = false;
    s->next = next;
    rnn__prefetch_begin(s->prefetch);
}

/* ---- opening ---- */

static int open_fields(struct arrays_source *s, struct rnn__fault *f)
{
    int code = s->container->table ? share_columns(s, f) : 0;
    for (int i = 0; i < s->n_input && !code; i++)
        code = scan(s, &s->field[i], f);
    return code;
}

/* How many rows and steps a batch has, and how many of its steps a window. */
static int size_windows(struct arrays_source *s, struct rnn__fault *f)
{
    int64_t step_bytes = 0, bytes;
    s->batch_rows = s->series ? s->n_row : s->batch;
    if (!s->series && s->batch > s->n_row && !s->drop_last)
        s->batch_rows = s->n_row;
    s->batch_steps =
        s->series && s->length && s->length < s->n_step ? s->length : s->n_step;
    for (int i = 0; i < s->n_input; i++)
        if (__builtin_mul_overflow((int64_t)element_bytes(s, &s->field[i]),
                                   s->input[i].size, &bytes) ||
            __builtin_mul_overflow(s->batch_rows, bytes, &bytes) ||
            __builtin_add_overflow(step_bytes, s->input[i].per_sequence ? 0 : bytes,
                                   &step_bytes))
            return rnn__fault_memory(f);
    int64_t chunks = WINDOW_BYTES / (step_bytes + 1) / s->steps_max;
    s->window_steps = (chunks ? chunks : 1) * s->steps_max;
    if (s->window_steps > s->batch_steps)
        s->window_steps = s->batch_steps;
    return 0;
}

static int make_windows(struct arrays_source *s, struct rnn__fault *f)
{
    size_t total = 0, bytes;
    int code = size_windows(s, f);
    for (int i = 0; i < s->n_input && !code; i++) {
        s->field[i].offset = total;
        if (__builtin_mul_overflow((size_t)row_size(s, &s->field[i]),
                                   element_bytes(s, &s->field[i]), &bytes) ||
            __builtin_mul_overflow(bytes, (size_t)s->batch_rows, &bytes) ||
            __builtin_add_overflow(total, bytes, &total))
            code = rnn__fault_memory(f);
    }
    for (int i = 0; i < 2 && !code; i++) {
        s->window[i].data = malloc(total + 1);
        code = s->window[i].data ? 0 : rnn__fault_memory(f);
    }
    if (!code) {
        s->start = malloc((size_t)s->batch_rows);
        s->prefetch = rnn__prefetch_new(read_next, s);
        code = s->start && s->prefetch ? 0 : rnn__fault_memory(f);
    }
    if (!code)
        memset(s->start, 1, (size_t)s->batch_rows);
    return code;
}

static int source_open(void *user, const struct rnn_model *model, char *sentence,
                       size_t capacity)
{
    struct arrays_source *s = user;
    struct rnn__fault f = {0};
    s->input = model->input;
    s->n_input = model->n_input;
    s->dtype = model->dtype;
    s->steps_max = model->steps_max > 0 ? model->steps_max : 1;
    int code = read_settings(s, &f);
    if (!code)
        code = rnn__source_rows(&s->setup, "batch", model, &s->batch, &f);
    if (!code && s->streams)
        code = rnn__source_rows(&s->setup, "streams", model, &s->streams, &f);
    if (!code)
        code = find_grid(s, false, &f);
    if (!code)
        code = open_fields(s, &f);
    if (!code)
        code = make_windows(s, &f);
    return code ? rnn__source_failed(&f, sentence, capacity) : 0;
}

static int source_describe(void *user, rnn_source_info *out, char *sentence,
                           size_t capacity)
{
    const struct arrays_source *s = user;
    (void)sentence, (void)capacity;
    *out = (rnn_source_info){.batches = n_batch(s),
                             .rows = s->batch_rows,
                             .steps = s->batch_steps,
                             .streams = s->series,
                             .continues = s->series && s->length > 0};
    return 0;
}

/* ---- batches ---- */

static void point_at(const struct arrays_source *s, rnn_array *input, int64_t step0)
{
    for (int i = 0; i < s->n_input; i++) {
        const struct field *field = &s->field[i];
        int64_t steps = field->input->per_sequence ? 0 : step0 - s->window[0].at.step0;
        int64_t bytes = (int64_t)element_bytes(s, field);
        input[i].data =
            s->window[0].data + field->offset + bytes * steps * input[i].step_stride;
    }
}

/* Where the first chunk begins that does not fit the window, were chunks to go on as the
   last two did; at the batch's end, the next batch. */
static struct place place_behind(const struct arrays_source *s, struct place at,
                                 int64_t steps, int64_t batch_steps)
{
    const struct window *w = &s->window[0];
    int64_t last = s->now.step0, end = w->at.step0 + w->steps;
    int64_t stride =
        at.step0 > last && at.position == s->now.position ? at.step0 - last : steps;
    if (end >= batch_steps)
        return (struct place){at.pass, at.position + 1, 0};
    at.step0 += ((end - steps - at.step0) / stride + 1) * stride;
    return at;
}

/* A chunk's steps, of a batch that is larger than a window. */
static int load(rnn_batch *batch, int64_t step0, int64_t steps)
{
    struct arrays_source *s = batch->user;
    struct place at = s->now;
    struct rnn__fault f = {0};
    at.step0 = step0;
    int code =
        steps > s->window_steps
            ? rnn__fault(&f, RNN_EINVAL, "%s: a chunk of %lld steps, windows have %lld",
                         s->setup.where, (long long)steps, (long long)s->window_steps)
            : need(s, &at, steps, &f);
    if (code)
        return rnn__source_failed(&f, s->sentence, s->capacity);
    point_at(s, batch->input, step0);
    read_ahead(s, place_behind(s, at, steps, batch->steps));
    s->now = at;
    return 0;
}

static int source_read(void *user, int64_t pass, int64_t position, rnn_batch *out,
                       char *sentence, size_t capacity)
{
    struct arrays_source *s = user;
    struct rnn__fault f = {0};
    int64_t row, rows, step, steps;
    batch_at(s, position, &row, &rows, &step, &steps);
    bool whole = steps <= s->window_steps;
    s->now = (struct place){pass, position, 0};
    int code = need(s, &s->now, whole ? steps : 1, &f);
    if (code)
        return rnn__source_failed(&f, sentence, capacity);
    for (int i = 0; i < s->n_input; i++) {
        const struct field *field = &s->field[i];
        bool by_step = stays_time_first(s, field);
        int64_t size = field->input->size;
        out->input[i] = (rnn_array){.steps = steps,
                                    .step_stride = by_step ? rows * size : size,
                                    .row_stride = by_step ? size : row_size(s, field)};
    }
    point_at(s, out->input, 0);
    out->steps = steps;
    out->rows = rows;
    out->row0 = row;
    out->start = s->series && position == 0 ? s->start : NULL;
    out->load = whole ? NULL : load;
    out->user = s;
    s->sentence = sentence;
    s->capacity = capacity;
    if (whole)
        read_ahead(s, (struct place){pass, position + 1, 0});
    return 0;
}

static void source_close(void *user)
{
    struct arrays_source *s = user;
    rnn__prefetch_free(s->prefetch);
    for (int i = 0; s->field && i < s->n_input; i++)
        rnn__ndarray_close(&s->field[i].array);
    for (int i = 0; i < 2; i++)
        free(s->window[i].data);
    free(s->field);
    free(s->start);
    free(s);
}

static struct arrays_source *make(const struct rnn__source_setup *setup,
                                  const struct rnn__container *container)
{
    struct arrays_source *s = calloc(1, sizeof *s);
    if (s) {
        s->setup = *setup;
        s->container = container;
    }
    return s;
}

int rnn__arrays_source(rnn_source *out, const struct rnn__source_setup *setup,
                       const struct rnn__container *container, struct rnn__fault *f)
{
    struct arrays_source *s = make(setup, container);
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
    struct arrays_source *s = make(setup, container);
    if (!s)
        return rnn__fault_memory(f);
    s->input = input;
    s->n_input = n_input;
    int code = read_settings(s, f);
    if (!code)
        code = find_grid(s, true, f);
    if (!code)
        *out = (struct rnn__extent){
            .rows = s->series ? s->n_row : 0, .steps = s->n_step, .streams = s->series};
    source_close(s);
    return code;
}
