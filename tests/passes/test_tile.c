/*
 * test_tile.c — how products are cut, on a target whose facts are given here.
 *
 * What must hold of every plan is the verifier's; here are the choices: which products
 * get chains, which scans go back and forth, which dimension tiles go down.
 */
#include "check.h"
#include "passes/tile.h"

static const PlanTarget target = {.name = "made",
                                  .vector = 8,
                                  .real_bytes = 4,
                                  .registers = 16,
                                  .tile_rows = 6,
                                  .tile_vectors = 2,
                                  .l1_bytes = 32 << 10,
                                  .l2_bytes = 512 << 10,
                                  .tlb_bytes = 256 << 10};
enum { PANEL = 16 };

/* The tiling of c = a · b with panels of b, in a stage of time. */
static Tiling tiled(bool scan, int64_t rows, int64_t m, int64_t n, int64_t k)
{
    Arena *arena = arena_new();
    int64_t columns = n < PANEL ? 8 : (n + PANEL - 1) / PANEL * PANEL;
    Buffer panels = {.panel = n < PANEL ? 8 : PANEL, .bytes = columns * k * 4};
    Contraction c = {.n_batch = 1, .m = m, .n = n, .k = k};
    Nest nest = {.contraction = &c, .pack = -1};
    Group group = {.scan = scan, .n_nest = 1, .nest = &nest};
    Stage stage = {.kind = STAGE_TIME, .block = 4, .n_group = 1, .group = &group};
    Plan p = {.arena = arena, .target = target, .steps_max = 16, .rows_max = rows};
    p.n_buffer = 1, p.buffer = &panels;
    p.proc[PROC_GRAD].n_stage = 1, p.proc[PROC_GRAD].stage = &stage;
    tile_pass(&p);
    plan_verify_tiles(&p);
    arena_free(arena);
    return c.tiling;
}

static void test_only_a_step_with_few_results_is_several_chains(void)
{
    CHECK(tiled(true, 32, 1, 128, 128).chains == 1, "32 rows");
    CHECK(tiled(true, 1, 1, 64, 128).chains == 1, "8 vectors do not wait");
    CHECK(tiled(true, 1, 1, 32, 128).chains == 2, "4 vectors wait");
    CHECK(tiled(true, 1, 1, 8, 128).chains == 4, "no more than 4");
    CHECK(tiled(true, 1, 1, 8, 12).chains == 1, "a chain has 8 products at least");
    CHECK(tiled(false, 1, 1, 8, 128).chains == 1, "a map has all steps");
}

static void test_a_step_of_a_few_rows_begins_where_the_last_one_ended(void)
{
    Tiling wide = tiled(true, 1, 1, 256, 64), one = tiled(true, 1, 1, PANEL, 600);
    CHECK(wide.alternate && !wide.halves, "several panels beyond the first level");
    CHECK(one.alternate && one.halves && one.chains == 4, "halves of one panel");
    CHECK(!tiled(true, 1, 1, 64, 64).alternate, "panels within the first level");
    CHECK(!tiled(true, 32, 1, 256, 64).alternate, "many rows use a panel often");
    CHECK(!tiled(false, 1, 1, 256, 64).alternate, "a map has no steps to go by");
}

/* Halves are equally long or there are none: then nothing goes back and forth, and the
   chains are as many as run at a time. */
static void test_chains_that_do_not_halve_run_side_by_side(void)
{
    Tiling odd = tiled(true, 2, 1, PANEL, 601);
    CHECK(!odd.alternate && !odd.halves, "601 in halves");
    CHECK(odd.chains == 2, "%d chains, of which 2 fill the pipeline", odd.chains);
    CHECK(tiled(true, 2, 1, PANEL, 600).chains == 4, "two at a time are too few");
}

/* A block of a panel fits 32 KB, and no chain is longer than 256. */
static void test_blocks_of_a_panel_fit_the_first_level(void)
{
    enum { K = 1024 };
    Tiling narrow = tiling_of_product(&target, PANEL, 256, K, 1, false);
    Tiling wide = tiling_of_product(&target, 4 * PANEL, 256, K, 1, false);
    Tiling even = tiling_of_product(&target, PANEL, 256, 300, 1, false);
    CHECK(narrow.block == 256, "%lld k of 64 bytes", (long long)narrow.block);
    CHECK(wide.block == 128, "%lld k of 256 bytes", (long long)wide.block);
    CHECK(even.block == 150, "300 k in blocks of %lld", (long long)even.block);
}

static void test_sums_fetch_a_result_that_fills_half_of_the_second_level(void)
{
    CHECK(tiling_of_sum(&target, 512, 256, 1, 512).c_ahead, "512 KB");
    CHECK(!tiling_of_sum(&target, 256, 256, 1, 256).c_ahead, "256 KB");
    CHECK(!tiling_of_sum(&target, 512, 256, 2, 1).c_ahead, "rows of a are apart");
}

/* 96 points of 2,730 bytes are on as many pages as a TLB holds. */
static void test_sums_copy_points_on_more_pages_than_a_tlb_reaches(void)
{
    enum { NEAR = 682, FAR = 683 };
    Tiling far = tiling_of_sum(&target, 1024, 256, 1, FAR);
    CHECK(tiling_of_sum(&target, 1024, 256, 1, NEAR).a_panel == 0, "64 pages");
    CHECK(far.a_panel == 24, "panels of %d: tiles of 6 rows, vectors of 8", far.a_panel);
    CHECK(far.a_rows == 336, "%lld rows at a time: 96 points of 14 panels are 126 KB",
          (long long)far.a_rows);
    CHECK(!far.ahead && !far.c_ahead, "and fetch ahead");
    CHECK(tiling_of_sum(&target, 1024, PANEL, 1, FAR).a_panel == 0, "for one panel of b");
    CHECK(tiling_of_sum(&target, 1024, 256, 2, FAR).a_panel == 0, "rows apart");
}

static void test_tiles_of_one_and_two_rows_take_several_panels(void)
{
    Tiling g = tiled(false, 4, 1, 256, 64), narrow = tiled(false, 4, 1, 48, 64);
    const int *one = g.panels[0], *two = g.panels[1];
    CHECK(one[0] == 4 && one[1] == 2 && one[2] == 1, "%d, %d, %d", one[0], one[1], one[2]);
    CHECK(two[0] == 2 && two[1] == 1, "%d, %d", two[0], two[1]);
    CHECK(narrow.panels[0][0] == 2, "%d panels at once of three", narrow.panels[0][0]);
    CHECK(tiled(true, 1, 1, 256, 64).panels[0][0] == 1, "beside back and forth");
}

static void test_columns_behind_the_last_panel_have_tiles_of_their_own(void)
{
    CHECK(tiled(false, 4, 1, 256, 64).rest == 0, "whole panels");
    CHECK(tiled(false, 4, 1, 257, 64).rest == 1, "one column");
    CHECK(tiled(false, 4, 1, 256 + 15, 64).rest == 2, "15 columns are two vectors of 8");
}

static void test_tiles_go_down_the_dimension_that_is_known_to_be_long(void)
{
    CHECK(tiled(true, 32, 1, 64, 64).along == ALONG_ROWS, "a step");
    CHECK(tiled(false, 1, 1, 64, 64).along == ALONG_STEPS, "one row");
    CHECK(tiled(false, 32, 1, 64, 64).along == ALONG_LONGEST, "steps and rows");
    CHECK(tiled(true, 32, 2, 64, 64).along == ALONG_LONGEST, "rows of two rows");
    CHECK(tiled(false, 32, 6, 64, 64).along == ALONG_M, "m fills a tile");
    CHECK(tiled(true, 1, 1, 64, 64).along == ALONG_M, "a single row");
}

/* How far ahead a sweep over [128, 4] reads what a chunk of so many bytes keeps of each
   point: one array of that shape, and one of [4]. */
static int fetched_ahead(StageKind kind, int64_t bytes, Axes sum)
{
    Arena *arena = arena_new();
    Buffer kept = {
        .home = HOME_WORKSPACE, .axes = AXES_ALL, .span = SPAN_CHUNK, .bytes = bytes};
    Instr load[] = {{.kind = I_LOAD, .access = {.stride = {4, 1}}},
                    {.kind = I_LOAD, .access = {.stride = {0, 1}}},
                    {.kind = I_LOAD, .access = {.stride = {1, 0}}},
                    {.kind = I_LOAD, .access = {.when = AT_FIRST, .stride = {4, 1}}}};
    Sweep sweep = {.rank = 2,
                   .extent = {128, 4},
                   .each_point = kind == STAGE_SUM,
                   .n_instr = COUNT(load),
                   .instr = load};
    Nest nest = {.n_sweep = 1, .sweep = &sweep, .sum = sum, .pack = -1};
    Group group = {.n_nest = 1, .nest = &nest};
    Stage stage = {.kind = kind, .block = 4, .n_group = 1, .group = &group};
    const Graph graph = {.dtype = RNN_F32};
    Plan p = {.arena = arena, .graph = &graph, .target = target, .rows_max = 8};
    p.n_buffer = 1, p.buffer = &kept, p.steps_max = 16;
    p.proc[PROC_GRAD].n_stage = 1, p.proc[PROC_GRAD].stage = &stage;
    tile_pass(&p);
    plan_verify_tiles(&p);
    arena_free(arena);
    return sweep.ahead;
}

static void test_sweeps_fetch_ahead_what_is_kept_beyond_the_second_level(void)
{
    const int64_t much = target.l2_bytes + 1;
    const int rows = 4; /* the fewest that are 8 KB: a point is 2 KB and 16 bytes */
    CHECK(fetched_ahead(STAGE_TIME, much, 0) == rows, "a scan or a map");
    CHECK(fetched_ahead(STAGE_TIME, much - 1, 0) == 0, "all is in the second level");
    CHECK(fetched_ahead(STAGE_SUM, much, AXES_ALL) == rows, "a sum over points");
    CHECK(fetched_ahead(STAGE_SUM, much, AXIS_TIME) == 0, "no rows follow each other");
    CHECK(fetched_ahead(STAGE_ROWS, much, 0) == 0, "a row has no next step");
}

int main(void)
{
    test_only_a_step_with_few_results_is_several_chains();
    test_a_step_of_a_few_rows_begins_where_the_last_one_ended();
    test_chains_that_do_not_halve_run_side_by_side();
    test_blocks_of_a_panel_fit_the_first_level();
    test_sums_fetch_a_result_that_fills_half_of_the_second_level();
    test_sums_copy_points_on_more_pages_than_a_tlb_reaches();
    test_tiles_of_one_and_two_rows_take_several_panels();
    test_columns_behind_the_last_panel_have_tiles_of_their_own();
    test_tiles_go_down_the_dimension_that_is_known_to_be_long();
    test_sweeps_fetch_ahead_what_is_kept_beyond_the_second_level();
    return check_result();
}
