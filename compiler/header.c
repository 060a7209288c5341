/*
 * header.c — NAME.h: a compiled model as C sees it.
 *
 * Sizes and offsets are enum constants, in elements, so that arrays can be declared with
 * them and a model that was built again with other shapes is noticed by the C compiler:
 *
 *     enum {
 *         CHARLM_RNN_WEIGHT_IH_L0 = 6144, // rnn.weight_ih_l0 [512, 64]
 *     };
 *
 * Names of parameters have dots and may come out equal as identifiers; the later one then
 * has a number behind it.
 */
#include "header.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

typedef struct {
    Arena *arena;
    const struct rnn_model *model;
    const char *prefix; /* CHARLM */
    Text text;
    const char **taken;
    int n_taken, capacity;
} Header;

/* `name` as an identifier in capitals. */
static const char *capitals(Arena *arena, const char *name)
{
    char *out = arena_copy(arena, name, strlen(name));
    for (char *c = out; *c; c++)
        *c = isalnum((unsigned char)*c) && (unsigned char)*c < 128
                 ? (char)toupper((unsigned char)*c)
                 : '_';
    return out;
}

static bool is_taken(const Header *h, const char *identifier)
{
    for (int i = 0; i < h->n_taken; i++)
        if (str_eq(h->taken[i], identifier))
            return true;
    return false;
}

/* PREFIX_NAME, made unlike all before it. */
static const char *identifier_of(Header *h, const char *name)
{
    const char *plain = arena_print(h->arena, "%s_%s", h->prefix, capitals(h->arena, name));
    const char *out = plain;
    for (int i = 2; is_taken(h, out); i++)
        out = arena_print(h->arena, "%s_%d", plain, i);
    *PUSH(h->arena, h->taken, h->n_taken, h->capacity) = out;
    return out;
}

static void put_shape(Header *h, const int64_t *dim, int32_t rank)
{
    text_add(&h->text, "[");
    for (int i = 0; i < rank; i++)
        text_add(&h->text, "%s%" PRId64, i ? ", " : "", dim[i]);
    text_add(&h->text, "]");
}

static void put_constant(Header *h, const char *name, int64_t value)
{
    text_add(&h->text, "    %s = %" PRId64 ",", identifier_of(h, name), value);
}

static void put_size(Header *h, const char *name, int64_t value, const char *what)
{
    put_constant(h, name, value);
    text_add(&h->text, " /* %s */\n", what);
}

static void put_sizes(Header *h)
{
    const struct rnn_model *m = h->model;
    text_add(&h->text,
             "\n/* A chunk, and the blocks of rnn_get_blocks in elements. */\nenum {\n");
    put_size(h, "STEPS_MAX", m->steps_max, "steps of a chunk, at most");
    put_size(h, "TBPTT_STEP", m->tbptt_step, "new ones of them, at most");
    put_size(h, "ROWS_MAX", m->rows_max, "rows of a chunk, at most");
    put_size(h, "OUTPUT_SIZE", m->output_size, "one step of one row of the output");
    put_size(h, "PARAMS_SIZE", m->params_size, "all parameters");
    put_size(h, "OPTIMIZER_SIZE", m->optimizer_size, "tensors that the optimizer keeps");
    put_size(h, "STATE_SIZE", m->state_size * m->rows_max, "the carried state of all rows");
    text_add(&h->text, "};\n");
}

static const char *const kind_words[][2] = {
    [RNN_REAL] = {"float", "double"},
    [RNN_CLASS] = {"int32_t, class", "int32_t, class"},
    [RNN_FLAG] = {"float, flag", "double, flag"},
    [RNN_INTEGER] = {"int32_t", "int32_t"},
};

static void put_input(Header *h, int i)
{
    const struct rnn_input *in = &h->model->input[i];
    put_constant(h, arena_print(h->arena, "INPUT_%s", in->name), i);
    text_add(&h->text, " /* %s ", in->name);
    put_shape(h, in->dim, in->rank);
    text_add(&h->text, ": %s", kind_words[in->kind][h->model->dtype]);
    if (in->kind == RNN_CLASS)
        text_add(&h->text, " of %" PRId64, in->classes);
    text_add(&h->text, "%s%s */\n", in->per_sequence ? ", once a sequence" : "",
             in->for_loss_only ? ", for the loss" : "");
    put_constant(h, arena_print(h->arena, "INPUT_%s_SIZE", in->name), in->size);
    text_add(&h->text, "\n");
}

static void put_inputs(Header *h)
{
    text_add(
        &h->text,
        "\n/* Inputs: their index, and the elements of one step of one row. */\nenum {\n");
    for (int i = 0; i < h->model->n_input; i++)
        put_input(h, i);
    text_add(&h->text, "};\n");
}

static void put_tensors(Header *h, const char *comment, int n,
                        const struct rnn_tensor *tensor)
{
    if (n == 0)
        return;
    text_add(&h->text, "\n/* %s */\nenum {\n", comment);
    for (int i = 0; i < n; i++) {
        put_constant(h, tensor[i].name, tensor[i].offset);
        text_add(&h->text, " /* %s ", tensor[i].name);
        put_shape(h, tensor[i].dim, tensor[i].rank);
        text_add(&h->text, "%s */\n", tensor[i].trained ? "" : ", not trained");
    }
    text_add(&h->text, "};\n");
}

/* A state's own index is told as well: rnn_get_state wants that. */
static void put_states(Header *h)
{
    const struct rnn_model *m = h->model;
    if (m->n_state == 0)
        return;
    text_add(&h->text, "\n/* States: where each starts in the block of states, "
                       "[STATE_SIZE], as [rows][…]. */\nenum {\n");
    for (int i = 0; i < m->n_state; i++) {
        const struct rnn_state *s = &m->state[i];
        put_constant(h, arena_print(h->arena, "STATE_%s", s->name),
                     s->offset * m->rows_max);
        text_add(&h->text, " /* %d: %s ", i, s->name);
        put_shape(h, s->dim, s->rank);
        text_add(&h->text, " */\n");
    }
    text_add(&h->text, "};\n");
}

const char *header_text(Arena *arena, const struct rnn_model *model, const char *symbol)
{
    Header h = {.arena = arena, .model = model, .text = {.arena = arena}};
    h.prefix = capitals(arena, symbol + strlen("rnn_model_"));
    text_add(&h.text,
             "/* %s: a model compiled by rnnc. Made by `rnnc build --emit header`. */\n",
             model->name);
    text_add(&h.text, "#ifndef RNN_MODEL_%s_H\n#define RNN_MODEL_%s_H\n\n", h.prefix,
             h.prefix);
    text_add(&h.text,
             "#include \"rnn_abi.h\"\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    text_add(&h.text, "extern const struct rnn_model %s;%s\n", symbol,
             model->dtype == RNN_F64 ? " /* its reals are double */" : "");
    put_sizes(&h);
    put_inputs(&h);
    put_tensors(
        &h, "Parameters: where each starts in the block of parameters, and of gradients.",
        model->n_param, model->param);
    put_tensors(&h, "What the optimizer keeps: where each starts in its block.",
                model->n_optimizer, model->optimizer);
    put_states(&h);
    text_add(&h.text, "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
    return h.text.text;
}
