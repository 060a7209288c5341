/*
 * explain_room.h — what the files of `rnnc explain` share; nobody else includes it.
 *
 *     explain.c         the chunk program in words
 *     explain_nest.c    a nest: its product, its operations, what it stores
 *     explain_stored.c  why a value is stored
 *     explain_notes.c   what was refused, as notes at the spec's lines
 */
#ifndef RNNC_EXPLAIN_ROOM_H
#define RNNC_EXPLAIN_ROOM_H

#include "report.h"

/* Where in a procedure an access stands, in the order of execution. */
typedef struct {
    int stage, group, nest;
    int sweep; /* -1: the product */
    bool write, reduces;
    NodeId node; /* that it was made for; NO_NODE: no line of the spec asks for it */
    const Access *access;
    int next; /* the next touch of the same buffer; -1: none */
} Touch;

typedef struct {
    const Plan *p;
    const Procedure *proc;
    FILE *out;
    int n_touch, touch_capacity;
    Touch *touch;     /* those of a nest stand together */
    int *first_touch; /* by buffer; -1: none */
} Explain;

/* ---- explain_stored.c ---- */

/* All accesses of a procedure. */
Explain explain_open(const Plan *p, ProcId id, FILE *out);
/* Why the value that is written there is not handed on in a register. A reason to regret
   begins with explain_refused. */
const char *explain_why_stored(const Explain *e, const Touch *t);
extern const char explain_refused[];
/* The product's result goes to its own nest alone. */
bool explain_is_epilogue(const char *why);

/* ---- explain_nest.c ---- */

void explain_nest(const Explain *e, int stage, int group, int nest);
void explain_cost(const Explain *e, const char *label, Cost c);

/* ---- explain.c ---- */

/* What passes between the groups of a time stage at each step: fuse sizes blocks by it. */
int64_t explain_block_bytes(const Explain *e, int stage);

static inline const Stage *stage_of(const Explain *e, const Touch *t)
{
    return &e->proc->stage[t->stage];
}

#endif
