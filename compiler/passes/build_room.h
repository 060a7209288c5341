/*
 * build_room.h — what the files of the build pass share; nobody else includes it.
 *
 * The pass is an evaluator of the language whose values are graph nodes. A definition
 * (cell, function, loss, optimizer) is evaluated anew at each call, in a Scope of its
 * own: that is inlining. `for` and `if` run while the graph is built, so nothing of them
 * is left in it. What the spec knows as numbers stays numbers (VALUE_NUMBER) and folds;
 * it turns into constant nodes where it meets a node.
 *
 *     build.c            the picture: inputs, model, output, then the rest in order
 *     build_names.c      scopes, what a name means, where a callee is found, messages
 *     build_value.c      values: numbers, nodes, lists; elementwise operations on them
 *     build_expr.c       one function for each kind of expression
 *     build_index.c      v[...]: slices, elements, gathers
 *     build_function.c   the table of the compiler's own functions
 *     build_tensor.c     … of which these work on shapes: reductions, products, moves
 *     build_block.c      statements
 *     build_call.c       what a call gives is bound to arguments and inputs
 *     build_inline.c     cells and functions: their bodies become nodes
 *     build_cell.c       what a cell owns: shapes, parameters, states
 *     build_tbptt.c      where states begin, how steps leave them, which steps count
 *     build_use.c        which arguments are structural
 *     build_init.c       first values of parameters
 *     build_loss.c       losses and metrics
 *     build_metrics.c    metrics of all chunks so far
 *     build_optimizer.c  the update of every trained parameter
 *     build_reach.c      what a node depends on
 *     build_ignored.c    classes' values to ignore, where the loss would see them
 *     build_warn.c       derivatives that are not finite where a branch is not taken
 */
#ifndef RNNC_BUILD_ROOM_H
#define RNNC_BUILD_ROOM_H

#include "passes/build.h"

typedef struct Build Build;
typedef struct Scope Scope;
typedef struct Value Value;
typedef struct Builtin Builtin;

/* ---- values ---- */

typedef enum {
    VALUE_ERROR,  /* a mistake, already said: whatever uses it is silent */
    VALUE_NUMBER, /* known now: `number`, in every element of `shape` */
    VALUE_NODE,
    VALUE_LIST,     /* [a, b], or the parts of a split */
    VALUE_FUNCTION, /* an argument that is a function: `def` or `builtin` */
    VALUE_TEXT
} ValueKind;

struct Value {
    ValueKind kind;
    Kind type;           /* real, flag, class; integers are reals here */
    int64_t classes;     /* KIND_CLASS */
    bool may_be_ignored; /* KIND_CLASS: the data may hold a value outside [0, classes) */
    double number;
    Shape shape; /* VALUE_NUMBER */
    NodeId node;
    int n;
    Value *item;
    const char *text;
    const Def *def;
    const Builtin *builtin;
};

#define NOTHING ((Value){.kind = VALUE_ERROR, .node = NO_NODE})

Value value_number(double number);
Value value_flag(bool flag);
Value value_fill(double number, Shape shape);
Value value_node(NodeId node);
Value value_typed(NodeId node, Kind type);
/* A number without a shape: what may be a dimension, an index, a condition. */
bool value_is_number(const Value *v);
/* The value's shape; false (nothing said) where it has none: functions, texts, uneven
 * lists. */
bool value_shape(Scope *s, const Value *v, Shape *out);
/* "[4, 3]", "a class of 10", "a function": for messages. */
const char *value_print(Scope *s, const Value *v);
/* The node that holds v as a tensor, made in the phase of now; NO_NODE after a mistake.
   `real` refuses classes; `narrow` is the same without wide scalars. */
NodeId value_tensor(Scope *s, const Value *v);
NodeId value_real(Scope *s, const Value *v);
NodeId value_narrow(Scope *s, const Value *v);
/* op of n values, broadcast; a number where all are. */
Value value_map(Scope *s, OpCode op, int n, const Value *v);
Value value_power(Scope *s, const Value *base, const Value *exponent);
Value value_where(Scope *s, const Value *condition, const Value *a, const Value *b);
/* A whole number for a shape, an index, a count; `what` for the message. */
bool value_whole(Scope *s, const Value *v, const char *what, int64_t *out);
/* The axes of a value: none for numbers. */
Axes value_axes(Scope *s, const Value *v);

/* ---- scopes ---- */

typedef enum {
    PLACE_LINE,
    PLACE_LOOP,
    PLACE_STATE,
    PLACE_PARAM,
    PLACE_ARG,
    PLACE_INPUT,
    PLACE_DIM,
    PLACE_NEXT /* h', found by its primed name alone */
} Place;

/* Whose loop a state is: in which table of the graph it stands. */
typedef enum { OWNER_NONE, OWNER_MODEL, OWNER_UPDATE } Owner;

typedef struct {
    const char *name;
    Place place;
    Value value;
    Value init;       /* PLACE_PARAM: the first value */
    const Expr *expr; /* PLACE_ARG: where its value came from, … */
    Scope *from;      /* … to be evaluated again in another phase */
    Owner owner;      /* PLACE_STATE */
    int index;        /* … in the owner's table */
    bool is_instance; /* PLACE_LINE: a call that owns something */
} Binding;

/* How the names of an instance's parameters and states are made. */
typedef struct Naming Naming;
struct Naming {
    const Naming *outer;
    const char *prefix; /* "rnn": NAME becomes rnn.NAME; NULL: by pattern */
    const char
        *pattern; /* "{name}_l0"; without {name} it is a prefix; NULL: the model itself */
};

struct Scope {
    Build *b;
    Scope *caller;
    const Def *def;       /* NULL: an expression that stands alone (optimizer, override) */
    Loc call;             /* where the caller called */
    bool library;         /* names before ( are the library's only */
    const Naming *naming; /* NULL: may own nothing */
    const Naming
        *scalars; /* arguments that are numbers become run-time scalars; NULL: none do */
    bool scalar_defaults; /* … those left at their defaults too */
    int structural;       /* > 0: names are arguments, dimensions and loop counters only */
    const Shape *maker;   /* inside an `init`: the parameter's shape */
    bool losses;          /* losses may be called, average and total too */
    bool averages;        /* per-step values become their averages (loss expression) */
    bool update;          /* gradient_norm may be used */
    int n_owned;          /* parameters and states made in here */
    const char *last;     /* last name assigned */
    bool has_ellipsis;
    Shape ellipsis; /* what `...` stands for */
    int n_binding, capacity;
    Binding *binding;
};

enum {
    BUILD_MAX_NODES = 1 << 20,
    BUILD_MAX_CALLS = 1 << 17,
    BUILD_MAX_LOOP = 1 << 16,
    BUILD_MAX_DEPTH = 128
};

/* What `tbptt:` asks, as flags {time,row}; NO_NODE: always so, or (reset) never. */
typedef struct {
    NodeId reset;    /* the row starts anew before this step */
    NodeId within;   /* the step is of the row's length */
    NodeId warm;     /* the row is beyond its burn-in */
    NodeId whole;    /* no real that the step was given is missing */
    NodeId counts;   /* the step has weight in the loss */
    bool counts_new; /* of a window, only new steps do */
} Tbptt;

struct Build {
    Arena *arena;
    Diag *d;
    const Spec *spec;
    Graph *g;
    bool stopped; /* too large: said once, then nothing more is built */
    int n_call;
    int depth;
    uint8_t **use; /* [definition][argument]: Use + 1, once found */
    bool *called;  /* [definition] */
    int n_decl, decl_capacity;
    const VarDecl **decl; /* by parameter: its overrides stand there */
    NodeId start, training;
    Tbptt tbptt;
    int n_found, found_capacity;
    NodeId *found; /* by state: as the step finds it, where a row may have started anew */
    NodeId *gradient; /* by parameter, while the update is built; NO_NODE: not trained */
    NodeId gradient_norm;
    Value loss_weight; /* of the first loss called: metrics are weighted so */
    bool has_loss_weight;
    Value weight_sum; /* Σ weights of the loss expression so far; wide or narrow */
    bool has_weight_sum;
};

/* build_names.c */
Scope *scope_new(Build *b, Scope *caller, const Def *def, Loc call);
Binding *scope_bind(Scope *s, Place place, const char *name, Value value);
Binding *scope_find_in(Scope *s, Place place, const char *name);
/* Is anything bound in it to a mistake? Then what is made of it would say more of the same.
 */
bool scope_has_error(const Scope *s);
/* What `name` means as a value; NULL: nothing here. */
Binding *scope_find(Scope *s, const char *name);
/* Does `name` mean anything here, as a value or before a bracket? */
bool scope_knows(Scope *s, const char *name);
/* What `name` means, or a message with the nearest name. */
Value scope_value(Scope *s, const Expr *e);
const char *naming_full(Build *b, const Naming *naming, const char *local);
/* A run-time number of the graph, made at its first use; another value under a name that
   is taken gets a name of its own. */
Value build_scalar(Build *b, const char *name, double value, bool counter);
/* Where v is such a number as it stands, it takes no others from now on. */
void build_limit(Build *b, const Value *v, double least, double most, bool whole);

typedef enum { CALLEE_NONE, CALLEE_BUILTIN, CALLEE_DEF } CalleeKind;
typedef struct {
    CalleeKind kind;
    const Def *def;
    const Builtin *builtin;
} Callee;
Callee callee_find(Scope *s, const char *name);
/* Says that there is no such cell or function. */
Value callee_unknown(Scope *s, const Expr *e, const char *name);

/* Says a mistake at `loc` (or, inside the library, where the spec called it) and how it
   was reached. Returns NOTHING. */
Value build_error(Scope *s, Loc loc, const char *format, ...) PRINTF(3, 4);
/* ", did you mean 'x'?" or "". */
const char *build_hint(Build *b, const char *name, const char *const *candidate, int n);
/* False, said once, when the graph has grown beyond all reason. */
bool build_go_on(Scope *s, Loc loc);

/* build_expr.c */
Value expr_value(Scope *s, const Expr *e);
/* As a constant: shapes, for, if, when. */
Value expr_structural(Scope *s, const Expr *e);
/* The condition of an `if` or a `when`: a number that is not 0, or an argument that may
 * change. */
bool expr_truth(Scope *s, const Expr *e, const char *where, bool *out);
bool expr_whole(Scope *s, const Expr *e, const char *what, int64_t *out);
/* A call, bound to the name `bind` (NULL: to none). */
Value expr_call(Scope *s, const Expr *e, const char *bind);
/* Dimension by dimension, `...` as bound. False after a mistake. */
bool expr_shape(Scope *s, const ShapeExpr *e, Shape *out);
/* A function's name where an argument wants one. */
Value expr_function(Scope *s, const Expr *e);
bool shape_append(Scope *s, Loc loc, Shape *shape, int64_t dim);
bool shape_is_sound(Scope *s, Loc loc, const Shape *shape);

/* build_index.c */
Value index_value(Scope *s, const Expr *e);

/* build_block.c */
void block_run(Scope *s, Block block);
/* Does any line of the block assign this name? */
bool block_assigns(Block block, const char *name, bool primed);

/* build_function.c: the compiler's own functions */
typedef struct {
    Scope *s;
    const Expr *e;
    int n;
    const Value *v;    /* positional */
    const Value *axis; /* axis= or axes=, NULL when not given */
} BuiltinCall;
struct Builtin {
    const char *name;
    int min_arg, max_arg;
    OpCode op; /* of those that are one operation; OP_COUNT else */
    Value (*run)(const Builtin *f, const BuiltinCall *call);
    uint32_t constant;     /* bit i: argument i must be known when the spec is compiled */
    const char *option;    /* "axis", "axes" or NULL */
    bool in_init, in_loss; /* stands only there */
};
const Builtin *builtin_find(const Scope *s, const char *name);
extern const Builtin builtins[];
extern const int n_builtin;
Value builtin_call(Scope *s, const Expr *e, const Builtin *f);

/* build_tensor.c */
Value tensor_reduce(const Builtin *f, const BuiltinCall *call);
Value tensor_mean(const Builtin *f, const BuiltinCall *call);
Value tensor_norm(const Builtin *f, const BuiltinCall *call);
Value tensor_argmax(const Builtin *f, const BuiltinCall *call);
Value tensor_logsumexp(const Builtin *f, const BuiltinCall *call);
Value tensor_softmax(const Builtin *f, const BuiltinCall *call);
Value tensor_log_softmax(const Builtin *f, const BuiltinCall *call);
Value tensor_split(const Builtin *f, const BuiltinCall *call);
Value tensor_concat(const Builtin *f, const BuiltinCall *call);
Value tensor_reshape(const Builtin *f, const BuiltinCall *call);
Value tensor_transpose(const Builtin *f, const BuiltinCall *call);
Value tensor_outer(const Builtin *f, const BuiltinCall *call);
Value tensor_dot(const Builtin *f, const BuiltinCall *call);
Value tensor_einsum(const Builtin *f, const BuiltinCall *call);
Value tensor_matmul(Scope *s, const Value *a, const Value *b);
/* [a, b, c] along a new first axis. */
NodeId tensor_stack(Scope *s, const Value *list);
/* -rank … rank - 1 to 0 … rank - 1. */
bool tensor_axis(Scope *s, const Value *v, int rank, int *out);

/* build_call.c */
/* The named arguments of a call, ticked off as they are used. */
typedef struct {
    const Expr *e; /* NULL: none */
    Scope *from;   /* where they are evaluated */
    int n_positional;
    bool *taken;
} Call;
Call call_begin(Scope *from, const Expr *e);
const Expr *call_take(Call *call, const char *name);
void call_skip(Call *call, const char *name);
/* Says which named arguments nobody took. */
void call_end(Scope *callee, Call *call);
/* Binds arguments that the call gives, then defaults; those that hold a dimension of an
   input come after the inputs. */
void call_bind_given(Scope *callee, Call *call);
void call_bind_defaults(Scope *callee, bool after_inputs);
void call_bind_inputs(Scope *callee, Call *call);
/* False, said, when more goes without a name than there are inputs: nothing else of such a
   call is worth a message. */
bool call_has_inputs_only(Scope *callee, const Call *call);
/* Binds one argument, checked against its kind and use; a run-time scalar where it may be.
 */
void call_bind_arg(Scope *callee, int arg, Value v, const Expr *e, Scope *from);
bool call_is_recursive(Scope *s, const Def *def, Loc loc);
/* From now on the definition is one that is called. */
void call_note(Build *b, const Def *def);

/* build_inline.c */
/* What a cell or the model gives, its step being run: `output`, or the last name assigned.
 */
Value call_output(Scope *s);
Value call_cell(Scope *s, const Expr *e, const Def *def, const char *bind);
Value call_function(Scope *s, const Def *def, int n, const Value *positional,
                    const Expr *e);

/* build_cell.c */
void cell_bind_starts(Scope *s, Call *call);
void cell_declare_params(Scope *s);
void cell_declare_states(Scope *s, Call *call);
void cell_close_states(Scope *s);

/* build_tbptt.c */
void tbptt_build(Scope *model);
/* Flag {row}: a sequence starts with the chunk. */
NodeId tbptt_start(Build *b);
/* A state's loop, open until tbptt_leave_state; its index. Its value is b->found[index]. */
int tbptt_add_state(Build *b, const char *name, Shape shape, NodeId initial);
/* Closes the loop with what the step leaves, which may be something else than `next`. */
NodeId tbptt_leave_state(Build *b, int index, NodeId next);
/* Flag: dropout is on. */
NodeId tbptt_training(Build *b);
/* An input's reals with 0 for those that are missing; their steps will not count. */
NodeId tbptt_mask(Build *b, NodeId reals);
/* From here on a window's old steps do not count. */
void tbptt_count_new(Build *b);
/* The value with {time,row}, and 0 where the step does not count. */
NodeId tbptt_counted(Build *b, NodeId per_step);
/* Flag without axes: some row starts a sequence in this chunk. */
NodeId tbptt_any_start(Build *b);
/* Flag without axes: the chunk has more than n steps; with a burn-in, some row has so many
   behind it. */
NodeId tbptt_more_steps(Build *b, int n);

/* build_use.c */
typedef enum {
    USE_NUMBER,  /* may change while running */
    USE_TRUTH,   /* its being the constant 0 decides something */
    USE_CONSTANT /* in a shape, a `for`, a comparison under `if` … */
} Use;
Use use_of(Scope *s, const Def *def, int arg);
bool arg_is_function(Scope *s, const Def *def, const ArgDecl *arg);

/* build_init.c */
/* The node of a parameter's first value, in PHASE_INIT; NO_NODE after a mistake. */
NodeId init_value(Scope *s, const VarDecl *decl, Shape shape);
Value init_maker(const Builtin *f, const BuiltinCall *call);
/* zeros, xavier … as bare names; *found: it is one. */
Value init_named_maker(Scope *s, const char *name, Loc loc, bool *found);
extern const char *const init_maker_names[];
extern const int n_init_maker;

/* build_loss.c */
void loss_build(Scope *model);
void metrics_build(Scope *model);

/* ---- build_metrics.c ---- */

/* A chunk's value, made of sums over its steps and rows, as that of all chunks so far.
   NO_NODE, with nothing made: it sums tensors that are too large. */
NodeId metric_of_all_chunks(Graph *g, NodeId value);
Value loss_call(Scope *s, const Expr *e, const Def *def);
Value loss_average(Scope *s, const Value *v);
Value loss_average_call(const Builtin *f, const BuiltinCall *call);
Value loss_total_call(const Builtin *f, const BuiltinCall *call);
/* Does it hold a call of a loss? */
bool loss_is_called(Scope *s, const Expr *e);

/* build_optimizer.c */
void optimizer_build(Scope *model);
NodeId optimizer_gradient_norm(Build *b);

/* build_reach.c */
typedef struct {
    bool entry;    /* follow a state to its value at the start, of a chunk or by a reset */
    bool gradient; /* only where a gradient may flow */
} ReachRule;
/* [n_node]: true for what the roots depend on; states are followed to `next`. */
bool *reach_from(Build *b, const NodeId *root, int n_root, ReachRule rule);
/* [n_node]: by how many steps, at least, what a node computes is used later; -1: never. */
int *reach_steps(Build *b, const NodeId *root, int n_root, ReachRule rule);

/* build_ignored.c: an error for each class whose value to ignore the loss would see. */
void refuse_bare_reads(Build *b);

/* build_warn.c */
void warn_of_untaken_branches(Build *b);

#endif
