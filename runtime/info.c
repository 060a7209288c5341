/*
 * info.c — what a trainer's model is, in lines: inputs, parameters, states, numbers.
 */
#include "trainer.h"

#include <inttypes.h>
#include <stdio.h>

static void print_dims(const int64_t *dim, int rank)
{
    putchar('[');
    for (int i = 0; i < rank; i++)
        printf("%s%" PRId64, i ? ", " : "", dim[i]);
    putchar(']');
}

static void print_input(const struct rnn_input *input)
{
    printf("input      %s: %s", input->name, rnn__kind_word(input->kind));
    if (input->kind == RNN_CLASS)
        printf("(%" PRId64 ")", input->classes);
    putchar(' ');
    print_dims(input->dim, input->rank);
    printf("%s%s\n", input->per_sequence ? ", once a sequence" : "",
           input->for_loss_only ? ", for the loss" : "");
}

int rnn__trainer_info(struct rnn__trainer *t, int *status, struct rnn__fault *f)
{
    const struct rnn_model *m = t->model;
    char text[RNN__NUMBER_BYTES];
    (void)status, (void)f;
    printf("name       %s\nspec       %s\ntarget     %s\n", t->name,
           m->spec_hash ? m->spec_hash : "", m->target ? m->target : "");
    printf("dtype      %s\n", m->dtype == RNN_F64 ? "f64" : "f32");
    printf("chunk      %" PRId64 " steps, %" PRId64 " rows at most\n", m->steps_max,
           m->rows_max);
    if (m->tbptt_step && m->tbptt_step < m->steps_max)
        printf("window     an update each %" PRId64 " of these steps\n", m->tbptt_step);
    for (int i = 0; i < m->n_input; i++)
        print_input(&m->input[i]);
    for (int i = 0; i < m->n_param; i++) {
        printf("parameter  %s ", m->param[i].name);
        print_dims(m->param[i].dim, m->param[i].rank);
        printf("%s\n", m->param[i].trained ? "" : ", not trained");
    }
    for (int i = 0; i < m->n_state; i++) {
        printf("state      %s ", m->state[i].name);
        print_dims(m->state[i].dim, m->state[i].rank);
        putchar('\n');
    }
    for (int i = 0; i < m->n_scalar; i++)
        if (!m->scalar[i].counter)
            printf("number     %s = %s\n", m->scalar[i].name,
                   rnn__number_text(m->scalar[i].value, text));
    for (int i = 0; i < m->n_metric; i++)
        printf("metric     %s\n", m->metric[i].name);
    if (t->vocabulary.n)
        printf("vocabulary %" PRId64 " symbols, level %s\n", t->vocabulary.n,
               t->vocabulary.level == RNN__BYTE ? "byte" : "char");
    printf("output     ");
    print_dims(m->output_dim, m->output_rank);
    printf("\nparameters %" PRId64 " numbers, optimizer %" PRId64 ", workspace %" PRId64
           " bytes\n",
           m->params_size, m->optimizer_size, m->workspace_bytes);
    return 0;
}
