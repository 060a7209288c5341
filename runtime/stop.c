/*
 * stop.c — the handlers that end a run: early stopping, a time limit, numbers that are
 * not finite. handler_stop.c hangs them as a trainer's settings say.
 */
#include "engine.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- early stopping: as Ignite's EarlyStopping ---- */

/* Best, counter and whether there is a best are attributes of the trainer, so that a
   checkpoint keeps them. */
struct rnn__stopping {
    rnn_engine *trainer;
    rnn_early_stopping_options o;
    int best, counter, seen;    /* among the trainer's attributes */
    struct rnn__stopping *next; /* of the trainer's */
};

static double *number(const struct rnn__stopping *s, int i)
{
    return &s->trainer->attributes.number[i].value;
}

static bool is_over(const struct rnn__stopping *s)
{
    return *number(s, s->counter) >= (double)s->o.patience;
}

/* Ignite's rule, but that a relative threshold is a share of |best|: best * (1 + threshold)
   would let a worse negative score pass. A best that is not a number is beaten by any. */
static int judge(rnn_engine *e, int event, void *user)
{
    struct rnn__stopping *s = user;
    double value, best = *number(s, s->best);
    (void)event;
    if (!rnn__figure(e, s->o.figure, &value))
        return 0;
    if (is_over(s)) /* it has ended a run that goes on all the same: counted anew */
        *number(s, s->counter) = 0;
    bool first = *number(s, s->seen) == 0 || isnan(best);
    double gain = s->o.larger ? value - best : best - value;
    bool better = gain > s->o.threshold * (s->o.relative ? fabs(best) : 1);
    *number(s, s->seen) = 1;
    if (first || better || (gain > 0 && !s->o.cumulative))
        *number(s, s->best) = value;
    *number(s, s->counter) = first || better ? 0 : *number(s, s->counter) + 1;
    if (!is_over(s))
        return 0;
    rnn__note(s->trainer,
              "early stopping: %s has not improved %lld times; its best is %.6g",
              s->o.figure, (long long)s->o.patience, *number(s, s->best));
    rnn_terminate(s->trainer, false);
    return 0;
}

/* Of the ordinal-th early stopping, from 0, that judges by the figure. most -1: it is no
   count. */
static int kept_number(rnn_engine *e, const char *figure_name, int ordinal,
                       const char *what, double most, int *out)
{
    char name[256], which[16] = "";
    if (ordinal > 0)
        snprintf(which, sizeof which, "%d.", ordinal + 1);
    snprintf(name, sizeof name, "early_stopping.%s.%s%s", figure_name, which, what);
    int code = most < 0 ? rnn_attribute_keep(e, name) : rnn__keep_count(e, name, most);
    *out = rnn__number_find(&e->attributes, name);
    return code;
}

int rnn_early_stopping(rnn_engine *trainer, rnn_engine *on, int event,
                       const rnn_filter *filter, const rnn_early_stopping_options *o)
{
    if (!o->figure || o->patience < 1 || !(o->threshold >= 0))
        return rnn__fail(trainer, RNN_EINVAL,
                         "early stopping needs a figure, a patience of 1 or more and a "
                         "threshold of 0 or more");
    size_t bytes = strlen(o->figure) + 1;
    struct rnn__stopping *s = rnn__own(trainer, sizeof *s + bytes);
    if (!s)
        return rnn__fail(trainer, RNN_ENOMEM, "no memory for early stopping");
    *s = (struct rnn__stopping){.trainer = trainer, .o = *o};
    s->o.figure = memcpy(s + 1, o->figure, bytes);
    int ordinal = 0;
    for (const struct rnn__stopping *other = trainer->stopping; other; other = other->next)
        ordinal += strcmp(other->o.figure, o->figure) == 0;
    int code = kept_number(trainer, o->figure, ordinal, "best", -1, &s->best);
    if (!code)
        code = kept_number(trainer, o->figure, ordinal, "counter", 0x1p53, &s->counter);
    if (!code)
        code = kept_number(trainer, o->figure, ordinal, "seen", 1, &s->seen);
    if (!code)
        code = rnn__named(on, rnn_on(on, event, filter, judge, s), "early_stopping");
    if (code > 0) {
        s->next = trainer->stopping;
        trainer->stopping = s;
    }
    return code;
}

bool rnn__is_stopped(const rnn_engine *trainer)
{
    const struct rnn__stopping *s = trainer->stopping;
    while (s && !is_over(s))
        s = s->next;
    return s != NULL;
}

/* ---- a time limit: as Ignite's TimeLimit ---- */

struct limit {
    double seconds, begin;
};

static int check_time(rnn_engine *e, int event, void *user)
{
    const struct limit *limit = user;
    (void)event;
    if (rnn__seconds() - limit->begin <= limit->seconds)
        return 0;
    rnn__note(e, "the time limit of %g seconds is reached", limit->seconds);
    rnn_terminate(e, false);
    return 0;
}

int rnn_time_limit(rnn_engine *e, int event, const rnn_filter *filter, double seconds)
{
    if (!(seconds > 0))
        return rnn__fail(e, RNN_EINVAL, "a time limit of %g seconds", seconds);
    struct limit *limit = rnn__own(e, sizeof *limit);
    if (!limit)
        return rnn__fail(e, RNN_ENOMEM, "no memory for a time limit");
    *limit = (struct limit){.seconds = seconds, .begin = rnn__seconds()};
    return rnn__named(e, rnn_on(e, event, filter, check_time, limit), "time_limit");
}

/* ---- not finite: as Ignite's TerminateOnNan, but before anything is updated ---- */

static const char not_finite[] = "terminate_on_nan.found";

static int check_loss(rnn_engine *e, int event, void *user)
{
    rnn_chunk_result chunk;
    (void)event, (void)user;
    bool trains = rnn_last_chunk(e, &chunk) == 0;
    bool sound = trains ? chunk.finite || !(chunk.weight > 0)
                        : e->state.output.null || isfinite(e->state.output.value);
    if (sound)
        return 0;
    rnn_attribute_set(e, not_finite, 1);
    rnn_terminate(e, false);
    return 0;
}

/* An exception, not a request to end: the update behind this event must not happen. */
static int check_gradients(rnn_engine *e, int event, void *user)
{
    const struct rnn_model *m = rnn_model_of(e);
    (void)event, (void)user;
    rnn_blocks blocks;
    int code = rnn_get_blocks(e, &blocks);
    for (int i = 0; i < m->n_param && !code; i++) {
        const struct rnn_tensor *p = &m->param[i];
        for (int64_t j = 0; p->trained && j < p->size; j++)
            if (!isfinite(rnn_real_at(blocks.grads, m->dtype, p->offset + j)))
                return rnn_raise(e, RNN_ENUMERIC,
                                 "the gradient of %s is not finite; nothing was updated",
                                 p->name);
    }
    return code;
}

int rnn_terminate_on_nan(rnn_engine *e, int event, const rnn_filter *filter, bool gradients)
{
    static const char name[] = "terminate_on_nan";
    if (gradients && !rnn_model_of(e))
        return rnn__fail(e, RNN_EINVAL, "this engine has no gradients");
    int code = rnn_attribute_set(e, not_finite, 0);
    if (!code && gradients)
        code = rnn__named(e, rnn_on(e, RNN_BACKWARD_COMPLETED, NULL, check_gradients, NULL),
                          name);
    return code < 0 ? code
                    : rnn__named(e, rnn_on(e, event, filter, check_loss, NULL), name);
}

bool rnn__found_not_finite(rnn_engine *e)
{
    double found = 0;
    return rnn_attribute_get(e, not_finite, &found) == 0 && found != 0;
}
