/*
 * array_file.h — files that hold one array each, told apart by how they begin: npy, IDX,
 * WAV; each may be packed by gzip.
 */
#ifndef RNN_ARRAY_FILE_H
#define RNN_ARRAY_FILE_H

#include "ndarray.h"
#include "unpack.h"

/* Opens the file and checks its length against its header. RNN_EIO, RNN_EDATA with a
   sentence that says what to do, RNN_ENOMEM; on failure nothing is left open. */
int rnn__array_file_open(struct rnn__ndarray *a, const char *path, struct rnn__fault *f);

/* The same for packed bytes within a file, into `a` that has begun. */
int rnn__array_file_unpack(struct rnn__ndarray *a, const struct rnn__packed *packed,
                           struct rnn__fault *f);
/* The same for `size` bytes from a->base on of the file that `a` has open. */
int rnn__array_file_within(struct rnn__ndarray *a, int64_t size, struct rnn__fault *f);

/* One a format: kind, shape, place of the data from the file that `a` has open, of which
   `size` bytes from a->base on are there (of a packed file, those unpacked so far). */
int rnn__npy_header(struct rnn__ndarray *a, int64_t size, struct rnn__fault *f);
int rnn__idx_header(struct rnn__ndarray *a, int64_t size, struct rnn__fault *f);
int rnn__wav_header(struct rnn__ndarray *a, int64_t size, struct rnn__fault *f);

#endif
