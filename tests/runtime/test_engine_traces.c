/*
 * test_engine_traces.c — the order of events, trace by trace, as PyTorch-Ignite
 * 0.5.5 was seen to fire them; where rnnc differs on purpose the row says so.
 */
#include "harness.h"

enum action {
    NOTHING,
    TERMINATE,
    TERMINATE_SKIP,
    END_EPOCH,
    END_EPOCH_SKIP,
    INTERRUPT,
    INTERRUPT_EACH /* at every firing of the event */
};

struct row {
    const char *name;
    int n_batch;  /* 0: none at all */
    bool unsized; /* length not known beforehand */
    bool one_shot;
    bool no_data; /* data NULL */
    rnn_run_options options;
    enum action action;
    int at;               /* event of the action … */
    int epoch, iteration; /* … and its counters */
    int n_run;            /* calls of run(): 0 is 1 */
    int result;           /* of the first */
    const char *expected;
    const char *batches; /* NULL: not compared */
    int n_notice;
};

#define EPOCH_1 "ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 GS1.1 GC1.1 IS1.2 IC1.2 EC1.2"
#define EPOCH_2 "ES2.2 GS2.2 STOP2.2 GC2.2 IS2.3 IC2.3 GS2.3 GC2.3 IS2.4 IC2.4 EC2.4"
#define TWO     .n_batch = 2, .options = {.max_epochs = 2}

/* clang-format off */
static const struct row rows[] = {
    {"two epochs keep one data iterator", TWO,
     .expected = "S0.0 " EPOCH_1 " " EPOCH_2 " C2.4", .batches = "a b a b"},
    {"epoch_length 3 over 2 batches wraps around",
     .n_batch = 2, .options = {.max_epochs = 2, .epoch_length = 3},
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 GS1.1 GC1.1 IS1.2 IC1.2 GS1.2 STOP1.2 GC1.2 "
                 "IS1.3 IC1.3 EC1.3 ES2.3 GS2.3 GC2.3 IS2.4 IC2.4 GS2.4 STOP2.4 GC2.4 IS2.5 IC2.5 "
                 "GS2.5 GC2.5 IS2.6 IC2.6 EC2.6 C2.6",
     .batches = "a b a b a b"},
    {"epoch_length 1: the second epoch sees the second batch",
     .n_batch = 2, .options = {.max_epochs = 2, .epoch_length = 1},
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 EC1.1 ES2.1 GS2.1 GC2.1 IS2.2 IC2.2 EC2.2 C2.2",
     .batches = "a b"},
    /* rnnc notes the empty second epoch */
    {"a one-shot iterator of 3 tells the epoch's length",
     .n_batch = 3, .unsized = true, .one_shot = true, .options = {.max_epochs = 2},
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 GS1.1 GC1.1 IS1.2 IC1.2 GS1.2 GC1.2 IS1.3 IC1.3 "
                 "GS1.3 EC1.3 ES2.3 GS2.3 STOP2.3 EC2.3 C2.3",
     .batches = "a b c", .n_notice = 1},
    /* rnnc notes both epochs that end early */
    {"a one-shot iterator shorter than epoch_length ends its epochs early",
     .n_batch = 2, .unsized = true, .one_shot = true, .options = {.max_epochs = 2, .epoch_length = 3},
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 GS1.1 GC1.1 IS1.2 IC1.2 GS1.2 STOP1.2 EC1.2 "
                 "ES2.2 GS2.2 STOP2.2 EC2.2 C2.2",
     .batches = "a b", .n_notice = 2},
    {"without data there are no batch events",
     .no_data = true, .options = {.max_epochs = 2, .epoch_length = 1},
     .expected = "S0.0 ES1.0 IS1.1 IC1.1 EC1.1 ES2.1 IS2.2 IC2.2 EC2.2 C2.2", .batches = "- -"},
    {"max_iters within an epoch terminates without EC",
     .n_batch = 2, .options = {.max_iters = 3},
     .expected = "S0.0 " EPOCH_1 " ES2.2 GS2.2 STOP2.2 GC2.2 IS2.3 IC2.3 TERM2.3 C2.3",
     .batches = "a b a"},
    {"max_iters at an epoch's end needs no TERM",
     .n_batch = 2, .options = {.max_iters = 4},
     .expected = "S0.0 " EPOCH_1 " " EPOCH_2 " C2.4"},
    {"max_iters 5 over an unknown length of 3",
     .n_batch = 3, .unsized = true, .options = {.max_iters = 5},
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 GS1.1 GC1.1 IS1.2 IC1.2 GS1.2 GC1.2 IS1.3 IC1.3 "
                 "GS1.3 EC1.3 ES2.3 GS2.3 STOP2.3 GC2.3 IS2.4 IC2.4 GS2.4 GC2.4 IS2.5 IC2.5 TERM2.5 C2.5"},
    {"empty data of known length are refused before S",
     .n_batch = 0, .options = {.max_epochs = 1}, .result = RNN_EINVAL, .expected = ""},
    {"empty data of unknown length end at once",
     .n_batch = 0, .unsized = true, .options = {.max_epochs = 2},
     .expected = "S0.0 ES1.0 GS1.0 EC1.0 C1.0", .n_notice = 1},
    {"empty data end a run by iterations, too",
     .n_batch = 0, .unsized = true, .options = {.max_iters = 5},
     .expected = "S0.0 ES1.0 GS1.0 EC1.0 C1.0", .n_notice = 1},

    {"terminate at S", TWO, .action = TERMINATE, .at = RNN_STARTED,
     .expected = "S0.0 TERM0.0 C0.0"},
    {"terminate at ES", TWO, .action = TERMINATE, .at = RNN_EPOCH_STARTED, .epoch = 1,
     .expected = "S0.0 ES1.0 TERM1.0 C1.0"},
    {"terminate at GS", TWO, .action = TERMINATE, .at = RNN_GET_BATCH_STARTED, .epoch = 1,
     .expected = "S0.0 ES1.0 GS1.0 TERM1.0 C1.0"},
    {"terminate at GC", TWO, .action = TERMINATE, .at = RNN_GET_BATCH_COMPLETED, .epoch = 1,
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 TERM1.0 C1.0"},
    {"terminate at IS", TWO, .action = TERMINATE, .at = RNN_ITERATION_STARTED, .epoch = 1, .iteration = 1,
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 TERM1.1 C1.1", .batches = ""},
    {"terminate at IC fires no EC", TWO, .action = TERMINATE, .at = RNN_ITERATION_COMPLETED, .epoch = 1, .iteration = 1,
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 TERM1.1 C1.1"},
    {"terminate at EC", TWO, .action = TERMINATE, .at = RNN_EPOCH_COMPLETED, .epoch = 1, .iteration = 2,
     .expected = "S0.0 " EPOCH_1 " TERM1.2 C1.2"},
    {"terminate at C does nothing", TWO, .action = TERMINATE, .at = RNN_COMPLETED, .epoch = 2, .iteration = 4,
     .expected = "S0.0 " EPOCH_1 " " EPOCH_2 " C2.4"},
    {"terminate at STOP", TWO, .action = TERMINATE, .at = RNN_DATALOADER_STOP_ITERATION, .epoch = 2, .iteration = 2,
     .expected = "S0.0 " EPOCH_1 " ES2.2 GS2.2 STOP2.2 TERM2.2 C2.2"},
    {"terminate(skip_completed) fires no C", TWO, .action = TERMINATE_SKIP, .at = RNN_ITERATION_COMPLETED, .epoch = 1, .iteration = 1,
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 TERM1.1"},

    {"terminate_epoch at IS starts the data again", TWO, .action = END_EPOCH, .at = RNN_ITERATION_STARTED, .epoch = 1, .iteration = 1,
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 TERM1(1) EC1.1 ES2.1 GS2.1 GC2.1 IS2.2 IC2.2 "
                 "GS2.2 GC2.2 IS2.3 IC2.3 EC2.3 C2.3",
     .batches = "a b"},
    {"terminate_epoch at IC", TWO, .action = END_EPOCH, .at = RNN_ITERATION_COMPLETED, .epoch = 1, .iteration = 1,
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 TERM1(1) EC1.1 ES2.1 GS2.1 GC2.1 IS2.2 IC2.2 "
                 "GS2.2 GC2.2 IS2.3 IC2.3 EC2.3 C2.3",
     .batches = "a a b"},
    {"terminate_epoch at GS", TWO, .action = END_EPOCH, .at = RNN_GET_BATCH_STARTED, .epoch = 1,
     .expected = "S0.0 ES1.0 GS1.0 TERM1(0) EC1.0 ES2.0 GS2.0 GC2.0 IS2.1 IC2.1 GS2.1 GC2.1 IS2.2 IC2.2 EC2.2 C2.2"},
    {"terminate_epoch at GC", TWO, .action = END_EPOCH, .at = RNN_GET_BATCH_COMPLETED, .epoch = 1,
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 TERM1(0) EC1.0 ES2.0 GS2.0 GC2.0 IS2.1 IC2.1 GS2.1 GC2.1 IS2.2 IC2.2 EC2.2 C2.2",
     .batches = "a b"},
    {"terminate_epoch(skip) fires no EC", TWO, .action = END_EPOCH_SKIP, .at = RNN_ITERATION_COMPLETED, .epoch = 1, .iteration = 1,
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 TERM1(1) ES2.1 GS2.1 GC2.1 IS2.2 IC2.2 "
                 "GS2.2 GC2.2 IS2.3 IC2.3 EC2.3 C2.3"},
    {"terminate_epoch at STOP", TWO, .action = END_EPOCH, .at = RNN_DATALOADER_STOP_ITERATION, .epoch = 2, .iteration = 2,
     .expected = "S0.0 " EPOCH_1 " ES2.2 GS2.2 STOP2.2 TERM1(0) EC2.2 C2.2"},
    {"terminate_epoch at S is an error", TWO, .action = END_EPOCH, .at = RNN_STARTED, .result = RNN_ESTATE,
     .expected = "S0.0"},
    {"terminate_epoch at ES is an error", TWO, .action = END_EPOCH, .at = RNN_EPOCH_STARTED, .epoch = 1, .result = RNN_ESTATE,
     .expected = "S0.0 ES1.0"},
    {"terminate_epoch at EC is ignored", TWO, .action = END_EPOCH, .at = RNN_EPOCH_COMPLETED, .epoch = 1, .iteration = 2,
     .expected = "S0.0 " EPOCH_1 " " EPOCH_2 " C2.4"},
    {"terminate_epoch at C is ignored", TWO, .action = END_EPOCH, .at = RNN_COMPLETED, .epoch = 2, .iteration = 4,
     .expected = "S0.0 " EPOCH_1 " " EPOCH_2 " C2.4"},

    {"interrupt at S goes on behind it", TWO, .action = INTERRUPT, .at = RNN_STARTED, .n_run = 2, .result = RNN_PAUSED,
     .expected = "S0.0 INT0.0 | " EPOCH_1 " " EPOCH_2 " C2.4", .batches = "a b a b"},
    {"interrupt at ES", TWO, .action = INTERRUPT, .at = RNN_EPOCH_STARTED, .epoch = 1, .n_run = 2, .result = RNN_PAUSED,
     .expected = "S0.0 ES1.0 INT1.0 | GS1.0 GC1.0 IS1.1 IC1.1 GS1.1 GC1.1 IS1.2 IC1.2 EC1.2 " EPOCH_2 " C2.4"},
    {"interrupt at GS", TWO, .action = INTERRUPT, .at = RNN_GET_BATCH_STARTED, .epoch = 1, .n_run = 2, .result = RNN_PAUSED,
     .expected = "S0.0 ES1.0 GS1.0 INT1.0 | GC1.0 IS1.1 IC1.1 GS1.1 GC1.1 IS1.2 IC1.2 EC1.2 " EPOCH_2 " C2.4"},
    {"interrupt at GC", TWO, .action = INTERRUPT, .at = RNN_GET_BATCH_COMPLETED, .epoch = 1, .n_run = 2, .result = RNN_PAUSED,
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 INT1.0 | IS1.1 IC1.1 GS1.1 GC1.1 IS1.2 IC1.2 EC1.2 " EPOCH_2 " C2.4",
     .batches = "a b a b"},
    {"interrupt at IS goes on with the step itself", TWO, .action = INTERRUPT, .at = RNN_ITERATION_STARTED, .epoch = 1, .iteration = 1,
     .n_run = 2, .result = RNN_PAUSED,
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 INT1.1 | IC1.1 GS1.1 GC1.1 IS1.2 IC1.2 EC1.2 " EPOCH_2 " C2.4",
     .batches = "a b a b"},
    {"interrupt at IC", TWO, .action = INTERRUPT, .at = RNN_ITERATION_COMPLETED, .epoch = 1, .iteration = 1, .n_run = 2, .result = RNN_PAUSED,
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 INT1.1 | GS1.1 GC1.1 IS1.2 IC1.2 EC1.2 " EPOCH_2 " C2.4"},
    {"interrupt at EC of the last epoch leaves C to come", TWO, .action = INTERRUPT, .at = RNN_EPOCH_COMPLETED, .epoch = 2, .iteration = 4,
     .n_run = 2, .result = RNN_PAUSED,
     .expected = "S0.0 " EPOCH_1 " " EPOCH_2 " INT2.4 | C2.4"},
    {"interrupt at C is ignored", TWO, .action = INTERRUPT, .at = RNN_COMPLETED, .epoch = 2, .iteration = 4,
     .expected = "S0.0 " EPOCH_1 " " EPOCH_2 " C2.4"},
    /* Ignite fires GS again here, keyed on the last event */
    {"interrupt at STOP does not fetch twice", TWO, .action = INTERRUPT, .at = RNN_DATALOADER_STOP_ITERATION, .epoch = 2, .iteration = 2,
     .n_run = 2, .result = RNN_PAUSED,
     .expected = "S0.0 " EPOCH_1 " ES2.2 GS2.2 STOP2.2 INT2.2 | GC2.2 IS2.3 IC2.3 GS2.3 GC2.3 IS2.4 IC2.4 EC2.4 C2.4",
     .batches = "a b a b"},
    {"a run may be interrupted at every iteration", TWO, .action = INTERRUPT_EACH, .at = RNN_ITERATION_COMPLETED,
     .n_run = 5, .result = RNN_PAUSED,
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 INT1.1 | GS1.1 GC1.1 IS1.2 IC1.2 INT1.2 | EC1.2 "
                 "ES2.2 GS2.2 STOP2.2 GC2.2 IS2.3 IC2.3 INT2.3 | GS2.3 GC2.3 IS2.4 IC2.4 INT2.4 | EC2.4 C2.4"},

    {"a run after terminate() leaves the epoch unfinished", TWO, .action = TERMINATE, .at = RNN_ITERATION_COMPLETED, .epoch = 1, .iteration = 1,
     .n_run = 2,
     .expected = "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 TERM1.1 C1.1 | S1.1 ES2.1 GS2.1 GC2.1 IS2.2 IC2.2 "
                 "GS2.2 GC2.2 IS2.3 IC2.3 EC2.3 C2.3",
     .batches = "a a b"},
    /* Ignite starts again from 0 */
    {"a run after terminate() in the last epoch is finished", TWO, .action = TERMINATE, .at = RNN_ITERATION_COMPLETED, .epoch = 2, .iteration = 3,
     .n_run = 2,
     .expected = "S0.0 " EPOCH_1 " ES2.2 GS2.2 STOP2.2 GC2.2 IS2.3 IC2.3 TERM2.3 C2.3 | ", .n_notice = 1},
};
/* clang-format on */

struct actor {
    enum action action;
    int epoch, iteration;
};

static int act(rnn_engine *e, int event, void *user)
{
    const struct actor *a = user;
    const rnn_engine_state *s = rnn_state_of(e);
    (void)event;
    if (a->action != INTERRUPT_EACH &&
        (s->epoch != a->epoch || s->iteration != a->iteration))
        return 0;
    switch (a->action) {
    case NOTHING: break;
    case TERMINATE: rnn_terminate(e, false); break;
    case TERMINATE_SKIP: rnn_terminate(e, true); break;
    case END_EPOCH: rnn_terminate_epoch(e, false); break;
    case END_EPOCH_SKIP: rnn_terminate_epoch(e, true); break;
    case INTERRUPT:
    case INTERRUPT_EACH: rnn_interrupt(e); break;
    }
    return 0;
}

static void run_row(const struct row *row)
{
    static struct trace t;
    t = (struct trace){{0}, {0}};
    struct notices notices = {0};
    struct source source = {.n = row->n_batch, .one_shot = row->one_shot};
    rnn_iterable data = source_iterable(&source, !row->unsized, true);
    struct actor actor = {row->action, row->epoch, row->iteration};
    rnn_engine *e;
    CHECK(rnn_engine_new(&e, trace_process, &t, NULL) == 0, "no engine");
    rnn_set_notice(e, count_notice, &notices);
    trace_on(e, &t);
    if (row->action != NOTHING)
        rnn_on(e, row->at, NULL, act, &actor);

    for (int i = 0; i < (row->n_run ? row->n_run : 1); i++) {
        if (i > 0)
            append(t.text, sizeof t.text, "|");
        int result = rnn_engine_run(e, row->no_data ? NULL : &data, &row->options);
        CHECK(i > 0 || result == row->result, "%s: run() gave %d: %s", row->name, result,
              rnn_engine_error(e));
    }
    size_t n = strlen(row->expected); /* a trailing "| " stands for an empty run */
    n -= n > 0 && row->expected[n - 1] == ' ';
    CHECK(strlen(t.text) == n && strncmp(t.text, row->expected, n) == 0,
          "%s:\n  got      %s\n  expected %s", row->name, t.text, row->expected);
    if (row->batches)
        CHECK(strcmp(t.batches, row->batches) == 0, "%s: batches %s, expected %s",
              row->name, t.batches, row->batches);
    CHECK(notices.n == row->n_notice, "%s: %d notices, expected %d, last: %s", row->name,
          notices.n, row->n_notice, notices.last);
    rnn_close(e);
}

/* ---- what is visible when ---- */

static int note_output(rnn_engine *e, int event, void *user)
{
    struct trace *t = user;
    const rnn_engine_state *s = rnn_state_of(e);
    char entry[64], output[24] = "-";
    if (!s->output.null)
        snprintf(output, sizeof output, "%g", s->output.value);
    snprintf(entry, sizeof entry, "%s:%s:%s", short_name[event],
             s->batch ? (const char *)s->batch : "-", output);
    append(t->text, sizeof t->text, entry);
    return 0;
}

/* `batch` is cleared before GS, `output` when a batch is there. */
static void test_batch_and_output_are_visible_as_in_ignite(void)
{
    static struct trace t;
    struct source source = {.n = 2};
    rnn_iterable data = source_iterable(&source, true, true);
    rnn_engine *e;
    rnn_engine_new(&e, trace_process, &t, NULL);
    for (int event = 0; event < RNN_EVENT_COUNT; event++)
        if (event != RNN_EXCEPTION_RAISED)
            rnn_on(e, event, NULL, note_output, &t);
    rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = 1, .epoch_length = 3});
    CHECK_TEXT(t.text,
               "S:-:- ES:-:- GS:-:- GC:a:- IS:a:- IC:a:1 GS:-:1 GC:b:- IS:b:- IC:b:2 "
               "GS:-:2 STOP:-:2 GC:a:- IS:a:- IC:a:3 EC:a:3 C:a:3");
    rnn_close(e);
}

/* epoch_length and max_epochs as learnt from data of unknown length. */
static void test_unknown_length_is_learnt(void)
{
    struct trace t = {{0}, {0}};
    struct source source = {.n = 3};
    rnn_iterable data = source_iterable(&source, false, true);
    rnn_engine *e;
    rnn_engine_new(&e, trace_process, &t, NULL);
    rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 5});
    const rnn_engine_state *s = rnn_state_of(e);
    CHECK(s->epoch_length == 3, "epoch_length %d", (int)s->epoch_length);
    CHECK(s->max_epochs == 2, "max_epochs %d", (int)s->max_epochs);
    CHECK(s->iteration == 5, "iteration %d", (int)s->iteration);
    rnn_close(e);
}

static void test_times_are_null_before_the_first_run(void)
{
    struct trace t = {{0}, {0}};
    struct source source = {.n = 2};
    rnn_iterable data = source_iterable(&source, true, true);
    rnn_engine *e;
    rnn_engine_new(&e, trace_process, &t, NULL);
    CHECK(isnan(rnn_state_of(e)->run_seconds), "run_seconds is set");
    rnn_engine_run(e, &data, NULL);
    CHECK(rnn_state_of(e)->run_seconds >= rnn_state_of(e)->epoch_seconds,
          "run %g, epoch %g", rnn_state_of(e)->run_seconds, rnn_state_of(e)->epoch_seconds);
    rnn_close(e);
}

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        run_row(&rows[i]);
    test_batch_and_output_are_visible_as_in_ignite();
    test_unknown_length_is_learnt();
    test_times_are_null_before_the_first_run();
    return check_result();
}
