/*
 * recipe.c — elementary functions as scalar instructions, the same for every back end.
 *
 * In f32, at most 2 ulp over all floats, denormals, infinities and NaN included;
 * tests/ops/test_recipe.c measures them. Doubles have recipes of their own for what
 * networks are made of, in recipe_double.c, and call libm for the rest. Wide scalars are
 * few and computed once an update: they call libm.
 *
 * Each function is the textbook's three steps: bring the argument into a small range, a
 * polynomial there, put the scale back. Recipes have no branches, so each computes all of
 * its cases and selects. A sum of two floats that is exact as a pair (Dekker 1971, Knuth
 * TAOCP 2, 4.2.2) carries the digits where one float is not enough: `Pair`.
 *
 * Polynomials: log, sin and cos have those of Cephes (S. Moshier), erf N. Juffa's, exp and
 * pow minimax fits on the reduced ranges.
 */
#include "graph/recipe_room.h"

/* To about 2^-46. */
static Pair pair_mul(S *s, Pair a, Pair b)
{
    Pair p = product(s, a.hi, b.hi);
    Val cross = fma3(s, a.hi, b.lo, fma3(s, a.lo, b.hi, p.lo));
    return sum_ordered(s, p.hi, cross);
}

static Pair constant_pair(S *s, double v)
{
    double hi = (double)(float)v;
    return (Pair){k(s, hi), k(s, v - hi)};
}

/* ---- exp, expm1, tanh: x = n ln 2 + r, |r| <= ln 2 / 2 ---- */

static const double LOG2_E = 0x1.715476p+0, LN2_HI = 0x1.62e400p-1, LN2_LO = 0x1.7f7d1cp-20;

/* (e^r - 1) / r */
static const double EXP_POLY[] = {0x1.6b7338p-10, 0x1.12278ep-7, 0x1.555716p-5,
                                  0x1.5554b0p-3,  0x1.fffffep-2, 1};

/* LN2_HI has few digits, so the first step is exact. */
static Val reduce_exp(S *s, Val x, Val *n)
{
    *n = whole(s, mul(s, x, k(s, LOG2_E)));
    return fma3(s, *n, k(s, -LN2_LO), fma3(s, *n, k(s, -LN2_HI), x));
}

/* Wide scalars call libm, other doubles have a recipe of their own. */
static Val of_double(S *s, const char *name, Val (*own)(S *, Val), Val x)
{
    return s->wide ? s->call(s, name, x, no_val) : own(s, x);
}

Val recipe_exp(S *s, const Val *arg)
{
    if (s->doubles)
        return of_double(s, "exp", double_exp, arg[0]);
    Val n, x = at_most(s, at_least(s, arg[0], -104), 89);
    Val r = reduce_exp(s, x, &n);
    return scale2(s, fma3(s, polynomial(s, r, COUNT(EXP_POLY), EXP_POLY), r, k(s, 1)), n);
}

/* e^r - 1, for a small r */
static Val exp_minus_1(S *s, Val r)
{
    Val q = polynomial(s, r, COUNT(EXP_POLY) - 1, EXP_POLY);
    return fma3(s, mul(s, q, r), r, r);
}

/* 2^n e^r - 1 = 2^n ((e^r - 1) + (1 - 2^-n)); the largest digits of r are added first, for
   n = 1 cancels some of them. */
Val recipe_expm1(S *s, const Val *arg)
{
    if (s->doubles)
        return of_double(s, "expm1", double_expm1, arg[0]);
    Val n, x = at_most(s, at_least(s, arg[0], -20), 89);
    Val r = reduce_exp(s, x, &n);
    Val q = polynomial(s, r, COUNT(EXP_POLY) - 1, EXP_POLY);
    Val rest = sub(s, k(s, 1), scale2(s, k(s, 1), neg(s, n)));
    Pair top = sum(s, rest, r);
    Val tail = fma3(s, mul(s, q, r), r, top.lo);
    Val y = scale2(s, add(s, top.hi, tail), n);
    return select3(s, equal(s, arg[0], k(s, 0)), arg[0], y);
}

/* h = expm1(2|x|) / 2; tanh |x| = t - t t / (1 + h), where t is h if |x| is small and 1
   elsewhere: no digits are lost in either, and there is one division. */
Val recipe_tanh(S *s, const Val *arg)
{
    if (s->doubles)
        return of_double(s, "tanh", double_tanh, arg[0]);
    Val n, a = at_most(s, absolute(s, arg[0]), 9.1);
    Val q = exp_minus_1(s, reduce_exp(s, add(s, a, a), &n));
    Val scale = scale2(s, k(s, 0.5), n);
    Val h = fma3(s, scale, q, sub(s, scale, k(s, 0.5)));
    Val t = select3(s, less(s, k(s, 0.7), a), k(s, 1), h);
    Val part = over(s, t, add(s, h, k(s, 1)));
    return op2(s, S_COPYSIGN, fma3(s, neg(s, t), part, t), arg[0]);
}

/* ---- log, log1p: x = 2^e m, m in [√½, √2), f = m - 1 ---- */

static const double LOG_LN2_HI = 0x1.62e400p-1, LOG_LN2_LO = 0x1.7f7d1cp-20;

/* (log(1 + f) - f + f²/2) / f³ */
static const double LOG_POLY[] = {7.0376836292e-2,  -1.1514610310e-1, 1.1676998740e-1,
                                  -1.2420140846e-1, 1.4249322787e-1,  -1.6668057665e-1,
                                  2.0000714765e-1,  -2.4999993993e-1, 3.3333331174e-1};

/* e ln 2 + log(1 + f) */
static Val log_sum(S *s, Val e, Val f)
{
    Val z = mul(s, f, f);
    Val p = mul(s, mul(s, z, f), polynomial(s, f, COUNT(LOG_POLY), LOG_POLY));
    Val low = fma3(s, e, k(s, LOG_LN2_LO), p);
    low = fma3(s, z, k(s, -0.5), low);
    Pair high = sum(s, mul(s, e, k(s, LOG_LN2_HI)), f);
    return add(s, high.hi, add(s, high.lo, low));
}

Val recipe_log(S *s, const Val *arg)
{
    if (s->doubles)
        return of_double(s, "log", double_log, arg[0]);
    Val e = log_exponent(s, arg[0]);
    Val f = sub(s, scale2(s, arg[0], neg(s, e)), k(s, 1));
    return log_edges(s, arg[0], log_sum(s, e, f));
}

/* What 1 + x loses in rounding is put back into f. */
Val recipe_log1p(S *s, const Val *arg)
{
    if (s->doubles)
        return of_double(s, "log1p", double_log1p, arg[0]);
    Val x = arg[0];
    Pair u = sum(s, x, k(s, 1));
    Val e = log_exponent(s, u.hi), down = neg(s, e);
    Val f = add(s, sub(s, scale2(s, u.hi, down), k(s, 1)), scale2(s, u.lo, down));
    Val y = log_edges(s, u.hi, log_sum(s, e, f));
    return select3(s, equal(s, x, k(s, 0)), x, y);
}

/* ---- pow: 2^(y log2 |x|), the logarithm a pair -------------------------------------
 * y log2 |x| goes up to 150, so log2 |x| wants 2^-24 / 150 of absolute error and a
 * relative one where it is small. With g = f / (2 + f), log(1 + f) = 2 (g + g³/3 + g⁵/5
 * + …), |g| < 0.172. */

static const double POW_POLY[] = {1.170955734585e-1, 1.427355601449e-1, 2.000007618924e-1};
static const double EXP2_POLY[] = {1.559475566267e-4,
                                   1.340667460286e-3,
                                   9.617692624386e-3,
                                   5.550310467366e-2,
                                   2.402265278545e-1,
                                   6.931472150106e-1,
                                   1};

/* log2 of x > 0 */
static Pair log2_pair(S *s, Val x)
{
    Val e = log_exponent(s, x);
    Val f = sub(s, scale2(s, x, neg(s, e)), k(s, 1));
    Pair d = sum_ordered(s, k(s, 2), f);
    Pair g = {over(s, f, d.hi), no_val};
    Val left = fma3(s, neg(s, g.hi), d.hi, f);
    g.lo = over(s, fma3(s, neg(s, g.hi), d.lo, left), d.hi);

    /* 1 + z (1/3 + z (1/5 + …)), z = g² */
    Pair z = pair_mul(s, g, g);
    Val tail = mul(s, z.hi, polynomial(s, z.hi, COUNT(POW_POLY), POW_POLY));
    Pair third = constant_pair(s, 1.0 / 3);
    Pair w = sum_ordered(s, third.hi, tail);
    w.lo = add(s, w.lo, third.lo);
    w = pair_mul(s, z, w);
    Pair one = sum_ordered(s, k(s, 1), w.hi);
    one.lo = add(s, one.lo, w.lo);

    Pair l = pair_mul(s, pair_mul(s, g, one), constant_pair(s, 2 / 0.69314718055994530942));
    Pair total = sum(s, e, l.hi);
    return sum_ordered(s, total.hi, add(s, total.lo, l.lo));
}

/* |x|^y for x neither 0 nor infinite. */
static Val pow_magnitude(S *s, Val x, Val y)
{
    Pair l = log2_pair(s, absolute(s, x));
    Val hi = mul(s, y, l.hi);
    Val lo = fma3(s, y, l.lo, fma3(s, y, l.hi, neg(s, hi)));
    Val inside = less(s, absolute(s, hi), k(s, 200));
    hi = at_most(s, at_least(s, hi, -200), 200);
    Val n = whole(s, hi);
    Val r = add(s, sub(s, hi, n), select3(s, inside, lo, k(s, 0)));
    return scale2(s, polynomial(s, r, COUNT(EXP2_POLY), EXP2_POLY), n);
}

static Val is_whole(S *s, Val a) { return equal(s, op1(s, S_FLOOR, a), a); }

/* C's pow, case by case (C11 F.10.4.4). */
Val recipe_pow(S *s, const Val *arg)
{
    if (s->doubles)
        return s->call(s, "pow", arg[0], arg[1]);
    Val x = arg[0], y = arg[1], zero = k(s, 0), one = k(s, 1), infinity = k(s, INFINITY);
    Val size = absolute(s, x), up = less(s, zero, y);
    Val p = pow_magnitude(s, x, y);
    p = select3(s, equal(s, x, zero), select3(s, up, zero, infinity), p);
    p = select3(s, equal(s, size, infinity), select3(s, up, infinity, zero), p);
    /* 1^±∞: 0 · ∞ is in the way */
    p = select3(s, equal(s, size, one), one, p);

    Val even_or_not = is_whole(s, y);
    Val odd =
        both(s, even_or_not,
             op2(s, S_NE, op1(s, S_FLOOR, mul(s, y, k(s, 0.5))), mul(s, y, k(s, 0.5))));
    p = select3(s, odd, op2(s, S_COPYSIGN, p, x), p);
    Val no_root = both(s, both(s, less(s, x, zero), less(s, k(s, -INFINITY), x)),
                       equal(s, even_or_not, zero));
    p = select3(s, no_root, k(s, NAN), p);
    p = select3(s, equal(s, x, x), p, x);
    p = select3(s, equal(s, y, y), p, y);
    p = select3(s, equal(s, x, one), one, p);
    return select3(s, equal(s, y, zero), one, p);
}

/* ---- erf: x + x P(x²), or 1 - exp(-Q(|x|)) ---- */

static const double ERF_SMALL[] = {-5.96761703e-4, 4.99119423e-3,  -2.67681349e-2,
                                   1.12819925e-1,  -3.76125336e-1, 1.28379166e-1};

Val recipe_erf(S *s, const Val *arg)
{
    if (s->doubles)
        return s->call(s, "erf", arg[0], no_val);
    Val x = arg[0], t = absolute(s, x), z = mul(s, x, x);
    Val small = fma3(s, polynomial(s, z, COUNT(ERF_SMALL), ERF_SMALL), x, x);

    t = at_most(s, t, 4), z = mul(s, t, t);
    Val r = fma3(s, k(s, -1.72853470e-5), t, k(s, 3.83197126e-4));
    Val u = fma3(s, k(s, -3.88396438e-3), t, k(s, 2.42546219e-2));
    r = fma3(s, r, z, u);
    r = fma3(s, r, t, k(s, -1.06777877e-1));
    r = fma3(s, r, t, k(s, -6.34846687e-1));
    r = fma3(s, r, t, k(s, -1.28717512e-1));
    r = fma3(s, r, t, neg(s, t));
    Val large = sub(s, k(s, 1), recipe_exp(s, &r));
    large = op2(s, S_COPYSIGN, large, x);
    return select3(s, less(s, k(s, 0.927734375), t), large, small);
}

/* ---- sin, cos: |x| in quarter turns, modulo 4 --------------------------------------
 * q = |x| · 2/π mod 4 with enough digits for every float (Payne and Hanek 1983). For x
 * below 2^47 that is |x| times 120 digits of 2/π; above, |x| is 2^(24j) times an integer
 * below 2^47, and the digits of 2/π above 2^(2 - 24j) only add whole turns: the window
 * of digits moves on by 24. Window j's first term takes the two digits above its point
 * that still count. */

enum { TERMS = 5, WINDOWS = 5 };

/* [j][i]: 2/π · 2^(24j) mod 4, in pieces of 24 binary digits, the largest first. */
static const double QUARTER[WINDOWS][TERMS] = {
    {0x1.45f3p-1, 0x1.b72722p-23, 0x1.529fcp-52, 0x1.3abe8p-75, 0x1.f534dcp-96},
    {0x1.b72722p+1, 0x1.529fcp-28, 0x1.3abe8p-51, 0x1.f534dcp-72, 0x1.c0db6p-96},
    {0x1.529fcp-4, 0x1.3abe8p-27, 0x1.f534dcp-48, 0x1.c0db6p-72, 0x1.4acc9ep-95},
    {0x1.3abe8p-3, 0x1.f534dcp-24, 0x1.c0db6p-48, 0x1.4acc9ep-71, 0x1.0e41p-98},
    {0x1.f534dcp+0, 0x1.c0db6p-24, 0x1.4acc9ep-47, 0x1.0e41p-74, 0x1.fe516p-96},
};

/* What is left of a modulo 4, in [-2, 2]: exact. */
static Val mod4(S *s, Val a)
{
    return fma3(s, k(s, -4), whole(s, mul(s, a, k(s, 0.25))), a);
}

/* The terms of the window for |x|, and |x| scaled for it. */
static Val choose_window(S *s, Val size, Val *term)
{
    Val scale = k(s, 1);
    for (int i = 0; i < TERMS; i++)
        term[i] = k(s, QUARTER[0][i]);
    for (int j = 1; j < WINDOWS; j++) {
        Val beyond = less(s, k(s, ldexp(1, 24 * j + 23)), size);
        for (int i = 0; i < TERMS; i++)
            term[i] = select3(s, beyond, k(s, QUARTER[j][i]), term[i]);
        scale = select3(s, beyond, k(s, ldexp(1, -24 * j)), scale);
    }
    return mul(s, size, scale);
}

/* Adds v to the float that holds the large digits, its rounding to the one below. */
static void add_exactly(S *s, Val *large, Val *small, Val v)
{
    Pair p = sum(s, *large, v);
    *large = p.hi;
    *small = add(s, *small, p.lo);
}

/* |x| = (4 · some + quarter) π/2 + the angle returned, |angle| <= π/4 or a little more. */
static Val reduce_turns(S *s, Val x, Val *quarter)
{
    Val size = absolute(s, x), term[TERMS];
    Val scaled = choose_window(s, size, term);
    Pair p[TERMS];
    for (int i = 0; i < TERMS; i++)
        p[i] = product(s, scaled, term[i]);

    /* three levels of digits: about 1, 2^-24, 2^-48; none loses what the next can hold */
    Val a = mod4(s, p[0].hi), b = k(s, 0), c = add(s, p[3].lo, p[4].hi);
    Val large[] = {mod4(s, p[0].lo), mod4(s, p[1].hi), p[1].lo, p[2].hi};
    for (int i = 0; i < COUNT(large); i++) {
        Pair t = sum(s, a, large[i]);
        a = t.hi;
        add_exactly(s, &b, &c, t.lo);
    }
    add_exactly(s, &b, &c, p[2].lo);
    add_exactly(s, &b, &c, p[3].hi);
    Val n = whole(s, a);
    Pair q = sum(s, sub(s, a, n), b);
    q = sum_ordered(s, q.hi, add(s, q.lo, c));
    *quarter = mod4(s, n);
    Pair angle = pair_mul(s, q, constant_pair(s, 1.57079632679489661923));
    /* below ½ nothing is to be reduced, and the product would lose denormals */
    return select3(s, less(s, size, k(s, 0.5)), size, angle.hi);
}

static const double SIN_POLY[] = {-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1};
static const double COS_POLY[] = {2.443315711809948e-5, -1.388731625493765e-3,
                                  4.166664568298827e-2};

/* The sine of quarter turns and angle: quarter -2 … 2. */
static Val sine(S *s, Val quarter, Val r)
{
    Val z = mul(s, r, r);
    Val sin_r = fma3(s, mul(s, z, r), polynomial(s, z, COUNT(SIN_POLY), SIN_POLY), r);
    Val cos_r = mul(s, mul(s, z, z), polynomial(s, z, COUNT(COS_POLY), COS_POLY));
    cos_r = add(s, fma3(s, z, k(s, -0.5), k(s, 1)), cos_r);
    Val odd = equal(s, absolute(s, quarter), k(s, 1));
    Val y = select3(s, odd, cos_r, sin_r);
    Val negated =
        select3(s, less(s, quarter, k(s, 0)), k(s, 1), equal(s, quarter, k(s, 2)));
    return select3(s, negated, neg(s, y), y);
}

Val recipe_sin(S *s, const Val *arg)
{
    if (s->doubles)
        return s->call(s, "sin", arg[0], no_val);
    Val x = arg[0], quarter, r = reduce_turns(s, x, &quarter);
    Val y = sine(s, quarter, r);
    y = select3(s, less(s, x, k(s, 0)), neg(s, y), y);
    return select3(s, less(s, absolute(s, x), k(s, 0x1p-12)), x, y);
}

Val recipe_cos(S *s, const Val *arg)
{
    if (s->doubles)
        return s->call(s, "cos", arg[0], no_val);
    Val quarter, r = reduce_turns(s, arg[0], &quarter);
    Val next = add(s, quarter, k(s, 1));
    return sine(s, select3(s, less(s, k(s, 2), next), k(s, -1), next), r);
}

/* ---- mod: a - b floor(a / b), of b's sign ------------------------------------------
 * Where |a / b| < 2^22; beyond, the quotient has no digits left to be right. The
 * division may round up to the next whole number: then the rest has the other sign and b
 * is added. */

static Val double_mod(S *s, const Val *arg)
{
    Val r = s->call(s, "fmod", arg[0], arg[1]), b = arg[1], zero = k(s, 0);
    Val other_sign = op2(s, S_NE, less(s, r, zero), less(s, b, zero));
    return select3(s, both(s, op2(s, S_NE, r, zero), other_sign), add(s, r, b), r);
}

Val recipe_mod(S *s, const Val *arg)
{
    if (s->doubles)
        return double_mod(s, arg);
    Val a = arg[0], b = arg[1], zero = k(s, 0);
    Val q = op1(s, S_FLOOR, over(s, a, b));
    Val r = fma3(s, neg(s, q), b, a);
    Val way = op2(s, S_COPYSIGN, k(s, 1), b);
    return select3(s, less(s, mul(s, r, way), zero), add(s, r, b), r);
}
