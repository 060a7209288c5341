/*
 * idx.c — the header of an IDX file, the format of MNIST and Fashion-MNIST.
 *
 *     0, 0, type, rank            4 bytes
 *     a dimension                 4 bytes each, big-endian
 *     elements, row-major, big-endian
 *
 * Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", the
 * section on file formats.
 */
#include "array_file.h"

static const struct {
    unsigned char type;
    const char *dtype;
} type_list[] = {{0x08, "u8"},  {0x09, "i8"},  {0x0B, "i16"},
                 {0x0C, "i32"}, {0x0D, "f32"}, {0x0E, "f64"}};
enum { N_TYPE = sizeof type_list / sizeof *type_list };

static bool set_type(struct rnn__ndarray *a, unsigned char type)
{
    for (int i = 0; i < N_TYPE; i++)
        if (type_list[i].type == type)
            return rnn__ndarray_set_dtype(a, type_list[i].dtype);
    return false;
}

int rnn__idx_header(struct rnn__ndarray *a, int64_t size, struct rnn__fault *f)
{
    unsigned char head[4 + 4 * RNN__NDARRAY_RANK_MAX];
    int code = rnn__read_at(a->fd, a->name, a->base, head, 4, f);
    if (code)
        return code;
    a->rank = head[3];
    a->swap = true;
    a->data = a->base + 4 + 4 * a->rank;
    if (!set_type(a, head[2]))
        return rnn__ndarray_bad(a, f, "its elements are of no type that IDX has");
    if (a->rank > RNN__NDARRAY_RANK_MAX)
        return rnn__ndarray_bad(a, f, "its shape has more than 16 dimensions");
    if (4 + 4 * a->rank > size)
        return rnn__ndarray_bad(a, f, "is cut short within its header");
    code = rnn__read_at(a->fd, a->name, a->base + 4, head + 4, 4 * (size_t)a->rank, f);
    for (int i = 0; i < a->rank && !code; i++) {
        const unsigned char *at = head + 4 + 4 * i;
        a->dim[i] = (int64_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
    }
    if (!code && !rnn__ndarray_set_size(a))
        code = rnn__ndarray_bad(a, f, "its shape is larger than any file");
    return code;
}
