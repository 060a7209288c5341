/*
 * predict.c — the model's output for inputs that have no target: step by step from lines,
 * the hidden state carried from each to the next, or whole arrays.
 *
 * A line is one step: the values of all inputs that the output depends on, in the model's
 * order, as numbers between commas or blanks or as a JSON array, nested or not. A class is
 * its number; with a vocabulary a JSON string of one character stands for it. An empty line
 * begins a new sequence. Each line is answered by one, in the same form, before the next is
 * read: a program at the other end of two pipes may wait for it.
 *
 *     0.1,0.2                  →  0.73,-1.2
 *     [[0.1, 0.2]]             →  [0.73,-1.2]
 *
 * An array [sequences, steps, …] or [steps, …] in a npy file gives one of the outputs,
 * of the same leading dimensions.
 */
#include "array_file.h"
#include "engine.h"
#include "trainer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 1 << 26, READ_BYTES = 65536 };

/* Elements of all step inputs behind each other: reals, or int32 where the input is whole;
   of a line one step, of an array many. */
struct predictor {
    struct rnn__trainer *t;
    const char *where; /* "standard input", or the file */
    int64_t line;
    rnn_array *input; /* [n_input] */
    int64_t size;     /* elements of one step of all inputs */
    char *values;     /* of each input its elements */
    void *outputs;    /* [output_size] reals */
    bool json;        /* the line's form, and so the answer's */
};

/* ---- a line's values ---- */

static int wrong_line(const struct predictor *p, struct rnn__fault *f, const char *what)
{
    return rnn__fault(f, RNN_EDATA, "%s:%" PRId64 ": %s", p->where, p->line, what);
}

/* One step of the input. A multiple of 8, so that what stands behind it is aligned. */
static int64_t bytes_of(const struct rnn_model *m, const struct rnn_input *x)
{
    return (x->size * (int64_t)rnn_input_bytes(x, m->dtype) + 7) / 8 * 8;
}

/* Puts element i, of the input that it falls in. */
static int put_value(struct predictor *p, int64_t i, double value, struct rnn__fault *f)
{
    const struct rnn_model *m = p->t->model;
    const struct rnn_input *x = m->input;
    int64_t first = 0;
    char *at = p->values;
    if (i >= p->size)
        return 0; /* counted, and told of at the line's end */
    for (; x->for_loss_only || i >= first + x->size; x++) {
        first += x->for_loss_only ? 0 : x->size;
        at += x->for_loss_only ? 0 : bytes_of(m, x);
    }
    at += (i - first) * (int64_t)rnn_input_bytes(x, m->dtype);
    bool fits = value >= INT32_MIN && value <= INT32_MAX;
    if (rnn__is_whole(x) && (!fits || value != (double)(int32_t)value)) {
        wrong_line(p, f, "");
        return rnn__fault_add(f,
                              "value %" PRId64 ": %g is not a whole number, and input '%s' "
                              "holds such",
                              i + 1, value, x->name);
    }
    if (rnn__is_whole(x))
        memcpy(at, &(int32_t){(int32_t)value}, 4);
    else
        rnn_real_set(at, m->dtype, 0, value);
    if (x->masked || rnn__first_bad_value(x, m->dtype, at, 1) == 1)
        return 0;
    wrong_line(p, f, "");
    rnn__fault_add(f, "value %" PRId64 ", of input '%s', ", i + 1, x->name);
    char text[RNN__NUMBER_BYTES];
    snprintf(text, sizeof text, "%.9g", value);
    return rnn__describe_bad_value(x, text, f);
}

/* A JSON value of any nesting; strings are characters of the vocabulary. */
static int put_json(struct predictor *p, const json_t *value, int64_t *n,
                    struct rnn__fault *f)
{
    const struct rnn__vocabulary *v = &p->t->vocabulary;
    const char *text = json_string_value(value);
    int code = 0;
    for (size_t i = 0; i < json_array_size(value) && !code; i++)
        code = put_json(p, json_array_get(value, i), n, f);
    if (json_is_array(value))
        return code;
    if (json_is_number(value) || json_is_boolean(value))
        return put_value(
            p, (*n)++,
            json_is_boolean(value) ? json_is_true(value) : json_number_value(value), f);
    if (!text || !v->n)
        return wrong_line(p, f,
                          text ? "a string, but the model has no vocabulary"
                               : "holds what is neither number nor array");
    int32_t *symbols = NULL;
    int64_t n_symbol = 0;
    code = rnn__vocabulary_encode(v, text, strlen(text), p->where, &symbols, &n_symbol, f);
    if (!code && n_symbol != 1)
        code = wrong_line(p, f, "a string is one character, a step");
    if (!code)
        code = put_value(p, (*n)++, symbols[0], f);
    free(symbols);
    return code;
}

static int put_numbers(struct predictor *p, const char *text, int64_t *n,
                       struct rnn__fault *f)
{
    static const char between[] = " \t\r,;";
    int code = 0;
    text += strspn(text, " \t\r");
    while (*text && !code) {
        char *end;
        double value = strtod(text, &end);
        if (end == text || (*end && !strchr(between, *end))) {
            wrong_line(p, f, "");
            return rnn__fault_add(f, "'%.20s' is not a number", text);
        }
        code = put_value(p, (*n)++, value, f);
        text = end + strspn(end, between);
    }
    return code;
}

static int read_line(struct predictor *p, const char *text, struct rnn__fault *f)
{
    int64_t n = 0;
    const char *first = text + strspn(text, " \t");
    p->json = *first == '[' || *first == '"';
    int code;
    if (p->json) {
        json_error_t error;
        json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
        code = value ? put_json(p, value, &n, f) : wrong_line(p, f, error.text);
        json_decref(value);
    } else {
        code = put_numbers(p, text, &n, f);
    }
    if (code || n == p->size)
        return code;
    wrong_line(p, f, "");
    return rnn__fault_add(f,
                          "%" PRId64 " values; a step of this model has %" PRId64
                          " (info shows its inputs)",
                          n, p->size);
}

/* ---- its answer ---- */

/* The shortest decimal that reads back as the same real of the model's width. */
static void print_real(double value, enum rnn_dtype dtype)
{
    char text[32];
    bool wide = dtype == RNN_F64;
    for (int digits = 6; digits <= (wide ? 17 : 9); digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if ((wide ? strtod(text, NULL) : (double)strtof(text, NULL)) == value)
            break;
    }
    fputs(text, stdout);
}

static int answer(struct predictor *p, struct rnn__fault *f)
{
    const struct rnn_model *m = p->t->model;
    rnn_batch batch = {.steps = 1, .rows = 1, .n_input = m->n_input, .input = p->input};
    int code = rnn__forward(p->t->engine, &batch, p->outputs);
    if (code)
        return rnn__trainer_failed(p->t, p->t->engine, code, f);
    if (p->json)
        putchar('[');
    for (int64_t i = 0; i < m->output_size; i++) {
        if (i)
            putchar(',');
        print_real(rnn_real_at(p->outputs, m->dtype, i), m->dtype);
    }
    puts(p->json ? "]" : "");
    return fflush(stdout) == 0
               ? 0
               : rnn__fault_errno(f, "standard output", "cannot be written");
}

static int take_line(struct predictor *p, char *text, struct rnn__fault *f)
{
    p->line++;
    if (text[strspn(text, " \t\r")] == '\0') {
        int code = rnn_reset_state(p->t->engine);
        return code ? rnn__trainer_failed(p->t, p->t->engine, code, f) : 0;
    }
    int code = read_line(p, text, f);
    return code ? code : answer(p, f);
}

/* ---- lines of a file or a pipe ---- */

/* Whole lines of buffer[0 … n), each ended by a zero in place of its newline; what is left
   is moved to the front, its length to *n. */
static int take_lines(struct predictor *p, char *buffer, size_t *n, struct rnn__fault *f)
{
    char *at = buffer, *end = buffer + *n, *newline;
    int code = 0;
    while (!code && at < end && (newline = memchr(at, '\n', (size_t)(end - at)))) {
        *newline = '\0';
        code = take_line(p, at, f);
        at = newline + 1;
    }
    *n = (size_t)(end - at);
    memmove(buffer, at, *n);
    return code;
}

static int predict_lines(struct predictor *p, int fd, struct rnn__fault *f)
{
    char *buffer = NULL;
    size_t n = 0, capacity = 0;
    int code = 0;
    for (;;) {
        if (capacity - n < READ_BYTES) {
            char *grown = n > LINE_BYTES_MAX ? NULL : realloc(buffer, n + 2 * READ_BYTES);
            code = grown ? 0 : rnn__fault_memory(f);
            if (n > LINE_BYTES_MAX)
                code = wrong_line(p, f, "a line of more than 64 MiB");
            if (code)
                break;
            buffer = grown;
            capacity = n + 2 * READ_BYTES;
        }
        ssize_t got = rnn__io->read(fd, buffer + n, capacity - n - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            code = rnn__fault_errno(f, p->where, "cannot be read");
        if (got <= 0)
            break;
        n += (size_t)got;
        if ((code = take_lines(p, buffer, &n, f)) != 0)
            break;
    }
    if (!code && n > 0) { /* a last line without its end */
        buffer[n] = '\0';
        code = take_line(p, buffer, f);
    }
    free(buffer);
    return code;
}

/* ---- arrays ---- */

struct shape {
    int64_t rows, steps;
    bool one; /* [steps, …]: the sequences' dimension is left out */
};

static int array_shape(const struct predictor *p, const struct rnn__ndarray *a,
                       const struct rnn_input *x, struct shape *s, struct rnn__fault *f)
{
    int extra = a->rank - x->rank;
    bool good = extra == 1 || extra == 2;
    for (int i = 0; good && i < x->rank; i++)
        good = a->dim[extra + i] == x->dim[i];
    if (good) {
        *s = (struct shape){extra == 2 ? a->dim[0] : 1, a->dim[extra - 1], extra == 1};
        good = s->rows > 0 && s->steps > 0;
    }
    if (good)
        return 0;
    rnn__fault(f, RNN_EDATA, "%s: is [", p->where);
    for (int i = 0; i < a->rank; i++)
        rnn__fault_add(f, "%s%" PRId64, i ? ", " : "", a->dim[i]);
    rnn__fault_add(f, "]; input '%s' needs [sequences, steps", x->name);
    for (int i = 0; i < x->rank; i++)
        rnn__fault_add(f, ", %" PRId64, x->dim[i]);
    return rnn__fault_add(f, "], or without sequences");
}

/* The header of version 1 of the format, padded to a multiple of 64. */
static char *npy_header(const struct rnn_model *m, const struct shape *s, size_t *bytes)
{
    struct rnn__string h = {0};
    rnn__put(&h, "\x93NUMPY\x01..."); /* a zero and the length follow below */
    rnn__put(&h, "{'descr': '<f%d', 'fortran_order': False, 'shape': (",
             (int)rnn_dtype_bytes(m->dtype));
    if (!s->one)
        rnn__put(&h, "%" PRId64 ", ", s->rows);
    rnn__put(&h, "%" PRId64 ",", s->steps);
    for (int i = 0; i < m->output_rank; i++)
        rnn__put(&h, " %" PRId64 ",", m->output_dim[i]);
    rnn__put(&h, "), }");
    while (!h.failed && (h.length + 1) % 64 != 0)
        rnn__put(&h, " ");
    rnn__put(&h, "\n");
    if (h.failed) {
        free(h.text);
        return NULL;
    }
    h.text[7] = 0;
    h.text[8] = (char)((h.length - 10) & 0xFF);
    h.text[9] = (char)((h.length - 10) >> 8);
    *bytes = h.length;
    return h.text;
}

/* Rows first … first + n - 1, outputs to out [rows][steps][output_size]. */
static int predict_rows(struct predictor *p, const struct rnn__ndarray *a,
                        const struct rnn_input *x, const struct shape *s, int64_t first,
                        int64_t n, void *values, void *steps_out, void *out,
                        struct rnn__fault *f)
{
    const struct rnn_model *m = p->t->model;
    int64_t row = s->steps * x->size, count = n * row;
    struct rnn__run run = {first * row, count, count, 1};
    char text[RNN__ELEMENT_BYTES];
    int code = rnn__is_whole(x) ? rnn__ndarray_read_int(a, &run, values, f)
                                : rnn__ndarray_read_real(a, &run, m->dtype, values, f);
    bool any = code || x->masked;
    int64_t bad = any ? count : rnn__first_bad_value(x, m->dtype, values, count);
    if (bad < count) {
        rnn__fault(f, RNN_EDATA, "%s: sequence %" PRId64 ", step %" PRId64 " ", p->where,
                   first + bad / row, bad % row / x->size);
        return rnn__describe_bad_value(x, rnn__ndarray_text(a, run.first + bad, text), f);
    }
    for (int i = 0; i < m->n_input; i++)
        p->input[i] = (rnn_array){.data = m->input[i].for_loss_only ? NULL : values,
                                  .steps = s->steps,
                                  .step_stride = x->size,
                                  .row_stride = row};
    rnn_batch batch = {
        .steps = s->steps, .rows = n, .n_input = m->n_input, .input = p->input};
    if (!code)
        code = rnn_reset_state(p->t->engine);
    if (!code && (code = rnn__forward(p->t->engine, &batch, steps_out)) != 0)
        rnn__trainer_failed(p->t, p->t->engine, code, f);
    size_t bytes = (size_t)m->output_size * rnn_dtype_bytes(m->dtype);
    for (int64_t t = 0; t < s->steps && !code; t++)
        for (int64_t b = 0; b < n; b++)
            memcpy((char *)out + (size_t)(b * s->steps + t) * bytes,
                   (char *)steps_out + (size_t)(t * n + b) * bytes, bytes);
    return code;
}

static int predict_all(struct predictor *p, const struct rnn__ndarray *a,
                       const struct rnn_input *x, struct rnn__fault *f)
{
    const struct rnn_model *m = p->t->model;
    struct shape s = {0};
    size_t row, step_row, header_bytes = 0, all;
    int code = array_shape(p, a, x, &s, f);
    if (code)
        return code;
    int64_t rows = s.rows < m->rows_max ? s.rows : m->rows_max;
    size_t in_bytes = rnn_input_bytes(x, m->dtype), out_bytes = rnn_dtype_bytes(m->dtype);
    if (__builtin_mul_overflow((size_t)s.steps * in_bytes, (size_t)x->size, &row) ||
        __builtin_mul_overflow((size_t)s.steps * out_bytes, (size_t)m->output_size,
                               &step_row) ||
        __builtin_mul_overflow(step_row, (size_t)s.rows, &all))
        return rnn__fault_memory(f);
    void *values = malloc(row * (size_t)rows);
    void *steps_out = malloc(step_row * (size_t)rows), *out = malloc(all);
    char *header = npy_header(m, &s, &header_bytes);
    if (!values || !steps_out || !out || !header)
        code = rnn__fault_memory(f);
    for (int64_t first = 0; first < s.rows && !code; first += rows) {
        int64_t n = s.rows - first < rows ? s.rows - first : rows;
        code = predict_rows(p, a, x, &s, first, n, values, steps_out,
                            (char *)out + (size_t)first * step_row, f);
    }
    struct rnn__piece piece[] = {{header, header_bytes}, {out, all}};
    if (!code)
        code = rnn__write_file(p->t->options->output, piece, 2, f);
    free(values);
    free(steps_out);
    free(out);
    free(header);
    return code;
}

static const struct rnn_input *only_input(const struct rnn_model *m)
{
    const struct rnn_input *found = NULL;
    for (int i = 0; i < m->n_input; i++)
        if (!m->input[i].for_loss_only) {
            if (found)
                return NULL;
            found = &m->input[i];
        }
    return found;
}

static int predict_array(struct predictor *p, struct rnn__fault *f)
{
    const struct rnn_input *x = only_input(p->t->model);
    struct rnn__ndarray a;
    if (!p->t->options->output)
        return rnn__fault(f, RNN_EINVAL, "predict of an array needs --output FILE.npy");
    if (!x)
        return rnn__fault(f, RNN_EINVAL,
                          "the model has several inputs: give their values as lines");
    int code = rnn__array_file_open(&a, p->where, f);
    if (code)
        return code;
    code = predict_all(p, &a, x, f);
    rnn__ndarray_close(&a);
    return code;
}

/* ---- the command ---- */

static int make_inputs(struct predictor *p, struct rnn__fault *f)
{
    const struct rnn_model *m = p->t->model;
    int64_t bytes = 0;
    for (int i = 0; i < m->n_input; i++) {
        if (m->input[i].for_loss_only)
            continue;
        if (m->input[i].per_sequence)
            return rnn__fault(
                f, RNN_EDATA,
                "input '%s' is given once a sequence; predict reads inputs of "
                "steps alone",
                m->input[i].name);
        p->size += m->input[i].size;
        bytes += bytes_of(m, &m->input[i]);
    }
    p->input = calloc((size_t)m->n_input + 1, sizeof *p->input);
    p->values = calloc((size_t)bytes + 1, 1);
    p->outputs = calloc((size_t)m->output_size + 1, rnn_dtype_bytes(m->dtype));
    if (!p->input || !p->values || !p->outputs)
        return rnn__fault_memory(f);
    char *at = p->values;
    for (int i = 0; i < m->n_input; i++) {
        bool read = !m->input[i].for_loss_only;
        p->input[i] = (rnn_array){.data = read ? at : NULL,
                                  .steps = 1,
                                  .step_stride = m->input[i].size,
                                  .row_stride = m->input[i].size};
        at += read ? bytes_of(m, &m->input[i]) : 0;
    }
    return 0;
}

static bool is_npy(const char *path)
{
    size_t n = path ? strlen(path) : 0;
    return n > 4 && strcmp(path + n - 4, ".npy") == 0;
}

static int predict(struct predictor *p, struct rnn__fault *f)
{
    const struct rnn__options *o = p->t->options;
    bool is_file = o->input && strcmp(o->input, "-") != 0;
    p->where = is_file ? o->input : "standard input";
    if (is_npy(o->input))
        return predict_array(p, f);
    if (o->output)
        return rnn__fault(f, RNN_EINVAL,
                          "--output is for arrays: --input FILE.npy; lines are "
                          "answered on standard output");
    int fd = is_file ? rnn__io->open(o->input, O_RDONLY | O_CLOEXEC, 0) : STDIN_FILENO;
    if (fd < 0)
        return rnn__fault_errno(f, o->input, "cannot be opened");
    int code = predict_lines(p, fd, f);
    if (is_file)
        rnn__io->close(fd);
    return code;
}

int rnn__trainer_predict(struct rnn__trainer *t, int *status, struct rnn__fault *f)
{
    struct predictor p = {.t = t};
    (void)status;
    int code = rnn__trainer_load(t, f);
    if (!code)
        code = make_inputs(&p, f);
    if (!code)
        code = rnn_reset_state(t->engine);
    if (!code)
        code = predict(&p, f);
    free(p.input);
    free(p.values);
    free(p.outputs);
    return code;
}
