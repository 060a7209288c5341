/*
 * lexer.h — inside the room: a text cut into tokens, lines and indentation included.
 */
#ifndef RNNC_LEXER_H
#define RNNC_LEXER_H

#include "lang/lang.h"

/* kind, how messages call it */
#define LEX_LIST(X)                            \
    X(END, "the end")                          \
    X(LINE, "the end of the line")             \
    X(INDENT, "an indented line")              \
    X(DEDENT, "the end of the block")          \
    X(BAD, "a mistake") /* already reported */ \
    X(NUMBER, "a number")                      \
    X(TEXT, "a text")                          \
    X(NAME, "a name")                          \
    X(OP, "an operator")                       \
    X(ELLIPSIS, "'...'")                       \
    X(OPEN, "'('")                             \
    X(CLOSE, "')'")                            \
    X(OPEN_SQUARE, "'['")                      \
    X(CLOSE_SQUARE, "']'")                     \
    X(COMMA, "','")                            \
    X(COLON, "':'")                            \
    X(ASSIGN, "'='")                           \
    X(DOT, "'.'")                              \
    X(FOR, "'for'")                            \
    X(IN, "'in'")                              \
    X(IF, "'if'")                              \
    X(ELIF, "'elif'")                          \
    X(ELSE, "'else'")

typedef enum {
#define X(kind, words) LEX_##kind,
    LEX_LIST(X)
#undef X
} LexKind;

typedef struct {
    LexKind kind;
    ExprOp op;       /* LEX_OP */
    bool primed;     /* LEX_NAME */
    bool is_integer; /* LEX_NUMBER */
    double number;
    const char *text; /* LEX_NAME, LEX_TEXT: its letters; else as written */
    Loc loc;
} Token;

typedef struct {
    Token *token; /* the last one is LEX_END */
    int n;
} Tokens;

enum { LANG_MAX_DEPTH = 256, LANG_MAX_BYTES = 64 << 10 };

/* lines: LINE, INDENT, DEDENT are made; else all line ends are blanks. Mistakes are in d,
   and LEX_BAD stands in their place. */
Tokens lang_tokens(Arena *arena, Diag *d, const char *text, TextPlace place, bool lines);

/* What an operator is: how it is written and how tightly it binds. */
typedef enum {
    LEVEL_OR = 1,
    LEVEL_AND,
    LEVEL_NOT,
    LEVEL_COMPARE,
    LEVEL_SUM,
    LEVEL_PRODUCT,
    LEVEL_UNARY,
    LEVEL_POWER,
    LEVEL_POSTFIX
} Level;

typedef struct {
    const char *sign;
    Level level;
} OpWriting;
extern const OpWriting lang_ops[]; /* by ExprOp */
extern const int n_lang_op;

#endif
