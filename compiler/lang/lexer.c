/*
 * lexer.c — text to tokens, each with its place in the YAML file.
 *
 * The whole text is cut at once: it has at most 64 KiB. In a block, line ends and
 * changes of indentation become tokens, as in Python's reference, section 2.1.8: a stack
 * holds the columns of the open blocks. Inside brackets line ends are blanks.
 *
 * A bracket that is never closed would swallow every line after it. When the text ends
 * inside one, the mistake is reported at the bracket, everything after that line is
 * forgotten, and cutting goes on at the next line as if the bracket were not there. So
 * one forgotten bracket costs one message and the other lines are still checked. Each
 * such step reads the rest again; after MAX_UNCLOSED of them cutting stops.
 */
#include "lang/lexer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const OpWriting lang_ops[] = {
    [TOKEN_OR] = {"or", LEVEL_OR},         [TOKEN_AND] = {"and", LEVEL_AND},
    [TOKEN_NOT] = {"not", LEVEL_NOT},      [TOKEN_EQ] = {"==", LEVEL_COMPARE},
    [TOKEN_NE] = {"!=", LEVEL_COMPARE},    [TOKEN_LT] = {"<", LEVEL_COMPARE},
    [TOKEN_LE] = {"<=", LEVEL_COMPARE},    [TOKEN_GT] = {">", LEVEL_COMPARE},
    [TOKEN_GE] = {">=", LEVEL_COMPARE},    [TOKEN_ADD] = {"+", LEVEL_SUM},
    [TOKEN_SUB] = {"-", LEVEL_SUM},        [TOKEN_MUL] = {"*", LEVEL_PRODUCT},
    [TOKEN_DIV] = {"/", LEVEL_PRODUCT},    [TOKEN_FLOORDIV] = {"//", LEVEL_PRODUCT},
    [TOKEN_MATMUL] = {"@", LEVEL_PRODUCT}, [TOKEN_POW] = {"^", LEVEL_POWER},
};
const int n_lang_op = COUNT(lang_ops);

/* Signs that are not operators; longer ones before their beginnings. */
static const struct {
    const char *sign;
    LexKind kind;
} punctuation[] = {
    {"...", LEX_ELLIPSIS},  {"(", LEX_OPEN},         {")", LEX_CLOSE},
    {"[", LEX_OPEN_SQUARE}, {"]", LEX_CLOSE_SQUARE}, {",", LEX_COMMA},
    {":", LEX_COLON},       {"=", LEX_ASSIGN},       {".", LEX_DOT},
};

static const struct {
    const char *word;
    LexKind kind;
} keywords[] = {
    {"for", LEX_FOR},   {"in", LEX_IN},     {"if", LEX_IF},
    {"elif", LEX_ELIF}, {"else", LEX_ELSE},
};

/* What people write by habit of other languages, and what stands for it here. */
static const struct {
    const char *sign, *advice;
} habits[] = {
    {"**", "a power is written ^"},
    {"&&", "write 'and'"},
    {"||", "write 'or'"},
    {"!", "write 'not'"},
    {"%", "write mod(a, b)"},
    {"'", "a text stands in double quotes"},
    {"{", "a list is written [a, b]"},
    {";", "write one assignment on a line"},
    {"?", "write where(condition, a, b)"},
};

enum { MAX_UNCLOSED = 20, MAX_BLOCKS = 64 };

typedef struct {
    Arena *arena;
    Diag *d;
    const char *text, *at, *line_start;
    TextPlace place;
    int line; /* from 0 */
    bool lines;
    Token *token;
    int n, capacity;
    struct Bracket {
        int token; /* its index */
        const char *line_start;
        int line;
    } bracket[LANG_MAX_DEPTH];
    int n_bracket;
    int column[MAX_BLOCKS]; /* of the open blocks; column[0] is the outermost's */
    int n_block;
    int n_unclosed;
    bool stopped;
} Lexer;

static Loc loc_at(const Lexer *x, const char *at, int length)
{
    Loc loc = x->place.start;
    loc.length = length;
    if (!x->place.exact)
        return loc;
    int column = (int)(at - x->line_start);
    loc.column = x->line ? x->place.indent + column + 1 : loc.column + column;
    loc.line += x->line;
    return loc;
}

static Token *add_token(Lexer *x, LexKind kind, int length)
{
    Token *t = PUSH(x->arena, x->token, x->n, x->capacity);
    t->kind = kind;
    t->loc = loc_at(x, x->at, length);
    t->text = arena_copy(x->arena, x->at, (size_t)length);
    x->at += length;
    return t;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* ---- words, numbers, texts ---- */

static void lex_word(Lexer *x)
{
    int length = 1;
    while (is_letter(x->at[length]) || is_digit(x->at[length]))
        length++;
    Token *t = add_token(x, LEX_NAME, length);
    for (int i = 0; i < COUNT(keywords); i++)
        if (str_eq(t->text, keywords[i].word))
            t->kind = keywords[i].kind;
    for (int i = TOKEN_OR; i <= TOKEN_NOT; i++)
        if (str_eq(t->text, lang_ops[i].sign)) {
            t->kind = LEX_OP;
            t->op = (ExprOp)i;
        }
    if (*x->at != '\'' || t->kind != LEX_NAME)
        return;
    t->primed = true;
    t->loc.length++;
    x->at++;
    if (*x->at == '\'') {
        diag_error(x->d, loc_at(x, x->at, 1),
                   "a second ' after %s': a state has one next value", t->text);
        t->kind = LEX_BAD;
        while (*x->at == '\'')
            x->at++;
    }
}

static int number_length(const char *s)
{
    const char *start = s;
    while (is_digit(*s))
        s++;
    if (*s == '.' && s[1] != '.')
        for (s++; is_digit(*s);)
            s++;
    if (*s == 'e' || *s == 'E') {
        const char *exponent = s + 1;
        if (*exponent == '+' || *exponent == '-')
            exponent++;
        if (is_digit(*exponent))
            for (s = exponent; is_digit(*s);)
                s++;
    }
    return (int)(s - start);
}

static void lex_number(Lexer *x)
{
    const unsigned long long largest = 1ull << 53; /* beyond, doubles have gaps */
    int length = number_length(x->at);
    if (is_letter(x->at[length])) {
        while (is_letter(x->at[length]) || is_digit(x->at[length]))
            length++;
        Token *bad = add_token(x, LEX_BAD, length);
        diag_error(x->d, bad->loc, "'%s' is neither a number nor a name", bad->text);
        return;
    }
    Token *t = add_token(x, LEX_NUMBER, length);
    t->number = strtod(t->text, NULL);
    t->is_integer = !strpbrk(t->text, ".eE");
    size_t mantissa = strcspn(t->text, "eE"), zeros = strspn(t->text, "0.");
    if (!isfinite(t->number) || (t->number == 0 && zeros < mantissa)) {
        diag_error(x->d, t->loc, "the number %s is out of the range of double precision",
                   t->text);
        t->kind = LEX_BAD;
    } else if (t->is_integer && strtoull(t->text, NULL, 10) > largest) {
        diag_error(x->d, t->loc, "the integer %s is larger than 2^53", t->text);
        t->kind = LEX_BAD;
    }
}

static void lex_text(Lexer *x)
{
    int length = 1 + (int)strcspn(x->at + 1, "\"\n");
    if (x->at[length] != '"') {
        diag_error(x->d, loc_at(x, x->at, length), "this text has no closing \"");
        add_token(x, LEX_BAD, length);
        x->n_bracket = 0; /* what would have closed them is in the text */
        return;
    }
    Token *t = add_token(x, LEX_TEXT, length + 1);
    t->text = arena_copy(x->arena, t->text + 1, (size_t)length - 1);
}

/* ---- signs ---- */

static void track_brackets(Lexer *x, Token *t)
{
    bool opens = t->kind == LEX_OPEN || t->kind == LEX_OPEN_SQUARE;
    bool closes = t->kind == LEX_CLOSE || t->kind == LEX_CLOSE_SQUARE;
    if (closes && x->n_bracket > 0)
        x->n_bracket--;
    if (!opens)
        return;
    if (x->n_bracket == LANG_MAX_DEPTH) {
        diag_error(x->d, t->loc, "brackets nest deeper than %d", LANG_MAX_DEPTH);
        t->kind = LEX_BAD;
        x->stopped = true;
        return;
    }
    x->bracket[x->n_bracket++] =
        (struct Bracket){.token = x->n - 1, .line_start = x->line_start, .line = x->line};
}

static bool begins(const char *text, const char *sign)
{
    return strncmp(text, sign, strlen(sign)) == 0;
}

/* The longest operator that stands here, or -1. */
static int find_op(const char *at)
{
    int found = -1;
    for (int i = TOKEN_EQ; i < n_lang_op; i++)
        if (begins(at, lang_ops[i].sign) &&
            (found < 0 || strlen(lang_ops[i].sign) > strlen(lang_ops[found].sign)))
            found = i;
    return found;
}

static void lex_unknown(Lexer *x)
{
    int length = 1;
    while (((unsigned char)x->at[length] & 0xc0) == 0x80) /* the rest of a UTF-8 letter */
        length++;
    for (int i = 0; i < COUNT(habits); i++)
        if (begins(x->at, habits[i].sign)) {
            Token *t = add_token(x, LEX_BAD, (int)strlen(habits[i].sign));
            diag_error(x->d, t->loc, "'%s' is not part of the language: %s", t->text,
                       habits[i].advice);
            return;
        }
    Token *t = add_token(x, LEX_BAD, length);
    diag_error(x->d, t->loc, "the letter '%s' is not part of the language", t->text);
}

static void lex_sign(Lexer *x)
{
    int op = find_op(x->at);
    if (op >= 0 && !begins(x->at, "**")) {
        Token *t = add_token(x, LEX_OP, (int)strlen(lang_ops[op].sign));
        t->op = (ExprOp)op;
        return;
    }
    for (int i = 0; i < COUNT(punctuation); i++)
        if (begins(x->at, punctuation[i].sign)) {
            Token *t = add_token(x, punctuation[i].kind, (int)strlen(punctuation[i].sign));
            track_brackets(x, t);
            return;
        }
    lex_unknown(x);
}

/* ---- lines ---- */

static bool ends_line(const Lexer *x)
{
    if (!x->n)
        return false;
    LexKind last = x->token[x->n - 1].kind;
    return last != LEX_LINE && last != LEX_INDENT && last != LEX_DEDENT;
}

static void next_line(Lexer *x)
{
    if (x->lines && !x->n_bracket && ends_line(x))
        add_token(x, LEX_LINE, 0);
    if (*x->at == '\n') {
        x->at++;
        x->line++;
        x->line_start = x->at;
    }
}

/* At the first letter of a statement: the indentation opens or closes blocks. */
static void lex_indentation(Lexer *x)
{
    int column = (int)(x->at - x->line_start);
    if (!x->n) {
        x->column[0] = column;
        return;
    }
    if (column > x->column[x->n_block]) {
        if (x->n_block + 1 == MAX_BLOCKS) {
            diag_error(x->d, loc_at(x, x->at, 1), "blocks nest deeper than %d",
                       MAX_BLOCKS - 1);
            x->stopped = true;
            return;
        }
        x->column[++x->n_block] = column;
        add_token(x, LEX_INDENT, 0);
        return;
    }
    for (; x->n_block > 0 && column < x->column[x->n_block]; x->n_block--)
        add_token(x, LEX_DEDENT, 0);
    if (column != x->column[x->n_block])
        diag_error(
            x->d, loc_at(x, x->at, 1),
            "the indentation of %d fits no block around this line (%d is the nearest)",
            column, x->column[x->n_block]);
}

static bool at_line_start(const Lexer *x)
{
    return x->lines && !x->n_bracket && !ends_line(x);
}

static void skip_blanks(Lexer *x)
{
    while (*x->at == ' ' || *x->at == '\t' || *x->at == '\r') {
        if (*x->at == '\t' && at_line_start(x) && !x->stopped) {
            diag_error(x->d, loc_at(x, x->at, 1), "a tab: blocks are indented by spaces");
            x->stopped = true;
        }
        x->at++;
    }
    if (*x->at == '#')
        x->at += strcspn(x->at, "\n");
}

/* The text ended inside brackets: says so at the outermost and goes on after its line. */
static void give_up_bracket(Lexer *x)
{
    const struct Bracket *b = &x->bracket[0];
    const Token *open = &x->token[b->token];
    diag_error(x->d, open->loc, "'%s' is never closed", open->text);
    x->n = b->token + 1;
    x->token[b->token].kind = LEX_BAD;
    x->n_bracket = 0;
    x->line = b->line;
    x->line_start = b->line_start;
    x->at = b->line_start + strcspn(b->line_start, "\n");
    x->stopped = !x->lines || ++x->n_unclosed == MAX_UNCLOSED;
}

static void lex_token(Lexer *x)
{
    if (at_line_start(x))
        lex_indentation(x);
    if (x->stopped)
        return;
    if (is_letter(*x->at))
        lex_word(x);
    else if (is_digit(*x->at) || (*x->at == '.' && is_digit(x->at[1])))
        lex_number(x);
    else if (*x->at == '"')
        lex_text(x);
    else
        lex_sign(x);
}

Tokens lang_tokens(Arena *arena, Diag *d, const char *text, TextPlace place, bool lines)
{
    Lexer x = {.arena = arena, .d = d, .text = text, .place = place, .lines = lines};
    x.at = x.line_start = text;
    if (strlen(text) > LANG_MAX_BYTES) {
        diag_error(d, place.start, "a text of more than %d bytes", LANG_MAX_BYTES);
        x.stopped = true;
    }
    while (!x.stopped) {
        skip_blanks(&x);
        if (*x.at == '\n')
            next_line(&x);
        else if (*x.at)
            lex_token(&x);
        else if (x.n_bracket)
            give_up_bracket(&x);
        else
            break;
    }
    if (x.stopped) {
        x.n_bracket = 0;
        add_token(&x, LEX_BAD, 0);
    }
    next_line(&x); /* a last line without its end */
    for (; x.n_block > 0; x.n_block--)
        add_token(&x, LEX_DEDENT, 0);
    add_token(&x, LEX_END, 0);
    return (Tokens){.token = x.token, .n = x.n};
}
