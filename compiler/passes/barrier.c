/*
 * barrier.c — where all threads wait for each other.
 *
 * Between two stages they do, unless both are split by rows: then a thread reads what it
 * has written itself. In a stage without axes nests run one after another without waiting
 * until one touches memory that a nest since the last barrier has written, or writes what
 * one has read: before that nest stands a barrier. What the emitters add is the barrier at
 * the end of a procedure, so that everything is complete when it returns.
 */
#include "passes/fuse.h"

#include <string.h>

static bool in_conflict(const uint8_t *a, const uint8_t *b, int n)
{
    for (int i = 0; i < n; i++)
        if (a[i] && b[i] && ((a[i] | b[i]) & TOUCH_WRITE))
            return true;
    return false;
}

/* Nests of a stage split by features, in order: before, by buffer, is what those since the
   last barrier touch, now what the nest at hand does. */
static void set_nests(const Plan *p, Stage *s, uint8_t *before, uint8_t *now)
{
    size_t n = (size_t)p->n_buffer;
    memset(before, 0, n);
    for (int g = 0; g < s->n_group; g++)
        for (int i = 0; i < s->group[g].n_nest; i++) {
            Nest *nest = &s->group[g].nest[i];
            memset(now, 0, n);
            nest_touches(p, nest, now);
            nest->barrier = in_conflict(before, now, p->n_buffer);
            if (nest->barrier)
                memset(before, 0, n);
            for (int b = 0; b < p->n_buffer; b++)
                before[b] |= now[b];
        }
}

void barrier_pass(Plan *p)
{
    uint8_t *before = NEW_ARRAY(p->arena, uint8_t, p->n_buffer + 1);
    uint8_t *now = NEW_ARRAY(p->arena, uint8_t, p->n_buffer + 1);
    for (int id = 0; id < PROC_COUNT; id++) {
        Procedure *proc = &p->proc[id];
        for (int i = 0; i < proc->n_stage; i++) {
            Stage *s = &proc->stage[i];
            s->barrier = i > 0 && !(stage_by_rows(s) && stage_by_rows(s - 1));
            if (!stage_by_rows(s))
                set_nests(p, s, before, now);
        }
    }
}
