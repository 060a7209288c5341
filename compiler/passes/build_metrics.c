/*
 * build_metrics.c — a metric of one chunk becomes one of all chunks so far.
 *
 * build_loss.c makes a metric's value of this chunk's sums over steps and rows:
 *
 *     exp(total(l) / extent)
 *
 * The mean of such values over chunks depends on how the sequence was cut. So each sum that
 * the value is made of goes on from the chunk before: it is `sofar + sum`, where the leaf
 * sofar holds what the procedure found and the sum, added, is what it leaves; an extent is
 * a sum of ones. What stands behind the sums is made again of these, and its value after an
 * epoch's last chunk is the epoch's. Running sums are doubles, and so is all that is
 * elementwise behind them: a count beyond 2^24 is still exact.
 *
 * A gradient never comes this way: detach and surrogate are the value itself.
 */
#include "graph/ops.h"
#include "passes/build_room.h"

enum { ELEMENTS_MAX = 1024 };

typedef struct {
    Graph *g;
    bool *behind; /* by node: the value is made of it, with no sum in between */
    NodeId *made; /* by node behind the sums: its like of all chunks */
} Gather;

static NodeId wide_of(Graph *g, NodeId id)
{
    const Node *n = &g->node[id];
    return n->wide || n->op == OP_CONSTANT ? id : graph_map1(g, OP_WIDEN, id);
}

static NodeId narrow_of(Graph *g, NodeId id)
{
    return g->node[id].wide ? graph_map1(g, OP_NARROW, id) : id;
}

/* ---- a sum that goes on ---- */

static NodeId go_on(Graph *g, NodeId part)
{
    int index = g->n_running;
    NodeId leaf = graph_add(g, OP_SOFAR, 0, NULL, &(Attr){.index = index});
    NodeId next = graph_map2(g, OP_ADD, leaf, wide_of(g, part));
    *PUSH(g->arena, g->running, g->n_running, g->running_capacity) =
        (Running){.leaf = leaf, .next = next};
    return next;
}

/* Element i of a tensor as a number. */
static NodeId element_of(Graph *g, NodeId tensor, int64_t i)
{
    int64_t n = shape_size(&g->node[tensor].shape), step = 1;
    NodeId line = graph_reshape(g, tensor, (Shape){1, {n}});
    NodeId one = graph_slice(g, line, &i, &step, (Shape){1, {1}});
    return graph_reshape(g, one, (Shape){0});
}

/* A sum of tensors goes on element by element: running sums are numbers. */
static NodeId go_on_tensor(Graph *g, NodeId sum)
{
    Shape shape = g->node[sum].shape;
    int64_t n = shape_size(&shape);
    if (shape.rank == 0)
        return go_on(g, sum);
    NodeId *part = NEW_ARRAY(g->arena, NodeId, n + 1);
    for (int64_t i = 0; i < n; i++)
        part[i] = graph_reshape(g, narrow_of(g, go_on(g, element_of(g, sum, i))),
                                (Shape){1, {1}});
    return graph_reshape(g, graph_concat(g, 0, (int)n, part), shape);
}

/* ---- what stands behind the sums ---- */

static bool is_sum(const Graph *g, NodeId id)
{
    const Node *n = &g->node[id];
    bool sums = n->op == OP_EXTENT;
    for (int i = 0; i < n->n_arg; i++)
        sums = sums || g->node[n->arg[i]].axes;
    return sums;
}

/* Marks what stands behind the sums, and the sums; false where one of them is too large. */
static bool find_sums(Gather *a, NodeId value)
{
    const Graph *g = a->g;
    bool fit = true;
    a->behind[value] = true;
    for (NodeId id = value; id >= 0; id--) { /* users before operands */
        const Node *n = &g->node[id];
        if (!a->behind[id])
            continue;
        if (is_sum(g, id))
            fit = fit && shape_size(&n->shape) <= ELEMENTS_MAX;
        for (int i = 0; i < n->n_arg && !is_sum(g, id); i++)
            a->behind[n->arg[i]] = true;
    }
    return fit;
}

/* The same operation of operands that go on: in double where all of them are numbers. */
static NodeId made_again(Gather *a, NodeId id)
{
    Graph *g = a->g;
    Node n = g->node[id]; /* a copy: the array may move */
    NodeId *arg = NEW_ARRAY(g->arena, NodeId, n.n_arg + 1);
    bool changed = false, number = op_defs[n.op]->family == FAMILY_MAP && !n.shape.rank;
    for (int i = 0; i < n.n_arg; i++) {
        arg[i] = a->made[n.arg[i]];
        changed = changed || arg[i] != n.arg[i];
    }
    if (!changed)
        return id;
    for (int i = 0; i < n.n_arg; i++)
        arg[i] = number ? wide_of(g, arg[i]) : narrow_of(g, arg[i]);
    if (n.op == OP_NARROW || n.op == OP_WIDEN || n.op == OP_DETACH || n.op == OP_SURROGATE)
        return arg[0];
    return graph_add(g, n.op, n.n_arg, arg, &n.attr);
}

NodeId metric_of_all_chunks(Graph *g, NodeId value)
{
    Gather a = {g, NEW_ARRAY(g->arena, bool, g->n_node),
                NEW_ARRAY(g->arena, NodeId, g->n_node)};
    if (!find_sums(&a, value))
        return NO_NODE;
    for (NodeId id = 0; id <= value; id++)
        if (a.behind[id])
            a.made[id] = is_sum(g, id) ? go_on_tensor(g, id) : made_again(&a, id);
    NodeId made = a.made[value];
    return g->node[made].shape.rank ? made : wide_of(g, made);
}
