/*
 * begin.c — how a run begins: what it goes on from, whose the folder is, what it says
 * there.
 *
 * Everything that can be wrong is found first: settings, data, the parameters of --init,
 * the checkpoint of --resume. Until then a folder that is there is locked, what a killed
 * run left half done in it is settled (take_over.c), and nothing else; one that is not
 * there is not made; so a run that cannot begin leaves an older one as it was.
 *
 *     --out B               B holds no checkpoints, or --overwrite has them removed
 *     --resume A            goes on in A
 *     --resume A --out B    goes on in B, with copies of A's logs; B as for a new run. A is
 *                           locked while it is read, and left as it is
 */
#include "trainer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- limits of the command line ---- */

/* A signal that came before the run began is honoured at its first event. */
static int on_started(rnn_engine *e, int event, void *user)
{
    (void)event, (void)user;
    if (rnn__signals_status())
        rnn_interrupt(e);
    return 0;
}

static int stop_at_iteration(rnn_engine *e, int event, void *user)
{
    (void)event, (void)user;
    rnn_terminate(e, false);
    return 0;
}

static int hang_limits(struct rnn__trainer *t, struct rnn__fault *f)
{
    int64_t most = t->max_iterations;
    rnn_filter at_most = {.function = NULL, .after = most - 1, .has_after = true};
    int code = rnn__hang(t, RNN_STARTED, NULL, on_started, NULL, f);
    if (!code && most != RNN_NONE)
        code = rnn__hang(t, RNN_ITERATION_COMPLETED, &at_most, stop_at_iteration, NULL, f);
    return code;
}

/* ---- whose the folder is ---- */

static int find_folders(struct rnn__trainer *t, struct rnn__fault *f)
{
    const struct rnn__options *o = t->options;
    if (!o->resumes)
        return 0;
    t->source = rnn__path_join(NULL, o->resume ? o->resume : t->out);
    if (!t->source)
        return rnn__fault_memory(f);
    t->moves = strcmp(t->source, t->out) != 0 && !rnn__folder_same(t->source, t->out);
    return 0;
}

static int lock_own(struct rnn__trainer *t, struct rnn__fault *f)
{
    int code = rnn__folder_lock(t->out, true, &t->lock, f);
    return code ? code : rnn__folder_settle(t->out, f);
}

/* Folders are locked before their checkpoints are looked at: another trainer may be at work
   there. */
static int lock_folders(struct rnn__trainer *t, struct rnn__fault *f)
{
    struct stat st;
    int code = 0;
    if (rnn__io->stat(t->out, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            code = lock_own(t, f);
    } else if (errno != ENOENT && errno != ENOTDIR)
        code = rnn__fault_errno(f, t->out, "cannot be examined");
    if (!code && t->moves && rnn__io->stat(t->source, &st) == 0)
        code = rnn__folder_lock(t->source, false, &t->source_lock, f);
    return code;
}

static int check_folder(struct rnn__trainer *t, struct rnn__fault *f)
{
    bool goes_on_here = t->source && !t->moves;
    struct rnn__found *list;
    int n;
    if (t->lock < 0 || goes_on_here || t->options->overwrite)
        return 0;
    int code = rnn__folder_list(t->out, &list, &n, f);
    if (code)
        return code;
    rnn__found_free(list, n);
    return n == 0 ? 0
                  : rnn__fault(f, RNN_EINVAL,
                               "%s: holds checkpoints of another run; give this one --out "
                               "DIR, go on with --resume %s, or have them removed by "
                               "--overwrite",
                               t->out, t->out);
}

/* ---- the first state ---- */

/* Opens the checkpoint of --resume, or --init, if there is one (fd -1: there is none), and
   reads what data need of it. */
static int find_first(struct rnn__trainer *t, struct rnn__safetensors *first,
                      struct rnn__fault *f)
{
    *first = (struct rnn__safetensors){.fd = -1};
    int code = 0;
    if (t->source)
        code = rnn__checkpoint_newest(t, t->source, first, f);
    else if (t->options->init)
        code = rnn__safetensors_open(first, t->options->init, f);
    return code || first->fd < 0 ? code : rnn__checkpoint_peek(t, first, f);
}

/* A run that goes on in its own folder has its present state there. */
static int resume_from(struct rnn__trainer *t, const struct rnn__safetensors *first,
                       struct rnn__fault *f)
{
    struct rnn__place place;
    int code = rnn__checkpoint_resume(t, first, f);
    if (!code)
        code = rnn__checkpoint_place(t, &place, f);
    if (!code && rnn__marks_set(t, place, t->moves ? 0 : rnn__checkpoint_marks(first)) != 0)
        code = rnn__fault_memory(f);
    if (code || t->moves)
        return code;
    t->saved_chunks = rnn_state_of(t->engine)->time_iteration;
    t->saved_pending = place.pending;
    t->last_checkpoint = rnn__path_join(NULL, first->path);
    return t->last_checkpoint ? 0 : rnn__fault_memory(f);
}

/* All of a checkpoint, or the parameters of --init. */
static int load_first(struct rnn__trainer *t, const struct rnn__safetensors *first,
                      struct rnn__fault *f)
{
    if (t->source)
        return resume_from(t, first, f);
    return first->fd >= 0 ? rnn__checkpoint_init(t, first, f) : 0;
}

static int open_all(struct rnn__trainer *t, struct rnn__fault *f)
{
    struct rnn__safetensors first;
    int code = find_first(t, &first, f);
    if (!code)
        code = rnn__trainer_open(t, f);
    if (!code)
        code = rnn__handlers_add(t, f);
    if (!code)
        code = hang_limits(t, f);
    if (!code)
        code = load_first(t, &first, f);
    if (!code)
        code = rnn__reports_add(t, f);
    rnn__safetensors_close(&first);
    return code;
}

/* ---- the folder taken ---- */

/* What the command line has said beside the spec, as comments of YAML. */
static void put_given(struct rnn__string *s, const struct rnn__options *o)
{
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {
        {"seed", o->seed}, {"threads", o->threads}, {"max-iterations", o->max_iterations}};
    for (int i = 0; i < o->n_set; i++) {
        rnn__put(s, "# --set ");
        for (const char *c = o->set[i]; *c; c++)
            rnn__put(s, "%c", *c == '\n' || *c == '\r' ? ' ' : *c);
        rnn__put(s, "\n");
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].value != RNN_NONE)
            rnn__put(s, "# --%s %" PRId64 "\n", numbers[i].name, numbers[i].value);
}

/* The spec as run, beside its place, where it waits for the first checkpoint. What rnnc run
   overrides is in its text; what a built trainer does stands below. */
static int stage_spec(const struct rnn__trainer *t, const char *path, struct rnn__fault *f)
{
    struct rnn__string s = {0};
    rnn__put(&s, "%s", t->config->spec_text);
    put_given(&s, t->options);
    return rnn__stage_text(path, &s, f);
}

/* The spec in its place; and, where there are n checkpoints of another run, which --resume
   would take for this one's, the first of this one in theirs. */
static int put_first(struct rnn__trainer *t, const struct rnn__found *list, int n,
                     struct rnn__fault *f)
{
    bool has_spec = t->config->spec_text != NULL;
    char *spec = rnn__path_join(t->out, "spec.yaml");
    int code = spec ? 0 : rnn__fault_memory(f);
    if (!code && has_spec)
        code = stage_spec(t, spec, f);
    if (!code && n > 0)
        code = rnn__take_over(t, list, n, has_spec ? spec : NULL, f);
    else if (!code && has_spec)
        code = rnn__commit_file(spec, f);
    if (code && spec)
        rnn__drop_file(spec);
    free(spec);
    return code;
}

static int take_place(struct rnn__trainer *t, struct rnn__fault *f)
{
    struct rnn__found *list = NULL;
    int n = 0, code = 0;
    if (!t->source || t->moves)
        code = rnn__folder_list(t->out, &list, &n, f);
    if (!code)
        code = put_first(t, list, n, f);
    rnn__found_free(list, n);
    return code;
}

/* A folder that was not there before may be another run's by now. */
static int make_own(struct rnn__trainer *t, struct rnn__fault *f)
{
    int code = rnn__make_folder(t->out, f);
    if (code || t->lock >= 0)
        return code;
    code = lock_own(t, f);
    return code ? code : check_folder(t, f);
}

/* From here on the folder is this run's. Logs are cut when its spec and first checkpoint
   are there: before, a failure leaves an older run whole; behind, that checkpoint knows how
   much of them is this run's. */
static int take_folder(struct rnn__trainer *t, struct rnn__fault *f)
{
    int code = make_own(t, f);
    if (!code)
        code = rnn__open_files(t, f);
    if (!code)
        code = take_place(t, f);
    if (code)
        return code;
    rnn__folder_sweep(t->out);
    code = rnn__begin_files(t, f);
    rnn__folder_unlock(&t->source_lock);
    return code;
}

int rnn__begin(struct rnn__trainer *t, struct rnn__fault *f)
{
    int code = find_folders(t, f);
    if (!code)
        code = lock_folders(t, f);
    if (!code)
        code = check_folder(t, f);
    if (!code)
        code = open_all(t, f);
    if (!code && rnn__json_take_failure())
        code = rnn__fault_memory(f);
    if (!code)
        code = take_folder(t, f);
    return !code && rnn__json_take_failure() ? rnn__fault_memory(f) : code;
}
