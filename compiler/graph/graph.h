/*
 * graph.h — the step graph: one time step of one row, forward, backward and
 * update, as one flat array of nodes.
 *
 * Nodes name their operands by index; operands come before users, so walking
 * the array forwards is a topological order (the loop through a state is closed
 * by the State table, not by an edge). Passes keep facts about nodes in side
 * arrays, never in the node.
 *
 * Axes. Besides its features a node has a set of axes, any of {time, row}: an
 * input has both, a per-sequence input or a start value {row}, a parameter or a
 * schedule none. A map or einsum works where the axes of its operands differ only
 * through explicit `spread` nodes; the derivative of `spread` is `total` over the
 * axes that it added, that of `total` is `spread`. Nothing else knows of time or
 * rows.
 *
 * Two widths of numbers: ordinary nodes are in the model's precision; `wide`
 * nodes are scalars without axes, computed in double whatever the precision
 * (schedules, bias corrections). `narrow` and `widen` go between.
 *
 * Flags are 0 or 1, classes are whole numbers; both are held as reals.
 */
#ifndef RNNC_GRAPH_H
#define RNNC_GRAPH_H

#include "base/base.h"
#include "rnn_abi.h"

typedef int32_t NodeId;
enum { NO_NODE = -1, MAX_RANK = 6, MAX_LABEL = 16 };

typedef uint8_t Axes;
enum { AXIS_TIME = 1, AXIS_ROW = 2, AXES_ALL = 3 };

typedef enum {
    PHASE_INIT,     /* once a run: parameters' and optimizer states' first values */
    PHASE_FORWARD,  /* t = 0 … T - 1 */
    PHASE_BACKWARD, /* t = T - 1 … 0 */
    PHASE_UPDATE    /* once a chunk, from gradients */
} Phase;

typedef enum {
#define OP(NAME, name) OP_##NAME,
#include "graph/ops.def"
#undef OP
    OP_COUNT
} OpCode;

/* From where OP_STEP counts: the batch's first step, or the first that is no old one of the
   chunk's window (then old steps have negative numbers). */
typedef enum { STEP_OF_BATCH, STEP_OF_LOSS } StepCount;

typedef struct {
    int rank;
    int64_t dim[MAX_RANK]; /* outermost first */
} Shape;

/* What an operation needs beside its operands; each op's line in ops.def says which. */
typedef struct {
    double value;    /* constant */
    int index;       /* leaves: which input, parameter, state …; random: the site */
    Axes axes;       /* spread: added; total: summed; extent: counted; leaves: the node's */
    uint32_t reduce; /* reductions: bit i set = axis i goes */
    int axis;        /* concat */
    int8_t
        permutation[MAX_RANK]; /* transpose: result axis i is operand axis permutation[i] */
    int64_t start[MAX_RANK];   /* slice, pad: first element */
    int64_t step[MAX_RANK];    /* slice, pad: from one element to the next; slice's may be
                                  negative */
    char label[3][MAX_RANK + 1]; /* einsum: of both operands and the result */
    Shape shape;                 /* leaves, broadcast, reshape, slice, pad: the result's */
    bool wide;                   /* leaves */
} Attr;

typedef struct {
    OpCode op;
    Phase phase;
    Axes axes;
    bool wide;
    Shape shape;
    int n_arg;
    NodeId *arg;
    Attr attr;
    Loc loc;
} Node;

/* The loop of a state: at the first step of a chunk `leaf` is `entry`, then the
   step's `next` of the step before. Backward states run the other way. */
typedef struct {
    const char *name; /* "rnn.h_l0"; backward: "d.rnn.h_l0" */
    Shape shape;
    bool backward;
    NodeId leaf, entry, next;
    NodeId carried; /* forward: the leaf of what the chunk before left; NO_NODE when
                       backward */
} State;

/* What an input holds: the first kinds of spec.h's Kind, in its order. */
typedef enum { INPUT_REAL, INPUT_INTEGER, INPUT_FLAG, INPUT_CLASS } InputKind;

typedef struct {
    const char *name;
    Shape shape;
    int kind; /* an InputKind */
    int64_t classes;
    bool has_ignore;
    int64_t ignore;
    bool per_sequence;
    bool for_loss_only;
    bool masked; /* see rnn_abi.h */
    NodeId leaf;
} Input;

typedef struct {
    const char *name;
    Shape shape;
    bool trained;
    NodeId leaf;     /* OP_PARAM */
    NodeId init;     /* PHASE_INIT; axes none, of the parameter's shape */
    NodeId gradient; /* made by grad: PHASE_BACKWARD, axes none; NO_NODE: none flows */
    NodeId next;     /* made by build: PHASE_UPDATE w' */
    Loc loc;
} Param;

/* A state of the optimizer: a tensor, or (wide) a scalar of rank 0. The counter of
   updates `k` is such a scalar. */
typedef struct {
    const char *name;
    Shape shape;
    bool wide;
    double value; /* at the start: tensors are filled with it */
    NodeId leaf, next;
} OptimizerState;

typedef struct {
    const char *name;
    double value;
    bool counter;
    NodeId leaf;
    bool whole, limited; /* which values it takes: whole numbers, those of a range */
    double least, most;
} Scalar;

/* Of all chunks so far: made of running sums. */
typedef struct {
    const char *name;
    NodeId value;     /* axes none, rank 0: already divided */
    bool in_training; /* of training's epochs too, not of evaluations alone */
} Metric;

/* A sum over steps and rows that goes on from chunk to chunk. Both are wide. */
typedef struct {
    NodeId leaf;      /* OP_SOFAR */
    NodeId next;      /* with this chunk's part added */
    bool in_training; /* a metric of training's epochs is made of it */
} Running;

typedef struct {
    Arena *arena;
    const char *name;
    enum rnn_dtype dtype; /* of all reals that are not wide */
    int n_node, node_capacity;
    Node *node;
    int n_input, input_capacity;
    Input *input;
    int n_param, param_capacity;
    Param *param;
    int n_state, state_capacity;
    State *state;
    int n_optimizer, optimizer_capacity;
    OptimizerState *optimizer;
    int n_scalar, scalar_capacity;
    Scalar *scalar;
    int n_metric, metric_capacity;
    Metric *metric;
    int n_running, running_capacity;
    Running *running;
    int n_site;           /* random sites handed out */
    int64_t tbptt_step;   /* new steps of a chunk that is a longer window; 0: all are new */
    NodeId output;        /* the model's output, axes {time,row} (or fewer) */
    NodeId loss;          /* axes none, rank 0; NO_NODE: none */
    NodeId weight;        /* axes none, rank 0: Σ weight of the loss; 0 means no loss */
    NodeId gradient_norm; /* wide; NO_NODE when nothing needs it */
    Phase phase;          /* given to every node added from now on */
    Loc loc;              /* likewise */
    const char *spec_hash; /* of what build made: graph_hash */
} Graph;

Graph *graph_new(Arena *arena, const char *name);

/*
 * Adds a node, its type told by the op's rule, or returns NO_NODE and sets *why
 * to a sentence with the shapes. Equal nodes of the same phase are not merged here.
 */
NodeId graph_try(Graph *g, OpCode op, int n_arg, const NodeId *arg, const Attr *attr,
                 const char **why);
/* The same where a refusal would be a bug of ours. */
NodeId graph_add(Graph *g, OpCode op, int n_arg, const NodeId *arg, const Attr *attr);

NodeId graph_constant(Graph *g, double value);          /* rank 0, no axes */
NodeId graph_full(Graph *g, double value, Shape shape); /* constant, broadcast */
NodeId graph_map1(Graph *g, OpCode op, NodeId a);
/* Elementwise of two or three: spreads, broadcasts (NumPy's rule) and narrows the
   operands as needed. `try` forms return NO_NODE and *why when shapes do not fit. */
NodeId graph_map2(Graph *g, OpCode op, NodeId a, NodeId b);
NodeId graph_map3(Graph *g, OpCode op, NodeId a, NodeId b, NodeId c);
NodeId graph_try_map(Graph *g, OpCode op, int n_arg, const NodeId *arg, const char **why);
NodeId graph_spread(Graph *g, NodeId a,
                    Axes axes); /* to have at least these axes; `a` itself if it does */
NodeId graph_extent(Graph *g, Axes axes); /* how many points they have, as a real */
NodeId graph_total(Graph *g, NodeId a,
                   Axes axes); /* summed over those of these axes that it has */
NodeId graph_broadcast(Graph *g, NodeId a,
                       Shape shape); /* NumPy's rule; `a` itself if equal */
NodeId graph_reshape(Graph *g, NodeId a, Shape shape);
NodeId graph_transpose(Graph *g, NodeId a, const int8_t *permutation);
NodeId graph_slice(Graph *g, NodeId a, const int64_t *start, const int64_t *step,
                   Shape shape);
/* Zeros of this shape but for the elements start + i * step, which are a's. */
NodeId graph_pad(Graph *g, NodeId a, const int64_t *start, const int64_t *step,
                 Shape shape);
NodeId graph_concat(Graph *g, int axis, int n, const NodeId *arg);
NodeId graph_gather(Graph *g, NodeId table,
                    NodeId class_id); /* class_id of rank 0; spread to the table's axes */
NodeId graph_reduce(Graph *g, OpCode op, NodeId a,
                    uint32_t mask); /* sum, prod, max_of, min_of, argmax */
/* labels such as "ij,j->i"; the operands are spread to common axes. */
NodeId graph_try_einsum(Graph *g, const char *labels, NodeId a, NodeId b, const char **why);
NodeId graph_einsum(Graph *g, const char *labels, NodeId a, NodeId b);
/* As graph_einsum, summed over the axes that `axes` lacks: a weight's gradient. */
NodeId graph_einsum_to(Graph *g, const char *labels, NodeId a, NodeId b, Axes axes);

/* A hash of all that shapes the computation: operations, attributes, names and shapes of
   the tables. Values of run-time scalars and places in the spec do not count. Hexadecimal.
 */
const char *graph_hash(const Graph *g);

bool shape_equal(const Shape *a, const Shape *b);
int64_t shape_size(const Shape *s); /* BUG on overflow: build has checked */
const char *shape_print(Arena *arena, const Shape *s); /* "[4, 128]", "real" for rank 0 */
bool shape_broadcast(const Shape *a, const Shape *b, Shape *out); /* NumPy's rule */
/* Row-major strides in elements. */
void shape_strides(const Shape *s, int64_t *stride);

/* One node a line, a person's reading: %12 = tanh(%11)  [128] {time,row}  forward */
void graph_dump(const Graph *g, FILE *out);
/* BUG with a sentence when an invariant is broken: order, types, phases, tables. */
void graph_verify(const Graph *g);

#endif
