/*
 * engine.c — the run: Ignite's loop as a machine of phases.
 *
 *     BEGIN ─ NEXT_EPOCH ─ OPEN_DATA ─┐
 *       ┌─────────────────────────────┘
 *       └ GET_BATCH ─ FETCH ─ ITERATE ─ PROCESS ─ PROCESSED ─ NEXT_BATCH ┐
 *            ↑          └ AGAIN ┘↑(data ended)                           │
 *            ├───────────────────┘───────────────────────────────────────┤
 *            │                                          EPOCH_DONE ──────┘
 *         NEXT_EPOCH ───────────────────────────────────────┘
 *            └ COMPLETE ← TERMINATED
 *
 * A phase does one thing, names its successor, then fires its event and looks at
 * the requests that handlers left. Because the successor is named first, an
 * interrupted run is nothing but a return: the next call goes on with the phase that
 * is stored. Where Python has three kinds of exceptions, a phase has an outcome.
 *
 * Where this differs from PyTorch-Ignite 0.5's Engine, on purpose:
 *   - whether a fetch has had its GET_BATCH_STARTED is a flag, not "was the last
 *     event DATALOADER_STOP_ITERATION"
 *   - a finished run is not started again silently, and a resumed one seeks its data
 *   - after an exception the engine can run again at once, and an exception is never
 *     swallowed because a handler was once there
 */
#include "engine.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum outcome { GO_ON, PAUSE, END_RUN, END_EPOCH, RAISE };

/* ---- requests ---- */

void rnn_terminate(rnn_engine *e, bool skip_completed)
{
    atomic_fetch_or(&e->requests,
                    RNN__TERMINATE | (skip_completed ? RNN__SKIP_COMPLETED : 0));
}

void rnn_terminate_epoch(rnn_engine *e, bool skip_epoch_completed)
{
    atomic_fetch_or(&e->requests,
                    RNN__TERMINATE_EPOCH |
                        (skip_epoch_completed ? RNN__SKIP_EPOCH_COMPLETED : 0));
}

void rnn_interrupt(rnn_engine *e) { atomic_fetch_or(&e->requests, RNN__INTERRUPT); }

bool rnn_pending(const rnn_engine *e) { return atomic_load(&e->requests) != 0; }

static bool requested(const rnn_engine *e, int bits)
{
    return (atomic_load(&e->requests) & bits) != 0;
}

static enum outcome raise_code(rnn_engine *e, int code)
{
    e->exception = code;
    return RAISE;
}

static enum outcome honour_requests(rnn_engine *e)
{
    if (requested(e, RNN__TERMINATE))
        return END_RUN;
    if (requested(e, RNN__TERMINATE_EPOCH))
        return END_EPOCH;
    if (!requested(e, RNN__INTERRUPT))
        return GO_ON;
    int status = rnn__fire(e, RNN_INTERRUPT);
    atomic_fetch_and(&e->requests, ~RNN__INTERRUPT);
    return status < 0 ? raise_code(e, status) : PAUSE;
}

static enum outcome announce(rnn_engine *e, int event)
{
    int status = rnn__fire(e, event);
    return status < 0 ? raise_code(e, status) : honour_requests(e);
}

/* The event was not brought to its end: it is fired again when the run goes on with
   `phase`. */
static enum outcome fire_again(rnn_engine *e, enum rnn__phase phase)
{
    e->phase = phase;
    int status = rnn__fire(e, RNN_INTERRUPT);
    atomic_fetch_and(&e->requests, ~RNN__INTERRUPT);
    return status < 0 ? raise_code(e, status) : PAUSE;
}

/* ---- data ---- */

static int data_failed(rnn_engine *e, int code, const char *doing)
{
    if (code < 0 && e->raised != code)
        rnn__fail(e, code, "%s: %s", doing, rnn_error_text(code));
    return code < 0 ? code : 0;
}

static int begin_pass(rnn_engine *e, int64_t pass)
{
    e->pass = pass;
    e->position = 0;
    e->opened = e->data_open = true;
    e->raised = 0;
    return e->has_data
               ? data_failed(e, e->data.restart(e->data.user, pass), "restarting the data")
               : 0;
}

static int begin_next_pass(rnn_engine *e)
{
    return begin_pass(e, e->opened ? e->pass + 1 : 0);
}

/* *batch NULL and *end: the pass is over. Without data there are epoch_length null batches.
 */
static int next_batch(rnn_engine *e, void **batch, bool *end)
{
    *batch = NULL;
    if (!e->has_data) {
        *end = e->position >= e->state.epoch_length;
        return 0;
    }
    e->raised = 0;
    int status = e->data.next(e->data.user, batch);
    *end = *batch == NULL;
    return data_failed(e, status, "reading a batch");
}

static int skip_batches(rnn_engine *e, int64_t n)
{
    void *batch;
    bool end = false;
    int status = 0;
    for (int64_t i = 0; i < n && status == 0 && !end; i++)
        status = next_batch(e, &batch, &end);
    return status;
}

/* Opens the data at the pass and position that the state names, or that follow from its
   iteration. The end of a pass is the start of the next. */
static int seek_data(rnn_engine *e)
{
    int64_t length = e->has_data ? e->data.length : RNN_NONE;
    if (length < 1)
        length = e->state.epoch_length;
    int64_t pass = e->pass, position = e->position;
    if (position < 0 || pass < 0) {
        pass = length > 0 ? e->state.iteration / length : 0;
        position = length > 0 ? e->state.iteration % length : e->state.iteration;
    }
    if ((!e->has_data || e->data.length > 0) && position >= length) {
        pass++;
        position = 0;
    }
    int status = begin_pass(e, pass);
    if (status == 0 && position > 0 && e->has_data && e->data.seek)
        status = data_failed(e, e->data.seek(e->data.user, position), "seeking the data");
    else if (status == 0 && position > 0 && e->has_data)
        status = skip_batches(e, position);
    e->position = position;
    return status;
}

/* ---- the phases ---- */

static bool is_done(const rnn_engine_state *s)
{
    bool by_iters = s->max_iters != RNN_NONE && s->iteration >= s->max_iters;
    bool by_epochs = s->max_epochs != RNN_NONE && s->epoch >= s->max_epochs;
    bool by_count =
        s->max_epochs != RNN_NONE && s->epoch_length != RNN_NONE &&
        (s->epoch_length == 0 || s->iteration / s->epoch_length >= s->max_epochs);
    return by_iters || by_epochs || by_count;
}

static enum outcome begin(rnn_engine *e)
{
    atomic_store(&e->requests, 0);
    e->exception = 0;
    e->in_process = e->chunk_open = false;
    e->state.epoch_seconds = e->state.run_seconds = 0;
    e->run_start = e->loop_start = rnn__seconds();
    e->epoch_time = 0;
    e->phase = e->pending == RNN_EPOCH_COMPLETED ? RNN__EPOCH_DONE : RNN__NEXT_EPOCH;
    return announce(e, RNN_STARTED);
}

static enum outcome next_epoch(rnn_engine *e)
{
    if ((!e->pending && is_done(&e->state)) || requested(e, RNN__TERMINATE)) {
        e->phase = RNN__COMPLETE;
        return GO_ON;
    }
    e->state.epoch++;
    e->state.iter_counter = 0;
    e->epoch_open = true;
    e->phase = RNN__OPEN_DATA;
    double start = rnn__seconds();
    int status = rnn__fire(e, RNN_EPOCH_STARTED);
    e->epoch_time = rnn__seconds() - start;
    return status < 0 ? raise_code(e, status) : honour_requests(e);
}

/* The first epoch after a resume is the rest of one: its counter starts where the
   iteration stands. */
static enum outcome open_data(rnn_engine *e)
{
    rnn_engine_state *s = &e->state;
    s->iter_counter = 0;
    if (!e->data_open) {
        if (!e->whole_epoch)
            s->iter_counter =
                s->epoch_length > 0 ? s->iteration % s->epoch_length : s->iteration;
        if (e->pending && s->iter_counter == 0)
            s->iter_counter = s->epoch_length; /* the epoch's last batch, not none */
        int status = e->seek ? seek_data(e) : begin_next_pass(e);
        if (status < 0)
            return raise_code(e, status);
    }
    e->whole_epoch = e->seek = false;
    e->out_of_data = e->again = false;
    e->loop_start = rnn__seconds();
    e->phase = e->pending ? RNN__PROCESSED : RNN__GET_BATCH;
    return GO_ON;
}

static enum outcome get_batch(rnn_engine *e)
{
    e->state.batch = NULL;
    e->phase = RNN__FETCH;
    bool silent = !e->has_data || e->again;
    e->again = false;
    return silent ? GO_ON : announce(e, RNN_GET_BATCH_STARTED);
}

/* The end of data whose length nobody knew is the end of the epoch, and its length. */
static void learn_epoch_length(rnn_engine *e)
{
    rnn_engine_state *s = &e->state;
    s->epoch_length = s->iter_counter;
    if (s->epoch_length == 0)
        rnn__note(e, "the data gave no batch");
    if (s->max_iters != RNN_NONE)
        s->max_epochs =
            s->epoch_length > 0 ? rnn__divide_up(s->max_iters, s->epoch_length) : s->epoch;
    e->phase = RNN__EPOCH_DONE;
}

static enum outcome data_ended(rnn_engine *e)
{
    const rnn_engine_state *s = &e->state;
    if (s->epoch_length == RNN_NONE) {
        learn_epoch_length(e);
        return GO_ON;
    }
    if (e->out_of_data) {
        rnn__note(e,
                  "the data gives no more batches: epoch %" PRId64 " ends after %" PRId64
                  " of %" PRId64 " (iteration %" PRId64 ")",
                  s->epoch, s->iter_counter, s->epoch_length, s->iteration);
        e->phase = RNN__EPOCH_DONE;
        return GO_ON;
    }
    e->phase = RNN__AGAIN;
    return e->has_data ? announce(e, RNN_DATALOADER_STOP_ITERATION) : GO_ON;
}

static enum outcome fetch(rnn_engine *e)
{
    void *batch;
    bool end;
    int status = next_batch(e, &batch, &end);
    if (status < 0)
        return raise_code(e, status);
    if (end)
        return data_ended(e);
    e->state.batch = batch;
    e->state.output = (rnn_output){.null = true};
    e->phase = RNN__ITERATE;
    return e->has_data ? announce(e, RNN_GET_BATCH_COMPLETED) : GO_ON;
}

static enum outcome start_data_again(rnn_engine *e)
{
    int status = begin_next_pass(e);
    if (status < 0)
        return raise_code(e, status);
    e->out_of_data = e->again = true;
    e->phase = RNN__GET_BATCH;
    return GO_ON;
}

static enum outcome iterate(rnn_engine *e)
{
    e->state.iter_counter++;
    e->state.iteration++;
    e->position++;
    e->out_of_data = false;
    e->in_process = e->new_batch = true;
    e->phase = RNN__PROCESS;
    return announce(e, RNN_ITERATION_STARTED);
}

static enum outcome process_batch(rnn_engine *e)
{
    rnn_output output = {.null = true};
    e->raised = 0;
    int status = e->process(e, e->state.batch, &output, e->user);
    e->new_batch = e->loaded = false;
    if (status == RNN_PAUSED)
        return honour_requests(e);
    if (status < 0) {
        if (e->raised != status)
            rnn__fail(e, status, "the process raised: %s", rnn_error_text(status));
        return raise_code(e, status);
    }
    e->state.output = output;
    e->in_process = false;
    e->phase = RNN__PROCESSED;
    return GO_ON;
}

static enum outcome processed(rnn_engine *e)
{
    e->phase = RNN__NEXT_BATCH;
    e->pending = 0;
    int status = rnn__fire(e, RNN_ITERATION_COMPLETED);
    if (status == RNN_PAUSED)
        return fire_again(e, RNN__PROCESSED);
    return status < 0 ? raise_code(e, status) : honour_requests(e);
}

static enum outcome after_batch(rnn_engine *e)
{
    const rnn_engine_state *s = &e->state;
    if (s->epoch_length != RNN_NONE && s->iter_counter == s->epoch_length) {
        e->phase = RNN__EPOCH_DONE;
        return GO_ON;
    }
    if (s->max_iters != RNN_NONE && s->iteration == s->max_iters) {
        rnn_terminate(e, false);
        return END_RUN;
    }
    e->phase = RNN__GET_BATCH;
    return GO_ON;
}

static enum outcome epoch_done(rnn_engine *e)
{
    double start = rnn__seconds();
    e->state.epoch_seconds = e->epoch_time + start - e->loop_start;
    e->phase = RNN__NEXT_EPOCH;
    e->epoch_open = false;
    e->pending = 0;
    int status = e->end_epoch ? e->end_epoch(e) : 0;
    if (status == 0 && !requested(e, RNN__SKIP_EPOCH_COMPLETED)) {
        status = rnn__fire(e, RNN_EPOCH_COMPLETED);
        e->state.epoch_seconds += rnn__seconds() - start;
    }
    if (status == RNN_PAUSED) {
        e->epoch_open = true;
        return fire_again(e, RNN__EPOCH_DONE);
    }
    if (status < 0)
        return raise_code(e, status);
    atomic_fetch_and(&e->requests, ~(RNN__TERMINATE_EPOCH | RNN__SKIP_EPOCH_COMPLETED));
    return honour_requests(e);
}

static enum outcome terminated(rnn_engine *e)
{
    e->phase = RNN__COMPLETE;
    int status = rnn__fire(e, RNN_TERMINATE);
    return status < 0 ? raise_code(e, status) : GO_ON;
}

static enum outcome complete(rnn_engine *e)
{
    double start = rnn__seconds();
    e->state.run_seconds = start - e->run_start;
    int status = 0;
    if (!requested(e, RNN__SKIP_COMPLETED)) {
        status = rnn__fire(e, RNN_COMPLETED);
        e->state.run_seconds += rnn__seconds() - start;
    }
    e->data_open = false;
    e->phase = RNN__IDLE;
    return status < 0 ? raise_code(e, status) : GO_ON;
}

/* in_epoch: an exception, or the end of the epoch, stays within the epoch. */
static const struct {
    enum outcome (*run)(rnn_engine *e);
    bool in_epoch;
} phases[] = {
    [RNN__BEGIN] = {begin, false},
    [RNN__NEXT_EPOCH] = {next_epoch, false},
    [RNN__OPEN_DATA] = {open_data, false},
    [RNN__GET_BATCH] = {get_batch, true},
    [RNN__FETCH] = {fetch, true},
    [RNN__AGAIN] = {start_data_again, true},
    [RNN__ITERATE] = {iterate, true},
    [RNN__PROCESS] = {process_batch, true},
    [RNN__PROCESSED] = {processed, true},
    [RNN__NEXT_BATCH] = {after_batch, true},
    [RNN__EPOCH_DONE] = {epoch_done, false},
    [RNN__TERMINATED] = {terminated, false},
    [RNN__COMPLETE] = {complete, false},
};

/* ---- the ends ---- */

static enum outcome end_epoch(rnn_engine *e)
{
    e->in_process = e->chunk_open = false;
    int status = rnn__fire(e, RNN_TERMINATE_SINGLE_EPOCH);
    if (status == 0)
        status = begin_next_pass(e);
    e->phase = RNN__EPOCH_DONE;
    return status < 0 ? raise_code(e, status) : GO_ON;
}

/* Tells the EXCEPTION_RAISED handlers: 0 when they swallowed it, else the exception. */
static int tell_exception(rnn_engine *e)
{
    if (!rnn_has_handler(e, NULL, RNN_EXCEPTION_RAISED))
        return e->exception;
    int status = rnn__fire(e, RNN_EXCEPTION_RAISED);
    if (status < 0)
        e->exception = status;
    return status;
}

static int leave_run(rnn_engine *e)
{
    e->data_open = false;
    e->phase = RNN__IDLE;
    return tell_exception(e);
}

/* Swallowed within an epoch, an exception ends the epoch; else it goes on outwards, and is
   told of a second time. A signal is never the epoch's affair. */
static int handle_exception(rnn_engine *e, bool in_epoch)
{
    if (!in_epoch || e->exception == RNN_ESIGNAL || tell_exception(e) < 0)
        return leave_run(e);
    e->in_process = e->chunk_open = false;
    e->phase = RNN__EPOCH_DONE;
    return 0;
}

static int drive(rnn_engine *e)
{
    while (e->phase != RNN__IDLE) {
        bool in_epoch = phases[e->phase].in_epoch;
        enum outcome outcome = phases[e->phase].run(e);
        if (outcome == END_EPOCH && in_epoch) {
            outcome = end_epoch(e);
            in_epoch = false;
        } else if (outcome == END_EPOCH) {
            outcome = raise_code(e, rnn__fail(e, RNN_ESTATE,
                                              "terminate_epoch() outside of an epoch's "
                                              "batches (STARTED or EPOCH_STARTED)"));
        }
        int status;
        switch (outcome) {
        case GO_ON: break;
        case PAUSE: return RNN_PAUSED;
        case END_RUN: e->phase = RNN__TERMINATED; break;
        case END_EPOCH: break; /* turned into another above */
        case RAISE:
            status = handle_exception(e, in_epoch);
            if (status < 0)
                return status;
            break;
        }
    }
    return 0;
}

/* ---- a call of run ---- */

static int run(rnn_engine *e, const rnn_iterable *data, const rnn_run_options *options)
{
    bool paused = e->phase != RNN__IDLE;
    int status = rnn__engine_start(e, data, options);
    if (status < 0)
        return status;
    if (!options->restart && !paused && !e->pending && is_done(&e->state)) {
        rnn__note(e,
                  "the run is finished at epoch %" PRId64 ", iteration %" PRId64
                  ": raise its limit, or restart it",
                  e->state.epoch, e->state.iteration);
        e->phase = RNN__IDLE;
        return 0;
    }
    return drive(e);
}

int rnn_engine_run(rnn_engine *e, const rnn_iterable *data, const rnn_run_options *options)
{
    static const rnn_run_options none;
    if (atomic_exchange(&e->running, true))
        return RNN_EBUSY; /* the sentence in e->error belongs to the run in progress */
    int status = run(e, data, options ? options : &none);
    atomic_store(&e->running, false);
    return status;
}

/* ---- making and closing ---- */

int rnn_engine_new(rnn_engine **out, rnn_process *process, void *user,
                   const rnn_allocator *allocator)
{
    if (!out || !process)
        return rnn__fail(NULL, RNN_EINVAL, "an engine needs a process");
    const rnn_allocator *a = rnn__allocator_or_default(allocator);
    rnn_engine *e = rnn__alloc(a, sizeof *e, _Alignof(max_align_t));
    if (!e)
        return rnn__fail(NULL, RNN_ENOMEM, "no memory for an engine");
    e->allocator = *a;
    e->process = process;
    e->user = user;
    e->state = (rnn_engine_state){
        .epoch_length = RNN_NONE,
        .max_epochs = RNN_NONE,
        .max_iters = RNN_NONE,
        .output = {.null = true},
        .epoch_seconds = NAN,
        .run_seconds = NAN,
        .last_event = (int)RNN_NONE,
    };
    atomic_init(&e->running, false);
    atomic_init(&e->requests, 0);
    int status = rnn__events_init(e);
    if (status < 0) {
        rnn__free(a, e);
        return status;
    }
    *out = e;
    return 0;
}

void rnn_close(rnn_engine *e)
{
    if (!e)
        return;
    if (e->destroy)
        e->destroy(e);
    rnn__events_free(e);
    rnn__owned_free(e);
    rnn__numbers_free(e, &e->attributes);
    rnn__numbers_free(e, &e->metrics);
    rnn_allocator a = e->allocator;
    rnn__free(&a, e);
}

int rnn_exception(const rnn_engine *e) { return e->exception; }
