/*
 * take_over.c — a folder changes hands: at one instant a new run's first checkpoint takes
 * the place of another run's checkpoints, however many there are.
 *
 *     1  the new one is written as checkpoint_0.safetensors.incoming
 *     2  each old one is renamed: checkpoint_8.safetensors.aside
 *     3  the new one is renamed to checkpoint_0.safetensors: the instant
 *     4  spec.yaml is replaced
 *     5  the old ones are removed
 *
 * The folder is synced behind each step. So names alone say whose the folder is, whenever a
 * run is killed or the power goes: while something ends in .incoming, what ends in .aside
 * is the folder's, under the names that it had; else it is to go. rnn__folder_list reads it
 * so without a change, and the next run that has the folder's lock settles it. What a step
 * behind the instant fails at is undone in the same way: the new one's name goes back, and
 * then the folder is settled.
 */
#include "trainer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Renames "PATH" + `from` to "PATH" + `to`. */
static int move(const char *path, const char *from, const char *to, struct rnn__fault *f)
{
    struct rnn__string a = {0}, b = {0};
    rnn__put(&a, "%s%s", path, from);
    rnn__put(&b, "%s%s", path, to);
    int code = a.failed || b.failed ? rnn__fault_memory(f) : 0;
    if (!code && rnn__io->rename(a.text, b.text) != 0)
        code = rnn__fault_errno(f, a.text, "cannot be renamed");
    free(a.text);
    free(b.text);
    return code;
}

static int set_aside(const char *folder, const struct rnn__found *list, int n,
                     struct rnn__fault *f)
{
    int code = 0;
    for (int i = 0; i < n && !code; i++)
        if (list[i].is_run)
            code = move(list[i].path, "", RNN__OLD, f);
    return code ? code : rnn__sync_folder(folder, f);
}

static int put_back(const struct rnn__found *found, struct rnn__fault *f)
{
    found->path[strlen(found->path) - strlen(RNN__OLD)] = '\0';
    return move(found->path, RNN__OLD, "", f);
}

static int remove_found(const struct rnn__found *found, struct rnn__fault *f)
{
    return rnn__io->unlink(found->path) == 0 || errno == ENOENT
               ? 0
               : rnn__fault_errno(f, found->path, "cannot be removed");
}

/* All that was set aside goes back, or goes. */
static int settle_aside(const struct rnn__found *list, int n, struct rnn__fault *f)
{
    bool goes_back = rnn__found_incoming(list, n);
    int code = 0;
    for (int i = 0; i < n && !code; i++)
        if (list[i].standing == RNN__ASIDE)
            code = goes_back ? put_back(&list[i], f) : remove_found(&list[i], f);
    return code;
}

static bool is_settled(const struct rnn__found *list, int n)
{
    int i = 0;
    while (i < n && list[i].standing == RNN__IN_PLACE)
        i++;
    return i == n;
}

/* What says whose the folder is, as a killed run left it, is on the disk before anything is
   done by it; and what was set aside is back, or gone, for good, before that goes. */
int rnn__folder_settle(const char *folder, struct rnn__fault *f)
{
    struct rnn__found *list;
    int n, code = rnn__folder_list_all(folder, &list, &n, f);
    bool done = code || is_settled(list, n);
    if (!done)
        code = rnn__sync_folder(folder, f);
    if (!done && !code)
        code = settle_aside(list, n, f);
    if (!done && !code)
        code = rnn__sync_folder(folder, f);
    for (int i = 0; i < n && !code; i++)
        if (list[i].standing == RNN__INCOMING)
            code = remove_found(&list[i], f);
    rnn__found_free(list, n);
    return code;
}

/* Steps 2 to 4; `*in_place`: the new one has its name. */
static int put_in_place(struct rnn__trainer *t, const struct rnn__found *list, int n,
                        const char *first, const char *spec, bool *in_place,
                        struct rnn__fault *f)
{
    int code = set_aside(t->out, list, n, f);
    if (!code)
        code = move(first, RNN__NEW, "", f);
    *in_place = !code;
    if (!code)
        code = rnn__sync_folder(t->out, f);
    return !code && spec ? rnn__commit_file(spec, f) : code;
}

/* The folder as it was, but for its spec.yaml if that was renamed and only the sync behind
   failed. Where the new one's name does not go back the folder is the new run's, and what
   was set aside is left to the user, and to the next run. */
static void undo(const struct rnn__trainer *t, const char *first, bool in_place)
{
    struct rnn__fault f = {0};
    if (!in_place || move(first, "", RNN__NEW, &f) == 0)
        rnn__folder_settle(t->out, &f);
    else
        fprintf(stderr,
                "%s: warning: %s; so %s is the new run's: rename the older one's "
                "checkpoints, which end in " RNN__OLD
                ", or the next run there removes them\n",
                t->options->program, f.sentence, t->out);
}

int rnn__take_over(struct rnn__trainer *t, const struct rnn__found *list, int n,
                   const char *spec, struct rnn__fault *f)
{
    char *first;
    bool in_place = false;
    int code = rnn__write_first(t, &first, f);
    if (!code)
        code = put_in_place(t, list, n, first, spec, &in_place, f);
    if (code)
        undo(t, first, in_place); /* the first sentence stands */
    else
        code = rnn__folder_settle(t->out, f);
    if (code)
        free(first);
    else
        rnn__first_written(t, first);
    return code;
}
