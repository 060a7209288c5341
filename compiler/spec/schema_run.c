/*
 * schema_run.c — checks of what a run is told: figures that handlers watch, handlers and
 * what they need besides their own keys, sources of data.
 */
#include "spec/schema_room.h"

#include <string.h>

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
        schema_wrong(c, v, "a figure of the run: loss, METRIC, valid.loss or valid.METRIC");
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
        const Key *row = schema_find(schema_join(c, path, options->key[i]));
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
    const char *its_path = schema_join(c, path, name);
    bool yes, leaves_out = is_map && tree_flag(entry->child[0], &yes) && !yes;
    const Tree none = {.kind = TREE_NULL, .loc = loc};
    int n_before = diag_errors(c->d);
    if (!schema_is_name(name) || !schema_find(its_path))
        schema_unknown_key(c, path, name, loc);
    else if (!leaves_out)
        schema_check_value(c, is_name ? &none : entry->child[0], its_path, loc);
    const Tree *options = is_map ? entry->child[0] : &none;
    if (!leaves_out && diag_errors(c->d) == n_before) {
        const Key *on = schema_find(schema_join(c, its_path, "on"));
        when_check(c->d, options, on && !str_eq(on->type, "figure"));
        check_needs(c, name, options, loc);
    }
    if (diag_errors(c->d) == n_before)
        check_mode(c, options, its_path);
}

static void check_handlers(Check *c, const Value *v)
{
    if (v->t->kind != TREE_LIST && v->t->kind != TREE_NULL)
        schema_wrong(c, v, "a list of handlers");
    else
        for (int i = 0; i < v->t->n; i++)
            check_handler(c, v->t->child[i]);
}

/* ---- data ---- */

static void check_input_file(Check *c, const Value *v)
{
    const char *name = schema_last_segment(v->path);
    if (schema_is_missing(c->root, "inputs") ||
        schema_is_missing(tree_get(c->root, "inputs"), name)) {
        const char *path = arena_copy(c->arena, v->path, (size_t)(name - v->path) - 1);
        schema_unknown_key(c, path, name, v->loc);
        return;
    }
    schema_check_text(c, v);
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
    schema_check_map(c, v);
    if (v->t->kind != TREE_MAP)
        return;
    check_part(c, tree_get(v->t, "part"), v->path);
    for (int i = 0; i < v->t->n; i++) {
        const char *key = v->t->key[i];
        bool is_way = false, is_input = inputs && !schema_is_missing(inputs, key);
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

const SchemaType schema_run_types[] = {
    {"figure", check_figure},
    {"handlers", check_handlers},
    {"source", check_source},
    {"input_file", check_input_file},
};
const int n_schema_run_type = COUNT(schema_run_types);
