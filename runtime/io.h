/*
 * io.h — what everything of the runtime that touches files shares: a fault (what
 * went wrong, as a sentence), whole reads and writes, and the atomic write.
 */
#ifndef RNN_IO_H
#define RNN_IO_H

#include "rnn.h"

#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

/* A mistake in the settings that a trainer was built with, or in a --set. No engine raises
 * it. */
enum { RNN__ESPEC = -100 };

/* What went wrong: a code of RNN_ERROR_LIST (or RNN__ESPEC) and a sentence that names the
   file. One per call chain, owned by whoever reports it. */
struct rnn__fault {
    int code;
    char sentence[2048];
};

/* Sets code and sentence; returns code, for `return rnn__fault(f, RNN_EDATA, "…")`. */
int rnn__fault(struct rnn__fault *f, int code, const char *format, ...) RNN_PRINTF(3, 4);
/* Adds to the sentence; what does not fit is cut. Returns the fault's code. */
int rnn__fault_add(struct rnn__fault *f, const char *format, ...) RNN_PRINTF(2, 3);
/* "PATH: WHAT: why errno says". RNN_EIO. */
int rnn__fault_errno(struct rnn__fault *f, const char *path, const char *what);
/* RNN_ENOMEM. */
int rnn__fault_memory(struct rnn__fault *f);

/* A string that grows; no memory is noticed once, at the end. */
struct rnn__string {
    char *text; /* NULL while empty; free() it */
    size_t length, capacity;
    bool failed;
};
void rnn__put(struct rnn__string *s, const char *format, ...) RNN_PRINTF(2, 3);

/* The shortest decimal that reads back as `value`; "null" when it is not finite. */
enum { RNN__NUMBER_BYTES = 32 };
const char *rnn__number_text(double value, char out[static RNN__NUMBER_BYTES]);

/* folder/name, or name alone when it is absolute or folder is NULL. The caller frees; NULL:
   no memory. */
char *rnn__path_join(const char *folder, const char *name);

/* Opens a regular file to read; *size is its bytes. A descriptor, or RNN_EIO. */
int rnn__open_file(const char *path, int64_t *size, struct rnn__fault *f);
/* All bytes at `offset`: a file that ends before is a fault (RNN_EIO). */
int rnn__read_at(int fd, const char *path, int64_t offset, void *out, size_t bytes,
                 struct rnn__fault *f);

/* Makes the folder and those above it. */
int rnn__make_folder(const char *path, struct rnn__fault *f);

/* One piece of a file to be written. */
struct rnn__piece {
    const void *data;
    size_t bytes;
};

/*
 * Replaces the file at `path` by the pieces, so that at every instant, power loss
 * included, it holds either what it held or the new bytes: written beside, synced,
 * renamed, folder synced. On failure the old file stands and nothing is left beside.
 */
int rnn__write_file(const char *path, const struct rnn__piece *piece, int n_piece,
                    struct rnn__fault *f);

/* CRC-32C (Castagnoli) of the bytes. */
uint32_t rnn__crc32c(const void *data, size_t bytes);

#endif
