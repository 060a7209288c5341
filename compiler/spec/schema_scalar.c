/*
 * schema_scalar.c — checks of what stands behind a key as one word, number or text: its
 * form, its limits, the words that it may be; and lists of such.
 */
#include "spec/schema_room.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool schema_is_reserved(const char *text)
{
    static const char *const words[] = {"for",  "in", "if",  "elif",
                                        "else", "or", "and", "not"};
    for (int i = 0; i < COUNT(words); i++)
        if (str_eq(text, words[i]))
            return true;
    return false;
}

static bool is_identifier(const char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
                                  "0123456789";
    return *text && !strchr("0123456789", *text) && strspn(text, letters) == strlen(text);
}

bool schema_is_name(const char *text)
{
    return is_identifier(text) && !schema_is_reserved(text);
}

static bool is_number_text(const Tree *t)
{
    return t->kind == TREE_SCALAR && !t->quoted && *t->text &&
           strspn(t->text, "0123456789+-.eE") == strlen(t->text);
}

bool tree_integer(const Tree *t, int64_t *out)
{
    if (!is_number_text(t) || strpbrk(t->text, ".eE") || *t->text == '+')
        return false;
    char *end;
    errno = 0;
    long long value = strtoll(t->text, &end, 10);
    if (*end || errno)
        return false;
    *out = value;
    return true;
}

bool tree_real(const Tree *t, double *out)
{
    if (!is_number_text(t))
        return false;
    char *end;
    double value = strtod(t->text, &end);
    if (*end || !isfinite(value))
        return false;
    *out = value;
    return true;
}

bool tree_flag(const Tree *t, bool *out)
{
    if (t->kind != TREE_SCALAR || t->quoted)
        return false;
    bool is_true = str_eq(t->text, "true");
    if (!is_true && !str_eq(t->text, "false"))
        return false;
    *out = is_true;
    return true;
}

/* What was found, for messages. */
const char *schema_found(Check *c, const Tree *t)
{
    enum { SHOWN = 40 };
    switch (t->kind) {
    case TREE_NULL: return "nothing";
    case TREE_LIST: return "a list";
    case TREE_MAP: return "a mapping";
    case TREE_SCALAR:
        if (t->quoted)
            return arena_print(c->arena, "the text \"%.*s\"", SHOWN, t->text);
        return arena_print(c->arena, "%.*s", (int)strcspn(t->text, "\n"), t->text);
    }
    BUG("tree of kind %d", (int)t->kind);
}

void schema_wrong(Check *c, const Value *v, const char *expected)
{
    diag_error(c->d, v->loc, "%s: expected %s, found %s", v->path, expected,
               schema_found(c, v->t));
}

/* Limits are "low..high", either may be left out; with < beside the dots the bound itself
   is none of them: "0<..<1". A long double holds every int64_t where a double makes 2^53 of
   2^53 + 1. */
typedef struct {
    const char *low, *high; /* as written, "" for none */
    bool above, below;      /* the bound is not among them */
} Limits;

static Limits limits_of(Check *c, const char *text)
{
    Limits l = {.low = "", .high = ""};
    const char *dots = strstr(text, "..");
    if (!dots)
        return l;
    l.above = dots > text && dots[-1] == '<';
    l.below = dots[2] == '<';
    l.low = arena_copy(c->arena, text, (size_t)(dots - text - l.above));
    l.high = dots + 2 + l.below;
    return l;
}

static bool within(const Limits *l, long double value)
{
    double low = strtod(l->low, NULL), high = strtod(l->high, NULL);
    bool from = !*l->low || (l->above ? value > low : value >= low);
    bool to = !*l->high || (l->below ? value < high : value <= high);
    return from && to;
}

static void check_limits(Check *c, const Value *v, long double value)
{
    const Limits l = limits_of(c, v->limits);
    if (within(&l, value))
        return;
    const char *is = arena_print(c->arena, "%s is %s; it must be", v->path, v->t->text);
    if (!*l.high)
        diag_error(c->d, v->loc, "%s %s %s", is, l.above ? "more than" : "at least", l.low);
    else if (l.above || l.below)
        diag_error(c->d, v->loc, "%s %s %s and %s %s", is,
                   l.above ? "more than" : "at least", l.low,
                   l.below ? "less than" : "at most", l.high);
    else if (strtod(l.low, NULL) == strtod(l.high, NULL))
        diag_error(c->d, v->loc, "%s %s", is, l.high);
    else
        diag_error(c->d, v->loc, "%s from %s to %s", is, l.low, l.high);
}

static void check_integer(Check *c, const Value *v)
{
    int64_t value;
    double real;
    if (tree_integer(v->t, &value))
        check_limits(c, v, (long double)value);
    else if (tree_real(v->t, &real) && strpbrk(v->t->text, ".eE"))
        schema_wrong(c, v, "an integer, written without point and exponent");
    else
        schema_wrong(c, v, "an integer");
}

static void check_real(Check *c, const Value *v)
{
    double value;
    if (tree_real(v->t, &value))
        check_limits(c, v, value);
    else
        schema_wrong(c, v, "a number");
}

static void check_flag(Check *c, const Value *v)
{
    bool value;
    if (!tree_flag(v->t, &value))
        schema_wrong(c, v, "true or false");
}

void schema_check_text(Check *c, const Value *v)
{
    if (v->t->kind != TREE_SCALAR || !*v->t->text)
        schema_wrong(c, v, "a text");
}

/* A run writes in its own folder alone, whoever wrote the spec. */
static void check_file_name(Check *c, const Value *v)
{
    const char *text = v->t->kind == TREE_SCALAR ? v->t->text : "";
    if (!*text || *text == '.' || strchr(text, '/'))
        schema_wrong(c, v,
                     "the name of a file in the run's folder, without a folder; --log may "
                     "name a log elsewhere");
}

static void check_identifier(Check *c, const Value *v)
{
    if (v->t->kind != TREE_SCALAR || !is_identifier(v->t->text))
        schema_wrong(c, v, "a name of letters, digits and _ that begins with no digit");
}

/* Words of "a|b|c". */
static int split_words(Check *c, const char *limits, const char **word, int most)
{
    int n = 0;
    for (const char *at = limits; *at && n < most; at += *at == '|') {
        size_t length = strcspn(at, "|");
        word[n++] = arena_copy(c->arena, at, length);
        at += length;
    }
    return n;
}

enum { MAX_WORDS = 16 };

static bool is_word(Check *c, const Value *v)
{
    const char *word[MAX_WORDS];
    int n = split_words(c, v->limits, word, MAX_WORDS);
    for (int i = 0; i < n; i++)
        if (v->t->kind == TREE_SCALAR && str_eq(v->t->text, word[i]))
            return true;
    return false;
}

static void wrong_word(Check *c, const Value *v, const char *or_else)
{
    const char *word[MAX_WORDS];
    int n = split_words(c, v->limits, word, MAX_WORDS);
    Text list = {.arena = c->arena};
    for (int i = 0; i < n; i++)
        text_add(&list, "%s%s", i ? i == n - 1 && !*or_else ? " or " : ", " : "", word[i]);
    schema_wrong(c, v, arena_print(c->arena, "%s%s", list.text, or_else));
}

static void check_word(Check *c, const Value *v)
{
    if (!is_word(c, v))
        wrong_word(c, v, "");
}

static void check_every(Check *c, const Value *v)
{
    const Limits limits = limits_of(c, "1..9007199254740992");
    int64_t value;
    if (!is_word(c, v) &&
        !(tree_integer(v->t, &value) && within(&limits, (long double)value)))
        wrong_word(c, v, " or a number from 1 to 9007199254740992");
}

void schema_check_expression(Check *c, const Value *v)
{
    if (v->t->kind != TREE_SCALAR)
        schema_wrong(c, v, "an expression");
}

static void check_any_value(Check *c, const Value *v)
{
    if (v->t->kind != TREE_SCALAR && v->t->kind != TREE_LIST)
        schema_wrong(c, v, "a kind (real, integer, flag, function) or a default");
}

static void check_block(Check *c, const Value *v)
{
    if (v->t->kind != TREE_SCALAR)
        schema_wrong(c, v, "lines of equations after '|'");
}

static void check_unsupported(Check *c, const Value *v)
{
    diag_error(c->d, v->loc, "%s is not supported by this version of rnnc", v->path);
}

static void check_each(Check *c, const Value *v, void (*check)(Check *, const Value *))
{
    for (int i = 0; i < v->t->n; i++)
        check(c, &(Value){v->t->child[i], v->path, v->limits, v->t->child[i]->loc,
                          v->key_loc});
    if (v->t->kind != TREE_LIST)
        check(c, v);
}

static void check_integers(Check *c, const Value *v) { check_each(c, v, check_integer); }

static void check_texts(Check *c, const Value *v) { check_each(c, v, schema_check_text); }

const SchemaType schema_scalar_types[] = {
    {"integer", check_integer},
    {"real", check_real},
    {"flag", check_flag},
    {"text", schema_check_text},
    {"texts", check_texts},
    {"file_name", check_file_name},
    {"integers", check_integers},
    {"identifier", check_identifier},
    {"word", check_word},
    {"every", check_every},
    {"expression", schema_check_expression},
    {"value", check_any_value},
    {"block", check_block},
    {"unsupported", check_unsupported},
};
const int n_schema_scalar_type = COUNT(schema_scalar_types);
