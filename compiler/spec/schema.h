/*
 * schema.h — inside the room: checking a tree against the table of keys.
 */
#ifndef RNNC_SCHEMA_H
#define RNNC_SCHEMA_H

#include "spec/spec.h"

/* Reports every unknown or missing key and every value of a wrong type. library: a file
   of definitions, which has none of a spec's other sections. */
void schema_check(Arena *arena, Diag *d, const Tree *root, bool library);
/* The row of a path as written, such as "data.train.batch"; NULL when there is none. */
const Key *schema_find(const char *path);
/* Whether the name may be one: letters, digits, _; no digit first; not reserved. */
bool schema_is_name(const char *text);
/* Tells mistakes among a handler's `on`, `every`, `once`, `before` and `after`, each of
   which is right by itself; `on` may be something else than an event. */
void when_check(Diag *d, const Tree *options, bool on_is_event);
bool schema_is_reserved(const char *text);

/* A scalar's value; false when it is none of that kind. */
bool tree_integer(const Tree *t, int64_t *out);
bool tree_real(const Tree *t, double *out);
bool tree_flag(const Tree *t, bool *out);

/* What the readers share. */
typedef struct {
    Arena *arena;
    Diag *d;
    bool library;
} Reader;

/* A scalar, or a list of expressions, as an expression. NULL where the tree is neither
   (the schema has told) or after a mistake. */
const Expr *read_expression(Reader *r, const Tree *t);
Block read_block(Reader *r, const Tree *t);
InputDecl *read_inputs(Reader *r, const Tree *names, int *n);
Def read_definition(Reader *r, DefKind kind, const char *name, Loc loc, const Tree *t);
Def read_model(Reader *r, const Tree *t, Loc loc);

#endif
