/*
 * test_commands.c — rnnc's check, list and explain as a user runs them.
 *
 *     test_commands PATH_OF_RNNC SOURCE_FOLDER
 *
 * Each case runs the program and looks at its exit status and at what it printed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

extern char **environ;

enum { MOST_BYTES = 1 << 20, MOST_ARGS = 8 };

static const char *rnnc, *root;
static char output[MOST_BYTES]; /* of the last run: stdout and stderr */

/* ---- running ---- */

static void read_output(int file)
{
    size_t length = 0;
    ssize_t n;
    lseek(file, 0, SEEK_SET);
    while (length < sizeof output - 1 &&
           (n = read(file, output + length, sizeof output - 1 - length)) > 0)
        length += (size_t)n;
    output[length] = '\0';
}

/* rnnc's exit status; -1 when it did not exit. arg ends with NULL. */
static int run(const char *const *arg)
{
    char path[] = "/tmp/rnnc_commands_XXXXXX";
    char *argv[MOST_ARGS + 2] = {(char *)rnnc};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status = -1, file = mkstemp(path);
    for (int i = 0; i < MOST_ARGS && arg[i]; i++)
        argv[i + 1] = (char *)arg[i];
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, file, 1);
    posix_spawn_file_actions_adddup2(&actions, file, 2);
    if (posix_spawn(&child, rnnc, &actions, NULL, argv, environ) == 0)
        waitpid(child, &status, 0);
    posix_spawn_file_actions_destroy(&actions);
    read_output(file);
    close(file), unlink(path);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static const char *in_root(const char *path)
{
    static char room[4][4096];
    static int at;
    char *out = room[at++ % 4];
    snprintf(out, sizeof room[0], "%s/%s", root, path);
    return out;
}

static bool says(const char *text) { return strstr(output, text) != NULL; }

/* ---- cases ---- */

static void test_every_list_names_what_it_should(void)
{
    static const struct {
        const char *what, *has[6];
    } lists[] = {
        {"cells", {"lstm(x: [I], hidden: integer", "gru(", "rnn(", "mlstm(", "linear("}},
        {"losses", {"mse(p: [...], y: [...])", "cross_entropy(", "huber("}},
        {"optimizers", {"sgd(", "adam(", "adamw(", "rmsprop("}},
        {"functions", {"tanh ", "einsum ", "sigmoid(", "relu("}},
        {"ops", {"einsum", "contract", "tanh", "within", "detach"}},
        {"keys", {"tbptt.step", "train.epochs", "data.*.batch"}},
        {"passes", {"read ", "grad ", "fuse ", "place "}},
        {"targets", {"x86-64-v3", "x86-64-v4", "aarch64"}},
        {"events",
         {"EPOCH_COMPLETED", "TIME_ITERATION_STARTED", "STATE_RESET",
          "VALIDATION_COMPLETED"}},
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        int status = RUN("list", lists[i].what);
        CHECK(status == 0, "list %s: status %d", lists[i].what, status);
        for (int k = 0; k < 6 && lists[i].has[k]; k++)
            CHECK(says(lists[i].has[k]), "list %s has no '%s'", lists[i].what,
                  lists[i].has[k]);
    }
}

static void test_a_list_of_a_folder_is_that_of_the_library_made_of_it(void)
{
    static char embedded[MOST_BYTES];
    RUN("list", "cells");
    strcpy(embedded, output);
    CHECK(RUN("list", "cells", "--library", in_root("specs/std")) == 0, "%s", output);
    CHECK_TEXT(output, embedded);
    CHECK(RUN("list", "cells", "--library", "/nonesuch") == 5, "%s", output);
}

static void test_an_unknown_list_is_a_mistake_of_usage(void)
{
    int status = RUN("list", "cell");
    CHECK(status == 2 && says("did you mean 'cells'?"), "status %d: %s", status, output);
}

static void test_each_command_has_help(void)
{
    int status = RUN("build", "--help");
    CHECK(status == 0 && says("usage: rnnc COMMAND"), "status %d: %s", status, output);
    status = RUN("check", in_root("tests/parity/lstm_mse_sgd.yaml"), "--help");
    CHECK(status == 0 && says("usage: rnnc COMMAND"), "status %d: %s", status, output);
    status = RUN("check", in_root("tests/parity/lstm_mse_sgd.yaml"), "--target", "z80");
    CHECK(status == 2 && says("unknown target 'z80'"), "status %d: %s", status, output);
}

static void test_check_says_what_a_spec_is(void)
{
    int status = RUN("check", in_root("tests/parity/lstm_mse_sgd.yaml"));
    CHECK(status == 0, "status %d: %s", status, output);
    /* 4 · 8 · (3 + 8 + 2) of the cell, 2 · 8 + 2 of the head */
    CHECK(says("lstm_mse_sgd: 434 parameters"), "%s", output);
    CHECK(says("truncated after 10 steps"), "%s", output);
    CHECK(says("at most 10 steps × 4 rows"), "%s", output);
    /* 2 · 40 points · (32 · 3 + 32 · 8 + 2 · 8) */
    CHECK(says("29.4 k"), "%s", output);
}

static void test_check_takes_overrides(void)
{
    int status =
        RUN("check", in_root("tests/parity/lstm_mse_sgd.yaml"), "--set", "tbptt.step=3");
    CHECK(status == 0 && says("truncated after 3 steps"), "status %d: %s", status, output);
}

static void test_check_shows_defaults_of_handlers(void)
{
    const char *spec = in_root("tests/parity/lstm_mse_sgd.yaml");
    int status = RUN("check", spec, "--set", "train.handlers.checkpoint.every=5", "--set",
                     "train.handlers.early_stopping.patience=2", "--set",
                     "train.handlers.progress=false");
    CHECK(status == 0 && says("train.handlers.checkpoint\n") && says("otherwise keep 2"),
          "status %d: %s", status, output);
    CHECK(says("otherwise threshold 0, threshold_mode abs, cumulative false\n"), "%s",
          output);
    CHECK(says("progress: false]") && !says("train.handlers.progress"), "%s", output);
}

static void test_check_lists_the_numbers_that_may_change_and_no_counters(void)
{
    int status = RUN("check", in_root("tests/parity/lstm_mse_sgd.yaml"), "--set",
                     "optimizer.lr=0.1 * 0.9^epoch", "--set", "optimizer.clip_norm=1");
    CHECK(status == 0 && says("optimizer.clip_norm"), "status %d: %s", status, output);
    CHECK(!says("  epoch  "), "%s", output);
}

static void test_check_says_mistakes_and_ends_with_3(void)
{
    int status = RUN("check", in_root("tests/errors/sem_unknown_cell.yaml"));
    CHECK(status == 3 && says("error:"), "status %d: %s", status, output);
}

/* Without tbptt.step the data say how long a sequence is, or what is wrong with them. */
static void test_data_that_cannot_tell_a_length_are_told(void)
{
    const char *spec = in_root("specs/sunspots.yaml");
    int status = RUN("check", spec, "--set", "tbptt.step=200");
    CHECK(status == 0 && says("at most 200 steps × 1 rows"), "status %d: %s", status,
          output);
    status = RUN("check", in_root("tests/unit/no_length.yaml"));
    CHECK(status == 4 && says("sunspots.csv: has no column 'YEARS' (data.train.columns.y); "
                              "it has YEAR, SUNACTIVITY"),
          "status %d: %s", status, output);
    status = RUN("check", in_root("tests/unit/no_length.yaml"), "--set",
                 "data.train.columns.y=YEAR");
    CHECK(status == 0 && says("at most 309 steps × 1 rows"), "status %d: %s", status,
          output);
}

static void test_files_that_cannot_be_read_are_told_once(void)
{
    const char *spec = in_root("tests/unit/no_text.yaml");
    int status = RUN("check", spec);
    CHECK(status == 5 && says("gone.txt: cannot be opened: No such file"), "status %d: %s",
          status, output);
    const char *first = strstr(output, "gone.txt: cannot");
    CHECK(first && !strstr(first + 1, "gone.txt: cannot"), "twice: %s", output);
    status = RUN("check", spec, "--set", "inputs.z=clas");
    CHECK(status == 3, "status %d: %s", status, output);
}

static void test_a_stream_is_judged_by_the_source(void)
{
    static const char sentence[] = "tbptt.carry: stream goes on with data in streams, and "
                                   "data.train has none";
    int status =
        RUN("check", in_root("specs/sunspots.yaml"), "--set", "tbptt.carry=stream");
    CHECK(status == 0 && !says(sentence), "csv: status %d: %s", status, output);
    status = RUN("check", in_root("tests/unit/stream_of_nothing.yaml"));
    CHECK(status == 3 && says("stream_of_nothing.yaml:9:26: error:") && says(sentence),
          "random: status %d: %s", status, output);
    status = RUN("check", in_root("tests/unit/stream_of_nothing.yaml"), "--set",
                 "data.train.streams=2");
    CHECK(status == 3 && says(sentence), "random: status %d: %s", status, output);
}

static void test_a_chunk_beyond_all_memory_is_a_mistake_of_the_spec(void)
{
    const char *spec = in_root("tests/parity/lstm_mse_sgd.yaml");
    int status =
        run((const char *[]){"check", spec, "--set", "tbptt.step=1000000000000000", NULL});
    CHECK(status == 3 && says("make tbptt.step"), "status %d: %s", status, output);
    /* steps times rows is 0 in 64 bits */
    status = RUN("check", spec, "--set", "tbptt.step=4503599627370496", "--set",
                 "data.train.batch=4096");
    CHECK(status == 3 && says("beyond all memory; make tbptt.step"), "status %d: %s",
          status, output);
    /* points fit, numbers do not */
    status = RUN("run", spec, "--interpreter", "--set", "tbptt.step=4000000000000");
    CHECK(status == 3 && says("needs at least") && says("make tbptt.step"), "status %d: %s",
          status, output);
    status = RUN("check", spec, "--set", "tbptt.step=9007199254740993000");
    CHECK(status == 3 && says("from 1 to 9007199254740992"), "status %d: %s", status,
          output);
}

static void test_a_cell_beyond_all_memory_is_told_by_its_largest_parameter(void)
{
    static const char largest[] = "make rnn.weight_hh_l0 [12000000, 4000000] smaller";
    const char *spec = in_root("tests/unit/wide.yaml");
    int status = RUN("run", spec, "--set", "tbptt.step=3");
    CHECK(status == 3 && says("gru.yaml:") && says(largest), "status %d: %s", status,
          output);
    status = RUN("run", spec); /* steps from the file: the streams are not to blame */
    CHECK(status == 3 && says("gru.yaml:") && says(largest), "status %d: %s", status,
          output);
}

static void test_a_run_says_how_long_it_compiled(void)
{
    int status = RUN("run", in_root("tests/parity/lstm_mse_sgd.yaml"), "info", "-v");
    CHECK(status == 0 && says("compiled in ") && says("machine code"), "status %d: %s",
          status, output);
}

static void check_gradients_of(const char *file)
{
    char path[1024];
    snprintf(path, sizeof path, "tests/parity/%s", file);
    int status = RUN("check", in_root(path), "--grad");
    CHECK(status == 0 && says("all agree"), "%s: status %d: %s", file, status, output);
}

static void test_gradients_of_the_parity_specs_agree_with_complex_step(void)
{
    DIR *folder = opendir(in_root("tests/parity"));
    int n = 0;
    CHECK(folder != NULL, "no tests/parity in %s", root);
    for (struct dirent *e; folder && (e = readdir(folder));)
        if (strstr(e->d_name, ".yaml"))
            check_gradients_of(e->d_name), n++;
    CHECK(n > 0, "no spec in %s/tests/parity", root);
    if (folder)
        closedir(folder);
}

static void test_gradients_that_are_not_finite_end_with_6(void)
{
    const char *spec = in_root("tests/errors/sem_untaken_branch.yaml");
    int status = RUN("check", spec, "--grad");
    CHECK(status == 6 && says("NOT FINITE") && says("1 of 1 gradients are not finite"),
          "status %d: %s", status, output);
}

/* Checks the `length` bytes of a spec, `where` in the documentation. */
static void check_text(const char *text, size_t length, const char *where)
{
    char path[] = "/tmp/rnnc_documented_XXXXXX";
    int file = mkstemp(path);
    bool written = file >= 0 && write(file, text, length) == (ssize_t)length;
    CHECK(written, "%s cannot be written", path);
    int status = written ? RUN("check", path) : 0;
    CHECK(status == 0, "a spec in %s: status %d: %s", where, status, output);
    close(file), unlink(path);
}

/* The blocks ```yaml … ``` that are whole specs; how many. */
static int check_specs_in(const char *document)
{
    static const char begin[] = "```yaml\nrnnc: 1\n", head[] = "```yaml\n";
    static char text[MOST_BYTES];
    FILE *file = fopen(in_root(document), "r");
    CHECK(file, "no %s in %s", document, root);
    size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[length] = '\0';
    if (file)
        fclose(file);
    int n = 0;
    for (char *at = text; (at = strstr(at, begin)); n++) {
        at += sizeof head - 1;
        char *end = strstr(at, "\n```");
        CHECK(end, "a block of %s has no end", document);
        if (end)
            check_text(at, (size_t)(end + 1 - at), document);
    }
    return n;
}

static void test_specs_of_the_documentation_are_right(void)
{
    CHECK(check_specs_in("README.md") >= 1, "README.md has no spec");
    CHECK(check_specs_in("docs/tutorial.md") >= 2, "the tutorial has no specs");
}

static void test_explain_tells_map_from_scan_and_why_values_are_stored(void)
{
    const char *spec = in_root("tests/parity/lstm_mse_sgd.yaml");
    int status = RUN("explain", spec);
    CHECK(status == 0, "status %d: %s", status, output);
    CHECK(says("all steps of a block at once"), "%s", output);
    CHECK(says("step by step"), "%s", output);
    CHECK(says("kept: the backward pass reads it"), "%s", output);
    CHECK(RUN("explain", spec, "--fuse=off") == 0 && says("Fusing is off"), "%s", output);
}

static size_t longest_line(void)
{
    size_t longest = 0;
    for (const char *line = output; *line;) {
        size_t n = strcspn(line, "\n");
        longest = n > longest ? n : longest;
        line += n + (line[n] == '\n');
    }
    return longest;
}

/* A value whose text is wide has a name, so no line is wider than two of them. */
static void test_long_equations_are_cut_into_lines(void)
{
    const char *spec = in_root("tests/unit/long_loop.yaml");
    CHECK(RUN("explain", spec, "--after", "place") == 0 && says("each [8]"), "%s", output);
    CHECK(longest_line() < 200, "%zu columns", longest_line());
    CHECK(RUN("explain", spec) == 0 && longest_line() < 200, "%zu columns", longest_line());
}

static void test_explain_shows_what_stands_behind_a_pass(void)
{
    const char *spec = in_root("tests/parity/lstm_mse_sgd.yaml");
    CHECK(RUN("explain", spec, "--after", "place") == 0 && says("workspace"), "%s", output);
    CHECK(RUN("explain", spec, "--fuse=off", "--after", "fuse") == 0, "%s", output);
    CHECK(says("head.weight = weight."), "a parameter's value has another name: %s",
          output);
    int status = RUN("explain", spec, "--after", "plac");
    CHECK(status == 2 && says("did you mean 'place'?"), "status %d: %s", status, output);
}

static void test_notes_on_performance_are_said_when_asked_for(void)
{
    const char *spec = in_root("tests/parity/layernorm_lstm_mse_adam.yaml");
    CHECK(RUN("check", spec) == 0 && !says("performance"), "%s", output);
    CHECK(RUN("check", spec, "-v", "--target", "x86-64-v3") == 0, "%s", output);
    CHECK(says("layernorm_lstm_mse_adam.yaml:"), "no line of the spec: %s", output);
    CHECK(says(": note: performance: "), "%s", output);
    CHECK(says("goes through memory: "), "%s", output);
    CHECK(says("features does not fill a vector of 8"), "%s", output);
    CHECK(says("one thread: "), "%s", output);
}

/* The picture in compiler/README.md has a line for each pass, in the table's order. */
static void test_the_readme_shows_every_pass(void)
{
    static char readme[MOST_BYTES];
    char line[64];
    const char *at = readme;
    FILE *file = fopen(in_root("compiler/README.md"), "r");
    CHECK(file != NULL, "no compiler/README.md");
    if (!file)
        return;
    readme[fread(readme, 1, sizeof readme - 1, file)] = '\0';
    fclose(file);
    CHECK(RUN("list", "passes") == 0, "%s", output);
    for (const char *name = output; *name; name = strchr(name, '\n') + 1) {
        snprintf(line, sizeof line, "│  %.*s ", (int)strcspn(name, " "), name);
        const char *found = strstr(at, line);
        CHECK(found, "compiler/README.md lacks \"%s\" or has it elsewhere", line);
        at = found ? found : at;
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s PATH_OF_RNNC SOURCE_FOLDER\n", argv[0]);
        return 1;
    }
    rnnc = argv[1], root = argv[2];
    test_every_list_names_what_it_should();
    test_a_list_of_a_folder_is_that_of_the_library_made_of_it();
    test_an_unknown_list_is_a_mistake_of_usage();
    test_each_command_has_help();
    test_check_says_what_a_spec_is();
    test_check_takes_overrides();
    test_check_shows_defaults_of_handlers();
    test_check_lists_the_numbers_that_may_change_and_no_counters();
    test_check_says_mistakes_and_ends_with_3();
    test_data_that_cannot_tell_a_length_are_told();
    test_files_that_cannot_be_read_are_told_once();
    test_a_stream_is_judged_by_the_source();
    test_a_cell_beyond_all_memory_is_told_by_its_largest_parameter();
    test_a_run_says_how_long_it_compiled();
    test_a_chunk_beyond_all_memory_is_a_mistake_of_the_spec();
    test_gradients_of_the_parity_specs_agree_with_complex_step();
    test_gradients_that_are_not_finite_end_with_6();
    test_specs_of_the_documentation_are_right();
    test_explain_tells_map_from_scan_and_why_values_are_stored();
    test_long_equations_are_cut_into_lines();
    test_explain_shows_what_stands_behind_a_pass();
    test_the_readme_shows_every_pass();
    test_notes_on_performance_are_said_when_asked_for();
    return check_result();
}
