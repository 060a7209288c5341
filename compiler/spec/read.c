/*
 * read.c — a file, overrides and the library to a Spec.
 *
 * Overrides change the tree before anything is checked, so that they go through the same
 * schema and land in the printed spec; their places are in the override's own text. An
 * override below `optimizer` changes an argument of the call that stands there.
 */
#include "spec/schema.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct {
    const char *name;
    DefKind kind;
} sections[] = {
    {"cells", DEF_CELL},
    {"functions", DEF_FUNCTION},
    {"losses", DEF_LOSS},
    {"optimizers", DEF_OPTIMIZER},
};

/* ---- overrides ---- */

static Tree *find_child(Tree *map, const char *key)
{
    for (int i = 0; i < map->n; i++)
        if (str_eq(map->key[i], key))
            return map->child[i];
    return NULL;
}

static void set_child(Arena *arena, Tree *map, const char *key, Tree *value)
{
    int n = map->n;
    size_t n_bytes = (size_t)n * sizeof(void *), more = n_bytes + sizeof(void *);
    map->kind = TREE_MAP;
    for (int i = 0; i < n; i++)
        if (str_eq(map->key[i], key)) {
            map->child[i] = value;
            return;
        }
    map->key = arena_grow(arena, map->key, n_bytes, more);
    map->child = arena_grow(arena, map->child, n_bytes, more);
    map->key_loc = arena_grow(arena, map->key_loc, (size_t)n * sizeof(Loc),
                              (size_t)(n + 1) * sizeof(Loc));
    map->key[n] = key;
    map->child[n] = value;
    map->key_loc[n] = value->loc;
    map->n++;
}

static Tree *override_value(Reader *r, const Override *o)
{
    Source *source = NEW(r->arena, Source);
    source->name = arena_print(r->arena, "--set %s", o->path);
    source->text = o->value;
    source->length = strlen(o->value);
    if (strspn(o->value, " \t\n") == source->length) {
        diag_error(r->d, (Loc){.source = source}, "a value is missing after '='");
        return NULL;
    }
    return tree_parse(r->arena, r->d, source);
}

/* `optimizer.lr=…`: the call with that argument replaced or added. */
static void set_argument(Reader *r, Tree *call, const char *name, const Tree *value)
{
    const Expr *old = read_expression(r, call), *e = read_expression(r, value);
    if (!old || !e)
        return;
    if (old->kind != EXPR_CALL || !schema_is_name(name)) {
        diag_error(r->d, value->loc, "optimizer.%s: there is no such argument to set",
                   name);
        return;
    }
    int at = 0;
    while (at < old->n_arg && !str_eq(old->name[at], name))
        at++;
    int n = at < old->n_arg ? old->n_arg : old->n_arg + 1;
    Expr changed = *old;
    size_t n_bytes = (size_t)old->n_arg * sizeof(void *),
           new_bytes = (size_t)n * sizeof(void *);
    changed.n_arg = n;
    changed.arg = arena_grow(r->arena, old->arg, n_bytes, new_bytes);
    changed.name = arena_grow(r->arena, old->name, n_bytes, new_bytes);
    changed.arg[at] = e;
    changed.name[at] = name;
    call->text = lang_print(r->arena, &changed);
    call->quoted = false;
    call->place.exact = false; /* the text is no longer what stands in the file */
}

/* The entry of a list of handlers that has `key`, made when there is none; a plain name in
   the list becomes a mapping. */
static Tree *entry_of(Arena *arena, Tree *list, const char *key, Loc loc)
{
    for (int i = 0; i < list->n; i++) {
        Tree *entry = list->child[i];
        if (entry->kind == TREE_MAP && tree_get(entry, key))
            return entry;
        if (entry->kind != TREE_SCALAR || !str_eq(entry->text, key))
            continue;
        Tree *none = NEW(arena, Tree);
        *none = (Tree){.kind = TREE_NULL, .loc = entry->loc, .text = ""};
        set_child(arena, entry, key, none);
        return entry;
    }
    size_t n_bytes = (size_t)list->n * sizeof(void *);
    list->child = arena_grow(arena, list->child, n_bytes, n_bytes + sizeof(void *));
    Tree *entry = list->child[list->n++] = NEW(arena, Tree);
    *entry = (Tree){.kind = TREE_MAP, .loc = loc, .text = ""};
    return entry;
}

static bool is_list_of_handlers(const char *path)
{
    const Key *row = schema_find(path);
    return row && str_eq(row->type, "handlers");
}

/* What `path`, whose last key is `key`, names in the map; made where there is nothing. */
static Tree *descend(Arena *arena, Tree *map, const char *path, const char *key, Loc loc)
{
    Tree *child = find_child(map, key);
    if (child && child->kind != TREE_NULL)
        return child;
    child = NEW(arena, Tree);
    *child = (Tree){.kind = TREE_MAP, .loc = loc, .text = ""};
    if (is_list_of_handlers(path))
        child->kind = TREE_LIST;
    set_child(arena, map, key, child);
    return child;
}

static void apply_override(Reader *r, Tree *root, const Override *o)
{
    Tree *value = override_value(r, o), *map = root;
    if (!value)
        return;
    const char *path = o->path;
    for (const char *dot; (dot = strchr(path, '.')); path = dot + 1) {
        const char *key = arena_copy(r->arena, path, (size_t)(dot - path));
        Tree *child = find_child(map, key);
        if (map == root && child && child->kind == TREE_SCALAR &&
            str_eq(key, "optimizer")) {
            set_argument(r, child, dot + 1, value);
            return;
        }
        const char *so_far = arena_copy(r->arena, o->path, (size_t)(dot - o->path));
        child = descend(r->arena, map, so_far, key, value->loc);
        if (child->kind == TREE_LIST && is_list_of_handlers(so_far))
            child =
                entry_of(r->arena, child,
                         arena_copy(r->arena, dot + 1, strcspn(dot + 1, ".")), value->loc);
        if (child->kind != TREE_MAP) {
            diag_error(r->d, value->loc, "'%s' in %s is no mapping: it has no keys to set",
                       key, o->path);
            return;
        }
        map = child;
    }
    set_child(r->arena, map, path, value);
}

/* ---- definitions ---- */

typedef struct {
    Def *def;
    int n, capacity;
} Defs;

static const Def *find_def(const Defs *defs, DefKind kind, const char *name, bool library)
{
    for (int i = 0; i < defs->n; i++)
        if (defs->def[i].kind == kind && defs->def[i].library == library &&
            str_eq(defs->def[i].name, name))
            return &defs->def[i];
    return NULL;
}

/* What stands before `(` is a cell or a function: both of one name are ambiguous. */
static void check_new(Reader *r, const Defs *defs, const Def *def)
{
    DefKind other = def->kind == DEF_CELL       ? DEF_FUNCTION
                    : def->kind == DEF_FUNCTION ? DEF_CELL
                                                : def->kind;
    const Def *same = find_def(defs, def->kind, def->name, def->library);
    const Def *twin = same ? same : find_def(defs, other, def->name, def->library);
    if (!twin)
        return;
    diag_error(r->d, def->loc, "'%s' is defined twice%s", def->name,
               same ? "" : ", as a cell and as a function");
    diag_note(r->d, twin->loc, "it was defined here first");
}

static void read_sections(Reader *r, const Tree *root, Defs *defs)
{
    for (int i = 0; i < COUNT(sections); i++) {
        const Tree *names = tree_get(root, sections[i].name);
        for (int j = 0; names && j < names->n && names->kind == TREE_MAP; j++) {
            Def def = read_definition(r, sections[i].kind, names->key[j], names->key_loc[j],
                                      names->child[j]);
            check_new(r, defs, &def);
            *PUSH(r->arena, defs->def, defs->n, defs->capacity) = def;
        }
    }
}

/* ---- the library ---- */

static void read_library_file(Reader *r, const Source *source, Defs *defs)
{
    const Tree *root = tree_parse(r->arena, r->d, source);
    if (!root)
        return;
    schema_check(r->arena, r->d, root, true);
    read_sections(r, root, defs);
}

static void read_embedded(Reader *r, Defs *defs)
{
    for (const EmbeddedFile *f = spec_library; f->name; f++) {
        Source *source = NEW(r->arena, Source);
        *source = (Source){.name = f->name, .text = f->text, .length = strlen(f->text)};
        read_library_file(r, source, defs);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names in a folder, sorted: the order must not depend on the file system. */
static const char **list_folder(Reader *r, const char *path, int *n)
{
    const char **name = NULL;
    int capacity = 0;
    *n = 0;
    DIR *folder = opendir(path);
    if (!folder) {
        diag_error(r->d, (Loc){0}, "%s: the library's folder cannot be opened: %s", path,
                   strerror(errno));
        return NULL;
    }
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.')
            *PUSH(r->arena, name, *n, capacity) =
                arena_copy(r->arena, entry->d_name, strlen(entry->d_name));
    closedir(folder);
    if (*n)
        qsort(name, (size_t)*n, sizeof *name, by_name);
    return name;
}

static void read_folder(Reader *r, const char *path, int depth, Defs *defs)
{
    enum { MAX_DEPTH = 4 };
    int n;
    const char **name = list_folder(r, path, &n);
    for (int i = 0; i < n; i++) {
        const char *inner = arena_print(r->arena, "%s/%s", path, name[i]);
        struct stat info;
        if (stat(inner, &info) == 0 && S_ISDIR(info.st_mode)) {
            if (depth < MAX_DEPTH)
                read_folder(r, inner, depth + 1, defs);
        } else if (str_match("*.yaml", name[i])) {
            const Source *source = source_read(r->arena, r->d, inner);
            if (source)
                read_library_file(r, source, defs);
        }
    }
}

static void read_library(Reader *r, const char *folder, Defs *defs)
{
    r->library = true;
    if (folder)
        read_folder(r, folder, 0, defs);
    else
        read_embedded(r, defs);
}

const Def *library_read(Arena *arena, Diag *d, const char *folder, int *n_def)
{
    int before = diag_errors(d);
    Reader r = {.arena = arena, .d = d};
    Defs defs = {0};
    read_library(&r, folder, &defs);
    *n_def = defs.n;
    return diag_errors(d) == before ? defs.def : NULL;
}

/* ---- sections of a spec ---- */

/* A folder of inputs and options share data.train: an option's name is no input's. */
static void check_input_names(Reader *r, const Spec *s)
{
    for (int i = 0; i < s->n_input; i++) {
        const InputDecl *in = &s->input[i];
        const char *path = arena_print(r->arena, "data.train.%s", in->name);
        const Key *row = schema_is_name(in->name) ? schema_find(path) : NULL;
        if (row && !str_eq(row->path, "data.*.*"))
            diag_error(r->d, in->loc,
                       "an input cannot have the name '%s': it is an option of data",
                       in->name);
    }
}

enum { METRICS_MAX = 250 };

/* Metrics stand beside these in a line of log.jsonl; `loss` may be one. */
static bool is_field_of_log(const char *name)
{
    static const char *const fields[] = {"event",          "epoch", "iteration",
                                         "time_iteration", "chunk", "output"};
    for (int i = 0; i < COUNT(fields); i++)
        if (str_eq(fields[i], name))
            return true;
    return false;
}

static void read_metrics(Reader *r, const Tree *t, Spec *s)
{
    if (!t || t->kind != TREE_MAP)
        return;
    if (t->n > METRICS_MAX)
        diag_error(r->d, t->key_loc[METRICS_MAX],
                   "%d metrics; a line of the log has room for %d", t->n, METRICS_MAX);
    s->metric = NEW_ARRAY(r->arena, Named, t->n);
    for (int i = 0; i < t->n; i++) {
        const Expr *e = read_expression(r, t->child[i]);
        if (is_field_of_log(t->key[i]))
            diag_error(r->d, t->key_loc[i],
                       "a metric cannot have the name '%s': lines of the log have a field "
                       "of that name",
                       t->key[i]);
        else if (e)
            s->metric[s->n_metric++] = (Named){t->key[i], t->key_loc[i], e};
    }
}

static void read_group(Reader *r, const Tree *t, ParamGroup *g)
{
    const Tree *match = tree_get(t, "match");
    *g = (ParamGroup){.match = match ? match->text : "", .loc = t->loc};
    g->name = NEW_ARRAY(r->arena, const char *, t->n);
    g->value = NEW_ARRAY(r->arena, const Expr *, t->n);
    for (int i = 0; i < t->n; i++) {
        if (t->child[i] == match)
            continue;
        g->name[g->n] = t->key[i];
        g->value[g->n++] = read_expression(r, t->child[i]);
    }
}

static void read_groups(Reader *r, const Tree *t, Spec *s)
{
    if (!t || t->kind != TREE_LIST)
        return;
    s->group = NEW_ARRAY(r->arena, ParamGroup, t->n);
    for (int i = 0; i < t->n; i++)
        if (t->child[i]->kind == TREE_MAP)
            read_group(r, t->child[i], &s->group[s->n_group++]);
}

static void read_optimizer(Reader *r, const Tree *t, Spec *s)
{
    const Expr *e = read_expression(r, t);
    if (e && e->kind != EXPR_CALL)
        diag_error(r->d, e->loc,
                   "optimizer: expected a call such as adam(lr=1e-3), found %s",
                   lang_print(r->arena, e));
    else
        s->optimizer = e;
}

/* `name:`, else the file's: a C name, since generated symbols hold it. */
static const char *spec_name(Reader *r, const Spec *s)
{
    const Tree *given = tree_get(s->root, "name");
    if (given && given->kind == TREE_SCALAR)
        return given->text;
    const char *slash = strrchr(s->source->name, '/');
    const char *file = slash ? slash + 1 : s->source->name;
    size_t length = strcspn(file, ".");
    char *name = arena_print(r->arena, "_%.*s", (int)length, file);
    for (char *c = name; *c; c++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_", *c))
            *c = '_';
    return schema_is_name(name + 1) ? name + 1 : name;
}

static Loc key_loc(const Tree *map, const char *key)
{
    for (int i = 0; i < map->n; i++)
        if (str_eq(map->key[i], key))
            return map->key_loc[i];
    return map->loc;
}

/* ---- tbptt ---- */

static void read_window(Reader *r, Spec *s)
{
    int64_t step = s->tbptt_step, window = spec_integer(s, "tbptt.window", step);
    const Tree *given = tree_get(s->tbptt, "window");
    s->tbptt_window = window;
    if (!given || window == step)
        return;
    if (!step)
        diag_error(r->d, given->loc,
                   "tbptt.window is a multiple of tbptt.step, which is not given; write "
                   "tbptt: {step: %lld, window: %lld}, say",
                   (long long)(window > 1 ? window / 2 : 1),
                   (long long)(window > 1 ? window / 2 * 2 : 2));
    else if (step > 0 && window % step)
        diag_error(r->d, given->loc,
                   "tbptt.window is %lld, no multiple of tbptt.step, which is %lld; write "
                   "%lld, say",
                   (long long)window, (long long)step,
                   (long long)((window / step + 1) * step));
}

static void check_carry(Reader *r, const Spec *s)
{
    const Tree *train = tree_get(s->data, "train"), *carry = tree_get(s->tbptt, "carry");
    const char *word = carry && carry->kind == TREE_SCALAR ? carry->text : "";
    bool shuffles = train && spec_flag(s, "data.train.shuffle", false);
    if (str_eq(word, "batch") && shuffles)
        diag_warning(
            r->d, carry->loc,
            "tbptt.carry: batch goes on from row to row of successive batches, but "
            "data.train.shuffle puts unrelated sequences there");
}

static const Tree *input_name(const Spec *s, const char *key)
{
    const Tree *t = tree_get(s->tbptt, key);
    return t && t->kind == TREE_SCALAR ? t : NULL;
}

static void read_tbptt(Reader *r, Spec *s)
{
    s->tbptt = tree_get(s->root, "tbptt");
    s->tbptt_step = spec_integer(s, "tbptt.step", 0);
    s->tbptt_burn_in = spec_integer(s, "tbptt.burn_in", 0);
    s->tbptt_loss_all = str_eq(spec_text(s, "tbptt.loss_window", ""), "all");
    s->tbptt_reset = input_name(s, "reset");
    s->tbptt_lengths = input_name(s, "lengths");
    read_window(r, s);
    check_carry(r, s);
    s->data_masks = str_eq(spec_text(s, "data.train.nan", ""), "mask") ||
                    str_eq(spec_text(s, "data.valid.nan", ""), "mask");
}

static void read_spec(Reader *r, Spec *s)
{
    const Tree *model = tree_get(s->root, "model");
    s->name = spec_name(r, s);
    s->input = read_inputs(r, tree_get(s->root, "inputs"), &s->n_input);
    check_input_names(r, s);
    if (model) {
        s->model = NEW(r->arena, Def);
        *s->model = read_model(r, model, key_loc(s->root, "model"));
        s->model->input = s->input;
        s->model->n_input = s->n_input;
    }
    s->loss = read_expression(r, tree_get(s->root, "loss"));
    read_metrics(r, tree_get(s->root, "metrics"), s);
    read_optimizer(r, tree_get(s->root, "optimizer"), s);
    read_groups(r, tree_get(s->root, "groups"), s);
    s->data = tree_get(s->root, "data");
    s->train = tree_get(s->root, "train");
    read_tbptt(r, s);
}

Spec *spec_read(Arena *arena, Diag *d, const char *path, const char *library,
                const Override *override, int n_override)
{
    int before = diag_errors(d);
    Reader r = {.arena = arena, .d = d};
    Spec *s = NEW(arena, Spec);
    Defs defs = {0};
    s->arena = arena;
    s->source = source_read(arena, d, path);
    s->root = s->source ? tree_parse(arena, d, s->source) : NULL;
    if (!s->root)
        return NULL;
    for (int i = 0; i < n_override && s->root->kind == TREE_MAP; i++)
        apply_override(&r, s->root, &override[i]);
    schema_check(arena, d, s->root, false);
    read_spec(&r, s);
    read_sections(&r, s->root, &defs);
    read_library(&r, library, &defs);
    s->def = defs.def;
    s->n_def = defs.n;
    return diag_errors(d) == before ? s : NULL;
}
