/*
 * trained.h — for tests: a trainer run as a user runs it, and what it left.
 *
 * The trainer is any command that takes a trainer's options: `rnnc run SPEC …`, or a
 * program made by `rnnc build`. It gets --init, --out, --log and writes into the test's
 * scratch folder.
 */
#ifndef RNNC_TRAINED_H
#define RNNC_TRAINED_H

#include "check.h"
#include "runtime/scratch.h"
#include "safetensors.h"

#include <spawn.h>
#include <sys/wait.h>

enum { COMMAND_MAX = 64 };

extern char **environ;

/* What a trainer left, each a path in the scratch folder. */
struct trained {
    char out[512], log[512], checkpoint[1024];
};

/* Runs argv and waits; its exit status, 128 + the signal that ended it, or -1. */
static inline int run_command(char **argv)
{
    pid_t child;
    int status;
    if (posix_spawnp(&child, argv[0], NULL, NULL, argv, environ) != 0 ||
        waitpid(child, &status, 0) != child)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The last state of the run: of checkpoint_N.safetensors the one of the largest N. */
static inline void find_checkpoint(struct trained *t)
{
    long last = -1, n;
    DIR *dir = opendir(t->out);
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (sscanf(d->d_name, "checkpoint_%ld.safetensors", &n) == 1 && n > last) {
            last = n;
            snprintf(t->checkpoint, sizeof t->checkpoint, "%s/%s", t->out, d->d_name);
        }
    if (dir)
        closedir(dir);
    CHECK(last >= 0, "no checkpoint in %s", t->out);
}

/* Trains with `command`, n words, from the parameters in `init`
   (NULL: made from the seed); false after a failed
   CHECK. `name` tells the runs of one test apart. */
static inline bool train(struct trained *t, const char *name, char **command, int n,
                         const char *init)
{
    *t = (struct trained){.out = ""};
    snprintf(t->out, sizeof t->out, "%s/%s", scratch_folder, name);
    snprintf(t->log, sizeof t->log, "%s/%s.jsonl", scratch_folder, name);
    char *argv[COMMAND_MAX + 8] = {0};
    const char *options[] = {"--out", t->out, "--log", t->log, "--quiet", "--init", init};
    size_t n_option = sizeof options / sizeof *options - (init ? 0 : 2);
    if (n > COMMAND_MAX)
        n = COMMAND_MAX;
    memcpy(argv, command, (size_t)n * sizeof *argv);
    for (size_t i = 0; i < n_option; i++)
        argv[n + (int)i] = (char *)(uintptr_t)options[i];
    int status = run_command(argv);
    CHECK(status == 0, "%s ended with status %d", argv[0], status);
    if (status == 0)
        find_checkpoint(t);
    return t->checkpoint[0] != '\0';
}

#endif
