/*
 * trainer.c — a run put together: settings, data, engine, parameters; then train,
 * eval or info.
 *
 * Order matters for the user's sake: what can be wrong with settings and data is
 * found before anything is computed or written, and the folder of an older run is not
 * touched by a run that cannot begin.
 */
#include "trainer.h"
#include "engine.h"
#include "profile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings ---- */

enum carry { CARRY_NONE, CARRY_BATCH, CARRY_STREAM, N_CARRY, CARRY_AS_DATA = -1 };
static const char *const carry_words[N_CARRY] = {"none", "batch", "stream"};
static const char *const report_words[] = {"unweighted", "weighted"};
static const char *const train_keys[] = {"epochs", "max_iterations", "seed", "threads",
                                         "log",    "handlers",       NULL};

static int64_t window_of(const struct rnn__trainer *t)
{
    return t->tbptt_window ? t->tbptt_window : t->tbptt_step;
}

/* New steps of a chunk, and those of its window: 0 where the model knows them. */
static int read_steps(struct rnn__trainer *t, const json_t *tbptt, struct rnn__fault *f)
{
    int code = rnn__get_integer(tbptt, "tbptt", "step", 1, &t->tbptt_step, f);
    if (!code)
        code = rnn__get_integer(tbptt, "tbptt", "window", 1, &t->tbptt_window, f);
    if (!code && rnn__tbptt_check_steps(t->model, t->tbptt_step, window_of(t)) != 0)
        code = rnn__fault(f, RNN__ESPEC, "%s", rnn_engine_error(NULL));
    return code;
}

static int read_tbptt(struct rnn__trainer *t, struct rnn__fault *f)
{
    const json_t *tbptt = json_object_get(t->json, "tbptt");
    t->carry = CARRY_AS_DATA;
    int code = read_steps(t, tbptt, f);
    if (!code)
        code = rnn__get_word(tbptt, "tbptt", "carry", carry_words, N_CARRY, &t->carry, f);
    return code ? code
                : rnn__get_word(tbptt, "tbptt", "report", report_words, 2, &t->report, f);
}

static int read_train(struct rnn__trainer *t, struct rnn__fault *f)
{
    const json_t *train = json_object_get(t->json, "train");
    const struct rnn__options *o = t->options;
    int64_t seed = 0;
    t->epochs = 1;
    t->max_iterations = RNN_NONE;
    int code = rnn__check_keys(train, "train", train_keys, f);
    if (!code)
        code = rnn__get_integer(train, "train", "epochs", 1, &t->epochs, f);
    if (!code)
        code = rnn__get_integer(train, "train", "seed", 0, &seed, f);
    if (!code)
        code = rnn__get_integer(train, "train", "threads", 0, &t->threads, f);
    if (!code)
        code = rnn__get_integer(train, "train", "max_iterations", 1, &t->max_iterations, f);
    t->seed = (uint64_t)(o->seed == RNN_NONE ? seed : o->seed);
    if (o->threads != RNN_NONE)
        t->threads = o->threads;
    if (o->max_iterations != RNN_NONE)
        t->max_iterations = o->max_iterations;
    return code;
}

/* A number that the model reads while it runs; false: no such number. */
static bool is_scalar(const struct rnn_model *m, const char *name)
{
    for (int i = 0; i < m->n_scalar; i++)
        if (!m->scalar[i].counter && strcmp(m->scalar[i].name, name) == 0)
            return true;
    return false;
}

static int set_scalar(struct rnn__trainer *t, const char *name, const char *value,
                      struct rnn__fault *f)
{
    json_t *text = json_string(value);
    double number;
    bool good = rnn__is_number(text, &number);
    json_decref(text);
    if (!good)
        return rnn__fault(f, RNN_EINVAL, "--set %s: '%s' is not a number", name, value);
    t->number[t->n_number].name = name;
    t->number[t->n_number++].value = number;
    return 0;
}

static int refuse_key(struct rnn__trainer *t, const char *key, const char *value,
                      struct rnn__fault *f)
{
    const char *spec = json_string_value(json_object_get(t->json, "spec"));
    rnn__fault(
        f, RNN_EINVAL,
        "--set %s: is compiled into this program; build another: rnnc build %s --set "
        "%s=%s -o PATH",
        key, spec ? spec : "SPEC", key, value);
    rnn__fault_add(f,
                   "\nkeys that may change now: train.*, data.*, tbptt.step, tbptt.carry, "
                   "tbptt.report");
    for (int i = 0; i < t->model->n_scalar; i++)
        if (!t->model->scalar[i].counter)
            rnn__fault_add(f, ", %s", t->model->scalar[i].name);
    return f->code;
}

static bool changes_a_run(const char *key)
{
    static const char *const exact[] = {"tbptt.step", "tbptt.carry", "tbptt.report"};
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        if (strcmp(key, exact[i]) == 0)
            return true;
    return strncmp(key, "train.", 6) == 0 || strncmp(key, "data.", 5) == 0;
}

/* KEY=VALUE; `set` is a copy that lives with the trainer. */
static int apply_set(struct rnn__trainer *t, char *set, struct rnn__fault *f)
{
    char *equals = strchr(set, '=');
    if (!equals || equals == set)
        return rnn__fault(f, RNN_EINVAL, "--set %s: is not KEY=VALUE", set);
    *equals = '\0';
    if (is_scalar(t->model, set))
        return set_scalar(t, set, equals + 1, f);
    if (changes_a_run(set))
        return rnn__set_path(t->json, set, equals + 1, f);
    return refuse_key(t, set, equals + 1, f);
}

static int apply_sets(struct rnn__trainer *t, struct rnn__fault *f)
{
    int code = 0;
    t->number = calloc((size_t)t->options->n_set + 1, sizeof *t->number);
    if (!t->number)
        return rnn__fault_memory(f);
    for (int i = 0; i < t->options->n_set && !code; i++) {
        char *copy = rnn__path_join(NULL, t->options->set[i]);
        code = rnn__attach(t, copy, free, f);
        if (!code)
            code = apply_set(t, copy, f);
    }
    return code;
}

static int read_out(struct rnn__trainer *t, struct rnn__fault *f)
{
    const struct rnn__options *o = t->options;
    t->name = json_string_value(json_object_get(t->json, "name"));
    if (!t->name)
        t->name = t->model->name;
    const char *given = o->out ? o->out : o->resume;
    t->out = given ? rnn__path_join(NULL, given) : rnn__path_join("runs", t->name);
    return t->out ? 0 : rnn__fault_memory(f);
}

int rnn__trainer_read(struct rnn__trainer *t, struct rnn__fault *f)
{
    json_error_t error;
    t->saved_chunks = RNN_NONE;
    t->lock = -1;
    t->keep = 2;
    t->json = json_loads(t->config->json ? t->config->json : "{}", JSON_REJECT_DUPLICATES,
                         &error);
    if (rnn__json_take_failure())
        return rnn__fault_memory(f);
    if (!json_is_object(t->json))
        return rnn__fault(f, RNN__ESPEC, "the settings are damaged: %s", error.text);
    int code = apply_sets(t, f);
    if (!code)
        code = read_train(t, f);
    if (!code)
        code = read_tbptt(t, f);
    if (!code)
        code = read_out(t, f);
    const json_t *vocabulary = json_object_get(t->json, "vocabulary");
    if (!code && vocabulary)
        code = rnn__vocabulary_from_json(&t->vocabulary, vocabulary, f);
    return code;
}

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
    rnn__folder_unlock(t);
    rnn_close(t->evaluator);
    rnn_close(t->engine);
    if (t->has_train)
        rnn_source_close(&t->train);
    if (t->has_valid)
        rnn_source_close(&t->valid);
    rnn__vocabulary_free(&t->vocabulary);
    free(t->number);
    free(t->out);
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
    bool by_data = t->carry == CARRY_AS_DATA || t->carry == CARRY_STREAM;
    return by_data ? data->continues : t->carry == CARRY_BATCH;
}

static rnn_tbptt_options options_of(const struct rnn__trainer *t,
                                    const rnn_source_info *data)
{
    return (rnn_tbptt_options){
        .tbptt_step = t->tbptt_step,
        .tbptt_window = window_of(t),
        .carry = carries(t, data),
        .report = t->report ? RNN_REPORT_WEIGHTED : RNN_REPORT_UNWEIGHTED,
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

/* The checkpoint of --resume, which the caller frees, or NULL; what data need of it or of
   --init is read. */
static int find_first(struct rnn__trainer *t, char **resume, struct rnn__fault *f)
{
    const struct rnn__options *o = t->options;
    int code = 0;
    if (o->resumes)
        code = rnn__checkpoint_newest(t, o->resume ? o->resume : t->out, resume, f);
    const char *first = o->resumes ? *resume : o->init;
    return code || !first ? code : rnn__checkpoint_peek(t, first, f);
}

/* --set may ask for what the data do not give. */
static int check_stream(const struct rnn__trainer *t, struct rnn__fault *f)
{
    if (t->carry != CARRY_STREAM || t->train.info.streams)
        return 0;
    return rnn__fault(
        f, RNN__ESPEC,
        "tbptt.carry: stream goes on with data in streams, and data.train has "
        "none; give it streams and length, or say carry=batch");
}

/* Everything that is read before the first chunk. */
static int open_run(struct rnn__trainer *t, struct rnn__fault *f)
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

/* The spec as run. What rnnc run overrides is in its text; what a built trainer does stands
   below. */
static int keep_spec(struct rnn__trainer *t, struct rnn__fault *f)
{
    struct rnn__string s = {0};
    if (!t->config->spec_text)
        return 0;
    char *path = rnn__path_join(t->out, "spec.yaml");
    rnn__put(&s, "%s", t->config->spec_text);
    put_given(&s, t->options);
    int code = s.failed || !path
                   ? rnn__fault_memory(f)
                   : rnn__write_file(path, &(struct rnn__piece){s.text, s.length}, 1, f);
    free(path);
    free(s.text);
    return code;
}

/* A run that goes on in its own folder has its present state there. */
static int resume_from(struct rnn__trainer *t, const char *path, struct rnn__fault *f)
{
    const struct rnn__options *o = t->options;
    struct rnn__place place;
    int code = rnn__checkpoint_resume(t, path, f);
    if (!code)
        code = rnn__checkpoint_place(t, &place, f);
    if (code || (o->out && o->resume && strcmp(o->out, o->resume) != 0))
        return code;
    t->saved_chunks = rnn_state_of(t->engine)->time_iteration;
    t->saved_pending = place.pending;
    return 0;
}

/* The first state: parameters of --init, or all of a checkpoint. */
static int load_first(struct rnn__trainer *t, const char *resume, struct rnn__fault *f)
{
    if (resume)
        return resume_from(t, resume, f);
    return t->options->init ? rnn__checkpoint_init(t, t->options->init, f) : 0;
}

/* The folder is locked before its checkpoints are looked at: another trainer may be at
   work there. */
static int lock_resumed(struct rnn__trainer *t, struct rnn__fault *f)
{
    struct stat st;
    bool is_there = t->options->resumes && rnn__io->stat(t->out, &st) == 0;
    return is_there ? rnn__folder_lock(t, f) : 0;
}

static int prepare_run(struct rnn__trainer *t, struct rnn__fault *f)
{
    char *resume = NULL;
    int code = lock_resumed(t, f);
    if (!code)
        code = find_first(t, &resume, f);
    if (!code)
        code = open_run(t, f);
    if (!code)
        code = rnn__make_folder(t->out, f);
    if (!code)
        code = rnn__folder_lock(t, f);
    if (!code)
        code = rnn__handlers_add(t, f);
    if (!code)
        code = keep_spec(t, f);
    if (!code)
        code = hang_limits(t, f);
    if (!code)
        code = load_first(t, resume, f);
    if (!code)
        rnn__folder_sweep(t->out);
    if (!code && !t->options->resumes)
        code = rnn__save_first(t, f);
    free(resume);
    return code;
}

static void report_end(struct rnn__trainer *t)
{
    const rnn_engine_state *s = rnn_state_of(t->engine);
    if (!t->options->quiet && t->last_checkpoint)
        fprintf(stderr,
                "%s: %" PRId64 " iterations, %" PRId64 " chunks; last state in %s\n",
                t->options->program, s->iteration, s->time_iteration, t->last_checkpoint);
}

static int diverged(struct rnn__trainer *t, struct rnn__fault *f)
{
    const rnn_engine_state *s = rnn_state_of(t->engine);
    return rnn__fault(f, RNN_ENUMERIC,
                      "the loss is not finite (epoch %" PRId64 ", iteration %" PRId64
                      ", chunk %" PRId64 "); that chunk has updated nothing",
                      s->epoch, s->iteration, s->chunk);
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

/* 0, RNN_PAUSED or a negative code. */
static int run_engine(struct rnn__trainer *t, struct rnn__fault *f)
{
    rnn_run_options options = {.max_epochs = t->epochs};
    if (is_at_limit(t))
        return 0;
    rnn__signals_reach(t->engine, NULL);
    int code = rnn_engine_run(t->engine, &t->train.iterable, &options);
    rnn__signals_reach(NULL, NULL);
    if (code < 0)
        rnn__trainer_failed(t, t->engine, code, f);
    return !code && rnn__found_not_finite(t->engine) ? diverged(t, f) : code;
}

static int begin_reports(struct rnn__trainer *t, struct rnn__fault *f)
{
    const struct rnn__options *o = t->options;
    int code = 0;
    if (o->profile || o->trace_out)
        code = rnn_profile(t->engine);
    if (!code && o->trace_out && t->evaluator)
        code = rnn_profile(t->evaluator);
    if (code)
        return rnn__trainer_failed(t, t->engine, code, f);
    code = rnn__report_begin(t, f);
    if (code)
        return code;
    t->prints_profile = t->prints_profile || o->profile;
    if (!o->trace_out)
        return 0;
    code = rnn__spans_open(&t->spans, o->trace_out, f);
    if (code)
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
    int closed = rnn__spans_close(spans, code ? &(struct rnn__fault){0} : f);
    return code ? code : closed;
}

static int train(struct rnn__trainer *t, int *status, struct rnn__fault *f)
{
    int code = prepare_run(t, f);
    if (!code && rnn__json_take_failure())
        code = rnn__fault_memory(f);
    if (code)
        return code;
    code = begin_reports(t, f);
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
    report_end(t);
    if (saved && code >= 0) {
        *f = last;
        return saved;
    }
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

/* The file of parameters that a command without training needs; the caller frees. */
static int find_parameters(struct rnn__trainer *t, char **path, struct rnn__fault *f)
{
    if (t->options->init) {
        *path = rnn__path_join(NULL, t->options->init);
        return *path ? 0 : rnn__fault_memory(f);
    }
    int code = rnn__checkpoint_newest(t, t->out, path, f);
    return code ? rnn__fault_add(f, "; give one with --init FILE") : 0;
}

int rnn__trainer_load(struct rnn__trainer *t, struct rnn__fault *f)
{
    char *path = NULL;
    int code = find_parameters(t, &path, f);
    if (!code)
        code = open_engine(t, f);
    if (!code)
        code = rnn__checkpoint_init(t, path, f);
    if (!code)
        code = rnn__checkpoint_averages(t, path, f);
    free(path);
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

/* ---- info ---- */

static void print_dims(const int64_t *dim, int rank)
{
    putchar('[');
    for (int i = 0; i < rank; i++)
        printf("%s%" PRId64, i ? ", " : "", dim[i]);
    putchar(']');
}

static void print_input(const struct rnn_input *input)
{
    printf("input      %s: %s", input->name, rnn__kind_word(input->kind));
    if (input->kind == RNN_CLASS)
        printf("(%" PRId64 ")", input->classes);
    putchar(' ');
    print_dims(input->dim, input->rank);
    printf("%s%s\n", input->per_sequence ? ", once a sequence" : "",
           input->for_loss_only ? ", for the loss" : "");
}

int rnn__trainer_info(struct rnn__trainer *t, int *status, struct rnn__fault *f)
{
    const struct rnn_model *m = t->model;
    char text[RNN__NUMBER_BYTES];
    (void)status, (void)f;
    printf("name       %s\nspec       %s\ntarget     %s\n", t->name,
           m->spec_hash ? m->spec_hash : "", m->target ? m->target : "");
    printf("chunk      %" PRId64 " steps, %" PRId64 " rows at most\n", m->steps_max,
           m->rows_max);
    if (m->tbptt_step && m->tbptt_step < m->steps_max)
        printf("window     an update each %" PRId64 " of these steps\n", m->tbptt_step);
    for (int i = 0; i < m->n_input; i++)
        print_input(&m->input[i]);
    for (int i = 0; i < m->n_param; i++) {
        printf("parameter  %s ", m->param[i].name);
        print_dims(m->param[i].dim, m->param[i].rank);
        printf("%s\n", m->param[i].trained ? "" : ", not trained");
    }
    for (int i = 0; i < m->n_state; i++) {
        printf("state      %s ", m->state[i].name);
        print_dims(m->state[i].dim, m->state[i].rank);
        putchar('\n');
    }
    for (int i = 0; i < m->n_scalar; i++)
        if (!m->scalar[i].counter)
            printf("number     %s = %s\n", m->scalar[i].name,
                   rnn__number_text(m->scalar[i].value, text));
    for (int i = 0; i < m->n_metric; i++)
        printf("metric     %s\n", m->metric[i].name);
    if (t->vocabulary.n)
        printf("vocabulary %" PRId64 " symbols, level %s\n", t->vocabulary.n,
               t->vocabulary.level == RNN__BYTE ? "byte" : "char");
    printf("output     ");
    print_dims(m->output_dim, m->output_rank);
    printf("\nparameters %" PRId64 " numbers, optimizer %" PRId64 ", workspace %" PRId64
           " bytes\n",
           m->params_size, m->optimizer_size, m->workspace_bytes);
    return 0;
}
