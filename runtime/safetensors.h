/*
 * safetensors.h — tensors by name in a file of the safetensors format: eight bytes
 * of header length, a JSON header, the tensors' bytes one behind the other.
 */
#ifndef RNN_SAFETENSORS_H
#define RNN_SAFETENSORS_H

#include "io.h"

#include <jansson.h>

enum { RNN__TENSOR_RANK_MAX = 8 };

/* clang-format off */
/*    name  bytes of an element */
#define RNN__DTYPE_LIST(X)                                                     \
    X(BOOL, 1) X(U8, 1) X(I8, 1) X(U16, 2) X(I16, 2) X(U32, 4) X(I32, 4)       \
    X(U64, 8) X(I64, 8) X(F16, 2) X(BF16, 2) X(F32, 4) X(F64, 8)
/* clang-format on */

enum rnn__dtype {
#define X(name, bytes) RNN__##name,
    RNN__DTYPE_LIST(X)
#undef X
};

struct rnn__tensor {
    const char *name;
    enum rnn__dtype dtype;
    int rank;
    int64_t dim[RNN__TENSOR_RANK_MAX];
    int64_t size;         /* elements */
    int64_t begin, bytes; /* in the file, from the end of the header */
    const void *data;     /* to write; reading leaves NULL */
};

struct rnn__safetensors {
    char *path;
    int fd;
    int64_t data; /* where the tensors' bytes begin in the file */
    int n_tensor;
    struct rnn__tensor *tensor; /* in the order of their bytes */
    json_t *header;             /* owns the names */
};

/*
 * Reads and checks the header: length, JSON without duplicates, known dtypes, sizes
 * that fit the shapes, and bytes that tile the file without holes or overlaps.
 * RNN_EIO, RNN_EFORMAT, RNN_ENOMEM; on failure nothing is left open.
 */
int rnn__safetensors_open(struct rnn__safetensors *s, const char *path,
                          struct rnn__fault *f);
void rnn__safetensors_close(struct rnn__safetensors *s);

/* NULL when there is none. */
const struct rnn__tensor *rnn__safetensors_find(const struct rnn__safetensors *s,
                                                const char *name);
const char *rnn__safetensors_metadata(const struct rnn__safetensors *s, const char *key);

/* "F32", …: as the format names it. */
const char *rnn__safetensors_dtype(const struct rnn__tensor *t);

/* Converts a floating tensor to float or double, tensor->size of them. RNN_EFORMAT when it
   is of another kind. */
int rnn__safetensors_read_float(const struct rnn__safetensors *s,
                                const struct rnn__tensor *t, float *out,
                                struct rnn__fault *f);
int rnn__safetensors_read_double(const struct rnn__safetensors *s,
                                 const struct rnn__tensor *t, double *out,
                                 struct rnn__fault *f);

/* Of reals in memory. */
static inline enum rnn__dtype rnn__dtype_of(enum rnn_dtype dtype)
{
    return dtype == RNN_F64 ? RNN__F64 : RNN__F32;
}

/* Bytes of an element. */
int64_t rnn__dtype_bytes(enum rnn__dtype dtype);

/* The tensor's bytes as they are; any dtype. */
int rnn__safetensors_read_bytes(const struct rnn__safetensors *s,
                                const struct rnn__tensor *t, void *out,
                                struct rnn__fault *f);

/* CRC-32C of the tensor's bytes. */
int rnn__safetensors_sum(const struct rnn__safetensors *s, const struct rnn__tensor *t,
                         uint32_t *crc, struct rnn__fault *f);
/* Whether the header is as it was written; RNN_EFORMAT when not, 0 also when it has no
   checksum. */
int rnn__safetensors_check_header(const struct rnn__safetensors *s, struct rnn__fault *f);

/* An entry of the metadata that stands for the header's checksum: of eight digits 0 when
   given to rnn__safetensors_write, which puts the checksum in. */
#define RNN__HEADER_SUM "header_crc32c"

/*
 * Writes the tensors sorted by width and name, atomically (rnn__write_file).
 * metadata  NULL or an object of strings; borrowed
 */
int rnn__safetensors_write(const char *path, const struct rnn__tensor *tensor, int n_tensor,
                           json_t *metadata, struct rnn__fault *f);

#endif
