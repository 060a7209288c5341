/*
 * barrier.c — where all threads wait for each other.
 *
 * Between two stages they do, unless both are split by rows: then a thread reads what it
 * has written itself. In a stage without axes nests run one after another without waiting
 * until one touches memory that a nest since the last barrier has written, or writes what
 * one has read: before that nest stands a barrier. In time by features, groups begin with
 * one; within a map and a scan one stands where a thread would meet what another one's part
 * of the steps, of the features, touches: see plan_parts.c. What the emitters add is the
 * barrier at the end of a procedure, so that everything is complete when it returns.
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

/* ---- stages by features ---- */

typedef bool Meet(const PartTouch *a, const PartTouch *b);

static bool any_meet(const PartTouches *a, const PartTouches *b, Meet *meet)
{
    for (int i = 0; i < a->n; i++)
        for (int k = 0; k < b->n; k++)
            if (meet(&a->touch[i], &b->touch[k]))
                return true;
    return false;
}

/* The group's nests at this step, since holding what was touched since the last barrier. */
static void set_parts(const Plan *p, Group *g, int64_t step, Meet *meet, PartTouches *since)
{
    for (int i = 0; i < g->n_nest; i++) {
        PartTouches now = {0};
        nest_part_touches(p, &g->nest[i], step, &now);
        g->nest[i].barrier |= any_meet(since, &now, meet);
        if (g->nest[i].barrier)
            since->n = 0;
        nest_part_touches(p, &g->nest[i], step, since);
    }
}

/* A scan goes round: nests meet those of the steps before, as far as a state reaches. */
static void set_groups(const Plan *p, Stage *s)
{
    enum { STEPS = 4 };
    for (int i = 0; i < s->n_group; i++) {
        Group *g = &s->group[i];
        PartTouches since = {0};
        g->barrier = i > 0 || s->block < p->steps_max;
        for (int step = 0; step < (g->scan ? STEPS : 1); step++)
            set_parts(p, g, s->backward ? -step : step, g->scan ? parts_meet : steps_meet,
                      &since);
    }
}

/* ---- the pass ---- */

void barrier_pass(Plan *p)
{
    Touched before = touched_new(p), now = touched_new(p);
    for (int id = 0; id < PROC_COUNT; id++) {
        Procedure *proc = &p->proc[id];
        for (int i = 0; i < proc->n_stage; i++) {
            Stage *s = &proc->stage[i];
            s->barrier = i > 0 && !(stage_by_rows(s) && stage_by_rows(s - 1));
            if (s->features)
                set_groups(p, s);
            else if (!stage_by_rows(s))
                set_nests(p, s, &before, &now);
        }
    }
}
