/*
 * profile.c — where the time of a run goes: spans, events and handlers, kernels.
 *
 *     span      from an event's end to the beginning of the one that closes it: a batch is
 *               fetched, a batch, a chunk, an epoch, the run
 *     handlers  of one event, all of them; and of each by its name
 *     kernel    of generated code, when it was compiled with marks (rnn_abi.h)
 *
 * For each: how often, total, mean, deviation, shortest and longest and when, as Ignite's
 * BasicTimeProfiler and HandlersTimeProfiler. Means and deviations are Welford's (1962),
 * so that a million short times lose no digits. handler_profile.c prints them, spans.c
 * draws them. An engine without a profile has one test of a pointer for each event; a
 * kernel without marks has nothing.
 */
#include "profile.h"
#include "engine.h"

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

enum { N_THREAD = 64, N_PENDING = 1024 };

/* One thread's: what it is in, its sums, and the spans that wait to be drawn. */
struct lane {
    int kernel; /* -1: none */
    double begin;
    rnn_profile_row *row; /* [n_kernel] */
    bool named;           /* its line of the picture has its name */
    int n_pending;
    struct {
        int kernel;
        double begin, end;
    } pending[N_PENDING];
};

/* Threads write to their own lanes; the engine reads them between chunks. */
struct marker {
    struct rnn_marker base; /* first: it is what kernels know */
    const struct rnn_model *model;
    bool draws;
    struct lane *lane[N_THREAD]; /* made before the first chunk */
};

struct rnn__profile {
    rnn_profile_row span[N_SPAN], event[RNN_EVENT_COUNT], handler[N_HANDLER];
    int n_handler;
    double begin[N_SPAN];     /* 0: not begun */
    struct marker *marker;    /* NULL: no kernels to time */
    struct rnn__spans *spans; /* NULL: nobody draws */
    int track;
};

/* Rows hold in `std` the sum of squared distances from the mean until they are asked for.
 */
void rnn__profile_add(rnn_profile_row *t, double seconds)
{
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

/* ---- kernels ---- */

static void mark(struct rnn_marker *base, int32_t thread, int32_t kernel)
{
    struct marker *m = (struct marker *)(void *)base;
    struct lane *lane = thread < N_THREAD ? m->lane[thread] : NULL;
    if (!lane)
        return;
    double now = rnn__seconds();
    if (lane->kernel >= 0) {
        rnn__profile_add(&lane->row[lane->kernel], now - lane->begin);
        if (m->draws && lane->n_pending < N_PENDING) {
            lane->pending[lane->n_pending].kernel = lane->kernel;
            lane->pending[lane->n_pending].begin = lane->begin;
            lane->pending[lane->n_pending++].end = now;
        }
    }
    lane->kernel = kernel;
    lane->begin = now;
}

/* Between chunks. */
static void draw_kernels(struct rnn__profile *p)
{
    for (int i = 0; p->marker && p->spans && i < N_THREAD; i++) {
        struct lane *lane = p->marker->lane[i];
        if (lane && lane->n_pending && !lane->named) {
            char name[32];
            snprintf(name, sizeof name, "kernels, thread %d", i);
            rnn__spans_track(p->spans, p->track + 1 + i, name);
            lane->named = true;
        }
        for (int k = 0; lane && k < lane->n_pending; k++)
            rnn__spans_add(p->spans, p->track + 1 + i,
                           p->marker->model->kernel[lane->pending[k].kernel].name,
                           lane->pending[k].begin, lane->pending[k].end);
        if (lane)
            lane->n_pending = 0;
    }
}

/* 0 also when the model has no marks. */
static int open_marker(rnn_engine *e)
{
    const struct rnn_model *m = rnn_model_of(e);
    if (!m || m->n_kernel == 0)
        return 0;
    struct marker *marker = rnn__own(e, sizeof *marker);
    bool good = marker != NULL;
    for (int i = 0; good && i < N_THREAD && i < m->threads_max; i++) {
        struct lane *lane = marker->lane[i] = rnn__own(e, sizeof *lane);
        good = lane && (lane->row = rnn__own(e, (size_t)m->n_kernel * sizeof *lane->row));
        if (good)
            lane->kernel = -1;
    }
    if (!good)
        return RNN_ENOMEM;
    marker->base.mark = mark;
    marker->model = m;
    e->profile->marker = marker;
    rnn__set_marker(e, &marker->base);
    return 0;
}

/* The kernel's times of all threads in one row (Chan, Golub, LeVeque 1979). */
static rnn_profile_row kernel_row(const struct marker *m, int kernel)
{
    rnn_profile_row sum = {.name = m->model->kernel[kernel].name};
    for (int i = 0; i < N_THREAD && m->lane[i]; i++) {
        const rnn_profile_row *t = &m->lane[i]->row[kernel];
        rnn_profile_row *s = &sum;
        if (t->n == 0)
            continue;
        double n = (double)s->n, k = (double)t->n, apart = t->mean - s->mean;
        if (s->n == 0 || t->min < s->min)
            s->min = t->min, s->min_at = t->min_at;
        if (s->n == 0 || t->max > s->max)
            s->max = t->max, s->max_at = t->max_at;
        s->std += t->std + apart * apart * n * k / (n + k);
        s->mean += apart * k / (n + k);
        s->total += t->total;
        s->n += t->n;
    }
    return sum;
}

/* ---- what the engine calls ---- */

double rnn__profile_fires(struct rnn__profile *p, int event)
{
    double now = rnn__seconds();
    for (int i = 0; i < N_SPAN; i++)
        if (span_list[i].end == event && p->begin[i] > 0) {
            rnn__profile_add(&p->span[i], now - p->begin[i]);
            draw(p, span_list[i].name, p->begin[i], now);
            p->begin[i] = 0;
        }
    if (event == RNN_TIME_ITERATION_COMPLETED)
        draw_kernels(p);
    return now;
}

void rnn__profile_fired(struct rnn__profile *p, int event, bool had_handlers, double begin)
{
    double now = rnn__seconds();
    if (had_handlers && event < RNN_EVENT_COUNT)
        rnn__profile_add(&p->event[event], now - begin);
    for (int i = 0; i < N_SPAN; i++)
        if (span_list[i].begin == event)
            p->begin[i] = now;
}

void rnn__profile_handler(struct rnn__profile *p, const char *name, double seconds)
{
    int i = 0;
    double now = rnn__seconds();
    while (i < p->n_handler && strcmp(p->handler[i].name, name) != 0)
        i++;
    if (i == N_HANDLER)
        return;
    if (i == p->n_handler)
        p->handler[p->n_handler++].name = name;
    rnn__profile_add(&p->handler[i], seconds);
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
        p->span[i].name = span_list[i].name;
    for (int i = 0; i < RNN_EVENT_COUNT; i++)
        p->event[i].name = rnn_event_name(e, i);
    e->profile = p;
    return open_marker(e) == 0 ? 0 : rnn__fail(e, RNN_ENOMEM, "no memory for a profile");
}

/* Spans, events, handlers, then kernels. */
static bool row_at(const struct rnn__profile *p, int i, rnn_profile_row *out)
{
    const struct {
        const rnn_profile_row *row;
        int n;
    } parts[] = {
        {p->span, N_SPAN}, {p->event, RNN_EVENT_COUNT}, {p->handler, p->n_handler}};
    for (int k = 0; k < 3 && i >= 0; i -= parts[k++].n)
        if (i < parts[k].n) {
            *out = parts[k].row[i];
            return true;
        }
    if (i < 0 || !p->marker || i >= p->marker->model->n_kernel)
        return false;
    *out = kernel_row(p->marker, i);
    return true;
}

int rnn_profile_at(const rnn_engine *e, int i, rnn_profile_row *out)
{
    rnn_profile_row row;
    if (!e->profile || !row_at(e->profile, i, &row))
        return RNN_EINVAL;
    *out = row;
    out->std = row.n > 1 ? sqrt(row.std / (double)row.n) : 0;
    return 0;
}

/* ---- for who draws and prints them ---- */

void rnn__profile_draw(rnn_engine *e, struct rnn__spans *spans, int track)
{
    struct rnn__profile *p = e->profile;
    p->spans = spans;
    p->track = track;
    if (p->marker)
        p->marker->draws = true;
}

bool rnn__profile_has_kernels(const rnn_engine *e) { return e->profile->marker != NULL; }

static int by_total(const void *a, const void *b)
{
    const rnn_profile_row *x = a, *y = b;
    return (x->total < y->total) - (x->total > y->total);
}

int rnn__profile_rows(const rnn_engine *e, rnn_profile_row **out, int *n_kernel)
{
    int n = 0, all = 0;
    rnn_profile_row r;
    while (rnn_profile_at(e, all, &r) == 0)
        all++;
    bool kernels = e->profile && rnn__profile_has_kernels(e);
    int first = all - (kernels ? e->profile->marker->model->n_kernel : 0);
    rnn_profile_row *list = calloc((size_t)all + 1, sizeof *list);
    *out = list;
    *n_kernel = 0;
    for (int i = 0; list && rnn_profile_at(e, i, &r) == 0; i++)
        if (r.n > 0) {
            *n_kernel += i >= first;
            list[n++] = r;
        }
    if (*n_kernel > 0)
        qsort(list + n - *n_kernel, (size_t)*n_kernel, sizeof *list, by_total);
    return n;
}
