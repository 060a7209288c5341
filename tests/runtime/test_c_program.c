/*
 * test_c_program.c — rnn.h from C alone: a compiled model, data made by the program, and
 * handlers, as a user would write them. The model is adder.yaml, built by
 * `rnnc build --emit obj,header` and linked in.
 *
 * The task is a leaky sum of the inputs, which goes on from batch to batch, so that the
 * carried state is what the model has to learn to use.
 */
#include "adder.h"
#include "rnn_data.h"

#include "check.h"

enum { ROWS = ADDER_ROWS_MAX, STEPS = 4 * ADDER_STEPS_MAX, BATCHES = 50, EPOCHS = 4 };

/* ---- data: an endless radio ---- */

struct radio {
    uint32_t noise;
    float level[ROWS]; /* what has added up, by row */
    float x[STEPS][ROWS][ADDER_INPUT_X_SIZE], y[STEPS][ROWS][ADDER_INPUT_Y_SIZE];
    int opened, closed;
};

static int radio_open(void *user, const struct rnn_model *model, char *sentence,
                      size_t capacity)
{
    struct radio *r = user;
    r->opened++;
    if (model->input[ADDER_INPUT_X].size == ADDER_INPUT_X_SIZE)
        return 0;
    snprintf(sentence, capacity, "the radio has %d channels", (int)ADDER_INPUT_X_SIZE);
    return RNN_EDATA;
}

static int radio_describe(void *user, rnn_source_info *out, char *sentence, size_t capacity)
{
    (void)user, (void)sentence, (void)capacity;
    *out = (rnn_source_info){
        .batches = BATCHES, .rows = ROWS, .steps = STEPS, .continues = true};
    return 0;
}

/* In [-1, 1). */
static float draw(struct radio *r)
{
    r->noise = r->noise * 1664525u + 1013904223u;
    return (float)(r->noise >> 8) * 0x1p-23f - 1;
}

static int radio_read(void *user, int64_t pass, int64_t position, rnn_batch *out,
                      char *sentence, size_t capacity)
{
    struct radio *r = user;
    (void)pass, (void)position, (void)sentence, (void)capacity;
    for (int t = 0; t < STEPS; t++)
        for (int b = 0; b < ROWS; b++) {
            float *x = r->x[t][b];
            for (int i = 0; i < ADDER_INPUT_X_SIZE; i++)
                x[i] = draw(r);
            r->level[b] = 0.7f * r->level[b] + 0.3f * (x[0] - x[1]);
            r->y[t][b][0] = r->level[b];
        }
    out->steps = STEPS;
    out->rows = ROWS;
    out->input[ADDER_INPUT_X] = (rnn_array){.data = r->x, .steps = STEPS};
    out->input[ADDER_INPUT_Y] = (rnn_array){.data = r->y, .steps = STEPS};
    return 0;
}

static void radio_close(void *user) { ((struct radio *)user)->closed++; }

/* ---- handlers ---- */

struct diary {
    int chunks, epochs, every_tenth;
    double epoch_loss[EPOCHS], sum;
    bool finite;
};

static int on_chunk(rnn_engine *e, int event, void *user)
{
    struct diary *d = user;
    rnn_chunk_result result;
    (void)event;
    if (rnn_last_chunk(e, &result) != 0)
        return rnn_raise(e, RNN_EINVAL, "no chunk to tell of");
    d->finite = d->finite && result.finite;
    d->sum += result.loss;
    d->chunks++;
    return 0;
}

static int on_tenth_batch(rnn_engine *e, int event, void *user)
{
    (void)e, (void)event;
    ((struct diary *)user)->every_tenth++;
    return 0;
}

static int on_epoch(rnn_engine *e, int event, void *user)
{
    struct diary *d = user;
    (void)e, (void)event;
    d->epoch_loss[d->epochs++] = d->sum / (BATCHES * STEPS / ADDER_STEPS_MAX);
    d->sum = 0;
    return 0;
}

/* ---- the program ---- */

static struct radio radio = {.noise = 1};
static struct diary diary = {.finite = true};

static void listen(rnn_engine *trainer)
{
    rnn_filter tenth = {.every = 10};
    CHECK(rnn_on(trainer, RNN_TIME_ITERATION_COMPLETED, NULL, on_chunk, &diary) > 0, "%s",
          rnn_engine_error(trainer));
    CHECK(rnn_on(trainer, RNN_ITERATION_COMPLETED, &tenth, on_tenth_batch, &diary) > 0,
          "%s", rnn_engine_error(trainer));
    CHECK(rnn_on(trainer, RNN_EPOCH_COMPLETED, NULL, on_epoch, &diary) > 0, "%s",
          rnn_engine_error(trainer));
}

static void train(rnn_engine *trainer)
{
    rnn_source source = {radio_open, radio_describe, radio_read, radio_close, &radio};
    static rnn_source_run run;
    rnn_run_options options = {.max_epochs = EPOCHS};
    int code = rnn_source_open(&run, &source, &rnn_model_adder);
    CHECK(code == 0, "%s", run.sentence);
    if (code != 0)
        return;
    code = rnn_engine_run(trainer, &run.iterable, &options);
    CHECK(code == 0, "%d: %s", code, rnn_engine_error(trainer));
    rnn_source_close(&run);
    CHECK(radio.opened == 1 && radio.closed == 1, "opened %d, closed %d times",
          radio.opened, radio.closed);
}

static void test_handlers_saw_every_chunk_batch_and_epoch(void)
{
    CHECK(diary.chunks == EPOCHS * BATCHES * STEPS / ADDER_STEPS_MAX, "%d chunks",
          diary.chunks);
    CHECK(diary.every_tenth == EPOCHS * BATCHES / 10, "%d", diary.every_tenth);
    CHECK(diary.epochs == EPOCHS, "%d epochs", diary.epochs);
    CHECK(diary.finite, "a loss was not finite");
}

/* The targets' variance is 0.3^2 · (2/3) / (1 - 0.7^2) = 0.118; knowing nothing of the past
   leaves half of it. */
static void test_the_model_learns_to_use_its_state(void)
{
    double first = diary.epoch_loss[0], last = diary.epoch_loss[EPOCHS - 1];
    CHECK(last < first && last < 0.02, "mean loss %g in the first epoch, %g in the last",
          first, last);
}

/* The header's offsets are those of the blocks. */
static void test_the_header_tells_where_a_parameter_stands(rnn_engine *trainer)
{
    enum { SIZE = ADDER_HEAD_BIAS - ADDER_HEAD_WEIGHT };
    float by_name[SIZE];
    rnn_blocks blocks;
    CHECK(rnn_get_blocks(trainer, &blocks) == 0, "%s", rnn_engine_error(trainer));
    CHECK(rnn_get_parameter(trainer, "head.weight", by_name, SIZE) == 0, "%s",
          rnn_engine_error(trainer));
    CHECK(memcmp(by_name, blocks.params + ADDER_HEAD_WEIGHT, sizeof by_name) == 0,
          "head.weight is not at %d", (int)ADDER_HEAD_WEIGHT);
    CHECK(rnn_model_adder.params_size == ADDER_PARAMS_SIZE, "%d parameters",
          (int)ADDER_PARAMS_SIZE);
}

int main(void)
{
    rnn_engine *trainer = NULL;
    rnn_tbptt_options options = {.carry = true, .threads = 1, .seed = 1};
    int code = rnn_tbptt_trainer(&trainer, &rnn_model_adder, &options);
    if (code == RNN_EDEVICE)
        return check_skip(rnn_engine_error(NULL));
    CHECK(code == 0, "%s", rnn_engine_error(NULL));
    if (code == 0) {
        listen(trainer);
        train(trainer);
        test_handlers_saw_every_chunk_batch_and_epoch();
        test_the_model_learns_to_use_its_state();
        test_the_header_tells_where_a_parameter_stands(trainer);
    }
    rnn_close(trainer);
    return check_result();
}
