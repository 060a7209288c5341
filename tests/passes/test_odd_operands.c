/*
 * test_odd_operands.c — products whose operands are the same at all points, or one node.
 *
 * A state's next value that no input of the step reaches is one value for many steps or
 * rows: what counts as often as it stands there. A product of it with a weight has a
 * gradient that is a sum of equal terms; taken without its axes it must still be that many
 * of them. Operands that are one node cannot be told apart. And an element of a row of
 * (matrix * number) is no number, though the number is one everywhere.
 */
#include "check.h"
#include "differential.h"

/* The step's lines, the loss. */
static const char text[] =
    "rnnc: 1\nname: odd\n"
    "inputs: {x: [2], y: [2], z: class(2), t: {shape: [2], per: sequence}, "
    "p: {shape: [3], per: sequence}}\n"
    "model:\n  state: {s: [3]}\n  params: {W: [2, 3], b: [3]}\n  step: |\n%s"
    "    o = W @ v\n  output: o\nloss: %s\noptimizer: sgd(lr=0.1)\n"
    "tbptt: {step: 5}\ndata: {train: {random: true, batch: 4, steps: 12}}\n";

static void try_step(const char *lines, const char *loss)
{
    Arena *arena = arena_new();
    Trial t = {.name = lines,
               .text = arena_print(arena, text, lines, loss),
               .steps = 5,
               .rows = 4,
               .seed = 1};
    CHECK(differential_run(&t) == TRIAL_PASSED, "%s    loss %s", lines, loss);
    arena_free(arena);
}

static void test_equal_terms_are_all_summed(void)
{
    try_step("    s' = p\n    v = s' + b\n", "mse(o, t)"); /* the same at all steps */
    try_step("    s' = b\n    v = s'\n", "mse(o, t)");     /* … and in all rows */
    try_step("    s' = b\n    v = s'\n", "mean(o)");
    try_step("    s' = zeros([3])\n    v = s' + b\n", "mean(o)");
    try_step("    s' = p\n    v = where(x[0] > 0, s', s')\n", "mean(o * o)");
}

/* The labels of both operands may have to change places, and both are one node. */
static void test_a_product_of_a_value_with_itself(void)
{
    try_step("    s' = 0.5 * s + p\n    M = outer(x, s')\n"
             "    v = einsum(\"kn,km->mn\", M, M)[0]\n",
             "mse(o, y)");
    try_step("    s' = 0.5 * s + p\n    M = outer(x, s')\n"
             "    v = s' + einsum(\"kn,km->mn\", M, M)[:, 1]\n",
             "mse(o, y) + 0.1 * sum(average(einsum(\"kn,km->mn\", M, M))[0])");
}

/* Both parts of a concatenation of parameters are read by themselves as well. */
static void test_parts_of_a_value_of_parameters(void)
{
    try_step("    s' = 0.5 * s + exp(b)\n    c = concat(exp(b), s')\n"
             "    v = c[0:3] + concat(exp(b), exp(b[0:2]))[1:4]\n",
             "mse(o, y)");
    try_step("    s' = 0.5 * s + exp(b)\n    c = concat(exp(b), tanh(b))\n"
             "    v = s' * c[1:4] + c[3:6]\n",
             "mse(o, y)");
}

static void test_products_with_made_weights_are_joined(void)
{
    static const char joined[] =
        "rnnc: 1\nname: joined\ninputs: {x: [5], y: [7]}\n"
        "model:\n  params: {P: [4, 5], Q: [3, 5]}\n  step: |\n"
        "    a = exp(P) @ x\n    b = exp(Q) @ x\n    out = concat(a, b)\n"
        "  output: out\nloss: mse(out, y)\noptimizer: sgd(lr=0.1)\n"
        "tbptt: {step: 5}\ndata: {train: {random: true, batch: 4, steps: 12}}\n";
    Trial t = {.name = "joined", .text = joined, .steps = 5, .rows = 4, .seed = 1};
    CHECK(differential_run(&t) == TRIAL_PASSED, "exp(P) @ x beside exp(Q) @ x");
}

static void test_an_element_of_a_scaled_matrix_is_a_row(void)
{
    try_step("    s' = 0.5 * s + p\n    v = (outer(x, s') * x[0])[z]\n", "mse(o, y)");
}

int main(void)
{
    test_equal_terms_are_all_summed();
    test_a_product_of_a_value_with_itself();
    test_parts_of_a_value_of_parameters();
    test_products_with_made_weights_are_joined();
    test_an_element_of_a_scaled_matrix_is_a_row();
    return check_result();
}
