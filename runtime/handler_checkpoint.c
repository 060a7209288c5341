/*
 * handler_checkpoint.c — checkpoints while a run goes on, and its last state.
 *
 *     checkpoint: {every: epoch, keep: 2, best: valid.loss}
 *
 * writes checkpoint_ITERATION.safetensors (in the middle of a batch …_chunk_K) and removes
 * the oldest beyond `keep` of its own, also those from before an interruption, after the
 * new one is safe. Two are kept by default, so that one is left when the newest is damaged.
 * `best` keeps the state with the best value of a metric as checkpoint_best.safetensors
 * besides; an equal value is no better, as in Ignite, and NaN is no value. A checkpoint
 * that cannot be written is told of, and the run goes on with the old ones intact; the last
 * state is written whatever happened before, and there a failure is one of the run.
 * Parameters that are not finite are nothing to go on with: no checkpoint is made of them.
 */
#include "engine.h"
#include "trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct checkpoints {
    struct rnn__trainer *t;
    const char *best;
    bool larger;
    int set;
    char value[256], seen[256]; /* attributes: the best value, and whether there is one */
    char file[256];
};

enum { NO_SET = -1 };

/* Writes the present state, which is that of `place`, to a file; what the logs hold of it
   is safe before. */
static int write_state(struct rnn__trainer *t, struct rnn__place place, int set,
                       const char *path, struct rnn__fault *f)
{
    int code = path ? rnn__checkpoint_sound(t, f) : rnn__fault_memory(f);
    if (code)
        return code;
    t->marks = rnn__marks_at(t, place) | (set == NO_SET ? 0 : 1u << set);
    rnn__flush_files(t, true);
    return rnn__checkpoint_save(t, path, f);
}

/* The present state is safe under its name, which is taken over. */
static int note_saved(struct rnn__trainer *t, struct rnn__place place, char *name)
{
    t->saved_chunks = rnn_state_of(t->engine)->time_iteration;
    t->saved_pending = place.pending;
    free(t->last_checkpoint);
    t->last_checkpoint = name;
    return rnn__marks_set(t, place, t->marks);
}

/* Writes the present state under the name of its place. */
static int save(struct rnn__trainer *t, struct rnn__place place, int set,
                struct rnn__fault *f)
{
    char *name = rnn__checkpoint_path(t, place);
    int code = write_state(t, place, set, name, f);
    if (code)
        free(name);
    else if (note_saved(t, place, name) == 0)
        rnn__sets_prune(t, name);
    return code;
}

static int write_best(struct checkpoints *c, struct rnn__fault *f)
{
    struct rnn__trainer *t = c->t;
    char *path = rnn__path_join(t->out, c->file);
    t->marks = 0;
    int code = path ? rnn__checkpoint_sound(t, f) : rnn__fault_memory(f);
    if (!code)
        code = rnn__checkpoint_save(t, path, f);
    free(path);
    return code;
}

/* The best value goes into the checkpoint that it is the value of; one that could not be
   written was not the best. */
static int save_if_best(struct checkpoints *c, struct rnn__fault *f)
{
    rnn_engine *e = c->t->engine;
    double value, best = 0, seen = 0;
    if (!c->best || !rnn__watched(c->t, c->best, &value) || isnan(value))
        return 0;
    rnn_attribute_get(e, c->seen, &seen);
    rnn_attribute_get(e, c->value, &best);
    if (seen != 0 && !isnan(best) && !(c->larger ? value > best : value < best))
        return 0;
    rnn_attribute_set(e, c->seen, 1);
    rnn_attribute_set(e, c->value, value);
    int code = write_best(c, f);
    if (code) {
        rnn_attribute_set(e, c->seen, seen);
        rnn_attribute_set(e, c->value, best);
    }
    return code;
}

/* Told of, and no more: the run goes on without. */
static void tell_failed(const struct rnn__trainer *t, const struct rnn__fault *f)
{
    fprintf(stderr, "%s: note: no checkpoint: %s; earlier ones stand, the run goes on\n",
            t->options->program, f->sentence);
}

static int tell(const struct rnn__trainer *t, int code, const struct rnn__fault *f)
{
    if (!code)
        return rnn_fire(t->engine, RNN_SAVED_CHECKPOINT);
    tell_failed(t, f);
    return 0;
}

static int save_now(struct rnn__trainer *t, int set, struct rnn__fault *f)
{
    struct rnn__place place;
    int code = rnn__checkpoint_place(t, &place, f);
    return code ? code : save(t, place, set, f);
}

/* The best and the numbered one: neither waits for the other to succeed. */
static int checkpoint(rnn_engine *e, int event, void *user)
{
    struct checkpoints *c = user;
    struct rnn__fault best = {0}, f = {0};
    (void)e, (void)event;
    if (save_if_best(c, &best))
        tell_failed(c->t, &best);
    return tell(c->t, save_now(c->t, c->set, &f), &f);
}

static int checkpoint_if_asked(rnn_engine *e, int event, void *user)
{
    struct rnn__trainer *t = user;
    struct rnn__fault f = {0};
    (void)e, (void)event;
    return rnn__signals_take_wish() ? tell(t, save_now(t, NO_SET, &f), &f) : 0;
}

int rnn__hang_wish(struct rnn__trainer *t, struct rnn__fault *f)
{
    return rnn__hang(t, RNN_TIME_ITERATION_COMPLETED, NULL, checkpoint_if_asked, t, f);
}

int rnn__save_last(struct rnn__trainer *t, struct rnn__fault *f)
{
    struct rnn__place place;
    int code = rnn__checkpoint_place(t, &place, f);
    if (code || (rnn_state_of(t->engine)->time_iteration == t->saved_chunks &&
                 place.pending == t->saved_pending))
        return code;
    return save(t, place, NO_SET, f);
}

int rnn__write_first(struct rnn__trainer *t, char **path, struct rnn__fault *f)
{
    struct rnn__place place;
    struct rnn__string s = {0};
    *path = NULL;
    int code = rnn__checkpoint_place(t, &place, f);
    if (code)
        return code;
    *path = rnn__checkpoint_path(t, place);
    rnn__put(&s, "%s%s", *path ? *path : "", RNN__NEW);
    code = !*path || s.failed ? rnn__fault_memory(f)
                              : write_state(t, place, NO_SET, s.text, f);
    free(s.text);
    return code;
}

void rnn__first_written(struct rnn__trainer *t, char *path)
{
    struct rnn__place place;
    struct rnn__fault f = {0};
    if (rnn__checkpoint_place(t, &place, &f) == 0)
        note_saved(t, place, path);
    else
        free(path);
}

/* One handler has the plain names, further ones those of their figures. */
static int name_best(struct checkpoints *c, const char *where, struct rnn__fault *f)
{
    rnn_engine *e = c->t->engine;
    bool first = rnn__number_find(&e->attributes, "checkpoint.best") < 0;
    const char *dot = first ? "" : ".", *line = first ? "" : "_";
    const char *figure = first ? "" : c->best;
    snprintf(c->value, sizeof c->value, "checkpoint.best%s%s", dot, figure);
    snprintf(c->seen, sizeof c->seen, "checkpoint.best_seen%s%s", dot, figure);
    int n =
        snprintf(c->file, sizeof c->file, "checkpoint_best%s%s.safetensors", line, figure);
    if (n >= (int)sizeof c->file || strchr(figure, '/'))
        return rnn__fault(f, RNN__ESPEC, "%s.best: '%s' makes no name of a file", where,
                          figure);
    if (!first && rnn__number_find(&e->attributes, c->value) >= 0)
        return rnn__fault(f, RNN__ESPEC, "%s.best: two handlers keep the best '%s'", where,
                          figure);
    int code = rnn_attribute_keep(e, c->value);
    if (!code)
        code = rnn__keep_count(e, c->seen, 1);
    return code ? rnn__trainer_failed(c->t, e, code, f) : 0;
}

static int read_best(struct checkpoints *c, const json_t *options, const char *where,
                     struct rnn__fault *f)
{
    int code = rnn__get_text(options, where, "best", &c->best, f);
    if (code || !c->best)
        return code;
    code = rnn__check_figure(c->t, where, "best", c->best, f);
    if (!code)
        code = rnn__read_mode(options, where, c->best, &c->larger, f);
    return code ? code : name_best(c, where, f);
}

int rnn__add_checkpoint(struct rnn__trainer *t, const json_t *options, const char *where,
                        struct rnn__fault *f)
{
    struct rnn__when when = {.event = RNN_EPOCH_COMPLETED};
    struct checkpoints *c = calloc(1, sizeof *c);
    int code = rnn__attach(t, c, free, f);
    if (code)
        return code;
    int64_t keep = RNN__KEEP_DEFAULT;
    c->t = t;
    code = rnn__get_integer(options, where, "keep", 1, &keep, f);
    if (!code && keep > 1000000)
        code = rnn__fault(f, RNN__ESPEC, "%s.keep: is more than a million", where);
    if (!code)
        code = rnn__set_add(t, keep, &c->set, f);
    if (!code)
        code = read_best(c, options, where, f);
    if (!code)
        code = rnn__read_when(t, options, where, &when, f);
    return code ? code : rnn__hang_when(t, &when, checkpoint, c, f);
}
