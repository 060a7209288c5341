/*
 * test_build.c — what the graph holds after the build pass: names and shapes in PyTorch's
 * order, states, run-time scalars, the optimizer's states, folding of what is known.
 */
#include "check.h"
#include "from_text.h"
#include "graph/ops.h"

static Arena *arena;

static bool depends_on(const Graph *g, NodeId node, OpCode op)
{
    if (g->node[node].op == op)
        return true;
    for (int i = 0; i < g->node[node].n_arg; i++)
        if (depends_on(g, g->node[node].arg[i], op))
            return true;
    return false;
}

static int count_op(const Graph *g, OpCode op)
{
    int n = 0;
    for (int i = 0; i < g->n_node; i++)
        n += g->node[i].op == op;
    return n;
}

static void check_names(const Graph *g, int n, const char *const *expected)
{
    CHECK(g->n_param == n, "got %d parameters, expected %d", g->n_param, n);
    for (int i = 0; i < n && i < g->n_param; i++)
        CHECK_TEXT(g->param[i].name, expected[i]);
}

/* ---- parameters and states ---- */

static void test_parameters_have_pytorchs_names_in_its_order(void)
{
    static const char *const expected[] = {
        "emb.weight",     "rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0",
        "rnn.bias_hh_l0", "rnn.weight_ih_l1", "rnn.weight_hh_l1", "rnn.bias_ih_l1",
        "rnn.bias_hh_l1", "head.weight",      "head.bias"};
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: class(96), y: class(96)}\n"
                                 "model: |\n"
                                 "  emb = embedding(x, size=64)\n"
                                 "  rnn = lstm(emb, hidden=128, layers=2, dropout=0.1)\n"
                                 "  head = linear(rnn, size=96)\n"
                                 "loss: cross_entropy(head, y)\n"
                                 "optimizer: adam(lr=1e-3)\n" DATA);
    check_names(g, COUNT(expected), expected);
    CHECK_TEXT(shape_print(arena, &g->param[1].shape), "[512, 64]");
    CHECK_TEXT(shape_print(arena, &g->param[5].shape), "[512, 128]");
    CHECK(g->n_state == 4, "got %d states", g->n_state);
    CHECK_TEXT(g->state[0].name, "rnn.h_l0");
    CHECK_TEXT(g->state[3].name, "rnn.c_l1");
    CHECK(g->node[g->state[0].next].axes == AXES_ALL, "axes of next");
    CHECK(g->node[g->state[0].entry].axes == AXIS_ROW, "axes of entry");
    CHECK_TEXT(shape_print(arena, &g->node[g->output].shape), "[96]");
    CHECK(g->node[g->loss].axes == 0 && g->node[g->loss].shape.rank == 0,
          "the loss's type");
    CHECK(!g->input[0].for_loss_only && g->input[1].for_loss_only, "y is the loss's alone");
    CHECK(find_scalar(g, "rnn.dropout") >= 0, "dropout may change while running");
    CHECK(count_op(g, OP_TRAINING) == 1, "one flag for all dropouts");
    CHECK(!depends_on(g, g->weight, OP_TOTAL), "weights of 1 are the chunk's extent");
}

static void test_options_of_a_cell_name_their_parameters(void)
{
    static const char *const expected[] = {"rnn.weight_ih_l0",      "rnn.weight_hh_l0",
                                           "rnn.weight_hr_l0",      "rnn.norm_ih.weight_l0",
                                           "rnn.norm_hh.weight_l0", "rnn.norm_c.weight_l0",
                                           "rnn.norm_c.bias_l0"};
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [3]}\n"
                                 "model: |\n"
                                 "  rnn = lstm(x, hidden=8, proj=2, bias=false, "
                                 "layer_norm=true)\n" DATA);
    check_names(g, COUNT(expected), expected);
    CHECK_TEXT(shape_print(arena, &g->state[0].shape), "[2]");
    CHECK_TEXT(shape_print(arena, &g->state[1].shape), "[8]");
    CHECK(g->loss == NO_NODE && g->n_optimizer == 0, "a model to run, not to train");
}

static void test_a_chain_of_delays_has_a_state_for_each_step(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [4]}\n"
                                 "model: |\n"
                                 "  conv = conv(x, size=2, kernel=3, dilation=2)\n" DATA);
    CHECK(g->n_state == 4, "got %d states", g->n_state);
    CHECK_TEXT(g->state[0].name, "conv.past_0_0");
    CHECK_TEXT(g->state[3].name, "conv.past_1_1");
    CHECK_TEXT(shape_print(arena, &g->param[0].shape), "[2, 4, 3]");
}

static void test_a_parameter_used_elsewhere_is_tied(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: class(9), y: class(9)}\n"
                                 "model:\n"
                                 "  params: {bias: {shape: [9], init: zeros}}\n"
                                 "  step: |\n"
                                 "    emb = embedding(x, size=4)\n"
                                 "    rnn = gru(emb, hidden=4)\n"
                                 "    before = rnn.h_l0\n"
                                 "    after = rnn.h_l0'\n"
                                 "    head = emb.weight @ (rnn + before - after) + bias\n"
                                 "loss: cross_entropy(head, y)\n" DATA);
    CHECK(g->n_param == 6, "got %d parameters", g->n_param);
    CHECK_TEXT(g->param[0].name, "bias");
    CHECK(g->param[0].trained && g->param[0].next == NO_NODE, "no optimizer, no update");
}

/* ---- the value at the start ---- */

static const char learned_start[] =
    "rnnc: 1\n"
    "inputs: {x: [3], y: [4], s: {shape: [4], per: sequence}}\n"
    "model:\n"
    "  params: {h0: [4], scale: {shape: [], init: ones}}\n"
    "  step: |\n"
    "    rnn = gru(x, hidden=4, h=h0 + scale * s)\n"
    "loss: mse(rnn, y)\n"
    "optimizer: adam(lr=1e-3)\n" DATA;

static void test_a_learned_start_is_updated_where_a_row_starts(void)
{
    Graph *g = build_good(arena, learned_start);
    int own = find_optimizer(g, "k.h0"), m = find_optimizer(g, "m.h0");
    CHECK(own >= 0 && g->optimizer[own].wide, "h0 counts its own updates");
    CHECK(find_optimizer(g, "k.scale") >= 0, "so does what enters with it");
    CHECK(find_optimizer(g, "k.rnn.weight_hh_l0") < 0, "the others share one count");
    CHECK(m >= 0 && g->node[g->optimizer[m].next].op == OP_WHERE, "its states wait");
    CHECK(g->node[g->param[find_param(g, "h0")].next].op == OP_WHERE, "h0 waits");
    CHECK(depends_on(g, g->param[0].next, OP_START), "for a row that starts");
    CHECK(!depends_on(g, g->param[2].next, OP_START), "nothing else does");
    CHECK(depends_on(g, g->state[0].entry, OP_PARAM), "the start is h0's");
    CHECK(g->input[find_input(g, "s")].per_sequence, "s is given once a sequence");
}

/* What a step writes, the loss of the next one sees: a chunk of one step gives it no
   gradient. */
static void test_what_only_later_steps_see_is_updated_by_chunks_with_later_steps(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [3], y: [4]}\n"
                                 "model:\n"
                                 "  params: {Wq: [4, 3], Ww: [4, 3]}\n"
                                 "  state: {M: [4], N: [4]}\n"
                                 "  step: |\n"
                                 "    M' = M + Ww @ x\n"
                                 "    N' = M\n"
                                 "    out = N + Wq @ x\n"
                                 "loss: mse(out, y)\n"
                                 "optimizer: adam(lr=1e-3)\n" DATA);
    int own = find_optimizer(g, "k.Ww");
    CHECK(own >= 0 && g->optimizer[own].wide, "Ww counts its own updates");
    CHECK(depends_on(g, g->param[find_param(g, "Ww")].next, OP_EXTENT), "by the steps");
    CHECK(find_optimizer(g, "k.Wq") < 0, "each chunk updates Wq");
}

/* The flag that the parameter's update waits for; NULL: it waits for nothing. */
static const Node *awaited(const Graph *g, const char *param)
{
    const Node *n = &g->node[g->param[find_param(g, param)].next];
    if (n->op != OP_WHERE)
        return NULL;
    n = &g->node[n->arg[0]];
    return n->op == OP_BROADCAST ? &g->node[n->arg[0]] : n;
}

static bool depends_on_counter(const Graph *g, NodeId node, int optimizer)
{
    const Node *n = &g->node[node];
    bool met = n->op == OP_OPTIMIZER && n->attr.index == optimizer;
    for (int i = 0; i < n->n_arg; i++)
        met = met || depends_on_counter(g, n->arg[i], optimizer);
    return met;
}

/* What Ww writes, the loss of the next step sees. */
static Graph *build_late_write(const char *training)
{
    return build_good(arena, arena_print(arena,
                                         "rnnc: 1\n"
                                         "inputs: {x: [3], y: [4]}\n"
                                         "model:\n"
                                         "  params: {Wq: [4, 3], Ww: [4, 3]}\n"
                                         "  state: {M: [4]}\n"
                                         "  step: |\n"
                                         "    M' = M + Ww @ x\n"
                                         "    out = M + Wq @ x\n"
                                         "loss: mse(out, y)\n%s" DATA,
                                         training));
}

/* Schedules know no parameter: theirs is the count of all updates. */
static void test_a_schedule_counts_all_updates(void)
{
    Graph *g = build_late_write("optimizer: adam(lr=0.1 * 0.9 ^ k)\n");
    NodeId next = g->param[find_param(g, "Ww")].next;
    CHECK(depends_on_counter(g, next, find_optimizer(g, "k")), "lr asks for all updates");
    CHECK(depends_on_counter(g, next, find_optimizer(g, "k.Ww")), "Adam for its own");
}

/* A write that the chunk's start meets sooner than a step does: either is enough. */
static void test_what_a_start_meets_sooner_waits_for_either(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [4], y: [4]}\n"
                                 "model:\n"
                                 "  params: {w: [4]}\n"
                                 "  state: {M: {shape: [4], initial: w}, N: [4]}\n"
                                 "  step: |\n"
                                 "    M' = 0.5 * M + w\n"
                                 "    N' = M\n"
                                 "    out = linear(N + x, size=4)\n"
                                 "loss: mse(out, y)\n"
                                 "optimizer: sgd(lr=0.1)\n" DATA);
    const Node *either = awaited(g, "w");
    CHECK(either && either->op == OP_OR, "w waits for one of two");
    const Node *start = either ? &g->node[either->arg[0]] : NULL;
    CHECK(start && start->op == OP_AND, "of which a start wants a later step too");
    if (!start || start->op != OP_AND)
        return;
    CHECK(depends_on(g, start->arg[0], OP_START), "the first is the start");
    CHECK(!depends_on(g, either->arg[1], OP_START), "the second asks for steps alone");
}

/* Behind a burn-in the steps of each row count, not those of the chunk. */
static void test_a_burn_in_is_not_counted_among_later_steps(void)
{
    Graph *g = build_late_write("optimizer: sgd(lr=0.1)\ntbptt: {step: 4, burn_in: 3}\n");
    const Node *enough = awaited(g, "Ww");
    CHECK(enough && enough->op == OP_LT && g->node[enough->arg[1]].op == OP_TOTAL,
          "Ww waits until some row has steps enough");
}

/* What is given is not computed: its default may use what stands below. */
static void test_the_default_of_what_is_given_may_use_what_stands_below(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [3], y: [3]}\n"
                                 "cells:\n"
                                 "  c:\n"
                                 "    args: {a: 2 * b, b: 1}\n"
                                 "    input: {x: [I]}\n"
                                 "    step: |\n"
                                 "      v = a * b * x\n"
                                 "model: |\n"
                                 "  head = linear(c(x, a=3), size=3)\n"
                                 "loss: mse(head, y)\n"
                                 "optimizer: sgd(lr=0.1)\n" DATA);
    CHECK(g->n_param == 2, "%d parameters", g->n_param);
}

/* What is given has its default's shape before a default below reads it; a default that
   holds one of a dimension waits with it. */
static void test_defaults_read_what_stands_above(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [3], y: [3]}\n"
                                 "cells:\n"
                                 "  c:\n"
                                 "    args: {w: \"ones([3]) * 2\", d: w + w, width: I, "
                                 "half: width / 3}\n"
                                 "    input: {x: [I]}\n"
                                 "    params: {b: [half]}\n"
                                 "    step: |\n"
                                 "      v = x[0] * d + sum(b)\n"
                                 "model: |\n"
                                 "  head = c(x, w=2.0)\n"
                                 "loss: mse(head, y)\n"
                                 "optimizer: sgd(lr=0.1)\n" DATA);
    const Shape *out = &g->node[g->output].shape, *b = &g->param[0].shape;
    CHECK(out->rank == 1 && out->dim[0] == 3, "d is no vector of 3");
    CHECK(b->rank == 1 && b->dim[0] == 1, "b is not [1]");
}

/* rnn.h_l0 is the state as the step found it: behind the reset. */
static void test_members_are_behind_a_reset(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [3], y: [4], done: flag}\n"
                                 "model: |\n"
                                 "  rnn = gru(x, hidden=4)\n"
                                 "  out = rnn.h_l0\n"
                                 "loss: mse(out, y) + mse(rnn, y)\n"
                                 "optimizer: sgd(lr=0.1)\n"
                                 "tbptt: {step: 4, reset: done}\n" DATA);
    CHECK(g->node[g->output].op == OP_WHERE, "the output is no choice by the reset");
}

static void test_a_model_that_ends_with_a_state_gives_what_the_step_leaves(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [3], y: [4]}\n"
                                 "model:\n"
                                 "  params: {W: [4, 3]}\n"
                                 "  state: {h: [4]}\n"
                                 "  step: |\n"
                                 "    h' = tanh(W @ x + h)\n"
                                 "loss: mse(h', y)\n"
                                 "optimizer: sgd(lr=0.1)\n" DATA);
    CHECK(g->output == g->state[0].next, "the output is node %d, h' is %d", g->output,
          g->state[0].next);
}

/* ---- lists ---- */

static Graph *build_lines(const char *lines)
{
    return build_good(arena, arena_print(arena,
                                         "rnnc: 1\n"
                                         "inputs: {x: [4], y: [2]}\n"
                                         "model:\n"
                                         "  params: {W: [4, 4]}\n"
                                         "  step: |\n"
                                         "    a, b = split(W @ x, 2)\n"
                                         "%s"
                                         "loss: mse(out, y)\n"
                                         "optimizer: sgd(lr=0.1)\n" DATA,
                                         lines));
}

static void test_a_derivative_is_that_of_a_list_too(void)
{
    Graph *g = build_lines("    s = spike([a, b])\n    out = s[0] + s[1]\n");
    CHECK(count_op(g, OP_SURROGATE) == 1, "%d surrogates", count_op(g, OP_SURROGATE));
    CHECK(g->param[0].trained, "no gradient goes through it");
}

static void test_a_detached_list_passes_no_gradient(void)
{
    CHECK(build_lines("    out = a + b\n")->param[0].trained, "W is not trained");
    Graph *g = build_lines("    c, d = detach([a, b])\n    out = c + d\n");
    CHECK(!g->param[0].trained, "W is trained");
}

/* A mean beside a loss whose steps weigh differently is plain, wherever it stands. */
static void test_terms_of_a_loss_stand_in_any_order(void)
{
    static const char *const loss[] = {"cross_entropy(p, y) + average(v)",
                                       "average(v) + cross_entropy(p, y)"};
    int dividing[2];
    for (int i = 0; i < 2; i++) {
        Graph *g =
            build_good(arena, arena_print(arena,
                                          "rnnc: 1\n"
                                          "inputs: {x: [3], y: {class: 4, ignore: -100}}\n"
                                          "model: |\n"
                                          "  p = linear(x, size=4)\n"
                                          "  v = mean(p * p)\n"
                                          "  out = p\n"
                                          "loss: %s\n"
                                          "optimizer: sgd(lr=0.1)\n" DATA,
                                          loss[i]));
        dividing[i] = count_op(g, OP_MUL);
    }
    CHECK(dividing[0] == dividing[1], "%d products, then %d", dividing[0], dividing[1]);
}

/* ---- variants of truncated BPTT ---- */

static Graph *build_variant(const char *tbptt)
{
    return build_good(arena, arena_print(arena,
                                         "rnnc: 1\n"
                                         "inputs: {x: [3], y: [4], d: flag, "
                                         "n: {kind: integer, per: sequence}}\n"
                                         "model:\n"
                                         "  params: {h0: [4]}\n"
                                         "  step: |\n"
                                         "    rnn = gru(dropout(x, 0.1), hidden=4, h=h0)\n"
                                         "loss: mse(rnn, y)\n"
                                         "optimizer: adam(lr=1e-3)\n"
                                         "tbptt: {step: 4%s}\n" DATA,
                                         tbptt));
}

static void test_a_variant_that_is_not_asked_for_makes_no_node(void)
{
    Graph *plain = build_variant("");
    Graph *as_plain =
        build_variant(", window: 4, loss_window: all, burn_in: 0, carry: batch");
    CHECK_TEXT(graph_hash(as_plain), graph_hash(plain));
    CHECK(count_op(plain, OP_STEP) == 0 && plain->tbptt_step == 0, "no step is counted");
}

static void test_a_reset_starts_from_the_learned_state(void)
{
    Graph *g = build_variant(", reset: d");
    CHECK(find_optimizer(g, "k.h0") >= 0, "h0 counts its own updates");
    CHECK(depends_on(g, g->param[find_param(g, "h0")].next, OP_INPUT), "and waits for d");
    CHECK(find_optimizer(g, "k.rnn.weight_hh_l0") < 0, "the others share one count");
    CHECK(!g->input[find_input(g, "d")].for_loss_only, "the model reads d");
}

static void test_a_burn_in_is_a_state_and_keeps_gradients_from_the_start(void)
{
    Graph *g = build_variant(", burn_in: 3");
    int age = find_state(g, "tbptt.age");
    CHECK(age >= 0 && g->state[age].shape.rank == 0, "the row's age is a state");
    CHECK(!g->param[find_param(g, "h0")].trained, "h0 has no gradient");
    CHECK(depends_on(g, g->state[1].next, OP_DETACH), "what burns in is detached");
}

static void test_steps_beyond_the_length_leave_the_state(void)
{
    Graph *g = build_variant(", lengths: n");
    const Node *next = &g->node[g->state[0].next];
    CHECK(next->op == OP_WHERE && next->arg[2] == g->state[0].leaf, "as it was found");
    CHECK(count_op(g, OP_STEP) == 1, "steps are counted once");
}

static void test_a_window_marks_its_old_steps(void)
{
    Graph *g = build_variant(", window: 8");
    CHECK(g->tbptt_step == 4, "got %d", (int)g->tbptt_step);
    CHECK(count_op(g, OP_STEP) == 1, "old steps do not count");
    g = build_variant(", window: 8, loss_window: all");
    CHECK(g->tbptt_step == 4 && count_op(g, OP_STEP) == 0, "all steps count");
}

/* ---- numbers that may change ---- */

static void test_arguments_are_constants_where_they_shape_the_code(void)
{
    Graph *g = build_good(
        arena,
        "rnnc: 1\n"
        "inputs: {x: [3], y: [2]}\n"
        "model: |\n"
        "  cell = lif(x, hidden=4, beta=0.8)\n"
        "  drop = dropout(cell, 0)\n"
        "  head = linear(drop, size=2)\n"
        "loss: smooth_l1(head, y, beta=0.5) + 0.1 * huber(head, y, delta=2.0)\n"
        "optimizer: sgd(lr=0.1, momentum=0.5 + 0.04 * min(k, 10), clip_norm=1)\n" DATA);
    static const char *const expected[] = {"cell.beta",           "loss.beta",
                                           "loss.delta",          "optimizer.lr",
                                           "optimizer.dampening", "optimizer.weight_decay",
                                           "optimizer.clip_norm"};
    CHECK(g->n_scalar == COUNT(expected), "got %d scalars", g->n_scalar);
    for (int i = 0; i < COUNT(expected); i++)
        CHECK(find_scalar(g, expected[i]) >= 0, "no scalar '%s'", expected[i]);
    CHECK(g->scalar[find_scalar(g, "cell.beta")].value == 0.8, "its value");
    CHECK(find_optimizer(g, "b.head.weight") >= 0, "a scheduled momentum has a buffer");
    CHECK(g->gradient_norm != NO_NODE && g->node[g->gradient_norm].wide,
          "clip_norm needs it");
    CHECK(count_op(g, OP_RANDOM) == 4, "dropout of 0 draws nothing");
}

static void test_schedules_read_counters(void)
{
    Graph *g =
        build_good(arena, "rnnc: 1\n"
                          "inputs: {x: [3], y: [2]}\n"
                          "model: |\n"
                          "  head = linear(x, size=2)\n"
                          "loss: mse(head, y)\n"
                          "optimizer: sgd(lr = 0.1 * 0.9^epoch * min(1, k / 500))\n" DATA);
    int epoch = find_scalar(g, "epoch");
    CHECK(epoch >= 0 && g->scalar[epoch].counter, "epoch is a counter");
    CHECK(find_scalar(g, "optimizer.lr") < 0, "a schedule is no number");
    CHECK(find_optimizer(g, "b.head.weight") < 0, "momentum 0 has no buffer");
    CHECK(depends_on(g, g->param[0].next, OP_OPTIMIZER), "k is a state of the optimizer");
    CHECK(g->gradient_norm == NO_NODE, "nothing needs the norm");
}

static void test_overrides_change_one_parameters_optimizer(void)
{
    Graph *g =
        build_good(arena, "rnnc: 1\n"
                          "inputs: {x: [3], y: [2]}\n"
                          "model:\n"
                          "  params:\n"
                          "    a: {shape: [2], optimizer: {lr: 0.1 * lr, momentum: 0}}\n"
                          "    b: {shape: [2], grad: false}\n"
                          "  step: |\n"
                          "    l = linear(x, size=2)\n"
                          "    head = l * a + b\n"
                          "loss: mse(head, y)\n"
                          "optimizer: sgd(lr=0.5, momentum=0.9)\n"
                          "groups: [{match: \"*.bias\", weight_decay: 0.25}]\n" DATA);
    CHECK(find_optimizer(g, "b.a") < 0, "a has no buffer");
    CHECK(find_optimizer(g, "b.l.weight") >= 0, "the others have");
    CHECK(!g->param[1].trained && g->param[1].next == NO_NODE, "b is not trained");
    int decay = find_scalar(g, "groups.0.weight_decay");
    CHECK(decay >= 0 && g->scalar[decay].value == 0.25, "a group's value is a scalar");
}

/* ---- losses ---- */

static void test_ignored_classes_have_a_weight(void)
{
    const char *text = "rnnc: 1\n"
                       "inputs: {x: [3], y: %s}\n"
                       "model: |\n"
                       "  head = linear(x, size=5)\n"
                       "loss: cross_entropy(head, y)\n"
                       "metrics: {accuracy: average(argmax(head) == y)}\n" DATA;
    Graph *all = build_good(arena, arena_print(arena, text, "class(5)"));
    Graph *some = build_good(arena, arena_print(arena, text, "{class: 5, ignore: -100}"));
    CHECK(!depends_on(all, all->weight, OP_INPUT), "every step counts");
    CHECK(depends_on(some, some->weight, OP_INPUT), "y decides");
    CHECK(depends_on(some, some->metric[0].value, OP_NE), "metrics are weighted alike");
    CHECK(some->n_metric == 2 && some->node[some->metric[0].value].axes == 0,
          "of the chunk, and the loss behind it");
}

static void test_other_values_count_with_their_averages(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [3], y: [2]}\n"
                                 "model: |\n"
                                 "  head = linear(x, size=2)\n"
                                 "loss: mse(head, y) + 1e-2 * sum(head^2) + "
                                 "1e-4 * sum(head.weight^2)\n" DATA);
    CHECK(g->node[g->loss].axes == 0, "all of it is of the chunk");
    CHECK(count_op(g, OP_TOTAL) == 2, "the weights are no sum over steps");
}

/* ---- the language ---- */

static void test_a_specs_function_does_not_change_the_library(void)
{
    const char *text = "rnnc: 1\n"
                       "inputs: {x: [3]}\n"
                       "%s"
                       "model: |\n"
                       "  rnn = lstm(x, hidden=4)\n"
                       "  y = %s(rnn)\n" DATA;
    Graph *own = build_good(
        arena,
        arena_print(arena, text, "functions: {tanh: {args: [v], value: v * 7}}\n", "tanh"));
    CHECK(count_op(own, OP_TANH) == 2, "got %d tanh", count_op(own, OP_TANH));
}

static void test_names_may_be_shared_between_places(void)
{
    Graph *g = build_good(arena, "rnnc: 1\n"
                                 "inputs: {x: [3]}\n"
                                 "cells:\n"
                                 "  own:\n"
                                 "    args: {dropout: 0.5, pi: 3.0, deep: true}\n"
                                 "    input: {x: [I]}\n"
                                 "    params: {deep: {shape: [I], when: deep}}\n"
                                 "    step: |\n"
                                 "      v = dropout(x, dropout)\n"
                                 "      if deep and not (dropout < 0.2):\n"
                                 "        v = v * deep * pi\n"
                                 "      a, b = [v[0], v[1:]]\n"
                                 "      y = concat([a], b)\n"
                                 "    output: y\n"
                                 "model: |\n"
                                 "  linear = own(x)\n"
                                 "  y = linear[::-1] + linear.deep\n" DATA);
    CHECK(g->n_param == 1, "got %d parameters", g->n_param);
    CHECK_TEXT(g->param[0].name, "linear.deep");
    CHECK_TEXT(shape_print(arena, &g->node[g->output].shape), "[3]");
}

static void test_a_mistake_is_said_where_the_spec_made_it(void)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    Graph *g = build_text(arena,
                          "rnnc: 1\ninputs: {x: [3], y: [2]}\nmodel: |\n"
                          "  a = lstm(x, hidden=-1)\n"
                          "  head = linear(x, size=3)\n"
                          "loss: mse(head, y)\n" DATA,
                          NULL, out);
    fclose(out);
    CHECK(!g, "a spec with mistakes gives no graph");
    CHECK(strstr(text, ":4:7: error: size of a dimension is -1"), "got %s", text);
    CHECK(strstr(text, "found here, in 'lstm' of the library"), "got %s", text);
    CHECK(strstr(text, ":6:7: error: input 'y' of 'mse' has shape [2]"), "got %s", text);
    CHECK(!strstr(text, "unknown name"), "nothing follows from them: %s", text);
    free(text);
}

int main(void)
{
    arena = arena_new();
    test_parameters_have_pytorchs_names_in_its_order();
    test_options_of_a_cell_name_their_parameters();
    test_a_chain_of_delays_has_a_state_for_each_step();
    test_a_parameter_used_elsewhere_is_tied();
    test_a_learned_start_is_updated_where_a_row_starts();
    test_what_only_later_steps_see_is_updated_by_chunks_with_later_steps();
    test_a_schedule_counts_all_updates();
    test_what_a_start_meets_sooner_waits_for_either();
    test_a_burn_in_is_not_counted_among_later_steps();
    test_the_default_of_what_is_given_may_use_what_stands_below();
    test_defaults_read_what_stands_above();
    test_members_are_behind_a_reset();
    test_a_model_that_ends_with_a_state_gives_what_the_step_leaves();
    test_a_derivative_is_that_of_a_list_too();
    test_a_detached_list_passes_no_gradient();
    test_terms_of_a_loss_stand_in_any_order();
    test_a_variant_that_is_not_asked_for_makes_no_node();
    test_a_reset_starts_from_the_learned_state();
    test_a_burn_in_is_a_state_and_keeps_gradients_from_the_start();
    test_steps_beyond_the_length_leave_the_state();
    test_a_window_marks_its_old_steps();
    test_arguments_are_constants_where_they_shape_the_code();
    test_schedules_read_counters();
    test_overrides_change_one_parameters_optimizer();
    test_ignored_classes_have_a_weight();
    test_other_values_count_with_their_averages();
    test_a_specs_function_does_not_change_the_library();
    test_names_may_be_shared_between_places();
    test_a_mistake_is_said_where_the_spec_made_it();
    arena_free(arena);
    return check_result();
}
