/*
 * test_late_code.c — code that is compiled when it is first called, in whole runs: what a
 * command does not need is not compiled; where LLVM refuses in the middle of a run, the run
 * ends in order, with its sentence and its checkpoint.
 *
 * LLVM refuses when the target is renamed to one that it does not know: what was compiled
 * before goes on, all else fails.
 */
#include "command.h"
#include "differential.h"

#include "graph/describe.h"

#include <signal.h>

static const char spec[] = "rnnc: 1\nname: late\ninputs: {x: [2], y: [1]}\nmodel: |\n"
                           "  rnn = gru(x, hidden=5)\n  head = linear(rnn, size=1)\n"
                           "loss: mse(head, y)\noptimizer: adam(lr=0.01)\n";

/* 1 iteration of 3 chunks an epoch, a checkpoint behind each, validated behind the second.
 */
static const char settings[] =
    "{\"name\": \"late\", \"spec\": \"late.yaml\", \"tbptt\": {\"step\": 4},"
    " \"data\": {\"train\": {\"random\": true, \"batch\": 4, \"steps\": 12},"
    "            \"valid\": {\"random\": true, \"batch\": 4, \"steps\": 12}},"
    " \"train\": {\"epochs\": 3, \"seed\": 1, \"handlers\": ["
    "{\"validate\": {\"every\": 2, \"on\": \"EPOCH_COMPLETED\"}},"
    "{\"checkpoint\": {\"every\": 1, \"on\": \"ITERATION_COMPLETED\"}}]}}";

/* A compiled model, its target in reach. */
typedef struct {
    Arena *arena;
    Target *target;
    Jit *jit;
} Code;

static Code code_open(bool trains)
{
    const char *why;
    Arena *a = arena_new();
    Trial t = {.name = "late", .text = spec, .steps = 4, .rows = 4};
    Target *target = NEW(a, Target);
    *target = *target_find(NULL, &why);
    Unit *u = trial_unit(a, &t, target, true, NULL);
    if (!u)
        exit(1); /* RNNC_VERBOSE=1 shows the spec's mistakes */
    Jit *jit = jit_plan(a, diag_new(a, stderr), u->plan, graph_describe(a, u->graph, 4, 4),
                        target, trains);
    if (!jit)
        exit(1);
    command_model = jit_model(jit);
    return (Code){a, target, jit};
}

static void code_close(Code *c)
{
    jit_free(c->jit);
    arena_free(c->arena);
}

static void spoil(Code *c) { c->target->triple = "none-of-these"; }

static int run(const char *line) { return run_settings(settings, line); }

/* abort() is LLVM's word for want of memory while it is at work, and no longer. */
static void check_abort(const char *when)
{
    struct sigaction now;
    sigaction(SIGABRT, NULL, &now);
    CHECK(now.sa_handler == SIG_IGN, "%s: abort() is listened to", when);
}

static void test_the_programs_own_abort_is_left_to_it(void)
{
    signal(SIGABRT, SIG_IGN);
    Code c = code_open(true);
    check_abort("compiled");
    CHECK(run_settings(settings, "--quiet --out aborts") == 0, "%s", errors);
    check_abort("run, with what is compiled late");
    code_close(&c);
    c = code_open(false);
    spoil(&c);
    CHECK(run_settings(settings, "--quiet --out refused") != 0, "%s", errors);
    check_abort("LLVM has refused");
    code_close(&c);
    signal(SIGABRT, SIG_DFL);
}

static void test_a_run_whose_late_code_fails_is_resumed_without_a_difference(void)
{
    Code whole = code_open(true);
    CHECK(run("train --quiet --out runs/whole") == 0, "%s", errors);
    code_close(&whole);

    Code broken = code_open(true);
    spoil(&broken);
    int status = run("train --quiet --out runs/late");
    CHECK(status == 8, "status %d: %s", status, errors);
    CHECK(count(errors, "LLVM says: ") == 1, "not once: %s", errors);
    CHECK(strstr(errors, "trainer: error: "), "no sentence: %s", errors);
    code_close(&broken);

    Code again = code_open(true);
    CHECK(run("train --quiet --resume runs/late") == 0, "%s", errors);
    CHECK(same_tensors("runs/late/checkpoint_3.safetensors",
                       "runs/whole/checkpoint_3.safetensors"),
          "other parameters");
    code_close(&again);
}

/* With nothing compiled and nothing that can be, a command that runs no code succeeds. */
static void test_info_compiles_nothing(void)
{
    Code c = code_open(false);
    spoil(&c);
    CHECK(run("info") == 0 && strstr(output, "rnn.weight_hh_l0"), "%s%s", output, errors);
    int status = run("eval --quiet --resume runs/whole");
    CHECK(status == 8 && count(errors, "LLVM says: ") == 1, "status %d: %s", status,
          errors);
    code_close(&c);
}

/* The same figures as where training was compiled with it. */
static void test_a_command_that_does_not_train_has_code_enough(void)
{
    static char expected[sizeof output];
    Code all = code_open(true);
    CHECK(run("eval --quiet --resume runs/whole") == 0, "%s", errors);
    strcpy(expected, output);
    code_close(&all);
    Code some = code_open(false);
    CHECK(run("eval --quiet --resume runs/whole") == 0, "%s", errors);
    CHECK_TEXT(output, expected);
    CHECK(run("train --quiet --out runs/some") == 0, "%s", errors);
    CHECK(same_tensors("runs/some/checkpoint_3.safetensors",
                       "runs/whole/checkpoint_3.safetensors"),
          "other parameters");
    code_close(&some);
}

static void test_the_command_line_tells_whether_it_trains(void)
{
    static char train[] = "train", eval[] = "eval", option[] = "--quiet", other[] = "tr";
    CHECK(rnn_trainer_trains(0, NULL), "nothing said");
    CHECK(rnn_trainer_trains(1, (char *[]){train}), "train");
    CHECK(rnn_trainer_trains(1, (char *[]){option}), "an option");
    CHECK(!rnn_trainer_trains(2, (char *[]){eval, option}), "eval");
    CHECK(!rnn_trainer_trains(1, (char *[]){other}), "no command");
}

int main(void)
{
    scratch_open();
    if (chdir(scratch_folder) != 0)
        return 1;
    test_the_programs_own_abort_is_left_to_it(); /* first: LLVM is begun there */
    test_a_run_whose_late_code_fails_is_resumed_without_a_difference();
    test_info_compiles_nothing();
    test_a_command_that_does_not_train_has_code_enough();
    test_the_command_line_tells_whether_it_trains();
    return command_end();
}
