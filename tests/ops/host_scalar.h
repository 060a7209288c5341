/*
 * host_scalar.h — recipes run on the host: each instruction is done at once, in float, and
 * a Val points at a cell that holds the result.
 */
#ifndef RNNC_HOST_SCALAR_H
#define RNNC_HOST_SCALAR_H

#include <math.h>
#include <stdlib.h>

#include "graph/ops.h"

enum { HOST_CELLS = 1024 };

typedef struct {
    ScalarEmitter base;
    float cell[HOST_CELLS];
    int n;
} HostScalar;

static Val host_put(ScalarEmitter *s, float v)
{
    HostScalar *h = (HostScalar *)s;
    if (h->n == HOST_CELLS)
        abort();
    h->cell[h->n] = v;
    return (Val){&h->cell[h->n++]};
}

static float host_get(Val v) { return v.handle ? *(const float *)v.handle : 0; }
static Val host_constant(ScalarEmitter *s, double v) { return host_put(s, (float)v); }

static float host_scale(float a, float b)
{
    return isnan(b) ? NAN : (float)ldexp(a, (int)b);
}

static float host_exponent(float a)
{
    return a == 0 || !isfinite(a) ? 300 : (float)ilogb(a);
}

static Val host_apply(ScalarEmitter *s, ScalarOp op, Val va, Val vb, Val vc)
{
    float a = host_get(va), b = host_get(vb), c = host_get(vc);
    switch (op) {
    case S_ADD: return host_put(s, a + b);
    case S_SUB: return host_put(s, a - b);
    case S_MUL: return host_put(s, a * b);
    case S_DIV: return host_put(s, a / b);
    case S_FMA: return host_put(s, fmaf(a, b, c));
    case S_NEG: return host_put(s, -a);
    case S_ABS: return host_put(s, fabsf(a));
    case S_SQRT: return host_put(s, sqrtf(a));
    case S_FLOOR: return host_put(s, floorf(a));
    case S_ROUND: return host_put(s, nearbyintf(a));
    case S_LT: return host_put(s, a < b);
    case S_LE: return host_put(s, a <= b);
    case S_EQ: return host_put(s, a == b);
    case S_NE: return host_put(s, a != b);
    case S_SELECT: return host_put(s, a != 0 ? b : c);
    case S_COPYSIGN: return host_put(s, copysignf(a, b));
    case S_SCALE2: return host_put(s, host_scale(a, b));
    case S_EXPONENT: return host_put(s, host_exponent(a));
    case S_COUNT: break;
    }
    abort();
}

/* What the op's recipe makes of n floats. */
static float host_run(const OpDef *op, int n, const float *x)
{
    HostScalar h;
    h.base = (ScalarEmitter){.constant = host_constant, .apply = host_apply};
    h.n = 0;
    Val arg[8];
    for (int i = 0; i < n; i++)
        arg[i] = host_put(&h.base, x[i]);
    return host_get(op->emit(&h.base, arg));
}

#endif
