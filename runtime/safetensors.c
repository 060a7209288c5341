/*
 * safetensors.c — reading and writing tensors by name.
 *
 *     8 bytes   n, little-endian
 *     n bytes   JSON: {"NAME": {"dtype": "F32", "shape": [2, 3],
 *               "data_offsets": [0, 24]}, …, "__metadata__": {"KEY": "TEXT"}}
 *     the rest  bytes, little-endian, row-major
 *
 * A file from elsewhere is hostile until it is checked: every product is checked for
 * overflow, and the tensors must tile the bytes behind the header exactly, as the
 * format demands (no tensor can then alias another or reach out of the file).
 * Source: the format section of https://github.com/huggingface/safetensors.
 */
#include "safetensors.h"

#include "half.h"
#include "settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_BYTES_MAX = 100000000, READ_BYTES = 65536 };

static const struct {
    const char *name;
    int bytes;
} dtype_list[] = {
#define X(name, bytes) [RNN__##name] = {#name, bytes},
    RNN__DTYPE_LIST(X)
#undef X
};
enum { N_DTYPE = sizeof dtype_list / sizeof *dtype_list };

static const char metadata_key[] = "__metadata__";

/* ---- the header ---- */

static int bad(struct rnn__safetensors *s, struct rnn__fault *f, const char *name,
               const char *what)
{
    return rnn__fault(f, RNN_EFORMAT, "%s: tensor '%s': %s", s->path, name, what);
}

int64_t rnn__dtype_bytes(enum rnn__dtype dtype) { return dtype_list[dtype].bytes; }

static bool find_dtype(const char *name, enum rnn__dtype *out)
{
    for (int i = 0; name && i < N_DTYPE; i++)
        if (strcmp(dtype_list[i].name, name) == 0) {
            *out = (enum rnn__dtype)i;
            return true;
        }
    return false;
}

/* Sets rank, dim and size; NULL or what is wrong. */
static const char *read_shape(const json_t *shape, struct rnn__tensor *t)
{
    if (!json_is_array(shape))
        return "its shape is not a list";
    if (json_array_size(shape) > RNN__TENSOR_RANK_MAX)
        return "its shape has more than 8 dimensions";
    t->rank = (int)json_array_size(shape);
    t->size = 1;
    for (int i = 0; i < t->rank; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return "its shape holds what is no count";
        t->dim[i] = json_integer_value(dim);
        if (__builtin_mul_overflow(t->size, t->dim[i], &t->size))
            return "its shape is larger than any file";
    }
    return NULL;
}

static const char *read_offsets(const json_t *offsets, struct rnn__tensor *t)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    int64_t bytes;
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return "its data_offsets are not two integers";
    if (json_integer_value(begin) < 0 ||
        json_integer_value(end) < json_integer_value(begin))
        return "its data_offsets run backwards";
    t->begin = json_integer_value(begin);
    t->bytes = json_integer_value(end) - t->begin;
    if (__builtin_mul_overflow(t->size, (int64_t)dtype_list[t->dtype].bytes, &bytes) ||
        bytes != t->bytes)
        return "its data_offsets do not fit its dtype and shape";
    return NULL;
}

static int read_entry(struct rnn__safetensors *s, const char *name, const json_t *entry,
                      struct rnn__fault *f)
{
    struct rnn__tensor t = {.name = name};
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (!json_is_object(entry) || json_object_size(entry) != 3)
        return bad(s, f, name, "its entry is not dtype, shape and data_offsets");
    if (!find_dtype(dtype, &t.dtype))
        return bad(s, f, name, "its dtype is unknown");
    const char *wrong = read_shape(json_object_get(entry, "shape"), &t);
    if (!wrong)
        wrong = read_offsets(json_object_get(entry, "data_offsets"), &t);
    if (wrong)
        return bad(s, f, name, wrong);
    s->tensor[s->n_tensor++] = t;
    return 0;
}

static int check_metadata(struct rnn__safetensors *s, json_t *metadata,
                          struct rnn__fault *f)
{
    const char *key;
    json_t *value;
    bool strings = json_is_object(metadata);
    json_object_foreach(metadata, key, value) strings = strings && json_is_string(value);
    if (!strings)
        return rnn__fault(f, RNN_EFORMAT, "%s: %s is not an object of strings", s->path,
                          metadata_key);
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct rnn__tensor *s = a, *t = b;
    if (s->begin != t->begin)
        return s->begin < t->begin ? -1 : 1;
    return (s->bytes > t->bytes) - (s->bytes < t->bytes);
}

static int check_tiling(struct rnn__safetensors *s, int64_t bytes, struct rnn__fault *f)
{
    int64_t at = 0;
    for (int i = 0; i < s->n_tensor; i++) {
        const struct rnn__tensor *t = &s->tensor[i];
        if (t->begin != at)
            return bad(s, f, t->name,
                       t->begin < at ? "its bytes overlap those of another tensor"
                                     : "there is a hole before its bytes");
        at += t->bytes; /* both at most INT64_MAX, and begin + bytes was an integer */
    }
    if (at > bytes)
        return rnn__fault(f, RNN_EFORMAT,
                          "%s: is cut short: %lld bytes of tensors, not %lld", s->path,
                          (long long)bytes, (long long)at);
    if (at < bytes)
        return rnn__fault(f, RNN_EFORMAT, "%s: %lld bytes behind the last tensor", s->path,
                          (long long)(bytes - at));
    return 0;
}

static int read_header(struct rnn__safetensors *s, int64_t data_bytes, struct rnn__fault *f)
{
    const char *name;
    json_t *entry;
    int code = 0;
    s->tensor = calloc(json_object_size(s->header) + 1, sizeof *s->tensor);
    if (!s->tensor)
        return rnn__fault_memory(f);
    json_object_foreach(s->header, name, entry)
    {
        code = strcmp(name, metadata_key) == 0 ? check_metadata(s, entry, f)
                                               : read_entry(s, name, entry, f);
        if (code)
            return code;
    }
    qsort(s->tensor, (size_t)s->n_tensor, sizeof *s->tensor, by_place);
    return check_tiling(s, data_bytes, f);
}

/* ---- opening ---- */

static int load_json(struct rnn__safetensors *s, size_t bytes, struct rnn__fault *f)
{
    json_error_t error;
    char *text = malloc(bytes);
    if (!text)
        return rnn__fault_memory(f);
    int code = rnn__read_at(s->fd, s->path, 8, text, bytes, f);
    if (!code && text[0] != '{')
        code = rnn__fault(f, RNN_EFORMAT, "%s: is not a safetensors file: no JSON header",
                          s->path);
    if (!code) {
        s->header = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
        if (!s->header)
            code = rnn__fault(f, RNN_EFORMAT, "%s: header is not JSON: %s", s->path,
                              error.text);
    }
    free(text);
    return code;
}

static int open_file(struct rnn__safetensors *s, struct rnn__fault *f)
{
    int64_t size = 0;
    unsigned char length[8];
    s->fd = rnn__open_file(s->path, &size, f);
    if (s->fd < 0)
        return s->fd;
    if (size < 10)
        return rnn__fault(f, RNN_EFORMAT, "%s: is not a safetensors file: %lld bytes",
                          s->path, (long long)size);
    int code = rnn__read_at(s->fd, s->path, 0, length, sizeof length, f);
    if (code)
        return code;
    uint64_t bytes = rnn__little_endian(length, 8);
    if (bytes < 2 || bytes > HEADER_BYTES_MAX || bytes > (uint64_t)size - 8)
        return rnn__fault(
            f, RNN_EFORMAT,
            "%s: is not a safetensors file, or cut short: header of %llu bytes "
            "in a file of %lld",
            s->path, (unsigned long long)bytes, (long long)size);
    s->data = 8 + (int64_t)bytes;
    code = load_json(s, (size_t)bytes, f);
    return code ? code : read_header(s, size - s->data, f);
}

int rnn__safetensors_open(struct rnn__safetensors *s, const char *path,
                          struct rnn__fault *f)
{
    *s = (struct rnn__safetensors){.fd = -1, .path = rnn__path_join(NULL, path)};
    int code = s->path ? open_file(s, f) : rnn__fault_memory(f);
    if (code)
        rnn__safetensors_close(s);
    return code;
}

void rnn__safetensors_close(struct rnn__safetensors *s)
{
    if (s->fd >= 0)
        rnn__io->close(s->fd);
    json_decref(s->header);
    free(s->tensor);
    free(s->path);
    *s = (struct rnn__safetensors){.fd = -1};
}

const struct rnn__tensor *rnn__safetensors_find(const struct rnn__safetensors *s,
                                                const char *name)
{
    for (int i = 0; i < s->n_tensor; i++)
        if (strcmp(s->tensor[i].name, name) == 0)
            return &s->tensor[i];
    return NULL;
}

const char *rnn__safetensors_metadata(const struct rnn__safetensors *s, const char *key)
{
    return json_string_value(
        json_object_get(json_object_get(s->header, metadata_key), key));
}

/* ---- tensors ---- */

const char *rnn__safetensors_dtype(const struct rnn__tensor *t)
{
    return dtype_list[t->dtype].name;
}

static double f16_element(const unsigned char *at)
{
    return (double)rnn__float_of_f16((uint16_t)rnn__little_endian(at, 2));
}

static double bf16_element(const unsigned char *at)
{
    return (double)rnn__float_of_bf16((uint16_t)rnn__little_endian(at, 2));
}

static double f32_element(const unsigned char *at)
{
    return (double)rnn__float_of_bits((uint32_t)rnn__little_endian(at, 4));
}

static double f64_element(const unsigned char *at)
{
    uint64_t bits = rnn__little_endian(at, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

typedef double element_reader(const unsigned char *at);

/* NULL: not a floating kind. */
static element_reader *const reader_of[N_DTYPE] = {
    [RNN__F16] = f16_element,
    [RNN__BF16] = bf16_element,
    [RNN__F32] = f32_element,
    [RNN__F64] = f64_element,
};

/* Exactly one of the two outputs is given. */
static int read_elements(const struct rnn__safetensors *s, const struct rnn__tensor *t,
                         float *floats, double *doubles, struct rnn__fault *f)
{
    unsigned char buffer[READ_BYTES];
    element_reader *reader = reader_of[t->dtype];
    int64_t width = dtype_list[t->dtype].bytes;
    if (!reader)
        return rnn__fault(f, RNN_EFORMAT, "%s: tensor '%s' is %s, not a floating dtype",
                          s->path, t->name, dtype_list[t->dtype].name);
    for (int64_t done = 0; done < t->size;) {
        int64_t n =
            t->size - done < READ_BYTES / width ? t->size - done : READ_BYTES / width;
        int code = rnn__read_at(s->fd, s->path, s->data + t->begin + done * width, buffer,
                                (size_t)(n * width), f);
        if (code)
            return code;
        for (int64_t i = 0; i < n; i++) {
            double value = reader(buffer + i * width);
            if (floats)
                floats[done + i] = (float)value;
            else
                doubles[done + i] = value;
        }
        done += n;
    }
    return 0;
}

int rnn__safetensors_read_float(const struct rnn__safetensors *s,
                                const struct rnn__tensor *t, float *out,
                                struct rnn__fault *f)
{
    return read_elements(s, t, out, NULL, f);
}

int rnn__safetensors_read_double(const struct rnn__safetensors *s,
                                 const struct rnn__tensor *t, double *out,
                                 struct rnn__fault *f)
{
    return read_elements(s, t, NULL, out, f);
}

int rnn__safetensors_read_bytes(const struct rnn__safetensors *s,
                                const struct rnn__tensor *t, void *out,
                                struct rnn__fault *f)
{
    return rnn__read_at(s->fd, s->path, s->data + t->begin, out, (size_t)t->bytes, f);
}

int rnn__safetensors_sum(const struct rnn__safetensors *s, const struct rnn__tensor *t,
                         uint32_t *crc, struct rnn__fault *f)
{
    unsigned char buffer[READ_BYTES];
    int code = 0;
    *crc = 0;
    for (int64_t done = 0; done < t->bytes && !code;) {
        int64_t left = t->bytes - done, n = left < READ_BYTES ? left : READ_BYTES;
        code =
            rnn__read_at(s->fd, s->path, s->data + t->begin + done, buffer, (size_t)n, f);
        if (!code)
            *crc = rnn__crc32c(*crc, buffer, (size_t)n);
        done += n;
    }
    return code;
}

/* ---- the header's checksum ---- */

static const char sum_key[] = "\"" RNN__HEADER_SUM "\":\"", no_sum[] = "00000000";
enum { SUM_DIGITS = sizeof no_sum - 1 };

/* Where the digits stand in the header's text, NULL: nowhere. The key's quotes cannot be
   part of any other text, which would have them escaped. */
static char *sum_digits(char *header, size_t bytes)
{
    size_t n = sizeof sum_key - 1;
    for (size_t i = 0; i + n + SUM_DIGITS <= bytes; i++)
        if (header[i] == '"' && memcmp(header + i, sum_key, n) == 0)
            return header + i + n;
    return NULL;
}

static void put_sum(char *header, size_t bytes)
{
    char digits[SUM_DIGITS + 1], *at = sum_digits(header, bytes);
    if (!at)
        return;
    snprintf(digits, sizeof digits, "%08" PRIx32, rnn__crc32c(0, header, bytes));
    memcpy(at, digits, SUM_DIGITS);
}

int rnn__safetensors_check_header(const struct rnn__safetensors *s, struct rnn__fault *f)
{
    const char *expected = rnn__safetensors_metadata(s, RNN__HEADER_SUM);
    size_t bytes = (size_t)s->data - 8;
    char digits[SUM_DIGITS + 1] = "", *text = expected ? malloc(bytes) : NULL;
    if (!expected)
        return 0;
    if (!text)
        return rnn__fault_memory(f);
    int code = rnn__read_at(s->fd, s->path, 8, text, bytes, f);
    char *at = code ? NULL : sum_digits(text, bytes);
    if (at) {
        memcpy(at, no_sum, SUM_DIGITS);
        snprintf(digits, sizeof digits, "%08" PRIx32, rnn__crc32c(0, text, bytes));
    }
    free(text);
    if (!code && strcmp(digits, expected) != 0)
        code = rnn__fault(f, RNN_EFORMAT,
                          "%s: is damaged: the checksum of its header is wrong", s->path);
    return code;
}

/* ---- writing ---- */

/* Wider elements first, as the format's own library does, so that all stand aligned. */
static int by_name(const void *a, const void *b)
{
    const struct rnn__tensor *const *s = a, *const *t = b;
    int wider = dtype_list[(*t)->dtype].bytes - dtype_list[(*s)->dtype].bytes;
    if (wider)
        return wider;
    return strcmp((*s)->name, (*t)->name);
}

static json_t *entry_of(const struct rnn__tensor *t, int64_t begin)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; i++)
        json_array_append_new(shape, json_integer(t->dim[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_list[t->dtype].name, "shape",
                     shape, "data_offsets", (json_int_t)begin,
                     (json_int_t)(begin + t->size * dtype_list[t->dtype].bytes));
}

/* The header's text, padded with blanks so that the tensors begin at a multiple of 8. */
static char *header_text(const struct rnn__tensor *const *tensor, int n_tensor,
                         json_t *metadata, size_t *length)
{
    json_t *header = json_object();
    int64_t at = 0;
    bool good =
        header && (!metadata || json_object_set(header, metadata_key, metadata) == 0);
    for (int i = 0; i < n_tensor; i++) {
        good = good &&
               json_object_set_new(header, tensor[i]->name, entry_of(tensor[i], at)) == 0;
        at += tensor[i]->size * dtype_list[tensor[i]->dtype].bytes;
    }
    char *text = good ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    if (rnn__json_take_failure() || !text) {
        rnn__json_free(text);
        return NULL;
    }
    size_t bytes = strlen(text);
    *length = (bytes + 7) / 8 * 8;
    char *padded = malloc(*length + 1);
    if (padded) {
        memset(padded, ' ', *length);
        memcpy(padded, text, bytes);
        put_sum(padded, *length);
    }
    rnn__json_free(text);
    return padded;
}

int rnn__safetensors_write(const char *path, const struct rnn__tensor *tensor, int n_tensor,
                           json_t *metadata, struct rnn__fault *f)
{
    size_t length = 0;
    unsigned char prefix[8];
    char *header = NULL;
    const struct rnn__tensor **sorted = calloc((size_t)n_tensor + 1, sizeof *sorted);
    struct rnn__piece *piece = calloc((size_t)n_tensor + 2, sizeof *piece);
    if (sorted && piece) {
        for (int i = 0; i < n_tensor; i++)
            sorted[i] = &tensor[i];
        qsort(sorted, (size_t)n_tensor, sizeof(void *), by_name);
        header = header_text(sorted, n_tensor, metadata, &length);
    }
    int code = header ? 0 : rnn__fault_memory(f);
    if (!code) {
        for (int i = 0; i < 8; i++)
            prefix[i] = (unsigned char)(length >> 8 * i);
        piece[0] = (struct rnn__piece){prefix, sizeof prefix};
        piece[1] = (struct rnn__piece){header, length};
        for (int i = 0; i < n_tensor; i++)
            piece[i + 2] = (struct rnn__piece){
                sorted[i]->data,
                (size_t)(sorted[i]->size * dtype_list[sorted[i]->dtype].bytes)};
        code = rnn__write_file(path, piece, n_tensor + 2, f);
    }
    free(header);
    free(sorted);
    free(piece);
    return code;
}
