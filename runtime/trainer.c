/*
 * trainer.c — data, engine and evaluator put together; train and eval.
 */
#include "trainer.h"
#include "engine.h"
#include "profile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void close_attached(struct rnn__trainer *t)
{
    while (t->attached) {
        struct rnn__attached *a = t->attached;
        t->attached = a->next;
        a->close(a->user);
        free(a);
    }
}

void rnn__trainer_close(struct rnn__trainer *t)
{
    close_attached(t);
    rnn__kept_free(t);
    rnn__files_free(t);
    rnn__used_free(&t->used);
    json_decref(t->resumed_files);
    rnn__folder_unlock(&t->lock);
    rnn__folder_unlock(&t->source_lock);
    rnn_close(t->evaluator);
    rnn_close(t->engine);
    if (t->has_train)
        rnn_source_close(&t->train);
    if (t->has_valid)
        rnn_source_close(&t->valid);
    rnn__vocabulary_free(&t->vocabulary);
    free(t->number);
    free(t->marked);
    free(t->out);
    free(t->source);
    free(t->last_checkpoint);
    json_decref(t->json);
}

/* ---- data ---- */

/* data.train and data.valid, or `data` itself as the one source. */
static const json_t *source_json(const struct rnn__trainer *t, const char *which)
{
    const json_t *data = json_object_get(t->json, "data");
    const json_t *source = json_object_get(data, which);
    bool sections = json_object_get(data, "train") || json_object_get(data, "valid");
    return sections ? source : strcmp(which, "train") == 0 ? data : NULL;
}

static struct rnn__source_setup setup_of(struct rnn__trainer *t, const char *which)
{
    bool train = strcmp(which, "train") == 0;
    return (struct rnn__source_setup){
        .json = source_json(t, which),
        .where = train ? "data.train" : "data.valid",
        .folder = t->config->folder,
        .seed = t->seed,
        .lengths = json_string_value(
            json_object_get(json_object_get(t->json, "tbptt"), "lengths")),
        .vocabulary = &t->vocabulary,
        .used = &t->used,
    };
}

/* A model that learned a text without a vocabulary in its settings takes the training
   text's. */
static int find_vocabulary(struct rnn__trainer *t, struct rnn__fault *f)
{
    struct rnn__source_setup setup = setup_of(t, "train");
    char *path = NULL;
    enum rnn__level level;
    if (t->vocabulary.n || !rnn__source_is_text(setup.json))
        return 0;
    int code = rnn__source_text_file(&setup, &path, &level, f);
    if (!code)
        code = rnn__vocabulary_scan(&t->vocabulary, path, level, f);
    free(path);
    return code;
}

static int open_source(struct rnn__trainer *t, const char *which, rnn_source_run *run,
                       bool *has, struct rnn__fault *f)
{
    struct rnn__source_setup setup = setup_of(t, which);
    rnn_source source;
    if (!setup.json)
        return 0;
    int code = rnn__source_make(&source, &setup, f);
    if (code)
        return code;
    code = rnn_source_open(run, &source, t->model);
    if (code)
        return rnn__fault(f, code, "%s", run->sentence);
    *has = true;
    return 0;
}

/* ---- the engine ---- */

int rnn__trainer_failed(struct rnn__trainer *t, rnn_engine *e, int code,
                        struct rnn__fault *f)
{
    const char *sentence = rnn_engine_error(e);
    const rnn_source_run *run = e && e == t->evaluator ? &t->valid : &t->train;
    if (run->sentence[0])
        sentence = run->sentence; /* the source knows file and row */
    return rnn__fault(f, code, "%s", *sentence ? sentence : rnn_error_text(code));
}

/* Streams are carried where they are cut, whichever source has them: to training in
   streams belongs a validation of sequences as well. */
static bool carries(const struct rnn__trainer *t, const rnn_source_info *data)
{
    bool by_data = t->carry == RNN__CARRY_AS_DATA || t->carry == RNN__CARRY_STREAM;
    return by_data ? data->continues : t->carry == RNN__CARRY_BATCH;
}

static rnn_tbptt_options options_of(const struct rnn__trainer *t,
                                    const rnn_source_info *data)
{
    return (rnn_tbptt_options){
        .tbptt_step = t->tbptt_step,
        .tbptt_window = rnn__window_of(t),
        .carry = carries(t, data),
        .report = t->report ? RNN_REPORT_WEIGHTED : RNN_REPORT_UNWEIGHTED,
        .device = t->options->device,
        .threads = t->threads > 1024 ? 1024 : (int)t->threads,
        .seed = t->seed,
    };
}

static int open_engine(struct rnn__trainer *t, struct rnn__fault *f)
{
    rnn_tbptt_options options = options_of(t, &t->train.info);
    int code = rnn_tbptt_trainer(&t->engine, t->model, &options);
    if (code)
        return rnn__trainer_failed(t, NULL, code, f);
    for (int i = 0; i < t->n_number; i++) {
        code = rnn_set_scalar(t->engine, t->number[i].name, t->number[i].value);
        if (code)
            return rnn__trainer_failed(t, t->engine, code, f);
    }
    return 0;
}

static int open_evaluator(struct rnn__trainer *t, struct rnn__fault *f)
{
    rnn_tbptt_options options = options_of(t, &t->valid.info);
    int code = rnn_tbptt_evaluator(&t->evaluator, t->engine, &options);
    return code ? rnn__trainer_failed(t, t->engine, code, f) : 0;
}

/* ---- validation ---- */

/* The evaluator's metrics, as "valid.NAME" of the trainer. */
static int copy_metrics(struct rnn__trainer *t, struct rnn__fault *f)
{
    double value;
    const char *name;
    for (int i = 0; (name = rnn_metric_at(t->evaluator, i, &value)); i++) {
        struct rnn__string s = {0};
        rnn__put(&s, "valid.%s", name);
        int code = s.failed ? RNN_ENOMEM : rnn_metric_set(t->engine, s.text, value);
        free(s.text);
        if (code)
            return rnn__fault_memory(f);
    }
    return 0;
}

int rnn__validate(struct rnn__trainer *t, bool interruptible, struct rnn__fault *f)
{
    rnn_run_options options = {.max_epochs = 1, .restart = true};
    int code = rnn_reset_state(t->evaluator);
    bool averages = rnn__ema_block(t->engine) != NULL;
    if (!code && averages)
        code = rnn_ema_swap(t->engine);
    if (!code) {
        rnn__signals_reach(t->engine, interruptible ? t->evaluator : NULL);
        code = rnn_engine_run(t->evaluator, &t->valid.iterable, &options);
        rnn__signals_reach(t->engine, NULL);
        if (averages)
            rnn_ema_swap(t->engine);
    }
    if (code < 0)
        return rnn__trainer_failed(t, t->evaluator, code, f);
    return code ? code : copy_metrics(t, f);
}

/* ---- train ---- */

/* --set may ask for what the data do not give. */
static int check_stream(const struct rnn__trainer *t, struct rnn__fault *f)
{
    if (t->carry != RNN__CARRY_STREAM || t->train.info.streams)
        return 0;
    return rnn__fault(
        f, RNN__ESPEC,
        "tbptt.carry: stream goes on with data in streams, and data.train has "
        "none; give it streams and length, or say carry=batch");
}

int rnn__trainer_open(struct rnn__trainer *t, struct rnn__fault *f)
{
    int code = find_vocabulary(t, f);
    if (!code && !source_json(t, "train"))
        code = rnn__fault(f, RNN_EDATA, "nothing to train on: the spec has no data.train");
    if (!code)
        code = open_source(t, "train", &t->train, &t->has_train, f);
    if (!code)
        code = open_source(t, "valid", &t->valid, &t->has_valid, f);
    if (!code)
        code = check_stream(t, f);
    if (!code)
        code = open_engine(t, f);
    return !code && t->has_valid ? open_evaluator(t, f) : code;
}

static void report_end(struct rnn__trainer *t)
{
    const rnn_engine_state *s = rnn_state_of(t->engine);
    if (!t->options->quiet && t->last_checkpoint)
        fprintf(stderr,
                "%s: %" PRId64 " iterations, %" PRId64 " chunks; last state in %s\n",
                t->options->program, s->iteration, s->time_iteration, t->last_checkpoint);
    if (!t->options->quiet && s->last_event == RNN_COMPLETED && s->iteration > 0 &&
        s->output.null)
        fprintf(stderr,
                "%s: note: no step of the last batch counted in the loss, so it taught "
                "nothing: tbptt.burn_in, tbptt.lengths or weights leave none\n",
                t->options->program);
}

static int diverged(struct rnn__trainer *t, struct rnn__fault *f)
{
    const rnn_engine_state *s = rnn_state_of(t->engine);
    struct rnn__fault lost = {0};
    rnn__fault(f, RNN_ENUMERIC,
               "the loss is not finite (epoch %" PRId64 ", iteration %" PRId64
               ", chunk %" PRId64 "); that chunk has updated nothing",
               s->epoch, s->iteration, s->chunk);
    if (rnn__checkpoint_sound(t, &lost) == 0)
        return f->code;
    rnn__fault_add(f, ", but before it %s; %s stands", lost.sentence,
                   t->last_checkpoint ? t->last_checkpoint : "no checkpoint");
    return f->code;
}

/* Whether --max-iterations, which is no part of the state, is reached already. */
static bool is_at_limit(struct rnn__trainer *t)
{
    int64_t done = rnn_state_of(t->engine)->iteration;
    if (t->max_iterations == RNN_NONE || done < t->max_iterations)
        return false;
    fprintf(stderr,
            "%s: note: the run is finished: %" PRId64 " iterations are done, the limit is "
            "%" PRId64 "\n",
            t->options->program, done, t->max_iterations);
    return true;
}

/* A run that early stopping has ended stays so, unless more epochs than it had are asked
   for. */
static bool is_stopped(struct rnn__trainer *t)
{
    const rnn_engine_state *s = rnn_state_of(t->engine);
    if (!t->source || !rnn__is_stopped(t->engine) || t->epochs > s->max_epochs)
        return false;
    rnn__note(t->engine,
              "the run was ended by early stopping after epoch %" PRId64 " of %" PRId64
              "; with more epochs (--set train.epochs=%" PRId64
              "), or more patience, it goes on",
              s->epoch, s->max_epochs, s->max_epochs + 1);
    return true;
}

/* 0, RNN_PAUSED or a negative code. */
static int run_engine(struct rnn__trainer *t, struct rnn__fault *f)
{
    rnn_run_options options = {.max_epochs = t->epochs};
    if (is_at_limit(t) || is_stopped(t))
        return 0;
    rnn__signals_reach(t->engine, NULL);
    int code = rnn_engine_run(t->engine, &t->train.iterable, &options);
    rnn__signals_reach(NULL, NULL);
    if (code < 0)
        rnn__trainer_failed(t, t->engine, code, f);
    return !code && rnn__found_not_finite(t->engine) ? diverged(t, f) : code;
}

int rnn__reports_add(struct rnn__trainer *t, struct rnn__fault *f)
{
    const struct rnn__options *o = t->options;
    int code = 0;
    if (o->profile || o->trace_out)
        code = rnn_profile(t->engine);
    if (!code && o->trace_out && t->evaluator)
        code = rnn_profile(t->evaluator);
    if (code)
        return rnn__trainer_failed(t, t->engine, code, f);
    t->prints_profile = t->prints_profile || o->profile;
    if (o->trace_out)
        code =
            rnn__run_file(t, o->trace_out, RNN__FILE_ANEW | RNN__FILE_OPTION, &t->trace, f);
    return code ? code : rnn__report_begin(t, f);
}

static int begin_spans(struct rnn__trainer *t, struct rnn__fault *f)
{
    int code = t->trace ? rnn__spans_begin(&t->spans, t->trace, f) : 0;
    if (!t->spans)
        return code;
    rnn__spans_track(t->spans, 0, "engine");
    rnn__profile_draw(t->engine, t->spans, 0);
    if (t->evaluator)
        rnn__profile_draw(t->evaluator, t->spans, 0);
    return 0;
}

/* In words, for the report. */
static const char *end_of_run(struct rnn__trainer *t, int code, const struct rnn__fault *f)
{
    const rnn_engine_state *s = rnn_state_of(t->engine);
    if (code < 0)
        return f->sentence;
    if (code == RNN_PAUSED)
        return "interrupted by a signal; --resume goes on";
    if (t->said[0])
        return t->said;
    return s->epoch < t->epochs ? "ended before its last epoch" : "finished";
}

static int end_reports(struct rnn__trainer *t, const char *end, struct rnn__fault *f)
{
    int code = rnn__profile_report(t, f);
    if (!code)
        code = rnn__report_end(t, end, f);
    struct rnn__spans *spans = t->spans;
    t->spans = NULL;
    int closed = rnn__spans_end(spans, code ? &(struct rnn__fault){0} : f);
    return code ? code : closed;
}

static int train(struct rnn__trainer *t, int *status, struct rnn__fault *f)
{
    int code = rnn__begin(t, f);
    if (!code)
        code = begin_spans(t, f);
    if (code)
        return code;
    code = run_engine(t, f);
    if (code == RNN_PAUSED)
        *status = rnn__signals_status();
    struct rnn__fault last = {0};
    bool worth = code >= 0 || rnn_state_of(t->engine)->time_iteration > 0;
    int saved = worth ? rnn__save_last(t, &last) : 0;
    if (worth && !saved)
        saved = rnn__save_ema(t, &last);
    struct rnn__fault unreported = {0};
    int reported = end_reports(t, end_of_run(t, code, f), &unreported);
    if (reported && !saved) {
        last = unreported;
        saved = reported;
    }
    if (!saved)
        report_end(t);
    if (saved && code >= 0) {
        *f = last;
        return saved;
    }
    if (saved && !strstr(f->sentence, last.sentence))
        rnn__fault_add(f, "; nor is its last state safe: %s", last.sentence);
    return code < 0 ? code : 0;
}

int rnn__trainer_train(struct rnn__trainer *t, int *status, struct rnn__fault *f)
{
    rnn__signals_listen();
    int code = train(t, status, f);
    rnn__signals_stop_listening();
    return code;
}

/* ---- eval ---- */

/* Opens the file of parameters that a command without training needs. */
static int find_parameters(struct rnn__trainer *t, struct rnn__safetensors *out,
                           struct rnn__fault *f)
{
    *out = (struct rnn__safetensors){.fd = -1};
    if (t->options->init)
        return rnn__safetensors_open(out, t->options->init, f);
    int code = rnn__checkpoint_newest(t, t->out, out, f);
    return code ? rnn__fault_add(f, "; give one with --init FILE") : 0;
}

int rnn__trainer_load(struct rnn__trainer *t, struct rnn__fault *f)
{
    struct rnn__safetensors s;
    int code = find_parameters(t, &s, f);
    if (!code)
        code = open_engine(t, f);
    if (!code)
        code = rnn__checkpoint_init(t, &s, f);
    if (!code)
        code = rnn__checkpoint_averages(t, &s, f);
    rnn__safetensors_close(&s);
    return code;
}

int rnn__trainer_eval(struct rnn__trainer *t, int *status, struct rnn__fault *f)
{
    const char *which = source_json(t, "valid") ? "valid" : "train";
    char text[RNN__NUMBER_BYTES];
    double value;
    const char *name;
    (void)status;
    int code = rnn__trainer_load(t, f);
    if (!code)
        code = find_vocabulary(t, f);
    if (!code)
        code = open_source(t, which, &t->valid, &t->has_valid, f);
    if (!code && !t->has_valid)
        code = rnn__fault(f, RNN_EDATA, "nothing to evaluate on: the spec has no data");
    if (!code && strcmp(which, "valid") != 0 && !t->options->quiet)
        fprintf(stderr,
                "%s: note: there is no data.valid; this is loss and metrics on "
                "data.train\n",
                t->options->program);
    if (!code)
        code = open_evaluator(t, f);
    if (!code)
        code = rnn__validate(t, false, f);
    for (int i = 0; !code && (name = rnn_metric_at(t->evaluator, i, &value)); i++)
        printf("%s %s\n", name, rnn__number_text(value, text));
    return code;
}
