/*
 * gradients.c — rnnc check --grad: the gradients of the backward phase against complex
 * step.
 *
 * Element i of a parameter is moved by an imaginary step and the forward phase followed in
 * complex numbers: the imaginary part of the loss is dL/dwᵢ without a difference of near
 * numbers (Squire and Trapp 1998). The backward phase, in double, must agree to 1e-9 of the
 * parameter's largest gradient. Both run in the reference interpreter on a small chunk of
 * random data of the inputs' kinds, some rows starting, some carried on.
 *
 * A small parameter is checked whole; of a large one the element with the largest gradient
 * and a seeded sample of others: fewer the longer one forward phase of the model takes, so
 * that the check of a model of millions of parameters ends within a minute or so.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/interp.h"
#include "report.h"

enum { STEPS = 5, ROWS = 3, SAMPLE_MIN = 2, SAMPLE_MAX = 20, SEED = 1 };
enum { OLD_STEPS = 2, BURN_IN_MOST = 1000 }; /* of a window; steps more for a burn-in */
static const double tolerance = 1e-9;
static const double budget =
    1e9; /* multiply-adds of all forward phases together, roughly */

/* ---- data ---- */

/* In [0, 1): Knuth's MMIX generator. */
static double uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53;
}

static double draw_class(const Input *in, uint64_t *state)
{
    bool ignored = in->has_ignore && uniform(state) < 0.125;
    double value = floor(uniform(state) * (double)in->classes);
    return ignored ? (double)in->ignore : value;
}

/* What only the loss sees is often asked to lie in (0, 1): a share, a time, a variance. */
static double draw_input(const Input *in, uint64_t *state)
{
    switch ((InputKind)in->kind) {
    case INPUT_REAL: return in->for_loss_only ? uniform(state) : 2 * uniform(state) - 1;
    case INPUT_INTEGER: return floor(10 * uniform(state));
    case INPUT_FLAG: return uniform(state) < 0.5;
    case INPUT_CLASS: return draw_class(in, state);
    }
    BUG("an input of kind %d", in->kind);
}

static double draw(const Graph *g, const Node *n, uint64_t *state)
{
    if (n->op == OP_INPUT)
        return draw_input(&g->input[n->attr.index], state);
    return 0.05 + 0.9 * uniform(state); /* carried states: away from 0, where some divide */
}

static int64_t values_of(const Node *n, int64_t steps)
{
    return shape_size(&n->shape) * (n->axes & AXIS_TIME ? steps : 1) *
           (n->axes & AXIS_ROW ? ROWS : 1);
}

/* The same data in every interpreter: each leaf draws from a sequence of its own. */
static void give_data(Arena *arena, Interp *p, const Graph *g, int64_t steps)
{
    static const double start[ROWS] = {1, 0, 1};
    for (NodeId id = 0; id < g->n_node; id++) {
        const Node *n = &g->node[id];
        if (n->op == OP_START)
            interp_set(p, id, start, NULL);
        if (n->op != OP_INPUT && n->op != OP_CARRIED)
            continue;
        uint64_t state =
            (uint64_t)SEED + (uint64_t)n->op * 1000003u + (uint64_t)n->attr.index;
        int64_t size = values_of(n, steps);
        double *v = NEW_ARRAY(arena, double, size);
        for (int64_t i = 0; i < size; i++)
            v[i] = draw(g, n, &state);
        interp_set(p, id, v, NULL);
    }
}

/* ---- the two sides ---- */

typedef struct {
    Arena *arena;
    const Graph *g;
    Interp *real, *complex;
    int64_t steps;
    double **value; /* by parameter */
    int64_t sample; /* elements of a large parameter that are checked */
} Check;

static void begin(const Check *c, Interp *p)
{
    interp_begin(p, c->steps, ROWS, true, (struct rnn_rng){.seed = SEED});
    interp_loss_from(p, OLD_STEPS);
}

static Interp *new_side(Check *c, Precision precision)
{
    Interp *p = interp_new(c->arena, c->g, precision, c->steps, ROWS);
    begin(c, p);
    give_data(c->arena, p, c->g, c->steps);
    for (int i = 0; i < c->g->n_param; i++)
        interp_set(p, c->g->param[i].leaf, c->value[i], NULL);
    return p;
}

/* First values by the graph's own rules, in double. */
static void draw_params(Check *c)
{
    Interp *p = interp_new(c->arena, c->g, INTERP_F64, 1, 1);
    interp_begin(p, 1, 1, false, (struct rnn_rng){.seed = SEED});
    c->value = NEW_ARRAY(c->arena, double *, c->g->n_param);
    for (int i = 0; i < c->g->n_param; i++) {
        int64_t n = shape_size(&c->g->param[i].shape);
        c->value[i] = NEW_ARRAY(c->arena, double, n);
        memcpy(c->value[i], interp_re(p, c->g->param[i].init, 0, 0),
               (size_t)n * sizeof(double));
    }
}

/* A forward phase takes about a multiply-add for each parameter at each point. */
static int64_t sample_size(const Graph *g, int64_t steps)
{
    double work = 0, points = (double)steps * ROWS;
    for (int i = 0; i < g->n_param; i++)
        work += (double)shape_size(&g->param[i].shape) * points * g->n_param;
    double n = work > 0 ? budget / work : SAMPLE_MAX;
    return n < SAMPLE_MIN ? SAMPLE_MIN : n > SAMPLE_MAX ? SAMPLE_MAX : (int64_t)n;
}

/* dL/d(element k of parameter i), by complex step. direction: zeros, and again behind it.
 */
static double slope(Check *c, int i, int64_t k, double *direction)
{
    NodeId leaf = c->g->param[i].leaf;
    direction[k] = 1;
    begin(c, c->complex);
    interp_set(c->complex, leaf, c->value[i], direction);
    double s = *interp_im(c->complex, c->g->loss, 0, 0);
    interp_set(c->complex, leaf, c->value[i], NULL);
    direction[k] = 0;
    return s;
}

/* ---- comparing ---- */

typedef struct {
    int64_t n, n_checked, worst;
    double got, expected, scale, error;
} Verdict;

static int64_t largest_of(const double *v, int64_t n)
{
    int64_t at = 0;
    for (int64_t k = 1; k < n; k++)
        if (fabs(v[k]) > fabs(v[at]))
            at = k;
    return at;
}

/* Which element to check j-th. */
static int64_t element(const Verdict *v, int64_t j, int64_t largest, uint64_t *state)
{
    if (v->n_checked == v->n)
        return j;
    return j == 0 ? largest : (int64_t)(uniform(state) * (double)v->n);
}

static Verdict compare(Check *c, int i)
{
    const Param *p = &c->g->param[i];
    int64_t n = shape_size(&p->shape);
    double *none = NEW_ARRAY(c->arena, double, n),
           *direction = NEW_ARRAY(c->arena, double, n);
    const double *got =
        p->gradient == NO_NODE ? none : interp_re(c->real, p->gradient, 0, 0);
    Verdict v = {.n = n, .n_checked = n <= c->sample ? n : c->sample, .error = -1};
    int64_t largest = largest_of(got, n);
    uint64_t state = (uint64_t)SEED + (uint64_t)i;
    v.scale = fabs(got[largest]);
    for (int64_t j = 0; j < v.n_checked; j++) {
        int64_t k = element(&v, j, largest, &state);
        double expected = slope(c, i, k, direction), error = fabs(got[k] - expected);
        v.scale = fmax(v.scale, fabs(expected));
        if (!isnan(v.error) && !(error <= v.error)) /* NaN is worse than everything */
            v.error = error, v.worst = k, v.got = got[k], v.expected = expected;
    }
    return v;
}

static bool is_right(const Verdict *v) { return v->error <= tolerance * v->scale; }

/* Not the backward phase's fault: the loss itself, or its slope, has no finite value. */
static bool is_finite(const Verdict *v)
{
    return isfinite(v->got) && isfinite(v->expected);
}

static const char *verdict_word(const Verdict *v)
{
    return is_right(v) ? "" : is_finite(v) ? "  WRONG" : "  NOT FINITE";
}

/* ---- telling ---- */

static const char *index_print(Arena *arena, const Shape *s, int64_t at)
{
    Text t = {.arena = arena};
    int64_t stride[MAX_RANK];
    shape_strides(s, stride);
    text_add(&t, "[");
    for (int d = 0; d < s->rank; d++)
        text_add(&t, "%s%lld", d ? ", " : "", (long long)(at / stride[d] % s->dim[d]));
    text_add(&t, "]");
    return t.text;
}

static void print_verdict(Arena *arena, const Param *p, const Verdict *v, FILE *out)
{
    fprintf(out, "  %-28s %-14s", p->name, shape_print(arena, &p->shape));
    if (v->n_checked < v->n)
        fprintf(out, " %3lld of %-8lld", (long long)v->n_checked, (long long)v->n);
    else
        fprintf(out, " all %-11lld", (long long)v->n);
    if (v->scale == 0 && v->error == 0)
        fprintf(out, " 0 everywhere\n");
    else
        fprintf(out, " %-12s %21.14e %21.14e %9.1e%s\n",
                index_print(arena, &p->shape, v->worst), v->got, v->expected,
                v->error / v->scale, verdict_word(v));
}

/* Rows that start are to get beyond their burn-in. */
static int64_t steps_of(const Spec *spec)
{
    int64_t burn_in = spec->tbptt_burn_in;
    return STEPS + (burn_in < BURN_IN_MOST ? burn_in : BURN_IN_MOST);
}

/* Else all gradients would be 0, and right. */
static bool something_counts(const Check *c, FILE *out)
{
    NodeId weight = c->g->weight;
    if (weight == NO_NODE || *interp_re(c->real, weight, 0, 0) > 0)
        return true;
    fprintf(out, "no step of the random data counts in the loss: nothing was checked\n");
    return false;
}

GradientsVerdict gradients_check(const Unit *u, FILE *out)
{
    Check c = {.arena = u->arena, .g = u->graph, .steps = steps_of(u->spec)};
    int n_wrong = 0, n_infinite = 0;
    c.sample = sample_size(c.g, c.steps);
    draw_params(&c);
    c.real = new_side(&c, INTERP_F64), c.complex = new_side(&c, INTERP_COMPLEX);
    if (!something_counts(&c, out))
        return GRADIENTS_UNCHECKED;
    fprintf(out,
            "gradients of %s: the backward phase against complex step, both in double,\n"
            "on %d steps of %d rows of random data; the worst element of each parameter\n\n"
            "  %-28s %-14s %-15s %-12s %21s %21s %9s\n",
            c.g->name, (int)c.steps, ROWS, "parameter", "shape", "elements", "worst", "got",
            "expected", "relative");
    for (int i = 0; i < c.g->n_param; i++) {
        if (!c.g->param[i].trained) {
            fprintf(out, "  %-28s not trained\n", c.g->param[i].name);
            continue;
        }
        Verdict v = compare(&c, i);
        print_verdict(c.arena, &c.g->param[i], &v, out);
        n_wrong += !is_right(&v) && is_finite(&v);
        n_infinite += !is_right(&v) && !is_finite(&v);
    }
    if (n_infinite)
        fprintf(out, "\n%d of %d gradients are not finite\n", n_infinite, c.g->n_param);
    if (n_wrong)
        fprintf(out,
                "\n%d of %d gradients differ by more than %g of their largest element\n",
                n_wrong, c.g->n_param, tolerance);
    else if (!n_infinite)
        fprintf(out, "\nall agree to %g of each parameter's largest gradient\n", tolerance);
    return n_wrong ? GRADIENTS_WRONG : n_infinite ? GRADIENTS_NOT_FINITE : GRADIENTS_RIGHT;
}
