/*
 * explain.c — the chunk program in words, each sentence read off the plan.
 *
 * For every nest: the product, the operations that run on its rows while they are in
 * cache, and what is stored. A value that is stored was not handed on in a register, so
 * beside it stands why: who reads it, found by going through all accesses of the
 * procedure, and what lies between — another step, another group or stage, a product or a
 * reduction that needs the whole row first.
 */
#include <inttypes.h>
#include <string.h>

#include "report.h"

/* Where in a procedure an access stands, in the order of execution. */
typedef struct {
    int stage, group, nest;
    int sweep; /* -1: the product */
    bool write, reduces;
    NodeId node; /* that it was made for; NO_NODE: no line of the spec asks for it */
    const Access *access;
} Touch;

typedef struct {
    const Plan *p;
    const Procedure *proc;
    FILE *out;
    int n_touch, touch_capacity;
    Touch *touch;
} Explain;

/* ---- all accesses of a procedure ---- */

static void add_touch(Explain *e, Touch at, const Access *a, bool write)
{
    if (a->buffer < 0)
        return;
    at.access = a, at.write = write;
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

static const char *const far_words[] = {
    [FAR_NOWHERE] = "nothing else in this procedure reads it",
    [FAR_ORDER] = "a loop behind reads it in another order, or a part of it",
    [FAR_AGAIN] =
        "read again behind a reduction, which needs all features of the row first",
    [FAR_REDUCED] = "a reduction, known when all features of the row are read",
    [FAR_EPILOGUE] = "the operations on its rows take it from cache",
    [FAR_NEST] = "not fused: another nest reads it",
    [FAR_OPERAND] =
        "not fused: it stands before a product, which needs the whole row first",
    [FAR_SCAN] = "not fused: its reader goes step by step, this does not",
    [FAR_MAP] = "not fused: its reader takes all steps of a block at once, this does not",
    [FAR_GROUP] = "not fused: another recurrence reads it",
    [FAR_STAGE] = "not fused: another stage reads it",
    [FAR_SUM] = "not fused: a sum over steps and rows reads it",
    [FAR_BACKWARD] = "kept: the backward pass reads it",
};

static const Stage *stage_of(const Explain *e, const Touch *t)
{
    return &e->proc->stage[t->stage];
}

static bool reduction_between(const Explain *e, const Touch *from, const Touch *to)
{
    for (int i = 0; i < e->n_touch; i++) {
        const Touch *t = &e->touch[i];
        if (t->reduces && t->stage == from->stage && t->group == from->group &&
            t->nest == from->nest && t->sweep >= from->sweep && t->sweep < to->sweep)
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
    if (to->write || to->access->buffer != from->access->buffer || to->stage < from->stage)
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
    for (int i = 0; i < e->n_touch; i++) {
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

static const char *why_stored(const Explain *e, const Touch *t)
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

/* ---- stores of a nest, by reason ---- */

static const char *place_print(const Plan *p, const Access *a)
{
    const char *name = p->buffer[a->buffer].name;
    switch (a->when) {
    case AT_FIRST: return arena_print(p->arena, "%s(0)", name);
    case AT_END: return arena_print(p->arena, "%s(T)", name);
    case AT_SAVE: return arena_print(p->arena, "%s(save_at)", name);
    case AT_STEP: break;
    }
    return a->shift ? arena_print(p->arena, "%s(t%+d)", name, a->shift) : name;
}

enum { MAX_STORE = 128 };

typedef struct {
    int n;
    const char *name[MAX_STORE], *why[MAX_STORE];
} Stores;

static void add_store(Stores *s, const char *name, const char *why)
{
    for (int i = 0; i < s->n; i++)
        if (str_eq(s->name[i], name))
            return;
    if (s->n < MAX_STORE)
        s->name[s->n] = name, s->why[s->n++] = why;
}

/* A product's result that only its own nest reads is no news. */
static void find_stores(const Explain *e, const Touch *at, Stores *s)
{
    for (int i = 0; i < e->n_touch; i++) {
        const Touch *t = &e->touch[i];
        if (!t->write || t->stage != at->stage || t->group != at->group ||
            t->nest != at->nest)
            continue;
        const char *why = why_stored(e, t);
        if (t->sweep >= 0 || why != far_words[FAR_EPILOGUE])
            add_store(s, place_print(e->p, t->access), why);
    }
}

static void print_stores(const Explain *e, const Stores *s)
{
    bool told[MAX_STORE] = {false};
    for (int i = 0; i < s->n; i++) {
        if (told[i])
            continue;
        fprintf(e->out, "        stores   %s", s->name[i]);
        for (int k = i + 1; k < s->n; k++)
            if (s->why[k] == s->why[i]) {
                fprintf(e->out, ", %s", s->name[k]);
                told[k] = true;
            }
        fprintf(e->out, "\n                 — %s\n", s->why[i]);
    }
}

/* ---- operations of a nest ---- */

typedef struct {
    int op[OP_COUNT];
    int n_op, in_register;
} Operations;

static bool passes_on(const Sweep *s, int instr)
{
    for (int i = instr + 1; i < s->n_instr; i++)
        for (int k = 0; k < s->instr[i].n_arg; k++)
            if (s->instr[i].arg[k] == instr && s->instr[i].kind != I_STORE)
                return true;
    return false;
}

static void count_operations(const Sweep *s, Operations *o)
{
    for (int i = 0; i < s->n_instr; i++) {
        const Instr *in = &s->instr[i];
        bool gathers = in->kind == I_GATHER, maps = in->kind == I_MAP;
        OpCode op = maps || in->kind == I_REDUCE ? in->op
                    : gathers                    ? OP_GATHER
                    : in->kind == I_ACCUMULATE   ? OP_TOTAL
                    : in->kind == I_SCATTER      ? OP_SCATTER
                    : in->kind == I_ORTHOGONAL   ? OP_ORTHOGONAL
                                                 : OP_COUNT;
        if (op == OP_COUNT)
            continue;
        o->op[op]++, o->n_op++;
        o->in_register += (maps || gathers) && passes_on(s, i);
    }
}

/* That sums begin at zero goes without saying. */
static const char *loops_print(Arena *arena, const Nest *n)
{
    Text t = {.arena = arena};
    int first = nest_point_sweeps(n).first;
    for (int i = first; i < n->n_sweep; i++) {
        const Sweep *s = &n->sweep[i];
        text_add(&t, "%s[", i > first ? " then " : "");
        for (int d = 0; d < s->rank; d++)
            text_add(&t, "%s%" PRId64, d ? ", " : "", s->extent[d]);
        text_add(&t, "]");
    }
    return t.text;
}

static void print_operations(const Explain *e, const Nest *n)
{
    Operations o = {.n_op = 0};
    for (int i = 0; i < n->n_sweep; i++)
        count_operations(&n->sweep[i], &o);
    if (n->n_sweep == 0)
        return;
    if (n->contraction)
        fprintf(e->out, "        fused    onto its rows while they are in cache: ");
    else
        fprintf(e->out, "      loop       ");
    fprintf(e->out, "over %s", loops_print(e->p->arena, n));
    const char *separator = ": ";
    for (int op = 0; op < OP_COUNT; op++) {
        if (!o.op[op])
            continue;
        fprintf(e->out, "%s%d %s", separator, o.op[op], op_defs[op]->name);
        separator = ", ";
    }
    if (o.in_register)
        fprintf(e->out, "; %d value%s pass%s in registers", o.in_register,
                o.in_register == 1 ? "" : "s", o.in_register == 1 ? "es" : "");
    fprintf(e->out, "%s\n", o.n_op ? "" : ": copied");
}

/* ---- a nest ---- */

static void print_product(const Explain *e, const Stage *s, const Group *group,
                          const Nest *n)
{
    const Plan *p = e->p;
    const Contraction *c = n->contraction;
    bool sum = s->kind == STAGE_SUM;
    fprintf(e->out, "      product    %s = %s%s · %s", place_print(p, &c->c),
            sum ? "Σ " : "", place_print(p, &c->a), place_print(p, &c->b));
    if (c->has_init)
        fprintf(e->out, ", starting from %s", place_print(p, &c->init));
    fprintf(e->out, "\n        shape    ");
    if (c->n_batch > 1)
        fprintf(e->out, "%" PRId64 " of ", c->n_batch);
    if (sum || c->m > 1)
        fprintf(e->out, "[%" PRId64 ", %" PRId64 "]", c->m, c->n);
    else
        fprintf(e->out, "[%" PRId64 "] → [%" PRId64 "]", c->k, c->n);
    if (!sum && c->m > 1)
        fprintf(e->out, ", each over %" PRId64, c->k);
    if (s->kind == STAGE_TIME && group->scan)
        fprintf(e->out, " for %" PRId64 " rows, %" PRId64 " times", p->rows_max,
                p->steps_max);
    else if (s->kind != STAGE_ONCE)
        fprintf(e->out, " %s %.0f points", sum ? "over" : "for", cost_points(p, s, n));
    fprintf(e->out, "\n");
}

static void print_cost(const Explain *e, const char *label, Cost c)
{
    Arena *arena = e->p->arena;
    fprintf(e->out, "%s", label);
    if (c.product > 0)
        fprintf(e->out, "%s operations of products, ", count_print(arena, c.product));
    if (c.elementwise > 0)
        fprintf(e->out, "%s elementwise, ", count_print(arena, c.elementwise));
    fprintf(e->out, "%s read, %s written\n", bytes_print(arena, c.read_bytes),
            bytes_print(arena, c.written_bytes));
}

static void print_nest(const Explain *e, Touch at)
{
    const Stage *s = &e->proc->stage[at.stage];
    const Group *group = &s->group[at.group];
    const Nest *n = &group->nest[at.nest];
    Stores stores = {.n = 0};
    if (n->pack >= 0) {
        const Buffer *b = &e->p->buffer[n->pack];
        fprintf(e->out, "      pack       %s: [%" PRId64 ", %" PRId64 "], %s\n", b->name,
                b->pack_n, b->pack_k, bytes_print(e->p->arena, (double)b->bytes));
        return;
    }
    if (n->contraction)
        print_product(e, s, group, n);
    print_operations(e, n);
    find_stores(e, &at, &stores);
    print_stores(e, &stores);
    print_cost(e, "        work     ", cost_of_nest(e->p, s, group, n, ANY_PHASE));
}

/* ---- a stage ---- */

/* What passes between the groups of a time stage at each step: fuse sizes blocks by it. */
static int64_t block_bytes(const Explain *e, int stage)
{
    int64_t bytes = 0;
    for (int i = 0; i < e->p->n_buffer; i++) {
        const Buffer *b = &e->p->buffer[i];
        if (b->home == HOME_WORKSPACE && b->span == SPAN_BLOCK && b->axes & AXIS_TIME &&
            &e->p->proc[b->proc] == e->proc && b->first_stage == stage)
            bytes += b->slot_stride * element_bytes(e->p, b->element);
    }
    return bytes;
}

static const char *why_block(const Plan *p, const Stage *s, int64_t bytes)
{
    if (bytes == 0)
        return "nothing passes from group to group within a block";
    if (s->block >= p->steps_max)
        return "the whole chunk: what passes from group to group fits";
    if (s->block * bytes <= p->target.l2_bytes / 2)
        return "as many as fit";
    return "the fewest there are, although they do not fit";
}

static void print_block(const Explain *e, int stage)
{
    const Plan *p = e->p;
    const Stage *s = &e->proc->stage[stage];
    int64_t bytes = block_bytes(e, stage);
    fprintf(e->out, "     blocks of %" PRId64 " step%s: %s\n", s->block,
            s->block == 1 ? "" : "s", why_block(p, s, bytes));
    if (bytes > 0)
        fprintf(e->out, "     (%s a step; %s is half of a second-level cache)\n",
                bytes_print(p->arena, (double)bytes),
                bytes_print(p->arena, (double)(p->target.l2_bytes / 2)));
}

static const char *stage_words(const Stage *s)
{
    switch (s->kind) {
    case STAGE_ONCE: return "once a chunk, nests dealt out to threads or split by features";
    case STAGE_ROWS: return "once for each row, rows split over threads";
    case STAGE_TIME:
        return s->backward ? "backward in time, rows split over threads"
                           : "forward in time, rows split over threads";
    case STAGE_SUM:
        return "sums over steps and rows, split by features: each element is one chain in "
               "order,\n"
               "     the same for any number of threads";
    }
    BUG("a stage of kind %d", s->kind);
}

static void explain_stage(const Explain *e, int stage)
{
    const Stage *s = &e->proc->stage[stage];
    fprintf(e->out, "\n  %d. %s\n", stage + 1, stage_words(s));
    if (s->barrier)
        fprintf(e->out, "     all threads wait for each other before it\n");
    if (s->kind == STAGE_TIME)
        print_block(e, stage);
    for (int g = 0; g < s->n_group; g++) {
        if (s->kind == STAGE_TIME)
            fprintf(e->out, "    %s\n",
                    s->group[g].scan ? "step by step, since each step needs "
                                       "the one before it:"
                                     : "all steps of a block at once:");
        for (int n = 0; n < s->group[g].n_nest; n++) {
            if (s->group[g].nest[n].barrier)
                fprintf(e->out, "     all threads wait for each other\n");
            print_nest(e, (Touch){.stage = stage, .group = g, .nest = n});
        }
    }
}

/* ---- what is kept ---- */

static bool is_kept(const Explain *e, int buffer)
{
    bool forward = false, backward = false;
    for (int i = 0; i < e->n_touch; i++) {
        const Stage *s = stage_of(e, &e->touch[i]);
        if (e->touch[i].access->buffer != buffer)
            continue;
        bool time = s->kind == STAGE_TIME;
        forward = forward || (e->touch[i].write && time && !s->backward);
        backward = backward || (!e->touch[i].write && time && s->backward) ||
                   (!e->touch[i].write && s->kind == STAGE_SUM);
    }
    const Buffer *b = &e->p->buffer[buffer];
    return forward && backward && b->span == SPAN_CHUNK && b->home == HOME_WORKSPACE;
}

static void print_kept(const Explain *e)
{
    const Plan *p = e->p;
    double sum = 0, elements = 0;
    fprintf(e->out,
            "\nkept of all steps, from the forward pass for the backward pass and the "
            "sums\n");
    for (int i = 0; i < p->n_buffer; i++) {
        const Buffer *b = &p->buffer[i];
        if (!is_kept(e, i))
            continue;
        fprintf(e->out, "  %-28s %14s\n", b->name, bytes_print(p->arena, (double)b->bytes));
        sum += (double)b->bytes, elements += (double)shape_size(&b->shape);
    }
    fprintf(e->out, "  %-28s %14s, %.0f numbers for each step of a row\n", "in all",
            bytes_print(p->arena, sum), elements);
}

/* ---- procedures ---- */

static Explain open_procedure(const Plan *p, ProcId id, FILE *out)
{
    Explain e = {.p = p, .proc = &p->proc[id], .out = out};
    touch_all(&e);
    return e;
}

static Explain explain_procedure(const Plan *p, ProcId id, const char *title, FILE *out)
{
    Explain e = open_procedure(p, id, out);
    fprintf(out, "\n%s\n", title);
    for (int i = 0; i < e.proc->n_stage; i++)
        explain_stage(&e, i);
    print_cost(&e, "\n  in all: ", cost_of_procedure(p, id, ANY_PHASE));
    return e;
}

static void print_others(const Plan *p, FILE *out)
{
    static const struct {
        ProcId id;
        const char *text;
    } other[] = {
        {PROC_EVAL, "eval    forward, loss and metrics, nothing kept"},
        {PROC_STEP, "step    forward alone"},
        {PROC_PACK, "pack    panels of weights and values of parameters alone, made anew"},
        {PROC_INIT, "init    first values of parameters and optimizer"},
    };
    fprintf(
        out,
        "\nthe other procedures, made in the same way (--after place shows all, with their "
        "equations)\n");
    for (int i = 0; i < COUNT(other); i++) {
        Explain e = {.p = p, .proc = &p->proc[other[i].id], .out = out};
        fprintf(out, "  %s; stages: %d\n", other[i].text, e.proc->n_stage);
        print_cost(&e, "          ", cost_of_procedure(p, other[i].id, ANY_PHASE));
    }
}

void explain_plan(const Plan *p, FILE *out)
{
    bool trains = p->graph->loss != NO_NODE;
    fprintf(out, "%s on %s: a chunk of at most %" PRId64 " steps of %" PRId64 " rows.\n",
            p->graph->name, p->target.name, p->steps_max, p->rows_max);
    if (!p->fuse)
        fprintf(out,
                "Fusing is off: every operation is a nest of its own, through memory.\n");
    if (trains) {
        Explain e = explain_procedure(p, PROC_GRAD,
                                      "grad: forward, loss, backward, gradients", out);
        print_kept(&e);
        explain_procedure(p, PROC_UPDATE,
                          "update: parameters from gradients, then what is made "
                          "of parameters alone",
                          out);
    } else {
        explain_procedure(p, PROC_STEP, "step: forward alone; there is no loss to train by",
                          out);
    }
    print_others(p, out);
}

/* ---- notes on performance ---- */

typedef struct {
    Loc loc;
    const char *text;
} Note;

typedef struct {
    const Explain *e;
    Diag *d;
    int n, capacity;
    Note *note; /* said already: a cell called twice is one line of the spec */
} Notes;

static void say(Notes *s, NodeId node, const char *text)
{
    Loc loc = node != NO_NODE ? s->e->p->graph->node[node].loc : (Loc){.source = NULL};
    for (int i = 0; i < s->n; i++)
        if (s->note[i].loc.source == loc.source && s->note[i].loc.line == loc.line &&
            s->note[i].loc.column == loc.column && str_eq(s->note[i].text, text))
            return;
    *PUSH(s->e->p->arena, s->note, s->n, s->capacity) = (Note){loc, text};
    diag_note(s->d, loc, "performance: %s", text);
    diag_flush(s->d);
}

/* A value through memory that a register or the nest's own rows might have held. One number
   for the whole chunk costs nothing. */
static void note_store(Notes *s, const Touch *t)
{
    static const char refused[] = "not fused: ";
    const Plan *p = s->e->p;
    const Buffer *b = &p->buffer[t->access->buffer];
    bool number = b->axes == 0 && shape_size(&b->shape) == 1;
    const char *why = t->write && t->node != NO_NODE && !number ? why_stored(s->e, t) : "";
    if (strncmp(why, refused, sizeof refused - 1) == 0)
        say(s, t->node,
            arena_print(p->arena, "%s goes through memory: %s", b->name,
                        why + sizeof refused - 1));
}

static void note_vectors(Notes *s, const Sweep *w)
{
    const Plan *p = s->e->p;
    NodeId node = w->n_instr > 0 ? w->instr[w->n_instr - 1].node : NO_NODE;
    if (w->rank > 0 && w->extent[w->rank - 1] < p->target.vector && node != NO_NODE)
        say(s, node,
            arena_print(p->arena,
                        "a loop over %" PRId64 " features does not fill a vector of %d",
                        w->extent[w->rank - 1], p->target.vector));
}

static void note_pack(Notes *s, const Nest *n)
{
    const Plan *p = s->e->p;
    if (n->pack >= 0 && !p->buffer[n->pack].persistent)
        say(s, NO_NODE,
            arena_print(p->arena,
                        "%s are made anew in every chunk: the matrix is not of parameters "
                        "alone",
                        p->buffer[n->pack].name));
}

static void note_stage(Notes *s, int stage)
{
    const Plan *p = s->e->p;
    const Stage *of = &s->e->proc->stage[stage];
    int64_t bytes = of->kind == STAGE_TIME ? block_bytes(s->e, stage) : 0;
    if (of->block * bytes > p->target.l2_bytes / 2)
        say(s, NO_NODE,
            arena_print(
                p->arena,
                "stage %d: even a block of %" PRId64 " steps passes %s between maps "
                "and scans, more than half of a second-level cache",
                stage + 1, of->block, bytes_print(p->arena, (double)(of->block * bytes))));
    for (int g = 0; g < of->n_group; g++)
        for (int n = 0; n < of->group[g].n_nest; n++) {
            const Nest *nest = &of->group[g].nest[n];
            note_pack(s, nest);
            for (int w = 0; w < nest->n_sweep; w++)
                note_vectors(s, &nest->sweep[w]);
        }
}

static void note_procedure(const Plan *p, ProcId id, Diag *d)
{
    Explain e = open_procedure(p, id, stderr);
    Notes s = {.e = &e, .d = d};
    for (int i = 0; i < e.n_touch; i++)
        note_store(&s, &e.touch[i]);
    for (int i = 0; i < e.proc->n_stage; i++)
        note_stage(&s, i);
    if (p->threads_max == 1 && id != PROC_UPDATE)
        say(&s, NO_NODE,
            p->rows_max == 1
                ? "one thread: threads share rows, and there is one"
                : "one thread: a chunk is less work than a second one costs at barriers");
}

void explain_notes(const Plan *p, Diag *d)
{
    bool trains = p->graph->loss != NO_NODE;
    note_procedure(p, trains ? PROC_GRAD : PROC_STEP, d);
    if (trains)
        note_procedure(p, PROC_UPDATE, d);
}
