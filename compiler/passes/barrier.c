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

static bool in_conflict(const Touched *a, const Touched *b)
{
    for (int i = 0; i < b->n; i++) {
        uint8_t x = a->how[b->buffer[i]], y = b->how[b->buffer[i]];
        if (x && (x | y) & TOUCH_WRITE)
            return true;
    }
    return false;
}

/* Nests of a stage split by features, in order: before is what those since the last barrier
   touch, now what the nest at hand does. */
static void set_nests(const Plan *p, Stage *s, Touched *before, Touched *now)
{
    touched_clear(before);
    for (int g = 0; g < s->n_group; g++)
        for (int i = 0; i < s->group[g].n_nest; i++) {
            Nest *nest = &s->group[g].nest[i];
            touched_clear(now);
            nest_touches(p, nest, now);
            nest->barrier = in_conflict(before, now);
            if (nest->barrier)
                touched_clear(before);
            nest_touches(p, nest, before);
        }
}

void barrier_pass(Plan *p)
{
    Touched before = touched_new(p), now = touched_new(p);
    for (int id = 0; id < PROC_COUNT; id++) {
        Procedure *proc = &p->proc[id];
        for (int i = 0; i < proc->n_stage; i++) {
            Stage *s = &proc->stage[i];
            s->barrier = i > 0 && !(stage_by_rows(s) && stage_by_rows(s - 1));
            if (!stage_by_rows(s))
                set_nests(p, s, &before, &now);
        }
    }
}
