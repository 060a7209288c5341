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

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct rnn__log {
    struct rnn__trainer *t;
    struct rnn__out *out; /* the trainer's */
    bool thin;
    time_t flushed;
    struct rnn__log *next;
};

/* ---- lines ---- */

/* Lines reach the file once a second at least: what a killed run leaves is nearly all. */
static void end_line(struct rnn__log *log)
{
    time_t now = time(NULL);
    rnn__out_put(log->out, "}\n");
    if (now != log->flushed)
        rnn__flush_files(log->t, false);
    log->flushed = now;
}

static void put_number(struct rnn__log *log, const char *name, double value)
{
    char text[RNN__NUMBER_BYTES];
    rnn__out_put(log->out, ", \"%s\": %s", name, rnn__number_text(value, text));
}

static void begin_line(struct rnn__log *log, const char *event)
{
    const rnn_engine_state *s = rnn_state_of(log->t->engine);
    rnn__out_put(log->out, "{\"event\": \"%s\", \"epoch\": %lld, \"iteration\": %lld",
                 event, (long long)s->epoch, (long long)s->iteration);
}

static void put_output(struct rnn__log *log, const char *name)
{
    const rnn_engine_state *s = rnn_state_of(log->t->engine);
    if (s->output.null)
        rnn__out_put(log->out, ", \"%s\": null", name);
    else
        put_number(log, name, s->output.value);
}

static int log_chunk(rnn_engine *e, int event, void *user)
{
    struct rnn__log *log = user;
    const rnn_engine_state *s = rnn_state_of(e);
    (void)event;
    begin_line(log, "time_iteration_completed");
    rnn__out_put(log->out, ", \"time_iteration\": %lld, \"chunk\": %lld",
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

static int make_log(struct rnn__trainer *t, const char *path, struct rnn__log **out,
                    struct rnn__fault *f)
{
    struct rnn__log *log = calloc(1, sizeof *log);
    int code = rnn__attach(t, log, free, f);
    if (code)
        return code;
    code = path ? rnn__run_file(t, path, &log->out, f) : rnn__fault_memory(f);
    if (code)
        return code;
    log->t = t;
    log->next = t->log;
    t->log = *out = log;
    return 0;
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
    int code = make_log(t, t->options->log, &log, f);
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
    char *path = code ? NULL : rnn__path_join(t->out, name);
    if (!code)
        code = make_log(t, path, &log, f);
    free(path);
    if (code)
        return code;
    log->thin = thin && !when.filtered;
    if (!when.filtered)
        return hang_log(t, log, when.event, f);
    return rnn__hang_when(t, &when, line_list[line_of(when.event)].line, log, f);
}
