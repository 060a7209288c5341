/*
 * window.h — batches of a file that are in memory a window at a time: some steps of a
 * batch, all of its inputs. The next window is read by a thread of its own while the kernel
 * works on this one.
 */
#ifndef RNN_WINDOW_H
#define RNN_WINDOW_H

#include "io.h"
#include "rnn_data.h"

/* A step of a batch. */
struct rnn__place {
    int64_t pass, position, step0;
};

/* A batch as a rectangle of the source's rows and steps. */
struct rnn__rectangle {
    int64_t row, rows, step, steps;
};

/* Steps from.step0 … from.step0 + steps - 1 of a batch, to be read. An input's go to
   out[input], [row][room][size] reals or int32; where it is laid by step
   [step][row][size]; given once a sequence [row][size]. */
struct rnn__window_part {
    struct rnn__place from;
    struct rnn__rectangle batch;
    int64_t steps, room;
    char *const *out; /* [n_input] */
};

/* What a source tells of itself; it outlives the windows. */
struct rnn__windowed {
    const char *where; /* "data.train", for messages */
    const struct rnn_model *model;
    int64_t batches;     /* of a pass */
    int64_t rows, steps; /* of the largest batch */
    bool passes_differ;
    const bool *by_step; /* [n_input]: how it is laid; NULL: none is */
    void (*batch)(const void *user, int64_t position, struct rnn__rectangle *out);
    /* By one thread at a time. */
    int (*fill)(void *user, const struct rnn__window_part *part, struct rnn__fault *f);
    void *user;
};

struct rnn__windows;

/* After a failure *out is NULL. RNN_ENOMEM. */
int rnn__windows_open(struct rnn__windows **out, const struct rnn__windowed *source,
                      struct rnn__fault *f);
/* NULL is allowed. */
void rnn__windows_close(struct rnn__windows *w);
/* As rnn_source.read; what a batch's start is, is the source's to say. */
int rnn__windows_read(struct rnn__windows *w, int64_t pass, int64_t position,
                      rnn_batch *out, char *sentence, size_t capacity);

#endif
