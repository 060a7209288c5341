/*
 * test_gradients.c — every cell, loss and function of the library, and every variant of
 * them: the backward phase against complex step, in double precision.
 *
 *     test_gradients cells|losses|functions [NAME]
 *
 * A chunk of several steps and rows, some of which start and some carry a state on. Each
 * element of each parameter in turn is given the imaginary part 1 ("i times a derivative";
 * complex step without a step) and carried through the forward phase: the loss's
 * imaginary part is its derivative, to rounding. The gradient that the backward phase
 * computes must agree to 1e-9 of the largest of its parameter; 1e-14 of the largest of all
 * is granted to gradients that are zero but for rounding.
 */
#include <stdlib.h>

#include "check.h"
#include "differential.h"
#include "graph/interp.h"
#include "ops/library_specs.h"

enum { STEPS = 4, ROWS = 3, DRAWS = 4 };

/* ---- data ---- */

typedef struct {
    const Graph *g;
    Interp *real, *complex;
    double **param; /* by parameter: its values */
    double *scratch;
} Chunk;

static int64_t points(Axes axes)
{
    return (axes & AXIS_TIME ? STEPS : 1) * (axes & AXIS_ROW ? ROWS : 1);
}

static void give(Chunk *c, NodeId leaf, const double *v)
{
    interp_set(c->real, leaf, v, NULL);
    interp_set(c->complex, leaf, v, NULL);
}

static double draw_input(Draw *d, const Input *in)
{
    switch ((InputKind)in->kind) {
    case INPUT_REAL: return 3 * draw_unit(d) - 1.5;
    case INPUT_INTEGER: return (double)draw_whole(d, 7);
    case INPUT_FLAG: return draw_whole(d, 4) == 0;
    case INPUT_CLASS: return (double)draw_whole(d, in->classes);
    }
    return 0;
}

static void give_leaves(Chunk *c, Draw *d)
{
    const Graph *g = c->g;
    for (NodeId id = 0; id < g->n_node; id++) {
        const Node *n = &g->node[id];
        int64_t size = points(n->axes) * shape_size(&n->shape);
        if (n->op != OP_INPUT && n->op != OP_CARRIED && n->op != OP_START)
            continue;
        for (int64_t i = 0; i < size; i++)
            c->scratch[i] = n->op == OP_INPUT   ? draw_input(d, &g->input[n->attr.index])
                            : n->op == OP_START ? i % 2 == 0
                                                : draw_unit(d) - 0.5;
        give(c, id, c->scratch);
    }
}

/* As the spec makes them, then moved: none stays at exactly 0 or 1. */
static void give_params(Chunk *c, Draw *d)
{
    const Graph *g = c->g;
    interp_begin(c->real, 1, 1, false, (struct rnn_rng){.seed = 7});
    for (int i = 0; i < g->n_param; i++) {
        const double *first = interp_re(c->real, g->param[i].init, 0, 0);
        for (int64_t j = 0; j < shape_size(&g->param[i].shape); j++)
            c->param[i][j] = first[j] + 0.4 * draw_unit(d) - 0.2;
    }
    for (int i = 0; i < g->n_param; i++)
        give(c, g->param[i].leaf, c->param[i]);
}

static void begin(Interp *p)
{
    interp_begin(p, STEPS, ROWS, true, (struct rnn_rng){.seed = 7, .iteration = 2});
}

static Chunk chunk_new(Arena *a, const Graph *g)
{
    int64_t most = 1;
    for (NodeId id = 0; id < g->n_node; id++) {
        int64_t size = points(g->node[id].axes) * shape_size(&g->node[id].shape);
        most = size > most ? size : most;
    }
    Chunk c = {.g = g,
               .real = interp_new(a, g, INTERP_F64, STEPS, ROWS),
               .complex = interp_new(a, g, INTERP_COMPLEX, STEPS, ROWS),
               .param = NEW_ARRAY(a, double *, g->n_param),
               .scratch = NEW_ARRAY(a, double, most)};
    for (int i = 0; i < g->n_param; i++)
        c.param[i] = NEW_ARRAY(a, double, shape_size(&g->param[i].shape));
    return c;
}

/* ---- one parameter ---- */

static double slope_by_complex_step(Chunk *c, int param, int64_t element)
{
    NodeId leaf = c->g->param[param].leaf;
    int64_t n = shape_size(&c->g->param[param].shape);
    for (int64_t i = 0; i < n; i++)
        c->scratch[i] = i == element;
    interp_set(c->complex, leaf, c->param[param], c->scratch);
    begin(c->complex);
    double slope = interp_im(c->complex, c->g->loss, 0, 0)[0];
    interp_set(c->complex, leaf, c->param[param], NULL);
    return slope;
}

static double largest_gradient(Chunk *c, int param)
{
    double most = 0;
    NodeId gradient = c->g->param[param].gradient;
    const double *v = gradient == NO_NODE ? NULL : interp_re(c->real, gradient, 0, 0);
    for (int64_t i = 0; v && i < shape_size(&c->g->param[param].shape); i++)
        most = fmax(most, fabs(v[i]));
    return most;
}

static bool same_gradient(Chunk *c, const Trial *t, int param, double largest_of_all)
{
    const Param *p = &c->g->param[param];
    const double *v = p->gradient == NO_NODE ? NULL : interp_re(c->real, p->gradient, 0, 0);
    double most = 0, got = 0, expected = 0, bound = 1e-9 * largest_gradient(c, param);
    int64_t worst = 0;
    for (int64_t i = 0; i < shape_size(&p->shape); i++) {
        double slope = slope_by_complex_step(c, param, i), mine = v ? v[i] : 0;
        if (fabs(slope - mine) <= most)
            continue;
        most = fabs(slope - mine), worst = i, got = mine, expected = slope;
    }
    if (most <= bound + 1e-14 * largest_of_all)
        return true;
    fprintf(stderr,
            "%s: d loss / d %s[%lld] is %.17g, by complex step %.17g: away by %.3g\n",
            t->name, p->name, (long long)worst, got, expected, most);
    return false;
}

/* ---- one spec ---- */

static bool finite_gradients(Chunk *c)
{
    bool finite = isfinite(interp_re(c->real, c->g->loss, 0, 0)[0]);
    for (int i = 0; finite && i < c->g->n_param; i++) {
        const Param *p = &c->g->param[i];
        const double *v =
            p->gradient == NO_NODE ? NULL : interp_re(c->real, p->gradient, 0, 0);
        for (int64_t j = 0; v && j < shape_size(&p->shape); j++)
            finite = finite && isfinite(v[j]);
    }
    return finite;
}

static Outcome check_gradients(const Trial *t)
{
    Arena *a = arena_new();
    const Unit *u = trial_unit(a, t, NULL, false, "grad");
    if (!u)
        return TRIAL_REFUSED;
    Chunk c = chunk_new(a, u->graph);
    bool finite = false;
    for (uint64_t i = 0; i < DRAWS && !finite; i++) {
        Draw d = {t->seed + i};
        give_params(&c, &d);
        begin(c.real);
        begin(c.complex);
        give_leaves(&c, &d);
        finite = finite_gradients(&c);
    }
    double most = 0;
    bool same = true;
    for (int i = 0; finite && i < c.g->n_param; i++)
        most = fmax(most, largest_gradient(&c, i));
    for (int i = 0; finite && i < c.g->n_param; i++)
        same = same_gradient(&c, t, i, most) && same;
    arena_free(a);
    return !finite ? TRIAL_UNSUITABLE : same ? TRIAL_PASSED : TRIAL_FAILED;
}

static void test_gradients_are_complex_steps(const LibraryCase *c)
{
    int n[TRIAL_OUTCOMES] = {0};
    for (int i = 0; i < c->n_text; i++) {
        Trial t = {
            .name = c->name, .text = c->text[i], .steps = STEPS, .rows = ROWS, .seed = 1};
        Outcome o = trial_isolated(&t, check_gradients);
        n[o]++;
        if (o == TRIAL_FAILED)
            fprintf(stderr, "%s\n", t.text);
    }
    CHECK(n[TRIAL_FAILED] == 0, "%s", c->name);
    CHECK(!c->plain || n[TRIAL_PASSED] > 0, "%s: %d refused, %d not finite", c->name,
          n[TRIAL_REFUSED], n[TRIAL_UNSUITABLE]);
}

static const struct {
    const char *word;
    DefKind kind;
} parts[] = {{"cells", DEF_CELL}, {"losses", DEF_LOSS}, {"functions", DEF_FUNCTION}};

int main(int argc, char **argv)
{
    Arena *a = arena_new();
    const char *part = argc > 1 ? argv[1] : NULL, *name = argc > 2 ? argv[2] : NULL;
    for (int i = 0; i < COUNT(parts); i++) {
        LibraryCases cases = {0};
        if (!part || str_eq(part, parts[i].word))
            cases = library_cases(a, parts[i].kind);
        for (int j = 0; j < cases.n; j++)
            if (!name || str_eq(name, cases.item[j].name))
                test_gradients_are_complex_steps(&cases.item[j]);
    }
    arena_free(a);
    return check_result();
}
