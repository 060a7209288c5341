/*
 * recipe_double.c — exp, expm1, tanh, log and log1p of doubles, as recipe.c has them of
 * floats.
 *
 * At most 2 ulp; tests/ops/test_recipe.c samples them against libm in long double. The
 * other elementary functions call libm, lane by lane in a vector.
 */
#include "graph/recipe_room.h"

/* ---- exp, expm1, tanh: x = n ln 2 + r, |r| <= ln 2 / 2 ---- */

/* LN2_HI has 33 digits: n LN2_HI is exact. */
static const double LOG2_E = 0x1.71547652b82fep+0, LN2_HI = 0x1.62e42feep-1,
                    LN2_LO = 0x1.a39ef35793c76p-33;

/* (e^r - 1 - r) / r² to r^11: what Taylor's series leaves out is below 2^-57 of e^r. */
static const double EXP_SERIES[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800,
                                    1.0 / 3628800,    1.0 / 362880,    1.0 / 40320,
                                    1.0 / 5040,       1.0 / 720,       1.0 / 120,
                                    1.0 / 24,         1.0 / 6,         1.0 / 2};

/* x - n ln 2 as a pair, lo small beside hi. */
static Pair reduce_exp(S *s, Val x, Val *n)
{
    *n = whole(s, mul(s, x, k(s, LOG2_E)));
    Val high = fma3(s, *n, k(s, -LN2_HI), x), low = mul(s, *n, k(s, LN2_LO));
    Val r = sub(s, high, low);
    return (Pair){r, sub(s, sub(s, high, r), low)};
}

/* e^r - 1 - r.hi: what is to be added to r.hi, for a small r. e^hi lo is lo (1 + hi). */
static Val exp_tail(S *s, Pair r)
{
    Val q = polynomial(s, r.hi, COUNT(EXP_SERIES), EXP_SERIES);
    Val lo = fma3(s, r.hi, r.lo, r.lo);
    return fma3(s, mul(s, r.hi, r.hi), q, lo);
}

Val double_exp(S *s, Val x)
{
    Val n;
    Pair r = reduce_exp(s, at_most(s, at_least(s, x, -746), 710), &n);
    Pair one = sum_ordered(s, k(s, 1), r.hi);
    Val y = add(s, one.hi, add(s, one.lo, exp_tail(s, r)));
    return scale2(s, y, n);
}

Val double_expm1(S *s, Val x)
{
    Val n;
    Pair r = reduce_exp(s, at_most(s, at_least(s, x, -38), 710), &n);
    Val rest = sub(s, k(s, 1), scale2(s, k(s, 1), neg(s, n)));
    Pair top = sum(s, rest, r.hi);
    Val y = scale2(s, add(s, top.hi, add(s, top.lo, exp_tail(s, r))), n);
    return select3(s, equal(s, x, k(s, 0)), x, y);
}

/* As in recipe.c: h = expm1(2|x|) / 2; tanh |x| = t - t t / (1 + h). */
Val double_tanh(S *s, Val x)
{
    Val n, a = at_most(s, absolute(s, x), 19.1);
    Pair r = reduce_exp(s, add(s, a, a), &n);
    Val q = add(s, r.hi, exp_tail(s, r));
    Val scale = scale2(s, k(s, 0.5), n);
    Val h = fma3(s, scale, q, sub(s, scale, k(s, 0.5)));
    Val t = select3(s, less(s, k(s, 0.7), a), k(s, 1), h);
    Val part = over(s, t, add(s, h, k(s, 1)));
    return op2(s, S_COPYSIGN, fma3(s, neg(s, t), part, t), x);
}

/* ---- log, log1p: x = 2^e m, m in [√½, √2), f = m - 1, g = f / (2 + f) ---- */

/* log(1 + f) = f - f²/2 + g (f²/2 + g² P(g²)): fdlibm's polynomial (Sun Microsystems). */
static const double LOG_POLY[] = {1.479819860511658591e-01, 1.531383769920937332e-01,
                                  1.818357216161805012e-01, 2.222219843214978396e-01,
                                  2.857142874366239149e-01, 3.999999999940941908e-01,
                                  6.666666666666735130e-01};

/* e ln 2 + log(1 + f + small), small far below f */
static Val log_sum(S *s, Val e, Val f, Val small)
{
    Val g = over(s, f, add(s, f, k(s, 2))), z = mul(s, g, g);
    Val half = mul(s, mul(s, f, f), k(s, 0.5));
    Val p = fma3(s, z, polynomial(s, z, COUNT(LOG_POLY), LOG_POLY), half);
    Val low = fma3(s, g, p, fma3(s, e, k(s, LN2_LO), small));
    Pair high = sum(s, mul(s, e, k(s, LN2_HI)), f);
    return add(s, high.hi, add(s, high.lo, sub(s, low, half)));
}

Val double_log(S *s, Val x)
{
    Val e = log_exponent(s, x);
    Val f = sub(s, scale2(s, x, neg(s, e)), k(s, 1));
    return log_edges(s, x, log_sum(s, e, f, k(s, 0)));
}

/* What 1 + x loses in rounding is put back. */
Val double_log1p(S *s, Val x)
{
    Pair u = sum(s, x, k(s, 1));
    Val e = log_exponent(s, u.hi), down = neg(s, e);
    Val m = sub(s, scale2(s, u.hi, down), k(s, 1));
    Pair f = sum(s, m, scale2(s, u.lo, down));
    Val small = over(s, f.lo, add(s, f.hi, k(s, 1)));
    Val y = log_edges(s, u.hi, log_sum(s, e, f.hi, small));
    return select3(s, equal(s, x, k(s, 0)), x, y);
}
