/*
 * schedule_sweep.c — sweeps, and all of it in one line.
 *
 * Nodes of one index space that need no value of each other from another place share a
 * sweep; their values pass in registers.
 */
#include "passes/schedule_room.h"

#include <stdlib.h>

/* ---- all of it in one line ---- */

typedef struct {
    int key[5]; /* stage, sub, nest, sweep, order */
} Position;

static int by_position(const void *a, const void *b)
{
    const Position *x = a, *y = b;
    int i = 0;
    while (i < COUNT(x->key) - 1 && x->key[i] == y->key[i])
        i++;
    return (x->key[i] > y->key[i]) - (x->key[i] < y->key[i]);
}

static void lay_out(Arena *arena, Schedule *s)
{
    Position *p = NEW_ARRAY(arena, Position, s->n_order + 1);
    s->laid = NEW_ARRAY(arena, NodeId, s->n_order + 1);
    s->n_laid = 0;
    for (int i = 0; i < s->n_order; i++) {
        const Slot *slot = &s->slot[s->order[i]];
        Position at = {{slot->stage, slot->sub, slot->nest, slot->sweep, i}};
        if (slot->class != CLASS_NONE)
            p[s->n_laid++] = at;
    }
    qsort(p, (size_t)s->n_laid, sizeof *p, by_position);
    for (int i = 0; i < s->n_laid; i++)
        s->laid[i] = s->order[p[i].key[4]];
}

/* ---- sweeps ---- */

static bool in_sweep(const Schedule *s, NodeId id)
{
    return s->slot[id].class != CLASS_NONE && !schedule_is_contraction(s->g, id) &&
           s->slot[id].init == NO_NODE && s->g->node[id].op != OP_CONCAT;
}

/* A value that comes out of the loop, not out of each of its turns. */
static bool leaves_loop(const Graph *g, NodeId id)
{
    Family f = op_defs[g->node[id].op]->family;
    return f == FAMILY_REDUCE || f == FAMILY_MAKER || g->node[id].op == OP_SCATTER;
}

bool schedule_in_register(const Schedule *s, NodeId user, NodeId arg)
{
    NodeId base = graph_unspread(s->g, arg);
    if (!s->needed[base] || !in_sweep(s, base) || !in_sweep(s, user) ||
        leaves_loop(s->g, base))
        return false;
    Shape a = schedule_space(s->g, base), b = schedule_space(s->g, user);
    return same_nest(&s->slot[base], &s->slot[user]) &&
           s->slot[base].sweep == s->slot[user].sweep && shape_equal(&a, &b);
}

typedef struct {
    Shape space;
    uint32_t reduced;
    int n_node, n_reduce;
    bool closed;
} Space;

static bool reduces(const Node *n)
{
    return op_defs[n->op]->family == FAMILY_REDUCE && n->op != OP_TOTAL;
}

static bool may_pass_register(const Schedule *s, NodeId user, NodeId arg)
{
    NodeId base = graph_unspread(s->g, arg);
    Shape a = schedule_space(s->g, base), b = schedule_space(s->g, user);
    return in_sweep(s, base) && !leaves_loop(s->g, base) && shape_equal(&a, &b);
}

/* The parts of a concatenation stand where it stands. */
static int ready_sweep(const Schedule *s, NodeId user, NodeId base)
{
    const Node *n = &s->g->node[base];
    int at = 0;
    if (n->op != OP_CONCAT)
        return same_nest(&s->slot[base], &s->slot[user]) ? s->slot[base].sweep + 1 : 0;
    for (int i = 0; i < n->n_arg; i++) {
        int ready = ready_sweep(s, user, n->arg[i]);
        at = ready > at ? ready : at;
    }
    return at;
}

static int first_sweep(const Schedule *s, NodeId id)
{
    const Node *n = &s->g->node[id];
    int at = 0;
    for (int i = 0; i < n->n_arg; i++) {
        NodeId base = view_base(s->g, n->arg[i]);
        if (!s->needed[base])
            continue;
        int ready = ready_sweep(s, id, base);
        if (ready > 0 && s->g->node[base].op != OP_CONCAT &&
            may_pass_register(s, id, n->arg[i]))
            ready--;
        at = ready > at ? ready : at;
    }
    return at;
}

/* What a sum computes on its way stands in its own sweep, and is bounded there. */
static bool joins_sweep(const Schedule *s, const Space *sweep, NodeId id)
{
    const Node *n = &s->g->node[id];
    Shape space = schedule_space(s->g, id);
    bool fits = sweep->n_reduce == 0 || (sweep->reduced == n->attr.reduce &&
                                         sweep->n_reduce < SWEEP_MAX_REDUCTIONS);
    bool full = sweep->n_node >= SWEEP_MAX_NODES && s->slot[id].class != CLASS_SUM;
    return s->fuse && !sweep->closed && !full && op_defs[n->op]->family != FAMILY_MAKER &&
           shape_equal(&space, &sweep->space) && (fits || !reduces(n));
}

static void enter_sweep(const Schedule *s, Space *sweep, NodeId id)
{
    const Node *n = &s->g->node[id];
    sweep->n_node++;
    if (reduces(n)) {
        sweep->n_reduce++;
        sweep->reduced = n->attr.reduce;
    }
    sweep->closed = op_defs[n->op]->family == FAMILY_MAKER;
}

/* Of the nodes laid[begin] … laid[end - 1], which are one nest's, in order. */
static void sweeps_of_nest(Arena *arena, Schedule *s, int begin, int end)
{
    Space *sweep = NULL;
    int capacity = 0, n_sweep = 0;
    for (int i = begin; i < end; i++) {
        NodeId id = s->laid[i];
        if (!in_sweep(s, id))
            continue;
        int k = first_sweep(s, id);
        while (k < n_sweep && !joins_sweep(s, &sweep[k], id))
            k++;
        if (k >= n_sweep) {
            *PUSH(arena, sweep, n_sweep, capacity) =
                (Space){.space = schedule_space(s->g, id)};
            k = n_sweep - 1;
        }
        enter_sweep(s, &sweep[k], id);
        s->slot[id].sweep = k;
    }
}

void schedule_find_sweeps(Arena *arena, Schedule *s)
{
    for (int i = 0; i < s->n_order; i++)
        s->slot[s->order[i]].sweep = -1;
    lay_out(arena, s); /* nests in one piece each */
    for (int begin = 0, end; begin < s->n_laid; begin = end) {
        end = begin + 1;
        while (end < s->n_laid &&
               same_nest(&s->slot[s->laid[begin]], &s->slot[s->laid[end]]))
            end++;
        sweeps_of_nest(arena, s, begin, end);
    }
    lay_out(arena, s);
}
