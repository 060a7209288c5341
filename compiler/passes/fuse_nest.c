/*
 * fuse_nest.c — nests, groups and stages: what the schedule put together, in order.
 *
 * A nest is at most one contraction and the sweeps behind it.
 */
#include "passes/fuse_room.h"

#include <string.h>

/* ---- contractions ---- */

/* The strides of the labels that are wanted, 0 where an operand lacks one. */
static void by_label(Access *a, const char *labels, const char *want)
{
    int64_t stride[MAX_RANK] = {0};
    for (int i = 0; want[i]; i++) {
        const char *at = strchr(labels, want[i]);
        stride[i] = at ? a->stride[at - labels] : 0;
    }
    memcpy(a->stride, stride, sizeof stride);
}

static int64_t label_size(const Fuse *f, const Node *n, char c)
{
    for (int i = 0; i < 2; i++) {
        const char *at = strchr(n->attr.label[i], c);
        if (at)
            return f->g->node[n->arg[i]].shape.dim[at - n->attr.label[i]];
    }
    return 1;
}

Stage *stage_add(Plan *p, Procedure *proc, StageKind kind)
{
    Stage *s = PUSH(p->arena, proc->stage, proc->n_stage, proc->stage_capacity);
    s->kind = kind;
    *PUSH(p->arena, s->group, s->n_group, s->group_capacity) = (Group){0};
    return s;
}

Nest *nest_add(Plan *p, Group *group)
{
    Nest *n = PUSH(p->arena, group->nest, group->n_nest, group->nest_capacity);
    n->pack = -1;
    return n;
}

static void exchange(int64_t *x, int64_t *y)
{
    int64_t kept = *x;
    *x = *y, *y = kept;
}

/* A sum of one column is as well a sum of one row, and rows are taken in vectors. */
static void lay_down(Contraction *c)
{
    if (c->n > 1 || c->m == 1 || c->c.stride[1] != 1)
        return;
    Access a = c->a;
    c->a = c->b, c->b = a;
    exchange(&c->m, &c->n);
    exchange(&c->c.stride[1], &c->c.stride[2]);
    exchange(&c->init.stride[1], &c->init.stride[2]);
}

static Contraction *make_contraction(Fuse *f, NodeId id, int stage)
{
    const Node *n = &f->g->node[id];
    const Slot *slot = &f->s->slot[id];
    NodeId result = slot->fused != NO_NODE ? slot->fused : id;
    Contraction *c = NEW(f->p->arena, Contraction);
    c->n_batch = label_size(f, n, 'b'), c->m = label_size(f, n, 'm');
    c->n = label_size(f, n, 'n'), c->k = label_size(f, n, 'k');
    c->node = id, c->packed = -1;
    c->of_params = f->of_params[view_base(f->g, n->arg[1])] && !f->packing;
    c->a = access_of(f, n->arg[0], stage);
    by_label(&c->a, n->attr.label[0], "bmk");
    c->b = access_of(f, n->arg[1], stage);
    by_label(&c->b, n->attr.label[1], "bnk");
    c->c = access_of(f, result, stage);
    by_label(&c->c, n->attr.label[2], "bmn");
    NodeId init = f->s->slot[result].init;
    c->init.buffer = -1;
    if (init != NO_NODE) {
        c->has_init = true;
        c->init = access_of(f, init, stage);
        by_label(&c->init, n->attr.label[2], "bmn");
    }
    if (slot->class == CLASS_SUM)
        lay_down(c);
    return c;
}

/* ---- nests, groups, stages ---- */

static StageKind stage_kind(Class c)
{
    switch (c) {
    case CLASS_ROWS:
    case CLASS_ROW_SUM: return STAGE_ROWS;
    case CLASS_FORWARD:
    case CLASS_BACKWARD: return STAGE_TIME;
    case CLASS_SUM: return STAGE_SUM;
    case CLASS_SCALAR:
    case CLASS_TENSOR:
    case CLASS_PRODUCT: return STAGE_ONCE;
    case CLASS_NONE:
    case CLASS_COUNT: break;
    }
    BUG("class %d has no stage", c);
}

/* Nodes of the schedule that lie in a row: laid[begin] … laid[end - 1]. */
typedef struct {
    int begin, end;
} Range;

typedef bool SameKey(const Slot *a, const Slot *b);

static bool same_stage(const Slot *a, const Slot *b) { return a->stage == b->stage; }
static bool same_sub(const Slot *a, const Slot *b) { return a->sub == b->sub; }
static bool same_nest(const Slot *a, const Slot *b) { return a->nest == b->nest; }
static bool same_sweep(const Slot *a, const Slot *b) { return a->sweep == b->sweep; }

/* The first part of the range whose nodes have the same key. */
static Range first_part(const Schedule *s, Range r, SameKey *same)
{
    Range part = {r.begin, r.begin};
    while (part.end < r.end &&
           same(&s->slot[s->laid[part.begin]], &s->slot[s->laid[part.end]]))
        part.end++;
    return part;
}

static void finish_nest(Fuse *f, Nest *nest, Range r)
{
    const NodeId *laid = f->s->laid;
    Class class = f->s->slot[laid[r.begin]].class;
    if (class != CLASS_SUM && class != CLASS_ROW_SUM)
        return;
    for (int i = r.begin; i < r.end; i++)
        nest->sum |= schedule_summed_axes(f->g, laid[i]);
    sums_begin(f, nest);
}

/* All nodes of one nest: contractions first, each a nest; the last takes the sweeps. */
static void make_nest(Fuse *f, Procedure *proc, int stage_id, int group_id, Range all)
{
    const Schedule *s = f->s;
    Nest *nest = NULL;
    for (Range r = all, part; r.begin < r.end; r.begin = part.end) {
        part = first_part(s, r, same_sweep);
        bool sweep = s->slot[s->laid[r.begin]].sweep >= 0;
        for (int i = part.begin; !sweep && i < part.end; i++)
            if (schedule_is_contraction(f->g, s->laid[i])) {
                Contraction *c = make_contraction(f, s->laid[i], stage_id);
                nest = nest_add(f->p, &proc->stage[stage_id].group[group_id]);
                nest->contraction = c;
            }
        if (sweep && !nest)
            nest = nest_add(f->p, &proc->stage[stage_id].group[group_id]);
        if (sweep)
            sweep_make(f, nest, &s->laid[part.begin], part.end - part.begin, stage_id);
    }
    if (nest)
        finish_nest(f, nest, all);
}

static void make_group(Fuse *f, Procedure *proc, int stage_id, int group_id, Range r)
{
    const Schedule *s = f->s;
    proc->stage[stage_id].group[group_id].scan = s->slot[s->laid[r.begin]].sub & 1;
    for (Range part; r.begin < r.end; r.begin = part.end) {
        part = first_part(s, r, same_nest);
        make_nest(f, proc, stage_id, group_id, part);
    }
}

/* A concatenation has no code: where its parts are made it is complete. */
static void drop_empty_groups(Stage *s)
{
    int n = 0;
    for (int i = 0; i < s->n_group; i++)
        if (s->group[i].n_nest > 0 || s->kind != STAGE_TIME)
            s->group[n++] = s->group[i];
    s->n_group = n;
}

static void make_stage(Fuse *f, Procedure *proc, Range r)
{
    Class c = f->s->slot[f->s->laid[r.begin]].class;
    int id = proc->n_stage, n_group = 0;
    Stage *s = stage_add(f->p, proc, stage_kind(c));
    s->backward = c == CLASS_BACKWARD;
    for (Range part; r.begin < r.end; r.begin = part.end) {
        part = first_part(f->s, r, same_sub);
        s = &proc->stage[id];
        if (n_group++ > 0)
            *PUSH(f->p->arena, s->group, s->n_group, s->group_capacity) = (Group){0};
        make_group(f, proc, id, n_group - 1, part);
    }
    drop_empty_groups(&proc->stage[id]);
}

void stages_make(Fuse *f, Procedure *proc)
{
    Range r = {0, f->s->n_laid};
    for (Range part; r.begin < r.end; r.begin = part.end) {
        part = first_part(f->s, r, same_stage);
        make_stage(f, proc, part);
    }
}
