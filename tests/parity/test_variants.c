/*
 * test_variants.c — TBPTT variants against each other: runs that must be the same run.
 *
 *     test_variants RNNC
 *
 * Each test writes a spec and its data, runs `rnnc run` in two ways that the definitions
 * make equal, and compares the losses of all chunks (batches), which logs print so that
 * they read back exactly.
 */
#include "runtime/npy_bytes.h"
#include "trained.h"

static const char *rnnc;

/* ---- data ---- */

enum { NUMBERS_MAX = 8192 };

/* In [-1, 1): Knuth's MMIX generator. */
static float draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(*state >> 11) * 0x1p-52 - 1);
}

/* Sequences in memory: [n][steps] of x, y and done. */
typedef struct {
    int n, steps;
    float x[NUMBERS_MAX], y[NUMBERS_MAX], done[NUMBERS_MAX];
    int32_t length[64];
} Data;

static void draw_data(Data *d, int n, int steps)
{
    uint64_t state = 7;
    d->n = n, d->steps = steps;
    for (int i = 0; i < n * steps; i++) {
        d->x[i] = draw(&state), d->y[i] = draw(&state);
        d->done[i] = draw(&state) > 0.8F;
    }
    for (int i = 0; i < n; i++)
        d->length[i] = (5 * i + 3) % (steps + 1);
}

static void write_array(const char *name, const char *type, const char *shape,
                        const void *data, int n)
{
    npy_write(name, 1, npy_header(type, shape), data, (size_t)n * 4);
}

static void write_data(const Data *d)
{
    char shape[64], rows[32];
    snprintf(shape, sizeof shape, "(%d, %d, 1)", d->n, d->steps);
    snprintf(rows, sizeof rows, "(%d,)", d->n);
    write_array("x.npy", "<f4", shape, d->x, d->n * d->steps);
    write_array("y.npy", "<f4", shape, d->y, d->n * d->steps);
    write_array("done.npy", "<f4", shape, d->done, d->n * d->steps);
    write_array("n.npy", "<i4", rows, d->length, d->n);
}

/* ---- specs ---- */

static const char all_inputs[] = "inputs: {x: [1], y: [1], done: flag, "
                                 "n: {kind: integer, per: sequence}}\n";
static const char all_files[] = "x: x.npy, y: y.npy, done: done.npy, n: n.npy";
static const char plain_inputs[] = "inputs: {x: [1], y: [1]}\n";
static const char plain_files[] = "x: x.npy, y: y.npy";

static const char learned_gru[] = "model:\n"
                                  "  params: {h0: [6]}\n"
                                  "  step: |\n"
                                  "    rnn  = gru(x, hidden=6, h=tanh(h0))\n"
                                  "    head = linear(rnn, size=1)\n"
                                  "loss: mse(head, y)\n"
                                  "optimizer: adam(lr=1e-2)\n";

static void write_spec(const char *name, const char *inputs, const char *model,
                       const char *tbptt, const char *files, const char *train)
{
    char text[4096];
    snprintf(text, sizeof text,
             "rnnc: 1\n%s%stbptt: {%s}\ndata: {train: {%s}}\ntrain: {%s}\n", inputs, model,
             tbptt, files, train);
    scratch_write(name, text, strlen(text));
}

/* ---- runs ---- */

enum { LOSSES_MAX = 256 };

typedef struct {
    int n;
    double loss[LOSSES_MAX]; /* NaN: null */
} Losses;

static void read_losses(const char *path, const char *event, const char *key, Losses *out)
{
    json_t *line;
    json_error_t error;
    FILE *file = fopen(path, "r");
    out->n = 0;
    while (file && (line = json_loadf(file, JSON_DISABLE_EOF_CHECK, &error))) {
        const char *name = json_string_value(json_object_get(line, "event"));
        const json_t *loss = json_object_get(line, key);
        if (name && strcmp(name, event) == 0 && out->n < LOSSES_MAX)
            out->loss[out->n++] = json_is_number(loss) ? json_number_value(loss) : NAN;
        json_decref(line);
    }
    if (file)
        fclose(file);
}

/* Runs a spec of the scratch folder with up to three more --set; all chunks' losses. */
static void run_spec(const char *spec, const char *const *sets, Losses *chunks,
                     Losses *batches)
{
    char path[1024], out[1024], log[1024];
    snprintf(path, sizeof path, "%s/%s", scratch_folder, spec);
    snprintf(out, sizeof out, "%s/run", scratch_folder);
    snprintf(log, sizeof log, "%s/log.jsonl", scratch_folder);
    char *argv[32] = {
        (char *)(uintptr_t)rnnc, "run", path, "--out", out, "--log", log, "--quiet",
        "--no-progress"};
    int n = 9;
    for (int i = 0; sets && sets[i]; i++)
        argv[n++] = "--set", argv[n++] = (char *)(uintptr_t)sets[i];
    int status = run_command(argv);
    CHECK(status == 0, "rnnc run %s ended with status %d", spec, status);
    read_losses(log, "time_iteration_completed", "loss", chunks);
    if (batches)
        read_losses(log, "iteration_completed", "output", batches);
    scratch_remove(out, 1);
    unlink(log);
}

static bool same(double a, double b, double tolerance)
{
    return (isnan(a) && isnan(b)) || fabs(a - b) <= tolerance * fabs(b);
}

static void check_equal(const char *what, const Losses *a, const Losses *b,
                        double tolerance)
{
    CHECK(a->n == b->n && a->n > 0, "%s: %d losses and %d", what, a->n, b->n);
    for (int i = 0; i < a->n && i < b->n; i++)
        CHECK(same(a->loss[i], b->loss[i], tolerance), "%s: loss %d is %.9g and %.9g", what,
              i, a->loss[i], b->loss[i]);
}

static bool any_differs(const Losses *a, const Losses *b)
{
    for (int i = 0; i < a->n && i < b->n; i++)
        if (!same(a->loss[i], b->loss[i], 1e-6))
            return true;
    return false;
}

/* ---- the tests ---- */

static void test_a_window_of_one_step_is_the_plain_loop(void)
{
    static Data d;
    Losses plain, window;
    draw_data(&d, 8, 17);
    write_data(&d);
    write_spec("a.yaml", all_inputs, learned_gru,
               "step: 4, reset: done, lengths: n, carry: batch", all_files, "epochs: 2");
    run_spec("a.yaml", NULL, &plain, NULL);
    run_spec("a.yaml", (const char *const[]){"tbptt.window=4", NULL}, &window, NULL);
    check_equal("window = step", &window, &plain, 0);
}

/* A model compiled for windows begins as the plain loop does; and the window does something
   when it is there. Both losses are a mean of 8 rows of 4 steps, of squares, summed in an
   order of its own: each of 32 additions errs by half an ulp of at most the sum. */
static void test_a_window_changes_what_is_learned(void)
{
    static Data d;
    Losses plain, window;
    draw_data(&d, 8, 16);
    write_data(&d);
    write_spec("a.yaml", plain_inputs, learned_gru, "step: 4", plain_files, "epochs: 2");
    run_spec("a.yaml", NULL, &plain, NULL);
    run_spec("a.yaml", (const char *const[]){"tbptt.window=8", NULL}, &window, NULL);
    CHECK(plain.n == window.n, "%d chunks and %d", plain.n, window.n);
    CHECK(same(plain.loss[0], window.loss[0], 32 * 0x1p-24),
          "the first chunk's window is itself");
    CHECK(any_differs(&plain, &window), "gradients over 8 steps are those over 4");
}

/* The sums go over the same numbers and zeros behind them: in an order of their own. */
static void test_padding_changes_nothing(void)
{
    enum { SHORT = 9, LONG = 14, N = 6 };
    static Data d, padded;
    Losses a, b;
    draw_data(&d, N, SHORT);
    draw_data(&padded, N, LONG);
    for (int i = 0; i < N; i++) {
        padded.length[i] = SHORT;
        memcpy(padded.x + i * LONG, d.x + i * SHORT, SHORT * sizeof *d.x);
        memcpy(padded.y + i * LONG, d.y + i * SHORT, SHORT * sizeof *d.y);
    }
    write_data(&d);
    write_spec("a.yaml", plain_inputs, learned_gru, "step: 3", plain_files, "epochs: 2");
    run_spec("a.yaml", NULL, &a, NULL);
    write_data(&padded);
    write_spec("b.yaml", "inputs: {x: [1], y: [1], n: {kind: integer, per: sequence}}\n",
               learned_gru, "step: 3, lengths: n", "x: x.npy, y: y.npy, n: n.npy",
               "epochs: 2");
    run_spec("b.yaml", NULL, &b, NULL);
    int kept = 0;
    for (int i = 0; i < b.n; i++) {
        bool padding = i % 5 >= 3;
        CHECK(isnan(b.loss[i]) == padding, "chunk %d of padding has a loss", i);
        if (!padding)
            b.loss[kept++] = b.loss[i];
    }
    b.n = kept;
    check_equal("padded", &b, &a, 1e-6);
}

/* Three episodes of 4 steps one behind the other, or as three sequences. */
static void test_a_reset_where_a_chunk_begins_is_a_fresh_start(void)
{
    enum { N = 5, EPISODES = 3, STEPS = 4 };
    static Data joined, apart;
    Losses a, b;
    draw_data(&joined, N, EPISODES * STEPS);
    draw_data(&apart, N * EPISODES, STEPS);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < EPISODES; k++)
            for (int t = 0; t < STEPS; t++) {
                int from = (i * EPISODES + k) * STEPS + t, to = (k * N + i) * STEPS + t;
                apart.x[to] = joined.x[from], apart.y[to] = joined.y[from];
                joined.done[from] = t == 0;
            }
    write_data(&joined);
    write_spec("a.yaml", "inputs: {x: [1], y: [1], done: flag}\n", learned_gru,
               "step: 4, reset: done", "x: x.npy, y: y.npy, done: done.npy, batch: 5",
               "epochs: 2");
    run_spec("a.yaml", NULL, &a, NULL);
    write_data(&apart);
    write_spec("b.yaml", plain_inputs, learned_gru, "step: 4",
               "x: x.npy, y: y.npy, batch: 5", "epochs: 2");
    run_spec("b.yaml", NULL, &b, NULL);
    check_equal("reset", &a, &b, 0);
}

/* What the only step that counts finds in the state was made in the burn-in. (A dropout of
   0 would draw nothing, and first values would come from other draws.) */
static void test_dropout_is_off_in_the_burn_in(void)
{
    static const char model[] = "model: |\n"
                                "  wet  = dropout(x, p)\n"
                                "  rnn  = gru(wet, hidden=6)\n"
                                "  head = linear(rnn.h_l0, size=1)\n"
                                "loss: mse(head, y)\n"
                                "optimizer: sgd(lr=1e-2)\n";
    static Data d;
    Losses dry, off, on;
    char wet[512];
    draw_data(&d, 6, 9);
    write_data(&d);
    for (int i = 0; i < 2; i++) {
        const char *p = strstr(model, ", p)");
        snprintf(wet, sizeof wet, "%.*s, %s%s", (int)(p - model), model, i ? "0.5" : "1e-9",
                 p + 3);
        write_spec(i ? "wet.yaml" : "dry.yaml", plain_inputs, wet, "step: 3, burn_in: 8",
                   plain_files, "epochs: 1");
    }
    run_spec("dry.yaml", NULL, &dry, NULL);
    run_spec("wet.yaml", NULL, &off, NULL);
    run_spec("wet.yaml", (const char *const[]){"tbptt.burn_in=7", NULL}, &on, NULL);
    check_equal("dropout", &off, &dry, 0);
    run_spec("dry.yaml", (const char *const[]){"tbptt.burn_in=7", NULL}, &dry, NULL);
    CHECK(any_differs(&on, &dry), "dropout does nothing behind the burn-in either");
}

/* With a learning rate of 0 nothing depends on where chunks end, but the order of sums. */
static void test_the_length_of_chunks_changes_no_state_and_no_weighted_mean(void)
{
    static Data d;
    Losses chunks, expected, got;
    draw_data(&d, 8, 20);
    write_data(&d);
    write_spec("a.yaml", all_inputs, learned_gru,
               "step: 20, burn_in: 3, reset: done, lengths: n, carry: batch, "
               "report: weighted",
               "x: x.npy, y: y.npy, done: done.npy, n: n.npy, batch: 4", "epochs: 2");
    run_spec("a.yaml", (const char *const[]){"optimizer.lr=0", NULL}, &chunks, &expected);
    static const char *const steps[] = {"tbptt.step=1", "tbptt.step=6", "tbptt.step=10"};
    for (int i = 0; i < 3; i++) {
        run_spec("a.yaml", (const char *const[]){"optimizer.lr=0", steps[i], NULL}, &chunks,
                 &got);
        check_equal(steps[i], &got, &expected, 1e-6);
    }
    run_spec(
        "a.yaml",
        (const char *const[]){"optimizer.lr=0", "tbptt.step=5", "tbptt.window=15", NULL},
        &chunks, &got);
    check_equal("a window", &got, &expected, 1e-6);
}

/* What the end of a run has left, so that an older one is the newest. */
static void remove_last_checkpoint(const char *folder)
{
    struct trained t = {.out = ""};
    snprintf(t.out, sizeof t.out, "%s", folder);
    find_checkpoint(&t);
    CHECK(unlink(t.checkpoint) == 0, "%s", t.checkpoint);
}

/* A checkpoint in the middle of a batch, and of a window that began with its start. */
static void test_a_run_resumed_within_a_window_has_the_same_bits(void)
{
    static const char spec[] = "all.yaml";
    static Data d;
    Losses whole, rest;
    draw_data(&d, 8, 17);
    write_data(&d);
    char path[1024], log[1024], folder[256], train[128];
    snprintf(path, sizeof path, "%s/%s", scratch_folder, spec);
    snprintf(log, sizeof log, "%s/log.jsonl", scratch_folder);
    snprintf(folder, sizeof folder, "%s/run", scratch_folder);
    static const int at[] = {1, 3, 4, 6, 9, 11, 20, 25};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        snprintf(train, sizeof train,
                 "epochs: 2, handlers: [checkpoint: {on: TIME_ITERATION_COMPLETED, "
                 "once: %d, keep: 9}]",
                 at[i]);
        write_spec(spec, all_inputs, learned_gru,
                   "step: 2, window: 8, burn_in: 1, reset: done, lengths: n, carry: batch",
                   "x: x.npy, y: y.npy, done: done.npy, n: n.npy, batch: 4", train);
        char *first[] = {(char *)(uintptr_t)rnnc,
                         "run",
                         path,
                         "--out",
                         folder,
                         "--log",
                         log,
                         "--quiet",
                         NULL};
        CHECK(run_command(first) == 0, "the whole run");
        read_losses(log, "time_iteration_completed", "loss", &whole);
        remove_last_checkpoint(folder);
        unlink(log);
        char *again[] = {(char *)(uintptr_t)rnnc,
                         "run",
                         path,
                         "--resume",
                         folder,
                         "--log",
                         log,
                         "--quiet",
                         NULL};
        CHECK(run_command(again) == 0, "resumed after chunk %d", at[i]);
        read_losses(log, "time_iteration_completed", "loss", &rest);
        CHECK(rest.n == whole.n - at[i], "after chunk %d: %d of %d chunks", at[i], rest.n,
              whole.n);
        for (int k = 0; k < rest.n && at[i] + k < whole.n; k++)
            CHECK(same(rest.loss[k], whole.loss[at[i] + k], 0),
                  "resumed after chunk %d, chunk %d: %.9g, expected %.9g", at[i],
                  at[i] + k + 1, rest.loss[k], whole.loss[at[i] + k]);
        scratch_remove(folder, 1);
        unlink(log);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_variants RNNC\n");
        return 2;
    }
    rnnc = argv[1];
    scratch_open();
    test_a_window_of_one_step_is_the_plain_loop();
    test_a_window_changes_what_is_learned();
    test_padding_changes_nothing();
    test_a_reset_where_a_chunk_begins_is_a_fresh_start();
    test_dropout_is_off_in_the_burn_in();
    test_the_length_of_chunks_changes_no_state_and_no_weighted_mean();
    test_a_run_resumed_within_a_window_has_the_same_bits();
    scratch_close();
    return check_result();
}
