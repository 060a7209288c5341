/*
 * test_trainer.c — the command line of a trainer, run as a user would: what it leaves
 * in the run's folder, what it prints, how it ends.
 */
#include "array_file.h"
#include "command.h"
#include "npy_bytes.h"
#include "trainer.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

/* 4 streams of 40 steps in batches of 20: 2 iterations of 3 chunks an epoch. */
static const char settings[] =
    "{\"name\": \"bigram\", \"spec\": \"specs/bigram.yaml\","
    " \"data\": {\"train\": {\"text\": \"corpus.txt\", \"streams\": \"4\", \"length\": 20},"
    "            \"valid\": {\"text\": \"corpus.txt\", \"streams\": 2}},"
    " \"train\": {\"epochs\": 4, \"seed\": 1, \"handlers\": ["
    "    {\"checkpoint\": {\"every\": \"epoch\", \"keep\": 2, \"best\": \"valid.loss\"}},"
    "    {\"log\": {\"every\": \"chunk\"}}]}}";

/* The bigram, which here notes the longest state that an evaluation went on from. */
static float longest_seen;

/* And whose first evaluations may have a loss of NaN. */
static int n_nothing;

/* The chunk of an evaluation in which the process is interrupted, counted down; 0: none. */
static int interrupt_in;

static int watched_eval(struct rnn_chunk *c, int thread)
{
    const float *state = c->state_in;
    for (int64_t b = 0; b < c->rows; b++)
        if (!c->start[b] && state[b] > longest_seen)
            longest_seen = state[b];
    bigram_eval(c, thread);
    if (interrupt_in > 0 && --interrupt_in == 0)
        raise(SIGINT);
    if (n_nothing > 0) {
        n_nothing--;
        c->loss = NAN;
    }
    return 0;
}

static int run(const char *line) { return run_settings(settings, line); }

static void read_tensor(const char *path, const char *name, float out[25])
{
    struct rnn__fault f = {0};
    struct rnn__safetensors s;
    memset(out, 0, 25 * sizeof *out);
    CHECK(rnn__safetensors_open(&s, path, &f) == 0, "%s", f.sentence);
    const struct rnn__tensor *t = rnn__safetensors_find(&s, name);
    CHECK(t && t->size <= 25 && rnn__safetensors_read_float(&s, t, out, &f) == 0, "%s",
          f.sentence);
    rnn__safetensors_close(&s);
}

static void read_table(const char *path, float out[25]) { read_tensor(path, "table", out); }

/* Whether every line is a JSON object; the n-th of an event goes to *found (borrowed). */
static json_t *log_line(const char *text, const char *event, int n)
{
    json_t *found = NULL;
    char *copy = strdup(text);
    for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n")) {
        json_error_t error;
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        CHECK(json_is_object(object), "line '%s': %s", line, error.text);
        const char *name = json_string_value(json_object_get(object, "event"));
        if (name && strcmp(name, event) == 0 && n-- == 0)
            found = json_incref(object);
        json_decref(object);
    }
    free(copy);
    return found;
}

/* ---- train ---- */

static void test_a_run_leaves_log_checkpoints_and_spec(void)
{
    CHECK(run("--out runs/a --no-progress") == 0, "%s", errors);
    char *log = scratch_read("runs/a/log.jsonl"), *spec = scratch_read("runs/a/spec.yaml");
    CHECK(count(log, "\"time_iteration_completed\"") == 24, "log:\n%s", log);
    CHECK(count(log, "\"iteration_completed\"") == 8, "log:\n%s", log);
    CHECK(count(log, "\"epoch_completed\"") == 4, "log:\n%s", log);
    CHECK(count(log, "\"validation\"") == 4, "log:\n%s", log);
    json_t *chunk = log_line(log, "time_iteration_completed", 5);
    json_int_t epoch, iteration, time_iteration, index;
    double loss;
    CHECK(json_unpack(chunk, "{s:I, s:I, s:I, s:I, s:F}", "epoch", &epoch, "iteration",
                      &iteration, "time_iteration", &time_iteration, "chunk", &index,
                      "loss", &loss) == 0,
          "members");
    CHECK(epoch == 1 && iteration == 2 && time_iteration == 6 && index == 2 && loss > 0,
          "counters");
    json_t *valid = log_line(log, "validation", 3);
    double accuracy = -1;
    json_unpack(valid, "{s:F}", "accuracy", &accuracy);
    CHECK(accuracy > 0.5, "accuracy %g after four epochs", accuracy);
    CHECK_TEXT(spec, "name: bigram\n");
    CHECK(scratch_exists("runs/a/checkpoint_6.safetensors") &&
              scratch_exists("runs/a/checkpoint_8.safetensors") &&
              scratch_exists("runs/a/checkpoint_best.safetensors"),
          "checkpoints");
    CHECK(!scratch_exists("runs/a/checkpoint_4.safetensors"), "keep 2");
    CHECK(strstr(errors, "last state in runs/a/checkpoint_8.safetensors"), "%s", errors);
    CHECK(!strchr(errors, '\033'), "escape codes in a pipe");
    json_decref(chunk);
    json_decref(valid);
    free(log);
    free(spec);
}

static void test_a_trace_names_events_as_fired(void)
{
    CHECK(run("--out runs/t --quiet --set train.handlers.trace.all=false") == 0, "%s",
          errors);
    char *trace = scratch_read("runs/t/trace.txt");
    CHECK(
        strstr(trace, "STARTED\nEPOCH_STARTED\nGET_BATCH_STARTED\nGET_BATCH_COMPLETED\n") ==
            trace,
        "%.200s", trace);
    CHECK(count(trace, "TIME_ITERATION_STARTED\nTIME_ITERATION_COMPLETED\n") == 24,
          "chunks");
    CHECK(count(trace, "STATE_RESET") == 0 && count(trace, "BACKWARD") == 0, "own events");
    free(trace);
}

static void test_the_same_seed_gives_the_same_run(void)
{
    CHECK(run("--out runs/b --quiet") == 0, "%s", errors);
    CHECK_TEXT(errors, "");
    CHECK(same_file("runs/a/log.jsonl", "runs/b/log.jsonl"), "logs differ");
    CHECK(same_file("runs/a/checkpoint_8.safetensors", "runs/b/checkpoint_8.safetensors"),
          "checkpoints differ");
    CHECK(run("--out runs/c --seed 2 --quiet --max-iterations 1 --device cpu") == 0, "%s",
          errors);
    CHECK(scratch_exists("runs/c/checkpoint_1.safetensors"), "last state");
    CHECK(!scratch_exists("runs/c/checkpoint_2.safetensors"), "--max-iterations");
}

static void test_init_reads_what_a_run_has_left(void)
{
    float before[25], after[25];
    CHECK(run("--out runs/d --quiet --init runs/a/checkpoint_8.safetensors "
              "--set optimizer.lr=0 --set train.epochs=1 --log runs/extra.jsonl") == 0,
          "%s", errors);
    read_table("runs/a/checkpoint_8.safetensors", before);
    read_table("runs/d/checkpoint_2.safetensors", after);
    CHECK(memcmp(before, after, sizeof before) == 0, "parameters differ");
    char *log = scratch_read("runs/extra.jsonl");
    CHECK(count(log, "\"time_iteration_completed\"") == 6, "--log:\n%s", log);
    free(log);
}

static void test_a_resumed_run_is_the_uninterrupted_one(void)
{
    static const char *const stops[] = {"1", "2", "5"};
    for (int i = 0; i < 3; i++) {
        char line[128];
        snprintf(line, sizeof line, "--out runs/r%d --quiet --max-iterations %s", i,
                 stops[i]);
        CHECK(run(line) == 0, "%s", errors);
        snprintf(line, sizeof line, "--resume runs/r%d --quiet", i);
        CHECK(run(line) == 0, "%s", errors);
        snprintf(line, sizeof line, "runs/r%d/checkpoint_8.safetensors", i);
        CHECK(same_file(line, "runs/a/checkpoint_8.safetensors"), "after %s iterations",
              stops[i]);
        snprintf(line, sizeof line, "runs/r%d/log.jsonl", i);
        char *log = scratch_read(line);
        CHECK(count(log, "\"time_iteration_completed\"") == 24, "log after %s", stops[i]);
        free(log);
        CHECK(same_file(line, "runs/a/log.jsonl"), "log after %s iterations", stops[i]);
    }
}

/* A run that was killed behind a checkpoint, in the middle of a line. */
static void test_a_resumed_log_has_every_line_once(void)
{
    CHECK(run("--out runs/k --quiet --max-iterations 3") == 0, "%s", errors);
    FILE *log = fopen("runs/k/log.jsonl", "a");
    fputs("{\"event\": \"time_iteration_completed\", \"epoch\": 2, \"iteration\": 4, "
          "\"time_iteration\": 10, \"chunk\": 0, \"loss\": 1}\n{\"event\": \"time_it",
          log);
    fclose(log);
    CHECK(run("--resume runs/k --quiet") == 0, "%s", errors);
    CHECK(same_file("runs/k/log.jsonl", "runs/a/log.jsonl"), "logs differ");
}

/* ---- endings ---- */

static void test_exit_status_tells_whose_mistake_it_was(void)
{
    static const struct {
        int status;
        const char *line, *expected;
    } list[] = {
        {2, "--bogus", "unknown option --bogus"},
        {2, "--thread 2", "did you mean --threads?"},
        {2, "teach", "unknown command 'teach'"},
        {2, "--threads x", "not a whole number"},
        {2, "--threads", "--threads needs N"},
        {2, "--quiet=1", "takes no value"},
        {2, "--set model=5", "rnnc build specs/bigram.yaml --set model=5"},
        {2, "--set optimizer.lr=fast", "not a number"},
        {2, "--set optimizer.lrr=1", "no such number; did you mean 'optimizer.lr'?"},
        {2, "--set rnn.dropout=0.5", "there is no such key or number\nkeys that may"},
        {2, "--set trian.epochs=3", "key or number; did you mean 'train.epochs'?"},
        {2, "--set optimizer.head.bias.lr=0.5", "there is no such key or number"},
        {2, "--set optimizer.lrr=1",
         "if it is compiled into this program, build another: rnnc "
         "build specs/bigram.yaml --set optimizer.lrr=1"},
        {2, "--set optimizer.lr", "not KEY=VALUE"},
        {2, "--init x --resume", "exclude"},
        {3, "--set train.epoch=5", "train: unknown key 'epoch'; did you mean 'epochs'?"},
        {3, "--set train.epochs=soon", "whole number"},
        {3, "--set train.handlers.checkpoint.keeps=3", "did you mean 'keep'?"},
        {3, "--set train.handlers.chekpoint.keep=3", "did you mean 'checkpoint'?"},
        {3, "--set data.train.steams=5", "did you mean 'streams'?"},
        {3, "--set tbptt.step=99", "compiled for 1 to 8"},
        {3, "--set tbptt.carry=some", "one of none batch stream"},
        {2, "--set tbptt.window=12", "is compiled into this program"},
        {4, "--set data.train.streams=1 --set data.train.part=[0,0.001]", "too few"},
        {5, "--set data.train.text=gone.txt", "gone.txt: cannot be opened: No such file"},
        {5, "--out corpus.txt/runs", "folder cannot be made"},
        {6, "--set blow_up=2", "the loss is not finite (epoch 2, iteration 3, chunk 0)"},
        {8, "--device cuda", "there is no device 'cuda' here; cpu is"},
        {9, "--init corpus.txt", "not a safetensors file"},
        {9, "--resume runs/nothing", "no checkpoint"},
        {5, "--resume runs/a/checkpoint_8.safetensors", "is no folder of a run"},
        {9, "eval --out runs/nothing", "give one with --init FILE"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        char line[256];
        snprintf(line, sizeof line, "%s%s", list[i].line,
                 strstr(list[i].line, "--out") || strstr(list[i].line, "--resume")
                     ? ""
                     : " --overwrite --out runs/x");
        int status = run(line);
        CHECK(status == list[i].status, "%s: exit status %d, expected %d\n%s", line, status,
              list[i].status, errors);
        CHECK(strstr(errors, list[i].expected), "%s: \"%s\" lacks \"%s\"", line, errors,
              list[i].expected);
    }
}

/* Settings without a list of handlers have the standard ones, for --set to change. */
static void test_handlers_are_set_without_a_list(void)
{
    static const char json[] = "{\"name\": \"b\", \"data\": {\"train\": {\"text\": "
                               "\"corpus.txt\", \"streams\": 4, \"length\": 40}}}";
    CHECK(run_settings(json, "--out runs/set --quiet --set train.epochs=3 --set "
                             "train.handlers.checkpoint.keep=3 --set "
                             "train.handlers.log=false") == 0,
          "%s", errors);
    CHECK(scratch_exists("runs/set/checkpoint_1.safetensors"), "keep 3");
    CHECK(!scratch_exists("runs/set/log.jsonl"), "no log");
}

static void test_divergence_keeps_the_last_finite_state(void)
{
    float table[25];
    CHECK(run("--out runs/nan --quiet --set blow_up=2") == 6, "%s", errors);
    read_table("runs/nan/checkpoint_3_chunk_1.safetensors", table);
    for (int i = 0; i < 25; i++)
        CHECK(isfinite(table[i]), "table[%d]", i);
    char *log = scratch_read("runs/nan/log.jsonl");
    CHECK(strstr(log, "\"loss\": null"), "log:\n%s", log);
    free(log);
    /* the chunk is passed over: what it found is what the next one finds */
    read_tensor("runs/nan/checkpoint_3_chunk_1.safetensors", "state.seen", table);
    CHECK(table[0] == 40, "state %g", (double)table[0]);
    CHECK(run("--resume runs/nan --quiet --set blow_up=0 --max-iterations 4") == 0, "%s",
          errors);
    read_tensor("runs/nan/checkpoint_4.safetensors", "state.seen", table);
    CHECK(table[0] == 40 - 8, "state %g", (double)table[0]);
}

/* The run's own failure decides the status; that its last state is lost too is said. */
static void test_a_failed_run_tells_of_a_lost_last_state(void)
{
    struct rnn__fault f = {0};
    CHECK(rnn__make_folder("runs/lost/checkpoint_3_chunk_1.safetensors.tmp", &f) == 0, "%s",
          f.sentence);
    CHECK(run("--out runs/lost --quiet --set blow_up=2") == 6, "%s", errors);
    CHECK(strstr(errors, "the loss is not finite") &&
              strstr(errors, "runs/lost/checkpoint_3_chunk_1.safetensors.tmp: "),
          "%s", errors);
}

/* An update with a gradient that was too large: the loss is lost a chunk later. */
static void test_parameters_that_are_lost_replace_no_checkpoint(void)
{
    CHECK(run("--out runs/inf --quiet --max-iterations 4") == 0, "%s", errors);
    CHECK(run("--resume runs/inf --quiet --set optimizer.lr=1e39") == 6, "%s", errors);
    CHECK(strstr(errors, "the parameter 'table' is not finite; runs/inf/"
                         "checkpoint_4.safetensors stands") &&
              count(errors, "'table'") == 1,
          "%s", errors);
    CHECK(scratch_exists("runs/inf/checkpoint_2.safetensors") &&
              !scratch_exists("runs/inf/checkpoint_5.safetensors") &&
              !scratch_exists("runs/inf/checkpoint_5_chunk_2.safetensors"),
          "checkpoints");
    CHECK(run("--resume runs/inf --quiet --set optimizer.lr=1") == 0, "%s", errors);
    CHECK(same_file("runs/inf/checkpoint_8.safetensors", "runs/a/checkpoint_8.safetensors"),
          "last states differ");
}

static void test_every_tensor_that_does_not_fit_is_told(void)
{
    float x[6] = {0};
    struct rnn__fault f = {0};
    struct rnn__tensor list[] = {
        {.name = "table",
         .dtype = RNN__F32,
         .rank = 2,
         .dim = {2, 3},
         .size = 6,
         .data = x},
        {.name = "optimizer.m", .dtype = RNN__F32, .size = 1, .data = x},
    };
    CHECK(rnn__safetensors_write("runs/other.safetensors", list, 2, NULL, &f) == 0, "%s",
          f.sentence);
    CHECK(run("--out runs/y --init runs/other.safetensors") == 9, "%s", errors);
    CHECK(strstr(errors, "table: [2, 3] in the file, the model needs [5, 5]"), "%s",
          errors);
    CHECK(strstr(errors, "optimizer.m: the model has no such parameter"), "%s", errors);
}

static void test_a_damaged_checkpoint_is_noticed(void)
{
    struct rnn__fault f = {0};
    struct rnn__safetensors s;
    CHECK(run("--out runs/damage --quiet --max-iterations 2") == 0, "%s", errors);
    CHECK(rnn__safetensors_open(&s, "runs/damage/checkpoint_2.safetensors", &f) == 0, "%s",
          f.sentence);
    int fd = open(s.path, O_WRONLY);
    const struct rnn__tensor *t = rnn__safetensors_find(&s, "table");
    CHECK(pwrite(fd, "\x55", 1, (off_t)(s.data + t->begin + 17)) == 1, "pwrite");
    close(fd);
    rnn__safetensors_close(&s);
    CHECK(run("--resume runs/damage --quiet") == 9, "%s", errors);
    CHECK(strstr(errors, "'table' is damaged"), "%s", errors);
}

/* Every byte of the newest checkpoint in turn is another: the one before is taken, with a
   warning, and the run ends as if nothing had happened. */
static void test_behind_a_damaged_checkpoint_the_one_before_is_taken(void)
{
    CHECK(run("--out runs/f --quiet --max-iterations 4") == 0, "%s", errors);
    char *whole = scratch_read("runs/f/checkpoint_4.safetensors"), path[64];
    struct stat st;
    CHECK(stat("runs/f/checkpoint_4.safetensors", &st) == 0 && st.st_size > 1000, "size");
    for (off_t i = 0; i < st.st_size; i += i < 16 ? 1 : 61) {
        struct rnn__fault f = {0};
        whole[i] ^= 4;
        CHECK(rnn__write_file("runs/f/checkpoint_4.safetensors",
                              &(struct rnn__piece){whole, (size_t)st.st_size}, 1, &f) == 0,
              "%s", f.sentence);
        whole[i] ^= 4;
        CHECK(run("--resume runs/f --quiet --max-iterations 4") == 0, "byte %d: %s", (int)i,
              errors);
        CHECK(strstr(errors, "checkpoint_4.safetensors: ") &&
                  strstr(errors, "; the checkpoint before it is taken"),
              "byte %d: %s", (int)i, errors);
        char *again = scratch_read("runs/f/checkpoint_4.safetensors");
        CHECK(memcmp(again, whole, (size_t)st.st_size) == 0, "byte %d", (int)i);
        free(again);
    }
    for (off_t i = 0; i < st.st_size; i += 97) {
        CHECK(truncate("runs/f/checkpoint_4.safetensors", i) == 0, "truncate");
        CHECK(run("--resume runs/f --quiet --max-iterations 4") == 0, "cut at %d: %s",
              (int)i, errors);
    }
    snprintf(path, sizeof path, "runs/f/log.jsonl");
    char *log = scratch_read(path);
    CHECK(count(log, "\"time_iteration_completed\"") == 12, "log:\n%s", log);
    free(log);
    free(whole);
}

static void test_keep_counts_checkpoints_from_before_an_interruption(void)
{
    CHECK(run("--out runs/p --quiet --max-iterations 4") == 0, "%s", errors);
    CHECK(scratch_exists("runs/p/checkpoint_2.safetensors"), "the one before");
    static const char *const left[] = {"checkpoint_3.safetensors", "spec.yaml",
                                       "report.html", "ema.safetensors", "mine"};
    enum { N_LEFT = sizeof left / sizeof *left };
    char path[64];
    for (int i = 0; i < N_LEFT; i++) {
        snprintf(path, sizeof path, "runs/p/%s.tmp", left[i]);
        scratch_write(path, "x", 1);
    }
    CHECK(run("--resume runs/p --quiet") == 0, "%s", errors);
    for (int i = 2; i <= 8; i += 2) {
        snprintf(path, sizeof path, "runs/p/checkpoint_%d.safetensors", i);
        CHECK(scratch_exists(path) == (i >= 6), "%s", path);
    }
    for (int i = 0; i < N_LEFT; i++) { /* the last is no file of the run's */
        snprintf(path, sizeof path, "runs/p/%s.tmp", left[i]);
        CHECK(scratch_exists(path) == (i == N_LEFT - 1), "%s", path);
    }
}

/* Every iteration two, every epoch all: 8 iterations, 4 epochs. */
static void test_each_handler_keeps_its_own(void)
{
    static const char two[] =
        "{\"name\": \"two\", \"data\": {\"train\": {\"text\": \"corpus.txt\", "
        "\"streams\": 4, \"length\": 20}, \"valid\": {\"text\": \"corpus.txt\", "
        "\"streams\": 2}}, \"train\": {\"epochs\": 4, \"handlers\": [{\"checkpoint\": "
        "{\"every\": \"iteration\", \"keep\": 2, \"best\": \"valid.loss\"}}, "
        "{\"checkpoint\": {\"every\": \"epoch\", \"keep\": 3, \"best\": "
        "\"valid.accuracy\", \"mode\": \"max\"}}]}}";
    CHECK(run_settings(two, "--quiet --out runs/two") == 0, "%s", errors);
    CHECK(run_settings(two, "--quiet --out runs/two2 --max-iterations 3") == 0, "%s",
          errors);
    CHECK(run_settings(two, "--quiet --resume runs/two2 --max-iterations 5") == 0, "%s",
          errors);
    CHECK(run_settings(two, "--quiet --resume runs/two2") == 0, "%s", errors);
    for (int i = 0; i <= 8; i++) {
        char path[64];
        snprintf(path, sizeof path, "runs/two/checkpoint_%d.safetensors", i);
        CHECK(scratch_exists(path) == (i == 4 || i >= 6), "%s", path);
        snprintf(path, sizeof path, "runs/two2/checkpoint_%d.safetensors", i);
        CHECK(scratch_exists(path) == (i == 4 || i >= 6), "%s", path);
    }
    CHECK(same_file("runs/two/checkpoint_8.safetensors",
                    "runs/two2/checkpoint_8.safetensors"),
          "last states differ");
    CHECK(scratch_exists("runs/two/checkpoint_best.safetensors") &&
              scratch_exists("runs/two/checkpoint_best_valid.accuracy.safetensors"),
          "the best");
}

/* Epoch 1 has a valid.loss of NaN; the best of the others is the last. */
static void test_what_is_no_number_is_not_the_best(void)
{
    n_nothing = 1000;
    CHECK(run("--out runs/none --quiet --max-iterations 3") == 0, "%s", errors);
    CHECK(n_nothing < 1000, "nothing was evaluated");
    n_nothing = 0;
    CHECK(!scratch_exists("runs/none/checkpoint_best.safetensors"), "a best of NaN");
    CHECK(run("--resume runs/none --quiet") == 0, "%s", errors);
    CHECK(same_tensors("runs/none/checkpoint_best.safetensors",
                       "runs/a/checkpoint_best.safetensors"),
          "the best differs");
}

/* The name that a best is written under first is taken by a folder. */
static void test_a_best_that_cannot_be_written_prevents_no_other(void)
{
    struct rnn__fault f = {0};
    CHECK(rnn__make_folder("runs/taken/checkpoint_best.safetensors.tmp", &f) == 0, "%s",
          f.sentence);
    CHECK(run("--out runs/taken --quiet") == 0, "%s", errors);
    CHECK(count(errors, "note: no checkpoint: runs/taken/checkpoint_best.safetensors") == 4,
          "%s", errors);
    CHECK(scratch_exists("runs/taken/checkpoint_6.safetensors"), "the numbered one");
}

/* A new run in the folder of an old one: what --resume finds is the new one, however soon
   that was killed. */
static void test_an_older_run_in_the_folder_is_replaced(void)
{
    CHECK(run("--out runs/o --quiet") == 0, "%s", errors);
    CHECK(run("--out runs/o --overwrite --quiet --seed 2 --max-iterations 1") == 0, "%s",
          errors);
    CHECK(scratch_exists("runs/o/checkpoint_1.safetensors") &&
              scratch_exists("runs/o/checkpoint_0.safetensors") &&
              !scratch_exists("runs/o/checkpoint_8.safetensors"),
          "checkpoints");
    CHECK(run("--out runs/o2 --quiet --seed 2") == 0, "%s", errors);
    CHECK(run("--resume runs/o --quiet") == 0, "%s", errors);
    CHECK(same_file("runs/o/checkpoint_8.safetensors", "runs/o2/checkpoint_8.safetensors"),
          "checkpoints differ");
}

static void test_a_finished_run_is_left_alone(void)
{
    char *before = scratch_read("runs/a/log.jsonl");
    CHECK(run("--resume runs/a") == 0, "%s", errors);
    CHECK(strstr(errors, "the run is finished"), "%s", errors);
    char *after = scratch_read("runs/a/log.jsonl");
    CHECK_TEXT(after, before);
    CHECK(run("--resume runs/a --max-iterations 8") == 0, "%s", errors);
    CHECK(strstr(errors, "the run is finished"), "%s", errors);
    free(before);
    free(after);
}

static void test_a_run_is_not_resumed_with_other_data_or_seed(void)
{
    CHECK(run("--out runs/w --quiet --max-iterations 2") == 0, "%s", errors);
    char *text = scratch_read("corpus.txt");
    text[5] = 'b';
    scratch_write("corpus.txt", text, strlen(text));
    CHECK(run("--resume runs/w --quiet") == 4, "%s", errors);
    CHECK(strstr(errors, "corpus.txt: is not the file that the run was begun with "
                         "(data.train): its content has changed; put the old one back"),
          "%s", errors);
    text[5] = 'a';
    scratch_write("corpus.txt", text, strlen(text) - 1);
    CHECK(run("--resume runs/w --quiet") == 4, "%s", errors);
    CHECK(strstr(errors, "it has 161 bytes, then it had 162"), "%s", errors);
    scratch_write("corpus.txt", text, strlen(text));
    CHECK(run("--resume runs/w --quiet --seed 7") == 2, "%s", errors);
    CHECK(strstr(errors, "has the seed 1"), "%s", errors);
    CHECK(run("--resume runs/w --quiet") == 0, "%s", errors);
    CHECK(same_file("runs/w/checkpoint_8.safetensors", "runs/a/checkpoint_8.safetensors"),
          "checkpoints differ");
    free(text);
}

/* The lock is of a process, so that the other trainer must be one. */
static void test_a_second_trainer_is_turned_away(void)
{
    int ready[2], done[2];
    char byte;
    if (pipe(ready) != 0 || pipe(done) != 0)
        return;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int fd = open("runs/a/.lock", O_RDWR);
        _exit(fd < 0 || rnn__io->lock(fd) != 0 || write(ready[1], "", 1) != 1 ||
              read(done[0], &byte, 1) != 1);
    }
    char *before = scratch_read("runs/a/log.jsonl");
    CHECK(read(ready[0], &byte, 1) == 1, "child");
    CHECK(run("--out runs/a") == 5, "%s", errors);
    CHECK(strstr(errors, "runs/a: another trainer is writing here"), "%s", errors);
    CHECK(run("--resume runs/a") == 5, "%s", errors);
    char *after = scratch_read("runs/a/log.jsonl");
    CHECK_TEXT(after, before);
    CHECK(write(done[1], "", 1) == 1, "child");
    waitpid(child, NULL, 0);
    free(before);
    free(after);
}

/* A run without end, in a child. */
static pid_t begin_endless(const char *handlers, const char *line)
{
    char json[256];
    snprintf(json, sizeof json,
             "{\"name\": \"b\", \"data\": {\"train\": {\"text\": \"corpus.txt\", "
             "\"streams\": 4}}, \"train\": {\"handlers\": [%s]}}",
             handlers);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(run_settings(json, line));
    return child;
}

/* A signal ends it within a chunk. */
static void test_a_signal_leaves_a_checkpoint(int number, int expected)
{
    char line[128];
    snprintf(line, sizeof line, "--out runs/s%d --quiet --set train.epochs=100000000",
             number);
    pid_t child = begin_endless("{\"checkpoint\": false}, {\"log\": false}", line);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    kill(child, number);
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == expected, "status %x", status);
    snprintf(line, sizeof line, "info --out runs/s%d", number);
    CHECK(run(line) == 0, "%s", errors);
    snprintf(line, sizeof line, "eval --out runs/s%d", number);
    CHECK(run(line) == 0, "%s", errors);
}

static void test_a_signal_asks_for_a_checkpoint(void)
{
    pid_t child = begin_endless("{\"checkpoint\": false}",
                                "--out runs/usr1 --quiet --set train.epochs=100000000");
    struct rnn__found *list;
    struct rnn__fault f = {0};
    int n = 0, status = 0;
    while (!scratch_exists("runs/usr1/log.jsonl")) /* the run has begun */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    kill(child, SIGUSR1);
    for (int i = 0; i < 5000 && n == 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        CHECK(rnn__folder_list("runs/usr1", &list, &n, &f) == 0, "%s", f.sentence);
        rnn__found_free(list, n);
    }
    CHECK(n == 1 && waitpid(child, &status, WNOHANG) == 0, "%d checkpoints", n);
    kill(child, SIGTERM);
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 143, "status %x", status);
}

/* While a program prepares a run: a wish waits for it, a stop has nothing to save. */
static void test_signals_before_a_run_are_honoured(void)
{
    static const struct {
        int number, status;
    } list[] = {{SIGINT, 130}, {SIGTERM, 143}, {SIGHUP, 143}};
    rnn_trainer_prepare();
    raise(SIGUSR1);
    CHECK(run("--out runs/early --quiet --max-iterations 3 --set "
              "train.handlers.checkpoint=false") == 0,
          "%s", errors);
    CHECK(scratch_exists("runs/early/checkpoint_1_chunk_1.safetensors"), "no checkpoint");
    for (int i = 0; i < 3; i++) {
        int status = 0;
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            signal(list[i].number, SIG_DFL);
            rnn_trainer_prepare();
            raise(list[i].number);
            _exit(1);
        }
        waitpid(child, &status, 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == list[i].status, "status %x",
              status);
    }
}

/* The run goes on with the validation though its handlers are others: all that it leaves is
   an uninterrupted run's. */
static void interrupt_validation(const char *out, const char *before, const char *after)
{
    char line[128], path[64], best[64];
    snprintf(line, sizeof line, "--out %s --quiet%s", out, before);
    interrupt_in = 2;
    CHECK(run(line) == 130, "%s", errors);
    snprintf(line, sizeof line, "--resume %s --quiet%s", out, after);
    CHECK(run(line) == 0, "%s", errors);
    snprintf(path, sizeof path, "%s/log.jsonl", out);
    snprintf(best, sizeof best, "%s/checkpoint_best.safetensors", out);
    char *log = scratch_read(path);
    CHECK(count(log, "\"validation\"") == 4 && count(log, "\"epoch_completed\"") == 4,
          "log:\n%s", log);
    CHECK(same_tensors(best, "runs/a/checkpoint_best.safetensors"), "the best differs");
    free(log);
}

static void test_an_interrupted_validation_is_found_among_other_handlers(void)
{
    interrupt_validation("runs/v1", "", "");
    interrupt_validation("runs/v2", " --log runs/v2.csv", "");
    interrupt_validation("runs/v3", "", " --log runs/v3.csv");
}

static void test_a_wish_that_was_ignored_stays_so(void)
{
    void (*before)(int) = signal(SIGUSR1, SIG_IGN);
    rnn_trainer_prepare();
    raise(SIGUSR1);
    CHECK(!rnn__signals_take_wish(), "taken");
    rnn__signals_restore();
    CHECK(signal(SIGUSR1, before) == SIG_IGN, "not ignored behind the run");
}

/* ---- handlers ---- */

static void test_early_stopping_waits_for_patience(void)
{
    /* without learning no validation is better than the first */
    CHECK(run("--out runs/e --set optimizer.lr=0 --set train.epochs=50 "
              "--set train.handlers.early_stopping.patience=3") == 0,
          "%s", errors);
    char *log = scratch_read("runs/e/log.jsonl");
    CHECK(count(log, "\"epoch_completed\"") == 4, "%d epochs",
          count(log, "\"epoch_completed\""));
    CHECK(count(errors, "Epoch [") == 4 && strstr(errors, "Epoch [4/50]: [2/2] loss="),
          "progress:\n%s", errors);
    CHECK(strstr(errors, "valid.accuracy="), "progress:\n%s", errors);
    free(log);
}

static void test_a_run_that_was_stopped_stays_so(void)
{
    static const char stops[] = "--resume runs/e --set optimizer.lr=0 "
                                "--set train.handlers.early_stopping.patience=";
    static const struct {
        const char *more;
        int epochs;
    } list[] = {{"3 --set train.epochs=50", 4},
                {"3 --set train.epochs=40", 4},
                {"5 --set train.epochs=50", 6},
                {"5 --set train.epochs=51", 11},
                {"5 --set train.epochs=51", 11}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        char line[256];
        snprintf(line, sizeof line, "%s%s", stops, list[i].more);
        CHECK(run(line) == 0, "%s: %s", line, errors);
        char *log = scratch_read("runs/e/log.jsonl");
        CHECK(count(log, "\"epoch_completed\"") == list[i].epochs, "%s: %d epochs", line,
              count(log, "\"epoch_completed\""));
        bool stayed = i == 0 || list[i].epochs == list[i - 1].epochs;
        CHECK(!stayed || strstr(errors, "the run was ended by early stopping after epoch"),
              "%s: %s", line, errors);
        free(log);
    }
}

static void test_settings_say_what_is_logged_and_kept(void)
{
    static const char quiet[] =
        "{\"name\": \"few\", \"data\": {\"train\": {\"text\": \"corpus.txt\", \"streams\": "
        "4, "
        "\"length\": 20}}, \"train\": {\"epochs\": 3, \"max_iterations\": \"5\", \"log\": "
        "{\"every\": \"epoch\", \"file\": \"few.jsonl\"}, \"handlers\": [{\"checkpoint\": "
        "{\"every\": 2, \"keep\": 9}}, {\"progress\": \"false\"}, {\"trace\": {\"all\": "
        "\"true\"}}, "
        "{\"terminate_on_nan\": {\"gradients\": true}}]}}";
    CHECK(run_settings(quiet, "") == 0, "%s", errors);
    char *log = scratch_read("runs/few/few.jsonl"),
         *trace = scratch_read("runs/few/trace.txt");
    CHECK(count(log, "\n") == 2 && count(log, "epoch_completed") == 2, "log:\n%s", log);
    CHECK(scratch_exists("runs/few/checkpoint_2.safetensors") &&
              scratch_exists("runs/few/checkpoint_4.safetensors") &&
              scratch_exists("runs/few/checkpoint_5.safetensors"),
          "checkpoints");
    CHECK(count(errors, "Epoch") == 0, "%s", errors);
    CHECK(count(trace, "BACKWARD_COMPLETED\nOPTIM_STEP_COMPLETED\n") == 15, "trace:\n%s",
          trace);
    CHECK(count(trace, "STATE_RESET") == 3, "carried:\n%s", trace);
    CHECK(count(trace, "SAVED_CHECKPOINT") == 2, "trace:\n%s", trace);
    free(log);
    free(trace);
}

/* ---- other commands ---- */

static void test_eval_prints_the_metrics(void)
{
    double loss = 0, accuracy = 0;
    CHECK(run("eval --out runs/a") == 0, "%s", errors);
    CHECK(sscanf(output, "loss %lf\naccuracy %lf\n", &loss, &accuracy) == 2, "\"%s\"",
          output);
    char *log = scratch_read("runs/a/log.jsonl");
    json_t *valid = log_line(log, "validation", 3);
    CHECK(json_number_value(json_object_get(valid, "loss")) == loss, "loss %.17g", loss);
    json_decref(valid);
    free(log);
}

static void test_sample_goes_on_from_the_prompt(void)
{
    static char first[sizeof output];
    CHECK(run("sample --init runs/a/checkpoint_8.safetensors --prompt ab --length 20 "
              "--temperature 0") == 0,
          "%s", errors);
    CHECK_TEXT(output, "abcdeabcdeabcdeabcdeab\n");
    CHECK(run("sample --out runs/a --length 30 --seed 5") == 0, "%s", errors);
    memcpy(first, output, sizeof first);
    CHECK(strlen(first) == 31, "\"%s\"", first);
    CHECK(run("sample --out runs/a --length 30 --seed 5") == 0, "%s", errors);
    CHECK_TEXT(output, first);
    CHECK(run("sample --out runs/a --prompt xyz") == 4, "%s", errors);
    CHECK(strstr(errors, "--prompt:1: byte 0"), "%s", errors);
}

/* ---- predict ---- */

/* Runs `predict` with the text as standard input. */
static int predict(const char *text, const char *options)
{
    char line[256];
    int kept = dup(0);
    int fd = open(scratch_write("input.txt", text, strlen(text)), O_RDONLY);
    dup2(fd, 0);
    close(fd);
    snprintf(line, sizeof line, "predict --init runs/a/checkpoint_8.safetensors %s",
             options);
    int status = run(line);
    dup2(kept, 0);
    close(kept);
    return status;
}

/* The model's output for class i is row i of its table. */
static void check_row(const char *text, const float *row)
{
    float got[5] = {0};
    if (*text == '[')
        text++;
    CHECK(sscanf(text, "%f,%f,%f,%f,%f", got, got + 1, got + 2, got + 3, got + 4) == 5,
          "\"%s\"", text);
    CHECK(memcmp(got, row, sizeof got) == 0, "\"%s\" does not read back as the row", text);
}

static void test_predict_answers_each_line_in_its_form(void)
{
    float table[25];
    read_table("runs/a/checkpoint_8.safetensors", table);
    CHECK(predict("0\n[3]\n\n [[2]]\n\"e\"\n1", "") == 0, "%s", errors);
    CHECK(count(output, "\n") == 5 && count(output, "]\n") == 3, "%s", output);
    static const int class[] = {0, 3, 2, 4, 1};
    char *line = output;
    for (int i = 0; i < 5; i++, line = strchr(line, '\n') + 1)
        check_row(line, table + 5 * class[i]);
    CHECK(predict("", "") == 0 && output[0] == '\0', "%s", errors);
    CHECK(predict("x", "--input input.txt") == 4, "%s", errors);
    CHECK(predict("2\n", "--input -") == 0, "%s", errors);
    check_row(output, table + 10);
}

static void test_predict_says_what_is_wrong_with_a_line(void)
{
    static const struct {
        const char *text, *expected;
    } list[] = {
        {"0\n7\n", "standard input:2: value 1, of input 'x', is 7; classes are 0 to 4"},
        {"1.5\n", "standard input:1: value 1: 1.5 is not a whole number"},
        {"1 2\n", "standard input:1: 2 values; a step of this model has 1"},
        {"one\n", "standard input:1: 'one' is not a number"},
        {"[1\n", "standard input:1: "},
        {"[null]\n", "neither number nor array"},
        {"\"ab\"\n", "a string is one character"},
        {"nan\n", "standard input:1: "},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        CHECK(predict(list[i].text, "") == 4, "%s: %s", list[i].text, errors);
        CHECK(strstr(errors, list[i].expected), "%s: %s", list[i].text, errors);
    }
    CHECK(predict("", "--input gone.txt") == 5, "%s", errors);
    CHECK(predict("", "--output o.npy") == 2, "%s", errors);
}

static void test_predict_of_an_array_is_an_array(void)
{
    float table[25], out[6 * 9 * 5];
    int64_t x[6 * 9], two[] = {6, 9};
    char shape[32];
    read_table("runs/a/checkpoint_8.safetensors", table);
    for (int i = 0; i < 54; i++)
        x[i] = (i * 7) % 5;
    npy_write("px.npy", 1, npy_header("<i8", "(6, 9)"), x, sizeof x);
    CHECK(predict("", "--input px.npy --output py.npy") == 0, "%s", errors);
    struct rnn__ndarray a;
    struct rnn__fault f = {0};
    CHECK(rnn__array_file_open(&a, "py.npy", &f) == 0, "%s", f.sentence);
    CHECK(a.rank == 3 && a.dim[0] == two[0] && a.dim[1] == two[1] && a.dim[2] == 5,
          "shape");
    CHECK(rnn__ndarray_read_real(&a, &(struct rnn__run){0, 270, 270, 1}, RNN_F32, out,
                                 &f) == 0,
          "%s", f.sentence);
    rnn__ndarray_close(&a);
    for (int i = 0; i < 54; i++)
        CHECK(memcmp(out + 5 * i, table + 5 * x[i], 5 * sizeof *out) == 0, "step %d", i);
    x[30] = 9;
    npy_write("px.npy", 1, npy_header("<i8", "(6, 9)"), x, sizeof x);
    CHECK(predict("", "--input px.npy --output py.npy") == 4, "%s", errors);
    CHECK(strstr(errors, "px.npy: sequence 3, step 3 is 9; classes are 0 to 4"), "%s",
          errors);
    CHECK(predict("", "--input px.npy") == 2, "%s", errors);
    snprintf(shape, sizeof shape, "(2, 9, 3)");
    npy_write("px.npy", 1, npy_header("<i8", shape), x, sizeof x);
    CHECK(predict("", "--input px.npy --output py.npy") == 4, "%s", errors);
    CHECK(strstr(errors, "is [2, 9, 3]; input 'x' needs [sequences, steps]"), "%s", errors);
}

static void test_eval_says_when_it_takes_the_training_data(void)
{
    static const char no_valid[] =
        "{\"name\": \"bigram\", \"data\": {\"train\": {\"text\": \"corpus.txt\", "
        "\"streams\": 4}}}";
    CHECK(run_settings(no_valid, "eval --out runs/a") == 0, "%s", errors);
    CHECK(strstr(errors, "there is no data.valid; this is loss and metrics on data.train"),
          "%s", errors);
}

/* x.npy and y.npy: n sequences of 9 symbols. */
static void write_sequences(int n)
{
    int64_t x[4 * 9], y[4 * 9];
    char shape[32];
    for (int i = 0; i < 9 * n; i++)
        x[i] = i % 5, y[i] = (i + 1) % 5;
    snprintf(shape, sizeof shape, "(%d, 9)", n);
    npy_write("x.npy", 1, npy_header("<i8", shape), x, 72 * (size_t)n);
    npy_write("y.npy", 1, npy_header("<i8", shape), y, 72 * (size_t)n);
}

/* Chunks have 8 steps, sequences 9: what is carried from one to the next is longer. */
static void test_an_evaluation_carries_where_its_own_data_go_on(void)
{
    static const struct {
        const char *train, *valid, *carry;
        float longest;
    } list[] = {
        {"\"streams\": 4, \"length\": 20",
         "\"x\": \"x.npy\", \"y\": \"y.npy\", \"batch\": 2", "stream", 8},
        {"\"streams\": 4", "\"text\": \"corpus.txt\", \"streams\": 4, \"length\": 20",
         "stream", 36},
        {"\"streams\": 4", "\"text\": \"corpus.txt\", \"streams\": 4, \"length\": 20",
         "none", 16},
        {"\"streams\": 4", "\"x\": \"x.npy\", \"y\": \"y.npy\", \"batch\": 2", "batch", 17},
    };
    write_sequences(4);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        char json[512];
        snprintf(
            json, sizeof json,
            "{\"name\": \"bigram\", \"data\": {\"train\": {\"text\": \"corpus.txt\", %s}, "
            "\"valid\": {%s}}, \"tbptt\": {\"carry\": \"%s\"}}",
            list[i].train, list[i].valid, list[i].carry);
        longest_seen = 0;
        CHECK(run_settings(json, "--quiet --overwrite --out runs/carry") == 0, "%s",
              errors);
        CHECK(longest_seen == list[i].longest, "%s: an evaluation went on from step %g",
              json, (double)longest_seen);
    }
}

static void test_a_stream_is_judged_by_the_source(void)
{
    static const char text[] =
        "{\"name\": \"s\", \"data\": {\"train\": {\"text\": \"corpus.txt\", "
        "\"length\": 20}}, \"tbptt\": {\"carry\": \"stream\"}}";
    static const char sequences[] =
        "{\"name\": \"s\", \"data\": {\"train\": {\"x\": \"x.npy\", \"y\": \"y.npy\"}}, "
        "\"tbptt\": {\"carry\": \"stream\"}}";
    CHECK(run_settings(text, "--quiet --out runs/stream") == 0, "%s", errors);
    CHECK(run_settings(sequences, "--quiet --out runs/stream2") == 3, "%s", errors);
    CHECK(strstr(errors, "tbptt.carry: stream goes on with data in streams"), "%s", errors);
}

static void test_help_and_info(void)
{
    CHECK(run("--help") == 0 && strstr(output, "--max-iterations N"), "%s", output);
    CHECK(run("info") == 0, "%s", errors);
    CHECK(strstr(output, "parameter  table [5, 5]\n"), "%s", output);
    CHECK(strstr(output, "number     optimizer.lr = 1\n"), "%s", output);
}

static void test_one_source_may_stand_alone(void)
{
    write_sequences(2);
    CHECK(
        run_settings("{\"name\": \"npy\", \"data\": {\"x\": \"x.npy\", \"y\": \"y.npy\"}}",
                     "--quiet") == 0,
        "%s", errors);
    CHECK(scratch_exists("runs/npy/checkpoint_1.safetensors"), "runs/NAME");
    CHECK(run_settings("{\"name\": \"npy2\"}", "--quiet") == 4, "%s", errors);
    CHECK(run_settings("{\"data\": ", "--quiet") == 3, "%s", errors);
}

int main(void)
{
    scratch_open();
    command_begin();
    struct rnn_model watched = bigram;
    watched.eval = watched_eval;
    command_model = &watched;
    test_a_run_leaves_log_checkpoints_and_spec();
    test_a_trace_names_events_as_fired();
    test_the_same_seed_gives_the_same_run();
    test_init_reads_what_a_run_has_left();
    test_a_resumed_run_is_the_uninterrupted_one();
    test_a_resumed_log_has_every_line_once();
    test_eval_prints_the_metrics();
    test_sample_goes_on_from_the_prompt();
    test_exit_status_tells_whose_mistake_it_was();
    test_handlers_are_set_without_a_list();
    test_divergence_keeps_the_last_finite_state();
    test_a_failed_run_tells_of_a_lost_last_state();
    test_parameters_that_are_lost_replace_no_checkpoint();
    test_every_tensor_that_does_not_fit_is_told();
    test_a_damaged_checkpoint_is_noticed();
    test_behind_a_damaged_checkpoint_the_one_before_is_taken();
    test_keep_counts_checkpoints_from_before_an_interruption();
    test_each_handler_keeps_its_own();
    test_what_is_no_number_is_not_the_best();
    test_a_best_that_cannot_be_written_prevents_no_other();
    test_an_older_run_in_the_folder_is_replaced();
    test_a_finished_run_is_left_alone();
    test_a_run_is_not_resumed_with_other_data_or_seed();
    test_a_second_trainer_is_turned_away();
    test_a_signal_leaves_a_checkpoint(SIGINT, 130);
    test_a_signal_leaves_a_checkpoint(SIGTERM, 143);
    test_a_signal_asks_for_a_checkpoint();
    test_an_interrupted_validation_is_found_among_other_handlers();
    test_a_wish_that_was_ignored_stays_so();
    test_signals_before_a_run_are_honoured();
    test_early_stopping_waits_for_patience();
    test_a_run_that_was_stopped_stays_so();
    test_settings_say_what_is_logged_and_kept();
    test_predict_answers_each_line_in_its_form();
    test_predict_says_what_is_wrong_with_a_line();
    test_predict_of_an_array_is_an_array();
    test_eval_says_when_it_takes_the_training_data();
    test_an_evaluation_carries_where_its_own_data_go_on();
    test_a_stream_is_judged_by_the_source();
    test_help_and_info();
    test_one_source_may_stand_alone();
    return command_end();
}
