/*
 * plan_verify_memory.c — what threads and procedures rely on: barriers between what
 * touches the same memory, and no two values that live together sharing a byte.
 *
 * Both are told from the accesses and the barriers alone, not from the lives and the
 * rules that barrier.c and place.c go by.
 */
#include "passes/plan.h"

#include <stdlib.h>
#include <string.h>

/* ---- barriers ---- */

/* By buffer: what was done to its memory since the last barrier, by nests that are split by
   rows and by others. */
typedef struct {
    const Plan *p;
    const int *memory; /* by buffer: the first buffer that stands at the same place */
    uint8_t *rows, *features, *now;
} Since;

/* Blocks of the chunk are named by several buffers, one for each procedure. */
static int *find_memory(const Plan *p)
{
    int *memory = NEW_ARRAY(p->arena, int, p->n_buffer + 1);
    for (int i = 0; i < p->n_buffer; i++) {
        const Buffer *b = &p->buffer[i];
        bool own = b->home == HOME_WORKSPACE || b->home == HOME_SCRATCH;
        memory[i] = i;
        for (int k = 0; !own && k < i && memory[i] == i; k++)
            if (p->buffer[k].home == b->home && p->buffer[k].offset == b->offset &&
                p->buffer[k].index == b->index)
                memory[i] = memory[k];
    }
    return memory;
}

static bool meet(uint8_t a, uint8_t b) { return a && b && ((a | b) & TOUCH_WRITE); }

static void verify_order(Since *s, const Stage *stage, const Nest *nest)
{
    const Plan *p = s->p;
    bool rows = stage_by_rows(stage);
    memset(s->now, 0, (size_t)p->n_buffer);
    nest_touches(p, nest, s->now);
    for (int i = 0; i < p->n_buffer; i++) {
        int at = s->memory[i];
        if (!s->now[i])
            continue;
        if (rows && s->now[i] & TOUCH_WRITE && !(p->buffer[i].axes & AXIS_ROW))
            BUG("threads write %s together, each for its rows", p->buffer[i].name);
        if (meet(s->features[at], s->now[i]) || (!rows && meet(s->rows[at], s->now[i])))
            BUG("no barrier between two nests that touch %s", p->buffer[i].name);
        (rows ? s->rows : s->features)[at] |= s->now[i];
    }
}

static void forget(Since *s)
{
    memset(s->rows, 0, (size_t)s->p->n_buffer);
    memset(s->features, 0, (size_t)s->p->n_buffer);
}

static void verify_stage_order(Since *s, const Stage *stage)
{
    if (stage->barrier)
        forget(s);
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
    int n = p->n_buffer + 1;
    Since s = {.p = p, .memory = find_memory(p)};
    s.rows = NEW_ARRAY(p->arena, uint8_t, n);
    s.features = NEW_ARRAY(p->arena, uint8_t, n);
    s.now = NEW_ARRAY(p->arena, uint8_t, n);
    for (int id = 0; id < PROC_COUNT; id++) {
        forget(&s);
        for (int i = 0; i < p->proc[id].n_stage; i++)
            verify_stage_order(&s, &p->proc[id].stage[i]);
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

static void live_in_stage(const Plan *p, const Stage *s, Life *life, uint8_t *touched,
                          int now)
{
    memset(touched, 0, (size_t)p->n_buffer);
    for (int g = 0; g < s->n_group; g++)
        for (int i = 0; i < s->group[g].n_nest; i++)
            nest_touches(p, &s->group[g].nest[i], touched);
    for (int b = 0; b < p->n_buffer; b++)
        if (touched[b])
            live(life, b, now);
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

static void verify_procedure(const Plan *p, ProcId id, Life *life, uint8_t *touched)
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
    uint8_t *touched = NEW_ARRAY(p->arena, uint8_t, p->n_buffer + 1);
    for (int i = 0; i < p->n_buffer; i++)
        verify_inside(p, &p->buffer[i]);
    for (int id = 0; id < PROC_COUNT; id++) {
        verify_procedure(p, (ProcId)id, life, touched);
        verify_scratch(p, (ProcId)id, life);
    }
}
