/*
 * source_run.c — a source as the iterable that the engine runs over. It knows none of the
 * library's own: a program with a source of its own links nothing of theirs.
 */
#include "rnn_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int restart(void *user, int64_t pass)
{
    rnn_source_run *run = user;
    run->pass = pass;
    run->position = 0;
    return 0;
}

static int seek(void *user, int64_t position)
{
    rnn_source_run *run = user;
    run->position = position;
    return 0;
}

/* Clears what the source fills in, keeping the inputs' array. */
static void clear_batch(rnn_source_run *run)
{
    rnn_array *input = run->batch.input;
    memset(input, 0, (size_t)run->model->n_input * sizeof *input);
    run->batch = (rnn_batch){.n_input = run->model->n_input, .input = input};
}

static int next(void *user, void **batch)
{
    rnn_source_run *run = user;
    *batch = NULL;
    if (run->position >= run->info.batches)
        return 0;
    clear_batch(run);
    int code = run->source.read(run->source.user, run->pass, run->position, &run->batch,
                                run->sentence, sizeof run->sentence);
    if (code)
        return code;
    run->position++;
    *batch = &run->batch;
    return 0;
}

static int check_info(rnn_source_run *run)
{
    const rnn_source_info *info = &run->info;
    const char *wrong = NULL;
    if (info->batches < 1)
        wrong = "the data hold no batch";
    else if (info->steps < 1 || info->rows < 1)
        wrong = "the data hold a batch without steps or rows";
    else if (info->rows > run->model->rows_max)
        wrong = "batches have more rows than the model was compiled for";
    if (!wrong)
        return 0;
    snprintf(run->sentence, sizeof run->sentence, "%s", wrong);
    return RNN_EDATA;
}

int rnn_source_open(rnn_source_run *run, const rnn_source *source,
                    const struct rnn_model *model)
{
    *run = (rnn_source_run){.source = *source, .model = model};
    run->batch.input = calloc((size_t)model->n_input + 1, sizeof *run->batch.input);
    int code = run->batch.input ? 0 : RNN_ENOMEM;
    if (!code)
        code = source->open(source->user, model, run->sentence, sizeof run->sentence);
    if (!code)
        code =
            source->describe(source->user, &run->info, run->sentence, sizeof run->sentence);
    if (!code)
        code = check_info(run);
    if (code)
        rnn_source_close(run);
    else
        run->iterable = (rnn_iterable){run->info.batches, restart, next, seek, run};
    return code;
}

void rnn_source_close(rnn_source_run *run)
{
    if (run->source.close)
        run->source.close(run->source.user);
    run->source.close = NULL;
    free(run->batch.input);
    run->batch.input = NULL;
}
