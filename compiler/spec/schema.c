/*
 * schema.c — the table of keys, and a tree held against it.
 *
 * The walk goes down the tree with the path of keys; the row that fits the path (with the
 * fewest *) names a type, and the type's row a function that checks the value and walks
 * on. Everything wrong is reported, nothing is changed. Readers come afterwards and pass
 * silently over what was reported here.
 */
#include "spec/schema.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const Key spec_keys[] = {
#define KEY(path, type, otherwise, when, help) {path, type, otherwise, when, help},
#include "spec/schema.def"
#undef KEY
};
const int n_spec_key = COUNT(spec_keys);

typedef struct {
    Arena *arena;
    Diag *d;
    const Tree *root;
    bool library;
} Check;

static void check_value(Check *c, const Tree *t, const char *path, Loc key_loc);

/* ---- paths ---- */

/* How many * the pattern needs to fit the path; -1: it does not fit. */
static int fits(const char *pattern, const char *path)
{
    int n_star = 0;
    for (;;) {
        size_t p = strcspn(pattern, "."), q = strcspn(path, ".");
        if (p == 1 && *pattern == '*')
            n_star++;
        else if (p != q || strncmp(pattern, path, p) != 0)
            return -1;
        pattern += p, path += q;
        if (!*pattern || !*path)
            return *pattern == *path ? n_star : -1;
        pattern++, path++;
    }
}

const Key *schema_find(const char *path)
{
    const Key *found = NULL;
    for (int i = 0, least = 99; i < n_spec_key; i++) {
        int n_star = fits(spec_keys[i].path, path);
        if (n_star >= 0 && n_star < least) {
            least = n_star;
            found = &spec_keys[i];
        }
    }
    return found;
}

static const char *last_segment(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

/* Whether the row is of a key of the mapping at `path` ("" is the root). */
static bool is_key_of(Check *c, const Key *row, const char *path)
{
    const char *last = last_segment(row->path);
    if (!*path)
        return last == row->path;
    if (last == row->path)
        return false;
    size_t length = (size_t)(last - row->path) - 1;
    return fits(arena_copy(c->arena, row->path, length), path) >= 0;
}

static const char *join(Check *c, const char *path, const char *key)
{
    return *path ? arena_print(c->arena, "%s.%s", path, key) : key;
}

/* ---- scalars ---- */

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
static const char *found(Check *c, const Tree *t)
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

/* A key without a value is shown at the key. */
static Loc place_of(const Tree *t, Loc key_loc)
{
    return t->kind == TREE_NULL ? key_loc : t->loc;
}

typedef struct {
    const Tree *t;
    const char *path, *limits;
    Loc loc, key_loc;
} Value;

static void wrong(Check *c, const Value *v, const char *expected)
{
    diag_error(c->d, v->loc, "%s: expected %s, found %s", v->path, expected,
               found(c, v->t));
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
        wrong(c, v, "an integer, written without point and exponent");
    else
        wrong(c, v, "an integer");
}

static void check_real(Check *c, const Value *v)
{
    double value;
    if (tree_real(v->t, &value))
        check_limits(c, v, value);
    else
        wrong(c, v, "a number");
}

static void check_flag(Check *c, const Value *v)
{
    bool value;
    if (!tree_flag(v->t, &value))
        wrong(c, v, "true or false");
}

static void check_text(Check *c, const Value *v)
{
    if (v->t->kind != TREE_SCALAR || !*v->t->text)
        wrong(c, v, "a text");
}

/* A run writes in its own folder alone, whoever wrote the spec. */
static void check_file_name(Check *c, const Value *v)
{
    const char *text = v->t->kind == TREE_SCALAR ? v->t->text : "";
    if (!*text || *text == '.' || strchr(text, '/'))
        wrong(c, v,
              "the name of a file in the run's folder, without a folder; --log may "
              "name a log elsewhere");
}

static void check_identifier(Check *c, const Value *v)
{
    if (v->t->kind != TREE_SCALAR || !is_identifier(v->t->text))
        wrong(c, v, "a name of letters, digits and _ that begins with no digit");
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
    wrong(c, v, arena_print(c->arena, "%s%s", list.text, or_else));
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

static void check_expression(Check *c, const Value *v)
{
    if (v->t->kind != TREE_SCALAR)
        wrong(c, v, "an expression");
}

static void check_any_value(Check *c, const Value *v)
{
    if (v->t->kind != TREE_SCALAR && v->t->kind != TREE_LIST)
        wrong(c, v, "a kind (real, integer, flag, function) or a default");
}

static void check_block(Check *c, const Value *v)
{
    if (v->t->kind != TREE_SCALAR)
        wrong(c, v, "lines of equations after '|'");
}

static void check_unsupported(Check *c, const Value *v)
{
    diag_error(c->d, v->loc, "%s is not supported by this version of rnnc", v->path);
}

/* ---- mappings ---- */

static void unknown_key(Check *c, const char *path, const char *key, Loc loc)
{
    const char **candidate = NULL;
    int n = 0, capacity = 0;
    for (int i = 0; i < n_spec_key; i++)
        if (is_key_of(c, &spec_keys[i], path) &&
            !str_eq(last_segment(spec_keys[i].path), "*"))
            *PUSH(c->arena, candidate, n, capacity) = last_segment(spec_keys[i].path);
    const Tree *inputs = tree_get(c->root, "inputs");
    bool is_source = strncmp(path, "data.", 5) == 0;
    for (int i = 0; is_source && inputs && i < inputs->n && inputs->kind == TREE_MAP; i++)
        *PUSH(c->arena, candidate, n, capacity) = inputs->key[i];
    const char *nearest = diag_nearest(key, candidate, n);
    diag_error(c->d, loc, "unknown key '%s'%s%s%s%s%s", key, *path ? " in " : "", path,
               nearest ? "; did you mean '" : "", nearest ? nearest : "",
               nearest ? "'?" : "");
}

static bool is_missing(const Tree *map, const char *key)
{
    return map->kind != TREE_MAP || !tree_get(map, key);
}

static void check_required(Check *c, const Tree *map, const char *path, Loc loc)
{
    for (int i = 0; i < n_spec_key; i++) {
        const Key *row = &spec_keys[i];
        const char *key = last_segment(row->path);
        bool wanted = str_eq(row->otherwise, "required") && is_key_of(c, row, path);
        if (!wanted || !is_missing(map, key) ||
            (c->library && !*path && strcmp(key, "rnnc")))
            continue;
        if (*path)
            diag_error(c->d, loc, "%s: '%s' is missing (%s)", path, key, row->help);
        else
            diag_error(c->d, loc, "'%s' is missing (%s)", key, row->help);
    }
}

static void check_keys(Check *c, const Tree *map, const char *path, Loc loc)
{
    for (int i = 0; i < map->n && map->kind == TREE_MAP; i++) {
        const char *child = join(c, path, map->key[i]);
        bool dotted = strpbrk(map->key[i], ".*[]"); /* would be read as more than one key */
        if (dotted || !schema_find(child))
            unknown_key(c, path, map->key[i], map->key_loc[i]);
        else
            check_value(c, map->child[i], child, map->key_loc[i]);
    }
    check_required(c, map, path, loc);
}

/* A section whose lines are all comments is an empty one. */
static void check_map(Check *c, const Value *v)
{
    if (v->t->kind == TREE_MAP || v->t->kind == TREE_NULL)
        check_keys(c, v->t, v->path, v->key_loc);
    else
        wrong(c, v, "a mapping");
}

static void check_names(Check *c, const Value *v)
{
    if (v->t->kind != TREE_MAP && v->t->kind != TREE_NULL) {
        wrong(c, v, "a mapping of names");
        return;
    }
    for (int i = 0; i < v->t->n; i++) {
        const char *name = v->t->key[i];
        Loc loc = v->t->key_loc[i];
        if (schema_is_reserved(name))
            diag_error(c->d, loc, "'%s' is reserved: it cannot be a name", name);
        else if (!schema_is_name(name))
            diag_error(c->d, loc, "'%s' is no name: letters, digits and _, no digit first",
                       name);
        else
            check_value(c, v->t->child[i], join(c, v->path, name), loc);
    }
}

static void check_model(Check *c, const Value *v)
{
    if (v->t->kind == TREE_MAP)
        check_keys(c, v->t, v->path, v->key_loc);
    else if (v->t->kind != TREE_SCALAR)
        wrong(c, v, "lines of equations after '|', or a mapping");
}

static void check_derivative(Check *c, const Value *v)
{
    if (v->t->kind == TREE_MAP)
        check_names(c, v);
    else
        check_expression(c, v);
}

/* ---- lists ---- */

static void check_list(Check *c, const Value *v)
{
    if (v->t->kind != TREE_LIST) {
        wrong(c, v, "a list [a, b]");
        return;
    }
    if (*v->limits && v->t->n != atoi(v->limits))
        diag_error(c->d, v->loc, "%s: expected a list of %s, found %d", v->path, v->limits,
                   v->t->n);
    const char *element = arena_print(c->arena, "%s[]", v->path);
    for (int i = 0; i < v->t->n; i++)
        check_value(c, v->t->child[i], element, v->t->child[i]->loc);
}

static void check_shape(Check *c, const Value *v)
{
    if (v->t->kind != TREE_LIST) {
        wrong(c, v, "a shape, a list of dimensions such as [hidden, I]");
        return;
    }
    for (int i = 0; i < v->t->n; i++)
        if (v->t->child[i]->kind != TREE_SCALAR)
            diag_error(c->d, v->t->child[i]->loc, "%s: expected a dimension, found %s",
                       v->path, found(c, v->t->child[i]));
}

/* A mapping, or one of the shorter ways to write it, which the reader understands. */
static void check_input(Check *c, const Value *v)
{
    if (v->t->kind == TREE_MAP)
        check_keys(c, v->t, v->path, v->key_loc);
    else if (v->t->kind == TREE_LIST)
        check_shape(c, v);
    else if (v->t->kind == TREE_NULL)
        wrong(c, v, "a kind (real, flag, integer, class(n)), a shape [n] or a mapping");
}

static void check_variable(Check *c, const Value *v)
{
    bool may_be_like = strncmp(v->path, "optimizers.", 11) == 0;
    if (v->t->kind == TREE_MAP)
        check_keys(c, v->t, v->path, v->key_loc);
    else if (v->t->kind == TREE_LIST)
        check_shape(c, v);
    else if (!may_be_like || v->t->kind != TREE_SCALAR)
        wrong(c, v, may_be_like ? "like(w) or a mapping" : "a shape [n] or a mapping");
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

static void check_texts(Check *c, const Value *v) { check_each(c, v, check_text); }

/* What a run measures: its loss and metrics and, with data.valid, those of a validation. */
static void check_figure(Check *c, const Value *v)
{
    const Tree *metrics = tree_get(c->root, "metrics"), *data = tree_get(c->root, "data");
    bool validates = data && tree_get(data, "valid");
    int n_metric = metrics && metrics->kind == TREE_MAP ? metrics->n : 0, n = 0;
    const char **name = NEW_ARRAY(c->arena, const char *, 2 * n_metric + 2);
    name[n++] = "loss";
    for (int i = 0; i < n_metric; i++)
        name[n++] = metrics->key[i];
    if (validates)
        name[n++] = "valid.loss";
    for (int i = 0; validates && i < n_metric; i++)
        name[n++] = arena_print(c->arena, "valid.%s", metrics->key[i]);
    if (v->t->kind != TREE_SCALAR) {
        wrong(c, v, "a figure of the run: loss, METRIC, valid.loss or valid.METRIC");
        return;
    }
    for (int i = 0; i < n; i++)
        if (str_eq(v->t->text, name[i]))
            return;
    const char *near = diag_nearest(v->t->text, name, n);
    bool wants_valid = !validates && strncmp(v->t->text, "valid.", 6) == 0;
    diag_error(c->d, v->loc, "unknown figure '%s'%s%s%s", v->t->text,
               wants_valid ? ": there is no data.valid to validate on"
               : near      ? "; did you mean '"
                           : "; there are loss, METRIC, valid.loss and valid.METRIC",
               near && !wants_valid ? near : "", near && !wants_valid ? "'?" : "");
}

/* Of a loss less is better; of any other figure only who wrote it knows. */
static void check_mode(Check *c, const Tree *options, const char *path)
{
    for (int i = 0; options->kind == TREE_MAP && i < options->n; i++) {
        const Key *row = schema_find(join(c, path, options->key[i]));
        const Tree *value = options->child[i];
        if (!row || !str_eq(row->type, "figure") || value->kind != TREE_SCALAR ||
            str_eq(value->text, "loss") || str_eq(value->text, "valid.loss") ||
            tree_get(options, "mode"))
            continue;
        diag_error(c->d, value->loc,
                   "is more of '%s' better, or less? say mode: max, or mode: min",
                   value->text);
    }
}

/* What a handler needs besides its own keys. */
static void check_needs(Check *c, const char *name, const Tree *options, Loc loc)
{
    static const char *const pair[] = {"momentum_warmup", "warmup"};
    const Tree *data = tree_get(c->root, "data");
    if (str_eq(name, "validate") && !(data && tree_get(data, "valid")))
        diag_error(c->d, loc, "validate: there is no data.valid to validate on");
    for (int i = 0; i < 2; i++)
        if (tree_get(options, pair[i]) && !tree_get(options, pair[1 - i]))
            diag_error(c->d, tree_get(options, pair[i])->loc,
                       "momentum_warmup and warmup go together: give %s too", pair[1 - i]);
}

static void check_handler(Check *c, const Tree *entry)
{
    static const char path[] = "train.handlers[]";
    bool is_name = entry->kind == TREE_SCALAR, is_map = entry->kind == TREE_MAP;
    if (!is_name && !(is_map && entry->n == 1)) {
        diag_error(
            c->d, entry->loc,
            "a handler is a name or a mapping of one: '- checkpoint: {every: epoch}'");
        return;
    }
    const char *name = is_name ? entry->text : entry->key[0];
    Loc loc = is_name ? entry->loc : entry->key_loc[0];
    const char *its_path = join(c, path, name);
    bool yes, leaves_out = is_map && tree_flag(entry->child[0], &yes) && !yes;
    const Tree none = {.kind = TREE_NULL, .loc = loc};
    int n_before = diag_errors(c->d);
    if (!schema_is_name(name) || !schema_find(its_path))
        unknown_key(c, path, name, loc);
    else if (!leaves_out)
        check_value(c, is_name ? &none : entry->child[0], its_path, loc);
    const Tree *options = is_map ? entry->child[0] : &none;
    if (!leaves_out && diag_errors(c->d) == n_before) {
        const Key *on = schema_find(join(c, its_path, "on"));
        when_check(c->d, options, on && !str_eq(on->type, "figure"));
        check_needs(c, name, options, loc);
    }
    if (diag_errors(c->d) == n_before)
        check_mode(c, options, its_path);
}

static void check_handlers(Check *c, const Value *v)
{
    if (v->t->kind != TREE_LIST && v->t->kind != TREE_NULL)
        wrong(c, v, "a list of handlers");
    else
        for (int i = 0; i < v->t->n; i++)
            check_handler(c, v->t->child[i]);
}

/* ---- data ---- */

static void check_input_file(Check *c, const Value *v)
{
    const char *name = last_segment(v->path);
    if (is_missing(c->root, "inputs") || is_missing(tree_get(c->root, "inputs"), name)) {
        const char *path = arena_copy(c->arena, v->path, (size_t)(name - v->path) - 1);
        unknown_key(c, path, name, v->loc);
        return;
    }
    check_text(c, v);
}

/* Two shares in order; each by itself is right. */
static void check_part(Check *c, const Tree *part, const char *path)
{
    double from, to;
    if (part && part->kind == TREE_LIST && part->n == 2 &&
        tree_real(part->child[0], &from) && tree_real(part->child[1], &to) && from >= to)
        diag_error(c->d, part->loc, "%s.part takes nothing: from %s to %s", path,
                   part->child[0]->text, part->child[1]->text);
}

/* One of the ways to name the data, not two. */
static void check_source(Check *c, const Value *v)
{
    static const char *const ways[] = {"npz",  "safetensors", "csv",
                                       "text", "raw",         "random"};
    const Tree *inputs = tree_get(c->root, "inputs");
    const char *first = NULL;
    check_map(c, v);
    if (v->t->kind != TREE_MAP)
        return;
    check_part(c, tree_get(v->t, "part"), v->path);
    for (int i = 0; i < v->t->n; i++) {
        const char *key = v->t->key[i];
        bool is_way = false, is_input = inputs && !is_missing(inputs, key);
        for (int j = 0; j < COUNT(ways); j++)
            is_way |= str_eq(key, ways[j]);
        if (is_way && first)
            diag_error(c->d, v->t->key_loc[i], "%s has two sources: %s and %s", v->path,
                       first, key);
        else if (is_way || (is_input && !first))
            first = key;
    }
    if (!first)
        diag_error(
            c->d, v->key_loc,
            "%s names no source: files by input, or npz, safetensors, csv, text, raw, "
            "random",
            v->path);
}

/* ---- types ---- */

static const struct {
    const char *name;
    void (*check)(Check *c, const Value *v);
} types[] = {
    {"integer", check_integer},
    {"real", check_real},
    {"flag", check_flag},
    {"text", check_text},
    {"texts", check_texts},
    {"file_name", check_file_name},
    {"integers", check_integers},
    {"identifier", check_identifier},
    {"word", check_word},
    {"every", check_every},
    {"figure", check_figure},
    {"expression", check_expression},
    {"value", check_any_value},
    {"block", check_block},
    {"map", check_map},
    {"names", check_names},
    {"list", check_list},
    {"shape", check_shape},
    {"input", check_input},
    {"variable", check_variable},
    {"model", check_model},
    {"derivative", check_derivative},
    {"handlers", check_handlers},
    {"source", check_source},
    {"input_file", check_input_file},
    {"unsupported", check_unsupported},
};

static void check_value(Check *c, const Tree *t, const char *path, Loc key_loc)
{
    const Key *row = schema_find(path);
    size_t length = strcspn(row->type, " ");
    const char *limits = row->type + length + strspn(row->type + length, " ");
    for (int i = 0; i < COUNT(types); i++)
        if (strlen(types[i].name) == length &&
            strncmp(row->type, types[i].name, length) == 0) {
            types[i].check(c, &(Value){t, path, limits, place_of(t, key_loc), key_loc});
            return;
        }
    BUG("the type of key %s, '%s', is none", row->path, row->type);
}

/* A library's file defines; it has nothing to run. */
static void check_library(Check *c)
{
    static const char *const sections[] = {"rnnc", "cells", "functions", "losses",
                                           "optimizers"};
    for (int i = 0; i < c->root->n; i++) {
        bool known = false;
        for (int j = 0; j < COUNT(sections); j++)
            known |= str_eq(c->root->key[i], sections[j]);
        if (!known)
            diag_error(c->d, c->root->key_loc[i], "'%s' has no place in a library's file",
                       c->root->key[i]);
    }
}

void schema_check(Arena *arena, Diag *d, const Tree *root, bool library)
{
    Check c = {.arena = arena, .d = d, .root = root, .library = library};
    if (root->kind != TREE_MAP) {
        diag_error(d, root->loc, "a spec is a mapping that begins with 'rnnc: 1'");
        return;
    }
    check_keys(&c, root, "", (Loc){.source = root->loc.source});
    if (library)
        check_library(&c);
}
