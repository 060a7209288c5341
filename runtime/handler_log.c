/*
 * handler_log.c — the run as JSON lines.
 *
 *     {"event": "time_iteration_completed", "epoch": 1, "iteration": 1, "time_iteration":
 * 3, "chunk": 2, "loss": 1.23}
 *     {"event": "iteration_completed", "epoch": 1, "iteration": 1, "output": 1.31}
 *     {"event": "validation", "epoch": 1, "iteration": 50, "loss": 1.4, "accuracy": 0.5}
 *     {"event": "epoch_completed", "epoch": 1, "iteration": 50, "output": 1.31}
 *
 * one object a line. Losses are printed so that they read back exactly; null is a chunk
 * without weight, and a loss that is not finite. The lines hold no times: two runs of
 * the same seed have the same log. The run's own log.jsonl holds iterations and epochs,
 * and of many iterations ever fewer; `every: chunk` and --log FILE have all.
 */
#include "trainer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct rnn__log {
    struct rnn__trainer *t;
    char *path;
    FILE *file;
    bool thin, told; /* told: of a line that could not be written */
    time_t flushed;
    struct rnn__log *next;
};

/* ---- lines ---- */

/* Lines reach the file once a second at least: what a killed run leaves is nearly all. */
static void end_line(struct rnn__log *log)
{
    time_t now = time(NULL);
    fputs("}\n", log->file);
    if (now != log->flushed)
        fflush(log->file);
    log->flushed = now;
    if (ferror(log->file) && !log->told) {
        fprintf(stderr, "%s: note: %s: lines of the log could not be written\n",
                log->t->options->program, log->path);
        log->told = true;
    }
}

static void put_number(struct rnn__log *log, const char *name, double value)
{
    char text[RNN__NUMBER_BYTES];
    fprintf(log->file, ", \"%s\": %s", name, rnn__number_text(value, text));
}

static void begin_line(struct rnn__log *log, const char *event)
{
    const rnn_engine_state *s = rnn_state_of(log->t->engine);
    fprintf(log->file, "{\"event\": \"%s\", \"epoch\": %lld, \"iteration\": %lld", event,
            (long long)s->epoch, (long long)s->iteration);
}

static void put_output(struct rnn__log *log, const char *name)
{
    const rnn_engine_state *s = rnn_state_of(log->t->engine);
    if (s->output.null)
        fprintf(log->file, ", \"%s\": null", name);
    else
        put_number(log, name, s->output.value);
}

static int log_chunk(rnn_engine *e, int event, void *user)
{
    struct rnn__log *log = user;
    const rnn_engine_state *s = rnn_state_of(e);
    (void)event;
    begin_line(log, "time_iteration_completed");
    fprintf(log->file, ", \"time_iteration\": %lld, \"chunk\": %lld",
            (long long)s->time_iteration, (long long)s->chunk);
    put_output(log, "loss");
    end_line(log);
    return 0;
}

/* All of the first thousand, then each tenth up to ten thousand, each hundredth … */
static bool is_thinned_out(int64_t iteration)
{
    int64_t every = 1;
    while (iteration / every > 1000)
        every *= 10;
    return iteration % every != 0;
}

static int log_iteration(rnn_engine *e, int event, void *user)
{
    struct rnn__log *log = user;
    (void)event;
    if (log->thin && is_thinned_out(rnn_state_of(e)->iteration))
        return 0;
    begin_line(log, "iteration_completed");
    put_output(log, "output");
    end_line(log);
    return 0;
}

static int log_epoch(rnn_engine *e, int event, void *user)
{
    struct rnn__log *log = user;
    (void)e, (void)event;
    begin_line(log, "epoch_completed");
    put_output(log, "output");
    end_line(log);
    return 0;
}

void rnn__log_validation(struct rnn__trainer *t)
{
    for (struct rnn__log *log = t->log; log; log = log->next) {
        double value;
        const char *name;
        begin_line(log, "validation");
        for (int i = 0; (name = rnn_metric_at(t->evaluator, i, &value)); i++)
            put_number(log, name, value);
        end_line(log);
    }
}

/* ---- the file ---- */

/* Whether a line tells of something that a resumed run has behind it. */
static bool is_behind(const struct rnn__trainer *t, const char *line)
{
    json_error_t error;
    json_t *object = json_loads(line, 0, &error);
    const json_t *chunks = json_object_get(object, "time_iteration");
    const json_t *iteration = json_object_get(object, "iteration");
    bool behind = chunks
                      ? json_integer_value(chunks) <= t->resumed_chunks
                      : iteration && json_integer_value(iteration) <= t->resumed_iteration;
    json_decref(object);
    return behind;
}

/* How much of an older log stays: nothing, or for a resumed run all that its checkpoint
   knows of. A run that was killed may have logged what it will now do again. */
static off_t kept_bytes(const struct rnn__log *log)
{
    FILE *file = log->t->options->resumes ? fopen(log->path, "r") : NULL;
    char *line = NULL;
    size_t capacity = 0;
    off_t kept = 0;
    if (!file)
        return 0;
    for (ssize_t n; (n = getline(&line, &capacity, file)) > 0; kept += n)
        if (line[n - 1] != '\n' || !is_behind(log->t, line))
            break;
    free(line);
    fclose(file);
    return kept;
}

/* Opened without truncation, locked, then cut: a second trainer in the same folder is
   turned away before it harms the first one's log. */
static int open_log(struct rnn__log *log, off_t kept, struct rnn__fault *f)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return rnn__fault_errno(f, log->path, "cannot be written");
    if (fcntl(fd, F_SETLK, &lock) != 0 && (errno == EACCES || errno == EAGAIN))
        rnn__fault(f, RNN_EIO,
                   "%s: another trainer is writing here; give this one --out DIR",
                   log->path);
    else if (ftruncate(fd, kept) != 0 && errno != EINVAL) /* a pipe has no length */
        rnn__fault_errno(f, log->path, "cannot be cut");
    else if (!(log->file = fdopen(fd, "a")))
        rnn__fault_errno(f, log->path, "cannot be written");
    if (!log->file)
        close(fd);
    return log->file ? 0 : f->code;
}

static void close_log(void *user)
{
    struct rnn__log *log = user;
    if (log->file && fclose(log->file) != 0 && !log->told)
        fprintf(stderr, "note: %s: the log could not be written whole\n", log->path);
    free(log->path);
    free(log);
}

/* Takes `path` over. */
static int make_log(struct rnn__trainer *t, char *path, struct rnn__log **out,
                    struct rnn__fault *f)
{
    struct rnn__log *log = calloc(1, sizeof *log);
    if (!path || !log) {
        free(path);
        free(log);
        return rnn__fault_memory(f);
    }
    *log = (struct rnn__log){.t = t, .path = path};
    int code = rnn__attach(t, log, close_log, f);
    if (!code)
        code = open_log(log, kept_bytes(log), f);
    if (!code) {
        log->next = t->log;
        t->log = *out = log;
    }
    return code;
}

/* The lines of an event, and of what ends later than it. */
static const struct {
    int event;
    rnn_handler *line;
} line_list[] = {
    {RNN_TIME_ITERATION_COMPLETED, log_chunk},
    {RNN_ITERATION_COMPLETED, log_iteration},
    {RNN_EPOCH_COMPLETED, log_epoch},
};
enum { N_LINE = sizeof line_list / sizeof *line_list };

static int line_of(int event)
{
    int i = 0;
    while (i < N_LINE && line_list[i].event != event)
        i++;
    return i;
}

static int hang_log(struct rnn__trainer *t, struct rnn__log *log, int event,
                    struct rnn__fault *f)
{
    int code = 0;
    for (int i = line_of(event); i < N_LINE && !code; i++)
        code = rnn__hang(t, line_list[i].event, NULL, line_list[i].line, log, f);
    return code;
}

/* The file of --log, once. */
static int add_option_log(struct rnn__trainer *t, struct rnn__fault *f)
{
    struct rnn__log *log = NULL;
    if (!t->options->log || t->log)
        return 0;
    int code = make_log(t, rnn__path_join(NULL, t->options->log), &log, f);
    return code ? code : hang_log(t, log, RNN_TIME_ITERATION_COMPLETED, f);
}

/* Without `on` and `every` iterations, thinned, and epochs; with a word for `every` the
   lines of that and of what is longer; with a filter those that it lets through, alone. */
int rnn__add_log(struct rnn__trainer *t, const json_t *options, const char *where,
                 struct rnn__fault *f)
{
    static const char *const format_words[] = {"jsonl"};
    const char *name = "log.jsonl";
    struct rnn__log *log = NULL;
    struct rnn__when when = {.event = RNN_NONE};
    int format = 0;
    int code = add_option_log(t, f);
    if (!code)
        code = rnn__get_text(options, where, "file", &name, f);
    if (!code)
        code = rnn__get_word(options, where, "format", format_words, 1, &format, f);
    if (!code)
        code = rnn__read_when(t, options, where, &when, f);
    bool thin = when.event == RNN_NONE;
    if (thin)
        when.event = RNN_ITERATION_COMPLETED;
    if (!code && line_of(when.event) == N_LINE)
        code =
            rnn__fault(f, RNN__ESPEC, "%s.on: the log has no line for this event", where);
    if (!code)
        code = make_log(t, rnn__path_join(t->out, name), &log, f);
    if (code)
        return code;
    log->thin = thin && !when.filtered;
    if (!when.filtered)
        return hang_log(t, log, when.event, f);
    return rnn__hang_when(t, &when, line_list[line_of(when.event)].line, log, f);
}
