/*
 * bench_engine.c — what the engine costs: chunks of a model that computes nothing.
 *
 *     bench_engine [CHUNKS]
 *
 * Prints nanoseconds for each chunk with no handler and with one on an event of each chunk,
 * with 1 and 2 threads: all events of the chunk, its inputs looked up, the state carried
 * on, the team called. The median of nine runs.
 */
#define _POSIX_C_SOURCE 200809L
#include "runtime/fake_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { N_RUN = 9 };

static int compute_nothing(struct rnn_chunk *c, int thread)
{
    if (thread == 0) {
        c->loss = 0;
        c->weight = 1;
    }
    return 0;
}

static int count(rnn_engine *e, int event, void *n)
{
    (void)e, (void)event;
    ++*(long *)n;
    return 0;
}

static int restart(void *user, int64_t pass)
{
    (void)user, (void)pass;
    return 0;
}

/* The batch, once an epoch. */
static int next(void *user, void **batch)
{
    rnn_batch **left = user;
    *batch = left[0];
    left[0] = NULL;
    return 0;
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_engine: %s: %s\n", what, rnn_engine_error(NULL));
    exit(1);
}

/* One more epoch: a batch of so many chunks. */
static double run(rnn_engine *e, rnn_batch *batch, int64_t n_chunk, int epoch)
{
    rnn_batch *left[1] = {batch};
    rnn_iterable data = {.length = 1, .restart = restart, .next = next, .user = left};
    double began = now_ns();
    if (rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = epoch}))
        fail("run");
    return (now_ns() - began) / (double)n_chunk;
}

static double median_ns(int n_thread, long *n_call, int64_t n_chunk)
{
    struct rnn_model model = fake_model;
    model.train = compute_nothing;
    rnn_engine *e;
    if (rnn_tbptt_trainer(
            &e, &model,
            &(rnn_tbptt_options){.threads = n_thread, .tbptt_step = FAKE_STEPS}))
        fail("trainer");
    if (n_call)
        rnn_on(e, RNN_TIME_ITERATION_COMPLETED, NULL, count, n_call);
    int64_t steps = n_chunk * FAKE_STEPS;
    float *series = calloc((size_t)(steps * FAKE_ROWS), sizeof *series);
    if (!series)
        fail("memory");
    rnn_array input[2] = {{.data = series, .steps = steps},
                          {.data = series, .steps = steps}};
    rnn_batch batch = {.steps = steps, .rows = FAKE_ROWS, .n_input = 2, .input = input};
    double ns[N_RUN];
    for (int i = 0; i < N_RUN; i++)
        ns[i] = run(e, &batch, n_chunk, i + 1);
    rnn_close(e);
    free(series);
    qsort(ns, N_RUN, sizeof *ns, compare);
    return ns[N_RUN / 2];
}

int main(int argc, char **argv)
{
    int64_t n_chunk = argc > 1 ? strtoll(argv[1], NULL, 10) : 100000;
    if (n_chunk < 1) {
        fprintf(stderr, "usage: bench_engine [CHUNKS]\n");
        return 2;
    }
    for (int n_thread = 1; n_thread <= 2; n_thread++) {
        long n_call = 0;
        double alone = median_ns(n_thread, NULL, n_chunk);
        double heard = median_ns(n_thread, &n_call, n_chunk);
        printf("%d thread%s: %.0f ns a chunk, %.0f ns with a handler (called %ld times)\n",
               n_thread, n_thread > 1 ? "s" : "", alone, heard, n_call);
    }
    return 0;
}
