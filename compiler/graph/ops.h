/*
 * ops.h — what an operation is.
 *
 * An operation is one OpDef and one line of ops.def. Everything the compiler
 * knows about it is a column here; no pass asks which operation it has to learn a
 * property that belongs in this table.
 */
#ifndef RNNC_OPS_H
#define RNNC_OPS_H

#include "graph/graph.h"

/* A value inside a kernel body, owned by the emitter that made it. */
typedef struct {
    void *handle;
} Val;

/* The instructions that a back end implements; every elementwise operation is a
   recipe of them. Comparisons give flags (a real, 0 or 1). Unused operands are ignored. */
typedef enum {
/* clang-format off */
#define SCALAR_LIST(X)                                                                     \
    X(ADD) X(SUB) X(MUL) X(DIV) X(FMA) X(NEG) X(ABS) X(SQRT) X(FLOOR) X(ROUND)             \
    X(LT) X(LE) X(EQ) X(NE) X(SELECT) X(COPYSIGN) X(SCALE2) X(EXPONENT)
/* clang-format on */
#define X(name) S_##name,
    SCALAR_LIST(X)
#undef X
        S_COUNT
} ScalarOp;
/* S_SELECT: a != 0 ? b : c. S_ROUND: half to even. S_FMA: a * b + c in one rounding.
   S_COPYSIGN: |a| with the sign of b. S_SCALE2: a * 2^b, b whole, right to the denormals
   and infinity for |b| <= 252 (doubles: 2044); a back end may clamp b to these, which for
   a of about 1 makes no difference: 0 and infinity come before. Where b is NaN, a is NaN
   too or the result is not used: any value will do, but no trap. S_EXPONENT: floor(log2
   |a|) as a real, right for denormals; of 0, infinities and NaN any number within 300
   (2100). */

/* What a back end gives to a recipe: a constant and the instructions above. */
typedef struct Scalar_ ScalarEmitter;
struct Scalar_ {
    Val (*constant)(ScalarEmitter *s, double value);
    Val (*apply)(ScalarEmitter *s, ScalarOp op, Val a, Val b, Val c);
    /* Calls libm's function of this name, on doubles only. */
    Val (*call)(ScalarEmitter *s, const char *name, Val a, Val b);
    bool doubles; /* what values are; else floats */
    bool wide;    /* one double, computed once an update: a call is as good */
};

typedef enum {
    FAMILY_LEAF,
    FAMILY_MAP,    /* out[i] depends on in[i] alone: any two may fuse */
    FAMILY_MOVE,   /* the same numbers at other places */
    FAMILY_REDUCE, /* fewer features or axes */
    FAMILY_CONTRACT,
    FAMILY_MAKER /* initial values only */
} Family;

/* A number and, in the second component, i times its derivative (complex step). */
typedef struct {
    double re, im;
} Complex;

/* Which fields of Attr an operation reads. */
enum {
    USES_VALUE = 1,
    USES_INDEX = 2,
    USES_AXES = 4,
    USES_REDUCE = 8,
    USES_AXIS = 16,
    USES_PERMUTATION = 32,
    USES_START = 64,
    USES_STEP = 128,
    USES_LABEL = 256,
    USES_SHAPE = 512,
    USES_WIDE = 1024
};

typedef struct {
    const char *name;
    Family family;
    int arity;     /* -1: any number */
    bool cheap;    /* map: recomputing costs less than a trip through memory */
    double ulp;    /* map: promised accuracy; 0: exact or correctly rounded */
    int partial;   /* 1 + the operand at some values of which there is no finite derivative;
                      0: none */
    unsigned uses; /* USES_…: the attributes that tell two nodes of this op apart */

    /* Type rule: fills out->shape, axes, wide from args and attr, or returns why not. */
    const char *(*infer)(const Graph *g, int n_arg, const NodeId *arg, const Attr *attr,
                         Node *out);

    /* Derivative rule: given node y and the node dy = dL/dy, sets dx[i] to the node holding
       dL/d(arg i), or NO_NODE where none flows. NULL: no gradient to any operand. */
    void (*grad)(Graph *g, NodeId y, NodeId dy, NodeId *dx);

    /* Elementwise: its meaning in double precision with plain libm: the oracle, written
       independently of emit. complex: NULL where re/im follow from `slope` being 0. */
    double (*ref)(const double *arg);
    Complex (*complex)(const Complex *arg);

    /* Elementwise: how a kernel computes it, one recipe for every back end. */
    Val (*emit)(ScalarEmitter *s, const Val *arg);
} OpDef;

extern const OpDef *const op_defs[OP_COUNT];

#endif
