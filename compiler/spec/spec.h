/*
 * spec.h — YAML to a tree with places, and the tree to a typed spec.
 *
 * Two layers. `Tree` is any YAML document: mappings, sequences, scalars, each
 * with its place; what libyaml lets pass (depth, aliases, duplicate keys, tags,
 * several documents, cut flow scalars) is refused while it is built. `Spec` is a
 * document of version `rnnc: 1` after the schema: every key known, every scalar
 * of its type, every expression parsed. What the expressions mean is the build
 * pass's business.
 *
 * The schema is one table (schema.def): key path, kind, default, range, when
 * (compile or run), help. `rnnc list keys`, `--set`, defaults and unknown-key
 * messages all read it.
 */
#ifndef RNNC_SPEC_H
#define RNNC_SPEC_H

#include "base/base.h"
#include "lang/lang.h"

/* ---- tree ---- */

typedef enum { TREE_NULL, TREE_SCALAR, TREE_LIST, TREE_MAP } TreeKind;

typedef struct Tree Tree;
struct Tree {
    TreeKind kind;
    Loc loc;
    const char *text; /* TREE_SCALAR, as written, escapes resolved */
    bool quoted;      /* '…' or "…": never a number or flag by itself */
    TextPlace place;  /* for lang_expression / lang_block */
    int n;            /* children */
    const char **key; /* TREE_MAP: by child */
    Loc *key_loc;
    Tree **child;
};

enum { TREE_MAX_DEPTH = 64, TREE_MAX_BYTES = 4 << 20, TREE_MAX_SCALAR = 64 << 10 };

/* NULL after errors. The source must outlive the tree. */
Tree *tree_parse(Arena *arena, Diag *d, const Source *source);
const Tree *tree_get(const Tree *map, const char *key); /* NULL when absent or not a map */
/* The document as YAML again, so that it reads back equal: for spec.yaml in a run's folder.
 */
void tree_print(Text *out, const Tree *tree);

/* Reads a whole regular file, at most TREE_MAX_BYTES; NULL after an error in d. */
const Source *source_read(Arena *arena, Diag *d, const char *path);

/* ---- typed spec ---- */

/* The words for kinds are one set everywhere in the language. */
typedef enum { KIND_REAL, KIND_INTEGER, KIND_FLAG, KIND_CLASS, KIND_FUNCTION } Kind;
const char *kind_word(Kind kind); /* as a spec has it */

/* A shape as written: each dimension an expression; `[...]` is one ellipsis. */
typedef struct {
    int n;
    const Expr **dim;
    Loc loc;
} ShapeExpr;

/* An input of the spec, or of a cell or loss. */
typedef struct {
    const char *name;
    Loc loc;
    Kind kind;
    const Expr
        *classes; /* KIND_CLASS: n of class(n); NULL: the vocabulary's size (top level) */
    bool has_ignore;
    int64_t ignore; /* {class: 96, ignore: -100} */
    bool per_sequence;
    ShapeExpr shape; /* n = 0 for a scalar */
} InputDecl;

/* `name: kind` (required) or `name: default`. */
typedef struct {
    const char *name;
    Loc loc;
    Kind kind; /* of a required one; else told by the default */
    bool required;
    const Expr *value; /* default */
} ArgDecl;

typedef struct {
    const char *name;
    Loc loc;
    ShapeExpr shape;
    bool like_w;         /* optimizer states: like(w) */
    const Expr *when;    /* NULL: always */
    const Expr *init;    /* parameters: `init`; states: `initial`; NULL: default */
    bool has_grad, grad; /* parameters: `grad: false` */
    int n_override;      /* parameters: optimizer: {weight_decay: 0, …} */
    const char **override_name;
    const Expr **override_value;
} VarDecl;

typedef enum { DEF_CELL, DEF_LOSS, DEF_OPTIMIZER, DEF_FUNCTION } DefKind;

/* A cell, loss, optimizer or function: all are arguments, inputs, variables and equations.
 */
typedef struct {
    DefKind kind;
    const char *name;
    Loc loc;
    bool library; /* from specs/std */
    int n_arg;
    ArgDecl *arg;
    int n_input;
    InputDecl *input; /* functions have none: their args are their inputs */
    int n_state;
    VarDecl *state;
    int n_start;
    VarDecl *start; /* `starts:` */
    int n_param;
    VarDecl *param;
    Block step;
    const Expr *output; /* cells; NULL: the last name assigned */
    const Expr *value;  /* losses, functions */
    const Expr *weight; /* losses; NULL: 1 */
    int n_derivative; /* functions; name NULL for a plain derivative (of the first argument)
                       */
    const char **derivative_name;
    const Expr **derivative;
} Def;

typedef struct {
    const char *name;
    Loc loc;
    const Expr *value;
} Named;

typedef struct {
    const char *match; /* groups: "*.bias*" */
    Loc loc;
    int n;
    const char **name;
    const Expr **value;
} ParamGroup;

/* A run-time section kept as a tree (data, train): read by key path with the
   schema's defaults; the runtime's configuration is made of it. */
typedef struct {
    Arena *arena;
    const Source *source;
    Tree *root;
    const char *name; /* `name:`, else the file's name without extension */
    int n_input;
    InputDecl *input;
    Def *model; /* a cell without arguments; its inputs are the spec's */
    int n_def;
    Def *def;         /* the spec's own, then the library's */
    const Expr *loss; /* NULL: none (a model to run, not to train) */
    int n_metric;
    Named *metric;
    const Expr *optimizer; /* an EXPR_CALL; NULL: none */
    int n_group;
    ParamGroup *group;
    int64_t tbptt_step;   /* 0: the whole sequence */
    int64_t tbptt_window; /* a multiple of it, at least itself */
    bool tbptt_loss_all;  /* of the window, not of its new steps alone */
    int64_t tbptt_burn_in;
    const Tree *tbptt_reset, *tbptt_lengths; /* an input's name, NULL: none */
    bool data_masks; /* reals of a section of data may be missing: nan: mask */
    const Tree *tbptt, *data, *train;
} Spec;

typedef struct {
    const char *name;
    const char *text;
} EmbeddedFile;
extern const EmbeddedFile
    spec_library[]; /* specs/std, made at build time; ends with name NULL */

/* An override `path.to.key=value` from --set; value is YAML. */
typedef struct {
    const char *path, *value;
} Override;

/* Reads `path`, applies overrides, checks the schema, parses every expression, adds the
   library (or the folder `library` in its place when not NULL). NULL after errors. */
Spec *spec_read(Arena *arena, Diag *d, const char *path, const char *library,
                const Override *override, int n_override);
/* BUG with a sentence when something that build relies on is not so. */
void spec_verify(const Spec *spec);
/* The library's definitions alone, of `folder` or (NULL) the embedded ones. NULL after
   errors. */
const Def *library_read(Arena *arena, Diag *d, const char *folder, int *n_def);
/* Looks a definition up: the spec's own first; from_library: the library's only. */
const Def *spec_find(const Spec *spec, DefKind kind, const char *name, bool from_library);

/* Values of a run-time section, with the schema's default where absent: path such as
   "train.epochs", "data.train.batch". Mistakes of type were found by spec_read. */
const Tree *spec_tree(const Spec *spec, const char *path); /* NULL when absent */
int64_t spec_integer(const Spec *spec, const char *path, int64_t otherwise);
double spec_real(const Spec *spec, const char *path, double otherwise);
bool spec_flag(const Spec *spec, const char *path, bool otherwise);
const char *spec_text(const Spec *spec, const char *path, const char *otherwise);
/* Does --set PATH mean a number that the model reads while it runs (rnn.dropout,
   groups.0.lr), since no spec has such a key? */
bool spec_path_is_number(Arena *arena, const char *path);

/* One row of the schema, for `rnnc list keys`. */
typedef struct {
    const char *path, *type, *otherwise, *when, *help;
} Key;
extern const Key spec_keys[];
extern const int n_spec_key;

#endif
