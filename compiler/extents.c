/*
 * extents.c — how many steps and rows a chunk has at most, and how many classes a text.
 *
 * A kernel is compiled for a chunk's shape. Steps are those of `tbptt.window`, which is
 * `tbptt.step` unless told, or all steps of the data when the spec leaves them out; rows
 * are the largest `batch` or `streams` of the data's sections, or what its files say. An
 * input `class` without a number takes the size of the text's vocabulary, which the trainer
 * then keeps.
 */
#include "extents.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "source.h"
#include "vocabulary.h"

enum { ROWS_OTHERWISE = 32 }; /* sequences of a batch when the data do not say */

/* A number of each step of each row must fit the address space: 128 TB. */
static const int64_t POINTS_MAX = INT64_C(1) << 44;

enum { TRAIN, VALID, N_SECTION };
static const char *const sections[N_SECTION] = {"train", "valid"};

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

/* A mistake of the data, not of the spec. */
static void data_error(Unit *u, Loc loc, const char *before, const struct rnn__fault *fault)
{
    diag_error(u->diag, loc, "%s%s", before, fault->sentence);
    if (u->n_data_error++ == 0)
        u->data_code = fault->code;
}

/* What the files of a section say, or why they do not. */
typedef struct {
    bool asked;
    struct rnn__extent extent;
    struct rnn__fault fault; /* code 0: none */
} Measured;

/* Asks the source itself. */
static void measure(const Unit *u, const char *section, Measured *out)
{
    *out = (Measured){.asked = true};
    json_t *config = json_loads(config_json(u), 0, NULL);
    const json_t *source = json_object_get(json_object_get(config, "data"), section);
    struct rnn_input *input = calloc((size_t)u->spec->n_input + 1, sizeof *input);
    for (int i = 0; input && i < u->spec->n_input; i++)
        input[i] = (struct rnn_input){.name = u->spec->input[i].name,
                                      .per_sequence = u->spec->input[i].per_sequence};
    const struct rnn__source_setup setup = {.json = source,
                                            .where =
                                                arena_print(u->arena, "data.%s", section),
                                            .folder = config_folder(u)};
    if (source && input)
        rnn__source_measure(&setup, input, u->spec->n_input, &out->extent, &out->fault);
    free(input);
    json_decref(config);
}

/* By section; files are read when they are first asked for. */
static const Measured *measured(const Unit *u, Measured *list, int section)
{
    if (!list[section].asked)
        measure(u, sections[section], &list[section]);
    return &list[section];
}

/* Rows and steps that the spec leaves to its files; files that cannot be read yet leave
   them open. The first complaint to *fault. */
static void ask_files(const Unit *u, Measured *list, int64_t *rows, int64_t *steps,
                      struct rnn__fault *fault)
{
    for (int i = 0; i < COUNT(sections) && (!*rows || !*steps); i++) {
        const Measured *m = measured(u, list, i);
        if (m->fault.code && !fault->code)
            *fault = m->fault;
        if (!*rows)
            *rows = m->extent.rows;
        if (!*steps)
            *steps = m->extent.steps;
        if (m->extent.steps)
            return;
    }
}

/* A number of the spec, and the key that it stands at. */
typedef struct {
    const char *key; /* NULL: the spec does not say */
    int64_t value;
} Extent;

static Extent extent_at(const Unit *u, const char *key)
{
    int64_t value = spec_integer(u->spec, key, 0);
    return (Extent){value ? key : NULL, value};
}

static Extent larger(Extent a, Extent b) { return b.value > a.value ? b : a; }

static Extent rows_of_spec(const Unit *u)
{
    Extent rows = {0};
    for (int i = 0; i < COUNT(sections); i++) {
        rows = larger(rows, extent_at(u, data_path(u, sections[i], "batch")));
        rows = larger(rows, extent_at(u, data_path(u, sections[i], "streams")));
    }
    return rows;
}

static Extent steps_of_spec(const Unit *u)
{
    Extent steps = larger(extent_at(u, "tbptt.step"), extent_at(u, "tbptt.window"));
    for (int i = 0; steps.value == 0 && i < COUNT(sections); i++) {
        steps = extent_at(u, data_path(u, sections[i], "length"));
        if (steps.value == 0)
            steps = extent_at(u, data_path(u, sections[i], "steps"));
    }
    return steps;
}

/* ---- vocabulary ---- */

static const Expr *number(Unit *u, int64_t value, Loc loc)
{
    Expr *e = NEW(u->arena, Expr);
    *e = (Expr){
        .kind = EXPR_NUMBER, .number = (double)value, .is_integer = true, .loc = loc};
    return e;
}

static int64_t scan_text(Unit *u, const char *file, Loc loc)
{
    struct rnn__fault fault;
    struct rnn__vocabulary v;
    enum rnn__level level = RNN__CHAR;
    rnn__level_of(spec_text(u->spec, "data.train.level", "char"), &level);
    if (rnn__vocabulary_scan(&v, beside_spec(u, file), level, &fault) != 0) {
        data_error(u, loc, "", &fault);
        return 1; /* as good as any: told once */
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
            diag_error(
                u->diag, in->loc,
                "class without a number, and no text whose vocabulary has a size; write "
                "class(n) or give data.train.text");
            return;
        }
        if (classes == 0)
            classes = scan_text(u, file, in->loc);
        in->classes = number(u, classes, in->loc);
    }
}

/* A stream goes on where the data do: the source knows, not its keys. Files that cannot be
   read yet are judged when they are trained on. */
static void check_stream(Unit *u, Measured *list)
{
    const Spec *s = u->spec;
    const Tree *carry = tree_get(s->tbptt, "carry");
    if (!str_eq(spec_text(s, "tbptt.carry", ""), "stream") || !tree_get(s->data, "train"))
        return;
    const Measured *train = measured(u, list, TRAIN);
    if (!train->extent.streams && !train->fault.code)
        diag_error(
            u->diag, carry->loc,
            "tbptt.carry: stream goes on with data in streams, and data.train has "
            "none; write data: {train: {streams: S, length: L, …}}, or carry: batch");
}

/* Steps are known, or it is said why not. */
static void check_steps(Unit *u, const struct rnn__fault *fault)
{
    const Loc top = {.source = u->spec->source, .line = 1, .column = 1};
    if (u->steps_max < 1 && fault->code)
        data_error(
            u, top,
            "no tbptt.step, and the data do not tell how long a sequence is: ", fault);
    else if (u->steps_max < 1)
        diag_error(
            u->diag, top,
            "no tbptt.step, and no data that tell how long a sequence is; write tbptt: "
            "{step: 64}, say");
}

/* Where the larger of both stands: what to make smaller. What the files say stands nowhere,
   but its key would. */
static Loc place_of_larger(const Unit *u, Extent steps, Extent rows, const char **key)
{
    bool by_rows = u->rows_max > u->steps_max;
    Extent large = by_rows ? rows : steps;
    const Tree *t = large.key ? spec_tree(u->spec, large.key) : NULL;
    *key = t ? large.key : by_rows ? "the data's batch" : "tbptt.step";
    return t ? t->loc : (Loc){.source = u->spec->source, .line = 1, .column = 1};
}

void extents_of_spec(Unit *u)
{
    const Options *o = &u->options;
    struct rnn__fault fault = {0};
    Measured list[N_SECTION] = {{0}};
    size_classes(u);
    check_stream(u, list);
    Extent rows = rows_of_spec(u), steps = steps_of_spec(u);
    u->rows_max = o->rows_max ? o->rows_max : rows.value;
    u->steps_max = o->steps_max ? o->steps_max : steps.value;
    if (!u->rows_max || !u->steps_max)
        ask_files(u, list, &u->rows_max, &u->steps_max, &fault);
    if (!u->rows_max)
        u->rows_max = ROWS_OTHERWISE;
    u->extent_loc = place_of_larger(u, steps, rows, &u->extent_key);
    check_steps(u, &fault);
    if (u->steps_max > 0 && (!size_mul(u->steps_max, u->rows_max, &u->points_max) ||
                             u->points_max > POINTS_MAX))
        diag_error(u->diag, u->extent_loc,
                   "a chunk of %lld steps and %lld rows is beyond all memory; make %s "
                   "smaller",
                   (long long)u->steps_max, (long long)u->rows_max, u->extent_key);
}
