/*
 * command_run.c — rnnc run: compile in memory, then train with the trainer's own command
 * line. Also what other commands share: a unit for a command line, a model from a unit.
 */

#include "bytes.h"
#include "commands.h"
#include "config.h"
#include "engine.h"
#include "graph/describe.h"
#include "graph/interp.h"
#include "report.h"
#include "rnn_config.h"

Unit *command_unit(Arena *arena, const CommandLine *c, int *status)
{
    const char *why = NULL;
    Unit *u = NEW(arena, Unit);
    u->arena = arena;
    u->diag = diag_new(arena, stderr);
    u->options = c->options;
    u->target = target_find(c->options.target, &why);
    if (!u->target) {
        const char *names[16];
        int n = 0;
        for (; n < n_target && n < COUNT(names); n++)
            names[n] = targets[n].name;
        const char *near =
            c->options.target ? diag_nearest(c->options.target, names, n) : NULL;
        if (c->options.target)
            fprintf(stderr, "rnnc %s: unknown target '%s'%s%s%s\n", c->command,
                    c->options.target,
                    near ? "; did you mean '" : "; rnnc list targets names them",
                    near ? near : "", near ? "'?" : "");
        else
            fprintf(stderr, "rnnc %s: %s\n", c->command, why);
        *status = c->options.target ? EXIT_USAGE : EXIT_MACHINE;
        return NULL;
    }
    return u;
}

int command_mistakes(const Unit *u)
{
    if (u->n_data_error < diag_errors(u->diag))
        return EXIT_SPEC;
    return u->data_code == RNN_EIO      ? EXIT_IO
           : u->data_code == RNN_ENOMEM ? EXIT_MEMORY
           : u->data_code == RNN_EDATA  ? EXIT_DATA
                                        : EXIT_SPEC;
}

int compiled_make(Unit *u, bool interpreter, bool trains, Compiled *out)
{
    *out = (Compiled){0};
    if (interpreter) {
        Precision precision = u->graph->dtype == RNN_F64 ? INTERP_F64 : INTERP_F32;
        out->model = interp_model(u->arena, u->graph, precision, u->steps_max, u->rows_max);
        return EXIT_DONE;
    }
    struct rnn_model *tables =
        graph_describe(u->arena, u->graph, u->steps_max, u->rows_max);
    out->jit = jit_plan(u->arena, u->diag, u->plan, tables, u->target, trains);
    diag_flush(u->diag);
    if (!out->jit)
        return EXIT_MACHINE;
    out->model = jit_model(out->jit);
    return EXIT_DONE;
}

void compiled_free(Compiled *c)
{
    if (c->jit)
        jit_free(c->jit);
    *c = (Compiled){0};
}

static int train(Arena *arena, const CommandLine *c, const Unit *u,
                 const struct rnn_model *model)
{
    struct rnn_config config = {config_json(u), config_folder(u), config_spec_text(u)};
    char **argv = NEW_ARRAY(arena, char *, c->n_rest + 2);
    argv[0] = arena_print(arena, "rnnc run %s", c->operand);
    for (int i = 0; i < c->n_rest; i++)
        argv[i + 1] = c->rest[i];
    return rnn_trainer_main(c->n_rest + 1, argv, model, &config);
}

/* What stands between a spec and its first chunk. */
static void say_times(double begun, double planned)
{
    double end = rnn__seconds();
    fprintf(stderr, "rnnc run: compiled in %.3f s (passes %.3f s, machine code %.3f s)\n",
            end - begun, planned - begun, end - planned);
}

int command_run(Arena *arena, const CommandLine *c)
{
    int status = EXIT_DONE;
    Compiled compiled;
    double begun = rnn__seconds();
    rnn_trainer_prepare();
    Unit *u = command_unit(arena, c, &status);
    if (!u)
        return status;
    /* the interpreter reads the graph as it was before the passes for machine code */
    if (!pipeline_run(u, c->interpreter ? "grad" : NULL))
        return command_mistakes(u);
    if (c->interpreter && !bytes_fit_interpreter(u))
        return EXIT_SPEC;
    if (c->verbose && !c->interpreter)
        explain_notes(u->plan, u->diag);
    double planned = rnn__seconds();
    bool trains = rnn_trainer_trains(c->n_rest, c->rest);
    status = compiled_make(u, c->interpreter, trains, &compiled);
    if (c->verbose && !c->interpreter && status == EXIT_DONE)
        say_times(begun, planned);
    if (status == EXIT_DONE)
        status = train(arena, c, u, compiled.model);
    compiled_free(&compiled);
    return status;
}
