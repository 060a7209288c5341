/*
 * test_oom.c — memory: whichever allocation fails, the caller gets RNN_ENOMEM, and
 * nothing leaks; and the loop allocates nothing.
 */
#include "fake_model.h"
#include "harness.h"

static struct series series[2];
static struct series_source source = {.series = series, .n = 2};

static int nothing(rnn_engine *e, int event, void *user)
{
    (void)e, (void)event, (void)user;
    return 0;
}

static int register_things(rnn_engine *e)
{
    static const int64_t list[] = {1, 3};
    int status = rnn_register_event(e, "CUSTOM", "custom");
    for (int i = 0; i < 6 && status >= 0; i++)
        status = rnn_on(e, RNN_ITERATION_STARTED,
                        &(rnn_filter){.once_list = list, .n_once = 2}, nothing, NULL);
    if (status >= 0)
        status = rnn_attribute_keep(e, "best");
    if (status >= 0)
        status = rnn_metric_set(e, "accuracy", 1);
    return status < 0 ? status : 0;
}

static int train(rnn_engine *e)
{
    rnn_iterable data = series_iterable(&source);
    source.at = 0;
    return rnn_engine_run(e, &data, &(rnn_run_options){.max_epochs = 2});
}

static int whole_life(struct budget *b)
{
    rnn_allocator a = budget_allocator(b);
    rnn_engine *e = NULL, *evaluator = NULL;
    int status = rnn_tbptt_trainer(
        &e, &fake_model,
        &(rnn_tbptt_options){.tbptt_step = 3, .threads = 2, .allocator = &a});
    if (status == 0)
        status = rnn_tbptt_evaluator(&evaluator, e, NULL);
    if (status == 0)
        status = register_things(e);
    if (status == 0)
        status = train(e);
    rnn_close(evaluator);
    rnn_close(e);
    return status;
}

static void test_every_allocation_may_fail(void)
{
    struct budget b = {0};
    CHECK(whole_life(&b) == 0, "failed without a fault");
    CHECK(b.live == 0, "%d live", b.live);
    int n = b.n_made;
    CHECK(n > 10, "only %d allocations", n);
    for (int i = 1; i <= n; i++) {
        b = (struct budget){.fail_at = i};
        int status = whole_life(&b);
        CHECK(status == RNN_ENOMEM, "allocation %d of %d: %d", i, n, status);
        CHECK(b.live == 0, "allocation %d of %d: %d live", i, n, b.live);
    }
}

static void test_the_loop_allocates_nothing(void)
{
    struct budget b = {0};
    rnn_allocator a = budget_allocator(&b);
    rnn_engine *e = NULL;
    rnn_tbptt_trainer(&e, &fake_model,
                      &(rnn_tbptt_options){.tbptt_step = 3, .threads = 2, .allocator = &a});
    rnn_on(e, RNN_BACKWARD_COMPLETED, NULL, nothing, NULL);
    rnn_on(e, RNN_TIME_ITERATION_COMPLETED, &(rnn_filter){.every = 2}, nothing, NULL);
    int before = b.n_made;
    CHECK(train(e) == 0, "%s", rnn_engine_error(e));
    CHECK(b.n_made == before, "%d allocations in the loop", b.n_made - before);
    rnn_close(e);
}

int main(void)
{
    series_make(&series[0], 0, 8, 4);
    series_make(&series[1], 1, 8, 4);
    test_every_allocation_may_fail();
    test_the_loop_allocates_nothing();
    return check_result();
}
