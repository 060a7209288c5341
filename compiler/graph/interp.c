/*
 * interp.c — values on demand.
 *
 * What is wanted is a node at a step, for all rows. interp_find keeps a stack of what is
 * wanted: the top is computed when everything it reads is there, otherwise that goes on
 * top of it. So a state at t pulls the steps before it, a total pulls all steps, and a loop
 * that is not through a state is found out, for it wants what is being found.
 *
 * `spread` has no values of its own: reading it reads its operand.
 */
#include "graph/interp_room.h"

#include <string.h>

enum { NOTHING, SOUGHT, THERE };

static bool has_time(const Node *n) { return n->axes & AXIS_TIME; }
static bool has_row(const Node *n) { return n->axes & AXIS_ROW; }

Interp *interp_new(Arena *arena, const Graph *g, Precision precision, int64_t steps,
                   int64_t rows)
{
    Interp *p = NEW(arena, Interp);
    *p = (Interp){.arena = arena,
                  .g = g,
                  .precision = precision,
                  .steps_max = steps,
                  .rows_max = rows,
                  .steps = steps,
                  .rows = rows,
                  .n_part = precision == INTERP_COMPLEX ? PARTS : 1};
    p->cell = NEW_ARRAY(arena, Cell, g->n_node);
    return p;
}

void interp_begin(Interp *p, int64_t steps, int64_t rows, bool training, struct rnn_rng rng)
{
    if (steps < 1 || steps > p->steps_max || rows < 1 || rows > p->rows_max)
        BUG("a chunk of %lld steps and %lld rows", (long long)steps, (long long)rows);
    p->steps = steps, p->rows = rows, p->training = training, p->rng = rng;
    p->loss_from = 0;
    for (NodeId id = 0; id < p->g->n_node; id++)
        if (p->cell[id].mark && !p->cell[id].given)
            memset(p->cell[id].mark, NOTHING, (size_t)p->steps_max);
}

void interp_loss_from(Interp *p, int64_t loss_from) { p->loss_from = loss_from; }

/* ---- where values are kept ---- */

static int64_t place(const Interp *p, NodeId node, int64_t t, int64_t b)
{
    const Node *n = &p->g->node[node];
    int64_t at = has_time(n) ? t : 0;
    if (has_row(n))
        at = at * p->rows_max + b;
    return at * p->cell[node].size;
}

static void make_room(Interp *p, NodeId node)
{
    Cell *c = &p->cell[node];
    const Node *n = &p->g->node[node];
    if (c->mark)
        return;
    c->mark = NEW_ARRAY(p->arena, uint8_t, p->steps_max);
    c->size = shape_size(&n->shape);
    int64_t points = (has_time(n) ? p->steps_max : 1) * (has_row(n) ? p->rows_max : 1);
    if (n->op == OP_SPREAD)
        return;
    for (int part = 0; part < p->n_part; part++)
        c->part[part] = NEW_ARRAY(p->arena, double, points * c->size);
}

const double *interp_at(const Interp *p, NodeId node, int part, int64_t t, int64_t b)
{
    while (p->g->node[node].op == OP_SPREAD)
        node = p->g->node[node].arg[0];
    return p->cell[node].part[part] + place(p, node, t, b);
}

double *interp_cell(Interp *p, NodeId node, int part, int64_t t, int64_t b)
{
    return p->cell[node].part[part] + place(p, node, t, b);
}

double *interp_scratch(Interp *p, int64_t n)
{
    if (n > p->scratch_size) {
        p->scratch = NEW_ARRAY(p->arena, double, n);
        p->scratch_size = n;
    }
    return p->scratch;
}

/* ---- leaves that are given ---- */

void interp_set(Interp *p, NodeId leaf, const double *re, const double *im)
{
    const Node *n = &p->g->node[leaf];
    make_room(p, leaf);
    Cell *c = &p->cell[leaf];
    c->given = re != NULL;
    memset(c->mark, re ? THERE : NOTHING, (size_t)p->steps_max);
    int64_t steps = has_time(n) ? p->steps : 1, rows = has_row(n) ? p->rows : 1;
    for (int part = 0; re && part < p->n_part; part++) {
        const double *from = part == RE ? re : im;
        for (int64_t i = 0; i < steps * rows; i++)
            for (int64_t j = 0; j < c->size; j++) {
                double v = from ? from[i * c->size + j] : 0;
                bool single = p->precision == INTERP_F32 && !n->wide;
                interp_cell(p, leaf, part, i / rows, i % rows)[j] = single ? (float)v : v;
            }
    }
}

/* ---- finding ---- */

static void want(Interp *p, NodeId node, int64_t t)
{
    if (!has_time(&p->g->node[node]))
        t = 0;
    make_room(p, node);
    if (p->cell[node].mark[t] == THERE)
        return;
    if (p->cell[node].mark[t] == SOUGHT)
        BUG("%%%d at step %lld needs itself", (int)node, (long long)t);
    *PUSH(p->arena, p->stack, p->n_stack, p->stack_capacity) = (struct Wanted){node, t};
}

/* A state: the step before (backward: behind), or how the chunk found it. */
static void want_state(Interp *p, const State *s, int64_t t)
{
    int64_t before = s->backward ? t + 1 : t - 1;
    if (before < 0 || before >= p->steps)
        want(p, s->entry, 0);
    else
        want(p, s->next, before);
}

static void want_operands(Interp *p, const Node *n, int64_t t)
{
    bool all_steps = !has_time(n);
    for (int i = 0; i < n->n_arg; i++) {
        bool every = all_steps && has_time(&p->g->node[n->arg[i]]);
        for (int64_t u = every ? 0 : t; u < (every ? p->steps : t + 1); u++)
            want(p, n->arg[i], u);
    }
    if (n->op == OP_STATE)
        want_state(p, &p->g->state[n->attr.index], t);
    if (n->op == OP_FINAL) {
        const State *s = &p->g->state[n->attr.index];
        want(p, s->next, s->backward ? 0 : p->steps - 1);
    }
    /* the gradient, unless it was given: `grad` and `update` in one */
    if (n->op == OP_GRADIENT && p->g->param[n->attr.index].gradient != NO_NODE)
        want(p, p->g->param[n->attr.index].gradient, 0);
}

static void interp_find(Interp *p, NodeId node, int64_t t)
{
    int bottom = p->n_stack;
    want(p, node, t);
    while (p->n_stack > bottom) {
        struct Wanted w = p->stack[p->n_stack - 1];
        int top = p->n_stack;
        uint8_t *mark = &p->cell[w.node].mark[w.t];
        if (*mark == NOTHING) {
            *mark = SOUGHT;
            want_operands(p, &p->g->node[w.node], w.t);
        }
        if (p->n_stack > top)
            continue;
        if (*mark == SOUGHT)
            interp_eval(p, w.node, w.t);
        *mark = THERE;
        p->n_stack--;
    }
}

static const double *value(Interp *p, NodeId node, int part, int64_t t, int64_t b)
{
    interp_find(p, node, t);
    return interp_at(p, node, part, t, b);
}

const double *interp_re(Interp *p, NodeId node, int64_t t, int64_t b)
{
    return value(p, node, RE, t, b);
}

const double *interp_im(Interp *p, NodeId node, int64_t t, int64_t b)
{
    if (p->precision != INTERP_COMPLEX)
        BUG("no imaginary part was asked for");
    return value(p, node, IM, t, b);
}
