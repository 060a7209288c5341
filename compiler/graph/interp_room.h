/*
 * interp_room.h — what the two halves of the interpreter share: interp.c finds out in which
 * order values are needed and keeps them, interp_eval.c says what each operation computes.
 */
#ifndef RNNC_INTERP_ROOM_H
#define RNNC_INTERP_ROOM_H

#include "graph/interp.h"

enum { RE, IM, PARTS };

/* The values of one node: [steps][rows][size] as far as it has these axes. */
typedef struct {
    double *part[PARTS]; /* NULL until first needed; IM only in complex */
    uint8_t *mark;       /* [steps]: nothing, being found, there */
    bool given;          /* by interp_set */
    int64_t size;
} Cell;

struct Interp {
    Arena *arena;
    const Graph *g;
    Precision precision;
    int64_t steps_max, rows_max;
    int64_t steps, rows;
    int64_t loss_from;
    bool training;
    struct rnn_rng rng;
    int n_part;
    Cell *cell; /* by node */
    int n_stack, stack_capacity;
    struct Wanted {
        NodeId node;
        int64_t t;
    } * stack;
    double *scratch;
    int64_t scratch_size;
};

/* A node's values at step t of row b, which must be there. */
const double *interp_at(const Interp *p, NodeId node, int part, int64_t t, int64_t b);
/* Where they are to be written. */
double *interp_cell(Interp *p, NodeId node, int part, int64_t t, int64_t b);
/* At least n numbers to work in, until the next call. */
double *interp_scratch(Interp *p, int64_t n);
/* Computes the node at step t, all rows; what it reads is there. */
void interp_eval(Interp *p, NodeId node, int64_t t);

#endif
