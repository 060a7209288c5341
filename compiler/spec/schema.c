/*
 * schema.c — the table of keys, and a tree held against it.
 *
 * The walk goes down the tree with the path of keys; the row that fits the path (with the
 * fewest *) names a type, and the type's row a function that checks the value and walks
 * on. Everything wrong is reported, nothing is changed. Readers come afterwards and pass
 * silently over what was reported here. Scalars: schema_scalar.c; what a run is told,
 * schema_run.c.
 */
#include "spec/schema_room.h"

#include <stdlib.h>
#include <string.h>

const Key spec_keys[] = {
#define KEY(path, type, otherwise, when, help) {path, type, otherwise, when, help},
#include "spec/schema.def"
#undef KEY
};
const int n_spec_key = COUNT(spec_keys);

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

const char *schema_last_segment(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

/* Whether the row is of a key of the mapping at `path` ("" is the root). */
static bool is_key_of(Check *c, const Key *row, const char *path)
{
    const char *last = schema_last_segment(row->path);
    if (!*path)
        return last == row->path;
    if (last == row->path)
        return false;
    size_t length = (size_t)(last - row->path) - 1;
    return fits(arena_copy(c->arena, row->path, length), path) >= 0;
}

const char *schema_join(Check *c, const char *path, const char *key)
{
    return *path ? arena_print(c->arena, "%s.%s", path, key) : key;
}

/* ---- mappings ---- */

void schema_unknown_key(Check *c, const char *path, const char *key, Loc loc)
{
    const char **candidate = NULL;
    int n = 0, capacity = 0;
    for (int i = 0; i < n_spec_key; i++)
        if (is_key_of(c, &spec_keys[i], path) &&
            !str_eq(schema_last_segment(spec_keys[i].path), "*"))
            *PUSH(c->arena, candidate, n, capacity) =
                schema_last_segment(spec_keys[i].path);
    const Tree *inputs = tree_get(c->root, "inputs");
    bool is_source = strncmp(path, "data.", 5) == 0;
    for (int i = 0; is_source && inputs && i < inputs->n && inputs->kind == TREE_MAP; i++)
        *PUSH(c->arena, candidate, n, capacity) = inputs->key[i];
    const char *nearest = diag_nearest(key, candidate, n);
    diag_error(c->d, loc, "unknown key '%s'%s%s%s%s%s", key, *path ? " in " : "", path,
               nearest ? "; did you mean '" : "", nearest ? nearest : "",
               nearest ? "'?" : "");
}

bool schema_is_missing(const Tree *map, const char *key)
{
    return map->kind != TREE_MAP || !tree_get(map, key);
}

static void check_required(Check *c, const Tree *map, const char *path, Loc loc)
{
    for (int i = 0; i < n_spec_key; i++) {
        const Key *row = &spec_keys[i];
        const char *key = schema_last_segment(row->path);
        bool wanted = str_eq(row->otherwise, "required") && is_key_of(c, row, path);
        if (!wanted || !schema_is_missing(map, key) ||
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
        const char *child = schema_join(c, path, map->key[i]);
        bool dotted = strpbrk(map->key[i], ".*[]"); /* would be read as more than one key */
        if (dotted || !schema_find(child))
            schema_unknown_key(c, path, map->key[i], map->key_loc[i]);
        else
            schema_check_value(c, map->child[i], child, map->key_loc[i]);
    }
    check_required(c, map, path, loc);
}

/* A section whose lines are all comments is an empty one. */
void schema_check_map(Check *c, const Value *v)
{
    if (v->t->kind == TREE_MAP || v->t->kind == TREE_NULL)
        check_keys(c, v->t, v->path, v->key_loc);
    else
        schema_wrong(c, v, "a mapping");
}

static void check_names(Check *c, const Value *v)
{
    if (v->t->kind != TREE_MAP && v->t->kind != TREE_NULL) {
        schema_wrong(c, v, "a mapping of names");
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
            schema_check_value(c, v->t->child[i], schema_join(c, v->path, name), loc);
    }
}

static void check_model(Check *c, const Value *v)
{
    if (v->t->kind == TREE_MAP)
        check_keys(c, v->t, v->path, v->key_loc);
    else if (v->t->kind != TREE_SCALAR)
        schema_wrong(c, v, "lines of equations after '|', or a mapping");
}

static void check_derivative(Check *c, const Value *v)
{
    if (v->t->kind == TREE_MAP)
        check_names(c, v);
    else
        schema_check_expression(c, v);
}

/* ---- lists ---- */

static void check_list(Check *c, const Value *v)
{
    if (v->t->kind != TREE_LIST) {
        schema_wrong(c, v, "a list [a, b]");
        return;
    }
    if (*v->limits && v->t->n != atoi(v->limits))
        diag_error(c->d, v->loc, "%s: expected a list of %s, found %d", v->path, v->limits,
                   v->t->n);
    const char *element = arena_print(c->arena, "%s[]", v->path);
    for (int i = 0; i < v->t->n; i++)
        schema_check_value(c, v->t->child[i], element, v->t->child[i]->loc);
}

static void check_shape(Check *c, const Value *v)
{
    if (v->t->kind != TREE_LIST) {
        schema_wrong(c, v, "a shape, a list of dimensions such as [hidden, I]");
        return;
    }
    for (int i = 0; i < v->t->n; i++)
        if (v->t->child[i]->kind != TREE_SCALAR)
            diag_error(c->d, v->t->child[i]->loc, "%s: expected a dimension, found %s",
                       v->path, schema_found(c, v->t->child[i]));
}

/* A mapping, or one of the shorter ways to write it, which the reader understands. */
static void check_input(Check *c, const Value *v)
{
    if (v->t->kind == TREE_MAP)
        check_keys(c, v->t, v->path, v->key_loc);
    else if (v->t->kind == TREE_LIST)
        check_shape(c, v);
    else if (v->t->kind == TREE_NULL)
        schema_wrong(c, v,
                     "a kind (real, flag, integer, class(n)), a shape [n] or a mapping");
}

static void check_variable(Check *c, const Value *v)
{
    bool may_be_like = strncmp(v->path, "optimizers.", 11) == 0;
    if (v->t->kind == TREE_MAP)
        check_keys(c, v->t, v->path, v->key_loc);
    else if (v->t->kind == TREE_LIST)
        check_shape(c, v);
    else if (!may_be_like || v->t->kind != TREE_SCALAR)
        schema_wrong(c, v,
                     may_be_like ? "like(w) or a mapping" : "a shape [n] or a mapping");
}

/* ---- types ---- */

/* A key without a value is shown at the key. */
static Loc place_of(const Tree *t, Loc key_loc)
{
    return t->kind == TREE_NULL ? key_loc : t->loc;
}

static const SchemaType own_types[] = {
    {"map", schema_check_map}, {"names", check_names},
    {"list", check_list},      {"shape", check_shape},
    {"input", check_input},    {"variable", check_variable},
    {"model", check_model},    {"derivative", check_derivative},
};

static const SchemaType *find_type(const Key *row, size_t length)
{
    const struct {
        const SchemaType *type;
        int n;
    } tables[] = {{own_types, COUNT(own_types)},
                  {schema_scalar_types, n_schema_scalar_type},
                  {schema_run_types, n_schema_run_type}};
    for (int t = 0; t < COUNT(tables); t++)
        for (int i = 0; i < tables[t].n; i++) {
            const char *name = tables[t].type[i].name;
            if (strlen(name) == length && strncmp(row->type, name, length) == 0)
                return &tables[t].type[i];
        }
    BUG("the type of key %s, '%s', is none", row->path, row->type);
}

void schema_check_value(Check *c, const Tree *t, const char *path, Loc key_loc)
{
    const Key *row = schema_find(path);
    size_t length = strcspn(row->type, " ");
    const char *limits = row->type + length + strspn(row->type + length, " ");
    find_type(row, length)
        ->check(c, &(Value){t, path, limits, place_of(t, key_loc), key_loc});
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
