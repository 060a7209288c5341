/*
 * test_run_reports.c — what a run tells: logs in each format, progress on a terminal and in
 * a pipe, the trace of its times, the report; figures and events that do not exist.
 */
#define _XOPEN_SOURCE 700 /* pseudo-terminals */
#include "chart.h"
#include "command.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

/* 4 streams of 40 steps in batches of 20: 2 iterations of 3 chunks an epoch. */
#define SETTINGS(handlers)                                                               \
    "{\"name\": \"bigram\", \"spec\": \"specs/bigram.yaml\","                            \
    " \"data\": {\"train\": {\"text\": \"corpus.txt\", \"streams\": \"4\", \"length\": " \
    "20},"                                                                               \
    "            \"valid\": {\"text\": \"corpus.txt\", \"streams\": 2}},"                \
    " \"train\": {\"epochs\": 4, \"seed\": 1, \"handlers\": [" handlers "]}}"

/* Runs the trainer with a terminal for its messages. */
static int run_to(const char *json, const char *line, int terminal)
{
    char words[1024], *argv[32];
    struct rnn_config config = {json, NULL, "name: bigram\n"};
    int argc = command_words(line, words, argv);
    fflush(NULL);
    int kept = dup(2);
    dup2(terminal, 2);
    int status = rnn_trainer_main(argc, argv, &bigram, &config);
    dup2(kept, 2);
    close(kept);
    return status;
}

static int run(const char *json, const char *line) { return run_settings(json, line); }

static char *contents(const char *path, size_t *n)
{
    static char text[1 << 21];
    FILE *f = fopen(path, "rb");
    *n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[*n] = '\0';
    CHECK(f != NULL, "%s: not there", path);
    if (f)
        fclose(f);
    return text;
}

/* As many as a spec may have. */
static void test_the_last_of_many_metrics_is_watched_and_reported(void)
{
    enum { MANY = 250 };
    static char name[MANY][8];
    static struct rnn_metric metrics[MANY];
    struct rnn_model m = bigram;
    size_t n;
    for (int i = 0; i < MANY; i++) {
        snprintf(name[i], sizeof name[i], "m%d", i);
        metrics[i] = (struct rnn_metric){name[i], .in_training = true};
    }
    m.n_metric = MANY, m.metric = metrics;
    command_model = &m;
    CHECK(run(SETTINGS("{\"early_stopping\": {\"on\": \"valid.m249\", \"mode\": \"max\", "
                       "\"patience\": 9}}"),
              "train --quiet --out runs/many") == 0,
          "%s", errors);
    command_model = &bigram;
    const char *page = contents("runs/many/report.html", &n);
    CHECK(strstr(page, "last m249") && strstr(page, "last valid.m249"), "m249 is left out");
}

/* ---- mistakes ---- */

static void test_a_figure_or_event_that_does_not_exist_is_a_mistake(void)
{
    static const struct {
        const char *settings, *says;
    } list[] = {
        {SETTINGS("{\"early_stopping\": {\"on\": \"valid.los\", \"patience\": 2}}"),
         "no figure 'valid.los'; did you mean 'valid.loss'?"},
        {SETTINGS("{\"checkpoint\": {\"best\": \"valid.acuracy\"}}"),
         "did you mean 'valid.accuracy'?"},
        {SETTINGS("{\"checkpoint\": {\"best\": \"valid.accuracy\"}}"),
         "is more of 'valid.accuracy' better, or less? say mode: max, or mode: min"},
        {SETTINGS("{\"checkpoint\": {\"best\": \"perplexity\"}}"),
         "no figure 'perplexity'; known are loss accuracy valid.loss valid.accuracy"},
        {SETTINGS("{\"timer\": {\"on\": \"EPOCH_COMPLETE\"}}"),
         "did you mean 'EPOCH_COMPLETED'?"},
        {SETTINGS("{\"time_limit\": {\"seconds\": 0}}"), "0 is not more than 0"},
        {SETTINGS("{\"ema\": {\"momentum\": 2}}"), "2 is not between 0 and 1"},
        {SETTINGS("{\"ema\": {\"warmup\": 3}}"), "go together"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        CHECK(run(list[i].settings, "train --out runs/bad") == 3, "row %d: %s", (int)i,
              errors);
        CHECK(strstr(errors, list[i].says) != NULL, "row %d: %s", (int)i, errors);
    }
}

/* ---- logs ---- */

static void test_a_table_has_a_column_for_each_figure(void)
{
    size_t n;
    CHECK(run(SETTINGS("{\"log\": {\"format\": \"csv\", \"every\": \"chunk\"}}"),
              "train --quiet --out runs/csv") == 0,
          "%s", errors);
    char *text = contents("runs/csv/log.csv", &n), *line = strtok(text, "\n");
    int rows = 0, valid = 0;
    CHECK_TEXT(line, "event,epoch,iteration,time_iteration,chunk,loss,valid.loss,"
                     "valid.accuracy,accuracy");
    while ((line = strtok(NULL, "\n"))) {
        rows++;
        valid += strncmp(line, "validation,", 11) == 0;
        CHECK(count(line, ",") == 8, "%s", line);
        bool of_epoch = strncmp(line, "epoch_completed,", 16) == 0;
        CHECK((line[strlen(line) - 1] != ',') == of_epoch, "%s", line);
    }
    CHECK(rows == 24 + 8 + 4 + 4 && valid == 4, "%d rows, %d validations", rows, valid);
}

/* The loss of an epoch's line is the metric's. */
static void test_a_metric_of_the_name_loss_is_the_epochs_loss(void)
{
    static const struct rnn_metric named[] = {{"loss", .in_training = true}};
    struct rnn_model m = bigram;
    size_t n;
    m.metric = named;
    command_model = &m;
    CHECK(run(SETTINGS("{\"log\": {\"format\": \"csv\"}}, {\"log\": {}}, \"progress\""),
              "train --out runs/loss") == 0,
          "%s", errors);
    command_model = &bigram;
    const char *progress = strstr(errors, "Epoch [4/4]: [2/2]");
    CHECK(progress && count(progress, " loss=") == 1, "%s", errors);
    char *text = contents("runs/loss/log.csv", &n), *line = strtok(text, "\n");
    CHECK_TEXT(line, "event,epoch,iteration,time_iteration,chunk,loss,valid.loss");
    char last[256] = "", value[64] = "";
    while ((line = strtok(NULL, "\n")))
        if (strncmp(line, "epoch_completed,", 16) == 0)
            snprintf(last, sizeof last, "%s", line);
    CHECK(sscanf(last, "epoch_completed,4,8,24,,%63[^,],", value) == 1, "%s", last);
    text = contents("runs/loss/log.jsonl", &n);
    text = strstr(text, "\"event\": \"epoch_completed\", \"epoch\": 4");
    const char *metric = text ? strstr(text, "\"loss\": ") : NULL;
    CHECK(metric && strncmp(metric + 8, value, strlen(value)) == 0, "%s, not %s", value,
          text);
    CHECK(count(contents("runs/loss/report.html", &n), "last loss") == 0, "told twice");
}

/* CRC-32C bit by bit: not the runtime's. */
static uint32_t crc_of(const unsigned char *data, size_t n)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

static uint32_t little(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static bool crc_matches(const unsigned char *data, size_t n, const unsigned char *at)
{
    uint32_t rotated = little(at) - 0xa282ead8u;
    return (rotated >> 17 | rotated << 15) == crc_of(data, n);
}

static uint64_t varint(const unsigned char **at)
{
    uint64_t value = 0;
    int shift = 0;
    do
        value |= (uint64_t)(**at & 0x7f) << shift, shift += 7;
    while (*(*at)++ & 0x80);
    return value;
}

/* The first field of this number among bytes [at, end); NULL: none. *n: its length, or its
   value. */
static const unsigned char *field(const unsigned char *at, const unsigned char *end,
                                  unsigned number, uint64_t *n)
{
    while (at < end) {
        uint64_t key = varint(&at);
        unsigned wire = key & 7;
        *n = wire == 0 ? varint(&at) : wire == 1 ? 8 : wire == 5 ? 4 : varint(&at);
        if (key >> 3 == number)
            return at;
        at += wire == 0 ? 0 : *n;
    }
    return NULL;
}

static void check_event(const unsigned char *at, const unsigned char *end, int *chunks,
                        int *valid)
{
    uint64_t n, step, n_value, n_tag, four;
    const unsigned char *summary = field(at, end, 5, &n);
    CHECK(field(at, end, 1, &step) != NULL, "an event without a time");
    if (!summary) {
        const unsigned char *version = field(at, end, 3, &n);
        CHECK(version && n == 13 && memcmp(version, "brain.Event:2", 13) == 0, "version");
        return;
    }
    field(at, end, 2, &step);
    const unsigned char *value = field(summary, summary + n, 1, &n_value);
    const unsigned char *tag = field(value, value + n_value, 1, &n_tag);
    const unsigned char *number = field(value, value + n_value, 2, &four);
    float loss;
    CHECK(tag && number && four == 4, "a value without tag or number");
    memcpy(&loss, number, sizeof loss);
    CHECK(loss > 0 && loss < 10, "%g", (double)loss);
    if (n_tag == 10 && memcmp(tag, "chunk/loss", 10) == 0)
        CHECK(step == (uint64_t)++ * chunks, "step %d", (int)step);
    *valid += n_tag == 10 && memcmp(tag, "valid/loss", 10) == 0;
}

static void test_tensorboards_records_are_framed_and_summed(void)
{
    size_t n, at = 0;
    int events = 0, chunks = 0, valid = 0;
    CHECK(run(SETTINGS("{\"log\": {\"format\": \"tensorboard\", \"every\": \"chunk\"}}"),
              "train --quiet --out runs/board") == 0,
          "%s", errors);
    const unsigned char *b =
        (const unsigned char *)contents("runs/board/events.out.tfevents.rnnc", &n);
    while (at + 12 <= n) {
        uint32_t length = little(b + at);
        CHECK(little(b + at + 4) == 0 && crc_matches(b + at, 8, b + at + 8), "at %d: head",
              (int)at);
        if (at + 16 + length > n || !crc_matches(b + at + 12, length, b + at + 12 + length))
            break;
        check_event(b + at + 12, b + at + 12 + length, &chunks, &valid);
        at += 16 + length;
        events++;
    }
    CHECK(at == n && events == 1 + 24 + 8 + 4 + 4, "%d events, %d of %d bytes", events,
          (int)at, (int)n);
    CHECK(chunks == 24 && valid == 4, "%d chunks, %d validations", chunks, valid);
}

static void *read_pipe(void *lines)
{
    char text[4096];
    int fd = open("pipe", O_RDONLY);
    for (ssize_t n; (n = read(fd, text, sizeof text - 1)) > 0;)
        for (ssize_t i = 0; i < n; i++)
            *(int *)lines += text[i] == '\n';
    close(fd);
    return NULL;
}

static void test_a_log_into_a_pipe_is_read_or_refused(void)
{
    pthread_t reader;
    int lines = 0;
    mkfifo("pipe", 0666);
    CHECK(run(SETTINGS(""), "train --quiet --out runs/pipe --log pipe") == 5, "%s", errors);
    CHECK(strstr(errors, "nobody reads this pipe") != NULL, "%s", errors);
    CHECK(pthread_create(&reader, NULL, read_pipe, &lines) == 0, "no thread");
    CHECK(run(SETTINGS(""), "train --quiet --out runs/pipe2 --log pipe") == 0, "%s",
          errors);
    pthread_join(reader, NULL);
    CHECK(lines == 24 + 8 + 4 + 4, "%d lines", lines);
}

/* What a pipe held is not there to be read: to open it would wait for a writer. Nor has it
   a length that a checkpoint could know. */
static void test_a_run_that_logs_into_a_pipe_is_resumed(void)
{
    static const char *const list[] = {"--out runs/pipe3 --max-iterations 3",
                                       "--resume runs/pipe3"};
    struct rnn__safetensors s = {.fd = -1};
    struct rnn__fault f = {0};
    int lines = 0;
    for (int i = 0; i < 2; i++) {
        pthread_t reader;
        char line[128];
        snprintf(line, sizeof line, "train --quiet --log pipe %s", list[i]);
        CHECK(pthread_create(&reader, NULL, read_pipe, &lines) == 0, "no thread");
        CHECK(run(SETTINGS(""), line) == 0, "%s", errors);
        pthread_join(reader, NULL);
    }
    CHECK(lines == 24 + 8 + 4 + 4, "%d lines", lines);
    CHECK(rnn__safetensors_open(&s, "runs/pipe3/checkpoint_8.safetensors", &f) == 0, "%s",
          f.sentence);
    const char *files = rnn__safetensors_metadata(&s, "files");
    CHECK(files && !strstr(files, "pipe"), "%s", files ? files : "no files");
    rnn__safetensors_close(&s);
}

/* ---- progress ---- */

static void test_progress_has_escape_codes_on_a_terminal_alone(void)
{
    static char shown[1 << 16];
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        return; /* no terminals here */
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    setenv("TERM", "xterm", 1);
    CHECK(run_to(SETTINGS(""), "train --out runs/terminal", terminal) == 0, "failed");
    fcntl(master, F_SETFL, O_NONBLOCK);
    ssize_t n = read(master, shown, sizeof shown - 1);
    shown[n < 0 ? 0 : n] = '\0';
    CHECK(count(shown, "\033[K") >= 4 && strstr(shown, "Epoch [4/4]: [2/2] 100%|####"),
          "%s", shown);
    CHECK(strstr(shown, "valid.accuracy=") != NULL, "an epoch's line is whole: %s", shown);
    const char *by_chunk = SETTINGS("{\"progress\": {\"every\": \"chunk\"}}");
    CHECK(run_to(by_chunk, "train --out runs/terminal2 --set train.epochs=1", terminal) ==
              0,
          "failed");
    n = read(master, shown, sizeof shown - 1);
    shown[n < 0 ? 0 : n] = '\0';
    CHECK(strstr(shown, "Iteration: [1/2]  20%|") && strstr(shown, "[2/2]  90%|") &&
              strstr(shown, "Iteration: [2/2] 100%|"),
          "batches of 8, 8 and 4 steps: %s", shown);
    CHECK(run(SETTINGS(""), "train --out runs/file") == 0, "failed");
    CHECK(!strchr(errors, '\033') && !strchr(errors, '\r'), "%s", errors);
    CHECK(count(errors, "Epoch [") == 4 && strstr(errors, "chunks/s"), "%s", errors);
    CHECK(run(SETTINGS(""), "train --out runs/file2 --no-progress") == 0, "failed");
    CHECK(count(errors, "Epoch [") == 0, "%s", errors);
    CHECK(run(SETTINGS(""), "train --out runs/file3 --quiet") == 0, "failed");
    CHECK_TEXT(errors, "");
    close(terminal);
    close(master);
}

/* ---- early stopping and averages, as settings ---- */

static void test_a_trace_of_all_has_rnncs_own_events(void)
{
    size_t n;
    CHECK(run(SETTINGS("{\"trace\": {\"all\": true}}"), "train --quiet --out runs/trace") ==
              0,
          "%s", errors);
    char *text = contents("runs/trace/trace.txt", &n);
    CHECK(count(text, "BACKWARD_COMPLETED") == 24 &&
              count(text, "VALIDATION_COMPLETED") == 4,
          "%s", text);
}

static void test_a_validation_is_judged_once(void)
{
    CHECK(run(SETTINGS("{\"validate\": {\"every\": 2, \"on\": \"EPOCH_COMPLETED\"}},"
                       "{\"early_stopping\": {\"patience\": 1, \"threshold\": 100}}"),
              "train --out runs/judge") == 0,
          "%s", errors);
    /* values at epochs 2 and 4; judged at each epoch the run would end at 3 */
    CHECK(strstr(errors, "early stopping: valid.loss has not improved 1 times"), "%s",
          errors);
    CHECK(strstr(errors, "8 iterations") != NULL, "%s", errors);
}

static void test_averages_are_validated_and_saved(void)
{
    struct rnn__fault f = {0};
    struct rnn__safetensors s;
    static float average[25], plain[25];
    CHECK(run(SETTINGS("{\"ema\": {\"momentum\": 0.5}}"), "train --out runs/ema") == 0,
          "%s", errors);
    CHECK(rnn__safetensors_open(&s, "runs/ema/ema.safetensors", &f) == 0, "%s", f.sentence);
    const struct rnn__tensor *t = rnn__safetensors_find(&s, "table");
    CHECK(t && rnn__safetensors_read_float(&s, t, average, &f) == 0, "%s", f.sentence);
    rnn__safetensors_close(&s);
    CHECK(rnn__safetensors_open(&s, "runs/ema/checkpoint_8.safetensors", &f) == 0, "%s",
          f.sentence);
    t = rnn__safetensors_find(&s, "table");
    CHECK(t && rnn__safetensors_read_float(&s, t, plain, &f) == 0, "%s", f.sentence);
    t = rnn__safetensors_find(&s, "handler.ema.table");
    CHECK(t != NULL, "the checkpoint has no averages");
    rnn__safetensors_close(&s);
    CHECK(memcmp(average, plain, sizeof plain) != 0, "the averages are the parameters");
    size_t n;
    char *log = contents("runs/ema/log.jsonl", &n), last[512] = "", found[64] = "";
    for (char *at = log; (at = strstr(at, "\"validation\"")); at++)
        snprintf(last, sizeof last, "%s", at);
    sscanf(strstr(last, "\"loss\": ") + 8, "%63[0-9.e-]", found);
    /* by its averages and by its checkpoint: both as the run's own validation */
    CHECK(run(SETTINGS(""), "eval --init runs/ema/ema.safetensors") == 0, "%s", errors);
    CHECK(strstr(output, found), "%s is not in %s", found, output);
    CHECK(run(SETTINGS(""), "eval --out runs/ema") == 0, "%s", errors);
    CHECK(strstr(output, found), "%s is not in %s", found, output);
}

/* Averages, a table and TensorBoard's scalars of a run in two parts are those of one. */
static void test_a_resumed_run_goes_on_with_averages_and_logs(void)
{
    static const char json[] =
        SETTINGS("{\"ema\": {\"momentum\": 0.3, \"momentum_warmup\": 0.01, \"warmup\": 6}},"
                 "{\"log\": {\"format\": \"csv\", \"every\": \"chunk\"}}");
    static const char *const files[] = {"ema.safetensors", "log.csv"};
    size_t n, m;
    CHECK(run(json, "train --quiet --out runs/whole") == 0, "%s", errors);
    CHECK(run(json, "train --quiet --out runs/parts --max-iterations 3") == 0, "%s",
          errors);
    CHECK(run(json, "train --quiet --resume runs/parts") == 0, "%s", errors);
    for (int i = 0; i < 2; i++) {
        char path[64], *kept;
        snprintf(path, sizeof path, "runs/whole/%s", files[i]);
        char *whole = contents(path, &n);
        kept = malloc(n + 1);
        memcpy(kept, whole, n + 1);
        snprintf(path, sizeof path, "runs/parts/%s", files[i]);
        char *parts = contents(path, &m);
        CHECK(n == m && n > 0 && memcmp(kept, parts, n) == 0, "%s: %d bytes, %d", path,
              (int)m, (int)n);
        free(kept);
    }
}

/* ---- times ---- */

static void test_a_trace_of_times_is_json_and_nests(void)
{
    json_error_t error;
    size_t i;
    json_t *event;
    int chunks = 0, batches = 0;
    CHECK(run(SETTINGS("\"profile\", \"timer\""),
              "train --out runs/times --trace-out trace.json") == 0,
          "%s", errors);
    CHECK(strstr(errors, "ITERATION_COMPLETED: 8 times") != NULL, "%s", errors);
    json_t *trace = json_load_file("trace.json", 0, &error);
    CHECK(trace != NULL, "line %d: %s", error.line, error.text);
    json_array_foreach(json_object_get(trace, "traceEvents"), i, event)
    {
        const char *name = json_string_value(json_object_get(event, "name"));
        chunks += strcmp(name, "chunk") == 0;
        batches += strcmp(name, "batch") == 0;
        CHECK(*json_string_value(json_object_get(event, "ph")) == 'M' ||
                  json_number_value(json_object_get(event, "dur")) >= 0,
              "%s", name);
    }
    CHECK(chunks >= 24 && batches >= 8, "%d chunks, %d batches", chunks, batches);
    json_decref(trace);
    size_t n;
    char *csv = contents("runs/times/profile.csv", &n);
    CHECK(strstr(csv, "\n\"chunk\",24,") && strstr(csv, "\n\"batch\",8,"), "%s", csv);
}

/* ---- the report ---- */

/* Tags are closed in order, and the page asks for nothing: no file, no network, no script.
 */
static void check_page(const char *text, bool html)
{
    char open[64][16];
    int depth = 0;
    for (const char *at = text; (at = strchr(at, '<')); at++) {
        size_t n = strcspn(at + 1 + (at[1] == '/'), " />\n");
        const char *name = at + 1 + (at[1] == '/'), *end = strchr(at, '>');
        bool alone =
            end[-1] == '/' || at[1] == '!' || (html && (strncmp(name, "meta", 4) == 0));
        if (at[1] == '/') {
            CHECK(depth > 0 && strlen(open[depth - 1]) == n &&
                      strncmp(open[depth - 1], name, n) == 0,
                  "</%.*s> ends nothing", (int)n, name);
            depth -= depth > 0;
        } else if (!alone && depth < 64 && n < 16) {
            snprintf(open[depth++], 16, "%.*s", (int)n, name);
        }
    }
    CHECK(depth == 0, "%d tags are open", depth);
    CHECK(!strstr(text, "src=") && !strstr(text, "href=") && !strstr(text, "url(") &&
              !strstr(text, "<script") && !strstr(text, "@import"),
          "the page asks for something");
}

static void test_a_run_leaves_a_report(void)
{
    size_t n;
    CHECK(run(SETTINGS("\"profile\""),
              "train --quiet --out runs/report --set train.epochs=3") == 0,
          "%s", errors);
    char *page = contents("runs/report/report.html", &n);
    check_page(page, true);
    CHECK(strstr(page, "3 of 3") && strstr(page, "finished"), "epochs");
    CHECK(strstr(page, "name: bigram") && strstr(page, "--set train.epochs=3"), "settings");
    CHECK(strstr(page, "<td>chunk</td><td>18</td>") != NULL, "profile");
    char *spec = contents("runs/report/spec.yaml", &n);
    CHECK_TEXT(spec, "name: bigram\n# --set train.epochs=3\n");
    page = contents("runs/report/report.html", &n);
    /* three validations: three dots on each of two charts; six batches, three epochs */
    CHECK(count(page, "<circle class=\"b\"") == 6 &&
              count(page, "<circle class=\"a\"") == 9,
          "points");
    check_page(contents("runs/report/loss.svg", &n), false);
}

static void test_a_resumed_report_shows_all_of_the_run(void)
{
    size_t n;
    CHECK(run(SETTINGS(""), "train --quiet --out runs/again --max-iterations 3") == 0, "%s",
          errors);
    char *page = contents("runs/again/report.html", &n);
    CHECK(strstr(page, "ended before its last epoch") != NULL, "end");
    CHECK(run(SETTINGS(""), "train --quiet --resume runs/again") == 0, "%s", errors);
    page = contents("runs/again/report.html", &n);
    CHECK(count(page, "<circle class=\"a\"") == 12, "%d points",
          count(page, "<circle class=\"a\""));
    CHECK(!strstr(page, "Curves begin"), "all is there");
}

/* A log by another name is read as well; what only a table holds is said to be missing. */
static void test_a_report_says_what_its_curves_lack(void)
{
    static const struct {
        const char *handlers;
        int n_point;
    } list[] = {{"{\"log\": {\"file\": \"few.jsonl\"}}", 12},
                {"{\"log\": {\"format\": \"csv\"}}", 8}};
    for (int i = 0; i < 2; i++) {
        char json[1024], line[128];
        size_t n;
        snprintf(json, sizeof json, SETTINGS("%s"), list[i].handlers);
        snprintf(line, sizeof line, "train --quiet --out runs/lack%d --max-iterations 3",
                 i);
        CHECK(run(json, line) == 0, "%s", errors);
        snprintf(line, sizeof line, "train --quiet --resume runs/lack%d", i);
        CHECK(run(json, line) == 0, "%s", errors);
        snprintf(line, sizeof line, "runs/lack%d/report.html", i);
        char *page = contents(line, &n);
        int points = count(page, "<circle class=\"a\"");
        CHECK(points == list[i].n_point, "%s: %d points", list[i].handlers, points);
        CHECK(!strstr(page, "Curves begin behind iteration 3") == (points == 12), "%s",
              list[i].handlers);
    }
}

static void test_an_interrupted_run_leaves_a_report_and_a_whole_trace(void)
{
    size_t n;
    json_error_t error;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(run(SETTINGS(""), "train --quiet --out runs/stopped --trace-out stopped.json "
                                "--set train.epochs=100000000"));
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    kill(child, SIGINT);
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 130, "status %d", status);
    CHECK(strstr(contents("runs/stopped/report.html", &n), "interrupted by a signal") !=
              NULL,
          "end");
    json_t *trace = json_load_file("stopped.json", 0, &error);
    CHECK(trace != NULL, "line %d: %s", error.line, error.text);
    json_decref(trace);
}

static void test_text_of_a_picture_is_escaped(void)
{
    static struct rnn__curve curve;
    struct rnn__string s = {0};
    struct rnn__chart chart = {"a<b> & \"c\"", "x<", "y>", {&curve, NULL}, {"&", NULL}};
    for (int i = 1; i <= 5000; i++)
        rnn__curve_add(&curve, i, i % 2 ? 1.0 : 3.0);
    rnn__curve_add(&curve, 5001, NAN);
    CHECK(curve.n <= RNN__POINTS_MAX && curve.n > RNN__POINTS_MAX / 2, "%d points",
          curve.n);
    for (int i = 0; i < curve.n; i++)
        CHECK(curve.y[i] == 2, "point %d is %g", i, curve.y[i]);
    rnn__chart_put(&s, &chart);
    check_page(s.text, false);
    CHECK(strstr(s.text, "a&lt;b&gt; &amp; &quot;c&quot;") != NULL, "%.300s", s.text);
    free(s.text);
}

static void test_the_zero_of_an_axis_has_no_sign(void)
{
    static struct rnn__curve curve;
    struct rnn__string s = {0};
    struct rnn__chart chart = {"loss", "x", "y", {&curve, NULL}, {"a", NULL}};
    rnn__curve_add(&curve, 1, 0.3);
    rnn__curve_add(&curve, 2, 0.01); /* the margin reaches below 0 */
    rnn__chart_put(&s, &chart);
    CHECK(strstr(s.text, ">0</text>") && !strstr(s.text, ">-0</text>"), "%s", s.text);
    free(s.text);
}

int main(void)
{
    scratch_open();
    command_begin();
    test_the_last_of_many_metrics_is_watched_and_reported();
    test_a_figure_or_event_that_does_not_exist_is_a_mistake();
    test_a_table_has_a_column_for_each_figure();
    test_a_metric_of_the_name_loss_is_the_epochs_loss();
    test_tensorboards_records_are_framed_and_summed();
    test_a_log_into_a_pipe_is_read_or_refused();
    test_a_run_that_logs_into_a_pipe_is_resumed();
    test_progress_has_escape_codes_on_a_terminal_alone();
    test_a_trace_of_all_has_rnncs_own_events();
    test_a_validation_is_judged_once();
    test_averages_are_validated_and_saved();
    test_a_resumed_run_goes_on_with_averages_and_logs();
    test_a_trace_of_times_is_json_and_nests();
    test_a_run_leaves_a_report();
    test_a_resumed_report_shows_all_of_the_run();
    test_a_report_says_what_its_curves_lack();
    test_an_interrupted_run_leaves_a_report_and_a_whole_trace();
    test_text_of_a_picture_is_escaped();
    test_the_zero_of_an_axis_has_no_sign();
    return command_end();
}
