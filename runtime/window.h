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

/* A source's rows and steps, cut into batches: all of the rows for some steps, or all of
   the steps of some rows. Those of the largest batch are known. */
struct rnn__grid {
    int64_t rows, steps, batch_rows, batch_steps;
    bool drop_last; /* a smaller one at the end is left out */
};
/* A batch of it. */
struct rnn__rectangle {
    int64_t row, rows, step, steps;
};
int64_t rnn__grid_batches(const struct rnn__grid *g);
void rnn__grid_batch(const struct rnn__grid *g, int64_t position,
                     struct rnn__rectangle *out);

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
    struct rnn__grid grid;
    bool passes_differ;
    const bool *by_step; /* [n_input]: how it is laid; NULL: none is */
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
