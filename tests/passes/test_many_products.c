/*
 * test_many_products.c — the time to compile grows with the spec, not with its square.
 *
 * A cell of many products of one vector, which all become one, and a chain of many
 * operations, which all end in one sum, are compiled up to their plan at two sizes; a
 * chain that goes forward and backward, to machine code. Four
 * times as many may take up to eight times as long: in between what grows with n (4) or
 * n log n (5) and what grows with n squared (16). Processor time of the fastest of three
 * runs, so that other programs count little.
 */
#include "check.h"
#include "differential.h"
#include "graph/describe.h"

#include <time.h>

typedef const char *SpecOf(Arena *arena, int n);

static const char *many_products(Arena *arena, int n)
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

static const char *long_chain(Arena *arena, int n)
{
    return arena_print(
        arena,
        "rnnc: 1\nname: many\ninputs: {x: [3], y: [3]}\nmodel: |\n"
        "  out = linear(x, size=3)\n  w = x\n  for i in range(%d):\n"
        "    w = abs(w - 0.1)\nloss: mse(out, y)\nmetrics: {a: sum(total(w))}\n"
        "optimizer: adam(lr=1e-3)\ntbptt: {step: 4}\n"
        "data: {train: {random: true, batch: 4, steps: 12}}\n",
        n);
}

static const char *long_loop(Arena *arena, int n)
{
    return arena_print(arena,
                       "rnnc: 1\nname: many\ninputs: {x: [8], y: [8]}\nmodel: |\n"
                       "  o = linear(x, size=8)\n  w = 1.0 * o\n  for i in range(%d):\n"
                       "    w = tanh(w - 0.1)\nloss: mse(w, y)\noptimizer: sgd(lr=0.1)\n",
                       n);
}

static void to_machine_code(Arena *arena, const Unit *u)
{
    Diag *d = diag_new(arena, stderr);
    struct rnn_model *tables = graph_describe(arena, u->graph, u->steps_max, u->rows_max);
    Jit *jit = jit_plan(arena, d, u->plan, tables, u->target, true);
    CHECK(jit != NULL, "not compiled");
    jit_free(jit);
}

/* Seconds, of the passes or, with a target, up to machine code. */
static double seconds_of(SpecOf *spec_of, int n, const Target *target)
{
    double best = -1;
    for (int i = 0; i < 3; i++) {
        Arena *arena = arena_new();
        Trial t = {.name = "many", .text = spec_of(arena, n), .steps = 4, .rows = 4};
        clock_t began = clock();
        const Unit *u = trial_unit(arena, &t, target, true, NULL);
        if (u && target)
            to_machine_code(arena, u);
        double now = (double)(clock() - began) / CLOCKS_PER_SEC;
        CHECK(u != NULL, "the spec has mistakes: RNNC_VERBOSE=1 shows them");
        best = best < 0 || now < best ? now : best;
        arena_free(arena);
    }
    return best;
}

static void check_growth(SpecOf *spec_of, int n, const Target *target)
{
    double small = seconds_of(spec_of, n, target),
           large = seconds_of(spec_of, 4 * n, target);
    printf("%d: %.3f s, %d: %.3f s\n", n, small, 4 * n, large);
    CHECK(large < 8 * small, "%.3f s for %d, %.3f s for %d", large, 4 * n, small, n);
}

static void test_four_times_the_products_take_about_four_times_as_long(void)
{
    check_growth(many_products, 150, NULL);
}

static void test_a_chain_four_times_as_long_takes_about_four_times_as_long(void)
{
    check_growth(long_chain, 2000, NULL);
}

static void
test_machine_code_of_a_loop_four_times_as_long_takes_about_four_times_as_long(void)
{
    const char *why;
    const Target *host = target_find(NULL, &why);
    if (host)
        check_growth(long_loop, 500, host);
}

int main(void)
{
    test_four_times_the_products_take_about_four_times_as_long();
    test_a_chain_four_times_as_long_takes_about_four_times_as_long();
    test_machine_code_of_a_loop_four_times_as_long_takes_about_four_times_as_long();
    return check_result();
}
