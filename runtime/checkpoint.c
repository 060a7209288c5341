/*
 * checkpoint.c — a run's state as one safetensors file.
 *
 *     NAME                 parameters, of the model's dtype: float32 or float64
 *     optimizer.NAME       the optimizer's tensors (likewise) and scalars (float64)
 *     state.NAME           hidden state, [rows, …]
 *     gathered.NAME        gradients that wait for the update, if the optimizer accumulates
 *     window.NAME          the same where the next chunk's window begins, if there are
 * windows handler.NAME         what handlers keep (kept.c)
 *     __metadata__         rnnc, name, spec_hash, seed, sets (checkpoint_sets.c); as JSON:
 * progress (counters and the data's position), scalars, metrics, vocabulary, files (lengths
 * of the logs), data (the data's files), checksums
 *
 * A file with the entry `rnnc` is one of ours; of any other file only parameters are
 * read. Checksums are CRC-32C of each tensor's bytes and of the header: the format itself
 * has none. Of a folder the newest checkpoint that is whole is taken.
 */
#include "trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char format_key[] = "rnnc", format_version[] = "1", sets_key[] = "sets";

/* ---- the tensors of a trainer ---- */

/* Tensors that point into the engine's blocks, and their names. */
struct tensors {
    int n;
    struct rnn__tensor *tensor;
    char **name; /* NULL: the model's own text */
    int n_param; /* they come first */
    int n_model; /* then the rest of the model's, then the handlers' */
};

static void free_tensors(struct tensors *list)
{
    for (int i = 0; list->name && i < list->n; i++)
        free(list->name[i]);
    free(list->name);
    free(list->tensor);
}

/* Adds "prefix" + name; the tensor's name is set here. */
static void add_tensor(struct tensors *list, const char *prefix, const char *name,
                       struct rnn__tensor t, struct rnn__string *s)
{
    *s = (struct rnn__string){.failed = s->failed};
    rnn__put(s, "%s%s", prefix, name);
    list->name[list->n] = s->text;
    t.name = s->text;
    list->tensor[list->n++] = t;
}

static struct rnn__tensor tensor_of(const struct rnn_model *m,
                                    const struct rnn_tensor *from, void *block)
{
    struct rnn__tensor t = {
        .dtype = rnn__dtype_of(m->dtype), .rank = from->rank, .size = from->size};
    memcpy(t.dim, from->dim, (size_t)from->rank * sizeof *t.dim);
    t.data = rnn_real_place(block, m->dtype, from->offset);
    return t;
}

static struct rnn__tensor state_of(const struct rnn_model *m, const struct rnn_state *from,
                                   void *block)
{
    struct rnn__tensor t = {.dtype = rnn__dtype_of(m->dtype), .rank = from->rank + 1};
    t.dim[0] = m->rows_max;
    memcpy(t.dim + 1, from->dim, (size_t)from->rank * sizeof *t.dim);
    t.size = m->rows_max * from->size;
    t.data = rnn_real_place(block, m->dtype, from->offset * m->rows_max);
    return t;
}

/* All of a trainer's tensors; to be released by free_tensors in any case. */
static int list_tensors(struct rnn__trainer *t, struct tensors *list, struct rnn__fault *f)
{
    const struct rnn_model *m = t->model;
    rnn_blocks b;
    struct rnn__string s = {0};
    size_t most = 2 * (size_t)m->n_param + (size_t)m->n_optimizer +
                  (size_t)m->n_optimizer_scalar + 2 * (size_t)m->n_state + 1;
    for (const struct rnn__kept *k = t->kept; k; k = k->next)
        most++;
    int code = rnn_get_blocks(t->engine, &b);
    if (code)
        return rnn__trainer_failed(t, t->engine, code, f);
    *list = (struct tensors){.tensor = calloc(most, sizeof *list->tensor),
                             .name = calloc(most, sizeof *list->name)};
    if (!list->tensor || !list->name)
        return rnn__fault_memory(f);
    for (int i = 0; i < m->n_param; i++)
        add_tensor(list, "", m->param[i].name, tensor_of(m, &m->param[i], b.params), &s);
    list->n_param = list->n;
    for (int i = 0; i < m->n_optimizer; i++)
        add_tensor(list, "optimizer.", m->optimizer[i].name,
                   tensor_of(m, &m->optimizer[i], b.optimizer), &s);
    for (int i = 0; i < m->n_optimizer_scalar; i++)
        add_tensor(list, "optimizer.", m->optimizer_scalar[i].name,
                   (struct rnn__tensor){
                       .dtype = RNN__F64, .size = 1, .data = b.optimizer_scalars + i},
                   &s);
    for (int i = 0; i < m->n_state; i++)
        add_tensor(list, "state.", m->state[i].name, state_of(m, &m->state[i], b.state),
                   &s);
    for (int i = 0; b.gathered && i < m->n_param; i++)
        add_tensor(list, "gathered.", m->param[i].name,
                   tensor_of(m, &m->param[i], b.gathered), &s);
    for (int i = 0; b.window && i < m->n_state; i++)
        add_tensor(list, "window.", m->state[i].name, state_of(m, &m->state[i], b.window),
                   &s);
    list->n_model = list->n;
    for (const struct rnn__kept *k = t->kept; k; k = k->next)
        add_tensor(list, "", k->tensor.name, k->tensor, &s);
    return s.failed ? rnn__fault_memory(f) : 0;
}

/* ---- metadata ---- */

/* Every double as text that reads back, not-a-number included. */
static json_t *exact(double value)
{
    char text[RNN__NUMBER_BYTES];
    snprintf(text, sizeof text, "%.17g", value);
    return json_string(text);
}

static double exact_value(const json_t *value)
{
    const char *text = json_string_value(value);
    return text ? strtod(text, NULL) : 0;
}

static const struct {
    const char *name;
    size_t offset;
} progress_list[] = {
    {"epoch_length", offsetof(rnn_state_dict, epoch_length)},
    {"iteration", offsetof(rnn_state_dict, iteration)},
    {"epoch", offsetof(rnn_state_dict, epoch)},
    {"max_epochs", offsetof(rnn_state_dict, max_epochs)},
    {"max_iters", offsetof(rnn_state_dict, max_iters)},
    {"time_iteration", offsetof(rnn_state_dict, time_iteration)},
    {"pass", offsetof(rnn_state_dict, pass)},
    {"position", offsetof(rnn_state_dict, position)},
};
static const char pending_key[] = "pending", handler_key[] = "pending_handler",
                  output_key[] = "output";
enum { N_PROGRESS = sizeof progress_list / sizeof *progress_list };

static int64_t *progress_field(rnn_state_dict *d, int i)
{
    return (int64_t *)(void *)((char *)d + progress_list[i].offset);
}

static json_t *progress_json(rnn_state_dict *d)
{
    json_t *progress = json_object(), *entries = json_object();
    for (int i = 0; i < N_PROGRESS; i++)
        json_object_set_new(progress, progress_list[i].name,
                            json_integer(*progress_field(d, i)));
    for (int i = 0; i < d->n_entry; i++)
        json_object_set_new(entries, d->entry[i].name, exact(d->entry[i].value));
    json_object_set_new(progress, "entries", entries);
    json_object_set_new(progress, pending_key, json_integer(d->pending));
    json_object_set_new(progress, handler_key, json_integer(d->pending_handler));
    json_object_set_new(progress, output_key,
                        d->output.null ? json_null() : exact(d->output.value));
    return progress;
}

static json_t *scalars_json(struct rnn__trainer *t)
{
    json_t *scalars = json_object();
    double value;
    for (int i = 0; i < t->model->n_scalar; i++)
        if (!t->model->scalar[i].counter &&
            rnn_get_scalar(t->engine, t->model->scalar[i].name, &value) == 0)
            json_object_set_new(scalars, t->model->scalar[i].name, exact(value));
    return scalars;
}

static json_t *metrics_json(struct rnn__trainer *t)
{
    json_t *metrics = json_object();
    double value;
    const char *name;
    for (int i = 0; (name = rnn_metric_at(t->engine, i, &value)); i++)
        json_object_set_new(metrics, name, exact(value));
    return metrics;
}

static uint32_t checksum_of(const struct rnn__tensor *t)
{
    return rnn__crc32c(0, t->data, (size_t)(t->size * rnn__dtype_bytes(t->dtype)));
}

static json_t *checksums_json(const struct tensors *list)
{
    json_t *checksums = json_object();
    char text[16];
    for (int i = 0; i < list->n; i++) {
        snprintf(text, sizeof text, "%08" PRIx32, checksum_of(&list->tensor[i]));
        json_object_set_new(checksums, list->tensor[i].name, json_string(text));
    }
    return checksums;
}

/* Puts `value`, which is taken over, into the metadata as the text of its JSON. */
static void put_json(json_t *metadata, const char *key, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    if (!text || json_object_set_new(metadata, key, json_string(text)) != 0)
        json_object_del(metadata, format_key); /* noticed at the end: no memory */
    rnn__json_free(text);
    json_decref(value);
}

static json_t *metadata_of(struct rnn__trainer *t, const struct tensors *list,
                           rnn_state_dict *progress)
{
    char seed[32], sets[16];
    snprintf(seed, sizeof seed, "%" PRIu64, t->seed);
    json_t *metadata = json_pack("{s:s, s:s, s:s, s:s, s:s}", format_key, format_version,
                                 "name", t->model->name, "spec_hash",
                                 t->model->spec_hash ? t->model->spec_hash : "", "seed",
                                 seed, RNN__HEADER_SUM, "00000000");
    put_json(metadata, "progress", progress_json(progress));
    put_json(metadata, "scalars", scalars_json(t));
    put_json(metadata, "metrics", metrics_json(t));
    put_json(metadata, "files", rnn__files_json(t));
    put_json(metadata, "data", rnn__used_json(&t->used));
    put_json(metadata, "checksums", checksums_json(list));
    snprintf(sets, sizeof sets, "%" PRIu32, t->marks);
    if (json_object_set_new(metadata, sets_key, json_string(sets)) != 0)
        json_object_del(metadata, format_key);
    if (t->vocabulary.n)
        put_json(metadata, "vocabulary", rnn__vocabulary_to_json(&t->vocabulary));
    return metadata;
}

/* Chunks of the next batch that are done count, see tbptt.c. */
int rnn__checkpoint_place(struct rnn__trainer *t, struct rnn__place *place,
                          struct rnn__fault *f)
{
    rnn_state_dict d;
    int code = rnn_state_save(t->engine, &d);
    if (code)
        return rnn__trainer_failed(t, t->engine, code, f);
    double iteration = 0, step = 0, chunk = 0;
    rnn_attribute_get(t->engine, "tbptt.iteration", &iteration);
    rnn_attribute_get(t->engine, "tbptt.step", &step);
    rnn_attribute_get(t->engine, "tbptt.chunk", &chunk);
    *place = (struct rnn__place){d.iteration, INT64_MAX, d.pending};
    if ((int64_t)iteration == d.iteration + 1 && step > 0)
        *place = (struct rnn__place){d.iteration + 1, (int64_t)chunk, 0};
    return 0;
}

int rnn__checkpoint_sound(struct rnn__trainer *t, struct rnn__fault *f)
{
    const struct rnn_model *m = t->model;
    rnn_blocks b;
    int code = rnn_get_blocks(t->engine, &b);
    if (code)
        return rnn__trainer_failed(t, t->engine, code, f);
    for (int i = 0; i < m->n_param; i++)
        for (int64_t j = 0; m->param[i].trained && j < m->param[i].size; j++)
            if (!isfinite(rnn_real_at(b.params, m->dtype, m->param[i].offset + j)))
                return rnn__fault(f, RNN_ENUMERIC, "the parameter '%s' is not finite",
                                  m->param[i].name);
    return 0;
}

int rnn__checkpoint_save(struct rnn__trainer *t, const char *path, struct rnn__fault *f)
{
    struct tensors list = {0};
    rnn_state_dict progress;
    rnn__json_take_failure(); /* asked for again when the header is made */
    int code = list_tensors(t, &list, f);
    if (!code && (code = rnn_state_save(t->engine, &progress)) != 0)
        rnn__trainer_failed(t, t->engine, code, f);
    if (!code) {
        json_t *metadata = metadata_of(t, &list, &progress);
        code = json_object_get(metadata, format_key)
                   ? rnn__safetensors_write(path, list.tensor, list.n, metadata, f)
                   : rnn__fault_memory(f);
        json_decref(metadata);
    }
    free_tensors(&list);
    return code;
}

/* ---- reading ---- */

static json_t *metadata_json(const struct rnn__safetensors *s, const char *key)
{
    const char *text = rnn__safetensors_metadata(s, key);
    json_error_t error;
    return text ? json_loads(text, JSON_REJECT_DUPLICATES, &error) : NULL;
}

static bool is_ours(const struct rnn__safetensors *s)
{
    return rnn__safetensors_metadata(s, format_key) != NULL;
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
static int tell_mismatches(const struct rnn__safetensors *s, const struct tensors *list,
                           int n, struct rnn__fault *f)
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
static int tell_extras(const struct rnn__safetensors *s, const struct tensors *list, int n,
                       struct rnn__fault *f)
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

static int check_tensors(const struct rnn__safetensors *s, const struct tensors *list,
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
    return !text || strtoul(text, NULL, 16) == checksum_of(t) ? 0 : damaged(s, t, f);
}

/* A floating tensor of the file, in the width that memory has. */
static int read_reals(const struct rnn__safetensors *s, const struct rnn__tensor *from,
                      enum rnn__dtype dtype, void *out, struct rnn__fault *f)
{
    return dtype == RNN__F64 ? rnn__safetensors_read_double(s, from, out, f)
                             : rnn__safetensors_read_float(s, from, out, f);
}

/* Reads the first n tensors of the list, which have been checked, into their blocks. */
static int read_tensors(const struct rnn__safetensors *s, const struct tensors *list, int n,
                        struct rnn__fault *f)
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

/* Loads the parameters, or with `whole` everything that list_tensors lists. */
static int load(struct rnn__trainer *t, const struct rnn__safetensors *s, bool whole,
                struct rnn__fault *f)
{
    struct tensors list = {0};
    int code = list_tensors(t, &list, f);
    int n = whole ? list.n_model : list.n_param;
    if (!code)
        code = check_tensors(s, &list, n, f);
    if (!code)
        code = read_tensors(s, &list, n, f);
    for (int i = list.n_model; i < list.n && whole && !code; i++)
        code = read_kept(t, s, &list.tensor[i], f);
    if (!code && (code = rnn_pack(t->engine)) != 0)
        rnn__trainer_failed(t, t->engine, code, f);
    free_tensors(&list);
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
    struct tensors list = {0};
    int n = 0, code = rnn__safetensors_open(&s, path, f);
    if (code)
        return code;
    code = list_tensors(t, &list, f);
    while (!code && n < list.n_param && average_of(&s, &list.tensor[n]))
        n++;
    bool all = !code && n == list.n_param;
    for (int i = 0; all && i < n && !code; i++)
        code = read_reals(&s, average_of(&s, &list.tensor[i]), list.tensor[i].dtype,
                          (void *)(uintptr_t)list.tensor[i].data, f);
    if (all && !code && (code = rnn_pack(t->engine)) != 0)
        rnn__trainer_failed(t, t->engine, code, f);
    free_tensors(&list);
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
    const char *version = rnn__safetensors_metadata(s, format_key);
    const char *hash = rnn__safetensors_metadata(s, "spec_hash");
    if (!version)
        return rnn__fault(f, RNN_EFORMAT,
                          "%s: holds parameters alone; give it to --init, not --resume",
                          s->path);
    if (strcmp(version, format_version) != 0)
        return rnn__fault(f, RNN_EFORMAT, "%s: is of format %s, this program reads %s",
                          s->path, version, format_version);
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

static int load_progress(struct rnn__trainer *t, const struct rnn__safetensors *s,
                         struct rnn__fault *f)
{
    int code = 0;
    rnn_state_dict d = {0};
    const char *name;
    json_t *value, *progress = metadata_json(s, "progress");
    json_t *entries = json_object_get(progress, "entries");
    for (int i = 0; i < N_PROGRESS && !code; i++) {
        const json_t *field = json_object_get(progress, progress_list[i].name);
        *progress_field(&d, i) = json_integer_value(field);
        if (!json_is_integer(field))
            code = damaged_progress(s, progress_list[i].name, f);
    }
    json_object_foreach(entries, name, value)
    {
        if (!code && !is_exact(value))
            code = damaged_progress(s, name, f);
        if (d.n_entry < RNN_STATE_ENTRIES_MAX)
            d.entry[d.n_entry++] = (rnn_state_entry){name, exact_value(value)};
    }
    if (code) {
        json_decref(progress);
        return code;
    }
    add_new_entries(t, s, &d);
    d.pending = int32_of(json_object_get(progress, pending_key));
    d.pending_handler = int32_of(json_object_get(progress, handler_key));
    const json_t *output = json_object_get(progress, output_key);
    d.output = (rnn_output){.value = exact_value(output), .null = !json_is_string(output)};
    code = rnn_state_load(t->engine, &d);
    if (code)
        rnn__fault(f, RNN_EFORMAT, "%s: %s", s->path, rnn_engine_error(t->engine));
    json_decref(progress);
    return code ? f->code : 0;
}

static void load_scalars(struct rnn__trainer *t, const struct rnn__safetensors *s)
{
    const char *name;
    json_t *value, *scalars = metadata_json(s, "scalars");
    json_object_foreach(scalars, name, value)
        rnn_set_scalar(t->engine, name, exact_value(value)); /* unknown ones are gone */
    json_decref(scalars);
    for (int i = 0; i < t->n_number; i++) /* --set has the last word */
        rnn_set_scalar(t->engine, t->number[i].name, t->number[i].value);
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
    if (!code) {
        load_scalars(t, &s);
        code = load_progress(t, &s, f);
    }
    json_decref(data);
    rnn__safetensors_close(&s);
    return code;
}

static uint32_t marks_in(const struct rnn__safetensors *s)
{
    const char *text = rnn__safetensors_metadata(s, sets_key);
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
