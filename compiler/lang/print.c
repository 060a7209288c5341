/*
 * print.c — expressions back to text, with the fewest brackets.
 *
 * A part gets brackets when it binds more loosely than its place asks for. On the left
 * of an operator its own level will do, on the right the next tighter one; `^` the other
 * way round, and its right side may begin with a minus.
 */
#include "lang/lexer.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void print(Text *t, const Expr *e, Level level);

static Level level_of(const Expr *e)
{
    switch (e->kind) {
    case EXPR_NUMBER: return signbit(e->number) ? LEVEL_UNARY : LEVEL_POSTFIX;
    case EXPR_UNARY: return e->op == TOKEN_NOT ? LEVEL_NOT : LEVEL_UNARY;
    case EXPR_BINARY: return lang_ops[e->op].level;
    case EXPR_TEXT:
    case EXPR_NAME:
    case EXPR_CALL:
    case EXPR_INDEX:
    case EXPR_SLICE:
    case EXPR_MEMBER:
    case EXPR_LIST:
    case EXPR_ELLIPSIS: return LEVEL_POSTFIX;
    }
    BUG("expression of kind %d", (int)e->kind);
}

/* The shortest writing that reads back as the same double. */
static void print_number(Text *t, const Expr *e)
{
    char text[40];
    for (int digits = 1; digits <= DBL_DECIMAL_DIG; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, e->number);
        if (strtod(text, NULL) == e->number)
            break;
    }
    if (e->is_integer)
        snprintf(text, sizeof text, "%.0f", e->number);
    bool looks_whole = !strpbrk(text, ".e");
    text_add(t, "%s%s", text, !e->is_integer && looks_whole ? ".0" : "");
}

static void print_args(Text *t, const Expr *e, int first)
{
    for (int i = first; i < e->n_arg; i++) {
        text_add(t, "%s", i > first ? ", " : "");
        if (e->name && e->name[i])
            text_add(t, "%s=", e->name[i]);
        print(t, e->arg[i], LEVEL_OR);
    }
}

static void print_slice(Text *t, const Expr *e)
{
    for (int i = 0; i < e->n_arg; i++) {
        if (i == 1 || (i == 2 && e->arg[2]))
            text_add(t, ":");
        if (e->arg[i])
            print(t, e->arg[i], LEVEL_OR);
    }
}

static void print_binary(Text *t, const Expr *e)
{
    const OpWriting *op = &lang_ops[e->op];
    bool power = e->op == TOKEN_POW, compare = op->level == LEVEL_COMPARE;
    print(t, e->arg[0], power || compare ? (Level)(op->level + 1) : op->level);
    text_add(t, power ? "%s" : " %s ", op->sign);
    print(t, e->arg[1], power ? LEVEL_UNARY : (Level)(op->level + 1));
}

static void print_unary(Text *t, const Expr *e)
{
    bool is_not = e->op == TOKEN_NOT;
    text_add(t, "%s", is_not ? "not " : "-");
    print(t, e->arg[0], is_not ? LEVEL_NOT : LEVEL_UNARY);
}

/* `2.c` would be a number: what is called a member of, or indexed, is bracketed then. */
static void print_base(Text *t, const Expr *e)
{
    bool is_number = e->kind == EXPR_NUMBER;
    text_add(t, "%s", is_number ? "(" : "");
    print(t, e, LEVEL_POSTFIX);
    text_add(t, "%s", is_number ? ")" : "");
}

static void print_node(Text *t, const Expr *e)
{
    const char *prime = e->primed ? "'" : "";
    switch (e->kind) {
    case EXPR_NUMBER: print_number(t, e); return;
    case EXPR_TEXT: text_add(t, "\"%s\"", e->text); return;
    case EXPR_NAME: text_add(t, "%s%s", e->text, prime); return;
    case EXPR_ELLIPSIS: text_add(t, "..."); return;
    case EXPR_UNARY: print_unary(t, e); return;
    case EXPR_BINARY: print_binary(t, e); return;
    case EXPR_SLICE: print_slice(t, e); return;
    case EXPR_CALL:
        text_add(t, "%s(", e->text);
        print_args(t, e, 0);
        text_add(t, ")");
        return;
    case EXPR_INDEX:
        print_base(t, e->arg[0]);
        text_add(t, "[");
        print_args(t, e, 1);
        text_add(t, "]");
        return;
    case EXPR_MEMBER:
        print_base(t, e->arg[0]);
        text_add(t, ".%s%s", e->text, prime);
        return;
    case EXPR_LIST:
        text_add(t, "[");
        print_args(t, e, 0);
        text_add(t, "]");
        return;
    }
    BUG("expression of kind %d", (int)e->kind);
}

static void print(Text *t, const Expr *e, Level level)
{
    bool brackets = level_of(e) < level;
    text_add(t, "%s", brackets ? "(" : "");
    print_node(t, e);
    text_add(t, "%s", brackets ? ")" : "");
}

const char *lang_print(Arena *arena, const Expr *e)
{
    Text t = {.arena = arena};
    text_add(&t, "%s", "");
    print(&t, e, LEVEL_OR);
    return t.text;
}
