/*
 * merge.c — algebra that has to know the recurrence.
 *
 * Order of sums: a + b + c + … is added up with what runs once first, then what
 * runs for all steps at once, then what recurs: the scan adds one ready number.
 *
 * Split: W @ concat(a, b) is W₁ @ a + W₂ @ b, so that the part which does not
 * recur leaves the scan.
 *
 * Common operands: products of several weights with the same vector become one
 * product with the weights stacked, when all or none of them recur: all gates of
 * a cell, in whatever cell. The same rule, the operands' roles exchanged, makes
 * one sum over points of several weights' gradients.
 *
 * Sums of products: W₁ᵀ a + W₂ᵀ b stays two products, the second starting from
 * the first's result: a longer product would have to copy a and b together.
 */
#include "passes/merge.h"

#include <string.h>

#include "passes/einsum.h"
#include "passes/rewrite.h"
#include "passes/search.h"
#include "passes/simplify.h"
#include "passes/stage.h"

/* ---- order of sums ---- */

typedef struct {
    const Stages *stages;
    const int *uses;
    const int *rank_of; /* by old node: 0 once, 1 map, 2 scan */
} Facts;

static int rank_of(const Graph *g, const Stages *s, NodeId id)
{
    if (s->recurrent[id])
        return 2;
    return g->node[graph_unspread(g, id)].axes ? 1 : 0;
}

enum { MAX_TERMS = 32 };

/* Terms of a sum: operands of adds that nobody else uses. */
static void collect_terms(const Facts *f, const Node *old, NodeId id, NodeId *term, int *n,
                          int limit)
{
    const Node *node = &old[id];
    bool inner = node->op == OP_ADD && f->uses[id] == 1 && *n + 2 <= limit;
    if (!inner) {
        term[(*n)++] = id;
        return;
    }
    collect_terms(f, old, node->arg[0], term, n, limit - 1); /* one is kept for the other */
    collect_terms(f, old, node->arg[1], term, n, limit);
}

typedef struct {
    Facts facts;
    const Node *old;
    NodeId *map;
} Ordering;

static NodeId order_sum(Rewrite *r, const Node *n, const NodeId *arg)
{
    const Ordering *o = rewrite_user(r);
    Graph *g = rewrite_graph(r);
    NodeId term[MAX_TERMS], sum = NO_NODE;
    int n_term = 0;
    collect_terms(&o->facts, o->old, n->arg[0], term, &n_term, MAX_TERMS - 1);
    collect_terms(&o->facts, o->old, n->arg[1], term, &n_term, MAX_TERMS);
    if (n_term == 2)
        return rewrite_add(r, OP_ADD, 2, arg, &n->attr);
    for (int rank = 0; rank <= 2; rank++)
        for (int i = 0; i < n_term; i++)
            if (o->facts.rank_of[term[i]] == rank)
                sum = sum == NO_NODE ? o->map[term[i]]
                                     : graph_map2(g, OP_ADD, sum, o->map[term[i]]);
    return graph_spread(g, sum, n->axes);
}

static NodeId order_node(Rewrite *r, const Node *n, const NodeId *arg)
{
    Ordering *o = rewrite_user(r);
    NodeId made = n->op == OP_ADD && !n->wide
                      ? order_sum(r, n, arg)
                      : rewrite_add(r, n->op, n->n_arg, arg, &n->attr);
    return o->map[rewrite_old(r)] = made;
}

static Facts facts_of(Graph *g)
{
    Facts f = {.stages = stage_pass(g), .uses = graph_uses(g)};
    int *rank = NEW_ARRAY(g->arena, int, g->n_node + 1);
    for (NodeId id = 0; id < g->n_node; id++)
        rank[id] = rank_of(g, f.stages, id);
    f.rank_of = rank;
    return f;
}

static void order_sums(Graph *g)
{
    Ordering o = {.facts = facts_of(g), .old = g->node};
    o.map = NEW_ARRAY(g->arena, NodeId, g->n_node + 1);
    graph_rewrite(g, order_node, &o);
}

/* ---- W @ concat(a, b) ---- */

static NodeId part_of(Graph *g, NodeId v, int axis, int64_t start, int64_t size)
{
    int64_t from[MAX_RANK] = {0}, step[MAX_RANK];
    Shape s = g->node[v].shape;
    for (int i = 0; i < MAX_RANK; i++)
        step[i] = 1;
    from[axis] = start;
    s.dim[axis] = size;
    return graph_slice(g, v, from, step, s);
}

static bool mixed_concat(const Facts *f, const Node *old, NodeId id)
{
    const Node *n = &old[id];
    int low = 2, high = 0;
    if (n->op != OP_CONCAT)
        return false;
    for (int i = 0; i < n->n_arg; i++) {
        int rank = f->rank_of[n->arg[i]];
        low = rank < low ? rank : low;
        high = rank > high ? rank : high;
    }
    return low < 2 && high == 2;
}

static NodeId split_product(Rewrite *r, const Node *n, const NodeId *arg)
{
    const Ordering *o = rewrite_user(r);
    Graph *g = rewrite_graph(r);
    const Node *concat = n->op == OP_EINSUM ? &o->old[n->arg[0]] : NULL;
    const char *k = n->op == OP_EINSUM ? strchr(n->attr.label[0], 'k') : NULL;
    if (!k || n->attr.axes || !mixed_concat(&o->facts, o->old, n->arg[0]) ||
        concat->attr.axis != k - n->attr.label[0])
        return rewrite_add(r, n->op, n->n_arg, arg, &n->attr);
    int k_of_b = (int)(strchr(n->attr.label[1], 'k') - n->attr.label[1]);
    int64_t at = 0;
    NodeId sum = NO_NODE;
    for (int i = 0; i < concat->n_arg; i++) {
        NodeId a = o->map[concat->arg[i]];
        int64_t size = g->node[a].shape.dim[concat->attr.axis];
        NodeId w = part_of(g, graph_unspread(g, arg[1]), k_of_b, at, size);
        NodeId pair[2] = {a, graph_spread(g, w, g->node[a].axes)};
        NodeId product = rewrite_add(r, OP_EINSUM, 2, pair, &n->attr);
        sum = sum == NO_NODE ? product : graph_map2(g, OP_ADD, sum, product);
        at += size;
    }
    return sum;
}

static NodeId split_node(Rewrite *r, const Node *n, const NodeId *arg)
{
    Ordering *o = rewrite_user(r);
    return o->map[rewrite_old(r)] = split_product(r, n, arg);
}

static void split_concats(Graph *g)
{
    Ordering o = {.facts = facts_of(g), .old = g->node};
    o.map = NEW_ARRAY(g->arena, NodeId, g->n_node + 1);
    graph_rewrite(g, split_node, &o);
}

/* ---- products with a common operand ---- */

/*
 * Two einsums may become one when they share the first operand and its labels, have one
 * label n in the second operand and the result, and both or neither recur. For sums over
 * points the shared operand may be either one; the result's order m n decides: weights'
 * gradients [out, in] share the second operand (the input), so the parts are stacked along
 * m.
 */
typedef struct {
    Ordering base;
    int *group;    /* by old node: its group + 1, or 0 */
    NodeId *next;  /* by old node: the group's next member, NO_NODE behind the last */
    NodeId *first; /* by group */
    NodeId *last;  /* by group */
    int *size;     /* by group */
    int n_group;
    int *groups_of;  /* by old node: the first group + 1 whose products share it, or 0; */
    int *group_next; /* by group: the next of those + 1, or 0 */
    Search search;
    NodeId *made;    /* by group: the joined product */
    int64_t *offset; /* by old node: of its part */
} Merging;

static char stacked_label(const Node *n) { return n->attr.axes ? 'm' : 'n'; }
static int shared_operand(const Node *n) { return n->attr.axes ? 1 : 0; }

static bool may_merge(const Merging *m, NodeId x, NodeId y)
{
    const Node *a = &m->base.old[x], *b = &m->base.old[y];
    const Stages *s = m->base.facts.stages;
    int shared = shared_operand(a);
    if (a->arg[shared] != b->arg[shared] || a->attr.axes != b->attr.axes ||
        memcmp(a->attr.label, b->attr.label, sizeof a->attr.label) != 0)
        return false;
    if (a->phase != b->phase || s->recurrent[x] != s->recurrent[y])
        return false;
    return !s->recurrent[x] || s->component[x] == s->component[y];
}

static bool mergeable(const Node *n)
{
    char c = stacked_label(n);
    return n->op == OP_EINSUM && strchr(n->attr.label[1 - shared_operand(n)], c) &&
           strchr(n->attr.label[2], c);
}

/* Which group a search looks for. */
typedef struct {
    const int *group;
    int id;
} Member;

static bool is_member(NodeId id, const void *user)
{
    const Member *m = user;
    return m->group[id] == m->id + 1;
}

/* Whether x needs a member of the group: they stand behind the group's first. */
static bool needs_group(Merging *m, NodeId x, int group)
{
    const Member of = {m->group, group};
    return search_needs(&m->search, x, m->first[group], is_member, &of);
}

/* The group that product x may join, or -1. */
static int find_group(Merging *m, NodeId x)
{
    const Node *n = &m->base.old[x];
    int g = m->groups_of[n->arg[shared_operand(n)]];
    for (; g > 0; g = m->group_next[g - 1])
        if (may_merge(m, m->first[g - 1], x) && !needs_group(m, x, g - 1))
            return g - 1;
    return -1;
}

static int new_group(Merging *m, NodeId x)
{
    const Node *n = &m->base.old[x];
    int *link = &m->groups_of[n->arg[shared_operand(n)]];
    while (*link > 0)
        link = &m->group_next[*link - 1];
    m->first[m->n_group] = x;
    return (*link = ++m->n_group) - 1;
}

static void find_groups(Graph *g, Merging *m, const bool *live)
{
    for (NodeId id = 0; id < g->n_node; id++) {
        if (!live[id] || !mergeable(&g->node[id]))
            continue;
        int group = find_group(m, id);
        if (group < 0)
            group = new_group(m, id);
        else
            m->next[m->last[group]] = id;
        m->group[id] = group + 1;
        m->last[group] = id;
        m->size[group]++;
    }
}

/* The joined product, made where the first member stood, for by then the operands of all
   members stand before it; each member becomes its slice. */
static NodeId join_group(Rewrite *r, Merging *m, int group)
{
    Graph *g = rewrite_graph(r);
    const Node *first = &m->base.old[m->first[group]];
    int shared = shared_operand(first), stacked = 1 - shared, n = 0;
    char c = stacked_label(first);
    int axis = (int)(strchr(first->attr.label[stacked], c) - first->attr.label[stacked]);
    NodeId *part = NEW_ARRAY(g->arena, NodeId, m->size[group]), pair[2];
    int64_t at = 0;
    for (NodeId id = m->first[group]; id != NO_NODE; id = m->next[id]) {
        part[n] = m->base.map[m->base.old[id].arg[stacked]];
        if (!first->attr.axes)
            part[n] = graph_unspread(g, part[n]);
        m->offset[id] = at;
        at += g->node[part[n++]].shape.dim[axis];
    }
    pair[shared] = m->base.map[first->arg[shared]];
    pair[stacked] = graph_concat(g, axis, n, part);
    Axes axes = (Axes)(g->node[pair[0]].axes | g->node[pair[1]].axes);
    pair[0] = graph_spread(g, pair[0], axes), pair[1] = graph_spread(g, pair[1], axes);
    return rewrite_add(r, OP_EINSUM, 2, pair, &first->attr);
}

static bool operands_ready(const Merging *m, int group)
{
    for (NodeId id = m->first[group]; id != NO_NODE; id = m->next[id])
        for (int i = 0; i < m->base.old[id].n_arg; i++)
            if (m->base.map[m->base.old[id].arg[i]] == NO_NODE)
                return false;
    return true;
}

static NodeId merge_node(Rewrite *r, const Node *n, const NodeId *arg)
{
    Merging *m = rewrite_user(r);
    NodeId old = rewrite_old(r), made;
    int group = m->group[old] - 1;
    if (group >= 0 && old == m->first[group] && m->size[group] > 1 &&
        operands_ready(m, group))
        m->made[group] = join_group(r, m, group);
    if (group >= 0 && m->made[group] != NO_NODE && m->offset[old] >= 0) {
        Graph *g = rewrite_graph(r);
        int axis = (int)(strchr(n->attr.label[2], stacked_label(n)) - n->attr.label[2]);
        made = part_of(g, m->made[group], axis, m->offset[old], n->shape.dim[axis]);
    } else {
        made = rewrite_add(r, n->op, n->n_arg, arg, &n->attr);
    }
    return m->base.map[old] = made;
}

/*
 * A product stands where its first member stood, so all members' operands must stand before
 * it. The nodes are therefore put in an order in which every group's operands come first.
 */
static void sort_for_merge(Graph *g);

static void merge_products(Graph *g)
{
    sort_for_merge(g);
    int n = g->n_node + 1;
    Merging m = {.base = {.facts = facts_of(g), .old = g->node}};
    m.base.map = NEW_ARRAY(g->arena, NodeId, n);
    m.group = NEW_ARRAY(g->arena, int, n);
    m.next = NEW_ARRAY(g->arena, NodeId, n);
    m.first = NEW_ARRAY(g->arena, NodeId, n);
    m.last = NEW_ARRAY(g->arena, NodeId, n);
    m.size = NEW_ARRAY(g->arena, int, n);
    m.groups_of = NEW_ARRAY(g->arena, int, n);
    m.group_next = NEW_ARRAY(g->arena, int, n);
    m.search = search_new(g->arena, g->node, g->n_node);
    m.made = NEW_ARRAY(g->arena, NodeId, n);
    m.offset = NEW_ARRAY(g->arena, int64_t, n);
    for (int i = 0; i < n; i++)
        m.made[i] = m.base.map[i] = m.next[i] = NO_NODE, m.offset[i] = -1;
    find_groups(g, &m, graph_live(g));
    graph_rewrite(g, merge_node, &m);
}

/* ---- an order with operands of products early ---- */

/* How many products lie on the longest way to each node; sums over points count from
 * `floor`. */
static int find_depths(const Graph *g, int *depth, int floor)
{
    int deepest = 0;
    for (NodeId id = 0; id < g->n_node; id++) {
        const Node *n = &g->node[id];
        depth[id] = n->op == OP_EINSUM && n->attr.axes ? floor : 0;
        for (int i = 0; i < n->n_arg; i++) {
            int d = depth[n->arg[i]] + (g->node[n->arg[i]].op == OP_EINSUM);
            depth[id] = d > depth[id] ? d : depth[id];
        }
        deepest = depth[id] > deepest ? depth[id] : deepest;
    }
    return deepest;
}

/* Nodes in order of (depth, products last) keep every operand before its user and put all
   products of one depth behind everything that they need; weights' gradients, which nothing
   in the step waits for, come last of all. */
static void sort_for_merge(Graph *g)
{
    int n = g->n_node, at = 0;
    int *depth = NEW_ARRAY(g->arena, int, n + 1);
    NodeId *map = NEW_ARRAY(g->arena, NodeId, n + 1);
    Node *sorted = NEW_ARRAY(g->arena, Node, n + 1);
    NodeId *order = NEW_ARRAY(g->arena, NodeId, n + 1);
    int deepest = find_depths(g, depth, find_depths(g, depth, 0));
    for (int d = 0; d <= deepest; d++)
        for (int product = 0; product < 2; product++)
            for (NodeId id = 0; id < n; id++)
                if (depth[id] == d && (g->node[id].op == OP_EINSUM) == product)
                    map[id] = at, order[at++] = id;
    for (int i = 0; i < n; i++) {
        sorted[i] = g->node[order[i]];
        for (int j = 0; j < sorted[i].n_arg; j++)
            sorted[i].arg[j] = map[sorted[i].arg[j]];
    }
    graph_permute(g, sorted, map);
}

void merge_pass(Graph *g)
{
    split_concats(g);
    simplify_pass(g);
    order_sums(g);
    merge_products(g);
    simplify_pass(g);
    order_sums(g);
    simplify_pass(g);
}
