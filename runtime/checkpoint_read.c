/*
 * checkpoint_read.c — checkpoints read: parameters alone, or all that a run goes on with.
 *
 * A file with the entry `rnnc` is one of ours; of any other file only parameters are read.
 * What a file says is checked before it is believed: shapes against the model, checksums,
 * the metadata against what each of its entries is. Of a folder the newest checkpoint that
 * is whole is taken.
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

static json_t *metadata_json(const struct rnn__safetensors *s, const char *key)
{
    const char *text = rnn__safetensors_metadata(s, key);
    json_error_t error;
    return text ? json_loads(text, JSON_REJECT_DUPLICATES, &error) : NULL;
}

static bool is_ours(const struct rnn__safetensors *s)
{
    return rnn__safetensors_metadata(s, RNN__FORMAT_KEY) != NULL;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void add_dims(struct rnn__fault *f, const struct rnn__tensor *t)
{
    rnn__fault_add(f, "[");
    for (int i = 0; i < t->rank; i++)
        rnn__fault_add(f, "%s%" PRId64, i ? ", " : "", t->dim[i]);
    rnn__fault_add(f, "]");
}

static bool same_shape(const struct rnn__tensor *a, const struct rnn__tensor *b)
{
    return a->rank == b->rank &&
           memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) == 0;
}

/* Adds one line for each of the first n tensors that is missing or of another shape. */
static int tell_mismatches(const struct rnn__safetensors *s,
                           const struct rnn__tensors *list, int n, struct rnn__fault *f)
{
    int found = 0;
    for (int i = 0; i < n; i++) {
        const struct rnn__tensor *want = &list->tensor[i];
        const struct rnn__tensor *got = rnn__safetensors_find(s, want->name);
        if (got && same_shape(got, want))
            continue;
        found++;
        rnn__fault_add(f, "\n  %s: ", want->name);
        if (!got) {
            rnn__fault_add(f, "missing, the model needs ");
        } else {
            add_dims(f, got);
            rnn__fault_add(f, " in the file, the model needs ");
        }
        add_dims(f, want);
    }
    return found;
}

/* Adds one line for each tensor of the file that the model does not have. */
static int tell_extras(const struct rnn__safetensors *s, const struct rnn__tensors *list,
                       int n, struct rnn__fault *f)
{
    int found = 0;
    for (int i = 0; i < s->n_tensor; i++) {
        const char *name = s->tensor[i].name;
        bool known =
            is_ours(s) && (starts_with(name, "optimizer.") || starts_with(name, "state.") ||
                           starts_with(name, "gathered.") || starts_with(name, "window.") ||
                           starts_with(name, "handler."));
        for (int j = 0; j < n && !known; j++)
            known = strcmp(list->tensor[j].name, name) == 0;
        if (known)
            continue;
        found++;
        rnn__fault_add(f, "\n  %s: the model has no such parameter", name);
    }
    return found;
}

static int check_tensors(const struct rnn__safetensors *s, const struct rnn__tensors *list,
                         int n, struct rnn__fault *f)
{
    rnn__fault(f, RNN_EFORMAT, "%s: does not fit the model:", s->path);
    int found = tell_mismatches(s, list, n, f);
    found += tell_extras(s, list, n, f);
    return found ? f->code : 0;
}

static int damaged(const struct rnn__safetensors *s, const struct rnn__tensor *t,
                   struct rnn__fault *f)
{
    return rnn__fault(f, RNN_EFORMAT, "%s: tensor '%s' is damaged: its checksum is wrong",
                      s->path, t->name);
}

static int check_sum(const struct rnn__safetensors *s, const json_t *checksums,
                     const struct rnn__tensor *t, struct rnn__fault *f)
{
    const char *text = json_string_value(json_object_get(checksums, t->name));
    return !text || strtoul(text, NULL, 16) == rnn__checksum_of(t) ? 0 : damaged(s, t, f);
}

/* A floating tensor of the file, in the width that memory has. */
static int read_reals(const struct rnn__safetensors *s, const struct rnn__tensor *from,
                      enum rnn__dtype dtype, void *out, struct rnn__fault *f)
{
    return dtype == RNN__F64 ? rnn__safetensors_read_double(s, from, out, f)
                             : rnn__safetensors_read_float(s, from, out, f);
}

/* Reads the first n tensors of the list, which have been checked, into their blocks. */
static int read_tensors(const struct rnn__safetensors *s, const struct rnn__tensors *list,
                        int n, struct rnn__fault *f)
{
    int code = 0;
    json_t *checksums = metadata_json(s, "checksums");
    for (int i = 0; i < n && !code; i++) {
        const struct rnn__tensor *t = &list->tensor[i];
        const struct rnn__tensor *from = rnn__safetensors_find(s, t->name);
        void *block = (void *)(uintptr_t)t->data; /* the engine's, ours to write */
        code = read_reals(s, from, t->dtype, block, f);
        if (!code && from->dtype == t->dtype)
            code = check_sum(s, checksums, t, f);
    }
    json_decref(checksums);
    return code;
}

static int read_vocabulary(struct rnn__trainer *t, const struct rnn__safetensors *s,
                           struct rnn__fault *f)
{
    if (t->vocabulary.n)
        return 0;
    json_t *json = metadata_json(s, "vocabulary");
    int code = json ? rnn__vocabulary_from_json(&t->vocabulary, json, f) : 0;
    json_decref(json);
    return code;
}

/* A handler that the run did not have when the checkpoint was written begins anew. */
static int read_kept(struct rnn__trainer *t, const struct rnn__safetensors *s,
                     const struct rnn__tensor *want, struct rnn__fault *f)
{
    const struct rnn__tensor *got = rnn__safetensors_find(s, want->name);
    if (got && same_shape(got, want) && got->dtype == want->dtype)
        return rnn__safetensors_read_bytes(s, got, (void *)(uintptr_t)want->data, f);
    fprintf(stderr, "%s: note: %s: holds no %s of this shape; it begins anew\n",
            t->options->program, s->path, want->name);
    return 0;
}

/* Loads the parameters, or with `whole` everything that rnn__tensors_list lists. */
static int load(struct rnn__trainer *t, const struct rnn__safetensors *s, bool whole,
                struct rnn__fault *f)
{
    struct rnn__tensors list = {0};
    int code = rnn__tensors_list(t, &list, f);
    int n = whole ? list.n_model : list.n_param;
    if (!code)
        code = check_tensors(s, &list, n, f);
    if (!code)
        code = read_tensors(s, &list, n, f);
    for (int i = list.n_model; i < list.n && whole && !code; i++)
        code = read_kept(t, s, &list.tensor[i], f);
    if (!code && (code = rnn_pack(t->engine)) != 0)
        rnn__trainer_failed(t, t->engine, code, f);
    rnn__tensors_free(&list);
    return code ? code : read_vocabulary(t, s, f);
}

int rnn__checkpoint_init(struct rnn__trainer *t, const char *path, struct rnn__fault *f)
{
    struct rnn__safetensors s;
    int code = rnn__safetensors_open(&s, path, f);
    if (code)
        return code;
    code = load(t, &s, false, f);
    rnn__safetensors_close(&s);
    return code;
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
    json_object_foreach((json_t *)(uintptr_t)json, name, value) good =
        good && metadata_list[i].member(value);
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
        json_t *json = metadata_json(s, metadata_list[i].key);
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

/* The tensor that a handler ema has left for a parameter; NULL: none of its shape. */
static const struct rnn__tensor *average_of(const struct rnn__safetensors *s,
                                            const struct rnn__tensor *param)
{
    struct rnn__string name = {0};
    rnn__put(&name, "handler.ema.%s", param->name);
    const struct rnn__tensor *t = name.failed ? NULL : rnn__safetensors_find(s, name.text);
    free(name.text);
    return t && same_shape(t, param) ? t : NULL;
}

int rnn__checkpoint_averages(struct rnn__trainer *t, const char *path, struct rnn__fault *f)
{
    struct rnn__safetensors s;
    struct rnn__tensors list = {0};
    int n = 0, code = rnn__safetensors_open(&s, path, f);
    if (code)
        return code;
    code = rnn__tensors_list(t, &list, f);
    while (!code && n < list.n_param && average_of(&s, &list.tensor[n]))
        n++;
    bool all = !code && n == list.n_param;
    for (int i = 0; all && i < n && !code; i++)
        code = read_reals(&s, average_of(&s, &list.tensor[i]), list.tensor[i].dtype,
                          (void *)(uintptr_t)list.tensor[i].data, f);
    if (all && !code && (code = rnn_pack(t->engine)) != 0)
        rnn__trainer_failed(t, t->engine, code, f);
    rnn__tensors_free(&list);
    rnn__safetensors_close(&s);
    return code;
}

int rnn__checkpoint_peek(struct rnn__trainer *t, const char *path, struct rnn__fault *f)
{
    struct rnn__safetensors s;
    int code = rnn__safetensors_open(&s, path, f);
    if (code)
        return code;
    if (t->options->resumes && is_ours(&s))
        code = check_metadata(&s, f);
    if (!code && t->options->resumes) {
        code = take_seed(t, &s, f);
        t->resumed_files = metadata_json(&s, "files");
    }
    if (!code)
        code = read_vocabulary(t, &s, f);
    rnn__safetensors_close(&s);
    return code;
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
 * versions wrote its handle, which says nothing in a run with others. */
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

static int load_progress(struct rnn__trainer *t, const struct rnn__safetensors *s,
                         struct rnn__fault *f)
{
    int code = 0;
    rnn_state_dict d = {0};
    const char *name;
    json_t *value, *progress = metadata_json(s, "progress");
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
    json_t *value, *scalars = metadata_json(s, "scalars");
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
    json_t *value, *metrics = metadata_json(s, "metrics");
    int code = 0;
    json_object_foreach(metrics, name, value) if (!code) code =
        rnn_metric_set(t->engine, name, exact_value(value));
    json_decref(metrics);
    return code ? rnn__trainer_failed(t, t->engine, code, f) : 0;
}

int rnn__checkpoint_resume(struct rnn__trainer *t, const char *path, struct rnn__fault *f)
{
    struct rnn__safetensors s;
    int code = rnn__safetensors_open(&s, path, f);
    if (code)
        return code;
    json_t *data = metadata_json(&s, "data");
    code = check_ours(t, &s, f);
    if (!code)
        code = rnn__used_check(&t->used, data, path, f);
    if (!code)
        code = load(t, &s, true, f);
    if (!code)
        code = load_metrics(t, &s, f);
    if (!code)
        code = load_scalars(t, &s, f);
    if (!code)
        code = load_progress(t, &s, f);
    json_decref(data);
    rnn__safetensors_close(&s);
    return code;
}

static uint32_t marks_in(const struct rnn__safetensors *s)
{
    const char *text = rnn__safetensors_metadata(s, RNN__SETS_KEY);
    unsigned long marks = text ? strtoul(text, NULL, 10) : 0;
    return marks <= UINT32_MAX ? (uint32_t)marks : 0;
}

uint32_t rnn__checkpoint_marks(const char *path)
{
    struct rnn__fault f = {0};
    struct rnn__safetensors s;
    if (rnn__safetensors_open(&s, path, &f) != 0)
        return 0;
    uint32_t marks = marks_in(&s);
    rnn__safetensors_close(&s);
    return marks;
}

/* ---- the newest of a folder ---- */

/* Whether the file is whole: its header, and every tensor that a checksum is known of. */
static int verify(const char *path, struct rnn__fault *f)
{
    struct rnn__safetensors s;
    int code = rnn__safetensors_open(&s, path, f);
    if (code)
        return code;
    code = rnn__safetensors_check_header(&s, f);
    json_t *checksums = metadata_json(&s, "checksums");
    for (int i = 0; i < s.n_tensor && !code; i++) {
        const struct rnn__tensor *t = &s.tensor[i];
        const char *text = json_string_value(json_object_get(checksums, t->name));
        uint32_t sum = 0;
        code = text ? rnn__safetensors_sum(&s, t, &sum, f) : 0;
        if (!code && text && strtoul(text, NULL, 16) != sum)
            code = damaged(&s, t, f);
    }
    json_decref(checksums);
    rnn__safetensors_close(&s);
    return code;
}

int rnn__checkpoint_newest(struct rnn__trainer *t, const char *folder, char **path,
                           struct rnn__fault *f)
{
    struct rnn__found *list;
    int n, code = rnn__folder_list(folder, &list, &n, f);
    if (code)
        return code;
    if (n == 0)
        code = rnn__fault(f, RNN_EFORMAT, "%s: no checkpoint in this folder", folder);
    for (int i = n - 1; i >= 0; i--) {
        code = verify(list[i].path, f);
        if (code == 0 && !(*path = rnn__path_join(NULL, list[i].path)))
            code = rnn__fault_memory(f);
        if (code == 0 || code == RNN_ENOMEM)
            break;
        if (i > 0)
            fprintf(stderr, "%s: warning: %s; the checkpoint before it is taken\n",
                    t->options->program, f->sentence);
    }
    rnn__found_free(list, n);
    return code;
}
