/*
 * checkpoint_resume.c — what a run that is resumed takes from a checkpoint's metadata: its
 * seed, its progress, numbers and metrics.
 *
 * The metadata are checked against what each of their entries is before they are believed.
 */
#include "checkpoint.h"
#include "engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double exact_value(const json_t *value)
{
    const char *text = json_string_value(value);
    return text ? strtod(text, NULL) : 0;
}

/* ---- what the metadata may be ---- */

static bool is_exact(const json_t *value)
{
    const char *text = json_string_value(value);
    char *end = NULL;
    if (text)
        strtod(text, &end);
    return text && *text && !*end;
}

static bool is_text(const json_t *value) { return json_is_string(value); }
static bool is_any(const json_t *value) { return value != NULL; }

/* The JSON of a checkpoint of ours: what each entry is, and what its members are. */
static const struct {
    const char *key;
    bool is_list, may_lack;
    bool (*member)(const json_t *value);
} metadata_list[] = {
    {"progress", false, false, is_any},  {"scalars", false, false, is_exact},
    {"metrics", false, false, is_exact}, {"files", false, false, is_any},
    {"data", true, false, is_any},       {"checksums", false, false, is_text},
    {"vocabulary", false, true, is_any},
};
enum { N_METADATA = sizeof metadata_list / sizeof *metadata_list };

static bool is_good(const json_t *json, int i)
{
    const char *name;
    json_t *value;
    if (metadata_list[i].is_list)
        return json_is_array(json);
    bool good = json_is_object(json);
    json_object_foreach((json_t *)(uintptr_t)json, name, value)
    {
        good = good && metadata_list[i].member(value);
    }
    return good;
}

static bool is_seed(const char *text)
{
    return text && *text && strspn(text, "0123456789") == strlen(text);
}

/* Of a file of ours. */
static int check_metadata(const struct rnn__safetensors *s, struct rnn__fault *f)
{
    if (!is_seed(rnn__safetensors_metadata(s, "seed")))
        return rnn__fault(f, RNN_EFORMAT, "%s: its seed is damaged", s->path);
    for (int i = 0; i < N_METADATA; i++) {
        if (metadata_list[i].may_lack &&
            !rnn__safetensors_metadata(s, metadata_list[i].key))
            continue;
        json_t *json = rnn__checkpoint_json(s, metadata_list[i].key);
        bool good = is_good(json, i);
        json_decref(json);
        if (rnn__json_take_failure())
            return rnn__fault_memory(f);
        if (!good)
            return rnn__fault(f, RNN_EFORMAT, "%s: its %s are damaged", s->path,
                              metadata_list[i].key);
    }
    return 0;
}

/* A run has one seed from its beginning to its end. */
static int take_seed(struct rnn__trainer *t, const struct rnn__safetensors *s,
                     struct rnn__fault *f)
{
    const char *text = rnn__safetensors_metadata(s, "seed");
    uint64_t seed = text ? strtoull(text, NULL, 10) : t->seed;
    if (t->options->seed != RNN_NONE && (uint64_t)t->options->seed != seed)
        return rnn__fault(f, RNN_EINVAL,
                          "--seed %" PRId64
                          ": the run that is resumed has the seed %" PRIu64
                          "; leave --seed out",
                          t->options->seed, seed);
    t->seed = seed;
    return 0;
}

int rnn__checkpoint_vocabulary(struct rnn__trainer *t, const struct rnn__safetensors *s,
                               struct rnn__fault *f)
{
    if (t->vocabulary.n)
        return 0;
    json_t *json = rnn__checkpoint_json(s, "vocabulary");
    int code = json ? rnn__vocabulary_from_json(&t->vocabulary, json, f) : 0;
    json_decref(json);
    return code;
}

int rnn__checkpoint_peek(struct rnn__trainer *t, const struct rnn__safetensors *s,
                         struct rnn__fault *f)
{
    int code = 0;
    if (t->options->resumes && rnn__checkpoint_is_ours(s))
        code = check_metadata(s, f);
    if (!code && t->options->resumes) {
        code = take_seed(t, s, f);
        t->resumed_files = rnn__checkpoint_json(s, "files");
    }
    return code ? code : rnn__checkpoint_vocabulary(t, s, f);
}

/* ---- resuming ---- */

static int check_ours(struct rnn__trainer *t, const struct rnn__safetensors *s,
                      struct rnn__fault *f)
{
    const char *version = rnn__safetensors_metadata(s, RNN__FORMAT_KEY);
    const char *hash = rnn__safetensors_metadata(s, "spec_hash");
    if (!version)
        return rnn__fault(f, RNN_EFORMAT,
                          "%s: holds parameters alone; give it to --init, not --resume",
                          s->path);
    if (strcmp(version, RNN__FORMAT_VERSION) != 0)
        return rnn__fault(f, RNN_EFORMAT, "%s: is of format %s, this program reads %s",
                          s->path, version, RNN__FORMAT_VERSION);
    if (hash && t->model->spec_hash && strcmp(hash, t->model->spec_hash) != 0)
        return rnn__fault(f, RNN_EFORMAT,
                          "%s: is a run of another spec; --init reads its parameters",
                          s->path);
    return 0;
}

/* Numbers of handlers that the run did not have when the checkpoint was written. */
static void add_new_entries(struct rnn__trainer *t, const struct rnn__safetensors *s,
                            rnn_state_dict *d)
{
    rnn_state_dict now;
    if (rnn_state_save(t->engine, &now) != 0)
        return;
    for (int i = 0; i < now.n_entry && d->n_entry < RNN_STATE_ENTRIES_MAX; i++) {
        int j = 0;
        while (j < d->n_entry && strcmp(d->entry[j].name, now.entry[i].name) != 0)
            j++;
        if (j < d->n_entry)
            continue;
        fprintf(stderr, "%s: note: %s: holds no '%s'; it begins anew\n",
                t->options->program, s->path, now.entry[i].name);
        d->entry[d->n_entry++] = now.entry[i];
    }
}

/* A missing number is 0, one that is too large -1, which none of the fields may be. */
static int32_t int32_of(const json_t *value)
{
    json_int_t number = json_integer_value(value);
    return number >= 0 && number <= INT32_MAX ? (int32_t)number : -1;
}

static int damaged_progress(const struct rnn__safetensors *s, const char *name,
                            struct rnn__fault *f)
{
    return rnn__fault(f, RNN_EFORMAT, "%s: the '%s' of its progress is damaged", s->path,
                      name);
}

/* The handler that the pending event goes on with, by its name, which is the value's. Older
   versions wrote its handle, which says nothing in a run with others. */
static int read_handler(const struct rnn__safetensors *s, json_t *value, rnn_state_dict *d,
                        struct rnn__fault *f)
{
    const char *name;
    int place;
    int32_t handle = int32_of(value);
    if (!value || json_is_null(value) || (json_is_integer(value) && handle == 0))
        return 0;
    bool named = json_unpack(value, "[si!]", &name, &place) == 0;
    bool good =
        named ? place >= 0 && place < INT32_MAX : json_is_integer(value) && handle > 0;
    if (!good || d->pending == 0)
        return damaged_progress(s, RNN__HANDLER_KEY, f);
    if (named) {
        d->pending_handler = name;
        d->pending_place = place + 1;
    }
    return 0;
}

/* The first checkpoint of a run that takes another's folder is from before the engine is
   told how many epochs there are. */
static void set_limit(const struct rnn__trainer *t, rnn_state_dict *d)
{
    if (d->max_epochs == RNN_NONE && d->max_iters == RNN_NONE && d->iteration == 0)
        d->max_epochs = t->epochs;
}

static int load_progress(struct rnn__trainer *t, const struct rnn__safetensors *s,
                         struct rnn__fault *f)
{
    int code = 0;
    rnn_state_dict d = {0};
    const char *name;
    json_t *value, *progress = rnn__checkpoint_json(s, "progress");
    json_t *entries = json_object_get(progress, "entries");
    for (int i = 0; i < RNN__N_PROGRESS && !code; i++) {
        const json_t *field = json_object_get(progress, rnn__progress[i].name);
        *rnn__progress_field(&d, i) = json_integer_value(field);
        if (!json_is_integer(field))
            code = damaged_progress(s, rnn__progress[i].name, f);
    }
    json_object_foreach(entries, name, value)
    {
        if (!code && !is_exact(value))
            code = damaged_progress(s, name, f);
        if (d.n_entry < RNN_STATE_ENTRIES_MAX)
            d.entry[d.n_entry++] = (rnn_state_entry){name, exact_value(value)};
    }
    d.pending = int32_of(json_object_get(progress, RNN__PENDING_KEY));
    if (!code)
        code = read_handler(s, json_object_get(progress, RNN__HANDLER_KEY), &d, f);
    if (code) {
        json_decref(progress);
        return code;
    }
    set_limit(t, &d);
    add_new_entries(t, s, &d);
    const json_t *output = json_object_get(progress, RNN__OUTPUT_KEY);
    d.output = (rnn_output){.value = exact_value(output), .null = !json_is_string(output)};
    code = rnn_state_load(t->engine, &d);
    if (code)
        rnn__fault(f, RNN_EFORMAT, "%s: %s", s->path, rnn_engine_error(t->engine));
    json_decref(progress);
    return code ? f->code : 0;
}

static int load_scalars(struct rnn__trainer *t, const struct rnn__safetensors *s,
                        struct rnn__fault *f)
{
    int code = 0;
    double now;
    const char *name;
    json_t *value, *scalars = rnn__checkpoint_json(s, "scalars");
    json_object_foreach(scalars, name, value)
    {
        bool known = rnn_get_scalar(t->engine, name, &now) == 0; /* others are gone */
        if (!code && known && rnn_set_scalar(t->engine, name, exact_value(value)) != 0)
            code =
                rnn__fault(f, RNN_EFORMAT, "%s: %s", s->path, rnn_engine_error(t->engine));
    }
    json_decref(scalars);
    for (int i = 0; i < t->n_number && !code; i++) /* --set has the last word */
        rnn_set_scalar(t->engine, t->number[i].name, t->number[i].value);
    return code;
}

static int load_metrics(struct rnn__trainer *t, const struct rnn__safetensors *s,
                        struct rnn__fault *f)
{
    const char *name;
    json_t *value, *metrics = rnn__checkpoint_json(s, "metrics");
    int code = 0;
    json_object_foreach(metrics, name, value)
    {
        if (!code)
            code = rnn_metric_set(t->engine, name, exact_value(value));
    }
    json_decref(metrics);
    return code ? rnn__trainer_failed(t, t->engine, code, f) : 0;
}

int rnn__checkpoint_resume(struct rnn__trainer *t, const struct rnn__safetensors *s,
                           struct rnn__fault *f)
{
    json_t *data = rnn__checkpoint_json(s, "data");
    int code = check_ours(t, s, f);
    if (!code)
        code = rnn__used_check(&t->used, data, s->path, f);
    if (!code)
        code = rnn__checkpoint_load(t, s, true, f);
    if (!code)
        code = load_metrics(t, s, f);
    if (!code)
        code = load_scalars(t, s, f);
    if (!code)
        code = load_progress(t, s, f);
    json_decref(data);
    return code;
}

uint32_t rnn__checkpoint_marks(const struct rnn__safetensors *s)
{
    const char *text = rnn__safetensors_metadata(s, RNN__SETS_KEY);
    unsigned long marks = text ? strtoul(text, NULL, 10) : 0;
    return marks <= UINT32_MAX ? (uint32_t)marks : 0;
}
