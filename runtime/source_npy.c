/*
 * source_npy.c — sequences in npy files, one file an input.
 *
 *     data:
 *       train: {x: a.npy, y: b.npy, batch: 32, shuffle: true}
 *
 * A file holds [N, T, features…], with time_axis 0 [T, N, features…], and for an input
 * given once a sequence [N, features…]. A batch is `batch` sequences, whole; the last
 * one is smaller unless dropped. On opening, every value is read and checked; while
 * training, a batch is read when it is its turn (and checked again: files change), so
 * memory holds one batch.
 */
#include "npy.h"
#include "settings.h"
#include "source.h"

#include <stdlib.h>
#include <string.h>

enum { SCAN_ELEMENTS = 16384 };

struct file {
    const struct rnn_input *input;
    struct rnn__npy npy;
    char *buffer; /* of a batch: floats or int32 */
};

struct npy_source {
    struct rnn__source_setup setup;
    const struct rnn_model *model;
    int64_t batch, time_axis;
    bool shuffle, drop_last;
    int64_t n_sequence, n_step;
    struct file *file; /* one for each input of the model */
    int64_t *order;    /* [n_sequence] of pass `pass`; NULL: as they come */
    int64_t pass;
};

static bool time_first(const struct npy_source *s, const struct file *file)
{
    return s->time_axis == 0 && !file->input->per_sequence;
}

/* Elements of one sequence of the input. */
static int64_t sequence_size(const struct npy_source *s, const struct rnn_input *input)
{
    return input->per_sequence ? input->size : s->n_step * input->size;
}

/* ---- settings ---- */

static const char *const option_list[] = {"batch", "time_axis", "shuffle", "drop_last"};
enum { N_OPTION = sizeof option_list / sizeof *option_list };

static int check_keys(const struct npy_source *s, struct rnn__fault *f)
{
    int n_input = s->model->n_input;
    const char **keys = calloc((size_t)n_input + N_OPTION + 1, sizeof *keys);
    if (!keys)
        return rnn__fault_memory(f);
    for (int i = 0; i < n_input; i++)
        keys[i] = s->model->input[i].name;
    memcpy(keys + n_input, option_list, sizeof option_list);
    int code = rnn__check_keys(s->setup.json, s->setup.where, keys, f);
    free(keys);
    return code;
}

static int read_settings(struct npy_source *s, struct rnn__fault *f)
{
    const json_t *json = s->setup.json;
    const char *where = s->setup.where;
    s->time_axis = 1;
    int code = check_keys(s, f);
    if (!code)
        code = rnn__source_rows(&s->setup, "batch", s->model, &s->batch, f);
    if (!code)
        code = rnn__get_integer(json, where, "time_axis", 0, &s->time_axis, f);
    if (!code && s->time_axis > 1)
        code = rnn__fault(f, RNN__ESPEC, "%s.time_axis: %lld is not 0 or 1", where,
                          (long long)s->time_axis);
    if (!code)
        code = rnn__get_flag(json, where, "shuffle", &s->shuffle, f);
    if (!code)
        code = rnn__get_flag(json, where, "drop_last", &s->drop_last, f);
    return code;
}

/* ---- checking a file against its input ---- */

static const char *const kind_words[] = {[RNN_REAL] = "real",
                                         [RNN_CLASS] = "class",
                                         [RNN_FLAG] = "flag",
                                         [RNN_INTEGER] = "integer"};

static int check_dtype(const struct file *file, struct rnn__fault *f)
{
    char kind = file->npy.kind;
    bool fits = file->input->kind == RNN_REAL   ? kind == 'f'
                : file->input->kind == RNN_FLAG ? true
                                                : kind == 'i' || kind == 'u';
    if (fits)
        return 0;
    return rnn__fault(f, RNN_EDATA, "%s: holds %s, but input '%s' is %s: %s",
                      file->npy.path, rnn__npy_dtype(&file->npy), file->input->name,
                      kind_words[file->input->kind],
                      file->input->kind == RNN_REAL ? "save a.astype('float32')"
                                                    : "save a.astype('int32')");
}

static void add_shape(struct rnn__fault *f, const int64_t *dim, int rank)
{
    for (int i = 0; i < rank; i++)
        rnn__fault_add(f, "%s%lld", i ? ", " : "", (long long)dim[i]);
}

static int bad_shape(const struct npy_source *s, const struct file *file,
                     struct rnn__fault *f)
{
    const struct rnn_input *input = file->input;
    rnn__fault(f, RNN_EDATA, "%s: has shape [", file->npy.path);
    add_shape(f, file->npy.dim, file->npy.rank);
    rnn__fault_add(f, "], but input '%s' needs [%s", input->name,
                   input->per_sequence ? "N"
                   : s->time_axis      ? "N, T"
                                       : "T, N");
    if (input->rank)
        rnn__fault_add(f, ", ");
    add_shape(f, input->dim, input->rank);
    return rnn__fault_add(f, "]");
}

/* A file of one number a step may have a last dimension of 1 too many. */
static bool features_fit(const struct rnn__npy *npy, int lead,
                         const struct rnn_input *input)
{
    int rank = npy->rank - lead;
    if (input->size == 1 && rank <= 1)
        return rank == 0 || (rank == 1 && npy->dim[lead] == 1);
    if (rank != input->rank)
        return false;
    return memcmp(npy->dim + lead, input->dim, (size_t)rank * sizeof *input->dim) == 0;
}

static int check_agreement(const struct file *file, const char *what, int64_t got,
                           int64_t *expected, struct rnn__fault *f)
{
    if (*expected < 0)
        *expected = got;
    if (got == *expected)
        return 0;
    return rnn__fault(f, RNN_EDATA, "%s: has %lld %s, the files before it have %lld",
                      file->npy.path, (long long)got, what, (long long)*expected);
}

static int check_shape(struct npy_source *s, const struct file *file, struct rnn__fault *f)
{
    const struct rnn__npy *npy = &file->npy;
    int lead = file->input->per_sequence ? 1 : 2;
    if (npy->rank < lead || !features_fit(npy, lead, file->input))
        return bad_shape(s, file, f);
    int rows_at = time_first(s, file);
    int code = check_agreement(file, "sequences", npy->dim[rows_at], &s->n_sequence, f);
    if (!code && lead == 2)
        code = check_agreement(file, "steps", npy->dim[1 - rows_at], &s->n_step, f);
    return code;
}

/* ---- values ---- */

/* Says which value of the file is bad; `element` counts from its beginning. */
static int bad_value(const struct npy_source *s, const struct file *file, int64_t element,
                     const void *value, struct rnn__fault *f)
{
    const struct rnn_input *input = file->input;
    int64_t place = element / input->size, row = place, step = 0;
    if (time_first(s, file))
        row = place % s->n_sequence, step = place / s->n_sequence;
    else if (!input->per_sequence)
        row = place / s->n_step, step = place % s->n_step;
    rnn__fault(f, RNN_EDATA, "%s: row %lld", file->npy.path, (long long)row);
    if (!input->per_sequence)
        rnn__fault_add(f, ", step %lld", (long long)step);
    if (input->size > 1)
        rnn__fault_add(f, ", feature %lld", (long long)(element % input->size));
    rnn__fault_add(f, ": ");
    return rnn__describe_bad_value(input, value, f);
}

/* Reads n elements of the file into `out` and checks them. */
static int read_values(const struct npy_source *s, const struct file *file, int64_t first,
                       int64_t n, void *out, struct rnn__fault *f)
{
    int code = rnn__is_whole(file->input)
                   ? rnn__npy_read_int(&file->npy, first, n, out, f)
                   : rnn__npy_read_float(&file->npy, first, n, out, f);
    if (code)
        return code;
    int64_t bad = rnn__first_bad_value(file->input, out, n);
    return bad == n ? 0 : bad_value(s, file, first + bad, (char *)out + 4 * bad, f);
}

static int scan(const struct npy_source *s, const struct file *file, struct rnn__fault *f)
{
    float block[SCAN_ELEMENTS]; /* or int32: read_values says which */
    for (int64_t at = 0; at < file->npy.size; at += SCAN_ELEMENTS) {
        int64_t left = file->npy.size - at;
        int code =
            read_values(s, file, at, left < SCAN_ELEMENTS ? left : SCAN_ELEMENTS, block, f);
        if (code)
            return code;
    }
    return 0;
}

/* ---- opening ---- */

static int open_file(struct npy_source *s, struct file *file, const struct rnn_input *input,
                     struct rnn__fault *f)
{
    const char *name = NULL;
    file->input = input;
    int code = rnn__get_text(s->setup.json, s->setup.where, input->name, &name, f);
    if (!code && !name)
        code = rnn__fault(f, RNN_EDATA, "%s: no file for input '%s'", s->setup.where,
                          input->name);
    if (code)
        return code;
    char *path = rnn__path_join(s->setup.folder, name);
    code = path ? rnn__npy_open(&file->npy, path, f) : rnn__fault_memory(f);
    if (!code)
        code = rnn__source_uses(&s->setup, path, f);
    free(path);
    if (!code)
        code = check_dtype(file, f);
    return code ? code : check_shape(s, file, f);
}

static int make_buffer(const struct npy_source *s, struct file *file, struct rnn__fault *f)
{
    size_t elements = (size_t)sequence_size(s, file->input), bytes;
    if (__builtin_mul_overflow(elements, (size_t)s->batch * 4, &bytes))
        return rnn__fault_memory(f);
    file->buffer = malloc(bytes + 1);
    return file->buffer ? 0 : rnn__fault_memory(f);
}

static int open_files(struct npy_source *s, struct rnn__fault *f)
{
    int code = 0;
    s->file = calloc((size_t)s->model->n_input + 1, sizeof *s->file);
    if (!s->file)
        return rnn__fault_memory(f);
    for (int i = 0; i < s->model->n_input; i++)
        s->file[i].npy.fd = -1;
    for (int i = 0; i < s->model->n_input && !code; i++)
        code = open_file(s, &s->file[i], &s->model->input[i], f);
    for (int i = 0; i < s->model->n_input && !code; i++)
        code = scan(s, &s->file[i], f);
    if (!code && s->batch > s->n_sequence && !s->drop_last)
        s->batch = s->n_sequence;
    for (int i = 0; i < s->model->n_input && !code; i++)
        code = make_buffer(s, &s->file[i], f);
    return code;
}

static int source_open(void *user, const struct rnn_model *model, char *sentence,
                       size_t capacity)
{
    struct npy_source *s = user;
    struct rnn__fault f = {0};
    s->model = model;
    s->n_sequence = s->n_step = s->pass = -1;
    int code = read_settings(s, &f);
    if (!code)
        code = open_files(s, &f);
    if (!code && s->n_step < 1)
        code = rnn__fault(&f, RNN_EDATA, "%s: sequences without steps", s->setup.where);
    if (!code && s->n_sequence < 1)
        code = rnn__fault(&f, RNN_EDATA, "%s: files without sequences", s->setup.where);
    if (!code && s->shuffle) {
        s->order = calloc((size_t)s->n_sequence, sizeof *s->order);
        code = s->order ? 0 : rnn__fault_memory(&f);
    }
    return code ? rnn__source_failed(&f, sentence, capacity) : 0;
}

static int source_describe(void *user, rnn_source_info *out, char *sentence,
                           size_t capacity)
{
    const struct npy_source *s = user;
    (void)sentence, (void)capacity;
    int64_t whole = s->n_sequence / s->batch, rest = s->n_sequence % s->batch;
    *out = (rnn_source_info){
        .batches = whole + (rest && !s->drop_last), .rows = s->batch, .steps = s->n_step};
    return 0;
}

/* ---- batches ---- */

/* Fisher and Yates' shuffle, from the seed and the pass alone: a resumed run has it again.
 */
static void shuffle(struct npy_source *s, int64_t pass)
{
    uint64_t key = rnn__mix(s->setup.seed ^ rnn__mix((uint64_t)pass));
    for (int64_t i = 0; i < s->n_sequence; i++)
        s->order[i] = i;
    for (int64_t i = s->n_sequence - 1; i > 0; i--) {
        int64_t j = (int64_t)(rnn__mix(key + (uint64_t)i) % (uint64_t)(i + 1));
        int64_t swapped = s->order[i];
        s->order[i] = s->order[j];
        s->order[j] = swapped;
    }
    s->pass = pass;
}

static int64_t sequence_at(const struct npy_source *s, int64_t place)
{
    return s->order ? s->order[place] : place;
}

/* [row][step][features] in the file and in the buffer. */
static int read_rows_first(const struct npy_source *s, struct file *file, int64_t first,
                           int64_t rows, struct rnn__fault *f)
{
    int64_t size = sequence_size(s, file->input);
    for (int64_t b = 0; b < rows; b++) {
        int code = read_values(s, file, sequence_at(s, first + b) * size, size,
                               file->buffer + 4 * b * size, f);
        if (code)
            return code;
    }
    return 0;
}

/* [step][row][features] in both; one read a step unless rows are shuffled. */
static int read_time_first(const struct npy_source *s, struct file *file, int64_t first,
                           int64_t rows, struct rnn__fault *f)
{
    int64_t size = file->input->size, run = s->order ? 1 : rows;
    for (int64_t t = 0; t < s->n_step; t++)
        for (int64_t b = 0; b < rows; b += run) {
            int64_t from = t * s->n_sequence + sequence_at(s, first + b);
            int code = read_values(s, file, from * size, run * size,
                                   file->buffer + 4 * (t * rows + b) * size, f);
            if (code)
                return code;
        }
    return 0;
}

static rnn_array array_of(const struct npy_source *s, const struct file *file, int64_t rows)
{
    int64_t size = file->input->size;
    rnn_array a = {.data = file->buffer, .steps = s->n_step};
    a.step_stride = time_first(s, file) ? rows * size : size;
    a.row_stride = time_first(s, file) ? size : sequence_size(s, file->input);
    return a;
}

static int source_read(void *user, int64_t pass, int64_t position, rnn_batch *out,
                       char *sentence, size_t capacity)
{
    struct npy_source *s = user;
    struct rnn__fault f = {0};
    int64_t first = position * s->batch, left = s->n_sequence - first;
    int64_t rows = left < s->batch ? left : s->batch;
    if (s->order && s->pass != pass)
        shuffle(s, pass);
    for (int i = 0; i < s->model->n_input; i++) {
        struct file *file = &s->file[i];
        int code = time_first(s, file) ? read_time_first(s, file, first, rows, &f)
                                       : read_rows_first(s, file, first, rows, &f);
        if (code)
            return rnn__source_failed(&f, sentence, capacity);
        out->input[i] = array_of(s, file, rows);
    }
    out->steps = s->n_step;
    out->rows = rows;
    out->row0 = first;
    return 0;
}

static void source_close(void *user)
{
    struct npy_source *s = user;
    for (int i = 0; s->file && i < s->model->n_input; i++) {
        rnn__npy_close(&s->file[i].npy);
        free(s->file[i].buffer);
    }
    free(s->file);
    free(s->order);
    free(s);
}

int rnn__npy_source(rnn_source *out, const struct rnn__source_setup *setup,
                    struct rnn__fault *f)
{
    struct npy_source *s = calloc(1, sizeof *s);
    if (!s)
        return rnn__fault_memory(f);
    s->setup = *setup;
    *out = (rnn_source){source_open, source_describe, source_read, source_close, s};
    return 0;
}
