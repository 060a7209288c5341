/*
 * command_list.c — rnnc list: what there is, each list read from the table that the
 * compiler itself works from. With --markdown as a table of docs/reference/.
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

/* ---- tables ---- */

enum { COLUMNS_MAX = 5 };

/* A list as columns; the last has no width. Without titles in plain text if `untitled`. */
typedef struct {
    int n;
    const char *title[COLUMNS_MAX];
    int width[COLUMNS_MAX];
    bool untitled;
} Table;

/* Names and signatures stand as code; a bar would end the cell. */
static void print_cell(const Listing *l, const char *text, bool code)
{
    if (!*text)
        return;
    fprintf(l->out, code ? "`" : "");
    for (const char *p = text; *p; p++)
        fprintf(l->out, *p == '|' ? "\\%c" : "%c", *p);
    fprintf(l->out, code ? "`" : "");
}

static void print_row(const Listing *l, const Table *t, const char *const *cell)
{
    for (int i = 0; i < t->n && l->c->markdown; i++) {
        fprintf(l->out, "| ");
        print_cell(l, cell[i], i == 0 && cell != t->title);
        fprintf(l->out, i + 1 < t->n ? " " : " |\n");
    }
    for (int i = 0; i < t->n && !l->c->markdown; i++)
        fprintf(l->out, i + 1 < t->n ? "%-*s " : "%*s\n", t->width[i], cell[i]);
}

static void print_titles(const Listing *l, const Table *t)
{
    if (l->c->markdown || !t->untitled)
        print_row(l, t, t->title);
    for (int i = 0; i < t->n && l->c->markdown; i++)
        fprintf(l->out, i + 1 < t->n ? "| --- " : "| --- |\n");
}

static const Table two_columns = {2, {"name", "what"}, {28}, true};

static void print_name(const Listing *l, const char *name, const char *what)
{
    print_row(l, &two_columns, (const char *[]){name, what});
}

/* ---- definitions of the library ---- */

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
        text_add(t, "%s", kind_word(in->kind));
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
            text_add(&t, "%s%s: %s", comma, a->name, kind_word(a->kind));
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

/* The comment on the definition's line; of a cell else the one that opens its file, which
   is of few cells. */
static const char *about(Arena *arena, const Def *def)
{
    const Source *source = def->loc.source;
    if (!source)
        return NULL;
    const char *own = comment_of(arena, line_at(source->text, def->loc.line));
    bool opens = source->text[0] == '#' && def->kind == DEF_CELL;
    return own || !opens ? own : comment_of(arena, source->text);
}

static void print_definition(const Listing *l, const Def *def)
{
    static const Table calls = {2, {"call", "what"}, {0}, true};
    const char *what = about(l->arena, def);
    const char *call = signature(l->arena, def);
    if (l->c->markdown)
        print_row(l, &calls, (const char *[]){call, what ? what : ""});
    else
        fprintf(l->out, what ? "%s\n    %s\n" : "%s\n", call, what);
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
    if (l->c->markdown)
        fprintf(l->out, "| call | what |\n| --- | --- |\n");
    for (int i = 0; i < n; i++)
        if (def[i].kind == kind)
            print_definition(l, &def[i]);
    return EXIT_DONE;
}

static int list_cells(const Listing *l) { return list_defs(l, DEF_CELL); }
static int list_losses(const Listing *l) { return list_defs(l, DEF_LOSS); }
static int list_optimizers(const Listing *l) { return list_defs(l, DEF_OPTIMIZER); }

static int list_functions(const Listing *l)
{
    const char *name, *takes;
    fprintf(l->out, l->c->markdown ? "The compiler's own:\n\n" : "The compiler's own:\n");
    print_titles(l, &two_columns);
    for (int i = 0; (name = build_function_name(l->arena, i, &takes)); i++)
        print_name(l, name, takes);
    fprintf(l->out, l->c->markdown ? "\nThe library's:\n\n" : "\nThe library's:\n");
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
    static const Table ops = {
        4, {"operation", "family", "operands", "accuracy"}, {14, 10, 10}, false};
    print_titles(l, &ops);
    for (int i = 0; i < OP_COUNT; i++) {
        const OpDef *op = op_defs[i];
        const char *n = op->arity < 0 ? "any" : arena_print(l->arena, "%d", op->arity);
        const char *said = arena_print(l->arena, "%s%s", promise(l->arena, op),
                                       op->cheap ? ", cheap" : "");
        print_row(l, &ops, (const char *[]){op->name, family_words[op->family], n, said});
    }
    return EXIT_DONE;
}

static int list_keys(const Listing *l)
{
    static const Table keys = {
        5, {"key", "type", "default", "when", "what"}, {46, 26, 22, 8}, false};
    print_titles(l, &keys);
    for (int i = 0; i < n_spec_key; i++) {
        const Key *k = &spec_keys[i];
        print_row(l, &keys,
                  (const char *[]){k->path, k->type, k->otherwise, k->when, k->help});
    }
    return EXIT_DONE;
}

static int list_passes(const Listing *l)
{
    print_titles(l, &two_columns);
    for (int i = 0; i < n_pass; i++)
        print_name(l, passes[i].name, passes[i].what);
    return EXIT_DONE;
}

static int list_targets(const Listing *l)
{
    const char *why = NULL;
    const Target *host = target_find(NULL, &why);
    print_titles(l, &two_columns);
    for (int i = 0; i < n_target; i++) {
        const Target *t = &targets[i];
        const char *what = arena_print(
            l->arena, "registers of %2d bytes, %d of them, tiles of %d rows × %d vectors%s",
            t->vector_bytes, t->registers, t->tile_rows, t->tile_vectors,
            t == host ? " (this machine's)" : "");
        print_name(l, t->name, what);
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
    static const char *registered[] = {"VALIDATION_COMPLETED", "EPOCH", "OWN"};
    static const Table table = {3, {"event", "counter", "from"}, {28, 16}, false};
    print_titles(l, &table);
    for (int i = 0; i < COUNT(events); i++)
        print_row(l, &table,
                  (const char *[]){events[i].name, events[i].counter, events[i].whose});
    print_row(l, &table, registered); /* by the trainer of a spec */
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
    for (int i = 0; i < COUNT(lists); i++) {
        if (!str_eq(c->operand, lists[i].name))
            continue;
        if (c->markdown)
            printf("# %c%s\n\nPrinted by `rnnc list %s --markdown`.\n\n",
                   lists[i].name[0] - 'a' + 'A', lists[i].name + 1, lists[i].name);
        return lists[i].run(&l);
    }
    return unknown_list(c->operand);
}
