/*
 * schedule_group.c — groups: inside a time stage maps and scans alternate.
 *
 * A scan that needs a map comes behind it, a map that needs a scan behind that. Then large
 * maps go into a scan beside them (schedule_large.c), cheap ones into the scan that alone
 * reads them.
 */
#include "passes/schedule_room.h"

/* ---- groups: maps and scans in turn ---- */

static void raise_sub(NodeId need, bool previous_step, void *user)
{
    Walk *w = user;
    (void)previous_step;
    const Slot *of = &w->s->slot[need], *by = &w->s->slot[w->user];
    if (of->stage != by->stage || same_component(w->s, need, w->user))
        return;
    bool scan = w->s->stages->recurrent[w->user];
    int sub = of->sub + ((of->sub & 1) != scan ? 1 : scan ? 2 : 0);
    w->value = sub > w->value ? sub : w->value;
}

static void find_subs(Schedule *s)
{
    for (int i = 0, end; i < s->n_order; i = end) {
        end = schedule_component_end(s, i);
        if (!is_time(s->slot[s->order[i]].class))
            continue;
        Walk w = {.s = s, .value = s->stages->recurrent[s->order[i]]};
        for (int j = i; j < end; j++) {
            w.user = s->order[j];
            schedule_visit_needs(s, w.user, raise_sub, &w);
        }
        for (int j = i; j < end; j++)
            s->slot[s->order[j]].sub = w.value;
    }
}

bool schedule_group_reads(const Schedule *s, const Slot *group, NodeId value)
{
    NodeId base = view_base(s->g, value);
    for (int i = s->users_at[base]; i < s->users_at[base + 1]; i++) {
        const Node *n = &s->g->node[s->user[i]];
        for (int k = 0; same_group(&s->slot[s->user[i]], group) && k < n->n_arg; k++)
            if (graph_unspread(s->g, n->arg[k]) == value)
                return true;
    }
    return false;
}

/* The one scan that all users of a map node are in; NULL: there is none. */
static const Slot *only_scan(const Schedule *s, NodeId id)
{
    const Slot *found = NULL;
    for (int i = s->users_at[id]; i < s->users_at[id + 1]; i++) {
        const Slot *slot = &s->slot[s->user[i]];
        const Node *n = &s->g->node[s->user[i]];
        for (int k = 0; k < n->n_arg; k++) {
            if (view_base(s->g, n->arg[k]) != id)
                continue;
            bool fits = slot->stage == s->slot[id].stage && (slot->sub & 1) &&
                        graph_unspread(s->g, n->arg[k]) == id && n->op != OP_CONCAT;
            if (!fits || (found && found->sub != slot->sub))
                return NULL;
            found = slot;
        }
    }
    return found;
}

/* One that its users alone read: others may read a state, ahead of that scan. */
static bool is_cheap_map(const Schedule *s, NodeId id)
{
    const OpDef *def = op_defs[s->g->node[id].op];
    return is_time(s->slot[id].class) && !(s->slot[id].sub & 1) && s->needed[id] &&
           def->family == FAMILY_MAP && def->cheap && !s->of_state[id];
}

static int count_users(const Schedule *s, NodeId id)
{
    return s->users_at[id + 1] - s->users_at[id];
}

/* Nodes that may be computed in a scan: found so far, and those of the search at hand. */
typedef struct {
    const Schedule *s;
    int *scan;     /* by node: 1 + the scan it may join; 0: not known */
    NodeId *asked; /* the search's nodes, each with all operands to be there */
    int n_asked;
} Joinable;

typedef enum { OPERAND_THERE, OPERAND_ALONE, OPERAND_NOT } OperandOf;

/* An operand is read by the scan anyway, or can be made there for this user alone if its
   own operands are there, or must be stored. */
static OperandOf operand_of(const Joinable *j, const Node *user, int k, const Slot *scan)
{
    const Schedule *s = j->s;
    NodeId value = graph_unspread(s->g, user->arg[k]), base = view_base(s->g, value);
    const bool square = user->n_arg == 2 && user->arg[0] == user->arg[1];
    if (op_is_inline(s->g->node[base].op) || schedule_group_reads(s, scan, value) ||
        same_group(&s->slot[base], scan))
        return OPERAND_THERE;
    if (value != base || !is_cheap_map(s, base) || count_users(s, base) != 1 + square)
        return OPERAND_NOT;
    return j->scan[base] == 1 + scan->sub || (square && k == 1) ? OPERAND_THERE
                                                                : OPERAND_ALONE;
}

/* Whether all that the node alone needs can be computed in the scan with it. What was found
   so once stays so: what it reads there does not leave. */
static bool may_join(Joinable *j, NodeId id, const Slot *scan)
{
    j->n_asked = 0;
    j->asked[j->n_asked++] = id;
    for (int i = 0; i < j->n_asked; i++) {
        const Node *n = &j->s->g->node[j->asked[i]];
        for (int k = 0; k < n->n_arg; k++) {
            OperandOf o = operand_of(j, n, k, scan);
            if (o == OPERAND_NOT)
                return false;
            if (o == OPERAND_ALONE)
                j->asked[j->n_asked++] = graph_unspread(j->s->g, n->arg[k]);
        }
    }
    for (int i = 0; i < j->n_asked; i++)
        j->scan[j->asked[i]] = 1 + scan->sub;
    return true;
}

/* A cheap map node whose operands the scan behind it reads anyway is computed there, in
   registers, rather than stored by the map for the scan to load. */
static void join_scans(Arena *arena, Schedule *s)
{
    Joinable j = {.s = s,
                  .scan = NEW_ARRAY(arena, int, s->g->n_node + 1),
                  .asked = NEW_ARRAY(arena, NodeId, s->g->n_node + 1)};
    for (int i = s->n_order - 1; i >= 0; i--) {
        NodeId id = s->order[i];
        const Slot *scan = is_cheap_map(s, id) ? only_scan(s, id) : NULL;
        bool known = scan && j.scan[id] == 1 + scan->sub;
        if (scan && (known ||
                     may_join(&j, id, scan))) /* users first: what it alone reads follows */
            s->slot[id].sub = scan->sub;
    }
}

void schedule_find_groups(Arena *arena, Schedule *s)
{
    find_subs(s);
    if (s->fuse) {
        schedule_move_large(arena, s);
        join_scans(arena, s);
    }
}
