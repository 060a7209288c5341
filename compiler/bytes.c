/*
 * bytes.c — does what a compilation makes fit an address space?
 *
 * What a chunk holds is known when the plan is placed, and not before: most values of the
 * graph never stand in memory. A weight spread over steps and rows is read where it is, a
 * product under a sum passes in a register, and what no longer lives makes room. So the
 * graph is asked only for what is certain: that no value has more elements than 64-bit
 * arithmetic on strides bears, and that parameters and the optimizer's states fit. The
 * plan's buffers are sized with care (fuse_buffer.c) and checked one by one; the verdict is
 * on the placed plan. The interpreter, which does keep every value, has its own.
 *
 * Sizes are in double here, where nothing wraps.
 */
#include "bytes.h"

#include <string.h>

/* Elements of one value, and terms of one contraction: as many bytes, packed into panels
   of one column, still fit 64 bits. */
static const double ELEMENTS_MAX = 0x1p54;

static double elements_of(const Shape *s)
{
    double elements = 1;
    for (int d = 0; d < s->rank; d++)
        elements *= (double)s->dim[d];
    return elements;
}

static double real_bytes(const Graph *g) { return (double)rnn_dtype_bytes(g->dtype); }

/* ---- the mistake ---- */

/* What is largest: a parameter, or another value. */
typedef struct {
    const char *param; /* its name; NULL: no parameter */
    Shape shape;       /* of one point */
    Loc loc;
    double bytes;
} Largest;

static void enlarge(Largest *l, Largest other)
{
    if (other.bytes > l->bytes)
        *l = other;
}

/* To blame is the largest factor of what is largest: its size, the steps or the rows. */
static void report_bytes(const Unit *u, double bytes, const Largest *l)
{
    double size = elements_of(&l->shape);
    const char *head = arena_print(
        u->arena,
        "a chunk of %lld steps and %lld rows of this model needs at least %.3g bytes",
        (long long)u->steps_max, (long long)u->rows_max, bytes);
    if (l->param || (size > (double)u->steps_max && size > (double)u->rows_max))
        diag_error(u->diag, l->loc, "%s; make %s %s smaller", head,
                   l->param ? l->param : "a value of shape",
                   shape_print(u->arena, &l->shape));
    else
        diag_error(u->diag, u->extent_loc, "%s; make %s or the sizes smaller", head,
                   u->extent_key);
}

/* ---- tables ---- */

static double bytes_of_params(const Graph *g)
{
    double elements = 0;
    for (int i = 0; i < g->n_param; i++)
        elements += elements_of(&g->param[i].shape);
    return elements * real_bytes(g);
}

static double bytes_of_optimizer(const Graph *g)
{
    double bytes = 0;
    for (int i = 0; i < g->n_optimizer; i++)
        bytes += elements_of(&g->optimizer[i].shape) *
                 (g->optimizer[i].wide ? (double)sizeof(double) : real_bytes(g));
    return bytes;
}

/* States as the chunk finds them, leaves them, and the next window finds them. */
static double bytes_of_states(const Unit *u)
{
    const Graph *g = u->graph;
    double elements = 0;
    for (int i = 0; i < g->n_state; i++)
        elements += g->state[i].backward ? 0 : elements_of(&g->state[i].shape);
    return 3 * elements * (double)u->rows_max * real_bytes(g);
}

static double bytes_of_inputs(const Unit *u)
{
    double bytes = 0;
    for (int i = 0; i < u->graph->n_input; i++) {
        const Input *in = &u->graph->input[i];
        double steps = in->per_sequence ? 1 : (double)u->steps_max;
        bool whole = in->kind == INPUT_CLASS || in->kind == INPUT_INTEGER;
        bytes += elements_of(&in->shape) * steps * (double)u->rows_max *
                 (whole ? (double)sizeof(int32_t) : real_bytes(u->graph));
    }
    return bytes;
}

/* Parameters, their gradients, the optimizer's states. */
static double bytes_of_tables(const Unit *u)
{
    return 2 * bytes_of_params(u->graph) + bytes_of_optimizer(u->graph);
}

static Largest largest_param(const Unit *u)
{
    Largest l = {.bytes = 0};
    for (int i = 0; i < u->graph->n_param; i++) {
        const Param *p = &u->graph->param[i];
        double bytes = elements_of(&p->shape) * real_bytes(u->graph);
        enlarge(&l, (Largest){p->name, p->shape, p->loc, bytes});
    }
    return l;
}

/* ---- the graph ---- */

/* Elements of a value; of an einsum the points of its whole index space, which a sum of
   products may walk. */
static double terms_of(const Graph *g, const Node *n)
{
    double terms = elements_of(&n->shape);
    if (n->op != OP_EINSUM)
        return terms;
    for (int i = 0; i < 2; i++) {
        const char *label = n->attr.label[i];
        for (int d = 0; label[d]; d++) {
            bool seen = strchr(n->attr.label[2], label[d]) ||
                        (i == 1 && strchr(n->attr.label[0], label[d]));
            terms *= seen ? 1 : (double)g->node[n->arg[i]].shape.dim[d];
        }
    }
    return terms;
}

static const Node *most_terms(const Graph *g)
{
    const Node *most = &g->node[0];
    for (NodeId id = 1; id < g->n_node; id++)
        if (terms_of(g, &g->node[id]) > terms_of(g, most))
            most = &g->node[id];
    return most;
}

void bytes_check_graph(Unit *u)
{
    const Largest param = largest_param(u);
    const Node *n = most_terms(u->graph);
    const double terms = terms_of(u->graph, n), tables = bytes_of_tables(u);
    if (tables > BYTES_MAX)
        report_bytes(u, tables, &param);
    else if (terms > ELEMENTS_MAX)
        diag_error(u->diag, n->loc,
                   "%.3g terms for a value of shape %s are too many; make it smaller",
                   terms, shape_print(u->arena, &n->shape));
}

/* ---- the plan ---- */

/* Panels are as large as what they are made of: it is told. */
static Largest largest_buffer(const Unit *u)
{
    Largest l = largest_param(u);
    for (int i = 0; i < u->plan->n_buffer; i++) {
        const Buffer *b = &u->plan->buffer[i];
        if (b->panel == 0)
            enlarge(&l, (Largest){NULL, b->shape, b->loc, (double)b->bytes});
    }
    return l;
}

void bytes_check_buffers(Unit *u)
{
    double all = 0, most = 0;
    for (int i = 0; i < u->plan->n_buffer; i++) {
        double bytes = (double)u->plan->buffer[i].bytes;
        all += bytes;
        most = bytes > most ? bytes : most;
    }
    Largest l = largest_buffer(u);
    if (most > BYTES_MAX || all > 0x1p62)
        report_bytes(u, most > BYTES_MAX ? most : all, &l);
}

double bytes_of_plan(const Unit *u)
{
    const Plan *p = u->plan;
    return bytes_of_tables(u) + bytes_of_states(u) + bytes_of_inputs(u) +
           (double)p->workspace_bytes + (double)p->threads_max * (double)p->scratch_bytes;
}

void bytes_check_plan(Unit *u)
{
    Largest l = largest_buffer(u);
    if (bytes_of_plan(u) > BYTES_MAX)
        report_bytes(u, bytes_of_plan(u), &l);
}

/* ---- the interpreter ---- */

/* All steps and rows of a value, in double. */
static double bytes_of_node(const Unit *u, const Node *n)
{
    double steps = n->axes & AXIS_TIME ? (double)u->steps_max + 1 : 1;
    double rows = n->axes & AXIS_ROW ? (double)u->rows_max : 1;
    return (double)sizeof(double) * elements_of(&n->shape) * steps * rows;
}

bool bytes_fit_interpreter(Unit *u)
{
    double bytes = 0;
    Largest l = {.bytes = 0};
    for (NodeId id = 0; id < u->graph->n_node; id++) {
        const Node *n = &u->graph->node[id];
        bytes += bytes_of_node(u, n);
        enlarge(&l, (Largest){NULL, n->shape, n->loc, bytes_of_node(u, n)});
    }
    if (bytes <= BYTES_MAX)
        return true;
    report_bytes(u, bytes, &l);
    diag_flush(u->diag);
    return false;
}
