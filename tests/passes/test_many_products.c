/*
 * test_many_products.c — the passes' time grows with the spec, not with its square.
 *
 * A cell of many products of one vector, which all become one, is compiled up to its plan
 * at two sizes. Four times the products may take up to eight times as long: in between what
 * grows with n (4) or n log n (5) and what grows with n squared (16). Processor time of
 * the fastest of three runs, so that other programs count little.
 */
#include "check.h"
#include "differential.h"

#include <time.h>

static const char *spec_of(Arena *arena, int n)
{
    Text t = {.arena = arena};
    text_add(&t, "rnnc: 1\nname: many\ninputs: {x: [3], y: [3]}\ncells:\n  many:\n"
                 "    args: {hidden: integer}\n    input: {x: [I]}\n    params:\n");
    for (int i = 0; i < n; i++)
        text_add(&t, "      W%d: [hidden, I]\n", i);
    text_add(&t, "    step: |\n      g = x\n");
    for (int i = 0; i < n; i++)
        text_add(&t, "      g = g + tanh(W%d @ x)\n", i);
    text_add(&t, "    output: g\nmodel: |\n  out = many(x, hidden=3)\nloss: mse(out, y)\n"
                 "optimizer: adam(lr=1e-3)\ntbptt: {step: 4}\n"
                 "data: {train: {random: true, batch: 4, steps: 12}}\n");
    return t.text;
}

/* Seconds; -1 when the spec has mistakes. */
static double seconds_of(int n)
{
    double best = -1;
    for (int i = 0; i < 3; i++) {
        Arena *arena = arena_new();
        Trial t = {.name = "many", .text = spec_of(arena, n), .steps = 4, .rows = 4};
        clock_t began = clock();
        const Unit *u = trial_unit(arena, &t, NULL, true, NULL);
        double now = (double)(clock() - began) / CLOCKS_PER_SEC;
        CHECK(u != NULL, "the spec has mistakes: RNNC_VERBOSE=1 shows them");
        best = best < 0 || now < best ? now : best;
        arena_free(arena);
    }
    return best;
}

static void test_four_times_the_products_take_about_four_times_as_long(void)
{
    double small = seconds_of(150), large = seconds_of(600);
    printf("150 products %.3f s, 600 products %.3f s\n", small, large);
    CHECK(large < 8 * small, "%.3f s for 600, %.3f s for 150", large, small);
}

int main(void)
{
    test_four_times_the_products_take_about_four_times_as_long();
    return check_result();
}
