/*
 * run_errors.c — every mistake is found where it stands, and nothing else is.
 *
 *     run_errors FOLDER|FILE...
 *
 * Each case is a spec whose mistakes stand in comments:
 *
 *     rnn = lstmm(x)      # error: unknown cell or function 'lstmm'
 *
 * means: the compiler reports on this line an error that contains this text; several on a
 * line are written one after the other. `# warning: text` likewise. `# error in file:
 * text` expects one without a line, anywhere in the comment lines. An error that no
 * comment expects fails the case; warnings and notes may be there unasked.
 */
#include "passes/build.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What is under test: reads `path`, prints what it finds to `out`, returns how many errors.
 */
static int check_file(const char *path, FILE *out)
{
    Arena *arena = arena_new();
    Diag *d = diag_new(arena, out);
    const Spec *spec = spec_read(arena, d, path, NULL, NULL, 0);
    if (spec)
        build_pass(arena, d, spec);
    int n_error = diag_errors(d);
    diag_flush(d);
    arena_free(arena);
    return n_error;
}

typedef struct {
    int line; /* 0: of the file as a whole */
    bool is_warning;
    const char *text;
    bool matched;
} Mistake;

typedef struct {
    Arena *arena;
    Mistake *mistake;
    int n, capacity;
} Mistakes;

static void add(Mistakes *m, Mistake mistake)
{
    *PUSH(m->arena, m->mistake, m->n, m->capacity) = mistake;
}

/* ---- what the file expects ---- */

static const struct {
    const char *mark;
    bool is_warning, has_line;
} marks[] = {
    {"# error: ", false, true},
    {"# warning: ", true, true},
    {"# error in file: ", false, false},
};

/* The first mark in `text`, and which one; NULL when there is none. */
static const char *find_mark(const char *text, int *which)
{
    const char *first = NULL;
    for (int i = 0; i < COUNT(marks); i++) {
        const char *at = strstr(text, marks[i].mark);
        if (at && (!first || at < first)) {
            first = at;
            *which = i;
        }
    }
    return first;
}

static void expect_in_line(Mistakes *m, const char *line, int number)
{
    int which = 0, next = 0;
    for (const char *at = find_mark(line, &which); at; which = next) {
        const char *text = at + strlen(marks[which].mark);
        at = find_mark(text, &next);
        size_t length = at ? (size_t)(at - text) : strlen(text);
        while (length && (text[length - 1] == ' ' || text[length - 1] == '\n'))
            length--;
        add(m, (Mistake){.line = marks[which].has_line ? number : 0,
                         .is_warning = marks[which].is_warning,
                         .text = arena_copy(m->arena, text, length)});
    }
}

static bool read_expected(Mistakes *m, const char *path)
{
    char line[2048];
    FILE *file = fopen(path, "r");
    for (int number = 1; file && fgets(line, sizeof line, file); number++)
        expect_in_line(m, line, number);
    if (file)
        fclose(file);
    return file;
}

/* ---- what the compiler says ---- */

/* "path:12:3: error: text" or "path: error: text"; other lines are carets and notes. */
static void found_in_line(Mistakes *m, const char *line, const char *path)
{
    size_t length = strlen(path);
    if (strncmp(line, path, length) != 0 || line[length] != ':')
        length = strcspn(line, ":");
    int number = 0, column = 0;
    const char *error = strstr(line, ": error: "), *warning = strstr(line, ": warning: ");
    const char *text = error ? error + 9 : warning ? warning + 11 : NULL;
    if (!text || line[0] == ' ')
        return;
    if (sscanf(line + length, ":%d:%d", &number, &column) < 1)
        number = 0;
    add(m, (Mistake){.line = number,
                     .is_warning = !error,
                     .text = arena_copy(m->arena, text, strcspn(text, "\n"))});
}

static int read_found(Mistakes *m, const char *path)
{
    char line[4096];
    FILE *out = tmpfile();
    if (!out)
        return -1;
    int n_error = check_file(path, out);
    rewind(out);
    while (fgets(line, sizeof line, out))
        found_in_line(m, line, path);
    fclose(out);
    return n_error;
}

/* ---- one held against the other ---- */

static bool fits(const Mistake *expected, const Mistake *found)
{
    return !found->matched && expected->line == found->line &&
           expected->is_warning == found->is_warning && strstr(found->text, expected->text);
}

static int compare(const char *path, Mistakes *expected, Mistakes *found)
{
    int n_wrong = 0;
    for (int i = 0; i < expected->n; i++) {
        Mistake *e = &expected->mistake[i];
        for (int j = 0; j < found->n && !e->matched; j++)
            if (fits(e, &found->mistake[j]))
                e->matched = found->mistake[j].matched = true;
        if (!e->matched)
            fprintf(stderr, "%s:%d: not reported: %s\n", path, e->line, e->text);
        n_wrong += !e->matched;
    }
    for (int j = 0; j < found->n; j++) {
        const Mistake *f = &found->mistake[j];
        if (f->matched || f->is_warning)
            continue;
        fprintf(stderr, "%s:%d: not expected: %s\n", path, f->line, f->text);
        n_wrong++;
    }
    return n_wrong;
}

static int run_case(const char *path)
{
    Arena *arena = arena_new();
    Mistakes expected = {.arena = arena}, found = {.arena = arena};
    int n_wrong = 1;
    if (!read_expected(&expected, path) || read_found(&found, path) < 0)
        fprintf(stderr, "%s: cannot be read\n", path);
    else if (!expected.n)
        fprintf(stderr, "%s: expects no mistake\n", path);
    else
        n_wrong = compare(path, &expected, &found);
    arena_free(arena);
    return n_wrong;
}

static int run_folder(const char *path, int *n_case)
{
    struct dirent **entry;
    int n_wrong = 0, n = scandir(path, &entry, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char inner[4096];
        snprintf(inner, sizeof inner, "%s/%s", path, entry[i]->d_name);
        if (str_match("*.yaml", entry[i]->d_name)) {
            n_wrong += run_case(inner);
            ++*n_case;
        }
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
    return n_wrong;
}

int main(int argc, char **argv)
{
    int n_wrong = 0, n_case = 0;
    for (int i = 1; i < argc; i++) {
        struct stat info;
        if (stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode)) {
            n_wrong += run_folder(argv[i], &n_case);
        } else {
            n_wrong += run_case(argv[i]);
            n_case++;
        }
    }
    fprintf(stderr, "%d cases, %d wrong\n", n_case, n_wrong);
    return n_wrong || !n_case;
}
