/*
 * vocabulary.h — the symbols of a text: its distinct bytes or characters (Unicode
 * code points) in ascending order. A symbol's class is its place in that order.
 *
 * The compiler scans a text for the size of a `class` that has no number; a trainer
 * keeps the vocabulary in its checkpoints, so that a text sampled or continued later
 * means the same.
 */
#ifndef RNN_VOCABULARY_H
#define RNN_VOCABULARY_H

#include "io.h"

#include <jansson.h>

enum rnn__level { RNN__BYTE, RNN__CHAR };

struct rnn__vocabulary {
    enum rnn__level level;
    int64_t n;
    uint32_t *code; /* [n], ascending; free by rnn__vocabulary_free */
};

/* "byte" or "char"; false for other words. */
bool rnn__level_of(const char *word, enum rnn__level *out);

/* Reads the whole file, a block at a time. RNN_EIO, RNN_EDATA (no valid UTF-8, or an empty
   file), RNN_ENOMEM. */
int rnn__vocabulary_scan(struct rnn__vocabulary *v, const char *path, enum rnn__level level,
                         struct rnn__fault *f);
void rnn__vocabulary_free(struct rnn__vocabulary *v);

/* The class of a symbol, or -1. */
int64_t rnn__vocabulary_find(const struct rnn__vocabulary *v, uint32_t code);

/*
 * The symbols of a stretch of text: their codes to code[0 … bytes), how many is returned,
 * how many bytes they took goes to *used. It stops before what is no UTF-8, and, unless the
 * stretch is the `last` one, before its last three bytes at the earliest: a character may
 * go on behind them.
 */
int64_t rnn__symbols(enum rnn__level level, const unsigned char *text, size_t bytes,
                     bool last, uint32_t *code, size_t *used);
/* Whether rnn__symbols stopped at what is none. */
bool rnn__symbols_broke(size_t used, size_t bytes, bool last);

/* A vocabulary made ready for many symbols. */
struct rnn__encoder {
    const struct rnn__vocabulary *v;
    int32_t frequent[256]; /* classes of small codes; -1: none */
};
struct rnn__encoder rnn__encoder_of(const struct rnn__vocabulary *v);
/* Classes of the codes; how many were known, before one that was not. */
int64_t rnn__encode(const struct rnn__encoder *e, const uint32_t *code, int64_t n,
                    int32_t *out);
/* "NAME:LINE: byte 3: byte 0x0A is not among the …". RNN_EDATA. */
int rnn__unknown_symbol(const struct rnn__vocabulary *v, uint32_t code, const char *name,
                        int64_t line, int64_t byte, struct rnn__fault *f);
int rnn__no_utf8(const char *name, int64_t line, int64_t byte, unsigned char what,
                 struct rnn__fault *f);

/*
 * Text in memory as classes; *out is the caller's to free, *n its length. A symbol outside
 * the vocabulary is RNN_EDATA with its line and byte; `name` stands in messages.
 */
int rnn__vocabulary_encode(const struct rnn__vocabulary *v, const char *text, size_t bytes,
                           const char *name, int32_t **out, int64_t *n,
                           struct rnn__fault *f);

/* The bytes of symbol `class`, at most 4, to out; how many. */
int rnn__vocabulary_decode(const struct rnn__vocabulary *v, int64_t class,
                           char out[static 4]);

/* {"level": "byte", "codes": [10, 32, …]}: as settings and checkpoints hold it. */
json_t *rnn__vocabulary_to_json(const struct rnn__vocabulary *v);
int rnn__vocabulary_from_json(struct rnn__vocabulary *v, const json_t *json,
                              struct rnn__fault *f);

#endif
