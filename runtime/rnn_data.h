/*
 * rnn_data.h — where batches come from: an interface of four functions, which the
 * library's own sources (arrays, text, random) fill in, and a program may as well.
 *
 *     struct my_radio radio = {…};
 *     rnn_source source = {open_radio, describe_radio, read_radio, close_radio, &radio};
 *     rnn_source_run run;
 *     rnn_source_open(&run, &source, model);
 *     rnn_engine_run(trainer, &run.iterable, …);
 *
 * A source is read by position, so that a resumed run finds its place at once.
 */
#ifndef RNN_DATA_H
#define RNN_DATA_H

#include "rnn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rnn_source_info {
    int64_t batches; /* of a pass */
    int64_t rows;    /* of the largest batch */
    int64_t steps;   /* of the longest */
    bool streams;    /* a row is a stretch of one long series */
    bool continues;  /* row b of a batch goes on from row b of the batch before: streams
                        that are cut */
} rnn_source_info;

/* All but close return 0 or a negative code, with a sentence in sentence[0 … capacity). */
typedef struct rnn_source {
    /* Opens and checks everything that can be checked before training. */
    int (*open)(void *user, const struct rnn_model *model, char *sentence, size_t capacity);
    /* After open. */
    int (*describe)(void *user, rnn_source_info *out, char *sentence, size_t capacity);
    /* Batch number `position` of pass number `pass`, both from 0. `out` comes with the
       model's inputs to be filled in; what it points to lives until the next read, and so
       does `sentence`, for faults of out->load. */
    int (*read)(void *user, int64_t pass, int64_t position, rnn_batch *out, char *sentence,
                size_t capacity);
    /* After an open that failed as well. */
    void (*close)(void *user);
    void *user;
} rnn_source;

enum { RNN_SOURCE_SENTENCE_BYTES = 1024 };

/* A source being read: `iterable` goes to rnn_engine_run. Not to be moved while open. */
typedef struct rnn_source_run {
    rnn_iterable iterable;
    rnn_source source;
    rnn_source_info info;
    const struct rnn_model *model;
    int64_t pass, position;
    rnn_batch batch;
    char sentence[RNN_SOURCE_SENTENCE_BYTES]; /* of the last failure */
} rnn_source_run;

/* Opens the source and checks what it describes against the model. 0, or a negative code
   with run->sentence set and everything closed. */
RNN_API int rnn_source_open(rnn_source_run *run, const rnn_source *source,
                            const struct rnn_model *model);
RNN_API void rnn_source_close(rnn_source_run *run);

#ifdef __cplusplus
}
#endif

#endif
