/*
 * real.h — for tests that are compiled once for each width of a model's reals.
 *
 * With REAL_IS_DOUBLE `real` is double, else float; REAL_UNIT is half the distance from 1
 * to the next larger real, what one rounding adds at most, relatively. Sums to compare with
 * are long double, whose own roundings do not count beside those of either.
 */
#ifndef RNNC_TESTS_REAL_H
#define RNNC_TESTS_REAL_H

#include <math.h>

#include "rnn_abi.h"

#ifdef REAL_IS_DOUBLE
typedef double real;
static const enum rnn_dtype real_dtype = RNN_F64;
#define REAL_UNIT 0x1p-53
#else
typedef float real;
static const enum rnn_dtype real_dtype = RNN_F32;
#define REAL_UNIT 0x1p-24
#endif

/* a * b + c in one rounding. */
static inline real real_fma(real a, real b, real c)
{
#ifdef REAL_IS_DOUBLE
    return fma(a, b, c);
#else
    return fmaf(a, b, c);
#endif
}

#endif
