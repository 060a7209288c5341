/*
 * harness.h — what the engine's tests share: data that name their batches, and a
 * trace of the events as the specification writes it: S0.0 ES1.0 GS1.0 … with
 * [epoch.iteration] behind each event.
 */
#ifndef RNN_TEST_HARNESS_H
#define RNN_TEST_HARNESS_H

#include "check.h"
#include "rnn.h"

#include <stdlib.h>

enum { TRACE_BYTES = 8192 };

/* ---- data: n batches "a", "b", … ---- */

struct source {
    int n, at;
    bool one_shot;
    int64_t pass;
    int fail_at; /* the n-th next (from 1) raises RNN_EIO; 0: never */
    int n_next, n_seek;
    const char *name;
};

static inline int source_restart(void *user, int64_t pass)
{
    struct source *s = user;
    s->pass = pass;
    if (!s->one_shot || pass == 0)
        s->at = 0;
    return 0;
}

static inline int source_next(void *user, void **batch)
{
    struct source *s = user;
    static char names[] = "a\0b\0c\0d\0e\0f\0g\0h\0";
    if (++s->n_next == s->fail_at)
        return RNN_EIO;
    *batch = s->at < s->n ? &names[2 * s->at++] : NULL;
    return 0;
}

static inline int source_seek(void *user, int64_t position)
{
    struct source *s = user;
    s->n_seek++;
    s->at = (int)position;
    return 0;
}

static inline rnn_iterable source_iterable(struct source *s, bool sized, bool seeks)
{
    return (rnn_iterable){.length = sized ? s->n : RNN_NONE,
                          .restart = source_restart,
                          .next = source_next,
                          .seek = seeks ? source_seek : NULL,
                          .user = s};
}

/* ---- the trace ---- */

struct trace {
    char text[TRACE_BYTES];
    char batches[256];
};

static const char *const short_name[RNN_EVENT_COUNT] = {
    [RNN_STARTED] = "S",
    [RNN_EPOCH_STARTED] = "ES",
    [RNN_EPOCH_COMPLETED] = "EC",
    [RNN_GET_BATCH_STARTED] = "GS",
    [RNN_GET_BATCH_COMPLETED] = "GC",
    [RNN_ITERATION_STARTED] = "IS",
    [RNN_ITERATION_COMPLETED] = "IC",
    [RNN_DATALOADER_STOP_ITERATION] = "STOP",
    [RNN_EXCEPTION_RAISED] = "EXC",
    [RNN_TERMINATE] = "TERM",
    [RNN_TERMINATE_SINGLE_EPOCH] = "TERM1",
    [RNN_INTERRUPT] = "INT",
    [RNN_COMPLETED] = "C",
    [RNN_TIME_ITERATION_STARTED] = "TS",
    [RNN_TIME_ITERATION_COMPLETED] = "TC",
    [RNN_STATE_RESET] = "RESET",
    [RNN_BACKWARD_COMPLETED] = "BC",
    [RNN_OPTIM_STEP_COMPLETED] = "OC",
    [RNN_SAVED_CHECKPOINT] = "SAVED",
};

static inline void append(char *text, size_t capacity, const char *more)
{
    size_t n = strlen(text), gap = n > 0, length = strlen(more);
    if (n + gap + length + 1 > capacity)
        return; /* cut short: the comparison will fail */
    if (gap)
        text[n] = ' ';
    memcpy(text + n + gap, more, length + 1);
}

static inline int trace_event(rnn_engine *e, int event, void *user)
{
    struct trace *t = user;
    const rnn_engine_state *s = rnn_state_of(e);
    char entry[64];
    snprintf(entry, sizeof entry, "%s%d.%d", short_name[event], (int)s->epoch,
             (int)s->iteration);
    if (event == RNN_TERMINATE_SINGLE_EPOCH)
        snprintf(entry, sizeof entry, "TERM1(%d)", (int)s->iter_counter);
    append(t->text, sizeof t->text, entry);
    return 0;
}

/* Traces all events of the run but EXC, whose handlers change what happens. */
static inline void trace_on(rnn_engine *e, struct trace *t)
{
    for (int event = 0; event < RNN_EVENT_COUNT; event++)
        if (event != RNN_EXCEPTION_RAISED)
            CHECK(rnn_on(e, event, NULL, trace_event, t) > 0, "%s", rnn_engine_error(e));
}

/* A process that notes the batch's name, and the step in the trace. */
static inline int trace_process(rnn_engine *e, void *batch, rnn_output *output, void *user)
{
    struct trace *t = user;
    (void)e;
    append(t->batches, sizeof t->batches, batch ? (const char *)batch : "-");
    *output = (rnn_output){.value = (double)rnn_state_of(e)->iteration, .null = false};
    return 0;
}

/* ---- notices ---- */

struct notices {
    int n;
    char last[512];
};

static inline void count_notice(void *user, const char *sentence)
{
    struct notices *n = user;
    n->n++;
    snprintf(n->last, sizeof n->last, "%s", sentence);
}

/* ---- memory: counts what is live, fails the n-th allocation ---- */

struct budget {
    int n_made, live, fail_at;
};

static inline void *budget_allocate(void *user, size_t bytes, size_t alignment)
{
    struct budget *b = user;
    void *memory = NULL;
    if (++b->n_made == b->fail_at)
        return NULL;
    if (alignment < sizeof(void *))
        alignment = sizeof(void *);
    if (posix_memalign(&memory, alignment, bytes) != 0)
        return NULL;
    b->live++;
    return memory;
}

static inline void budget_release(void *user, void *memory)
{
    struct budget *b = user;
    b->live--;
    free(memory);
}

static inline rnn_allocator budget_allocator(struct budget *b)
{
    return (rnn_allocator){budget_allocate, budget_release, b};
}

#endif
