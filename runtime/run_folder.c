/*
 * run_folder.c — the folder of a run: one trainer at a time, and which checkpoints are in
 * it.
 *
 *     checkpoint_12.safetensors           after iteration 12
 *     checkpoint_12_chunk_3.safetensors   in iteration 12, after 3 of its chunks
 *     checkpoint_best.safetensors         of the handler's `best`
 *     checkpoint_….safetensors.tmp, report.html.tmp …
 *                                         left by a run that was killed; removed
 *     checkpoint_12.safetensors.incoming, checkpoint_….safetensors.aside
 *                                         while the folder changes hands, see take_over.c
 *     .lock                               held by the trainer that writes here
 *
 * The name alone tells how far a checkpoint is, so that one whose bytes are damaged has
 * its place in the order too. What has no number in its name comes last.
 */
#include "trainer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the lock ---- */

/* Where nothing can be written nobody does, and there is nothing to lock. */
static bool cannot_write(int error) { return error == EACCES || error == EROFS; }

int rnn__folder_lock(const char *folder, bool writes, int *lock, struct rnn__fault *f)
{
    if (*lock >= 0)
        return 0;
    char *path = rnn__path_join(folder, ".lock");
    if (!path)
        return rnn__fault_memory(f);
    int code = 0;
    *lock = rnn__io->open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (*lock < 0 && (writes || !cannot_write(errno)))
        code = rnn__fault_errno(f, path, "cannot be made, nothing can be written here");
    else if (*lock >= 0 && rnn__io->lock(*lock) != 0 &&
             (errno == EACCES || errno == EAGAIN))
        code = rnn__fault(f, RNN_EIO,
                          "%s: another trainer is writing here; wait for it, or give this "
                          "one --out DIR",
                          folder);
    if (code)
        rnn__folder_unlock(lock);
    free(path);
    return code;
}

void rnn__folder_unlock(int *lock)
{
    if (*lock >= 0)
        rnn__io->close(*lock);
    *lock = -1;
}

bool rnn__folder_same(const char *a, const char *b)
{
    struct stat x, y;
    return rnn__io->stat(a, &x) == 0 && rnn__io->stat(b, &y) == 0 && rnn__same_file(&x, &y);
}

/* ---- names ---- */

static const char prefix[] = "checkpoint_", best[] = "checkpoint_best",
                  suffix[] = ".safetensors", beside[] = ".tmp";
static const char *const end_of[] = {
    [RNN__IN_PLACE] = "", [RNN__INCOMING] = RNN__NEW, [RNN__ASIDE] = RNN__OLD};
enum { N_STANDING = sizeof end_of / sizeof *end_of };

/* A whole number that `text` begins with, and what is behind it; false: there is none. */
static bool read_number(const char *text, int64_t *out, const char **end)
{
    char *stop;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *out = strtoll(text, &stop, 10);
    *end = stop;
    return errno == 0;
}

/* Whether the name ends in ".safetensors" and `end`; `*stem` is its length without. */
static bool ends_in(const char *name, const char *end, size_t *stem)
{
    size_t n = strlen(name), m = sizeof suffix - 1, k = strlen(end);
    if (n < m + k || strncmp(name + n - k - m, suffix, m) != 0 ||
        strcmp(name + n - k, end) != 0)
        return false;
    *stem = n - m - k;
    return true;
}

/* Whether the name is a checkpoint's, how far that is, and where it stands. A run's first
   has a number, and only a run's are set aside: else what ends so is a user's, no
   checkpoint. */
static bool read_name(const char *name, struct rnn__found *found)
{
    const char *at = name + sizeof prefix - 1;
    struct rnn__place *place = &found->place;
    size_t stem = 0;
    int i = 0;
    while (i < N_STANDING && !ends_in(name, end_of[i], &stem))
        i++;
    *found = (struct rnn__found){.place = {.iteration = -1, .chunk = INT64_MAX}};
    if (i == N_STANDING || strncmp(name, prefix, sizeof prefix - 1) != 0 ||
        stem < sizeof prefix - 1)
        return false;
    found->standing = (enum rnn__standing)i;
    if (read_number(at, &place->iteration, &at) && strncmp(at, "_chunk_", 7) == 0)
        read_number(at + 7, &place->chunk, &at);
    if (at != name + stem)
        *place = (struct rnn__place){.iteration = -1};
    bool is_numbered = place->iteration >= 0;
    found->is_run = is_numbered || strncmp(name, best, sizeof best - 1) == 0;
    return i == RNN__IN_PLACE || is_numbered || (i == RNN__ASIDE && found->is_run);
}

static bool is_left_over(const char *name)
{
    size_t n = strlen(name), m = sizeof beside - 1;
    char own[256];
    struct rnn__found found;
    if (n <= m || n - m >= sizeof own || strcmp(name + n - m, beside) != 0)
        return false;
    memcpy(own, name, n - m);
    own[n - m] = '\0';
    if (strncmp(own, prefix, sizeof prefix - 1) == 0)
        return read_name(own, &found) && found.is_run;
    return rnn__is_own_file(own);
}

char *rnn__checkpoint_path(const struct rnn__trainer *t, struct rnn__place place)
{
    struct rnn__string s = {0};
    rnn__put(&s, "%s/%s%lld", t->out, prefix, (long long)place.iteration);
    if (place.chunk != INT64_MAX)
        rnn__put(&s, "_chunk_%lld", (long long)place.chunk);
    rnn__put(&s, "%s", suffix);
    if (!s.failed)
        return s.text;
    free(s.text);
    return NULL;
}

/* ---- what is there ---- */

static int by_place(const void *a, const void *b)
{
    const struct rnn__found *x = a, *y = b;
    if (x->place.iteration != y->place.iteration)
        return x->place.iteration < y->place.iteration ? -1 : 1;
    if (x->place.chunk != y->place.chunk)
        return x->place.chunk < y->place.chunk ? -1 : 1;
    return strcmp(x->path, y->path);
}

static int add_found(struct rnn__found **list, int *n, const char *folder, const char *name,
                     struct rnn__found found)
{
    void *grown = realloc(*list, ((size_t)*n + 1) * sizeof **list);
    if (!grown)
        return RNN_ENOMEM;
    *list = grown;
    (*list)[*n] = found;
    if (!((*list)[*n].path = rnn__path_join(folder, name)))
        return RNN_ENOMEM;
    ++*n;
    return 0;
}

int rnn__folder_list_all(const char *folder, struct rnn__found **list, int *n,
                         struct rnn__fault *f)
{
    struct rnn__found found;
    int code = 0;
    *list = NULL;
    *n = 0;
    DIR *dir = rnn__io->opendir(folder);
    if (!dir && errno == ENOENT)
        return 0;
    if (!dir && errno == ENOTDIR)
        return rnn__fault(f, RNN_EIO,
                          "%s: is no folder of a run; of a checkpoint alone --init FILE "
                          "reads the parameters",
                          folder);
    if (!dir)
        return rnn__fault_errno(f, folder, "cannot be read");
    for (struct dirent *d; !code && (d = readdir(dir));)
        if (read_name(d->d_name, &found))
            code = add_found(list, n, folder, d->d_name, found);
    closedir(dir);
    if (code) {
        rnn__found_free(*list, *n);
        *list = NULL;
        *n = 0;
        return rnn__fault_memory(f);
    }
    if (*n)
        qsort(*list, (size_t)*n, sizeof **list, by_place);
    return 0;
}

bool rnn__found_incoming(const struct rnn__found *list, int n)
{
    int i = 0;
    while (i < n && list[i].standing != RNN__INCOMING)
        i++;
    return i < n;
}

int rnn__folder_list(const char *folder, struct rnn__found **list, int *n,
                     struct rnn__fault *f)
{
    int n_all, code = rnn__folder_list_all(folder, list, &n_all, f);
    bool is_old_run = rnn__found_incoming(*list, n_all);
    *n = 0;
    for (int i = 0; i < n_all; i++) {
        enum rnn__standing standing = (*list)[i].standing;
        if (standing == RNN__IN_PLACE || (standing == RNN__ASIDE && is_old_run))
            (*list)[(*n)++] = (*list)[i];
        else
            free((*list)[i].path);
    }
    return code;
}

void rnn__found_free(struct rnn__found *list, int n)
{
    for (int i = 0; i < n; i++)
        free(list[i].path);
    free(list);
}

void rnn__folder_sweep(const char *folder)
{
    DIR *dir = rnn__io->opendir(folder);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        char *path = is_left_over(d->d_name) ? rnn__path_join(folder, d->d_name) : NULL;
        if (path)
            rnn__io->unlink(path);
        free(path);
    }
    if (dir)
        closedir(dir);
}
