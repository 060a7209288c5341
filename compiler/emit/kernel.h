/*
 * kernel.h — what the files that spell a plan share: the emitter, the frame of the
 * function being built, addresses, sweeps, nests.
 */
#ifndef RNNC_EMIT_KERNEL_H
#define RNNC_EMIT_KERNEL_H

#include "emit/ir.h"

/* A field of the chunk, loaded once in the entry of the function. */
typedef struct {
    size_t offset_bytes;
    LLVMTypeRef type;
    LLVMValueRef value;
} Field;

enum { MAX_FIELDS = 48 };

/* What every function of the plan is called with, and where its loops stand. Functions have
   the parameters (ptr chunk, i64 thread, i64 t0, t1, row0, row1, slot0); see nest.c. */
typedef struct {
    LLVMValueRef chunk, thread;
    LLVMValueRef t0, t1;     /* steps of this call */
    LLVMValueRef row0, row1; /* rows of this thread */
    LLVMValueRef slot0;      /* first step of the time block */
    LLVMValueRef t, row;     /* the point, inside of loops over points; else NULL */
    int direction;           /* from a step to the next that is run: 1, or -1 */
    int n_field;
    Field field[MAX_FIELDS];
} Frame;

typedef struct {
    Ir ir;
    Arena *arena;
    const Plan *plan;
    const Target *target;
    Frame frame;
    LLVMTypeRef procedure_param[2], nest_param[7];
    LLVMValueRef wait;               /* void (ptr chunk, i64 thread): the barrier */
    const struct Numbering *kernels; /* of a plan with marks, once asked for */
    bool apart; /* other procedures of the plan may stand in other modules */
} Emitter;

/* ---- address.c: where a value lives ---- */

/* A field of struct rnn_chunk, as found when the function was entered. */
LLVMValueRef chunk_field(Emitter *e, size_t offset_bytes, LLVMTypeRef type);
LLVMValueRef chunk_steps(Emitter *e);
LLVMValueRef chunk_rows(Emitter *e);
LLVMValueRef chunk_threads(Emitter *e);
LLVMTypeRef element_type(const Ir *ir, Element element);
const Buffer *access_buffer(const Emitter *e, const Access *a);
/* Elements from a row to the next, a step to the next; 0 where the buffer has no such axis
   (or keeps one step only). */
LLVMValueRef buffer_row_stride(Emitter *e, const Buffer *b);
LLVMValueRef buffer_step_stride(Emitter *e, const Buffer *b);
/* The address of the access's first element at step t of row `row` (NULL: 0). */
LLVMValueRef access_address(Emitter *e, const Access *a, LLVMValueRef t, LLVMValueRef row);
/* The start of a buffer that has no axes. */
LLVMValueRef buffer_address(Emitter *e, const Buffer *b);

/* ---- scalar.c: elementwise operations ---- */

/* A real, or a vector of reals; flag: the same as i1 where it came from a comparison. */
typedef struct {
    LLVMValueRef real, flag;
} Real;

/* The operation's recipe on operands of one type: float, double or vectors of them. wide: a
   wide instruction's. */
Real scalar_emit(Emitter *e, OpCode op, bool wide, int n, const Real *arg);

/* ---- random.c ---- */

typedef struct {
    int site;
    Axes axes;    /* of the draw: what it lacks of the frame's point does not count */
    bool aligned; /* the first unit is always a multiple of 4 */
} Draw;

/* Uniform reals in [0, 1): one for `unit` (i64), or a vector for unit + lane * stride. */
LLVMValueRef random_emit(Emitter *e, Draw d, LLVMValueRef unit, int lanes, int64_t stride);

/* ---- sweep.c ---- */

/* A part of a sweep's index space: elements first … end - 1 of one dimension; none: all. */
typedef struct {
    int dimension; /* -1: the whole sweep */
    LLVMValueRef first, end;
} Part;

/* The sweep at the frame's point. */
void sweep_emit(Emitter *e, const Sweep *sweep, Part part);

/* ---- nest.c ---- */

/* The nest as a function of its own, with the parameters of Emitter.nest_param. */
LLVMValueRef nest_function(Emitter *e, const Stage *stage, const Group *group,
                           const Nest *nest, const char *name);
/* Begins a function with the parameters of nests and fills the frame from them. */
IrPlace frame_begin(Emitter *e, LLVMValueRef function);

/* ---- kernels.c ---- */

/* The kernel that a nest of the group, or with NULL its scan, is; -1 without marks. */
int kernel_number(Emitter *e, const Group *group, const Nest *nest);
/* Tells the marker, when the plan has marks: this thread begins the kernel; -1: has ended.
 */
void kernel_mark(Emitter *e, int number);
/* Puts the kernels' names into the tables. */
void kernels_describe(Arena *arena, const Plan *p, struct rnn_model *to);

/* ---- procedure.c, model.c ---- */

/* The functions of struct rnn_model in order. */
typedef enum {
    CALL_INIT,
    CALL_PACK,
    CALL_TRAIN,
    CALL_GRAD,
    CALL_UPDATE,
    CALL_EVAL,
    CALL_STEP,
    N_PROCEDURE
} Call;
enum { CALL_ALL = (1 << N_PROCEDURE) - 1 };

/* Emits those of the set, a bit for each Call; the others stay NULL. */
void procedures_emit(Emitter *e, unsigned set, LLVMValueRef procedure[N_PROCEDURE]);
/* The name under which an emitter with `apart` lets a procedure be found. */
const char *procedure_symbol(Arena *arena, Call call);
/* The constant struct rnn_model, under the symbol. */
void model_emit(Emitter *e, const struct rnn_model *tables,
                LLVMValueRef procedure[N_PROCEDURE], const char *symbol);

/* ---- emit.c, object.c ---- */

struct EmitModule {
    Emitter e;
    void *machine; /* LLVMTargetMachineRef */
    const char *symbol;
};

/* Around LLVM's work, which has abort() called for want of memory: it knows its targets and
   our options, and its end is a documented exit status. They nest. */
void llvm_begin(void);
void llvm_end(void);
/* The machine of the target, its layout and triple set on the module; false after an error.
   LLVM is at work until emit_free. */
bool machine_open(EmitModule *m, Diag *d);
/* The tables, with what is known of the plan's code. */
struct rnn_model emit_describe(Arena *arena, const Plan *plan,
                               const struct rnn_model *tables, const Target *target);
/* A module of the set's procedures, without the tables themselves; NULL after an error in
 * d. */
EmitModule *emit_procedures(Arena *arena, Diag *d, const Plan *plan,
                            const struct rnn_model *tables, const Target *target,
                            unsigned set);

#endif
