/*
 * command_bench.c — rnnc bench: the time of a chunk, fused and unfused.
 *
 * Both are timed by turns, then the fused one's parts, then both again in code whose
 * kernels tell a clock of themselves; medians and the outer tenths are reported, beside a
 * peak that the machine has shown in the same run.
 */
#include "bench_room.h"
#include "machine.h"

#include <stdlib.h>
#include <string.h>

/* Fused and unfused, then the same in code with marks. */
enum { N_VARIANT = 4 };
static const double seconds_otherwise = 3;

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
        bench_print_json(v, threads, peak, kernels, kernels + 1);
    else
        bench_print_table(v, threads, peak, kernels, kernels + 1);
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
