/*
 * rnn.h — the engine and its trainer: everything a program needs to run a
 * compiled model, or any callback, as PyTorch-Ignite's Engine would.
 *
 * An engine calls a `process` callback for each batch of an iterable and fires
 * events around it; handlers hang on events, through filters on the event's
 * counter. rnn_tbptt_trainer() makes an engine whose callback trains a compiled
 * model chunk by chunk (truncated backpropagation through time).
 *
 *     rnn_engine *trainer;
 *     rnn_tbptt_trainer(&trainer, &rnn_model_charlm, &(rnn_tbptt_options){.seed = 1});
 *     rnn_on(trainer, RNN_TIME_ITERATION_COMPLETED, &(rnn_filter){.every = 100}, report,
 * NULL); rnn_engine_run(trainer, &data, &(rnn_run_options){.max_epochs = 10});
 *     rnn_close(trainer);
 *
 * Functions that can fail return 0 (or what they say, >= 0), or a negative code
 * of RNN_ERROR_LIST with a sentence in rnn_engine_error(); they leave their
 * outputs as they were. What takes a const engine only asks: it leaves the
 * sentence, which may be that of an exception, as it was. One engine serves one
 * thread at a time; engines do not know of each other. rnn_terminate,
 * rnn_terminate_epoch and rnn_interrupt alone may be called from another thread or
 * a signal handler.
 */
#ifndef RNN_H
#define RNN_H

#include "rnn_abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RNN_API              __attribute__((visibility("default")))
#define RNN_PRINTF(at, args) __attribute__((format(printf, at, args)))
#define RNN_UNION            __extension__ union /* without a name: C11's, taken in C99 */
#else
#define RNN_API
#define RNN_PRINTF(at, args)
#define RNN_UNION union
#endif

/* Where a count may be absent: unknown length, no limit, key not given. */
#define RNN_NONE ((int64_t)-1)

/* ---- errors ---- */

/* clang-format off */
#define RNN_ERROR_LIST(X)                                                        \
    X(ENOMEM,    -1, "out of memory")                                            \
    X(EINVAL,    -2, "argument out of its documented range")                     \
    X(EIO,       -3, "file could not be read or written")                        \
    X(EFORMAT,   -4, "file is not a checkpoint of this program")                 \
    X(EDEVICE,   -5, "device refused an allocation, copy or launch")             \
    X(ENUMERIC,  -6, "loss or gradient is not finite")                           \
    X(EBUSY,     -7, "engine is running already")                                \
    X(ESTATE,    -8, "call is not allowed at this point of the run")             \
    X(EDATA,     -9, "data do not fit the model")                                \
    X(EABI,     -10, "model was compiled for another version of the runtime")    \
    X(ETHREAD,  -11, "threads could not be started")                             \
    X(ETYPE,    -12, "object is of a type that is not handled")                  \
    X(ESIGNAL,  -13, "stopped by a signal")
/* clang-format on */

enum rnn_error {
#define X(name, code, sentence) RNN_##name = (code),
    RNN_ERROR_LIST(X)
#undef X
};

/* What rnn_engine_run and a process may return besides 0 and errors. */
enum rnn_result {
    RNN_DONE = 0,
    RNN_PAUSED = 1 /* interrupted: the next call goes on exactly there */
};

/* The list's sentence for `code`; "error" for a code of the caller's own. Never NULL. */
RNN_API const char *rnn_error_text(int code);

/* ---- memory ---- */

/*
 * Where all memory of an engine comes from. `allocate` returns bytes at the
 * alignment (a power of two) or NULL; `release` takes such a pointer, never NULL.
 */
typedef struct rnn_allocator {
    void *(*allocate)(void *user, size_t bytes, size_t alignment);
    void (*release)(void *user, void *memory);
    void *user;
} rnn_allocator;

/* ---- events ---- */

/* clang-format off */
/*     name                        counter          whose: Ignite's, its Tbptt_Events, or rnnc's own */
#define RNN_EVENT_LIST(X)                                       \
    X(STARTED,                     EPOCH,           IGNITE)     \
    X(EPOCH_STARTED,               EPOCH,           IGNITE)     \
    X(GET_BATCH_STARTED,           ITERATION,       IGNITE)     \
    X(GET_BATCH_COMPLETED,         ITERATION,       IGNITE)     \
    X(ITERATION_STARTED,           ITERATION,       IGNITE)     \
    X(ITERATION_COMPLETED,         ITERATION,       IGNITE)     \
    X(EPOCH_COMPLETED,             EPOCH,           IGNITE)     \
    X(COMPLETED,                   EPOCH,           IGNITE)     \
    X(EXCEPTION_RAISED,            NONE,            IGNITE)     \
    X(DATALOADER_STOP_ITERATION,   NONE,            IGNITE)     \
    X(TERMINATE_SINGLE_EPOCH,      NONE,            IGNITE)     \
    X(TERMINATE,                   NONE,            IGNITE)     \
    X(INTERRUPT,                   NONE,            IGNITE)     \
    X(TIME_ITERATION_STARTED,      TIME_ITERATION,  TBPTT)      \
    X(TIME_ITERATION_COMPLETED,    TIME_ITERATION,  TBPTT)      \
    X(STATE_RESET,                 ITERATION,       OWN)        \
    X(BACKWARD_COMPLETED,          TIME_ITERATION,  OWN)        \
    X(OPTIM_STEP_COMPLETED,        TIME_ITERATION,  OWN)        \
    X(SAVED_CHECKPOINT,            ITERATION,       OWN)
/* clang-format on */

enum rnn_event {
#define X(name, counter, whose) RNN_##name,
    RNN_EVENT_LIST(X)
#undef X
        RNN_EVENT_COUNT /* the first number of rnn_register_event() */
};

/* The counter that an event carries, and its filters see. */
enum rnn_counter {
    RNN_COUNTER_NONE,
    RNN_COUNTER_EPOCH,
    RNN_COUNTER_ITERATION,
    RNN_COUNTER_TIME_ITERATION,
    RNN_COUNTER_CHUNK,
    RNN_COUNTER_ATTRIBUTE /* the user's: rnn_register_event() */
};

enum rnn_origin { RNN_ORIGIN_IGNITE, RNN_ORIGIN_TBPTT, RNN_ORIGIN_OWN, RNN_ORIGIN_USER };

typedef struct rnn_engine rnn_engine;

/*
 * A handler. `event` is the one that fired. Returns 0, or a negative code: it
 * has raised an exception (rnn_raise gives it a sentence). A handler of
 * ITERATION_COMPLETED or EPOCH_COMPLETED that cannot come to an end (its own run was
 * interrupted) may return RNN_PAUSED: the handlers behind it are not called, the run
 * pauses, and when it goes on, so does the event, with this handler.
 */
typedef int rnn_handler(rnn_engine *e, int event, void *user);

/* A filter of the user's own: whether the handler runs at this value of the counter. */
typedef bool rnn_filter_function(rnn_engine *e, int64_t value, void *user);

/*
 * Which firings of an event a handler sees, by the event's counter v >= 1.
 * Exactly one of three groups is given; what is zero is not given.
 *
 *   function            function(e, v, user)
 *   once, once_list     v is one of them
 *   every               v % every == 0
 *   before, after       after < v < before
 *   every with before or after: a = after or 0; a < v < before and
 *                       (v - a - 1) % every == 0 — the phase is counted from after
 *
 * Source: Events.X(event_filter, every, once, before, after) in PyTorch-Ignite 0.5.
 */
typedef struct rnn_filter {
    int64_t every;
    int64_t once;
    const int64_t *once_list; /* copied */
    int64_t n_once;
    int64_t before, after;
    bool has_before,
        has_after; /* needed only to give 0: before 0 is never, after 0 always */
    rnn_filter_function *function;
    void *user;
} rnn_filter;

/* One member of `A | B(every=2)`. filter NULL: each firing. */
typedef struct rnn_event_filter {
    int event;
    const rnn_filter *filter;
} rnn_event_filter;

/*
 * Calls fn when `event` fires and `filter` lets it through. Handlers of one
 * event run in the order they were added, and as often as they were added;
 * adding from inside a handler takes effect from the next firing, removing at once.
 *
 * event   one of enum rnn_event, or a number from rnn_register_event()
 * filter  NULL = each firing; copied
 * user    handed to fn unchanged; must live until the handler is off or the engine closed
 *
 * Returns a handle > 0 for rnn_off(), or RNN_EINVAL (unknown event, wrong filter,
 * a filter on an event without counter), RNN_ENOMEM.
 * Source: Engine.add_event_handler in PyTorch-Ignite.
 */
RNN_API int rnn_on(rnn_engine *e, int event, const rnn_filter *filter, rnn_handler *fn,
                   void *user);

/* As rnn_on for each of n events; one handle for all; on failure none is added. */
RNN_API int rnn_on_list(rnn_engine *e, const rnn_event_filter *list, int n, rnn_handler *fn,
                        void *user);

/* Removes what the handle stands for; 0 also when that is gone already. RNN_EINVAL for a
   number that never was a handle. */
RNN_API int rnn_off(rnn_engine *e, int handle);

/* Removes every copy of fn from `event`, whatever its filter and user.
   RNN_EINVAL when the event is unknown or has no such handler. */
RNN_API int rnn_off_all(rnn_engine *e, rnn_handler *fn, int event);

/*
 * What profiles and state dicts call the handlers that the handle stands for; copied. A
 * state dict finds its handler again in an engine that has others, in another order, when
 * it has a name. The handlers ready to hang, below, have theirs. RNN_EINVAL, RNN_ENOMEM.
 */
RNN_API int rnn_name_handler(rnn_engine *e, int handle, const char *name);

/* Whether fn (NULL: any) hangs on `event` (RNN_NONE: any). */
RNN_API bool rnn_has_handler(const rnn_engine *e, rnn_handler *fn, int event);

/*
 * Makes an event of the user's own. `attribute` names its counter: "epoch",
 * "iteration", "time_iteration", "chunk", or an attribute, made as 0 when it is
 * not there, that nobody but the user raises (rnn_attribute_add). NULL: no counter.
 * A name that is an event already gives that event's number, and it the counter
 * when one is named — in this engine alone.
 *
 * Returns the event's number, or RNN_EINVAL ("output" counts nothing), RNN_ENOMEM.
 */
RNN_API int rnn_register_event(rnn_engine *e, const char *name, const char *attribute);

/* The event's number by its name ("EPOCH_STARTED", or a registered one), or RNN_EINVAL. */
RNN_API int rnn_event_find(const rnn_engine *e, const char *name);

/* NULL when there is no such event. Lives as long as the engine. */
RNN_API const char *rnn_event_name(const rnn_engine *e, int event);

/* RNN_COUNTER_NONE, RNN_ORIGIN_USER when there is no such event. */
RNN_API enum rnn_counter rnn_event_counter(const rnn_engine *e, int event);
RNN_API enum rnn_origin rnn_event_origin(int event);

/* Calls the event's handlers. Returns 0, a handler's exception, or RNN_EINVAL. */
RNN_API int rnn_fire(rnn_engine *e, int event);

/* ---- the engine ---- */

/* What a process leaves: a number, or null. */
typedef struct rnn_output {
    double value;
    bool null;
} rnn_output;

/*
 * What is done for a batch. Sets *output (null when called), returns 0; or
 * RNN_PAUSED, to be called again with this batch once pending requests
 * (rnn_pending) are honoured; or a negative code: an exception.
 */
typedef int rnn_process(rnn_engine *e, void *batch, rnn_output *output, void *user);

/*
 * Batches, in passes. The engine copies the struct; `user` must outlive the run.
 */
typedef struct rnn_iterable {
    int64_t length; /* batches of a pass; RNN_NONE: unknown */
    /* Begins pass 0, 1, … ; the engine counts passes, and carries the count over a resume,
       so that a shuffle may depend on it. Returns 0 or a negative code. */
    int (*restart)(void *user, int64_t pass);
    /* The next batch, NULL at the end of the pass; it lives until the next call of next,
       restart or seek. Returns 0 or a negative code. */
    int (*next)(void *user, void **batch);
    /* After restart: the next batch shall be number `position` of the pass. NULL: the
       engine reads and drops batches instead. */
    int (*seek)(void *user, int64_t position);
    void *user;
} rnn_iterable;

/* What is 0 is not given. */
typedef struct rnn_run_options {
    int64_t max_epochs; /* at most one of these two; neither, on a first run: 1 epoch */
    int64_t max_iters;
    int64_t epoch_length; /* batches; not given: the data's length */
    bool restart;         /* forget progress and begin at iteration 0 */
} rnn_run_options;

/* Readable and writable by handlers at any time. Counters are raised when what they count
   begins: 1 in the first. Limits and lengths: RNN_NONE when there is none. */
typedef struct rnn_engine_state {
    int64_t iteration, epoch;
    int64_t epoch_length, max_epochs, max_iters;
    int64_t time_iteration; /* chunks since the run began */
    int64_t chunk;          /* in its batch, from 0 */
    int64_t iter_counter;   /* batches of this epoch; what TERMINATE_SINGLE_EPOCH tells */
    rnn_output output;
    void *batch;          /* NULL between batches */
    double epoch_seconds; /* times["EPOCH_COMPLETED"], times["COMPLETED"]; */
    double run_seconds;   /* NaN before the first run */
    int last_event;       /* RNN_NONE before the first */
} rnn_engine_state;

/*
 * Makes an engine; the caller owns it and ends it with rnn_close.
 * allocator  NULL: malloc; copied
 * Returns 0, RNN_EINVAL, RNN_ENOMEM.
 */
RNN_API int rnn_engine_new(rnn_engine **out, rnn_process *process, void *user,
                           const rnn_allocator *allocator);

/* Frees the engine and all it owns. NULL is fine. Not from inside its own run. */
RNN_API void rnn_close(rnn_engine *e);

/*
 * Runs the process over the data.
 *
 * data     NULL: epoch_length times a NULL batch, without GET_BATCH events
 * options  NULL: as on the last run; one epoch on the first
 *
 * After rnn_interrupt the next call goes on exactly where it stopped (data is not
 * read then). With progress left — after a loaded state, after a raised limit —
 * it goes on from there, the data sought to their place. A run that is finished
 * already is left alone, with a notice: say `restart` to begin anew.
 *
 * Returns 0, RNN_PAUSED, or RNN_EINVAL (contradictory limits, no data), RNN_EBUSY
 * (called from inside itself), or the exception that left the run.
 */
RNN_API int rnn_engine_run(rnn_engine *e, const rnn_iterable *data,
                           const rnn_run_options *options);

/* The engine's state. Lives as long as the engine. */
RNN_API rnn_engine_state *rnn_state_of(rnn_engine *e);

/*
 * Requests, honoured after the handlers of the event in progress.
 * rnn_terminate        ends the run: TERMINATE, then COMPLETED unless skipped
 * rnn_terminate_epoch  ends the epoch: TERMINATE_SINGLE_EPOCH, then EPOCH_COMPLETED unless
 *                      skipped; data start again. From STARTED or EPOCH_STARTED: RNN_ESTATE
 *                      is raised; from EPOCH_COMPLETED, COMPLETED: nothing
 * rnn_interrupt        INTERRUPT, then rnn_engine_run returns RNN_PAUSED
 */
RNN_API void rnn_terminate(rnn_engine *e, bool skip_completed);
RNN_API void rnn_terminate_epoch(rnn_engine *e, bool skip_epoch_completed);
RNN_API void rnn_interrupt(rnn_engine *e);

/* Whether one of the three is waiting: for a process that can stop on the way. */
RNN_API bool rnn_pending(const rnn_engine *e);

/* ---- exceptions ---- */

/*
 * Gives an exception its sentence and returns `code` (negative), for
 * `return rnn_raise(e, RNN_EDATA, "row %d", row)` in a handler or a process.
 * Without EXCEPTION_RAISED handlers it leaves rnn_engine_run. With them: raised
 * between EPOCH_STARTED and EPOCH_COMPLETED and swallowed (they return 0), it ends
 * the epoch only; raised elsewhere, or RNN_ESIGNAL anywhere, it ends the run.
 */
RNN_API int rnn_raise(rnn_engine *e, int code, const char *format, ...) RNN_PRINTF(3, 4);

/* The exception that EXCEPTION_RAISED tells of; 0 when there was none in this run. */
RNN_API int rnn_exception(const rnn_engine *e);

/* The sentence of the last error or exception, "" when there was none. NULL as engine:
   that of the last engine that could not be made in this thread. */
RNN_API const char *rnn_engine_error(const rnn_engine *e);

/* Where notices (a run that is finished already, data that ended early) go; by default
   they are printed to stderr. */
typedef void rnn_notice(void *user, const char *sentence);
RNN_API void rnn_set_notice(rnn_engine *e, rnn_notice *notice, void *user);

/* ---- attributes and metrics: numbers by name, of the user's own ---- */

/* Sets, making it when it is not there. RNN_ENOMEM, or RNN_EINVAL for the names of the
   engine's own: epoch, iteration, time_iteration, chunk, output. */
RNN_API int rnn_attribute_set(rnn_engine *e, const char *name, double value);
RNN_API int rnn_attribute_add(rnn_engine *e, const char *name, double step);
/* RNN_EINVAL when there is none of this name; reads the engine's own by name as well. */
RNN_API int rnn_attribute_get(const rnn_engine *e, const char *name, double *value);
/* From now on part of the state dict; made as 0 when it is not there. RNN_ENOMEM, or
   RNN_EINVAL as rnn_attribute_set. */
RNN_API int rnn_attribute_keep(rnn_engine *e, const char *name);

RNN_API int rnn_metric_set(rnn_engine *e, const char *name, double value);
RNN_API int rnn_metric_get(const rnn_engine *e, const char *name, double *value);
/* Metric number i in the order they were first set; NULL past the last. */
RNN_API const char *rnn_metric_at(const rnn_engine *e, int i, double *value);

/* ---- state dict: progress, for a checkpoint ---- */

enum { RNN_STATE_ENTRIES_MAX = 64 };

typedef struct rnn_state_entry {
    const char *name; /* saved: lives as long as the engine; loaded: the caller's */
    double value;
} rnn_state_entry;

/* Counters count what is completed. RNN_NONE: not given. */
typedef struct rnn_state_dict {
    int64_t epoch_length;          /* RNN_NONE only while the counter is 0 */
    int64_t iteration, epoch;      /* exactly one; saved: iteration */
    int64_t max_epochs, max_iters; /* exactly one */
    /* rnnc's own: without them the position follows from the iteration */
    int64_t time_iteration;
    int64_t pass, position; /* of the data: batches done in this pass */
    /* RNN_ITERATION_COMPLETED or RNN_EPOCH_COMPLETED when that is still to be fired
       (again), before anything else; 0: neither */
    int32_t pending;
    /* the handler that it goes on with, by its name (rnn_name_handler), and which of that
       name on the event, from 1; NULL: of those without one. Place 0, or a handler that the
       engine has not: all of the event's are called, else this one and those added behind
       it. The name lives as long as the engine; loaded: the caller's */
    const char *pending_handler;
    int32_t pending_place;
    rnn_output output; /* of the last batch: what the pending event's handlers see */
    int32_t n_entry;
    rnn_state_entry entry[RNN_STATE_ENTRIES_MAX]; /* attributes kept */
} rnn_state_dict;

/*
 * Takes the progress down, at any event: a batch in progress is not counted (a
 * trainer's chunks within it are among the entries, "tbptt.…", and a resumed run
 * goes on behind them). RNN_EINVAL when more attributes are kept than fit.
 */
RNN_API int rnn_state_save(const rnn_engine *e, rnn_state_dict *out);

/*
 * The next rnn_engine_run goes on from there. All kept attributes must be among
 * the entries. Returns 0, RNN_EINVAL with the engine as it was, RNN_ENOMEM, or
 * RNN_EBUSY while it runs.
 */
RNN_API int rnn_state_load(rnn_engine *e, const rnn_state_dict *in);

/* ---- handlers ready to hang ----
 *
 * Each returns what rnn_on returns, and belongs to the engine. What they say (a run was
 * ended, and why) goes to the notice.
 */

typedef struct rnn_early_stopping_options {
    const char *figure; /* a metric of the engine it hangs on, or "loss": its output */
    int64_t patience;   /* >= 1 */
    double threshold;   /* least change that is an improvement */
    bool relative;      /* it is a share of the best */
    bool larger;        /* better when larger */
    bool cumulative;    /* the best moves only when it is beaten by the threshold */
} rnn_early_stopping_options;

/*
 * Terminates `trainer` when the figure has not improved `patience` times running. `on` is
 * the engine whose event tells of a new value: an evaluator and RNN_COMPLETED, or the
 * trainer itself. Best and counter are kept in the trainer's state dict.
 * Source: EarlyStopping in PyTorch-Ignite.
 */
RNN_API int rnn_early_stopping(rnn_engine *trainer, rnn_engine *on, int event,
                               const rnn_filter *filter,
                               const rnn_early_stopping_options *options);

/* Terminates when more than so many seconds have gone since this call. TimeLimit's. */
RNN_API int rnn_time_limit(rnn_engine *e, int event, const rnn_filter *filter,
                           double seconds);

/*
 * Terminates when the output, or a trainer's last loss, is not finite; that chunk has
 * updated nothing. With `gradients` each gradient is tested before the update, which
 * then does not happen: RNN_ENUMERIC is raised.
 */
RNN_API int rnn_terminate_on_nan(rnn_engine *e, int event, const rnn_filter *filter,
                                 bool gradients);

/* What is 0 is not given. */
typedef struct rnn_ema_options {
    double momentum;        /* share of the new value; 0: 0.0002 */
    double momentum_warmup; /* at the first update of a warm-up; needs `warmup` */
    int64_t warmup;         /* updates until it is `momentum` */
} rnn_ema_options;

/* Keeps a moving average of a trainer's parameters, updated at the event. EMAHandler's.
   options NULL: none given. */
RNN_API int rnn_ema(rnn_engine *trainer, int event, const rnn_filter *filter,
                    const rnn_ema_options *options);
/* Exchanges parameters and averages; a second call goes back. To evaluate or save with. */
RNN_API int rnn_ema_swap(rnn_engine *trainer);

/* Times in seconds; min_at, max_at count from 1. */
typedef struct rnn_profile_row {
    const char *name; /* a span ("chunk"), an event, a handler; lives with the engine */
    int64_t n;
    double total, mean, std, min, max;
    int64_t min_at, max_at;
} rnn_profile_row;

/* From now on times are taken. RNN_ENOMEM. BasicTimeProfiler's and HandlersTimeProfiler's.
 */
RNN_API int rnn_profile(rnn_engine *e);
/* Row i from 0; RNN_EINVAL past the last, or without a profile. */
RNN_API int rnn_profile_at(const rnn_engine *e, int i, rnn_profile_row *out);

/* ---- detach: a state as a tree ---- */

enum rnn_tree_kind {
    RNN_TREE_TENSOR,
    RNN_TREE_STRING,
    RNN_TREE_MAPPING,
    RNN_TREE_SEQUENCE,
    RNN_TREE_NAMED_TUPLE,
    RNN_TREE_OTHER /* a number, null, a set … */
};

typedef struct rnn_tree {
    enum rnn_tree_kind kind;
    const char *type; /* "tuple", "OrderedDict", "int" …: kept; lives with the caller */
    /* tensor: storage, of the type that dtype says; NULL grad = no gradient */
    RNN_UNION
    {
        float *data;
        double *data_f64;
    };
    RNN_UNION
    {
        float *grad;
        double *grad_f64;
    };
    int64_t size;
    const char *text; /* string */
    int32_t n_child;  /* mapping, sequence, named tuple; may be 0 */
    struct rnn_tree *child;
    const char **key;     /* mapping, named tuple: [n_child] */
    enum rnn_dtype dtype; /* tensor */
} rnn_tree;

/*
 * Rebuilds `in` with the same structure: tensors alias their storage and have no
 * gradient, strings are the same. One allocation; free with rnn_tree_free and the
 * same allocator (NULL: malloc).
 *
 * Returns 0, RNN_ENOMEM, or RNN_ETYPE: *offender (unless NULL) is the type of the
 * first node that is none of tensor, string, mapping, sequence, named tuple.
 * Source: ignite.contrib.engines.tbptt._detach_hidden (utils.apply_to_tensor).
 */
RNN_API int rnn_detach(const rnn_tree *in, rnn_tree **out, const rnn_allocator *allocator,
                       const char **offender);
RNN_API void rnn_tree_free(rnn_tree *tree, const rnn_allocator *allocator);

/* ---- truncated backpropagation through time ---- */

/* One input of a batch, in memory: int32_t for classes and integers, else float, or double
   where the model's dtype is RNN_F64. Strides in elements; both 0: plain and contiguous,
   [steps][rows][features], or [rows][steps][features] when dim is 1, or [rows][features]
   when the input is per sequence. */
typedef struct rnn_array {
    const void *data;
    int64_t steps; /* of the whole sequence; per sequence: not read */
    int64_t step_stride, row_stride;
} rnn_array;

typedef struct rnn_batch {
    int64_t steps, rows;
    int64_t row0;         /* of the data set, of row 0: for random numbers */
    int32_t n_input;      /* the model's */
    rnn_array *input;     /* in the model's order */
    const uint8_t *start; /* [rows] or NULL. Carried states: 1 = this row starts anew */
    /* NULL: `data` hold all steps. Else called before each chunk, and leaves `data` at the
       chunk's first step, so that a sequence may be longer than memory. 0 or an error. */
    int (*load)(struct rnn_batch *batch, int64_t step0, int64_t steps);
    void *user;
} rnn_batch;

/* Turns what the iterable gave into a batch, once a batch. *out is zeroed; n_input and
   input stand ready for the model's inputs. 0 or an error. */
typedef int rnn_prepare_batch(rnn_engine *e, void *batch, rnn_batch *out, void *user);

enum rnn_report { RNN_REPORT_UNWEIGHTED, RNN_REPORT_WEIGHTED };

/* All zero: the seed's defaults. */
typedef struct rnn_tbptt_options {
    const void *optimizer, *loss_fn; /* compiled into the model: NULL */
    int64_t tbptt_step;              /* new steps of a chunk; 0: the model's; not more */
    int64_t tbptt_window; /* steps that the gradient may travel: a multiple of tbptt_step,
                             at most the model's steps_max; 0: that, or tbptt_step for a
                             model without one */
    int dim;              /* time axis of plain arrays: 0 or 1 */
    const char *device;   /* NULL or "cpu" */
    bool non_blocking;    /* nothing to overlap on the CPU */
    rnn_prepare_batch *prepare_batch; /* NULL: the iterable gives rnn_batch */
    void *prepare_user;

    bool carry;              /* rows continue from batch to batch */
    enum rnn_report report;  /* how chunk losses become the batch's output */
    bool terminate_at_chunk; /* not only behind the batch; always so when a loss is not
                                finite */
    int threads;             /* 0: what the model and the machine can use */
    uint64_t seed;           /* of parameters and dropout */
    const rnn_allocator *allocator;
} rnn_tbptt_options;

/*
 * Makes a trainer. For each batch the state starts anew (unless carried:
 * STATE_RESET tells); for each chunk: TIME_ITERATION_STARTED, forward, loss,
 * backward, update, TIME_ITERATION_COMPLETED with the chunk's loss as output. The
 * batch's output is the mean of its chunks'. With a handler on BACKWARD_COMPLETED
 * or OPTIM_STEP_COMPLETED the gradients are there, before clipping, to be read and
 * changed (rnn_gradient). rnn_interrupt is honoured between chunks as well.
 * A chunk whose loss is not finite updates nothing and has no BACKWARD_COMPLETED.
 * With the optimizer's `accumulate` (a number of rnn_set_scalar) an update comes after so
 * many chunks, by the mean of their gradients, or with fewer when an epoch ends.
 *
 * With a window longer than a step (k2 > k1) a chunk is computed anew from the state at its
 * window's start: where the chunk began that lies tbptt_window - tbptt_step steps back, but
 * not before the batch, nor before a state that was set or reset from outside. The state
 * carried on is the one so computed. An evaluator has no window.
 *
 * model  must outlive the engine
 *
 * Returns 0, RNN_EINVAL, RNN_EABI, RNN_EDEVICE, RNN_ENOMEM, RNN_ETHREAD;
 * the sentence is in rnn_engine_error(NULL).
 * Source: create_supervised_tbptt_trainer in ignite.contrib.engines.tbptt.
 */
RNN_API int rnn_tbptt_trainer(rnn_engine **out, const struct rnn_model *model,
                              const rnn_tbptt_options *options);

/*
 * Makes an engine that evaluates with the trainer's parameters: the same chunks
 * and events without backward and update. Shares parameters, workspace, scalars and
 * threads with the trainer: close it before the trainer, run it from the trainer's
 * handlers (not of BACKWARD_COMPLETED) or between its runs, with .restart = true.
 * Of the options tbptt_step, dim, prepare_batch, carry, report are its own. Its
 * metrics are "loss" and the model's, of all chunks of an epoch however they were cut.
 */
RNN_API int rnn_tbptt_evaluator(rnn_engine **out, rnn_engine *trainer,
                                const rnn_tbptt_options *options);

/*
 * Forward alone, dropout off, on an evaluator or a trainer that is not running:
 * [steps][rows][output_size] to outputs. The carried state goes on from the last call; a
 * row whose start flag is set, or all rows after rnn_reset_state, begin anew. Any number of
 * steps. Inputs that only the loss reads may have NULL data.
 *
 * The first is for models that compute in float, the second for those in double
 * (`dtype: f64`); RNN_EINVAL for the other kind.
 */
RNN_API int rnn_forward(rnn_engine *e, const rnn_batch *batch, float *outputs);
RNN_API int rnn_forward_f64(rnn_engine *e, const rnn_batch *batch, double *outputs);

/* The model of a trainer or evaluator; NULL for other engines. */
RNN_API const struct rnn_model *rnn_model_of(const rnn_engine *e);

/* Initialises parameters and optimizer from `seed` and sets it for what follows. */
RNN_API int rnn_init(rnn_engine *e, uint64_t seed);
/* Sets the seed of dropout and noise alone. */
RNN_API int rnn_seed(rnn_engine *e, uint64_t seed);
RNN_API uint64_t rnn_get_seed(const rnn_engine *e);

/* Copies a whole parameter, row-major; n is its size exactly. RNN_EINVAL. Float and double
   both do for any model, and are converted to and from what it computes in. */
RNN_API int rnn_get_parameter(rnn_engine *e, const char *name, float *out, int64_t n);
RNN_API int rnn_set_parameter(rnn_engine *e, const char *name, const float *in, int64_t n);
RNN_API int rnn_get_parameter_f64(rnn_engine *e, const char *name, double *out, int64_t n);
RNN_API int rnn_set_parameter_f64(rnn_engine *e, const char *name, const double *in,
                                  int64_t n);

/* The parameter's gradient, to read or change in BACKWARD_COMPLETED; NULL when there is no
   such parameter, or the model's reals are of the other width. *n, unless NULL: its
   elements. */
RNN_API float *rnn_gradient(rnn_engine *e, const char *name, int64_t *n);
RNN_API double *rnn_gradient_f64(rnn_engine *e, const char *name, int64_t *n);

/*
 * Copies the carried state out, detached: later chunks do not change it and
 * no gradient ever reaches it.
 *
 * state  index of the state in the model, 0 <= state < n_state
 * out    [rows_max, size], row-major, written whole; float or double, converted
 * n      capacity of out in elements; must be >= rows_max * size
 *
 * Returns 0, or RNN_EINVAL when state or n is out of range.
 */
RNN_API int rnn_get_state(rnn_engine *e, int state, float *out, int64_t n);
RNN_API int rnn_get_state_f64(rnn_engine *e, int state, double *out, int64_t n);
/* The next chunk goes on from this; with `carry`, the next batch as well. */
RNN_API int rnn_set_state(rnn_engine *e, int state, const float *in, int64_t n);
RNN_API int rnn_set_state_f64(rnn_engine *e, int state, const double *in, int64_t n);
/* All rows start anew in the next chunk. */
RNN_API int rnn_reset_state(rnn_engine *e);

/* Run-time numbers: "optimizer.lr", "rnn.dropout". RNN_EINVAL: unknown, a counter set, or a
   value that the number does not take. */
RNN_API int rnn_set_scalar(rnn_engine *e, const char *name, double value);
RNN_API int rnn_get_scalar(const rnn_engine *e, const char *name, double *value);

/* The last chunk's figures, for handlers of TIME_ITERATION_COMPLETED. */
typedef struct rnn_chunk_result {
    double loss, weight, gradient_norm;
    bool finite;
    int64_t step0, steps, rows; /* new steps, where a window has old ones too */
} rnn_chunk_result;
RNN_API int rnn_last_chunk(const rnn_engine *e, rnn_chunk_result *out);

/* The trainer's memory itself, for checkpoints; laid out as rnn_abi.h says. `state` is the
   carried state, [state_size * rows_max], at the moment of the call. After writing params:
   rnn_pack. Of two names the one is meant whose type is the model's dtype. */
typedef struct rnn_blocks {
    RNN_UNION
    {
        float *params;
        double *params_f64;
    };
    RNN_UNION
    {
        float *grads;
        double *grads_f64;
    };
    RNN_UNION
    {
        float *optimizer;
        double *optimizer_f64;
    };
    RNN_UNION
    {
        float *state;
        double *state_f64;
    };
    RNN_UNION
    { /* sum of the gradients that wait for the update; NULL: none ever do */
        float *gathered;
        double *gathered_f64;
    };
    RNN_UNION
    { /* what the next chunk's window starts from; NULL: there is none */
        float *window;
        double *window_f64;
    };
    double *optimizer_scalars, *scalars;
    double *running; /* [n_running] sums that the epoch's metrics are made of */
} rnn_blocks;
RNN_API int rnn_get_blocks(rnn_engine *e, rnn_blocks *out);
RNN_API int rnn_pack(rnn_engine *e);

#ifdef __cplusplus
}
#endif

#endif
