/*
 * io.h — what everything of the runtime that touches files shares: the table of system
 * calls, a fault (what went wrong, as a sentence), whole reads and writes, files that
 * grow, and the atomic write.
 */
#ifndef RNN_IO_H
#define RNN_IO_H

#include "rnn.h"

#include <dirent.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/*
 * Every call of the runtime to the system about files goes through this table: a test
 * puts one in its place that fails the n-th call. All as in POSIX; lock is fcntl's
 * F_SETLK of a write lock on the whole file.
 */
struct rnn__io {
    int (*open)(const char *path, int flags, mode_t mode);
    int (*close)(int fd);
    ssize_t (*read)(int fd, void *out, size_t bytes);
    ssize_t (*pread)(int fd, void *out, size_t bytes, off_t offset);
    ssize_t (*write)(int fd, const void *data, size_t bytes);
    int (*fsync)(int fd);
    int (*ftruncate)(int fd, off_t bytes);
    int (*fstat)(int fd, struct stat *out);
    int (*stat)(const char *path, struct stat *out);
    int (*lock)(int fd);
    int (*mkdir)(const char *path, mode_t mode);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    DIR *(*opendir)(const char *path);
};
extern const struct rnn__io rnn__io_system;
/* The one in use; changed by tests alone, while no engine runs. */
extern const struct rnn__io *rnn__io;

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
/* A file's length and time of change, to notice that somebody writes to it. */
struct rnn__stamp {
    int64_t bytes, seconds, nanoseconds;
};
int rnn__stamp_of(int fd, const char *path, struct rnn__stamp *out, struct rnn__fault *f);
/* RNN_EDATA when somebody has written to the file since the stamp was taken. */
int rnn__unchanged(int fd, const char *path, const struct rnn__stamp *then,
                   struct rnn__fault *f);
/* A file without a name, to read and write, gone with its descriptor: in $TMPDIR, else in
   /tmp. The descriptor, or RNN_EIO. */
int rnn__scratch_file(struct rnn__fault *f);
/* All of it, at the descriptor's place. RNN_EIO. */
int rnn__write_all(int fd, const char *path, const void *data, size_t bytes,
                   struct rnn__fault *f);
/* All bytes at `offset`: a file that ends before is a fault (RNN_EIO). */
int rnn__read_at(int fd, const char *path, int64_t offset, void *out, size_t bytes,
                 struct rnn__fault *f);

/* Names made, renamed and removed in the folder are on the disk. RNN_EIO. */
int rnn__sync_folder(const char *folder, struct rnn__fault *f);
/* Makes the folder and those above it, for good. */
int rnn__make_folder(const char *path, struct rnn__fault *f);

/* One piece of a file to be written. */
struct rnn__piece {
    const void *data;
    size_t bytes;
};

/* Whether both are one file, by whatever names. */
bool rnn__same_file(const struct stat *a, const struct stat *b);

/*
 * Replaces the file at `path` by the pieces, so that at every instant, power loss
 * included, it holds either what it held or the new bytes: written beside, synced,
 * renamed, folder synced. On failure the old file stands and nothing is left beside.
 */
int rnn__write_file(const char *path, const struct rnn__piece *piece, int n_piece,
                    struct rnn__fault *f);
/* Its two halves, for a file that waits for another: written beside and synced; then put in
   its place. What is not to be put there, or could not be, is dropped. */
int rnn__stage_file(const char *path, const struct rnn__piece *piece, int n_piece,
                    struct rnn__fault *f);
int rnn__commit_file(const char *path, struct rnn__fault *f);
void rnn__drop_file(const char *path);

/* The same of a text, which is freed; RNN_ENOMEM if it is not whole. */
int rnn__stage_text(const char *path, struct rnn__string *s, struct rnn__fault *f);
int rnn__write_text(const char *folder, const char *name, struct rnn__string *s,
                    struct rnn__fault *f);

/*
 * A file that grows while the run goes on: a log, a trace. Not stdio, whose calls no table
 * sees. What could not be written is noticed once (`failed`), and the file is left alone
 * from then on.
 */
struct rnn__out {
    char *path;
    int fd;        /* -1: closed */
    bool regular;  /* has a length: no pipe, no terminal */
    int64_t bytes; /* of the file, what waits in the buffer included */
    size_t n;      /* bytes that wait */
    int failed;    /* errno of the first failure */
    char buffer[4096];
};

/* Opens or makes the file, locked against other processes; what is written goes behind what
   it holds. RNN_EIO; nothing is left open then. */
int rnn__out_open(struct rnn__out *o, const char *path, struct rnn__fault *f);
/* Cuts the open file to `keep` bytes at most; a pipe has nothing to cut. RNN_EIO. */
int rnn__out_cut(struct rnn__out *o, int64_t keep, struct rnn__fault *f);
/* Cuts what the open file has behind its last newline. RNN_EIO. */
int rnn__out_cut_to_line(struct rnn__out *o, struct rnn__fault *f);
void rnn__out_bytes(struct rnn__out *o, const void *data, size_t bytes);
void rnn__out_put(struct rnn__out *o, const char *format, ...) RNN_PRINTF(2, 3);
/* What waits goes to the file, with `sync` to the disk. RNN_EIO when this or anything
   before has failed. */
int rnn__out_flush(struct rnn__out *o, bool sync, struct rnn__fault *f);
/* Flushes and closes; also what was never opened, when zeroed with fd -1. */
int rnn__out_close(struct rnn__out *o, struct rnn__fault *f);

/* The number in n <= 8 bytes, the least significant first. */
uint64_t rnn__little_endian(const unsigned char *at, int n);

/* CRC-32C (Castagnoli) of the bytes; `crc` is that of the bytes before, 0 at the start. */
uint32_t rnn__crc32c(uint32_t crc, const void *data, size_t bytes);

#endif
