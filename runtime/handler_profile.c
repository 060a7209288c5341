/*
 * handler_profile.c — where the time of a run goes: spans, events and handlers, kernels.
 *
 *     span      from an event's end to the beginning of the one that closes it: a batch is
 *               fetched, a batch, a chunk, an epoch, the run
 *     handlers  of one event, all of them; and of each by its name
 *     kernel    of generated code, when it was compiled with marks (rnn_abi.h)
 *
 * For each: how often, total, mean, deviation, shortest and longest and when, as Ignite's
 * BasicTimeProfiler and HandlersTimeProfiler. Means and deviations are Welford's (1962),
 * so that a million short times lose no digits. An engine without a profile has one test
 * of a pointer for each event; a kernel without marks has nothing.
 */
#include "engine.h"
#include "profile.h"
#include "trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int begin, end;
} span_list[] = {
    {"fetch of a batch", RNN_GET_BATCH_STARTED, RNN_GET_BATCH_COMPLETED},
    {"batch", RNN_ITERATION_STARTED, RNN_ITERATION_COMPLETED},
    {"chunk", RNN_TIME_ITERATION_STARTED, RNN_TIME_ITERATION_COMPLETED},
    {"epoch", RNN_EPOCH_STARTED, RNN_EPOCH_COMPLETED},
    {"run", RNN_STARTED, RNN_COMPLETED},
};
enum { N_SPAN = sizeof span_list / sizeof *span_list, N_HANDLER = 64 };

struct row {
    rnn_profile_row times; /* std holds the sum of squares until it is asked for */
};

struct rnn__profile {
    struct row span[N_SPAN], event[RNN_EVENT_COUNT], handler[N_HANDLER];
    int n_handler;
    double begin[N_SPAN]; /* 0: not begun */
    struct rnn__spans *spans; /* NULL: nobody draws */
    int track;
};

static void add_time(struct row *row, double seconds)
{
    rnn_profile_row *t = &row->times;
    double before = seconds - t->mean;
    t->n++;
    t->total += seconds;
    t->mean += before / (double)t->n;
    t->std += before * (seconds - t->mean);
    if (t->n == 1 || seconds < t->min)
        t->min = seconds, t->min_at = t->n;
    if (t->n == 1 || seconds > t->max)
        t->max = seconds, t->max_at = t->n;
}

static void draw(struct rnn__profile *p, const char *name, double begin, double end)
{
    if (p->spans)
        rnn__spans_add(p->spans, p->track, name, begin, end);
}

/* ---- what the engine calls ---- */

double rnn__profile_fires(struct rnn__profile *p, int event)
{
    double now = rnn__seconds();
    for (int i = 0; i < N_SPAN; i++)
        if (span_list[i].end == event && p->begin[i] > 0) {
            add_time(&p->span[i], now - p->begin[i]);
            draw(p, span_list[i].name, p->begin[i], now);
            p->begin[i] = 0;
        }
    return now;
}

void rnn__profile_fired(struct rnn__profile *p, int event, bool had_handlers, double begin)
{
    double now = rnn__seconds();
    if (had_handlers && event < RNN_EVENT_COUNT)
        add_time(&p->event[event], now - begin);
    for (int i = 0; i < N_SPAN; i++)
        if (span_list[i].begin == event)
            p->begin[i] = now;
}

void rnn__profile_handler(struct rnn__profile *p, const char *name, double seconds)
{
    int i = 0;
    double now = rnn__seconds();
    while (i < p->n_handler && strcmp(p->handler[i].times.name, name) != 0)
        i++;
    if (i == N_HANDLER)
        return;
    if (i == p->n_handler)
        p->handler[p->n_handler++].times.name = name;
    add_time(&p->handler[i], seconds);
    draw(p, name, now - seconds, now);
}

/* ---- for C programs ---- */

int rnn_profile(rnn_engine *e)
{
    if (e->profile)
        return 0;
    struct rnn__profile *p = rnn__own(e, sizeof *p);
    if (!p)
        return rnn__fail(e, RNN_ENOMEM, "no memory for a profile");
    for (int i = 0; i < N_SPAN; i++)
        p->span[i].times.name = span_list[i].name;
    for (int i = 0; i < RNN_EVENT_COUNT; i++)
        p->event[i].times.name = rnn_event_name(e, i);
    e->profile = p;
    return 0;
}

static const struct row *row_at(const struct rnn__profile *p, int i)
{
    const struct {
        const struct row *row;
        int n;
    } parts[] = {
        {p->span, N_SPAN}, {p->event, RNN_EVENT_COUNT}, {p->handler, p->n_handler}};
    for (int k = 0; k < 3 && i >= 0; i -= parts[k++].n)
        if (i < parts[k].n)
            return &parts[k].row[i];
    return NULL;
}

int rnn_profile_at(const rnn_engine *e, int i, rnn_profile_row *out)
{
    const struct row *row = e->profile ? row_at(e->profile, i) : NULL;
    if (!row)
        return RNN_EINVAL;
    *out = row->times;
    out->std = row->times.n > 1 ? sqrt(row->times.std / (double)row->times.n) : 0;
    return 0;
}

/* ---- of a trainer ---- */

void rnn__profile_draw(rnn_engine *e, struct rnn__spans *spans, int track)
{
    e->profile->spans = spans;
    e->profile->track = track;
}

/* The rows that have anything to tell. */
static void print_rows(rnn_engine *e, FILE *out)
{
    rnn_profile_row r;
    fprintf(out, "%-28s %9s %12s %12s %12s %12s %12s\n", "", "times", "total s", "mean ms",
            "std ms", "min ms", "max ms");
    for (int i = 0; rnn_profile_at(e, i, &r) == 0; i++)
        if (r.n > 0)
            fprintf(out, "%-28s %9lld %12.4f %12.4f %12.4f %12.4f %12.4f\n", r.name,
                    (long long)r.n, r.total, 1e3 * r.mean, 1e3 * r.std, 1e3 * r.min,
                    1e3 * r.max);
}

static int write_csv(struct rnn__trainer *t, struct rnn__fault *f)
{
    struct rnn__string s = {0};
    rnn_profile_row r;
    char *path = rnn__path_join(t->out, "profile.csv");
    rnn__put(&s, "name,times,total_seconds,mean_seconds,std_seconds,min_seconds,min_at,"
                 "max_seconds,max_at\n");
    for (int i = 0; rnn_profile_at(t->engine, i, &r) == 0; i++)
        if (r.n > 0)
            rnn__put(&s, "%s,%lld,%.9g,%.9g,%.9g,%.9g,%lld,%.9g,%lld\n", r.name,
                     (long long)r.n, r.total, r.mean, r.std, r.min, (long long)r.min_at,
                     r.max, (long long)r.max_at);
    int code = s.failed || !path
                   ? rnn__fault_memory(f)
                   : rnn__write_file(path, &(struct rnn__piece){s.text, s.length}, 1, f);
    free(path);
    free(s.text);
    return code;
}

int rnn__profile_report(struct rnn__trainer *t, struct rnn__fault *f)
{
    if (t->prints_profile && !t->options->quiet)
        print_rows(t->engine, stderr);
    return t->prints_profile ? write_csv(t, f) : 0;
}

int rnn__add_profile(struct rnn__trainer *t, const json_t *options, const char *where,
                     struct rnn__fault *f)
{
    (void)options, (void)where;
    t->prints_profile = true;
    int code = rnn_profile(t->engine);
    return code ? rnn__trainer_failed(t, t->engine, code, f) : 0;
}

/* ---- timer: from firing to firing of one event, as Ignite's Timer ---- */

struct timer {
    struct rnn__trainer *t;
    double last; /* 0: none yet */
    struct row row;
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
    add_time(&timer->row, now - timer->last);
    timer->last = now;
    return rnn_attribute_set(e, "timer", timer->row.times.mean);
}

static void timer_close(void *user)
{
    struct timer *timer = user;
    const rnn_profile_row *r = &timer->row.times;
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
    timer->row.times.name = rnn_event_name(t->engine, when.event);
    code = rnn__hang(t, RNN_STARTED, NULL, timer_started, timer, f);
    return code ? code : rnn__hang_when(t, &when, timer_step, timer, f);
}
