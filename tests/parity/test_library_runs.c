/*
 * test_library_runs.c — the standard library computes what PyTorch, or a second program in
 * it, computed.
 *
 *     test_library_runs FOLDER RNNC [ARGUMENT…]
 *
 * Each folder in FOLDER is a case that make_library.py wrote: a spec of a cell, a loss, an
 * optimizer, and what a run of PyTorch made of the same equations, parameters and data.
 * `RNNC run` trains the spec; each chunk's loss shows the forward values, the parameters
 * after the updates show the gradients.
 */
#include "recorded.h"

enum { CASES_MAX = 200, NAME = 64 };

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

/* The cases of the folder in the order of their names. */
static int list_cases(const char *folder, char (*name)[NAME])
{
    int n = 0;
    DIR *dir = opendir(folder);
    CHECK(dir, "%s cannot be read", folder);
    for (struct dirent *d; dir && n < CASES_MAX && (d = readdir(dir));)
        if (d->d_name[0] != '.' && strlen(d->d_name) < NAME)
            strcpy(name[n++], d->d_name);
    if (dir)
        closedir(dir);
    qsort(name, (size_t)n, sizeof *name, by_name);
    return n;
}

static void test_case_trains_as_recorded(const char *folder, const char *name, char **argv,
                                         int argc)
{
    char path[512], spec[1024], init[1024], run[] = "run", *command[COMMAND_MAX];
    struct trained t;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(spec, sizeof spec, "%s/spec.yaml", path);
    snprintf(init, sizeof init, "%s/init.safetensors", path);
    int n = 0;
    command[n++] = argv[0];
    command[n++] = run;
    command[n++] = spec;
    for (int i = 1; i < argc && n < COMMAND_MAX; i++)
        command[n++] = argv[i];
    printf("%s\n", path);
    json_t *expected = read_expected(path);
    if (expected && train(&t, name, command, n, init)) {
        test_every_chunk_has_the_recorded_loss(&t, expected);
        test_training_ends_at_the_recorded_parameters(&t, path);
    }
    json_decref(expected);
}

int main(int argc, char **argv)
{
    static char name[CASES_MAX][NAME];
    if (argc < 3) {
        fprintf(stderr, "usage: test_library_runs FOLDER RNNC [ARGUMENT…]\n");
        return 2;
    }
    scratch_open();
    int n = list_cases(argv[1], name);
    CHECK(n > 0, "no case in %s", argv[1]);
    for (int i = 0; i < n; i++)
        test_case_trains_as_recorded(argv[1], name[i], argv + 2, argc - 2);
    scratch_close();
    return check_result();
}
