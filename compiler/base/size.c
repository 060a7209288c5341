/*
 * size.c — arithmetic on sizes that come from a spec: it says when it overflows.
 *
 * Operands are never negative, so a * b fits exactly when a <= INT64_MAX / b.
 */
#include "base/base.h"

bool size_mul(int64_t a, int64_t b, int64_t *out)
{
    if (a < 0 || b < 0 || (b > 0 && a > INT64_MAX / b))
        return false;
    *out = a * b;
    return true;
}

bool size_add(int64_t a, int64_t b, int64_t *out)
{
    if ((b > 0 && a > INT64_MAX - b) || (b < 0 && a < INT64_MIN - b) || a + b < 0)
        return false;
    *out = a + b;
    return true;
}

bool size_product(const int64_t *dim, int n, int64_t *out)
{
    int64_t product = 1;
    for (int i = 0; i < n; i++)
        if (!size_mul(product, dim[i], &product))
            return false;
    *out = product;
    return true;
}
