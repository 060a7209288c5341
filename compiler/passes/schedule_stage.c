/*
 * schedule_stage.c — stages: what may run between the same two barriers.
 *
 * A round is raised by one wherever a value passes from one class to another: the longest
 * such way. A stage is one class of one round; time nodes sink to the last stage that still
 * is in time for their users, so that they meet them in cache.
 */
#include "passes/schedule_room.h"

/* ---- rounds and stages ---- */

static void raise_round(NodeId need, bool previous_step, void *user)
{
    Walk *w = user;
    (void)previous_step;
    if (same_component(w->s, need, w->user))
        return;
    const Slot *slot = &w->s->slot[need];
    Class by = w->s->slot[w->user].class;
    int round = slot->round + (slot->class != by || by == CLASS_PRODUCT);
    w->value = round > w->value ? round : w->value;
}

static void find_rounds(Schedule *s)
{
    for (int i = 0, end; i < s->n_order; i = end) {
        Walk w = {.s = s};
        end = schedule_component_end(s, i);
        for (int j = i; j < end; j++) {
            w.user = s->order[j];
            schedule_visit_needs(s, w.user, raise_round, &w);
        }
        for (int j = i; j < end; j++)
            s->slot[s->order[j]].round = w.value;
    }
    for (int i = 0; i < s->n_order; i++) {
        Slot *slot = &s->slot[s->order[i]];
        if (slot->sum != NO_NODE)
            slot->round = s->slot[slot->sum].round;
    }
}

/* How many nodes there are of each class in each round. */
typedef struct {
    int *count;
    int n_round;
} Census;

static int *census_at(const Census *c, Class which, int round)
{
    return &c->count[(int64_t)which * c->n_round + round];
}

static Census take_census(Arena *arena, const Schedule *s)
{
    Census c = {.n_round = 1};
    for (int i = 0; i < s->n_order; i++)
        if (s->slot[s->order[i]].round >= c.n_round)
            c.n_round = s->slot[s->order[i]].round + 1;
    c.count = NEW_ARRAY(arena, int, (int64_t)CLASS_COUNT *c.n_round);
    for (int i = 0; i < s->n_order; i++)
        ++*census_at(&c, s->slot[s->order[i]].class, s->slot[s->order[i]].round);
    return c;
}

typedef struct {
    Schedule *s;
    NodeId user;
    int *latest; /* by component: the last round in which it may run */
} Sinking;

static void lower_latest(NodeId need, bool previous_step, void *user)
{
    Sinking *k = user;
    (void)previous_step;
    const Slot *of = &k->s->slot[need], *by = &k->s->slot[k->user];
    if (same_component(k->s, need, k->user))
        return;
    int latest = by->round - (of->class != by->class);
    int *l = &k->latest[k->s->stages->component[need]];
    *l = latest < *l ? latest : *l;
}

/* The component's nodes, in order from `begin` on, to a later round that has some of their
   class already. */
static void sink_component(Schedule *s, Census *c, int begin, int latest)
{
    const Slot *first = &s->slot[s->order[begin]];
    int from = first->round, to = latest < c->n_round ? latest : c->n_round - 1;
    while (to > from && !*census_at(c, first->class, to))
        to--;
    const int end = to > from ? schedule_component_end(s, begin) : begin;
    for (int j = begin; j < end; j++) {
        Slot *slot = &s->slot[s->order[j]];
        --*census_at(c, slot->class, from), ++*census_at(c, slot->class, to);
        slot->round = to;
    }
}

/* Users first: a time node, or a tensor, moves to the last round of its class that its
 * users allow. */
static void sink(Arena *arena, Schedule *s)
{
    Sinking k = {.s = s, .latest = NEW_ARRAY(arena, int, s->stages->n_component + 1)};
    Census census = take_census(arena, s);
    for (int i = 0; i < s->stages->n_component; i++)
        k.latest[i] = INT32_MAX;
    for (int i = s->n_order - 1; i >= 0; i--) {
        const Slot *slot = &s->slot[s->order[i]];
        int c = s->stages->component[s->order[i]];
        bool whole = i == 0 || s->stages->component[s->order[i - 1]] != c;
        bool sinks = is_time(slot->class) || slot->class == CLASS_TENSOR;
        if (!whole)
            continue;
        if (sinks && k.latest[c] != INT32_MAX)
            sink_component(s, &census, i, k.latest[c]);
        for (int j = i, end = schedule_component_end(s, i); j < end; j++) {
            k.user = s->order[j];
            schedule_visit_needs(s, k.user, lower_latest, &k);
        }
    }
}

/* Rounds in order, in each its classes. */
static void number_stages(Arena *arena, Schedule *s)
{
    Census c = take_census(arena, s);
    for (int round = 0; round < c.n_round; round++)
        for (Class which = CLASS_NONE + 1; which < CLASS_COUNT; which++) {
            int *at = census_at(&c, which, round);
            *at = *at ? s->n_stage++ : -1; /* now the stage's number */
        }
    for (int i = 0; i < s->n_order; i++) {
        Slot *slot = &s->slot[s->order[i]];
        if (slot->class != CLASS_NONE)
            slot->stage = *census_at(&c, slot->class, slot->round);
    }
}

void schedule_find_stages(Arena *arena, Schedule *s)
{
    find_rounds(s);
    sink(arena, s);
    number_stages(arena, s);
}
