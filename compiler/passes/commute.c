/*
 * commute.c — a product commutes with a gather: W @ E[x] is (E @ Wᵀ)[x].
 *
 * A table has so many rows, classes, and a chunk so many points; where there are fewer
 * classes than points it is less work to multiply the whole table, once a chunk, and to
 * pick rows of the result. What is multiplied then depends on parameters alone.
 *
 * This stands ahead of grad, so that the backward phase follows by itself: the cotangent
 * of the picked rows is summed by class, and products of that small sum are the gradients
 * of both W and E. A character model spends a third less on its products.
 */
#include "passes/commute.h"

#include <string.h>

#include "passes/rewrite.h"

typedef struct {
    int64_t points;
} Commute;

/* The gather under spreads, NO_NODE: it is none, or of a table that varies. */
static NodeId gather_of_table(const Graph *g, NodeId id)
{
    id = graph_unspread(g, id);
    const Node *n = &g->node[id];
    bool fixed = n->op == OP_GATHER && g->node[graph_unspread(g, n->arg[0])].axes == 0;
    return fixed ? id : NO_NODE;
}

/* A label that neither operand has. */
static char free_label(const Attr *a)
{
    char c = 'a';
    while (strchr(a->label[0], c) || strchr(a->label[1], c))
        c++;
    return c;
}

/* The einsum with the whole table in place of its rows. The table stands first, so that
   rows of the result lie in one piece. */
static NodeId product_of_table(Graph *g, const Attr *a, int which, NodeId table,
                               NodeId weight)
{
    char text[3 * (MAX_RANK + 2)], rows[MAX_RANK + 2], c = free_label(a);
    snprintf(rows, sizeof rows, "%c%s", c, a->label[which]);
    snprintf(text, sizeof text, "%s,%s->%c%s", rows, a->label[1 - which], c, a->label[2]);
    return graph_einsum(g, text, table, weight);
}

/* Operand `which` of an einsum that sums over no axes: NO_NODE when it does not pay. */
static NodeId picked_product(Rewrite *r, const Node *n, const NodeId *arg, int which)
{
    Graph *g = rewrite_graph(r);
    const Commute *c = rewrite_user(r);
    NodeId gather = gather_of_table(g, arg[which]);
    NodeId weight = graph_unspread(g, arg[1 - which]);
    bool fits = gather != NO_NODE && n->attr.axes == 0 && g->node[weight].axes == 0 &&
                n->shape.rank + 1 <= MAX_RANK;
    if (!fits)
        return NO_NODE;
    NodeId table = graph_unspread(g, g->node[gather].arg[0]);
    NodeId class_id = g->node[gather].arg[1];
    if (g->node[table].shape.dim[0] >= c->points)
        return NO_NODE;
    NodeId all = product_of_table(g, &n->attr, which, table, weight);
    Axes axes = g->node[class_id].axes;
    return graph_spread(g, graph_gather(g, graph_spread(g, all, axes), class_id), n->axes);
}

static NodeId commute_node(Rewrite *r, const Node *n, const NodeId *arg)
{
    NodeId made = NO_NODE;
    for (int which = 0; n->op == OP_EINSUM && which < 2 && made == NO_NODE; which++)
        made = picked_product(r, n, arg, which);
    return made != NO_NODE ? made : rewrite_add(r, n->op, n->n_arg, arg, &n->attr);
}

void commute_pass(Graph *g, int64_t points)
{
    Commute c = {points};
    graph_rewrite(g, commute_node, &c);
}
