/*
 * fuse_room.h — what the files of the fuse pass share; nobody else includes it.
 *
 *     fuse.c          the procedures of a plan: what they owe, what they copy back
 *     fuse_buffer.c   buffers; those of leaves and states
 *     fuse_place.c    where every value stands
 *     fuse_sweep.c    sweeps and their instructions
 *     fuse_nest.c     contractions, nests, groups, stages
 *     fuse_size.c     how long blocks are
 */
#ifndef RNNC_FUSE_ROOM_H
#define RNNC_FUSE_ROOM_H

#include "passes/plan.h"
#include "passes/rewrite.h"
#include "passes/schedule.h"

/* Where a node's value stands; an Access is this seen through a view. */
typedef struct {
    int buffer; /* -1: nowhere yet */
    When when;
    int shift;
    int64_t offset;
    bool dense; /* the node's own row-major strides; else: */
    int64_t stride[MAX_RANK];
} Place;

typedef struct {
    Plan *p;
    const Graph *g;
    const Stages *stages;
    bool *of_params; /* by node: depends on parameters and constants alone, not an update */
    Place *lasting;  /* by node: persistent places, the same in all procedures */
    bool *root_of_pack; /* by node: read by other procedures */
    bool *given;        /* by node: computed by another procedure */
    bool packing;       /* the procedure at hand is `pack` */
    /* the procedure at hand */
    ProcId id;
    Schedule *s;
    Place *place;      /* by node */
    int *leaf;         /* by leaf node: buffer + 1 */
    int *state_buffer; /* by state: buffer + 1 */
    int *reg;          /* by node: instruction in its sweep + 1 */
    bool *is_root;     /* by node: the procedure must leave it in memory */
} Fuse;

/* ---- fuse_buffer.c ---- */

/* Adds b with the strides and the size that its home, axes and shape give it. */
int buffer_add(Plan *p, Buffer b);
/* The buffer is read or written in this stage of its procedure. */
void buffer_touch(Fuse *f, int buffer, int stage);
int leaf_buffer_of(Fuse *f, NodeId leaf);
int state_buffer_of(Fuse *f, int state);
int64_t block_offset(const Graph *g, OpCode op, int index);
const char *value_name(const Fuse *f, NodeId id);
const char *gradient_name(const Graph *g, int param);
Element value_element(const Fuse *f, NodeId id);

/* ---- fuse_place.c ---- */

/* Makes f->place for the procedure at hand. */
void places_make(Fuse *f);
/* The place of a node or of what it is a view of, through that view; a node without a place
   is ours to blame. */
Access access_of(Fuse *f, NodeId id, int stage);

/* ---- fuse_sweep.c ---- */

Sweep *sweep_add(Fuse *f, Nest *nest, const Shape *space);
int instr_add(Fuse *f, Sweep *sweep, Instr instr, const int *arg);
/* The nodes' instructions as one more sweep of the nest. */
void sweep_make(Fuse *f, Nest *nest, const NodeId *node, int n_node, int stage);
/* When a nest that sums over points is complete: puts sweeps ahead that store zeros where
   its sums begin, and tells which of its own run at each point: those up to the last that
   sums. */
void sums_begin(Fuse *f, Nest *nest);

/* ---- fuse_nest.c ---- */

Stage *stage_add(Plan *p, Procedure *proc, StageKind kind);
Nest *nest_add(Plan *p, Group *group);
/* The stages of the schedule, behind those that the procedure has. */
void stages_make(Fuse *f, Procedure *proc);

/* ---- fuse_size.c ---- */

/* Blocks of steps, and the slots of buffers that keep one block. */
void plan_size(Plan *p);

#endif
