/*
 * state.c — numbers by name, and the engine's progress as a dict.
 *
 * A dict counts what is completed: while a batch is in work, neither its iteration
 * nor its place in the data counts, so that a run resumed from the dict does it
 * again (or, in a trainer, what is left of it). The epoch is not stored: as in
 * Ignite it follows from the iteration and the epoch's length.
 */
#include "engine.h"

#include <math.h>
#include <string.h>

rnn_engine_state *rnn_state_of(rnn_engine *e) { return &e->state; }

/* ---- numbers ---- */

int rnn__number_find(const struct rnn__numbers *numbers, const char *name)
{
    for (int i = 0; i < numbers->n; i++)
        if (strcmp(numbers->number[i].name, name) == 0)
            return i;
    return RNN_EINVAL;
}

int rnn__number_make(rnn_engine *e, struct rnn__numbers *numbers, const char *name)
{
    int found = rnn__number_find(numbers, name);
    if (found >= 0)
        return found;
    char *copy = rnn__copy_text(&e->allocator, name);
    void *table = numbers->number;
    if (!copy || !rnn__grow(&e->allocator, &table, &numbers->capacity, numbers->n,
                            sizeof *numbers->number)) {
        rnn__free(&e->allocator, copy);
        return rnn__fail(e, RNN_ENOMEM, "no memory for %s", name);
    }
    numbers->number = table;
    numbers->number[numbers->n] = (struct rnn__number){.name = copy};
    return numbers->n++;
}

void rnn__numbers_free(rnn_engine *e, struct rnn__numbers *numbers)
{
    for (int i = 0; i < numbers->n; i++)
        rnn__free(&e->allocator, numbers->number[i].name);
    rnn__free(&e->allocator, numbers->number);
}

static int set(rnn_engine *e, struct rnn__numbers *numbers, const char *name, double value)
{
    int i = rnn__number_make(e, numbers, name);
    if (i < 0)
        return i;
    numbers->number[i].value = value;
    return 0;
}

static int get(const struct rnn__numbers *numbers, const char *name, double *value)
{
    int i = rnn__number_find(numbers, name);
    if (i < 0)
        return i;
    *value = numbers->number[i].value;
    return 0;
}

/* What the engine itself keeps by name. */
static bool own_number(const rnn_engine *e, const char *name, double *value)
{
    const rnn_engine_state *s = &e->state;
    const struct {
        const char *name;
        double value;
    } own[] = {
        {"epoch", (double)s->epoch},
        {"iteration", (double)s->iteration},
        {"time_iteration", (double)s->time_iteration},
        {"chunk", (double)s->chunk},
        {"output", s->output.null ? NAN : s->output.value},
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(own[i].name, name) == 0) {
            *value = own[i].value;
            return true;
        }
    return false;
}

static int refuse_own(rnn_engine *e, const char *name)
{
    double own;
    return own_number(e, name, &own)
               ? rnn__fail(e, RNN_EINVAL, "'%s' is the engine's own; rnn_state_of has it",
                           name)
               : 0;
}

int rnn__attribute_make(rnn_engine *e, const char *name)
{
    int code = refuse_own(e, name);
    return code ? code : rnn__number_make(e, &e->attributes, name);
}

int rnn_attribute_set(rnn_engine *e, const char *name, double value)
{
    int code = refuse_own(e, name);
    return code ? code : set(e, &e->attributes, name, value);
}

int rnn_attribute_add(rnn_engine *e, const char *name, double step)
{
    double value = 0;
    get(&e->attributes, name, &value);
    return rnn_attribute_set(e, name, value + step);
}

int rnn_attribute_get(const rnn_engine *e, const char *name, double *value)
{
    return own_number(e, name, value) ? 0 : get(&e->attributes, name, value);
}

int rnn_attribute_keep(rnn_engine *e, const char *name)
{
    int i = rnn__attribute_make(e, name);
    if (i < 0)
        return i;
    e->attributes.number[i].keep = true;
    return 0;
}

bool rnn__counts_to(double value, double most)
{
    return value >= 0 && value <= most && floor(value) == value;
}

int rnn__keep_count(rnn_engine *e, const char *name, double most)
{
    int code = rnn_attribute_keep(e, name);
    if (code < 0)
        return code;
    struct rnn__number *a = &e->attributes.number[rnn__number_find(&e->attributes, name)];
    a->counts = true;
    a->most = most;
    return 0;
}

int rnn_metric_set(rnn_engine *e, const char *name, double value)
{
    return set(e, &e->metrics, name, value);
}

int rnn_metric_get(const rnn_engine *e, const char *name, double *value)
{
    return get(&e->metrics, name, value);
}

const char *rnn_metric_at(const rnn_engine *e, int i, double *value)
{
    if (i < 0 || i >= e->metrics.n)
        return NULL;
    if (value)
        *value = e->metrics.number[i].value;
    return e->metrics.number[i].name;
}

bool rnn__figure(const rnn_engine *e, const char *name, double *value)
{
    if (rnn_metric_get(e, name, value) == 0)
        return true;
    *value = e->state.output.value;
    return strcmp(name, "loss") == 0 && !e->state.output.null;
}

/* ---- the dict ---- */

/* The event that has not been fired to its end for what the state counts as done. */
static int pending_event(const rnn_engine *e)
{
    const rnn_engine_state *s = &e->state;
    if (e->pending)
        return e->pending;
    if (e->phase == RNN__PROCESSED)
        return RNN_ITERATION_COMPLETED;
    bool whole = s->epoch_length > 0 && s->iter_counter == s->epoch_length &&
                 s->iteration % s->epoch_length == 0;
    return e->epoch_open && whole && !e->in_process ? RNN_EPOCH_COMPLETED : 0;
}

int rnn_state_save(const rnn_engine *e, rnn_state_dict *out)
{
    const rnn_engine_state *s = &e->state;
    bool by_iters = s->max_iters != RNN_NONE;
    int pending = pending_event(e);
    rnn_state_dict d = {
        .epoch_length = s->epoch_length,
        .iteration = s->iteration - e->in_process,
        .epoch = RNN_NONE,
        .max_epochs = by_iters ? RNN_NONE : s->max_epochs,
        .max_iters = s->max_iters,
        .time_iteration = s->time_iteration - e->chunk_open,
        .pass = e->pass,
        .position = e->position - (e->position > 0 && e->in_process),
        .pending = pending,
        .output = s->output,
    };
    if (pending && pending == e->paused.event)
        d.pending_place =
            rnn__handler_place(e, pending, e->paused.handle, &d.pending_handler);
    for (int i = 0; i < e->attributes.n; i++) {
        const struct rnn__number *a = &e->attributes.number[i];
        if (!a->keep)
            continue;
        if (d.n_entry == RNN_STATE_ENTRIES_MAX)
            return RNN_EINVAL;
        d.entry[d.n_entry++] = (rnn_state_entry){a->name, a->value};
    }
    *out = d;
    return 0;
}

const rnn_state_entry *rnn__state_entry(const rnn_state_dict *d, const char *name)
{
    for (int i = 0; i < d->n_entry; i++)
        if (strcmp(d->entry[i].name, name) == 0)
            return &d->entry[i];
    return NULL;
}

static int check_entries(rnn_engine *e, const rnn_state_dict *d)
{
    if (d->n_entry < 0 || d->n_entry > RNN_STATE_ENTRIES_MAX)
        return rnn__fail(e, RNN_EINVAL, "state has %d entries", (int)d->n_entry);
    for (int i = 0; i < e->attributes.n; i++) {
        const struct rnn__number *a = &e->attributes.number[i];
        const rnn_state_entry *entry = rnn__state_entry(d, a->name);
        if (a->keep && !entry)
            return rnn__fail(e, RNN_EINVAL, "state lacks the attribute '%s'", a->name);
        if (a->counts && !rnn__counts_to(entry->value, a->most))
            return rnn__fail(e, RNN_EINVAL,
                             "state has %s %g, which is no whole number from 0 to %g",
                             a->name, entry->value, a->most);
    }
    return 0;
}

static bool given(int64_t key) { return key != RNN_NONE; }

/* What no run comes to: sums and products of smaller counts do not overflow, and every one
   is a double. */
static const int64_t count_max = INT64_C(1) << 53;

static int check_counts(rnn_engine *e, const rnn_state_dict *d)
{
    const struct {
        const char *name;
        int64_t value;
    } list[] = {{"epoch_length", d->epoch_length},
                {"iteration", d->iteration},
                {"epoch", d->epoch},
                {"max_epochs", d->max_epochs},
                {"max_iters", d->max_iters},
                {"time_iteration", d->time_iteration},
                {"pass", d->pass},
                {"position", d->position}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (given(list[i].value) && (list[i].value < 0 || list[i].value > count_max))
            return rnn__fail(e, RNN_EINVAL, "state has a %s of %lld", list[i].name,
                             (long long)list[i].value);
    return 0;
}

/* A pending event belongs to a batch that is done, the epoch's to its last. The epoch that
   is about to be gone on with is not counted, as at any other place. */
static int check_pending(rnn_engine *e, rnn_state_dict *d)
{
    bool last =
        d->epoch_length > 0 && d->iteration > 0 && d->iteration % d->epoch_length == 0;
    bool good = d->pending == 0 || (d->pending == RNN_EPOCH_COMPLETED && last) ||
                (d->pending == RNN_ITERATION_COMPLETED && d->iteration > 0);
    if (!good)
        return rnn__fail(e, RNN_EINVAL, "state has a pending event %d that it cannot have",
                         (int)d->pending);
    if (d->pending_place < 0 || (d->pending_place > 0 && d->pending == 0))
        return rnn__fail(e, RNN_EINVAL, "state has handler number %d of no pending event",
                         (int)d->pending_place);
    if (d->pending == RNN_ITERATION_COMPLETED && last)
        d->epoch--;
    return 0;
}

/* The rules of Engine.load_state_dict; leaves both counters in *d. */
static int check_progress(rnn_engine *e, rnn_state_dict *d)
{
    if (given(d->iteration) == given(d->epoch))
        return rnn__fail(e, RNN_EINVAL, "state must have one of iteration and epoch");
    if (given(d->max_epochs) == given(d->max_iters))
        return rnn__fail(e, RNN_EINVAL, "state must have one of max_epochs and max_iters");
    int64_t counter = given(d->iteration) ? d->iteration : d->epoch;
    if (counter < 0)
        return rnn__fail(e, RNN_EINVAL, "state counts %lld completed", (long long)counter);
    if (counter == 0) {
        d->iteration = d->epoch = 0;
        if (given(d->epoch_length) && d->epoch_length < 1)
            return rnn__fail(e, RNN_EINVAL, "epoch_length must be positive");
    } else if (d->epoch_length < 1)
        return rnn__fail(e, RNN_EINVAL, "epoch_length must be positive to place %lld",
                         (long long)counter);
    else if (given(d->epoch) && d->epoch > INT64_MAX / d->epoch_length)
        return rnn__fail(e, RNN_EINVAL, "epoch %lld is too large", (long long)d->epoch);
    else if (given(d->epoch))
        d->iteration = d->epoch * d->epoch_length;
    else
        d->epoch = d->iteration / d->epoch_length;

    bool by_iters = given(d->max_iters);
    int64_t limit = by_iters ? d->max_iters : d->max_epochs;
    int64_t done = by_iters ? d->iteration : d->epoch;
    if (limit < 1 || limit < done)
        return rnn__fail(e, RNN_EINVAL, "state is at %s %lld of %lld",
                         by_iters ? "iteration" : "epoch", (long long)done,
                         (long long)limit);
    return check_pending(e, d);
}

/* Makes all attributes first, so that a failure leaves no value changed. */
static int load_entries(rnn_engine *e, const rnn_state_dict *d)
{
    for (int i = 0; i < d->n_entry; i++) {
        int made = rnn__number_make(e, &e->attributes, d->entry[i].name);
        if (made < 0)
            return made;
    }
    for (int i = 0; i < d->n_entry; i++)
        set(e, &e->attributes, d->entry[i].name, d->entry[i].value);
    return 0;
}

int rnn_state_load(rnn_engine *e, const rnn_state_dict *in)
{
    if (atomic_load(&e->running))
        return rnn__fail(e, RNN_EBUSY, "a running engine cannot load a state");
    rnn_state_dict d = *in;
    int status = check_entries(e, &d);
    if (status == 0)
        status = check_counts(e, &d);
    if (status == 0)
        status = check_progress(e, &d);
    if (status == 0 && e->check_state)
        status = e->check_state(e, &d);
    if (status == 0)
        status = load_entries(e, &d);
    if (status < 0)
        return status;

    rnn_engine_state *s = &e->state;
    s->epoch_length = d.epoch_length;
    s->iteration = d.iteration;
    s->epoch = d.epoch;
    s->max_epochs = d.max_epochs;
    s->max_iters = d.max_iters;
    s->time_iteration = given(d.time_iteration) ? d.time_iteration : 0;
    s->batch = NULL;
    s->iter_counter = 0;
    if (d.pending == RNN_EPOCH_COMPLETED)
        s->iter_counter = d.epoch_length;
    if (d.pending)
        s->output = d.output;
    e->pending = d.pending;
    e->paused.handle = rnn__handler_find(e, d.pending, d.pending_handler, d.pending_place);
    e->paused.event = e->paused.handle ? d.pending : 0;
    e->epoch_open = d.pending != 0;
    e->pass = d.pass;
    e->position = d.position;
    e->seek = e->loaded = true;
    e->phase = RNN__IDLE;
    e->data_open = e->in_process = e->chunk_open = e->whole_epoch = false;
    atomic_store(&e->requests, 0); /* a past terminate() is no part of this state */
    return 0;
}
