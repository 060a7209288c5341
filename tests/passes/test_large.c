/*
 * test_large.c — a matrix memory's maps stand in its scan, where the matrix is in cache.
 *
 * The cell writes an outer product to its memory and reads it by a vector. What is computed
 * over the matrix outside of the recurrence, forward and backward, is a map; of a small
 * matrix it may take all steps at once, of a large one it would send all through memory.
 */
#include "check.h"
#include "differential.h"

static const char text[] =
    "rnnc: 1\nname: large\ninputs: {x: [6], y: [%d]}\ncells:\n  memory:\n"
    "    args: {size: integer}\n    input: {x: [I]}\n    state: {M: [size, size]}\n"
    "    params: {W: {shape: [size, I]}}\n"
    "    step: |\n      k = tanh(W @ x)\n      M' = 0.9 * M + outer(k, k)\n"
    "      out = M' @ k\n    output: out\n"
    "model: |\n  out = memory(x, size=%d)\nloss: mse(out, y)\noptimizer: sgd(lr=1e-3)\n"
    "tbptt: {step: 4}\ndata: {train: {random: true, batch: 4, steps: 12}}\n";

typedef struct {
    int map, scan; /* sweeps over the matrix */
} Count;

static void count_nest(int *n, const Nest *nest, int64_t size)
{
    for (int k = 0; k < nest->n_sweep; k++) {
        int64_t space = 1;
        for (int d = 0; d < nest->sweep[k].rank; d++)
            space *= nest->sweep[k].extent[d];
        *n += space == size * size;
    }
}

static Count count_sweeps(int size)
{
    Arena *arena = arena_new();
    Trial t = {.name = "large",
               .text = arena_print(arena, text, size, size),
               .steps = 4,
               .rows = 4};
    Count c = {0};
    const Unit *u = trial_unit(arena, &t, NULL, true, NULL);
    CHECK(u != NULL, "the spec has mistakes: RNNC_VERBOSE=1 shows them");
    for (int i = 0; u && i < u->plan->proc[PROC_GRAD].n_stage; i++) {
        const Stage *s = &u->plan->proc[PROC_GRAD].stage[i];
        for (int g = 0; s->kind == STAGE_TIME && g < s->n_group; g++)
            for (int n = 0; n < s->group[g].n_nest; n++)
                count_nest(s->group[g].scan ? &c.scan : &c.map, &s->group[g].nest[n], size);
    }
    arena_free(arena);
    return c;
}

static void test_maps_over_a_large_matrix_stand_in_the_scan(void)
{
    Count c = count_sweeps(64), small = count_sweeps(8); /* 16 KB of f32, 256 bytes */
    /* that of d_k reads what the forward pass kept, which the scan does not */
    CHECK(c.map == 1, "%d sweeps of maps over the matrix, expected one", c.map);
    CHECK(c.scan > small.scan, "%d sweeps of scans over the matrix, %d over a small one",
          c.scan, small.scan);
}

static void test_the_scan_computes_what_the_maps_would(void)
{
    Arena *arena = arena_new();
    Trial t = {.name = "large",
               .text = arena_print(arena, text, 64, 64),
               .steps = 4,
               .rows = 4,
               .seed = 1};
    CHECK(differential_run(&t) == TRIAL_PASSED, "a matrix of 64");
    arena_free(arena);
}

static void test_maps_over_a_small_matrix_take_all_steps_at_once(void)
{
    Count c = count_sweeps(8);
    CHECK(c.map > 1, "%d sweeps of maps over the matrix", c.map);
}

int main(void)
{
    test_maps_over_a_large_matrix_stand_in_the_scan();
    test_the_scan_computes_what_the_maps_would();
    test_maps_over_a_small_matrix_take_all_steps_at_once();
    return check_result();
}
