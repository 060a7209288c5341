/*
 * schedule_sums.c — what the sums over points do on their way.
 *
 * A gradient of a parameter that is not a weight (a scale, a bias) is a total over all
 * points of a few elementwise operations. Stored by the stage that has the operands in
 * cache and read again by the sum, such a value goes through memory for nothing else. Where
 * its operands stand in memory for all steps anyway, the sum reads them and computes the
 * value in registers; and sums over the same points of the same space are one nest, which
 * reads what several of them need once.
 *
 * The order of each sum stays: points one after another.
 */
#include "passes/schedule.h"

#include "passes/rewrite.h"

static bool is_sum(const Schedule *s, NodeId id)
{
    const Node *n = &s->g->node[id];
    return s->slot[id].class == CLASS_SUM && s->slot[id].sum == NO_NODE &&
           (n->op == OP_TOTAL || n->op == OP_SCATTER) && schedule_space(s->g, id).rank > 0;
}

/* Values that tables name are stored where the tables say. */
static bool *find_tabled(Arena *arena, const Schedule *s, const NodeId *root, int n_root)
{
    bool *tabled = view_state_values(arena, s->g);
    for (int i = 0; i < n_root; i++)
        if (root[i] != NO_NODE)
            tabled[root[i]] = true;
    return tabled;
}

/* The sum that alone takes this value, element by element, perhaps on the way through other
   values of its sweep; NO_NODE: none. */
static NodeId only_sum(const Schedule *s, NodeId id)
{
    if (s->users_at[id + 1] - s->users_at[id] != 1)
        return NO_NODE;
    NodeId user = s->user[s->users_at[id]];
    const Node *n = &s->g->node[user];
    Shape space = schedule_space(s->g, user);
    if (!shape_equal(&s->g->node[id].shape, &space))
        return NO_NODE;
    for (int k = 0; k < n->n_arg; k++)
        if (graph_unspread(s->g, n->arg[k]) == id)
            return s->slot[user].sum != NO_NODE ? s->slot[user].sum
                   : k == 0 && is_sum(s, user)  ? user
                                                : NO_NODE;
    return NO_NODE;
}

static bool may_move(const Schedule *s, const bool *tabled, NodeId id)
{
    const Node *n = &s->g->node[id];
    const OpDef *def = op_defs[n->op];
    return s->needed[id] && is_time(s->slot[id].class) && n->axes == AXES_ALL &&
           def->family == FAMILY_MAP && def->cheap && !n->wide && !tabled[id] &&
           !s->stages->recurrent[id];
}

static bool read_by_sum(const Schedule *s, NodeId base)
{
    for (int i = s->users_at[base]; i < s->users_at[base + 1]; i++) {
        const Slot *user = &s->slot[s->user[i]];
        if (user->class == CLASS_SUM && user->sum == NO_NODE)
            return true;
    }
    return false;
}

/* What decides where a sum's operands come from. */
typedef struct {
    const Schedule *s;
    const bool *tabled;
    bool *computed; /* for each node: the sum that its one user is in can compute it too */
} Operands;

/* Whether the sum finds the operand in memory, or can compute it too. */
static bool available(const Operands *o, NodeId user, NodeId arg)
{
    const Schedule *s = o->s;
    const Graph *g = s->g;
    NodeId base = view_base(g, arg);
    const Node *n = &g->node[base];
    Class c = s->slot[base].class;
    if (op_is_inline(n->op) || op_defs[n->op]->family == FAMILY_LEAF || s->given[base])
        return true;
    if (c == CLASS_SUM) /* complete only when this sum is */
        return false;
    bool stashed = n->phase == PHASE_FORWARD && g->node[user].phase == PHASE_BACKWARD;
    if (!is_time(c) || stashed || o->tabled[base] || read_by_sum(s, base))
        return true;
    return o->computed[base] && graph_unspread(g, arg) == base &&
           shape_equal(&n->shape, &g->node[user].shape);
}

static bool all_available(const Operands *o, NodeId user)
{
    const Node *n = &o->s->g->node[user];
    for (int k = 0; k < n->n_arg; k++)
        if (!available(o, user, n->arg[k]))
            return false;
    return true;
}

/* Operands come before their users: one look at each node suffices, however long the
   chain behind it is. */
static void find_computed(Arena *arena, Operands *o)
{
    const Schedule *s = o->s;
    o->computed = NEW_ARRAY(arena, bool, s->g->n_node + 1);
    for (NodeId id = 0; id < s->g->n_node; id++)
        o->computed[id] = s->users_at[id + 1] - s->users_at[id] == 1 &&
                          may_move(s, o->tabled, id) && all_available(o, id);
}

void schedule_join_sums(Arena *arena, Schedule *s, const NodeId *root, int n_root)
{
    Operands o = {.s = s, .tabled = find_tabled(arena, s, root, n_root)};
    int *n_moved = NEW_ARRAY(arena, int, s->g->n_node + 1); /* by sum */
    find_computed(arena, &o);
    /* users first: what they alone read follows */
    for (int i = s->n_order - 1; i >= 0; i--) {
        NodeId id = s->order[i], sum = o.computed[id] ? only_sum(s, id) : NO_NODE;
        if (sum != NO_NODE && s->g->node[sum].attr.axes == AXES_ALL &&
            n_moved[sum]++ < SWEEP_MAX_NODES)
            s->slot[id].class = CLASS_SUM, s->slot[id].sum = sum;
    }
}

/* The first sum of the same stage over the same points of the same space. */
static NodeId companion(const Schedule *s, int at)
{
    NodeId id = s->order[at];
    Shape space = schedule_space(s->g, id);
    for (int i = 0; i < at; i++) {
        NodeId other = s->order[i];
        if (!is_sum(s, other) || s->slot[other].stage != s->slot[id].stage ||
            s->g->node[other].attr.axes != s->g->node[id].attr.axes)
            continue;
        Shape its = schedule_space(s->g, other);
        if (shape_equal(&its, &space))
            return other;
    }
    return id;
}

void schedule_share_sums(Schedule *s)
{
    for (int i = 0; i < s->n_order; i++)
        if (is_sum(s, s->order[i]))
            s->slot[s->order[i]].nest = s->slot[companion(s, i)].nest;
    for (int i = 0; i < s->n_order; i++) {
        Slot *slot = &s->slot[s->order[i]];
        if (slot->sum != NO_NODE)
            slot->nest = s->slot[slot->sum].nest;
    }
}
