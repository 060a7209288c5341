/*
 * recipe_room.h — what the recipes of floats and of doubles share: instructions by shorter
 * names, polynomials, pairs. Only recipe.c and recipe_double.c include it.
 */
#ifndef RNNC_RECIPE_ROOM_H
#define RNNC_RECIPE_ROOM_H

#include <math.h>

#include "graph/ops_room.h"

/* ---- instructions, by shorter names ---- */

typedef ScalarEmitter S;

static const Val no_val = {NULL};

static const double ROOT_2 = 1.41421356;

static inline Val k(S *s, double v) { return s->constant(s, v); }
static inline Val op1(S *s, ScalarOp op, Val a)
{
    return s->apply(s, op, a, no_val, no_val);
}
static inline Val op2(S *s, ScalarOp op, Val a, Val b)
{
    return s->apply(s, op, a, b, no_val);
}
static inline Val add(S *s, Val a, Val b) { return op2(s, S_ADD, a, b); }
static inline Val sub(S *s, Val a, Val b) { return op2(s, S_SUB, a, b); }
static inline Val mul(S *s, Val a, Val b) { return op2(s, S_MUL, a, b); }
static inline Val over(S *s, Val a, Val b) { return op2(s, S_DIV, a, b); }
static inline Val neg(S *s, Val a) { return op1(s, S_NEG, a); }
static inline Val absolute(S *s, Val a) { return op1(s, S_ABS, a); }
static inline Val whole(S *s, Val a) { return op1(s, S_ROUND, a); }
static inline Val scale2(S *s, Val a, Val b) { return op2(s, S_SCALE2, a, b); }
static inline Val less(S *s, Val a, Val b) { return op2(s, S_LT, a, b); }
static inline Val equal(S *s, Val a, Val b) { return op2(s, S_EQ, a, b); }
static inline Val fma3(S *s, Val a, Val b, Val c) { return s->apply(s, S_FMA, a, b, c); }
static inline Val select3(S *s, Val c, Val a, Val b)
{
    return s->apply(s, S_SELECT, c, a, b);
}
static inline Val both(S *s, Val a, Val b) { return select3(s, a, b, k(s, 0)); }

/* A NaN stays: the comparison does not hold. */
static inline Val at_least(S *s, Val a, double low)
{
    return select3(s, less(s, a, k(s, low)), k(s, low), a);
}
static inline Val at_most(S *s, Val a, double high)
{
    return select3(s, less(s, k(s, high), a), k(s, high), a);
}

/* c[0] x^(n-1) + … + c[n-1] */
static inline Val polynomial(S *s, Val x, int n, const double *c)
{
    Val p = k(s, c[0]);
    for (int i = 1; i < n; i++)
        p = fma3(s, p, x, k(s, c[i]));
    return p;
}

/* ---- pairs: hi + lo, not rounded ---- */

typedef struct {
    Val hi, lo;
} Pair;

/* Exact. |a| >= |b|, or a = 0. */
static inline Pair sum_ordered(S *s, Val a, Val b)
{
    Val hi = add(s, a, b);
    return (Pair){hi, sub(s, b, sub(s, hi, a))};
}

/* Exact, in any order (Knuth). */
static inline Pair sum(S *s, Val a, Val b)
{
    Val hi = add(s, a, b), bb = sub(s, hi, a);
    return (Pair){hi, add(s, sub(s, a, sub(s, hi, bb)), sub(s, b, bb))};
}

/* Exact where nothing underflows. */
static inline Pair product(S *s, Val a, Val b)
{
    Val hi = mul(s, a, b);
    return (Pair){hi, fma3(s, a, b, neg(s, hi))};
}

/* ---- logarithms: x = 2^e m, m in [√½, √2) ---- */

/* 2^-e brings a positive x to m. */
static inline Val log_exponent(S *s, Val x)
{
    Val e = op1(s, S_EXPONENT, x);
    Val m = scale2(s, x, neg(s, e));
    return add(s, e, less(s, k(s, ROOT_2), m));
}

/* x < 0 or NaN: NaN; 0: -∞; ∞: ∞ */
static inline Val log_edges(S *s, Val x, Val y)
{
    y = select3(s, less(s, x, k(s, INFINITY)), y, x);
    y = select3(s, equal(s, x, k(s, 0)), k(s, -INFINITY), y);
    return select3(s, less(s, x, k(s, 0)), k(s, NAN), y);
}

/* ---- recipe_double.c ---- */

Val double_exp(S *s, Val x);
Val double_expm1(S *s, Val x);
Val double_tanh(S *s, Val x);
Val double_log(S *s, Val x);
Val double_log1p(S *s, Val x);

#endif
