/*
 * command_check.c — rnnc check: read a spec and say every mistake; when there is none, say
 * what was understood. --grad compares gradients instead.
 */
#include "bytes.h"
#include "commands.h"
#include "report.h"

static int check_gradients(Unit *u)
{
    if (!pipeline_run(u, "grad"))
        return command_mistakes(u);
    if (u->graph->loss == NO_NODE) {
        fprintf(stderr, "rnnc check: %s has no loss: there are no gradients to check\n",
                u->options.spec_path);
        return EXIT_SPEC;
    }
    if (!bytes_fit_interpreter(u))
        return EXIT_SPEC;
    switch (gradients_check(u, stdout)) {
    case GRADIENTS_RIGHT: return EXIT_DONE;
    case GRADIENTS_UNCHECKED: return EXIT_SPEC;
    case GRADIENTS_NOT_FINITE:
        fprintf(stderr,
                "rnnc check: %s: a gradient is not finite on these data: a 0 / 0, a log "
                "or root of what is not positive, an overflow\n",
                u->options.spec_path);
        return EXIT_NOT_FINITE;
    case GRADIENTS_WRONG: break;
    }
    fprintf(stderr,
            "rnnc check: a gradient is wrong: this is a bug of ours, please report it "
            "with the spec\n");
    return EXIT_BUG;
}

int command_check(Arena *arena, const CommandLine *c)
{
    int status = EXIT_DONE;
    Unit *u = command_unit(arena, c, &status);
    if (!u)
        return status;
    if (c->grad)
        return check_gradients(u);
    if (!pipeline_run(u, NULL))
        return command_mistakes(u);
    summary_print(u, stdout);
    if (c->verbose)
        explain_notes(u->plan, u->diag);
    return EXIT_DONE;
}
