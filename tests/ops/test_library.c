/*
 * test_library.c — every cell, loss, optimizer and function of the library, and every
 * operation of the table, every variant of truncated BPTT: interpreter against unfused
 * against fused.
 *
 *     test_library cells|losses|optimizers|functions|ops|variants|f64|ops_everywhere [NAME]
 *
 * The library is walked (library_specs.h), so a new definition is tested as it is added;
 * an operation that no expression of the table below reaches fails.
 *
 * f64 is a part of all of it with `dtype: f64`; RNNC_TRIAL_DTYPE=f64 in the environment,
 * the other parts whole.
 */
#include <stdlib.h>

#include "check.h"
#include "differential.h"
#include "ops/library_specs.h"

enum { STEPS = 4, ROWS = 3 };

static const char *const outcome_words[] = {"passed", "failed", "refused", "unsuitable"};

/* As the text is, or with reals of double. */
static Outcome try_dtype(const char *name, const char *text, const char *dtype)
{
    Arena *a = arena_new();
    const char *all = dtype ? arena_print(a, "dtype: %s\n%s", dtype, text) : text;
    Trial t = {.name = name, .text = all, .steps = STEPS, .rows = ROWS, .seed = 1};
    Outcome o = differential_run(&t);
    if (o == TRIAL_FAILED || getenv("RNNC_VERBOSE"))
        fprintf(stderr, "%s: %s\n%s\n", name, outcome_words[o], all);
    arena_free(a);
    return o;
}

static Outcome try_text(const char *name, const char *text)
{
    return try_dtype(name, text, getenv("RNNC_TRIAL_DTYPE"));
}

/* ---- definitions ---- */

/* All texts of a case that asks for it; RNNC_TRIAL_ONCE in the environment: the first that
   can run. */
static bool has_run_enough(const LibraryCase *c, const int *n)
{
    bool ran = n[TRIAL_PASSED] + n[TRIAL_FAILED] > 0;
    return ran && (!c->every || getenv("RNNC_TRIAL_ONCE"));
}

static void test_code_agrees_with_interpreter(const LibraryCase *c)
{
    int n[TRIAL_OUTCOMES] = {0};
    for (int i = 0; i < c->n_text; i++) {
        n[try_text(c->name, c->text[i])]++;
        if (has_run_enough(c, n))
            break;
    }
    CHECK(n[TRIAL_FAILED] == 0, "%s", c->name);
    CHECK(!c->plain || n[TRIAL_PASSED] > 0, "%s: %d refused, %d unsuitable", c->name,
          n[TRIAL_REFUSED], n[TRIAL_UNSUITABLE]);
    printf("%-40s %d passed, %d refused, %d unsuitable\n", c->name, n[TRIAL_PASSED],
           n[TRIAL_REFUSED], n[TRIAL_UNSUITABLE]);
}

static void test_library(Arena *a, DefKind kind, const char *name)
{
    LibraryCases cases = library_cases(a, kind);
    CHECK(cases.n > 0, "the library has none");
    for (int i = 0; i < cases.n; i++)
        if (!name || str_eq(name, cases.item[i].name))
            test_code_agrees_with_interpreter(&cases.item[i]);
}

/* ---- operations ---- */

/* Of v, w: [9]; M: [5, 9], which varies by row; W: [5, 9], a parameter; c: a class of 9. */
static const char *const expressions[] = {
    "v + w",
    "v - w * v",
    "v / (w^2 + 1)",
    "-v",
    "(v^2 + 0.5)^w",
    "v^3",
    "2^v",
    "where(v < w, v, w)",
    "where(v <= w and w > 0.1, v, 2 * w)",
    "where(v == w or not (v != w), v, v * w)",
    "min(v, w)",
    "max(v, w, 0.1)",
    "abs(v)",
    "sign(v) * w",
    "floor(3 * v) + w",
    "round(3 * v) * v",
    "mod(v, 0.7)",
    "exp(v)",
    "expm1(v)",
    "log(v^2 + 0.5)",
    "log1p(v^2)",
    "sqrt(v^2 + 0.3)",
    "rsqrt(v^2 + 0.3)",
    "tanh(v)",
    "erf(v)",
    "sin(v)",
    "cos(v)",
    "detach(v) * w",
    "v > 0",
    "spike(v)",
    "sum(v) * w",
    "mean(M, axis=0)",
    "max(M, axis=0) + v",
    "min(M, axis=1)",
    "prod(v)",
    "prod(M, axis=1)",
    "norm(v) * w",
    "where(argmax(v) == c, v, w)",
    "transpose(W)[argmax(v)] * (W @ v)",
    "where(argmax(W * M, axis=1) == c, W @ v, W @ w)",
    "logsumexp(v)",
    "softmax(v)",
    "log_softmax(M, axis=1)",
    "softmax(M, axis=0)",
    "W @ v",
    "M @ v",
    "reshape(arange(45) / 45, [5, 9]) @ v",
    "ones([5, 9]) @ v",
    "dot(v, 0.1 * arange(9)) * w",
    "M @ (0.1 * arange(9))",
    "M @ reshape(arange(18) / 18, [9, 2])",
    "outer(v, arange(3))",
    "W @ (v * w)",
    "outer(v, w)",
    "dot(v, w) * v",
    "transpose(M) @ (W @ v)",
    "M @ transpose(W)",
    "transpose(M) @ M",
    "einsum(\"ij,kj->ik\", W, M)",
    "einsum(\"ij,j->ij\", W, v)",
    "einsum(\"ij,ij->i\", M, W)",
    "einsum(\"i,j->\", v, w)",
    "concat(v, w)",
    "concat(M, W, axis=1)",
    "[v, w, 2 * v]",
    "v[2:7]",
    "v[::-1]",
    "v[1::3] + w[8:0:-3]",
    "M[1, :] + v",
    "M[:, 2]",
    "M[1:4, ::2]",
    "v[-1] * w",
    "reshape(M, [9, 5]) @ (W @ v)",
    "reshape(v, [3, 3]) @ reshape(w, [3, 3])",
    "transpose(reshape(M, [5, 3, 3]), [2, 0, 1])",
    "transpose(W)[c] + M[:, 0]",
    "v[c] * w",
    "one_hot(c) * v",
    "dropout(v, 0.3)",
    "v * training + w",
    "arange(9) * v",
    "zeros([9]) + v[0]",
    "ones([2, 9]) * w",
    "exp(-W) @ v",
    "W[2, :] * v",
    "sum(W) * v",
    "softmax(W, axis=1) @ v",
    "iteration * v",
    "clamp(v, -0.5, 0.5)",
    "v * m",
    "where(s, v, w)",
};

/* The expression outside a recurrence, and inside one. */
static const char *const places[] = {
    "    h' = tanh(P @ u)\n    v = P @ u\n    w = Q @ u\n",
    "    h' = tanh(P @ u + R @ h + 0.2 * s)\n    v = P @ u + h\n    w = Q @ u - 0.5 * h\n",
    "    v = P @ u + 0.3 * h\n    w = Q @ u\n",
};

static const char *expression_spec(Arena *a, const char *expression, int place)
{
    bool fed_back = place == 2; /* the result is the next state */
    return arena_print(
        a,
        "rnnc: 1\nname: trial\n"
        "inputs: {u: [4], c: class(9), s: flag, m: {kind: real, per: sequence}}\n"
        "model:\n  params:\n"
        "    P: {shape: [9, 4], init: uniform(0.7)}\n"
        "    Q: {shape: [9, 4], init: uniform(0.7)}\n"
        "    R: {shape: [9, 9], init: uniform(0.3)}\n"
        "    W: {shape: [5, 9], init: uniform(0.5)}\n"
        "    V: {shape: [5, 4], init: uniform(0.5)}\n"
        "    G: {shape: [9], init: uniform(0.5)}\n"
        "  state: {h: [9], g: {shape: [9], initial: G}}\n  step: |\n%s"
        "    M = outer(V @ u, 0.5 + v) + W\n    g' = 0.5 * g + 0.1 * w\n    y = %s\n%s"
        "  output: y\nloss: mean((y - 0.3)^2) + 0.01 * sum(h^2) + 0.01 * sum(M^2 + "
        "sum(g^2)) + 0.01 * "
        "sum((R @ w)^2) * m + 0.001 * s\n"
        "metrics: {m1: average(sum(y)), m2: total(max(y))}\n",
        places[place], expression,
        fed_back ? "    h' = tanh(0.3 * v + R @ w + mean(y))\n" : "");
}

/* Each expression at one of the places in turn, or everywhere. */
static void test_every_operation_agrees(Arena *a, const char *name, bool everywhere)
{
    for (int i = 0; i < COUNT(expressions); i++) {
        if (name && !str_eq(name, expressions[i]))
            continue;
        for (int place = 0; place < COUNT(places); place++) {
            if (!everywhere && place != i % COUNT(places))
                continue;
            const char *text = expression_spec(a, expressions[i], place);
            Outcome o = try_text(expressions[i], text);
            CHECK(o == TRIAL_PASSED, "%s, place %d: %s", expressions[i], place,
                  outcome_words[o]);
        }
    }
}

/* ---- specs that once went wrong ---- */

static const struct {
    const char *name, *text;
} regressions[] = {
    {"more reductions of one space than a loop carries",
     "rnnc: 1\nname: trial\ninputs: {x: [32], y: [32]}\nmodel: |\n  s = 0\n"
     "  for i in range(70):\n    s = s + max(sin(x * (i + 1)))\n"
     "  h = linear(0.01 * s * x, size=32)\nloss: mse(h, y)\noptimizer: sgd(lr=0.1)\n"},
    {"the norm of more gradients of one shape than a loop carries",
     "rnnc: 1\nname: trial\ninputs: {x: [8], y: [8]}\nmodel: |\n  v = x\n"
     "  for i in range(70):\n    v = v + 0.1 * linear(v, size=8, bias=false, as=\"l{i}\")\n"
     "loss: mse(v, y)\noptimizer: sgd(lr=0.1, clip_norm=1)\n"},
    {"a model without lines",
     "rnnc: 1\nname: trial\ninputs: {x: [4], y: real}\nmodel:\n  params: {w: [4]}\n"
     "  output: dot(w, x)\nloss: (dot(w, x) - y)^2\noptimizer: sgd(lr=0.1)\n"},
    {"a loss of parameters alone",
     "rnnc: 1\nname: trial\ninputs: {x: [4], y: [4]}\nmodel: |\n"
     "  h = linear(x, size=4)\nloss: sum(h.weight^2)\n"
     "optimizer: sgd(lr=0.1)\n"},
    {"a class given once a sequence",
     "rnnc: 1\nname: trial\ninputs: {x: [3], c: {class: 4, per: sequence}}\nmodel: |\n"
     "  h = rnn(x, hidden=5)\n  o = linear(h, size=4)\nloss: cross_entropy(o, c)\n"
     "optimizer: sgd(lr=0.1)\n"},
    {"an update that reads w transposed", "rnnc: 1\n"
                                          "name: trial\n"
                                          "inputs:\n"
                                          "  x: [20]\n"
                                          "  y: [20]\n"
                                          "model:\n"
                                          "  params:\n"
                                          "    A: [20, 20]\n"
                                          "  step: |\n"
                                          "    o = tanh(A @ x)\n"
                                          "loss: mse(o, y)\n"
                                          "optimizer: odd(lr = 0.1)\n"
                                          "optimizers:\n"
                                          "  odd:\n"
                                          "    args: {lr: 0.1}\n"
                                          "    step: |\n"
                                          "      w' = w - lr * transpose(w)\n"},
    {"a strided slice of rank 6", "rnnc: 1\n"
                                  "name: trial\n"
                                  "inputs:\n"
                                  "  x: [4]\n"
                                  "  y: [4]\n"
                                  "model: |\n"
                                  "  l = linear(x, size=4)\n"
                                  "  z = reshape(tanh(l), [1,1,1,1,1,4])\n"
                                  "  o = l * sum(exp(z[:,:,:,:,:,::2]))\n"
                                  "loss: mse(o, y)\n"
                                  "optimizer: sgd(lr = 0.1)\n"},
    {"an einsum of seven labels", "rnnc: 1\n"
                                  "name: trial\n"
                                  "inputs:\n"
                                  "  x: [4]\n"
                                  "  y: [4]\n"
                                  "model: |\n"
                                  "  a = reshape(tanh(x), [2,2,1,1])\n"
                                  "  b = reshape(exp(x),[2,2,1,1])\n"
                                  "  o = x*sum(einsum(\"abcd,efgd->abcefg\", a, b))\n"
                                  "loss: mse(o, y)\n"
                                  "optimizer: sgd(lr = 0.1)\n"},
    {"a sum of forty terms",
     "rnnc: 1\n"
     "name: trial\n"
     "inputs:\n"
     "  x: [4]\n"
     "  y: [4]\n"
     "model: |\n"
     "  o = tanh(x*1.0) + tanh(x*1.1) + tanh(x*1.2) + tanh(x*1.3) + tanh(x*1.4) + "
     "tanh(x*1.5) + tanh(x*1.6) + tanh(x*1.7) + tanh(x*1.8) + tanh(x*1.9) + tanh(x*2.0) + "
     "tanh(x*2.1) + tanh(x*2.2) + tanh(x*2.3) + tanh(x*2.4) + tanh(x*2.5) + tanh(x*2.6) + "
     "tanh(x*2.7) + tanh(x*2.8) + tanh(x*2.9) + tanh(x*3.0) + tanh(x*3.1) + tanh(x*3.2) + "
     "tanh(x*3.3) + tanh(x*3.4) + tanh(x*3.5) + tanh(x*3.6) + tanh(x*3.7) + tanh(x*3.8) + "
     "tanh(x*3.9) + tanh(x*4.0) + tanh(x*4.1) + tanh(x*4.2) + tanh(x*4.3) + tanh(x*4.4) + "
     "tanh(x*4.5) + tanh(x*4.6) + tanh(x*4.7) + tanh(x*4.8) + tanh(x*4.9) + tanh(x*5.0) + "
     "tanh(x*5.1) + tanh(x*5.2) + tanh(x*5.3) + tanh(x*5.4) + tanh(x*5.5) + tanh(x*5.6) + "
     "tanh(x*5.7) + tanh(x*5.8) + tanh(x*5.9) + tanh(x*6.0) + tanh(x*6.1) + tanh(x*6.2) + "
     "tanh(x*6.3) + tanh(x*6.4) + tanh(x*6.5) + tanh(x*6.6) + tanh(x*6.7) + tanh(x*6.8) + "
     "tanh(x*6.9)\n"
     "loss: mse(o, y)\n"
     "optimizer: sgd(lr = 0.1)\n"},
    {"panels of pack beside the gradient norm",
     "rnnc: 1\n"
     "name: trial\n"
     "inputs:\n"
     "  x: [4]\n"
     "  y: [4]\n"
     "model:\n"
     "  params:\n"
     "    A: [4, 64]\n"
     "    B: [64, 1]\n"
     "  step: |\n"
     "    W = A @ B\n"
     "    o = tanh(x * W[:, 0])\n"
     "loss: mse(o, y)\n"
     "optimizer: sgd(lr = 0.1, clip_norm = 1)\n"},
};

static void test_specs_that_went_wrong_agree(const char *name)
{
    for (int i = 0; i < COUNT(regressions); i++) {
        if (name && !str_eq(name, regressions[i].name))
            continue;
        Outcome o = try_text(regressions[i].name, regressions[i].text);
        CHECK(o == TRIAL_PASSED, "%s: %s", regressions[i].name, outcome_words[o]);
    }
}

/* ---- variants of truncated BPTT ---- */

#define INPUTS               \
    "rnnc: 1\nname: trial\n" \
    "inputs: {x: [4], y: [3], done: flag, n: {kind: integer, per: sequence}}\n"
#define LEARNED                                                                \
    "model:\n  params: {h0: [6]}\n  step: |\n"                                 \
    "    rnn = gru(x, hidden=6, h=tanh(h0))\n"                                 \
    "    two = lstm(rnn, hidden=5)\n    o = linear(two, size=3)\n"             \
    "loss: mse(o, y) + 0.1 * sum(abs(o))\nmetrics:\n  m: average(o[0])\n  t: " \
    "total(o[1])\n"
#define MEMORY                                                                  \
    "model:\n  params: {W: [3, 4], U: [5, 4], C0: [3, 5]}\n"                    \
    "  state: {C: {shape: [3, 5], initial: C0}}\n  step: |\n"                   \
    "    k = tanh(U @ x)\n    C' = 0.8 * C + outer(W @ x, k)\n    o = C' @ k\n" \
    "  output: o\nloss: huber(o, y)\n"

static const struct {
    const char *name, *text;
} variants[] = {
    {"window", INPUTS LEARNED "optimizer: adam(lr=0.1)\ntbptt: {step: 2, window: 4}\n"},
    {"window, all", INPUTS MEMORY "optimizer: sgd(lr=0.1, momentum=0.9)\n"
                                  "tbptt: {step: 2, window: 4, loss_window: all}\n"},
    {"reset", INPUTS LEARNED "optimizer: adam(lr=0.1)\ntbptt: {step: 4, reset: done}\n"},
    {"reset of a matrix",
     INPUTS MEMORY "optimizer: adam(lr=0.1)\ntbptt: {step: 4, reset: done}\n"},
    {"lengths", INPUTS LEARNED "optimizer: adam(lr=0.1)\ntbptt: {step: 4, lengths: n}\n"},
    {"burn-in", INPUTS LEARNED "optimizer: adamw(lr=0.1)\ntbptt: {step: 4, burn_in: 2}\n"},
    {"all of it", INPUTS LEARNED "optimizer: adam(lr=0.1, clip_norm=1)\n"
                                 "tbptt: {step: 2, window: 4, burn_in: 1, reset: done, "
                                 "lengths: n}\n"},
    {"all of it, a matrix", INPUTS MEMORY "optimizer: adam(lr=0.1)\n"
                                          "tbptt: {step: 2, window: 4, burn_in: 1, "
                                          "reset: done, lengths: n}\n"},
};

static void test_variants_of_truncated_bptt_agree(const char *name)
{
    for (int i = 0; i < COUNT(variants); i++) {
        if (name && !str_eq(name, variants[i].name))
            continue;
        Outcome o = try_text(variants[i].name, variants[i].text);
        CHECK(o == TRIAL_PASSED, "%s: %s", variants[i].name, outcome_words[o]);
    }
}

/* ---- reals of double ---- */

/* The elementary functions, which double has recipes of its own for, and every twelfth
   other expression; the variants, which have states, windows, resets and several products.
 */
static void test_doubles_agree(Arena *a, const char *name)
{
    static const char *const functions[] = {"exp", "log", "tanh", "erf",
                                            "sin", "cos", "mod",  "^w"};
    for (int i = 0; i < COUNT(expressions); i++) {
        bool wanted = i % 12 == 0 || name;
        for (int k = 0; k < COUNT(functions); k++)
            wanted = wanted || strstr(expressions[i], functions[k]);
        if (!wanted || (name && !str_eq(name, expressions[i])))
            continue;
        const char *text = expression_spec(a, expressions[i], i % COUNT(places));
        Outcome o = try_dtype(expressions[i], text, "f64");
        CHECK(o == TRIAL_PASSED, "%s: %s", expressions[i], outcome_words[o]);
    }
    for (int i = 0; i < COUNT(variants); i++) {
        if (name && !str_eq(name, variants[i].name))
            continue;
        Outcome o = try_dtype(variants[i].name, variants[i].text, "f64");
        CHECK(o == TRIAL_PASSED, "%s: %s", variants[i].name, outcome_words[o]);
    }
}

/* ---- no operation without a trial ---- */

static void mark_ops(const char *text, bool *seen)
{
    Arena *a = arena_new();
    Trial t = {.name = "coverage", .text = text, .steps = STEPS, .rows = ROWS};
    const Unit *u = trial_unit(a, &t, NULL, false, "grad");
    for (NodeId id = 0; u && id < u->graph->n_node; id++)
        seen[u->graph->node[id].op] = true;
    arena_free(a);
}

static void mark_library(Arena *a, DefKind kind, bool *seen)
{
    LibraryCases cases = library_cases(a, kind);
    for (int i = 0; i < cases.n; i++)
        mark_ops(cases.item[i].text[0], seen);
}

static void test_every_operation_is_tried(Arena *a)
{
    bool seen[OP_COUNT] = {false};
    for (int i = 0; i < COUNT(expressions); i++)
        mark_ops(expression_spec(a, expressions[i], i % COUNT(places)), seen);
    for (int i = 0; i < COUNT(variants); i++)
        mark_ops(variants[i].text, seen);
    mark_library(a, DEF_OPTIMIZER, seen);
    mark_library(a, DEF_CELL, seen);
    for (int op = 0; op < OP_COUNT; op++)
        CHECK(seen[op], "no trial uses the operation %s", op_defs[op]->name);
}

/* ---- which ---- */

static const struct {
    const char *word;
    DefKind kind;
} parts[] = {
    {"cells", DEF_CELL},
    {"losses", DEF_LOSS},
    {"optimizers", DEF_OPTIMIZER},
    {"functions", DEF_FUNCTION},
};

int main(int argc, char **argv)
{
    Arena *a = arena_new();
    const char *part = argc > 1 ? argv[1] : NULL, *name = argc > 2 ? argv[2] : NULL;
    differential_print_levels();
    for (int i = 0; i < COUNT(parts); i++)
        if (!part || str_eq(part, parts[i].word))
            test_library(a, parts[i].kind, name);
    bool everywhere = str_eq(part, "ops_everywhere");
    if (!part || str_eq(part, "ops") || everywhere)
        test_every_operation_agrees(a, name, everywhere || name);
    if (!part || str_eq(part, "ops"))
        test_specs_that_went_wrong_agree(name);
    if (!name && (!part || str_eq(part, "ops")))
        test_every_operation_is_tried(a);
    if (!part || str_eq(part, "variants"))
        test_variants_of_truncated_bptt_agree(name);
    if (!part || str_eq(part, "f64"))
        test_doubles_agree(a, name);
    arena_free(a);
    return check_result();
}
