/*
 * schedule_large.c — what is large is computed in the scan that has it at hand.
 *
 * A map takes all steps of a block at once, and a block is as many steps as the
 * second-level cache holds. Of a state that is a matrix it holds hardly one: a map that
 * reads a matrix of every step, or makes one for the scan, sends each of them through
 * memory. In the scan's own step the matrix is in cache, and what is computed there may
 * pass in registers.
 *
 * So a map over a large space moves into a scan of its stage
 *
 * - that computes, or reads as well, a large value that it reads; or
 * - that reads its large result, if less has to be handed to the scan instead: an outer
 *   product comes as two vectors, but the sum of two matrices would come as both.
 *
 * All that it needs must be there before the scan, or in its step; all that need it come
 * later, or stand in its step. Products stay where they are: theirs is the panel that all
 * steps share.
 */
#include "passes/schedule_room.h"

typedef struct {
    Schedule *s;
    int64_t *handed; /* by node: elements that maps would hand to a scan that computes it */
} Search;

static int64_t elements(const Graph *g, NodeId id)
{
    return shape_size(&g->node[id].shape);
}

static bool in_map(const Slot *slot) { return is_time(slot->class) && !(slot->sub & 1); }

static bool is_map_or_reduction(const Schedule *s, NodeId id)
{
    Family f = op_defs[s->g->node[id].op]->family;
    return f == FAMILY_MAP || f == FAMILY_REDUCE;
}

static bool may_move(const Search *w, NodeId id)
{
    const Schedule *s = w->s;
    Shape space = schedule_space(s->g, id);
    return in_map(&s->slot[id]) && is_map_or_reduction(s, id) && !s->of_state[id] &&
           shape_size(&space) >= s->large;
}

/* ---- what would be handed over ---- */

/* Of an operand: itself, or what it is computed from, if that is less. */
static int64_t handed_by(const Search *w, const Slot *user, NodeId operand)
{
    const Schedule *s = w->s;
    NodeId base = view_base(s->g, operand);
    const Slot *slot = &s->slot[base];
    if (!in_map(slot) || slot->stage != user->stage)
        return 0;
    int64_t whole = elements(s->g, base);
    return is_map_or_reduction(s, base) && w->handed[base] < whole ? w->handed[base]
                                                                   : whole;
}

static void find_handed(Search *w)
{
    const Schedule *s = w->s;
    for (int i = 0; i < s->n_order; i++) {
        NodeId id = s->order[i];
        const Node *n = &s->g->node[id];
        for (int k = 0; in_map(&s->slot[id]) && k < n->n_arg; k++)
            w->handed[id] += handed_by(w, &s->slot[id], n->arg[k]);
    }
}

/* ---- why it would move ---- */

static bool reads_large_of(const Search *w, NodeId id, const Slot *scan)
{
    const Schedule *s = w->s;
    const Node *n = &s->g->node[id];
    for (int k = 0; k < n->n_arg; k++) {
        NodeId value = graph_unspread(s->g, n->arg[k]), base = view_base(s->g, value);
        if (elements(s->g, base) >= s->large &&
            (same_group(&s->slot[base], scan) || schedule_group_reads(s, scan, value)))
            return true;
    }
    return false;
}

static bool is_read_by(const Schedule *s, NodeId id, const Slot *scan)
{
    for (int i = s->users_at[id]; i < s->users_at[id + 1]; i++)
        if (same_group(&s->slot[s->user[i]], scan))
            return true;
    return false;
}

static bool is_better_there(const Search *w, NodeId id, const Slot *scan)
{
    int64_t size = elements(w->s->g, id);
    bool feeds = size >= w->s->large && w->handed[id] < size && is_read_by(w->s, id, scan);
    return feeds || reads_large_of(w, id, scan);
}

/* ---- whether it can ---- */

typedef struct {
    const Schedule *s;
    const Slot *scan;
    bool there;
} Needed;

static void check_need(NodeId need, bool previous_step, void *user)
{
    Needed *n = user;
    const Slot *of = &n->s->slot[need];
    if (of->stage != n->scan->stage)
        return;
    n->there &= of->sub < n->scan->sub || (of->sub == n->scan->sub && !previous_step);
}

static bool fits(const Schedule *s, NodeId id, const Slot *scan)
{
    Needed needs = {s, scan, true};
    schedule_visit_needs(s, id, check_need, &needs);
    for (int i = s->users_at[id]; needs.there && i < s->users_at[id + 1]; i++) {
        const Slot *user = &s->slot[s->user[i]];
        bool early = user->stage == scan->stage && user->sub < scan->sub;
        if (early || s->g->node[s->user[i]].op == OP_CONCAT)
            return false;
    }
    return needs.there;
}

/* ---- moving ---- */

static bool try_scan(Search *w, NodeId id, NodeId neighbour)
{
    Slot *slot = &w->s->slot[id];
    const Slot *scan = &w->s->slot[neighbour];
    if (!is_time(scan->class) || scan->stage != slot->stage || !(scan->sub & 1) ||
        !is_better_there(w, id, scan) || !fits(w->s, id, scan))
        return false;
    slot->sub = scan->sub;
    return true;
}

static bool try_readers(Search *w, NodeId id, NodeId value)
{
    const Schedule *s = w->s;
    for (int i = s->users_at[value]; i < s->users_at[value + 1]; i++)
        if (try_scan(w, id, s->user[i]))
            return true;
    return false;
}

/* Into the scan of one that reads it, that it reads from, or that reads the same. */
static bool move(Search *w, NodeId id)
{
    const Schedule *s = w->s;
    const Node *n = &s->g->node[id];
    if (try_readers(w, id, id))
        return true;
    for (int k = 0; k < n->n_arg; k++) {
        NodeId base = view_base(s->g, n->arg[k]);
        bool is_large = elements(s->g, base) >= s->large;
        if (try_scan(w, id, base) || (is_large && try_readers(w, id, base)))
            return true;
    }
    return false;
}

static bool move_all(Search *w)
{
    const Schedule *s = w->s;
    bool moved = false;
    for (int i = 0; i < s->n_order; i++)
        if (may_move(w, s->order[i]))
            moved |= move(w, s->order[i]);
    for (int i = s->n_order - 1; i >= 0; i--)
        if (may_move(w, s->order[i]))
            moved |= move(w, s->order[i]);
    return moved;
}

void schedule_move_large(Arena *arena, Schedule *s)
{
    Search w = {.s = s, .handed = NEW_ARRAY(arena, int64_t, s->g->n_node + 1)};
    find_handed(&w);
    while (move_all(&w))
        continue;
}
