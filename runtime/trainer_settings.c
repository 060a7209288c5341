/*
 * trainer_settings.c — the settings of a run: what the spec says, what --set and the
 * options of the command line say after it, checked before anything is opened.
 *
 * A trainer that was built knows nothing of the spec's language: --set changes numbers that
 * the model reads while it runs, and the keys that shape no code. Any other key is refused
 * with the command that builds a trainer with it.
 */
#include "engine.h"
#include "trainer.h"

#include <stdlib.h>
#include <string.h>

static const char *const carry_words[RNN__CARRY_COUNT] = {"none", "batch", "stream"};
static const char *const report_words[] = {"unweighted", "weighted"};
static const char *const train_keys[] = {"epochs", "max_iterations", "seed", "threads",
                                         "log",    "handlers",       NULL};

int64_t rnn__window_of(const struct rnn__trainer *t)
{
    return t->tbptt_window ? t->tbptt_window : t->tbptt_step;
}

/* New steps of a chunk, and those of its window: 0 where the model knows them. */
static int read_steps(struct rnn__trainer *t, const json_t *tbptt, struct rnn__fault *f)
{
    int code = rnn__get_integer(tbptt, "tbptt", "step", 1, &t->tbptt_step, f);
    if (!code)
        code = rnn__get_integer(tbptt, "tbptt", "window", 1, &t->tbptt_window, f);
    if (!code && rnn__tbptt_check_steps(t->model, t->tbptt_step, rnn__window_of(t)) != 0)
        code = rnn__fault(f, RNN__ESPEC, "%s", rnn_engine_error(NULL));
    return code;
}

static int read_tbptt(struct rnn__trainer *t, struct rnn__fault *f)
{
    const json_t *tbptt = json_object_get(t->json, "tbptt");
    t->carry = RNN__CARRY_AS_DATA;
    int code = read_steps(t, tbptt, f);
    if (!code)
        code = rnn__get_word(tbptt, "tbptt", "carry", carry_words, RNN__CARRY_COUNT,
                             &t->carry, f);
    return code ? code
                : rnn__get_word(tbptt, "tbptt", "report", report_words, 2, &t->report, f);
}

static int read_train(struct rnn__trainer *t, struct rnn__fault *f)
{
    const json_t *train = json_object_get(t->json, "train");
    const struct rnn__options *o = t->options;
    int64_t seed = 0;
    t->epochs = 1;
    t->max_iterations = RNN_NONE;
    int code = rnn__check_keys(train, "train", train_keys, f);
    if (!code)
        code = rnn__get_integer(train, "train", "epochs", 1, &t->epochs, f);
    if (!code)
        code = rnn__get_integer(train, "train", "seed", 0, &seed, f);
    if (!code)
        code = rnn__get_integer(train, "train", "threads", 0, &t->threads, f);
    if (!code)
        code = rnn__get_integer(train, "train", "max_iterations", 1, &t->max_iterations, f);
    t->seed = (uint64_t)(o->seed == RNN_NONE ? seed : o->seed);
    if (o->threads != RNN_NONE)
        t->threads = o->threads;
    if (o->max_iterations != RNN_NONE)
        t->max_iterations = o->max_iterations;
    return code;
}

/* A number that the model reads while it runs; NULL: no such number. */
static const struct rnn_scalar *scalar_of(const struct rnn_model *m, const char *name)
{
    for (int i = 0; i < m->n_scalar; i++)
        if (!m->scalar[i].counter && strcmp(m->scalar[i].name, name) == 0)
            return &m->scalar[i];
    return NULL;
}

static int set_scalar(struct rnn__trainer *t, const struct rnn_scalar *s, const char *value,
                      struct rnn__fault *f)
{
    json_t *text = json_string(value);
    double number;
    char wanted[128] = "a number";
    bool good = rnn__is_number(text, &number) && rnn__scalar_takes(s, number, wanted);
    json_decref(text);
    if (!good)
        return rnn__fault(f, RNN_EINVAL, "--set %s: '%s' is not %s", s->name, value,
                          wanted);
    t->number[t->n_number].name = s->name;
    t->number[t->n_number++].value = number;
    return 0;
}

/* The number whose name is nearly `key`; NULL: none is. */
static const char *nearest_number(const struct rnn_model *m, const char *key)
{
    const char **names = calloc((size_t)m->n_scalar + 1, sizeof *names), *near = NULL;
    int n = 0;
    for (int i = 0; names && i < m->n_scalar; i++)
        if (!m->scalar[i].counter)
            names[n++] = m->scalar[i].name;
    if (names)
        near = rnn__nearest(key, names);
    free(names);
    return near;
}

/* The section whose name is nearly the key's first; NULL: none is. */
static const char *nearest_section(const char *key)
{
    static const char *const sections[] = {"train", "data", "tbptt", NULL};
    char first[16];
    size_t length = strcspn(key, ".");
    if (!key[length] || length >= sizeof first)
        return NULL;
    memcpy(first, key, length);
    first[length] = 0;
    return rnn__nearest(first, sections);
}

/* Is it a key of specs, so that a trainer could be built with it? Of a loss, an optimizer
   and groups --set changes arguments at most. */
static bool is_key_of_specs(const char *key)
{
    static const struct {
        const char *name;
        int dots; /* at most; -1: any */
    } sections[] = {{"name", 0},   {"dtype", 0},      {"inputs", -1}, {"model", -1},
                    {"cells", -1}, {"functions", -1}, {"losses", -1}, {"optimizers", -1},
                    {"loss", 0},   {"metrics", -1},   {"groups", 0},  {"optimizer", 1},
                    {"tbptt", -1}};
    size_t length = strcspn(key, ".");
    int dots = 0;
    for (const char *c = key; *c; c++)
        dots += *c == '.';
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        if (strncmp(key, sections[i].name, length) == 0 && !sections[i].name[length])
            return sections[i].dots < 0 || dots <= sections[i].dots;
    return false;
}

static int refuse_key(struct rnn__trainer *t, const char *key, const char *value,
                      struct rnn__fault *f)
{
    const char *near = nearest_number(t->model, key);
    const char *spec = json_string_value(json_object_get(t->json, "spec"));
    const char *section = nearest_section(key);
    bool is_known = is_key_of_specs(key);
    if (near)
        rnn__fault(f, RNN_EINVAL, "--set %s: there is no such number; did you mean '%s'?",
                   key, near);
    else
        rnn__fault(f, RNN_EINVAL, "--set %s: %s", key,
                   is_known ? "is compiled into this program; build another"
                            : "there is no such key or number");
    if (!near && !is_known && section)
        return rnn__fault_add(f, "; did you mean '%s%s'?", section,
                              key + strcspn(key, "."));
    if (near && is_known)
        rnn__fault_add(f, " if it is compiled into this program, build another");
    if (is_known)
        rnn__fault_add(f, ": rnnc build %s --set %s=%s -o PATH", spec ? spec : "SPEC", key,
                       value);
    if (near)
        return f->code;
    rnn__fault_add(f,
                   "\nkeys that may change now: train.*, data.*, tbptt.step, tbptt.carry, "
                   "tbptt.report");
    for (int i = 0; i < t->model->n_scalar; i++)
        if (!t->model->scalar[i].counter)
            rnn__fault_add(f, ", %s", t->model->scalar[i].name);
    return f->code;
}

static bool changes_a_run(const char *key)
{
    static const char *const exact[] = {"tbptt.step", "tbptt.carry", "tbptt.report"};
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        if (strcmp(key, exact[i]) == 0)
            return true;
    return strncmp(key, "train.", 6) == 0 || strncmp(key, "data.", 5) == 0;
}

/* KEY=VALUE; `set` is a copy that lives with the trainer. */
static int apply_set(struct rnn__trainer *t, char *set, struct rnn__fault *f)
{
    char *equals = strchr(set, '=');
    if (!equals || equals == set)
        return rnn__fault(f, RNN_EINVAL, "--set %s: is not KEY=VALUE", set);
    *equals = '\0';
    const struct rnn_scalar *scalar = scalar_of(t->model, set);
    if (scalar)
        return set_scalar(t, scalar, equals + 1, f);
    if (changes_a_run(set))
        return rnn__set_path(t->json, set, equals + 1, f);
    return refuse_key(t, set, equals + 1, f);
}

/* Settings without handlers have an empty list of them, so that --set finds one. */
static int make_list(struct rnn__trainer *t, struct rnn__fault *f)
{
    int failed = 0;
    if (!json_object_get(t->json, "train"))
        failed = json_object_set_new(t->json, "train", json_object());
    json_t *train = json_object_get(t->json, "train");
    if (json_is_object(train) && !json_object_get(train, "handlers"))
        failed |= json_object_set_new(train, "handlers", json_array());
    return failed ? rnn__fault_memory(f) : 0;
}

static int apply_sets(struct rnn__trainer *t, struct rnn__fault *f)
{
    int code = make_list(t, f);
    t->number = calloc((size_t)t->options->n_set + 1, sizeof *t->number);
    if (!t->number)
        return rnn__fault_memory(f);
    for (int i = 0; i < t->options->n_set && !code; i++) {
        char *copy = rnn__path_join(NULL, t->options->set[i]);
        code = rnn__attach(t, copy, free, f);
        if (!code)
            code = apply_set(t, copy, f);
    }
    return code;
}

static int read_out(struct rnn__trainer *t, struct rnn__fault *f)
{
    const struct rnn__options *o = t->options;
    t->name = json_string_value(json_object_get(t->json, "name"));
    if (!t->name)
        t->name = t->model->name;
    const char *given = o->out ? o->out : o->resume;
    t->out = given ? rnn__path_join(NULL, given) : rnn__path_join("runs", t->name);
    if (!t->out)
        return rnn__fault_memory(f);
    for (size_t n = strlen(t->out); n > 1 && t->out[n - 1] == '/'; n--)
        t->out[n - 1] = '\0';
    return 0;
}

int rnn__trainer_read(struct rnn__trainer *t, struct rnn__fault *f)
{
    json_error_t error;
    t->saved_chunks = RNN_NONE;
    t->lock = t->source_lock = -1;
    t->json = json_loads(t->config->json ? t->config->json : "{}", JSON_REJECT_DUPLICATES,
                         &error);
    if (rnn__json_take_failure())
        return rnn__fault_memory(f);
    if (!json_is_object(t->json))
        return rnn__fault(f, RNN__ESPEC, "the settings are damaged: %s", error.text);
    int code = apply_sets(t, f);
    if (!code)
        code = read_train(t, f);
    if (!code)
        code = read_tbptt(t, f);
    if (!code)
        code = read_out(t, f);
    const json_t *vocabulary = json_object_get(t->json, "vocabulary");
    if (!code && vocabulary)
        code = rnn__vocabulary_from_json(&t->vocabulary, vocabulary, f);
    return code;
}
