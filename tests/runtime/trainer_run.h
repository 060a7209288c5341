/*
 * trainer_run.h — a short run of the bigram model with everything that a resume must bring
 * back: a log of every chunk, averages, validations that a best checkpoint and early
 * stopping judge by, checkpoints in the middle of batches, and between an epoch's last
 * batch and its end. 24 chunks, 8 batches, 4 epochs.
 */
#ifndef RNNC_TRAINER_RUN_H
#define RNNC_TRAINER_RUN_H

#include "command.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static const char trainer_settings[] =
    "{\"name\": \"bigram\","
    " \"data\": {\"train\": {\"text\": \"corpus.txt\", \"streams\": 4, \"length\": 20},"
    "            \"valid\": {\"text\": \"corpus.txt\", \"streams\": 2}},"
    " \"train\": {\"epochs\": 4, \"seed\": 1, \"handlers\": ["
    "    {\"checkpoint\": {\"on\": \"TIME_ITERATION_COMPLETED\", \"every\": 5, \"best\": "
    "\"valid.loss\"}},"
    "    {\"checkpoint\": {\"every\": 2}},"
    "    {\"ema\": {\"momentum\": 0.3}}, {\"early_stopping\": {\"patience\": 3}}, "
    "{\"log\": {\"every\": \"chunk\"}}]}}";

/* Files to compare when a run is done. */
static const char *const trainer_results[] = {"checkpoint_8.safetensors", "log.jsonl",
                                              "checkpoint_best.safetensors"};

static inline int trainer_main(int argc, char **argv)
{
    struct rnn_config config = {trainer_settings, NULL, "name: bigram\n"};
    return rnn_trainer_main(argc, argv, &bigram, &config);
}

/* A child that runs the trainer, its messages to a file in the scratch folder. */
static inline pid_t trainer_fork(const char *line)
{
    char words[1024], *argv[32];
    fflush(NULL);
    pid_t child = fork();
    if (child != 0)
        return child;
    int argc = command_words(line, words, argv);
    int err = open("errors.txt", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(err, 2);
    signal(SIGINT, SIG_DFL); /* a background job of a shell ignores it */
    _exit(trainer_main(argc, argv));
}

/* The exit status, or minus the signal that ended the child. */
static inline int trainer_wait(pid_t child)
{
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline bool trainer_same(const char *a, const char *b, const char *name)
{
    char x[256], y[256];
    snprintf(x, sizeof x, "%s/%s", a, name);
    snprintf(y, sizeof y, "%s/%s", b, name);
    return same_file(x, y);
}

/* Whether the folder holds a checkpoint to go on from; else a run begins anew. */
static inline bool trainer_has_checkpoint(const char *folder)
{
    DIR *dir = opendir(folder);
    bool found = false;
    for (struct dirent *d; dir && (d = readdir(dir));)
        found = found || (strncmp(d->d_name, "checkpoint_", 11) == 0 &&
                          strcmp(strrchr(d->d_name, '.'), ".safetensors") == 0);
    if (dir)
        closedir(dir);
    return found;
}

/* The command line that begins the run or goes on with it. */
static inline const char *trainer_line(const char *folder)
{
    static char line[256];
    snprintf(line, sizeof line, "--quiet %s %s",
             trainer_has_checkpoint(folder) ? "--resume" : "--out", folder);
    return line;
}

/* Runs to the end, and compares what is left with an uninterrupted run's. */
static inline void trainer_finish(const char *folder, const char *expected,
                                  const char *what)
{
    int status = trainer_wait(trainer_fork(trainer_line(folder)));
    char *said = scratch_read("errors.txt");
    CHECK(status == 0, "%s: exit status %d: %s", what, status, said);
    for (int i = 0; i < 3; i++)
        CHECK(trainer_same(folder, expected, trainer_results[i]), "%s: %s differs", what,
              trainer_results[i]);
    free(said);
}

/* Splitmix64: a test's own random numbers, from a seed that it prints. */
static inline uint64_t trainer_random(uint64_t *state)
{
    uint64_t x = *state += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static inline int64_t trainer_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void trainer_sleep(int64_t nanoseconds)
{
    struct timespec t = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    nanosleep(&t, NULL);
}

#endif
