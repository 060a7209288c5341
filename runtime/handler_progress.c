/*
 * handler_progress.c — how far the run is, on stderr.
 *
 * On a terminal one line is drawn over and over, ten times a second at most:
 *
 *     Epoch [3/10]: [420/1000]  42%|#######         | loss=1.3256 12.4 chunks/s [0:33<1:20]
 *
 * with the time gone and left of the epoch; a batch on its way counts by its steps, which
 * may be all there are. A run of one epoch says Iteration, as Ignite's bar. Into a pipe or
 * a file goes a plain line at each epoch's end, and one each ten seconds in between,
 * without escape codes. Settings that say when (on, every, …) put the lines in between
 * there instead.
 */
#include "engine.h"
#include "trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { BAR_CELLS = 16 };

struct progress {
    struct rnn__trainer *t;
    bool terminal, drawn;
    double pause; /* seconds between lines */
    double last;  /* when the last one was printed */
    /* when the epoch began, or was gone on with: the time, time_iteration, batches done,
       and steps done of the next */
    double epoch_begin;
    int64_t epoch_chunks, epoch_batches, epoch_steps;
};

static void put_time(struct rnn__string *s, double seconds)
{
    long long whole = isfinite(seconds) && seconds < 1e9 ? (long long)seconds : 0;
    if (whole >= 3600)
        rnn__put(s, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        rnn__put(s, "%lld:%02lld", whole / 60, whole % 60);
}

static void put_bar(struct rnn__string *s, double done)
{
    int cells = (int)(done * BAR_CELLS);
    rnn__put(s, " %3.0f%%|", 100 * done);
    for (int i = 0; i < BAR_CELLS; i++)
        rnn__put(s, "%c", i < cells ? '#' : ' ');
    rnn__put(s, "|");
}

/* Batches of the epoch, the one on its way by its steps; to *at_begin those done when it
   began. */
static double batches_done(const struct progress *p, const rnn_engine_state *state,
                           double *at_begin)
{
    const rnn_engine *e = p->t->engine;
    const rnn_batch *batch = state->batch;
    rnn_chunk_result chunk;
    *at_begin = (double)p->epoch_batches;
    if (batch && batch->steps > 0)
        *at_begin += (double)p->epoch_steps / (double)batch->steps;
    if (!e->in_process || !batch || rnn_last_chunk(e, &chunk) != 0)
        return (double)state->iter_counter;
    return (double)(state->iter_counter - 1) +
           (double)(chunk.step0 + chunk.steps) / (double)batch->steps;
}

static void put_place(struct progress *p, struct rnn__string *s,
                      const rnn_engine_state *state)
{
    double at_begin;
    if (state->max_epochs == 1)
        rnn__put(s, "Iteration: ");
    else if (state->max_epochs == RNN_NONE)
        rnn__put(s, "Epoch [%lld/?]: ", (long long)state->epoch);
    else
        rnn__put(s, "Epoch [%lld/%lld]: ", (long long)state->epoch,
                 (long long)state->max_epochs);
    rnn__put(s, "[%lld", (long long)state->iter_counter);
    if (state->epoch_length == RNN_NONE)
        rnn__put(s, "]");
    else
        rnn__put(s, "/%lld]", (long long)state->epoch_length);
    if (p->terminal && state->epoch_length > 0)
        put_bar(s, batches_done(p, state, &at_begin) / (double)state->epoch_length);
}

/* The last output's; behind an epoch the metric of that name, if there is one. */
static void put_loss(struct progress *p, struct rnn__string *s, bool epoch_ended)
{
    const rnn_output *last = &rnn_state_of(p->t->engine)->output;
    double loss = last->value;
    if (epoch_ended ? rnn__watched(p->t, "loss", &loss) : !last->null)
        rnn__put(s, " loss=%.5g", loss);
}

static void put_metrics(struct progress *p, struct rnn__string *s)
{
    double value;
    const char *name;
    for (int i = 0; (name = rnn_metric_at(p->t->engine, i, &value)); i++)
        if (strcmp(name, "loss") != 0) /* the line has one */
            rnn__put(s, " %s=%.5g", name, value);
}

static void put_speed(struct progress *p, struct rnn__string *s,
                      const rnn_engine_state *state)
{
    double seconds = rnn__seconds() - p->epoch_begin;
    double at_begin, done = batches_done(p, state, &at_begin);
    rnn__put(s, " %.4g chunks/s [",
             (double)(state->time_iteration - p->epoch_chunks) /
                 (seconds > 0 ? seconds : 1));
    put_time(s, seconds);
    if (state->epoch_length > 0 && done > at_begin) {
        rnn__put(s, "<");
        put_time(s, seconds * ((double)state->epoch_length - done) / (done - at_begin));
    }
    rnn__put(s, "]");
}

/* A line that wraps could not be drawn over; an epoch's last one stays as it is. */
static int columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
        return size.ws_col;
    return 80;
}

static void print(struct progress *p, bool epoch_ended)
{
    struct rnn__string s = {0};
    const rnn_engine_state *state = rnn_state_of(p->t->engine);
    put_place(p, &s, state);
    put_loss(p, &s, epoch_ended);
    if (epoch_ended)
        put_metrics(p, &s);
    put_speed(p, &s, state);
    if (!s.failed && p->terminal)
        fprintf(stderr, "\r\033[K%.*s%s", epoch_ended ? (int)s.length : columns() - 1,
                s.text, epoch_ended ? "\n" : "");
    else if (!s.failed)
        fprintf(stderr, "%s\n", s.text);
    free(s.text);
    p->last = rnn__seconds();
    p->drawn = !epoch_ended;
    p->t->bar_is_drawn = p->terminal && p->drawn;
}

static int epoch_started(rnn_engine *e, int event, void *user)
{
    struct progress *p = user;
    const rnn_engine_state *s = rnn_state_of(e);
    double iteration = 0, step = 0;
    (void)event;
    rnn_attribute_get(e, "tbptt.iteration", &iteration); /* as in a state: see tbptt.c */
    rnn_attribute_get(e, "tbptt.step", &step);
    p->epoch_begin = rnn__seconds();
    p->epoch_chunks = s->time_iteration;
    p->epoch_batches = s->epoch_length > 0 ? s->iteration % s->epoch_length : 0;
    p->epoch_steps = (int64_t)iteration == s->iteration + 1 ? (int64_t)step : 0;
    return 0;
}

static int chunk_completed(rnn_engine *e, int event, void *user)
{
    struct progress *p = user;
    (void)e, (void)event;
    if (rnn__seconds() - p->last >= p->pause)
        print(p, false);
    return 0;
}

static int now_and_then(rnn_engine *e, int event, void *user)
{
    (void)e, (void)event;
    print(user, false);
    return 0;
}

static int epoch_completed(rnn_engine *e, int event, void *user)
{
    (void)e, (void)event;
    print(user, true);
    return 0;
}

/* One that obeys: TERM is not "dumb", as in an editor's window. */
static bool is_terminal(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) == 1 && (!term || strcmp(term, "dumb") != 0);
}

static void close_progress(void *user)
{
    struct progress *p = user;
    if (p->terminal && p->drawn)
        fputc('\n', stderr);
    free(p);
}

int rnn__add_progress(struct rnn__trainer *t, const json_t *options, const char *where,
                      struct rnn__fault *f)
{
    if (t->options->quiet || t->options->no_progress)
        return 0;
    struct progress *p = calloc(1, sizeof *p);
    int code = rnn__attach(t, p, close_progress, f);
    if (code)
        return code;
    *p = (struct progress){.t = t, .terminal = is_terminal(), .last = rnn__seconds()};
    p->epoch_begin = p->last;
    p->pause = p->terminal ? 0.1 : 10;
    struct rnn__when when = {.event = RNN_NONE};
    code = rnn__read_when(t, options, where, &when, f);
    if (!code)
        code = rnn__hang(t, RNN_EPOCH_STARTED, NULL, epoch_started, p, f);
    if (!code && when.event == RNN_NONE)
        code = rnn__hang(t, RNN_TIME_ITERATION_COMPLETED, NULL, chunk_completed, p, f);
    else if (!code)
        code = rnn__hang_when(t, &when, now_and_then, p, f);
    return code ? code : rnn__hang(t, RNN_EPOCH_COMPLETED, NULL, epoch_completed, p, f);
}
