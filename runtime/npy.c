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
#include "array_file.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_BYTES_MAX = 1 << 20 };

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
static const char *take_shape(struct header *h, struct rnn__ndarray *a)
{
    if (!take(h, "("))
        return "its shape is not a tuple";
    a->rank = 0;
    while (!take(h, ")")) {
        if (a->rank == RNN__NDARRAY_RANK_MAX)
            return "its shape has more than 16 dimensions";
        if (!take_count(h, &a->dim[a->rank++]))
            return "its shape holds what is no count";
        if (!take(h, ",") && *h->at != ')')
            return "its shape is not a tuple";
    }
    return NULL;
}

static const char *take_value(struct header *h, const char *key, struct rnn__ndarray *a)
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
static const char *parse_header(struct header *h, struct rnn__ndarray *a)
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

static const char *set_dtype(struct rnn__ndarray *a, const char *descr)
{
    static const char unknown[] =
        "its dtype is not one of float16, float32, float64, integers, bool";
    static const char kinds[] = "fiub";
    if (descr[0] && descr[1] == 'O')
        return "its elements are pickled Python objects, which are never read";
    if (!descr[0] || !strchr("<>|", descr[0]) || strlen(descr) != 3 ||
        !strchr(kinds, descr[1]))
        return unknown;
    a->kind = descr[1];
    a->width = descr[2] - '0';
    a->swap = descr[0] == '>';
    return rnn__ndarray_dtype(a) && a->width != 3 ? NULL : unknown;
}

/* ---- the file ---- */

/* Finds where the header stands and how long it is. */
static int find_header(struct rnn__ndarray *a, int64_t size, int64_t *begin, int64_t *bytes,
                       struct rnn__fault *f)
{
    unsigned char head[12] = {0};
    size_t there = size < 12 ? (size_t)size : 12;
    int code = rnn__read_at(a->fd, a->name, a->base, head, there, f);
    if (code)
        return code;
    if (there < 10 || memcmp(head, "\x93NUMPY", 6) != 0)
        return rnn__ndarray_bad(a, f, "is not an npy file");
    if (head[6] < 1 || head[6] > 3 || (head[6] > 1 && there < 12))
        return rnn__ndarray_bad(a, f, "is of an unknown version of npy, or cut short");
    *begin = head[6] == 1 ? 10 : 12;
    int64_t n = (int64_t)rnn__little_endian(head + 8, head[6] == 1 ? 2 : 4);
    *bytes = n;
    if (n > HEADER_BYTES_MAX || *begin + *bytes > size)
        return rnn__ndarray_bad(
            a, f, "its header is longer than the file: it is cut short or damaged");
    return 0;
}

int rnn__npy_header(struct rnn__ndarray *a, int64_t size, struct rnn__fault *f)
{
    int64_t begin = 0, bytes = 0;
    int code = find_header(a, size, &begin, &bytes, f);
    if (code)
        return code;
    char *text = malloc((size_t)bytes + 1);
    if (!text)
        return rnn__fault_memory(f);
    code = rnn__read_at(a->fd, a->name, a->base + begin, text, (size_t)bytes, f);
    text[bytes] = '\0';
    if (!code) {
        struct header h = {.at = text};
        const char *wrong = parse_header(&h, a);
        if (!wrong)
            wrong = set_dtype(a, h.descr);
        a->data = a->base + begin + bytes;
        if (!wrong && !rnn__ndarray_set_size(a))
            wrong = "its shape is larger than any file";
        if (wrong)
            code = rnn__ndarray_bad(a, f, wrong);
    }
    free(text);
    return code;
}
