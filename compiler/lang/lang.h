/*
 * lang.h — the expression language of specs: text to tree, nothing of meaning.
 *
 * Grammar, loosest first (docs: 2-language "Expressions"):
 *
 *     or | and | not | == != < <= > >= (do not chain) | + - | * / // @ | unary - | ^
 * (right) | postfix: call(…) [index] .name | atom: number "text" name name' ( … ) [a, b]
 *
 * A block (`step: |`) is a list of statements, blocks indented by spaces; `#`
 * begins a comment; a line goes on while a bracket is open.
 *
 * Nodes live in the arena and are never changed after parsing. Every node has
 * the place where it stands in its file, so a mistake found five passes later
 * still shows its line.
 */
#ifndef RNNC_LANG_H
#define RNNC_LANG_H

#include "base/base.h"

typedef enum {
    EXPR_NUMBER,  /* number, is_integer: written without point or exponent */
    EXPR_TEXT,    /* text: "ij,j->i" */
    EXPR_NAME,    /* text; primed for h' */
    EXPR_UNARY,   /* op '-' or OP_NOT; arg[0] */
    EXPR_BINARY,  /* op; arg[0], arg[1] */
    EXPR_CALL,    /* text: callee; arg[], name[i] set where the i-th is named */
    EXPR_INDEX,   /* arg[0] indexed by arg[1..]: expressions or EXPR_SLICE */
    EXPR_SLICE,   /* arg[0..2] lo, hi, step; NULL where left out */
    EXPR_MEMBER,  /* arg[0] . text; primed for rnn.c' */
    EXPR_LIST,    /* [a, b, c] */
    EXPR_ELLIPSIS /* `...` in shapes */
} ExprKind;

typedef enum {
    TOKEN_OR,
    TOKEN_AND,
    TOKEN_NOT,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_GT,
    TOKEN_GE,
    TOKEN_ADD,
    TOKEN_SUB,
    TOKEN_MUL,
    TOKEN_DIV,
    TOKEN_FLOORDIV,
    TOKEN_MATMUL,
    TOKEN_POW
} ExprOp;

typedef struct Expr Expr;
struct Expr {
    ExprKind kind;
    ExprOp op;
    bool primed, is_integer;
    double number;
    const char *text;
    int n_arg;
    const Expr **arg;
    const char **name; /* EXPR_CALL: NULL or the argument's name */
    const Loc
        *begin; /* EXPR_CALL: where the argument begins, with its name if it has one */
    Loc loc;
};

typedef enum {
    STMT_ASSIGN, /* target[0..] = value; several targets take split's parts */
    STMT_IF,     /* arm[i].condition (NULL for else), arm[i].body */
    STMT_FOR     /* for target[0] in value: body = arm[0].body */
} StmtKind;

typedef struct Stmt Stmt;
typedef struct {
    const Stmt **stmt;
    int n_stmt;
} Block;

typedef struct {
    const Expr *condition;
    Block body;
} Arm;

struct Stmt {
    StmtKind kind;
    int n_target;
    const Expr **target; /* EXPR_NAME nodes, maybe primed */
    const Expr *value;
    int n_arm;
    Arm *arm;
    Loc loc;
};

/*
 * Where each byte of an expression's text stands in its file. A plain scalar
 * and a block scalar keep their columns; a quoted or folded one maps to the
 * scalar's start when escapes make columns uncertain.
 */
typedef struct {
    Loc start;  /* of the text's first byte */
    int indent; /* columns that the YAML block removed from each line after the first */
    bool exact; /* false: every byte maps to `start` */
} TextPlace;

/* NULL after an error, which is in d. Depth is capped at 256, text at 64 KiB. */
const Expr *lang_expression(Arena *arena, Diag *d, const char *text, TextPlace place);
/* Statements; *ok false after an error. Goes on after a mistaken line to report all. */
Block lang_block(Arena *arena, Diag *d, const char *text, TextPlace place, bool *ok);
/* The expression as the language would write it, with the fewest brackets. */
const char *lang_print(Arena *arena, const Expr *e);

#endif
