/*
 * view.c — where a value stands, seen through moves.
 *
 * Spreads, broadcasts, transposes and slices change offsets and strides only. A
 * reshape does when the dimensions that it joins lie one behind the other, or
 * when it only takes dimensions apart (NumPy's rule for views).
 */
#include "passes/view.h"

bool op_is_view(OpCode op)
{
    return op == OP_SPREAD || op == OP_BROADCAST || op == OP_RESHAPE ||
           op == OP_TRANSPOSE || op == OP_SLICE;
}

bool op_is_inline(OpCode op)
{
    return op == OP_CONSTANT || op == OP_IOTA || op == OP_RANDOM || op == OP_STEP ||
           op == OP_EXTENT || op == OP_TRAINING;
}

NodeId view_base(const Graph *g, NodeId id)
{
    while (op_is_view(g->node[id].op))
        id = g->node[id].arg[0];
    return id;
}

static void view_broadcast(const Node *n, const Shape *from, View *v)
{
    int64_t stride[MAX_RANK] = {0};
    int shift = n->shape.rank - from->rank;
    for (int d = 0; d < from->rank; d++)
        stride[d + shift] = from->dim[d] == n->shape.dim[d + shift] ? v->stride[d] : 0;
    for (int d = 0; d < MAX_RANK; d++)
        v->stride[d] = stride[d];
}

static void view_transpose(const Node *n, View *v)
{
    View old = *v;
    for (int d = 0; d < n->shape.rank; d++)
        v->stride[d] = old.stride[n->attr.permutation[d]];
}

static void view_slice(const Node *n, View *v)
{
    for (int d = 0; d < n->shape.rank; d++) {
        v->offset += n->attr.start[d] * v->stride[d];
        v->stride[d] *= n->attr.step[d];
    }
}

/* The dimensions of `from` greater than 1, neighbours joined where memory allows. */
static int join_dims(const Shape *from, const View *v, int64_t *dim, int64_t *stride)
{
    int n = 0;
    for (int d = 0; d < from->rank; d++) {
        if (from->dim[d] == 1)
            continue;
        if (n > 0 && stride[n - 1] == v->stride[d] * from->dim[d]) {
            dim[n - 1] *= from->dim[d];
            stride[n - 1] = v->stride[d];
        } else {
            dim[n] = from->dim[d], stride[n] = v->stride[d];
            n++;
        }
    }
    return n;
}

static bool view_reshape(const Node *n, const Shape *from, View *v)
{
    int64_t dim[MAX_RANK], stride[MAX_RANK], made[MAX_RANK] = {0};
    int left = join_dims(from, v, dim, stride);
    for (int d = n->shape.rank - 1; d >= 0; d--) {
        if (n->shape.dim[d] == 1)
            continue;
        if (left == 0 || dim[left - 1] % n->shape.dim[d] != 0)
            return false;
        made[d] = stride[left - 1];
        stride[left - 1] *= n->shape.dim[d];
        dim[left - 1] /= n->shape.dim[d];
        if (dim[left - 1] == 1)
            left--;
    }
    for (int d = 0; d < MAX_RANK; d++)
        v->stride[d] = made[d];
    return true;
}

bool view_of(const Graph *g, NodeId id, View *out)
{
    const Node *n = &g->node[id];
    if (!op_is_view(n->op)) {
        *out = (View){.base = id, .direct = true};
        shape_strides(&n->shape, out->stride);
        return true;
    }
    if (!view_of(g, n->arg[0], out))
        return false;
    const Shape *from = &g->node[n->arg[0]].shape;
    if (n->op != OP_SPREAD)
        out->direct = false;
    if (n->op == OP_BROADCAST)
        view_broadcast(n, from, out);
    else if (n->op == OP_TRANSPOSE)
        view_transpose(n, out);
    else if (n->op == OP_SLICE)
        view_slice(n, out);
    else if (n->op == OP_RESHAPE)
        return view_reshape(n, from, out);
    return true;
}

bool *view_state_values(Arena *arena, const Graph *g)
{
    bool *flag = NEW_ARRAY(arena, bool, g->n_node + 1);
    for (int i = 0; i < g->n_state; i++) {
        const State *s = &g->state[i];
        if (s->next != NO_NODE)
            flag[view_base(g, s->next)] = true;
        if (s->entry != NO_NODE)
            flag[view_base(g, s->entry)] = true;
    }
    return flag;
}
