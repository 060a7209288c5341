/*
 * log.h — one line of a log, and the ways to write it.
 */
#ifndef RNN_LOG_H
#define RNN_LOG_H

#include "trainer.h"

#include <math.h>
#include <time.h>

enum { RNN__FIELDS_MAX = 256 };

struct rnn__field {
    const char *name;
    double value; /* NaN, and what is not finite: null */
};

struct rnn__line {
    const char *event;
    int64_t epoch, iteration, time_iteration;
    int64_t chunk; /* RNN_NONE: the line is not of one chunk */
    int n_field;
    struct rnn__field field[RNN__FIELDS_MAX];
};

struct rnn__log_format {
    const char *name, *file;             /* in settings; by default, in the run's folder */
    void (*begin)(struct rnn__log *log); /* of an empty file; NULL: nothing */
    void (*put)(struct rnn__log *log, const struct rnn__line *line);
};

enum { RNN__LOG_JSONL, RNN__LOG_CSV, RNN__LOG_TENSORBOARD, RNN__LOG_FORMATS };
extern const struct rnn__log_format rnn__log_formats[RNN__LOG_FORMATS];

struct rnn__log {
    struct rnn__trainer *t;
    const struct rnn__log_format *format;
    struct rnn__out *out; /* the trainer's */
    bool thin;
    time_t flushed;
    struct rnn__log *next;
};

#endif
