/*
 * rewrite.c — a graph made again through a rule, with liveness and sharing.
 *
 * The roots are what a run can see: what the states become, the loss and its
 * weight, the output, metrics, gradients, updates, initial values. A backward
 * state is not a root: it lives when its leaf is read, and then so do its
 * beginning and its next value.
 *
 * Sharing: a table of chained hashes over (operation, operands, attributes).
 * Two draws of one site are the same draw, so random leaves may be shared too.
 */
#include "passes/rewrite.h"

#include <string.h>

struct Rewrite {
    Graph *g;
    void *user;
    NodeId *map; /* old id -> new */
    NodeId old;
    int n_bucket;
    NodeId *bucket; /* first node of each chain */
    NodeId *chain;  /* next node of the same chain */
    int chain_capacity;
};

Graph *rewrite_graph(Rewrite *r) { return r->g; }
void *rewrite_user(Rewrite *r) { return r->user; }
NodeId rewrite_old(const Rewrite *r) { return r->old; }

/* ---- roots: every place where a table names a node ---- */

typedef void RootVisitor(NodeId *root, void *user);

static void visit_state(State *s, RootVisitor *visit, void *user)
{
    visit(&s->leaf, user), visit(&s->entry, user), visit(&s->next, user);
    visit(&s->carried, user);
}

static void visit_roots(Graph *g, bool backward_states, RootVisitor *visit, void *user)
{
    visit(&g->output, user), visit(&g->loss, user), visit(&g->weight, user);
    visit(&g->gradient_norm, user);
    for (int i = 0; i < g->n_input; i++)
        visit(&g->input[i].leaf, user);
    for (int i = 0; i < g->n_param; i++) {
        Param *p = &g->param[i];
        visit(&p->leaf, user), visit(&p->init, user);
        visit(&p->gradient, user), visit(&p->next, user);
    }
    for (int i = 0; i < g->n_state; i++)
        if (backward_states || !g->state[i].backward)
            visit_state(&g->state[i], visit, user);
    for (int i = 0; i < g->n_optimizer; i++)
        visit(&g->optimizer[i].leaf, user), visit(&g->optimizer[i].next, user);
    for (int i = 0; i < g->n_scalar; i++)
        visit(&g->scalar[i].leaf, user);
    for (int i = 0; i < g->n_metric; i++)
        visit(&g->metric[i].value, user);
    for (int i = 0; i < g->n_running; i++)
        visit(&g->running[i].leaf, user), visit(&g->running[i].next, user);
}

typedef struct {
    const Graph *g;
    bool *live;
    NodeId *stack;
    int n_stack;
} Marking;

static void mark(NodeId *root, void *user)
{
    Marking *m = user;
    if (*root == NO_NODE || m->live[*root])
        return;
    m->live[*root] = true;
    m->stack[m->n_stack++] = *root;
}

/* A backward state that is read keeps its loop alive. */
static void mark_loop(Marking *m, const Node *n)
{
    if (n->op != OP_STATE && n->op != OP_FINAL)
        return;
    State *s = &m->g->state[n->attr.index];
    if (s->backward)
        visit_state(s, mark, m);
}

bool *graph_live(const Graph *g)
{
    Marking m = {g, NEW_ARRAY(g->arena, bool, g->n_node + 1),
                 NEW_ARRAY(g->arena, NodeId, g->n_node + 1), 0};
    visit_roots((Graph *)(uintptr_t)g, false, mark, &m);
    while (m.n_stack > 0) {
        const Node *n = &g->node[m.stack[--m.n_stack]];
        for (int i = 0; i < n->n_arg; i++)
            mark(&n->arg[i], &m);
        mark_loop(&m, n);
    }
    return m.live;
}

static void count_use(NodeId *root, void *user)
{
    if (*root != NO_NODE)
        ((int *)user)[*root]++;
}

int *graph_uses(const Graph *g)
{
    const bool *live = graph_live(g);
    int *uses = NEW_ARRAY(g->arena, int, g->n_node + 1);
    for (NodeId id = 0; id < g->n_node; id++)
        for (int i = 0; live[id] && i < g->node[id].n_arg; i++)
            uses[g->node[id].arg[i]]++;
    visit_roots((Graph *)(uintptr_t)g, true, count_use, uses);
    return uses;
}

/* ---- sharing ---- */

static uint64_t mix(uint64_t h, uint64_t x)
{
    h ^= x + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
    return h * 0xff51afd7ed558ccdu;
}

static uint64_t hash_words(uint64_t h, const int64_t *word, int n)
{
    for (int i = 0; i < n; i++)
        h = mix(h, (uint64_t)word[i]);
    return h;
}

static uint64_t hash_node(OpCode op, int n_arg, const NodeId *arg, const Attr *a)
{
    uint64_t h = mix(17, (uint64_t)op), value;
    for (int i = 0; i < n_arg; i++)
        h = mix(h, (uint64_t)arg[i]);
    memcpy(&value, &a->value, sizeof value);
    h = mix(mix(mix(mix(h, value), (uint64_t)a->index), a->axes), a->reduce);
    h = hash_words(h, a->shape.dim, a->shape.rank);
    if (op == OP_SLICE || op == OP_PAD)
        h = hash_words(h, a->start, a->shape.rank);
    for (int i = 0; op == OP_EINSUM && i < COUNT(a->label); i++)
        for (const char *c = a->label[i]; *c; c++)
            h = mix(h, (uint64_t)*c);
    return h;
}

static bool same_attr(const Attr *a, const Attr *b)
{
    return memcmp(&a->value, &b->value, sizeof a->value) == 0 && a->index == b->index &&
           a->axes == b->axes && a->reduce == b->reduce && a->axis == b->axis &&
           a->wide == b->wide && shape_equal(&a->shape, &b->shape) &&
           memcmp(a->permutation, b->permutation, sizeof a->permutation) == 0 &&
           memcmp(a->start, b->start, sizeof a->start) == 0 &&
           memcmp(a->step, b->step, sizeof a->step) == 0 &&
           memcmp(a->label, b->label, sizeof a->label) == 0;
}

/* The backward phase may read what the forward phase made; else every phase has its own
 * nodes. */
static bool sees(Phase reader, Phase made)
{
    return reader == made || (reader == PHASE_BACKWARD && made == PHASE_FORWARD);
}

static bool same_node(const Node *n, OpCode op, int n_arg, const NodeId *arg, const Attr *a)
{
    return n->op == op && n->n_arg == n_arg && same_attr(&n->attr, a) &&
           (n_arg == 0 || memcmp(n->arg, arg, (size_t)n_arg * sizeof *arg) == 0);
}

/* What constructors add is not entered: the next rewriting shares it. */
static void enter(Rewrite *r, NodeId id, uint64_t hash)
{
    Graph *g = r->g;
    if (id >= r->chain_capacity) {
        int capacity = 2 * id + 64;
        r->chain =
            arena_grow(g->arena, r->chain, (size_t)r->chain_capacity * sizeof *r->chain,
                       (size_t)capacity * sizeof *r->chain);
        r->chain_capacity = capacity;
    }
    NodeId *first = &r->bucket[hash % (uint64_t)r->n_bucket];
    r->chain[id] = *first;
    *first = id;
}

NodeId rewrite_add(Rewrite *r, OpCode op, int n_arg, const NodeId *arg, const Attr *attr)
{
    static const Attr none;
    const Attr *a = attr ? attr : &none;
    uint64_t hash = hash_node(op, n_arg, arg, a);
    for (NodeId id = r->bucket[hash % (uint64_t)r->n_bucket]; id != NO_NODE;
         id = r->chain[id])
        if (sees(r->g->phase, r->g->node[id].phase) &&
            same_node(&r->g->node[id], op, n_arg, arg, a))
            return id;
    NodeId id = graph_add(r->g, op, n_arg, arg, a);
    enter(r, id, hash);
    return id;
}

/* ---- the walk ---- */

static void translate(NodeId *root, void *user)
{
    const NodeId *map = user;
    if (*root != NO_NODE)
        *root = map[*root];
}

void graph_permute(Graph *g, Node *sorted, const NodeId *map)
{
    g->node = sorted;
    g->node_capacity = g->n_node;
    visit_roots(g, true, translate, (NodeId *)(uintptr_t)map);
}

static void rewrite_node(Rewrite *r, const Node *node, RewriteRule *rule)
{
    NodeId *arg = NEW_ARRAY(r->g->arena, NodeId, node->n_arg + 1);
    for (int i = 0; i < node->n_arg; i++)
        arg[i] = r->map[node->arg[i]];
    r->g->phase = node->phase;
    r->g->loc = node->loc;
    r->map[r->old] = rule(r, node, arg);
}

void graph_rewrite(Graph *g, RewriteRule *rule, void *user)
{
    const bool *live = graph_live(g);
    const Node *old = g->node;
    int n_old = g->n_node;
    Rewrite r = {.g = g, .user = user, .n_bucket = 2 * n_old + 61};
    r.map = NEW_ARRAY(g->arena, NodeId, n_old + 1);
    r.bucket = NEW_ARRAY(g->arena, NodeId, r.n_bucket);
    for (int i = 0; i < r.n_bucket; i++)
        r.bucket[i] = NO_NODE;
    g->node = NULL, g->n_node = 0, g->node_capacity = 0;
    for (r.old = 0; r.old < n_old; r.old++) {
        r.map[r.old] = NO_NODE;
        if (live[r.old])
            rewrite_node(&r, &old[r.old], rule);
    }
    visit_roots(g, true, translate, r.map);
}

/* ---- questions about nodes ---- */

bool graph_constant_of(const Graph *g, NodeId id, double *value)
{
    for (;;) {
        const Node *n = &g->node[id];
        if (n->op == OP_CONSTANT) {
            *value = n->attr.value;
            return true;
        }
        bool through = n->op == OP_BROADCAST || n->op == OP_SPREAD || n->op == OP_RESHAPE ||
                       n->op == OP_TRANSPOSE || n->op == OP_SLICE || n->op == OP_DETACH ||
                       n->op == OP_NARROW || n->op == OP_WIDEN;
        if (!through)
            return false;
        id = n->arg[0];
    }
}

NodeId graph_unspread(const Graph *g, NodeId id)
{
    while (g->node[id].op == OP_SPREAD)
        id = g->node[id].arg[0];
    return id;
}
