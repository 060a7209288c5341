/*
 * source_text.c — a corpus as parallel streams: next-symbol prediction.
 *
 *     data:
 *       train: {text: corpus.txt, level: char, part: [0, 0.9], streams: 32, length: 512}
 *
 * The part of the text, n symbols, is cut into S streams of (n - 1) / S steps: row s
 * of the batch is stream s. Input x at a step is a symbol, y the symbol behind it:
 *
 *     stream 0            stream 1            …
 *     |a b c d e f g h i j|k l m n o p q r s t|
 *      x0 ----------->     x1 ----------->
 *        y0 ----------->     y1 ----------->
 *
 * Without `length` a pass is one batch, whole streams. With it, batches of `length`
 * steps follow each other, each going on where the last one stopped; the first of a
 * pass starts anew. Windows of them are in memory (window.c), read from the file (text.c).
 */
#include "settings.h"
#include "source.h"
#include "text.h"
#include "window.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct text_source {
    struct rnn__source_setup setup;
    const struct rnn_model *model;
    int64_t streams, length; /* length 0: whole streams */
    double begin, end;       /* of the text, 0 to 1 */
    struct rnn__text text;
    int64_t first; /* where the part begins */
    struct rnn__grid grid;
    struct rnn__windows *windows;
    uint8_t *start; /* [streams]: ones */
};

static const char *const option_list[] = {"text",   "level",     "part", "streams",
                                          "length", "drop_last", NULL};

/* ---- settings ---- */

static int read_settings(struct text_source *s, struct rnn__fault *f)
{
    int code = rnn__check_keys(s->setup.json, s->setup.where, option_list, f);
    if (!code)
        code = rnn__source_rows(&s->setup, "streams", s->model, &s->streams, f);
    if (!code)
        code = rnn__get_integer(s->setup.json, s->setup.where, "length", 1, &s->length, f);
    if (!code)
        code = rnn__get_flag(s->setup.json, s->setup.where, "drop_last", &s->grid.drop_last,
                             f);
    return code ? code : rnn__source_part(&s->setup, &s->begin, &s->end, f);
}

int rnn__source_text_file(const struct rnn__source_setup *setup, char **path,
                          enum rnn__level *level, struct rnn__fault *f)
{
    const struct rnn__vocabulary *known = setup->vocabulary;
    const char *name = NULL,
               *word = known->n && known->level == RNN__BYTE ? "byte" : "char";
    int code = rnn__get_text(setup->json, setup->where, "text", &name, f);
    if (!code)
        code = rnn__get_text(setup->json, setup->where, "level", &word, f);
    if (!code && !rnn__level_of(word, level))
        code = rnn__fault(f, RNN__ESPEC, "%s.level: '%s' is not byte or char", setup->where,
                          word);
    if (code)
        return code;
    *path = rnn__path_join(setup->folder, name);
    return *path ? 0 : rnn__fault_memory(f);
}

/* ---- the model ---- */

/* How far ahead of the text an input reads: x 0, y 1; -1 for other names. */
static int ahead_of(const struct rnn_input *input)
{
    static const char *const name_list[] = {"x", "y"};
    for (int i = 0; i < 2; i++)
        if (strcmp(input->name, name_list[i]) == 0)
            return i;
    return -1;
}

static int check_input(const struct text_source *s, const struct rnn_input *input,
                       struct rnn__fault *f)
{
    int64_t known = s->setup.vocabulary->n;
    if (ahead_of(input) < 0)
        return rnn__fault(f, RNN_EDATA, "%s: a text fills x and y, not input '%s'",
                          s->setup.where, input->name);
    if (input->kind != RNN_CLASS || input->per_sequence || input->size != 1)
        return rnn__fault(f, RNN_EDATA,
                          "%s: a text fills inputs of kind class; '%s' is none",
                          s->setup.where, input->name);
    if (input->classes < known)
        return rnn__fault(
            f, RNN_EDATA, "%s: the text has %lld distinct symbols, input '%s' %lld classes",
            s->setup.where, (long long)known, input->name, (long long)input->classes);
    return 0;
}

/* ---- opening ---- */

/* Where the part and its streams begin. */
static int lay_streams(struct text_source *s, struct rnn__fault *f)
{
    s->first = (int64_t)floor(s->begin * (double)s->text.n);
    int64_t symbols = (int64_t)floor(s->end * (double)s->text.n) - s->first;
    struct rnn__grid *g = &s->grid;
    g->rows = g->batch_rows = s->streams;
    g->steps = (symbols - 1) / s->streams;
    g->batch_steps = s->length && s->length < g->steps ? s->length : g->steps;
    if (symbols >= 2 && g->steps >= 1)
        return 0;
    return rnn__fault(f, RNN_EDATA, "%s: %lld symbols are too few for %lld streams (%s)",
                      s->text.path, (long long)symbols, (long long)s->streams,
                      s->setup.where);
}

static int open_text(struct text_source *s, struct rnn__fault *f)
{
    char *path = NULL;
    enum rnn__level level;
    int code = rnn__source_text_file(&s->setup, &path, &level, f);
    if (!code && level != s->setup.vocabulary->level)
        code = rnn__fault(f, RNN__ESPEC, "%s.level: is not the one that the model learned",
                          s->setup.where);
    if (!code)
        code = rnn__text_open(&s->text, path, s->setup.vocabulary, f);
    if (!code)
        code = rnn__source_uses(&s->setup, path, f);
    free(path);
    return code ? code : lay_streams(s, f);
}

/* ---- batches ---- */

static int fill(void *user, const struct rnn__window_part *part, struct rnn__fault *f)
{
    const struct text_source *s = user;
    int64_t step = s->first + part->batch.step + part->from.step0;
    int code = 0;
    for (int i = 0; i < s->model->n_input; i++)
        for (int64_t row = 0; row < s->streams && !code; row++)
            code = rnn__text_read(
                &s->text, step + row * s->grid.steps + ahead_of(&s->model->input[i]),
                part->steps, (int32_t *)(void *)part->out[i] + row * part->room, f);
    return code;
}

/* ---- the source ---- */

static int open_windows(struct text_source *s, struct rnn__fault *f)
{
    s->start = malloc((size_t)s->streams);
    if (!s->start)
        return rnn__fault_memory(f);
    memset(s->start, 1, (size_t)s->streams);
    return rnn__windows_open(&s->windows,
                             &(struct rnn__windowed){.where = s->setup.where,
                                                     .model = s->model,
                                                     .grid = s->grid,
                                                     .fill = fill,
                                                     .user = s},
                             f);
}

static int source_open(void *user, const struct rnn_model *model, char *sentence,
                       size_t capacity)
{
    struct text_source *s = user;
    struct rnn__fault f = {0};
    s->model = model;
    int code = read_settings(s, &f);
    for (int i = 0; i < model->n_input && !code; i++)
        code = check_input(s, &model->input[i], &f);
    if (!code)
        code = open_text(s, &f);
    if (!code)
        code = open_windows(s, &f);
    return code ? rnn__source_failed(&f, sentence, capacity) : 0;
}

static int source_describe(void *user, rnn_source_info *out, char *sentence,
                           size_t capacity)
{
    const struct text_source *s = user;
    (void)sentence, (void)capacity;
    *out = (rnn_source_info){.batches = rnn__grid_batches(&s->grid),
                             .rows = s->streams,
                             .steps = s->grid.batch_steps,
                             .streams = true,
                             .continues = s->length > 0};
    return 0;
}

static int source_read(void *user, int64_t pass, int64_t position, rnn_batch *out,
                       char *sentence, size_t capacity)
{
    struct text_source *s = user;
    out->start = position == 0 ? s->start : NULL;
    return rnn__windows_read(s->windows, pass, position, out, sentence, capacity);
}

static void source_close(void *user)
{
    struct text_source *s = user;
    rnn__windows_close(s->windows);
    rnn__text_close(&s->text);
    free(s->start);
    free(s);
}

int rnn__text_source(rnn_source *out, const struct rnn__source_setup *setup,
                     const struct rnn__container *container, struct rnn__fault *f)
{
    (void)container;
    struct text_source *s = calloc(1, sizeof *s);
    if (!s)
        return rnn__fault_memory(f);
    s->setup = *setup;
    s->text.fd = -1;
    *out = (rnn_source){source_open, source_describe, source_read, source_close, s};
    return 0;
}

/* A text has as many streams as the settings say or the model has rows. */
int rnn__text_measure(const struct rnn__source_setup *setup,
                      const struct rnn__container *container, const struct rnn_input *input,
                      int n_input, struct rnn__extent *out, struct rnn__fault *f)
{
    (void)setup, (void)container, (void)input, (void)n_input, (void)f;
    *out = (struct rnn__extent){.streams = true};
    return 0;
}
