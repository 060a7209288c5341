/*
 * extents.c — how many steps and rows a chunk has at most, and how many classes a text.
 *
 * A kernel is compiled for a chunk's shape. Steps are `tbptt.step`, or all steps of
 * the data when the spec leaves it out; rows are the largest `batch` or `streams` of
 * the data's sections. An input `class` without a number takes the size of the
 * text's vocabulary, which the trainer then keeps.
 */
#include "extents.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "npy.h"
#include "vocabulary.h"

enum { ROWS_OTHERWISE = 32 }; /* sequences of a batch when the data do not say */

static const char *const sections[] = {"train", "valid"};

static const char *data_path(const Unit *u, const char *section, const char *key)
{
    return arena_print(u->arena, "data.%s.%s", section, key);
}

/* Relative paths start in the spec's folder. */
static const char *beside_spec(const Unit *u, const char *file)
{
    const char *slash = strrchr(u->options.spec_path, '/');
    if (file[0] == '/' || !slash)
        return file;
    return arena_print(u->arena, "%.*s/%s", (int)(slash - u->options.spec_path),
                       u->options.spec_path, file);
}

static int64_t find_rows(const Unit *u)
{
    int64_t rows = 0;
    for (int i = 0; i < COUNT(sections); i++) {
        int64_t batch = spec_integer(u->spec, data_path(u, sections[i], "batch"), 0);
        int64_t streams = spec_integer(u->spec, data_path(u, sections[i], "streams"), 0);
        rows = batch > rows ? batch : rows;
        rows = streams > rows ? streams : rows;
    }
    return rows ? rows : ROWS_OTHERWISE;
}

/* Steps of the sequences in an .npy file; 0 when no input names one that can be read. */
static int64_t steps_of_files(const Unit *u, const char *section)
{
    struct rnn__fault fault;
    int64_t axis = spec_integer(u->spec, data_path(u, section, "time_axis"), 1);
    for (int i = 0; i < u->spec->n_input; i++) {
        const InputDecl *in = &u->spec->input[i];
        const char *file = spec_text(u->spec, data_path(u, section, in->name), NULL);
        struct rnn__npy a;
        if (!file || in->per_sequence || rnn__npy_open(&a, beside_spec(u, file), &fault) != 0)
            continue;
        int64_t steps = a.rank > axis ? a.dim[axis] : 0;
        rnn__npy_close(&a);
        return steps;
    }
    return 0;
}

static int64_t find_steps(const Unit *u)
{
    int64_t steps = u->spec->tbptt_step;
    for (int i = 0; steps == 0 && i < COUNT(sections); i++) {
        steps = spec_integer(u->spec, data_path(u, sections[i], "length"), 0);
        if (steps == 0)
            steps = spec_integer(u->spec, data_path(u, sections[i], "steps"), 0);
        if (steps == 0)
            steps = steps_of_files(u, sections[i]);
    }
    return steps;
}

/* ---- vocabulary ---- */

static const Expr *number(Unit *u, int64_t value, Loc loc)
{
    Expr *e = NEW(u->arena, Expr);
    *e = (Expr){.kind = EXPR_NUMBER, .number = (double)value, .is_integer = true, .loc = loc};
    return e;
}

static int64_t scan_text(Unit *u, const char *file, Loc loc)
{
    struct rnn__fault fault;
    struct rnn__vocabulary v;
    enum rnn__level level = RNN__CHAR;
    rnn__level_of(spec_text(u->spec, "data.train.level", "char"), &level);
    if (rnn__vocabulary_scan(&v, beside_spec(u, file), level, &fault) != 0) {
        diag_error(u->diag, loc, "%s", fault.sentence);
        return 0;
    }
    json_t *json = rnn__vocabulary_to_json(&v);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    u->vocabulary = text ? arena_print(u->arena, "%s", text) : NULL;
    free(text);
    json_decref(json);
    int64_t n = v.n;
    rnn__vocabulary_free(&v);
    return n;
}

static void size_classes(Unit *u)
{
    int64_t classes = 0;
    for (int i = 0; i < u->spec->n_input; i++) {
        InputDecl *in = &u->spec->input[i];
        if (in->kind != KIND_CLASS || in->classes)
            continue;
        const char *file = spec_text(u->spec, "data.train.text", NULL);
        if (!file) {
            diag_error(u->diag, in->loc,
                       "class without a number, and no text whose vocabulary has a size; write "
                       "class(n) or give data.train.text");
            return;
        }
        if (classes == 0)
            classes = scan_text(u, file, in->loc);
        in->classes = number(u, classes, in->loc);
    }
}

void extents_of_spec(Unit *u)
{
    const Options *o = &u->options;
    size_classes(u);
    u->rows_max = o->rows_max ? o->rows_max : find_rows(u);
    u->steps_max = o->steps_max ? o->steps_max : find_steps(u);
    if (u->steps_max < 1)
        diag_error(u->diag, (Loc){.source = u->spec->source, .line = 1, .column = 1},
                   "no tbptt.step, and no data that tell how long a sequence is; write tbptt: "
                   "{step: 64}, say");
}
