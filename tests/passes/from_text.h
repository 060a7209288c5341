/*
 * from_text.h — for tests: a spec given as text, read and built as from a file.
 *
 * Includers compile against POSIX. Each function is static; a test uses what it needs.
 */
#ifndef RNNC_FROM_TEXT_H
#define RNNC_FROM_TEXT_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "passes/build.h"

/* Builds `text`; messages go to `out`. NULL after mistakes. `library`: a folder in place
   of the embedded library, or NULL. */
static inline Graph *build_text(Arena *arena, const char *text, const char *library,
                                FILE *out)
{
    char path[] = "/tmp/rnnc_spec_XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file) {
        fprintf(stderr, "no temporary file\n");
        exit(1);
    }
    fputs(text, file);
    fclose(file);
    Diag *d = diag_new(arena, out);
    const Spec *spec = spec_read(arena, d, path, library, NULL, 0);
    Graph *g = spec ? build_pass(arena, d, spec) : NULL;
    diag_flush(d);
    unlink(path);
    if (g)
        graph_verify(g);
    return g;
}

/* The same, for a spec that must be right: its warnings are nobody's business. */
static inline Graph *build_good(Arena *arena, const char *text)
{
    FILE *nowhere = fopen("/dev/null", "w");
    Graph *g = nowhere ? build_text(arena, text, NULL, nowhere) : NULL;
    if (nowhere)
        fclose(nowhere);
    if (!g) {
        fprintf(stderr, "this spec does not build:\n%s", text);
        build_text(arena, text, NULL, stderr);
        exit(1);
    }
    return g;
}

/* Indices by name; -1 when there is none. */
#define FIND(table)                                                  \
    static inline int find_##table(const Graph *g, const char *name) \
    {                                                                \
        for (int i = 0; i < g->n_##table; i++)                       \
            if (strcmp(g->table[i].name, name) == 0)                 \
                return i;                                            \
        return -1;                                                   \
    }
FIND(param)
FIND(state)
FIND(scalar)
FIND(optimizer)
FIND(input)
FIND(metric)
#undef FIND

#define DATA "data: {train: {random: true, batch: 2, steps: 8}}\n"

#endif
