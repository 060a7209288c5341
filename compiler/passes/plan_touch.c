/*
 * plan_touch.c — which buffers a nest reads and which it writes, and how often it runs.
 *
 * Scratch does not count: each thread has its own.
 */
#include "passes/plan.h"

int64_t element_bytes(const Plan *p, Element e)
{
    switch (e) {
    case ELEMENT_REAL: return (int64_t)rnn_dtype_bytes(p->graph->dtype);
    case ELEMENT_F64: return 8;
    case ELEMENT_I32: return 4;
    case ELEMENT_U8: return 1;
    }
    BUG("element %d", (int)e);
}

double plan_extent(const Plan *p, Axes axes)
{
    double n = 1;
    if (axes & AXIS_TIME)
        n *= (double)p->steps_max;
    if (axes & AXIS_ROW)
        n *= (double)p->rows_max;
    return n;
}

double plan_points(const Plan *p, const Stage *s, Axes summed)
{
    switch (s->kind) {
    case STAGE_ONCE: return 1;
    case STAGE_ROWS: return plan_extent(p, AXIS_ROW | summed);
    case STAGE_TIME: return plan_extent(p, AXES_ALL);
    case STAGE_SUM: return plan_extent(p, summed);
    }
    BUG("a stage of kind %d", s->kind);
}

Touched touched_new(const Plan *p)
{
    return (Touched){.how = NEW_ARRAY(p->arena, uint8_t, p->n_buffer + 1),
                     .buffer = NEW_ARRAY(p->arena, int, p->n_buffer + 1)};
}

void touched_add(Touched *t, int buffer, int how)
{
    if (!t->how[buffer])
        t->buffer[t->n++] = buffer;
    t->how[buffer] |= (uint8_t)how;
}

void touched_clear(Touched *t)
{
    while (t->n > 0)
        t->how[t->buffer[--t->n]] = 0;
}

static void touch(const Plan *p, Touched *t, int buffer, int how)
{
    if (buffer >= 0 && how && p->buffer[buffer].home != HOME_SCRATCH)
        touched_add(t, buffer, how);
}

int instr_touches(InstrKind kind)
{
    switch (kind) {
    case I_LOAD:
    case I_GATHER: return TOUCH_READ;
    case I_REDUCE:
    case I_STORE: return TOUCH_WRITE;
    case I_ACCUMULATE:
    case I_SCATTER:
    case I_ORTHOGONAL: return TOUCH_READ | TOUCH_WRITE;
    case I_CONSTANT:
    case I_IOTA:
    case I_RANDOM:
    case I_STEP:
    case I_EXTENT:
    case I_TRAINING:
    case I_MAP: return 0;
    }
    BUG("instruction %d", (int)kind);
}

static void touch_contraction(const Plan *p, Touched *touched, const Contraction *c)
{
    touch(p, touched, c->a.buffer, TOUCH_READ);
    touch(p, touched, c->packed >= 0 ? c->packed : c->b.buffer, TOUCH_READ);
    touch(p, touched, c->c.buffer, TOUCH_WRITE);
    if (c->has_init)
        touch(p, touched, c->init.buffer, TOUCH_READ);
}

void nest_touches(const Plan *p, const Nest *nest, Touched *touched)
{
    if (nest->contraction)
        touch_contraction(p, touched, nest->contraction);
    if (nest->pack >= 0) {
        touch(p, touched, nest->pack, TOUCH_WRITE);
        touch(p, touched, nest->pack_from.buffer, TOUCH_READ);
    }
    for (int s = 0; s < nest->n_sweep; s++)
        for (int i = 0; i < nest->sweep[s].n_instr; i++) {
            const Instr *instr = &nest->sweep[s].instr[i];
            touch(p, touched, instr->access.buffer, instr_touches(instr->kind));
        }
}

void stage_touches(const Plan *p, const Stage *s, Touched *t)
{
    for (int g = 0; g < s->n_group; g++)
        for (int i = 0; i < s->group[g].n_nest; i++)
            nest_touches(p, &s->group[g].nest[i], t);
}
