/*
 * ops_contract.c — einsum: every product that sums.
 *
 * y[R] = Σ a[A] b[B], summed over the labels that R lacks, and over the axes of
 * attr.axes. Its derivatives are einsums: da[A] = Σ dy[R] b[B] over what A lacks. Only a
 * label that stands in A alone needs more: a was summed over it first, so its gradient is
 * the same all along it, a broadcast.
 *
 * A label twice in one operand (a diagonal, a trace) is refused.
 */
#include "graph/ops_room.h"

#include <string.h>

enum { A, B, RESULT };

static int64_t dim_of(const Graph *g, NodeId id, const char *labels, char c)
{
    const char *at = strchr(labels, c);
    return at ? g->node[id].shape.dim[at - labels] : -1;
}

static const char *check_operand(const Graph *g, NodeId id, const char *labels)
{
    if (g->node[id].wide)
        return "a wide number in an einsum";
    if ((int)strlen(labels) != g->node[id].shape.rank)
        return REFUSE(g, "labels \"%s\" do not name the axes of %s", labels, SHAPE(g, id));
    for (const char *c = labels; *c; c++)
        if (strchr(c + 1, *c))
            return REFUSE(g, "label '%c' stands twice in \"%s\"", *c, labels);
    return NULL;
}

static const char *infer_einsum(const Graph *g, int n_arg, const NodeId *arg,
                                const Attr *attr, Node *out)
{
    (void)n_arg;
    const char *la = attr->label[A], *lb = attr->label[B], *lr = attr->label[RESULT];
    const char *why = check_operand(g, arg[A], la);
    if (!why)
        why = check_operand(g, arg[B], lb);
    if (why)
        return why;
    for (const char *c = la; *c; c++) {
        int64_t a = dim_of(g, arg[A], la, *c), b = dim_of(g, arg[B], lb, *c);
        if (b >= 0 && a != b)
            return REFUSE(g, "%s and %s do not fit: label '%c' is %lld and %lld",
                          SHAPE(g, arg[A]), SHAPE(g, arg[B]), *c, (long long)a,
                          (long long)b);
    }
    for (const char *c = lr; *c; c++) {
        int64_t a = dim_of(g, arg[A], la, *c), b = dim_of(g, arg[B], lb, *c);
        if ((a < 0 && b < 0) || strchr(c + 1, *c))
            return REFUSE(g, "label '%c' of the result stands twice or in no operand", *c);
        out->shape.dim[out->shape.rank++] = a >= 0 ? a : b;
    }
    Axes axes = g->node[arg[A]].axes;
    if (axes != g->node[arg[B]].axes || (attr->axes & ~axes))
        return "an einsum of operands with other axes";
    out->axes = (Axes)(axes & ~attr->axes);
    return NULL;
}

/* The gradient of the operand `to`, whose partner in the product is `with`. */
static NodeId operand_grad(Graph *g, NodeId y, NodeId dy, int to, int with)
{
    const Attr attr = g->node[y].attr;
    NodeId self = g->node[y].arg[to], other = g->node[y].arg[with];
    Attr product = {0};
    Shape ones = g->node[self].shape;
    int n = 0;
    strcpy(product.label[A], attr.label[RESULT]);
    strcpy(product.label[B], attr.label[with]);
    for (int i = 0; i < ones.rank; i++) {
        char c = attr.label[to][i];
        if (strchr(attr.label[RESULT], c) || strchr(attr.label[with], c))
            product.label[RESULT][n++] = c;
        else
            ones.dim[i] = 1;
    }
    NodeId d = graph_add(g, OP_EINSUM, 2, (NodeId[]){dy, other}, &product);
    return graph_broadcast(g, graph_reshape(g, d, ones), g->node[self].shape);
}

static void grad_einsum(Graph *g, NodeId y, NodeId dy, NodeId *dx)
{
    NodeId each = graph_spread(g, dy, g->node[y].attr.axes);
    dx[A] = operand_grad(g, y, each, A, B);
    dx[B] = operand_grad(g, y, each, B, A);
}

const OpDef op_einsum = {
    .name = "einsum",
    .family = FAMILY_CONTRACT,
    .arity = 2,
    .uses = USES_LABEL | USES_AXES,
    .infer = infer_einsum,
    .grad = grad_einsum,
};
