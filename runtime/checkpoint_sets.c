/*
 * checkpoint_sets.c — which checkpoints of a run stay.
 *
 * Each checkpoint handler has a set of its own: the newest `keep` of those that it has
 * asked for. The first set takes in what no handler asked for, the last states of
 * interrupted runs and those that a signal wanted; a run without such handlers has that set
 * alone. What is in no set any more is removed, once what came after it is safe.
 *
 * Whose a checkpoint is stands in it, as bits, so that a resumed run knows; two that are at
 * one place are one file.
 */
#include "trainer.h"

#include <stdlib.h>
#include <string.h>

int rnn__set_add(struct rnn__trainer *t, int64_t keep, int *set, struct rnn__fault *f)
{
    if (t->n_set == RNN__SETS_MAX)
        return rnn__fault(f, RNN__ESPEC, "train.handlers: more than %d checkpoint handlers",
                          RNN__SETS_MAX);
    *set = t->n_set++;
    t->set_keep[*set] = keep;
    return 0;
}

static struct rnn__marked *find(const struct rnn__trainer *t, struct rnn__place place)
{
    for (int i = 0; i < t->n_marked; i++)
        if (t->marked[i].iteration == place.iteration && t->marked[i].chunk == place.chunk)
            return &t->marked[i];
    return NULL;
}

uint32_t rnn__marks_at(const struct rnn__trainer *t, struct rnn__place place)
{
    const struct rnn__marked *known = find(t, place);
    return known ? known->marks : 0;
}

int rnn__marks_set(struct rnn__trainer *t, struct rnn__place place, uint32_t marks)
{
    struct rnn__marked *known = find(t, place);
    if (!known) {
        void *grown = realloc(t->marked, ((size_t)t->n_marked + 1) * sizeof *t->marked);
        if (!grown)
            return RNN_ENOMEM;
        t->marked = grown;
        known = &t->marked[t->n_marked++];
    }
    *known = (struct rnn__marked){place.iteration, place.chunk, marks};
    return 0;
}

static void forget(struct rnn__trainer *t, struct rnn__place place)
{
    struct rnn__marked *known = find(t, place);
    if (known)
        *known = t->marked[--t->n_marked];
}

/* Of a file from before this run went on; one that cannot be read is nobody's. */
static uint32_t marks_of(struct rnn__trainer *t, const struct rnn__found *found)
{
    struct rnn__safetensors s;
    struct rnn__fault f = {0};
    if (!find(t, found->place)) {
        bool readable = rnn__safetensors_open(&s, found->path, &f) == 0;
        rnn__marks_set(t, found->place, readable ? rnn__checkpoint_marks(&s) : 0);
        rnn__safetensors_close(&s);
    }
    return rnn__marks_at(t, found->place);
}

/* Nobody's, or of handlers that are no more, are the first set's. */
static uint32_t sets_of(const struct rnn__trainer *t, uint32_t marks)
{
    uint32_t known = t->n_set < RNN__SETS_MAX ? (1u << t->n_set) - 1 : UINT32_MAX;
    return marks & known ? marks & known : 1;
}

/* Only numbered ones go: not `best`, not what a user has put there. What is ahead of the
   newest was damaged when the run was resumed before it, and will be replaced. */
void rnn__sets_prune(struct rnn__trainer *t, const char *newest)
{
    struct rnn__found *list;
    struct rnn__fault f = {0};
    int n;
    int64_t left[RNN__SETS_MAX];
    memcpy(left, t->set_keep, sizeof left);
    if (t->n_set == 0)
        left[0] = RNN__KEEP_DEFAULT;
    if (rnn__folder_list(t->out, &list, &n, &f) != 0)
        return;
    int at = n - 1;
    while (at >= 0 && strcmp(list[at].path, newest) != 0)
        at--;
    for (int i = at; i >= 0 && list[i].place.iteration >= 0; i--) {
        uint32_t sets = sets_of(t, marks_of(t, &list[i]));
        bool stays = false;
        for (int s = 0; s < RNN__SETS_MAX; s++)
            stays = (sets >> s & 1 && left[s]-- > 0) || stays;
        if (!stays && i < at) {
            rnn__io->unlink(list[i].path);
            forget(t, list[i].place);
        }
    }
    rnn__found_free(list, n);
}
