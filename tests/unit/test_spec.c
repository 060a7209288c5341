/*
 * test_spec.c — files to specs: the library, every section, overrides, values.
 * Mistakes that stand in a spec are in tests/errors.
 *
 *     test_spec FOLDER      the library's folder, to be read in place of the embedded one
 */
#include "check.h"
#include "spec/spec.h"

#include <stdlib.h>
#include <unistd.h>

static const char whole[] =
    "rnnc: 1\n"
    "inputs:\n"
    "  x: class(96)\n"
    "  y: {class: 96, ignore: -100}\n"
    "  n: {kind: integer, per: sequence}\n"
    "  z: [28, 28]\n"
    "  f: flag\n"
    "  v: class\n"
    "cells:\n"
    "  mgu:\n"
    "    args:   {hidden: integer, bias: true, p: -0.5, f: tanh, w: \"ones([I])\"}\n"
    "    input:  {x: [I], s: [...]}\n"
    "    state:  {h: [hidden], m: {shape: [], initial: -1e30}}\n"
    "    starts: {c: [layers, hidden]}\n"
    "    params:\n"
    "      W: {shape: [hidden, I], init: uniform(1 / sqrt(hidden)), when: not bias}\n"
    "      b: {shape: [hidden], grad: false, optimizer: {weight_decay: 0, lr: 0.1 * lr}}\n"
    "    step: |\n"
    "      h' = W @ x\n"
    "    output: h'\n"
    "functions:\n"
    "  slope: {args: [v, by = 0.01], value: v * by, derivative: {v: by}}\n"
    "model: |\n"
    "  rnn  = mgu(x, hidden=128)\n"
    "  head = linear(rnn, size=96)\n"
    "loss: cross_entropy(head, y)\n"
    "metrics: {accuracy: average(argmax(head) == y)}\n"
    "optimizer: adam(lr = 2e-3 * min(1, k / 500), clip_norm = 1)\n"
    "groups: [{match: \"*.b\", weight_decay: 0}]\n"
    "tbptt: {step: 64}\n"
    "data:\n"
    "  train: {text: corpus.txt, part: [0, 0.9], streams: 32}\n"
    "train:\n"
    "  epochs: 10\n"
    "  handlers:\n"
    "    - checkpoint: {every: epoch, keep: 2}\n"
    "    - early_stopping: {on: loss, patience: 3}\n"
    "    - progress\n";

static Arena *arena;
static Diag *diag;

static const Spec *read_text(const char *text, const Override *o, int n)
{
    char path[] = "/tmp/rnnc_test_XXXXXX";
    int file = mkstemp(path);
    CHECK(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text), "no file");
    const Spec *s = spec_read(arena, diag, path, NULL, o, n);
    close(file);
    unlink(path);
    return s;
}

static void test_inputs_have_kinds_and_shapes(void)
{
    const Spec *s = read_text(whole, NULL, 0);
    CHECK(s && s->n_input == 6, "the spec was not read");
    if (!s)
        return;
    const InputDecl *in = s->input;
    CHECK(in[0].kind == KIND_CLASS && in[0].classes && !in[0].has_ignore, "x");
    CHECK(in[1].kind == KIND_CLASS && in[1].has_ignore && in[1].ignore == -100, "y");
    CHECK(in[2].kind == KIND_INTEGER && in[2].per_sequence, "n");
    CHECK(in[3].kind == KIND_REAL && in[3].shape.n == 2, "z");
    CHECK(in[4].kind == KIND_FLAG && in[4].shape.n == 0, "f");
    CHECK(in[5].kind == KIND_CLASS && !in[5].classes, "v: the vocabulary's size");
}

static void test_a_cell_has_all_its_parts(void)
{
    const Spec *s = read_text(whole, NULL, 0);
    const Def *d = s ? spec_find(s, DEF_CELL, "mgu", false) : NULL;
    CHECK(d && !d->library, "the spec's own comes first");
    if (!d)
        return;
    CHECK(d->n_arg == 5 && d->arg[0].required && d->arg[0].kind == KIND_INTEGER, "hidden");
    CHECK(d->arg[1].kind == KIND_FLAG && d->arg[2].kind == KIND_REAL, "bias, p");
    CHECK(d->arg[3].kind == KIND_FUNCTION && d->arg[4].kind == KIND_REAL, "f, w");
    CHECK(d->n_input == 2 && d->input[1].shape.dim[0]->kind == EXPR_ELLIPSIS, "[...]");
    CHECK(d->n_state == 2 && d->state[1].init && d->state[1].shape.n == 0, "m");
    CHECK(d->n_start == 1 && d->start[0].shape.n == 2, "starts");
    CHECK(d->n_param == 2 && d->param[0].init && d->param[0].when, "W");
    CHECK(d->param[1].has_grad && !d->param[1].grad && d->param[1].n_override == 2, "b");
    CHECK(d->step.n_stmt == 1 && d->output && d->output->primed, "equations");
    CHECK(spec_find(s, DEF_CELL, "mgu", true)->library, "the library's is there too");
    const Def *f = spec_find(s, DEF_FUNCTION, "slope", false);
    CHECK(f && f->n_arg == 2 && f->arg[0].required && !f->arg[1].required, "arguments");
    CHECK(f && f->n_derivative == 1 && str_eq(f->derivative_name[0], "v"), "derivative");
    CHECK(f && f->arg[1].value->loc.line == 22, "%d", f->arg[1].value->loc.line);
}

static void test_a_spec_has_all_its_sections(void)
{
    const Spec *s = read_text(whole, NULL, 0);
    CHECK(s && s->model && s->model->step.n_stmt == 2, "model");
    if (!s)
        return;
    CHECK(s->loss && s->n_metric == 1 && s->n_group == 1 && s->group[0].n == 1, "sections");
    CHECK(s->optimizer && s->optimizer->n_arg == 2, "optimizer");
    CHECK(s->tbptt_step == 64, "%lld", (long long)s->tbptt_step);
    CHECK(spec_integer(s, "train.epochs", 3) == 10, "given");
    CHECK(spec_integer(s, "train.seed", 7) == 0, "the schema's default");
    CHECK(spec_integer(s, "train.max_iterations", 7) == 7, "the caller's");
    CHECK(!spec_flag(s, "data.train.shuffle", true), "a flag's default");
    CHECK(spec_integer(s, "data.train.streams", 0) == 32, "streams");
    CHECK_TEXT(spec_text(s, "data.train.text", ""), "corpus.txt");
    CHECK_TEXT(spec_text(s, "tbptt.report", ""), "unweighted");
    const Tree *part = spec_tree(s, "data.train.part");
    CHECK(part && part->kind == TREE_LIST && part->n == 2, "part");
    const Tree *handlers = spec_tree(s, "train.handlers");
    CHECK(handlers && handlers->n == 3, "handlers");
    CHECK(!spec_tree(s, "data.valid") && !spec_tree(s, "no.such"), "absent");
}

static void test_expressions_know_their_columns_in_the_file(void)
{
    const Spec *s = read_text(whole, NULL, 0);
    if (!s)
        return;
    Loc rnn = s->model->step.stmt[0]->loc, call = s->model->step.stmt[1]->value->loc;
    CHECK(rnn.line == 24 && rnn.column == 3, "%d:%d", rnn.line, rnn.column);
    CHECK(call.line == 25 && call.column == 10 && call.length == 6, "linear");
    CHECK(s->loss->loc.line == 26 && s->loss->loc.column == 7, "loss");
    const Expr *init = spec_find(s, DEF_CELL, "mgu", false)->param[0].init;
    CHECK(init->loc.line == 16 && init->loc.column == 37, "%d", init->loc.column);
    const Expr *quoted = spec_find(s, DEF_CELL, "mgu", false)->arg[4].value;
    CHECK(quoted->loc.line == 11 && quoted->loc.column == 65, "%d", quoted->loc.column);
}

static void test_overrides_replace_add_and_are_printed(void)
{
    static const Override set[] = {
        {"train.epochs", "3"},
        {"train.log.every", "chunk"},
        {"optimizer.lr", "1e-3"},
        {"optimizer.beta1", "0.5"},
        {"data.valid", "{random: true, batch: 2, steps: 3}"},
    };
    const Spec *s = read_text(whole, set, COUNT(set));
    CHECK(s, "the overrides were refused");
    if (!s)
        return;
    CHECK(spec_integer(s, "train.epochs", 0) == 3, "replaced");
    CHECK_TEXT(spec_text(s, "train.log.every", ""), "chunk");
    CHECK(spec_flag(s, "data.valid.random", false), "a mapping");
    CHECK_TEXT(lang_print(arena, s->optimizer), "adam(lr=0.001, clip_norm=1, beta1=0.5)");
    Text out = {.arena = arena};
    tree_print(&out, s->root);
    const Spec *again = read_text(out.text, NULL, 0);
    CHECK(again && spec_integer(again, "train.epochs", 0) == 3, "%s", out.text);
    CHECK(again && again->optimizer->n_arg == 3, "%s", out.text);
}

/* By the handler's name, whether the spec has a list of them or none. */
static void test_overrides_reach_into_the_list_of_handlers(void)
{
    static const Override set[] = {
        {"train.handlers.checkpoint.keep", "3"},
        {"train.handlers.progress", "false"},
        {"train.handlers.trace.all", "true"},
    };
    static const char *const lists[] = {
        "train: {handlers: [progress, {checkpoint: {best: loss}}]}\n", ""};
    static const char *const expected[] = {
        "    -\n      progress: false\n    -\n      checkpoint:\n        best: loss\n"
        "        keep: 3\n    -\n      trace:\n        all: true\n",
        "    -\n      checkpoint:\n        keep: 3\n    -\n      progress: false\n"
        "    -\n      trace:\n        all: true\n"};
    for (int i = 0; i < 2; i++) {
        Text text = {.arena = arena}, out = {.arena = arena};
        text_add(&text,
                 "rnnc: 1\ninputs: {x: [2], y: [2]}\nmodel: p = linear(x, size=2)\n"
                 "loss: mse(p, y)\noptimizer: sgd()\n%s",
                 lists[i]);
        const Spec *s = read_text(text.text, set, COUNT(set));
        CHECK(s, "the overrides were refused");
        if (!s)
            continue;
        tree_print(&out, s->root);
        CHECK(strstr(out.text, expected[i]), "%s", out.text);
    }
}

static void test_bad_overrides_are_mistakes(void)
{
    static const Override bad[] = {
        {"train.epoch", "3"},
        {"trian.epochs", "3"},
        {"train.epochs", "many"},
        {"train.epochs", ""},
        {"train.epochs.x", "3"},
        {"train.handlers.progres.every", "3"},
        {"train.handlers.checkpoint.keeps", "3"},
        {"train.handlers.checkpoint", "true"},
        {"model.x", "3"},
        {"optimizer.lr", "1 +"},
        {"optimizer.1r", "1"},
        {"train.epochs", "[1"},
        {"", "3"},
        {".", "3"},
        {"loss", "[1, 2]"},
    };
    for (int i = 0; i < COUNT(bad); i++) {
        int before = diag_errors(diag);
        CHECK(!read_text(whole, &bad[i], 1), "%s=%s was taken", bad[i].path, bad[i].value);
        CHECK(diag_errors(diag) > before, "%s=%s has no message", bad[i].path,
              bad[i].value);
    }
}

static void test_the_library_reads_from_its_folder_as_embedded(const char *folder)
{
    const Spec *s = read_text(whole, NULL, 0);
    char path[] = "/tmp/rnnc_test_XXXXXX";
    int file = mkstemp(path);
    CHECK(write(file, whole, strlen(whole)) > 0, "no file");
    const Spec *t = spec_read(arena, diag, path, folder, NULL, 0);
    close(file);
    unlink(path);
    CHECK(s && t && s->n_def == t->n_def && s->n_def > 60, "%d", t ? t->n_def : 0);
    for (int i = 0; s && t && i < s->n_def; i++)
        CHECK_TEXT(s->def[i].name, t->def[i].name);
}

/* Every key's type is one of the schema's: reading a key of an unknown type is a bug, so
   this only asks that the table's columns are filled. */
static void test_every_key_has_its_columns(void)
{
    for (int i = 0; i < n_spec_key; i++) {
        const Key *k = &spec_keys[i];
        CHECK(*k->path && *k->type && *k->help, "key %d", i);
        CHECK(str_eq(k->when, "compile") || str_eq(k->when, "run"), "%s: %s", k->path,
              k->when);
        for (int j = 0; j < i; j++)
            CHECK(!str_eq(k->path, spec_keys[j].path), "%s is there twice", k->path);
    }
}

int main(int argc, char **argv)
{
    arena = arena_new();
    diag = diag_new(arena, stderr);
    test_inputs_have_kinds_and_shapes();
    test_a_cell_has_all_its_parts();
    test_a_spec_has_all_its_sections();
    test_expressions_know_their_columns_in_the_file();
    test_overrides_replace_add_and_are_printed();
    if (diag_errors(diag)) /* so far none is expected */
        diag_flush(diag);
    if (argc > 1)
        test_the_library_reads_from_its_folder_as_embedded(argv[1]);
    test_overrides_reach_into_the_list_of_handlers();
    test_bad_overrides_are_mistakes();
    test_every_key_has_its_columns();
    arena_free(arena);
    return check_result();
}
