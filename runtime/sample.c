/*
 * sample.c — text from a model of text: one symbol at a time, the hidden state carried
 * from each to the next.
 *
 * The prompt is read first, all at once; then the model's output behind the last symbol
 * is a score for each symbol, softmax of score / temperature its probability, and the
 * draw is fed back in. Temperature 0 takes the most probable. The draws are a function
 * of the seed.
 */
#include "engine.h"
#include "trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sampler {
    struct rnn__trainer *t;
    int64_t classes;
    rnn_array *input; /* [n_input] */
    void *scores;     /* [steps of the prompt][classes], reals */
    uint64_t drawn;
};

static int check_model(struct rnn__trainer *t, struct rnn__fault *f)
{
    const struct rnn_model *m = t->model;
    int n = 0;
    for (int i = 0; i < m->n_input; i++)
        if (!m->input[i].for_loss_only) {
            const struct rnn_input *x = &m->input[i];
            n++;
            if (x->kind != RNN_CLASS || x->size != 1 || x->per_sequence ||
                x->classes != m->output_size)
                return rnn__fault(
                    f, RNN_EDATA,
                    "no model of text: its output is not a score for each class "
                    "of input '%s'",
                    x->name);
        }
    if (n != 1)
        return rnn__fault(f, RNN_EDATA, "no model of text: it has %d inputs, not one", n);
    return 0;
}

/* The symbols through the model; scores behind each to s->scores. */
static int feed(struct sampler *s, const int32_t *symbols, int64_t n, struct rnn__fault *f)
{
    const struct rnn_model *m = s->t->model;
    for (int i = 0; i < m->n_input; i++)
        s->input[i] =
            m->input[i].for_loss_only
                ? (rnn_array){.steps = n}
                : (rnn_array){symbols, .steps = n, .step_stride = 1, .row_stride = n};
    rnn_batch batch = {.steps = n, .rows = 1, .n_input = m->n_input, .input = s->input};
    int code = rnn__forward(s->t->engine, &batch, s->scores);
    return code ? rnn__trainer_failed(s->t, s->t->engine, code, f) : 0;
}

/* Uniform in (0, 1). */
static double next_uniform(struct sampler *s)
{
    uint64_t bits = rnn__mix(rnn__mix(s->t->seed) + s->drawn++);
    return ((double)(bits >> 11) + 0.5) * 0x1p-53;
}

static double score_at(const struct sampler *s, int64_t i)
{
    return rnn_real_at(s->scores, s->t->model->dtype, i);
}

/* Scores of a step begin at `first`, here and below. */
static int64_t most_probable(const struct sampler *s, int64_t first, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (score_at(s, first + i) > score_at(s, first + best))
            best = i;
    return best;
}

/* A class drawn from softmax(score / temperature), among those that are symbols. */
static int64_t draw(struct sampler *s, int64_t first, double temperature)
{
    int64_t known = s->t->vocabulary.n, n = s->classes < known ? s->classes : known;
    int64_t best = most_probable(s, first, n);
    double sum = 0, top = score_at(s, first + best);
    if (temperature <= 0)
        return best;
    for (int64_t i = 0; i < n; i++)
        sum += exp((score_at(s, first + i) - top) / temperature);
    double left = next_uniform(s) * sum;
    for (int64_t i = 0; i < n; i++) {
        left -= exp((score_at(s, first + i) - top) / temperature);
        if (left < 0)
            return i;
    }
    return best; /* rounding, or scores that are not finite */
}

/* The prompt as classes; without one, a line's end or the first symbol, not printed. */
static int read_prompt(struct rnn__trainer *t, int32_t **symbols, int64_t *n,
                       struct rnn__fault *f)
{
    const char *prompt = t->options->prompt;
    if (prompt && *prompt)
        return rnn__vocabulary_encode(&t->vocabulary, prompt, strlen(prompt), "--prompt",
                                      symbols, n, f);
    int64_t newline = rnn__vocabulary_find(&t->vocabulary, '\n');
    *symbols = malloc(sizeof **symbols);
    if (!*symbols)
        return rnn__fault_memory(f);
    **symbols = newline < 0 ? 0 : (int32_t)newline;
    *n = 1;
    return 0;
}

static int print_symbol(const struct rnn__vocabulary *v, int64_t class,
                        struct rnn__fault *f)
{
    char bytes[4];
    size_t n = (size_t)rnn__vocabulary_decode(v, class, bytes);
    if (fwrite(bytes, 1, n, stdout) == n)
        return 0;
    return rnn__fault_errno(f, "standard output", "cannot be written");
}

static int sample(struct sampler *s, const int32_t *prompt, int64_t n, struct rnn__fault *f)
{
    const struct rnn__options *o = s->t->options;
    int64_t length = o->length == RNN_NONE ? 500 : o->length;
    int code = rnn_reset_state(s->t->engine);
    if (!code)
        code = feed(s, prompt, n, f);
    if (o->prompt)
        fputs(o->prompt, stdout);
    for (int64_t i = 0; i < length && !code; i++) {
        int64_t last = (n - 1) * s->classes;
        int32_t symbol = (int32_t)draw(s, last, o->temperature);
        code = print_symbol(&s->t->vocabulary, symbol, f);
        if (!code)
            code = feed(s, &symbol, n = 1, f);
    }
    putchar('\n');
    return code;
}

int rnn__trainer_sample(struct rnn__trainer *t, int *status, struct rnn__fault *f)
{
    struct sampler s = {.t = t, .classes = t->model->output_size};
    int32_t *prompt = NULL;
    int64_t n = 0;
    (void)status;
    int code = check_model(t, f);
    if (!code)
        code = rnn__trainer_load(t, f);
    if (!code && !t->vocabulary.n)
        code = rnn__fault(f, RNN_EDATA,
                          "neither the program nor the checkpoint has a "
                          "vocabulary");
    if (!code)
        code = read_prompt(t, &prompt, &n, f);
    if (!code) {
        s.input = calloc((size_t)t->model->n_input, sizeof *s.input);
        s.scores = calloc((size_t)n * (size_t)s.classes, rnn_dtype_bytes(t->model->dtype));
        code = s.input && s.scores ? sample(&s, prompt, n, f) : rnn__fault_memory(f);
    }
    free(prompt);
    free(s.input);
    free(s.scores);
    return code;
}
