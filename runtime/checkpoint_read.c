/*
 * checkpoint_read.c — the tensors of a checkpoint: found whole, checked against the model,
 * read. What its metadata say is checkpoint_resume.c's.
 *
 * A file with the entry `rnnc` is one of ours; of any other file only parameters are read.
 * Of a folder the newest checkpoint that is whole is taken.
 */
#include "checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *rnn__checkpoint_json(const struct rnn__safetensors *s, const char *key)
{
    const char *text = rnn__safetensors_metadata(s, key);
    json_error_t error;
    return text ? json_loads(text, JSON_REJECT_DUPLICATES, &error) : NULL;
}

bool rnn__checkpoint_is_ours(const struct rnn__safetensors *s)
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
        bool known = rnn__checkpoint_is_ours(s) &&
                     (starts_with(name, "optimizer.") || starts_with(name, "state.") ||
                      starts_with(name, "gathered.") || starts_with(name, "window.") ||
                      starts_with(name, "metrics.") || starts_with(name, "handler."));
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
    json_t *checksums = rnn__checkpoint_json(s, "checksums");
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

/* What handlers keep, and sums of metrics: one that the run did not have when the
   checkpoint was written begins anew. */
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

int rnn__checkpoint_load(struct rnn__trainer *t, const struct rnn__safetensors *s,
                         bool whole, struct rnn__fault *f)
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
    return code ? code : rnn__checkpoint_vocabulary(t, s, f);
}

int rnn__checkpoint_init(struct rnn__trainer *t, const struct rnn__safetensors *s,
                         struct rnn__fault *f)
{
    return rnn__checkpoint_load(t, s, false, f);
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

int rnn__checkpoint_averages(struct rnn__trainer *t, const struct rnn__safetensors *s,
                             struct rnn__fault *f)
{
    struct rnn__tensors list = {0};
    int n = 0, code = rnn__tensors_list(t, &list, f);
    while (!code && n < list.n_param && average_of(s, &list.tensor[n]))
        n++;
    bool all = !code && n == list.n_param;
    for (int i = 0; all && i < n && !code; i++)
        code = read_reals(s, average_of(s, &list.tensor[i]), list.tensor[i].dtype,
                          (void *)(uintptr_t)list.tensor[i].data, f);
    if (all && !code && (code = rnn_pack(t->engine)) != 0)
        rnn__trainer_failed(t, t->engine, code, f);
    rnn__tensors_free(&list);
    return code;
}

/* ---- the newest of a folder ---- */

/* Whether the file is whole: its header, and every tensor that a checksum is known of. */
static int verify(const struct rnn__safetensors *s, struct rnn__fault *f)
{
    int code = rnn__safetensors_check_header(s, f);
    json_t *checksums = rnn__checkpoint_json(s, "checksums");
    for (int i = 0; i < s->n_tensor && !code; i++) {
        const struct rnn__tensor *t = &s->tensor[i];
        const char *text = json_string_value(json_object_get(checksums, t->name));
        uint32_t sum = 0;
        code = text ? rnn__safetensors_sum(s, t, &sum, f) : 0;
        if (!code && text && strtoul(text, NULL, 16) != sum)
            code = damaged(s, t, f);
    }
    json_decref(checksums);
    return code;
}

static int open_sound(struct rnn__safetensors *out, const char *path, struct rnn__fault *f)
{
    int code = rnn__safetensors_open(out, path, f);
    if (code)
        return code;
    code = verify(out, f);
    if (code)
        rnn__safetensors_close(out);
    return code;
}

int rnn__checkpoint_newest(struct rnn__trainer *t, const char *folder,
                           struct rnn__safetensors *out, struct rnn__fault *f)
{
    struct rnn__found *list;
    int n, code = rnn__folder_list(folder, &list, &n, f);
    if (code)
        return code;
    if (n == 0)
        code = rnn__fault(f, RNN_EFORMAT, "%s: no checkpoint in this folder", folder);
    for (int i = n - 1; i >= 0; i--) {
        code = open_sound(out, list[i].path, f);
        if (code == 0 || code == RNN_ENOMEM)
            break;
        if (i > 0)
            fprintf(stderr, "%s: warning: %s; the checkpoint before it is taken\n",
                    t->options->program, f->sentence);
    }
    rnn__found_free(list, n);
    return code;
}
