/*
 * tbptt.h — a trainer's or evaluator's memory, shared by tbptt.c (the loop), tbptt_update.c
 * (gradient and update), tbptt_make.c (making one) and access.c (reading and writing from
 * outside).
 */
#ifndef RNN_TBPTT_H
#define RNN_TBPTT_H

#include "engine.h"
#include "threads.h"

/* What stands between the calls of the process; see tbptt.c. */
enum rnn__stage { RNN__CHUNK_NEXT, RNN__CHUNK_STARTED };

/* Numbers that a state dict carries, so that a batch can be gone on with. */
enum rnn__kept {
    RNN__KEPT_ITERATION, /* whose batch is in progress */
    RNN__KEPT_STEP,      /* steps done of it */
    RNN__KEPT_CHUNK,     /* chunks done of it */
    RNN__KEPT_LOSS_SUM,
    RNN__KEPT_WEIGHT_SUM,
    RNN__KEPT_CARRIED,  /* 1: the state block holds what a chunk has left */
    RNN__KEPT_LOSS,     /* the last chunk's, for schedules that read it */
    RNN__KEPT_GATHERED, /* chunks whose gradients wait for the update */
    RNN__KEPT_TOUCHED,  /* 1: a row started in one of them */
    RNN__KEPT_WINDOW,   /* step at which the next chunk's window begins */
    RNN__KEPT_STARTS,   /* which rows start there: an rnn__starts */
    RNN__KEPT_COUNT
};
extern const char *const rnn__kept_names[RNN__KEPT_COUNT];

/* Rows that start a sequence where a window begins: none, all, those of batch.start. */
enum rnn__starts { RNN__START_NONE, RNN__START_ALL, RNN__START_GIVEN };

/* What an evaluator shares with its trainer. */
struct rnn__shared {
    void *params, *grads, *optimizer; /* reals of the model, as all void * below */
    double *optimizer_scalars, *scalars;
    void *workspace;
    void *gathered; /* sum of the gradients that wait; NULL: the model does not gather */
    uint64_t seed;
    struct rnn__team *team;
};

struct rnn__tbptt {
    const struct rnn_model *model;
    rnn_tbptt_options options;
    bool trains; /* owns what is shared */
    struct rnn__shared *shared;
    void *block; /* the one allocation that this and all arrays lie in */

    void *state[2];  /* as found, as left: swapped by each chunk */
    void *window[2]; /* where the window begins, and the next one; [0] NULL: no windows */
    void *forward_state; /* rnn_forward's own */
    bool fresh, forward_fresh;
    bool given;             /* the state was set from outside since the last batch began */
    uint8_t *start;         /* [rows_max] */
    uint8_t *forward_start; /* rnn_forward's own, likewise */

    rnn_array *array; /* [n_input] for prepare_batch, the next four likewise */
    const void **input, **at;
    int64_t *step_stride, *row_stride;

    rnn_batch batch;
    enum rnn__stage stage;
    bool first_chunk; /* of this batch */
    int64_t step0, steps;
    int64_t window0; /* where the chunk's window begins: step0 without windows */
    struct rnn_chunk chunk;

    int kept[RNN__KEPT_COUNT];
    int scalar_of[8]; /* counters that scalars want: tbptt.c's table */
    int accumulate;   /* the scalar that says how many chunks make an update; -1: one */

    double *metric;         /* [n_metric] of all chunks so far in this epoch */
    double *running;        /* [n_running] the sums that they are made of */
    double *figures_before; /* both, running first, as they lie, before the chunk */
    double epoch_loss_sum, epoch_weight_sum;
    bool has_figures;   /* a chunk of this epoch has left `metric` */
    int loss_number;    /* an evaluator's */
    int *metric_number; /* [n_metric] its place among the engine's metrics; -1: none */
};

/* The trainer behind an engine; NULL when it has none. */
struct rnn__tbptt *rnn__tbptt_of(const rnn_engine *e);

/* Reads and checks the batch: shapes, strides, lengths. */
int rnn__tbptt_take_batch(rnn_engine *e, struct rnn__tbptt *t, bool with_targets);
/* Fills the chunk for `steps` steps of the batch from step0. */
int rnn__tbptt_fill_chunk(rnn_engine *e, struct rnn__tbptt *t, int64_t step0,
                          int64_t steps);
/* Runs a procedure of the model on the team. */
int rnn__tbptt_run(rnn_engine *e, struct rnn__tbptt *t, rnn_procedure *procedure);

/* A number of the state dict. */
double *rnn__tbptt_kept(rnn_engine *e, enum rnn__kept what);

/* Gradient and update of the chunk that is filled. (tbptt_update.c) */
int rnn__tbptt_train(rnn_engine *e, struct rnn__tbptt *t);

/* The loop, as the engine calls it. */
int rnn__tbptt_process(rnn_engine *e, void *batch, rnn_output *output, void *user);
int rnn__tbptt_end_epoch(rnn_engine *e);
int rnn__tbptt_check_state(rnn_engine *e, const rnn_state_dict *d);
/* Which counters the model's numbers want. RNN_EABI: one that is not known. */
int rnn__tbptt_find_counters(struct rnn__tbptt *t);

#endif
