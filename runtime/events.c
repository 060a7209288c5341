/*
 * events.c — events, the handlers that hang on them, and their dispatch.
 *
 * An event is a row of the engine's own table: name, counter, handlers in the order
 * they were added. Two things may happen while an event is being dispatched:
 *
 *   a handler is added     the dispatch runs to the count it began with, so the new
 *                          one is first called by the next firing
 *   a handler is removed   its fn becomes NULL at once (what `user` points at may be
 *                          gone); the row is swept when no dispatch is under way
 *
 * Both may move the arrays, so dispatch keeps indices, never pointers.
 */
#include "engine.h"
#include "profile.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    enum rnn_counter counter;
    enum rnn_origin origin;
} builtin[] = {
#define X(name, counter, whose) {#name, RNN_COUNTER_##counter, RNN_ORIGIN_##whose},
    RNN_EVENT_LIST(X)
#undef X
};

/* The engine's own counters by name; an attribute's name is none of these. */
static const struct {
    const char *name;
    enum rnn_counter counter;
} counters[] = {
    {"epoch", RNN_COUNTER_EPOCH},
    {"iteration", RNN_COUNTER_ITERATION},
    {"time_iteration", RNN_COUNTER_TIME_ITERATION},
    {"chunk", RNN_COUNTER_CHUNK},
};

int rnn__events_init(rnn_engine *e)
{
    e->event = rnn__alloc(&e->allocator, RNN_EVENT_COUNT * sizeof *e->event, 16);
    if (!e->event)
        return rnn__fail(NULL, RNN_ENOMEM, "no memory for the table of events");
    e->n_event = e->event_capacity = RNN_EVENT_COUNT;
    for (int i = 0; i < RNN_EVENT_COUNT; i++) {
        e->event[i].name = builtin[i].name;
        e->event[i].counter = builtin[i].counter;
    }
    return 0;
}

static void handlers_free(rnn_engine *e, struct rnn__event *event)
{
    for (int i = 0; i < event->n_handler; i++)
        rnn__free(&e->allocator, (void *)(uintptr_t)event->handler[i].filter.once_list);
    rnn__free(&e->allocator, event->handler);
}

void rnn__events_free(rnn_engine *e)
{
    for (int i = 0; i < e->n_event; i++) {
        handlers_free(e, &e->event[i]);
        if (e->event[i].owns_name)
            rnn__free(&e->allocator, (void *)(uintptr_t)e->event[i].name);
    }
    rnn__free(&e->allocator, e->event);
}

static bool is_event(const rnn_engine *e, int event)
{
    return event >= 0 && event < e->n_event;
}

int rnn_event_find(const rnn_engine *e, const char *name)
{
    for (int i = 0; i < e->n_event; i++)
        if (strcmp(e->event[i].name, name) == 0)
            return i;
    return RNN_EINVAL;
}

const char *rnn_event_name(const rnn_engine *e, int event)
{
    return is_event(e, event) ? e->event[event].name : NULL;
}

enum rnn_counter rnn_event_counter(const rnn_engine *e, int event)
{
    return is_event(e, event) ? e->event[event].counter : RNN_COUNTER_NONE;
}

enum rnn_origin rnn_event_origin(int event)
{
    return event >= 0 && event < RNN_EVENT_COUNT ? builtin[event].origin : RNN_ORIGIN_USER;
}

int64_t rnn__counter(const rnn_engine *e, const struct rnn__event *event)
{
    switch (event->counter) {
    case RNN_COUNTER_EPOCH: return e->state.epoch;
    case RNN_COUNTER_ITERATION: return e->state.iteration;
    case RNN_COUNTER_TIME_ITERATION: return e->state.time_iteration;
    case RNN_COUNTER_CHUNK: return e->state.chunk;
    case RNN_COUNTER_ATTRIBUTE:
        return (int64_t)e->attributes.number[event->attribute].value;
    case RNN_COUNTER_NONE: break;
    }
    return 0;
}

/* ---- registering ---- */

/* Finds, or makes, the counter called `attribute`. */
static int set_counter(rnn_engine *e, int event, const char *attribute)
{
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        if (strcmp(counters[i].name, attribute) == 0) {
            e->event[event].counter = counters[i].counter;
            return 0;
        }
    int number = rnn__attribute_make(e, attribute);
    if (number < 0)
        return number;
    e->event[event].attribute = number;
    e->event[event].counter = RNN_COUNTER_ATTRIBUTE;
    return 0;
}

int rnn_register_event(rnn_engine *e, const char *name, const char *attribute)
{
    if (!name || !*name)
        return rnn__fail(e, RNN_EINVAL, "an event needs a name");
    int found = rnn_event_find(e, name);
    bool is_new = found < 0;
    if (is_new) {
        char *copy = rnn__copy_text(&e->allocator, name);
        void *table = e->event;
        if (!copy || !rnn__grow(&e->allocator, &table, &e->event_capacity, e->n_event,
                                sizeof *e->event)) {
            rnn__free(&e->allocator, copy);
            return rnn__fail(e, RNN_ENOMEM, "no memory for event %s", name);
        }
        e->event = table;
        found = e->n_event++;
        e->event[found] = (struct rnn__event){.name = copy, .owns_name = true};
    }
    int status = attribute ? set_counter(e, found, attribute) : 0;
    if (status == 0)
        return found;
    if (is_new)
        rnn__free(&e->allocator, (void *)(uintptr_t)e->event[--e->n_event].name);
    return status;
}

/* ---- adding ---- */

/* "a filter needs a counter; these events carry one: …" */
static int no_counter(rnn_engine *e, int event)
{
    int n =
        snprintf(e->error, sizeof e->error,
                 "event %s has no counter, so no filter can be put on it; with a counter:",
                 e->event[event].name);
    for (int i = 0; i < e->n_event && n > 0 && (size_t)n < sizeof e->error; i++)
        if (e->event[i].counter != RNN_COUNTER_NONE)
            n += snprintf(e->error + n, sizeof e->error - (size_t)n, " %s",
                          e->event[i].name);
    return e->raised = RNN_EINVAL;
}

static int check(rnn_engine *e, int event, const rnn_filter *filter)
{
    if (!is_event(e, event))
        return rnn__fail(e, RNN_EINVAL, "event number %d is not registered", event);
    if (!filter)
        return 0;
    const char *mistake = rnn__filter_error(filter);
    if (mistake)
        return rnn__fail(e, RNN_EINVAL, "filter on %s: %s", e->event[event].name, mistake);
    if (!rnn__filter_is_open(filter) && e->event[event].counter == RNN_COUNTER_NONE)
        return no_counter(e, event);
    return 0;
}

static int copy_filter(rnn_engine *e, struct rnn__handler *h, const rnn_filter *filter)
{
    if (!filter || rnn__filter_is_open(filter))
        return 0;
    h->filtered = true;
    h->filter = *filter;
    if (!filter->once_list)
        return 0;
    size_t bytes = (size_t)filter->n_once * sizeof *filter->once_list;
    int64_t *list = rnn__alloc(&e->allocator, bytes, sizeof *list);
    if (!list)
        return RNN_ENOMEM;
    memcpy(list, filter->once_list, bytes);
    h->filter.once_list = list;
    return 0;
}

static int add(rnn_engine *e, int handle, const rnn_event_filter *at, rnn_handler *fn,
               void *user)
{
    struct rnn__event *event = &e->event[at->event];
    struct rnn__handler added = {.fn = fn, .user = user, .handle = handle};
    void *table = event->handler;
    if (!rnn__grow(&e->allocator, &table, &event->capacity, event->n_handler, sizeof added))
        return RNN_ENOMEM;
    event->handler = table;
    if (copy_filter(e, &added, at->filter) < 0)
        return RNN_ENOMEM;
    event->handler[event->n_handler++] = added;
    return 0;
}

int rnn_on_list(rnn_engine *e, const rnn_event_filter *list, int n, rnn_handler *fn,
                void *user)
{
    if (!fn || !list || n < 1)
        return rnn__fail(e, RNN_EINVAL,
                         "a handler needs a function and at least one event");
    for (int i = 0; i < n; i++) {
        int status = check(e, list[i].event, list[i].filter);
        if (status < 0)
            return status;
    }
    int handle = ++e->last_handle;
    for (int i = 0; i < n; i++)
        if (add(e, handle, &list[i], fn, user) < 0) {
            rnn_off(e, handle);
            return rnn__fail(e, RNN_ENOMEM, "no memory for a handler");
        }
    return handle;
}

int rnn_on(rnn_engine *e, int event, const rnn_filter *filter, rnn_handler *fn, void *user)
{
    return rnn_on_list(e, &(rnn_event_filter){event, filter}, 1, fn, user);
}

/* ---- names ---- */

int rnn_name_handler(rnn_engine *e, int handle, const char *name)
{
    if (handle < 1 || handle > e->last_handle || !name || !*name)
        return rnn__fail(e, RNN_EINVAL, "a name needs a handle of this engine and a text");
    size_t bytes = strlen(name) + 1;
    char *copy = rnn__own(e, bytes);
    if (!copy)
        return rnn__fail(e, RNN_ENOMEM, "no memory for the name of a handler");
    memcpy(copy, name, bytes);
    for (int i = 0; i < e->n_event; i++)
        for (int j = 0; j < e->event[i].n_handler; j++)
            if (e->event[i].handler[j].handle == handle)
                e->event[i].handler[j].name = copy;
    return 0;
}

int rnn__named(rnn_engine *e, int handle, const char *name)
{
    int code = handle > 0 ? rnn_name_handler(e, handle, name) : handle;
    if (code >= 0)
        return handle;
    if (handle > 0)
        rnn_off(e, handle);
    return code;
}

static bool is_called(const struct rnn__handler *h, const char *name)
{
    return h->fn && (h->name && name ? strcmp(h->name, name) == 0 : h->name == name);
}

int rnn__handler_place(const rnn_engine *e, int event, int handle, const char **name)
{
    const struct rnn__event *at = is_event(e, event) ? &e->event[event] : NULL;
    int place = 1, i = 0;
    *name = NULL;
    while (at && i < at->n_handler && at->handler[i].handle != handle)
        i++;
    if (!at || i == at->n_handler)
        return 0;
    *name = at->handler[i].name;
    for (int j = 0; j < i; j++)
        place += is_called(&at->handler[j], *name);
    return place;
}

int rnn__handler_find(const rnn_engine *e, int event, const char *name, int place)
{
    const struct rnn__event *at = is_event(e, event) ? &e->event[event] : NULL;
    for (int i = 0; at && place > 0 && i < at->n_handler; i++)
        if (is_called(&at->handler[i], name) && --place == 0)
            return at->handler[i].handle;
    return 0;
}

/* ---- removing ---- */

/* Drops the rows that were removed, keeping the order of the others. */
static void sweep(rnn_engine *e, struct rnn__event *event)
{
    if (event->depth > 0)
        return;
    int kept = 0;
    for (int i = 0; i < event->n_handler; i++) {
        struct rnn__handler *h = &event->handler[i];
        if (h->fn)
            event->handler[kept++] = *h;
        else
            rnn__free(&e->allocator, (void *)(uintptr_t)h->filter.once_list);
    }
    event->n_handler = kept;
}

int rnn_off(rnn_engine *e, int handle)
{
    if (handle < 1 || handle > e->last_handle)
        return rnn__fail(e, RNN_EINVAL, "%d is not a handle of this engine", handle);
    for (int i = 0; i < e->n_event; i++) {
        struct rnn__event *event = &e->event[i];
        for (int j = 0; j < event->n_handler; j++)
            if (event->handler[j].handle == handle)
                event->handler[j].fn = NULL;
        sweep(e, event);
    }
    return 0;
}

int rnn_off_all(rnn_engine *e, rnn_handler *fn, int event)
{
    if (!is_event(e, event))
        return rnn__fail(e, RNN_EINVAL, "event number %d is not registered", event);
    if (!fn || !rnn_has_handler(e, fn, event))
        return rnn__fail(e, RNN_EINVAL, "this handler is not on %s", e->event[event].name);
    struct rnn__event *at = &e->event[event];
    for (int i = 0; i < at->n_handler; i++)
        if (at->handler[i].fn == fn)
            at->handler[i].fn = NULL;
    sweep(e, at);
    return 0;
}

static bool event_has(const struct rnn__event *event, rnn_handler *fn)
{
    for (int i = 0; i < event->n_handler; i++)
        if (event->handler[i].fn && (!fn || event->handler[i].fn == fn))
            return true;
    return false;
}

bool rnn_has_handler(const rnn_engine *e, rnn_handler *fn, int event)
{
    if (event != RNN_NONE)
        return is_event(e, event) && event_has(&e->event[event], fn);
    for (int i = 0; i < e->n_event; i++)
        if (event_has(&e->event[i], fn))
            return true;
    return false;
}

/* ---- firing ---- */

static int call(rnn_engine *e, int event, int i)
{
    const struct rnn__event *at = &e->event[event];
    struct rnn__handler h = at->handler[i]; /* a copy: the table may move under the call */
    if (!h.fn || (h.filtered && !rnn__filter_passes(e, &h.filter, rnn__counter(e, at))))
        return 0;
    e->raised = event == RNN_EXCEPTION_RAISED ? e->exception : 0;
    double begin = e->profile ? rnn__seconds() : 0;
    int status = h.fn(e, event, h.user);
    if (e->profile && h.name)
        rnn__profile_handler(e->profile, h.name, rnn__seconds() - begin);
    if (status == RNN_PAUSED &&
        (event == RNN_ITERATION_COMPLETED || event == RNN_EPOCH_COMPLETED)) {
        e->paused.event = event;
        e->paused.handle = h.handle;
        return RNN_PAUSED;
    }
    if (status >= 0)
        return 0;
    if (e->raised != status) /* it did not say why */
        rnn__fail(e, status, "a handler of %s: %s", e->event[event].name,
                  rnn_error_text(status));
    return status;
}

/* The handle of the first handler to be called: an event that is fired again goes on with
   the one that paused it. Handles grow in the order of the handlers. */
static int first_handle(rnn_engine *e, int event)
{
    int handle = e->paused.event == event ? e->paused.handle : 0;
    if (handle)
        e->paused.event = e->paused.handle = 0;
    return handle;
}

int rnn__fire(rnn_engine *e, int event)
{
    int first = first_handle(e, event);
    e->state.last_event = event;
    e->event[event].depth++;
    int n = e->event[event].n_handler;
    int status = 0;
    double begin = e->profile ? rnn__profile_fires(e->profile, event) : 0;
    for (int i = 0; i < n && status == 0; i++)
        if (e->event[event].handler[i].handle >= first)
            status = call(e, event, i);
    if (e->profile)
        rnn__profile_fired(e->profile, event, n > 0, begin);
    e->event[event].depth--;
    sweep(e, &e->event[event]);
    return status;
}

int rnn_fire(rnn_engine *e, int event)
{
    if (!is_event(e, event))
        return rnn__fail(e, RNN_EINVAL, "event number %d is not registered", event);
    int status = rnn__fire(e, event);
    return status < 0 ? status : 0;
}
