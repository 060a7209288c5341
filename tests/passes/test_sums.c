/*
 * test_sums.c — what a plan sums over points, it computes where it sums.
 *
 * The cell has a scale and a bias. The gradient of the scale is a total of a product that
 * no one else needs: it must not be stored for every point. Both totals run over the same
 * points of the same space: one nest, behind the stage's products.
 */
#include "check.h"
#include "differential.h"

static const char text[] =
    "rnnc: 1\nname: sums\ninputs: {x: [6], y: [6]}\ncells:\n  scaled:\n"
    "    args: {}\n    input: {x: [I]}\n    params:\n"
    "      g: {shape: [I], init: ones}\n      b: {shape: [I], init: zeros}\n"
    "    step: |\n      z = tanh(x)\n      out = g * z + b\n    output: out\n"
    "model: |\n  out = scaled(x)\nloss: mse(out, y)\noptimizer: sgd(lr=1e-3)\n"
    "tbptt: {step: 4}\ndata: {train: {random: true, batch: 4, steps: 12}}\n";

typedef struct {
    int nests; /* that sum values with features */
    int sums;  /* of such values */
    int maps;  /* computed beside them */
} Count;

static void count_sweep(Count *c, const Sweep *s)
{
    int sums = 0;
    for (int i = 0; i < s->n_instr; i++)
        sums += s->instr[i].kind == I_ACCUMULATE;
    if (sums == 0 || s->rank == 0)
        return;
    c->nests++;
    c->sums += sums;
    for (int i = 0; i < s->n_instr; i++)
        c->maps += s->instr[i].kind == I_MAP;
}

static Count count_sums(bool fuse)
{
    Arena *arena = arena_new();
    Trial t = {.name = "sums", .text = text, .steps = 4, .rows = 4};
    Count c = {0};
    const Unit *u = trial_unit(arena, &t, NULL, fuse, NULL);
    CHECK(u != NULL, "the spec has mistakes: RNNC_VERBOSE=1 shows them");
    for (int i = 0; u && i < u->plan->proc[PROC_GRAD].n_stage; i++) {
        const Stage *s = &u->plan->proc[PROC_GRAD].stage[i];
        for (int n = 0; s->kind == STAGE_SUM && n < s->group[0].n_nest; n++)
            for (int k = 0; k < s->group[0].nest[n].n_sweep; k++)
                count_sweep(&c, &s->group[0].nest[n].sweep[k]);
    }
    arena_free(arena);
    return c;
}

static void test_a_product_that_is_only_summed_is_computed_in_its_sum(void)
{
    Count c = count_sums(true);
    CHECK(c.sums == 2, "%d sums", c.sums);
    CHECK(c.maps == 1, "%d maps beside the sums, expected one", c.maps);
    CHECK(c.nests == 1, "%d nests, expected one", c.nests);
}

static void test_unfused_every_sum_is_a_nest_of_its_own(void)
{
    Count c = count_sums(false);
    CHECK(c.nests == 2 && c.maps == 0, "%d nests, %d maps", c.nests, c.maps);
}

/* A bias and a weight: who sweeps first waits for what another core has written. */
static void test_products_stand_ahead_of_sweeps(void)
{
    static const char linear[] = "rnnc: 1\nname: linear\ninputs: {x: [6], y: [5]}\n"
                                 "model: |\n  out = linear(x, size=5)\nloss: mse(out, y)\n"
                                 "optimizer: sgd(lr=1e-3)\ntbptt: {step: 4}\n"
                                 "data: {train: {random: true, batch: 4, steps: 12}}\n";
    Arena *arena = arena_new();
    Trial t = {.name = "linear", .text = linear, .steps = 4, .rows = 4};
    const Unit *u = trial_unit(arena, &t, NULL, true, NULL);
    CHECK(u != NULL, "the spec has mistakes: RNNC_VERBOSE=1 shows them");
    int pairs = 0;
    for (int i = 0; u && i < u->plan->proc[PROC_GRAD].n_stage; i++) {
        const Stage *s = &u->plan->proc[PROC_GRAD].stage[i];
        for (int n = 1; s->kind == STAGE_SUM && n < s->group[0].n_nest; n++) {
            const Nest *before = &s->group[0].nest[n - 1], *nest = &s->group[0].nest[n];
            CHECK(before->contraction || !nest->contraction, "nest %d is a product", n);
            pairs += before->contraction && !nest->contraction;
        }
    }
    CHECK(pairs == 1, "%d stages of a product and a sweep", pairs);
    arena_free(arena);
}

int main(void)
{
    test_a_product_that_is_only_summed_is_computed_in_its_sum();
    test_unfused_every_sum_is_a_nest_of_its_own();
    test_products_stand_ahead_of_sweeps();
    return check_result();
}
