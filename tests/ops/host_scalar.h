/*
 * host_scalar.h — recipes run on the host: each instruction is done at once, in float or
 * double, and a Val points at a cell that holds the result. A double that was rounded to a
 * float is what float arithmetic gives, but for fma (Figueroa 1995).
 */
#ifndef RNNC_HOST_SCALAR_H
#define RNNC_HOST_SCALAR_H

#include <math.h>
#include <stdlib.h>

#include "graph/ops.h"

enum { HOST_CELLS = 1024 };

typedef struct {
    ScalarEmitter base;
    double cell[HOST_CELLS];
    int n;
} HostScalar;

static Val host_put(ScalarEmitter *s, double v)
{
    HostScalar *h = (HostScalar *)s;
    if (h->n == HOST_CELLS)
        abort();
    h->cell[h->n] = s->doubles ? v : (double)(float)v;
    return (Val){&h->cell[h->n++]};
}

static double host_get(Val v) { return v.handle ? *(const double *)v.handle : 0; }
static Val host_constant(ScalarEmitter *s, double v) { return host_put(s, v); }

/* Clamped as generated code does. */
static double host_scale(const ScalarEmitter *s, double a, double b)
{
    double limit = s->doubles ? 2044 : 252;
    return isnan(b) ? (double)NAN : ldexp(a, (int)fmin(fmax(b, -limit), limit));
}

static double host_exponent(double a) { return a == 0 || !isfinite(a) ? 300 : ilogb(a); }

static double host_fma(const ScalarEmitter *s, double a, double b, double c)
{
    return s->doubles ? fma(a, b, c) : (double)fmaf((float)a, (float)b, (float)c);
}

static Val host_call(ScalarEmitter *s, const char *name, Val va, Val vb)
{
    static const struct {
        const char *name;
        double (*one)(double);
        double (*two)(double, double);
    } functions[] = {{"erf", erf, NULL},
                     {"sin", sin, NULL},
                     {"cos", cos, NULL},
                     {"pow", NULL, pow},
                     {"fmod", NULL, fmod}};
    for (int i = 0; i < COUNT(functions); i++)
        if (str_eq(functions[i].name, name))
            return host_put(s, functions[i].one
                                   ? functions[i].one(host_get(va))
                                   : functions[i].two(host_get(va), host_get(vb)));
    abort();
}

static Val host_apply(ScalarEmitter *s, ScalarOp op, Val va, Val vb, Val vc)
{
    double a = host_get(va), b = host_get(vb), c = host_get(vc);
    switch (op) {
    case S_ADD: return host_put(s, a + b);
    case S_SUB: return host_put(s, a - b);
    case S_MUL: return host_put(s, a * b);
    case S_DIV: return host_put(s, a / b);
    case S_FMA: return host_put(s, host_fma(s, a, b, c));
    case S_NEG: return host_put(s, -a);
    case S_ABS: return host_put(s, fabs(a));
    case S_SQRT: return host_put(s, sqrt(a));
    case S_FLOOR: return host_put(s, floor(a));
    case S_ROUND: return host_put(s, nearbyint(a));
    case S_LT: return host_put(s, a < b);
    case S_LE: return host_put(s, a <= b);
    case S_EQ: return host_put(s, a == b);
    case S_NE: return host_put(s, a != b);
    case S_SELECT: return host_put(s, a != 0 ? b : c);
    case S_COPYSIGN: return host_put(s, copysign(a, b));
    case S_SCALE2: return host_put(s, host_scale(s, a, b));
    case S_EXPONENT: return host_put(s, host_exponent(a));
    case S_COUNT: break;
    }
    abort();
}

static double host_result(const OpDef *op, bool doubles, int n, const double *x)
{
    HostScalar h;
    h.base = (ScalarEmitter){.constant = host_constant,
                             .apply = host_apply,
                             .call = host_call,
                             .doubles = doubles};
    h.n = 0;
    Val arg[8];
    for (int i = 0; i < n; i++)
        arg[i] = host_put(&h.base, x[i]);
    return host_get(op->emit(&h.base, arg));
}

/* What the op's recipe makes of n floats. */
static float host_run(const OpDef *op, int n, const float *x)
{
    double wide[8];
    for (int i = 0; i < n; i++)
        wide[i] = (double)x[i];
    return (float)host_result(op, false, n, wide);
}

#endif
