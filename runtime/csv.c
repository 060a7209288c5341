/*
 * csv.c — one long series in the lines of a text file, as an array.
 *
 *     {csv: f.csv, columns: {x: [temperature, wind], y: rain}, delimiter: ";"}
 *
 *     time,temperature,wind,rain         the header: names of columns
 *     "2001-01-01, 0:00",-1.5,3.25,0     a step
 *
 * The file is read once, line by line; the numbers of the columns that inputs ask for go
 * into a temporary file, [steps, columns] in double, from which they are then read at any
 * place. A number is one as JSON writes it, or with a sign, or without digits on one side
 * of its point; a point whatever the machine's language. Whatever is no number is told with
 * line and column. Quoting is that of RFC 4180; columns nobody asks for may hold anything.
 */
#include "container.h"

#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 65536, CELL_MOST = 4096, COLUMN_MOST = 65536, ROWS_NUMBERS = 8192 };

struct wanted {
    const struct rnn_input *input;
    const char *name;
};

struct csv {
    const struct rnn__opening *o;
    struct rnn__ndarray *out;
    char delimiter;
    locale_t c_locale;

    /* the text */
    int fd;
    int64_t size, at; /* of the file; of the block's end */
    unsigned char block[BLOCK_BYTES];
    int n_block, next;
    int64_t line;  /* of the record being read, from 1 */
    int64_t lines; /* ended so far */
    char cell[CELL_MOST + 1];
    size_t length;
    bool quoted;

    /* the table */
    int n_wanted;
    struct wanted *wanted; /* in the order of inputs */
    int n_column;
    int *head_of; /* [n_column] a list of the wanted that the column gives: first, or -1 */
    int *next_of; /* [n_wanted] the one behind it, or -1 */
    double *values; /* [n_wanted] of a record */
    double *rows;   /* records not yet written */
    int64_t n_rows, n_record;
};

static int bad(const struct csv *c, struct rnn__fault *f, const char *what)
{
    return rnn__fault(f, RNN_EDATA, "%s:%lld: %s", c->out->name, (long long)c->line, what);
}

/* ---- characters and cells ---- */

/* The next byte, or -1 at the end; RNN_EIO and others below that. */
static int peek(struct csv *c, struct rnn__fault *f)
{
    if (c->next < c->n_block)
        return c->block[c->next];
    int64_t left = c->size - c->at;
    c->n_block = (int)(left < BLOCK_BYTES ? left : BLOCK_BYTES);
    c->next = 0;
    if (c->n_block == 0)
        return -1;
    int code = rnn__read_at(c->fd, c->out->name, c->at, c->block, (size_t)c->n_block, f);
    c->at += c->n_block;
    return code ? code : c->block[0];
}

static int put(struct csv *c, int byte, struct rnn__fault *f)
{
    if (byte == 0)
        return bad(c, f, "holds a byte 0: it is no text");
    if (c->length == CELL_MOST)
        return bad(c, f, "a cell has more than 4096 bytes; is a quote left open?");
    c->cell[c->length++] = (char)byte;
    return 0;
}

/* Behind the opening quote, to behind the closing one. */
static int read_quoted(struct csv *c, struct rnn__fault *f)
{
    for (;;) {
        int byte = peek(c, f);
        if (byte < -1)
            return byte;
        if (byte == -1)
            return bad(c, f, "a quote is left open");
        c->next++;
        if (byte == '\n')
            c->lines++;
        if (byte == '"') {
            int behind = peek(c, f);
            if (behind < -1)
                return behind;
            if (behind != '"')
                return 0;
            c->next++;
        }
        int code = put(c, byte, f);
        if (code)
            return code;
    }
}

/* What ended a cell. */
enum { CELL_ENDS, RECORD_ENDS, TEXT_ENDS };

/* The next cell to c->cell; what ended it, or a negative code. */
static int read_cell(struct csv *c, struct rnn__fault *f)
{
    c->length = 0;
    c->quoted = false;
    for (;;) {
        int byte = peek(c, f), code = 0;
        if (byte < -1)
            return byte;
        c->cell[c->length] = '\0';
        c->next += byte >= 0;
        if (byte == -1)
            return TEXT_ENDS;
        if (byte == c->delimiter)
            return CELL_ENDS;
        if (byte == '\n') {
            c->lines++;
            while (c->length > 0 && c->cell[c->length - 1] == '\r' && !c->quoted)
                c->cell[--c->length] = '\0';
            return RECORD_ENDS;
        }
        if (byte == '\r' && c->quoted)
            continue;
        if (byte == '"' && c->length == 0 && !c->quoted) {
            c->quoted = true;
            code = read_quoted(c, f);
        } else if (byte == '"' || c->quoted) {
            code = bad(c, f,
                       "a quote stands within a cell; write \"…\" around all of it, "
                       "and \"\" for each within");
        } else {
            code = put(c, byte, f);
        }
        if (code)
            return code;
    }
}

/* ---- the header ---- */

static int no_column(const struct csv *c, const struct wanted *w, const char *names,
                     struct rnn__fault *f)
{
    rnn__fault(f, RNN_EDATA, "%s: has no column '%s' (%s.columns.%s)", c->out->name,
               w->name, c->o->setup->where, w->input->name);
    return rnn__fault_add(f, "; it has %.400s", names);
}

/* Column number `column` has the name c->cell. */
static int take_name(struct csv *c, int column, struct rnn__fault *f)
{
    char *cell = c->cell;
    while (*cell == ' ')
        cell++;
    size_t n = strlen(cell);
    while (n > 0 && cell[n - 1] == ' ')
        cell[--n] = '\0';
    if (column % 64 == 0) {
        int *longer = realloc(c->head_of, ((size_t)column + 64) * sizeof *longer);
        if (!longer)
            return rnn__fault_memory(f);
        c->head_of = longer;
    }
    c->head_of[column] = -1;
    for (int i = 0; i < c->n_wanted; i++) {
        if (strcmp(c->wanted[i].name, cell) != 0)
            continue;
        if (c->next_of[i] != -2)
            return rnn__fault(f, RNN_EDATA, "%s: has two columns '%s'", c->out->name, cell);
        c->next_of[i] = c->head_of[column];
        c->head_of[column] = i;
    }
    return 0;
}

/* UTF-8's byte order mark, before the first cell: a quote may stand behind it. */
static int skip_mark(struct csv *c, struct rnn__fault *f)
{
    int byte = peek(c, f);
    if (c->n_block >= 3 && memcmp(c->block, "\xEF\xBB\xBF", 3) == 0)
        c->next = 3;
    return byte < -1 ? byte : 0;
}

static int read_header(struct csv *c, struct rnn__fault *f)
{
    struct rnn__string names = {0};
    int end = CELL_ENDS, code = skip_mark(c, f);
    c->line = 1;
    while (end == CELL_ENDS && !code) {
        end = read_cell(c, f);
        code = end < 0 ? end : take_name(c, c->n_column, f);
        rnn__put(&names, "%s%s", c->n_column ? ", " : "", c->cell);
        if (!code && ++c->n_column == COLUMN_MOST)
            code = bad(c, f, "has more than 65535 columns");
    }
    bool blank = c->n_column == 1 && !c->quoted && c->cell[0] == '\0';
    if (!code && (end == TEXT_ENDS || blank))
        code = rnn__fault(f, RNN_EDATA,
                          "%s: needs a first line of names, and lines of numbers",
                          c->out->name);
    for (int i = 0; i < c->n_wanted && !code; i++)
        if (c->next_of[i] == -2)
            code = no_column(c, &c->wanted[i], names.text ? names.text : "", f);
    free(names.text);
    return code;
}

/* ---- numbers ---- */

/* Sign, digits, point, digits, exponent; nan and inf: what strtod takes besides
   (hexadecimal, blanks) is no number here. */
static bool is_number(const char *text)
{
    const char *at = text + (*text == '-' || *text == '+');
    size_t before = strspn(at, "0123456789");
    if (strcmp(at, "nan") == 0 || strcmp(at, "NaN") == 0 || strcmp(at, "inf") == 0)
        return true;
    at += before;
    size_t behind = 0;
    if (*at == '.') {
        behind = strspn(at + 1, "0123456789");
        at += 1 + behind;
    }
    if (before + behind == 0)
        return false;
    if (*at == 'e' || *at == 'E') {
        at += 1 + (at[1] == '-' || at[1] == '+');
        size_t digits = strspn(at, "0123456789");
        at += digits;
        if (digits == 0)
            return false;
    }
    return *at == '\0';
}

static int bad_cell(const struct csv *c, const struct wanted *w, struct rnn__fault *f)
{
    return rnn__fault(f, RNN_EDATA, "%s:%lld: column '%s': ", c->out->name,
                      (long long)c->line, w->name);
}

/* The cell, trimmed, as a number for an input. */
static int take_number(struct csv *c, char *cell, int i, struct rnn__fault *f)
{
    const struct wanted *w = &c->wanted[i];
    if (*cell == '\0' && c->o->any_real && w->input->kind == RNN_REAL) {
        c->values[i] = NAN;
        return 0;
    }
    if (*cell == '\0') {
        bad_cell(c, w, f);
        return rnn__fault_add(f, "is empty");
    }
    if (!is_number(cell)) {
        bad_cell(c, w, f);
        rnn__fault_add(f, "'%.60s' is no number", cell);
        return strchr(cell, ',') ? rnn__fault_add(f, "; decimals have a point") : f->code;
    }
    locale_t old = uselocale(c->c_locale);
    double value = strtod(cell, NULL);
    uselocale(old);
    double real[1]; /* in the model's width */
    rnn_real_set(real, c->o->dtype, 0, value);
    int32_t whole =
        value == floor(value) && fabs(value) <= INT32_MAX ? (int32_t)value : INT32_MIN;
    bool is_whole = rnn__is_whole(w->input);
    bool any = !is_whole && w->input->kind == RNN_REAL && c->o->any_real;
    if (!c->o->measuring && !any &&
        rnn__first_bad_value(w->input, c->o->dtype,
                             is_whole ? (void *)&whole : (void *)real, 1) == 0) {
        bad_cell(c, w, f);
        return rnn__describe_bad_value(w->input, cell, f);
    }
    c->values[i] = value;
    return 0;
}

static int take_cell(struct csv *c, int column, struct rnn__fault *f)
{
    char *cell = c->cell;
    while (*cell == ' ' || *cell == '\t')
        cell++;
    size_t n = strlen(cell);
    while (n > 0 && (cell[n - 1] == ' ' || cell[n - 1] == '\t' || cell[n - 1] == '\r'))
        cell[--n] = '\0';
    int code = 0;
    for (int i = c->head_of[column]; i >= 0 && !code; i = c->next_of[i])
        code = take_number(c, cell, i, f);
    return code;
}

/* ---- records ---- */

static int flush(struct csv *c, struct rnn__fault *f)
{
    int code = rnn__write_all(c->out->fd, "temporary file (TMPDIR says where)", c->rows,
                              (size_t)(c->n_rows * c->n_wanted) * sizeof *c->rows, f);
    c->n_rows = 0;
    return code;
}

static int keep_record(struct csv *c, struct rnn__fault *f)
{
    memcpy(c->rows + c->n_rows * c->n_wanted, c->values,
           (size_t)c->n_wanted * sizeof *c->values);
    c->n_record++;
    c->n_rows++;
    return (c->n_rows + 1) * c->n_wanted > ROWS_NUMBERS ? flush(c, f) : 0;
}

static int bad_count(const struct csv *c, int n, const char *more, struct rnn__fault *f)
{
    return rnn__fault(f, RNN_EDATA, "%s:%lld: has %d%s cells, the header has %d",
                      c->out->name, (long long)c->line, n, more, c->n_column);
}

/* One line's cells; *end is what ended it. Lines without a character may end the text. */
static int read_record(struct csv *c, int *end, struct rnn__fault *f)
{
    c->line = c->lines + 1;
    for (int column = 0;; column++) {
        *end = read_cell(c, f);
        if (*end < 0)
            return *end;
        if (column == 0 && *end != CELL_ENDS && c->length == 0 && !c->quoted) {
            if (*end == TEXT_ENDS)
                return 0;
            int byte = peek(c, f);
            if (byte == -1 || byte == '\n' || byte == '\r')
                return 0;
            if (c->n_column > 1)
                return bad(c, f, "is an empty line");
        }
        if (column == c->n_column)
            return bad_count(c, column + 1, " or more", f);
        int code = take_cell(c, column, f);
        if (code)
            return code;
        if (*end != CELL_ENDS)
            return column + 1 == c->n_column ? keep_record(c, f)
                                             : bad_count(c, column + 1, "", f);
    }
}

static int read_records(struct csv *c, struct rnn__fault *f)
{
    int end = RECORD_ENDS, code = 0;
    while (end != TEXT_ENDS && !code)
        code = read_record(c, &end, f);
    if (!code)
        code = flush(c, f);
    if (!code && c->n_record == 0)
        code = rnn__fault(f, RNN_EDATA, "%s: has no line behind the header", c->out->name);
    return code;
}

/* ---- the settings ---- */

static int want(struct csv *c, const struct rnn_input *input, const char *name)
{
    struct wanted *more = realloc(c->wanted, ((size_t)c->n_wanted + 1) * sizeof *more);
    if (!more)
        return RNN_ENOMEM;
    c->wanted = more;
    c->wanted[c->n_wanted++] = (struct wanted){input, name};
    return 0;
}

/* A name, or a list of them, as many as the input has numbers. */
static int want_columns(struct csv *c, const struct rnn_input *input, const json_t *names,
                        struct rnn__fault *f)
{
    const char *where = c->o->setup->where;
    int before = c->n_wanted;
    size_t n = json_is_array(names) ? json_array_size(names) : 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(names) ? json_array_get(names, i) : names;
        const char *name = json_string_value(one);
        if (!name)
            return rnn__fault(f, RNN__ESPEC,
                              "%s.columns.%s: is not a column's name or a "
                              "list of them",
                              where, input->name);
        if (want(c, input, name) != 0)
            return rnn__fault_memory(f);
    }
    int64_t got = c->n_wanted - before;
    if (c->o->measuring || got == input->size)
        return 0;
    return rnn__fault(f, RNN_EDATA, "%s.columns.%s: names %lld columns, the input has %lld",
                      where, input->name, (long long)got, (long long)input->size);
}

static int read_settings(struct csv *c, struct rnn__fault *f)
{
    const struct rnn__opening *o = c->o;
    const json_t *columns = json_object_get(o->setup->json, "columns");
    const char *delimiter = ",";
    int code = rnn__get_text(o->setup->json, o->setup->where, "delimiter", &delimiter, f);
    if (!code && (strlen(delimiter) != 1 || strchr("\"\r\n.+-0123456789", *delimiter)))
        code = rnn__fault(f, RNN__ESPEC, "%s.delimiter: '%s' is not a character such as ;",
                          o->setup->where, delimiter);
    c->delimiter = *delimiter;
    for (int i = 0; i < o->n_input && !code; i++) {
        const json_t *names = json_object_get(columns, o->input[i].name);
        code = names ? want_columns(c, &o->input[i], names, f)
                     : rnn__fault(f, RNN__ESPEC, "%s.columns: no columns for input '%s'",
                                  o->setup->where, o->input[i].name);
    }
    return code;
}

/* ---- opening ---- */

static int make_room(struct csv *c, struct rnn__fault *f)
{
    size_t n = (size_t)c->n_wanted;
    c->next_of = malloc((n + 1) * sizeof *c->next_of);
    c->values = calloc(n + 1, sizeof *c->values);
    c->rows = calloc(ROWS_NUMBERS + n + 1, sizeof *c->rows);
    c->c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c->next_of || !c->values || !c->rows || !c->c_locale)
        return rnn__fault_memory(f);
    for (size_t i = 0; i < n; i++)
        c->next_of[i] = -2; /* not found yet */
    return 0;
}

static int read_text(struct csv *c, const char *path, struct rnn__fault *f)
{
    int code = rnn__ndarray_begin(c->out, path, f);
    if (code)
        return code;
    c->fd = rnn__open_file(path, &c->size, f);
    if (c->fd < 0)
        return c->fd;
    c->out->fd = rnn__scratch_file(f);
    if (c->out->fd < 0)
        return c->out->fd;
    code = read_header(c, f);
    if (!code)
        code = read_records(c, f);
    if (code)
        return code;
    rnn__ndarray_set_dtype(c->out, "f64");
    c->out->series = true;
    c->out->rank = 2;
    c->out->dim[0] = c->n_record;
    c->out->dim[1] = c->n_wanted;
    c->out->size = c->n_record * c->n_wanted;
    return rnn__stamp_of(c->out->fd, c->out->name, &c->out->stamp, f);
}

static int open_csv(const struct rnn__opening *o, struct rnn__ndarray *array,
                    struct rnn__fault *f)
{
    char *path = NULL;
    struct csv *c = calloc(1, sizeof *c);
    if (!c)
        return rnn__fault_memory(f);
    c->o = o;
    c->out = array;
    c->fd = -1;
    int code = rnn__container_path(o, "csv", &path, f);
    if (!code)
        code = read_settings(c, f);
    if (!code)
        code = make_room(c, f);
    if (!code)
        code = read_text(c, path, f);
    free(path);
    if (c->fd >= 0)
        rnn__io->close(c->fd);
    if (c->c_locale)
        freelocale(c->c_locale);
    free(c->wanted);
    free(c->head_of);
    free(c->next_of);
    free(c->values);
    free(c->rows);
    free(c);
    return code ? code : rnn__container_spread(o, array, f);
}

static const char *const csv_options[] = {"csv", "columns", "delimiter", NULL};
const struct rnn__container rnn__csv = {
    .options = csv_options, .series = true, .table = true, .open = open_csv};
