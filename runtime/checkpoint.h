/*
 * checkpoint.h — what writing and reading a checkpoint share: which tensors it holds, and
 * the names in its metadata.
 *
 *   checkpoint.c        written
 *   checkpoint_read.c   its tensors found, checked, read
 *   checkpoint_resume.c what its metadata say
 */
#ifndef RNN_CHECKPOINT_H
#define RNN_CHECKPOINT_H

#include "trainer.h"

#define RNN__FORMAT_KEY     "rnnc" /* ours have it, with the version */
#define RNN__FORMAT_VERSION "1"
#define RNN__SETS_KEY       "sets" /* checkpoint_sets.c */

/* In `progress`, beside the counters. The handler is [name, which of that name on the
   event, from 0]; null: none. */
#define RNN__PENDING_KEY "pending"
#define RNN__HANDLER_KEY "pending_handler"
#define RNN__OUTPUT_KEY  "output"

enum { RNN__N_PROGRESS = 8 };
extern const struct rnn__progress_entry {
    const char *name;
    size_t offset;
} rnn__progress[RNN__N_PROGRESS];
int64_t *rnn__progress_field(rnn_state_dict *d, int i);

/* Tensors that point into the engine's blocks, and their names. */
struct rnn__tensors {
    int n;
    struct rnn__tensor *tensor;
    char **name; /* NULL: the model's own text */
    int n_param; /* they come first */
    int n_model; /* then the rest of the model's, then the handlers' */
};

/* All of a trainer's tensors; to be released by rnn__tensors_free in any case. */
int rnn__tensors_list(struct rnn__trainer *t, struct rnn__tensors *list,
                      struct rnn__fault *f);
void rnn__tensors_free(struct rnn__tensors *list);

/* Whether it has metadata of ours; and one of their entries, JSON as text, which the caller
   releases. NULL: it is none. */
bool rnn__checkpoint_is_ours(const struct rnn__safetensors *s);
json_t *rnn__checkpoint_json(const struct rnn__safetensors *s, const char *key);
/* Loads the parameters, or with `whole` everything that rnn__tensors_list lists. */
int rnn__checkpoint_load(struct rnn__trainer *t, const struct rnn__safetensors *s,
                         bool whole, struct rnn__fault *f);
/* The vocabulary, when t has none. */
int rnn__checkpoint_vocabulary(struct rnn__trainer *t, const struct rnn__safetensors *s,
                               struct rnn__fault *f);

/* CRC-32C of the bytes in memory. */
uint32_t rnn__checksum_of(const struct rnn__tensor *t);

#endif
