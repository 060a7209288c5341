/*
 * bench_time.c — a model and the time of its chunks.
 *
 * What is timed is the trainer's own step: an engine with handlers, made by
 * rnn_tbptt_trainer, on random data of the spec's shapes. A chunk lasts from the
 * TIME_ITERATION_COMPLETED before it (the first of a batch: from its
 * TIME_ITERATION_STARTED) to its own, so events count and the making of data does not.
 *
 * Variants take turns in slices, so that a slow spell of the machine meets them all.
 */
#include "bench_room.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CHUNKS = 2000 }; /* whose kernels are kept */
enum { N_SLICE = 4, MAX_SAMPLES = 1 << 18, MIN_SAMPLES = 2 };
static const double warm_up_seconds = 1, part_seconds = 0.5;

/* ---- times ---- */

Samples samples_new(Arena *arena)
{
    return (Samples){.us = NEW_ARRAY(arena, double, MAX_SAMPLES)};
}

static void samples_add(Samples *s, double seconds)
{
    if (s->n < MAX_SAMPLES)
        s->us[s->n++] = 1e6 * seconds;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double quantile(Samples *s, double part)
{
    if (s->n == 0)
        return NAN;
    qsort(s->us, (size_t)s->n, sizeof *s->us, by_value);
    return s->us[(int)(part * (s->n - 1) + 0.5)];
}

/* ---- the clock of kernels ---- */

static void on_mark(struct rnn_marker *base, int32_t thread, int32_t kernel)
{
    Clock *c = (Clock *)(void *)base;
    if (thread != 0)
        return;
    double t = rnn__seconds();
    if (c->running >= 0)
        c->current[c->running] += t - c->since;
    c->running = kernel;
    c->since = t;
}

void clock_open(Arena *arena, Clock *c, int n_kernel)
{
    *c = (Clock){.base = {.mark = on_mark},
                 .running = -1,
                 .n_kernel = n_kernel,
                 .current = NEW_ARRAY(arena, double, n_kernel + 1),
                 .spent = NEW_ARRAY(arena, double, (int64_t)MAX_CHUNKS *n_kernel + 1)};
}

static void keep_chunk(Clock *c, bool warm)
{
    if (warm && c->n_chunk < MAX_CHUNKS)
        memcpy(c->spent + (int64_t)c->n_chunk++ * c->n_kernel, c->current,
               (size_t)c->n_kernel * sizeof *c->current);
    memset(c->current, 0, (size_t)c->n_kernel * sizeof *c->current);
}

/* ---- a model being timed ---- */

static int on_started(rnn_engine *e, int event, void *user)
{
    Variant *v = user;
    (void)event;
    if (rnn_state_of(e)->chunk == 0)
        v->last = rnn__seconds();
    return 0;
}

static int on_completed(rnn_engine *e, int event, void *user)
{
    Variant *v = user;
    double t = rnn__seconds();
    (void)event;
    if (v->warm)
        samples_add(v->into, t - v->last);
    if (v->clock.current)
        keep_chunk(&v->clock, v->warm);
    v->last = t;
    if (--v->left <= 0 && t >= v->deadline)
        rnn_terminate(e, true);
    return 0;
}

static int on_part(rnn_engine *e, int event, void *user)
{
    Variant *v = user;
    double t = rnn__seconds();
    (void)e;
    samples_add(&v->part[event == RNN_BACKWARD_COMPLETED ? PART_GRAD : PART_UPDATE],
                t - v->last);
    v->last = t;
    return 0;
}

static int on_part_started(rnn_engine *e, int event, void *user)
{
    Variant *v = user;
    (void)e, (void)event;
    v->last = rnn__seconds();
    return 0;
}

static int engine_failed(const rnn_engine *e)
{
    fprintf(stderr, "rnnc bench: %s\n", rnn_engine_error(e));
    return EXIT_MACHINE;
}

static int hang(rnn_engine *e, int event, rnn_handler *fn, Variant *v)
{
    int handle = rnn_on(e, event, NULL, fn, v);
    if (handle < 0)
        engine_failed(e);
    return handle;
}

/* Sequences of the data when they are random as well, else eight chunks. */
static int64_t sequence_steps(const Unit *u)
{
    int64_t steps = 8 * u->steps_max;
    return spec_flag(u->spec, "data.train.random", false)
               ? spec_integer(u->spec, "data.train.steps", steps)
               : steps;
}

static int open_data(Variant *v)
{
    rnn_source source;
    struct rnn__fault fault = {0};
    const Unit *u = v->unit;
    v->data = json_pack("{s:b, s:I, s:I}", "random", 1, "batch", (json_int_t)u->rows_max,
                        "steps", (json_int_t)sequence_steps(u));
    struct rnn__source_setup setup = {.json = v->data, .where = "data.train", .seed = 1};
    int code = rnn__source_make(&source, &setup, &fault);
    if (code == 0)
        code = rnn_source_open(&v->run, &source, v->compiled.model);
    if (code == 0)
        return EXIT_DONE;
    fprintf(stderr, "rnnc bench: %s\n", fault.code ? fault.sentence : v->run.sentence);
    v->run.source.close = NULL;
    return EXIT_DATA;
}

static int open_engine(Variant *v, int threads)
{
    rnn_tbptt_options o = {.threads = threads, .seed = 1, .terminate_at_chunk = true};
    if (rnn_tbptt_trainer(&v->engine, v->compiled.model, &o) < 0)
        return engine_failed(NULL);
    if (hang(v->engine, RNN_TIME_ITERATION_STARTED, on_started, v) < 0 ||
        hang(v->engine, RNN_TIME_ITERATION_COMPLETED, on_completed, v) < 0)
        return EXIT_MACHINE;
    return EXIT_DONE;
}

int variant_open(Arena *arena, const CommandLine *c, bool fuse, int threads, Variant *v)
{
    int status = EXIT_DONE;
    CommandLine own = *c;
    own.options.fuse = fuse;
    own.options.marks = v->marked;
    v->chunk = samples_new(arena);
    v->unit = command_unit(arena, &own, &status);
    if (!v->unit)
        return status;
    if (!pipeline_run(v->unit, NULL))
        return command_mistakes(v->unit);
    if (c->verbose && fuse) /* unfused, everything is refused */
        explain_notes(v->unit->plan, v->unit->diag);
    status = compiled_make(v->unit, false, true, &v->compiled);
    if (status == EXIT_DONE)
        status = open_data(v);
    return status == EXIT_DONE ? open_engine(v, threads) : status;
}

void variant_close(Variant *v)
{
    rnn_close(v->evaluator);
    rnn_close(v->engine);
    if (v->run.source.close)
        rnn_source_close(&v->run);
    json_decref(v->data);
    compiled_free(&v->compiled);
}

/* Runs an engine of the variant's for so long, and for MIN_SAMPLES chunks at least. */
static int run_slice(Variant *v, rnn_engine *e, double seconds, bool warm)
{
    rnn_run_options o = {.max_epochs = INT32_MAX, .restart = true};
    v->deadline = rnn__seconds() + seconds;
    v->left = MIN_SAMPLES;
    v->warm = warm;
    return rnn_engine_run(e, &v->run.iterable, &o) < 0 ? engine_failed(e) : EXIT_DONE;
}

int time_in_turn(Variant *v, int n, double seconds)
{
    int status = EXIT_DONE;
    for (int i = 0; i < n && status == EXIT_DONE; i++) {
        v[i].into = &v[i].chunk;
        status = run_slice(&v[i], v[i].engine, warm_up_seconds, false);
    }
    for (int slice = 0; slice < N_SLICE; slice++)
        for (int i = 0; i < n && status == EXIT_DONE; i++)
            status = run_slice(&v[i], v[i].engine, seconds / N_SLICE, true);
    return status;
}

int time_parts(Arena *arena, Variant *v)
{
    rnn_tbptt_options o = {.terminate_at_chunk = true};
    Samples chunk = samples_new(arena);
    v->forward = samples_new(arena);
    for (int i = 0; i < N_PART; i++)
        v->part[i] = samples_new(arena);
    if (hang(v->engine, RNN_TIME_ITERATION_STARTED, on_part_started, v) < 0 ||
        hang(v->engine, RNN_BACKWARD_COMPLETED, on_part, v) < 0 ||
        hang(v->engine, RNN_OPTIM_STEP_COMPLETED, on_part, v) < 0)
        return EXIT_MACHINE;
    v->into = &chunk;
    int status = run_slice(v, v->engine, part_seconds, true);
    if (status != EXIT_DONE)
        return status;
    if (rnn_tbptt_evaluator(&v->evaluator, v->engine, &o) < 0)
        return engine_failed(NULL);
    if (hang(v->evaluator, RNN_TIME_ITERATION_STARTED, on_part_started, v) < 0 ||
        hang(v->evaluator, RNN_TIME_ITERATION_COMPLETED, on_completed, v) < 0)
        return EXIT_MACHINE;
    v->into = &v->forward;
    return run_slice(v, v->evaluator, part_seconds, true);
}

/* ---- kernels ---- */

int time_marked(Variant *v)
{
    v->into = &v->chunk;
    rnn__set_marker(v->engine, &v->clock.base);
    int status = run_slice(v, v->engine, part_seconds / 2, false);
    return status == EXIT_DONE ? run_slice(v, v->engine, part_seconds, true) : status;
}
