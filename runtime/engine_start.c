/*
 * engine_start.c — what a call of rnn_engine_run begins with: a run anew, or one that goes
 * on from the engine's state.
 *
 * A state that knows no limit yet, or `restart`, begins anew. Else limits may be raised, of
 * the kind that the state counts, never set behind what is done; how long an epoch is stays
 * as it is. What is refused leaves the state as it was.
 */
#include "engine.h"

#include <inttypes.h>

/* ---- limits ---- */

static bool given(int64_t option) { return option != 0; }

/* A limit given anew: positive, of the kind that the state has, not behind it. */
static int check_limits(rnn_engine *e, const rnn_run_options *o)
{
    const rnn_engine_state *s = &e->state;
    if (given(o->max_epochs) && given(o->max_iters))
        return rnn__fail(e, RNN_EINVAL, "max_epochs and max_iters exclude each other");
    if (o->max_epochs < 0 || o->max_iters < 0 || o->epoch_length < 0)
        return rnn__fail(e, RNN_EINVAL, "a limit or epoch_length is negative");
    if (o->restart)
        return 0;
    if (given(o->max_iters) && s->max_epochs != RNN_NONE && s->max_iters == RNN_NONE)
        return rnn__fail(
            e, RNN_EINVAL,
            "the state counts epochs: set its max_epochs to RNN_NONE first, or "
            "give max_epochs");
    if (given(o->max_epochs) && s->max_iters != RNN_NONE)
        return rnn__fail(
            e, RNN_EINVAL,
            "the state counts iterations: set its max_iters to RNN_NONE first, or "
            "give max_iters");
    if (given(o->max_epochs) && s->max_epochs != RNN_NONE && o->max_epochs < s->epoch)
        return rnn__fail(e, RNN_EINVAL,
                         "max_epochs is %" PRId64 ", but epoch %" PRId64
                         " is reached; restart begins anew",
                         o->max_epochs, s->epoch);
    if (given(o->max_iters) && s->max_iters != RNN_NONE && o->max_iters < s->iteration)
        return rnn__fail(e, RNN_EINVAL,
                         "max_iters is %" PRId64 ", but iteration %" PRId64
                         " is reached; restart begins anew",
                         o->max_iters, s->iteration);
    return 0;
}

static void apply_limits(rnn_engine *e, const rnn_run_options *o)
{
    rnn_engine_state *s = &e->state;
    if (given(o->max_epochs))
        s->max_epochs = o->max_epochs;
    if (!given(o->max_iters))
        return;
    if (s->max_epochs != RNN_NONE && s->epoch_length > 0) /* it was learnt from max_iters */
        s->max_epochs = rnn__divide_up(o->max_iters, s->epoch_length);
    s->max_iters = o->max_iters;
}

/* What the arguments, else the data, else (`known`) the state say. */
static int find_length(rnn_engine *e, const rnn_iterable *data, const rnn_run_options *o,
                       int64_t known, int64_t *length)
{
    *length = given(o->epoch_length) ? o->epoch_length : data ? data->length : RNN_NONE;
    if (*length == RNN_NONE)
        *length = known;
    if (*length == RNN_NONE && !data)
        return rnn__fail(e, RNN_EINVAL, "without data, epoch_length must be given");
    if (*length != RNN_NONE && *length < 1)
        return rnn__fail(e, RNN_EINVAL, "the data are empty");
    return 0;
}

/* ---- anew, or from the state ---- */

static int start_anew(rnn_engine *e, const rnn_iterable *data, const rnn_run_options *o)
{
    rnn_engine_state *s = &e->state;
    int64_t length;
    int status = find_length(e, data, o, s->epoch_length, &length);
    if (status < 0)
        return status;
    bool by_iters = given(o->max_iters);
    s->iteration = s->epoch = s->time_iteration = s->chunk = 0;
    s->max_epochs = by_iters ? RNN_NONE : given(o->max_epochs) ? o->max_epochs : 1;
    s->max_iters = by_iters ? o->max_iters : RNN_NONE;
    s->epoch_length = length;
    s->batch = NULL;
    e->pass = e->position = 0;
    e->opened = e->data_open = e->seek = e->loaded = e->epoch_open = false;
    e->pending = e->paused.event = e->paused.handle = 0;
    e->whole_epoch = true;
    e->phase = RNN__BEGIN;
    return 0;
}

/* Goes on from the state's progress: at its place in the data, or, after terminate(), with
   a new pass and a whole epoch. */
static int start_from_state(rnn_engine *e, const rnn_iterable *data,
                            const rnn_run_options *o)
{
    rnn_engine_state *s = &e->state;
    int64_t length;
    if (s->epoch_length != RNN_NONE && given(o->epoch_length) &&
        o->epoch_length != s->epoch_length)
        return rnn__fail(e, RNN_EINVAL,
                         "epoch_length is %" PRId64 ", but the state's is %" PRId64,
                         o->epoch_length, s->epoch_length);
    int status = 0;
    if (s->epoch_length == RNN_NONE)
        status = find_length(e, data, o, RNN_NONE, &length);
    else
        length = s->epoch_length;
    if (status < 0)
        return status;
    s->epoch_length = length;
    apply_limits(e, o);
    if (e->phase != RNN__IDLE)
        return 0;
    e->whole_epoch = (atomic_load(&e->requests) & RNN__TERMINATE) != 0;
    e->seek = !e->whole_epoch;
    e->phase = RNN__BEGIN;
    return 0;
}

int rnn__engine_start(rnn_engine *e, const rnn_iterable *data, const rnn_run_options *o)
{
    if (data && (!data->restart || !data->next))
        return rnn__fail(e, RNN_EINVAL, "data cannot be iterated: restart or next is NULL");
    int status = check_limits(e, o);
    if (status < 0)
        return status;
    rnn_engine_state *s = &e->state;
    bool fresh = s->max_epochs == RNN_NONE && s->max_iters == RNN_NONE;
    status = fresh || o->restart ? start_anew(e, data, o) : start_from_state(e, data, o);
    if (status < 0 || e->data_open)
        return status;
    e->has_data = data != NULL;
    if (data)
        e->data = *data;
    return 0;
}
