/*
 * handler_log.c — the run as lines: what is logged, when.
 *
 *     {"event": "time_iteration_completed", "epoch": 1, "iteration": 1,
 *      "time_iteration": 3, "chunk": 2, "loss": 1.23}
 *     {"event": "iteration_completed", "epoch": 1, "iteration": 1, "output": 1.31}
 *     {"event": "validation", "epoch": 1, "iteration": 50, "loss": 1.4, "accuracy": 0.5}
 *     {"event": "epoch_completed", "epoch": 1, "iteration": 50, "output": 1.31,
 *      "accuracy": 0.4}
 *
 * as JSON (each on one line), as a table (csv) or for TensorBoard; log_formats.c has how
 * each is written. Numbers are printed so that they read back exactly. JSON and csv hold no
 * times: two runs of the same seed have the same log. The run's own log.jsonl holds
 * iterations and epochs, and of many iterations ever fewer; `every: chunk` and --log FILE
 * have all.
 */
#include "log.h"

#include <stdlib.h>
#include <string.h>

/* ---- lines ---- */

static struct rnn__line line_of_run(const struct rnn__log *log, const char *event)
{
    const rnn_engine_state *s = rnn_state_of(log->t->engine);
    return (struct rnn__line){.event = event,
                              .epoch = s->epoch,
                              .iteration = s->iteration,
                              .time_iteration = s->time_iteration,
                              .chunk = RNN_NONE};
}

static void add_output(struct rnn__line *line, const rnn_engine_state *s, const char *name)
{
    double value = s->output.null ? NAN : s->output.value;
    line->field[line->n_field++] = (struct rnn__field){name, value};
}

/* Lines reach the file once a second at least: what a killed run leaves is nearly all. */
static void put(struct rnn__log *log, const struct rnn__line *line)
{
    time_t now = time(NULL);
    if (log->out->bytes == 0 && log->format->begin)
        log->format->begin(log);
    log->format->put(log, line);
    if (now != log->flushed)
        rnn__flush_files(log->t, false);
    log->flushed = now;
}

static int log_chunk(rnn_engine *e, int event, void *user)
{
    struct rnn__log *log = user;
    const rnn_engine_state *s = rnn_state_of(e);
    (void)event;
    struct rnn__line line = line_of_run(log, "time_iteration_completed");
    line.chunk = s->chunk;
    add_output(&line, s, "loss");
    put(log, &line);
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
    const rnn_engine_state *s = rnn_state_of(e);
    (void)event;
    if (log->thin && is_thinned_out(s->iteration))
        return 0;
    struct rnn__line line = line_of_run(log, "iteration_completed");
    add_output(&line, s, "output");
    put(log, &line);
    return 0;
}

/* With the metrics of the epoch behind it. */
static int log_epoch(rnn_engine *e, int event, void *user)
{
    struct rnn__log *log = user;
    const char *name;
    double value;
    (void)event;
    struct rnn__line line = line_of_run(log, "epoch_completed");
    add_output(&line, rnn_state_of(e), "output");
    for (int i = 0;
         line.n_field < RNN__FIELDS_MAX && (name = rnn__training_metric(log->t, i)); i++)
        if (rnn_metric_get(e, name, &value) == 0)
            line.field[line.n_field++] = (struct rnn__field){name, value};
    put(log, &line);
    return 0;
}

void rnn__log_validation(struct rnn__trainer *t)
{
    for (struct rnn__log *log = t->log; log; log = log->next) {
        double value;
        const char *name;
        struct rnn__line line = line_of_run(log, "validation");
        for (int i = 0; line.n_field < RNN__FIELDS_MAX &&
                        (name = rnn_metric_at(t->evaluator, i, &value));
             i++)
            line.field[line.n_field++] = (struct rnn__field){name, value};
        put(log, &line);
    }
}

/* ---- the file ---- */

static int make_log(struct rnn__trainer *t, const char *path, int flags,
                    const struct rnn__log_format *format, struct rnn__log **out,
                    struct rnn__fault *f)
{
    struct rnn__log *log = calloc(1, sizeof *log);
    int code = rnn__attach(t, log, free, f);
    if (code)
        return code;
    if (format == &rnn__log_formats[RNN__LOG_TENSORBOARD])
        flags |= RNN__FILE_RECORDS;
    code = rnn__run_file(t, path, flags, &log->out, f);
    if (code)
        return code;
    log->t = t;
    log->format = format;
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
    int code = make_log(t, t->options->log, RNN__FILE_OPTION,
                        &rnn__log_formats[RNN__LOG_JSONL], &log, f);
    return code ? code : hang_log(t, log, RNN_TIME_ITERATION_COMPLETED, f);
}

static int read_format(const json_t *options, const char *where,
                       const struct rnn__log_format **format, const char **name,
                       struct rnn__fault *f)
{
    const char *words[RNN__LOG_FORMATS];
    int number = RNN__LOG_JSONL;
    for (int i = 0; i < RNN__LOG_FORMATS; i++)
        words[i] = rnn__log_formats[i].name;
    int code = rnn__get_word(options, where, "format", words, RNN__LOG_FORMATS, &number, f);
    *format = &rnn__log_formats[number];
    *name = (*format)->file;
    return code ? code : rnn__get_file_name(options, where, name, f);
}

/* Without `on` and `every` iterations, thinned, and epochs; with a word for `every` the
   lines of that and of what is longer; with a filter those that it lets through, alone. */
int rnn__add_log(struct rnn__trainer *t, const json_t *options, const char *where,
                 struct rnn__fault *f)
{
    const struct rnn__log_format *format;
    const char *name;
    struct rnn__log *log = NULL;
    struct rnn__when when = {.event = RNN_NONE};
    int code = add_option_log(t, f);
    if (!code)
        code = read_format(options, where, &format, &name, f);
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
        code = make_log(t, path, 0, format, &log, f);
    free(path);
    if (code)
        return code;
    log->thin = thin && !when.filtered;
    if (!when.filtered)
        return hang_log(t, log, when.event, f);
    return rnn__hang_when(t, &when, line_list[line_of(when.event)].line, log, f);
}
