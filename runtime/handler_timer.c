/*
 * handler_timer.c — the time from firing to firing of one event, as Ignite's Timer: told
 * when the run ends, and until then the attribute `timer`, a mean in seconds.
 */
#include "engine.h"
#include "profile.h"
#include "trainer.h"

#include <stdio.h>
#include <stdlib.h>

struct timer {
    struct rnn__trainer *t;
    double last; /* 0: none yet */
    rnn_profile_row row;
};

static int timer_started(rnn_engine *e, int event, void *user)
{
    struct timer *timer = user;
    (void)e, (void)event;
    timer->last = rnn__seconds();
    return 0;
}

static int timer_step(rnn_engine *e, int event, void *user)
{
    struct timer *timer = user;
    double now = rnn__seconds();
    (void)event;
    rnn__profile_add(&timer->row, now - timer->last);
    timer->last = now;
    return rnn_attribute_set(e, "timer", timer->row.mean);
}

static void timer_close(void *user)
{
    struct timer *timer = user;
    const rnn_profile_row *r = &timer->row;
    if (r->n > 0 && !timer->t->options->quiet)
        fprintf(stderr, "%s: %s: %lld times in %.4g s, %.4g ms each (%.4g to %.4g)\n",
                timer->t->options->program, r->name, (long long)r->n, r->total,
                1e3 * r->mean, 1e3 * r->min, 1e3 * r->max);
    free(timer);
}

int rnn__add_timer(struct rnn__trainer *t, const json_t *options, const char *where,
                   struct rnn__fault *f)
{
    struct rnn__when when = {.event = RNN_ITERATION_COMPLETED};
    struct timer *timer = calloc(1, sizeof *timer);
    int code = rnn__attach(t, timer, timer_close, f);
    if (code)
        return code;
    timer->t = t;
    code = rnn__read_when(t, options, where, &when, f);
    if (code)
        return code;
    timer->row.name = rnn_event_name(t->engine, when.event);
    code = rnn__hang(t, RNN_STARTED, NULL, timer_started, timer, f);
    return code ? code : rnn__hang_when(t, &when, timer_step, timer, f);
}
