/*
 * kept.c — what of a run a checkpoint holds besides the engine's own progress.
 *
 * One mechanism each for what handlers and sources may have:
 *
 *     a number   rnn_attribute_keep on the engine: best scores, counters
 *     a tensor   rnn__keep: memory of the handler's own, written with each checkpoint and
 *                filled before a resumed run begins; "handler.NAME" in the file
 *     a file     rnn__run_file, see run_files.c: a checkpoint knows its length
 *     data       nothing: a source is a function of its settings, its files, the seed, and
 *                the pass and position that the engine counts; rnn__source_uses names the
 *                files, so that a run does not go on with others
 */
#include "trainer.h"

#include <stdlib.h>
#include <string.h>

int rnn__keep(struct rnn__trainer *t, const char *name, enum rnn__dtype dtype, int rank,
              const int64_t *dim, void *data, struct rnn__fault *f)
{
    struct rnn__string s = {0};
    struct rnn__kept *k = calloc(1, sizeof *k);
    rnn__put(&s, "handler.%s", name);
    if (!k || s.failed) {
        free(k);
        free(s.text);
        return rnn__fault_memory(f);
    }
    k->tensor =
        (struct rnn__tensor){.name = s.text, .dtype = dtype, .rank = rank, .size = 1};
    for (int i = 0; i < rank; i++) {
        k->tensor.dim[i] = dim[i];
        k->tensor.size *= dim[i];
    }
    k->tensor.data = data;
    k->next = t->kept;
    t->kept = k;
    return 0;
}

void rnn__kept_free(struct rnn__trainer *t)
{
    while (t->kept) {
        struct rnn__kept *k = t->kept;
        t->kept = k->next;
        free((void *)(uintptr_t)k->tensor.name);
        free(k);
    }
}
