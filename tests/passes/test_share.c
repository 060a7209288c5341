/*
 * test_share.c — scans whose features threads share: which are, on every level that there
 * is, where threads wait in them, and that they compute what the interpreter does, with the
 * same bits for 1, 2 and 3 threads, on every level of this machine (differential.c).
 *
 * Sizes are those of few rows and of weights beyond a first-level cache; some are no
 * multiples of a vector, some of an odd number of units. Chunks are of one block or, for
 * caches that hold next to nothing, of several; the last one of a trial is a step shorter
 * and, where it can be, a row smaller.
 */
#include "check.h"
#include "differential.h"
#include "emit/emit.h"

#define CELL_OF_TWO_PRODUCTS                                                   \
    "cells:\n  two:\n    args: {hidden: integer}\n    input: {x: [I]}\n"       \
    "    state: {h: [hidden]}\n"                                               \
    "    params: {W: [hidden, I], U: [hidden, hidden], V: [hidden, hidden]}\n" \
    "    step: |\n      f = sigmoid(W @ x + U @ h)\n"                          \
    "      h' = (1 - f) * h + f * tanh(V @ (f * h) + W @ x)\n    output: h'\n"

typedef struct {
    const char *cells, *model, *dtype;
    int64_t rows, steps;
    bool shared;    /* its scans, forward and backward */
    int in_forward; /* barriers of a step, where they are */
    bool cramped;   /* blocks are shorter than the chunk */
} Case;

static const Case cases[] = {
    {"", "lstm(x, hidden=64)", "f32", 1, 6, true, 1, false},
    {"", "lstm(x, hidden=100)", "f32", 1, 6, true, 1, false},
    {"", "gru(x, hidden=88)", "f32", 1, 6, true, 1, false},
    {"", "rnn(x, hidden=200)", "f32", 1, 6, true, 1, false},
    {CELL_OF_TWO_PRODUCTS, "two(x, hidden=120)", "f32", 1, 6, true, 2, false},
    {"", "lstm(x, hidden=100)", "f32", 3, 6, true, 1, false},
    {CELL_OF_TWO_PRODUCTS, "two(x, hidden=180)", "f32", 2, 5, true, 2, false},
    {"", "gru(x, hidden=52)", "f64", 1, 6, true, 1, false},
    {"", "gru(x, hidden=72)", "f32", 1, 11, true, 1, true},
    {CELL_OF_TWO_PRODUCTS, "two(x, hidden=104)", "f64", 3, 11, true, 2, true},
    {"", "lstm(x, hidden=16)", "f32", 1, 6, false, 0, false},
    {"", "lstm(x, hidden=64)", "f32", 8, 6, false, 0, false},
    {"", "lstm(x, hidden=64, layer_norm=true)", "f32", 1, 6, false, 0, false},
};

static Trial trial_of(Arena *arena, const Case *c)
{
    const char *text = arena_print(
        arena,
        "rnnc: 1\nname: shared\ndtype: %s\ninputs: {x: [5], y: [3]}\n%smodel: |\n"
        "  rnn  = %s\n  head = linear(rnn, size=3)\nloss: mse(head, y)\n"
        "optimizer: sgd(lr=1e-2)\ntbptt: {step: %d}\n"
        "data: {train: {random: true, batch: 1, steps: %d}}\n",
        c->dtype, c->cells, c->model, (int)c->steps, 2 * (int)c->steps);
    return (Trial){.name = c->model,
                   .text = text,
                   .steps = c->steps,
                   .rows = c->rows,
                   .seed = 7,
                   .cramped = c->cramped};
}

static int barriers_of_step(const Group *g)
{
    int n = 0;
    for (int i = 0; i < g->n_nest; i++)
        n += g->nest[i].barrier;
    return n;
}

static void check_stage(const Case *c, const Target *level, const Stage *s)
{
    CHECK(s->features == c->shared, "%s, %d rows, %s: features %s", c->model, (int)c->rows,
          level->name, s->features ? "shared" : "not shared");
    CHECK(!c->cramped || s->block < c->steps, "%s, %s: a block of %d steps", c->model,
          level->name, (int)s->block);
    for (int g = 0; s->features && !s->backward && g < s->n_group; g++)
        if (s->group[g].scan)
            CHECK(barriers_of_step(&s->group[g]) == c->in_forward,
                  "%s, %s: %d barriers a step", c->model, level->name,
                  barriers_of_step(&s->group[g]));
}

/* Behind all passes, each with its verifier. */
static void check_plan(const Case *c, const Target *level)
{
    Arena *arena = arena_new();
    Trial t = trial_of(arena, c);
    const Unit *u = trial_unit(arena, &t, trial_target(arena, &t, level), true, NULL);
    CHECK(u != NULL, "%s has mistakes: RNNC_VERBOSE=1 shows them", c->model);
    for (int k = 0; u && k < u->plan->proc[PROC_GRAD].n_stage; k++)
        if (u->plan->proc[PROC_GRAD].stage[k].kind == STAGE_TIME)
            check_stage(c, level, &u->plan->proc[PROC_GRAD].stage[k]);
    arena_free(arena);
}

static void test_features_of_large_scans_of_few_rows_are_shared(void)
{
    for (int i = 0; i < COUNT(cases); i++)
        for (int k = 0; k < n_target; k++)
            check_plan(&cases[i], &targets[k]);
}

/* 0.5 million operations forward and twice as many backward, whatever the rows are. */
static void test_a_product_of_parameters_counts_once(void)
{
    Arena *arena = arena_new();
    Trial t = {.name = "once",
               .text = "rnnc: 1\nname: once\ninputs: {x: [4], y: real}\n"
                       "model:\n  params: {A: [64, 64], B: [64, 64]}\n  step: |\n"
                       "    o = x[0] * sum(A @ B)\n"
                       "  output: o\nloss: (o - y)^2\noptimizer: sgd(lr=1e-3)\n"
                       "tbptt: {step: 2}\n"
                       "data: {train: {random: true, batch: 32, steps: 4}}\n",
               .steps = 2,
               .rows = 32};
    const Unit *u = trial_unit(arena, &t, NULL, true, NULL);
    CHECK(u && u->plan->threads_max == 1, "%d threads", u ? (int)u->plan->threads_max : -1);
    arena_free(arena);
}

static void test_shared_scans_compute_what_the_interpreter_does(void)
{
    differential_print_levels();
    for (int i = 0; i < COUNT(cases); i++) {
        Arena *arena = arena_new();
        Trial t = trial_of(arena, &cases[i]);
        if (cases[i].shared)
            CHECK(differential_run(&t) == TRIAL_PASSED, "%s", cases[i].model);
        arena_free(arena);
    }
}

int main(void)
{
    test_features_of_large_scans_of_few_rows_are_shared();
    test_a_product_of_parameters_counts_once();
    test_shared_scans_compute_what_the_interpreter_does();
    return check_result();
}
