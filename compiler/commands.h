/*
 * commands.h — the commands of rnnc: each takes what the command line said and returns the
 * exit status (docs/language.md lists them); base.h has two more.
 */
#ifndef RNNC_COMMANDS_H
#define RNNC_COMMANDS_H

#include "pipeline.h"

enum {
    EXIT_DONE = 0,
    EXIT_USAGE = 2,
    EXIT_SPEC = 3,
    EXIT_DATA = 4,
    EXIT_IO = 5,
    EXIT_NOT_FINITE = 6,
    EXIT_MACHINE = 8
};

/* The command line behind the command's name. */
typedef struct {
    const char *command;
    const char *operand; /* SPEC, or what to list; NULL: none */
    Options options;
    const char *after;  /* explain --after PASS */
    const char *output; /* build -o PATH */
    const char *emit;   /* build --emit exe,obj,… */
    bool interpreter;   /* run --interpreter: the reference instead of machine code */
    bool json, grad, markdown, verbose;
    int n_rest;
    char **rest; /* run, bench: what belongs to the trainer */
} CommandLine;

int command_check(Arena *arena, const CommandLine *c);
int command_run(Arena *arena, const CommandLine *c);
int command_build(Arena *arena, const CommandLine *c);
int command_bench(Arena *arena, const CommandLine *c);
int command_explain(Arena *arena, const CommandLine *c);
int command_list(Arena *arena, const CommandLine *c);

/* A unit for this command line, with its target found; NULL after a message, *status set.
 */
Unit *command_unit(Arena *arena, const CommandLine *c, int *status);
/* The exit status after mistakes: whose they were. */
int command_mistakes(const Unit *u);

/* A model to run: machine code in memory, or the interpreter. */
typedef struct {
    const struct rnn_model *model;
    Jit *jit;
} Compiled;
/* trains: the code for it is wanted at once. 0, or an exit status after messages. Ended by
   compiled_free. */
int compiled_make(Unit *u, bool interpreter, bool trains, Compiled *out);
void compiled_free(Compiled *c);

#endif
