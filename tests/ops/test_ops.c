/*
 * test_ops.c — every operation of the table: its type rule, its derivative rule.
 *
 * For an operation y = op(x…) on small random operands, a cotangent dy is drawn. Then for
 * each element e of each operand a derivative of 1 is sent along e through the
 * interpreter (complex step) and Σ dy · ∂y/∂e must be what the rule's graph gives for e,
 * to 1e-9 of the largest in that operand: rounding of sums of under a hundred terms is far
 * below, a wrong rule far above. The complex form itself is held against a central
 * difference of the real one. A new operation with a rule fails here until it has a case.
 */
#include <stdlib.h>

#include "check.h"
#include "graph/interp.h"

enum { STEPS = 2, ROWS = 3, MOST_ARGS = 5, MOST_ELEMENTS = 256 };

typedef enum { ANY, POSITIVE, ABOVE_MINUS_ONE, CLASS, FLAG, TIES, SOME_ZEROS } Domain;

typedef struct {
    Axes axes;
    Shape shape;
    Domain domain;
    bool wide;
} Operand;

typedef struct {
    OpCode op;
    int n_arg;
    Operand arg[MOST_ARGS];
    Attr attr;
} Case;

#define SHAPE0   \
    {            \
        0, { 0 } \
    }
#define SHAPE1(a) \
    {             \
        1, { a }  \
    }
#define SHAPE2(a, b) \
    {                \
        2, { a, b }  \
    }
#define SHAPE3(a, b, c) \
    {                   \
        3, { a, b, c }  \
    }

/* What elementwise operations do not share; the others take operands of any value. */
static const Domain map_domain[OP_COUNT][3] = {
    [OP_LOG] = {POSITIVE},   [OP_LOG1P] = {ABOVE_MINUS_ONE}, [OP_SQRT] = {POSITIVE},
    [OP_POW] = {POSITIVE},   [OP_RSQRT] = {POSITIVE},        [OP_WHERE] = {FLAG},
    [OP_MIN] = {TIES, TIES}, [OP_MAX] = {TIES, TIES},
};

static const Case cases[] = {
    {OP_SURROGATE,
     5,
     {{AXES_ALL, SHAPE1(4), ANY, false},
      {AXES_ALL, SHAPE1(4), ANY, false},
      {AXES_ALL, SHAPE1(4), ANY, false},
      {AXES_ALL, SHAPE1(4), ANY, false},
      {AXES_ALL, SHAPE1(4), ANY, false}},
     {.index = 0}},
    {OP_NARROW, 1, {{0, SHAPE0, ANY, true}}, {.index = 0}},
    {OP_WIDEN, 1, {{0, SHAPE0, ANY, false}}, {.index = 0}},
    {OP_BROADCAST, 1, {{AXIS_ROW, SHAPE1(3), ANY, false}}, {.shape = SHAPE2(2, 3)}},
    {OP_BROADCAST, 1, {{AXES_ALL, SHAPE2(2, 1), ANY, false}}, {.shape = SHAPE3(4, 2, 3)}},
    {OP_BROADCAST, 1, {{0, SHAPE0, ANY, false}}, {.shape = SHAPE2(2, 2)}},
    {OP_BROADCAST, 1, {{0, SHAPE1(1), ANY, false}}, {.shape = SHAPE2(1, 1)}},
    {OP_SPREAD, 1, {{0, SHAPE1(3), ANY, false}}, {.axes = AXES_ALL}},
    {OP_SPREAD, 1, {{AXIS_ROW, SHAPE1(3), ANY, false}}, {.axes = AXIS_TIME}},
    {OP_SPREAD, 1, {{AXIS_TIME, SHAPE0, ANY, false}}, {.axes = AXIS_ROW}},
    {OP_RESHAPE, 1, {{AXIS_ROW, SHAPE2(2, 6), ANY, false}}, {.shape = SHAPE3(3, 1, 4)}},
    {OP_TRANSPOSE,
     1,
     {{AXIS_ROW, SHAPE3(2, 3, 4), ANY, false}},
     {.permutation = {2, 0, 1}}},
    {OP_SLICE,
     1,
     {{AXES_ALL, SHAPE2(5, 4), ANY, false}},
     {.start = {4, 1}, .step = {-2, 1}, .shape = SHAPE2(3, 2)}},
    {OP_PAD,
     1,
     {{AXES_ALL, SHAPE2(3, 2), ANY, false}},
     {.start = {4, 1}, .step = {-2, 1}, .shape = SHAPE2(5, 4)}},
    {OP_CONCAT,
     3,
     {{AXIS_ROW, SHAPE2(2, 1), ANY, false},
      {AXIS_ROW, SHAPE2(2, 3), ANY, false},
      {AXIS_ROW, SHAPE2(2, 2), ANY, false}},
     {.axis = 1}},
    {OP_GATHER,
     2,
     {{0, SHAPE2(4, 3), ANY, false}, {AXES_ALL, SHAPE0, CLASS, false}},
     {.index = 0}},
    {OP_GATHER,
     2,
     {{AXES_ALL, SHAPE1(4), ANY, false}, {AXES_ALL, SHAPE0, CLASS, false}},
     {.index = 0}},
    {OP_SCATTER,
     2,
     {{AXES_ALL, SHAPE1(3), ANY, false}, {AXES_ALL, SHAPE0, CLASS, false}},
     {.axes = AXES_ALL, .shape = SHAPE2(4, 3)}},
    {OP_SCATTER,
     2,
     {{AXES_ALL, SHAPE0, ANY, false}, {AXES_ALL, SHAPE0, CLASS, false}},
     {.axes = AXIS_TIME, .shape = SHAPE1(4)}},
    {OP_SUM, 1, {{AXIS_ROW, SHAPE3(2, 3, 4), ANY, false}}, {.reduce = 5}},
    {OP_PROD, 1, {{AXIS_ROW, SHAPE2(4, 3), SOME_ZEROS, false}}, {.reduce = 1}},
    {OP_PROD, 1, {{AXIS_ROW, SHAPE2(4, 3), ANY, false}}, {.reduce = 3}},
    {OP_MAX_OF, 1, {{AXIS_ROW, SHAPE2(3, 4), TIES, false}}, {.reduce = 2}},
    {OP_MIN_OF, 1, {{AXIS_ROW, SHAPE2(3, 4), TIES, false}}, {.reduce = 3}},
    {OP_TOTAL, 1, {{AXES_ALL, SHAPE1(3), ANY, false}}, {.axes = AXES_ALL}},
    {OP_TOTAL, 1, {{AXES_ALL, SHAPE1(3), ANY, false}}, {.axes = AXIS_TIME}},
    {OP_TOTAL, 1, {{AXES_ALL, SHAPE1(3), ANY, false}}, {.axes = AXIS_ROW}},
    {OP_EINSUM,
     2,
     {{AXES_ALL, SHAPE2(3, 4), ANY, false}, {AXES_ALL, SHAPE1(4), ANY, false}},
     {.label = {"ij", "j", "i"}}},
    {OP_EINSUM,
     2,
     {{AXES_ALL, SHAPE1(3), ANY, false}, {AXES_ALL, SHAPE1(2), ANY, false}},
     {.axes = AXES_ALL, .label = {"i", "j", "ij"}}},
    {OP_EINSUM,
     2,
     {{AXIS_ROW, SHAPE3(2, 3, 4), ANY, false}, {AXIS_ROW, SHAPE2(3, 2), ANY, false}},
     {.label = {"bij", "ik", "bk"}}},
    {OP_EINSUM,
     2,
     {{0, SHAPE3(2, 3, 4), ANY, false}, {0, SHAPE3(2, 4, 3), ANY, false}},
     {.label = {"bij", "bjk", "kbi"}}},
    {OP_EINSUM,
     2,
     {{AXIS_ROW, SHAPE2(2, 3), ANY, false}, {AXIS_ROW, SHAPE1(3), ANY, false}},
     {.axes = AXIS_ROW, .label = {"ij", "k", ""}}},
};

/* ---- random operands ---- */

static uint64_t state = 1;

static double uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

static double draw(Domain d)
{
    double u = 4 * uniform() - 2;
    switch (d) {
    case ANY: return u;
    case POSITIVE: return fabs(u) + 0.1;
    case ABOVE_MINUS_ONE: return fabs(u) - 0.9;
    case CLASS: return floor(6 * uniform()) - 1; /* of 4: some are out of range */
    case FLAG: return u > 0;
    case TIES: return floor(2 * u) / 2;
    case SOME_ZEROS: return uniform() < 0.25 ? 0 : u;
    }
    return u;
}

/* Kinks: a central difference says nothing there. */
static bool is_smooth(Domain d)
{
    return d == ANY || d == POSITIVE || d == ABOVE_MINUS_ONE;
}

/* ---- one case ---- */

typedef struct {
    const Case *c;
    Graph *g;
    NodeId arg[MOST_ARGS], y, dy, dx[MOST_ARGS];
    double value[MOST_ARGS + 1][MOST_ELEMENTS]; /* the last: of dy */
    Interp *p;
} Trial;

static int64_t points(Axes axes)
{
    return (axes & AXIS_TIME ? STEPS : 1) * (axes & AXIS_ROW ? ROWS : 1);
}

static int64_t elements(const Trial *t, NodeId id)
{
    return points(t->g->node[id].axes) * shape_size(&t->g->node[id].shape);
}

/* The node's element e, as interp_set counts them. */
static double read(Trial *t, NodeId id, int part, int64_t e)
{
    const Node *n = &t->g->node[id];
    int64_t size = shape_size(&n->shape), point = e / size;
    int64_t rows = n->axes & AXIS_ROW ? ROWS : 1;
    const double *v = part ? interp_im(t->p, id, point / rows, point % rows)
                           : interp_re(t->p, id, point / rows, point % rows);
    return v[e % size];
}

static NodeId make_leaf(Graph *g, Axes axes, Shape shape, bool wide)
{
    Attr attr = {.axes = axes, .shape = shape, .wide = wide};
    return graph_add(g, wide ? OP_OPTIMIZER : OP_INPUT, 0, NULL, &attr);
}

static void make(Trial *t, Arena *arena, const Case *c)
{
    Graph *g = graph_new(arena, "case");
    *t = (Trial){.c = c, .g = g};
    *PUSH(arena, g->input, g->n_input, g->input_capacity) =
        (Input){.name = "x", .leaf = NO_NODE};
    *PUSH(arena, g->optimizer, g->n_optimizer, g->optimizer_capacity) =
        (OptimizerState){.name = "x", .leaf = NO_NODE, .next = NO_NODE};
    for (int i = 0; i < c->n_arg; i++) {
        t->arg[i] = make_leaf(t->g, c->arg[i].axes, c->arg[i].shape, c->arg[i].wide);
        for (int64_t e = 0; e < elements(t, t->arg[i]); e++)
            t->value[i][e] = draw(c->arg[i].domain);
        t->dx[i] = NO_NODE;
    }
    t->y = graph_add(t->g, c->op, c->n_arg, t->arg, &c->attr);
    const Node y = t->g->node[t->y];
    t->dy = make_leaf(t->g, y.axes, y.shape, y.wide);
    for (int64_t e = 0; e < elements(t, t->dy); e++)
        t->value[c->n_arg][e] = draw(ANY);
    if (op_defs[c->op]->grad)
        op_defs[c->op]->grad(t->g, t->y, t->dy, t->dx);
    graph_verify(t->g);
    t->p = interp_new(arena, t->g, INTERP_COMPLEX, STEPS, ROWS);
}

static void begin(Trial *t)
{
    interp_begin(t->p, STEPS, ROWS, true, (struct rnn_rng){0});
    for (int i = 0; i < t->c->n_arg; i++)
        interp_set(t->p, t->arg[i], t->value[i], NULL);
    interp_set(t->p, t->dy, t->value[t->c->n_arg], NULL);
}

/* Σ dy ∂y/∂e by complex step; *numeric the same by a central difference. */
static double directional(Trial *t, int i, int64_t e, double *numeric)
{
    double direction[MOST_ELEMENTS] = {0}, sum = 0;
    const double h = 1e-5, *dy = t->value[t->c->n_arg];
    int64_t n = elements(t, t->y);
    direction[e] = 1;
    begin(t);
    interp_set(t->p, t->arg[i], t->value[i], direction);
    for (int64_t k = 0; k < n; k++)
        sum += dy[k] * read(t, t->y, 1, k);
    *numeric = 0;
    for (int side = -1; side <= 1; side += 2) {
        double keep = t->value[i][e];
        t->value[i][e] += side * h;
        begin(t);
        for (int64_t k = 0; k < n; k++)
            *numeric += side * dy[k] * read(t, t->y, 0, k) / (2 * h);
        t->value[i][e] = keep;
    }
    return sum;
}

static void check_operand(Trial *t, int i, int number)
{
    const Case *c = t->c;
    const char *name = op_defs[c->op]->name;
    int64_t n = elements(t, t->arg[i]), worst = 0;
    double expected[MOST_ELEMENTS], got[MOST_ELEMENTS], numeric, scale = 1e-6, error = 0;
    /* these three say another derivative than the true one, gather where out of range */
    bool difference = c->op != OP_SURROGATE && c->op != OP_DETACH && c->op != OP_GATHER;
    for (int k = 0; k < c->n_arg; k++)
        difference = difference && (is_smooth(c->arg[k].domain) ||
                                    c->arg[k].domain == CLASS || c->arg[k].domain == FLAG);
    for (int64_t e = 0; e < n; e++) {
        expected[e] = directional(t, i, e, &numeric);
        begin(t);
        got[e] = t->dx[i] == NO_NODE ? 0 : read(t, t->dx[i], 0, e);
        scale = fmax(scale, fabs(expected[e]));
        if (difference && is_smooth(c->arg[i].domain))
            CHECK(fabs(numeric - expected[e]) <= 1e-5 * fmax(1, fabs(expected[e])),
                  "case %d, %s: complex form %.12g, difference %.12g", number, name,
                  expected[e], numeric);
    }
    for (int64_t e = 0; e < n; e++)
        if (!(fabs(got[e] - expected[e]) <= error))
            error = fabs(got[e] - expected[e]), worst = e;
    CHECK(error <= 1e-9 * scale,
          "case %d, %s, operand %d, element %d: got %.12g, expected %.12g", number, name, i,
          (int)worst, got[worst], expected[worst]);
}

/* A cotangent is of its operand's type. */
static void check_types(const Trial *t, int number)
{
    for (int i = 0; i < t->c->n_arg; i++) {
        if (t->dx[i] == NO_NODE)
            continue;
        const Node *x = &t->g->node[t->arg[i]], *dx = &t->g->node[t->dx[i]];
        CHECK(shape_equal(&x->shape, &dx->shape) && x->axes == dx->axes &&
                  x->wide == dx->wide,
              "case %d, %s: the cotangent of operand %d has another type", number,
              op_defs[t->c->op]->name, i);
    }
}

static void run_case(const Case *c, int number)
{
    Arena *arena = arena_new();
    Trial *t = NEW(arena, Trial);
    make(t, arena, c);
    check_types(t, number);
    for (int i = 0; i < c->n_arg; i++)
        if (c->arg[i].domain != CLASS && c->arg[i].domain != FLAG &&
            !(c->op == OP_SURROGATE && i % 2 == 0))
            check_operand(t, i, number);
    arena_free(arena);
}

/* ---- the table ---- */

static Case map_case(OpCode op, bool wide)
{
    Case c = {.op = op, .n_arg = op_defs[op]->arity};
    for (int i = 0; i < c.n_arg; i++) {
        c.arg[i] = (Operand){AXES_ALL, SHAPE2(2, 3), map_domain[op][i], wide};
        if (wide)
            c.arg[i].axes = 0, c.arg[i].shape = (Shape)SHAPE0;
    }
    return c;
}

static bool is_plain_map(OpCode op)
{
    return op_defs[op]->family == FAMILY_MAP && op_defs[op]->arity > 0 && op != OP_NARROW &&
           op != OP_WIDEN;
}

static void test_rules_agree_with_complex_step(void)
{
    bool tried[OP_COUNT] = {false};
    for (int op = 0; op < OP_COUNT; op++)
        for (int wide = 0; is_plain_map((OpCode)op) && wide < 2; wide++) {
            Case c = map_case((OpCode)op, wide);
            run_case(&c, -op);
            tried[op] = true;
        }
    for (int i = 0; i < COUNT(cases); i++) {
        run_case(&cases[i], i);
        tried[cases[i].op] = true;
    }
    for (int op = 0; op < OP_COUNT; op++)
        CHECK(tried[op] || !op_defs[op]->grad, "%s has a rule and no case",
              op_defs[op]->name);
}

static void test_every_operation_is_whole(void)
{
    for (int op = 0; op < OP_COUNT; op++) {
        const OpDef *d = op_defs[op];
        CHECK(d && d->name && d->infer, "operation %d is not defined", op);
        if (d->family == FAMILY_MAP)
            CHECK(d->ref && d->emit, "%s has no meaning or no recipe", d->name);
    }
}

/* Gradients at kinks, one number each: PyTorch's choices. */
static void test_kinks(void)
{
    static const struct {
        OpCode op;
        int n;
        double x[3], slope[3];
    } kink[] = {
        {OP_ABS, 1, {0}, {0}},           {OP_MAX, 2, {1, 1}, {0.5, 0.5}},
        {OP_MIN, 2, {1, 1}, {0.5, 0.5}}, {OP_WHERE, 3, {1, 2, 3}, {0, 1, 0}},
        {OP_POW, 2, {0, 2}, {0, 0}},     {OP_POW, 2, {0, 0}, {0, 0}},
        {OP_POW, 2, {-2, 3}, {12, NAN}}, {OP_MOD, 2, {-7, 3}, {1, 3}},
    };
    for (int i = 0; i < COUNT(kink); i++) {
        Arena *arena = arena_new();
        Graph *g = graph_new(arena, "kink");
        NodeId arg[3], dx[3] = {NO_NODE, NO_NODE, NO_NODE};
        for (int k = 0; k < kink[i].n; k++)
            arg[k] = make_leaf(g, 0, (Shape)SHAPE0, false);
        NodeId y = graph_add(g, kink[i].op, kink[i].n, arg, NULL);
        op_defs[kink[i].op]->grad(g, y, graph_constant(g, 1), dx);
        Interp *p = interp_new(arena, g, INTERP_F64, 1, 1);
        for (int k = 0; k < kink[i].n; k++)
            interp_set(p, arg[k], &kink[i].x[k], NULL);
        for (int k = 0; k < kink[i].n; k++) {
            double got = dx[k] == NO_NODE ? 0 : *interp_re(p, dx[k], 0, 0);
            CHECK(got == kink[i].slope[k] || (isnan(got) && isnan(kink[i].slope[k])),
                  "%s, operand %d: %g, expected %g", op_defs[kink[i].op]->name, k, got,
                  kink[i].slope[k]);
        }
        arena_free(arena);
    }
}

int main(void)
{
    test_every_operation_is_whole();
    test_rules_agree_with_complex_step();
    test_kinks();
    return check_result();
}
