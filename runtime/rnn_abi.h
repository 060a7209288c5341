/*
 * rnn_abi.h — the contract between generated code and whoever runs it: the one
 * header that the compiler and the runtime share.
 *
 * A compiled model is one constant `struct rnn_model` (symbol rnn_model_NAME):
 * tables that describe it and procedures that compute. A procedure is called by
 * every thread of the team with the same chunk and its own number; it allocates
 * nothing, locks nothing, calls no system. All memory is the caller's.
 *
 * Reals are float or double, as the model's dtype says: parameters, gradients, tensor
 * states of the optimizer, carried states, outputs, and inputs that are real or flags.
 * Pointers to them are void *.
 *
 * Blocks. Parameters are one block of reals, each parameter plain row-major at
 * its offset, under PyTorch's layout; gradients are a block of the same layout;
 * tensor states of the optimizer a block of their own, its scalar states doubles.
 * The carried state is a block: state i is [rows][features] at offset_rows[i] *
 * rows_max. Nothing in a block is padded; what kernels need packed or padded lives
 * in the workspace and is remade by `pack`.
 */
#ifndef RNN_ABI_H
#define RNN_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RNN_ABI_VERSION = 6, RNN_MAX_RANK = 6 };

/* Of all reals of a model. */
enum rnn_dtype { RNN_F32, RNN_F64 };

static inline size_t rnn_dtype_bytes(enum rnn_dtype dtype)
{
    return dtype == RNN_F64 ? sizeof(double) : sizeof(float);
}

/* Element i of an array of reals. */
static inline double rnn_real_at(const void *reals, enum rnn_dtype dtype, int64_t i)
{
    return dtype == RNN_F64 ? ((const double *)reals)[i]
                            : (double)((const float *)reals)[i];
}

static inline void rnn_real_set(void *reals, enum rnn_dtype dtype, int64_t i, double value)
{
    if (dtype == RNN_F64)
        ((double *)reals)[i] = value;
    else
        ((float *)reals)[i] = (float)value;
}

/* Where element i stands. */
static inline void *rnn_real_place(const void *reals, enum rnn_dtype dtype, int64_t i)
{
    return (char *)reals + i * (int64_t)rnn_dtype_bytes(dtype);
}

/* What an input holds. In memory: reals and flags are float or double, classes and integers
   int32_t. */
enum rnn_kind { RNN_REAL, RNN_CLASS, RNN_FLAG, RNN_INTEGER };

struct rnn_input {
    const char *name;
    enum rnn_kind kind;
    bool per_sequence;  /* [rows] once, else [steps][rows] */
    bool for_loss_only; /* `step` runs without it */
    int32_t rank;
    int64_t dim[RNN_MAX_RANK];
    int64_t size;    /* elements of one step of one row */
    int64_t classes; /* RNN_CLASS: values are 0 … classes - 1, */
    bool has_ignore;
    int64_t ignore; /* … or this one */
    bool masked;    /* RNN_REAL: what is not finite is missing: it is read as 0, and the
                       step of the row counts in no loss and no metric */
};

/* Bytes of an element of the input. */
static inline size_t rnn_input_bytes(const struct rnn_input *in, enum rnn_dtype dtype)
{
    bool whole = in->kind == RNN_CLASS || in->kind == RNN_INTEGER;
    return whole ? sizeof(int32_t) : rnn_dtype_bytes(dtype);
}

/* A parameter, or a tensor state of the optimizer. */
struct rnn_tensor {
    const char *name; /* "rnn.weight_ih_l0"; "m.rnn.weight_ih_l0" */
    int32_t rank;
    int64_t dim[RNN_MAX_RANK];
    int64_t size;   /* elements */
    int64_t offset; /* elements from its block's start */
    bool trained;   /* parameters: has a gradient and an update */
};

struct rnn_state {
    const char *name;
    int32_t rank;
    int64_t dim[RNN_MAX_RANK];
    int64_t size; /* elements of one row */
    int64_t
        offset; /* elements of one row's states before it; times rows_max in the block */
};

/* A number that may change while running: an argument of a cell, a loss or the
   optimizer that is a constant expression, or a counter that schedules read. */
struct rnn_scalar {
    const char *name; /* "optimizer.lr", "rnn.dropout"; counters: "epoch", "iteration" … */
    double value;     /* at the start */
    bool counter;     /* set by the engine before each chunk */
    bool whole;       /* takes whole numbers only */
    bool limited;     /* takes numbers from least to most only */
    double least, most;
};

struct rnn_metric {
    const char *name;
    bool in_training; /* `train` and `grad` tell it too */
};

/* Threads working on one chunk. `wait` returns when all of them have called it. */
struct rnn_team {
    int32_t n_thread;
    void (*wait)(struct rnn_team *team, int thread);
};

/* Who takes the times of kernels, in code that was compiled with marks: a thread tells it
   which kernel it begins, and with -1 that it has ended it. */
struct rnn_marker {
    void (*mark)(struct rnn_marker *marker, int32_t thread, int32_t kernel);
};

/* A part of the generated code that a profile tells apart. */
struct rnn_kernel {
    const char *name;
};

/* What generated code may call: pure, no allocation. */
struct rnn_services {
    /* Makes [rows, columns] row-major, holding normal draws, (semi-)orthogonal in place:
       rows orthonormal when rows <= columns, else columns. torch.nn.init.orthogonal_. */
    void (*orthogonal)(void *matrix, enum rnn_dtype dtype, int64_t rows, int64_t columns,
                       double *scratch);
};

struct rnn_rng {
    uint64_t seed;
    int64_t iteration; /* global count of batches */
    int64_t row0;      /* of the data set, of this chunk's row 0 */
    int64_t step0;     /* in the sequence, of this chunk's step 0 */
};

struct rnn_chunk {
    const struct rnn_model *model;
    int64_t steps, rows; /* 1 <= steps <= model->steps_max, likewise rows */
    const uint8_t
        *start; /* [rows]: the row starts a sequence: its state is the initial one */
    int64_t
        loss_from;   /* steps before it are the window's old ones: 0 where there are none */
    int64_t save_at; /* 0 … steps: `state_saved` gets the state as left by so many steps */
    bool training;   /* dropout on */
    struct rnn_rng rng;
    const double *scalars; /* [n_scalar] */

    /* Input i of step t, row b stands at input[i] + t * step_stride[i] + b * row_stride[i],
       strides in elements, its features contiguous. Per sequence: step_stride is not read.
     */
    const void *const *input;
    const int64_t *step_stride, *row_stride;

    void *params, *grads, *optimizer; /* blocks of reals; likewise: */
    double *optimizer_scalars;
    const void *state_in; /* [n_state] blocks as found before the chunk */
    void *state_out;      /* as left; may be state_in itself */
    void *state_saved;    /* written by train and grad of a model with a window, else not
                              looked at; neither of the other two */
    void *outputs;        /* NULL, or [steps][rows][output_size]: the model's output */
    void *workspace; /* workspace_bytes, 64-byte aligned, kept from chunk to chunk (packed
                        weights) */
    struct rnn_team *team;
    struct rnn_marker *marker; /* NULL: nobody takes times */
    const struct rnn_services *services;

    /* Results, written by thread 0 before the procedure returns. */
    double loss;     /* Σ value / Σ weight; NaN when weight is 0 */
    double weight;   /* Σ weight; 0: no loss, no gradient, nothing updated */
    double *metrics; /* NULL, or [n_metric]: of all chunks so far; written by eval, those of
                        in_training by train and grad */
    double *running; /* [n_running]: sums that these go on with; zeros before the first
                        chunk */
    double gradient_norm; /* over all parameters, before clipping; when the model has it */
    bool finite;          /* false: the loss is not finite; nothing was updated */
};

/* Returns 0; a negative code, to all threads alike, when it has no code to run. Called by
   all threads of chunk->team, thread = 0 … n_thread - 1. */
typedef int rnn_procedure(struct rnn_chunk *chunk, int thread);

struct rnn_model {
    int32_t abi_version;
    enum rnn_dtype dtype;
    const char *name;
    const char *spec_hash; /* hexadecimal, of the spec as compiled */
    const char *target;    /* "x86-64-v4", "interpreter" … */
    int64_t steps_max, rows_max;
    int64_t tbptt_step; /* new steps of a chunk; where steps_max is more, that is the
                           window: a multiple. 0: steps_max */
    int32_t n_input, n_param, n_optimizer, n_state, n_scalar, n_optimizer_scalar, n_metric,
        n_running, n_kernel; /* 0: compiled without marks */
    const struct rnn_input *input;
    const struct rnn_tensor *param, *optimizer;
    const struct rnn_state *state;
    const struct rnn_scalar *scalar;
    const struct rnn_scalar *optimizer_scalar; /* name and value at the start */
    const struct rnn_metric *metric;
    const struct rnn_kernel *kernel;
    int64_t params_size, optimizer_size, state_size; /* elements; state_size of one row */
    int64_t output_size;                             /* elements of one step of one row */
    int32_t output_rank;
    int64_t output_dim[RNN_MAX_RANK];
    int64_t workspace_bytes;
    int32_t threads_max; /* more bring nothing */

    rnn_procedure *init;   /* parameters and optimizer state from rng.seed */
    rnn_procedure *pack;   /* after parameters were written from outside */
    rnn_procedure *train;  /* forward, loss, backward, update */
    rnn_procedure *grad;   /* forward, loss, backward; gradients in `grads` */
    rnn_procedure *update; /* gradients in; parameters, optimizer state, packed copies */
    rnn_procedure *eval;   /* forward, loss, metrics */
    rnn_procedure *step;   /* forward alone; outputs */
    const void *context;   /* the interpreter's or the JIT's; NULL in what is built */
};

#endif
