/*
 * bench_room.h — what the files of `rnnc bench` share; nobody else includes it.
 *
 *     command_bench.c  the command: which models are timed, in which order
 *     bench_time.c     a model and the time of its chunks, whole and by parts
 *     bench_kernels.c  the work of kernels beside their time, and the machine's peak
 *     bench_report.c   the table, and JSON
 */
#ifndef RNNC_BENCH_ROOM_H
#define RNNC_BENCH_ROOM_H

#include <jansson.h>

#include "commands.h"
#include "engine.h"
#include "report.h"
#include "source.h"
#include "threads.h"

/* ---- bench_time.c ---- */

/* Durations in microseconds; what is beyond MAX_SAMPLES is not kept. */
typedef struct {
    double *us;
    int n;
} Samples;

/* Seconds of the first thread. */
typedef struct {
    struct rnn_marker base; /* first: it is what kernels know */
    int running;            /* kernel; -1: none */
    double since;
    int n_kernel, n_chunk;
    double *current; /* [n_kernel]: in this chunk */
    double *spent;   /* [MAX_CHUNKS][n_kernel] */
} Clock;

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

Samples samples_new(Arena *arena);
/* The value below which `part` of the samples lie; NaN: there are none. */
double quantile(Samples *s, double part);

void clock_open(Arena *arena, Clock *c, int n_kernel);

int variant_open(Arena *arena, const CommandLine *c, bool fuse, int threads, Variant *v);
void variant_close(Variant *v);
/* Chunks of n variants, in slices by turns. */
int time_in_turn(Variant *v, int n, double seconds);
/* The fused chunk's parts: listened to between backward and update, then forward alone. */
int time_parts(Arena *arena, Variant *v);
/* Runs marked code, its clock set: what each kernel took of every chunk. */
int time_marked(Variant *v);

/* ---- bench_kernels.c ---- */

typedef struct {
    const char *name;
    double us, gflops, share;
    double gbytes, expected_us; /* of nests: 10^9 bytes a second; by the cost model */
} Kernel;

typedef struct {
    Kernel *at;
    int n, capacity;
} Kernels;

/* GFLOP/s; 0 when it cannot be measured, after a message. */
double measure_peak(Arena *arena, const Unit *u, int threads);
/* The whole chunk and its parts. */
Kernels kernels_of(Arena *arena, Variant *v, double peak);
/* Runs the variant's marked code and adds its kernels. */
int time_kernels(Arena *arena, Variant *v, double peak, Kernels *into);

/* ---- bench_report.c ---- */

/* v: fused and unfused; nests: the kernels of each. */
void bench_print_json(Variant *v, int threads, double peak, const Kernels *k,
                      const Kernels *nests);
void bench_print_table(Variant *v, int threads, double peak, const Kernels *k,
                       const Kernels *nests);

#endif
