/*
 * run_files.c — the files that grow with a run: its logs, its traces.
 *
 * A handler names its file when it is made; the files are opened together, when nothing
 * else can keep the run from beginning. First all are opened and locked, so that another
 * trainer's file, or one that cannot be written, is found while every file is still as it
 * was; then no two may be one; then each is cut to what the run's checkpoint knows of it,
 * which for a new run is nothing.
 *
 * A checkpoint knows lengths: the files are on the disk before it is. A resumed run has
 * each line once, in another folder too: there it begins with a copy.
 */
#include "trainer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

/* The name that a checkpoint knows a file by: within the run's folder, so that a folder
   that was moved is still known. */
static const char *name_within(const struct rnn__trainer *t, const char *path)
{
    size_t n = strlen(t->out);
    return strncmp(path, t->out, n) == 0 && path[n] == '/' ? path + n + 1 : path;
}

/* Files of the run's folder that are no handler's to choose. */
static bool is_taken(const char *name)
{
    static const char *const list[] = {"spec.yaml", "report.html", "loss.svg",
                                       "profile.csv", "ema.safetensors"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (strcmp(name, list[i]) == 0)
            return true;
    return strncmp(name, "checkpoint_", 11) == 0;
}

int rnn__get_file_name(const json_t *options, const char *where, const char **name,
                       struct rnn__fault *f)
{
    int code = rnn__get_text(options, where, "file", name, f);
    if (code)
        return code;
    if (!**name || **name == '.' || strchr(*name, '/'))
        return rnn__fault(f, RNN__ESPEC,
                          "%s.file: '%s' is not the name of a file in the run's folder; "
                          "--log may name one elsewhere",
                          where, *name);
    if (is_taken(*name))
        return rnn__fault(f, RNN__ESPEC,
                          "%s.file: the run itself writes '%s'; choose another name", where,
                          *name);
    return 0;
}

/* ---- named ---- */

int rnn__run_file(struct rnn__trainer *t, const char *path, int flags,
                  struct rnn__out **out, struct rnn__fault *f)
{
    struct rnn__run_file *file = calloc(1, sizeof *file);
    char *copy = path && file ? rnn__path_join(NULL, path) : NULL;
    if (!copy) {
        free(file);
        return rnn__fault_memory(f);
    }
    *file = (struct rnn__run_file){.path = copy, .flags = flags, .next = t->file};
    file->out.fd = -1;
    t->file = file;
    *out = &file->out;
    return 0;
}

const struct rnn__run_file *rnn__file_of(const struct rnn__trainer *t,
                                         const struct rnn__out *out)
{
    const struct rnn__run_file *file = t->file;
    while (file && &file->out != out)
        file = file->next;
    return file;
}

/* ---- opened ---- */

static int whose(const struct rnn__run_file *file)
{
    return file->flags & RNN__FILE_OPTION ? RNN_EINVAL : RNN__ESPEC;
}

static int refuse_twice(const struct rnn__run_file *a, const struct rnn__run_file *b,
                        struct rnn__fault *f)
{
    const struct rnn__run_file *blamed = a->flags & RNN__FILE_OPTION ? a : b;
    return rnn__fault(f, whose(blamed),
                      "%s: is written by two; give one of them another file", blamed->path);
}

/* No regular file is another's, or the data's: pipes and terminals may be shared. */
static int check_single(struct rnn__trainer *t, const struct rnn__run_file *file,
                        struct rnn__fault *f)
{
    struct stat st, other;
    if (rnn__io->fstat(file->out.fd, &st) != 0)
        return rnn__fault_errno(f, file->path, "cannot be examined");
    if (!S_ISREG(st.st_mode))
        return 0;
    for (const struct rnn__run_file *at = file->next; at; at = at->next) {
        if (rnn__io->fstat(at->out.fd, &other) != 0)
            return rnn__fault_errno(f, at->path, "cannot be examined");
        if (other.st_dev == st.st_dev && other.st_ino == st.st_ino)
            return refuse_twice(file, at, f);
    }
    for (int i = 0; i < t->used.n; i++)
        if (rnn__io->stat(t->used.file[i].path, &other) == 0 && other.st_dev == st.st_dev &&
            other.st_ino == st.st_ino)
            return rnn__fault(f, whose(file), "%s: is a file of the data (%s)", file->path,
                              t->used.file[i].where);
    return 0;
}

int64_t rnn__file_known(const struct rnn__trainer *t, const struct rnn__run_file *file)
{
    const json_t *known = json_object_get(t->resumed_files, name_within(t, file->path));
    bool goes_on = json_is_integer(known) && json_integer_value(known) > 0 &&
                   !(file->flags & RNN__FILE_ANEW);
    return goes_on ? json_integer_value(known) : 0;
}

char *rnn__file_before(const struct rnn__trainer *t, const struct rnn__run_file *file)
{
    const char *name = name_within(t, file->path);
    return rnn__path_join(t->moves && name != file->path ? t->source : NULL,
                          t->moves ? name : file->path);
}

/* The first `bytes` of the file that the run had in the folder it comes from. */
static int copy_start(struct rnn__run_file *file, const char *from, int64_t bytes,
                      struct rnn__fault *f)
{
    char block[4096];
    struct stat st;
    int64_t size = 0, at = 0;
    if (rnn__io->stat(from, &st) != 0)
        return 0;
    int code = 0, fd = rnn__open_file(from, &size, f);
    if (fd < 0)
        return fd;
    for (int64_t end = bytes < size ? bytes : size; at < end && !code;) {
        size_t n = end - at < (int64_t)sizeof block ? (size_t)(end - at) : sizeof block;
        code = rnn__read_at(fd, from, at, block, n, f);
        if (!code)
            rnn__out_bytes(&file->out, block, n);
        at += (int64_t)n;
    }
    rnn__io->close(fd);
    return code ? code : rnn__out_flush(&file->out, false, f);
}

static int go_on_with(struct rnn__trainer *t, struct rnn__run_file *file,
                      struct rnn__fault *f)
{
    int64_t known = rnn__file_known(t, file);
    bool elsewhere = t->moves && name_within(t, file->path) != file->path;
    int code = rnn__out_cut(&file->out, elsewhere ? 0 : known, f);
    if (!code && elsewhere && known > 0) {
        char *from = rnn__file_before(t, file);
        code = from ? copy_start(file, from, known, f) : rnn__fault_memory(f);
        free(from);
    }
    if (!code && file->out.regular && file->out.bytes < known && !t->options->quiet)
        fprintf(stderr,
                "%s: note: %s: is %" PRId64
                " bytes shorter than at the checkpoint; what is "
                "missing stays missing\n",
                t->options->program, file->path, known - file->out.bytes);
    return code;
}

int rnn__open_files(struct rnn__trainer *t, struct rnn__fault *f)
{
    int code = 0;
    for (struct rnn__run_file *file = t->file; file && !code; file = file->next)
        code = rnn__out_open(&file->out, file->path, f);
    for (struct rnn__run_file *file = t->file; file && !code; file = file->next)
        code = check_single(t, file, f);
    for (struct rnn__run_file *file = t->file; file && !code; file = file->next)
        code = go_on_with(t, file, f);
    return code;
}

/* ---- written ---- */

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
        bool anew = file->flags & RNN__FILE_ANEW; /* no checkpoint knows of it */
        tell(t, file, rnn__out_flush(&file->out, sync && !anew, &f), &f);
    }
}

json_t *rnn__files_json(const struct rnn__trainer *t)
{
    json_t *files = json_object();
    for (const struct rnn__run_file *file = t->file; file; file = file->next)
        if (!(file->flags & RNN__FILE_ANEW) && file->out.regular)
            json_object_set_new(files, name_within(t, file->path),
                                json_integer(file->out.bytes));
    return files;
}

void rnn__files_free(struct rnn__trainer *t)
{
    while (t->file) {
        struct rnn__run_file *file = t->file;
        struct rnn__fault f = {0};
        t->file = file->next;
        tell(t, file, rnn__out_close(&file->out, &f), &f);
        free(file->path);
        free(file);
    }
}
