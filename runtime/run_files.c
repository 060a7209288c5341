/*
 * run_files.c — the files that grow with a run: its logs, its traces.
 *
 * A handler names its file when it is made; the files are opened together, when nothing
 * else can keep the run from beginning. First all are opened and locked, so that another
 * trainer's file, or one that cannot be written, is found while every file is still as it
 * was; then no two may be one. Cut they are last, when nothing else of the run's beginning
 * can fail: to what its checkpoint knows of them, which for a new run is nothing.
 *
 * A checkpoint knows lengths: the files are on the disk before it is. A resumed run has
 * each line once, in another folder too: there it begins with a copy. Lengths of files that
 * a resumed run does not write are handed on to its own checkpoints; a file that no
 * checkpoint knows is somebody's, and is gone on with behind what it holds.
 */
#define _XOPEN_SOURCE 700 /* realpath */
#include "trainer.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

/* Twice the longest path: every step up of a key stands for two bytes of the folder. */
enum { KEY_MAX = 3 * PATH_MAX };

/* The way to `path` from `folder`, both canonical. */
static const char *way(const char *folder, const char *path, char key[static KEY_MAX])
{
    size_t same = 0, n = 0;
    if (strcmp(folder, "/") == 0)
        folder = "";
    for (size_t i = 0;; i++) {
        if (path[i] == '/' && (folder[i] == '/' || folder[i] == '\0'))
            same = i;
        if (folder[i] == '\0' || folder[i] != path[i])
            break;
    }
    for (const char *up = folder + same; (up = strchr(up, '/')); up++, n += 3)
        memcpy(key + n, "../", 3);
    strcpy(key + n, path + same + 1);
    return key;
}

/* The canonical path of a file that may not be there yet, in a folder that is. */
static bool find_canonical(const char *path, char out[static PATH_MAX])
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = (size_t)(name - path);
    if (n >= sizeof folder)
        return false;
    if (n)
        memcpy(folder, path, n);
    if (!realpath(folder, out))
        return false;
    n = strcmp(out, "/") == 0 ? 0 : strlen(out);
    return snprintf(out + n, PATH_MAX - n, "/%s", name) < (int)(PATH_MAX - n);
}

/* The name that a checkpoint knows a file by: the way to it from the run's folder, so that
   one which was moved, with what is around it, is still known, and a file by any spelling.
   NULL: there is none, a folder is not there. */
static const char *key_of(const char *folder, const char *path, char key[static KEY_MAX])
{
    char from[PATH_MAX], to[PATH_MAX];
    size_t n = strlen(folder);
    n -= n > 1 && folder[n - 1] == '/';
    if (strncmp(path, folder, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/'))
        return path + n + 1;
    return realpath(folder, from) && find_canonical(path, to) ? way(from, to, key) : NULL;
}

/* Whether the key is that of a file within the folder. */
static bool is_inner(const char *key) { return key && strncmp(key, "../", 3) != 0; }

/* The key at the checkpoint that the run goes on from: a folder's own files move with the
   run, others stay where they are. */
static const char *key_before(const struct rnn__trainer *t, const char *path,
                              char key[static KEY_MAX])
{
    const char *now = key_of(t->out, path, key);
    return t->moves && !is_inner(now) ? key_of(t->source, path, key) : now;
}

/* A file that begins with a copy of the one in the folder that the run comes from. */
static bool is_copied(const struct rnn__trainer *t, const struct rnn__run_file *file)
{
    char key[KEY_MAX];
    return t->moves && is_inner(key_of(t->out, file->path, key));
}

bool rnn__is_own_file(const char *name)
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
    if (rnn__is_own_file(*name))
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
        if (rnn__same_file(&other, &st))
            return refuse_twice(file, at, f);
    }
    for (int i = 0; i < t->used.n; i++)
        if (rnn__io->stat(t->used.file[i].path, &other) == 0 && rnn__same_file(&other, &st))
            return rnn__fault(f, whose(file), "%s: is a file of the data (%s)", file->path,
                              t->used.file[i].where);
    return 0;
}

/* A file of the folder that the run comes from would be cut, through a link, before it is
   copied. */
static int check_source(const struct rnn__trainer *t, const struct rnn__run_file *file,
                        struct rnn__fault *f)
{
    struct stat st, other;
    const char *key;
    json_t *length;
    int code = 0;
    if (!t->moves || !file->out.regular)
        return 0;
    if (rnn__io->fstat(file->out.fd, &st) != 0)
        return rnn__fault_errno(f, file->path, "cannot be examined");
    json_object_foreach(t->resumed_files, key, length)
    {
        char *path = is_inner(key) ? rnn__path_join(t->source, key) : NULL;
        if (is_inner(key) && !path)
            code = rnn__fault_memory(f);
        else if (path && rnn__io->stat(path, &other) == 0 && rnn__same_file(&other, &st))
            code = rnn__fault(f, whose(file),
                              "%s: is %s of the run that this one goes on from, which is "
                              "left as it is; remove the link, or choose another file",
                              file->path, path);
        free(path);
        if (code)
            break;
    }
    return code;
}

/* What the checkpoint of a resumed run says of the file, or NULL. */
static const json_t *length_before(const struct rnn__trainer *t,
                                   const struct rnn__run_file *file)
{
    char room[KEY_MAX];
    const char *key = t->resumed_files ? key_before(t, file->path, room) : NULL;
    const json_t *length = key ? json_object_get(t->resumed_files, key) : NULL;
    return json_is_integer(length) && !(file->flags & RNN__FILE_ANEW) ? length : NULL;
}

int64_t rnn__file_known(const struct rnn__trainer *t, const struct rnn__run_file *file)
{
    const json_t *length = length_before(t, file);
    return length && json_integer_value(length) > 0 ? json_integer_value(length) : 0;
}

char *rnn__file_before(const struct rnn__trainer *t, const struct rnn__run_file *file)
{
    char key[KEY_MAX];
    return is_copied(t, file) ? rnn__path_join(t->source, key_of(t->out, file->path, key))
                              : rnn__path_join(NULL, file->path);
}

/* Whether the file holds what no checkpoint of the resumed run tells of. */
static bool is_strange(const struct rnn__trainer *t, const struct rnn__run_file *file)
{
    return t->source && file->out.bytes > 0 && !(file->flags & RNN__FILE_ANEW) &&
           !is_copied(t, file) && !length_before(t, file);
}

/* What a checkpoint is to know of the file, also before it is cut or copied. */
static int64_t length_of(const struct rnn__trainer *t, const struct rnn__run_file *file)
{
    return file->begun || is_strange(t, file) ? file->out.bytes : rnn__file_known(t, file);
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

static void say(const struct rnn__trainer *t, const struct rnn__run_file *file,
                int64_t bytes, const char *what)
{
    if (!t->options->quiet)
        fprintf(stderr, "%s: note: %s: %" PRId64 " bytes %s\n", t->options->program,
                file->path, bytes, what);
}

/* Behind what somebody else has written, on a line of its own. */
static int go_behind(const struct rnn__trainer *t, struct rnn__run_file *file,
                     struct rnn__fault *f)
{
    char last = '\n';
    int64_t at = file->out.bytes - 1;
    say(t, file, file->out.bytes,
        "that the checkpoint does not know of stay; the run's lines go behind them");
    int code = file->flags & RNN__FILE_RECORDS
                   ? 0
                   : rnn__read_at(file->out.fd, file->path, at, &last, 1, f);
    if (!code && last != '\n')
        rnn__out_bytes(&file->out, "\n", 1);
    return code;
}

/* A file that is shorter than the checkpoint knows may end within a line: one that a full
   disk has cut off, which the next would be glued to. */
static int mend_end(const struct rnn__trainer *t, struct rnn__run_file *file, int64_t known,
                    struct rnn__fault *f)
{
    if (!file->out.regular || file->out.bytes >= known)
        return 0;
    int code = file->flags & RNN__FILE_RECORDS ? 0 : rnn__out_cut_to_line(&file->out, f);
    say(t, file, known - file->out.bytes,
        "of what it had at the checkpoint are missing, and stay missing");
    return code;
}

static int go_on_with(struct rnn__trainer *t, struct rnn__run_file *file,
                      struct rnn__fault *f)
{
    int64_t known = rnn__file_known(t, file);
    bool copied = is_copied(t, file);
    if (is_strange(t, file))
        return go_behind(t, file, f);
    int code = rnn__out_cut(&file->out, copied ? 0 : known, f);
    if (!code && copied && known > 0) {
        char *from = rnn__file_before(t, file);
        code = from ? copy_start(file, from, known, f) : rnn__fault_memory(f);
        free(from);
    }
    return code ? code : mend_end(t, file, known, f);
}

int rnn__open_files(struct rnn__trainer *t, struct rnn__fault *f)
{
    int code = 0;
    for (struct rnn__run_file *file = t->file; file && !code; file = file->next)
        code = rnn__out_open(&file->out, file->path, f);
    for (struct rnn__run_file *file = t->file; file && !code; file = file->next)
        code = check_single(t, file, f);
    for (struct rnn__run_file *file = t->file; file && !code; file = file->next)
        code = check_source(t, file, f);
    return code;
}

int rnn__begin_files(struct rnn__trainer *t, struct rnn__fault *f)
{
    int code = 0;
    for (struct rnn__run_file *file = t->file; file && !code; file = file->next) {
        code = go_on_with(t, file, f);
        file->begun = true;
    }
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

/* Lengths of files that this run does not write. */
static int hand_on(const struct rnn__trainer *t, json_t *files)
{
    const char *key;
    json_t *length;
    int failed = 0;
    json_object_foreach(t->resumed_files, key, length)
    {
        char room[KEY_MAX];
        if (t->moves && is_inner(key))
            continue; /* not copied */
        char *path = t->moves ? rnn__path_join(t->source, key) : NULL;
        const char *now = t->moves ? path ? key_of(t->out, path, room) : NULL : key;
        failed |= (t->moves && !path) || (now && json_object_set(files, now, length) != 0);
        free(path);
    }
    return failed;
}

json_t *rnn__files_json(const struct rnn__trainer *t)
{
    json_t *files = json_object();
    int failed = hand_on(t, files);
    for (const struct rnn__run_file *file = t->file; file; file = file->next) {
        char room[KEY_MAX];
        const char *key = key_of(t->out, file->path, room);
        if (!key || (file->flags & RNN__FILE_ANEW))
            continue;
        if (file->out.regular)
            failed |= json_object_set_new(files, key, json_integer(length_of(t, file)));
        else
            json_object_del(files, key);
    }
    if (!failed)
        return files;
    json_decref(files);
    return NULL;
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
