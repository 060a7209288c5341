/*
 * handler_checkpoint.c — checkpoints while a run goes on, and its last state.
 *
 *     checkpoint: {every: epoch, keep: 2, best: valid.loss}
 *
 * writes checkpoint_ITERATION.safetensors and removes the oldest of its own beyond
 * `keep`, after the new one is safe. `best` keeps the state with the best value of a
 * metric as checkpoint_best.safetensors besides. A checkpoint that cannot be written
 * is told of, and the run goes on with the old ones intact; the last state is written
 * whatever happened before, and there a failure is one of the run.
 */
#include "trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct checkpoints {
    struct rnn__trainer *t;
    int64_t keep, n_kept;
    char **kept; /* [keep + 1], oldest first */
    const char *best;
    bool larger;
};

static const char best_value[] = "checkpoint.best", best_seen[] = "checkpoint.best_seen";

static char *path_of(struct rnn__trainer *t, int64_t iteration)
{
    char name[64];
    snprintf(name, sizeof name, "checkpoint_%lld.safetensors", (long long)iteration);
    return rnn__path_join(t->out, name);
}

/* Writes the present state under its iteration's name. *path, unless NULL, is the caller's.
 */
static int save(struct rnn__trainer *t, char **path, struct rnn__fault *f)
{
    const rnn_engine_state *s = rnn_state_of(t->engine);
    char *name = path_of(t, s->iteration);
    int code = name ? rnn__checkpoint_save(t, name, f) : rnn__fault_memory(f);
    if (code) {
        free(name);
        return code;
    }
    t->saved_chunks = s->time_iteration;
    free(t->last_checkpoint);
    t->last_checkpoint = name;
    if (path)
        *path = rnn__path_join(NULL, name);
    return 0;
}

/* Puts the newest path, which is taken over, behind the others and drops what is too old.
 */
static void keep_newest(struct checkpoints *c, char *path)
{
    if (!path || (c->n_kept && strcmp(c->kept[c->n_kept - 1], path) == 0)) {
        free(path); /* the same name has been replaced */
        return;
    }
    c->kept[c->n_kept++] = path;
    if (c->n_kept <= c->keep)
        return;
    unlink(c->kept[0]);
    free(c->kept[0]);
    memmove(c->kept, c->kept + 1, (size_t)c->keep * sizeof *c->kept);
    c->n_kept--;
}

static bool is_best(struct checkpoints *c)
{
    rnn_engine *e = c->t->engine;
    double value, best = 0, seen = 0;
    if (!c->best || !rnn__watched(c->t, c->best, &value))
        return false;
    rnn_attribute_get(e, best_seen, &seen);
    rnn_attribute_get(e, best_value, &best);
    if (seen != 0 && !(c->larger ? value > best : value < best))
        return false;
    rnn_attribute_set(e, best_seen, 1);
    rnn_attribute_set(e, best_value, value);
    return true;
}

static int save_best(struct checkpoints *c, struct rnn__fault *f)
{
    char *path = rnn__path_join(c->t->out, "checkpoint_best.safetensors");
    int code = path ? rnn__checkpoint_save(c->t, path, f) : rnn__fault_memory(f);
    free(path);
    return code;
}

static int checkpoint(rnn_engine *e, int event, void *user)
{
    struct checkpoints *c = user;
    struct rnn__fault f = {0};
    char *path = NULL;
    (void)event;
    int code = is_best(c) ? save_best(c, &f) : 0;
    if (!code)
        code = save(c->t, &path, &f);
    if (code) {
        fprintf(stderr,
                "%s: note: no checkpoint: %s; earlier ones stand, the run goes on\n",
                c->t->options->program, f.sentence);
        return 0;
    }
    keep_newest(c, path);
    return rnn_fire(e, RNN_SAVED_CHECKPOINT);
}

int rnn__save_last(struct rnn__trainer *t, struct rnn__fault *f)
{
    if (rnn_state_of(t->engine)->time_iteration == t->saved_chunks)
        return 0;
    return save(t, NULL, f);
}

static void close_checkpoints(void *user)
{
    struct checkpoints *c = user;
    for (int64_t i = 0; i < c->n_kept; i++)
        free(c->kept[i]);
    free(c->kept);
    free(c);
}

static int read_best(struct checkpoints *c, const json_t *options, const char *where,
                     struct rnn__fault *f)
{
    rnn_engine *e = c->t->engine;
    int code = rnn__get_text(options, where, "best", &c->best, f);
    if (code || !c->best)
        return code;
    code = rnn__read_mode(options, where, c->best, &c->larger, f);
    if (code)
        return code;
    if ((code = rnn_attribute_keep(e, best_value)) != 0 ||
        (code = rnn_attribute_keep(e, best_seen)) != 0)
        return rnn__trainer_failed(c->t, e, code, f);
    return 0;
}

int rnn__add_checkpoint(struct rnn__trainer *t, const json_t *options, const char *where,
                        struct rnn__fault *f)
{
    struct rnn__when when = {.event = RNN_EPOCH_COMPLETED};
    struct checkpoints *c = calloc(1, sizeof *c);
    int code = rnn__attach(t, c, close_checkpoints, f);
    if (code)
        return code;
    c->t = t;
    c->keep = 1;
    code = rnn__get_integer(options, where, "keep", 1, &c->keep, f);
    if (!code && c->keep > 1000000)
        code = rnn__fault(f, RNN__ESPEC, "%s.keep: is more than a million", where);
    if (!code && !(c->kept = calloc((size_t)c->keep + 1, sizeof *c->kept)))
        code = rnn__fault_memory(f);
    if (!code)
        code = read_best(c, options, where, f);
    if (!code)
        code = rnn__read_when(t, options, where, &when, f);
    return code ? code : rnn__hang_when(t, &when, checkpoint, c, f);
}
