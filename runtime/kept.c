/*
 * kept.c — what of a run a checkpoint holds besides the engine's own progress.
 *
 * One mechanism each for what handlers and sources may have:
 *
 *     a number   rnn_attribute_keep on the engine: best scores, counters
 *     a tensor   rnn__keep: memory of the handler's own, written with each checkpoint and
 *                filled before a resumed run begins; "handler.NAME" in the file
 *     a file     rnn__run_file: a log, a trace; flushed to the disk before a checkpoint
 *                that knows its length, and cut to that length by a resumed run, so that
 *                each line is there once
 *     data       nothing: a source is a function of its settings, its files, the seed, and
 *                the pass and position that the engine counts; rnn__source_uses names the
 *                files, so that a run does not go on with others
 */
#include "trainer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tensors ---- */

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

/* ---- files ---- */

/* The name that a checkpoint knows a file by: within the run's folder, so that a folder
   that was moved is still known. */
static const char *name_within(const struct rnn__trainer *t, const char *path)
{
    size_t n = strlen(t->out);
    return strncmp(path, t->out, n) == 0 && path[n] == '/' ? path + n + 1 : path;
}

/* The bytes that stay of an older file: none, or of a resumed run's what its checkpoint
   knows. */
static int64_t bytes_to_keep(const struct rnn__trainer *t, const char *path)
{
    const json_t *known = json_object_get(t->resumed_files, name_within(t, path));
    return json_is_integer(known) && json_integer_value(known) > 0
               ? json_integer_value(known)
               : 0;
}

int rnn__run_file(struct rnn__trainer *t, const char *path, struct rnn__out **out,
                  struct rnn__fault *f)
{
    struct rnn__run_file *file = calloc(1, sizeof *file);
    if (!file)
        return rnn__fault_memory(f);
    int64_t keep = bytes_to_keep(t, path);
    int code = rnn__out_open(&file->out, path, keep, f);
    if (code) {
        free(file);
        return code;
    }
    if (file->out.bytes < keep && !t->options->quiet)
        fprintf(stderr,
                "%s: note: %s: is %" PRId64
                " bytes shorter than at the checkpoint; what is "
                "missing stays missing\n",
                t->options->program, path, keep - file->out.bytes);
    file->next = t->file;
    t->file = file;
    *out = &file->out;
    return 0;
}

void rnn__mark_files(struct rnn__trainer *t)
{
    for (struct rnn__run_file *file = t->file; file; file = file->next)
        file->mark = file->out.bytes;
}

/* Tells of a file that could not be written, once. */
static void tell(struct rnn__trainer *t, struct rnn__run_file *file, int code,
                 const struct rnn__fault *f)
{
    if (code && !file->told)
        fprintf(stderr, "%s: note: %s; what follows is not in it, the run goes on\n",
                t->options->program, f->sentence);
    file->told = file->told || code;
}

void rnn__flush_files(struct rnn__trainer *t, bool sync)
{
    for (struct rnn__run_file *file = t->file; file; file = file->next) {
        struct rnn__fault f = {0};
        tell(t, file, rnn__out_flush(&file->out, sync, &f), &f);
    }
}

json_t *rnn__files_json(const struct rnn__trainer *t)
{
    json_t *files = json_object();
    for (const struct rnn__run_file *file = t->file; file; file = file->next)
        json_object_set_new(files, name_within(t, file->out.path),
                            json_integer(t->unfinished ? file->mark : file->out.bytes));
    return files;
}

void rnn__kept_free(struct rnn__trainer *t)
{
    while (t->kept) {
        struct rnn__kept *k = t->kept;
        t->kept = k->next;
        free((void *)(uintptr_t)k->tensor.name);
        free(k);
    }
    while (t->file) {
        struct rnn__run_file *file = t->file;
        struct rnn__fault f = {0};
        t->file = file->next;
        tell(t, file, rnn__out_close(&file->out, &f), &f);
        free(file);
    }
    rnn__used_free(&t->used);
    json_decref(t->resumed_files);
}
