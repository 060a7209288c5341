/*
 * npy.h — arrays in NumPy's npy files, read piece by piece.
 */
#ifndef RNN_NPY_H
#define RNN_NPY_H

#include "io.h"

enum { RNN__NPY_RANK_MAX = 16 };

/* 'f' floats of 2, 4, 8 bytes; 'i', 'u' integers of 1, 2, 4, 8; 'b' flags of 1. */
struct rnn__npy {
    char *path;
    int fd;
    char kind;
    int width; /* bytes of an element */
    bool swap; /* big-endian in the file */
    int rank;
    int64_t dim[RNN__NPY_RANK_MAX];
    int64_t size; /* elements */
    int64_t data; /* where they begin in the file */
};

/*
 * Opens versions 1, 2 and 3 in C order; the file's length must be what the header
 * says. RNN_EIO, RNN_EDATA with a sentence that says how to save the array instead,
 * RNN_ENOMEM; on failure nothing is left open.
 */
int rnn__npy_open(struct rnn__npy *a, const char *path, struct rnn__fault *f);
void rnn__npy_close(struct rnn__npy *a);

/* "float64", "int8", …: as NumPy names it. */
const char *rnn__npy_dtype(const struct rnn__npy *a);

/* Elements first … first + n - 1, within size, as float. Any kind. */
int rnn__npy_read_float(const struct rnn__npy *a, int64_t first, int64_t n, float *out,
                        struct rnn__fault *f);

/* The same as int32 (kinds i, u, b). One that does not fit becomes INT32_MIN or INT32_MAX.
 */
int rnn__npy_read_int(const struct rnn__npy *a, int64_t first, int64_t n, int32_t *out,
                      struct rnn__fault *f);

#endif
