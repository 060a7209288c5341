/*
 * handler_when.c — when a handler is called, as settings say it: on, every, once, before,
 * after. The words are Ignite's filters; `every` may also be the name of what is counted.
 */
#include "trainer.h"

#include <string.h>

/* The words that `every` knows, and the events that a plain number counts. */
static const struct {
    const char *word;
    int event;
} unit_list[] = {
    {"epoch", RNN_EPOCH_COMPLETED},
    {"iteration", RNN_ITERATION_COMPLETED},
    {"chunk", RNN_TIME_ITERATION_COMPLETED},
};
enum { N_UNIT = sizeof unit_list / sizeof *unit_list };

static int no_event(struct rnn__trainer *t, const char *where, const char *name,
                    struct rnn__fault *f)
{
    const char *names[RNN_EVENT_COUNT + 2] = {0};
    for (int i = 0; i <= RNN_EVENT_COUNT; i++)
        names[i] = rnn_event_name(t->engine, i);
    const char *near = rnn__nearest(name, names);
    rnn__fault(f, RNN__ESPEC, "%s.on: '%s' is no event", where, name);
    return near ? rnn__fault_add(f, "; did you mean '%s'?", near)
                : rnn__fault_add(f, "; rnnc list events names them");
}

static int read_event(struct rnn__trainer *t, const json_t *options, const char *where,
                      struct rnn__when *when, struct rnn__fault *f)
{
    const char *name = NULL;
    int code = rnn__get_text(options, where, "on", &name, f);
    if (code || !name)
        return code;
    when->event = rnn_event_find(t->engine, name);
    return when->event >= 0 ? 0 : no_event(t, where, name, f);
}

/* `every` is a number, or a word for the event itself. A number without `on` counts
   batches. */
static int read_every(const json_t *options, const char *where, struct rnn__when *when,
                      struct rnn__fault *f)
{
    const char *word = json_string_value(json_object_get(options, "every"));
    for (int i = 0; word && i < N_UNIT; i++)
        if (strcmp(word, unit_list[i].word) == 0) {
            when->event = unit_list[i].event;
            return 0;
        }
    int code = rnn__get_integer(options, where, "every", 1, &when->filter.every, f);
    if (!code && when->filter.every && !json_object_get(options, "on"))
        when->event = RNN_ITERATION_COMPLETED;
    return code;
}

static int read_once(const json_t *options, const char *where, struct rnn__when *when,
                     struct rnn__fault *f)
{
    const json_t *once = json_object_get(options, "once");
    size_t n = json_array_size(once);
    if (!json_is_array(once))
        return rnn__get_integer(options, where, "once", 1, &when->filter.once, f);
    if (n == 0 || n > sizeof when->once_list / sizeof *when->once_list)
        return rnn__fault(f, RNN__ESPEC, "%s.once: is not a list of 1 to 16 numbers",
                          where);
    for (size_t i = 0; i < n; i++) {
        double value;
        if (!rnn__is_number(json_array_get(once, i), &value) || value < 1 || value > 0x1p53)
            return rnn__fault(f, RNN__ESPEC, "%s.once: holds what is no count", where);
        when->once_list[i] = (int64_t)value;
    }
    when->filter.once_list = when->once_list;
    when->filter.n_once = (int64_t)n;
    return 0;
}

int rnn__read_when(struct rnn__trainer *t, const json_t *options, const char *where,
                   struct rnn__when *when, struct rnn__fault *f)
{
    int code = read_event(t, options, where, when, f);
    return code ? code : rnn__read_filter(options, where, when, f);
}

int rnn__read_filter(const json_t *options, const char *where, struct rnn__when *when,
                     struct rnn__fault *f)
{
    rnn_filter *filter = &when->filter;
    int code = read_every(options, where, when, f);
    if (!code)
        code = read_once(options, where, when, f);
    filter->has_before = json_object_get(options, "before") != NULL;
    filter->has_after = json_object_get(options, "after") != NULL;
    if (!code)
        code = rnn__get_integer(options, where, "before", 0, &filter->before, f);
    if (!code)
        code = rnn__get_integer(options, where, "after", 0, &filter->after, f);
    bool once = filter->once || filter->n_once;
    bool ranged = filter->every || filter->has_before || filter->has_after;
    if (!code && once && ranged)
        code = rnn__fault(f, RNN__ESPEC,
                          "%s: once stands alone, without every, before, after", where);
    when->filtered = once || ranged;
    return code;
}
