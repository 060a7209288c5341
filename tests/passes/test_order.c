/*
 * test_order.c — what a state keeps is made before all that read the state.
 *
 * The cells keep a value that is no part of the recurrence, and read it at the next step
 * through a product of all steps at once. No operand shows that reader: moved into the
 * scan, which alone reads the value itself, the value would come too late for the product.
 * Both where the backward pass reads the kept value, and where it does not.
 */
#include "check.h"
#include "differential.h"

static const char text[] =
    "rnnc: 1\nname: order\ninputs: {x: [8], y: [8]}\ncells:\n  late:\n"
    "    input: {x: [I]}\n    state: {s: [I], h: [I]}\n    params: {W: {shape: [I, I]}}\n"
    "    step: |\n      a = 2 * x\n      s' = a\n      h' = %s\n    output: h'\n"
    "model: |\n  out = late(x)\nloss: mse(out, y)\noptimizer: sgd(lr=1e-3)\n"
    "tbptt: {step: 4}\ndata: {train: {random: true, batch: 4, steps: 12}}\n";

static void try_cell(const char *next)
{
    Arena *arena = arena_new();
    Trial t = {.name = next,
               .text = arena_print(arena, text, next),
               .steps = 4,
               .rows = 4,
               .seed = 1};
    CHECK(differential_run(&t) == TRIAL_PASSED, "h' = %s", next);
    arena_free(arena);
}

static void test_kept_values_stand_before_readers_of_the_state(void)
{
    try_cell("tanh(a * h + x * h + W @ s)");
    try_cell("tanh(a + h) * tanh(x - h) + tanh(W @ s)");
}

int main(void)
{
    test_kept_values_stand_before_readers_of_the_state();
    return check_result();
}
