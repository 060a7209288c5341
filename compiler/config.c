/*
 * config.c — the run-time sections of a spec (data, train, tbptt) as JSON: one form of
 * settings for `rnnc run` and for the trainers that it builds.
 */
#include "config.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *json_of(const Tree *t)
{
    json_t *out = NULL;
    switch (t->kind) {
    case TREE_NULL: return json_null();
    case TREE_SCALAR: return json_string(t->text);
    case TREE_LIST:
        out = json_array();
        for (int i = 0; i < t->n; i++)
            json_array_append_new(out, json_of(t->child[i]));
        return out;
    case TREE_MAP:
        out = json_object();
        for (int i = 0; i < t->n; i++)
            json_object_set_new(out, t->key[i], json_of(t->child[i]));
        return out;
    }
    return out;
}

static void set_section(json_t *to, const char *key, const Tree *section)
{
    if (section)
        json_object_set_new(to, key, json_of(section));
}

const char *config_json(const Unit *u)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", json_string(u->spec->name));
    json_object_set_new(o, "spec", json_string(u->options.spec_path));
    set_section(o, "data", u->spec->data);
    set_section(o, "train", u->spec->train);
    set_section(o, "tbptt", u->spec->tbptt);
    if (u->vocabulary)
        json_object_set_new(o, "vocabulary", json_loads(u->vocabulary, 0, NULL));
    char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    const char *kept = arena_print(u->arena, "%s", text);
    free(text);
    json_decref(o);
    return kept;
}

const char *config_spec_text(const Unit *u)
{
    Text t = {.arena = u->arena};
    tree_print(&t, u->spec->root);
    return t.text;
}

const char *config_folder(const Unit *u)
{
    const char *slash = strrchr(u->options.spec_path, '/');
    return slash ? arena_copy(u->arena, u->options.spec_path,
                              (size_t)(slash - u->options.spec_path))
                 : NULL;
}
