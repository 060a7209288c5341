/*
 * test_same_bits.c — runs that must not differ have the same bits.
 *
 *     test_same_bits CASE -- TRAINER [ARGUMENT…] -- TRAINER [ARGUMENT…] …
 *
 * All start from the case's parameters. Their logs, which hold every chunk's loss printed
 * so that it reads back exactly, must be equal byte by byte, and so must each tensor of
 * their last checkpoints: parameters, the optimizer's state, the carried state.
 */
#include "trained.h"

#include <fcntl.h>

enum { TRAINER_MAX = 8 };

/* ---- files, byte by byte ---- */

static char *read_bytes(int fd, int64_t offset, int64_t bytes)
{
    struct rnn__fault f = {0};
    char *data = calloc((size_t)bytes + 1, 1);
    CHECK(data && rnn__read_at(fd, "file", offset, data, (size_t)bytes, &f) == 0, "%s",
          f.sentence);
    return data;
}

static void test_logs_are_equal(const char *a, const char *b)
{
    struct rnn__fault f = {0};
    int64_t size[2] = {0};
    int fd[2] = {rnn__open_file(a, &size[0], &f), rnn__open_file(b, &size[1], &f)};
    CHECK(fd[0] >= 0 && fd[1] >= 0, "%s", f.sentence);
    if (fd[0] < 0 || fd[1] < 0)
        return;
    char *text[2] = {read_bytes(fd[0], 0, size[0]), read_bytes(fd[1], 0, size[1])};
    int64_t i = 0, line = 1;
    while (i < size[0] && i < size[1] && text[0][i] == text[1][i])
        line += text[0][i++] == '\n';
    CHECK(size[0] > 0 && size[0] == size[1] && i == size[0],
          "%s and %s differ in line %lld", a, b, (long long)line);
    for (int k = 0; k < 2; k++) {
        free(text[k]);
        close(fd[k]);
    }
}

static void compare_tensor(const struct rnn__safetensors *a, const struct rnn__tensor *t,
                           const struct rnn__safetensors *b, const struct rnn__tensor *u)
{
    char *x = read_bytes(a->fd, a->data + t->begin, t->bytes);
    char *y = read_bytes(b->fd, b->data + u->begin, u->bytes);
    int64_t i = 0;
    while (i < t->bytes && x[i] == y[i])
        i++;
    CHECK(i == t->bytes, "%s differs from byte %lld of %lld on", t->name, (long long)i,
          (long long)t->bytes);
    free(x);
    free(y);
}

static void compare_tensors(const struct rnn__safetensors *a,
                            const struct rnn__safetensors *b)
{
    CHECK(a->n_tensor == b->n_tensor, "%d and %d tensors", a->n_tensor, b->n_tensor);
    for (int i = 0; i < a->n_tensor; i++) {
        const struct rnn__tensor *t = &a->tensor[i];
        const struct rnn__tensor *u = rnn__safetensors_find(b, t->name);
        bool alike = u && u->dtype == t->dtype && u->bytes == t->bytes;
        CHECK(alike, "%s is missing or of another size", t->name);
        if (alike)
            compare_tensor(a, t, b, u);
    }
}

static void test_checkpoints_are_equal(const char *a, const char *b)
{
    struct rnn__fault f = {0};
    struct rnn__safetensors s[2];
    bool opened = rnn__safetensors_open(&s[0], a, &f) == 0;
    CHECK(opened, "%s", f.sentence);
    if (!opened)
        return;
    opened = rnn__safetensors_open(&s[1], b, &f) == 0;
    CHECK(opened, "%s", f.sentence);
    if (opened) {
        compare_tensors(&s[0], &s[1]);
        rnn__safetensors_close(&s[1]);
    }
    rnn__safetensors_close(&s[0]);
}

/* ---- the runs ---- */

/* Words from argv[at] to the next --. */
static int count_words(char **argv, int at, int argc)
{
    int n = 0;
    while (at + n < argc && strcmp(argv[at + n], "--") != 0)
        n++;
    return n;
}

int main(int argc, char **argv)
{
    char init[1024], name[16];
    struct trained run[TRAINER_MAX];
    int n_run = 0;
    scratch_open();
    snprintf(init, sizeof init, "%s/init.safetensors", argc > 1 ? argv[1] : ".");
    for (int at = 3; at < argc && n_run < TRAINER_MAX; n_run++) {
        int n = count_words(argv, at, argc);
        snprintf(name, sizeof name, "run%d", n_run);
        if (!train(&run[n_run], name, argv + at, n, init))
            break;
        at += n + 1;
    }
    CHECK(n_run > 1, "usage: test_same_bits CASE -- TRAINER… -- TRAINER…");
    for (int i = 1; i < n_run; i++) {
        test_logs_are_equal(run[0].log, run[i].log);
        test_checkpoints_are_equal(run[0].checkpoint, run[i].checkpoint);
    }
    scratch_close();
    return check_result();
}
