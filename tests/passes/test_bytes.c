/*
 * test_bytes.c — a model is refused for its size when what its plan holds does not fit the
 * address space, 2^47 bytes, and not before. What is held is counted by hand here.
 */
#include "check.h"
#include "differential.h"

static bool accepted(const char *text, int64_t steps, int64_t rows, bool fuse)
{
    Arena *a = arena_new();
    Trial t = {.name = "bytes", .text = text, .steps = steps, .rows = rows};
    bool good = trial_unit(a, &t, NULL, fuse, NULL) != NULL;
    arena_free(a);
    return good;
}

static bool accepted_of_size(const char *format, int64_t n, int64_t steps, int64_t rows)
{
    char text[1024];
    snprintf(text, sizeof text, format, (long long)n, (long long)n, (long long)n,
             (long long)n);
    return accepted(text, steps, rows, true);
}

/* W, its gradient, its panels: 12 n^2 bytes; all else is a few vectors of n. */
static void test_a_weight_counts_as_what_stands_of_it(void)
{
    static const char format[] =
        "rnnc: 1\nname: t\ninputs: {x: [%lld], y: [%lld]}\n"
        "model:\n  params: {W: {shape: [%lld, %lld], init: zeros}}\n  step: |\n"
        "    o = W @ x\n  output: o\nloss: mse(o, y)\noptimizer: sgd(lr=0.1)\n";
    const int64_t most = 3424607; /* sqrt(2^47 / 12) */
    CHECK(accepted_of_size(format, most - most / 5000, 1, 1), "just below");
    CHECK(!accepted_of_size(format, most + most / 5000, 1, 1), "just above");
    /* for all points W stands once; with their vectors it is far from the limit */
    CHECK(accepted_of_size(format, 100000, 1000, 100), "read at many points");
}

/* Without a loss: x and the states of all steps, one state more, three beside: 4 n bytes
   each. */
static void test_steps_count_as_what_is_kept_of_them(void)
{
    static const char format[] =
        "rnnc: 1\nname: t\ninputs: {x: [%lld]}\nmodel:\n  state: {h: [%lld]}\n"
        "  step: |\n    h' = 0.5 * h + x\n  output: h\n";
    const int64_t n = (1 << 20) + 16; /* no row is padded */
    const int64_t most = ((INT64_C(1) << 47) / (4 * n) - 4) / 2;
    CHECK(accepted_of_size(format, n, most - most / 5000, 1), "just below");
    CHECK(!accepted_of_size(format, n, most + most / 5000, 1), "just above");
}

/* 10^14 products in registers, under a sum; fusing off, they would stand in memory. */
static void test_a_product_under_a_sum_counts_where_it_stands(void)
{
    static const char text[] = "rnnc: 1\nname: t\ninputs: {x: [10000000], y: [10000000]}\n"
                               "model: |\n  o = sum(tanh(outer(x, y)))\n";
    CHECK(accepted(text, 1, 1, true), "fused");
    CHECK(!accepted(text, 1, 1, false), "unfused");
}

/* Sizes that 64 bits do not bear, wherever they would first be multiplied. */
static void test_what_overflows_is_refused(void)
{
    static const char square[] =
        "rnnc: 1\nname: t\ninputs: {x: [%lld], y: [%lld]}\n"
        "model: |\n  M = outer(x, y)\n  o = sum(M @ transpose(M))\n";
    static const char kept[] = "rnnc: 1\nname: t\ninputs: {x: [%lld]}\n"
                               "model:\n  state: {h: [%lld]}\n"
                               "  step: |\n    h' = 0.5 * h + x\n  output: h\n";
    CHECK(accepted_of_size(square, 1000, 1, 1), "10^9 terms");
    CHECK(!accepted_of_size(square, 3000000, 1, 1), "2.7 * 10^19 terms");
    CHECK(!accepted_of_size(kept, INT64_C(1) << 40, 1 << 22, 1 << 22), "2^86 bytes");
    CHECK(!accepted_of_size(kept, INT64_C(1) << 50, 1 << 22, 1 << 22), "2^96 bytes");
}

int main(void)
{
    test_a_weight_counts_as_what_stands_of_it();
    test_steps_count_as_what_is_kept_of_them();
    test_a_product_under_a_sum_counts_where_it_stands();
    test_what_overflows_is_refused();
    return check_result();
}
