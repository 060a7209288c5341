/*
 * test_data.c — sources give the batches that the settings ask for, and say file and
 * row of what does not fit the model.
 */
#include "npy_bytes.h"
#include "sources.h"

static const struct rnn_input inputs[] = {
    {.name = "x", .kind = RNN_REAL, .rank = 1, .dim = {2}, .size = 2},
    {.name = "y",
     .kind = RNN_CLASS,
     .size = 1,
     .classes = 10,
     .has_ignore = true,
     .ignore = -100},
    {.name = "n", .kind = RNN_INTEGER, .size = 1, .per_sequence = true},
};
static const struct rnn_model reals = {
    .name = "reals", .steps_max = 4, .rows_max = 8, .n_input = 3, .input = inputs};

static const struct rnn_input text_inputs[] = {
    {.name = "x", .kind = RNN_CLASS, .size = 1, .classes = 30},
    {.name = "y", .kind = RNN_CLASS, .size = 1, .classes = 30},
};
static const struct rnn_model texts = {
    .name = "texts", .steps_max = 4, .rows_max = 8, .n_input = 2, .input = text_inputs};

/* ---- npy ---- */

enum { N = 5, T = 3 };

/* Five sequences of three steps: x = 100 row + 10 step + feature, y = row, n = row + 1. */
static void write_arrays(bool time_first)
{
    float x[N * T * 2];
    int64_t y[N * T];
    uint8_t n[N];
    for (int row = 0; row < N; row++) {
        n[row] = (uint8_t)(row + 1);
        for (int t = 0; t < T; t++) {
            int at = time_first ? t * N + row : row * T + t;
            y[at] = row;
            x[2 * at] = (float)(100 * row + 10 * t);
            x[2 * at + 1] = x[2 * at] + 1;
        }
    }
    npy_write("x.npy", 1, npy_header("<f4", time_first ? "(3, 5, 2)" : "(5, 3, 2)"), x,
              sizeof x);
    npy_write("y.npy", 1, npy_header("<i8", time_first ? "(3, 5)" : "(5, 3)"), y, sizeof y);
    npy_write("n.npy", 1, npy_header("|u1", "(5,)"), n, sizeof n);
}

static void check_row(const rnn_batch *b, int64_t row, int sequence)
{
    for (int t = 0; t < T; t++) {
        CHECK(real_at(b, 0, t, row, 0) == (float)(100 * sequence + 10 * t),
              "row %d step %d: %g", (int)row, t, (double)real_at(b, 0, t, row, 0));
        CHECK(class_at(b, 1, t, row) == sequence, "class %d", class_at(b, 1, t, row));
    }
    CHECK(class_at(b, 2, 0, row) == sequence + 1, "n %d", class_at(b, 2, 0, row));
}

static void check_in_order(const char *json)
{
    rnn_source_run run;
    CHECK(open_run(&run, &reals, json) == 0, "%s", run.sentence);
    CHECK(run.iterable.length == 3, "%lld batches", (long long)run.iterable.length);
    for (int pass = 0; pass < 2; pass++) {
        run.iterable.restart(run.iterable.user, pass);
        for (int i = 0; i < 3; i++) {
            rnn_batch *b = next_batch(&run);
            CHECK(b->rows == (i < 2 ? 2 : 1) && b->steps == T, "batch %d", i);
            for (int64_t row = 0; row < b->rows; row++)
                check_row(b, row, 2 * i + (int)row);
        }
        CHECK(next_batch(&run) == NULL, "a fourth batch");
    }
    rnn_source_close(&run);
}

static void test_sequences_come_in_order(void)
{
    write_arrays(false);
    check_in_order("{\"x\": \"x.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\", \"batch\": 2}");
    write_arrays(true);
    check_in_order(
        "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\", \"batch\": \"2\", "
        "\"time_axis\": 0}");
}

static void test_seek_and_drop_last(void)
{
    rnn_source_run run;
    write_arrays(false);
    CHECK(open_run(&run, &reals,
                   "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\", \"batch\": 2, "
                   "\"drop_last\": true}") == 0,
          "%s", run.sentence);
    CHECK(run.iterable.length == 2, "%lld batches", (long long)run.iterable.length);
    run.iterable.restart(run.iterable.user, 0);
    run.iterable.seek(run.iterable.user, 1);
    check_row(next_batch(&run), 0, 2);
    CHECK(next_batch(&run) == NULL, "more");
    rnn_source_close(&run);
}

/* The order of a pass of single sequences as decimal digits. */
static int shuffled(const char *json, int64_t pass)
{
    rnn_source_run run;
    int digits = 0;
    CHECK(open_run(&run, &reals, json) == 0, "%s", run.sentence);
    run.iterable.restart(run.iterable.user, pass);
    for (rnn_batch *b; (b = next_batch(&run));) {
        check_row(b, 0, class_at(b, 1, 0, 0));
        digits = 10 * digits + class_at(b, 1, 0, 0) + 1;
    }
    rnn_source_close(&run);
    return digits;
}

static void test_a_shuffle_depends_on_seed_and_pass_alone(void)
{
    static const char rows[] = "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\", "
                               "\"batch\": 1, \"shuffle\": \"true\"}";
    static const char steps[] = "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\", "
                                "\"batch\": 1, \"shuffle\": true, \"time_axis\": 0}";
    write_arrays(false);
    int first = shuffled(rows, 0), second = shuffled(rows, 1), digits = 0;
    CHECK(first != second, "both passes %d", first);
    CHECK(shuffled(rows, 1) == second, "not repeatable");
    for (int left = first; left; left /= 10)
        digits |= 1 << left % 10;
    CHECK(digits == 62, "%d is no permutation of 1 to 5", first);
    write_arrays(true);
    CHECK(shuffled(steps, 0) == first, "another order with time first");
}

/* A half of the sequences: the second, in both layouts, in order and shuffled. */
static void test_a_part_of_sequences(void)
{
    for (int i = 0; i < 4; i++) {
        char json[256];
        int seen = 0;
        rnn_source_run run;
        write_arrays(i & 1);
        snprintf(json, sizeof json,
                 "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\", \"batch\": 2, "
                 "\"part\": [0.4, 1], \"time_axis\": %d, \"shuffle\": %s}",
                 !(i & 1), i & 2 ? "true" : "false");
        CHECK(open_run(&run, &reals, json) == 0, "%s", run.sentence);
        CHECK(run.iterable.length == 2, "%lld batches", (long long)run.iterable.length);
        run.iterable.restart(run.iterable.user, 1);
        for (rnn_batch *b; (b = next_batch(&run));)
            for (int64_t row = 0; row < b->rows; row++) {
                int sequence = class_at(b, 1, 0, row);
                check_row(b, row, sequence);
                seen |= 1 << sequence;
                CHECK(i & 2 || sequence == 2 + b->row0 + row, "sequence %d", sequence);
            }
        CHECK(seen == 0x1C, "sequences %#x, not 2, 3 and 4", (unsigned)seen);
        rnn_source_close(&run);
    }
}

/* ---- one series, and targets ahead ---- */

enum { LONG = 23 };

/* x: 10 step and that plus one; y: the step's last digit. */
static void write_series(void)
{
    float x[LONG][2];
    int8_t y[LONG];
    for (int t = 0; t < LONG; t++) {
        x[t][0] = (float)(10 * t), x[t][1] = x[t][0] + 1;
        y[t] = (int8_t)(t % 10);
    }
    npy_write("x.npy", 1, npy_header("<f4", "(23, 2)"), x, sizeof x);
    npy_write("y.npy", 1, npy_header("|i1", "(23, 1)"), y, sizeof y);
}

/* Streams of 10 steps from step 2 on, the target one ahead, in batches of 4 steps. */
static void test_streams_of_a_part_with_targets_ahead(void)
{
    rnn_source_run run;
    write_series();
    CHECK(open_run(&run, &xy_model,
                   "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"streams\": 2, \"length\": 4, "
                   "\"ahead\": 1, \"part\": [0.1, 1]}") == 0,
          "%s", run.sentence);
    CHECK(run.iterable.length == 3 && run.info.continues && run.info.rows == 2,
          "%lld batches", (long long)run.iterable.length);
    run.iterable.restart(run.iterable.user, 0);
    for (int i = 0; i < 3; i++) {
        rnn_batch *b = next_batch(&run);
        CHECK(b->steps == (i < 2 ? 4 : 2) && b->row0 == 0, "batch %d", i);
        CHECK(i == 0 ? b->start && b->start[0] && b->start[1] : !b->start, "start of %d",
              i);
        for (int row = 0; row < 2; row++)
            for (int64_t t = 0; t < b->steps; t++) {
                int step = 2 + 10 * row + 4 * i + (int)t;
                CHECK(real_at(b, 0, t, row, 1) == (float)(10 * step + 1), "x of step %d",
                      step);
                CHECK(class_at(b, 1, t, row) == (step + 1) % 10, "y of step %d is %d", step,
                      class_at(b, 1, t, row));
            }
    }
    CHECK(next_batch(&run) == NULL, "more");
    rnn_source_close(&run);
    CHECK(open_run(&run, &xy_model,
                   "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"streams\": 2, \"length\": 4, "
                   "\"drop_last\": true}") == 0 &&
              run.iterable.length == 2,
          "%s", run.sentence);
    rnn_source_close(&run);
}

/* What is given once a sequence is given once a stream. */
static void test_streams_with_a_value_each(void)
{
    static const char json[] =
        "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\", \"streams\": 3}";
    rnn_source_run run;
    uint8_t n[] = {7, 8, 9, 10};
    write_series();
    npy_write("n.npy", 1, npy_header("|u1", "(3,)"), n, 3);
    CHECK(open_run(&run, &reals, json) == 0, "%s", run.sentence);
    run.iterable.restart(run.iterable.user, 0);
    rnn_batch *b = next_batch(&run);
    CHECK(b->steps == 7, "%d steps", (int)b->steps);
    for (int row = 0; row < 3; row++)
        CHECK(class_at(b, 2, 0, row) == 7 + row && class_at(b, 1, 0, row) == 7 * row % 10,
              "stream %d has %d", row, class_at(b, 2, 0, row));
    rnn_source_close(&run);
    npy_write("n.npy", 1, npy_header("|u1", "(4,)"), n, 4);
    refuse(&reals, json, "4 values are given once a sequence, but there are 3 streams");
}

/* The same array twice: sequences are one step shorter. */
static void test_sequences_with_targets_ahead(void)
{
    rnn_source_run run;
    uint8_t numbers[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const struct rnn_input both[] = {
        {.name = "x", .kind = RNN_CLASS, .size = 1, .classes = 10},
        {.name = "y", .kind = RNN_CLASS, .size = 1, .classes = 10, .for_loss_only = true},
    };
    static const struct rnn_model next = {
        .name = "next", .steps_max = 4, .rows_max = 8, .n_input = 2, .input = both};
    for (int time_axis = 0; time_axis < 2; time_axis++) {
        char json[128];
        npy_write("n.npy", 1, npy_header("|u1", time_axis ? "(2, 4)" : "(4, 2)"), numbers,
                  sizeof numbers);
        snprintf(json, sizeof json,
                 "{\"x\": \"n.npy\", \"y\": \"n.npy\", \"ahead\": 1, \"time_axis\": %d}",
                 time_axis);
        CHECK(open_run(&run, &next, json) == 0, "%s", run.sentence);
        run.iterable.restart(run.iterable.user, 0);
        rnn_batch *b = next_batch(&run);
        int stride = time_axis ? 1 : 2;
        CHECK(b->steps == 3 && b->rows == 2, "%d steps", (int)b->steps);
        for (int t = 0; t < 3; t++)
            CHECK(class_at(b, 0, t, 1) + stride == class_at(b, 1, t, 1), "step %d", t);
        rnn_source_close(&run);
    }
}

static void test_options_of_series_and_sequences_do_not_mix(void)
{
    write_series();
    refuse(&xy_model,
           "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"streams\": 2, \"shuffle\": true}",
           "shuffle: is for sequences");
    refuse(&xy_model, "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"length\": 2}",
           "length: cuts streams");
    refuse(&xy_model, "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"streams\": 8, \"ahead\": 16}",
           "too few for 8 streams (data.train), 16 of them ahead of the rest");
    refuse(&xy_model, "{\"x\": \"x.npy\", \"y\": \"y.npy\"}",
           "has shape [23, 2], but input 'x' needs [N, T, 2]");
    write_arrays(false);
    refuse(&xy_model, "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"streams\": 2}",
           "without 'streams' it would be read as sequences");
}

static void test_what_is_not_finite_is_let_in_where_allowed(void)
{
    rnn_source_run run;
    float x[4][2] = {{NAN, INFINITY}};
    uint8_t y[4] = {0};
    npy_write("x.npy", 1, npy_header("<f4", "(4, 2)"), x, sizeof x);
    npy_write("y.npy", 1, npy_header("|u1", "(4,)"), y, sizeof y);
    refuse(&xy_model, "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"streams\": 1}",
           "x.npy: step 0, feature 0: is nan; reals must be finite ('nan: allow'");
    CHECK(open_run(&run, &xy_model,
                   "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"streams\": 1, \"nan\": "
                   "\"allow\"}") == 0,
          "%s", run.sentence);
    rnn_source_close(&run);
    y[1] = 10; /* classes are still looked at */
    npy_write("y.npy", 1, npy_header("|u1", "(4,)"), y, sizeof y);
    refuse(&xy_model,
           "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"streams\": 1, \"nan\": \"allow\"}",
           "y.npy: step 1: is 10");
}

/* Numbers that are missing are the model's to pass over: one that does not is refused. */
static void test_masks_are_for_models_that_have_them(void)
{
    static const char json[] = "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\", "
                               "\"nan\": \"mask\"}";
    rnn_source_run run;
    float x[N * T * 2] = {NAN};
    struct rnn_input masked[3];
    write_arrays(false);
    npy_write("x.npy", 1, npy_header("<f4", "(5, 3, 2)"), x, sizeof x);
    refuse(&reals, json, "nan: mask is compiled into a program, and this one has it not");
    memcpy(masked, inputs, sizeof masked);
    masked[0].masked = true;
    struct rnn_model model = reals;
    model.input = masked;
    CHECK(open_run(&run, &model, json) == 0, "%s", run.sentence);
    rnn_source_close(&run);
}

/* Of a row's steps that count the last one has no target, one step ahead. */
static void test_lengths_of_targets_ahead(void)
{
    static const char json[] =
        "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\", \"ahead\": 1}";
    const uint8_t n[N] = {0, 1, 2, 3, 3};
    rnn_source_run run;
    write_arrays(false);
    npy_write("n.npy", 1, npy_header("|u1", "(5,)"), n, sizeof n);
    lengths = "n";
    CHECK(open_run(&run, &reals, json) == 0, "%s", run.sentence);
    lengths = NULL;
    run.iterable.restart(run.iterable.user, 0);
    for (int row = 0; row < N;) {
        rnn_batch *b = next_batch(&run);
        CHECK(b && b->rows > 0, "no rows from %d on", row);
        for (int i = 0; b && i < b->rows; i++, row++)
            CHECK(class_at(b, 2, 0, i) == (n[row] > 1 ? n[row] - 1 : 0), "row %d: %d", row,
                  class_at(b, 2, 0, i));
        if (!b)
            break;
    }
    rnn_source_close(&run);
}

/* Of three steps four cannot count. */
static void test_lengths_beyond_a_sequence_are_told(void)
{
    static const char all[] = "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\"}";
    static const char ahead[] =
        "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\", \"ahead\": 1}";
    const uint8_t n[N] = {0, 1, 2, 3, 3};
    const int8_t negative[N] = {0, 1, -1};
    rnn_source_run run;
    write_arrays(false);
    lengths = "n";
    refuse(&reals, all, "n.npy: row 3: 4 steps count, of a sequence of 3");
    npy_write("n.npy", 1, npy_header("|u1", "(5,)"), n, sizeof n);
    for (int i = 0; i < 2; i++) { /* of the file's steps, whatever targets take of them */
        CHECK(open_run(&run, &reals, i ? ahead : all) == 0, "%s", run.sentence);
        rnn_source_close(&run);
    }
    npy_write("n.npy", 1, npy_header("|i1", "(5,)"), negative, sizeof negative);
    refuse(&reals, all, "n.npy: row 2: is -1; integers must be 0 to");
    lengths = NULL;
}

static void test_what_does_not_fit_is_told(void)
{
    static const char all[] = "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\"}";
    float bad_x[N * T * 2] = {0};
    int64_t bad_y[N * T] = {0};
    write_arrays(false);
    refuse(&reals, "{\"x\": \"x.npy\", \"y\": \"y.npy\"}", "no file for input 'n'");
    refuse(&reals, "{\"x\": \"x.npy\", \"yy\": \"y.npy\"}",
           "unknown key 'yy'; did you mean 'y'?");
    refuse(&reals, "{\"x\": \"x.npy\", \"y\": \"x.npy\", \"n\": \"n.npy\"}",
           "holds float32");
    refuse(&reals, "{\"x\": \"y.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\"}", "holds int64");
    refuse(&reals, "{\"x\": \"x.npy\", \"y\": \"n.npy\", \"n\": \"n.npy\"}",
           "has shape [5], but input 'y' needs [N, T]");
    refuse(&reals, "{\"x\": \"gone.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\"}",
           "No such file");
    refuse(&reals, "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\", \"batch\": 9}",
           "compiled for 8 at most");
    refuse(&reals, "{\"x\": \"x.npy\", \"y\": \"y.npy\", \"n\": \"n.npy\", \"batch\": 0}",
           "less than 1");
    bad_x[2 * (T * 3 + 1) + 1] = NAN;
    npy_write("x.npy", 1, npy_header("<f4", "(5, 3, 2)"), bad_x, sizeof bad_x);
    refuse(&reals, all, "x.npy: row 3, step 1, feature 1: is nan");
    write_arrays(false);
    bad_y[T * 4 + 2] = 10;
    bad_y[0] = -100;
    npy_write("y.npy", 1, npy_header("<i8", "(5, 3)"), bad_y, sizeof bad_y);
    refuse(&reals, all, "y.npy: row 4, step 2: is 10; classes are 0 to 9, or -100");
    npy_write("y.npy", 1, npy_header("<i8", "(3, 5)"), bad_y, sizeof bad_y);
    refuse(&reals, all, "has 3 sequences, the files before it have 5");
}

/* Data that make no batch: which file, how many it has, and which option leaves none. */
static void test_data_without_a_batch_are_told(void)
{
    static const float x[3 * 4 * 2] = {0};
    static const int64_t y[3 * 4] = {0};
    static const struct {
        const char *x_shape, *y_shape, *options, *expected;
    } list[] = {
        {"(0, 4, 2)", "(0, 4)", "", "x.npy: holds 0 sequences"},
        {"(3, 0, 2)", "(3, 0)", "", "x.npy: its sequences have 0 steps"},
        {"(3, 4, 2)", "(3, 4)", ", \"ahead\": 4",
         "x.npy: its sequences have 4 steps, too few for data.train.ahead 4"},
        {"(3, 4, 2)", "(3, 4)", ", \"part\": [0, 0.3]",
         "x.npy: holds 3 sequences, of which data.train.part takes none"},
        {"(3, 4, 2)", "(3, 4)", ", \"batch\": 5, \"drop_last\": true",
         "x.npy: holds 3 sequences, no batch of 5, and data.train.drop_last leaves "
         "smaller"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        char json[256];
        bool empty = list[i].x_shape[1] == '0' || list[i].x_shape[4] == '0';
        npy_write("x.npy", 1, npy_header("<f4", list[i].x_shape), x, empty ? 0 : sizeof x);
        npy_write("y.npy", 1, npy_header("<i8", list[i].y_shape), y, empty ? 0 : sizeof y);
        snprintf(json, sizeof json, "{\"x\": \"x.npy\", \"y\": \"y.npy\"%s}",
                 list[i].options);
        refuse(&xy_model, json, list[i].expected);
    }
}

/* ---- text ---- */

static const char alphabet[] = "abcdefghijklmnopqrstu"; /* 21: two streams of ten steps */

static void open_text(rnn_source_run *run, const char *json)
{
    struct rnn__fault f = {0};
    scratch_write("text.txt", alphabet, sizeof alphabet - 1);
    rnn__vocabulary_free(&vocabulary);
    CHECK(rnn__vocabulary_scan(&vocabulary, scratch_path("text.txt"), RNN__BYTE, &f) == 0,
          "%s", f.sentence);
    CHECK(open_run(run, &texts, json) == 0, "%s", run->sentence);
}

static void test_text_fills_x_and_y_one_apart(void)
{
    rnn_source_run run;
    open_text(&run, "{\"text\": \"text.txt\", \"streams\": 2}");
    CHECK(run.iterable.length == 1 && !run.info.continues, "%lld batches",
          (long long)run.iterable.length);
    run.iterable.restart(run.iterable.user, 0);
    rnn_batch *b = next_batch(&run);
    CHECK(b->steps == 10 && b->rows == 2, "%lld steps", (long long)b->steps);
    for (int row = 0; row < 2; row++)
        for (int t = 0; t < 10; t++) {
            CHECK(class_at(b, 0, t, row) == 10 * row + t, "x %d", class_at(b, 0, t, row));
            CHECK(class_at(b, 1, t, row) == 10 * row + t + 1, "y %d",
                  class_at(b, 1, t, row));
        }
    CHECK(next_batch(&run) == NULL, "more");
    rnn_source_close(&run);
}

static void test_lengths_cut_streams_into_batches_that_go_on(void)
{
    rnn_source_run run;
    open_text(&run, "{\"text\": \"text.txt\", \"streams\": 2, \"length\": 4}");
    CHECK(run.iterable.length == 3 && run.info.continues, "%lld batches",
          (long long)run.iterable.length);
    run.iterable.restart(run.iterable.user, 0);
    rnn_batch *b = next_batch(&run);
    CHECK(b->steps == 4 && b->start && b->start[0] && b->start[1], "first starts anew");
    b = next_batch(&run);
    CHECK(b->steps == 4 && !b->start, "second goes on");
    CHECK(class_at(b, 0, 0, 1) == 14, "x %d", class_at(b, 0, 0, 1));
    b = next_batch(&run);
    CHECK(b->steps == 2, "rest of %lld steps", (long long)b->steps);
    rnn_source_close(&run);
}

static void test_a_part_of_a_text(void)
{
    rnn_source_run run;
    open_text(&run, "{\"text\": \"text.txt\", \"streams\": 1, \"part\": [\"0.5\", 1]}");
    run.iterable.restart(run.iterable.user, 0);
    rnn_batch *b = next_batch(&run);
    CHECK(b->steps == 10 && class_at(b, 0, 0, 0) == 10, "%lld steps from %d",
          (long long)b->steps, class_at(b, 0, 0, 0));
    rnn_source_close(&run);
    refuse(&texts, "{\"text\": \"text.txt\", \"part\": [0.5, 0.4]}", "part");
    refuse(&texts, "{\"text\": \"text.txt\", \"part\": [0, 0.2], \"streams\": 8}",
           "too few");
    refuse(&texts, "{\"text\": \"text.txt\", \"level\": \"word\"}", "not byte or char");
    refuse(&reals, "{\"text\": \"text.txt\"}", "class");
    scratch_write("other.txt", "abc\nabZ", 7);
    refuse(&texts, "{\"text\": \"other.txt\"}",
           "other.txt:1: byte 3: byte 0x0A is not among");
}

static void test_characters_are_code_points(void)
{
    static const char utf8[] = "z\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80z";
    struct rnn__fault f = {0};
    struct rnn__vocabulary v;
    int32_t *classes;
    int64_t n;
    char bytes[4];
    const char *path = scratch_write("utf8.txt", utf8, sizeof utf8 - 1);
    CHECK(rnn__vocabulary_scan(&v, path, RNN__CHAR, &f) == 0, "%s", f.sentence);
    CHECK(v.n == 4 && v.code[0] == 'z' && v.code[1] == 0xE4 && v.code[3] == 0x1F600,
          "codes");
    CHECK(rnn__vocabulary_encode(&v, utf8, sizeof utf8 - 1, path, &classes, &n, &f) == 0,
          "%s", f.sentence);
    CHECK(n == 5 && classes[1] == 1 && classes[4] == 0, "%lld symbols", (long long)n);
    CHECK(rnn__vocabulary_decode(&v, 3, bytes) == 4 &&
              memcmp(bytes, "\xF0\x9F\x98\x80", 4) == 0,
          "decoded");
    free(classes);
    json_t *json = rnn__vocabulary_to_json(&v);
    rnn__vocabulary_free(&v);
    CHECK(rnn__vocabulary_from_json(&v, json, &f) == 0 && v.n == 4 && v.level == RNN__CHAR,
          "%s", f.sentence);
    json_decref(json);
    rnn__vocabulary_free(&v);
}

static void test_wrong_utf8_is_told(void)
{
    static const char *const list[] = {
        "a\n\xFF",     "a\n\xC0\x80",         "a\n\xED\xA0\x80",
        "a\n\xE2\x82", "a\n\xF5\x80\x80\x80", "a\n\x80"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct rnn__fault f = {0};
        struct rnn__vocabulary v;
        const char *path = scratch_write("bad.txt", list[i], strlen(list[i]));
        CHECK(rnn__vocabulary_scan(&v, path, RNN__CHAR, &f) == RNN_EDATA, "row %zu", i);
        CHECK(strstr(f.sentence, "bad.txt:2: byte 2 "), "row %zu: %s", i, f.sentence);
    }
    /* a character across the edge of a block */
    char *text = malloc(65535 + 3);
    memset(text, 'a', 65535);
    memcpy(text + 65535, "\xE2\x82\xAC", 3);
    struct rnn__fault f = {0};
    struct rnn__vocabulary v;
    const char *path = scratch_write("long.txt", text, 65535 + 3);
    CHECK(rnn__vocabulary_scan(&v, path, RNN__CHAR, &f) == 0 && v.n == 2, "%s", f.sentence);
    rnn__vocabulary_free(&v);
    free(text);
}

/* ---- random ---- */

static void test_random_inputs_are_of_their_kinds(void)
{
    rnn_source_run run;
    float first = 0;
    CHECK(open_run(&run, &reals,
                   "{\"random\": true, \"batch\": 4, \"steps\": 6, \"sequences\": 10}") ==
              0,
          "%s", run.sentence);
    CHECK(run.iterable.length == 3, "%lld batches", (long long)run.iterable.length);
    for (int pass = 0; pass < 2; pass++) {
        run.iterable.restart(run.iterable.user, pass);
        for (rnn_batch *b; (b = next_batch(&run));)
            for (int64_t row = 0; row < b->rows; row++) {
                CHECK(class_at(b, 1, 5, row) >= 0 && class_at(b, 1, 5, row) < 10, "class");
                CHECK(class_at(b, 2, 0, row) >= 1 && class_at(b, 2, 0, row) <= 6, "length");
                CHECK(isfinite(real_at(b, 0, 5, row, 0)), "real");
                if (b->row0 == 0 && row == 0 && pass == 0)
                    first = real_at(b, 0, 0, 0, 0);
                if (b->row0 == 0 && row == 0)
                    CHECK(real_at(b, 0, 0, 0, 0) == first, "another epoch, other data");
            }
    }
    rnn_source_close(&run);
}

/* What stands at a step is the same wherever the chunk begins, and only part of the
   sequence is in memory. */
static void test_long_random_sequences_repeat_themselves(void)
{
    rnn_source_run run;
    CHECK(open_run(&run, &reals,
                   "{\"random\": true, \"batch\": 2, \"steps\": 4000000000000}") == 0,
          "%s", run.sentence);
    run.iterable.restart(run.iterable.user, 0);
    rnn_batch *b = next_batch(&run);
    const int64_t first = 3999999000000, n = 300000; /* more than a period: 4 MB */
    int64_t n_other = 0;
    CHECK(b->load != NULL, "the whole sequence is in memory");
    for (int64_t step = first; step < first + n && b->load; step++) {
        b->load(b, step, 4);
        float here = real_at(b, 0, 0, 1, 0), next = real_at(b, 0, 1, 1, 0),
              last = real_at(b, 0, 3, 1, 0);
        b->load(b, step + 1, 3);
        n_other += here != next;
        if (real_at(b, 0, 0, 1, 0) != next || real_at(b, 0, 2, 1, 0) != last)
            CHECK(false, "step %lld", (long long)step);
    }
    CHECK(n_other > n - 10, "%lld steps differ from the one before", (long long)n_other);
    rnn_source_close(&run);
}

int main(void)
{
    scratch_open();
    test_sequences_come_in_order();
    test_seek_and_drop_last();
    test_a_shuffle_depends_on_seed_and_pass_alone();
    test_a_part_of_sequences();
    test_streams_of_a_part_with_targets_ahead();
    test_streams_with_a_value_each();
    test_sequences_with_targets_ahead();
    test_options_of_series_and_sequences_do_not_mix();
    test_what_is_not_finite_is_let_in_where_allowed();
    test_data_without_a_batch_are_told();
    test_lengths_beyond_a_sequence_are_told();
    test_lengths_of_targets_ahead();
    test_masks_are_for_models_that_have_them();
    test_what_does_not_fit_is_told();
    test_text_fills_x_and_y_one_apart();
    test_lengths_cut_streams_into_batches_that_go_on();
    test_a_part_of_a_text();
    test_characters_are_code_points();
    test_wrong_utf8_is_told();
    test_random_inputs_are_of_their_kinds();
    test_long_random_sequences_repeat_themselves();
    close_settings();
    rnn__vocabulary_free(&vocabulary);
    scratch_close();
    return check_result();
}
