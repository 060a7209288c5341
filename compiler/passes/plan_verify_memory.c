/*
 * plan_verify_memory.c — what threads and procedures rely on: barriers between what
 * touches the same memory, and no two values that live together sharing a byte.
 *
 * Both are told from the accesses and the barriers alone, not from the lives and the
 * rules that barrier.c and place.c go by.
 */
#include "passes/plan.h"

#include <stdlib.h>

/* ---- barriers ---- */

/* What was done to memory since the last barrier, by nests that are split by rows and by
   others; buffers that stand at one place count as the first of them. */
typedef struct {
    const Plan *p;
    const int *memory; /* by buffer: that first one */
    Touched rows, features, now;
} Since;

static int by_place(const void *a, const void *b)
{
    const Buffer *x = *(const Buffer *const *)a, *y = *(const Buffer *const *)b;
    if (x->home != y->home)
        return x->home < y->home ? -1 : 1;
    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x > y) - (x < y);
}

/* Blocks of the chunk are named by several buffers, one for each procedure. */
static int *find_memory(const Plan *p)
{
    int *memory = NEW_ARRAY(p->arena, int, p->n_buffer + 1);
    const Buffer **order = NEW_ARRAY(p->arena, const Buffer *, p->n_buffer + 1);
    for (int i = 0; i < p->n_buffer; i++)
        order[i] = &p->buffer[i];
    qsort(order, (size_t)p->n_buffer, sizeof *order, by_place);
    for (int i = 0; i < p->n_buffer; i++) {
        const Buffer *b = order[i], *a = i > 0 ? order[i - 1] : NULL;
        bool own = b->home == HOME_WORKSPACE || b->home == HOME_SCRATCH;
        bool same = a && !own && a->home == b->home && a->index == b->index &&
                    a->offset == b->offset;
        memory[b - p->buffer] = same ? memory[a - p->buffer] : (int)(b - p->buffer);
    }
    return memory;
}

static bool meet(uint8_t a, uint8_t b) { return a && b && ((a | b) & TOUCH_WRITE); }

static void verify_order(Since *s, const Stage *stage, const Nest *nest)
{
    bool rows = stage_by_rows(stage);
    touched_clear(&s->now);
    nest_touches(s->p, nest, &s->now);
    for (int i = 0; i < s->now.n; i++) {
        int id = s->now.buffer[i], at = s->memory[id];
        uint8_t how = s->now.how[id];
        const Buffer *b = &s->p->buffer[id];
        if (rows && how & TOUCH_WRITE && !(b->axes & AXIS_ROW))
            BUG("threads write %s together, each for its rows", b->name);
        if (meet(s->features.how[at], how) || (!rows && meet(s->rows.how[at], how)))
            BUG("no barrier between two nests that touch %s", b->name);
        touched_add(rows ? &s->rows : &s->features, at, how);
    }
}

static void forget(Since *s)
{
    touched_clear(&s->rows);
    touched_clear(&s->features);
}

static void verify_stage_order(Since *s, const Stage *stage)
{
    if (stage->barrier || stage->features)
        forget(s);
    if (stage->features)
        return;
    for (int g = 0; g < stage->n_group; g++)
        for (int i = 0; i < stage->group[g].n_nest; i++) {
            const Nest *nest = &stage->group[g].nest[i];
            if (nest->barrier && stage_by_rows(stage))
                BUG("a barrier among nests that are split by rows");
            if (nest->barrier)
                forget(s);
            verify_order(s, stage, nest);
        }
}

void plan_verify_barriers(const Plan *p)
{
    Since s = {.p = p, .memory = find_memory(p)};
    s.rows = touched_new(p), s.features = touched_new(p), s.now = touched_new(p);
    for (int id = 0; id < PROC_COUNT; id++) {
        forget(&s);
        for (int i = 0; i < p->proc[id].n_stage; i++) {
            const Stage *stage = &p->proc[id].stage[i];
            plan_verify_parts(p, i == 0, stage,
                              i + 1 < p->proc[id].n_stage ? stage + 1 : NULL);
            verify_stage_order(&s, stage);
        }
    }
}

/* ---- offsets ---- */

/* Bytes of the workspace, and when they are in use: from one barrier to another of the
   procedure; kept ones always. */
typedef struct {
    const Buffer *buffer;
    int first, last;
} Life;

static void live(Life *life, int buffer, int now)
{
    if (buffer < 0)
        return;
    life[buffer].first = now < life[buffer].first ? now : life[buffer].first;
    life[buffer].last = now > life[buffer].last ? now : life[buffer].last;
}

static void live_in_stage(const Plan *p, const Stage *s, Life *life, Touched *touched,
                          int now)
{
    touched_clear(touched);
    stage_touches(p, s, touched);
    for (int i = 0; i < touched->n; i++)
        live(life, touched->buffer[i], now);
}

static int by_offset(const void *a, const void *b)
{
    const Life *x = a, *y = b;
    return (x->buffer->offset > y->buffer->offset) -
           (x->buffer->offset < y->buffer->offset);
}

/* Of n lives in order of their offsets: those that begin before another ends in memory must
   not meet it in time. */
static void verify_apart(const Life *life, int n)
{
    for (int i = 0; i < n; i++) {
        const Buffer *a = life[i].buffer;
        for (int k = i + 1; k < n && life[k].buffer->offset < a->offset + a->bytes; k++)
            if (life[k].first <= life[i].last && life[i].first <= life[k].last)
                BUG("%s and %s share bytes", a->name, life[k].buffer->name);
    }
}

static void verify_procedure(const Plan *p, ProcId id, Life *life, Touched *touched)
{
    const Procedure *proc = &p->proc[id];
    int now = 0, n = 0;
    for (int i = 0; i < p->n_buffer; i++)
        life[i] = (Life){&p->buffer[i], INT32_MAX, -1};
    for (int i = 0; i < proc->n_stage; i++) {
        now += proc->stage[i].barrier;
        live_in_stage(p, &proc->stage[i], life, touched, now);
    }
    live(life, proc->loss.buffer, now + 1), live(life, proc->weight.buffer, now + 1);
    live(life, proc->gradient_norm.buffer, now + 1);
    for (int i = 0; i < proc->n_metric; i++)
        live(life, proc->metric[i].buffer, now + 1);
    for (int i = 0; i < proc->n_running; i++)
        live(life, proc->running[i].buffer, now + 1);
    for (int i = 0; i < p->n_buffer; i++) {
        if (p->buffer[i].persistent)
            life[i].first = 0, life[i].last = INT32_MAX;
        if (p->buffer[i].home == HOME_WORKSPACE && life[i].last >= 0)
            life[n++] = life[i];
    }
    qsort(life, (size_t)n, sizeof *life, by_offset);
    verify_apart(life, n);
}

static void verify_inside(const Plan *p, const Buffer *b)
{
    int64_t end = b->home == HOME_WORKSPACE ? p->workspace_bytes : p->scratch_bytes;
    bool own = b->home == HOME_WORKSPACE || b->home == HOME_SCRATCH;
    if (own && (b->offset < 0 || b->offset + b->bytes > end))
        BUG("%s ends at byte %lld of %lld", b->name, (long long)(b->offset + b->bytes),
            (long long)end);
}

/* Scratch is laid out once for each procedure and all of it lives. */
static void verify_scratch(const Plan *p, ProcId id, Life *life)
{
    int n = 0;
    for (int i = 0; i < p->n_buffer; i++)
        if (p->buffer[i].home == HOME_SCRATCH && p->buffer[i].proc == id)
            life[n++] = (Life){&p->buffer[i], 0, 0};
    qsort(life, (size_t)n, sizeof *life, by_offset);
    verify_apart(life, n);
}

void plan_verify_places(const Plan *p)
{
    Life *life = NEW_ARRAY(p->arena, Life, p->n_buffer + 1);
    Touched touched = touched_new(p);
    for (int i = 0; i < p->n_buffer; i++)
        verify_inside(p, &p->buffer[i]);
    for (int id = 0; id < PROC_COUNT; id++) {
        verify_procedure(p, (ProcId)id, life, &touched);
        verify_scratch(p, (ProcId)id, life);
    }
}
