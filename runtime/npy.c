/*
 * npy.c — reading NumPy's npy files.
 *
 *     "\x93NUMPY", version, 0     8 bytes
 *     n                           2 bytes in version 1, 4 in 2 and 3, little-endian
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (8, 60, 2), }   n bytes
 *     elements, row-major
 *
 * The header is a Python dictionary; what is read here is the part of Python that
 * NumPy writes there. Source: numpy.lib.format.
 */
#include "npy.h"

#include "half.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER_BYTES_MAX = 1 << 20, READ_BYTES = 65536 };

/* ---- the header's dictionary ---- */

struct header {
    const char *at; /* what is left to read; ends with a NUL */
    char descr[16];
    bool fortran;
    bool has_descr, has_fortran, has_shape;
};

static void skip_blanks(struct header *h)
{
    while (isspace((unsigned char)*h->at))
        h->at++;
}

static bool take(struct header *h, const char *token)
{
    skip_blanks(h);
    size_t n = strlen(token);
    if (strncmp(h->at, token, n) != 0)
        return false;
    h->at += n;
    return true;
}

/* A quoted text without escapes; false when it is none or does not fit. */
static bool take_text(struct header *h, char *out, size_t capacity)
{
    skip_blanks(h);
    char quote = *h->at;
    if (quote != '\'' && quote != '"')
        return false;
    const char *end = strchr(h->at + 1, quote);
    if (!end || (size_t)(end - h->at) > capacity)
        return false;
    size_t n = (size_t)(end - h->at) - 1;
    memcpy(out, h->at + 1, n);
    out[n] = '\0';
    h->at = end + 1;
    return true;
}

static bool take_count(struct header *h, int64_t *out)
{
    skip_blanks(h);
    if (!isdigit((unsigned char)*h->at))
        return false;
    *out = 0;
    for (; isdigit((unsigned char)*h->at); h->at++)
        if (__builtin_mul_overflow(*out, (int64_t)10, out) ||
            __builtin_add_overflow(*out, (int64_t)(*h->at - '0'), out))
            return false;
    return true;
}

/* () (3,) (3, 4): sets rank, dim and size. */
static const char *take_shape(struct header *h, struct rnn__npy *a)
{
    if (!take(h, "("))
        return "its shape is not a tuple";
    a->rank = 0;
    a->size = 1;
    while (!take(h, ")")) {
        if (a->rank == RNN__NPY_RANK_MAX)
            return "its shape has more than 16 dimensions";
        if (!take_count(h, &a->dim[a->rank]))
            return "its shape holds what is no count";
        if (__builtin_mul_overflow(a->size, a->dim[a->rank++], &a->size))
            return "its shape is larger than any file";
        if (!take(h, ",") && *h->at != ')')
            return "its shape is not a tuple";
    }
    return NULL;
}

static const char *take_value(struct header *h, const char *key, struct rnn__npy *a)
{
    if (strcmp(key, "descr") == 0) {
        h->has_descr = true;
        skip_blanks(h);
        if (*h->at == '[')
            return "its elements are records; save one plain array a file";
        return take_text(h, h->descr, sizeof h->descr) ? NULL
                                                       : "its dtype is not understood";
    }
    if (strcmp(key, "fortran_order") == 0) {
        h->has_fortran = true;
        h->fortran = take(h, "True");
        return h->fortran || take(h, "False") ? NULL : "its order is not understood";
    }
    if (strcmp(key, "shape") == 0) {
        h->has_shape = true;
        return take_shape(h, a);
    }
    return "its header has an unknown key";
}

/* NULL or what is wrong. */
static const char *parse_header(struct header *h, struct rnn__npy *a)
{
    static const char malformed[] = "its header is malformed";
    char key[16];
    if (!take(h, "{"))
        return malformed;
    while (!take(h, "}")) {
        if (!take_text(h, key, sizeof key) || !take(h, ":"))
            return malformed;
        const char *wrong = take_value(h, key, a);
        if (wrong)
            return wrong;
        if (!take(h, ",") && *h->at != '}')
            return malformed;
    }
    skip_blanks(h);
    if (*h->at || !h->has_descr || !h->has_fortran || !h->has_shape)
        return malformed;
    return h->fortran ? "it is in Fortran order; save numpy.ascontiguousarray(a)" : NULL;
}

/* ---- dtypes ---- */

static const struct {
    char kind;
    int width;
    const char *name;
} dtype_list[] = {
    {'f', 2, "float16"}, {'f', 4, "float32"}, {'f', 8, "float64"}, {'i', 1, "int8"},
    {'i', 2, "int16"},   {'i', 4, "int32"},   {'i', 8, "int64"},   {'u', 1, "uint8"},
    {'u', 2, "uint16"},  {'u', 4, "uint32"},  {'u', 8, "uint64"},  {'b', 1, "bool"},
};
enum { N_DTYPE = sizeof dtype_list / sizeof *dtype_list };

static const char *set_dtype(struct rnn__npy *a, const char *descr)
{
    if (descr[0] && descr[1] == 'O')
        return "its elements are pickled Python objects, which are never read";
    if (!descr[0] || !strchr("<>|=", descr[0]) || strlen(descr) != 3 || descr[0] == '=')
        return "its dtype is not one of float16, float32, float64, integers, bool";
    a->kind = descr[1];
    a->width = descr[2] - '0';
    a->swap = descr[0] == '>';
    return rnn__npy_dtype(a)
               ? NULL
               : "its dtype is not one of float16, float32, float64, integers, "
                 "bool";
}

const char *rnn__npy_dtype(const struct rnn__npy *a)
{
    for (int i = 0; i < N_DTYPE; i++)
        if (dtype_list[i].kind == a->kind && dtype_list[i].width == a->width)
            return dtype_list[i].name;
    return NULL;
}

/* ---- opening ---- */

static int bad(const struct rnn__npy *a, struct rnn__fault *f, const char *what)
{
    return rnn__fault(f, RNN_EDATA, "%s: %s", a->path, what);
}

/* Finds where the header stands and how long it is. */
static int find_header(struct rnn__npy *a, int64_t size, int64_t *begin, int64_t *bytes,
                       struct rnn__fault *f)
{
    unsigned char head[12] = {0};
    size_t there = size < 12 ? (size_t)size : 12;
    int code = rnn__read_at(a->fd, a->path, 0, head, there, f);
    if (code)
        return code;
    if (there < 10 || memcmp(head, "\x93NUMPY", 6) != 0)
        return bad(a, f, "is not an npy file");
    if (head[6] < 1 || head[6] > 3 || (head[6] > 1 && there < 12))
        return bad(a, f, "is of an unknown version of npy, or cut short");
    *begin = head[6] == 1 ? 10 : 12;
    uint32_t n = (uint32_t)head[8] | (uint32_t)head[9] << 8;
    if (head[6] > 1)
        n |= (uint32_t)head[10] << 16 | (uint32_t)head[11] << 24;
    *bytes = n;
    if (n > HEADER_BYTES_MAX || *begin + *bytes > size)
        return bad(a, f, "its header is longer than the file: it is cut short or damaged");
    return 0;
}

static int check_length(const struct rnn__npy *a, int64_t size, struct rnn__fault *f)
{
    int64_t bytes;
    if (__builtin_mul_overflow(a->size, (int64_t)a->width, &bytes))
        return bad(a, f, "its shape is larger than any file");
    if (bytes == size - a->data)
        return 0;
    return rnn__fault(f, RNN_EDATA, "%s: is %s: its shape needs %lld bytes, there are %lld",
                      a->path, bytes > size - a->data ? "cut short" : "too long",
                      (long long)bytes, (long long)(size - a->data));
}

static int read_header(struct rnn__npy *a, int64_t size, struct rnn__fault *f)
{
    int64_t begin = 0, bytes = 0;
    int code = find_header(a, size, &begin, &bytes, f);
    if (code)
        return code;
    char *text = malloc((size_t)bytes + 1);
    if (!text)
        return rnn__fault_memory(f);
    code = rnn__read_at(a->fd, a->path, begin, text, (size_t)bytes, f);
    text[bytes] = '\0';
    if (!code) {
        struct header h = {.at = text};
        const char *wrong = parse_header(&h, a);
        if (!wrong)
            wrong = set_dtype(a, h.descr);
        if (wrong)
            code = bad(a, f, wrong);
    }
    free(text);
    a->data = begin + bytes;
    return code ? code : check_length(a, size, f);
}

int rnn__npy_open(struct rnn__npy *a, const char *path, struct rnn__fault *f)
{
    int64_t size = 0;
    *a = (struct rnn__npy){.fd = -1, .path = rnn__path_join(NULL, path)};
    int code = a->path ? 0 : rnn__fault_memory(f);
    if (!code) {
        a->fd = rnn__open_file(path, &size, f);
        code = a->fd < 0 ? a->fd : read_header(a, size, f);
    }
    if (code)
        rnn__npy_close(a);
    return code;
}

void rnn__npy_close(struct rnn__npy *a)
{
    if (a->fd >= 0)
        rnn__io->close(a->fd);
    free(a->path);
    *a = (struct rnn__npy){.fd = -1};
}

/* ---- elements ---- */

static uint64_t bits_of(const struct rnn__npy *a, const unsigned char *at)
{
    uint64_t bits = 0;
    for (int i = 0; i < a->width; i++)
        bits = bits << 8 | at[a->swap ? i : a->width - 1 - i];
    return bits;
}

static double double_of_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Sign-extends `width` bytes. */
static int64_t signed_of(uint64_t bits, int width)
{
    uint64_t sign = (uint64_t)1 << (8 * width - 1);
    return (int64_t)((bits ^ sign) - sign);
}

static float float_of(const struct rnn__npy *a, uint64_t bits)
{
    if (a->kind == 'i')
        return (float)signed_of(bits, a->width);
    if (a->kind != 'f')
        return (float)bits;
    if (a->width == 2)
        return rnn__float_of_f16((uint16_t)bits);
    return a->width == 4 ? rnn__float_of_bits((uint32_t)bits) : (float)double_of_bits(bits);
}

static int32_t int_of(const struct rnn__npy *a, uint64_t bits)
{
    if (a->kind != 'i')
        return bits > INT32_MAX ? INT32_MAX : (int32_t)bits;
    int64_t value = signed_of(bits, a->width);
    return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int32_t)value;
}

/* Whether the file holds floats just as memory does (on the little-endian machines that
   rnnc compiles for). */
static bool is_plain_float(const struct rnn__npy *a)
{
    return a->kind == 'f' && a->width == 4 && !a->swap;
}

/* Exactly one of the two outputs is given. */
static int read_elements(const struct rnn__npy *a, int64_t first, int64_t n, float *floats,
                         int32_t *ints, struct rnn__fault *f)
{
    unsigned char buffer[READ_BYTES];
    int64_t most = READ_BYTES / a->width;
    for (int64_t done = 0; done < n;) {
        int64_t some = n - done < most ? n - done : most;
        int code = rnn__read_at(a->fd, a->path, a->data + (first + done) * a->width, buffer,
                                (size_t)(some * a->width), f);
        if (code)
            return code;
        for (int64_t i = 0; i < some; i++) {
            uint64_t bits = bits_of(a, buffer + i * a->width);
            if (floats)
                floats[done + i] = float_of(a, bits);
            else
                ints[done + i] = int_of(a, bits);
        }
        done += some;
    }
    return 0;
}

int rnn__npy_read_float(const struct rnn__npy *a, int64_t first, int64_t n, float *out,
                        struct rnn__fault *f)
{
    if (is_plain_float(a))
        return rnn__read_at(a->fd, a->path, a->data + 4 * first, out, 4 * (size_t)n, f);
    return read_elements(a, first, n, out, NULL, f);
}

int rnn__npy_read_int(const struct rnn__npy *a, int64_t first, int64_t n, int32_t *out,
                      struct rnn__fault *f)
{
    return read_elements(a, first, n, NULL, out, f);
}
