/*
 * source_arrays.h — what the source of arrays is made of, shared by its files:
 *
 *   source_arrays.c  settings, and the source: which part of the grid a batch is
 *   array_grid.c     the grid of rows and steps over the files
 *   array_field.c    an input's array: whether it fits, its values read and checked
 */
#ifndef RNN_SOURCE_ARRAYS_H
#define RNN_SOURCE_ARRAYS_H

#include "container.h"
#include "window.h"

/* An input and its array. */
struct rnn__field {
    const struct rnn_input *input;
    struct rnn__ndarray array;
    int64_t record, column; /* elements of a step in the file; where the input's begin */
    int64_t ahead;
};

struct rnn__arrays {
    struct rnn__source_setup setup;
    const struct rnn__container *container;
    const struct rnn_input *input;
    int n_input;
    enum rnn_dtype dtype;
    struct rnn__field *field; /* [n_input] */

    /* settings; 0: not given */
    int64_t batch, time_axis, streams, length, ahead;
    double begin, end;
    bool shuffle, any_real, masks;

    /* the grid */
    bool series;
    int64_t lead[2]; /* the files' first dimensions; -1: not yet known */
    int64_t first, row_stride, step_stride; /* in steps of the file */
    struct rnn__grid grid;                  /* of the part that is used */

    struct rnn__windows *windows;
    bool *by_step; /* [n_input]: an input's steps hold all rows, in the file as in memory */
    uint8_t *start; /* [grid.batch_rows]: ones */
};

/* ---- array_field.c ---- */

/* Whether the file has an input's steps first, and all rows in each. */
bool rnn__time_first(const struct rnn__arrays *s, const struct rnn_input *input);
/* Dimensions of the file before an input's own. */
int rnn__lead_of(const struct rnn__arrays *s, const struct rnn_input *input);
/* Whether the array can feed its input; of a table each number is looked at instead. */
int rnn__field_check(const struct rnn__arrays *s, struct rnn__field *field,
                     struct rnn__fault *f);
/* Why its shape does not fit. RNN_EDATA. */
int rnn__field_bad_shape(const struct rnn__arrays *s, const struct rnn__field *field,
                         struct rnn__fault *f);
/* Reads the elements into `out`, as reals or int32, and checks them. */
int rnn__field_read(const struct rnn__arrays *s, const struct rnn__field *field,
                    const struct rnn__run *run, void *out, struct rnn__fault *f);
/* Checks every value of the input in the file. */
int rnn__field_scan(const struct rnn__arrays *s, const struct rnn__field *field,
                    struct rnn__fault *f);

/* ---- array_grid.c ---- */

/* Opens the arrays and finds the grid; `measuring` asks for no more. */
int rnn__grid_find(struct rnn__arrays *s, bool measuring, struct rnn__fault *f);
/* In a table the inputs' features lie beside each other in every step: finds where. */
int rnn__grid_share_columns(struct rnn__arrays *s, struct rnn__fault *f);
/* How many rows and steps a batch has, and how many there are; RNN_EDATA: none. */
int rnn__grid_size_batches(struct rnn__arrays *s, struct rnn__fault *f);

#endif
