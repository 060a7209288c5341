/*
 * ops_leaf.c — the operations without operands, and the makers of initial values.
 *
 * A leaf's type is what its attributes say, but for what its meaning fixes: a state is
 * there for every step and row, a parameter for none. None has a derivative rule: the
 * gradient of a parameter is the cotangent that gathers at its leaf, that of a state
 * goes round its loop (passes/grad.c), and `carried` lets nothing through: detach.
 */
#include "graph/ops_room.h"

static const char *leaf(const Attr *attr, Axes axes, bool wide, Node *out)
{
    out->shape = attr->shape;
    out->axes = axes;
    out->wide = wide;
    return NULL;
}

static const char *infer_as_told(const Graph *g, int n, const NodeId *arg, const Attr *attr,
                                 Node *out)
{
    (void)n, (void)arg;
    if (attr->wide && (attr->shape.rank > 0 || attr->axes))
        return REFUSE(g, "a wide value is one number, not %s",
                      shape_print(g->arena, &attr->shape));
    return leaf(attr, attr->axes, attr->wide, out);
}

static const char *infer_none(const Graph *g, int n, const NodeId *arg, const Attr *attr,
                              Node *out)
{
    (void)g, (void)n, (void)arg;
    return leaf(attr, 0, false, out);
}

static const char *infer_all(const Graph *g, int n, const NodeId *arg, const Attr *attr,
                             Node *out)
{
    (void)g, (void)n, (void)arg;
    return leaf(attr, AXES_ALL, false, out);
}

static const char *infer_row(const Graph *g, int n, const NodeId *arg, const Attr *attr,
                             Node *out)
{
    (void)g, (void)n, (void)arg;
    return leaf(attr, AXIS_ROW, false, out);
}

static const char *infer_number(const Graph *g, int n, const NodeId *arg, const Attr *attr,
                                Node *out)
{
    (void)g, (void)n, (void)arg, (void)attr;
    return leaf(&(Attr){0}, 0, false, out);
}

static const char *infer_wide(const Graph *g, int n, const NodeId *arg, const Attr *attr,
                              Node *out)
{
    (void)g, (void)n, (void)arg, (void)attr;
    return leaf(&(Attr){0}, 0, true, out);
}

static const char *infer_start(const Graph *g, int n, const NodeId *arg, const Attr *attr,
                               Node *out)
{
    (void)g, (void)n, (void)arg, (void)attr;
    return leaf(&(Attr){0}, AXIS_ROW, false, out);
}

static const char *infer_step(const Graph *g, int n, const NodeId *arg, const Attr *attr,
                              Node *out)
{
    (void)g, (void)n, (void)arg, (void)attr;
    return leaf(&(Attr){0}, AXES_ALL, false, out);
}

static const char *infer_iota(const Graph *g, int n, const NodeId *arg, const Attr *attr,
                              Node *out)
{
    (void)n, (void)arg;
    if (attr->shape.rank != 1)
        return REFUSE(g, "iota is a vector, not %s", shape_print(g->arena, &attr->shape));
    return leaf(attr, 0, false, out);
}

const OpDef op_constant = {"constant", FAMILY_LEAF, .infer = infer_number,
                           .uses = USES_VALUE};
const OpDef op_iota = {"iota", FAMILY_LEAF, .infer = infer_iota, .uses = USES_SHAPE};
const OpDef op_input = {"input", FAMILY_LEAF, .infer = infer_as_told,
                        .uses = USES_INDEX | USES_AXES | USES_SHAPE};
const OpDef op_param = {"param", FAMILY_LEAF, .infer = infer_none,
                        .uses = USES_INDEX | USES_SHAPE};
const OpDef op_state = {"state", FAMILY_LEAF, .infer = infer_all,
                        .uses = USES_INDEX | USES_SHAPE};
const OpDef op_carried = {"carried", FAMILY_LEAF, .infer = infer_row,
                          .uses = USES_INDEX | USES_SHAPE};
const OpDef op_final = {"final", FAMILY_LEAF, .infer = infer_row,
                        .uses = USES_INDEX | USES_SHAPE};
const OpDef op_start = {"start", FAMILY_LEAF, .infer = infer_start, .uses = 0};
const OpDef op_scalar = {"scalar", FAMILY_LEAF, .infer = infer_wide, .uses = USES_INDEX};
const OpDef op_sofar = {"sofar", FAMILY_LEAF, .infer = infer_wide, .uses = USES_INDEX};
const OpDef op_step = {"step", FAMILY_LEAF, .infer = infer_step, .uses = USES_INDEX};
const OpDef op_extent = {"extent", FAMILY_LEAF, .infer = infer_wide, .uses = USES_AXES};
const OpDef op_training = {"training", FAMILY_LEAF, .infer = infer_wide, .uses = 0};
const OpDef op_gradient = {"gradient", FAMILY_LEAF, .infer = infer_none,
                           .uses = USES_INDEX | USES_SHAPE};
const OpDef op_optimizer = {"optimizer", FAMILY_LEAF, .infer = infer_as_told,
                            .uses = USES_INDEX | USES_AXES | USES_SHAPE | USES_WIDE};
const OpDef op_random = {"random", FAMILY_LEAF, .infer = infer_as_told,
                         .uses = USES_INDEX | USES_AXES | USES_SHAPE};

/* ---- orthogonal: of normal draws, as torch.nn.init.orthogonal_ ---- */

static const char *infer_orthogonal(const Graph *g, int n, const NodeId *arg,
                                    const Attr *attr, Node *out)
{
    (void)n, (void)attr;
    const Node *a = &g->node[arg[0]];
    if (a->shape.rank < 2)
        return REFUSE(g, "orthogonal wants a matrix, not %s", SHAPE(g, arg[0]));
    if (a->axes)
        return "orthogonal is for initial values";
    out->shape = a->shape;
    return NULL;
}

const OpDef op_orthogonal = {
    .name = "orthogonal",
    .family = FAMILY_MAKER,
    .arity = 1,
    .infer = infer_orthogonal,
};
