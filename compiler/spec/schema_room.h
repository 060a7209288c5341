/*
 * schema_room.h — inside the schema: what its files share.
 */
#ifndef RNNC_SCHEMA_ROOM_H
#define RNNC_SCHEMA_ROOM_H

#include "spec/schema.h"

typedef struct {
    Arena *arena;
    Diag *d;
    const Tree *root;
    bool library;
} Check;

/* What stands behind a key. */
typedef struct {
    const Tree *t;
    const char *path, *limits; /* limits: what follows the type's first word */
    Loc loc, key_loc;
} Value;

/* The first word of a key's type, and how such a value is checked. */
typedef struct {
    const char *name;
    void (*check)(Check *c, const Value *v);
} SchemaType;

/* ---- schema.c ---- */

/* Checks the tree as the row of the path says, which exists. */
void schema_check_value(Check *c, const Tree *t, const char *path, Loc key_loc);
void schema_check_map(Check *c, const Value *v);
void schema_unknown_key(Check *c, const char *path, const char *key, Loc loc);
bool schema_is_missing(const Tree *map, const char *key);
const char *schema_last_segment(const char *path);
const char *schema_join(Check *c, const char *path, const char *key);

/* ---- schema_scalar.c ---- */

/* "PATH: expected EXPECTED, found …" */
void schema_wrong(Check *c, const Value *v, const char *expected);
const char *schema_found(Check *c, const Tree *t);
void schema_check_text(Check *c, const Value *v);
void schema_check_expression(Check *c, const Value *v);
extern const SchemaType schema_scalar_types[];
extern const int n_schema_scalar_type;

/* ---- schema_run.c ---- */

extern const SchemaType schema_run_types[];
extern const int n_schema_run_type;

#endif
