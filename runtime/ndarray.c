/*
 * ndarray.c — elements of an array in a file, converted.
 *
 * Files are read, never mapped: under a mapping, a file that somebody cuts short kills
 * the process. Read, it is a short count, and a fault with a sentence; who reads a block
 * asks rnn__ndarray_unchanged as well, so that a file written to is noticed even where
 * all its bytes are still there.
 */
#include "ndarray.h"

#include "half.h"

#include <ctype.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 65536 };

/* ---- opening ---- */

int rnn__ndarray_begin(struct rnn__ndarray *a, const char *name, struct rnn__fault *f)
{
    *a = (struct rnn__ndarray){.fd = -1, .name = rnn__path_join(NULL, name)};
    return a->name ? 0 : rnn__fault_memory(f);
}

void rnn__ndarray_close(struct rnn__ndarray *a)
{
    if (a->fd >= 0)
        rnn__io->close(a->fd);
    free(a->name);
    *a = (struct rnn__ndarray){.fd = -1};
}

int rnn__ndarray_open(struct rnn__ndarray *a, const char *path, int64_t *size,
                      struct rnn__fault *f)
{
    a->fd = rnn__open_file(path, size, f);
    return a->fd < 0 ? a->fd : rnn__stamp_of(a->fd, a->name, &a->stamp, f);
}

int rnn__ndarray_share(struct rnn__ndarray *a, int fd, struct rnn__fault *f)
{
    a->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (a->fd < 0)
        return rnn__fault_errno(f, a->name, "cannot be opened once more");
    return rnn__stamp_of(a->fd, a->name, &a->stamp, f);
}

int rnn__ndarray_bad(const struct rnn__ndarray *a, struct rnn__fault *f, const char *what)
{
    return rnn__fault(f, RNN_EDATA, "%s: %s", a->name, what);
}

/* ---- dtypes and shapes ---- */

static const struct {
    char kind;
    int width;
    const char *name, *brief;
} dtype_list[] = {
    {'f', 2, "float16", "f16"}, {'h', 2, "bfloat16", "bf16"}, {'f', 4, "float32", "f32"},
    {'f', 8, "float64", "f64"}, {'i', 1, "int8", "i8"},       {'i', 2, "int16", "i16"},
    {'i', 3, "int24", "i24"},   {'i', 4, "int32", "i32"},     {'i', 8, "int64", "i64"},
    {'u', 1, "uint8", "u8"},    {'u', 2, "uint16", "u16"},    {'u', 4, "uint32", "u32"},
    {'u', 8, "uint64", "u64"},  {'b', 1, "bool", "bool"},
};
enum { N_DTYPE = sizeof dtype_list / sizeof *dtype_list };

static bool same_word(const char *a, const char *b)
{
    while (*a && tolower((unsigned char)*a) == *b)
        a++, b++;
    return !*a && !*b;
}

bool rnn__ndarray_set_dtype(struct rnn__ndarray *a, const char *name)
{
    for (int i = 0; i < N_DTYPE; i++)
        if (same_word(name, dtype_list[i].name) || same_word(name, dtype_list[i].brief)) {
            a->kind = dtype_list[i].kind;
            a->width = dtype_list[i].width;
            return true;
        }
    return false;
}

const char *rnn__ndarray_dtype(const struct rnn__ndarray *a)
{
    for (int i = 0; i < N_DTYPE; i++)
        if (dtype_list[i].kind == a->kind && dtype_list[i].width == a->width)
            return dtype_list[i].name;
    return NULL;
}

bool rnn__ndarray_set_size(struct rnn__ndarray *a)
{
    int64_t end;
    a->size = 1;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] < 0 || __builtin_mul_overflow(a->size, a->dim[i], &a->size))
            return false;
    return !__builtin_mul_overflow(a->size, (int64_t)a->width, &end) &&
           !__builtin_add_overflow(end, a->data, &end);
}

int rnn__ndarray_check_length(const struct rnn__ndarray *a, int64_t size, bool exact,
                              struct rnn__fault *f)
{
    int64_t bytes = a->size * a->width, there = size - (a->data - a->base);
    if (bytes == there || (bytes < there && !exact))
        return 0;
    return rnn__fault(f, RNN_EDATA, "%s: is %s: its shape needs %lld bytes, there are %lld",
                      a->name, bytes > there ? "cut short" : "too long", (long long)bytes,
                      (long long)there);
}

/* ---- elements ---- */

static uint64_t bits_of(const struct rnn__ndarray *a, const unsigned char *at)
{
    uint64_t bits = 0;
    for (int i = 0; i < a->width; i++)
        bits = bits << 8 | at[a->swap ? i : a->width - 1 - i];
    return bits;
}

/* Sign-extends `width` bytes. */
static int64_t signed_of(uint64_t bits, int width)
{
    uint64_t sign = (uint64_t)1 << (8 * width - 1);
    return (int64_t)((bits ^ sign) - sign);
}

static double float_of(const struct rnn__ndarray *a, uint64_t bits)
{
    double value;
    if (a->kind == 'h')
        return (double)rnn__float_of_bf16((uint16_t)bits);
    if (a->width == 2)
        return (double)rnn__float_of_f16((uint16_t)bits);
    if (a->width == 4)
        return (double)rnn__float_of_bits((uint32_t)bits);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double real_of(const struct rnn__ndarray *a, uint64_t bits)
{
    double value = a->kind == 'i'   ? (double)signed_of(bits, a->width)
                   : a->kind == 'u' ? (double)bits
                   : a->kind == 'b' ? (double)bits
                                    : float_of(a, bits);
    return a->scale != 0 ? value * a->scale : value;
}

static int32_t whole_of_float(double value)
{
    if (value != floor(value)) /* NaN as well */
        return INT32_MIN;
    return value >= INT32_MAX ? INT32_MAX : value <= INT32_MIN ? INT32_MIN : (int32_t)value;
}

static int32_t whole_of(const struct rnn__ndarray *a, uint64_t bits)
{
    if (a->kind == 'f' || a->kind == 'h')
        return whole_of_float(float_of(a, bits));
    if (a->kind != 'i')
        return bits > INT32_MAX ? INT32_MAX : (int32_t)bits;
    int64_t value = signed_of(bits, a->width);
    return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int32_t)value;
}

/* Where converted elements go: exactly one of the two. */
struct target {
    void *reals;
    enum rnn_dtype dtype; /* of reals */
    int64_t n;            /* reals so far */
    int32_t *ints;
};

static void convert(const struct rnn__ndarray *a, const unsigned char *from, int64_t n,
                    struct target *to)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = bits_of(a, from + i * a->width);
        if (to->reals)
            rnn_real_set(to->reals, to->dtype, to->n++, real_of(a, bits));
        else
            *to->ints++ = whole_of(a, bits);
    }
}

/* A file that ends too early was longer when it was opened: its data are at fault. */
static int read_bytes(const struct rnn__ndarray *a, int64_t element, void *out,
                      int64_t bytes, struct rnn__fault *f)
{
    int code =
        rnn__read_at(a->fd, a->name, a->data + element * a->width, out, (size_t)bytes, f);
    struct rnn__fault changed;
    if (code && rnn__ndarray_unchanged(a, &changed) == RNN_EDATA)
        *f = changed;
    return code ? f->code : 0;
}

static int read_plain(const struct rnn__ndarray *a, int64_t first, int64_t n,
                      struct target *to, struct rnn__fault *f)
{
    unsigned char buffer[READ_BYTES];
    int64_t most = READ_BYTES / a->width;
    for (int64_t done = 0; done < n;) {
        int64_t some = n - done < most ? n - done : most;
        int code = read_bytes(a, first + done, buffer, some * a->width, f);
        if (code)
            return code;
        convert(a, buffer, some, to);
        done += some;
    }
    return 0;
}

/* Short runs near each other: several of them in one read. */
static int read_runs(const struct rnn__ndarray *a, const struct rnn__run *run,
                     struct target *to, struct rnn__fault *f)
{
    unsigned char buffer[READ_BYTES];
    int64_t most = READ_BYTES / a->width / run->stride;
    for (int64_t done = 0; done < run->n;) {
        int64_t some = run->n - done < most ? run->n - done : most;
        int64_t elements = (some - 1) * run->stride + run->take;
        int code =
            read_bytes(a, run->first + done * run->stride, buffer, elements * a->width, f);
        if (code)
            return code;
        for (int64_t i = 0; i < some; i++)
            convert(a, buffer + i * run->stride * a->width, run->take, to);
        done += some;
    }
    return 0;
}

static int read_elements(const struct rnn__ndarray *a, const struct rnn__run *run,
                         struct target *to, struct rnn__fault *f)
{
    if (run->n == 1 || run->take == run->stride)
        return read_plain(a, run->first, run->n * run->take, to, f);
    if (run->stride <= READ_BYTES / a->width / 4)
        return read_runs(a, run, to, f);
    int code = 0;
    for (int64_t i = 0; i < run->n && !code; i++)
        code = read_plain(a, run->first + i * run->stride, run->take, to, f);
    return code;
}

/* Whether the file holds reals just as memory does (on the little-endian machines that
   rnnc compiles for). */
static bool is_plain_real(const struct rnn__ndarray *a, enum rnn_dtype dtype)
{
    return a->kind == 'f' && a->width == (int)rnn_dtype_bytes(dtype) && !a->swap &&
           a->scale == 0;
}

int rnn__ndarray_read_real(const struct rnn__ndarray *a, const struct rnn__run *run,
                           enum rnn_dtype dtype, void *out, struct rnn__fault *f)
{
    if (is_plain_real(a, dtype) && (run->n == 1 || run->take == run->stride))
        return read_bytes(a, run->first, out, a->width * run->n * run->take, f);
    return read_elements(a, run, &(struct target){.reals = out, .dtype = dtype}, f);
}

int rnn__ndarray_read_int(const struct rnn__ndarray *a, const struct rnn__run *run,
                          int32_t *out, struct rnn__fault *f)
{
    return read_elements(a, run, &(struct target){.ints = out}, f);
}

const char *rnn__ndarray_text(const struct rnn__ndarray *a, int64_t element,
                              char out[static RNN__ELEMENT_BYTES])
{
    unsigned char bytes[8];
    struct rnn__fault ignored;
    if (read_bytes(a, element, bytes, a->width, &ignored) != 0)
        return "?";
    uint64_t bits = bits_of(a, bytes);
    if (a->kind == 'i')
        snprintf(out, RNN__ELEMENT_BYTES, "%lld", (long long)signed_of(bits, a->width));
    else if (a->kind == 'u' || a->kind == 'b')
        snprintf(out, RNN__ELEMENT_BYTES, "%llu", (unsigned long long)bits);
    else
        snprintf(out, RNN__ELEMENT_BYTES, "%g", float_of(a, bits));
    return out;
}

/* ---- the file as it was ---- */

int rnn__ndarray_unchanged(const struct rnn__ndarray *a, struct rnn__fault *f)
{
    return rnn__unchanged(a->fd, a->name, &a->stamp, f);
}
