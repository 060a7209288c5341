/*
 * checkpoint.c — a run's state as one safetensors file.
 *
 *     NAME                 parameters, of the model's dtype: float32 or float64
 *     optimizer.NAME       the optimizer's tensors (likewise) and scalars (float64)
 *     state.NAME           hidden state, [rows, …]
 *     gathered.NAME        gradients that wait for the update, if the optimizer accumulates
 *     window.NAME          the same where the next chunk's window begins, with windows
 *     metrics.running      sums of the epoch so far, if training has metrics (float64)
 *     handler.NAME         what handlers keep (kept.c)
 *     __metadata__         rnnc, name, spec_hash, seed, sets (checkpoint_sets.c)
 *
 * and, as JSON in the metadata: progress (counters, the data's position), scalars, metrics,
 * vocabulary, files (lengths of the logs), data (the data's files), checksums.
 *
 * Checksums are CRC-32C of each tensor's bytes and of the header: the format itself
 * has none.
 */
#include "checkpoint.h"
#include "engine.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the tensors of a trainer ---- */

void rnn__tensors_free(struct rnn__tensors *list)
{
    for (int i = 0; list->name && i < list->n; i++)
        free(list->name[i]);
    free(list->name);
    free(list->tensor);
}

/* Adds "prefix" + name; the tensor's name is set here. */
static void add_tensor(struct rnn__tensors *list, const char *prefix, const char *name,
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

static bool has_training_metrics(const struct rnn_model *m)
{
    bool has = false;
    for (int i = 0; i < m->n_metric; i++)
        has = has || m->metric[i].in_training;
    return has && m->n_running > 0;
}

static void add_params(struct rnn__tensors *list, const char *prefix,
                       const struct rnn_model *m, void *block, struct rnn__string *s)
{
    for (int i = 0; block && i < m->n_param; i++)
        add_tensor(list, prefix, m->param[i].name, tensor_of(m, &m->param[i], block), s);
}

static void add_optimizer(struct rnn__tensors *list, const struct rnn_model *m,
                          const rnn_blocks *b, struct rnn__string *s)
{
    for (int i = 0; i < m->n_optimizer; i++)
        add_tensor(list, "optimizer.", m->optimizer[i].name,
                   tensor_of(m, &m->optimizer[i], b->optimizer), s);
    for (int i = 0; i < m->n_optimizer_scalar; i++)
        add_tensor(list, "optimizer.", m->optimizer_scalar[i].name,
                   (struct rnn__tensor){
                       .dtype = RNN__F64, .size = 1, .data = b->optimizer_scalars + i},
                   s);
}

static void add_states(struct rnn__tensors *list, const char *prefix,
                       const struct rnn_model *m, void *block, struct rnn__string *s)
{
    for (int i = 0; block && i < m->n_state; i++)
        add_tensor(list, prefix, m->state[i].name, state_of(m, &m->state[i], block), s);
}

static struct rnn__tensor running_of(const struct rnn_model *m, double *running)
{
    return (struct rnn__tensor){.dtype = RNN__F64,
                                .rank = 1,
                                .dim = {m->n_running},
                                .size = m->n_running,
                                .data = running};
}

/* Room for as many as there may be. */
static bool make_room(struct rnn__tensors *list, const struct rnn__trainer *t)
{
    const struct rnn_model *m = t->model;
    size_t most = 2 * (size_t)m->n_param + (size_t)m->n_optimizer +
                  (size_t)m->n_optimizer_scalar + 2 * (size_t)m->n_state + 2;
    for (const struct rnn__kept *k = t->kept; k; k = k->next)
        most++;
    *list = (struct rnn__tensors){.tensor = calloc(most, sizeof *list->tensor),
                                  .name = calloc(most, sizeof *list->name)};
    return list->tensor && list->name;
}

int rnn__tensors_list(struct rnn__trainer *t, struct rnn__tensors *list,
                      struct rnn__fault *f)
{
    const struct rnn_model *m = t->model;
    rnn_blocks b;
    struct rnn__string s = {0};
    int code = rnn_get_blocks(t->engine, &b);
    if (code)
        return rnn__trainer_failed(t, t->engine, code, f);
    if (!make_room(list, t))
        return rnn__fault_memory(f);
    add_params(list, "", m, b.params, &s);
    list->n_param = list->n;
    add_optimizer(list, m, &b, &s);
    add_states(list, "state.", m, b.state, &s);
    add_params(list, "gathered.", m, b.gathered, &s);
    add_states(list, "window.", m, b.window, &s);
    list->n_model = list->n;
    if (has_training_metrics(m))
        add_tensor(list, "metrics.", "running", running_of(m, b.running), &s);
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

const struct rnn__progress_entry rnn__progress[RNN__N_PROGRESS] = {
    {"epoch_length", offsetof(rnn_state_dict, epoch_length)},
    {"iteration", offsetof(rnn_state_dict, iteration)},
    {"epoch", offsetof(rnn_state_dict, epoch)},
    {"max_epochs", offsetof(rnn_state_dict, max_epochs)},
    {"max_iters", offsetof(rnn_state_dict, max_iters)},
    {"time_iteration", offsetof(rnn_state_dict, time_iteration)},
    {"pass", offsetof(rnn_state_dict, pass)},
    {"position", offsetof(rnn_state_dict, position)},
};

int64_t *rnn__progress_field(rnn_state_dict *d, int i)
{
    return (int64_t *)(void *)((char *)d + rnn__progress[i].offset);
}

static json_t *handler_json(const rnn_state_dict *d)
{
    bool named = d->pending_place > 0 && d->pending_handler;
    return named ? json_pack("[si]", d->pending_handler, d->pending_place - 1)
                 : json_null();
}

static json_t *progress_json(rnn_state_dict *d)
{
    json_t *progress = json_object(), *entries = json_object();
    for (int i = 0; i < RNN__N_PROGRESS; i++)
        json_object_set_new(progress, rnn__progress[i].name,
                            json_integer(*rnn__progress_field(d, i)));
    for (int i = 0; i < d->n_entry; i++)
        json_object_set_new(entries, d->entry[i].name, exact(d->entry[i].value));
    json_object_set_new(progress, "entries", entries);
    json_object_set_new(progress, RNN__PENDING_KEY, json_integer(d->pending));
    json_object_set_new(progress, RNN__HANDLER_KEY, handler_json(d));
    json_object_set_new(progress, RNN__OUTPUT_KEY,
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

uint32_t rnn__checksum_of(const struct rnn__tensor *t)
{
    return rnn__crc32c(0, t->data, (size_t)(t->size * rnn__dtype_bytes(t->dtype)));
}

static json_t *checksums_json(const struct rnn__tensors *list)
{
    json_t *checksums = json_object();
    char text[16];
    for (int i = 0; i < list->n; i++) {
        snprintf(text, sizeof text, "%08" PRIx32, rnn__checksum_of(&list->tensor[i]));
        json_object_set_new(checksums, list->tensor[i].name, json_string(text));
    }
    return checksums;
}

/* Puts `value`, which is taken over, into the metadata as the text of its JSON. */
static void put_json(json_t *metadata, const char *key, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    if (!text || json_object_set_new(metadata, key, json_string(text)) != 0)
        json_object_del(metadata, RNN__FORMAT_KEY); /* noticed at the end: no memory */
    rnn__json_free(text);
    json_decref(value);
}

static json_t *metadata_of(struct rnn__trainer *t, const struct rnn__tensors *list,
                           rnn_state_dict *progress)
{
    char seed[32], sets[16];
    snprintf(seed, sizeof seed, "%" PRIu64, t->seed);
    json_t *metadata = json_pack("{s:s, s:s, s:s, s:s, s:s}", RNN__FORMAT_KEY,
                                 RNN__FORMAT_VERSION, "name", t->model->name, "spec_hash",
                                 t->model->spec_hash ? t->model->spec_hash : "", "seed",
                                 seed, RNN__HEADER_SUM, "00000000");
    put_json(metadata, "progress", progress_json(progress));
    put_json(metadata, "scalars", scalars_json(t));
    put_json(metadata, "metrics", metrics_json(t));
    put_json(metadata, "files", rnn__files_json(t));
    put_json(metadata, "data", rnn__used_json(&t->used));
    put_json(metadata, "checksums", checksums_json(list));
    snprintf(sets, sizeof sets, "%" PRIu32, t->marks);
    if (json_object_set_new(metadata, RNN__SETS_KEY, json_string(sets)) != 0)
        json_object_del(metadata, RNN__FORMAT_KEY);
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
    struct rnn__tensors list = {0};
    rnn_state_dict progress;
    rnn__json_take_failure(); /* asked for again when the header is made */
    int code = rnn__tensors_list(t, &list, f);
    if (!code && (code = rnn_state_save(t->engine, &progress)) != 0)
        rnn__trainer_failed(t, t->engine, code, f);
    if (!code) {
        json_t *metadata = metadata_of(t, &list, &progress);
        code = json_object_get(metadata, RNN__FORMAT_KEY)
                   ? rnn__safetensors_write(path, list.tensor, list.n, metadata, f)
                   : rnn__fault_memory(f);
        json_decref(metadata);
    }
    rnn__tensors_free(&list);
    return code;
}
