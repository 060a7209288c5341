/*
 * einsum.c — contractions in the form that plans know, and sums of parts.
 *
 * A label of an einsum belongs to one of four classes: b (batch: both operands
 * and the result), m (first and result), n (second and result), k (both, summed).
 * When a class has several labels the operands are transposed until they stand
 * together and reshaped until they are one; the result is taken apart again.
 * Most of these moves are views and cost nothing.
 *
 * What is no matrix product becomes a product of broadcasts and a sum: an einsum
 * that sums nothing, and one whose operands both vary by row.
 */
#include "passes/einsum.h"

#include <string.h>

#include "passes/rewrite.h"

/* ---- labels ---- */

static bool has(const char *labels, char c) { return c != 0 && strchr(labels, c) != NULL; }

/* Labels of `from` that are (or are not) in x and in y, in their order there. */
static void choose(char *out, const char *from, const char *x, bool in_x, const char *y,
                   bool in_y)
{
    int n = 0;
    for (const char *c = from; *c; c++)
        if (has(x, *c) == in_x && has(y, *c) == in_y)
            out[n++] = *c;
    out[n] = 0;
}

typedef struct {
    char a[MAX_RANK + 1], b[MAX_RANK + 1], o[MAX_RANK + 1]; /* as given */
    char batch[MAX_RANK + 1], m[MAX_RANK + 1], n[MAX_RANK + 1], k[MAX_RANK + 1];
} Labels;

static void classify(Labels *l)
{
    choose(l->batch, l->o, l->a, true, l->b, true);
    choose(l->m, l->o, l->a, true, l->b, false);
    choose(l->n, l->o, l->a, false, l->b, true);
    choose(l->k, l->a, l->b, true, l->o, false);
}

static void swap_operands(Labels *l, NodeId *a, NodeId *b)
{
    NodeId id = *a;
    char text[MAX_RANK + 1];
    *a = *b, *b = id;
    memcpy(text, l->a, sizeof text);
    memcpy(l->a, l->b, sizeof text);
    memcpy(l->b, text, sizeof text);
    classify(l);
}

/* ---- one operand, or the result, in the order that is wanted ---- */

static NodeId reorder(Graph *g, NodeId v, const char *have, const char *want)
{
    int8_t permutation[MAX_RANK] = {0};
    for (int i = 0; want[i]; i++)
        permutation[i] = (int8_t)(strchr(have, want[i]) - have);
    return strcmp(have, want) == 0 ? v : graph_transpose(g, v, permutation);
}

static int64_t dim_of(const Graph *g, NodeId v, const char *labels, char c)
{
    return g->node[v].shape.dim[strchr(labels, c) - labels];
}

/* Joins the labels of each class: [b..][m..][k..] becomes [b][m][k], absent classes left
 * out. */
static NodeId join(Graph *g, NodeId v, const char *have, const char *const part[3],
                   const char *names, char *out)
{
    char want[3 * MAX_RANK + 1] = "";
    Shape s = {0, {0}};
    int n_out = 0;
    bool several = false;
    for (int i = 0; i < 3; i++) {
        int64_t size = 1;
        for (const char *c = part[i]; *c; c++)
            size *= dim_of(g, v, have, *c);
        several = several || strlen(part[i]) > 1;
        if (part[i][0]) {
            strcat(want, part[i]);
            s.dim[s.rank++] = size;
            out[n_out++] = names[i];
        }
    }
    out[n_out] = 0;
    if (several)
        return graph_reshape(g, reorder(g, v, have, want), s);
    n_out = 0; /* one label a class: any order will do, strides carry it */
    for (const char *c = have; *c; c++)
        for (int i = 0; i < 3; i++)
            if (has(part[i], *c))
                out[n_out++] = names[i];
    return v;
}

/* Sums over points walk both operands along their last feature: it must be m and n. (settle
   makes a copy where this leaves a view with gaps.) */
static NodeId last_first(Graph *g, NodeId v, char *labels, char last)
{
    size_t n = strlen(labels);
    char want[MAX_RANK + 1] = "";
    if (n == 0 || !has(labels, last) || labels[n - 1] == last)
        return v;
    choose(want, labels, (char[]){last, 0}, false, labels, true);
    want[n - 1] = last;
    want[n] = 0;
    v = reorder(g, v, labels, want);
    memcpy(labels, want, n + 1);
    return v;
}

static NodeId take_apart(Graph *g, NodeId v, const Labels *l, const Shape *shape)
{
    char have[3 * MAX_RANK + 1];
    snprintf(have, sizeof have, "%s%s%s", l->batch, l->m, l->n);
    Shape s = {(int)strlen(have), {0}};
    for (int i = 0; have[i]; i++)
        s.dim[i] = shape->dim[strchr(l->o, have[i]) - l->o];
    if (!shape_equal(&g->node[v].shape, &s))
        v = graph_reshape(g, v, s);
    return reorder(g, v, have, l->o);
}

/* ---- the two ways ---- */

static bool is_canonical(const Labels *l)
{
    const char *names[4] = {"b", "m", "n", "k"};
    const char *part[4] = {l->batch, l->m, l->n, l->k};
    char want[4] = "";
    for (int i = 0; i < 4; i++)
        if (part[i][0] && strcmp(part[i], names[i]) != 0)
            return false;
    for (int i = 0; i < 3; i++)
        if (part[i][0])
            strcat(want, part[i]);
    return strcmp(l->o, want) == 0;
}

static NodeId as_product(Graph *g, Labels *l, NodeId a, NodeId b, Axes summed,
                         const Shape *shape)
{
    char la[4], lb[4], lo[4] = "";
    NodeId ja = join(g, a, l->a, (const char *const[3]){l->batch, l->m, l->k}, "bmk", la);
    NodeId jb = join(g, b, l->b, (const char *const[3]){l->batch, l->n, l->k}, "bnk", lb);
    if (summed) {
        ja = last_first(g, ja, la, 'm');
        jb = last_first(g, jb, lb, 'n');
    }
    strcat(lo, l->batch[0] ? "b" : "");
    strcat(lo, l->m[0] ? "m" : "");
    strcat(lo, l->n[0] ? "n" : "");
    char text[16];
    snprintf(text, sizeof text, "%s,%s->%s", la, lb, lo);
    Axes axes = (Axes)((g->node[ja].axes | g->node[jb].axes) & ~summed);
    return take_apart(g, graph_einsum_to(g, text, ja, jb, axes), l, shape);
}

/* v with its labels in the order of `all`, size 1 where it has none: ready to broadcast. */
static NodeId stretch(Graph *g, NodeId v, const char *have, const char *all)
{
    char want[MAX_RANK + 1];
    choose(want, all, have, true, all, true);
    Shape s = {(int)strlen(all), {0}};
    for (int i = 0; all[i]; i++)
        s.dim[i] = has(have, all[i]) ? dim_of(g, v, have, all[i]) : 1;
    return graph_reshape(g, reorder(g, v, have, want), s);
}

static NodeId as_broadcast(Graph *g, const Labels *l, NodeId a, NodeId b, Axes summed,
                           const Shape *shape)
{
    char all[2 * MAX_RANK + 1];
    snprintf(all, sizeof all, "%s%s", l->o, l->k);
    if (strlen(all) > MAX_RANK) { /* one label a class: four at most */
        Labels joined;
        snprintf(joined.o, sizeof joined.o, "%s%s%s", l->batch[0] ? "b" : "",
                 l->m[0] ? "m" : "", l->n[0] ? "n" : "");
        a = join(g, a, l->a, (const char *const[3]){l->batch, l->m, l->k}, "bmk", joined.a);
        b = join(g, b, l->b, (const char *const[3]){l->batch, l->n, l->k}, "bnk", joined.b);
        classify(&joined);
        return take_apart(g, as_broadcast(g, &joined, a, b, summed, shape), l, shape);
    }
    NodeId v = graph_map2(g, OP_MUL, stretch(g, a, l->a, all), stretch(g, b, l->b, all));
    uint32_t mask = 0;
    for (size_t i = strlen(l->o); all[i]; i++)
        mask |= 1u << i;
    v = mask ? graph_reduce(g, OP_SUM, v, mask) : v;
    return summed ? graph_total(g, v, summed) : v;
}

/* A label of one operand alone is summed there first. */
static NodeId sum_alone(Graph *g, NodeId v, char *labels, const char *other,
                        const char *result)
{
    uint32_t mask = 0;
    char left[MAX_RANK + 1] = "";
    size_t n = 0;
    for (int i = 0; labels[i]; i++)
        if (!has(other, labels[i]) && !has(result, labels[i]))
            mask |= 1u << i;
        else
            left[n++] = labels[i];
    if (mask)
        v = graph_reduce(g, OP_SUM, v, mask);
    memcpy(labels, left, sizeof left);
    return v;
}

NodeId einsum_canonical(Graph *g, const Attr *attr, NodeId a, NodeId b, Axes axes)
{
    Labels l;
    memcpy(l.a, attr->label[0], sizeof l.a);
    memcpy(l.b, attr->label[1], sizeof l.b);
    memcpy(l.o, attr->label[2], sizeof l.o);
    const NodeId given_a = a, given_b = b;
    Shape shape = {(int)strlen(l.o), {0}};
    for (int i = 0; l.o[i]; i++)
        shape.dim[i] =
            has(l.a, l.o[i]) ? dim_of(g, a, l.a, l.o[i]) : dim_of(g, b, l.b, l.o[i]);
    a = sum_alone(g, graph_unspread(g, a), l.a, l.b, l.o);
    b = sum_alone(g, graph_unspread(g, b), l.b, l.a, l.o);
    Axes has_a = g->node[a].axes, has_b = g->node[b].axes, summed = attr->axes;
    const Axes equal_terms = (Axes)(summed & ~(has_a | has_b));
    if (summed & ~has_a)
        b = graph_total(g, b, (Axes)(summed & ~has_a));
    if (summed & ~has_b)
        a = graph_total(g, a, (Axes)(summed & ~has_b));
    has_a = g->node[a].axes, has_b = g->node[b].axes;
    summed = (Axes)(summed & has_a & has_b);
    classify(&l);

    Axes left = (Axes)((has_a | has_b) & ~summed);
    bool product = summed ? left == 0 : l.k[0] != 0 && !(has_a && has_b);
    bool swap =
        product && (summed ? l.m[0] != 0 && l.o[strlen(l.o) - 1] == l.m[strlen(l.m) - 1]
                           : has_a == 0 && has_b != 0);
    if (swap)
        swap_operands(&l, &a, &b);
    bool same = !swap && a == graph_unspread(g, given_a) && b == graph_unspread(g, given_b);
    if (product && same && summed == attr->axes && is_canonical(&l))
        return NO_NODE;
    NodeId v = product ? as_product(g, &l, a, b, summed, &shape)
                       : as_broadcast(g, &l, a, b, summed, &shape);
    if (equal_terms)
        v = graph_map2(g, OP_MUL, v, graph_extent(g, equal_terms));
    return graph_spread(g, v, axes);
}

/* ---- sums of parts ---- */

typedef struct {
    int64_t start, size;
    NodeId node;
} Part;

enum { MAX_PARTS = 64 };

/* Adds the parts of a concatenation that are not zero, in order of place; adds equal ones
   up. false when parts overlap otherwise. */
static bool collect(Graph *g, NodeId id, Part *part, int *n_part)
{
    const Node *n = &g->node[id];
    int64_t at = 0;
    int n_arg = n->n_arg, axis = n->attr.axis;
    for (int i = 0; i < n_arg; i++) {
        NodeId arg = g->node[id].arg[i];
        int64_t size = g->node[arg].shape.dim[axis];
        double v;
        int p = 0;
        bool zero = graph_constant_of(g, arg, &v) && v == 0;
        while (p < *n_part && part[p].start + part[p].size <= at)
            p++;
        bool meets = p < *n_part && part[p].start < at + size;
        if (!zero && meets) {
            if (part[p].start != at || part[p].size != size)
                return false;
            part[p].node = graph_map2(g, OP_ADD, part[p].node, arg);
        } else if (!zero) {
            if (*n_part == MAX_PARTS)
                return false;
            memmove(&part[p + 1], &part[p], (size_t)(*n_part - p) * sizeof *part);
            part[p] = (Part){at, size, arg};
            (*n_part)++;
        }
        at += size;
    }
    return true;
}

static bool has_zero_part(const Graph *g, NodeId id)
{
    double v;
    const Node *n = &g->node[id];
    for (int i = 0; i < n->n_arg; i++)
        if (graph_constant_of(g, n->arg[i], &v) && v == 0)
            return true;
    return false;
}

NodeId add_parts(Graph *g, NodeId a, NodeId b)
{
    const Node *na = &g->node[a], *nb = &g->node[b];
    if (na->op != OP_CONCAT || nb->op != OP_CONCAT || na->attr.axis != nb->attr.axis)
        return NO_NODE;
    if (!has_zero_part(g, a) || !has_zero_part(g, b))
        return NO_NODE;
    int axis = na->attr.axis, n_part = 0, n_arg = 0;
    Shape shape = na->shape;
    Axes axes = na->axes;
    Part part[MAX_PARTS + 1];
    if (!collect(g, a, part, &n_part) || !collect(g, b, part, &n_part))
        return NO_NODE;
    NodeId arg[2 * MAX_PARTS + 1];
    int64_t at = 0;
    for (int i = 0; i <= n_part; i++) {
        int64_t next = i < n_part ? part[i].start : shape.dim[axis];
        if (next > at) {
            Shape gap = shape;
            gap.dim[axis] = next - at;
            arg[n_arg++] = graph_spread(g, graph_full(g, 0, gap), axes);
        }
        if (i < n_part)
            arg[n_arg++] = part[i].node;
        at = i < n_part ? part[i].start + part[i].size : next;
    }
    return n_arg == 1 ? arg[0] : graph_concat(g, axis, n_arg, arg);
}
