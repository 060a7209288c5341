/*
 * test_filters.c — which firings a filter lets through, and what is refused.
 */
#include "harness.h"

struct row {
    const char *name;
    rnn_filter filter;
    const char *expected; /* values of 1 … 12 that pass; NULL: refused */
};

static bool odd(rnn_engine *e, int64_t value, void *user)
{
    (void)e;
    return value % 2 == *(const int *)user;
}

static int one = 1;
static const int64_t list[] = {2, 5, 11}, bad_list[] = {2, 0};

/* clang-format off */
static const struct row rows[] = {
    {"every 3", {.every = 3}, "3 6 9 12"},
    {"every 1", {.every = 1}, "1 2 3 4 5 6 7 8 9 10 11 12"},
    {"once", {.once = 4}, "4"},
    {"once of a list", {.once_list = list, .n_once = 3}, "2 5 11"},
    {"before", {.before = 4}, "1 2 3"},
    {"after", {.after = 9}, "10 11 12"},
    {"after and before", {.after = 2, .before = 6}, "3 4 5"},
    {"before 0 is never", {.has_before = true}, ""},
    {"after 0 is always", {.has_after = true}, "1 2 3 4 5 6 7 8 9 10 11 12"},
    {"after >= before is never", {.after = 6, .before = 6}, ""},
    {"every with before counts from 1", {.every = 3, .before = 8}, "1 4 7"},
    {"every with after counts from after", {.every = 3, .after = 2}, "3 6 9 12"},
    {"every with after 0 changes the phase", {.every = 3, .has_after = true}, "1 4 7 10"},
    {"every with both", {.every = 3, .after = 2, .before = 8}, "3 6"},
    {"every 1 with before", {.every = 1, .before = 4}, "1 2 3"},
    {"function", {.function = odd, .user = &one}, "1 3 5 7 9 11"},
    {"nothing given", {.every = 0}, NULL},
    {"negative every", {.every = -1}, NULL},
    {"negative once", {.once = -1}, NULL},
    {"negative before", {.before = -1}, NULL},
    {"negative after", {.after = -2}, NULL},
    {"empty list", {.once_list = list}, NULL},
    {"list of no values", {.n_once = 2}, NULL},
    {"list with 0", {.once_list = bad_list, .n_once = 2}, NULL},
    {"once twice", {.once = 1, .once_list = list, .n_once = 3}, NULL},
    {"every and once", {.every = 2, .once = 3}, NULL},
    {"function and every", {.every = 2, .function = odd, .user = &one}, NULL},
    {"function and once", {.once = 2, .function = odd, .user = &one}, NULL},
    {"once and after", {.once = 2, .after = 1}, NULL},
};
/* clang-format on */

static int note_value(rnn_engine *e, int event, void *user)
{
    struct trace *t = user;
    char value[24];
    (void)event;
    snprintf(value, sizeof value, "%d", (int)rnn_state_of(e)->iteration);
    append(t->text, sizeof t->text, value);
    return 0;
}

static rnn_engine *engine(struct trace *t)
{
    rnn_engine *e = NULL;
    *t = (struct trace){{0}, {0}};
    CHECK(rnn_engine_new(&e, trace_process, t, NULL) == 0, "no engine");
    return e;
}

static void run_row(const struct row *row)
{
    static struct trace t;
    rnn_engine *e = engine(&t);
    int handle = rnn_on(e, RNN_ITERATION_STARTED, &row->filter, note_value, &t);
    CHECK((handle > 0) == (row->expected != NULL), "%s: %d %s", row->name, handle,
          rnn_engine_error(e));
    CHECK(row->expected || handle == RNN_EINVAL, "%s: %d", row->name, handle);
    rnn_engine_run(e, NULL, &(rnn_run_options){.max_epochs = 1, .epoch_length = 12});
    if (row->expected)
        CHECK(strcmp(t.text, row->expected) == 0, "%s: got %s, expected %s", row->name,
              t.text, row->expected);
    rnn_close(e);
}

/* What Ignite finds out at the first firing, rnnc says at registration. */
static void test_events_without_counter_refuse_filters(void)
{
    static const int bare[] = {RNN_DATALOADER_STOP_ITERATION, RNN_TERMINATE,
                               RNN_TERMINATE_SINGLE_EPOCH, RNN_INTERRUPT,
                               RNN_EXCEPTION_RAISED};
    static struct trace t;
    rnn_engine *e = engine(&t);
    for (size_t i = 0; i < sizeof bare / sizeof *bare; i++) {
        int status = rnn_on(e, bare[i], &(rnn_filter){.every = 2}, note_value, &t);
        CHECK(status == RNN_EINVAL, "%s: %d", rnn_event_name(e, bare[i]), status);
        CHECK(strstr(rnn_engine_error(e), "EPOCH_STARTED"), "%s", rnn_engine_error(e));
        status = rnn_on(e, bare[i], &(rnn_filter){.every = 1}, note_value, &t);
        CHECK(status > 0, "every 1 on %s: %d", rnn_event_name(e, bare[i]), status);
    }
    rnn_close(e);
}

/* The epoch is 0 at STARTED. */
static void test_started_once_never_fires_on_a_fresh_run(void)
{
    static struct trace t;
    rnn_engine *e = engine(&t);
    rnn_on(e, RNN_STARTED, &(rnn_filter){.once = 1}, trace_event, &t);
    rnn_on(e, RNN_COMPLETED, &(rnn_filter){.once = 2}, trace_event, &t);
    rnn_on(e, RNN_EPOCH_STARTED, &(rnn_filter){.every = 2}, trace_event, &t);
    rnn_engine_run(e, NULL, &(rnn_run_options){.max_epochs = 2, .epoch_length = 1});
    CHECK_TEXT(t.text, "ES2.1 C2.2");
    rnn_close(e);
}

/* ---- counters of one's own ---- */

static int fire_custom(rnn_engine *e, int event, void *user)
{
    (void)event;
    rnn_attribute_add(e, "foo", 1);
    return rnn_fire(e, *(const int *)user);
}

static void test_custom_counters_are_the_users_and_the_engines_own(void)
{
    static struct trace t, other_t;
    rnn_engine *e = engine(&t), *other = engine(&other_t);
    int foo = rnn_register_event(e, "FOO", "foo");
    CHECK(foo >= RNN_EVENT_COUNT, "event %d", foo);
    CHECK(rnn_register_event(e, "FOO", NULL) == foo, "registered twice");
    CHECK(rnn_event_find(other, "FOO") == RNN_EINVAL, "another engine knows it");
    CHECK(rnn_attribute_get(other, "foo", &(double){0}) == RNN_EINVAL,
          "another engine has it");
    double value = -1;
    CHECK(rnn_attribute_get(e, "foo", &value) == 0 && value == 0, "foo is %g", value);
    CHECK(rnn_attribute_set(e, "iteration", 3) == RNN_EINVAL &&
              rnn_attribute_add(e, "output", 3) == RNN_EINVAL,
          "an attribute that no one could read");
    rnn_on(e, RNN_ITERATION_STARTED, NULL, fire_custom, &foo);
    rnn_on(e, foo, &(rnn_filter){.every = 4}, note_value, &t);
    rnn_engine_run(e, NULL, &(rnn_run_options){.max_epochs = 1, .epoch_length = 9});
    CHECK_TEXT(t.text, "4 8");
    CHECK(rnn_event_counter(e, foo) == RNN_COUNTER_ATTRIBUTE, "counter %d",
          (int)rnn_event_counter(e, foo));

    int bare = rnn_register_event(e, "BARE", NULL);
    CHECK(rnn_on(e, bare, &(rnn_filter){.once = 2}, note_value, &t) == RNN_EINVAL,
          "accepted");
    CHECK(rnn_register_event(e, "BARE", "epoch") == bare, "not the same");
    CHECK(rnn_on(e, bare, &(rnn_filter){.once = 2}, note_value, &t) > 0, "refused");
    CHECK(rnn_fire(e, bare + 1) == RNN_EINVAL, "fired an unknown event");
    CHECK(rnn_register_event(e, "OUT", "output") == RNN_EINVAL &&
              rnn_event_find(e, "OUT") < 0,
          "counts what is no counter");
    CHECK(rnn_attribute_keep(e, "epoch") == RNN_EINVAL, "keeps what the engine has");
    CHECK(rnn_register_event(e, "", NULL) == RNN_EINVAL, "took an empty name");
    rnn_close(e);
    rnn_close(other);
}

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        run_row(&rows[i]);
    test_events_without_counter_refuse_filters();
    test_started_once_never_fires_on_a_fresh_run();
    test_custom_counters_are_the_users_and_the_engines_own();
    return check_result();
}
