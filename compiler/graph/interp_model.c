/*
 * interp_model.c — a model of rnn_abi.h whose procedures are the interpreter.
 *
 * A procedure gives the chunk's data to the leaves, asks for the nodes that it is about
 * and writes them into the chunk's blocks. All that is read was copied to the leaves
 * before anything is written, so blocks may be the same going in and out.
 */
#include <math.h>
#include <string.h>

#include "graph/describe.h"
#include "graph/interp.h"

typedef struct {
    const struct rnn_model *model;
    const Graph *g;
    Interp *p;
    double *buffer;     /* the largest leaf's values */
    int64_t *optimizer; /* by optimizer state: its place in its block */
    int64_t *state;     /* by state: offset within a row */
} Machine;

static const Machine *machine_of(const struct rnn_chunk *c) { return c->model->context; }

/* ---- leaves ---- */

typedef void GiveLeaf(const Machine *m, const struct rnn_chunk *c, NodeId leaf, int index);

static int64_t size_of(const Machine *m, NodeId id)
{
    return shape_size(&m->g->node[id].shape);
}

/* n reals of a block, from element `first` on. */
static void give_reals(const Machine *m, NodeId leaf, const void *block, int64_t first,
                       int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        m->buffer[i] = rnn_real_at(block, m->g->dtype, first + i);
    interp_set(m->p, leaf, m->buffer, NULL);
}

static double input_number(const struct rnn_model *m, const struct rnn_input *in,
                           const void *from, int64_t i)
{
    bool whole = in->kind == RNN_CLASS || in->kind == RNN_INTEGER;
    return whole ? ((const int32_t *)from)[i] : rnn_real_at(from, m->dtype, i);
}

static void give_input(const Machine *m, const struct rnn_chunk *c, NodeId leaf, int index)
{
    const struct rnn_input *in = &c->model->input[index];
    const void *from = c->input ? c->input[index] : NULL;
    int64_t steps = in->per_sequence ? 1 : c->steps, n = 0;
    if (!from) {
        interp_set(m->p, leaf, NULL, NULL);
        return;
    }
    for (int64_t t = 0; t < steps; t++)
        for (int64_t b = 0; b < c->rows; b++) {
            int64_t at = b * c->row_stride[index] + (t ? t * c->step_stride[index] : 0);
            for (int64_t i = 0; i < in->size; i++)
                m->buffer[n++] = input_number(c->model, in, from, at + i);
        }
    interp_set(m->p, leaf, m->buffer, NULL);
}

static void give_param(const Machine *m, const struct rnn_chunk *c, NodeId leaf, int index)
{
    if (c->params)
        give_reals(m, leaf, c->params, c->model->param[index].offset, size_of(m, leaf));
}

static void give_carried(const Machine *m, const struct rnn_chunk *c, NodeId leaf,
                         int index)
{
    if (c->state_in)
        give_reals(m, leaf, c->state_in, m->state[index] * c->model->rows_max,
                   c->rows * size_of(m, leaf));
}

static void give_start(const Machine *m, const struct rnn_chunk *c, NodeId leaf, int index)
{
    (void)index;
    for (int64_t b = 0; b < c->rows; b++)
        m->buffer[b] = c->start ? c->start[b] != 0 : 1;
    interp_set(m->p, leaf, m->buffer, NULL);
}

static void give_scalar(const Machine *m, const struct rnn_chunk *c, NodeId leaf, int index)
{
    interp_set(m->p, leaf, c->scalars ? &c->scalars[index] : NULL, NULL);
}

static void give_running(const Machine *m, const struct rnn_chunk *c, NodeId leaf,
                         int index)
{
    interp_set(m->p, leaf, c->running ? &c->running[index] : NULL, NULL);
}

static void give_optimizer(const Machine *m, const struct rnn_chunk *c, NodeId leaf,
                           int index)
{
    if (m->g->optimizer[index].wide)
        interp_set(m->p, leaf,
                   c->optimizer_scalars ? c->optimizer_scalars + m->optimizer[index] : NULL,
                   NULL);
    else if (c->optimizer)
        give_reals(m, leaf, c->optimizer, m->optimizer[index], size_of(m, leaf));
}

static void give_gradient(const Machine *m, const struct rnn_chunk *c, NodeId leaf,
                          int index)
{
    give_reals(m, leaf, c->grads, c->model->param[index].offset, size_of(m, leaf));
}

/* The backward phase's own. */
static void take_back(const Machine *m, const struct rnn_chunk *c, NodeId leaf, int index)
{
    (void)c, (void)index;
    interp_set(m->p, leaf, NULL, NULL);
}

static void give_leaves(const struct rnn_chunk *c, bool gradients)
{
    GiveLeaf *const give[OP_COUNT] = {
        [OP_INPUT] = give_input,
        [OP_PARAM] = give_param,
        [OP_CARRIED] = give_carried,
        [OP_START] = give_start,
        [OP_SCALAR] = give_scalar,
        [OP_SOFAR] = give_running,
        [OP_OPTIMIZER] = give_optimizer,
        [OP_GRADIENT] = gradients ? give_gradient : take_back,
    };
    const Machine *m = machine_of(c);
    interp_begin(m->p, c->steps, c->rows, c->training, c->rng);
    interp_loss_from(m->p, c->loss_from);
    for (NodeId id = 0; id < m->g->n_node; id++) {
        const Node *n = &m->g->node[id];
        if (give[n->op])
            give[n->op](m, c, id, n->attr.index);
    }
}

/* ---- results ---- */

static double number(const Machine *m, NodeId id) { return *interp_re(m->p, id, 0, 0); }

/* To the block, from element `first` on. */
static void write_reals(const Machine *m, NodeId id, int64_t t, int64_t b, void *block,
                        int64_t first)
{
    const double *v = interp_re(m->p, id, t, b);
    for (int64_t i = 0, n = size_of(m, id); i < n; i++)
        rnn_real_set(block, m->g->dtype, first + i, v[i]);
}

/* The states as left by so many steps of the chunk; by none, as its first step finds them.
 */
static void write_states_at(const struct rnn_chunk *c, int64_t steps, void *block)
{
    const Machine *m = machine_of(c);
    for (int i = 0; i < m->g->n_state; i++) {
        const State *s = &m->g->state[i];
        int64_t to = m->state[i] * c->model->rows_max;
        for (int64_t b = 0; !s->backward && b < c->rows; b++)
            write_reals(m, steps ? s->next : s->entry, steps ? steps - 1 : 0, b, block,
                        to + b * shape_size(&s->shape));
    }
}

static void write_states(const struct rnn_chunk *c)
{
    if (c->state_out)
        write_states_at(c, c->steps, c->state_out);
}

static void write_saved(const struct rnn_chunk *c)
{
    if (machine_of(c)->g->tbptt_step)
        write_states_at(c, c->save_at, c->state_saved);
}

static void write_outputs(const struct rnn_chunk *c)
{
    const Machine *m = machine_of(c);
    if (!c->outputs || m->g->output == NO_NODE)
        return;
    for (int64_t t = 0; t < c->steps; t++)
        for (int64_t b = 0; b < c->rows; b++)
            write_reals(m, m->g->output, t, b, c->outputs,
                        (t * c->rows + b) * c->model->output_size);
}

/* Is there a loss, and is it finite? */
static bool write_loss(struct rnn_chunk *c)
{
    const Machine *m = machine_of(c);
    c->loss = NAN, c->weight = 0, c->finite = true;
    if (m->g->loss == NO_NODE)
        return false;
    c->weight = m->g->weight == NO_NODE ? 1 : number(m, m->g->weight);
    if (c->weight == 0)
        return false;
    c->loss = number(m, m->g->loss);
    c->finite = isfinite(c->loss);
    return c->finite;
}

static void write_norm(struct rnn_chunk *c)
{
    const Machine *m = machine_of(c);
    if (m->g->gradient_norm != NO_NODE)
        c->gradient_norm = number(m, m->g->gradient_norm);
}

/* A parameter that no gradient reaches stays as it is. */
static void write_update(struct rnn_chunk *c)
{
    const Machine *m = machine_of(c);
    const Graph *g = m->g;
    for (int i = 0; i < g->n_param; i++)
        if (g->param[i].gradient != NO_NODE && g->param[i].next != NO_NODE)
            write_reals(m, g->param[i].next, 0, 0, c->params, c->model->param[i].offset);
    for (int i = 0; i < g->n_optimizer; i++) {
        const OptimizerState *s = &g->optimizer[i];
        if (s->next == NO_NODE)
            continue;
        if (s->wide)
            c->optimizer_scalars[m->optimizer[i]] = number(m, s->next);
        else
            write_reals(m, s->next, 0, 0, c->optimizer, m->optimizer[i]);
    }
}

/* All of an evaluation; of training, those of its epochs. */
static void write_metrics(struct rnn_chunk *c, bool training)
{
    const Machine *m = machine_of(c);
    const Graph *g = m->g;
    for (int i = 0; c->metrics && i < g->n_metric; i++)
        if (!training || g->metric[i].in_training)
            c->metrics[i] = number(m, g->metric[i].value);
    for (int i = 0; c->running && i < g->n_running; i++)
        if (!training || g->running[i].in_training)
            c->running[i] = number(m, g->running[i].next);
}

/* ---- procedures ---- */

static int interp_init(struct rnn_chunk *c, int thread)
{
    const Machine *m = machine_of(c);
    if (thread != 0)
        return 0;
    interp_begin(m->p, 1, 1, false, (struct rnn_rng){.seed = c->rng.seed});
    for (int i = 0; i < m->g->n_param; i++)
        write_reals(m, m->g->param[i].init, 0, 0, c->params, c->model->param[i].offset);
    for (int i = 0; i < m->g->n_optimizer; i++) {
        const OptimizerState *s = &m->g->optimizer[i];
        int64_t at = m->optimizer[i], n = shape_size(&s->shape);
        if (s->wide)
            c->optimizer_scalars[at] = s->value;
        for (int64_t j = 0; !s->wide && j < n; j++)
            rnn_real_set(c->optimizer, m->g->dtype, at + j, s->value);
    }
    return 0;
}

static int interp_pack(struct rnn_chunk *c, int thread)
{
    (void)c, (void)thread;
    return 0;
}

static int interp_train(struct rnn_chunk *c, int thread)
{
    if (thread != 0)
        return 0;
    give_leaves(c, false);
    bool sound = write_loss(c);
    write_outputs(c);
    write_states(c);
    write_saved(c);
    write_metrics(c, true);
    if (sound) {
        write_norm(c);
        write_update(c);
    }
    return 0;
}

static int interp_grad(struct rnn_chunk *c, int thread)
{
    const Machine *m = machine_of(c);
    if (thread != 0)
        return 0;
    give_leaves(c, false);
    bool sound = write_loss(c);
    write_outputs(c);
    write_states(c);
    write_saved(c);
    write_metrics(c, true);
    memset(c->grads, 0, (size_t)c->model->params_size * rnn_dtype_bytes(c->model->dtype));
    for (int i = 0; sound && i < m->g->n_param; i++)
        if (m->g->param[i].gradient != NO_NODE)
            write_reals(m, m->g->param[i].gradient, 0, 0, c->grads,
                        c->model->param[i].offset);
    if (sound)
        write_norm(c);
    return 0;
}

static int interp_update(struct rnn_chunk *c, int thread)
{
    if (thread != 0)
        return 0;
    give_leaves(c, true);
    write_norm(c);
    write_update(c);
    return 0;
}

static int interp_run_eval(struct rnn_chunk *c, int thread)
{
    if (thread != 0)
        return 0;
    give_leaves(c, false);
    write_loss(c);
    write_outputs(c);
    write_states(c);
    write_metrics(c, false);
    return 0;
}

static int interp_step(struct rnn_chunk *c, int thread)
{
    if (thread != 0)
        return 0;
    give_leaves(c, false);
    write_outputs(c);
    write_states(c);
    return 0;
}

/* ---- the model ---- */

static int64_t largest_leaf(const Graph *g, int64_t steps, int64_t rows)
{
    int64_t most = rows;
    for (NodeId id = 0; id < g->n_node; id++) {
        const Node *n = &g->node[id];
        int64_t size = shape_size(&n->shape);
        size *= (n->axes & AXIS_TIME ? steps : 1) * (n->axes & AXIS_ROW ? rows : 1);
        if (op_defs[n->op]->family == FAMILY_LEAF && size > most)
            most = size;
    }
    return most;
}

/* Offsets by index of the graph's own tables, which mix what the blocks keep apart. */
static void find_places(Machine *m, Arena *arena)
{
    const Graph *g = m->g;
    int64_t tensors = 0, scalars = 0, row = 0;
    m->optimizer = NEW_ARRAY(arena, int64_t, g->n_optimizer);
    m->state = NEW_ARRAY(arena, int64_t, g->n_state);
    for (int i = 0; i < g->n_optimizer; i++) {
        m->optimizer[i] = g->optimizer[i].wide ? scalars++ : tensors;
        tensors += g->optimizer[i].wide ? 0 : shape_size(&g->optimizer[i].shape);
    }
    for (int i = 0; i < g->n_state; i++) {
        m->state[i] = row;
        row += g->state[i].backward ? 0 : shape_size(&g->state[i].shape);
    }
}

const struct rnn_model *interp_model(Arena *arena, const Graph *g, Precision precision,
                                     int64_t steps_max, int64_t rows_max)
{
    struct rnn_model *model = graph_describe(arena, g, steps_max, rows_max);
    Machine *m = NEW(arena, Machine);
    *m =
        (Machine){.model = model,
                  .g = g,
                  .p = interp_new(arena, g, precision, steps_max, rows_max),
                  .buffer = NEW_ARRAY(arena, double, largest_leaf(g, steps_max, rows_max))};
    find_places(m, arena);
    model->target = "interpreter";
    model->context = m;
    model->init = interp_init;
    model->pack = interp_pack;
    model->train = interp_train;
    model->grad = interp_grad;
    model->update = interp_update;
    model->eval = interp_run_eval;
    model->step = interp_step;
    return model;
}
