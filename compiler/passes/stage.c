/*
 * stage.c — map or scan: the one idea.
 *
 * Close the loop from each state's next value to the state as found and take the
 * strongly connected components (Tarjan 1972). A component without a cycle is a
 * map: all steps at once. One with a cycle is a scan: its steps run in order.
 * Input projections, heads, losses and weight gradients leave the recurrence by
 * this alone, forward and backward, whatever cell was written.
 *
 * Tarjan's algorithm hands components out with everything that they need before
 * them, so a component's number is also an order to compute in.
 */
#include "passes/stage.h"

/* What a node needs: its operands and, for a state as found and a final state, the loop.
   Writes up to n_arg + 2 ids and returns how many. */
static int stage_needs(const Graph *g, NodeId id, NodeId *out)
{
    const Node *n = &g->node[id];
    int count = 0;
    for (int i = 0; i < n->n_arg; i++)
        out[count++] = n->arg[i];
    if (n->op == OP_STATE || n->op == OP_FINAL) {
        const State *s = &g->state[n->attr.index];
        if (s->entry != NO_NODE)
            out[count++] = s->entry;
        if (s->next != NO_NODE)
            out[count++] = s->next;
    }
    return count;
}

typedef struct {
    const Graph *g;
    Stages *out;
    int *index, *low; /* 0: not met yet */
    NodeId *stack;    /* of nodes without a component yet */
    int n_stack, n_index;
    struct Frame {
        NodeId node;
        NodeId *need;
        int n_need, at;
    } * frame;
    int n_frame;
} Tarjan;

static void open_node(Tarjan *t, NodeId id)
{
    NodeId *need = NEW_ARRAY(t->g->arena, NodeId, t->g->node[id].n_arg + 2);
    t->index[id] = t->low[id] = ++t->n_index;
    t->stack[t->n_stack++] = id;
    t->frame[t->n_frame++] = (struct Frame){id, need, stage_needs(t->g, id, need), 0};
}

static bool needs_itself(const struct Frame *f)
{
    for (int i = 0; i < f->n_need; i++)
        if (f->need[i] == f->node)
            return true;
    return false;
}

static void close_component(Tarjan *t, const struct Frame *f)
{
    bool cycle = t->stack[t->n_stack - 1] != f->node || needs_itself(f);
    NodeId id;
    do {
        id = t->stack[--t->n_stack];
        t->out->component[id] = t->out->n_component;
        t->out->recurrent[id] = cycle;
    } while (id != f->node);
    t->out->n_component++;
}

static void lower(int *low, int value)
{
    if (value < *low)
        *low = value;
}

static void visit(Tarjan *t, NodeId root)
{
    open_node(t, root);
    while (t->n_frame > 0) {
        struct Frame *f = &t->frame[t->n_frame - 1];
        if (f->at < f->n_need) {
            NodeId need = f->need[f->at++];
            if (!t->index[need])
                open_node(t, need);
            else if (t->out->component[need] < 0)
                lower(&t->low[f->node], t->index[need]);
            continue;
        }
        if (t->low[f->node] == t->index[f->node])
            close_component(t, f);
        t->n_frame--;
        if (t->n_frame > 0)
            lower(&t->low[t->frame[t->n_frame - 1].node], t->low[f->node]);
    }
}

Stages *stage_pass(const Graph *g)
{
    Stages *s = NEW(g->arena, Stages);
    int n = g->n_node + 1;
    s->component = NEW_ARRAY(g->arena, int, n);
    s->recurrent = NEW_ARRAY(g->arena, bool, n);
    Tarjan t = {.g = g, .out = s};
    t.index = NEW_ARRAY(g->arena, int, n);
    t.low = NEW_ARRAY(g->arena, int, n);
    t.stack = NEW_ARRAY(g->arena, NodeId, n);
    t.frame = NEW_ARRAY(g->arena, struct Frame, n);
    for (NodeId id = 0; id < g->n_node; id++)
        s->component[id] = -1;
    for (NodeId id = 0; id < g->n_node; id++)
        if (!t.index[id])
            visit(&t, id);
    return s;
}

/* ---- is it so ---- */

/* The needs of nodes within their components: node i's stand between the ends of i - 1 and
   of i. Turned round: who needs it. */
typedef struct {
    int *end;
    NodeId *to;
} Links;

typedef void OnLink(Links *l, NodeId from, NodeId to);

static void count_link(Links *l, NodeId from, NodeId to)
{
    (void)to;
    l->end[from + 1]++;
}

static void add_link(Links *l, NodeId from, NodeId to) { l->to[l->end[from]++] = to; }

static void each_link(const Graph *g, const Stages *s, bool turned, OnLink *then, Links *l)
{
    for (NodeId id = 0; id < g->n_node; id++) {
        NodeId *need = NEW_ARRAY(g->arena, NodeId, g->node[id].n_arg + 2);
        int n = stage_needs(g, id, need);
        for (int i = 0; i < n; i++)
            if (s->component[need[i]] == s->component[id])
                then(l, turned ? need[i] : id, turned ? id : need[i]);
    }
}

static Links links_of(const Graph *g, const Stages *s, bool turned)
{
    Links l = {.end = NEW_ARRAY(g->arena, int, g->n_node + 2)};
    each_link(g, s, turned, count_link, &l);
    for (NodeId id = 0; id < g->n_node; id++)
        l.end[id + 1] += l.end[id];
    l.to = NEW_ARRAY(g->arena, NodeId, l.end[g->n_node] + 1);
    each_link(g, s, turned, add_link, &l);
    return l;
}

/* From the first node of every component links lead to all of it. */
static void verify_reach(const Graph *g, const Stages *s, const Links *l)
{
    bool *met = NEW_ARRAY(g->arena, bool, s->n_component + 1),
         *seen = NEW_ARRAY(g->arena, bool, g->n_node + 1);
    NodeId *stack = NEW_ARRAY(g->arena, NodeId, g->n_node + 1);
    int n = 0;
    for (NodeId id = 0; id < g->n_node; id++)
        if (!met[s->component[id]])
            met[s->component[id]] = seen[id] = true, stack[n++] = id;
    while (n > 0) {
        NodeId id = stack[--n];
        for (int i = id > 0 ? l->end[id - 1] : 0; i < l->end[id]; i++)
            if (!seen[l->to[i]])
                seen[l->to[i]] = true, stack[n++] = l->to[i];
    }
    for (NodeId id = 0; id < g->n_node; id++)
        if (!seen[id])
            BUG("%%%d is in one component with a cycle that it is no part of", id);
}

/* What is needed has the smaller number. Sets the flags of nodes that need one of their own
   component, and of those that one of it needs. */
static void verify_numbers(const Graph *g, const Stages *s, bool *needs, bool *needed)
{
    for (NodeId id = 0; id < g->n_node; id++) {
        int own = s->component[id];
        if (own < 0 || own >= s->n_component)
            BUG("%%%d is in component %d of %d", id, own, s->n_component);
        NodeId *need = NEW_ARRAY(g->arena, NodeId, g->node[id].n_arg + 2);
        int n = stage_needs(g, id, need);
        for (int i = 0; i < n; i++) {
            if (s->component[need[i]] > own)
                BUG("%%%d comes before %%%d, which it needs", id, need[i]);
            if (s->component[need[i]] == own)
                needs[id] = needed[need[i]] = true;
        }
    }
}

/* In a component with a cycle every node needs one of it and is needed by one, and it is
   one cycle: each node leads to every other. Elsewhere a node is alone. Told from the
   edges, not from how the components were found. */
void stage_verify(const Graph *g, const Stages *s)
{
    int *members = NEW_ARRAY(g->arena, int, s->n_component + 1);
    bool *needs = NEW_ARRAY(g->arena, bool, g->n_node + 1),
         *needed = NEW_ARRAY(g->arena, bool, g->n_node + 1);
    verify_numbers(g, s, needs, needed);
    for (NodeId id = 0; id < g->n_node; id++)
        members[s->component[id]]++;
    for (NodeId id = 0; id < g->n_node; id++) {
        bool cycle = needs[id] && needed[id];
        if (s->recurrent[id] != cycle || (!cycle && members[s->component[id]] > 1))
            BUG("%%%d is in %s cycle", id, s->recurrent[id] ? "no" : "a");
    }
    Links needs_of = links_of(g, s, false), users_of = links_of(g, s, true);
    verify_reach(g, s, &needs_of);
    verify_reach(g, s, &users_of);
}
