/*
 * command_list.c — rnnc list: what there is, each list read from the table that the
 * compiler itself works from.
 */
#include <inttypes.h>
#include <string.h>

#include "commands.h"
#include "passes/build.h"
#include "rnn.h"

typedef struct {
    Arena *arena;
    const CommandLine *c;
    FILE *out;
} Listing;

static void print_row(const Listing *l, const char *name, const char *what)
{
    fprintf(l->out, "%-28s %s\n", name, what);
}

/* ---- definitions of the library ---- */

static const char *const kind_words[] = {[KIND_REAL] = "real",
                                         [KIND_INTEGER] = "integer",
                                         [KIND_FLAG] = "flag",
                                         [KIND_CLASS] = "class",
                                         [KIND_FUNCTION] = "function"};

static void add_shape(Arena *arena, Text *t, const ShapeExpr *s)
{
    text_add(t, "[");
    for (int i = 0; i < s->n; i++)
        text_add(t, "%s%s", i ? ", " : "", lang_print(arena, s->dim[i]));
    text_add(t, "]");
}

static void add_input(Arena *arena, Text *t, const InputDecl *in)
{
    text_add(t, "%s: ", in->name);
    if (in->shape.n)
        add_shape(arena, t, &in->shape);
    else
        text_add(t, "%s", kind_words[in->kind]);
    if (in->classes)
        text_add(t, "(%s)", lang_print(arena, in->classes));
}

/* As a call would be written: lstm(x: [I], hidden: integer, layers=1). */
static const char *signature(Arena *arena, const Def *def)
{
    Text t = {.arena = arena};
    const char *comma = "";
    text_add(&t, "%s(", def->name);
    for (int i = 0; i < def->n_input; i++, comma = ", ") {
        text_add(&t, "%s", comma);
        add_input(arena, &t, &def->input[i]);
    }
    for (int i = 0; i < def->n_arg; i++, comma = ", ") {
        const ArgDecl *a = &def->arg[i];
        if (!a->required)
            text_add(&t, "%s%s=%s", comma, a->name, lang_print(arena, a->value));
        else if (def->kind == DEF_FUNCTION)
            text_add(&t, "%s%s", comma, a->name);
        else
            text_add(&t, "%s%s: %s", comma, a->name, kind_words[a->kind]);
    }
    text_add(&t, ")");
    return t.text;
}

static const char *line_at(const char *text, int line)
{
    for (; line > 1 && text; line--) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return text ? text : "";
}

/* What stands behind `# ` in the line; NULL: no comment. */
static const char *comment_of(Arena *arena, const char *line)
{
    size_t length = strcspn(line, "\n");
    const char *mark = memchr(line, '#', length);
    if (!mark)
        return NULL;
    size_t skip = strspn(mark, "# ");
    return arena_copy(arena, mark + skip, length - (size_t)(mark - line) - skip);
}

/* The comment on the definition's line, else the one that opens its file. */
static const char *about(Arena *arena, const Def *def)
{
    const Source *source = def->loc.source;
    if (!source)
        return NULL;
    const char *own = comment_of(arena, line_at(source->text, def->loc.line));
    return own || source->text[0] != '#' ? own : comment_of(arena, source->text);
}

static int list_defs(const Listing *l, DefKind kind)
{
    Diag *d = diag_new(l->arena, stderr);
    int n = 0;
    const Def *def = library_read(l->arena, d, l->c->options.library, &n);
    diag_flush(d);
    if (!def && n == 0 && l->c->options.library)
        return EXIT_IO;
    if (!def)
        return EXIT_SPEC;
    for (int i = 0; i < n; i++) {
        if (def[i].kind != kind)
            continue;
        const char *what = about(l->arena, &def[i]);
        fprintf(l->out, "%s\n", signature(l->arena, &def[i]));
        if (what)
            fprintf(l->out, "    %s\n", what);
    }
    return EXIT_DONE;
}

static int list_cells(const Listing *l) { return list_defs(l, DEF_CELL); }
static int list_losses(const Listing *l) { return list_defs(l, DEF_LOSS); }
static int list_optimizers(const Listing *l) { return list_defs(l, DEF_OPTIMIZER); }

static int list_functions(const Listing *l)
{
    const char *name, *takes;
    fprintf(l->out, "The compiler's own:\n");
    for (int i = 0; (name = build_function_name(l->arena, i, &takes)); i++)
        print_row(l, name, takes);
    fprintf(l->out, "\nThe library's:\n");
    return list_defs(l, DEF_FUNCTION);
}

/* ---- tables of the compiler ---- */

static const char *const family_words[] = {
    [FAMILY_LEAF] = "leaf",     [FAMILY_MAP] = "map",           [FAMILY_MOVE] = "move",
    [FAMILY_REDUCE] = "reduce", [FAMILY_CONTRACT] = "contract", [FAMILY_MAKER] = "maker"};

static const char *promise(Arena *arena, const OpDef *op)
{
    if (op->family != FAMILY_MAP)
        return "";
    return op->ulp == 0 ? "exact, or rounded once"
                        : arena_print(arena, "within %g ulp", op->ulp);
}

static int list_ops(const Listing *l)
{
    fprintf(l->out, "%-14s %-10s %-10s %s\n", "operation", "family", "operands",
            "accuracy in f32");
    for (int i = 0; i < OP_COUNT; i++) {
        const OpDef *op = op_defs[i];
        const char *n = op->arity < 0 ? "any" : arena_print(l->arena, "%d", op->arity);
        fprintf(l->out, "%-14s %-10s %-10s %s%s\n", op->name, family_words[op->family], n,
                promise(l->arena, op), op->cheap ? ", cheap" : "");
    }
    return EXIT_DONE;
}

static int list_keys(const Listing *l)
{
    fprintf(l->out, "%-46s %-26s %-22s %-8s %s\n", "key", "type", "default", "when",
            "what");
    for (int i = 0; i < n_spec_key; i++) {
        const Key *k = &spec_keys[i];
        fprintf(l->out, "%-46s %-26s %-22s %-8s %s\n", k->path, k->type, k->otherwise,
                k->when, k->help);
    }
    return EXIT_DONE;
}

static int list_passes(const Listing *l)
{
    for (int i = 0; i < n_pass; i++)
        print_row(l, passes[i].name, passes[i].what);
    return EXIT_DONE;
}

static int list_targets(const Listing *l)
{
    const char *why = NULL;
    const Target *host = target_find(NULL, &why);
    for (int i = 0; i < n_target; i++) {
        const Target *t = &targets[i];
        const char *what = arena_print(
            l->arena,
            "%2d floats in a register, %d registers, tiles of %d rows × %d vectors%s",
            t->vector, t->registers, t->tile_rows, t->tile_vectors,
            t == host ? " (this machine's)" : "");
        print_row(l, t->name, what);
    }
    return EXIT_DONE;
}

static int list_events(const Listing *l)
{
    static const struct {
        const char *name, *counter, *whose;
    } events[] = {
#define X(name, counter, whose) {#name, #counter, #whose},
        RNN_EVENT_LIST(X)
#undef X
    };
    fprintf(l->out, "%-28s %-16s %s\n", "event", "counter", "from");
    for (int i = 0; i < COUNT(events); i++)
        fprintf(l->out, "%-28s %-16s %s\n", events[i].name, events[i].counter,
                events[i].whose);
    return EXIT_DONE;
}

/* ---- the lists ---- */

static const struct {
    const char *name;
    int (*run)(const Listing *l);
} lists[] = {
    {"cells", list_cells},
    {"losses", list_losses},
    {"optimizers", list_optimizers},
    {"functions", list_functions},
    {"ops", list_ops},
    {"keys", list_keys},
    {"passes", list_passes},
    {"targets", list_targets},
    {"events", list_events},
};

static int unknown_list(const char *what)
{
    const char *names[COUNT(lists)];
    for (int i = 0; i < COUNT(lists); i++)
        names[i] = lists[i].name;
    const char *near = diag_nearest(what, names, COUNT(names));
    fprintf(stderr, "rnnc list: there is no list of '%s'", what);
    if (near)
        fprintf(stderr, "; did you mean '%s'?", near);
    fprintf(stderr, "\nthere are");
    for (int i = 0; i < COUNT(lists); i++)
        fprintf(stderr, " %s", names[i]);
    fprintf(stderr, "\n");
    return EXIT_USAGE;
}

int command_list(Arena *arena, const CommandLine *c)
{
    const Listing l = {.arena = arena, .c = c, .out = stdout};
    for (int i = 0; i < COUNT(lists); i++)
        if (str_eq(c->operand, lists[i].name))
            return lists[i].run(&l);
    return unknown_list(c->operand);
}
