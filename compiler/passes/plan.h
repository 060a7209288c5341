/*
 * plan.h — the chunk program: what the emitters spell, and nothing left to decide.
 *
 * - Plan: procedures over shared persistent buffers (packed weights, values of
 *   parameters alone).
 * - Procedure: stages in order. Where a stage or a nest says `barrier`, all threads wait
 * for each other before it; so they do at the end.
 * - Stage, of one of four kinds:
 *   - ONCE, no axes: nests one after another, each split over threads or given to one.
 *   - ROWS, {row}: every thread its rows, once a chunk.
 *   - TIME, {time, row}: every thread its rows, or its features (Stage.features), in
 *     blocks of `block` steps, forward or backward; in a block the groups in order.
 *   - SUM: sums over points into values without axes; split by features, each element
 *     summed in the order of (step, row), by blocks, so threads never change a bit.
 * - Group, in a TIME stage a map or a scan. Map: each nest for all points (step, row) of
 *   the block, then the next nest. Scan: for each step in time's direction all nests in
 *   order.
 * - Nest: at most one contraction, then sweeps.
 * - Sweep: loops over an index space of features; in the body, instructions in order.
 *
 * In a ROWS or TIME nest the contraction runs for all rows (or points) of the thread first;
 * then for every row (or point) all sweeps in order: what one sweep stores a later sweep of
 * the same nest may read, and such values live in scratch, one row of it per thread.
 *
 * Thread i of n has the rows from i R / n on of R, rounded down, and of a nest that is
 * split by features the units (Nest.unit) likewise.
 *
 * Where a value lives is an Access: a buffer, a time, an offset, a stride for each
 * dimension of the loops around it. Views (slices, transposes, broadcasts, spreads) are
 * accesses, never code.
 */
#ifndef RNNC_PLAN_H
#define RNNC_PLAN_H

#include "graph/ops.h"

typedef enum {
    HOME_WORKSPACE, /* offset in bytes, made by place; shared by all threads */
    HOME_SCRATCH,   /* offset in bytes in this thread's part of the workspace */
    HOME_PARAMS,    /* chunk->params, offset in elements; likewise: */
    HOME_GRADS,
    HOME_OPTIMIZER,
    HOME_OPTIMIZER_SCALARS, /* double */
    HOME_SCALARS,           /* chunk->scalars[index], double */
    HOME_RUNNING,           /* chunk->running[index], double */
    HOME_INPUT,             /* chunk->input[index], its strides at run time */
    HOME_START,             /* chunk->start, uint8_t a row */
    HOME_STATE_IN,          /* chunk->state_in + offset * model->rows_max, [rows][size] */
    HOME_STATE_OUT,         /* likewise, as HOME_STATE_SAVED */
    HOME_STATE_SAVED,
    HOME_OUTPUTS /* chunk->outputs, [steps][rows][size]; stores are left out when it is NULL
                  */
} Home;

typedef enum {
    PROC_INIT,
    PROC_PACK,
    PROC_GRAD,
    PROC_UPDATE,
    PROC_EVAL,
    PROC_STEP,
    PROC_COUNT
} ProcId;

/* REAL: of the width that the model computes in, graph->dtype. */
typedef enum { ELEMENT_REAL, ELEMENT_F64, ELEMENT_I32, ELEMENT_U8 } Element;

/* How a buffer with a time axis keeps its steps. */
typedef enum {
    SPAN_ONE,   /* the current step only: slot 0 */
    SPAN_BLOCK, /* the current block: slot t - first step of the block */
    SPAN_CHUNK  /* slot t; states have one more than steps_max */
} Span;

typedef struct {
    const char *name; /* for dumps */
    Loc loc;          /* what it was made for; no source: no line of the spec */
    Home home;
    Element element;
    int index; /* HOME_INPUT, HOME_SCALARS, HOME_RUNNING: which */
    Axes axes;
    Span span;
    Shape shape;                 /* features of one point, dense row-major */
    int64_t n_slot;              /* 1 without a time axis */
    int64_t row_stride;          /* elements, padded: no multiple of 1 KB; 0: no row axis */
    int64_t slot_stride;         /* elements; 0 without a time axis */
    int64_t offset;              /* see Home */
    int64_t bytes;               /* workspace and scratch */
    bool persistent;             /* kept from chunk to chunk */
    ProcId proc;                 /* else: the procedure that it belongs to, */
    int first_stage, last_stage; /* and its life there, by stage; place uses it */
    /* A packed operand: panels [batch][ceil(n / panel)][k][panel], zero-padded columns. The
       pass `panel` makes them. */
    int panel; /* 0: not packed; else columns of a panel: a multiple of the vector length */
    int64_t pack_batch, pack_n, pack_k;
} Buffer;

typedef enum {
    AT_STEP,  /* the current step + shift */
    AT_FIRST, /* step 0 + shift */
    AT_END,   /* chunk->steps + shift */
    AT_SAVE   /* chunk->save_at + shift */
} When;

typedef struct {
    int buffer; /* -1: none */
    When when;
    int shift;                /* states: their new value stands one slot later */
    int64_t offset;           /* elements from the row's start */
    int64_t stride[MAX_RANK]; /* by dimension of the sweep; contractions: see there */
} Access;

/* ---- sweeps ---- */

typedef enum {
    I_CONSTANT, /* value */
    I_LOAD,     /* access, converted to a real (wide: to double) */
    I_GATHER,   /* access at offset + clamp(arg[0], 0, gather_n - 1) * gather_stride: arg[0]
                   is a class, the same for the whole sweep */
    I_IOTA, /* access.offset + Σ index[d] * access.stride[d] as a real: arange, one_hot */
    I_RANDOM,   /* uniform [0, 1): site `index`, unit number computed like I_IOTA, `axes` of
                   the draw */
    I_STEP,     /* number of the step, counted as `index`, a StepCount, says */
    I_EXTENT,   /* wide: number of steps and/or rows, by `axes` */
    I_TRAINING, /* wide: 0 or 1 */
    I_MAP,      /* op on arg[] (through the op's recipe); wide: in double */
    I_REDUCE, /* op OP_SUM, PROD, MAX_OF, MIN_OF, ARGMAX of arg[0] over the sweep's reduced
                 dimensions (none: the one element); stored to access (strides 0 in reduced
                 dimensions); no later instruction of the sweep uses it */
    I_STORE,  /* arg[0] to access */
    I_ACCUMULATE, /* SUM stages (and ROWS nests with a time sum): access += arg[0], over all
                     points; a sweep ahead of them has stored 0. An F64 target sums in
                     double */
    I_SCATTER, /* the same at offset + arg[1] * gather_stride; arg[1] is a class; outside 0
                  … gather_n - 1: nothing */
    I_ORTHOGONAL /* access: [dim0, rest] in place, by chunk->services; alone in its sweep
                    (rank 0) */
} InstrKind;

typedef struct {
    InstrKind kind;
    OpCode op;
    bool wide;
    int n_arg;
    int *arg; /* earlier instructions of the same sweep */
    double value;
    int index;
    Axes axes;
    Access access;
    int64_t gather_n, gather_stride;
    NodeId node; /* for dumps and messages; NO_NODE: of no one node */
} Instr;

/* Reductions of one sweep: each keeps two numbers at most (argmax: where and how much). */
enum { SWEEP_MAX_REDUCTIONS = 32 };
/* Nodes of the graph in one sweep, at most: so many values have left the registers long
   before, and LLVM's time grows with the square of a loop's body. */
enum { SWEEP_MAX_NODES = 256 };

/* Loops stand in the order of the dimensions, reduced ones inside of all others. */
typedef struct {
    int rank;
    int64_t extent[MAX_RANK]; /* innermost last */
    uint32_t reduced; /* bit d: dimension d is reduced by the I_REDUCE instructions */
    int lanes;        /* elements at a time along the innermost: a vector's, or 1 */
    bool each_point;  /* of a nest with sums: runs at each point that is summed over. Such
                         sweeps follow each other; the nest's others run once, ahead of the
                         points or behind them */
    int ahead;        /* TIME, SUM: of what access_is_kept says it fetches what the point so
                         many rows on will read; 0: nothing */
    int n_instr, instr_capacity;
    Instr *instr;
} Sweep;

/* Are all steps of all rows kept for as long as the chunk lasts? */
static inline bool buffer_is_kept(const Buffer *b)
{
    return b->home == HOME_WORKSPACE && b->axes == AXES_ALL && b->span == SPAN_CHUNK;
}

/* Does the access, in buffer b, move with the point through what is kept? */
static inline bool access_is_kept(const Buffer *b, const Access *a)
{
    return buffer_is_kept(b) && a->when == AT_STEP;
}

/* ---- contractions ---- */

typedef enum {
    SPLIT_NONE, /* one thread */
    SPLIT_M,    /* contraction: rows of the result; sweeps: the outermost dimension */
    SPLIT_N     /* contraction: columns; sweeps: the innermost dimension; packs: panels */
} Split;

/* Which dimension of a product's rows its tiles go down. */
typedef enum {
    ALONG_M,      /* rows of the matrix */
    ALONG_ROWS,   /* of the thread */
    ALONG_STEPS,  /* of the block */
    ALONG_LONGEST /* found at run time: the innermost one, unless it has fewer rows than a
                     tile and another has more */
} Along;

enum { TILE_MAX_ROWS = 16, TILE_MAX_PANELS = 4, TILE_MAX_CHAINS = 4, TILE_WIDTHS = 3 };

/*
 * How a contraction is cut for registers and caches; tile.c decides.
 *
 * Whatever rows a call has are divided into tiles of at most `rows`, as evenly as they can
 * be: of two sizes, the larger tiles first. Columns are taken panel by panel (sums: by the
 * width of a panel) in tiles of `vectors`, and those behind the last whole panel in tiles
 * of `rest`. A call of exactly one row, or two, takes several panels at once, as
 * panels[rows - 1] lists: as often as there are so many whole ones left, then as often as
 * the next number says.
 */
typedef struct {
    int rows, vectors; /* of a tile: a chain of each element has so many registers */
    int rest;          /* vectors over the last columns; 0: all panels are whole */
    int panels[2][TILE_WIDTHS]; /* falling, down to a 1 that ends the list */
    int chains;                 /* of each element, see below: a power of two */
    bool alternate;             /* every other step of a scan takes b from its other end: */
    bool halves; /* … by halves of the chains, there being one panel; else by panels */
    Along along;
    bool ahead;   /* while it multiplies, a tile fetches lines that later ones will read; */
    bool c_ahead; /* SUM: of c too; only with `ahead` */
    int64_t block; /* k of a block; SUM: points of a block */
    int a_panel; /* SUM: of each block a, contiguous in m, is copied into panels of so many
                    m, whole tiles and whole vectors; 0: it is read where it stands */
    int64_t a_rows; /* … as many m at a time, whole panels */
} Tiling;

static inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* n, or what no address space holds when it is more: strides and bytes of buffers are
   products that 64 bits may not bear. Whoever drives a pass refuses such a buffer. */
static inline int64_t capped(double n)
{
    return n < 0x1p50 ? (int64_t)n : (int64_t)1 << 50;
}

/* The runs of k of `chains` chains: how long each but the last one is. */
static inline int64_t tile_chain(int64_t k, int chains)
{
    return (k + chains - 1) / chains;
}

/*
 * c[batch][m][n] = init + Σ_k a[batch][m][k] · b[batch][n][k]. The k of each block are a
 * chain of fma from zero, which is added to init and what the blocks before it have left;
 * or there is one block in tiling.chains chains over runs of k side by side, added up in
 * pairs: where a step has so few results that each would wait for its last sum.
 *
 * TIME, ROWS: a and c belong to a point, b is `packed` (it has no axes); all points of the
 * thread are rows of one product. SUM: k runs over points (and k features inside): a and b
 * belong to points, c has no axes. ONCE: as TIME with one point. Strides: a {batch, m, k},
 * b {batch, n, k}, c and init {batch, m, n}, in stride[0..2]. c's n is contiguous; init's n
 * is contiguous or 0. init may be c itself. Tiles begin with what they find in init; one
 * that is the same for all n is spread over c first, and that of a SUM is copied there.
 */
typedef struct {
    int64_t n_batch, m, n, k;
    Access a, b, c;
    bool has_init;
    Access init;
    bool of_params; /* b is of parameters alone, as they were when the procedure began */
    int panel;      /* columns of b's panels that `share` asks for; 0: as `panel` will */
    int packed; /* buffer with b's panels, in place of b; -1 in SUM, and ahead of `panel`
                 */
    Tiling tiling;
    NodeId node;
} Contraction;

/* Of one point: 2 for each multiply-add. */
static inline double contraction_flops(const Contraction *c)
{
    return 2 * (double)c->n_batch * (double)c->m * (double)c->n * (double)c->k;
}

typedef struct {
    Contraction *contraction; /* NULL: none */
    int n_sweep, sweep_capacity;
    Sweep *sweep;
    Axes sum; /* SUM stages: axes summed; ROWS stages: TIME when a total over time */
    /* In ONCE and SUM stages and in scans by features, where nests are split: */
    Split split;
    int64_t unit; /* that threads' parts are multiples of, but for the end */
    int turn;     /* SPLIT_NONE: thread `turn` modulo their number runs it */
    bool barrier; /* all threads wait before it; barrier.c sets it */
    /* A nest that fills `pack`'s panels from pack_from has no contraction and no sweeps. */
    int pack;         /* buffer, or -1 */
    Access pack_from; /* strides {batch, n, k} */
} Nest;

typedef struct {
    bool scan;
    bool
        barrier; /* in a stage by features: all threads wait before it; barrier.c sets it */
    int n_nest, nest_capacity;
    Nest *nest;
} Group;

typedef enum { STAGE_ONCE, STAGE_ROWS, STAGE_TIME, STAGE_SUM } StageKind;

typedef struct {
    StageKind kind;
    bool barrier;  /* all threads wait before it; barrier.c sets it */
    bool backward; /* STAGE_TIME: direction */
    bool features; /* STAGE_TIME: every thread goes through all rows; of a map it takes a
                      part of the steps, of a scan's nests parts of their features */
    int64_t block; /* STAGE_TIME: steps of a block: [0, block), [block, 2 block) …, the last
                      one perhaps shorter; backward visits the last one first */
    int n_group, group_capacity;
    Group *group; /* ONCE, ROWS, SUM: one group */
} Stage;

/* Every thread keeps to its rows: what it reads of a buffer with a row axis it wrote. */
static inline bool stage_by_rows(const Stage *s)
{
    return s->kind == STAGE_ROWS || (s->kind == STAGE_TIME && !s->features);
}

typedef struct {
    int n_stage, stage_capacity;
    Stage *stage;
    /* Rank-0 values without axes that the procedure reports (buffer -1: none): loss and
       weight (grad, eval), gradient norm (update), metrics (grad, eval). */
    Access loss, weight, gradient_norm;
    int n_metric;
    Access *metric;
    int n_running; /* grad, eval: what their running sums are after the chunk */
    Access *running;
} Procedure;

/* What a plan is made for. */
typedef struct {
    const char *name;
    int vector;                  /* reals of the model's width in a vector register */
    int real_bytes;              /* that width */
    int registers;               /* vector registers */
    int tile_rows, tile_vectors; /* of a tile that fills them: MR, NV */
    int64_t l1_bytes;            /* that a step's panels should stay in */
    int64_t l2_bytes;            /* that blocks were sized to */
    int64_t tlb_bytes;           /* that a first TLB reaches in pages of 4 KB */
} PlanTarget;

typedef struct {
    Arena *arena;
    const Graph *graph;
    PlanTarget target;
    bool fuse;
    bool marks; /* kernels tell the chunk's marker when they begin and end */
    int64_t steps_max, rows_max;
    int n_buffer, buffer_capacity;
    Buffer *buffer;
    Procedure proc[PROC_COUNT]; /* `train` is grad, then, when the loss is finite and weight
                                   is not 0, update */
    int64_t workspace_bytes;    /* of the shared part */
    int64_t scratch_bytes; /* of each thread; thread i's stands at workspace_bytes + i *
                              scratch_bytes */
    int32_t threads_max;
} Plan;

enum { PLAN_MAX_THREADS = 64 };

int64_t element_bytes(const Plan *p, Element e);
/* Points of the largest chunk along these axes; how often it runs what stands in the stage
   and sums over these. */
double plan_extent(const Plan *p, Axes axes);
double plan_points(const Plan *p, const Stage *s, Axes summed);

/* Is a second operand [n][k] read across its rows? As written, W @ x, a weight stands
   [n][k]; what goes back through it takes it the other way. */
static inline bool access_is_transposed(const Access *b, int64_t n, int64_t k)
{
    return n > 1 && k > 1 && b->stride[1] == 1;
}

/* ---- plan_sweep.c ---- */

/* Leaves out dimensions of one element and makes one of neighbours that every access walks
   as one. */
void sweep_flatten(Sweep *s);
/* Does a wide value vary along the innermost dimension? */
bool sweep_is_wide(Arena *arena, const Sweep *s);
/* Does an instruction sum over points? */
bool sweep_has_sums(const Sweep *s);
/* The sweeps of a nest that run at each point summed over: [first, end), none: 0, 0. */
typedef struct {
    int first, end;
} PointSweeps;
PointSweeps nest_point_sweeps(const Nest *n);

/* ---- plan_touch.c ---- */

/* What nests do to memory that other threads see. */
enum { TOUCH_READ = 1, TOUCH_WRITE = 2 };
typedef struct {
    uint8_t *how; /* by buffer: bits; 0 for most, so that there is a list: */
    int n, *buffer;
} Touched;
Touched touched_new(const Plan *p);
void touched_add(Touched *t, int buffer, int how);
void touched_clear(Touched *t);
void nest_touches(const Plan *p, const Nest *nest, Touched *add_to);
void stage_touches(const Plan *p, const Stage *s, Touched *add_to);
int instr_touches(InstrKind kind); /* to its access */

static inline bool instr_writes(const Instr *in)
{
    return (instr_touches(in->kind) & TOUCH_WRITE) != 0;
}

/* Into memory, over the points of a nest. */
static inline bool instr_sums(const Instr *in)
{
    return in->kind == I_ACCUMULATE || in->kind == I_SCATTER;
}

/* ---- plan_parts.c ---- */

/* What a nest of a stage by features touches: all of a buffer's slots or, where it moves
   with the step, one; in a scan those elements of a row that stand at the thread's part of
   each period (0: any). */
typedef struct {
    int buffer;
    bool write, moves;
    int64_t slot, period;
} PartTouch;
typedef struct {
    int n, capacity;
    PartTouch *touch;
} PartTouches;
/* Adds what the nest touches at this step. */
void nest_part_touches(const Plan *p, const Nest *n, int64_t step, PartTouches *add_to);
/* May two threads meet there, each with its part of the features, of the steps? */
bool parts_meet(const PartTouch *a, const PartTouch *b);
bool steps_meet(const PartTouch *a, const PartTouch *b);
/* Does a part of the nest's features read what another part of it writes? */
bool nest_parts_meet(const Plan *p, const Nest *n);

/* ---- plan_dump.c, plan_verify….c ---- */

extern const char *const proc_names[PROC_COUNT];

/* A person's reading, in the manner of 3-compiler's example. */
void plan_dump(const Plan *p, FILE *out);
/* Of a stage in time: does no group read what a later one writes? plan_verify asks it. */
void plan_verify_order(const Plan *p, const Stage *s);
/* BUG with a sentence when an invariant that emitters rely on is broken: behind fuse; where
   panels are not what products want, behind panel; where a tiling does not fit, behind
   tile; where barriers are missing, behind barrier; where values share bytes, behind place.
 */
void plan_verify(const Plan *p);
void plan_verify_panels(const Plan *p);
void plan_verify_tiles(const Plan *p);
void plan_verify_barriers(const Plan *p);
void plan_verify_places(const Plan *p);
/* Of a stage by features, which procedure it may be the first of, and the one behind it:
   what plan_verify_barriers asks of others. */
void plan_verify_parts(const Plan *p, bool first, const Stage *s, const Stage *next);

#endif
