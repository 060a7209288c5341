/*
 * handler_stop.c — the handlers that end a run (stop.c), from a trainer's settings.
 */
#include "trainer.h"

#include <string.h>

int rnn__add_early_stopping(struct rnn__trainer *t, const json_t *options,
                            const char *where, struct rnn__fault *f)
{
    static const char *const mode_words[] = {"abs", "rel"};
    rnn_early_stopping_options o = {.figure = t->evaluator ? "valid.loss" : "loss"};
    struct rnn__when when = {.event = RNN_EPOCH_COMPLETED};
    int relative = 0;
    int code = rnn__get_text(options, where, "on", &o.figure, f);
    if (!code)
        code = rnn__check_figure(t, where, "on", o.figure, f);
    if (!code)
        code = rnn__read_mode(options, where, o.figure, &o.larger, f);
    if (!code)
        code = rnn__get_integer(options, where, "patience", 1, &o.patience, f);
    if (!code && o.patience == 0)
        code = rnn__fault(f, RNN__ESPEC, "%s: patience is not given", where);
    if (!code)
        code = rnn__get_number(options, where, "threshold", &o.threshold, f);
    if (!code && !(o.threshold >= 0))
        code = rnn__fault(f, RNN__ESPEC, "%s.threshold: %g is less than 0", where,
                          o.threshold);
    if (!code)
        code = rnn__get_word(options, where, "threshold_mode", mode_words, 2, &relative, f);
    if (!code)
        code = rnn__get_flag(options, where, "cumulative", &o.cumulative, f);
    o.relative = relative == 1;
    if (strncmp(o.figure, "valid.", 6) == 0)
        when.event = t->validated; /* a value is judged once */
    if (!code)
        code = rnn__read_filter(options, where, &when, f);
    if (code)
        return code;
    int handle = rnn_early_stopping(t->engine, t->engine, when.event,
                                    when.filtered ? &when.filter : NULL, &o);
    return handle > 0 ? 0 : rnn__trainer_failed(t, t->engine, handle, f);
}

int rnn__add_time_limit(struct rnn__trainer *t, const json_t *options, const char *where,
                        struct rnn__fault *f)
{
    struct rnn__when when = {.event = RNN_ITERATION_COMPLETED};
    double seconds = 28800;
    int code = rnn__get_number(options, where, "seconds", &seconds, f);
    if (!code)
        code = rnn__read_when(t, options, where, &when, f);
    if (!code && !(seconds > 0))
        code =
            rnn__fault(f, RNN__ESPEC, "%s.seconds: %g is not more than 0", where, seconds);
    if (code)
        return code;
    int handle =
        rnn_time_limit(t->engine, when.event, when.filtered ? &when.filter : NULL, seconds);
    return handle > 0 ? 0 : rnn__trainer_failed(t, t->engine, handle, f);
}

int rnn__add_terminate_on_nan(struct rnn__trainer *t, const json_t *options,
                              const char *where, struct rnn__fault *f)
{
    struct rnn__when when = {.event = RNN_TIME_ITERATION_COMPLETED};
    bool gradients = false;
    int code = rnn__read_when(t, options, where, &when, f);
    if (!code)
        code = rnn__get_flag(options, where, "gradients", &gradients, f);
    if (code)
        return code;
    int handle = rnn_terminate_on_nan(t->engine, when.event,
                                      when.filtered ? &when.filter : NULL, gradients);
    return handle > 0 ? 0 : rnn__trainer_failed(t, t->engine, handle, f);
}
