/*
 * parser.c — tokens to trees.
 *
 * Expressions by precedence climbing (Pratt 1973; Norvell, "Parsing expressions by
 * recursive descent", 1999): `binary(p, level)` reads an operand and then every operator
 * that binds at least as tightly as `level`. One function serves all binary operators,
 * the table lang_ops says how tightly each binds.
 *
 * A function that fails has reported one mistake and returns NULL; its callers return
 * NULL without another word, up to the statement, which skips to the end of its line.
 * So each statement reports its first mistake, and a block all of its statements'.
 *
 * Passes recurse over these trees, so a tree's depth is capped, not only the brackets':
 * each node remembers its depth (Deep) while it is parsed.
 *
 * A node's place: a name, number or text is itself, a call is its callee's name, an
 * operator the sign, an index its opening bracket, a member from its name on.
 */
#include "lang/lexer.h"

#include <string.h>

typedef struct {
    Arena *arena;
    Diag *d;
    const Token *at;
    int n_open; /* recursion: brackets, signs, blocks */
    bool failed;
} Parser;

/* A node as the parser makes it. */
typedef struct {
    Expr expr;
    int depth;
} Deep;

static const Expr *binary(Parser *p, Level level);
static Block block(Parser *p);

/* ---- small parts ---- */

static const char *describe(Parser *p, const Token *t)
{
    static const char *const words[] = {
#define X(kind, text) [LEX_##kind] = text,
        LEX_LIST(X)
#undef X
    };
    if (t->kind == LEX_NAME || t->kind == LEX_NUMBER || t->kind == LEX_OP)
        return arena_print(p->arena, "'%s%s'", t->text, t->primed ? "'" : "");
    return words[t->kind];
}

PRINTF(3, 4)
static void *fail(Parser *p, Loc loc, const char *format, ...)
{
    p->failed = true;
    if (p->at->kind == LEX_BAD) /* the lexer has told it */
        return NULL;
    va_list args;
    va_start(args, format);
    diag_error(p->d, loc, "%s", arena_vprint(p->arena, format, args));
    va_end(args);
    return NULL;
}

static bool accept(Parser *p, LexKind kind)
{
    if (p->at->kind != kind)
        return false;
    p->at++;
    return true;
}

static bool expect(Parser *p, LexKind kind, const char *what)
{
    if (accept(p, kind))
        return true;
    fail(p, p->at->loc, "expected %s, found %s", what, describe(p, p->at));
    return false;
}

static bool enter(Parser *p)
{
    if (p->n_open++ < LANG_MAX_DEPTH)
        return true;
    fail(p, p->at->loc, "nested deeper than %d", LANG_MAX_DEPTH);
    return false;
}

static int depth_of(const Expr *e)
{
    return e ? ((const Deep *)(const void *)e)->depth : 0;
}

static const Expr *node(Parser *p, const Expr *e)
{
    Deep *n = NEW(p->arena, Deep);
    n->expr = *e;
    for (int i = 0; i < e->n_arg; i++)
        if (depth_of(e->arg[i]) > n->depth)
            n->depth = depth_of(e->arg[i]);
    if (++n->depth > LANG_MAX_DEPTH)
        return fail(p, e->loc,
                    "an expression deeper than %d operations: give parts of it names",
                    LANG_MAX_DEPTH);
    return &n->expr;
}

/* A list of arguments while it grows. */
typedef struct {
    const Expr **arg;
    const char **name;
    Loc *begin; /* of a call's */
    int n, cap_arg, n_name, cap_name, n_begin, cap_begin;
} Args;

static void add_arg(Parser *p, Args *a, const Expr *e, const char *name)
{
    *PUSH(p->arena, a->arg, a->n, a->cap_arg) = e;
    *PUSH(p->arena, a->name, a->n_name, a->cap_name) = name;
}

/* ---- atoms ---- */

static const Expr *list(Parser *p)
{
    Args items = {0};
    Loc loc = p->at++->loc;
    while (p->at->kind != LEX_CLOSE_SQUARE) {
        const Expr *e = binary(p, LEVEL_OR);
        if (!e)
            return NULL;
        add_arg(p, &items, e, NULL);
        if (p->at->kind != LEX_CLOSE_SQUARE && !expect(p, LEX_COMMA, "',' or ']'"))
            return NULL;
    }
    p->at++;
    return node(p,
                &(Expr){.kind = EXPR_LIST, .arg = items.arg, .n_arg = items.n, .loc = loc});
}

static const Expr *brackets(Parser *p)
{
    p->at++;
    const Expr *e = binary(p, LEVEL_OR);
    if (!e || !expect(p, LEX_CLOSE, "')'"))
        return NULL;
    return e;
}

/* `...` is a whole dimension list: alone, or an element of a list. */
static const Expr *ellipsis(Parser *p)
{
    Loc loc = p->at++->loc;
    if (p->at->kind != LEX_END && p->at->kind != LEX_COMMA &&
        p->at->kind != LEX_CLOSE_SQUARE)
        return fail(p, loc, "'...' stands alone in a shape: [...]");
    return node(p, &(Expr){.kind = EXPR_ELLIPSIS, .loc = loc});
}

static const Expr *leaf(Parser *p, ExprKind kind)
{
    const Token *t = p->at++;
    return node(p, &(Expr){.kind = kind,
                           .text = t->text,
                           .primed = t->primed,
                           .number = t->number,
                           .is_integer = t->is_integer,
                           .loc = t->loc});
}

static const Expr *atom_inside(Parser *p)
{
    LexKind kind = p->at->kind;
    if (kind == LEX_NUMBER)
        return leaf(p, EXPR_NUMBER);
    if (kind == LEX_TEXT)
        return leaf(p, EXPR_TEXT);
    if (kind == LEX_NAME)
        return leaf(p, EXPR_NAME);
    if (kind == LEX_ELLIPSIS)
        return ellipsis(p);
    if (kind == LEX_OPEN)
        return brackets(p);
    if (kind == LEX_OPEN_SQUARE)
        return list(p);
    if (kind == LEX_OP && p->at->op == TOKEN_NOT)
        return fail(p, p->at->loc, "'not' binds loosely: put brackets around (not ...)");
    if (kind >= LEX_FOR)
        return fail(p, p->at->loc, "%s is reserved: it cannot be a name",
                    describe(p, p->at));
    return fail(p, p->at->loc, "expected a value, found %s", describe(p, p->at));
}

static const Expr *atom(Parser *p)
{
    const Expr *e = enter(p) ? atom_inside(p) : NULL;
    p->n_open--;
    return e;
}

/* ---- calls, indices, members ---- */

static bool call_argument(Parser *p, Args *args)
{
    const Token *first = p->at;
    const char *name = NULL;
    if (first->kind == LEX_NAME && first[1].kind == LEX_ASSIGN) {
        if (first->primed)
            return fail(p, first->loc, "an argument's name has no '");
        name = first->text;
        for (int i = 0; i < args->n; i++)
            if (str_eq(args->name[i], name))
                return fail(p, first->loc, "argument '%s' is given twice", name);
        p->at += 2;
    } else if (args->n && args->name[args->n - 1]) {
        return fail(p, first->loc, "an argument without a name after a named one ('%s')",
                    args->name[args->n - 1]);
    }
    const Expr *e = binary(p, LEVEL_OR);
    if (e && e->kind == EXPR_ELLIPSIS)
        return fail(p, e->loc, "'...' stands alone in a shape: [...]");
    if (!e)
        return false;
    add_arg(p, args, e, name);
    *PUSH(p->arena, args->begin, args->n_begin, args->cap_begin) = first->loc;
    return true;
}

static const Expr *call(Parser *p, const Expr *callee)
{
    Args args = {0};
    if (callee->kind != EXPR_NAME || callee->primed)
        return fail(p, p->at->loc, "only a name can be called; a product is written *");
    p->at++;
    while (p->at->kind != LEX_CLOSE) {
        if (!call_argument(p, &args))
            return NULL;
        if (p->at->kind != LEX_CLOSE && !expect(p, LEX_COMMA, "',' or ')'"))
            return NULL;
    }
    p->at++;
    return node(p, &(Expr){.kind = EXPR_CALL,
                           .text = callee->text,
                           .arg = args.arg,
                           .name = args.name,
                           .begin = args.begin,
                           .n_arg = args.n,
                           .loc = callee->loc});
}

static bool ends_index(const Parser *p)
{
    return p->at->kind == LEX_COMMA || p->at->kind == LEX_CLOSE_SQUARE;
}

/* One place of an index: an expression, or lo:hi:step with any of them left out. */
static const Expr *index_item(Parser *p)
{
    const Expr *part[3] = {NULL, NULL, NULL};
    Loc loc = p->at->loc;
    int n_colon = 0;
    for (;;) {
        if (p->at->kind != LEX_COLON && !(n_colon && ends_index(p))) {
            part[n_colon] = binary(p, LEVEL_OR);
            if (!part[n_colon])
                return NULL;
        }
        if (n_colon == 2 || !accept(p, LEX_COLON))
            break;
        n_colon++;
    }
    if (!n_colon)
        return part[0]->kind == EXPR_ELLIPSIS
                   ? fail(p, part[0]->loc,
                          "an index names every axis; ':' takes a whole one")
                   : part[0];
    const Expr **arg = NEW_ARRAY(p->arena, const Expr *, 3);
    memcpy(arg, part, sizeof part);
    return node(p, &(Expr){.kind = EXPR_SLICE, .arg = arg, .n_arg = 3, .loc = loc});
}

static const Expr *indexed(Parser *p, const Expr *base)
{
    Args args = {0};
    Loc loc = p->at++->loc;
    add_arg(p, &args, base, NULL);
    do {
        if (p->at->kind == LEX_CLOSE_SQUARE && args.n > 1)
            break;
        const Expr *e = index_item(p);
        if (!e)
            return NULL;
        add_arg(p, &args, e, NULL);
    } while (accept(p, LEX_COMMA));
    if (!expect(p, LEX_CLOSE_SQUARE, "',' or ']'"))
        return NULL;
    return node(p,
                &(Expr){.kind = EXPR_INDEX, .arg = args.arg, .n_arg = args.n, .loc = loc});
}

static const Expr *member(Parser *p, const Expr *base)
{
    p->at++;
    const Token *t = p->at;
    if (!expect(p, LEX_NAME, "a name after '.'"))
        return NULL;
    Args args = {0};
    add_arg(p, &args, base, NULL);
    return node(p, &(Expr){.kind = EXPR_MEMBER,
                           .text = t->text,
                           .primed = t->primed,
                           .arg = args.arg,
                           .n_arg = 1,
                           .loc = t->loc});
}

static const Expr *postfix(Parser *p)
{
    const Expr *e = atom(p);
    while (e) {
        if (p->at->kind == LEX_OPEN)
            e = call(p, e);
        else if (p->at->kind == LEX_OPEN_SQUARE)
            e = indexed(p, e);
        else if (p->at->kind == LEX_DOT)
            e = member(p, e);
        else
            break;
    }
    return e;
}

/* ---- operators ---- */

static const Expr *operation(Parser *p, const Token *sign, const Expr *a, const Expr *b)
{
    Args args = {0};
    add_arg(p, &args, a, NULL);
    if (b)
        add_arg(p, &args, b, NULL);
    return node(p, &(Expr){.kind = b ? EXPR_BINARY : EXPR_UNARY,
                           .op = sign->op,
                           .arg = args.arg,
                           .n_arg = args.n,
                           .loc = sign->loc});
}

static bool at_op(const Parser *p, ExprOp op)
{
    return p->at->kind == LEX_OP && p->at->op == op;
}

/* `- x`, `not x`, and `x ^ y`, whose right side may have a minus. */
static const Expr *operand(Parser *p, Level level)
{
    const Token *sign = p->at;
    const Expr *e = NULL;
    if (at_op(p, TOKEN_SUB) || (at_op(p, TOKEN_NOT) && level <= LEVEL_NOT)) {
        p->at++;
        if (enter(p))
            e = sign->op == TOKEN_NOT ? binary(p, LEVEL_NOT) : operand(p, LEVEL_UNARY);
        p->n_open--;
        return e ? operation(p, sign, e, NULL) : NULL;
    }
    e = postfix(p);
    if (!e || !at_op(p, TOKEN_POW))
        return e;
    sign = p->at++;
    const Expr *exponent = enter(p) ? operand(p, LEVEL_UNARY) : NULL;
    p->n_open--;
    return exponent ? operation(p, sign, e, exponent) : NULL;
}

static const Expr *binary(Parser *p, Level level)
{
    const Expr *left = operand(p, level);
    const Token *compared = NULL;
    while (left && p->at->kind == LEX_OP) {
        const Token *sign = p->at;
        Level its = lang_ops[sign->op].level;
        if (sign->op == TOKEN_NOT)
            return fail(p, sign->loc, "'not' has one operand, on its right");
        if (its < level)
            break;
        if (its == LEVEL_COMPARE && compared)
            return fail(p, sign->loc, "comparisons do not chain: write 'a %s b and b %s c'",
                        compared->text, sign->text);
        compared = its == LEVEL_COMPARE ? sign : NULL;
        p->at++;
        const Expr *right = binary(p, (Level)(its + 1));
        left = right ? operation(p, sign, left, right) : NULL;
    }
    return left;
}

/* ---- statements ---- */

static void skip_line(Parser *p)
{
    while (p->at->kind != LEX_LINE && p->at->kind != LEX_INDENT &&
           p->at->kind != LEX_DEDENT && p->at->kind != LEX_END)
        p->at++;
    accept(p, LEX_LINE);
}

/* The indented lines after `if …:`. Read after a mistake in the head, too. */
static Block body(Parser *p, const Token *head)
{
    Block b = {0};
    if (p->at->kind != LEX_INDENT) {
        if (p->at->kind == LEX_BAD)
            p->failed = true;
        else
            fail(p, head->loc,
                 "an indented line must come after %s ...:", describe(p, head));
        return b;
    }
    p->at++;
    if (enter(p))
        b = block(p);
    p->n_open--;
    accept(p, LEX_DEDENT);
    return b;
}

static bool colon_and_line(Parser *p)
{
    if (!expect(p, LEX_COLON, "':'"))
        return false;
    if (accept(p, LEX_LINE) || p->at->kind == LEX_END)
        return true;
    return fail(p, p->at->loc, "what follows ':' stands on the next line, indented");
}

static Arm arm(Parser *p, bool conditional)
{
    const Token *head = p->at++;
    Arm a = {0};
    if (conditional)
        a.condition = binary(p, LEVEL_OR);
    if ((conditional && !a.condition) || !colon_and_line(p))
        skip_line(p);
    a.body = body(p, head);
    return a;
}

static void if_statement(Parser *p, Stmt *s)
{
    int capacity = 0;
    s->kind = STMT_IF;
    *PUSH(p->arena, s->arm, s->n_arm, capacity) = arm(p, true);
    while (p->at->kind == LEX_ELIF)
        *PUSH(p->arena, s->arm, s->n_arm, capacity) = arm(p, true);
    if (p->at->kind == LEX_ELSE)
        *PUSH(p->arena, s->arm, s->n_arm, capacity) = arm(p, false);
}

static bool for_head(Parser *p, Stmt *s)
{
    s->target = NEW_ARRAY(p->arena, const Expr *, 1);
    if (p->at->kind != LEX_NAME || p->at->primed)
        return fail(p, p->at->loc, "expected the counter's name after 'for', found %s",
                    describe(p, p->at));
    s->target[s->n_target++] = leaf(p, EXPR_NAME);
    if (!expect(p, LEX_IN, "'in'"))
        return false;
    s->value = binary(p, LEVEL_OR);
    if (!s->value)
        return false;
    if (s->value->kind != EXPR_CALL || !str_eq(s->value->text, "range"))
        return fail(p, s->value->loc, "a 'for' goes over range(n)");
    return colon_and_line(p);
}

static void for_statement(Parser *p, Stmt *s)
{
    const Token *head = p->at++;
    s->kind = STMT_FOR;
    s->arm = NEW(p->arena, Arm);
    s->n_arm = 1;
    if (!for_head(p, s))
        skip_line(p);
    s->arm[0].body = body(p, head);
}

static bool targets(Parser *p, Stmt *s)
{
    int capacity = 0;
    do {
        const Token *t = p->at;
        if (t->kind != LEX_NAME)
            return fail(p, t->loc, "expected a name to assign to, found %s",
                        describe(p, t));
        *PUSH(p->arena, s->target, s->n_target, capacity) = leaf(p, EXPR_NAME);
    } while (accept(p, LEX_COMMA));
    if (p->at->kind == LEX_ASSIGN)
        return p->at++;
    if (at_op(p, TOKEN_EQ))
        return fail(p, p->at->loc, "an assignment is written with one '='");
    return fail(p, p->at->loc, "expected '=' (a line is NAME = EXPRESSION), found %s",
                describe(p, p->at));
}

static void assignment(Parser *p, Stmt *s)
{
    s->kind = STMT_ASSIGN;
    if (!targets(p, s) || !(s->value = binary(p, LEVEL_OR))) {
        skip_line(p);
        return;
    }
    if (p->at->kind != LEX_LINE && p->at->kind != LEX_END) {
        fail(p, p->at->loc, "expected an operator or the end of the line, found %s",
             describe(p, p->at));
        skip_line(p);
    } else {
        accept(p, LEX_LINE);
    }
}

static void misplaced(Parser *p)
{
    if (p->at->kind == LEX_INDENT) {
        fail(p, p->at[1].loc,
             "this line is indented, but no 'if' or 'for' stands before it");
        p->at++;
        block(p); /* its lines are checked all the same */
        accept(p, LEX_DEDENT);
        return;
    }
    fail(p, p->at->loc, "%s without an 'if' before it", describe(p, p->at));
    arm(p, p->at->kind == LEX_ELIF);
}

static Block block(Parser *p)
{
    Block b = {0};
    int capacity = 0;
    while (p->at->kind != LEX_DEDENT && p->at->kind != LEX_END) {
        LexKind kind = p->at->kind;
        if (kind == LEX_INDENT || kind == LEX_ELIF || kind == LEX_ELSE) {
            misplaced(p);
            continue;
        }
        Stmt *s = NEW(p->arena, Stmt);
        s->loc = p->at->loc;
        if (kind == LEX_IF)
            if_statement(p, s);
        else if (kind == LEX_FOR)
            for_statement(p, s);
        else
            assignment(p, s);
        *PUSH(p->arena, b.stmt, b.n_stmt, capacity) = s;
    }
    return b;
}

/* ---- the doors ---- */

const Expr *lang_expression(Arena *arena, Diag *d, const char *text, TextPlace place)
{
    Parser p = {
        .arena = arena, .d = d, .at = lang_tokens(arena, d, text, place, false).token};
    if (p.at->kind == LEX_END) {
        diag_error(d, place.start, "an expression is missing");
        return NULL;
    }
    const Expr *e = binary(&p, LEVEL_OR);
    if (!e)
        return NULL;
    if (p.at->kind == LEX_ASSIGN)
        return fail(&p, p.at->loc, "an assignment, where a value is expected");
    if (p.at->kind != LEX_END)
        return fail(&p, p.at->loc, "expected an operator or the end, found %s",
                    describe(&p, p.at));
    return e;
}

Block lang_block(Arena *arena, Diag *d, const char *text, TextPlace place, bool *ok)
{
    int before = diag_errors(d);
    Parser p = {
        .arena = arena, .d = d, .at = lang_tokens(arena, d, text, place, true).token};
    Block b = block(&p);
    if (!b.n_stmt && !p.failed)
        diag_error(d, place.start, "a block without a line");
    *ok = !p.failed && diag_errors(d) == before;
    return b;
}
