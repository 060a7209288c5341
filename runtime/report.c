/*
 * report.c — report.html and loss.svg: what a run was and how it went, as one page.
 *
 * The page holds all that it shows: no script, no network, no other file. Curves are
 * gathered while the run goes on; a resumed run finds those before it in its log. Written
 * when the run ends, however it ends: finished, interrupted, diverged.
 */
#include "chart.h"
#include "engine.h"
#include "log.h"
#include "profile.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { VALUES_MAX = 12 };

struct rnn__report {
    struct rnn__trainer *t;
    double begin;
    int64_t chunks_before, iterations_before;
    int n_metric, n_training; /* the evaluator's, "loss" first; of training's epochs */
    struct rnn__curve loss, *valid, *training;
    bool loss_told, *valid_told, *training_told; /* by a log of the time before */
};

static void report_free(void *user)
{
    struct rnn__report *r = user;
    free(r->valid);
    free(r->training);
    free(r->valid_told);
    free(r->training_told);
    free(r);
}

/* ---- curves ---- */

static int add_iteration(rnn_engine *e, int event, void *user)
{
    struct rnn__report *r = user;
    const rnn_engine_state *s = rnn_state_of(e);
    (void)event;
    if (!s->output.null)
        rnn__curve_add(&r->loss, (double)s->iteration, s->output.value);
    return 0;
}

static int add_validation(rnn_engine *e, int event, void *user)
{
    struct rnn__report *r = user;
    double value;
    (void)event;
    for (int i = 0; i < r->n_metric; i++)
        if (rnn_metric_get(r->t->evaluator, r->valid[i].name, &value) == 0)
            rnn__curve_add(&r->valid[i], (double)rnn_state_of(e)->iteration, value);
    return 0;
}

static int add_epoch(rnn_engine *e, int event, void *user)
{
    struct rnn__report *r = user;
    double value;
    (void)event;
    for (int i = 0; i < r->n_training; i++)
        if (rnn_metric_get(e, r->training[i].name, &value) == 0)
            rnn__curve_add(&r->training[i], (double)rnn_state_of(e)->iteration, value);
    return 0;
}

/* The line's numbers of n curves, those that are not told. */
static void add_numbers(struct rnn__curve *curve, const bool *told, int n,
                        const json_t *line)
{
    double at = json_number_value(json_object_get(line, "iteration"));
    for (int i = 0; i < n; i++) {
        const json_t *value = json_object_get(line, curve[i].name);
        if (json_is_number(value) && !told[i])
            rnn__curve_add(&curve[i], at, json_number_value(value));
    }
}

/* A line of a log; curves that an earlier log has told of are left alone. */
static void add_line(struct rnn__report *r, const json_t *line)
{
    const char *event = json_string_value(json_object_get(line, "event"));
    double at = json_number_value(json_object_get(line, "iteration"));
    const json_t *output = json_object_get(line, "output");
    if (event && strcmp(event, "iteration_completed") == 0 && json_is_number(output) &&
        !r->loss_told)
        rnn__curve_add(&r->loss, at, json_number_value(output));
    if (event && strcmp(event, "validation") == 0)
        add_numbers(r->valid, r->valid_told, r->n_metric, line);
    if (event && strcmp(event, "epoch_completed") == 0)
        add_numbers(r->training, r->training_told, r->n_training, line);
}

/* What a resumed run's logs tell of the time before: their lines that the checkpoint knows.
   Read before the run opens them, since to close a file gives up its lock. */
static void read_log(struct rnn__report *r, const char *path, int64_t bytes)
{
    struct stat st;
    bool told = bytes > 0 && rnn__io->stat(path, &st) == 0 && S_ISREG(st.st_mode);
    FILE *file = told ? fopen(path, "r") : NULL; /* to open a pipe waits for a writer */
    char *line = NULL;
    size_t room = 0;
    while (file && ftell(file) < bytes && getline(&line, &room, file) > 0) {
        json_error_t error;
        json_t *object = json_loads(line, 0, &error);
        add_line(r, object);
        json_decref(object);
    }
    free(line);
    if (file)
        fclose(file);
}

static bool has_points(const struct rnn__curve *curve)
{
    return curve->n > 0 || curve->n_sum > 0;
}

static int read_logs(struct rnn__report *r, struct rnn__fault *f)
{
    for (const struct rnn__log *log = r->t->log; log; log = log->next) {
        const struct rnn__run_file *file = rnn__file_of(r->t, log->out);
        char *path = rnn__file_before(r->t, file);
        if (!path)
            return rnn__fault_memory(f);
        if (log->format == &rnn__log_formats[RNN__LOG_JSONL])
            read_log(r, path, rnn__file_known(r->t, file));
        r->loss_told = has_points(&r->loss);
        for (int i = 0; i < r->n_metric; i++)
            r->valid_told[i] = has_points(&r->valid[i]);
        for (int i = 0; i < r->n_training; i++)
            r->training_told[i] = has_points(&r->training[i]);
        free(path);
    }
    return 0;
}

static int make_curves(struct rnn__curve **curve, bool **told, int n)
{
    *curve = calloc((size_t)n + 1, sizeof **curve);
    *told = calloc((size_t)n + 1, sizeof **told);
    return *curve && *told ? 0 : RNN_ENOMEM;
}

/* A curve for each figure of a validation, and of training's epochs. */
static int find_figures(struct rnn__report *r, const struct rnn__trainer *t)
{
    while (t->evaluator && rnn_metric_at(t->evaluator, r->n_metric, NULL))
        r->n_metric++;
    while (rnn__training_metric(t, r->n_training))
        r->n_training++;
    int code = make_curves(&r->valid, &r->valid_told, r->n_metric);
    if (!code)
        code = make_curves(&r->training, &r->training_told, r->n_training);
    for (int i = 0; i < r->n_metric && !code; i++)
        r->valid[i].name = rnn_metric_at(t->evaluator, i, NULL);
    for (int i = 0; i < r->n_training && !code; i++)
        r->training[i].name = rnn__training_metric(t, i);
    return code;
}

int rnn__report_begin(struct rnn__trainer *t, struct rnn__fault *f)
{
    struct rnn__report *r = calloc(1, sizeof *r);
    int code = rnn__attach(t, r, report_free, f);
    if (code)
        return code;
    if (find_figures(r, t) != 0)
        return rnn__fault_memory(f);
    t->report_of_run = r;
    r->t = t;
    r->begin = rnn__seconds();
    r->chunks_before = rnn_state_of(t->engine)->time_iteration;
    r->iterations_before = rnn_state_of(t->engine)->iteration;
    code = read_logs(r, f);
    if (!code)
        code = rnn__hang(t, RNN_ITERATION_COMPLETED, NULL, add_iteration, r, f);
    if (!code && r->n_training)
        code = rnn__hang(t, RNN_EPOCH_COMPLETED, NULL, add_epoch, r, f);
    return code || !t->evaluator ? code
                                 : rnn__hang(t, t->validated, NULL, add_validation, r, f);
}

/* ---- the page's parts ---- */

static const char page_style[] =
    "<style>\n"
    ":root{color-scheme:light dark;--bg:#fff;--ink:#1f2937;--soft:#6b7280;--line:#e5e7eb;"
    "--card:#f9fafb}\n"
    "@media (prefers-color-scheme:dark){:root{--bg:#111827;--ink:#e5e7eb;--soft:#9ca3af;"
    "--line:#374151;--card:#1a2332}}\n"
    "body{margin:0 auto;padding:24px;max-width:860px;background:var(--bg);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",\"DejaVu Sans\",sans-serif}\n"
    "h1{font-size:24px;margin:0 0 4px} h2{font-size:17px;margin:32px 0 10px}\n"
    ".state{color:var(--soft);margin:0 0 20px}\n"
    ".facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:"
    "10px}\n"
    ".facts div{background:var(--card);border:1px solid var(--line);border-radius:8px;"
    "padding:8px 12px}\n"
    ".facts b{display:block;font-size:17px;font-weight:600;overflow-wrap:anywhere}\n"
    ".facts span{color:var(--soft);font-size:12px;overflow-wrap:anywhere}\n"
    ".wide{overflow-x:auto} table{border-collapse:collapse;font-size:13px;width:100%}\n"
    "th,td{padding:5px 10px;text-align:right;border-bottom:1px solid var(--line);"
    "white-space:nowrap} th{color:var(--soft);font-weight:500}\n"
    "th:first-child,td:first-child{text-align:left}\n"
    "pre{background:var(--card);border:1px solid "
    "var(--line);border-radius:8px;padding:14px;"
    "overflow-x:auto;font-size:13px;line-height:1.45}\n"
    "svg{width:100%;height:auto;margin:14px 0 0}\n"
    "</style>\n";

static void put_fact(struct rnn__string *s, const char *what, const char *format, ...)
    RNN_PRINTF(3, 4);

static void put_fact(struct rnn__string *s, const char *what, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    rnn__put(s, "<div><span>");
    rnn__put_escaped(s, what);
    rnn__put(s, "</span><b>");
    rnn__put_escaped(s, text);
    rnn__put(s, "</b></div>\n");
}

static void time_text(double seconds, char out[32])
{
    long long whole = (long long)seconds;
    if (seconds < 60)
        snprintf(out, 32, "%.3g s", seconds);
    else if (seconds < 3600)
        snprintf(out, 32, "%lld min %lld s", whole / 60, whole % 60);
    else
        snprintf(out, 32, "%lld h %lld min", whole / 3600, whole / 60 % 60);
}

/* The last point of each curve that has one. */
static void put_last(struct rnn__string *s, const char *prefix,
                     const struct rnn__curve *curve, int n)
{
    char what[160];
    for (int i = 0; i < n; i++) {
        bool told = !*prefix && strcmp(curve[i].name, "loss") == 0; /* of iterations */
        snprintf(what, sizeof what, "last %s%s", prefix, curve[i].name);
        if (curve[i].n > 0 && !told)
            put_fact(s, what, "%.5g", curve[i].y[curve[i].n - 1]);
    }
}

static void put_facts(struct rnn__string *s, const struct rnn__report *r)
{
    const struct rnn__trainer *t = r->t;
    const rnn_engine_state *state = rnn_state_of(t->engine);
    double seconds = rnn__seconds() - r->begin;
    char text[32];
    time_text(seconds, text);
    rnn__put(s, "<div class=\"facts\">\n");
    put_fact(s, "epochs", "%" PRId64 " of %" PRId64, state->epoch, t->epochs);
    put_fact(s, "iterations (batches)", "%" PRId64, state->iteration);
    put_fact(s, "chunks", "%" PRId64, state->time_iteration);
    put_fact(s, t->options->resumes ? "time since resumed" : "time", "%s", text);
    if (seconds > 0)
        put_fact(s, "chunks a second", "%.4g",
                 (double)(state->time_iteration - r->chunks_before) / seconds);
    if (r->loss.n > 0)
        put_fact(s, "last training loss", "%.5g", r->loss.y[r->loss.n - 1]);
    put_last(s, "", r->training, r->n_training);
    put_last(s, "valid.", r->valid, r->n_metric);
    put_fact(s, "parameters", "%" PRId64, t->model->params_size);
    put_fact(s, "chunk, steps × rows", "%" PRId64 " × %" PRId64,
             t->tbptt_step ? t->tbptt_step : t->model->steps_max, t->model->rows_max);
    put_fact(s, "compiled for", "%s", t->model->target ? t->model->target : "?");
    put_fact(s, "seed", "%" PRIu64, t->seed);
    rnn__put(s, "</div>\n");
}

/* The curve of this name, if it has a point. */
static const struct rnn__curve *find_curve(const struct rnn__curve *curve, int n,
                                           const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(curve[i].name, name) == 0 && curve[i].n > 0)
            return &curve[i];
    return NULL;
}

static struct rnn__chart loss_chart(const struct rnn__report *r)
{
    const struct rnn__curve *valid = find_curve(r->valid, r->n_metric, "loss");
    return (struct rnn__chart){"Loss",
                               "iteration (batches)",
                               "loss",
                               {&r->loss, valid},
                               {"training, mean of chunks", "validation"}};
}

/* A metric's curves: of training's epochs, of validations. */
static void put_metric(struct rnn__string *s, const struct rnn__report *r, const char *name)
{
    struct rnn__chart chart = {name,
                               "iteration (batches)",
                               name,
                               {find_curve(r->training, r->n_training, name),
                                find_curve(r->valid, r->n_metric, name)},
                               {"training, of the epoch", "validation"}};
    if (chart.curve[0] || chart.curve[1])
        rnn__chart_put(s, &chart);
}

/* A run that was resumed draws what its JSON logs tell of the time before. */
static void put_charts(struct rnn__string *s, const struct rnn__report *r)
{
    if (r->iterations_before > 0 && !r->loss_told)
        rnn__put(s,
                 "<p>Curves begin behind iteration %" PRId64
                 ", where the run was resumed: no log (jsonl) holds the iterations "
                 "before.</p>\n",
                 r->iterations_before);
    struct rnn__chart chart = loss_chart(r);
    rnn__chart_put(s, &chart);
    for (int i = 0; i < r->n_training; i++)
        if (strcmp(r->training[i].name, "loss") != 0)
            put_metric(s, r, r->training[i].name);
    for (int i = 0; i < r->n_metric; i++)
        if (strcmp(r->valid[i].name, "loss") != 0 &&
            !find_curve(r->training, r->n_training, r->valid[i].name))
            put_metric(s, r, r->valid[i].name);
}

/* What the curve has at x; NaN: nothing. */
static double value_at(const struct rnn__curve *c, double x)
{
    int i = c->n - 1;
    while (i >= 0 && c->x[i] > x)
        i--;
    return i >= 0 && c->x[i] == x ? c->y[i] : NAN;
}

/* The newest validations, the last one first. */
static void put_validations(struct rnn__string *s, const struct rnn__report *r)
{
    int n = r->n_metric ? r->valid[0].n : 0;
    if (n == 0)
        return;
    rnn__put(s, "<h2>Validations</h2>\n<div class=\"wide\"><table><tr><th>iteration</th>");
    for (int i = 0; i < r->n_metric; i++) {
        rnn__put(s, "<th>");
        rnn__put_escaped(s, r->valid[i].name);
        rnn__put(s, "</th>");
    }
    rnn__put(s, "</tr>\n");
    for (int k = n - 1; k >= 0 && k >= n - VALUES_MAX; k--) {
        rnn__put(s, "<tr><td>%.0f</td>", r->valid[0].x[k]);
        for (int i = 0; i < r->n_metric; i++) {
            double value = value_at(&r->valid[i], r->valid[0].x[k]);
            rnn__put(s, isnan(value) ? "<td></td>" : "<td>%.6g</td>", value);
        }
        rnn__put(s, "</tr>\n");
    }
    rnn__put(s, "</table></div>\n");
}

/* `whole`, unless 0, is what shares are of. */
static void put_times(struct rnn__string *s, const char *title, const rnn_profile_row *row,
                      int n, double whole)
{
    if (n == 0)
        return;
    rnn__put(s,
             "<h2>%s</h2>\n<div class=\"wide\"><table><tr><th></th><th>times</th>"
             "<th>total s</th><th>mean ms</th><th>deviation ms</th><th>min ms</th>"
             "<th>max ms</th>%s</tr>\n",
             title, whole > 0 ? "<th>share</th>" : "");
    for (int i = 0; i < n; i++) {
        const rnn_profile_row *r = &row[i];
        rnn__put(s, "<tr><td>");
        rnn__put_escaped(s, r->name);
        rnn__put(s,
                 "</td><td>%" PRId64 "</td><td>%.4f</td><td>%.4f</td><td>%.4f</td>"
                 "<td>%.4f</td><td>%.4f</td>",
                 r->n, r->total, 1e3 * r->mean, 1e3 * r->std, 1e3 * r->min, 1e3 * r->max);
        if (whole > 0)
            rnn__put(s, "<td>%.1f %%</td>", 100 * r->total / whole);
        rnn__put(s, "</tr>\n");
    }
    rnn__put(s, "</table></div>\n");
}

static void put_profile(struct rnn__string *s, const struct rnn__report *r)
{
    rnn_profile_row *row;
    int n_kernel, n = rnn__profile_rows(r->t->engine, &row, &n_kernel);
    double kernels = 0;
    for (int i = n - n_kernel; i < n; i++)
        kernels += row[i].total;
    put_times(s, "Where the time went", row, n - n_kernel, 0);
    if (n_kernel)
        put_times(s, "Kernels, all threads", row + n - n_kernel, n_kernel, kernels);
    free(row);
}

static void put_settings(struct rnn__string *s, const struct rnn__report *r)
{
    const struct rnn__options *o = r->t->options;
    rnn__put(s, "<h2>Settings</h2>\n");
    if (o->n_set) {
        rnn__put(s, "<p>With");
        for (int i = 0; i < o->n_set; i++) {
            rnn__put(s, " <code>--set ");
            rnn__put_escaped(s, o->set[i]);
            rnn__put(s, "</code>");
        }
        rnn__put(s, "</p>\n");
    }
    if (!r->t->config->spec_text)
        return;
    rnn__put(s, "<pre>");
    rnn__put_escaped(s, r->t->config->spec_text);
    rnn__put(s, "</pre>\n");
}

static void put_page(struct rnn__string *s, const struct rnn__report *r, const char *end)
{
    char date[64];
    time_t now = time(NULL);
    struct tm parts;
    strftime(date, sizeof date, "%Y-%m-%d %H:%M", localtime_r(&now, &parts));
    rnn__put(s, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                "<title>");
    rnn__put_escaped(s, r->t->name);
    rnn__put(s, "</title>\n%s</head><body>\n<h1>", page_style);
    rnn__put_escaped(s, r->t->name);
    rnn__put(s, "</h1>\n<p class=\"state\">%s · ", date);
    rnn__put_escaped(s, end);
    rnn__put(s, "</p>\n");
    put_facts(s, r);
    put_charts(s, r);
    put_validations(s, r);
    put_profile(s, r);
    put_settings(s, r);
    rnn__put(s, "</body></html>\n");
}

int rnn__report_end(struct rnn__trainer *t, const char *end, struct rnn__fault *f)
{
    const struct rnn__report *r = t->report_of_run;
    struct rnn__string page = {0}, picture = {0};
    if (!r)
        return 0;
    put_page(&page, r, end);
    int code = rnn__write_text(t->out, "report.html", &page, f);
    if (code)
        return code;
    struct rnn__chart chart = loss_chart(r);
    chart.title = t->name;
    rnn__chart_put(&picture, &chart);
    return rnn__write_text(t->out, "loss.svg", &picture, f);
}
