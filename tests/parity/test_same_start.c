/*
 * test_same_start.c — parameters made from the seed are the same however a spec is run.
 *
 *     test_same_start CASE -- TRAINER [ARGUMENT…] -- TRAINER [ARGUMENT…] …
 *
 * All start without --init, from parameters that they make of the spec's seed. The first,
 * the interpreter, is the reference: every chunk's loss and the last parameters of the
 * others must be its own within recorded.h's tolerances, as for runs that start from one
 * file. CASE names the parameters.
 */
#include "recorded.h"

enum { TRAINER_MAX = 8 };

static void test_losses_are_those_of_the_first(const struct trained *first,
                                               const struct trained *t)
{
    json_t *expected = json_object();
    json_object_set_new(expected, "chunk_losses", read_losses(first->log));
    CHECK(json_array_size(json_object_get(expected, "chunk_losses")) > 0, "no chunks");
    test_every_chunk_has_the_recorded_loss(t, expected);
    json_decref(expected);
}

static bool open_tensors(struct rnn__safetensors *s, const char *path)
{
    struct rnn__fault f = {0};
    bool opened = rnn__safetensors_open(s, path, &f) == 0;
    CHECK(opened, "%s", f.sentence);
    return opened;
}

static void compare_parameters(const struct rnn__safetensors *names,
                               const struct rnn__safetensors *first,
                               const struct rnn__safetensors *other)
{
    for (int i = 0; i < names->n_tensor; i++) {
        const char *name = names->tensor[i].name;
        const struct rnn__tensor *a = rnn__safetensors_find(first, name);
        const struct rnn__tensor *b = rnn__safetensors_find(other, name);
        CHECK(a && b && a->size == b->size, "%s is missing or of another size", name);
        if (!a || !b || a->size != b->size)
            continue;
        double *x = read_tensor(first, a), *y = read_tensor(other, b);
        compare_tensor(a, y, x);
        free(x);
        free(y);
    }
}

static void test_parameters_are_those_of_the_first(const struct trained *first,
                                                   const struct trained *t,
                                                   const char *folder)
{
    struct rnn__safetensors names, a, b;
    char path[1024];
    snprintf(path, sizeof path, "%s/final.safetensors", folder);
    if (!open_tensors(&names, path))
        return;
    CHECK(names.n_tensor > 0, "%s names no parameters", path);
    if (open_tensors(&a, first->checkpoint)) {
        if (open_tensors(&b, t->checkpoint)) {
            compare_parameters(&names, &a, &b);
            rnn__safetensors_close(&b);
        }
        rnn__safetensors_close(&a);
    }
    rnn__safetensors_close(&names);
}

int main(int argc, char **argv)
{
    char name[16];
    struct trained run[TRAINER_MAX];
    int n_run = 0;
    scratch_open();
    for (int at = 3; at < argc && n_run < TRAINER_MAX; n_run++) {
        int n = 0;
        while (at + n < argc && strcmp(argv[at + n], "--") != 0)
            n++;
        snprintf(name, sizeof name, "run%d", n_run);
        if (!train(&run[n_run], name, argv + at, n, NULL))
            break;
        at += n + 1;
    }
    if (argc > 1)
        json_decref(read_expected(argv[1])); /* sets the tolerances */
    CHECK(n_run > 1, "usage: test_same_start CASE -- TRAINER… -- TRAINER…");
    for (int i = 1; i < n_run; i++) {
        test_losses_are_those_of_the_first(&run[0], &run[i]);
        test_parameters_are_those_of_the_first(&run[0], &run[i], argv[1]);
    }
    scratch_close();
    return check_result();
}
