/*
 * test_run_folder.c — whose a run's folder is: a run that goes on elsewhere takes all of
 * its own along and nothing of another's; one that cannot begin changes nothing.
 */
#include "command.h"

#include <signal.h>
#include <sys/wait.h>

/* 4 streams of 40 steps in batches of 20: 2 iterations of 3 chunks an epoch. */
#define SETTINGS(train)                                                                  \
    "{\"name\": \"bigram\", \"spec\": \"specs/bigram.yaml\","                            \
    " \"data\": {\"train\": {\"text\": \"corpus.txt\", \"streams\": 4, \"length\": 20}," \
    "            \"valid\": {\"text\": \"corpus.txt\", \"streams\": 2}},"                \
    " \"train\": {\"epochs\": 4, \"seed\": 1, " train "}}"

static const char settings[] =
    SETTINGS("\"handlers\": [{\"checkpoint\": {\"keep\": 2, \"best\": \"valid.loss\"}},"
             "{\"log\": {\"every\": \"chunk\"}}]");

static int run(const char *line) { return run_settings(settings, line); }

/* ---- a run that goes on in another folder ---- */

static void test_a_run_that_goes_on_elsewhere_takes_its_log_along(void)
{
    CHECK(run("--out runs/whole --quiet") == 0, "%s", errors);
    CHECK(run("--out runs/a --quiet --max-iterations 3") == 0, "%s", errors);
    char *before = scratch_read("runs/a/log.jsonl");
    CHECK(run("--resume runs/a --out runs/b --quiet") == 0, "%s", errors);
    CHECK(same_file("runs/b/log.jsonl", "runs/whole/log.jsonl"), "logs differ");
    CHECK(
        same_file("runs/b/checkpoint_8.safetensors", "runs/whole/checkpoint_8.safetensors"),
        "last states differ");
    char *after = scratch_read("runs/a/log.jsonl");
    CHECK_TEXT(after, before);
    CHECK(!scratch_exists("runs/a/checkpoint_8.safetensors"),
          "the first folder is as it was");
    free(before);
    free(after);
}

/* B holds another run, further on than A's. */
static void test_a_run_does_not_go_on_in_the_folder_of_another(void)
{
    CHECK(run("--out runs/other --quiet --seed 2") == 0, "%s", errors);
    char *before = scratch_read("runs/other/log.jsonl");
    CHECK(run("--resume runs/a --out runs/other --quiet") == 2, "%s", errors);
    CHECK(strstr(errors,
                 "runs/other: holds checkpoints of another run; give this one --out "
                 "DIR, go on with --resume runs/other, or have them removed by "
                 "--overwrite"),
          "%s", errors);
    char *after = scratch_read("runs/other/log.jsonl");
    CHECK_TEXT(after, before);
    CHECK(run("--resume runs/a --out runs/other --overwrite --quiet --max-iterations 4") ==
              0,
          "%s", errors);
    CHECK(!scratch_exists("runs/other/checkpoint_8.safetensors") &&
              !scratch_exists("runs/other/checkpoint_6.safetensors"),
          "the other run's are left");
    CHECK(run("--resume runs/other --quiet") == 0, "%s", errors);
    CHECK(same_file("runs/other/log.jsonl", "runs/whole/log.jsonl"), "logs differ");
    free(before);
    free(after);
}

/* One folder under two names is one folder. */
static void test_the_same_folder_by_another_name_is_no_other(void)
{
    CHECK(run("--out runs/s --quiet --max-iterations 3") == 0, "%s", errors);
    CHECK(run("--resume runs/s --out runs/../runs/s/ --quiet") == 0, "%s", errors);
    CHECK(same_file("runs/s/log.jsonl", "runs/whole/log.jsonl"), "logs differ");
}

/* A link of B's to A's log: to begin B's would empty A's. */
static void test_a_log_is_not_emptied_through_a_link(void)
{
    CHECK(run("--out runs/la --quiet --max-iterations 3") == 0, "%s", errors);
    char *before = scratch_read("runs/la/log.jsonl");
    CHECK(mkdir("runs/lb", 0777) == 0, "mkdir");
    for (int hard = 0; hard < 2; hard++) {
        unlink("runs/lb/log.jsonl");
        CHECK((hard ? link("runs/la/log.jsonl", "runs/lb/log.jsonl")
                    : symlink("../la/log.jsonl", "runs/lb/log.jsonl")) == 0,
              "link");
        CHECK(run("--resume runs/la --out runs/lb --quiet") == 3, "%s", errors);
        CHECK(strstr(errors, "runs/lb/log.jsonl: is runs/la/log.jsonl of the run that this "
                             "one goes on from"),
              "%s", errors);
        char *after = scratch_read("runs/la/log.jsonl");
        CHECK_TEXT(after, before);
        free(after);
    }
    free(before);
}

/* ---- a log that a resumed run finds ---- */

static int run_bare(const char *line)
{
    return run_settings(SETTINGS("\"handlers\": []"), line);
}

static void test_a_log_is_known_by_any_spelling(void)
{
    CHECK(run_bare("--out runs/k0 --quiet --log whole.jsonl") == 0, "%s", errors);
    CHECK(run_bare("--out runs/k1 --quiet --log k.jsonl --max-iterations 3") == 0, "%s",
          errors);
    CHECK(run_bare("--resume runs/k1 --quiet --log ./k.jsonl --max-iterations 5") == 0,
          "%s", errors);
    CHECK(run_bare("--resume runs/k1/ --out runs/k2 --quiet --log runs/../k.jsonl") == 0,
          "%s", errors);
    CHECK(same_file("k.jsonl", "whole.jsonl"), "logs differ");
}

/* The runs between write no log; what one before has written stays, once. */
static void test_a_log_that_was_left_out_is_still_known(void)
{
    CHECK(run_bare("--out runs/c --quiet --log c.jsonl --max-iterations 2") == 0, "%s",
          errors);
    char *first = scratch_read("c.jsonl");
    FILE *log = fopen("c.jsonl", "a");
    fputs("{\"event\": \"cut\"}\n", log);
    fclose(log);
    CHECK(run_bare("--resume runs/c --quiet --max-iterations 4") == 0, "%s", errors);
    CHECK(run_bare("--resume runs/c --out runs/c2 --quiet --max-iterations 5") == 0, "%s",
          errors);
    CHECK(run_bare("--resume runs/c2 --quiet --log c.jsonl") == 0, "%s", errors);
    char *all = scratch_read("c.jsonl");
    CHECK(*first && strncmp(all, first, strlen(first)) == 0, "%s", all);
    CHECK(strlen(all) > strlen(first) && !strstr(all, "\"cut\""), "%s", all);
    free(first);
    free(all);
}

static void test_a_file_that_no_checkpoint_knows_is_kept(void)
{
    CHECK(run_bare("--out runs/u --quiet --max-iterations 3") == 0, "%s", errors);
    scratch_write("mine.txt", "mine", 4);
    CHECK(run_bare("--resume runs/u --log mine.txt --max-iterations 5") == 0, "%s", errors);
    CHECK(strstr(errors, "mine.txt: 4 bytes that the checkpoint does not know of stay"),
          "%s", errors);
    char *once = scratch_read("mine.txt");
    CHECK(strncmp(once, "mine\n{\"event\"", 13) == 0, "%s", once);
    CHECK(run_bare("--resume runs/u --quiet --log mine.txt") == 0, "%s", errors);
    char *twice = scratch_read("mine.txt");
    CHECK(strncmp(twice, once, strlen(once)) == 0 && strlen(twice) > strlen(once), "%s",
          twice);
    free(once);
    free(twice);
}

/* As a full disk leaves it: shorter than the checkpoint knows, its last line broken off. */
static void test_a_line_that_was_cut_off_is_not_gone_on_with(void)
{
    struct stat st;
    CHECK(run("--out runs/e --quiet --max-iterations 3") == 0, "%s", errors);
    CHECK(stat("runs/e/log.jsonl", &st) == 0, "stat");
    CHECK(truncate("runs/e/log.jsonl", st.st_size - 7) == 0, "truncate");
    CHECK(run("--resume runs/e") == 0, "%s", errors);
    CHECK(strstr(errors, "are missing, and stay missing"), "%s", errors);
    char *log = scratch_read("runs/e/log.jsonl"),
         *all = scratch_read("runs/whole/log.jsonl");
    int lines = count(log, "\n");
    CHECK(lines == count(all, "\n") - 1, "%d lines", lines);
    CHECK(count(log, "\n{\"event\"") == lines - 1 && count(log, "\"event\"") == lines, "%s",
          log);
    free(log);
    free(all);
}

/* A process that holds the lock of a folder while `line` is run; the exit status of that.
 */
static int run_beside_a_trainer(const char *lock, const char *line)
{
    int ready[2], done[2];
    char byte;
    if (pipe(ready) != 0 || pipe(done) != 0)
        return -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(lock, O_RDWR);
        _exit(fd < 0 || rnn__io->lock(fd) != 0 || write(ready[1], "", 1) != 1 ||
              read(done[0], &byte, 1) != 1);
    }
    CHECK(read(ready[0], &byte, 1) == 1, "child");
    int status = run(line);
    CHECK(write(done[1], "", 1) == 1, "child");
    waitpid(child, NULL, 0);
    return status;
}

static void test_a_run_at_work_is_not_gone_on_with_elsewhere(void)
{
    CHECK(run_beside_a_trainer("runs/a/.lock", "--resume runs/a --out runs/b2") == 5, "%s",
          errors);
    CHECK(strstr(errors, "runs/a: another trainer is writing here"), "%s", errors);
    CHECK(!scratch_exists("runs/b2"), "a folder is left");
}

/* ---- a run that cannot begin ---- */

static void test_a_run_that_cannot_begin_changes_nothing(void)
{
    static const char *const list[] = {
        "--init corpus.txt",
        "--init gone.safetensors",
        "--init wrong.safetensors",
        "--set data.train.text=gone.txt",
        "--set data.valid.streams=1000",
        "--set train.handlers.checkpoint.keep=x",
        "--set train.handlers.log.every=x",
        "--log gone/log.jsonl",
        "--trace-out gone/trace.json",
    };
    float x[6] = {0};
    struct rnn__fault f = {0};
    struct rnn__tensor table = {
        .name = "table", .dtype = RNN__F32, .rank = 2, .dim = {2, 3}, .size = 6, .data = x};
    CHECK(rnn__safetensors_write("wrong.safetensors", &table, 1, NULL, &f) == 0, "%s",
          f.sentence);
    CHECK(run("--out runs/n --quiet --seed 3 --max-iterations 2") == 0, "%s", errors);
    char *log = scratch_read("runs/n/log.jsonl"), *spec = scratch_read("runs/n/spec.yaml");
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        char line[256];
        snprintf(line, sizeof line, "--out runs/n --overwrite --quiet %s", list[i]);
        CHECK(run(line) != 0, "%s: began", line);
        char *now = scratch_read("runs/n/log.jsonl");
        CHECK(strcmp(now, log) == 0, "%s: the log has changed", line);
        free(now);
        now = scratch_read("runs/n/spec.yaml");
        CHECK(strcmp(now, spec) == 0, "%s: spec.yaml has changed", line);
        free(now);
        CHECK(scratch_exists("runs/n/checkpoint_2.safetensors"), "%s: no checkpoint", line);
        snprintf(line, sizeof line, "--out runs/none --quiet %s", list[i]);
        CHECK(run(line) != 0 && (i > 6 || !scratch_exists("runs/none")),
              "%s: a folder is left", line);
    }
    free(log);
    free(spec);
}

/* The older run is whole until spec and first checkpoint of the new one are there. */
static void test_a_run_that_cannot_take_the_folder_leaves_the_older_one(void)
{
    static const char *const blocked[] = {"runs/o/spec.yaml.tmp",
                                          "runs/o/checkpoint_0.safetensors.incoming.tmp"};
    CHECK(run("--out runs/o --quiet --max-iterations 2") == 0, "%s", errors);
    char *log = scratch_read("runs/o/log.jsonl"), *spec = scratch_read("runs/o/spec.yaml");
    for (int i = 0; i < 2; i++) {
        CHECK(mkdir(blocked[i], 0777) == 0, "mkdir");
        CHECK(run("--out runs/o --overwrite --quiet --seed 9") == 5, "%s", errors);
        char *now = scratch_read("runs/o/log.jsonl"),
             *now_spec = scratch_read("runs/o/spec.yaml");
        CHECK_TEXT(now, log);
        CHECK_TEXT(now_spec, spec);
        free(now_spec);
        CHECK(scratch_exists("runs/o/checkpoint_2.safetensors"), "no checkpoint");
        rmdir(blocked[i]);
        free(now);
    }
    CHECK(run("--resume runs/o --quiet") == 0, "%s", errors);
    CHECK(same_file("runs/o/log.jsonl", "runs/whole/log.jsonl"), "logs differ");
    CHECK(run("--out runs/o --overwrite --quiet") == 0, "%s", errors);
    CHECK(same_file("runs/o/log.jsonl", "runs/whole/log.jsonl"), "logs differ");
    free(log);
    free(spec);
}

/* What a kill leaves of a new run that takes the folder: before the instant that it does,
   and behind. */
static void test_a_folder_half_taken_is_settled(void)
{
    static const char last[] = "runs/h/checkpoint_8.safetensors",
                      aside[] = "runs/h/checkpoint_8.safetensors.aside",
                      incoming[] = "runs/h/checkpoint_0.safetensors.incoming";
    CHECK(run("--out runs/h --quiet") == 0, "%s", errors);
    rename(last, aside);
    scratch_write(incoming, "x", 1);
    CHECK(run("eval --out runs/h --quiet") == 0, "%s", errors);
    CHECK(scratch_exists(aside) && scratch_exists(incoming), "eval changes the folder");
    CHECK(run("--resume runs/h") == 0 && strstr(errors, last), "%s", errors);
    CHECK(scratch_exists(last) && !scratch_exists(aside) && !scratch_exists(incoming),
          "the older run's are not back");
    rename(last, aside);
    CHECK(run("--resume runs/h --quiet --max-iterations 6") == 0, "%s", errors);
    CHECK(!scratch_exists(last) && !scratch_exists(aside), "the older run's are left");
}

/* A user's files may end as a run's do while they are written, or the folder changes hands:
   they stay, and say nothing of whose it is. */
static void test_what_no_run_names_is_not_settled(void)
{
    static const char last[] = "runs/i/checkpoint_8.safetensors",
                      aside[] = "runs/i/checkpoint_8.safetensors.aside";
    static const char *const mine[] = {"runs/i/checkpoint_mine.safetensors.aside",
                                       "runs/i/checkpoint_mine.safetensors.incoming",
                                       "runs/i/checkpoint_best.safetensors.incoming",
                                       "runs/i/checkpoint_mine.safetensors.tmp",
                                       "runs/i/checkpoint_8.txt.tmp"};
    enum { N = sizeof mine / sizeof *mine };
    CHECK(run("--out runs/i --quiet") == 0, "%s", errors);
    for (int i = 0; i < N; i++)
        scratch_write(mine[i], "x", 1);
    CHECK(run("--resume runs/i --quiet") == 0, "%s", errors);
    CHECK(run("--out runs/i --overwrite --quiet") == 0, "%s", errors);
    rename(last, aside);
    CHECK(run("--resume runs/i --quiet --max-iterations 7") == 0, "%s", errors);
    CHECK(!scratch_exists(last) && !scratch_exists(aside), "an older run's are back");
    for (int i = 0; i < N; i++)
        CHECK(scratch_exists(mine[i]), "%s is removed", mine[i]);
}

/* Until its next checkpoint such a run goes on from the first, which is from before it was
   told how many epochs there are. */
static void test_a_folder_just_taken_is_gone_on_with(void)
{
    static const char blocked[] = "runs/j/checkpoint_1.safetensors.tmp";
    CHECK(run("--out runs/j --quiet --max-iterations 2 --seed 9") == 0, "%s", errors);
    CHECK(mkdir(blocked, 0777) == 0, "mkdir");
    CHECK(run("--out runs/j --overwrite --quiet --max-iterations 1") == 5, "%s", errors);
    CHECK(scratch_exists("runs/j/checkpoint_0.safetensors"), "no first checkpoint");
    rmdir(blocked);
    CHECK(run("--resume runs/j --quiet") == 0, "%s", errors);
    CHECK(same_file("runs/j/log.jsonl", "runs/whole/log.jsonl"), "logs differ");
    CHECK(
        same_file("runs/j/checkpoint_8.safetensors", "runs/whole/checkpoint_8.safetensors"),
        "checkpoints differ");
}

static void test_a_new_run_does_not_take_the_place_of_another(void)
{
    CHECK(run("--out runs/whole --quiet --seed 9") == 2, "%s", errors);
    CHECK(strstr(errors, "runs/whole: holds checkpoints of another run"), "%s", errors);
    CHECK(run("--out runs/best --quiet") == 0, "%s", errors);
    for (int i = 0; i <= 8; i++) {
        char path[64];
        snprintf(path, sizeof path, "runs/best/checkpoint_%d.safetensors", i);
        unlink(path);
    }
    CHECK(run("--out runs/best --quiet") == 2, "only the best is there: %s", errors);
}

/* Another run has come and gone while this one was opening its data: mkdir meets its
   folder. */
static int late_mkdir(const char *path, mode_t mode)
{
    if (strcmp(path, "runs/late") == 0)
        rnn__io_system.rename("runs/first", path);
    return rnn__io_system.mkdir(path, mode);
}

static void test_a_folder_that_another_run_was_first_in_is_not_taken(void)
{
    struct rnn__io late = rnn__io_system;
    late.mkdir = late_mkdir;
    CHECK(run("--out runs/first --quiet") == 0, "%s", errors);
    rnn__io = &late;
    int status = run("--out runs/late --quiet --seed 9");
    rnn__io = &rnn__io_system;
    CHECK(status == 2 && strstr(errors, "runs/late: holds checkpoints of another run"),
          "%d: %s", status, errors);
    CHECK(same_file("runs/late/checkpoint_8.safetensors",
                    "runs/whole/checkpoint_8.safetensors"),
          "last states differ");
    CHECK(same_file("runs/late/log.jsonl", "runs/whole/log.jsonl"), "logs differ");
}

/* ---- files ---- */

/* Two writers of one file would cut and mingle each other's lines. */
static void test_one_file_has_one_writer(void)
{
    static const struct {
        const char *settings, *line;
    } list[] = {
        {SETTINGS("\"handlers\": [{\"log\": {\"every\": \"chunk\"}}, {\"log\": "
                  "{\"every\": \"epoch\"}}]"),
         ""},
        {SETTINGS("\"handlers\": [{\"trace\": {\"file\": \"log.jsonl\"}}]"), ""},
        {SETTINGS("\"handlers\": []"), "--log runs/twice/log.jsonl"},
        {SETTINGS("\"handlers\": []"), "--log runs/link.jsonl"},
        {SETTINGS("\"handlers\": []"), "--log x.json --trace-out ./x.json"},
    };
    scratch_write("runs/link.jsonl", "", 0);
    unlink("runs/link.jsonl");
    CHECK(symlink("twice/log.jsonl", "runs/link.jsonl") == 0, "symlink");
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        char line[128];
        snprintf(line, sizeof line, "--out runs/twice --quiet %s", list[i].line);
        int status = run_settings(list[i].settings, line);
        CHECK(status == 2 || status == 3, "%d: status %d: %s", (int)i, status, errors);
        CHECK(strstr(errors, "is written by two; give one of them another file"), "%d: %s",
              (int)i, errors);
    }
    CHECK(run("--out runs/data --quiet --log corpus.txt") == 2, "%s", errors);
    CHECK(strstr(errors, "corpus.txt: is a file of the data"), "%s", errors);
    char *corpus = scratch_read("corpus.txt");
    CHECK(strlen(corpus) == 162, "the corpus has %d bytes", (int)strlen(corpus));
    free(corpus);
}

/* The settings name no file elsewhere, and none that the run itself writes. */
static void test_settings_name_files_of_the_runs_folder(void)
{
    static const char *const list[] = {"/tmp/log.jsonl", "../log.jsonl",
                                       "sub/log.jsonl",  ".lock",
                                       "spec.yaml",      "checkpoint_9.safetensors"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        static const char *const key[] = {"log.file", "handlers.log.file",
                                          "handlers.trace.file"};
        for (int k = 0; k < 3; k++) {
            char line[128];
            snprintf(line, sizeof line, "--out runs/names --quiet --set train.%s=%s",
                     key[k], list[i]);
            CHECK(run_settings(SETTINGS("\"log\": {}, \"handlers\": []"), line) == 3,
                  "%s: %s", line, errors);
            CHECK(strstr(errors, list[i]), "%s: %s", line, errors);
        }
    }
    CHECK(!scratch_exists("runs/names"), "a folder is left");
    CHECK(run("--out runs/names --quiet --set train.handlers.trace.file=t.txt") == 0, "%s",
          errors);
    CHECK(scratch_exists("runs/names/t.txt"), "the trace");
}

int main(void)
{
    scratch_open();
    command_begin();
    test_a_run_that_goes_on_elsewhere_takes_its_log_along();
    test_a_run_does_not_go_on_in_the_folder_of_another();
    test_the_same_folder_by_another_name_is_no_other();
    test_a_log_is_not_emptied_through_a_link();
    test_a_log_is_known_by_any_spelling();
    test_a_log_that_was_left_out_is_still_known();
    test_a_file_that_no_checkpoint_knows_is_kept();
    test_a_line_that_was_cut_off_is_not_gone_on_with();
    test_a_run_at_work_is_not_gone_on_with_elsewhere();
    test_a_run_that_cannot_begin_changes_nothing();
    test_a_run_that_cannot_take_the_folder_leaves_the_older_one();
    test_a_folder_half_taken_is_settled();
    test_what_no_run_names_is_not_settled();
    test_a_folder_just_taken_is_gone_on_with();
    test_a_new_run_does_not_take_the_place_of_another();
    test_a_folder_that_another_run_was_first_in_is_not_taken();
    test_one_file_has_one_writer();
    test_settings_name_files_of_the_runs_folder();
    return command_end();
}
