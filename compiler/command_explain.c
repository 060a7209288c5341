/*
 * command_explain.c — rnnc explain: what runs for all steps at once, what step by step,
 * what is fused with what and why something is not; --after PASS shows any stage of the
 * compiler.
 */
#include "commands.h"
#include "report.h"

static const Pass *find_pass(const char *name)
{
    for (int i = 0; i < n_pass; i++)
        if (str_eq(passes[i].name, name))
            return &passes[i];
    return NULL;
}

static int unknown_pass(Arena *arena, const char *name)
{
    const char **names = NEW_ARRAY(arena, const char *, n_pass);
    for (int i = 0; i < n_pass; i++)
        names[i] = passes[i].name;
    const char *near = diag_nearest(name, names, n_pass);
    fprintf(stderr, "rnnc explain: unknown pass '%s'", name);
    if (near)
        fprintf(stderr, "; did you mean '%s'?", near);
    fprintf(stderr, "\nthere are");
    for (int i = 0; i < n_pass; i++)
        fprintf(stderr, " %s", names[i]);
    fprintf(stderr, "\n");
    return EXIT_USAGE;
}

int command_explain(Arena *arena, const CommandLine *c)
{
    int status = EXIT_DONE;
    const Pass *last = c->after ? find_pass(c->after) : &passes[n_pass - 1];
    if (!last)
        return unknown_pass(arena, c->after);
    Unit *u = command_unit(arena, c, &status);
    if (!u)
        return status;
    if (!pipeline_run(u, last->name))
        return command_mistakes(u);
    if (c->after)
        last->dump(u, stdout);
    else {
        summary_variant(u, stdout);
        explain_plan(u->plan, stdout);
    }
    if (c->verbose && u->plan)
        explain_notes(u->plan, u->diag);
    return EXIT_DONE;
}
