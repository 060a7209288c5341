/*
 * engine.h — what the engine's own files share: its insides, laid open.
 *
 *   memory.c   allocation through the caller's hook; error sentences, notices
 *   filter.c   which values of a counter pass            no engine needed
 *   events.c   events, handlers, dispatch
 *   state.c    attributes, metrics, the state dict
 *   engine.c   the run: a machine of phases
 *
 * Nothing outside runtime/ includes this. Functions here are rnn__.
 */
#ifndef RNN_ENGINE_H
#define RNN_ENGINE_H

#include "rnn.h"

#include <stdarg.h>
#include <stdatomic.h>

enum { RNN__ERROR_BYTES = 512 };

/* A filter that rnn__filter_check has let through, with a list of its own. */
struct rnn__handler {
    rnn_handler *fn; /* NULL: removed, swept when no dispatch is under way */
    void *user;
    int handle;
    bool filtered;
    rnn_filter filter;
    const char *name; /* for profiles and states; the engine's; NULL: none */
};

struct rnn__event {
    const char *name;
    bool owns_name;
    enum rnn_counter counter;
    int attribute; /* of RNN_COUNTER_ATTRIBUTE */
    int depth;     /* dispatches under way */
    int n_handler, capacity;
    struct rnn__handler *handler;
};

struct rnn__number {
    char *name;
    double value;
    bool keep;   /* part of the state dict */
    bool counts; /* there a whole number from 0 to `most` */
    double most;
};

struct rnn__numbers {
    int n, capacity;
    struct rnn__number *number;
};

/* Where the run stands: what is done next. Order as in the run; engine.c has the table. */
enum rnn__phase {
    RNN__IDLE,
    RNN__BEGIN,
    RNN__NEXT_EPOCH,
    RNN__OPEN_DATA,
    RNN__GET_BATCH,
    RNN__FETCH,
    RNN__AGAIN,
    RNN__ITERATE,
    RNN__PROCESS,
    RNN__PROCESSED,
    RNN__NEXT_BATCH,
    RNN__EPOCH_DONE,
    RNN__TERMINATED,
    RNN__COMPLETE,
};

/* Bits of a request: see rnn_terminate, rnn_terminate_epoch, rnn_interrupt. */
enum {
    RNN__TERMINATE = 1,
    RNN__SKIP_COMPLETED = 2,
    RNN__TERMINATE_EPOCH = 4,
    RNN__SKIP_EPOCH_COMPLETED = 8,
    RNN__INTERRUPT = 16,
};

struct rnn_engine {
    rnn_allocator allocator;
    rnn_process *process;
    void *user;
    void (*destroy)(rnn_engine *e);  /* a trainer's, called first by rnn_close; or NULL */
    int (*end_epoch)(rnn_engine *e); /* a trainer's, before EPOCH_COMPLETED; or NULL */
    /* a trainer's: whether a state, which may be a file's, can be one of its; or NULL */
    int (*check_state)(rnn_engine *e, const rnn_state_dict *d);
    void *trainer; /* struct rnn__tbptt, or NULL */

    rnn_engine_state state;
    struct rnn__numbers attributes, metrics;

    struct rnn__event *event;
    int n_event, event_capacity;
    int last_handle;

    atomic_bool running;
    atomic_int requests;
    enum rnn__phase phase; /* kept while paused */
    bool out_of_data;      /* the iterator was made anew and has given nothing since */
    bool again;            /* this fetch has had its GET_BATCH_STARTED */
    bool new_batch;        /* the process has not seen this batch yet */
    bool loaded;           /* no batch has begun since rnn_state_load */
    bool in_process;       /* the batch of state.iteration is not done */
    bool chunk_open;       /* the chunk of state.time_iteration is not done */
    bool epoch_open;       /* state.epoch has not had its EPOCH_COMPLETED */
    int pending;           /* loaded: the event to be fired before anything else; 0: none */
    struct {
        int event, handle; /* 0: none */
    } paused; /* the handler that could not come to its end, to be called again */

    bool has_data, data_open;
    rnn_iterable data;
    int64_t pass, position; /* of the data: batches begun in this pass */
    bool opened;            /* a pass has been begun since iteration 0 */
    bool seek;              /* on opening, go to pass and position; else begin a pass */
    bool whole_epoch;       /* the next epoch is not the rest of one */

    double epoch_time, loop_start, run_start;

    int exception; /* what EXCEPTION_RAISED tells of */
    int raised;    /* the code that `error` speaks of */
    char error[RNN__ERROR_BYTES];
    struct rnn__profile *profile;   /* NULL: nobody asks for times */
    struct rnn__stopping *stopping; /* early stoppings of a trainer: a list */
    struct rnn__ema *ema;           /* moving averages of a trainer's parameters, or NULL */
    struct rnn__owned *owned;       /* handlers' memory, freed with the engine */
    rnn_notice *notice;
    void *notice_user;
};

/* ---- memory.c ---- */

/* Zeroed; NULL when there is no memory. Released by rnn__free, for which NULL is fine. */
void *rnn__alloc(const rnn_allocator *a, size_t bytes, size_t alignment);
void rnn__free(const rnn_allocator *a, void *memory);
/* Grows an array of `count` elements to hold one more; false: no memory, array as it was.
 */
bool rnn__grow(const rnn_allocator *a, void **array, int *capacity, int count,
               size_t element_bytes);
/* Zeroed, at any alignment, freed by rnn_close; NULL when there is no memory. */
void *rnn__own(rnn_engine *e, size_t bytes);
void rnn__owned_free(rnn_engine *e);
char *rnn__copy_text(const rnn_allocator *a, const char *text);
const rnn_allocator *rnn__allocator_or_default(const rnn_allocator *a);

/* Sets the engine's sentence and returns code. e NULL: the thread's. */
int rnn__fail(rnn_engine *e, int code, const char *format, ...) RNN_PRINTF(3, 4);
void rnn__note(rnn_engine *e, const char *format, ...) RNN_PRINTF(2, 3);
double rnn__seconds(void);

/* ---- filter.c ---- */

/* NULL when the filter is well formed, else what is wrong with it. */
const char *rnn__filter_error(const rnn_filter *f);
/* Whether it lets everything through, so that no counter is needed. */
bool rnn__filter_is_open(const rnn_filter *f);
bool rnn__filter_passes(rnn_engine *e, const rnn_filter *f, int64_t v);

/* ---- events.c ---- */

int rnn__events_init(rnn_engine *e);
void rnn__events_free(rnn_engine *e);
/* Fires a known event: 0, the exception of a handler, or RNN_PAUSED (two events alone). */
int rnn__fire(rnn_engine *e, int event);
/* The handle, which it returns, gets a name, unless it is the code of a failure. */
int rnn__named(rnn_engine *e, int handle, const char *name);
/* Which of its name (NULL: of those without) the handler is on the event, from 1; 0: the
   event has no such handle. */
int rnn__handler_place(const rnn_engine *e, int event, int handle, const char **name);
/* The handle of such a handler; 0: there is none. */
int rnn__handler_find(const rnn_engine *e, int event, const char *name, int place);
int64_t rnn__counter(const rnn_engine *e, const struct rnn__event *event);

/* ---- tbptt.c ---- */

/* Who takes the times of kernels from the next chunk on; NULL: nobody. */
void rnn__set_marker(rnn_engine *e, struct rnn_marker *marker);

/* Whether the model has room for chunks of so many steps in such windows; 0: its own.
   RNN_EINVAL with a sentence in rnn_engine_error(NULL). */
int rnn__tbptt_check_steps(const struct rnn_model *m, int64_t step, int64_t window);

/* ---- access.c ---- */

/* Whether the model's number may have this value; what it takes, in words, to `wanted`. */
bool rnn__scalar_takes(const struct rnn_scalar *s, double value, char wanted[128]);
/* rnn_forward, outputs in the model's width. */
int rnn__forward(rnn_engine *e, const rnn_batch *batch, void *outputs);

/* ---- stop.c ---- */

/* Whether early stopping has ended the run, this one or the one that is gone on with. */
bool rnn__is_stopped(const rnn_engine *trainer);
/* Whether terminate_on_nan ended the run. */
bool rnn__found_not_finite(rnn_engine *e);

/* ---- ema.c ---- */

/* The averages' block, laid out as the parameters'; NULL: there are none. */
void *rnn__ema_block(const rnn_engine *e);

/* ---- engine_start.c ---- */

/* Sets the state, phase and data that the run goes on with; 0 or RNN_EINVAL. */
int rnn__engine_start(rnn_engine *e, const rnn_iterable *data, const rnn_run_options *o);
static inline int64_t rnn__divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* ---- state.c ---- */

void rnn__numbers_free(rnn_engine *e, struct rnn__numbers *numbers);
/* A metric, or "loss", the output where no metric has that name; false while there is none.
 */
bool rnn__figure(const rnn_engine *e, const char *name, double *value);
/* A whole number from 0 to `most`: of what a file says. NaN is none. */
bool rnn__counts_to(double value, double most);
/* rnn_attribute_keep of such a number: no state with another is loaded. */
int rnn__keep_count(rnn_engine *e, const char *name, double most);
/* NULL: the state has no such entry. */
const rnn_state_entry *rnn__state_entry(const rnn_state_dict *d, const char *name);
/* The index of a name; rnn__number_make adds it as 0, or returns RNN_ENOMEM. */
int rnn__number_find(const struct rnn__numbers *numbers, const char *name);
int rnn__number_make(rnn_engine *e, struct rnn__numbers *numbers, const char *name);
/* The same among attributes; RNN_EINVAL for the names of the engine's own. */
int rnn__attribute_make(rnn_engine *e, const char *name);

#endif
