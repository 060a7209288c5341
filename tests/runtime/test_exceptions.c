/*
 * test_exceptions.c — what becomes of an exception, by where it was raised and by
 * what the EXCEPTION_RAISED handlers do.
 */
#include "harness.h"

struct bomb {
    int event, epoch, iteration, code;
};

struct run_in {
    struct trace t;
    struct bomb bomb; /* event RNN_NONE: the process raises */
};

static bool is_here(rnn_engine *e, const struct bomb *b)
{
    const rnn_engine_state *s = rnn_state_of(e);
    return s->epoch == b->epoch && s->iteration == b->iteration;
}

static int explode(rnn_engine *e, int event, void *user)
{
    const struct bomb *b = user;
    (void)event;
    return is_here(e, b) ? rnn_raise(e, b->code, "boom") : 0;
}

static int process(rnn_engine *e, void *batch, rnn_output *output, void *user)
{
    struct run_in *r = user;
    (void)batch, (void)output;
    append(r->t.batches, sizeof r->t.batches, batch);
    return r->bomb.event == RNN_NONE ? explode(e, 0, &r->bomb) : 0;
}

static int swallow(rnn_engine *e, int event, void *user)
{
    struct run_in *r = user;
    (void)event;
    CHECK(rnn_exception(e) == r->bomb.code, "exception %d", rnn_exception(e));
    CHECK_TEXT(rnn_engine_error(e), "boom");
    append(r->t.text, sizeof r->t.text, "EXC");
    return 0;
}

static int raise_again(rnn_engine *e, int event, void *user)
{
    swallow(e, event, user);
    return rnn_exception(e);
}

/* clang-format off */
static const struct row {
    const char *name;
    struct bomb bomb;
    rnn_handler *handler;
    int result;
    const char *expected;
} rows[] = {
    {"without handler it leaves the run", {(int)RNN_NONE, 1, 1, -77}, NULL, -77,
     "S0.0 ES1.0 GS1.0 GC1.0 IS1.1"},
    {"swallowed in the step it ends the epoch, the data go on", {(int)RNN_NONE, 1, 1, -77}, swallow, 0,
     "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 EXC EC1.1 ES2.1 GS2.1 GC2.1 IS2.2 IC2.2 GS2.2 STOP2.2 GC2.2 IS2.3 IC2.3 EC2.3 C2.3"},
    {"raised again it is told of twice", {(int)RNN_NONE, 1, 1, -77}, raise_again, -77,
     "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 EXC EXC"},
    {"in a handler within the epoch", {RNN_GET_BATCH_STARTED, 1, 0, -77}, swallow, 0,
     "S0.0 ES1.0 GS1.0 EXC EC1.0 ES2.0 GS2.0 GC2.0 IS2.1 IC2.1 GS2.1 GC2.1 IS2.2 IC2.2 EC2.2 C2.2"},
    {"at S it ends the run quietly", {RNN_STARTED, 0, 0, -77}, swallow, 0, "S0.0 EXC"},
    {"at ES it ends the run quietly", {RNN_EPOCH_STARTED, 1, 0, -77}, swallow, 0, "S0.0 ES1.0 EXC"},
    {"at EC it ends the run quietly", {RNN_EPOCH_COMPLETED, 1, 2, -77}, swallow, 0,
     "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 GS1.1 GC1.1 IS1.2 IC1.2 EC1.2 EXC"},
    {"at C it ends the run quietly", {RNN_COMPLETED, 2, 4, -77}, swallow, 0,
     "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 GS1.1 GC1.1 IS1.2 IC1.2 EC1.2 "
     "ES2.2 GS2.2 STOP2.2 GC2.2 IS2.3 IC2.3 GS2.3 GC2.3 IS2.4 IC2.4 EC2.4 C2.4 EXC"},
    {"at S, raised again, it is told of once", {RNN_STARTED, 0, 0, -77}, raise_again, -77, "S0.0 EXC"},
    {"a signal skips the epoch's catch", {(int)RNN_NONE, 1, 1, RNN_ESIGNAL}, swallow, 0,
     "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 EXC"},
    {"a signal without handler leaves", {(int)RNN_NONE, 1, 1, RNN_ESIGNAL}, NULL, RNN_ESIGNAL,
     "S0.0 ES1.0 GS1.0 GC1.0 IS1.1"},
};
/* clang-format on */

static void run_row(const struct row *row)
{
    static struct run_in r;
    r = (struct run_in){.bomb = row->bomb};
    struct source source = {.n = 2};
    rnn_iterable data = source_iterable(&source, true, true);
    rnn_engine *e;
    CHECK(rnn_engine_new(&e, process, &r, NULL) == 0, "no engine");
    trace_on(e, &r.t);
    if (row->handler)
        rnn_on(e, RNN_EXCEPTION_RAISED, NULL, row->handler, &r);
    if (row->bomb.event != RNN_NONE)
        rnn_on(e, row->bomb.event, NULL, explode, &r.bomb);
    int result = rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = 2});
    CHECK(result == row->result, "%s: %d", row->name, result);
    CHECK(strcmp(r.t.text, row->expected) == 0, "%s:\n  got      %s\n  expected %s",
          row->name, r.t.text, row->expected);
    CHECK_TEXT(rnn_engine_error(e), "boom");
    rnn_close(e);
}

/* Ignite's second call returns null and does nothing. */
static void test_an_engine_runs_again_right_after_an_exception(void)
{
    static struct run_in r;
    r = (struct run_in){.bomb = {(int)RNN_NONE, 1, 1, -77}};
    struct source source = {.n = 3};
    rnn_iterable data = source_iterable(&source, true, true);
    rnn_engine *e;
    rnn_engine_new(&e, process, &r, NULL);
    int result = rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = 2});
    CHECK(result == -77, "%d", result);
    result = rnn_engine_run(e, &data, NULL);
    CHECK(result == 0, "%d", result);
    CHECK(rnn_state_of(e)->iteration == 3, "iteration %d", (int)rnn_state_of(e)->iteration);
    CHECK_TEXT(r.t.batches, "a b c");
    rnn_close(e);
}

/* Ignite swallows silently once a handler was there. */
static void test_a_removed_handler_swallows_nothing(void)
{
    static struct run_in r;
    r = (struct run_in){.bomb = {(int)RNN_NONE, 1, 1, -77}};
    struct source source = {.n = 2};
    rnn_iterable data = source_iterable(&source, true, true);
    rnn_engine *e;
    rnn_engine_new(&e, process, &r, NULL);
    rnn_off(e, rnn_on(e, RNN_EXCEPTION_RAISED, NULL, swallow, &r));
    int result = rnn_engine_run(e, &data, NULL);
    CHECK(result == -77, "%d", result);
    rnn_close(e);
}

static int plain_failure(rnn_engine *e, int event, void *user)
{
    (void)e, (void)event, (void)user;
    return RNN_EIO;
}

static void test_an_exception_without_sentence_gets_one(void)
{
    static struct run_in r;
    struct source source = {.n = 2};
    rnn_iterable data = source_iterable(&source, true, true);
    rnn_engine *e;
    rnn_engine_new(&e, process, &r, NULL);
    rnn_on(e, RNN_EPOCH_STARTED, NULL, plain_failure, NULL);
    CHECK(rnn_engine_run(e, &data, NULL) == RNN_EIO, "status");
    CHECK_TEXT(rnn_engine_error(e),
               "a handler of EPOCH_STARTED: file could not be read or written");
    rnn_close(e);
}

static void test_a_reading_error_is_an_exception_of_the_epoch(void)
{
    static struct run_in r;
    r = (struct run_in){.bomb = {RNN_SAVED_CHECKPOINT, 0, 0, RNN_EIO}};
    struct source source = {.n = 2, .fail_at = 2};
    rnn_iterable data = source_iterable(&source, true, true);
    rnn_engine *e;
    rnn_engine_new(&e, process, &r, NULL);
    CHECK(rnn_engine_run(e, &data, NULL) == RNN_EIO, "status");
    CHECK_TEXT(rnn_engine_error(e), "reading a batch: file could not be read or written");
    rnn_close(e);
}

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        run_row(&rows[i]);
    test_an_engine_runs_again_right_after_an_exception();
    test_a_removed_handler_swallows_nothing();
    test_an_exception_without_sentence_gets_one();
    test_a_reading_error_is_an_exception_of_the_epoch();
    return check_result();
}
