/*
 * describe.c — the tables of rnn_abi.h from the tables of a graph.
 *
 * Blocks are laid out in the order of the graph's tables, nothing padded. Backward states
 * and what the optimizer keeps as one number are not in blocks of floats: the former live
 * within a chunk, the latter are doubles of their own.
 */
#include "graph/describe.h"

#include <string.h>

#include "graph/ops.h"

_Static_assert((int)RNN_MAX_RANK == (int)MAX_RANK, "ranks of the ABI and of graphs");

static const enum rnn_kind kind_of[] = {
    [INPUT_REAL] = RNN_REAL,
    [INPUT_INTEGER] = RNN_INTEGER,
    [INPUT_FLAG] = RNN_FLAG,
    [INPUT_CLASS] = RNN_CLASS,
};

static void describe_inputs(struct rnn_model *m, Arena *arena, const Graph *g)
{
    struct rnn_input *to = NEW_ARRAY(arena, struct rnn_input, g->n_input);
    for (int i = 0; i < g->n_input; i++) {
        const Input *in = &g->input[i];
        to[i] = (struct rnn_input){.name = in->name,
                                   .kind = kind_of[in->kind],
                                   .per_sequence = in->per_sequence,
                                   .for_loss_only = in->for_loss_only,
                                   .rank = in->shape.rank,
                                   .size = shape_size(&in->shape),
                                   .classes = in->classes,
                                   .has_ignore = in->has_ignore,
                                   .ignore = in->ignore,
                                   .masked = in->masked};
        memcpy(to[i].dim, in->shape.dim, sizeof to[i].dim);
    }
    m->n_input = g->n_input;
    m->input = to;
}

/* Appends a tensor to a block. */
static void put_tensor(struct rnn_tensor *to, const char *name, const Shape *s,
                       bool trained, int64_t *block_size)
{
    *to = (struct rnn_tensor){.name = name,
                              .rank = s->rank,
                              .size = shape_size(s),
                              .offset = *block_size,
                              .trained = trained};
    memcpy(to->dim, s->dim, sizeof to->dim);
    *block_size += to->size;
}

static void describe_params(struct rnn_model *m, Arena *arena, const Graph *g)
{
    struct rnn_tensor *to = NEW_ARRAY(arena, struct rnn_tensor, g->n_param);
    for (int i = 0; i < g->n_param; i++)
        put_tensor(&to[i], g->param[i].name, &g->param[i].shape, g->param[i].trained,
                   &m->params_size);
    m->n_param = g->n_param;
    m->param = to;
}

static void describe_optimizer(struct rnn_model *m, Arena *arena, const Graph *g)
{
    struct rnn_tensor *tensor = NEW_ARRAY(arena, struct rnn_tensor, g->n_optimizer);
    struct rnn_scalar *scalar = NEW_ARRAY(arena, struct rnn_scalar, g->n_optimizer);
    for (int i = 0; i < g->n_optimizer; i++) {
        const OptimizerState *s = &g->optimizer[i];
        if (s->wide)
            scalar[m->n_optimizer_scalar++] =
                (struct rnn_scalar){.name = s->name, .value = s->value};
        else
            put_tensor(&tensor[m->n_optimizer++], s->name, &s->shape, true,
                       &m->optimizer_size);
    }
    m->optimizer = tensor;
    m->optimizer_scalar = scalar;
}

static void describe_states(struct rnn_model *m, Arena *arena, const Graph *g)
{
    struct rnn_state *to = NEW_ARRAY(arena, struct rnn_state, g->n_state);
    for (int i = 0; i < g->n_state; i++) {
        const State *s = &g->state[i];
        if (s->backward)
            continue;
        struct rnn_state *next = &to[m->n_state++];
        *next = (struct rnn_state){.name = s->name,
                                   .rank = s->shape.rank,
                                   .size = shape_size(&s->shape),
                                   .offset = m->state_size};
        memcpy(next->dim, s->shape.dim, sizeof next->dim);
        m->state_size += next->size;
    }
    m->state = to;
}

static void describe_numbers(struct rnn_model *m, Arena *arena, const Graph *g)
{
    struct rnn_scalar *scalar = NEW_ARRAY(arena, struct rnn_scalar, g->n_scalar);
    struct rnn_metric *metric = NEW_ARRAY(arena, struct rnn_metric, g->n_metric);
    for (int i = 0; i < g->n_scalar; i++) {
        const Scalar *from = &g->scalar[i];
        scalar[i] = (struct rnn_scalar){.name = from->name,
                                        .value = from->value,
                                        .counter = from->counter,
                                        .whole = from->whole,
                                        .limited = from->limited,
                                        .least = from->least,
                                        .most = from->most};
    }
    for (int i = 0; i < g->n_metric; i++)
        metric[i] = (struct rnn_metric){g->metric[i].name, g->metric[i].in_training};
    m->n_scalar = g->n_scalar, m->scalar = scalar;
    m->n_metric = g->n_metric, m->metric = metric;
    m->n_running = g->n_running;
}

struct rnn_model *graph_describe(Arena *arena, const Graph *g, int64_t steps_max,
                                 int64_t rows_max)
{
    struct rnn_model *m = NEW(arena, struct rnn_model);
    m->abi_version = RNN_ABI_VERSION;
    m->name = g->name;
    m->spec_hash = g->spec_hash ? g->spec_hash : "";
    m->target = "";
    m->dtype = g->dtype;
    m->steps_max = steps_max, m->rows_max = rows_max;
    m->tbptt_step = g->tbptt_step ? g->tbptt_step : steps_max;
    m->threads_max = 1;
    describe_inputs(m, arena, g);
    describe_params(m, arena, g);
    describe_optimizer(m, arena, g);
    describe_states(m, arena, g);
    describe_numbers(m, arena, g);
    if (g->output != NO_NODE) {
        const Shape *s = &g->node[g->output].shape;
        m->output_size = shape_size(s);
        m->output_rank = s->rank;
        memcpy(m->output_dim, s->dim, sizeof m->output_dim);
    }
    return m;
}

/* ---- the hash of a graph: FNV-1a (Fowler, Noll, Vo), 64 bits ---- */

static uint64_t hash_bytes(uint64_t h, const void *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
    return h;
}

static uint64_t hash_number(uint64_t h, int64_t v) { return hash_bytes(h, &v, sizeof v); }

static uint64_t hash_shape(uint64_t h, const Shape *s)
{
    h = hash_number(h, s->rank);
    for (int d = 0; d < s->rank; d++)
        h = hash_number(h, s->dim[d]);
    return h;
}

static uint64_t hash_name(uint64_t h, const char *name, const Shape *s)
{
    return hash_shape(hash_bytes(h, name, strlen(name) + 1), s);
}

static uint64_t hash_node(uint64_t h, const Node *n)
{
    const Attr *a = &n->attr;
    const char *op = op_defs[n->op]->name;
    h = hash_bytes(h, op, strlen(op) + 1);
    for (int i = 0; i < n->n_arg; i++)
        h = hash_number(h, n->arg[i]);
    h = hash_number(hash_number(hash_number(h, a->index), a->axes), a->reduce);
    h = hash_bytes(hash_number(h, a->axis), &a->value, sizeof a->value);
    for (int d = 0; d < MAX_RANK; d++)
        h = hash_number(hash_number(h, a->start[d]), a->permutation[d]);
    return hash_shape(hash_bytes(h, a->label, sizeof a->label), &n->shape);
}

const char *graph_hash(const Graph *g)
{
    uint64_t h = 0xcbf29ce484222325u;
    if (g->dtype != RNN_F32)
        h = hash_number(h, g->dtype);
    for (NodeId id = 0; id < g->n_node; id++)
        h = hash_node(h, &g->node[id]);
    for (int i = 0; i < g->n_param; i++)
        h = hash_name(h, g->param[i].name, &g->param[i].shape);
    for (int i = 0; i < g->n_state; i++)
        h = hash_name(h, g->state[i].name, &g->state[i].shape);
    for (int i = 0; i < g->n_optimizer; i++)
        h = hash_name(h, g->optimizer[i].name, &g->optimizer[i].shape);
    return arena_print(g->arena, "%016llx", (unsigned long long)h);
}
