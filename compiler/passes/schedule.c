/*
 * schedule.c — when each node runs: which nodes a procedure needs, and their order.
 *
 * From what the procedure owes back to what that waits for; then components of the
 * recurrence in the order of need, in each the order of the step. Stages, groups, nests and
 * sweeps are found on this order, each in a file of its own:
 *
 * - class: which loops are around a node, told by its axes, its phase and whether it sums.
 * - stage, group, nest, sweep: see schedule_stage.c, _group.c, _nest.c, _sweep.c.
 *
 * With fuse off every node is a nest of its own (values without axes: a sweep of its own).
 */
#include "passes/schedule_room.h"

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

void schedule_visit_needs(const Schedule *s, NodeId id, NeedVisitor *visit, void *user)
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
        schedule_visit_needs(s, d.stack[--d.n_stack], demand, &d);
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

int schedule_component_end(const Schedule *s, int begin)
{
    int end = begin, c = s->stages->component[s->order[begin]];
    while (end < s->n_order && s->stages->component[s->order[end]] == c)
        end++;
    return end;
}

/* ---- who uses a value ---- */

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

/* ---- the schedule ---- */

/* Half of a first-level cache: a row of such a value is not worth keeping for later. */
static int64_t large(const PlanTarget *t) { return t->l1_bytes / 2 / t->real_bytes; }

Schedule *schedule_make(Arena *arena, const Plan *p, const Graph *g, const Stages *stages,
                        const NodeId *root, int n_root, bool *given)
{
    Schedule *s = NEW(arena, Schedule);
    const bool fuse = p->fuse;
    *s = (Schedule){
        .g = g, .stages = stages, .fuse = fuse, .large = large(&p->target), .given = given};
    s->needed = NEW_ARRAY(arena, bool, g->n_node + 1);
    s->slot = NEW_ARRAY(arena, Slot, g->n_node + 1);
    s->of_state = view_state_values(arena, g);
    for (NodeId id = 0; id < g->n_node; id++)
        s->slot[id] = (Slot){
            .class = class_of(g, id), .sum = NO_NODE, .fused = NO_NODE, .init = NO_NODE};
    find_needed(arena, s, root, n_root);
    find_order(arena, s);
    find_users(arena, s);
    if (fuse)
        schedule_join_sums(arena, s, root, n_root);
    schedule_find_stages(arena, s);
    schedule_find_groups(arena, s);
    schedule_find_starts(arena, s);
    schedule_find_nests(s);
    if (fuse)
        schedule_share_sums(s);
    schedule_find_once_nests(arena, s);
    schedule_find_sweeps(arena, s);
    return s;
}
