/*
 * command.h — the trainer's command line, run within the test as a user would: its exit
 * status, what it printed, what it left.
 */
#ifndef RNNC_COMMAND_H
#define RNNC_COMMAND_H

#include "bigram_model.h"
#include "check.h"
#include "rnn_config.h"
#include "safetensors.h"
#include "scratch.h"

#include <fcntl.h>

/* Of the last command: standard output, and messages. */
static char output[1 << 16], errors[1 << 16];

/* What commands run; a test may put another in its place. */
static const struct rnn_model *command_model = &bigram;

/* A text of 162 symbols, a to e in turn: corpus.txt in the scratch folder. */
static inline void command_corpus(void)
{
    char corpus[162];
    for (size_t i = 0; i < sizeof corpus; i++)
        corpus[i] = (char)('a' + i % 5);
    scratch_write("corpus.txt", corpus, sizeof corpus);
}

/* The corpus, in a scratch folder that the test goes into. */
static inline void command_begin(void)
{
    command_corpus();
    if (chdir(scratch_folder) != 0)
        exit(1);
}

static inline int command_end(void)
{
    if (chdir("/") != 0)
        return 1;
    scratch_close();
    return check_result();
}

/* Splits a line into the words of a command, behind the program's name; their number. */
static inline int command_words(const char *line, char words[static 1024], char **argv)
{
    static char program[] = "trainer";
    int argc = 0;
    argv[argc++] = program;
    snprintf(words, 1024, "%s", line);
    for (char *word = strtok(words, " "); word && argc < 31; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    return argc;
}

static inline int command_redirect(int fd, const char *name)
{
    int kept = dup(fd), file = open(scratch_path(name), O_RDWR | O_CREAT | O_TRUNC, 0666);
    dup2(file, fd);
    close(file);
    return kept;
}

static inline void command_restore(int fd, int kept, char *out, size_t capacity)
{
    ssize_t n = pread(fd, out, capacity - 1, 0);
    out[n < 0 ? 0 : n] = '\0';
    dup2(kept, fd);
    close(kept);
}

/* Runs the command with settings of its own: output and errors are what it prints. */
static inline int run_settings(const char *json, const char *line)
{
    char words[1024], *argv[32];
    struct rnn_config config = {json, NULL, "name: bigram\n"};
    int argc = command_words(line, words, argv);
    fflush(NULL);
    int out = command_redirect(1, "stdout"), err = command_redirect(2, "stderr");
    int status = rnn_trainer_main(argc, argv, command_model, &config);
    fflush(stdout);
    command_restore(1, out, output, sizeof output);
    command_restore(2, err, errors, sizeof errors);
    return status;
}

static inline int count(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        n++;
    return n;
}

/* The bytes of two files are the same, and there are some. */
static inline bool same_file(const char *a, const char *b)
{
    FILE *f = fopen(a, "rb"), *g = fopen(b, "rb");
    int x = 0, y = 0;
    long n = -1;
    for (; f && g && x == y && x != EOF; n++)
        x = getc(f), y = getc(g);
    bool same = f && g && x == y && n > 0;
    if (f)
        fclose(f);
    if (g)
        fclose(g);
    return same;
}

/* Tensors of two checkpoints, byte by byte. */
static inline bool same_tensors(const char *a, const char *b)
{
    struct rnn__fault f = {0};
    struct rnn__safetensors s = {.fd = -1}, t = {.fd = -1};
    bool same = rnn__safetensors_open(&s, a, &f) == 0 &&
                rnn__safetensors_open(&t, b, &f) == 0 && s.n_tensor == t.n_tensor;
    for (int i = 0; same && i < s.n_tensor; i++) {
        uint32_t x = 0, y = 1;
        const struct rnn__tensor *other = rnn__safetensors_find(&t, s.tensor[i].name);
        same = other && rnn__safetensors_sum(&s, &s.tensor[i], &x, &f) == 0 &&
               rnn__safetensors_sum(&t, other, &y, &f) == 0 && x == y;
    }
    rnn__safetensors_close(&s);
    rnn__safetensors_close(&t);
    return same;
}

#endif
