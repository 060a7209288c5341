/*
 * schedule.c — when each node runs: stages, groups, nests, sweeps.
 *
 * - class: which loops are around a node, told by its axes, its phase and whether it sums.
 * - round: raised by one wherever a value passes from one class to another; the longest
 *   such way. A stage is one class of one round; time nodes sink to the last stage that
 *   still is in time for their users, so that they meet them in cache.
 * - group: inside a time stage maps and scans alternate. A scan that needs a map comes
 *   behind it, a map that needs a scan behind that.
 * - nest: a contraction begins one; what it needs from its group stands in earlier ones.
 * - sweep: nodes of one index space that need no value of each other from another place
 *   share one; their values pass in registers.
 *
 * With fuse off every node is a nest of its own (values without axes: a sweep of its own).
 */
#include "passes/schedule.h"

#include <stdlib.h>

#include "passes/rewrite.h"

/* ---- facts about one node ---- */

bool schedule_is_contraction(const Graph *g, NodeId id)
{
    return op_defs[g->node[id].op]->family == FAMILY_CONTRACT;
}

static bool is_code(const Graph *g, NodeId id)
{
    OpCode op = g->node[id].op;
    return op_defs[op]->family != FAMILY_LEAF && !op_is_view(op);
}

Axes schedule_summed_axes(const Graph *g, NodeId id)
{
    const Node *n = &g->node[id];
    bool sums = n->op == OP_TOTAL || n->op == OP_SCATTER || n->op == OP_EINSUM;
    return sums ? n->attr.axes : 0;
}

Shape schedule_space(const Graph *g, NodeId id)
{
    const Node *n = &g->node[id];
    bool operand = (op_defs[n->op]->family == FAMILY_REDUCE) || n->op == OP_SCATTER;
    return operand ? g->node[n->arg[0]].shape : n->shape;
}

static Class class_of(const Graph *g, NodeId id)
{
    const Node *n = &g->node[id];
    if (!is_code(g, id))
        return CLASS_NONE;
    if (schedule_summed_axes(g, id))
        return n->axes ? CLASS_ROW_SUM : CLASS_SUM;
    if (n->axes & AXIS_TIME)
        return n->phase == PHASE_BACKWARD ? CLASS_BACKWARD : CLASS_FORWARD;
    if (n->axes)
        return CLASS_ROWS;
    if (schedule_is_contraction(g, id))
        return CLASS_PRODUCT;
    return n->shape.rank == 0 ? CLASS_SCALAR : CLASS_TENSOR;
}

/* ---- what a node waits for: computed nodes behind views and state leaves ---- */

typedef void NeedVisitor(NodeId need, bool previous_step, void *user);

/* previous_step: through a state, so it must be complete for the steps before. */
static void visit_needs(const Schedule *s, NodeId id, NeedVisitor *visit, void *user)
{
    const Graph *g = s->g;
    const Node *n = &g->node[id];
    for (int i = 0; i < n->n_arg; i++) {
        NodeId base = view_base(g, n->arg[i]);
        const Node *b = &g->node[base];
        if (b->op == OP_STATE || b->op == OP_FINAL) {
            const State *state = &g->state[b->attr.index];
            if (state->entry != NO_NODE)
                visit(state->entry, true, user);
            visit(state->next, true, user);
        } else if (is_code(g, base) && !s->given[base]) {
            visit(base, false, user);
        }
    }
}

/* ---- which nodes ---- */

typedef struct {
    Schedule *s;
    NodeId *stack;
    int n_stack;
} Demand;

static void demand(NodeId id, bool previous_step, void *user)
{
    Demand *d = user;
    (void)previous_step;
    if (d->s->needed[id] || d->s->given[id])
        return;
    d->s->needed[id] = true;
    d->stack[d->n_stack++] = id;
}

static void find_needed(Arena *arena, Schedule *s, const NodeId *root, int n_root)
{
    Demand d = {s, NEW_ARRAY(arena, NodeId, s->g->n_node + 1), 0};
    for (int i = 0; i < n_root; i++)
        if (root[i] != NO_NODE)
            demand(root[i], false, &d);
    while (d.n_stack > 0)
        visit_needs(s, d.stack[--d.n_stack], demand, &d);
}

/* Components in the order of need; within one the order of the step (a counting sort). */
static void find_order(Arena *arena, Schedule *s)
{
    int n = s->g->n_node, *at = NEW_ARRAY(arena, int, s->stages->n_component + 2);
    s->order = NEW_ARRAY(arena, NodeId, n + 1);
    for (NodeId id = 0; id < n; id++)
        if (s->needed[id])
            at[s->stages->component[id] + 1]++;
    for (int c = 0; c < s->stages->n_component; c++)
        at[c + 1] += at[c];
    for (NodeId id = 0; id < n; id++)
        if (s->needed[id])
            s->order[at[s->stages->component[id]]++] = id;
    for (NodeId id = 0; id < n; id++)
        s->n_order += s->needed[id];
}

/* One component after the other: [begin, end) in order. */
static int component_end(const Schedule *s, int begin)
{
    int end = begin, c = s->stages->component[s->order[begin]];
    while (end < s->n_order && s->stages->component[s->order[end]] == c)
        end++;
    return end;
}

/* ---- rounds and stages ---- */

typedef struct {
    const Schedule *s;
    NodeId user;
    int value;
} Walk;

static bool same_component(const Schedule *s, NodeId a, NodeId b)
{
    return s->stages->component[a] == s->stages->component[b];
}

static void raise_round(NodeId need, bool previous_step, void *user)
{
    Walk *w = user;
    (void)previous_step;
    if (same_component(w->s, need, w->user))
        return;
    const Slot *slot = &w->s->slot[need];
    Class by = w->s->slot[w->user].class;
    int round = slot->round + (slot->class != by || by == CLASS_PRODUCT);
    w->value = round > w->value ? round : w->value;
}

static void find_rounds(Schedule *s)
{
    for (int i = 0, end; i < s->n_order; i = end) {
        Walk w = {.s = s};
        end = component_end(s, i);
        for (int j = i; j < end; j++) {
            w.user = s->order[j];
            visit_needs(s, w.user, raise_round, &w);
        }
        for (int j = i; j < end; j++)
            s->slot[s->order[j]].round = w.value;
    }
    for (int i = 0; i < s->n_order; i++) {
        Slot *slot = &s->slot[s->order[i]];
        if (slot->sum != NO_NODE)
            slot->round = s->slot[slot->sum].round;
    }
}

/* How many nodes there are of each class in each round. */
typedef struct {
    int *count;
    int n_round;
} Census;

static int *census_at(const Census *c, Class which, int round)
{
    return &c->count[(int64_t)which * c->n_round + round];
}

static Census take_census(Arena *arena, const Schedule *s)
{
    Census c = {.n_round = 1};
    for (int i = 0; i < s->n_order; i++)
        if (s->slot[s->order[i]].round >= c.n_round)
            c.n_round = s->slot[s->order[i]].round + 1;
    c.count = NEW_ARRAY(arena, int, (int64_t)CLASS_COUNT *c.n_round);
    for (int i = 0; i < s->n_order; i++)
        ++*census_at(&c, s->slot[s->order[i]].class, s->slot[s->order[i]].round);
    return c;
}

typedef struct {
    Schedule *s;
    NodeId user;
    int *latest; /* by component: the last round in which it may run */
} Sinking;

static void lower_latest(NodeId need, bool previous_step, void *user)
{
    Sinking *k = user;
    (void)previous_step;
    const Slot *of = &k->s->slot[need], *by = &k->s->slot[k->user];
    if (same_component(k->s, need, k->user))
        return;
    int latest = by->round - (of->class != by->class);
    int *l = &k->latest[k->s->stages->component[need]];
    *l = latest < *l ? latest : *l;
}

/* The component's nodes, in order from `begin` on, to a later round that has some of their
   class already. */
static void sink_component(Schedule *s, Census *c, int begin, int latest)
{
    const Slot *first = &s->slot[s->order[begin]];
    int from = first->round, to = latest < c->n_round ? latest : c->n_round - 1;
    while (to > from && !*census_at(c, first->class, to))
        to--;
    const int end = to > from ? component_end(s, begin) : begin;
    for (int j = begin; j < end; j++) {
        Slot *slot = &s->slot[s->order[j]];
        --*census_at(c, slot->class, from), ++*census_at(c, slot->class, to);
        slot->round = to;
    }
}

/* Users first: a time node, or a tensor, moves to the last round of its class that its
 * users allow. */
static void sink(Arena *arena, Schedule *s)
{
    Sinking k = {.s = s, .latest = NEW_ARRAY(arena, int, s->stages->n_component + 1)};
    Census census = take_census(arena, s);
    for (int i = 0; i < s->stages->n_component; i++)
        k.latest[i] = INT32_MAX;
    for (int i = s->n_order - 1; i >= 0; i--) {
        const Slot *slot = &s->slot[s->order[i]];
        int c = s->stages->component[s->order[i]];
        bool whole = i == 0 || s->stages->component[s->order[i - 1]] != c;
        bool sinks = is_time(slot->class) || slot->class == CLASS_TENSOR;
        if (!whole)
            continue;
        if (sinks && k.latest[c] != INT32_MAX)
            sink_component(s, &census, i, k.latest[c]);
        for (int j = i, end = component_end(s, i); j < end; j++) {
            k.user = s->order[j];
            visit_needs(s, k.user, lower_latest, &k);
        }
    }
}

/* Rounds in order, in each its classes. */
static void number_stages(Arena *arena, Schedule *s)
{
    Census c = take_census(arena, s);
    for (int round = 0; round < c.n_round; round++)
        for (Class which = CLASS_NONE + 1; which < CLASS_COUNT; which++) {
            int *at = census_at(&c, which, round);
            *at = *at ? s->n_stage++ : -1; /* now the stage's number */
        }
    for (int i = 0; i < s->n_order; i++) {
        Slot *slot = &s->slot[s->order[i]];
        if (slot->class != CLASS_NONE)
            slot->stage = *census_at(&c, slot->class, slot->round);
    }
}

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
        end = component_end(s, i);
        if (!is_time(s->slot[s->order[i]].class))
            continue;
        Walk w = {.s = s, .value = s->stages->recurrent[s->order[i]]};
        for (int j = i; j < end; j++) {
            w.user = s->order[j];
            visit_needs(s, w.user, raise_sub, &w);
        }
        for (int j = i; j < end; j++)
            s->slot[s->order[j]].sub = w.value;
    }
}

static bool same_group(const Slot *a, const Slot *b)
{
    return a->stage == b->stage && a->sub == b->sub;
}

/* Who reads a node's value, for all nodes at once (a counting sort). */
static void find_users(Arena *arena, Schedule *s)
{
    const Graph *g = s->g;
    int *at = s->users_at = NEW_ARRAY(arena, int, g->n_node + 2);
    for (int i = 0; i < s->n_order; i++)
        for (int k = 0; k < g->node[s->order[i]].n_arg; k++)
            at[view_base(g, g->node[s->order[i]].arg[k]) + 1]++;
    for (NodeId id = 0; id < g->n_node; id++)
        at[id + 1] += at[id];
    const int total = at[g->n_node];
    s->user = NEW_ARRAY(arena, NodeId, total + 1);
    for (int i = s->n_order - 1; i >= 0; i--)
        for (int k = 0; k < g->node[s->order[i]].n_arg; k++)
            s->user[--at[view_base(g, g->node[s->order[i]].arg[k]) + 1]] = s->order[i];
    for (NodeId id = 0; id < g->n_node; id++) /* now at[id + 1] is where id's begin */
        at[id] = at[id + 1];
    at[g->n_node] = total;
}

/* Whether some node of the group reads `value` straight from memory. */
static bool group_reads(const Schedule *s, const Slot *group, NodeId value)
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

static bool is_cheap_map(const Schedule *s, NodeId id)
{
    const OpDef *def = op_defs[s->g->node[id].op];
    return is_time(s->slot[id].class) && !(s->slot[id].sub & 1) && s->needed[id] &&
           def->family == FAMILY_MAP && def->cheap;
}

static int count_users(const Schedule *s, NodeId id)
{
    return s->users_at[id + 1] - s->users_at[id];
}

/* Whether the node's operands are read by the scan anyway, or can be made there for it
 * alone. */
static bool may_join(const Schedule *s, NodeId id, const Slot *scan)
{
    const Node *n = &s->g->node[id];
    for (int k = 0; k < n->n_arg; k++) {
        NodeId value = graph_unspread(s->g, n->arg[k]), base = view_base(s->g, value);
        bool there = op_is_inline(s->g->node[base].op) || group_reads(s, scan, value) ||
                     same_group(&s->slot[base], scan);
        bool square = n->n_arg == 2 && n->arg[0] == n->arg[1];
        bool alone = value == base && is_cheap_map(s, base) &&
                     count_users(s, base) == 1 + square && may_join(s, base, scan);
        if (!there && !alone)
            return false;
    }
    return true;
}

/* A cheap map node whose operands the scan behind it reads anyway is computed there, in
   registers, rather than stored by the map for the scan to load. */
static void join_scans(Schedule *s)
{
    for (int i = s->n_order - 1; i >= 0; i--) {
        NodeId id = s->order[i];
        const Slot *scan = is_cheap_map(s, id) ? only_scan(s, id) : NULL;
        if (scan && may_join(s, id, scan)) /* users first: what it alone reads follows */
            s->slot[id].sub = scan->sub;
    }
}

/* ---- products that start from the other operand of their sum ---- */

/* Searches of the graph: `seen` by node, the number of the last search that met it. */
typedef struct {
    int *seen, n_search;
    NodeId *stack;
} Search;

/* Whether `id` needs `on` within the step and its group: operands stand before users, so
   the search never goes further back. */
static bool needs_within(Search *w, const Graph *g, NodeId id, NodeId on)
{
    int n = 0;
    w->n_search++;
    w->stack[n++] = view_base(g, id);
    while (n > 0) {
        NodeId base = w->stack[--n];
        if (base == on)
            return true;
        for (int i = 0; base > on && i < g->node[base].n_arg; i++) {
            NodeId next = view_base(g, g->node[base].arg[i]);
            if (w->seen[next] != w->n_search)
                w->stack[n++] = next;
            w->seen[next] = w->n_search;
        }
    }
    return false;
}

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
    return real && row && !needs_within(w, g, value, product);
}

static void find_starts(Arena *arena, Schedule *s, const int *uses)
{
    int n_node = s->g->n_node;
    Search w = {.seen = NEW_ARRAY(arena, int, n_node + 1),
                .stack = NEW_ARRAY(arena, NodeId, n_node + 1)};
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

static void find_nests(Schedule *s)
{
    for (int i = 0; i < s->n_order; i++) {
        NodeId id = s->order[i];
        Slot *slot = &s->slot[id];
        Walk w = {.s = s, .user = id};
        visit_needs(s, id, raise_nest, &w);
        if (slot->init != NO_NODE) { /* the product that ends here stands with its sum */
            const Node *n = &s->g->node[id];
            NodeId product = n->arg[n->arg[0] == slot->init ? 1 : 0];
            w.user = product;
            visit_needs(s, product, raise_nest, &w);
            s->slot[product].nest = w.value;
        }
        slot->nest = s->fuse && slot->class != CLASS_SUM ? w.value : i;
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

static void find_once_nests(Arena *arena, Schedule *s)
{
    Joining j = {.s = s, .parent = NEW_ARRAY(arena, int, s->g->n_node + 1)};
    for (int i = 0; i < s->g->n_node; i++)
        j.parent[i] = i;
    for (int i = 0; i < s->n_order; i++) {
        j.user = s->order[i];
        if (s->slot[j.user].class == CLASS_TENSOR)
            visit_needs(s, j.user, join, &j);
    }
    for (int i = 0; i < s->n_order; i++) {
        Slot *slot = &s->slot[s->order[i]];
        if (slot->class == CLASS_TENSOR)
            slot->nest = leader(j.parent, s->order[i]);
        if (slot->class == CLASS_SCALAR)
            slot->nest = 0;
    }
}

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

static bool same_nest(const Slot *a, const Slot *b)
{
    return same_group(a, b) && a->nest == b->nest;
}

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

static bool joins_sweep(const Schedule *s, const Space *sweep, NodeId id)
{
    const Node *n = &s->g->node[id];
    Shape space = schedule_space(s->g, id);
    bool fits = sweep->n_reduce == 0 || (sweep->reduced == n->attr.reduce &&
                                         sweep->n_reduce < SWEEP_MAX_REDUCTIONS);
    return s->fuse && !sweep->closed && sweep->n_node < SWEEP_MAX_NODES &&
           op_defs[n->op]->family != FAMILY_MAKER && shape_equal(&space, &sweep->space) &&
           (fits || !reduces(n));
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

static void find_sweeps(Arena *arena, Schedule *s)
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

Schedule *schedule_make(Arena *arena, const Graph *g, const Stages *stages, bool fuse,
                        const NodeId *root, int n_root, bool *given)
{
    Schedule *s = NEW(arena, Schedule);
    *s = (Schedule){.g = g, .stages = stages, .fuse = fuse, .given = given};
    s->needed = NEW_ARRAY(arena, bool, g->n_node + 1);
    s->slot = NEW_ARRAY(arena, Slot, g->n_node + 1);
    for (NodeId id = 0; id < g->n_node; id++)
        s->slot[id] = (Slot){
            .class = class_of(g, id), .sum = NO_NODE, .fused = NO_NODE, .init = NO_NODE};
    find_needed(arena, s, root, n_root);
    find_order(arena, s);
    find_users(arena, s);
    if (fuse)
        schedule_join_sums(arena, s, root, n_root);
    find_rounds(s);
    sink(arena, s);
    number_stages(arena, s);
    find_subs(s);
    if (fuse)
        join_scans(s);
    find_starts(arena, s, graph_uses(g));
    find_nests(s);
    if (fuse)
        schedule_share_sums(s);
    find_once_nests(arena, s);
    find_sweeps(arena, s);
    return s;
}
