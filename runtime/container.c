/*
 * container.c — arrays from files by input, from npz and safetensors files, and from raw
 * ones.
 *
 *     {x: a.npy, y: b.npy}                      npy, IDX or WAV, each may be packed by gzip
 *     {npz: f.npz}, {safetensors: f}            arrays by input name
 *     {raw: f, dtype: f32, shape: [N, T, 3]}    numbers without a header; the features of
 *                                               all inputs beside each other in each step
 */
#include "container.h"

#include "array_file.h"
#include "safetensors.h"
#include "settings.h"
#include "zip.h"

#include <stdlib.h>
#include <string.h>

int rnn__container_path(const struct rnn__opening *o, const char *key, char **path,
                        struct rnn__fault *f)
{
    const char *name = NULL;
    int code = rnn__get_text(o->setup->json, o->setup->where, key, &name, f);
    if (!code && !name)
        code = rnn__fault(f, RNN_EDATA, "%s: no file for input '%s'", o->setup->where, key);
    if (code)
        return code;
    *path = rnn__path_join(o->setup->folder, name);
    return *path ? rnn__source_uses(o->setup, *path, f) : rnn__fault_memory(f);
}

int rnn__container_spread(const struct rnn__opening *o, struct rnn__ndarray *array,
                          struct rnn__fault *f)
{
    int code = 0;
    for (int i = 1; i < o->n_input && !code; i++) {
        code = rnn__ndarray_begin(&array[i], array[0].name, f);
        if (code)
            break;
        char *name = array[i].name;
        array[i] = array[0];
        array[i].name = name;
        code = rnn__ndarray_share(&array[i], array[0].fd, f);
    }
    return code;
}

/* ---- files by input ---- */

static int open_files(const struct rnn__opening *o, struct rnn__ndarray *array,
                      struct rnn__fault *f)
{
    int code = 0;
    for (int i = 0; i < o->n_input && !code; i++) {
        char *path = NULL;
        code = rnn__container_path(o, o->input[i].name, &path, f);
        if (!code)
            code = rnn__array_file_open(&array[i], path, f);
        free(path);
    }
    return code;
}

static const char *const no_options[] = {NULL};
const struct rnn__container rnn__files = {.options = no_options, .open = open_files};

/* ---- npz ---- */

/* "FILE: NAME", as messages call an array of several in a file. */
static int begin_member(struct rnn__ndarray *a, const char *path, const char *name,
                        struct rnn__fault *f)
{
    struct rnn__string s = {0};
    rnn__put(&s, "%s: %s", path, name);
    int code = s.failed ? rnn__fault_memory(f) : rnn__ndarray_begin(a, s.text, f);
    free(s.text);
    return code;
}

static int no_member(const char *path, const char *name, struct rnn__string *names,
                     struct rnn__fault *f)
{
    rnn__fault(f, RNN_EDATA, "%s: has no array '%s'", path, name);
    if (names->text)
        rnn__fault_add(f, "; it has%.600s", names->text);
    free(names->text);
    return f->code;
}

static int no_entry(const struct rnn__zip *z, const char *name, struct rnn__fault *f)
{
    struct rnn__string names = {0};
    for (int i = 0; i < z->n_entry; i++) {
        size_t n = strlen(z->entry[i].name);
        bool is_npy = n > 4 && strcmp(z->entry[i].name + n - 4, ".npy") == 0;
        rnn__put(&names, " %.*s", (int)(is_npy ? n - 4 : n), z->entry[i].name);
    }
    return no_member(z->path, name, &names, f);
}

static int open_entry(const struct rnn__zip *z, const char *name, struct rnn__ndarray *a,
                      struct rnn__fault *f)
{
    struct rnn__string file = {0};
    rnn__put(&file, "%s.npy", name);
    if (file.failed)
        return rnn__fault_memory(f);
    const struct rnn__zip_entry *e = rnn__zip_find(z, file.text);
    free(file.text);
    if (!e)
        return no_entry(z, name, f);
    int code = begin_member(a, z->path, name, f);
    if (code)
        return code;
    const struct rnn__packed packed = {
        z->fd, a->name, .at = e->at, .bytes = e->bytes, .size = e->size, .crc = e->crc};
    if (e->deflated)
        return rnn__array_file_unpack(a, &packed, f);
    a->base = e->at;
    code = rnn__ndarray_share(a, z->fd, f);
    if (!code)
        code = rnn__check_crc(&packed, f);
    return code ? code : rnn__array_file_within(a, e->size, f);
}

static int open_npz(const struct rnn__opening *o, struct rnn__ndarray *array,
                    struct rnn__fault *f)
{
    struct rnn__zip z;
    char *path = NULL;
    int code = rnn__container_path(o, "npz", &path, f);
    if (!code)
        code = rnn__zip_open(&z, path, f);
    free(path);
    if (code)
        return code;
    for (int i = 0; i < o->n_input && !code; i++)
        code = open_entry(&z, o->input[i].name, &array[i], f);
    rnn__zip_close(&z);
    return code;
}

static const char *const npz_options[] = {"npz", NULL};
const struct rnn__container rnn__npz = {.options = npz_options, .open = open_npz};

/* ---- safetensors ---- */

static int open_tensor(const struct rnn__safetensors *s, const char *name,
                       struct rnn__ndarray *a, struct rnn__fault *f)
{
    const struct rnn__tensor *t = rnn__safetensors_find(s, name);
    struct rnn__string names = {0};
    for (int i = 0; i < s->n_tensor && !t; i++)
        rnn__put(&names, " %s", s->tensor[i].name);
    if (!t)
        return no_member(s->path, name, &names, f);
    int code = begin_member(a, s->path, name, f);
    if (!code)
        code = rnn__ndarray_share(a, s->fd, f);
    if (code)
        return code;
    rnn__ndarray_set_dtype(a, rnn__safetensors_dtype(t));
    a->rank = t->rank;
    memcpy(a->dim, t->dim, (size_t)t->rank * sizeof *t->dim);
    a->size = t->size;
    a->data = s->data + t->begin;
    return 0;
}

static int open_tensors(const struct rnn__opening *o, struct rnn__ndarray *array,
                        struct rnn__fault *f)
{
    struct rnn__safetensors s;
    char *path = NULL;
    int code = rnn__container_path(o, "safetensors", &path, f);
    if (!code)
        code = rnn__safetensors_open(&s, path, f);
    free(path);
    if (code)
        return code == RNN_EFORMAT ? f->code = RNN_EDATA : code;
    for (int i = 0; i < o->n_input && !code; i++)
        code = open_tensor(&s, o->input[i].name, &array[i], f);
    rnn__safetensors_close(&s);
    return code;
}

static const char *const tensors_options[] = {"safetensors", NULL};
const struct rnn__container rnn__tensors = {.options = tensors_options,
                                            .open = open_tensors};

/* ---- raw ---- */

static int read_dtype(const struct rnn__opening *o, struct rnn__ndarray *a,
                      struct rnn__fault *f)
{
    const char *dtype = "f32";
    int code = rnn__get_text(o->setup->json, o->setup->where, "dtype", &dtype, f);
    if (!code && !rnn__ndarray_set_dtype(a, dtype))
        code = rnn__fault(f, RNN__ESPEC, "%s.dtype: '%s' is none; f32 is one",
                          o->setup->where, dtype);
    return code;
}

/* A first dimension of 0 stands for as many as the file holds. */
static int read_shape(const struct rnn__opening *o, struct rnn__ndarray *a, int64_t bytes,
                      struct rnn__fault *f)
{
    const json_t *shape = json_object_get(o->setup->json, "shape");
    double dim;
    if (!json_is_array(shape) || json_array_size(shape) == 0 ||
        json_array_size(shape) > RNN__NDARRAY_RANK_MAX)
        return rnn__fault(f, RNN__ESPEC,
                          "%s.shape: a raw file needs its dimensions, such as [0, 100, 3] "
                          "(0: as many as it holds)",
                          o->setup->where);
    a->rank = (int)json_array_size(shape);
    for (int i = 0; i < a->rank; i++) {
        if (!rnn__is_number(json_array_get(shape, (size_t)i), &dim) || dim < (i > 0) ||
            dim > 0x1p53 || dim != (double)(int64_t)dim)
            return rnn__fault(f, RNN__ESPEC, "%s.shape: dimension %d is no count",
                              o->setup->where, i);
        a->dim[i] = (int64_t)dim;
    }
    bool counts_itself = a->dim[0] == 0;
    if (counts_itself)
        a->dim[0] = 1;
    bool countable = rnn__ndarray_set_size(a);
    if (counts_itself && countable) {
        a->dim[0] = bytes / (a->size * a->width);
        countable = rnn__ndarray_set_size(a);
    }
    return countable ? 0 : rnn__ndarray_bad(a, f, "its shape is larger than any file");
}

static int open_raw(const struct rnn__opening *o, struct rnn__ndarray *array,
                    struct rnn__fault *f)
{
    char *path = NULL;
    int64_t bytes = 0;
    int code = rnn__container_path(o, "raw", &path, f);
    if (!code)
        code = rnn__ndarray_begin(array, path, f);
    if (!code)
        code = rnn__ndarray_open(array, path, &bytes, f);
    free(path);
    if (!code)
        code = read_dtype(o, array, f);
    if (!code)
        code = read_shape(o, array, bytes, f);
    if (!code)
        code = rnn__ndarray_check_length(array, bytes, true, f);
    return code ? code : rnn__container_spread(o, array, f);
}

static const char *const raw_options[] = {"raw", "dtype", "shape", NULL};
const struct rnn__container rnn__raw = {
    .options = raw_options, .table = true, .open = open_raw};
