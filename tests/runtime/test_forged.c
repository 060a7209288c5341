/*
 * test_forged.c — a checkpoint is hostile input: whatever it says of the run's progress is
 * checked against the model, and what cannot be is refused with exit status 9.
 */
#include "trainer_run.h"

#include <jansson.h>

static const char *from = "whole/checkpoint_2_chunk_2.safetensors";

/* Writes `from` as the one checkpoint of the folder f, with the entry `key` of its metadata
   another text. */
static void forge(const char *key, const char *text)
{
    struct rnn__fault f = {0};
    struct rnn__safetensors s;
    CHECK(rnn__safetensors_open(&s, from, &f) == 0, "%s", f.sentence);
    json_t *metadata = json_deep_copy(json_object_get(s.header, "__metadata__"));
    json_object_set_new(metadata, RNN__HEADER_SUM, json_string("00000000"));
    json_object_set_new(metadata, key, json_string(text));
    struct rnn__tensor *list = calloc((size_t)s.n_tensor, sizeof *list);
    for (int i = 0; i < s.n_tensor; i++) {
        void *data = malloc((size_t)s.tensor[i].bytes);
        CHECK(rnn__safetensors_read_bytes(&s, &s.tensor[i], data, &f) == 0, "%s",
              f.sentence);
        list[i] = s.tensor[i];
        list[i].data = data;
    }
    scratch_remove("f", 1);
    CHECK(rnn__make_folder("f", &f) == 0 &&
              rnn__safetensors_write("f/checkpoint_2_chunk_2.safetensors", list, s.n_tensor,
                                     metadata, &f) == 0,
          "%s", f.sentence);
    for (int i = 0; i < s.n_tensor; i++)
        free((void *)(uintptr_t)list[i].data);
    free(list);
    json_decref(metadata);
    rnn__safetensors_close(&s);
}

static json_t *progress_of(const char *path)
{
    struct rnn__fault f = {0};
    struct rnn__safetensors s;
    json_t *progress = NULL;
    if (rnn__safetensors_open(&s, path, &f) == 0) {
        progress = json_loads(rnn__safetensors_metadata(&s, "progress"), 0, NULL);
        rnn__safetensors_close(&s);
    }
    CHECK(progress, "%s", f.sentence);
    return progress;
}

/* The progress with one of its fields, or of its entries, replaced by a piece of JSON. */
static void forge_progress(const char *field, const char *value)
{
    json_t *progress = progress_of(from), *entries = json_object_get(progress, "entries");
    json_t *in = json_object_get(entries, field) ? entries : progress;
    CHECK(json_object_get(in, field), "there is no %s", field);
    json_object_set_new(in, field, json_loads(value, JSON_DECODE_ANY, NULL));
    char *text = json_dumps(progress, JSON_COMPACT);
    forge("progress", text);
    free(text);
    json_decref(progress);
}

static void check_refused(const char *what, const char *value)
{
    int status = trainer_wait(trainer_fork("--quiet --resume f"));
    char *said = scratch_read("errors.txt");
    CHECK(status == 9 && strstr(said, "trainer: error: "), "%s %s: status %d: %s", what,
          value, status, said);
    free(said);
}

static void test_progress_that_cannot_be_is_refused(void)
{
    static const struct {
        const char *field, *value[6];
    } list[] = {
        {"epoch_length", {"0", "-1", "9007199254740993"}},
        {"iteration", {"-1", "9223372036854775807", "9007199254740993"}},
        {"time_iteration", {"-5", "9223372036854775807"}},
        {"pass", {"-7", "9223372036854775807"}},
        {"position", {"-7", "9223372036854775807"}},
        {"max_epochs", {"0", "-2", "9223372036854775807"}},
        {"pending", {"3", "-1", "4294967302"}},
        {"pending_handler", {"-1", "7", "4294967296", "[\"validate\", 0]", "[7]", "\"x\""}},
        {"tbptt.iteration", {"\"-1\"", "\"0.5\"", "\"nan\"", "\"1e300\""}},
        {"tbptt.step", {"\"-8\"", "\"8.5\"", "\"nan\"", "\"1e300\"", "\"99\"", "\"x\""}},
        {"tbptt.chunk", {"\"-1\"", "\"nan\"", "\"1e9\""}},
        {"tbptt.window", {"\"-1\"", "\"nan\"", "\"20\""}},
        {"tbptt.starts", {"\"-1\"", "\"3\"", "\"nan\""}},
        {"tbptt.carried", {"\"2\"", "\"-1\"", "\"nan\""}},
        {"tbptt.touched", {"\"2\"", "\"nan\""}},
        {"tbptt.gathered", {"\"1\"", "\"-1\"", "\"nan\"", "\"1e300\""}},
        {"tbptt.weight_sum", {"\"-1\"", "\"nan\"", "\"\"", "{}"}},
        {"ema.updates", {"\"-1\"", "\"nan\"", "\"0.5\""}},
        {"early_stopping.valid.loss.counter", {"\"-1\"", "\"nan\""}},
        {"checkpoint.best_seen", {"\"2\"", "\"nan\""}},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        for (int j = 0; j < 6 && list[i].value[j]; j++) {
            forge_progress(list[i].field, list[i].value[j]);
            check_refused(list[i].field, list[i].value[j]);
        }
}

/* Older versions kept a NaN that came first, and nothing was better. */
static void test_a_best_that_is_no_number_is_replaced(void)
{
    json_t *progress = progress_of(from), *entries = json_object_get(progress, "entries");
    json_object_set_new(entries, "checkpoint.best", json_string("nan"));
    json_object_set_new(entries, "checkpoint.best_seen", json_string("1"));
    char *text = json_dumps(progress, JSON_COMPACT);
    forge("progress", text);
    CHECK(trainer_wait(trainer_fork("--quiet --resume f")) == 0, "refused");
    CHECK(scratch_exists("f/checkpoint_best.safetensors"), "no best");
    free(text);
    json_decref(progress);
}

static void test_metadata_that_cannot_be_is_refused(void)
{
    static const char *const list[][2] = {
        {"progress", "{"},
        {"progress", "[]"},
        {"rnnc", "2"},
        {"spec_hash", "b17"},
        {"seed", "many"},
        {"seed", "-1"},
        {"scalars", "{\"optimizer.lr\": \"fast\"}"},
        {"scalars", "{\"blow_up\": \"0.5\"}"},
        {"scalars", "{\"epoch\": \"1\"}"},
        {"scalars", "["},
        {"vocabulary", "{"},
        {"files", "["},
        {"metrics", "{\"valid.loss\": []}"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        forge(list[i][0], list[i][1]);
        check_refused(list[i][0], list[i][1]);
    }
}

/* Older versions wrote the handle of the handler that paused the event, which may be any
   other's: the event goes to all, none of the four validations is passed over. */
static void test_a_handle_of_an_older_version_passes_over_nothing(void)
{
    CHECK(run_settings(trainer_settings, "--quiet --out half --max-iterations 2") == 0,
          "%s", errors);
    from = "half/checkpoint_2.safetensors";
    forge_progress("pending_handler", "1000");
    CHECK(trainer_wait(trainer_fork("--quiet --resume f")) == 0, "refused");
    char *log = scratch_read("f/log.jsonl");
    CHECK(count(log, "\"validation\"") == 4, "log:\n%s", log);
    free(log);
}

int main(void)
{
    scratch_open_in_memory();
    command_begin();
    CHECK(run_settings(trainer_settings, "--quiet --out whole --max-iterations 3 --set "
                                         "train.handlers.checkpoint.keep=9") == 0,
          "%s", errors);
    forge("name", "bigram");
    CHECK(trainer_wait(trainer_fork("--quiet --resume f")) == 0, "what is not changed");
    test_progress_that_cannot_be_is_refused();
    test_a_best_that_is_no_number_is_replaced();
    test_metadata_that_cannot_be_is_refused();
    test_a_handle_of_an_older_version_passes_over_nothing();
    return command_end();
}
