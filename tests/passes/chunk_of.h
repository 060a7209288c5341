/*
 * chunk_of.h — for tests: a chunk for an interpreted model of a spec given as text, whose
 * inputs are [steps][rows][…] without gaps, and small numbers to put into it.
 *
 * Parameters and states have room for CHUNK_MOST numbers, and lie here.
 */
#ifndef RNNC_CHUNK_OF_H
#define RNNC_CHUNK_OF_H

#include "check.h"
#include "graph/interp.h"

enum { CHUNK_MOST = 512, CHUNK_INPUTS = 4 };

static float chunk_params[CHUNK_MOST], chunk_state[CHUNK_MOST];

/* n numbers of both signs, at most 1, in no simple order; `salt` tells arrays apart. */
static inline void chunk_numbers(float *out, int n, int salt)
{
    for (int i = 0; i < n; i++)
        out[i] = (float)((i * 11 + salt) % 13) / 6 - 1;
}

static inline void chunk_fill(void)
{
    for (int i = 0; i < CHUNK_MOST; i++)
        chunk_params[i] = (float)(i * 29 % 31) / 20 - 0.7f,
        chunk_state[i] = (float)(i % 5) / 8;
}

/* A chunk of the inputs; `start` outlives it. Results are the caller's to add. */
static inline struct rnn_chunk chunk_of(const struct rnn_model *m, int64_t steps,
                                        int64_t rows, const void *const *input,
                                        const uint8_t *start)
{
    static int64_t step_stride[CHUNK_INPUTS], row_stride[CHUNK_INPUTS];
    CHECK(m->n_input <= CHUNK_INPUTS && m->params_size <= CHUNK_MOST &&
              m->state_size * rows <= CHUNK_MOST,
          "%d inputs, %lld parameters", (int)m->n_input, (long long)m->params_size);
    for (int i = 0; i < m->n_input; i++) {
        row_stride[i] = m->input[i].size;
        step_stride[i] = rows * m->input[i].size;
    }
    return (struct rnn_chunk){.model = m,
                              .steps = steps,
                              .rows = rows,
                              .start = start,
                              .input = input,
                              .step_stride = step_stride,
                              .row_stride = row_stride,
                              .params = chunk_params,
                              .state_in = chunk_state,
                              .state_out = chunk_state};
}

#endif
