/*
 * explain_stored.c — why a value is stored, read off the plan.
 *
 * A value that is stored was not handed on in a register. Who reads it is found by going
 * through all accesses of its buffer, and what lies between tells why: another step,
 * another group or stage, a product or a reduction that needs the whole row first.
 */
#include "explain_room.h"

/* ---- all accesses of a procedure ---- */

static void add_touch(Explain *e, Touch at, const Access *a, bool write)
{
    if (a->buffer < 0)
        return;
    at.access = a, at.write = write;
    at.next = e->first_touch[a->buffer];
    e->first_touch[a->buffer] = e->n_touch;
    *PUSH(e->p->arena, e->touch, e->n_touch, e->touch_capacity) = at;
}

static void touch_nest(Explain *e, const Nest *n, Touch at)
{
    const Contraction *c = n->contraction;
    at.sweep = -1;
    at.node = c ? c->node : NO_NODE;
    if (n->pack >= 0)
        add_touch(e, at, &n->pack_from, false);
    if (c) {
        add_touch(e, at, &c->a, false), add_touch(e, at, &c->b, false);
        if (c->has_init)
            add_touch(e, at, &c->init, false);
        add_touch(e, at, &c->c, true);
    }
    for (int i = 0; i < n->n_sweep; i++)
        for (int k = 0; k < n->sweep[i].n_instr; k++) {
            const Instr *in = &n->sweep[i].instr[k];
            at.sweep = i, at.reduces = in->kind == I_REDUCE, at.node = in->node;
            add_touch(e, at, &in->access, instr_writes(in));
        }
}

static void touch_all(Explain *e)
{
    for (int s = 0; s < e->proc->n_stage; s++)
        for (int g = 0; g < e->proc->stage[s].n_group; g++)
            for (int n = 0; n < e->proc->stage[s].group[g].n_nest; n++)
                touch_nest(e, &e->proc->stage[s].group[g].nest[n],
                           (Touch){.stage = s, .group = g, .nest = n});
}

Explain explain_open(const Plan *p, ProcId id, FILE *out)
{
    Explain e = {.p = p, .proc = &p->proc[id], .out = out};
    e.first_touch = NEW_ARRAY(p->arena, int, p->n_buffer + 1);
    for (int i = 0; i < p->n_buffer; i++)
        e.first_touch[i] = -1;
    touch_all(&e);
    return e;
}

/* ---- why a value is stored ---- */

static const char *const home_words[] = {
    [HOME_PARAMS] = "the parameter itself",
    [HOME_GRADS] = "the gradient",
    [HOME_OPTIMIZER] = "the optimizer's state",
    [HOME_OPTIMIZER_SCALARS] = "the optimizer's state",
    [HOME_STATE_OUT] = "the state that the next chunk starts from",
    [HOME_STATE_SAVED] = "the state that the next window starts from",
    [HOME_OUTPUTS] = "the model's output",
};

/* How far away a reader is, the farthest last. */
typedef enum {
    FAR_NOWHERE,
    FAR_ORDER,
    FAR_AGAIN,
    FAR_REDUCED,
    FAR_EPILOGUE,
    FAR_NEST,
    FAR_OPERAND,
    FAR_SCAN,
    FAR_MAP,
    FAR_GROUP,
    FAR_STAGE,
    FAR_SUM,
    FAR_BACKWARD
} Far;

#define REFUSED "not fused: "
const char explain_refused[] = REFUSED;

static const char *const far_words[] = {
    [FAR_NOWHERE] = "nothing else in this procedure reads it",
    [FAR_ORDER] = "a loop behind reads it in another order, or a part of it",
    [FAR_AGAIN] =
        "read again behind a reduction, which needs all features of the row first",
    [FAR_REDUCED] = "a reduction, known when all features of the row are read",
    [FAR_EPILOGUE] = "the operations on its rows take it from cache",
    [FAR_NEST] = REFUSED "another nest reads it",
    [FAR_OPERAND] = REFUSED "it stands before a product, which needs the whole row first",
    [FAR_SCAN] = REFUSED "its reader goes step by step, this does not",
    [FAR_MAP] = REFUSED "its reader takes all steps of a block at once, this does not",
    [FAR_GROUP] = REFUSED "another recurrence reads it",
    [FAR_STAGE] = REFUSED "another stage reads it",
    [FAR_SUM] = REFUSED "a sum over steps and rows reads it",
    [FAR_BACKWARD] = "kept: the backward pass reads it",
};

/* Touches of a nest stand together, in order. */
static bool reduction_between(const Explain *e, const Touch *from, const Touch *to)
{
    const Touch *end = e->touch + e->n_touch;
    for (const Touch *t = from; t < end && t->sweep < to->sweep; t++) {
        if (t->stage != from->stage || t->group != from->group || t->nest != from->nest)
            return false;
        if (t->reduces)
            return true;
    }
    return false;
}

static Far far_in_nest(const Explain *e, const Touch *from, const Touch *to)
{
    if (to->sweep <= from->sweep)
        return FAR_NOWHERE; /* what stood there before */
    if (from->sweep < 0)
        return FAR_EPILOGUE;
    if (from->reduces)
        return FAR_REDUCED;
    return reduction_between(e, from, to) ? FAR_AGAIN : FAR_ORDER;
}

static Far far_in_stage(const Explain *e, const Touch *from, const Touch *to)
{
    const Stage *s = stage_of(e, from);
    if (from->group != to->group && s->group[to->group].scan != s->group[from->group].scan)
        return s->group[to->group].scan ? FAR_SCAN : FAR_MAP;
    if (from->group != to->group)
        return FAR_GROUP;
    if (from->nest == to->nest)
        return far_in_nest(e, from, to);
    return to->sweep < 0 ? FAR_OPERAND : FAR_NEST;
}

static Far how_far(const Explain *e, const Touch *from, const Touch *to)
{
    const Stage *a = stage_of(e, from), *b = stage_of(e, to);
    if (to->write || to->stage < from->stage)
        return FAR_NOWHERE;
    if (from->stage == to->stage)
        return far_in_stage(e, from, to);
    if (b->kind == STAGE_TIME && b->backward && a->kind == STAGE_TIME && !a->backward)
        return FAR_BACKWARD;
    return b->kind == STAGE_SUM ? FAR_SUM : FAR_STAGE;
}

static Far farthest(const Explain *e, const Touch *from)
{
    Far far = FAR_NOWHERE;
    for (int i = e->first_touch[from->access->buffer]; i >= 0; i = e->touch[i].next) {
        Far f = how_far(e, from, &e->touch[i]);
        far = f > far ? f : far;
    }
    return far;
}

static bool is_state(const Plan *p, const Buffer *b)
{
    return b->home == HOME_WORKSPACE && b->axes & AXIS_TIME && b->n_slot > p->steps_max;
}

static bool is_reported(const Procedure *proc, int buffer)
{
    bool metric = false;
    for (int i = 0; i < proc->n_metric; i++)
        metric = metric || proc->metric[i].buffer == buffer;
    return metric || proc->loss.buffer == buffer || proc->weight.buffer == buffer ||
           proc->gradient_norm.buffer == buffer;
}

const char *explain_why_stored(const Explain *e, const Touch *t)
{
    const Buffer *b = &e->p->buffer[t->access->buffer];
    Far far = farthest(e, t);
    if (home_words[b->home])
        return home_words[b->home];
    if (is_state(e->p, b) && t->access->when != AT_STEP)
        return "states as the first step finds them, in the stage's direction of time";
    if (is_state(e->p, b) && stage_of(e, t)->backward)
        return "the cotangent of a state: the step before in time reads it";
    if (is_state(e->p, b))
        return far == FAR_BACKWARD ? "a state: the next step and the backward pass read it"
                                   : "a state: the next step reads it";
    if (b->persistent)
        return "of parameters alone: kept until they change";
    if (is_reported(e->proc, t->access->buffer))
        return "reported to the runtime";
    return far_words[far];
}

bool explain_is_epilogue(const char *why) { return why == far_words[FAR_EPILOGUE]; }
