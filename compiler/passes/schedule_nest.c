/*
 * schedule_nest.c — nests: a contraction begins one; what it needs from its group stands in
 * earlier ones.
 *
 * A product whose sum with another value is all that is wanted starts from that value, and
 * the sum is where it ends.
 */
#include "passes/schedule_room.h"

#include "passes/search.h"

/* ---- products that start from the other operand of their sum ---- */

static bool is_node(NodeId id, const void *user) { return id == *(const NodeId *)user; }

static bool can_start_from(Search *w, const Schedule *s, NodeId product, NodeId value)
{
    View v;
    const Graph *g = s->g;
    if (!view_of(g, value, &v) || op_is_inline(g->node[v.base].op))
        return false;
    int rank = g->node[value].shape.rank;
    const Node *base = &g->node[v.base];
    bool real = base->op != OP_INPUT && !base->wide && base->op != OP_START &&
                !(base->op == OP_TOTAL && base->shape.rank == 0);
    bool row = rank == 0 || v.stride[rank - 1] == 1 || v.stride[rank - 1] == 0;
    return real && row && !search_needs(w, value, product, is_node, &product);
}

void schedule_find_starts(Arena *arena, Schedule *s)
{
    const int *uses = graph_uses(s->g);
    Search w = search_new(arena, s->g->node, s->g->n_node);
    for (int i = 0; s->fuse && i < s->n_order; i++) {
        NodeId id = s->order[i];
        const Node *n = &s->g->node[id];
        if (n->op != OP_ADD || n->wide)
            continue;
        for (int k = 1; k >= 0; k--) {
            NodeId product = n->arg[k], value = n->arg[1 - k];
            Slot *slot = &s->slot[product];
            bool fits = schedule_is_contraction(s->g, product) && uses[product] == 1 &&
                        s->needed[product] && slot->class != CLASS_SUM &&
                        same_group(slot, &s->slot[id]) && s->slot[id].init == NO_NODE &&
                        slot->fused == NO_NODE;
            if (fits && can_start_from(&w, s, product, value)) {
                slot->fused = id;
                s->slot[id].init = value;
            }
        }
    }
}

/* ---- nests ---- */

/* The node whose slot tells where a computed value is ready. */
static bool ends_contraction(const Schedule *s, NodeId id)
{
    const Slot *slot = &s->slot[id];
    return (schedule_is_contraction(s->g, id) && slot->fused == NO_NODE) ||
           slot->init != NO_NODE;
}

static void raise_nest(NodeId need, bool previous_step, void *user)
{
    Walk *w = user;
    const Schedule *s = w->s;
    const Slot *of = &s->slot[need], *by = &s->slot[w->user];
    bool loop = previous_step && same_component(s, need, w->user);
    if (!same_group(of, by) || of->fused == w->user || loop)
        return;
    bool later = previous_step || by->class == CLASS_SUM;
    int nest = of->nest + (later || schedule_is_contraction(s->g, w->user) ||
                           ends_contraction(s, w->user));
    w->value = nest > w->value ? nest : w->value;
}

/* Each sum over points is a nest, products first: none reads a sum of its stage, since its
   operands have the axes that it sums (einsum_canonical). They multiply while what another
   core wrote arrives; sweeps would wait for it, and behind the products find it nearby. */
static int nest_of_sum(const Schedule *s, int at)
{
    bool product = schedule_is_contraction(s->g, s->order[at]);
    return s->fuse && !product ? s->n_order + at : at;
}

void schedule_find_nests(Schedule *s)
{
    for (int i = 0; i < s->n_order; i++) {
        NodeId id = s->order[i];
        Slot *slot = &s->slot[id];
        Walk w = {.s = s, .user = id};
        schedule_visit_needs(s, id, raise_nest, &w);
        if (slot->init != NO_NODE) { /* the product that ends here stands with its sum */
            const Node *n = &s->g->node[id];
            NodeId product = n->arg[n->arg[0] == slot->init ? 1 : 0];
            w.user = product;
            schedule_visit_needs(s, product, raise_nest, &w);
            s->slot[product].nest = w.value;
        }
        slot->nest = slot->class == CLASS_SUM ? nest_of_sum(s, i) : s->fuse ? w.value : i;
    }
}

/* Values without axes: what hangs together is one nest, run by one thread. */
static int leader(int *parent, int id)
{
    while (parent[id] != id)
        id = parent[id] = parent[parent[id]];
    return id;
}

typedef struct {
    const Schedule *s;
    NodeId user;
    int *parent;
} Joining;

static void join(NodeId need, bool previous_step, void *user)
{
    Joining *j = user;
    (void)previous_step;
    const Slot *of = &j->s->slot[need], *by = &j->s->slot[j->user];
    if (of->stage == by->stage)
        j->parent[leader(j->parent, need)] = leader(j->parent, j->user);
}

void schedule_find_once_nests(Arena *arena, Schedule *s)
{
    Joining j = {.s = s, .parent = NEW_ARRAY(arena, int, s->g->n_node + 1)};
    for (int i = 0; i < s->g->n_node; i++)
        j.parent[i] = i;
    for (int i = 0; i < s->n_order; i++) {
        j.user = s->order[i];
        if (s->slot[j.user].class == CLASS_TENSOR)
            schedule_visit_needs(s, j.user, join, &j);
    }
    for (int i = 0; i < s->n_order; i++) {
        Slot *slot = &s->slot[s->order[i]];
        if (slot->class == CLASS_TENSOR)
            slot->nest = leader(j.parent, s->order[i]);
        if (slot->class == CLASS_SCALAR)
            slot->nest = 0;
    }
}
