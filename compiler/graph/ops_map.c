/*
 * ops_map.c — the elementwise operations.
 *
 * For each: its derivative rule, its meaning in double precision (`ref`, the oracle, by
 * plain libm), how a derivative travels through that meaning (`complex`), and the recipe
 * that kernels are made of. The rules are written with the result wherever that saves an
 * operation or keeps less for the backward pass: tanh' = 1 - y y.
 *
 * The complex forms of exp, log, sqrt, tanh, sin, cos take C's complex functions a tiny
 * step off the real axis (Squire and Trapp 1998), so they share nothing with the rules
 * that they test. Where no complex form is given the derivative is 0.
 *
 * At kinks: equals in min and max get half each; abs and sign are flat at 0; floor, round
 * and comparisons are flat everywhere; `where` routes the cotangent to the branch taken.
 */
#include <complex.h>
#include <math.h>

#undef complex /* a column of OpDef has this name */
#include "graph/ops_room.h"

/* ---- types ---- */

/* All operands alike; a constant is at home among wide ones too. */
static const char *infer_map(const Graph *g, int n_arg, const NodeId *arg, const Attr *attr,
                             Node *out)
{
    (void)attr;
    for (int i = 0; i < n_arg; i++)
        out->wide = out->wide || g->node[arg[i]].wide;
    if (n_arg > 0 && !out->wide) {
        out->shape = g->node[arg[0]].shape;
        out->axes = g->node[arg[0]].axes;
    }
    for (int i = 0; i < n_arg; i++) {
        const Node *a = &g->node[arg[i]];
        if (out->wide && !a->wide && a->op != OP_CONSTANT)
            return "a wide number among ordinary ones";
        if (!shape_equal(&a->shape, &out->shape) || a->axes != out->axes)
            return REFUSE(g, "operands are %s and %s, or of other axes", SHAPE(g, arg[0]),
                          SHAPE(g, arg[i]));
    }
    return NULL;
}

/* ---- shorthands ---- */

static NodeId arg_of(const Graph *g, NodeId y, int i) { return g->node[y].arg[i]; }
static NodeId number(Graph *g, double v) { return graph_constant(g, v); }
static NodeId add(Graph *g, NodeId a, NodeId b) { return graph_map2(g, OP_ADD, a, b); }
static NodeId sub(Graph *g, NodeId a, NodeId b) { return graph_map2(g, OP_SUB, a, b); }
static NodeId mul(Graph *g, NodeId a, NodeId b) { return graph_map2(g, OP_MUL, a, b); }
static NodeId over(Graph *g, NodeId a, NodeId b) { return graph_map2(g, OP_DIV, a, b); }
static NodeId negative(Graph *g, NodeId a) { return graph_map1(g, OP_NEG, a); }
static NodeId choose(Graph *g, NodeId c, NodeId a, NodeId b)
{
    return graph_map3(g, OP_WHERE, c, a, b);
}

static const Val no_val = {NULL};

static Val apply1(ScalarEmitter *s, ScalarOp op, Val a)
{
    return s->apply(s, op, a, no_val, no_val);
}

static Val apply2(ScalarEmitter *s, ScalarOp op, Val a, Val b)
{
    return s->apply(s, op, a, b, no_val);
}

static Val select3(ScalarEmitter *s, Val c, Val a, Val b)
{
    return s->apply(s, S_SELECT, c, a, b);
}

/* The derivative of an analytic f along x, by a step off the real axis. */
static Complex along(double _Complex (*f)(double _Complex), double value, Complex x)
{
    const double h = 0x1p-200;
    double slope = x.im == 0 ? 0 : cimag(f(x.re + h * _Complex_I)) / h;
    return (Complex){value, x.im == 0 ? 0 : slope * x.im};
}

/* value and slope * im, but no NaN from an infinite slope that nothing comes along. */
static Complex sloped(double value, double slope, double im)
{
    return (Complex){value, im == 0 ? 0 : slope * im};
}

/* ---- add, sub, mul, div, neg ---- */

static void grad_add(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    (void)g, (void)y;
    dx[0] = dx[1] = dy;
}
static double ref_add(const double *a) { return a[0] + a[1]; }
static Complex complex_add(const Complex *a)
{
    return (Complex){a[0].re + a[1].re, a[0].im + a[1].im};
}
static Val emit_add(ScalarEmitter *s, const Val *a) { return apply2(s, S_ADD, a[0], a[1]); }

static void grad_sub(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    (void)y;
    dx[0] = dy;
    dx[1] = negative(g, dy);
}
static double ref_sub(const double *a) { return a[0] - a[1]; }
static Complex complex_sub(const Complex *a)
{
    return (Complex){a[0].re - a[1].re, a[0].im - a[1].im};
}
static Val emit_sub(ScalarEmitter *s, const Val *a) { return apply2(s, S_SUB, a[0], a[1]); }

static void grad_mul(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    dx[0] = mul(g, dy, arg_of(g, y, 1));
    dx[1] = mul(g, dy, arg_of(g, y, 0));
}
static double ref_mul(const double *a) { return a[0] * a[1]; }
static Complex complex_mul(const Complex *a)
{
    double im = sloped(0, a[1].re, a[0].im).im + sloped(0, a[0].re, a[1].im).im;
    return (Complex){a[0].re * a[1].re, im};
}
static Val emit_mul(ScalarEmitter *s, const Val *a) { return apply2(s, S_MUL, a[0], a[1]); }

/* dy/db = -a / b² = -y / b */
static void grad_div(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    dx[0] = over(g, dy, arg_of(g, y, 1));
    dx[1] = negative(g, mul(g, dx[0], y));
}
static double ref_div(const double *a) { return a[0] / a[1]; }
static Complex complex_div(const Complex *a)
{
    double q = a[0].re / a[1].re;
    return sloped(q, 1 / a[1].re, a[0].im - sloped(0, q, a[1].im).im);
}
static Val emit_div(ScalarEmitter *s, const Val *a) { return apply2(s, S_DIV, a[0], a[1]); }

static void grad_neg(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    (void)y;
    dx[0] = negative(g, dy);
}
static double ref_neg(const double *a) { return -a[0]; }
static Complex complex_neg(const Complex *a) { return (Complex){-a[0].re, -a[0].im}; }
static Val emit_neg(ScalarEmitter *s, const Val *a) { return apply1(s, S_NEG, a[0]); }

/* ---- pow: a^b ----------------------------------------------------------------------
 * 0 where b is 0 (a may be 0), and for b where a is 0 and b is not negative: torch's. */

static void grad_pow(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    NodeId a = arg_of(g, y, 0), b = arg_of(g, y, 1), zero = number(g, 0);
    NodeId slope = mul(g, b, graph_map2(g, OP_POW, a, sub(g, b, number(g, 1))));
    dx[0] = choose(g, graph_map2(g, OP_EQ, b, zero), zero, mul(g, dy, slope));
    NodeId flat =
        graph_map2(g, OP_AND, graph_map2(g, OP_EQ, a, zero), graph_map2(g, OP_LE, zero, b));
    NodeId along_b = mul(g, y, graph_map1(g, OP_LOG, a));
    dx[1] = choose(g, flat, zero, mul(g, dy, along_b));
}
static double ref_pow(const double *a) { return pow(a[0], a[1]); }
static Complex complex_pow(const Complex *a)
{
    double y = pow(a[0].re, a[1].re);
    double da = a[1].re == 0 ? 0 : a[1].re * pow(a[0].re, a[1].re - 1);
    double db = a[0].re == 0 && a[1].re >= 0 ? 0 : y * log(a[0].re);
    return (Complex){y, sloped(0, da, a[0].im).im + sloped(0, db, a[1].im).im};
}

/* ---- comparisons and logic: flags ---- */

static double ref_lt(const double *a) { return a[0] < a[1]; }
static double ref_le(const double *a) { return a[0] <= a[1]; }
static double ref_eq(const double *a) { return a[0] == a[1]; }
static double ref_ne(const double *a) { return a[0] != a[1]; }
static double ref_and(const double *a) { return a[0] != 0 && a[1] != 0; }
static double ref_or(const double *a) { return a[0] != 0 || a[1] != 0; }
static double ref_not(const double *a) { return a[0] == 0; }

static Val emit_lt(ScalarEmitter *s, const Val *a) { return apply2(s, S_LT, a[0], a[1]); }
static Val emit_le(ScalarEmitter *s, const Val *a) { return apply2(s, S_LE, a[0], a[1]); }
static Val emit_eq(ScalarEmitter *s, const Val *a) { return apply2(s, S_EQ, a[0], a[1]); }
static Val emit_ne(ScalarEmitter *s, const Val *a) { return apply2(s, S_NE, a[0], a[1]); }
static Val emit_and(ScalarEmitter *s, const Val *a)
{
    Val zero = s->constant(s, 0);
    return select3(s, a[0], apply2(s, S_NE, a[1], zero), zero);
}
static Val emit_or(ScalarEmitter *s, const Val *a)
{
    return select3(s, a[0], s->constant(s, 1), apply2(s, S_NE, a[1], s->constant(s, 0)));
}
static Val emit_not(ScalarEmitter *s, const Val *a)
{
    return apply2(s, S_EQ, a[0], s->constant(s, 0));
}

/* ---- where ---- */

static void grad_where(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    NodeId c = arg_of(g, y, 0), zero = number(g, 0);
    dx[0] = NO_NODE;
    dx[1] = choose(g, c, dy, zero);
    dx[2] = choose(g, c, zero, dy);
}
static double ref_where(const double *a) { return a[0] != 0 ? a[1] : a[2]; }
static Complex complex_where(const Complex *a) { return a[0].re != 0 ? a[1] : a[2]; }
static Val emit_where(ScalarEmitter *s, const Val *a)
{
    return select3(s, a[0], a[1], a[2]);
}

/* ---- min, max of two: NaN is handed on ---- */

static void share(Graph *g, NodeId y, NodeId dy, NodeId *dx, int winner)
{
    NodeId a = arg_of(g, y, 0), b = arg_of(g, y, 1), zero = number(g, 0);
    NodeId tie = graph_map2(g, OP_EQ, a, b);
    NodeId half = choose(g, tie, mul(g, dy, number(g, 0.5)), zero);
    dx[winner] = choose(g, graph_map2(g, OP_LT, b, a), dy, half);
    dx[1 - winner] = choose(g, graph_map2(g, OP_LT, a, b), dy, half);
}
static void grad_min(Graph *g, NodeId y, NodeId dy, NodeId *dx) { share(g, y, dy, dx, 1); }
static void grad_max(Graph *g, NodeId y, NodeId dy, NodeId *dx) { share(g, y, dy, dx, 0); }

static double ref_min(const double *a)
{
    return isnan(a[0]) || isnan(a[1]) ? NAN : a[1] < a[0] ? a[1] : a[0];
}
static double ref_max(const double *a)
{
    return isnan(a[0]) || isnan(a[1]) ? NAN : a[0] < a[1] ? a[1] : a[0];
}
static Complex complex_min(const Complex *a)
{
    if (a[0].re == a[1].re)
        return (Complex){a[0].re, (a[0].im + a[1].im) / 2};
    return a[1].re < a[0].re || isnan(a[1].re) ? a[1] : a[0];
}
static Complex complex_max(const Complex *a)
{
    if (a[0].re == a[1].re)
        return (Complex){a[0].re, (a[0].im + a[1].im) / 2};
    return a[0].re < a[1].re || isnan(a[1].re) ? a[1] : a[0];
}
/* A NaN in a stays, as no comparison holds; one in b is brought in. */
static Val emit_min(ScalarEmitter *s, const Val *a)
{
    Val y = select3(s, apply2(s, S_LT, a[1], a[0]), a[1], a[0]);
    return select3(s, apply2(s, S_EQ, a[1], a[1]), y, a[1]);
}
static Val emit_max(ScalarEmitter *s, const Val *a)
{
    Val y = select3(s, apply2(s, S_LT, a[0], a[1]), a[1], a[0]);
    return select3(s, apply2(s, S_EQ, a[1], a[1]), y, a[1]);
}

/* ---- abs, sign, floor, round ---- */

static void grad_abs(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    dx[0] = mul(g, dy, graph_map1(g, OP_SIGN, arg_of(g, y, 0)));
}
static double ref_abs(const double *a) { return fabs(a[0]); }
static double ref_sign(const double *a) { return (a[0] > 0) - (a[0] < 0); }
static double ref_floor(const double *a) { return floor(a[0]); }
static double ref_round(const double *a) { return nearbyint(a[0]); }
static Complex complex_abs(const Complex *a)
{
    return (Complex){fabs(a->re), a->re > 0 ? a->im : a->re < 0 ? -a->im : 0};
}
static Val emit_abs(ScalarEmitter *s, const Val *a) { return apply1(s, S_ABS, a[0]); }
static Val emit_floor(ScalarEmitter *s, const Val *a) { return apply1(s, S_FLOOR, a[0]); }
static Val emit_round(ScalarEmitter *s, const Val *a) { return apply1(s, S_ROUND, a[0]); }
static Val emit_sign(ScalarEmitter *s, const Val *a)
{
    Val zero = s->constant(s, 0);
    return apply2(s, S_SUB, apply2(s, S_LT, zero, a[0]), apply2(s, S_LT, a[0], zero));
}

/* ---- mod: a - b floor(a / b) ---- */

static void grad_mod(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    NodeId times = graph_map1(g, OP_FLOOR, over(g, arg_of(g, y, 0), arg_of(g, y, 1)));
    dx[0] = dy;
    dx[1] = negative(g, mul(g, dy, times));
}
static double ref_mod(const double *a)
{
    double r = fmod(a[0], a[1]);
    return r != 0 && (r < 0) != (a[1] < 0) ? r + a[1] : r;
}
static Complex complex_mod(const Complex *a)
{
    double re[2] = {a[0].re, a[1].re};
    return (Complex){ref_mod(re), a[0].im - sloped(0, floor(re[0] / re[1]), a[1].im).im};
}

/* ---- exp, expm1, log, log1p ---- */

static void grad_exp(Graph *g, NodeId y, NodeId dy, NodeId *dx) { dx[0] = mul(g, dy, y); }
static double ref_exp(const double *a) { return exp(a[0]); }
static Complex complex_exp(const Complex *a) { return along(cexp, exp(a->re), *a); }

static void grad_expm1(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    dx[0] = mul(g, dy, add(g, y, number(g, 1)));
}
static double ref_expm1(const double *a) { return expm1(a[0]); }
static Complex complex_expm1(const Complex *a) { return along(cexp, expm1(a->re), *a); }

static void grad_log(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    dx[0] = over(g, dy, arg_of(g, y, 0));
}
static double ref_log(const double *a) { return log(a[0]); }
static Complex complex_log(const Complex *a) { return along(clog, log(a->re), *a); }

static void grad_log1p(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    dx[0] = over(g, dy, add(g, arg_of(g, y, 0), number(g, 1)));
}
static double ref_log1p(const double *a) { return log1p(a[0]); }
static Complex complex_log1p(const Complex *a)
{
    return sloped(log1p(a->re), 1 / (1 + a->re), a->im);
}

/* ---- sqrt, rsqrt ---- */

static void grad_sqrt(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    dx[0] = over(g, mul(g, dy, number(g, 0.5)), y);
}
static double ref_sqrt(const double *a) { return sqrt(a[0]); }
static Complex complex_sqrt(const Complex *a) { return along(csqrt, sqrt(a->re), *a); }
static Val emit_sqrt(ScalarEmitter *s, const Val *a) { return apply1(s, S_SQRT, a[0]); }

/* -½ x^(-3/2) = -½ y³ */
static void grad_rsqrt(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    NodeId cube = mul(g, mul(g, y, y), y);
    dx[0] = mul(g, mul(g, dy, number(g, -0.5)), cube);
}
static double ref_rsqrt(const double *a) { return 1 / sqrt(a[0]); }
static double _Complex inverse_root(double _Complex z) { return 1 / csqrt(z); }
static Complex complex_rsqrt(const Complex *a)
{
    return along(inverse_root, 1 / sqrt(a->re), *a);
}
static Val emit_rsqrt(ScalarEmitter *s, const Val *a)
{
    return apply2(s, S_DIV, s->constant(s, 1), apply1(s, S_SQRT, a[0]));
}

/* ---- tanh, erf, sin, cos ---- */

static void grad_tanh(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    dx[0] = mul(g, dy, sub(g, number(g, 1), mul(g, y, y)));
}
static double ref_tanh(const double *a) { return tanh(a[0]); }
static Complex complex_tanh(const Complex *a) { return along(ctanh, tanh(a->re), *a); }

static const double TWO_OVER_ROOT_PI = 1.12837916709551257390;

static void grad_erf(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    NodeId x = arg_of(g, y, 0);
    NodeId bell = graph_map1(g, OP_EXP, negative(g, mul(g, x, x)));
    dx[0] = mul(g, dy, mul(g, number(g, TWO_OVER_ROOT_PI), bell));
}
static double ref_erf(const double *a) { return erf(a[0]); }
static Complex complex_erf(const Complex *a)
{
    return sloped(erf(a->re), TWO_OVER_ROOT_PI * exp(-a->re * a->re), a->im);
}

static void grad_sin(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    dx[0] = mul(g, dy, graph_map1(g, OP_COS, arg_of(g, y, 0)));
}
static double ref_sin(const double *a) { return sin(a[0]); }
static Complex complex_sin(const Complex *a) { return along(csin, sin(a->re), *a); }

static void grad_cos(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    dx[0] = negative(g, mul(g, dy, graph_map1(g, OP_SIN, arg_of(g, y, 0))));
}
static double ref_cos(const double *a) { return cos(a[0]); }
static Complex complex_cos(const Complex *a) { return along(ccos, cos(a->re), *a); }

/* ---- detach, narrow, widen: the value itself ---------------------------------------
 * Which width a value has is the emitter's affair: the recipe is the value. */

static double ref_same(const double *a) { return a[0]; }
static Complex complex_same(const Complex *a) { return a[0]; }
static Val emit_same(ScalarEmitter *s, const Val *a)
{
    (void)s;
    return a[0];
}

static const char *infer_narrow(const Graph *g, int n_arg, const NodeId *arg,
                                const Attr *attr, Node *out)
{
    (void)n_arg, (void)attr, (void)out;
    return g->node[arg[0]].wide ? NULL : "narrow of a value that is not wide";
}

static const char *infer_widen(const Graph *g, int n_arg, const NodeId *arg,
                               const Attr *attr, Node *out)
{
    (void)n_arg, (void)attr;
    const Node *a = &g->node[arg[0]];
    out->wide = true;
    return a->wide || a->axes || a->shape.rank
               ? REFUSE(g, "only one number without time and rows is widened, not %s",
                        SHAPE(g, arg[0]))
               : NULL;
}

static void grad_narrow(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    (void)y;
    dx[0] = graph_map1(g, OP_WIDEN, dy);
}

static void grad_widen(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    (void)y;
    dx[0] = g->node[dy].wide ? graph_map1(g, OP_NARROW, dy) : dy;
}

/* ---- surrogate: (v, x1, d1, x2, d2 …): v, whose derivative by xi is said to be di ---- */

static const char *infer_surrogate(const Graph *g, int n_arg, const NodeId *arg,
                                   const Attr *attr, Node *out)
{
    return n_arg % 2 ? infer_map(g, n_arg, arg, attr, out)
                     : "a surrogate is a value and pairs of argument and derivative";
}

static void grad_surrogate(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    dx[0] = NO_NODE;
    for (int i = 1; i < g->node[y].n_arg; i += 2) {
        dx[i] = mul(g, dy, arg_of(g, y, i + 1));
        dx[i + 1] = NO_NODE;
    }
}

/* ---- the table ---- */

/* clang-format off */
#define MAP(NAME, ARITY, CHEAP, ULP)                                                       \
    .name = NAME, .family = FAMILY_MAP, .arity = ARITY, .cheap = CHEAP, .ulp = ULP,        \
    .infer = infer_map

const OpDef op_add = {MAP("add", 2, true, 0),
    .grad = grad_add, .ref = ref_add, .complex = complex_add, .emit = emit_add};
const OpDef op_sub = {MAP("sub", 2, true, 0),
    .grad = grad_sub, .ref = ref_sub, .complex = complex_sub, .emit = emit_sub};
const OpDef op_mul = {MAP("mul", 2, true, 0),
    .grad = grad_mul, .ref = ref_mul, .complex = complex_mul, .emit = emit_mul};
const OpDef op_div = {MAP("div", 2, true, 0),
    .partial = 2, .grad = grad_div, .ref = ref_div, .complex = complex_div, .emit = emit_div};
const OpDef op_neg = {MAP("neg", 1, true, 0),
    .grad = grad_neg, .ref = ref_neg, .complex = complex_neg, .emit = emit_neg};
const OpDef op_pow = {MAP("pow", 2, false, 2),
    .grad = grad_pow, .ref = ref_pow, .complex = complex_pow, .emit = recipe_pow};
const OpDef op_lt = {MAP("lt", 2, true, 0),
    .ref = ref_lt, .emit = emit_lt};
const OpDef op_le = {MAP("le", 2, true, 0),
    .ref = ref_le, .emit = emit_le};
const OpDef op_eq = {MAP("eq", 2, true, 0),
    .ref = ref_eq, .emit = emit_eq};
const OpDef op_ne = {MAP("ne", 2, true, 0),
    .ref = ref_ne, .emit = emit_ne};
const OpDef op_and = {MAP("and", 2, true, 0),
    .ref = ref_and, .emit = emit_and};
const OpDef op_or = {MAP("or", 2, true, 0),
    .ref = ref_or, .emit = emit_or};
const OpDef op_not = {MAP("not", 1, true, 0),
    .ref = ref_not, .emit = emit_not};
const OpDef op_where = {MAP("where", 3, true, 0),
    .grad = grad_where, .ref = ref_where, .complex = complex_where, .emit = emit_where};
const OpDef op_min = {MAP("min", 2, true, 0),
    .grad = grad_min, .ref = ref_min, .complex = complex_min, .emit = emit_min};
const OpDef op_max = {MAP("max", 2, true, 0),
    .grad = grad_max, .ref = ref_max, .complex = complex_max, .emit = emit_max};
const OpDef op_abs = {MAP("abs", 1, true, 0),
    .grad = grad_abs, .ref = ref_abs, .complex = complex_abs, .emit = emit_abs};
const OpDef op_sign = {MAP("sign", 1, true, 0),
    .ref = ref_sign, .emit = emit_sign};
const OpDef op_floor = {MAP("floor", 1, true, 0),
    .ref = ref_floor, .emit = emit_floor};
const OpDef op_round = {MAP("round", 1, true, 0),
    .ref = ref_round, .emit = emit_round};
const OpDef op_mod = {MAP("mod", 2, false, 1),
    .grad = grad_mod, .ref = ref_mod, .complex = complex_mod, .emit = recipe_mod};
const OpDef op_exp = {MAP("exp", 1, false, 2),
    .grad = grad_exp, .ref = ref_exp, .complex = complex_exp, .emit = recipe_exp};
const OpDef op_expm1 = {MAP("expm1", 1, false, 2),
    .grad = grad_expm1, .ref = ref_expm1, .complex = complex_expm1, .emit = recipe_expm1};
const OpDef op_log = {MAP("log", 1, false, 2),
    .partial = 1, .grad = grad_log, .ref = ref_log, .complex = complex_log, .emit = recipe_log};
const OpDef op_log1p = {MAP("log1p", 1, false, 2),
    .grad = grad_log1p, .ref = ref_log1p, .complex = complex_log1p, .emit = recipe_log1p};
const OpDef op_sqrt = {MAP("sqrt", 1, true, 0),
    .partial = 1, .grad = grad_sqrt, .ref = ref_sqrt, .complex = complex_sqrt, .emit = emit_sqrt};
const OpDef op_rsqrt = {MAP("rsqrt", 1, true, 2),
    .partial = 1, .grad = grad_rsqrt, .ref = ref_rsqrt, .complex = complex_rsqrt, .emit = emit_rsqrt};
const OpDef op_tanh = {MAP("tanh", 1, false, 2),
    .grad = grad_tanh, .ref = ref_tanh, .complex = complex_tanh, .emit = recipe_tanh};
const OpDef op_erf = {MAP("erf", 1, false, 2),
    .grad = grad_erf, .ref = ref_erf, .complex = complex_erf, .emit = recipe_erf};
const OpDef op_sin = {MAP("sin", 1, false, 2),
    .grad = grad_sin, .ref = ref_sin, .complex = complex_sin, .emit = recipe_sin};
const OpDef op_cos = {MAP("cos", 1, false, 2),
    .grad = grad_cos, .ref = ref_cos, .complex = complex_cos, .emit = recipe_cos};
const OpDef op_detach = {MAP("detach", 1, true, 0),
    .ref = ref_same, .emit = emit_same};
#undef MAP

const OpDef op_narrow = {"narrow", FAMILY_MAP, 1, .cheap = true,
    .infer = infer_narrow, .grad = grad_narrow,
    .ref = ref_same, .complex = complex_same, .emit = emit_same};
const OpDef op_widen = {"widen", FAMILY_MAP, 1, .cheap = true,
    .infer = infer_widen, .grad = grad_widen,
    .ref = ref_same, .complex = complex_same, .emit = emit_same};
/* Its complex form takes all operands: the interpreter has it. */
const OpDef op_surrogate = {"surrogate", FAMILY_MAP, -1, .cheap = true,
    .infer = infer_surrogate, .grad = grad_surrogate, .ref = ref_same, .emit = emit_same};
/* clang-format on */
