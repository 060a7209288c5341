/*
 * test_share.c — scans whose features threads share: which are, where threads wait in them,
 * and that they compute what the interpreter does, with the same bits for 1, 2 and 3
 * threads, on every level of this machine (differential.c).
 *
 * Sizes are those of few rows and of weights beyond a first-level cache; some are no
 * multiples of a vector, some of an odd number of units.
 */
#include "check.h"
#include "differential.h"

#include <string.h>

#define CELL_OF_TWO_PRODUCTS                                                   \
    "cells:\n  two:\n    args: {hidden: integer}\n    input: {x: [I]}\n"       \
    "    state: {h: [hidden]}\n"                                               \
    "    params: {W: [hidden, I], U: [hidden, hidden], V: [hidden, hidden]}\n" \
    "    step: |\n      f = sigmoid(W @ x + U @ h)\n"                          \
    "      h' = (1 - f) * h + f * tanh(V @ (f * h) + W @ x)\n    output: h'\n"

static const char *spec_of(Arena *arena, const char *cells, const char *model)
{
    return arena_print(arena,
                       "rnnc: 1\nname: shared\ninputs: {x: [5], y: [3]}\n%smodel: |\n"
                       "  rnn  = %s\n  head = linear(rnn, size=3)\nloss: mse(head, y)\n"
                       "optimizer: sgd(lr=1e-2)\ntbptt: {step: 6}\n"
                       "data: {train: {random: true, batch: 1, steps: 12}}\n",
                       cells, model);
}

typedef struct {
    const char *cells, *model;
    int64_t rows;
    bool shared;    /* its scans, forward and backward */
    int in_forward; /* barriers of a step, where they are */
} Case;

static const Case cases[] = {
    {"", "lstm(x, hidden=64)", 1, true, 1},
    {"", "lstm(x, hidden=100)", 1, true, 1},
    {"", "gru(x, hidden=88)", 1, true, 1},
    {"", "rnn(x, hidden=200)", 1, true, 1},
    {CELL_OF_TWO_PRODUCTS, "two(x, hidden=120)", 1, true, 2},
    {"", "lstm(x, hidden=16)", 1, false, 0},
    {"", "lstm(x, hidden=64)", 8, false, 0},
    {"", "lstm(x, hidden=64, layer_norm=true)", 1, false, 0},
};

static int barriers_of_step(const Group *g)
{
    int n = 0;
    for (int i = 0; i < g->n_nest; i++)
        n += g->nest[i].barrier;
    return n;
}

static void check_stage(const Case *c, const Stage *s)
{
    CHECK(s->features == c->shared, "%s, %d rows: features %s", c->model, (int)c->rows,
          s->features ? "shared" : "not shared");
    for (int g = 0; s->features && !s->backward && g < s->n_group; g++)
        if (s->group[g].scan)
            CHECK(barriers_of_step(&s->group[g]) == c->in_forward, "%s: %d barriers a step",
                  c->model, barriers_of_step(&s->group[g]));
}

static void test_features_of_large_scans_of_one_row_are_shared(void)
{
    for (int i = 0; i < COUNT(cases); i++) {
        Arena *arena = arena_new();
        Trial t = {.name = "shared", .steps = 6, .rows = cases[i].rows};
        t.text = spec_of(arena, cases[i].cells, cases[i].model);
        const Unit *u = trial_unit(arena, &t, NULL, true, NULL);
        CHECK(u != NULL, "%s has mistakes: RNNC_VERBOSE=1 shows them", cases[i].model);
        for (int k = 0; u && k < u->plan->proc[PROC_GRAD].n_stage; k++)
            if (u->plan->proc[PROC_GRAD].stage[k].kind == STAGE_TIME)
                check_stage(&cases[i], &u->plan->proc[PROC_GRAD].stage[k]);
        arena_free(arena);
    }
}

static void test_shared_scans_compute_what_the_interpreter_does(void)
{
    differential_print_levels();
    for (int i = 0; i < COUNT(cases); i++) {
        Arena *arena = arena_new();
        Trial t = {.name = cases[i].model, .steps = 6, .rows = cases[i].rows, .seed = 7};
        t.text = spec_of(arena, cases[i].cells, cases[i].model);
        if (cases[i].shared)
            CHECK(differential_run(&t) == TRIAL_PASSED, "%s", cases[i].model);
        arena_free(arena);
    }
}

int main(void)
{
    test_features_of_large_scans_of_one_row_are_shared();
    test_shared_scans_compute_what_the_interpreter_does();
    return check_result();
}
