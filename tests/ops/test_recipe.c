/*
 * test_recipe.c — recipes against libm in double, over the floats.
 *
 * Every 2^13-th float by default (`test_recipe all` takes each), plus edges, for each
 * elementwise operation of the table; those of several operands over random pairs of all
 * magnitudes and all pairs of edges. The bound is the op's own promise; 0 means the
 * correctly rounded result. The worst float is named.
 *
 * Of doubles a sample, against libm in long double (64 or more digits, or the test has
 * nothing to hold them against).
 */
#include <float.h>

#include "check.h"
#include "host_scalar.h"

typedef struct {
    double ulp;
    float x[3], got;
    double expected;
} Worst;

static uint64_t random_state = 88172645463325252u;

static uint32_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

static float float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static const float edge[] = {
    0.0f,         -0.0f,      1.0f,        -1.0f,       0.5f,    -0.5f,    2.0f,
    -2.0f,        3.0f,       -3.0f,       1e-45f,      -1e-45f, 1e-38f,   2.5f,
    -2.5f,        INFINITY,   -INFINITY,   NAN,         3.4e38f, -3.4e38f, 1e10f,
    0.99999994f,  1.0000001f, 16777216.0f, 16777215.0f, 88.7f,   -103.9f,  0.34657359f,
    -0.34657359f, 1.0397208f, 0.70710677f, 1.4142135f};

static double unit_of(float x)
{
    int e = x == 0 ? -126 : ilogb(x);
    return ldexp(1, (e < -126 ? -126 : e) - 23);
}

/* Distance from a double in units of the float's last place. */
static double ulp_error(float got, double expected)
{
    if (isnan(expected) || isnan(got))
        return isnan(expected) && isnan(got) ? 0 : INFINITY;
    float nearest = (float)expected;
    if (got == nearest)
        return isinf(got) ? 0 : fabs(got - expected) / unit_of(nearest);
    if (isinf(got) || isinf(nearest)) /* the largest float for infinity, or the other way */
        return fabsf(got) >= 3.402823e38f && got * expected > 0 && !isinf(expected)
                   ? 1
                   : INFINITY;
    return fabs(got - expected) / unit_of(nearest);
}

static void try_one(const OpDef *op, int n, const float *x, Worst *w)
{
    double d[3] = {0}, expected;
    for (int i = 0; i < n; i++)
        d[i] = x[i];
    expected = op->ref(d);
    float got = host_run(op, n, x);
    double u = ulp_error(got, expected);
    if (!(u <= w->ulp)) {
        w->ulp = u;
        w->got = got, w->expected = expected;
        memcpy(w->x, x, (size_t)n * sizeof *x);
    }
}

/* mod is promised for quotients below 2^22 only. */
static bool in_domain(OpCode code, const float *x)
{
    return code != OP_MOD || (fabsf(x[0] / x[1]) < 0x1p22f && isfinite(x[1]));
}

static void sweep_edges(OpCode code, int n, Worst *w)
{
    const OpDef *op = op_defs[code];
    for (int i = 0; i < COUNT(edge); i++)
        for (int j = 0; j < (n > 1 ? COUNT(edge) : 1); j++)
            for (int l = 0; l < (n > 2 ? COUNT(edge) : 1); l++) {
                float x[3] = {edge[i], edge[j], edge[l]};
                if (in_domain(code, x))
                    try_one(op, n, x, w);
            }
}

static void sweep(OpCode code, uint32_t stride)
{
    const OpDef *op = op_defs[code];
    int n = op->arity;
    Worst w = {.ulp = 0};
    if (n == 1)
        for (uint64_t b = 0; b < (1ull << 32); b += stride) {
            float x = float_of((uint32_t)b + (stride > 1 ? random_bits() % stride : 0));
            try_one(op, 1, &x, &w);
        }
    for (int i = 0; n > 1 && i < 200000; i++) {
        float x[3] = {float_of(random_bits()), float_of(random_bits()),
                      float_of(random_bits())};
        if (i % 2) /* ordinary magnitudes, where most of pow's work is */
            for (int a = 0; a < n; a++)
                x[a] = (float)(int32_t)random_bits() * (a ? 0x1p-25f : 0x1p-28f);
        if (in_domain(code, x))
            try_one(op, n, x, &w);
    }
    sweep_edges(code, n, &w);
    double promise = op->ulp > 0 ? op->ulp : 0.5;
    CHECK(w.ulp <= promise,
          "%s(%.9g, %.9g, %.9g) = %.9g, expected %.9g: %.3f ulp, promised %g", op->name,
          (double)w.x[0], (double)w.x[1], (double)w.x[2], (double)w.got, w.expected, w.ulp,
          promise);
    printf("%-8s %.3f ulp at (%.9g, %.9g)\n", op->name, w.ulp, (double)w.x[0],
           (double)w.x[1]);
}

static void test_recipes_keep_their_promise(uint32_t stride)
{
    for (int op = 0; op < OP_COUNT; op++)
        if (op_defs[op]->family == FAMILY_MAP && op_defs[op]->arity > 0)
            sweep((OpCode)op, stride);
}

/* ---- doubles ---- */

static long double reciprocal_root(long double x) { return 1 / sqrtl(x); }

static const struct {
    OpCode op;
    long double (*exact)(long double);
} double_ops[] = {{OP_EXP, expl},     {OP_EXPM1, expm1l}, {OP_LOG, logl},
                  {OP_LOG1P, log1pl}, {OP_TANH, tanhl},   {OP_ERF, erfl},
                  {OP_SIN, sinl},     {OP_COS, cosl},     {OP_RSQRT, reciprocal_root}};

static double double_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Any bits, or of any size below 2^10, or around 1: where each case of a recipe lies. */
static double draw_double(int i)
{
    uint64_t bits = (uint64_t)random_bits() << 32 | random_bits();
    if (i % 4 == 0)
        return double_of(bits);
    double unit = (double)(int64_t)bits * 0x1p-63;
    return i % 4 == 1   ? ldexp(unit, (int)(random_bits() % 70) - 60)
           : i % 4 == 2 ? 1 + ldexp(unit, -(int)(random_bits() % 50))
                        : 40 * unit;
}

/* Distance in units of the last place. */
static double double_error(double got, long double exact)
{
    double nearest = (double)exact;
    if (isnan(nearest) || isnan(got) || isinf(nearest) || isinf(got) || nearest == 0)
        return memcmp(&got, &nearest, sizeof got) == 0 || (isnan(got) && isnan(nearest))
                   ? 0
                   : (double)INFINITY;
    int e = ilogb(nearest);
    return (double)(fabsl((long double)got - exact) * exp2l(52 - (e < -1022 ? -1022 : e)));
}

static void try_double(int which, double x, double *worst, double *at)
{
    const OpDef *op = op_defs[double_ops[which].op];
    double u = double_error(host_result(op, true, 1, &x), double_ops[which].exact(x));
    if (!(u <= *worst))
        *worst = u, *at = x;
}

static void test_doubles_keep_the_promise(int n)
{
    static const double edges[] = {0,
                                   -0.0,
                                   1,
                                   -1,
                                   (double)INFINITY,
                                   -(double)INFINITY,
                                   (double)NAN,
                                   5e-324,
                                   1e-310,
                                   709.78,
                                   709.79,
                                   -745.1,
                                   -745.2,
                                   -37.5,
                                   19.07,
                                   0.7,
                                   0.34657359027997264,
                                   1.4142135623730951,
                                   0.70710678118654757,
                                   1.7e308,
                                   -1.7e308};
    if (LDBL_MANT_DIG < 64) {
        printf("doubles: skipped, long double has %d digits\n", LDBL_MANT_DIG);
        return;
    }
    for (int k = 0; k < COUNT(double_ops); k++) {
        const OpDef *op = op_defs[double_ops[k].op];
        double worst = 0, at = 0;
        for (int i = 0; i < n; i++)
            try_double(k, draw_double(i), &worst, &at);
        for (int i = 0; i < COUNT(edges); i++)
            try_double(k, edges[i], &worst, &at);
        CHECK(worst <= op->ulp, "%s of the double %.17g: %.3f ulp, promised %g", op->name,
              at, worst, op->ulp);
        printf("%-8s %.3f ulp at the double %.17g\n", op->name, worst, at);
    }
}

/* Signs of zero and exact values that an error in ulp does not see. */
static void test_zeros_keep_their_sign(void)
{
    static const OpCode odd[] = {OP_EXPM1, OP_LOG1P, OP_TANH, OP_ERF,
                                 OP_SIN,   OP_SQRT,  OP_NEG};
    for (int i = 0; i < COUNT(odd); i++) {
        float zero = -0.0f, y = host_run(op_defs[odd[i]], 1, &zero);
        double d = -0.0;
        CHECK(y == 0 && !signbit(y) == !signbit(op_defs[odd[i]]->ref(&d)), "%s(-0) = %g",
              op_defs[odd[i]]->name, (double)y);
    }
}

int main(int argc, char **argv)
{
    bool all = argc > 1 && strcmp(argv[1], "all") == 0;
    test_recipes_keep_their_promise(all ? 1 : 1 << 13);
    test_zeros_keep_their_sign();
    test_doubles_keep_the_promise(all ? 100000000 : 400000);
    return check_result();
}
