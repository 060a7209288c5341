/*
 * test_handlers.c — adding, ordering and removing handlers.
 */
#include "harness.h"

struct word {
    struct trace *t;
    const char *text;
};

static int say(rnn_engine *e, int event, void *user)
{
    const struct word *w = user;
    (void)e, (void)event;
    append(w->t->text, sizeof w->t->text, w->text);
    return 0;
}

static int say_too(rnn_engine *e, int event, void *user) { return say(e, event, user); }

static struct trace t;

static rnn_engine *engine(void)
{
    rnn_engine *e = NULL;
    t = (struct trace){{0}, {0}};
    CHECK(rnn_engine_new(&e, trace_process, &t, NULL) == 0, "no engine");
    return e;
}

static void run(rnn_engine *e, int64_t n)
{
    int status = rnn_engine_run(
        e, NULL, &(rnn_run_options){.max_epochs = 1, .epoch_length = n, .restart = true});
    CHECK(status == 0, "%d %s", status, rnn_engine_error(e));
}

static void test_handlers_run_in_the_order_added_and_as_often(void)
{
    rnn_engine *e = engine();
    struct word a = {&t, "a"}, b = {&t, "b"};
    rnn_on(e, RNN_ITERATION_STARTED, NULL, say, &b);
    rnn_on(e, RNN_ITERATION_STARTED, NULL, say, &a);
    rnn_on(e, RNN_ITERATION_STARTED, NULL, say, &b);
    run(e, 1);
    CHECK_TEXT(t.text, "b a b");
    rnn_close(e);
}

static void test_off_removes_one_and_off_all_every_copy(void)
{
    rnn_engine *e = engine();
    struct word a = {&t, "a"}, b = {&t, "b"};
    int first = rnn_on(e, RNN_ITERATION_STARTED, NULL, say, &a);
    rnn_on(e, RNN_ITERATION_STARTED, &(rnn_filter){.every = 2}, say, &a);
    rnn_on(e, RNN_ITERATION_STARTED, NULL, say_too, &b);
    CHECK(rnn_off(e, first) == 0 && rnn_off(e, first) == 0, "off is not idempotent");
    CHECK(rnn_off(e, 99) == RNN_EINVAL && rnn_off(e, 0) == RNN_EINVAL, "took no handle");
    run(e, 2);
    CHECK_TEXT(t.text, "b a b");
    CHECK(rnn_off_all(e, say, RNN_ITERATION_STARTED) == 0, "%s", rnn_engine_error(e));
    CHECK(rnn_off_all(e, say, RNN_ITERATION_STARTED) == RNN_EINVAL, "removed twice");
    CHECK(rnn_off_all(e, say_too, RNN_COMPLETED) == RNN_EINVAL, "was not there");
    CHECK(rnn_off_all(e, say_too, 999) == RNN_EINVAL, "no such event");
    CHECK(!rnn_has_handler(e, say, RNN_NONE) && rnn_has_handler(e, say_too, RNN_NONE),
          "has");
    rnn_close(e);
}

/* A | B(every=2) */
static void test_a_list_of_events_is_one_handle(void)
{
    rnn_engine *e = engine();
    struct word a = {&t, "a"};
    rnn_filter every_2 = {.every = 2};
    rnn_event_filter list[] = {{RNN_STARTED, NULL}, {RNN_ITERATION_STARTED, &every_2}};
    int handle = rnn_on_list(e, list, 2, say, &a);
    CHECK(handle > 0, "%s", rnn_engine_error(e));
    run(e, 4);
    CHECK_TEXT(t.text, "a a a");
    rnn_off(e, handle);
    CHECK(!rnn_has_handler(e, NULL, RNN_NONE), "something is left");
    rnn_event_filter bad[] = {{RNN_STARTED, NULL}, {RNN_TERMINATE, &every_2}};
    CHECK(rnn_on_list(e, bad, 2, say, &a) == RNN_EINVAL, "accepted");
    CHECK(!rnn_has_handler(e, NULL, RNN_NONE), "half of a refused list is there");
    rnn_close(e);
}

static void test_unknown_events_and_null_handlers_are_refused(void)
{
    rnn_engine *e = engine();
    CHECK(rnn_on(e, RNN_EVENT_COUNT, NULL, say, NULL) == RNN_EINVAL, "unknown event");
    CHECK(rnn_on(e, -1, NULL, say, NULL) == RNN_EINVAL, "negative event");
    CHECK(rnn_on(e, RNN_STARTED, NULL, NULL, NULL) == RNN_EINVAL, "no handler");
    CHECK(rnn_event_find(e, "EPOCH_STARTED") == RNN_EPOCH_STARTED, "name");
    CHECK(rnn_event_find(e, "nothing") == RNN_EINVAL, "name");
    CHECK(rnn_event_name(e, -1) == NULL, "name of no event");
    rnn_close(e);
}

/* ---- changes during a dispatch ---- */

struct change {
    struct word *word;
    int handle, event;
};

static int add_more(rnn_engine *e, int event, void *user)
{
    struct change *c = user;
    return rnn_on(e, event, NULL, say, c->word) > 0 ? 0 : RNN_ENOMEM;
}

static int remove_it(rnn_engine *e, int event, void *user)
{
    struct change *c = user;
    (void)event;
    return rnn_off(e, c->handle);
}

/* Adds enough events for the table to move under the dispatch. */
static int register_many(rnn_engine *e, int event, void *user)
{
    (void)event, (void)user;
    for (int i = 0; i < 64; i++) {
        char name[24];
        snprintf(name, sizeof name, "EVENT_%d", i);
        if (rnn_register_event(e, name, name) < 0)
            return RNN_ENOMEM;
    }
    return 0;
}

static void test_an_added_handler_waits_for_the_next_firing(void)
{
    rnn_engine *e = engine();
    struct word a = {&t, "a"}, comma = {&t, ","};
    struct change c = {.word = &a};
    rnn_on(e, RNN_ITERATION_STARTED, NULL, add_more, &c);
    rnn_on(e, RNN_ITERATION_COMPLETED, NULL, say, &comma);
    run(e, 3);
    CHECK_TEXT(t.text, ", a , a a ,");
    rnn_close(e);
}

static void test_a_removed_handler_is_gone_at_once(void)
{
    rnn_engine *e = engine();
    struct word a = {&t, "a"}, b = {&t, "b"};
    struct change c;
    rnn_on(e, RNN_ITERATION_STARTED, NULL, remove_it, &c);
    c.handle = rnn_on(e, RNN_ITERATION_STARTED, NULL, say, &a);
    rnn_on(e, RNN_ITERATION_STARTED, NULL, say, &b);
    run(e, 2);
    CHECK_TEXT(t.text, "b b");
    rnn_close(e);
}

static int remove_self(rnn_engine *e, int event, void *user)
{
    append(t.text, sizeof t.text, "self");
    (void)user;
    return rnn_off_all(e, remove_self, event);
}

static void test_a_handler_may_remove_itself(void)
{
    rnn_engine *e = engine();
    struct word b = {&t, "b"};
    rnn_on(e, RNN_ITERATION_STARTED, NULL, remove_self, NULL);
    rnn_on(e, RNN_ITERATION_STARTED, NULL, say, &b);
    run(e, 2);
    CHECK_TEXT(t.text, "self b b");
    rnn_close(e);
}

static void test_tables_may_grow_during_a_dispatch(void)
{
    rnn_engine *e = engine();
    struct word b = {&t, "b"};
    rnn_on(e, RNN_ITERATION_STARTED, &(rnn_filter){.once = 1}, register_many, NULL);
    rnn_on(e, RNN_ITERATION_STARTED, NULL, say, &b);
    run(e, 2);
    CHECK_TEXT(t.text, "b b");
    CHECK(rnn_event_find(e, "EVENT_63") == RNN_EVENT_COUNT + 63, "event");
    rnn_close(e);
}

static int fire_nested(rnn_engine *e, int event, void *user)
{
    (void)event;
    return rnn_fire(e, *(const int *)user);
}

static void test_last_event_is_the_last_fired_custom_ones_too(void)
{
    rnn_engine *e = engine();
    CHECK(rnn_state_of(e)->last_event == RNN_NONE, "last event before the run");
    int mine = rnn_register_event(e, "MINE", NULL);
    rnn_on(e, RNN_COMPLETED, NULL, fire_nested, &mine);
    run(e, 1);
    CHECK(rnn_state_of(e)->last_event == mine, "last %d", rnn_state_of(e)->last_event);
    rnn_close(e);
}

static int run_again(rnn_engine *e, int event, void *user)
{
    (void)event;
    *(int *)user = rnn_engine_run(e, NULL, NULL);
    return 0;
}

static void test_a_run_inside_a_run_is_refused(void)
{
    rnn_engine *e = engine();
    int result = 0;
    rnn_on(e, RNN_ITERATION_STARTED, NULL, run_again, &result);
    run(e, 1);
    CHECK(result == RNN_EBUSY, "%d", result);
    rnn_close(e);
}

static void test_every_error_has_a_sentence(void)
{
#define X(name, code, sentence) CHECK_TEXT(rnn_error_text(RNN_##name), sentence);
    RNN_ERROR_LIST(X)
#undef X
    CHECK_TEXT(rnn_error_text(-999), "error");
}

int main(void)
{
    test_handlers_run_in_the_order_added_and_as_often();
    test_off_removes_one_and_off_all_every_copy();
    test_a_list_of_events_is_one_handle();
    test_unknown_events_and_null_handlers_are_refused();
    test_an_added_handler_waits_for_the_next_firing();
    test_a_removed_handler_is_gone_at_once();
    test_a_handler_may_remove_itself();
    test_tables_may_grow_during_a_dispatch();
    test_last_event_is_the_last_fired_custom_ones_too();
    test_a_run_inside_a_run_is_refused();
    test_every_error_has_a_sentence();
    return check_result();
}
