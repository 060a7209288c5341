/*
 * window.c — the window in use and the next one.
 *
 *     window[0]                      window[1], being read
 *     |----- steps of a batch -----|-----                 -----|
 *          |chunk|    the kernel's
 *
 * A batch that fits a window is handed out whole; of a larger one each chunk is asked for
 * (rnn_batch.load), in any order, though the next window is read where chunks are expected
 * that go on as the last two did. So memory does not grow with sequences.
 *
 * What a window holds depends on its place alone: which thread reads it, and when,
 * changes nothing.
 */
#include "window.h"

#include "prefetch.h"
#include "source.h"

#include <stdlib.h>

enum { WINDOW_BYTES = 1 << 21, ALIGNED = 16 }; /* more bytes where a chunk needs them */

/* Steps from at.step0 on of a batch. */
struct window {
    bool filled;
    struct rnn__place at;
    int64_t steps;
    char **input; /* [n_input] into data */
    char *data;
    struct rnn__fault fault; /* code 0: all is well */
};

struct rnn__windows {
    struct rnn__windowed source;
    int64_t room;            /* steps of a window */
    struct window window[2]; /* the one in use, the other */
    struct rnn__prefetch *prefetch;
    struct rnn__place next; /* what the thread reads into window[1], or has read … */
    bool asked;             /* … if it was asked since window[1] was another */

    struct rnn__place now; /* of the last load */
    char *sentence;        /* the caller's, for faults of load */
    size_t capacity;
};

/* ---- batches ---- */

static int64_t pieces(int64_t all, int64_t one, bool drop_last)
{
    return all / one + (all % one != 0 && !drop_last);
}

int64_t rnn__grid_batches(const struct rnn__grid *g)
{
    return pieces(g->rows, g->batch_rows, g->drop_last) *
           pieces(g->steps, g->batch_steps, g->drop_last);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

void rnn__grid_batch(const struct rnn__grid *g, int64_t position,
                     struct rnn__rectangle *out)
{
    int64_t across = pieces(g->steps, g->batch_steps, g->drop_last);
    int64_t row = position / across * g->batch_rows;
    int64_t step = position % across * g->batch_steps;
    *out = (struct rnn__rectangle){.row = row,
                                   .rows = least(g->batch_rows, g->rows - row),
                                   .step = step,
                                   .steps = least(g->batch_steps, g->steps - step)};
}

/* ---- how inputs lie ---- */

static bool by_step(const struct rnn__windows *w, int i)
{
    return w->source.by_step && w->source.by_step[i];
}

static int64_t element_bytes(const struct rnn__windows *w, int i)
{
    const struct rnn_model *m = w->source.model;
    return (int64_t)rnn_input_bytes(&m->input[i], m->dtype);
}

static int64_t row_stride(const struct rnn__windows *w, int i)
{
    const struct rnn_input *input = &w->source.model->input[i];
    return input->per_sequence || by_step(w, i) ? input->size : w->room * input->size;
}

static int64_t step_stride(const struct rnn__windows *w, int i, int64_t rows)
{
    int64_t size = w->source.model->input[i].size;
    return by_step(w, i) ? rows * size : size;
}

/* ---- reading ---- */

static void fill(const struct rnn__windows *w, struct window *window)
{
    const struct rnn__windowed *s = &w->source;
    struct rnn__window_part part = {
        .from = window->at, .room = w->room, .out = window->input};
    rnn__grid_batch(&s->grid, window->at.position, &part.batch);
    int64_t left = part.batch.steps - window->at.step0;
    part.steps = window->steps = left < w->room ? left : w->room;
    window->fault.code = 0;
    s->fill(s->user, &part, &window->fault);
    window->filled = true;
}

/* Whether the window holds these steps. */
static bool holds(const struct rnn__windows *w, const struct window *window,
                  const struct rnn__place *at, int64_t steps)
{
    return window->filled && window->at.position == at->position &&
           (!w->source.passes_differ || window->at.pass == at->pass) &&
           window->at.step0 <= at->step0 &&
           at->step0 + steps <= window->at.step0 + window->steps;
}

/* The thread's job. */
static void read_next(void *user)
{
    struct rnn__windows *w = user;
    w->window[1].at = w->next;
    fill(w, &w->window[1]);
}

/* Makes window[0] hold the steps. */
static int need(struct rnn__windows *w, const struct rnn__place *at, int64_t steps,
                struct rnn__fault *f)
{
    struct window *window = w->window;
    if (!holds(w, &window[0], at, steps)) {
        rnn__prefetch_wait(w->prefetch);
        struct window other = window[1];
        if (holds(w, &window[1], at, steps)) {
            window[1] = window[0];
            window[0] = other;
            w->asked = false;
        } else {
            window[0].at = *at;
            fill(w, &window[0]);
        }
    }
    if (!window[0].fault.code)
        return 0;
    window[0].filled = false; /* asked again, it is read again */
    *f = window[0].fault;
    return f->code;
}

static bool is_asked(const struct rnn__windows *w, const struct rnn__place *at)
{
    return w->asked && w->next.pass == at->pass && w->next.position == at->position &&
           w->next.step0 == at->step0;
}

/* Has `steps` steps at `next` read while the caller works. */
static void read_ahead(struct rnn__windows *w, struct rnn__place next, int64_t steps)
{
    if (next.position >= rnn__grid_batches(&w->source.grid))
        next = (struct rnn__place){.pass = next.pass + 1};
    if (holds(w, &w->window[0], &next, steps) || is_asked(w, &next))
        return;
    rnn__prefetch_wait(w->prefetch);
    if (holds(w, &w->window[1], &next, steps))
        return;
    w->window[1].filled = false;
    w->next = next;
    w->asked = true;
    rnn__prefetch_begin(w->prefetch);
}

/* ---- batches ---- */

static void point_at(const struct rnn__windows *w, rnn_batch *batch, int64_t step0)
{
    for (int i = 0; i < w->source.model->n_input; i++) {
        bool once = w->source.model->input[i].per_sequence;
        int64_t steps = once ? 0 : step0 - w->window[0].at.step0;
        batch->input[i].data = w->window[0].input[i] +
                               element_bytes(w, i) * steps * batch->input[i].step_stride;
    }
}

/* Where the first chunk begins that does not fit the window, were chunks to go on as the
   last two did; at the batch's end, the next batch. */
static struct rnn__place place_behind(const struct rnn__windows *w, struct rnn__place at,
                                      int64_t steps, int64_t batch_steps)
{
    const struct window *window = &w->window[0];
    int64_t last = w->now.step0, end = window->at.step0 + window->steps;
    int64_t stride =
        at.step0 > last && at.position == w->now.position ? at.step0 - last : steps;
    if (end >= batch_steps)
        return (struct rnn__place){at.pass, at.position + 1, 0};
    at.step0 += ((end - steps - at.step0) / stride + 1) * stride;
    return at;
}

/* A chunk's steps, of a batch that is larger than a window. */
static int load(rnn_batch *batch, int64_t step0, int64_t steps)
{
    struct rnn__windows *w = batch->user;
    struct rnn__place at = w->now;
    struct rnn__fault f = {0};
    at.step0 = step0;
    int code =
        steps > w->room
            ? rnn__fault(&f, RNN_EINVAL, "%s: a chunk of %lld steps, windows have %lld",
                         w->source.where, (long long)steps, (long long)w->room)
            : need(w, &at, steps, &f);
    if (code)
        return rnn__source_failed(&f, w->sentence, w->capacity);
    point_at(w, batch, step0);
    struct rnn__place next = place_behind(w, at, steps, batch->steps);
    int64_t left = next.position == at.position ? batch->steps - next.step0 : 1;
    read_ahead(w, next, left < steps ? left : steps);
    w->now = at;
    return 0;
}

int rnn__windows_read(struct rnn__windows *w, int64_t pass, int64_t position,
                      rnn_batch *out, char *sentence, size_t capacity)
{
    struct rnn__fault f = {0};
    struct rnn__rectangle batch;
    rnn__grid_batch(&w->source.grid, position, &batch);
    bool whole = batch.steps <= w->room;
    w->now = (struct rnn__place){pass, position, 0};
    int code = need(w, &w->now, whole ? batch.steps : 1, &f);
    if (code)
        return rnn__source_failed(&f, sentence, capacity);
    for (int i = 0; i < w->source.model->n_input; i++)
        out->input[i] = (rnn_array){.steps = batch.steps,
                                    .step_stride = step_stride(w, i, batch.rows),
                                    .row_stride = row_stride(w, i)};
    point_at(w, out, 0);
    out->steps = batch.steps;
    out->rows = batch.rows;
    out->row0 = batch.row;
    out->load = whole ? NULL : load;
    out->user = w;
    w->sentence = sentence;
    w->capacity = capacity;
    if (whole)
        read_ahead(w, (struct rnn__place){pass, position + 1, 0}, 1);
    return 0;
}

/* ---- opening ---- */

/* How many steps a window has: whole chunks, as many as its bytes hold, one at least. */
static int size_room(struct rnn__windows *w, struct rnn__fault *f)
{
    const struct rnn__windowed *s = &w->source;
    int64_t step_bytes = 0, bytes;
    for (int i = 0; i < s->model->n_input; i++) {
        const struct rnn_input *input = &s->model->input[i];
        if (__builtin_mul_overflow(element_bytes(w, i), input->size, &bytes) ||
            __builtin_mul_overflow(s->grid.batch_rows, bytes, &bytes) ||
            __builtin_add_overflow(step_bytes, input->per_sequence ? 0 : bytes,
                                   &step_bytes))
            return rnn__fault_memory(f);
    }
    int64_t steps_max = s->model->steps_max > 0 ? s->model->steps_max : 1;
    int64_t chunks = WINDOW_BYTES / (step_bytes + 1) / steps_max;
    w->room = (chunks ? chunks : 1) * steps_max;
    if (w->room > s->grid.batch_steps)
        w->room = s->grid.batch_steps;
    return 0;
}

/* Bytes of an input in a window, rounded up so that the next one is aligned. */
static int input_bytes(const struct rnn__windows *w, int i, size_t *out,
                       struct rnn__fault *f)
{
    const struct rnn_input *input = &w->source.model->input[i];
    int64_t bytes = input->per_sequence ? 1 : w->room;
    if (__builtin_mul_overflow(bytes, input->size, &bytes) ||
        __builtin_mul_overflow(bytes, w->source.grid.batch_rows, &bytes) ||
        __builtin_mul_overflow(bytes, element_bytes(w, i), &bytes) ||
        __builtin_add_overflow(bytes, ALIGNED - 1, &bytes))
        return rnn__fault_memory(f);
    *out = (size_t)(bytes / ALIGNED * ALIGNED);
    return 0;
}

static int make_window(const struct rnn__windows *w, struct window *window,
                       struct rnn__fault *f)
{
    int n = w->source.model->n_input;
    size_t total = 0, bytes = 0;
    int code = 0;
    for (int i = 0; i < n && !code; i++) {
        code = input_bytes(w, i, &bytes, f);
        if (!code && __builtin_add_overflow(total, bytes, &total))
            code = rnn__fault_memory(f);
    }
    if (code)
        return code;
    window->data = malloc(total + 1);
    window->input = calloc((size_t)n + 1, sizeof *window->input);
    if (!window->data || !window->input)
        return rnn__fault_memory(f);
    char *at = window->data;
    for (int i = 0; i < n; i++) {
        window->input[i] = at;
        input_bytes(w, i, &bytes, f);
        at += bytes;
    }
    return 0;
}

static int make(struct rnn__windows *w, struct rnn__fault *f)
{
    int code = size_room(w, f);
    for (int i = 0; i < 2 && !code; i++)
        code = make_window(w, &w->window[i], f);
    if (code)
        return code;
    w->prefetch = rnn__prefetch_new(read_next, w);
    return w->prefetch ? 0 : rnn__fault_memory(f);
}

int rnn__windows_open(struct rnn__windows **out, const struct rnn__windowed *source,
                      struct rnn__fault *f)
{
    struct rnn__windows *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w)
        return rnn__fault_memory(f);
    w->source = *source;
    int code = make(w, f);
    if (code)
        rnn__windows_close(w);
    else
        *out = w;
    return code;
}

void rnn__windows_close(struct rnn__windows *w)
{
    if (!w)
        return;
    rnn__prefetch_free(w->prefetch);
    for (int i = 0; i < 2; i++) {
        free(w->window[i].data);
        free(w->window[i].input);
    }
    free(w);
}
