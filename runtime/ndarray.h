/*
 * ndarray.h — an array in a file: what its elements are, its shape, where its bytes lie.
 * All that holds arrays (npy, npz, safetensors, IDX, WAV, raw files, tables) opens as
 * this, and is read piece by piece by the same few lines.
 */
#ifndef RNN_NDARRAY_H
#define RNN_NDARRAY_H

#include "io.h"

enum { RNN__NDARRAY_RANK_MAX = 16 };

struct rnn__ndarray {
    char *name; /* for messages: "a.npy", "f.npz: x" */
    int fd;     /* its own; -1: nothing is open */
    struct rnn__stamp stamp;
    char kind;    /* 'f' IEEE floats of 2, 4, 8 bytes; 'h' bfloat16; 'i', 'u' integers of
                     1, 2, 3, 4, 8; 'b' flags of 1 */
    int width;    /* bytes of an element */
    bool swap;    /* big-endian in the file */
    double scale; /* not 0: numbers stand for themselves times this (samples of sound) */
    bool series;  /* [steps, features]: one long series, not sequences */
    int64_t base; /* where the format's first byte lies in the file */
    int rank;
    int64_t dim[RNN__NDARRAY_RANK_MAX];
    int64_t size; /* elements */
    int64_t data; /* where they begin in the file */
};

/* Nothing is open yet; after this rnn__ndarray_close is always right. `name` is copied.
   RNN_ENOMEM. */
int rnn__ndarray_begin(struct rnn__ndarray *a, const char *name, struct rnn__fault *f);
void rnn__ndarray_close(struct rnn__ndarray *a);
/* Opens the file of that path as its bytes; *size is how many. RNN_EIO. */
int rnn__ndarray_open(struct rnn__ndarray *a, const char *path, int64_t *size,
                      struct rnn__fault *f);
/* The same for an open file: it takes a copy of the descriptor. */
int rnn__ndarray_share(struct rnn__ndarray *a, int fd, struct rnn__fault *f);

/* A fault of the data: "NAME: what". RNN_EDATA. */
int rnn__ndarray_bad(const struct rnn__ndarray *a, struct rnn__fault *f, const char *what);

/* Sets kind and width by a name as NumPy has it ("float64"), or safetensors ("F64") and
   the spec ("f64"), which agree but for capitals. Whether it is one. */
bool rnn__ndarray_set_dtype(struct rnn__ndarray *a, const char *name);
/* "float64", "int8", …: as NumPy names it; NULL when there is no such one. */
const char *rnn__ndarray_dtype(const struct rnn__ndarray *a);
/* Sets size from the shape. Whether it and its bytes can be counted at all. */
bool rnn__ndarray_set_size(struct rnn__ndarray *a);
/* The bytes behind `data` must be those of the shape: RNN_EDATA when the `size` bytes of
   the file are fewer, or, if `exact`, more. */
int rnn__ndarray_check_length(const struct rnn__ndarray *a, int64_t size, bool exact,
                              struct rnn__fault *f);

/* Elements to read: n runs of `take`, from `first` on, each `stride` behind the one
   before. */
struct rnn__run {
    int64_t first, take, stride, n;
};

/* n * take elements, all within size, to out as reals. Any kind. RNN_EIO, or RNN_EDATA when
   the file has become shorter. */
int rnn__ndarray_read_real(const struct rnn__ndarray *a, const struct rnn__run *run,
                           enum rnn_dtype dtype, void *out, struct rnn__fault *f);
/* The same as int32. What is no whole number, or does not fit, becomes INT32_MIN or
   INT32_MAX. */
int rnn__ndarray_read_int(const struct rnn__ndarray *a, const struct rnn__run *run,
                          int32_t *out, struct rnn__fault *f);
/* An element as the file has it, as text; "?" when it cannot be read. */
enum { RNN__ELEMENT_BYTES = 32 };
const char *rnn__ndarray_text(const struct rnn__ndarray *a, int64_t element,
                              char out[static RNN__ELEMENT_BYTES]);

/* RNN_EDATA when somebody has written to the file since it was opened. */
int rnn__ndarray_unchanged(const struct rnn__ndarray *a, struct rnn__fault *f);

#endif
