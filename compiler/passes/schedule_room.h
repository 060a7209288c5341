/*
 * schedule_room.h — what the files of the schedule share; nobody else includes it.
 *
 *     schedule.c        which nodes a procedure needs, in which order, who uses whom
 *     schedule_stage.c  stages
 *     schedule_group.c  groups of a time stage: maps and scans
 *     schedule_large.c  which maps a scan computes because of what they read or make
 *     schedule_nest.c   nests
 *     schedule_sweep.c  sweeps, and all of it in one line
 *     schedule_sums.c   what sums over points compute on their way, and share
 */
#ifndef RNNC_SCHEDULE_ROOM_H
#define RNNC_SCHEDULE_ROOM_H

#include "passes/rewrite.h"
#include "passes/schedule.h"

/* ---- schedule.c ---- */

/* previous_step: through a state, so it must be complete for the steps before. */
typedef void NeedVisitor(NodeId need, bool previous_step, void *user);
/* What a node waits for: computed nodes behind views and state leaves. */
void schedule_visit_needs(const Schedule *s, NodeId id, NeedVisitor *visit, void *user);
/* One component after the other: [begin, end) in order. */
int schedule_component_end(const Schedule *s, int begin);

/* A visit of what `user` needs, towards the largest of some number. */
typedef struct {
    const Schedule *s;
    NodeId user;
    int value;
} Walk;

static inline bool same_component(const Schedule *s, NodeId a, NodeId b)
{
    return s->stages->component[a] == s->stages->component[b];
}

static inline bool same_group(const Slot *a, const Slot *b)
{
    return a->stage == b->stage && a->sub == b->sub;
}

static inline bool same_nest(const Slot *a, const Slot *b)
{
    return same_group(a, b) && a->nest == b->nest;
}

/* ---- schedule_group.c, _large.c ---- */

/* Whether some node of the group reads `value` straight from memory. */
bool schedule_group_reads(const Schedule *s, const Slot *group, NodeId value);
/* When groups are numbered. */
void schedule_move_large(Arena *arena, Schedule *s);

/* ---- the others, in the order in which schedule_make calls them ---- */

void schedule_find_stages(Arena *arena, Schedule *s);
void schedule_find_groups(Arena *arena, Schedule *s);
void schedule_find_starts(Arena *arena, Schedule *s);
void schedule_find_nests(Schedule *s);
void schedule_find_once_nests(Arena *arena, Schedule *s);
void schedule_find_sweeps(Arena *arena, Schedule *s);

#endif
