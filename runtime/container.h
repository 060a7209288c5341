/*
 * container.h — where the arrays of a source come from: one row of the table in source.c
 * each. A container opens an array for each input; the rest is source_arrays.c's.
 */
#ifndef RNN_CONTAINER_H
#define RNN_CONTAINER_H

#include "ndarray.h"
#include "source.h"

struct rnn__opening {
    const struct rnn__source_setup *setup;
    const struct rnn_input *input; /* [n_input] */
    int n_input;
    enum rnn_dtype dtype; /* of the model's reals */
    bool measuring; /* shapes alone are asked for: of an input only its name and whether it
                       is given once a sequence are known */
    bool any_real;  /* reals need not be finite */
};

struct rnn__container {
    const char *const *options; /* keys that are its own, NULL-ended */
    bool series;                /* always one long series */
    bool table;                 /* one array, a step's inputs beside each other in it */
    /* Opens array[0 … n_input), each closed when called; the caller closes them, after a
       failure as well. */
    int (*open)(const struct rnn__opening *o, struct rnn__ndarray *array,
                struct rnn__fault *f);
};

extern const struct rnn__container rnn__files, rnn__npz, rnn__tensors, rnn__raw, rnn__csv;

/* What the option `key`, a file's name, says as a path (the caller frees). */
int rnn__container_path(const struct rnn__opening *o, const char *key, char **path,
                        struct rnn__fault *f);
/* The same array for all other inputs as well. */
int rnn__container_spread(const struct rnn__opening *o, struct rnn__ndarray *array,
                          struct rnn__fault *f);

#endif
