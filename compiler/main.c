/*
 * main.c — rnnc's command line: which command, on what, with which options.
 *
 * Options are one table. What a command does not know it hands to the trainer
 * (`run`), which has the same options as a built one.
 */
#include <stdlib.h>
#include <string.h>

#include "commands.h"

typedef struct {
    const char *name, *operand, *help;
    int (*run)(Arena *arena, const CommandLine *c);
    bool hands_on; /* options that are not ours belong to the trainer */
} Command;

static const Command commands[] = {
    {"check", "SPEC", "read it, say every mistake; else shapes, parameters, memory, FLOPs",
     command_check, false},
    {"run", "SPEC", "compile in memory and train", command_run, true},
    {"build", "SPEC", "a standalone trainer, or its parts", command_build, false},
    {"bench", "SPEC", "time of a chunk, fused and unfused", command_bench, true},
    {"explain", "SPEC", "the chunk program in words; --after PASS: any stage",
     command_explain, false},
    {"list", "WHAT",
     "cells, losses, optimizers, functions, ops, keys, passes, targets, events",
     command_list, false},
};

typedef struct {
    const char *name, *value, *help;
} OptionHelp;

static const OptionHelp options[] = {
    {"--set", "KEY=VALUE", "any key of the spec by its path"},
    {"--target", "LEVEL", "x86-64-v3, x86-64-v4, aarch64 (default: this machine's)"},
    {"--fuse", "on|off", "off: one operation in each nest"},
    {"--library", "FOLDER", "in place of the built-in standard library"},
    {"--interpreter", "", "run: the reference interpreter instead of machine code"},
    {"--after", "PASS", "explain: what stands behind this pass"},
    {"-o", "PATH", "build: where to"},
    {"--emit", "KINDS",
     "build: exe, lib, static, obj, header, llvm, asm, by commas (default exe)"},
    {"--json", "", "bench: one line of JSON"},
    {"--profile", "", "run, build: kernels can be timed; run: times at the end"},
    {"--grad", "",
     "check: every gradient against complex step (status 6: not finite, 70: wrong)"},
    {"--markdown", "", "list: as a table of Markdown"},
    {"-v", "",
     "notes on performance: what was not fused and why; run: how long it compiled"},
};

static void print_help(FILE *out)
{
    fprintf(out, "usage: rnnc COMMAND SPEC [OPTION…]\n\ncommands:\n");
    for (int i = 0; i < COUNT(commands); i++)
        fprintf(out, "  %-8s %-5s %s\n", commands[i].name, commands[i].operand,
                commands[i].help);
    fprintf(out, "\noptions:\n");
    for (int i = 0; i < COUNT(options); i++)
        fprintf(out, "  %-14s %-10s %s\n", options[i].name, options[i].value,
                options[i].help);
    fprintf(out, "\nexit status: 0 done, 2 command line, 3 spec, 4 data, 5 input or "
                 "output, 6 not finite,\n"
                 "  7 out of memory, 8 the machine lacks something, 9 checkpoint, 70 a bug "
                 "of ours\n");
    fprintf(out, "\n`rnnc run SPEC --help` shows the trainer's options.\n");
}

/* ---- reading the options ---- */

typedef struct {
    Arena *arena;
    CommandLine *c;
    int argc, at;
    char **argv;
    Override *override;
    int override_capacity;
    bool failed;
} Reading;

static const char *fail(Reading *r, const char *what, const char *which)
{
    fprintf(stderr, "rnnc %s: %s %s\n", r->c->command, what, which);
    r->failed = true;
    return NULL;
}

/* The value of option `name`, behind = or as the next argument; NULL when this is another
 * option. */
static const char *value_of(Reading *r, const char *name)
{
    const char *arg = r->argv[r->at];
    size_t length = strlen(name);
    if (strncmp(arg, name, length) != 0 || (arg[length] && arg[length] != '='))
        return NULL;
    if (arg[length] == '=')
        return arg + length + 1;
    if (r->at + 1 >= r->argc)
        return fail(r, "a value is missing behind", name);
    return r->argv[++r->at];
}

/* A key of the spec, or, of a run, a number of the model (rnn.dropout): the trainer's. */
static void add_override(Reading *r, const char *text)
{
    const char *equals = strchr(text, '=');
    if (!equals) {
        fail(r, "--set wants KEY=VALUE, not", text);
        return;
    }
    const char *path = arena_copy(r->arena, text, (size_t)(equals - text));
    if (str_eq(r->c->command, "run") && spec_path_is_number(r->arena, path)) {
        r->c->rest[r->c->n_rest++] = arena_print(r->arena, "--set=%s", text);
        return;
    }
    Override *o =
        PUSH(r->arena, r->override, r->c->options.n_override, r->override_capacity);
    o->path = path;
    o->value = equals + 1;
}

static void set_fuse(Reading *r, const char *value)
{
    if (!str_eq(value, "on") && !str_eq(value, "off"))
        fail(r, "--fuse is on or off, not", value);
    r->c->options.fuse = str_eq(value, "on");
}

static bool read_flag(Reading *r)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"--interpreter", &r->c->interpreter},
                 {"--json", &r->c->json},
                 {"--grad", &r->c->grad},
                 {"--markdown", &r->c->markdown},
                 {"-v", &r->c->verbose}};
    for (int i = 0; i < COUNT(flags); i++)
        if (str_eq(r->argv[r->at], flags[i].name))
            return *flags[i].flag = true;
    return false;
}

static bool read_value(Reading *r)
{
    const struct {
        const char *name;
        const char **to;
    } values[] = {{"--target", &r->c->options.target},
                  {"--library", &r->c->options.library},
                  {"--after", &r->c->after},
                  {"-o", &r->c->output},
                  {"--emit", &r->c->emit}};
    const char *value;
    for (int i = 0; i < COUNT(values); i++)
        if ((value = value_of(r, values[i].name)) != NULL || r->failed) {
            *values[i].to = value;
            return true;
        }
    if ((value = value_of(r, "--set")) != NULL) {
        add_override(r, value);
        return true;
    }
    if ((value = value_of(r, "--fuse")) != NULL) {
        set_fuse(r, value);
        return true;
    }
    return r->failed;
}

static bool read_options(Reading *r, const Command *command)
{
    for (r->at = 0; r->at < r->argc && !r->failed; r->at++) {
        const char *arg = r->argv[r->at];
        bool marks = str_eq(arg, "--profile");
        if (marks || strncmp(arg, "--trace-out", 11) == 0)
            r->c->options.marks = true; /* the trainer's option as well */
        if (read_flag(r) || read_value(r) || (marks && str_eq(command->name, "build")))
            continue;
        if (command->hands_on)
            r->c->rest[r->c->n_rest++] = r->argv[r->at];
        else
            fail(r, "unknown option", r->argv[r->at]);
    }
    r->c->options.override = r->override;
    return !r->failed;
}

static int run_command(const Command *command, int argc, char **argv)
{
    Arena *arena = arena_new();
    if (!arena)
        return EXIT_MEMORY;
    CommandLine c = {.command = command->name, .operand = argv[0]};
    c.options = (Options){.spec_path = argv[0], .fuse = true};
    c.rest = NEW_ARRAY(arena, char *, argc + 1);
    Reading r = {.arena = arena, .c = &c, .argc = argc - 1, .argv = argv + 1};
    int status = read_options(&r, command) ? command->run(arena, &c) : EXIT_USAGE;
    arena_free(arena);
    return status;
}

/* Behind a spec, a trainer's command has help of its own. */
static bool wants_help(const Command *command, int argc, char **argv)
{
    bool found = false;
    for (int i = 0; i < argc && (i == 0 || !command->hands_on); i++)
        found = found || str_eq(argv[i], "--help") || str_eq(argv[i], "-h");
    return found;
}

int main(int argc, char **argv)
{
    if (argc < 2 || str_eq(argv[1], "--help") || str_eq(argv[1], "-h")) {
        print_help(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_DONE;
    }
    if (str_eq(argv[1], "--version")) {
        printf("rnnc %s\n", RNNC_VERSION);
        return EXIT_DONE;
    }
    const char *names[COUNT(commands)];
    for (int i = 0; i < COUNT(commands); i++) {
        names[i] = commands[i].name;
        if (!str_eq(argv[1], commands[i].name))
            continue;
        if (wants_help(&commands[i], argc - 2, argv + 2)) {
            print_help(stdout);
            return EXIT_DONE;
        }
        if (argc > 2 && argv[2][0] != '-')
            return run_command(&commands[i], argc - 2, argv + 2);
        fprintf(stderr, "rnnc %s: %s comes first: rnnc %s %s [OPTION…]\n", argv[1],
                commands[i].operand, argv[1], commands[i].operand);
        return EXIT_USAGE;
    }
    const char *near = diag_nearest(argv[1], names, COUNT(names));
    fprintf(stderr, "rnnc: unknown command '%s'%s%s%s; rnnc --help lists them\n", argv[1],
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return EXIT_USAGE;
}
