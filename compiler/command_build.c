/*
 * command_build.c — rnnc build: the compiled model as a trainer of its own, or as parts for
 * others' programs.
 *
 * Everything is made in a folder beside PATH and renamed into place once all of it is
 * there: an interrupted or failed build leaves what stood there before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "commands.h"
#include "config.h"
#include "graph/describe.h"
#include "header.h"
#include "link.h"
#include "report.h"
#include "rnn_config.h"

/* What a build makes its products from. */
typedef struct {
    Unit *unit;
    const struct rnn_model *tables;
    const CommandLine *c;
    const char *folder; /* where products are made */
} Build;

/* Makes the product at `path`; 0, or an exit status after messages. */
typedef int Make(const Build *b, const char *path);

/* ---- products ---- */

static int flush_status(const Unit *u, bool good)
{
    diag_flush(u->diag);
    return good ? EXIT_DONE : EXIT_IO;
}

/* A module of its own for each product: a trainer's holds more. NULL after messages. */
static EmitModule *module_of(const Build *b)
{
    const Unit *u = b->unit;
    EmitModule *m = emit_plan(u->arena, u->diag, u->plan, b->tables, u->target);
    diag_flush(u->diag);
    return m;
}

typedef bool Write(EmitModule *m, Diag *d, const char *path);

static int make_by(const Build *b, const char *path, Write *write)
{
    EmitModule *m = module_of(b);
    if (!m)
        return EXIT_MACHINE;
    int status = flush_status(b->unit, write(m, b->unit->diag, path));
    emit_free(m);
    return status;
}

static int make_object(const Build *b, const char *path)
{
    return make_by(b, path, emit_write_object);
}

static int make_llvm(const Build *b, const char *path)
{
    return make_by(b, path, emit_write_ir);
}
static int make_asm(const Build *b, const char *path)
{
    return make_by(b, path, emit_write_asm);
}

static int make_header(const Build *b, const char *path)
{
    Arena *arena = b->unit->arena;
    const char *text = header_text(arena, b->tables, emit_symbol(arena, b->tables->name));
    FILE *f = fopen(path, "w");
    bool good = f && fputs(text, f) >= 0;
    if (f && fclose(f) != 0)
        good = false;
    if (!good)
        fprintf(stderr, "rnnc build: %s: %s\n", path, strerror(errno));
    return good ? EXIT_DONE : EXIT_IO;
}

/* What is linked is so by this machine's cc, with this machine's libraries. */
static bool is_foreign(const Target *t, const char *what)
{
    struct utsname host;
    if (uname(&host) != 0 || strncmp(t->triple, host.machine, strlen(host.machine)) == 0)
        return false;
    fprintf(stderr,
            "rnnc build: %s for %s cannot be linked here; take --emit obj and link it "
            "there\n",
            what, t->name);
    return true;
}

/* The model's object, handed to `link`. */
static int link_model(const Build *b, const char *path,
                      int (*link)(Arena *arena, const char *object, const char *output))
{
    const char *object = arena_print(b->unit->arena, "%s/model.o", b->folder);
    int status = make_object(b, object);
    if (status == EXIT_DONE)
        status = link(b->unit->arena, object, path);
    unlink(object);
    return status;
}

static int make_archive(const Build *b, const char *path)
{
    return link_model(b, path, link_archive);
}

static int make_library(const Build *b, const char *path)
{
    if (is_foreign(b->unit->target, "a library"))
        return EXIT_MACHINE;
    return link_model(b, path, link_shared);
}

static bool write_trainer(EmitModule *m, const Unit *u, const char *path)
{
    struct rnn_config config = {.json = config_json(u), .spec_text = config_spec_text(u)};
    emit_trainer(m, &config);
    return emit_write_object(m, u->diag, path);
}

static int make_trainer_object(const Build *b, const char *path)
{
    EmitModule *m = module_of(b);
    if (!m)
        return EXIT_MACHINE;
    int status = flush_status(b->unit, write_trainer(m, b->unit, path));
    emit_free(m);
    return status;
}

static int make_executable(const Build *b, const char *path)
{
    Arena *arena = b->unit->arena;
    const char *object = arena_print(arena, "%s/trainer.o", b->folder);
    if (is_foreign(b->unit->target, "an executable"))
        return EXIT_MACHINE;
    int status = make_trainer_object(b, object);
    if (status == EXIT_DONE)
        status = link_executable(arena, object, path);
    unlink(object);
    return status;
}

static const struct {
    const char *name, *suffix; /* behind PATH when there are several */
    Make *make;
} kinds[] = {
    {"exe", "", make_executable},  {"obj", ".o", make_object},
    {"llvm", ".ll", make_llvm},    {"asm", ".s", make_asm},
    {"header", ".h", make_header}, {"static", ".a", make_archive},
    {"lib", ".so", make_library},
};

/* ---- which of them, and where ---- */

static int find_kind(const char *name)
{
    const char *names[COUNT(kinds)];
    for (int i = 0; i < COUNT(kinds); i++) {
        names[i] = kinds[i].name;
        if (str_eq(names[i], name))
            return i;
    }
    const char *near = diag_nearest(name, names, COUNT(names));
    fprintf(stderr,
            "rnnc build: --emit knows exe, lib, static, obj, header, llvm, asm, not "
            "'%s'%s%s%s\n",
            name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return -1;
}

/* Words between commas to wanted[]; how many, -1 after a message. */
static int read_kinds(Arena *arena, const char *list, bool wanted[COUNT(kinds)])
{
    int n = 0;
    for (const char *at = list, *end; at; at = *end ? end + 1 : NULL) {
        end = at + strcspn(at, ",");
        int kind = find_kind(arena_copy(arena, at, (size_t)(end - at)));
        if (kind < 0)
            return -1;
        n += !wanted[kind];
        wanted[kind] = true;
    }
    return n;
}

static const char *made_path(const Build *b, int kind)
{
    return arena_print(b->unit->arena, "%s/made%s", b->folder, kinds[kind].suffix);
}

static int make_all(const Build *b, const bool *wanted)
{
    for (int i = 0; i < COUNT(kinds); i++) {
        int status = wanted[i] ? kinds[i].make(b, made_path(b, i)) : EXIT_DONE;
        if (status != EXIT_DONE)
            return status;
    }
    return EXIT_DONE;
}

static int put_into_place(const Build *b, const bool *wanted, int n_wanted)
{
    for (int i = 0; i < COUNT(kinds); i++) {
        const char *suffix = n_wanted > 1 ? kinds[i].suffix : "";
        const char *path = arena_print(b->unit->arena, "%s%s", b->c->output, suffix);
        if (wanted[i] && rename(made_path(b, i), path) != 0) {
            fprintf(stderr, "rnnc build: %s: %s\n", path, strerror(errno));
            return EXIT_IO;
        }
    }
    return EXIT_DONE;
}

static int make_in_folder(Build *b, const bool *wanted, int n_wanted)
{
    char *folder = arena_print(b->unit->arena, "%s.XXXXXX", b->c->output);
    if (!mkdtemp(folder)) {
        fprintf(stderr, "rnnc build: %s: %s\n", b->c->output, strerror(errno));
        return EXIT_IO;
    }
    b->folder = folder;
    int status = make_all(b, wanted);
    if (status == EXIT_DONE)
        status = put_into_place(b, wanted, n_wanted);
    for (int i = 0; i < COUNT(kinds); i++)
        unlink(made_path(b, i));
    rmdir(folder);
    return status;
}

int command_build(Arena *arena, const CommandLine *c)
{
    int status = EXIT_DONE;
    bool wanted[COUNT(kinds)] = {false};
    int n_wanted = read_kinds(arena, c->emit ? c->emit : "exe", wanted);
    if (n_wanted < 0)
        return EXIT_USAGE;
    if (!c->output) {
        fprintf(stderr, "rnnc build: say where to with -o PATH\n");
        return EXIT_USAGE;
    }
    Unit *u = command_unit(arena, c, &status);
    if (!u)
        return status;
    if (!pipeline_run(u, NULL))
        return command_mistakes(u);
    if (c->verbose)
        explain_notes(u->plan, u->diag);
    Build b = {.unit = u, .c = c};
    b.tables = graph_describe(arena, u->graph, u->steps_max, u->rows_max);
    return make_in_folder(&b, wanted, n_wanted);
}
