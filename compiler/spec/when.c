/*
 * when.c — a handler's settings against each other: what no single key can tell.
 *
 * `on` names an event, and a filter (every, once, before, after) needs one that carries a
 * counter; `once` stands alone. The runtime refuses the same, but only when a run begins.
 */
#include "spec/schema.h"

#include "rnn.h"

#include <string.h>

typedef struct {
    const char *name;
    enum rnn_counter counter;
} Event;

#define X(name, counter, whose) {#name, RNN_COUNTER_##counter},
static const Event events[] = {
    RNN_EVENT_LIST(X){"VALIDATION_COMPLETED", RNN_COUNTER_EPOCH}};
#undef X

enum { ONCE_MOST = 16 };

static const Event *find_event(const char *name)
{
    for (int i = 0; i < COUNT(events); i++)
        if (str_eq(events[i].name, name))
            return &events[i];
    return NULL;
}

static void check_event(Diag *d, const Tree *on, const Tree *filter)
{
    const Event *event = find_event(on->text);
    const char *name[COUNT(events)];
    for (int i = 0; i < COUNT(events); i++)
        name[i] = events[i].name;
    if (!event) {
        const char *near = diag_nearest(on->text, name, COUNT(events));
        diag_error(d, on->loc, "'%s' is no event%s%s%s", on->text,
                   near ? "; did you mean '" : "; rnnc list events names them",
                   near ? near : "", near ? "'?" : "");
    } else if (event->counter == RNN_COUNTER_NONE && filter) {
        diag_error(d, filter->loc,
                   "event %s has no counter, so no filter can be put on it; rnnc list "
                   "events tells which have one",
                   on->text);
    }
}

/* The first of the keys that counts; `every: epoch` and `every: 1` let all through. */
static const Tree *filter_of(const Tree *options)
{
    static const char *const keys[] = {"every", "once", "before", "after"};
    for (int i = 0; i < COUNT(keys); i++) {
        const Tree *t = tree_get(options, keys[i]);
        int64_t count;
        bool all = t && i == 0 && (!tree_integer(t, &count) || count == 1);
        if (t && !all)
            return t;
    }
    return NULL;
}

static void check_once(Diag *d, const Tree *options)
{
    const Tree *once = tree_get(options, "once"), *every = tree_get(options, "every");
    int64_t count;
    bool counts = every && tree_integer(every, &count);
    if (!once)
        return;
    if (once->kind == TREE_LIST && (once->n == 0 || once->n > ONCE_MOST))
        diag_error(d, once->loc, "once is a count, or a list of 1 to %d", ONCE_MOST);
    if (counts || tree_get(options, "before") || tree_get(options, "after"))
        diag_error(d, once->loc, "once stands alone, without every, before, after");
}

void when_check(Diag *d, const Tree *options, bool on_is_event)
{
    const Tree *on = tree_get(options, "on");
    if (on && on_is_event && on->kind == TREE_SCALAR)
        check_event(d, on, filter_of(options));
    check_once(d, options);
}
