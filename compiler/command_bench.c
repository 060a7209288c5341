/*
 * command_bench.c — rnnc bench: the time of a chunk, fused and unfused.
 *
 * What is timed is the trainer's own step: an engine with handlers, made by
 * rnn_tbptt_trainer, on random data of the spec's shapes. A chunk lasts from the
 * TIME_ITERATION_COMPLETED before it (the first of a batch: from its
 * TIME_ITERATION_STARTED) to its own, so events count and the making of data does not.
 *
 * Fused and unfused take turns in slices, so that a slow spell of the machine meets both;
 * medians and the outer tenths are reported. The peak is measured in the same run, on as
 * many threads: nothing but fma, compiled for the same level (emit/peak.c).
 *
 * Kernels are the plan's nests, and scans whole. They are timed in a run of their own, in
 * code with marks (emit/kernels.c), on the first thread; medians over chunks.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "commands.h"
#include "engine.h"
#include "machine.h"
#include "report.h"
#include "source.h"
#include "threads.h"

/* Fused and unfused, then the same in code with marks. */
enum { N_VARIANT = 4 };
enum { MAX_CHUNKS = 2000 }; /* whose nests are kept */
enum { N_SLICE = 4, MAX_SAMPLES = 1 << 18, MIN_SAMPLES = 2 };
static const double warm_up_seconds = 1, seconds_otherwise = 3, part_seconds = 0.5;

/* ---- times ---- */

/* Durations in microseconds; what is beyond MAX_SAMPLES is not kept. */
typedef struct {
    double *us;
    int n;
} Samples;

static Samples samples_new(Arena *arena)
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

/* The value below which `part` of the samples lie; NaN: there are none. */
static double quantile(Samples *s, double part)
{
    if (s->n == 0)
        return NAN;
    qsort(s->us, (size_t)s->n, sizeof *s->us, by_value);
    return s->us[(int)(part * (s->n - 1) + 0.5)];
}

/* ---- arithmetic ---- */

/* How often a nest of the stage runs its contraction in a full chunk. */
static double points_of(const Unit *u, const Stage *s, const Nest *nest)
{
    double steps = (double)u->steps_max, rows = (double)u->rows_max;
    switch (s->kind) {
    case STAGE_ONCE: return 1;
    case STAGE_ROWS: return rows;
    case STAGE_TIME: return steps * rows;
    case STAGE_SUM:
        return (nest->sum & AXIS_TIME ? steps : 1) * (nest->sum & AXIS_ROW ? rows : 1);
    }
    BUG("stage of kind %d", (int)s->kind);
}

static double flops_of_nest(const Unit *u, const Stage *s, const Nest *nest)
{
    const Contraction *c = nest->contraction;
    if (!c)
        return 0;
    return 2 * (double)c->n_batch * (double)c->m * (double)c->n * (double)c->k *
           points_of(u, s, nest);
}

/* Of all products of a procedure, in a full chunk. */
static double flops_of(const Unit *u, ProcId proc)
{
    double sum = 0;
    const Procedure *p = &u->plan->proc[proc];
    for (int i = 0; i < p->n_stage; i++)
        for (int g = 0; g < p->stage[i].n_group; g++)
            for (int n = 0; n < p->stage[i].group[g].n_nest; n++)
                sum += flops_of_nest(u, &p->stage[i], &p->stage[i].group[g].nest[n]);
    return sum;
}

/* ---- the clock of kernels ---- */

/* Seconds of the first thread. */
typedef struct {
    struct rnn_marker base; /* first: it is what kernels know */
    int running;            /* kernel; -1: none */
    double since;
    int n_kernel, n_chunk;
    double *current; /* [n_kernel]: in this chunk */
    double *spent;   /* [MAX_CHUNKS][n_kernel] */
} Clock;

static void on_mark(struct rnn_marker *base, int32_t thread, int32_t kernel)
{
    Clock *c = (Clock *)(void *)base;
    if (thread != 0)
        return;
    double t = command_seconds();
    if (c->running >= 0)
        c->current[c->running] += t - c->since;
    c->running = kernel;
    c->since = t;
}

static void keep_chunk(Clock *c, bool warm)
{
    if (warm && c->n_chunk < MAX_CHUNKS)
        memcpy(c->spent + (int64_t)c->n_chunk++ * c->n_kernel, c->current,
               (size_t)c->n_kernel * sizeof *c->current);
    memset(c->current, 0, (size_t)c->n_kernel * sizeof *c->current);
}

/* ---- a model being timed ---- */

/* The parts of a chunk, in order, when handlers listen in between. */
enum { PART_GRAD, PART_UPDATE, N_PART };

typedef struct {
    Unit *unit;
    Compiled compiled;
    json_t *data;
    rnn_source_run run;
    rnn_engine *engine, *evaluator;
    double last, deadline; /* of this slice */
    int left;              /* samples that the slice must still take */
    bool warm;
    bool marked; /* its code tells the clock of kernels */
    Clock clock;
    Samples chunk, part[N_PART], forward;
    Samples *into; /* chunk or forward */
} Variant;

static int on_started(rnn_engine *e, int event, void *user)
{
    Variant *v = user;
    (void)event;
    if (rnn_state_of(e)->chunk == 0)
        v->last = command_seconds();
    return 0;
}

static int on_completed(rnn_engine *e, int event, void *user)
{
    Variant *v = user;
    double t = command_seconds();
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
    double t = command_seconds();
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
    v->last = command_seconds();
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

static int variant_open(Arena *arena, const CommandLine *c, bool fuse, int threads,
                        Variant *v)
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

static void variant_close(Variant *v)
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
    v->deadline = command_seconds() + seconds;
    v->left = MIN_SAMPLES;
    v->warm = warm;
    return rnn_engine_run(e, &v->run.iterable, &o) < 0 ? engine_failed(e) : EXIT_DONE;
}

static int time_in_turn(Variant *v, int n, double seconds)
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

/* The fused chunk's parts: listened to between backward and update, then forward alone. */
static int time_parts(Arena *arena, Variant *v)
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

/* ---- the machine's peak ---- */

/* GFLOP/s of the procedure on the team, the best of several rounds. */
static double best_rate(struct rnn__team *team, int threads, const struct rnn_model *peak,
                        double *out)
{
    double best = 0;
    struct rnn_chunk chunk = {
        .steps = 1 << 20, .params = out, .team = rnn__team_base(team)};
    for (int i = 0; i < 40; i++) {
        double start = command_seconds();
        rnn__team_run(team, peak->step, &chunk);
        double rate = (double)peak->output_size * (double)chunk.steps * threads /
                      (command_seconds() - start);
        best = rate > best ? rate : best;
    }
    return best / 1e9;
}

/* 0 when it cannot be measured, after a message. */
static double measure_peak(Arena *arena, const Unit *u, int threads)
{
    double peak = 0;
    struct rnn__team *team = NULL;
    const rnn_allocator *a = rnn__allocator_or_default(NULL);
    EmitModule *m = emit_peak(arena, u->diag, u->target, u->graph->dtype);
    Jit *jit = m ? jit_new(m, u->diag) : NULL;
    diag_flush(u->diag);
    if (jit && rnn__team_new(&team, threads, a) == 0)
        peak = best_rate(team, threads, jit_model(jit), NEW_ARRAY(arena, double, threads));
    rnn__team_free(team, a);
    if (jit)
        jit_free(jit);
    emit_free(m);
    return peak;
}

/* ---- the report ---- */

typedef struct {
    const char *name;
    double us, gflops, share;
    double gbytes, expected_us; /* of nests: 10^9 bytes a second; by the cost model */
} Kernel;

typedef struct {
    Kernel *at;
    int n, capacity;
} Kernels;

/* Nothing when the part was never seen: a model without a loss has no backward. */
static void add_kernel(Arena *arena, Kernels *k, const char *name, Samples *s, double flops,
                       double peak)
{
    double us = quantile(s, 0.5), gflops = flops / us / 1e3;
    if (s->n > 0)
        *PUSH(arena, k->at, k->n, k->capacity) =
            (Kernel){.name = name,
                     .us = us,
                     .gflops = gflops,
                     .share = peak > 0 ? gflops / peak : 0};
}

/* The whole chunk and its parts. */
static Kernels kernels_of(Arena *arena, Variant *v, double peak)
{
    Kernels k = {0};
    const Unit *u = v->unit;
    double grad = flops_of(u, PROC_GRAD), update = flops_of(u, PROC_UPDATE);
    add_kernel(arena, &k, "train", &v->chunk, grad + update, peak);
    add_kernel(arena, &k, "grad", &v->part[PART_GRAD], grad, peak);
    add_kernel(arena, &k, "update", &v->part[PART_UPDATE], update, peak);
    add_kernel(arena, &k, "eval", &v->forward, flops_of(u, PROC_EVAL), peak);
    return k;
}

/* ---- kernels of the plan ---- */

/* The cost of every kernel, numbered as the emitter numbers them (emit/kernels.c): nests,
   or a scan whole; what `update` shares with `pack` once. */
typedef struct {
    const Group *group;
    const Nest *nest; /* NULL: the group, a scan */
    Cost cost;
} Work;

typedef struct {
    Work *at;
    int n, capacity;
} Works;

static void add_work(Arena *arena, Works *w, const Plan *p, const Stage *s,
                     const Group *group, const Nest *nest)
{
    Work work = {.group = group, .nest = nest};
    for (int i = 0; i < w->n; i++)
        if (w->at[i].group == group && w->at[i].nest == nest)
            return;
    for (int i = 0; i < group->n_nest; i++)
        if (!nest || nest == &group->nest[i])
            cost_add(&work.cost, cost_of_nest(p, s, group, &group->nest[i], ANY_PHASE));
    *PUSH(arena, w->at, w->n, w->capacity) = work;
}

static Works works_of(Arena *arena, const Plan *p)
{
    Works w = {0};
    for (int id = 0; id < PROC_COUNT; id++)
        for (int s = 0; s < p->proc[id].n_stage; s++)
            for (int g = 0; g < p->proc[id].stage[s].n_group; g++) {
                const Stage *stage = &p->proc[id].stage[s];
                const Group *group = &stage->group[g];
                for (int n = 0; n < (group->scan ? 1 : group->n_nest); n++)
                    add_work(arena, &w, p, stage, group,
                             group->scan ? NULL : &group->nest[n]);
            }
    return w;
}

/* Over the chunks; what the machine did meanwhile is in a few of them only. */
static double median_us(Arena *arena, const Clock *c, int kernel)
{
    Samples s = {NEW_ARRAY(arena, double, c->n_chunk), c->n_chunk};
    for (int i = 0; i < c->n_chunk; i++)
        s.us[i] = 1e6 * c->spent[(int64_t)i * c->n_kernel + kernel];
    return quantile(&s, 0.5);
}

static void add_times(Arena *arena, const Variant *v, double peak, Kernels *into)
{
    Works works = works_of(arena, v->unit->plan);
    if (works.n != v->clock.n_kernel)
        BUG("%d kernels in the plan, %d in the code", works.n, v->clock.n_kernel);
    for (int i = 0; i < works.n; i++) {
        const Cost *cost = &works.at[i].cost;
        Kernel k = {.name = v->compiled.model->kernel[i].name,
                    .us = median_us(arena, &v->clock, i)};
        if (!(k.us > 0))
            continue;
        k.gflops = cost->product / k.us / 1e3;
        k.gbytes = (cost->read_bytes + cost->written_bytes) / k.us / 1e3;
        k.share = peak > 0 ? k.gflops / peak : 0;
        k.expected_us = peak > 0 ? cost_seconds(*cost, 1e9 * peak) * 1e6 : 0;
        *PUSH(arena, into->at, into->n, into->capacity) = k;
    }
}

/* Runs the variant's marked code and adds its kernels. */
static int time_kernels(Arena *arena, Variant *v, double peak, Kernels *into)
{
    int n = v->compiled.model->n_kernel;
    v->clock = (Clock){.base = {.mark = on_mark},
                       .running = -1,
                       .n_kernel = n,
                       .current = NEW_ARRAY(arena, double, n + 1),
                       .spent = NEW_ARRAY(arena, double, (int64_t)MAX_CHUNKS *n + 1)};
    v->into = &v->chunk;
    rnn__set_marker(v->engine, &v->clock.base);
    int status = run_slice(v, v->engine, part_seconds / 2, false);
    if (status == EXIT_DONE)
        status = run_slice(v, v->engine, part_seconds, true);
    if (status == EXIT_DONE)
        add_times(arena, v, peak, into);
    return status;
}

static void print_times_json(const char *name, Samples *s)
{
    printf("\"%s\": {\"us_per_chunk\": %.3f, \"p10_us\": %.3f, \"p90_us\": %.3f, "
           "\"chunks\": %d}, ",
           name, quantile(s, 0.5), quantile(s, 0.1), quantile(s, 0.9), s->n);
}

static void print_nests_json(const char *name, const Kernels *k)
{
    printf(", \"%s\": [", name);
    for (int i = 0; i < k->n; i++)
        printf("%s{\"name\": \"%s\", \"us\": %.4f, \"expected_us\": %.4f, "
               "\"gflops\": %.2f, \"share\": %.4f, \"gbytes_per_s\": %.2f}",
               i ? ", " : "", k->at[i].name, k->at[i].us, k->at[i].expected_us,
               k->at[i].gflops, k->at[i].share, k->at[i].gbytes);
    printf("]");
}

static void print_json(Variant *v, int threads, double peak, const Kernels *k,
                       const Kernels *nests)
{
    printf("{");
    print_times_json("fused", &v[0].chunk);
    print_times_json("unfused", &v[1].chunk);
    printf("\"peak_gflops\": %.1f, \"threads\": %d, \"target\": \"%s\", \"kernels\": [",
           peak, threads, v->unit->target->name);
    for (int i = 0; i < k->n; i++)
        printf("%s{\"name\": \"%s\", \"us\": %.3f, \"gflops\": %.2f, \"share\": %.4f}",
               i ? ", " : "", k->at[i].name, k->at[i].us, k->at[i].gflops, k->at[i].share);
    printf("]");
    print_nests_json("plan", nests);
    print_nests_json("unfused_plan", nests + 1);
    printf("}\n");
}

static void print_times(const char *name, Samples *s)
{
    printf("%-10s %12.1f %12.1f %12.1f %10d\n", name, quantile(s, 0.5), quantile(s, 0.1),
           quantile(s, 0.9), s->n);
}

/* What printf's width must be for a text to fill so many columns: printf counts bytes, and
   a letter's later bytes take no column. */
static int width_for(int columns, const char *text)
{
    for (const char *p = text; *p; p++)
        columns += ((unsigned char)*p & 0xc0) == 0x80;
    return columns;
}

/* Those that take a hundredth of a chunk, in the order in which they run. */
static void print_nests(const char *title, const Kernels *k)
{
    double all = 0, shown = 0;
    for (int i = 0; i < k->n; i++)
        all += k->at[i].us;
    if (k->n == 0)
        return;
    printf("\n%-44s %10s %10s %9s %8s %8s\n", title, "us", "expected", "GFLOP/s", "of peak",
           "GB/s");
    for (int i = 0; i < k->n; i++) {
        const Kernel *n = &k->at[i];
        if (n->us < 0.01 * all)
            continue;
        shown += n->us;
        printf("%-*s %10.2f %10.2f %9.1f %6.1f %% %8.1f\n", width_for(44, n->name), n->name,
               n->us, n->expected_us, n->gflops, 100 * n->share, n->gbytes);
    }
    printf("%-44s %10.2f\n%-44s %10.2f\n", "all others", all - shown, "all", all);
}

static void print_table(Variant *v, int threads, double peak, const Kernels *k,
                        const Kernels *nests)
{
    const Unit *u = v->unit;
    printf("%s: chunks of %lld steps x %lld rows, %d thread%s, %s, peak %.1f GFLOP/s\n\n",
           u->spec->name, (long long)u->steps_max, (long long)u->rows_max, threads,
           threads == 1 ? "" : "s", u->target->name, peak);
    printf("%-10s %12s %12s %12s %10s\n", "us a chunk", "median", "10 %", "90 %", "chunks");
    print_times("fused", &v[0].chunk);
    print_times("unfused", &v[1].chunk);
    printf("\n%-10s %12s %12s %12s\n", "fused", "us", "GFLOP/s", "of peak");
    for (int i = 0; i < k->n; i++)
        printf("%-10s %12.1f %12.1f %10.1f %%\n", k->at[i].name, k->at[i].us,
               k->at[i].gflops, 100 * k->at[i].share);
    print_nests("fused, by kernel (the first thread's time)", nests);
    print_nests("unfused, by kernel", nests + 1);
}

/* ---- the command ---- */

typedef struct {
    int threads; /* 0: as many as the machine has */
    double seconds;
} BenchOptions;

typedef enum { OPTION_OTHER, OPTION_READ, OPTION_WRONG } OptionFound;

/* The number behind --name, least <= number <= most. */
static OptionFound read_number(const CommandLine *c, int *at, const char *name,
                               double least, double most, double *out)
{
    const char *arg = c->rest[*at], *text = "";
    size_t length = strlen(name);
    if (strncmp(arg, name, length) != 0 || (arg[length] && arg[length] != '='))
        return OPTION_OTHER;
    if (arg[length])
        text = arg + length + 1;
    else if (*at + 1 < c->n_rest)
        text = c->rest[++*at];
    char *end;
    double number = strtod(text, &end);
    if (*text && !*end && number >= least && number <= most) {
        *out = number;
        return OPTION_READ;
    }
    fprintf(stderr, "rnnc bench: %s wants a number from %g to %g, not '%s'\n", name, least,
            most, text);
    return OPTION_WRONG;
}

static bool read_options(const CommandLine *c, BenchOptions *o)
{
    double threads = 0;
    *o = (BenchOptions){.seconds = seconds_otherwise};
    for (int i = 0; i < c->n_rest; i++) {
        const char *arg = c->rest[i];
        OptionFound found = read_number(c, &i, "--threads", 1, PLAN_MAX_THREADS, &threads);
        if (found == OPTION_OTHER)
            found = read_number(c, &i, "--secs", 0.01, 3600, &o->seconds);
        if (found == OPTION_OTHER)
            fprintf(stderr,
                    "rnnc bench: unknown option %s; besides the compiler's there are "
                    "--threads N and --secs S\n",
                    arg);
        if (found != OPTION_READ)
            return false;
    }
    o->threads = (int)threads;
    return true;
}

static int team_size(const struct rnn_model *m, int wanted)
{
    int n = wanted ? wanted : rnn__core_count();
    return n < m->threads_max ? n : m->threads_max;
}

static int bench(Arena *arena, const CommandLine *c, const BenchOptions *o,
                 Variant v[N_VARIANT])
{
    int status = EXIT_DONE;
    Kernels kernels[3] = {{0}}; /* parts; of the fused plan; of the unfused one */
    for (int i = 0; i < N_VARIANT && status == EXIT_DONE; i++) {
        v[i].marked = i >= 2;
        status = variant_open(arena, c, i % 2 == 0, o->threads, &v[i]);
    }
    if (status == EXIT_DONE)
        status = time_in_turn(v, 2, o->seconds);
    if (status == EXIT_DONE)
        status = time_parts(arena, &v[0]);
    if (status != EXIT_DONE)
        return status;
    int threads = team_size(v->compiled.model, o->threads);
    double peak = measure_peak(arena, v->unit, threads);
    for (int i = 0; i < 2 && status == EXIT_DONE; i++)
        status = time_kernels(arena, &v[2 + i], peak, &kernels[1 + i]);
    if (status != EXIT_DONE)
        return status;
    kernels[0] = kernels_of(arena, &v[0], peak);
    if (c->json)
        print_json(v, threads, peak, kernels, kernels + 1);
    else
        print_table(v, threads, peak, kernels, kernels + 1);
    return EXIT_DONE;
}

int command_bench(Arena *arena, const CommandLine *c)
{
    BenchOptions o;
    if (!read_options(c, &o))
        return EXIT_USAGE;
    Variant *v = NEW_ARRAY(arena, Variant, N_VARIANT);
    int status = bench(arena, c, &o, v);
    for (int i = 0; i < N_VARIANT; i++)
        variant_close(&v[i]);
    return status;
}
