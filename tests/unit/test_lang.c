/*
 * test_lang.c — the expression language: what binds how, places, limits, printing.
 * Mistakes and their messages are in tests/errors.
 */
#include "check.h"
#include "lang/lang.h"

#include <stdlib.h>

static Arena *arena;
static Diag *diag;

static const Expr *parse(const char *text)
{
    Source *source = NEW(arena, Source);
    *source = (Source){.name = "test", .text = text, .length = strlen(text)};
    TextPlace place = {.start = {source, 1, 1, 1}, .exact = true};
    return lang_expression(arena, diag, text, place);
}

static Block parse_block(const char *text, bool *ok)
{
    Source *source = NEW(arena, Source);
    *source = (Source){.name = "test", .text = text, .length = strlen(text)};
    TextPlace place = {.start = {source, 5, 3, 1}, .indent = 2, .exact = true};
    return lang_block(arena, diag, text, place, ok);
}

/* Every operation in brackets: shows the tree. */
static const char *shape_of(const Expr *e)
{
    if (!e)
        return "NULL";
    if (e->kind == EXPR_BINARY || e->kind == EXPR_UNARY) {
        Text t = {.arena = arena};
        text_add(&t, "(%d", (int)e->op);
        for (int i = 0; i < e->n_arg; i++)
            text_add(&t, " %s", shape_of(e->arg[i]));
        text_add(&t, ")");
        return t.text;
    }
    return lang_print(arena, e);
}

/* Two writings of one tree; the second is bracketed fully. */
static void test_operators_bind_as_documented(void)
{
    static const char *const same[][2] = {
        {"a + b * c", "a + (b * c)"},
        {"a - b - c", "(a - b) - c"},
        {"a / b * c // d @ e", "(((a / b) * c) // d) @ e"},
        {"f * U @ h", "(f * U) @ h"},
        {"-x^2", "-(x^2)"},
        {"2^-k", "2^(-k)"},
        {"a^b^c", "a^(b^c)"},
        {"-a * b", "(-a) * b"},
        {"a * -b", "a * (-b)"},
        {"not a == b", "not (a == b)"},
        {"a or b and not c", "a or (b and (not c))"},
        {"not a or b", "(not a) or b"},
        {"a + 1 < b * 2 and c", "((a + 1) < (b * 2)) and c"},
        {"W @ x + U @ h + b", "((W @ x) + (U @ h)) + b"},
    };
    for (int i = 0; i < COUNT(same); i++)
        CHECK_TEXT(shape_of(parse(same[i][0])), shape_of(parse(same[i][1])));
}

static void test_printing_reads_back_with_the_fewest_brackets(void)
{
    static const char *const texts[] = {
        "a + b * c",
        "(a + b) * c",
        "a - (b - c)",
        "(a^b)^c",
        "(-a)^2",
        "2^-k",
        "-(a + b)",
        "--a",
        "not (a and b)",
        "(a < b) == c",
        "where(v <= 0, 0, v)",
        "lstm(emb, hidden=128, bias=false)",
        "v[2:5]",
        "v[:, 1:]",
        "v[-1]",
        "v[::2, :]",
        "rnn.c'",
        "emb.weight @ h + bias",
        "einsum(\"ij,j->i\", W, x)",
        "[a, b, [c]]",
        "0.1",
        "1e-08",
        "1.0",
        "9007199254740992",
        "f()",
        "h'",
        "...",
        "(a + b)[0]",
        "(a + b).c",
    };
    for (int i = 0; i < COUNT(texts); i++) {
        const Expr *e = parse(texts[i]);
        CHECK_TEXT(e ? lang_print(arena, e) : NULL, texts[i]);
    }
}

static void test_numbers_keep_their_kind_and_value(void)
{
    static const struct {
        const char *text;
        double value;
        bool is_integer;
    } numbers[] = {
        {"0", 0, true},
        {"42", 42, true},
        {"1e3", 1000, false},
        {".5", 0.5, false},
        {"2.", 2, false},
        {"1e-8", 1e-8, false},
        {"0.0", 0, false},
        {"1.50E+2", 150, false},
        {"6.283185307179586", 6.283185307179586, false},
    };
    for (int i = 0; i < COUNT(numbers); i++) {
        const Expr *e = parse(numbers[i].text);
        CHECK(e && e->kind == EXPR_NUMBER, "%s", numbers[i].text);
        if (!e)
            continue;
        CHECK(e->number == numbers[i].value, "%s is %g", numbers[i].text, e->number);
        CHECK(e->is_integer == numbers[i].is_integer, "%s", numbers[i].text);
    }
}

static void test_nodes_know_where_they_stand(void)
{
    bool ok;
    Block b = parse_block("a = x\n\nbb = f(a,\n       g(x))\nif a:\n  c' = a[1]\n", &ok);
    CHECK(ok && b.n_stmt == 3, "%d statements", b.n_stmt);
    Loc a = b.stmt[0]->value->loc, g = b.stmt[1]->value->arg[1]->loc;
    const Stmt *inner = b.stmt[2]->arm[0].body.stmt[0];
    CHECK(a.line == 5 && a.column == 7 && a.length == 1, "%d:%d", a.line, a.column);
    CHECK(g.line == 8 && g.column == 10, "%d:%d", g.line, g.column);
    CHECK(b.stmt[2]->loc.line == 9 && b.stmt[2]->loc.column == 3, "if");
    CHECK(inner->loc.line == 10 && inner->loc.column == 5, "inner");
    CHECK(inner->target[0]->primed && inner->target[0]->loc.length == 2, "c'");
}

static void test_arguments_begin_with_their_names(void)
{
    const Expr *call = parse("f(a + b, size=2)");
    CHECK(call->begin[0].column == 3 && call->begin[1].column == 10, "columns %d and %d",
          call->begin[0].column, call->begin[1].column);
    CHECK(call->begin[1].length == 4, "length %d", call->begin[1].length);
}

static void test_blocks_hold_all_statements(void)
{
    bool ok;
    Block b = parse_block("i, f, g, o = split(a, 4)  # gates\n"
                          "for l in range(layers):\n"
                          "  if l < 2:\n"
                          "    v = 1\n"
                          "  elif l == 2:\n"
                          "    v = 2\n"
                          "  else:\n"
                          "    v = 3\n"
                          "  w = v\n"
                          "h' = o",
                          &ok);
    CHECK(ok && b.n_stmt == 3, "%d statements", b.n_stmt);
    CHECK(b.stmt[0]->n_target == 4, "%d targets", b.stmt[0]->n_target);
    const Stmt *loop = b.stmt[1];
    CHECK(loop->kind == STMT_FOR && loop->n_arm == 1, "for");
    CHECK(loop->arm[0].body.n_stmt == 2, "%d in the loop", loop->arm[0].body.n_stmt);
    const Stmt *choice = loop->arm[0].body.stmt[0];
    CHECK(choice->kind == STMT_IF && choice->n_arm == 3, "%d arms", choice->n_arm);
    CHECK(choice->arm[1].condition && !choice->arm[2].condition, "else has no condition");
}

static const char *repeated(const char *first, const char *part, int n, const char *last)
{
    Text t = {.arena = arena};
    text_add(&t, "%s", first);
    for (int i = 0; i < n; i++)
        text_add(&t, "%s", part);
    text_add(&t, "%s", last);
    return t.text;
}

static void test_depth_and_length_are_capped(void)
{
    CHECK(parse(repeated("", "(", 200, repeated("x", ")", 200, ""))),
          "200 brackets are fine");
    CHECK(parse(repeated("", "-", 200, "x")), "200 signs are fine");
    CHECK(parse(repeated("x", " + x", 200, "")), "200 terms are fine");
    int before = diag_errors(diag);
    CHECK(!parse(repeated("", "(", 300, repeated("x", ")", 300, ""))), "brackets");
    CHECK(!parse(repeated("", "[", 30000, "")), "open brackets");
    CHECK(!parse(repeated("", "-", 30000, "x")), "signs");
    CHECK(!parse(repeated("", "not ", 10000, "x")), "nots");
    CHECK(!parse(repeated("x", "^x", 20000, "")), "powers");
    CHECK(!parse(repeated("x", " + x", 10000, "")), "terms");
    CHECK(!parse(repeated("x", ".a", 10000, "")), "members");
    CHECK(!parse(repeated("", "x", 70000, "")), "bytes");
    CHECK(diag_errors(diag) == before + 8, "%d errors", diag_errors(diag) - before);
}

static void test_a_block_reports_every_bad_line(void)
{
    bool ok;
    int before = diag_errors(diag);
    parse_block("a = (1\nb = 2 +\nc = 3\nd = 4 4\nif x\n  e = *\nf = [2\n", &ok);
    CHECK(!ok && diag_errors(diag) == before + 6, "%d errors", diag_errors(diag) - before);
    before = diag_errors(diag);
    parse_block(repeated("", "a = (\n", 10000, ""), &ok);
    CHECK(!ok && diag_errors(diag) > before, "thousands of open brackets end");
}

static void test_random_bytes_end_without_harm(void)
{
    static const char letters[] = "ab1.'\"()[],:=+-*/@^<>!# \n\t\nifornotelse%$\xc3\xa4";
    unsigned state = 1;
    for (int round = 0; round < 3000; round++) {
        char text[64];
        for (int i = 0; i < 63; i++) {
            state = state * 1664525u + 1013904223u;
            text[i] = letters[(state >> 16) % (sizeof letters - 1)];
        }
        text[63] = '\0';
        bool ok;
        parse_block(text, &ok);
        const Expr *e = parse(text);
        if (e) {
            const char *printed = lang_print(arena, e);
            const Expr *again = parse(printed);
            CHECK_TEXT(again ? lang_print(arena, again) : NULL, printed);
        }
        if (round % 100 == 0) { /* messages pile up */
            arena_free(arena);
            arena = arena_new();
            diag = diag_new(arena, stderr);
        }
    }
}

int main(void)
{
    arena = arena_new();
    diag = diag_new(arena, stderr);
    test_operators_bind_as_documented();
    test_printing_reads_back_with_the_fewest_brackets();
    test_numbers_keep_their_kind_and_value();
    test_nodes_know_where_they_stand();
    test_arguments_begin_with_their_names();
    test_blocks_hold_all_statements();
    test_depth_and_length_are_capped();
    test_a_block_reports_every_bad_line();
    test_random_bytes_end_without_harm();
    arena_free(arena);
    return check_result();
}
