/*
 * plan_touch.c — which buffers a nest reads and which it writes.
 *
 * Scratch does not count: each thread has its own.
 */
#include "passes/plan.h"

static void touch(const Plan *p, uint8_t *touched, int buffer, int how)
{
    if (buffer >= 0 && p->buffer[buffer].home != HOME_SCRATCH)
        touched[buffer] |= (uint8_t)how;
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
    case I_EXTENT:
    case I_TRAINING:
    case I_MAP: return 0;
    }
    BUG("instruction %d", (int)kind);
}

static void touch_contraction(const Plan *p, uint8_t *touched, const Contraction *c)
{
    touch(p, touched, c->a.buffer, TOUCH_READ);
    touch(p, touched, c->packed >= 0 ? c->packed : c->b.buffer, TOUCH_READ);
    touch(p, touched, c->c.buffer, TOUCH_WRITE);
    if (c->has_init)
        touch(p, touched, c->init.buffer, TOUCH_READ);
}

void nest_touches(const Plan *p, const Nest *nest, uint8_t *touched)
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
            int how = instr_touches(instr->kind);
            if (how)
                touch(p, touched, instr->access.buffer, how);
        }
}
