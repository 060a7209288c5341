/*
 * test_windows.c — sequences larger than a window come piece by piece, in whatever way
 * chunks ask for them, in constant memory; a shuffle is asked for one place at a time; a
 * file that changes meanwhile is a fault with a sentence.
 */
#include "permute.h"
#include "sources.h"
#include "window.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

enum { STEPS = 3000000, FEATURES = 3 }; /* 36 MB: more than two windows */

static const struct rnn_model long_model = {
    .name = "long", .steps_max = 64, .rows_max = 2, .n_input = 2, .input = xy_inputs};
static const char series[] = "{\"raw\": \"long.raw\", \"shape\": [0, 3], \"streams\": 2}";

/* x: the step and its last digit; y: the last digit. */
static void write_long(void)
{
    float *at = malloc((size_t)STEPS * FEATURES * sizeof *at);
    for (int t = 0; t < STEPS; t++) {
        at[FEATURES * t] = (float)t;
        at[FEATURES * t + 1] = at[FEATURES * t + 2] = (float)(t % 10);
    }
    scratch_write("long.raw", at, (size_t)STEPS * FEATURES * sizeof *at);
    free(at);
}

static int load(rnn_batch *b, int64_t step0, int64_t steps)
{
    return b->load ? b->load(b, step0, steps) : 0;
}

/* The chunk's first and last step of both rows are those of the file. */
static void check_chunk(const rnn_batch *b, int64_t step0, int64_t steps)
{
    for (int64_t row = 0; row < 2; row++)
        for (int64_t t = 0; t < steps; t += steps - 1) {
            int64_t expected = row * (STEPS / 2) + step0 + t;
            CHECK(real_at(b, 0, t, row, 0) == (float)expected, "step %lld is %g",
                  (long long)expected, (double)real_at(b, 0, t, row, 0));
            CHECK(class_at(b, 1, t, row) == expected % 10, "class %d of step %lld",
                  class_at(b, 1, t, row), (long long)expected);
        }
}

/* Chunks of `steps`, each `stride` behind the one before, over the whole batch. */
static void walk(rnn_source_run *run, int64_t steps, int64_t stride)
{
    run->iterable.restart(run->iterable.user, 0);
    rnn_batch *b = next_batch(run);
    CHECK(b && b->load, "the batch lies in memory whole");
    for (int64_t at = 0; at + steps <= b->steps; at += stride) {
        CHECK(load(b, at, steps) == 0, "%s", run->sentence);
        check_chunk(b, at, steps);
    }
}

static void test_chunks_of_any_stride_are_the_files(void)
{
    rnn_source_run run;
    CHECK(open_run(&run, &long_model, series) == 0, "%s", run.sentence);
    walk(&run, 64, 64);
    walk(&run, 60, 60); /* chunks lie across the edge of a window */
    walk(&run, 64, 32); /* windows of truncated backpropagation overlap */
    rnn_source_close(&run);
}

/* As a resumed run does: in the middle of a batch, forward and back. */
static void test_chunks_may_be_asked_for_anywhere(void)
{
    static const int64_t list[] = {1000000, 1000004, 8, 1499996, 0, 700000, 699996};
    rnn_source_run run;
    CHECK(open_run(&run, &long_model, series) == 0, "%s", run.sentence);
    run.iterable.restart(run.iterable.user, 5);
    rnn_batch *b = next_batch(&run);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        CHECK(load(b, list[i], 4) == 0, "%s", run.sentence);
        check_chunk(b, list[i], 4);
    }
    rnn_source_close(&run);
}

/* ---- who reads ---- */

enum { WATCHED_STEPS = 2000000 };

/* A source that notes who fills windows. Others than the caller wait until they are let go,
   two seconds at most. */
struct watched {
    pthread_t caller;
    atomic_int n_own, n_ahead;
    atomic_bool hold, late;
};

static int watched_fill(void *user, const struct rnn__window_part *part,
                        struct rnn__fault *f)
{
    struct watched *w = user;
    (void)part, (void)f;
    if (pthread_equal(pthread_self(), w->caller)) {
        w->n_own++;
        return 0;
    }
    for (int ms = 0; w->hold && ms < 2000; ms++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    w->late |= w->hold;
    w->n_ahead++;
    return 0;
}

static struct rnn__windows *open_watched(struct watched *w)
{
    struct rnn__windows *windows;
    struct rnn__fault f = {0};
    w->caller = pthread_self();
    struct rnn__windowed source = {.where = "test",
                                   .model = &long_model,
                                   .grid = {.rows = 1,
                                            .steps = WATCHED_STEPS,
                                            .batch_rows = 1,
                                            .batch_steps = WATCHED_STEPS},
                                   .fill = watched_fill,
                                   .user = w};
    CHECK(rnn__windows_open(&windows, &source, &f) == 0, "%s", f.sentence);
    return windows;
}

static rnn_batch watched_read(struct rnn__windows *windows, rnn_array input[2])
{
    static char sentence[200];
    rnn_batch b = {.n_input = 2, .input = input};
    CHECK(rnn__windows_read(windows, 0, 0, &b, sentence, sizeof sentence) == 0, "%s",
          sentence);
    return b;
}

/* However chunks overlap, all windows but the first are read while chunks are computed. */
static void test_windows_are_read_ahead(int64_t steps, int64_t stride)
{
    struct watched watched = {0};
    rnn_array input[2];
    struct rnn__windows *windows = open_watched(&watched);
    rnn_batch b = watched_read(windows, input);
    for (int64_t at = 0; at + steps <= b.steps; at += stride)
        CHECK(load(&b, at, steps) == 0, "step %lld", (long long)at);
    CHECK(watched.n_own == 1 && watched.n_ahead > 5,
          "chunks of %lld each %lld: %d windows waited for, %d read ahead",
          (long long)steps, (long long)stride, watched.n_own, watched.n_ahead);
    rnn__windows_close(windows);
}

/* The window behind is on its way while all chunks of this one are computed. */
static void test_chunks_do_not_wait_for_the_window_behind_theirs(void)
{
    struct watched watched = {.hold = true};
    rnn_array input[2];
    struct rnn__windows *windows = open_watched(&watched);
    rnn_batch b = watched_read(windows, input);
    for (int chunk = 0; chunk < 5; chunk++)
        CHECK(load(&b, 64 * chunk, 64) == 0, "chunk %d", chunk);
    watched.hold = false;
    rnn__windows_close(windows);
    CHECK(!watched.late, "a chunk waited");
}

/* 256 MiB of zeros, a hole on the disk, in far less memory. */
static void test_memory_does_not_grow_with_the_sequence(void)
{
    enum { HOLE_BYTES = 1 << 28 };
    struct rusage before, after;
    rnn_source_run run;
    const char *path = scratch_write("hole.raw", "", 0);
    CHECK(truncate(path, HOLE_BYTES - HOLE_BYTES % (FEATURES * 4)) == 0, "truncate");
    getrusage(RUSAGE_SELF, &before);
    CHECK(open_run(&run, &xy_model,
                   "{\"raw\": \"hole.raw\", \"shape\": [0, 3], \"streams\": 1}") == 0,
          "%s", run.sentence);
    run.iterable.restart(run.iterable.user, 0);
    rnn_batch *b = next_batch(&run);
    for (int64_t at = 0; at + 4 <= b->steps; at += 1 << 20) {
        CHECK(load(b, at, 4) == 0, "%s", run.sentence);
        CHECK(real_at(b, 0, 3, 0, 1) == 0, "a hole is not 0");
    }
    rnn_source_close(&run);
    getrusage(RUSAGE_SELF, &after);
    long grown = after.ru_maxrss - before.ru_maxrss; /* KiB; two windows are 4 MiB */
    CHECK(grown < 8 * 1024, "%ld KiB more", grown);
}

/* ---- texts ---- */

enum { SYMBOLS = 3000000 };

static const struct rnn_input text_inputs[] = {
    {.name = "x", .kind = RNN_CLASS, .size = 1, .classes = 10},
    {.name = "y", .kind = RNN_CLASS, .size = 1, .classes = 10, .for_loss_only = true},
};
static const struct rnn_model text_model = {
    .name = "text", .steps_max = 64, .rows_max = 2, .n_input = 2, .input = text_inputs};

/* Ten symbols of one to four bytes; a number in no simple order. */
static const char *const symbol_list[] = {"a",
                                          "b",
                                          "c",
                                          "d",
                                          "\n",
                                          "\xC3\xA4",
                                          "\xC3\xB6",
                                          "\xC3\xBC",
                                          "\xE2\x82\xAC",
                                          "\xF0\x9F\x98\x80"};

static int symbol_at(int64_t i) { return (int)(rnn__mix((uint64_t)i) % 10); }

/* The symbols, and behind them `last`. */
static void write_text(const char *last)
{
    FILE *file = fopen(scratch_path("long.txt"), "wb");
    for (int i = 0; i < SYMBOLS; i++)
        fputs(symbol_list[symbol_at(i)], file);
    fputs(last, file);
    if (fclose(file) != 0)
        exit(1);
}

/* Class of a symbol of the list: they stand in it by code but for the line's end. */
static int class_of(int symbol)
{
    return symbol == 4 ? 0 : symbol < 4 ? symbol + 1 : symbol;
}

static void check_text(const rnn_batch *b, int64_t streams_steps, int64_t step0,
                       int64_t steps)
{
    for (int64_t row = 0; row < 2; row++)
        for (int64_t t = 0; t < steps; t += steps - 1)
            for (int ahead = 0; ahead < 2; ahead++) {
                int64_t place = row * streams_steps + step0 + t + ahead;
                CHECK(class_at(b, ahead, t, row) == class_of(symbol_at(place)),
                      "symbol %lld is %d", (long long)place, class_at(b, ahead, t, row));
            }
}

static void test_a_text_of_any_length_is_in_windows(void)
{
    static const int64_t list[] = {1000000, 1000004, 8, 1499990, 0, 700000};
    struct rnn__fault f = {0};
    struct rusage before, after;
    rnn_source_run run;
    write_text("");
    CHECK(rnn__vocabulary_scan(&vocabulary, scratch_path("long.txt"), RNN__CHAR, &f) == 0,
          "%s", f.sentence);
    getrusage(RUSAGE_SELF, &before);
    CHECK(open_run(&run, &text_model, "{\"text\": \"long.txt\", \"streams\": 2}") == 0,
          "%s", run.sentence);
    run.iterable.restart(run.iterable.user, 0);
    rnn_batch *b = next_batch(&run);
    CHECK(b->load && b->steps == (SYMBOLS - 1) / 2, "%lld steps", (long long)b->steps);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        CHECK(load(b, list[i], 4) == 0, "%s", run.sentence);
        check_text(b, b->steps, list[i], 4);
    }
    for (int64_t at = 0; at + 64 <= b->steps; at += 64) {
        CHECK(load(b, at, 64) == 0, "%s", run.sentence);
        check_text(b, b->steps, at, 64);
    }
    getrusage(RUSAGE_SELF, &after);
    long grown = after.ru_maxrss - before.ru_maxrss; /* as classes it were 12,000 KiB */
    CHECK(grown < 6 * 1024, "%ld KiB more", grown);
    CHECK(truncate(scratch_path("long.txt"), 100000) == 0, "truncate");
    CHECK(load(b, 800000, 4) == RNN_EDATA, "a text that shrinks");
    CHECK(strstr(run.sentence, "long.txt: has changed since it was opened"), "%s",
          run.sentence);
    rnn_source_close(&run);
}

static void test_a_symbol_that_is_none_is_told_with_its_line(void)
{
    int64_t line = 1, byte = 0;
    char expected[128];
    for (int i = 0; i < SYMBOLS; i++) {
        line += symbol_at(i) == 4;
        byte += (int64_t)strlen(symbol_list[symbol_at(i)]);
    }
    write_text("z");
    snprintf(expected, sizeof expected,
             "long.txt:%lld: byte %lld: character 0x7A 'z' is not among the 10",
             (long long)line, (long long)byte);
    refuse(&text_model, "{\"text\": \"long.txt\"}", expected);
    write_text("\xC3");
    snprintf(expected, sizeof expected, "long.txt:%lld: byte %lld (0xC3) is no UTF-8",
             (long long)line, (long long)byte);
    refuse(&text_model, "{\"text\": \"long.txt\"}", expected);
    rnn__vocabulary_free(&vocabulary);
}

/* ---- files that change ---- */

static void expect_change(const rnn_source_run *run, int code, const char *expected)
{
    CHECK(code == RNN_EDATA, "code %d", code);
    CHECK(strstr(run->sentence, "long.raw") && strstr(run->sentence, expected),
          "\"%s\" lacks \"%s\"", run->sentence, expected);
}

static void test_a_file_that_shrinks_is_told(void)
{
    rnn_source_run run;
    CHECK(open_run(&run, &long_model, series) == 0, "%s", run.sentence);
    run.iterable.restart(run.iterable.user, 0);
    rnn_batch *b = next_batch(&run);
    CHECK(truncate(scratch_path("long.raw"), 1000) == 0, "truncate");
    expect_change(&run, load(b, 1400000, 4), "it had 36000000 bytes, now it has 1000");
    expect_change(&run, load(b, 1400000, 4), "now it has 1000"); /* and still */
    rnn_source_close(&run);
}

static void test_a_file_that_is_written_to_is_told(void)
{
    rnn_source_run run;
    write_long();
    CHECK(open_run(&run, &long_model, series) == 0, "%s", run.sentence);
    run.iterable.restart(run.iterable.user, 0);
    rnn_batch *b = next_batch(&run);
    int fd = open(scratch_path("long.raw"), O_WRONLY);
    struct timespec later[2] = {{.tv_sec = 2000000000}, {.tv_sec = 2000000000}};
    CHECK(fd >= 0 && futimens(fd, later) == 0 && close(fd) == 0, "futimens");
    expect_change(&run, load(b, 1400000, 4), "has been written to");
    rnn_source_close(&run);
}

/* ---- shuffles ---- */

static void test_a_permutation_has_each_place_once(void)
{
    char seen[300];
    for (int n = 1; n < 300; n++) {
        memset(seen, 0, sizeof seen);
        for (int i = 0; i < n; i++) {
            int64_t place = rnn__permute(rnn__mix((uint64_t)n), n, i);
            CHECK(place >= 0 && place < n && !seen[place], "%d of %d: %d again", i, n,
                  (int)place);
            seen[place] = 1;
        }
    }
    int64_t huge = ((int64_t)1 << 60) + 1, far = rnn__permute(7, huge, huge - 1);
    CHECK(far >= 0 && far < huge, "out of a large range");
}

/* Over many keys, what stands first of eleven is each of them about as often: chi square
   with ten degrees of freedom is below 29.6 but once in a thousand; the keys are fixed. */
static void test_orders_are_even(void)
{
    enum { THINGS = 11, KEYS = 11000 };
    for (int place = 0; place < THINGS; place += 5) {
        int count[THINGS] = {0};
        double chi2 = 0;
        for (int key = 0; key < KEYS; key++)
            count[rnn__permute(rnn__mix((uint64_t)key), THINGS, place)]++;
        for (int i = 0; i < THINGS; i++)
            chi2 += pow(count[i] - KEYS / THINGS, 2) / (KEYS / THINGS);
        CHECK(chi2 < 29.6, "place %d: chi square %g", place, chi2);
    }
}

/* Batch k of pass p, sought at once, is the one that reading in order arrives at. */
static void test_any_position_of_a_shuffle_is_found_at_once(void)
{
    enum { ROWS = 40, T = 2 };
    static const char json[] = "{\"raw\": \"rows.raw\", \"shape\": [40, 2, 3], "
                               "\"batch\": 4, \"shuffle\": true}";
    float data[ROWS][T][FEATURES] = {{{0}}};
    rnn_source_run run, sought;
    for (int i = 0; i < ROWS; i++)
        data[i][0][0] = (float)i;
    scratch_write("rows.raw", data, sizeof data);
    CHECK(open_run(&run, &xy_model, json) == 0, "%s", run.sentence);
    json_t *kept = json_incref(settings);
    CHECK(open_run(&sought, &xy_model, json) == 0, "%s", sought.sentence);
    for (int pass = 0; pass < 3; pass++) {
        run.iterable.restart(run.iterable.user, pass);
        for (int i = 0; i < 10; i++) {
            rnn_batch *a = next_batch(&run);
            sought.iterable.restart(sought.iterable.user, pass);
            sought.iterable.seek(sought.iterable.user, (7 * i) % 10);
            sought.iterable.restart(sought.iterable.user, pass);
            sought.iterable.seek(sought.iterable.user, i);
            rnn_batch *b = next_batch(&sought);
            for (int row = 0; row < 4; row++)
                CHECK(real_at(a, 0, 0, row, 0) == real_at(b, 0, 0, row, 0),
                      "pass %d, batch %d", pass, i);
        }
    }
    rnn_source_close(&run);
    rnn_source_close(&sought);
    json_decref(kept);
}

int main(void)
{
    scratch_open();
    write_long();
    test_chunks_of_any_stride_are_the_files();
    test_chunks_may_be_asked_for_anywhere();
    test_windows_are_read_ahead(64, 64);
    test_windows_are_read_ahead(64, 32);
    test_windows_are_read_ahead(60, 60);
    test_chunks_do_not_wait_for_the_window_behind_theirs();
    test_memory_does_not_grow_with_the_sequence();
    test_a_text_of_any_length_is_in_windows();
    test_a_symbol_that_is_none_is_told_with_its_line();
    test_a_file_that_shrinks_is_told();
    test_a_file_that_is_written_to_is_told();
    test_a_permutation_has_each_place_once();
    test_orders_are_even();
    test_any_position_of_a_shuffle_is_found_at_once();
    close_settings();
    scratch_close();
    return check_result();
}
