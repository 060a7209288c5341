/*
 * handlers.c — which handlers a run has, when they are called, and the small ones.
 *
 * Settings list them by name, in any order; they are hung in the order of the table
 * below, so that a validation comes before those who judge by it, and a checkpoint
 * after them all. An event whose validation was interrupted goes on with it, in a resumed
 * run too, which knows it by its name: other handlers may have come or gone. Standard ones
 * are there without being asked for.
 */
#include "engine.h"
#include "log.h"
#include "trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- shared ---- */

int rnn__attach(struct rnn__trainer *t, void *user, void (*close)(void *user),
                struct rnn__fault *f)
{
    struct rnn__attached *a = user ? calloc(1, sizeof *a) : NULL;
    if (!a) {
        if (user)
            close(user);
        return rnn__fault_memory(f);
    }
    *a = (struct rnn__attached){user, close, t->attached};
    t->attached = a;
    return 0;
}

int rnn__hang(struct rnn__trainer *t, int event, const rnn_filter *filter, rnn_handler *fn,
              void *user, struct rnn__fault *f)
{
    int handle = rnn_on(t->engine, event, filter, fn, user);
    if (t->hanging)
        handle = rnn__named(t->engine, handle, t->hanging);
    return handle > 0 ? 0 : rnn__trainer_failed(t, t->engine, handle, f);
}

int rnn__hang_when(struct rnn__trainer *t, const struct rnn__when *when, rnn_handler *fn,
                   void *user, struct rnn__fault *f)
{
    return rnn__hang(t, when->event, when->filtered ? &when->filter : NULL, fn, user, f);
}

/* ---- numbers that handlers watch ---- */

bool rnn__watched(struct rnn__trainer *t, const char *name, double *value)
{
    return rnn__figure(t->engine, name, value);
}

const char *rnn__training_metric(const struct rnn__trainer *t, int i)
{
    const struct rnn_model *m = t->model;
    for (int k = 0; k < m->n_metric; k++)
        if (m->metric[k].in_training && i-- == 0)
            return m->metric[k].name;
    return NULL;
}

/* The figures of a run: its loss, training's metrics, and what a validation measures. */
int rnn__check_figure(struct rnn__trainer *t, const char *where, const char *key,
                      const char *name, struct rnn__fault *f)
{
    enum { MOST = RNN__FIELDS_MAX };
    char text[MOST][128];
    const char *list[2 * MOST + 1] = {"loss"}, *metric;
    int n = 1;
    for (int i = 0; n < MOST && (metric = rnn__training_metric(t, i)); i++)
        if (strcmp(metric, "loss") != 0)
            list[n++] = metric;
    for (int i = 0;
         t->evaluator && i < MOST && (metric = rnn_metric_at(t->evaluator, i, NULL)); i++) {
        snprintf(text[i], sizeof text[i], "valid.%s", metric);
        list[n++] = text[i];
    }
    for (int i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0)
            return 0;
    if (!t->evaluator && strncmp(name, "valid.", 6) == 0)
        return rnn__fault(f, RNN__ESPEC,
                          "%s.%s: there is no '%s' without data.valid to validate on",
                          where, key, name);
    const char *near = rnn__nearest(name, list);
    rnn__fault(f, RNN__ESPEC, "%s.%s: there is no figure '%s'", where, key, name);
    if (near)
        return rnn__fault_add(f, "; did you mean '%s'?", near);
    rnn__fault_add(f, "; known are");
    for (int i = 0; i < n; i++)
        rnn__fault_add(f, " %s", list[i]);
    return f->code;
}

int rnn__read_mode(const json_t *options, const char *where, const char *watched,
                   bool *larger, struct rnn__fault *f)
{
    static const char *const words[] = {"min", "max"};
    bool is_loss = strcmp(watched, "loss") == 0 || strcmp(watched, "valid.loss") == 0;
    int mode = is_loss ? 0 : -1;
    int code = rnn__get_word(options, where, "mode", words, 2, &mode, f);
    if (!code && mode < 0)
        code =
            rnn__fault(f, RNN__ESPEC,
                       "%s: is more of '%s' better, or less? say mode: max, or mode: min",
                       where, watched);
    *larger = mode == 1;
    return code;
}

/* ---- trace: the names of events, as they fire ---- */

struct trace {
    struct rnn__out *out; /* the trainer's */
    bool all;
};

static int trace_event(rnn_engine *e, int event, void *user)
{
    const struct trace *trace = user;
    rnn__out_put(trace->out, "%s\n", rnn_event_name(e, event));
    /* To listen to an exception is to swallow it; a trace hands it on. */
    return event == RNN_EXCEPTION_RAISED ? rnn_exception(e) : 0;
}

/* rnnc's own events only on request: BACKWARD_COMPLETED splits the update in two. */
static int hang_trace(struct rnn__trainer *t, struct trace *trace, struct rnn__fault *f)
{
    int code = 0;
    for (int event = 0; event < RNN_EVENT_COUNT && !code; event++)
        if (trace->all || rnn_event_origin(event) != RNN_ORIGIN_OWN)
            code = rnn__hang(t, event, NULL, trace_event, trace, f);
    return code || !trace->all ? code
                               : rnn__hang(t, t->validated, NULL, trace_event, trace, f);
}

static int add_trace(struct rnn__trainer *t, const json_t *options, const char *where,
                     struct rnn__fault *f)
{
    const char *name = "trace.txt";
    struct trace *trace = calloc(1, sizeof *trace);
    int code = rnn__attach(t, trace, free, f);
    if (!code)
        code = rnn__get_flag(options, where, "all", &trace->all, f);
    if (!code)
        code = rnn__get_file_name(options, where, &name, f);
    if (code)
        return code;
    char *path = rnn__path_join(t->out, name);
    code = rnn__run_file(t, path, 0, &trace->out, f);
    free(path);
    return code ? code : hang_trace(t, trace, f);
}

/* ---- validate ---- */

/* A signal ends a validation on its way: the run pauses in the event, and a resumed run
   goes on with the validation. Events that cannot be gone on with wait for its end. */
static int validate(rnn_engine *e, int event, void *user)
{
    struct rnn__trainer *t = user;
    struct rnn__fault f = {0};
    bool again = event == RNN_ITERATION_COMPLETED || event == RNN_EPOCH_COMPLETED;
    int code = rnn__validate(t, again, &f);
    if (code < 0)
        return rnn_raise(e, code, "%s", f.sentence);
    if (code == 0) {
        rnn__log_validation(t);
        code = rnn_fire(e, t->validated);
    }
    return code;
}

static int add_validate(struct rnn__trainer *t, const json_t *options, const char *where,
                        struct rnn__fault *f)
{
    struct rnn__when when = {.event = RNN_EPOCH_COMPLETED};
    int code = rnn__read_when(t, options, where, &when, f);
    if (!code && !t->evaluator)
        return options ? rnn__fault(f, RNN__ESPEC, "%s: there is no data.valid", where) : 0;
    return code ? code : rnn__hang_when(t, &when, validate, t, f);
}

/* ---- the table ---- */

static const struct handler_kind {
    const char *name;
    int (*add)(struct rnn__trainer *t, const json_t *options, const char *where,
               struct rnn__fault *f);
    bool standard;
    const char *keys[12];
} kind_list[] = {
    {"log", rnn__add_log, true, {"file", "format", RNN__WHEN_KEYS}},
    {"trace", add_trace, false, {"file", "all"}},
    {"terminate_on_nan", rnn__add_terminate_on_nan, true, {"gradients", RNN__WHEN_KEYS}},
    {"ema", rnn__add_ema, false, {"momentum", "momentum_warmup", "warmup", RNN__WHEN_KEYS}},
    {"validate", add_validate, true, {RNN__WHEN_KEYS}},
    {"progress", rnn__add_progress, true, {RNN__WHEN_KEYS}},
    {"early_stopping",
     rnn__add_early_stopping,
     false,
     {"patience", "threshold", "threshold_mode", "cumulative", "mode", RNN__WHEN_KEYS}},
    {"time_limit", rnn__add_time_limit, false, {"seconds", RNN__WHEN_KEYS}},
    {"timer", rnn__add_timer, false, {RNN__WHEN_KEYS}},
    {"profile", rnn__add_profile, false, {NULL}},
    {"checkpoint", rnn__add_checkpoint, true, {"keep", "best", "mode", RNN__WHEN_KEYS}},
};
enum { N_KIND = sizeof kind_list / sizeof *kind_list };

/* The handler's name in an entry of the list: "progress", or {"checkpoint": {…}}. */
static const char *entry_name(json_t *entry, json_t **options)
{
    *options = NULL;
    if (json_is_string(entry))
        return json_string_value(entry);
    void *at = json_object_iter(entry);
    if (json_object_size(entry) != 1)
        return NULL;
    *options = json_object_iter_value(at);
    return json_object_iter_key(at);
}

static int check_entry(json_t *entry, struct rnn__fault *f)
{
    const char *names[N_KIND + 1] = {0};
    json_t *options;
    const char *name = entry_name(entry, &options);
    if (!name)
        return rnn__fault(f, RNN__ESPEC,
                          "train.handlers: an entry is neither NAME nor {NAME: {OPTIONS}}");
    for (int i = 0; i < N_KIND; i++) {
        names[i] = kind_list[i].name;
        if (strcmp(names[i], name) == 0)
            return 0;
    }
    const char *near = rnn__nearest(name, names);
    rnn__fault(f, RNN__ESPEC, "train.handlers: unknown handler '%s'", name);
    return near ? rnn__fault_add(f, "; did you mean '%s'?", near) : f->code;
}

static int add_entry(struct rnn__trainer *t, const struct handler_kind *kind,
                     json_t *options, struct rnn__fault *f)
{
    char where[64];
    snprintf(where, sizeof where, "train.handlers.%s", kind->name);
    const char *word = json_string_value(options);
    if (json_is_false(options) || (word && strcmp(word, "false") == 0))
        return 0; /* {progress: false}: not even the standard one */
    if (!json_is_object(options))
        options = NULL;
    int code = rnn__check_keys(options, where, kind->keys, f);
    t->hanging = kind->name;
    if (!code)
        code = kind->add(t, options, where, f);
    t->hanging = NULL;
    return code;
}

/* train.log stands for a log handler when the list has none. */
static json_t *section_of(const struct rnn__trainer *t, const struct handler_kind *kind)
{
    bool has_section = kind->add == rnn__add_log;
    return has_section ? json_object_get(json_object_get(t->json, "train"), kind->name)
                       : NULL;
}

static int add_kind(struct rnn__trainer *t, const struct handler_kind *kind, json_t *list,
                    struct rnn__fault *f)
{
    bool listed = false;
    size_t i;
    json_t *entry, *options;
    json_array_foreach(list, i, entry)
    {
        const char *name = entry_name(entry, &options);
        if (strcmp(name, kind->name) != 0)
            continue;
        listed = true;
        int code = add_entry(t, kind, options, f);
        if (code)
            return code;
    }
    return listed || !kind->standard ? 0 : add_entry(t, kind, section_of(t, kind), f);
}

/* The engine's sentences, for the user of a trainer. */
static void tell_notice(void *user, const char *sentence)
{
    struct rnn__trainer *t = user;
    snprintf(t->said, sizeof t->said, "%s", sentence);
    if (!t->options->quiet)
        fprintf(stderr, "%s%s: note: %s\n", t->bar_is_drawn ? "\n" : "",
                t->options->program, sentence);
}

int rnn__handlers_add(struct rnn__trainer *t, struct rnn__fault *f)
{
    json_t *list = json_object_get(json_object_get(t->json, "train"), "handlers");
    size_t at;
    json_t *entry;
    int code = 0;
    if (list && !json_is_array(list))
        return rnn__fault(
            f, RNN__ESPEC,
            "train.handlers: is not a list; on a trainer's command line a "
            "list is JSON's: [\"progress\", {\"checkpoint\": {\"keep\": 3}}]");
    rnn_set_notice(t->engine, tell_notice, t);
    t->validated = rnn_register_event(t->engine, "VALIDATION_COMPLETED", "epoch");
    if (t->validated < 0)
        return rnn__trainer_failed(t, t->engine, t->validated, f);
    json_array_foreach(list, at, entry)
    {
        if ((code = check_entry(entry, f)) != 0)
            return code;
    }
    for (int i = 0; i < N_KIND && !code; i++)
        code = add_kind(t, &kind_list[i], list, f);
    return code ? code : rnn__hang_wish(t, f);
}
