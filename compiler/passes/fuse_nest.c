/*
 * fuse_nest.c — nests, groups and stages: what the schedule put together, in order.
 *
 * A nest is at most one contraction and the sweeps behind it. A contraction's second
 * operand is read from panels; those of parameters alone are made by `pack`, once for all
 * who read them, others by the procedure itself in a stage ahead of the one that reads
 * them.
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

static int find_packed(Fuse *f, const Contraction *c, const Access *from)
{
    Plan *p = f->p;
    for (int i = 0; i < p->proc[PROC_PACK].n_stage; i++) {
        const Stage *s = &p->proc[PROC_PACK].stage[i];
        for (int k = 0; k < s->group[0].n_nest; k++) {
            const Nest *n = &s->group[0].nest[k];
            const Buffer *b = n->pack >= 0 ? &p->buffer[n->pack] : NULL;
            const Access *o = &n->pack_from;
            if (b && p->buffer[o->buffer].home == p->buffer[from->buffer].home &&
                p->buffer[o->buffer].offset == p->buffer[from->buffer].offset &&
                (p->buffer[from->buffer].home != HOME_WORKSPACE ||
                 o->buffer == from->buffer) &&
                o->offset == from->offset &&
                memcmp(o->stride, from->stride, sizeof o->stride) == 0 &&
                b->pack_batch == c->n_batch && b->pack_n == c->n && b->pack_k == c->k)
                return n->pack;
        }
    }
    return -1;
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

/* Columns of a panel: those of a tile, or fewer, in whole vectors, when there are no more.
 */
static int panel_of(const Plan *p, int64_t n)
{
    int64_t most = (int64_t)p->target.vector * p->target.tile_vectors;
    int64_t all = round_up(n, p->target.vector);
    return (int)(all < most ? all : most);
}

/* A parameter may lie as its panel would: it is read where it stands, by the procedures
   that write none. */
static bool stands_as_panel(const Fuse *f, const Contraction *c)
{
    bool reads = f->id == PROC_GRAD || f->id == PROC_EVAL || f->id == PROC_STEP;
    const int64_t *stride = c->b.stride;
    return reads && f->p->buffer[c->b.buffer].home == HOME_PARAMS &&
           panel_of(f->p, c->n) == c->n && stride[1] == 1 && stride[2] == c->n &&
           (c->n_batch == 1 || stride[0] == c->n * c->k);
}

static int panel_in_place(Plan *p, const Contraction *c)
{
    const Buffer *weight = &p->buffer[c->b.buffer];
    Buffer b = {.name = weight->name,
                .home = HOME_PARAMS,
                .offset = weight->offset + c->b.offset,
                .panel = (int)c->n,
                .pack_batch = c->n_batch,
                .pack_n = c->n,
                .pack_k = c->k,
                .shape = {1, {c->n_batch * c->n * c->k}}};
    b.bytes = b.shape.dim[0] * element_bytes(p, b.element);
    return buffer_add(p, b);
}

/* Panels of a weight. Of parameters alone: made by `pack`, once for all who read them. Else
   by the procedure itself, in a stage ahead of the one that reads them. */
static int panels_of(Fuse *f, const Contraction *c, NodeId weight, Procedure *proc)
{
    Plan *p = f->p;
    NodeId base = view_base(f->g, weight);
    bool lasts = f->of_params[base] && !f->packing;
    int found = lasts ? find_packed(f, c, &c->b) : -1;
    if (found >= 0)
        return found;
    if (stands_as_panel(f, c))
        return panel_in_place(p, c);
    int panel = panel_of(p, c->n);
    Buffer b = {.name = arena_print(p->arena, "panels of %s%s", p->buffer[c->b.buffer].name,
                                    access_is_transposed(&c->b, c->n, c->k) ? "ᵀ" : ""),
                .home = HOME_WORKSPACE,
                .panel = panel,
                .pack_batch = c->n_batch,
                .pack_n = c->n,
                .pack_k = c->k,
                .persistent = lasts,
                .first_stage = INT32_MAX,
                .proc = f->id,
                .shape = {1, {c->n_batch * round_up(c->n, panel) * c->k}}};
    b.bytes = capped((double)b.shape.dim[0] * (double)element_bytes(p, b.element));
    int id = buffer_add(p, b);
    Procedure *maker = lasts ? &p->proc[PROC_PACK] : proc;
    Stage *stage = maker->n_stage > 0 ? &maker->stage[maker->n_stage - 1] : NULL;
    if (!stage || !(stage->kind == STAGE_ONCE && stage->group[0].n_nest > 0 &&
                    stage->group[0].nest[0].pack >= 0))
        stage = stage_add(p, maker, STAGE_ONCE);
    Nest *n = nest_add(p, &stage->group[0]);
    n->pack = id, n->pack_from = c->b;
    n->split = SPLIT_N;
    return id;
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

static Contraction *make_contraction(Fuse *f, NodeId id, int stage, Procedure *proc)
{
    const Node *n = &f->g->node[id];
    const Slot *slot = &f->s->slot[id];
    NodeId result = slot->fused != NO_NODE ? slot->fused : id;
    Contraction *c = NEW(f->p->arena, Contraction);
    c->n_batch = label_size(f, n, 'b'), c->m = label_size(f, n, 'm');
    c->n = label_size(f, n, 'n'), c->k = label_size(f, n, 'k');
    c->node = id;
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
    c->packed = slot->class == CLASS_SUM ? -1 : panels_of(f, c, n->arg[1], proc);
    if (c->packed >= 0)
        buffer_touch(f, c->packed, stage);
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
                Contraction *c = make_contraction(f, s->laid[i], stage_id, proc);
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

/* Weights that only this procedure packs are packed ahead of the stage: make_nest then adds
   a stage behind the one being filled, so the two change places at the end. */
static void order_packs(Fuse *f, Procedure *proc, int stage_id)
{
    if (proc->n_stage - 1 == stage_id)
        return;
    Stage time = proc->stage[stage_id];
    proc->stage[stage_id] = proc->stage[stage_id + 1];
    proc->stage[stage_id + 1] = time;
    /* what lived in the stage has moved with it */
    for (int i = 0; i < f->p->n_buffer; i++) {
        Buffer *b = &f->p->buffer[i];
        if (b->proc != f->id || b->persistent)
            continue;
        b->first_stage += b->first_stage == stage_id && b->panel == 0;
        b->last_stage += b->last_stage == stage_id;
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
    order_packs(f, proc, id);
}

void stages_make(Fuse *f, Procedure *proc)
{
    Range r = {0, f->s->n_laid};
    for (Range part; r.begin < r.end; r.begin = part.end) {
        part = first_part(f->s, r, same_stage);
        make_stage(f, proc, part);
    }
}
