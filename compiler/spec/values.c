/*
 * values.c — looking things up in a Spec that has been read.
 *
 * A value is taken from the tree by its path, else from the schema's default, else it is
 * what the caller says. Types were checked by the schema.
 */
#include "spec/schema.h"

#include <string.h>

const Def *spec_find(const Spec *spec, DefKind kind, const char *name, bool from_library)
{
    for (int i = 0; i < spec->n_def; i++) {
        const Def *def = &spec->def[i];
        if (def->kind == kind && (def->library || !from_library) && str_eq(def->name, name))
            return def;
    }
    return NULL;
}

const Tree *spec_tree(const Spec *spec, const char *path)
{
    const Tree *t = spec->root;
    while (t && *path) {
        size_t length = strcspn(path, ".");
        t = tree_get(t, arena_copy(spec->arena, path, length));
        path += length;
        path += *path == '.';
    }
    return t;
}

/* The tree's value or the schema's default, as a scalar; NULL when there is neither. */
static const Tree *value_of(const Spec *spec, const char *path, Tree *room)
{
    const Tree *t = spec_tree(spec, path);
    const Key *row = t ? NULL : schema_find(path);
    if (t || !row || !*row->otherwise || str_eq(row->otherwise, "required"))
        return t;
    *room = (Tree){.kind = TREE_SCALAR, .text = row->otherwise};
    return room;
}

int64_t spec_integer(const Spec *spec, const char *path, int64_t otherwise)
{
    Tree room;
    const Tree *t = value_of(spec, path, &room);
    if (t)
        tree_integer(t, &otherwise);
    return otherwise;
}

double spec_real(const Spec *spec, const char *path, double otherwise)
{
    Tree room;
    const Tree *t = value_of(spec, path, &room);
    if (t)
        tree_real(t, &otherwise);
    return otherwise;
}

bool spec_flag(const Spec *spec, const char *path, bool otherwise)
{
    Tree room;
    const Tree *t = value_of(spec, path, &room);
    if (t)
        tree_flag(t, &otherwise);
    return otherwise;
}

const char *spec_text(const Spec *spec, const char *path, const char *otherwise)
{
    Tree room;
    const Tree *t = value_of(spec, path, &room);
    return t && t->kind == TREE_SCALAR ? t->text : otherwise;
}

bool spec_path_is_number(Arena *arena, const char *path)
{
    size_t length = strcspn(path, ".");
    const Key *section = schema_find(arena_copy(arena, path, length));
    bool has_keys =
        section && !str_eq(section->type, "expression") && !str_eq(section->type, "list");
    return path[length] && !has_keys && !schema_find(path);
}
