/*
 * text.h — the symbols of a text in a file as classes, at any place, in memory that does
 * not grow with the text.
 */
#ifndef RNN_TEXT_H
#define RNN_TEXT_H

#include "vocabulary.h"

struct rnn__text {
    char *path;
    int fd; /* -1: nothing is open */
    struct rnn__stamp stamp;
    struct rnn__encoder encoder;
    int64_t bytes, n; /* of the file; symbols */
    int64_t *mark;    /* [n_mark] where every spacing-th symbol begins; see text.c */
    int64_t n_mark, spacing;
    struct rnn__text_block *block; /* a stretch being read: by one thread at a time */
};

/* Opens the file and reads it once: each symbol must be of the vocabulary, which must
   outlive the text. RNN_EIO, RNN_EDATA with line and byte, RNN_ENOMEM; after it
   rnn__text_close is always right. */
int rnn__text_open(struct rnn__text *t, const char *path, const struct rnn__vocabulary *v,
                   struct rnn__fault *f);
/* Symbols first … first + n - 1, all within t->n. RNN_EDATA when the file is not what it
   was, RNN_EIO. */
int rnn__text_read(const struct rnn__text *t, int64_t first, int64_t n, int32_t *out,
                   struct rnn__fault *f);
void rnn__text_close(struct rnn__text *t);

#endif
