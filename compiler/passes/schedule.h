/*
 * schedule.h — when each node runs, for one procedure: its stage, group, nest and sweep.
 *
 * The classes say which loops are around a node; a stage is all nodes of one class
 * that may run between the same two barriers.
 */
#ifndef RNNC_SCHEDULE_H
#define RNNC_SCHEDULE_H

#include "passes/plan.h"
#include "passes/stage.h"
#include "passes/view.h"

typedef enum {
    CLASS_NONE,     /* leaves, inline values, views, what is not needed */
    CLASS_ROWS,     /* {row} */
    CLASS_ROW_SUM,  /* {row}, summed over time */
    CLASS_FORWARD,  /* {time,row}, forward */
    CLASS_BACKWARD, /* {time,row}, backward */
    CLASS_SUM,      /* summed over points */
    CLASS_SCALAR,   /* no axes, one number: thread 0 */
    CLASS_TENSOR,   /* no axes */
    CLASS_PRODUCT,  /* no axes, a contraction */
    CLASS_COUNT
} Class;

static inline bool is_time(Class c) { return c == CLASS_FORWARD || c == CLASS_BACKWARD; }

typedef struct {
    Class class;
    int round;    /* stages in order of (round, class) */
    int stage;    /* index among the stages */
    int sub;      /* TIME: groups in order; odd: scan */
    int nest;     /* order within the group; equal: one nest */
    int sweep;    /* within the nest; -1: the nest's contraction, or no code (concat) */
    NodeId fused; /* an einsum: the add that starts from its other operand and takes the
                     result */
    NodeId sum;  /* a map computed in the sweep of a sum over points: that sum; else NO_NODE
                  */
    NodeId init; /* that add, or the einsum: the value it starts from; NO_NODE: zero */
} Slot;

typedef struct {
    const Graph *g;
    const Stages *stages;
    bool fuse;
    int64_t large;  /* elements: what a scan rather has at hand, see schedule_large.c */
    bool *needed;   /* by node */
    bool *given;    /* by node: stands in memory before the procedure starts (persistent) */
    bool *of_state; /* by node: who reads a state reads it, see view_state_values */
    Slot *slot;     /* by node */
    NodeId *order;  /* needed computed nodes, what is needed first */
    int n_order;
    NodeId *laid; /* those with code by stage, sub, nest, sweep, then as in order */
    int n_laid;
    int n_stage;
    /* Users of a computed node's value, seen through views: user[users_at[id]] … , once for
       each operand, in order; users_at has one more entry than there are nodes. */
    int *users_at;
    NodeId *user;
} Schedule;

/* For the plan's target, fused or not. roots: what the procedure must leave behind. given:
   flags of nodes that stand already. */
Schedule *schedule_make(Arena *arena, const Plan *p, const Graph *g, const Stages *stages,
                        const NodeId *root, int n_root, bool *given);

/* ---- schedule_sums.c ---- */

/* Moves maps into the sums that alone need them: sets class and sum. Before stages are. */
void schedule_join_sums(Arena *arena, Schedule *s, const NodeId *root, int n_root);
/* Makes sums that can share their loops one nest. When stages and nests are found. */
void schedule_share_sums(Schedule *s);

/* The axes that a node sums over; 0: none. */
Axes schedule_summed_axes(const Graph *g, NodeId id);
/* The index space of a node's sweep: of reductions and sums their operand's shape. */
Shape schedule_space(const Graph *g, NodeId id);
bool schedule_is_contraction(const Graph *g, NodeId id);
/* Whether user may read arg from a register of its own sweep. */
bool schedule_in_register(const Schedule *s, NodeId user, NodeId arg);

#endif
