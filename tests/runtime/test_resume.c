/*
 * test_resume.c — progress saved, loaded and gone on with; limits raised.
 */
#include "harness.h"

static struct trace t;
static struct notices notices;

static rnn_engine *engine(void)
{
    rnn_engine *e = NULL;
    t = (struct trace){{0}, {0}};
    notices = (struct notices){0};
    CHECK(rnn_engine_new(&e, trace_process, &t, NULL) == 0, "no engine");
    rnn_set_notice(e, count_notice, &notices);
    trace_on(e, &t);
    return e;
}

static rnn_state_dict dict(int64_t iteration, int64_t epoch, int64_t length,
                           int64_t max_epochs)
{
    return (rnn_state_dict){.epoch_length = length,
                            .iteration = iteration,
                            .epoch = epoch,
                            .max_epochs = max_epochs,
                            .max_iters = RNN_NONE,
                            .time_iteration = RNN_NONE,
                            .pass = RNN_NONE,
                            .position = RNN_NONE};
}

/* Ignite runs the same events, but over batch a, and out of phase from then on. */
static void resume_in_an_epoch(bool seeks)
{
    rnn_engine *e = engine();
    struct source source = {.n = 2};
    rnn_iterable data = source_iterable(&source, true, seeks);
    rnn_state_dict d = dict(3, RNN_NONE, 2, 3);
    CHECK(rnn_state_load(e, &d) == 0, "%s", rnn_engine_error(e));
    CHECK(rnn_engine_run(e, &data, NULL) == 0, "%s", rnn_engine_error(e));
    CHECK_TEXT(t.text, "S1.3 ES2.3 GS2.3 GC2.3 IS2.4 IC2.4 EC2.4 ES3.4 GS3.4 STOP3.4 GC3.4 "
                       "IS3.5 IC3.5 GS3.5 GC3.5 IS3.6 IC3.6 EC3.6 C3.6");
    CHECK_TEXT(t.batches, "b a b");
    CHECK(source.n_seek == seeks, "%d seeks", source.n_seek);
    rnn_close(e);
}

static void test_a_resumed_epoch_runs_what_is_missing_on_its_own_data(void)
{
    resume_in_an_epoch(true);
    resume_in_an_epoch(false);
}

/* ---- what is refused ---- */

static void refuse(const char *what, rnn_state_dict d)
{
    rnn_engine *e = engine();
    int status = rnn_state_load(e, &d);
    CHECK(status == RNN_EINVAL, "%s: %d", what, status);
    CHECK(rnn_state_of(e)->iteration == 0 && rnn_state_of(e)->epoch_length == RNN_NONE,
          "%s: the state has changed", what);
    rnn_close(e);
}

static void test_contradictory_states_are_refused(void)
{
    rnn_state_dict d;
    refuse("iteration and epoch", dict(2, 1, 2, 3));
    refuse("neither iteration nor epoch", dict(RNN_NONE, RNN_NONE, 2, 3));
    refuse("no limit", dict(2, RNN_NONE, 2, RNN_NONE));
    d = dict(2, RNN_NONE, 2, 3), d.max_iters = 9;
    refuse("two limits", d);
    refuse("no epoch_length", dict(2, RNN_NONE, RNN_NONE, 3));
    refuse("epoch_length 0", dict(2, RNN_NONE, 0, 3));
    refuse("progress beyond the limit", dict(8, RNN_NONE, 2, 3));
    refuse("negative iteration", dict(-7, RNN_NONE, 2, 3));
    refuse("epoch times length overflows", dict(RNN_NONE, INT64_MAX / 2, 4, INT64_MAX));
    d = dict(RNN_NONE, RNN_NONE, 2, RNN_NONE), d.max_iters = 3, d.iteration = 4;
    refuse("iterations beyond max_iters", d);
    d = dict(2, RNN_NONE, 2, 3), d.n_entry = RNN_STATE_ENTRIES_MAX + 1;
    refuse("too many entries", d);
}

static void test_either_counter_gives_the_other(void)
{
    rnn_engine *e = engine();
    rnn_state_dict d = dict(RNN_NONE, 2, 5, 3);
    CHECK(rnn_state_load(e, &d) == 0, "%s", rnn_engine_error(e));
    CHECK(rnn_state_of(e)->iteration == 10, "%d", (int)rnn_state_of(e)->iteration);
    d = dict(13, RNN_NONE, 5, 3);
    CHECK(rnn_state_load(e, &d) == 0, "%s", rnn_engine_error(e));
    CHECK(rnn_state_of(e)->epoch == 2, "%d", (int)rnn_state_of(e)->epoch);
    d = dict(0, RNN_NONE, RNN_NONE, 3);
    CHECK(rnn_state_load(e, &d) == 0, "%s", rnn_engine_error(e));
    rnn_close(e);
}

static void test_kept_attributes_are_mandatory_and_come_back(void)
{
    rnn_engine *e = engine(), *other = engine();
    CHECK(rnn_attribute_keep(e, "best") == 0, "keep");
    rnn_attribute_set(e, "best", 0.25);
    rnn_attribute_set(e, "passing", 1);
    rnn_engine_run(e, NULL, &(rnn_run_options){.max_epochs = 1, .epoch_length = 2});
    rnn_state_dict d;
    CHECK(rnn_state_save(e, &d) == 0, "save");
    CHECK(d.n_entry == 1 && d.iteration == 2 && d.epoch == RNN_NONE && d.max_epochs == 1,
          "%d entries, iteration %d", (int)d.n_entry, (int)d.iteration);
    double best = 0;
    CHECK(rnn_state_load(other, &d) == 0, "%s", rnn_engine_error(other));
    CHECK(rnn_attribute_get(other, "best", &best) == 0 && best == 0.25, "best %g", best);
    d.n_entry = 0;
    CHECK(rnn_state_load(e, &d) == RNN_EINVAL, "best is missing");
    CHECK(strstr(rnn_engine_error(e), "best"), "%s", rnn_engine_error(e));
    rnn_close(e);
    rnn_close(other);
}

/* ---- finished runs ---- */

/* Ignite starts again from 0 in each of these. */
static void test_a_finished_run_is_left_alone_with_a_notice(void)
{
    struct source source = {.n = 2};
    rnn_iterable data = source_iterable(&source, true, true);
    rnn_engine *e = engine();
    rnn_state_dict d = dict(6, RNN_NONE, 2, 3);
    CHECK(rnn_state_load(e, &d) == 0, "%s", rnn_engine_error(e));
    CHECK(rnn_engine_run(e, &data, NULL) == 0, "%s", rnn_engine_error(e));
    CHECK_TEXT(t.text, "");
    CHECK(notices.n == 1 && rnn_state_of(e)->iteration == 6, "%d notices", notices.n);

    d = dict(3, RNN_NONE, 2, 3);
    CHECK(rnn_state_load(e, &d) == 0, "%s", rnn_engine_error(e));
    CHECK(rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = 1}) == 0, "%s",
          rnn_engine_error(e));
    CHECK(notices.n == 2 && rnn_state_of(e)->iteration == 3, "%d notices", notices.n);
    rnn_close(e);
}

static void test_a_larger_limit_goes_on_and_restart_begins_anew(void)
{
    struct source source = {.n = 2};
    rnn_iterable data = source_iterable(&source, true, true);
    rnn_engine *e = engine();
    rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = 1});
    t = (struct trace){{0}, {0}};
    rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = 2});
    CHECK_TEXT(t.text,
               "S1.2 ES2.2 GS2.2 GC2.2 IS2.3 IC2.3 GS2.3 GC2.3 IS2.4 IC2.4 EC2.4 C2.4");
    t = (struct trace){{0}, {0}};
    CHECK(rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = 1}) == RNN_EINVAL,
          "a limit behind the progress was accepted");
    CHECK(rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 1, .restart = true}) ==
              0,
          "%s", rnn_engine_error(e));
    CHECK_TEXT(t.text, "S0.0 ES1.0 GS1.0 GC1.0 IS1.1 IC1.1 TERM1.1 C1.1");
    rnn_close(e);
}

static void test_contradictory_options_are_refused(void)
{
    struct source source = {.n = 2};
    rnn_iterable data = source_iterable(&source, true, true), broken = data;
    broken.next = NULL;
    rnn_engine *e = engine();
    static const rnn_run_options bad[] = {{.max_epochs = 1, .max_iters = 1},
                                          {.max_epochs = -1},
                                          {.max_iters = -1},
                                          {.epoch_length = -1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(rnn_engine_run(e, &data, &bad[i]) == RNN_EINVAL, "options %d", (int)i);
    CHECK(rnn_engine_run(e, NULL, NULL) == RNN_EINVAL, "no data and no epoch_length");
    CHECK(rnn_engine_run(e, &broken, NULL) == RNN_EINVAL, "data without next");
    CHECK_TEXT(t.text, "");
    rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = 1});
    CHECK(rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 9}) == RNN_EINVAL,
          "mode");
    CHECK(
        rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = 2, .epoch_length = 3}) ==
            RNN_EINVAL,
        "another epoch_length");
    rnn_state_of(e)->max_epochs = RNN_NONE;
    CHECK(rnn_engine_run(e, &data, &(rnn_run_options){.max_iters = 3}) == 0, "%s",
          rnn_engine_error(e));
    rnn_close(e);
}

/* ---- saved anywhere, resumed in another engine: the same batches ---- */

enum { STOPS = 40 };

struct stop {
    int after; /* firings until the interrupt */
    rnn_state_dict dict;
};

static int stop_later(rnn_engine *e, int event, void *user)
{
    struct stop *s = user;
    (void)event;
    if (--s->after == 0)
        rnn_interrupt(e);
    return 0;
}

static void interrupt_on_all(rnn_engine *e, struct stop *s)
{
    for (int event = 0; event < RNN_EVENT_COUNT; event++)
        if (event != RNN_EXCEPTION_RAISED && event != RNN_INTERRUPT)
            rnn_on(e, event, NULL, stop_later, s);
}

/* The ends of batches and epochs in a trace: "IC1.1 IC1.2 EC1.2 …". */
static void ends_of(const char *trace, char *out, size_t capacity)
{
    char copy[TRACE_BYTES];
    snprintf(copy, sizeof copy, "%s", trace);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        if (strncmp(word, "IC", 2) == 0 || strncmp(word, "EC", 2) == 0)
            append(out, capacity, word);
}

/* Batches of the first engine up to its interrupt, then those of a second that loads the
   dict, are those of an uninterrupted run, and each end is told of once. */
static void resume_after(int after, int64_t epoch_length)
{
    struct source source = {.n = 3};
    rnn_iterable data = source_iterable(&source, true, true);
    rnn_run_options options = {.max_epochs = 3, .epoch_length = epoch_length};
    rnn_engine *whole = engine();
    rnn_engine_run(whole, &data, &options);
    char expected[sizeof t.batches];
    memcpy(expected, t.batches, sizeof expected);
    char expected_ends[TRACE_BYTES] = "", ends[TRACE_BYTES] = "";
    ends_of(t.text, expected_ends, sizeof expected_ends);
    rnn_close(whole);

    rnn_engine *e = engine();
    struct stop s = {.after = after};
    interrupt_on_all(e, &s);
    source = (struct source){.n = 3};
    int status = rnn_engine_run(e, &data, &options);
    CHECK(rnn_state_save(e, &s.dict) == 0, "save");
    rnn_close(e);
    char batches[sizeof t.batches];
    memcpy(batches, t.batches, sizeof batches);
    ends_of(t.text, ends, sizeof ends);
    if (status == RNN_PAUSED) {
        e = engine();
        source = (struct source){.n = 3};
        CHECK(rnn_state_load(e, &s.dict) == 0, "%s", rnn_engine_error(e));
        CHECK(rnn_engine_run(e, &data, &(rnn_run_options){0}) == 0, "%s",
              rnn_engine_error(e));
        if (t.batches[0])
            append(batches, sizeof batches, t.batches);
        ends_of(t.text, ends, sizeof ends);
        rnn_close(e);
    }
    CHECK(strcmp(ends, expected_ends) == 0, "stopped after %d events: got %s, expected %s",
          after, ends, expected_ends);
    CHECK(strcmp(batches, expected) == 0, "stopped after %d events: got %s, expected %s",
          after, batches, expected);
}

static void test_a_state_saved_at_any_event_resumes_exactly(void)
{
    for (int after = 1; after < STOPS; after++) {
        resume_after(after, 0);
        resume_after(after, 2);
        resume_after(after, 4);
    }
}

/* ---- a handler that could not come to its end ---- */

struct unfinished {
    int event, calls, pause_at;
};

static int count_call(rnn_engine *e, int event, void *user)
{
    (void)e, (void)event;
    ++*(int *)user;
    return 0;
}

static int pause_once(rnn_engine *e, int event, void *user)
{
    struct unfinished *u = user;
    (void)e, (void)event;
    return ++u->calls == u->pause_at ? RNN_PAUSED : 0;
}

static int end_seen(rnn_engine *e, int event, void *user)
{
    (void)event;
    append(user, 256, rnn_state_of(e)->output.null ? "null" : "loss");
    return 0;
}

/* The run pauses with the event; in this engine and in one that loads the state the event
   is fired again, with the batch's output, to the handlers that have not had it. */
static void pause_in(int event, int at, const char *expected)
{
    struct source source = {.n = 2};
    rnn_iterable data = source_iterable(&source, true, true);
    for (int again = 0; again < 2; again++) {
        struct unfinished u = {event, 0, at};
        int n_before = 0;
        char seen[256] = "";
        rnn_engine *e = engine();
        rnn_state_dict d;
        rnn_on(e, event, NULL, count_call, &n_before);
        rnn_on(e, event, NULL, pause_once, &u);
        rnn_on(e, event, NULL, end_seen, seen);
        int status = rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = 2});
        CHECK(status == RNN_PAUSED, "%d", status);
        CHECK(rnn_state_save(e, &d) == 0 && d.pending == event, "pending %d",
              (int)d.pending);
        if (again) {
            rnn_close(e);
            e = engine();
            rnn_on(e, event, NULL, count_call, &n_before);
            rnn_on(e, event, NULL, pause_once, &u);
            rnn_on(e, event, NULL, end_seen, seen);
            CHECK(rnn_state_load(e, &d) == 0, "%s", rnn_engine_error(e));
        }
        CHECK(rnn_engine_run(e, &data, NULL) == 0, "%s", rnn_engine_error(e));
        CHECK_TEXT(seen, expected);
        CHECK(n_before == (event == RNN_EPOCH_COMPLETED ? 2 : 4),
              "the handler before was called %d times", n_before);
        CHECK(rnn_state_of(e)->iteration == 4 && rnn_state_of(e)->epoch == 2, "%d.%d",
              (int)rnn_state_of(e)->epoch, (int)rnn_state_of(e)->iteration);
        rnn_close(e);
    }
}

static void test_an_event_that_was_not_finished_is_fired_again(void)
{
    for (int at = 1; at <= 2; at++)
        pause_in(RNN_EPOCH_COMPLETED, at, "loss loss");
    for (int at = 1; at <= 4; at++)
        pause_in(RNN_ITERATION_COMPLETED, at, "loss loss loss loss");
}

/* Others are hung before it in the program that goes on; they count as called. */
static void test_a_paused_handler_is_found_by_its_name(void)
{
    struct source source = {.n = 2};
    rnn_iterable data = source_iterable(&source, true, true);
    struct unfinished u = {RNN_EPOCH_COMPLETED, 0, 1};
    char seen[256] = "";
    int n[3] = {0};
    rnn_state_dict d;
    rnn_engine *first = engine(), *second = engine();
    CHECK(rnn_name_handler(first, rnn_on(first, RNN_EPOCH_COMPLETED, NULL, pause_once, &u),
                           "validate") == 0,
          "%s", rnn_engine_error(first));
    for (int i = 0; i < 3; i++)
        rnn_on(second, RNN_EPOCH_COMPLETED, NULL, count_call, &n[i]);
    rnn_name_handler(second, rnn_on(second, RNN_EPOCH_COMPLETED, NULL, pause_once, &u),
                     "validate");
    rnn_on(second, RNN_EPOCH_COMPLETED, NULL, end_seen, seen);
    CHECK(rnn_engine_run(first, &data, &(rnn_run_options){.max_epochs = 2}) == RNN_PAUSED,
          "%s", rnn_engine_error(first));
    CHECK(rnn_state_save(first, &d) == 0 && d.pending_place == 1, "place %d",
          (int)d.pending_place);
    CHECK_TEXT(d.pending_handler, "validate");
    CHECK(rnn_state_load(second, &d) == 0, "%s", rnn_engine_error(second));
    CHECK(rnn_engine_run(second, &data, NULL) == 0, "%s", rnn_engine_error(second));
    CHECK_TEXT(seen, "loss loss");
    CHECK(n[0] == 1 && n[1] == 1 && n[2] == 1, "called %d %d %d times", n[0], n[1], n[2]);
    CHECK(rnn_name_handler(first, 99, "x") == RNN_EINVAL, "a handle that never was");
    rnn_close(first);
    rnn_close(second);
}

/* A state from a program with other handlers: none of these has had the event. */
static void test_a_handler_of_elsewhere_passes_over_no_handler(void)
{
    struct source source = {.n = 2};
    rnn_iterable data = source_iterable(&source, true, true);
    rnn_state_dict d = dict(2, RNN_NONE, 2, 1);
    char seen[256] = "";
    rnn_engine *e = engine();
    d.pending = RNN_EPOCH_COMPLETED;
    d.pending_handler = "of elsewhere";
    d.pending_place = 1;
    rnn_on(e, RNN_EPOCH_COMPLETED, NULL, end_seen, seen);
    CHECK(rnn_state_load(e, &d) == 0, "%s", rnn_engine_error(e));
    CHECK(rnn_engine_run(e, &data, NULL) == 0, "%s", rnn_engine_error(e));
    CHECK_TEXT(seen, "loss");
    rnn_close(e);
}

int main(void)
{
    test_a_resumed_epoch_runs_what_is_missing_on_its_own_data();
    test_contradictory_states_are_refused();
    test_either_counter_gives_the_other();
    test_kept_attributes_are_mandatory_and_come_back();
    test_a_finished_run_is_left_alone_with_a_notice();
    test_a_larger_limit_goes_on_and_restart_begins_anew();
    test_contradictory_options_are_refused();
    test_a_state_saved_at_any_event_resumes_exactly();
    test_an_event_that_was_not_finished_is_fired_again();
    test_a_paused_handler_is_found_by_its_name();
    test_a_handler_of_elsewhere_passes_over_no_handler();
    return check_result();
}
